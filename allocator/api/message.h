/* message.h - a text of bounded length, put together without allocating.
 *
 * What Kiln itself has to say is said from inside malloc and free, where neither printf nor the
 * heap can be used. A text that is too long loses its end, never its memory.
 *
 * Units  bytes.   Threads  a message belongs to one.   Memory  the caller's; none is allocated. */
#ifndef KILN_ALLOCATOR_API_MESSAGE_H
#define KILN_ALLOCATOR_API_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

enum { KILN_MESSAGE_BYTES_MAX = 2048 };

typedef struct kiln_message {
    size_t length_bytes; /* start with 0 */
    char text[KILN_MESSAGE_BYTES_MAX];
} kiln_message_t;

void kiln_message_put(kiln_message_t *message, const char *words);
void kiln_message_put_bytes(kiln_message_t *message, const char *words, size_t bytes);
void kiln_message_put_number(kiln_message_t *message, uint64_t number);      /* 4096 */
void kiln_message_put_address(kiln_message_t *message, const void *address); /* 0xc000001000 */

/* kiln_message_write puts the text on standard error, in one piece where the kernel takes it so;
 * what cannot be written is lost. errno is as before. */
void kiln_message_write(const kiln_message_t *message);

#endif
