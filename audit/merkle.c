#include "audit/merkle.h"

#include <stdlib.h>
#include <string.h>

static enum csl_err node(uint8_t out[CSL_MERKLE_BYTES], const uint8_t left[CSL_MERKLE_BYTES],
                         const uint8_t right[CSL_MERKLE_BYTES]) {
    uint8_t b[1 + 2 * CSL_MERKLE_BYTES];
    b[0] = 1;
    memcpy(b + 1, left, CSL_MERKLE_BYTES);
    memcpy(b + 1 + CSL_MERKLE_BYTES, right, CSL_MERKLE_BYTES);
    return csl_sha256_once(out, b, sizeof b);
}

enum csl_err csl_merkle_leaf(uint8_t out[CSL_MERKLE_BYTES], const uint8_t *data, size_t n) {
    static const uint8_t zero = 0;
    struct csl_sha256 h = {0};
    enum csl_err err = csl_sha256_init(&h);
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, &zero, 1);
    }
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, data, n);
    }
    if (err == CSL_OK) {
        return csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    return err;
}

/* A binary counter of complete subtrees, folded from the right at the end. */
enum csl_err csl_merkle_root(uint8_t out[CSL_MERKLE_BYTES], const uint8_t *leaf_hashes, size_t n) {
    uint8_t stack[64][CSL_MERKLE_BYTES];
    unsigned top = 0;
    if (n == 0) {
        return csl_sha256_once(out, NULL, 0);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(stack[top++], leaf_hashes + i * CSL_MERKLE_BYTES, CSL_MERKLE_BYTES);
        for (size_t m = i; (m & 1) != 0; m >>= 1, top--) {
            TRY(node(stack[top - 2], stack[top - 2], stack[top - 1]));
        }
    }
    for (; top > 1; top--) {
        TRY(node(stack[top - 2], stack[top - 2], stack[top - 1]));
    }
    memcpy(out, stack[0], CSL_MERKLE_BYTES);
    return CSL_OK;
}

/* ---- A tree that grows ---- */

void csl_merkle_tree_init(struct csl_merkle_tree *t) {
    memset(t, 0, sizeof *t);
}

void csl_merkle_tree_clear(struct csl_merkle_tree *t) {
    for (unsigned i = 0; i < 64; i++) {
        free(t->levels[i].hashes);
    }
    memset(t, 0, sizeof *t);
}

static const uint8_t *at(const struct csl_merkle_tree *t, unsigned level, size_t i) {
    return t->levels[level].hashes + i * CSL_MERKLE_BYTES;
}

static enum csl_err make_room(struct csl_merkle_level *l) {
    if (l->n < l->room) {
        return CSL_OK;
    }
    size_t room = l->room == 0 ? 16 : l->room + l->room / 2;
    if (room > SIZE_MAX / CSL_MERKLE_BYTES) {
        return CSL_ENOMEM;
    }
    uint8_t *p = realloc(l->hashes, room * CSL_MERKLE_BYTES);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    l->hashes = p;
    l->room = room;
    return CSL_OK;
}

/* The nodes that this leaf completes are made before any of them is counted, so that an error leaves the tree
 * as it was. */
enum csl_err csl_merkle_append(struct csl_merkle_tree *t, const uint8_t leaf_hash[CSL_MERKLE_BYTES]) {
    uint8_t hash[CSL_MERKLE_BYTES];
    unsigned n_levels = 1;
    memcpy(hash, leaf_hash, sizeof hash);
    for (uint64_t m = t->n; (m & 1) != 0; m >>= 1) {
        n_levels++;
    }
    for (unsigned l = 0; l < n_levels; l++) {
        struct csl_merkle_level *level = &t->levels[l];
        TRY(make_room(level));
        memcpy(level->hashes + level->n * CSL_MERKLE_BYTES, hash, sizeof hash);
        if (l + 1 < n_levels) {
            TRY(node(hash, at(t, l, level->n - 1), hash));
        }
    }
    for (unsigned l = 0; l < n_levels; l++) {
        t->levels[l].n++;
    }
    t->n++;
    return CSL_OK;
}

