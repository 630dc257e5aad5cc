/* The race detector of Go, for real, on an arena and a heap of Kiln's: see sanitizer/race/race.h.
 */
#define _GNU_SOURCE
#include "tests/race/race_child.h"
#include "tests/race/race_world.h"

#include <signal.h>

enum { BLOCK_BYTES = 100, FIELD_OFFSET = 40, FIELD_BYTES = 8 };

static void *make_block(void)
{
    KILN_RACE_PLACE(allocation);
    kiln_race_at(&allocation);
    void *block = kiln_heap_malloc(&heap, NULL, BLOCK_BYTES);
    EXPECT(block);
    return block;
}

static void write_field(void *block)
{
    KILN_RACE_PLACE(access);
    kiln_race_write((char *)block + FIELD_OFFSET, FIELD_BYTES, &access);
    memset((char *)block + FIELD_OFFSET, 1, FIELD_BYTES);
}

/* Another place, so that a report names two. */
static void write_field_too(void *block)
{
    KILN_RACE_PLACE(access);
    kiln_race_write((char *)block + FIELD_OFFSET, FIELD_BYTES, &access);
    memset((char *)block + FIELD_OFFSET, 2, FIELD_BYTES);
}

static void write_field_synchronised(void *block)
{
    kiln_race_acquire(block);
    write_field(block);
    kiln_race_release(block);
}

/* ---- what it finds ---- */

static void race_on_a_block(void)
{
    open_watched();
    void *block = make_block();
    fprintf(stderr, "block %#018lx\n", (unsigned long)(uintptr_t)block);
    run_thread(write_field, block);
    run_thread(write_field_too, block);
    EXPECT_EQ(kiln_race_reports(), 1);
    finish();
}

static void test_unsynchronised_writes_are_one_report_that_names_the_block(void)
{
    const child_t *child = child_of(race_on_a_block);
    unsigned long block;
    char line[128];
    child_expect(child, CHILD_REPORTS);
    EXPECT_EQ(child_count(child, "WARNING: DATA RACE"), 1);
    EXPECT_EQ(child_count(child, "Found 1 data race(s)"), 1);
    EXPECT_EQ(sscanf(child->text, "block %lx", &block), 1);
    EXPECT(block >= KILN_RACE_FIRST && block <= KILN_RACE_LAST);

    snprintf(line, sizeof line, "Write at 0x%012lx by ", block + FIELD_OFFSET);
    EXPECT_EQ(child_count(child, line), 1);
    snprintf(line, sizeof line, "Previous write at 0x%012lx by ", block + FIELD_OFFSET);
    EXPECT_EQ(child_count(child, line), 1);
    snprintf(line, sizeof line,
             "Heap block of size %d at 0x%012lx allocated by main goroutine:", BLOCK_BYTES, block);
    EXPECT_EQ(child_count(child, line), 1);
    EXPECT_EQ(child_count(child, "  make_block()\n"), 1);
    EXPECT_EQ(child_count(child, "  write_field()\n"), 1);
    EXPECT_EQ(child_count(child, "  write_field_too()\n"), 1);
    EXPECT(child_count(child, "tests/race/race_test.c:") >= 3);
}

static void no_race_on_a_block(void)
{
    open_watched();
    void *block = make_block();
    run_thread(write_field_synchronised, block);
    run_thread(write_field_synchronised, block);
    finish();
}

static void expect_silence(const child_t *child)
{
    child_expect(child, 0);
    EXPECT_STR(child->text, "");
}

static void test_synchronised_writes_are_no_report(void)
{
    expect_silence(child_of(no_race_on_a_block));
}

static void read_field(void *block)
{
    KILN_RACE_PLACE(access);
    kiln_race_read((char *)block + FIELD_OFFSET, FIELD_BYTES, &access);
}

static void read_by_two(void)
{
    open_watched();
    void *block = make_block();
    write_field(block); /* before the threads are created, hence before what they do */
    run_thread(read_field, block);
    run_thread(read_field, block);
    finish();
}

