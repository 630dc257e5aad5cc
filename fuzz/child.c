/* child.c - an input in a child process (child.h). */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/child.h"

#include "fuzz/target.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *said_file; /* what the child writes to standard error */

bool kiln_fuzz_child_open(void)
{
    if (!said_file) said_file = tmpfile();
    return said_file != NULL;
}

/* put_kind writes the text from `from` up to `end`, or what fits of it. */
static void put_kind(char *kind, const char *from, const char *end)
{
    size_t length = (size_t)(end - from);
    if (length >= KILN_FUZZ_KIND_BYTES) length = KILN_FUZZ_KIND_BYTES - 1;
    memcpy(kind, from, length);
    kind[length] = 0;
}

/* in_line finds `word` in this line, the end of which is given. */
static const char *in_line(const char *line, const char *end, const char *word)
{
    const char *at = strstr(line, word);
    return at && at < end ? at : NULL;
}

/* kind_of_line: the first line that names a kind is what stopped the process. */
static bool kind_of_line(const char *line, const char *end, char *kind)
{
    static const char rule[] = ": broken rule: ", summary[] = "SUMMARY: ";
    const char *at = in_line(line, end, rule);
    if (at && strncmp(line, "kiln: ", 6) == 0) {
        put_kind(kind, at + 2, end);
        return true;
    }
    if (strncmp(line, summary, sizeof summary - 1) != 0) return false;
    line += sizeof summary - 1;
    const char *tool = in_line(line, end, ": "); /* "AddressSanitizer: SEGV (program+0x12)" */
    const char *last = tool ? tool + 2 : line;
    while (last < end && *last != ' ') last++;
    put_kind(kind, line, last);
    return true;
}

void kiln_fuzz_child_kind(const char *said, int status, char kind[KILN_FUZZ_KIND_BYTES])
{
    kind[0] = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        snprintf(kind, KILN_FUZZ_KIND_BYTES, "took longer than %d s", KILN_FUZZ_CHILD_SECONDS);
        return;
    }
    for (const char *line = said; *line;) {
        const char *end = line + strcspn(line, "\n");
        if (kind_of_line(line, end, kind)) return;
        line = *end ? end + 1 : end;
    }
    if (WIFSIGNALED(status))
        snprintf(kind, KILN_FUZZ_KIND_BYTES, "ended by signal %d", WTERMSIG(status));
    else
        snprintf(kind, KILN_FUZZ_KIND_BYTES, "ended with status %d", WEXITSTATUS(status));
}

void kiln_fuzz_child_begin(void)
{
    static const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(fileno(said_file), STDERR_FILENO);
    kiln_fuzz_brief = true;
}

bool kiln_fuzz_child_ended(int child, char kind[KILN_FUZZ_KIND_BYTES])
{
    static char said[1 << 16];
    int status;
    if (waitpid((pid_t)child, &status, 0) != child) return false;
    ssize_t bytes = pread(fileno(said_file), said, sizeof said - 1, 0);
    said[bytes > 0 ? bytes : 0] = 0;
    for (ssize_t i = 0; i < bytes; i++)
        if (said[i] == 0) said[i] = ' ';
    kiln_fuzz_child_kind(said, status, kind);
    /* The next child's words begin at the file's start. */
    return ftruncate(fileno(said_file), 0) == 0 && lseek(fileno(said_file), 0, SEEK_SET) == 0;
}

bool kiln_fuzz_child_run(const uint8_t *data, size_t size, char kind[KILN_FUZZ_KIND_BYTES])
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) return false;
    if (size) memcpy(exact, data, size);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        kiln_fuzz_child_begin();
        alarm(KILN_FUZZ_CHILD_SECONDS);
        LLVMFuzzerTestOneInput(exact, size);
        _exit(0);
    }
    free(exact);
    return child > 0 && kiln_fuzz_child_ended((int)child, kind);
}
