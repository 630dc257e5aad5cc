/* Shapes of one thread and blocks of any size, or of memory over time. */
#include "tests/bench/workload.h"

#include <stdbool.h>

/* Arrays that grow by half, several at once; an operation is one call of realloc. */
static uint64_t run_realloc(kiln_load_t *load)
{
    enum { FIRST_BYTES = 16 };
    if (load->bytes < FIRST_BYTES) workload_misused("realloc wants --bytes to be 16 or more");
    unsigned char **arrays = workload_array(load, load->live, sizeof *arrays);
    uint64_t sum = 0, ops = 0;

    for (unsigned round = 0; ops < load->ops; round++) {
        size_t bytes = 0;
        for (size_t next = FIRST_BYTES; next <= load->bytes; bytes = next, next += next / 2)
            for (size_t i = 0; i < load->live; i++, ops++) {
                unsigned char *grown = realloc(arrays[i], next);
                if (!grown) workload_failed("realloc gave NULL");
                if (bytes > 0 && grown[bytes - 1] != (uint8_t)(i + round))
                    workload_failed("realloc lost what was written");
                for (size_t at = bytes; at < next; at += 4096) grown[at] = (uint8_t)(i + round);
                grown[next - 1] = (uint8_t)(i + round);
                arrays[i] = grown;
            }
        for (size_t i = 0; i < load->live; i++) {
            if (bytes > 0) sum += arrays[i][bytes - 1];
            free(arrays[i]);
            arrays[i] = NULL;
        }
    }
    return sum;
}

/* Zeroed blocks of 256 bytes to 1 MiB, of which eight bytes are touched. */
static uint64_t run_calloc(kiln_load_t *load)
{
    unsigned char **live = workload_array(load, load->live, sizeof *live);
    kiln_rng_t rng = {load->seed};
    uint64_t sum = 0;

    for (uint64_t i = 0; i < load->ops; i++) {
        uint64_t random = kiln_rng_next(&rng);
        unsigned char **at = &live[random % load->live];
        size_t bytes = (size_t)256 << ((random >> 8) % 13);
        free(*at);
        *at = calloc(bytes / 16, 16);
        if (!*at) workload_failed("calloc gave NULL");
        for (size_t k = 0; k < 8; k++) {
            size_t byte = (size_t)(((random >> 24) * (k + 1)) % bytes);
            if ((*at)[byte] > 8) workload_failed("calloc gave a byte that is not zero");
            sum += (*at)[byte]++;
        }
    }
    for (size_t i = 0; i < load->live; i++) free(live[i]);
    return sum;
}

/* Large blocks of 5 to 25 MiB that come and go; a page in 16 is touched. */
static uint64_t run_large(kiln_load_t *load)
{
    unsigned char **live = workload_array(load, load->live, sizeof *live);
    kiln_rng_t rng = {load->seed};
    uint64_t sum = 0;

    for (uint64_t i = 0; i < load->ops; i++) {
        unsigned char **at = &live[kiln_rng_below(&rng, load->live)];
        size_t bytes = (size_t)(5 + kiln_rng_below(&rng, 20)) << 20;
        if (*at) sum += (*at)[0];
        free(*at);
        *at = malloc(bytes);
        if (!*at) workload_failed("malloc gave NULL");
        for (size_t byte = 0; byte < bytes; byte += 65536) (*at)[byte] = (uint8_t)i;
    }
    for (size_t i = 0; i < load->live; i++) free(live[i]);
    return sum;
}

/* A server's day. `live` sessions live long, requests shortly. On a restless one half of the
 * sessions go at once every hour, of ten, and other sizes become common: what stays lies between
 * what goes. On a steady one every hour is as the others: sessions of 32 to 1,055 bytes, small ones
 * more often.
 */
enum { REQUESTS = 256, HOURS = 10 };

static uint8_t counted_replace(kiln_load_t *load, kiln_held_t *held, size_t bytes, uint8_t mark)
{
    load->live_bytes += bytes - (held->block ? held->bytes : 0);
    if (load->live_bytes > load->live_bytes_max) load->live_bytes_max = load->live_bytes;
    return workload_replace(held, bytes, mark);
}

static uint64_t counted_drop(kiln_load_t *load, kiln_held_t *held)
{
    if (held->block) load->live_bytes -= held->bytes;
    return workload_drop(held, 1);
}

static uint64_t session_bytes(uint64_t random, uint64_t hour, bool restless)
{
    if (restless) return 32 + (random % 64 + hour * 24) * (1 + hour % 4);
    return 32 + random % (UINT64_C(32) << (random >> 20) % 6);
}

static uint64_t run_day(kiln_load_t *load, bool restless)
{
    kiln_held_t *sessions = workload_array(load, load->live, sizeof *sessions);
    kiln_held_t *requests = workload_array(load, REQUESTS, sizeof *requests);
    kiln_rng_t rng = {load->seed};
    uint64_t sum = 0, hour_ops = (load->ops + HOURS - 1) / HOURS;

    for (uint64_t i = 0; i < load->ops; i++) {
        uint64_t random = kiln_rng_next(&rng), hour = i / hour_ops;
        if (random % 8 == 0) {
            kiln_held_t *held =
                &sessions[(random >> 8) %
                          (load->live - (restless ? hour % 3 * (load->live / 4) : 0))];
            uint64_t bytes = session_bytes(random >> 32, hour, restless);
            sum += counted_replace(load, held, (size_t)bytes, (uint8_t)i);
        } else {
            kiln_held_t *held = &requests[(random >> 8) % REQUESTS];
            sum += counted_replace(load, held, workload_size(&rng), (uint8_t)i);
        }
        if (restless && i % hour_ops == 0)
            for (size_t k = 0; k < load->live / 2; k++)
                sum += counted_drop(load, &sessions[kiln_rng_below(&rng, load->live)]);
    }
    return sum + workload_drop(sessions, load->live) + workload_drop(requests, REQUESTS);
}

static uint64_t run_server(kiln_load_t *load)
{
    return run_day(load, true);
}

static uint64_t run_steady(kiln_load_t *load)
{
    return run_day(load, false);
}

const kiln_shape_t kiln_shapes_large[] = {
    {"realloc", "arrays that grow by half up to BYTES", run_realloc, 3000, 16 << 20, 8, 0},
    {"calloc", "zeroed blocks of 256 bytes to 1 MiB", run_calloc, 50000, 0, 64, 0},
    {"large", "blocks of 5 to 25 MiB that come and go", run_large, 20000, 0, 20, 0},
    {"server", "requests and sessions over a restless day", run_server, 10000000, 0, 200000, 0},
    {"steady", "the same, every hour as the others", run_steady, 10000000, 0, 200000, 0},
    {NULL, NULL, NULL, 0, 0, 0, 0},
};
