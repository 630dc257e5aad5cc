/* A runtime in small: a program without a C library, that watches one heap and takes its own
 * records from another, before anybody has relocated it. Linked as static-pie without start files,
 * so all of its pointers in data still say where they would be had it been loaded at 0.
 *
 * It prints one line and ends with 0, or says what went wrong. */
#include "allocator/api/start.h"
#include "allocator/base/check.h"
#include "allocator/base/rng.h"
#include "allocator/os/linux.h"
#include "allocator/os/linux_syscall.h"

#include <asm/unistd.h>

enum { STEPS = 20000, PLACES = 500, STDOUT = 1 };

/* What compilers call by themselves. */
void *memset(void *to, int byte, size_t bytes)
{
    volatile unsigned char *out = to;
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)byte;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    volatile unsigned char *out = to;
    const unsigned char *in = from;
    for (size_t i = 0; i < bytes; i++) out[i] = in[i];
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    volatile unsigned char *out = to;
    const unsigned char *in = from;
    if ((uintptr_t)to < (uintptr_t)from)
        for (size_t i = 0; i < bytes; i++) out[i] = in[i];
    else
        for (size_t i = bytes; i-- > 0;) out[i] = in[i];
    return to;
}

static void say(const char *text, size_t bytes)
{
    (void)kiln_linux_call(__NR_write, STDOUT, (uintptr_t)text, bytes, 0, 0);
}

_Noreturn static void end(int status)
{
    for (;;) (void)kiln_linux_call(__NR_exit_group, (uintptr_t)status, 0, 0, 0, 0);
}

_Noreturn void kiln_stop(const char *text, size_t bytes)
{
    say(text, bytes);
    end(1);
}

static void say_line(const char *text)
{
    size_t bytes = 0;
    while (text[bytes] != '\0') bytes++;
    say(text, bytes);
    say("\n", 1);
}

#define MUST(x) ((x) ? (void)0 : (say_line("wrong: " #x), end(1)))

/* ---- the heaps ---- */

static kiln_os_t linux_os;
static kiln_heap_t inner, outer;
static kiln_thread_cache_t *inner_cache;

/* What the runtime knows of a block, in a block of its own heap. */
typedef struct note {
    struct note *older;
    uintptr_t block;
} note_t;

static note_t *notes;
static unsigned allocs, frees, copies, zeroed;
static bool is_inside; /* a hook: what it asks the watched heap for is not noted */
static bool is_ending; /* the heap: it can be asked for nothing more */
static unsigned nested_allocs, nested_frees, nested_copies, nested_zeroed, hooks;

/* A hook asks the very heap that tells it, in every way that there is. */
static void use_the_heap_that_tells(void)
{
    kiln_misuse_t misuse;
    if (is_ending) return;
    is_inside = true;
    hooks++;
    char *small = kiln_heap_malloc(&outer, NULL, 24);
    char *zeroes = kiln_heap_calloc(&outer, NULL, 3, 200);
    char *aligned = kiln_heap_aligned(&outer, NULL, 256, 300);
    char *large = hooks % 64 == 0 ? kiln_heap_malloc(&outer, NULL, 100000) : NULL;
    MUST(small && zeroes && aligned && zeroes[599] == 0 && (uintptr_t)aligned % 256 == 0);
    MUST(kiln_heap_usable(&outer, small, &misuse) >= 24 && misuse == KILN_MISUSE_NONE);
    MUST(kiln_heap_about(&outer, aligned + 5).live);
    small[23] = 7;
    small = kiln_heap_realloc(&outer, NULL, small, 500, &misuse);
    MUST(small && misuse == KILN_MISUSE_NONE && small[23] == 7);
    MUST(kiln_heap_free(&outer, NULL, small + 16) == KILN_MISUSE_INTERIOR);
    MUST(kiln_heap_free(&outer, NULL, small) == KILN_MISUSE_NONE);
    MUST(kiln_heap_free_sized(&outer, NULL, aligned, 256, 300) == KILN_MISUSE_NONE);
    MUST(kiln_heap_free(&outer, NULL, zeroes) == KILN_MISUSE_NONE);
    MUST(!large || kiln_heap_free(&outer, NULL, large) == KILN_MISUSE_NONE);
    MUST(kiln_heap_stats(&outer).live_bytes > 0);
    is_inside = false;
}

static void note_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    (void)bytes;
    (void)slot_bytes;
    if (is_inside) {
        nested_allocs++;
        return;
    }
    use_the_heap_that_tells();
    note_t *note = kiln_heap_malloc(&inner, inner_cache, sizeof *note);
    MUST(note);
    *note = (note_t){notes, (uintptr_t)block};
    notes = note;
    allocs++;
}

