#include "mpc/check.h"

#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/correlation_internal.h"
#include "mpc/dealer.h"
#include "mpc/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- C1: the coin ---- */

enum { DRAWN = 32 };

/* SHA-256(label 0 | party u8 | drawn): the party is in it, so that nobody can repeat another's. */
static enum csl_err commit(uint8_t out[CSL_SHA256_BYTES], unsigned party, const uint8_t drawn[DRAWN]) {
    uint8_t bytes[64] = "consilium/coin-commitment";
    bytes[31] = (uint8_t)party;
    memcpy(bytes + 32, drawn, DRAWN);
    return csl_sha256_once(out, bytes, sizeof bytes);
}

static enum csl_err commit_and_reveal(struct csl_session *s, uint8_t revealed[CSL_MAX_PARTIES][DRAWN],
                                      const char *const *names) {
    uint8_t commitments[CSL_MAX_PARTIES][CSL_SHA256_BYTES], *in[CSL_MAX_PARTIES] = {0};
    enum csl_err err = csl_rand(revealed[s->self], DRAWN);
    if (err == CSL_OK) {
        err = commit(commitments[s->self], s->self, revealed[s->self]);
    }
    if (err != CSL_OK) {
        return csl_session_fail(s, err, "no randomness for the coin of the check");
    }
    for (unsigned p = 0; p < s->n_parties; p++) {
        in[p] = commitments[p];
    }
    TRY(csl_session_exchange(s, in, commitments[s->self], CSL_SHA256_BYTES));
    for (unsigned p = 0; p < s->n_parties; p++) {
        in[p] = revealed[p];
    }
    TRY(csl_session_exchange(s, in, revealed[s->self], DRAWN));
    for (unsigned p = 0; p < s->n_parties; p++) {
        uint8_t again[CSL_SHA256_BYTES];
        err = commit(again, p, revealed[p]);
        if (err != CSL_OK) {
            return csl_session_fail(s, err, "a commitment cannot be hashed");
        }
        if (memcmp(again, commitments[p], sizeof again) != 0) {
            char number[24];
            (void)snprintf(number, sizeof number, "party %u", p);
            return csl_session_fail(s, CSL_EPROTO, "%s revealed another coin than it had committed to",
                                    names != NULL ? names[p] : number);
        }
    }
    return CSL_OK;
}

enum csl_err csl_check_toss(struct csl_session *s, uint8_t coin[CSL_COIN_BYTES], const char *const *names) {
    static const char label[] = "consilium/coin"; /* its zero byte too */
    uint8_t revealed[CSL_MAX_PARTIES][DRAWN] = {{0}}, all[sizeof label + sizeof revealed];
    memset(coin, 0, CSL_COIN_BYTES);
    TRY(commit_and_reveal(s, revealed, names));
    size_t n = (size_t)s->n_parties * DRAWN;
    memcpy(all, label, sizeof label);
    memcpy(all + sizeof label, revealed, n);
    enum csl_err err = csl_sha256_once(coin, all, sizeof label + n);
    return err == CSL_OK ? CSL_OK : csl_session_fail(s, err, "the coin of the check cannot be hashed");
}

/* A generator that the coin stands for; public. */
static enum csl_err coin_prg(struct csl_prg *prg, const uint8_t coin[CSL_COIN_BYTES], const char *label) {
    uint8_t seed[CSL_SEED_BYTES];
    TRY(csl_prf(seed, coin, label, NULL, 0));
    CSL_PUBLIC(seed, sizeof seed);
    return csl_prg_init(prg, seed);
}

/* ---- C2: the choice ---- */

/* A number below `bound`, every one with the same probability: draws that would favour some are repeated. */
static enum csl_err below(uint32_t *out, struct csl_prg *prg, uint32_t *stream, uint32_t bound) {
    uint64_t draw, excess = -(uint64_t)bound % bound; /* 2^64 mod bound */
    do {
        TRY(csl_prg_fill_u64(prg, &draw, 1, (*stream)++, 64));
        CSL_PUBLIC(&draw, sizeof draw);
    } while (draw < excess);
    *out = (uint32_t)(draw % bound);
    return CSL_OK;
}

/* Robert Floyd's sample without replacement: for j from total - n on, a number up to j, or j itself. */
enum csl_err csl_check_choose(uint32_t *rows, size_t n, uint32_t total, const uint8_t coin[CSL_COIN_BYTES]) {
    struct csl_prg prg = {0};
    if (n == 0 || n > CSL_CHECK_MAX_ROWS || n >= total || total > CSL_MAX_BATCH) {
        return CSL_EUSAGE;
    }
    enum csl_err err = coin_prg(&prg, coin, "rows");
    uint32_t stream = 0;
    for (size_t have = 0; have < n && err == CSL_OK; have++) {
        uint32_t j = total - (uint32_t)(n - have), row = 0;
        err = below(&row, &prg, &stream, j + 1);
        size_t at = 0;
        while (at < have && rows[at] < row) {
            at++;
        }
        if (at < have && rows[at] == row) { /* taken: j, which is larger than all */
            at = have;
            row = j;
        }
        memmove(rows + at + 1, rows + at, (have - at) * sizeof *rows);
        rows[at] = row;
    }
    csl_prg_clear(&prg);
    return err;
}

