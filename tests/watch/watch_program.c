/* watch_program CASE [EVENT] - does one thing with blocks of a heap that is watched, or of one that
 * is not. With EVENT the watcher is not told of those. watch_test.sh says what each tool must say
 * of it. */
#define _GNU_SOURCE
#include "allocator/api/start.h"
#include "allocator/os/linux.h"
#include "allocator/os/within.h"
#include "sanitizer/watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
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

static kiln_heap_t heap;
static kiln_os_t linux_os;
static kiln_os_within_t small; /* valgrind takes minutes over half a TiB */

static const char *forgotten;

static void forget_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    (void)addr;
    (void)bytes;
}

static void forget(kiln_watcher_t *watcher, const char *event)
{
    if (strcmp(event, "alloc") == 0) watcher->alloc = NULL;
    if (strcmp(event, "free") == 0) watcher->free = NULL;
    if (strcmp(event, "zeroed") == 0) watcher->zeroed = NULL;
    if (strcmp(event, "copy") == 0) watcher->copy = NULL;
    if (strcmp(event, "retire") == 0) watcher->retire = NULL;
    if (strcmp(event, "grow") == 0) watcher->grow = forget_grow;
}

/* The tool's watcher, but for what is forgotten. */
static const kiln_watcher_t *watcher_of(void)
{
    static kiln_watcher_t part;
    if (!kiln_watch() || !forgotten) return kiln_watch();
    part = *kiln_watch();
    forget(&part, forgotten);
    return &part;
}

static void open_heap(kiln_heap_t *new)
{
    kiln_heap_config_t config = kiln_start_config(kiln_watch_os(&small.os));
    config.watcher = watcher_of();
    const char *reason = kiln_heap_init(new, &config);
    if (reason) {
        fprintf(stderr, "watch_program: %s\n", reason);
        exit(2);
    }
}

static char *take(size_t bytes)
{
    char *block = kiln_heap_malloc(&heap, NULL, bytes);
    if (!block) exit(2);
    return block;
}

static char *resize(char *block, size_t bytes)
{
    kiln_misuse_t misuse;
    block = kiln_heap_realloc(&heap, NULL, block, bytes, &misuse);
    if (!block || misuse != KILN_MISUSE_NONE) exit(2);
    return block;
}

static void give(void *block)
{
    if (kiln_heap_free(&heap, NULL, block) != KILN_MISUSE_NONE) exit(2);
}

/* use makes the program depend on a byte. */
static void use(const char *at)
{
    if (*at == 'x') puts("an x");
}

static volatile size_t past; /* 0, which the compiler does not know */

/* --- bounds ---------------------------------------------------------------------------------- */

static void write_past_20(void)
{
    char *block = take(20);
    block[20 + past] = 1;
}

static void read_past_100000(void)
{
    char *block = take(100000);
    memset(block, 0, 100000);
    use(&block[100000 + past]);
}

static void write_before(void)
{
    (void)take(40);
    char *block = take(40);
    block[-1 - (int)past] = 1;
}

static void write_past_aligned(void)
{
    char *block = kiln_heap_aligned(&heap, NULL, 64, 65);
    block[65 + past] = 1;
}

static void read_what_a_realloc_cut(void)
{
    char *block = take(100);
    memset(block, 0, 100);
    block = resize(block, 40);
    use(&block[40 + past]);
}

