/* Guarded blocks: what faults, what is told, and what comes back, on every OS and mechanism. What
 * only Linux can show is guard_linux_test.c. */
#include "tests/unit/guard_world.h"

#include "allocator/base/rng.h"
#include "allocator/harden/guard_canary.h"

enum { SIZES = 18, ALIGNS = 17 };

static const size_t sizes[SIZES] = {1,     2,     7,     8,      15,      16,
                                    17,    100,   1000,  4095,   4096,    4097,
                                    10000, 65536, 65537, 262144, 1 << 20, 3 << 20};

typedef void (*case_t)(kiln_guard_policy_t policy);

/* Runs the case with both policies in every world. */
static void in_all_worlds(case_t run)
{
    for (unsigned kind = 0; kind < GUARD_WORLDS; kind++)
        for (unsigned policy = 0; policy < 2; policy++) {
            kiln_guard_config_t config = guard_small_config((kiln_guard_policy_t)policy);
            guard_world_open((guard_world_kind_t)kind, &config, 0, false);
            run((kiln_guard_policy_t)policy);
            guard_world_close();
        }
}

static unsigned char *take(size_t bytes, size_t align)
{
    return kiln_guard_malloc(guard, bytes, align, 1, 10);
}

/* --- where blocks are, and what faults --- */

static void expect_bounds(const unsigned char *block, size_t bytes, size_t align,
                          kiln_guard_policy_t policy)
{
    size_t unit = align < GUARD_PAGE ? align : GUARD_PAGE;
    size_t gap = (unit - bytes % unit) % unit; /* behind the block, up to its alignment */
    EXPECT_EQ((uintptr_t)block % align, 0);
    EXPECT(guard_can_touch(block) && guard_can_touch(block + bytes - 1));
    if (policy == KILN_GUARD_HIGH) {
        EXPECT(!guard_can_touch(block + bytes + gap));
        EXPECT(!guard_can_touch(block + bytes + gap + GUARD_PAGE - 1));
        EXPECT(gap == 0 || guard_can_touch(block + bytes + gap - 1));
        EXPECT(!guard_can_touch(block - GUARD_PAGE)); /* the rest of the first page is slack */
    } else {
        size_t rest = (GUARD_PAGE - bytes % GUARD_PAGE) % GUARD_PAGE;
        EXPECT(!guard_can_touch(block - 1));
        EXPECT(!guard_can_touch(block - GUARD_PAGE));
        EXPECT(!guard_can_touch(block + bytes + rest));
    }
}

static void case_every_size_and_alignment(kiln_guard_policy_t policy)
{
    for (unsigned i = 0; i < SIZES; i++)
        for (unsigned shift = 0; shift < ALIGNS; shift += sizes[i] > 70000 ? 4 : 1) {
            size_t align = (size_t)1 << shift;
            unsigned char *block = take(sizes[i], align);
            EXPECT(block != NULL);
            expect_bounds(block, sizes[i], align, policy);
            for (size_t at = 0; at < sizes[i]; at++) EXPECT_EQ(block[at], 0);
            memset(block, 0xff, sizes[i]);
            EXPECT_EQ(guard_free(block), KILN_MISUSE_NONE);
            EXPECT(!guard_can_touch(block) && !guard_can_touch(block + sizes[i] - 1));
            EXPECT(!guard_can_touch(block + sizes[i] / 2));
            EXPECT_RULE(kiln_guard_broken_rule(guard));
        }
    EXPECT_EQ(kiln_guard_stats(guard).live_pages, 0);
    EXPECT_EQ(kiln_guard_stats(guard).refused, 0);
}

static void test_every_size_and_alignment(void)
{
    in_all_worlds(case_every_size_and_alignment);
}

static void case_no_room_is_an_answer(kiln_guard_policy_t policy)
{
    (void)policy;
    EXPECT(take((4 << 20) + 1, 1) == NULL);
    EXPECT(take(SIZE_MAX, 1) == NULL);
    EXPECT(take(1, 0) == NULL);
    EXPECT(take(1, 3) == NULL);
    EXPECT(take(1, KILN_GUARD_ALIGN_MAX * 2) == NULL);
    EXPECT_EQ(kiln_guard_stats(guard).space.region_bytes, 0); /* nothing was asked of the OS */
    EXPECT_EQ(world.check.model.ranges.count, 0);
    unsigned char *block = take(1, KILN_GUARD_ALIGN_MAX);
    EXPECT(block && (uintptr_t)block % KILN_GUARD_ALIGN_MAX == 0);
    EXPECT_EQ(guard_free(block), KILN_MISUSE_NONE);
}

