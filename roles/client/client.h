/* The client: opens a session, shares inputs among the parties, and alone joins the outputs. It is no
 * computing party.
 *
 *     TRY(csl_client_open(&c, ctx, &(struct csl_client_options){.model = "digits", .max_batch = 16}, diag));
 *     const struct csl_plan *plan = csl_client_plan(c);
 *     TRY(csl_client_infer(c, &outputs, &stats, x, count, NULL, NULL, diag));   as often as wanted
 *     csl_client_close(c);
 *
 * Who knows what comes next opens the session with `ahead`, and says so before each csl_client_infer:
 *
 *     while (announced < n && announced < answered + CSL_CLIENT_AHEAD) {
 *         TRY(csl_client_announce(c, counts[announced++], diag));
 *     }
 *
 * Every wait has a deadline. When a party fails, the error names it and, where it happened in one, the round;
 * the session has ended then. One thread.
 */
#ifndef CSL_ROLES_CLIENT_H
#define CSL_ROLES_CLIENT_H

#include "nn/eval.h"
#include "roles/context.h"
#include "roles/message.h"
#include "roles/package/package.h"
#include "roles/parts.h"

struct csl_client;

struct csl_client_options {
    const char *model;
    uint32_t max_batch; /* the most inputs that one csl_client_infer may have; at most the roster's limit */
    bool reveal_label;  /* learn the class alone; the roster may demand it */
    /* Join the parties' shared session: its correlations are made ahead of need, and requests of several
     * clients are evaluated together. Without parts; one csl_client_infer may have as many inputs as one of
     * its batches (CSL_EUSAGE says how many). */
    bool shared;
    /* Batches may be announced before the last one is answered (csl_client_announce), and the parties make
     * their correlations meanwhile. For who has more than one to ask; opening takes the parties some more
     * connections. Not with `shared`. */
    bool ahead;
    const struct csl_parts *parts; /* who owns which part of the input; NULL: we own it all */
    /* Called once the parties have the session: the owners of parts need its id to join. May be NULL. */
    void (*on_session)(void *arg, const uint8_t session_id[CSL_SESSION_ID_BYTES]);
    void *arg;
};

/* Tries again for a while when the parties are busy or between two epochs. */
CSL_MUST_CHECK enum csl_err csl_client_open(struct csl_client **out, const struct csl_context *ctx,
                                            const struct csl_client_options *opt, struct csl_diag *diag);
void csl_client_close(struct csl_client *c); /* NULL is allowed */

const struct csl_plan *csl_client_plan(const struct csl_client *c);
const struct csl_manifest *csl_client_manifest(const struct csl_client *c);

/* What one batch cost, as the parties report it; in a shared session the whole batch that the request was
 * in. */
struct csl_batch_stats {
    uint32_t count;
    uint32_t batch;          /* the parties' number of it; of a shared session 0 where nothing is signed */
    uint32_t rounds;         /* one-way hops: openings, and the output shares */
    uint64_t online_bytes;   /* sent by the party that sends most, over all its links */
    uint64_t max_link_bytes; /* sent on the busiest link between two parties */
    uint64_t offline_bytes;  /* corrections, sent by the dealer */
    uint64_t
        setup_bytes; /* sent by the party that sent most, for the session's agreement and masked weights */
    uint64_t input_ns, output_ns; /* the last party's input held, the last output sent; monotonic clocks of
                                     the parties, which can be compared on one machine only */
    enum csl_profile profile;     /* of the session, as the parties say */
    uint64_t client_ns;           /* at the client: from the input sent to the outputs joined */
};

enum { CSL_CLIENT_AHEAD = 2 }; /* batches that may be announced and not answered, the next one included */

/* In a session with `ahead`: the batch after those that were announced will have `count` inputs. The calls of
 * csl_client_infer that follow must have the announced counts, in their order; those that never come cost the
 * parties some work, and nothing else. CSL_EUSAGE: no such session, a count beyond max_batch, or
 * CSL_CLIENT_AHEAD batches wait already. After any other error the session has ended. */
CSL_MUST_CHECK enum csl_err csl_client_announce(struct csl_client *c, uint32_t count, struct csl_diag *diag);

/* One party's share of the inputs of the batch, as it was sent: count x n_inputs values below 2^bits. For
 * people who want to see what a hospital sees. */
typedef void csl_share_fn(void *arg, unsigned party, const uint64_t *share, size_t n, unsigned bits);

/* Inferences of one batch, as the client learns them. */
struct csl_outputs {
    double *logits;    /* count x n_outputs (the head is not applied); not touched when the label alone is
                          revealed */
    uint32_t *classes; /* count */
};

/* x: count x n_inputs normalised floats in the plan's interval; of parts: our own boxes (csl_part_positions),
 * NULL when we own none. show may be NULL. CSL_EDATA: an input outside the interval; nothing was sent and the
 * session goes on (a batch that was announced is still due, and so is its count). After any other error it
 * has ended. */
CSL_MUST_CHECK enum csl_err csl_client_infer(struct csl_client *c, struct csl_outputs *out,
                                             struct csl_batch_stats *stats, const float *x, uint32_t count,
                                             csl_share_fn *show, void *show_arg, struct csl_diag *diag);

/* Our own part, fitted to the plan; NULL: the whole input, or none (csl_client_owns_input). */
const struct csl_part *csl_client_part(const struct csl_client *c);
bool csl_client_owns_input(const struct csl_client *c);

#endif
