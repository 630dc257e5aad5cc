/* arena_fuzz.c - an arena on the numbers-only fake OS, which answers as the input wants.
 *
 * The configuration picks one of the arena's three behaviours, a machine (32 and 64 bits, and small
 * ones on which the edges of the address space are near), its hardware page, tables, start-up and
 * the fake's policy. The records ask for memory, and choose what the OS answers: with the policy
 * "script" the answers of a step are in its own record. After every step arena_model.h compares.
 *
 * Threads  one.   Memory  none is allocated. */
#include "fuzz/arena_model.h"

#include "allocator/os/record.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

enum {
    STEPS_MAX = 400,
    REFUSALS_AT_START_MAX = 140, /* start-up makes 132 attempts */
    SCRIPT_BYTES = 16,
    BURST_MAX = 16,
    PRESENT_WORDS_MAX = 1 << 17,
};

enum { OP_ALLOC, OP_GROW, OP_BURST, OP_FOREIGN, OP_POLICY, OP_REFUSE, OP_BUDGET, OPS };

static const char *const op_names[OPS] = {
    "alloc", "grow", "burst", "foreign", "policy", "refuse", "budget",
};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "arena",
    .config = {"follow", "machine", "phys", "tables", "start", "policy", "flags", "seed", "refuse",
               "space", "image", "brk", "used", "block", "answer", "answer2"},
    .ops = op_names,
    .op_count = OPS,
};

/* Everything that one input changes; static, because it is large. */
static struct {
    kiln_arena_t arena;
    kiln_os_fake_t fake;
    kiln_arena_model_t model;
    kiln_os_range_t ranges[KILN_ARENA_MODEL_RANGES_MAX];
    uint8_t script[SCRIPT_BYTES];
    uint8_t refusals[KILN_FUZZ_FAULTS_MAX / 8];
    uint64_t unit_bytes; /* every request is a multiple */
    uint64_t tried_bytes, lies_at_start;
    unsigned steps;
    bool ended; /* the arena must not be asked again */
} run;

/* Which table pages are mapped (kiln). Too large to clear for every input: what an input may have
 * set is cleared after it. */
static uint64_t present[PRESENT_WORDS_MAX];

/* --- the machine ----------------------------------------------------------------------------- */

typedef struct machine {
    unsigned addr_bits, max_bits; /* max_bits: of the possible arena */
    uint64_t page_bytes, block_bytes, strand_bytes;
} machine_t;

static const machine_t machines[] = {
    {32, 32, 8 << 10, 256 << 20, 16 << 20}, /* 386, arm */
    {64, 39, 8 << 10, 256 << 20, 16 << 20}, /* amd64, arm64 */
    {32, 31, 8 << 10, 256 << 20, 16 << 20}, /* mips */
    {64, 35, 8 << 10, 256 << 20, 16 << 20}, /* windows on amd64 */
    {64, 31, 8 << 10, 256 << 20, 16 << 20}, /* darwin on arm64 */
    {20, 20, 256, 32 << 10, 2 << 10},
    {16, 16, 64, 4 << 10, 256},
    {16, 15, 64, 4 << 10, 256},
    {12, 12, 32, 512, 64},
    {64, 33, 8 << 10, 32 << 20, 2 << 20},
};

