/* Records that something else than the heap wrote to are not used: each field, each moment. */
#include "tests/unit/heap_world.h"

#include <setjmp.h>

static const world_config_t on_fake = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN};

/* ---- the seal itself ---- */

/* A bit of what a record says of where things are. */
static void flip(kiln_span_t *span, unsigned field, unsigned bit)
{
    uint64_t mask = UINT64_C(1) << bit;
    if (field == 0) span->minus_base ^= (uintptr_t)mask;
    if (field == 1) span->slots_bytes ^= (size_t)mask;
    if (field == 2) span->inverse ^= mask;
    if (field == 3) span->pages ^= (uint32_t)mask;
    if (field == 4) span->slots ^= (uint16_t)mask;
    if (field == 5) span->kind ^= (uint8_t)mask;
    if (field == 6) span->class_idx ^= (uint8_t)mask;
    if (field == 7) span->seal ^= (uint16_t)mask;
}

static void test_every_bit_counts(void)
{
    static const unsigned bits[] = {
        8 * sizeof(uintptr_t), 8 * sizeof(size_t), 64, 32, 16, 8, 8, 16};
    unsigned noticed = 0, all = 0;
    for (uint64_t secret = 1; secret <= 50; secret++) {
        kiln_seal_t seal = {.secret = secret * UINT64_C(0x9e3779b97f4a7c15)};
        kiln_span_t span = {.slots_bytes = 8192, .inverse = 77, .pages = 1};
        kiln_span_set_base(&span, 0xc0008000u);
        kiln_span_seal(&seal, &span);
        for (unsigned field = 0; field < sizeof bits / sizeof *bits; field++)
            for (unsigned bit = 0; bit < bits[field]; bit++, all++) {
                flip(&span, field, bit);
                noticed += !kiln_span_is_sealed(&seal, &span);
                flip(&span, field, bit);
                EXPECT(kiln_span_is_sealed(&seal, &span));
            }
    }
    printf("%u of %u bits noticed\n", noticed, all);
    EXPECT(noticed + all / 1000 >= all); /* sixteen bits miss one in 65,536 */
}

static void test_another_secret_is_another_seal(void)
{
    unsigned same = 0;
    kiln_span_t span = {.pages = 1};
    for (uint64_t secret = 0; secret < 1000; secret++) {
        kiln_seal_t seal = {.secret = secret}, other = {.secret = secret + 1000};
        kiln_span_seal(&seal, &span);
        same += kiln_span_is_sealed(&other, &span);
    }
    EXPECT(same <= 2);
}

/* ---- in a heap ---- */

static struct {
    jmp_buf caught;
    uintptr_t record;
    kiln_heap_t *heap;
    kiln_thread_cache_t *cache;
    void *block;
} scene;

static void note(uintptr_t record)
{
    scene.record = record;
    longjmp(scene.caught, 1);
}

static kiln_span_t *span_of(const void *block)
{
    return kiln_page_map_find(&scene.heap->pages.map, (uintptr_t)block);
}

static void *malloc_of(size_t bytes)
{
    void *block = kiln_heap_malloc(scene.heap, scene.cache, bytes);
    EXPECT(block);
    return block;
}

/* The world's heap is left as it is: locks are held in it. */
static void open_scene(void)
{
    scene.heap = world_open(on_fake);
    scene.heap->pages.seal.ruined = note;
    scene.cache = NULL;
    scene.record = 0;
}

/* Is the act stopped by a record that is ruined? */
static bool is_stopped(void (*act)(void))
{
    if (setjmp(scene.caught) == 0) {
        act();
        return false;
    }
    return true;
}

static void free_block(void)
{
    (void)kiln_heap_free(scene.heap, scene.cache, scene.block);
}

static void malloc_small(void)
{
    (void)kiln_heap_malloc(scene.heap, scene.cache, 64);
}

static void malloc_large(void)
{
    (void)kiln_heap_malloc(scene.heap, scene.cache, KILN_KIB(128));
}

static void grow_block(void)
{
    kiln_misuse_t misuse;
    (void)kiln_heap_realloc(scene.heap, scene.cache, scene.block, KILN_MIB(1), &misuse);
}

static void trim(void)
{
    (void)kiln_heap_trim(scene.heap, 0);
}

static void test_a_small_spans_record_is_looked_at(void)
{
    for (unsigned deed = 0; deed < 3; deed++) { /* the last leaves it as it is */
        open_scene();
        scene.block = malloc_of(64);
        kiln_span_t *span = span_of(scene.block);
        if (deed < 2) span->pages++;
        EXPECT_EQ(is_stopped(deed == 0 ? free_block : malloc_small), deed < 2);
        EXPECT_EQ(scene.record, deed < 2 ? (uintptr_t)span : 0);
    }
}

static void test_a_large_blocks_record_is_looked_at(void)
{
    for (unsigned deed = 0; deed < 3; deed++) {
        open_scene();
        scene.block = malloc_of(KILN_KIB(128));
        (void)malloc_of(KILN_KIB(128)); /* no free pages behind it */
        kiln_span_t *span = span_of(scene.block);
        if (deed < 2) span->pages--;
        EXPECT_EQ(is_stopped(deed == 0 ? free_block : grow_block), deed < 2);
        EXPECT_EQ(scene.record, deed < 2 ? (uintptr_t)span : 0);
    }
}

