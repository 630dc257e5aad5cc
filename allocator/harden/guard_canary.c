#include "allocator/harden/guard_canary.h"

/* Blocks' bytes may be read as whatever is quickest. */
typedef uint64_t __attribute__((may_alias)) word_t;

enum { WORD_BYTES = sizeof(word_t), BLOCK_WORDS = 8, BLOCK_BYTES = WORD_BYTES * BLOCK_WORDS };

/* The canary at an address: the same eight bytes again and again. */
static unsigned char canary_at(uint64_t key, uintptr_t address)
{
    return (unsigned char)(key >> address % WORD_BYTES * 8 | 0x80);
}

static word_t canary_word(uint64_t key)
{
    return key | UINT64_C(0x8080808080808080);
}

static uintptr_t near_start(const kiln_guard_slack_t *slack)
{
    uintptr_t before = slack->start - slack->data;
    return slack->start - (before < KILN_GUARD_NEAR_BYTES ? before : KILN_GUARD_NEAR_BYTES);
}

static void fill(uint64_t key, uintptr_t from, uintptr_t to)
{
    for (; from < to && from % WORD_BYTES != 0; from++)
        *(unsigned char *)from = canary_at(key, from);
    for (; to - from >= WORD_BYTES && from < to; from += WORD_BYTES)
        *(word_t *)from = canary_word(key);
    for (; from < to; from++) *(unsigned char *)from = canary_at(key, from);
}

void kiln_guard_slack_fill(const kiln_guard_slack_t *slack)
{
    fill(slack->key, near_start(slack), slack->start);
    fill(slack->key, slack->end, slack->data_end);
}

bool kiln_guard_slack_above(const kiln_guard_slack_t *slack, uintptr_t *out_address)
{
    uintptr_t at = slack->end;
    word_t expected = canary_word(slack->key);
    while (at < slack->data_end) {
        if (at % WORD_BYTES == 0 && slack->data_end - at >= WORD_BYTES &&
            *(const word_t *)at == expected) {
            at += WORD_BYTES;
            continue;
        }
        if (*(const unsigned char *)at != canary_at(slack->key, at)) {
            *out_address = at;
            return true;
        }
        at++;
    }
    return false;
}

/* all_zero looks at many words at once; `from` and `to` are multiples of BLOCK_BYTES. */
static bool all_zero(uintptr_t from, uintptr_t to)
{
    for (; from < to; from += BLOCK_BYTES) {
        const word_t *word = (const word_t *)from;
        word_t any = 0;
        for (unsigned i = 0; i < BLOCK_WORDS; i++) any |= word[i];
        if (any != 0) return false;
    }
    return true;
}

bool kiln_guard_slack_below(const kiln_guard_slack_t *slack, uintptr_t *out_address)
{
    uintptr_t near = near_start(slack), zeros_end = near - near % BLOCK_BYTES;
    for (uintptr_t at = slack->start; at > near; at--) {
        if (*(const unsigned char *)(at - 1) == canary_at(slack->key, at - 1)) continue;
        *out_address = at - 1;
        return true;
    }
    uintptr_t least = all_zero(slack->data, zeros_end) ? zeros_end : slack->data;
    for (uintptr_t at = near; at > least; at--) {
        if (*(const unsigned char *)(at - 1) == 0) continue;
        *out_address = at - 1;
        return true;
    }
    return false;
}
