/* target.c - one input, and what is written when it breaks a law (target.h). */
#include "fuzz/target.h"

#include "allocator/base/check.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool kiln_fuzz_tracing, kiln_fuzz_brief;
kiln_fuzz_faults_t kiln_fuzz_faults;
uint64_t kiln_fuzz_steps, kiln_fuzz_events;

static const uint8_t *input_data; /* of the input that runs now */
static size_t input_size;
static bool stopping;

static jmp_buf planned_stop; /* where a stop that is expected goes on */
static bool stop_is_planned;
static char stop_text[256];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    KILN_FUZZ_KNOWN(data, size); /* the engine was not built with MSan */
    input_data = data;
    input_size = size;
    kiln_fuzz_one(data, size);
    return 0;
}

void kiln_fuzz_plan_faults(uint8_t plan[KILN_FUZZ_FAULTS_MAX / 8])
{
    uint64_t call = kiln_fuzz_faults.call;
    if (call == 0 || call > KILN_FUZZ_FAULTS_MAX) return;
    do {
        plan[(call - 1) / 8] |= (uint8_t)(1u << (call - 1) % 8);
        call++;
    } while (kiln_fuzz_faults.ever_after && call <= KILN_FUZZ_FAULTS_MAX);
}

uint64_t kiln_fuzz_ran(uint64_t steps, uint64_t events)
{
    kiln_fuzz_steps += steps;
    kiln_fuzz_events = (kiln_fuzz_events ^ events) * UINT64_C(0x9e3779b97f4a7c15);
    kiln_fuzz_events ^= kiln_fuzz_events >> 29;
    return events;
}

static void print_input(void)
{
    static char text[64 * KILN_FUZZ_INPUT_BYTES_MAX / KILN_FUZZ_RECORD_BYTES];
    size_t length = kiln_fuzz_text_of(&kiln_fuzz_words, input_data, input_size, text, sizeof text);
    fprintf(stderr, "--- the input as operations (%s, %zu bytes)\n%s", kiln_fuzz_words.target,
            input_size, text);
    if (length >= sizeof text) fputs("... and more\n", stderr);
}

const char *kiln_fuzz_stop_rule(void (*act)(void))
{
    static const char mark[] = ": broken rule: ";
    static const char *rule;
    rule = NULL;
    stop_is_planned = true;
    if (setjmp(planned_stop) == 0) {
        act();
    } else {
        char *end = strchr(stop_text, '\n');
        if (end) *end = '\0';
        rule = strstr(stop_text, mark);
        rule = rule ? rule + sizeof mark - 1 : stop_text;
    }
    stop_is_planned = false;
    return rule;
}

/* Called by every failing KILN_CHECK, the arena's and the heap's included. The state that broke is
 * of no more use, so the second run may start afresh; it comes here again at the same check. */
_Noreturn void kiln_stop(const char *text, size_t bytes)
{
    if (stop_is_planned) {
        size_t kept = bytes < sizeof stop_text ? bytes : sizeof stop_text - 1;
        memcpy(stop_text, text, kept);
        stop_text[kept] = '\0';
        longjmp(planned_stop, 1);
    }
    fflush(stdout);
    if (kiln_fuzz_brief) {
        fwrite(text, 1, bytes, stderr);
        abort();
    }
    if (!stopping) {
        stopping = true;
        fwrite(text, 1, bytes, stderr);
        if (!kiln_fuzz_tracing) {
            print_input();
            fputs("--- its steps\n", stderr);
            kiln_fuzz_tracing = true;
            kiln_fuzz_one(input_data, input_size);
            fputs("kiln: the second run of this input broke no law: not deterministic\n", stderr);
        }
    }
    kiln_fuzz_last_words();
    fputs("--- stopped here\n", stderr);
    abort();
}
