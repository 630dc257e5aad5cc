/* Slots: cut from an open chunk, or a run of chunks for one. */
#include "allocator/base/check.h"
#include "allocator/harden/guard_space.h"

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

enum { GAP_PAGES_MAX = 16, MAPPINGS_MIN = 16 };

const char *kiln_guard_space_config_broken_rule(const kiln_guard_space_config_t *config)
{
    if (config->mechanism > KILN_GUARD_MAPPINGS) return "guard: the mechanism is one of those";
    if (config->gap_pages == 0 || config->gap_pages > GAP_PAGES_MAX)
        return "guard: a gap is 1 to 16 pages";
    if (config->freed_chunks_max == 0) return "guard: at least one dead chunk is kept";
    if (config->mappings_max < MAPPINGS_MIN) return "guard: at least 16 mappings are allowed";
    if (config->region_bytes > UINTPTR_MAX / 2) return "guard: the region fits the address space";
    return NULL;
}

/* --- the pages of a slot --- */

static kiln_addr_t data_of(const kiln_guard_space_t *space, uint32_t head,
                           const kiln_guard_slot_t *slot)
{
    return kiln_guard_chunk_start(space, head) +
           ((uint64_t)LOAD(slot->first_page) << space->page_shift);
}

static bool open_pages(kiln_guard_space_t *space, uint32_t head, const kiln_guard_slot_t *slot)
{
    const kiln_os_t *os = space->os;
    kiln_guard_chunk_t *chunk = &space->chunks[head];
    uint64_t bytes = (uint64_t)LOAD(slot->pages) << space->page_shift;
    if (space->mechanism == KILN_GUARD_PAGES)
        return !chunk->open || kiln_os_guard(os, data_of(space, head, slot), bytes, false);
    if (os->commit(os->ctx, data_of(space, head, slot), bytes, true, KILN_OS_HEAP) != KILN_OS_OK)
        return false;
    space->cuts += 2;
    chunk->cuts += 2;
    return true;
}

/* The pages fault from here on, whatever the OS refuses: what can be refused comes first. */
static void close_pages(kiln_guard_space_t *space, uint32_t head, kiln_guard_slot_t *slot)
{
    const kiln_os_t *os = space->os;
    kiln_guard_chunk_t *chunk = &space->chunks[head];
    uint64_t bytes = (uint64_t)LOAD(slot->pages) << space->page_shift;
    if (space->mechanism == KILN_GUARD_PAGES) {
        if (chunk->run_chunks > 1 && kiln_guard_chunk_decommit(space, head)) return;
        if (kiln_os_guard(os, data_of(space, head, slot), bytes, true)) return;
        slot->hole = true; /* the program has locked its memory in */
        space->forced_cuts += 2;
        space->cuts += 2;
        chunk->cuts += 2;
    } else {
        space->cuts -= 2;
        chunk->cuts -= 2;
    }
    os->decommit(os->ctx, data_of(space, head, slot), bytes);
}

/* --- taking --- */

/* Where a slot's first data page is when the pages from `page` on are free. */
static uint64_t first_data_page(const kiln_guard_space_t *space, uint64_t page,
                                uint64_t align_bytes)
{
    uint64_t align_pages = align_bytes >> space->page_shift;
    return kiln_round_up(page + space->config.gap_pages, align_pages != 0 ? align_pages : 1);
}

static kiln_guard_slot_t *write_slot(kiln_guard_space_t *space, uint32_t head, uint64_t first_page,
                                     uint64_t pages, size_t bytes)
{
    kiln_guard_book_t *book = kiln_guard_book_of(space, head);
    kiln_guard_slot_t *slot = &book->slots[LOAD(book->slots_count)];
    STORE(slot->state, KILN_GUARD_SLOT_NONE);
    STORE(slot->start, 0);
    STORE(slot->bytes, bytes);
    STORE(slot->first_page, (uint32_t)first_page);
    STORE(slot->pages, (uint32_t)pages);
    STORE(slot->alloc_stack, 0);
    STORE(slot->alloc_thread, 0);
    STORE(slot->free_stack, 0);
    STORE(slot->free_thread, 0);
    slot->hole = false;
    return slot;
}

/* room_for gives the open chunk that has room for the slot, opening one when it has to. */
static uint32_t room_for(kiln_guard_space_t *space, uint64_t pages, uint64_t align_bytes)
{
    unsigned kind = pages <= KILN_GUARD_SMALL_PAGES_MAX ? 0 : 1;
    uint32_t head = space->cursor[kind];
    if (head != KILN_GUARD_NO_CHUNK) {
        uint64_t first = first_data_page(space, space->cursor_page[kind], align_bytes);
        if (first + pages <= KILN_GUARD_CHUNK_PAGES) return head;
        space->cursor[kind] = KILN_GUARD_NO_CHUNK;
        kiln_guard_chunk_close(space, head);
    }
    head = kiln_guard_chunk_open(space);
    space->cursor[kind] = head;
    space->cursor_page[kind] = 0;
    return head;
}

