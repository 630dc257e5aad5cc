/* laws.c - see laws.h. */
#include "tests/search/laws.h"

#include <string.h>

static const kiln_arena_t *arena_now(void)
{
    return &search_machine.world.arena;
}

static void expect(const char *law, bool holds)
{
    if (!holds) search_break(law, SEARCH_UNKNOWN);
}

/* known_in_seed: `known` where seed and go19 are searched, SEARCH_UNKNOWN under kiln. */
static search_known_t known_in_seed(search_known_t known)
{
    return search_follows_kiln() ? SEARCH_UNKNOWN : known;
}

static bool in_range(kiln_addr_t first, uint64_t bytes)
{
    const kiln_arena_t *arena = arena_now();
    return first >= arena->arena_start && bytes - 1 <= arena->mask - first &&
           first + (bytes - 1) - arena->arena_start <= arena->config.addr_max;
}

/* in_region: is `addr` in [start, end)? An end of 0 is the top of the space (seed, go19). */
static bool in_region(kiln_addr_t addr, kiln_addr_t start, kiln_addr_t end)
{
    return start != end && addr >= start && addr <= ((end - 1) & arena_now()->mask);
}

static bool in_tables(kiln_addr_t addr)
{
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        const kiln_arena_table_t *table = &arena_now()->tables[id];
        uint64_t bytes = kiln_round_up(table->bytes_max, table->phys_bytes);
        if (table->used && addr - table->base < bytes) return true;
    }
    return false;
}

/* --- L1: what is handed out ------------------------------------------------------------------ */

static void judge_range(kiln_addr_t first, uint64_t bytes, const kiln_arena_result_t *result)
{
    search_known_t known = SEARCH_UNKNOWN;
    if (in_range(first, bytes)) return;
    if (result->service == KILN_ARENA_SMALL || search_beyond() != SEARCH_W7_TOP_TAKEN)
        known = known_in_seed(search_beyond());
    search_break("L1: what is handed out lies in the possible range", known);
}

static void judge_handed(const kiln_arena_result_t *result)
{
    const kiln_arena_t *arena = arena_now();
    const search_step_t *step = &search_machine.step;
    kiln_addr_t first = result->addr, last = first + (step->request_bytes - 1);
    uint64_t idx = 0, cells = 0, bytes = step->request_bytes;
    uint8_t also = 0;
    bool inside = search_range(first, bytes, &idx, &cells);
    expect("L1: what is handed out is memory", inside && cells != 0 && last <= arena->mask);
    expect("L1: what is handed out is page aligned",
           kiln_is_aligned(first, arena->config.page_bytes));
    judge_range(first, bytes, result);
    if (!in_range(first, bytes)) also = SEARCH_UNBOUNDED;
    if (last >= kiln_arena_used(arena)) {
        /* The bound of a block with the last byte of the space wraps to 0: nothing is published. */
        bool at_top = last == arena->mask;
        search_break("L1: what is handed out lies below arena_used",
                     at_top ? known_in_seed(SEARCH_W6_LAST_BYTE) : SEARCH_UNKNOWN);
        also |= SEARCH_AT_TOP;
    }
    uint8_t *state = search_state(), *marks = search_marks();
    for (uint64_t i = idx; i < idx + cells; i++) {
        expect("L1: what is handed out is Ready heap", state[i] == SEARCH_HEAP);
        expect("L1: what is handed out is nobody's yet",
               !(marks[i] & (SEARCH_HANDED | SEARCH_SLACK)));
        marks[i] |= SEARCH_HANDED | also;
    }
    search_machine.world.counted_bytes += step->direct == 0 ? bytes : 0;
    if (step->direct == 0) return;
    /* What the fallback has beyond the request is slack: kiln gives it back, the others keep it. */
    uint64_t size = kiln_round_up(step->direct_bytes, arena->config.phys_bytes);
    (void)search_range(step->direct, size, &idx, &cells);
    for (uint64_t i = idx; i < idx + cells; i++) {
        if (state[i] != SEARCH_HEAP) continue;
        if (!(marks[i] & SEARCH_HANDED) && !search_follows_kiln()) marks[i] |= SEARCH_SLACK;
        if (search_addr(i) < step->direct + step->direct_bytes)
            search_machine.world.counted_bytes += search_machine.cell_bytes;
    }
}

