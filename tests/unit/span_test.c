#include "allocator/heap/span.h"

#include "allocator/base/rng.h"
#include "allocator/heap/meta.h"
#include "tests/kiln_test.h"

enum { BASE = 1 << 20 };

static _Alignas(64) unsigned char memory[4096];

/* A span that is open over pages that nobody touches. */
static kiln_span_t *open_span(uint32_t class_idx)
{
    kiln_span_t *span = (kiln_span_t *)memory;
    memset(memory, 0, sizeof memory);
    EXPECT(kiln_span_record_bytes(class_idx, 0) <= sizeof memory);
    kiln_span_shape(span, class_idx);
    kiln_span_open(span, BASE, class_idx ? kiln_size_classes[class_idx].span_pages : 5);
    EXPECT_RULE(kiln_span_broken_rule(span));
    return span;
}

static kiln_slot_t slot_of(kiln_span_t *span, uint32_t slot_idx)
{
    uintptr_t addr = kiln_span_base(span) + slot_idx * kiln_span_slot_bytes(span);
    return (kiln_slot_t){(void *)addr, &span->states[slot_idx]};
}

static void give(kiln_span_t *span, uint32_t slot_idx)
{
    kiln_slot_t slot = slot_of(span, slot_idx);
    EXPECT_EQ(kiln_span_give(span, &slot, 1), 1);
}

static void test_take_gives_every_slot_once_lowest_first(void)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        kiln_span_t *span = open_span(i);
        const kiln_size_class_t *class = &kiln_size_classes[i];
        kiln_slot_t slots[7];
        uint32_t at = 0, taken;
        while ((taken = kiln_span_take(span, slots + 7, 7)) > 0) {
            for (uint32_t j = 7; j-- > 7 - taken; at++) {
                EXPECT_EQ((uintptr_t)slots[j].block, BASE + at * (uintptr_t)class->slot_bytes);
                EXPECT(slots[j].state == &span->states[at]);
                EXPECT(kiln_span_is_out(span, at));
            }
            EXPECT_RULE(kiln_span_broken_rule(span));
        }
        EXPECT_EQ(at, class->slots);
        EXPECT_EQ(span->used, class->slots);
    }
}

static void test_what_is_given_is_taken_again_lowest_first(void)
{
    kiln_span_t *span = open_span(1);
    kiln_slot_t slots[KILN_SPAN_SLOTS_MAX], again[3];
    EXPECT_EQ(kiln_span_take(span, slots + KILN_SPAN_SLOTS_MAX, KILN_SPAN_SLOTS_MAX), 1024);
    EXPECT_EQ(kiln_span_take(span, again + 3, 3), 0);
    give(span, 900);
    give(span, 65);
    give(span, 64);
    EXPECT_RULE(kiln_span_broken_rule(span));
    EXPECT_EQ(kiln_span_take(span, again + 2, 2), 2);
    EXPECT(again[1].block == slots[1023 - 64].block && again[0].block == slots[1023 - 65].block);
    EXPECT_EQ(kiln_span_take(span, again + 2, 2), 1);
    EXPECT(again[1].block == slots[1023 - 900].block);
    EXPECT_RULE(kiln_span_broken_rule(span));
}

/* From the first 64 of which none is out, where there are such; no slot is missed for that. */
static void test_slots_are_taken_apart(void)
{
    kiln_slot_t slots[KILN_SPAN_SLOTS_MAX];
    kiln_span_t *span = open_span(3); /* 341 slots: five times 64, and some */
    EXPECT_EQ(kiln_span_take(span, slots + 2, 2), 2);
    for (uint32_t i = 1; i < 5; i++) {
        EXPECT_EQ(kiln_span_take_apart(span, slots + 2, 2), 2);
        EXPECT(slots[1].state == &span->states[64 * i] && slots[0].state == slots[1].state + 1);
        EXPECT_RULE(kiln_span_broken_rule(span));
    }
    EXPECT_EQ(kiln_span_take_apart(span, slots + 1, 1), 1); /* there are none any more */
    EXPECT(slots[0].state == &span->states[2]);
    EXPECT_EQ(kiln_span_take(span, slots + 1, 1), 1);
    EXPECT(slots[0].state == &span->states[3]);
    EXPECT_EQ(kiln_span_take(span, slots + 400, 400), 341 - 12);
    EXPECT_EQ(kiln_span_take_apart(span, slots + 1, 1), 0);
    EXPECT_RULE(kiln_span_broken_rule(span));
}

