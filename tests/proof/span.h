/* span.h - span records whose slot states lie apart: cbmc is slow where a byte behind a record is
 * written by a pointer. The source under proof is the same. To be included before all of the heap.
 */
#ifndef KILN_TESTS_PROOF_SPAN_H
#define KILN_TESTS_PROOF_SPAN_H

#define states *states, beyond
#include "allocator/heap/span.h"
#undef states

#endif
