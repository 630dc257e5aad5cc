/* The arena, branch by branch, on an OS whose answers the test writes down. What whole histories
 * look like is in tests/replay; adversarial orders are in fuzz/arena_fuzz.c. */
#include "tests/unit/arena_script.h"

/* --- configuration and start-up -------------------------------------------------------------- */

static void test_config_rules_name_what_is_wrong(void)
{
    const kiln_arena_config_t good = kiln_arena_config_default(32, 4096);
    kiln_arena_config_t bad;

    EXPECT_RULE(kiln_arena_config_broken_rule(&good));
    bad = good, bad.page_bytes = 0x3000;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "page is a power of two");
    bad = good, bad.phys_bytes = 0;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "phys is a power of two");
    bad = good, bad.block_bytes = 4096;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "block is at least page");
    bad = good, bad.phys_bytes = 1u << 29;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "block is at least phys");
    bad = good, bad.granule_min_bytes = 0;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "granule_min is a power of two");
    bad = good, bad.addr_bits = 65;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "addr_bits is 4 to 64");
    bad = good, bad.addr_max = UINT64_C(1) << 32;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "maxmem fits the width");
    bad = good, bad.block_bytes = UINT64_C(1) << 33;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "block fits the width");
    bad = good, bad.tables = 4;
    EXPECT_STR(kiln_arena_config_broken_rule(&bad), "tables names tables that exist");
}

static void test_start_64_takes_the_first_answer_wherever_it_is(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(64, 4096);
    kiln_arena_layout_t layout;

    fresh(&config);
    answer(0);
    answer(UINT64_C(0x7f0000001000));
    EXPECT_RULE(kiln_arena_start(&arena, KILN_ARENA_AMD64, 0, 0, &layout));
    EXPECT_RULE(kiln_arena_broken_rule(&arena));
    EXPECT(!layout.by_blocks);
    EXPECT_EQ(nth_call(CALL_RESERVE, 0)->addr, UINT64_C(0xc000000000));
    EXPECT_EQ(nth_call(CALL_RESERVE, 1)->addr, UINT64_C(0x1c000000000));
    EXPECT_EQ(layout.spans_start, UINT64_C(0x7f0000002000));
    EXPECT_EQ(arena.arena_start, layout.bitmap_end);
    /* kiln: heap only where the tables reach. */
    EXPECT(arena.arena_end - arena.arena_start <= config.addr_max + 1);
}

static void test_start_64_falls_back_to_blocks_after_128_refusals(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(64, 4096);
    kiln_arena_layout_t layout;

    fresh(&config);
    for (unsigned i = 0; i < 129; i++) answer(0); /* the last: two blocks are refused as well */
    answer(UINT64_C(0xc000000000));
    EXPECT_RULE(kiln_arena_start(&arena, KILN_ARENA_AMD64, UINT64_C(0xbffff00000), 0, &layout));
    EXPECT(layout.by_blocks);
    EXPECT_EQ(arena.arena_start, arena.arena_alloc);
    EXPECT_EQ(kiln_round_down(arena.arena_end - arena.arena_alloc, KILN_MIB(1)), KILN_MIB(256));
}

static void test_start_32_moves_the_hint_beyond_the_break(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(32, 4096);
    kiln_arena_layout_t layout;

    fresh(&config);
    answer(0x20000000);
    EXPECT_RULE(kiln_arena_start(&arena, KILN_ARENA_AMD64, 0x8100000, 0x9000123, &layout));
    EXPECT_EQ(nth_call(CALL_RESERVE, 0)->addr, 0x9200000);
    EXPECT_EQ(arena.arena_start, 0);
    EXPECT_EQ(layout.spans_end - layout.spans_start, KILN_MIB(2));
    EXPECT_EQ(layout.bitmap_end - layout.bitmap_start, KILN_MIB(256));
}

