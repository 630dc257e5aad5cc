/* fake.h - a deterministic OS for tests, fuzzers and exhaustive search.
 *
 * What it answers is a function of its configuration, its seed or script, and the calls so far. It
 * simulates a machine of any address width from 4 bits on and any hardware page, knows the state of
 * every page, and stops the program (KILN_CHECK, with a rule of model.h) when its caller breaks the
 * contract of os.h. It never grants what is occupied, unless told to lie.
 *
 * Two forms, one model:
 *   numbers only  config.memory is NULL: addresses without memory behind them; for the arena.
 *   with bytes    config.memory is a window of real memory (fake_window_linux.h): addresses are
 *                 pointers, and a page that becomes Ready reads as zero; for the whole heap.
 *
 *   static kiln_os_range_t ranges[1024];
 *   static kiln_os_fake_t fake;
 *   kiln_os_fake_config_t config = kiln_os_fake_config_default(32, 4096, ranges, 1024);
 *   config.policy = KILN_PLACE_BELOW_ALL;
 *   kiln_os_fake_init(&fake, &config);
 *   kiln_arena_init(&arena, &arena_config, &fake.os, NULL, NULL, NULL);
 *
 * Lock    the caller's.   Memory  everything is the caller's; no call allocates. The struct may be
 *         copied away and copied back to the same place, with its ranges, as a snapshot. */
#ifndef KILN_ALLOCATOR_OS_FAKE_H
#define KILN_ALLOCATOR_OS_FAKE_H

#include "allocator/base/rng.h"
#include "allocator/os/model.h"
#include "allocator/os/os.h"

#include <stddef.h>

enum { KILN_OS_FAKE_RANGES_MIN = 16 };

/* Where a reserve or direct lands. Each policy wishes for one address. When the range there is not
 * free, the lowest gap above the wish is taken, then the lowest gap of all, unless a policy says
 * otherwise; when there is no gap the call is refused. `direct` has no hint. */
typedef enum kiln_os_fake_place {
    KILN_PLACE_OBEY_HINT,      /* the hint; without one the lowest gap */
    KILN_PLACE_LOWEST,         /* the lowest gap */
    KILN_PLACE_HIGHEST,        /* the highest gap */
    KILN_PLACE_BELOW_ALL,      /* the highest gap below everything granted so far */
    KILN_PLACE_ADJACENT_ABOVE, /* from the end of the latest grant on */
    KILN_PLACE_ADJACENT_BELOW, /* up to the start of the latest grant */
    KILN_PLACE_STRADDLE,       /* half below and half above config.straddle_addr */
    KILN_PLACE_AT_TOP,         /* up to the last byte of the space */
    KILN_PLACE_BESIDE_ABOVE,   /* one hardware page above the hint */
    KILN_PLACE_BESIDE_BELOW,   /* one hardware page below the hint */
    KILN_PLACE_RANDOM,         /* from the seed: anywhere, or a few pages beside hint and grants */
    KILN_PLACE_AT_PAGE,        /* script only: page number (next two script bytes, low first) of
                                  the space, modulo its size */
    KILN_PLACE_LIE_WRAP,       /* script only, with config.lying: starts in the space, but its end
                                  passes the top of the address space and wraps */
    KILN_PLACE_LIE_OCCUPIED,   /* script only, with config.lying: the latest grant once more */
    KILN_PLACE_SCRIPT,         /* each call reads its policy from config.script, see below */
    KILN_PLACES,               /* how many */
} kiln_os_fake_place_t;

/* The script, under KILN_PLACE_SCRIPT: a string of bytes, such as a fuzzer's input. Every call that
 * can be refused reads one byte, and reads 0 when the script has ended. Byte 0 is the friendly
 * answer of each call.
 *
 *   reserve, direct   bits 0-3  the policy (a number above LIE_OCCUPIED means OBEY_HINT)
 *                     bit 4     unreserved (reserve only)
 *                     bits 5-7  7: refuse; 6: first, somebody else maps the page at the hint
 *   commit            bits 0-2  7: refuse; 6: if the commit is unreserved, somebody else first maps
 *                               the last page of the range, so that the answer is ELSEWHERE
 *   protect, guard    bits 0-2  7: refuse */

/* The memory behind a window. `zero` makes bytes that are about to become Ready read as zero;
 * `access` (may be NULL: not enforced) lets or stops the processor touch a range. */
typedef struct kiln_os_fake_memory {
    void *ctx;
    kiln_addr_t first, last; /* the window; becomes config.space_first and space_last */
    void (*zero)(void *ctx, kiln_addr_t addr, uint64_t bytes);
    void (*access)(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access);
} kiln_os_fake_memory_t;