static kiln_arena_config_t arena_config_of(const uint8_t *config, const machine_t *machine)
{
    static const kiln_follow_t follows[] = {KILN_FOLLOW_KILN, KILN_FOLLOW_GO19, KILN_FOLLOW_SEED};
    static const unsigned table_sets[] = {3, 1u << KILN_ARENA_SPANS, 1u << KILN_ARENA_BITS, 0};
    /* 4, 16 and 64 KiB beside a page of 8 KiB: half a page, two, eight. */
    uint64_t phys_bytes = machine->page_bytes / 2 << 2 * (config[2] % 3);
    kiln_follow_t follow = follows[config[0] % 3];
    /* The possible range of `kiln` may end anywhere, also within a page. */
    uint64_t half_pages = follow == KILN_FOLLOW_KILN ? config[2] / 3 : 0;
    return (kiln_arena_config_t){
        .follow = follow,
        .addr_bits = machine->addr_bits,
        .page_bytes = machine->page_bytes,
        .word_bytes = machine->addr_bits > 32 ? 8 : 4,
        .phys_bytes = phys_bytes,
        .block_bytes = machine->block_bytes,
        .granule_min_bytes = machine->addr_bits < 32 ? machine->block_bytes / 16 : KILN_MIB(1),
        .strand_bytes = machine->strand_bytes,
        .addr_max = kiln_width_mask(machine->max_bits) - half_pages * machine->page_bytes / 2,
        .tables = table_sets[config[3] % 4],
    };
}

enum {
    FLAG_WATCHER = 1,
    FLAG_UNRESERVED = 2,      /* what the arena is placed on is only believed free */
    FLAG_LYING = 4,           /* kiln alone promises anything then */
    FLAG_HUGE_UNRESERVED = 8, /* as Linux' 64-bit backend of the seed: above 4 GiB */
    FLAG_FEW_RANGES = 16,
    FLAG_TWICE = 32, /* run the input twice and compare */
};

static kiln_os_fake_place_t policy_of(uint8_t byte)
{
    kiln_os_fake_place_t policy =
        (kiln_os_fake_place_t)((byte + (unsigned)KILN_PLACE_SCRIPT) % KILN_PLACES);
    bool script_only = policy == KILN_PLACE_AT_PAGE || policy == KILN_PLACE_LIE_WRAP ||
                       policy == KILN_PLACE_LIE_OCCUPIED;
    return script_only ? KILN_PLACE_SCRIPT : policy;
}

static kiln_os_fake_config_t fake_config_of(const uint8_t *config, const kiln_arena_config_t *arena)
{
    uint64_t mask = kiln_width_mask(arena->addr_bits), phys = arena->phys_bytes;
    kiln_os_fake_config_t fake = kiln_os_fake_config_default(
        arena->addr_bits, phys, run.ranges, config[6] & FLAG_FEW_RANGES ? 48 : 1024);

    fake.policy = policy_of(config[5]);
    fake.seed = config[7];
    fake.lying = (config[6] & FLAG_LYING) && arena->follow == KILN_FOLLOW_KILN;
    fake.unreserved_bytes = config[6] & FLAG_HUGE_UNRESERVED ? KILN_GIB(4) : 0;
    fake.straddle_addr = kiln_round_down(mask / 2 + 1, phys);
    fake.script = run.script;
    fake.script_bytes = sizeof run.script;
    for (unsigned i = 0; i < config[8] % REFUSALS_AT_START_MAX; i++)
        run.refusals[i / 8] |= (uint8_t)(1u << i % 8);
    kiln_fuzz_plan_faults(run.refusals);
    fake.refuse_plan = run.refusals;
    fake.refuse_plan_bytes = sizeof run.refusals;
    /* W7: where the possible range is narrower than the space, the fallback's range test takes
     * memory that ends at the very top for in range. No kernel gives that. */
    if (arena->follow != KILN_FOLLOW_KILN && arena->addr_bits <= 32 && arena->addr_max < mask)
        fake.space_last = mask - 8 * arena->page_bytes;
    /* Where the kernel puts things: everywhere, or below or above a sixteenth of the space. */
    uint64_t cut = kiln_round_down(mask / 16 * (config[9] / 16), phys);
    if (config[9] % 3 == 1 && cut > 4 * phys && cut <= fake.space_last) fake.space_last = cut - 1;
    if (config[9] % 3 == 2 && cut >= phys) fake.space_first = cut;
    return fake;
}

/* --- the trace of a failing input ------------------------------------------------------------ */

static kiln_os_record_t record;
static char pending[64]; /* the step that runs: its line comes before the answers to it */

static void trace_sink(void *ctx, const char *text, size_t bytes)
{
    (void)ctx;
    fwrite(text, 1, bytes, stderr);
}

