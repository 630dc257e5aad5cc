/* contents.c - what blocks hold (contents.h). */
#define _GNU_SOURCE /* mincore */
#include "fuzz/contents.h"

#include "allocator/base/units.h"

#include <string.h>
#include <sys/mman.h>

enum {
    WORD_BYTES = sizeof(uint64_t),
    WHOLE_BYTES = 2048, /* a block up to this size is filled whole */
    END_BYTES = 256,    /* of a larger one so much at each end, and a word a step: */
    STEPS = 8,
    STEP_BYTES_MIN = 4096,
    ASK_BYTES_MIN = 64 << 10, /* from here on it pays to ask the kernel which pages there are, */
    ASK_PAGES_MAX = 1024,     /* so many at once */
    PAGE_BYTES = 4096,        /* the kernel's */
};

typedef struct {
    size_t from, to;
} part_t;

/* The first part from `at` on that is filled. */
static part_t part_from(size_t at, size_t bytes)
{
    if (bytes <= WHOLE_BYTES) return (part_t){at, bytes};
    if (at < END_BYTES) return (part_t){at, END_BYTES};
    size_t tail = bytes - END_BYTES;
    size_t step = (size_t)kiln_round_up(bytes / STEPS, STEP_BYTES_MIN);
    size_t next = (at + step - 1) / step * step;
    if (next + WORD_BYTES <= tail) return (part_t){next, next + WORD_BYTES};
    return (part_t){at > tail ? at : tail, bytes};
}

static uint64_t word_at(uint32_t seed, size_t at)
{
    return ((uint64_t)seed + at / WORD_BYTES) * UINT64_C(0x9E3779B97F4A7C15);
}

/* How many bytes of the part are in the word of the byte `at`, from there on. */
static size_t in_word(size_t at, size_t to)
{
    size_t bytes = WORD_BYTES - at % WORD_BYTES;
    return bytes < to - at ? bytes : to - at;
}

static void fill_part(unsigned char *at, part_t part, uint32_t seed)
{
    for (size_t i = part.from, bytes; i < part.to; i += bytes) {
        uint64_t word = word_at(seed, i);
        bytes = in_word(i, part.to);
        if (bytes == WORD_BYTES)
            memcpy(at + i, &word, WORD_BYTES);
        else
            memcpy(at + i, (const unsigned char *)&word + i % WORD_BYTES, bytes);
    }
}

static bool holds_part(const unsigned char *at, part_t part, uint32_t seed)
{
    for (size_t i = part.from, bytes; i < part.to; i += bytes) {
        uint64_t word = word_at(seed, i), got;
        bytes = in_word(i, part.to);
        if (bytes == WORD_BYTES) {
            memcpy(&got, at + i, WORD_BYTES);
            if (got != word) return false;
            continue;
        }
        for (size_t k = 0; k < bytes; k++)
            if (at[i + k] != ((const unsigned char *)&word)[i % WORD_BYTES + k]) return false;
    }
    return true;
}

void kiln_contents_fill(unsigned char *at, size_t bytes, uint32_t seed)
{
    for (part_t part = {0, 0}; part.to < bytes;) {
        part = part_from(part.to, bytes);
        fill_part(at, part, seed);
    }
}

bool kiln_contents_hold(const unsigned char *at, size_t bytes, size_t of_bytes, uint32_t seed)
{
    for (part_t part = {0, 0}; part.to < bytes;) {
        part = part_from(part.to, of_bytes);
        if (part.to > bytes) part.to = bytes;
        if (!holds_part(at, part, seed)) return false;
    }
    return true;
}

static bool are(const unsigned char *at, size_t bytes, uint8_t byte)
{
    uint64_t wanted = byte * (UINT64_MAX / UINT8_MAX), got;
    size_t i = 0;
    for (; i + WORD_BYTES <= bytes; i += WORD_BYTES) {
        memcpy(&got, at + i, WORD_BYTES);
        if (got != wanted) return false;
    }
    for (; i < bytes; i++)
        if (at[i] != byte) return false;
    return true;
}

/* Of whole pages, those that have memory. Where the kernel does not say, all have. */
static bool touched_are(const unsigned char *at, size_t bytes, size_t page, uint8_t byte)
{
    unsigned char has[ASK_PAGES_MAX];
    size_t pages = bytes / page;
    memset(has, 1, sizeof has);
    (void)mincore((void *)(uintptr_t)at, bytes, has);
    for (size_t i = 0; i < pages; i++)
        if (has[i] & 1 && !are(at + i * page, page, byte)) return false;
    return true;
}

bool kiln_contents_are(const unsigned char *at, size_t bytes, uint8_t byte)
{
    size_t page = PAGE_BYTES;
    if (byte != 0 || bytes < ASK_BYTES_MIN) return are(at, bytes, byte);
    size_t head = (size_t)(0 - (uintptr_t)at) % page;
    if (!are(at, head, 0)) return false;
    for (at += head, bytes -= head; bytes >= page;) {
        size_t part = (size_t)kiln_round_down(bytes, page);
        if (part > ASK_PAGES_MAX * page) part = ASK_PAGES_MAX * page;
        if (!touched_are(at, part, page, 0)) return false;
        at += part;
        bytes -= part;
    }
    return are(at, bytes, 0);
}
