/* floor_hardened_heap.c - floor_heap.c for a hardened heap: what is left of the cost where a heap
 * does what Kiln's profile `hardened` promises of each small block, and nothing else.
 *
 *   malloc  one of the free blocks at hand is drawn; it must be all zero; a canary fills its slack
 *   free    the canary must be whole; the block is zeroed and waits behind 31 others of its size
 *
 * A block's size class is that of its chunk of 64 KiB, its slack is kept in a byte for each unit of
 * the space: both are found by a shift. There is no state of a block, so that a second free is not
 * seen; no thread, no limit, no report. Blocks of a KiB and more are mappings that are used again.
 *
 * Threads  one.   Errors  NULL where the system has no memory; damage stops the program. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))

enum { UNIT = 16, CLASSES = 64, AT_HAND = 128, WAITING = 32, CHUNK_SHIFT = 16, KINDS = 64 };
#define SPACE_BYTES ((size_t)64 << 30)

typedef uint64_t unit_t __attribute__((vector_size(UNIT), may_alias));

typedef struct bin {
    char *at_hand[AT_HAND];
    size_t count;
    char *waiting[WAITING];
    size_t oldest;
    char *next, *end; /* what is left of its newest chunk */
    char **spare;     /* blocks that were too many at hand */
    size_t spares;
} bin_t;

typedef struct large {
    union {
        size_t kind; /* while it is out: the size is 2^kind */
        struct large *next;
    };
    size_t bytes;
} large_t;

static bin_t bins[CLASSES];
static large_t *large_lists[KINDS];
static char *space, *space_next;
static uint8_t *chunk_class, *unit_slack;
static uint64_t random_state = 1;
static const unit_t canary = {UINT64_C(0x8d3b5f71c9a7e613), UINT64_C(0x57e1d2c4b698fa3d)};
static const uint8_t ones[2 * UNIT] = {[UNIT] = 255, 255, 255, 255, 255, 255, 255, 255,
                                       255,          255, 255, 255, 255, 255, 255, 255};

static void *map(size_t bytes)
{
    void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return got == MAP_FAILED ? NULL : got;
}

static unit_t load(const void *from)
{
    unit_t unit;
    __builtin_memcpy(&unit, from, sizeof unit); /* a load */
    return unit;
}

static void expect_zero(unit_t unit)
{
    if (__builtin_expect((unit[0] | unit[1]) != 0, 0)) __builtin_trap();
}

static int begin(void)
{
    char *got = map(SPACE_BYTES);
    unit_slack = map(SPACE_BYTES / UNIT);
    chunk_class = map(SPACE_BYTES >> CHUNK_SHIFT);
    if (!got || !unit_slack || !chunk_class) return 0;
    space = space_next =
        got + (-(uintptr_t)got & (((uintptr_t)1 << CHUNK_SHIFT) - 1)); /* whole chunks */
    return 1;
}

static __attribute__((noinline)) int fill(size_t class_idx)
{
    bin_t *bin = &bins[class_idx];
    if (!space && !begin()) return 0;
    if (!bin->spare && !(bin->spare = map((size_t)1 << 30))) return 0;
    for (; bin->count < AT_HAND / 2; bin->count++) {
        if (bin->spares > 0) {
            bin->at_hand[bin->count] = bin->spare[--bin->spares];
            continue;
        }
        if ((size_t)(bin->end - bin->next) < class_idx * UNIT) {
            bin->next = space_next;
            bin->end = space_next += (size_t)1 << CHUNK_SHIFT;
            chunk_class[(size_t)(bin->next - space) >> CHUNK_SHIFT] = (uint8_t)class_idx;
        }
        bin->at_hand[bin->count] = bin->next;
        bin->next += class_idx * UNIT;
    }
    return 1;
}

static __attribute__((noinline)) void put_aside(bin_t *bin)
{
    size_t half = AT_HAND / 2;
    memcpy(bin->spare + bin->spares, bin->at_hand, half * sizeof *bin->at_hand);
    memmove(bin->at_hand, bin->at_hand + half, half * sizeof *bin->at_hand);
    bin->spares += half;
    bin->count -= half;
}

