/* machine.c - the OS of machine.h, and the laws that are seen at its calls. */
#include "tests/search/machine.h"

#include "allocator/os/model.h"

#include <string.h>

search_machine_t search_machine;

static search_world_t *world(void)
{
    return &search_machine.world;
}

/* --- choices --------------------------------------------------------------------------------- */

/* choose picks one of `options` answers. */
static unsigned choose(unsigned options)
{
    search_choices_t *choices = &search_machine.choices;
    unsigned at = choices->count++;
    if (at >= SEARCH_CHOICES_MAX) search_break("the search has room for every choice", 0);
    if (choices->rng) choices->picks[at] = (uint16_t)kiln_rng_below(choices->rng, options);
    if (!choices->rng && at >= choices->given) choices->picks[at] = 0;
    choices->options[at] = (uint16_t)options;
    if (choices->picks[at] >= options) search_break("a pick is below its options", 0);
    return choices->picks[at];
}

/* likely is a choice between two that comes out false in one walk of `odds`. */
static bool likely(unsigned odds)
{
    search_choices_t *choices = &search_machine.choices;
    if (!choices->rng) return choose(2) == 0;
    unsigned at = choices->count;
    unsigned pick = choose(odds);
    choices->options[at] = 2;
    choices->picks[at] = pick == 0;
    return pick != 0;
}

static search_answer_t *note_answer(void)
{
    search_step_t *step = &search_machine.step;
    if (step->answers_count == SEARCH_ANSWERS_MAX) search_break("a step asks only so often", 0);
    return &step->answers[step->answers_count++];
}

/* --- the space ------------------------------------------------------------------------------- */

/* A stretch of cells. */
typedef struct span {
    uint64_t first, end;
} span_t;

/* span_of gives the cells of [addr, addr+bytes), or stops: such a range names no memory. */
static span_t span_of(const char *law, kiln_addr_t addr, uint64_t bytes, search_known_t known)
{
    uint64_t idx = 0, cells = 0, phys = search_machine.plan->arena.phys_bytes;
    if (search_range(addr, bytes, &idx, &cells) && cells != 0 && kiln_is_aligned(addr, phys) &&
        kiln_is_aligned(bytes, phys))
        return (span_t){idx, idx + cells};
    search_break(law, known);
    search_ruin();
}

/* free_places counts the places for `bytes`, and gives the nth of them. Address 0 is no place. */
static unsigned free_places(uint64_t bytes, unsigned nth, span_t *out_span)
{
    uint64_t phys = search_machine.plan->arena.phys_bytes / search_machine.cell_bytes;
    uint64_t cells = bytes / search_machine.cell_bytes;
    const uint8_t *state = search_state();
    unsigned places = 0;
    uint64_t run = 0; /* free cells up to idx */
    for (uint64_t idx = search_machine.plan->window == 0 ? phys : 0; idx < search_machine.cells;
         idx += phys) {
        run = state[idx] == SEARCH_NONE ? run + phys : 0;
        if (run < cells) continue;
        if (places == nth) *out_span = (span_t){idx + phys - cells, idx + phys};
        places++;
    }
    return places;
}

/* place chooses where `bytes` lie; false: refused. Every free place is an option. */
static bool place(uint64_t bytes, bool with_unreserved, span_t *out_span, bool *out_reserved)
{
    span_t unused;
    unsigned kinds = with_unreserved ? 2 : 1;
    unsigned places = bytes > search_machine.bytes ? 0 : free_places(bytes, UINT32_MAX, &unused);
    bool walk = search_machine.choices.rng != NULL;
    /* 64 bits: 128 attempts at the same reservation. A refused one changes nothing but the hint, so
     * that after two of them the rest of the big ones are refused as well. */
    const kiln_arena_t *arena = &world()->arena;
    if (search_machine.starting && arena->config.addr_bits > 32 &&
        search_machine.step.reserves > 2 && search_machine.step.reserves <= 128)
        return false;
    if (places == 0) return false;
    if (walk && !likely(6)) return false; /* a walk would hardly ever be refused */
    unsigned pick = choose(walk ? places * kinds : 1 + places * kinds);
    if (!walk && pick-- == 0) return false;
    *out_reserved = pick % kinds == 0;
    free_places(bytes, pick / kinds, out_span);
    return true;
}

