/* Which blocks can be reached: chains, rings, addresses inside and at the end of blocks, graphs at
 * random against a search of another kind, stacks, and a machine without memory for it. */
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"
#include "allocator/harden/reach.h"

#include <stdio.h>

enum { SEED = 7, NODES = 300, EDGES = 3, LONG_CHAIN = 100000 };

static kiln_harden_t harden;
static kiln_harden_thread_t *mine;
static kiln_os_t marks_os; /* Linux, whatever the heap is on */
static kiln_reach_t reach;
static const kiln_lost_t *lost;
static size_t lost_count;

static void found(const kiln_damage_t *damage, kiln_site_t site)
{
    (void)damage;
    (void)site;
    EXPECT(false);
}

static uint32_t stack_of(uintptr_t caller)
{
    return (uint32_t)caller;
}

static uint32_t thread_of(void)
{
    return 3;
}

/* A page that the program has protected; 0: none. */
static uintptr_t protected_page;

static bool can_read(uintptr_t address)
{
    return protected_page == 0 || address - protected_page >= 4096;
}

static void begin(bool stacks)
{
    kiln_harden_config_t config = {.seed = SEED, .found = found};
    if (stacks) {
        config.stack = stack_of;
        config.thread = thread_of;
    }
    world_config_t world_config = {.kind = WORLD_FAKE,
                                   .follow = KILN_FOLLOW_KILN,
                                   .note_bytes = kiln_harden_note_bytes(&config)};
    EXPECT_RULE(kiln_harden_init(&harden, world_open(world_config), &config));
    mine = kiln_harden_attach(&harden);
    EXPECT(mine);
    kiln_os_linux_init(&marks_os, 4096);
}

static void finish(void)
{
    kiln_harden_detach(&harden, mine);
    world_close();
}

/* A block that holds no address. */
static uintptr_t *take_at(size_t bytes, uintptr_t caller)
{
    void *block = kiln_harden_malloc(&harden, mine, bytes, true, (kiln_site_t){"test", caller});
    EXPECT(block);
    return block;
}

static uintptr_t *take(size_t bytes)
{
    return take_at(bytes, 1);
}

static void search(const uintptr_t *roots, size_t count)
{
    EXPECT(kiln_reach_begin(&reach, &marks_os, &world.heap, &harden, can_read));
    kiln_reach_search(&reach, (uintptr_t)roots, (uintptr_t)roots + count * sizeof *roots);
    EXPECT(kiln_reach_lost(&reach, &lost, &lost_count));
}

static void expect_lost(size_t i, bool direct, uint64_t blocks, uint64_t bytes)
{
    EXPECT(i < lost_count);
    EXPECT_EQ(lost[i].direct, direct);
    EXPECT_EQ(lost[i].blocks, blocks);
    EXPECT_EQ(lost[i].bytes, bytes);
}

static void test_nothing_allocated(void)
{
    begin(false);
    search(NULL, 0);
    EXPECT_EQ(lost_count, 0);
    kiln_reach_end(&reach);
    finish();
}

static void test_chain(void)
{
    begin(false);
    uintptr_t *first = take(100), *second = take(200), *third = take(70000), root;
    first[1] = (uintptr_t)second;
    second[3] = (uintptr_t)third;
    search(NULL, 0);
    EXPECT_EQ(lost_count, 3);
    expect_lost(0, true, 1, 100);
    expect_lost(1, false, 1, 70000);
    expect_lost(2, false, 1, 200);
    EXPECT_EQ(lost[0].first, (uintptr_t)first);
    kiln_reach_end(&reach);
    root = (uintptr_t)second;
    search(&root, 1);
    EXPECT_EQ(lost_count, 1);
    expect_lost(0, true, 1, 100);
    kiln_reach_end(&reach);
    root = (uintptr_t)first;
    search(&root, 1);
    EXPECT_EQ(lost_count, 0);
    kiln_reach_end(&reach);
    finish();
}

/* Its own address in a block keeps nothing alive; two that hold each other's are both indirect. */
static void test_ring(void)
{
    begin(false);
    uintptr_t *own = take(48), *one = take(100), *other = take(100);
    own[0] = (uintptr_t)own;
    one[0] = (uintptr_t)other;
    other[0] = (uintptr_t)one;
    search(NULL, 0);
    EXPECT_EQ(lost_count, 2);
    expect_lost(0, true, 1, 48);
    expect_lost(1, false, 2, 200);
    kiln_reach_end(&reach);
    finish();
}

