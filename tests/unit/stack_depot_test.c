/* Stacks that are kept: once each, bounded, and whatever a number is. */
#define _GNU_SOURCE
#include "allocator/api/stack_depot.h"
#include "allocator/base/rng.h"
#include "allocator/os/linux.h"
#include "tests/kiln_test.h"

#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 4, STACKS = 6000 };

static kiln_os_t linux_os, small_os;
static unsigned grants_left;

static kiln_addr_t few_grants(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    if (grants_left == 0) return 0;
    grants_left--;
    return linux_os.direct(ctx, bytes, use);
}

static kiln_stack_depot_t *fresh(const kiln_os_t *os)
{
    static kiln_stack_depot_t depot;
    kiln_os_linux_init(&linux_os, 0);
    small_os = linux_os;
    small_os.direct = few_grants;
    for (unsigned i = 0; i < KILN_DEPOT_CHUNKS_MAX; i++)
        if (depot.chunks[i])
            linux_os.release(linux_os.ctx, depot.chunks[i], KILN_DEPOT_CHUNK_BYTES);
    if (depot.few)
        linux_os.release(linux_os.ctx, depot.few, KILN_DEPOT_FEW_BUCKETS * sizeof(kiln_stack_id_t));
    if (depot.many)
        linux_os.release(linux_os.ctx, depot.many,
                         KILN_DEPOT_MANY_BUCKETS * sizeof(kiln_stack_id_t));
    memset(&depot, 0, sizeof depot);
    kiln_stack_depot_init(&depot, os);
    return &depot;
}

/* The stack of a number: its length and frames follow from it. */
static unsigned make_stack(uint64_t number, uintptr_t *frames)
{
    kiln_rng_t rng = {number};
    unsigned count = 1 + (unsigned)kiln_rng_below(&rng, KILN_STACK_FRAMES_MAX);
    for (unsigned i = 0; i < count; i++) frames[i] = (uintptr_t)kiln_rng_next(&rng);
    return count;
}

static bool is_stack(const kiln_stack_depot_t *depot, kiln_stack_id_t id, uint64_t number)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    const uintptr_t *kept;
    unsigned count = make_stack(number, frames);
    return kiln_stack_depot_get(depot, id, &kept) == count &&
           memcmp(kept, frames, count * sizeof *frames) == 0;
}

static void test_a_stack_is_kept_once(void)
{
    static kiln_stack_id_t ids[STACKS];
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    kiln_stack_depot_t *depot = fresh(&linux_os);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < STACKS; i++) {
            unsigned count = make_stack(i, frames);
            kiln_stack_id_t id = kiln_stack_depot_put(depot, frames, count);
            EXPECT(id != 0 && (round == 0 || id == ids[i]));
            ids[i] = id;
        }
    }
    for (unsigned i = 0; i < STACKS; i++) EXPECT(is_stack(depot, ids[i], i));
    EXPECT_EQ(depot->stacks, STACKS);
    EXPECT((unsigned)STACKS > KILN_DEPOT_FEW_BUCKETS &&
           depot->many != 0); /* some lie in either table */
    EXPECT_EQ(depot->dropped, 0);
    EXPECT_RULE(kiln_stack_depot_broken_rule(depot));
}

static void test_stacks_that_begin_alike_differ(void)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    kiln_stack_id_t ids[KILN_STACK_FRAMES_MAX];
    kiln_stack_depot_t *depot = fresh(&linux_os);
    for (unsigned i = 0; i < KILN_STACK_FRAMES_MAX; i++) frames[i] = 0x1000;
    for (unsigned i = 0; i < KILN_STACK_FRAMES_MAX; i++)
        ids[i] = kiln_stack_depot_put(depot, frames, i + 1);
    for (unsigned i = 0; i < KILN_STACK_FRAMES_MAX; i++)
        for (unsigned j = 0; j < i; j++) EXPECT(ids[i] != ids[j]);
}

/* Reports ask with what they find in records that the program may have written over. */
/* The same frames in every order and number, as recursion from two places makes them: hashes differ
 * as those of anything would. */
static void test_orders_of_frames_have_hashes_of_their_own(void)
{
    enum { DEPTH = 12, PATHS = 1 << DEPTH };
    static uint32_t hashes[PATHS];
    kiln_stack_depot_t *depot = fresh(&linux_os);
    unsigned same = 0;
    for (unsigned path = 0; path < PATHS; path++) {
        uintptr_t frames[DEPTH];
        for (unsigned i = 0; i < DEPTH; i++) frames[i] = 0x401234 + (path >> i & 1) * 0x17;
        kiln_stack_id_t id = kiln_stack_depot_put(depot, frames, DEPTH);
        EXPECT(id != 0);
        hashes[path] = kiln_stack_depot_record(depot, id)->hash;
        for (unsigned i = 0; i < path; i++) same += hashes[i] == hashes[path];
    }
    printf("%u pairs of %u hashes are the same\n", same, PATHS);
    EXPECT(same <= 2); /* 0.002 are expected of random numbers */
}

