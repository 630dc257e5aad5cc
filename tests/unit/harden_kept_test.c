/* The common paths of a heap that keeps who: they do what the others do, to the byte, or nothing.
 */
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"
#include "tests/unit/kept_calls.h"

enum { FRESH = 0xbe, FREED = 0xfd, THREAD = 5, LIVE = 200 };

static kiln_harden_t harden;
static kiln_harden_thread_t *mine;
static unsigned told_count;
static kiln_damage_t told;

static void found(const kiln_damage_t *damage, kiln_site_t from)
{
    (void)from;
    told = *damage;
    told_count++;
}

static uint32_t stack_of(uintptr_t caller)
{
    return (uint32_t)caller + 100;
}

static uint32_t thread_of(void)
{
    return THREAD;
}

static void begin(bool families)
{
    kiln_harden_config_t config = {.seed = 1,
                                   .random = true,
                                   .fresh_byte = FRESH,
                                   .freed_byte = FREED,
                                   .families = families,
                                   .quarantine = {.blocks_max = 64, .bytes_max = 8192},
                                   .found = found,
                                   .stack = stack_of,
                                   .thread = thread_of};
    kiln_heap_t *heap = world_open((world_config_t){.kind = WORLD_FAKE,
                                                    .follow = KILN_FOLLOW_KILN,
                                                    .note_bytes = kiln_harden_note_bytes(&config)});
    EXPECT_RULE(kiln_harden_init(&harden, heap, &config));
    mine = kiln_harden_attach(&harden);
    EXPECT(mine);
    told_count = kept_takes = kept_gives = 0;
}

static void finish(void)
{
    EXPECT_RULE(kiln_harden_broken_rule(&harden));
    EXPECT_RULE(kiln_heap_broken_rule(&world.heap));
    kiln_harden_detach(&harden, mine);
    world_close();
}

/* What can be known of a block, as a number. */
static uint64_t look(uint64_t sum, const unsigned char *block, size_t bytes)
{
    kiln_harden_about_t about = kiln_harden_about(&harden, (uintptr_t)block);
    uint64_t known[] = {(uintptr_t)block - (uintptr_t)world.heap.arena.arena_start,
                        about.asked,
                        about.slot_bytes,
                        about.live,
                        about.alloc_stack,
                        about.free_stack,
                        about.alloc_thread,
                        about.free_thread,
                        about.family};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) sum = sum * 31 + known[i];
    for (size_t i = 0; i < bytes; i++) sum = sum * 31 + block[i];
    return sum;
}

/* A walk that the common paths go as far as they can, or never. */
static uint64_t walk(bool kept)
{
    static const char *const takes[] = {"malloc", "operator new", "operator new[]"};
    static const char *const gives[] = {"free", "operator delete", "operator delete[]"};
    kiln_rng_t rng = {7};
    struct {
        unsigned char *block;
        size_t bytes;
        uint64_t family;
    } live[LIVE] = {0};
    uint64_t sum = 0;
    begin(true);
    for (uint32_t i = 0; i < 20000; i++) {
        size_t at = (size_t)kiln_rng_below(&rng, LIVE);
        unsigned char *block = live[at].block;
        if (block) {
            kiln_site_t site = {gives[live[at].family], i};
            EXPECT_EQ(kept ? kept_give(&harden, mine, block, site)
                           : kiln_harden_free(&harden, mine, block, site),
                      KILN_MISUSE_NONE);
            if (live[at].bytes < KILN_SMALL_MAX) /* else its span is gone */
                sum = look(sum, block, live[at].bytes + 1);
        }
        bool is_long = kiln_rng_below(&rng, 50) == 0, zero = kiln_rng_below(&rng, 4) == 0;
        live[at].bytes = (size_t)kiln_rng_below(&rng, is_long ? 2 * KILN_SMALL_MAX : 1200);
        live[at].family = zero ? 0 : kiln_rng_below(&rng, 3);
        kiln_site_t site = {takes[live[at].family], 2 * i};
        block = kept ? kept_take(&harden, mine, live[at].bytes, zero, site)
                     : kiln_harden_malloc(&harden, mine, live[at].bytes, zero, site);
        EXPECT(block);
        sum = look(sum, block, live[at].bytes + 1); /* with a byte of canary */
        memset(block, (int)i, live[at].bytes);
        live[at].block = block;
    }
    EXPECT_EQ(kiln_harden_check(&harden, (kiln_site_t){"test", 1}), 0);
    finish();
    EXPECT_EQ(told_count, 0);
    return sum;
}

