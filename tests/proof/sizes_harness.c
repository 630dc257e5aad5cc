/* What the heap asks for: for every count, size and alignment it asks for what the product is in
 * numbers of any size, or refuses without asking for anything; and free_sized accepts each size and
 * alignment that a block was asked for with. What lies below is stubs that take notes and give
 * nothing. OP is the function. */
#include "tests/proof/span.h"

#include "tests/proof/product.h"
#include "tests/proof/proof.h"

#include "allocator/heap/heap.c"
#define kiln_large_new really_large_new
#include "allocator/heap/large.c"
#undef kiln_large_new

__extension__ typedef unsigned __int128 wide_t;

static kiln_heap_t heap;

/* Notes: which bytes, and with which alignment, were asked for. */
static unsigned asked;
static size_t asked_bytes, asked_align;

kiln_span_t *kiln_large_new(kiln_page_heap_t *pages, size_t bytes, size_t align)
{
    PROOF_ASSERT(pages == &heap.pages && bytes <= PTRDIFF_MAX,
                 "no block is larger than a difference of pointers");
    PROOF_ASSERT(((wide_t)kiln_large_pages(bytes) << KILN_PAGE_SHIFT) - bytes < KILN_PAGE_BYTES,
                 "the pages are the fewest that hold the block");
    asked++;
    asked_bytes = bytes;
    asked_align = align;
    return NULL;
}

uint32_t kiln_central_take(kiln_central_t *central, kiln_slot_t *out, uint32_t slots_max)
{
    (void)out;
    PROOF_ASSERT(slots_max == 1, "one slot is asked for");
    asked++;
    asked_bytes = kiln_size_classes[central - heap.central].slot_bytes;
    asked_align = KILN_HEAP_ALIGN_MIN;
    return 0;
}

enum { CALLOC, ALIGNED, FREE_SIZED, LARGE };

/* `bytes` were to be asked for, with an alignment of 1 or a power of two. */
static void expect(wide_t bytes, size_t align)
{
    if (bytes == 0) bytes = 1;
    if (bytes > PTRDIFF_MAX) {
        PROOF_ASSERT(asked == 0, "what cannot be is not asked for");
        return;
    }
    PROOF_ASSERT(asked == 1, "what can be is asked for, once");
    if (bytes > KILN_SMALL_MAX || align > KILN_PAGE_BYTES) {
        PROOF_ASSERT(asked_bytes == bytes && asked_align == align, "a large block is as asked for");
    } else {
        PROOF_ASSERT(asked_bytes >= bytes && kiln_is_aligned(asked_bytes, align),
                     "a slot holds the bytes and is a multiple of the alignment");
    }
}

static void prove_calloc(void)
{
    any_product();
    PROOF_ASSERT(!kiln_heap_calloc(&heap, NULL, count, item_bytes), "nothing comes of nothing");
    expect(product_overflows ? (wide_t)SIZE_MAX + 1 : product, 1);
}

static void prove_aligned(void)
{
    size_t align = (size_t)nondet_uint64(), bytes = (size_t)nondet_uint64();
    PROOF_ASSERT(!kiln_heap_aligned(&heap, NULL, align, bytes), "nothing comes of nothing");
    if (kiln_is_power_of_two(align))
        expect(bytes, align);
    else
        PROOF_ASSERT(asked == 0, "only powers of two are alignments");
}

