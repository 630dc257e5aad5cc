/* search.c - exhaustive search of the real arena on machines of 6 to 8 bits, and random walks.
 *
 * For every plan (plans.c), every start, every request and every answer that os.h allows: run the
 * step, judge it (laws.c), and go on from every state that was not seen before with as many
 * requests left. A state is known by a 64-bit hash of the arena's fields and every cell; among 10^7
 * states the chance that one is hidden by another is below 10^-5.
 *
 * A break that is not known ends the search with its trace and the command that goes there again.
 * A break that `seed` or `go19` is known for is counted, and one that is not found fails. */
#include "tests/kiln_number.h"
#include "tests/search/laws.h"
#include "tests/search/plans.h"
#include "tests/search/trail.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEPTH_MAX = 8, WALK_STEPS_MAX = 400 };

static struct {
    const char *program;
    kiln_follow_t follow;
    const char *plan_name; /* NULL: all */
    bool full, all_starts;
    unsigned depth; /* requests in a row */
    uint64_t walks, walk_seed, walk_at;

    jmp_buf ruined;
    bool retracing;  /* a path is gone again, in words */
    const char *way; /* how to come here again */

    search_start_t starts[SEARCH_STARTS_MAX];
    uint64_t requests[SEARCH_REQUESTS_MAX];
    unsigned requests_count;

    /* Where the search is: the start and the request of each level, with the choices made there. */
    unsigned level, start_idx;
    unsigned request_idx[DEPTH_MAX + 1];
    search_choices_t choices[DEPTH_MAX + 1];
    search_world_t worlds[DEPTH_MAX + 1];

    uint64_t states, transitions, states_all, transitions_all;
    uint64_t knowns[SEARCH_KNOWNS];
    unsigned knowns_of_step; /* bit set */
    bool vacuous;
} run;

/* --- the set of states that were seen --------------------------------------------------------- */

static struct {
    uint64_t
        *slots; /* 0: free; else a hash, its low 4 bits replaced by the requests left, plus 1 */
    uint64_t max, count;
} seen;

static uint64_t *seen_slot(uint64_t hash)
{
    uint64_t key = hash >> 4;
    for (uint64_t i = key & (seen.max - 1);; i = (i + 1) & (seen.max - 1))
        if (seen.slots[i] == 0 || seen.slots[i] >> 4 == key) return &seen.slots[i];
}

static void seen_resize(uint64_t max)
{
    uint64_t *old = seen.slots, old_max = seen.max;
    seen.slots = calloc((size_t)max, sizeof *seen.slots);
    seen.max = max;
    if (!seen.slots) {
        fputs("search: not enough memory for the states; try --depth=2\n", stderr);
        exit(2);
    }
    for (uint64_t i = 0; i < old_max; i++)
        if (old[i]) *seen_slot(old[i] & ~UINT64_C(15)) = old[i];
    free(old);
}

/* seen_add: is this state new, or has it more requests left than before? */
static bool seen_add(uint64_t hash, unsigned left, bool *out_new)
{
    if (seen.count * 2 >= seen.max) seen_resize(seen.max * 2);
    uint64_t *slot = seen_slot(hash);
    *out_new = *slot == 0;
    if (*out_new) seen.count++;
    if (!*out_new && (*slot & 15) > left) return false;
    *slot = (hash & ~UINT64_C(15)) | (left + 1);
    return true;
}

static void seen_clear(void)
{
    free(seen.slots);
    seen.slots = NULL;
    seen.max = seen.count = 0;
    seen_resize(1 << 16);
}

/* --- breaks ---------------------------------------------------------------------------------- */

