#define _GNU_SOURCE
#include "allocator/api/profile.h"
#include "allocator/api/checkpoint.h"
#include "allocator/api/kiln.h"
#include "allocator/api/process.h"
#include "allocator/api/report.h"
#include "allocator/api/report_block.h"
#include "allocator/base/mix.h"
#include "allocator/os/linux_syscall.h"
#include "allocator/os/scatter.h"

#include <string.h>
#include <sys/auxv.h>

/* What the fuzz profile fills blocks with: fresh ones as AddressSanitizer does, so that what a
 * program makes of it is known; freed ones with what is no address and no small number. */
enum { FRESH_BYTE = 0xbe, FREED_BYTE = 0xfd };

/* How often a block is guarded. */
enum { EVERY_HARDENED = 5000, EVERY_FUZZ = 10 };

/* From the kernel: its random numbers, else those that it left for the process. */
static uint64_t any_seed(void)
{
    uint64_t seed = 0;
    const void *left = (const void *)getauxval(AT_RANDOM);
    long got = kiln_linux_call(__NR_getrandom, (uintptr_t)&seed, sizeof seed, 0, 0, 0);
    if (got == (long)sizeof seed) return seed;
    if (left) memcpy(&seed, left, sizeof seed);
    return kiln_mix(seed);
}

static kiln_report_kind_t kind_of(kiln_damage_kind_t kind)
{
    switch (kind) {
    case KILN_DAMAGE_UNDERFLOW:
        return KILN_REPORT_UNDERFLOW;
    case KILN_DAMAGE_USE_AFTER_FREE:
        return KILN_REPORT_USE_AFTER_FREE;
    case KILN_DAMAGE_OVERFLOW:
    case KILN_DAMAGE_WILD_WRITE:
        return KILN_REPORT_OVERFLOW;
    case KILN_DAMAGE_NONE:
        break;
    }
    return KILN_REPORT_CORRUPTION;
}

static void fill_block(const kiln_harden_about_t *about, kiln_report_block_t *block)
{
    kiln_report_block_fill(block, about, kiln_process_hardened->keeps_who);
}

/* The block that was left or entered: of an underflow the one behind the bytes, which a guard knows
 * already, as it was before it was freed; of a write to where no block ever was the one in front,
 * if it is live. */
static void fill_damaged(const kiln_damage_t *damage, kiln_report_block_t *block)
{
    kiln_harden_about_t about = damage->block;
    if (damage->kind == KILN_DAMAGE_UNDERFLOW && about.block < damage->end)
        about = kiln_harden_about(kiln_process_hardened, damage->end);
    if (damage->kind == KILN_DAMAGE_WILD_WRITE)
        about = kiln_harden_about(kiln_process_hardened, damage->block.block - 1);
    if (about.known) fill_block(&about, block);
}

/* Where no block is, nor one that waits: the last to be there may be one that a restore took. */
static bool is_free_slot(const kiln_damage_t *damage)
{
    bool is_free =
        damage->kind == KILN_DAMAGE_USE_AFTER_FREE || damage->kind == KILN_DAMAGE_WILD_WRITE;
    return is_free && kiln_heap_about(&kiln_process_heap, (const void *)damage->first).state !=
                          KILN_SLOT_QUARANTINED;
}

static void found(const kiln_damage_t *damage, kiln_site_t site)
{
    kiln_report_t report = {
        .kind = kind_of(damage->kind),
        .access = KILN_ACCESS_WRITE,
        .access_bytes = damage->end - damage->first,
        .address = damage->first,
        .call = site.call,
        .caller = site.caller,
        .note =
            damage->kind == KILN_DAMAGE_USE_AFTER_FREE
                ? "the bytes were written after the block was freed, and before this call, which "
                  "found them changed."
                : "the bytes were written before this call, which found them changed.",
        .has_seed = true,
        .seed = kiln_process_hardened->config.seed,
    };
    fill_damaged(damage, &report.block);
    if (is_free_slot(damage) && kiln_checkpoint_explain(&report))
        report.note = "the bytes were written after a restore took the block back, and before this "
                      "call, which found them changed.";
    kiln_report(&report);
}

