#include "allocator/api/start.h"

enum {
    POSSIBLE_BITS_MAX = 39, /* as the seed: 512 GiB of heap */
    PROBE_BITS_MAX_64 = 40, /* more than the one reservation, tables and all */
    PROBE_BITS_MAX_32 = 31,
    PROBE_BITS_MIN = 20,
    PLACES = 128, /* as many as kiln_arena_start tries for one reservation */
};

/* Where blocks go when there is not one reservation: kiln_arena_start hints at image_end + 256 KiB,
 * rounded up to 1 MiB. 64 bits: the seed's places, as with one reservation. 32 bits: half a GiB,
 * above a program at its traditional place and its break, below position-independent programs
 * (0x56000000) and far below the stack, where the kernel puts libraries. Only hints. */
#define HINT_GAP_BYTES KILN_KIB(256)
#define PLACE_64(i) ((uint64_t)(i) << 40 | UINT64_C(0x00c0) << 32)
#define IMAGE_END_32 (UINT64_C(0x20000000) - HINT_GAP_BYTES)

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least) return least;
    return value < most ? value : most;
}

static uint64_t largest_grant(const kiln_os_t *os, unsigned bits_max)
{
    for (unsigned bits = bits_max; bits > PROBE_BITS_MIN; bits--) {
        uint64_t bytes = UINT64_C(1) << bits;
        bool reserved = false;
        kiln_addr_t addr = os->reserve(os->ctx, 0, bytes, &reserved);
        if (addr == 0) continue;
        if (reserved) os->release(os->ctx, addr, bytes);
        return bytes;
    }
    return UINT64_C(1) << PROBE_BITS_MIN;
}

/* At 64 bits no block is taken below the first one, and a kernel that is free to choose goes down:
 * so the first one goes where a TiB lies above it. Another heap, or a sanitizer, may have some. */
static kiln_addr_t image_end_64(const kiln_os_t *os)
{
    for (unsigned i = 0; i < PLACES; i++) {
        bool reserved = false;
        kiln_addr_t addr = os->reserve(os->ctx, PLACE_64(i), os->phys_bytes, &reserved);
        if (addr != 0 && reserved) os->release(os->ctx, addr, os->phys_bytes);
        if (addr == 0) break; /* not even a page */
        if (addr == PLACE_64(i)) return addr - HINT_GAP_BYTES;
    }
    return PLACE_64(0) - HINT_GAP_BYTES;
}

kiln_heap_config_t kiln_start_config(const kiln_os_t *os)
{
    bool wide = os->addr_bits > 32;
    uint64_t grant = largest_grant(os, wide ? PROBE_BITS_MAX_64 : PROBE_BITS_MAX_32); /* P */
    kiln_heap_config_t config = {
        .os = os,
        .arena_os = os,
        .arena = kiln_arena_config_default(wide ? 64 : 32, os->phys_bytes),
        .image_end = wide ? PLACE_64(0) - HINT_GAP_BYTES : IMAGE_END_32,
        .idle_bytes_max = clamp(grant / 16, KILN_MIB(1), KILN_MIB(256)),
    };
    config.arena.follow = KILN_FOLLOW_KILN;
    config.arena.tables = 1u << KILN_ARENA_SPANS;
    if (wide && grant > UINT64_C(1) << POSSIBLE_BITS_MAX) return config;
    if (wide) config.image_end = image_end_64(os);
    if (wide) config.arena.addr_max = clamp(grant * 32, 0, UINT64_C(1) << POSSIBLE_BITS_MAX) - 1;
    config.arena.block_bytes = clamp(grant / 16, KILN_MIB(1), KILN_MIB(256));
    return config;
}
