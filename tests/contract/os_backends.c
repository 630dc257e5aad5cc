#define _GNU_SOURCE
#include "tests/contract/os_backends.h"

#include "allocator/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RANGES_MAX = 1024, WINDOW_BYTES = 16 << 20 };

os_backend_t os_backends[OS_BACKENDS_MAX];
const kiln_os_t *os;
const os_backend_t *backend;

static unsigned count;
static kiln_os_t linux_os;
static kiln_os_fake_t fake;
static kiln_os_window_t window;
static kiln_os_fault_t fault;
static kiln_os_check_t check;
static kiln_os_range_t fake_ranges[RANGES_MAX], check_ranges[RANGES_MAX];

static void linux_occupy(kiln_addr_t addr, uint64_t bytes)
{
    void *at = (void *)(uintptr_t)addr;
    void *got = mmap(at, (size_t)bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    KILN_CHECK(got == at);
    memset(at, 0x77, (size_t)bytes);
}

static bool linux_untouched(kiln_addr_t addr, uint64_t bytes)
{
    const unsigned char *at = (const unsigned char *)(uintptr_t)addr;
    for (uint64_t i = 0; i < bytes; i++)
        if (at[i] != 0x77) return false;
    return true;
}

static void linux_vacate(kiln_addr_t addr, uint64_t bytes)
{
    KILN_CHECK(munmap((void *)(uintptr_t)addr, (size_t)bytes) == 0);
}

static void fake_occupy(kiln_addr_t addr, uint64_t bytes)
{
    KILN_CHECK(kiln_os_fake_place(&fake, addr, bytes, KILN_OS_FOREIGN));
}

static bool fake_untouched(kiln_addr_t addr, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += backend->phys_bytes)
        if (kiln_os_fake_state(&fake, addr + at) != KILN_OS_FOREIGN) return false;
    return true;
}

static void fake_vacate(kiln_addr_t addr, uint64_t bytes)
{
    KILN_CHECK(kiln_os_fake_place(&fake, addr, bytes, KILN_OS_NONE));
}

static void add(os_backend_t new)
{
    static const char *const forms[] = {"linux", "fake-numbers", "fake-bytes", "fake-enforced"};
    KILN_CHECK(count < OS_BACKENDS_MAX);
    bool is_linux = new.form == OS_FORM_LINUX;
    const char *above =
        new.check ? (new.fault ? "check+fault+" : "check+") : (new.fault ? "fault+" : "");
    int length = snprintf(new.name, sizeof new.name, "%s%s", above, forms[new.form]);
    if (!is_linux)
        snprintf(new.name + length, sizeof new.name - (size_t)length, "-%u-%llu-%s", new.addr_bits,
                 (unsigned long long)new.phys_bytes, kiln_os_fake_place_name(new.policy));
    new.bytes = new.form != OS_FORM_NUMBERS;
    new.guarded = is_linux || new.form == OS_FORM_ENFORCED;
    new.occupy = is_linux ? linux_occupy : fake_occupy;
    new.untouched = is_linux ? linux_untouched : fake_untouched;
    new.vacate = is_linux ? linux_vacate : fake_vacate;
    for (unsigned i = 0; i < count; i++) KILN_CHECK(strcmp(os_backends[i].name, new.name) != 0);
    os_backends[count++] = new;
}

/* The forms of one policy and page, nothing above them. */
static void add_all_forms(os_backend_t new)
{
    new.check = false;
    new.form = OS_FORM_NUMBERS;
    new.addr_bits = 32;
    add(new);
    new.addr_bits = 64;
    add(new);
    new.addr_bits = sizeof(void *) * 8;
    new.form = OS_FORM_BYTES;
    add(new);
    new.form = OS_FORM_ENFORCED;
    add(new);
}

