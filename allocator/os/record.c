#include "allocator/os/record.h"

#include "allocator/base/check.h"
#include "allocator/base/text.h"

_Static_assert(KILN_OS_RECORD_LINE_MAX < KILN_OS_RECORD_TEXT_MAX, "a line fits an empty buffer");

static bool same_answer(const kiln_os_record_answer_t *left, const kiln_os_record_answer_t *right)
{
    return left->kind == right->kind && left->use == right->use && left->answer == right->answer &&
           left->reserved == right->reserved && left->addr == right->addr;
}

static void keep(kiln_os_record_t *record, kiln_os_record_answer_t answer)
{
    if (!record->sink) return;
    if (record->answers_count > 0) {
        kiln_os_record_answer_t *last = &record->answers[record->answers_count - 1];
        if (answer.kind == KILN_OS_RECORD_RESERVE && same_answer(last, &answer)) {
            last->times++;
            return;
        }
    }
    if (record->answers_count == KILN_OS_RECORD_ANSWERS_MAX) {
        record->answers_lost = true;
        return;
    }
    answer.times = 1;
    record->answers[record->answers_count++] = answer;
}

static kiln_addr_t record_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_os_record_t *record = ctx;
    bool reserved = true;
    kiln_addr_t addr = record->inner->reserve(record->inner->ctx, hint, bytes, &reserved);
    keep(record, (kiln_os_record_answer_t){.kind = KILN_OS_RECORD_RESERVE,
                                           .addr = addr,
                                           .reserved = addr == 0 || reserved});
    *out_reserved = reserved;
    return addr;
}

static kiln_os_answer_t record_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                      kiln_os_use_t use)
{
    kiln_os_record_t *record = ctx;
    kiln_os_answer_t answer = record->inner->commit(record->inner->ctx, addr, bytes, reserved, use);
    keep(record,
         (kiln_os_record_answer_t){.kind = KILN_OS_RECORD_MAP, .use = use, .answer = answer});
    return answer;
}

static kiln_addr_t record_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_os_record_t *record = ctx;
    kiln_addr_t addr = record->inner->direct(record->inner->ctx, bytes, use);
    keep(record, (kiln_os_record_answer_t){.kind = KILN_OS_RECORD_DIRECT, .addr = addr});
    return addr;
}

static void record_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((kiln_os_record_t *)ctx)->inner;
    inner->discard(inner->ctx, addr, bytes);
}

static void record_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((kiln_os_record_t *)ctx)->inner;
    inner->decommit(inner->ctx, addr, bytes);
}

static bool record_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    const kiln_os_t *inner = ((kiln_os_record_t *)ctx)->inner;
    return inner->protect(inner->ctx, addr, bytes, access);
}

static bool record_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    return kiln_os_guard(((kiln_os_record_t *)ctx)->inner, addr, bytes, on);
}

static void record_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_huge(((const kiln_os_record_t *)ctx)->inner, addr, bytes, on);
}

static void record_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = ((kiln_os_record_t *)ctx)->inner;
    inner->release(inner->ctx, addr, bytes);
}

void kiln_os_record_init(kiln_os_record_t *record, const kiln_os_t *inner,
                         kiln_os_record_sink_t sink, void *sink_ctx)
{
    record->os = (kiln_os_t){
        .ctx = record,
        .phys_bytes = inner->phys_bytes,
        .huge_bytes = inner->huge_bytes,
        .addr_bits = inner->addr_bits,
        .reserve = record_reserve,
        .commit = record_commit,
        .discard = record_discard,
        .decommit = record_decommit,
        .protect = record_protect,
        .guard = record_guard,
        .huge = record_huge,
        .release = record_release,
        .direct = record_direct,
        .parker = inner->parker,
    };
    record->inner = inner;
    record->sink = sink;
    record->sink_ctx = sink_ctx;
    record->answers_count = 0;
    record->answers_lost = false;
    record->text_bytes = 0;
}

void kiln_os_record_line(kiln_os_record_t *record, const char *line, size_t bytes)
{
    KILN_CHECK(bytes <= KILN_OS_RECORD_LINE_MAX);
    if (!record->sink) return;
    if (record->text_bytes + bytes + 1 > KILN_OS_RECORD_TEXT_MAX) kiln_os_record_flush(record);
    for (size_t i = 0; i < bytes; i++) record->text[record->text_bytes++] = line[i];
    record->text[record->text_bytes++] = '\n';
}

static char *answer_text(char *at, const kiln_os_record_answer_t *answer)
{
    static const char *const map_use[] = {[KILN_OS_HEAP] = "heap",
                                          [KILN_OS_BITS] = "bits",
                                          [KILN_OS_SPANS] = "spans",
                                          [KILN_OS_META] = "meta"};
    static const char *const map_answer[] = {
        [KILN_OS_OK] = "ok", [KILN_OS_FAIL] = "fail", [KILN_OS_ELSEWHERE] = "elsewhere"};

    if (answer->kind == KILN_OS_RECORD_MAP) {
        at = kiln_text_word(at, "  map ");
        at = kiln_text_word(at, map_use[answer->use]);
        at = kiln_text_word(at, " -> ");
        return kiln_text_word(at, map_answer[answer->answer]);
    }
    at = kiln_text_word(at, answer->kind == KILN_OS_RECORD_RESERVE ? "  reserve" : "  sysalloc");
    if (answer->times > 1) {
        *at++ = '*';
        at = kiln_text_dec(at, answer->times);
    }
    at = kiln_text_word(at, " -> ");
    if (answer->addr == 0) return kiln_text_word(at, "fail");
    at = kiln_text_hex(at, answer->addr);
    bool unreserved = answer->kind == KILN_OS_RECORD_RESERVE && !answer->reserved;
    return unreserved ? kiln_text_word(at, " unreserved") : at;
}

void kiln_os_record_answers(kiln_os_record_t *record)
{
    char line[KILN_OS_RECORD_LINE_MAX];
    for (unsigned i = 0; i < record->answers_count; i++)
        kiln_os_record_line(record, line, (size_t)(answer_text(line, &record->answers[i]) - line));
    record->answers_count = 0;
    if (!record->answers_lost) return;
    char *end = kiln_text_word(line, "# the recorder could not hold all answers of this step");
    kiln_os_record_line(record, line, (size_t)(end - line));
    kiln_os_record_flush(record);
    kiln_os_record_stop(record);
}

void kiln_os_record_flush(kiln_os_record_t *record)
{
    if (record->sink && record->text_bytes > 0)
        record->sink(record->sink_ctx, record->text, record->text_bytes);
    record->text_bytes = 0;
}

void kiln_os_record_stop(kiln_os_record_t *record)
{
    record->sink = NULL;
    record->answers_count = 0;
    record->text_bytes = 0;
}
