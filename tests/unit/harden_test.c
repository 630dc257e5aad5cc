/* What a hardened heap sees, at every size, to the byte; and that it sees nothing in a program that
 * does no wrong. */
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"
#include "tests/unit/kept_calls.h"

enum { FRESH = 0xbe, FREED = 0xfd, SEED = 7 };

static kiln_harden_t harden;
static kiln_harden_thread_t *mine;
static const kiln_site_t site = {"test", 1};

/* What was told. */
static kiln_damage_t told;
static unsigned told_count;

static void found(const kiln_damage_t *damage, kiln_site_t from)
{
    EXPECT(strcmp(from.call, "test") == 0 || strcmp(from.call, "the thread's end") == 0);
    told = *damage;
    told_count++;
}

static uint32_t stack_of(uintptr_t caller)
{
    return (uint32_t)caller + 100;
}

static uint32_t thread_of(void)
{
    return 3;
}

static kiln_harden_config_t hardened(void)
{
    return (kiln_harden_config_t){.seed = SEED,
                                  .random = true,
                                  .quarantine = {.blocks_max = 32, .bytes_max = 8192},
                                  .found = found};
}

static kiln_harden_config_t fuzz(void)
{
    return (kiln_harden_config_t){.seed = SEED,
                                  .random = true,
                                  .fresh_byte = FRESH,
                                  .freed_byte = FREED,
                                  .quarantine = {.blocks_max = 1024, .bytes_max = 262144},
                                  .found = found,
                                  .stack = stack_of,
                                  .thread = thread_of};
}

static void begin_in(world_config_t world_config, kiln_harden_config_t config)
{
    world_config.follow = KILN_FOLLOW_KILN;
    world_config.note_bytes = kiln_harden_note_bytes(&config);
    kiln_heap_t *heap = world_open(world_config);
    EXPECT_RULE(kiln_harden_init(&harden, heap, &config));
    mine = kiln_harden_attach(&harden);
    EXPECT(mine);
    told_count = 0;
}

static void begin(kiln_harden_config_t config, world_kind_t kind)
{
    begin_in((world_config_t){.kind = kind}, config);
}

static void finish(void)
{
    EXPECT_RULE(kiln_harden_broken_rule(&harden));
    EXPECT_RULE(kiln_heap_broken_rule(&world.heap));
    kiln_harden_detach(&harden, mine);
    world_close();
}

static char *take(size_t bytes)
{
    char *block = kept_take(&harden, mine, bytes, false, site);
    EXPECT(block);
    return block;
}

static void give(void *block)
{
    EXPECT_EQ(kept_give(&harden, mine, block, site), KILN_MISUSE_NONE);
}

/* Every small size, then each of a class's slots with another slack. */
static size_t next_size(size_t bytes)
{
    return bytes < 50 ? bytes + 1 : bytes + bytes / 16 + bytes % 7;
}

static void expect_bytes(const char *block, size_t bytes, uint8_t byte)
{
    for (size_t i = 0; i < bytes; i++) EXPECT_EQ((uint8_t)block[i], byte);
}

static void expect_fresh(const char *block, size_t bytes, uint8_t byte)
{
    for (size_t i = 0; i < bytes; i++)
        EXPECT_EQ((uint8_t)block[i], i < KILN_HARDEN_FRESH_BYTES_MAX ? byte : 0);
}

static void see_nothing_in_a_right_program(kiln_harden_config_t config)
{
    begin(config, WORLD_FAKE);
    for (size_t bytes = 0; bytes < KILN_MIB(1); bytes = next_size(bytes)) {
        char *block = take(bytes);
        kiln_misuse_t misuse;
        EXPECT_EQ((uintptr_t)block % KILN_HEAP_ALIGN_MIN, 0);
        expect_fresh(block, bytes, config.fresh_byte);
        EXPECT_EQ(kiln_harden_usable(&harden, block, &misuse), bytes);
        memset(block, 0x5a, bytes);
        EXPECT_EQ(kiln_harden_check(&harden, site), 0);
        give(block);
        char *zeroed = kept_take(&harden, mine, bytes, true, site);
        expect_fresh(zeroed, bytes, 0);
        memset(zeroed, 0x5a, bytes);
        EXPECT_EQ(kiln_harden_free_sized(&harden, mine, zeroed, 0, bytes, site), KILN_MISUSE_NONE);
    }
    EXPECT_EQ(kiln_harden_check(&harden, site), 0);
    EXPECT_EQ(told_count, 0);
    finish();
    EXPECT_EQ(told_count, 0);
}

