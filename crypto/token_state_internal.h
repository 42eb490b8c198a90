/* A token's state, for crypto/token.c, crypto/token_call.c and crypto/token_session.c alone. */
#ifndef CSL_CRYPTO_TOKEN_STATE_INTERNAL_H
#define CSL_CRYPTO_TOKEN_STATE_INTERNAL_H

#include <pthread.h>
#include <time.h>

#include "crypto/token_internal.h"

struct csl__token {
    struct csl__token *next;
    unsigned refs;            /* with the list's lock, as next */
    struct csl_token_uri uri; /* constant, as the PIN */
    char pin[CSL__TOKEN_PIN_MAX + 1];
    bool has_pin;
    unsigned timeout_ms;

    pthread_mutex_t lock; /* of all below; never held while the module is called */
    pthread_cond_t work, done;
    struct csl__token_call *head; /* not begun */
    unsigned n_workers, n_idle;
    unsigned epoch; /* of object handles */
    unsigned reset; /* counts how often the token was gone: every worker gives the module up then */
    bool stopping, orphaned;
    bool stuck; /* a call is late, and nothing was answered since */
    struct timespec probe_after;

    pthread_mutex_t login; /* one login at a time, so that a wrong PIN is tried once */
};

/* The timeout, and the PIN from where the URI or the site says. */
CSL_MUST_CHECK enum csl_err csl__token_settings(struct csl__token *t, const char *path,
                                                struct csl_diag *diag);

/* Of a token that is in no list any more and has no worker left. */
void csl__token_free(struct csl__token *t);

/* Of the monotonic clock, which the conditions wait by. */
struct timespec csl__from_now(unsigned ms);

/* In the child of a fork. */
void csl__pins_forked(void);

#endif
