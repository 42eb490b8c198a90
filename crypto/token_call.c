/* Calls: the threads that call the module, and the deadlines of those who wait for them. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "crypto/secret.h"
#include "crypto/token_state_internal.h"

enum { PROBE_AGAIN_S = 30 };

struct csl__token_call *csl__token_call_new(struct csl__token_key *key, csl__token_op *op, size_t n_in) {
    struct csl__token_call *c = csl_secret_alloc(1, sizeof *c);
    uint8_t *in = csl_secret_alloc(n_in + 1, 1);
    if (c == NULL || in == NULL) {
        csl_secret_free(c);
        csl_secret_free(in);
        return NULL;
    }
    c->op = op;
    c->in = in;
    c->n_in = n_in;
    c->key = key;
    c->refs = 1;
    csl__token_key_ref(key);
    return c;
}

static void call_destroy(struct csl__token_call *c, bool by_worker) {
    struct csl__token_key *key = c->key;
    EVP_PKEY_free(c->found);
    csl_secret_free(c->in);
    csl_secret_free(c);
    csl__token_key_unref(key, by_worker);
}

void csl__token_call_free(struct csl__token_call *c) {
    if (c == NULL) {
        return;
    }
    struct csl__token *t = c->key->token;
    (void)pthread_mutex_lock(&t->lock);
    bool last = --c->refs == 0;
    (void)pthread_mutex_unlock(&t->lock);
    if (last) {
        call_destroy(c, false);
    }
}

/* A session that was lost is opened anew, and the call made again, once. */
static void execute(struct csl__token_session *s, struct csl__token_call *c) {
    for (int attempt = 0; attempt < 2; attempt++) {
        s->lost = false;
        c->diag.text[0] = 0;
        c->err = csl__session_ready(s, &c->diag);
        if (c->err == CSL_OK) {
            csl__ck_rv rv = c->op(s, c);
            if (rv != CSL__CKR_OK && c->err == CSL_OK) {
                c->err = csl__session_fail(s, rv, "the token failed", &c->diag);
            }
        }
        if (!s->lost) {
            return;
        }
        csl__session_drop(s);
    }
}

/* Some modules look for tokens only when they are initialised. So a token that is gone makes all its workers
 * give the module up; when nobody else has it, it is initialised anew by the next call. */
static void give_up(struct csl__token_session *s) {
    csl__session_drop(s);
    csl__module_close(s->module);
    s->module = NULL;
    s->gone = false;
}

/* With the lock, which is released meanwhile. */
static struct csl__token_call *next_call(struct csl__token *t, struct csl__token_session *s) {
    t->n_idle++;
    while (t->head == NULL && !t->stopping) {
        (void)pthread_cond_wait(&t->work, &t->lock);
        if (s->reset != t->reset && s->module != NULL) {
            s->reset = t->reset;
            (void)pthread_mutex_unlock(&t->lock);
            give_up(s);
            (void)pthread_mutex_lock(&t->lock);
        }
    }
    t->n_idle--;
    struct csl__token_call *c = t->stopping ? NULL : t->head;
    if (c != NULL) {
        t->head = c->next;
        c->started = true;
    }
    return c;
}

