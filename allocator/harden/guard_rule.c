/* The laws of a guard: one walk over all chunks and slots, whose sums must be those that are kept.
 */
#include "allocator/harden/guard.h"

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* What a walk over everything adds up to. */
typedef struct sums {
    uint64_t live_blocks, live_bytes, live_pages;
    uint32_t reserved, used, dead, committed, cuts, heads_used, heads_dead;
} sums_t;

static const char *slot_rule(const kiln_guard_space_t *space, const kiln_guard_book_t *book,
                             uint32_t head, uint32_t idx, sums_t *sums)
{
    const kiln_guard_slot_t *slot = &book->slots[idx];
    uint64_t first = LOAD(slot->first_page), end = first + LOAD(slot->pages);
    uint64_t previous = idx > 0 ? book->slots[idx - 1].first_page + book->slots[idx - 1].pages : 0;
    bool live = book->live_bits[idx / 64] >> idx % 64 & 1;
    if (first < previous + space->config.gap_pages) return "guard: a gap lies in front of a block";
    if (end > (uint64_t)space->chunks[head].run_chunks * KILN_GUARD_CHUNK_PAGES)
        return "guard: a slot lies in its chunk";
    if (live != (LOAD(slot->state) == KILN_GUARD_SLOT_LIVE))
        return "guard: the bit of a slot says whether it is live";
    uintptr_t data = kiln_guard_chunk_start(space, head) + (uintptr_t)(first << space->page_shift);
    uintptr_t data_end = data + (uintptr_t)((end - first) << space->page_shift);
    if (LOAD(slot->state) != KILN_GUARD_SLOT_NONE &&
        (LOAD(slot->start) < data || LOAD(slot->bytes) > data_end - LOAD(slot->start)))
        return "guard: a block lies in its pages";
    if (space->chunks[head].run_chunks == 1)
        for (uint64_t page = previous; page < end; page++)
            if (LOAD(book->slot_of_page[page]) != idx + 1) return "guard: a page knows its slot";
    if (!live) return NULL;
    sums->live_blocks++;
    sums->live_bytes += LOAD(slot->bytes);
    if (LOAD(slot->bytes) != 0) sums->live_pages += end - first;
    return NULL;
}

static const char *head_rule(const kiln_guard_space_t *space, uint32_t head, sums_t *sums)
{
    const kiln_guard_chunk_t *chunk = &space->chunks[head];
    const kiln_guard_book_t *book = kiln_guard_book_of(space, head);
    uint64_t live_before = sums->live_blocks;
    if (chunk->run_chunks == 0 || chunk->run_chunks > space->chunks_count - head)
        return "guard: a run lies in the region";
    for (uint32_t i = 1; i < chunk->run_chunks; i++) {
        const kiln_guard_chunk_t *inner = &space->chunks[head + i];
        if (LOAD(inner->back) != i || inner->state != chunk->state || LOAD(inner->book) ||
            inner->committed != chunk->committed)
            return "guard: the chunks of a run are alike and know its head";
    }
    if (!book && chunk->state == KILN_GUARD_CHUNK_USED) return "guard: a used chunk has a book";
    uint32_t count = book ? LOAD(book->slots_count) : 0;
    if (count > KILN_GUARD_SLOTS_MAX || (chunk->run_chunks > 1 && count > 1))
        return "guard: a chunk has no more slots than its book";
    for (uint32_t i = 0; i < count; i++) {
        const char *rule = slot_rule(space, book, head, i, sums);
        if (rule) return rule;
    }
    if (sums->live_blocks - live_before != chunk->live_slots)
        return "guard: a chunk knows how many of its slots are live";
    if (chunk->state == KILN_GUARD_CHUNK_DEAD && chunk->live_slots != 0)
        return "guard: nothing in a dead chunk is live";
    if (chunk->state == KILN_GUARD_CHUNK_USED && chunk->live_slots == 0 && !chunk->open)
        return "guard: a chunk without live blocks is open or dead";
    sums->cuts += chunk->cuts;
    if (chunk->state == KILN_GUARD_CHUNK_USED)
        sums->heads_used++;
    else
        sums->heads_dead++;
    return NULL;
}

static const char *chunk_rule(const kiln_guard_space_t *space, uint32_t idx, sums_t *sums)
{
    const kiln_guard_chunk_t *chunk = &space->chunks[idx];
    bool before = idx > 0 && space->chunks[idx - 1].committed;
    if (before != chunk->committed) sums->cuts++;
    if (idx + 1 == space->chunks_count && chunk->committed) sums->cuts++;
    if (chunk->committed) sums->committed++;
    if (chunk->state == KILN_GUARD_CHUNK_RESERVED) {
        sums->reserved++;
        if (chunk->committed || LOAD(chunk->book) || chunk->cuts != 0)
            return "guard: a reserved chunk holds nothing";
        return NULL;
    }
    if (chunk->state == KILN_GUARD_CHUNK_USED)
        sums->used++;
    else
        sums->dead++;
    if (chunk->committed && space->mechanism == KILN_GUARD_MAPPINGS)
        return "guard: with mappings no chunk is committed whole";
    if (LOAD(chunk->back) != 0) return NULL;
    return head_rule(space, idx, sums);
}

/* list_rule counts the heads of a list, which are in the state. */
static const char *list_rule(const kiln_guard_space_t *space, const kiln_guard_list_t *list,
                             kiln_guard_chunk_state_t state, uint32_t heads)
{
    uint32_t previous = KILN_GUARD_NO_CHUNK, count = 0;
    for (uint32_t head = list->first; head != KILN_GUARD_NO_CHUNK;
         previous = head, head = space->chunks[head].next) {
        if (head >= space->chunks_count || space->chunks[head].prev != previous ||
            space->chunks[head].state != state || ++count > heads)
            return "guard: a list of chunks is linked both ways and has those of its state";
    }
    if (count != heads || list->last != previous)
        return "guard: a list of chunks has all those of its state";
    return NULL;
}

static const char *walk_rule(const kiln_guard_space_t *space, sums_t *sums)
{
    for (uint32_t i = 0; i < space->chunks_count; i++) {
        const char *rule = chunk_rule(space, i, sums);
        if (rule) return rule;
    }
    if (sums->reserved != space->reserved_chunks || sums->used != space->used_chunks ||
        sums->dead != space->dead_chunks || sums->committed != space->committed_chunks)
        return "guard: the chunks of each state are counted";
    if (sums->cuts != space->cuts) return "guard: cuts are counted";
    if (kiln_guard_mappings(space->cuts) > space->config.mappings_max + space->forced_cuts)
        return "guard: there are no more mappings than allowed";
    const char *rule = list_rule(space, &space->used, KILN_GUARD_CHUNK_USED, sums->heads_used);
    if (!rule) rule = list_rule(space, &space->dead, KILN_GUARD_CHUNK_DEAD, sums->heads_dead);
    return rule;
}

const char *kiln_guard_broken_rule(const kiln_guard_t *guard)
{
    sums_t sums = {.used = 0};
    const char *rule = NULL;
    if (LOAD(guard->space.bytes) != 0) rule = walk_rule(&guard->space, &sums);
    if (rule) return rule;
    if (sums.live_blocks != guard->live_blocks || sums.live_bytes != guard->live_bytes ||
        sums.live_pages != guard->live_pages)
        return "guard: live blocks are counted";
    return NULL;
}
