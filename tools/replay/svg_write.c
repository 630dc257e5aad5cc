/* The picture of a kiln_svg_t. */
#include "tools/replay/axis.h"
#include "tools/replay/svg.h"

#include <stdlib.h>
#include <string.h>

/* Pixels. */
#define LEFT 168.0 /* addresses stand here */
#define RIGHT 40.0
#define TOP 150.0   /* title, legend, what was asked */
#define TABLES 96.0 /* the side tables, below the plot and how each step ended */
#define TABLE_ROW 26.0
#define LABEL_GAP 13.0

typedef struct picture {
    const kiln_svg_t *svg;
    FILE *out;
    kiln_axis_t axis;
    double column, width; /* of a step; of all */
    double outcome;       /* height of the texts below the plot */
} picture_t;

typedef struct look {
    const char *class_name, *title;
} look_t;

static const look_t looks[KILN_SVG_KINDS] = {
    [KILN_SVG_HELD] = {"held", "stranded: held, out of reach"},
    [KILN_SVG_LAYOUT] = {"layout", "address space of the side tables"},
    [KILN_SVG_CURRENT] = {"current", "current block: arena_alloc to arena_end"},
    [KILN_SVG_KEPT] = {"kept", "kept remainder of an earlier block"},
    [KILN_SVG_HEAP] = {"heap", "heap, handed out"},
    [KILN_SVG_REJECTED] = {"rejected", "offered by the OS, given back"},
    [KILN_SVG_TABLES] = {"tables", "side table mapped for it"},
    [KILN_SVG_RACE] = {"race", "race detector told"},
};

static const char style[] =
    "<style>\n"
    "  text{font:11px system-ui,'Helvetica Neue',Arial,sans-serif;fill:#333}\n"
    "  .title{font-size:17px;font-weight:600;fill:#111} .sub{font-size:12px;fill:#666}\n"
    "  .addr{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:10.5px;fill:#555}\n"
    "  .gaptext{font-size:10px;fill:#999;font-style:italic} .step{font-weight:600;fill:#111}\n"
    "  .bad{fill:#b3261e;font-weight:600} .grid{stroke:#e4e4e4;stroke-width:1}\n"
    "  .gap{fill:url(#gap)} .badcolumn{fill:#fdecea}\n"
    "  .held{fill:url(#stranded);stroke:#c9c9c9} .layout{fill:#ece6f7;stroke:#cdbfe8}\n"
    "  .current{fill:#d5e7f8;stroke:#9cc3e6} .kept{fill:#fbe2ad;stroke:#e0b050}\n"
    "  .heap{fill:#3d8b63;stroke:#fff;stroke-width:.6} .small{fill:#8bbf4d}\n"
    "  .rejected{fill:url(#rejected);stroke:#c0392b;stroke-dasharray:4 2}\n"
    "  .thin{stroke:none;shape-rendering:crispEdges}\n"
    "  .tables{fill:#7b5cd6} .race{fill:#ef8e19}\n"
    "  .used{fill:none;stroke:#b0205a;stroke-width:2} .raised{fill:#b0205a}\n"
    "  .bits{fill:#d9efec;stroke:#2a9d8f} .spans{fill:#e5def8;stroke:#7b5cd6}\n"
    "</style>\n"
    "<defs>\n"
    "  <pattern id='stranded' width='6' height='6' patternUnits='userSpaceOnUse'"
    " patternTransform='rotate(45)'><rect width='6' height='6' fill='#f4f4f4'/>"
    "<path d='M0 0V6' stroke='#c4c4c4' stroke-width='2'/></pattern>\n"
    "  <pattern id='rejected' width='7' height='7' patternUnits='userSpaceOnUse'"
    " patternTransform='rotate(-45)'><rect width='7' height='7' fill='#fff'/>"
    "<path d='M0 0V7' stroke='#f0b4ae' stroke-width='2'/></pattern>\n"
    "  <pattern id='gap' width='4' height='4' patternUnits='userSpaceOnUse'>"
    "<rect width='4' height='4' fill='#fafafa'/><circle cx='1' cy='1' r='.5' fill='#ccc'/>"
    "</pattern>\n"
    "</defs>\n";

/* A size as a person says it: "256 MiB", "1.5 GiB", "4 KiB". */
typedef struct spoken {
    char text[32];
} spoken_t;

