#include "tools/replay/transcript.h"

#include "allocator/arena/arena_record.h"
#include "allocator/base/text.h"

#include <errno.h>

static char *hex(char *at, const char *name, uint64_t number)
{
    return kiln_text_hex(kiln_text_word(at, name), number);
}

static char *dec(char *at, const char *name, uint64_t number)
{
    return kiln_text_dec(kiln_text_word(at, name), number);
}

static char *address_or_fail(char *at, kiln_addr_t addr)
{
    at = kiln_text_word(at, " -> ");
    return addr == 0 ? kiln_text_word(at, "fail") : kiln_text_hex(at, addr);
}

static char *config_text(char *at, const kiln_arena_t *arena)
{
    const kiln_arena_config_t *config = &arena->config;
    at = dec(at, "cfg width=", config->addr_bits);
    at = hex(at, " page=", config->page_bytes);
    at = hex(at, " phys=", config->phys_bytes);
    at = hex(at, " block=", config->block_bytes);
    at = hex(at, " strand=", config->strand_bytes);
    at = hex(at, " maxmem=", config->addr_max);
    at = dec(at, " race=", arena->watcher != NULL);
    at = kiln_text_word(at, " follow=");
    return kiln_text_word(at, kiln_follow_name(config->follow));
}

static char *step_text(char *at, const kiln_event_t *event)
{
    const kiln_trace_directive_t *step = event->step;
    at = dec(at, "step ", event->step_idx);
    at = kiln_text_word(at, " ");
    at = kiln_text_word(at, kiln_trace_kind_name(step->kind));
    if (step->kind != KILN_TRACE_MALLOCINIT) return hex(at, " ", step->number);
    if (step->has & KILN_TRACE_HAS_ARCH) {
        at = kiln_text_word(at, " arch=");
        at = kiln_text_word(at, kiln_arena_arch_name(step->arch));
    }
    if (step->has & KILN_TRACE_HAS_BRK) at = hex(at, " brk=", step->brk);
    if (step->has & KILN_TRACE_HAS_END) at = hex(at, " end=", step->end);
    return at;
}

static char *map_text(char *at, const kiln_arena_t *arena, const kiln_event_t *event)
{
    static const char *const answers[] = {[KILN_OS_OK] = " -> ok",
                                          [KILN_OS_FAIL] = " -> fail",
                                          [KILN_OS_ELSEWHERE] = " -> elsewhere"};

    if (event->use == KILN_OS_HEAP) {
        at = hex(at, "  os map heap addr=", event->addr);
    } else {
        bool bits = event->use == KILN_OS_BITS;
        const kiln_arena_table_t *table = &arena->tables[bits ? KILN_ARENA_BITS : KILN_ARENA_SPANS];
        at = hex(at, bits ? "  os map bits off=" : "  os map spans off=",
                 kiln_arena_table_offset(table, event->addr, event->bytes));
    }
    at = hex(at, " len=", event->bytes);
    at = dec(at, " reserved=", event->reserved);
    return kiln_text_word(at, answers[event->answer]);
}

static char *layout_text(char *at, const kiln_arena_layout_t *layout)
{
    at = hex(at, "  layout spans=[", layout->spans_start);
    at = hex(at, ",", layout->spans_end);
    at = hex(at, ") bitmap=[", layout->bitmap_start);
    at = hex(at, ",", layout->bitmap_end);
    return kiln_text_word(at, ")");
}

static char *returned_text(char *at, const kiln_event_t *event)
{
    at = hex(at, "  ret ", event->result->addr);
    at = hex(at, " n=", event->bytes);
    at = kiln_text_word(at, " via=");
    at = kiln_text_word(at, kiln_arena_branch_name(event->result->branch));
    return kiln_text_word(at, kiln_arena_service_suffix(event->result->service));
}

static char *reserve_text(char *at, const kiln_event_t *event)
{
    at = hex(at, "  os reserve hint=", event->hint);
    at = hex(at, " len=", event->bytes);
    at = address_or_fail(at, event->addr);
    return event->addr == 0 ? at : dec(at, " reserved=", event->reserved);
}

static char *event_text(char *at, const kiln_arena_t *arena, const kiln_event_t *event)
{
    switch (event->kind) {
    case KILN_EVENT_CONFIG:
        return config_text(at, arena);
    case KILN_EVENT_STATE:
        return kiln_arena_state_text(at, arena);
    case KILN_EVENT_STEP:
        return step_text(at, event);
    case KILN_EVENT_RESERVE:
        return reserve_text(at, event);
    case KILN_EVENT_FREE:
        return hex(hex(at, "  os free addr=", event->addr), " len=", event->bytes);
    case KILN_EVENT_SYSALLOC:
        return address_or_fail(hex(at, "  os sysalloc len=", event->bytes), event->addr);
    case KILN_EVENT_MAP:
        return map_text(at, arena, event);
    case KILN_EVENT_RACE:
        return hex(hex(at, "  race map addr=", event->addr), " len=", event->bytes);
    case KILN_EVENT_PUBLISH:
        return hex(hex(at, "  publish arena_used ", event->addr), " -> ", event->new_used);
    case KILN_EVENT_OUTSIDE:
        return kiln_text_word(hex(at, "  complain OS memory at ", event->addr),
                              " is outside the arena range");
    case KILN_EVENT_LAYOUT:
        return layout_text(at, event->layout);
    case KILN_EVENT_RETURNED:
        return returned_text(at, event);
    case KILN_EVENT_NO_MEMORY:
        at = dec(at, "  out of memory: cannot allocate ", event->bytes);
        at = dec(at, "-byte block (", arena->heap_sys_bytes);
        return kiln_text_word(at, " in use)");
    case KILN_EVENT_THROW:
        return kiln_text_word(kiln_text_word(at, "  throw "), event->reason);
    }
    return at;
}

static void see(void *ctx, const kiln_arena_t *arena, const kiln_event_t *event)
{
    kiln_transcript_t *transcript = ctx;
    char *line = transcript->buffer + transcript->used_bytes;
    char *end = event_text(line, arena, event);
    *end++ = '\n';
    transcript->used_bytes += (size_t)(end - line);
    if (transcript->used_bytes > KILN_TRANSCRIPT_BUFFER_BYTES - KILN_TRANSCRIPT_LINE_MAX)
        kiln_transcript_flush(transcript);
}

void kiln_transcript_open(kiln_transcript_t *transcript, FILE *file)
{
    transcript->file = file;
    transcript->failed_errno = 0;
    transcript->used_bytes = 0;
}

kiln_view_t kiln_transcript_view(kiln_transcript_t *transcript)
{
    return (kiln_view_t){.ctx = transcript, .see = see};
}

void kiln_transcript_flush(kiln_transcript_t *transcript)
{
    size_t bytes = transcript->used_bytes;
    transcript->used_bytes = 0;
    if (transcript->failed_errno != 0 || bytes == 0) return;
    errno = 0;
    if (fwrite(transcript->buffer, 1, bytes, transcript->file) != bytes ||
        fflush(transcript->file) != 0)
        transcript->failed_errno = errno != 0 ? errno : EIO;
}
