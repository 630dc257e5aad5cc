/* Side tables by themselves: what a failure takes back, and where a table ends for its readers. */
#include "tests/unit/arena_script.h"

static _Atomic uint64_t bits[1];

/* A span table: a hardware page of it stands for 4 MiB of heap. */
static kiln_arena_table_t span_table(bool with_bits)
{
    memset(&script, 0, sizeof script);
    bits[0] = 0;
    return (kiln_arena_table_t){
        .used = true,
        .use = KILN_OS_SPANS,
        .base = 0x40000000,
        .heap_bytes = KILN_KIB(8),
        .entry_bytes = 8,
        .round_bytes = 1,
        .phys_bytes = KILN_KIB(4),
        .bytes_max = KILN_KIB(64),
        .present = with_bits ? bits : NULL,
    };
}

/* The second page is there, so an add of four maps two runs. The second run is refused: the first
 * goes back, by decommit where the table was reserved and by release where it was not. */
static void test_a_refused_add_takes_its_first_run_back(void)
{
    for (unsigned reserved = 0; reserved < 2; reserved++) {
        kiln_arena_table_t table = span_table(true);
        EXPECT_EQ(kiln_arena_table_add(&table, &script_os, KILN_MIB(4), KILN_MIB(4), reserved),
                  KILN_OS_OK);
        kiln_arena_table_show(&table, KILN_MIB(4), KILN_MIB(4));
        EXPECT_EQ(table.mapped_bytes, KILN_KIB(4));
        script.commit_fail_first = 3;
        EXPECT_EQ(kiln_arena_table_add(&table, &script_os, 0, KILN_MIB(16), reserved),
                  KILN_OS_FAIL);
        EXPECT_EQ(count_calls(CALL_DECOMMIT), reserved);
        EXPECT_EQ(count_calls(CALL_RELEASE), !reserved);
        const call_t *back = nth_call(reserved ? CALL_DECOMMIT : CALL_RELEASE, 0);
        EXPECT_EQ(back->addr, table.base);
        EXPECT_EQ(back->bytes, KILN_KIB(4));
        EXPECT_EQ(table.mapped_bytes, KILN_KIB(4));
        EXPECT(kiln_arena_table_has(&table, KILN_MIB(4)));
        EXPECT(!kiln_arena_table_has(&table, 0) && !kiln_arena_table_has(&table, KILN_MIB(8)));
    }
}

static void test_readers_stop_where_the_table_does(void)
{
    kiln_arena_table_t table = span_table(false);
    EXPECT(!kiln_arena_table_has(&table, 0));
    EXPECT_EQ(kiln_arena_table_extend(&table, &script_os, KILN_MIB(4), true), KILN_OS_OK);
    EXPECT(kiln_arena_table_has(&table, KILN_MIB(4) - 1));
    EXPECT(!kiln_arena_table_has(&table, KILN_MIB(4)));
    script.commit_fail_first = 2;
    EXPECT_EQ(kiln_arena_table_extend(&table, &script_os, KILN_MIB(8), true), KILN_OS_FAIL);
    EXPECT(!kiln_arena_table_has(&table, KILN_MIB(4)));
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_refused_add_takes_its_first_run_back),
        KILN_TEST(test_readers_stop_where_the_table_does),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
