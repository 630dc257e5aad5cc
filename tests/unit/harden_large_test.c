/* What faults behind the large blocks of a hardened heap: while they live, grow, shrink and go. */
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"
#include "allocator/harden/harden.h"
#include "allocator/heap/huge.h"

#include <stdio.h>
#include <sys/mman.h>

enum { PHYS = 4096, BLOCKS = 40, STEPS = 3000 };

static kiln_harden_t harden;
static kiln_harden_thread_t *mine;
static const kiln_site_t site = {"test", 1};
static kiln_damage_t told;

static void found(const kiln_damage_t *damage, kiln_site_t from)
{
    (void)from;
    told = *damage;
}

static void begin(world_config_t world_config)
{
    kiln_harden_config_t config = {.seed = 1, .random = true, .found = found};
    world_config.follow = KILN_FOLLOW_KILN;
    world_config.note_bytes = kiln_harden_note_bytes(&config);
    EXPECT_RULE(kiln_harden_init(&harden, world_open(world_config), &config));
    mine = kiln_harden_attach(&harden);
    EXPECT(mine);
    told.kind = KILN_DAMAGE_NONE;
}

static void finish(void)
{
    EXPECT_EQ(kiln_harden_check(&harden, site), 0);
    EXPECT_EQ(told.kind, KILN_DAMAGE_NONE);
    EXPECT_RULE(kiln_harden_broken_rule(&harden));
    kiln_harden_detach(&harden, mine);
    (void)kiln_harden_large_flush(&harden);
    world_close();
}

static char *take(size_t align, size_t bytes)
{
    char *block = kiln_harden_aligned(&harden, mine, align, bytes, site);
    EXPECT(block);
    return block;
}

static void give(void *block)
{
    EXPECT_EQ(kiln_harden_free(&harden, mine, block, site), KILN_MISUSE_NONE);
}

static char *resize(char *block, size_t bytes)
{
    kiln_misuse_t misuse;
    char *resized = kiln_harden_realloc(&harden, mine, block, bytes, site, &misuse);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    return resized;
}

static kiln_os_state_t state_of(const char *at)
{
    return kiln_os_fake_state(&world.fake, (uintptr_t)at);
}

/* Every byte that was asked for is the program's; what begins a whole page behind it faults. */
static void expect_guarded(const char *block, size_t bytes)
{
    const char *edge = (const char *)(uintptr_t)kiln_round_up((uintptr_t)block + bytes + 1, PHYS);
    for (const char *at = block; at < edge; at += PHYS) EXPECT_EQ(state_of(at), KILN_OS_READY);
    EXPECT_EQ(state_of(edge), KILN_OS_GUARDED);
    EXPECT_EQ(state_of(edge + PHYS - 1), KILN_OS_GUARDED);
}

static void test_behind_it_pages_fault(void)
{
    static const size_t sizes[] = {KILN_SMALL_MAX,      69630,  69631, 69632, 73727, 73728,
                                   (size_t)KILN_MIB(1), 3000001};
    begin((world_config_t){.kind = WORLD_FAKE});
    for (size_t align = 16; align <= KILN_MIB(1); align *= 16)
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char *block = take(align, sizes[i]);
            EXPECT(kiln_is_aligned((uintptr_t)block, align));
            memset(block, 0x55, sizes[i]);
            expect_guarded(block, sizes[i]);
            give(block);
            EXPECT_EQ(state_of(block), KILN_OS_RESERVED);
        }
    finish();
}

static void test_it_guards_its_neighbour(void)
{
    begin((world_config_t){.kind = WORLD_FAKE});
    char *block = take(16, 100000), *next = take(16, 100000);
    EXPECT_EQ(kiln_harden_about(&harden, (uintptr_t)next - 1).block, (uintptr_t)block);
    EXPECT_EQ(state_of(next - 1), KILN_OS_GUARDED);
    EXPECT_EQ(state_of(next), KILN_OS_READY);
    give(block);
    give(next);
    finish();
}

