#include "tools/replay/svg.h"

#include <stdlib.h>

#define TO_THE_END SIZE_MAX

void kiln_svg_init(kiln_svg_t *svg)
{
    *svg = (kiln_svg_t){.areas = NULL};
}

void kiln_svg_free(kiln_svg_t *svg)
{
    free(svg->areas);
    free(svg->steps);
    kiln_svg_init(svg);
}

/* room_for makes an array hold one more; false, and the picture is given up: no memory. */
static bool room_for(kiln_svg_t *svg, void **array, size_t *room, size_t count, size_t item_bytes)
{
    if (svg->failed) return false;
    if (count < *room) return true;
    size_t more = *room == 0 ? 64 : *room * 2;
    void *bigger = realloc(*array, more * item_bytes);
    if (!bigger) {
        svg->failed = true;
        return false;
    }
    *array = bigger;
    *room = more;
    return true;
}

static size_t now(const kiln_svg_t *svg)
{
    return svg->steps_count - 1;
}

static void add_area(kiln_svg_t *svg, kiln_svg_area_t area)
{
    void *array = svg->areas;
    if (area.start >= area.end) return;
    if (!room_for(svg, &array, &svg->areas_room, svg->areas_count, sizeof area)) return;
    svg->areas = array;
    svg->areas[svg->areas_count++] = area;
}

static uint64_t end_of(uint64_t start, uint64_t bytes)
{
    return start + bytes < start ? UINT64_MAX : start + bytes;
}

/* An area of this step only, or from this step on. */
static void add_now(kiln_svg_t *svg, kiln_svg_kind_t kind, uint64_t start, uint64_t bytes,
                    bool stays)
{
    add_area(svg, (kiln_svg_area_t){.kind = kind,
                                    .start = start,
                                    .end = end_of(start, bytes),
                                    .first_step = now(svg),
                                    .end_step = stays ? TO_THE_END : now(svg) + 1});
}

/* release ends what is held of [start, end). What came in this very step was rejected. */
static void release(kiln_svg_t *svg, uint64_t start, uint64_t end)
{
    size_t count = svg->areas_count;
    for (size_t i = 0; i < count; i++) {
        kiln_svg_area_t area = svg->areas[i];
        if (area.kind != KILN_SVG_HELD || area.end_step != TO_THE_END) continue;
        if (area.end <= start || end <= area.start) continue;
        kiln_svg_area_t below = area, above = area, gone = area;
        below.end = start;
        above.start = end;
        gone.start = start > area.start ? start : area.start;
        gone.end = end < area.end ? end : area.end;
        gone.end_step = now(svg);
        if (area.first_step == now(svg)) {
            gone.kind = KILN_SVG_REJECTED;
            gone.end_step = now(svg) + 1;
        }
        svg->areas[i] = gone;
        if (area.start < start) add_area(svg, below);
        if (end < area.end) add_area(svg, above);
    }
}

static bool keeps(const kiln_arena_t *arena, const kiln_svg_area_t *area)
{
    for (unsigned i = 0; i < arena->kept_count; i++)
        if (arena->kept[i].start == area->start && arena->kept[i].end == area->end) return true;
    return false;
}

/* follow_state ends the areas that the arena no longer has, and begins the new ones. */
static void follow_state(kiln_svg_t *svg, const kiln_arena_t *arena)
{
    uint64_t alloc = arena->arena_alloc;
    uint64_t left = (arena->arena_end - arena->arena_alloc) & arena->mask;
    bool current_known = false;
    bool kept_known[KILN_ARENA_KEPT_MAX] = {false};

    for (size_t i = 0; i < svg->areas_count; i++) {
        kiln_svg_area_t *area = &svg->areas[i];
        if (area->end_step != TO_THE_END) continue;
        if (area->kind == KILN_SVG_CURRENT) {
            bool same = area->start == alloc && area->end == end_of(alloc, left);
            if (!same) area->end_step = now(svg);
            current_known |= same;
        } else if (area->kind == KILN_SVG_KEPT) {
            if (!keeps(arena, area)) area->end_step = now(svg);
            for (unsigned k = 0; k < arena->kept_count; k++)
                kept_known[k] |=
                    arena->kept[k].start == area->start && arena->kept[k].end == area->end;
        }
    }
    if (!current_known) add_now(svg, KILN_SVG_CURRENT, alloc, left, true);
    for (unsigned k = 0; k < arena->kept_count; k++)
        if (!kept_known[k])
            add_now(svg, KILN_SVG_KEPT, arena->kept[k].start,
                    arena->kept[k].end - arena->kept[k].start, true);
}