/* ... also where it lies in the part of the last hardware page that rounding adds. */
static void test_start_moves_the_hint_beyond_a_break_in_the_last_hardware_page(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(32, KILN_KIB(64));
    kiln_arena_layout_t layout;

    fresh(&config);
    answer(0x20000000);
    EXPECT_RULE(kiln_arena_start(&arena, KILN_ARENA_AMD64, 0x8100000, 0x38405000, &layout));
    EXPECT_EQ(nth_call(CALL_RESERVE, 0)->addr, 0x38600000);
    EXPECT_EQ(nth_call(CALL_RESERVE, 0)->bytes, 0x30210000);
}

/* Of a block that lies across the end of the possible range, the part beyond it goes back, but for
 * a page that rounding may need. */
static void test_start_gives_back_what_lies_beyond_the_range(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(32, KILN_KIB(64));
    kiln_arena_layout_t layout;

    config.addr_max = 0x40001fff; /* ends within a hardware page */
    fresh(&config);
    answer(0x30000000);
    EXPECT_RULE(kiln_arena_start(&arena, KILN_ARENA_AMD64, 0x8100000, 0, &layout));
    EXPECT_RULE(kiln_arena_broken_rule(&arena));
    EXPECT_EQ(arena.arena_end, 0x40000000);
    EXPECT_EQ(count_calls(CALL_RELEASE), 1);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr, 0x40010000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->bytes,
              0x30000000 + nth_call(CALL_RESERVE, 0)->bytes - 0x40010000);

    script.calls_count = 0;
    kiln_arena_destroy(&arena);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count_calls(CALL_RELEASE); i++)
        bytes += nth_call(CALL_RELEASE, i)->bytes;
    EXPECT_EQ(bytes, 0x10010000); /* all else */
}

static bool was_committed(kiln_addr_t addr)
{
    for (unsigned i = 0; i < count_calls(CALL_COMMIT); i++) {
        const call_t *call = nth_call(CALL_COMMIT, i);
        if (addr >= call->addr && addr - call->addr < call->bytes) return true;
    }
    return false;
}

/* Tables that were only believed reserved go back page by page, each that was mapped and no other:
 * the last one, and one behind many that were not. */
static void test_destroy_gives_back_the_pages_of_believed_tables(void)
{
    const kiln_addr_t tables_start = 0xc0000000;
    uint64_t mapped = 0, released = 0;

    kiln_arena_config_t config = kiln_arena_config_default(32, 4096);
    config.block_bytes = KILN_MIB(1);
    fresh(&config);
    EXPECT_RULE(
        kiln_arena_place(&arena, 0, 0xffff0000 - 8192, 0xffff0000 - 8192, 0xffffe000, true));
    arena.tables_reserved = false;
    arena.tables[KILN_ARENA_BITS].base = tables_start;
    arena.tables[KILN_ARENA_SPANS].base = 0xe0000000;
    EXPECT(kiln_arena_alloc(&arena, KILN_KIB(64)).addr != 0);
    answer(0x20000000);
    EXPECT(kiln_arena_alloc(&arena, KILN_KIB(64)).addr == 0x20000000);
    answer(0x60000000);
    EXPECT(kiln_arena_alloc(&arena, KILN_MIB(2)).addr == 0x60000000);
    kiln_arena_destroy(&arena);
    for (unsigned i = 0; i < script.calls_count; i++) {
        const call_t *call = &script.calls[i];
        if (call->addr < tables_start) continue;
        if (call->kind == CALL_COMMIT && call->addr < 0xf0000000) mapped += call->bytes;
        if (call->kind != CALL_RELEASE) continue;
        EXPECT_EQ(call->bytes, 4096);
        EXPECT(was_committed(call->addr));
        released += call->bytes;
    }
    EXPECT(mapped > KILN_KIB(128));
    EXPECT_EQ(released, mapped);
}

/* A table of a range that is no round number ends with a hardware page, and the heap begins there.
 */
static void test_start_puts_the_heap_at_a_hardware_page(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(64, KILN_KIB(64));
    kiln_arena_layout_t layout;

    config.addr_max = KILN_GIB(1) + KILN_KIB(8) - 1;
    fresh(&config);
    answer(UINT64_C(0xc000000000));
    EXPECT_RULE(kiln_arena_start(&arena, KILN_ARENA_AMD64, 0, 0, &layout));
    EXPECT_RULE(kiln_arena_broken_rule(&arena));
    EXPECT_EQ(layout.bitmap_end - layout.bitmap_start, KILN_MIB(32) + KILN_KIB(64));
    EXPECT_EQ(arena.arena_alloc, layout.bitmap_end);
    EXPECT(kiln_is_aligned(arena.arena_alloc, KILN_KIB(64)));
}

