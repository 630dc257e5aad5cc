/* arena_model.h - what an arena must do, kept beside it and compared after every step.
 *
 * The model stands between the arena and the fake OS, listens to the arena as its log and its
 * watcher, and remembers every block that was handed out. kiln_arena_model_check stops the program
 * when a law of DESIGN.md does not hold:
 *
 *   L1  blocks never overlap, lie in [arena_start, arena_used), are aligned, are Ready heap in the
 *       fake OS (so they are no tables and nobody else's), and no table lies in them
 *   L2  arena_used never decreases; the tables' entries of every heap byte are mapped before the
 *       bound that shows them is stored; what a reader may touch is Ready
 *   L3  published is, under kiln, exactly what is handed out, once, before the bound is stored;
 *       under seed and go19 the step of arena_used
 *   L4  a call that fails changes nothing, in the arena and in the OS; under kiln a call that
 *       succeeds loses nothing either
 *
 * and that no address space is left unused: remainders serve first, the lowest that can; a new
 * block is wished for where the current one ends; what lies in range is not refused; a refused
 * granule is halved to the end; machines of 32 bits fall back.
 *
 * The weaknesses that seed and go19 are kept for are excepted, each where it is looked at, by its
 * number in DESIGN.md ("The seed").
 *
 * Threads  one.   Memory  none is allocated. */
#ifndef KILN_FUZZ_ARENA_MODEL_H
#define KILN_FUZZ_ARENA_MODEL_H

#include "allocator/arena/arena.h"
#include "allocator/os/fake.h"
#include "sanitizer/publish.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    KILN_ARENA_MODEL_BLOCKS_MAX = 1024,
    KILN_ARENA_MODEL_RANGES_MAX = 2048,
};

typedef struct kiln_arena_model_block {
    kiln_addr_t first, last; /* inclusive */
} kiln_arena_model_block_t;

/* What a step must leave alone when it fails. */
typedef struct kiln_arena_model_before {
    kiln_addr_t used, alloc, end;
    uint64_t heap_sys_bytes;
    uint64_t mapped_bytes[KILN_ARENA_TABLES];
    bool reserved;
    kiln_arena_region_t kept[KILN_ARENA_KEPT_MAX];
    unsigned kept_count;
    kiln_os_range_t ranges[KILN_ARENA_MODEL_RANGES_MAX];
    unsigned ranges_count;
} kiln_arena_model_before_t;

typedef struct kiln_arena_model {
    kiln_arena_t *arena;
    kiln_os_fake_t *fake;
    kiln_os_t os; /* give this to the arena */
    kiln_watcher_t watcher;
    kiln_arena_log_t log;

    kiln_arena_model_block_t blocks[KILN_ARENA_MODEL_BLOCKS_MAX];
    unsigned blocks_count;
    bool started;         /* start-up is over */
    bool published;       /* arena_used was stored at least once */
    bool saw[2];          /* a reserve was answered unreserved [0], reserved [1] */
    unsigned start_asks;  /* reserves before start-up was over */
    uint64_t grants;      /* answers of reserve and direct with an address */
    uint64_t fixed_bytes; /* ours since start-up, whatever it is used for */
    uint64_t event_hash;  /* of all results and publications */
    uint64_t table_first[KILN_ARENA_TABLES], table_last[KILN_ARENA_TABLES]; /* committed so far */

    /* Of the step that runs now. */
    kiln_arena_model_before_t before;
    unsigned grows, bounds;
    kiln_addr_t grow_addr;
    uint64_t grow_bytes;
    uint64_t asked_bytes;                        /* of the last reserve */
    kiln_arena_model_block_t reserved, directed; /* the last grants; 0, 0: none */
} kiln_arena_model_t;

/* kiln_arena_model_init prepares `model` for an arena that is not initialised yet and a fake that
 * is. Give &model->os, &model->watcher and &model->log to kiln_arena_init. */
void kiln_arena_model_init(kiln_arena_model_t *model, kiln_arena_t *arena, kiln_os_fake_t *fake);

/* kiln_arena_model_started is called once, after start-up, before the first request. */
void kiln_arena_model_started(kiln_arena_model_t *model);

/* kiln_arena_model_check_start looks at what kiln_arena_start answered: false when it refused. */
bool kiln_arena_model_check_start(const kiln_arena_model_t *model, const char *reason);

/* Around every kiln_arena_alloc and kiln_arena_grow. `bytes` is the request's; of a grow that
 * retried, that of the last attempt. For a grow of `pages`, _check_grow stands for
 * _check. */
void kiln_arena_model_before(kiln_arena_model_t *model);
void kiln_arena_model_check(kiln_arena_model_t *model, uint64_t bytes,
                            const kiln_arena_result_t *result);
void kiln_arena_model_check_grow(kiln_arena_model_t *model, uint64_t pages, uint64_t bytes,
                                 const kiln_arena_result_t *result);

/* kiln_arena_model_check_all looks at every block once more: at the end of an input. Then, under
 * kiln, it destroys the arena: the OS must have everything back but what was handed out. */
void kiln_arena_model_check_all(kiln_arena_model_t *model);

#endif