/* --- the calls ------------------------------------------------------------------------------- */

static bool refuses_empty(uint64_t bytes)
{
    if (bytes != 0) return false;
    search_break("the OS is asked for no empty range",
                 search_follows_kiln() ? SEARCH_UNKNOWN : SEARCH_ZERO_LENGTH);
    return true;
}

static kiln_addr_t os_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    (void)ctx, (void)hint;
    search_step_t *step = &search_machine.step;
    search_answer_t *answer = note_answer();
    uint64_t size = kiln_round_up(bytes, search_machine.plan->arena.phys_bytes);
    span_t cells = {0, 0};
    bool reserved = false;
    *answer = (search_answer_t){.kind = SEARCH_ASKED_RESERVE, .bytes = bytes};
    step->reserves++;
    *out_reserved = false;
    if (refuses_empty(bytes) || size < bytes ||
        !place(size, search_machine.plan->unreserved, &cells, &reserved)) {
        step->reserves_refused++;
        return 0;
    }
    uint8_t *state = search_state(), *marks = search_marks();
    for (uint64_t i = cells.first; i < cells.end; i++) {
        if (!reserved) {
            marks[i] |= SEARCH_PROMISED;
            continue;
        }
        state[i] = SEARCH_RESERVED;
        if (marks[i] & SEARCH_PROMISED) marks[i] |= SEARCH_OVER;
    }
    answer->addr = search_addr(cells.first);
    answer->reserved = *out_reserved = reserved;
    step->grant = answer->addr;
    step->grant_bytes = bytes;
    step->grant_reserved = reserved;
    if (search_machine.starting) world()->tables_held = reserved;
    const kiln_arena_t *arena = &world()->arena;
    if (!search_follows_kiln() && step->grant == arena->arena_end &&
        arena->arena_end != arena->arena_alloc && reserved != arena->arena_reserved)
        world()->mixed = true;
    return answer->addr;
}

/* mixed_flag: does weakness W5 explain that seed or go19 commit this range with this flag? The flag
 * is that of what extended the block last, and tables are mapped by it too. */
static bool mixed_flag(span_t cells, bool reserved, kiln_os_use_t use)
{
    const uint8_t *state = search_state(), *marks = search_marks();
    if (search_follows_kiln()) return false;
    if (use != KILN_OS_HEAP) return reserved != world()->tables_held;
    if (!reserved) return world()->mixed;
    for (uint64_t i = cells.first; i < cells.end; i++)
        if (state[i] != SEARCH_RESERVED && !(marks[i] & (SEARCH_PROMISED | SEARCH_OVER)))
            return false;
    return true;
}

bool search_top_taken(void)
{
    const search_step_t *step = &search_machine.step;
    const kiln_arena_t *arena = &world()->arena;
    return !search_follows_kiln() && step->direct != 0 && arena->config.addr_max < arena->mask &&
           ((step->direct + step->direct_bytes) & arena->mask) == 0;
}

bool search_start_beyond(void)
{
    const kiln_arena_t *arena = &world()->arena;
    if (search_follows_kiln() || !search_machine.plan->by_start || arena->config.addr_bits > 32)
        return false;
    if (!world()->started)
        world()->beyond = ((arena->arena_end - 1) & arena->mask) > arena->config.addr_max ||
                          arena->arena_alloc > arena->config.addr_max;
    return world()->beyond;
}

search_known_t search_beyond(void)
{
    const kiln_arena_t *arena = &world()->arena;
    if (search_follows_kiln()) return SEARCH_UNKNOWN;
    if (search_start_beyond()) return SEARCH_START_BEYOND;
    if (arena->config.addr_bits > 32 && arena->arena_alloc != arena->arena_start &&
        ((arena->arena_alloc - 1 - arena->arena_start) & arena->mask) > arena->config.addr_max)
        return SEARCH_PAGE_TOO_MANY;
    return search_top_taken() ? SEARCH_W7_TOP_TAKEN : SEARCH_UNKNOWN;
}

