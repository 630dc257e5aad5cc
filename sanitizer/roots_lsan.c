#include "sanitizer/roots_lsan.h"

#include <pthread.h>
#include <sanitizer/lsan_interface.h>
#include <stdbool.h>
#include <stddef.h>

enum { GROWTHS_MAX = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers what follows */

/* LeakSanitizer takes a root region back only as it was given. */
static struct {
    unsigned count;
    struct {
        uintptr_t before; /* the byte before it: who looks for leaks finds both this and what
                             LeakSanitizer notes, and a block may begin where a growth does */
        size_t bytes;
    } items[GROWTHS_MAX];
} growths;

static void register_root(unsigned idx, bool on)
{
    const void *start = (const void *)growths.items[idx].before;
    if (on)
        __lsan_register_root_region(start, growths.items[idx].bytes + 1);
    else
        __lsan_unregister_root_region(start, growths.items[idx].bytes + 1);
}

/* A growth that lies behind an earlier one becomes one region with it. */
static void add_root(kiln_addr_t addr, uint64_t bytes)
{
    unsigned idx = 0;
    uintptr_t before = (uintptr_t)addr - 1;
    while (idx < growths.count && growths.items[idx].before + growths.items[idx].bytes != before)
        idx++;
    if (idx == GROWTHS_MAX) return; /* that many holes: what only they point to is reported */
    if (idx < growths.count) {
        register_root(idx, false);
        growths.items[idx].bytes += (size_t)bytes;
    } else {
        growths.items[growths.count].before = before;
        growths.items[growths.count++].bytes = (size_t)bytes;
    }
    register_root(idx, true);
}

static void before_fork(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    (void)pthread_mutex_unlock(&lock);
}

void kiln_lsan_add(kiln_addr_t addr, uint64_t bytes)
{
    static bool forks_known;
    (void)pthread_mutex_lock(&lock);
    if (!forks_known) (void)pthread_atfork(before_fork, after_fork, after_fork);
    forks_known = true;
    add_root(addr, bytes);
    (void)pthread_mutex_unlock(&lock);
}

void kiln_lsan_drop(kiln_addr_t addr, uint64_t bytes)
{
    (void)pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < growths.count;) {
        if (growths.items[i].before + 1 - addr >= bytes) {
            i++;
            continue;
        }
        register_root(i, false);
        growths.items[i] = growths.items[--growths.count];
    }
    (void)pthread_mutex_unlock(&lock);
}
