#include "allocator/api/message.h"

#include "allocator/base/text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void kiln_message_put_bytes(kiln_message_t *message, const char *words, size_t bytes)
{
    size_t room = sizeof message->text - message->length_bytes;
    if (bytes > room) bytes = room;
    memcpy(message->text + message->length_bytes, words, bytes);
    message->length_bytes += bytes;
}

void kiln_message_put(kiln_message_t *message, const char *words)
{
    kiln_message_put_bytes(message, words, strlen(words));
}

void kiln_message_put_number(kiln_message_t *message, uint64_t number)
{
    char digits[KILN_TEXT_NUMBER_MAX];
    kiln_message_put_bytes(message, digits, (size_t)(kiln_text_dec(digits, number) - digits));
}

void kiln_message_put_address(kiln_message_t *message, const void *address)
{
    char digits[KILN_TEXT_NUMBER_MAX];
    char *end = kiln_text_hex(digits, (uintptr_t)address);
    kiln_message_put_bytes(message, digits, (size_t)(end - digits));
}

void kiln_message_write(const kiln_message_t *message)
{
    int errno_before = errno;
    size_t done = 0;
    while (done < message->length_bytes) {
        ssize_t wrote = write(STDERR_FILENO, message->text + done, message->length_bytes - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) break;
        done += (size_t)wrote;
    }
    errno = errno_before;
}
