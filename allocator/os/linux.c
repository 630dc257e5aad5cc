#include "allocator/os/linux.h"

#include "allocator/os/linux_syscall.h"

#include <linux/errno.h>
#include <linux/futex.h>
#include <linux/mman.h>

enum {
    MAP_OURS = MAP_PRIVATE | MAP_ANONYMOUS,
    PROT_READ_WRITE = PROT_READ | PROT_WRITE,
    X86_PHYS_BYTES = 4096,
    X86_HUGE_BYTES = 2 << 20,
};

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_GUARD_INSTALL /* Linux 6.13; the numbers are the same on all machines but parisc */
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

/* Is this a range that the machine's registers can hold? */
static bool is_native(kiln_addr_t addr, uint64_t bytes)
{
    return bytes != 0 && addr <= UINTPTR_MAX && bytes - 1 <= UINTPTR_MAX - addr;
}

static long map(kiln_addr_t addr, uint64_t bytes, int access, int flags)
{
    return kiln_linux_call(KILN_LINUX_MMAP, (uintptr_t)addr, (uintptr_t)bytes, (uintptr_t)access,
                           (uintptr_t)flags, (uintptr_t)-1);
}

static long set_access(kiln_addr_t addr, uint64_t bytes, int access)
{
    return kiln_linux_call(__NR_mprotect, (uintptr_t)addr, (uintptr_t)bytes, (uintptr_t)access, 0,
                           0);
}

static long unmap(kiln_addr_t addr, uint64_t bytes)
{
    return kiln_linux_call(__NR_munmap, (uintptr_t)addr, (uintptr_t)bytes, 0, 0, 0);
}

static long drop_bytes(kiln_addr_t addr, uint64_t bytes)
{
    return kiln_linux_call(__NR_madvise, (uintptr_t)addr, (uintptr_t)bytes, MADV_DONTNEED, 0, 0);
}

static long set_guard(kiln_addr_t addr, uint64_t bytes, bool on)
{
    uintptr_t advice = on ? MADV_GUARD_INSTALL : MADV_GUARD_REMOVE;
    return kiln_linux_call(__NR_madvise, (uintptr_t)addr, (uintptr_t)bytes, advice, 0, 0);
}

/* wipe is for memory that the kernel will not take back: locked in, and at the limit of mappings.
 */
static void wipe(kiln_addr_t addr, uint64_t bytes)
{
    if (kiln_linux_failed(set_access(addr, bytes, PROT_READ_WRITE))) return;
    volatile unsigned char *at = (volatile unsigned char *)(uintptr_t)addr;
    for (uint64_t i = 0; i < bytes; i++) at[i] = 0;
}

static kiln_addr_t linux_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    (void)ctx;
    *out_reserved = false;
    if (!is_native(0, bytes)) return 0;
    if (hint > UINTPTR_MAX) hint = 0;
    long addr = map(hint, bytes, PROT_NONE, MAP_OURS | MAP_NORESERVE);
    if (kiln_linux_failed(addr)) return 0;
    *out_reserved = true;
    return (uintptr_t)addr;
}

/* mprotect and not a new mapping: it merges with the Ready neighbours, charges what it has to
 * before it changes anything, and cannot tear a hole when it is refused. */
static kiln_os_answer_t commit_reserved(kiln_addr_t addr, uint64_t bytes)
{
    if (kiln_linux_failed(set_access(addr, bytes, PROT_READ_WRITE))) {
        /* A range of several mappings may have been opened in part. */
        (void)set_access(addr, bytes, PROT_NONE);
        return KILN_OS_FAIL;
    }
    kiln_linux_wrote((uintptr_t)addr, (uintptr_t)bytes);
    return KILN_OS_OK;
}

/* Kernels before 4.17 take the address as a hint, so what they answer is compared. */
static kiln_os_answer_t commit_unreserved(kiln_addr_t addr, uint64_t bytes)
{
    long got = map(addr, bytes, PROT_READ_WRITE, MAP_OURS | MAP_FIXED_NOREPLACE);
    if (got == -EEXIST) return KILN_OS_ELSEWHERE;
    if (kiln_linux_failed(got)) return KILN_OS_FAIL;
    if ((uintptr_t)got != addr) {
        (void)unmap((uintptr_t)got, bytes);
        return KILN_OS_ELSEWHERE;
    }
    kiln_linux_wrote((uintptr_t)addr, (uintptr_t)bytes);
    return KILN_OS_OK;
}

static kiln_os_answer_t linux_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                     kiln_os_use_t use)
{
    (void)ctx;
    (void)use; /* naming a mapping takes prctl, which a filter may forbid */
    if (!is_native(addr, bytes)) return KILN_OS_FAIL;
    return reserved ? commit_reserved(addr, bytes) : commit_unreserved(addr, bytes);
}

