/* What a hardened heap asks for: a byte more than the program wants, so that a canary has room, for
 * every count, size and alignment, or nothing where that is no size. What lies below is stubs that
 * take notes and give nothing. OP is the function. */
#include "tests/proof/product.h"
#include "tests/proof/proof.h"

#include "allocator/api/process_calls.c"
#include "allocator/harden/harden.c"
#define give give_large
#define begin begin_large
#include "allocator/harden/harden_large.c"

__extension__ typedef unsigned __int128 wide_t;

static kiln_os_t os;
static kiln_heap_t heap;
static kiln_harden_t harden = {.heap = &heap};
static const kiln_site_t site = {"proof", 0};

_Thread_local kiln_thread_t kiln_thread;
kiln_heap_t kiln_process_heap;
kiln_harden_t *kiln_process_hardened = &harden;

/* Notes: of the first call, and how many there were. */
static unsigned asked;
static size_t asked_bytes, asked_align;

static void note(size_t bytes, size_t align)
{
    if (asked++ > 0) return;
    asked_bytes = bytes;
    asked_align = align;
}

kiln_span_t *kiln_large_new(kiln_page_heap_t *pages, size_t bytes, size_t align)
{
    PROOF_ASSERT(pages == &heap.pages && bytes <= PTRDIFF_MAX,
                 "no block is larger than a difference of pointers");
    note(bytes, align);
    return NULL;
}

uint32_t kiln_central_take(kiln_central_t *central, kiln_slot_t *out, uint32_t slots_max)
{
    (void)out;
    PROOF_ASSERT(slots_max == 1, "one slot is asked for");
    note(kiln_size_classes[central - heap.central].slot_bytes, KILN_HEAP_ALIGN_MIN);
    return 0;
}

enum { MALLOC, CALLOC, ALIGNED, MOVE };

/* What lies behind a large block: a byte for the canary, and a page that faults, where there are.
 */
static bool no_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    (void)ctx, (void)addr, (void)bytes, (void)on; /* never called: there are no blocks */
    return false;
}

static size_t tail(void)
{
    return 1 + (os.guard ? (size_t)os.phys_bytes : 0);
}

/* `bytes` are wanted, with an alignment of 1 or a power of two. */
static void expect(wide_t bytes, size_t align)
{
    bool is_large = bytes >= KILN_SMALL_MAX || align > KILN_PAGE_BYTES;
    if (bytes + (is_large ? tail() : 1) > PTRDIFF_MAX) {
        PROOF_ASSERT(asked == 0, "what cannot be is not asked for");
        return;
    }
    PROOF_ASSERT(asked == 1, "what can be is asked for, once");
    PROOF_ASSERT(asked_bytes > bytes, "there is room for a canary");
    if (is_large)
        PROOF_ASSERT(asked_bytes == bytes + tail() && asked_align == align,
                     "a large block is a byte more than was asked for, and a page that faults");
    else
        PROOF_ASSERT(kiln_is_aligned(asked_bytes, align), "a slot is a multiple of the alignment");
}

/* A block that there can be is to be replaced: it may get more room, or just enough. */
static void prove_move(size_t bytes)
{
    PROOF_ASSUME(bytes <= PTRDIFF_MAX - tail());
    bool grows_large = nondet_bool();
    PROOF_ASSERT(!take_to_move(&harden, NULL, grows_large, bytes, site),
                 "nothing comes of nothing");
    PROOF_ASSERT(asked >= 1 && asked <= 2 && asked_bytes > bytes, "there is room for a canary");
}

void harness(void)
{
    size_t bytes = (size_t)nondet_uint64();
    heap.config.os = &os;
    os.phys_bytes = KILN_KIB(4);
    if (nondet_bool()) os.guard = no_guard;
    if (OP == MALLOC) {
        PROOF_ASSERT(!kiln_harden_malloc(&harden, NULL, bytes, nondet_bool(), site),
                     "nothing comes of nothing");
        expect(bytes, 1);
    }
    if (OP == CALLOC) {
        any_product();
        PROOF_ASSERT(!hardened_calloc(count, item_bytes, site), "nothing comes of nothing");
        expect(product_overflows ? (wide_t)SIZE_MAX + 1 : product, 1);
    }
    if (OP == ALIGNED) {
        size_t align = (size_t)nondet_uint64();
        PROOF_ASSERT(!kiln_harden_aligned(&harden, NULL, align, bytes, site),
                     "nothing comes of nothing");
        if (kiln_is_power_of_two(align))
            expect(bytes, align);
        else
            PROOF_ASSERT(asked == 0, "only powers of two are alignments");
    }
    if (OP == MOVE) prove_move(bytes);
}
