/* Memory that is put back: every state and byte, whatever was done to it; and heaps on it, which
 * then go the same way once more. */
#include "allocator/base/rng.h"
#include "allocator/harden/harden.h"
#include "allocator/os/fake.h"
#include "allocator/os/fake_window_linux.h"
#include "allocator/os/linux.h"
#include "allocator/os/rewind.h"
#include "allocator/os/written_linux.h"
#include "tests/kiln_test.h"

#include <string.h>

enum { RANGES = 8192, PAGE = 4096, PAGES = 48, STEPS = 60, KEPT = 16 };

#define WINDOW_BYTES KILN_MIB(256)

static kiln_os_range_t fake_ranges[RANGES], ranges[RANGES];
static kiln_os_window_t window;
static bool window_is_open;
static kiln_os_fake_t fake;
static kiln_os_t linux_os;
static kiln_os_written_linux_t written;
static kiln_os_rewind_t back;

static bool is_on_linux;

static void start_linux(void)
{
    is_on_linux = true;
    kiln_os_linux_init(&linux_os, PAGE);
    kiln_os_written_linux_init(&written);
    kiln_os_rewind_init(&back, &linux_os, &written.written, ranges, RANGES);
}

static void start_fake(void)
{
    is_on_linux = false;
    if (!window_is_open) EXPECT(kiln_os_window_open(&window, 0, WINDOW_BYTES, KILN_MIB(1), false));
    window_is_open = true;
    kiln_os_fake_config_t config =
        kiln_os_fake_config_default(sizeof(void *) * 8, PAGE, fake_ranges, RANGES);
    kiln_os_fake_config_use_memory(&config, &window.memory);
    kiln_os_fake_init(&fake, &config);
    kiln_os_rewind_init(&back, &fake.os, NULL, ranges, RANGES);
}

static uint64_t held_bytes(void)
{
    uint64_t bytes = 0;
    unsigned idx = 0;
    for (const kiln_os_range_t *range; (range = kiln_os_fake_next(&fake, &idx)) != NULL;)
        bytes += range->last - range->first + 1;
    return bytes;
}

/* ---- states and bytes ---- */

static kiln_addr_t base;         /* of PAGES pages that were reserved */
static kiln_addr_t kept[KEPT];   /* that direct gave; 0: none */
static unsigned char other[100]; /* a piece */

static kiln_addr_t page_at(unsigned idx)
{
    return base + (kiln_addr_t)idx * PAGE;
}

static kiln_os_tag_t tag_of(unsigned idx)
{
    return kiln_os_model_tag(&back.model, page_at(idx));
}

/* A call that the contract allows for one page, or nothing. */
static void change_page(kiln_rng_t *rng, unsigned idx)
{
    const kiln_os_t *os = &back.os;
    kiln_os_tag_t tag = tag_of(idx);
    uint64_t what = kiln_rng_below(rng, 6);
    kiln_addr_t addr = page_at(idx);
    bool writable = tag.state == KILN_OS_READY && tag.access == KILN_OS_READ_WRITE;
    if (tag.state == KILN_OS_RESERVED || tag.state == KILN_OS_PREPARED)
        EXPECT_EQ(os->commit(os->ctx, addr, PAGE, true, KILN_OS_HEAP), KILN_OS_OK);
    else if (what == 0)
        os->decommit(os->ctx, addr, PAGE);
    else if (what == 1 && tag.state == KILN_OS_READY)
        os->discard(os->ctx, addr, PAGE);
    else if (what == 2 && (writable || tag.state == KILN_OS_GUARDED))
        EXPECT(kiln_os_guard(os, addr, PAGE, tag.state != KILN_OS_GUARDED));
    else if (what == 3 && tag.state == KILN_OS_READY)
        EXPECT(os->protect(os->ctx, addr, PAGE, (kiln_os_access_t)kiln_rng_below(rng, 3)));
    else if (writable)
        memset((void *)(uintptr_t)(addr + kiln_rng_below(rng, PAGE / 2)),
               (int)kiln_rng_below(rng, 256), PAGE / 4);
}

static void change(kiln_rng_t *rng)
{
    const kiln_os_t *os = &back.os;
    kiln_addr_t *at = &kept[kiln_rng_below(rng, KEPT)];
    if (kiln_rng_below(rng, 4) != 0) {
        change_page(rng, (unsigned)kiln_rng_below(rng, PAGES));
    } else if (*at == 0) {
        *at = os->direct(os->ctx, 2 * PAGE, KILN_OS_META);
        EXPECT(*at != 0);
        memset((void *)(uintptr_t)*at, (int)kiln_rng_below(rng, 256), 1);
    } else {
        os->release(os->ctx, *at, 2 * PAGE);
        *at = 0;
    }
    other[kiln_rng_below(rng, sizeof other)] = (unsigned char)kiln_rng_below(rng, 256);
}