/* Where it ends, it is guarded; what it grows by is zero. */
static void test_it_goes_along(void)
{
    begin((world_config_t){.kind = WORLD_FAKE});
    char *block = take(16, 100000);
    memset(block, 1, 100000);
    for (size_t bytes = 100000, next; bytes < KILN_MIB(4); bytes = next) {
        next = bytes + bytes / 9;
        block = resize(block, next);
        for (size_t i = bytes; i < next; i++) EXPECT_EQ(block[i], 0);
        for (size_t i = 0; i < bytes; i += 100) EXPECT_EQ(block[i], 1);
        memset(block, 1, next);
        expect_guarded(block, next);
    }
    for (size_t bytes = KILN_MIB(4); bytes > KILN_SMALL_MAX; bytes -= bytes / 7) {
        block = resize(block, bytes);
        expect_guarded(block, bytes);
    }
    give(block);
    finish();
}

/* Whatever comes and goes, and whoever has the pages then: small spans touch them, too. On Linux
 * a page that still faulted would end the test. */
static void test_no_page_is_left_guarded(void)
{
    static const uint64_t fails[] = {0, 40, 120};
    for (world_kind_t kind = WORLD_LINUX; kind < WORLDS; kind++)
        for (unsigned i = 0; i < sizeof fails / sizeof *fails; i++) {
            begin((world_config_t){.kind = kind, .fail_call = fails[i]});
            kiln_rng_t rng = {kind + fails[i]};
            char *blocks[BLOCKS] = {NULL};
            for (unsigned step = 0; step < STEPS; step++) {
                char **at = &blocks[kiln_rng_below(&rng, BLOCKS)];
                size_t bytes =
                    1 + (size_t)kiln_rng_below(&rng, UINT64_C(1) << kiln_rng_below(&rng, 20));
                if (*at && kiln_rng_below(&rng, 3) == 0) {
                    char *moved = resize(*at, bytes);
                    if (moved) *at = moved;
                    if (moved) memset(moved, 0x33, bytes);
                    continue;
                }
                if (*at) give(*at);
                *at = kiln_harden_malloc(&harden, mine, bytes, false, site);
                if (*at) memset(*at, 0x55, bytes);
            }
            for (unsigned k = 0; k < BLOCKS; k++)
                if (blocks[k]) give(blocks[k]);
            finish();
        }
}

/* Behind a block that moved all of its room faults; while it grows into that it stays. */
static void test_it_grows_into_its_room(void)
{
    enum { STEPS_BYTES = 4096, GROWTHS = 800 };
    begin((world_config_t){.kind = WORLD_FAKE});
    size_t bytes = 100000;
    char *block = take(16, bytes), *others[GROWTHS + 1] = {take(16, 70000)};
    unsigned moves = 0;
    memset(block, 1, bytes);
    for (unsigned i = 0; i < GROWTHS; i++) {
        char *grown = resize(block, bytes + STEPS_BYTES);
        if (grown != block) others[++moves] = take(16, 70000); /* in its way */
        block = grown;
        for (size_t k = bytes; k < bytes + STEPS_BYTES; k += 64) EXPECT_EQ(block[k], 0);
        memset(block + bytes, 1, STEPS_BYTES);
        bytes += STEPS_BYTES;
        expect_guarded(block, bytes);
        size_t slot_bytes = kiln_harden_about(&harden, (uintptr_t)block).slot_bytes;
        if (slot_bytes > bytes + 2 * PHYS)
            EXPECT_EQ(state_of(block + slot_bytes - 1), KILN_OS_GUARDED);
    }
    EXPECT(moves > 0 && moves <= 12); /* of 100,000 bytes to 3,376,800 by halves: 9 */
    EXPECT_EQ(kiln_harden_check(&harden, site), 0);
    give(block);
    for (unsigned i = 0; i <= moves; i++) give(others[i]);
    finish();
}

