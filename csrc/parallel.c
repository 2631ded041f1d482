/* One job at a time, cut into as many parts as there are threads. Part 0 runs in the calling thread, the
   others in workers that wait for the job's number to change: in a loop at first, because the next kernel
   usually comes within microseconds, then asleep. What a worker has not begun when part 0 is done, because
   it was asleep or its processor is busy with something else, the calling thread does itself. */

#include "parallel.h"

#include <stdint.h>

#include "threads.h"

#if defined(__GNUC__)
#define SPINS 1000      /* turns of a loop, some tens of microseconds, */
#define PATIENCE 450000 /* and nanoseconds in which whoever else wants the processor gets it, before a thread sleeps */
#define LOAD(variable) __atomic_load_n(&(variable), __ATOMIC_ACQUIRE)
#define STORE(variable, value) __atomic_store_n(&(variable), value, __ATOMIC_RELEASE)
#else
#define SPINS 0
#define PATIENCE 0
#define LOAD(variable) (variable)
#define STORE(variable, value) ((variable) = (value))
#endif

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__) && defined(__GNUC__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() ((void)0)
#endif

typedef struct {
    range_fn body;
    void *context;
    ptrdiff_t count, grain;
    int parts;
} Job;

/* Everything is written under the mutex; `number`, `unfinished` and `begun` are also read without it by who waits. */
typedef struct {
    Mutex mutex;
    Condition started, finished;
    Job job;
    unsigned number;              /* of the current job */
    unsigned begun[PARALLEL_MAX]; /* the last job of which each part was begun */
    int unfinished;               /* parts of the current job that have not ended, other than part 0 */
    int busy;
    int workers;
    int threads;
} Pool;

/* How long a thread has waited */
typedef struct {
    int spins;
    int64_t end;
} Wait;

/* Whether it is to ask once more for what it waits for, or to sleep. It may be what keeps the other thread from its
   processor: on a busy machine both may have been given the same one. */
static int waits_on(Wait *wait)
{
    if (wait->spins < SPINS) {
        wait->spins++;
        PAUSE();
        return 1;
    }
    const int64_t now = nanoseconds();
    if (!wait->end)
        wait->end = now + PATIENCE;
    yield_processor();
    return now < wait->end;
}

static Pool pool = {.mutex = MUTEX_INIT, .started = CONDITION_INIT, .finished = CONDITION_INIT, .threads = 1};

static void run_part(const Job *job, int part)
{
    ptrdiff_t grains = (job->count + job->grain - 1) / job->grain;
    ptrdiff_t begin = grains * part / job->parts * job->grain;
    ptrdiff_t end = part + 1 == job->parts ? job->count : grains * (part + 1) / job->parts * job->grain;
    job->body(job->context, begin, end);
}

/* Whether the part of the current job is still to be done, by whoever asks; under the mutex. */
static int begin_part(int part)
{
    const int is_left = part < pool.job.parts && pool.begun[part] != pool.number;
    STORE(pool.begun[part], pool.number);
    return is_left;
}

static void finish_part(void)
{
    mutex_lock(&pool.mutex);
    STORE(pool.unfinished, pool.unfinished - 1);
    if (!pool.unfinished)
        condition_signal_all(&pool.finished);
    mutex_unlock(&pool.mutex);
}

static void work(int part, unsigned seen)
{
    for (;;) {
        for (Wait wait = {0}; waits_on(&wait) && LOAD(pool.number) == seen;)
            ;
        mutex_lock(&pool.mutex);
        while (pool.number == seen)
            condition_wait(&pool.started, &pool.mutex);
        seen = pool.number;
        const Job job = pool.job;
        const int is_left = begin_part(part);
        mutex_unlock(&pool.mutex);
        if (is_left) {
            run_part(&job, part);
            finish_part();
        }
    }
}

/* ---- making threads ------------------------------------------------------------------------------ */

#if defined(_WIN32)

static DWORD WINAPI worker(void *part)
{
    work((int)(intptr_t)part, 0);
    return 0;
}

static int start_worker(int part)
{
    HANDLE thread = CreateThread(NULL, 0, worker, (void *)(intptr_t)part, 0, NULL);
    if (thread)
        CloseHandle(thread);
    return thread != NULL;
}

#else

#include <signal.h>

static void *worker(void *part)
{
    work((int)(intptr_t)part, 0);
    return NULL;
}

/* The child of a fork has none of the parent's workers, and perhaps its locked mutex. */
static void forget_workers(void)
{
    pool = (Pool){.mutex = MUTEX_INIT, .started = CONDITION_INIT, .finished = CONDITION_INIT, .threads = pool.threads};
}

/* Workers take no signals: Python expects them in its own threads. */
static int start_worker(int part)
{
    static int registered = 0;
    if (!registered)
        registered = !pthread_atfork(NULL, NULL, forget_workers);
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 4 << 20);
    int failed = pthread_create(&thread, &attributes, worker, (void *)(intptr_t)part);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}

