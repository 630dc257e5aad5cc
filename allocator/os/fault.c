#include "allocator/os/fault.h"

/* due counts a call and says whether it is made to fail. */
static bool due(kiln_os_fault_t *fault, kiln_os_call_t call)
{
    if (!(fault->calls_set >> call & 1)) return false;

    uint64_t idx = fault->calls_seen++; /* from 0 */
    bool fails = idx / 8 < fault->plan_bytes && fault->plan[idx / 8] >> (idx % 8) & 1;
    if (fault->fail_call != 0) {
        if (idx + 1 == fault->fail_call) fails = true;
        if (idx + 1 > fault->fail_call && fault->ever_after) fails = true;
    }
    if (fails) fault->faults++;
    return fails;
}

static kiln_addr_t fault_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_os_fault_t *fault = ctx;
    *out_reserved = false;
    if (due(fault, KILN_OS_CALL_RESERVE)) return 0;
    return fault->inner->reserve(fault->inner->ctx, hint, bytes, out_reserved);
}

static kiln_os_answer_t fault_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                     kiln_os_use_t use)
{
    kiln_os_fault_t *fault = ctx;
    if (due(fault, KILN_OS_CALL_COMMIT)) return KILN_OS_FAIL;
    return fault->inner->commit(fault->inner->ctx, addr, bytes, reserved, use);
}

static void fault_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fault_t *fault = ctx;
    fault->inner->discard(fault->inner->ctx, addr, bytes);
}

static void fault_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fault_t *fault = ctx;
    fault->inner->decommit(fault->inner->ctx, addr, bytes);
}

static bool fault_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    kiln_os_fault_t *fault = ctx;
    if (due(fault, KILN_OS_CALL_PROTECT)) return false;
    return fault->inner->protect(fault->inner->ctx, addr, bytes, access);
}

static bool fault_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_fault_t *fault = ctx;
    if (due(fault, KILN_OS_CALL_GUARD)) return false;
    return kiln_os_guard(fault->inner, addr, bytes, on);
}

static void fault_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_huge(((const kiln_os_fault_t *)ctx)->inner, addr, bytes, on);
}

static void fault_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fault_t *fault = ctx;
    fault->inner->release(fault->inner->ctx, addr, bytes);
}

static kiln_addr_t fault_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_os_fault_t *fault = ctx;
    if (due(fault, KILN_OS_CALL_DIRECT)) return 0;
    return fault->inner->direct(fault->inner->ctx, bytes, use);
}

void kiln_os_fault_init(kiln_os_fault_t *fault, const kiln_os_t *inner, uint64_t fail_call,
                        bool ever_after)
{
    *fault = (kiln_os_fault_t){
        .os =
            {
                .ctx = fault,
                .phys_bytes = inner->phys_bytes,
                .huge_bytes = inner->huge_bytes,
                .addr_bits = inner->addr_bits,
                .reserve = fault_reserve,
                .commit = fault_commit,
                .discard = fault_discard,
                .decommit = fault_decommit,
                .protect = fault_protect,
                .guard = fault_guard,
                .huge = fault_huge,
                .release = fault_release,
                .direct = fault_direct,
                .parker = inner->parker,
            },
        .inner = inner,
        .calls_set = KILN_OS_CALLS_REFUSABLE,
        .fail_call = fail_call,
        .ever_after = ever_after,
    };
}

void kiln_os_fault_init_plan(kiln_os_fault_t *fault, const kiln_os_t *inner, const uint8_t *plan,
                             size_t plan_bytes)
{
    kiln_os_fault_init(fault, inner, 0, false);
    fault->plan = plan;
    fault->plan_bytes = plan_bytes;
}

bool kiln_os_fault_missed(const kiln_os_fault_t *fault)
{
    bool planned = fault->fail_call != 0;
    for (size_t i = 0; i < fault->plan_bytes; i++) planned = planned || fault->plan[i] != 0;
    return planned && fault->faults == 0;
}