static void test_right_program_hardened(void)
{
    see_nothing_in_a_right_program(hardened());
}

static void test_right_program_fuzz(void)
{
    see_nothing_in_a_right_program(fuzz());
}

static void expect_overflow(const char *block, size_t bytes, size_t at)
{
    EXPECT_EQ(told_count, 1);
    EXPECT(told.kind == KILN_DAMAGE_OVERFLOW || told.kind == KILN_DAMAGE_UNDERFLOW);
    if (at == 0) EXPECT_EQ(told.kind, KILN_DAMAGE_OVERFLOW);
    EXPECT_EQ(told.first, (uintptr_t)block + bytes + at);
    EXPECT_EQ(told.end, told.first + 1);
    EXPECT_EQ(told.block.block, (uintptr_t)block);
    EXPECT_EQ(told.block.asked, bytes);
    EXPECT(told.block.live);
    told_count = 0;
}

/* Behind the canary of a large block pages fault: harden_large_test.c. */
static uintptr_t slack_end(const char *block, size_t bytes)
{
    const kiln_span_t *span = kiln_page_map_find(&world.heap.map, (uintptr_t)block);
    if (span->class_idx == KILN_CLASS_LARGE) return kiln_harden_canary_end(span, bytes);
    return (uintptr_t)block + kiln_harden_about(&harden, (uintptr_t)block).slot_bytes;
}

/* Each byte of slack, and each bit of it: found by a check and when the block is freed. */
static void see_every_byte_past_the_end(kiln_harden_config_t config)
{
    begin(config, WORLD_FAKE);
    for (size_t bytes = 0; bytes < KILN_KIB(200); bytes = next_size(bytes)) {
        char *block = take(bytes);
        uintptr_t end = slack_end(block, bytes);
        EXPECT(end > (uintptr_t)block + bytes);
        for (size_t at = 0; (uintptr_t)block + bytes + at < end; at += 1 + at / 3) {
            uint8_t bit = (uint8_t)(1u << (at + bytes) % 8);
            block[bytes + at] ^= (char)bit;
            EXPECT_EQ(kiln_harden_check(&harden, site), 1);
            expect_overflow(block, bytes, at);
            block[bytes + at] ^= (char)bit;
            EXPECT_EQ(kiln_harden_check(&harden, site), 0);
        }
        block[bytes] ^= 0x40;
        give(block);
        expect_overflow(block, bytes, 0);
    }
    finish();
}

static void test_every_byte_past_the_end_hardened(void)
{
    see_every_byte_past_the_end(hardened());
}

static void test_every_byte_past_the_end_fuzz(void)
{
    see_every_byte_past_the_end(fuzz());
}

/* The byte before a block is the last one of its neighbour's slack, or of a slot that is free. */
static void test_byte_before_the_start(void)
{
    begin(hardened(), WORLD_FAKE);
    for (size_t bytes = 20; bytes < 3000; bytes += 31) {
        char *blocks[200];
        for (unsigned i = 0; i < 200; i++) blocks[i] = take(bytes);
        for (unsigned i = 0; i < 200; i++) {
            size_t slot_bytes = kiln_harden_about(&harden, (uintptr_t)blocks[i]).slot_bytes;
            kiln_harden_about_t before =
                kiln_harden_about(&harden, (uintptr_t)blocks[i] - slot_bytes);
            if (!before.live || before.block != (uintptr_t)blocks[i] - slot_bytes) continue;
            char was = blocks[i][-1];
            blocks[i][-1] = (char)(was + 1);
            EXPECT_EQ(kiln_harden_check(&harden, site), 1);
            EXPECT_EQ(told.first, (uintptr_t)blocks[i] - 1);
            if (slot_bytes - bytes > 1) EXPECT_EQ(told.kind, KILN_DAMAGE_UNDERFLOW);
            blocks[i][-1] = was;
        }
        for (unsigned i = 0; i < 200; i++) give(blocks[i]);
    }
    finish();
}

