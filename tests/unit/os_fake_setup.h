/* os_fake_setup.h - one fake OS for the tests of it; nothing above it. */
#ifndef KILN_TESTS_UNIT_OS_FAKE_SETUP_H
#define KILN_TESTS_UNIT_OS_FAKE_SETUP_H

#include "allocator/os/fake.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

enum { RANGES = 256 };

static const uint64_t KIB = 1 << 10, PAGE = 4 << 10;

static kiln_os_range_t ranges[RANGES];
static kiln_os_fake_t fake;
static kiln_os_fake_config_t config;
static bool reserved;

static inline void defaults(unsigned addr_bits, uint64_t phys_bytes, kiln_os_fake_place_t policy)
{
    config = kiln_os_fake_config_default(addr_bits, phys_bytes, ranges, RANGES);
    config.policy = policy;
}

static inline void start(void)
{
    EXPECT_RULE(kiln_os_fake_config_broken_rule(&config));
    kiln_os_fake_init(&fake, &config);
}

static inline kiln_addr_t reserve(kiln_addr_t hint, uint64_t bytes)
{
    return fake.os.reserve(&fake, hint, bytes, &reserved);
}

static inline kiln_os_answer_t commit(kiln_addr_t addr, uint64_t bytes)
{
    return fake.os.commit(&fake, addr, bytes, true, KILN_OS_HEAP);
}

static inline void occupy(kiln_addr_t addr, uint64_t bytes)
{
    EXPECT(kiln_os_fake_place(&fake, addr, bytes, KILN_OS_FOREIGN));
}

#endif
