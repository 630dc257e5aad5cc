#include "allocator/api/readable.h"

#include "allocator/os/linux_syscall.h"

#include <linux/errno.h>

enum {
    NO_SUCH_CHANGE = -1,
    KERNEL_SIGSET_BYTES = 8,
};

static bool is_readable(uintptr_t address)
{
    return kiln_linux_call(__NR_rt_sigprocmask, (uintptr_t)NO_SUCH_CHANGE, address, 0,
                           KERNEL_SIGSET_BYTES, 0) == -EINVAL;
}

/* By hand: where the program's own bytes lie, a sanitizer has a say about reads that it knows of.
 */
static uintptr_t read_foreign(uintptr_t address)
{
    uintptr_t word;
    __asm__ volatile("mov %1, %0" : "=r"(word) : "m"(*(const uintptr_t *)address));
    return word;
}

bool kiln_readable_word(const kiln_readable_t *known, uintptr_t address, uintptr_t *out)
{
    if (address % sizeof(uintptr_t) != 0) return false;
    bool inside = address >= known->start && address < known->end;
    if (!inside && (!known->may_ask || !is_readable(address))) return false;
    *out = inside ? *(const uintptr_t *)address : read_foreign(address);
    return true;
}
