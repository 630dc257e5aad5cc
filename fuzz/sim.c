/* sim.c - the simulation tester (sim.h). */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "fuzz/sim.h"

#include "fuzz/target.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_SWARMS_MAX = 1000, LINE_BYTES = 1024, LOOK_NS = 50000000 };

/* What the child writes and its parent reads, after the child's end, and for the progress. */
static kiln_fuzz_sim_t *shared;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void print_swarm(const kiln_fuzz_swarm_t *swarm, uint64_t round)
{
    char line[LINE_BYTES];
    kiln_fuzz_swarm_text(swarm, line, sizeof line);
    printf("from round %llu: %s\n", (unsigned long long)round, line);
    fflush(stdout); /* whatever ends the process */
}

/* run_round gives how many operations the target took of it. */
static uint64_t run_round(const kiln_fuzz_swarm_t *swarm, uint64_t round)
{
    static uint8_t data[KILN_FUZZ_INPUT_BYTES_MAX];
    uint64_t steps_before = kiln_fuzz_steps;
    shared->round = round;
    LLVMFuzzerTestOneInput(data, kiln_fuzz_swarm_input(swarm, round, data));
    shared->rounds++;
    shared->steps = kiln_fuzz_steps;
    shared->events = kiln_fuzz_events;
    return kiln_fuzz_steps - steps_before;
}

/* over: nothing but `seconds_max` asks for the time, which no run does again. */
static bool over(const kiln_fuzz_sim_config_t *config, double began_s)
{
    return shared->steps >= config->steps_max ||
           (config->seconds_max && now_s() - began_s >= (double)config->seconds_max);
}

/* run_all goes on to the next swarm where this one makes no heap or arena at all. */
static void run_all(const kiln_fuzz_sim_config_t *config)
{
    kiln_fuzz_swarm_t swarm;
    double began_s = now_s();
    unsigned idle = 0;
    for (uint64_t round = 0; !over(config, began_s); round += KILN_FUZZ_SWARM_ROUNDS) {
        kiln_fuzz_swarm_draw(&swarm, config->words, config->seed, round);
        print_swarm(&swarm, round);
        shared->swarms++;
        uint64_t steps = run_round(&swarm, round);
        idle = steps ? 0 : idle + 1;
        shared->idle = idle >= IDLE_SWARMS_MAX;
        if (shared->idle) return;
        for (unsigned i = 1; steps && i < KILN_FUZZ_SWARM_ROUNDS && !over(config, began_s); i++)
            run_round(&swarm, round + i);
    }
}

static void run_child(const kiln_fuzz_sim_config_t *config)
{
    kiln_fuzz_swarm_t swarm;
    kiln_fuzz_child_begin();
    if (config->round == KILN_FUZZ_SIM_ALL) {
        run_all(config);
        return;
    }
    kiln_fuzz_swarm_draw(&swarm, config->words, config->seed, (uint64_t)config->round);
    print_swarm(&swarm, (uint64_t)config->round);
    shared->swarms++;
    run_round(&swarm, (uint64_t)config->round);
}

/* watch returns when the child has ended. A round that takes too long is ended. */
static void watch(pid_t child, bool shows, double began_s)
{
    static const struct timespec pause = {0, LOOK_NS};
    volatile const kiln_fuzz_sim_t *seen = shared;
    uint64_t rounds = 0;
    double moved_s = began_s;
    siginfo_t about = {0};
    while (waitid(P_PID, (id_t)child, &about, WEXITED | WNOWAIT | WNOHANG) == 0 &&
           about.si_pid == 0) {
        if (seen->rounds != rounds) moved_s = now_s();
        rounds = seen->rounds;
        if (now_s() - moved_s > (double)KILN_FUZZ_CHILD_SECONDS) kill(child, SIGALRM);
        if (shows)
            fprintf(stderr, "\r\033[K  %llu steps, %llu rounds, %.0f s",
                    (unsigned long long)seen->steps, (unsigned long long)rounds, now_s() - began_s);
        nanosleep(&pause, NULL);
    }
    if (shows) fputs("\r\033[K", stderr);
}

bool kiln_fuzz_sim(const kiln_fuzz_sim_config_t *config, kiln_fuzz_sim_t *sim)
{
    double began_s = now_s();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !kiln_fuzz_child_open()) return false;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        run_child(config);
        _exit(0);
    }
    if (child > 0) watch(child, isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO), began_s);
    bool ended = child > 0 && kiln_fuzz_child_ended((int)child, shared->kind);
    shared->seconds = now_s() - began_s;
    *sim = *shared;
    munmap(shared, sizeof *shared);
    return ended;
}