static void read_by_one_and_written(void)
{
    open_watched();
    void *block = make_block();
    run_thread(read_field, block);
    run_thread(write_field, block);
    finish();
}

static void test_two_reads_are_no_report_and_a_write_is_one(void)
{
    expect_silence(child_of(read_by_two));
    const child_t *child = child_of(read_by_one_and_written);
    child_expect(child, CHILD_REPORTS);
    EXPECT_EQ(child_count(child, "WARNING: DATA RACE"), 1);
    EXPECT_EQ(child_count(child, "Previous read at "), 1);
}

/* What is not of the heap is not watched: neither a variable, nor what would be its next growth. */
static void accesses_elsewhere(void)
{
    KILN_RACE_PLACE(access);
    static int variable;
    open_watched();
    kiln_race_write(&variable, sizeof variable, &access);
    (void)make_block();
    kiln_race_write(&variable, sizeof variable, &access);
    kiln_race_write((void *)(uintptr_t)told.end, 1, &access);
    kiln_race_write((void *)(uintptr_t)(told.end - 8), 16, &access);
    kiln_race_read((void *)(uintptr_t)(told.first - 1), 1, &access);
    kiln_race_read((void *)(uintptr_t)told.first, 0, &access);
    finish();
}

static void test_other_memory_is_not_watched(void)
{
    expect_silence(child_of(accesses_elsewhere));
}

/* One thread writes to a block and frees it; the next is given the same block, and writes. */

static void use_and_free(void *block)
{
    write_field(block);
    EXPECT_EQ(kiln_heap_free(&heap, NULL, block), KILN_MISUSE_NONE);
}

static void allocate_and_use(void *block)
{
    EXPECT(make_block() == block);
    write_field_too(block);
}

static void hand_a_block_on(void)
{
    void *block = make_block();
    run_thread(use_and_free, block);
    run_thread(allocate_and_use, block);
    finish();
}

static void watched_hand_over(void)
{
    open_watched();
    hand_a_block_on();
}

static void hand_over_without_blocks(void)
{
    open_without_blocks();
    hand_a_block_on();
}

static void test_a_block_freed_and_handed_on_is_no_report(void)
{
    expect_silence(child_of(watched_hand_over));
}

static void test_without_alloc_and_free_that_is_a_report(void)
{
    const child_t *child = child_of(hand_over_without_blocks);
    child_expect(child, CHILD_REPORTS);
    EXPECT_EQ(child_count(child, "WARNING: DATA RACE"), 1);
    EXPECT_EQ(child_count(child, "Heap block"), 0);
}

/* What a realloc gives, and the bytes behind those asked for, belong to the new owner too: here the
 * last 8 of a slot of 112. */

static void write_tail(void *block)
{
    KILN_RACE_PLACE(access);
    kiln_misuse_t misuse;
    size_t usable = kiln_heap_usable(&heap, block, &misuse);
    EXPECT_EQ(usable, 112);
    kiln_race_write((char *)block + usable - 8, 8, &access);
}

static void use_tail_and_free(void *block)
{
    write_tail(block);
    EXPECT_EQ(kiln_heap_free(&heap, NULL, block), KILN_MISUSE_NONE);
}

static void allocate_and_use_tail(void *block)
{
    kiln_misuse_t misuse;
    EXPECT(make_block() == block);
    write_tail(block);
    block = kiln_heap_realloc(&heap, NULL, block, 112, &misuse);
    EXPECT(block);
    write_tail(block);
}

static void hand_a_tail_on(void)
{
    open_watched();
    void *block = make_block();
    run_thread(use_tail_and_free, block);
    run_thread(allocate_and_use_tail, block);
    finish();
}

static void test_usable_bytes_are_handed_on_with_the_block(void)
{
    expect_silence(child_of(hand_a_tail_on));
}

/* ---- why each law of publication matters ---- */

static void grow_nothing(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx, (void)addr, (void)bytes;
}

