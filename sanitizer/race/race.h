/* race.h - the race detector of Go watches a heap.
 *
 * The detector is LLVM's ThreadSanitizer runtime as it is built for Go: an object file that wants
 * no help from the compiler. It is told of everything by calls: of the heap by the watcher below,
 * of threads, accesses and synchronisation by the program, which is how a runtime for a language
 * uses it. 64-bit Linux on x86-64.
 *
 *   kiln_race_start(&heap, &here);          before the heap is made; once in a process
 *   kiln_race_arrange(&config);             watcher and possible range
 *   kiln_heap_init(&heap, &config);
 *   ...
 *   kiln_race_finish();                     exits: with 66 if there were reports
 *
 * What the detector wants of a heap, and what breaks otherwise (tests/race shows each):
 *   - none of it lies above KILN_RACE_LAST: races there are missed
 *   - grow is told upwards: memory below an earlier growth never gets its records, and the first
 *     alloc there crashes
 *   - grow is told once: the second time wipes what was known of the accesses
 *   - alloc and free of every block: else the accesses of an earlier owner count against the next
 * The first two are what kiln_race_watcher declares (with KILN_RACE_FIRST, where Go's heap starts),
 * so an arena that cannot promise them does not start; the others are the arena's and the heap's
 * laws.
 *
 * Threads  each thread that uses the heap or a function below has entered: the one that called
 *          kiln_race_start, and those that called kiln_race_enter. A report is written to standard
 *          error by the thread whose access completes the race.
 * Memory   twice the heap that was accessed, and half of it again for records; the detector takes
 *          it from the system on its own. Address space: 2.5 times what has grown.
 * Errors   misuse of this interface stops the program. */
#ifndef KILN_SANITIZER_RACE_RACE_H
#define KILN_SANITIZER_RACE_RACE_H

#include "allocator/heap/heap.h"
#include "sanitizer/publish.h"

#include <stddef.h>
#include <stdint.h>

#define KILN_RACE_FIRST UINT64_C(0xc000000000)
#define KILN_RACE_LAST UINT64_C(0xdfffffffff)
/* Possible heap: the largest power of two that fits there with its side tables. */
#define KILN_RACE_HEAP_BYTES (UINT64_C(1) << 36)

/* A place in the program, as reports show it. Its address stands for a program counter. */
typedef struct kiln_race_place {
    _Alignas(16) const char *function;
    const char *file;
    unsigned line;
} kiln_race_place_t;

/* KILN_RACE_PLACE(here); defines `here`, this line of this function, for the calls below. */
#define KILN_RACE_PLACE(name) static const kiln_race_place_t name = {__func__, __FILE__, __LINE__}

/* A thread as the detector knows it; the caller's memory, from create to leave. */
typedef struct kiln_race_thread {
    void *context;   /* the detector's: clock and history */
    void *processor; /* the detector's: a cache for its own allocations */
    const kiln_race_place_t *at;
} kiln_race_thread_t;

/* The events of publish.h as calls of the detector. kiln_race_start was called before the first. */
extern const kiln_watcher_t kiln_race_watcher;

/* kiln_race_start starts the detector. `heap` is where the heap will be: reports ask it what lies
 * at an address. Returns NULL, or why not. */
const char *kiln_race_start(kiln_heap_t *heap, const kiln_race_place_t *place);

/* kiln_race_arrange makes the heap that `*config` describes one that the detector can watch: gives
 * it the watcher, and a possible range that fits. Returns NULL, or why it cannot be. */
const char *kiln_race_arrange(kiln_heap_config_t *config);

/* A thread's life: its parent creates it before it runs; it enters before it does anything else
 * here, and leaves last. What the parent did before, happens before what the thread does. */
void kiln_race_create(kiln_race_thread_t *thread, const kiln_race_place_t *place);
void kiln_race_enter(kiln_race_thread_t *thread);
void kiln_race_leave(void);

/* kiln_race_at says where the thread is: blocks that it allocates from now on are reported as
 * allocated there. */
void kiln_race_at(const kiln_race_place_t *place);

/* Accesses. Memory that is not this heap's is not watched. */
void kiln_race_read(const void *address, size_t bytes, const kiln_race_place_t *place);
void kiln_race_write(const void *address, size_t bytes, const kiln_race_place_t *place);

/* What was done before a release of `sync` happens before what is done after an acquire of it that
 * follows. `sync` is any address in a block of the heap: what the program synchronises by, or what
 * it guards. */
void kiln_race_acquire(const void *sync);
void kiln_race_release(const void *sync);

/* kiln_race_reports counts the reports so far. */
uint64_t kiln_race_reports(void);

/* kiln_race_finish ends the process: status 66 when there were reports, else 0. */
_Noreturn void kiln_race_finish(void);

#endif
