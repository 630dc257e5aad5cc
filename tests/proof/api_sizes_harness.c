/* What the malloc family asks the heap for: for every count, size and alignment, reallocarray and
 * the aligned allocations ask for what the request is in numbers of any size, or refuse with the
 * right errno without asking for anything. The heap is stubs that take notes and give nothing. */
#define malloc kiln_malloc /* the model checker has functions of these names */
#define calloc kiln_calloc
#define realloc kiln_realloc
#define free kiln_free
#define posix_memalign kiln_posix_memalign
#define aligned_alloc kiln_aligned_alloc
#define memalign kiln_memalign
#define valloc kiln_valloc
#define pvalloc kiln_pvalloc
#define reallocarray kiln_reallocarray
#define _GNU_SOURCE
#include "tests/proof/product.h"
#include "tests/proof/proof.h"

#include "allocator/api/stack.h"

#undef KILN_CALLER /* a register that the model has not */
#define KILN_CALLER() ((uintptr_t)nondet_uint64())

#include "allocator/api/malloc.c"

__extension__ typedef unsigned __int128 wide_t;

_Thread_local kiln_thread_t kiln_thread;
kiln_heap_t kiln_process_heap;

/* Notes. */
static unsigned asked, freed;
static size_t asked_bytes, asked_align, page_bytes;

static void *note(size_t bytes, size_t align)
{
    asked++;
    asked_bytes = bytes;
    asked_align = align;
    return NULL;
}

void *kiln_process_malloc_slow(size_t bytes, kiln_site_t site)
{
    (void)site;
    return note(bytes, 1);
}

void *kiln_process_malloc_slowest(size_t bytes, kiln_site_t site)
{
    (void)site;
    return note(bytes, 1);
}

void *kiln_process_aligned(size_t align, size_t bytes, kiln_site_t site)
{
    (void)site;
    PROOF_ASSERT(kiln_is_power_of_two(align), "the heap is asked for powers of two");
    return note(bytes, align);
}

void kiln_process_free_slow(void *block, kiln_site_t site)
{
    (void)block, (void)site;
    freed++;
}

kiln_visit_t kiln_process_enter_slow(void)
{
    return (kiln_visit_t){&kiln_process_heap, NULL};
}

void kiln_process_leave_slow(void)
{
}

void *kiln_process_realloc_slow(void *block, size_t bytes, kiln_site_t site,
                                kiln_misuse_t *out_misuse)
{
    (void)block, (void)site;
    *out_misuse = KILN_MISUSE_NONE;
    return note(bytes, 1);
}

void kiln_report_misuse(kiln_misuse_t misuse, const char *call, uintptr_t caller, const void *block,
                        size_t align, size_t bytes)
{
    (void)misuse, (void)call, (void)caller, (void)block, (void)align, (void)bytes;
    PROOF_ASSERT(0, "nothing is reported");
}

kiln_report_options_t kiln_report_options;

void kiln_report_refused(kiln_report_kind_t kind, const char *call, uintptr_t caller, size_t align,
                         size_t bytes)
{
    (void)kind, (void)call, (void)caller, (void)align, (void)bytes;
    PROOF_ASSERT(!kiln_report_options.may_return_null, "a refusal is told of where that is wanted");
}

unsigned long getauxval(unsigned long type)
{
    PROOF_ASSERT(type == AT_PAGESZ, "the hardware page is asked for");
    return page_bytes;
}

static void prove_reallocarray(void)
{
    char block;
    any_product();
    bool fresh = nondet_bool();
    errno = 0;
    void *answer = reallocarray(fresh ? NULL : &block, count, item_bytes);
    PROOF_ASSERT(!answer, "nothing comes of nothing");
    if (product_overflows) {
        PROOF_ASSERT(asked == 0 && freed == 0 && errno == ENOMEM,
                     "a product that wraps is refused");
    } else if (product == 0 && !fresh) {
        PROOF_ASSERT(asked == 0 && freed == 1 && errno == 0, "no bytes free the block");
    } else {
        PROOF_ASSERT(asked == 1 && freed == 0 && asked_bytes == product,
                     "the product is asked for");
        PROOF_ASSERT(errno == ENOMEM, "no memory is ENOMEM");
    }
}

static void prove_aligned_alloc(void)
{
    size_t align = (size_t)nondet_uint64(), bytes = (size_t)nondet_uint64();
    errno = 0;
    void *answer = nondet_bool() ? aligned_alloc(align, bytes) : memalign(align, bytes);
    PROOF_ASSERT(!answer, "nothing comes of nothing");
    if (!kiln_is_power_of_two(align)) {
        PROOF_ASSERT(asked == 0 && errno == EINVAL, "what is no power of two is EINVAL");
    } else {
        PROOF_ASSERT(asked == 1 && asked_bytes == bytes && asked_align == align && errno == ENOMEM,
                     "an aligned block is asked for as it is");
    }
}

static void prove_posix_memalign(void)
{
    size_t align = (size_t)nondet_uint64(), bytes = (size_t)nondet_uint64();
    void *untouched = &align, *block = untouched;
    errno = 0;
    int error = posix_memalign(&block, align, bytes);
    PROOF_ASSERT(block == untouched && errno == 0, "a failure writes neither block nor errno");
    if (!kiln_is_power_of_two(align) || align % sizeof(void *) != 0) {
        PROOF_ASSERT(error == EINVAL && asked == 0, "posix_memalign wants pointers' multiples");
    } else {
        PROOF_ASSERT(error == ENOMEM && asked == 1 && asked_bytes == bytes && asked_align == align,
                     "an aligned block is asked for as it is");
    }
}

/* valloc, and pvalloc: whole hardware pages, at least one. */
static void prove_pages(void)
{
    size_t bytes = (size_t)nondet_uint64();
    bool whole = nondet_bool();
    errno = 0;
    void *answer = whole ? pvalloc(bytes) : valloc(bytes);
    PROOF_ASSERT(!answer && errno == ENOMEM, "no memory is ENOMEM");
    if (!whole) {
        PROOF_ASSERT(asked == 1 && asked_bytes == bytes && asked_align == page_bytes,
                     "valloc asks for the bytes, on a hardware page");
        return;
    }
    wide_t right =
        bytes == 0 ? page_bytes : ((wide_t)bytes + page_bytes - 1) / page_bytes * page_bytes;
    if (bytes > PTRDIFF_MAX) {
        PROOF_ASSERT(asked == 0, "what cannot be is not asked for");
    } else {
        PROOF_ASSERT(asked == 1 && asked_bytes == right && asked_align == page_bytes,
                     "pvalloc asks for whole hardware pages");
    }
}

void harness(void)
{
    page_bytes = PAGE_BYTES;
    kiln_report_options.may_return_null = nondet_bool();
    unsigned which = nondet_below(4);
    if (which == 0) prove_reallocarray();
    if (which == 1) prove_aligned_alloc();
    if (which == 2) prove_posix_memalign();
    if (which == 3) prove_pages();
}