/* What there is: of each page of the fake's its state, and of each that can be read its bytes. */
typedef struct picture {
    uint64_t hash;
    unsigned ready;
} picture_t;

static void add(picture_t *picture, uint64_t word)
{
    picture->hash = (picture->hash ^ word) * UINT64_C(0x100000001b3);
}

static void expect_page_of_fake(kiln_addr_t addr, kiln_os_tag_t tag)
{
    if (is_on_linux) return;
    kiln_os_tag_t has = kiln_os_model_tag(&fake.model, addr);
    bool is_held = tag.state == KILN_OS_FOREIGN;
    EXPECT_EQ(has.state, is_held ? KILN_OS_RESERVED : tag.state);
    EXPECT_EQ(has.access, tag.access);
}

static picture_t take_picture(void)
{
    picture_t picture = {.hash = 1};
    unsigned idx = 0;
    for (const kiln_os_range_t *range; (range = kiln_os_model_next(&back.model, &idx)) != NULL;) {
        add(&picture, range->first);
        add(&picture, range->last);
        add(&picture, (uint64_t)range->tag.state << 8 | range->tag.access);
        for (kiln_addr_t at = range->first; at < range->last; at += PAGE)
            expect_page_of_fake(at, range->tag);
        bool is_closed = range->tag.access == KILN_OS_NO_ACCESS;
        if (range->tag.state != KILN_OS_READY || (is_on_linux && is_closed)) continue;
        const uint64_t *words = (const uint64_t *)(uintptr_t)range->first;
        for (uint64_t i = 0; i <= (range->last - range->first) / sizeof *words; i++)
            add(&picture, words[i]);
        picture.ready++;
    }
    for (unsigned i = 0; i < sizeof other; i++) add(&picture, other[i]);
    return picture;
}

static void expect_picture(picture_t wanted)
{
    picture_t now = take_picture();
    EXPECT_EQ(now.hash, wanted.hash);
    EXPECT_EQ(now.ready, wanted.ready);
    EXPECT_RULE(kiln_os_model_broken_rule(&back.model));
}

static void start_walk(bool linux_below)
{
    bool reserved;
    if (linux_below)
        start_linux();
    else
        start_fake();
    memset(kept, 0, sizeof kept);
    EXPECT(kiln_os_rewind_add(&back, other, sizeof other));
    base = back.os.reserve(back.os.ctx, 0, (uint64_t)PAGES * PAGE, &reserved);
    EXPECT(base != 0 && reserved);
}

static void end_walk(void)
{
    const kiln_os_t *os = &back.os;
    for (unsigned i = 0; i < KEPT; i++)
        if (kept[i] != 0) os->release(os->ctx, kept[i], 2 * PAGE);
    os->release(os->ctx, base, (uint64_t)PAGES * PAGE);
}

static void walk(kiln_rng_t *rng)
{
    for (unsigned i = 0; i < STEPS; i++) change(rng);
}

static void states_and_bytes_come_back(bool linux_below)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        kiln_rng_t rng = {.state = seed};
        kiln_addr_t before[KEPT];
        start_walk(linux_below);
        walk(&rng);
        picture_t picture = take_picture();
        memcpy(before, kept, sizeof kept);
        EXPECT(kiln_os_rewind_mark(&back));
        EXPECT(!kiln_os_rewind_add(&back, other, 1));
        uint64_t bytes = held_bytes();
        expect_picture(picture);
        for (unsigned again = 0; again < 5; again++) {
            walk(&rng);
            EXPECT(kiln_os_rewind_restore(&back, NULL));
            memcpy(kept, before, sizeof kept);
            expect_picture(picture);
            if (!linux_below) EXPECT_EQ(held_bytes(), bytes);
        }
        kiln_os_rewind_drop(&back);
        expect_picture(picture);
        end_walk();
    }
}

static void test_states_and_bytes_come_back(void)
{
    states_and_bytes_come_back(false);
}

static void test_on_linux_they_do(void)
{
    states_and_bytes_come_back(true);
}

static void test_marks_nest(void)
{
    enum { DEPTH = 4 };
    for (uint64_t seed = 1; seed <= 50; seed++) {
        kiln_rng_t rng = {.state = seed};
        picture_t pictures[DEPTH];
        kiln_addr_t before[DEPTH][KEPT];
        start_walk(false);
        for (unsigned i = 0; i < DEPTH; i++) {
            walk(&rng);
            pictures[i] = take_picture();
            memcpy(before[i], kept, sizeof kept);
            EXPECT(kiln_os_rewind_mark(&back));
        }
        for (unsigned i = DEPTH; i-- > 0;) {
            walk(&rng);
            EXPECT(kiln_os_rewind_restore(&back, NULL));
            memcpy(kept, before[i], sizeof kept);
            expect_picture(pictures[i]);
            walk(&rng);
            kiln_os_rewind_drop(&back);
        }
        EXPECT(!back.newest);
    }
}

