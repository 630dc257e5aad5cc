/* swarm.c - inputs that are drawn (swarm.h). */
#include "fuzz/swarm.h"

#include "allocator/base/rng.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool one_in(kiln_rng_t *rng, unsigned n)
{
    return kiln_rng_below(rng, n) == 0;
}

/* rng_of: neighbouring numbers of one seed, and neighbouring seeds, have nothing in common. */
static kiln_rng_t rng_of(uint64_t seed, uint64_t which)
{
    kiln_rng_t from_seed = {.state = seed};
    kiln_rng_t rng = {.state = kiln_rng_next(&from_seed) ^ which};
    rng.state = kiln_rng_next(&rng);
    return rng;
}

/* What makes the OS refuse, by its name in the targets. */
static bool is_fault(const char *name)
{
    return name && (strcmp(name, "refuse") == 0 || strcmp(name, "budget") == 0);
}

void kiln_fuzz_swarm_draw(kiln_fuzz_swarm_t *swarm, const kiln_fuzz_words_t *words, uint64_t seed,
                          uint64_t round)
{
    static const unsigned slots[] = {4, 16, 64, 256}, records[] = {60, 250, 500, 500};
    kiln_rng_t rng = rng_of(seed, ~(round / KILN_FUZZ_SWARM_ROUNDS));
    *swarm = (kiln_fuzz_swarm_t){.words = words, .seed = seed, .faults = one_in(&rng, 4)};
    for (unsigned i = 0; i < KILN_FUZZ_CONFIG_BYTES; i++) {
        bool is = words->config[i] && !one_in(&rng, 4);
        if (is_fault(words->config[i])) is = swarm->faults && one_in(&rng, 2);
        if (is) swarm->config[i] = (uint8_t)kiln_rng_next(&rng);
    }
    while (swarm->weights_sum == 0) {
        for (unsigned op = 0; op < words->op_count && op < KILN_FUZZ_SWARM_OPS_MAX; op++) {
            unsigned weight = one_in(&rng, 2) ? 1u << kiln_rng_below(&rng, 5) : 0;
            if (is_fault(words->ops[op])) weight = swarm->faults && weight ? 1 : 0;
            swarm->weights[op] = (uint8_t)weight;
            swarm->weights_sum += weight;
        }
    }
    swarm->slots = slots[kiln_rng_below(&rng, 4)];
    swarm->records = records[kiln_rng_below(&rng, 4)];
    swarm->turns = one_in(&rng, 2) ? 1 : 1 + (unsigned)kiln_rng_below(&rng, 16);
    uint64_t half = kiln_rng_next(&rng);
    swarm->sizes = (uint16_t)(half & kiln_rng_next(&rng)); /* a quarter of them */
    if (swarm->sizes == 0) swarm->sizes = (uint16_t)(1u << kiln_rng_below(&rng, 16));
}

static uint8_t drawn_op(const kiln_fuzz_swarm_t *swarm, kiln_rng_t *rng)
{
    unsigned left = (unsigned)kiln_rng_below(rng, swarm->weights_sum), op = 0;
    for (; left >= swarm->weights[op]; op++) left -= swarm->weights[op];
    unsigned turned = op + swarm->words->op_count * (unsigned)kiln_rng_below(rng, swarm->turns);
    return (uint8_t)(turned <= UINT8_MAX ? turned : op);
}

static uint8_t drawn_size(const kiln_fuzz_swarm_t *swarm, kiln_rng_t *rng)
{
    unsigned nth = (unsigned)kiln_rng_below(rng, (unsigned)__builtin_popcount(swarm->sizes));
    unsigned left = swarm->sizes;
    while (nth-- > 0) left &= left - 1; /* without its lowest bit */
    return (uint8_t)((unsigned)__builtin_ctz(left) + 16 * kiln_rng_below(rng, 16));
}

size_t kiln_fuzz_swarm_input(const kiln_fuzz_swarm_t *swarm, uint64_t round,
                             uint8_t data[KILN_FUZZ_INPUT_BYTES_MAX])
{
    kiln_rng_t rng = rng_of(swarm->seed, round);
    size_t size = KILN_FUZZ_CONFIG_BYTES;
    memcpy(data, swarm->config, size);
    for (unsigned i = 0; i < swarm->records; i++, size += KILN_FUZZ_RECORD_BYTES) {
        uint64_t word = kiln_rng_next(&rng);
        uint32_t arg = (uint32_t)word >> 8 * kiln_rng_below(&rng, 4); /* small ones, too */
        data[size] = drawn_op(swarm, &rng);
        data[size + 1] = (uint8_t)kiln_rng_below(&rng, swarm->slots);
        data[size + 2] = drawn_size(swarm, &rng);
        data[size + 3] = (uint8_t)(one_in(&rng, 4) ? 0 : word >> 32);
        for (unsigned k = 0; k < 4; k++) data[size + 4 + k] = (uint8_t)(arg >> 8 * k);
    }
    return size;
}

typedef struct line {
    char *text;
    size_t length, max;
} line_t;

__attribute__((format(printf, 2, 3))) static void put(line_t *line, const char *format, ...)
{
    size_t room = line->length < line->max ? line->max - line->length : 0;
    va_list args;
    va_start(args, format);
    int wrote = vsnprintf(room ? line->text + line->length : NULL, room, format, args);
    va_end(args);
    if (wrote > 0) line->length += (size_t)wrote;
}

size_t kiln_fuzz_swarm_text(const kiln_fuzz_swarm_t *swarm, char *text, size_t text_max)
{
    line_t line = {text, 0, text_max};
    const kiln_fuzz_words_t *words = swarm->words;
    for (unsigned i = 0; i < KILN_FUZZ_CONFIG_BYTES; i++)
        if (swarm->config[i]) put(&line, "%s=%u ", words->config[i], swarm->config[i]);
    put(&line, "|");
    for (unsigned op = 0; op < words->op_count && op < KILN_FUZZ_SWARM_OPS_MAX; op++)
        if (swarm->weights[op]) put(&line, " %s*%u", words->ops[op], swarm->weights[op]);
    put(&line, " | slots=%u sizes=0x%x turns=%u operations=%u faults=%d", swarm->slots,
        swarm->sizes, swarm->turns, swarm->records, swarm->faults);
    return line.length;
}