static void trace_begin(void)
{
    const kiln_arena_config_t *config = &run.arena.config;
    fprintf(stderr, "width %u\nset follow %s\nset page 0x%llx\nset phys 0x%llx\n",
            config->addr_bits, kiln_follow_name(config->follow),
            (unsigned long long)config->page_bytes, (unsigned long long)config->phys_bytes);
    fprintf(stderr, "set block 0x%llx\nset strand 0x%llx\nset maxmem 0x%llx\nset race %d\n",
            (unsigned long long)config->block_bytes, (unsigned long long)config->strand_bytes,
            (unsigned long long)config->addr_max, run.arena.watcher != NULL);
    if (config->addr_bits != 32 && config->addr_bits != 64)
        fputs("# kiln replay knows 32 and 64 bits only; this machine is smaller\n", stderr);
    if (config->tables != 3) fprintf(stderr, "# tables: bit set %u\n", config->tables);
}

static void trace_placed(bool published)
{
    const kiln_arena_t *arena = &run.arena;
    fprintf(stderr, "set arena_start 0x%llx\nset arena_used 0x%llx\nset arena_alloc 0x%llx\n",
            (unsigned long long)arena->arena_start, (unsigned long long)kiln_arena_used(arena),
            (unsigned long long)arena->arena_alloc);
    fprintf(stderr, "set arena_end 0x%llx\nset reserved %d\nset init_map %d\n",
            (unsigned long long)arena->arena_end, arena->arena_reserved, published);
    if (!arena->tables_reserved) fputs("# tables: believed free; a trace cannot say\n", stderr);
}

static void trace_step(const char *name, uint64_t value)
{
    snprintf(pending, sizeof pending, "%s 0x%llx", name, (unsigned long long)value);
    fprintf(stderr, "# next: %s\n", pending);
}

static void trace_stepped(void)
{
    if (!kiln_fuzz_tracing || !pending[0]) return;
    fprintf(stderr, "%s\n", pending);
    pending[0] = 0;
    kiln_os_record_answers(&record);
    kiln_os_record_flush(&record);
}

void kiln_fuzz_last_words(void)
{
    trace_stepped();
}

/* --- start-up -------------------------------------------------------------------------------- */

static bool place_tables(kiln_addr_t *io_addr, kiln_os_state_t state)
{
    for (unsigned i = 0; i < KILN_ARENA_TABLES; i++) {
        kiln_arena_table_t *table = &run.arena.tables[i == 0 ? KILN_ARENA_SPANS : KILN_ARENA_BITS];
        uint64_t bytes = kiln_round_up(table->bytes_max, run.arena.config.phys_bytes);
        if (!table->used) continue;
        table->base = *io_addr;
        if (!kiln_os_fake_place(&run.fake, *io_addr, bytes, state)) return false;
        *io_addr += bytes;
    }
    return true;
}

/* place_arena puts tables and a first block where the input says, as a trace does. False: such an
 * arena cannot be. */
