/* stats.h - the heap's figures, as the C library's functions and KILN_OPTIONS=stats=1 show them. */
#ifndef KILN_ALLOCATOR_API_STATS_H
#define KILN_ALLOCATOR_API_STATS_H

/* kiln_stats_at_end makes the process print malloc_stats() when it ends by exit. */
void kiln_stats_at_end(void);

#endif
