/* Walks: by the compilers' tables, against what the C library's own walker says; by frame pointers;
 * over stacks that are ruined. This file is compiled without frame pointers; stack_deep.c with. */
#define _GNU_SOURCE
#include "allocator/api/stack.h"
#include "allocator/base/rng.h"
#include "allocator/os/linux.h"
#include "tests/kiln_test.h"
#include "tests/report/stack_deep.h"

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

static volatile int after;
static kiln_stack_t walked;
static void *theirs[KILN_STACK_FRAMES_MAX];
static int their_count;

static __attribute__((noinline)) void look(void)
{
    kiln_unwind_t here = {.exact = true};
    kiln_unwind_here(&here);
    kiln_stack_walk(&here, 0, &walked);
    their_count = backtrace(theirs, KILN_STACK_FRAMES_MAX);
    after++;
}

/* Both walks began in `look`, at different instructions. The C library's may add a frame at the
 * end, of address 0 or of the last function's. */
static bool both_agree(int least)
{
    if (their_count < least || (int)walked.count < least) return false;
    for (int i = 1; i < least; i++)
        if ((uintptr_t)theirs[i] != walked.pcs[i]) return false;
    int difference = their_count - (int)walked.count;
    return difference >= -1 && difference <= 1;
}

static __attribute__((noinline)) void look_from(int depth)
{
    volatile char room[100];
    room[depth] = 1;
    if (depth == 0)
        look();
    else
        look_from(depth - 1);
    after += room[depth];
}

static __attribute__((noinline)) void look_from_variable(size_t bytes)
{
    char *room = __builtin_alloca(bytes);
    memset(room, 1, bytes);
    look_from(2);
    after += room[bytes / 2];
}

static __attribute__((noinline)) void look_from_aligned(void)
{
    _Alignas(256) volatile char room[512];
    room[7] = 1;
    look_from(1);
    after += room[7];
}

static int compare(const void *left, const void *right)
{
    if (walked.count == 0) look_from(1);
    return *(const int *)left - *(const int *)right;
}

static void start(void)
{
    walked.count = 0;
    their_count = 0;
}

static void test_plain_calls(void)
{
    start();
    look_from(10);
    EXPECT(both_agree(14));
}

static void test_frames_of_any_size(void)
{
    for (size_t bytes = 1; bytes < 20000; bytes = bytes * 3 + 1) {
        start();
        look_from_variable(bytes);
        EXPECT(both_agree(7));
    }
    start();
    look_from_aligned();
    EXPECT(both_agree(6));
}

static void test_through_a_library(void)
{
    int numbers[] = {3, 1, 2};
    start();
    qsort(numbers, 3, sizeof *numbers, compare);
    EXPECT(both_agree(8));
}

static void handle(int number)
{
    (void)number;
    look_from(2);
}

static void test_out_of_a_signal_handler(void)
{
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = handle};
    int (*volatile send)(int) = raise; /* compilers know that raise calls nothing of this file */
    EXPECT_EQ(sigaltstack(&alternate, NULL), 0);
    for (unsigned flags = 0; flags < 2; flags++) {
        action.sa_flags = flags ? SA_ONSTACK : 0;
        EXPECT_EQ(sigaction(SIGUSR1, &action, NULL), 0);
        start();
        send(SIGUSR1);
        EXPECT(both_agree(9));
    }
}

static void *look_in_thread(void *unused)
{
    look_from(3);
    return unused;
}

static void test_in_a_thread(void)
{
    pthread_t thread;
    start();
    EXPECT_EQ(pthread_create(&thread, NULL, look_in_thread, NULL), 0);
    pthread_join(thread, NULL);
    EXPECT(both_agree(6));
}

static kiln_readable_t everything = {0, 0, true};

/* A signal that comes before its clock is set has interrupted the C library, which on an emulator
 * lies on a system call that has no tables. */
static volatile sig_atomic_t is_spinning, came_early;