/* commit_may_succeed: is nobody there, so that the contract leaves all answers? What was believed
 * free twice may be ours meanwhile: kiln sees that before, seed and go19 do not (W10). */
static bool commit_may_succeed(span_t cells, bool reserved, kiln_os_use_t use)
{
    const uint8_t *state = search_state(), *marks = search_marks();
    const char *law = NULL;
    bool free = true, twice = false;
    if (reserved && use != KILN_OS_HEAP && !world()->tables_held) law = KILN_OS_RULE_COMMIT;
    for (uint64_t i = cells.first; i < cells.end && !law; i++) {
        bool ours = search_is_ours(state[i]);
        if (reserved && state[i] != SEARCH_RESERVED)
            law = ours ? KILN_OS_RULE_RECOMMIT : KILN_OS_RULE_COMMIT;
        if (reserved) continue;
        if (state[i] != SEARCH_NONE) free = false;
        if (!ours || marks[i] & SEARCH_OVER) continue;
        twice = twice || marks[i] & SEARCH_PROMISED;
        if (search_follows_kiln() || !(marks[i] & SEARCH_PROMISED)) law = KILN_OS_RULE_FLAG;
    }
    if (!law && twice) search_break(KILN_OS_RULE_FLAG, SEARCH_W10_CONFLICT);
    if (!law) return free;
    search_known_t beyond = use == KILN_OS_HEAP ? SEARCH_UNKNOWN : search_beyond();
    search_break(law, mixed_flag(cells, reserved, use) ? SEARCH_W5_MIXED_FLAG : beyond);
    search_ruin();
}

static kiln_os_answer_t choose_commit(span_t cells, bool reserved, kiln_os_use_t use)
{
    bool possible = commit_may_succeed(cells, reserved, use);
    if (reserved) return likely(8) ? KILN_OS_OK : KILN_OS_FAIL;
    if (!possible) return likely(8) ? KILN_OS_ELSEWHERE : KILN_OS_FAIL;
    if (search_machine.choices.rng)
        return likely(8) ? KILN_OS_OK : likely(2) ? KILN_OS_FAIL : KILN_OS_ELSEWHERE;
    return (kiln_os_answer_t[]){KILN_OS_OK, KILN_OS_FAIL, KILN_OS_ELSEWHERE}[choose(3)];
}

static kiln_os_answer_t os_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                  kiln_os_use_t use)
{
    (void)ctx;
    search_step_t *step = &search_machine.step;
    span_t cells = span_of("commit names whole pages of the space", addr, bytes,
                           use != KILN_OS_HEAP ? search_beyond() : SEARCH_UNKNOWN);
    static const uint8_t states[] = {
        [KILN_OS_HEAP] = SEARCH_HEAP, [KILN_OS_BITS] = SEARCH_BITS, [KILN_OS_SPANS] = SEARCH_SPANS};
    search_answer_t *answer = note_answer();
    *answer = (search_answer_t){
        .kind = SEARCH_ASKED_MAP, .addr = addr, .bytes = bytes, .reserved = reserved, .use = use};
    answer->answer = choose_commit(cells, reserved, use);
    step->commits++;
    if (answer->answer == KILN_OS_OK)
        memset(search_state() + cells.first, states[use], (size_t)(cells.end - cells.first));
    if (answer->answer != KILN_OS_OK) step->commits_refused++;
    if (answer->answer == KILN_OS_ELSEWHERE) step->unreserved_answer = true;
    return answer->answer;
}

static void os_never(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx, (void)addr, (void)bytes;
    search_break("the arena does not discard", SEARCH_UNKNOWN);
}

static bool os_never_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    (void)ctx, (void)addr, (void)bytes, (void)access;
    search_break("the arena does not protect", SEARCH_UNKNOWN);
    return false;
}

