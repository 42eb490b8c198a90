/* What the dealer signs, and evidence of wrong bits: it convicts a dealer that dealt them, and no other. */
#include "roles/judge/evidence.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "mpc/dealer.h"
#include "roles/context.h"
#include "roles/lane/dealt.h"
#include "roles/message.h"

enum { N = 3, T = 5, DEMANDS = 3, BAD = 2 };

/* A dealer that dealt T rows; of row BAD one bit was flipped at `flip` (SIZE_MAX: none). */
struct dealer {
    EVP_PKEY *key;
    struct csl_member member;
    struct csl_demand demands[DEMANDS];
    struct csl_dealt dealt;
    struct csl_epoch_keys keys[N];
    uint8_t seed_leaves[N * T * 32], correction_leaves[T * 32];
    uint8_t *corrections;
    size_t chunk;
    struct csl_signed s;
};

static void deal(struct dealer *d, size_t flip) {
    uint8_t seeds[T * N * CSL_INDEX_SEED_BYTES];
    uint64_t b[6] = {1, 2, 3, 4, 5, 6};
    const uint64_t *masks[DEMANDS] = {b, NULL, NULL};
    for (uint32_t row = 0; row < T; row++) {
        for (unsigned p = 0; p < N; p++) {
            uint8_t *seed = seeds + (row * N + p) * CSL_INDEX_SEED_BYTES;
            assert_int_equal(csl_index_seed(seed, &d->keys[p], 9, 100 + row), CSL_OK);
            assert_int_equal(csl_dealt_seed_leaf(d->seed_leaves + (p * T + row) * 32, seed), CSL_OK);
        }
    }
    assert_int_equal(
        csl_dealer_corrections(d->corrections, T * d->chunk, d->demands, DEMANDS, N, seeds, masks, T, NULL),
        CSL_OK);
    if (flip != SIZE_MAX) {
        d->corrections[BAD * d->chunk + flip] ^= 1;
    }
    for (uint32_t row = 0; row < T; row++) {
        assert_int_equal(csl_dealt_corrections_leaf(d->correction_leaves + row * 32, d->demands, DEMANDS,
                                                    d->corrections + row * d->chunk, d->chunk),
                         CSL_OK);
    }
    csl_signed_clear(&d->s);
    assert_int_equal(csl_dealt_sign(&d->s, &d->dealt, d->seed_leaves, d->correction_leaves, d->key, NULL),
                     CSL_OK);
}

static void dealer_init(struct dealer *d, size_t flip) {
    memset(d, 0, sizeof *d);
    d->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(d->key);
    (void)snprintf(d->member.name, sizeof d->member.name, "dealer");
    d->member.sign_key = d->key;
    d->demands[0] = csl_demand_linear(3, 2, 20);
    d->demands[1] = csl_demand_relu(9, 10, 4, 20);
    d->demands[2] = csl_demand_trunc(4, 10, 3, 20);
    d->dealt = (struct csl_dealt){.stream = 9, .first = 100, .total = T, .n_parties = N};
    memset(d->dealt.session_id, 1, 16);
    memset(d->dealt.epoch_id, 2, 32);
    memset(d->dealt.package_digest, 3, 32);
    assert_int_equal(csl_demands_digest(d->dealt.demands_digest, d->demands, DEMANDS), CSL_OK);
    for (unsigned p = 0; p < N; p++) {
        memset(&d->keys[p], (int)p + 40, sizeof d->keys[p]);
    }
    d->chunk = csl_correction_bytes(d->demands, DEMANDS);
    d->corrections = malloc(T * d->chunk);
    assert_non_null(d->corrections);
    deal(d, flip);
}

static void dealer_clear(struct dealer *d) {
    EVP_PKEY_free(d->key);
    csl_signed_clear(&d->s);
    free(d->corrections);
}

/* The first byte of the corrections that are not of a linear demand. */
static size_t first_bits(const struct dealer *d) {
    return csl_correction_bytes(d->demands, 1);
}

static void path_of(struct csl_evidence_path *out, const uint8_t *leaves, uint32_t row) {
    struct csl_merkle_tree t;
    uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    csl_merkle_tree_init(&t);
    for (size_t i = 0; i < T; i++) {
        assert_int_equal(csl_merkle_append(&t, leaves + i * 32), CSL_OK);
    }
    assert_int_equal(csl_merkle_inclusion(proof, &out->n, &t, row, T), CSL_OK);
    assert_int_equal(out->n, csl_evidence_path_nodes(row, T));
    memcpy(out->nodes, proof, out->n * 32);
    csl_merkle_tree_clear(&t);
}

