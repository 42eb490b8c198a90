/* A consortium of real processes for a test, and programs that speak the protocol step by step.
 *
 * The federation (cli/federation.h) runs the daemons; the test process plays owner and client, with the
 * library or, message by message, with a fake. Nothing sleeps: tests wait for answers and for processes.
 */
#ifndef CSL_TESTS_ROLES_WORLD_H
#define CSL_TESTS_ROLES_WORLD_H

#include <pthread.h>
#include <signal.h>

#include "../nn/nets.h"
#include "audit/statement.h"
#include "cli/federation.h"
#include "roles/client/client.h"
#include "roles/package/owner.h"
#include "roles/talk.h"

#define MODEL "network"
enum { WORLD_MAX_BATCH = 16 };

struct world {
    struct csl_federation *fed;
    struct csl_context owner, clinic;
    struct compiled *net; /* what is shared as MODEL */
    unsigned n;
};

/* Fills in what all tests have in common: program, keys, model, WORLD_MAX_BATCH, profile lan. */
struct csl_federation_options world_options(unsigned n_parties);
/* Timeouts for tests that wait for a peer to be taken for dead: silence of a second. */
struct csl_timeouts quick_timeouts(void);

/* Starts the consortium, and shares the small network of tests/nn (world_open) or nothing yet. */
void world_open(struct world *w, const struct csl_federation_options *opt);
void world_open_unshared(struct world *w, const struct csl_federation_options *opt);
void world_share(struct world *w);
void world_close(struct world *w);

/* Daemons by name. */
void world_spawn(struct world *w, const char *name);
/* The instrumented daemon (hostile.c) instead of the real one; args as in its head. */
void world_spawn_hostile(struct world *w, const char *name, const char *const *args);
void world_kill(struct world *w, const char *name); /* SIGKILL, and waits for its end */
void world_signal(struct world *w, const char *name, int sig);
/* Parties and dealer run: whatever a test that failed has left behind does not make the next one hang. */
void world_revive(struct world *w);
void world_wait_stopped(struct world *w, const char *name); /* fails when it ends instead */
/* Every daemon but the named one (NULL: every one) runs. */
void world_lives(struct world *w, const char *but);
void world_path(char out[1024], const struct world *w, const char *site, const char *file);
void world_context(struct csl_context *ctx, const struct world *w, const char *site);

/* A session with logits, all of the input the client's own; and one batch of it. */
enum csl_err world_client_open(struct csl_client **c, const struct csl_context *ctx, const char *model,
                               uint32_t max_batch, struct csl_diag *diag);
enum csl_err world_client_infer(struct csl_client *c, double *logits, struct csl_batch_stats *stats,
                                const float *x, uint32_t count, struct csl_diag *diag);

/* Logits are within the stated bound of the fixed-point reference. */
void world_check_logits(const struct world *w, const double *logits, const float *x, uint32_t count);

/* ---- Expectations ---- */

void must(enum csl_err err, const struct csl_diag *diag, const char *what);
/* err is want (or, when want2 is not CSL_OK, want2), and the sentence holds every word; "|" between
 * alternatives: "hospital-b|hospital-c". */
void failed_as(enum csl_err err, const struct csl_diag *diag, enum csl_err want, enum csl_err want2,
               const char *const *words);
#define FAILED(err, diag, want, ...)                                                                         \
    failed_as(err, diag, want, CSL_OK, (const char *const[]){__VA_ARGS__, NULL})
#define FAILED2(err, diag, want, want2, ...)                                                                 \
    failed_as(err, diag, want, want2, (const char *const[]){__VA_ARGS__, NULL})

/* Opens a session as the clinic; fails the test when it does not open. */
struct csl_client *world_client(struct world *w, uint32_t max_batch);
/* One batch of made-up inputs; every logit must be within the stated bound of the fixed-point reference. */
void world_infer(struct world *w, struct csl_client *c, uint32_t count, struct csl_batch_stats *stats);
/* A whole session of one batch of 2. */
void world_session(struct world *w);
/* The same, of which an error is expected: in opening or in the batch. */
enum csl_err world_try(struct world *w, struct csl_diag *diag);
void world_inputs(float *x, const struct csl_plan *plan, uint32_t count, unsigned salt);

/* world_try in a thread of its own. */
struct attempt {
    struct world *w;
    pthread_t thread;
    enum csl_err err;
    struct csl_diag diag;
};
void attempt_start(struct attempt *a, struct world *w);
enum csl_err attempt_join(struct attempt *a);

/* ---- A client, party or owner that does what the test says ---- */

struct fake {
    struct world *w;
    const struct csl_context *ctx;
    struct csl_worker worker;
    struct csl_talk talks[CSL_MAX_PARTIES];
    uint8_t id[CSL_SESSION_ID_BYTES];
    uint8_t epoch_id[CSL_DIGEST_BYTES]; /* of SessionReady */
    uint8_t session[CSL_DIGEST_BYTES];  /* likewise; zero where nothing is signed */
    bool sign;
    struct csl_plan *plan;
};
enum { FAKE_WAIT_MS = 30000 };

void fake_open(struct fake *f, struct world *w, const struct csl_context *ctx);
void fake_close(struct fake *f);
/* HELLO to party i is accepted. */
void fake_dial(struct fake *f, unsigned i, Csl__Pb__Purpose purpose);
/* HELLO to party i is refused, or the connection fails. */
enum csl_err fake_dial_fails(struct fake *f, unsigned i, Csl__Pb__Purpose purpose, struct csl_diag *diag);
void fake_ask(struct fake *f, unsigned i, const char *model, uint32_t max_batch);
void fake_expect(struct fake *f, unsigned i, int kind);
/* Whatever party i sends before it, the end is an error. */
enum csl_err fake_end(struct fake *f, unsigned i, struct csl_diag *diag);
/* Dials and opens a session at all parties, up to SessionReady. */
void fake_session(struct fake *f, uint32_t max_batch);
void fake_prepare(struct fake *f, unsigned i, uint32_t batch, uint32_t count);
void fake_prepare_all(struct fake *f, uint32_t batch, uint32_t count); /* and takes the credits */
/* Some input, good in form, of one party: seeds that begin with 1, 2, 3, and zeros for the last party. */
void fake_input(struct fake *f, unsigned i, uint32_t batch, uint32_t count);
/* What is signed of it: the fields of Input, in memory that the caller keeps while the message is in use. */
struct fake_statement {
    uint8_t salt[32], seed[32];
    struct csl_signed s;
};
void fake_sign(struct fake_statement *out, const struct fake *f, uint32_t batch, uint32_t count);
/* With these fields; session and roots are filled in, for this salt's first byte. */
void fake_sign_as(struct fake_statement *out, const struct fake *f, uint8_t salt,
                  const Csl__Audit__InputStatement *as);
/* Input as fake_input sends it, with this statement (NULL: none); of the last party without its DATA. */
void fake_send_input(struct fake *f, unsigned i, uint32_t batch, const struct fake_statement *s);
void fake_send_vector(struct fake *f, unsigned i, uint32_t batch, uint32_t count);
void fake_input_all(struct fake *f, uint32_t batch, uint32_t count);
void fake_send(struct fake *f, unsigned i, enum csl_frame_type type, uint32_t seq, const void *p, size_t n);

#endif