/* --- what every byte is, after any step ------------------------------------------------------ */

/* owner_of_rest: is `addr` of the current block or a remainder, and really reserved? */
static bool is_held_rest(kiln_addr_t addr, bool *out_believed)
{
    const kiln_arena_t *arena = arena_now();
    if (in_region(addr, arena->arena_alloc, arena->arena_end)) {
        *out_believed = !arena->arena_reserved || search_machine.world.mixed;
        return true;
    }
    for (unsigned i = 0; i < arena->kept_count; i++)
        if (in_region(addr, arena->kept[i].start, arena->kept[i].end)) {
            *out_believed = !arena->kept[i].reserved;
            return true;
        }
    return false;
}

static bool is_start_slack(kiln_addr_t addr)
{
    const kiln_arena_t *arena = arena_now();
    const kiln_arena_config_t *config = &arena->config;

    for (unsigned i = 0; i < 2; i++) {
        kiln_addr_t start = arena->slack[i].start, end = arena->slack[i].end;
        /* No more than a page for rounding, in whole hardware pages. */
        bool is_small = end - start <= config->page_bytes + config->phys_bytes;
        if (in_region(addr, start, end) && (is_small || !search_follows_kiln())) return true;
    }
    return false;
}

/* lost_as names how seed and go19 come to forget the byte: by the rounding of a new block's start,
 * or as the rest of the block that was the current one before. */
static search_known_t lost_as(kiln_addr_t addr, const search_world_t *before, bool switched)
{
    const search_step_t *step = &search_machine.step;
    if (search_follows_kiln()) return SEARCH_UNKNOWN;
    /* A start-up whose size is no multiple of the hardware page. */
    if (!before->started && addr >= step->grant + step->grant_bytes) return SEARCH_W4_ROUNDED;
    if (!switched) return SEARCH_UNKNOWN;
    if (addr >= step->grant && addr < arena_now()->arena_alloc &&
        addr - step->grant < arena_now()->config.page_bytes)
        return SEARCH_W4_ROUNDED;
    const kiln_arena_t *was = &before->arena;
    bool rest = in_region(addr, was->arena_alloc, was->arena_end);
    uint64_t left = (was->arena_end - was->arena_alloc) & was->mask;
    return rest && left < was->config.strand_bytes ? SEARCH_W4_STRANDED : SEARCH_UNKNOWN;
}

/* judge_byte: whose is a byte that the OS holds for us, and does the OS hold what the arena counts
 * on? */
static void judge_byte(uint64_t i, const search_world_t *before, bool switched)
{
    uint8_t state = search_state()[i];
    uint8_t *marks = &search_marks()[i];
    kiln_addr_t addr = search_addr(i);
    bool believed = false, rest = is_held_rest(addr, &believed);
    if (*marks & (SEARCH_HANDED | SEARCH_SLACK)) {
        expect("L1: what was handed out is Ready heap still", state == SEARCH_HEAP);
        if (rest && !believed) search_break("L1: what was handed out is not to be handed out", 0);
        return;
    }
    if (rest && !believed && state != SEARCH_RESERVED)
        search_break("L4: what the arena counts on is there", SEARCH_UNKNOWN);
    if (!search_is_ours(state) || rest || *marks & SEARCH_LOST || in_tables(addr) ||
        is_start_slack(addr))
        return;
    search_break("L4: nothing that the OS gave is forgotten", lost_as(addr, before, switched));
    *marks |= SEARCH_LOST;
}

/* --- L2: the tables -------------------------------------------------------------------------- */

