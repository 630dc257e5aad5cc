/* The memory behind the fake OS with bytes. This one is for tests, so it goes through libc's mmap:
 * sanitizers then know of the window. */
#define _GNU_SOURCE
#include "allocator/os/fake_window_linux.h"

#include "allocator/base/check.h"
#include "allocator/os/linux_syscall.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

enum {
    PAGE_BYTES = 4096,        /* the kernel's: a fake's may be others */
    ASK_BYTES_MIN = 32 << 10, /* from here on the kernel is asked which pages have memory, */
    ASK_PAGES_MAX = 2048,     /* of so many at once */
    CLEAN_EVERY = 24,         /* of the pages found clean every so many-th is given back */
};

static bool in_window(const kiln_os_window_t *window, kiln_addr_t addr, uint64_t bytes)
{
    return addr >= window->memory.first && addr <= window->memory.last &&
           bytes - 1 <= window->memory.last - addr;
}

/* Shadow of ASan, if the heap above poisoned these bytes, is the heap's business: not checked here,
 * as memset would be. */
static void write_zeros(kiln_addr_t addr, uint64_t bytes)
{
    void *at = (void *)(uintptr_t)addr;
    size_t count = (size_t)bytes;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(0) : "memory");
    kiln_linux_wrote((uintptr_t)addr, (uintptr_t)bytes); /* MSan saw nothing of that */
}

typedef uint64_t words_t __attribute__((vector_size(16), may_alias));

/* Whatever it held, it is about to read as zero: that is what MSan may think already. */
__attribute__((no_sanitize("address"))) static bool is_clean(kiln_addr_t page)
{
    const words_t *words = (const words_t *)(uintptr_t)page;
    kiln_linux_wrote((uintptr_t)page, PAGE_BYTES);
    for (unsigned i = 0; i < PAGE_BYTES / sizeof *words; i += 8) {
        words_t any = words[i] | words[i + 1] | words[i + 2] | words[i + 3] | words[i + 4] |
                      words[i + 5] | words[i + 6] | words[i + 7];
        if ((any[0] | any[1]) != 0) return false;
    }
    return true;
}

static void give_back(kiln_addr_t addr, uint64_t bytes)
{
    if (madvise((void *)(uintptr_t)addr, (size_t)bytes, MADV_DONTNEED) != 0)
        write_zeros(addr, bytes);
    else
        kiln_linux_wrote((uintptr_t)addr, (uintptr_t)bytes); /* madvise is not seen, either */
}

/* What a page without memory had may be on a disk, where there is one for that. */
static bool may_swap(void)
{
    struct sysinfo info;
    return sysinfo(&info) != 0 || info.totalswap != 0;
}

/* A page fault costs as much as to clear ten pages and more. So pages that have memory keep it
 * while they are written to every now and then. */
static void zero_pages(kiln_os_window_t *window, kiln_addr_t addr, uint64_t pages)
{
    unsigned char has[ASK_PAGES_MAX] = {0};
    bool asked = mincore((void *)(uintptr_t)addr, (size_t)(pages * PAGE_BYTES), has) == 0;
    for (uint64_t i = 0, absent = 0; i < pages; i++) {
        kiln_addr_t page = addr + i * PAGE_BYTES;
        if (asked && !(has[i] & 1)) {
            absent++;
            if (window->may_swap && (i + 1 == pages || has[i + 1] & 1))
                give_back(page - (absent - 1) * PAGE_BYTES, absent * PAGE_BYTES);
            continue;
        }
        absent = 0;
        if (!is_clean(page))
            write_zeros(page, PAGE_BYTES);
        else if (++window->clean_pages % CLEAN_EVERY == 0)
            give_back(page, PAGE_BYTES);
    }
}

static void zero_used(kiln_os_window_t *window, kiln_addr_t addr, uint64_t bytes)
{
    if (bytes < ASK_BYTES_MIN || (addr | bytes) % PAGE_BYTES != 0) {
        write_zeros(addr, bytes);
        return;
    }
    for (uint64_t pages = bytes / PAGE_BYTES, part; pages > 0; pages -= part) {
        part = pages < ASK_PAGES_MAX ? pages : ASK_PAGES_MAX;
        zero_pages(window, addr, part);
        addr += part * PAGE_BYTES;
    }
}

/* Bytes that were Ready before may hold anything; all others are as the kernel gave them. */
static void window_zero(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_window_t *window = ctx;
    kiln_os_tag_t used = {.state = KILN_OS_READY};
    kiln_ranges_t *ranges = &window->used;
    KILN_CHECK(in_window(window, addr, bytes));
    kiln_addr_t last = addr + (bytes - 1);

    for (unsigned i = kiln_ranges_find(ranges, addr);
         i < ranges->count && ranges->items[i].first <= last; i++) {
        kiln_addr_t from = ranges->items[i].first > addr ? ranges->items[i].first : addr;
        kiln_addr_t to = ranges->items[i].last < last ? ranges->items[i].last : last;
        zero_used(window, from, to - from + 1);
    }
    if (kiln_ranges_set(ranges, addr, last, used)) return;

    /* Too many pieces: from now on the gaps between them count as used as well. */
    kiln_addr_t first = ranges->items[0].first, end = ranges->items[ranges->count - 1].last;
    KILN_CHECK(kiln_ranges_set(ranges, first < addr ? first : addr, end > last ? end : last, used));
}

static void window_access(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    static const int protection[] = {
        [KILN_OS_NO_ACCESS] = PROT_NONE,
        [KILN_OS_READ_ONLY] = PROT_READ,
        [KILN_OS_READ_WRITE] = PROT_READ | PROT_WRITE,
    };
    kiln_os_window_t *window = ctx;
    KILN_CHECK(in_window(window, addr, bytes));
    KILN_CHECK(mprotect((void *)(uintptr_t)addr, (size_t)bytes, protection[access]) == 0);
}

bool kiln_os_window_open(kiln_os_window_t *window, kiln_addr_t hint, uint64_t bytes,
                         uint64_t align_bytes, bool enforce)
{
    uint64_t mapped_bytes = bytes + align_bytes;
    if (bytes == 0 || mapped_bytes < bytes || mapped_bytes > SIZE_MAX || hint > UINTPTR_MAX)
        return false;
    int access = enforce ? PROT_NONE : PROT_READ | PROT_WRITE;
    void *mapped = mmap((void *)(uintptr_t)hint, (size_t)mapped_bytes, access,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return false;

    window->mapped = (uintptr_t)mapped;
    window->mapped_bytes = mapped_bytes;
    window->memory.ctx = window;
    window->memory.first = kiln_round_up(window->mapped, align_bytes);
    window->memory.last = window->memory.first + (kiln_round_down(bytes, align_bytes) - 1);
    window->memory.zero = window_zero;
    window->memory.access = enforce ? window_access : NULL;
    window->clean_pages = 0;
    window->may_swap = may_swap();
    window->used =
        (kiln_ranges_t){.items = window->used_items, .count = 0, .max = KILN_OS_WINDOW_USED_MAX};
    return true;
}

void kiln_os_window_close(kiln_os_window_t *window)
{
    KILN_CHECK(munmap((void *)(uintptr_t)window->mapped, (size_t)window->mapped_bytes) == 0);
}
