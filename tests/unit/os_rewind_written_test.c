/* A backend that goes back, and what was written since: who tells, who does not know, and what
 * stays as it is. */
#include "allocator/os/fake.h"
#include "allocator/os/fake_window_linux.h"
#include "allocator/os/linux.h"
#include "allocator/os/rewind.h"
#include "allocator/os/written_linux.h"
#include "tests/kiln_test.h"

#include <sys/wait.h>
#include <unistd.h>

enum { RANGES = 1024, PAGE = 4096 };

static kiln_os_range_t fake_ranges[RANGES], ranges[RANGES];
static kiln_os_window_t window;
static kiln_os_fake_t fake;
static kiln_os_t linux_os;
static kiln_os_written_linux_t written;
static kiln_os_rewind_t back;

static void start_linux(void)
{
    kiln_os_linux_init(&linux_os, PAGE);
    kiln_os_written_linux_init(&written);
    kiln_os_rewind_init(&back, &linux_os, &written.written, ranges, RANGES);
}

static void start_fake(void)
{
    kiln_os_fake_config_t config =
        kiln_os_fake_config_default(sizeof(void *) * 8, PAGE, fake_ranges, RANGES);
    kiln_os_fake_config_use_memory(&config, &window.memory);
    kiln_os_fake_init(&fake, &config);
    kiln_os_rewind_init(&back, &fake.os, NULL, ranges, RANGES);
}

/* Pages of direct memory, each of which begins with its number. */
enum { FOLLOWED = 300 };

static char *numbered_pages(kiln_os_use_t use)
{
    char *pages = (char *)(uintptr_t)back.os.direct(back.os.ctx, FOLLOWED * PAGE, use);
    EXPECT(pages);
    for (unsigned i = 0; i < FOLLOWED; i++) pages[i * PAGE] = (char)i;
    return pages;
}

static void write_some(char *pages)
{
    static const unsigned some[] = {0, 7, 8, 200, FOLLOWED - 1};
    for (unsigned i = 0; i < sizeof some / sizeof *some; i++) pages[some[i] * PAGE] = 77;
}

static void expect_numbered(const char *pages)
{
    for (unsigned i = 0; i < FOLLOWED; i++) EXPECT(pages[i * PAGE] == (char)i);
}

/* A kernel that cannot tell has all of them looked at. */
static void test_only_what_was_written_is_looked_at(void)
{
    start_linux();
    char *pages = numbered_pages(KILN_OS_META);
    EXPECT(kiln_os_rewind_mark(&back));
    if (!back.is_followed) fprintf(stderr, "this kernel does not tell what was written\n");
    for (unsigned round = 0; round < 200; round++) {
        write_some(pages);
        EXPECT(kiln_os_rewind_restore(&back, NULL));
        expect_numbered(pages);
        EXPECT_EQ(back.pages_seen, back.is_followed ? 5 : FOLLOWED);
    }
    /* What is written no more is seen for a while, but not for ever. */
    uint64_t seen = 0;
    for (unsigned round = 0; round < 200; round++) {
        pages[3 * PAGE] = 1;
        EXPECT(kiln_os_rewind_restore(&back, NULL));
        seen = back.pages_seen;
    }
    expect_numbered(pages);
    EXPECT_EQ(seen, back.is_followed ? 1 : FOLLOWED);
    kiln_os_rewind_drop(&back);
    back.os.release(back.os.ctx, (uintptr_t)pages, FOLLOWED * PAGE);
}

static void close_and_restore(char *pages)
{
    (void)close(written.faults);
    (void)close(written.pagemap);
    expect_numbered(pages);
    write_some(pages);
    if (kiln_os_rewind_restore(&back, NULL) && pages[7 * PAGE] == 7) _exit(0);
    _exit(1);
}

/* Another process, and one whose files were closed, look at all, and see what was written. */
static void test_nobody_believes_a_list_of_others(void)
{
    for (unsigned closes = 0; closes < 2; closes++) {
        int status = -1;
        start_linux();
        char *pages = numbered_pages(KILN_OS_META);
        EXPECT(kiln_os_rewind_mark(&back));
        pid_t child = fork();
        if (child == 0 && closes) {
            write_some(pages); /* files of its own now */
            if (!kiln_os_rewind_restore(&back, NULL)) _exit(2);
            close_and_restore(pages);
        }
        if (child == 0) {
            write_some(pages);
            _exit(kiln_os_rewind_restore(&back, NULL) && pages[7 * PAGE] == 7 ? 0 : 1);
        }
        EXPECT(child > 0 && waitpid(child, &status, 0) == child);
        EXPECT_EQ(status, 0);
        kiln_os_rewind_drop(&back);
        back.os.release(back.os.ctx, (uintptr_t)pages, FOLLOWED * PAGE);
    }
}