static void test_no_room_is_an_answer(void)
{
    in_all_worlds(case_no_room_is_an_answer);
}

static void case_a_block_of_0_bytes_faults(kiln_guard_policy_t policy)
{
    (void)policy;
    kiln_misuse_t misuse;
    unsigned char *block = take(0, 16), *other = take(0, 16);
    EXPECT(block && other && block != other);
    EXPECT(!guard_can_touch(block) && !guard_can_touch(other));
    EXPECT_EQ(kiln_guard_usable(guard, block, &misuse), 0);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    EXPECT_EQ(guard_free(block), KILN_MISUSE_NONE);
    EXPECT_EQ(guard_free(block), KILN_MISUSE_DOUBLE_FREE);
    EXPECT_EQ(guard_free(other), KILN_MISUSE_NONE);
}

static void test_a_block_of_0_bytes_faults(void)
{
    in_all_worlds(case_a_block_of_0_bytes_faults);
}

/* --- misuse --- */

static void case_wrong_frees_are_answered(kiln_guard_policy_t policy)
{
    kiln_misuse_t misuse;
    unsigned char *block = take(100, 16), *large = take(3 << 20, 16);
    static unsigned char foreign[64];
    EXPECT_EQ(kiln_guard_usable(guard, block, &misuse), 100);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    EXPECT_EQ(guard_free(block + 1), KILN_MISUSE_INTERIOR);
    EXPECT_EQ(guard_free(block + 16), KILN_MISUSE_INTERIOR);
    EXPECT_EQ(guard_free(block - 16), KILN_MISUSE_INTERIOR);
    EXPECT_EQ(guard_free(large + (1 << 21)), KILN_MISUSE_INTERIOR);
    EXPECT_EQ(guard_free(foreign), KILN_MISUSE_FOREIGN);
    EXPECT_EQ(guard_free((unsigned char *)kiln_guard_chunk_start(&guard->space, 14)),
              KILN_MISUSE_FOREIGN); /* no block was there yet */
    EXPECT_EQ(kiln_guard_usable(guard, block + 1, &misuse), 0);
    EXPECT_EQ(misuse, KILN_MISUSE_INTERIOR);
    EXPECT_EQ(guard_free(block), KILN_MISUSE_NONE);
    EXPECT_EQ(guard_free(block), KILN_MISUSE_DOUBLE_FREE);
    EXPECT_EQ(guard_free(block + 1), KILN_MISUSE_INTERIOR);
    EXPECT_EQ(kiln_guard_usable(guard, block, &misuse), 0);
    EXPECT_EQ(misuse, KILN_MISUSE_DOUBLE_FREE);
    EXPECT_EQ(guard_free(large), KILN_MISUSE_NONE);
    EXPECT_EQ(guard_free(large), KILN_MISUSE_DOUBLE_FREE);
    EXPECT(kiln_guard_owns(guard, block) && kiln_guard_owns(guard, large + (3 << 20)));
    EXPECT(!kiln_guard_owns(guard, foreign));
    if (policy == KILN_GUARD_LOW) EXPECT_EQ((uintptr_t)block % GUARD_PAGE, 0);
}

static void test_wrong_frees_are_answered(void)
{
    in_all_worlds(case_wrong_frees_are_answered);
}

/* Once more than freed_chunks_max chunks are dead, who frees an old block again is told so still.
 * Of a freed block either it is told, or nothing: no block of another chunk, remembered longer. */
static void case_forgotten_blocks_are_freed_twice(kiln_guard_policy_t policy)
{
    enum { BLOCKS = 2000 };
    static unsigned char *blocks[BLOCKS];
    kiln_guard_about_t about;
    unsigned known = 0;
    (void)policy;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = take(64, 16);
        EXPECT_EQ(guard_free(blocks[i]), KILN_MISUSE_NONE);
    }
    EXPECT(kiln_guard_stats(guard).space.chunks_retired > 0);
    EXPECT(!guard_can_touch(blocks[0]));
    EXPECT_EQ(guard_free(blocks[0]), KILN_MISUSE_DOUBLE_FREE);
    EXPECT_EQ(guard_free(blocks[0] + 1), KILN_MISUSE_INTERIOR);
    for (unsigned i = 0; i < BLOCKS; i++) {
        EXPECT(kiln_guard_about(guard, blocks[i] + 32, &about));
        EXPECT(about.known ? about.block == (uintptr_t)blocks[i] : about.forgotten);
        EXPECT(i > 0 || !about.known);
        known += about.known;
    }
    EXPECT(known > 0);
}

