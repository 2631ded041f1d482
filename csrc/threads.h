/* The few words of threading that parallel.c and memory.c need, for POSIX and for Windows. */
#ifndef MINIDL_THREADS_H
#define MINIDL_THREADS_H

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

#else

#include <pthread.h>

typedef pthread_mutex_t Mutex;
typedef pthread_cond_t Condition;
#define MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define CONDITION_INIT PTHREAD_COND_INITIALIZER

static inline void mutex_lock(Mutex *mutex) { pthread_mutex_lock(mutex); }
static inline void mutex_unlock(Mutex *mutex) { pthread_mutex_unlock(mutex); }
static inline void condition_wait(Condition *c, Mutex *mutex) { pthread_cond_wait(c, mutex); }
static inline void condition_signal_all(Condition *c) { pthread_cond_broadcast(c); }

#endif
#endif
