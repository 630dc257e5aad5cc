/* shrink.h - makes an input that breaks something as small as it can be.
 *
 * What is cut is a record, or of a target without operations a byte of the text. The answer breaks
 * something of the same kind (child.h), and is 1-minimal: without any one of its records, or with
 * any one of its settings turned to 0, it does not break that any more; nor does it with any field
 * made smaller in one of the ways that are tried. Each attempt is a child process of its own.
 *
 * Threads  one.   Memory  none is allocated; the struct is the caller's. */
#ifndef KILN_FUZZ_SHRINK_H
#define KILN_FUZZ_SHRINK_H

#include "fuzz/child.h"
#include "fuzz/ops.h"

typedef struct kiln_fuzz_shrink {
    const kiln_fuzz_words_t *words;
    char kind[KILN_FUZZ_KIND_BYTES];
    uint8_t data[KILN_FUZZ_INPUT_BYTES_MAX + KILN_FUZZ_RECORD_BYTES]; /* the smallest so far */
    size_t size;
    unsigned records_before, settings_before;
    uint64_t runs;
    double began_s, seconds_max;
    bool late;  /* the time was over: it need not be minimal */
    bool shows; /* progress, on a terminal */
} kiln_fuzz_shrink_t;

/* kiln_fuzz_shrink shrinks an input. It returns NULL, or why it cannot. */
const char *kiln_fuzz_shrink(kiln_fuzz_shrink_t *shrink, const kiln_fuzz_words_t *words,
                             const uint8_t *data, size_t size, double seconds_max);

/* What there is now: records (or bytes of a text), and settings that are not 0. */
unsigned kiln_fuzz_shrink_records(const kiln_fuzz_shrink_t *shrink);
unsigned kiln_fuzz_shrink_settings(const kiln_fuzz_shrink_t *shrink);
double kiln_fuzz_shrink_seconds(const kiln_fuzz_shrink_t *shrink);

#endif
