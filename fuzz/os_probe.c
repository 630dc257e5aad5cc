#include "fuzz/os_probe.h"

#include "allocator/base/check.h"
#include "allocator/os/linux_syscall.h"

#include <linux/errno.h>
#include <linux/mman.h>
#include <unistd.h>

/* A pipe carries the byte. The calls are raw: sanitizers judge what libc's read and write touch. */
static int pipe_ends[2] = {-1, -1};

static void open_pipe(void)
{
    if (pipe_ends[0] < 0) KILN_CHECK(pipe(pipe_ends) == 0);
}

static long raw(long number, int file, kiln_addr_t addr)
{
    return kiln_linux_call(number, (uintptr_t)file, (uintptr_t)addr, 1, 0, 0);
}

bool kiln_os_probe_reads(kiln_addr_t addr)
{
    char byte;
    open_pipe();
    if (raw(__NR_write, pipe_ends[1], addr) != 1) return false;
    KILN_CHECK(read(pipe_ends[0], &byte, 1) == 1);
    return true;
}

bool kiln_os_probe_writes(kiln_addr_t addr)
{
    char byte = 0;
    open_pipe();
    if (raw(__NR_write, pipe_ends[1], addr) != 1) return false; /* nothing here is write-only */
    if (raw(__NR_read, pipe_ends[0], addr) == 1) return true;   /* the byte that was there */
    KILN_CHECK(read(pipe_ends[0], &byte, 1) == 1);
    return false;
}

bool kiln_os_probe_mapped(kiln_addr_t addr)
{
    return kiln_linux_call(__NR_msync, (uintptr_t)addr, 1, MS_ASYNC, 0, 0) != -ENOMEM;
}
