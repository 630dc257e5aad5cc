/* target.h - what a fuzz target supplies, and what it gets.
 *
 * A target is one file, <noun>_fuzz.c, with kiln_fuzz_words and kiln_fuzz_one. //fuzz:target turns
 * it into LLVMFuzzerTestOneInput and supplies kiln_stop: when a check fails, the message is
 * written, then the input as operations, then the input is run once more with kiln_fuzz_tracing
 * set, so that a report shows the steps that led there and the common path pays nothing for it. */
#ifndef KILN_FUZZ_TARGET_H
#define KILN_FUZZ_TARGET_H

#include "allocator/base/check.h"
#include "fuzz/ops.h"

/* KILN_FUZZ_KNOWN: MSan takes these bytes as written. */
#ifdef __has_feature
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define KILN_FUZZ_KNOWN(data, size) __msan_unpoison(data, size)
#endif
#endif
#ifndef KILN_FUZZ_KNOWN
#define KILN_FUZZ_KNOWN(data, size) ((void)0)
#endif

extern const kiln_fuzz_words_t kiln_fuzz_words;

/* kiln_fuzz_one runs one input from a fresh state: the same input does the same, whatever ran
 * before. It returns when the input is through, and stops the program when a law is broken. */
void kiln_fuzz_one(const uint8_t *data, size_t size);

/* A law of DESIGN.md that must hold here: when `x` is false, the input is a finding. */
#define KILN_FUZZ_LAW(law, x) ((x) ? (void)0 : kiln_check_failed(law, __FILE__, __LINE__))

/* kiln_fuzz_stop_rule does the act and gives the rule by which it stopped, or NULL: for bugs that a
 * target plants, and that must be found. No local variable may live across it. */
const char *kiln_fuzz_stop_rule(void (*act)(void));

/* kiln_fuzz_last_words writes what a target still holds of the step that stopped the program. */
void kiln_fuzz_last_words(void);

/* Faults that the input says nothing of (faults_main.c): the call of the OS with this number, of
 * those that can be refused, is, and where `ever_after` all that follow. 0: none. The target plans
 * them as it makes its OS, by kiln_fuzz_plan_faults, which adds them to a refuse_plan of fake.h;
 * and says in the end how many such calls there were. */
enum { KILN_FUZZ_FAULTS_MAX = 4096 };
typedef struct kiln_fuzz_faults {
    uint64_t call;
    bool ever_after;
    uint64_t calls_seen;
} kiln_fuzz_faults_t;

extern kiln_fuzz_faults_t kiln_fuzz_faults;

void kiln_fuzz_plan_faults(uint8_t plan[KILN_FUZZ_FAULTS_MAX / 8]);

/* Set while a target should write its steps to standard error, before it takes each. */
extern bool kiln_fuzz_tracing;

/* Set where only the name of a broken law is wanted, not the input and its steps. */
extern bool kiln_fuzz_brief;

/* kiln_fuzz_ran tells of an input that went through: how many operations it took, and a hash of all
 * that happened, which is the same whenever and wherever it runs. For kiln sim, of those targets
 * that call it; it adds up in kiln_fuzz_steps and kiln_fuzz_events, and gives `events` back. */
uint64_t kiln_fuzz_ran(uint64_t steps, uint64_t events);
extern uint64_t kiln_fuzz_steps, kiln_fuzz_events;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
