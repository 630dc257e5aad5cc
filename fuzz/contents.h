/* contents.h - what the blocks of a fuzz target hold: written and looked at by words, and at no
 * more places than can be wrong, since an input has some ten microseconds.
 *
 * The bytes of a block follow from a seed and their place in it. A block of up to 2 KiB is filled
 * whole, a larger one at its ends and at a few words between them.
 *
 * Threads  any.   Memory  none is allocated. */
#ifndef KILN_FUZZ_CONTENTS_H
#define KILN_FUZZ_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* kiln_contents_fill fills a block of `bytes` bytes. */
void kiln_contents_fill(unsigned char *at, size_t bytes, uint32_t seed);

/* kiln_contents_hold: are the first `bytes` bytes at `at` those of a block of `of_bytes` that was
 * filled so? */
bool kiln_contents_hold(const unsigned char *at, size_t bytes, size_t of_bytes, uint32_t seed);

/* kiln_contents_are: is each of the bytes `byte`? Of many that should be zero only the pages are
 * read that have memory behind them: nobody wrote to the others since the kernel gave them. */
bool kiln_contents_are(const unsigned char *at, size_t bytes, uint8_t byte);

#endif
