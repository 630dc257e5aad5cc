/* heap_machine.h - a machine and a heap on it, as the settings of an input want them: for the
 * targets whose subject is a heap. They share the bytes of the configuration.
 *
 *   byte 0 phys      hardware page: 4, 16 or 64 KiB
 *        1 start     odd: no large reservation, the heap grows by blocks
 *        2 policy    where the OS places what is reserved
 *        4 flags     1: the process has a single thread
 *        5 seed      6 idle   7 block    bounds of idle memory, and of blocks of the arena
 *        8 refuse    a call of the OS that fails at the start   9 answer   the OS's first one
 *       10 profile   0, 3: a plain heap; 1: hardened; 2: fuzz
 *       11 harden    12 guard   13 every   14 quarantine    what hardens
 *       15 room      31: blocks may fill the arena
 *
 * Threads  one.   Memory  the window of the fake OS, mapped once. */
#ifndef KILN_FUZZ_HEAP_MACHINE_H
#define KILN_FUZZ_HEAP_MACHINE_H

#include "allocator/os/fake.h"
#include "fuzz/heap_subject.h"
#include "fuzz/target.h"

#define KILN_HEAP_MACHINE_ARENA_BYTES KILN_MIB(64)

enum { KILN_HEAP_MACHINE_SCRIPT_BYTES = 8 };

/* The setting `flags`, and bits of `harden`. */
enum { KILN_FLAG_SINGLE = 1, KILN_FLAG_TWICE = 2 };
enum {
    KILN_HARDEN_OFTEN = 1,          /* all is checked more often */
    KILN_HARDEN_NO_GUARD_PAGES = 2, /* a guarded block is a mapping */
    KILN_HARDEN_SLOW = 4,           /* the common paths are not tried */
    KILN_HARDEN_FAMILIES = 8,       /* alloc_dealloc_mismatch is the other one of the profile's */
};

/* What stands between the heap and the machine, and who is told. */
typedef struct kiln_heap_machine_hooks {
    const kiln_os_t *os;           /* NULL: the fake itself */
    const kiln_watcher_t *watcher; /* may be NULL */
    kiln_damage_found_t *found;    /* of a hardened heap */
    uint32_t (*stack)(uintptr_t caller);
    uint32_t (*thread)(void);
} kiln_heap_machine_hooks_t;

typedef struct kiln_heap_machine {
    kiln_os_fake_t fake;
    kiln_subject_t subject;
    uint8_t script[KILN_HEAP_MACHINE_SCRIPT_BYTES];
    uint8_t faults[KILN_FUZZ_FAULTS_MAX / 8]; /* target.h */
    uint64_t bytes_left; /* what the blocks of this input may still take together */
} kiln_heap_machine_t;

/* kiln_heap_machine_hardens: is the heap of this configuration a hardened one? */
bool kiln_heap_machine_hardens(const uint8_t *config);

/* kiln_heap_machine_open makes the machine, with nothing on it. */
void kiln_heap_machine_open(kiln_heap_machine_t *machine, const uint8_t *config);

/* kiln_heap_machine_start makes the heap. False: there is none, and nothing is left of it. */
bool kiln_heap_machine_start(kiln_heap_machine_t *machine, const uint8_t *config,
                             const kiln_heap_machine_hooks_t *hooks);

/* kiln_heap_machine_end destroys it: then nothing may be left. No thread is attached. */
void kiln_heap_machine_end(kiln_heap_machine_t *machine);

/* A thread comes, or goes. */
static inline bool kiln_heap_machine_attached(const kiln_subject_by_t *thread)
{
    return thread->cache || thread->hardened;
}

void kiln_heap_machine_attach(kiln_heap_machine_t *machine, kiln_subject_by_t *thread);
void kiln_heap_machine_detach(kiln_heap_machine_t *machine, kiln_subject_by_t *thread);

/* kiln_heap_machine_size gives the size that a record means. */
size_t kiln_heap_machine_size(const kiln_fuzz_record_t *record);

/* kiln_heap_machine_allows says whether the input may still have a block of so many bytes, for
 * which the heap takes, or copies, so many more. */
bool kiln_heap_machine_allows(kiln_heap_machine_t *machine, size_t bytes, size_t more);

/* What the OS does from here on: what it answers under a policy that is scripted; which of the next
 * calls it refuses; how much it has; where it places. */
void kiln_heap_machine_answer(kiln_heap_machine_t *machine, const kiln_fuzz_record_t *record);
void kiln_heap_machine_refuse(kiln_heap_machine_t *machine, const kiln_fuzz_record_t *record);
void kiln_heap_machine_budget(kiln_heap_machine_t *machine, const kiln_fuzz_record_t *record);
void kiln_heap_machine_place(kiln_heap_machine_t *machine, const kiln_fuzz_record_t *record);

#endif
