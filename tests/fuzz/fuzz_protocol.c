/* What others send to a protocol: the dealer's demand list and corrections, and the messages of a peer.
 *
 * Input: kind, 2 bytes each of dimensions, k, f, out_bits, digits (or a convolution's shape), then
 * corrections, then the peer's messages.
 */
#include "mpc/correlation.h"
#include "mpc/linear.h"
#include "mpc/relu.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUDGET = 1 << 20, WORK = 1 << 24 };

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

static uint32_t take_dim(struct input *in) {
    uint32_t low = take_byte(in);
    return low | (uint32_t)take_byte(in) << 20;
}

/* One byte a field; two for the sizes. */
static struct csl_conv_shape take_shape(struct input *in) {
    struct csl_conv_shape s = {.in_h = take_dim(in), .in_w = take_dim(in), .in_c = take_dim(in)};
    s.out_h = take_dim(in);
    s.out_w = take_dim(in);
    s.out_c = take_dim(in);
    s.kernel_h = take_byte(in);
    s.kernel_w = take_byte(in);
    s.stride_h = take_byte(in);
    s.stride_w = take_byte(in);
    s.pad_top = take_byte(in);
    s.pad_left = take_byte(in);
    s.dilation_h = take_byte(in);
    s.dilation_w = take_byte(in);
    s.groups = take_byte(in);
    return s;
}

static struct csl_demand take_demand(struct input *in) {
    struct csl_demand d = {.kind = (enum csl_demand_kind)(take_byte(in) % 7)};
    uint32_t k_dim = take_dim(in), n_dim = d.count = take_dim(in);
    d.conv = csl_conv_dense(k_dim, n_dim);
    d.bits = d.trunc.k = take_byte(in);
    d.trunc.f = take_byte(in);
    d.trunc.out_bits = take_byte(in);
    d.trunc.n_digits = take_byte(in);
    if (d.kind == CSL_DEMAND_ARGMAX) {
        d.bits = d.trunc.out_bits;
        d.trunc.out_bits = (uint8_t)(d.trunc.k + d.trunc.f);
    }
    if (d.kind == CSL_DEMAND_LINEAR && d.trunc.n_digits == 0xfe) {
        d.conv = take_shape(in);
    } else if (d.trunc.n_digits == 0xff) {
        d.trunc = csl_trunc_params_default(d.trunc.k, d.trunc.f, d.trunc.out_bits);
    } else {
        take(in, d.trunc.digit_bits, sizeof d.trunc.digit_bits);
    }
    return d;
}

/* Whether memory and time are those of a test. Overflow was excluded by the check of the demand. */
static bool is_small(const struct csl_demand *d) {
    if (csl_corr_bytes(d, 1, 1) > BUDGET) {
        return false;
    }
    if (d->kind != CSL_DEMAND_LINEAR || csl_demand_check(d, NULL) != CSL_OK) {
        return true;
    }
    size_t weights = csl_conv_weights(&d->conv);
    return weights <= BUDGET / 8 && weights / d->conv.out_c * csl_conv_outputs(&d->conv) <= WORK;
}

/* memory: BUDGET words; inputs, outputs and weights have at most an eighth of them. */
static enum csl_err evaluate(struct csl_corr *c, const struct csl_demand *d, struct csl_session *s,
                             uint64_t *memory) {
    uint64_t *second = memory + BUDGET / 4, *third = second + BUDGET / 4;
    struct csl_linear layer = {memory, memory, d->conv, d->bits};
    switch (d->kind) {
    case CSL_DEMAND_LINEAR:
        TRY(csl_linear_open_weights(s, second, memory, memory, csl_conv_weights(&d->conv), d->bits));
        TRY(csl_corr_bind_weights(c, 0, second, NULL));
        return csl_linear_forward(s, third, &layer, memory, c, 0);
    case CSL_DEMAND_RELU:
        return csl_relu(s, memory, memory, c, 0);
    case CSL_DEMAND_TRUNC:
        return csl_trunc(s, memory, memory, c, 0);
    case CSL_DEMAND_MAX:
        return csl_max(s, memory, memory, second, c, 0);
    case CSL_DEMAND_ARGMAX:
        return csl_argmax_step(s, memory, second, memory, second, third, third, c, 0);
    }
    return CSL_EINTERNAL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, size};
    struct csl_demand d = take_demand(&in);
    size_t n = csl_correction_bytes(&d, 1);
    size_t budget = csl_corr_bytes(&d, 1, 1);
    struct csl_corr *c = NULL;
    if (!is_small(&d)) {
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
    uint8_t *chunk = malloc(n), seed[CSL_INDEX_SEED_BYTES] = {1};
    uint64_t *memory = calloc(BUDGET, sizeof *memory);
    static const struct csl_link_ops ops = {.exchange = exchange};
    struct fuzz_link link = {{.ops = &ops, .n_parties = 2, .self = 1}, &in};
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
