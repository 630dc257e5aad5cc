#include "allocator/os/check.h"

#include "allocator/base/check.h"

/* The caller's side: stops the program for a call that os.h does not allow. */
static void judge(const kiln_os_check_t *check, kiln_os_call_t call, kiln_addr_t addr,
                  uint64_t bytes, bool reserved)
{
    KILN_CHECK_RULE(kiln_os_model_rule(&check->model, call, addr, bytes, reserved));
}

static void record(kiln_os_check_t *check, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                   kiln_os_use_t use, kiln_os_access_t access)
{
    if (!kiln_os_model_do(&check->model, call, addr, bytes, use, access))
        kiln_check_failed(KILN_OS_RULE_FULL, __FILE__, __LINE__);
}

/* The backend's side of reserve and direct. */
static void accept(kiln_os_check_t *check, kiln_addr_t addr, uint64_t bytes, kiln_os_state_t state,
                   kiln_os_use_t use)
{
    const kiln_os_model_t *model = &check->model;
    const char *rule = NULL;
    bool fits = bytes <= model->mask && addr <= model->mask;
    uint64_t whole_bytes = fits ? kiln_round_up(bytes, model->phys_bytes) : 0; /* 0 fits nowhere */

    if (bytes == 0)
        rule = KILN_OS_RULE_ANSWER_EMPTY;
    else if (!kiln_is_aligned(addr, model->phys_bytes))
        rule = KILN_OS_RULE_ANSWER_ALIGN;
    else if (whole_bytes - 1 > model->mask - addr)
        rule = KILN_OS_RULE_ANSWER_SPACE;
    else if (!kiln_ranges_free(&model->ranges, addr, addr + (whole_bytes - 1)))
        rule = KILN_OS_RULE_ANSWER_OURS;
    if (rule) kiln_check_failed(rule, __FILE__, __LINE__);
    if (!kiln_os_model_grant(&check->model, addr, whole_bytes, state, use))
        kiln_check_failed(KILN_OS_RULE_FULL, __FILE__, __LINE__);
}

static void look_for_zeros(const kiln_os_check_t *check, kiln_addr_t addr, uint64_t bytes)
{
    if (!check->look) return;
    const uint64_t *word = (const uint64_t *)(uintptr_t)addr;
    for (uint64_t i = 0; i < bytes / sizeof *word; i++)
        if (word[i] != 0) kiln_check_failed(KILN_OS_RULE_ANSWER_ZERO, __FILE__, __LINE__);
}

static kiln_addr_t check_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_os_check_t *check = ctx;
    kiln_addr_t addr = check->inner->reserve(check->inner->ctx, hint, bytes, out_reserved);
    if (addr != 0)
        accept(check, addr, bytes, *out_reserved ? KILN_OS_RESERVED : KILN_OS_UNRESERVED, 0);
    return addr;
}

static kiln_os_answer_t check_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                     kiln_os_use_t use)
{
    kiln_os_check_t *check = ctx;
    judge(check, KILN_OS_CALL_COMMIT, addr, bytes, reserved);
    bool taken = !kiln_ranges_free(&check->model.ranges, addr, addr + (bytes - 1));
    kiln_os_answer_t answer = check->inner->commit(check->inner->ctx, addr, bytes, reserved, use);

    if (reserved && answer == KILN_OS_ELSEWHERE)
        kiln_check_failed(KILN_OS_RULE_ANSWER_ELSEWHERE, __FILE__, __LINE__);
    if (answer != KILN_OS_OK) return answer;
    if (!reserved && taken) kiln_check_failed(KILN_OS_RULE_ANSWER_TAKEN, __FILE__, __LINE__);
    record(check, KILN_OS_CALL_COMMIT, addr, bytes, use, KILN_OS_READ_WRITE);
    look_for_zeros(check, addr, bytes);
    return answer;
}