/* Any byte of a block, and the one behind its end; not the one before its start, nor an address at
 * an odd place in memory, nor one in a block that was freed. */
static void test_which_addresses_reach(void)
{
    static const size_t sizes[] = {1, 16, 100, 4000, 65535, 65536, 1000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin(false);
        uintptr_t *block = take(sizes[i]), roots[3] = {0, 0, 0};
        const size_t offsets[] = {0, 1, sizes[i] / 2, sizes[i] - 1, sizes[i]};
        for (size_t j = 0; j < sizeof offsets / sizeof *offsets; j++) {
            roots[1] = (uintptr_t)block + offsets[j];
            search(roots, 3);
            EXPECT_EQ(lost_count, 0);
            kiln_reach_end(&reach);
        }
        roots[1] = (uintptr_t)block - 1;
        search(roots, 3);
        EXPECT_EQ(lost_count, 1);
        kiln_reach_end(&reach);
        roots[1] = 0;
        uintptr_t address = (uintptr_t)block;
        memcpy((char *)roots + 3, &address, sizeof address);
        search(roots, 3);
        EXPECT_EQ(lost_count, 1);
        kiln_reach_end(&reach);
        uintptr_t *holder = take(64);
        holder[0] = (uintptr_t)block;
        EXPECT_EQ(kiln_harden_free(&harden, mine, holder, (kiln_site_t){"test", 1}),
                  KILN_MISUSE_NONE);
        roots[0] = (uintptr_t)holder;
        search(roots, 1);
        EXPECT_EQ(lost_count, 1);
        kiln_reach_end(&reach);
        finish();
    }
}

/* What lies in a protected page is not read; what lies beside it is. */
static void test_protected_page(void)
{
    begin(false);
    uintptr_t *block = take(70000), *hidden = take(100), *seen = take(200);
    uintptr_t root = (uintptr_t)block;
    protected_page = ((uintptr_t)block + 8192) / 4096 * 4096;
    *(uintptr_t *)(protected_page + 64) = (uintptr_t)hidden;
    *(uintptr_t *)(protected_page + 4096) = (uintptr_t)seen;
    search(&root, 1);
    EXPECT_EQ(lost_count, 1);
    expect_lost(0, true, 1, 100);
    kiln_reach_end(&reach);
    protected_page = 0;
    search(&root, 1);
    EXPECT_EQ(lost_count, 0);
    kiln_reach_end(&reach);
    finish();
}

static void test_long_chain(void)
{
    begin(false);
    uintptr_t *first = take(32), *last = first;
    for (unsigned i = 1; i < LONG_CHAIN; i++) {
        uintptr_t *next = take(32);
        *last = (uintptr_t)next;
        last = next;
    }
    uintptr_t root = (uintptr_t)first;
    search(&root, 1);
    EXPECT_EQ(lost_count, 0);
    kiln_reach_end(&reach);
    search(NULL, 0);
    EXPECT_EQ(lost_count, 2);
    expect_lost(0, true, 1, 32);
    expect_lost(1, false, LONG_CHAIN - 1, 32 * (LONG_CHAIN - 1));
    kiln_reach_end(&reach);
    finish();
}

/* A slot that a thread is at work in is searched, as its block is in a realloc, and not told. */
static void test_busy(void)
{
    begin(false);
    uintptr_t *block = take(100), *behind = take(200);
    block[0] = (uintptr_t)behind;
    kiln_heap_found_t at = kiln_heap_find(&world.heap, block);
    atomic_store(at.state, KILN_SLOT_BUSY);
    uintptr_t root = (uintptr_t)block;
    search(&root, 1);
    EXPECT_EQ(lost_count, 0);
    kiln_reach_end(&reach);
    search(NULL, 0);
    EXPECT_EQ(lost_count, 1);
    expect_lost(0, true, 1, 200);
    kiln_reach_end(&reach);
    atomic_store(at.state, KILN_SLOT_LIVE);
    finish();
}