void kiln_profile_ruined(uintptr_t record)
{
    kiln_report_t report = {
        .kind = KILN_REPORT_CORRUPTION, .address = record, .caller = KILN_CALLER()};
    kiln_report(&report);
}

static uint32_t keep_stack(uintptr_t caller)
{
    uint64_t frames = kiln_report_options.malloc_context_size;
    return caller == 0 || frames == 0 ? 0 : kiln_stack_capture(caller, (unsigned)frames);
}

/* Blocks are guarded for ever only where all are. Where some are, they take a bounded part of the
 * memory and of the address space, of which a program may have little (ulimit -v). */
static kiln_guard_t *make_guard(kiln_guarded_t guarded, const kiln_options_t *options,
                                uint64_t seed, const kiln_os_t *os, uint64_t block_bytes)
{
    static kiln_guard_t guard;
    kiln_guard_config_t config = kiln_guard_config_default(os);
    config.seed = seed;
    if (guarded == KILN_GUARDED_LOW) config.policy = KILN_GUARD_LOW;
    if (guarded == KILN_GUARDED_SOME) {
        uint64_t most = os->addr_bits > 32 ? KILN_MIB(256) : KILN_MIB(64);
        config.space.region_bytes = block_bytes < most ? block_bytes : most;
        config.space.freed_chunks_max = 16;
        config.block_bytes_max = (size_t)KILN_MIB(1);
        config.live_bytes_max = KILN_MIB(4);
    }
    if (options->limit_bytes != 0 &&
        (config.live_bytes_max == 0 || config.live_bytes_max > options->limit_bytes))
        config.live_bytes_max = options->limit_bytes;
    return kiln_guard_init(&guard, os, &config) == NULL ? &guard : NULL;
}

static void configure_guard(const kiln_options_t *options, const kiln_os_t *os,
                            uint64_t block_bytes, kiln_harden_config_t *out)
{
    bool fuzz = options->profile == KILN_PROFILE_FUZZ;
    kiln_guarded_t guarded =
        options->has_guard ? (kiln_guarded_t)options->guard : KILN_GUARDED_SOME;
    uint32_t every = fuzz ? EVERY_FUZZ : EVERY_HARDENED;
    if (options->has_guard_every) every = (uint32_t)options->guard_every;
    if (guarded == KILN_GUARDED_NONE || every == 0) return;
    out->guard = make_guard(guarded, options, out->seed, os, block_bytes);
    out->guard_every = guarded == KILN_GUARDED_SOME ? every : 1;
    out->guard_rotates = fuzz;
}

/* The pages behind a large block are in front of the next one, too: is that nearer, and live? */
static bool is_before_next(uintptr_t address, kiln_harden_about_t *io_about)
{
    uintptr_t next = io_about->block + io_about->slot_bytes;
    kiln_harden_about_t behind = kiln_harden_about(kiln_process_hardened, next);
    bool is_block = behind.known && behind.live && behind.block == next;
    if (!is_block || next - address >= address - (io_about->block + io_about->asked)) return false;
    *io_about = behind;
    return true;
}

/* An address that is in no block, but in what was one before a restore. */
static bool explain_restored(kiln_report_t *report)
{
    report->has_seed = kiln_process_hardened != NULL;
    if (report->has_seed) report->seed = kiln_process_hardened->config.seed;
    return kiln_checkpoint_explain(report);
}

/* Large blocks fault while they wait, and so do the pages behind live ones. A block that a call is
 * at work in faults because the program protected it, as a live one does. */
static bool explain_large(kiln_report_t *report)
{
    kiln_harden_about_t about = {.known = false};
    if (kiln_process_hardened) about = kiln_harden_about(kiln_process_hardened, report->address);
    bool inside = about.known && report->address - about.block < about.asked;
    if (!inside && explain_restored(report)) return true;
    if (!about.known || about.busy) return false;
    if (about.live && inside) return false;
    report->kind = about.live ? KILN_REPORT_OVERFLOW : KILN_REPORT_USE_AFTER_FREE;
    if (!inside && is_before_next(report->address, &about)) report->kind = KILN_REPORT_UNDERFLOW;
    report->has_seed = true;
    report->seed = kiln_process_hardened->config.seed;
    fill_block(&about, &report->block);
    return true;
}