static void judge_covered(unsigned id, kiln_addr_t addr)
{
    const kiln_arena_t *arena = arena_now();
    uint64_t idx;
    uint8_t marks = search_index(addr, &idx) ? search_marks()[idx] : 0;
    bool covers = kiln_arena_table_covers(arena, (kiln_arena_table_id_t)id, addr);
    bool heap = marks & SEARCH_HANDED;
    if (covers && !search_entry_ready(id, addr))
        search_break("L2: what a reader may look up is mapped",
                     marks & SEARCH_UNBOUNDED && search_beyond() == SEARCH_UNKNOWN
                         ? SEARCH_W7_TOP_TAKEN
                         : search_beyond());
    if (!heap || covers || marks & (SEARCH_AT_TOP | SEARCH_UNBOUNDED)) return;
    bool none_yet = arena->config.follow == KILN_FOLLOW_SEED && !search_machine.world.stored;
    search_break("L2: the tables cover every heap byte",
                 none_yet ? SEARCH_W1_NO_TABLES : SEARCH_UNKNOWN);
}

/* judge_table_pages: is a page of the table mapped only where an entry of heap lies on it? */
static void judge_table_pages(unsigned id)
{
    const kiln_arena_table_t *table = &arena_now()->tables[id];
    bool wanted[SEARCH_CELLS_MAX];
    uint64_t pages = (table->bytes_max + table->phys_bytes - 1) / table->phys_bytes, idx;
    memset(wanted, 0, (size_t)pages);
    for (uint64_t i = 0; i < search_machine.bytes; i += table->heap_bytes) {
        kiln_addr_t addr = search_machine.plan->window + i, entry;
        (void)search_index(addr, &idx);
        if (!(search_marks()[idx] & SEARCH_HANDED) || !search_entry(id, addr, &entry)) continue;
        for (uint64_t at = entry - table->base; at < entry - table->base + table->entry_bytes; at++)
            wanted[at / table->phys_bytes] = true;
    }
    for (uint64_t page = 0; page < pages; page++) {
        if (!search_index(table->base + page * table->phys_bytes, &idx)) continue;
        bool mapped = search_state()[idx] >= SEARCH_BITS;
        if (mapped && !wanted[page])
            search_break("tables are mapped only for heap",
                         known_in_seed(SEARCH_W3_TABLES_OF_HOLES));
    }
}

static void judge_tables(void)
{
    const kiln_arena_t *arena = arena_now();
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        if (!arena->tables[id].used) continue;
        for (uint64_t i = 0; i < search_machine.bytes; i += arena->tables[id].heap_bytes) {
            judge_covered(id, search_machine.plan->window + i);
            judge_covered(id, search_machine.plan->window + i + arena->tables[id].heap_bytes - 1);
        }
        judge_table_pages(id);
    }
}

/* --- L3: who is told ------------------------------------------------------------------------- */

static void judge_told(void)
{
    const search_world_t *world = &search_machine.world;
    kiln_addr_t used = kiln_arena_used(arena_now());
    for (uint64_t i = 0; i < search_machine.cells; i++) {
        uint8_t told = search_told()[i];
        bool heap = search_marks()[i] & SEARCH_HANDED;
        bool step = search_addr(i) >= world->first_used && search_addr(i) < used;
        if (!search_follows_kiln())
            expect("L3: the steps of arena_used are published, once", told == step);
        if (told > heap) search_break("L3: no hole is published", known_in_seed(SEARCH_HOLE_TOLD));
        if (told < heap)
            search_break("L3: all heap is published", known_in_seed(SEARCH_HEAP_NOT_TOLD));
    }
}

/* --- L4: failures ---------------------------------------------------------------------------- */

static bool same_region(const kiln_arena_region_t *a, const kiln_arena_region_t *b)
{
    return a->start == b->start && a->end == b->end && a->reserved == b->reserved;
}

static void judge_unchanged(const search_world_t *before)
{
    const kiln_arena_t *is = arena_now(), *was = &before->arena;
    const search_step_t *step = &search_machine.step;
    expect("L4: a failure publishes nothing", step->tells == 0 && step->bounds == 0);
    expect("L4: a failure leaves the arena alone",
           is->arena_start == was->arena_start && kiln_arena_used(is) == kiln_arena_used(was) &&
               is->arena_alloc == was->arena_alloc && is->arena_end == was->arena_end &&
               is->arena_reserved == was->arena_reserved &&
               is->tables_reserved == was->tables_reserved &&
               is->heap_sys_bytes == was->heap_sys_bytes && is->kept_count == was->kept_count);
    for (unsigned i = 0; i < is->kept_count; i++)
        expect("L4: a failure leaves the remainders alone",
               same_region(&is->kept[i], &was->kept[i]));
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        expect("L4: a failure leaves the tables alone",
               is->tables[id].mapped_bytes == was->tables[id].mapped_bytes);
    expect("L4: a failure shows no table page",
           memcmp(search_machine.world.present, before->present,
                  sizeof search_machine.world.present) == 0);
    expect("L4: a failure leaves every byte alone",
           memcmp(search_state(), before->cells, (size_t)search_machine.cells) == 0);
}

