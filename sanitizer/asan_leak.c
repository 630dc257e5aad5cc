#define _GNU_SOURCE
#include "sanitizer/asan_leak.h"

#include "allocator/api/readable.h"
#include "allocator/api/roots.h"
#include "allocator/api/world.h"
#include "sanitizer/blocks.h"
#include "sanitizer/explain.h"

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of a program: the shadow is a part of it. */
#define ADDRESS_SPACE (UINT64_C(1) << (sizeof(void *) == 8 ? 47 : 32))

/* What a later mark says outweighs an earlier one. */
typedef enum kiln_leak_mark { LOST, LOST_WITH_ANOTHER, REACHED } mark_t;

typedef struct kiln_leak_item {
    uintptr_t start, slot_end;
    const kiln_blocks_record_t *record;
    mark_t mark;
} item_t;

/* What one check carries. The addresses of blocks are in pages of their own, which are not
 * searched, and on the stack of the process that looks (world.h), which is not either. */
static struct {
    const kiln_blocks_record_t *records;
    size_t records_max;
    item_t *items;     /* by address */
    uint32_t *waiting; /* indices of items that were reached, and are to be searched */
    size_t count, waiting_count, mapped_bytes;
    uintptr_t stack, stack_start; /* of the caller: its frames are from `stack` on */
    const char *wrong;
} check;

/* --- marks ----------------------------------------------------------------------------------- */

