/* RFC 6962 trees: against published roots, and against the recursive definitions written down anew here. */
#include "tests/crypto/crypto_test.h"

#include <stdlib.h>

#include "audit/merkle.h"

enum { N = 130 };

static uint8_t leaves[N][32]; /* leaf hashes of the one-byte leaves 0, 1, ... */
static struct csl_merkle_tree tree;

typedef const uint8_t (*nodes)[CSL_MERKLE_BYTES];

static void hash_node(uint8_t out[32], const uint8_t *left, const uint8_t *right) {
    uint8_t b[65] = {1};
    memcpy(b + 1, left, 32);
    memcpy(b + 33, right, 32);
    assert_ok(csl_sha256_once(out, b, sizeof b));
}

static size_t split_of(size_t n) {
    size_t k = 1;
    while (2 * k < n) {
        k *= 2;
    }
    return k;
}

/* RFC 6962, 2.1: MTH. */
static void mth(uint8_t out[32], size_t begin, size_t n) {
    if (n == 0) {
        assert_ok(csl_sha256_once(out, NULL, 0));
    } else if (n == 1) {
        memcpy(out, leaves[begin], 32);
    } else {
        uint8_t left[32], right[32];
        size_t k = split_of(n);
        mth(left, begin, k);
        mth(right, begin + k, n - k);
        hash_node(out, left, right);
    }
}

/* 2.1.1: PATH; returns the number of nodes. */
static size_t path(uint8_t (*out)[32], size_t m, size_t begin, size_t n) {
    if (n == 1) {
        return 0;
    }
    size_t k = split_of(n), got;
    if (m < k) {
        got = path(out, m, begin, k);
        mth(out[got], begin + k, n - k);
    } else {
        got = path(out, m - k, begin + k, n - k);
        mth(out[got], begin, k);
    }
    return got + 1;
}

/* 2.1.2: SUBPROOF. */
static size_t subproof(uint8_t (*out)[32], size_t m, size_t begin, size_t n, bool whole) {
    if (m == n) {
        if (whole) {
            return 0;
        }
        mth(out[0], begin, n);
        return 1;
    }
    size_t k = split_of(n), got;
    if (m <= k) {
        got = subproof(out, m, begin, k, whole);
        mth(out[got], begin + k, n - k);
    } else {
        got = subproof(out, m - k, begin + k, n - k, false);
        mth(out[got], begin, k);
    }
    return got + 1;
}

static int make_tree(void **state) {
    (void)state;
    csl_merkle_tree_init(&tree);
    for (size_t i = 0; i < N; i++) {
        uint8_t byte = (uint8_t)i;
        if (csl_merkle_leaf(leaves[i], &byte, 1) != CSL_OK || csl_merkle_append(&tree, leaves[i]) != CSL_OK) {
            return 1;
        }
    }
    return 0;
}

static int clear_tree(void **state) {
    (void)state;
    csl_merkle_tree_clear(&tree);
    return 0;
}