/* ... and where what is asked for ends with the address space, so that its end is no number. */
static void test_start_moves_the_hint_at_the_top_of_the_address_space(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(32, KILN_KIB(64));
    kiln_arena_layout_t layout;

    config.addr_max = 0x77ffffff; /* whose table makes 513 MiB of it all */
    config.tables = 1u << KILN_ARENA_SPANS;
    fresh(&config);
    answer(0x20000000);
    EXPECT_RULE(kiln_arena_start(&arena, KILN_ARENA_AMD64, 0xdfe00000, 0xe0000000, &layout));
    EXPECT_EQ(nth_call(CALL_RESERVE, 0)->bytes, 0x20100000);
    EXPECT_EQ(nth_call(CALL_RESERVE, 0)->addr, 0xe0100000); /* and not 0xdff00000 */
}

static void test_start_fails_when_even_the_empty_arena_is_refused(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(32, 4096);
    kiln_arena_layout_t layout;

    fresh(&config);
    for (unsigned i = 0; i < 4; i++) answer(0);
    EXPECT_STR(kiln_arena_start(&arena, KILN_ARENA_AMD64, 0x8100000, 0, &layout),
               "no initial reservation possible");
    EXPECT_EQ(count_calls(CALL_RESERVE), 4);
}

/* A range that leaves the address space is not one that ends low. */
static void test_watcher_is_not_told_of_a_range_that_wraps(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(64, 4096);
    kiln_arena_layout_t layout;
    const kiln_addr_t high = UINT64_C(0xfffffff000000000);

    watcher.range_start = UINT64_C(0xc000000000);
    watcher.range_last = UINT64_C(0xdfffffffff);
    fresh(&config);
    for (unsigned i = 0; i < 128; i++) answer(0);
    answer(high);
    const char *started = kiln_arena_start(&arena, KILN_ARENA_AMD64, 0, 0, &layout);
    fresh(&config);
    const char *placed = kiln_arena_place(&arena, high, high, high, high + KILN_MIB(1), true);
    watcher.range_start = watcher.range_last = 0;
    EXPECT(started && strstr(started, "outside the range"));
    EXPECT(placed && strstr(placed, "outside the range"));
}

static void test_watcher_that_needs_one_range_is_refused_by_blocks_only(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(64, 4096);
    kiln_arena_layout_t layout;

    watcher.upward_only = true;
    watcher.range_start = UINT64_C(0xc000000000);
    watcher.range_last = UINT64_C(0xdfffffffff);
    fresh(&config);
    answer(UINT64_C(0xc000000000));
    const char *too_wide = kiln_arena_start(&arena, KILN_ARENA_AMD64, 0, 0, &layout);
    EXPECT(too_wide && strstr(too_wide, "outside the range"));
    EXPECT_EQ(count_calls(CALL_RELEASE), 1);

    config.addr_max = KILN_GIB(64) - 1;
    fresh(&config);
    answer(UINT64_C(0xc000000000));
    const char *fits = kiln_arena_start(&arena, KILN_ARENA_AMD64, 0, 0, &layout);
    kiln_addr_t last = arena.arena_start + config.addr_max;

    const char *exactly[2];
    for (unsigned i = 0; i < 2; i++) { /* to the last byte, and one less */
        watcher.range_last = last - i;
        fresh(&config);
        answer(UINT64_C(0xc000000000));
        exactly[i] = kiln_arena_start(&arena, KILN_ARENA_AMD64, 0, 0, &layout);
    }

    fresh(&config);
    for (unsigned i = 0; i < 128; i++) answer(0);
    answer(UINT64_C(0xc000000000));
    const char *blocks = kiln_arena_start(&arena, KILN_ARENA_AMD64, 0, 0, &layout);
    watcher.upward_only = false;
    watcher.range_start = watcher.range_last = 0;
    EXPECT_RULE(fits);
    EXPECT_RULE(exactly[0]);
    EXPECT(exactly[1] && strstr(exactly[1], "outside the range"));
    EXPECT(blocks && strstr(blocks, "grows by blocks"));
}

