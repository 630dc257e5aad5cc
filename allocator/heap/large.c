#include "allocator/heap/large.h"

kiln_span_t *kiln_large_new(kiln_page_heap_t *pages, size_t bytes, size_t align)
{
    return kiln_page_heap_large(pages, kiln_large_pages(bytes), align);
}

bool kiln_large_resize(kiln_page_heap_t *pages, kiln_span_t *span, size_t bytes)
{
    uint64_t wanted = kiln_large_pages(bytes);
    uint64_t has = kiln_span_slot_bytes(span) >> KILN_PAGE_SHIFT;
    if (wanted > has) return kiln_page_heap_resize(pages, span, wanted);
    if (has - wanted > has / KILN_LARGE_SLACK) (void)kiln_page_heap_resize(pages, span, wanted);
    return true;
}
