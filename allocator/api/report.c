#include "allocator/api/report.h"

#include "allocator/api/message.h"
#include "allocator/api/process.h"
#include "allocator/base/check.h"

#include <unistd.h>

static const struct {
    const char *kind;
    const char *cause; /* after the name of the call */
} misuses[] = {
    [KILN_MISUSE_NONE] = {"no-misuse", " was right"},
    [KILN_MISUSE_DOUBLE_FREE] = {"double-free", " was given a block that had been freed before: "
                                                "free a block once, and do not use it afterwards."},
    [KILN_MISUSE_INTERIOR] = {"interior-free", " was given an address inside a block: "
                                               "pass the address that the allocation returned."},
    [KILN_MISUSE_FOREIGN] = {"foreign-free",
                             " was given an address that malloc never returned: look for memory "
                             "of the stack, a global, or another allocator."},
    [KILN_MISUSE_SIZE] = {"size-mismatch", " was told a size that does not fit the block: "
                                           "pass the size that was asked for."},
    [KILN_MISUSE_ALIGNMENT] = {"alignment-mismatch",
                               " was told an alignment that does not fit the block: "
                               "pass the alignment that was asked for."},
};

static void put_start(kiln_message_t *message, const char *kind)
{
    message->length_bytes = 0;
    kiln_message_put(message, "==");
    kiln_message_put_number(message, (uint64_t)getpid());
    kiln_message_put(message, "==ERROR: Kiln: ");
    kiln_message_put(message, kind);
}

_Noreturn static void end(kiln_message_t *message, const char *kind)
{
    kiln_message_put(message, "\nSUMMARY: Kiln: ");
    kiln_message_put(message, kind);
    kiln_message_put(message, "\n");
    kiln_stop(message->text, message->length_bytes);
}

static void put_bytes_count(kiln_message_t *message, uint64_t bytes)
{
    kiln_message_put_number(message, bytes);
    kiln_message_put(message, bytes == 1 ? " byte" : " bytes");
}

/* What is known about the address, in brackets. */
static void put_about(kiln_message_t *message, kiln_misuse_t misuse, const void *block,
                      size_t align, size_t bytes)
{
    kiln_heap_about_t about = kiln_heap_about(&kiln_process_heap, block);
    if (misuse == KILN_MISUSE_FOREIGN) {
        kiln_message_put(message, " (not a block of this heap)");
        return;
    }
    if (!about.heap) { /* what was there is forgotten */
        kiln_message_put(message, " (in pages that no block uses now)");
        return;
    }
    kiln_message_put(message, " (");
    if ((uintptr_t)block > about.block) {
        put_bytes_count(message, (uintptr_t)block - about.block);
        kiln_message_put(message, " inside ");
    }
    kiln_message_put(message, "a block of ");
    put_bytes_count(message, about.slot_bytes);
    if (misuse == KILN_MISUSE_SIZE || misuse == KILN_MISUSE_ALIGNMENT) {
        kiln_message_put(message, ", freed as one of ");
        kiln_message_put_number(message, bytes);
    }
    if (misuse == KILN_MISUSE_ALIGNMENT || (misuse == KILN_MISUSE_SIZE && align != 0)) {
        kiln_message_put(message, " aligned to ");
        kiln_message_put_number(message, align);
    }
    kiln_message_put(message, ")");
}

_Noreturn void kiln_report_misuse(kiln_misuse_t misuse, const char *call, const void *block,
                                  size_t align, size_t bytes)
{
    kiln_message_t message;
    put_start(&message, misuses[misuse].kind);
    kiln_message_put(&message, " on ");
    kiln_message_put_address(&message, block);
    put_about(&message, misuse, block, align, bytes);
    kiln_message_put(&message, "\n    ");
    kiln_message_put(&message, call);
    kiln_message_put(&message, misuses[misuse].cause);
    end(&message, misuses[misuse].kind);
}

_Noreturn void kiln_report_no_memory(size_t bytes)
{
    static const char kind[] = "out-of-memory";
    kiln_message_t message;
    put_start(&message, kind);
    kiln_message_put(&message, " in operator new (");
    put_bytes_count(&message, bytes);
    kiln_message_put(&message, " wanted)\n    std::bad_alloc could not be thrown: the program has "
                               "no C++ library that Kiln can find.");
    end(&message, kind);
}
