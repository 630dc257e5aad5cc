/* os_backends.h - every backend of allocator/os/os.h, for tests that run on all of them. */
#ifndef KILN_TESTS_CONTRACT_OS_BACKENDS_H
#define KILN_TESTS_CONTRACT_OS_BACKENDS_H

#include "allocator/os/check.h"
#include "allocator/os/fake.h"
#include "allocator/os/fake_window_linux.h"
#include "allocator/os/fault.h"
#include "allocator/os/linux.h"

enum { OS_BACKENDS_MAX = 160, OS_BACKEND_NAME_MAX = 96 };

typedef enum os_form { OS_FORM_LINUX, OS_FORM_NUMBERS, OS_FORM_BYTES, OS_FORM_ENFORCED } os_form_t;

typedef struct os_backend {
    char name[OS_BACKEND_NAME_MAX]; /* "linux", "check+fake-numbers-32-16K-below-all" ... */
    os_form_t form;
    unsigned addr_bits;
    uint64_t phys_bytes;
    kiln_os_fake_place_t policy;
    bool fault, check; /* what stands above it */
    bool bytes;        /* addresses are pointers */
    bool guarded;      /* what is not Ready faults */

    /* Memory of somebody else; `untouched` tells whether it still is what occupy made it. */
    void (*occupy)(kiln_addr_t addr, uint64_t bytes);
    bool (*untouched)(kiln_addr_t addr, uint64_t bytes);
    void (*vacate)(kiln_addr_t addr, uint64_t bytes);
} os_backend_t;

extern os_backend_t os_backends[OS_BACKENDS_MAX];
extern const kiln_os_t *os;         /* the open one's outermost interface */
extern const os_backend_t *backend; /* the open one */

/* os_backends_make fills the table and gives its length. */
unsigned os_backends_make(void);

/* One backend is open at a time, a new one each time. Opening a name that is not in the table, or
 * whose memory cannot be had, ends the program with a message. */
void os_backend_open(const char *name);
void os_backend_close(void);

/* os_backend_refuse_next makes the next call that can be refused one that is. False: bare linux,
 * whose limits are tested in tests/unit/os_linux_test.c. */
bool os_backend_refuse_next(void);

const char *os_backend_broken_rule(void);
uint64_t os_backend_leaked_bytes(void); /* of backends that know; 0 for bare linux */

#endif
