#include "allocator/heap/watched_quarantine.h"

#define RING_BYTES ((uint64_t)KILN_WATCHED_QUARANTINE_MAX * sizeof(kiln_waiting_t))

void kiln_watched_quarantine_init(kiln_watched_quarantine_t *quarantine, const kiln_os_t *os,
                                  uint64_t bytes_max)
{
    *quarantine = (kiln_watched_quarantine_t){.os = os, .bytes_max = bytes_max};
}

void kiln_watched_quarantine_destroy(kiln_watched_quarantine_t *quarantine)
{
    const kiln_os_t *os = quarantine->os;
    if (quarantine->ring) os->release(os->ctx, (uintptr_t)quarantine->ring, RING_BYTES);
    quarantine->ring = NULL;
}

bool kiln_watched_quarantine_put(kiln_watched_quarantine_t *quarantine, kiln_waiting_t block)
{
    const kiln_os_t *os = quarantine->os;
    bool taken = false;
    size_t bytes = kiln_span_slot_bytes(block.span);
    if (bytes > quarantine->bytes_max) return false;
    kiln_lock_acquire(&quarantine->lock, &os->parker);
    if (!quarantine->ring)
        quarantine->ring =
            (kiln_waiting_t *)(uintptr_t)os->direct(os->ctx, RING_BYTES, KILN_OS_META);
    if (quarantine->ring && quarantine->count < KILN_WATCHED_QUARANTINE_MAX) {
        uint32_t idx = (quarantine->first + quarantine->count++) % KILN_WATCHED_QUARANTINE_MAX;
        quarantine->ring[idx] = block;
        quarantine->bytes += bytes;
        taken = true;
    }
    kiln_lock_release(&quarantine->lock, &os->parker);
    return taken;
}

bool kiln_watched_quarantine_next(kiln_watched_quarantine_t *quarantine, bool all,
                                  kiln_waiting_t *out)
{
    const kiln_os_t *os = quarantine->os;
    if (quarantine->bytes_max == 0) return false;
    kiln_lock_acquire(&quarantine->lock, &os->parker);
    bool full = quarantine->count >= KILN_WATCHED_QUARANTINE_MAX - 1;
    bool over = full || quarantine->bytes > quarantine->bytes_max;
    bool goes = quarantine->count > 0 && (all || over);
    if (goes) {
        *out = quarantine->ring[quarantine->first];
        quarantine->first = (quarantine->first + 1) % KILN_WATCHED_QUARANTINE_MAX;
        quarantine->count--;
        quarantine->bytes -= kiln_span_slot_bytes(out->span);
    }
    kiln_lock_release(&quarantine->lock, &os->parker);
    return goes;
}

uint64_t kiln_watched_quarantine_bytes(kiln_watched_quarantine_t *quarantine)
{
    kiln_lock_acquire(&quarantine->lock, &quarantine->os->parker);
    uint64_t bytes = quarantine->bytes;
    kiln_lock_release(&quarantine->lock, &quarantine->os->parker);
    return bytes;
}