/* ---- C3: bits ---- */

enum csl_err csl_check_open(struct csl_session *s, uint8_t *opened, const uint8_t *own, size_t n,
                            size_t n_proof) {
    size_t n_bytes = n * (CSL_CHECK_KEY_BYTES + n_proof);
    uint8_t *in[CSL_MAX_PARTIES] = {0};
    for (unsigned p = 0; p < s->n_parties; p++) {
        in[p] = opened + p * n_bytes;
    }
    memcpy(in[s->self], own, n_bytes);
    CSL_PUBLIC(in[s->self], n_bytes); /* keys that serve nothing else: their rows are discarded */
    return csl_session_exchange(s, in, in[s->self], n_bytes);
}

/* Which field differs, for people. */
static void name_difference(struct csl_diag *diag, const struct csl_demand *demands, size_t n_demands,
                            const uint8_t *got, const uint8_t *want) {
    for (size_t d = 0; d < n_demands; d++) {
        struct csl_field f[CSL_MAX_FIELDS];
        size_t n = csl_demand_fields(f, &demands[d]);
        for (size_t i = 0; i < n; i++) {
            size_t n_bytes = f[i].dealt ? f[i].row_bytes : 0;
            if (demands[d].kind != CSL_DEMAND_LINEAR && memcmp(got, want, n_bytes) != 0) {
                (void)csl_fail(diag, CSL_EAUTH, "demand %zu, %s", d, f[i].name);
                return;
            }
            got += n_bytes;
            want += n_bytes;
        }
    }
}

enum csl_err csl_check_bits(const struct csl_demand *demands, size_t n_demands, unsigned n_parties,
                            const uint8_t *bits_keys, size_t stride,
                            const uint8_t bits_digest[CSL_DIGEST_BYTES], const uint8_t *corrections,
                            struct csl_diag *diag) {
    uint8_t keys[CSL_MAX_PARTIES * CSL_SEED_BYTES], matrix[32], bits[32];
    size_t n = csl_correction_bytes(demands, n_demands);
    uint8_t *right = n == 0 || n_parties > CSL_MAX_PARTIES ? NULL : malloc(n);
    if (right == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory to check %zu bytes of corrections", n);
    }
    for (unsigned p = 0; p < n_parties; p++) {
        memcpy(keys + (size_t)p * CSL_SEED_BYTES, bits_keys + p * stride, CSL_SEED_BYTES);
    }
    enum csl_err err = csl_dealer_bits_corrections(right, n, demands, n_demands, n_parties, keys, 1, diag);
    CSL_PUBLIC(right, n); /* everybody can make them from what was opened */
    if (err == CSL_OK) {
        err = csl_correction_digests(matrix, bits, demands, n_demands, right, n);
    }
    if (err == CSL_OK && memcmp(bits, bits_digest, sizeof bits) != 0) {
        err = csl_fail(diag, CSL_EAUTH, "corrections that do not follow from their keys");
        if (corrections != NULL) {
            name_difference(diag, demands, n_demands, corrections, right);
        }
    }
    free(right);
    return err;
}

/* ---- C4: the sacrifice ---- */

struct sacrifice {
    const struct csl_corr *corr;
    const uint32_t *rows; /* chosen */
    size_t n;             /* of them */
    struct csl_prg coin;
    uint64_t *rho; /* one for each row */
    const struct csl_epoch_keys *keys;
    const uint8_t *mask_id;
    /* the linear demands of these two rounds */
    size_t demands[CSL_ROUND_MAX_ITEMS];
    uint32_t layers[CSL_ROUND_MAX_ITEMS]; /* place among all linear ones */
    uint64_t *s[CSL_ROUND_MAX_ITEMS];     /* opened S: n rows of inputs */
    size_t n_demands;
};

/* out = sum over the kept rows of rho_{t,j} field_j + field_t, for chosen row t. */
static enum csl_err combine(struct sacrifice *sa, uint64_t *out, const struct csl__corr_demand *cd,
                            size_t demand, unsigned field, size_t t) {
    size_t n = cd->fields[field].row_words;
    TRY(csl_prg_fill_u64(&sa->coin, sa->rho, sa->corr->batch, (uint32_t)(demand << 8 | t), 64));
    memcpy(out, csl__corr_row(cd, field, sa->rows[t]), n * sizeof *out);
    for (size_t row = 0, chosen = 0; row < sa->corr->batch; row++) {
        if (chosen < sa->n && sa->rows[chosen] == row) {
            chosen++;
            continue;
        }
        const uint64_t *x = csl__corr_row(cd, field, row);
        for (size_t i = 0; i < n; i++) {
            out[i] += sa->rho[row] * x[i];
        }
    }
    return CSL_OK;
}