/* The largest power of two below n, n >= 2: where RFC 6962 splits. */
static uint64_t split(uint64_t n) {
    return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

/* MTH(D[begin : begin + n]), n >= 1, where begin is a multiple of a power of two that is not below n. */
static enum csl_err range(uint8_t out[CSL_MERKLE_BYTES], const struct csl_merkle_tree *t, uint64_t begin,
                          uint64_t n) {
    uint8_t complete[64][CSL_MERKLE_BYTES];
    unsigned k = 0;
    for (; (n & (n - 1)) != 0; k++) {
        uint64_t left = split(n);
        unsigned level = (unsigned)__builtin_ctzll(left);
        memcpy(complete[k], at(t, level, (size_t)(begin >> level)), CSL_MERKLE_BYTES);
        begin += left;
        n -= left;
    }
    unsigned level = (unsigned)__builtin_ctzll(n);
    memcpy(out, at(t, level, (size_t)(begin >> level)), CSL_MERKLE_BYTES);
    while (k-- > 0) {
        TRY(node(out, complete[k], out));
    }
    return CSL_OK;
}

enum csl_err csl_merkle_tree_root(uint8_t out[CSL_MERKLE_BYTES], const struct csl_merkle_tree *t,
                                  uint64_t size) {
    if (size > t->n) {
        return CSL_EUSAGE;
    }
    return size == 0 ? csl_sha256_once(out, NULL, 0) : range(out, t, 0, size);
}

static void reverse(uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n) {
    for (size_t i = 0; i < n / 2; i++) {
        uint8_t x[CSL_MERKLE_BYTES];
        memcpy(x, proof[i], sizeof x);
        memcpy(proof[i], proof[n - 1 - i], sizeof x);
        memcpy(proof[n - 1 - i], x, sizeof x);
    }
}

/* PATH of RFC 6962, 2.1.1, gathered from the root down. */
enum csl_err csl_merkle_inclusion(uint8_t (*proof)[CSL_MERKLE_BYTES], size_t *n_proof,
                                  const struct csl_merkle_tree *t, uint64_t index, uint64_t size) {
    *n_proof = 0;
    if (size > t->n || index >= size) {
        return CSL_EUSAGE;
    }
    size_t k = 0;
    for (uint64_t begin = 0, n = size; n > 1; k++) {
        uint64_t left = split(n);
        if (index - begin < left) {
            TRY(range(proof[k], t, begin + left, n - left));
            n = left;
        } else {
            TRY(range(proof[k], t, begin, left));
            begin += left;
            n -= left;
        }
    }
    reverse(proof, k);
    *n_proof = k;
    return CSL_OK;
}

/* SUBPROOF of RFC 6962, 2.1.2, gathered from the root down. */
enum csl_err csl_merkle_consistency(uint8_t (*proof)[CSL_MERKLE_BYTES], size_t *n_proof,
                                    const struct csl_merkle_tree *t, uint64_t old_size, uint64_t size) {
    *n_proof = 0;
    if (size > t->n || old_size > size) {
        return CSL_EUSAGE;
    }
    if (old_size == 0) {
        return CSL_OK;
    }
    size_t k = 0;
    uint64_t begin = 0, m = old_size, n = size;
    while (m < n) {
        uint64_t left = split(n);
        if (m <= left) {
            TRY(range(proof[k++], t, begin + left, n - left));
            n = left;
        } else {
            TRY(range(proof[k++], t, begin, left));
            begin += left;
            m -= left;
            n -= left;
        }
    }
    if (begin != 0) { /* else it is the old root, which the verifier has */
        TRY(range(proof[k++], t, begin, n));
    }
    reverse(proof, k);
    *n_proof = k;
    return CSL_OK;
}

/* ---- Verification ---- */

static bool proof_fits(uint64_t size, size_t n_proof) {
    return size <= (uint64_t)1 << 63 && n_proof <= CSL_MERKLE_PROOF_MAX;
}

/* RFC 9162, 2.1.3.2. */
enum csl_err csl_merkle_verify_inclusion(const uint8_t root[CSL_MERKLE_BYTES], uint64_t size,
                                         const uint8_t leaf_hash[CSL_MERKLE_BYTES], uint64_t index,
                                         const uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n_proof) {
    if (index >= size || !proof_fits(size, n_proof)) {
        return CSL_EAUTH;
    }
    uint8_t r[CSL_MERKLE_BYTES];
    uint64_t fn = index, sn = size - 1;
    memcpy(r, leaf_hash, sizeof r);
    for (size_t i = 0; i < n_proof; i++) {
        if (sn == 0) {
            return CSL_EAUTH;
        }
        if ((fn & 1) != 0 || fn == sn) {
            TRY(node(r, proof[i], r));
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            TRY(node(r, r, proof[i]));
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && csl_hash_equal(r, root, sizeof r) ? CSL_OK : CSL_EAUTH;
}

/* RFC 9162, 2.1.4.2, steps 3 to 7, with first = the node that the old tree's last leaf is under. */
static enum csl_err climb(uint8_t fr[CSL_MERKLE_BYTES], uint8_t sr[CSL_MERKLE_BYTES], uint64_t old_size,
                          uint64_t size, const uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n_proof) {
    uint64_t fn = old_size - 1, sn = size - 1;
    while ((fn & 1) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    for (size_t i = 0; i < n_proof; i++) {
        if (sn == 0) {
            return CSL_EAUTH;
        }
        if ((fn & 1) != 0 || fn == sn) {
            TRY(node(fr, proof[i], fr));
            TRY(node(sr, proof[i], sr));
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            TRY(node(sr, sr, proof[i]));
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 ? CSL_OK : CSL_EAUTH;
}

enum csl_err csl_merkle_verify_consistency(const uint8_t old_root[CSL_MERKLE_BYTES], uint64_t old_size,
                                           const uint8_t root[CSL_MERKLE_BYTES], uint64_t size,
                                           const uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n_proof) {
    uint8_t fr[CSL_MERKLE_BYTES], sr[CSL_MERKLE_BYTES];
    if (old_size > size || !proof_fits(size, n_proof)) {
        return CSL_EAUTH;
    }
    if (old_size == 0) {
        TRY(csl_sha256_once(fr, NULL, 0));
        return n_proof == 0 && csl_hash_equal(fr, old_root, sizeof fr) ? CSL_OK : CSL_EAUTH;
    }
    if (old_size == size) {
        return n_proof == 0 && csl_hash_equal(old_root, root, CSL_MERKLE_BYTES) ? CSL_OK : CSL_EAUTH;
    }
    bool complete = (old_size & (old_size - 1)) == 0; /* the old tree is a node of the new one */
    if (n_proof == 0) {
        return CSL_EAUTH;
    }
    memcpy(fr, complete ? old_root : proof[0], sizeof fr);
    memcpy(sr, fr, sizeof sr);
    TRY(climb(fr, sr, old_size, size, complete ? proof : proof + 1, complete ? n_proof : n_proof - 1));
    return csl_hash_equal(fr, old_root, sizeof fr) && csl_hash_equal(sr, root, sizeof sr) ? CSL_OK
                                                                                          : CSL_EAUTH;
}