static bool place_arena(const uint8_t *config)
{
    kiln_arena_t *arena = &run.arena;
    const kiln_arena_config_t *is = &arena->config;
    bool wide = is->addr_bits > 32;
    bool reserved = !(config[6] & FLAG_UNRESERVED);
    kiln_os_state_t state = reserved ? KILN_OS_RESERVED : KILN_OS_UNRESERVED;
    uint64_t unit = is->phys_bytes > is->page_bytes ? is->phys_bytes : is->page_bytes;
    uint64_t block = kiln_round_down(is->block_bytes / 16 * (config[13] % 32), unit), tables = 0;
    kiln_addr_t top = arena->mask;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        tables += kiln_round_up(arena->tables[id].bytes_max, is->phys_bytes);
    if (!wide && is->addr_max < top) top = kiln_round_down(is->addr_max + 1, unit) - 1;
    if (tables + block + 8 * unit > top || block > is->addr_max) return false;

    kiln_addr_t at = unit * (1 + config[14] % 4); /* near the bottom */
    if (config[4] % 6 == 4) at = kiln_round_down(top / 256 * config[14], unit) + unit;
    if (config[4] % 6 == 5) at = top - (tables + block) - unit * (config[14] % 4) + 1;
    if (at < unit || at > top - (tables + block)) return false;
    if (!place_tables(&at, state)) return false;
    kiln_addr_t alloc = at, end = (at + block) & arena->mask;
    if (block && !kiln_os_fake_place(&run.fake, at, block, state)) return false;
    /* arena_used at the block, or above it: then the block lies below earlier ones. */
    uint64_t above = is->block_bytes / 4 * (config[12] % 64);
    uint64_t room = wide && is->addr_max < top - alloc ? is->addr_max : top - alloc;
    kiln_addr_t used = above > room ? alloc : alloc + above;
    if (kiln_arena_place(arena, wide ? alloc : 0, used, alloc, end, reserved)) return false;
    bool publish = is->follow == KILN_FOLLOW_GO19 || (config[12] & 128);
    if (kiln_fuzz_tracing) trace_placed(publish);
    if (publish && kiln_arena_publish_start(arena)) return false;
    if (kiln_fuzz_tracing)
        record.answers_count = 0; /* a trace has no line for them: they were ok */
    return true;
}

static bool start_arena(const uint8_t *config)
{
    static const kiln_arena_arch_t archs[] = {KILN_ARENA_AMD64, KILN_ARENA_ARM64,
                                              KILN_ARENA_DARWIN_ARM64};
    kiln_arena_layout_t layout;
    kiln_arena_arch_t arch = archs[config[4] % 3];
    kiln_addr_t image_end = kiln_width_mask(run.arena.config.addr_bits) / 256 * config[10];
    kiln_addr_t brk = kiln_width_mask(run.arena.config.addr_bits) / 256 * config[11];
    kiln_addr_t space_last = run.fake.config.space_last;
    const kiln_arena_config_t *is = &run.arena.config;

    run.script[0] = config[14];
    run.script[1] = config[15];
    /* seed and go19 take the first answer wherever it is; on mips the kernel's lies below 2 GiB. */
    if (is->follow != KILN_FOLLOW_KILN && is->addr_bits <= 32 && is->addr_max < space_last) {
        if (run.fake.config.space_first >= is->addr_max) return false;
        run.fake.config.space_last = is->addr_max;
    }
    if (kiln_fuzz_tracing) {
        snprintf(pending, sizeof pending, "mallocinit arch=%s end=0x%llx brk=0x%llx",
                 (const char *[]){"amd64", "arm64", "darwin-arm64"}[arch],
                 (unsigned long long)image_end, (unsigned long long)brk);
    }
    const char *reason = kiln_arena_start(&run.arena, arch, image_end, brk, &layout);
    trace_stepped();
    run.fake.config.space_last = space_last;
    return kiln_arena_model_check_start(&run.model, reason);
}

/* begin makes fake, arena and model for a configuration. False: it allows no arena. */
static bool begin(const uint8_t *config)
{
    const machine_t *machine = &machines[config[1] % (sizeof machines / sizeof *machines)];
    kiln_arena_config_t arena = arena_config_of(config, machine);

    memset(run.script, 0, sizeof run.script);
    memset(run.refusals, 0, sizeof run.refusals);
    kiln_os_fake_config_t fake = fake_config_of(config, &arena);
    if (kiln_os_fake_config_broken_rule(&fake) || kiln_arena_config_broken_rule(&arena))
        return false;
    kiln_os_fake_init(&run.fake, &fake); /* not reset, whose way depends on the input before */
    kiln_arena_model_init(&run.model, &run.arena, &run.fake);
    run.tried_bytes = run.steps = 0;
    run.ended = false;
    /* What the callers of seed and go19 promise (I9), and their span table relies on. */
    run.unit_bytes = arena.page_bytes > arena.phys_bytes ? arena.page_bytes : arena.phys_bytes;
    if (arena.follow != KILN_FOLLOW_KILN) run.unit_bytes = 8 * arena.page_bytes;
    KILN_CHECK(kiln_arena_present_words(&arena) <= PRESENT_WORDS_MAX);
    const kiln_os_t *os = &run.model.os;
    if (kiln_fuzz_tracing) {
        memset(present, 0, sizeof present); /* the run that failed had no end */
        kiln_os_record_init(&record, os, trace_sink, NULL);
        os = &record.os;
    }
    KILN_CHECK_RULE(kiln_arena_init(&run.arena, &arena, os,
                                    config[6] & FLAG_WATCHER ? &run.model.watcher : NULL,
                                    &run.model.log, present));
    if (kiln_fuzz_tracing) trace_begin();
    if (!(config[4] % 6 < 3 ? start_arena(config) : place_arena(config))) return false;
    kiln_arena_model_started(&run.model);
    run.lies_at_start = run.fake.stats.lies;
    return true;
}

