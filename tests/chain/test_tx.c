/* Transactions and accounts: published and foreign vectors, and whatever a signer could get wrong. */
#include "tests/chain/chain_test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "chain/account.h"
#include "chain/rlp.h"
#include "chain/tx.h"
#include "tests/chain/vectors.h"

enum { N_VECTORS = sizeof tx_vectors / sizeof tx_vectors[0] };

/* A vector as our struct; *data is freed by the caller. */
static struct csl_tx tx_of(const struct tx_vector *v, uint8_t **data) {
    uint8_t value[16];
    struct csl_tx tx = {.chain_id = v->chain_id,
                        .nonce = v->nonce,
                        .gas_limit = v->gas_limit,
                        .max_fee = v->max_fee,
                        .max_priority = v->max_priority,
                        .legacy = v->legacy,
                        .creates = v->to == NULL};
    *data = from_hex(v->data, &tx.n_data);
    tx.data = *data;
    assert_true(csl_hex0x_parse(value, sizeof value, v->value));
    for (size_t i = 0; i < sizeof value; i++) {
        tx.value = tx.value << 8 | value[i];
    }
    if (v->to != NULL) {
        assert_ok(csl_address_parse(tx.to, v->to, NULL));
    }
    return tx;
}

static struct csl_account *account_of(const char *hex) {
    uint8_t key[CSL_ACCOUNT_KEY_BYTES];
    struct csl_account *a = NULL;
    assert_true(csl_hex0x_parse(key, sizeof key, hex));
    assert_ok(csl_account_from_key(&a, key, NULL));
    return a;
}

/* EIP-155's example, byte by byte. */
static void eip155(void **state) {
    struct csl_tx tx = {.chain_id = 1,
                        .nonce = 9,
                        .gas_limit = 21000,
                        .max_fee = 20000000000,
                        .value = 1000000000000000000,
                        .legacy = true};
    uint8_t hash[CSL_HASH_BYTES], *raw = NULL;
    size_t n = 0;
    (void)state;
    memset(tx.to, 0x35, sizeof tx.to);
    assert_ok(csl_tx_signing_hash(hash, &tx, NULL));
    assert_hex(hash, sizeof hash, "0xdaf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53");
    struct csl_account *a = account_of("0x4646464646464646464646464646464646464646464646464646464646464646");
    assert_ok(csl_tx_sign(&raw, &n, hash, &tx, a, NULL));
    assert_hex(
        raw, n,
        "0xf86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61"
        "340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9"
        "f3dc64214b297fb1966a3b6d83");
    free(raw);
    csl_account_free(a);
}

/* Signed as ethers signs (RFC 6979), and read back. */
static void another_implementation(void **state) {
    (void)state;
    for (size_t i = 0; i < N_VECTORS; i++) {
        const struct tx_vector *v = &tx_vectors[i];
        uint8_t *data = NULL, *raw = NULL, hash[CSL_HASH_BYTES], sender[CSL_ADDRESS_BYTES];
        size_t n = 0;
        char text[CSL_ADDRESS_ROOM];
        struct csl_tx tx = tx_of(v, &data), got;
        struct csl_tx_signature sig;
        struct csl_account *a = account_of(v->key);
        csl_address_text(text, csl_account_address(a));
        assert_string_equal(text, v->address);
        assert_ok(csl_tx_signing_hash(hash, &tx, NULL));
        assert_hex(hash, sizeof hash, v->signing_hash);
        assert_ok(csl_tx_sign(&raw, &n, hash, &tx, a, NULL));
        assert_hex(raw, n, v->raw);
        assert_hex(hash, sizeof hash, v->hash);
        assert_ok(csl_tx_decode(&got, &sig, raw, n, NULL));
        assert_ok(csl_tx_compare(&got, &tx, NULL));
        assert_ok(csl_tx_sender(sender, raw, n, NULL));
        assert_memory_equal(sender, csl_account_address(a), sizeof sender);
        csl_account_free(a);
        free(raw);
        free(data);
    }
}

/* Every truncation, and every byte changed: it is refused, or another transaction or sender. Never the same.
 */