static void test_both_ways_are_one(void)
{
    uint64_t other = walk(false);
    EXPECT(kept_takes == 0 && kept_gives == 0);
    EXPECT_EQ(walk(true), other);
    printf("%u blocks of 20,000 were made on the common path, %u ended\n", kept_takes, kept_gives);
    EXPECT(kept_takes > 17000 && kept_gives > 17000); /* the rest are large, or fill an empty bin */
}

static const kiln_site_t site = {"test", 1};

static bool is_given(void *block, const char *call)
{
    return kiln_harden_free_kept(harden.heap, mine, block,
                                 kept_by(&harden, (kiln_site_t){call, 1}));
}

static bool is_given_sized(void *block, size_t asked)
{
    return kiln_harden_free_sized_kept(harden.heap, mine, block, asked,
                                       kept_by(&harden, (kiln_site_t){"free_sized", 1}));
}

/* What is not as it should be is left to the other path, untouched. */
static void test_nothing_is_done(void)
{
    begin(true);
    char *block = kept_take(&harden, mine, 40, false, site), *large = NULL;
    EXPECT(!is_given(block + 16, "free") && !is_given(block + 1, "free"));
    EXPECT(!is_given(block, "operator delete"));
    EXPECT(!is_given(block, "operator delete[]"));
    static const size_t wrong[] = {0, 39, 41, 40 + (size_t)UINT16_MAX + 1, SIZE_MAX, SIZE_MAX - 7};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT(!is_given_sized(block, wrong[i]));
    EXPECT(!is_given(&told, "free"));
    EXPECT(kiln_harden_about(&harden, (uintptr_t)block).live);
    EXPECT(is_given_sized(block, 40));
    EXPECT(!is_given_sized(block, 40) && !is_given(block, "free"));
    EXPECT(!kiln_harden_keeps(mine, KILN_SMALL_MAX));
    large = kept_take(&harden, mine, KILN_SMALL_MAX, false, site);
    EXPECT(!is_given(large, "free"));
    EXPECT_EQ(kiln_harden_free(&harden, mine, large, site), KILN_MISUSE_NONE);
    mine->until_guard = 1;
    EXPECT(!kiln_harden_keeps(mine, 40));
    finish();
    begin(false); /* any function may end any block */
    block = kept_take(&harden, mine, 40, false, (kiln_site_t){"operator new", 1});
    EXPECT(is_given(block, "free"));
    finish();
    EXPECT_EQ(told_count, 0);
}

/* A block that was freed and written to: whoever meets it tells, and who gets its slot next has
 * bytes as of any block. */
static void see_a_late_write(size_t bytes, bool zero, bool leaves)
{
    begin(true);
    unsigned char *blocks[300], *bad = kept_take(&harden, mine, bytes, false, site);
    EXPECT_EQ(kept_give(&harden, mine, bad, site), KILN_MISUSE_NONE);
    if (leaves) bad[bytes / 2]++;
    for (unsigned i = 0; i < 300; i++) { /* it leaves the quarantine, and waits in the bin */
        unsigned char *other = kept_take(&harden, mine, bytes, false, site);
        EXPECT_EQ(kept_give(&harden, mine, other, site), KILN_MISUSE_NONE);
        if (kiln_harden_about(&harden, (uintptr_t)bad).live) break;
        if (*bad == 0 && bad[bytes / 2] == 0) break;
    }
    EXPECT_EQ(told_count, leaves ? 1 : 0);
    if (!leaves) bad[bytes / 2]++;
    for (unsigned i = 0; i < 300; i++) {
        blocks[i] = kept_take(&harden, mine, bytes, zero, site);
        for (size_t j = 0; j < bytes; j++) EXPECT_EQ(blocks[i][j], zero ? 0 : FRESH);
    }
    EXPECT_EQ(told_count, 1);
    EXPECT_EQ(told.kind, KILN_DAMAGE_USE_AFTER_FREE);
    EXPECT_EQ(told.first, (uintptr_t)bad + bytes / 2);
    EXPECT_EQ(told.end, told.first + 1);
    for (unsigned i = 0; i < 300; i++)
        EXPECT_EQ(kept_give(&harden, mine, blocks[i], site), KILN_MISUSE_NONE);
    EXPECT(kept_takes > 100 && kept_gives > 100);
    finish();
    EXPECT_EQ(told_count, 1);
}

