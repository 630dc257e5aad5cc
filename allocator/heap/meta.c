#include "allocator/heap/meta.h"

struct kiln_meta_chunk {
    kiln_meta_chunk_t *older;
    uint64_t bytes;
};

void kiln_meta_init(kiln_meta_t *meta, const kiln_os_t *os)
{
    *meta = (kiln_meta_t){.os = os};
}

/* Chunks grow with the heap: an eighth of what there is, from 64 KiB to 1 MiB. */
static uint64_t chunk_bytes(const kiln_meta_t *meta, size_t bytes)
{
    uint64_t want = kiln_round_down(meta->bytes / 8, KILN_KIB(64));
    if (want < KILN_KIB(64)) want = KILN_KIB(64);
    if (want > KILN_MIB(1)) want = KILN_MIB(1);
    if (want < bytes + KILN_META_ALIGN) want = bytes + KILN_META_ALIGN;
    return kiln_round_up(want, meta->os->phys_bytes);
}

static bool add_chunk(kiln_meta_t *meta, size_t bytes)
{
    if (!meta->os) return false;
    uint64_t size = chunk_bytes(meta, bytes);
    kiln_addr_t addr = meta->os->direct(meta->os->ctx, size, KILN_OS_META);
    if (addr == 0) return false;
    kiln_meta_chunk_t *chunk = (kiln_meta_chunk_t *)(uintptr_t)addr;
    chunk->older = meta->chunks;
    chunk->bytes = size;
    meta->chunks = chunk;
    meta->next = (uintptr_t)addr + KILN_META_ALIGN;
    meta->end = (uintptr_t)addr + (uintptr_t)size;
    meta->bytes += size;
    return true;
}

void kiln_meta_lend(kiln_meta_t *meta, uintptr_t start, size_t bytes)
{
    meta->next = start;
    meta->end = start + bytes;
    meta->bytes += bytes;
}

void *kiln_meta_take(kiln_meta_t *meta, size_t bytes)
{
    bytes = (size_t)kiln_round_up(bytes, KILN_META_ALIGN);
    if (meta->end - meta->next < bytes && !add_chunk(meta, bytes)) return NULL;
    void *record = (void *)meta->next;
    meta->next += bytes;
    return record;
}

const kiln_meta_chunk_t *kiln_meta_older(const kiln_meta_t *meta, const kiln_meta_chunk_t *chunk,
                                         uintptr_t *out_start, uintptr_t *out_end)
{
    const kiln_meta_chunk_t *older = chunk ? chunk->older : meta->chunks;
    if (!older) return NULL;
    *out_start = (uintptr_t)older;
    *out_end = (uintptr_t)older + (uintptr_t)older->bytes;
    return older;
}

void kiln_meta_destroy(kiln_meta_t *meta)
{
    while (meta->chunks) {
        kiln_meta_chunk_t *chunk = meta->chunks;
        meta->chunks = chunk->older;
        meta->os->release(meta->os->ctx, (kiln_addr_t)(uintptr_t)chunk, chunk->bytes);
    }
    kiln_meta_init(meta, meta->os);
}
