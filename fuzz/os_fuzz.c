/* os_fuzz.c - the OS backends of allocator/os against their contract.
 *
 * The configuration picks a backend (Linux itself, or a fake), its hardware page and policy, and
 * what is refused. The records make calls on the pages of a few plots: also calls that the contract
 * forbids, which the model must name and which are not made. Three keep book: the check backend,
 * the fake, and os_pages.h, page by page; the kernel is asked what can really be touched. A backend
 * that lies has to be caught by the check backend, by the right name.
 *
 * Threads  one, and a sleeper for a moment.   Memory  none is allocated. */
#include "fuzz/os_call.h"
#include "fuzz/os_pages.h"
#include "fuzz/os_probe.h"
#include "fuzz/os_sleeper.h"
#include "fuzz/os_world.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { STEPS_MAX = 300, PLOTS = 8, COUNT_MAX = 16, SCRIPT_BYTES = 8 };

enum {
    OP_RESERVE,
    OP_DIRECT,
    OP_COMMIT,
    OP_DISCARD,
    OP_DECOMMIT,
    OP_PROTECT,
    OP_GUARD,
    OP_RELEASE,
    OP_FILL,
    OP_FOREIGN,
    OP_LIE,
    OP_SLEEP,
    OPS
};

static const char *const op_names[OPS] = {
    "reserve", "direct",  "commit", "discard", "decommit", "protect",
    "guard",   "release", "fill",   "foreign", "lie",      "sleep",
};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "os",
    .config = {"form", "phys", "policy", "seed", "fault", "nth", "plan0", "plan1", "plan2", "plan3",
               "plan4", "plan5", "plan6", "plan7", "unreserved"},
    .ops = op_names,
    .op_count = OPS,
};

typedef struct plot {
    kiln_addr_t addr; /* 0: none */
    uint64_t bytes;
} plot_t;

static struct {
    kiln_os_world_t world;
    kiln_os_pages_t pages;
    kiln_os_faults_t faults;
    kiln_os_step_t step;
    plot_t plots[PLOTS];
    uint8_t script[SCRIPT_BYTES];
    uint64_t phys, mask;
    kiln_addr_t sandbox; /* where hints find free addresses */
    bool script_policy;  /* the fake does what the input says */
    bool slept;
    bool open; /* an input that was stopped left its pages here */
} run;

/* --- what everybody keeps of a page ---------------------------------------------------------- */

static void verify_bytes(const kiln_os_page_t *page)
{
    bool ready = page->state == KILN_OS_READY;
    bool reads = ready && page->access != KILN_OS_NO_ACCESS;
    /* A discard takes the bytes, and not always the access. */
    bool judged = kiln_os_page_is_ours(page) && page->state != KILN_OS_PREPARED;
    if (run.world.enforced && judged) {
        kiln_addr_t last = page->addr + run.phys - 1;
        bool writes = ready && page->access == KILN_OS_READ_WRITE;
        KILN_FUZZ_LAW("os: what can be read is Ready", kiln_os_probe_reads(page->addr) == reads &&
                                                           kiln_os_probe_reads(last) == reads);
        KILN_FUZZ_LAW("os: what can be written is Ready, and not protected",
                      kiln_os_probe_writes(page->addr) == writes &&
                          kiln_os_probe_writes(last) == writes);
    }
    if (!run.world.bytes || !reads || page->value == KILN_OS_VALUE_UNKNOWN) return;
    const unsigned char *at = (const unsigned char *)(uintptr_t)page->addr;
    bool same = at[0] == page->value && memcmp(at, at + 1, (size_t)run.phys - 1) == 0;
    KILN_FUZZ_LAW("os: what becomes Ready is zero, and what is Ready keeps its bytes", same);
}

