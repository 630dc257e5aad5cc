/* The contract of allocator/os/os.h, the same tests on every backend.
 *
 * A test's name is CASE@BACKEND, so that a failure says where, and can be run alone. What goes
 * through kiln_os_check is also watched by its rules: any stop is a failure. */
#include "fuzz/os_probe.h"
#include "tests/contract/os_backends.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

#include <stdlib.h>

enum { PAGES = 16, BLOCKS = 24 };

static kiln_addr_t page(kiln_addr_t base, unsigned idx)
{
    return base + idx * os->phys_bytes;
}

static uint64_t pages(unsigned count)
{
    return count * os->phys_bytes;
}

/* Bytes of a page, where there are any. */
static void expect_page(kiln_addr_t addr, unsigned char value)
{
    if (!backend->bytes) return;
    const unsigned char *at = (const unsigned char *)(uintptr_t)addr;
    for (uint64_t i = 0; i < os->phys_bytes; i++) EXPECT_EQ(at[i], value);
}

static void fill_page(kiln_addr_t addr, unsigned char value)
{
    if (backend->bytes) memset((void *)(uintptr_t)addr, value, (size_t)os->phys_bytes);
}

static void expect_touch(kiln_addr_t addr, bool readable, bool writable)
{
    if (!backend->guarded) return;
    EXPECT_EQ(kiln_os_probe_reads(addr), readable);
    EXPECT_EQ(kiln_os_probe_writes(addr), writable);
}

static kiln_addr_t reserve(unsigned count)
{
    bool reserved = false;
    kiln_addr_t base = os->reserve(os->ctx, 0, pages(count), &reserved);
    EXPECT(base != 0);
    EXPECT(reserved);
    EXPECT(kiln_is_aligned(base, os->phys_bytes));
    EXPECT(base <= kiln_width_mask(os->addr_bits));
    EXPECT(pages(count) - 1 <= kiln_width_mask(os->addr_bits) - base);
    return base;
}

static void commit(kiln_addr_t addr, unsigned count)
{
    EXPECT_EQ(os->commit(os->ctx, addr, pages(count), true, KILN_OS_HEAP), KILN_OS_OK);
}

static void release(kiln_addr_t addr, unsigned count)
{
    os->release(os->ctx, addr, pages(count));
}

static void case_page_and_width_make_sense(void)
{
    EXPECT(kiln_is_power_of_two(os->phys_bytes));
    EXPECT(os->addr_bits >= 4 && os->addr_bits <= 64);
    EXPECT((os->parker.wait == NULL) == (os->parker.wake == NULL));
}

static void case_empty_and_impossible_requests_are_refused(void)
{
    bool reserved = true;
    kiln_addr_t base = reserve(1); /* so that not even a machine without anybody else has all */
    uint64_t all = kiln_round_down(kiln_width_mask(os->addr_bits), os->phys_bytes);
    EXPECT_EQ(os->reserve(os->ctx, 0, 0, &reserved), 0);
    EXPECT_EQ(os->reserve(os->ctx, page(0, 3), 0, &reserved), 0);
    EXPECT_EQ(os->direct(os->ctx, 0, KILN_OS_META), 0);
    EXPECT_EQ(os->reserve(os->ctx, 0, all, &reserved), 0);
    EXPECT_EQ(os->reserve(os->ctx, 0, UINT64_MAX, &reserved), 0);
    EXPECT_EQ(os->direct(os->ctx, all, KILN_OS_META), 0);
    EXPECT_EQ(os->direct(os->ctx, UINT64_MAX, KILN_OS_META), 0);
    release(base, 1);
}

static void case_reserved_memory_cannot_be_touched(void)
{
    kiln_addr_t base = reserve(2);
    expect_touch(base, false, false);
    expect_touch(page(base, 1), false, false);
    release(base, 2);
}

