/* Traces with bytes flipped, cut off, and lines dropped, doubled and swapped: a replay is played or
 * refused, and never crashes, whatever it reads; under `kiln` the arena's laws hold at the end.
 *
 *   mutation_test [--seed=N] [--from=N] [--count=N]      from the root of the checkout
 *
 * The seed is printed first. A mutation that crashes the program is named by the handler below,
 * with the call that plays it alone. */
#define _GNU_SOURCE
#include "allocator/base/rng.h"
#include "allocator/base/text.h"
#include "tests/kiln_test.h"
#include "tools/replay/player.h"
#include "tools/replay/svg.h"
#include "tools/replay/transcript.h"

#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 16, EDITS_MAX = 6 };

typedef struct text {
    char bytes[TEXT_MAX];
    size_t length;
} text_t;

static unsigned long long seed, from, count = 20000, mutation;
static text_t *traces;
static size_t traces_count;

static kiln_trace_t trace;
static kiln_player_t player;
static kiln_transcript_t transcript;

/* A signal handler: write, but no printf. */
static void crashed(int signal_number)
{
    char line[512], *at = kiln_text_word(line, "FAILED mutation ");
    at = kiln_text_dec(at, mutation);
    at = kiln_text_word(at, "; again alone: mutation_test --seed=");
    at = kiln_text_dec(at, seed);
    at = kiln_text_word(at, " --from=");
    at = kiln_text_dec(at, mutation);
    at = kiln_text_word(at, " --count=1\n");
    if (write(2, line, (size_t)(at - line)) < 0) _exit(99);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* --- mutations ------------------------------------------------------------------------------- */

static size_t below(kiln_rng_t *rng, size_t end)
{
    return end == 0 ? 0 : (size_t)kiln_rng_below(rng, end);
}

/* The line around a random place: [*start, *end), its newline included. */
static void pick_line(kiln_rng_t *rng, const text_t *text, size_t *start, size_t *end)
{
    size_t at = below(rng, text->length);
    for (*start = at; *start > 0 && text->bytes[*start - 1] != '\n';) --*start;
    for (*end = at; *end < text->length && text->bytes[*end] != '\n';) ++*end;
    if (*end < text->length) ++*end;
}

static void insert(text_t *text, size_t at, const char *bytes, size_t length)
{
    if (text->length + length > TEXT_MAX) return;
    memmove(text->bytes + at + length, text->bytes + at, text->length - at);
    memcpy(text->bytes + at, bytes, length);
    text->length += length;
}

static void erase(text_t *text, size_t start, size_t end)
{
    memmove(text->bytes + start, text->bytes + end, text->length - end);
    text->length -= end - start;
}

/* replace_word puts a word of the language, or an awkward number, in place of a random word. */
static void replace_word(kiln_rng_t *rng, text_t *text)
{
    static const char *const words[] = {
        "alloc",      "grow",       "mallocinit",  "reserve",    "reserve*3",
        "map",        "sysalloc",   "->",          "fail",       "ok",
        "elsewhere",  "unreserved", "heap",        "bits",       "spans",
        "set",        "width",      "follow",      "seed",       "go19",
        "kiln",       "maxmem",     "phys",        "0x10000",    "0x1000",
        "0xffffffff", "0xfffff000", "0x80000000",  "0",          "1",
        "32",         "64",         "0x100000000", "0xf0000000", "arena_used",
        "strand",     "race",       "init_map",    "block",      "0xfffffffffffff000",
    };
    size_t start = below(rng, text->length), end = start;
    while (start > 0 && (unsigned char)text->bytes[start - 1] > ' ') start--;
    while (end < text->length && (unsigned char)text->bytes[end] > ' ') end++;
    const char *word = words[below(rng, sizeof words / sizeof *words)];
    erase(text, start, end);
    insert(text, start, word, strlen(word));
}

static void edit(kiln_rng_t *rng, text_t *text)
{
    char line[TEXT_MAX / 8];
    size_t start, end, at = below(rng, text->length);

    if (text->length == 0) return;
    pick_line(rng, text, &start, &end);
    size_t length = end - start < sizeof line ? end - start : sizeof line;
    memcpy(line, text->bytes + start, length);
    switch (below(rng, 8)) {
    case 0:
        text->bytes[at] = (char)(text->bytes[at] ^ (1 << below(rng, 8)));
        break;
    case 1:
        text->bytes[at] = (char)kiln_rng_next(rng);
        break;
    case 2:
        text->length = at;
        break;
    case 3:
        erase(text, start, end);
        break;
    case 4:
        insert(text, start, line, length);
        break;
    case 5: /* the line goes somewhere else */
        erase(text, start, end);
        pick_line(rng, text, &start, &end);
        insert(text, text->length == 0 ? 0 : start, line, length);
        break;
    default:
        replace_word(rng, text);
        break;
    }
}

/* --- plays ----------------------------------------------------------------------------------- */

/* play gives NULL, or what a replay must not do. */
static const char *play(text_t *text, FILE *sink, unsigned long long *played)
{
    kiln_svg_t svg;
    const char *fault = NULL;
    FILE *file = fmemopen(text->bytes, text->length > 0 ? text->length : 1, "r");
    if (!file) return "no memory stream";
    if (text->length == 0) fgetc(file);

    kiln_svg_init(&svg);
    kiln_transcript_open(&transcript, sink);
    kiln_trace_open(&trace, file);
    kiln_view_t views[] = {kiln_svg_view(&svg), kiln_transcript_view(&transcript)};
    bool good = kiln_player_run(&player, &trace, views, 2);
    kiln_transcript_flush(&transcript);
    if (!good && (trace.error_line == 0 || trace.error[0] == '\0'))
        fault = "a broken trace has no message";
    if (good && player.arena.config.follow == KILN_FOLLOW_KILN)
        fault = kiln_arena_broken_rule(&player.arena);
    if (good && !kiln_svg_write(&svg, "a <mutated> & trace", sink)) fault = "no drawing";
    *played += good;
    kiln_player_free(&player);
    kiln_svg_free(&svg);
    fclose(file);
    return fault;
}

static void load_traces(void)
{
    glob_t found;
    EXPECT(glob("tests/replay/traces/*.trace", 0, NULL, &found) == 0);
    traces_count = found.gl_pathc;
    traces = calloc(traces_count, sizeof *traces);
    EXPECT(traces);
    for (size_t i = 0; i < traces_count; i++) {
        FILE *file = fopen(found.gl_pathv[i], "rb");
        EXPECT(file);
        traces[i].length = fread(traces[i].bytes, 1, TEXT_MAX, file);
        fclose(file);
    }
    globfree(&found);
}

static void test_mutated_traces_are_played_or_refused(void)
{
    static text_t text;
    unsigned long long played = 0;
    FILE *sink = fopen("/dev/null", "w");

    EXPECT(sink);
    load_traces();
    for (mutation = from; mutation < from + count; mutation++) {
        kiln_rng_t rng = {seed + mutation};
        text = traces[below(&rng, traces_count)];
        for (size_t edits = 1 + below(&rng, EDITS_MAX); edits > 0; edits--) edit(&rng, &text);
        const char *fault = play(&text, sink, &played);
        if (fault)
            fprintf(stderr,
                    "mutation %llu: %s; again alone: %s --seed=%llu --from=%llu --count=1\n",
                    mutation, fault, kiln_test_program, seed, mutation);
        EXPECT(!fault);
    }
    fclose(sink);
    free(traces);
    printf("%llu mutations, %llu of them played to the end\n", count, played);
    /* A test of refusals alone would be a poor one; and so would one of plays alone. */
    if (count >= 1000) EXPECT(played > count / 20 && played < count);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {KILN_TEST(test_mutated_traces_are_played_or_refused)};
    seed = (unsigned long long)time(NULL);
    for (int i = 1; i < argc; i++)
        if (sscanf(argv[i], "--seed=%llu", &seed) != 1 &&
            sscanf(argv[i], "--from=%llu", &from) != 1 &&
            sscanf(argv[i], "--count=%llu", &count) != 1) {
            fprintf(stderr, "%s: what is %s?\n", argv[0], argv[i]);
            return 2;
        }
    printf("seed %llu\n", seed);
    fflush(stdout);
    signal(SIGABRT, crashed);
    signal(SIGSEGV, crashed);
    return kiln_test_main(1, argv, tests, 1);
}