/* The last byte of the slack is damaged: whose doing it is, by what lies behind. */
static kiln_damage_kind_t kind_of_last_byte(const char *block)
{
    kiln_harden_about_t about = kiln_harden_about(&harden, (uintptr_t)block);
    char *last = (char *)(about.block + about.slot_bytes - 1);
    *last ^= 1;
    EXPECT_EQ(kiln_harden_check(&harden, site), 1);
    EXPECT_EQ(told.first, (uintptr_t)last);
    *last ^= 1;
    return told.kind;
}

/* Where no block is behind, and none ever was, nobody can have gone before its start. */
static void test_before_no_block_is_an_overflow(void)
{
    begin(hardened(), WORLD_FAKE);
    for (size_t bytes = 20; bytes < KILN_SMALL_MAX; bytes = bytes * 3 + 4) {
        char *block = take(bytes);
        size_t slot_bytes = kiln_harden_about(&harden, (uintptr_t)block).slot_bytes;
        kiln_harden_about_t behind = kiln_harden_about(&harden, (uintptr_t)block + slot_bytes);
        if (!behind.known) EXPECT_EQ(kind_of_last_byte(block), KILN_DAMAGE_OVERFLOW);
    }
    EXPECT(told_count > 0);
    finish();
}

/* Large blocks without pages that fault lie next to each other as small ones do, and can be told
 * apart as well. */
static void test_before_a_large_block_is_an_underflow(void)
{
    begin_in((world_config_t){.kind = WORLD_FAKE, .no_guard_pages = true}, hardened());
    char *blocks[8];
    unsigned neighbours = 0;
    for (unsigned i = 0; i < 8; i++) blocks[i] = take(100000);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < 8; j++) {
            size_t slot_bytes = kiln_harden_about(&harden, (uintptr_t)blocks[i]).slot_bytes;
            if (blocks[i] + slot_bytes != blocks[j]) continue;
            EXPECT_EQ(kind_of_last_byte(blocks[i]), KILN_DAMAGE_UNDERFLOW);
            give(blocks[j]); /* it waits, and is known */
            EXPECT_EQ(kind_of_last_byte(blocks[i]), KILN_DAMAGE_UNDERFLOW);
            (void)kiln_harden_large_flush(&harden); /* its pages are nobody's */
            EXPECT_EQ(kind_of_last_byte(blocks[i]), KILN_DAMAGE_OVERFLOW);
            blocks[j] = take(100000);
            neighbours++;
        }
    EXPECT(neighbours > 0);
    for (unsigned i = 0; i < 8; i++) give(blocks[i]);
    finish();
}

/* Whatever it is used for then, a large block's pages are zero; and it waits for as many frees as
 * there are places. */
static void test_freed_large_block_waits(void)
{
    for (world_kind_t kind = WORLD_LINUX; kind < WORLDS; kind++) {
        begin(hardened(), kind);
        for (size_t bytes = KILN_SMALL_MAX; bytes < KILN_MIB(1); bytes = bytes * 2 + 12345) {
            char *block = take(bytes);
            memset(block, 0x55, bytes);
            give(block);
            EXPECT(!kiln_harden_about(&harden, (uintptr_t)block).live);
            EXPECT_EQ(kept_give(&harden, mine, block, site), KILN_MISUSE_DOUBLE_FREE);
            for (unsigned i = 0; i < KILN_HARDEN_LARGE_PLACES; i++) {
                char *other = take(bytes);
                EXPECT(other != block);
                expect_fresh(other, bytes, 0);
                memset(other, 0x55, bytes);
                give(other);
            }
            (void)kiln_harden_large_flush(&harden);
            char *again = take(bytes);
            expect_fresh(again, bytes, 0);
            give(again);
        }
        EXPECT_EQ(kiln_harden_check(&harden, site), 0);
        finish();
    }
}

/* Where no page can be guarded freed large blocks wait all the same. What takes their pages after
 * them, small spans or a large block that grows, finds zeros: else it would be a write to freed
 * memory to the heap, and a secret of another to the program. */
