#include "mpc/link_mem.h"

#include "crypto/secret.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A party's message of one round. Two per party suffice: whoever posts round r + 2 has received round r + 1
 * from all, and they had then read round r. */
struct message {
    uint8_t *bytes;
    size_t n;
    size_t room;
    uint32_t round; /* 0: none yet */
};

struct fault {
    uint32_t round; /* 0: none */
    enum csl_mem_fault what;
    ptrdiff_t offset;
    uint8_t mask;
};

struct end {
    struct csl_link link;
    struct csl_mem_net *net;
    struct message messages[2];
    uint32_t last; /* round that was posted last */
    bool gone;
    struct fault fault;
};

struct csl_mem_net {
    pthread_mutex_t lock;
    pthread_cond_t posted;
    unsigned n_parties;
    csl_mem_tap_fn *tap;
    void *tap_arg;
    struct end ends[CSL_MAX_PARTIES];
};

static enum csl_err exchange(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag);

static const struct csl_link_ops ops = {.exchange = exchange};

enum csl_err csl_mem_net_new(struct csl_mem_net **out, unsigned n_parties) {
    *out = NULL;
    if (n_parties < 2 || n_parties > CSL_MAX_PARTIES) {
        return CSL_EUSAGE;
    }
    struct csl_mem_net *net = calloc(1, sizeof *net);
    if (net == NULL) {
        return CSL_ENOMEM;
    }
    if (pthread_mutex_init(&net->lock, NULL) != 0) {
        free(net);
        return CSL_EOS;
    }
    if (pthread_cond_init(&net->posted, NULL) != 0) {
        pthread_mutex_destroy(&net->lock);
        free(net);
        return CSL_EOS;
    }
    net->n_parties = n_parties;
    for (unsigned p = 0; p < n_parties; p++) {
        net->ends[p].net = net;
        net->ends[p].link = (struct csl_link){.ops = &ops, .n_parties = n_parties, .self = p};
    }
    *out = net;
    return CSL_OK;
}

void csl_mem_net_free(struct csl_mem_net *net) {
    if (net == NULL) {
        return;
    }
    for (unsigned p = 0; p < net->n_parties; p++) {
        for (int i = 0; i < 2; i++) {
            free(net->ends[p].messages[i].bytes);
        }
    }
    pthread_cond_destroy(&net->posted);
    pthread_mutex_destroy(&net->lock);
    free(net);
}

struct csl_link *csl_mem_net_link(struct csl_mem_net *net, unsigned party) {
    return party < net->n_parties ? &net->ends[party].link : NULL;
}

void csl_mem_net_leave(struct csl_mem_net *net, unsigned party) {
    if (party < net->n_parties) {
        pthread_mutex_lock(&net->lock);
        net->ends[party].gone = true;
        pthread_cond_broadcast(&net->posted);
        pthread_mutex_unlock(&net->lock);
    }
}

void csl_mem_net_fault(struct csl_mem_net *net, unsigned party, uint32_t round, enum csl_mem_fault fault,
                       ptrdiff_t offset, uint8_t mask) {
    if (party < net->n_parties) {
        net->ends[party].fault = (struct fault){round, fault, offset, mask};
    }
}

void csl_mem_net_tap(struct csl_mem_net *net, csl_mem_tap_fn *tap, void *arg) {
    net->tap = tap;
    net->tap_arg = arg;
}

/* ---- exchanging; all below hold the lock ---- */

static enum csl_err set_message(struct message *m, uint32_t round, const uint8_t *out, size_t n) {
    if (n > m->room) {
        uint8_t *bytes = realloc(m->bytes, n);
        if (bytes == NULL) {
            return CSL_ENOMEM;
        }
        m->bytes = bytes;
        m->room = n;
    }
    if (n != 0) {
        memcpy(m->bytes, out, n);
    }
    m->n = n;
    m->round = round;
    return CSL_OK;
}

static void misbehave(struct end *self, struct message *m) {
    const struct fault *f = &self->fault;
    const struct message *before = &self->messages[(m->round + 1) % 2];
    switch (f->what) {
    case CSL_MEM_GONE:
        self->gone = true;
        break;
    case CSL_MEM_CORRUPT: {
        size_t at = f->offset < 0 ? m->n - (size_t)-f->offset : (size_t)f->offset;
        if (at < m->n) {
            m->bytes[at] ^= f->mask;
        }
        break;
    }
    case CSL_MEM_SHORTEN:
        m->n -= m->n != 0;
        break;
    case CSL_MEM_REPLAY:
        m->n = before->n < m->room ? before->n : m->room;
        if (m->n != 0) {
            memcpy(m->bytes, before->bytes, m->n);
        }
        m->round = before->round;
        break;
    }
}