/* --- why a request may fail ------------------------------------------------------------------ */

static uint64_t up(uint64_t n, uint64_t unit)
{
    return (n + (unit - 1)) / unit * unit;
}

static uint64_t least_granule(void)
{
    const kiln_arena_config_t *config = &arena_now()->config;
    uint64_t least = config->granule_min_bytes;
    if (least < search_machine.unit_bytes) least = search_machine.unit_bytes;
    return least > config->block_bytes || !search_follows_kiln() ? config->block_bytes : least;
}

/* blocks_possible counts the blocks of different sizes that the arena can ask for at arena_end. */
static unsigned blocks_possible(uint64_t request)
{
    const kiln_arena_t *arena = arena_now();
    const kiln_arena_config_t *config = &arena->config;
    uint64_t top = arena->mask + 1, last_size = 0;
    unsigned blocks = 0;
    for (uint64_t granule = config->block_bytes; granule >= least_granule(); granule /= 2) {
        uint64_t size = up(request + config->page_bytes, granule), end = size + arena->arena_end;
        if (end >= top || end - arena->arena_start - 1 > config->addr_max) continue;
        blocks += size != last_size;
        last_size = size;
    }
    return blocks;
}

/* judge_block_refusal: was the new block refused for the reason that the branch names? */
static void judge_block_refusal(const search_world_t *before, const kiln_arena_result_t *result)
{
    const search_step_t *step = &search_machine.step;
    bool granted = step->grant != 0;
    unsigned possible = blocks_possible(step->request_bytes);
    bool fits = granted && in_range(step->grant, step->grant_bytes);
    uint64_t left = (before->arena.arena_end - before->arena.arena_alloc) & before->arena.mask;
    switch (result->branch) {
    case KILN_ARENA_GROW_OVERFLOW:
    case KILN_ARENA_GROW_LIMIT:
        expect("a block that can be asked for is asked for", possible == 0 && step->reserves == 0);
        break;
    case KILN_ARENA_RESERVE_FAILED:
        expect("a block that the OS gives is looked at",
               step->reserves != 0 && step->reserves == step->reserves_refused);
        expect("every size that is possible is asked for, once",
               step->reserves == (search_follows_kiln() ? possible : 1));
        break;
    case KILN_ARENA_REJECT_STRAND:
        expect("a block is rejected only for what it would strand",
               fits && left >= before->arena.config.strand_bytes && !search_follows_kiln());
        break;
    case KILN_ARENA_REJECT_RANGE: {
        /* Or for what it lies over: what is only believed free may be granted once more. */
        bool over = false, believed = false;
        for (uint64_t i = 0; granted && i < step->grant_bytes; i++)
            over = over || is_held_rest(step->grant + i, &believed) || in_tables(step->grant + i);
        expect("a block in the possible range is not rejected for its range",
               granted && (!fits || (over && search_machine.plan->unreserved)));
        break;
    }
    default:
        break;
    }
}

static void judge_fallback_refusal(const kiln_arena_result_t *result)
{
    const search_step_t *step = &search_machine.step;
    const kiln_arena_t *arena = arena_now();
    if (result->service == KILN_ARENA_SMALL_FAILED) {
        bool representable = step->request_bytes + arena->config.page_bytes <= arena->mask;
        expect("the fallback fails only where the OS has nothing",
               step->directs == step->directs_refused && (step->directs == 1 || !representable));
    }
    if (result->service != KILN_ARENA_SMALL_RANGE) return;
    bool fits = step->direct != 0 && in_range(step->direct, step->direct_bytes);
    bool at_limit = fits && step->direct + step->direct_bytes - arena->arena_start ==
                                arena->config.addr_max + 1;
    if (fits)
        search_break("the fallback's memory in the possible range is taken",
                     at_limit ? known_in_seed(SEARCH_W7_LIMIT_REFUSED) : SEARCH_UNKNOWN);
}

