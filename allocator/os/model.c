#include "allocator/os/model.h"

#include <stddef.h>

void kiln_os_model_init(kiln_os_model_t *model, kiln_os_range_t *items, unsigned items_max,
                        uint64_t phys_bytes, unsigned addr_bits)
{
    model->ranges = (kiln_ranges_t){.items = items, .count = 0, .max = items_max};
    model->phys_bytes = phys_bytes;
    model->mask = kiln_width_mask(addr_bits);
    for (unsigned i = 0; i < KILN_OS_STATES; i++) model->state_bytes[i] = 0;
}

/* Which states there are in [first, last], as a bit set of 1u << state, and more bits: memory of
 * ours that was granted over what had been answered as unreserved, memory of ours that was not,
 * what is promised, and Ready memory that is protected. */
enum {
    OURS = 1u << 8,
    OVER_PROMISE = 1u << 9,
    PROMISED = 1u << 10,
    PROTECTED = 1u << 11,
    EXTRA = OURS | OVER_PROMISE | PROMISED | PROTECTED,
};

static bool is_ours(kiln_os_tag_t tag)
{
    return tag.state >= KILN_OS_RESERVED && tag.state <= KILN_OS_GUARDED;
}

/* Was it ever answered as unreserved? Whoever was told may still commit there. */
static bool is_promised(kiln_os_tag_t tag)
{
    return tag.over_promise || tag.promise || tag.state == KILN_OS_UNRESERVED;
}

static unsigned states_of(const kiln_os_model_t *model, kiln_addr_t first, kiln_addr_t last)
{
    const kiln_ranges_t *ranges = &model->ranges;
    unsigned states = 0;
    kiln_addr_t next = first; /* first address that was not looked at */
    for (unsigned i = kiln_ranges_find(ranges, first); i < ranges->count; i++) {
        const kiln_os_range_t *item = &ranges->items[i];
        if (item->first > last) break;
        if (item->first > next) states |= 1u << KILN_OS_NONE;
        states |= 1u << item->tag.state;
        if (is_ours(item->tag)) states |= item->tag.over_promise ? OVER_PROMISE : OURS;
        if (item->tag.state == KILN_OS_READY && item->tag.access != KILN_OS_READ_WRITE)
            states |= PROTECTED;
        if (item->tag.promise || item->tag.state == KILN_OS_UNRESERVED) states |= PROMISED;
        if (item->last >= last) return states;
        next = item->last + 1;
    }
    return states | 1u << KILN_OS_NONE;
}

const char *kiln_os_model_range_rule(const kiln_os_model_t *model, kiln_os_call_t call,
                                     kiln_addr_t addr, uint64_t bytes)
{
    if (bytes == 0) return KILN_OS_RULE_EMPTY;
    if (!kiln_is_aligned(addr, model->phys_bytes)) return KILN_OS_RULE_ALIGN;
    if (call != KILN_OS_CALL_RELEASE && !kiln_is_aligned(bytes, model->phys_bytes))
        return KILN_OS_RULE_ALIGN;
    if (addr > model->mask || bytes - 1 > model->mask - addr) return KILN_OS_RULE_SPACE;
    return NULL;
}

static const char *commit_rule(unsigned states, bool reserved)
{
    if (reserved && states & 1u << KILN_OS_GUARDED) return KILN_OS_RULE_COMMIT;
    if (!reserved) return states & OURS ? KILN_OS_RULE_FLAG : NULL;
    if (states & 1u << KILN_OS_FOREIGN) return KILN_OS_RULE_CLOBBER;
    if (states & 1u << KILN_OS_READY) return KILN_OS_RULE_RECOMMIT;
    if (states & (1u << KILN_OS_NONE | 1u << KILN_OS_UNRESERVED)) return KILN_OS_RULE_COMMIT;
    return NULL;
}

