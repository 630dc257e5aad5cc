/* The blocks of a hardened heap that come from a guard. */
#include "allocator/harden/harden.h"

static uint32_t stack_of(const kiln_harden_t *harden, kiln_site_t site)
{
    return harden->keeps_stacks ? harden->config.stack(site.caller) : 0;
}

/* A guard keeps two numbers of whoever asks for a block; with the thread's goes the family. */
static uint32_t who_of(const kiln_harden_t *harden, kiln_site_t site)
{
    uint32_t thread = kiln_harden_thread_number(harden);
    return thread | (uint32_t)kiln_site_family(site) << KILN_NOTE_FAMILY_SHIFT;
}

void *kiln_harden_guarded_malloc(kiln_harden_t *harden, size_t align, size_t bytes, bool zero,
                                 kiln_site_t site)
{
    void *block = kiln_guard_malloc(harden->config.guard, bytes, align, stack_of(harden, site),
                                    who_of(harden, site));
    if (block) kiln_harden_begin_fresh(harden, block, bytes, zero);
    return block;
}

static kiln_harden_about_t about_of(const kiln_guard_about_t *guarded)
{
    return (kiln_harden_about_t){
        .known = guarded->known,
        .live = guarded->live,
        .block = guarded->block,
        .asked = guarded->bytes,
        .slot_bytes = guarded->bytes,
        .alloc_stack = guarded->alloc_stack,
        .free_stack = guarded->free_stack,
        .alloc_thread = (uint16_t)guarded->alloc_thread & KILN_NOTE_THREAD_MAX,
        .family = (kiln_family_t)(guarded->alloc_thread >> KILN_NOTE_FAMILY_SHIFT),
        .free_thread = (uint16_t)guarded->free_thread,
    };
}

kiln_harden_about_t kiln_harden_guarded_about(const kiln_harden_t *harden, uintptr_t address)
{
    kiln_guard_about_t guarded = {.known = false};
    (void)kiln_guard_about(harden->config.guard, (const void *)address, &guarded);
    return about_of(&guarded);
}

static void tell(kiln_harden_t *harden, const kiln_harden_about_t *about,
                 const kiln_guard_damage_t *damage, kiln_site_t site)
{
    kiln_damage_t told = {
        .kind = damage->where == KILN_GUARD_BELOW ? KILN_DAMAGE_UNDERFLOW : KILN_DAMAGE_OVERFLOW,
        .first = damage->first,
        .end = damage->first + 1,
        .block = *about,
    };
    harden->config.found(&told, site);
}

kiln_misuse_t kiln_harden_guarded_free(kiln_harden_t *harden, void *block, kiln_site_t site)
{
    kiln_guard_damage_t damage;
    kiln_harden_about_t about = kiln_harden_guarded_about(harden, (uintptr_t)block);
    kiln_misuse_t misuse = kiln_guard_free(harden->config.guard, block, stack_of(harden, site),
                                           kiln_harden_thread_number(harden), &damage);
    if (misuse == KILN_MISUSE_NONE && damage.damaged) tell(harden, &about, &damage, site);
    return misuse;
}

/* What a check carries through the guard. */
typedef struct {
    kiln_harden_t *harden;
    kiln_site_t site;
} check_t;

static void visit(void *ctx, const kiln_guard_about_t *block, const kiln_guard_damage_t *damage)
{
    const check_t *check = ctx;
    kiln_harden_about_t about = about_of(block);
    tell(check->harden, &about, damage, check->site);
}

uint64_t kiln_harden_guarded_check(kiln_harden_t *harden, kiln_wants_t *wants,
                                   const void *wants_ctx, kiln_site_t site)
{
    check_t check = {harden, site};
    return kiln_guard_check_some(harden->config.guard, wants, wants_ctx, visit, &check);
}