/* In any order, and only those of the span. */
static void test_slots_are_given_together(void)
{
    kiln_span_t *span = open_span(1);
    static kiln_slot_t slots[KILN_SPAN_SLOTS_MAX];
    uint32_t all = kiln_span_slots(span);
    for (uint32_t step = 1; step < all; step += 35) {
        EXPECT_EQ(kiln_span_take(span, slots + all, all), all);
        for (uint32_t i = 0; i < all; i++)
            slots[i] = slot_of(span, step % 2 ? i * step % all : i); /* all, where step is odd */
        _Atomic uint8_t other_state = KILN_SLOT_FREE;
        kiln_slot_t eleventh = slots[10];
        slots[10] = (kiln_slot_t){(void *)(kiln_span_end(span)), &other_state};
        EXPECT_EQ(kiln_span_give(span, slots, all), 10);
        EXPECT_RULE(kiln_span_broken_rule(span));
        EXPECT_EQ(span->used, all - 10);
        slots[10] = eleventh;
        EXPECT_EQ(kiln_span_give(span, slots + 10, 5), 5);
        EXPECT_EQ(kiln_span_give(span, slots + 15, all - 15), all - 15);
        EXPECT_RULE(kiln_span_broken_rule(span));
        EXPECT_EQ(span->used, 0);
    }
}

/* Puts a run of slots that are out, from any one on up or down, behind the `count` that are listed.
 */
static uint32_t list_run(kiln_span_t *span, kiln_rng_t *rng, bool *out, kiln_slot_t *slots,
                         uint32_t count)
{
    uint32_t all = kiln_span_slots(span), at = (uint32_t)kiln_rng_below(rng, all);
    uint32_t step = kiln_rng_below(rng, 2) ? 1 : UINT32_MAX;
    uint32_t most = (uint32_t)kiln_rng_below(rng, 200);
    for (; most > 0 && at < all && out[at]; most--, at += step) {
        slots[count++] = slot_of(span, at);
        out[at] = false;
    }
    return count;
}

static void test_runs_are_given_as_single_slots_are(void)
{
    uint64_t seed = 2;
    printf("seed %llu\n", (unsigned long long)seed);
    kiln_rng_t rng = {seed};
    static kiln_slot_t slots[KILN_SPAN_SLOTS_MAX];
    for (uint32_t class_idx = 1; class_idx <= 8; class_idx++)
        for (unsigned round = 0; round < 100; round++) {
            kiln_span_t *span = open_span(class_idx);
            uint32_t all = kiln_span_slots(span), count = 0;
            bool out[KILN_SPAN_SLOTS_MAX];
            EXPECT_EQ(kiln_span_take(span, slots + all, all), all);
            memset(out, true, sizeof out);
            for (unsigned runs = 0; runs < 12; runs++)
                count = list_run(span, &rng, out, slots, count);
            if (count == 0) continue;
            EXPECT_EQ(kiln_span_give(span, slots, count), count);
            EXPECT_RULE(kiln_span_broken_rule(span));
            for (uint32_t i = 0; i < all; i++) EXPECT_EQ(out[i], kiln_span_is_out(span, i));
        }
}

static void test_random_takes_and_gives_agree_with_a_model(void)
{
    uint64_t seed = 1;
    printf("seed %llu\n", (unsigned long long)seed);
    kiln_rng_t rng = {seed};
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        kiln_span_t *span = open_span(i);
        bool out[KILN_SPAN_SLOTS_MAX] = {false};
        for (unsigned step = 0; step < 2000; step++) {
            uint32_t slot_idx = (uint32_t)kiln_rng_below(&rng, kiln_size_classes[i].slots);
            if (out[slot_idx]) {
                give(span, slot_idx);
                out[slot_idx] = false;
            } else {
                kiln_slot_t slot;
                EXPECT_EQ(kiln_span_take(span, &slot + 1, 1), 1);
                uint32_t lowest = 0;
                while (out[lowest]) lowest++;
                EXPECT_EQ(slot.state - span->states, lowest);
                out[lowest] = true;
            }
        }
        EXPECT_RULE(kiln_span_broken_rule(span));
        for (uint32_t j = 0; j < kiln_size_classes[i].slots; j++)
            EXPECT_EQ(out[j], kiln_span_is_out(span, j));
    }
}