const char *kiln_os_model_rule(const kiln_os_model_t *model, kiln_os_call_t call, kiln_addr_t addr,
                               uint64_t bytes, bool reserved)
{
    const char *rule = kiln_os_model_range_rule(model, call, addr, bytes);
    if (rule) return rule;

    unsigned states = states_of(model, addr, addr + (bytes - 1));
    unsigned ready = 1u << KILN_OS_READY, prepared = 1u << KILN_OS_PREPARED;
    unsigned guarded = 1u << KILN_OS_GUARDED;
    switch (call) {
    case KILN_OS_CALL_COMMIT:
        return commit_rule(states, reserved);
    case KILN_OS_CALL_GUARD:
        if (states & PROTECTED) return KILN_OS_RULE_GUARD;
        return states & ~(ready | guarded | EXTRA) ? KILN_OS_RULE_GUARD : NULL;
    case KILN_OS_CALL_PROTECT:
        return states & ~(ready | EXTRA) ? KILN_OS_RULE_PROTECT : NULL;
    case KILN_OS_CALL_HUGE:
        if (reserved) return states & ~(ready | EXTRA) ? KILN_OS_RULE_HUGE : NULL;
        return states & (1u << KILN_OS_NONE | 1u << KILN_OS_FOREIGN) ? KILN_OS_RULE_HUGE : NULL;
    case KILN_OS_CALL_DISCARD:
        return states & ~(ready | EXTRA) ? KILN_OS_RULE_DISCARD : NULL;
    case KILN_OS_CALL_DECOMMIT:
        return states & ~(ready | prepared | guarded | EXTRA) ? KILN_OS_RULE_DECOMMIT : NULL;
    case KILN_OS_CALL_RELEASE:
        return states & (1u << KILN_OS_NONE | 1u << KILN_OS_FOREIGN) ? KILN_OS_RULE_RELEASE : NULL;
    default:
        return NULL;
    }
}

bool kiln_os_model_set(kiln_os_model_t *model, kiln_addr_t addr, uint64_t bytes, kiln_os_tag_t tag)
{
    kiln_ranges_t *ranges = &model->ranges;
    kiln_addr_t last = addr + (bytes - 1);
    uint64_t lost[KILN_OS_STATES] = {0};
    for (unsigned i = kiln_ranges_find(ranges, addr);
         i < ranges->count && ranges->items[i].first <= last; i++) {
        const kiln_os_range_t *item = &ranges->items[i];
        kiln_addr_t from = item->first > addr ? item->first : addr;
        kiln_addr_t to = item->last < last ? item->last : last;
        lost[item->tag.state] += to - from + 1;
    }
    if (!kiln_ranges_set(ranges, addr, last, tag)) return false;
    for (unsigned i = 0; i < KILN_OS_STATES; i++) model->state_bytes[i] -= lost[i];
    if (tag.state != KILN_OS_NONE) model->state_bytes[tag.state] += bytes;
    return true;
}

bool kiln_os_model_place(kiln_os_model_t *model, kiln_addr_t addr, uint64_t bytes,
                         kiln_os_state_t state)
{
    kiln_addr_t last = addr + (bytes - 1), piece_last;
    for (;; addr = piece_last + 1) {
        const kiln_ranges_t *ranges = &model->ranges;
        unsigned i = kiln_ranges_find(ranges, addr);
        const kiln_os_range_t *item = i < ranges->count ? &ranges->items[i] : NULL;
        bool promised = item && item->first <= addr && is_promised(item->tag);
        piece_last = last;
        if (item && item->first > addr && item->first <= last) piece_last = item->first - 1;
        if (item && item->first <= addr && item->last < last) piece_last = item->last;
        kiln_os_tag_t tag = {.state = (uint8_t)state};
        tag.promise = promised && state == KILN_OS_FOREIGN;
        if (promised && state == KILN_OS_NONE && item->tag.state == KILN_OS_FOREIGN)
            tag.state = KILN_OS_UNRESERVED;
        if (!kiln_os_model_set(model, addr, piece_last - addr + 1, tag)) return false;
        if (piece_last == last) return true;
    }
}

bool kiln_os_model_grant(kiln_os_model_t *model, kiln_addr_t addr, uint64_t bytes,
                         kiln_os_state_t state, kiln_os_use_t use)
{
    unsigned old = states_of(model, addr, addr + (bytes - 1));
    kiln_os_tag_t tag = {.state = (uint8_t)state};
    tag.over_promise = state != KILN_OS_UNRESERVED && (old & 1u << KILN_OS_UNRESERVED) != 0;
    if (state == KILN_OS_READY) {
        tag.use = (uint8_t)use;
        tag.access = KILN_OS_READ_WRITE;
    }
    return kiln_os_model_set(model, addr, bytes, tag);
}