static const struct {
    const char *name, *text;
} knowns[SEARCH_KNOWNS] = {
    [SEARCH_W1_NO_TABLES] = {"W1", "heap below arena_used without tables, before any publication"},
    [SEARCH_W2_NO_FALLBACK] = {"W2", "a refused block ends the request without the fallback"},
    [SEARCH_W3_TABLES_OF_HOLES] = {"W3", "tables are mapped for holes"},
    [SEARCH_W4_STRANDED] = {"W4", "a switch strands the rest of the block"},
    [SEARCH_W4_ROUNDED] = {"2.3", "the rounding of a block's start is lost"},
    [SEARCH_W5_MIXED_FLAG] = {"W5", "one reserved flag for a block, or tables, of another kind"},
    [SEARCH_W6_LAST_BYTE] = {"W6", "the last byte of the space is handed out, above arena_used"},
    [SEARCH_W7_LIMIT_REFUSED] = {"W7", "the fallback refuses memory that ends at the limit"},
    [SEARCH_W7_TOP_TAKEN] = {"W7 wrap", "the fallback takes memory at the top, beyond the limit"},
    [SEARCH_W10_CONFLICT] = {"W10", "what was believed free is taken: the program is stopped"},
    [SEARCH_ZERO_LENGTH] = {"2.7", "a size wraps, and the OS is asked for no bytes"},
    [SEARCH_HOLE_TOLD] = {"3.2 hole", "a hole is published"},
    [SEARCH_HEAP_NOT_TOLD] = {"3.2 heap", "heap below the peak is never published"},
    [SEARCH_MAP_IS_FATAL] = {"throw", "a refused map stops the program"},
    [SEARCH_START_BEYOND] = {"1.4 limit", "start-up takes the first answer, beyond the limit"},
    [SEARCH_PAGE_TOO_MANY] = {"1.4", "the reservation has a page more than the tables"},
};

const char *search_known_name(search_known_t known)
{
    return knowns[known].name;
}

const char *search_known_text(search_known_t known)
{
    return knowns[known].text;
}

static void retrace(const char *path);
static void walk_one(uint64_t seed);

_Noreturn static void fail(const char *law)
{
    char path[SEARCH_PATH_MAX] = "";
    if (!run.retracing && search_machine.choices.rng) {
        run.retracing = true;
        walk_one(run.walk_at);
    }
    if (run.retracing) {
        search_trace_step(NULL, 0);
        search_state_print();
        printf("broken rule: %s\n", law);
        if (run.way)
            printf("again: %s --follow=%s --plan=%s %s\n", run.program,
                   kiln_follow_name(run.follow), search_machine.plan->name, run.way);
        exit(1);
    }
    for (unsigned i = 0; i < run.level; i++)
        search_path_add(path, i == 0 ? run.start_idx : run.request_idx[i], &run.choices[i]);
    search_path_add(path, run.level == 0 ? run.start_idx : run.request_idx[run.level],
                    &search_machine.choices);
    printf("broken rule: %s\n", law);
    retrace(path);
    printf("the path does not show the break again: %s\n", path);
    exit(1);
}

void search_break(const char *law, search_known_t known)
{
    if (known == SEARCH_UNKNOWN) fail(law);
    if (run.retracing) printf("# %s: %s\n", search_known_name(known), law);
    if (run.knowns_of_step >> known & 1) return;
    run.knowns_of_step |= 1u << known;
    run.knowns[known]++;
}

_Noreturn void search_ruin(void)
{
    search_machine.world.ended = true;
    longjmp(run.ruined, 1);
}

/* --- steps ----------------------------------------------------------------------------------- */

static void begin_step(uint64_t bytes)
{
    search_begin_step(bytes);
    run.knowns_of_step = 0;
}

static void do_start(const search_start_t *start)
{
    begin_step(0);
    if (setjmp(run.ruined) == 0) search_do_start(search_machine.plan, start);
    if (!search_machine.world.ended) search_forget();
}

/* do_request runs one request on the world as it is; `before` is a copy of that. */
static void do_request(const search_world_t *before, uint64_t bytes)
{
    begin_step(bytes);
    if (setjmp(run.ruined) == 0) {
        kiln_arena_result_t result = kiln_arena_alloc(&search_machine.world.arena, bytes);
        search_judge(before, &result);
    }
    if (!search_machine.world.ended) search_forget();
    run.transitions++;
}

/* next_choices turns the choices of a level to the next in order; false: all were made. */
static bool next_choices(search_choices_t *choices)
{
    while (choices->count > 0) {
        unsigned last = choices->count - 1;
        if (++choices->picks[last] < choices->options[last]) return true;
        choices->count--;
    }
    return false;
}

