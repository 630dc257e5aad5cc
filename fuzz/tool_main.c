/* tool_main.c - what is done with a target besides fuzzing it: inputs made small, inputs drawn.
 *
 *   TOOL --shrink FILE OUT SECONDS OPTIONS
 *   TOOL --sim SEED STEPS SECONDS ROUND|all OUT OPTIONS
 *
 * Called by kiln shrink and kiln sim, which check what they are given. OUT is the smallest input,
 * and OUT.txt its text; of a simulation they are written, and OUT.drawn, when something breaks.
 * OPTIONS are those of the command, for the line that says how to do it again. The exit status is
 * 0, or 1 when the time was over before an input was minimal, or something broke; 2 for a wrong
 * input. */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/shrink.h"
#include "fuzz/sim.h"
#include "fuzz/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, EXIT_FOUND = 1, EXIT_WRONG = 2, SIM_SHRINK_SECONDS = 60 };

static kiln_fuzz_shrink_t shrunk;

static int complain(const char *path, const char *what)
{
    fprintf(stderr, "kiln: %s: %s\n", path, what);
    return EXIT_WRONG;
}

static bool write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file) return false;
    bool wrote = fwrite(data, 1, size, file) == size;
    return fclose(file) == 0 && wrote;
}

/* print_steps runs the input once more, as kiln fuzz --replay does, with its words on standard
 * output. */
static void print_steps(void)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(STDOUT_FILENO, STDERR_FILENO);
        alarm(KILN_FUZZ_CHILD_SECONDS);
        kiln_fuzz_tracing = true;
        LLVMFuzzerTestOneInput(shrunk.data, shrunk.size);
        _exit(0);
    }
    if (child > 0) waitpid(child, NULL, 0);
}

/* print_shrunk writes and prints what is left. */
static int print_shrunk(const char *out, const char *options)
{
    static char text[64 * KILN_FUZZ_INPUT_BYTES_MAX];
    char path[PATH_BYTES + 8];
    const char *target = kiln_fuzz_words.target,
               *units = kiln_fuzz_words.op_count ? "records" : "bytes";
    size_t length =
        kiln_fuzz_text_of(&kiln_fuzz_words, shrunk.data, shrunk.size, text, sizeof text);
    snprintf(path, sizeof path, "%s.txt", out);
    if (!write_file(out, shrunk.data, shrunk.size) || !write_file(path, text, length))
        return complain(out, strerror(errno));
    printf("kind    %s\nwas     %u %s, %u settings\nis      %u %s, %u settings%s\n", shrunk.kind,
           shrunk.records_before, units, shrunk.settings_before, kiln_fuzz_shrink_records(&shrunk),
           units, kiln_fuzz_shrink_settings(&shrunk),
           shrunk.late ? "; NOT minimal, the time was over" : "; none can be left out");
    printf("runs    %llu in %.1f s\nfile    %s\ntext    %s\nagain   ./kiln fuzz %s%s --replay %s\n",
           (unsigned long long)shrunk.runs, kiln_fuzz_shrink_seconds(&shrunk), out, path, target,
           options, out);
    printf("--- the input as operations\n%s", text);
    return shrunk.late ? EXIT_FOUND : 0;
}

static int shrink(const char *path, const char *out, const char *seconds, const char *options)
{
    static uint8_t data[KILN_FUZZ_INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) return complain(path, strerror(errno));
    size_t size = fread(data, 1, sizeof data, file); /* targets read no more */
    bool wrong = ferror(file);
    fclose(file);
    if (wrong) return complain(path, "cannot be read");
    const char *reason =
        kiln_fuzz_shrink(&shrunk, &kiln_fuzz_words, data, size, strtod(seconds, NULL));
    if (reason) {
        fprintf(stderr,
                "kiln: %s, as an input of %s: %s; is it of another target, or of another "
                "--sanitizer?\n",
                path, kiln_fuzz_words.target, reason);
        return EXIT_WRONG;
    }
    return print_shrunk(out, options);
}