static void without_publication(void)
{
    changed = kiln_race_watcher;
    changed.grow = grow_nothing;
    open_with(&changed);
    write_field(make_block());
    kiln_race_finish();
}

static void with_publication(void)
{
    open_watched();
    write_field(make_block());
    finish();
}

static void test_without_publication_the_same_program_crashes(void)
{
    expect_silence(child_of(with_publication));
    child_expect(child_of(without_publication), CHILD_SIGNAL + SIGSEGV);
}

/* The runtime is told below what it was told before: by hand, since no arena does it. */
static void published_downwards(void)
{
    open_watched();
    void *block = make_block();
    uintptr_t high = (uintptr_t)KILN_RACE_LAST + 1 - KILN_MIB(2), low = high - KILN_MIB(64);
    __real___tsan_map_shadow(high, KILN_MIB(1));
    __real___tsan_malloc(NULL, 0, high, 64);
    __real___tsan_map_shadow(low, KILN_MIB(1));
    __real___tsan_malloc(NULL, 0, low, 64); /* forgets accesses, wants no record: well */
    fprintf(stderr, "there is shadow\n");
    (void)block;
    __real___tsan_free(low, 64);
}

static void published_upwards(void)
{
    open_watched();
    uintptr_t high = (uintptr_t)KILN_RACE_LAST + 1 - KILN_MIB(2), low = high - KILN_MIB(64);
    __real___tsan_map_shadow(low, KILN_MIB(1));
    __real___tsan_malloc(NULL, 0, low, 64);
    __real___tsan_map_shadow(high, KILN_MIB(1));
    __real___tsan_free(low, 64);
    finish();
}

static void test_what_is_published_downwards_crashes(void)
{
    expect_silence(child_of(published_upwards));
    const child_t *child = child_of(published_downwards);
    child_expect(child, CHILD_SIGNAL + SIGSEGV);
    EXPECT_STR(child->text, "there is shadow\n");
}

/* Two threads write to memory past the watcher, which would stop the program instead. */
static void race_at(uintptr_t addr)
{
    KILN_RACE_PLACE(creation);
    open_watched();
    __real___tsan_map_shadow(addr, KILN_MIB(1));
    for (unsigned i = 0; i < 2; i++) {
        kiln_race_thread_t thread;
        kiln_race_create(&thread, &creation);
        __tsan_write_range(thread.context, addr, FIELD_BYTES, 0x1001); /* a place of nobody's */
    }
    kiln_race_finish();
}

static void race_in_range(void)
{
    race_at((uintptr_t)KILN_RACE_LAST + 1 - KILN_MIB(1));
}

static void race_out_of_range(void)
{
    race_at((uintptr_t)KILN_RACE_LAST + 1 + KILN_MIB(1));
}

static void test_races_above_the_range_are_missed(void)
{
    child_expect(child_of(race_in_range), CHILD_REPORTS);
    expect_silence(child_of(race_out_of_range));
}

static void published_twice(void)
{
    open_watched();
    void *block = make_block();
    run_thread(write_field, block);
    __real___tsan_map_shadow(told.first, told.end - told.first);
    run_thread(write_field_too, block);
    finish();
}

static void test_what_is_published_twice_is_forgotten(void)
{
    expect_silence(child_of(published_twice)); /* the race of the first test, missed */
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_unsynchronised_writes_are_one_report_that_names_the_block),
        KILN_TEST(test_synchronised_writes_are_no_report),
        KILN_TEST(test_two_reads_are_no_report_and_a_write_is_one),
        KILN_TEST(test_other_memory_is_not_watched),
        KILN_TEST(test_a_block_freed_and_handed_on_is_no_report),
        KILN_TEST(test_without_alloc_and_free_that_is_a_report),
        KILN_TEST(test_usable_bytes_are_handed_on_with_the_block),
        KILN_TEST(test_without_publication_the_same_program_crashes),
        KILN_TEST(test_what_is_published_downwards_crashes),
        KILN_TEST(test_races_above_the_range_are_missed),
        KILN_TEST(test_what_is_published_twice_is_forgotten),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
