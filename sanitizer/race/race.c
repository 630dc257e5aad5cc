#include "sanitizer/race/race.h"

#include "allocator/base/check.h"
#include "sanitizer/race/race_runtime.h"

#include <stdatomic.h>
#include <stdbool.h>

/* The detector's state is the process's, so this is too. */
static struct {
    bool started;
    kiln_heap_t *heap;
    kiln_race_thread_t main;

    /* What has grown: one range. `end` is stored after the detector can take accesses below it. */
    kiln_addr_t first;
    _Atomic kiln_addr_t end;
} race;

static _Thread_local kiln_race_thread_t *current;

static kiln_race_thread_t *me(void)
{
    KILN_CHECK_RULE(current ? NULL : "a thread has entered before it uses a watched heap");
    return current;
}

/* ---- places as program counters ----
 *
 * The detector shortens program counters, and restores them only below KILN_RACE_LAST: a program
 * at a fixed address lies there, one at a random address does not. So places are counted from one
 * of them. 0 stands for none. */

static const kiln_race_place_t origin = {__FILE__, __FILE__, 0};
static const uintptr_t origin_counter = (uintptr_t)1 << 32;

static uintptr_t counter_of(const kiln_race_place_t *place)
{
    if (!place) return 0;
    uintptr_t counter = (uintptr_t)place - (uintptr_t)&origin + origin_counter;
    KILN_CHECK_RULE(counter > origin_counter / 2 && counter < 2 * origin_counter
                        ? NULL
                        : "places lie in the module of the detector");
    return counter + 1; /* it asks about the byte before: that of the call, as it believes */
}

static const kiln_race_place_t *place_of(uintptr_t counter)
{
    uintptr_t offset = (counter & ~(_Alignof(kiln_race_place_t) - 1)) - origin_counter;
    return (const kiln_race_place_t *)((uintptr_t)&origin + offset);
}

/* ---- what the detector asks ---- */

static void describe_code(kiln_race_code_t *code)
{
    if (code->counter < origin_counter / 2) return; /* none of ours: a thread of the detector's */
    const kiln_race_place_t *place = place_of(code->counter);
    code->known = 1;
    code->function = place->function;
    code->file = place->file;
    code->line = place->line;
}

/* Takes no lock: the detector holds its own, and so may other threads of this process. */
static void describe_data(kiln_race_data_t *data)
{
    kiln_heap_about_t about = kiln_heap_about(race.heap, (const void *)data->address);
    if (about.block == 0) return;
    data->in_heap = 1;
    data->start = about.block;
    data->bytes = about.slot_bytes;
    data->known = 1;
}

static void answer(uintptr_t question, void *about)
{
    switch (question) {
    case KILN_RACE_ASK_PROCESSOR:
        *(void **)about = me()->processor;
        break;
    case KILN_RACE_ASK_CODE:
        describe_code(about);
        break;
    case KILN_RACE_ASK_DATA:
        describe_data(about);
        break;
    default:
        KILN_CHECK_RULE("the detector asks what it asked in Go 1.19");
    }
}

/* ---- the watcher ---- */

static void grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    kiln_addr_t end = atomic_load_explicit(&race.end, memory_order_relaxed);
    KILN_CHECK_RULE(race.started ? NULL : "the detector is started before the heap grows");
    KILN_CHECK_RULE(addr >= end ? NULL : "a watched heap grows upwards");
    KILN_CHECK_RULE(addr >= KILN_RACE_FIRST && addr + bytes - 1 <= KILN_RACE_LAST
                        ? NULL
                        : "a watched heap lies where the detector can look");
    __tsan_map_shadow((uintptr_t)addr, (uintptr_t)bytes);
    if (end == 0) race.first = addr;
    atomic_store_explicit(&race.end, addr + bytes, memory_order_release);
}

/* The bytes behind those that were asked for are the program's as well: without a thread, the call
 * forgets accesses and no more. Cells of memory are 8 bytes. */
static void told_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    kiln_race_thread_t *thread = me();
    uint64_t cells_bytes = kiln_round_up(bytes, 8);
    __tsan_malloc(thread->context, counter_of(thread->at), (uintptr_t)block, (uintptr_t)bytes);
    if (cells_bytes < slot_bytes)
        __tsan_malloc(NULL, 0, (uintptr_t)(block + cells_bytes),
                      (uintptr_t)(slot_bytes - cells_bytes));
}

static void told_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    (void)me();
    __tsan_free((uintptr_t)block, (uintptr_t)slot_bytes);
}