static void verify_page(const kiln_os_page_t *page)
{
    kiln_os_tag_t tag = kiln_os_model_tag(&run.world.check.model, page->addr);
    bool ours = kiln_os_page_is_ours(page);
    if (ours) {
        KILN_FUZZ_LAW("os: check knows the state of a page", tag.state == page->state);
        if (page->state == KILN_OS_READY)
            KILN_FUZZ_LAW("os: check knows how a page may be touched", tag.access == page->access);
        if (page->state == KILN_OS_READY || page->state == KILN_OS_GUARDED)
            KILN_FUZZ_LAW("os: check knows what a page is for", tag.use == page->use);
    } else {
        KILN_FUZZ_LAW("os: check knows what is not ours",
                      tag.state == (page->promised ? KILN_OS_UNRESERVED : KILN_OS_NONE));
    }
    if (run.world.form != KILN_OS_FORM_LINUX) {
        kiln_os_state_t state = kiln_os_fake_state(&run.world.fake, page->addr);
        bool free_too = state == KILN_OS_NONE || state == KILN_OS_UNRESERVED;
        bool same = ours || page->state == KILN_OS_FOREIGN ? state == page->state
                                                           : free_too || state == KILN_OS_FOREIGN;
        KILN_FUZZ_LAW("os: the fake knows the state of a page", same);
    }
    if (page->state == KILN_OS_FOREIGN)
        KILN_FUZZ_LAW("os: somebody else's memory is not touched",
                      kiln_os_world_untouched(&run.world, page->addr));
    verify_bytes(page);
}

static void verify_range(kiln_addr_t addr, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += run.phys)
        verify_page(kiln_os_pages_at(&run.pages, addr + at));
}

static void verify_sums(void)
{
    const kiln_os_model_t *model = &run.world.check.model;
    uint64_t bytes[KILN_OS_STATES] = {0};
    for (unsigned i = 0; i < run.pages.count; i++)
        bytes[run.pages.slots[run.pages.used[i]].state] += run.phys;
    for (unsigned state = KILN_OS_RESERVED; state <= KILN_OS_GUARDED; state++)
        KILN_FUZZ_LAW("os: the sums are those of the pages",
                      bytes[state] == model->state_bytes[state]);
    KILN_CHECK_RULE(kiln_os_model_broken_rule(model));
    if (run.world.form != KILN_OS_FORM_LINUX)
        KILN_CHECK_RULE(kiln_os_fake_broken_rule(&run.world.fake));
}

/* The fake's script maps memory for somebody else where it likes. */
static void learn_foreign(kiln_addr_t addr, uint64_t bytes)
{
    if (run.world.form == KILN_OS_FORM_LINUX) return;
    for (uint64_t at = 0; at < bytes; at += run.phys) {
        kiln_os_page_t *page = kiln_os_pages_at(&run.pages, addr + at);
        if (!kiln_os_page_is_ours(page) &&
            kiln_os_fake_state(&run.world.fake, page->addr) == KILN_OS_FOREIGN)
            page->state = KILN_OS_FOREIGN;
    }
}

/* call makes run.step. False: it is over, refused by the fault backend, or stopped at a lie. */
static bool call(void)
{
    kiln_os_lie_t lie = run.world.lie;
    kiln_os_outcome_t outcome = kiln_os_step_make(&run.step, &run.world, &run.faults);
    const kiln_os_step_t *s = &run.step;
    if (outcome == KILN_OS_OUTCOME_LIE && lie == KILN_OS_LIE_ZERO) {
        /* check had noted the commit before it looked */
        *(unsigned char *)(uintptr_t)(s->addr + s->bytes - 1) = 0;
        kiln_os_pages_do(&run.pages, s->call, s->addr, s->bytes, s->use, KILN_OS_READ_WRITE);
    }
    return outcome == KILN_OS_OUTCOME_MADE;
}

/* --- grants ---------------------------------------------------------------------------------- */

static bool range_is_free(kiln_addr_t addr, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += run.phys) {
        const kiln_os_page_t *page = kiln_os_pages_at(&run.pages, addr + at);
        if (kiln_os_page_is_ours(page) || page->state == KILN_OS_FOREIGN) return false;
    }
    return true;
}

static bool is_in_sandbox(kiln_addr_t addr)
{
    return addr >= run.sandbox && addr - run.sandbox < 64 * run.phys;
}

/* size_of gives bytes: some pages, not whole ones, none, or more than there is. */
static uint64_t size_of(const kiln_fuzz_record_t *r)
{
    uint64_t bytes = run.phys * (1 + (r->arg >> 4 & (COUNT_MAX - 1)));
    switch (r->size % 8) {
    case 4:
        return 0;
    case 5:
        return bytes - 1 - (r->arg >> 8) % (run.phys - 1);
    case 6:
        return run.mask;
    case 7:
        return UINT64_MAX - (r->arg >> 8) % 4095;
    default:
        return bytes;
    }
}

