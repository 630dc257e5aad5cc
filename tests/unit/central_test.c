#include "tests/unit/heap_world.h"

enum { CLASS = 40, SLOTS_MAX = 1000 };

static kiln_slot_t slots[SLOTS_MAX];

static kiln_central_t *open_central(void)
{
    world_config_t config = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN};
    return &world_open(config)->central[CLASS];
}

static void test_slots_of_many_spans_are_given_once(void)
{
    kiln_central_t *central = open_central();
    EXPECT_EQ(kiln_central_take(central, slots, SLOTS_MAX), SLOTS_MAX);
    for (unsigned i = 0; i < SLOTS_MAX; i++)
        for (unsigned j = 0; j < i; j++) EXPECT(slots[i].block != slots[j].block);
    EXPECT_EQ(central->slots_out, SLOTS_MAX);
    EXPECT_EQ(central->spans, (SLOTS_MAX - 1) / kiln_size_classes[CLASS].slots + 1);
    EXPECT_RULE(kiln_central_broken_rule(central));
    kiln_central_give(central, slots, SLOTS_MAX);
    EXPECT_RULE(kiln_central_broken_rule(central));
    world_close();
}

static void test_one_empty_span_is_kept(void)
{
    kiln_central_t *central = open_central();
    EXPECT_EQ(kiln_central_take(central, slots, SLOTS_MAX), SLOTS_MAX);
    kiln_central_give(central, slots, SLOTS_MAX);
    EXPECT_EQ(central->spans, 1);
    EXPECT_EQ(central->slots_out, 0);
    /* On and off at the edge: the page heap is not asked. */
    uint64_t in_use = central->pages->counts.in_use;
    for (unsigned i = 0; i < 10; i++) {
        EXPECT_EQ(kiln_central_take(central, slots, 1), 1);
        kiln_central_give(central, slots, 1);
        EXPECT_EQ(central->pages->counts.in_use, in_use);
    }
    kiln_central_trim(central);
    EXPECT_EQ(central->spans, 0);
    EXPECT_EQ(central->pages->counts.in_use, 0);
    world_close();
}

static void test_a_torn_entry_is_not_believed(void)
{
    kiln_central_t *central = open_central();
    EXPECT_EQ(kiln_central_take(central, slots, 3), 3);
    int local = 0;
    _Atomic uint8_t other = KILN_SLOT_FREE;
    kiln_central_reclaim(central, (kiln_slot_t){slots[0].block, slots[1].state});
    kiln_central_reclaim(central, (kiln_slot_t){(char *)slots[0].block + 16, slots[0].state});
    kiln_central_reclaim(central, (kiln_slot_t){slots[0].block, &other});
    kiln_central_reclaim(central, (kiln_slot_t){&local, slots[0].state});
    kiln_central_reclaim(central, (kiln_slot_t){NULL, NULL});
    *slots[2].state = KILN_SLOT_LIVE;
    kiln_central_reclaim(central, slots[2]);
    EXPECT_EQ(central->slots_out, 3);
    kiln_central_reclaim(central, slots[0]);
    EXPECT_EQ(central->slots_out, 2);
    kiln_central_reclaim(central, slots[0]); /* twice */
    EXPECT_EQ(central->slots_out, 2);
    *slots[2].state = KILN_SLOT_FREE;
    kiln_central_give(central, &slots[1], 2);
    world_close();
}

static void test_no_memory_gives_fewer_slots(void)
{
    world_config_t config = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN};
    kiln_central_t *central = &world_open(config)->central[CLASS];
    EXPECT_EQ(kiln_central_take(central, slots, 1), 1);
    world.fault.fail_call = world.fault.calls_seen + 1;
    world.fault.ever_after = true;
    uint32_t taken = 1;
    while (taken < SLOTS_MAX) {
        uint32_t more = kiln_central_take(central, slots + taken, SLOTS_MAX - taken);
        if (more == 0) break;
        taken += more;
    }
    EXPECT(taken > 1 && taken < SLOTS_MAX);
    EXPECT(world.fault.faults > 0);
    EXPECT_RULE(kiln_central_broken_rule(central));
    kiln_central_give(central, slots, taken);
    world_close();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_slots_of_many_spans_are_given_once),
        KILN_TEST(test_one_empty_span_is_kept),
        KILN_TEST(test_a_torn_entry_is_not_believed),
        KILN_TEST(test_no_memory_gives_fewer_slots),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
