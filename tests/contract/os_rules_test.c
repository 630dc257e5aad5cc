/* Negative controls of the contract: what a caller or a backend may not do stops the program by
 * that rule's name, and the correct twin of each does not. */
#include "tests/contract/os_backends.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

enum { PAGES = 8, RANGES = 64 };

static kiln_addr_t base; /* PAGES pages: 0-3 Reserved, 4-5 Ready, 6 Prepared, 7 released */

static uint64_t pages(unsigned count)
{
    return count * os->phys_bytes;
}

static void call(kiln_os_call_t which, unsigned first, unsigned count)
{
    kiln_addr_t addr = base + pages(first);
    uint64_t bytes = pages(count);
    switch (which) {
    case KILN_OS_CALL_COMMIT:
        EXPECT_EQ(os->commit(os->ctx, addr, bytes, true, KILN_OS_HEAP), KILN_OS_OK);
        return;
    case KILN_OS_CALL_PROTECT:
        EXPECT(os->protect(os->ctx, addr, bytes, KILN_OS_READ_ONLY));
        return;
    case KILN_OS_CALL_DISCARD:
        os->discard(os->ctx, addr, bytes);
        return;
    case KILN_OS_CALL_DECOMMIT:
        os->decommit(os->ctx, addr, bytes);
        return;
    case KILN_OS_CALL_GUARD:
        (void)kiln_os_guard(os, addr, bytes, true); /* an older Linux has none */
        return;
    case KILN_OS_CALL_HUGE:
        kiln_os_huge(os, addr, bytes, true);
        return;
    default:
        os->release(os->ctx, addr, bytes);
        return;
    }
}

/* Acts that name pages: {call, first page, pages}. The twin is legal. */
static const struct {
    const char *rule;
    kiln_os_call_t call;
    unsigned first, count;
    kiln_os_call_t twin_call;
    unsigned twin_first, twin_count;
} acts[] = {
    {KILN_OS_RULE_COMMIT, KILN_OS_CALL_COMMIT, 7, 1, KILN_OS_CALL_COMMIT, 6, 1},
    {KILN_OS_RULE_COMMIT, KILN_OS_CALL_COMMIT, 6, 2, KILN_OS_CALL_COMMIT, 0, 4},
    {KILN_OS_RULE_RECOMMIT, KILN_OS_CALL_COMMIT, 4, 1, KILN_OS_CALL_COMMIT, 3, 1},
    {KILN_OS_RULE_RECOMMIT, KILN_OS_CALL_COMMIT, 3, 2, KILN_OS_CALL_COMMIT, 6, 1},
    {KILN_OS_RULE_DISCARD, KILN_OS_CALL_DISCARD, 3, 1, KILN_OS_CALL_DISCARD, 5, 1},
    {KILN_OS_RULE_DISCARD, KILN_OS_CALL_DISCARD, 5, 2, KILN_OS_CALL_DISCARD, 4, 2},
    {KILN_OS_RULE_DISCARD, KILN_OS_CALL_DISCARD, 7, 1, KILN_OS_CALL_DISCARD, 4, 1},
    {KILN_OS_RULE_DECOMMIT, KILN_OS_CALL_DECOMMIT, 0, 1, KILN_OS_CALL_DECOMMIT, 6, 1},
    {KILN_OS_RULE_DECOMMIT, KILN_OS_CALL_DECOMMIT, 3, 3, KILN_OS_CALL_DECOMMIT, 4, 3},
    {KILN_OS_RULE_DECOMMIT, KILN_OS_CALL_DECOMMIT, 6, 2, KILN_OS_CALL_DECOMMIT, 5, 2},
    {KILN_OS_RULE_PROTECT, KILN_OS_CALL_PROTECT, 6, 1, KILN_OS_CALL_PROTECT, 5, 1},
    {KILN_OS_RULE_PROTECT, KILN_OS_CALL_PROTECT, 3, 2, KILN_OS_CALL_PROTECT, 4, 2},
    {KILN_OS_RULE_GUARD, KILN_OS_CALL_GUARD, 3, 1, KILN_OS_CALL_GUARD, 4, 1},
    {KILN_OS_RULE_GUARD, KILN_OS_CALL_GUARD, 5, 2, KILN_OS_CALL_GUARD, 4, 2},
    {KILN_OS_RULE_GUARD, KILN_OS_CALL_GUARD, 7, 1, KILN_OS_CALL_GUARD, 5, 1},
    {KILN_OS_RULE_HUGE, KILN_OS_CALL_HUGE, 3, 1, KILN_OS_CALL_HUGE, 4, 1},
    {KILN_OS_RULE_HUGE, KILN_OS_CALL_HUGE, 5, 2, KILN_OS_CALL_HUGE, 4, 2},
    {KILN_OS_RULE_HUGE, KILN_OS_CALL_HUGE, 7, 1, KILN_OS_CALL_HUGE, 5, 1},
    {KILN_OS_RULE_RELEASE, KILN_OS_CALL_RELEASE, 7, 1, KILN_OS_CALL_RELEASE, 6, 1},
    {KILN_OS_RULE_RELEASE, KILN_OS_CALL_RELEASE, 0, 8, KILN_OS_CALL_RELEASE, 0, 7},
    {KILN_OS_RULE_EMPTY, KILN_OS_CALL_COMMIT, 0, 0, KILN_OS_CALL_COMMIT, 0, 1},
    {KILN_OS_RULE_EMPTY, KILN_OS_CALL_RELEASE, 4, 0, KILN_OS_CALL_RELEASE, 4, 1},
    {KILN_OS_RULE_EMPTY, KILN_OS_CALL_DISCARD, 4, 0, KILN_OS_CALL_DISCARD, 4, 1},
};

