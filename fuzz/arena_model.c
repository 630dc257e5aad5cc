/* arena_model.c - the laws of the arena, as seen from outside of it (arena_model.h). */
#include "fuzz/arena_model.h"

#include "allocator/base/check.h"
#include "fuzz/target.h"

#include <string.h>

static bool follows_kiln(const kiln_arena_model_t *model)
{
    return model->arena->config.follow == KILN_FOLLOW_KILN;
}

/* After its first lie the fake no longer knows what is whose, so only the arena's side is judged.
 */
static bool fake_knows(const kiln_arena_model_t *model)
{
    return model->fake->stats.lies == 0;
}

/* --- between the arena and the fake ---------------------------------------------------------- */

static kiln_addr_t model_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_arena_model_t *model = ctx;
    kiln_os_fake_t *fake = model->fake;
    if (model->started) {
        const kiln_arena_t *arena = model->arena;
        kiln_addr_t end = (hint + bytes) & arena->mask;
        KILN_FUZZ_LAW("a new block is wished for where the current one ends",
                      hint == arena->arena_end);
        KILN_FUZZ_LAW("the OS is not asked for a block that cannot lie there",
                      end >= hint &&
                          ((end - arena->arena_start - 1) & arena->mask) <= arena->config.addr_max);
    }
    if (!model->started) model->start_asks++;
    kiln_addr_t addr = fake->os.reserve(fake->os.ctx, hint, bytes, out_reserved);
    model->asked_bytes = bytes;
    if (addr == 0) return 0;
    model->reserved = (kiln_arena_model_block_t){addr, addr + (bytes - 1)};
    model->saw[*out_reserved] = true;
    model->grants++;
    /* Weaknesses W5 and W10: one flag stands for regions of both kinds, and what is only believed
     * free may be granted twice, so seed and go19 commit in states that os.h rules out. Only then
     * may they, and the fake does as Linux would. */
    if (!follows_kiln(model) && model->saw[0]) fake->config.loose = true;
    return addr;
}

static kiln_os_answer_t model_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                     kiln_os_use_t use)
{
    kiln_arena_model_t *model = ctx;
    kiln_os_answer_t answer =
        model->fake->os.commit(model->fake->os.ctx, addr, bytes, reserved, use);
    if (answer != KILN_OS_OK || use == KILN_OS_HEAP) return answer;
    unsigned id = use == KILN_OS_BITS ? KILN_ARENA_BITS : KILN_ARENA_SPANS;
    if (addr < model->table_first[id]) model->table_first[id] = addr;
    if (addr + bytes - 1 > model->table_last[id]) model->table_last[id] = addr + bytes - 1;
    return answer;
}

static void model_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fake_t *fake = ((kiln_arena_model_t *)ctx)->fake;
    fake->os.discard(fake->os.ctx, addr, bytes);
}

static void model_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fake_t *fake = ((kiln_arena_model_t *)ctx)->fake;
    fake->os.decommit(fake->os.ctx, addr, bytes);
}

static bool model_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    kiln_os_fake_t *fake = ((kiln_arena_model_t *)ctx)->fake;
    return fake->os.protect(fake->os.ctx, addr, bytes, access);
}

static void model_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_fake_t *fake = ((kiln_arena_model_t *)ctx)->fake;
    fake->os.release(fake->os.ctx, addr, bytes);
}

static kiln_addr_t model_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_arena_model_t *model = ctx;
    kiln_addr_t addr = model->fake->os.direct(model->fake->os.ctx, bytes, use);
    if (addr == 0) return 0;
    model->directed = (kiln_arena_model_block_t){addr, addr + (bytes - 1)};
    model->grants++;
    return addr;
}

/* --- what is Ready --------------------------------------------------------------------------- */

