/* The check of the dealer behind its statement (docs/protocol.md C). */
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/secret.h"
#include "roles/context.h"
#include "roles/judge/evidence.h"
#include "roles/lane/dealt.h"

struct check {
    const struct csl_dealt_check *c;
    const struct csl_dealt *d;
    Csl__Audit__DealtStatement *m;
    bool is_last;
    uint32_t rows[CSL_CHECK_MAX_ROWS];
    uint8_t coin[CSL_COIN_BYTES];
    size_t n_opening, n_corrections; /* bytes */
    uint8_t *own, *opened;           /* openings: n_rows, and n_parties x n_rows */
    uint8_t *corrections;            /* of one row; NULL but at the last party */
    struct csl_evidence evidence;    /* of the row that is looked at */
};

/* ---- What we open ---- */

static enum csl_err make_tree(struct csl_merkle_tree *t, const uint8_t *leaves, uint32_t n) {
    csl_merkle_tree_init(t);
    for (uint32_t i = 0; leaves != NULL && i < n; i++) {
        TRY(csl_merkle_append(t, leaves + (size_t)i * CSL_MERKLE_BYTES));
    }
    return CSL_OK;
}

/* The path of a row, filled up with zeros. */
static enum csl_err put_path(const struct check *k, uint8_t *out, const struct csl_merkle_tree *t,
                             uint32_t row) {
    uint8_t path[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    size_t n;
    TRY(csl_merkle_inclusion(path, &n, t, row, k->d->total));
    memcpy(out, path, n * CSL_MERKLE_BYTES);
    return CSL_OK;
}

static enum csl_err put_key(const struct check *k, uint8_t *out, const struct csl_merkle_tree *t,
                            uint32_t row) {
    uint8_t seed[CSL_INDEX_SEED_BYTES];
    enum csl_err err = csl_index_seed(seed, k->c->keys, k->d->stream, k->d->first + row);
    if (err == CSL_OK) {
        memcpy(out, seed + CSL_SEED_BYTES, CSL_SEED_BYTES); /* never the matrix key: its digest */
        err = csl_sha256_once(out + CSL_SEED_BYTES, seed, CSL_SEED_BYTES);
    }
    csl_wipe(seed, sizeof seed);
    return err == CSL_OK ? put_path(k, out + CSL_CHECK_KEY_BYTES, t, row) : err;
}

static enum csl_err put_corrections(const struct check *k, uint8_t *out, const struct csl_merkle_tree *t,
                                    uint32_t row) {
    TRY(csl_corr_corrections(k->corrections, k->n_corrections, k->c->corr, row, NULL));
    TRY(csl_correction_digests(out, out + CSL_SHA256_BYTES, k->c->demands, k->c->n_demands, k->corrections,
                               k->n_corrections));
    return put_path(k, out + CSL_CHECK_KEY_BYTES, t, row);
}

static enum csl_err make_openings(struct check *k) {
    struct csl_merkle_tree seeds, corrections;
    csl_merkle_tree_init(&corrections);
    enum csl_err err = make_tree(&seeds, k->c->seed_leaves, k->d->total);
    if (err == CSL_OK) {
        err = make_tree(&corrections, k->c->correction_leaves, k->d->total);
    }
    for (size_t i = 0; i < k->c->n_rows && err == CSL_OK; i++) {
        uint8_t *out = k->own + i * k->n_opening;
        err = put_key(k, out, &seeds, k->rows[i]);
        if (err == CSL_OK && k->is_last) {
            err = put_corrections(k, out + k->n_opening / 2, &corrections, k->rows[i]);
        }
    }
    csl_merkle_tree_clear(&seeds);
    csl_merkle_tree_clear(&corrections);
    return err;
}

/* ---- What the others opened ---- */

static void take_path(struct csl_evidence_path *p, const uint8_t *in, size_t n) {
    p->n = n;
    memcpy(p->nodes, in, n * CSL_MERKLE_BYTES);
}

/* Row i of all parties as evidence. */
static void take_row(struct check *k, size_t i) {
    struct csl_evidence *e = &k->evidence;
    size_t n = csl_evidence_path_nodes(k->rows[i], k->d->total);
    const uint8_t *at = k->opened + i * k->n_opening;
    e->row = k->rows[i];
    for (unsigned p = 0; p < k->d->n_parties; p++) {
        const uint8_t *in = at + p * k->c->n_rows * k->n_opening;
        memcpy(e->keys[p].bits_key, in, 32);
        memcpy(e->keys[p].matrix_digest, in + 32, 32);
        take_path(&e->keys[p].path, in + CSL_CHECK_KEY_BYTES, n);
        if (p + 1 == k->d->n_parties) {
            in += k->n_opening / 2;
            memcpy(e->corrections_matrix, in, 32);
            memcpy(e->corrections_bits, in + 32, 32);
            take_path(&e->corrections_path, in + CSL_CHECK_KEY_BYTES, n);
        }
    }
}

static const char *dealer_name(const struct check *k) {
    return csl_roster_dealer(&k->c->ctx->roster)->name;
}

static enum csl_err check_paths(const struct check *k, struct csl_diag *diag) {
    unsigned whose;
    enum csl_err err = csl_evidence_paths(&k->evidence, k->m, &whose);
    unsigned party = whose < k->d->n_parties ? whose : k->d->n_parties - 1;
    return err != CSL_EAUTH
               ? err
               : csl_fail(diag, CSL_EPROTO,
                          "%s opened %s of counter %u that %s had not promised for it, or somebody told it "
                          "another coin than us",
                          csl_roster_party(&k->c->ctx->roster, party)->name,
                          whose < k->d->n_parties ? "a key" : "corrections", k->d->first + k->evidence.row,
                          dealer_name(k));
}

/* Proved: whoever knows the dealer's public key can verify it. */
static enum csl_err accuse(struct check *k, const struct csl_diag *why, struct csl_diag *diag) {
    char path[4096];
    struct csl_diag store = {""};
    enum csl_err err = csl_evidence_store(&k->evidence, k->c->ctx->dir, k->d->session_id, path, &store);
    return csl_fail(diag, CSL_EAUTH, "%s dealt wrong correlations: counter %u of stream %u, %.120s; %s%.250s",
                    dealer_name(k), k->d->first + k->evidence.row, k->d->stream, why->text,
                    err == CSL_OK ? "the evidence is in " : "the evidence cannot be stored: ",
                    err == CSL_OK ? path : store.text);
}

static enum csl_err check_row(struct check *k, size_t i, struct csl_diag *diag) {
    take_row(k, i);
    TRY(check_paths(k, diag));
    if (k->is_last) {
        TRY(csl_corr_corrections(k->corrections, k->n_corrections, k->c->corr, k->rows[i], diag));
        CSL_PUBLIC(k->corrections, k->n_corrections); /* looked at here, of a row that is discarded */
    }
    struct csl_diag why = {""};
    enum csl_err err =
        csl_check_bits(k->c->demands, k->c->n_demands, k->d->n_parties, k->evidence.keys[0].bits_key,
                       sizeof k->evidence.keys[0], k->evidence.corrections_bits, k->corrections, &why);
    return err == CSL_EAUTH ? accuse(k, &why, diag)
           : err != CSL_OK  ? csl_fail(diag, err, "%s", why.text)
                            : CSL_OK;
}

/* ---- The steps ---- */

static enum csl_err make_room(struct check *k) {
    size_t n = k->c->n_rows * k->n_opening;
    k->own = csl_secret_alloc(n, 1);
    k->opened = calloc(k->d->n_parties, n);
    k->corrections = k->is_last ? csl_secret_alloc(k->n_corrections, 1) : NULL;
    k->evidence.demands = malloc(k->c->n_demands * sizeof *k->evidence.demands);
    if (k->own == NULL || k->opened == NULL || (k->is_last && k->corrections == NULL) ||
        k->evidence.demands == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(k->evidence.demands, k->c->demands, k->c->n_demands * sizeof *k->evidence.demands);
    k->evidence.n_demands = k->c->n_demands;
    k->evidence.n_parties = k->d->n_parties;
    const struct csl_signed *s = k->c->statement;
    return csl_signed_copy(&k->evidence.dealt, s->statement, s->n, s->signature);
}

static enum csl_err choose(struct check *k, struct csl_diag *diag) {
    const char *names[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < k->d->n_parties; i++) {
        names[i] = csl_roster_party(&k->c->ctx->roster, i)->name;
    }
    enum csl_err err = csl_check_toss(k->c->session, k->coin, names);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "%s", k->c->session->diag.text);
    }
    return csl_check_choose(k->rows, k->c->n_rows, k->d->total, k->coin);
}