static spoken_t size_text(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    spoken_t spoken;
    unsigned unit = 0;
    double amount = (double)bytes;
    for (; amount >= 1024 && unit < 6; unit++) amount /= 1024;
    bool whole = amount == (double)(uint64_t)amount;
    snprintf(spoken.text, sizeof spoken.text, whole ? "%.0f %s" : "%.1f %s", amount, units[unit]);
    return spoken;
}

static double x_of(const picture_t *picture, size_t step)
{
    size_t last = picture->svg->steps_count;
    return LEFT + (double)(step < last ? step : last) * picture->column;
}

static double y_of(const picture_t *picture, uint64_t addr)
{
    return TOP + kiln_axis_y(&picture->axis, addr);
}

static void text_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '>')
            fputs("&gt;", out);
        else if (*text == '&')
            fputs("&amp;", out);
        else if ((unsigned char)*text >= ' ' && (unsigned char)*text < 0x7f)
            fputc(*text, out);
        else
            fputc('?', out);
    }
}

/* --- the axis -------------------------------------------------------------------------------- */

static bool make_axis(picture_t *picture)
{
    const kiln_svg_t *svg = picture->svg;
    size_t room = svg->areas_count + svg->steps_count + 2, count = 0;
    kiln_axis_range_t *ranges = malloc(room * sizeof *ranges);
    if (!ranges) return false;
    for (size_t i = 0; i < svg->areas_count; i++)
        if (svg->areas[i].kind < KILN_SVG_TABLES) /* tables are drawn as far as the axis goes */
            ranges[count++] = (kiln_axis_range_t){svg->areas[i].start, svg->areas[i].end};
    for (size_t i = 0; i < svg->steps_count; i++)
        ranges[count++] = (kiln_axis_range_t){svg->steps[i].used, svg->steps[i].used};
    ranges[count++] = (kiln_axis_range_t){svg->arena_start, svg->arena_start};
    /* One address only: give it a page, so that there is an axis. */
    uint64_t page = svg->arena_start + svg->config.page_bytes;
    if (svg->areas_count == 0) ranges[count++] = (kiln_axis_range_t){svg->arena_start, page};
    bool made = kiln_axis_make(&picture->axis, ranges, count);
    free(ranges);
    return made;
}

static void draw_gaps(const picture_t *picture)
{
    for (size_t i = 0; i < picture->axis.count; i++) {
        const kiln_axis_band_t *band = &picture->axis.bands[i];
        if (!band->gap) continue;
        fprintf(picture->out, "<rect class='gap' x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>\n",
                LEFT, TOP + band->top, picture->width, band->bottom - band->top);
        fprintf(picture->out, "<text class='gaptext' x='%.1f' y='%.1f'>%s not ours</text>\n",
                LEFT + picture->width + 5, TOP + (band->top + band->bottom) / 2 + 3.5,
                size_text(band->end - band->start).text);
    }
}

static void draw_address(const picture_t *picture, uint64_t addr, double y)
{
    fprintf(picture->out,
            "<path class='grid' d='M%.1f %.1fH%.1f'/>"
            "<text class='addr' text-anchor='end' x='%.1f' y='%.1f'>0x%llx</text>\n",
            LEFT - 4, y, LEFT + picture->width, LEFT - 8, y + 3.5, (unsigned long long)addr);
}

/* Addresses stand beside the edges of the bands, as many as there is room for. Edges of gaps come
 * first: there something begins or ends. */
static void draw_addresses(const picture_t *picture)
{
    const kiln_axis_t *axis = &picture->axis;
    size_t rows = (size_t)(axis->height / LABEL_GAP) + 2;
    bool *taken = calloc(rows, sizeof *taken);
    if (!taken) return; /* the rest of the picture stands without */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i <= axis->count; i++) {
            bool gap_below = i > 0 && axis->bands[i - 1].gap;
            bool gap_above = i < axis->count && axis->bands[i].gap;
            bool edge = i == 0 || i == axis->count || gap_below || gap_above;
            if (edge != (pass == 0)) continue;
            uint64_t addr = i == axis->count ? axis->bands[i - 1].end : axis->bands[i].start;
            double y = kiln_axis_y(axis, addr);
            size_t row = (size_t)(y / LABEL_GAP);
            if (taken[row] || (row > 0 && taken[row - 1]) || taken[row + 1]) continue;
            taken[row] = true;
            draw_address(picture, addr, TOP + y);
        }
    free(taken);
}

/* --- areas ----------------------------------------------------------------------------------- */

