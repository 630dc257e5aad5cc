/* Shapes of one thread and small blocks. */
#include "tests/bench/workload.h"

#include <string.h>

/* One block at a time: what a tight loop with a temporary does. */
static uint64_t run_single(kiln_load_t *load)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < load->ops; i++)
        sum += workload_end(workload_block(load->bytes, (uint8_t)i), load->bytes);
    return sum;
}

/* All are made, then all ended, the last first. */
static uint64_t run_lifo(kiln_load_t *load)
{
    void **blocks = workload_array(load, load->live, sizeof *blocks);
    uint64_t sum = 0, round = 0;
    for (uint64_t done = 0; done < load->ops; done += load->live, round++) {
        for (size_t i = 0; i < load->live; i++)
            blocks[i] = workload_block(load->bytes, (uint8_t)(i + round));
        for (size_t i = load->live; i-- > 0;) sum += workload_end(blocks[i], load->bytes);
    }
    return sum;
}

static void fill(void **blocks, const kiln_load_t *load)
{
    for (size_t i = 0; i < load->live; i++) blocks[i] = workload_block(load->bytes, (uint8_t)i);
}

static uint64_t empty(void **blocks, const kiln_load_t *load)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < load->live; i++) sum += workload_end(blocks[i], load->bytes);
    return sum;
}

/* The oldest is replaced. */
static uint64_t run_fifo(kiln_load_t *load)
{
    void **blocks = workload_array(load, load->live, sizeof *blocks);
    uint64_t sum = 0;
    size_t at = 0;
    fill(blocks, load);
    workload_phase_begin(load);
    for (uint64_t i = 0; i < load->ops; i++) {
        sum += workload_end(blocks[at], load->bytes);
        blocks[at] = workload_block(load->bytes, (uint8_t)i);
        if (++at == load->live) at = 0;
    }
    workload_phase_end(load);
    return sum + empty(blocks, load);
}

/* Any one is replaced. */
static uint64_t run_random(kiln_load_t *load)
{
    void **blocks = workload_array(load, load->live, sizeof *blocks);
    kiln_rng_t rng = {load->seed};
    uint64_t sum = 0;
    fill(blocks, load);
    workload_phase_begin(load);
    for (uint64_t i = 0; i < load->ops; i++) {
        size_t at = (size_t)kiln_rng_below(&rng, load->live);
        sum += workload_end(blocks[at], load->bytes);
        blocks[at] = workload_block(load->bytes, (uint8_t)i);
    }
    workload_phase_end(load);
    return sum + empty(blocks, load);
}

/* What run_random does to its blocks, but none is ended or made: the cost of the memory itself. */
static uint64_t run_touch(kiln_load_t *load)
{
    unsigned char **blocks = workload_array(load, load->live, sizeof *blocks);
    kiln_rng_t rng = {load->seed};
    uint64_t sum = 0;
    fill((void **)blocks, load);
    workload_phase_begin(load);
    for (uint64_t i = 0; i < load->ops; i++) {
        unsigned char *block = blocks[kiln_rng_below(&rng, load->live)];
        if (block[load->bytes - 1] != block[0])
            workload_failed("a block does not hold what was written");
        sum += block[0];
        block[0] = (uint8_t)i;
        block[load->bytes - 1] = (uint8_t)i;
    }
    workload_phase_end(load);
    return sum + empty((void **)blocks, load);
}

/* Blocks of mixed sizes, each replaced by one of another size. */
static uint64_t run_mix(kiln_load_t *load)
{
    kiln_held_t *held = workload_array(load, load->live, sizeof *held);
    kiln_rng_t rng = {load->seed};
    uint64_t sum = 0;
    for (uint64_t i = 0; i < load->ops; i++) {
        kiln_held_t *at = &held[kiln_rng_below(&rng, load->live)];
        sum += workload_replace(at, workload_size(&rng), (uint8_t)i);
    }
    return sum + workload_drop(held, load->live);
}

/* Trees that are built and taken apart again and again: small nodes, all of one life. */
typedef struct node {
    struct node *left, *right;
} node_t;

static node_t *tree_build(unsigned depth)
{
    node_t *node = malloc(sizeof *node);
    if (!node) workload_failed("malloc gave NULL");
    node->left = depth > 0 ? tree_build(depth - 1) : NULL;
    node->right = depth > 0 ? tree_build(depth - 1) : NULL;
    return node;
}

static uint64_t tree_end(node_t *node)
{
    uint64_t nodes = 1;
    if (node->left) nodes += tree_end(node->left) + tree_end(node->right);
    free(node);
    return nodes;
}

/* One large tree stays; half of the nodes are of trees of 2^18 nodes, half of small ones. */
static uint64_t run_tree(kiln_load_t *load)
{
    uint64_t nodes = 0;
    node_t *kept = tree_build(18);
    while (nodes < load->ops) {
        uint64_t until = nodes + ((uint64_t)1 << 18);
        nodes += tree_end(tree_build(17));
        while (nodes < until) nodes += tree_end(tree_build(7));
    }
    return nodes + tree_end(kept);
}

/* Texts of a few words that are put together, copied and thrown away, as interpreters do. */
static uint64_t run_text(kiln_load_t *load)
{
    char **texts = workload_array(load, load->live, sizeof *texts);
    kiln_rng_t rng = {load->seed};
    uint64_t sum = 0;
    for (uint64_t i = 0; i < load->ops; i += 2) {
        uint64_t random = kiln_rng_next(&rng);
        char **at = &texts[random % load->live];
        size_t bytes = 9 + (size_t)((random >> 20) % 48);
        char *joined = malloc(bytes * 2), *copy = malloc(bytes);
        if (!joined || !copy) workload_failed("malloc gave NULL");
        memset(copy, 'a' + (int)(i / 2 % 26), bytes - 1);
        copy[bytes - 1] = '\0';
        memcpy(joined, copy, bytes - 1);
        memcpy(joined + bytes - 1, copy, bytes);
        free(copy);
        if (*at) sum += (unsigned char)**at + strlen(*at);
        free(*at);
        *at = joined;
    }
    for (size_t i = 0; i < load->live; i++) free(texts[i]);
    return sum;
}

const kiln_shape_t kiln_shapes_alone[] = {
    {"single", "a block, ended at once", run_single, 20000000, 64, 0, 0},
    {"lifo", "blocks made, then ended in reverse", run_lifo, 20000000, 64, 10000, 0},
    {"fifo", "blocks of which the oldest is replaced", run_fifo, 20000000, 64, 10000, 0},
    {"random", "blocks of which any is replaced", run_random, 20000000, 64, 10000, 0},
    {"touch", "as random, but none is ended or made", run_touch, 20000000, 64, 10000, 0},
    {"mix", "blocks of mixed sizes, any replaced", run_mix, 10000000, 0, 20000, 0},
    {"tree", "binary trees built and taken apart", run_tree, 20000000, 0, 0, 0},
    {"text", "short texts joined, copied and dropped", run_text, 20000000, 0, 512, 0},
    {NULL, NULL, NULL, 0, 0, 0, 0},
};
