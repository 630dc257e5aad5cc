/* The calls of the fake OS: judge the caller by the model, decide whether to refuse, answer, and
 * record. Where things land is fake_policy.c. */
#include "allocator/os/fake.h"

#include "allocator/base/check.h"

enum {
    SCRIPT_REFUSE = 7, /* see fake.h, "The script" */
    SCRIPT_SOMEBODY = 6,
    SCRIPT_UNRESERVED = 1u << 4,
    RANGES_A_CALL = 2, /* a call that cannot be refused adds at most so many ranges */
    ADDR_BITS_MIN = 4,
    PAGES_MIN = 4,
};

/* --- decisions --- */

static void hash_answer(kiln_os_fake_t *fake, uint64_t answer)
{
    fake->answers_hash = (fake->answers_hash ^ answer) * UINT64_C(0x100000001b3);
    fake->answers_hash ^= fake->answers_hash >> 29;
}

static bool loose(const kiln_os_fake_t *fake)
{
    return fake->config.loose || fake->stats.lies != 0;
}

/* judge stops the program when the call breaks a rule. Where that is forgiven it answers whether
 * the call has an effect all the same: Linux maps over and unmaps whatever is there. */
static bool judge(const kiln_os_fake_t *fake, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                  bool reserved)
{
    const kiln_os_model_t *model = &fake->model;
    if (!kiln_os_model_rule(model, call, addr, bytes, reserved)) return true;

    const char *rule = kiln_os_model_range_rule(model, call, addr, bytes);
    if (rule) {
        /* A lie may wrap around the top; whoever believes it names such ranges. */
        bool passes_top = kiln_is_aligned(addr, model->phys_bytes) && bytes != 0 &&
                          kiln_is_aligned(bytes, model->phys_bytes);
        if (fake->stats.lies == 0 || !passes_top) kiln_check_failed(rule, __FILE__, __LINE__);
        return false;
    }
    if (!loose(fake)) KILN_CHECK_RULE(kiln_os_model_rule(model, call, addr, bytes, reserved));
    return call == KILN_OS_CALL_COMMIT || call == KILN_OS_CALL_RELEASE;
}

/* due_to_fail counts a call that can be refused and says whether count or plan refuse it. */
static bool due_to_fail(kiln_os_fake_t *fake, kiln_os_call_t call)
{
    const kiln_os_fake_config_t *config = &fake->config;
    if (!(config->refuse_calls >> call & 1)) return false;

    uint64_t idx = fake->stats.refusable++; /* from 0 */
    if (config->refuse_call != 0) {
        if (idx + 1 == config->refuse_call) return true;
        if (idx + 1 > config->refuse_call && config->refuse_ever_after) return true;
    }
    return idx / 8 < config->refuse_plan_bytes && config->refuse_plan[idx / 8] >> (idx % 8) & 1;
}

static bool over(uint64_t limit, uint64_t bytes)
{
    return limit != 0 && bytes > limit;
}

/* Would `bytes` more break the budget? */
static bool over_budget(uint64_t budget, uint64_t have, uint64_t bytes)
{
    return budget != 0 && (have > budget || bytes > budget - have);
}

/* Half of the ranges are kept for calls that cannot be refused. */
static bool out_of_ranges(const kiln_os_fake_t *fake)
{
    return fake->model.ranges.count + RANGES_A_CALL > fake->config.ranges_max / 2;
}

static uint64_t ours_bytes(const kiln_os_fake_t *fake)
{
    const uint64_t *bytes = fake->model.state_bytes;
    return bytes[KILN_OS_RESERVED] + bytes[KILN_OS_PREPARED] + bytes[KILN_OS_READY] +
           bytes[KILN_OS_GUARDED];
}

