/* Which blocks of a hardened heap are guarded: one in so many, and where they rotate fewer as there
 * are more, of a thread and of those that ended before it. */
#include "tests/unit/heap_world.h"

#include "allocator/harden/harden.h"

/* LIVES of LIFE_BLOCKS are 100 times EXACT_BLOCKS. */
enum { SEED = 7, EVERY = 10, EXACT_BLOCKS = 50 * EVERY, LIFE_BLOCKS = 100, LIVES = 500 };

static kiln_harden_t harden;
static kiln_guard_t guard;
static const kiln_site_t site = {"test", 1};

static void found(const kiln_damage_t *damage, kiln_site_t from)
{
    (void)from;
    EXPECT_EQ(damage->kind, KILN_DAMAGE_NONE);
}

static void begin(bool rotates, uint64_t seed)
{
    kiln_harden_config_t config = {.seed = seed,
                                   .random = true,
                                   .quarantine = {.blocks_max = 32, .bytes_max = 8192},
                                   .guard = &guard,
                                   .guard_every = EVERY,
                                   .guard_rotates = rotates,
                                   .found = found};
    kiln_heap_t *heap = world_open((world_config_t){.kind = WORLD_FAKE,
                                                    .follow = KILN_FOLLOW_KILN,
                                                    .note_bytes = kiln_harden_note_bytes(&config)});
    kiln_guard_config_t guards = kiln_guard_config_default(heap->config.os);
    guards.space.region_bytes = KILN_MIB(64);
    guards.space.freed_chunks_max = 4;
    guards.block_bytes_max = KILN_PAGE_BYTES;
    EXPECT_RULE(kiln_guard_init(&guard, heap->config.os, &guards));
    EXPECT_RULE(kiln_harden_init(&harden, heap, &config));
}

static void finish(void)
{
    EXPECT_RULE(kiln_harden_broken_rule(&harden));
    kiln_guard_destroy(&guard);
    world_close();
}

/* A thread is given `blocks` blocks and ends: how many of them were guarded, and which first; 0 is
 * none. */
static uint64_t guarded_of_a_thread(unsigned blocks, unsigned *out_first)
{
    uint64_t guarded = 0;
    kiln_harden_thread_t *thread = kiln_harden_attach(&harden);
    *out_first = 0;
    for (unsigned i = 1; i <= blocks; i++) {
        void *block = kiln_harden_malloc(&harden, thread, 40, false, site);
        bool is_guarded = kiln_guard_owns(&guard, block);
        if (*out_first == 0 && is_guarded) *out_first = i;
        guarded += is_guarded;
        EXPECT_EQ(kiln_harden_free(&harden, thread, block, site), KILN_MISUSE_NONE);
    }
    kiln_harden_detach(&harden, thread);
    return guarded;
}

/* Under each seed another one of the first blocks, whatever threads are alive or few have ended. */
static void test_seeds_go_round(void)
{
    for (uint64_t seed = 0; seed < 2 * EVERY; seed++) {
        unsigned first;
        begin(true, seed);
        kiln_harden_thread_t *other = kiln_harden_attach(&harden);
        for (unsigned i = 0; i < 3 * EXACT_BLOCKS; i++) {
            void *block = kiln_harden_malloc(&harden, other, 40, false, site);
            EXPECT_EQ(kiln_harden_free(&harden, other, block, site), KILN_MISUSE_NONE);
        }
        for (unsigned i = 0; i + 1 < EXACT_BLOCKS / LIFE_BLOCKS; i++) {
            EXPECT_EQ(guarded_of_a_thread(LIFE_BLOCKS, &first), LIFE_BLOCKS / EVERY);
            EXPECT_EQ(first, 1 + seed % EVERY);
        }
        kiln_harden_detach(&harden, other);
        finish();
    }
}

/* Threads that live shortly have few more blocks guarded than one that lives long: else a program
 * of many would pay for every tenth block for ever. Where they do not rotate, every hundredth. */
static uint64_t guarded_of_threads(bool rotates, unsigned threads)
{
    uint64_t guarded = 0;
    unsigned first;
    begin(rotates, SEED);
    for (unsigned i = 0; i < threads; i++)
        guarded += guarded_of_a_thread(LIFE_BLOCKS * LIVES / threads, &first);
    finish();
    return guarded;
}

static void test_short_lived_threads_have_fewer_guarded(void)
{
    unsigned ignored;
    enum { BLOCKS = LIVES * LIFE_BLOCKS };
    uint64_t one = guarded_of_threads(true, 1), many = guarded_of_threads(true, LIVES);
    EXPECT(one > 200 && one < 360); /* 50 * (1 + ln 100) is 280 */
    EXPECT(many > one && many < BLOCKS / EVERY / 3);
    /* Many that were given next to nothing take nothing away from a later one: 50 * ln (27 / 7). */
    begin(true, SEED);
    for (unsigned i = 0; i < 700; i++) (void)guarded_of_a_thread(10, &ignored);
    uint64_t later = guarded_of_a_thread(20000, &ignored);
    finish();
    EXPECT(later > 40 && later < 100);
    for (unsigned threads = 1; threads <= LIVES; threads += LIVES - 1) {
        uint64_t drawn = guarded_of_threads(false, threads);
        /* 50, then 50 whenever the blocks are e times as many, up to one in ten times EVERY */
        EXPECT(drawn > BLOCKS / EVERY / 10 && drawn < BLOCKS / EVERY / 6);
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_seeds_go_round),
        KILN_TEST(test_short_lived_threads_have_fewer_guarded),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