static void test_without_guard_pages(void)
{
    enum { BYTES = KILN_SMALL_MAX * 3 };
    for (world_kind_t kind = WORLD_LINUX; kind < WORLDS; kind++) {
        begin_in((world_config_t){.kind = kind, .no_guard_pages = true}, hardened());
        char *block = take(BYTES), *next = take(BYTES);
        memset(block, 0x33, BYTES);
        memset(next, 0x55, BYTES);
        EXPECT((uintptr_t)next - (uintptr_t)block < 2 * (uintptr_t)BYTES); /* it lies behind it */
        give(next);
        EXPECT(kiln_harden_large_flush(&harden)); /* it has waited */
        kiln_misuse_t misuse;
        EXPECT(kiln_harden_realloc(&harden, mine, block, 2 * (size_t)BYTES, site, &misuse) ==
               block);
        expect_bytes(block, BYTES, 0x33);
        expect_fresh(block + BYTES, BYTES, 0);
        memset(block, 0x55, 2 * (size_t)BYTES);
        give(block);
        EXPECT(kiln_harden_large_flush(&harden));
        for (size_t bytes = 0; bytes < KILN_SMALL_MAX; bytes = next_size(bytes))
            expect_fresh(take(bytes), bytes, 0);
        EXPECT_EQ(kiln_harden_check(&harden, site), 0);
        EXPECT_EQ(told_count, 0);
        finish();
    }
}

static void see_writes_after_free(kiln_harden_config_t config)
{
    begin(config, WORLD_FAKE);
    for (size_t bytes = 1; bytes <= KILN_SMALL_MAX - 1; bytes = next_size(bytes)) {
        told_count = 0;
        char *block = take(bytes);
        size_t at = bytes / 2;
        give(block);
        expect_bytes(block, bytes, config.freed_byte);
        block[at] ^= 0x10;
        EXPECT_EQ(kiln_harden_check(&harden, site), 1);
        EXPECT_EQ(told.kind, KILN_DAMAGE_USE_AFTER_FREE);
        EXPECT_EQ(told.first, (uintptr_t)block + at);
        EXPECT_EQ(told.end, told.first + 1);
        EXPECT_EQ(told.block.asked, bytes);
        EXPECT(!told.block.live);
        told_count = 0;
        for (unsigned i = 0; i < 20000 && told_count == 0; i++) give(take(bytes));
        EXPECT_EQ(told_count, 1);
        EXPECT_EQ(told.kind, KILN_DAMAGE_USE_AFTER_FREE);
        EXPECT_EQ(told.first, (uintptr_t)block + at);
    }
    finish();
}

static void test_write_after_free_hardened(void)
{
    see_writes_after_free(hardened());
}

static void test_write_after_free_fuzz(void)
{
    see_writes_after_free(fuzz());
}

/* As many frees of its class as the quarantine has places. */
static void test_freed_block_waits(void)
{
    begin(hardened(), WORLD_FAKE);
    for (size_t bytes = 1; bytes < 2000; bytes += 97) {
        uint32_t class_idx = kiln_size_class_of(bytes + 1);
        uint32_t places = kiln_quarantine_places(&harden.config.quarantine, class_idx);
        EXPECT(places >= 4);
        char *block = take(bytes);
        give(block);
        for (unsigned i = 0; i < places; i++) {
            char *other = take(bytes);
            EXPECT(other != block);
            give(other);
        }
    }
    finish();
}

