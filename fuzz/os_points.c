/* os_points.c - see os_points.h. */
#include "fuzz/os_points.h"

#include "fuzz/fiber.h"

/* What the inner backend keeps is no business of TSan's: the kernel's is not either. */
static void arrive(const kiln_os_points_t *points)
{
    points->point();
    kiln_fiber_unseen_begin();
}

static void depart(const kiln_os_points_t *points)
{
    kiln_fiber_unseen_end();
    points->point();
}

static kiln_addr_t points_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    const kiln_os_points_t *points = ctx;
    arrive(points);
    kiln_addr_t answer = points->inner->reserve(points->inner->ctx, hint, bytes, out_reserved);
    depart(points);
    return answer;
}

static kiln_os_answer_t points_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                      kiln_os_use_t use)
{
    const kiln_os_points_t *points = ctx;
    arrive(points);
    kiln_os_answer_t answer = points->inner->commit(points->inner->ctx, addr, bytes, reserved, use);
    depart(points);
    return answer;
}

static void points_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_points_t *points = ctx;
    arrive(points);
    points->inner->discard(points->inner->ctx, addr, bytes);
    depart(points);
}

static void points_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_points_t *points = ctx;
    arrive(points);
    points->inner->decommit(points->inner->ctx, addr, bytes);
    depart(points);
}

static bool points_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    const kiln_os_points_t *points = ctx;
    arrive(points);
    bool answer = points->inner->protect(points->inner->ctx, addr, bytes, access);
    depart(points);
    return answer;
}

static bool points_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    const kiln_os_points_t *points = ctx;
    arrive(points);
    bool answer = kiln_os_guard(points->inner, addr, bytes, on);
    depart(points);
    return answer;
}

static void points_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_points_t *points = ctx;
    arrive(points);
    points->inner->release(points->inner->ctx, addr, bytes);
    depart(points);
}

static kiln_addr_t points_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    const kiln_os_points_t *points = ctx;
    arrive(points);
    kiln_addr_t answer = points->inner->direct(points->inner->ctx, bytes, use);
    depart(points);
    return answer;
}

void kiln_os_points_init(kiln_os_points_t *points, const kiln_os_t *inner, void (*point)(void),
                         void (*park)(_Atomic uint32_t *word, uint32_t value))
{
    *points = (kiln_os_points_t){.os = *inner, .inner = inner, .point = point};
    points->os.ctx = points;
    points->os.reserve = points_reserve;
    points->os.commit = points_commit;
    points->os.discard = points_discard;
    points->os.decommit = points_decommit;
    points->os.protect = points_protect;
    points->os.guard = points_guard;
    points->os.release = points_release;
    points->os.direct = points_direct;
    points->os.huge = NULL;
    points->os.huge_bytes = 0;
    points->os.parker = (kiln_parker_t){.wait = park};
}