static void check_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_check_t *check = ctx;
    judge(check, KILN_OS_CALL_DISCARD, addr, bytes, true);
    check->inner->discard(check->inner->ctx, addr, bytes);
    record(check, KILN_OS_CALL_DISCARD, addr, bytes, 0, KILN_OS_NO_ACCESS);
}

static void check_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_check_t *check = ctx;
    judge(check, KILN_OS_CALL_DECOMMIT, addr, bytes, true);
    check->inner->decommit(check->inner->ctx, addr, bytes);
    record(check, KILN_OS_CALL_DECOMMIT, addr, bytes, 0, KILN_OS_NO_ACCESS);
}

static bool check_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    kiln_os_check_t *check = ctx;
    judge(check, KILN_OS_CALL_PROTECT, addr, bytes, true);
    bool done = check->inner->protect(check->inner->ctx, addr, bytes, access);
    if (done) record(check, KILN_OS_CALL_PROTECT, addr, bytes, 0, access);
    return done;
}

/* What becomes Ready has to be zero; what was Ready before has its bytes. */
static void look_into_guarded(const kiln_os_check_t *check, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_ranges_t *ranges = &check->model.ranges;
    kiln_addr_t last = addr + (bytes - 1);
    for (unsigned i = kiln_ranges_find(ranges, addr);
         i < ranges->count && ranges->items[i].first <= last; i++) {
        const kiln_os_range_t *item = &ranges->items[i];
        kiln_addr_t from = item->first > addr ? item->first : addr;
        kiln_addr_t to = item->last < last ? item->last : last;
        if (item->tag.state == KILN_OS_GUARDED) look_for_zeros(check, from, to - from + 1);
    }
}

static bool check_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_check_t *check = ctx;
    judge(check, KILN_OS_CALL_GUARD, addr, bytes, true);
    if (!kiln_os_guard(check->inner, addr, bytes, on)) return false;
    if (!on) look_into_guarded(check, addr, bytes);
    record(check, KILN_OS_CALL_GUARD, addr, bytes, 0, on ? KILN_OS_NO_ACCESS : KILN_OS_READ_WRITE);
    return true;
}

static void check_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_check_t *check = ctx;
    judge(check, KILN_OS_CALL_HUGE, addr, bytes, on);
    kiln_os_huge(check->inner, addr, bytes, on);
}

static void check_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_check_t *check = ctx;
    judge(check, KILN_OS_CALL_RELEASE, addr, bytes, true);
    check->inner->release(check->inner->ctx, addr, bytes);
    record(check, KILN_OS_CALL_RELEASE, addr, bytes, 0, KILN_OS_NO_ACCESS);
}

static kiln_addr_t check_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_os_check_t *check = ctx;
    kiln_addr_t addr = check->inner->direct(check->inner->ctx, bytes, use);
    if (addr == 0) return 0;
    accept(check, addr, bytes, KILN_OS_READY, use);
    look_for_zeros(check, addr, kiln_round_up(bytes, check->model.phys_bytes));
    return addr;
}

void kiln_os_check_init(kiln_os_check_t *check, const kiln_os_t *inner, kiln_os_range_t *ranges,
                        unsigned ranges_max, bool look)
{
    *check = (kiln_os_check_t){
        .os =
            {
                .ctx = check,
                .phys_bytes = inner->phys_bytes,
                .huge_bytes = inner->huge_bytes,
                .addr_bits = inner->addr_bits,
                .reserve = check_reserve,
                .commit = check_commit,
                .discard = check_discard,
                .decommit = check_decommit,
                .protect = check_protect,
                .guard = check_guard,
                .huge = check_huge,
                .release = check_release,
                .direct = check_direct,
                .parker = inner->parker,
            },
        .inner = inner,
        .look = look,
    };
    kiln_os_model_init(&check->model, ranges, ranges_max, inner->phys_bytes, inner->addr_bits);
}

const kiln_os_range_t *kiln_os_check_next(const kiln_os_check_t *check, unsigned *io_idx)
{
    return kiln_os_model_next(&check->model, io_idx);
}
