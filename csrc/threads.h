/* The few words of threading that the other files need, for POSIX and for Windows. */
#ifndef MINIDL_THREADS_H
#define MINIDL_THREADS_H

#include <stdint.h>

#if defined(_WIN32)

#include <windows.h>

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