static unsigned act_idx;

static void act(void)
{
    call(acts[act_idx].call, acts[act_idx].first, acts[act_idx].count);
}

static void twin(void)
{
    call(acts[act_idx].twin_call, acts[act_idx].twin_first, acts[act_idx].twin_count);
}

/* Acts with arguments of their own. */
static void commit_half_page(void)
{
    (void)os->commit(os->ctx, base, os->phys_bytes / 2, true, KILN_OS_HEAP);
}

static void commit_from_half_page(void)
{
    (void)os->commit(os->ctx, base + os->phys_bytes / 2, pages(1), true, KILN_OS_HEAP);
}

static void release_from_half_page(void)
{
    os->release(os->ctx, base + os->phys_bytes / 2, pages(1));
}

static void release_half_page(void)
{
    os->release(os->ctx, base, os->phys_bytes / 2);
}

static void commit_past_the_top(void)
{
    uint64_t top = kiln_round_down(kiln_width_mask(os->addr_bits), os->phys_bytes);
    (void)os->commit(os->ctx, top, pages(2), true, KILN_OS_HEAP);
}

static void commit_ours_as_unreserved(void)
{
    (void)os->commit(os->ctx, base + pages(4), pages(1), false, KILN_OS_HEAP);
}

static void commit_free_as_unreserved(void)
{
    EXPECT_EQ(os->commit(os->ctx, base + pages(7), pages(1), false, KILN_OS_HEAP), KILN_OS_OK);
}

static void guard_protected(void)
{
    (void)os->protect(os->ctx, base + pages(5), pages(1), KILN_OS_READ_ONLY);
    (void)kiln_os_guard(os, base + pages(5), pages(1), true);
}

/* Page 4 is Guarded, where the backend has that. */
static void guard_page(void)
{
    call(KILN_OS_CALL_GUARD, 4, 1);
}

static void commit_guarded(void)
{
    call(KILN_OS_CALL_COMMIT, 4, 1);
}

static void protect_guarded(void)
{
    call(KILN_OS_CALL_PROTECT, 4, 1);
}

static void discard_guarded(void)
{
    call(KILN_OS_CALL_DISCARD, 4, 1);
}

static void decommit_and_commit_guarded(void)
{
    call(KILN_OS_CALL_DECOMMIT, 4, 1);
    call(KILN_OS_CALL_COMMIT, 4, 1);
}

static void nothing(void)
{
}

static void expect_rule(const char *rule, void (*run)(void), void (*twin_run)(void))
{
    EXPECT_STR(kiln_stops_rule(run), rule);
    EXPECT_RULE(kiln_stops_rule(twin_run));
}

static void prepare(const char *name)
{
    bool reserved;
    os_backend_open(name);
    base = os->reserve(os->ctx, 0, pages(PAGES), &reserved);
    EXPECT(base != 0 && reserved);
    os->release(os->ctx, base + pages(7), pages(1));
    call(KILN_OS_CALL_COMMIT, 4, 3);
    call(KILN_OS_CALL_DISCARD, 6, 1);
}

/* Every watcher finds every act; a new backend for each, so that the acts do not meet. */
static void expect_all_rules(const char *name)
{
    for (act_idx = 0; act_idx < sizeof acts / sizeof *acts; act_idx++) {
        prepare(name);
        expect_rule(acts[act_idx].rule, act, twin);
        os_backend_close();
    }
    prepare(name);
    expect_rule(KILN_OS_RULE_ALIGN, commit_half_page, commit_free_as_unreserved);
    expect_rule(KILN_OS_RULE_ALIGN, commit_from_half_page, release_half_page);
    expect_rule(KILN_OS_RULE_ALIGN, release_from_half_page, nothing);
    expect_rule(KILN_OS_RULE_SPACE, commit_past_the_top, nothing);
    os_backend_close();
    prepare(name);
    expect_rule(KILN_OS_RULE_GUARD, guard_protected, guard_page);
    if (kiln_os_guard(os, base + pages(4), pages(1), true)) {
        expect_rule(KILN_OS_RULE_COMMIT, commit_guarded, nothing);
        expect_rule(KILN_OS_RULE_PROTECT, protect_guarded, nothing);
        expect_rule(KILN_OS_RULE_DISCARD, discard_guarded, decommit_and_commit_guarded);
    }
    os_backend_close();
    prepare(name);
    expect_rule(KILN_OS_RULE_FLAG, commit_ours_as_unreserved, commit_free_as_unreserved);
    os_backend_close();
}

