#include "allocator/os/within.h"

static bool is_inside(const kiln_os_within_t *within, kiln_addr_t addr, uint64_t bytes)
{
    if (bytes == 0 || addr < within->first || addr > within->last) return false;
    return bytes - 1 <= within->last - addr;
}

static kiln_addr_t within_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    const kiln_os_within_t *within = ctx;
    const kiln_os_t *inner = within->inner;
    *out_reserved = false;
    if (bytes > within->reserve_bytes_max) return 0;
    if (!is_inside(within, hint, bytes)) hint = within->first;
    kiln_addr_t addr = inner->reserve(inner->ctx, hint, bytes, out_reserved);
    if (addr == 0 || is_inside(within, addr, bytes)) return addr;
    if (*out_reserved) inner->release(inner->ctx, addr, bytes);
    *out_reserved = false;
    return 0;
}

static kiln_os_answer_t within_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                      kiln_os_use_t use)
{
    const kiln_os_t *inner = ((const kiln_os_within_t *)ctx)->inner;
    return inner->commit(inner->ctx, addr, bytes, reserved, use);
}

static void within_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((const kiln_os_within_t *)ctx)->inner;
    inner->discard(inner->ctx, addr, bytes);
}

static void within_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((const kiln_os_within_t *)ctx)->inner;
    inner->decommit(inner->ctx, addr, bytes);
}

static bool within_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    const kiln_os_t *inner = ((const kiln_os_within_t *)ctx)->inner;
    return inner->protect(inner->ctx, addr, bytes, access);
}

static bool within_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    return kiln_os_guard(((const kiln_os_within_t *)ctx)->inner, addr, bytes, on);
}

static void within_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_huge(((const kiln_os_within_t *)ctx)->inner, addr, bytes, on);
}

static void within_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((const kiln_os_within_t *)ctx)->inner;
    inner->release(inner->ctx, addr, bytes);
}

static kiln_addr_t within_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    const kiln_os_within_t *within = ctx;
    const kiln_os_t *inner = within->inner;
    kiln_addr_t addr = inner->direct(inner->ctx, bytes, use);
    if (addr == 0 || use != KILN_OS_HEAP || is_inside(within, addr, bytes)) return addr;
    inner->release(inner->ctx, addr, bytes);
    return 0;
}

void kiln_os_within_init(kiln_os_within_t *within, const kiln_os_t *inner, kiln_addr_t first,
                         kiln_addr_t last, uint64_t reserve_bytes_max)
{
    *within = (kiln_os_within_t){
        .os =
            {
                .ctx = within,
                .phys_bytes = inner->phys_bytes,
                .huge_bytes = inner->huge_bytes,
                .addr_bits = inner->addr_bits,
                .reserve = within_reserve,
                .commit = within_commit,
                .discard = within_discard,
                .decommit = within_decommit,
                .protect = within_protect,
                .guard = within_guard,
                .huge = within_huge,
                .release = within_release,
                .direct = within_direct,
                .parker = inner->parker,
            },
        .inner = inner,
        .first = first,
        .last = last != 0 ? last : kiln_width_mask(inner->addr_bits),
        .reserve_bytes_max = reserve_bytes_max != 0 ? reserve_bytes_max : UINT64_MAX,
    };
}