/* end forgets which table pages were mapped. */
static void end(void)
{
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        kiln_arena_table_t *table = &run.arena.tables[id];
        if (!table->present || run.model.table_first[id] > run.model.table_last[id]) continue;
        uint64_t first = (run.model.table_first[id] - table->base) / table->phys_bytes / 64;
        uint64_t last = (run.model.table_last[id] - table->base) / table->phys_bytes / 64;
        memset((void *)(uintptr_t)&table->present[first], 0, (size_t)(last - first + 1) * 8);
    }
}

/* --- the operations -------------------------------------------------------------------------- */

static uint64_t left_bytes(void)
{
    return (run.arena.arena_end - run.arena.arena_alloc) & run.arena.mask;
}

static uint64_t kept_bytes(uint8_t slot)
{
    if (run.arena.kept_count == 0) return 0;
    const kiln_arena_region_t *kept = &run.arena.kept[slot % run.arena.kept_count];
    return kept->end - kept->start;
}

/* size_of makes a size from its class: the edges at which the arena decides, one unit around them,
 * small, large, and where sums wrap. */
static uint64_t size_of(const kiln_fuzz_record_t *r)
{
    const kiln_arena_config_t *config = &run.arena.config;
    uint64_t unit = run.unit_bytes, block = config->block_bytes, mask = run.arena.mask;
    uint64_t few = unit * (r->arg % 16), bytes = 0;
    switch (r->size % 16) {
    case 0:
        bytes = unit + few;
        break;
    case 1:
        bytes = left_bytes();
        break;
    case 2:
        bytes = left_bytes() + unit + few;
        break;
    case 3:
        bytes = left_bytes() - few;
        break;
    case 4:
        bytes = block - config->page_bytes - few;
        break;
    case 5:
        bytes = block;
        break;
    case 6:
        bytes = block + few;
        break;
    case 7:
        bytes = left_bytes() - config->strand_bytes + unit - few;
        break;
    case 8:
        bytes = block / 256 * (r->arg % 256);
        break;
    case 9:
        bytes = mask - few;
        break;
    case 10:
        bytes = unit << r->arg % 32;
        break;
    case 11:
        bytes = kept_bytes(r->slot) + (r->how & 1 ? unit : 0);
        break;
    case 12:
        bytes = block * (1 + r->arg % 16);
        break;
    case 13:
        bytes = unit * (r->arg & 0xffff);
        break;
    case 14:
        bytes = mask - block + few;
        break;
    default:
        bytes = config->addr_max - kiln_arena_used(&run.arena) - few;
        break;
    }
    bytes = kiln_round_down(bytes & mask, unit);
    return bytes ? bytes : unit;
}

/* What a step costs grows with the table pages that it tries to map: an input may try so many. A
 * request beyond the possible arena is refused before that. */
static bool too_much(uint64_t bytes)
{
    uint64_t budget = run.arena.config.block_bytes * 64;
    if (bytes - 1 > run.arena.config.addr_max) return false;
    if (bytes > budget || run.tried_bytes > budget - bytes) return true;
    run.tried_bytes += bytes;
    return false;
}

