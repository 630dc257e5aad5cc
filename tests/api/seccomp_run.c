/* usage: seccomp_run LIST PROGRAM ARGUMENT...
 *
 * Runs PROGRAM under a filter that kills the process for any system call but those that a static
 * program makes without a heap, and those of LIST, separated by commas. `threads` in LIST stands
 * for what a second thread needs besides. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct named_call {
    const char *name; /* NULL: always allowed */
    unsigned number;
} named_call_t;

static const named_call_t calls[] = {
    /* seccomp_run's own last step, and what start-up, output and the end of a program need */
    {NULL, __NR_execve},
    {NULL, __NR_brk},
    {NULL, __NR_set_tid_address},
    {NULL, __NR_set_robust_list},
    {NULL, __NR_rseq},
    {NULL, __NR_prlimit64},
    {NULL, __NR_readlink},
    {NULL, __NR_readlinkat},
    {NULL, __NR_write},
    {NULL, __NR_exit_group},
#ifdef __x86_64__
    {NULL, __NR_arch_prctl},
    {"mmap", __NR_mmap},
#else
    {NULL, __NR_set_thread_area},
    {NULL, __NR_ugetrlimit},
    {"mmap", __NR_mmap2},
#endif
    {"munmap", __NR_munmap},
    {"mremap", __NR_mremap},
    {"mprotect", __NR_mprotect},
    {"madvise", __NR_madvise},
    {"getrandom", __NR_getrandom},
    {"futex", __NR_futex},
    {"threads", __NR_clone3},
    {"threads", __NR_clone},
    {"threads", __NR_rt_sigprocmask},
    {"threads", __NR_rt_sigaction},
    {"threads", __NR_exit},
};

enum { CALLS = sizeof calls / sizeof *calls };

static int is_listed(const char *name, const char *list)
{
    size_t length = strlen(name);
    for (; *list; list += strcspn(list, ","), list += *list == ',')
        if (strncmp(list, name, length) == 0 && strchr(",", list[length])) return 1;
    return 0;
}

static int filter(const char *list)
{
#ifdef __x86_64__
    const unsigned arch = AUDIT_ARCH_X86_64;
#else
    const unsigned arch = AUDIT_ARCH_I386;
#endif
    struct sock_filter code[2 * CALLS + 8];
    unsigned short count = 0;
    code[count++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 1, 0);
    code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[count++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < CALLS; i++) {
        if (calls[i].name && !is_listed(calls[i].name, list)) continue;
        code[count++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1);
        code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = {.len = count, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: seccomp_run LIST PROGRAM ARGUMENT...\n");
        return 2;
    }
    if (filter(argv[1])) execv(argv[2], argv + 2);
    fprintf(stderr, "seccomp_run: %s\n", strerror(errno));
    return 2;
}