static __attribute__((noinline)) void *large_malloc(size_t bytes)
{
    if (bytes > PTRDIFF_MAX / 2) return NULL;
    size_t kind = (size_t)(64 - __builtin_clzll(bytes + sizeof(large_t) - 1));
    large_t *large = large_lists[kind];
    if (large)
        large_lists[kind] = large->next;
    else if (!(large = map((size_t)1 << kind)))
        return NULL;
    large->kind = kind;
    large->bytes = bytes;
    return large + 1;
}

EXPORT void *malloc(size_t bytes)
{
    if (__builtin_expect(bytes >= (CLASSES - 1) * UNIT, 0)) return large_malloc(bytes);
    size_t class_idx = bytes / UNIT + 1, slot_bytes = class_idx * UNIT; /* slack: 1 to a unit */
    bin_t *bin = &bins[class_idx];
    if (__builtin_expect(bin->count == 0, 0) && !fill(class_idx)) return NULL;
    random_state = random_state * UINT64_C(0xf1357aea2e62a9c5) + 1;
    size_t drawn = (random_state >> 32) * bin->count >> 32;
    char *block = bin->at_hand[drawn];
    bin->at_hand[drawn] = bin->at_hand[--bin->count];
    unit_t any = {0, 0};
    for (const char *at = block; at != block + slot_bytes; at += UNIT) any |= load(at);
    expect_zero(any);
    size_t slack = slot_bytes - bytes;
    *(unit_t *)(block + slot_bytes - UNIT) = canary & load(ones + slack);
    unit_slack[(size_t)(block - space) / UNIT] = (uint8_t)slack;
    return block;
}

EXPORT void free(void *freed)
{
    char *block = freed;
    if (!block) return;
    size_t offset = (size_t)(block - space);
    if (__builtin_expect(offset >= SPACE_BYTES, 0)) {
        large_t *large = (large_t *)freed - 1;
        size_t kind = large->kind;
        large->next = large_lists[kind];
        large_lists[kind] = large;
        return;
    }
    size_t class_idx = chunk_class[offset >> CHUNK_SHIFT], slot_bytes = class_idx * UNIT;
    unit_t last = load(block + slot_bytes - UNIT);
    expect_zero((last ^ canary) & load(ones + unit_slack[offset / UNIT]));
    for (char *at = block; at != block + slot_bytes; at += UNIT) {
        *(unit_t *)at = (unit_t){0, 0};
        __asm__("" : "+r"(at)); /* else it becomes a call of memset, which takes longer */
    }
    bin_t *bin = &bins[class_idx];
    char *leaves = bin->waiting[bin->oldest];
    bin->waiting[bin->oldest] = block;
    bin->oldest = (bin->oldest + 1) % WAITING;
    if (!leaves) return;
    if (__builtin_expect(bin->count == AT_HAND, 0)) put_aside(bin);
    bin->at_hand[bin->count++] = leaves;
}

EXPORT void *calloc(size_t count, size_t bytes)
{
    size_t all_bytes;
    if (__builtin_mul_overflow(count, bytes, &all_bytes)) return NULL;
    void *block = malloc(all_bytes);
    return block ? memset(block, 0, all_bytes) : NULL;
}

static size_t usable(const char *block)
{
    size_t offset = (size_t)(block - space);
    if (offset >= SPACE_BYTES) return ((const large_t *)block)[-1].bytes;
    return chunk_class[offset >> CHUNK_SHIFT] * (size_t)UNIT - unit_slack[offset / UNIT];
}

EXPORT void *realloc(void *block, size_t bytes)
{
    void *moved = malloc(bytes);
    if (!moved || !block) return moved;
    size_t had = usable(block);
    memcpy(moved, block, had < bytes ? had : bytes);
    free(block);
    return moved;
}
