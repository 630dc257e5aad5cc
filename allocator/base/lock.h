/* lock.h - a lock of one word that sleeps through a parker.
 *
 * The core makes no system call, so a lock is told how to sleep: the parker is part of the OS
 * interface (allocator/os/os.h). A parker without functions makes the lock spin, which is right on
 * the fake OS and for a freestanding embedder that has one thread.
 *
 * Not recursive. A lock may be released by another thread than the one that acquired it (the child
 * of a fork does so). The states are those of Ulrich Drepper, "Futexes Are Tricky", mutex 2. */
#ifndef KILN_ALLOCATOR_BASE_LOCK_H
#define KILN_ALLOCATOR_BASE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* wait sleeps while `*word == value`, and may return early; wake lets one sleeper of `word` go. */
typedef struct kiln_parker {
    void (*wait)(_Atomic uint32_t *word, uint32_t value);
    void (*wake)(_Atomic uint32_t *word);
} kiln_parker_t;

typedef struct kiln_lock {
    _Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody may sleep */
} kiln_lock_t;

void kiln_lock_acquire_slow(kiln_lock_t *lock, const kiln_parker_t *parker);

static inline bool kiln_lock_try(kiln_lock_t *lock)
{
    uint32_t free_word = 0;
    return atomic_compare_exchange_strong_explicit(&lock->word, &free_word, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void kiln_lock_acquire(kiln_lock_t *lock, const kiln_parker_t *parker)
{
    if (!kiln_lock_try(lock)) kiln_lock_acquire_slow(lock, parker);
}

static inline void kiln_lock_release(kiln_lock_t *lock, const kiln_parker_t *parker)
{
    uint32_t was = atomic_exchange_explicit(&lock->word, 0, memory_order_release);
    if (was == 2 && parker->wake) parker->wake(&lock->word);
}

#endif
