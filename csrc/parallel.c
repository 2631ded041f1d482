/* One job at a time, cut into as many parts as there are threads. Part 0 runs in the calling thread, each other in a
   worker that waits for it at a place of its own: in a loop at first, because the next kernel usually comes within
   microseconds, then asleep. What a worker has not begun when part 0 is done, because it was asleep or its processor is
   busy with something else, the calling thread does itself. */

#define _GNU_SOURCE /* the processors of a thread */
#include "parallel.h"

#include <stdint.h>

#include "threads.h"

#define SPINS 1000      /* turns of a loop, some tens of microseconds, */
#define PATIENCE 450000 /* and nanoseconds in which whoever else wants the processor gets it, before a thread sleeps */

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
    ptrdiff_t count, step;
    int parts;
} Job;

/* Where a worker waits, with all that it needs to begin on one line of the cache, which takes long from core to core. */
enum { IDLE, ASLEEP, OPEN, TAKEN, AWAITED };
typedef struct {
    _Alignas(64) Job job; /* changed where the state is IDLE or ASLEEP alone */
    Atomic state;         /* of its part: OPEN, TAKEN by the worker or by the caller, AWAITED if the caller sleeps */
} Place;

/* What else there is, under the mutex */
typedef struct {
    Mutex mutex;
    Condition started, finished;
    int busy;
    int workers;
    int threads;
    Thread handles[PARALLEL_MAX]; /* of the workers, where they are asked for; */
    Place places[PARALLEL_MAX];   /* of the parts; the first is nobody's */
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
    ptrdiff_t steps = (job->count + job->step - 1) / job->step;
    ptrdiff_t begin = steps * part / job->parts * job->step;
    ptrdiff_t end = part + 1 == job->parts ? job->count : steps * (part + 1) / job->parts * job->step;
    job->body(job->context, begin, end);
}

/* Whether the part is still to be done, by whoever asks. */
static int take(Place *place) { return atomic_get(&place->state) == OPEN && atomic_swap_if(&place->state, OPEN, TAKEN); }

static void do_part(Place *place, int part)
{
    run_part(&place->job, part);
    if (atomic_swap(&place->state, IDLE) == AWAITED) {
        mutex_lock(&pool.mutex);
        condition_signal_all(&pool.finished);
        mutex_unlock(&pool.mutex);
    }
}

/* Sleep while the place is in a state, if it is in the one before. */
static void sleep_while(Place *place, int before, int state, Condition *condition)
{
    mutex_lock(&pool.mutex);
    if (atomic_swap_if(&place->state, before, state))
        while (atomic_get(&place->state) == state)
            condition_wait(condition, &pool.mutex);
    mutex_unlock(&pool.mutex);
}

/* ---- the processors of workers ------------------------------------------------------------------- */

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(SYS_sched_setattr) && !defined(__ANDROID__)

#define TURN 100000 /* nanoseconds, the shortest there is */

/* From Linux 6.12 on a thread with short turns need not wait, when it wakes, for the end of another's long one: those of
   NumPy's products run in a loop for a tenth of a second after the last. An older Linux, or an error, leaves all as it
   is. */
static void take_short_turns(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } turns = {0};
    if (syscall(SYS_sched_getattr, 0, &turns, sizeof turns, 0) || turns.policy != SCHED_OTHER)
        return;
    turns.runtime = TURN;
    syscall(SYS_sched_setattr, 0, &turns, 0);
}

/* A worker that has not come may wait for the very processor that the caller keeps busy, and if no other is idle Linux
   leaves it there. It has to leave, and may run after that where it might before. */
static void send_away(Thread worker)
{
    const int here = sched_getcpu();
    cpu_set_t all, others;
    if (here < 0 || pthread_getaffinity_np(worker, sizeof all, &all))
        return;
    others = all;
    CPU_CLR(here, &others);
    if (CPU_COUNT(&others) > 0 && !pthread_setaffinity_np(worker, sizeof others, &others))
        pthread_setaffinity_np(worker, sizeof all, &all);
}

#else
static void take_short_turns(void) {}
static void send_away(Thread worker) { (void)worker; }
#endif

static void work(int part)
{
    Place *place = &pool.places[part];
    take_short_turns();
    for (;;) {
        for (Wait wait = {0}; atomic_get(&place->state) != OPEN && waits_on(&wait);)
            ;
        if (atomic_get(&place->state) == IDLE)
            sleep_while(place, IDLE, ASLEEP, &pool.started);
        if (take(place))
            do_part(place, part);
    }
}

/* ---- making threads ------------------------------------------------------------------------------ */

#if defined(_WIN32)

static DWORD WINAPI worker(void *part)
{
    work((int)(intptr_t)part);
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
    work((int)(intptr_t)part);
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
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 4 << 20);
    int failed = pthread_create(&pool.handles[part], &attributes, worker, (void *)(intptr_t)part);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}

#endif

/* ---- the calling thread -------------------------------------------------------------------------- */

/* Take the pool for a job of up to `wanted` parts, and give how many it can have: 1 is no pool at all. */
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

static void release(void)
{
    mutex_lock(&pool.mutex);
    pool.busy = 0;
    mutex_unlock(&pool.mutex);
}

static void publish(const Job *job)
{
    int asleep = 0;
    for (int part = 1; part < job->parts; part++)
        pool.places[part].job = *job;
    for (int part = 1; part < job->parts; part++)
        asleep |= atomic_swap(&pool.places[part].state, OPEN) == ASLEEP;
    if (asleep) {
        mutex_lock(&pool.mutex);
        condition_signal_all(&pool.started);
        mutex_unlock(&pool.mutex);
    }
}

/* Do the parts that no worker has begun, and wait for the others. */
static void complete(const Job *job)
{
    for (int part = 1; part < job->parts; part++) {
        Place *place = &pool.places[part];
        if (take(place)) {
            do_part(place, part);
            send_away(pool.handles[part]); /* now, in time for the next job: before, it would be asleep again by then */
        }
    }
    for (int part = 1; part < job->parts; part++) {
        Place *place = &pool.places[part];
        for (Wait wait = {0}; atomic_get(&place->state) == TAKEN && waits_on(&wait);)
            ;
        if (atomic_get(&place->state) == TAKEN)
            sleep_while(place, TAKEN, AWAITED, &pool.finished);
    }
}

void parallel_for(ptrdiff_t count, ptrdiff_t least, ptrdiff_t step, range_fn body, void *context)
{
    if (count <= 0)
        return;
    int parts = count < 2 * least ? 1 : claim(count / least);
    if (parts == 1) {
        body(context, 0, count);
        return;
    }
    Job job = {body, context, count, step, parts};
    publish(&job);
    run_part(&job, 0);
    complete(&job);
    release();
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