static void broken_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < N_VECTORS; i += 2) {
        size_t n = 0, n_more = 0;
        uint8_t *raw = from_hex(tx_vectors[i].raw, &n), *more = from_hex(tx_vectors[i].raw, &n_more);
        uint8_t want[CSL_ADDRESS_BYTES], got[CSL_ADDRESS_BYTES];
        struct csl_tx tx, other;
        struct csl_tx_signature sig;
        assert_ok(csl_tx_decode(&tx, &sig, more, n_more, NULL));
        assert_ok(csl_tx_sender(want, more, n_more, NULL));
        for (size_t cut = 0; cut < n; cut++) {
            assert_int_equal(csl_tx_decode(&other, &sig, raw, cut, NULL), CSL_EDATA);
        }
        for (size_t at = 0; at < n; at++) {
            raw[at] ^= (uint8_t)(1 << at % 8);
            if (csl_tx_decode(&other, &sig, raw, n, NULL) == CSL_OK &&
                csl_tx_compare(&other, &tx, NULL) == CSL_OK && csl_tx_sender(got, raw, n, NULL) == CSL_OK) {
                assert_memory_not_equal(got, want, sizeof got);
            }
            raw[at] ^= (uint8_t)(1 << at % 8);
        }
        free(raw);
        free(more);
    }
}

static uint8_t *longer(const uint8_t *raw, size_t n) {
    uint8_t *p = malloc(n + 1);
    assert_non_null(p);
    memcpy(p, raw, n);
    p[n] = 0;
    return p;
}

static void not_transactions(void **state) {
    static const char *const bad[] = {
        "0x02", "0x02c0", "0xc0", "0x01c0", "0x03c0", "0x80", "0x02f8",
        /* EIP-155's example with v = 27: it would be good on every chain */
        "0xf86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a7640000801ba028ef61"
        "340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9"
        "f3dc64214b297fb1966a3b6d83",
        /* the same with a recipient of 19 bytes */
        "0xf86b098504a817c8008252089335353535353535353535353535353535353535880de0b6b3a76400008025a028ef61"
        "340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9"
        "f3dc64214b297fb1966a3b6d83"};
    struct csl_tx tx;
    struct csl_tx_signature sig;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t n = 0;
        uint8_t *p = from_hex(bad[i], &n);
        assert_int_equal(csl_tx_decode(&tx, &sig, p, n, NULL), CSL_EDATA);
        free(p);
    }
    size_t n = 0;
    uint8_t *raw = from_hex(tx_vectors[1].raw, &n), *more = longer(raw, n);
    assert_int_equal(csl_tx_decode(&tx, &sig, more, n + 1, NULL), CSL_EDATA);
    free(more);
    free(raw);
}

/* An access list that is not empty, which nothing here writes, is not taken for nothing. */
static void access_list(void **state) {
    uint8_t items[256], raw[300], sender[CSL_ADDRESS_BYTES] = {0};
    struct csl_tx tx;
    struct csl_tx_signature sig;
    (void)state;
    for (int filled = 0; filled < 2; filled++) {
        struct csl_writer w = csl_writer_of(items, sizeof items), whole = csl_writer_of(raw, sizeof raw);
        for (uint64_t i = 1; i <= 5; i++) {
            csl_rlp_put_u64(&w, i == 3 ? 9 : i == 4 ? 10 : i); /* tip 9, fee 10 */
        }
        csl_rlp_put_bytes(&w, sender, sizeof sender);
        csl_rlp_put_u64(&w, 0);
        csl_rlp_put_bytes(&w, NULL, 0);
        csl_rlp_put_list(&w, filled ? 23 : 0);
        if (filled) {
            csl_rlp_put_list(&w, 22);
            csl_rlp_put_bytes(&w, sender, sizeof sender);
            csl_rlp_put_list(&w, 0);
        }
        csl_rlp_put_u64(&w, 1);
        csl_rlp_put_u64(&w, 5);
        csl_rlp_put_u64(&w, 6);
        csl_writer_u8(&whole, 2);
        csl_rlp_put_list(&whole, w.n);
        csl_writer_bytes(&whole, items, w.n);
        assert_int_equal(csl_tx_decode(&tx, &sig, raw, whole.n, NULL), filled ? CSL_EDATA : CSL_OK);
    }
}

