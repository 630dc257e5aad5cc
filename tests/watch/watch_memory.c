/* Cases of watch_program: memory that is no block of a live heap, and what is lost. */
#define _GNU_SOURCE
#include "tests/watch/watch_program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes) ASAN_POISON_MEMORY_REGION(at, bytes)
#endif
#endif
#ifndef POISON
#define POISON(at, bytes) ((void)(at), (void)(bytes))
#endif

/* --- the heap's records ----------------------------------------------------------------------- */

static volatile uint8_t *record_of(const void *block)
{
    return (volatile uint8_t *)kiln_heap_find(&heap, block).state;
}

static void read_a_record(void)
{
    use((const char *)record_of(take(40)));
}

static void write_a_record(void)
{
    volatile uint8_t *record = record_of(take(40));
    *record = KILN_SLOT_LIVE; /* as it is */
}

static void read_the_page_map(void)
{
    size_t page = ((uintptr_t)take(40) - heap.map.start) / KILN_PAGE_BYTES;
    use((const char *)&heap.map.entries[page]);
}

static void read_which_pages_are_mapped(void)
{
    (void)take(40);
    use((const char *)heap.present);
}

/* Where records were is other memory now. */
static void the_records_of_a_heap_that_is_gone(void)
{
    uintptr_t page = (uintptr_t)record_of(take(40)) & ~(uintptr_t)4095;
    bool reserved;
    kiln_heap_destroy(&heap);
    if (linux_os.reserve(NULL, page, 4096, &reserved) != page) exit(2);
    if (linux_os.commit(NULL, page, 4096, true, KILN_OS_HEAP) != KILN_OS_OK) exit(2);
    memset((char *)page, 0, 4096);
    linux_os.release(NULL, page, 4096);
    open_heap(&heap);
}

/* --- leaks, and other memory ------------------------------------------------------------------ */

static char **kept;

static void system_block_in_a_live_one(void)
{
    kept = kiln_heap_malloc(&heap, NULL, sizeof *kept);
    if (!kept) exit(2);
    *kept = malloc(1234);
    memset(*kept, 0, 1234);
}

static void system_block_in_a_freed_one(void)
{
    system_block_in_a_live_one();
    give(kept);
}

static __attribute__((noinline)) void take_one(bool keeps)
{
    char *volatile block = take(1234);
    memset(block, 0, 1234);
    if (keeps) kept = (char **)block;
    block = NULL;
}

static void a_block_is_lost(void)
{
    (void)take(1234); /* the heap remembers where it begins itself */
    take_one(false);
    take_one(true); /* whatever registers and the stack still say is this one's */
}

static void a_block_is_not_lost(void)
{
    take_one(true);
}

static void two_heaps(void)
{
    static kiln_heap_t second;
    const size_t bytes = 40 << 20;
    open_heap(&second);
    char *mine = take(bytes), *yours = kiln_heap_malloc(&second, NULL, bytes);
    if (!yours) exit(2);
    memset(mine, 0, bytes);
    memset(yours, 0, bytes);
    kiln_heap_destroy(&second);
    memset(mine, 1, bytes);
}

/* The next heap lies where the last one did, whose blocks were live to its end. */
static void heaps_one_after_another(void)
{
    for (unsigned i = 0; i < 5; i++) {
        for (size_t bytes = 1; bytes < 100000; bytes *= 3) memset(take(bytes), 0, bytes);
        kiln_heap_destroy(&heap);
        open_heap(&heap);
    }
}

static _Atomic int stop;

static void *take_and_give(void *unused)
{
    while (!atomic_load(&stop)) give(take(40));
    return unused;
}

/* A child has a heap that works, whatever other threads were doing. */
static void fork_beside_threads(void)
{
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, take_and_give, NULL) != 0) exit(2);
    for (unsigned i = 0; i < 30; i++) {
        int status;
        kiln_heap_fork_prepare(&heap);
        pid_t child = fork();
        if (child == 0) {
            kiln_heap_fork_child(&heap, NULL);
            for (unsigned k = 0; k < 100; k++) give(take(40));
            _exit(0);
        }
        kiln_heap_fork_parent(&heap);
        if (waitpid(child, &status, 0) != child || status != 0) exit(2);
    }
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < 2; i++) (void)pthread_join(threads[i], NULL);
}

/* A program that poisons parts of its blocks finds in the copy what it wrote there. */
static void resize_what_the_program_poisoned(void)
{
    char *block = take(1000);
    memset(block, 7, 1000);
    POISON(block + 100, 50);
    block = resize(block, 3000);
    if (block[99] != 7 || block[500] != 7 || block[999] != 7) exit(2);
}

/* What the heap gave back is other memory now. */
static void a_heap_that_is_gone(void)
{
    char *block = take(5000);
    char *new = (char *)((uintptr_t)block & ~(uintptr_t)4095);
    bool reserved;
    kiln_heap_destroy(&heap);
    /* Not mmap: the tools see that one, and clear what they knew. */
    if (linux_os.reserve(NULL, (uintptr_t)new, 4096, &reserved) != (uintptr_t)new) exit(2);
    if (linux_os.commit(NULL, (uintptr_t)new, 4096, true, KILN_OS_HEAP) != KILN_OS_OK) exit(2);
    use(&new[100]);
    memset(new, 0, 4096);
    linux_os.release(NULL, (uintptr_t)new, 4096);
    open_heap(&heap);
}

const deed_t memory_deeds[] = {
    DEED(read_a_record),
    DEED(write_a_record),
    DEED(read_the_page_map),
    DEED(read_which_pages_are_mapped),
    DEED(the_records_of_a_heap_that_is_gone),
    DEED(system_block_in_a_live_one),
    DEED(system_block_in_a_freed_one),
    DEED(a_block_is_lost),
    DEED(a_block_is_not_lost),
    DEED(two_heaps),
    DEED(heaps_one_after_another),
    DEED(fork_beside_threads),
    DEED(resize_what_the_program_poisoned),
    DEED(a_heap_that_is_gone),
    {NULL, NULL},
};