/* tell_finding draws the round again, and makes it small. */
static int tell_finding(const kiln_fuzz_sim_config_t *config, const kiln_fuzz_sim_t *sim,
                        const char *out, const char *options)
{
    static uint8_t data[KILN_FUZZ_INPUT_BYTES_MAX];
    kiln_fuzz_swarm_t swarm;
    char path[PATH_BYTES + 8];
    unsigned long long seed = config->seed, round = sim->round;
    kiln_fuzz_swarm_draw(&swarm, &kiln_fuzz_words, config->seed, sim->round);
    size_t size = kiln_fuzz_swarm_input(&swarm, sim->round, data);
    snprintf(path, sizeof path, "%s.drawn", out);
    if (!write_file(path, data, size)) return complain(path, strerror(errno));
    printf("finding %s\n        in round %llu, after %llu steps: %s\n", sim->kind, round,
           (unsigned long long)sim->steps, path);
    printf("again   ./kiln sim %s --seed=%llu --round=%llu%s\n", kiln_fuzz_words.target, seed,
           round, options);
    fflush(stdout);
    const char *reason =
        kiln_fuzz_shrink(&shrunk, &kiln_fuzz_words, data, size, SIM_SHRINK_SECONDS);
    if (reason) {
        printf("not shrunk: alone it %s; with all rounds before it: ./kiln sim %s --seed=%llu "
               "--steps=%llu%s\n",
               reason, kiln_fuzz_words.target, seed, (unsigned long long)sim->steps + 1, options);
        return EXIT_FOUND;
    }
    if (print_shrunk(out, options) == EXIT_WRONG) return EXIT_WRONG;
    printf("--- its steps\n");
    print_steps();
    return EXIT_FOUND;
}

static int simulate(char **words)
{
    const char *target = kiln_fuzz_words.target, *out = words[4], *options = words[5];
    kiln_fuzz_sim_t sim;
    kiln_fuzz_sim_config_t config = {
        .words = &kiln_fuzz_words,
        .seed = strtoull(words[0], NULL, 10),
        .steps_max = strtoull(words[1], NULL, 10),
        .seconds_max = strtoull(words[2], NULL, 10),
        .round =
            strcmp(words[3], "all") ? (int64_t)strtoull(words[3], NULL, 10) : KILN_FUZZ_SIM_ALL,
    };
    printf("simulating %s: seed %s, %s steps, %d bits%s\n", target, words[0], words[1],
           (int)sizeof(void *) * 8, options);
    fflush(stdout);
    if (!kiln_fuzz_sim(&config, &sim)) return complain(target, "there is no process or memory");
    if (sim.kind[0]) return tell_finding(&config, &sim, out, options);
    if (sim.idle) return complain(target, "no input that is drawn takes a step; see kiln_fuzz_ran");
    double rate = (double)sim.steps / (sim.seconds > 0 ? sim.seconds : 1e-9);
    printf("%llu steps in %llu rounds of %llu swarms, %.1f s: %.0f steps/s, 10^9 take %.2f hours\n",
           (unsigned long long)sim.steps, (unsigned long long)sim.rounds,
           (unsigned long long)sim.swarms, sim.seconds, rate, 1e9 / (rate > 0 ? rate : 1) / 3600);
    printf("events  0x%016llx; the same again: ./kiln sim %s --seed=%s --",
           (unsigned long long)sim.events, target, words[0]);
    if (config.round == KILN_FUZZ_SIM_ALL)
        printf("steps=%llu%s\n", (unsigned long long)sim.steps, options);
    else
        printf("round=%s%s\n", words[3], options);
    printf("%s: no law broken\n", target);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "--shrink") == 0)
        return shrink(argv[2], argv[3], argv[4], argv[5]);
    if (argc == 8 && strcmp(argv[1], "--sim") == 0) return simulate(argv + 2);
    fprintf(stderr,
            "usage: see the head of fuzz/tool_main.c; kiln shrink and kiln sim call this\n");
    return EXIT_WRONG;
}
