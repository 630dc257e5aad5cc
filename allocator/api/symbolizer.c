#define _GNU_SOURCE
#include "allocator/api/symbolizer.h"

#include "allocator/api/out.h"
#include "allocator/base/text.h"
#include "allocator/os/linux_syscall.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include <string.h>

enum {
    STDERR = 2,
    ANSWER_MS_MAX = 10000, /* big programs take seconds to read, once */
    PATH_MAX_BYTES = 4096,
    LINE_MAX_BYTES = 4096,
    NEWEST_VERSION = 25,
    OLDEST_VERSION = 11,
    FAMILY_UNIX = 1,
    SOCKET_STREAM = 1,
    SEND_NO_SIGNAL = 0x4000,
    MAY_EXECUTE = 1,
};

static struct {
    long pid; /* 0: not running */
    int fd;
    bool asked; /* and not all of the answer was read */
    size_t start, end;
    char waiting[LINE_MAX_BYTES]; /* [start, end) was read, and not asked for yet */
    char path[PATH_MAX_BYTES];
} child;

static bool is_program(const char *path)
{
    return kiln_linux_call(__NR_faccessat, (uintptr_t)AT_FDCWD, (uintptr_t)path, MAY_EXECUTE, 0,
                           0) == 0;
}

/* Version 0 has no number in its name. */
static bool is_in(const char *folder, size_t bytes, unsigned version)
{
    kiln_out_t name = {child.path, sizeof child.path - 1, 0, -1};
    if (bytes == 0 || folder[0] != '/') return false; /* nothing of the folder that we are in */
    kiln_out_bytes(&name, folder, bytes);
    kiln_out_put(&name, "/llvm-symbolizer");
    if (version != 0) {
        kiln_out_put(&name, "-");
        kiln_out_number(&name, version);
    }
    child.path[name.length] = '\0';
    return is_program(child.path);
}

static bool search(const char *folders, unsigned version)
{
    while (*folders != '\0') {
        size_t bytes = strcspn(folders, ":");
        if (is_in(folders, bytes, version)) return true;
        folders += bytes + (folders[bytes] == ':');
    }
    return false;
}

static bool find_program(const char *path, const char *folders)
{
    if (path[0] != '\0') {
        size_t bytes = strnlen(path, sizeof child.path - 1);
        memcpy(child.path, path, bytes);
        child.path[bytes] = '\0';
        return is_program(child.path);
    }
    if (search(folders, 0)) return true;
    for (unsigned version = NEWEST_VERSION; version >= OLDEST_VERSION; version--)
        if (search(folders, version)) return true;
    return false;
}

_Noreturn static void become(long fd)
{
    static const char *const arguments[] = {"llvm-symbolizer", "--demangle", "--inlines",
                                            "--output-style=LLVM", NULL};
    static const char *const environment[] = {NULL};
    (void)kiln_linux_call(__NR_dup2, (uintptr_t)fd, 0, 0, 0, 0);
    (void)kiln_linux_call(__NR_dup2, (uintptr_t)fd, 1, 0, 0, 0);
    long none =
        kiln_linux_call(__NR_openat, (uintptr_t)AT_FDCWD, (uintptr_t)"/dev/null", O_RDWR, 0, 0);
    if (none >= 0) (void)kiln_linux_call(__NR_dup2, (uintptr_t)none, STDERR, 0, 0, 0);
#ifdef __NR_close_range
    (void)kiln_linux_call(__NR_close_range, STDERR + 1, UINT32_MAX, 0, 0, 0);
#endif
    (void)kiln_linux_call(__NR_execve, (uintptr_t)child.path, (uintptr_t)arguments,
                          (uintptr_t)environment, 0, 0);
    for (;;) (void)kiln_linux_call(__NR_exit_group, 127, 0, 0, 0, 0);
}

void kiln_symbolizer_start(const char *path, const char *folders)
{
    int pair[2] = {-1, -1};
    child.start = child.end = 0;
    child.asked = false;
    if (child.pid != 0 || !find_program(path, folders)) return;
    if (kiln_linux_call(__NR_socketpair, FAMILY_UNIX, SOCKET_STREAM, 0, (uintptr_t)pair, 0) < 0)
        return;
    long pid = kiln_linux_call(__NR_clone, 0, 0, 0, 0, 0);
    if (pid == 0) become(pair[1]);
    (void)kiln_linux_call(__NR_close, (uintptr_t)pair[1], 0, 0, 0, 0);
    child.fd = pair[0];
    if (pid > 0)
        child.pid = pid;
    else
        (void)kiln_linux_call(__NR_close, (uintptr_t)pair[0], 0, 0, 0, 0);
}