static void test_misuse(void)
{
    static char foreign[64];
    begin(hardened(), WORLD_FAKE);
    for (size_t bytes = 20; bytes < KILN_MIB(1); bytes = next_size(bytes)) {
        char *block = take(bytes);
        EXPECT_EQ(kept_give(&harden, mine, block + 16, site), KILN_MISUSE_INTERIOR);
        EXPECT_EQ(kept_give(&harden, mine, block + 1, site), KILN_MISUSE_INTERIOR);
        EXPECT_EQ(kiln_harden_free_sized(&harden, mine, block, 0, bytes + 1, site),
                  KILN_MISUSE_SIZE);
        EXPECT_EQ(kiln_harden_free_sized(&harden, mine, block, 0, bytes - 1, site),
                  KILN_MISUSE_SIZE);
        EXPECT_EQ(kiln_harden_free_sized(&harden, mine, block, 3, bytes, site),
                  KILN_MISUSE_ALIGNMENT);
        EXPECT_EQ(kiln_harden_free_sized(&harden, mine, block, 16, bytes, site), KILN_MISUSE_NONE);
        EXPECT_EQ(kept_give(&harden, mine, block, site), KILN_MISUSE_DOUBLE_FREE);
        kiln_misuse_t misuse;
        EXPECT(!kiln_harden_realloc(&harden, mine, block, 10, site, &misuse));
        EXPECT_EQ(misuse, KILN_MISUSE_DOUBLE_FREE);
        EXPECT_EQ(kiln_harden_usable(&harden, block, &misuse), 0);
        EXPECT_EQ(misuse, KILN_MISUSE_DOUBLE_FREE);
    }
    EXPECT_EQ(kept_give(&harden, mine, foreign, site), KILN_MISUSE_FOREIGN);
    EXPECT_EQ(told_count, 0);
    finish();
}

static void test_alignments(void)
{
    begin(fuzz(), WORLD_FAKE);
    for (size_t align = 1; align <= KILN_KIB(64); align *= 2)
        for (size_t bytes = 0; bytes < KILN_KIB(100); bytes = bytes * 3 + 1) {
            char *block = kiln_harden_aligned(&harden, mine, align, bytes, site);
            EXPECT(block && (uintptr_t)block % align == 0);
            memset(block, 0x11, bytes);
            EXPECT_EQ(kiln_harden_check(&harden, site), 0);
            block[bytes] ^= 1;
            EXPECT_EQ(kiln_harden_check(&harden, site), 1);
            block[bytes] ^= 1;
            EXPECT_EQ(kiln_harden_free_sized(&harden, mine, block, align, bytes, site),
                      KILN_MISUSE_NONE);
        }
    EXPECT(!kiln_harden_aligned(&harden, mine, 24, 8, site));
    EXPECT(!kiln_harden_aligned(&harden, mine, 16, PTRDIFF_MAX, site));
    EXPECT(!kept_take(&harden, mine, SIZE_MAX, false, site));
    finish();
}

/* Each step grows or shrinks by chance: what the block held stays, all else is fresh. */
static void see_realloc(kiln_harden_config_t config)
{
    begin(config, WORLD_FAKE);
    kiln_rng_t rng = {SEED};
    for (unsigned round = 0; round < 40; round++) {
        size_t bytes = (size_t)kiln_rng_below(&rng, 300);
        char *block = take(bytes);
        memset(block, 0x33, bytes);
        for (unsigned step = 0; step < 60; step++) {
            size_t most = step % 5 == 0 ? KILN_KIB(400) : 3000;
            size_t next = 1 + (size_t)kiln_rng_below(&rng, most);
            kiln_misuse_t misuse;
            block = kiln_harden_realloc(&harden, mine, block, next, site, &misuse);
            EXPECT(block);
            expect_bytes(block, bytes < next ? bytes : next, 0x33);
            memset(block, 0x33, next);
            bytes = next;
            EXPECT_EQ(kiln_harden_usable(&harden, block, &misuse), bytes);
            EXPECT_EQ(kiln_harden_check(&harden, site), 0);
        }
        block[bytes] ^= 1;
        kiln_misuse_t misuse;
        block = kiln_harden_realloc(&harden, mine, block, bytes + 1, site, &misuse);
        EXPECT_EQ(told_count, 1);
        told_count = 0;
        give(block);
        EXPECT_EQ(told_count, 0);
    }
    finish();
}

static void test_realloc_hardened(void)
{
    see_realloc(hardened());
}

static void test_realloc_fuzz(void)
{
    see_realloc(fuzz());
}

