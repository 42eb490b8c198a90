/* What others send to a protocol: the dealer's demand list and corrections, and the messages of a peer.
 *
 * Input: kind, 2 bytes each of dimensions, k, f, out_bits, digits, then corrections, then the peer's
 * messages.
 */
#include "mpc/correlation.h"
#include "mpc/linear.h"
#include "mpc/relu.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUDGET = 1 << 20 };

struct input {
    const uint8_t *at;
    size_t left;
};

static void take(struct input *in, uint8_t *out, size_t n) {
    size_t have = n < in->left ? n : in->left;
    memset(out, 0, n);
    if (have != 0) {
        memcpy(out, in->at, have);
        in->at += have;
        in->left -= have;
    }
}

static uint8_t take_byte(struct input *in) {
    uint8_t b;
    take(in, &b, 1);
    return b;
}

struct fuzz_link {
    struct csl_link link;
    struct input *in;
};

static enum csl_err exchange(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct fuzz_link *f = (struct fuzz_link *)link;
    (void)out;
    if (f->in->left == 0) {
        return csl_fail(diag, CSL_EPEER, "party 0 went away in round %u", round);
    }
    take(f->in, in[0], n);
    return CSL_OK;
}

static struct csl_demand take_demand(struct input *in) {
    struct csl_demand d = {.kind = (enum csl_demand_kind)(take_byte(in) % 5)};
    d.k_dim = (uint32_t)take_byte(in) | (uint32_t)take_byte(in) << 20;
    d.n_dim = d.count = (uint32_t)take_byte(in) | (uint32_t)take_byte(in) << 20;
    d.bits = d.trunc.k = take_byte(in);
    d.trunc.f = take_byte(in);
    d.trunc.out_bits = take_byte(in);
    d.trunc.n_digits = take_byte(in);
    if (d.trunc.n_digits == 0xff) {
        d.trunc = csl_trunc_params_default(d.trunc.k, d.trunc.f, d.trunc.out_bits);
    } else {
        take(in, d.trunc.digit_bits, sizeof d.trunc.digit_bits);
    }
    return d;
}

static enum csl_err evaluate(struct csl_corr *c, const struct csl_demand *d, struct csl_session *s,
                             uint64_t *memory) {
    if (d->kind == CSL_DEMAND_LINEAR) {
        size_t n = (size_t)d->k_dim * d->n_dim;
        struct csl_linear layer = {memory, memory, d->k_dim, d->n_dim, d->bits};
        TRY(csl_linear_open_weights(s, memory + n, memory, memory, n, d->bits));
        TRY(csl_corr_bind_weights(c, 0, memory + n, NULL));
        return csl_linear_forward(s, memory + 3 * n, &layer, memory, c, 0);
    }
    return d->kind == CSL_DEMAND_RELU ? csl_relu(s, memory, memory, c, 0)
                                      : csl_trunc(s, memory, memory, c, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, size};
    struct csl_demand d = take_demand(&in);
    size_t n = csl_correction_bytes(&d, 1);
    size_t budget = csl_corr_bytes(&d, 1, 1);
    struct csl_corr *c = NULL;
    if (budget > BUDGET || (uint64_t)d.k_dim * d.n_dim > BUDGET / 8) {
        return 0;
    }
    struct csl_diag diag = {""};
    enum csl_err err = csl_corr_new(&c, &d, 1, 2, 1, 1, &diag);
    if ((err == CSL_OK) != (n != 0) || (err == CSL_OK) != (budget != 0)) {
        abort(); /* the checks must agree */
    }
    if (err != CSL_OK) {
        return 0;
    }
    uint8_t *chunk = malloc(n), seed[32] = {1};
    uint64_t *memory = calloc(BUDGET, sizeof *memory);
    struct fuzz_link link = {{&(const struct csl_link_ops){.exchange = exchange}, 2, 1}, &in};
    struct csl_session s;
    if (chunk != NULL && memory != NULL && csl_session_init(&s, &link.link) == CSL_OK) {
        take(&in, chunk, n);
        err = csl_corr_expand(c, 0, seed, chunk, n - (take_byte(&in) == 0xfe), &diag);
        if (err == CSL_OK) {
            err = evaluate(c, &d, &s, memory);
            if (err != CSL_OK && (s.err != err || s.diag.text[0] == '\0')) {
                abort(); /* an error without a sentence */
            }
        }
        csl_session_clear(&s);
    }
    csl_corr_free(c);
    free(memory);
    free(chunk);
    return 0;
}