static void test_forgotten_blocks_are_freed_twice(void)
{
    in_all_worlds(case_forgotten_blocks_are_freed_twice);
}

/* --- damage --- */

static unsigned visited;
static kiln_guard_damage_t visited_damage;
static uintptr_t visited_block;

static void visit(void *ctx, const kiln_guard_about_t *block, const kiln_guard_damage_t *damage)
{
    EXPECT(ctx == &visited);
    visited++;
    visited_block = block->block;
    if (damage) visited_damage = *damage;
}

/* Writes one byte beside a block, and expects check and free to tell of it, or of nothing. */
static void expect_damage(size_t bytes, size_t align, ptrdiff_t at, unsigned char value,
                          bool damaged)
{
    kiln_guard_damage_t damage;
    unsigned char *other = take(bytes, align), *block = take(bytes, align);
    memset(block, 0xee, bytes);
    block[at] = value;
    visited = 0;
    EXPECT_EQ(kiln_guard_check(guard, visit, &visited), damaged);
    EXPECT_EQ(kiln_guard_check(guard, NULL, NULL), damaged);
    EXPECT_EQ(visited, damaged);
    EXPECT_EQ(kiln_guard_free(guard, block, 2, 20, &damage), KILN_MISUSE_NONE);
    EXPECT_EQ(damage.damaged, damaged);
    if (damaged) {
        EXPECT_EQ(damage.first, (uintptr_t)(block + at));
        EXPECT_EQ(damage.where, at < 0 ? KILN_GUARD_BELOW : KILN_GUARD_ABOVE);
        EXPECT_EQ(visited_block, (uintptr_t)block);
        EXPECT_EQ(visited_damage.first, damage.first);
    }
    EXPECT_EQ(kiln_guard_check(guard, NULL, NULL), 0);
    EXPECT_EQ(guard_free(other), KILN_MISUSE_NONE);
}

static void case_damage_is_told_to_the_byte(kiln_guard_policy_t policy)
{
    static const unsigned char values[] = {0, 1, 'A', 0x7f}; /* no canary is one of them */
    for (unsigned i = 0; i < 4; i++) {
        for (ptrdiff_t at = 100; at < 112; at++) expect_damage(100, 16, at, values[i], true);
        expect_damage(100, 16, 99, values[i], false); /* its own last byte */
        expect_damage(100, 16, 0, values[i], false);
    }
    if (policy == KILN_GUARD_HIGH) {
        expect_damage(100, 16, -1, 0, true);
        expect_damage(100, 16, -1, 'A', true);
        expect_damage(100, 16, -KILN_GUARD_NEAR_BYTES, 0, true);
        expect_damage(100, 16, -3000, 'A', true);
        expect_damage(5000, 16, -70, 'A', true);
    } else {
        expect_damage(100, 16, 4095, 0, true);
        expect_damage(100, 16, 4095, 'A', true);
        expect_damage(1, 1, 1, 0, true);
        expect_damage(5000, 1, 5001, 'x', true);
    }
    expect_damage(3000001, 64, 3000001, 'A', true);
}

static void test_damage_is_told_to_the_byte(void)
{
    in_all_worlds(case_damage_is_told_to_the_byte);
}

/* --- about --- */

static void expect_about(const void *address, const void *block, size_t bytes, bool live,
                         kiln_guard_where_t where, size_t distance)
{
    kiln_guard_about_t about;
    EXPECT(kiln_guard_about(guard, address, &about));
    EXPECT(about.known);
    EXPECT_EQ(about.block, (uintptr_t)block);
    EXPECT_EQ(about.bytes, bytes);
    EXPECT_EQ(about.live, live);
    EXPECT_EQ(about.where, where);
    EXPECT_EQ(about.distance_bytes, distance);
    EXPECT_EQ(about.alloc_stack, 1);
    EXPECT_EQ(about.alloc_thread, 10);
    EXPECT_EQ(about.free_stack, live ? 0 : 2);
    EXPECT_EQ(about.free_thread, live ? 0 : 20);
}

