#include "allocator/heap/heap_text.h"

#include "allocator/base/text.h"

static const char *state_text(uint8_t state)
{
    switch (state) {
    case KILN_SLOT_LIVE:
    case KILN_SLOT_KEPT:
        return "a live block";
    case KILN_SLOT_QUARANTINED:
        return "a freed block, which waits,";
    case KILN_SLOT_BUSY:
        return "a block that the heap is at work in,";
    default:
        return "a free block";
    }
}

kiln_heap_text_t kiln_heap_describe(kiln_heap_t *heap, const void *address)
{
    kiln_heap_text_t text;
    kiln_addr_t addr = (uintptr_t)address;
    kiln_heap_about_t about = kiln_heap_about(heap, address);
    char *at = kiln_text_hex(text.text, addr);
    if (!about.heap) {
        at = kiln_text_word(at, " is no address of this heap");
    } else if (about.block == 0) {
        at = kiln_text_word(at, " lies in this heap behind the blocks of a span");
    } else {
        at = kiln_text_dec(kiln_text_word(at, " is "), addr - about.block);
        at = kiln_text_word(at, " bytes inside of ");
        at = kiln_text_word(at, state_text(about.state));
        at = kiln_text_dec(kiln_text_word(at, " of "), about.slot_bytes);
        at = kiln_text_hex(kiln_text_word(at, " bytes at "), about.block);
    }
    *at = '\0';
    return text;
}

kiln_heap_text_t kiln_heap_stats_json(const kiln_heap_stats_t *stats)
{
    const struct {
        const char *name;
        uint64_t number;
    } members[] = {
        {"arena_bytes", stats->arena_bytes},         {"live_bytes", stats->live_bytes},
        {"cached_bytes", stats->cached_bytes},       {"waiting_bytes", stats->waiting_bytes},
        {"free_bytes", stats->free_bytes},           {"idle_bytes", stats->idle_bytes},
        {"discarded_bytes", stats->discarded_bytes}, {"large_bytes", stats->large_bytes},
        {"large_count", stats->large_count},         {"idle_count", stats->idle_count},
        {"meta_bytes", stats->meta_bytes},           {"peak_bytes", stats->peak_bytes},
    };
    kiln_heap_text_t text;
    char *at = kiln_text_word(text.text, "{\"version\":1");
    for (unsigned i = 0; i < sizeof members / sizeof *members; i++) {
        at = kiln_text_word(at, ",\"");
        at = kiln_text_word(at, members[i].name);
        at = kiln_text_dec(kiln_text_word(at, "\":"), members[i].number);
    }
    at = kiln_text_word(at, "}");
    *at = '\0';
    return text;
}
