#define _GNU_SOURCE
#include "sanitizer/explain.h"

#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024 };

/* The heap's own functions stand between the program and a watcher. */
static bool is_own(const char *function)
{
    static const char *const names[] = {
        "told_alloc", "told_free",       "tell_alloc", "tell_free", "take_small",
        "take_large", "realloc_watched", "end_block",  "walk_span", "free_blocks_of"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(function, names[i]) == 0) return true;
    return strncmp(function, "kiln_heap_", sizeof "kiln_heap_" - 1) == 0;
}

void kiln_explain_stack(int fd, const kiln_blocks_event_t *event)
{
    char text[LINE_MAX_BYTES];
    bool own = true;
    for (unsigned i = 0, shown = 0; i < event->count; i++) {
        void *pc = (void *)(event->pcs[i] - 1); /* of the call */
        __sanitizer_symbolize_pc(pc, "%f", text, sizeof text);
        own = own && is_own(text);
        if (own) continue;
        __sanitizer_symbolize_pc(pc, "%p %F %L", text, sizeof text);
        dprintf(fd, "    #%u %s\n", shown++, text);
    }
}

bool kiln_explain_block(int fd, const void *address)
{
    kiln_addr_t at = (uintptr_t)address;
    kiln_blocks_record_t record;
    /* Below a block lies the end of the slot before it, above it the block's own. */
    if (!kiln_blocks_at(at, &record)) return false;
    uint64_t offset = at - record.block;
    bool inside = offset < record.bytes;
    kiln_addr_t end = record.block + record.bytes;
    dprintf(fd, "%p is located %llu bytes %s %llu-byte Kiln block [0x%llx,0x%llx)\n", address,
            (unsigned long long)(inside ? offset : offset - record.bytes),
            inside ? "inside of" : "after", (unsigned long long)record.bytes,
            (unsigned long long)record.block, (unsigned long long)end);
    if (record.free.thread != 0) {
        dprintf(fd, "freed by thread %u here:\n", record.free.thread);
        kiln_explain_stack(fd, &record.free);
    }
    dprintf(fd, "%sallocated by thread %u here:\n", record.free.thread != 0 ? "previously " : "",
            record.alloc.thread);
    kiln_explain_stack(fd, &record.alloc);
    return true;
}
