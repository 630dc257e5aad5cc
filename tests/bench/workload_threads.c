/* Shapes of several threads, as many as are asked for, however many cores there are. The work is
 * divided among them, and a sum does not depend on who was faster. */
#include "tests/bench/workload.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct worker {
    pthread_t thread;
    kiln_load_t *load;
    kiln_rng_t rng;
    uint64_t ops; /* this thread's share */
    uint64_t sum;
    kiln_held_t *held;
    unsigned idx;
    unsigned char padding[64]; /* no two threads write to one cache line */
} worker_t;

static worker_t *new_workers(kiln_load_t *load)
{
    worker_t *workers = workload_array(load, load->threads, sizeof *workers);
    for (unsigned i = 0; i < load->threads; i++)
        workers[i] = (worker_t){.load = load,
                                .rng = {load->seed + i},
                                .ops = (load->ops + load->threads - 1) / load->threads,
                                .idx = i};
    return workers;
}

static void start(worker_t *worker, void *(*run)(void *))
{
    if (pthread_create(&worker->thread, NULL, run, worker) != 0)
        workload_failed("no more threads can be started");
}

static uint64_t run_all(worker_t *workers, unsigned count, void *(*run)(void *))
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++) start(&workers[i], run);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        sum += workers[i].sum;
        workers[i].sum = 0;
    }
    return sum;
}

/* Every thread for itself. */
static void *apart(void *arg)
{
    worker_t *worker = arg;
    size_t live = worker->load->live;
    for (uint64_t i = 0; i < worker->ops; i++) {
        kiln_held_t *at = &worker->held[kiln_rng_below(&worker->rng, live)];
        worker->sum += workload_replace(at, workload_size(&worker->rng), (uint8_t)i);
    }
    worker->sum += workload_drop(worker->held, live);
    return NULL;
}

static uint64_t run_apart(kiln_load_t *load)
{
    worker_t *workers = new_workers(load);
    for (unsigned i = 0; i < load->threads; i++)
        workers[i].held = workload_array(load, load->live, sizeof *workers->held);
    workload_phase_begin(load);
    uint64_t sum = run_all(workers, load->threads, apart);
    workload_phase_end(load);
    return sum;
}

/* Half of the threads make batches of blocks, the other half ends them. */
enum { BATCH_BLOCKS = 120, QUEUE_BATCHES = 256 };

typedef struct batch {
    void *blocks[BATCH_BLOCKS];
    size_t bytes;
} batch_t;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t not_full, not_empty;
    batch_t *batches[QUEUE_BATCHES];
    unsigned count;
    unsigned makers;
} queue = {
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, {NULL}, 0, 0};