unsigned os_backends_make(void)
{
    static const uint64_t phys_bytes[] = {4096, 16384, 65536};
    static const unsigned widths[] = {32, 64};
    unsigned native = sizeof(void *) * 8;
    count = 0;
    add((os_backend_t){.form = OS_FORM_LINUX});
    add((os_backend_t){.form = OS_FORM_LINUX, .check = true});
    add((os_backend_t){.form = OS_FORM_LINUX, .fault = true});
    add((os_backend_t){.form = OS_FORM_LINUX, .fault = true, .check = true});
    for (unsigned policy = 0; policy < KILN_PLACES; policy++) {
        os_backend_t new = {.policy = (kiln_os_fake_place_t)policy};
        if (policy == KILN_PLACE_AT_PAGE || policy == KILN_PLACE_LIE_WRAP ||
            policy == KILN_PLACE_LIE_OCCUPIED)
            continue; /* script only; tests/unit/os_fake_test.c */
        for (unsigned i = 0; i < 3; i++) {
            new.phys_bytes = phys_bytes[i];
            if (policy == KILN_PLACE_OBEY_HINT) add_all_forms(new);
            new.form = OS_FORM_NUMBERS;
            new.addr_bits = widths[(policy + i) % 2];
            new.check = policy == KILN_PLACE_OBEY_HINT || (policy + i) % 3 == 0;
            add(new);
            new.form = (policy + i) % 2 == 0 ? OS_FORM_BYTES : OS_FORM_ENFORCED;
            new.addr_bits = native;
            new.check = policy == KILN_PLACE_OBEY_HINT || (policy + i) % 3 == 1;
            add(new);
        }
        new.form = OS_FORM_NUMBERS;
        new.check = true;
        new.phys_bytes = 1; /* the smallest machines: pages of a byte, 8 and 10 bits of address */
        new.addr_bits = 8;
        add(new);
        new.phys_bytes = 4;
        new.addr_bits = 10;
        add(new);
    }
    return count;
}

static const kiln_os_t *open_fake(void)
{
    kiln_os_fake_config_t config = kiln_os_fake_config_default(
        backend->addr_bits, backend->phys_bytes, fake_ranges, RANGES_MAX);
    if (backend->bytes) {
        if (!kiln_os_window_open(&window, 0, WINDOW_BYTES, backend->phys_bytes,
                                 backend->form == OS_FORM_ENFORCED)) {
            fprintf(stderr, "os_backends: no window of %d bytes: free some memory\n", WINDOW_BYTES);
            exit(2);
        }
        kiln_os_fake_config_use_memory(&config, &window.memory);
    }
    config.policy = backend->policy;
    config.seed = 42;
    config.straddle_addr =
        config.space_first +
        kiln_round_down((config.space_last - config.space_first) / 2, config.phys_bytes);
    kiln_os_fake_init(&fake, &config);
    return &fake.os;
}

void os_backend_open(const char *name)
{
    backend = NULL;
    for (unsigned i = 0; i < count; i++)
        if (strcmp(os_backends[i].name, name) == 0) backend = &os_backends[i];
    if (!backend) {
        fprintf(stderr, "os_backends: there is no backend '%s'\n", name);
        exit(2);
    }
    if (backend->form == OS_FORM_LINUX) {
        kiln_os_linux_init(&linux_os, (uint64_t)sysconf(_SC_PAGESIZE));
        os = &linux_os;
    } else {
        os = open_fake();
    }
    if (backend->fault) {
        kiln_os_fault_init(&fault, os, 0, false);
        os = &fault.os;
    }
    if (backend->check) {
        kiln_os_check_init(&check, os, check_ranges, RANGES_MAX, backend->bytes);
        os = &check.os;
    }
}

void os_backend_close(void)
{
    if (backend->form == OS_FORM_BYTES || backend->form == OS_FORM_ENFORCED)
        kiln_os_window_close(&window);
    os = NULL;
    backend = NULL;
}

bool os_backend_refuse_next(void)
{
    if (backend->fault)
        fault.fail_call = fault.calls_seen + 1;
    else if (backend->form != OS_FORM_LINUX)
        fake.config.refuse_call = fake.stats.refusable + 1;
    return backend->fault || backend->form != OS_FORM_LINUX;
}

const char *os_backend_broken_rule(void)
{
    const char *rule = NULL;
    if (backend->form != OS_FORM_LINUX) rule = kiln_os_fake_broken_rule(&fake);
    if (!rule && backend->check) rule = kiln_os_model_broken_rule(&check.model);
    return rule;
}

static uint64_t sum(const kiln_os_range_t *range)
{
    return range->last - range->first + 1;
}

uint64_t os_backend_leaked_bytes(void)
{
    uint64_t leaked = 0;
    const kiln_os_range_t *range;
    unsigned i = 0, j = 0;
    while (backend->form != OS_FORM_LINUX && (range = kiln_os_fake_next(&fake, &i)))
        leaked += sum(range);
    while (backend->check && (range = kiln_os_check_next(&check, &j))) leaked += sum(range);
    return leaked;
}
