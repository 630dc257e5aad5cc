#include "allocator/base/lock.h"

enum { KILN_LOCK_SPINS = 100 };

static inline void pause_cpu(void)
{
#if defined(__i386__) || defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

void kiln_lock_acquire_slow(kiln_lock_t *lock, const kiln_parker_t *parker)
{
    for (unsigned i = 0; i < KILN_LOCK_SPINS; i++) {
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 && kiln_lock_try(lock))
            return;
        pause_cpu();
    }
    /* From here on the word is 2 while we hold it: we cannot know who else sleeps. */
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0) {
        if (parker->wait)
            parker->wait(&lock->word, 2);
        else
            pause_cpu();
    }
}
