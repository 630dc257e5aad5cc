#include "allocator/api/stack_depot.h"

#include "allocator/base/mix.h"

#include <string.h>

enum {
    CHAIN_MAX = 1 << 16, /* longer than any chain: a walk over ruined records ends */
    ID_MASK = (1 << 24) - 1,
};

typedef kiln_stack_record_t record_t;

static uint32_t mark_of(const record_t *record, kiln_stack_id_t id)
{
    return (uint32_t)kiln_mix((uint64_t)record->hash << 32 ^ id) ^ record->count;
}

/* A sum, so that no frame's product waits for that of another. The factors differ (all are odd), as
 * the same frames come in many orders where functions call each other. */
static uint32_t hash_of(const uintptr_t *frames, unsigned count)
{
    uint64_t sum = count;
    uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned i = 0; i < count; i++, factor += UINT64_C(0xd1342543de82ef94)) {
        uint64_t product = frames[i] * factor;
        sum += product ^ product >> 32;
    }
    return (uint32_t)kiln_mix(sum);
}

void kiln_stack_depot_init(kiln_stack_depot_t *depot, const kiln_os_t *os)
{
    depot->os = os;
    atomic_store_explicit(&depot->next, 1, memory_order_relaxed);
}

/* Memory at `*place`, which was 0: of two threads that bring some, one keeps its. 0: none. */
static uintptr_t fill(const kiln_stack_depot_t *depot, _Atomic uintptr_t *place, size_t bytes)
{
    const kiln_os_t *os = depot->os;
    uintptr_t mine = os ? (uintptr_t)os->direct(os->ctx, bytes, KILN_OS_META) : 0, theirs = 0;
    if (mine == 0) return 0;
    if (atomic_compare_exchange_strong_explicit(place, &theirs, mine, memory_order_acq_rel,
                                                memory_order_acquire))
        return mine;
    os->release(os->ctx, mine, bytes);
    return theirs;
}

static uintptr_t filled(const kiln_stack_depot_t *depot, _Atomic uintptr_t *place, size_t bytes)
{
    uintptr_t address = atomic_load_explicit(place, memory_order_acquire);
    return __builtin_expect(address != 0, 1) ? address : fill(depot, place, bytes);
}

/* The record of an id that may be wrong, or NULL. */
static const record_t *find(const kiln_stack_depot_t *depot, kiln_stack_id_t id)
{
    const record_t *record = kiln_stack_depot_record(depot, id);
    if (!record || record->count == 0 || record->count > KILN_STACK_FRAMES_MAX) return NULL;
    size_t bytes = sizeof *record + record->count * sizeof(uintptr_t);
    if ((id % KILN_DEPOT_CHUNK_UNITS) * (size_t)KILN_DEPOT_UNIT_BYTES + bytes >
        KILN_DEPOT_CHUNK_BYTES)
        return NULL;
    return record->mark == mark_of(record, id) ? record : NULL;
}

