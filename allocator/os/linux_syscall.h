/* linux_syscall.h - raw system calls, for code that may not touch errno or need a libc.
 *
 * kiln_linux_call answers what the kernel does: a negative error number, or the result. The last
 * argument of a call of six (mmap's offset) is always 0 here. Other architectures than x86 go
 * through libc's syscall() and put errno back. */
#ifndef KILN_ALLOCATOR_OS_LINUX_SYSCALL_H
#define KILN_ALLOCATOR_OS_LINUX_SYSCALL_H

#include <asm/unistd.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define KILN_LINUX_MSAN 1
#endif
#endif

#if defined(__x86_64__)

static inline long kiln_linux_call(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
                                   uintptr_t e)
{
    register uintptr_t r10 __asm__("r10") = d;
    register uintptr_t r8 __asm__("r8") = e;
    register uintptr_t r9 __asm__("r9") = 0;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__i386__)

/* All six registers are taken, so they are loaded from an array: position independent code, frame
 * pointers and realigned stacks each want one of them for themselves. */
static inline long kiln_linux_call(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
                                   uintptr_t e)
{
    uintptr_t registers[6] = {(uintptr_t)number, a, b, c, d, e};
    uintptr_t result = (uintptr_t)registers;
    __asm__ volatile("pushl %%ebx\n\t"
                     "pushl %%esi\n\t"
                     "pushl %%edi\n\t"
                     "pushl %%ebp\n\t"
                     "movl 4(%%eax), %%ebx\n\t"
                     "movl 8(%%eax), %%ecx\n\t"
                     "movl 12(%%eax), %%edx\n\t"
                     "movl 16(%%eax), %%esi\n\t"
                     "movl 20(%%eax), %%edi\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movl (%%eax), %%eax\n\t"
                     "int $0x80\n\t"
                     "popl %%ebp\n\t"
                     "popl %%edi\n\t"
                     "popl %%esi\n\t"
                     "popl %%ebx"
                     : "+a"(result)
                     :
                     : "ecx", "edx", "cc", "memory");
    return (long)result;
}

#else

#include <errno.h>

extern long syscall(long number, ...);

static inline long kiln_linux_call(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
                                   uintptr_t e)
{
    int saved = errno;
    long result = syscall(number, a, b, c, d, e, (uintptr_t)0);
    if (result == -1) result = -errno;
    errno = saved;
    return result;
}

#endif

/* With an offset of 0, mmap2's other unit makes no difference. */
#ifdef __NR_mmap2
enum { KILN_LINUX_MMAP = __NR_mmap2 };
#else
enum { KILN_LINUX_MMAP = __NR_mmap };
#endif

/* Newer 32-bit machines have only the call with 64-bit time; without a timeout they are the same.
 */
#ifdef __NR_futex
enum { KILN_LINUX_FUTEX = __NR_futex };
#else
enum { KILN_LINUX_FUTEX = __NR_futex_time64 };
#endif

/* kiln_linux_failed: the last 4095 values are error numbers, also where addresses look negative. */
static inline bool kiln_linux_failed(long result)
{
    return (uintptr_t)result > (uintptr_t)-4096;
}

/* kiln_linux_wrote tells MSan, which does not see raw system calls, that the kernel wrote there. */
static inline void kiln_linux_wrote(uintptr_t addr, uintptr_t bytes)
{
#ifdef KILN_LINUX_MSAN
    __msan_unpoison((void *)addr, bytes);
#else
    (void)addr;
    (void)bytes;
#endif
}

#endif