/* A block that was given for an alignment (0: malloc) and a size. */
static void prove_free_sized(void)
{
    static kiln_span_t span;
    size_t align = (size_t)nondet_uint64(), bytes = (size_t)nondet_uint64();
    PROOF_ASSUME((align == 0 || kiln_is_power_of_two(align)) && bytes <= PTRDIFF_MAX);
    size_t least = bytes == 0 ? 1 : bytes;
    uintptr_t addr = (uintptr_t)nondet_uint64();
    PROOF_ASSUME(align == 0 || kiln_is_aligned(addr, align));

    span.class_idx = (uint8_t)class_for(align, bytes);
    span.slots_bytes = (size_t)kiln_large_pages(least) << KILN_PAGE_SHIFT;
    found_t found = {.span = &span, .was = KILN_SLOT_LIVE};
    PROOF_ASSERT(misuse_of_size(&heap, &found, addr, align, bytes) == KILN_MISUSE_NONE,
                 "the size that a block was asked for with is accepted");

    size_t other = (size_t)nondet_uint64();
    found.was = KILN_SLOT_KEPT;
    PROOF_ASSERT((misuse_of_size(&heap, &found, addr, align, other) == KILN_MISUSE_NONE) ==
                     (other <= kiln_span_slot_bytes(&span)),
                 "a block that a realloc kept may have any size that it holds");
    found.was = KILN_SLOT_LIVE;
    if (misuse_of_size(&heap, &found, addr, align, other) == KILN_MISUSE_NONE) {
        PROOF_ASSERT(class_for(align, other) == span.class_idx,
                     "a size of another class is refused");
        PROOF_ASSERT(other <= kiln_span_slot_bytes(&span),
                     "a size that the block does not hold is refused");
    }
    size_t wrong = (size_t)nondet_uint64();
    if (wrong != 0 && (!kiln_is_power_of_two(wrong) || !kiln_is_aligned(addr, wrong)))
        PROOF_ASSERT(misuse_of_size(&heap, &found, addr, wrong, bytes) == KILN_MISUSE_ALIGNMENT,
                     "an alignment that the block does not have is refused");
}

/* ---- large blocks ---- */

static uint64_t pages_asked;
static bool pages_given;

kiln_span_t *kiln_page_heap_large(kiln_page_heap_t *pages, uint64_t count_of_pages, uint64_t align)
{
    PROOF_ASSERT(pages == &heap.pages && align == asked_align, "with the alignment asked for");
    asked++;
    pages_asked = count_of_pages;
    return NULL;
}

bool kiln_page_heap_resize(kiln_page_heap_t *pages, kiln_span_t *span, uint64_t count_of_pages)
{
    PROOF_ASSERT(pages == &heap.pages, "of this heap");
    asked++;
    pages_asked = count_of_pages;
    pages_given = nondet_bool();
    if (pages_given) span->slots_bytes = (size_t)count_of_pages << KILN_PAGE_SHIFT;
    return pages_given;
}

/* A new one, and one that is resized: of the fewest pages, where a quarter of them would be idle.
 */
static void prove_large(void)
{
    static kiln_span_t span;
    size_t bytes = (size_t)nondet_uint64(), has = (size_t)any_multiple(KILN_PAGE_BYTES);
    PROOF_ASSUME(bytes > 0 && bytes <= PTRDIFF_MAX && has > 0);
    asked_align = (size_t)nondet_uint64();
    if (nondet_bool()) {
        PROOF_ASSERT(!really_large_new(&heap.pages, bytes, asked_align), "nothing of nothing");
        PROOF_ASSERT(asked == 1, "a large block is asked for once");
    } else {
        span.slots_bytes = has;
        bool done = kiln_large_resize(&heap.pages, &span, bytes);
        size_t now = kiln_span_slot_bytes(&span);
        PROOF_ASSERT(!done || now >= bytes, "a block that is resized holds the bytes");
        PROOF_ASSERT(done || (bytes > has && now == has),
                     "only to grow can be refused, and changes nothing");
        PROOF_ASSERT(done == (bytes <= has || pages_given), "what was given is taken");
        bool idle = asked == 0 || pages_given;
        PROOF_ASSERT(!done || !idle || now - bytes < now / KILN_LARGE_SLACK + KILN_PAGE_BYTES,
                     "no more than a quarter, and less than a page, is idle");
    }
    if (asked > 0)
        PROOF_ASSERT(((wide_t)pages_asked << KILN_PAGE_SHIFT) - bytes < KILN_PAGE_BYTES,
                     "the pages asked for are the fewest that hold it");
}

void harness(void)
{
    if (OP == CALLOC) prove_calloc();
    if (OP == ALIGNED) prove_aligned();
    if (OP == FREE_SIZED) prove_free_sized();
    if (OP == LARGE) prove_large();
}