static void test_late_writes(void)
{
    static const size_t sizes[] = {1, 15, 16, 40, 200, 1000, 1500, 4000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        see_a_late_write(sizes[i], false, true);
        see_a_late_write(sizes[i], true, true);
        see_a_late_write(sizes[i], false, false);
        see_a_late_write(sizes[i], true, false);
    }
}

/* ---- which blocks of a thread are guarded ---- */

enum { EVERY = 10, THREADS = 200 };

static unsigned guarded[THREADS];

/* What the n-th thread of a process begins with, where each has `blocks` blocks. */
static void first_guarded(uint64_t seed, uint64_t blocks, uint64_t *out_first)
{
    static kiln_guard_t guard; /* of which nothing is asked */
    kiln_harden_config_t config = {
        .seed = seed, .guard = &guard, .guard_every = EVERY, .guard_rotates = true, .found = found};
    kiln_heap_t *heap = world_open((world_config_t){.kind = WORLD_FAKE,
                                                    .follow = KILN_FOLLOW_KILN,
                                                    .note_bytes = kiln_harden_note_bytes(&config)});
    kiln_guard_config_t space = kiln_guard_config_default(heap->config.os);
    EXPECT_RULE(kiln_guard_init(&guard, heap->config.os, &space));
    EXPECT_RULE(kiln_harden_init(&harden, heap, &config));
    for (uint64_t i = 0; i < THREADS; i++) {
        mine = kiln_harden_attach(&harden);
        EXPECT(mine);
        out_first[i] = mine->until_guard;
        for (uint64_t had = mine->until_guard; had < blocks;) {
            guarded[i]++;
            had += kiln_harden_next_guarded(&harden, mine);
        }
        kiln_harden_detach(&harden, mine);
    }
    world_close();
}

static void test_the_first_blocks_of_any_thread_have_their_turn(void)
{
    static uint64_t first[THREADS / 16 * EVERY + EVERY][THREADS];
    uint64_t seeds = sizeof first / sizeof *first;
    for (uint64_t seed = 0; seed < seeds; seed++) first_guarded(seed, 0, first[seed]);
    for (uint64_t i = 0; i < THREADS; i++)
        for (uint64_t block = 1; block <= EVERY; block++) {
            unsigned turns = 0;
            for (uint64_t seed = 0; seed < seeds; seed++) turns += first[seed][i] == block;
            EXPECT(turns > 0 && (i > 30 || turns >= seeds / EVERY)); /* the first threads: always */
        }
}

static void test_many_threads_have_few_guarded(void)
{
    uint64_t first[THREADS], all = 0;
    memset(guarded, 0, sizeof guarded);
    first_guarded(3, 7000, first);
    for (unsigned i = 0; i < THREADS; i++) all += guarded[i];
    printf("%u of the first thread's blocks were guarded, %llu of all of %u threads\n", guarded[0],
           (unsigned long long)all, THREADS);
    EXPECT(guarded[0] > 120 && guarded[0] < 240); /* 50, and 50 * ln(14) */
    EXPECT(all > 16 * 50 && all < 5000);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_both_ways_are_one),
        KILN_TEST(test_nothing_is_done),
        KILN_TEST(test_late_writes),
        KILN_TEST(test_the_first_blocks_of_any_thread_have_their_turn),
        KILN_TEST(test_many_threads_have_few_guarded),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