static kiln_addr_t hint_of(const kiln_fuzz_record_t *r)
{
    const plot_t *plot = &run.plots[(r->slot >> 3) % PLOTS];
    uint64_t offset = run.phys * (r->arg & 15);
    switch (r->how >> 6) {
    case 0:
        return 0;
    case 1:
        return run.sandbox + offset;
    case 2:
        return plot->addr ? plot->addr + offset : 0;
    default:
        return plot->addr ? plot->addr + plot->bytes : 0;
    }
}

/* is_sure: the bottom refuses nothing that is sane. A fake full of holes has no room; Linux has. */
static bool is_sure(void)
{
    if (run.world.form == KILN_OS_FORM_LINUX) return true;
    return !run.script_policy && run.pages.count <= 3 * COUNT_MAX;
}

/* granted judges the answer of a reserve or direct and writes it down. */
static void granted(plot_t *plot, kiln_addr_t hint, bool hint_is_free)
{
    const kiln_os_step_t *s = &run.step;
    bool linux_form = run.world.form == KILN_OS_FORM_LINUX, direct = s->call == KILN_OS_CALL_DIRECT;
    if (s->bytes == 0 || s->bytes > COUNT_MAX * run.phys) {
        KILN_FUZZ_LAW("os: what is empty or more than there is is refused", !s->done);
        return;
    }
    if (!s->done) {
        KILN_FUZZ_LAW("os: what is sane is granted", !is_sure());
        return;
    }
    uint64_t bytes = kiln_round_up(s->bytes, run.phys);
    kiln_os_state_t state = direct            ? KILN_OS_READY
                            : s->got_reserved ? KILN_OS_RESERVED
                                              : KILN_OS_UNRESERVED;
    if (linux_form) KILN_FUZZ_LAW("linux: a reservation is a real one", direct || s->got_reserved);
    if (linux_form && hint_is_free && is_in_sandbox(hint))
        KILN_FUZZ_LAW("linux: a free hint is taken", s->got == hint);
    KILN_FUZZ_LAW("L1: the OS grants nothing twice",
                  kiln_os_pages_grant(&run.pages, s->got, bytes, state, s->use));
    *plot = (plot_t){.addr = s->got, .bytes = bytes};
    verify_range(s->got, bytes);
}

/* prepare_lie finds memory of ours that a grant of this size may lie about; else no lie is told. */
static void prepare_lie(uint64_t bytes)
{
    if (run.world.lie != KILN_OS_LIE_OURS) return;
    for (unsigned i = 0; i < run.pages.count; i++) {
        const kiln_os_page_t *page = &run.pages.slots[run.pages.used[i]];
        if (!kiln_os_page_is_ours(page) || run.mask - page->addr < bytes + run.phys) continue;
        run.world.lie_addr = page->addr;
        return;
    }
    run.world.lie = KILN_OS_LIE_NONE;
}

static void do_grant(const kiln_fuzz_record_t *r)
{
    bool direct = r->op % OPS == OP_DIRECT;
    kiln_addr_t hint = direct ? 0 : kiln_round_down(hint_of(r) & run.mask, run.phys);
    run.step = (kiln_os_step_t){.call = direct ? KILN_OS_CALL_DIRECT : KILN_OS_CALL_RESERVE,
                                .addr = hint,
                                .bytes = size_of(r),
                                .use = direct ? (kiln_os_use_t)(r->how % 4) : 0};
    bool small = run.step.bytes <= COUNT_MAX * run.phys;
    bool in_space = hint != 0 && run.mask - hint >= COUNT_MAX * run.phys;
    bool is_free = small && in_space && range_is_free(hint, run.step.bytes);
    prepare_lie(run.step.bytes);
    if (call()) granted(&run.plots[r->slot % PLOTS], hint, is_free);
    if (small && in_space) {
        learn_foreign(hint, run.step.bytes);
        verify_range(hint, run.step.bytes); /* a hint is no order */
    }
}

/* --- calls on a range ------------------------------------------------------------------------ */

