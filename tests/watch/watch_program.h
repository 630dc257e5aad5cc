/* watch_program.h - what the cases of watch_program share: the heap, and how blocks come and go.
 *
 * A case does one thing and returns; main() then says "done", and frees what it left, unless the
 * case is about that. */
#ifndef KILN_TESTS_WATCH_WATCH_PROGRAM_H
#define KILN_TESTS_WATCH_WATCH_PROGRAM_H

#include "allocator/api/start.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct deed {
    const char *name;
    void (*act)(void);
} deed_t;

#define DEED(name) {#name, name}

/* The cases of each file; the last one has no name. */
extern const deed_t block_deeds[], thread_deeds[], memory_deeds[], lost_deeds[];

extern kiln_heap_t heap; /* the watched one */
extern kiln_os_t linux_os;
extern volatile size_t past; /* 0, which the compiler does not know */

void open_heap(kiln_heap_t *new);

/* These end the program where there is no memory, or the block is not one. */
char *take(size_t bytes);
char *resize(char *block, size_t bytes);
void give(void *block);

/* use makes the program depend on a byte. */
void use(const char *at);

#endif