static void copy_choices(search_choices_t *to, const search_choices_t *from)
{
    to->count = from->count;
    memcpy(to->picks, from->picks, from->count * sizeof *from->picks);
    memcpy(to->options, from->options, from->count * sizeof *from->options);
}

static void give_choices(const search_choices_t *from)
{
    copy_choices(&search_machine.choices, from);
    search_machine.choices.given = from->count;
}

static void explore(unsigned level);

/* arrive counts the state after a step of `level` and goes on from it. */
static void arrive(unsigned level)
{
    bool is_new = false;
    copy_choices(&run.choices[level], &search_machine.choices);
    if (search_machine.world.ended) return;
    bool go_on = seen_add(search_hash(), run.depth - level, &is_new);
    if (is_new) {
        search_world_t *world = &run.worlds[level];
        run.states++;
        search_world_save(world);
        search_judge_end();
        search_world_restore(world);
    }
    if (go_on && level < run.depth) explore(level + 1);
}

/* explore tries every request with every answer on the world as it is. */
static void explore(unsigned level)
{
    search_world_t *before = &run.worlds[level - 1];
    search_world_save(before);
    for (unsigned i = 0; i < run.requests_count; i++) {
        run.request_idx[level] = i;
        run.choices[level].count = 0;
        do {
            run.level = level;
            give_choices(&run.choices[level]);
            do_request(before, run.requests[i]);
            arrive(level);
            run.level = level;
            search_world_restore(before);
        } while (next_choices(&run.choices[level]));
    }
}

static unsigned open_plan(const search_plan_t *plan)
{
    search_open(plan);
    run.requests_count = search_requests(run.requests);
    return search_starts(run.starts, run.all_starts);
}

static void search_one(const search_plan_t *plan)
{
    clock_t began = clock();
    unsigned starts = open_plan(plan);
    run.states = run.transitions = 0;
    seen_clear();
    for (run.start_idx = 0; run.start_idx < starts; run.start_idx++) {
        run.choices[0].count = 0;
        do {
            run.level = 0;
            give_choices(&run.choices[0]);
            do_start(&run.starts[run.start_idx]);
            arrive(0);
        } while (next_choices(&run.choices[0]));
    }
    printf("%-6s %-20s %6u %8u %12llu %14llu %8.1f\n", kiln_follow_name(run.follow), plan->name,
           starts, run.requests_count, (unsigned long long)run.states,
           (unsigned long long)run.transitions, (double)(clock() - began) / CLOCKS_PER_SEC);
    fflush(stdout);
    if (run.transitions < 1000) {
        puts("broken rule: hardly anything was searched on this machine");
        run.vacuous = true;
    }
    run.states_all += run.states;
    run.transitions_all += run.transitions;
}

/* --- a path again ---------------------------------------------------------------------------- */

static void retrace(const char *path)
{
    const search_plan_t *plan = search_machine.plan;
    const char *at = path;
    static char way[SEARCH_PATH_MAX + 64];
    unsigned idx = 0, starts = open_plan(plan);
    snprintf(way, sizeof way, "--depth=%u%s --path=%s", run.depth,
             run.all_starts ? " --all-starts" : "", path);
    run.way = way;
    run.retracing = true;
    if (!search_path_next(&at, &idx) || idx >= starts) {
        fprintf(stderr, "search: '%s' is no path of this plan\n", path);
        exit(2);
    }
    search_open(plan);
    search_trace_head(&run.starts[idx]);
    if (plan->by_start) puts("mallocinit");
    do_start(&run.starts[idx]);
    search_trace_step(NULL, 0);
    search_state_print();
    while (*at) {
        if (!search_path_next(&at, &idx) || idx >= run.requests_count) {
            fprintf(stderr, "search: '%s' is no path of this plan\n", path);
            exit(2);
        }
        search_world_save(&run.worlds[0]);
        printf("alloc 0x%llx\n", (unsigned long long)run.requests[idx]);
        do_request(&run.worlds[0], run.requests[idx]);
        search_trace_step(NULL, 0);
        search_state_print();
    }
    if (!search_machine.world.ended) search_judge_end();
}