static void case_committed_memory_is_zero_and_keeps_what_is_written(void)
{
    kiln_addr_t base = reserve(PAGES);
    for (unsigned i = 0; i < PAGES; i += 2) {
        commit(page(base, i), 1);
        expect_page(page(base, i), 0);
        fill_page(page(base, i), (unsigned char)(i + 1));
    }
    for (unsigned i = 0; i < PAGES; i++) expect_touch(page(base, i), i % 2 == 0, i % 2 == 0);
    for (unsigned i = 1; i < PAGES; i += 2) commit(page(base, i), 1);
    for (unsigned i = 0; i < PAGES; i++)
        expect_page(page(base, i), i % 2 == 0 ? (unsigned char)(i + 1) : 0);
    release(base, PAGES);
}

static void case_discarded_memory_is_zero_again(void)
{
    kiln_addr_t base = reserve(PAGES);
    commit(base, PAGES);
    for (unsigned i = 0; i < PAGES; i++) fill_page(page(base, i), 0xa5);
    os->discard(os->ctx, page(base, 2), pages(3));
    commit(page(base, 3), 1);
    expect_page(page(base, 3), 0);
    fill_page(page(base, 3), 7);
    commit(page(base, 2), 1);
    commit(page(base, 4), 1);
    for (unsigned i = 0; i < PAGES; i++)
        expect_page(page(base, i), i == 3 ? 7 : i >= 2 && i < 5 ? 0 : 0xa5);
    release(base, PAGES);
}

static void case_decommitted_memory_is_reserved_and_zero_again(void)
{
    kiln_addr_t base = reserve(PAGES);
    commit(base, PAGES);
    for (unsigned i = 0; i < PAGES; i++) fill_page(page(base, i), 0xa5);
    os->discard(os->ctx, page(base, 4), pages(2));
    os->decommit(os->ctx, page(base, 3), pages(4)); /* Ready, Prepared and Ready */
    for (unsigned i = 3; i < 7; i++) expect_touch(page(base, i), false, false);
    expect_touch(page(base, 2), true, true);
    expect_touch(page(base, 7), true, true);
    commit(page(base, 3), 4);
    for (unsigned i = 0; i < PAGES; i++) expect_page(page(base, i), i >= 3 && i < 7 ? 0 : 0xa5);
    release(base, PAGES);
}

static void case_protected_memory_keeps_its_bytes(void)
{
    kiln_addr_t base = reserve(3);
    commit(base, 3);
    fill_page(page(base, 1), 0x5a);
    EXPECT(os->protect(os->ctx, page(base, 1), pages(1), KILN_OS_READ_ONLY));
    expect_touch(page(base, 1), true, false);
    EXPECT(os->protect(os->ctx, page(base, 1), pages(1), KILN_OS_NO_ACCESS));
    expect_touch(page(base, 1), false, false);
    expect_touch(base, true, true);
    expect_touch(page(base, 2), true, true);
    EXPECT(os->protect(os->ctx, base, pages(3), KILN_OS_READ_WRITE));
    expect_touch(page(base, 1), true, true);
    expect_page(page(base, 1), 0x5a);
    release(base, 3);
}

static void case_huge_pages_change_no_byte(void)
{
    EXPECT(os->huge_bytes == 0 ||
           (kiln_is_power_of_two(os->huge_bytes) && os->huge_bytes >= os->phys_bytes));
    kiln_addr_t base = reserve(4);
    commit(base, 3);
    fill_page(page(base, 1), 0x5a);
    kiln_os_huge(os, page(base, 1), pages(1), true);
    kiln_os_huge(os, base, pages(3), true);
    kiln_os_huge(os, base, pages(4), false);
    expect_page(page(base, 1), 0x5a);
    expect_touch(base, true, true);
    expect_touch(page(base, 2), true, true);
    expect_touch(page(base, 3), false, false);
    release(base, 4);
}