const kiln_watcher_t kiln_race_watcher = {
    .grow = grow,
    .alloc = told_alloc,
    .free = told_free,
    .upward_only = true,
    .range_start = KILN_RACE_FIRST,
    .range_last = KILN_RACE_LAST,
    .range_refusal = "the race detector follows heap from 0xc000000000 to 0xdfffffffff alone, and "
                     "this arena may lie elsewhere: configure it with kiln_race_arrange, and let "
                     "nothing else be mapped there",
};

/* ---- start and end ---- */

/* The detector takes the first range that it is told of for a program's variables, and the second
 * one for the start of the heap. Nobody's variables are watched here: this is below the heap. */
static const uintptr_t no_variables_bytes = 65536;

const char *kiln_race_start(kiln_heap_t *heap, const kiln_race_place_t *place)
{
    if (race.started)
        return "the race detector was started: a process has one, and it has one heap";
    void *parent;
    race.heap = heap;
    __tsan_init(&parent, &race.main.processor, answer);
    race.started = true;
    current = &race.main;
    /* As in Go: the thread that starts the detector is not yet the program's main thread. */
    __tsan_go_start(parent, &race.main.context, counter_of(place));
    race.main.at = place;
    __tsan_map_shadow((uintptr_t)KILN_RACE_FIRST - no_variables_bytes, no_variables_bytes);
    return NULL;
}

const char *kiln_race_arrange(kiln_heap_config_t *config)
{
    if (!race.started) return "the race detector is started before the heap: kiln_race_start";
    if (config->watcher) return "the heap has a watcher already";
    if (config->arena.follow != KILN_FOLLOW_KILN)
        return "the race detector needs an arena that follows kiln: others tell of holes as heap";
    if (config->arena.addr_bits != 64) return "the race detector needs 64-bit addresses";
    config->watcher = &kiln_race_watcher;
    config->arena.addr_max = KILN_RACE_HEAP_BYTES - 1;
    return NULL;
}

_Noreturn void kiln_race_finish(void)
{
    (void)me();
    __tsan_fini();
}

/* ---- threads ---- */

void kiln_race_create(kiln_race_thread_t *thread, const kiln_race_place_t *place)
{
    *thread = (kiln_race_thread_t){.at = place};
    __tsan_go_start(me()->context, &thread->context, counter_of(place));
    __tsan_proc_create(&thread->processor);
}

void kiln_race_enter(kiln_race_thread_t *thread)
{
    KILN_CHECK(current == NULL && thread->context != NULL);
    current = thread;
}

void kiln_race_leave(void)
{
    kiln_race_thread_t *thread = me();
    KILN_CHECK_RULE(thread != &race.main ? NULL : "the main thread ends by kiln_race_finish");
    __tsan_go_end(thread->context);
    __tsan_proc_destroy(thread->processor);
    *thread = (kiln_race_thread_t){.at = NULL};
    current = NULL;
}

void kiln_race_at(const kiln_race_place_t *place)
{
    me()->at = place;
}

/* ---- accesses and synchronisation ---- */

static bool is_watched(uintptr_t addr, size_t bytes)
{
    kiln_addr_t end = atomic_load_explicit(&race.end, memory_order_acquire);
    return end != 0 && addr >= race.first && addr < end && bytes <= end - addr;
}

void kiln_race_read(const void *address, size_t bytes, const kiln_race_place_t *place)
{
    if (bytes != 0 && is_watched((uintptr_t)address, bytes))
        __tsan_read_range(me()->context, (uintptr_t)address, bytes, counter_of(place));
}

void kiln_race_write(const void *address, size_t bytes, const kiln_race_place_t *place)
{
    if (bytes != 0 && is_watched((uintptr_t)address, bytes))
        __tsan_write_range(me()->context, (uintptr_t)address, bytes, counter_of(place));
}

void kiln_race_acquire(const void *sync)
{
    KILN_CHECK_RULE(is_watched((uintptr_t)sync, 1) ? NULL : "what synchronises lies in the heap");
    __tsan_acquire(me()->context, (uintptr_t)sync);
}

void kiln_race_release(const void *sync)
{
    KILN_CHECK_RULE(is_watched((uintptr_t)sync, 1) ? NULL : "what synchronises lies in the heap");
    __tsan_release(me()->context, (uintptr_t)sync);
}

uint64_t kiln_race_reports(void)
{
    uint64_t count;
    __tsan_report_count(&count);
    return count;
}