/* set_script takes this step's answers from its record; an answer that names a page reads two bytes
 * more. An OS that grants the same memory twice cannot be told from one that does not (I7). */
static void set_script(const kiln_fuzz_record_t *r)
{
    memset(run.script, 0, sizeof run.script);
    run.script[0] = r->how;
    run.script[1] = (uint8_t)(r->arg >> 24);
    run.script[2] = (uint8_t)(r->arg >> 16);
    run.script[3] = r->slot;
    for (unsigned i = 0; i < 4; i++)
        if ((run.script[i] & 0xf) == KILN_PLACE_LIE_OCCUPIED ||
            ((run.script[i] & 0xf) == KILN_PLACE_LIE_WRAP && r->op % OPS == OP_GROW))
            run.script[i] &= 0xf0; /* a grow may ask again after the lie */
    run.fake.script_at = 0;
}

/* After a fatal answer the arena must not be asked again. After a lie the fake may grant what is
 * occupied, which no arena can see. */
static bool is_last(const kiln_arena_result_t *result)
{
    return result->throw_reason || run.fake.stats.lies > run.lies_at_start;
}

static void checked_alloc(uint64_t bytes)
{
    kiln_arena_model_before(&run.model);
    if (kiln_fuzz_tracing) trace_step("alloc", bytes);
    kiln_arena_result_t result = kiln_arena_alloc(&run.arena, bytes);
    trace_stepped();
    kiln_arena_model_check(&run.model, bytes, &result);
    run.ended = is_last(&result);
}

static void do_alloc(const kiln_fuzz_record_t *r)
{
    uint64_t bytes = size_of(r);
    if (too_much(bytes)) return;
    set_script(r);
    checked_alloc(bytes);
}

static void do_grow(const kiln_fuzz_record_t *r)
{
    uint64_t pages = size_of(r) / run.arena.config.page_bytes, bytes = 0;
    if (run.arena.config.addr_bits < 32) return;      /* its 64 KiB and 1 MiB are too much there */
    if (r->size % 32 >= 16) pages += r->arg >> 8 & 7; /* not a multiple of 64 KiB */
    if (too_much(pages * run.arena.config.page_bytes)) return;
    /* Where rounding to 64 KiB wraps to 0 (2.7), the retry of seed and go19 asks for nothing. */
    uint64_t exact = pages * run.arena.config.page_bytes & run.arena.mask;
    if (run.arena.config.follow != KILN_FOLLOW_KILN && exact > run.arena.mask - KILN_KIB(64))
        return;
    set_script(r);
    kiln_arena_model_before(&run.model);
    if (kiln_fuzz_tracing) trace_step("grow", pages);
    kiln_arena_result_t result = kiln_arena_grow(&run.arena, pages, &bytes);
    trace_stepped();
    kiln_arena_model_check_grow(&run.model, pages, bytes, &result);
    run.ended = is_last(&result);
}

/* The same request again and again: fills blocks and remainders with few records. */
static void do_burst(const kiln_fuzz_record_t *r)
{
    uint64_t bytes = size_of(r);
    for (unsigned i = 0; i <= r->slot % BURST_MAX && !run.ended; i++) {
        if (too_much(bytes)) return;
        run.steps++;
        set_script(r);
        checked_alloc(bytes);
    }
}

