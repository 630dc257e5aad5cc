/* os.h - the world below Kiln: a struct of functions and a context.
 *
 * Memory is in one of five states, page by page (a page here is a hardware page, phys_bytes):
 *
 *            reserve               commit                discard
 *    None -----------> Reserved ------------> Ready --------------> Prepared
 *      ^ \                |  ^                 | ^                      |
 *      |  \--- direct ----|--|-----------------|-+------- commit -------+
 *      |                  |  +---- decommit ---+------- decommit -------+
 *      +---- release -----+  |                 | ^
 *                            |        guard on v | guard off
 *                            +---- decommit -- Guarded
 *
 *    None      not ours; may be somebody else's
 *    Reserved  ours, no memory behind it; touching it faults
 *    Prepared  ours, its bytes were given up; must be committed again before it is touched
 *    Ready     ours, readable and writable; zero when it became Ready from any other state
 *    Guarded   ours, its bytes were given up; touching it faults. It is part of the mapping of its
 *              Ready neighbours, so any number of guarded pages costs none of a kernel's mappings
 *
 * Every other arrow is a bug of the caller: the check backend stops the program for it.
 * A reservation may also be *unreserved* (reserve answers with *out_reserved false): the address
 * space is believed to be free, nothing is held, and commit must not clobber. Then its state stays
 * None until commit makes it Ready or answers KILN_OS_ELSEWHERE.
 *
 * Units    addresses and sizes are bytes, multiples of phys_bytes. Only reserve, direct and release
 *          take any size: it is rounded up to whole pages.
 * Errors   an answer, never errno: 0 for no address, false or a kiln_os_answer_t for the rest.
 *          A refused call changes nothing.
 * Threads  a backend is called with the lock of its arena or heap held; linux needs none.
 * Owner    the struct and its ctx outlive every arena and heap made on them. */
#ifndef KILN_ALLOCATOR_OS_OS_H
#define KILN_ALLOCATOR_OS_OS_H

#include "allocator/base/lock.h"
#include "allocator/base/units.h"

/* What memory is for. Traces name it; a kernel that can name mappings may show it. */
typedef enum kiln_os_use {
    KILN_OS_HEAP,  /* bytes that programs get */
    KILN_OS_BITS,  /* the arena's bitmap */
    KILN_OS_SPANS, /* the arena's span table */
    KILN_OS_META,  /* the heap's own records */
} kiln_os_use_t;

typedef enum kiln_os_answer {
    KILN_OS_OK,
    KILN_OS_FAIL,      /* no memory; nothing changed */
    KILN_OS_ELSEWHERE, /* the address was taken; what landed elsewhere has been given back */
} kiln_os_answer_t;

typedef enum kiln_os_access {
    KILN_OS_NO_ACCESS,
    KILN_OS_READ_ONLY,
    KILN_OS_READ_WRITE
} kiln_os_access_t;

typedef struct kiln_os {
    void *ctx;           /* the backend's own; first argument of every call */
    uint64_t phys_bytes; /* hardware page, a power of two */
    uint64_t huge_bytes; /* huge page, the same; 0: there are none, and `huge` may be NULL */
    unsigned addr_bits;  /* width of an address: 32 or 64; fakes go down to a few bits */

    /* reserve takes `bytes` of address space: at `hint` if that is free and the backend is willing,
     * else anywhere. It answers 0 when there is none, and for `bytes` == 0. */
    kiln_addr_t (*reserve)(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved);

    /* commit makes [addr, addr+bytes) Ready. `reserved` tells whether the range was really
     * reserved (then whatever mapping is there is replaced) or only believed free. */
    kiln_os_answer_t (*commit)(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                               kiln_os_use_t use);

    void (*discard)(void *ctx, kiln_addr_t addr, uint64_t bytes);  /* Ready -> Prepared */
    void (*decommit)(void *ctx, kiln_addr_t addr, uint64_t bytes); /* either, Guarded -> Reserved */

    /* protect changes how Ready memory may be touched. False: no map entries, nothing changed. */
    bool (*protect)(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access);

    /* guard makes Ready memory Guarded (`on`) or Guarded memory Ready again. Pages of the range
     * that are so already stay as they are, bytes included. False: this kernel or backend has no
     * such pages, or not for this memory (Linux: what is locked in); nothing changed, but Ready
     * bytes may be gone, and where `on` what was Guarded may be Ready. The pointer is NULL where a
     * backend never has any: call kiln_os_guard. */
    bool (*guard)(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on);

    /* huge asks for huge pages behind Ready memory, wherever one fits whole (`on`), or takes that
     * back for any memory of ours: advice that changes no byte and no state, and that a kernel may
     * not follow. While it lasts a fault may bring huge_bytes at once, and a kernel may do so
     * later: what is discarded meanwhile may be given memory again. Call kiln_os_huge. */
    void (*huge)(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on);

    /* release gives any part of what reserve or direct gave back, whatever its state. It cannot
     * fail. Where reserve answered "unreserved" nothing is held and nothing happens. */
    void (*release)(void *ctx, kiln_addr_t addr, uint64_t bytes);

    /* direct gives `bytes` of Ready memory anywhere, or 0: the small fallback of the arena, and
     * the heap's own records. Here `bytes` may be any number: it is rounded up to phys_bytes, and
     * so is a release of exactly what direct gave. */
    kiln_addr_t (*direct)(void *ctx, uint64_t bytes, kiln_os_use_t use);

    kiln_parker_t parker; /* how locks sleep here; empty: they spin */
} kiln_os_t;

static inline bool kiln_os_guard(const kiln_os_t *os, kiln_addr_t addr, uint64_t bytes, bool on)
{
    return os->guard && os->guard(os->ctx, addr, bytes, on);
}

static inline void kiln_os_huge(const kiln_os_t *os, kiln_addr_t addr, uint64_t bytes, bool on)
{
    if (os->huge) os->huge(os->ctx, addr, bytes, on);
}

#endif
