/* The few words of threading that the other files need, for POSIX and for Windows, for GCC and for MSVC. */
#ifndef MINIDL_THREADS_H
#define MINIDL_THREADS_H

#include <stdint.h>

/* A number that several threads read and change at once. Who sees a change sees all that was written before it. */
#if defined(__GNUC__)
typedef int Atomic;
static inline int atomic_get(Atomic *a) { return __atomic_load_n(a, __ATOMIC_ACQUIRE); }
static inline void atomic_set(Atomic *a, int to) { __atomic_store_n(a, to, __ATOMIC_RELEASE); }
static inline int atomic_swap(Atomic *a, int to) { return __atomic_exchange_n(a, to, __ATOMIC_ACQ_REL); }
static inline int atomic_swap_if(Atomic *a, int is, int to) /* whether it was that, and is the other now */
{
    return __atomic_compare_exchange_n(a, &is, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
#else
#include <intrin.h>
typedef long Atomic;
static inline int atomic_get(Atomic *a) { return (int)_InterlockedOr(a, 0); }
static inline void atomic_set(Atomic *a, int to) { _InterlockedExchange(a, to); }
static inline int atomic_swap(Atomic *a, int to) { return (int)_InterlockedExchange(a, to); }
static inline int atomic_swap_if(Atomic *a, int is, int to) { return _InterlockedCompareExchange(a, to, is) == is; }
#endif

#if defined(_WIN32)

#include <windows.h>
#undef far /* words of its own, without meaning today, and names of ours */
#undef near

typedef HANDLE Thread;
typedef SRWLOCK Mutex;
typedef CONDITION_VARIABLE Condition;
#define MUTEX_INIT SRWLOCK_INIT
#define CONDITION_INIT CONDITION_VARIABLE_INIT

static inline void mutex_lock(Mutex *mutex) { AcquireSRWLockExclusive(mutex); }
static inline void mutex_unlock(Mutex *mutex) { ReleaseSRWLockExclusive(mutex); }
static inline void condition_wait(Condition *c, Mutex *mutex) { SleepConditionVariableSRW(c, mutex, INFINITE, 0); }
static inline void condition_signal_all(Condition *c) { WakeAllConditionVariable(c); }
static inline void yield_processor(void) { SwitchToThread(); }
static inline int64_t nanoseconds(void)
{
    LARGE_INTEGER ticks, of_a_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&of_a_second);
    return (int64_t)(1e9 * (double)ticks.QuadPart / (double)of_a_second.QuadPart);
}

#else

#include <pthread.h>
#include <sched.h>
#include <time.h>

typedef pthread_t Thread;
typedef pthread_mutex_t Mutex;
typedef pthread_cond_t Condition;
#define MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define CONDITION_INIT PTHREAD_COND_INITIALIZER

static inline void mutex_lock(Mutex *mutex) { pthread_mutex_lock(mutex); }
static inline void mutex_unlock(Mutex *mutex) { pthread_mutex_unlock(mutex); }
static inline void condition_wait(Condition *c, Mutex *mutex) { pthread_cond_wait(c, mutex); }
static inline void condition_signal_all(Condition *c) { pthread_cond_broadcast(c); }
static inline void yield_processor(void) { sched_yield(); }
static inline int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
#endif