static void test_the_fake_stops_its_caller(void)
{
    expect_all_rules("fake-numbers-32-4096-obey-hint");
    expect_all_rules("fake-enforced-"
#if UINTPTR_MAX > UINT32_MAX
                     "64"
#else
                     "32"
#endif
                     "-16384-obey-hint");
}

static void test_check_stops_its_caller(void)
{
    expect_all_rules("check+linux");
    expect_all_rules("check+fake-numbers-10-4-lowest");
}

static void commit_somebody_elses(void)
{
    (void)os->commit(os->ctx, base, pages(1), true, KILN_OS_HEAP);
}

static void release_somebody_elses(void)
{
    os->release(os->ctx, base, pages(1));
}

static void test_the_fake_guards_somebody_elses_memory(void)
{
    os_backend_open("fake-numbers-32-4096-obey-hint");
    base = 0x100000;
    backend->occupy(base, pages(1));
    expect_rule(KILN_OS_RULE_CLOBBER, commit_somebody_elses, nothing);
    expect_rule(KILN_OS_RULE_RELEASE, release_somebody_elses, nothing);
    os_backend_close();
}

/* --- backends that lie, under check --- */

static kiln_os_check_t check;
static kiln_os_range_t ranges[RANGES];
static kiln_addr_t answer_addr;
static kiln_os_answer_t answer_commit;
static _Alignas(4096) unsigned char memory[2 * 4096];

static kiln_addr_t bad_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    (void)ctx, (void)hint, (void)bytes;
    *out_reserved = true;
    return answer_addr;
}

static kiln_os_answer_t bad_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                   kiln_os_use_t use)
{
    (void)ctx, (void)addr, (void)bytes, (void)reserved, (void)use;
    return answer_commit;
}

static kiln_addr_t bad_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    (void)ctx, (void)bytes, (void)use;
    return answer_addr;
}

static bool bad_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    (void)ctx, (void)addr, (void)bytes, (void)on;
    return true;
}

static const kiln_os_t bad_os = {.phys_bytes = 4096,
                                 .addr_bits = sizeof(void *) * 8,
                                 .reserve = bad_reserve,
                                 .commit = bad_commit,
                                 .guard = bad_guard,
                                 .direct = bad_direct};

static uint64_t ask_bytes;

static void ask_reserve(void)
{
    bool reserved;
    (void)check.os.reserve(check.os.ctx, 0, ask_bytes, &reserved);
}

static void ask_direct(void)
{
    (void)check.os.direct(check.os.ctx, ask_bytes, KILN_OS_META);
}

static void ask_commit(void)
{
    (void)check.os.commit(check.os.ctx, answer_addr, ask_bytes, true, KILN_OS_HEAP);
}

/* Both reserve and direct, each on a new checker. */
static const char *rule_of(kiln_addr_t addr, uint64_t bytes, bool twice)
{
    const char *rules[2];
    static void (*const asks[2])(void) = {ask_reserve, ask_direct};
    static char first[sizeof kiln_stops_text];
    answer_addr = addr;
    ask_bytes = bytes;
    for (unsigned i = 0; i < 2; i++) {
        kiln_os_check_init(&check, &bad_os, ranges, RANGES, false);
        if (twice) EXPECT_RULE(kiln_stops_rule(asks[i]));
        rules[i] = kiln_stops_rule(asks[i]);
        if (i == 0 && rules[0]) rules[0] = memcpy(first, rules[0], strlen(rules[0]) + 1);
    }
    if (rules[0] || rules[1]) EXPECT_STR(rules[0], rules[1]);
    return rules[0];
}

static void test_check_stops_a_backend_with_bad_answers(void)
{
    kiln_addr_t top = kiln_width_mask(bad_os.addr_bits) - 4095;
    EXPECT_RULE(rule_of(0x10000, 8192, false));
    EXPECT_RULE(rule_of(0x10000, 8000, false));
    EXPECT_RULE(rule_of(top, 4096, false));
    EXPECT_STR(rule_of(0x10000, 0, false), KILN_OS_RULE_ANSWER_EMPTY);
    EXPECT_STR(rule_of(0x10800, 4096, false), KILN_OS_RULE_ANSWER_ALIGN);
    EXPECT_STR(rule_of(top, 8192, false), KILN_OS_RULE_ANSWER_SPACE);
    EXPECT_STR(rule_of(top, UINT64_MAX, false), KILN_OS_RULE_ANSWER_SPACE);
    EXPECT_STR(rule_of(0x10000, 4096, true), KILN_OS_RULE_ANSWER_OURS);
}