/* --- growth ---------------------------------------------------------------------------------- */

static void test_lower_block_does_not_move_the_bound(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x70800000, KILN_MIB(8));
    EXPECT_EQ(alloc(KILN_MIB(4)).addr, 0x70000000);
    answer(0x10000000);
    kiln_arena_result_t result = alloc(KILN_MIB(256));
    EXPECT_EQ(result.addr, 0x10000000);
    EXPECT_EQ(result.branch, KILN_ARENA_SWITCH);
    EXPECT_EQ(kiln_arena_used(&arena), 0x70400000);
    EXPECT(kiln_arena_table_covers(&arena, KILN_ARENA_SPANS, 0x10000000));
    EXPECT(kiln_arena_table_covers(&arena, KILN_ARENA_SPANS, 0x703fe000));
    EXPECT(!kiln_arena_table_covers(&arena, KILN_ARENA_SPANS, 0x50000000));
}

static void test_kept_remainder_serves_the_next_request(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x70800000, KILN_MIB(8));
    answer(0x10000000);
    EXPECT_EQ(alloc(KILN_MIB(256)).addr, 0x10000000);
    EXPECT_EQ(arena.kept_count, 1);
    EXPECT_EQ(alloc(KILN_MIB(8)).addr, 0x70000000);
    EXPECT_EQ(arena.kept_count, 0);
    EXPECT_EQ(alloc(KILN_MIB(1)).addr, 0x20000000);
}

static void test_kept_remainders_beyond_the_most_go_back_smallest_first(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x08000000, KILN_MIB(1));
    arena.config.block_bytes = KILN_MIB(2);
    unsigned released = 0;
    /* Each request is larger than any remainder, so that none is used up. */
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX + 3; i++) {
        answer(0x10000000 + i * KILN_MIB(4)); /* never adjacent: 2 MiB blocks, 4 MiB apart */
        EXPECT_EQ(alloc(KILN_MIB(1) + KILN_KIB(64) * (i % 15 + 1)).branch, KILN_ARENA_SWITCH);
        released = count_calls(CALL_RELEASE);
        if (arena.kept_count < KILN_ARENA_KEPT_MAX) EXPECT_EQ(released, 0);
    }
    EXPECT_EQ(arena.kept_count, KILN_ARENA_KEPT_MAX);
    EXPECT(released > 0);
}

static void test_refused_granule_is_halved_down_to_one_mib(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20010000, KILN_KIB(64));
    for (unsigned i = 0; i < 8; i++) answer(0);
    answer(0x20010000);
    kiln_arena_result_t result = alloc(KILN_KIB(128));
    EXPECT_EQ(result.branch, KILN_ARENA_EXTEND);
    for (unsigned i = 0; i < 9; i++)
        EXPECT_EQ(nth_call(CALL_RESERVE, i)->bytes, KILN_MIB(256) >> i);
}

static void test_granule_min_is_what_halving_ends_at(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20010000, KILN_KIB(64));
    arena.config.granule_min_bytes = 1; /* the larger of page and phys, then */
    arena.config.block_bytes = KILN_KIB(512);
    for (unsigned i = 0; i < 6; i++) answer(0); /* the last one to the fallback */
    EXPECT_EQ(alloc(KILN_KIB(80)).addr, 0);
    static const uint64_t sizes_kib[] = {512, 256, 128, 96, 88};
    EXPECT_EQ(count_calls(CALL_RESERVE), 5);
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(nth_call(CALL_RESERVE, i)->bytes, KILN_KIB(sizes_kib[i]));
}

static void test_block_at_the_top_loses_its_last_page(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20000000, KILN_MIB(1));
    answer(0xf0000000);
    EXPECT_EQ(alloc(KILN_MIB(128)).addr, 0xf0000000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr, 0xffffe000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->bytes, 0x2000);
    EXPECT_EQ(arena.arena_end, 0xffffe000);
}

