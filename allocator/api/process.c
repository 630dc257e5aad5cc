#include "allocator/api/process.h"

#include "allocator/api/checkpoint.h"
#include "allocator/api/leak.h"
#include "allocator/api/limit.h"
#include "allocator/api/options.h"
#include "allocator/api/profile.h"
#include "allocator/api/recording.h"
#include "allocator/api/report.h"
#include "allocator/api/segv.h"
#include "allocator/api/start.h"
#include "allocator/api/stats.h"
#include "allocator/os/linux.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/single_threaded.h>

kiln_heap_t kiln_process_heap;
kiln_harden_t *kiln_process_hardened;
kiln_os_t kiln_process_os;
_Thread_local kiln_thread_t kiln_thread __attribute__((tls_model("initial-exec")));

/* A huge page is then 3 % of the heap. */
enum { HUGE_AFTER_BYTES = 64 << 20 };

/* The start lock spins: a thread waits for it only while another makes the heap. */
static const kiln_parker_t spin = {NULL, NULL};

static struct {
    kiln_lock_t lock;   /* held while the heap is made, and by fork */
    _Atomic bool ready; /* the heap is made; stored with release order after the last write to it */
    bool has_key;       /* written before `ready` */
    pthread_key_t key;  /* its destructor is how a thread's end is seen */
    _Atomic bool has_fork_handlers;
} start;

/* pthread key destructor. Destructors of other keys may run later and still use the heap. */
static void detach(void *unused)
{
    (void)unused;
    kiln_thread_cache_t *cache = kiln_thread.cache;
    kiln_harden_thread_t *hardened = kiln_thread.hardened;
    kiln_thread.cache = NULL;
    kiln_thread.hardened = NULL;
    kiln_thread.state = KILN_THREAD_ENDING;
    kiln_process_called(KILN_SITE("the end of a thread"));
    if (cache) kiln_heap_detach(&kiln_process_heap, cache);
    if (hardened) kiln_harden_detach(kiln_process_hardened, hardened);
}

/* After the heap was made; nothing was allocated on it yet. False: it is no heap for this. */
static bool harden(const kiln_harden_config_t *config, bool check_at_end)
{
    static kiln_harden_t hardened;
    if (kiln_harden_init(&hardened, &kiln_process_heap, config) != NULL) return false;
    kiln_process_hardened = &hardened;
    kiln_checkpoint_own(&hardened, sizeof hardened);
    if (config->guard) kiln_checkpoint_own(config->guard, sizeof *config->guard);
    if (check_at_end) kiln_profile_check_at_end();
    return true;
}

/* Who says nothing has the same heap as who asks for it, but is to notice nothing of it. A filter
 * that kills for sigaction leaves no dynamic linker at work, which makes many more calls, but may
 * have been set before a static program: there the first handler that the program sets is waited
 * for (segv.h). */
static void handle_faults(const kiln_options_t *options, bool hardens)
{
    bool is_linked = getauxval(AT_BASE) != 0; /* by a dynamic linker */
    bool named = options->has_handle_segv || options->has_profile || options->has_guard;
    if (hardens) kiln_segv_explain = kiln_profile_explain;
    if (options->has_handle_segv || (hardens && (named || is_linked)))
        kiln_segv_begin(&options->report);
    else if (hardens)
        kiln_segv_begin_later(&options->report);
}

/* Under the start lock; again after a failure. */
static bool make_heap(void)
{
    static kiln_options_t options;
    kiln_os_t *os = &kiln_process_os;
    if (os->phys_bytes == 0) { /* the first time */
        kiln_options_read(&options);
        kiln_profile_draw_seed(&options);
        kiln_report_options = options.report;
        if (options.stats) kiln_stats_at_end();
        if (options.detect_leaks) kiln_leak_check_at_end();
        kiln_os_linux_init(os, getauxval(AT_PAGESZ));
        kiln_stack_depot_init(&kiln_stack_depot, os);
    }
    kiln_heap_config_t config = kiln_start_config(os);
    const kiln_os_t *below = kiln_checkpoint_os(&options, kiln_profile_os(&options, os));
    config.os = config.arena_os = below;
    if (options.limit_bytes != 0) {
        static kiln_limit_t limit;
        kiln_limit_init(&limit, below, options.limit_bytes);
        config.os = config.arena_os = &limit.os;
        kiln_checkpoint_own(&limit, sizeof limit);
    }
    if (options.has_idle_bytes) config.idle_bytes_max = options.idle_bytes;
    bool huge_pages = !options.checkpoints && (!options.has_huge_pages || options.huge_pages);
    config.huge_after_bytes = huge_pages ? HUGE_AFTER_BYTES : 0;
    config.single_threaded = &__libc_single_threaded;
    config.seal = (kiln_seal_t){.secret = options.seed, .ruined = kiln_profile_ruined};
    kiln_recording_begin(options.record, &config);
    kiln_harden_config_t hardening;
    bool check_at_end;
    bool hardens =
        kiln_profile_config(&options, below, config.arena.block_bytes, &hardening, &check_at_end);
    if (hardens) config.note_bytes = kiln_harden_note_bytes(&hardening);
    if (kiln_heap_init(&kiln_process_heap, &config) != NULL) {
        memset(&kiln_process_heap, 0, sizeof kiln_process_heap); /* as init wants it next time */
        return false;
    }
    if (hardens && !harden(&hardening, check_at_end)) return false;
    kiln_checkpoint_own(&kiln_process_heap, sizeof kiln_process_heap);
    kiln_recording_started(&kiln_process_heap);
    handle_faults(&options, hardens);
    start.has_key = pthread_key_create(&start.key, detach) == 0;
    atomic_store_explicit(&start.ready, true, memory_order_release);
    return true;
}

