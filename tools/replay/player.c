#include "tools/replay/player.h"

#include <stdlib.h>

/* kiln's records of table pages may take this much memory, 128 MiB; 2^39-1 takes half a MiB. */
#define PRESENT_PAGES_MAX (UINT64_C(1) << 30)

static void show(kiln_player_t *player, const kiln_event_t *event)
{
    if (player->trace->error_line != 0) return;
    for (unsigned i = 0; i < player->views_count; i++)
        player->views[i].see(player->views[i].ctx, &player->arena, event);
}

static void show_state(kiln_player_t *player)
{
    show(player, &(kiln_event_t){.kind = KILN_EVENT_STATE});
}

/* The layout is known before the arena publishes its start, and is shown before it. There is a span
 * table in every layout; the ends may wrap to 0. */
static void show_layout(kiln_player_t *player)
{
    if (!player->layout_due || player->layout.spans_start == player->layout.spans_end) return;
    player->layout_due = false;
    show(player, &(kiln_event_t){.kind = KILN_EVENT_LAYOUT, .layout = &player->layout});
}

/* peek reads ahead; false: there is no further directive, or a broken one. */
static bool peek(kiln_player_t *player)
{
    if (!player->has_next)
        player->has_next = kiln_trace_next(player->trace, &player->next) == KILN_TRACE_DIRECTIVE;
    return player->has_next;
}

/* --- the OS of the trace --------------------------------------------------------------------- */

#define ULL(n) ((unsigned long long)(n))

/* answer_of gives the next answer, which must be of `kind`, or NULL: the trace is broken. */
static const kiln_trace_directive_t *answer_of(kiln_player_t *player, kiln_trace_kind_t kind,
                                               kiln_addr_t hint, uint64_t bytes)
{
    kiln_trace_t *trace = player->trace;
    const char *name = kiln_trace_kind_name(kind);
    const kiln_trace_directive_t *next = &player->next;

    if (trace->error_line != 0) return NULL;
    bool any = peek(player) && kiln_trace_is_answer(next->kind);
    if (any && next->kind == kind) {
        if (next->number == 0) return next;
        if (bytes == 0)
            kiln_trace_break(trace, next->line, "this %s is of no bytes: it can only fail", name);
        if (!kiln_is_aligned(next->number, player->arena.config.phys_bytes))
            kiln_trace_break(trace, next->line, "%#llx is not a multiple of phys, %#llx",
                             ULL(next->number), ULL(player->arena.config.phys_bytes));
        return trace->error_line == 0 ? next : NULL;
    }
    const char *what = any ? "this answers a " : "there is no answer";
    const char *which = any ? kiln_trace_kind_name(next->kind) : "";
    uint64_t line = any ? next->line : player->step_line;
    if (kind == KILN_TRACE_RESERVE)
        kiln_trace_break(trace, line, "the arena asks for a reserve (hint=%#llx len=%#llx): %s%s",
                         ULL(hint), ULL(bytes), what, which);
    else
        kiln_trace_break(trace, line, "the arena asks for a %s (len=%#llx): %s%s", name, ULL(bytes),
                         what, which);
    return NULL;
}

static kiln_addr_t os_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_player_t *player = ctx;
    kiln_event_t event = {.kind = KILN_EVENT_RESERVE, .hint = hint, .bytes = bytes};
    const kiln_trace_directive_t *answer = answer_of(player, KILN_TRACE_RESERVE, hint, bytes);

    if (!answer) return 0;
    event.addr = answer->number;
    event.reserved = *out_reserved = !answer->unreserved;
    if (--player->next.times == 0) player->has_next = false;
    show(player, &event);
    return event.addr;
}

static kiln_addr_t os_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_player_t *player = ctx;
    kiln_event_t event = {.kind = KILN_EVENT_SYSALLOC, .bytes = bytes, .use = use};
    const kiln_trace_directive_t *answer = answer_of(player, KILN_TRACE_SYSALLOC, 0, bytes);

    if (!answer) return 0;
    event.addr = answer->number;
    player->has_next = false;
    show(player, &event);
    return event.addr;
}

