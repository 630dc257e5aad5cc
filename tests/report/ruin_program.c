/* usage: ruin_program FIRST COUNT | ruin_program control
 *
 * Cases FIRST to FIRST + COUNT - 1: each, in a process of its own, writes over the heap's records,
 * the kept stacks, its own stack and the fields of a report, as its number says, and then reports.
 * That must end by SIGABRT, soon, and with the report's first lines. `control` shows that a report
 * which faults, hangs or says nothing is noticed. */
#define _GNU_SOURCE
#include "allocator/api/process.h"
#include "allocator/api/report.h"
#include "allocator/base/rng.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOST_MAX = 3, BLOCKS = 64, SECONDS_MAX = 20, SAID_BYTES = 1 << 18 };

static char *blocks[BLOCKS];
static size_t sizes[BLOCKS];

static uintptr_t any_word(kiln_rng_t *rng)
{
    switch (kiln_rng_below(rng, 5)) {
    case 0:
        return 0;
    case 1:
        return (uintptr_t)kiln_rng_next(rng);
    case 2:
        return (uintptr_t)blocks[kiln_rng_below(rng, BLOCKS)];
    case 3:
        return (uintptr_t)kiln_rng_below(rng, 1 << 20);
    default:
        return UINTPTR_MAX - (uintptr_t)kiln_rng_below(rng, 4096);
    }
}

static void ruin(kiln_rng_t *rng, void *start, size_t bytes, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        size_t at = (size_t)kiln_rng_below(rng, bytes / sizeof(uintptr_t));
        ((volatile uintptr_t *)start)[at] = any_word(rng);
    }
}

static void ruin_records(kiln_rng_t *rng, const char *block)
{
    kiln_page_map_t *map = &kiln_process_heap.map;
    kiln_span_t *span = kiln_page_map_find(map, (uintptr_t)block);
    uint64_t what = kiln_rng_below(rng, 4);
    if (!span) return;
    if (what == 0) ruin(rng, span, sizeof *span, 3);
    if (what == 1) ruin(rng, (void *)span->states, 64, 4);
    if (what == 2)
        atomic_store(&map->entries[((uintptr_t)block - map->start) >> KILN_PAGE_SHIFT],
                     (kiln_span_t *)any_word(rng));
}

static void ruin_depot(kiln_rng_t *rng)
{
    uintptr_t chunk = atomic_load(&kiln_stack_depot.chunks[0]);
    uint64_t what = kiln_rng_below(rng, 4);
    if (what == 0 && chunk) ruin(rng, (void *)chunk, 8192, 400);
    if (what == 1) atomic_store(&kiln_stack_depot.chunks[0], any_word(rng));
}

static kiln_lost_t lost[LOST_MAX];

static kiln_report_t any_report(kiln_rng_t *rng, kiln_stack_id_t real)
{
    char *block = blocks[kiln_rng_below(rng, BLOCKS)];
    kiln_report_t report = {
        .kind = (kiln_report_kind_t)kiln_rng_below(rng, KILN_REPORT_KINDS + 2),
        .access = (kiln_access_t)kiln_rng_below(rng, 4),
        .access_bytes = (size_t)any_word(rng),
        .address = kiln_rng_below(rng, 2) ? (uintptr_t)block : any_word(rng),
        .call = kiln_rng_below(rng, 2) ? "free" : NULL,
        .caller = any_word(rng),
        .look_up = kiln_rng_below(rng, 2) == 0,
        .claimed_bytes = (size_t)any_word(rng),
    };
    for (unsigned i = 0; i < LOST_MAX; i++)
        lost[i] = (kiln_lost_t){
            .stack = kiln_rng_below(rng, 2) ? real : (kiln_stack_id_t)any_word(rng),
            .thread = (uint32_t)any_word(rng),
            .direct = kiln_rng_below(rng, 2) == 0,
            .blocks = any_word(rng),
            .bytes = any_word(rng),
            .first = (uintptr_t)any_word(rng),
        };
    report.lost_count = (size_t)kiln_rng_below(rng, LOST_MAX + 1);
    if (report.lost_count > 0) report.lost = lost;
    report.block = (kiln_report_block_t){
        .known = kiln_rng_below(rng, 2) == 0,
        .live = kiln_rng_below(rng, 2) == 0,
        .start = any_word(rng),
        .bytes = (size_t)any_word(rng),
        .slot_bytes = (size_t)any_word(rng),
        .alloc_stack = kiln_rng_below(rng, 2) ? real : (kiln_stack_id_t)any_word(rng),
        .free_stack = kiln_rng_below(rng, 2) ? real : (kiln_stack_id_t)any_word(rng),
        .alloc_thread = (uint32_t)any_word(rng),
        .free_thread = (uint32_t)any_word(rng),
    };
    return report;
}

