/* Writes and reads past the end, before the start, and of blocks that were freed. */
#include "allocator/api/kiln.h"
#include "tests/death/case.h"

#pragma weak kiln_check_heap /* other heaps have none */

/* Blocks of one slot size: half of them as long as the deed's, the others as long as its neighbours
 * are to be; mixed so that at every distance two of different lengths lie (Thue and Morse's). */
enum { BED_BLOCKS_MAX = 1300, REUSE_MAX = 3000 };

typedef struct bed {
    size_t count;
    char *blocks[BED_BLOCKS_MAX];
    size_t bytes[BED_BLOCKS_MAX];
} bed_t;

/* Where the deed is done: `victim` is the block whose bounds it leaves, `front` the one in whose
 * slot it first writes where no block's bytes are, `behind` the one after that slot, or
 * BED_BLOCKS_MAX. */
typedef struct place {
    size_t victim, front, behind;
    char *first;
    size_t bytes;
} place_t;

static bed_t bed;

static void make_bed(const case_args_t *args)
{
    bed.count = args->blocks < BED_BLOCKS_MAX ? args->blocks : BED_BLOCKS_MAX;
    for (size_t i = 0; i < bed.count; i++) {
        bed.bytes[i] = __builtin_parityl(i) ? args->neighbour : args->bytes;
        bed.blocks[i] = case_block(args, bed.bytes[i]);
    }
}

static size_t find(const char *block)
{
    for (size_t i = 0; i < bed.count; i++)
        if (bed.blocks[i] == block) return i;
    return BED_BLOCKS_MAX;
}

/* How many slots before the victim's the write begins (an underflow), or behind it. */
static size_t slots_away(size_t bytes, size_t slot, bool before)
{
    return before ? (bytes + slot - 1) / slot : bytes / slot;
}

/* Does a write by the arguments around this victim stay in slots that the bed has, and has the gap
 * that it goes to the neighbours that it is to have? */
static bool fits(const case_args_t *args, size_t victim, place_t *out)
{
    bool before = case_is(args->deed, "underflow-write"), run = case_is(args->how, "run");
    char *block = bed.blocks[victim];
    *out = (place_t){.victim = victim, .bytes = args->width};
    if (before) {
        out->first = block - args->distance;
        if (run) out->bytes = args->distance;
    } else {
        out->first = block + args->bytes + (run ? 0 : args->distance - 1);
        if (run) out->bytes = args->distance;
    }
    size_t away =
        slots_away(before ? args->distance : (size_t)(out->first - block), args->slot, before);
    char *front = before ? block - away * args->slot : block + away * args->slot;
    out->front = find(front);
    if (out->front == BED_BLOCKS_MAX) return false;
    if (away > 0 && bed.bytes[out->front] != args->neighbour) return false;
    out->behind = find(front + args->slot);
    bool crosses = out->first + out->bytes > front + args->slot;
    if (crosses && out->behind == BED_BLOCKS_MAX) return false;
    return true;
}

/* A place with a block behind the gap, rather than one without. */
static place_t find_place(const case_args_t *args)
{
    place_t place, best = {.victim = BED_BLOCKS_MAX};
    bool last = case_is(args->place, "last");
    for (size_t i = 0; i < bed.count; i++) {
        if (bed.bytes[i] != args->bytes || !fits(args, i, &place)) continue;
        best = place;
        if ((place.behind == BED_BLOCKS_MAX) == last) break;
    }
    if (best.victim == BED_BLOCKS_MAX) case_end(CASE_NO_PLACE, "no block lies as it is wanted");
    return best;
}

/* Around a block that lies alone, as in a heap that guards each: from its bounds nothing else is
 * known, and for a read nothing else matters. The block is in the middle of the bed, or its last.
 */
static place_t lone_place(const case_args_t *args)
{
    place_t place = {.victim = bed.count / 2, .behind = BED_BLOCKS_MAX, .bytes = args->width};
    if (bed.count == 0) case_end(CASE_USAGE, "an access is of some block");
    if (case_is(args->place, "last")) place.victim = bed.count - 1;
    while (bed.bytes[place.victim] != args->bytes && place.victim > 0) place.victim--;
    place.front = place.victim;
    bool before = case_is(args->deed, "underflow-write") || case_is(args->deed, "underflow-read");
    place.first = before ? bed.blocks[place.victim] - args->distance
                         : bed.blocks[place.victim] + args->bytes + args->distance - 1;
    return place;
}

static bool reads(const case_args_t *args)
{
    return case_is(args->deed, "overflow-read") || case_is(args->deed, "underflow-read") ||
           case_is(args->deed, "freed-read");
}

static void access_bytes(const case_args_t *args, char *first, size_t bytes)
{
    if (reads(args))
        case_read(first, bytes);
    else
        case_flip(first, bytes);
}

static void give_all(void)
{
    for (size_t i = 0; i < bed.count; i++) case_give("free", bed.blocks[i], 0, 0);
}

static void tell(const case_args_t *args, const place_t *place)
{
    case_fact(reads(args) ? "read" : "write", place->first, place->bytes);
    case_fact("block", bed.blocks[place->victim], bed.bytes[place->victim]);
    case_fact("front", bed.blocks[place->front], bed.bytes[place->front]);
    if (place->behind != BED_BLOCKS_MAX)
        case_fact("behind", bed.blocks[place->behind], bed.bytes[place->behind]);
}

void case_overflow(const case_args_t *args)
{
    if (args->distance == 0) case_end(CASE_USAGE, "an access is somewhere");
    make_bed(args);
    place_t place = args->slot == 0 ? lone_place(args) : find_place(args);
    tell(args, &place);
    if (case_is(args->place, "freed")) case_give("free", bed.blocks[place.front], 0, 0);
    if (!args->right) access_bytes(args, place.first, place.bytes);
    if (case_is(args->when, "realloc"))
        bed.blocks[place.front] =
            case_resize(bed.blocks[place.front], bed.bytes[place.front] * 2 + 64);
    if (case_is(args->when, "check")) (void)kiln_check_heap();
    if (!case_is(args->when, "check") && !case_is(args->when, "exit")) give_all();
}

/* Allocates until the address comes back: when it is handed out again. It may be in quarantine once
 * more, then it does not. */
static void take_until(const case_args_t *args, const char *block)
{
    const char *again = NULL;
    for (unsigned i = 0; i < REUSE_MAX && again != block; i++)
        again = case_take(args->take, args->align, 1, args->bytes);
}

/* A block that was freed, and lies where it lay: none of the later ones is kept. */
void case_freed(const case_args_t *args)
{
    make_bed(args); /* company: the pages stay those of this size */
    char *block = case_block(args, args->bytes), *wall = case_block(args, args->bytes);
    case_fact("block", block, args->bytes);
    case_fact(reads(args) ? "read" : "write", block + args->distance, args->width);
    if (case_is(args->how, "realloc")) {
        char *moved = case_resize(block, args->bytes * 2 + 64);
        if (moved == block) case_end(CASE_NO_PLACE, "realloc did not move the block");
        case_fact("moved", moved, args->bytes * 2 + 64);
    } else {
        case_give(args->call, block, args->align, args->bytes);
    }
    case_ops(args, args->ops);
    if (!args->right) access_bytes(args, block + args->distance, args->width);
    case_ops(args, args->later);
    if (case_is(args->when, "reuse")) take_until(args, block);
    if (case_is(args->when, "check")) (void)kiln_check_heap();
    case_fact("wall", wall, args->bytes);
}