static enum csl_err post(struct end *self, uint32_t round, const uint8_t *out, size_t n,
                         struct csl_diag *diag) {
    struct csl_mem_net *net = self->net;
    if (self->gone || round != self->last + 1) {
        return csl_fail(diag, CSL_EINTERNAL, "party %u posts round %u after round %u", self->link.self, round,
                        self->last);
    }
    CSL_ASSERT_PUBLIC(out, n);
    struct message *m = &self->messages[round % 2];
    if (set_message(m, round, out, n) != CSL_OK) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for round %u", round);
    }
    if (net->tap != NULL) {
        net->tap(net->tap_arg, self->link.self, round, out, n);
    }
    if (self->fault.round == round) {
        misbehave(self, m);
        if (self->gone) {
            return csl_fail(diag, CSL_EUNAVAILABLE, "party %u leaves before round %u", self->link.self,
                            round);
        }
    }
    self->last = round;
    pthread_cond_broadcast(&net->posted);
    return CSL_OK;
}

static enum csl_err receive(struct end *self, uint8_t *in, unsigned peer, uint32_t round, size_t n,
                            struct csl_diag *diag) {
    struct csl_mem_net *net = self->net;
    struct end *from = &net->ends[peer];
    while (from->last < round && !from->gone) {
        pthread_cond_wait(&net->posted, &net->lock);
    }
    if (from->last < round) {
        return csl_fail(diag, CSL_EPEER, "party %u went away in round %u", peer, round);
    }
    const struct message *m = &from->messages[round % 2];
    if (m->round != round) {
        return csl_fail(diag, CSL_EPROTO, "party %u sent a message of round %u in round %u", peer, m->round,
                        round);
    }
    if (m->n != n) {
        return csl_fail(diag, CSL_EPROTO, "party %u sent %zu bytes in round %u instead of %zu", peer, m->n,
                        round, n);
    }
    if (n != 0) {
        memcpy(in, m->bytes, n);
    }
    return CSL_OK;
}

static enum csl_err exchange(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct end *self = (struct end *)link;
    struct csl_mem_net *net = self->net;
    pthread_mutex_lock(&net->lock);
    enum csl_err err = post(self, round, out, n, diag);
    for (unsigned p = 0; p < net->n_parties && err == CSL_OK; p++) {
        if (p != link->self) {
            err = receive(self, in[p], p, round, n, diag);
        }
    }
    if (err != CSL_OK) {
        self->gone = true;
        pthread_cond_broadcast(&net->posted);
    }
    pthread_mutex_unlock(&net->lock);
    return err;
}

/* ---- Parties as threads ---- */

struct runner {
    pthread_t thread;
    struct csl_mem_net *net;
    struct csl_session session;
    csl_mem_body_fn *body;
    void *arg;
    enum csl_err err;
};

static void *run_party(void *arg) {
    struct runner *r = arg;
    r->err = r->body(&r->session, r->arg);
    csl_mem_net_leave(r->net, r->session.self); /* nobody waits for it any more */
    return NULL;
}

static enum csl_err first_error(const struct runner *r, unsigned n, struct csl_diag *diag) {
    const struct runner *worst = &r[0];
    for (unsigned p = 1; p < n; p++) {
        if (worst->err == CSL_OK ||
            (worst->err == CSL_EPEER && r[p].err != CSL_OK && r[p].err != CSL_EPEER)) {
            worst = &r[p];
        }
    }
    if (worst->err == CSL_OK) {
        return CSL_OK;
    }
    const char *text = worst->session.diag.text;
    return csl_fail(diag, worst->err, "party %u: %s", (unsigned)(worst - r),
                    text[0] != '\0' ? text : csl_err_text(worst->err));
}

enum csl_err csl_mem_run(unsigned n_parties, csl_mem_body_fn *body, void *arg, struct csl_diag *diag) {
    struct csl_mem_net *net;
    TRY(csl_mem_net_new(&net, n_parties));
    enum csl_err err = CSL_ENOMEM;
    struct runner *r = calloc(n_parties, sizeof *r);
    bool started[CSL_MAX_PARTIES] = {false};
    for (unsigned p = 0; r != NULL && p < n_parties; p++) {
        r[p] = (struct runner){.net = net, .body = body, .arg = arg};
        r[p].err = csl_session_init(&r[p].session, csl_mem_net_link(net, p));
        if (r[p].err == CSL_OK) {
            started[p] = pthread_create(&r[p].thread, NULL, run_party, &r[p]) == 0;
        }
        if (!started[p]) { /* a started one owns its fields */
            r[p].err = r[p].err != CSL_OK ? r[p].err : CSL_EOS;
            csl_mem_net_leave(net, p);
        }
    }
    for (unsigned p = 0; r != NULL && p < n_parties; p++) {
        if (started[p]) {
            pthread_join(r[p].thread, NULL);
        }
    }
    if (r != NULL) {
        err = first_error(r, n_parties, diag);
        for (unsigned p = 0; p < n_parties; p++) {
            csl_session_clear(&r[p].session);
        }
    }
    free(r);
    csl_mem_net_free(net);
    return err;
}