/* judge_failure: did the request fail for a reason? */
static void judge_failure(const search_world_t *before, const kiln_arena_result_t *result)
{
    const search_step_t *step = &search_machine.step;
    const kiln_arena_t *arena = arena_now();
    uint64_t bytes = step->request_bytes;
    bool asked = step->reserves + step->directs + step->commits != 0;
    bool absurd =
        bytes == 0 || bytes > arena->mask || !kiln_is_aligned(bytes, search_machine.unit_bytes);
    judge_unchanged(before);
    if (search_follows_kiln() && absurd) {
        expect("a request that cannot be is refused before the OS is asked", !asked);
        return;
    }
    uint64_t left = (before->arena.arena_end - before->arena.arena_alloc) & before->arena.mask;
    if (result->service == KILN_ARENA_MAP_FAILED) {
        expect("a map fails only when the OS says so", step->commits_refused != 0);
        return;
    }
    expect("what fits the current block is taken from it", bytes > left);
    judge_block_refusal(before, result);
    judge_fallback_refusal(result);
    if (result->service != KILN_ARENA_NIL || arena->config.addr_bits > 32) return;
    if (result->branch == KILN_ARENA_RESERVE_FAILED)
        search_break("a refused block is not the end of a request",
                     arena->config.follow == KILN_FOLLOW_SEED ? SEARCH_W2_NO_FALLBACK
                                                              : SEARCH_UNKNOWN);
    else
        expect("a request is given up only when it is too large for any block",
               search_follows_kiln() && !asked &&
                   up(bytes + arena->config.page_bytes, least_granule()) > arena->mask);
}

/* --- the step -------------------------------------------------------------------------------- */

static void judge_all_bytes(const search_world_t *before, bool switched)
{
    for (uint64_t i = 0; i < search_machine.cells; i++) judge_byte(i, before, switched);
    judge_tables();
    judge_told();
    expect("heap_sys_bytes counts heap and slack",
           arena_now()->heap_sys_bytes == search_machine.world.counted_bytes);
    const char *rule = kiln_arena_broken_rule(arena_now());
    if (rule) search_break(rule, SEARCH_UNKNOWN);
}

static void judge_throw(const char *reason)
{
    const search_step_t *step = &search_machine.step;
    search_known_t known = SEARCH_UNKNOWN;
    if (strcmp(reason, "out of memory while mapping") == 0 && step->commits_refused != 0)
        known = SEARCH_MAP_IS_FATAL;
    if (strstr(reason, "landed elsewhere: address space conflict") && step->unreserved_answer)
        known = SEARCH_W10_CONFLICT;
    if (strcmp(reason, "span table capacity exceeded") == 0) known = search_beyond();
    search_break(reason, known_in_seed(known));
    search_machine.world.ended = true;
}

void search_judge_start(const search_world_t *before, const char *reason)
{
    search_world_t *world = &search_machine.world;
    world->first_used = kiln_arena_used(&world->arena);
    (void)search_start_beyond();
    world->started = true;
    if (reason && strcmp(reason, "no initial reservation possible") != 0) {
        judge_throw(reason);
        return;
    }
    if (reason) {
        expect("L4: a start that failed holds nothing",
               memcmp(search_state(), before->cells, (size_t)search_machine.cells) == 0);
        world->ended = true;
        return;
    }
    expect("L3: nothing is told at start-up", search_machine.step.tells == 0);
    judge_all_bytes(before, false);
}

/* judge_place: what an earlier block left is used first, lowest address first, then the current
 * block; only then the OS is asked for more. */
