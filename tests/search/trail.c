/* trail.c - see trail.h. */
#include "tests/search/trail.h"

#include "allocator/arena/arena_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ULL(n) ((unsigned long long)(n))

void search_path_add(char path[SEARCH_PATH_MAX], unsigned idx, const search_choices_t *choices)
{
    size_t at = strlen(path);
    at += (size_t)snprintf(path + at, SEARCH_PATH_MAX - at, "%s%u:", at ? "/" : "", idx);
    for (unsigned i = 0; i < choices->count && at + 8 < SEARCH_PATH_MAX; i++)
        at += (size_t)snprintf(path + at, SEARCH_PATH_MAX - at, "%s%u", i ? "." : "",
                               choices->picks[i]);
}

static bool number(const char **io_at, unsigned max, unsigned *out)
{
    char *end;
    unsigned long value = strtoul(*io_at, &end, 10);
    if (end == *io_at || value > max) return false;
    *io_at = end;
    *out = (unsigned)value;
    return true;
}

bool search_path_next(const char **io_at, unsigned *out_idx)
{
    search_choices_t *choices = &search_machine.choices;
    const char *at = *io_at;
    unsigned pick;
    *io_at = NULL;
    choices->given = 0;
    if (!number(&at, UINT16_MAX, out_idx) || *at != ':') return false;
    at++;
    while (*at && *at != '/') {
        if (choices->given == SEARCH_CHOICES_MAX || !number(&at, UINT16_MAX, &pick)) return false;
        choices->picks[choices->given++] = (uint16_t)pick;
        if (*at == '.') at++;
    }
    *io_at = *at == '/' ? at + 1 : at;
    return true;
}

void search_trace_head(const search_start_t *start)
{
    const kiln_arena_t *arena = &search_machine.world.arena;
    const kiln_arena_config_t *config = &arena->config;
    printf("# %s: word 0x%llx, the least granule 0x%llx, tables %u (1 bits, 2 spans)\n",
           search_machine.plan->name, ULL(config->word_bytes), ULL(config->granule_min_bytes),
           config->tables);
    printf("width %u\nset follow %s\nset page 0x%llx\nset phys 0x%llx\nset block 0x%llx\n"
           "set strand 0x%llx\nset maxmem 0x%llx\nset race 1\n",
           config->addr_bits, kiln_follow_name(config->follow), ULL(config->page_bytes),
           ULL(config->phys_bytes), ULL(config->block_bytes), ULL(config->strand_bytes),
           ULL(config->addr_max));
    if (search_machine.plan->by_start) return;
    printf("set arena_start 0x%llx\nset arena_used 0x%llx\nset arena_alloc 0x%llx\n"
           "set arena_end 0x%llx\nset reserved %d\nset init_map %d\n",
           ULL(start->start), ULL(start->used), ULL(start->alloc), ULL(start->end), start->reserved,
           config->follow != KILN_FOLLOW_SEED);
    if (config->tables != 0)
        printf("# the tables lie at 0x%llx: spans, then bits\n", ULL(start->tables));
}

void search_trace_step(const char *name, uint64_t bytes)
{
    static const char *const uses[] = {"heap", "bits", "spans", "meta"};
    static const char *const answers[] = {"ok", "fail", "elsewhere"};
    const search_step_t *step = &search_machine.step;
    if (name) printf("%s 0x%llx\n", name, ULL(bytes));
    for (unsigned i = 0; i < step->answers_count; i++) {
        const search_answer_t *answer = &step->answers[i];
        char addr[32] = "fail";
        if (answer->addr != 0) snprintf(addr, sizeof addr, "0x%llx", ULL(answer->addr));
        if (answer->kind == SEARCH_ASKED_MAP)
            printf("  map %s -> %s    # 0x%llx bytes at 0x%llx\n", uses[answer->use],
                   answers[answer->answer], ULL(answer->bytes), ULL(answer->addr));
        else
            printf("  %s -> %s%s    # 0x%llx bytes\n",
                   answer->kind == SEARCH_ASKED_RESERVE ? "reserve" : "sysalloc", addr,
                   answer->kind == SEARCH_ASKED_RESERVE && answer->addr && !answer->reserved
                       ? " unreserved"
                       : "",
                   ULL(answer->bytes));
    }
}

void search_state_print(void)
{
    char text[KILN_ARENA_STATE_TEXT_MAX];
    *kiln_arena_state_text(text, &search_machine.world.arena) = 0;
    printf("# %s\n# ", text);
    for (uint64_t i = 0; i < search_machine.cells; i++) {
        uint8_t marks = search_marks()[i];
        char shown = " xrRbs"[search_state()[i]]; /* free, foreign, reserved, heap, bits, spans */
        if (shown == 'R') shown = marks & SEARCH_HANDED ? 'H' : 'h';
        if (marks & SEARCH_LOST) shown = '?';
        if (shown == ' ') shown = marks & SEARCH_PROMISED ? 'p' : '.';
        putchar(shown);
    }
    putchar('\n');
}