static bool has_foreign(kiln_addr_t addr, uint64_t bytes)
{
    learn_foreign(addr, bytes);
    for (uint64_t at = 0; at < bytes; at += run.phys)
        if (kiln_os_pages_at(&run.pages, addr + at)->state == KILN_OS_FOREIGN) return true;
    return false;
}

/* Ready bytes may be gone where a guard was refused. */
static void forget_values(kiln_addr_t addr, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += run.phys) {
        kiln_os_page_t *page = kiln_os_pages_at(&run.pages, addr + at);
        if (page->state == KILN_OS_READY) page->value = KILN_OS_VALUE_UNKNOWN;
    }
}

static void judge_answer(bool foreign)
{
    const kiln_os_step_t *s = &run.step;
    if (s->call == KILN_OS_CALL_COMMIT && !s->reserved) {
        bool foreign_now = has_foreign(s->addr, s->bytes);
        if (s->done) KILN_FUZZ_LAW("os: what is taken is not committed", !foreign);
        if (s->answer == KILN_OS_ELSEWHERE)
            KILN_FUZZ_LAW("os: ELSEWHERE is said of what is taken", foreign_now);
        else if (foreign)
            KILN_FUZZ_LAW("os: of what is taken, ELSEWHERE is said", !is_sure());
        if (foreign_now) return;
    }
    bool can = is_sure() && (s->call != KILN_OS_CALL_GUARD || run.world.guards);
    KILN_FUZZ_LAW("os: what is sane is granted", s->done || !can);
}

/* act makes a call on a range, if the contract allows it; model and pages must agree on that. */
static void act(void)
{
    const kiln_os_step_t *s = &run.step;
    bool whole = s->bytes <= COUNT_MAX * run.phys && s->addr <= run.mask &&
                 run.mask - s->addr >= COUNT_MAX * run.phys;
    bool foreign = whole && has_foreign(kiln_round_down(s->addr, run.phys), s->bytes);
    const char *rule =
        kiln_os_model_rule(&run.world.check.model, s->call, s->addr, s->bytes, s->reserved);
    kiln_os_verdict_t verdict =
        kiln_os_pages_verdict(&run.pages, s->call, s->addr, s->bytes, s->reserved);
    if (kiln_fuzz_tracing)
        fprintf(stderr, "# pages say %d, the model says: %s\n", verdict, rule ? rule : "allowed");
    if (verdict == KILN_OS_UNCLEAR) return;
    KILN_FUZZ_LAW("os: the model allows what the contract allows",
                  (rule == NULL) == (verdict == KILN_OS_ALLOWED));
    if (verdict != KILN_OS_ALLOWED) return;

    kiln_os_access_t access = s->call != KILN_OS_CALL_GUARD ? s->access
                              : s->on                       ? KILN_OS_NO_ACCESS
                                                            : KILN_OS_READ_WRITE;
    if (call()) {
        if (kiln_os_call_is_refusable(s->call)) judge_answer(foreign);
        if (s->done || !kiln_os_call_is_refusable(s->call))
            kiln_os_pages_do(&run.pages, s->call, s->addr, s->bytes, s->use, access);
        else if (s->call == KILN_OS_CALL_GUARD)
            forget_values(s->addr, s->bytes);
    }
    verify_range(s->addr, s->bytes);
    if (s->call != KILN_OS_CALL_RELEASE || run.world.form != KILN_OS_FORM_LINUX) return;
    for (uint64_t at = 0; at < s->bytes; at += run.phys)
        KILN_FUZZ_LAW("linux: what is released is not mapped", !kiln_os_probe_mapped(s->addr + at));
}

/* What nobody reserved may be committed where the simulated machine has memory, as far as a range
 * from there can reach. */
static bool is_in_space(kiln_addr_t addr)
{
    const kiln_os_fake_config_t *config = &run.world.fake.config;
    uint64_t reach = (COUNT_MAX + 1) * run.phys;
    return addr >= config->space_first && addr <= config->space_last &&
           config->space_last - addr >= reach;
}

