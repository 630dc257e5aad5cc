/* module.h - which program or library a code address belongs to.
 *
 * Asked of the dynamic linker's own table (_dl_find_object, glibc 2.35 and later), which is made to
 * be read from anywhere: no lock, no allocation, also while another thread is inside dlopen. Where
 * there is none, no module is known. */
#ifndef KILN_ALLOCATOR_API_MODULE_H
#define KILN_ALLOCATOR_API_MODULE_H

#include <stdbool.h>
#include <stdint.h>

enum { KILN_MODULE_PATH_MAX_BYTES = 1024 };

typedef struct kiln_module {
    char path[KILN_MODULE_PATH_MAX_BYTES]; /* NUL-terminated; cut when it is longer */
    uintptr_t bias;                        /* address minus the one that the file states */
    uintptr_t start, end;                  /* its mappings lie in [start, end) */
    const unsigned char *frame_header;     /* its .eh_frame_hdr; NULL: none */
} kiln_module_t;

/* kiln_module_has: does the address lie in a module? It is not asked whether code is there. */
bool kiln_module_has(uintptr_t address);

/* kiln_module_find fills `*out`, without its path, or answers false. */
bool kiln_module_find(uintptr_t address, kiln_module_t *out);

/* kiln_module_find_named fills the path as well. The main program's is read from /proc/self/exe, or
 * is "" where there is no /proc. */
bool kiln_module_find_named(uintptr_t address, kiln_module_t *out);

#endif
