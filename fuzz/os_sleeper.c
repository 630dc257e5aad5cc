#define _GNU_SOURCE
#include "fuzz/os_sleeper.h"

#include "allocator/base/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_SECONDS = 20 };

static kiln_lock_t lock;
static const kiln_parker_t *lock_parker;
static _Atomic int sleeper_id; /* of the thread, once it runs */

static void *sleeper(void *arg)
{
    (void)arg;
    atomic_store(&sleeper_id, (int)gettid());
    kiln_lock_acquire(&lock, lock_parker);
    kiln_lock_release(&lock, lock_parker);
    return NULL;
}

/* is_asleep asks /proc for the letter behind the thread's name, which stands in brackets. */
static bool is_asleep(int id)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
    int file = open(path, O_RDONLY);
    if (file < 0) return true; /* no /proc: whoever noted that he sleeps is believed */
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return true;
    text[length] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && name_end[1] == ' ' && name_end[2] == 'S';
}

static bool is_past(const struct timespec *until)
{
    struct timespec now;
    return clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec > until->tv_sec;
}

bool kiln_os_sleeper_wakes(const kiln_parker_t *parker)
{
    pthread_t thread;
    struct timespec until;
    lock = (kiln_lock_t){.word = 0};
    lock_parker = parker;
    atomic_store(&sleeper_id, 0);
    kiln_lock_acquire(&lock, parker);
    if (pthread_create(&thread, NULL, sleeper, NULL) != 0) return true;
    KILN_CHECK(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += WAIT_SECONDS;
    while (atomic_load(&sleeper_id) == 0 || atomic_load(&lock.word) != 2 ||
           !is_asleep(atomic_load(&sleeper_id))) {
        (void)sched_yield();
        if (is_past(&until)) break; /* a parker that does not sleep: the release is judged */
    }
    kiln_lock_release(&lock, parker);
    until.tv_sec += WAIT_SECONDS;
    return pthread_timedjoin_np(thread, NULL, &until) == 0;
}