/* What honest parties put together of a row that they opened. */
static void gather(struct csl_evidence *e, const struct dealer *d, uint32_t row) {
    memset(e, 0, sizeof *e);
    assert_int_equal(csl_signed_copy(&e->dealt, d->s.statement, d->s.n, d->s.signature), CSL_OK);
    e->row = row;
    e->n_parties = N;
    e->n_demands = DEMANDS;
    e->demands = malloc(sizeof d->demands);
    assert_non_null(e->demands);
    memcpy(e->demands, d->demands, sizeof d->demands);
    for (unsigned p = 0; p < N; p++) {
        uint8_t seed[CSL_INDEX_SEED_BYTES];
        assert_int_equal(csl_index_seed(seed, &d->keys[p], 9, 100 + row), CSL_OK);
        memcpy(e->keys[p].bits_key, seed + 32, 32);
        assert_int_equal(csl_sha256_once(e->keys[p].matrix_digest, seed, 32), CSL_OK);
        path_of(&e->keys[p].path, d->seed_leaves + (size_t)p * T * 32, row);
    }
    assert_int_equal(csl_correction_digests(e->corrections_matrix, e->corrections_bits, d->demands, DEMANDS,
                                            d->corrections + row * d->chunk, d->chunk),
                     CSL_OK);
    path_of(&e->corrections_path, d->correction_leaves, row);
}

static enum csl_err judge(const struct csl_evidence *e, const struct dealer *d, struct csl_diag *diag) {
    struct csl_diag finding = {""};
    enum csl_err err = csl_evidence_verify(e, d->key, &finding, diag);
    assert_true((err == CSL_OK) == (strstr(finding.text, "do not follow") != NULL));
    return err;
}

static void wrong_bits_convict(void **state) {
    (void)state;
    struct dealer d, other;
    struct csl_evidence e;
    struct csl_diag diag = {""}, finding = {""};
    dealer_init(&other, SIZE_MAX);
    dealer_init(&d, SIZE_MAX);
    for (size_t flip = first_bits(&d); flip < d.chunk; flip += 3) { /* in every field, in time */
        deal(&d, flip);
        for (uint32_t row = 0; row < T; row++) {
            gather(&e, &d, row);
            assert_int_equal(judge(&e, &d, &diag), row == BAD ? CSL_OK : CSL_EAUTH);
            assert_int_equal(csl_evidence_verify(&e, other.key, &finding, &diag), CSL_EAUTH);
            csl_evidence_clear(&e);
        }
    }
    /* wrong products are no matter of keys that were opened */
    deal(&d, 0);
    gather(&e, &d, BAD);
    assert_int_equal(judge(&e, &d, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "are right"));
    csl_evidence_clear(&e);
    dealer_clear(&d);
    dealer_clear(&other);
}

/* Everything that somebody could put together of what an honest dealer signed, in two batches. */
static void an_honest_dealer_cannot_be_framed(void **state) {
    (void)state;
    struct dealer d;
    struct csl_evidence e, f;
    struct csl_diag diag = {""};
    dealer_init(&d, SIZE_MAX);
    for (uint32_t row = 0; row < T; row++) {
        gather(&e, &d, row);
        assert_int_equal(judge(&e, &d, &diag), CSL_EAUTH);
        for (uint32_t with = 0; with < T; with++) { /* keys and corrections of different rows */
            gather(&f, &d, with);
            struct csl_evidence mixed = e;
            memcpy(mixed.keys, f.keys, sizeof mixed.keys);
            assert_int_equal(judge(&mixed, &d, &diag), CSL_EAUTH);
            mixed = e;
            mixed.keys[1] = f.keys[1];
            assert_int_equal(judge(&mixed, &d, &diag), CSL_EAUTH);
            mixed = e;
            mixed.row = with;
            assert_int_equal(judge(&mixed, &d, &diag), CSL_EAUTH);
            csl_evidence_clear(&f);
        }
        struct csl_evidence swapped = e; /* parties */
        swapped.keys[0] = e.keys[1];
        swapped.keys[1] = e.keys[0];
        assert_int_equal(judge(&swapped, &d, &diag), CSL_EAUTH);
        swapped = e;
        swapped.n_parties = 2;
        assert_int_equal(judge(&swapped, &d, &diag), CSL_EAUTH);
        swapped = e; /* another key that the accuser made up, with the digest that goes with it */
        memset(swapped.keys[0].bits_key, 7, 32);
        assert_int_equal(judge(&swapped, &d, &diag), CSL_EAUTH);
        assert_non_null(strstr(diag.text, "key of party 0"));
        swapped = e; /* corrections that it was not dealt */
        memset(swapped.corrections_bits, 7, 32);
        assert_int_equal(judge(&swapped, &d, &diag), CSL_EAUTH);
        e.demands[1].trunc.f++; /* another plan than it was asked for */
        e.demands[1].trunc.k--;
        e.demands[1].trunc = csl_trunc_params_default(9, 5, 20);
        assert_int_equal(judge(&e, &d, &diag), CSL_EAUTH);
        assert_non_null(strstr(diag.text, "another plan"));
        csl_evidence_clear(&e);
    }
    gather(&e, &d, 1); /* signed for something else */
    assert_int_equal(csl_statement_sign_bytes(e.dealt.signature, CSL_STATEMENT_HEAD, e.dealt.statement,
                                              e.dealt.n, d.key, NULL),
                     CSL_OK);
    assert_int_equal(judge(&e, &d, &diag), CSL_EAUTH);
    csl_evidence_clear(&e);
    dealer_clear(&d);
}

