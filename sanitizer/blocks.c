#define _GNU_SOURCE
#include "sanitizer/blocks.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RECORDS_MIN = 1024, OWN_FRAMES = 1, LEAST_PC = 4096 };

static struct {
    pthread_mutex_t lock;
    kiln_blocks_record_t *records;
    size_t max, used; /* a power of two; at most half of it is used */
    uint64_t allocs;
} blocks = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local struct {
    uintptr_t start, end; /* of the thread's stack; 0, 0: unknown */
    uint32_t thread;
} here;

static void learn_thread(void)
{
    pthread_attr_t attributes;
    void *start;
    size_t bytes;
    here.thread = (uint32_t)syscall(SYS_gettid);
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    if (pthread_attr_getstack(&attributes, &start, &bytes) == 0) {
        here.start = (uintptr_t)start;
        here.end = (uintptr_t)start + bytes;
    }
    (void)pthread_attr_destroy(&attributes);
}

/* A frame is two words: the caller's frame, and where the function returns to. Frames lie at ever
 * higher addresses, so that the walk ends. */
static void capture(kiln_blocks_event_t *out)
{
    if (here.thread == 0) learn_thread();
    out->thread = here.thread;
    out->count = 0;
    if (here.end == 0) return; /* nobody knows where the stack ends */
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    for (unsigned i = 0; out->count < KILN_BLOCKS_FRAMES_MAX; i++) {
        if (frame % sizeof frame != 0 || frame < here.start ||
            frame > here.end - 2 * sizeof(uintptr_t))
            return;
        const uintptr_t *words = (const uintptr_t *)frame;
        if (words[1] < LEAST_PC) return;
        if (i >= OWN_FRAMES) out->pcs[out->count++] = words[1];
        if (words[0] <= frame) return;
        frame = words[0];
    }
}

/* The place of a block's record, or the empty one where it would be. */
static kiln_blocks_record_t *place_of(kiln_blocks_record_t *records, size_t max, kiln_addr_t block)
{
    size_t idx = (size_t)((block >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (max - 1);
    while (records[idx].block != 0 && records[idx].block != block) idx = (idx + 1) & (max - 1);
    return &records[idx];
}

static void before_fork(void)
{
    (void)pthread_mutex_lock(&blocks.lock);
}

static void after_fork(void)
{
    (void)pthread_mutex_unlock(&blocks.lock);
}

static void in_child(void)
{
    here.thread = 0;
    after_fork();
}

static kiln_blocks_record_t *new_table(size_t max)
{
    void *table = mmap(NULL, max * sizeof(kiln_blocks_record_t), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return table == MAP_FAILED ? NULL : table;
}

static void end_table(kiln_blocks_record_t *table, size_t max)
{
    if (table) (void)munmap(table, max * sizeof *table);
}

/* make_room: can a record come to the table? */
static bool make_room(void)
{
    static bool forks_known;
    if (blocks.used < blocks.max / 2) return true;
    if (!forks_known) (void)pthread_atfork(before_fork, after_fork, in_child);
    forks_known = true;
    size_t max = blocks.max ? 2 * blocks.max : RECORDS_MIN;
    kiln_blocks_record_t *records = new_table(max);
    if (!records) return false;
    for (size_t i = 0; i < blocks.max; i++)
        if (blocks.records[i].block != 0)
            *place_of(records, max, blocks.records[i].block) = blocks.records[i];
    end_table(blocks.records, blocks.max);
    blocks.records = records;
    blocks.max = max;
    return true;
}

void kiln_blocks_alloc(kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    kiln_blocks_record_t new = {.block = block, .bytes = bytes, .slot_bytes = slot_bytes};
    capture(&new.alloc);
    (void)pthread_mutex_lock(&blocks.lock);
    if (make_room()) {
        kiln_blocks_record_t *record = place_of(blocks.records, blocks.max, block);
        if (record->block == 0) blocks.used++;
        new.number = ++blocks.allocs;
        *record = new;
    }
    (void)pthread_mutex_unlock(&blocks.lock);
}

void kiln_blocks_free(kiln_addr_t block)
{
    kiln_blocks_event_t event;
    capture(&event);
    (void)pthread_mutex_lock(&blocks.lock);
    if (blocks.max) {
        kiln_blocks_record_t *record = place_of(blocks.records, blocks.max, block);
        if (record->block == block) record->free = event;
    }
    (void)pthread_mutex_unlock(&blocks.lock);
}

uint64_t kiln_blocks_bytes(kiln_addr_t block)
{
    uint64_t bytes = 0;
    (void)pthread_mutex_lock(&blocks.lock);
    if (blocks.max) {
        const kiln_blocks_record_t *record = place_of(blocks.records, blocks.max, block);
        if (record->block == block && record->free.thread == 0) bytes = record->bytes;
    }
    (void)pthread_mutex_unlock(&blocks.lock);
    return bytes;
}

bool kiln_blocks_at(kiln_addr_t address, kiln_blocks_record_t *out)
{
    bool found = false;
    if (pthread_mutex_trylock(&blocks.lock) != 0) return false;
    for (size_t i = 0; i < blocks.max; i++) {
        const kiln_blocks_record_t *record = &blocks.records[i];
        if (record->block == 0 || address - record->block >= record->slot_bytes) continue;
        if (found && out->number > record->number) continue; /* the place was used again */
        *out = *record;
        found = true;
    }
    (void)pthread_mutex_unlock(&blocks.lock);
    return found;
}

void kiln_blocks_drop(kiln_addr_t addr, uint64_t bytes)
{
    (void)pthread_mutex_lock(&blocks.lock);
    kiln_blocks_record_t *old = blocks.records;
    size_t old_max = blocks.max;
    blocks.records = NULL;
    blocks.max = blocks.used = 0;
    for (size_t i = 0; i < old_max; i++) {
        if (old[i].block == 0 || old[i].block - addr < bytes || !make_room()) continue;
        *place_of(blocks.records, blocks.max, old[i].block) = old[i];
        blocks.used++;
    }
    end_table(old, old_max);
    (void)pthread_mutex_unlock(&blocks.lock);
}

const kiln_blocks_record_t *kiln_blocks_hold(size_t *out_max)
{
    (void)pthread_mutex_lock(&blocks.lock);
    *out_max = blocks.max;
    if (!blocks.records) (void)pthread_mutex_unlock(&blocks.lock);
    return blocks.records;
}

void kiln_blocks_let_go(void)
{
    (void)pthread_mutex_unlock(&blocks.lock);
}
