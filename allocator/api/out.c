#include "allocator/api/out.h"

#include "allocator/base/text.h"
#include "allocator/os/linux_syscall.h"

#include <linux/errno.h>

#include <stdbool.h>
#include <string.h>

enum { ADDRESS_DIGITS_MIN = 12 };

void kiln_out_flush(kiln_out_t *out)
{
    const char *at = out->text;
    size_t left = out->length;
    if (out->fd < 0) return;
    out->length = 0;
    while (left > 0) {
        long wrote = kiln_linux_call(__NR_write, (uintptr_t)out->fd, (uintptr_t)at, left, 0, 0);
        if (wrote == -EINTR) continue;
        if (wrote <= 0) return;
        at += wrote;
        left -= (size_t)wrote;
    }
}

void kiln_out_bytes(kiln_out_t *out, const char *bytes, size_t count)
{
    while (count > 0) {
        if (out->length == out->room) kiln_out_flush(out);
        size_t room = out->room - out->length, part = count < room ? count : room;
        if (part == 0) return; /* no descriptor: what fits is kept */
        memcpy(out->text + out->length, bytes, part);
        out->length += part;
        bytes += part;
        count -= part;
    }
}

void kiln_out_put(kiln_out_t *out, const char *words)
{
    kiln_out_bytes(out, words, strlen(words));
}

void kiln_out_number(kiln_out_t *out, uint64_t number)
{
    char digits[KILN_TEXT_NUMBER_MAX];
    kiln_out_bytes(out, digits, (size_t)(kiln_text_dec(digits, number) - digits));
}

void kiln_out_hex(kiln_out_t *out, uint64_t number)
{
    char digits[KILN_TEXT_NUMBER_MAX];
    kiln_out_bytes(out, digits, (size_t)(kiln_text_hex(digits, number) - digits));
}

void kiln_out_address(kiln_out_t *out, uintptr_t address)
{
    char digits[KILN_TEXT_NUMBER_MAX];
    size_t count = (size_t)(kiln_text_hex(digits, address) - digits) - 2;
    kiln_out_put(out, "0x");
    for (size_t i = count; i < (sizeof address > 4 ? ADDRESS_DIGITS_MIN : 8); i++)
        kiln_out_put(out, "0");
    kiln_out_bytes(out, digits + 2, count);
}

void kiln_out_plain(kiln_out_t *out, const char *words)
{
    for (; *words != '\0'; words++) {
        bool is_control = (unsigned char)*words < ' ' || *words == 0x7f;
        kiln_out_bytes(out, is_control ? "?" : words, 1);
    }
}

/* Bytes of the UTF-8 character at `at`, or 0: it is none (also overlong ones, and halves of
 * surrogate pairs). */
static size_t utf8_bytes(const unsigned char *at)
{
    if (at[0] < 0x80) return 1;
    size_t bytes = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4) return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((at[i] & 0xc0) != 0x80) return 0; /* the end mark, too */
    if (at[0] == 0xe0 && at[1] < 0xa0) return 0;
    if (at[0] == 0xed && at[1] > 0x9f) return 0;
    if (at[0] == 0xf0 && at[1] < 0x90) return 0;
    if (at[0] == 0xf4 && at[1] > 0x8f) return 0;
    return bytes;
}

void kiln_out_json(kiln_out_t *out, const char *words)
{
    const unsigned char *at = (const unsigned char *)words;
    kiln_out_put(out, "\"");
    while (*at != '\0') {
        size_t bytes = utf8_bytes(at);
        if (bytes == 0) {
            kiln_out_put(out, "\\ufffd");
            at++;
            continue;
        }
        if (*at < 0x20) {
            char escape[] = "\\u0000";
            escape[4] = (char)('0' + (*at >> 4));
            escape[5] = "0123456789abcdef"[*at & 15];
            kiln_out_put(out, escape);
        } else {
            if (*at == '"' || *at == '\\') kiln_out_put(out, "\\");
            kiln_out_bytes(out, (const char *)at, bytes);
        }
        at += bytes;
    }
    kiln_out_put(out, "\"");
}
