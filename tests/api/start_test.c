/* The layout that start-up chooses, over every amount of address space. */
#include "allocator/api/start.h"
#include "tests/kiln_test.h"

#define PLACE(i) ((uint64_t)(i) << 40 | UINT64_C(0xc000000000))

/* An OS that grants any reservation of at most `limit` bytes: where it is asked for, but where
 * somebody is, at the first places. */
static struct {
    uint64_t limit_bytes, held_bytes, asked, places_taken;
    bool reserves;
} machine;

static kiln_addr_t reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    (void)ctx;
    machine.asked++;
    if (bytes > machine.limit_bytes) return 0;
    *out_reserved = machine.reserves;
    if (machine.reserves) machine.held_bytes += bytes;
    return hint >= PLACE(machine.places_taken) ? hint : KILN_MIB(16);
}

static void release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    if (addr == KILN_MIB(16) || addr >= PLACE(machine.places_taken)) machine.held_bytes -= bytes;
}

static kiln_heap_config_t config_of(unsigned addr_bits, uint64_t limit_bytes, uint64_t phys_bytes)
{
    static kiln_os_t os = {.reserve = reserve, .release = release};
    os.addr_bits = addr_bits;
    os.phys_bytes = phys_bytes;
    machine.limit_bytes = limit_bytes;
    machine.held_bytes = machine.asked = 0;
    kiln_heap_config_t config = kiln_start_config(&os);
    EXPECT_EQ(machine.held_bytes, 0);
    EXPECT(machine.asked <= 22 + (machine.places_taken < 128 ? machine.places_taken : 127));
    EXPECT_RULE(kiln_arena_config_broken_rule(&config.arena));
    EXPECT_EQ(config.arena.follow, KILN_FOLLOW_KILN);
    EXPECT_EQ(config.arena.tables, 1u << KILN_ARENA_SPANS);
    EXPECT_EQ(config.arena.phys_bytes, phys_bytes);
    EXPECT_EQ(config.arena.addr_bits, addr_bits);
    EXPECT(config.os == &os && config.arena_os == &os && !config.log && !config.watcher);
    return config;
}

static uint64_t hint_of(const kiln_heap_config_t *config)
{
    return kiln_round_up(config->image_end + KILN_KIB(256), KILN_MIB(1));
}

static uint64_t span_table_bytes(const kiln_heap_config_t *config)
{
    return (config->arena.addr_max / config->arena.page_bytes + 1) * config->arena.word_bytes;
}

static void test_wide_machines_reserve_once(void)
{
    kiln_heap_config_t config = config_of(64, UINT64_C(1) << 47, 4096);
    EXPECT_EQ(config.arena.addr_max, (UINT64_C(1) << 39) - 1);
    EXPECT_EQ(config.arena.block_bytes, KILN_MIB(256));
    EXPECT_EQ(machine.asked, 1);
}

static void test_limited_machines_take_a_small_part(void)
{
    for (unsigned bits = 20; bits < 40; bits++) {
        uint64_t limit = (UINT64_C(1) << bits) + KILN_MIB(1) - 1;
        kiln_heap_config_t config = config_of(64, limit, 4096);
        uint64_t block = config.arena.block_bytes;
        EXPECT(block >= KILN_MIB(1) && block <= KILN_MIB(256));
        EXPECT(span_table_bytes(&config) <= limit / 32);
        if (limit > KILN_MIB(64)) EXPECT(2 * block + span_table_bytes(&config) <= limit / 4);
        EXPECT(config.arena.addr_max >= limit || config.arena.addr_max == (UINT64_C(1) << 39) - 1);
        EXPECT(config.idle_bytes_max >= KILN_MIB(1) && config.idle_bytes_max <= KILN_MIB(256));
        EXPECT_EQ(hint_of(&config), PLACE(0));
    }
}

static void test_another_place_where_somebody_is(void)
{
    for (machine.places_taken = 0; machine.places_taken < 128; machine.places_taken++) {
        kiln_heap_config_t config = config_of(64, KILN_GIB(1), 4096);
        EXPECT_EQ(hint_of(&config), PLACE(machine.places_taken));
    }
    kiln_heap_config_t config = config_of(64, KILN_GIB(1), 4096);
    EXPECT_EQ(hint_of(&config), PLACE(0));
    machine.places_taken = 0;
}

static void test_half_a_gigabyte(void) /* ulimit -v 512M, less what the program itself takes */
{
    kiln_heap_config_t config = config_of(64, KILN_MIB(500), 4096);
    EXPECT_EQ(config.arena.addr_max, KILN_GIB(8) - 1);
    EXPECT_EQ(config.arena.block_bytes, KILN_MIB(16));
    EXPECT_EQ(span_table_bytes(&config), KILN_MIB(8));
}

static void test_narrow_machines_can_use_all_addresses(void)
{
    for (unsigned bits = 20; bits < 32; bits++) {
        kiln_heap_config_t config = config_of(32, UINT64_C(1) << bits, 4096);
        EXPECT_EQ(config.arena.addr_max, UINT32_MAX);
        EXPECT_EQ(config.arena.word_bytes, 4);
        EXPECT(config.arena.block_bytes <= KILN_MIB(128));
        EXPECT_EQ(hint_of(&config), UINT64_C(0x20000000));
    }
}

static void test_no_address_space_and_larger_pages(void)
{
    EXPECT_EQ(config_of(64, 0, 4096).arena.block_bytes, KILN_MIB(1));
    EXPECT_EQ(config_of(32, 0, 4096).arena.block_bytes, KILN_MIB(1));
    EXPECT_EQ(config_of(64, KILN_GIB(1), 16384).arena.block_bytes, KILN_MIB(64));
    EXPECT_EQ(config_of(64, KILN_GIB(1), 65536).arena.block_bytes, KILN_MIB(64));
}

static void test_reserves_and_releases_or_holds_nothing(void)
{
    for (int reserves = 0; reserves < 2; reserves++) {
        machine.reserves = reserves;
        EXPECT_EQ(config_of(64, KILN_GIB(4), 4096).arena.block_bytes, KILN_MIB(256));
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_wide_machines_reserve_once),
        KILN_TEST(test_limited_machines_take_a_small_part),
        KILN_TEST(test_another_place_where_somebody_is),
        KILN_TEST(test_half_a_gigabyte),
        KILN_TEST(test_narrow_machines_can_use_all_addresses),
        KILN_TEST(test_no_address_space_and_larger_pages),
        KILN_TEST(test_reserves_and_releases_or_holds_nothing),
    };
    machine.reserves = true;
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
