/* The record of a run replays to the same states of the arena, step by step: on the fake OS with
 * every policy and random refusals, and on Linux with one big reservation, by blocks under an
 * address-space limit, among foreign mappings, and with faults. */
#define _GNU_SOURCE
#include "allocator/arena/arena_record.h"
#include "allocator/base/rng.h"
#include "allocator/os/fake.h"
#include "allocator/os/fault.h"
#include "allocator/os/linux.h"
#include "tests/kiln_test.h"
#include "tools/replay/player.h"
#include "tools/replay/transcript.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 4 << 20, RANGES_MAX = 4096, HELD_MAX = 512 };

static unsigned long long seed;

/* --- the recorded text ----------------------------------------------------------------------- */

static char text[TEXT_MAX + 1];
static size_t text_bytes;
static unsigned sink_calls;

static void sink(void *ctx, const char *lines, size_t bytes)
{
    (void)ctx;
    EXPECT(bytes > 0 && lines[bytes - 1] == '\n');
    EXPECT(text_bytes + bytes <= TEXT_MAX);
    memcpy(text + text_bytes, lines, bytes);
    text_bytes += bytes;
    text[text_bytes] = '\0';
    sink_calls++;
}

/* replay plays `recorded` and gives its transcript (the caller frees it), or NULL and why. */
static char *replay(char *recorded, size_t bytes, kiln_trace_t *out_trace)
{
    static kiln_player_t player;
    static kiln_transcript_t transcript;
    char *said = NULL;
    size_t said_bytes = 0;
    FILE *in = fmemopen(recorded, bytes, "r");
    FILE *out = open_memstream(&said, &said_bytes);

    EXPECT(in && out);
    kiln_trace_open(out_trace, in);
    kiln_transcript_open(&transcript, out);
    kiln_view_t view = kiln_transcript_view(&transcript);
    bool played = kiln_player_run(&player, out_trace, &view, 1);
    kiln_transcript_flush(&transcript);
    fclose(out);
    fclose(in);
    kiln_player_free(&player);
    if (played) return said;
    free(said);
    return NULL;
}

/* next_line gives the next line of `*io_at` that begins with `start`, what follows `start`, and its
 * length; NULL: there is none. */
static const char *next_line(const char **io_at, const char *start, size_t *out_bytes)
{
    for (const char *line = *io_at; *line;) {
        const char *end = strchrnul(line, '\n');
        *io_at = *end ? end + 1 : end;
        if (strncmp(line, start, strlen(start)) == 0) {
            line += strlen(start);
            *out_bytes = (size_t)(end - line);
            return line;
        }
        line = *io_at;
    }
    return NULL;
}

/* first_difference compares the states recorded with those replayed, and counts them. It gives
 * NULL, or the first state that differs; `out` the replayed one. */
static const char *first_difference(const char *recorded, const char *transcript, unsigned *states,
                                    char out[512])
{
    size_t left_bytes = 0, right_bytes = 0;
    const char *before = next_line(&transcript, "st ", &right_bytes); /* before the first step */

    *states = 0;
    out[0] = '\0';
    if (!before) return "no state at all";
    for (;;) {
        const char *left = next_line(&recorded, "# st ", &left_bytes);
        const char *right = next_line(&transcript, "st ", &right_bytes);
        if (!left && !right) return NULL;
        if (right) snprintf(out, 512, "%.*s", (int)right_bytes, right);
        if (!left) return "(no further state)";
        if (!right || left_bytes != right_bytes || memcmp(left, right, left_bytes) != 0)
            return left;
        ++*states;
    }
}

