/* heap_world.h - a heap and the OS below it, for tests.
 *
 *   WORLD_LINUX   Linux, its callers judged by the check backend
 *   WORLD_FAKE    the fake OS with bytes; one reservation on 64 bits
 *   WORLD_BLOCKS  the same, growing by blocks that the fake places above or below
 *
 * Between heap and OS stands a fault injector. One world at a time is open; all of it is static. */
#ifndef KILN_TESTS_UNIT_HEAP_WORLD_H
#define KILN_TESTS_UNIT_HEAP_WORLD_H

#include "allocator/heap/heap.h"
#include "allocator/os/check.h"
#include "allocator/os/fake.h"
#include "allocator/os/fake_window_linux.h"
#include "allocator/os/fault.h"
#include "allocator/os/linux.h"
#include "tests/kiln_test.h"

#include <stdlib.h>
#include <string.h>

typedef enum world_kind { WORLD_LINUX, WORLD_FAKE, WORLD_BLOCKS, WORLDS } world_kind_t;

enum { WORLD_RANGES_MAX = 4096 };
#define WORLD_WINDOW_BYTES KILN_MIB(256)
#define WORLD_IDLE_BYTES KILN_MIB(1)

typedef struct world_config {
    world_kind_t kind;
    kiln_follow_t follow;
    uint64_t phys_bytes; /* of the fake; Linux has its own */
    uint64_t huge_bytes; /* of the fake */
    uint64_t fail_call;  /* 0: none */
    bool fail_ever_after;
    const char *single_threaded;
    const kiln_watcher_t *watcher;
    uint32_t note_bytes; /* of a heap that is to be hardened */
    bool bare;           /* Linux without the check backend, which reads what becomes Ready */
    bool no_guard_pages; /* an OS that cannot guard pages, as kernels before Linux 6.13 */
} world_config_t;

static struct {
    kiln_os_t linux_os;
    kiln_os_check_t check;
    kiln_os_window_t window;
    kiln_os_fake_t fake;
    kiln_os_fault_t fault;
    kiln_os_range_t ranges[WORLD_RANGES_MAX];
    kiln_heap_t heap;
    bool window_open;
    world_kind_t kind;
} world;

static inline const char *world_kind_name(world_kind_t kind)
{
    static const char *const names[] = {"linux", "fake", "blocks"};
    return names[kind];
}

static inline const kiln_os_t *world_open_fake(const world_config_t *config)
{
    if (!world.window_open) {
        EXPECT(kiln_os_window_open(&world.window, 0, WORLD_WINDOW_BYTES, KILN_MIB(1), false));
        world.window_open = true;
    }
    kiln_os_fake_config_t fake = kiln_os_fake_config_default(sizeof(void *) * 8, config->phys_bytes,
                                                             world.ranges, WORLD_RANGES_MAX);
    kiln_os_fake_config_use_memory(&fake, &world.window.memory);
    fake.huge_bytes = config->huge_bytes;
    if (config->kind == WORLD_BLOCKS) {
        fake.policy = KILN_PLACE_RANDOM;
        fake.seed = 1;
        fake.reserve_bytes_max = KILN_MIB(24);
    }
    EXPECT_RULE(kiln_os_fake_config_broken_rule(&fake));
    kiln_os_fake_init(&world.fake, &fake);
    return &world.fake.os;
}

/* world_try gives NULL, or why there is no heap. */
static inline const char *world_try(world_config_t config)
{
    if (config.phys_bytes == 0) config.phys_bytes = 4096;
    world.kind = config.kind;
    const kiln_os_t *os;
    if (config.kind == WORLD_LINUX) {
        kiln_os_linux_init(&world.linux_os, 4096);
        kiln_os_check_init(&world.check, &world.linux_os, world.ranges, WORLD_RANGES_MAX, true);
        os = config.bare ? &world.linux_os : &world.check.os;
    } else {
        os = world_open_fake(&config);
    }
    kiln_os_fault_init(&world.fault, os, config.fail_call, config.fail_ever_after);
    if (config.no_guard_pages) world.fault.os.guard = NULL;
    kiln_heap_config_t heap = {
        .os = &world.fault.os,
        .arena_os = &world.fault.os,
        .watcher = config.watcher,
        .arena = kiln_arena_config_default(sizeof(void *) * 8, os->phys_bytes),
        .image_end = 0x20000000,
        .idle_bytes_max = WORLD_IDLE_BYTES,
        .single_threaded = config.single_threaded,
        .note_bytes = config.note_bytes,
    };
    heap.arena.follow = config.follow;
    heap.arena.tables = 1u << KILN_ARENA_SPANS;
    if (config.kind != WORLD_LINUX) {
        if (sizeof(void *) == 8) heap.arena.addr_max = KILN_MIB(128) - 1;
        heap.arena.block_bytes = KILN_MIB(4);
        heap.image_end = world.window.memory.first;
    }
    memset(&world.heap, 0, sizeof world.heap);
    return kiln_heap_init(&world.heap, &heap);
}

static inline kiln_heap_t *world_open(world_config_t config)
{
    EXPECT_RULE(world_try(config));
    return &world.heap;
}

static inline uint64_t world_held_bytes(void)
{
    uint64_t bytes = 0;
    unsigned idx = 0;
    for (;;) {
        const kiln_os_range_t *range = world.kind == WORLD_LINUX
                                           ? kiln_os_check_next(&world.check, &idx)
                                           : kiln_os_fake_next(&world.fake, &idx);
        if (!range) return bytes;
        bytes += range->last - range->first + 1;
    }
}

static inline void world_close(void)
{
    EXPECT_RULE(kiln_heap_broken_rule(&world.heap));
    kiln_heap_destroy(&world.heap);
    EXPECT_EQ(world_held_bytes(), 0);
}

#endif
