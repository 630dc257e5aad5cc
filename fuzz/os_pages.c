#include "fuzz/os_pages.h"

#include "allocator/base/check.h"

#include <string.h>

void kiln_os_pages_clear(kiln_os_pages_t *pages, uint64_t phys_bytes, unsigned addr_bits)
{
    for (unsigned i = 0; i < pages->count; i++)
        pages->slots[pages->used[i]] = (kiln_os_page_t){.addr = 0};
    pages->count = 0;
    pages->phys_bytes = phys_bytes;
    pages->mask = kiln_width_mask(addr_bits);
}

bool kiln_os_pages_room(const kiln_os_pages_t *pages, unsigned count)
{
    return pages->count + count <= KILN_OS_PAGES_MAX;
}

kiln_os_page_t *kiln_os_pages_at(kiln_os_pages_t *pages, kiln_addr_t addr)
{
    kiln_addr_t page_addr = kiln_round_down(addr, pages->phys_bytes);
    uint64_t number = page_addr / pages->phys_bytes;
    unsigned slot = (unsigned)((number ^ number >> 11 ^ number >> 22) % KILN_OS_PAGES_SLOTS);
    while (pages->slots[slot].addr != 0 && pages->slots[slot].addr != page_addr)
        slot = (slot + 1) % KILN_OS_PAGES_SLOTS;
    kiln_os_page_t *page = &pages->slots[slot];
    if (page->addr == 0) {
        KILN_CHECK(page_addr != 0 && kiln_os_pages_room(pages, 1));
        pages->used[pages->count++] = (uint16_t)slot;
        page->addr = page_addr;
    }
    return page;
}

bool kiln_os_page_is_ours(const kiln_os_page_t *page)
{
    return page->state == KILN_OS_RESERVED || page->state == KILN_OS_PREPARED ||
           page->state == KILN_OS_READY || page->state == KILN_OS_GUARDED;
}

/* May this page be part of the call? A commit as unreserved is judged as a whole, see below. */
static bool page_allows(const kiln_os_page_t *page, kiln_os_call_t call)
{
    bool ready = page->state == KILN_OS_READY, guarded = page->state == KILN_OS_GUARDED;
    bool prepared = page->state == KILN_OS_PREPARED;
    switch (call) {
    case KILN_OS_CALL_COMMIT:
        return page->state == KILN_OS_RESERVED || prepared;
    case KILN_OS_CALL_GUARD:
        return guarded || (ready && page->access == KILN_OS_READ_WRITE);
    case KILN_OS_CALL_PROTECT:
    case KILN_OS_CALL_DISCARD:
        return ready;
    case KILN_OS_CALL_DECOMMIT:
        return ready || prepared || guarded;
    default:
        return kiln_os_page_is_ours(page) || page->state == KILN_OS_UNRESERVED;
    }
}

static bool arguments_allow(const kiln_os_pages_t *pages, kiln_os_call_t call, kiln_addr_t addr,
                            uint64_t bytes)
{
    uint64_t phys = pages->phys_bytes;
    if (bytes == 0 || addr % phys != 0) return false;
    if (bytes % phys != 0 && call != KILN_OS_CALL_RELEASE) return false;
    return addr <= pages->mask && pages->mask - addr >= bytes - 1;
}

kiln_os_verdict_t kiln_os_pages_verdict(kiln_os_pages_t *pages, kiln_os_call_t call,
                                        kiln_addr_t addr, uint64_t bytes, bool reserved)
{
    if (!arguments_allow(pages, call, addr, bytes)) return KILN_OS_FORBIDDEN;
    bool allowed = true, promised = false, ours = false, foreign = false;
    for (uint64_t at = 0; at < bytes; at += pages->phys_bytes) {
        const kiln_os_page_t *page = kiln_os_pages_at(pages, addr + at);
        promised |= page->promised;
        ours |= kiln_os_page_is_ours(page);
        foreign |= page->state == KILN_OS_FOREIGN;
        allowed &= page_allows(page, call);
    }
    if (promised && foreign) return KILN_OS_UNCLEAR;
    if (call == KILN_OS_CALL_COMMIT && !reserved) {
        if (ours && promised) return KILN_OS_UNCLEAR;
        return ours ? KILN_OS_FORBIDDEN : KILN_OS_ALLOWED;
    }
    return allowed ? KILN_OS_ALLOWED : KILN_OS_FORBIDDEN;
}

bool kiln_os_pages_grant(kiln_os_pages_t *pages, kiln_addr_t addr, uint64_t bytes,
                         kiln_os_state_t state, kiln_os_use_t use)
{
    bool promised = state == KILN_OS_UNRESERVED;
    for (uint64_t at = 0; at < bytes; at += pages->phys_bytes)
        promised |= kiln_os_pages_at(pages, addr + at)->state == KILN_OS_UNRESERVED;
    for (uint64_t at = 0; at < bytes; at += pages->phys_bytes) {
        kiln_os_page_t *page = kiln_os_pages_at(pages, addr + at);
        if (kiln_os_page_is_ours(page) || page->state == KILN_OS_FOREIGN) return false;
        page->state = (uint8_t)state;
        page->promised = promised;
        page->use = state == KILN_OS_READY ? (uint8_t)use : 0;
        page->access = KILN_OS_READ_WRITE;
        page->value = 0;
    }
    return true;
}

static void page_do(kiln_os_page_t *page, kiln_os_call_t call, kiln_os_use_t use,
                    kiln_os_access_t access)
{
    switch (call) {
    case KILN_OS_CALL_COMMIT:
        page->state = KILN_OS_READY;
        page->access = KILN_OS_READ_WRITE;
        page->use = (uint8_t)use;
        page->value = 0;
        break;
    case KILN_OS_CALL_PROTECT:
        page->access = (uint8_t)access;
        break;
    case KILN_OS_CALL_GUARD:
        if (access == KILN_OS_NO_ACCESS || page->state == KILN_OS_GUARDED) page->value = 0;
        page->state = access == KILN_OS_NO_ACCESS ? KILN_OS_GUARDED : KILN_OS_READY;
        page->access = KILN_OS_READ_WRITE;
        break;
    case KILN_OS_CALL_DISCARD:
        page->state = KILN_OS_PREPARED;
        break;
    case KILN_OS_CALL_DECOMMIT:
        page->state = KILN_OS_RESERVED;
        break;
    default: /* release: what was promised once may be granted to somebody else meanwhile */
        page->state = page->promised ? KILN_OS_UNRESERVED : KILN_OS_NONE;
        break;
    }
}

void kiln_os_pages_do(kiln_os_pages_t *pages, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                      kiln_os_use_t use, kiln_os_access_t access)
{
    /* These make one range of what they are given, so that a promise of a part is one of all. */
    bool joins = call == KILN_OS_CALL_COMMIT || call == KILN_OS_CALL_DISCARD ||
                 call == KILN_OS_CALL_DECOMMIT;
    bool promised = false;
    for (uint64_t at = 0; joins && at < bytes; at += pages->phys_bytes)
        promised |= kiln_os_pages_at(pages, addr + at)->promised;
    for (uint64_t at = 0; at < bytes; at += pages->phys_bytes) {
        kiln_os_page_t *page = kiln_os_pages_at(pages, addr + at);
        page->promised |= promised;
        page_do(page, call, use, access);
    }
}