static void *make_batches(void *arg)
{
    worker_t *worker = arg;
    for (uint64_t ops = 0; ops < worker->ops; ops += BATCH_BLOCKS) {
        batch_t *batch = malloc(sizeof *batch);
        if (!batch) workload_failed("malloc gave NULL");
        batch->bytes = 16 + (size_t)kiln_rng_below(&worker->rng, 496);
        for (unsigned i = 0; i < BATCH_BLOCKS; i++)
            batch->blocks[i] = workload_block(batch->bytes, (uint8_t)i);
        pthread_mutex_lock(&queue.lock);
        while (queue.count == QUEUE_BATCHES) pthread_cond_wait(&queue.not_full, &queue.lock);
        queue.batches[queue.count++] = batch;
        pthread_cond_signal(&queue.not_empty);
        pthread_mutex_unlock(&queue.lock);
    }
    pthread_mutex_lock(&queue.lock);
    queue.makers--;
    pthread_cond_broadcast(&queue.not_empty);
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

static void *end_batches(void *arg)
{
    worker_t *worker = arg;
    for (;;) {
        batch_t *batch = NULL;
        pthread_mutex_lock(&queue.lock);
        while (queue.count == 0 && queue.makers > 0)
            pthread_cond_wait(&queue.not_empty, &queue.lock);
        if (queue.count > 0) batch = queue.batches[--queue.count];
        pthread_cond_signal(&queue.not_full);
        pthread_mutex_unlock(&queue.lock);
        if (!batch) return NULL;
        for (unsigned i = 0; i < BATCH_BLOCKS; i++)
            worker->sum += workload_end(batch->blocks[i], batch->bytes);
        free(batch);
    }
}

static void *make_or_end(void *arg)
{
    worker_t *worker = arg;
    return worker->idx % 2 == 0 ? make_batches(worker) : end_batches(worker);
}

static uint64_t run_queue(kiln_load_t *load)
{
    worker_t *workers = new_workers(load);
    if (load->threads % 2 != 0) workload_misused("queue wants --threads to be even");
    queue.makers = load->threads / 2;
    for (unsigned i = 0; i < load->threads; i++) workers[i].ops *= 2; /* only half of them make */
    return run_all(workers, load->threads, make_or_end);
}

/* A server whose threads end now and then and leave their blocks to a new one. */
enum { HAND_ROUNDS = 30 };

static void *hand_over(void *arg)
{
    worker_t *worker = arg;
    for (uint64_t i = 0; i < worker->ops; i++) {
        kiln_held_t *at = &worker->held[kiln_rng_below(&worker->rng, worker->load->live)];
        size_t bytes = 10 + (size_t)kiln_rng_below(&worker->rng, 990);
        worker->sum += workload_replace(at, bytes, (uint8_t)i);
    }
    return NULL;
}

static uint64_t run_hand(kiln_load_t *load)
{
    worker_t *workers = new_workers(load);
    size_t live = load->live;
    kiln_held_t *held = workload_array(load, live * load->threads, sizeof *held);
    uint64_t sum = 0;
    for (unsigned i = 0; i < load->threads; i++)
        workers[i].ops = (workers[i].ops + HAND_ROUNDS - 1) / HAND_ROUNDS;
    for (unsigned round = 0; round < HAND_ROUNDS; round++) {
        for (unsigned i = 0; i < load->threads; i++)
            workers[i].held = held + (i + round) % load->threads * live;
        sum += run_all(workers, load->threads, hand_over);
    }
    return sum + workload_drop(held, live * load->threads);
}

/* Threads keep blocks for a while, and leave others where any thread may pick them up. The sum is
 * the number of blocks ended. */
enum { SHARED = 2000 };

static kiln_held_t *_Atomic shared[SHARED];

static kiln_held_t *new_held(worker_t *worker)
{
    kiln_held_t *held = malloc(sizeof *held);
    if (!held) workload_failed("malloc gave NULL");
    held->bytes = workload_size(&worker->rng);
    held->block = workload_block(held->bytes, 1);
    return held;
}

static uint64_t end_held(kiln_held_t *held)
{
    if (!held) return 0;
    uint64_t mark = workload_end(held->block, held->bytes);
    free(held);
    return mark;
}

static void *share(void *arg)
{
    worker_t *worker = arg;
    size_t live = worker->load->live;
    kiln_held_t **kept = calloc(live, sizeof *kept);
    if (!kept) workload_failed("calloc gave NULL");
    for (uint64_t i = 0; i < worker->ops; i++) {
        uint64_t random = kiln_rng_next(&worker->rng);
        kiln_held_t *held = new_held(worker);
        if (random % 4 == 0) { /* swap with whoever left something there */
            held = atomic_exchange(&shared[(random >> 8) % SHARED], held);
            worker->sum += end_held(held);
        } else {
            kiln_held_t **at = &kept[(random >> 8) % live];
            worker->sum += end_held(*at);
            *at = held;
        }
    }
    for (size_t i = 0; i < live; i++) worker->sum += end_held(kept[i]);
    free(kept);
    return NULL;
}

static uint64_t run_share(kiln_load_t *load)
{
    uint64_t sum = run_all(new_workers(load), load->threads, share);
    for (unsigned i = 0; i < SHARED; i++) sum += end_held(atomic_exchange(&shared[i], NULL));
    return sum;
}

/* Blocks that one thread made lie side by side; others end them, make their own and write to those
 * again and again. A heap that gives two threads blocks of one cache line makes them slow. */
enum { SCRATCH_WRITES = 100 };

static void *scratch(void *arg)
{
    worker_t *worker = arg;
    size_t bytes = worker->load->bytes;
    worker->sum += workload_drop(worker->held, 1);
    for (uint64_t i = 0; i < worker->ops; i++) {
        volatile unsigned char *block = workload_block(bytes, (uint8_t)i);
        for (unsigned k = 0; k < SCRATCH_WRITES; k++) block[0] = (uint8_t)(block[0] + 1);
        block[bytes - 1] = block[0];
        worker->sum += workload_end((void *)block, bytes);
    }
    return NULL;
}

static uint64_t run_scratch(kiln_load_t *load)
{
    worker_t *workers = new_workers(load);
    kiln_held_t *held = workload_array(load, load->threads, sizeof *held);
    for (unsigned i = 0; i < load->threads; i++) {
        workload_replace(&held[i], load->bytes, 1);
        workers[i].held = &held[i];
    }
    return run_all(workers, load->threads, scratch);
}

/* Short-lived threads, THREADS at a time; each makes 100 blocks. */
enum { LIFE_BLOCKS = 100 };

static void *short_life(void *arg)
{
    worker_t *worker = arg;
    void *blocks[LIFE_BLOCKS];
    for (unsigned i = 0; i < LIFE_BLOCKS; i++) blocks[i] = workload_block(16 + i * 20, (uint8_t)i);
    for (unsigned i = 0; i < LIFE_BLOCKS; i++) worker->sum += workload_end(blocks[i], 16 + i * 20);
    return NULL;
}

static uint64_t run_threads(kiln_load_t *load)
{
    worker_t *workers = new_workers(load);
    uint64_t sum = 0, round_ops = (uint64_t)LIFE_BLOCKS * load->threads;
    for (uint64_t done = 0; done < load->ops; done += round_ops)
        sum += run_all(workers, load->threads, short_life);
    return sum;
}

const kiln_shape_t kiln_shapes_threads[] = {
    {"apart", "threads that share nothing", run_apart, 10000000, 0, 5000, 4},
    {"queue", "threads that make blocks and threads that end them", run_queue, 5000000, 0, 0, 4},
    {"hand", "threads that end and leave their blocks to new ones", run_hand, 8000000, 0, 1000, 4},
    {"share", "threads that exchange blocks", run_share, 5000000, 0, 2000, 4},
    {"scratch", "threads that write to small blocks again and again", run_scratch, 4000000, 8, 0,
     4},
    {"threads", "short-lived threads", run_threads, 1500000, 0, 0, 2},
    {NULL, NULL, NULL, 0, 0, 0, 0},
};