void kiln_symbolizer_stop(void)
{
    if (child.pid == 0) return;
    (void)kiln_linux_call(__NR_close, (uintptr_t)child.fd, 0, 0, 0, 0);
    (void)kiln_linux_call(__NR_kill, (uintptr_t)child.pid, SIGKILL, 0, 0, 0);
    while (kiln_linux_call(__NR_wait4, (uintptr_t)child.pid, 0, __WALL, 0, 0) == -EINTR) {
    }
    child.pid = 0;
}

/* More of the answer. False: there is none, and none will come. */
static bool read_more(void)
{
    if (child.start > 0)
        memmove(child.waiting, child.waiting + child.start, child.end - child.start);
    child.end -= child.start;
    child.start = 0;
    if (child.end == sizeof child.waiting) return false;
    struct pollfd ready = {.fd = child.fd, .events = POLLIN};
    long answer;
    do answer = kiln_linux_call(__NR_poll, (uintptr_t)&ready, 1, ANSWER_MS_MAX, 0, 0);
    while (answer == -EINTR);
    if (answer <= 0) return false;
    do
        answer =
            kiln_linux_call(__NR_read, (uintptr_t)child.fd, (uintptr_t)child.waiting + child.end,
                            sizeof child.waiting - child.end, 0, 0);
    while (answer == -EINTR);
    if (answer <= 0) return false;
    child.end += (size_t)answer;
    return true;
}

/* The next line, without its end. NULL: the child does not answer; it is stopped. */
static char *read_line(void)
{
    for (;;) {
        char *line = child.waiting + child.start;
        char *end = memchr(line, '\n', child.end - child.start);
        if (end) {
            *end = '\0';
            child.start += (size_t)(end - line) + 1;
            return line;
        }
        if (!read_more()) break;
    }
    kiln_symbolizer_stop();
    return NULL;
}

void kiln_symbolizer_ask(const char *module, uintptr_t offset)
{
    static char line[2 * LINE_MAX_BYTES];
    kiln_out_t question = {line, sizeof line, 0, -1};
    child.asked = false;
    if (child.pid == 0 || module[0] == '\0' || strpbrk(module, "\"\n")) return;
    kiln_out_put(&question, "\"");
    kiln_out_put(&question, module);
    kiln_out_put(&question, "\" ");
    kiln_out_hex(&question, offset);
    kiln_out_put(&question, "\n");
    long sent = kiln_linux_call(__NR_sendto, (uintptr_t)child.fd, (uintptr_t)line, question.length,
                                SEND_NO_SIGNAL, 0);
    child.asked = sent == (long)question.length;
    if (!child.asked) kiln_symbolizer_stop();
}

static void copy(char *to, size_t room, const char *from, size_t bytes)
{
    if (bytes > room - 1) bytes = room - 1;
    memcpy(to, from, bytes);
    to[bytes] = '\0';
}

/* Takes ":NUMBER" off the end of [line, line + *bytes). */
static uint64_t take_number(const char *line, size_t *bytes)
{
    uint64_t number = 0, unit = 1;
    size_t at = *bytes;
    while (at > 0 && kiln_text_digit(line[at - 1]) < 10 && unit < UINT64_C(1000000000000)) {
        number += kiln_text_digit(line[--at]) * unit;
        unit *= 10;
    }
    if (at == *bytes || at == 0 || line[at - 1] != ':') return 0;
    *bytes = at - 1;
    return number;
}

bool kiln_symbolizer_next(kiln_symbol_t *out)
{
    if (!child.asked) return false;
    const char *line = read_line();
    if (!line || line[0] == '\0') { /* an empty line ends the answer */
        child.asked = false;
        return false;
    }
    bool is_known = strcmp(line, "??") != 0;
    copy(out->function, sizeof out->function, is_known ? line : "", is_known ? strlen(line) : 0);
    line = read_line();
    if (!line) {
        child.asked = false;
        return false;
    }
    size_t bytes = strlen(line);
    out->column = take_number(line, &bytes);
    out->line = take_number(line, &bytes);
    is_known = strncmp(line, "??", 2) != 0;
    copy(out->file, sizeof out->file, line, is_known ? bytes : 0);
    return true;
}
