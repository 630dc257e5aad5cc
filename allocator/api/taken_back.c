#include "allocator/api/taken_back.h"

static kiln_report_block_t *blocks; /* a ring */
static uint64_t count;              /* that were added, ever */

bool kiln_taken_back_init(const kiln_os_t *os)
{
    if (blocks) return true;
    kiln_addr_t addr = os->direct(os->ctx, KILN_TAKEN_BACK_MAX * sizeof *blocks, KILN_OS_META);
    blocks = (kiln_report_block_t *)(uintptr_t)addr;
    return addr != 0;
}

void kiln_taken_back_add(const kiln_report_block_t *block)
{
    if (blocks) blocks[count++ % KILN_TAKEN_BACK_MAX] = *block;
}

static size_t bytes_of(const kiln_report_block_t *block)
{
    return block->bytes > block->slot_bytes ? block->bytes : block->slot_bytes;
}

bool kiln_taken_back_find(uintptr_t address, kiln_report_block_t *out)
{
    uint64_t oldest = count < KILN_TAKEN_BACK_MAX ? 0 : count - KILN_TAKEN_BACK_MAX;
    for (uint64_t i = count; i-- > oldest;) {
        const kiln_report_block_t *block = &blocks[i % KILN_TAKEN_BACK_MAX];
        if (address - block->start >= bytes_of(block)) continue;
        *out = *block;
        return true;
    }
    return false;
}

bool kiln_taken_back_memory(const void **out_start, size_t *out_bytes)
{
    *out_start = blocks;
    *out_bytes = KILN_TAKEN_BACK_MAX * sizeof *blocks;
    return blocks != NULL;
}