static void handle_step(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    came_early = !is_spinning;
    if (came_early) return;
    const greg_t *from = ((ucontext_t *)context)->uc_mcontext.gregs;
    kiln_unwind_t frame = {.exact = true};
#ifdef __x86_64__
    static const uint8_t of[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                 REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                 REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
#else
    static const uint8_t of[] = {REG_EAX, REG_ECX, REG_EDX, REG_EBX, REG_ESP,
                                 REG_EBP, REG_ESI, REG_EDI, REG_EIP};
#endif
    for (unsigned i = 0; i < KILN_UNWIND_REGISTERS; i++)
        frame.registers[i] = (uintptr_t)from[of[i]];
    walked.pcs[0] = frame.registers[KILN_UNWIND_PC]; /* which may be in the test itself */
    walked.count = 1;
    while (walked.count < KILN_STACK_FRAMES_MAX && kiln_unwind_step(&frame, &everything))
        walked.pcs[walked.count++] = frame.registers[KILN_UNWIND_PC];
}

/* At every instruction of a function, also while it makes its frame and takes it down. */
static void test_at_every_instruction(void)
{
    struct sigaction action = {.sa_sigaction = handle_step, .sa_flags = SA_SIGINFO};
    EXPECT_EQ(sigaction(SIGALRM, &action, NULL), 0);
    uintptr_t right = 0;
    unsigned looks = 0;
    for (unsigned i = 0; i < 300; i++) {
        start();
        came_early = is_spinning = 0;
        ualarm(500 + i, 0);
        is_spinning = 1;
        while (walked.count == 0 && !came_early) kiln_deep_spin(5);
        if (came_early) continue;
        bool is_deep = false;
        for (unsigned j = 0; j < walked.count && !is_deep; j++)
            is_deep = walked.pcs[j] - (uintptr_t)test_at_every_instruction < 2000;
        looks++;
        right += is_deep;
    }
    ualarm(0, 0);
    EXPECT(looks > 0);
    EXPECT_EQ(right, looks);
}

static void test_a_caller_cuts(void)
{
    kiln_stack_t stack;
    kiln_unwind_t here = {.exact = true};
    kiln_unwind_here(&here);
    look_from(5);
    uintptr_t caller = walked.pcs[7]; /* in this function's caller */
    kiln_stack_walk(&here, caller, &stack);
    EXPECT_EQ(stack.pcs[0], caller);
    EXPECT(!stack.exact);
    kiln_stack_walk(&here, 4711, &stack); /* nobody returns there */
    EXPECT_EQ(stack.count, 1);
    EXPECT_EQ(stack.pcs[0], 4711);
}

/* ---- kept stacks ---- */

static uintptr_t frames[KILN_STACK_FRAMES_MAX];

static unsigned kept(kiln_stack_id_t id)
{
    return kiln_stack_frames(id, frames);
}

static void test_frame_pointers_give_what_tables_give(void)
{
    kiln_stack_thread_begin();
    kiln_stack_id_t first = 0;
    for (volatile int i = 0; i < 2; i++) { /* volatile: one place that calls */
        kiln_stack_id_t id = kiln_deep_capture(12, &walked);
        EXPECT_EQ(kept(id), 12);
        for (unsigned j = 0; j < 12; j++) EXPECT_EQ(frames[j], walked.pcs[j]);
        if (i == 0) first = id;
        EXPECT_EQ(id, first);
    }
    EXPECT(kiln_deep_capture(6, &walked) != first);
}

/* Many stacks at one place, in an order and in others: a guess is no answer. */
static void test_stacks_of_one_place_are_told_apart(void)
{
    enum { DEPTH = 7, PATHS = 1 << DEPTH }; /* and as many calls above, with frames for the rest */
    static kiln_stack_id_t ids[PATHS];
    kiln_rng_t rng = {3};
    uint32_t stacks = 0;
    kiln_stack_thread_begin();
    for (volatile unsigned i = 0; i < 20 * PATHS; i++) {
        unsigned path = i < 3 * PATHS ? i % PATHS : (unsigned)kiln_rng_below(&rng, PATHS);
        kiln_stack_id_t id = kiln_deep_path(path << DEPTH, 2 * DEPTH, &walked);
        EXPECT_EQ(kept(id), 12);
        for (unsigned j = 0; j < 12; j++) EXPECT_EQ(frames[j], walked.pcs[j]);
        if (i < PATHS) ids[path] = id;
        if (i == PATHS) stacks = kiln_stack_depot.stacks;
        EXPECT_EQ(id, ids[path]);
    }
    for (unsigned i = 0; i < PATHS; i++)
        for (unsigned j = 0; j < i; j++) EXPECT(ids[i] != ids[j]);
    EXPECT_EQ(kiln_stack_depot.stacks, stacks);
}

/* Where nothing but the caller is known: also of callers that differ in any one bit, or come to one
 * place of what was seen last. */
static void test_stacks_of_one_frame_are_told_apart(void)
{
    enum { CALLERS = 6000, BITS = sizeof(void *) == 8 ? 47 : 31 };
    static kiln_stack_id_t ids[CALLERS];
    kiln_rng_t rng = {4};
    for (unsigned turn = 0; turn < 3; turn++)
        for (uintptr_t i = 0; i < CALLERS; i++) {
            uintptr_t caller = i < BITS ? 0x1234567 ^ (uintptr_t)1 << i : 0x2000000 + 37 * i;
            kiln_stack_id_t id = kiln_stack_capture_from(0, caller, 12);
            EXPECT_EQ(kept(id), 1);
            EXPECT_EQ(frames[0], caller);
            if (turn == 0) ids[i] = id;
            EXPECT_EQ(id, ids[i]);
            if (kiln_rng_below(&rng, 3) == 0) EXPECT_EQ(kiln_stack_capture_from(0, caller, 1), id);
        }
}

/* What is no code ends a stack: such words are where frames would be, of functions without them. */
static void test_frames_that_return_to_no_code_are_none(void)
{
    uintptr_t pcs[] = {0x70001000, (uintptr_t)test_a_caller_cuts, (uintptr_t)malloc, 7};
    kiln_stack_thread_begin();
    for (unsigned i = 0; i < 64; i++) { /* which of three further frames return to which of those */
        uintptr_t fake[8] = {0};
        unsigned right = 1;
        fake[1] = 0x1234567;
        for (unsigned j = 1; j < 4; j++) {
            fake[2 * j - 2] = (uintptr_t)&fake[2 * j];
            fake[2 * j + 1] = pcs[i >> (2 * j - 2) & 3];
        }
        while (right < 4 && (fake[2 * right + 1] == pcs[1] || fake[2 * right + 1] == pcs[2]))
            right++;
        for (unsigned turn = 0; turn < 3; turn++) {
            kiln_stack_id_t id = kiln_stack_capture_from((uintptr_t)fake, fake[1], 12);
            EXPECT_EQ(kept(id), right);
            for (unsigned j = 0; j < right; j++) EXPECT_EQ(frames[j], fake[2 * j + 1]);
        }
    }
}

static void *capture_unready(void *unused)
{
    kiln_stack_t stack;
    kiln_stack_id_t id = kiln_deep_capture(5, &stack);
    if (kept(id) != 1) return unused;
    kiln_stack_thread_begin();
    id = kiln_deep_capture(5, &stack);
    return kept(id) > 5 ? NULL : unused;
}

static void test_a_thread_that_has_not_begun_keeps_the_caller(void)
{
    pthread_t thread;
    void *answer;
    EXPECT_EQ(pthread_create(&thread, NULL, capture_unready, (void *)theirs), 0);
    pthread_join(thread, &answer);
    EXPECT(!answer);
}

/* ---- ruined stacks ---- */

static void test_ruined_stacks_end(void)
{
    static uintptr_t fake[512];
    kiln_rng_t rng = {0x5eed};
    kiln_stack_t stack;
    printf("seed %#llx\n", (unsigned long long)rng.state);
    for (unsigned i = 0; i < 20000; i++) {
        kiln_unwind_t frame = {.exact = kiln_rng_below(&rng, 2) == 0};
        for (unsigned j = 0; j < 512; j++) {
            uint64_t what = kiln_rng_below(&rng, 5);
            fake[j] = what == 0   ? (uintptr_t)&fake[kiln_rng_below(&rng, 512)]
                      : what == 1 ? (uintptr_t)look_from + (uintptr_t)kiln_rng_below(&rng, 400)
                      : what == 2 ? (uintptr_t)qsort + (uintptr_t)kiln_rng_below(&rng, 4000)
                      : what == 3 ? (uintptr_t)kiln_rng_next(&rng)
                                  : (uintptr_t)kiln_rng_below(&rng, 8192);
        }
        for (unsigned j = 0; j < KILN_UNWIND_REGISTERS; j++)
            frame.registers[j] = fake[kiln_rng_below(&rng, 512)];
        if (i % 2 == 0) frame.registers[KILN_UNWIND_SP] = (uintptr_t)&fake[i % 500];
        kiln_stack_walk(&frame, i % 3 == 0 ? fake[7] : 0, &stack);
        EXPECT(stack.count >= 1 && stack.count <= KILN_STACK_FRAMES_MAX);
    }
}

static void test_what_cannot_be_read_is_not(void)
{
    uintptr_t word;
    kiln_readable_t nothing = {0, 0, false},
                    known = {(uintptr_t)&word, (uintptr_t)(&word + 1), false};
    word = 4711;
    EXPECT(!kiln_readable_word(&nothing, (uintptr_t)&word, &word));
    EXPECT(kiln_readable_word(&known, (uintptr_t)&word, &word) && word == 4711);
    EXPECT(kiln_readable_word(&everything, (uintptr_t)theirs, &word));
    EXPECT(!kiln_readable_word(&everything, (uintptr_t)theirs + 1, &word));
    EXPECT(!kiln_readable_word(&everything, 0, &word));
    EXPECT(!kiln_readable_word(&everything, 4096, &word));
    EXPECT(!kiln_readable_word(&everything, UINTPTR_MAX - 7, &word));
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_plain_calls),
        KILN_TEST(test_frames_of_any_size),
        KILN_TEST(test_through_a_library),
        KILN_TEST(test_out_of_a_signal_handler),
        KILN_TEST(test_in_a_thread),
        KILN_TEST(test_at_every_instruction),
        KILN_TEST(test_a_caller_cuts),
        KILN_TEST(test_frame_pointers_give_what_tables_give),
        KILN_TEST(test_stacks_of_one_place_are_told_apart),
        KILN_TEST(test_frames_that_return_to_no_code_are_none),
        KILN_TEST(test_stacks_of_one_frame_are_told_apart),
        KILN_TEST(test_a_thread_that_has_not_begun_keeps_the_caller),
        KILN_TEST(test_ruined_stacks_end),
        KILN_TEST(test_what_cannot_be_read_is_not),
    };
    static kiln_os_t os;
    kiln_os_linux_init(&os, 0);
    kiln_stack_depot_init(&kiln_stack_depot, &os);
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