/* all_ready: is every byte of [first, last] Ready for that use? */
static bool all_ready(const kiln_arena_model_t *model, kiln_addr_t first, kiln_addr_t last,
                      kiln_os_use_t use)
{
    const kiln_ranges_t *ranges = &model->fake->model.ranges;
    for (unsigned i = kiln_ranges_find(ranges, first); i < ranges->count; i++) {
        const kiln_os_range_t *range = &ranges->items[i];
        if (range->first > first || range->tag.state != KILN_OS_READY || range->tag.use != use)
            return false;
        if (range->last >= last) return true;
        first = range->last + 1;
    }
    return false;
}

/* entry_ready: is the entry of the heap byte at `addr` in memory that may be read? */
static bool entry_ready(const kiln_arena_model_t *model, unsigned id, kiln_addr_t addr)
{
    const kiln_arena_table_t *table = &model->arena->tables[id];
    uint64_t at = (addr - model->arena->arena_start) / table->heap_bytes * table->entry_bytes;
    if (at + table->entry_bytes > table->bytes_max) return false;
    kiln_addr_t entry = table->grows_down ? table->base + table->bytes_max - at - table->entry_bytes
                                          : table->base + at;
    return all_ready(model, entry, entry + table->entry_bytes - 1, table->use);
}

/* check_reader looks at the tables as a thread without a lock does: what kiln_arena_table_covers
 * lets it read must be there. */
static void check_reader(const kiln_arena_model_t *model, kiln_addr_t addr)
{
    /* Weaknesses W5 and W10: heap may have been mapped over tables that were only believed free. */
    if (!fake_knows(model) || model->fake->config.loose) return;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        if (kiln_arena_table_covers(model->arena, (kiln_arena_table_id_t)id, addr))
            KILN_FUZZ_LAW("L2: a table that covers is mapped", entry_ready(model, id, addr));
}

/* check_covered: the tables cover heap. Weakness W1: seed maps none before its first publication.
 */
static void check_covered(const kiln_arena_model_t *model, kiln_addr_t addr)
{
    const kiln_arena_t *arena = model->arena;
    if (arena->config.follow == KILN_FOLLOW_SEED && !model->published) return;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        if (!arena->tables[id].used) continue;
        KILN_FUZZ_LAW("L2: the tables cover every heap byte",
                      kiln_arena_table_covers(arena, (kiln_arena_table_id_t)id, addr));
    }
    check_reader(model, addr);
}

/* --- publication ----------------------------------------------------------------------------- */

static void model_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_arena_model_t *model = ctx;
    KILN_FUZZ_LAW("L3: no empty range is published", bytes != 0);
    KILN_FUZZ_LAW("L3: the watcher is told before the bound is stored", model->bounds == 0);
    model->grows++;
    model->grow_addr = addr;
    model->grow_bytes = bytes;
    model->event_hash = (model->event_hash ^ addr ^ bytes << 20) * UINT64_C(0x9E3779B97F4A7C15);
    if (!follows_kiln(model)) return; /* the step of arena_used: holes included */
    if (fake_knows(model))
        KILN_FUZZ_LAW("L3: what is published is mapped",
                      all_ready(model, addr, addr + bytes - 1, KILN_OS_HEAP));
}

static void model_bound(void *ctx, kiln_addr_t old_used, kiln_addr_t new_used)
{
    kiln_arena_model_t *model = ctx;
    kiln_arena_t *arena = model->arena;
    KILN_FUZZ_LAW("the log is told before the store", old_used == kiln_arena_used(arena));
    KILN_FUZZ_LAW("L2: arena_used never decreases", new_used >= old_used);
    model->bounds++;
    if (new_used == arena->arena_start || (follows_kiln(model) && new_used == old_used)) return;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        const kiln_arena_table_t *table = &arena->tables[id];
        if (!table->used) continue;
        KILN_FUZZ_LAW("L2: the tables are mapped before the bound is stored",
                      kiln_arena_table_has(table, new_used - 1 - arena->arena_start));
        if (fake_knows(model) && !model->fake->config.loose)
            KILN_FUZZ_LAW("L2: the tables' memory is there before the bound is stored",
                          entry_ready(model, id, new_used - 1));
    }
}