/* The frames of the callers, which never get control back. */
static __attribute__((noinline)) void ruin_stack(kiln_rng_t *rng, kiln_report_t *report)
{
    static kiln_report_t kept; /* the record itself is not on the stack that is ruined */
    kept = *report;
    uint64_t words = kiln_rng_below(rng, 3) == 0 ? 60 : 0;
    ruin(rng, __builtin_frame_address(0), 2048, (unsigned)words);
    kiln_report(&kept);
    abort();
}

static void run_case(uint64_t number)
{
    char room[4096]; /* so that the frames above are far, and are the program's own */
    static kiln_rng_t rng;
    rng.state = number;
    memset(room, 0, sizeof room);
    for (unsigned i = 0; i < BLOCKS; i++) {
        sizes[i] = (size_t)kiln_rng_below(&rng, 5) == 0 ? (size_t)kiln_rng_below(&rng, 1 << 20)
                                                        : (size_t)kiln_rng_below(&rng, 1 << 10);
        blocks[i] = malloc(sizes[i]);
        if (!blocks[i]) _exit(3);
    }
    for (unsigned i = 0; i < BLOCKS; i += 3) free(blocks[i]);
    kiln_stack_thread_begin();
    kiln_stack_id_t id = kiln_stack_capture(KILN_CALLER(), 16);
    kiln_report_options.symbolize = false;
    kiln_report_options.dedup_token_length = kiln_rng_below(&rng, 5);
    kiln_report_options.forms = 1 + kiln_rng_below(&rng, 3);
    kiln_report_t report = any_report(&rng, id);
    ruin_records(&rng, blocks[kiln_rng_below(&rng, BLOCKS)]);
    ruin_depot(&rng);
    ruin_stack(&rng, &report);
    _exit(room[number % sizeof room]);
}

/* What a report must not do. */
static void run_control(uint64_t number)
{
    static volatile uintptr_t nowhere = 64; /* the compiler is not to know */
    if (number == 0) *(volatile char *)nowhere = 1;
    if (number == 1) sleep(1000);
    if (number == 2) abort();
    _exit(0);
}

/* "" when all is well. Else what is not. `*whole` is whether the report was finished. */
static const char *judge(int status, const char *said, bool timed_out, bool *whole)
{
    *whole = strstr(said, "SUMMARY: Kiln: ") || strstr(said, "\"halts\":true}");
    if (timed_out) return "it did not end";
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) return "it did not end by SIGABRT";
    if (!strstr(said, "ERROR: Kiln: ") && !strstr(said, "{\"schema\"") &&
        !strstr(said, "second error"))
        return "it said nothing";
    return "";
}

static const char *run(void (*act)(uint64_t), uint64_t number, int seconds_max, bool *whole)
{
    static char said[SAID_BYTES];
    int ends[2] = {-1, -1}, status = 0;
    size_t length = 0;
    bool timed_out = false;
    if (pipe(ends) != 0) return "there is no pipe";
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        act(number);
        _exit(0);
    }
    close(ends[1]);
    for (;;) {
        struct pollfd ready = {.fd = ends[0], .events = POLLIN};
        timed_out = poll(&ready, 1, seconds_max * 1000) == 0;
        if (timed_out) break;
        ssize_t bytes = read(ends[0], said + length, sizeof said - 1 - length);
        if (bytes <= 0) break;
        length += (size_t)bytes;
    }
    said[length] = '\0';
    if (timed_out) kill(child, SIGKILL);
    close(ends[0]);
    waitpid(child, &status, 0);
    return judge(status, said, timed_out, whole);
}

int main(int argc, char **argv)
{
    bool whole = false;
    unsigned bad = 0, finished = 0;
    if (argc == 2 && strcmp(argv[1], "control") == 0) {
        for (uint64_t i = 0; i < 4; i++) bad += run(run_control, i, 2, &whole)[0] != '\0';
        printf("%u of 4 bad reports were noticed\n", bad);
        return bad != 4;
    }
    if (argc != 3) {
        fputs("usage: ruin_program FIRST COUNT | ruin_program control\n", stderr);
        return 2;
    }
    uint64_t first = strtoull(argv[1], NULL, 0), count = strtoull(argv[2], NULL, 0);
    for (uint64_t i = first; i < first + count; i++) {
        const char *wrong = run(run_case, i, SECONDS_MAX, &whole);
        finished += whole;
        if (wrong[0] == '\0') continue;
        printf("case %llu: %s; again alone: %s %llu 1\n", (unsigned long long)i, wrong, argv[0],
               (unsigned long long)i);
        bad++;
    }
    printf("%llu cases, %u reports to their end, %u bad\n", (unsigned long long)count, finished,
           bad);
    return bad != 0;
}