/* --- walks ----------------------------------------------------------------------------------- */

/* Somebody else maps memory where nothing is, or unmaps what is theirs. */
static void do_foreign(kiln_rng_t *rng)
{
    uint64_t phys = search_machine.plan->arena.phys_bytes / search_machine.cell_bytes;
    uint64_t from = kiln_rng_below(rng, search_machine.cells / phys) * phys;
    uint64_t count = (1 + kiln_rng_below(rng, 16)) * phys;
    bool map = kiln_rng_below(rng, 2);
    for (uint64_t i = from; i < from + count && i < search_machine.cells; i++)
        if (search_state()[i] == (map ? SEARCH_NONE : SEARCH_FOREIGN))
            search_state()[i] = map ? SEARCH_FOREIGN : SEARCH_NONE;
}

static void walk_one(uint64_t seed)
{
    const search_plan_t *plan = search_machine.plan;
    kiln_rng_t rng = {seed};
    static char way[64];
    run.walk_at = seed;
    snprintf(way, sizeof way, "--walk=%llu", (unsigned long long)seed);
    run.way = way;
    open_plan(plan);
    search_machine.choices.rng = &rng;
    if (run.retracing) search_trace_head(&run.starts[0]), puts("mallocinit");
    do_start(&run.starts[0]);
    bool words = run.retracing;
    for (unsigned steps = 0; steps < WALK_STEPS_MAX && !search_machine.world.ended; steps++) {
        bool small = kiln_rng_below(&rng, 4) != 0;
        uint64_t limit = small && run.requests_count > 6 ? 6 : run.requests_count;
        uint64_t bytes = run.requests[kiln_rng_below(&rng, limit)];
        if (kiln_rng_below(&rng, 3) == 0) do_foreign(&rng);
        if (words) search_trace_step(NULL, 0), search_state_print();
        search_world_save(&run.worlds[0]);
        if (words) printf("alloc 0x%llx\n", (unsigned long long)bytes);
        do_request(&run.worlds[0], bytes);
    }
    if (!search_machine.world.ended) search_judge_end();
    search_machine.choices.rng = NULL;
}

static void walk_plan(const search_plan_t *plan)
{
    clock_t began = clock();
    run.transitions = 0;
    search_machine.plan = plan;
    for (uint64_t i = 0; i < run.walks; i++) walk_one(run.walk_seed + i);
    printf("%-6s %-20s walks from --walk=%llu: %llu, steps: %llu, %.1f s\n",
           kiln_follow_name(run.follow), plan->name, (unsigned long long)run.walk_seed,
           (unsigned long long)run.walks, (unsigned long long)run.transitions,
           (double)(clock() - began) / CLOCKS_PER_SEC);
    if (run.transitions < run.walks / 4) run.vacuous = true;
    run.transitions_all += run.transitions;
}

/* --- the program ----------------------------------------------------------------------------- */

static void usage(void)
{
    printf(
        "Usage: %s [--follow=seed|go19|kiln] [--full] [OPTION...]\n\n"
        "Searches the arena at 6 to 8 address bits against every answer that os.h allows, three\n"
        "requests deep, then walks at random. Without --full: the smaller machines from typical\n"
        "starts, 10^6 states and 2 * 10^7 transitions in all; with it: all machines, from every\n"
        "start, 2.5 * 10^7 states and 2.5 * 10^8 transitions, then as many steps of walks: 8 "
        "minutes.\n\n"
        "  --plan=NAME    only this machine\n"
        "  --depth=N      so many requests in a row, 1 to %d; without it 3\n"
        "  --all-starts   as --full does\n"
        "  --walks=N      so many walks on each machine that is for walks\n"
        "  --walk=SEED    the seed of the first walk; with --plan: this walk alone\n"
        "  --path=PATH    goes one way again, in words (the search prints it)\n",
        run.program, DEPTH_MAX);
}

static const char *value_of(const char *arg, const char *name)
{
    size_t length = strlen(name);
    return strncmp(arg, name, length) == 0 && arg[length] == '=' ? arg + length + 1 : NULL;
}

_Noreturn static void refuse(const char *arg, const char *why)
{
    fprintf(stderr, "%s: %s: %s; --help tells more\n", run.program, arg, why);
    exit(2);
}

