/* Shared sessions on paper (world.h): requests of two clients, several in a batch, batches that share a
 * dealing. Everything is signed as honest sites would; tests change it before it is entered. */
#ifndef CSL_TESTS_AUDIT_SHARED_H
#define CSL_TESTS_AUDIT_SHARED_H

#include "tests/audit/scene.h"

enum { SH_REQUESTS_MAX = 32 };

struct sh_request {
    bool ward;     /* the other client's */
    uint8_t guest; /* every byte of its name */
    uint32_t number, count;
};

struct sh_batch {
    uint32_t number, count, first_row;
    struct sh_request requests[SH_REQUESTS_MAX];
    size_t n;
    const struct csl_signed *dealt;
    struct csl_signed inputs[SH_REQUESTS_MAX], heads[16], outputs[16][SH_REQUESTS_MAX];
    /* What each site enters, in which order: at first 0..n-1. */
    size_t input_order[16][SH_REQUESTS_MAX], output_order[16][SH_REQUESTS_MAX], n_inputs[16], n_outputs[16];
    uint32_t commitments[16]; /* as many of them */
};

void sh_session_fill(struct world *w, struct w_session *s, uint8_t id, enum csl_audit_sign sign);
/* `rows` that serve, of which the counters come next; the dealer's entry. */
void sh_deal(struct world *w, struct w_session *s, uint32_t rows, struct csl_signed *dealt);
/* number, first_row, requests, n and dealt are set: everything is signed. */
void sh_sign(struct world *w, struct w_session *s, struct sh_batch *b);
/* Again, of one request or head, after it was changed; salt: other commitments. */
void sh_sign_input(struct world *w, const struct w_session *s, struct sh_batch *b, size_t i, uint8_t salt);
void sh_sign_heads(struct world *w, const struct w_session *s, struct sh_batch *b);
void sh_sign_output(struct world *w, const struct w_session *s, struct sh_batch *b, unsigned site, size_t i,
                    uint8_t salt);
void sh_enter_inputs(struct world *w, unsigned site, const struct w_session *s, const struct sh_batch *b);
void sh_enter_heads(struct world *w, unsigned site, const struct w_session *s, const struct sh_batch *b);
void sh_enter_outputs(struct world *w, unsigned site, const struct w_session *s, const struct sh_batch *b);
/* All three at every party; the session's counts go on. */
void sh_enter(struct world *w, struct w_session *s, const struct sh_batch *b);
void sh_clear(struct sh_batch *b);

/* One shared session: two dealings of 6 rows, three batches of them: 2 + 1, 3, then 1 + 2 + 1 requests' rows.
 */
enum { SH_BATCHES = 3, SH_DEALINGS = 2 };
struct sh_scene {
    struct scene s;
    struct csl_signed dealt[SH_DEALINGS];
    struct sh_batch batches[SH_BATCHES];
};
/* Signed, and nothing of the batches entered. */
void sh_open(struct sh_scene *x, unsigned n_parties, enum csl_audit_sign sign);
/* Entered, closed with this, and exported. */
void sh_end(struct sh_scene *x, enum csl_err err);
void sh_export(struct sh_scene *x, enum csl_err err); /* closed and exported alone */
void sh_close(struct sh_scene *x);

#endif