static void test_seed_loses_the_bound_at_the_top(void)
{
    /* Weakness W6 in parity: the last byte of the address space is handed out, and the bound does
     * not follow. The twin above shows the repair. */
    fresh_32(KILN_FOLLOW_SEED, 0x20000000, KILN_MIB(1));
    answer(0xf0000000);
    EXPECT_EQ(kiln_arena_alloc(&arena, KILN_MIB(128)).addr, 0xf0000000);
    kiln_arena_result_t last = kiln_arena_alloc(&arena, KILN_MIB(128));
    EXPECT_EQ(last.addr, 0xf8000000);
    EXPECT(kiln_arena_used(&arena) < last.addr + 1);
}

static void test_lying_answers_are_refused_and_not_given_back(void)
{
    static const kiln_addr_t lies[] = {
        0xf8000000,               /* 256 MiB from there leave the address space */
        UINT64_C(0x123400000000), /* not an address of this machine */
        0x50000800,               /* not a hardware page */
        0x1fff0000,               /* inside the current block */
    };
    for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
        fresh_32(KILN_FOLLOW_KILN, 0x20000000, KILN_MIB(1));
        answer(lies[i]);
        answer(0); /* the fallback */
        kiln_arena_result_t result = alloc(KILN_MIB(2));
        EXPECT_EQ(result.addr, 0);
        EXPECT_EQ(result.branch, KILN_ARENA_REJECT_RANGE);
        EXPECT_EQ(count_calls(CALL_RELEASE), 0);
    }
}

static void test_fallback_over_the_current_block_is_refused(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0xc0000000, KILN_MIB(256));
    answer(0xa0000000); /* 1.25 GiB from there lie over it; its twin ends below */
    kiln_arena_result_t result = alloc(KILN_MIB(1280));
    EXPECT_EQ(result.addr, 0);
    EXPECT_EQ(result.service, KILN_ARENA_SMALL_RANGE);
    EXPECT_EQ(count_calls(CALL_RELEASE), 0);
    answer(0x20000000);
    EXPECT_EQ(alloc(KILN_MIB(1280)).addr, 0x20000000);
}

static void test_requests_that_cannot_be_are_refused_before_the_os(void)
{
    static const uint64_t requests[] = {
        0, 1, 0x1001, UINT64_C(1) << 32, UINT64_MAX, UINT64_MAX - 0x1fff,
    };
    fresh_32(KILN_FOLLOW_KILN, 0x20000000, KILN_MIB(1));
    for (unsigned i = 0; i < sizeof requests / sizeof *requests; i++) {
        EXPECT_EQ(alloc(requests[i]).addr, 0);
        EXPECT_EQ(script.calls_count, 0);
    }
}

/* --- failures change nothing ----------------------------------------------------------------- */

typedef struct snapshot {
    kiln_arena_t arena;
    uint64_t present_sum;
} snapshot_t;

static snapshot_t take_snapshot(void)
{
    snapshot_t shot = {.arena = arena};
    for (size_t i = 0; i < kiln_arena_present_words(&arena.config); i++)
        shot.present_sum += present[i] * (2 * i + 1);
    return shot;
}

static void expect_unchanged(const snapshot_t *before)
{
    snapshot_t now = take_snapshot();
    EXPECT_EQ(now.present_sum, before->present_sum);
    EXPECT_EQ(now.arena.arena_alloc, before->arena.arena_alloc);
    EXPECT_EQ(now.arena.arena_end, before->arena.arena_end);
    EXPECT_EQ(now.arena.arena_reserved, before->arena.arena_reserved);
    EXPECT_EQ(kiln_arena_used(&now.arena), kiln_arena_used(&before->arena));
    EXPECT_EQ(now.arena.heap_sys_bytes, before->arena.heap_sys_bytes);
    EXPECT_EQ(now.arena.kept_count, before->arena.kept_count);
    for (unsigned i = 0; i < before->arena.kept_count; i++) {
        EXPECT_EQ(now.arena.kept[i].start, before->arena.kept[i].start);
        EXPECT_EQ(now.arena.kept[i].end, before->arena.kept[i].end);
        EXPECT_EQ(now.arena.kept[i].reserved, before->arena.kept[i].reserved);
    }
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        EXPECT_EQ(now.arena.tables[id].mapped_bytes, before->arena.tables[id].mapped_bytes);
    EXPECT_EQ(count_calls(CALL_GROW), 0);
}