/* S_t = open(sum of rho_{t,j} [A_j] + [A'_t]), which A'_t masks. */
static enum csl_err open_s(struct csl_session *s, struct sacrifice *sa) {
    struct csl_round *r = csl_round_begin(s);
    enum csl_err err = CSL_OK;
    for (size_t i = 0; i < sa->n_demands && err == CSL_OK; i++) {
        const struct csl__corr_demand *cd = &sa->corr->demands[sa->demands[i]];
        size_t k = csl_conv_inputs(&cd->demand.conv);
        sa->s[i] = csl_secret_alloc(sa->n * k, sizeof *sa->s[i]);
        err = sa->s[i] == NULL ? CSL_ENOMEM : CSL_OK;
        for (size_t t = 0; t < sa->n && err == CSL_OK; t++) {
            err = combine(sa, sa->s[i] + t * k, cd, sa->demands[i], CSL_LINEAR_A, t);
        }
        if (err == CSL_OK) {
            (void)csl_round_open_ring(r, sa->s[i], sa->n * k, cd->demand.bits);
        }
    }
    if (err != CSL_OK) {
        return csl_session_fail(s, err, "no memory to check the dealer");
    }
    TRY(csl_round_flush(r));
    for (size_t i = 0; i < sa->n_demands; i++) {
        size_t k = csl_conv_inputs(&sa->corr->demands[sa->demands[i]].demand.conv);
        memcpy(sa->s[i], csl_round_ring(r, i), sa->n * k * sizeof *sa->s[i]);
    }
    return CSL_OK;
}

/* v = sum of rho_{t,j} [C_j] + [C'_t] - conv(S_t, [B]) for all t: a share of zero. */
static enum csl_err make_v(struct sacrifice *sa, uint64_t *v, uint64_t *sb, size_t i) {
    const struct csl__corr_demand *cd = &sa->corr->demands[sa->demands[i]];
    const struct csl_demand *d = &cd->demand;
    size_t n = csl_conv_outputs(&d->conv), n_b = csl_conv_weights(&d->conv);
    for (size_t t = 0; t < sa->n; t++) {
        TRY(combine(sa, v + t * n, cd, sa->demands[i], CSL_LINEAR_C, t));
    }
    uint64_t *b = csl_secret_alloc(n_b, sizeof *b);
    enum csl_err err = b == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK) {
        err = csl_weight_mask(b, sa->keys, sa->mask_id, sa->layers[i], n_b, d->bits);
    }
    if (err == CSL_OK) {
        err = csl_conv_acc(sb, sa->s[i], b, &d->conv, sa->n, d->bits, false);
        csl_sub_mod(v, v, sb, sa->n * n, d->bits);
    }
    csl_secret_free(b);
    return err;
}

static enum csl_err open_v(struct csl_session *s, struct sacrifice *sa) {
    struct csl_round *r = csl_round_begin(s);
    enum csl_err err = CSL_OK;
    for (size_t i = 0; i < sa->n_demands && err == CSL_OK; i++) {
        const struct csl_demand *d = &sa->corr->demands[sa->demands[i]].demand;
        size_t n = sa->n * csl_conv_outputs(&d->conv);
        uint64_t *v = csl_secret_alloc(2 * n, sizeof *v);
        err = v == NULL ? CSL_ENOMEM : make_v(sa, v, v + n, i);
        if (err == CSL_OK) {
            (void)csl_round_open_ring(r, v, n, d->bits);
        }
        csl_secret_free(v);
    }
    if (err != CSL_OK) {
        return csl_session_fail(s, err, "no memory to check the dealer");
    }
    TRY(csl_round_flush(r));
    for (size_t i = 0; i < sa->n_demands; i++) {
        size_t n = sa->n * csl_conv_outputs(&sa->corr->demands[sa->demands[i]].demand.conv);
        const uint64_t *v = csl_round_ring(r, i);
        for (size_t at = 0; at < n; at++) {
            if (v[at] != 0) {
                return csl_session_fail(s, CSL_EAUTH, "demand %zu, C: the sacrifice of row %u is not zero",
                                        sa->demands[i], sa->rows[at / (n / sa->n)]);
            }
        }
    }
    return CSL_OK;
}