static void case_protected_memory_that_was_given_up_is_writable_again(void)
{
    kiln_addr_t base = reserve(2);
    commit(base, 2);
    fill_page(base, 1);
    fill_page(page(base, 1), 1);
    EXPECT(os->protect(os->ctx, base, pages(2), KILN_OS_NO_ACCESS));
    os->discard(os->ctx, base, pages(1));
    os->decommit(os->ctx, page(base, 1), pages(1));
    commit(base, 2);
    for (unsigned i = 0; i < 2; i++) {
        expect_touch(page(base, i), true, true);
        expect_page(page(base, i), 0);
        fill_page(page(base, i), 2);
    }
    release(base, 2);
}

/* guard gives true where the backend has guarded pages: every fake, and Linux from 6.13 on. */
static bool guard(kiln_addr_t addr, unsigned count, bool on)
{
    bool done = kiln_os_guard(os, addr, pages(count), on);
    EXPECT(done || backend->form == OS_FORM_LINUX);
    return done;
}

static void case_guarded_memory_faults_and_is_zero_again(void)
{
    kiln_addr_t base = reserve(6);
    commit(base, 6);
    for (unsigned i = 0; i < 6; i++) fill_page(page(base, i), 0xa5);
    if (!guard(page(base, 1), 2, true)) {
        for (unsigned i = 0; i < 6; i++) expect_touch(page(base, i), true, true);
        EXPECT(!kiln_os_guard(os, base, pages(1), false));
        release(base, 6);
        return;
    }
    for (unsigned i = 0; i < 6; i++) {
        expect_touch(page(base, i), i != 1 && i != 2, i != 1 && i != 2);
        if (i != 1 && i != 2) expect_page(page(base, i), 0xa5);
    }
    EXPECT(guard(page(base, 1), 3, true)); /* two of them are so already */
    for (unsigned i = 1; i < 4; i++) expect_touch(page(base, i), false, false);
    EXPECT(guard(page(base, 2), 3, false)); /* one of them is Ready already */
    expect_touch(page(base, 1), false, false);
    for (unsigned i = 2; i < 5; i++) {
        expect_touch(page(base, i), true, true);
        expect_page(page(base, i), i < 4 ? 0 : 0xa5);
    }
    fill_page(page(base, 3), 9);
    os->decommit(os->ctx, base, pages(3)); /* Ready, Guarded, Ready */
    for (unsigned i = 0; i < 3; i++) expect_touch(page(base, i), false, false);
    commit(base, 3);
    for (unsigned i = 0; i < 3; i++) {
        expect_touch(page(base, i), true, true);
        expect_page(page(base, i), 0);
    }
    expect_page(page(base, 3), 9);
    EXPECT(guard(page(base, 4), 2, true));
    release(page(base, 5), 1);
    release(base, 5);
}

static void case_a_refused_guard_leaves_memory_ready(void)
{
    kiln_addr_t base = reserve(2);
    commit(base, 2);
    if (os_backend_refuse_next()) {
        EXPECT(!kiln_os_guard(os, base, pages(1), true));
        expect_touch(base, true, true);
    }
    if (guard(base, 1, true)) {
        if (os_backend_refuse_next()) {
            EXPECT(!kiln_os_guard(os, base, pages(1), false));
            expect_touch(base, false, false);
        }
        EXPECT(guard(base, 1, false));
    }
    fill_page(base, 4);
    expect_page(base, 4);
    release(base, 2);
}

static void case_parts_can_be_released(void)
{
    kiln_addr_t base = reserve(PAGES);
    commit(page(base, 4), 4);
    fill_page(page(base, 7), 9);
    release(page(base, 5), 2); /* from the middle of Ready */
    release(base, 2);          /* from the start */
    release(page(base, PAGES - 1), 1);
    expect_touch(page(base, 5), false, false);
    expect_page(page(base, 7), 9);
    expect_page(page(base, 4), 0);
    release(page(base, 2), 3);
    release(page(base, 7), PAGES - 8);
}