static void test_slot_at_finds_starts_and_nothing_else(void)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        kiln_span_t *span = open_span(i);
        uint32_t slot_bytes = kiln_size_classes[i].slot_bytes, slots = kiln_size_classes[i].slots;
        for (uint32_t offset = 0; offset < span->pages << KILN_PAGE_SHIFT; offset += 8) {
            bool start = offset % slot_bytes == 0 && offset / slot_bytes < slots;
            EXPECT_EQ(kiln_span_slot_at(span, offset), start ? offset / slot_bytes : UINT32_MAX);
        }
        for (size_t offset = SIZE_MAX; offset > 8; offset /= 3) /* what stale entries lead to */
            EXPECT(kiln_span_slot_at(span, offset) == UINT32_MAX || offset % slot_bytes == 0);
        EXPECT_EQ(kiln_span_slot_at(span, (size_t)0 - slot_bytes), UINT32_MAX);
        kiln_span_close(span);
        EXPECT_EQ(kiln_span_slot_at(span, 0), UINT32_MAX);
    }
    kiln_span_t *large = open_span(KILN_CLASS_LARGE);
    EXPECT_EQ(large->states[0], KILN_SLOT_LIVE);
    EXPECT_EQ(kiln_span_slot_at(large, 0), 0);
    EXPECT_EQ(kiln_span_slot_at(large, KILN_PAGE_BYTES), UINT32_MAX);
    EXPECT_EQ(kiln_span_slot_at(large, 1), UINT32_MAX);
}

static void test_slots_without_dirty_pages_are_fresh(void)
{
    uint32_t class_idx = kiln_size_class_of(5000), slots = kiln_size_classes[class_idx].slots;
    kiln_span_t *span = open_span(class_idx);
    for (uint32_t i = 0; i < slots; i++) EXPECT_EQ(span->states[i], KILN_SLOT_FRESH);
    kiln_span_close(span);
    span->dirty_start = 1; /* of five pages: the bytes 8192 to 24575, slots 1 to 4 of 5120 */
    span->dirty_end = 3;
    kiln_span_open(span, BASE, kiln_size_classes[class_idx].span_pages);
    for (uint32_t i = 0; i < slots; i++)
        EXPECT_EQ(span->states[i], i >= 1 && i <= 4 ? KILN_SLOT_FREE : KILN_SLOT_FRESH);
    EXPECT_RULE(kiln_span_broken_rule(span));
    EXPECT_EQ(open_span(kiln_size_class_of(KILN_SPAN_FRESH_MIN))->states[0], KILN_SLOT_FREE);
}

/* A record lies in whole cache lines, so states of two spans share none. */
static void test_records_are_small(void)
{
    EXPECT(kiln_span_record_bytes(KILN_CLASS_LARGE, 0) <= 128); /* two cache lines, states apart */
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        size_t span_bytes = (size_t)kiln_size_classes[i].span_pages * KILN_PAGE_BYTES;
        EXPECT(kiln_span_record_bytes(i, 0) < 64 + span_bytes / 13);
    }
}

/* What a free of any slot reads lies apart from what a free of another one writes. */
static void test_states_begin_a_cache_line(void)
{
    EXPECT_EQ(KILN_META_ALIGN, 64);
    if (sizeof(void *) == 8) EXPECT_EQ(offsetof(kiln_span_t, states) % KILN_META_ALIGN, 0);
}

static void test_broken_rules_are_named(void)
{
    kiln_span_t *span = open_span(3);
    kiln_slot_t slots[5];
    EXPECT_EQ(kiln_span_take(span, slots + 5, 5), 5);
    span->used = 4;
    EXPECT_STR(kiln_span_broken_rule(span), "used == slots that are out");
    span->used = 5;
    span->states[9] = KILN_SLOT_LIVE;
    EXPECT_STR(kiln_span_broken_rule(span), "a slot in its span is free");
    span->states[9] = KILN_SLOT_FREE;
    *slots[2].state = 9;
    EXPECT_STR(kiln_span_broken_rule(span), "a slot state has a name");
    *slots[2].state = KILN_SLOT_LIVE;
    span->first_word = 1;
    EXPECT_STR(kiln_span_broken_rule(span), "no free slot below first_word");
    span->first_word = 0;
    span->slots_bytes += 48;
    EXPECT_STR(kiln_span_broken_rule(span), "slots_bytes is what the slots take");
    span->slots_bytes -= 48;
    EXPECT_RULE(kiln_span_broken_rule(span));
    span->kind = KILN_SPAN_READY;
    EXPECT_STR(kiln_span_broken_rule(span), "only a span in use has slots");
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_take_gives_every_slot_once_lowest_first),
        KILN_TEST(test_what_is_given_is_taken_again_lowest_first),
        KILN_TEST(test_slots_are_taken_apart),
        KILN_TEST(test_slots_are_given_together),
        KILN_TEST(test_runs_are_given_as_single_slots_are),
        KILN_TEST(test_random_takes_and_gives_agree_with_a_model),
        KILN_TEST(test_slot_at_finds_starts_and_nothing_else),
        KILN_TEST(test_slots_without_dirty_pages_are_fresh),
        KILN_TEST(test_records_are_small),
        KILN_TEST(test_states_begin_a_cache_line),
        KILN_TEST(test_broken_rules_are_named),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
