#include "allocator/api/stats.h"

#include "allocator/api/message.h"
#include "allocator/api/process.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

static bool at_end;

static kiln_heap_stats_t read_stats(void)
{
    kiln_heap_stats_t stats = {0};
    kiln_visit_t visit = kiln_process_enter();
    if (visit.heap) stats = kiln_heap_stats(visit.heap);
    kiln_process_leave(visit);
    return stats;
}

/* Threads move on while figures are taken one after another. */
static uint64_t minus(uint64_t all, uint64_t part)
{
    return all > part ? all - part : 0;
}

/* The words of the C library for Kiln's figures: blocks of whole pages are what it would have
 * mapped one by one; everything else is its arena, and that is in use or free. */
KILN_EXPORT struct mallinfo2 mallinfo2(void)
{
    kiln_heap_stats_t stats = read_stats();
    struct mallinfo2 info = {0};
    info.hblks = (size_t)stats.large_count;
    info.hblkhd = (size_t)stats.large_bytes;
    info.arena = (size_t)minus(stats.arena_bytes, stats.large_bytes);
    info.uordblks = (size_t)minus(stats.live_bytes, stats.large_bytes + stats.cached_bytes);
    info.fordblks = (size_t)minus(info.arena, info.uordblks);
    info.ordblks = (size_t)stats.idle_count;
    info.keepcost = (size_t)stats.idle_bytes;
    return info;
}

static int narrow(size_t value)
{
    return value < INT_MAX ? (int)value : INT_MAX;
}

KILN_EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo info = {0};
    info.hblks = narrow(wide.hblks);
    info.hblkhd = narrow(wide.hblkhd);
    info.arena = narrow(wide.arena);
    info.uordblks = narrow(wide.uordblks);
    info.fordblks = narrow(wide.fordblks);
    info.ordblks = narrow(wide.ordblks);
    info.keepcost = narrow(wide.keepcost);
    return info;
}

static void put_line(kiln_message_t *message, const char *name, uint64_t bytes)
{
    kiln_message_put(message, "  ");
    kiln_message_put(message, name);
    kiln_message_put_number(message, bytes);
    kiln_message_put(message, "\n");
}

KILN_EXPORT void malloc_stats(void)
{
    kiln_heap_stats_t stats = read_stats();
    kiln_message_t message;
    message.length_bytes = 0;
    kiln_message_put(&message, "Kiln: heap of process ");
    kiln_message_put_number(&message, (uint64_t)getpid());
    kiln_message_put(&message, ", in bytes\n");
    put_line(&message, "from the system       ", stats.arena_bytes);
    put_line(&message, "  in use, and cached  ", stats.live_bytes);
    put_line(&message, "    large blocks      ", stats.large_bytes);
    put_line(&message, "    thread caches     ", stats.cached_bytes);
    put_line(&message, "  free, small blocks  ", stats.free_bytes);
    put_line(&message, "  free, whole pages   ", stats.idle_bytes);
    put_line(&message, "  given back          ", stats.discarded_bytes);
    put_line(&message, "own records           ", stats.meta_bytes);
    put_line(&message, "highest use           ", stats.peak_bytes);
    kiln_message_write(&message);
}

KILN_EXPORT int malloc_info(int options, FILE *stream)
{
    if (options != 0) return EINVAL;
    kiln_heap_stats_t stats = read_stats();
    uint64_t small_free = stats.free_bytes + stats.cached_bytes;
    fprintf(stream,
            "<malloc version=\"1\">\n"
            "<heap nr=\"0\">\n"
            "<sizes>\n"
            "</sizes>\n"
            "<total type=\"fast\" count=\"0\" size=\"%" PRIu64 "\"/>\n"
            "<total type=\"rest\" count=\"%" PRIu64 "\" size=\"%" PRIu64 "\"/>\n"
            "<system type=\"current\" size=\"%" PRIu64 "\"/>\n"
            "<system type=\"max\" size=\"%" PRIu64 "\"/>\n"
            "<aspace type=\"total\" size=\"%" PRIu64 "\"/>\n"
            "<aspace type=\"mprotect\" size=\"%" PRIu64 "\"/>\n"
            "</heap>\n",
            small_free, stats.idle_count, stats.idle_bytes,
            minus(stats.arena_bytes, stats.discarded_bytes), stats.peak_bytes, stats.arena_bytes,
            stats.arena_bytes);
    fprintf(stream,
            "<total type=\"fast\" count=\"0\" size=\"%" PRIu64 "\"/>\n"
            "<total type=\"rest\" count=\"%" PRIu64 "\" size=\"%" PRIu64 "\"/>\n"
            "<total type=\"mmap\" count=\"%" PRIu64 "\" size=\"%" PRIu64 "\"/>\n"
            "<system type=\"current\" size=\"%" PRIu64 "\"/>\n"
            "<system type=\"max\" size=\"%" PRIu64 "\"/>\n"
            "<aspace type=\"total\" size=\"%" PRIu64 "\"/>\n"
            "<aspace type=\"mprotect\" size=\"%" PRIu64 "\"/>\n"
            "</malloc>\n",
            small_free, stats.idle_count, stats.idle_bytes, stats.large_count, stats.large_bytes,
            minus(stats.arena_bytes, stats.discarded_bytes), stats.peak_bytes, stats.arena_bytes,
            stats.arena_bytes);
    return 0;
}

/* Every parameter tunes how the C library's heap is built; Kiln's is built otherwise. A known one
 * is accepted, as a program that only wants speed expects; anything else is refused. */
KILN_EXPORT int mallopt(int parameter, int value)
{
    (void)value;
    switch (parameter) {
    case M_MXFAST:
    case M_NLBLKS:
    case M_GRAIN:
    case M_KEEP:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

void kiln_stats_at_end(void)
{
    at_end = true;
}

__attribute__((destructor)) static void print_at_end(void)
{
    if (at_end) malloc_stats();
}
