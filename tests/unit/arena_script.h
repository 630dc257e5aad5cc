/* arena_script.h - an arena on an OS whose answers the test writes down, and whose calls it reads.
 * For arena_test.c and arena_kiln_test.c; everything is static, one arena at a time. */
#ifndef KILN_TESTS_UNIT_ARENA_SCRIPT_H
#define KILN_TESTS_UNIT_ARENA_SCRIPT_H

#include "allocator/arena/arena.h"
#include "tests/kiln_test.h"

#include <stdlib.h>

enum { ANSWERS_MAX = 160, CALLS_MAX = 256 };

typedef enum call_kind {
    CALL_RESERVE,
    CALL_COMMIT,
    CALL_DECOMMIT,
    CALL_RELEASE,
    CALL_DIRECT,
    CALL_GROW, /* the watcher's */
} call_kind_t;

typedef struct call {
    call_kind_t kind;
    kiln_addr_t addr;
    uint64_t bytes;
    kiln_os_use_t use;
} call_t;

/* Answers to reserve and direct, in order; the commits from `commit_fail_first` on fail (0: none).
 */
static struct script {
    kiln_addr_t answers[ANSWERS_MAX];
    bool unreserved;
    unsigned answers_count, answers_used;
    unsigned commits, commit_fail_first;
    call_t calls[CALLS_MAX];
    unsigned calls_count;
    bool covered_when_told; /* at the watcher's call the bound had not moved yet */
    bool covered_at_bound;  /* when the bound was stored the tables reached up to it */
} script;

static kiln_arena_t arena;
static uint64_t *present;

static inline void note(call_kind_t kind, kiln_addr_t addr, uint64_t bytes, kiln_os_use_t use)
{
    EXPECT(script.calls_count < CALLS_MAX);
    script.calls[script.calls_count++] = (call_t){kind, addr, bytes, use};
}

static inline kiln_addr_t next_answer(void)
{
    EXPECT(script.answers_used < script.answers_count);
    return script.answers[script.answers_used++];
}

static inline kiln_addr_t script_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes,
                                         bool *out_reserved)
{
    (void)ctx;
    note(CALL_RESERVE, hint, bytes, KILN_OS_HEAP);
    *out_reserved = !script.unreserved;
    return next_answer();
}

static inline kiln_os_answer_t script_commit(void *ctx, kiln_addr_t addr, uint64_t bytes,
                                             bool reserved, kiln_os_use_t use)
{
    (void)ctx;
    (void)reserved;
    note(CALL_COMMIT, addr, bytes, use);
    script.commits++;
    return script.commit_fail_first != 0 && script.commits >= script.commit_fail_first
               ? KILN_OS_FAIL
               : KILN_OS_OK;
}

static inline void script_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    note(CALL_DECOMMIT, addr, bytes, KILN_OS_HEAP);
}

static inline void script_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    note(CALL_RELEASE, addr, bytes, KILN_OS_HEAP);
}

static inline kiln_addr_t script_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    (void)ctx;
    note(CALL_DIRECT, 0, bytes, use);
    return next_answer();
}

static const kiln_os_t script_os = {
    .phys_bytes = 4096,
    .addr_bits = 64,
    .reserve = script_reserve,
    .commit = script_commit,
    .decommit = script_decommit,
    .release = script_release,
    .direct = script_direct,
};

static inline void watch_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    note(CALL_GROW, addr, bytes, KILN_OS_HEAP);
    script.covered_when_told = kiln_arena_used(&arena) < addr + bytes;
}

static kiln_watcher_t watcher = {.grow = watch_grow};

/* What a reader that sees the new bound may look at is there before the bound is stored. */
static inline void log_bound(void *ctx, kiln_addr_t old_used, kiln_addr_t new_used)
{
    (void)ctx;
    script.covered_at_bound = true;
    for (unsigned id = 0; id < KILN_ARENA_TABLES && new_used > old_used; id++)
        if (!kiln_arena_table_has(&arena.tables[id], new_used - 1 - arena.arena_start))
            script.covered_at_bound = false;
}

static const kiln_arena_log_t script_log = {.bound = log_bound};

static inline void answer(kiln_addr_t addr)
{
    script.answers[script.answers_count++] = addr;
}

static inline unsigned count_calls(call_kind_t kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < script.calls_count; i++) count += script.calls[i].kind == kind;
    return count;
}

static inline const call_t *nth_call(call_kind_t kind, unsigned n)
{
    for (unsigned i = 0; i < script.calls_count; i++)
        if (script.calls[i].kind == kind && n-- == 0) return &script.calls[i];
    fprintf(stderr, "there is no call %u of that kind\n", n);
    longjmp(kiln_test_failed, 1);
}

static inline void fresh(const kiln_arena_config_t *config)
{
    memset(&script, 0, sizeof script);
    free(present);
    present = calloc(kiln_arena_present_words(config) + 1, sizeof *present);
    EXPECT(present != NULL);
    EXPECT_RULE(kiln_arena_init(&arena, config, &script_os, &watcher, &script_log, present));
}

/* An arena of 32 bits with `left` bytes in its current block, which ends at `end`. */
static inline void fresh_32(kiln_follow_t follow, kiln_addr_t end, uint64_t left)
{
    kiln_arena_config_t config = kiln_arena_config_default(32, 4096);
    config.follow = follow;
    fresh(&config);
    EXPECT_RULE(kiln_arena_place(&arena, 0, end - left, end - left, end, true));
}

static inline kiln_arena_result_t alloc(uint64_t bytes)
{
    kiln_addr_t used = kiln_arena_used(&arena);
    kiln_arena_result_t result = kiln_arena_alloc(&arena, bytes);
    EXPECT_RULE(kiln_arena_broken_rule(&arena));
    EXPECT(kiln_arena_used(&arena) >= used);
    return result;
}

#endif
