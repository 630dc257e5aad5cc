/* shrink.c - delta debugging of inputs (shrink.h). */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/shrink.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CONFIG = KILN_FUZZ_CONFIG_BYTES, RECORD = KILN_FUZZ_RECORD_BYTES, ARG_AT = 4 };
enum { SMALL_RECORDS_MAX = 32, SMALL_NUMBERS = 32 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static size_t unit_bytes(const kiln_fuzz_shrink_t *s)
{
    return s->words->op_count ? RECORD : 1;
}

unsigned kiln_fuzz_shrink_records(const kiln_fuzz_shrink_t *s)
{
    return s->size > CONFIG ? (unsigned)((s->size - CONFIG) / unit_bytes(s)) : 0;
}

unsigned kiln_fuzz_shrink_settings(const kiln_fuzz_shrink_t *s)
{
    unsigned settings = 0;
    for (size_t i = 0; i < CONFIG && i < s->size; i++) settings += s->data[i] != 0;
    return settings;
}

double kiln_fuzz_shrink_seconds(const kiln_fuzz_shrink_t *s)
{
    return now_s() - s->began_s;
}

static void show(const kiln_fuzz_shrink_t *s)
{
    if (!s->shows || s->runs % 16 != 0) return;
    fprintf(stderr, "\r\033[K  %u -> %u records, %u settings, %llu runs, %.0f s", s->records_before,
            kiln_fuzz_shrink_records(s), kiln_fuzz_shrink_settings(s), (unsigned long long)s->runs,
            kiln_fuzz_shrink_seconds(s));
}

/* attempt takes these bytes as the smallest so far, when they still break the same. */
static bool attempt(kiln_fuzz_shrink_t *s, const uint8_t *data, size_t size)
{
    char kind[KILN_FUZZ_KIND_BYTES];
    if (!s->late) s->late = kiln_fuzz_shrink_seconds(s) > s->seconds_max;
    if (s->late) return false;
    s->runs++;
    show(s);
    if (!kiln_fuzz_child_run(data, size, kind) || strcmp(kind, s->kind) != 0) return false;
    memcpy(s->data, data, size);
    s->size = size;
    return true;
}

/* cut takes out so many units at a time, the last ones first: what comes after the finding goes at
 * once. */
static bool cut(kiln_fuzz_shrink_t *s, size_t units)
{
    uint8_t without[sizeof s->data];
    size_t bytes = units * unit_bytes(s), end = s->size;
    bool any = false;
    while (end > CONFIG && !s->late) {
        size_t from = end - CONFIG > bytes ? end - bytes : CONFIG;
        memcpy(without, s->data, from);
        memcpy(without + from, s->data + end, s->size - end);
        any |= attempt(s, without, s->size - (end - from));
        end = from;
    }
    return any;
}

/* cut_all halves the pieces down to one unit, and goes on until no single one can be cut. */
static bool cut_all(kiln_fuzz_shrink_t *s)
{
    bool any = false, again = true;
    size_t units = kiln_fuzz_shrink_records(s) / 2;
    for (; units > 1; units /= 2) any |= cut(s, units);
    while (again && !s->late) any |= again = cut(s, 1);
    return any;
}

/* A field: bytes of the input, low byte first. */
static uint32_t field_of(const uint8_t *at, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) value |= (uint32_t)at[i] << 8 * i;
    return value;
}

static bool attempt_field(kiln_fuzz_shrink_t *s, size_t at, size_t bytes, uint32_t value)
{
    uint8_t with[sizeof s->data];
    memcpy(with, s->data, s->size);
    for (size_t i = 0; i < bytes; i++) with[at + i] = (uint8_t)(value >> 8 * i);
    return attempt(s, with, s->size);
}

/* small tries small numbers from 1 up, where the ways of `lower` led past them: what counts is
 * often a number modulo another. Not of many records, for it takes long. */
static bool small(kiln_fuzz_shrink_t *s, size_t at, size_t bytes)
{
    if (kiln_fuzz_shrink_records(s) > SMALL_RECORDS_MAX) return false;
    for (uint32_t value = 1; value < SMALL_NUMBERS && value < field_of(s->data + at, bytes);
         value++)
        if (attempt_field(s, at, bytes, value)) return true;
    return false;
}

/* lower tries 0, then half, three quarters and so on, as long as something smaller does. */
static bool lower(kiln_fuzz_shrink_t *s, size_t at, size_t bytes)
{
    bool any = false;
    uint32_t less = field_of(s->data + at, bytes);
    while (less > 0 && !s->late) {
        uint32_t value = field_of(s->data + at, bytes);
        if (!attempt_field(s, at, bytes, value - less)) {
            less /= 2;
            continue;
        }
        any = true;
        less = value - less; /* all of what is left, next */
    }
    return any | small(s, at, bytes);
}

/* lower_record: an operation stays the one it is, but for its turns. */
static bool lower_record(kiln_fuzz_shrink_t *s, size_t at)
{
    uint32_t op = s->data[at] % s->words->op_count;
    bool any = op != s->data[at] && attempt_field(s, at, 1, op);
    for (size_t i = 1; i < ARG_AT; i++) any |= lower(s, at + i, 1);
    return any | lower(s, at + ARG_AT, RECORD - ARG_AT);
}

/* plain_byte: a letter of a text, rather than another byte. */
static bool plain_byte(kiln_fuzz_shrink_t *s, size_t at)
{
    return s->data[at] != 'a' && s->data[at] != '0' &&
           (attempt_field(s, at, 1, 'a') || attempt_field(s, at, 1, '0'));
}

static bool lower_all(kiln_fuzz_shrink_t *s)
{
    bool any = false;
    for (size_t i = 0; i < CONFIG; i++) any |= lower(s, i, 1);
    for (size_t at = CONFIG; at < s->size && !s->late; at += unit_bytes(s))
        any |= s->words->op_count ? lower_record(s, at) : plain_byte(s, at);
    return any;
}

const char *kiln_fuzz_shrink(kiln_fuzz_shrink_t *s, const kiln_fuzz_words_t *words,
                             const uint8_t *data, size_t size, double seconds_max)
{
    if (size > KILN_FUZZ_INPUT_BYTES_MAX) size = KILN_FUZZ_INPUT_BYTES_MAX; /* as targets do */
    memset(s, 0, sizeof *s);
    s->words = words;
    s->began_s = now_s();
    s->seconds_max = seconds_max;
    s->shows = isatty(STDERR_FILENO);
    if (!kiln_fuzz_child_open() || !kiln_fuzz_child_run(data, size, s->kind))
        return "there is no process or no temporary file to run it in";
    if (s->kind[0] == 0) return "breaks nothing";
    /* What is missing at the end counts as zero. */
    memcpy(s->data, data, size);
    s->size = size < CONFIG ? CONFIG : size;
    if (words->op_count) s->size += (RECORD - s->size % RECORD) % RECORD;
    s->records_before = kiln_fuzz_shrink_records(s);
    s->settings_before = kiln_fuzz_shrink_settings(s);
    uint8_t whole[sizeof s->data];
    memcpy(whole, s->data, s->size);
    if (!attempt(s, whole, s->size) && !s->late) return "does not break the same a second time";
    bool again = true;
    while (again && !s->late) {
        again = cut_all(s);
        again |= lower_all(s);
    }
    if (s->shows) fputs("\r\033[K", stderr);
    return NULL;
}
