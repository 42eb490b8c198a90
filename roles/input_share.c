#include "roles/input_share.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/share.h"
#include "nn/eval.h"

void csl_input_share_clear(struct csl_input_share *s) {
    csl_secret_free(s->last);
    csl_secret_free(s->packed);
    csl_secret_free(s->seeds);
    memset(s, 0, sizeof *s);
}

/* Values of one owner's box in fixed point: put into whole inputs, encoded with them, and taken out again, so
 * that a part is encoded and judged exactly as an input is. */
static enum csl_err encode_part(uint64_t *out, const struct csl_plan *plan, const struct csl_part *part,
                                const float *x, uint32_t count, struct csl_diag *diag) {
    size_t n = csl_part_elements(part), whole = csl_plan_n_inputs(plan);
    uint32_t *logical = malloc(2 * n * sizeof *logical);
    float *full = csl_secret_alloc(whole, sizeof *full);
    int64_t *coded = csl_secret_alloc(whole, sizeof *coded);
    enum csl_err err = logical == NULL || full == NULL || coded == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK) {
        csl_part_positions(part, plan, logical, logical + n);
    }
    for (uint32_t row = 0; err == CSL_OK && row < count; row++) {
        for (size_t i = 0; i < whole; i++) {
            full[i] = (float)plan->input.lo;
        }
        for (size_t i = 0; i < n; i++) {
            full[logical[i]] = x[row * n + i];
        }
        err = csl_plan_encode_input(plan, coded, full, 1, diag);
        for (size_t i = 0; err == CSL_OK && i < n; i++) {
            out[row * n + i] = (uint64_t)coded[logical[n + i]];
        }
    }
    free(logical);
    csl_secret_free(full);
    csl_secret_free(coded);
    return err;
}

static enum csl_err make(struct csl_input_share *s, uint64_t *x_coded, const struct csl_plan *plan,
                         const struct csl_part *part, const float *x, uint32_t count, struct csl_diag *diag) {
    if (part != NULL) {
        TRY(encode_part(x_coded, plan, part, x, count, diag));
    } else {
        TRY(csl_plan_encode_input(plan, (int64_t *)x_coded, x, count, diag));
    }
    TRY(csl_share_input(s->seeds, s->last, x_coded, s->n, s->bits, s->n_parties));
    csl_pack_bits(s->packed, s->last, s->n, s->bits);
    return CSL_OK;
}

enum csl_err csl_input_share_make(struct csl_input_share *out, const struct csl_plan *plan,
                                  const struct csl_part *part, const float *x, uint32_t count,
                                  unsigned n_parties, struct csl_diag *diag) {
    size_t each = part != NULL ? csl_part_elements(part) : csl_plan_n_inputs(plan);
    *out = (struct csl_input_share){
        .n_parties = n_parties, .bits = csl_plan_input_bits(plan), .n = (size_t)count * each};
    TRY(csl_pack_size(&out->n_packed, out->n, out->bits));
    out->last = csl_secret_alloc(out->n, sizeof *out->last);
    out->packed = csl_secret_alloc(out->n_packed, 1);
    out->seeds = csl_secret_alloc(n_parties, CSL_SHARE_SEED_BYTES);
    uint64_t *x_coded = csl_secret_alloc(out->n, sizeof *x_coded);
    enum csl_err err = out->last == NULL || out->packed == NULL || out->seeds == NULL || x_coded == NULL
                           ? CSL_ENOMEM
                           : make(out, x_coded, plan, part, x, count, diag);
    csl_secret_free(x_coded);
    if (err != CSL_OK) {
        csl_input_share_clear(out);
    }
    return err;
}

enum csl_err csl_input_share_of(uint64_t *out, const struct csl_input_share *s, unsigned party) {
    if (party + 1 < s->n_parties) {
        return csl_share_expand(out, s->seeds + (size_t)party * CSL_SHARE_SEED_BYTES, s->n, s->bits);
    }
    memcpy(out, s->last, s->n * sizeof *out);
    return CSL_OK;
}

enum csl_err csl_input_share_send(const struct csl_input_share *s, struct csl_talk *talks, uint32_t batch,
                                  struct csl_diag *diag) {
    for (unsigned i = 0; i + 1 < s->n_parties; i++) {
        CSL_CONTROL(m, body, Input, INPUT, INPUT, input);
        uint8_t *seed = s->seeds + (size_t)i * CSL_SHARE_SEED_BYTES;
        CSL_PUBLIC(seed, CSL_SHARE_SEED_BYTES); /* to its one recipient */
        body.batch = batch;
        body.seed = csl_bytes(seed, CSL_SHARE_SEED_BYTES);
        TRY(csl_talk_send(&talks[i], &m, diag));
    }
    CSL_PUBLIC(s->packed, s->n_packed);
    return csl_talk_send_data(&talks[s->n_parties - 1], batch, s->packed, s->n_packed, diag);
}