static void update_stats(kiln_os_fake_t *fake)
{
    kiln_os_fake_stats_t *stats = &fake->stats;
    stats->ready_bytes = fake->model.state_bytes[KILN_OS_READY];
    stats->space_bytes = ours_bytes(fake);
    if (stats->ready_bytes > stats->ready_peak_bytes) stats->ready_peak_bytes = stats->ready_bytes;
    if (stats->space_bytes > stats->space_peak_bytes) stats->space_peak_bytes = stats->space_bytes;
}

/* --- memory behind the addresses --- */

static void make_ready(kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_fake_memory_t *memory = fake->config.memory;
    if (!memory) return;
    if (memory->access) memory->access(memory->ctx, addr, bytes, KILN_OS_READ_WRITE);
    memory->zero(memory->ctx, addr, bytes);
}

static void set_access(const kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes,
                       kiln_os_access_t access)
{
    const kiln_os_fake_memory_t *memory = fake->config.memory;
    if (memory && memory->access) memory->access(memory->ctx, addr, bytes, access);
}

/* --- reserve and direct --- */

/* grant records the answer of a reserve or direct; a lie may pass the top and overlap. */
static void grant(kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes, kiln_os_state_t state,
                  kiln_os_use_t use)
{
    uint64_t mask = fake->model.mask;
    kiln_addr_t last = bytes - 1 > mask - addr ? mask : addr + (bytes - 1);
    bool kept = kiln_os_model_grant(&fake->model, addr, last - addr + 1, state, use);
    if (!kept) kiln_check_failed(KILN_OS_RULE_FULL, __FILE__, __LINE__);
    fake->grant = addr;
    fake->grant_last = last;
    if (fake->lowest_grant == 0 || addr < fake->lowest_grant) fake->lowest_grant = addr;
    if (state == KILN_OS_READY) make_ready(fake, addr, last - addr + 1);
}

/* somebody maps `bytes` at `addr` if it is free. */
static void somebody_maps(kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_fake_config_t *config = &fake->config;
    if (addr < config->space_first || addr > config->space_last) return;
    if (out_of_ranges(fake)) return;
    if (kiln_ranges_free(&fake->model.ranges, addr, addr + (bytes - 1)))
        (void)kiln_os_model_place(&fake->model, addr, bytes, KILN_OS_FOREIGN);
}

/* take is what reserve and direct share: the address, or 0. `*out_script` is this call's byte. */
static kiln_addr_t take(kiln_os_fake_t *fake, kiln_os_call_t call, kiln_addr_t hint, uint64_t bytes,
                        uint8_t *out_script)
{
    const kiln_os_fake_config_t *config = &fake->config;
    bool due = due_to_fail(fake, call);
    uint8_t script = kiln_os_fake_script_byte(fake);
    kiln_os_fake_place_t policy = config->policy;

    *out_script = script;
    if (policy == KILN_PLACE_SCRIPT) policy = (kiln_os_fake_place_t)(script & 0xf);
    if (bytes == 0 || due || script >> 5 == SCRIPT_REFUSE || out_of_ranges(fake)) return 0;
    if (bytes > fake->model.mask - (config->phys_bytes - 1)) return 0;
    bytes = kiln_round_up(bytes, config->phys_bytes);
    if (over_budget(config->space_budget_bytes, ours_bytes(fake), bytes)) return 0;
    if (call == KILN_OS_CALL_RESERVE && over(config->reserve_bytes_max, bytes)) return 0;
    if (call == KILN_OS_CALL_DIRECT &&
        (over(config->commit_bytes_max, bytes) ||
         over_budget(config->ready_budget_bytes, fake->model.state_bytes[KILN_OS_READY], bytes)))
        return 0;
    if (script >> 5 == SCRIPT_SOMEBODY)
        somebody_maps(fake, kiln_round_down(hint & fake->model.mask, config->phys_bytes),
                      config->phys_bytes);
    return kiln_os_fake_choose(fake, policy, hint, bytes);
}