/* An answer to a map may be left out, so one for another use than asked may be meant for later. */
static kiln_os_answer_t os_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                  kiln_os_use_t use)
{
    kiln_player_t *player = ctx;
    kiln_event_t event = {.kind = KILN_EVENT_MAP,
                          .addr = addr,
                          .bytes = bytes,
                          .reserved = reserved,
                          .use = use,
                          .answer = KILN_OS_OK};

    show_layout(player);
    if (peek(player) && player->next.kind == KILN_TRACE_MAP &&
        (player->next.any_use || player->next.use == use)) {
        event.answer = player->next.answer;
        player->has_next = false;
    }
    show(player, &event);
    return event.answer;
}

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    show(ctx, &(kiln_event_t){.kind = KILN_EVENT_FREE, .addr = addr, .bytes = bytes});
}

/* A transcript has no line for these; the machine has no memory to act on. */
static void os_give_up(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx, (void)addr, (void)bytes;
}

static bool os_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    (void)ctx, (void)addr, (void)bytes, (void)access;
    return true;
}

/* --- what the arena tells -------------------------------------------------------------------- */

static void race_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    show(ctx, &(kiln_event_t){.kind = KILN_EVENT_RACE, .addr = addr, .bytes = bytes});
}

static void log_bound(void *ctx, kiln_addr_t old_used, kiln_addr_t new_used)
{
    show_layout(ctx);
    show(ctx, &(kiln_event_t){.kind = KILN_EVENT_PUBLISH, .addr = old_used, .new_used = new_used});
}

static void log_outside(void *ctx, kiln_addr_t addr)
{
    show(ctx, &(kiln_event_t){.kind = KILN_EVENT_OUTSIDE, .addr = addr});
}

static void log_returned(void *ctx, uint64_t bytes, const kiln_arena_result_t *result)
{
    if (result->throw_reason) return;
    show(ctx, &(kiln_event_t){.kind = KILN_EVENT_RETURNED, .bytes = bytes, .result = result});
}

/* --- configuration --------------------------------------------------------------------------- */

static uint64_t setting(const kiln_player_t *player, kiln_trace_key_t key, uint64_t otherwise)
{
    return player->trace->key_lines[key] != 0 ? player->settings[key] : otherwise;
}

/* config_up_to gives the configuration from the settings in lines up to `line`. */
static kiln_arena_config_t config_up_to(const kiln_player_t *player, uint64_t line)
{
    kiln_arena_config_t config = kiln_arena_config_default(player->trace->addr_bits, KILN_KIB(4));
    config.follow = KILN_FOLLOW_SEED;
    for (unsigned key = 0; key < KILN_TRACE_KEYS; key++) {
        uint64_t value = player->settings[key];
        if (player->trace->key_lines[key] == 0 || player->trace->key_lines[key] > line) continue;
        switch ((kiln_trace_key_t)key) {
        case KILN_TRACE_PAGE:
            config.page_bytes = value;
            break;
        case KILN_TRACE_PHYS:
            config.phys_bytes = value;
            break;
        case KILN_TRACE_BLOCK:
            config.block_bytes = value;
            break;
        case KILN_TRACE_STRAND:
            config.strand_bytes = value;
            break;
        case KILN_TRACE_MAXMEM:
            config.addr_max = value;
            break;
        case KILN_TRACE_FOLLOW:
            config.follow = (kiln_follow_t)value;
            break;
        case KILN_TRACE_TABLE_SET:
            config.tables = (unsigned)value;
            break;
        default:
            break; /* the rest is not configuration */
        }
    }
    return config;
}