/* The eight leaves of the tests of Certificate Transparency's first log, and its roots. */
static void published_roots(void **state) {
    static const char *const data[8] = {
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
    static const char *const roots[9] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                         "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                         "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                         "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                         "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                         "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                         "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                         "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    (void)state;
    struct csl_merkle_tree t;
    uint8_t hashes[8][32], want[32], got[32];
    csl_merkle_tree_init(&t);
    for (size_t i = 0; i <= 8; i++) {
        assert_int_equal(unhex(want, sizeof want, roots[i]), 32);
        assert_ok(csl_merkle_tree_root(got, &t, i));
        assert_memory_equal(got, want, 32);
        assert_ok(csl_merkle_root(got, hashes[0], i));
        assert_memory_equal(got, want, 32);
        if (i < 8) {
            uint8_t leaf[16];
            size_t n = unhex(leaf, sizeof leaf, data[i]);
            assert_ok(csl_merkle_leaf(hashes[i], leaf, n));
            assert_ok(csl_merkle_append(&t, hashes[i]));
        }
    }
    csl_merkle_tree_clear(&t);
}

static void roots_of_all_sizes(void **state) {
    uint8_t want[32], got[32];
    (void)state;
    for (size_t n = 0; n <= N; n++) {
        mth(want, 0, n);
        assert_ok(csl_merkle_tree_root(got, &tree, n)); /* of an earlier size of the grown tree */
        assert_memory_equal(got, want, 32);
        assert_ok(csl_merkle_root(got, leaves[0], n));
        assert_memory_equal(got, want, 32);
    }
    assert_err(csl_merkle_tree_root(got, &tree, N + 1), CSL_EUSAGE);
}

static enum csl_err included(size_t index, size_t size, nodes proof, size_t n_proof) {
    uint8_t root[32];
    assert_ok(csl_merkle_tree_root(root, &tree, size));
    return csl_merkle_verify_inclusion(root, size, leaves[index], index, proof, n_proof);
}

static enum csl_err consistent(size_t old_size, size_t size, nodes proof, size_t n_proof) {
    uint8_t old_root[32], root[32];
    assert_ok(csl_merkle_tree_root(old_root, &tree, old_size));
    assert_ok(csl_merkle_tree_root(root, &tree, size));
    return csl_merkle_verify_consistency(old_root, old_size, root, size, proof, n_proof);
}

static void inclusion_of_all(void **state) {
    uint8_t got[CSL_MERKLE_PROOF_MAX][32], want[CSL_MERKLE_PROOF_MAX][32];
    size_t n = 99;
    (void)state;
    for (size_t size = 1; size <= N; size++) {
        for (size_t i = 0; i < size; i++) {
            assert_ok(csl_merkle_inclusion(got, &n, &tree, i, size));
            assert_int_equal(n, path(want, i, 0, size));
            assert_true(n == 0 || memcmp(got, want, n * 32) == 0);
            assert_ok(included(i, size, (nodes)got, n));
        }
    }
    assert_err(csl_merkle_inclusion(got, &n, &tree, 5, 5), CSL_EUSAGE);
    assert_err(csl_merkle_inclusion(got, &n, &tree, 5, N + 1), CSL_EUSAGE);
}

static void consistency_of_all(void **state) {
    uint8_t got[CSL_MERKLE_PROOF_MAX][32], want[CSL_MERKLE_PROOF_MAX][32];
    size_t n = 99;
    (void)state;
    for (size_t size = 0; size <= N; size++) {
        for (size_t old = 0; old <= size; old++) {
            assert_ok(csl_merkle_consistency(got, &n, &tree, old, size));
            assert_int_equal(n, old == 0 ? 0 : subproof(want, old, 0, size, true));
            assert_true(n == 0 || memcmp(got, want, n * 32) == 0);
            assert_ok(consistent(old, size, (nodes)got, n));
        }
    }
    assert_err(csl_merkle_consistency(got, &n, &tree, 6, 5), CSL_EUSAGE);
    assert_err(csl_merkle_consistency(got, &n, &tree, 5, N + 1), CSL_EUSAGE);
}

/* ---- Every way of tampering ---- */

typedef enum csl_err (*check)(size_t a, size_t b, nodes proof, size_t n);

/* A proof that is not `good` must not verify: every node changed, dropped, doubled, swapped with the next;
 * one more at either end. */
static void refuse_variants(check f, size_t a, size_t b, nodes good, size_t n) {
    uint8_t p[CSL_MERKLE_PROOF_MAX + 2][32];
    static const uint8_t extra[32] = {1};
    for (size_t i = 0; i < n; i++) {
        for (unsigned bit = 0; bit < 256; bit += 37) {
            memcpy(p, good, n * 32);
            p[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_err(f(a, b, (nodes)p, n), CSL_EAUTH);
        }
        memcpy(p, good, i * 32);
        memcpy(p[i], good[i] + 32, (n - i - 1) * 32);
        assert_err(f(a, b, (nodes)p, n - 1), CSL_EAUTH);
        memcpy(p, good, (i + 1) * 32);
        memcpy(p[i + 1], good[i], (n - i) * 32);
        assert_err(f(a, b, (nodes)p, n + 1), CSL_EAUTH);
        if (i + 1 < n && memcmp(good[i], good[i + 1], 32) != 0) {
            memcpy(p, good, n * 32);
            memcpy(p[i], good[i + 1], 32);
            memcpy(p[i + 1], good[i], 32);
            assert_err(f(a, b, (nodes)p, n), CSL_EAUTH);
        }
    }
    if (n != 0) {
        memcpy(p, good, n * 32);
        memcpy(p[1], good, n * 32);
    }
    memcpy(p[0], extra, 32);
    assert_err(f(a, b, (nodes)p, n + 1), CSL_EAUTH);
    if (n != 0) {
        memcpy(p, good, n * 32);
    }
    memcpy(p[n], extra, 32);
    assert_err(f(a, b, (nodes)p, n + 1), CSL_EAUTH);
}

static void tampered_inclusion(void **state) {
    uint8_t p[CSL_MERKLE_PROOF_MAX][32];
    size_t n;
    (void)state;
    for (size_t size = 1; size <= N; size++) {
        for (size_t i = 0; i < size; i++) {
            assert_ok(csl_merkle_inclusion(p, &n, &tree, i, size));
            refuse_variants(included, i, size, (nodes)p, n);
            for (size_t other = 0; other < size; other++) { /* another index or leaf, same size */
                uint8_t root[32];
                assert_ok(csl_merkle_tree_root(root, &tree, size));
                if (other != i) {
                    assert_err(csl_merkle_verify_inclusion(root, size, leaves[i], other, (nodes)p, n),
                               CSL_EAUTH);
                    assert_err(csl_merkle_verify_inclusion(root, size, leaves[other], i, (nodes)p, n),
                               CSL_EAUTH);
                }
            }
        }
    }
}

static void tampered_consistency(void **state) {
    uint8_t p[CSL_MERKLE_PROOF_MAX][32];
    size_t n;
    (void)state;
    for (size_t size = 0; size <= N; size++) {
        for (size_t old = 0; old <= size; old++) {
            assert_ok(csl_merkle_consistency(p, &n, &tree, old, size));
            refuse_variants(consistent, old, size, (nodes)p, n);
            uint8_t a[32], b[32];
            assert_ok(csl_merkle_tree_root(a, &tree, old));
            assert_ok(csl_merkle_tree_root(b, &tree, size));
            a[old % 32] ^= 4;
            assert_err(csl_merkle_verify_consistency(a, old, b, size, (nodes)p, n), CSL_EAUTH);
            a[old % 32] ^= 4;
            if (old != 0) {
                b[size % 32] ^= 4;
                assert_err(csl_merkle_verify_consistency(a, old, b, size, (nodes)p, n), CSL_EAUTH);
            }
        }
    }
}

/* Roots of other sizes than those that the proof is for. */
static void wrong_sizes(void **state) {
    uint8_t p[CSL_MERKLE_PROOF_MAX][32], root[32], old_root[32];
    size_t n;
    (void)state;
    for (size_t size = 1; size <= 40; size++) {
        assert_ok(csl_merkle_tree_root(root, &tree, size));
        for (size_t i = 0; i < size; i++) {
            assert_ok(csl_merkle_inclusion(p, &n, &tree, i, size));
            assert_err(csl_merkle_verify_inclusion(root, i, leaves[i], i, (nodes)p, n), CSL_EAUTH);
            assert_err(csl_merkle_verify_inclusion(root, 0, leaves[i], i, (nodes)p, n), CSL_EAUTH);
            assert_err(csl_merkle_verify_inclusion(root, UINT64_MAX, leaves[i], i, (nodes)p, n), CSL_EAUTH);
            for (size_t other = 1; other <= 40; other++) {
                uint8_t other_root[32];
                assert_ok(csl_merkle_tree_root(other_root, &tree, other));
                if (other != size) {
                    assert_err(csl_merkle_verify_inclusion(other_root, other, leaves[i], i, (nodes)p, n),
                               CSL_EAUTH);
                }
            }
        }
        for (size_t old = 1; old < size; old++) {
            assert_ok(csl_merkle_tree_root(old_root, &tree, old));
            assert_ok(csl_merkle_consistency(p, &n, &tree, old, size));
            assert_err(csl_merkle_verify_consistency(root, size, old_root, old, (nodes)p, n), CSL_EAUTH);
            assert_err(csl_merkle_verify_consistency(old_root, old, root, UINT64_MAX, (nodes)p, n),
                       CSL_EAUTH);
            for (size_t other = 1; other <= 40; other++) {
                uint8_t other_root[32];
                assert_ok(csl_merkle_tree_root(other_root, &tree, other));
                if (other != old) {
                    assert_err(csl_merkle_verify_consistency(other_root, other, root, size, (nodes)p, n),
                               CSL_EAUTH);
                }
                if (other != size) {
                    assert_err(csl_merkle_verify_consistency(old_root, old, other_root, other, (nodes)p, n),
                               CSL_EAUTH);
                }
            }
        }
    }
}

static void hopeless_lengths(void **state) {
    static const uint8_t p[CSL_MERKLE_PROOF_MAX + 1][32];
    uint8_t root[32];
    (void)state;
    assert_ok(csl_merkle_tree_root(root, &tree, N));
    assert_err(csl_merkle_verify_inclusion(root, N, leaves[0], 0, p, CSL_MERKLE_PROOF_MAX + 1), CSL_EAUTH);
    assert_err(csl_merkle_verify_inclusion(root, N, leaves[0], 0, p, SIZE_MAX), CSL_EAUTH);
    assert_err(csl_merkle_verify_consistency(root, 1, root, N, p, SIZE_MAX), CSL_EAUTH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_roots),    cmocka_unit_test(roots_of_all_sizes),
        cmocka_unit_test(inclusion_of_all),   cmocka_unit_test(consistency_of_all),
        cmocka_unit_test(tampered_inclusion), cmocka_unit_test(tampered_consistency),
        cmocka_unit_test(wrong_sizes),        cmocka_unit_test(hopeless_lengths),
    };
    return cmocka_run_group_tests(tests, make_tree, clear_tree);
}