static kiln_addr_t fake_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_os_fake_t *fake = ctx;
    uint8_t script;
    *out_reserved = false;
    fake->stats.calls[KILN_OS_CALL_RESERVE]++;
    kiln_addr_t addr = take(fake, KILN_OS_CALL_RESERVE, hint, bytes, &script);
    if (addr == 0) {
        fake->stats.refused[KILN_OS_CALL_RESERVE]++;
        hash_answer(fake, 0);
        return 0;
    }
    uint64_t unreserved_bytes = fake->config.unreserved_bytes;
    *out_reserved =
        !(unreserved_bytes != 0 && bytes >= unreserved_bytes) && !(script & SCRIPT_UNRESERVED);
    grant(fake, addr, kiln_round_up(bytes, fake->config.phys_bytes),
          *out_reserved ? KILN_OS_RESERVED : KILN_OS_UNRESERVED, 0);
    update_stats(fake);
    hash_answer(fake, addr + *out_reserved);
    return addr;
}

static kiln_addr_t fake_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_os_fake_t *fake = ctx;
    uint8_t script;
    fake->stats.calls[KILN_OS_CALL_DIRECT]++;
    kiln_addr_t addr = take(fake, KILN_OS_CALL_DIRECT, 0, bytes, &script);
    if (addr == 0)
        fake->stats.refused[KILN_OS_CALL_DIRECT]++;
    else
        grant(fake, addr, kiln_round_up(bytes, fake->config.phys_bytes), KILN_OS_READY, use);
    update_stats(fake);
    hash_answer(fake, addr);
    return addr;
}

/* --- the calls that name a range --- */

static kiln_os_answer_t decide_commit(kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes,
                                      bool reserved)
{
    const kiln_os_fake_config_t *config = &fake->config;
    bool due = due_to_fail(fake, KILN_OS_CALL_COMMIT);
    unsigned script = kiln_os_fake_script_byte(fake) & 7u;
    uint64_t ready_bytes = fake->model.state_bytes[KILN_OS_READY];

    if (due || script == SCRIPT_REFUSE || out_of_ranges(fake)) return KILN_OS_FAIL;
    if (over(config->commit_bytes_max, bytes)) return KILN_OS_FAIL;
    if (over_budget(config->ready_budget_bytes, ready_bytes, bytes)) return KILN_OS_FAIL;
    if (reserved) return KILN_OS_OK;

    /* Unreserved memory becomes ours only now. */
    if (over_budget(config->space_budget_bytes, ours_bytes(fake), bytes)) return KILN_OS_FAIL;
    kiln_addr_t last = addr + (bytes - 1);
    if (script == SCRIPT_SOMEBODY)
        somebody_maps(fake, last - (config->phys_bytes - 1), config->phys_bytes);
    if (!kiln_ranges_free(&fake->model.ranges, addr, last)) return KILN_OS_ELSEWHERE;
    return KILN_OS_OK;
}

static void record(kiln_os_fake_t *fake, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                   kiln_os_use_t use, kiln_os_access_t access)
{
    uint64_t foreign_before = fake->model.state_bytes[KILN_OS_FOREIGN];
    if (!kiln_os_model_do(&fake->model, call, addr, bytes, use, access))
        kiln_check_failed(KILN_OS_RULE_FULL, __FILE__, __LINE__);
    fake->stats.clobbered_bytes += foreign_before - fake->model.state_bytes[KILN_OS_FOREIGN];
    update_stats(fake);
}

static kiln_os_answer_t fake_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                    kiln_os_use_t use)
{
    kiln_os_fake_t *fake = ctx;
    fake->stats.calls[KILN_OS_CALL_COMMIT]++;
    bool possible = judge(fake, KILN_OS_CALL_COMMIT, addr, bytes, reserved);

    kiln_os_answer_t answer = possible ? decide_commit(fake, addr, bytes, reserved) : KILN_OS_FAIL;
    if (answer == KILN_OS_FAIL) fake->stats.refused[KILN_OS_CALL_COMMIT]++;
    if (answer == KILN_OS_ELSEWHERE) fake->stats.elsewhere++;
    hash_answer(fake, (uint64_t)answer);
    if (answer != KILN_OS_OK) return answer;
    record(fake, KILN_OS_CALL_COMMIT, addr, bytes, use, KILN_OS_READ_WRITE);
    make_ready(fake, addr, bytes);
    return KILN_OS_OK;
}

