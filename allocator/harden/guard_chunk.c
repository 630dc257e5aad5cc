/* Chunks: where they come from, and where they go when their blocks are freed. */
#include "allocator/base/check.h"
#include "allocator/harden/guard_space.h"

enum {
    CHUNKS_MIN = 4, /* of a region */
    CHUNKS_MAX = 1 << 30,
    BOOKS_AT_ONCE = 16, /* committed together */
    START_WAIT = 1024,
};

static kiln_guard_chunk_t *chunk_of(const kiln_guard_space_t *space, uint32_t idx)
{
    KILN_ASSERT(idx < space->chunks_count);
    return &space->chunks[idx];
}

/* --- lists of heads --- */

static void push_last(kiln_guard_space_t *space, kiln_guard_list_t *list, uint32_t head)
{
    kiln_guard_chunk_t *chunk = chunk_of(space, head);
    chunk->prev = list->last;
    chunk->next = KILN_GUARD_NO_CHUNK;
    if (list->last != KILN_GUARD_NO_CHUNK)
        space->chunks[list->last].next = head;
    else
        list->first = head;
    list->last = head;
}

static void push_first(kiln_guard_space_t *space, kiln_guard_list_t *list, uint32_t head)
{
    kiln_guard_chunk_t *chunk = chunk_of(space, head);
    chunk->prev = KILN_GUARD_NO_CHUNK;
    chunk->next = list->first;
    if (list->first != KILN_GUARD_NO_CHUNK)
        space->chunks[list->first].prev = head;
    else
        list->last = head;
    list->first = head;
}

static void take_out(kiln_guard_space_t *space, kiln_guard_list_t *list, uint32_t head)
{
    const kiln_guard_chunk_t *chunk = chunk_of(space, head);
    if (chunk->prev != KILN_GUARD_NO_CHUNK)
        space->chunks[chunk->prev].next = chunk->next;
    else
        list->first = chunk->next;
    if (chunk->next != KILN_GUARD_NO_CHUNK)
        space->chunks[chunk->next].prev = chunk->prev;
    else
        list->last = chunk->prev;
}

/* --- the region --- */

void kiln_guard_space_init(kiln_guard_space_t *space, const kiln_os_t *os,
                           const kiln_guard_space_config_t *config)
{
    const kiln_guard_list_t empty = {KILN_GUARD_NO_CHUNK, KILN_GUARD_NO_CHUNK};
    *space = (kiln_guard_space_t){
        .os = os,
        .config = *config,
        .mechanism = config->mechanism,
        .page_shift = (uint32_t)__builtin_ctzll(os->phys_bytes),
        .used = empty,
        .dead = empty,
        .cursor = {KILN_GUARD_NO_CHUNK, KILN_GUARD_NO_CHUNK},
    };
}

static void release(kiln_guard_space_t *space)
{
    const kiln_os_t *os = space->os;
    if (space->region != 0) os->release(os->ctx, space->region, space->region_reserved_bytes);
    if (space->meta != 0) os->release(os->ctx, space->meta, space->meta_reserved_bytes);
    space->region = space->meta = 0;
}

void kiln_guard_space_destroy(kiln_guard_space_t *space)
{
    release(space);
    kiln_guard_space_init(space, space->os, &space->config);
}

/* A reservation that is only believed free is of no use: its pages may become somebody else's. */
static kiln_addr_t reserve(const kiln_os_t *os, uint64_t bytes)
{
    bool reserved = false;
    kiln_addr_t addr = os->reserve(os->ctx, 0, bytes, &reserved);
    if (addr == 0 || reserved) return addr;
    os->release(os->ctx, addr, bytes);
    return 0;
}

/* One chunk more than is used pays for rounding the start up, and keeps at least a page behind the
 * last chunk. Where the wish is refused, the program will want of what there is, too. */
static bool reserve_region(kiln_guard_space_t *space)
{
    const uint64_t chunk_bytes = kiln_guard_chunk_bytes(space);
    const uint64_t least_bytes = CHUNKS_MIN * chunk_bytes;
    const uint64_t most_bytes = CHUNKS_MAX * chunk_bytes;
    const uint64_t want_bytes = space->config.region_bytes;
    const uint64_t first_wish =
        kiln_round_down(want_bytes < most_bytes ? want_bytes : most_bytes, chunk_bytes);
    uint64_t wish = first_wish;
    kiln_addr_t addr = 0;
    for (; wish >= least_bytes; wish = kiln_round_down(wish / 2, chunk_bytes)) {
        addr = reserve(space->os, wish + chunk_bytes);
        if (addr != 0) break;
    }
    if (addr != 0 && wish < first_wish) {
        space->os->release(space->os->ctx, addr, wish + chunk_bytes);
        wish = kiln_round_down(wish / 4, chunk_bytes);
        addr = wish >= least_bytes ? reserve(space->os, wish + chunk_bytes) : 0;
    }
    if (addr == 0) return false;
    space->region = addr;
    space->region_reserved_bytes = wish + chunk_bytes;
    space->chunks_count = (uint32_t)(wish / chunk_bytes);
    return true;
}

