/* kept_calls.h - calls of a hardened heap that go its common paths where it keeps who, and the
 * others else: what callers in `api` do. */
#ifndef KILN_TESTS_UNIT_KEPT_CALLS_H
#define KILN_TESTS_UNIT_KEPT_CALLS_H

#include "allocator/harden/harden_kept.h"

/* How many blocks the common paths made and ended. */
static unsigned kept_takes, kept_gives;

static inline kiln_by_t kept_by(const kiln_harden_t *harden, kiln_site_t site)
{
    return (kiln_by_t){site, harden->keeps_stacks ? harden->config.stack(site.caller) : 0};
}

static inline void *kept_take(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t bytes,
                              bool zero, kiln_site_t site)
{
    void *block = NULL;
    if (mine && kiln_harden_keeps(mine, bytes))
        block = kiln_harden_malloc_kept(harden->heap, mine, bytes, zero, kept_by(harden, site));
    if (block) kept_takes++;
    return block ? block : kiln_harden_malloc(harden, mine, bytes, zero, site);
}

static inline kiln_misuse_t kept_give(kiln_harden_t *harden, kiln_harden_thread_t *mine,
                                      void *block, kiln_site_t site)
{
    bool done = mine && mine->kept_bytes != 0 &&
                kiln_harden_free_kept(harden->heap, mine, block, kept_by(harden, site));
    if (done) kept_gives++;
    return done ? KILN_MISUSE_NONE : kiln_harden_free(harden, mine, block, site);
}

#endif