static void fake_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fake_t *fake = ctx;
    fake->stats.calls[KILN_OS_CALL_DISCARD]++;
    if (!judge(fake, KILN_OS_CALL_DISCARD, addr, bytes, true)) return;
    record(fake, KILN_OS_CALL_DISCARD, addr, bytes, 0, KILN_OS_NO_ACCESS);
    set_access(fake, addr, bytes, KILN_OS_NO_ACCESS);
}

static void fake_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fake_t *fake = ctx;
    fake->stats.calls[KILN_OS_CALL_DECOMMIT]++;
    if (!judge(fake, KILN_OS_CALL_DECOMMIT, addr, bytes, true)) return;
    record(fake, KILN_OS_CALL_DECOMMIT, addr, bytes, 0, KILN_OS_NO_ACCESS);
    set_access(fake, addr, bytes, KILN_OS_NO_ACCESS);
}

static bool fake_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    kiln_os_fake_t *fake = ctx;
    fake->stats.calls[KILN_OS_CALL_PROTECT]++;
    bool legal = judge(fake, KILN_OS_CALL_PROTECT, addr, bytes, true);
    bool refused = due_to_fail(fake, KILN_OS_CALL_PROTECT);
    if ((kiln_os_fake_script_byte(fake) & 7u) == SCRIPT_REFUSE) refused = true;
    if (refused || !legal || out_of_ranges(fake)) {
        fake->stats.refused[KILN_OS_CALL_PROTECT]++;
        hash_answer(fake, 0);
        return false;
    }
    record(fake, KILN_OS_CALL_PROTECT, addr, bytes, 0, access);
    set_access(fake, addr, bytes, access);
    hash_answer(fake, 1);
    return true;
}

/* Guarded pages become Ready, and zero; those that are Ready keep their bytes. */
static void open_guarded(kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_ranges_t *ranges = &fake->model.ranges;
    kiln_addr_t last = addr + (bytes - 1);
    for (unsigned i = kiln_ranges_find(ranges, addr);
         i < ranges->count && ranges->items[i].first <= last; i++) {
        const kiln_os_range_t *item = &ranges->items[i];
        kiln_addr_t from = item->first > addr ? item->first : addr;
        kiln_addr_t to = item->last < last ? item->last : last;
        if (item->tag.state == KILN_OS_GUARDED) make_ready(fake, from, to - from + 1);
    }
}

static bool fake_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_fake_t *fake = ctx;
    fake->stats.calls[KILN_OS_CALL_GUARD]++;
    bool legal = judge(fake, KILN_OS_CALL_GUARD, addr, bytes, true);
    bool refused = due_to_fail(fake, KILN_OS_CALL_GUARD);
    if ((kiln_os_fake_script_byte(fake) & 7u) == SCRIPT_REFUSE) refused = true;
    if (refused || !legal || fake->config.no_guard || out_of_ranges(fake)) {
        fake->stats.refused[KILN_OS_CALL_GUARD]++;
        hash_answer(fake, 0);
        return false;
    }
    if (!on) open_guarded(fake, addr, bytes);
    record(fake, KILN_OS_CALL_GUARD, addr, bytes, 0, on ? KILN_OS_NO_ACCESS : KILN_OS_READ_WRITE);
    if (on) set_access(fake, addr, bytes, KILN_OS_NO_ACCESS);
    hash_answer(fake, 1);
    return true;
}

/* What is behind its memory is nothing that a simulated machine has. */
static void fake_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_fake_t *fake = ctx;
    fake->stats.calls[KILN_OS_CALL_HUGE]++;
    (void)judge(fake, KILN_OS_CALL_HUGE, addr, bytes, on);
}

