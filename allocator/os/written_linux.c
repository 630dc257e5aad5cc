#include "allocator/os/written_linux.h"

#include "allocator/os/linux_syscall.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/ioctl.h>
#include <linux/userfaultfd.h>

/* Newer than some distributions' headers: linux/fs.h and linux/userfaultfd.h of Linux 6.7. */
struct page_region {
    uint64_t start, end, categories;
};

struct scan {
    uint64_t size, flags, start, end, walk_end, regions, regions_max, pages_max;
    uint64_t inverted, all_of, any_of, returned;
};

enum {
    FEATURE_UNPOPULATED = 1 << 13,
    FEATURE_ASYNC = 1 << 15,
    USER_MODE_ONLY = 1,
    SCAN_PROTECTS = 1 << 0, /* what it finds is taken as not written from then on */
    PAGE_FOLLOWED = 1 << 0,
    PAGE_WRITTEN = 1 << 1,
    REGIONS = 64,       /* at once */
    FIRST_NUMBER = 200, /* of a file, where there may be so many */
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct scan)

static long process_id(void)
{
    return kiln_linux_call(__NR_getpid, 0, 0, 0, 0, 0);
}

static long control(int fd, unsigned long request, void *argument)
{
    return kiln_linux_call(__NR_ioctl, (uintptr_t)fd, (uintptr_t)request, (uintptr_t)argument, 0,
                           0);
}

static void close_fd(int fd)
{
    (void)kiln_linux_call(__NR_close, (uintptr_t)fd, 0, 0, 0, 0);
}

/* Programs count on the low numbers being theirs. */
static int out_of_the_way(int fd)
{
    long high = kiln_linux_call(__NR_fcntl, (uintptr_t)fd, F_DUPFD_CLOEXEC, FIRST_NUMBER, 0, 0);
    if (high < 0) return fd;
    close_fd(fd);
    return (int)high;
}

/* Those that tell of another process, or are not ours any more, stay as they are: their numbers may
 * name other files. */
static bool open_both(kiln_os_written_linux_t *written)
{
    struct uffdio_api api = {.api = UFFD_API, .features = FEATURE_ASYNC | FEATURE_UNPOPULATED};
    long faults =
        kiln_linux_call(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY, 0, 0, 0, 0);
    if (faults < 0) return false;
    long pagemap = control((int)faults, UFFDIO_API, &api);
    if (pagemap == 0)
        pagemap = kiln_linux_call(__NR_openat, (uintptr_t)AT_FDCWD, (uintptr_t)"/proc/self/pagemap",
                                  O_RDONLY | O_CLOEXEC, 0, 0);
    if (pagemap < 0) {
        close_fd((int)faults);
        return false;
    }
    written->faults = out_of_the_way((int)faults);
    written->pagemap = out_of_the_way((int)pagemap);
    written->process = process_id();
    return true;
}

/* A file that a program closed is not ours any more, whatever has its number: one of ours that is
 * set up says that it is. Without it nothing would be found written. */
static bool is_open(const kiln_os_written_linux_t *written)
{
    struct uffdio_api api = {.api = UFFD_API};
    return written->process == process_id() &&
           control(written->faults, UFFDIO_API, &api) == -EINVAL;
}

static long scan(const kiln_os_written_linux_t *written, struct scan *scan)
{
    scan->size = sizeof *scan;
    scan->all_of = PAGE_FOLLOWED | PAGE_WRITTEN;
    scan->returned = PAGE_WRITTEN;
    return control(written->pagemap, PAGEMAP_SCAN, scan);
}

static bool linux_forget(void *ctx, kiln_addr_t first, kiln_addr_t last)
{
    struct scan all = {.flags = SCAN_PROTECTS, .start = first, .end = last + 1};
    return scan(ctx, &all) >= 0;
}

static bool linux_follow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_written_linux_t *written = ctx;
    if (!is_open(written) && !open_both(written)) return false;
    struct uffdio_register range = {.range = {.start = addr, .len = bytes},
                                    .mode = UFFDIO_REGISTER_MODE_WP};
    if (control(written->faults, UFFDIO_REGISTER, &range) != 0) {
        written->process = 0;
        return false;
    }
    return linux_forget(written, addr, addr + (bytes - 1));
}

static long linux_list(void *ctx, kiln_addr_t *io_first, kiln_addr_t last, kiln_os_stretch_t *out,
                       unsigned max)
{
    kiln_os_written_linux_t *written = ctx;
    struct page_region regions[REGIONS];
    unsigned count = 0;
    if (!is_open(written)) return -1;
    while (count < max && *io_first <= last) {
        unsigned room = max - count < REGIONS ? max - count : REGIONS;
        struct scan some = {.start = *io_first,
                            .end = last + 1,
                            .regions = (uintptr_t)regions,
                            .regions_max = room};
        long got = scan(written, &some);
        if (got < 0) {
            written->process = 0;
            return -1;
        }
        kiln_linux_wrote((uintptr_t)regions, (uintptr_t)got * sizeof *regions);
        for (long i = 0; i < got; i++)
            out[count++] = (kiln_os_stretch_t){regions[i].start, regions[i].end - 1};
        *io_first = some.walk_end;
    }
    return (long)count;
}

void kiln_os_written_linux_init(kiln_os_written_linux_t *written)
{
    *written = (kiln_os_written_linux_t){
        .written = {.ctx = written,
                    .follow = linux_follow,
                    .list = linux_list,
                    .forget = linux_forget},
    };
}

void kiln_os_written_linux_fork_child(kiln_os_written_linux_t *written)
{
    written->process = 0;
}