static void case_direct_memory_is_ready(void)
{
    kiln_addr_t addr = os->direct(os->ctx, pages(3), KILN_OS_META);
    EXPECT(addr != 0 && kiln_is_aligned(addr, os->phys_bytes));
    for (unsigned i = 0; i < 3; i++) {
        expect_page(page(addr, i), 0);
        fill_page(page(addr, i), 3);
    }
    os->discard(os->ctx, page(addr, 1), pages(1));
    commit(page(addr, 1), 1);
    expect_page(page(addr, 1), 0);
    expect_page(page(addr, 2), 3);
    os->decommit(os->ctx, addr, pages(1));
    release(addr, 3);
}

/* Nothing is granted twice, and what was released is zero when it comes back. */
static void case_grants_are_disjoint(void)
{
    kiln_addr_t base[BLOCKS] = {0};
    kiln_rng_t rng = {.state = 11};
    for (unsigned turn = 0; turn < 4 * BLOCKS; turn++) {
        unsigned i = (unsigned)kiln_rng_below(&rng, BLOCKS);
        if (base[i] != 0) {
            expect_page(base[i], (unsigned char)(i + 1));
            release(base[i], 2);
            base[i] = 0;
            continue;
        }
        bool reserved = true, direct = turn % 3 == 0;
        kiln_addr_t hint = base[(i + 1) % BLOCKS];
        base[i] = direct ? os->direct(os->ctx, pages(2), KILN_OS_META)
                         : os->reserve(os->ctx, hint, pages(2), &reserved);
        EXPECT(base[i] != 0 && reserved);
        for (unsigned j = 0; j < BLOCKS; j++)
            if (i != j && base[j] != 0)
                EXPECT(base[j] > base[i] ? base[j] - base[i] >= pages(2)
                                         : base[i] - base[j] >= pages(2));
        if (!direct) commit(base[i], 2);
        expect_page(base[i], 0);
        expect_page(page(base[i], 1), 0);
        fill_page(base[i], (unsigned char)(i + 1));
        fill_page(page(base[i], 1), 0xff);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (base[i] != 0) release(base[i], 2);
}

/* Memory that is believed free: taken when it is, ELSEWHERE when it is not, never replaced. */
static void case_unreserved_commit_never_clobbers(void)
{
    kiln_addr_t base = reserve(8);
    release(base, 8);
    EXPECT_EQ(os->commit(os->ctx, base, pages(2), false, KILN_OS_HEAP), KILN_OS_OK);
    expect_page(base, 0);
    expect_page(page(base, 1), 0);
    fill_page(base, 4);
    backend->occupy(page(base, 4), pages(1));
    EXPECT_EQ(os->commit(os->ctx, page(base, 2), pages(4), false, KILN_OS_HEAP), KILN_OS_ELSEWHERE);
    EXPECT(backend->untouched(page(base, 4), pages(1)));
    EXPECT_EQ(os->commit(os->ctx, page(base, 2), pages(2), false, KILN_OS_HEAP), KILN_OS_OK);
    expect_page(base, 4);
    os->decommit(os->ctx, base, pages(4));
    commit(base, 1); /* it is ours now, and reserved */
    expect_page(base, 0);
    backend->vacate(page(base, 4), pages(1));
    release(base, 4);
}

/* The hint is a wish: whether it is free or not, whatever it is, the answer is a good one. */
static void case_hints_of_any_kind_are_taken(void)
{
    uint64_t mask = kiln_width_mask(os->addr_bits);
    kiln_addr_t base = reserve(2);
    const kiln_addr_t hints[] = {
        0,    1,        base,       page(base, 1), base + 1,
        mask, mask - 1, UINT64_MAX, mask / 2,      kiln_round_down(mask, os->phys_bytes)};
    for (unsigned i = 0; i < sizeof hints / sizeof *hints; i++) {
        bool reserved = false;
        kiln_addr_t addr = os->reserve(os->ctx, hints[i], pages(2), &reserved);
        EXPECT(addr != 0 && reserved && kiln_is_aligned(addr, os->phys_bytes));
        EXPECT(addr <= mask && pages(2) - 1 <= mask - addr);
        release(addr, 2);
    }
    release(base, 2);
}

/* Each kind of call is refused once, and the same call right after it is not. */
static void case_a_refused_call_changes_nothing(void)
{
    bool reserved = false;
    kiln_addr_t base = reserve(3);
    commit(base, 1);
    fill_page(base, 6);
    if (os_backend_refuse_next()) {
        EXPECT_EQ(os->commit(os->ctx, page(base, 1), pages(1), true, KILN_OS_HEAP), KILN_OS_FAIL);
        expect_touch(page(base, 1), false, false);
        (void)os_backend_refuse_next();
        EXPECT(!os->protect(os->ctx, base, pages(1), KILN_OS_NO_ACCESS));
        expect_touch(base, true, true);
        (void)os_backend_refuse_next();
        EXPECT_EQ(os->reserve(os->ctx, 0, pages(1), &reserved), 0);
        (void)os_backend_refuse_next();
        EXPECT_EQ(os->direct(os->ctx, pages(1), KILN_OS_META), 0);
    }
    expect_page(base, 6);
    commit(page(base, 1), 1);
    EXPECT(os->protect(os->ctx, base, pages(1), KILN_OS_NO_ACCESS));
    kiln_addr_t direct = os->direct(os->ctx, pages(1), KILN_OS_META);
    EXPECT(direct != 0);
    release(direct, 1);
    release(base, 3);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
#define CASE(name) {#name, case_##name}
    CASE(page_and_width_make_sense),
    CASE(empty_and_impossible_requests_are_refused),
    CASE(reserved_memory_cannot_be_touched),
    CASE(committed_memory_is_zero_and_keeps_what_is_written),
    CASE(discarded_memory_is_zero_again),
    CASE(decommitted_memory_is_reserved_and_zero_again),
    CASE(protected_memory_keeps_its_bytes),
    CASE(huge_pages_change_no_byte),
    CASE(protected_memory_that_was_given_up_is_writable_again),
    CASE(guarded_memory_faults_and_is_zero_again),
    CASE(a_refused_guard_leaves_memory_ready),
    CASE(parts_can_be_released),
    CASE(direct_memory_is_ready),
    CASE(grants_are_disjoint),
    CASE(unreserved_commit_never_clobbers),
    CASE(hints_of_any_kind_are_taken),
    CASE(a_refused_call_changes_nothing),
#undef CASE
};

enum { CASES = sizeof cases / sizeof *cases, NAME_MAX = 160 };

/* Runs the case and backend of kiln_test_name, and looks for leaks afterwards. */
static void run_named(void)
{
    const char *at = strchr(kiln_test_name, '@');
    for (unsigned i = 0; i < CASES; i++) {
        size_t length = strlen(cases[i].name);
        if ((size_t)(at - kiln_test_name) != length ||
            memcmp(cases[i].name, kiln_test_name, length) != 0)
            continue;
        os_backend_open(at + 1);
        cases[i].run();
        EXPECT_RULE(os_backend_broken_rule());
        EXPECT_EQ(os_backend_leaked_bytes(), 0);
        os_backend_close();
        return;
    }
    bool found = false;
    EXPECT(found);
}

int main(int argc, char **argv)
{
    static kiln_test_t tests[CASES * OS_BACKENDS_MAX];
    static char names[CASES * OS_BACKENDS_MAX][NAME_MAX];
    size_t count = 0;
    unsigned backends = os_backends_make();
    for (unsigned b = 0; b < backends; b++)
        for (unsigned i = 0; i < CASES; i++, count++) {
            int length =
                snprintf(names[count], NAME_MAX, "%s@%s", cases[i].name, os_backends[b].name);
            if (length >= NAME_MAX) return 2;
            tests[count] = (kiln_test_t){names[count], run_named};
        }
    return kiln_test_main(argc, argv, tests, count);
}
