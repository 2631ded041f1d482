/* Blocks come in classes, eight sizes to each power of two, and a free block waits in the list of its
   class. When the free blocks would pass CACHE_BYTES all of them go back to the system, so that sizes
   nobody asks for any more do not crowd out the others. */

#include "memory.h"

#include <stdint.h>
#include <stdlib.h>

#include "threads.h"

#define ALIGNMENT 64
#define PAGE 4096
#define PAGE_BYTES ((size_t)1 << 16) /* of a block that begins in the middle of a page */
#define LARGE_PAGE ((size_t)2 << 20)
#define CACHE_BYTES ((size_t)512 << 20)
#define CLASSES (8 * 64)

/* Before each block, in the last line of what precedes it. */
typedef struct Header {
    struct Header *next;
    size_t bytes; /* of the block, without this line */
    int class;
} Header;

/* How far into the system's memory a block begins. A processor first compares the last 12 bits of two addresses, and a
   load waits for a store just before whose bits are the same, though it is another page's. NumPy's large arrays lie at
   the beginning of a page, so a block there, written some bytes behind where such an array is read, would make each
   load wait: exp of 33 million numbers takes 31 ms then on a Zen 4, not 7.6. Large blocks begin half a page away. */
static size_t lead_of(size_t bytes) { return bytes < PAGE_BYTES ? ALIGNMENT : PAGE / 2; }

static struct {
    Mutex mutex;
    Header *free[CLASSES];
    size_t free_bytes;
} cache = {.mutex = MUTEX_INIT};

#if defined(_WIN32)
#include <malloc.h>
static void *system_take(size_t bytes) { return _aligned_malloc(bytes, bytes < PAGE_BYTES ? ALIGNMENT : PAGE); }
static void system_give(void *block) { _aligned_free(block); }
#else
#include <sys/mman.h>

/* Not by aligned_alloc, which older systems of Apple's lack. A large block asks for large pages: the first use of each
   page costs a fault, and products walk through more small ones than the processor keeps the places of. */
static void *system_take(size_t bytes)
{
    void *block;
    const int large = bytes >= 2 * LARGE_PAGE;
    if (posix_memalign(&block, large ? LARGE_PAGE : bytes < PAGE_BYTES ? ALIGNMENT : PAGE, bytes))
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

static void release(Header *header) { system_give((char *)header + ALIGNMENT - lead_of(header->bytes)); }

static void release_all(void)
{
    for (int class = 0; class < CLASSES; class ++) {
        while (cache.free[class]) {
            Header *header = cache.free[class];
            cache.free[class] = header->next;
            release(header);
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
        const size_t lead = lead_of(rounded);
        char *start = system_take(lead + rounded);
        if (!start)
            return NULL;
        header = (Header *)(start + lead - ALIGNMENT);
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
        release(header);
    } else {
        header->next = cache.free[header->class];
        cache.free[header->class] = header;
        cache.free_bytes += header->bytes;
    }
    mutex_unlock(&cache.mutex);
}