static void check_published(const kiln_arena_model_t *model, uint64_t bytes,
                            const kiln_arena_result_t *result)
{
    kiln_addr_t used = kiln_arena_used(model->arena), old_used = model->before.used;
    KILN_FUZZ_LAW("L2: arena_used never decreases", used >= old_used);
    if (result->addr == 0 && !result->throw_reason) {
        KILN_FUZZ_LAW("L4: a failure publishes nothing", model->grows == 0 && model->bounds == 0);
        return;
    }
    if (result->throw_reason) return;
    KILN_FUZZ_LAW("the log is told of every new bound", (used > old_used) == (model->bounds == 1));
    if (!model->arena->watcher) return;
    if (follows_kiln(model)) {
        KILN_FUZZ_LAW("L3: heap is published once", model->grows == 1);
        KILN_FUZZ_LAW("L3: exactly what is handed out is published",
                      model->grow_addr == result->addr && model->grow_bytes == bytes);
        return;
    }
    KILN_FUZZ_LAW("L3: a step of arena_used is published once", model->grows == (used > old_used));
    if (model->grows)
        KILN_FUZZ_LAW("L3: the step of arena_used is published",
                      model->grow_addr == old_used && model->grow_bytes == used - old_used);
}

/* --- what was handed out --------------------------------------------------------------------- */

static void check_block_alone(const kiln_arena_model_t *model, kiln_addr_t first, kiln_addr_t last)
{
    const kiln_arena_t *arena = model->arena;
    /* Weakness W5: with one flag for a block of both kinds, seed and go19 map over their own heap,
     * which the fallback got where a block was only believed free. And no arena can see that what
     * the OS grants is occupied (I7): a fake that has lied may do so. */
    bool judged = !model->fake->config.loose && fake_knows(model);
    for (unsigned i = 0; i < model->blocks_count && judged; i++)
        KILN_FUZZ_LAW("L1: blocks do not overlap",
                      (last < model->blocks[i].first || model->blocks[i].last < first));
    /* Where nothing is held the OS may grant the same once more; then commit answers elsewhere. */
    if (follows_kiln(model) && arena->arena_reserved && arena->arena_alloc < arena->arena_end)
        KILN_FUZZ_LAW("L1: what was handed out is not in the current block",
                      (last < arena->arena_alloc || arena->arena_end <= first));
    for (unsigned i = 0; i < arena->kept_count; i++)
        KILN_FUZZ_LAW("L1: what was handed out is in no remainder",
                      !arena->kept[i].reserved ||
                          (last < arena->kept[i].start || arena->kept[i].end <= first));
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        const kiln_arena_table_t *table = &arena->tables[id];
        if (!table->used || !fake_knows(model) || model->saw[0]) continue; /* nothing is held */
        KILN_FUZZ_LAW("L1: no block lies in a table",
                      (last < table->base || table->base + table->bytes_max - 1 < first));
    }
}

/* check_block looks at one block as it must be from the moment it was handed out. */
static void check_block(const kiln_arena_model_t *model, kiln_addr_t first, kiln_addr_t last)
{
    const kiln_arena_t *arena = model->arena;
    KILN_FUZZ_LAW("L1: a block lies in the address space", last >= first && last <= arena->mask);
    KILN_FUZZ_LAW("L1: a block is page aligned", kiln_is_aligned(first, arena->config.page_bytes));
    KILN_FUZZ_LAW("L1: a block lies above arena_start", first >= arena->arena_start);
    KILN_FUZZ_LAW("L1: a block lies in the possible range",
                  last - arena->arena_start <= arena->config.addr_max);
    /* Weakness W5 again: where the fake has to be loose, memory may have been replaced. */
    if (fake_knows(model) && !model->fake->config.loose)
        KILN_FUZZ_LAW("L1: a block is Ready heap", all_ready(model, first, last, KILN_OS_HEAP));
    /* Weakness W6: seed and go19 lose the bound when the last byte of the space is handed out. */
    if (!follows_kiln(model) && last == arena->mask) return;
    KILN_FUZZ_LAW("L1: a block lies below arena_used", last < kiln_arena_used(arena));
    check_covered(model, first);
    check_covered(model, last);
    for (kiln_addr_t step = (last - first) / 7; step != 0 && first < last - step; first += step)
        check_covered(model, first);
}