/* Entries first, then room for a book for each. */
static bool reserve_meta(kiln_guard_space_t *space)
{
    const kiln_os_t *os = space->os;
    uint64_t count = space->chunks_count;
    uint64_t entries = kiln_round_up(count * sizeof(kiln_guard_chunk_t), os->phys_bytes);
    uint64_t books = kiln_round_up(count * sizeof(kiln_guard_book_t), os->phys_bytes);
    space->meta_reserved_bytes = entries + books;
    space->meta = reserve(os, entries + books);
    if (space->meta == 0) return false;
    if (os->commit(os->ctx, space->meta, entries, true, KILN_OS_META) != KILN_OS_OK) return false;
    space->chunks = (kiln_guard_chunk_t *)(uintptr_t)space->meta;
    space->books = space->books_end = (uintptr_t)(space->meta + entries);
    space->meta_ready_bytes = entries;
    return true;
}

/* Has this kernel guard pages? It is asked for one. False: there is no memory to ask with. */
static bool choose_mechanism(kiln_guard_space_t *space, kiln_addr_t page)
{
    const kiln_os_t *os = space->os;
    if (space->mechanism != KILN_GUARD_CHOOSE) return true;
    if (os->commit(os->ctx, page, os->phys_bytes, true, KILN_OS_HEAP) != KILN_OS_OK) return false;
    bool has = kiln_os_guard(os, page, os->phys_bytes, true);
    os->decommit(os->ctx, page, os->phys_bytes);
    space->mechanism = has ? KILN_GUARD_PAGES : KILN_GUARD_MAPPINGS;
    return true;
}

bool kiln_guard_space_start(kiln_guard_space_t *space)
{
    if (atomic_load_explicit(&space->bytes, memory_order_relaxed) != 0) return true;
    if (space->start_wait > 0) {
        space->start_wait--;
        return false;
    }
    kiln_addr_t start = 0;
    bool good = reserve_region(space) && reserve_meta(space);
    if (good) {
        start = kiln_round_up(space->region, kiln_guard_chunk_bytes(space));
        good = choose_mechanism(space, start);
    }
    if (!good) {
        release(space);
        space->start_wait = START_WAIT;
        return false;
    }
    space->reserved_chunks = space->chunks_count;
    space->next_chunk = 0;
    /* Readers without a lock: kiln_guard_space_has. */
    atomic_store_explicit(&space->start, (uintptr_t)start, memory_order_relaxed);
    atomic_store_explicit(&space->bytes,
                          (uintptr_t)(space->chunks_count * kiln_guard_chunk_bytes(space)),
                          memory_order_release);
    return true;
}

/* --- books --- */

/* have_book makes sure that there is one in free_books. */
static bool have_book(kiln_guard_space_t *space)
{
    if (space->free_books) return true;
    const kiln_os_t *os = space->os;
    if (space->books_end - space->books < sizeof(kiln_guard_book_t)) {
        uint64_t end = space->meta + space->meta_ready_bytes;
        uint64_t left = space->meta_reserved_bytes - space->meta_ready_bytes;
        uint64_t bytes = kiln_round_up(BOOKS_AT_ONCE * sizeof(kiln_guard_book_t), os->phys_bytes);
        if (bytes > left) bytes = left;
        if (bytes == 0) return false;
        if (os->commit(os->ctx, end, bytes, true, KILN_OS_META) != KILN_OS_OK) return false;
        space->meta_ready_bytes += bytes;
        space->books_end = (uintptr_t)(end + bytes);
        if (space->books_end - space->books < sizeof(kiln_guard_book_t)) return false;
    }
    kiln_guard_book_t *book = (kiln_guard_book_t *)space->books;
    space->books += sizeof *book;
    book->next = NULL;
    space->free_books = book;
    return true;
}

