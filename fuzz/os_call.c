#include "fuzz/os_call.h"

#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

void kiln_os_faults_set(const kiln_os_faults_t *faults, kiln_os_fault_t *fault)
{
    if (faults->mode == KILN_OS_FAULT_BY_PLAN) {
        fault->plan = faults->plan;
        fault->plan_bytes = sizeof faults->plan;
    }
    if (faults->mode == KILN_OS_FAULT_ONCE || faults->mode == KILN_OS_FAULT_EVER_AFTER)
        fault->fail_call = faults->nth;
    fault->ever_after = faults->mode == KILN_OS_FAULT_EVER_AFTER;
}

bool kiln_os_call_is_refusable(kiln_os_call_t call)
{
    return (unsigned)KILN_OS_CALLS_REFUSABLE >> call & 1;
}

/* Is the next call to be refused? */
static bool next_is_due(kiln_os_faults_t *faults, kiln_os_call_t call)
{
    if (!kiln_os_call_is_refusable(call)) return false;
    uint64_t number = ++faults->calls;
    switch (faults->mode) {
    case KILN_OS_FAULT_BY_PLAN:
        return number <= sizeof faults->plan * 8 &&
               faults->plan[(number - 1) / 8] & 1u << (unsigned)((number - 1) % 8);
    case KILN_OS_FAULT_ONCE:
        return number == faults->nth;
    case KILN_OS_FAULT_EVER_AFTER:
        return number >= faults->nth;
    default:
        return false;
    }
}

/* What make_call works on: it may be left by a jump. */
static struct {
    kiln_os_step_t *step;
    kiln_os_world_t *world;
} made;

static void make_call(void)
{
    const kiln_os_t *os = made.world->os;
    kiln_os_step_t *s = made.step;
    switch (s->call) {
    case KILN_OS_CALL_RESERVE:
        s->got = os->reserve(os->ctx, s->addr, s->bytes, &s->got_reserved);
        s->done = s->got != 0;
        break;
    case KILN_OS_CALL_DIRECT:
        s->got = os->direct(os->ctx, s->bytes, s->use);
        s->done = s->got != 0;
        break;
    case KILN_OS_CALL_COMMIT:
        s->answer = os->commit(os->ctx, s->addr, s->bytes, s->reserved, s->use);
        s->done = s->answer == KILN_OS_OK;
        break;
    case KILN_OS_CALL_PROTECT:
        s->done = os->protect(os->ctx, s->addr, s->bytes, s->access);
        break;
    case KILN_OS_CALL_GUARD:
        s->done = kiln_os_guard(os, s->addr, s->bytes, s->on);
        break;
    case KILN_OS_CALL_DISCARD:
        os->discard(os->ctx, s->addr, s->bytes);
        break;
    case KILN_OS_CALL_DECOMMIT:
        os->decommit(os->ctx, s->addr, s->bytes);
        break;
    default:
        os->release(os->ctx, s->addr, s->bytes);
        break;
    }
}

static const char *const lie_rules[KILN_OS_LIES] = {
    [KILN_OS_LIE_OURS] = KILN_OS_RULE_ANSWER_OURS,
    [KILN_OS_LIE_ALIGN] = KILN_OS_RULE_ANSWER_ALIGN,
    [KILN_OS_LIE_SPACE] = KILN_OS_RULE_ANSWER_SPACE,
    [KILN_OS_LIE_EMPTY] = KILN_OS_RULE_ANSWER_EMPTY,
    [KILN_OS_LIE_ELSEWHERE] = KILN_OS_RULE_ANSWER_ELSEWHERE,
    [KILN_OS_LIE_ZERO] = KILN_OS_RULE_ANSWER_ZERO,
};

/* call_with_lie makes the call with a lie in wait. True: it was told, and the call is over. */
static bool call_with_lie(kiln_os_world_t *world, kiln_os_lie_t lie)
{
    const char *rule = kiln_fuzz_stop_rule(make_call);
    bool told = world->lie == KILN_OS_LIE_NONE;
    world->lie = KILN_OS_LIE_NONE;
    if (kiln_fuzz_tracing)
        fprintf(stderr, "# lie %u: %s, %s\n", lie, told ? "told" : "not told", rule ? rule : "-");
    if (!told) {
        KILN_FUZZ_LAW("os: check stops at nothing that is true", rule == NULL);
        return false;
    }
    KILN_FUZZ_LAW("os: check stops at a lie, by its name",
                  rule != NULL && strcmp(rule, lie_rules[lie]) == 0);
    if (world->orphan) world->bottom.release(world->bottom.ctx, world->orphan, world->orphan_bytes);
    world->orphan = 0;
    return true;
}

static void trace_step(const kiln_os_step_t *s)
{
    static const char *const names[KILN_OS_CALLS] = {"reserve",  "commit",  "protect",
                                                     "direct",   "guard",   "discard",
                                                     "decommit", "release", "huge"};
    fprintf(stderr, "%s 0x%llx 0x%llx reserved=%d on=%d access=%d\n", names[s->call],
            (unsigned long long)s->addr, (unsigned long long)s->bytes, s->reserved, s->on,
            s->access);
}

kiln_os_outcome_t kiln_os_step_make(kiln_os_step_t *step, kiln_os_world_t *world,
                                    kiln_os_faults_t *faults)
{
    bool due = next_is_due(faults, step->call);
    uint64_t reached = world->reached;
    step->done = step->got_reserved = false;
    step->got = 0;
    step->answer = KILN_OS_OK;
    made.step = step;
    made.world = world;
    if (kiln_fuzz_tracing) trace_step(step);
    if (world->lie == KILN_OS_LIE_NONE)
        make_call();
    else if (call_with_lie(world, world->lie))
        return KILN_OS_OUTCOME_LIE;
    KILN_FUZZ_LAW("fault: what is due is not made, and everything else is",
                  world->reached - reached == (due ? 0 : 1));
    if (!due) return KILN_OS_OUTCOME_MADE;
    bool refused = !step->done && !step->got_reserved;
    if (step->call == KILN_OS_CALL_COMMIT) refused &= step->answer == KILN_OS_FAIL;
    KILN_FUZZ_LAW("fault: what is due is refused", refused);
    return KILN_OS_OUTCOME_REFUSED;
}