/* Memory that the program locked (mlockall) refuses to be dropped; a new mapping replaces it. */
static void linux_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    if (!is_native(addr, bytes)) return;
    if (!kiln_linux_failed(drop_bytes(addr, bytes))) return;
    if (!kiln_linux_failed(map(addr, bytes, PROT_NONE, MAP_OURS | MAP_FIXED | MAP_NORESERVE)))
        return;
    wipe(addr, bytes);
}

/* A new mapping gives back memory, its charge and its access in one call. At the limit of mappings
 * it is refused before anything changes; then the bytes go and the mapping stays. */
static void linux_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    if (!is_native(addr, bytes)) return;
    if (!kiln_linux_failed(map(addr, bytes, PROT_NONE, MAP_OURS | MAP_FIXED | MAP_NORESERVE)))
        return;
    (void)set_guard(addr, bytes, false); /* markers would outlast the next commit */
    if (kiln_linux_failed(drop_bytes(addr, bytes))) wipe(addr, bytes);
    (void)set_access(addr, bytes, PROT_NONE);
}

static bool linux_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    static const int protection[] = {
        [KILN_OS_NO_ACCESS] = PROT_NONE,
        [KILN_OS_READ_ONLY] = PROT_READ,
        [KILN_OS_READ_WRITE] = PROT_READ_WRITE,
    };
    (void)ctx;
    if (!is_native(addr, bytes)) return false;
    return !kiln_linux_failed(set_access(addr, bytes, protection[access]));
}

/* Guard pages are markers in the page tables, and make no mapping. A kernel that has none, or none
 * for memory that is locked in, answers EINVAL; but where locked pages lie behind others, or it had
 * no memory for page tables, a part is guarded already. */
static bool linux_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    (void)ctx;
    if (!is_native(addr, bytes)) return false;
    long answer = set_guard(addr, bytes, on);
    if (kiln_linux_failed(answer)) {
        if (on) (void)set_guard(addr, bytes, false);
        return false;
    }
    if (!on) kiln_linux_wrote((uintptr_t)addr, (uintptr_t)bytes);
    return true;
}

/* Without huge pages in the kernel it is refused, which changes nothing. */
static void linux_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    uintptr_t advice = on ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    (void)ctx;
    if (!is_native(addr, bytes)) return;
    (void)kiln_linux_call(__NR_madvise, (uintptr_t)addr, (uintptr_t)bytes, advice, 0, 0);
}

/* munmap is refused when it would cut one mapping in two at the limit of mappings. Then the memory
 * goes and the address space is lost: nobody remembers it. */
static void linux_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    if (!is_native(addr, bytes)) return;
    if (kiln_linux_failed(unmap(addr, bytes))) linux_decommit(ctx, addr, bytes);
}

static kiln_addr_t linux_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    (void)ctx;
    (void)use;
    if (!is_native(0, bytes)) return 0;
    long addr = map(0, bytes, PROT_READ_WRITE, MAP_OURS);
    if (kiln_linux_failed(addr)) return 0;
    kiln_linux_wrote((uintptr_t)addr, (uintptr_t)bytes);
    return (uintptr_t)addr;
}

/* Both may come back early or for nothing; the lock looks again. */
static void linux_wait(_Atomic uint32_t *word, uint32_t value)
{
    (void)kiln_linux_call(KILN_LINUX_FUTEX, (uintptr_t)word, FUTEX_WAIT_PRIVATE, value, 0, 0);
}

static void linux_wake(_Atomic uint32_t *word)
{
    (void)kiln_linux_call(KILN_LINUX_FUTEX, (uintptr_t)word, FUTEX_WAKE_PRIVATE, 1, 0, 0);
}

void kiln_os_linux_init(kiln_os_t *os, uint64_t phys_bytes)
{
    *os = (kiln_os_t){
        .phys_bytes = phys_bytes != 0 ? phys_bytes : X86_PHYS_BYTES,
        .huge_bytes = phys_bytes == 0 || phys_bytes == X86_PHYS_BYTES ? X86_HUGE_BYTES : 0,
        .addr_bits = sizeof(uintptr_t) * 8,
        .reserve = linux_reserve,
        .commit = linux_commit,
        .discard = linux_discard,
        .decommit = linux_decommit,
        .protect = linux_protect,
        .guard = linux_guard,
        .huge = linux_huge,
        .release = linux_release,
        .direct = linux_direct,
        .parker = {.wait = linux_wait, .wake = linux_wake},
    };
}
