#include "allocator/os/scatter.h"

#include "allocator/base/mix.h"

/* Linux gives a process on x86-64 2^47 bytes. Libraries and stacks lie at their top, programs from
 * 0x5555_5555_4000 on. */
#define HEAP_FIRST (UINT64_C(0x1000) << 32)
#define HEAP_LAST (UINT64_C(0x3f00) << 32) /* half a TiB from here on ends below the records */
#define RECORDS_FIRST (UINT64_C(0x4000) << 32)
#define RECORDS_LAST (UINT64_C(0x4fff) << 32)

enum {
    HEAP_ALIGN_BYTES = 2 << 20, /* tables and heap begin where a page of page tables does */
    GAP_PAGES_MAX = 16,         /* between what two records' memory takes */
    ADDR_BITS_MIN = 47,         /* of a machine with room to draw from */
};

static uint64_t draw(kiln_os_scatter_t *scatter, uint64_t end)
{
    uint64_t number = atomic_fetch_add_explicit(&scatter->drawn, 1, memory_order_relaxed);
    return kiln_mix(scatter->seed ^ kiln_mix(number + 1)) % end;
}

static bool has_room(const kiln_os_scatter_t *scatter)
{
    return scatter->inner->addr_bits >= ADDR_BITS_MIN;
}

static kiln_addr_t scatter_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_os_scatter_t *scatter = ctx;
    const kiln_os_t *inner = scatter->inner;
    if (has_room(scatter) && bytes >= KILN_OS_SCATTER_RESERVE_MIN)
        hint = HEAP_FIRST +
               draw(scatter, (HEAP_LAST - HEAP_FIRST) / HEAP_ALIGN_BYTES) * HEAP_ALIGN_BYTES;
    return inner->reserve(inner->ctx, hint, bytes, out_reserved);
}

static kiln_os_answer_t scatter_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                       kiln_os_use_t use)
{
    const kiln_os_t *inner = ((const kiln_os_scatter_t *)ctx)->inner;
    return inner->commit(inner->ctx, addr, bytes, reserved, use);
}

static void scatter_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((const kiln_os_scatter_t *)ctx)->inner;
    inner->discard(inner->ctx, addr, bytes);
}

static void scatter_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((const kiln_os_scatter_t *)ctx)->inner;
    inner->decommit(inner->ctx, addr, bytes);
}

static bool scatter_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    const kiln_os_t *inner = ((const kiln_os_scatter_t *)ctx)->inner;
    return inner->protect(inner->ctx, addr, bytes, access);
}

static bool scatter_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    return kiln_os_guard(((const kiln_os_scatter_t *)ctx)->inner, addr, bytes, on);
}

static void scatter_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_huge(((const kiln_os_scatter_t *)ctx)->inner, addr, bytes, on);
}

static void scatter_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((const kiln_os_scatter_t *)ctx)->inner;
    inner->release(inner->ctx, addr, bytes);
}

/* One after the other, with gaps: memory that lies all over the address space takes a page of page
 * tables each. */
static kiln_addr_t hint_for(kiln_os_scatter_t *scatter, uint64_t bytes)
{
    if (!has_room(scatter)) return 0;
    uint64_t gap = (1 + draw(scatter, GAP_PAGES_MAX)) * scatter->inner->phys_bytes;
    return atomic_fetch_add_explicit(&scatter->next_record, bytes + gap, memory_order_relaxed);
}

/* The memory between two pages that stay Reserved, or 0: there is no such place. */
static kiln_addr_t between_pages(kiln_os_scatter_t *scatter, uint64_t bytes, kiln_os_use_t use)
{
    const kiln_os_t *inner = scatter->inner;
    uint64_t page = inner->phys_bytes, all = bytes + 2 * page;
    bool reserved = false;
    if (all < bytes) return 0;
    kiln_addr_t start = inner->reserve(inner->ctx, hint_for(scatter, all), all, &reserved);
    if (start == 0 || !reserved) return 0;
    if (inner->commit(inner->ctx, start + page, bytes, true, use) == KILN_OS_OK)
        return start + page;
    inner->release(inner->ctx, start, all);
    return 0;
}

/* Memory for programs, which an arena may be given so, has to lie where the arena is. */
static kiln_addr_t scatter_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_os_scatter_t *scatter = ctx;
    const kiln_os_t *inner = scatter->inner;
    uint64_t whole = kiln_round_up(bytes, inner->phys_bytes);
    kiln_addr_t addr = 0;
    if (use == KILN_OS_META && bytes != 0 && whole >= bytes)
        addr = between_pages(scatter, whole, use);
    return addr != 0 ? addr : inner->direct(inner->ctx, bytes, use);
}

void kiln_os_scatter_init(kiln_os_scatter_t *scatter, const kiln_os_t *inner, uint64_t seed)
{
    *scatter = (kiln_os_scatter_t){
        .os =
            {
                .ctx = scatter,
                .phys_bytes = inner->phys_bytes,
                .huge_bytes = inner->huge_bytes,
                .addr_bits = inner->addr_bits,
                .reserve = scatter_reserve,
                .commit = scatter_commit,
                .discard = scatter_discard,
                .decommit = scatter_decommit,
                .protect = scatter_protect,
                .guard = scatter_guard,
                .huge = scatter_huge,
                .release = scatter_release,
                .direct = scatter_direct,
                .parker = inner->parker,
            },
        .inner = inner,
        .seed = seed,
    };
    uint64_t pages = (RECORDS_LAST - RECORDS_FIRST) / inner->phys_bytes;
    kiln_addr_t first = RECORDS_FIRST + draw(scatter, pages) * inner->phys_bytes;
    atomic_store_explicit(&scatter->next_record, has_room(scatter) ? first : 0,
                          memory_order_relaxed);
}
