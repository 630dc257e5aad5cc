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

bool kiln_readable_word(const kiln_readable_t *known, uintptr_t address, uintptr_t *out)
{
    if (address % sizeof(uintptr_t) != 0) return false;
    bool inside = address >= known->start && address < known->end;
    if (!inside && (!known->may_ask || !is_readable(address))) return false;
    *out = *(const uintptr_t *)address;
    return true;
}
