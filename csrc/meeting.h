/* Where the threads of one parallel_for go through steps together: each has a part of every step, and the next step begins
   when all parts of this one are done.

   A step takes microseconds, so whoever waits spins. What nobody has begun by then, because its thread has lost its
   processor to somebody else, is done by those who wait, and that thread finds the steps done when it comes back. */
#ifndef MINIDL_MEETING_H
#define MINIDL_MEETING_H

#include <stddef.h>

#include "threads.h"

/* A number on a cache line of its own: whoever waits reads it all the time. */
typedef struct {
    _Alignas(64) ptrdiff_t count;
    char rest[64 - sizeof(ptrdiff_t)];
} Counter;

typedef struct {
    ptrdiff_t parts;
    Counter *begun; /* of each part the steps that somebody has begun, */
    Counter done;   /* and of all together the parts that are done */
} Meeting;

#if defined(__GNUC__)

#define MEETINGS 1

/* Whether the part of a step was still to be done; it is the caller's now. */
static inline int begin_turn(Meeting *meeting, ptrdiff_t part, ptrdiff_t step)
{
    ptrdiff_t *begun = &meeting->begun[part].count;
    return __atomic_load_n(begun, __ATOMIC_RELAXED) == step &&
           __atomic_compare_exchange_n(begun, &step, step + 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static inline void end_turn(Meeting *meeting) { __atomic_fetch_add(&meeting->done.count, 1, __ATOMIC_RELEASE); }
static inline ptrdiff_t turns_done(Meeting *meeting) { return __atomic_load_n(&meeting->done.count, __ATOMIC_ACQUIRE); }

#else /* no atomics: everybody must work alone */

#define MEETINGS 0
static inline int begin_turn(Meeting *meeting, ptrdiff_t part, ptrdiff_t step)
{
    return meeting->begun[part].count == step && ++meeting->begun[part].count;
}
static inline void end_turn(Meeting *meeting) { meeting->done.count++; }
static inline ptrdiff_t turns_done(Meeting *meeting) { return meeting->done.count; }

#endif

typedef void (*turn_fn)(const void *context, ptrdiff_t part, ptrdiff_t step);

/* Do those of some parts of a step that nobody has begun; how many. */
static inline int do_parts(Meeting *meeting, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t step, turn_fn body,
                           const void *context)
{
    int turns = 0;
    for (ptrdiff_t part = begin; part < end; part++)
        if (begin_turn(meeting, part, step)) {
            body(context, part, step);
            end_turn(meeting);
            turns++;
        }
    return turns;
}

/* Go through so many steps with the parts from begin to end, and with the others' where these fail to come. */
static inline void take_turns(Meeting *meeting, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t steps, turn_fn body,
                              const void *context)
{
    const int patience = 1000; /* to look at what the others have begun takes its line of the cache away from them */
    int spins = patience;
    for (ptrdiff_t step = 0; step < steps; step++) {
        do_parts(meeting, begin, end, step, body, context);
        for (int spin = 0; turns_done(meeting) < (step + 1) * meeting->parts; spin++) {
            if (spin < spins)
                continue;
            spins = do_parts(meeting, 0, meeting->parts, step, body, context) ? 0 : patience;
            if (spins)
                yield_processor();
        }
    }
}

#endif
