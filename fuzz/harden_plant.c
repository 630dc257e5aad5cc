/* harden_plant.c - damage that an input has done, to see that it is told (harden_model.h). */
#include "fuzz/harden_model.h"

#include "fuzz/target.h"

enum {
    SURE_SLACK_BYTES = 4096, /* of a block's slack so much is watched, if it has as much */
    BYTES_MAX = 8,
};

static void flip(const kiln_harden_planted_t *planted)
{
    unsigned char *bytes = (unsigned char *)planted->wrote;
    for (size_t i = 0; i < planted->wrote_bytes; i++) bytes[i] ^= planted->flip;
}

/* A check must tell of it. What does not stay is undone, and then a check tells of it no more. */
static void plant(kiln_harden_model_t *model, kiln_harden_planted_t damage, bool stays,
                  uint32_t arg)
{
    kiln_harden_planted_t *place = NULL;
    for (unsigned i = 0; i < KILN_HARDEN_MODEL_PLANTED; i++) {
        kiln_harden_planted_t *planted = &model->planted[i];
        if (planted->kind == KILN_DAMAGE_NONE)
            place = planted;
        else if (planted->block.at == damage.block.at)
            return; /* two at one place are told as one */
    }
    if (!place) return;
    damage.flip = (uint8_t)(1 + (arg >> 24) % UINT8_MAX);
    *place = damage;
    flip(place);
    kiln_harden_model_check(model);
    if (stays) return;
    flip(place);
    place->kind = KILN_DAMAGE_NONE;
    kiln_harden_model_check(model);
}

/* Where in `room` bytes, at the first of them for every second `arg`, and how many. */
static size_t place_in(size_t room, uint32_t arg, size_t *out_bytes)
{
    size_t from = arg & 0x80 ? (arg >> 8) % room : 0, most = room - from;
    *out_bytes = 1 + arg % BYTES_MAX;
    if (*out_bytes > most) *out_bytes = most;
    return from;
}

/* All of a guarded block's pages that is not its own is watched. The byte nearest to it is told. */
static void plant_beside_guarded(kiln_harden_model_t *model, const kiln_harden_block_t *block,
                                 bool stays, uint32_t arg)
{
    uintptr_t page = (uintptr_t)model->fake->config.phys_bytes;
    uintptr_t first = block->at / page * page, behind = block->at + block->bytes;
    uintptr_t end = first + (uintptr_t)kiln_round_up(block->bytes, page);
    bool below = end == behind || (arg & 0x40 && first != block->at);
    size_t room = below ? block->at - first : end - behind;
    kiln_harden_planted_t damage = {.live = true, .block = *block};
    if (block->bytes == 0 || room == 0) return;
    size_t from = place_in(room, arg, &damage.wrote_bytes);
    damage.kind = below ? KILN_DAMAGE_UNDERFLOW : KILN_DAMAGE_OVERFLOW;
    damage.wrote = below ? block->at - from - damage.wrote_bytes : behind + from;
    damage.first = below ? block->at - from - 1 : damage.wrote;
    damage.end = damage.first + 1;
    plant(model, damage, stays, arg);
}

/* How many bytes behind a block can be written to. */
static size_t room_behind(const kiln_harden_model_t *model, const kiln_harden_block_t *block)
{
    uintptr_t page = (uintptr_t)model->fake->config.phys_bytes, behind = block->at + block->bytes;
    uintptr_t edge = (uintptr_t)kiln_round_up(behind + 1, page);
    size_t room = block->room - block->bytes;
    if (edge - behind < room && kiln_os_fake_state(model->fake, edge) == KILN_OS_GUARDED)
        room = edge - behind;
    return room < SURE_SLACK_BYTES ? room : SURE_SLACK_BYTES;
}

void kiln_harden_model_plant_beside(kiln_harden_model_t *model, const kiln_harden_block_t *block,
                                    bool behind_live, bool stays, uint32_t arg)
{
    if (block->guarded) {
        plant_beside_guarded(model, block, stays, arg);
        return;
    }
    size_t room = room_behind(model, block);
    kiln_harden_planted_t damage = {.live = true, .block = *block, .kind = KILN_DAMAGE_OVERFLOW};
    size_t from = place_in(room, arg, &damage.wrote_bytes);
    damage.wrote = damage.first = block->at + block->bytes + from;
    damage.end = damage.first + damage.wrote_bytes;
    /* From the slot's end backwards, and not from the block's on: who came from the other side. */
    damage.either = from > 0 && from + damage.wrote_bytes == room;
    bool is_sure = damage.end == block->at + block->room && behind_live && !stays;
    if (damage.either && is_sure) damage.kind = KILN_DAMAGE_UNDERFLOW;
    plant(model, damage, stays, arg);
}

void kiln_harden_model_plant_free(kiln_harden_model_t *model, uintptr_t at, bool stays,
                                  uint32_t arg)
{
    const kiln_harden_t *harden = &model->subject->harden;
    if (kiln_harden_guards(harden, (const void *)at)) return;
    const kiln_span_t *span = kiln_page_map_find(&model->subject->heap.map, at);
    if (!span || span->kind != KILN_SPAN_SMALL) return;
    uint32_t slot_idx = kiln_span_slot_at(span, at - kiln_span_base(span));
    if (slot_idx == UINT32_MAX || span->states[slot_idx] == KILN_SLOT_LIVE) return;

    kiln_harden_about_t about = kiln_harden_about(harden, at);
    kiln_harden_planted_t damage = {
        .kind = about.known ? KILN_DAMAGE_USE_AFTER_FREE : KILN_DAMAGE_WILD_WRITE,
        .block = {.at = at, .bytes = about.asked, .room = kiln_span_slot_bytes(span)},
    };
    damage.wrote = damage.first = at + place_in(damage.block.room, arg, &damage.wrote_bytes);
    damage.end = damage.first + damage.wrote_bytes;
    /* A slot that lies in its span may go with it, untold: nobody gets it as it is. */
    plant(model, damage, stays && kiln_span_is_out(span, slot_idx), arg);
}

uintptr_t kiln_harden_model_slot_near(const kiln_harden_model_t *model,
                                      const kiln_harden_block_t *block, uint32_t nth)
{
    if (block->guarded || block->large) return 0;
    const kiln_span_t *span = kiln_page_map_find(&model->subject->heap.map, block->at);
    if (!span) return 0;
    return kiln_span_base(span) + nth % kiln_span_slots(span) * kiln_span_slot_bytes(span);
}
