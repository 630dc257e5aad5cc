/* faults_main.c - each input again and again, with one more fault each time: the n-th call of the
 * OS that can be refused is, for every n, once and with all after it. The target judges each run as
 * ever: no crash, nothing leaked, the state as it was (L4).
 *
 *   PROGRAM [--seconds=N] FILE|FOLDER...      all of that; after N seconds what is left is counted
 *   PROGRAM --call=N once|ever FILE           one run
 *
 * Exit status 0, or it dies at the first run that breaks a law, and says which; 2: a wrong
 * argument. */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/target.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static uint8_t bytes[KILN_FUZZ_INPUT_BYTES_MAX];
static char now_runs[5000];
static unsigned long runs, inputs, inputs_left, cut;
static time_t ends_at; /* 0: never */

static void say_what_runs(int signal_number)
{
    (void)signal_number;
    (void)!write(STDERR_FILENO, now_runs, strlen(now_runs));
}

static int complain(const char *path, const char *what)
{
    fprintf(stderr, "%s_faults: %s: %s\n", kiln_fuzz_words.target, path, what);
    return EXIT_USAGE;
}

static bool run(const char *path, size_t size, uint64_t call, bool ever_after)
{
    snprintf(now_runs, sizeof now_runs, "%s_faults: this was: --call=%llu %s %s\n",
             kiln_fuzz_words.target, (unsigned long long)call, ever_after ? "ever" : "once", path);
    kiln_fuzz_faults = (kiln_fuzz_faults_t){.call = call, .ever_after = ever_after};
    LLVMFuzzerTestOneInput(bytes, size);
    runs++;
    return kiln_fuzz_faults.calls_seen >= call; /* else none was due: the input has no more */
}

static int read_input(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "rb");
    if (!file) return complain(path, strerror(errno));
    *out_size = fread(bytes, 1, sizeof bytes, file);
    int wrong = ferror(file) ? complain(path, strerror(errno)) : 0;
    fclose(file);
    return wrong;
}

static int run_file(const char *path)
{
    size_t size;
    if (ends_at != 0 && time(NULL) >= ends_at) {
        inputs_left++;
        return 0;
    }
    int wrong = read_input(path, &size);
    if (wrong) return wrong;
    for (unsigned ever = 0; ever < 2; ever++) {
        uint64_t call = 1;
        while (call <= KILN_FUZZ_FAULTS_MAX && run(path, size, call, ever)) call++;
        cut += call > KILN_FUZZ_FAULTS_MAX;
    }
    inputs++;
    return 0;
}

static int run_path(const char *path)
{
    struct stat about;
    struct dirent **entries;
    if (stat(path, &about) != 0) return complain(path, strerror(errno));
    if (!S_ISDIR(about.st_mode)) return run_file(path);
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) return complain(path, strerror(errno));
    int wrong = 0;
    for (int i = 0; i < count; i++) {
        char file[4096];
        int length = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (!wrong && entries[i]->d_name[0] != '.')
            wrong = length < (int)sizeof file ? run_file(file) : complain(path, "too deep");
        free(entries[i]);
    }
    free(entries);
    return wrong;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: %s_faults [--seconds=N] FILE|FOLDER...\n"
            "       %s_faults --call=N once|ever FILE\n",
            kiln_fuzz_words.target, kiln_fuzz_words.target);
    return EXIT_USAGE;
}

/* number reads what follows `name` in `argument`: from 1 on; 0: it is another, or no number. */
static unsigned long number(const char *argument, const char *name)
{
    size_t length = strlen(name);
    char *end;
    if (strncmp(argument, name, length) != 0) return 0;
    unsigned long value = strtoul(argument + length, &end, 10);
    return *end == '\0' && value <= 1000000 ? value : 0;
}

int main(int argc, char **argv)
{
    size_t size;
    int first = 1, wrong = 0;
    signal(SIGABRT, say_what_runs);
    unsigned long call = argc > 1 ? number(argv[1], "--call=") : 0;
    if (call != 0) {
        bool ever = argc == 4 && strcmp(argv[2], "ever") == 0;
        if (argc != 4 || (!ever && strcmp(argv[2], "once") != 0)) return usage();
        wrong = read_input(argv[3], &size);
        if (!wrong) printf("a fault was due: %s\n", run(argv[3], size, call, ever) ? "yes" : "no");
        return wrong;
    }
    unsigned long seconds = argc > 1 ? number(argv[1], "--seconds=") : 0;
    if (seconds != 0) {
        ends_at = time(NULL) + (time_t)seconds;
        first = 2;
    }
    if (first >= argc || argv[first][0] == '-') return usage();
    for (int i = first; i < argc && !wrong; i++) wrong = run_path(argv[i]);
    if (wrong) return wrong;
    printf(
        "%lu runs with a fault each of %lu inputs, no law broken; %lu inputs not begun, %lu series "
        "cut at call %d\n",
        runs, inputs, inputs_left, cut, KILN_FUZZ_FAULTS_MAX);
    return inputs == 0 ? complain(argv[first], "holds no input") : 0;
}