static void judge_place(const search_world_t *before, const kiln_arena_result_t *result)
{
    const kiln_arena_t *was = &before->arena;
    uint64_t bytes = search_machine.step.request_bytes;
    kiln_addr_t wanted =
        ((was->arena_end - was->arena_alloc) & was->mask) >= bytes ? was->arena_alloc : 0;
    for (unsigned i = was->kept_count; i-- > 0;)
        if (was->kept[i].end - was->kept[i].start >= bytes) wanted = was->kept[i].start;
    if (wanted == 0) return;
    expect("what is there already is used first, lowest address first", result->addr == wanted);
    expect("no block is asked for where one is there", search_machine.step.reserves == 0);
}

void search_judge(const search_world_t *before, const kiln_arena_result_t *result)
{
    const kiln_arena_t *arena = arena_now();
    bool served = result->service == KILN_ARENA_FROM_BLOCK || result->service == KILN_ARENA_SMALL;
    if (result->throw_reason) {
        judge_throw(result->throw_reason);
        return;
    }
    expect("an address is given exactly when the request was served",
           served == (result->addr != 0));
    expect("L2: arena_used never decreases",
           kiln_arena_used(arena) >= kiln_arena_used(&before->arena));
    if (!served) {
        judge_failure(before, result);
        return;
    }
    if (result->branch != KILN_ARENA_EXTEND && result->branch != KILN_ARENA_BUMP)
        judge_block_refusal(before, result);
    if (result->branch == KILN_ARENA_SWITCH) search_machine.world.mixed = false;
    judge_handed(result);
    judge_place(before, result);
    judge_all_bytes(before, result->branch == KILN_ARENA_SWITCH);
}

void search_judge_end(void)
{
    if (!search_follows_kiln() || search_machine.world.ended) return;
    kiln_arena_destroy(&search_machine.world.arena);
    for (uint64_t i = 0; i < search_machine.cells; i++) {
        bool handed = search_marks()[i] & (SEARCH_HANDED | SEARCH_SLACK);
        expect("L4: an arena that is gone holds what it handed out, and nothing else",
               handed == search_is_ours(search_state()[i]));
    }
}

/* --- what a state is ------------------------------------------------------------------------- */

void search_forget(void)
{
    const kiln_arena_t *arena = arena_now();
    for (uint64_t i = 0; i < search_machine.cells; i++) {
        bool believed = false;
        if (!(search_marks()[i] & (SEARCH_PROMISED | SEARCH_OVER))) continue;
        bool rest = is_held_rest(search_addr(i), &believed);
        bool table = in_tables(search_addr(i)) && !search_machine.world.tables_held;
        if (!(rest && (believed || !search_follows_kiln())) && !table)
            search_marks()[i] &= (uint8_t)~(SEARCH_PROMISED | SEARCH_OVER);
    }
    if (arena->arena_alloc == arena->arena_end) search_machine.world.mixed = false;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return (hash ^ hash >> 32) * UINT64_C(0xD6E8FEB86659FD93) + 1;
}

uint64_t search_hash(void)
{
    const search_world_t *world = &search_machine.world;
    const kiln_arena_t *arena = &world->arena;
    uint64_t hash = mix(kiln_arena_used(arena), arena->arena_alloc), word;
    hash = mix(hash, arena->arena_end);
    hash = mix(hash, arena->arena_start ^ world->first_used << 32);
    hash = mix(hash, (uint64_t)arena->arena_reserved | (uint64_t)world->stored << 1 |
                         (uint64_t)world->mixed << 2 | (uint64_t)world->ended << 3 |
                         (uint64_t)world->tables_held << 4 | (uint64_t)world->beyond << 5 |
                         (uint64_t)arena->kept_count << 8);
    for (unsigned i = 0; i < arena->kept_count; i++)
        hash =
            mix(mix(hash, arena->kept[i].start), arena->kept[i].end << 1 | arena->kept[i].reserved);
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        hash = mix(mix(hash, arena->tables[id].mapped_bytes), arena->tables[id].base);
    for (unsigned i = 0; i < 4; i++) hash = mix(hash, world->present[i]);
    for (uint64_t i = 0; i < 3 * search_machine.cells; i += sizeof word) {
        memcpy(&word, world->cells + i, sizeof word);
        hash = mix(hash, word);
    }
    return hash;
}