/* No bit of live_bits is set: the book is new, or all its slots were freed. */
static void assign_book(kiln_guard_space_t *space, uint32_t head)
{
    kiln_guard_book_t *book = space->free_books;
    space->free_books = book->next;
    book->next = NULL;
    atomic_store_explicit(&book->slots_count, 0, memory_order_relaxed);
    for (unsigned i = 0; i < KILN_GUARD_CHUNK_PAGES; i++)
        atomic_store_explicit(&book->slot_of_page[i], 0, memory_order_relaxed);
    atomic_store_explicit(&chunk_of(space, head)->book, book, memory_order_release);
}

static void drop_book(kiln_guard_space_t *space, uint32_t head)
{
    kiln_guard_book_t *book = kiln_guard_book_of(space, head);
    if (!book) return;
    atomic_store_explicit(&chunk_of(space, head)->book, NULL, memory_order_release);
    book->next = space->free_books;
    space->free_books = book;
}

/* --- commit and decommit, counting mappings --- */

static bool is_committed(const kiln_guard_space_t *space, uint32_t idx)
{
    return idx < space->chunks_count && space->chunks[idx].committed;
}

/* How many cuts there are when the chunks from `idx` on, which are alike, become the other kind. */
static uint32_t cuts_after(const kiln_guard_space_t *space, uint32_t idx, uint32_t count)
{
    bool now = is_committed(space, idx);
    uint32_t cuts = space->cuts;
    cuts += is_committed(space, idx - 1) == now ? 1u : -1u;
    cuts += is_committed(space, idx + count) == now ? 1u : -1u;
    return cuts;
}

static bool too_many(const kiln_guard_space_t *space, uint32_t cuts)
{
    return cuts > space->cuts && kiln_guard_mappings(cuts) > space->config.mappings_max;
}

static void mark(kiln_guard_space_t *space, uint32_t idx, uint32_t count, bool committed)
{
    for (uint32_t i = idx; i < idx + count; i++) chunk_of(space, i)->committed = committed;
    if (committed)
        space->committed_chunks += count;
    else
        space->committed_chunks -= count;
}

static bool commit(kiln_guard_space_t *space, uint32_t idx, uint32_t count)
{
    const kiln_os_t *os = space->os;
    uint32_t cuts = cuts_after(space, idx, count);
    if (too_many(space, cuts)) return false;
    if (os->commit(os->ctx, kiln_guard_chunk_start(space, idx),
                   count * kiln_guard_chunk_bytes(space), true, KILN_OS_HEAP) != KILN_OS_OK)
        return false;
    mark(space, idx, count, true);
    space->cuts = cuts;
    return true;
}

static void decommit_part(const kiln_guard_space_t *space, uint32_t head, uint64_t first_page,
                          uint64_t end_page)
{
    const kiln_os_t *os = space->os;
    if (first_page == end_page) return;
    os->decommit(os->ctx, kiln_guard_chunk_start(space, head) + (first_page << space->page_shift),
                 (end_page - first_page) << space->page_shift);
}

/* decommit makes a committed head and its run Reserved, whatever that costs: there are so many cuts
 * then. */
static void decommit(kiln_guard_space_t *space, uint32_t head, uint32_t cuts)
{
    kiln_guard_chunk_t *chunk = chunk_of(space, head);
    uint64_t end = (uint64_t)chunk->run_chunks * KILN_GUARD_CHUNK_PAGES, page = 0;
    const kiln_guard_book_t *book = chunk->cuts != 0 ? kiln_guard_book_of(space, head) : NULL;
    for (uint32_t i = 0; book && i < book->slots_count; i++) {
        const kiln_guard_slot_t *slot = &book->slots[i];
        if (!slot->hole) continue;
        decommit_part(space, head, page, slot->first_page);
        page = slot->first_page + slot->pages;
    }
    decommit_part(space, head, page, end);
    mark(space, head, chunk->run_chunks, false);
    space->cuts = cuts;
    chunk->cuts = 0;
}

bool kiln_guard_chunk_decommit(kiln_guard_space_t *space, uint32_t head)
{
    const kiln_guard_chunk_t *chunk = chunk_of(space, head);
    uint32_t cuts = cuts_after(space, head, chunk->run_chunks) - chunk->cuts;
    if (too_many(space, cuts)) return false;
    decommit(space, head, cuts);
    return true;
}

/* uncommit takes back what `commit` just did: there are as many cuts as before, which may be more
 * than are allowed. */
static void uncommit(kiln_guard_space_t *space, uint32_t head)
{
    decommit(space, head, cuts_after(space, head, chunk_of(space, head)->run_chunks));
}

/* --- dead chunks --- */

/* leave_dead takes a head out of the dead ones and forgets what was in it. */
static void leave_dead(kiln_guard_space_t *space, uint32_t head)
{
    take_out(space, &space->dead, head);
    drop_book(space, head);
    space->dead_chunks -= chunk_of(space, head)->run_chunks;
}