/* --- what a failure must leave alone --------------------------------------------------------- */

void kiln_arena_model_before(kiln_arena_model_t *model)
{
    const kiln_arena_t *arena = model->arena;
    kiln_arena_model_before_t *before = &model->before;
    const kiln_ranges_t *ranges = &model->fake->model.ranges;
    before->used = kiln_arena_used(arena);
    before->alloc = arena->arena_alloc;
    before->end = arena->arena_end;
    before->reserved = arena->arena_reserved;
    before->heap_sys_bytes = arena->heap_sys_bytes;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        before->mapped_bytes[id] = arena->tables[id].mapped_bytes;
    before->kept_count = arena->kept_count;
    for (unsigned i = 0; i < arena->kept_count; i++) before->kept[i] = arena->kept[i];
    before->ranges_count = ranges->count;
    memcpy(before->ranges, ranges->items, ranges->count * sizeof *ranges->items);
    model->grows = model->bounds = 0;
    model->asked_bytes = 0;
    model->reserved = model->directed = (kiln_arena_model_block_t){0, 0};
}

static bool is_ours(const kiln_os_range_t *range)
{
    return range->tag.state == KILN_OS_RESERVED || range->tag.state == KILN_OS_PREPARED ||
           range->tag.state == KILN_OS_READY;
}

/* next_ours gives the next stretch that is ours and of one kind: neighbours that differ only in
 * what had been promised about them are one. */
static bool next_ours(const kiln_os_range_t *ranges, unsigned count, unsigned *io_idx,
                      kiln_os_range_t *out)
{
    while (*io_idx < count && !is_ours(&ranges[*io_idx])) ++*io_idx;
    if (*io_idx == count) return false;
    *out = ranges[(*io_idx)++];
    while (*io_idx < count) {
        const kiln_os_range_t *next = &ranges[*io_idx];
        if (next->first != out->last + 1 || next->tag.state != out->tag.state ||
            next->tag.use != out->tag.use || next->tag.access != out->tag.access)
            break;
        out->last = next->last;
        ++*io_idx;
    }
    return true;
}

static bool os_as_before(const kiln_arena_model_t *model)
{
    const kiln_ranges_t *now = &model->fake->model.ranges;
    unsigned old_idx = 0, now_idx = 0;
    for (;;) {
        kiln_os_range_t was, is;
        bool some_was = next_ours(model->before.ranges, model->before.ranges_count, &old_idx, &was);
        bool some_is = next_ours(now->items, now->count, &now_idx, &is);
        if (some_was != some_is) return false;
        if (!some_was) return true;
        if (was.first != is.first || was.last != is.last || was.tag.state != is.tag.state ||
            was.tag.use != is.tag.use)
            return false;
    }
}

static void check_unchanged(const kiln_arena_model_t *model)
{
    const kiln_arena_t *arena = model->arena;
    const kiln_arena_model_before_t *before = &model->before;
    KILN_FUZZ_LAW("L4: arena_used", kiln_arena_used(arena) == before->used);
    KILN_FUZZ_LAW("L4: arena_alloc", arena->arena_alloc == before->alloc);
    KILN_FUZZ_LAW("L4: arena_end", arena->arena_end == before->end);
    KILN_FUZZ_LAW("L4: arena_reserved", arena->arena_reserved == before->reserved);
    KILN_FUZZ_LAW("L4: heap_sys_bytes", arena->heap_sys_bytes == before->heap_sys_bytes);
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        KILN_FUZZ_LAW("L4: tables", arena->tables[id].mapped_bytes == before->mapped_bytes[id]);
    KILN_FUZZ_LAW("L4: remainders", arena->kept_count == before->kept_count);
    for (unsigned i = 0; i < arena->kept_count; i++)
        KILN_FUZZ_LAW("L4: a remainder", arena->kept[i].start == before->kept[i].start &&
                                             arena->kept[i].end == before->kept[i].end &&
                                             arena->kept[i].reserved == before->kept[i].reserved);
    if (fake_knows(model)) KILN_FUZZ_LAW("L4: the OS has what it had", os_as_before(model));
}