static void case_any_address_is_explained(kiln_guard_policy_t policy)
{
    kiln_guard_about_t about;
    unsigned char *block[3];
    for (unsigned i = 0; i < 3; i++) block[i] = take(1000 + 16 * i, 8);
    for (unsigned round = 0; round < 2; round++) {
        bool live = round == 0;
        for (unsigned i = 0; i < 3; i++) {
            size_t bytes = 1000 + 16 * i;
            expect_about(block[i], block[i], bytes, live, KILN_GUARD_INSIDE, 0);
            expect_about(block[i] + bytes - 1, block[i], bytes, live, KILN_GUARD_INSIDE, 0);
            expect_about(block[i] + bytes, block[i], bytes, live, KILN_GUARD_ABOVE, 0);
            expect_about(block[i] + bytes + 4095, block[i], bytes, live, KILN_GUARD_ABOVE, 4095);
            expect_about(block[i] - 1, block[i], bytes, live, KILN_GUARD_BELOW, 1);
            expect_about(block[i] - 4096, block[i], bytes, live, KILN_GUARD_BELOW, 4096);
        }
        /* Between two blocks: the nearer one. */
        uintptr_t end = (uintptr_t)block[0] + 1000, middle = end + ((uintptr_t)block[1] - end) / 2;
        EXPECT(kiln_guard_about(guard, (void *)(middle - 64), &about));
        EXPECT_EQ(about.block, (uintptr_t)block[0]);
        EXPECT(kiln_guard_about(guard, (void *)(middle + 64), &about));
        EXPECT_EQ(about.block, (uintptr_t)block[1]);
        if (!live) break;
        for (unsigned i = 0; i < 3; i++) EXPECT_EQ(guard_free(block[i]), KILN_MISUSE_NONE);
    }
    unsigned char *large = take(3 << 20, 8);
    expect_about(large, large, 3 << 20, true, KILN_GUARD_INSIDE, 0);
    expect_about(large + (3 << 20) - 1, large, 3 << 20, true, KILN_GUARD_INSIDE, 0);
    expect_about(large + (3 << 20), large, 3 << 20, true, KILN_GUARD_ABOVE, 0);
    expect_about(large - 1, large, 3 << 20, true, KILN_GUARD_BELOW, 1);
    EXPECT_EQ(guard_free(large), KILN_MISUSE_NONE);
    expect_about(large + (2 << 20), large, 3 << 20, false, KILN_GUARD_INSIDE, 0);
    EXPECT(!kiln_guard_about(guard, &about, &about));
    EXPECT(kiln_guard_about(guard, (void *)kiln_guard_chunk_start(&guard->space, 15), &about));
    EXPECT(!about.known && !about.forgotten);
    (void)policy;
}

static void test_any_address_is_explained(void)
{
    in_all_worlds(case_any_address_is_explained);
}

/* Behind the last block of a chunk, and in the gap in front of the next chunk's first. Between the
 * two lie the two pages that no slot has, and the gap. */
static void test_chunks_have_neighbours(void)
{
    const uintptr_t chunk_bytes = (uintptr_t)GUARD_CHUNK_BYTES;
    for (size_t bytes = 64; bytes <= 4096; bytes *= 64) {
        kiln_guard_config_t config = guard_small_config(KILN_GUARD_HIGH);
        guard_world_open(GUARD_FAKE, &config, 0, false);
        unsigned char *last = take(bytes, 1), *block = take(bytes, 1);
        while ((uintptr_t)last / chunk_bytes == (uintptr_t)block / chunk_bytes) {
            last = block;
            block = take(bytes, 1);
            EXPECT(block != NULL);
        }
        uintptr_t chunk = (uintptr_t)block / chunk_bytes * chunk_bytes;
        EXPECT_EQ(chunk - (uintptr_t)last - bytes, 8192);
        EXPECT_EQ((uintptr_t)block + bytes - chunk, 8192 + 4096);
        expect_about(last + bytes, last, bytes, true, KILN_GUARD_ABOVE, 0);
        expect_about(last + bytes + 4096, last, bytes, true, KILN_GUARD_ABOVE, 4096);
        expect_about((void *)(chunk - 1), last, bytes, true, KILN_GUARD_ABOVE, 8191);
        if (bytes == 64)
            expect_about((void *)(chunk + 1), last, bytes, true, KILN_GUARD_ABOVE, 8193);
        else
            expect_about((void *)(chunk + 1), block, bytes, true, KILN_GUARD_BELOW, 8191);
        guard_world_close();
    }
}