static bool ensure_heap(void)
{
    if (atomic_load_explicit(&start.ready, memory_order_acquire)) return true;
    kiln_lock_acquire(&start.lock, &spin);
    bool ready = atomic_load_explicit(&start.ready, memory_order_relaxed) || make_heap();
    kiln_lock_release(&start.lock, &spin);
    return ready;
}

/*  Around fork. The forking thread holds every lock from prepare to parent or child, so that no
 *  other thread is inside the heap in the moment of the copy. Handlers of other libraries may run
 *  on either side of ours and may use the heap: then the locks are let go for the length of that
 *  visit (enter_slow, leave_slow). Nothing is torn by that: the handlers run in one thread, and in
 *  the child it is the only one. */
static void hold_all(void)
{
    kiln_lock_acquire(&start.lock, &spin);
    if (!atomic_load_explicit(&start.ready, memory_order_relaxed)) return;
    if (kiln_process_hardened) kiln_harden_fork_prepare(kiln_process_hardened);
    kiln_heap_fork_prepare(&kiln_process_heap);
}

static void let_all_go(void)
{
    if (atomic_load_explicit(&start.ready, memory_order_relaxed)) {
        kiln_heap_fork_parent(&kiln_process_heap);
        if (kiln_process_hardened) kiln_harden_fork_parent(kiln_process_hardened);
    }
    kiln_lock_release(&start.lock, &spin);
}

bool kiln_process_hold(void)
{
    if (kiln_thread.state == KILN_THREAD_FORKING) return false;
    hold_all();
    if (atomic_load_explicit(&start.ready, memory_order_relaxed)) return true;
    let_all_go();
    return false;
}

void kiln_process_let_go(void)
{
    let_all_go();
}

static void fork_prepare(void)
{
    kiln_thread.state_before_fork = kiln_thread.state;
    kiln_thread.cache_before_fork = kiln_thread.cache;
    kiln_thread.hardened_before_fork = kiln_thread.hardened;
    kiln_thread.cache = NULL;
    kiln_thread.hardened = NULL;
    kiln_thread.state = KILN_THREAD_FORKING;
    hold_all();
}

static void fork_over(void)
{
    kiln_thread.cache = kiln_thread.cache_before_fork;
    kiln_thread.hardened = kiln_thread.hardened_before_fork;
    kiln_thread.state = kiln_thread.state_before_fork;
}

static void fork_parent(void)
{
    let_all_go();
    fork_over();
}

static void fork_child(void)
{
    kiln_recording_stop();
    kiln_checkpoint_fork_child();
    kiln_report_fork_child();
    kiln_leak_fork_child();
    kiln_segv_fork_child();
    kiln_harden_thread_t *mine = kiln_thread.hardened_before_fork;
    kiln_thread_cache_t *cache = mine ? mine->cache : kiln_thread.cache_before_fork;
    if (atomic_load_explicit(&start.ready, memory_order_relaxed)) {
        kiln_heap_fork_child(&kiln_process_heap, cache);
        if (kiln_process_hardened) kiln_harden_fork_child(kiln_process_hardened, mine);
    }
    kiln_lock_release(&start.lock, &spin);
    fork_over();
}

/* A process that never allocated needs no handlers, so the first visit registers them: that is
 * before any constructor can have started a thread that allocates. */
static void ensure_fork_handlers(void)
{
    if (atomic_load_explicit(&start.has_fork_handlers, memory_order_relaxed) ||
        atomic_exchange_explicit(&start.has_fork_handlers, true, memory_order_relaxed))
        return;
    if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
        atomic_store_explicit(&start.has_fork_handlers, false, memory_order_relaxed);
}

/* So that the end of a thread that has attached is seen. */
static bool see_the_end(void)
{
    return pthread_setspecific(start.key, &kiln_thread) == 0;
}

static kiln_thread_cache_t *attach_to_heap(void)
{
    kiln_thread_cache_t *cache = kiln_heap_attach(&kiln_process_heap);
    if (!cache || see_the_end()) return cache;
    kiln_heap_detach(&kiln_process_heap, cache); /* nobody would do it at the thread's end */
    return NULL;
}

static kiln_harden_thread_t *attach_to_hardened(void)
{
    kiln_harden_thread_t *mine = kiln_harden_attach(kiln_process_hardened);
    if (mine && kiln_process_hardened->keeps_stacks) kiln_stack_thread_begin();
    if (!mine || see_the_end()) return mine;
    kiln_harden_detach(kiln_process_hardened, mine);
    return NULL;
}

/* The C library's functions below may allocate; such a call finds the state `attaching`. */
static void attach(void)
{
    kiln_thread_cache_t *cache = NULL;
    kiln_harden_thread_t *mine = NULL;
    kiln_thread.state = KILN_THREAD_ATTACHING;
    ensure_fork_handlers();
    if (start.has_key && kiln_process_hardened) mine = attach_to_hardened();
    if (start.has_key && !kiln_process_hardened) cache = attach_to_heap();
    kiln_thread.cache = cache;
    kiln_thread.hardened = mine;
    kiln_thread.state = cache || mine ? KILN_THREAD_ATTACHED : KILN_THREAD_NEW;
}

kiln_visit_t kiln_process_enter_slow(void)
{
    int errno_before = errno;
    kiln_visit_t visit = {NULL, NULL};
    if (kiln_thread.state == KILN_THREAD_FORKING) let_all_go();
    if (ensure_heap()) {
        visit.heap = &kiln_process_heap;
        if (kiln_thread.state == KILN_THREAD_NEW) attach();
        visit.cache = kiln_thread.cache;
    }
    errno = errno_before;
    return visit;
}

void kiln_process_leave_slow(void)
{
    if (kiln_thread.state == KILN_THREAD_FORKING) hold_all();
}