static void note_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    (void)slot_bytes;
    if (is_inside) {
        nested_frees++;
        return;
    }
    use_the_heap_that_tells();
    note_t **at = &notes;
    while (*at && (*at)->block != block) at = &(*at)->older;
    MUST(*at);
    note_t *note = *at;
    *at = note->older;
    MUST(kiln_heap_free(&inner, inner_cache, note) == KILN_MISUSE_NONE);
    frees++;
}

static void note_copy(void *ctx, kiln_addr_t to, kiln_addr_t from, uint64_t bytes)
{
    (void)ctx;
    if (is_inside) {
        nested_copies++;
    } else {
        use_the_heap_that_tells(); /* while a block is neither here nor there */
        copies++;
    }
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, (size_t)bytes);
}

static void note_zeroed(void *ctx, kiln_addr_t block, uint64_t bytes)
{
    (void)ctx;
    (void)block;
    (void)bytes;
    if (is_inside) {
        nested_zeroed++;
        return;
    }
    use_the_heap_that_tells();
    zeroed++;
}

static void note_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    (void)addr;
    (void)bytes;
}

/* ---- the program ---- */

static unsigned char *blocks[PLACES];
static size_t sizes[PLACES];

static void step(kiln_rng_t *rng)
{
    unsigned place = (unsigned)kiln_rng_below(rng, PLACES);
    unsigned char *block = blocks[place];
    if (block) {
        MUST(block[0] == (unsigned char)place && block[sizes[place] - 1] == (unsigned char)place);
        if (kiln_rng_below(rng, 4) == 0) {
            kiln_misuse_t misuse;
            block = kiln_heap_realloc(&outer, NULL, block, sizes[place] + 40, &misuse);
            MUST(block && misuse == KILN_MISUSE_NONE && block[0] == (unsigned char)place);
        }
        MUST(kiln_heap_free(&outer, NULL, block) == KILN_MISUSE_NONE);
        MUST(kiln_heap_free(&outer, NULL, block) == KILN_MISUSE_DOUBLE_FREE);
        blocks[place] = NULL;
        return;
    }
    size_t bytes = 1 + (size_t)kiln_rng_below(rng, kiln_rng_below(rng, 50) == 0 ? 200000 : 300);
    block = kiln_rng_below(rng, 4) == 0 ? kiln_heap_calloc(&outer, NULL, 1, bytes)
                                        : kiln_heap_malloc(&outer, NULL, bytes);
    MUST(block);
    block[0] = block[bytes - 1] = (unsigned char)place;
    blocks[place] = block;
    sizes[place] = bytes;
}

static int here;
static int *const in_data[2] = {&here, &here};

/* The address of a variable as the code finds it, and as data has it. */
static bool is_relocated(void)
{
    int *const *volatile table = in_data;
    int *volatile found = &here;
    return table[1] == found;
}

static void make_heaps(void)
{
    static kiln_watcher_t watcher; /* filled by code: its functions have no address in data yet */
    kiln_os_linux_init(&linux_os, 0);
    kiln_heap_config_t config = kiln_start_config(&linux_os);
    MUST(kiln_heap_init(&inner, &config) == NULL);
    inner_cache = kiln_heap_attach(&inner);
    MUST(inner_cache);
    watcher = (kiln_watcher_t){.grow = note_grow,
                               .alloc = note_alloc,
                               .free = note_free,
                               .copy = note_copy,
                               .zeroed = note_zeroed};
    config.watcher = &watcher;
    MUST(kiln_heap_init(&outer, &config) == NULL);
}

__attribute__((used)) void begin(void)
{
    kiln_rng_t rng = {.state = 1};
    MUST(!is_relocated());
    make_heaps();
    for (unsigned i = 0; i < STEPS; i++) step(&rng);
    MUST(allocs > STEPS / 3 && frees > STEPS / 3 && copies > STEPS / 20 && zeroed > STEPS / 20);
    MUST(hooks == allocs + frees + copies + zeroed);
    MUST(nested_allocs == 4 * hooks + hooks / 64 && nested_frees == nested_allocs);
    MUST(nested_copies == hooks && nested_zeroed == hooks);
    MUST(kiln_heap_broken_rule(&inner) == NULL);
    MUST(kiln_heap_broken_rule(&outer) == NULL);
    is_ending = true;
    kiln_heap_destroy(&outer); /* which frees what is live */
    MUST(!notes && allocs == frees);
    kiln_heap_detach(&inner, inner_cache);
    MUST(kiln_heap_stats(&inner).live_bytes == 0);
    kiln_heap_destroy(&inner);
    say_line("two heaps, no library, nothing relocated");
    end(0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xorl %ebp, %ebp\n andq $-16, %rsp\n call begin\n");
#else
__asm__(".globl _start\n_start: xorl %ebp, %ebp\n andl $-16, %esp\n call begin\n");
#endif