static void draw_area(const picture_t *picture, const kiln_svg_area_t *area)
{
    const char *class_name = looks[area->kind].class_name;
    bool mark = area->kind == KILN_SVG_TABLES || area->kind == KILN_SVG_RACE;
    double x = x_of(picture, area->first_step);
    double width = x_of(picture, area->end_step) - x;
    double top = y_of(picture, area->end), height = y_of(picture, area->start) - top;

    if (mark) {
        /* A narrow bar, the table's at the left of its step and the watcher's beside it. */
        width = picture->column >= 16 ? 4 : picture->column / 4;
        x += area->kind == KILN_SVG_RACE ? width + 1 : 1;
    }
    if (height <= 0 || width <= 0) return;
    bool thin = height < 4 || picture->column < 6; /* an outline would be all there is to see, */
    if (thin) height += 0.5;                       /* and neighbours must not leave a gap */
    fprintf(picture->out,
            "<rect class='%s%s%s' x='%.1f' y='%.2f' width='%.1f' height='%.2f'>"
            "<title>%s\n%#llx to %#llx, %s, from step %zu on",
            class_name, area->small ? " small" : "", thin ? " thin" : "", x, top, width, height,
            looks[area->kind].title, (unsigned long long)area->start, (unsigned long long)area->end,
            size_text(area->end - area->start).text, area->first_step);
    if (area->kind == KILN_SVG_HEAP)
        fprintf(picture->out, "\nvia %s%s", kiln_arena_branch_name(area->branch),
                area->small ? "/small" : "");
    fputs("</title></rect>\n", picture->out);
    bool room = height >= 14 && width >= 80 && picture->column >= 40;
    if (area->kind == KILN_SVG_HEAP && room)
        fprintf(picture->out, "<text x='%.1f' y='%.1f' style='fill:#fff'>%s</text>\n", x + 14,
                top + height / 2 + 4, size_text(area->end - area->start).text);
}

static void draw_areas(const picture_t *picture)
{
    const kiln_svg_t *svg = picture->svg;
    for (int kind = 0; kind < KILN_SVG_KINDS; kind++)
        for (size_t i = 0; i < svg->areas_count; i++)
            if (svg->areas[i].kind == (kiln_svg_kind_t)kind) draw_area(picture, &svg->areas[i]);
}

static void draw_used(const picture_t *picture)
{
    const kiln_svg_t *svg = picture->svg;
    fputs("<path class='used' d='", picture->out);
    for (size_t i = 0; i < svg->steps_count; i++)
        fprintf(picture->out, "%s%.1f %.2fH%.1f", i == 0 ? "M" : "L", x_of(picture, i),
                y_of(picture, svg->steps[i].used), x_of(picture, i + 1));
    fputs("'><title>arena_used</title></path>\n", picture->out);
    double radius = picture->column >= 8 ? 4 : picture->column / 2;
    for (size_t i = 0; i < svg->steps_count; i++)
        if (svg->steps[i].raised)
            fprintf(picture->out,
                    "<circle class='raised' cx='%.1f' cy='%.2f' r='%.1f'>"
                    "<title>step %zu publishes arena_used %#llx</title></circle>\n",
                    x_of(picture, i), y_of(picture, svg->steps[i].used), radius, i,
                    (unsigned long long)svg->steps[i].used);
}

/* --- steps ----------------------------------------------------------------------------------- */

static bool is_bad(const kiln_svg_step_t *step)
{
    return step->failed || step->throw_reason;
}

static void draw_columns(const picture_t *picture)
{
    double height = picture->axis.height;
    for (size_t i = 0; i < picture->svg->steps_count; i++) {
        if (is_bad(&picture->svg->steps[i]))
            fprintf(picture->out,
                    "<rect class='badcolumn' x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>\n",
                    x_of(picture, i), TOP, picture->column, height);
        if (picture->column >= 6)
            fprintf(picture->out, "<path class='grid' d='M%.1f %.1fV%.1f'/>\n",
                    x_of(picture, i + 1), TOP, TOP + height);
    }
}

static void asked_text(char *text, size_t room, const kiln_svg_t *svg, size_t step)
{
    const kiln_svg_step_t *s = &svg->steps[step];
    if (step == 0)
        snprintf(text, room, "start");
    else if (s->kind == KILN_TRACE_MALLOCINIT)
        snprintf(text, room, "mallocinit");
    else if (s->kind == KILN_TRACE_GROW)
        snprintf(text, room, "grow %llu", (unsigned long long)s->number);
    else
        snprintf(text, room, "%s", size_text(s->number).text);
}