/* After a newer mark nobody knows what had been written before it. */
static void test_an_older_mark_looks_at_all_once(void)
{
    start_linux();
    char *pages = numbered_pages(KILN_OS_META);
    EXPECT(kiln_os_rewind_mark(&back));
    write_some(pages);
    EXPECT(kiln_os_rewind_mark(&back));
    kiln_os_rewind_drop(&back);
    EXPECT(kiln_os_rewind_restore(&back, NULL));
    expect_numbered(pages);
    EXPECT_EQ(back.pages_seen, FOLLOWED);
    write_some(pages);
    EXPECT(kiln_os_rewind_restore(&back, NULL));
    expect_numbered(pages);
    EXPECT_EQ(back.pages_seen, back.is_followed ? 5 : FOLLOWED);
    kiln_os_rewind_drop(&back);
    back.os.release(back.os.ctx, (uintptr_t)pages, FOLLOWED * PAGE);
}

/* What a visitor is asked and told; `pages` are in `ctx`. */
static unsigned asked_before;

static void look_before(void *ctx)
{
    char *pages = ctx;
    const char *was = kiln_os_rewind_was(&back, pages + 8 * PAGE);
    asked_before++;
    EXPECT(was && was[0] == 8);
    EXPECT(!kiln_os_rewind_was(&back, &asked_before));
    EXPECT(kiln_os_rewind_touched(&back, pages + 8 * PAGE, 1));
    EXPECT(kiln_os_rewind_touched(&back, pages + 9 * PAGE - 1, 2) || back.is_followed);
    EXPECT(!back.is_followed || !kiln_os_rewind_touched(&back, pages + 9 * PAGE, 2 * PAGE));
    EXPECT(kiln_os_rewind_has(&back, pages, PAGE));
    EXPECT(!kiln_os_rewind_has(&back, &asked_before, 1));
}

/* The first half of each page stays. */
static bool keeps_halves(void *ctx, kiln_addr_t first, kiln_addr_t end, kiln_addr_t *out_first,
                         kiln_addr_t *out_end)
{
    (void)ctx;
    kiln_addr_t at = first;
    if (at % PAGE >= PAGE / 2) at = kiln_round_up(at, PAGE);
    *out_first = at;
    *out_end = kiln_round_down(at, PAGE) + PAGE / 2;
    if (*out_end > end) *out_end = end;
    return at < end;
}

static void halves_stay(bool linux_below, kiln_os_use_t use, bool stays)
{
    if (linux_below)
        start_linux();
    else
        start_fake();
    char *pages = numbered_pages(use);
    kiln_os_rewind_visit_t visit = {.ctx = pages, .before = look_before, .keeps = keeps_halves};
    EXPECT(kiln_os_rewind_mark(&back));
    write_some(pages);
    pages[8 * PAGE + PAGE / 2] = 1;
    asked_before = 0;
    EXPECT(kiln_os_rewind_restore(&back, &visit));
    EXPECT_EQ(asked_before, 1);
    EXPECT_EQ(pages[8 * PAGE], stays ? 77 : 8);
    EXPECT_EQ(pages[8 * PAGE + PAGE / 2], 0);
    EXPECT(kiln_os_rewind_restore(&back, NULL));
    expect_numbered(pages);
    kiln_os_rewind_drop(&back);
    back.os.release(back.os.ctx, (uintptr_t)pages, FOLLOWED * PAGE);
}

static void test_what_a_visitor_keeps_stays(void)
{
    halves_stay(false, KILN_OS_HEAP, true);
    halves_stay(true, KILN_OS_HEAP, true);
    halves_stay(false, KILN_OS_META, false); /* records go back in any case */
    halves_stay(true, KILN_OS_META, false);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_only_what_was_written_is_looked_at),
        KILN_TEST(test_nobody_believes_a_list_of_others),
        KILN_TEST(test_an_older_mark_looks_at_all_once),
        KILN_TEST(test_what_a_visitor_keeps_stays),
    };
    if (!kiln_os_window_open(&window, 0, KILN_MIB(16), KILN_MIB(1), false)) return 1;
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
