/* reach.h - which blocks a program can still get at, and which it has lost.
 *
 * A mark phase as garbage collectors and LeakSanitizer have it, conservative: every word of what is
 * searched that is an address in a live block, its slack included, reaches that block, and the
 * block is searched in turn. What is live and was not reached is lost: directly, or, where another
 * lost block holds its address, indirectly.
 *
 *   begin     memory for marks, from the OS and not from the heap
 *   search    once for every range that the program can reach without the heap
 *   lost      the lost blocks, those of one stack (without stacks: of one size) as one
 *   end       the memory goes back
 *
 * Threads  nobody changes the heap, its blocks or the ranges from begin to lost: the caller holds
 *          all locks of the heap and of `harden`, and has stopped all other threads.
 * Memory   of marks: a 64th of the address space from the heap's lowest to its highest block, of
 *          which only what is written to takes memory.
 * Errors   begin and lost: false, no memory; end is to be called all the same. */
#ifndef KILN_ALLOCATOR_HARDEN_REACH_H
#define KILN_ALLOCATOR_HARDEN_REACH_H

#include "allocator/harden/harden.h"

/* Memory for a list that grows to at most what it was made for. */
typedef struct kiln_reach_room {
    kiln_addr_t addr; /* 0: none */
    uint64_t bytes;
} kiln_reach_room_t;

/* Two bits for every 16 bytes of [start, end), where a block may begin. */
typedef struct kiln_reach_marks {
    uintptr_t start, end;
    kiln_reach_room_t room;
} kiln_reach_marks_t;

/* Lost blocks that were allocated at one place. */
typedef struct kiln_lost {
    uint32_t stack, thread; /* 0, 0: not kept */
    bool direct;
    uint64_t blocks, bytes;
    uintptr_t first; /* one of the blocks */
} kiln_lost_t;

/* Can the word at this address, which is aligned, be read? Programs protect pages of their blocks.
 */
typedef bool kiln_reach_can_read_t(uintptr_t address);

typedef struct kiln_reach {
    const kiln_os_t *os;
    kiln_reach_can_read_t *can_read; /* NULL: all of every block can be */
    const kiln_heap_t *heap;
    const kiln_harden_t *harden; /* NULL: a plain heap */
    kiln_reach_marks_t blocks, guarded;
    kiln_reach_room_t waiting, list;
    size_t live;          /* blocks */
    size_t waiting_count; /* blocks that were reached, and are to be searched */
    size_t lost_count;
} kiln_reach_t;

bool kiln_reach_begin(kiln_reach_t *reach, const kiln_os_t *os, const kiln_heap_t *heap,
                      const kiln_harden_t *harden, kiln_reach_can_read_t *can_read);

/* kiln_reach_search reads every aligned word of [start, end). */
void kiln_reach_search(kiln_reach_t *reach, uintptr_t start, uintptr_t end);

/* kiln_reach_lost sets `*out` to the lost blocks, `*out_count` entries, direct ones first, of these
 * those with the most bytes first. They stay until kiln_reach_end. */
bool kiln_reach_lost(kiln_reach_t *reach, const kiln_lost_t **out, size_t *out_count);

void kiln_reach_end(kiln_reach_t *reach);

#endif
