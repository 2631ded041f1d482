/* Memory that is used again: blocks given back are kept for the next take of about the same size, so
   that a training step does not pay the page faults of the step before once more. Any thread may call. */
#ifndef MINIDL_MEMORY_H
#define MINIDL_MEMORY_H

#include <stddef.h>

/* At least `bytes` bytes, not cleared, aligned to 64; NULL where there is none. */
void *memory_take(size_t bytes);
void memory_give(void *block);

#endif
