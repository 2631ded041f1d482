/* A small pool of threads. Idle threads sleep; a forked child builds a pool of its own when it needs one. */
#ifndef MINIDL_PARALLEL_H
#define MINIDL_PARALLEL_H

#include <stddef.h>

typedef void (*range_fn)(void *context, ptrdiff_t begin, ptrdiff_t end);

/* Call body on ranges that cover [0, count) once: at most one range per thread, contiguous, as equal as can be where
   every bound but the last is a multiple of step. Several only if each can have about `least`, which is a step or more,
   and none where count is 0. Returns when all are done.

   The ranges depend on the number of threads, so a body must give each element the same bits whatever
   range it falls in: split the outputs, never a sum. Called from a body that has one of several ranges,
   or while another thread of the program is using the pool, it runs everything in the calling thread. */
void parallel_for(ptrdiff_t count, ptrdiff_t least, ptrdiff_t step, range_fn body, void *context);

/* The step among the numbers of an array: as many as a page holds, and a multiple of what goes by at a time anywhere. */
#define NUMBERS ((ptrdiff_t)1024)

/* So many multiplications, or numbers to be copied, are worth waking a thread for. */
#define THREAD_WORK ((ptrdiff_t)300000)
#define COPY_WORK ((ptrdiff_t)1 << 14)

/* From 1 to PARALLEL_MAX; the threads are made when first needed. */
#define PARALLEL_MAX 256
void parallel_set_threads(int threads);
int parallel_threads(void);

/* Those that a parallel_for would have now: 1 in such a body, and while another thread of the program is
   using the pool. */
int parallel_free_threads(void);

#endif
