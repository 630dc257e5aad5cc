/* sim.h - the simulation tester: round after round of drawn inputs (swarm.h) on a target's oracle,
 * in one child process, until so many operations were done or something broke.
 *
 * The same seed and number of operations do the same and end with the same hash of all that
 * happened. What breaks is drawn again by its round's number, alone.
 *
 * Threads  one; the child is a process.   Memory  a page that both share. */
#ifndef KILN_FUZZ_SIM_H
#define KILN_FUZZ_SIM_H

#include "fuzz/child.h"
#include "fuzz/swarm.h"

enum { KILN_FUZZ_SIM_ALL = -1 };

typedef struct kiln_fuzz_sim_config {
    const kiln_fuzz_words_t *words;
    uint64_t seed;
    uint64_t steps_max;
    uint64_t seconds_max; /* 0: no limit; at a limit it ends after the round that runs */
    int64_t round;        /* only this one, or KILN_FUZZ_SIM_ALL */
} kiln_fuzz_sim_config_t;

typedef struct kiln_fuzz_sim {
    uint64_t round; /* that runs, or ran last */
    uint64_t rounds, swarms, steps, events;
    double seconds;
    bool idle;                       /* the target takes no step, whatever is drawn */
    char kind[KILN_FUZZ_KIND_BYTES]; /* of what broke; empty: nothing did */
} kiln_fuzz_sim_t;

/* kiln_fuzz_sim runs, prints each swarm on standard output, and fills `*sim`. False: there is no
 * process or no memory for it. */
bool kiln_fuzz_sim(const kiln_fuzz_sim_config_t *config, kiln_fuzz_sim_t *sim);

#endif