/* What was given back under a mark goes when nobody wants it any more, and not before. */
static void test_what_is_given_back_is_kept_for_a_mark(void)
{
    start_walk(false);
    const kiln_os_t *os = &back.os;
    kiln_addr_t early = os->direct(os->ctx, 2 * PAGE, KILN_OS_META);
    *(char *)(uintptr_t)early = 7;
    EXPECT(kiln_os_rewind_mark(&back));
    kiln_addr_t late = os->direct(os->ctx, PAGE, KILN_OS_META);
    EXPECT(kiln_os_rewind_mark(&back));
    os->release(os->ctx, early, 2 * PAGE);
    os->release(os->ctx, late, PAGE);
    os->release(os->ctx, page_at(3), PAGE); /* was only Reserved */
    EXPECT_EQ(kiln_os_fake_state(&fake, page_at(3)), KILN_OS_RESERVED);
    EXPECT_EQ(kiln_os_fake_state(&fake, early), KILN_OS_RESERVED);
    EXPECT_EQ(kiln_os_fake_state(&fake, late), KILN_OS_RESERVED);
    kiln_os_rewind_drop(&back);
    EXPECT_EQ(kiln_os_fake_state(&fake, late), KILN_OS_NONE);
    EXPECT_EQ(kiln_os_fake_state(&fake, early), KILN_OS_RESERVED);
    EXPECT(kiln_os_rewind_restore(&back, NULL));
    EXPECT_EQ(*(char *)(uintptr_t)early, 7);
    os->release(os->ctx, early + PAGE, PAGE); /* a part of it */
    kiln_os_rewind_drop(&back);
    EXPECT_EQ(kiln_os_fake_state(&fake, early), KILN_OS_READY);
    EXPECT_EQ(kiln_os_fake_state(&fake, early + PAGE), KILN_OS_NONE);
    os->release(os->ctx, early, PAGE);
    os->release(os->ctx, base, (uint64_t)PAGES * PAGE);
    EXPECT_EQ(held_bytes(), 0);
}

static void test_a_refused_mark_changes_nothing(void)
{
    kiln_rng_t rng = {.state = 1};
    start_walk(false);
    walk(&rng);
    picture_t picture = take_picture();
    uint64_t bytes = held_bytes();
    fake.config.refuse_calls = 1u << KILN_OS_CALL_DIRECT;
    fake.config.refuse_call = fake.stats.refusable + 1;
    fake.config.refuse_ever_after = true;
    EXPECT(!kiln_os_rewind_mark(&back));
    EXPECT(!back.newest);
    expect_picture(picture);
    EXPECT_EQ(held_bytes(), bytes);
    for (unsigned i = 1; i < KILN_OS_REWIND_PIECES_MAX; i++)
        EXPECT(kiln_os_rewind_add(&back, other, 1));
    EXPECT(!kiln_os_rewind_add(&back, other, 1));
}

static void test_a_full_array_of_ranges_refuses(void)
{
    static kiln_os_range_t few[80];
    bool reserved = true;
    start_fake();
    kiln_os_rewind_init(&back, &fake.os, NULL, few, sizeof few / sizeof *few);
    const kiln_os_t *os = &back.os;
    unsigned granted = 0;
    while (granted < 100) {
        if (os->reserve(os->ctx, window.memory.first + granted * UINT64_C(2) * PAGE, PAGE,
                        &reserved) == 0)
            break;
        granted++;
    }
    EXPECT(granted > 10 && granted < 80 && !reserved);
    EXPECT_EQ(os->direct(os->ctx, PAGE, KILN_OS_META), 0);
}

/* ---- heaps ---- */

static struct {
    kiln_heap_t heap;
    kiln_thread_cache_t *cache;
    kiln_harden_t harden;
    kiln_harden_thread_t *mine;
    bool is_hardened;
    void *blocks[300];
    size_t sizes[300];
} scene;

static const kiln_site_t site = {"test", 1};

static void found(const kiln_damage_t *damage, kiln_site_t from)
{
    (void)from;
    EXPECT_EQ(damage->kind, KILN_DAMAGE_NONE);
}