static void os_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    span_t cells = span_of("decommit names whole pages of the space", addr, bytes, SEARCH_UNKNOWN);
    for (uint64_t i = cells.first; i < cells.end; i++) {
        if (search_state()[i] < SEARCH_HEAP) search_break(KILN_OS_RULE_DECOMMIT, SEARCH_UNKNOWN);
        if (search_marks()[i] & SEARCH_HANDED)
            search_break("L1: what was handed out stays", SEARCH_UNKNOWN);
        search_state()[i] = SEARCH_RESERVED;
    }
}

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    uint64_t size = kiln_round_up(bytes, search_machine.plan->arena.phys_bytes);
    span_t cells = span_of("release names pages of the space", addr, size, SEARCH_UNKNOWN);
    uint8_t *state = search_state(), *marks = search_marks();
    for (uint64_t i = cells.first; i < cells.end; i++) {
        bool promised = marks[i] & SEARCH_PROMISED;
        if (!search_is_ours(state[i]) && !(promised && state[i] == SEARCH_NONE))
            search_break(KILN_OS_RULE_RELEASE, SEARCH_UNKNOWN);
        if (marks[i] & SEARCH_HANDED) search_break("L1: what was handed out stays", SEARCH_UNKNOWN);
        state[i] = SEARCH_NONE;
        marks[i] &= (uint8_t)~(SEARCH_OVER | SEARCH_SLACK | SEARCH_LOST);
    }
}

static kiln_addr_t os_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    (void)ctx;
    search_step_t *step = &search_machine.step;
    search_answer_t *answer = note_answer();
    uint64_t size = kiln_round_up(bytes, search_machine.plan->arena.phys_bytes);
    span_t cells = {0, 0};
    bool reserved;
    *answer = (search_answer_t){.kind = SEARCH_ASKED_DIRECT, .bytes = bytes};
    step->directs++;
    if (use != KILN_OS_HEAP) search_break("the arena's fallback is heap", SEARCH_UNKNOWN);
    if (refuses_empty(bytes) || size < bytes || !place(size, false, &cells, &reserved)) {
        step->directs_refused++;
        return 0;
    }
    for (uint64_t i = cells.first; i < cells.end; i++) {
        search_state()[i] = SEARCH_HEAP;
        if (search_marks()[i] & SEARCH_PROMISED) search_marks()[i] |= SEARCH_OVER;
    }
    answer->addr = step->direct = search_addr(cells.first);
    step->direct_bytes = bytes;
    return answer->addr;
}

/* --- who listens to the arena ---------------------------------------------------------------- */

bool search_entry(unsigned id, kiln_addr_t addr, kiln_addr_t *out_entry)
{
    const kiln_arena_table_t *table = &world()->arena.tables[id];
    uint64_t at = (addr - world()->arena.arena_start) / table->heap_bytes * table->entry_bytes;
    if (at + table->entry_bytes > table->bytes_max) return false;
    *out_entry = table->grows_down ? table->base + table->bytes_max - at - table->entry_bytes
                                   : table->base + at;
    return true;
}

bool search_entry_ready(unsigned id, kiln_addr_t addr)
{
    const kiln_arena_table_t *table = &world()->arena.tables[id];
    uint8_t wanted = id == KILN_ARENA_BITS ? SEARCH_BITS : SEARCH_SPANS;
    kiln_addr_t entry;
    uint64_t first, last;
    if (!search_entry(id, addr, &entry) || !search_index(entry, &first) ||
        !search_index(entry + table->entry_bytes - 1, &last))
        return false;
    for (uint64_t i = first; i <= last; i++)
        if (search_state()[i] != wanted) return false;
    return true;
}

/* entries_ready: may a reader of any byte of [addr, addr+bytes) look into every table? */
static bool entries_ready(kiln_addr_t addr, uint64_t bytes)
{
    const kiln_arena_t *arena = &world()->arena;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        for (uint64_t i = 0; arena->tables[id].used && i < bytes; i += arena->tables[id].heap_bytes)
            if (!search_entry_ready(id, addr + i)) return false;
    return true;
}

static void watch_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    search_step_t *step = &search_machine.step;
    uint64_t idx = 0, count = 0;
    bool inside = search_range(addr, bytes, &idx, &count);
    span_t cells = {idx, idx + count};
    search_known_t known = search_beyond();
    if (!inside || bytes == 0) search_break("L3: what is published is memory", known);
    if (step->bounds != 0) search_break("L3: watchers are told before the bound is stored", 0);
    step->tells++;
    step->told_addr = addr;
    step->told_bytes = bytes;
    if (!inside) return;
    for (uint64_t i = cells.first; i < cells.end; i++) search_told()[i]++;
    if (!search_follows_kiln()) return;
    for (uint64_t i = cells.first; i < cells.end; i++)
        if (search_state()[i] != SEARCH_HEAP)
            search_break("L3: what is published is Ready heap", 0);
    if (!entries_ready(addr, bytes)) search_break("L2: tables come before watchers", 0);
}

