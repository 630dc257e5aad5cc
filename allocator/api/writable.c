#include "allocator/api/writable.h"

#include "allocator/base/text.h"
#include "allocator/os/linux_syscall.h"

#include <linux/fcntl.h>
#include <stdint.h>

/* One look through the list of mappings: "START-END rwxp ...", a line each, ascending. */
typedef struct look {
    uintptr_t until; /* writable so far, from the first byte on */
    uintptr_t numbers[2];
    unsigned place; /* in the line: 0 and 1 in a number, then its letters; beyond: the rest of it */
    char letters[4];
} look_t;

enum { FIRST_LETTER = 2, LAST_LETTER = 5 };

static void end_line(look_t *look)
{
    bool is_ours = look->letters[1] == 'w' && look->letters[3] == 'p';
    if (is_ours && look->numbers[0] <= look->until && look->until < look->numbers[1])
        look->until = look->numbers[1];
    *look = (look_t){.until = look->until};
}

static void take(look_t *look, char byte)
{
    if (byte == '\n')
        end_line(look);
    else if (look->place < FIRST_LETTER && kiln_text_digit(byte) < 16)
        look->numbers[look->place] = look->numbers[look->place] * 16 + kiln_text_digit(byte);
    else if (look->place < FIRST_LETTER)
        look->place++;
    else if (look->place <= LAST_LETTER)
        look->letters[look->place++ - FIRST_LETTER] = byte;
}

bool kiln_writable(const void *start, size_t bytes)
{
    char text[4096] = {0};
    look_t look = {.until = (uintptr_t)start};
    long got, fd = kiln_linux_call(__NR_openat, (uintptr_t)AT_FDCWD, (uintptr_t)"/proc/self/maps",
                                   O_RDONLY | O_CLOEXEC, 0, 0);
    if (fd < 0) return false;
    while ((got = kiln_linux_call(__NR_read, (uintptr_t)fd, (uintptr_t)text, sizeof text, 0, 0)) >
           0) {
        kiln_linux_wrote((uintptr_t)text, (uintptr_t)got);
        for (long i = 0; i < got; i++) take(&look, text[i]);
    }
    (void)kiln_linux_call(__NR_close, (uintptr_t)fd, 0, 0, 0, 0);
    return look.until - (uintptr_t)start >= bytes;
}