#endif

/* ---- the calling thread -------------------------------------------------------------------------- */

/* Take the pool for a job of up to `wanted` parts, and give how many it can have: 1 is no pool at all.
   A new worker's part is beyond the parts of every job before it, so it waits for one of its own. */
static int claim(ptrdiff_t wanted)
{
    mutex_lock(&pool.mutex);
    int parts = wanted < pool.threads ? (int)wanted : pool.threads;
    if (pool.busy)
        parts = 1;
    while (pool.workers < parts - 1 && start_worker(pool.workers + 1))
        pool.workers++;
    if (parts > pool.workers + 1)
        parts = pool.workers + 1;
    if (parts > 1)
        pool.busy = 1;
    mutex_unlock(&pool.mutex);
    return parts;
}

static void publish(const Job *job)
{
    mutex_lock(&pool.mutex);
    pool.job = *job;
    pool.unfinished = job->parts - 1;
    STORE(pool.number, pool.number + 1);
    condition_signal_all(&pool.started);
    mutex_unlock(&pool.mutex);
}

/* The parts that no worker has begun. It is asked without the mutex first, which workers need to finish theirs. */
static void take_over(const Job *job)
{
    for (int part = 1; part < job->parts; part++) {
        if (LOAD(pool.begun[part]) == pool.number)
            continue;
        mutex_lock(&pool.mutex);
        const int is_left = begin_part(part);
        mutex_unlock(&pool.mutex);
        if (is_left) {
            run_part(job, part);
            finish_part();
        }
    }
}

static void wait_and_release(void)
{
    for (Wait wait = {0}; waits_on(&wait) && LOAD(pool.unfinished);)
        ;
    mutex_lock(&pool.mutex);
    while (pool.unfinished)
        condition_wait(&pool.finished, &pool.mutex);
    pool.busy = 0;
    mutex_unlock(&pool.mutex);
}

void parallel_for(ptrdiff_t count, ptrdiff_t grain, range_fn body, void *context)
{
    if (count <= 0)
        return;
    int parts = count < 2 * grain ? 1 : claim(count / grain);
    if (parts == 1) {
        body(context, 0, count);
        return;
    }
    Job job = {body, context, count, grain, parts};
    publish(&job);
    run_part(&job, 0);
    take_over(&job);
    wait_and_release();
}

void parallel_set_threads(int threads)
{
    mutex_lock(&pool.mutex);
    pool.threads = threads < 1 ? 1 : threads > PARALLEL_MAX ? PARALLEL_MAX : threads;
    mutex_unlock(&pool.mutex);
}

int parallel_threads(void)
{
    mutex_lock(&pool.mutex);
    int threads = pool.threads;
    mutex_unlock(&pool.mutex);
    return threads;
}

int parallel_free_threads(void)
{
    mutex_lock(&pool.mutex);
    int threads = pool.busy ? 1 : pool.threads;
    mutex_unlock(&pool.mutex);
    return threads;
}
