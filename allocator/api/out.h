/* out.h - a long text on its way to a descriptor, put together without allocating.
 *
 * Where a message (message.h) loses its end, an out is written and goes on: reports are long. One
 * that has no descriptor keeps what fits, for tests and for texts that become part of others.
 *
 * Units  bytes.   Threads  an out belongs to one.   errno  is kept: raw system calls only, so that
 * a signal handler may write. */
#ifndef KILN_ALLOCATOR_API_OUT_H
#define KILN_ALLOCATOR_API_OUT_H

#include <stddef.h>
#include <stdint.h>

typedef struct kiln_out {
    char *text;    /* the caller's; outlives the out */
    size_t room;   /* bytes of `text` */
    size_t length; /* bytes that wait to be written; start with 0 */
    int fd;        /* -1: none */
} kiln_out_t;

void kiln_out_bytes(kiln_out_t *out, const char *bytes, size_t count);
void kiln_out_put(kiln_out_t *out, const char *words);
void kiln_out_number(kiln_out_t *out, uint64_t number);    /* 4096 */
void kiln_out_hex(kiln_out_t *out, uint64_t number);       /* 0x1000 */
void kiln_out_address(kiln_out_t *out, uintptr_t address); /* 0x and 12 digits or more */

/* kiln_out_plain puts a name that others chose into a line: a control byte becomes a question mark,
 * so that the line stays one and a terminal is told nothing. */
void kiln_out_plain(kiln_out_t *out, const char *words);

/* kiln_out_json puts a JSON string, quotes included. Bytes that are no UTF-8 become U+FFFD. */
void kiln_out_json(kiln_out_t *out, const char *words);

/* kiln_out_flush writes what waits; what the descriptor does not take is lost. */
void kiln_out_flush(kiln_out_t *out);

#endif
