#include "allocator/harden/quarantine.h"

uint32_t kiln_quarantine_places(const kiln_quarantine_bounds_t *bounds, uint32_t class_idx)
{
    if (class_idx == KILN_CLASS_LARGE) return 0;
    uint32_t places = bounds->bytes_max / kiln_size_classes[class_idx].slot_bytes;
    if (places == 0 && bounds->bytes_max > 0) places = 1;
    return places < bounds->blocks_max ? places : bounds->blocks_max;
}

size_t kiln_quarantine_bytes(const kiln_quarantine_bounds_t *bounds)
{
    size_t places = 0;
    for (uint32_t i = 0; i < KILN_SIZE_CLASSES; i++) places += kiln_quarantine_places(bounds, i);
    return places * sizeof(kiln_slot_t);
}

void kiln_quarantine_init(kiln_quarantine_ring_t *ring, kiln_slot_t *places, uint32_t count)
{
    *ring = (kiln_quarantine_ring_t){count > 0 ? places : NULL, places, places + count};
}

static const char *broken_place_rule(const kiln_slot_t *slot, const kiln_heap_t *heap,
                                     uint32_t class_idx)
{
    uintptr_t addr = (uintptr_t)slot->block;
    const kiln_span_t *span = kiln_page_map_find(&heap->map, addr);
    if (!span || span->kind != KILN_SPAN_SMALL || span->class_idx != class_idx)
        return "a slot in quarantine is of its class";
    uint32_t slot_idx = kiln_span_slot_at(span, addr - kiln_span_base(span));
    if (slot_idx == UINT32_MAX || slot->state != &span->states[slot_idx])
        return "a place of a quarantine names a slot and its state";
    if (*slot->state != KILN_SLOT_QUARANTINED || !kiln_span_is_out(span, slot_idx))
        return "a slot in quarantine is QUARANTINED and out";
    return NULL;
}

const char *kiln_quarantine_broken_rule(const kiln_quarantine_ring_t *ring, const kiln_heap_t *heap,
                                        uint32_t class_idx)
{
    if (ring->next && (ring->next < ring->places || ring->next >= ring->end))
        return "the oldest place of a quarantine is one of its places";
    for (const kiln_slot_t *place = ring->places; place < ring->end; place++) {
        if (!place->block) continue;
        const char *rule = broken_place_rule(place, heap, class_idx);
        if (rule) return rule;
        for (const kiln_slot_t *other = ring->places; other < place; other++)
            if (other->block == place->block) return "a slot is in quarantine once";
    }
    return NULL;
}