/* ours_bytes counts what the arena holds and may still hand out. */
static uint64_t ours_bytes(const kiln_arena_model_t *model)
{
    const kiln_arena_t *arena = model->arena;
    uint64_t bytes =
        arena->heap_sys_bytes + ((arena->arena_end - arena->arena_alloc) & arena->mask);
    for (unsigned i = 0; i < arena->kept_count; i++)
        bytes += arena->kept[i].end - arena->kept[i].start;
    return bytes;
}

/* check_nothing_lost: under kiln, what the OS granted is heap, the current block, a remainder, or
 * less than a page that rounding cost a grant. Address space that nobody holds cannot be counted.
 */
static void check_nothing_lost(const kiln_arena_model_t *model)
{
    if (!follows_kiln(model) || model->saw[0] || !fake_knows(model)) return;
    uint64_t known = model->fixed_bytes + ours_bytes(model);
    uint64_t held = model->fake->stats.space_bytes;
    KILN_FUZZ_LAW("L4: what the arena counts on is there", held >= known);
    KILN_FUZZ_LAW("L4: nothing that the OS granted is lost",
                  held - known <= model->grants * model->arena->config.page_bytes);
}

/* --- what must not be refused ---------------------------------------------------------------- */

static bool is_in_range(const kiln_arena_model_t *model, kiln_arena_model_block_t grant)
{
    return grant.first >= model->arena->arena_start &&
           grant.last - model->arena->arena_start <= model->arena->config.addr_max;
}

/* may_refuse: does this block lie out of range, or would nothing be left without its last page? */
static bool may_refuse(const kiln_arena_model_t *model, kiln_arena_model_block_t block)
{
    const kiln_arena_config_t *config = &model->arena->config;
    uint64_t unit =
        config->page_bytes > config->phys_bytes ? config->page_bytes : config->phys_bytes;
    if (block.last == model->arena->mask) {
        if (block.last - block.first < unit) return true;
        block.last -= unit;
    }
    return !is_in_range(model, block);
}

/* The smallest block that can serve `bytes`: kiln asks for it before it says that there is none. */
static uint64_t smallest_block(const kiln_arena_config_t *config, uint64_t bytes)
{
    uint64_t granule = config->granule_min_bytes;
    if (granule < config->page_bytes) granule = config->page_bytes;
    if (granule < config->phys_bytes) granule = config->phys_bytes;
    if (granule > config->block_bytes) granule = config->block_bytes;
    return kiln_round_up(bytes + config->page_bytes, granule);
}

static void check_remainders_first(const kiln_arena_model_t *model, uint64_t bytes,
                                   const kiln_arena_result_t *result)
{
    for (unsigned i = 0; i < model->before.kept_count; i++) {
        const kiln_arena_region_t *kept = &model->before.kept[i];
        if (kept->end - kept->start < bytes) continue;
        KILN_FUZZ_LAW("W4: the lowest remainder that can serves first",
                      result->branch == KILN_ARENA_BUMP &&
                          (result->addr == 0 || result->addr == kept->start));
        return;
    }
}

