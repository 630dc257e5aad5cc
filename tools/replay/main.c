/* kiln-replay plays traces and prints their transcripts: the program behind `kiln replay`.
 *
 *   kiln-replay TRACE... | --svg TRACE | --svg OUT.svg TRACE
 *
 * Exit status: 0 played; 1 the arena broke one of its laws; 2 a trace or an argument is wrong. */
#include "tools/replay/player.h"
#include "tools/replay/svg.h"
#include "tools/replay/transcript.h"

#include <errno.h>
#include <string.h>

/* Large, so not on the stack. */
static kiln_trace_t trace;
static kiln_player_t player;
static kiln_transcript_t transcript;

static int write_failed(const char *name, int error)
{
    fprintf(stderr, "kiln replay: cannot write %s: %s\n", name, strerror(error));
    return 2;
}

/* Under `kiln` no trace, however hostile, may break the arena's laws. */
static int check_laws(const char *name)
{
    if (player.arena.config.follow != KILN_FOLLOW_KILN) return 0;
    const char *rule = kiln_arena_broken_rule(&player.arena);
    if (!rule) return 0;
    fprintf(stderr, "%s: at the end a law of the arena is broken: %s\n", name, rule);
    return 1;
}

static int play(const char *name, FILE *file, const kiln_view_t *views, unsigned views_count)
{
    kiln_trace_open(&trace, file);
    bool played = kiln_player_run(&player, &trace, views, views_count);
    kiln_transcript_flush(&transcript);
    int status = played ? check_laws(name) : 2;
    if (!played)
        fprintf(stderr, "%s:%llu: %s\n", name, (unsigned long long)trace.error_line, trace.error);
    kiln_player_free(&player);
    return status;
}

/* draw writes the picture of the trace played last; `out_name` NULL: to standard output. */
static int draw(const kiln_svg_t *svg, const char *name, const char *out_name)
{
    FILE *out = out_name ? fopen(out_name, "w") : stdout;
    if (!out) return write_failed(out_name, errno);
    errno = 0;
    bool drawn = kiln_svg_write(svg, name, out);
    bool failed = ferror(out) != 0;
    if ((out_name ? fclose(out) : fflush(out)) != 0) failed = true;
    if (failed) return write_failed(out_name ? out_name : "the drawing", errno);
    if (!drawn) fprintf(stderr, "kiln replay: not enough memory to draw %s\n", name);
    return drawn ? 0 : 2;
}

static int play_file(const char *path, bool drawn, const char *out_name)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    kiln_svg_t svg;
    kiln_view_t views[KILN_PLAYER_VIEWS_MAX];
    unsigned views_count = 0;

    if (!file) {
        fprintf(stderr, "kiln replay: cannot read %s: %s\n", path, strerror(errno));
        return 2;
    }
    kiln_svg_init(&svg);
    if (drawn) views[views_count++] = kiln_svg_view(&svg);
    if (!drawn || out_name) views[views_count++] = kiln_transcript_view(&transcript);
    int status = play(name, file, views, views_count);
    if (file != stdin) fclose(file);
    if (drawn && status == 0) status = draw(&svg, name, out_name);
    kiln_svg_free(&svg);
    return status;
}

static int play_all(char **paths, int count)
{
    int status = 0;
    for (int i = 0; i < count; i++) {
        if (count > 1) {
            printf("== %s\n", paths[i]);
            fflush(stdout);
        }
        int this_status = play_file(paths[i], false, NULL);
        if (this_status > status) status = this_status;
    }
    return status;
}

static int usage(const char *what, const char *argument)
{
    fprintf(stderr, "kiln replay: %s%s; kiln replay --help shows how\n", what, argument);
    return 2;
}

static bool ends_in_svg(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".svg") == 0;
}

static int run(int count, char **arguments)
{
    bool drawn = count > 0 && strcmp(arguments[0], "--svg") == 0;
    const char *out_name = NULL;

    if (drawn) count--, arguments++;
    if (drawn && count > 1 && ends_in_svg(arguments[0])) {
        out_name = arguments[0];
        count--, arguments++;
    }
    if (!drawn && count > 0 && strcmp(arguments[0], "--") == 0) {
        count--, arguments++;
    } else if (count > 0 && arguments[0][0] == '-' && arguments[0][1]) {
        return usage("there is no option ", arguments[0]);
    }
    if (count == 0) return usage("which trace?", "");
    if (!drawn) return play_all(arguments, count);
    if (count > 1) return usage("one trace at a time is drawn, not also ", arguments[1]);
    return play_file(arguments[0], true, out_name);
}

int main(int argc, char **argv)
{
    kiln_transcript_open(&transcript, stdout);
    int status = run(argc - 1, argv + 1);
    kiln_transcript_flush(&transcript);
    if (transcript.failed_errno != 0)
        return write_failed("the transcript", transcript.failed_errno);
    if (fflush(stdout) != 0) return write_failed("standard output", errno);
    return status;
}
