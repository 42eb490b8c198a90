/* Guests of shared sessions, for tests: by the library, and message by message. */
#ifndef CSL_TESTS_ROLES_GUEST_H
#define CSL_TESTS_ROLES_GUEST_H

#include "roles/lane/record.h"
#include "world.h"

/* ---- By the library ---- */

enum csl_err guest_client_open(struct csl_client **c, const struct csl_context *ctx, uint32_t max_batch,
                               struct csl_diag *diag);
/* Joins as the clinic; fails the test when that fails. */
struct csl_client *guest_client(struct world *w, uint32_t max_batch);
/* A whole stay of one request of 2. */
void guest_visit(struct world *w);

/* Guests side by side, in threads of their own: all join, then each sends its requests, of changing sizes. */
enum { VISITORS_MAX = 8, VISITOR_BATCH = 16, VISITOR_REQUESTS = 12 };
struct visitor {
    struct world *w;
    struct csl_context ctx;
    unsigned number, requests;
    pthread_barrier_t *all_in;
    pthread_t thread;
    enum csl_err err;
    struct csl_diag diag;
    unsigned done; /* requests that were answered */
    uint32_t counts[VISITOR_REQUESTS];
    double logits[VISITOR_REQUESTS][VISITOR_BATCH * N_OUT];
};
struct visitors {
    struct visitor at[VISITORS_MAX];
    unsigned n;
    pthread_barrier_t all_in;
};
void visitors_start(struct visitors *v, unsigned n, struct world *w, unsigned requests);
/* Every answer that came is right. */
void visitors_end(struct visitors *v);
/* And all came. */
void visitors_succeed(struct visitors *v);

/* ---- Message by message: a fake (world.h) that is a guest ---- */

struct guest {
    struct fake f; /* f.id: the session */
    uint8_t id[CSL_GUEST_ID_BYTES];
};
void guest_open(struct guest *g, struct world *w); /* the clinic */
void guest_open_as(struct guest *g, struct world *w, const struct csl_context *ctx);
void guest_close(struct guest *g);
/* Its connections break. */
void guest_dies(struct guest *g);
/* OpenSession to party i. */
void guest_ask(struct guest *g, unsigned i, const char *model, uint32_t max_batch, bool reveal_label);
/* The same, up to Admitted; of party 0 the session's id comes with it. */
void guest_join(struct guest *g, unsigned i, uint32_t max_batch);
/* Up to SessionReady of all parties. */
void guest_enter(struct guest *g, uint32_t max_batch);
/* The statement of a request; salt: its salts' first byte. */
void guest_sign(struct fake_statement *out, const struct guest *g, uint32_t request, uint32_t count,
                uint8_t salt);
/* Input with this statement, of the last party without its DATA. */
void guest_send_input(struct guest *g, unsigned i, uint32_t request, uint32_t count,
                      const struct fake_statement *s);
/* The whole request to party i; to all. */
void guest_send(struct guest *g, unsigned i, uint32_t request, uint32_t count);
void guest_send_all(struct guest *g, uint32_t request, uint32_t count);
/* Every party answers it: DATA and BatchDone. Returns the number of the batch that it was in. */
uint32_t guest_answered(struct guest *g, uint32_t request);

#endif