typedef struct kiln_os_fake_config {
    unsigned addr_bits;      /* 4 to 64 */
    uint64_t phys_bytes;     /* a power of two; the space has at least 4 pages */
    uint64_t huge_bytes;     /* 0: it has no huge pages */
    kiln_addr_t space_first; /* every answer lies in [space_first, space_last]; aligned, */
    kiln_addr_t space_last;  /* and not in page 0, which stands for "no address" */
    const kiln_os_fake_memory_t *memory; /* NULL: numbers only */
    kiln_os_range_t *ranges; /* memory for the model; refusable calls are refused when */
    unsigned ranges_max;     /* half of it is used: a machine's limit of mappings */

    kiln_os_fake_place_t policy;
    uint64_t seed;             /* of KILN_PLACE_RANDOM */
    kiln_addr_t straddle_addr; /* of KILN_PLACE_STRADDLE: arena_start */
    const uint8_t *script;     /* of KILN_PLACE_SCRIPT; must outlive the fake, as plan must */
    size_t script_bytes;
    bool lying;    /* the script may lie. After the first lie the fake no longer knows what
                      is whose: it goes on as if `loose` were set */
    bool loose;    /* do what Linux would do where the rule is broken that memory be in the
                      right state (the arena under `seed` and `go19` does so) */
    bool no_guard; /* guard is always refused: a kernel before Linux 6.13 */
    uint64_t unreserved_bytes; /* a reserve of this size or more is answered unreserved; 0: none */

    /* Refusals. A limit of 0 is no limit. Calls are counted from 1, those of refuse_calls only. */
    unsigned refuse_calls;       /* bit set of 1u << kiln_os_call_t for the three below */
    uint64_t refuse_call;        /* this call is refused */
    bool refuse_ever_after;      /* and all after it */
    const uint8_t *refuse_plan;  /* bit i % 8 of byte i / 8 set: call i + 1 is refused */
    size_t refuse_plan_bytes;    /* calls beyond the plan are granted */
    uint64_t reserve_bytes_max;  /* a larger reserve is refused */
    uint64_t commit_bytes_max;   /* a larger commit or direct is refused */
    uint64_t space_budget_bytes; /* at most so much that is ours: ulimit -v */
    uint64_t ready_budget_bytes; /* at most so much Ready */
} kiln_os_fake_config_t;

typedef struct kiln_os_fake_stats {
    uint64_t calls[KILN_OS_CALLS];
    uint64_t refused[KILN_OS_CALLS];
    uint64_t refusable;       /* calls counted for refuse_call and refuse_plan */
    uint64_t elsewhere;       /* commits answered KILN_OS_ELSEWHERE */
    uint64_t lies;            /* answers that were lies */
    uint64_t clobbered_bytes; /* loose: somebody else's memory that was replaced */
    uint64_t ready_bytes, ready_peak_bytes;
    uint64_t space_bytes, space_peak_bytes; /* all that is ours, whatever its state */
} kiln_os_fake_stats_t;

typedef struct kiln_os_fake {
    kiln_os_t os; /* what the arena or heap is given */
    kiln_os_fake_config_t config;
    kiln_os_model_t model;
    kiln_os_fake_stats_t stats;
    kiln_rng_t rng;
    size_t script_at;              /* bytes of the script that were read */
    kiln_addr_t grant, grant_last; /* the latest grant, inclusive; 0, 0: none yet */
    kiln_addr_t lowest_grant;      /* of all so far; 0: none yet */
    uint64_t answers_hash;         /* of all answers so far: equal runs have equal hashes */
} kiln_os_fake_t;

/* kiln_os_fake_config_default: numbers only, the whole space but page 0, obeys hints, refuses
 * nothing. */
kiln_os_fake_config_t kiln_os_fake_config_default(unsigned addr_bits, uint64_t phys_bytes,
                                                  kiln_os_range_t *ranges, unsigned ranges_max);

/* kiln_os_fake_config_use_memory makes it the form with bytes. */
void kiln_os_fake_config_use_memory(kiln_os_fake_config_t *config,
                                    const kiln_os_fake_memory_t *memory);

/* kiln_os_fake_config_broken_rule names what is wrong with `*config`, or returns NULL. */
const char *kiln_os_fake_config_broken_rule(const kiln_os_fake_config_t *config);

/* kiln_os_fake_init makes a machine with nothing mapped, in any memory. A wrong configuration stops
 * the program: ask kiln_os_fake_config_broken_rule first where it is somebody's input. */
void kiln_os_fake_init(kiln_os_fake_t *fake, const kiln_os_fake_config_t *config);

/* kiln_os_fake_reset is kiln_os_fake_init for a fake that was in use; `config` NULL keeps the one
 * it has. It costs no more than what was mapped. Everything placed is gone too. */
void kiln_os_fake_reset(kiln_os_fake_t *fake, const kiln_os_fake_config_t *config);

/* kiln_os_fake_place says what is at [addr, addr+bytes), aligned and in the address space (also
 * outside of config's space): KILN_OS_FOREIGN is occupied, KILN_OS_RESERVED or UNRESERVED as if
 * reserve had answered it, KILN_OS_NONE is free. False: no more room for ranges. */
bool kiln_os_fake_place(kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes,
                        kiln_os_state_t state);

/* kiln_os_fake_state gives the state of the page at `addr`. */
kiln_os_state_t kiln_os_fake_state(const kiln_os_fake_t *fake, kiln_addr_t addr);

/* kiln_os_fake_next gives the next range that is ours (Reserved, Prepared, Ready, Guarded) and not
 * released, by ascending address, or NULL. `*io_idx` starts at 0; no other call may come between.
 */
const kiln_os_range_t *kiln_os_fake_next(const kiln_os_fake_t *fake, unsigned *io_idx);

/* kiln_os_fake_broken_rule names the first law of the fake itself that does not hold, or NULL. */
const char *kiln_os_fake_broken_rule(const kiln_os_fake_t *fake);

/* Names as messages and options spell them: "obey-hint", "below-all" ... */
const char *kiln_os_fake_place_name(kiln_os_fake_place_t policy);

/* Between fake.c and fake_policy.c. kiln_os_fake_script_byte reads the script;
 * kiln_os_fake_choose gives the address for `bytes` (rounded, not 0), or 0. */
uint8_t kiln_os_fake_script_byte(kiln_os_fake_t *fake);
kiln_addr_t kiln_os_fake_choose(kiln_os_fake_t *fake, kiln_os_fake_place_t policy, kiln_addr_t hint,
                                uint64_t bytes);

#endif
