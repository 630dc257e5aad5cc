/* What is known of an address: from the address to its chunk, to its slot, to the nearer block.
 *
 * Nothing here takes the lock, so everything that is read is atomic, and an index that was read is
 * compared with its bound before it is used: a chunk may become another's while we look. */
#include "allocator/harden/guard_space.h"

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)

static uint32_t chunk_at(const kiln_guard_space_t *space, uintptr_t address)
{
    return (uint32_t)((address - LOAD(space->start)) / kiln_guard_chunk_bytes(space));
}

static uint32_t head_of(const kiln_guard_space_t *space, uint32_t idx)
{
    uint32_t back = LOAD(space->chunks[idx].back);
    return back <= idx ? idx - back : idx;
}

static uint32_t slots_in(const kiln_guard_book_t *book)
{
    uint32_t count = atomic_load_explicit(&book->slots_count, memory_order_acquire);
    return count <= KILN_GUARD_SLOTS_MAX ? count : KILN_GUARD_SLOTS_MAX;
}

/* Pages of a run behind its first chunk are its one slot's. 0: the page has no slot. */
static uint32_t slot_number(const kiln_guard_space_t *space, const kiln_guard_book_t *book,
                            uint32_t head, uintptr_t address)
{
    uint64_t page = (address - kiln_guard_chunk_start(space, head)) >> space->page_shift;
    uint32_t count = slots_in(book);
    uint32_t number = 1;
    if (page < KILN_GUARD_CHUNK_PAGES && LOAD(book->slot_of_page[page]) != 0)
        number = LOAD(book->slot_of_page[page]);
    else if (space->chunks[head].run_chunks <= 1)
        number = 0;
    return number <= count ? number : 0;
}

static const kiln_guard_slot_t *last_slot(const kiln_guard_space_t *space, uint32_t idx)
{
    if (idx >= space->chunks_count) return NULL;
    const kiln_guard_book_t *book = kiln_guard_book_of(space, head_of(space, idx));
    uint32_t count = book ? slots_in(book) : 0;
    return count > 0 ? &book->slots[count - 1] : NULL;
}

static const kiln_guard_slot_t *first_slot(const kiln_guard_space_t *space, uint32_t idx)
{
    if (idx >= space->chunks_count) return NULL;
    const kiln_guard_book_t *book = kiln_guard_book_of(space, idx);
    return book && slots_in(book) > 0 ? &book->slots[0] : NULL;
}

bool kiln_guard_space_find(const kiln_guard_space_t *space, uintptr_t address,
                           kiln_guard_place_t *out)
{
    if (!kiln_guard_space_has(space, address)) return false;
    uint32_t head = head_of(space, chunk_at(space, address));
    kiln_guard_book_t *book = kiln_guard_book_of(space, head);
    uint32_t number = book ? slot_number(space, book, head, address) : 0;
    if (number == 0) return false;
    kiln_guard_slot_t *slot = &book->slots[number - 1];
    uint64_t data = (uint64_t)LOAD(slot->first_page) << space->page_shift;
    *out = (kiln_guard_place_t){head, slot, kiln_guard_chunk_start(space, head) + (uintptr_t)data};
    return true;
}

bool kiln_guard_space_had_blocks(const kiln_guard_space_t *space, uintptr_t address)
{
    return kiln_guard_space_has(space, address) &&
           LOAD(space->chunks[chunk_at(space, address)].had_blocks);
}

void kiln_guard_slot_about(const kiln_guard_slot_t *slot, uintptr_t address,
                           kiln_guard_about_t *out)
{
    uint8_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
    *out = (kiln_guard_about_t){
        .known = state != KILN_GUARD_SLOT_NONE,
        .live = state == KILN_GUARD_SLOT_LIVE,
        .where = KILN_GUARD_INSIDE,
        .block = LOAD(slot->start),
        .bytes = LOAD(slot->bytes),
        .alloc_stack = LOAD(slot->alloc_stack),
        .alloc_thread = LOAD(slot->alloc_thread),
        .free_stack = LOAD(slot->free_stack),
        .free_thread = LOAD(slot->free_thread),
    };
    if (address < out->block) {
        out->where = KILN_GUARD_BELOW;
        out->distance_bytes = out->block - address;
    } else if (address - out->block >= out->bytes) {
        out->where = KILN_GUARD_ABOVE;
        out->distance_bytes = address - out->block - out->bytes;
    }
}

/* The slot around the address and its neighbour on the other side of the gap; either may be NULL.
 * `upper` is the one whose gap or data the address is in. */
static void neighbours(const kiln_guard_space_t *space, uintptr_t address,
                       const kiln_guard_slot_t **out_lower, const kiln_guard_slot_t **out_upper)
{
    uint32_t idx = chunk_at(space, address), head = head_of(space, idx);
    const kiln_guard_book_t *book = kiln_guard_book_of(space, head);
    uint32_t number = book ? slot_number(space, book, head, address) : 0;
    if (number > 0) {
        *out_upper = &book->slots[number - 1];
        *out_lower = number > 1 ? &book->slots[number - 2] : last_slot(space, head - 1);
        return;
    }
    /* Behind the last slot of a chunk, or in a chunk that has none. Where blocks were that nobody
     * remembers, the access was most likely to one of those: only the first gap is anybody else's,
     * the block's that ends in front of it. */
    bool has_slots = book && slots_in(book) > 0;
    bool forgotten = !has_slots && LOAD(space->chunks[idx].had_blocks);
    uint64_t page = (address - kiln_guard_chunk_start(space, idx)) >> space->page_shift;
    if (has_slots)
        *out_lower = last_slot(space, idx);
    else if (!forgotten || page < space->config.gap_pages)
        *out_lower = last_slot(space, idx - 1);
    if (!forgotten) *out_upper = first_slot(space, idx + 1);
}

void kiln_guard_space_about(const kiln_guard_space_t *space, uintptr_t address, bool overflow,
                            kiln_guard_about_t *out)
{
    const kiln_guard_slot_t *lower = NULL, *upper = NULL;
    kiln_guard_about_t below = {.known = false}; /* of the lower block */
    *out = below;
    neighbours(space, address, &lower, &upper);
    if (upper) kiln_guard_slot_about(upper, address, out);
    if (out->known && out->where != KILN_GUARD_BELOW) return;
    /* Not sooner: what is read of the neighbour stays on this stack, and may hide that it leaked.
     */
    if (lower) kiln_guard_slot_about(lower, address, &below);
    bool forgotten = kiln_guard_space_had_blocks(space, address);

    if (below.known && below.where == KILN_GUARD_ABOVE) {
        /* The first byte behind a block is as near to it as the last byte before one. */
        size_t from_lower = below.distance_bytes + 1;
        if (!out->known || from_lower < out->distance_bytes ||
            (overflow && from_lower == out->distance_bytes))
            *out = below;
    }
    if (!out->known) *out = (kiln_guard_about_t){.forgotten = forgotten};
}