static void draw_asked(const picture_t *picture)
{
    size_t every = picture->column >= 13 ? 1 : (size_t)(26 / picture->column) + 1;
    for (size_t i = 0; i < picture->svg->steps_count; i += every) {
        char text[64];
        double x = x_of(picture, i) + picture->column / 2;
        asked_text(text, sizeof text, picture->svg, i);
        if (picture->column >= 60)
            fprintf(picture->out,
                    "<text class='step' text-anchor='middle' x='%.1f' y='%.1f'>%zu</text>"
                    "<text text-anchor='middle' x='%.1f' y='%.1f'>%s</text>\n",
                    x, TOP - 22, i, x, TOP - 8, text);
        else
            fprintf(picture->out,
                    "<text transform='translate(%.1f %.1f) rotate(-55)'>"
                    "<tspan class='step'>%zu</tspan> %s</text>\n",
                    x, TOP - 5, i, every == 1 ? text : "");
    }
}

static void outcome_text(char *text, size_t room, const kiln_svg_step_t *step)
{
    if (step->throw_reason)
        snprintf(text, room, "throw: %.40s", step->throw_reason);
    else if (step->returned)
        snprintf(text, room, "%s%s", kiln_arena_branch_name(step->branch),
                 kiln_arena_service_suffix(step->service));
    else
        text[0] = '\0';
}

/* In narrow columns only what is not a plain bump is written, where there is room. */
static bool writes_outcome(const picture_t *picture, size_t i, double free_x)
{
    const kiln_svg_step_t *step = &picture->svg->steps[i];
    bool plain = step->branch == KILN_ARENA_BUMP && !is_bad(step);
    if (!step->returned && !step->throw_reason) return false;
    return picture->column >= 13 || (!plain && x_of(picture, i) >= free_x);
}

static double outcome_height(const picture_t *picture)
{
    size_t longest = 0;
    for (size_t i = 0; i < picture->svg->steps_count; i++) {
        char text[96];
        if (!writes_outcome(picture, i, 0)) continue;
        outcome_text(text, sizeof text, &picture->svg->steps[i]);
        if (strlen(text) > longest) longest = strlen(text);
    }
    return 24 + 3.6 * (double)longest;
}

static void draw_outcomes(const picture_t *picture)
{
    double y = TOP + picture->axis.height + 14, free_x = 0;
    for (size_t i = 0; i < picture->svg->steps_count; i++) {
        const kiln_svg_step_t *step = &picture->svg->steps[i];
        char text[96];
        if (!writes_outcome(picture, i, free_x)) continue;
        free_x = x_of(picture, i) + 13;
        outcome_text(text, sizeof text, step);
        fprintf(picture->out, "<text%s transform='translate(%.1f %.1f) rotate(40)'>%s</text>\n",
                is_bad(step) ? " class='bad'" : "", x_of(picture, i) + picture->column / 2 - 4, y,
                text);
    }
}

/* --- side tables ----------------------------------------------------------------------------- */

static uint64_t table_bytes(const kiln_svg_step_t *step, bool bits)
{
    return bits ? step->bits_bytes : step->spans_bytes;
}

static void draw_table_line(const picture_t *picture, bool bits, double y)
{
    const kiln_svg_t *svg = picture->svg;
    double height = TABLE_ROW - 8;
    uint64_t peak = 1;
    for (size_t i = 0; i < svg->steps_count; i++)
        if (table_bytes(&svg->steps[i], bits) > peak) peak = table_bytes(&svg->steps[i], bits);
    fprintf(picture->out, "<path class='%s' d='M%.1f %.1f", bits ? "bits" : "spans", LEFT,
            y + height);
    for (size_t i = 0; i < svg->steps_count; i++)
        fprintf(picture->out, "L%.1f %.2fH%.1f", x_of(picture, i),
                y + height - height * (double)table_bytes(&svg->steps[i], bits) / (double)peak,
                x_of(picture, i + 1));
    fprintf(picture->out,
            "V%.1fZ'/>\n<text text-anchor='end' x='%.1f' y='%.1f'>%s</text>"
            "<text x='%.1f' y='%.1f'>%s</text>\n",
            y + height, LEFT - 8, y + height, bits ? "bitmap" : "span table",
            LEFT + picture->width + 5, y + height,
            size_text(table_bytes(&svg->steps[svg->steps_count - 1], bits)).text);
}

static void draw_tables(const picture_t *picture)
{
    double y = TOP + picture->axis.height + picture->outcome + 22;
    fprintf(
        picture->out,
        "<text class='sub' x='%.1f' y='%.1f'>side tables mapped, each to its own scale</text>\n",
        LEFT, y - 7);
    for (int id = 0; id < KILN_ARENA_TABLES; id++) {
        if (!(picture->svg->config.tables >> id & 1)) continue;
        draw_table_line(picture, id == KILN_ARENA_BITS, y);
        y += TABLE_ROW;
    }
}

