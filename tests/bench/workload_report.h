/* workload_report.h - what a run cost, and on which heap it really ran. */
#ifndef KILN_TESTS_BENCH_WORKLOAD_REPORT_H
#define KILN_TESTS_BENCH_WORKLOAD_REPORT_H

#include "tests/bench/workload.h"

/* workload_report_start notes the process's memory before its first block. */
void workload_report_start(void);

/* workload_report_write writes `path`, a line KEY VALUE for each of:
 *   malloc calloc realloc free   the file that this process's calls of that function reach
 *   peak_kib                     the process's memory at its peak (VmHWM)
 *   start_kib array_kib          what of that was there at the start, and is workload_array's
 *   live_kib                     the peak of the blocks' bytes; 0: the shape does not count them
 *   phase_ns                     CPU time of the shape's phase; 0: it has none */
void workload_report_write(const char *path, const kiln_load_t *load);

#endif
