/* Blocks come in classes, eight sizes to each power of two, and a free block waits in the list of its
   class. When the free blocks would pass CACHE_BYTES all of them go back to the system, so that sizes
   nobody asks for any more do not crowd out the others. */

#include "memory.h"

#include <stdint.h>
#include <stdlib.h>

#include "threads.h"

#define ALIGNMENT 64
#define LARGE_PAGE ((size_t)2 << 20)
#define CACHE_BYTES ((size_t)512 << 20)
#define CLASSES (8 * 64)

/* Before each block, in a line of its own. */
typedef struct Header {
    struct Header *next;
    size_t bytes; /* of the block, without this line */
    int class;
} Header;

static struct {
    Mutex mutex;
    Header *free[CLASSES];
    size_t free_bytes;
} cache = {.mutex = MUTEX_INIT};

#if defined(_WIN32)
#include <malloc.h>
static void *system_take(size_t bytes) { return _aligned_malloc(bytes, ALIGNMENT); }
static void system_give(void *block) { _aligned_free(block); }
#else
#include <sys/mman.h>

/* Not by aligned_alloc, which older systems of Apple's lack. A large block asks for large pages: the first use of each
   page costs a fault, and products walk through more small ones than the processor keeps the places of. */
static void *system_take(size_t bytes)
{
    void *block;
    const int large = bytes >= 2 * LARGE_PAGE;
    if (posix_memalign(&block, large ? LARGE_PAGE : ALIGNMENT, bytes))
        return NULL;
#if defined(MADV_HUGEPAGE)
    if (large)
        madvise(block, bytes, MADV_HUGEPAGE); /* where it is refused, small ones do */
#endif
    return block;
}
static void system_give(void *block) { free(block); }
#endif

/* The smallest class that holds `bytes`, and its size. */
static int size_class(size_t bytes, size_t *rounded)
{
    int shift = 0;
    while ((bytes - 1) >> (shift + 4))
        shift++;
    size_t eighths = ((bytes - 1) >> shift) + 1;
    *rounded = eighths << shift;
    return 8 * shift + (int)eighths - 1;
}

static void release_all(void)
{
    for (int class = 0; class < CLASSES; class ++) {
        while (cache.free[class]) {
            Header *header = cache.free[class];
            cache.free[class] = header->next;
            system_give(header);
        }
    }
    cache.free_bytes = 0;
}

#if !defined(_WIN32)
static void lock_cache(void) { mutex_lock(&cache.mutex); }
static void unlock_cache(void) { mutex_unlock(&cache.mutex); }

/* A fork waits until no thread is changing the lists, so the child finds them whole and unlocked. */
static void prepare_for_forks(void)
{
    static int registered = 0;
    if (!registered)
        registered = !pthread_atfork(lock_cache, unlock_cache, unlock_cache);
}
#else
static void prepare_for_forks(void) {}
#endif

void *memory_take(size_t bytes)
{
    size_t rounded;
    if (bytes > SIZE_MAX / 4)
        return NULL;
    bytes = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    int class = size_class(bytes, &rounded);
    mutex_lock(&cache.mutex);
    prepare_for_forks();
    Header *header = cache.free[class];
    if (header) {
        cache.free[class] = header->next;
        cache.free_bytes -= rounded;
    }
    mutex_unlock(&cache.mutex);
    if (!header) {
        header = system_take(ALIGNMENT + rounded);
        if (!header)
            return NULL;
        *header = (Header){NULL, rounded, class};
    }
    return (char *)header + ALIGNMENT;
}

void memory_give(void *block)
{
    if (!block)
        return;
    Header *header = (Header *)((char *)block - ALIGNMENT);
    mutex_lock(&cache.mutex);
    if (cache.free_bytes + header->bytes > CACHE_BYTES)
        release_all();
    if (header->bytes > CACHE_BYTES) {
        system_give(header);
    } else {
        header->next = cache.free[header->class];
        cache.free[header->class] = header;
        cache.free_bytes += header->bytes;
    }
    mutex_unlock(&cache.mutex);
}