/* --- title and legend ------------------------------------------------------------------------ */

static double legend_item(const picture_t *picture, double x, double y, const char *shape,
                          const char *class_name, const char *title)
{
    fprintf(picture->out, shape, class_name, x, y);
    fprintf(picture->out, "<text x='%.1f' y='%.1f'>%s</text>\n", x + 20, y + 10, title);
    return x + 44 + 5.6 * (double)strlen(title);
}

static bool seen(const kiln_svg_t *svg, kiln_svg_kind_t kind, bool small)
{
    for (size_t i = 0; i < svg->areas_count; i++)
        if (svg->areas[i].kind == kind && svg->areas[i].small == small) return true;
    return false;
}

static void draw_legend(const picture_t *picture, double page_width)
{
    static const char box[] = "<rect class='%s' x='%.1f' y='%.1f' width='14' height='12'/>";
    static const char bar[] = "<rect class='%s' x='%.1f' y='%.1f' width='5' height='12'/>";
    static const char line[] = "<path class='%s' transform='translate(%.1f %.1f)' d='M0 6H14'/>";
    double x = 24, y = 58;
    for (int i = -1; i <= KILN_SVG_KINDS; i++) {
        kiln_svg_kind_t kind = i < 0 || i == KILN_SVG_KINDS ? KILN_SVG_HEAP : (kiln_svg_kind_t)i;
        bool small = i == KILN_SVG_KINDS;
        bool narrow = kind == KILN_SVG_TABLES || kind == KILN_SVG_RACE;
        if (i < 0) {
            x = legend_item(picture, x, y, line, "used", "arena_used (dot: published)");
            continue;
        }
        if (!seen(picture->svg, kind, small)) continue;
        if (x > page_width - 250) x = 24, y += 18;
        x = legend_item(picture, x, y, narrow ? bar : box,
                        small ? "heap small" : looks[kind].class_name,
                        small ? "heap from the small fallback" : looks[kind].title);
    }
}

static void draw_title(const picture_t *picture, const char *name)
{
    const kiln_svg_t *svg = picture->svg;
    const char *slash = strrchr(name, '/');
    fputs("<text class='title' x='24' y='28'>Address space of ", picture->out);
    text_escaped(picture->out, slash ? slash + 1 : name);
    fprintf(picture->out,
            "</text>\n<text class='sub' x='24' y='46'>follow %s, %u-bit addresses, page %s, "
            "hardware page %s, granule %s, steps: %zu; at the end %s of heap",
            kiln_follow_name(svg->config.follow), svg->config.addr_bits,
            size_text(svg->config.page_bytes).text, size_text(svg->config.phys_bytes).text,
            size_text(svg->config.block_bytes).text, svg->steps_count - 1,
            size_text(svg->heap_sys_bytes).text);
    if (svg->cut)
        fprintf(picture->out, ". The trace goes on: only its first %d steps are drawn",
                KILN_SVG_STEPS_MAX);
    fputs("</text>\n", picture->out);
}

bool kiln_svg_write(const kiln_svg_t *svg, const char *name, FILE *out)
{
    picture_t picture = {.svg = svg, .out = out};

    if (svg->failed || svg->steps_count == 0 || !make_axis(&picture)) return false;
    picture.column = 960.0 / (double)svg->steps_count;
    if (picture.column > 140) picture.column = 140;
    if (picture.column < 1) picture.column = 1;
    picture.width = picture.column * (double)svg->steps_count;
    double width = LEFT + picture.width + RIGHT + 90;
    if (width < 760) width = 760;
    picture.outcome = outcome_height(&picture);
    double height = TOP + picture.axis.height + picture.outcome + TABLES;

    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' "
            "viewBox='0 0 %.0f %.0f'>\n",
            width, height, width, height);
    fputs(style, out);
    fprintf(out, "<rect width='%.0f' height='%.0f' fill='#fff'/>\n", width, height);
    draw_title(&picture, name);
    draw_legend(&picture, width);
    draw_columns(&picture);
    draw_gaps(&picture);
    draw_addresses(&picture);
    draw_areas(&picture);
    draw_used(&picture);
    draw_asked(&picture);
    draw_outcomes(&picture);
    draw_tables(&picture);
    fputs("</svg>\n", out);
    kiln_axis_free(&picture.axis);
    return true;
}
