/* page_runs_seals.h - the seals of records as page_runs_harness.c has them: what a record was when
 * it was sealed, in place of a checksum, which a solver cannot take. So a record that is changed
 * and not sealed again is found where it is used next, or at the end. Part of the harness: it uses
 * what that defines before it. */
#ifndef KILN_TESTS_PROOF_PAGE_RUNS_SEALS_H
#define KILN_TESTS_PROOF_PAGE_RUNS_SEALS_H

static struct {
    uintptr_t minus_base;
    size_t slots_bytes;
    uint32_t pages;
    uint8_t kind;
} sealed[RECORDS];

void kiln_span_seal(const kiln_seal_t *seal, kiln_span_t *span)
{
    uint32_t i = number_of(span);
    (void)seal;
    sealed[i].minus_base = span->minus_base;
    sealed[i].slots_bytes = span->slots_bytes;
    sealed[i].pages = span->pages;
    sealed[i].kind = span->kind;
}

bool kiln_span_is_sealed(const kiln_seal_t *seal, const kiln_span_t *span)
{
    uint32_t i = number_of(span);
    (void)seal;
    return sealed[i].minus_base == span->minus_base && sealed[i].slots_bytes == span->slots_bytes &&
           sealed[i].pages == span->pages && sealed[i].kind == span->kind;
}

void kiln_seal_broken(const kiln_seal_t *seal, const void *record)
{
    (void)seal, (void)record;
    PROOF_ASSERT(0, "a record that is used is as it was sealed");
    PROOF_ASSUME(0);
}

static void prove_seals(void)
{
    for (uint32_t i = 0; i < RECORDS; i++)
        if (is_there(records[i]))
            PROOF_ASSERT(kiln_span_is_sealed(&heap.seal, records[i]), "what changed is sealed");
}

#endif
