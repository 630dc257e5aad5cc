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

/* ---- spans of their own ---- */

enum { SMALL = 4, HOT = KILN_TAKER_SLOTS_MIN, SMALL_SLOTS = 2 * KILN_PAGE_BYTES / 64 };

static kiln_central_t *open_small(void)
{
    world_config_t config = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN};
    EXPECT_EQ(kiln_size_classes[SMALL].slots, SMALL_SLOTS);
    return &world_open(config)->central[SMALL];
}

static kiln_span_t *span_of_slot(const kiln_central_t *central, kiln_slot_t slot)
{
    return kiln_page_map_find(&central->pages->map, (uintptr_t)slot.block);
}

static kiln_span_t *taken_from(kiln_central_t *central, kiln_slot_t *out, uint32_t count,
                               kiln_taker_t taker)
{
    EXPECT_EQ(kiln_central_take_for(central, out, count, taker), count);
    kiln_span_t *span = span_of_slot(central, out[0]);
    for (uint32_t i = 1; i < count; i++) EXPECT(span_of_slot(central, out[i]) == span);
    return span;
}

static void test_takers_have_spans_of_their_own(void)
{
    static const kiln_taker_t one = {1, 2}, two = {2, 2};
    kiln_central_t *central = open_small();
    kiln_slot_t *next = slots;
    kiln_span_t *first = taken_from(central, next, HOT, one), *second;
    second = taken_from(central, next += HOT, HOT, two);
    EXPECT(first != second);
    for (unsigned i = 0; i < 6; i++) { /* in turns, whichever comes first in the list */
        EXPECT(taken_from(central, next += HOT, HOT, one) == first);
        EXPECT(taken_from(central, next += HOT, HOT, two) == second);
    }
    EXPECT_EQ(central->spans, 2);
    EXPECT_RULE(kiln_central_broken_rule(central));
    kiln_central_give(central, slots, 14 * HOT);
    world_close();
}

static void test_who_takes_few_or_is_alone_shares(void)
{
    static const kiln_taker_t one = {1, 2}, two = {2, 2}, alone = {3, 1};
    kiln_central_t *central = open_small();
    kiln_span_t *first = taken_from(central, slots, HOT, one);
    EXPECT(taken_from(central, &slots[HOT], HOT - 1, two) == first); /* its, from now on */
    EXPECT(taken_from(central, &slots[(size_t)2 * HOT - 1], HOT, two) == first);
    EXPECT(taken_from(central, &slots[(size_t)3 * HOT - 1], HOT, alone) == first);
    EXPECT_EQ(kiln_central_take(central, &slots[(size_t)4 * HOT - 1], 1), 1);
    EXPECT(span_of_slot(central, slots[4 * HOT - 1]) == first);
    EXPECT(taken_from(central, &slots[(size_t)4 * HOT], HOT, one) ==
           first); /* it is nobody's now */
    EXPECT_EQ(central->spans, 1);
    kiln_central_give(central, slots, 5 * HOT);
    world_close();
}

/* A taker whose slots another one gives back, as where one thread makes blocks and another ends
 * them, finds them again. */
static void test_a_takers_spans_come_back_to_it(void)
{
    static const kiln_taker_t maker = {1, 2}, ender = {2, 2};
    kiln_central_t *central = open_small();
    kiln_slot_t own[HOT];
    (void)taken_from(central, own, HOT, ender);
    for (unsigned round = 0; round < 1000; round++) {
        EXPECT_EQ(kiln_central_take_for(central, slots, SMALL_SLOTS, maker), SMALL_SLOTS);
        kiln_central_give(central, slots, SMALL_SLOTS);
        EXPECT(central->spans <= 4);
    }
    kiln_central_give(central, own, HOT);
    world_close();
}

/* Spans of takers that are no more are not left unused, however many those were, nor are there more
 * where many threads do nothing. */
static void test_few_spans_are_unused_however_many_the_takers(void)
{
    kiln_central_t *central = open_small();
    kiln_slot_t *next = slots;
    for (uint16_t number = 1; number <= 30; number++, next += HOT)
        EXPECT_EQ(kiln_central_take_for(central, next, HOT, (kiln_taker_t){number, 1000}), HOT);
    uint64_t unused = central->spans * SMALL_SLOTS - central->slots_out;
    EXPECT(unused <= (2 + 1 + central->spans / 8) * SMALL_SLOTS);
    EXPECT(central->spans > 1);
    EXPECT_RULE(kiln_central_broken_rule(central));
    kiln_central_give(central, slots, 30 * HOT);
    world_close();
}

/* Until one of the class comes back. */
static void test_a_refused_span_is_not_asked_for_again(void)
{
    static const kiln_taker_t one = {1, 2}, two = {2, 2};
    world_config_t config = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN};
    kiln_heap_t *heap = world_open(config);
    kiln_central_t *central = &heap->central[SMALL];
    kiln_span_t *first = taken_from(central, slots, HOT, one);
    world.fault.fail_call = world.fault.calls_seen + 1;
    world.fault.ever_after = true;
    while (kiln_heap_malloc(heap, NULL, 512)) continue; /* spans of a page: no more is Ready */
    uint64_t before = world.fault.calls_seen;
    EXPECT(taken_from(central, &slots[HOT], HOT, two) == first);
    EXPECT(central->was_refused);
    uint64_t calls = world.fault.calls_seen;
    EXPECT(calls > before);
    EXPECT(taken_from(central, &slots[(size_t)2 * HOT], HOT, one) == first);
    EXPECT(taken_from(central, &slots[(size_t)3 * HOT], HOT, two) == first);
    EXPECT_EQ(world.fault.calls_seen, calls);
    kiln_central_give(central, slots, 4 * HOT);
    world_close();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_slots_of_many_spans_are_given_once),
        KILN_TEST(test_one_empty_span_is_kept),
        KILN_TEST(test_a_torn_entry_is_not_believed),
        KILN_TEST(test_no_memory_gives_fewer_slots),
        KILN_TEST(test_takers_have_spans_of_their_own),
        KILN_TEST(test_who_takes_few_or_is_alone_shares),
        KILN_TEST(test_a_takers_spans_come_back_to_it),
        KILN_TEST(test_few_spans_are_unused_however_many_the_takers),
        KILN_TEST(test_a_refused_span_is_not_asked_for_again),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