static enum csl_err two_rounds(struct csl_session *s, struct sacrifice *sa) {
    enum csl_err err = open_s(s, sa);
    if (err == CSL_OK) {
        err = open_v(s, sa);
    }
    for (size_t i = 0; i < sa->n_demands; i++) {
        csl_secret_free(sa->s[i]);
        sa->s[i] = NULL;
    }
    sa->n_demands = 0;
    return err;
}

static bool can_sacrifice(const struct csl_session *s, const struct csl_corr *corr, const uint32_t *rows,
                          size_t n) {
    bool good = n != 0 && n <= CSL_CHECK_MAX_ROWS && n < corr->batch && corr->n_parties == s->n_parties &&
                corr->self == s->self;
    for (size_t i = 0; i < n && good; i++) {
        good = rows[i] < corr->batch && (i == 0 || rows[i] > rows[i - 1]);
    }
    for (size_t d = 0; d < corr->n_demands && good; d++) {
        const struct csl__corr_demand *cd = &corr->demands[d];
        good = cd->words != NULL && !cd->bound;
        for (size_t row = 0; row < corr->batch && good && cd->demand.kind == CSL_DEMAND_LINEAR; row++) {
            good = (~cd->filled[row] & ((1u << cd->n_fields) - 1)) == 0;
        }
    }
    return good;
}

enum csl_err csl_check_sacrifice(struct csl_session *s, const struct csl_corr *corr, const uint32_t *rows,
                                 size_t n, const uint8_t coin[CSL_COIN_BYTES],
                                 const struct csl_epoch_keys *keys, const uint8_t mask_id[32]) {
    TRY(csl_session_error(s));
    if (!can_sacrifice(s, corr, rows, n)) {
        return csl_session_fail(s, CSL_EINTERNAL, "correlations cannot be checked: bound, used or not whole");
    }
    struct sacrifice sa = {.corr = corr, .rows = rows, .n = n, .keys = keys, .mask_id = mask_id};
    sa.rho = csl_secret_alloc(corr->batch, sizeof *sa.rho);
    enum csl_err err = sa.rho == NULL ? CSL_ENOMEM : coin_prg(&sa.coin, coin, "sacrifice");
    if (err != CSL_OK) {
        err = csl_session_fail(s, err, "no memory to check the dealer");
    }
    uint32_t layer = 0; /* step K5 numbers the linear layers */
    for (size_t d = 0; d < corr->n_demands && err == CSL_OK; d++) {
        if (corr->demands[d].demand.kind != CSL_DEMAND_LINEAR) {
            continue;
        }
        sa.layers[sa.n_demands] = layer++;
        sa.demands[sa.n_demands++] = d;
        if (sa.n_demands == CSL_ROUND_MAX_ITEMS) {
            err = two_rounds(s, &sa);
        }
    }
    if (err == CSL_OK && sa.n_demands != 0) {
        err = two_rounds(s, &sa);
    }
    csl_prg_clear(&sa.coin);
    csl_secret_free(sa.rho);
    return err;
}

/* ---- cost and worth ---- */

unsigned csl_check_path_nodes(uint32_t total) {
    unsigned n = 0;
    while (total > (uint64_t)1 << n) {
        n++;
    }
    return n;
}

static size_t linear_demands(const struct csl_demand *demands, size_t n_demands) {
    size_t n = 0;
    for (size_t d = 0; d < n_demands; d++) {
        n += demands[d].kind == CSL_DEMAND_LINEAR;
    }
    return n;
}

uint32_t csl_check_rounds(const struct csl_demand *demands, size_t n_demands) {
    size_t linear = linear_demands(demands, n_demands);
    return 3 + 2 * (uint32_t)((linear + CSL_ROUND_MAX_ITEMS - 1) / CSL_ROUND_MAX_ITEMS);
}

uint64_t csl_check_bytes(const struct csl_demand *demands, size_t n_demands, size_t n, size_t n_proof) {
    uint64_t total = CSL_SHA256_BYTES + DRAWN + (uint64_t)n * (CSL_CHECK_KEY_BYTES + n_proof);
    for (size_t d = 0; d < n_demands; d++) {
        const struct csl_demand *at = &demands[d];
        if (at->kind == CSL_DEMAND_LINEAR) { /* at most 2^6 rows of 2^24 elements of 2^6 bits */
            total += ((uint64_t)n * csl_conv_inputs(&at->conv) * at->bits + 7) / 8;
            total += ((uint64_t)n * csl_conv_outputs(&at->conv) * at->bits + 7) / 8;
        }
    }
    return total;
}

double csl_check_chance(uint32_t total, uint32_t n, uint32_t bad) {
    double missed = 1; /* C(T-t, e) / C(T, e) = product over i < e of (T - t - i) / (T - i) */
    for (uint32_t i = 0; i < n && i < total; i++) {
        missed *= total - i > bad ? (double)(total - i - bad) / (double)(total - i) : 0;
    }
    return 1 - missed;
}
