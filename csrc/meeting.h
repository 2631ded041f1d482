/* Where the threads of one parallel_for wait for each other, for work that goes step by step.

   Each range of the loop does its part of a step, says how large it was, and waits until the parts
   of all ranges make up the step. Sizes are counted, not threads, so that it works for any number of
   ranges. Threads that wait spin: a step takes microseconds, and all ranges run at the same time. */
#ifndef MINIDL_MEETING_H
#define MINIDL_MEETING_H

#include <stddef.h>

#if defined(__GNUC__)

#define MEETINGS 1

#if defined(_WIN32)
#include <windows.h>
#define YIELD() SwitchToThread()
#else
#include <sched.h>
#define YIELD() sched_yield()
#endif

/* On a cache line of its own: whoever waits reads it all the time. */
typedef struct {
    _Alignas(64) ptrdiff_t done;
    char rest[64 - sizeof(ptrdiff_t)];
} Meeting;

/* This range has done `part` more; come back when all together have done `total` since the meeting was made. */
static inline void meet(Meeting *meeting, ptrdiff_t part, ptrdiff_t total)
{
    __atomic_fetch_add(&meeting->done, part, __ATOMIC_RELEASE);
    for (int spin = 0; __atomic_load_n(&meeting->done, __ATOMIC_ACQUIRE) < total; spin++)
        if (spin >= 1000)
            YIELD(); /* more threads than processors: let the others get on */
}

#else /* no atomics: everybody must work alone */

#define MEETINGS 0
typedef struct {
    ptrdiff_t done;
} Meeting;
static inline void meet(Meeting *meeting, ptrdiff_t part, ptrdiff_t total)
{
    (void)meeting, (void)part, (void)total;
}

#endif
#endif
