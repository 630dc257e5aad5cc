#define _GNU_SOURCE
#include "fuzz/os_world.h"

#include "allocator/base/check.h"
#include "allocator/os/linux.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WINDOW_BYTES = 64 << 20, SANDBOX_BYTES = 1 << 20, FOREIGN_BYTE = 0x77 };

/* --- the spy --------------------------------------------------------------------------------- */

/* grant_of tells the lie of reserve and direct, if it is one of theirs. What was really granted is
 * kept as the orphan. */
static kiln_addr_t grant_of(kiln_os_world_t *world, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_lie_t lie = world->lie;
    if (lie == KILN_OS_LIE_EMPTY ? bytes != 0 : addr == 0) return addr;
    uint64_t phys = world->bottom.phys_bytes;
    kiln_addr_t said = addr;
    if (lie == KILN_OS_LIE_OURS) said = world->lie_addr;
    if (lie == KILN_OS_LIE_ALIGN) said = addr + phys / 2;
    if (lie == KILN_OS_LIE_SPACE)
        said = kiln_round_down(kiln_width_mask(world->bottom.addr_bits), phys);
    if (lie == KILN_OS_LIE_SPACE && bytes <= phys) said = addr; /* that much lies in it */
    if (lie == KILN_OS_LIE_EMPTY) said = phys;
    if (said == addr) return addr;
    world->lie = KILN_OS_LIE_NONE;
    world->orphan = addr;
    world->orphan_bytes = bytes;
    return said;
}

static kiln_addr_t spy_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_os_world_t *world = ctx;
    world->reached++;
    kiln_addr_t addr = world->bottom.reserve(world->bottom.ctx, hint, bytes, out_reserved);
    return grant_of(world, addr, bytes);
}

static kiln_os_answer_t spy_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                   kiln_os_use_t use)
{
    kiln_os_world_t *world = ctx;
    world->reached++;
    if (world->lie == KILN_OS_LIE_ELSEWHERE && reserved) {
        world->lie = KILN_OS_LIE_NONE;
        return KILN_OS_ELSEWHERE;
    }
    kiln_os_answer_t answer = world->bottom.commit(world->bottom.ctx, addr, bytes, reserved, use);
    if (world->lie == KILN_OS_LIE_ZERO && answer == KILN_OS_OK && world->bytes) {
        world->lie = KILN_OS_LIE_NONE;
        *(unsigned char *)(uintptr_t)(addr + bytes - 1) = 1;
    }
    return answer;
}

static void spy_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_world_t *world = ctx;
    world->reached++;
    world->bottom.discard(world->bottom.ctx, addr, bytes);
}

static void spy_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_world_t *world = ctx;
    world->reached++;
    world->bottom.decommit(world->bottom.ctx, addr, bytes);
}

static bool spy_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    kiln_os_world_t *world = ctx;
    world->reached++;
    return world->bottom.protect(world->bottom.ctx, addr, bytes, access);
}

static bool spy_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_world_t *world = ctx;
    world->reached++;
    return kiln_os_guard(&world->bottom, addr, bytes, on);
}

static void spy_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_world_t *world = ctx;
    kiln_os_huge(&world->bottom, addr, bytes, on);
}

static void spy_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_world_t *world = ctx;
    world->reached++;
    world->bottom.release(world->bottom.ctx, addr, bytes);
}

static kiln_addr_t spy_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_os_world_t *world = ctx;
    world->reached++;
    return grant_of(world, world->bottom.direct(world->bottom.ctx, bytes, use), bytes);
}

static void spy_init(kiln_os_world_t *world)
{
    world->spy = (kiln_os_t){
        .ctx = world,
        .phys_bytes = world->bottom.phys_bytes,
        .huge_bytes = world->bottom.huge_bytes,
        .addr_bits = world->bottom.addr_bits,
        .reserve = spy_reserve,
        .commit = spy_commit,
        .discard = spy_discard,
        .decommit = spy_decommit,
        .protect = spy_protect,
        .guard = spy_guard,
        .huge = spy_huge,
        .release = spy_release,
        .direct = spy_direct,
        .parker = world->bottom.parker,
    };
}

/* --- the bottom ------------------------------------------------------------------------------ */

/* window_of gives the memory of a fake with bytes: one that enforces states and one that does not.
 */
static const kiln_os_fake_memory_t *window_of(bool enforce)
{
    static kiln_os_window_t windows[2];
    static bool open[2];
    if (!open[enforce])
        KILN_CHECK(kiln_os_window_open(&windows[enforce], 0, WINDOW_BYTES, 65536, enforce));
    open[enforce] = true;
    return &windows[enforce].memory;
}