static void fake_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fake_t *fake = ctx;
    fake->stats.calls[KILN_OS_CALL_RELEASE]++;
    if (!judge(fake, KILN_OS_CALL_RELEASE, addr, bytes, true)) return;
    record(fake, KILN_OS_CALL_RELEASE, addr, bytes, 0, KILN_OS_NO_ACCESS);
    set_access(fake, addr, kiln_round_up(bytes, fake->config.phys_bytes), KILN_OS_NO_ACCESS);
}

/* --- the machine --- */

kiln_os_fake_config_t kiln_os_fake_config_default(unsigned addr_bits, uint64_t phys_bytes,
                                                  kiln_os_range_t *ranges, unsigned ranges_max)
{
    return (kiln_os_fake_config_t){
        .addr_bits = addr_bits,
        .phys_bytes = phys_bytes,
        .space_first = phys_bytes,
        .space_last = kiln_width_mask(addr_bits),
        .ranges = ranges,
        .ranges_max = ranges_max,
        .refuse_calls = KILN_OS_CALLS_REFUSABLE,
    };
}

void kiln_os_fake_config_use_memory(kiln_os_fake_config_t *config,
                                    const kiln_os_fake_memory_t *memory)
{
    config->memory = memory;
    config->space_first = memory->first;
    config->space_last = memory->last;
}

const char *kiln_os_fake_config_broken_rule(const kiln_os_fake_config_t *config)
{
    if (config->addr_bits < ADDR_BITS_MIN || config->addr_bits > 64)
        return "os fake: addr_bits is 4 to 64";
    uint64_t mask = kiln_width_mask(config->addr_bits);
    if (!kiln_is_power_of_two(config->phys_bytes)) return "os fake: phys_bytes is a power of two";
    if (config->phys_bytes - 1 > mask / PAGES_MIN) return "os fake: the space has at least 4 pages";
    if (config->huge_bytes != 0 &&
        (!kiln_is_power_of_two(config->huge_bytes) || config->huge_bytes < config->phys_bytes))
        return "os fake: huge_bytes is 0 or a power of two, and not below phys_bytes";
    if (config->space_first == 0 || !kiln_is_aligned(config->space_first, config->phys_bytes) ||
        !kiln_is_aligned(config->space_last + 1, config->phys_bytes))
        return "os fake: space_first and space_last are page bounds, and not page 0";
    if (config->space_last > mask || config->space_first >= config->space_last)
        return "os fake: the space is not empty and lies in the address space";
    if (!config->ranges || config->ranges_max < KILN_OS_FAKE_RANGES_MIN)
        return "os fake: there is memory for at least KILN_OS_FAKE_RANGES_MIN ranges";
    if ((unsigned)config->policy >= KILN_PLACES || config->policy == KILN_PLACE_AT_PAGE ||
        config->policy == KILN_PLACE_LIE_WRAP || config->policy == KILN_PLACE_LIE_OCCUPIED)
        return "os fake: the policy is one that needs no script";
    if (config->script_bytes != 0 && !config->script) return "os fake: the script is there";
    if (config->refuse_plan_bytes != 0 && !config->refuse_plan) return "os fake: the plan is there";
    if (config->memory && config->lying) return "os fake: only numbers may lie";
    if (config->memory &&
        (config->space_first < config->memory->first || config->space_last > config->memory->last))
        return "os fake: the space lies in the window";
    return NULL;
}

