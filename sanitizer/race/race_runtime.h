/* race_runtime.h - what is used of LLVM's race runtime for Go, as Go 1.19 links it.
 *
 * The object has no header of its own. Addresses and sizes are numbers; a context is a thread's, a
 * processor is whatever runs threads (here: the thread itself); a counter of 0 means unknown.
 *
 * Threads  a context and a processor are used by one thread at a time; the rest may be called by
 *          any. The runtime calls the answering function in the thread that called it. */
#ifndef KILN_SANITIZER_RACE_RACE_RUNTIME_H
#define KILN_SANITIZER_RACE_RACE_RUNTIME_H

#include <stdint.h>

enum {
    KILN_RACE_ASK_PROCESSOR, /* store the running processor: void ** */
    KILN_RACE_ASK_CODE,      /* kiln_race_code_t * */
    KILN_RACE_ASK_DATA,      /* kiln_race_data_t * */
};

/* Both are zeroed but for what is asked about; `known` not 0 says that the rest was filled in. */
typedef struct kiln_race_code {
    uintptr_t counter; /* left as it is: no function was inlined into another here */
    const char *function, *file;
    uintptr_t line;
    uintptr_t offset; /* of the counter from the function's start */
    uintptr_t known;
} kiln_race_code_t;

typedef struct kiln_race_data {
    uintptr_t address;
    uintptr_t
        in_heap; /* not 0: a block; the runtime knows its size and who allocated it, by `start` */
    uintptr_t start, bytes;
    const char *name, *file; /* of a variable; so is `line` */
    uintptr_t line;
    uintptr_t known;
} kiln_race_data_t;

/* init makes the first context and its processor. fini exits the process. */
void __tsan_init(void **out_context, void **out_processor,
                 void (*answer)(uintptr_t question, void *about));
_Noreturn void __tsan_fini(void);

/* map_shadow makes room for what is known of [addr, addr + bytes), and forgets what was. */
void __tsan_map_shadow(uintptr_t addr, uintptr_t bytes);

void __tsan_go_start(void *parent, void **out_context, uintptr_t counter);
void __tsan_go_end(void *context);
void __tsan_proc_create(void **out_processor);
void __tsan_proc_destroy(void *processor);

/* malloc forgets all accesses to the block, and remembers who allocated it unless context or
 * counter is 0. free forgets the blocks and synchronisation in the range; it needs a processor. */
void __tsan_malloc(void *context, uintptr_t counter, uintptr_t addr, uintptr_t bytes);
void __tsan_free(uintptr_t addr, uintptr_t bytes);

void __tsan_read_range(void *context, uintptr_t addr, uintptr_t bytes, uintptr_t counter);
void __tsan_write_range(void *context, uintptr_t addr, uintptr_t bytes, uintptr_t counter);
void __tsan_acquire(void *context, uintptr_t addr);
void __tsan_release(void *context, uintptr_t addr);
void __tsan_report_count(uint64_t *out_count);

#endif
