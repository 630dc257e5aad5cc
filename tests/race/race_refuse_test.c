/* What the race detector cannot watch is refused when the heap is made, in words; and misuse of
 * its interface stops the program, in words. */
#define _GNU_SOURCE
#include "tests/race/race_child.h"
#include "tests/race/race_world.h"

#include <signal.h>
#include <sys/mman.h>

static const char outside[] =
    "the race detector follows heap from 0xc000000000 to 0xdfffffffff alone, and this arena may "
    "lie elsewhere: configure it with kiln_race_arrange, and let nothing else be mapped there";
static const char by_blocks[] = "the watcher needs one range that grows upwards, and this arena "
                                "grows by blocks that may lie anywhere: on a machine of 64 bits, "
                                "lift the limit on address space";

static const kiln_race_place_t here = {"start", __FILE__, __LINE__};

static void start(void)
{
    EXPECT_RULE(kiln_race_start(&heap, &here));
}

/* The runtime was told of no heap, and the OS has what it had. */
static void expect_refusal(const kiln_heap_config_t *config, const char *reason)
{
    EXPECT_STR(kiln_heap_init(&heap, config), reason);
    EXPECT_EQ(told.maps, 1);
    EXPECT(!heap.present);
}

static void possible_range_is_too_high(void)
{
    start();
    kiln_heap_config_t config = plain_config();
    config.watcher = &kiln_race_watcher;
    expect_refusal(&config, outside); /* the default: 512 GiB from 0xc000000000 on */

    config.arena.follow = KILN_FOLLOW_GO19;
    expect_refusal(&config, outside);
    config.arena.follow = KILN_FOLLOW_KILN;

    /* The largest that fits, and a page more. */
    uint64_t page_bytes = config.arena.page_bytes, most = UINT64_C(1) << 37;
    uint64_t tables_bytes = most / page_bytes * sizeof(void *);
    config.arena.addr_max = most - tables_bytes - 1;
    EXPECT_RULE(kiln_heap_init(&heap, &config));
    kiln_heap_destroy(&heap);
    config.arena.addr_max = most - tables_bytes + KILN_MIB(1) - 1;
    expect_refusal(&config, outside);
}

/* Something else has the address: the kernel then chooses, above. */
static void place_is_taken(void)
{
    void *wanted = (void *)KILN_RACE_FIRST;
    EXPECT(mmap(wanted, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == wanted);
    start();
    kiln_heap_config_t config = plain_config();
    EXPECT_RULE(kiln_race_arrange(&config));
    expect_refusal(&config, outside);
}

static void heap_would_lie_below(void)
{
    start();
    kiln_heap_config_t config = plain_config();
    kiln_arena_config_t *arena_config = &config.arena;
    arena_config->addr_max = KILN_RACE_HEAP_BYTES - 1;
    static uint64_t present[1 << 16];
    static kiln_arena_t arena;
    kiln_arena_layout_t layout;
    EXPECT(kiln_arena_present_words(arena_config) <= sizeof present / sizeof *present);
    EXPECT_RULE(kiln_arena_init(&arena, arena_config, &os, &kiln_race_watcher, NULL, present));
    EXPECT_STR(kiln_arena_start(&arena, KILN_ARENA_DARWIN_ARM64, 0, 0, &layout), outside);
    EXPECT_EQ(told.maps, 1);
}

static void limit_address_space(void)
{
    struct rlimit limit;
    EXPECT_EQ(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = KILN_GIB(8);
    EXPECT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

static void heap_would_grow_by_blocks(void)
{
    start();
    limit_address_space();
    kiln_heap_config_t config = plain_config();
    EXPECT_RULE(kiln_race_arrange(&config));
    expect_refusal(&config, by_blocks);
}

static void wrong_order_and_kind(void)
{
    kiln_heap_config_t config = plain_config();
    EXPECT_STR(kiln_race_arrange(&config),
               "the race detector is started before the heap: kiln_race_start");
    start();
    EXPECT_STR(kiln_race_start(&heap, &here),
               "the race detector was started: a process has one, and it has one heap");
    config.arena.follow = KILN_FOLLOW_GO19;
    EXPECT_STR(kiln_race_arrange(&config),
               "the race detector needs an arena that follows kiln: others tell of holes as heap");
    config = plain_config();
    config.arena.addr_bits = 32;
    EXPECT_STR(kiln_race_arrange(&config), "the race detector needs 64-bit addresses");
    config = plain_config();
    config.watcher = &kiln_race_watcher;
    EXPECT_STR(kiln_race_arrange(&config), "the heap has a watcher already");
}

static void test_what_cannot_be_watched_is_refused_in_words(void)
{
    static void (*const scenarios[])(void) = {
        possible_range_is_too_high, place_is_taken,       heap_would_lie_below,
        heap_would_grow_by_blocks,  wrong_order_and_kind,
    };
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const child_t *child = child_of(scenarios[i]);
        child_expect(child, 0);
        EXPECT_STR(child->text, "");
    }
}

/* ---- misuse ---- */

static void grows_downwards(void)
{
    open_watched();
    EXPECT(kiln_heap_malloc(&heap, NULL, 1));
    kiln_race_watcher.grow(NULL, told.first, KILN_MIB(1));
}

static void grows_before_the_start(void)
{
    kiln_race_watcher.grow(NULL, KILN_RACE_FIRST, KILN_MIB(1));
}

static void grows_out_of_range(void)
{
    start();
    kiln_race_watcher.grow(NULL, KILN_RACE_LAST + 1 - KILN_MIB(1), KILN_MIB(2));
}

static void *allocate(void *unused)
{
    (void)unused;
    return kiln_heap_malloc(&heap, NULL, 1);
}

static void thread_did_not_enter(void)
{
    open_watched();
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, allocate, NULL), 0);
    pthread_join(thread, NULL);
}

static void synchronises_by_a_variable(void)
{
    static int variable;
    open_watched();
    EXPECT(kiln_heap_malloc(&heap, NULL, 1));
    kiln_race_acquire(&variable);
}

static void main_thread_leaves(void)
{
    open_watched();
    kiln_race_leave();
}

static void place_lies_elsewhere(void)
{
    open_watched();
    kiln_race_place_t *place = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *block = kiln_heap_malloc(&heap, NULL, 1);
    kiln_race_write(block, 1, place);
}

static void test_misuse_stops_in_words(void)
{
    static const struct {
        void (*scenario)(void);
        const char *words;
    } misuses[] = {
        {grows_downwards, "a watched heap grows upwards"},
        {grows_before_the_start, "the detector is started before the heap grows"},
        {grows_out_of_range, "a watched heap lies where the detector can look"},
        {thread_did_not_enter, "a thread has entered before it uses a watched heap"},
        {synchronises_by_a_variable, "what synchronises lies in the heap"},
        {main_thread_leaves, "the main thread ends by kiln_race_finish"},
        {place_lies_elsewhere, "places lie in the module of the detector"},
    };
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
        const child_t *child = child_of(misuses[i].scenario);
        child_expect(child, CHILD_SIGNAL + SIGABRT);
        EXPECT(strstr(child->text, misuses[i].words));
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_what_cannot_be_watched_is_refused_in_words),
        KILN_TEST(test_misuse_stops_in_words),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