/* expect_same replays the record and compares; `what` names the run in a failure. */
static unsigned expect_same(const char *what)
{
    static kiln_trace_t trace;
    char replayed[512];
    unsigned states = 0;
    char *transcript = replay(text, text_bytes, &trace);

    if (!transcript)
        fprintf(stderr, "%s, seed %llu: the record does not replay: line %llu: %s\n%.3000s\n", what,
                seed, (unsigned long long)trace.error_line, trace.error, text);
    EXPECT(transcript);
    const char *difference = first_difference(text, transcript, &states, replayed);
    if (difference)
        fprintf(stderr, "%s, seed %llu: state %u\n recorded %.300s\n replayed %s\n%.3000s\n", what,
                seed, states + 1, difference, replayed, text);
    free(transcript);
    EXPECT(!difference);
    return states;
}

/* --- runs ------------------------------------------------------------------------------------ */

static kiln_arena_t arena;
static kiln_arena_record_t record;
static uint64_t present[1 << 17];
static unsigned requests_failed;

/* start begins an arena on `os` and its record; false: it could not start. */
static bool start(const kiln_os_t *os, const kiln_arena_config_t *config, kiln_addr_t image_end,
                  kiln_addr_t brk)
{
    kiln_arena_layout_t layout;
    text_bytes = 0;
    text[0] = '\0';
    sink_calls = requests_failed = 0;
    EXPECT(kiln_arena_present_words(config) <= sizeof present / sizeof *present);
    memset(present, 0, kiln_arena_present_words(config) * sizeof *present);
    kiln_arena_record_init(&record, os, sink, NULL);
    EXPECT_RULE(kiln_arena_init(&arena, config, &record.os_record.os, NULL, &record.log, present));
    const char *reason = kiln_arena_start(&arena, KILN_ARENA_AMD64, image_end, brk, &layout);
    kiln_arena_record_started(&record, &arena, KILN_ARENA_AMD64, image_end, brk);
    return !reason;
}

/* grow makes `count` requests of all kinds; it stops at a fatal one. It gives how many were made.
 */
static unsigned grow(kiln_rng_t *rng, unsigned count, uint64_t unit)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t bytes = 0, pages = 1 + kiln_rng_below(rng, 1u << kiln_rng_below(rng, 16));
        kiln_arena_result_t result = kiln_rng_below(rng, 2)
                                         ? kiln_arena_grow(&arena, pages, &bytes)
                                         : kiln_arena_alloc(&arena, pages * unit);
        if (result.addr == 0) requests_failed++;
        if (result.throw_reason) return i + 1;
    }
    return count;
}

static void test_records_on_the_fake_os_replay(void)
{
    static kiln_os_range_t ranges[RANGES_MAX];
    static kiln_os_fake_t fake;
    static uint8_t script[4096];
    static const uint64_t phys[] = {4096, 16384, 65536};
    unsigned states = 0, failed = 0, runs = 0;

    for (unsigned place = 0; place <= KILN_PLACE_SCRIPT; place++) {
        if (place == KILN_PLACE_AT_PAGE || place == KILN_PLACE_LIE_WRAP ||
            place == KILN_PLACE_LIE_OCCUPIED)
            continue; /* of scripts only; the script has the first, and lies are no record */
        for (unsigned variant = 0; variant < 36; variant++) {
            char what[64];
            kiln_rng_t rng = {seed + UINT64_C(100) * place + variant};
            unsigned width = variant & 1 ? 64 : 32;
            uint64_t phys_bytes = phys[variant / 2 % 3];
            kiln_os_fake_config_t config =
                kiln_os_fake_config_default(width, phys_bytes, ranges, RANGES_MAX);
            config.policy = (kiln_os_fake_place_t)place;
            config.seed = kiln_rng_next(&rng);
            config.straddle_addr = UINT64_C(0xc420000000) & kiln_width_mask(width);
            config.unreserved_bytes = kiln_rng_below(&rng, 3) ? 0 : KILN_GIB(1);
            if (kiln_rng_below(&rng, 2)) config.reserve_bytes_max = KILN_MIB(700);
            for (size_t i = 0; i < sizeof script; i++) script[i] = (uint8_t)kiln_rng_next(&rng);
            config.script = script;
            config.script_bytes = sizeof script;

            kiln_arena_config_t arena_config = kiln_arena_config_default(width, phys_bytes);
            arena_config.follow = (kiln_follow_t)(variant / 6 % 3);
            if (kiln_rng_below(&rng, 2)) arena_config.tables = 1u << KILN_ARENA_SPANS;
            config.loose = arena_config.follow != KILN_FOLLOW_KILN;
            snprintf(what, sizeof what, "%s, %u bits, phys %u, follow %s",
                     kiln_os_fake_place_name(config.policy), width, (unsigned)phys_bytes,
                     kiln_follow_name(arena_config.follow));

            kiln_os_fake_init(&fake, &config);
            unsigned made = 1;
            if (start(&fake.os, &arena_config, 0x8100000, kiln_rng_below(&rng, 2) << 27))
                made += grow(&rng, 150, phys_bytes > 8192 ? phys_bytes : 8192);
            unsigned seen = expect_same(what);
            EXPECT(seen >= made);
            states += seen;
            failed += requests_failed;
            runs++;
        }
    }
    printf("%u runs, %u states, %u requests failed\n", runs, states, failed);
    EXPECT(states > 10 * runs && failed > 0);
}