static void test_stacks(void)
{
    begin(fuzz(), WORLD_FAKE);
    for (size_t bytes = 5; bytes < KILN_KIB(300); bytes = next_size(bytes) + bytes / 2) {
        kiln_site_t at = {"test", bytes};
        char *block = kept_take(&harden, mine, bytes, false, at);
        kiln_harden_about_t about = kiln_harden_about(&harden, (uintptr_t)block + bytes / 2);
        EXPECT(about.known && about.live);
        EXPECT_EQ(about.block, (uintptr_t)block);
        EXPECT_EQ(about.alloc_stack, stack_of(bytes));
        EXPECT_EQ(about.free_stack, 0);
        EXPECT_EQ(about.alloc_thread, 3);
        at.caller++;
        EXPECT_EQ(kept_give(&harden, mine, block, at), KILN_MISUSE_NONE);
        if (bytes >= KILN_SMALL_MAX) continue; /* its span is gone */
        about = kiln_harden_about(&harden, (uintptr_t)block);
        EXPECT(!about.live);
        EXPECT_EQ(about.alloc_stack, stack_of(bytes));
        EXPECT_EQ(about.free_stack, stack_of(bytes + 1));
    }
    finish();
}

/* The same seed and calls: the same addresses, from the start of the arena on. Another seed:
 * others. */
static uint64_t walk(uint64_t seed)
{
    kiln_harden_config_t config = fuzz();
    config.seed = seed;
    begin(config, WORLD_FAKE);
    kiln_rng_t rng = {1};
    uint64_t sum = 0;
    char *blocks[64] = {0};
    for (unsigned i = 0; i < 5000; i++) {
        unsigned at = (unsigned)kiln_rng_below(&rng, 64);
        if (blocks[at]) give(blocks[at]);
        blocks[at] = take((size_t)kiln_rng_below(&rng, 500));
        sum = sum * 31 + ((uintptr_t)blocks[at] - (uintptr_t)world.heap.arena.arena_start);
    }
    for (unsigned i = 0; i < 64; i++)
        if (blocks[i]) give(blocks[i]);
    finish();
    return sum;
}

static void test_seed_decides_addresses(void)
{
    uint64_t first = walk(1);
    EXPECT_EQ(walk(1), first);
    EXPECT(walk(2) != first);
}

/* Nothing is lost without a cache of one's own, on Linux and where the heap grows by blocks. */
static void test_without_a_thread(void)
{
    for (world_kind_t kind = WORLD_LINUX; kind < WORLDS; kind++) {
        begin(hardened(), kind);
        kiln_harden_thread_t *was = mine;
        mine = NULL;
        for (size_t bytes = 0; bytes < KILN_KIB(300); bytes = next_size(bytes)) {
            char *block = take(bytes);
            expect_fresh(block, bytes, 0);
            memset(block, 0x77, bytes);
            give(block);
        }
        mine = was;
        finish();
        EXPECT_EQ(told_count, 0);
    }
}

static void test_config_is_judged(void)
{
    kiln_harden_config_t config = hardened();
    kiln_heap_t *heap =
        world_open((world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN});
    EXPECT_STR(kiln_harden_init(&harden, heap, &config),
               "a hardened heap's records have room for notes");
    world_close();
    config.found = NULL;
    world_config_t noted = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN, .note_bytes = 2};
    heap = world_open(noted);
    EXPECT_STR(kiln_harden_init(&harden, heap, &config), "somebody must be told of damage");
    world_close();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_right_program_hardened),
        KILN_TEST(test_right_program_fuzz),
        KILN_TEST(test_every_byte_past_the_end_hardened),
        KILN_TEST(test_every_byte_past_the_end_fuzz),
        KILN_TEST(test_byte_before_the_start),
        KILN_TEST(test_before_no_block_is_an_overflow),
        KILN_TEST(test_before_a_large_block_is_an_underflow),
        KILN_TEST(test_freed_large_block_waits),
        KILN_TEST(test_without_guard_pages),
        KILN_TEST(test_write_after_free_hardened),
        KILN_TEST(test_write_after_free_fuzz),
        KILN_TEST(test_freed_block_waits),
        KILN_TEST(test_misuse),
        KILN_TEST(test_alignments),
        KILN_TEST(test_realloc_hardened),
        KILN_TEST(test_realloc_fuzz),
        KILN_TEST(test_stacks),
        KILN_TEST(test_seed_decides_addresses),
        KILN_TEST(test_without_a_thread),
        KILN_TEST(test_config_is_judged),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