static const char *config_fault(const kiln_arena_config_t *config)
{
    const char *rule = kiln_arena_config_broken_rule(config);
    if (rule || config->follow != KILN_FOLLOW_KILN) return rule;
    uint64_t table_bytes = config->addr_max / (4 * config->word_bytes) +
                           config->addr_max / config->page_bytes * config->word_bytes;
    if (table_bytes / config->phys_bytes > PRESENT_PAGES_MAX)
        return "follow kiln remembers every page of the tables, and maxmem makes them too large";
    return NULL;
}

/* config_line gives the line of the setting that brought the fault about. */
static uint64_t config_line(const kiln_player_t *player, uint64_t last_line)
{
    for (uint64_t line = 1; line <= last_line; line++) {
        kiln_arena_config_t config = config_up_to(player, line);
        if (config_fault(&config)) return line;
    }
    return last_line;
}

static uint64_t last_setting_line(const kiln_trace_t *trace)
{
    uint64_t last = trace->width_line;
    for (unsigned key = 0; key < KILN_TRACE_KEYS; key++)
        if (trace->key_lines[key] > last) last = trace->key_lines[key];
    return last;
}

static void place(kiln_player_t *player, uint64_t last_line)
{
    uint64_t start = setting(player, KILN_TRACE_ARENA_START, 0);
    uint64_t used = setting(player, KILN_TRACE_ARENA_USED, start);
    uint64_t alloc = setting(player, KILN_TRACE_ARENA_ALLOC, used);
    uint64_t end = setting(player, KILN_TRACE_ARENA_END, alloc);
    bool reserved = setting(player, KILN_TRACE_RESERVED, 1) != 0;
    const char *fault = kiln_arena_place(&player->arena, start, used, alloc, end, reserved);
    if (fault) kiln_trace_break(player->trace, last_line, "such an arena cannot be: %s", fault);
}

/* mallocinit finds the addresses itself. */
static void refuse_placement(kiln_player_t *player)
{
    static const kiln_trace_key_t keys[] = {KILN_TRACE_ARENA_START, KILN_TRACE_ARENA_USED,
                                            KILN_TRACE_ARENA_ALLOC, KILN_TRACE_ARENA_END,
                                            KILN_TRACE_RESERVED};
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (player->trace->key_lines[keys[i]] != 0)
            kiln_trace_break(player->trace, player->trace->key_lines[keys[i]],
                             "%s is what mallocinit, the first step, finds out",
                             kiln_trace_key_name(keys[i]));
}

static void make_arena(kiln_player_t *player, uint64_t last_line)
{
    kiln_arena_config_t config = config_up_to(player, UINT64_MAX);
    const char *fault = config_fault(&config);
    bool race = setting(player, KILN_TRACE_RACE, 0) != 0;

    if (fault) {
        kiln_trace_break(player->trace, config_line(player, last_line), "%s", fault);
        return;
    }
    player->os = (kiln_os_t){.ctx = player,
                             .phys_bytes = config.phys_bytes,
                             .addr_bits = config.addr_bits,
                             .reserve = os_reserve,
                             .commit = os_commit,
                             .discard = os_give_up,
                             .decommit = os_give_up,
                             .protect = os_protect,
                             .release = os_release,
                             .direct = os_direct};
    player->watcher = (kiln_watcher_t){.ctx = player, .grow = race_grow};
    player->log = (kiln_arena_log_t){
        .ctx = player, .bound = log_bound, .outside = log_outside, .returned = log_returned};
    size_t words = kiln_arena_present_words(&config);
    player->present = words > 0 ? calloc(words, sizeof *player->present) : NULL;
    if (words > 0 && !player->present) {
        kiln_trace_break(player->trace, last_line, "not enough memory for an arena of this maxmem");
        return;
    }
    fault = kiln_arena_init(&player->arena, &config, &player->os, race ? &player->watcher : NULL,
                            &player->log, player->present);
    if (fault) kiln_trace_break(player->trace, last_line, "%s", fault);
}