static void do_range(const kiln_fuzz_record_t *r, kiln_os_call_t call_of)
{
    const plot_t *plot = &run.plots[r->slot % PLOTS];
    bool in_sandbox = r->how & 64, reserved = !(r->how & 128);
    kiln_addr_t base = in_sandbox ? run.sandbox : plot->addr;
    if (base == 0) return;
    kiln_os_step_t s = {.call = call_of,
                        .addr = base + run.phys * (r->arg & 15),
                        .bytes = size_of(r),
                        .reserved = reserved,
                        .on = r->how & 1,
                        .use = (kiln_os_use_t)(r->how % 4),
                        .access = (kiln_os_access_t)(r->how % 3)};
    if (s.addr < base || s.addr > run.mask || run.mask - s.addr < COUNT_MAX * run.phys) return;
    if (r->how & 32) s.addr++;
    /* What lies beside our plots is somebody else's, and this does not know whose. */
    if (run.world.form == KILN_OS_FORM_LINUX && call_of == KILN_OS_CALL_COMMIT && !in_sandbox)
        s.reserved = true;
    if (run.world.form != KILN_OS_FORM_LINUX && !is_in_space(s.addr)) s.reserved = true;
    run.step = s;
    act();
}

static void do_fill(const kiln_fuzz_record_t *r)
{
    const plot_t *plot = &run.plots[r->slot % PLOTS];
    if (plot->addr == 0 || !run.world.bytes) return;
    for (uint64_t at = 0; at < plot->bytes; at += run.phys) {
        kiln_os_page_t *page = kiln_os_pages_at(&run.pages, plot->addr + at);
        if (page->state != KILN_OS_READY || page->access != KILN_OS_READ_WRITE) continue;
        page->value = r->how;
        kiln_os_huge(run.world.os, page->addr, run.phys, r->how % 2 != 0); /* changes nothing */
        memset((void *)(uintptr_t)page->addr, r->how, (size_t)run.phys);
    }
}

static void do_foreign(const kiln_fuzz_record_t *r)
{
    kiln_addr_t addr = run.sandbox + run.phys * (r->arg & 31);
    kiln_os_page_t *page = kiln_os_pages_at(&run.pages, addr);
    learn_foreign(addr, run.phys);
    if (page->promised) return;
    if (page->state == KILN_OS_FOREIGN) {
        kiln_os_world_vacate(&run.world, addr);
        page->state = KILN_OS_NONE;
    } else if (page->state == KILN_OS_NONE && kiln_os_world_occupy(&run.world, addr)) {
        page->state = KILN_OS_FOREIGN;
    }
}

static void do_sleep(void)
{
    if (run.slept || !run.world.bottom.parker.wait) return;
    run.slept = true;
    KILN_FUZZ_LAW("linux: who releases a lock wakes a sleeper",
                  kiln_os_sleeper_wakes(&run.world.bottom.parker));
}

/* --- the run --------------------------------------------------------------------------------- */

static kiln_os_fake_place_t policy_of(uint8_t byte)
{
    kiln_os_fake_place_t policy = (kiln_os_fake_place_t)(byte % KILN_PLACES);
    bool script_only = policy == KILN_PLACE_AT_PAGE || policy == KILN_PLACE_LIE_WRAP ||
                       policy == KILN_PLACE_LIE_OCCUPIED;
    return script_only ? KILN_PLACE_SCRIPT : policy;
}

/* clear_up unmaps what an input that was stopped left of the real OS. */
static void clear_up(void)
{
    if (run.open && run.world.form == KILN_OS_FORM_LINUX)
        for (unsigned i = 0; i < run.pages.count; i++) {
            const kiln_os_page_t *page = &run.pages.slots[run.pages.used[i]];
            if (kiln_os_page_is_ours(page) || page->state == KILN_OS_FOREIGN)
                (void)munmap((void *)(uintptr_t)page->addr, (size_t)run.phys);
        }
    run.open = true;
}

