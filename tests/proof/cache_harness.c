/* The stack of slots of a thread's cache: what was pushed comes back youngest first; a
 * flush gives the older half to the class and keeps the rest in order; a refill of an empty stack
 * takes at most a half, and keeps what it got; the places of other classes are never touched. Any
 * number of slots, up to a full stack, which has KEPT. */
#include "allocator/heap/size_class.h"
#include "allocator/heap/span.h"
#include "tests/proof/proof.h"

#include <string.h>

/* A cache of one class of KEPT slots among others that keep none, so that cbmc has less to copy. */
enum { CLASS = 3, KEPT_MAX = KEPT };
#define KILN_CACHE_ENTRIES_SUM KEPT_MAX
const kiln_size_class_t kiln_size_classes[KILN_SIZE_CLASSES] = {[CLASS] = {.cache_max = KEPT_MAX}};

/* cbmc copies bytes, and loses what pointers lead to. */
static void copy_slots(void *to, const void *from, size_t bytes)
{
    kiln_slot_t *places = to;
    const kiln_slot_t *slots = from;
    size_t count = bytes / sizeof *slots;
    PROOF_ASSERT(bytes == count * sizeof *slots && count < KEPT_MAX, "whole slots are copied");
    PROOF_ASSERT(places + count <= slots, "to where none of them lies");
    for (size_t i = 0; i < KEPT_MAX; i++)
        if (i < count) places[i] = slots[i];
}

#define memcpy copy_slots
#include "allocator/heap/thread_cache.c"

static kiln_central_t central[KILN_SIZE_CLASSES];
static kiln_thread_cache_list_t list = {.central = central};
static kiln_thread_cache_t cache;

/* The places of the stack, with an empty slot below and what is another's above; apart from the
 * cache, since cbmc is slow where a pointer may lead anywhere into it. */
static kiln_slot_t places[1 + KEPT_MAX + 1];

/* Blocks are numbers here; the state of block i is states[i]. */
static _Atomic uint8_t states[2 * KEPT_MAX + 1];

static kiln_slot_t slot_of(uint32_t number)
{
    return (kiln_slot_t){(void *)(uintptr_t)number, &states[number]};
}

/* What the class was given, and what it will give. */
static uint32_t given, to_give;

void kiln_central_give(kiln_central_t *to, const kiln_slot_t *slots, uint32_t count)
{
    PROOF_ASSERT(to == &central[CLASS], "slots go to their class");
    for (uint32_t i = 0; i < KEPT_MAX; i++) {
        if (i >= count) continue;
        given++;
        PROOF_ASSERT((uintptr_t)slots[i].block == given && slots[i].state == &states[given],
                     "the oldest slots are given, each once");
    }
}

uint32_t kiln_central_take_for(kiln_central_t *from, kiln_slot_t *out, uint32_t slots_max,
                               kiln_taker_t taker)
{
    PROOF_ASSERT(taker.number == cache.number && taker.takers == list.count,
                 "they are for the cache");
    PROOF_ASSERT(from == &central[CLASS], "slots come from their class");
    PROOF_ASSERT(slots_max > 0 && slots_max <= KEPT_MAX / 2, "at most a half is asked for");
    if (to_give > slots_max) to_give = slots_max;
    for (uint32_t i = 0; i < KEPT_MAX / 2; i++)
        if (i < to_give) out[i] = slot_of(KEPT_MAX + 1 + i);
    return to_give;
}

static bool has_room(void)
{
    return !kiln_cache_bin_is_full(&cache, CLASS, kiln_cache_bin_top(&cache, CLASS));
}

/* Pops all: numbers from `youngest` down to above `oldest`. */
static void prove_pops(uint32_t youngest, uint32_t oldest)
{
    kiln_slot_t slot;
    PROOF_ASSERT(kiln_cache_bin_count(&cache, CLASS) == youngest - oldest, "the slots are counted");
    for (uint32_t i = 0; i < KEPT_MAX; i++) {
        if (youngest == oldest) break;
        PROOF_ASSERT(kiln_cache_bin_pop(&cache, CLASS, &slot), "what is there is popped");
        PROOF_ASSERT((uintptr_t)slot.block == youngest && slot.state == &states[youngest],
                     "the youngest slot is popped");
        youngest--;
    }
    PROOF_ASSERT(youngest == oldest && !kiln_cache_bin_pop(&cache, CLASS, &slot),
                 "an empty stack is seen");
    PROOF_ASSERT(kiln_cache_bin_count(&cache, CLASS) == 0, "and stays as it is");
}

void harness(void)
{
    lay_out(&cache);
    kiln_slot_t *first = kiln_cache_bin_first(&cache, CLASS);
    PROOF_ASSERT(cache.ends[CLASS] - first == KEPT_MAX && kiln_cache_bin_count(&cache, CLASS) == 0,
                 "a new stack is empty, and as high as the class may keep");
    PROOF_ASSERT(first > cache.ends[CLASS - 1] && cache.ends[CLASS] < cache.ends[CLASS + 1],
                 "stacks lie one behind the other");
    first = places + 1;
    cache.ends[CLASS] = first + KEPT_MAX;
    kiln_cache_bin_open(&cache, CLASS);
    set_count(&cache, CLASS, 0);

    uint32_t count = nondet_below(KEPT_MAX + 1), flushed = 0;
    for (uint32_t i = 1; i <= KEPT_MAX; i++) {
        PROOF_ASSERT(has_room(), "there is room up to the class's number");
        if (i <= count) kiln_cache_bin_push(&cache, CLASS, slot_of(i));
    }
    PROOF_ASSERT(has_room() == (count < KEPT_MAX), "a full stack is seen");
    if (nondet_bool()) {
        kiln_thread_cache_flush(&list, &cache, CLASS);
        flushed = (count + 1) / 2;
    } else if (nondet_bool()) {
        empty_bin(&list, &cache, CLASS);
        flushed = count;
    }
    PROOF_ASSERT(given == flushed, "the older half is given, or all");
    prove_pops(count, flushed);

    to_give = nondet_below(KEPT_MAX / 2 + 1);
    cache.fill[CLASS] = (uint8_t)nondet_below(UINT8_MAX + 1);
    bool filled = kiln_thread_cache_refill(&list, &cache, CLASS);
    PROOF_ASSERT(filled == (to_give > 0), "nothing is no success");
    prove_pops(KEPT_MAX + to_give, KEPT_MAX);
    PROOF_ASSERT(!first[-1].block && !first[-1].state, "below the first place lies an empty slot");
    PROOF_ASSERT(!cache.ends[CLASS]->block, "so it does above the last");
}