static enum csl_err sacrifice(const struct check *k, struct csl_diag *diag) {
    enum csl_err err = csl_check_sacrifice(k->c->session, k->c->corr, k->rows, k->c->n_rows, k->coin,
                                           k->c->keys, k->c->mask_id);
    if (err == CSL_EAUTH) {
        return csl_fail(diag, err,
                        "%s dealt wrong correlations, or a party did not follow the check of them: counters "
                        "%u to %u of stream %u, %s",
                        dealer_name(k), k->d->first, k->d->first + k->d->total - 1, k->d->stream,
                        k->c->session->diag.text);
    }
    return err == CSL_OK ? CSL_OK : csl_fail(diag, err, "%s", k->c->session->diag.text);
}

static enum csl_err run(struct check *k, struct csl_diag *diag) {
    TRY(csl_dealt_statement_decode(&k->m, k->c->statement->statement, k->c->statement->n, diag));
    TRY(make_room(k));
    TRY(choose(k, diag)); /* C1, C2 */
    TRY(make_openings(k));
    enum csl_err err =
        csl_check_open(k->c->session, k->opened, k->own, k->c->n_rows, k->n_opening - CSL_CHECK_KEY_BYTES);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "%s", k->c->session->diag.text);
    }
    for (size_t i = 0; i < k->c->n_rows; i++) {
        TRY(check_row(k, i, diag)); /* C3 */
    }
    TRY(sacrifice(k, diag)); /* C4 */
    return csl_corr_discard(k->c->corr, k->rows, k->c->n_rows, diag);
}

enum csl_err csl_dealt_check(const struct csl_dealt_check *c, uint32_t *rows, struct csl_diag *diag) {
    if (c->n_rows == 0 || c->n_rows > CSL_CHECK_MAX_ROWS || c->n_rows >= c->dealt->total) {
        return csl_fail(diag, CSL_EINTERNAL, "%zu of %u correlations cannot be checked", c->n_rows,
                        c->dealt->total);
    }
    struct check *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory to check the dealer");
    }
    k->c = c;
    k->d = c->dealt;
    k->is_last = c->correction_leaves != NULL;
    k->n_opening = csl_dealt_opening_bytes(c->dealt->total);
    k->n_corrections = csl_correction_bytes(c->demands, c->n_demands);
    struct csl_diag why = {""};
    enum csl_err err = run(k, &why);
    if (err != CSL_OK) {
        (void)csl_fail(diag, err, "%s", why.text[0] != '\0' ? why.text : csl_err_text(err));
    }
    memcpy(rows, k->rows, c->n_rows * sizeof *rows);
    csl_statement_free(k->m);
    csl_evidence_clear(&k->evidence);
    csl_secret_free(k->own);
    csl_secret_free(k->corrections);
    free(k->opened);
    free(k);
    return err;
}