static void begin(const uint8_t *config)
{
    kiln_os_form_t form = (kiln_os_form_t)(config[0] % KILN_OS_FORMS);
    kiln_os_fake_place_t policy = policy_of(config[2]);
    uint64_t phys = (uint64_t)4096 << 2 * (config[1] % 3);
    clear_up();
    kiln_os_world_init(&run.world, form, phys, policy, config[3], phys * (config[14] % 18));
    run.phys = run.world.bottom.phys_bytes;
    run.mask = kiln_width_mask(run.world.bottom.addr_bits);
    kiln_os_pages_clear(&run.pages, run.phys, run.world.bottom.addr_bits);
    memset(run.plots, 0, sizeof run.plots);
    memset(run.script, 0, sizeof run.script);
    run.world.fake.config.script = run.script;
    run.world.fake.config.script_bytes = sizeof run.script;
    run.script_policy = form != KILN_OS_FORM_LINUX && policy == KILN_PLACE_SCRIPT;
    run.slept = false;
    run.sandbox = KILN_MIB(16);
    if (form == KILN_OS_FORM_LINUX) run.sandbox = kiln_os_world_sandbox();
    if (form != KILN_OS_FORM_LINUX && run.world.bytes)
        run.sandbox = run.world.fake.config.space_first + KILN_KIB(64);

    run.faults =
        (kiln_os_faults_t){.mode = config[4] % KILN_OS_FAULT_MODES, .nth = 1 + config[5] % 64};
    memcpy(run.faults.plan, config + 6, sizeof run.faults.plan);
    kiln_os_faults_set(&run.faults, &run.world.fault);
}

static void one_step(const kiln_fuzz_record_t *r)
{
    static const kiln_os_call_t calls[] = {
        [OP_COMMIT] = KILN_OS_CALL_COMMIT,     [OP_DISCARD] = KILN_OS_CALL_DISCARD,
        [OP_DECOMMIT] = KILN_OS_CALL_DECOMMIT, [OP_PROTECT] = KILN_OS_CALL_PROTECT,
        [OP_GUARD] = KILN_OS_CALL_GUARD,       [OP_RELEASE] = KILN_OS_CALL_RELEASE,
    };
    run.script[0] = r->size;
    run.script[1] = (uint8_t)(r->arg >> 24);
    run.script[2] = (uint8_t)(r->arg >> 16);
    for (unsigned i = 0; i < 3; i++) /* the spy lies, not the fake */
        if ((run.script[i] & 15) == KILN_PLACE_LIE_WRAP ||
            (run.script[i] & 15) == KILN_PLACE_LIE_OCCUPIED)
            run.script[i] &= 0xf0;
    run.world.fake.script_at = 0;
    switch (r->op % OPS) {
    case OP_RESERVE:
    case OP_DIRECT:
        do_grant(r);
        break;
    case OP_FILL:
        do_fill(r);
        break;
    case OP_FOREIGN:
        do_foreign(r);
        break;
    case OP_LIE:
        run.world.lie = (kiln_os_lie_t)(r->how % KILN_OS_LIES);
        break;
    case OP_SLEEP:
        do_sleep();
        break;
    default:
        do_range(r, calls[r->op % OPS]);
        break;
    }
}

static void end(void)
{
    run.world.lie = KILN_OS_LIE_NONE;
    for (unsigned i = 0; i < run.pages.count; i++) {
        kiln_os_page_t *page = &run.pages.slots[run.pages.used[i]];
        verify_page(page);
        if (kiln_os_page_is_ours(page)) {
            run.world.os->release(run.world.os->ctx, page->addr, run.phys);
            kiln_os_pages_do(&run.pages, KILN_OS_CALL_RELEASE, page->addr, run.phys, 0, 0);
        }
    }
    unsigned at = 0, fake_at = 0;
    KILN_FUZZ_LAW("L4: the OS has what it had", kiln_os_check_next(&run.world.check, &at) == NULL);
    if (run.world.form != KILN_OS_FORM_LINUX)
        KILN_FUZZ_LAW("L4: the OS has what it had",
                      kiln_os_fake_next(&run.world.fake, &fake_at) == NULL);
    for (unsigned i = 0; i < run.pages.count; i++) {
        kiln_os_page_t *page = &run.pages.slots[run.pages.used[i]];
        if (page->state == KILN_OS_FOREIGN) kiln_os_world_vacate(&run.world, page->addr);
    }
    run.open = false;
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
    kiln_fuzz_open(&input, data, size);
    begin(input.config);
    for (unsigned i = 0; i < STEPS_MAX && kiln_fuzz_next(&input, &r); i++) {
        if (!kiln_os_pages_room(&run.pages, 4 * COUNT_MAX)) break;
        one_step(&r);
        verify_sums();
    }
    end();
}

void kiln_fuzz_last_words(void)
{
}