/* --- Linux ----------------------------------------------------------------------------------- */

/* A tracker stands around Linux and knows what it gave, so that a test can give all of it back. */
static kiln_os_t linux_os, tracker;
static struct {
    kiln_addr_t addr;
    uint64_t bytes;
} held[HELD_MAX];
static unsigned held_count;

static void hold(kiln_addr_t addr, uint64_t bytes)
{
    if (addr == 0) return;
    EXPECT(held_count < HELD_MAX);
    held[held_count].addr = addr;
    held[held_count++].bytes = bytes;
}

static kiln_addr_t track_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_addr_t addr = linux_os.reserve(ctx, hint, bytes, out_reserved);
    hold(addr, bytes);
    return addr;
}

static kiln_addr_t track_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_addr_t addr = linux_os.direct(ctx, bytes, use);
    hold(addr, bytes);
    return addr;
}

static void linux_open(void)
{
    kiln_os_linux_init(&linux_os, (uint64_t)sysconf(_SC_PAGESIZE));
    tracker = linux_os;
    tracker.reserve = track_reserve;
    tracker.direct = track_direct;
    held_count = 0;
}

/* What the arena gave back itself may belong to others by now: only what it still has goes. */
static void linux_close(void)
{
    while (held_count > 0) {
        held_count--;
        linux_os.release(linux_os.ctx, held[held_count].addr, held[held_count].bytes);
    }
}

static void track_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    linux_os.release(ctx, addr, bytes);
    for (unsigned i = 0; i < held_count; i++)
        if (held[i].addr == addr && held[i].bytes == bytes) held[i] = held[--held_count];
}

static kiln_arena_config_t native_config(void)
{
    kiln_arena_config_t config =
        kiln_arena_config_default(sizeof(void *) * 8, (uint64_t)sysconf(_SC_PAGESIZE));
    config.tables = 1u << KILN_ARENA_SPANS; /* as Kiln's own heap */
    return config;
}

static void test_a_record_on_linux_replays(void)
{
    kiln_rng_t rng = {seed};
    kiln_arena_config_t config = native_config();
    unsigned blocks = 0;

    linux_open();
    tracker.release = track_release;
    EXPECT(start(&tracker, &config, (kiln_addr_t)(uintptr_t)sbrk(0), 0));
    EXPECT(grow(&rng, 60, 65536) == 60);
    /* The last of them are too large for the first stretch of heap at 32 bits: further blocks. */
    for (unsigned i = 0; i < 4; i++) kiln_arena_alloc(&arena, KILN_MIB(200));
    unsigned states = expect_same("linux");
    for (const char *at = text; (at = strstr(at, "\n  reserve")) != NULL; at++) blocks++;
    linux_close();
    printf("%u states, %u answers to reserves, %u calls of the sink\n", states, blocks, sink_calls);
    EXPECT(states >= 65 && sink_calls >= states);
    EXPECT(blocks >= (sizeof(void *) == 4 ? 2 : 1));
    EXPECT(strstr(text, sizeof(void *) == 4 ? "\nset maxmem 0xffffffff\n"
                                            : "\nset maxmem 0x7fffffffff\n"));
}

