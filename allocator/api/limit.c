#include "allocator/api/limit.h"

#include <stddef.h>

static kiln_addr_t reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_limit_t *limit = ctx;
    limit->direct_bytes = 0; /* what of it went back may lie in what is granted now */
    return limit->inner->reserve(limit->inner->ctx, hint, bytes, out_reserved);
}

static kiln_os_answer_t commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                               kiln_os_use_t use)
{
    kiln_limit_t *limit = ctx;
    bool counts = use == KILN_OS_HEAP;
    if (counts && bytes > limit->bytes_max - limit->bytes) return KILN_OS_FAIL;
    kiln_os_answer_t answer = limit->inner->commit(limit->inner->ctx, addr, bytes, reserved, use);
    if (counts && answer == KILN_OS_OK) limit->bytes += bytes;
    return answer;
}

static void give_back(kiln_limit_t *limit, uint64_t bytes)
{
    limit->bytes -= bytes < limit->bytes ? bytes : limit->bytes;
}

static void discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_limit_t *limit = ctx;
    limit->inner->discard(limit->inner->ctx, addr, bytes);
    give_back(limit, bytes);
}

static void decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_limit_t *limit = ctx;
    limit->inner->decommit(limit->inner->ctx, addr, bytes);
    give_back(limit, bytes);
}

static bool protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    const kiln_limit_t *limit = ctx;
    return limit->inner->protect(limit->inner->ctx, addr, bytes, access);
}

static bool guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    const kiln_limit_t *limit = ctx;
    return kiln_os_guard(limit->inner, addr, bytes, on);
}

static void release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_limit_t *limit = ctx;
    /* All else that is released was only Reserved. */
    if (addr >= limit->direct_start && addr - limit->direct_start < limit->direct_bytes)
        give_back(limit, bytes);
    limit->inner->release(limit->inner->ctx, addr, bytes);
}

static kiln_addr_t direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_limit_t *limit = ctx;
    bool counts = use == KILN_OS_HEAP;
    if (counts && bytes > limit->bytes_max - limit->bytes) return 0;
    kiln_addr_t addr = limit->inner->direct(limit->inner->ctx, bytes, use);
    if (!counts || addr == 0) return addr;
    limit->bytes += bytes;
    limit->direct_start = addr;
    limit->direct_bytes = bytes;
    return addr;
}

void kiln_limit_init(kiln_limit_t *limit, const kiln_os_t *inner, uint64_t bytes_max)
{
    *limit = (kiln_limit_t){.os = *inner, .inner = inner, .bytes_max = bytes_max};
    limit->os.ctx = limit;
    limit->os.reserve = reserve;
    limit->os.commit = commit;
    limit->os.discard = discard;
    limit->os.decommit = decommit;
    limit->os.protect = protect;
    limit->os.guard = guard;
    limit->os.release = release;
    limit->os.direct = direct;
    limit->os.huge_bytes = 0; /* growth by more than is needed would end sooner at the limit */
    limit->os.huge = NULL;
}