static void throw(kiln_player_t * player, const char *reason)
{
    player->thrown = true;
    show(player, &(kiln_event_t){.kind = KILN_EVENT_THROW, .reason = reason});
}

/* configure reads the settings, makes the arena, and shows it. */
static void configure(kiln_player_t *player)
{
    while (peek(player) &&
           (player->next.kind == KILN_TRACE_WIDTH || player->next.kind == KILN_TRACE_SET)) {
        if (player->next.kind == KILN_TRACE_SET)
            player->settings[player->next.key] = player->next.number;
        player->has_next = false;
    }
    if (player->trace->error_line != 0) return;

    uint64_t last_line = last_setting_line(player->trace);
    bool starts = player->has_next && player->next.kind == KILN_TRACE_MALLOCINIT;
    make_arena(player, last_line);
    if (starts)
        refuse_placement(player);
    else if (player->trace->error_line == 0)
        place(player, last_line);
    if (player->trace->error_line != 0) return;

    bool follow_maps = player->arena.config.follow != KILN_FOLLOW_SEED && !starts;
    show(player, &(kiln_event_t){.kind = KILN_EVENT_CONFIG});
    if (setting(player, KILN_TRACE_INIT_MAP, follow_maps) != 0) {
        const char *reason = kiln_arena_publish_start(&player->arena);
        if (reason) throw(player, reason);
    }
    show_state(player);
}

/* --- steps ----------------------------------------------------------------------------------- */

static const char *start_arena(kiln_player_t *player, const kiln_trace_directive_t *step)
{
    player->layout_due = true;
    const char *reason =
        kiln_arena_start(&player->arena, step->arch, step->end, step->brk, &player->layout);
    show_layout(player);
    player->layout_due = false;
    return reason;
}

static const char *grow(kiln_player_t *player, uint64_t pages)
{
    uint64_t bytes = 0;
    kiln_arena_result_t result = kiln_arena_grow(&player->arena, pages, &bytes);
    if (result.addr == 0 && !result.throw_reason)
        show(player, &(kiln_event_t){.kind = KILN_EVENT_NO_MEMORY, .bytes = bytes});
    return result.throw_reason;
}

static void take_step(kiln_player_t *player)
{
    kiln_trace_directive_t step = player->next;
    const char *reason = NULL;

    player->has_next = false;
    player->step_line = step.line;
    player->step_idx++;
    show(player,
         &(kiln_event_t){.kind = KILN_EVENT_STEP, .step = &step, .step_idx = player->step_idx});
    if (step.kind == KILN_TRACE_MALLOCINIT)
        reason = start_arena(player, &step);
    else if (step.kind == KILN_TRACE_GROW)
        reason = grow(player, step.number);
    else
        reason = kiln_arena_alloc(&player->arena, step.number).throw_reason;
    if (reason) throw(player, reason);
    show_state(player);
}

static void refuse_answer(kiln_player_t *player)
{
    const kiln_trace_directive_t *answer = &player->next;
    kiln_trace_break(player->trace, answer->line, "nobody asked for this answer to a %s",
                     kiln_trace_kind_name(answer->kind));
}

bool kiln_player_run(kiln_player_t *player, kiln_trace_t *trace, const kiln_view_t *views,
                     unsigned views_count)
{
    *player = (kiln_player_t){.trace = trace, .views_count = views_count};
    for (unsigned i = 0; i < views_count; i++) player->views[i] = views[i];

    configure(player);
    while (trace->error_line == 0 && !player->thrown && peek(player)) {
        if (kiln_trace_is_answer(player->next.kind))
            refuse_answer(player);
        else
            take_step(player);
    }
    /* Nothing runs after a throw, but what is written there must still be the language. */
    while (trace->error_line == 0 && peek(player)) player->has_next = false;
    return trace->error_line == 0;
}

void kiln_player_free(kiln_player_t *player)
{
    free(player->present);
    player->present = NULL;
}
