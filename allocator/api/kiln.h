/* kiln.h - for programs that are built on libkiln.
 *
 * The malloc family, and in C++ every operator new and delete, have their standard names and the
 * prototypes of <stdlib.h> and <malloc.h>: link libkiln.so or libkiln.a, or preload libkiln.so, and
 * all of them are Kiln's. Declared here is what those headers may lack.
 *
 * Where standards leave a choice:
 *   size 0                  a block of its own, to be freed as any other
 *   realloc(block, 0)       frees the block and returns NULL, as glibc does
 *   size > PTRDIFF_MAX      NULL, ENOMEM
 *   aligned_alloc, memalign  an alignment that is no power of two: NULL, EINVAL
 *   free                    keeps errno
 *   mallopt                 accepts glibc's parameters and does nothing with them
 * A block that was freed before, an address inside a block, one that never was a block, a sized
 * free with another size: the program is ended with a report.
 *
 * KILN_OPTIONS="key=value:key=value" in the environment; KILN_OPTIONS=help=1 lists the keys. A
 * program may bring its own: see kiln_default_options. */
#ifndef KILN_ALLOCATOR_API_KILN_H
#define KILN_ALLOCATOR_API_KILN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* kiln_version gives "MAJOR.MINOR.PATCH": static storage. It tells that a program runs on Kiln. */
const char *kiln_version(void);

/* kiln_default_options is the program's, where it defines one: a list like that of KILN_OPTIONS,
 * which is read after it. It is called once, by the first allocation, before any constructor has
 * run: it returns a literal and does nothing else. In a program that preloads libkiln.so it must be
 * visible (-rdynamic); one that links it, or libkiln.a, needs nothing. */
const char *kiln_default_options(void);

/* kiln_check_heap looks at every block of a hardened heap, live and freed, reports each that was
 * written where it must not have been, and gives how many were (where halt_on_error=0 lets it come
 * back). Under profile=fast it sees nothing. Other threads may go on. */
size_t kiln_check_heap(void);

/* kiln_check_leaks looks for blocks that are not freed and whose addresses, the first byte's or any
 * other's, lie nowhere in memory that the program can reach: its globals, its stacks, registers,
 * other private mappings, and blocks that are found so. It reports them and gives how many there
 * were (where halt_on_error=0 lets it come back). Other threads are stopped meanwhile, which ends
 * some of their system calls early (EINTR). A pointer that is kept in disguise, in a mapping that
 * is shared, in a file, a pipe or the kernel (epoll) is not seen. Without /proc, or where ptrace is
 * not allowed and there are other threads, it says so on standard error and gives 0. */
size_t kiln_check_leaks(void);

/* kiln_input says which input of a fuzzing loop runs from now on, by its number, and which command
 * runs it again (NULL: none; else text that stays as it is until the next call). Reports tell both.
 * Any thread may call it; the process has one input at a time. With checkpoints=1 and profile=fuzz
 * the number also says which of the calling thread's next blocks are guarded. */
void kiln_input(uint64_t number, const char *replay);

/* Checkpoints put the heap back, so that each input of a fuzzing loop finds what the first one did:
 *
 *   kiln_checkpoint();
 *   for (each input) { kiln_input(number, replay); run(input); kiln_restore(KILN_BYTES); }
 *
 * They need KILN_OPTIONS=checkpoints=1 (or kiln_default_options). Each gives 0; or -1, with errno
 * set and a line on standard error that says what is wrong; then nothing changed. ENOTSUP: without
 * that option. EBUSY: other threads use the heap, or a signal handler interrupted such a call.
 * EINVAL: there is no checkpoint to go back to. ENOMEM: for a copy of the heap.
 *
 * Not from a signal handler, which may have interrupted malloc.
 *
 * kiln_checkpoint keeps what the heap is now, by a copy of it. Checkpoints nest; kiln_restore goes
 * back to the newest, which stays, and kiln_checkpoint_drop forgets that one. Blocks that were made
 * since are gone: the same calls get the same addresses again, and a use of one is reported as
 * use-after-restore, where it is seen. Blocks that were freed since are live again.
 *
 * Where profile=fuzz guards some blocks, which ones goes by the number of kiln_input: other ones
 * for each, the same ones for the same. Without it they are the same for all inputs, and ten seeds
 * are what shows a wrong read.
 *
 * What lies outside of the heap does not go back, and what it says of blocks made since is then
 * wrong: stdio's buffer of a file that was first used since, an environment that setenv enlarged,
 * what atexit noted, and a thread that was begun since and has ended (the C library keeps its
 * stack, and blocks with it). Let such things happen once before the checkpoint; let threads that
 * an input begins run in a child of fork. Pages of blocks that the program protected must be open
 * again. Compilers may keep the bytes of a block that only the calling function knows in registers,
 * as with setjmp: read them through a pointer that others can see.
 *
 * kiln_checkpoint_add has `bytes` bytes from `start` on, private memory that can be written and is
 * no part of the heap, put back as well, from the next checkpoint on, by either kind of restore:
 * the globals of a library, say. It stays mapped. EINVAL: it is the heap's, or goes beyond the last
 * address. EFAULT: not all of it is such memory. EBUSY: there is a checkpoint. ENOSPC: there are
 * some 60 already.
 *
 * Cost of a restore: about a microsecond for each page that was written to since, where the system
 * can tell (Linux 6.7), else a look at all of the heap; a look at each span of the heap; and one at
 * all that was added. */
typedef enum kiln_restored {
    KILN_BLOCKS, /* blocks that were live at the checkpoint, and still are, keep their bytes */
    KILN_BYTES,  /* these go back, too */
} kiln_restored_t;

int kiln_checkpoint(void);
int kiln_restore(kiln_restored_t what);
int kiln_checkpoint_drop(void);
int kiln_checkpoint_add(void *start, size_t bytes);

/* C23. `bytes` (and `align`) are those that the block was asked for with; NULL is allowed. */
void free_sized(void *block, size_t bytes);
void free_aligned_sized(void *block, size_t align, size_t bytes);

/* An old name of free, no longer declared by glibc. */
void cfree(void *block);

#ifdef __cplusplus
}
#endif

#endif