static void read_follow(const char *arg, const char *value)
{
    for (unsigned i = 0; i <= KILN_FOLLOW_KILN; i++) {
        run.follow = (kiln_follow_t)i;
        if (strcmp(value, kiln_follow_name(run.follow)) == 0) return;
    }
    refuse(arg, "follow is seed, go19 or kiln");
}

/* Which known breaks must be found in a whole run. */
static unsigned expect_knowns(void)
{
    unsigned missing = 0;
    if (run.follow == KILN_FOLLOW_KILN) return 0;
    for (unsigned known = 1; known < SEARCH_KNOWNS; known++) {
        bool repaired = run.follow == KILN_FOLLOW_GO19 &&
                        (known == SEARCH_W1_NO_TABLES || known == SEARCH_W2_NO_FALLBACK);
        bool found = run.knowns[known] != 0;
        printf("known  %-9s %12llu  %s%s\n", knowns[known].name,
               (unsigned long long)run.knowns[known], knowns[known].text,
               repaired ? " (repaired in go19)" : "");
        if (found != repaired) continue;
        missing++;
        printf("broken rule: this break %s\n",
               found ? "is repaired, and was found all the same" : "is known, and was not found");
    }
    return missing;
}

static void run_plans(bool walks)
{
    search_plan_t plan;
    bool any = false;
    for (unsigned n = 0; search_plan(n, run.follow, &plan); n++) {
        if (run.plan_name ? strcmp(plan.name, run.plan_name) != 0
                          : !plan.walk && !run.full && !plan.quick)
            continue;
        any = true;
        if (plan.walk != walks) continue;
        if (walks)
            walk_plan(&plan);
        else
            search_one(&plan);
    }
    if (!any) refuse(run.plan_name, "there is no machine of this name");
}

static void run_path(const char *path)
{
    search_plan_t plan;
    for (unsigned n = 0; search_plan(n, run.follow, &plan); n++) {
        if (!run.plan_name || strcmp(plan.name, run.plan_name) != 0) continue;
        search_machine.plan = &plan;
        retrace(path);
        exit(0);
    }
    refuse("--path", "it needs --plan=NAME, the machine it is on");
}

int main(int argc, char **argv)
{
    const char *path = NULL, *value;
    bool one_walk = false;
    run.program = argv[0];
    run.follow = KILN_FOLLOW_KILN;
    run.depth = 3;
    run.walk_seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            usage();
            return 0;
        }
        if (strcmp(argv[i], "--full") == 0)
            run.full = run.all_starts = true;
        else if (strcmp(argv[i], "--all-starts") == 0)
            run.all_starts = true;
        else if ((value = value_of(argv[i], "--follow")))
            read_follow(argv[i], value);
        else if ((value = value_of(argv[i], "--plan")))
            run.plan_name = value;
        else if (value_of(argv[i], "--depth"))
            run.depth = (unsigned)kiln_number(argv[i], 1, DEPTH_MAX);
        else if (value_of(argv[i], "--walks"))
            run.walks = kiln_number(argv[i], 1, UINT32_MAX);
        else if (value_of(argv[i], "--walk"))
            run.walk_seed = kiln_number(argv[i], 0, UINT64_MAX), one_walk = true;
        else if ((value = value_of(argv[i], "--path")))
            path = value;
        else
            refuse(argv[i], "there is no such option");
    }
    if (run.walks == 0) run.walks = run.full ? 20000 : 300;
    if (one_walk && run.plan_name) run.walks = 1;
    if (path) run_path(path);
    if (one_walk && run.plan_name) run.retracing = true;
    puts("follow machine              starts requests       states    transitions  seconds");
    run_plans(false);
    run_plans(true);
    unsigned missing = run.plan_name ? 0 : expect_knowns();
    printf("%-6s states: %llu, transitions: %llu, %s\n", kiln_follow_name(run.follow),
           (unsigned long long)run.states_all, (unsigned long long)run.transitions_all,
           missing || run.vacuous ? "FAILED" : "no unknown break");
    return missing != 0 || run.vacuous;
}
