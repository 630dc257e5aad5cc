#include "allocator/arena/arena_record.h"

#include "allocator/base/check.h"
#include "allocator/base/text.h"

_Static_assert(KILN_ARENA_STATE_TEXT_MAX + 2 <= KILN_OS_RECORD_LINE_MAX, "a state is one line");

static char *field(char *at, const char *name, uint64_t number)
{
    return kiln_text_hex(kiln_text_word(at, name), number);
}

char *kiln_arena_state_text(char *at, const kiln_arena_t *arena)
{
    at = field(at, "st start=", arena->arena_start);
    at = field(at, " used=", kiln_arena_used(arena));
    at = field(at, " alloc=", arena->arena_alloc);
    at = field(at, " end=", arena->arena_end);
    at = field(at, " left=", (arena->arena_end - arena->arena_alloc) & arena->mask);
    at = kiln_text_word(at, arena->arena_reserved ? " reserved=1" : " reserved=0");
    at = field(at, " bits=", arena->tables[KILN_ARENA_BITS].mapped_bytes);
    at = field(at, " spans=", arena->tables[KILN_ARENA_SPANS].mapped_bytes);
    return field(at, " heap_sys=", arena->heap_sys_bytes);
}

const char *kiln_arena_arch_name(kiln_arena_arch_t arch)
{
    static const char *const names[] = {[KILN_ARENA_AMD64] = "amd64",
                                        [KILN_ARENA_ARM64] = "arm64",
                                        [KILN_ARENA_DARWIN_ARM64] = "darwin-arm64"};
    return names[arch];
}

static void add_line(kiln_arena_record_t *record, const char *line, const char *end)
{
    kiln_os_record_line(&record->os_record, line, (size_t)(end - line));
}

static void add_setting(kiln_arena_record_t *record, const char *name, uint64_t number)
{
    char line[KILN_OS_RECORD_LINE_MAX];
    add_line(record, line, field(line, name, number));
}

static void add_head(kiln_arena_record_t *record, const kiln_arena_config_t *config)
{
    char line[KILN_OS_RECORD_LINE_MAX];
    bool has_bits = config->tables >> KILN_ARENA_BITS & 1;
    add_line(record, line, kiln_text_dec(kiln_text_word(line, "width "), config->addr_bits));
    add_line(record, line,
             kiln_text_word(kiln_text_word(line, "set follow "), kiln_follow_name(config->follow)));
    add_setting(record, "set page ", config->page_bytes);
    add_setting(record, "set phys ", config->phys_bytes);
    add_setting(record, "set block ", config->block_bytes);
    add_setting(record, "set strand ", config->strand_bytes);
    add_setting(record, "set maxmem ", config->addr_max);
    add_line(
        record, line,
        kiln_text_word(kiln_text_word(line, "set tables "), has_bits ? "bits+spans" : "spans"));
}

/* The answers of a step that was just written, and the state that it led to. */
static void add_answers_and_state(kiln_arena_record_t *record)
{
    char line[KILN_OS_RECORD_LINE_MAX];
    kiln_os_record_answers(&record->os_record);
    add_line(record, line, kiln_arena_state_text(kiln_text_word(line, "# "), record->arena));
    kiln_os_record_flush(&record->os_record);
}

void kiln_arena_record_started(kiln_arena_record_t *record, const kiln_arena_t *arena,
                               kiln_arena_arch_t arch, kiln_addr_t image_end, kiln_addr_t brk)
{
    char line[KILN_OS_RECORD_LINE_MAX];
    KILN_CHECK(!record->arena);
    record->arena = arena;
    add_head(record, &arena->config);
    char *at = kiln_text_word(line, "mallocinit arch=");
    at = kiln_text_word(at, kiln_arena_arch_name(arch));
    at = field(at, " brk=", brk);
    add_line(record, line, field(at, " end=", image_end));
    add_answers_and_state(record);
}

static void record_returned(void *ctx, uint64_t bytes, const kiln_arena_result_t *result)
{
    kiln_arena_record_t *record = ctx;
    (void)result;
    KILN_CHECK(record->arena); /* kiln_arena_record_started comes before the first request */
    add_setting(record, "alloc ", bytes);
    add_answers_and_state(record);
}

void kiln_arena_record_init(kiln_arena_record_t *record, const kiln_os_t *inner,
                            kiln_os_record_sink_t sink, void *sink_ctx)
{
    kiln_os_record_init(&record->os_record, inner, sink, sink_ctx);
    record->log = (kiln_arena_log_t){.ctx = record, .returned = record_returned};
    record->arena = NULL;
}

void kiln_arena_record_stop(kiln_arena_record_t *record)
{
    kiln_os_record_stop(&record->os_record);
}