static void test_any_number_may_be_asked_for(void)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    const uintptr_t *kept;
    kiln_stack_depot_t *depot = fresh(&linux_os);
    kiln_rng_t rng = {1};
    unsigned found = 0;
    EXPECT_EQ(kiln_stack_depot_get(depot, 1, &kept), 0);
    for (unsigned i = 0; i < STACKS; i++)
        (void)kiln_stack_depot_put(depot, frames, make_stack(i, frames));
    for (kiln_stack_id_t id = 0; id < 1 << 20; id++)
        if (kiln_stack_depot_get(depot, id, &kept) != 0) found++;
    EXPECT_EQ(found, STACKS);
    for (unsigned i = 0; i < 1000000; i++)
        (void)kiln_stack_depot_get(depot, (kiln_stack_id_t)kiln_rng_next(&rng), &kept);
    EXPECT_EQ(kiln_stack_depot_get(depot, UINT32_MAX, &kept), 0);
}

static void test_what_finds_no_room_is_counted(void)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    kiln_stack_depot_t *depot = fresh(&small_os);
    unsigned kept = 0, dropped = 0;
    grants_left = 0; /* not even the buckets */
    EXPECT_EQ(kiln_stack_depot_put(depot, frames, make_stack(1, frames)), 0);
    EXPECT_EQ(depot->dropped, 1);
    grants_left = 3; /* the buckets and two chunks */
    for (unsigned i = 0; i < 20000; i++) {
        kiln_stack_id_t id = kiln_stack_depot_put(depot, frames, make_stack(i, frames));
        if (id == 0) {
            dropped++;
            continue;
        }
        EXPECT(is_stack(depot, id, i));
        kept++;
    }
    EXPECT(kept > 2000 && dropped > 2000);
    EXPECT_EQ(depot->stacks, kept);
    EXPECT_EQ(depot->dropped, dropped + 1);
    EXPECT_RULE(kiln_stack_depot_broken_rule(depot));
}

static void test_it_is_bounded(void)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX] = {0};
    kiln_stack_depot_t *depot = fresh(&linux_os);
    for (uintptr_t i = 0; i < 200000 && depot->dropped == 0; i++) {
        frames[i % KILN_STACK_FRAMES_MAX] = i * 77;
        (void)kiln_stack_depot_put(depot, frames, KILN_STACK_FRAMES_MAX);
    }
    EXPECT_EQ(depot->dropped, 1);
    EXPECT(depot->stacks > 30000 / (sizeof(uintptr_t) == 4 ? 2 : 1));
    frames[0]++;
    EXPECT_EQ(kiln_stack_depot_put(depot, frames, KILN_STACK_FRAMES_MAX), 0);
}

static void test_a_ruined_record_is_seen(void)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    const uintptr_t *kept;
    kiln_stack_depot_t *depot = fresh(&linux_os);
    kiln_stack_id_t id = kiln_stack_depot_put(depot, frames, make_stack(9, frames));
    EXPECT(kiln_stack_depot_get(depot, id, &kept) != 0);
    ((uintptr_t *)(uintptr_t)kept)[0] ^= 4;
    EXPECT_STR(kiln_stack_depot_broken_rule(depot), "a stack's hash is that of its frames");
    ((uintptr_t *)(uintptr_t)kept)[0] ^= 4;
    EXPECT_RULE(kiln_stack_depot_broken_rule(depot));
    ((uint32_t *)(uintptr_t)kept)[-2]++; /* its count */
    EXPECT_EQ(kiln_stack_depot_get(depot, id, &kept), 0);
    EXPECT_STR(kiln_stack_depot_broken_rule(depot), "a number in a bucket is a stack's");
}

/* ---- threads ---- */

static kiln_stack_depot_t *shared;
static kiln_stack_id_t found_ids[THREADS][STACKS];

static void *put_all(void *argument)
{
    kiln_stack_id_t *ids = argument;
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    kiln_rng_t rng = {(uintptr_t)ids};
    for (unsigned i = 0; i < 20 * STACKS; i++) {
        unsigned number = (unsigned)kiln_rng_below(&rng, STACKS);
        kiln_stack_id_t id = kiln_stack_depot_put(shared, frames, make_stack(number, frames));
        if (id == 0 || !is_stack(shared, id, number)) return argument;
        ids[number] = id;
    }
    return NULL;
}

static void test_threads_put_at_once(void)
{
    pthread_t threads[THREADS];
    shared = fresh(&linux_os);
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, put_all, found_ids[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        EXPECT(!wrong);
    }
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned j = 0; j < STACKS; j++)
            EXPECT(found_ids[i][j] == 0 || is_stack(shared, found_ids[i][j], j));
    EXPECT(shared->stacks >= STACKS && shared->stacks <= STACKS * THREADS);
    EXPECT_RULE(kiln_stack_depot_broken_rule(shared));
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_stack_is_kept_once),
        KILN_TEST(test_stacks_that_begin_alike_differ),
        KILN_TEST(test_orders_of_frames_have_hashes_of_their_own),
        KILN_TEST(test_any_number_may_be_asked_for),
        KILN_TEST(test_what_finds_no_room_is_counted),
        KILN_TEST(test_it_is_bounded),
        KILN_TEST(test_a_ruined_record_is_seen),
        KILN_TEST(test_threads_put_at_once),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
