/* Transactions of every type, as an independent implementation signs them and as nodes show them. */
#include "tests/chain/chain_test.h"

#include "chain/account.h"
#include "chain/contract_internal.h"
#include "chain/rlp.h"
#include "chain/signed_tx.h"
#include "tests/chain/vectors.h"

enum { N_VECTORS = sizeof evidence_vectors / sizeof evidence_vectors[0] };

static enum csl_err sender_of(char text[CSL_ADDRESS_ROOM], const struct csl_signed_tx *e) {
    uint8_t sender[CSL_ADDRESS_BYTES];
    enum csl_err err = csl_account_recover(sender, e->sig.rs, e->sig.parity, e->signing_hash);
    if (err == CSL_OK) {
        csl_address_text(text, sender);
    }
    return err;
}

static void every_type(void **state) {
    (void)state;
    for (size_t i = 0; i < N_VECTORS; i++) {
        const struct evidence_vector *v = &evidence_vectors[i];
        struct csl_signed_tx e;
        char sender[CSL_ADDRESS_ROOM];
        uint8_t hash[CSL_HASH_BYTES];
        size_t n = 0;
        uint8_t *raw = from_hex(v->raw, &n);
        assert_ok(csl_signed_tx_decode(&e, raw, n, NULL));
        assert_int_equal(e.type, v->type);
        assert_int_equal(e.chain_id, v->chain_id);
        assert_int_equal(e.any_chain, v->chain_id == 0);
        assert_int_equal(e.creates, v->creates);
        assert_int_equal(e.pays, v->pays);
        assert_int_equal(e.nonce, 4);
        assert_int_equal(e.gas_limit, 150000);
        assert_int_equal(e.n_data, v->n_data);
        for (size_t k = 0; k < e.n_data; k++) {
            assert_int_equal(e.data[k], (7 * k + 1) & 255);
        }
        assert_hex(e.signing_hash, sizeof e.signing_hash, v->signing_hash);
        assert_ok(sender_of(sender, &e));
        assert_string_equal(sender, v->sender);
        csl_tx_hash(hash, raw, n);
        assert_hex(hash, sizeof hash, v->hash);
        free(raw);
    }
}

/* The same bytes from a node's fields, which must have the hash that was asked for. */
static void from_a_nodes_fields(void **state) {
    (void)state;
    for (size_t i = 0; i < N_VECTORS; i++) {
        const struct evidence_vector *v = &evidence_vectors[i];
        uint8_t hash[CSL_HASH_BYTES], *raw = NULL;
        size_t n = 0;
        bool found = false;
        struct csl_diag diag = {""};
        json_t *json = json_loads(v->json, 0, NULL);
        assert_non_null(json);
        assert_true(csl_hex0x_parse(hash, sizeof hash, v->hash));
        assert_ok(csl__take_raw(&raw, &n, &found, hash, json, &diag));
        assert_true(found);
        assert_hex(raw, n, v->raw);
        free(raw);
        assert_int_equal(json_object_set_new(json, "nonce", json_string("0x5")), 0);
        assert_int_equal(csl__take_raw(&raw, &n, &found, hash, json, &diag), CSL_EPROTO);
        assert_non_null(strstr(diag.text, "its hash"));
        assert_false(found);
        assert_null(raw);
        json_decref(json);
    }
}

static void fields_that_are_missing(void **state) {
    (void)state;
    static const char *const needed[] = {"nonce", "gas", "value", "input", "r", "s"};
    static const char *const typed[] = {"chainId", "accessList", "maxFeePerGas", "maxPriorityFeePerGas"};
    const uint8_t hash[CSL_HASH_BYTES] = {0};
    for (size_t i = 0; i < N_VECTORS; i++) {
        size_t n_typed = evidence_vectors[i].type < 2 ? 0 : sizeof typed / sizeof typed[0];
        for (size_t k = 0; k < sizeof needed / sizeof needed[0] + n_typed; k++) {
            uint8_t *raw = NULL;
            size_t n = 0, n_needed = sizeof needed / sizeof needed[0];
            bool found = false;
            const char *field = k < n_needed ? needed[k] : typed[k - n_needed];
            struct csl_diag diag = {""};
            json_t *json = json_loads(evidence_vectors[i].json, 0, NULL);
            assert_int_equal(json_object_del(json, field), 0);
            assert_int_equal(csl__take_raw(&raw, &n, &found, hash, json, &diag), CSL_EPROTO);
            assert_non_null(strstr(diag.text, field));
            assert_null(raw);
            json_decref(json);
        }
    }
    static const char *const bad[] = {
        "{\"type\":\"0x5\"}", "{\"type\":\"0x7e\"}", "{\"type\":2}", "[]", "3", "\"0x\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t *raw = NULL;
        size_t n = 0;
        bool found = false;
        json_t *json = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        assert_int_equal(csl__take_raw(&raw, &n, &found, hash, json, NULL), CSL_EPROTO);
        json_decref(json);
    }
}