static bool take_from_chunk(kiln_guard_space_t *space, uint64_t pages, size_t bytes,
                            uint64_t align_bytes, kiln_guard_place_t *out)
{
    uint32_t head = room_for(space, pages, align_bytes);
    if (head == KILN_GUARD_NO_CHUNK) return false;
    uint32_t *cursor_page = &space->cursor_page[pages <= KILN_GUARD_SMALL_PAGES_MAX ? 0 : 1];
    uint64_t first = first_data_page(space, *cursor_page, align_bytes);
    kiln_guard_slot_t *slot = write_slot(space, head, first, pages, bytes);
    if (bytes != 0 && !open_pages(space, head, slot)) return false;

    kiln_guard_book_t *book = kiln_guard_book_of(space, head);
    uint32_t idx = LOAD(book->slots_count);
    KILN_ASSERT(idx < KILN_GUARD_SLOTS_MAX);
    for (uint64_t page = *cursor_page; page < first + pages; page++)
        STORE(book->slot_of_page[page], (uint16_t)(idx + 1));
    atomic_store_explicit(&book->slots_count, idx + 1, memory_order_release);
    *cursor_page = (uint32_t)(first + pages);
    *out = (kiln_guard_place_t){head, slot, (uintptr_t)data_of(space, head, slot)};
    return true;
}

static bool take_run(kiln_guard_space_t *space, uint64_t pages, size_t bytes, uint64_t align_bytes,
                     kiln_guard_place_t *out)
{
    uint64_t first = first_data_page(space, 0, align_bytes);
    uint64_t chunks = (first + pages + KILN_GUARD_CHUNK_PAGES - 1) / KILN_GUARD_CHUNK_PAGES;
    if (chunks > space->chunks_count) return false;
    uint32_t head = kiln_guard_chunk_open_run(space, (uint32_t)chunks, first, pages);
    if (head == KILN_GUARD_NO_CHUNK) return false;
    kiln_guard_slot_t *slot = write_slot(space, head, first, pages, bytes);
    if (!open_pages(space, head, slot)) {
        kiln_guard_chunk_close(space, head); /* a run without blocks: dead, and soon retired */
        return false;
    }
    kiln_guard_book_t *book = kiln_guard_book_of(space, head);
    atomic_store_explicit(&book->slots_count, 1, memory_order_release);
    *out = (kiln_guard_place_t){head, slot, (uintptr_t)data_of(space, head, slot)};
    return true;
}

bool kiln_guard_space_take(kiln_guard_space_t *space, size_t bytes, uint64_t align_bytes,
                           kiln_guard_place_t *out)
{
    if (!kiln_guard_space_start(space)) return false;
    if (space->mechanism == KILN_GUARD_MAPPINGS && bytes != 0 &&
        kiln_guard_mappings(space->cuts + 2) > space->config.mappings_max)
        return false;
    uint64_t page_bytes = UINT64_C(1) << space->page_shift;
    uint64_t pages = bytes != 0 ? (bytes - 1) / page_bytes + 1 : 1;
    if (pages > (uint64_t)space->chunks_count * KILN_GUARD_CHUNK_PAGES) return false;
    if (first_data_page(space, 0, align_bytes) + pages <= KILN_GUARD_CHUNK_PAGES)
        return take_from_chunk(space, pages, bytes, align_bytes, out);
    return take_run(space, pages, bytes, align_bytes, out);
}

/* --- live, and not --- */

static uint32_t idx_of(const kiln_guard_book_t *book, const kiln_guard_slot_t *slot)
{
    return (uint32_t)(slot - book->slots);
}

void kiln_guard_space_live(kiln_guard_space_t *space, const kiln_guard_place_t *place)
{
    kiln_guard_book_t *book = kiln_guard_book_of(space, place->head);
    uint32_t idx = idx_of(book, place->slot);
    book->live_bits[idx / 64] |= UINT64_C(1) << idx % 64;
    space->chunks[place->head].live_slots++;
    atomic_store_explicit(&place->slot->state, KILN_GUARD_SLOT_LIVE, memory_order_release);
}

void kiln_guard_space_give(kiln_guard_space_t *space, const kiln_guard_place_t *place)
{
    kiln_guard_book_t *book = kiln_guard_book_of(space, place->head);
    kiln_guard_chunk_t *chunk = &space->chunks[place->head];
    uint32_t idx = idx_of(book, place->slot);
    if (LOAD(place->slot->bytes) != 0) close_pages(space, place->head, place->slot);
    book->live_bits[idx / 64] &= ~(UINT64_C(1) << idx % 64);
    atomic_store_explicit(&place->slot->state, KILN_GUARD_SLOT_FREED, memory_order_release);
    if (--chunk->live_slots == 0 && !chunk->open) kiln_guard_chunk_bury(space, place->head);
}
