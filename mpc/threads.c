#include "mpc/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum {
    PART_NS = 100 * 1000, /* waking a thread costs some 10 us */
    PARTS_A_THREAD = 3    /* a core that others use gets fewer of them */
};

struct job {
    csl__part_fn *fn;
    void *arg;
    size_t n, part, n_parts;
};

static struct {
    pthread_mutex_t user; /* held by the caller that the pool works for */
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t wake, idle;
    pthread_t threads[CSL_MAX_THREADS];
    unsigned n_workers;
    bool stopping;
    struct job job;
    size_t next;      /* part that nobody has begun; job.n_parts when all are */
    unsigned running; /* workers in the middle of a part */
} pool = {.user = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .idle = PTHREAD_COND_INITIALIZER};

static _Atomic unsigned n_threads = 1;

unsigned csl_threads_default(unsigned sharers) {
    cpu_set_t set;
    unsigned cores = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    unsigned n = cores / (sharers == 0 ? 1 : sharers);
    return n < 1 ? 1 : n > CSL_MAX_THREADS ? CSL_MAX_THREADS : n;
}

unsigned csl_threads(void) {
    return atomic_load_explicit(&n_threads, memory_order_relaxed);
}

static void run_part(const struct job *j, size_t i) {
    size_t first = i * j->part;
    j->fn(j->arg, first, j->n - first < j->part ? j->n - first : j->part);
}

static void *work(void *arg) {
    (void)arg;
    (void)pthread_mutex_lock(&pool.lock);
    while (!pool.stopping) {
        if (pool.next == pool.job.n_parts) {
            (void)pthread_cond_wait(&pool.wake, &pool.lock);
            continue;
        }
        const struct job j = pool.job;
        size_t i = pool.next++;
        pool.running++;
        (void)pthread_mutex_unlock(&pool.lock);
        run_part(&j, i);
        (void)pthread_mutex_lock(&pool.lock);
        if (--pool.running == 0) {
            (void)pthread_cond_signal(&pool.idle);
        }
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return NULL;
}

/* The caller's own parts; then it waits for those that workers are in. */
static void run_job(const struct job *j) {
    (void)pthread_mutex_lock(&pool.lock);
    pool.job = *j;
    pool.next = 0;
    (void)pthread_cond_broadcast(&pool.wake);
    while (pool.next < j->n_parts) {
        size_t i = pool.next++;
        (void)pthread_mutex_unlock(&pool.lock);
        run_part(j, i);
        (void)pthread_mutex_lock(&pool.lock);
    }
    while (pool.running > 0) {
        (void)pthread_cond_wait(&pool.idle, &pool.lock);
    }
    (void)pthread_mutex_unlock(&pool.lock);
}

void csl__threads_split(csl__part_fn *fn, void *arg, size_t n, size_t step, double ns) {
    unsigned threads = csl_threads();
    size_t parts = ns < 2.0 * PART_NS ? 1 : ns / PART_NS < 1e6 ? (size_t)(ns / PART_NS) : 1000000;
    parts = parts < (size_t)threads * PARTS_A_THREAD ? parts : (size_t)threads * PARTS_A_THREAD;
    if (n == 0) {
        return;
    }
    if (threads == 1 || parts < 2 || n <= step || pthread_mutex_trylock(&pool.user) != 0) {
        fn(arg, 0, n);
        return;
    }
    size_t steps = (n - 1) / step + 1;
    parts = parts < steps ? parts : steps;
    struct job j = {.fn = fn, .arg = arg, .n = n, .part = ((steps - 1) / parts + 1) * step};
    j.n_parts = (n - 1) / j.part + 1;
    run_job(&j);
    (void)pthread_mutex_unlock(&pool.user);
}

/* Signals are for the threads that wait for them. */
static int start_thread(pthread_t *t) {
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(t, NULL, work, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum csl_err csl_threads_start(unsigned n, struct csl_diag *diag) {
    if (n < 1 || n > CSL_MAX_THREADS || pool.n_workers != 0) {
        return csl_fail(diag, CSL_EUSAGE, "%u threads: there can be 1 to %d, started once", n,
                        CSL_MAX_THREADS);
    }
    pool.stopping = false;
    while (pool.n_workers + 1 < n) {
        int failed = start_thread(&pool.threads[pool.n_workers]);
        if (failed != 0) {
            csl_threads_stop();
            return csl_fail(diag, CSL_EOS, "%u threads cannot be started: %s", n, strerror(failed));
        }
        pool.n_workers++;
    }
    atomic_store(&n_threads, n);
    return CSL_OK;
}

void csl_threads_stop(void) {
    atomic_store(&n_threads, 1);
    (void)pthread_mutex_lock(&pool.lock);
    pool.stopping = true;
    (void)pthread_cond_broadcast(&pool.wake);
    (void)pthread_mutex_unlock(&pool.lock);
    for (; pool.n_workers > 0; pool.n_workers--) {
        (void)pthread_join(pool.threads[pool.n_workers - 1], NULL);
    }
}
