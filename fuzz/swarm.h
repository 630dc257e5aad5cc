/* swarm.h - inputs that are drawn: which settings, operations, slots and sizes there are is drawn
 * first, for many inputs in a row, so that some things happen often and others never.
 *
 * A round is one input. Rounds that follow each other share a swarm: the settings, which operations
 * there are and how often, how many slots, which classes of sizes, how many records. Refusals of
 * the OS are in one swarm of four only, for where they are nothing else gets far. A round is a
 * function of the seed and its number.
 *
 * Threads  none of this is shared.   Memory  the caller's. */
#ifndef KILN_FUZZ_SWARM_H
#define KILN_FUZZ_SWARM_H

#include "fuzz/ops.h"

enum { KILN_FUZZ_SWARM_ROUNDS = 64, KILN_FUZZ_SWARM_OPS_MAX = 64 };

typedef struct kiln_fuzz_swarm {
    const kiln_fuzz_words_t *words;
    uint64_t seed;
    uint8_t config[KILN_FUZZ_CONFIG_BYTES];
    uint8_t weights[KILN_FUZZ_SWARM_OPS_MAX]; /* of each operation; 0: there is none */
    unsigned weights_sum;
    unsigned slots, turns, records;
    uint16_t sizes; /* bit i: the class of sizes i modulo 16 */
    bool faults;
} kiln_fuzz_swarm_t;

/* kiln_fuzz_swarm_draw draws the swarm that a round belongs to. */
void kiln_fuzz_swarm_draw(kiln_fuzz_swarm_t *swarm, const kiln_fuzz_words_t *words, uint64_t seed,
                          uint64_t round);

/* kiln_fuzz_swarm_input draws the input of a round of this swarm, and gives its size. */
size_t kiln_fuzz_swarm_input(const kiln_fuzz_swarm_t *swarm, uint64_t round,
                             uint8_t data[KILN_FUZZ_INPUT_BYTES_MAX]);

/* kiln_fuzz_swarm_text writes what was drawn, on one line; it gives the length, as snprintf. */
size_t kiln_fuzz_swarm_text(const kiln_fuzz_swarm_t *swarm, char *text, size_t text_max);

#endif
