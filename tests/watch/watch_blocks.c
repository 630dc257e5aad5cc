/* Cases of watch_program: bounds, lives and values of blocks. */
#include "tests/watch/watch_program.h"

#include <stdlib.h>
#include <string.h>

/* --- bounds ---------------------------------------------------------------------------------- */

static void write_past_20(void)
{
    char *block = take(20);
    block[20 + past] = 1;
}

/* Of a size that slots have, beside others of it. */
static void write_past_full(size_t bytes)
{
    char *blocks[9];
    for (unsigned i = 0; i < 9; i++) blocks[i] = take(bytes);
    blocks[4][bytes + past] = 1;
}

static void write_past_64(void)
{
    write_past_full(64);
}

static void write_past_4096(void)
{
    write_past_full(4096);
}

static void read_past_100000(void)
{
    char *block = take(100000);
    memset(block, 0, 100000);
    use(&block[100000 + past]);
}

static void write_before(void)
{
    (void)take(40);
    char *block = take(40);
    block[-1 - (int)past] = 1;
}

static void write_past_aligned(void)
{
    char *block = kiln_heap_aligned(&heap, NULL, 64, 65);
    block[65 + past] = 1;
}

static void read_what_a_realloc_cut(void)
{
    char *block = take(100);
    memset(block, 0, 100);
    block = resize(block, 40);
    use(&block[40 + past]);
}

static void every_byte_of_every_size(void)
{
    for (size_t bytes = 1; bytes < 300; bytes++) {
        char *block = take(bytes);
        memset(block, 'a', bytes);
        block = resize(block, bytes + bytes % 7);
        memset(block, 'b', bytes + bytes % 7);
        if (bytes % 3 == 0) give(block);
    }
    for (size_t bytes = 1; bytes < (1 << 22); bytes *= 3) {
        char *block = kiln_heap_calloc(&heap, NULL, 1, bytes);
        use(&block[bytes - 1]);
        block[bytes - 1] = 1;
        give(block);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

static void read_after_free(void)
{
    char *block = take(50);
    memset(block, 0, 50);
    give(block);
    use(&block[10]);
}

static void write_after_free_large(void)
{
    char *block = take(1 << 20);
    memset(block, 0, 1 << 20);
    give(block);
    block[4096] = 1;
}

static void read_what_a_realloc_left(void)
{
    char *block = take(50);
    memset(block, 0, 50);
    (void)resize(block, 60);
    use(&block[10]);
}

static void read_after_a_reset(void)
{
    char *block = take(50);
    memset(block, 0, 50);
    (void)take(100000);
    kiln_heap_reset(&heap);
    use(&block[10]);
}

static void write_after_a_reset_large(void)
{
    char *block = take(1 << 20);
    memset(block, 0, 1 << 20);
    kiln_heap_reset(&heap);
    block[4096] = 1;
}

static void a_heap_that_is_reset(void)
{
    for (unsigned i = 0; i < 20; i++) {
        for (size_t bytes = 1; bytes < 300000; bytes *= 3) memset(take(bytes), 0, bytes);
        kiln_heap_reset(&heap);
    }
}

/* A place that has another owner by now: with a tag in it, its earlier address is another one. */
static void a_stale_address_frees_nothing(void)
{
    const size_t bytes = 1 << 20;
    char *first = take(bytes), *again;
    give(first);
    do {
        again = take(bytes);
        uintptr_t apart = (uintptr_t)again ^ (uintptr_t)first;
        if ((apart & UINT32_MAX) == 0) break; /* in the same GiB, which is all that there is */
        give(again);
    } while (true);
    kiln_misuse_t misuse = kiln_heap_free(&heap, NULL, first);
    if (misuse != (first == again ? KILN_MISUSE_NONE : KILN_MISUSE_DOUBLE_FREE)) exit(2);
    if (first != again) give(again);
}

static void a_place_used_again(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        char *block = take(1 + i % 200);
        memset(block, 0, 1 + i % 200);
        give(block);
    }
}

/* --- values ---------------------------------------------------------------------------------- */

static void use_what_nobody_wrote(void)
{
    use(take(30) + 7);
}

/* Memory of the heap's that was no block yet. */
static void use_what_is_no_block(void)
{
    use(take(40) + 65536);
}

static void use_what_an_earlier_owner_wrote(void)
{
    for (unsigned i = 0; i < 100; i++) {
        char *block = take(3000);
        memset(block, 0, 3000);
        give(block);
    }
    use(take(3000) + 2000);
}

static void use_what_a_realloc_added(void)
{
    char *block = take(10);
    memset(block, 0, 10);
    use(resize(block, 5000) + 50);
}

static void use_what_was_not_written_before_a_realloc(void)
{
    char *block = take(100);
    memset(block, 0, 50);
    use(resize(block, 5000) + 70);
}

static void use_what_a_realloc_added_in_its_old_place(void)
{
    char *block = take(33);
    memset(block, 0, 33);
    use(resize(block, 200) + 42);
}

static void use_what_the_heap_answers(void)
{
    char *block = take(100);
    kiln_misuse_t misuse;
    size_t usable = kiln_heap_usable(&heap, block, &misuse);
    kiln_heap_about_t about = kiln_heap_about(&heap, block + 5);
    kiln_heap_stats_t stats = kiln_heap_stats(&heap);
    if (misuse != KILN_MISUSE_NONE || usable < 100 || !about.live || stats.live_bytes < 100)
        exit(2);
    if (kiln_heap_free(&heap, NULL, block + 1) != KILN_MISUSE_INTERIOR) exit(2);
}

static void use_what_a_realloc_kept(void)
{
    char *block = take(100);
    memset(block, 0, 100);
    block = resize(block, 200000);
    use(&block[99]);
    block = resize(block, 30);
    use(&block[29]);
}

static void use_what_calloc_cleared(void)
{
    for (size_t i = 0; i < 100; i++) {
        char *block = kiln_heap_calloc(&heap, NULL, 10, 1 + 100 * i);
        for (size_t at = 0; at < 10 * (1 + 100 * i); at++) use(&block[at]);
        memset(block, 1, 10 * (1 + 100 * i));
        give(block);
    }
}

const deed_t block_deeds[] = {
    DEED(write_past_20),
    DEED(write_past_64),
    DEED(write_past_4096),
    DEED(read_past_100000),
    DEED(write_before),
    DEED(write_past_aligned),
    DEED(read_what_a_realloc_cut),
    DEED(every_byte_of_every_size),
    DEED(read_after_free),
    DEED(write_after_free_large),
    DEED(read_what_a_realloc_left),
    DEED(read_after_a_reset),
    DEED(write_after_a_reset_large),
    DEED(a_heap_that_is_reset),
    DEED(a_stale_address_frees_nothing),
    DEED(a_place_used_again),
    DEED(use_what_nobody_wrote),
    DEED(use_what_is_no_block),
    DEED(use_what_an_earlier_owner_wrote),
    DEED(use_what_a_realloc_added),
    DEED(use_what_was_not_written_before_a_realloc),
    DEED(use_what_a_realloc_added_in_its_old_place),
    DEED(use_what_the_heap_answers),
    DEED(use_what_a_realloc_kept),
    DEED(use_what_calloc_cleared),
    {NULL, NULL},
};