/* The size of this process in bytes: under sanitizers it is terabytes. */
static uint64_t process_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    EXPECT(file);
    int fields = fscanf(file, "%llu", &pages);
    fclose(file);
    EXPECT(fields == 1);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void test_a_record_under_an_address_space_limit_replays(void)
{
    struct rlimit before, limit;
    kiln_arena_config_t config = native_config();
    kiln_rng_t rng = {seed};

    linux_open();
    tracker.release = track_release;
    EXPECT(getrlimit(RLIMIT_AS, &before) == 0);
    limit = before;
    /* Room for the span table, a first stretch of heap and some blocks. */
    limit.rlim_cur =
        (rlim_t)(process_bytes() + (sizeof(void *) == 4 ? KILN_MIB(600) : KILN_MIB(1500)));
    EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
    bool started = start(&tracker, &config, (kiln_addr_t)(uintptr_t)sbrk(0), 0);
    /* Somebody else's page lies where the next block would continue the first. */
    void *foreign = mmap((void *)(uintptr_t)arena.arena_end, 4096, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (started) {
        grow(&rng, 20, 65536);
        for (unsigned i = 0; i < 40; i++) kiln_arena_alloc(&arena, KILN_MIB(48));
    }
    EXPECT(setrlimit(RLIMIT_AS, &before) == 0);
    linux_close();
    munmap(foreign, 4096);
    EXPECT(started);
    unsigned states = expect_same("linux under a limit");
    printf("%u states, %u requests failed\n", states, requests_failed);
    EXPECT(states >= 61);
    EXPECT(strstr(text, "-> fail\n")); /* the limit was met */
}

static void test_a_record_with_faults_replays(void)
{
    static kiln_os_fault_t fault;
    static uint8_t plan[512];
    unsigned faults = 0;

    for (unsigned run = 0; run < 20; run++) {
        kiln_rng_t rng = {seed + run};
        kiln_arena_config_t config = native_config();
        linux_open();
        tracker.release = track_release;
        for (size_t i = 0; i < sizeof plan; i++)
            plan[i] = (uint8_t)(kiln_rng_below(&rng, 4) ? 0 : kiln_rng_next(&rng) & 0x55);
        kiln_os_fault_init_plan(&fault, &tracker, plan, sizeof plan);
        if (start(&fault.os, &config, (kiln_addr_t)(uintptr_t)sbrk(0), 0)) grow(&rng, 100, 65536);
        faults += (unsigned)fault.faults;
        linux_close();
        expect_same("linux with faults");
    }
    EXPECT(faults > 20);
}

/* --- the test itself, and the recorder's edges ----------------------------------------------- */

static void test_a_changed_record_is_seen(void)
{
    static kiln_os_range_t ranges[RANGES_MAX];
    static kiln_os_fake_t fake;
    static kiln_trace_t trace;
    char replayed[512];
    unsigned states = 0;
    kiln_rng_t rng = {1};
    kiln_arena_config_t config = kiln_arena_config_default(32, 4096);
    kiln_os_fake_config_t os_config = kiln_os_fake_config_default(32, 4096, ranges, RANGES_MAX);

    kiln_os_fake_init(&fake, &os_config);
    EXPECT(start(&fake.os, &config, 0x8100000, 0));
    grow(&rng, 20, 8192);
    EXPECT(expect_same("unchanged") == 21);

    /* Another state in the record. */
    char *state = strstr(text, "heap_sys=0x1");
    EXPECT(state);
    state[11] = '2';
    char *transcript = replay(text, text_bytes, &trace);
    EXPECT(transcript);
    EXPECT(first_difference(text, transcript, &states, replayed) && states > 0);
    free(transcript);
    state[11] = '1';

    /* Another place for the first block: the first state differs, if it replays at all. */
    char *answer = strstr(text, "reserve -> 0x8");
    EXPECT(answer);
    answer[13] = '9';
    transcript = replay(text, text_bytes, &trace);
    EXPECT(!transcript || (first_difference(text, transcript, &states, replayed) && states == 0));
    free(transcript);
    answer[13] = '8';

    /* A request left out: one state fewer. */
    char *request = strstr(text, "\nalloc ");
    EXPECT(request);
    request[1] = '#';
    EXPECT(!replay(text, text_bytes, &trace)); /* its answers are nobody's */
    EXPECT_STR(trace.error, "nobody asked for this answer to a map");
}

static void test_a_stopped_record_writes_no_more(void)
{
    static kiln_os_range_t ranges[RANGES_MAX];
    static kiln_os_fake_t fake;
    kiln_rng_t rng = {2};
    kiln_arena_config_t config = kiln_arena_config_default(64, 4096);
    kiln_os_fake_config_t os_config = kiln_os_fake_config_default(64, 4096, ranges, RANGES_MAX);

    kiln_os_fake_init(&fake, &os_config);
    EXPECT(start(&fake.os, &config, 0, 0));
    grow(&rng, 5, 8192);
    kiln_arena_record_stop(&record);
    unsigned calls = sink_calls;
    EXPECT(grow(&rng, 5, 8192) == 5 && requests_failed == 0); /* the arena goes on */
    EXPECT_EQ(sink_calls, calls);
    EXPECT(expect_same("stopped") >= 6);
}

static void test_too_many_answers_are_said_to_be(void)
{
    static kiln_os_range_t ranges[RANGES_MAX];
    static kiln_os_fake_t fake;
    static kiln_os_record_t os_record;
    bool reserved;
    kiln_os_fake_config_t os_config = kiln_os_fake_config_default(64, 4096, ranges, RANGES_MAX);

    kiln_os_fake_init(&fake, &os_config);
    text_bytes = 0;
    kiln_os_record_init(&os_record, &fake.os, sink, NULL);
    const kiln_os_t *os = &os_record.os;
    for (unsigned i = 0; i < KILN_OS_RECORD_ANSWERS_MAX + 1; i++)
        EXPECT(os->reserve(os->ctx, 0, 4096, &reserved) != 0);
    kiln_os_record_answers(&os_record);
    EXPECT(strstr(text, "\n# the recorder could not hold all answers of this step\n"));
    EXPECT(!os_record.sink);

    /* Refusals in a row are one answer, however many. */
    text_bytes = 0;
    os_config.reserve_bytes_max = 4096;
    kiln_os_fake_init(&fake, &os_config);
    kiln_os_record_init(&os_record, &fake.os, sink, NULL);
    for (unsigned i = 0; i < 1000; i++) EXPECT(os->reserve(os->ctx, 0, 8192, &reserved) == 0);
    kiln_os_record_answers(&os_record);
    kiln_os_record_flush(&os_record);
    EXPECT_STR(text, "  reserve*1000 -> fail\n");
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_records_on_the_fake_os_replay),
        KILN_TEST(test_a_record_on_linux_replays),
        KILN_TEST(test_a_record_under_an_address_space_limit_replays),
        KILN_TEST(test_a_record_with_faults_replays),
        KILN_TEST(test_a_changed_record_is_seen),
        KILN_TEST(test_a_stopped_record_writes_no_more),
        KILN_TEST(test_too_many_answers_are_said_to_be),
    };
    seed = (unsigned long long)time(NULL);
    const char *given = getenv("KILN_TEST_SEED");
    if (given) seed = strtoull(given, NULL, 0);
    printf("seed %llu; again: KILN_TEST_SEED=%llu %s\n", seed, seed, argv[0]);
    fflush(stdout);
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