static void become_reserved(kiln_guard_space_t *space, uint32_t idx, uint32_t count)
{
    for (uint32_t i = idx; i < idx + count; i++) {
        kiln_guard_chunk_t *chunk = chunk_of(space, i);
        atomic_store_explicit(&chunk->back, 0, memory_order_relaxed);
        chunk->run_chunks = 1;
        chunk->state = KILN_GUARD_CHUNK_RESERVED;
    }
    space->reserved_chunks += count;
}

static bool retire(kiln_guard_space_t *space, uint32_t head)
{
    uint32_t count = chunk_of(space, head)->run_chunks;
    if (chunk_of(space, head)->committed && !kiln_guard_chunk_decommit(space, head)) return false;
    leave_dead(space, head);
    become_reserved(space, head, count);
    space->retired += count;
    return true;
}

void kiln_guard_chunk_bury(kiln_guard_space_t *space, uint32_t head)
{
    uint32_t count = chunk_of(space, head)->run_chunks;
    take_out(space, &space->used, head);
    push_last(space, &space->dead, head);
    for (uint32_t i = head; i < head + count; i++)
        chunk_of(space, i)->state = KILN_GUARD_CHUNK_DEAD;
    space->used_chunks -= count;
    space->dead_chunks += count;
    while (space->dead_chunks > space->config.freed_chunks_max &&
           space->dead.first != space->dead.last && retire(space, space->dead.first)) {
    }
}

void kiln_guard_chunk_close(kiln_guard_space_t *space, uint32_t head)
{
    chunk_of(space, head)->open = false;
    if (chunk_of(space, head)->live_slots == 0) kiln_guard_chunk_bury(space, head);
}

/* reuse_oldest gives the dead chunk that died first as it is: committed and all of it Guarded, or
 * Reserved. Of a run only the first; the others stay dead, each for itself. */
static uint32_t reuse_oldest(kiln_guard_space_t *space)
{
    uint32_t head = space->dead.first;
    if (head == KILN_GUARD_NO_CHUNK) return KILN_GUARD_NO_CHUNK;
    kiln_guard_chunk_t *chunk = chunk_of(space, head);
    if (chunk->cuts != 0 && !kiln_guard_chunk_decommit(space, head)) return KILN_GUARD_NO_CHUNK;
    uint32_t count = chunk->run_chunks;
    leave_dead(space, head);
    for (uint32_t i = head + count - 1; i > head; i--) {
        atomic_store_explicit(&chunk_of(space, i)->back, 0, memory_order_relaxed);
        chunk_of(space, i)->run_chunks = 1;
        push_first(space, &space->dead, i);
    }
    space->dead_chunks += count - 1;
    space->reused++;
    chunk->run_chunks = 1;
    return head;
}

/* --- chunks to use --- */

/* find_reserved gives `count` Reserved chunks side by side, the lowest from next_chunk on, else the
 * lowest of all. */
static uint32_t find_reserved(const kiln_guard_space_t *space, uint32_t count)
{
    if (space->reserved_chunks < count) return KILN_GUARD_NO_CHUNK;
    const uint32_t froms[2] = {space->next_chunk, 0};
    for (unsigned pass = 0; pass < 2; pass++) {
        uint32_t found = 0;
        for (uint32_t i = froms[pass]; i < space->chunks_count; i++) {
            found = space->chunks[i].state == KILN_GUARD_CHUNK_RESERVED ? found + 1 : 0;
            if (found == count) return i + 1 - count;
        }
    }
    return KILN_GUARD_NO_CHUNK;
}

/* take_reserved retires dead chunks until there are `count` in a row. */
static uint32_t take_reserved(kiln_guard_space_t *space, uint32_t count)
{
    if (count > space->reserved_chunks + space->dead_chunks) return KILN_GUARD_NO_CHUNK;
    for (;;) {
        uint32_t idx = find_reserved(space, count);
        if (idx != KILN_GUARD_NO_CHUNK) {
            space->reserved_chunks -= count;
            space->next_chunk = idx + count;
            return idx;
        }
        if (space->dead.first == KILN_GUARD_NO_CHUNK || !retire(space, space->dead.first))
            return KILN_GUARD_NO_CHUNK;
    }
}

/* One chunk: a new one; but an old one where too many are dead already, because they cannot be
 * retired, and where a new one would take too many mappings. */