/* What a chunk's records were used for before is not seen in them. */
static void test_records_are_used_again(void)
{
    unsigned char *last = NULL;
    kiln_guard_config_t config = guard_small_config(KILN_GUARD_HIGH);
    config.space.freed_chunks_max = 1;
    guard_world_open(GUARD_FAKE, &config, 0, false);
    for (unsigned i = 0; i <= 28 * 4; i++) /* of 16 pages each, 28 a chunk */
        EXPECT_EQ(guard_free(take(65536, 16)), KILN_MISUSE_NONE);
    for (unsigned i = 0; i < 30; i++) last = take(1, 1);
    expect_about(last + 1 + 100 * GUARD_PAGE, last, 1, true, KILN_GUARD_ABOVE, 100 * GUARD_PAGE);
    guard_world_close();
}

static void case_live_blocks_are_listed(kiln_guard_policy_t policy)
{
    (void)policy;
    unsigned char *block[40];
    for (unsigned i = 0; i < 40; i++) block[i] = take(i * 3000, 16);
    for (unsigned i = 0; i < 40; i += 2) EXPECT_EQ(guard_free(block[i]), KILN_MISUSE_NONE);
    visited = 0;
    kiln_guard_for_each_live(guard, visit, &visited);
    EXPECT_EQ(visited, 20);
    EXPECT_EQ(kiln_guard_stats(guard).live_blocks, 20);
    EXPECT_EQ(kiln_guard_stats(guard).live_bytes, 3000 * 20 * 20);
    for (unsigned i = 1; i < 40; i += 2) EXPECT_EQ(guard_free(block[i]), KILN_MISUSE_NONE);
    kiln_guard_for_each_live(guard, visit, &visited);
    EXPECT_EQ(visited, 20);
}

static void test_live_blocks_are_listed(void)
{
    in_all_worlds(case_live_blocks_are_listed);
}

/* --- bounds, refusals, chance --- */

static void test_mappings_bound_the_pool_and_it_recovers(void)
{
    static unsigned char *blocks[100];
    kiln_guard_config_t config = guard_small_config(KILN_GUARD_HIGH);
    config.space.mechanism = KILN_GUARD_MAPPINGS; /* also where there are guard pages */
    config.space.mappings_max = 64;
    for (unsigned kind = 0; kind < GUARD_WORLDS; kind++) {
        unsigned count = 0;
        guard_world_open((guard_world_kind_t)kind, &config, 0, false);
        while (count < 100 && (blocks[count] = take(64, 16)) != NULL) count++;
        EXPECT_EQ(count, 30);
        EXPECT(take(3 << 20, 16) == NULL);
        EXPECT(!kiln_guard_stats(guard).space.guard_pages);
        EXPECT(kiln_guard_stats(guard).space.mappings <= 64);
        EXPECT_EQ(kiln_guard_stats(guard).refused, 2);
        for (unsigned i = 0; i < count; i++) EXPECT_EQ(guard_free(blocks[i]), KILN_MISUSE_NONE);
        for (unsigned i = 0; i < 1000; i++) EXPECT_EQ(guard_free(take(64, 16)), KILN_MISUSE_NONE);
        EXPECT_EQ(kiln_guard_stats(guard).refused, 2);
        guard_world_close();
    }
}

static void test_a_limit_of_memory(void)
{
    kiln_guard_config_t config = guard_small_config(KILN_GUARD_HIGH);
    config.live_bytes_max = 10 * GUARD_PAGE;
    guard_world_open(GUARD_FAKE, &config, 0, false);
    unsigned char *most = take(9 * GUARD_PAGE, 16), *one = take(1, 1);
    EXPECT(most && one);
    EXPECT(take(1, 1) == NULL);
    EXPECT(take(0, 1) != NULL);
    EXPECT_EQ(guard_free(one), KILN_MISUSE_NONE);
    EXPECT(take(1, 1) != NULL);
    guard_world_close();
}

