/* ops.h - a fuzz input is a configuration and a list of operations.
 *
 *   bytes 0..15   the configuration: one setting a byte, by position
 *   then, again and again, a record of 8 bytes:
 *     0 op    which operation, modulo how many the target knows
 *     1 slot  whom it is about: a block, a region, a cache; modulo how many there are
 *     2 size  a class of sizes (exact edges, one off, tiny, huge ...), modulo how many there are
 *     3 how   the operation's own choice
 *     4 arg   32 bits, low byte first: refines the size, or the address
 *
 * Every string of bytes is an input: what is missing at the end counts as zero. Records have a
 * fixed width and nothing refers to a position, so that an input from which a record was cut, or
 * into which one was copied, means almost the same as before.
 *
 * The text form names the same bytes, loses none, and is what the seeds in fuzz/seeds are written
 * in:
 *   set follow 2            one setting; those not named are 0
 *   alloc slot=1 arg=0x20   one record; fields not named are 0
 *   alloc+3                 the same operation, its byte 3 turns further (mutation makes these)
 *   bytes 01 ff             the last bytes, when they are not a whole record
 *   text seed=1\x20         of a target without operations, what follows the configuration: lines
 *                           are joined, \xNN is a byte; blanks, # and \ are always written so
 *   short 01 ff             an input that ends within the configuration; `short` alone: no bytes
 *
 * Threads  none of this is shared.   Memory  none is allocated. */
#ifndef KILN_FUZZ_OPS_H
#define KILN_FUZZ_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KILN_FUZZ_CONFIG_BYTES = 16,
    KILN_FUZZ_RECORD_BYTES = 8,
    KILN_FUZZ_INPUT_BYTES_MAX = 4096, /* what is longer is not read: an input stays fast */
};

typedef struct kiln_fuzz_record {
    uint8_t op, slot, size, how;
    uint32_t arg;
} kiln_fuzz_record_t;

typedef struct kiln_fuzz_input {
    uint8_t config[KILN_FUZZ_CONFIG_BYTES];
    const uint8_t *data; /* the records */
    size_t size, at;
} kiln_fuzz_input_t;

/* What the bytes of one target are called. */
typedef struct kiln_fuzz_words {
    const char *target;
    const char *config[KILN_FUZZ_CONFIG_BYTES]; /* NULL: this byte has no meaning */
    const char *const *ops;
    unsigned op_count; /* 0: no records, what follows the configuration is a text */
} kiln_fuzz_words_t;

void kiln_fuzz_open(kiln_fuzz_input_t *input, const uint8_t *data, size_t size);

/* kiln_fuzz_next reads the next record; false at the end. */
bool kiln_fuzz_next(kiln_fuzz_input_t *input, kiln_fuzz_record_t *record);

/* kiln_fuzz_text_of writes the text form of an input into `text`, always with an end mark, and
 * gives its length; when that is not below `text_max`, the text was cut. */
size_t kiln_fuzz_text_of(const kiln_fuzz_words_t *words, const uint8_t *data, size_t size,
                         char *text, size_t text_max);

/* kiln_fuzz_c_of writes the same bytes as C: an array `name`, a line a setting or a record, with
 * its text beside it, and a constant `name`_bytes, which is their number. */
size_t kiln_fuzz_c_of(const kiln_fuzz_words_t *words, const char *name, const uint8_t *data,
                      size_t size, char *text, size_t text_max);

/* kiln_fuzz_bytes_of is the way back from the text. It returns NULL, or what is wrong with line
 * `*out_line`. */
const char *kiln_fuzz_bytes_of(const kiln_fuzz_words_t *words, const char *text, uint8_t *data,
                               size_t data_max, size_t *out_size, unsigned *out_line);

#endif