static void test_a_free_runs_record_is_looked_at(void)
{
    for (unsigned deed = 0; deed < 4; deed++) {
        open_scene();
        scene.block = malloc_of(KILN_KIB(128));
        void *behind = malloc_of(KILN_KIB(64) + 1);
        memset(scene.block, 1, KILN_KIB(128));
        kiln_span_t *run = span_of(scene.block);
        free_block();
        EXPECT(kiln_span_is_free(run));
        if (deed < 3) run->minus_base += KILN_PAGE_BYTES;
        scene.block = behind; /* its pages will be joined with the run in front */
        EXPECT_EQ(is_stopped(deed == 0 ? malloc_large : trim), deed < 3);
        EXPECT_EQ(scene.record, deed < 3 ? (uintptr_t)run : 0);
    }
}

static void test_a_waiting_record_is_looked_at(void)
{
    for (unsigned deed = 0; deed < 2; deed++) {
        open_scene();
        void *first = malloc_of(KILN_KIB(128));
        scene.block = malloc_of(KILN_KIB(128));
        kiln_span_t *left = span_of(first), *right = span_of(scene.block);
        free_block();
        scene.block = first;
        free_block(); /* joined: of two records, or three, some wait */
        kiln_span_t *spare = scene.heap->pages.spares[KILN_CLASS_LARGE];
        EXPECT(spare && (left->kind == KILN_SPAN_SPARE || right->kind == KILN_SPAN_SPARE));
        if (deed == 0) spare->class_idx = 3;
        EXPECT_EQ(is_stopped(malloc_large), deed == 0);
        EXPECT_EQ(scene.record, deed == 0 ? (uintptr_t)spare : 0);
    }
}

/* A free bit that was set would give a live block away a second time, and a cache that was ruined
 * would give it back twice. */
static void test_a_slot_is_not_given_away_twice(void)
{
    for (unsigned deed = 0; deed < 3; deed++) {
        open_scene();
        scene.block = malloc_of(64);
        kiln_span_t *span = span_of(scene.block);
        kiln_slot_t slot = {scene.block, &span->states[0]};
        EXPECT_EQ(kiln_span_base(span), (uintptr_t)scene.block);
        if (deed < 2) {
            *slot.state = KILN_SLOT_FREE;
            EXPECT_EQ(kiln_span_give(span, &slot, 1), 1);
            *slot.state = KILN_SLOT_LIVE;
        }
        EXPECT_EQ(is_stopped(deed == 1 ? free_block : malloc_small), deed < 2);
        EXPECT_EQ(scene.record, deed < 2 ? (uintptr_t)span : 0);
    }
}

/* Two that were given back for one: the other is still somebody's. */
static void test_a_span_in_use_is_not_let_go(void)
{
    for (unsigned deed = 0; deed < 2; deed++) {
        open_scene();
        scene.block = malloc_of(64);
        kiln_span_t *span = span_of(scene.block);
        uint32_t slots = kiln_span_slots(span);
        for (uint32_t i = 1; i < slots; i++) (void)malloc_of(64);
        EXPECT(span_of(malloc_of(64)) != span); /* so that it is not the last of its class */
        EXPECT_EQ(span->used, slots);
        kiln_slot_t slot = {(char *)scene.block + 64, &span->states[1]};
        for (uint32_t i = 1; i < slots - deed; i++, slot.state++) {
            *slot.state = KILN_SLOT_FREE;
            EXPECT_EQ(kiln_span_give(span, &slot, 1), 1);
        }
        kiln_central_t *central = &scene.heap->central[span->class_idx];
        span->left = NULL; /* as it is listed */
        span->right = central->partial;
        if (span->right) span->right->left = span;
        central->partial = span;
        if (deed == 1) span->used = 1;
        EXPECT_EQ(is_stopped(free_block), deed == 1);
        EXPECT_EQ(scene.record, deed == 1 ? (uintptr_t)span : 0);
    }
}

static void test_a_page_that_leads_elsewhere_is_noticed(void)
{
    for (unsigned deed = 0; deed < 2; deed++) {
        open_scene();
        scene.cache = kiln_heap_attach(scene.heap);
        scene.block = malloc_of(64);
        void *other = malloc_of(4000);
        free_block(); /* into the cache */
        kiln_span_t *wrong = deed == 0 ? span_of(other) : span_of(scene.block);
        uintptr_t page = (uintptr_t)scene.block - scene.heap->pages.map.start;
        atomic_store(&scene.heap->pages.map.entries[page >> KILN_PAGE_SHIFT], wrong);
        bool stopped = setjmp(scene.caught) != 0;
        if (!stopped) kiln_heap_flush(scene.heap, scene.cache);
        EXPECT_EQ(scene.record != 0, deed == 0);
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_every_bit_counts),
        KILN_TEST(test_another_secret_is_another_seal),
        KILN_TEST(test_a_small_spans_record_is_looked_at),
        KILN_TEST(test_a_large_blocks_record_is_looked_at),
        KILN_TEST(test_a_free_runs_record_is_looked_at),
        KILN_TEST(test_a_waiting_record_is_looked_at),
        KILN_TEST(test_a_slot_is_not_given_away_twice),
        KILN_TEST(test_a_span_in_use_is_not_let_go),
        KILN_TEST(test_a_page_that_leads_elsewhere_is_noticed),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