static void test_check_stops_a_commit_that_lands_elsewhere(void)
{
    kiln_os_check_init(&check, &bad_os, ranges, RANGES, false);
    answer_addr = 0x10000;
    ask_bytes = 4096;
    ask_reserve();
    answer_commit = KILN_OS_FAIL;
    EXPECT_RULE(kiln_stops_rule(ask_commit));
    answer_commit = KILN_OS_ELSEWHERE;
    EXPECT_STR(kiln_stops_rule(ask_commit), KILN_OS_RULE_ANSWER_ELSEWHERE);
    answer_commit = KILN_OS_OK;
    EXPECT_RULE(kiln_stops_rule(ask_commit));
}

/* The backend took what it had promised for another request, and then again. */
static void ask_commit_unreserved(void)
{
    (void)check.os.commit(check.os.ctx, answer_addr, ask_bytes, false, KILN_OS_HEAP);
}

static void test_check_stops_a_commit_over_memory_that_was_promised_twice(void)
{
    kiln_os_check_init(&check, &bad_os, ranges, RANGES, false);
    answer_addr = 0x10000;
    ask_bytes = 4096;
    EXPECT(kiln_os_model_grant(&check.model, answer_addr, ask_bytes, KILN_OS_UNRESERVED, 0));
    ask_reserve();
    answer_commit = KILN_OS_ELSEWHERE;
    EXPECT_RULE(kiln_stops_rule(ask_commit_unreserved));
    answer_commit = KILN_OS_OK;
    EXPECT_STR(kiln_stops_rule(ask_commit_unreserved), KILN_OS_RULE_ANSWER_TAKEN);
}

static void ask_guard_off(void)
{
    (void)kiln_os_guard(&check.os, answer_addr, ask_bytes, false);
}

/* Only what was Guarded has to be zero. */
static void test_check_looks_for_zeros_behind_guards(void)
{
    answer_addr = (uintptr_t)memory;
    ask_bytes = sizeof memory;
    memset(memory, 0, sizeof memory);
    kiln_os_check_init(&check, &bad_os, ranges, RANGES, true);
    ask_direct();
    memory[0] = 1;
    EXPECT(kiln_os_guard(&check.os, answer_addr + 4096, 4096, true));
    EXPECT_RULE(kiln_stops_rule(ask_guard_off));
    EXPECT(kiln_os_guard(&check.os, answer_addr, 4096, true));
    EXPECT_STR(kiln_stops_rule(ask_guard_off), KILN_OS_RULE_ANSWER_ZERO);
}

static void test_check_looks_for_zeros(void)
{
    answer_addr = (uintptr_t)memory;
    ask_bytes = 4096;
    memset(memory, 0, sizeof memory);
    kiln_os_check_init(&check, &bad_os, ranges, RANGES, true);
    EXPECT_RULE(kiln_stops_rule(ask_direct));
    memory[4095] = 1;
    kiln_os_check_init(&check, &bad_os, ranges, RANGES, true);
    EXPECT_STR(kiln_stops_rule(ask_direct), KILN_OS_RULE_ANSWER_ZERO);
    kiln_os_check_init(&check, &bad_os, ranges, RANGES, true);
    answer_commit = KILN_OS_OK;
    ask_reserve();
    EXPECT_STR(kiln_stops_rule(ask_commit), KILN_OS_RULE_ANSWER_ZERO);
}

static void test_check_stops_when_its_memory_is_full(void)
{
    kiln_os_check_init(&check, &bad_os, ranges, 2, false);
    ask_bytes = 4096;
    for (answer_addr = 0x10000; answer_addr < 0x14000; answer_addr += 0x2000)
        EXPECT_RULE(kiln_stops_rule(ask_reserve));
    EXPECT_STR(kiln_stops_rule(ask_reserve), KILN_OS_RULE_FULL);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_the_fake_stops_its_caller),
        KILN_TEST(test_check_stops_its_caller),
        KILN_TEST(test_the_fake_guards_somebody_elses_memory),
        KILN_TEST(test_check_stops_a_backend_with_bad_answers),
        KILN_TEST(test_check_stops_a_commit_that_lands_elsewhere),
        KILN_TEST(test_check_stops_a_commit_over_memory_that_was_promised_twice),
        KILN_TEST(test_check_looks_for_zeros),
        KILN_TEST(test_check_looks_for_zeros_behind_guards),
        KILN_TEST(test_check_stops_when_its_memory_is_full),
    };
    (void)os_backends_make();
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
