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
    _Alignas(64) Atomic count;
} Counter;

typedef struct {
    ptrdiff_t parts;
    Counter *begun, *done; /* of each part, the steps that somebody has begun, and those that are done */
} Meeting;

static inline int all_done(const Meeting *meeting, int step)
{
    for (ptrdiff_t part = 0; part < meeting->parts; part++)
        if (atomic_get(&meeting->done[part].count) <= step)
            return 0;
    return 1;
}

typedef void (*turn_fn)(const void *context, ptrdiff_t part, ptrdiff_t step);

/* Do those of some parts of a step that nobody has begun; how many. */
static inline int do_parts(const Meeting *meeting, ptrdiff_t begin, ptrdiff_t end, int step, turn_fn body,
                           const void *context)
{
    int turns = 0;
    for (ptrdiff_t part = begin; part < end; part++) {
        Atomic *begun = &meeting->begun[part].count;
        if (atomic_get(begun) == step && atomic_swap_if(begun, step, step + 1)) {
            body(context, part, step);
            atomic_set(&meeting->done[part].count, step + 1);
            turns++;
        }
    }
    return turns;
}

/* Go through so many steps with the parts from begin to end, and with the others' where these fail to come. */
static inline void take_turns(const Meeting *meeting, ptrdiff_t begin, ptrdiff_t end, int steps, turn_fn body,
                              const void *context)
{
    const int patience = 1000; /* to look at what the others have begun takes its line of the cache away from them */
    int spins = patience;
    for (int step = 0; step < steps; step++) {
        do_parts(meeting, begin, end, step, body, context);
        for (int spin = 0; !all_done(meeting, step); spin++) {
            if (spin < spins)
                continue;
            spins = do_parts(meeting, 0, meeting->parts, step, body, context) ? 0 : patience;
            if (spins)
                yield_processor();
        }
    }
}

#endif
