/* Numbers of stacks of one frame: none is another's, and all lead back. */
#include "allocator/api/lone.h"

#include "allocator/base/rng.h"
#include "tests/kiln_test.h"

#include <pthread.h>

static uintptr_t pc_of(const kiln_lone_t *lone, uint32_t id)
{
    uintptr_t pc = 0;
    return kiln_lone_pc(lone, id, &pc) ? pc : 0;
}

#define WINDOW(i) ((uintptr_t)(i) << KILN_LONE_PC_BITS)

enum { THREADS = 4, MOST = sizeof(void *) == 8 ? 1 << 19 : 1 << 4 };

static void test_a_number_leads_back(void)
{
    kiln_lone_t lone = {0};
    kiln_rng_t rng = {1};
    uintptr_t zero = 1;
    /* Two windows with one first place, and the last one there is. */
    const uintptr_t windows[] = {WINDOW(0), WINDOW(3), WINDOW(11), WINDOW(MOST - 1)};
    for (unsigned i = 0; i < 4; i++) {
        uintptr_t pc = windows[i] + KILN_LONE_CODE_MIN;
        EXPECT_EQ(kiln_lone_id(&lone, pc), 0);
        EXPECT(!kiln_lone_knows(&lone, pc));
        EXPECT(kiln_lone_learn(&lone, pc) && kiln_lone_learn(&lone, pc + 5));
        EXPECT(kiln_lone_knows(&lone, pc));
    }
    for (unsigned i = 0; i < 100000; i++) {
        uintptr_t pc = windows[i % 4] + (uintptr_t)kiln_rng_below(&rng, WINDOW(1));
        uint32_t id = kiln_lone_id(&lone, pc);
        EXPECT(id >> 31 == 1);
        EXPECT_EQ(pc_of(&lone, id), pc);
    }
    EXPECT(!kiln_lone_knows(&lone, KILN_LONE_CODE_MIN - 1));
    EXPECT_EQ(kiln_lone_id(&lone, WINDOW(1)), 0);
    EXPECT(kiln_lone_id(&lone, 0) != 0 && kiln_lone_pc(&lone, kiln_lone_id(&lone, 0), &zero));
    EXPECT_EQ(zero, 0);
    if (sizeof(uintptr_t) == 8) { /* of no window, and not taken for what lies 2^60 lower */
        EXPECT_EQ(kiln_lone_id(&lone, WINDOW(3) | (uintptr_t)((uint64_t)1 << 60)), 0);
        EXPECT(!kiln_lone_learn(&lone, UINTPTR_MAX));
    }
    EXPECT_EQ(kiln_lone_id(&lone, WINDOW(MOST - 2)), 0);
}

static void test_windows_are_bounded(void)
{
    kiln_lone_t lone = {0};
    for (unsigned i = 0; i < KILN_LONE_WINDOWS; i++) EXPECT(kiln_lone_learn(&lone, WINDOW(i)));
    EXPECT(!kiln_lone_learn(&lone, WINDOW(KILN_LONE_WINDOWS)));
    EXPECT_EQ(kiln_lone_id(&lone, WINDOW(KILN_LONE_WINDOWS) + 1), 0);
    for (unsigned i = 0; i < KILN_LONE_WINDOWS; i++)
        EXPECT_EQ(pc_of(&lone, kiln_lone_id(&lone, WINDOW(i) + 77)), WINDOW(i) + 77);
}

static void test_any_number_may_be_asked_for(void)
{
    kiln_lone_t lone = {0};
    kiln_rng_t rng = {2};
    EXPECT(kiln_lone_learn(&lone, WINDOW(2)));
    for (unsigned i = 0; i < 1000000; i++) {
        uint32_t id = (uint32_t)kiln_rng_next(&rng);
        uintptr_t pc = pc_of(&lone, id);
        if (pc != 0) EXPECT(kiln_lone_id(&lone, pc) == id);
    }
    EXPECT_EQ(pc_of(&lone, 0), 0);
    EXPECT_EQ(pc_of(&lone, 1 << 24), 0);
}

static kiln_lone_t shared;

static void *learn_all(void *argument)
{
    for (unsigned i = 0; i < KILN_LONE_WINDOWS; i++)
        if (!kiln_lone_learn(&shared, WINDOW(3 * i % KILN_LONE_WINDOWS))) return argument;
    return NULL;
}

/* A window that was there twice would leave one without a place. */
static void test_threads_learn_at_once(void)
{
    for (unsigned round = 0; round < 200; round++) {
        pthread_t threads[THREADS];
        void *wrong;
        shared = (kiln_lone_t){0};
        for (unsigned i = 0; i < THREADS; i++)
            EXPECT_EQ(pthread_create(&threads[i], NULL, learn_all, &shared), 0);
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(threads[i], &wrong);
            EXPECT(!wrong);
        }
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_number_leads_back),
        KILN_TEST(test_windows_are_bounded),
        KILN_TEST(test_any_number_may_be_asked_for),
        KILN_TEST(test_threads_learn_at_once),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