bool kiln_profile_explain(kiln_report_t *report)
{
    kiln_guard_about_t about = {.known = false};
    kiln_guard_t *guard = kiln_process_hardened ? kiln_process_hardened->config.guard : NULL;
    const void *address = (const void *)report->address;
    if (!guard || !kiln_guard_owns(guard, address)) return explain_large(report);
    (void)kiln_guard_about(guard, address, &about);
    /* A live block's own bytes fault where the program protected them. */
    bool inside = about.known && about.where == KILN_GUARD_INSIDE;
    if (inside && about.live) return false;
    if (!inside && explain_restored(report)) return true;
    report->kind = KILN_REPORT_WILD_ACCESS;
    report->has_seed = true;
    report->seed = kiln_process_hardened->config.seed;
    if (about.forgotten) report->kind = KILN_REPORT_USE_AFTER_FREE;
    if (!about.known) return true;
    report->kind = !about.live                       ? KILN_REPORT_USE_AFTER_FREE
                   : about.where == KILN_GUARD_BELOW ? KILN_REPORT_UNDERFLOW
                                                     : KILN_REPORT_OVERFLOW;
    report->block = kiln_report_about(report->address);
    return true;
}

void kiln_profile_draw_seed(kiln_options_t *options)
{
    if (!options->has_seed) options->seed = options->profile == KILN_PROFILE_FUZZ ? 0 : any_seed();
}

const kiln_os_t *kiln_profile_os(const kiln_options_t *options, const kiln_os_t *os)
{
    static kiln_os_scatter_t scatter;
    bool is_kept = options->record[0] != '\0' || options->checkpoints;
    if (options->profile != KILN_PROFILE_HARDENED || is_kept) return os;
    kiln_os_scatter_init(&scatter, os, options->seed);
    return &scatter.os;
}

bool kiln_profile_config(const kiln_options_t *options, const kiln_os_t *os, uint64_t block_bytes,
                         kiln_harden_config_t *out, bool *out_check_at_end)
{
    *out_check_at_end = false;
    if (options->profile == KILN_PROFILE_FAST) return false;
    bool fuzz = options->profile == KILN_PROFILE_FUZZ;
    *out = (kiln_harden_config_t){
        .random = true,
        .families = options->has_alloc_dealloc_mismatch ? options->alloc_dealloc_mismatch : fuzz,
        .quarantine = {.blocks_max = 32, .bytes_max = KILN_KIB(8)},
        .found = found,
    };
    if (fuzz) {
        out->fresh_byte = FRESH_BYTE;
        out->freed_byte = FREED_BYTE;
        out->quarantine = (kiln_quarantine_bounds_t){.blocks_max = KILN_QUARANTINE_PLACES_MAX,
                                                     .bytes_max = KILN_KIB(32)};
        out->stack = keep_stack;
        out->thread = kiln_thread_number;
    }
    if (options->has_quarantine_bytes)
        out->quarantine.bytes_max = (uint32_t)options->quarantine_bytes;
    if (options->has_quarantine_blocks)
        out->quarantine.blocks_max = (uint32_t)options->quarantine_blocks;
    out->seed = options->seed;
    configure_guard(options, os, block_bytes, out);
    *out_check_at_end = options->has_check_at_exit ? options->check_at_exit : fuzz;
    return true;
}

KILN_EXPORT size_t kiln_check_heap(void)
{
    kiln_site_t site = {"kiln_check_heap", KILN_CALLER()};
    kiln_visit_t visit = kiln_process_enter();
    uint64_t damaged = 0;
    if (visit.heap && kiln_process_hardened)
        damaged = kiln_harden_check(kiln_process_hardened, site);
    kiln_process_leave(visit);
    return (size_t)damaged;
}

static bool at_end;

void kiln_profile_check_at_end(void)
{
    at_end = true;
}

__attribute__((destructor)) static void check_at_end(void)
{
    kiln_site_t site = {"exit", KILN_CALLER()};
    if (!kiln_process_hardened) return;
    if (at_end)
        (void)kiln_harden_check(kiln_process_hardened, site);
    else if (kiln_thread.hardened) /* what this thread freed leaves its quarantine now */
        kiln_harden_flush(kiln_process_hardened, kiln_thread.hardened, site);
}
