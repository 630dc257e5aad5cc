/* options_model.h - what a list of options must mean, by another way than allocator/api/options.c.
 *
 * The facts about each option are written here once more, by hand, and held against what
 * kiln_options_help says; lists are taken apart by other means, and numbers read by the C library.
 *
 * Threads  one.   Memory  static, and from malloc where a read past an end is to be seen. */
#ifndef KILN_FUZZ_OPTIONS_MODEL_H
#define KILN_FUZZ_OPTIONS_MODEL_H

#include "allocator/api/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KILN_OPTIONS_MODEL_QUOTE_BYTES = 1200 }; /* a word as a message shows it, and an end mark */

typedef enum kiln_options_mistake {
    KILN_OPTIONS_RIGHT,
    KILN_OPTIONS_NO_VALUE, /* a piece without = */
    KILN_OPTIONS_UNKNOWN,  /* no option has the name */
    KILN_OPTIONS_BAD_VALUE,
} kiln_options_mistake_t;

/* What the list must be answered with. The rest is of the first mistake. */
typedef struct kiln_options_verdict {
    kiln_options_mistake_t mistake;
    const char *wrong; /* the piece, its name or its value, as it stands in the list */
    size_t wrong_bytes;
    const char *name; /* of the option, of a bad value */
    bool is_path;     /* so that the value is empty or too long, and not shown */
} kiln_options_verdict_t;

/* kiln_options_model_check stops the program when help says other options than the model knows. */
void kiln_options_model_check(void);

/* kiln_options_model_parse reads a list into `*out`, over what is there. */
kiln_options_verdict_t kiln_options_model_parse(const char *list, kiln_options_t *out);

/* kiln_options_model_number is what kiln_options_number must answer. */
bool kiln_options_model_number(const char *digits, size_t count, uint64_t *out);

/* kiln_options_model_is_nearest: does `name`, of `bytes` bytes, name an option, and is none nearer
 * to the `word_bytes` bytes of `word`? */
bool kiln_options_model_is_nearest(const char *name, size_t bytes, const char *word,
                                   size_t word_bytes);

/* kiln_options_model_quote writes a word as a message shows it, with an end mark, and gives `out`.
 */
const char *kiln_options_model_quote(const char *word, size_t bytes,
                                     char out[KILN_OPTIONS_MODEL_QUOTE_BYTES]);

/* kiln_options_model_print writes a list of all that was given in `*options`, each once, numbers in
 * base 8, 10 or 16; it gives the length. `out` has room for all. */
size_t kiln_options_model_print(const kiln_options_t *options, const bool *given, unsigned base,
                                char *out, size_t room);

/* kiln_options_model_given tells for each option whether a list, which is right, names it. */
enum { KILN_OPTIONS_MODEL_MAX = 64 };
void kiln_options_model_given(const char *list, bool given[KILN_OPTIONS_MODEL_MAX]);

/* kiln_options_model_differs names the first thing in which two sets of options differ, or gives
 * NULL. What stands behind the end mark of a path does not count. */
const char *kiln_options_model_differs(kiln_options_t *left, kiln_options_t *right);

/* kiln_options_model_out_of_range names an option whose value is none that it can have. */
const char *kiln_options_model_out_of_range(const kiln_options_t *options);

#endif