void kiln_os_fake_init(kiln_os_fake_t *fake, const kiln_os_fake_config_t *config)
{
    KILN_CHECK_RULE(kiln_os_fake_config_broken_rule(config));
    fake->config = *config;
    fake->os = (kiln_os_t){
        .ctx = fake,
        .phys_bytes = config->phys_bytes,
        .huge_bytes = config->huge_bytes,
        .addr_bits = config->addr_bits,
        .reserve = fake_reserve,
        .commit = fake_commit,
        .discard = fake_discard,
        .decommit = fake_decommit,
        .protect = fake_protect,
        .guard = fake_guard,
        .huge = fake_huge,
        .release = fake_release,
        .direct = fake_direct,
    };
    kiln_os_model_init(&fake->model, config->ranges, config->ranges_max, config->phys_bytes,
                       config->addr_bits);
    fake->stats = (kiln_os_fake_stats_t){.refusable = 0};
    fake->rng.state = config->seed;
    fake->script_at = 0;
    fake->grant = fake->grant_last = fake->lowest_grant = 0;
    fake->answers_hash = 0;
}

void kiln_os_fake_reset(kiln_os_fake_t *fake, const kiln_os_fake_config_t *config)
{
    for (unsigned i = 0; i < fake->model.ranges.count; i++) {
        const kiln_os_range_t *range = &fake->model.ranges.items[i];
        if (range->tag.state == KILN_OS_READY && range->tag.access != KILN_OS_NO_ACCESS)
            set_access(fake, range->first, range->last - range->first + 1, KILN_OS_NO_ACCESS);
    }
    kiln_os_fake_config_t next = config ? *config : fake->config;
    kiln_os_fake_init(fake, &next);
}

bool kiln_os_fake_place(kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes,
                        kiln_os_state_t state)
{
    const kiln_os_fake_config_t *config = &fake->config;
    KILN_CHECK(state != KILN_OS_PREPARED && state != KILN_OS_READY && state != KILN_OS_GUARDED);
    KILN_CHECK(kiln_is_aligned(addr, config->phys_bytes));
    KILN_CHECK(kiln_is_aligned(bytes, config->phys_bytes));
    KILN_CHECK(bytes != 0 && addr <= fake->model.mask && bytes - 1 <= fake->model.mask - addr);
    KILN_CHECK(!config->memory || state == KILN_OS_FOREIGN || state == KILN_OS_NONE ||
               (addr >= config->space_first && addr + (bytes - 1) <= config->space_last));
    bool kept = kiln_os_model_place(&fake->model, addr, bytes, state);
    update_stats(fake);
    return kept;
}

kiln_os_state_t kiln_os_fake_state(const kiln_os_fake_t *fake, kiln_addr_t addr)
{
    return (kiln_os_state_t)kiln_os_model_tag(&fake->model, addr).state;
}

const kiln_os_range_t *kiln_os_fake_next(const kiln_os_fake_t *fake, unsigned *io_idx)
{
    return kiln_os_model_next(&fake->model, io_idx);
}

const char *kiln_os_fake_broken_rule(const kiln_os_fake_t *fake)
{
    const kiln_os_fake_stats_t *stats = &fake->stats;
    const char *rule = kiln_os_fake_config_broken_rule(&fake->config);
    if (!rule) rule = kiln_os_model_broken_rule(&fake->model);
    if (rule) return rule;
    if (stats->ready_bytes != fake->model.state_bytes[KILN_OS_READY] ||
        stats->space_bytes != ours_bytes(fake))
        return "os fake: the statistics are those of the model";
    if (stats->ready_bytes > stats->ready_peak_bytes || stats->ready_bytes > stats->space_bytes ||
        stats->space_bytes > stats->space_peak_bytes)
        return "os fake: peaks are not below the present";
    for (unsigned call = 0; call < KILN_OS_CALLS; call++)
        if (stats->refused[call] > stats->calls[call] ||
            (call > KILN_OS_CALL_GUARD && stats->refused[call] != 0))
            return "os fake: refused calls were calls that can be refused";
    if (fake->script_at > fake->config.script_bytes) return "os fake: the script has an end";
    if (stats->lies != 0 && !fake->config.lying) return "os fake: it lies only when told to";
    if (fake->grant > fake->grant_last || fake->lowest_grant > fake->grant)
        return "os fake: the latest grant is not below the lowest";
    return NULL;
}