/* Bytes committed or got must equal bytes given back. */
static void expect_nothing_leaked(void)
{
    uint64_t taken = 0, back = 0;
    for (unsigned i = 0; i < script.calls_count; i++) {
        const call_t *call = &script.calls[i];
        if (call->kind == CALL_COMMIT && i + 1 < script.calls_count) taken += call->bytes;
        if (call->kind == CALL_DECOMMIT) back += call->bytes;
    }
    /* The commit that failed took nothing. */
    for (unsigned i = 0; i < script.calls_count; i++)
        if (script.calls[i].kind == CALL_COMMIT && --script.commits == 0)
            taken -= i + 1 < script.calls_count ? script.calls[i].bytes : 0;
    EXPECT_EQ(taken, back);
}

static void test_failed_commits_change_nothing_in_every_branch(void)
{
    static const kiln_addr_t answers[] = {0x20000000, 0x50000000, 0x08000000, 0xf0000000};

    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        for (unsigned fail = 1; fail <= 3; fail++) { /* heap, bits, spans */
            fresh_32(KILN_FOLLOW_KILN, 0x20000000, KILN_MIB(1));
            snapshot_t before = take_snapshot();
            script.commit_fail_first = fail;
            answer(answers[i]);
            kiln_arena_result_t result = alloc(KILN_MIB(2));
            EXPECT_EQ(result.addr, 0);
            EXPECT_EQ(result.service, KILN_ARENA_MAP_FAILED);
            expect_unchanged(&before);
            EXPECT(count_calls(CALL_RELEASE) >= 1);
            expect_nothing_leaked();
        }
    }
}

static void test_failed_commit_is_fatal_in_seed(void)
{
    fresh_32(KILN_FOLLOW_SEED, 0x20800000, KILN_MIB(8));
    script.commit_fail_first = 1;
    EXPECT_STR(kiln_arena_alloc(&arena, KILN_MIB(1)).throw_reason, "out of memory while mapping");
}

static void test_failed_table_takes_the_fallback_back(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0xfff00000, KILN_KIB(64)); /* no room above: OS not asked */
    snapshot_t before = take_snapshot();
    answer(0x30001000);
    script.commit_fail_first = 1;
    kiln_arena_result_t result = alloc(KILN_MIB(2));
    EXPECT_EQ(result.service, KILN_ARENA_MAP_FAILED);
    expect_unchanged(&before);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr, 0x30001000);
}

/* --- publication ----------------------------------------------------------------------------- */

static void test_kiln_publishes_what_it_hands_out_and_no_hole(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20100000, KILN_MIB(1));
    answer(0x50000000);
    EXPECT_EQ(alloc(KILN_MIB(2)).addr, 0x50000000);
    EXPECT_EQ(alloc(KILN_MIB(1)).addr, 0x20000000);
    EXPECT_EQ(count_calls(CALL_GROW), 2);
    EXPECT_EQ(nth_call(CALL_GROW, 0)->addr, 0x50000000);
    EXPECT_EQ(nth_call(CALL_GROW, 0)->bytes, KILN_MIB(2));
    EXPECT_EQ(nth_call(CALL_GROW, 1)->addr, 0x20000000);
    EXPECT_EQ(nth_call(CALL_GROW, 1)->bytes, KILN_MIB(1));
}

static void test_seed_publishes_the_step_of_the_bound(void)
{
    fresh_32(KILN_FOLLOW_SEED, 0x20100000, KILN_MIB(1));
    answer(0x50000000);
    EXPECT_EQ(alloc(KILN_MIB(2)).addr, 0x50000000);
    EXPECT_EQ(nth_call(CALL_GROW, 0)->addr, 0x20000000);
    EXPECT_EQ(nth_call(CALL_GROW, 0)->bytes, 0x30200000);
}