/* A file with any byte changed, or torn off anywhere, convicts nobody, of an honest dealer's and a guilty
 * one's. */
static void changed_files_prove_nothing(void **state) {
    (void)state;
    for (int guilty = 0; guilty < 2; guilty++) {
        struct dealer d;
        struct csl_evidence e, got;
        struct csl_diag diag = {""};
        uint8_t *bytes;
        size_t n;
        dealer_init(&d, SIZE_MAX);
        deal(&d, guilty ? first_bits(&d) : SIZE_MAX);
        gather(&e, &d, BAD);
        assert_int_equal(csl_evidence_encode(&bytes, &n, &e), CSL_OK);
        assert_int_equal(csl_evidence_decode(&got, bytes, n, &diag), CSL_OK);
        assert_int_equal(judge(&got, &d, &diag), guilty ? CSL_OK : CSL_EAUTH);
        csl_evidence_clear(&got);
        for (size_t i = 0; i < n; i++) {
            bytes[i] ^= (uint8_t)(1u << i % 8);
            enum csl_err err = csl_evidence_decode(&got, bytes, n, &diag);
            if (err == CSL_OK) {
                assert_int_equal(judge(&got, &d, &diag), CSL_EAUTH);
                csl_evidence_clear(&got);
            } else {
                assert_int_equal(err, CSL_EDATA);
            }
            assert_int_equal(csl_evidence_decode(&got, bytes, i, &diag), CSL_EDATA);
            bytes[i] ^= (uint8_t)(1u << i % 8);
        }
        free(bytes);
        csl_evidence_clear(&e);
        dealer_clear(&d);
    }
}

