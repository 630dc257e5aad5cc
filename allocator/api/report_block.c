#include "allocator/api/report_block.h"

void kiln_report_block_fill(kiln_report_block_t *block, const kiln_harden_about_t *about,
                            bool keeps_who)
{
    block->known = true;
    block->live = about->live;
    block->start = about->block;
    block->bytes = about->asked;
    block->slot_bytes = about->asked == 0 ? 0 : about->slot_bytes; /* a block of 0 bytes is one */
    block->alloc_stack = about->alloc_stack;
    block->free_stack = about->free_stack;
    block->alloc_thread = about->alloc_stack != 0 ? about->alloc_thread : KILN_THREAD_UNKNOWN;
    block->free_thread = about->free_stack != 0 ? about->free_thread : KILN_THREAD_UNKNOWN;
    if (keeps_who)
        block->from = about->family == KILN_FAMILY_ARRAY ? "operator new []"
                      : about->family == KILN_FAMILY_NEW ? "operator new"
                                                         : "malloc";
}

kiln_report_block_t kiln_report_block_of(kiln_heap_t *heap, const kiln_harden_t *hardened,
                                         uintptr_t address)
{
    kiln_heap_about_t about = kiln_heap_about(heap, (const void *)address);
    kiln_report_block_t block = {
        .known = about.heap && about.slot_bytes > 0,
        .live = about.live,
        .start = (uintptr_t)about.block,
        .slot_bytes = about.slot_bytes,
        .alloc_thread = KILN_THREAD_UNKNOWN,
        .free_thread = KILN_THREAD_UNKNOWN,
    };
    kiln_harden_about_t more = {.known = false};
    if (hardened) more = kiln_harden_about(hardened, address);
    if (more.known) kiln_report_block_fill(&block, &more, hardened->keeps_who);
    return block;
}