/* Memory that the program locked cannot fault: in part, or from some moment on. What was to be
 * closed is open then, and has its canary. */
static void test_locked_memory(void)
{
    begin((world_config_t){.kind = WORLD_LINUX, .bare = true});
    char *block = take(16, 400000);
    if (mlock(block + (size_t)51 * PHYS, PHYS) != 0) printf("no memory can be locked here\n");
    block = resize(block, 204790);
    memset(block, 0x55, 204790);
    char *next = take(16, 200000), *behind = take(16, 200000);
    memset(next, 0x55, 200000);
    (void)mlock(next, 200000);
    next = resize(next, 500000);
    memset(next, 0x55, 500000);
    EXPECT_EQ(kiln_harden_check(&harden, site), 0);
    give(next);
    give(behind);
    give(block);
    finish();
}

/* Without such pages a canary of up to two pages is what there is. */
static void test_without_guard_pages(void)
{
    begin((world_config_t){.kind = WORLD_FAKE, .no_guard_pages = true});
    char *block = take(16, 100000);
    EXPECT_EQ(state_of(block + 102400), KILN_OS_READY);
    EXPECT_EQ(kiln_harden_about(&harden, (uintptr_t)block).slot_bytes, 106496);
    block[106495] ^= 1;
    EXPECT_EQ(kiln_harden_check(&harden, site), 1);
    EXPECT_EQ(told.kind, KILN_DAMAGE_OVERFLOW);
    block[106495] ^= 1;
    told.kind = KILN_DAMAGE_NONE;
    give(block);
    finish();
}

/* What it gave up behind the canary has lost its bytes when it grows into that again. */
static void test_what_shrank_and_grows_where_it_is_is_zero(void)
{
    begin((world_config_t){.kind = WORLD_FAKE, .no_guard_pages = true});
    char *block = take(16, 100000);
    memset(block, 1, 100000);
    EXPECT(resize(block, 85000) == block);
    EXPECT(resize(block, 100000) == block);
    for (size_t i = 0; i < 100000; i++) EXPECT_EQ(block[i], i < 85000);
    give(block);
    finish();
}

static uint64_t huge_calls_of_a_block(void)
{
    uint64_t before = world.fake.stats.calls[KILN_OS_CALL_HUGE];
    give(take(KILN_KIB(64), KILN_KIB(128) - 1)); /* whole hardware pages: it waits */
    EXPECT(kiln_harden_large_flush(&harden));
    return world.fake.stats.calls[KILN_OS_CALL_HUGE] - before;
}

/* The mapping that a block waits in has none of the advice that its neighbours have: it is told
 * again, where they were told. */
static void test_memory_that_was_away_is_as_its_neighbours(void)
{
    begin((world_config_t){
        .kind = WORLD_FAKE, .phys_bytes = KILN_KIB(64), .huge_bytes = KILN_MIB(2)});
    kiln_page_heap_t *pages = &harden.heap->pages;
    kiln_page_heap_use_huge(pages, KILN_MIB(1));
    EXPECT_EQ(huge_calls_of_a_block(), 0);
    while (!pages->asked_huge) (void)take(16, 500);
    kiln_huge_take_back(pages);
    EXPECT_EQ(huge_calls_of_a_block(), 1);
    finish();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_behind_it_pages_fault),
        KILN_TEST(test_it_guards_its_neighbour),
        KILN_TEST(test_it_goes_along),
        KILN_TEST(test_it_grows_into_its_room),
        KILN_TEST(test_no_page_is_left_guarded),
        KILN_TEST(test_locked_memory),
        KILN_TEST(test_without_guard_pages),
        KILN_TEST(test_what_shrank_and_grows_where_it_is_is_zero),
        KILN_TEST(test_memory_that_was_away_is_as_its_neighbours),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