static void start_heap(bool is_linux, bool is_hardened)
{
    start_fake();
    if (is_linux) start_linux();
    kiln_harden_config_t harden = {.seed = 3,
                                   .random = true,
                                   .quarantine = {.blocks_max = 32, .bytes_max = 8192},
                                   .found = found};
    kiln_heap_config_t config = {
        .os = &back.os,
        .arena_os = &back.os,
        .arena = kiln_arena_config_default(sizeof(void *) * 8, PAGE),
        .image_end = window.memory.first,
        .idle_bytes_max = KILN_MIB(1),
        .note_bytes = is_hardened ? kiln_harden_note_bytes(&harden) : 0,
    };
    config.arena.follow = KILN_FOLLOW_KILN;
    config.arena.tables = 1u << KILN_ARENA_SPANS;
    config.arena.block_bytes = KILN_MIB(4);
    if (sizeof(void *) == 8) config.arena.addr_max = KILN_MIB(128) - 1;
    memset(&scene, 0, sizeof scene);
    scene.is_hardened = is_hardened;
    EXPECT_RULE(kiln_heap_init(&scene.heap, &config));
    if (is_hardened) {
        EXPECT_RULE(kiln_harden_init(&scene.harden, &scene.heap, &harden));
        scene.mine = kiln_harden_attach(&scene.harden);
    } else {
        scene.cache = kiln_heap_attach(&scene.heap);
    }
    EXPECT(kiln_os_rewind_add(&back, &scene, sizeof scene));
}

static void put(unsigned place)
{
    unsigned char *block = scene.blocks[place];
    EXPECT(block[0] == (unsigned char)place &&
           block[scene.sizes[place] - 1] == (unsigned char)place);
    kiln_misuse_t misuse = scene.is_hardened
                               ? kiln_harden_free(&scene.harden, scene.mine, block, site)
                               : kiln_heap_free(&scene.heap, scene.cache, block);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    scene.blocks[place] = NULL;
}

static void get(kiln_rng_t *rng, unsigned place)
{
    size_t most = kiln_rng_below(rng, 20) == 0 ? 300000 : 600;
    size_t bytes = 1 + (size_t)kiln_rng_below(rng, most);
    unsigned char *block = scene.is_hardened
                               ? kiln_harden_malloc(&scene.harden, scene.mine, bytes, false, site)
                               : kiln_heap_malloc(&scene.heap, scene.cache, bytes);
    EXPECT(block);
    block[0] = block[bytes - 1] = (unsigned char)place;
    scene.blocks[place] = block;
    scene.sizes[place] = bytes;
}

/* The addresses that the heap gives, as one number. */
static uint64_t use_heap(uint64_t seed, unsigned steps)
{
    kiln_rng_t rng = {.state = seed};
    picture_t picture = {.hash = 1};
    for (unsigned i = 0; i < steps; i++) {
        unsigned place = (unsigned)kiln_rng_below(&rng, sizeof scene.blocks / sizeof(void *));
        if (scene.blocks[place])
            put(place);
        else
            get(&rng, place);
        add(&picture, (uintptr_t)scene.blocks[place]);
    }
    return picture.hash;
}

static void heap_goes_back(bool is_linux, bool is_hardened)
{
    start_heap(is_linux, is_hardened);
    (void)use_heap(1, 2000);
    EXPECT(kiln_os_rewind_mark(&back));
    uint64_t wanted = use_heap(2, 3000), held = held_bytes();
    for (uint64_t i = 0; i < 20; i++) {
        EXPECT(kiln_os_rewind_restore(&back, NULL));
        EXPECT_RULE(kiln_heap_broken_rule(&scene.heap));
        uint64_t got = use_heap(2 + i % 4, 3000); /* other steps now and then */
        EXPECT_EQ(got == wanted, i % 4 == 0);
        EXPECT(i % 4 != 0 || held_bytes() == held);
    }
    EXPECT(kiln_os_rewind_restore(&back, NULL));
    kiln_os_rewind_drop(&back);
    (void)use_heap(9, 3000);
    EXPECT_RULE(kiln_heap_broken_rule(&scene.heap));
    if (is_hardened) EXPECT_EQ(kiln_harden_check(&scene.harden, site), 0);
    kiln_heap_destroy(&scene.heap);
}

static void test_a_heap_goes_the_same_way_again(void)
{
    heap_goes_back(false, false);
    EXPECT_EQ(held_bytes(), 0);
}

static void test_a_hardened_heap_does(void)
{
    heap_goes_back(false, true);
}

static void test_heaps_on_linux_do(void)
{
    heap_goes_back(true, false);
    heap_goes_back(true, true);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_states_and_bytes_come_back),
        KILN_TEST(test_marks_nest),
        KILN_TEST(test_what_is_given_back_is_kept_for_a_mark),
        KILN_TEST(test_on_linux_they_do),
        KILN_TEST(test_a_refused_mark_changes_nothing),
        KILN_TEST(test_a_full_array_of_ranges_refuses),
        KILN_TEST(test_a_heap_goes_the_same_way_again),
        KILN_TEST(test_a_hardened_heap_does),
        KILN_TEST(test_heaps_on_linux_do),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
