/* The memory behind the fake OS with bytes. This one is for tests, so it goes through libc's mmap:
 * sanitizers then know of the window. */
#define _GNU_SOURCE
#include "allocator/os/fake_window_linux.h"

#include "allocator/base/check.h"
#include "allocator/os/linux_syscall.h"

#include <stddef.h>
#include <sys/mman.h>

enum {
    DROP_BYTES_MIN = 256 << 10
}; /* from here on, dropping pages is cheaper than writing zeros */

static bool in_window(const kiln_os_window_t *window, kiln_addr_t addr, uint64_t bytes)
{
    return addr >= window->memory.first && addr <= window->memory.last &&
           bytes - 1 <= window->memory.last - addr;
}

/* Shadow of ASan, if the heap above poisoned these bytes, is the heap's business: not checked here.
 * The empty asm keeps the compiler from calling memset, which ASan would check. */
__attribute__((no_sanitize("address"))) static void write_zeros(kiln_addr_t addr, uint64_t bytes)
{
    uint64_t *word = (uint64_t *)(uintptr_t)addr;
    for (uint64_t i = 0; i < bytes / sizeof *word; i += 8) {
        word[i] = word[i + 1] = word[i + 2] = word[i + 3] = 0;
        word[i + 4] = word[i + 5] = word[i + 6] = word[i + 7] = 0;
        __asm__ volatile("" ::: "memory");
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
        uint64_t count = to - from + 1;
        if (count < DROP_BYTES_MIN ||
            madvise((void *)(uintptr_t)from, (size_t)count, MADV_DONTNEED) != 0)
            write_zeros(from, count);
        else
            kiln_linux_wrote((uintptr_t)from, (uintptr_t)count); /* madvise is not seen, either */
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
    window->used =
        (kiln_ranges_t){.items = window->used_items, .count = 0, .max = KILN_OS_WINDOW_USED_MAX};
    return true;
}

void kiln_os_window_close(kiln_os_window_t *window)
{
    KILN_CHECK(munmap((void *)(uintptr_t)window->mapped, (size_t)window->mapped_bytes) == 0);
}