static void test_order_is_heap_tables_watcher_bound(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20800000, KILN_MIB(8));
    EXPECT_EQ(alloc(KILN_MIB(1)).addr, 0x20000000);
    EXPECT_EQ(script.calls[0].use, KILN_OS_HEAP);
    EXPECT_EQ(script.calls[1].use, KILN_OS_BITS);
    EXPECT_EQ(script.calls[2].use, KILN_OS_SPANS);
    EXPECT_EQ(script.calls[3].kind, CALL_GROW);
    EXPECT(script.covered_when_told);
    EXPECT(script.covered_at_bound);
}

static void test_grow_rounds_and_retries_with_the_exact_size(void)
{
    uint64_t bytes = 0;
    fresh_32(KILN_FOLLOW_KILN, 0xfff10000, KILN_KIB(64));
    answer(0); /* the fallback for 1 MiB */
    EXPECT_EQ(kiln_arena_grow(&arena, 1, &bytes).addr, 0xfff00000);
    EXPECT_EQ(bytes, KILN_KIB(64));
    EXPECT_EQ(nth_call(CALL_DIRECT, 0)->bytes, KILN_MIB(1) + KILN_KIB(8));
}

static void test_unreserved_regions_are_never_given_back(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20000000, KILN_MIB(1));
    script.unreserved = true;
    answer(0xf0000000); /* its last page is chopped off: nothing is held there */
    EXPECT_EQ(alloc(KILN_MIB(2)).addr, 0xf0000000);
    EXPECT_EQ(count_calls(CALL_RELEASE), 0);
    EXPECT(!arena.arena_reserved);
    EXPECT(arena.kept[0].reserved);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_config_rules_name_what_is_wrong),
        KILN_TEST(test_start_64_takes_the_first_answer_wherever_it_is),
        KILN_TEST(test_start_64_falls_back_to_blocks_after_128_refusals),
        KILN_TEST(test_start_32_moves_the_hint_beyond_the_break),
        KILN_TEST(test_start_moves_the_hint_beyond_a_break_in_the_last_hardware_page),
        KILN_TEST(test_start_gives_back_what_lies_beyond_the_range),
        KILN_TEST(test_destroy_gives_back_the_pages_of_believed_tables),
        KILN_TEST(test_start_puts_the_heap_at_a_hardware_page),
        KILN_TEST(test_start_moves_the_hint_at_the_top_of_the_address_space),
        KILN_TEST(test_watcher_is_not_told_of_a_range_that_wraps),
        KILN_TEST(test_start_fails_when_even_the_empty_arena_is_refused),
        KILN_TEST(test_watcher_that_needs_one_range_is_refused_by_blocks_only),
        KILN_TEST(test_lower_block_does_not_move_the_bound),
        KILN_TEST(test_kept_remainder_serves_the_next_request),
        KILN_TEST(test_kept_remainders_beyond_the_most_go_back_smallest_first),
        KILN_TEST(test_refused_granule_is_halved_down_to_one_mib),
        KILN_TEST(test_granule_min_is_what_halving_ends_at),
        KILN_TEST(test_block_at_the_top_loses_its_last_page),
        KILN_TEST(test_seed_loses_the_bound_at_the_top),
        KILN_TEST(test_lying_answers_are_refused_and_not_given_back),
        KILN_TEST(test_fallback_over_the_current_block_is_refused),
        KILN_TEST(test_requests_that_cannot_be_are_refused_before_the_os),
        KILN_TEST(test_failed_commits_change_nothing_in_every_branch),
        KILN_TEST(test_failed_commit_is_fatal_in_seed),
        KILN_TEST(test_failed_table_takes_the_fallback_back),
        KILN_TEST(test_kiln_publishes_what_it_hands_out_and_no_hole),
        KILN_TEST(test_seed_publishes_the_step_of_the_bound),
        KILN_TEST(test_order_is_heap_tables_watcher_bound),
        KILN_TEST(test_grow_rounds_and_retries_with_the_exact_size),
        KILN_TEST(test_unreserved_regions_are_never_given_back),
    };
    int status = kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
    free(present);
    return status;
}
