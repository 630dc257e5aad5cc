/* HWAddressSanitizer watches (watch.h). A block's memory and the address by which the program has
 * it carry a tag (given.h): another one for each owner of a place, and others than the neighbours'.
 * What is no live block has a tag that no address can have. The last granule of a block that does
 * not fill it is a short one, as HWASan has them: its tag is how many bytes it has, which is not to
 * be the pointer's, and its last byte is the tag.
 *
 * On AArch64 processors ignore the top byte of an address. On x86-64, where HWASan has its
 * aliasing mode, its tags are three bits in the middle, and memory is mapped once for each of
 * their values; so this gives the heap a backend whose memory is. It lies where HWASan looks: in
 * the 16 TiB of its shadow's start, behind its own heap.
 *
 * Limits   The heap's records are not watched. With aliases, memory is shared with the child of a
 *          fork, as that of HWASan's own heap is.
 *
 * Compiled without HWASan, as the heap is. */
#define _GNU_SOURCE
#include "allocator/base/tag.h"
#include "sanitizer/alias_os.h"
#include "sanitizer/blocks.h"
#include "sanitizer/explain.h"
#include "sanitizer/roots_lsan.h"
#include "sanitizer/watch.h"

#include <sanitizer/hwasan_interface.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GRANULE_BYTES = 16, /* of memory that has one tag */
    GRANULE_SHIFT = 4,
    NOBODYS = 0x80, /* with the last owner's tag: what was a block's and is no live one's: no
                       address has that */
    QUARANTINE_BYTES = 32 << 20,
};

/* Where a tag is, as the heap is compiled for. On AArch64 of the top byte all but the first bit,
 * which is NOBODYS. */
static const kiln_tags_t tags = {KILN_TAG_SHIFT, KILN_TAG_BITS};

/* Of LLVM's runtime: memory_tag knows by it where the tags are. */
extern uintptr_t __hwasan_shadow_memory_dynamic_address;

static unsigned char *memory_tag(kiln_addr_t block)
{
    return (unsigned char *)(uintptr_t)(__hwasan_shadow_memory_dynamic_address +
                                        (block >> GRANULE_SHIFT));
}

static void tag_memory(kiln_addr_t block, unsigned tag, uint64_t bytes)
{
    __hwasan_tag_memory((void *)(uintptr_t)block, (unsigned char)tag, (size_t)bytes);
}

static unsigned char *last_byte(kiln_addr_t granule)
{
    return (unsigned char *)(uintptr_t)(granule + GRANULE_BYTES - 1);
}

/* The tag of the owner of a granule, live or not; 0: none ever had it. */
static unsigned owner_at(kiln_addr_t granule)
{
    unsigned char tag = *memory_tag(granule);
    if (tag & NOBODYS) return tag & ~(unsigned)NOBODYS;
    return tag;
}

static void told_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    kiln_lsan_add(addr, bytes); /* no block has the tag that it has, which is 0 */
}

/* A block whose first granule is a short one has its tag there; it is known by its length. Where
 * that is not known (blocks.h), it gets none. */
static bool is_short(kiln_addr_t block)
{
    uint64_t bytes = kiln_blocks_bytes(block);
    return bytes != 0 && bytes < GRANULE_BYTES;
}

static unsigned tag_of(kiln_addr_t block)
{
    return is_short(block) ? *last_byte(block) : *memory_tag(block);
}

static void told_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    kiln_blocks_alloc(block, bytes, slot_bytes);
    const unsigned others[] = {
        owner_at(block - GRANULE_BYTES),
        owner_at(block + slot_bytes),
        (unsigned)(bytes % GRANULE_BYTES),
    };
    unsigned tag = kiln_tag_next(tags, owner_at(block), others, sizeof others / sizeof *others);
    uint64_t whole = kiln_round_down(bytes, GRANULE_BYTES);
    if (whole == 0 && !is_short(block)) whole = bytes = GRANULE_BYTES;
    tag_memory(block, tag, whole);
    if (whole == bytes) return;
    *last_byte(block + whole) = (unsigned char)tag;
    tag_memory(block + whole, (unsigned)(bytes - whole), GRANULE_BYTES);
}

static kiln_addr_t told_given(void *ctx, kiln_addr_t block)
{
    (void)ctx;
    return kiln_tag_put(tags, block, tag_of(block));
}

/* Its last owner's tag stays known, and the next one's is another. */
static void told_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    tag_memory(block, NOBODYS | tag_of(block), slot_bytes);
    kiln_blocks_free(block);
}

static void told_retire(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    kiln_lsan_drop(addr, bytes);
    kiln_blocks_drop(addr, bytes);
    tag_memory(addr, 0, bytes);
}

/* The runtime says which address it is in its text alone. */
static void explain_report(const char *report)
{
    static const char before[] = "on address ";
    const char *at = strstr(report, before);
    if (!at) return;
    kiln_addr_t addr = strtoull(at + sizeof before - 1, NULL, 0);
    (void)kiln_watch_explain(STDERR_FILENO, (void *)(uintptr_t)kiln_tag_strip(tags, addr));
}

static void told_own(void *ctx, kiln_addr_t heap, uint64_t bytes, bool on)
{
    static atomic_flag explains = ATOMIC_FLAG_INIT;
    (void)ctx;
    (void)heap;
    (void)bytes;
    (void)on;
    if (!atomic_flag_test_and_set(&explains)) __hwasan_set_error_report_callback(explain_report);
}

static const kiln_watcher_t watcher = {
    .grow = told_grow,
    .alloc = told_alloc,
    .free = told_free,
    .given = told_given,
    .retire = told_retire,
    .own = told_own,
    .quarantine_bytes = QUARANTINE_BYTES,
};

const kiln_watcher_t *kiln_watch(void)
{
    return &watcher;
}

#ifdef __x86_64__

/* HWASan looks at the 16 TiB in which its shadow begins. From their half on, its own heap takes an
 * eighth by all tags, and leaves the rest free. */
#define OWN_HEAP_AT UINT64_C(0x80000000000)
#define ALIASES_BYTES (UINT64_C(1) << (KILN_TAG_SHIFT + KILN_TAG_BITS))

const kiln_os_t *kiln_watch_os(const kiln_os_t *os)
{
    kiln_addr_t start = __hwasan_shadow_memory_dynamic_address + OWN_HEAP_AT + ALIASES_BYTES;
    return kiln_alias_os(os, tags, start, UINT64_C(1) << KILN_TAG_SHIFT);
}

#else

const kiln_os_t *kiln_watch_os(const kiln_os_t *os)
{
    return os;
}

#endif

bool kiln_watch_explain(int fd, const void *address)
{
    return kiln_explain_block(fd, address);
}