static void no_chain_takes_these(void **state) {
    const struct csl_tx good = {.chain_id = 5, .gas_limit = 21000, .max_fee = 10, .max_priority = 2};
    uint8_t hash[CSL_HASH_BYTES];
    uint8_t *big = calloc(1, CSL_TX_DATA_MAX + 1);
    assert_non_null(big);
    struct csl_tx bad[7];
    (void)state;
    for (size_t i = 0; i < 7; i++) {
        bad[i] = good;
    }
    assert_ok(csl_tx_signing_hash(hash, &good, NULL));
    bad[0].chain_id = 0;
    bad[1].chain_id = CSL_CHAIN_ID_MAX + 1;
    bad[2].nonce = UINT64_MAX;
    bad[3].max_priority = 11;
    bad[4].legacy = true;
    bad[5].creates = true;
    bad[6].data = big;
    bad[6].n_data = CSL_TX_DATA_MAX + 1;
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(csl_tx_signing_hash(hash, &bad[i], NULL), CSL_EUSAGE);
    }
    bad[6].n_data--; /* the largest, and the largest chain id, there and back */
    bad[6].legacy = true;
    bad[6].max_priority = 0;
    bad[6].chain_id = CSL_CHAIN_ID_MAX;
    uint8_t *raw = NULL;
    size_t n = 0;
    struct csl_tx got;
    struct csl_tx_signature sig = {.parity = 1, .rs = {1}};
    assert_ok(csl_tx_encode(&raw, &n, &bad[6], &sig, NULL));
    assert_ok(csl_tx_decode(&got, &sig, raw, n, NULL));
    assert_ok(csl_tx_compare(&got, &bad[6], NULL));
    assert_int_equal(sig.parity, 1);
    sig.parity = 2;
    assert_int_equal(csl_tx_encode(&raw, &n, &bad[6], &sig, NULL), CSL_EUSAGE);
    free(raw);
    free(big);
}

static void costs(void **state) {
    struct csl_tx tx = {.gas_limit = 21000, .max_fee = 10, .value = 5};
    (void)state;
    assert_true(csl_tx_cost(&tx) == 210005);
    tx.gas_limit = tx.max_fee = UINT64_MAX;
    assert_true(csl_tx_cost(&tx) == (csl_wei)UINT64_MAX * UINT64_MAX + 5);
    tx.value = CSL_WEI_MAX;
    assert_true(csl_tx_cost(&tx) == CSL_WEI_MAX);
}

/* ---- Accounts ---- */

static char dir[] = "/tmp/csl-account-XXXXXX";

