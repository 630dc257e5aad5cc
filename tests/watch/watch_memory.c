/* Cases of watch_program: records, and memory that is no block of a live heap. */
#define _GNU_SOURCE
#include "tests/watch/watch_program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes) ASAN_POISON_MEMORY_REGION(at, bytes)
#define NOT_JUDGED __attribute__((no_sanitize("address")))
#endif
#endif
#ifndef POISON
#define POISON(at, bytes) ((void)(at), (void)(bytes))
#define NOT_JUDGED
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

/* The heap's own struct says where they are. */
static NOT_JUDGED const char *page_map_entry(const void *block)
{
    size_t page = ((uintptr_t)block - heap.map.start) / KILN_PAGE_BYTES;
    return (const char *)&heap.map.entries[page];
}

static NOT_JUDGED const char *which_pages_are_mapped(void)
{
    return (const char *)heap.present;
}

static void read_the_page_map(void)
{
    use(page_map_entry(take(40)));
}

static void read_which_pages_are_mapped(void)
{
    use(which_pages_are_mapped());
}

static void write_the_struct_of_a_heap(void)
{
    *(volatile char *)&heap.single_threaded = 1;
}

/* The memory of its struct is the program's again. */
static void a_struct_that_was_a_heap(void)
{
    kiln_heap_destroy(&heap);
    memset(&heap, 0, sizeof heap);
    open_heap(&heap);
}

/* A new page there, as a program without a C library has it: mmap is seen by the tools, which then
 * clear what they knew. */
static void map_unseen(uintptr_t page)
{
#ifdef SYS_mmap2
    const long call = SYS_mmap2;
#else
    const long call = SYS_mmap;
#endif
    long got = syscall(call, page, 4096UL, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0L);
    if ((uintptr_t)got != page) exit(2);
}

/* Where records were is other memory now. */
static void the_records_of_a_heap_that_is_gone(void)
{
    uintptr_t page = (uintptr_t)record_of(take(40)) & ~(uintptr_t)4095;
    kiln_heap_destroy(&heap);
    map_unseen(page);
    memset((char *)page, 0, 4096);
    linux_os.release(NULL, page, 4096);
    open_heap(&heap);
}

/* --- other memory ---------------------------------------------------------------------------- */

/* Both grow, by reservations that are smaller than what they come to. */
static void two_heaps(void)
{
    static kiln_heap_t second;
    const size_t bytes = 40 << 20, piece_bytes = 100 << 10;
    open_heap(&second);
    for (size_t i = 0; i < bytes / piece_bytes; i++)
        if (!kiln_heap_malloc(&heap, NULL, piece_bytes) ||
            !kiln_heap_malloc(&second, NULL, piece_bytes))
            exit(2);
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
    kiln_heap_destroy(&heap);
    map_unseen((uintptr_t)new);
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
    DEED(write_the_struct_of_a_heap),
    DEED(a_struct_that_was_a_heap),
    DEED(the_records_of_a_heap_that_is_gone),
    DEED(two_heaps),
    DEED(heaps_one_after_another),
    DEED(fork_beside_threads),
    DEED(resize_what_the_program_poisoned),
    DEED(a_heap_that_is_gone),
    {NULL, NULL},
};