/* Who has no address space is not asked for it by every request, but again later. */
static void test_address_space_is_asked_for_now_and_then(void)
{
    kiln_guard_config_t config = guard_small_config(KILN_GUARD_HIGH);
    guard_world_open(GUARD_FAKE, &config, 0, false);
    world.fake.config.reserve_bytes_max = GUARD_PAGE;
    for (unsigned i = 0; i < 5000; i++) EXPECT(take(1, 1) == NULL);
    EXPECT(world.fake.stats.calls[KILN_OS_CALL_RESERVE] < 100);
    world.fake.config.reserve_bytes_max = 0;
    unsigned requests = 0;
    while (requests < 5000 && take(1, 1) == NULL) requests++;
    EXPECT(requests < 5000);
    guard_world_close();
}

/* Every chunk holds a live block: no room, then again when some are freed. */
static void case_a_full_region_recovers(kiln_guard_policy_t policy)
{
    static unsigned char *blocks[64];
    unsigned count = 0;
    (void)policy;
    while (count < 64 && (blocks[count] = take(1 << 20, 16)) != NULL) count++;
    EXPECT_EQ(count, 16);
    EXPECT(take(1, 1) == NULL);
    EXPECT(take(3 << 20, 1) == NULL);
    for (unsigned i = 0; i < count; i++)
        if (i != 4 && i != 9) EXPECT_EQ(guard_free(blocks[i]), KILN_MISUSE_NONE);
    for (unsigned i = 0; i < 64; i++) EXPECT_EQ(guard_free(take(3 << 20, 1)), KILN_MISUSE_NONE);
    for (unsigned i = 0; i < 64; i++) EXPECT_EQ(guard_free(take(1 << 20, 1)), KILN_MISUSE_NONE);
    EXPECT(guard_can_touch(blocks[4]) && guard_can_touch(blocks[9]));
    EXPECT_RULE(kiln_guard_broken_rule(guard));
}

static void test_a_full_region_recovers(void)
{
    in_all_worlds(case_a_full_region_recovers);
}

enum { HELD = 48, TURNS = 1500 };

/* Random blocks, each filled with a number of its own; the answer stands for all offsets. */
static uint64_t random_run(uint64_t seed)
{
    kiln_rng_t rng = {.state = seed};
    static unsigned char *blocks[HELD];
    static size_t bytes[HELD];
    uint64_t hash = 0;
    memset(blocks, 0, sizeof blocks);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        unsigned i = (unsigned)kiln_rng_below(&rng, HELD);
        if (blocks[i]) {
            for (size_t at = 0; at < bytes[i]; at += 1 + bytes[i] / 64)
                EXPECT_EQ(blocks[i][at], i + 1);
            EXPECT_EQ(guard_free(blocks[i]), KILN_MISUSE_NONE);
            EXPECT_EQ(guard_free(blocks[i]), KILN_MISUSE_DOUBLE_FREE);
            blocks[i] = NULL;
        } else {
            bytes[i] = (size_t)(kiln_rng_next(&rng) >> 44 >> kiln_rng_below(&rng, 20));
            blocks[i] = take(bytes[i], (size_t)1 << kiln_rng_below(&rng, 17));
            uintptr_t start = kiln_guard_chunk_start(&guard->space, 0);
            hash = (hash ^ ((uintptr_t)blocks[i] - start)) * UINT64_C(0x100000001b3);
            for (size_t at = 0; blocks[i] && at < bytes[i]; at += 1 + bytes[i] / 64)
                EXPECT_EQ(blocks[i][at], 0);
            if (blocks[i]) memset(blocks[i], (int)i + 1, bytes[i]);
        }
        if (turn % 50 == 0) EXPECT_RULE(kiln_guard_broken_rule(guard));
    }
    for (unsigned i = 0; i < HELD; i++)
        if (blocks[i]) EXPECT_EQ(guard_free(blocks[i]), KILN_MISUSE_NONE);
    return hash;
}

static void test_chance_and_the_same_calls_the_same_offsets(void)
{
    for (unsigned kind = 0; kind < GUARD_WORLDS; kind++) {
        uint64_t hash[3];
        for (unsigned run = 0; run < 3; run++) {
            kiln_guard_config_t config = guard_small_config(KILN_GUARD_HIGH);
            config.space.mappings_max = 40; /* so that chunks are reused as they are, too */
            config.space.gap_pages = 1;
            guard_world_open((guard_world_kind_t)kind, &config, 0, false);
            hash[run] = random_run(run == 2 ? 8 : 9);
            guard_world_close();
        }
        EXPECT_EQ(hash[0], hash[1]);
        EXPECT(hash[0] != hash[2]);
    }
}