static void *work(void *arg) {
    struct csl__token *t = arg;
    struct csl__token_session s = {.token = t};
    struct csl__token_call *c;
    (void)pthread_mutex_lock(&t->lock);
    while ((c = next_call(t, &s)) != NULL) {
        (void)pthread_mutex_unlock(&t->lock);
        execute(&s, c);
        bool gone = s.gone;
        if (gone) {
            give_up(&s);
        }
        (void)pthread_mutex_lock(&t->lock);
        if (gone) {
            s.reset = ++t->reset;
            (void)pthread_cond_broadcast(&t->work);
        }
        c->done = true;
        t->stuck = false;
        bool abandoned = --c->refs == 0;
        (void)pthread_cond_broadcast(&t->done);
        if (abandoned) {
            (void)pthread_mutex_unlock(&t->lock);
            call_destroy(c, true);
            (void)pthread_mutex_lock(&t->lock);
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    give_up(&s);
    (void)pthread_mutex_lock(&t->lock);
    t->n_workers--;
    bool ours = t->orphaned && t->n_workers == 0;
    (void)pthread_cond_broadcast(&t->done);
    (void)pthread_mutex_unlock(&t->lock);
    if (ours) {
        csl__token_free(t);
    }
    return NULL;
}

/* With the lock. Signals are for the program's own threads. */
static bool add_worker(struct csl__token *t) {
    sigset_t all, old;
    pthread_t thread;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    bool ok = pthread_create(&thread, NULL, work, t) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (ok) {
        (void)pthread_detach(thread);
        t->n_workers++;
    }
    return ok;
}

static void enqueue(struct csl__token *t, struct csl__token_call *c) {
    struct csl__token_call **at = &t->head;
    unsigned waiting = 1;
    for (; *at != NULL; at = &(*at)->next) {
        waiting++;
    }
    *at = c;
    c->next = NULL;
    c->refs++;
    if (waiting > t->n_idle && t->n_workers < CSL__TOKEN_WORKERS) {
        (void)add_worker(t);
    }
    (void)pthread_cond_signal(&t->work);
}

/* With the lock; the call is late. What no worker has begun is taken back. */
static void abandon(struct csl__token *t, struct csl__token_call *c) {
    for (struct csl__token_call **at = &t->head; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            c->refs--;
            break;
        }
    }
    t->stuck = true;
    t->probe_after = csl__from_now(PROBE_AGAIN_S * 1000);
}

/* With the lock. There is no thread left that could ask. */
static bool all_hang(const struct csl__token *t) {
    return t->stuck && t->n_idle == 0 && t->n_workers == CSL__TOKEN_WORKERS;
}

/* With the lock. A token that did not answer is asked again from time to time only. */
static bool may_ask(struct csl__token *t) {
    struct timespec now = csl__from_now(0);
    if (!t->stuck) {
        return true;
    }
    if (now.tv_sec < t->probe_after.tv_sec) {
        return false;
    }
    t->probe_after = csl__from_now(PROBE_AGAIN_S * 1000);
    return true;
}

static enum csl_err run(struct csl__token *t, struct csl__token_call *c, unsigned timeout_ms,
                        struct csl_diag *diag) {
    struct timespec until = csl__from_now(timeout_ms);
    if (all_hang(t)) {
        return csl_fail(diag, CSL_ETIMEOUT,
                        "does not answer: all %d threads that may call its module hang in it and cannot be "
                        "ended; see to the token, then restart this program",
                        (int)CSL__TOKEN_WORKERS);
    }
    if (!may_ask(t)) {
        return csl_fail(
            diag, CSL_ETIMEOUT,
            "does not answer since an earlier call; see to the token, it is asked again in at most "
            "%d s",
            PROBE_AGAIN_S);
    }
    enqueue(t, c);
    if (t->n_workers == 0) {
        abandon(t, c);
        t->stuck = false;
        return csl_fail(diag, CSL_EOS, "no thread could be started for it");
    }
    while (!c->done && pthread_cond_timedwait(&t->done, &t->lock, &until) != ETIMEDOUT) {
    }
    if (!c->done) {
        abandon(t, c);
        return csl_fail(diag, CSL_ETIMEOUT, "did not answer within %u ms; is it connected, or busy?",
                        timeout_ms);
    }
    return c->err == CSL_OK ? CSL_OK : csl_fail(diag, c->err, "%s", c->diag.text);
}

enum csl_err csl__token_run(struct csl__token_call *c, unsigned times, struct csl_diag *diag) {
    struct csl__token *t = c->key->token;
    (void)pthread_mutex_lock(&t->lock);
    enum csl_err err = run(t, c, times * t->timeout_ms, diag);
    (void)pthread_mutex_unlock(&t->lock);
    return err == CSL_OK
               ? CSL_OK
               : csl_fail_context(diag, err, "%s: token \"%s\"", c->key->path, csl__token_name(&t->uri));
}

bool csl__token_handle(csl__ck_ulong *handle, struct csl__token_key *k) {
    struct csl__token *t = k->token;
    (void)pthread_mutex_lock(&t->lock);
    bool known = k->found_in == t->epoch;
    *handle = k->handle;
    (void)pthread_mutex_unlock(&t->lock);
    return known;
}

void csl__token_handle_found(struct csl__token_key *k, csl__ck_ulong handle) {
    struct csl__token *t = k->token;
    (void)pthread_mutex_lock(&t->lock);
    k->handle = handle;
    k->found_in = t->epoch;
    (void)pthread_mutex_unlock(&t->lock);
}