static void every_byte_of_every_size(void)
{
    for (size_t bytes = 1; bytes < 300; bytes++) {
        char *block = take(bytes);
        memset(block, 'a', bytes);
        block = resize(block, bytes + bytes % 7);
        memset(block, 'b', bytes + bytes % 7);
        if (bytes % 3 == 0) give(block);
    }
    for (size_t bytes = 1; bytes < (1 << 22); bytes *= 3) {
        char *block = kiln_heap_calloc(&heap, NULL, 1, bytes);
        use(&block[bytes - 1]);
        block[bytes - 1] = 1;
        give(block);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

static void read_after_free(void)
{
    char *block = take(50);
    memset(block, 0, 50);
    give(block);
    use(&block[10]);
}

static void write_after_free_large(void)
{
    char *block = take(1 << 20);
    memset(block, 0, 1 << 20);
    give(block);
    block[4096] = 1;
}

static void read_what_a_realloc_left(void)
{
    char *block = take(50);
    memset(block, 0, 50);
    (void)resize(block, 60);
    use(&block[10]);
}

static void a_place_used_again(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        char *block = take(1 + i % 200);
        memset(block, 0, 1 + i % 200);
        give(block);
    }
}

/* --- values ---------------------------------------------------------------------------------- */

static void use_what_nobody_wrote(void)
{
    use(take(30) + 7);
}

static void use_what_an_earlier_owner_wrote(void)
{
    for (unsigned i = 0; i < 100; i++) {
        char *block = take(3000);
        memset(block, 0, 3000);
        give(block);
    }
    use(take(3000) + 2000);
}

static void use_what_a_realloc_added(void)
{
    char *block = take(10);
    memset(block, 0, 10);
    use(resize(block, 5000) + 50);
}

static void use_what_was_not_written_before_a_realloc(void)
{
    char *block = take(100);
    memset(block, 0, 50);
    use(resize(block, 5000) + 70);
}

static void use_what_a_realloc_added_in_its_old_place(void)
{
    char *block = take(33);
    memset(block, 0, 33);
    use(resize(block, 200) + 42);
}

static void use_what_the_heap_answers(void)
{
    char *block = take(100);
    kiln_misuse_t misuse;
    size_t usable = kiln_heap_usable(&heap, block, &misuse);
    kiln_heap_about_t about = kiln_heap_about(&heap, block + 5);
    kiln_heap_stats_t stats = kiln_heap_stats(&heap);
    if (misuse != KILN_MISUSE_NONE || usable < 100 || !about.live || stats.live_bytes < 100)
        exit(2);
    if (kiln_heap_free(&heap, NULL, block + 1) != KILN_MISUSE_INTERIOR) exit(2);
}

static void use_what_a_realloc_kept(void)
{
    char *block = take(100);
    memset(block, 0, 100);
    block = resize(block, 200000);
    use(&block[99]);
    block = resize(block, 30);
    use(&block[29]);
}

static void use_what_calloc_cleared(void)
{
    for (size_t i = 0; i < 100; i++) {
        char *block = kiln_heap_calloc(&heap, NULL, 10, 1 + 100 * i);
        for (size_t at = 0; at < 10 * (1 + 100 * i); at++) use(&block[at]);
        memset(block, 1, 10 * (1 + 100 * i));
        give(block);
    }
}

/* --- threads: what orders them is relaxed, and so orders nothing for a tool --------------------
 */

static _Atomic int turn;
static char *shared, *other;

static void wait_for(int number)
{
    while (atomic_load_explicit(&turn, memory_order_relaxed) != number) continue;
}

static void say(int number)
{
    atomic_store_explicit(&turn, number, memory_order_relaxed);
}

static void in_two_threads(void *(*first)(void *), void *(*second)(void *))
{
    pthread_t threads[2];
    if (pthread_create(&threads[0], NULL, first, NULL) != 0) exit(2);
    if (pthread_create(&threads[1], NULL, second, NULL) != 0) exit(2);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
}

static void *write_shared_first(void *unused)
{
    shared[3] = 1;
    say(1);
    return unused;
}

static void *write_shared_second(void *unused)
{
    wait_for(1);
    shared[3] = 2;
    return unused;
}

static void two_writers(void)
{
    shared = take(64);
    in_two_threads(write_shared_first, write_shared_second);
}

static void *use_and_free(void *unused)
{
    char *block = take(64);
    memset(block, 1, 64);
    other = block;
    give(block);
    say(1);
    return unused;
}

static char *taken[64];

/* A heap gives a place out again sooner or later. */
static void take_the_place_again(void)
{
    for (unsigned i = 0; i < 64; i++) {
        taken[i] = take(64);
        memset(taken[i], 2, 64);
    }
}

static void *take_and_use(void *unused)
{
    wait_for(1);
    take_the_place_again();
    return unused;
}

static void a_place_goes_to_another_thread(void)
{
    in_two_threads(use_and_free, take_and_use);
}

static void *write_then_free(void *unused)
{
    shared[3] = 1;
    return use_and_free(unused);
}

static void *take_then_write(void *unused)
{
    (void)take_and_use(unused);
    shared[3] = 2;
    return unused;
}

static void a_place_orders_nothing(void)
{
    shared = take(64);
    in_two_threads(write_then_free, take_then_write);
}

static void *take_a_new_one(void *unused)
{
    shared = take(64);
    say(1);
    return unused;
}

static void a_new_block_goes_to_another_thread(void)
{
    in_two_threads(take_a_new_one, write_shared_second);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *write_with_lock(void *unused)
{
    (void)pthread_mutex_lock(&lock);
    shared[3]++;
    (void)pthread_mutex_unlock(&lock);
    return unused;
}

static void two_writers_with_a_lock(void)
{
    shared = take(64);
    memset(shared, 0, 64);
    in_two_threads(write_with_lock, write_with_lock);
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

typedef struct deed {
    const char *name;
    void (*act)(void);
} deed_t;

#define DEED(name) {#name, name}

static const deed_t deeds[] = {
    DEED(write_past_20),
    DEED(read_past_100000),
    DEED(write_before),
    DEED(write_past_aligned),
    DEED(read_what_a_realloc_cut),
    DEED(every_byte_of_every_size),
    DEED(read_after_free),
    DEED(write_after_free_large),
    DEED(read_what_a_realloc_left),
    DEED(a_place_used_again),
    DEED(use_what_nobody_wrote),
    DEED(use_what_an_earlier_owner_wrote),
    DEED(use_what_a_realloc_added),
    DEED(use_what_was_not_written_before_a_realloc),
    DEED(use_what_a_realloc_added_in_its_old_place),
    DEED(use_what_the_heap_answers),
    DEED(use_what_a_realloc_kept),
    DEED(use_what_calloc_cleared),
    DEED(two_writers),
    DEED(a_place_goes_to_another_thread),
    DEED(a_place_orders_nothing),
    DEED(a_new_block_goes_to_another_thread),
    DEED(two_writers_with_a_lock),
    DEED(system_block_in_a_live_one),
    DEED(system_block_in_a_freed_one),
    DEED(a_block_is_lost),
    DEED(a_block_is_not_lost),
    DEED(two_heaps),
    DEED(heaps_one_after_another),
    DEED(fork_beside_threads),
    DEED(resize_what_the_program_poisoned),
    DEED(a_heap_that_is_gone),
};

int main(int argc, char **argv)
{
    const char *name = argc == 2 || argc == 3 ? argv[1] : "";
    forgotten = argc == 3 ? argv[2] : NULL;
    kiln_os_linux_init(&linux_os, 0);
    kiln_os_within_init(&small, &linux_os, 0, 0, KILN_GIB(1));
    open_heap(&heap);
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        if (strcmp(name, "--list") == 0) puts(deeds[i].name);
        if (strcmp(name, deeds[i].name) != 0) continue;
        deeds[i].act();
        fflush(stdout);
        fputs("done\n", stderr);
        return 0;
    }
    if (strcmp(name, "--list") == 0) return 0;
    fprintf(stderr, "watch_program: there is no case '%s'; --list prints all\n", name);
    return 2;
}