static void test_stacks(void)
{
    begin(true);
    for (unsigned i = 0; i < 30; i++) (void)take_at(100 + i, 11 + i % 3);
    (void)take_at(5000, 20);
    search(NULL, 0);
    EXPECT_EQ(lost_count, 4);
    expect_lost(0, true, 1, 5000);
    for (size_t i = 1; i < 4; i++) {
        EXPECT_EQ(lost[i].blocks, 10);
        EXPECT_EQ(lost[i].stack, 14 - i); /* later ones are larger */
        EXPECT_EQ(lost[i].thread, 3);
    }
    kiln_reach_end(&reach);
    finish();
}

/* ---- graphs ---- */

static struct {
    uintptr_t *block;
    unsigned to[EDGES];
    bool reached, from_lost;
} nodes[NODES];

static void reach_node(unsigned i)
{
    if (nodes[i].reached) return;
    nodes[i].reached = true;
    for (unsigned j = 0; j < EDGES; j++)
        if (nodes[i].to[j] < NODES) reach_node(nodes[i].to[j]);
}

static size_t make_graph(kiln_rng_t *rng, uintptr_t *roots)
{
    size_t root_count = (size_t)kiln_rng_below(rng, 4);
    for (unsigned i = 0; i < NODES; i++) {
        size_t bytes = 32 + (size_t)kiln_rng_below(rng, i % 20 == 0 ? 200000 : 2000);
        nodes[i].block = take(bytes);
        nodes[i].reached = nodes[i].from_lost = false;
    }
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned j = 0; j < EDGES; j++) {
            nodes[i].to[j] = (unsigned)kiln_rng_below(rng, NODES * 3);
            if (nodes[i].to[j] < NODES)
                nodes[i].block[j] =
                    (uintptr_t)nodes[nodes[i].to[j]].block + (uintptr_t)kiln_rng_below(rng, 32);
        }
    for (size_t i = 0; i < root_count; i++) {
        unsigned node = (unsigned)kiln_rng_below(rng, NODES);
        roots[i] = (uintptr_t)nodes[node].block;
        reach_node(node);
    }
    return root_count;
}

static void test_graphs(void)
{
    uintptr_t roots[4];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        kiln_rng_t rng = {seed};
        begin(true);
        size_t root_count = make_graph(&rng, roots), direct = 0, indirect = 0;
        for (unsigned i = 0; i < NODES; i++)
            for (unsigned j = 0; j < EDGES && !nodes[i].reached; j++)
                if (nodes[i].to[j] < NODES && nodes[i].to[j] != i)
                    nodes[nodes[i].to[j]].from_lost = true;
        for (unsigned i = 0; i < NODES; i++)
            if (!nodes[i].reached) *(nodes[i].from_lost ? &indirect : &direct) += 1;
        search(roots, root_count);
        for (size_t i = 0; i < lost_count; i++)
            *(lost[i].direct ? &direct : &indirect) -= (size_t)lost[i].blocks;
        if (direct != 0 || indirect != 0) fprintf(stderr, "graph of seed %d\n", (int)seed);
        EXPECT_EQ(direct, 0);
        EXPECT_EQ(indirect, 0);
        kiln_reach_end(&reach);
        finish();
    }
}

/* Whatever call of the OS is refused: an answer, and all is given back. */
static void test_no_memory(void)
{
    bool done = false;
    begin(false);
    (void)take(100);
    for (uint64_t call = 1; !done; call++) {
        kiln_os_fault_t fault;
        kiln_os_fault_init(&fault, &marks_os, call, false);
        done = kiln_reach_begin(&reach, &fault.os, &world.heap, &harden, can_read) &&
               kiln_reach_lost(&reach, &lost, &lost_count);
        kiln_reach_end(&reach);
        EXPECT(call < 20);
        EXPECT(done || call <= 6); /* three lists, each reserved and committed */
    }
    EXPECT_EQ(lost_count, 1);
    finish();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_nothing_allocated),
        KILN_TEST(test_chain),
        KILN_TEST(test_ring),
        KILN_TEST(test_which_addresses_reach),
        KILN_TEST(test_protected_page),
        KILN_TEST(test_long_chain),
        KILN_TEST(test_busy),
        KILN_TEST(test_stacks),
        KILN_TEST(test_graphs),
        KILN_TEST(test_no_memory),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
