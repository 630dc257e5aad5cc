/* parser_example own|kiln - a parser with a pool, and a bug that the pool hides.
 *
 * It reads settings, "name=number" a line, into nodes of a pool, and empties the pool between two
 * files. The bug: `chosen` still points to a node of the first file when the second one is read.
 *
 *   own    the pool is an array of its own. AddressSanitizer sees one block that is alive all the
 *          time, and the program prints a setting of the other file: 7 for a timeout
 *   kiln   the pool takes its nodes from a heap of Kiln's, as the lines with kiln_ show, and gives
 *          them all back at once. AddressSanitizer reports the use, with the stacks of the node's
 *          allocation and free
 *
 * Built with a sanitizer, or run under valgrind: tests/watch/watch_test.sh does. */
#include "allocator/api/start.h"
#include "allocator/os/linux.h"
#include "allocator/os/within.h"
#include "sanitizer/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 64, NAME_MAX_BYTES = 24 };

typedef struct node {
    struct node *next;
    long value;
    char name[NAME_MAX_BYTES];
} node_t;

typedef struct pool {
    node_t own[NODES_MAX]; /* of `own` */
    unsigned used;
    kiln_heap_t *heap; /* of `kiln`; else NULL */
} pool_t;

static node_t *pool_take(pool_t *pool)
{
    if (pool->heap) return kiln_heap_malloc(pool->heap, NULL, sizeof(node_t));
    return pool->used < NODES_MAX ? &pool->own[pool->used++] : NULL;
}

static void pool_empty(pool_t *pool)
{
    pool->used = 0;
    if (pool->heap) kiln_heap_reset(pool->heap);
}

/* parse gives the nodes of a text, the last line first; NULL: a line that is none, or no room. */
static node_t *parse(pool_t *pool, const char *text)
{
    node_t *nodes = NULL;
    while (*text) {
        node_t *node = pool_take(pool);
        int length = 0;
        if (!node) return NULL;
        if (sscanf(text, "%23[^=]=%ld\n%n", node->name, &node->value, &length) != 2) return NULL;
        node->next = nodes;
        nodes = node;
        text += length;
    }
    return nodes;
}

static const node_t *find(const node_t *nodes, const char *name)
{
    while (nodes && strcmp(nodes->name, name) != 0) nodes = nodes->next;
    return nodes;
}

/* open_heap makes a heap that the tool of this build watches. */
static kiln_heap_t *open_heap(void)
{
    static kiln_os_t os;
    static kiln_os_within_t small; /* a GiB is enough, and quick under valgrind */
    static kiln_heap_t heap;
    kiln_os_linux_init(&os, 0);
    kiln_os_within_init(&small, &os, 0, 0, KILN_GIB(1));
    kiln_heap_config_t config = kiln_start_config(kiln_watch_os(&small.os));
    config.watcher = kiln_watch();
    const char *reason = kiln_heap_init(&heap, &config);
    if (!reason) return &heap;
    fprintf(stderr, "parser_example: no heap: %s\n", reason);
    exit(2);
}

int main(int argc, char **argv)
{
    static pool_t pool;
    bool kiln = argc == 2 && strcmp(argv[1], "kiln") == 0;
    if (!kiln && (argc != 2 || strcmp(argv[1], "own") != 0)) {
        fputs("usage: parser_example own|kiln\n", stderr);
        return 2;
    }
    if (kiln) pool.heap = open_heap();

    node_t *first = parse(&pool, "timeout=30\nretries=5\n");
    const node_t *chosen = find(first, "timeout");
    pool_empty(&pool);
    node_t *second = parse(&pool, "workers=7\n");
    if (!chosen || !second) return 2;
    printf("timeout %ld\n", chosen->value); /* the bug */
    pool_empty(&pool);
    return 0;
}