/* Whatever the OS refuses: no room, and nothing is broken or lost. */
static unsigned a_few_blocks(void)
{
    static const size_t few[] = {16, 5000, 200000, 3 << 20, 16, 0, 5000};
    unsigned char *blocks[7];
    unsigned refused = 0;
    for (unsigned i = 0; i < 7; i++) {
        blocks[i] = take(few[i], 16);
        if (!blocks[i])
            refused++;
        else if (few[i] != 0)
            memset(blocks[i], 1, few[i]);
        EXPECT_RULE(kiln_guard_broken_rule(guard));
    }
    for (unsigned i = 0; i < 7; i++) {
        if (!blocks[i]) continue;
        EXPECT_EQ(guard_free(blocks[i]), KILN_MISUSE_NONE);
        EXPECT(!guard_can_touch(blocks[i]));
        EXPECT_RULE(kiln_guard_broken_rule(guard));
    }
    for (unsigned i = 0; i < 12; i++) { /* a chunk each: those above are retired */
        unsigned char *block = take(1 << 20, 16);
        if (!block) continue;
        EXPECT_EQ(guard_free(block), KILN_MISUSE_NONE);
        EXPECT_RULE(kiln_guard_broken_rule(guard));
    }
    return refused;
}

static void test_every_refusal_of_the_os_is_survived(void)
{
    kiln_guard_config_t config = guard_small_config(KILN_GUARD_HIGH);
    for (unsigned kind = 0; kind < GUARD_WORLDS; kind++)
        for (unsigned ever_after = 0; ever_after < 2; ever_after++) {
            uint64_t call = 1;
            for (; call < 100; call++) {
                guard_world_open((guard_world_kind_t)kind, &config, call, ever_after != 0);
                unsigned refused = a_few_blocks();
                bool missed = kiln_os_fault_missed(&world.fault);
                if (missed) EXPECT_EQ(refused, 0);
                guard_world_close();
                if (missed) break;
            }
            EXPECT(call > 8 && call < 100);
        }
}

static void test_wrong_configurations_are_named(void)
{
    kiln_guard_config_t good = guard_small_config(KILN_GUARD_HIGH), bad;
    const kiln_os_t *os = guard_world_os(GUARD_LINUX);
    EXPECT_RULE(kiln_guard_init(guard, os, &good));
#define WRONG(text, field, value)                                                                  \
    bad = good;                                                                                    \
    bad.field = value;                                                                             \
    EXPECT_STR(kiln_guard_init(guard, os, &bad), text)
    WRONG("guard: a gap is 1 to 16 pages", space.gap_pages, 0);
    WRONG("guard: a gap is 1 to 16 pages", space.gap_pages, 17);
    WRONG("guard: at least one dead chunk is kept", space.freed_chunks_max, 0);
    WRONG("guard: at least 16 mappings are allowed", space.mappings_max, 15);
    WRONG("guard: a block fits the address space", block_bytes_max, SIZE_MAX);
    WRONG("guard: the region fits the address space", space.region_bytes, UINT64_MAX);
#undef WRONG
    bad = good;
    memset(&bad.policy, 3, sizeof bad.policy);
    EXPECT_STR(kiln_guard_init(guard, os, &bad), "guard: the policy is one of those");
    bad = good;
    memset(&bad.space.mechanism, 3, sizeof bad.space.mechanism);
    EXPECT_STR(kiln_guard_init(guard, os, &bad), "guard: the mechanism is one of those");
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_every_size_and_alignment),
        KILN_TEST(test_no_room_is_an_answer),
        KILN_TEST(test_a_block_of_0_bytes_faults),
        KILN_TEST(test_wrong_frees_are_answered),
        KILN_TEST(test_forgotten_blocks_are_freed_twice),
        KILN_TEST(test_damage_is_told_to_the_byte),
        KILN_TEST(test_any_address_is_explained),
        KILN_TEST(test_chunks_have_neighbours),
        KILN_TEST(test_records_are_used_again),
        KILN_TEST(test_live_blocks_are_listed),
        KILN_TEST(test_mappings_bound_the_pool_and_it_recovers),
        KILN_TEST(test_a_limit_of_memory),
        KILN_TEST(test_address_space_is_asked_for_now_and_then),
        KILN_TEST(test_a_full_region_recovers),
        KILN_TEST(test_chance_and_the_same_calls_the_same_offsets),
        KILN_TEST(test_every_refusal_of_the_os_is_survived),
        KILN_TEST(test_wrong_configurations_are_named),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