/* change makes of each range in [addr, addr+bytes) what a protect, guard or release makes of it:
 * protect keeps everything but the access, guard all but state and access; what had ever been
 * answered as unreserved is so again after a release, because another such answer may name the same
 * addresses. */
static bool change(kiln_os_model_t *model, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                   kiln_os_access_t access)
{
    kiln_addr_t last = addr + (bytes - 1);
    for (;;) {
        unsigned i = kiln_ranges_find(&model->ranges, addr);
        if (i == model->ranges.count || model->ranges.items[i].first > last) return true;
        kiln_os_range_t item = model->ranges.items[i];
        kiln_addr_t item_first = item.first > addr ? item.first : addr;
        kiln_addr_t item_last = item.last < last ? item.last : last;
        if (call == KILN_OS_CALL_PROTECT) {
            item.tag.access = (uint8_t)access;
        } else if (call == KILN_OS_CALL_GUARD) {
            item.tag.state = access == KILN_OS_NO_ACCESS ? KILN_OS_GUARDED : KILN_OS_READY;
            item.tag.access = (uint8_t)access;
        } else {
            bool promised = is_promised(item.tag);
            item.tag = (kiln_os_tag_t){.state = promised ? KILN_OS_UNRESERVED : KILN_OS_NONE};
        }
        if (!kiln_os_model_set(model, item_first, item_last - item_first + 1, item.tag))
            return false;
        if (item_last == last) return true;
        addr = item_last + 1;
    }
}

bool kiln_os_model_do(kiln_os_model_t *model, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                      kiln_os_use_t use, kiln_os_access_t access)
{
    kiln_os_tag_t tag = {.state = KILN_OS_NONE};
    bytes = kiln_round_up(bytes, model->phys_bytes);
    if (call == KILN_OS_CALL_PROTECT || call == KILN_OS_CALL_GUARD || call == KILN_OS_CALL_RELEASE)
        return change(model, call, addr, bytes, access);
    unsigned old = states_of(model, addr, addr + (bytes - 1));
    if (call == KILN_OS_CALL_COMMIT) {
        tag.state = KILN_OS_READY;
        tag.access = KILN_OS_READ_WRITE;
        tag.use = (uint8_t)use;
    }
    if (call == KILN_OS_CALL_DISCARD) tag.state = KILN_OS_PREPARED;
    if (call == KILN_OS_CALL_DECOMMIT) tag.state = KILN_OS_RESERVED;
    tag.over_promise = (old & OVER_PROMISE) != 0;
    tag.promise = (old & PROMISED) != 0;
    return kiln_os_model_set(model, addr, bytes, tag);
}

kiln_os_tag_t kiln_os_model_tag(const kiln_os_model_t *model, kiln_addr_t addr)
{
    unsigned i = kiln_ranges_find(&model->ranges, addr);
    if (i < model->ranges.count && model->ranges.items[i].first <= addr)
        return model->ranges.items[i].tag;
    return (kiln_os_tag_t){.state = KILN_OS_NONE};
}

const kiln_os_range_t *kiln_os_model_next(const kiln_os_model_t *model, unsigned *io_idx)
{
    while (*io_idx < model->ranges.count) {
        const kiln_os_range_t *item = &model->ranges.items[(*io_idx)++];
        if (is_ours(item->tag)) return item;
    }
    return NULL;
}

const char *kiln_os_model_broken_rule(const kiln_os_model_t *model)
{
    const char *rule = kiln_ranges_broken_rule(&model->ranges);
    if (rule) return rule;
    uint64_t bytes[KILN_OS_STATES] = {0};
    for (unsigned i = 0; i < model->ranges.count; i++) {
        const kiln_os_range_t *item = &model->ranges.items[i];
        if (item->last > model->mask) return "os model: a range lies in the address space";
        if (!kiln_is_aligned(item->first, model->phys_bytes) ||
            !kiln_is_aligned(item->last + 1, model->phys_bytes))
            return "os model: ranges are whole pages";
        if (item->tag.state != KILN_OS_READY && item->tag.access != 0)
            return "os model: only Ready memory has access rights";
        bytes[item->tag.state] += item->last - item->first + 1;
    }
    for (unsigned i = 0; i < KILN_OS_STATES; i++)
        if (bytes[i] != model->state_bytes[i]) return "os model: the sums are those of the ranges";
    return NULL;
}