static void log_bound(void *ctx, kiln_addr_t old_used, kiln_addr_t new_used)
{
    (void)ctx;
    search_step_t *step = &search_machine.step;
    const kiln_arena_t *arena = &world()->arena;
    if (old_used != kiln_arena_used(arena)) search_break("the log is told before the store", 0);
    if (new_used < old_used) search_break("L2: arena_used never decreases", 0);
    step->bounds++;
    step->bound_old = old_used;
    step->bound_new = new_used;
    world()->stored = true;
    /* In this moment a reader may see every byte below: those that are heap have their entries. */
    for (uint64_t i = 0; i < search_machine.cells; i++) {
        kiln_addr_t addr = search_addr(i);
        bool heap = search_state()[i] == SEARCH_HEAP && addr >= arena->arena_start &&
                    addr < new_used && (search_marks()[i] & SEARCH_HANDED || addr >= old_used);
        bool slack = step->direct != 0 && addr >= step->direct &&
                     addr < step->direct + step->direct_bytes; /* judged when it was handed out */
        if (!heap || slack || search_marks()[i] & (SEARCH_AT_TOP | SEARCH_SLACK)) continue;
        for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
            if (arena->tables[id].used &&
                (!search_entry_ready(id, addr) ||
                 !kiln_arena_table_has(&arena->tables[id], addr - arena->arena_start)))
                search_break("L2: the tables are there before the bound is stored",
                             search_beyond());
    }
}

/* --- open, save, restore --------------------------------------------------------------------- */

void search_open(const search_plan_t *plan)
{
    search_machine_t *machine = &search_machine;
    machine->plan = plan;
    machine->bytes = UINT64_C(1) << plan->bits;
    machine->unit_bytes = plan->arena.page_bytes > plan->arena.phys_bytes ? plan->arena.page_bytes
                                                                          : plan->arena.phys_bytes;
    machine->cell_bytes = plan->arena.page_bytes < plan->arena.phys_bytes ? plan->arena.page_bytes
                                                                          : plan->arena.phys_bytes;
    machine->cells = machine->bytes / machine->cell_bytes;
    machine->os = (kiln_os_t){.phys_bytes = plan->arena.phys_bytes,
                              .addr_bits = plan->arena.addr_bits,
                              .reserve = os_reserve,
                              .commit = os_commit,
                              .discard = os_never,
                              .decommit = os_decommit,
                              .protect = os_never_protect,
                              .release = os_release,
                              .direct = os_direct};
    machine->watcher = (kiln_watcher_t){.grow = watch_grow};
    machine->log = (kiln_arena_log_t){.bound = log_bound};
    memset(&machine->world, 0, sizeof machine->world);
    search_begin_step(0);
    if (kiln_arena_present_words(&plan->arena) > SEARCH_PRESENT_WORDS)
        search_break("the machine has room for the table's bits", 0);
    const char *rule = kiln_arena_init(&machine->world.arena, &plan->arena, &machine->os,
                                       &machine->watcher, &machine->log, machine->world.present);
    if (rule) search_break(rule, SEARCH_UNKNOWN);
}

static void copy_world(search_world_t *to, const search_world_t *from)
{
    memcpy(to, from, offsetof(search_world_t, cells) + 3 * (size_t)search_machine.cells);
}

void search_world_save(search_world_t *to)
{
    copy_world(to, &search_machine.world);
}

void search_world_restore(const search_world_t *from)
{
    copy_world(&search_machine.world, from);
}

void search_begin_step(uint64_t request_bytes)
{
    search_step_t *step = &search_machine.step;
    memset(step, 0, offsetof(search_step_t, answers));
    step->request_bytes = request_bytes;
    search_machine.choices.count = 0;
}
