#define _GNU_SOURCE /* dladdr */
#include "tests/bench/workload_report.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t start_kib;

/* Gives a number of /proc/self/status, "Name:   123 kB". A maximum of getrusage() would not do: a
 * process inherits its parent's. */
static uint64_t status_kib(const char *name)
{
    static char text[8192];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t count = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (count <= 0) workload_failed("/proc/self/status cannot be read; is /proc mounted?");
    close(file);
    text[count] = '\0';
    const char *at = strstr(text, name);
    if (!at) workload_failed("/proc/self/status lacks a line");
    return strtoull(at + strlen(name), NULL, 10);
}

void workload_report_start(void)
{
    start_kib = status_kib("\nVmRSS:");
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) != 0) workload_failed("no CPU clock");
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void workload_phase_begin(kiln_load_t *load)
{
    load->phase_began_ns = cpu_ns();
}

void workload_phase_end(kiln_load_t *load)
{
    load->phase_ns += cpu_ns() - load->phase_began_ns;
}

/* The dynamic linker's own answer: the first definition in its search order, as calls get it. */
static void print_whose(FILE *out, const char *function)
{
    Dl_info info;
    void *at = dlsym(RTLD_DEFAULT, function);
    char path[4096];
    if (!at || dladdr(at, &info) == 0 || !info.dli_fname) workload_failed("dladdr found no malloc");
    fprintf(out, "%s %s\n", function, realpath(info.dli_fname, path) ? path : info.dli_fname);
}

void workload_report_write(const char *path, const kiln_load_t *load)
{
    uint64_t peak_kib = status_kib("\nVmHWM:"); /* before stdio asks for a buffer */
    FILE *out = fopen(path, "we");
    if (!out) workload_failed("the file of --report cannot be written");
    print_whose(out, "malloc");
    print_whose(out, "calloc");
    print_whose(out, "realloc");
    print_whose(out, "free");
    fprintf(out,
            "peak_kib %" PRIu64 "\nstart_kib %" PRIu64 "\narray_kib %zu\nlive_kib %" PRIu64
            "\nphase_ns %" PRIu64 "\n",
            peak_kib, start_kib, load->array_bytes / 1024, load->live_bytes_max / 1024,
            load->phase_ns);
    if (fclose(out) != 0) workload_failed("the file of --report cannot be written");
}