static void evidence_is_stored(void **state) {
    (void)state;
    struct dealer d;
    struct csl_evidence e, got;
    struct csl_diag diag = {""};
    char dir[] = "/tmp/evidence-XXXXXX", path[4096], sub[64];
    uint8_t id[16] = {0xab, 1};
    dealer_init(&d, SIZE_MAX);
    deal(&d, first_bits(&d));
    gather(&e, &d, BAD);
    assert_non_null(mkdtemp(dir));
    assert_int_not_equal(csl_evidence_store(&e, dir, id, path, &diag), CSL_OK); /* no state there */
    (void)snprintf(sub, sizeof sub, "%s/state", dir);
    assert_int_equal(mkdir(sub, 0700), 0);
    assert_int_equal(csl_evidence_store(&e, dir, id, path, &diag), CSL_OK);
    assert_int_equal(csl_evidence_store(&e, dir, id, NULL, &diag), CSL_OK); /* again: the newer one */
    assert_non_null(strstr(path, "/state/evidence/ab010000000000000000000000000000.evidence"));
    assert_int_equal(csl_evidence_load(&got, path, &diag), CSL_OK);
    assert_int_equal(judge(&got, &d, &diag), CSL_OK);
    csl_evidence_clear(&got);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(csl_evidence_load(&got, path, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(csl_evidence_load(&got, path, &diag), CSL_ENOINPUT);
    (void)snprintf(path, sizeof path, "%s/state/evidence", dir);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(sub), 0);
    assert_int_equal(rmdir(dir), 0);
    csl_evidence_clear(&e);
    dealer_clear(&d);
}

/* ---- On receipt ---- */

static enum csl_err receive(const struct dealer *d, const struct csl_dealt *want, unsigned self,
                            struct csl_diag *diag) {
    return csl_dealt_verify(&d->s, want, self, d->seed_leaves + (size_t)self * T * 32,
                            self + 1 == N ? d->correction_leaves : NULL, &d->member, diag);
}

static void statements_are_held_to_what_came(void **state) {
    (void)state;
    struct dealer d;
    struct csl_diag diag = {""};
    dealer_init(&d, SIZE_MAX);
    for (unsigned p = 0; p < N; p++) {
        assert_int_equal(receive(&d, &d.dealt, p, &diag), CSL_OK);
    }
    static const char *const names[] = {"session", "epoch",         "package", "plan",
                                        "stream",  "first counter", "count"};
    for (size_t i = 0; i < 7; i++) {
        struct csl_dealt want = d.dealt;
        uint32_t *numbers[] = {&want.stream, &want.first, &want.total};
        uint8_t *digests[] = {want.session_id, want.epoch_id, want.package_digest, want.demands_digest};
        if (i < 4) {
            digests[i][15] ^= 1;
        } else {
            --*numbers[i - 4];
        }
        assert_int_equal(receive(&d, &want, 0, &diag), CSL_EAUTH);
        assert_non_null(strstr(diag.text, "dealer"));
        assert_non_null(strstr(diag.text, names[i]));
    }
    d.seed_leaves[T * 32 + 3] ^= 1; /* of party 1 */
    assert_int_equal(receive(&d, &d.dealt, 0, &diag), CSL_OK);
    assert_int_equal(receive(&d, &d.dealt, 1, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "seeds"));
    d.correction_leaves[0] ^= 1;
    assert_int_equal(receive(&d, &d.dealt, 2, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "corrections that we hold"));
    d.s.signature[5] ^= 1;
    assert_int_equal(receive(&d, &d.dealt, 0, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "dealer"));
    dealer_clear(&d);
}

static void records_are_strict(void **state) {
    (void)state;
    struct dealer d;
    struct csl_signed got;
    struct csl_diag diag = {""};
    uint8_t record[CSL_DEALT_RECORD_BYTES];
    dealer_init(&d, SIZE_MAX);
    assert_int_equal(csl_dealt_to_record(record, &d.s), CSL_OK);
    assert_int_equal(csl_dealt_from_record(&got, record, &diag), CSL_OK);
    assert_int_equal(got.n, d.s.n);
    assert_memory_equal(got.statement, d.s.statement, got.n);
    assert_memory_equal(got.signature, d.s.signature, sizeof got.signature);
    csl_signed_clear(&got);
    record[CSL_DEALT_RECORD_BYTES - 1] = 1; /* behind the signature */
    assert_int_equal(csl_dealt_from_record(&got, record, &diag), CSL_EPROTO);
    record[CSL_DEALT_RECORD_BYTES - 1] = 0;
    const uint32_t lengths[] = {0, CSL_DEALT_RECORD_BYTES - 4 - 64 + 1, UINT32_MAX, UINT32_MAX - 67};
    for (size_t i = 0; i < 4; i++) {
        csl_store_u32(record, lengths[i]);
        assert_int_equal(csl_dealt_from_record(&got, record, &diag), CSL_EPROTO);
    }
    const struct csl_signed none = {NULL, 0, {0}}, large = {d.s.statement, CSL_DEALT_RECORD_BYTES, {0}};
    assert_int_equal(csl_dealt_to_record(record, &none), CSL_EPROTO);
    assert_int_equal(csl_dealt_to_record(record, &large), CSL_EPROTO);
    /* with all parties that there may be, it fits */
    uint8_t *leaves = calloc(CSL_MAX_PARTIES * T, 32);
    assert_non_null(leaves);
    d.dealt.n_parties = CSL_MAX_PARTIES;
    d.dealt.stream = d.dealt.first = UINT32_MAX - T;
    assert_int_equal(csl_dealt_sign(&got, &d.dealt, leaves, leaves, d.key, NULL), CSL_OK);
    assert_int_equal(csl_dealt_to_record(record, &got), CSL_OK);
    csl_signed_clear(&got);
    free(leaves);
    dealer_clear(&d);
}

static void paths_have_their_length(void **state) {
    (void)state;
    struct csl_merkle_tree t;
    uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES], leaf[32] = {0};
    size_t n;
    csl_merkle_tree_init(&t);
    for (uint32_t size = 1; size <= 70; size++) {
        assert_int_equal(csl_merkle_append(&t, leaf), CSL_OK);
        for (uint32_t i = 0; i < size; i++) {
            assert_int_equal(csl_merkle_inclusion(proof, &n, &t, i, size), CSL_OK);
            assert_int_equal(csl_evidence_path_nodes(i, size), n);
            assert_true(n <= csl_check_path_nodes(size));
        }
    }
    csl_merkle_tree_clear(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_bits_convict),
        cmocka_unit_test(an_honest_dealer_cannot_be_framed),
        cmocka_unit_test(changed_files_prove_nothing),
        cmocka_unit_test(evidence_is_stored),
        cmocka_unit_test(statements_are_held_to_what_came),
        cmocka_unit_test(records_are_strict),
        cmocka_unit_test(paths_have_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
