/* guard_world.h - a guard on each OS and mechanism, for tests.
 *
 *   linux, fake            guard pages; on a Linux before 6.13, mappings
 *   linux-old, fake-old    no guard pages: every block is a mapping of its own
 *
 * The fake is enforced: what is not Ready faults. Both are judged by the check backend, and a fault
 * injector stands on top. One world at a time is open; all of it is static. */
#ifndef KILN_TESTS_UNIT_GUARD_WORLD_H
#define KILN_TESTS_UNIT_GUARD_WORLD_H

#include "allocator/harden/guard.h"
#include "allocator/os/check.h"
#include "allocator/os/fake.h"
#include "allocator/os/fake_window_linux.h"
#include "allocator/os/fault.h"
#include "allocator/os/linux.h"
#include "allocator/os/linux_syscall.h"
#include "tests/kiln_test.h"

#include <string.h>
#include <unistd.h>

typedef enum guard_world_kind {
    GUARD_LINUX,
    GUARD_LINUX_OLD,
    GUARD_FAKE,
    GUARD_FAKE_OLD,
    GUARD_WORLDS
} guard_world_kind_t;

enum { GUARD_RANGES_MAX = 32768, GUARD_PAGE = 4096 };
#define GUARD_CHUNK_BYTES (KILN_GUARD_CHUNK_PAGES * (uint64_t)GUARD_PAGE)
#define GUARD_REGION_BYTES (16 * GUARD_CHUNK_BYTES)
#define GUARD_WINDOW_BYTES (GUARD_REGION_BYTES + 4 * GUARD_CHUNK_BYTES)

static struct {
    kiln_os_t linux_os;
    kiln_os_check_t check;
    kiln_os_window_t window;
    kiln_os_fake_t fake;
    kiln_os_fault_t fault;
    kiln_os_range_t check_ranges[GUARD_RANGES_MAX], fake_ranges[GUARD_RANGES_MAX];
    kiln_guard_t guard;
    bool window_open, is_fake;
} world;

static kiln_guard_t *const guard = &world.guard;

static inline kiln_guard_config_t guard_small_config(kiln_guard_policy_t policy)
{
    kiln_os_t os;
    kiln_os_linux_init(&os, GUARD_PAGE);
    kiln_guard_config_t config = kiln_guard_config_default(&os);
    config.policy = policy;
    config.seed = 7;
    config.space.region_bytes = GUARD_REGION_BYTES;
    config.space.freed_chunks_max = 4;
    config.space.gap_pages = 2;
    config.block_bytes_max = 4 << 20;
    return config;
}

static inline const kiln_os_t *guard_world_os(guard_world_kind_t kind)
{
    world.is_fake = kind == GUARD_FAKE || kind == GUARD_FAKE_OLD;
    if (!world.is_fake) {
        kiln_os_linux_init(&world.linux_os, GUARD_PAGE);
        if (kind == GUARD_LINUX_OLD) world.linux_os.guard = NULL;
        return &world.linux_os;
    }
    if (!world.window_open) {
        EXPECT(kiln_os_window_open(&world.window, 0, GUARD_WINDOW_BYTES, GUARD_PAGE, true));
        world.window_open = true;
    }
    kiln_os_fake_config_t fake = kiln_os_fake_config_default(sizeof(void *) * 8, GUARD_PAGE,
                                                             world.fake_ranges, GUARD_RANGES_MAX);
    kiln_os_fake_config_use_memory(&fake, &world.window.memory);
    fake.policy = KILN_PLACE_LOWEST;
    fake.no_guard = kind == GUARD_FAKE_OLD;
    kiln_os_fake_init(&world.fake, &fake);
    return &world.fake.os;
}

static inline void guard_world_open(guard_world_kind_t kind, const kiln_guard_config_t *config,
                                    uint64_t fail_call, bool ever_after)
{
    const kiln_os_t *os = guard_world_os(kind);
    /* Reading all that becomes Ready would take a mapping's worth of memory a chunk on Linux. */
    kiln_os_check_init(&world.check, os, world.check_ranges, GUARD_RANGES_MAX, false);
    kiln_os_fault_init(&world.fault, &world.check.os, fail_call, ever_after);
    EXPECT_RULE(kiln_guard_init(guard, &world.fault.os, config));
}

static inline void guard_world_close(void)
{
    unsigned idx = 0;
    EXPECT_RULE(kiln_guard_broken_rule(guard));
    kiln_guard_destroy(guard);
    EXPECT(kiln_os_check_next(&world.check, &idx) == NULL);
    if (world.is_fake) EXPECT_RULE(kiln_os_fake_broken_rule(&world.fake));
}

/* Can this byte be read or written? Asked of the kernel, which answers in place of a fault. */
static inline bool guard_can_touch(const void *at)
{
    static int ends[2] = {-1, -1};
    char byte = 0;
    if (ends[0] < 0) EXPECT(pipe(ends) == 0);
    if (kiln_linux_call(__NR_write, (uintptr_t)ends[1], (uintptr_t)at, 1, 0, 0) != 1) return false;
    if (kiln_linux_call(__NR_read, (uintptr_t)ends[0], (uintptr_t)at, 1, 0, 0) == 1) return true;
    EXPECT(read(ends[0], &byte, 1) == 1); /* readable, but not writable */
    EXPECT(false);
    return false;
}

static inline kiln_misuse_t guard_free(void *block)
{
    kiln_guard_damage_t damage;
    kiln_misuse_t misuse = kiln_guard_free(guard, block, 2, 20, &damage);
    EXPECT(!damage.damaged);
    return misuse;
}

#endif
