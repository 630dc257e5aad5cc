#include "allocator/api/roots.h"

#include "allocator/api/readable.h"
#include "allocator/base/text.h"
#include "allocator/os/linux_syscall.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

#include <string.h>

enum {
    TEXT_BYTES = 16 << 10,
    PAGES_AT_ONCE = 512,
    ADDRESS_BITS_MAX = 64,
    ACCESS_AT = 1, /* behind the addresses: " rw-p" */
};

/* Bits of a page's word in /proc/self/pagemap. */
#define PAGE_OF_A_FILE (UINT64_C(1) << 61)
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_ELSEWHERE (UINT64_C(1) << 62) /* swapped out, or what looks so: a guard page */

static long open_file(const char *path)
{
    return kiln_linux_call(__NR_openat, (uintptr_t)AT_FDCWD, (uintptr_t)path, O_RDONLY | O_CLOEXEC,
                           0, 0);
}

static void close_file(long fd)
{
    if (fd >= 0) (void)kiln_linux_call(__NR_close, (uintptr_t)fd, 0, 0, 0, 0);
}

/* The words of `count` pages from `page` on. The offset of the call takes two arguments where
 * registers have 32 bits. */
static bool read_pages(long fd, uint64_t page, uint64_t *words, size_t count)
{
    uint64_t offset = page * sizeof *words;
    size_t bytes = count * sizeof *words;
#if UINTPTR_MAX > UINT32_MAX
    long got =
        kiln_linux_call(__NR_pread64, (uintptr_t)fd, (uintptr_t)words, bytes, (uintptr_t)offset, 0);
#else
    long got = kiln_linux_call(__NR_pread64, (uintptr_t)fd, (uintptr_t)words, bytes,
                               (uintptr_t)offset, (uintptr_t)(offset >> 32));
#endif
    return got == (long)bytes;
}

static bool has_bytes(uint64_t word, uintptr_t address, bool can_write)
{
    static const kiln_readable_t nothing = {.may_ask = true};
    uintptr_t ignored;
    if (!can_write && (word & PAGE_OF_A_FILE) != 0) return false; /* as it came from there */
    if (word & PAGE_PRESENT) return true;
    return (word & PAGE_ELSEWHERE) != 0 && kiln_readable_word(&nothing, address, &ignored);
}

static void tell_part(const kiln_roots_visit_t *visit, uintptr_t start, uintptr_t end)
{
    if (start < end) visit->range(visit->ctx, start, end);
}

static void tell_range(const kiln_roots_visit_t *visit, uintptr_t start, uintptr_t end)
{
    uintptr_t dead_start = visit->dead_start, dead_end = visit->dead_end;
    if (dead_start >= end || dead_end <= start || dead_start >= dead_end) {
        tell_part(visit, start, end);
        return;
    }
    tell_part(visit, start, dead_start);
    tell_part(visit, dead_end, end);
}

/* Runs of pages that have bytes are told as one. */
static bool tell_mapping(const kiln_roots_visit_t *visit, long fd, uintptr_t start, uintptr_t end,
                         bool can_write)
{
    uint64_t words[PAGES_AT_ONCE] = {0};
    uintptr_t run = start; /* [run, at) has bytes */
    for (uintptr_t at = start; at < end;) {
        size_t left = (end - at) / visit->page_bytes;
        size_t count = left < PAGES_AT_ONCE ? left : PAGES_AT_ONCE;
        if (!read_pages(fd, at / visit->page_bytes, words, count)) return false;
        for (size_t i = 0; i < count; i++, at += visit->page_bytes) {
            if (has_bytes(words[i], at, can_write)) continue;
            tell_range(visit, run, at);
            run = at + visit->page_bytes;
        }
    }
    tell_range(visit, run, end);
    return true;
}

typedef struct kiln_roots_line {
    uintptr_t start, end;
    bool is_private, can_read, can_write;
} line_t;

/* A line is "START-END rw-p ...". False: it is no such line. */
static bool read_line(const char *text, line_t *out)
{
    uint64_t bounds[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++) {
        unsigned digits = 0;
        for (unsigned digit; (digit = kiln_text_digit(*text)) < 16; text++, digits++)
            bounds[i] = bounds[i] << 4 | digit;
        if (digits == 0 || digits > ADDRESS_BITS_MAX / 4 || *text != (i == 0 ? '-' : ' '))
            return false;
        if (i == 0) text++;
    }
    out->start = (uintptr_t)bounds[0];
    out->end = (uintptr_t)bounds[1];
    out->can_read = text[ACCESS_AT] == 'r';
    out->can_write = text[ACCESS_AT + 1] == 'w';
    out->is_private = text[ACCESS_AT + 3] == 'p';
    return true;
}

/* " [vvar]" and its like are the kernel's: to read some of them is a fault. */
static bool is_kernels(const char *text)
{
    return strstr(text, " [v") != NULL;
}

static uintptr_t least(uintptr_t a, uintptr_t b)
{
    return a < b ? a : b;
}

/* What lies below the range that is skipped, and above it. */
static bool tell_parts(const kiln_roots_visit_t *visit, long pages, const line_t *line)
{
    uintptr_t skip_end = visit->skip_end < line->start ? line->start : visit->skip_end;
    if (visit->skip_start >= line->end || skip_end == line->start ||
        visit->skip_start == visit->skip_end)
        return tell_mapping(visit, pages, line->start, line->end, line->can_write);
    uintptr_t below_end = visit->skip_start < line->start ? line->start : visit->skip_start;
    return tell_mapping(visit, pages, line->start, below_end, line->can_write) &&
           tell_mapping(visit, pages, least(skip_end, line->end), line->end, line->can_write);
}

static const char *tell_line(const kiln_roots_visit_t *visit, long pages, const char *text)
{
    line_t line;
    if (!read_line(text, &line)) return "/proc/self/maps cannot be understood";
    if (!line.is_private || !line.can_read || is_kernels(text)) return NULL;
    return tell_parts(visit, pages, &line) ? NULL : "/proc/self/pagemap cannot be read";
}

/* All whole lines of [text, *end); the rest goes to the front. */
static const char *tell_lines(const kiln_roots_visit_t *visit, long pages, char *text, size_t *end)
{
    char *line = text, *stop;
    while ((stop = memchr(line, '\n', (size_t)(text + *end - line))) != NULL) {
        *stop = '\0';
        const char *wrong = tell_line(visit, pages, line);
        if (wrong) return wrong;
        line = stop + 1;
    }
    *end -= (size_t)(line - text);
    memmove(text, line, *end);
    return *end == TEXT_BYTES ? "a line of /proc/self/maps is too long" : NULL;
}

const char *kiln_roots_each(const kiln_roots_visit_t *visit)
{
    /* No static one: that would be searched, and spaces look like addresses. */
    char text[TEXT_BYTES] = "";
    long maps = open_file("/proc/self/maps"), pages = open_file("/proc/self/pagemap"), got = 1;
    const char *wrong = maps < 0 || pages < 0 ? "/proc/self/maps or pagemap cannot be read" : NULL;
    size_t end = 0;
    while (!wrong && got > 0) {
        got = kiln_linux_call(__NR_read, (uintptr_t)maps, (uintptr_t)text + end, sizeof text - end,
                              0, 0);
        if (got == -EINTR)
            got = 1;
        else if (got < 0)
            wrong = "/proc/self/maps cannot be read";
        else
            end += (size_t)got;
        if (!wrong) wrong = tell_lines(visit, pages, text, &end);
    }
    close_file(maps);
    close_file(pages);
    return wrong;
}