/* W4 again: with no room for one more, no remainder goes that is larger than one that stays. */
static void check_smallest_goes(const kiln_arena_model_t *model)
{
    const kiln_arena_t *arena = model->arena;
    for (unsigned i = 0; i < model->before.kept_count; i++) {
        const kiln_arena_region_t *was = &model->before.kept[i];
        bool stays = false;
        uint64_t smallest = UINT64_MAX;
        for (unsigned j = 0; j < arena->kept_count; j++) {
            uint64_t bytes = arena->kept[j].end - arena->kept[j].start;
            if (arena->kept[j].start == was->start) stays = true;
            if (bytes < smallest) smallest = bytes;
        }
        KILN_FUZZ_LAW("W4: the smallest remainder goes",
                      stays || was->end - was->start <= smallest);
    }
}

/* block_fits: may a block of that size be asked for at the end of the current one? */
static bool block_fits(const kiln_arena_model_t *model, uint64_t size)
{
    const kiln_arena_t *arena = model->arena;
    kiln_addr_t end = model->before.end;
    return size <= arena->mask - end &&
           end + size - arena->arena_start - 1 <= arena->config.addr_max;
}

static void check_refusals(const kiln_arena_model_t *model, uint64_t bytes,
                           const kiln_arena_result_t *result)
{
    const kiln_arena_config_t *config = &model->arena->config;
    bool kiln = follows_kiln(model);
    uint64_t least = kiln ? smallest_block(config, bytes)
                          : kiln_round_up(bytes + config->page_bytes, config->block_bytes);
    if (result->branch == KILN_ARENA_GROW_LIMIT || result->branch == KILN_ARENA_GROW_OVERFLOW)
        KILN_FUZZ_LAW("the OS is asked for a block that may lie there",
                      least < bytes || !block_fits(model, least));
    if (result->service == KILN_ARENA_NIL && config->addr_bits <= 32) {
        bool hopeless = kiln && (bytes == 0 || least > model->arena->mask);
        bool gives_up =
            config->follow == KILN_FOLLOW_SEED && result->branch == KILN_ARENA_RESERVE_FAILED;
        KILN_FUZZ_LAW("32 bits: who has no block falls back", hopeless || gives_up);
    }
    if (!kiln) return;
    if (result->branch == KILN_ARENA_RESERVE_FAILED)
        KILN_FUZZ_LAW("W2: a refused granule is halved to the end", model->asked_bytes == least);
    if (model->saw[0] || !fake_knows(model)) return; /* what is only promised may overlap */
    if (result->branch == KILN_ARENA_REJECT_RANGE)
        KILN_FUZZ_LAW("a block in range is taken", may_refuse(model, model->reserved));
    if (result->service == KILN_ARENA_SMALL_RANGE)
        KILN_FUZZ_LAW("W7: fallback memory in range is taken",
                      !is_in_range(model, model->directed));
}

/* --- the steps ------------------------------------------------------------------------------- */

void kiln_arena_model_init(kiln_arena_model_t *model, kiln_arena_t *arena, kiln_os_fake_t *fake)
{
    model->arena = arena;
    model->fake = fake;
    model->os = (kiln_os_t){
        .ctx = model,
        .phys_bytes = fake->os.phys_bytes,
        .addr_bits = fake->os.addr_bits,
        .reserve = model_reserve,
        .commit = model_commit,
        .discard = model_discard,
        .decommit = model_decommit,
        .protect = model_protect,
        .release = model_release,
        .direct = model_direct,
    };
    model->watcher = (kiln_watcher_t){.ctx = model, .grow = model_grow};
    model->log = (kiln_arena_log_t){.ctx = model, .bound = model_bound};
    model->blocks_count = model->start_asks = 0;
    model->started = model->published = model->saw[0] = model->saw[1] = false;
    model->grants = model->fixed_bytes = model->event_hash = 0;
    model->grows = model->bounds = 0;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        model->table_first[id] = UINT64_MAX;
        model->table_last[id] = 0;
    }
}

