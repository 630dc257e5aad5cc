/* What each kind of report is called, and what to do about it. */
#include "allocator/api/report.h"

static const kiln_report_words_t kinds[KILN_REPORT_KINDS] = {
    [KILN_REPORT_DOUBLE_FREE] = {"double-free", "double-free", KILN_REPORT_AT_CALL,
                                 " was given a block that had been freed before: free a block "
                                 "once, and do not use it afterwards."},
    [KILN_REPORT_INTERIOR_FREE] = {"interior-free", "bad-free", KILN_REPORT_BAD_FREE,
                                   " was given an address inside a block: pass the address that "
                                   "the allocation returned."},
    [KILN_REPORT_FOREIGN_FREE] = {"foreign-free", "bad-free", KILN_REPORT_BAD_FREE,
                                  " was given an address that malloc never returned: look for "
                                  "memory of the stack, a global, or another allocator."},
    [KILN_REPORT_SIZE_MISMATCH] = {"size-mismatch", "new-delete-type-mismatch", KILN_REPORT_AT_CALL,
                                   " was told a size that does not fit the block: pass the size "
                                   "that was asked for."},
    [KILN_REPORT_ALIGNMENT_MISMATCH] = {"alignment-mismatch", "new-delete-type-mismatch",
                                        KILN_REPORT_AT_CALL,
                                        " was told an alignment that does not fit the block: pass "
                                        "the alignment that was asked for."},
    [KILN_REPORT_FUNCTION_MISMATCH] = {"alloc-dealloc-mismatch", "alloc-dealloc-mismatch",
                                       KILN_REPORT_AT_CALL,
                                       " was given a block of another family: pair malloc with "
                                       "free, new with delete, new[] with delete[]."},
    [KILN_REPORT_OVERFLOW] = {"heap-buffer-overflow", "heap-buffer-overflow", KILN_REPORT_ACCESS,
                              " went past the end of a block: ask for more, or stop earlier."},
    [KILN_REPORT_UNDERFLOW] = {"heap-buffer-underflow", "heap-buffer-overflow", KILN_REPORT_ACCESS,
                               " went before the start of a block: look at the index."},
    [KILN_REPORT_USE_AFTER_FREE] = {"heap-use-after-free", "heap-use-after-free",
                                    KILN_REPORT_ACCESS,
                                    " used a block after it was freed: free it later, or forget "
                                    "the pointer."},
    [KILN_REPORT_USE_AFTER_RESTORE] = {"use-after-restore", "heap-use-after-free",
                                       KILN_REPORT_ACCESS,
                                       " used a block that the restored checkpoint did not have: "
                                       "keep no pointer across a restore."},
    [KILN_REPORT_WILD_ACCESS] = {"wild-access", "SEGV", KILN_REPORT_FAULT,
                                 " used an address of the heap where no block is: look for an "
                                 "index or a pointer that is far off, or stale."},
    [KILN_REPORT_LEAK] = {"memory-leak", "detected memory leaks", KILN_REPORT_LOST,
                          " lost blocks: free each before the last pointer to it goes."},
    [KILN_REPORT_TOO_BIG] = {"allocation-size-too-big", "allocation-size-too-big",
                             KILN_REPORT_REQUEST,
                             " was asked for more than any object can have (PTRDIFF_MAX bytes): "
                             "look for a negative or wrapped size."},
    [KILN_REPORT_CALLOC_OVERFLOW] = {"calloc-overflow", "calloc-overflow", KILN_REPORT_REQUEST,
                                     " was asked for a product that is more than a size holds: "
                                     "check both factors."},
    [KILN_REPORT_BAD_ALIGNMENT] = {"invalid-allocation-alignment", "invalid-allocation-alignment",
                                   KILN_REPORT_REQUEST,
                                   " was told an alignment that is no power of two: pass one that "
                                   "is."},
    [KILN_REPORT_NO_MEMORY] = {"out-of-memory", "out of memory", KILN_REPORT_REQUEST,
                               " found no memory: ask for less, or raise the limit."},
    [KILN_REPORT_CORRUPTION] = {"heap-corruption", "unknown-crash", KILN_REPORT_ACCESS,
                                " changed one of the heap's own records: look for a wild write."},
};

const kiln_report_words_t *kiln_report_words(kiln_report_kind_t kind)
{
    return &kinds[(unsigned)kind < KILN_REPORT_KINDS ? kind : KILN_REPORT_CORRUPTION];
}
