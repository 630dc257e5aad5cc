/* heap_subject.c - which functions a call of the malloc family becomes (heap_subject.h). */
#include "fuzz/heap_subject.h"

#include "allocator/harden/harden_kept.h"
#include "fuzz/fiber.h"

static const char *const takes[] = {"malloc", "operator new", "operator new[]"};
static const char *const gives[] = {"free", "operator delete", "operator delete[]"};

/* Not by TSan: logical threads count together. */
KILN_FIBER_UNSEEN kiln_site_t kiln_subject_site(kiln_subject_t *subject, const char *call)
{
    return (kiln_site_t){call, ++subject->calls};
}

static kiln_by_t by_site(const kiln_harden_t *harden, kiln_site_t site)
{
    return (kiln_by_t){site, harden->config.stack(site.caller)};
}

/* The common path that there is for a thread of this heap, or NULL. */
static void *take_fast(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t bytes, bool zero,
                       kiln_site_t site)
{
    void *block = kiln_harden_malloc_fast(mine, bytes, site);
    if (block || !kiln_harden_keeps(mine, bytes)) return block;
    return kiln_harden_malloc_kept(harden->heap, mine, bytes, zero, by_site(harden, site));
}

static bool give_fast(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                      kiln_site_t site)
{
    return mine->kept_bytes != 0
               ? kiln_harden_free_kept(harden->heap, mine, block, by_site(harden, site))
               : kiln_harden_free_fast(harden->heap, mine, block, site);
}

static bool give_sized_fast(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                            size_t bytes, kiln_site_t site)
{
    return mine->kept_bytes != 0
               ? kiln_harden_free_sized_kept(harden->heap, mine, block, bytes,
                                             by_site(harden, site))
               : kiln_harden_free_sized_fast(harden->heap, mine, block, bytes, site);
}

static void *take_hardened(kiln_subject_t *subject, const kiln_subject_by_t *by, size_t align,
                           size_t count, size_t bytes)
{
    kiln_harden_t *harden = &subject->harden;
    kiln_site_t site = kiln_subject_site(subject, count ? "calloc" : takes[by->family]);
    if (align) return kiln_harden_aligned(harden, by->hardened, align, bytes, site);
    if (count && __builtin_mul_overflow(count, bytes, &bytes)) return NULL;
    if (by->hardened && !subject->slow) {
        void *block = take_fast(harden, by->hardened, bytes, count != 0, site);
        if (block) return block;
    }
    return kiln_harden_malloc(harden, by->hardened, bytes, count != 0, site);
}

void *kiln_subject_alloc(kiln_subject_t *subject, const kiln_subject_by_t *by, size_t align,
                         size_t count, size_t bytes)
{
    kiln_heap_t *heap = &subject->heap;
    if (subject->hardens) return take_hardened(subject, by, align, count, bytes);
    if (align) return kiln_heap_aligned(heap, by->cache, align, bytes);
    if (count) return kiln_heap_calloc(heap, by->cache, count, bytes);
    return kiln_heap_malloc(heap, by->cache, bytes);
}

void *kiln_subject_realloc(kiln_subject_t *subject, const kiln_subject_by_t *by, void *block,
                           size_t bytes, kiln_misuse_t *out_misuse)
{
    if (!subject->hardens)
        return kiln_heap_realloc(&subject->heap, by->cache, block, bytes, out_misuse);
    return kiln_harden_realloc(&subject->harden, by->hardened, block, bytes,
                               kiln_subject_site(subject, "realloc"), out_misuse);
}

kiln_misuse_t kiln_subject_free(kiln_subject_t *subject, const kiln_subject_by_t *by, void *block)
{
    if (!subject->hardens) return kiln_heap_free(&subject->heap, by->cache, block);
    kiln_site_t site = kiln_subject_site(subject, gives[by->family]);
    if (by->hardened && !subject->slow && give_fast(&subject->harden, by->hardened, block, site))
        return KILN_MISUSE_NONE;
    return kiln_harden_free(&subject->harden, by->hardened, block, site);
}

kiln_misuse_t kiln_subject_free_sized(kiln_subject_t *subject, const kiln_subject_by_t *by,
                                      void *block, size_t align, size_t bytes)
{
    if (!subject->hardens)
        return kiln_heap_free_sized(&subject->heap, by->cache, block, align, bytes);
    kiln_site_t site = kiln_subject_site(subject, gives[by->family]);
    bool fast = by->hardened && !subject->slow && align == 0;
    if (fast && give_sized_fast(&subject->harden, by->hardened, block, bytes, site))
        return KILN_MISUSE_NONE;
    return kiln_harden_free_sized(&subject->harden, by->hardened, block, align, bytes, site);
}

size_t kiln_subject_usable(kiln_subject_t *subject, const void *block, kiln_misuse_t *out_misuse)
{
    if (!subject->hardens) return kiln_heap_usable(&subject->heap, block, out_misuse);
    return kiln_harden_usable(&subject->harden, block, out_misuse);
}
