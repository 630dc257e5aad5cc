/* os_pages.h - what every page should be: the contract of os.h once more, page by page.
 *
 * allocator/os/model.h keeps ranges, cuts and joins them. This keeps one record a page, and nothing
 * of it is shared, so that one judges the other.
 *
 * Threads  one.   Memory  static; a caller asks kiln_os_pages_room before it brings new pages. */
#ifndef KILN_FUZZ_OS_PAGES_H
#define KILN_FUZZ_OS_PAGES_H

#include "allocator/os/model.h"

enum { KILN_OS_PAGES_MAX = 512, KILN_OS_PAGES_SLOTS = 2048 };

enum { KILN_OS_VALUE_UNKNOWN = 256 }; /* bytes that nobody promises anything of */

typedef struct kiln_os_page {
    kiln_addr_t addr; /* 0: an empty slot */
    uint8_t state;    /* kiln_os_state_t */
    uint8_t access;   /* kiln_os_access_t, where Ready */
    uint8_t use;      /* kiln_os_use_t, where Ready, Prepared or Guarded */
    bool promised;    /* its address was answered as unreserved: another answer may name it too */
    uint16_t value;   /* what its bytes are, where Ready; 0 to 255, or unknown */
} kiln_os_page_t;

typedef struct kiln_os_pages {
    uint64_t phys_bytes, mask;
    unsigned count;
    kiln_os_page_t slots[KILN_OS_PAGES_SLOTS];
    uint16_t used[KILN_OS_PAGES_MAX]; /* slots, in the order in which they came */
} kiln_os_pages_t;

/* kiln_os_pages_clear begins anew; it costs no more than what was there. */
void kiln_os_pages_clear(kiln_os_pages_t *pages, uint64_t phys_bytes, unsigned addr_bits);

/* kiln_os_pages_room: is there room for so many more? */
bool kiln_os_pages_room(const kiln_os_pages_t *pages, unsigned count);

/* kiln_os_pages_at gives the record of the page at `addr`, a new one where there is none. */
kiln_os_page_t *kiln_os_pages_at(kiln_os_pages_t *pages, kiln_addr_t addr);

bool kiln_os_page_is_ours(const kiln_os_page_t *page);

/* What this says of a call: the contract allows it, forbids it, or is not clear about it, which is
 * so only where addresses were promised that are somebody else's, or ours, by now. */
typedef enum kiln_os_verdict {
    KILN_OS_ALLOWED,
    KILN_OS_FORBIDDEN,
    KILN_OS_UNCLEAR
} kiln_os_verdict_t;

kiln_os_verdict_t kiln_os_pages_verdict(kiln_os_pages_t *pages, kiln_os_call_t call,
                                        kiln_addr_t addr, uint64_t bytes, bool reserved);

/* kiln_os_pages_grant: reserve or direct answered [addr, addr+bytes), which is rounded up. False: a
 * page of it is ours already. */
bool kiln_os_pages_grant(kiln_os_pages_t *pages, kiln_addr_t addr, uint64_t bytes,
                         kiln_os_state_t state, kiln_os_use_t use);

/* kiln_os_pages_do: a call that was granted. The arguments of kiln_os_model_do. */
void kiln_os_pages_do(kiln_os_pages_t *pages, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                      kiln_os_use_t use, kiln_os_access_t access);

#endif