void kiln_arena_model_started(kiln_arena_model_t *model)
{
    model->saw[model->arena->arena_reserved] = true;
    if (!follows_kiln(model) && model->saw[0]) model->fake->config.loose = true;
    model->published = model->bounds != 0;
    model->started = true;
    KILN_FUZZ_LAW("L3: nothing is published at start-up", model->grows == 0);
    KILN_CHECK_RULE(kiln_arena_broken_rule(model->arena));
    if (follows_kiln(model) && !model->saw[0] && fake_knows(model))
        model->fixed_bytes = model->fake->stats.space_bytes - ours_bytes(model);
}

bool kiln_arena_model_check_start(const kiln_arena_model_t *model, const char *reason)
{
    unsigned attempts = model->arena->config.addr_bits > 32 ? 128 + 4 : 4;
    if (reason && strcmp(reason, "no initial reservation possible") == 0)
        KILN_FUZZ_LAW("start-up makes all of its attempts", model->start_asks == attempts);
    return !reason;
}

void kiln_arena_model_check(kiln_arena_model_t *model, uint64_t bytes,
                            const kiln_arena_result_t *result)
{
    kiln_addr_t first = result->addr, last = first + bytes - 1;
    bool served = result->service == KILN_ARENA_FROM_BLOCK || result->service == KILN_ARENA_SMALL;
    model->event_hash =
        (model->event_hash ^ first ^ (uint64_t)result->service << 56 ^ (uint64_t)result->branch) *
        UINT64_C(0x9E3779B97F4A7C15);
    if (model->bounds) model->published = true;
    check_published(model, bytes, result);
    if (follows_kiln(model)) KILN_FUZZ_LAW("kiln stops no program", !result->throw_reason);
    if (result->throw_reason) return; /* the arena is not used again */

    KILN_FUZZ_LAW("an address is given exactly when the request was served",
                  (first != 0) == served);
    KILN_CHECK_RULE(kiln_os_fake_broken_rule(model->fake));
    check_refusals(model, bytes, result);
    if (follows_kiln(model)) check_remainders_first(model, bytes, result);
    if (result->branch == KILN_ARENA_SWITCH && follows_kiln(model)) check_smallest_goes(model);
    if (!served) {
        check_unchanged(model);
        return;
    }
    check_block_alone(model, first, last);
    check_block(model, first, last);
    check_nothing_lost(model);
    KILN_CHECK(model->blocks_count < KILN_ARENA_MODEL_BLOCKS_MAX);
    model->blocks[model->blocks_count++] = (kiln_arena_model_block_t){first, last};
    check_reader(model, first - 1);
    check_reader(model, last + 1);
    check_reader(model, kiln_arena_used(model->arena) - 1);
}

void kiln_arena_model_check_grow(kiln_arena_model_t *model, uint64_t pages, uint64_t bytes,
                                 const kiln_arena_result_t *result)
{
    const kiln_arena_t *arena = model->arena;
    uint64_t exact = pages * arena->config.page_bytes & arena->mask;
    exact = kiln_round_up(exact, KILN_KIB(64)) & arena->mask;
    bool retried = bytes == exact, floor = exact < KILN_MIB(1) && bytes == KILN_MIB(1);
    kiln_arena_model_check(model, bytes, result);
    KILN_FUZZ_LAW("a grow asks for whole 64 KiB, and for 1 MiB first", retried || floor);
    if (result->addr == 0 && !result->throw_reason)
        KILN_FUZZ_LAW("a grow that fails has asked for no more than it must", retried);
}

void kiln_arena_model_check_all(kiln_arena_model_t *model)
{
    for (unsigned i = 0; i < model->blocks_count; i++)
        check_block(model, model->blocks[i].first, model->blocks[i].last);
    KILN_CHECK_RULE(kiln_arena_broken_rule(model->arena));
    if (!follows_kiln(model)) return;
    uint64_t handed_bytes = model->arena->heap_sys_bytes;
    kiln_arena_destroy(model->arena);
    if (model->saw[0] || !fake_knows(model)) return; /* nothing was held of what was not reserved */
    KILN_FUZZ_LAW("L4: an arena that is gone holds what it handed out",
                  model->fake->stats.space_bytes == handed_bytes);
}