/* Every truncation, and every byte changed: refused, or another sender. */
static void broken_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < N_VECTORS; i += 2) {
        size_t n = 0;
        uint8_t *raw = from_hex(evidence_vectors[i].raw, &n);
        struct csl_signed_tx e;
        char sender[CSL_ADDRESS_ROOM];
        for (size_t cut = 0; cut < n; cut++) {
            assert_int_equal(csl_signed_tx_decode(&e, raw, cut, NULL), CSL_EDATA);
        }
        for (size_t at = 0; at < n; at++) {
            raw[at] ^= (uint8_t)(1 << at % 8);
            if (csl_signed_tx_decode(&e, raw, n, NULL) == CSL_OK && sender_of(sender, &e) == CSL_OK) {
                assert_string_not_equal(sender, evidence_vectors[i].sender);
            }
            raw[at] ^= (uint8_t)(1 << at % 8);
        }
        uint8_t *longer = malloc(n + 1);
        assert_non_null(longer);
        memcpy(longer, raw, n);
        longer[n] = 0;
        assert_int_equal(csl_signed_tx_decode(&e, longer, n + 1, NULL), CSL_EDATA);
        free(longer);
        free(raw);
    }
}

/* ---- What no chain takes ---- */

struct odd {
    uint64_t nonce, tip, fee;
    size_t n_to, n_blob, n_authorizations;
    uint8_t blob_version;
};

/* A transaction of that type, of otherwise good fields; the signature plays no part. */
static size_t build(uint8_t raw[512], unsigned type, const struct odd *o) {
    uint8_t items[400], inner[200], one[100], word[32] = {o->blob_version};
    struct csl_writer w = csl_writer_of(items, sizeof items), whole = csl_writer_of(raw, 512);
    csl_rlp_put_u64(&w, 7);
    csl_rlp_put_u64(&w, o->nonce);
    csl_rlp_put_u64(&w, o->tip);
    csl_rlp_put_u64(&w, o->fee);
    csl_rlp_put_u64(&w, 100000);
    csl_rlp_put_bytes(&w, word, o->n_to);
    csl_rlp_put_u64(&w, 0);
    csl_rlp_put_bytes(&w, NULL, 0);
    csl_rlp_put_list(&w, 0);
    struct csl_writer list = csl_writer_of(inner, sizeof inner);
    if (type == 3) {
        csl_rlp_put_u64(&w, 1);
        for (size_t i = 0; i < o->n_blob; i++) {
            csl_rlp_put_bytes(&list, word, sizeof word);
        }
    }
    for (size_t i = 0; type == 4 && i < o->n_authorizations; i++) {
        struct csl_writer a = csl_writer_of(one, sizeof one);
        csl_rlp_put_u64(&a, 7);
        csl_rlp_put_bytes(&a, word, CSL_ADDRESS_BYTES);
        for (uint64_t k = 0; k < 4; k++) {
            csl_rlp_put_u64(&a, k);
        }
        csl_rlp_put_list(&list, a.n);
        csl_writer_bytes(&list, one, a.n);
    }
    if (type >= 3) {
        csl_rlp_put_list(&w, list.n);
        csl_writer_bytes(&w, inner, list.n);
    }
    csl_rlp_put_u64(&w, 1);
    csl_rlp_put_u64(&w, 5);
    csl_rlp_put_u64(&w, 6);
    csl_writer_u8(&whole, (uint8_t)type);
    csl_rlp_put_list(&whole, w.n);
    csl_writer_bytes(&whole, items, w.n);
    assert_false(w.bad || whole.bad || list.bad);
    return whole.n;
}

static void no_chain_takes_these(void **state) {
    (void)state;
    const struct odd good = {
        .tip = 2, .fee = 3, .n_to = CSL_ADDRESS_BYTES, .n_blob = 2, .n_authorizations = 2, .blob_version = 1};
    for (unsigned type = 2; type <= 5; type++) {
        const struct {
            struct odd is;
            bool ok;
        } all[] = {{good, true},
                   {{UINT64_MAX, 2, 3, CSL_ADDRESS_BYTES, 2, 2, 1}, false},
                   {{0, 4, 3, CSL_ADDRESS_BYTES, 2, 2, 1}, false},
                   {{0, 3, 3, CSL_ADDRESS_BYTES, 2, 2, 1}, true},
                   {{0, 2, 3, 19, 2, 2, 1}, false},
                   {{0, 2, 3, 0, 2, 2, 1}, type == 2},
                   {{0, 2, 3, CSL_ADDRESS_BYTES, 0, 2, 1}, type != 3},
                   {{0, 2, 3, CSL_ADDRESS_BYTES, 2, 2, 2}, type != 3},
                   {{0, 2, 3, CSL_ADDRESS_BYTES, 2, 0, 1}, type != 4}};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            uint8_t raw[512];
            struct csl_signed_tx e;
            size_t n = build(raw, type, &all[i].is);
            assert_int_equal(csl_signed_tx_decode(&e, raw, n, NULL),
                             all[i].ok && type < 5 ? CSL_OK : CSL_EDATA);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(from_a_nodes_fields),
        cmocka_unit_test(fields_that_are_missing),
        cmocka_unit_test(broken_bytes),
        cmocka_unit_test(no_chain_takes_these),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
