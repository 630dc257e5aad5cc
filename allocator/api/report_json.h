/* report_json.h - a report as programs read it: one JSON object on one line.
 *
 * Version 1. A member is never taken away or given another meaning without a higher version;
 * members may be added. Every one is always there; what is unknown is null. Addresses, and numbers
 * that may need 64 bits, are strings "0x..." as JSON's numbers do not hold them.
 *
 *   schema    "kiln-report"
 *   version   1
 *   kind      Kiln's name: "double-free" (kiln_report_words)
 *   asan_kind AddressSanitizer's name of it
 *   message   what to do about it, a sentence
 *   pid       number
 *   thread    number, 0 the process's first; null
 *   call      "free", or null: an access
 *   access    "read", "write" or null
 *   access_bytes   number or null
 *   address   "0x..." that was passed, read or written
 *   pc bp sp  "0x..." of the first frame
 *   stack     frames, innermost first
 *   block     null, or
 *     state         "live" or "freed"
 *     start         "0x..."
 *     bytes         as asked for, or null
 *     slot_bytes    the room it got, or null
 *     offset        number: address - start, negative before the block
 *     alloc_thread, free_thread   number or null
 *     alloc_stack, free_stack     frames or null
 *     from          "malloc", "operator new" or "operator new []": the family of functions that it
 *                   came from; or null
 *   leaks     null, or of a memory-leak an array, direct ones first, largest first, of
 *     direct        false: another lost block holds the address
 *     blocks, bytes of all that were allocated at this place
 *     first         "0x..." one of them
 *     alloc_thread  number or null;  alloc_stack   frames or null
 *   claimed_bytes, claimed_align  what a sized free was told, or null
 *   note      sentence or null
 *   seed      "0x..." of the heap, or null
 *   input     number of the input in a fuzzing loop, or null
 *   replay    command, or null
 *   halts     true: the process ends now
 *
 * A frame:
 *   pc        "0x..." of the instruction (of a call, one byte before where it returns to)
 *   module    path or null
 *   offset    "0x..." in the module, or null
 *   function, file   or null;  line, column   number or null
 *   inlined   true: it is part of the frame after it */
#ifndef KILN_ALLOCATOR_API_REPORT_JSON_H
#define KILN_ALLOCATOR_API_REPORT_JSON_H

#include "allocator/api/out.h"
#include "allocator/api/report.h"

enum { KILN_REPORT_JSON_VERSION = 1 };

void kiln_report_json(const kiln_report_t *report, kiln_out_t *out);

#endif