static void fake_bottom(kiln_os_world_t *world, uint64_t phys_bytes, kiln_os_fake_place_t policy,
                        uint64_t seed, uint64_t unreserved_bytes)
{
    unsigned bits = world->form == KILN_OS_FORM_NUMBERS_32   ? 32
                    : world->form == KILN_OS_FORM_NUMBERS_64 ? 64
                                                             : sizeof(void *) * 8;
    kiln_os_fake_config_t config =
        kiln_os_fake_config_default(bits, phys_bytes, world->fake_ranges, KILN_OS_WORLD_RANGES_MAX);
    if (world->bytes)
        kiln_os_fake_config_use_memory(&config, window_of(world->form == KILN_OS_FORM_ENFORCED));
    config.policy = policy;
    config.seed = seed;
    config.unreserved_bytes = unreserved_bytes;
    config.straddle_addr =
        config.space_first + kiln_round_down((config.space_last - config.space_first) / 2, 65536);
    kiln_os_fake_init(&world->fake, &config);
    world->bottom = world->fake.os;
}

/* has_guards: does this kernel have guard pages? */
static bool has_guards(const kiln_os_t *os)
{
    static int known;
    if (known == 0) {
        kiln_addr_t addr = os->direct(os->ctx, os->phys_bytes, KILN_OS_META);
        KILN_CHECK(addr != 0);
        known = kiln_os_guard(os, addr, os->phys_bytes, true) ? 1 : -1;
        os->release(os->ctx, addr, os->phys_bytes);
    }
    return known == 1;
}

void kiln_os_world_init(kiln_os_world_t *world, kiln_os_form_t form, uint64_t phys_bytes,
                        kiln_os_fake_place_t policy, uint64_t seed, uint64_t unreserved_bytes)
{
    bool linux_form = form == KILN_OS_FORM_LINUX;
    world->form = form;
    world->bytes = form != KILN_OS_FORM_NUMBERS_32 && form != KILN_OS_FORM_NUMBERS_64;
    world->enforced = linux_form || form == KILN_OS_FORM_ENFORCED;
    world->reached = 0;
    world->lie = KILN_OS_LIE_NONE;
    world->orphan = 0;
    if (linux_form)
        kiln_os_linux_init(&world->bottom, (uint64_t)sysconf(_SC_PAGESIZE));
    else
        fake_bottom(world, phys_bytes, policy, seed, unreserved_bytes);
    world->guards = !linux_form || has_guards(&world->bottom);
    spy_init(world);
    kiln_os_fault_init(&world->fault, &world->spy, 0, false);
    kiln_os_check_init(&world->check, &world->fault.os, world->check_ranges,
                       KILN_OS_WORLD_RANGES_MAX, world->bytes);
    world->os = &world->check.os;
}

/* --- others' memory -------------------------------------------------------------------------- */

/* Kernels give out addresses from the top down, so that what lies far below the latest one stays
 * free. */
kiln_addr_t kiln_os_world_sandbox(void)
{
    static kiln_addr_t addr;
    if (addr) return addr;
    void *top = mmap(NULL, SANDBOX_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    KILN_CHECK(top != MAP_FAILED && munmap(top, SANDBOX_BYTES) == 0);
    uintptr_t below = sizeof(void *) == 8 ? (uintptr_t)1 << 36 : (uintptr_t)1 << 29;
    addr = kiln_round_down((uintptr_t)top - below, 65536);
    return addr;
}

bool kiln_os_world_occupy(kiln_os_world_t *world, kiln_addr_t addr)
{
    uint64_t phys = world->bottom.phys_bytes;
    if (world->form != KILN_OS_FORM_LINUX)
        return kiln_os_fake_place(&world->fake, addr, phys, KILN_OS_FOREIGN);
    void *at = (void *)(uintptr_t)addr;
    void *got = mmap(at, (size_t)phys, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    KILN_CHECK(got == at);
    memset(at, FOREIGN_BYTE, (size_t)phys);
    return true;
}

void kiln_os_world_vacate(kiln_os_world_t *world, kiln_addr_t addr)
{
    uint64_t phys = world->bottom.phys_bytes;
    if (world->form != KILN_OS_FORM_LINUX)
        (void)kiln_os_fake_place(&world->fake, addr, phys, KILN_OS_NONE);
    else
        KILN_CHECK(munmap((void *)(uintptr_t)addr, (size_t)phys) == 0);
}

bool kiln_os_world_untouched(const kiln_os_world_t *world, kiln_addr_t addr)
{
    if (world->form != KILN_OS_FORM_LINUX)
        return kiln_os_fake_state(&world->fake, addr) == KILN_OS_FOREIGN;
    const unsigned char *at = (const unsigned char *)(uintptr_t)addr;
    for (uint64_t i = 0; i < world->bottom.phys_bytes; i += 512)
        if (at[i] != FOREIGN_BYTE) return false;
    return true;
}