static const char *in_dir(const char *name) {
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void key_files(void **state) {
    struct csl_account *a = NULL, *b = NULL;
    struct csl_diag diag;
    struct stat st;
    (void)state;
    assert_ok(csl_account_new(&a, NULL));
    const char *path = in_dir("account.key");
    assert_ok(csl_account_save(a, path, NULL));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(csl_account_save(a, path, NULL), CSL_ECREATE);
    assert_ok(csl_account_load(&b, path, NULL));
    assert_memory_equal(csl_account_address(a), csl_account_address(b), CSL_ADDRESS_BYTES);
    csl_account_free(b);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(csl_account_load(&b, path, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "chmod 600"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(csl_account_load(&b, path, &diag), CSL_ENOINPUT);
    csl_account_free(a);
}

/* What `openssl ecparam -name secp256k1 -genkey -noout` writes (SEC1's form), of the key 1. */
static const char sec1_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                               "MC4CAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABoAcGBSuBBAAK\n"
                               "-----END EC PRIVATE KEY-----\n";
/* A key on P-256. */
static const char p256_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                               "MDECAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABoAoGCCqGSM49AwEH\n"
                               "-----END EC PRIVATE KEY-----\n";

static void write_key(const char *path, const char *pem) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs(pem, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void foreign_key_files(void **state) {
    struct csl_account *a = NULL;
    struct csl_diag diag;
    char text[CSL_ADDRESS_ROOM];
    const char *path = in_dir("foreign.key");
    (void)state;
    write_key(path, sec1_key);
    assert_ok(csl_account_load(&a, path, NULL));
    csl_address_text(text, csl_account_address(a));
    assert_string_equal(text, "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
    csl_account_free(a);
    write_key(path, p256_key);
    assert_int_equal(csl_account_load(&a, path, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "secp256k1"));
    write_key(path, "not a key\n");
    assert_int_equal(csl_account_load(&a, path, &diag), CSL_EDATA);
    assert_int_equal(unlink(path), 0);
}

static void keys_out_of_range(void **state) {
    /* The group's order, SEC 2. */
    static const char order[] = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    uint8_t key[CSL_ACCOUNT_KEY_BYTES] = {0};
    struct csl_account *a = NULL;
    (void)state;
    assert_int_equal(csl_account_from_key(&a, key, NULL), CSL_EDATA);
    assert_true(csl_hex0x_parse(key, sizeof key, order));
    assert_int_equal(csl_account_from_key(&a, key, NULL), CSL_EDATA);
    key[31]--;
    assert_ok(csl_account_from_key(&a, key, NULL));
    csl_account_free(a);
}

/* s' = order - s: the other of the two signatures that the curve takes, which EIP-2 forbids. */
static void high_s(uint8_t s[32]) {
    static const char order[] = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    uint8_t n[32];
    int borrow = 0;
    assert_true(csl_hex0x_parse(n, sizeof n, order));
    for (size_t i = 32; i-- > 0;) {
        int v = n[i] - s[i] - borrow;
        borrow = v < 0;
        s[i] = (uint8_t)(v + (borrow ? 256 : 0));
    }
}

static void signatures(void **state) {
    uint8_t sig[64], again[64], hash[CSL_HASH_BYTES], got[CSL_ADDRESS_BYTES], zero[64] = {0};
    int parity = 0, parity_again = 0;
    struct csl_account *a = account_of("0x0101010101010101010101010101010101010101010101010101010101010101");
    (void)state;
    for (uint8_t i = 0; i < 20; i++) {
        csl_keccak256(hash, &i, 1);
        assert_ok(csl_account_sign(sig, &parity, a, hash));
        assert_ok(csl_account_sign(again, &parity_again, a, hash)); /* deterministic */
        assert_memory_equal(sig, again, sizeof sig);
        assert_int_equal(parity, parity_again);
        assert_ok(csl_account_recover(got, sig, parity, hash));
        assert_memory_equal(got, csl_account_address(a), sizeof got);
        assert_int_equal(csl_account_recover(got, sig, 2, hash), CSL_EAUTH);
        high_s(again + 32);
        assert_int_equal(csl_account_recover(got, again, 1 - parity, hash), CSL_EAUTH);
        hash[3] ^= 1;
        if (csl_account_recover(got, sig, parity, hash) == CSL_OK) {
            assert_memory_not_equal(got, csl_account_address(a), sizeof got);
        }
    }
    assert_int_equal(csl_account_recover(got, zero, 0, hash), CSL_EAUTH);
    memset(zero, 0xff, sizeof zero);
    assert_int_equal(csl_account_recover(got, zero, 0, hash), CSL_EAUTH);
    csl_account_free(a);
    csl_account_free(NULL);
}

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state) {
    (void)state;
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(eip155),
                                       cmocka_unit_test(another_implementation),
                                       cmocka_unit_test(broken_bytes),
                                       cmocka_unit_test(not_transactions),
                                       cmocka_unit_test(access_list),
                                       cmocka_unit_test(no_chain_takes_these),
                                       cmocka_unit_test(costs),
                                       cmocka_unit_test(key_files),
                                       cmocka_unit_test(foreign_key_files),
                                       cmocka_unit_test(keys_out_of_range),
                                       cmocka_unit_test(signatures)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