/* The index of the first item that ends above `address`, or count. */
static size_t first_above(uintptr_t address)
{
    size_t low = 0, high = check.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (check.items[middle].slot_end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The word at `at`, by hand, since it may be anybody's. */
static void follow(uintptr_t at, const item_t *from, mark_t mark)
{
    uintptr_t word;
    __asm__ volatile("mov %1, %0" : "=r"(word) : "m"(*(const uintptr_t *)at));
    if (word < check.items[0].start || word >= check.items[check.count - 1].slot_end) return;
    item_t *item = &check.items[first_above(word)];
    if (word < item->start || item == from || item->mark >= mark) return;
    if (__asan_address_is_poisoned((const void *)at)) return;
    item->mark = mark;
    if (mark == REACHED) check.waiting[check.waiting_count++] = (uint32_t)(item - check.items);
}

/* Programs protect pages of their blocks. */
static void search_block(const item_t *item, mark_t mark)
{
    enum { LEAST_PAGE_BYTES = 4096 };
    static const kiln_readable_t nothing = {.may_ask = true};
    uintptr_t end = item->start + (uintptr_t)item->record->bytes;
    bool readable = false;
    for (uintptr_t at = item->start; at + sizeof at <= end; at += sizeof at) {
        uintptr_t ignored;
        if (at == item->start || at % LEAST_PAGE_BYTES == 0)
            readable = kiln_readable_word(&nothing, at, &ignored);
        if (readable) follow(at, item, mark);
    }
}

typedef struct kiln_leak_range {
    uintptr_t start, end;
} range_t;

static range_t range_of(const void *start, size_t bytes)
{
    return (range_t){(uintptr_t)start, (uintptr_t)start + bytes};
}

/* The first range from `from` on that is no root: a block, or memory of this check's. */
static range_t next_own(uintptr_t from)
{
    const range_t own[] = {
        range_of(check.records, check.records_max * sizeof *check.records),
        range_of(check.items, check.mapped_bytes),
        range_of(kiln_world_stack, sizeof kiln_world_stack),
    };
    size_t idx = first_above(from);
    range_t first = {UINTPTR_MAX, UINTPTR_MAX};
    if (idx < check.count) first = (range_t){check.items[idx].start, check.items[idx].slot_end};
    for (unsigned i = 0; i < sizeof own / sizeof *own; i++)
        if (own[i].end > from && own[i].start < first.start) first = own[i];
    return first;
}

static void search_range(void *unused, uintptr_t start, uintptr_t end)
{
    (void)unused;
    start = (start + sizeof start - 1) / sizeof start * sizeof start;
    while (start < end) {
        range_t own = next_own(start);
        uintptr_t until = own.start < end ? own.start : end;
        for (; start + sizeof start <= until; start += sizeof start) follow(start, NULL, REACHED);
        start = own.start < end ? (own.end + sizeof start - 1) / sizeof start * sizeof start : end;
    }
}

static const char *begin(void *unused)
{
    (void)unused;
    return NULL;
}

static void search_registers(void *unused, const void *registers, size_t bytes)
{
    const char *at = registers;
    (void)unused;
    for (size_t i = 0; i + sizeof(uintptr_t) <= bytes; i += sizeof(uintptr_t))
        follow((uintptr_t)at + i, NULL, REACHED);
}

static void look(void *unused)
{
    size_t scale, offset;
    (void)unused;
    __asan_get_shadow_mapping(&scale, &offset);
    kiln_roots_visit_t roots = {
        .dead_start = check.stack_start,
        .dead_end = check.stack,
        .skip_start = offset,
        .skip_end = offset + (uintptr_t)(ADDRESS_SPACE >> scale),
        .page_bytes = (size_t)getpagesize(),
        .range = search_range,
    };
    check.wrong = kiln_roots_each(&roots);
    while (check.waiting_count > 0)
        search_block(&check.items[check.waiting[--check.waiting_count]], REACHED);
    for (size_t i = 0; i < check.count; i++)
        if (check.items[i].mark != REACHED) search_block(&check.items[i], LOST_WITH_ANOTHER);
}

/* --- the look -------------------------------------------------------------------------------- */

static int by_address(const void *left, const void *right)
{
    uintptr_t a = ((const item_t *)left)->start, b = ((const item_t *)right)->start;
    return a < b ? -1 : a > b;
}

/* The live blocks, from the table, which is held. False: there is none, or no memory. */
static bool list_blocks(void)
{
    size_t live = 0;
    for (size_t i = 0; i < check.records_max; i++)
        live += check.records[i].block != 0 && check.records[i].free.thread == 0;
    if (live == 0) return false;
    check.mapped_bytes = live * (sizeof *check.items + sizeof *check.waiting);
    void *pages =
        mmap(NULL, check.mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        check.wrong = "there is no memory for marks";
        return false;
    }
    check.items = pages;
    check.waiting = (uint32_t *)(check.items + live);
    for (size_t i = 0; i < check.records_max; i++) {
        const kiln_blocks_record_t *record = &check.records[i];
        if (record->block == 0 || record->free.thread != 0) continue;
        uintptr_t start = (uintptr_t)record->block;
        check.items[check.count++] =
            (item_t){start, start + (uintptr_t)record->slot_bytes, record, LOST};
    }
    qsort(check.items, check.count, sizeof *check.items, by_address);
    return true;
}

static void learn_stack(void)
{
    pthread_attr_t attributes;
    void *start;
    size_t bytes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    if (pthread_attr_getstack(&attributes, &start, &bytes) == 0)
        check.stack_start = (uintptr_t)start;
    (void)pthread_attr_destroy(&attributes);
}

/* Below the frame of its caller; 0, 0 where nobody knows where the stack begins. */
static __attribute__((noinline)) void note_stack(void)
{
    if (check.stack_start != 0) check.stack = (uintptr_t)__builtin_frame_address(0);
}

/* What registers hold for this function's callers lies in its frame, which is searched. */
static __attribute__((noinline)) void stop_and_look(void)
{
    static const kiln_world_visit_t visit = {NULL, begin, search_registers, look};
    __builtin_unwind_init();
    note_stack();
    const char *wrong = kiln_world_stop(&visit);
    if (wrong) check.wrong = wrong;
}

/* --- the report ------------------------------------------------------------------------------ */

static int by_place(const void *left, const void *right)
{
    const item_t *a = left, *b = right;
    const kiln_blocks_event_t *one = &a->record->alloc, *two = &b->record->alloc;
    if (a->mark != b->mark) return a->mark < b->mark ? -1 : 1;
    if (one->count != two->count) return one->count < two->count ? -1 : 1;
    return memcmp(one->pcs, two->pcs, one->count * sizeof *one->pcs);
}

/* Those that were allocated at one place are one leak, direct ones first, as LeakSanitizer has it.
 */
static size_t tell(void)
{
    size_t lost = 0, bytes = 0;
    for (size_t i = 0; i < check.count; i++) {
        if (check.items[i].mark == REACHED) continue;
        bytes += (size_t)check.items[i].record->bytes;
        check.items[lost++] = check.items[i];
    }
    if (lost == 0) return 0;
    qsort(check.items, lost, sizeof *check.items, by_place);
    dprintf(STDERR_FILENO,
            "\n=================================================================\n"
            "==%d==ERROR: LeakSanitizer: detected memory leaks, of blocks of Kiln heaps\n",
            getpid());
    for (size_t i = 0, next; i < lost; i = next) {
        size_t sum = 0;
        for (next = i; next < lost && by_place(&check.items[i], &check.items[next]) == 0; next++)
            sum += (size_t)check.items[next].record->bytes;
        dprintf(STDERR_FILENO, "\n%s leak of %zu byte(s) in %zu object(s) allocated from:\n",
                check.items[i].mark == LOST ? "Direct" : "Indirect", sum, next - i);
        kiln_explain_stack(STDERR_FILENO, &check.items[i].record->alloc);
    }
    dprintf(STDERR_FILENO,
            "\nSUMMARY: AddressSanitizer: %zu byte(s) leaked in %zu allocation(s).\n", bytes, lost);
    return lost;
}

size_t kiln_watch_leaks(void)
{
    static pthread_mutex_t one_check = PTHREAD_MUTEX_INITIALIZER;
    size_t lost = 0;
    sigset_t all, before;
    (void)pthread_mutex_lock(&one_check);
    memset(&check, 0, sizeof check);
    learn_stack();
    check.records = kiln_blocks_hold(&check.records_max);
    if (check.records && list_blocks()) {
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        stop_and_look();
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!check.wrong) lost = tell();
    }
    if (check.records) kiln_blocks_let_go();
    if (check.items) (void)munmap(check.items, check.mapped_bytes);
    if (check.wrong)
        dprintf(STDERR_FILENO, "kiln: leaks of Kiln heaps were not looked for: %s\n", check.wrong);
    (void)pthread_mutex_unlock(&one_check);
    return lost;
}

/* --- the end of the process ------------------------------------------------------------------ */

static int detect_leaks = 1, exitcode = 1; /* as ASan has them without options */

/* The last value of `name` in a list of sanitizer options. */
static void read_option(const char *list, const char *name, int *value)
{
    static const char between[] = ":, \t\n\r";
    size_t length = strlen(name);
    for (const char *at = list; at && *at; at += strcspn(at, between)) {
        at += strspn(at, between);
        if (strncmp(at, name, length) != 0 || at[length] != '=') continue;
        const char *text = at + length + 1;
        text += *text == '\'' || *text == '"';
        if (*text == 'n' || *text == 'f')
            *value = 0;
        else
            *value = *text == 'y' || *text == 't' ? 1 : (int)strtol(text, NULL, 0);
    }
}

static void leaks_at_end(void)
{
    if (!detect_leaks || kiln_watch_leaks() == 0) return;
    (void)__lsan_do_recoverable_leak_check(); /* which says what the system's malloc lost */
    if (exitcode == 0) return;
    (void)fflush(NULL);
    _exit(exitcode);
}

void kiln_asan_leaks_at_end(void)
{
    const char *const lists[] = {__asan_default_options(), getenv("ASAN_OPTIONS"),
                                 getenv("LSAN_OPTIONS")};
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++) {
        read_option(lists[i], "detect_leaks", &detect_leaks);
        read_option(lists[i], "exitcode", &exitcode);
    }
    (void)atexit(leaks_at_end);
}