/* Somebody else maps memory where the arena may want to go, or unmaps it. */
static void do_foreign(const kiln_fuzz_record_t *r)
{
    const kiln_arena_t *arena = &run.arena;
    const kiln_ranges_t *ranges = &run.fake.model.ranges;
    uint64_t phys = arena->config.phys_bytes, mask = arena->mask;
    uint64_t bytes = phys * (1 + r->size % 64);
    kiln_addr_t anchors[] = {
        arena->arena_end,   arena->arena_end + arena->config.block_bytes - bytes,
        arena->arena_alloc, kiln_arena_used(arena),
        run.fake.grant,     run.fake.grant - bytes,
        mask - bytes + 1,   phys * r->slot,
    };
    kiln_addr_t addr = anchors[r->how % 8] + phys * (r->arg & 0xff) - phys * (r->arg >> 8 & 0xff);
    addr = kiln_round_down(addr & mask, phys);
    if (r->how & 128) { /* unmap the slot-th that is foreign */
        for (unsigned i = 0, n = 0; i < ranges->count; i++) {
            const kiln_os_range_t range = ranges->items[i];
            if (range.tag.state != KILN_OS_FOREIGN || n++ != r->slot % 8) continue;
            (void)kiln_os_fake_place(&run.fake, range.first, range.last - range.first + 1,
                                     KILN_OS_NONE);
            return;
        }
        return;
    }
    if (addr == 0 || bytes - 1 > mask - addr || ranges->count > run.fake.config.ranges_max / 4)
        return;
    if (kiln_ranges_free(ranges, addr, addr + (bytes - 1)))
        (void)kiln_os_fake_place(&run.fake, addr, bytes, KILN_OS_FOREIGN);
}

static void do_refuse(const kiln_fuzz_record_t *r)
{
    kiln_os_fake_config_t *config = &run.fake.config;
    config->refuse_calls = r->how & 15 ? r->how & 15u : KILN_OS_CALLS_REFUSABLE;
    config->refuse_call = run.fake.stats.refusable + 1 + r->slot % 16;
    config->refuse_ever_after = r->how & 128;
    if (r->how & 64) config->refuse_call = 0; /* and peace again */
}

static void do_budget(const kiln_fuzz_record_t *r)
{
    kiln_os_fake_config_t *config = &run.fake.config;
    uint64_t bytes = run.unit_bytes * (1 + (r->arg & 0xffff));
    switch (r->how % 5) {
    case 0:
        config->space_budget_bytes = run.fake.stats.space_bytes + bytes;
        break;
    case 1:
        config->ready_budget_bytes = run.fake.stats.ready_bytes + bytes;
        break;
    case 2:
        config->reserve_bytes_max = config->phys_bytes * (1 + (r->arg & 0xffff));
        break;
    case 3:
        config->commit_bytes_max = bytes;
        break;
    default:
        config->space_budget_bytes = config->ready_budget_bytes = 0;
        config->reserve_bytes_max = config->commit_bytes_max = 0;
        break;
    }
}

static uint64_t run_once(const uint8_t *data, size_t size)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
    kiln_fuzz_open(&input, data, size);
    bool begun = begin(input.config);
    while (begun && !run.ended && run.steps < STEPS_MAX && kiln_fuzz_next(&input, &r)) {
        run.steps++;
        switch (r.op % OPS) {
        case OP_ALLOC:
            do_alloc(&r);
            break;
        case OP_GROW:
            do_grow(&r);
            break;
        case OP_BURST:
            do_burst(&r);
            break;
        case OP_FOREIGN:
            do_foreign(&r);
            break;
        case OP_POLICY:
            run.fake.config.policy = policy_of(r.how);
            break;
        case OP_REFUSE:
            do_refuse(&r);
            break;
        default:
            do_budget(&r);
            break;
        }
        /* Counting the mapped pages of a large machine's tables takes too long for every step. */
        bool now = run.arena.config.addr_bits < 32 || run.steps % 16 == 0;
        if (now && !run.ended) KILN_CHECK_RULE(kiln_arena_broken_rule(&run.arena));
    }
    if (begun && !run.ended) kiln_arena_model_check_all(&run.model);
    end();
    kiln_fuzz_faults.calls_seen = run.fake.stats.refusable;
    return kiln_fuzz_ran(begun ? run.steps : 0, run.model.event_hash ^ run.fake.answers_hash);
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    uint64_t hash = run_once(data, size);
    if (size > 6 && (data[6] & FLAG_TWICE) && !kiln_fuzz_tracing)
        KILN_FUZZ_LAW("L6: the same input does the same", run_once(data, size) == hash);
}