static uint32_t take_one(kiln_guard_space_t *space)
{
    bool stuck = space->dead_chunks > space->config.freed_chunks_max;
    uint32_t idx = stuck ? reuse_oldest(space) : KILN_GUARD_NO_CHUNK;
    if (idx != KILN_GUARD_NO_CHUNK) return idx;
    idx = take_reserved(space, 1);
    if (idx == KILN_GUARD_NO_CHUNK) return reuse_oldest(space);
    if (space->mechanism == KILN_GUARD_PAGES && too_many(space, cuts_after(space, idx, 1))) {
        become_reserved(space, idx, 1);
        return reuse_oldest(space);
    }
    return idx;
}

static void become_used(kiln_guard_space_t *space, uint32_t head, uint32_t count, bool open)
{
    for (uint32_t i = head; i < head + count; i++) {
        kiln_guard_chunk_t *chunk = chunk_of(space, i);
        chunk->state = KILN_GUARD_CHUNK_USED;
        chunk->run_chunks = i == head ? count : 0;
        chunk->live_slots = 0;
        chunk->open = open;
        atomic_store_explicit(&chunk->back, i - head, memory_order_relaxed);
        atomic_store_explicit(&chunk->had_blocks, true, memory_order_relaxed);
    }
    space->used_chunks += count;
    assign_book(space, head);
    push_first(space, &space->used, head);
}

/* prepare makes a Reserved chunk committed, and all of it Guarded; or leaves it as it was. */
static bool prepare(kiln_guard_space_t *space, uint32_t idx)
{
    chunk_of(space, idx)->run_chunks = 1;
    if (space->mechanism != KILN_GUARD_PAGES || chunk_of(space, idx)->committed) return true;
    if (!commit(space, idx, 1)) return false;
    if (kiln_os_guard(space->os, kiln_guard_chunk_start(space, idx), kiln_guard_chunk_bytes(space),
                      true))
        return true;
    uncommit(space, idx);
    return false;
}

uint32_t kiln_guard_chunk_open(kiln_guard_space_t *space)
{
    if (!have_book(space)) return KILN_GUARD_NO_CHUNK;
    uint32_t idx = take_one(space);
    while (idx != KILN_GUARD_NO_CHUNK && !prepare(space, idx)) {
        become_reserved(space, idx, 1);
        idx = reuse_oldest(space); /* until one is committed already */
    }
    if (idx != KILN_GUARD_NO_CHUNK) become_used(space, idx, 1, true);
    return idx;
}

static bool guard_part(const kiln_guard_space_t *space, uint32_t head, uint64_t first_page,
                       uint64_t end_page)
{
    if (first_page == end_page) return true;
    return kiln_os_guard(space->os,
                         kiln_guard_chunk_start(space, head) + (first_page << space->page_shift),
                         (end_page - first_page) << space->page_shift, true);
}

uint32_t kiln_guard_chunk_open_run(kiln_guard_space_t *space, uint32_t chunks_count,
                                   uint64_t first_page, uint64_t pages)
{
    uint64_t end_page = (uint64_t)chunks_count * KILN_GUARD_CHUNK_PAGES;
    if (!have_book(space)) return KILN_GUARD_NO_CHUNK;
    uint32_t head = take_reserved(space, chunks_count);
    if (head == KILN_GUARD_NO_CHUNK) return KILN_GUARD_NO_CHUNK;
    chunk_of(space, head)->run_chunks = chunks_count; /* for kiln_guard_chunk_decommit */
    if (space->mechanism == KILN_GUARD_PAGES) {
        bool good = commit(space, head, chunks_count);
        if (good && !(guard_part(space, head, 0, first_page) &&
                      guard_part(space, head, first_page + pages, end_page))) {
            good = false;
            uncommit(space, head);
        }
        if (!good) {
            become_reserved(space, head, chunks_count);
            return KILN_GUARD_NO_CHUNK;
        }
    }
    become_used(space, head, chunks_count, false);
    return head;
}

kiln_guard_space_stats_t kiln_guard_space_stats(const kiln_guard_space_t *space)
{
    uint64_t bytes = atomic_load_explicit(&space->bytes, memory_order_relaxed);
    return (kiln_guard_space_stats_t){
        .guard_pages = bytes != 0 && space->mechanism == KILN_GUARD_PAGES,
        .region_bytes = bytes,
        .meta_bytes = bytes != 0 ? space->meta_ready_bytes : 0,
        .chunks_used = space->used_chunks,
        .chunks_dead = space->dead_chunks,
        .chunks_guarded = space->committed_chunks,
        .chunks_retired = space->retired,
        .chunks_reused = space->reused,
        .mappings = bytes != 0 ? kiln_guard_mappings(space->cuts) : 0,
    };
}