/* Room for a record, in one chunk. 0: there is none. */
static kiln_stack_id_t take_room(kiln_stack_depot_t *depot, size_t bytes)
{
    uint32_t units = (uint32_t)((bytes + KILN_DEPOT_UNIT_BYTES - 1) / KILN_DEPOT_UNIT_BYTES), id,
             next;
    uint32_t seen = atomic_load_explicit(&depot->next, memory_order_relaxed);
    do {
        id = seen;
        if (id % KILN_DEPOT_CHUNK_UNITS + units > KILN_DEPOT_CHUNK_UNITS)
            id = (id / KILN_DEPOT_CHUNK_UNITS + 1) * KILN_DEPOT_CHUNK_UNITS;
        next = id + units;
        if (next > KILN_DEPOT_UNITS_MAX) return 0;
    } while (!atomic_compare_exchange_weak_explicit(&depot->next, &seen, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return filled(depot, &depot->chunks[id / KILN_DEPOT_CHUNK_UNITS], KILN_DEPOT_CHUNK_BYTES) ? id
                                                                                              : 0;
}

static kiln_stack_id_t add(kiln_stack_depot_t *depot, _Atomic kiln_stack_id_t *bucket,
                           uint32_t hash, const uintptr_t *frames, unsigned count)
{
    kiln_stack_id_t id = take_room(depot, sizeof(record_t) + count * sizeof *frames);
    record_t *record = kiln_stack_depot_record(depot, id);
    if (!record) {
        atomic_fetch_add_explicit(&depot->dropped, 1, memory_order_relaxed);
        return 0;
    }
    record->hash = hash;
    record->count = count & UINT8_MAX;
    record->id = id & ID_MASK;
    record->mark = mark_of(record, id);
    memcpy(record->frames, frames, count * sizeof *frames);
    record->next = atomic_load_explicit(bucket, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(bucket, &record->next, id, memory_order_release,
                                                  memory_order_relaxed)) {
    }
    atomic_fetch_add_explicit(&depot->stacks, 1, memory_order_relaxed);
    return id;
}

/* The number of a stack in a bucket's chain; 0: it is not there. */
static kiln_stack_id_t look(const kiln_stack_depot_t *depot, _Atomic kiln_stack_id_t *bucket,
                            uint32_t hash, const uintptr_t *frames, unsigned count)
{
    kiln_stack_id_t id = atomic_load_explicit(bucket, memory_order_acquire);
    for (unsigned i = 0; id != 0 && i < CHAIN_MAX; i++) {
        const record_t *record = kiln_stack_depot_record(depot, id);
        if (!record) return 0;
        if (record->hash == hash && record->count == count &&
            memcmp(record->frames, frames, count * sizeof *frames) == 0)
            return id;
        id = record->next;
    }
    return 0;
}

/* Short programs would touch more pages of a large table than they keep stacks. */
static bool has_few(const kiln_stack_depot_t *depot)
{
    return atomic_load_explicit(&depot->stacks, memory_order_relaxed) < KILN_DEPOT_FEW_BUCKETS;
}

kiln_stack_id_t kiln_stack_depot_put(kiln_stack_depot_t *depot, const uintptr_t *frames,
                                     unsigned count)
{
    uint32_t hash = hash_of(frames, count);
    uintptr_t few = filled(depot, &depot->few, KILN_DEPOT_FEW_BUCKETS * sizeof(kiln_stack_id_t));
    if (few == 0) {
        atomic_fetch_add_explicit(&depot->dropped, 1, memory_order_relaxed);
        return 0;
    }
    _Atomic kiln_stack_id_t *bucket =
        (_Atomic kiln_stack_id_t *)few + hash % KILN_DEPOT_FEW_BUCKETS;
    kiln_stack_id_t id = look(depot, bucket, hash, frames, count);
    if (id != 0) return id;
    uintptr_t many = has_few(depot) ? 0
                                    : filled(depot, &depot->many,
                                             KILN_DEPOT_MANY_BUCKETS * sizeof(kiln_stack_id_t));
    if (many == 0) return add(depot, bucket, hash, frames, count);
    bucket = (_Atomic kiln_stack_id_t *)many + hash % KILN_DEPOT_MANY_BUCKETS;
    id = look(depot, bucket, hash, frames, count);
    return id != 0 ? id : add(depot, bucket, hash, frames, count);
}

unsigned kiln_stack_depot_get(const kiln_stack_depot_t *depot, kiln_stack_id_t id,
                              const uintptr_t **out_frames)
{
    const record_t *record = find(depot, id);
    if (!record) return 0;
    *out_frames = record->frames;
    return record->count;
}

static const char *broken_chain(const kiln_stack_depot_t *depot, kiln_stack_id_t id,
                                uint32_t bucket, uint32_t buckets)
{
    for (unsigned length = 0; id != 0; length++) {
        const record_t *record = find(depot, id);
        if (!record) return "a number in a bucket is a stack's";
        if (length == CHAIN_MAX) return "a bucket's chain ends";
        if (record->hash % buckets != bucket) return "a stack lies in its bucket";
        if (record->hash != hash_of(record->frames, record->count))
            return "a stack's hash is that of its frames";
        id = record->next;
    }
    return NULL;
}

static const char *broken_buckets(const kiln_stack_depot_t *depot, uintptr_t table,
                                  uint32_t buckets)
{
    const _Atomic kiln_stack_id_t *first = (const _Atomic kiln_stack_id_t *)table;
    const char *rule = NULL;
    for (uint32_t i = 0; first && i < buckets && !rule; i++) {
        kiln_stack_id_t id = atomic_load_explicit(&first[i], memory_order_acquire);
        rule = broken_chain(depot, id, i, buckets);
    }
    return rule;
}

const char *kiln_stack_depot_broken_rule(const kiln_stack_depot_t *depot)
{
    uintptr_t few = atomic_load_explicit(&depot->few, memory_order_acquire);
    uintptr_t many = atomic_load_explicit(&depot->many, memory_order_acquire);
    const char *rule = broken_buckets(depot, few, KILN_DEPOT_FEW_BUCKETS);
    return rule ? rule : broken_buckets(depot, many, KILN_DEPOT_MANY_BUCKETS);
}
