#include "tools/replay/axis.h"

#include <stdlib.h>

/* Pixels. A drawing is about as high as a screen, unless very many bands need more. */
#define HEIGHT_WANTED 560.0
#define GAP_HEIGHT 24.0
#define BAND_HEIGHT_MIN 15.0
#define BAND_HEIGHT_TINY 0.5 /* where there are more than BANDS_FEW, but for the large ones */
#define BAND_HEIGHT_LARGE_MIN 12.0
#define WEIGHT_LARGE 11.0 /* from about 128 MiB on */
enum { BANDS_FEW = 30 };

/* An end of a range: `step` is 1 where one begins and -1 where one ends. */
typedef struct edge {
    uint64_t addr;
    int step;
} edge_t;

static int by_addr(const void *left, const void *right)
{
    const edge_t *a = left, *b = right;
    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/* weight_of grows by one when `bytes` doubles; 64 KiB weigh about one. */
static double weight_of(uint64_t bytes)
{
    double weight = 0.5;
    for (uint64_t units = (bytes >> 16) + 1; units > 1; units /= 2)
        weight += units < 4 ? (double)units / 2 - 0.5 : 1.0;
    return weight;
}

static void cut_bands(kiln_axis_t *axis, const edge_t *edges, size_t count)
{
    int depth = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        depth += edges[i].step;
        if (edges[i].addr == edges[i + 1].addr) continue;
        axis->bands[axis->count++] =
            (kiln_axis_band_t){.start = edges[i].addr, .end = edges[i + 1].addr, .gap = depth == 0};
    }
}

static void set_heights(kiln_axis_t *axis)
{
    double weights = 0, gaps = 0, y = 0;
    for (size_t i = 0; i < axis->count; i++) {
        if (axis->bands[i].gap)
            gaps += GAP_HEIGHT;
        else
            weights += weight_of(axis->bands[i].end - axis->bands[i].start);
    }
    double room = HEIGHT_WANTED - gaps;
    if (room < HEIGHT_WANTED / 2) room = HEIGHT_WANTED / 2;
    for (size_t i = axis->count; i-- > 0;) {
        kiln_axis_band_t *band = &axis->bands[i];
        double height = GAP_HEIGHT;
        if (!band->gap) {
            double weight = weight_of(band->end - band->start);
            double least = axis->count <= BANDS_FEW ? BAND_HEIGHT_MIN
                           : weight > WEIGHT_LARGE  ? BAND_HEIGHT_LARGE_MIN
                                                    : BAND_HEIGHT_TINY;
            height = room * weight / weights;
            if (height < least) height = least;
        }
        band->top = y;
        y += height;
        band->bottom = y;
    }
    axis->height = y;
}

bool kiln_axis_make(kiln_axis_t *axis, const kiln_axis_range_t *ranges, size_t count)
{
    edge_t *edges = malloc((2 * count + 1) * sizeof *edges);
    size_t edges_count = 0;

    *axis = (kiln_axis_t){.bands = malloc((2 * count + 1) * sizeof *axis->bands)};
    if (!edges || !axis->bands) {
        free(edges);
        kiln_axis_free(axis);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        edges[edges_count++] = (edge_t){.addr = ranges[i].start, .step = 1};
        edges[edges_count++] = (edge_t){.addr = ranges[i].end, .step = -1};
    }
    qsort(edges, edges_count, sizeof *edges, by_addr);
    cut_bands(axis, edges, edges_count);
    set_heights(axis);
    free(edges);
    return true;
}

void kiln_axis_free(kiln_axis_t *axis)
{
    free(axis->bands);
    *axis = (kiln_axis_t){.bands = NULL};
}

double kiln_axis_y(const kiln_axis_t *axis, uint64_t addr)
{
    size_t low = 0, high = axis->count;

    if (axis->count == 0 || addr <= axis->bands[0].start) return axis->height;
    if (addr >= axis->bands[axis->count - 1].end) return 0;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (axis->bands[middle].start <= addr)
            low = middle;
        else
            high = middle;
    }
    const kiln_axis_band_t *band = &axis->bands[low];
    double part = (double)(addr - band->start) / (double)(band->end - band->start);
    return band->bottom - part * (band->bottom - band->top);
}
