/* What the arena's side tables cost on Linux: nothing for address space that is only reserved, and
 * at most 1.7 % of what is heap, for small blocks, for large ones, and for 64 GiB of them. */
#define _GNU_SOURCE
#include "allocator/heap/heap.h"
#include "allocator/os/linux.h"
#include "tests/kiln_test.h"

#include <sys/mman.h>

enum { PHYS_BYTES = 4096, PERMILLE_MAX = 17, LARGE_BLOCKS = 64 };

static kiln_os_t os;
static kiln_heap_t heap;

static void open_heap(uint64_t addr_max)
{
    kiln_os_linux_init(&os, PHYS_BYTES);
    kiln_heap_config_t config = {
        .os = &os,
        .arena_os = &os,
        .arena = kiln_arena_config_default(64, PHYS_BYTES),
        .idle_bytes_max = UINT64_MAX,
    };
    config.arena.follow = KILN_FOLLOW_KILN;
    config.arena.tables = 1u << KILN_ARENA_SPANS;
    if (addr_max != 0) config.arena.addr_max = addr_max;
    memset(&heap, 0, sizeof heap);
    EXPECT_RULE(kiln_heap_init(&heap, &config));
}

/* Of [addr, addr+bytes), whole pages. */
static uint64_t resident_bytes(uintptr_t addr, uint64_t bytes)
{
    static unsigned char in[1 << 16];
    uint64_t pages = 0;
    while (bytes > 0) {
        uint64_t step = bytes < sizeof in * (uint64_t)PHYS_BYTES ? bytes : sizeof in * PHYS_BYTES;
        EXPECT(mincore((void *)addr, (size_t)step, in) == 0);
        for (uint64_t i = 0; i < step / PHYS_BYTES; i++) pages += in[i] & 1;
        addr += (uintptr_t)step;
        bytes -= step;
    }
    return pages * PHYS_BYTES;
}

/* The span table, and the bits that say which of its pages are there. */
static uint64_t tables_bytes(void)
{
    const kiln_arena_table_t *table = &heap.arena.tables[KILN_ARENA_SPANS];
    return resident_bytes((uintptr_t)table->base, table->bytes_max) +
           resident_bytes((uintptr_t)heap.present, heap.present_bytes);
}

static bool is_small_share(uint64_t bytes, uint64_t arena_bytes, uint64_t fixed_bytes)
{
    return bytes <= fixed_bytes + arena_bytes / 1000 * PERMILLE_MAX;
}

/* Negative control: pages that are touched are seen, and a share that is too large. */
static void test_the_measure_sees_what_is_touched(void)
{
    enum { PAGES = 256, BYTES = PAGES * PHYS_BYTES };
    char *pages = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(pages != MAP_FAILED);
    (void)madvise(pages, BYTES, MADV_NOHUGEPAGE);
    EXPECT_EQ(resident_bytes((uintptr_t)pages, BYTES), 0);
    for (size_t i = 0; i < PAGES; i += 2) pages[i * PHYS_BYTES] = 1;
    EXPECT_EQ(resident_bytes((uintptr_t)pages, BYTES), BYTES / 2);
    (void)munmap(pages, BYTES);
    EXPECT(is_small_share(17000, 1000000, 0) && !is_small_share(17001, 1000000, 0));
    EXPECT(is_small_share(17001, 1000000, 1));
}

static void expect_share(const char *what, uint64_t fixed_bytes)
{
    uint64_t bytes = tables_bytes(), arena_bytes = kiln_heap_stats(&heap).arena_bytes;
    printf("%s: heap %llu KiB, tables %llu KiB, %.3f %%\n", what,
           (unsigned long long)arena_bytes / 1024, (unsigned long long)bytes / 1024,
           arena_bytes ? 100.0 * (double)bytes / (double)arena_bytes : 0.0);
    EXPECT(is_small_share(bytes, arena_bytes, fixed_bytes));
}

static void test_reserved_space_costs_nothing(void)
{
    for (unsigned small = 0; small < 2; small++) { /* 512 GiB, and 64 */
        open_heap(small ? KILN_GIB(64) - 1 : 0);
        expect_share(small ? "64 GiB reserved" : "512 GiB reserved", PHYS_BYTES);
        void *block = kiln_heap_malloc(&heap, NULL, 1);
        EXPECT(block != NULL);
        expect_share("one block", 2 * (uint64_t)PHYS_BYTES);
        kiln_heap_destroy(&heap);
    }
}

static void test_small_blocks_cost_a_small_share(void)
{
    static const size_t sizes[] = {16, 100, 1000, 30000};
    open_heap(KILN_GIB(64) - 1);
    kiln_thread_cache_t *cache = kiln_heap_attach(&heap);
    EXPECT(cache != NULL);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint64_t bytes = 0; bytes < KILN_MIB(64); bytes += sizes[i])
            EXPECT(kiln_heap_malloc(&heap, cache, sizes[i]) != NULL);
    expect_share("256 MiB of small blocks", 0);
    kiln_heap_destroy(&heap);
}

/* The blocks are not touched: they cost what the heap knows of them. */
static void test_64_gib_cost_their_tables_alone(void)
{
    open_heap(KILN_GIB(128) - 1);
    for (unsigned i = 0; i < LARGE_BLOCKS; i++) {
        EXPECT(kiln_heap_malloc(&heap, NULL, KILN_GIB(1)) != NULL);
        EXPECT(i != 0 || tables_bytes() < KILN_MIB(2)); /* not for what is not heap yet */
    }
    EXPECT(kiln_heap_stats(&heap).arena_bytes >= KILN_GIB(64));
    expect_share("64 GiB in use", 0);
    EXPECT(kiln_heap_stats(&heap).meta_bytes < KILN_MIB(1));
    kiln_heap_destroy(&heap);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_the_measure_sees_what_is_touched),
        KILN_TEST(test_reserved_space_costs_nothing),
        KILN_TEST(test_small_blocks_cost_a_small_share),
        KILN_TEST(test_64_gib_cost_their_tables_alone),
    };
    if (sizeof(void *) < 8) {
        puts("32 bits: the table is 2 MiB of address space in all; nothing is measured");
        return 0;
    }
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
