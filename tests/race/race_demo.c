/* A program with a data race, on a heap that the race detector of Go watches; run it by
 * `./kiln run --race-demo`. It says what it does, and shows the lines of this file that do it. */
#define _GNU_SOURCE
#include "allocator/os/linux.h"
#include "sanitizer/race/race.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static kiln_os_t os;
static kiln_heap_t heap;

/* ---- what a program for the detector looks like ---- */

typedef struct {
    kiln_race_thread_t race;
    pthread_mutex_t *lock; /* NULL: none is taken */
    long *visits;
} visitor_t;

static void visit(long *visits)
{
    KILN_RACE_PLACE(here);
    kiln_race_write(visits, sizeof *visits, &here);
    ++*visits;
}

static void *visitor(void *self)
{
    visitor_t *me = self;
    kiln_race_enter(&me->race);
    if (me->lock) {
        pthread_mutex_lock(me->lock);
        kiln_race_acquire(me->visits);
    }
    visit(me->visits);
    if (me->lock) {
        kiln_race_release(me->visits);
        pthread_mutex_unlock(me->lock);
    }
    kiln_race_leave();
    return NULL;
}

static long *make_counter(void)
{
    KILN_RACE_PLACE(here);
    kiln_race_at(&here);
    return kiln_heap_calloc(&heap, NULL, 1, sizeof(long));
}

static void visit_twice(long *visits, pthread_mutex_t *lock)
{
    KILN_RACE_PLACE(here);
    visitor_t visitors[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        visitors[i] = (visitor_t){.lock = lock, .visits = visits};
        kiln_race_create(&visitors[i].race, &here);
        if (pthread_create(&threads[i], NULL, visitor, &visitors[i]) != 0) abort();
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

/* ---- the demonstration ---- */

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "race-demo: %s: %s\n", what, why);
    exit(2);
}

static void make_heap(void)
{
    KILN_RACE_PLACE(here);
    kiln_os_linux_init(&os, 0);
    kiln_heap_config_t config = {
        .os = &os,
        .arena_os = &os,
        .arena = kiln_arena_config_default(64, os.phys_bytes),
        .idle_bytes_max = KILN_MIB(64),
    };
    config.arena.tables = 1u << KILN_ARENA_SPANS;
    const char *why = kiln_race_start(&heap, &here);
    if (!why) why = kiln_race_arrange(&config);
    if (!why) why = kiln_heap_init(&heap, &config);
    if (!why) return;
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur < 2 * KILN_RACE_HEAP_BYTES;
    fail("there is no heap",
         limited ? "the address space is limited; before: ulimit -v unlimited" : why);
}

/* show prints this file's function `name`, with line numbers. */
static void show(const char *source, const char *name)
{
    char line[256];
    int shown = 0;
    FILE *file = fopen(source, "r");
    if (!file) fail(source, "cannot be read: give the path of this program's source");
    for (int number = 1; shown != 2 && fgets(line, sizeof line, file); number++) {
        const char *called = strstr(line, name);
        if (!shown && line[0] != ' ' && called && called[strlen(name)] == '(') shown = 1;
        if (shown) printf("    %3d  %s", number, line);
        if (shown && line[0] == '}') shown = 2;
    }
    fclose(file);
    printf("\n");
}

int main(int argc, char **argv)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (argc != 2) fail("one argument is wanted", "the path of race_demo.c");

    printf("A heap of Kiln's, watched by LLVM's race runtime as Go links it. make_counter takes a\n"
           "block from it; two threads add to the counter in it.\n\n");
    show(argv[1], "make_counter");
    show(argv[1], "visit");
    make_heap();
    long *visits = make_counter();

    printf("First each thread takes a lock, and tells the detector so. It has nothing to say:\n");
    fflush(stdout);
    visit_twice(visits, &lock);
    printf("    %llu reports, %ld visits\n\n", (unsigned long long)kiln_race_reports(), *visits);

    printf(
        "Then the block is freed, and given to threads that take no lock. What is the race, who\n"
        "is in it, whose block it is and where that was allocated, the detector says:\n\n");
    fflush(stdout);
    if (kiln_heap_free(&heap, NULL, visits) != KILN_MISUSE_NONE) abort();
    visit_twice(make_counter(), NULL);
    if (kiln_race_reports() == 0) fail("the detector found nothing", "this is a defect");
    kiln_race_finish();
}