static void see_map(kiln_svg_t *svg, const kiln_arena_t *arena, const kiln_event_t *event)
{
    const kiln_arena_table_t *table = &arena->tables[KILN_ARENA_SPANS];
    if (event->use != KILN_OS_SPANS || event->answer != KILN_OS_OK) return;
    uint64_t offset = kiln_arena_table_offset(table, event->addr, event->bytes);
    uint64_t per_byte = table->heap_bytes / table->entry_bytes;
    add_now(svg, KILN_SVG_TABLES, arena->arena_start + offset * per_byte, event->bytes * per_byte,
            false);
}

static void see_returned(kiln_svg_t *svg, const kiln_event_t *event)
{
    kiln_svg_step_t *step = &svg->steps[now(svg)];
    const kiln_arena_result_t *result = event->result;
    step->returned = true;
    step->failed = result->addr == 0;
    step->branch = result->branch;
    step->service = result->service;
    if (result->addr == 0) return;
    add_area(svg, (kiln_svg_area_t){.kind = KILN_SVG_HEAP,
                                    .start = result->addr,
                                    .end = end_of(result->addr, event->bytes),
                                    .first_step = now(svg),
                                    .end_step = TO_THE_END,
                                    .small = result->service == KILN_ARENA_SMALL,
                                    .branch = result->branch});
}

static void see_state(kiln_svg_t *svg, const kiln_arena_t *arena)
{
    kiln_svg_step_t *step = &svg->steps[now(svg)];
    step->used = kiln_arena_used(arena);
    step->bits_bytes = arena->tables[KILN_ARENA_BITS].mapped_bytes;
    step->spans_bytes = arena->tables[KILN_ARENA_SPANS].mapped_bytes;
    svg->arena_start = arena->arena_start;
    svg->heap_sys_bytes = arena->heap_sys_bytes;
    follow_state(svg, arena);
}

static void see_step(kiln_svg_t *svg, kiln_svg_step_t step)
{
    void *array = svg->steps;
    if (svg->steps_count > KILN_SVG_STEPS_MAX) svg->cut = true;
    if (svg->cut) return;
    if (!room_for(svg, &array, &svg->steps_room, svg->steps_count, sizeof step)) return;
    svg->steps = array;
    svg->steps[svg->steps_count++] = step;
}

static void see_config(kiln_svg_t *svg, const kiln_arena_t *arena)
{
    svg->config = arena->config;
    svg->race = arena->watcher != NULL;
    see_step(svg, (kiln_svg_step_t){.number = 0});
    if (svg->failed) return;
    /* What a trace places by hand is held from the beginning on. */
    add_now(svg, KILN_SVG_HELD, arena->arena_alloc,
            (arena->arena_end - arena->arena_alloc) & arena->mask, true);
}

static void see(void *ctx, const kiln_arena_t *arena, const kiln_event_t *event)
{
    kiln_svg_t *svg = ctx;

    if (event->kind == KILN_EVENT_CONFIG) see_config(svg, arena);
    if (event->kind == KILN_EVENT_STEP)
        see_step(svg, (kiln_svg_step_t){.kind = event->step->kind, .number = event->step->number});
    if (svg->cut || svg->failed) return;
    switch (event->kind) {
    case KILN_EVENT_STATE:
        see_state(svg, arena);
        break;
    case KILN_EVENT_RESERVE:
    case KILN_EVENT_SYSALLOC:
        if (event->addr != 0) add_now(svg, KILN_SVG_HELD, event->addr, event->bytes, true);
        break;
    case KILN_EVENT_FREE:
        release(svg, event->addr, end_of(event->addr, event->bytes));
        break;
    case KILN_EVENT_MAP:
        see_map(svg, arena, event);
        break;
    case KILN_EVENT_RACE:
        add_now(svg, KILN_SVG_RACE, event->addr, event->bytes, false);
        break;
    case KILN_EVENT_PUBLISH:
        svg->steps[now(svg)].raised = event->new_used > event->addr;
        break;
    case KILN_EVENT_LAYOUT:
        add_now(svg, KILN_SVG_LAYOUT, event->layout->spans_start,
                event->layout->bitmap_end - event->layout->spans_start, true);
        break;
    case KILN_EVENT_RETURNED:
        see_returned(svg, event);
        break;
    case KILN_EVENT_THROW:
        svg->steps[now(svg)].throw_reason = event->reason;
        break;
    default:
        break; /* has no place on the axis */
    }
}

kiln_view_t kiln_svg_view(kiln_svg_t *svg)
{
    return (kiln_view_t){.ctx = svg, .see = see};
}
