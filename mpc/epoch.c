#include "mpc/epoch.h"

#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "crypto/prg.h"
#include "crypto/secret.h"
#include "mpc/ring.h"

#include <string.h>

/* ---- K2, K5: digests ---- */

static enum csl_err hash_parts(uint8_t out[32], const char *label, const uint8_t *const *parts,
                               const size_t *n_bytes, size_t n_parts) {
    struct csl_sha256 h = {0};
    enum csl_err err = csl_sha256_init(&h);
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, (const uint8_t *)label, strlen(label));
    }
    for (size_t i = 0; i < n_parts && err == CSL_OK; i++) {
        err = csl_sha256_update(&h, parts[i], n_bytes[i]);
    }
    if (err == CSL_OK) {
        return csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    memset(out, 0, 32);
    return err;
}

enum csl_err csl_epoch_id(uint8_t out[CSL_EPOCH_ID_BYTES], const uint8_t roster_digest[CSL_DIGEST_BYTES],
                          const uint8_t dealer_nonce[CSL_NONCE_BYTES], const uint8_t *nonces,
                          unsigned n_parties) {
    if (n_parties < 2 || n_parties > CSL_MAX_PARTIES) {
        memset(out, 0, CSL_EPOCH_ID_BYTES);
        return CSL_EUSAGE;
    }
    const uint8_t *parts[] = {roster_digest, dealer_nonce, nonces};
    const size_t n_bytes[] = {CSL_DIGEST_BYTES, CSL_NONCE_BYTES, (size_t)n_parties * CSL_NONCE_BYTES};
    return hash_parts(out, "consilium/epoch", parts, n_bytes, 3);
}

enum csl_err csl_mask_id(uint8_t out[32], const uint8_t package_digest[CSL_DIGEST_BYTES],
                         const uint8_t epoch_id[CSL_EPOCH_ID_BYTES]) {
    const uint8_t *parts[] = {package_digest, epoch_id};
    const size_t n_bytes[] = {CSL_DIGEST_BYTES, CSL_EPOCH_ID_BYTES};
    return hash_parts(out, "consilium/mask", parts, n_bytes, 2);
}

/* ---- K2, K3, K5: keys ---- */

enum csl_err csl_epoch_keys_derive(struct csl_epoch_keys *keys, const uint8_t epoch_id[CSL_EPOCH_ID_BYTES],
                                   const uint8_t seed[32]) {
    enum csl_err err = csl_hkdf(keys->corr_key, sizeof keys->corr_key, epoch_id, CSL_EPOCH_ID_BYTES, seed, 32,
                                "consilium/correlations");
    if (err == CSL_OK) {
        err = csl_hkdf(keys->mask_key, sizeof keys->mask_key, epoch_id, CSL_EPOCH_ID_BYTES, seed, 32,
                       "consilium/weight-masks");
    }
    if (err != CSL_OK) {
        csl_epoch_keys_clear(keys);
    }
    return err;
}

void csl_epoch_keys_clear(struct csl_epoch_keys *keys) {
    csl_wipe(keys, sizeof *keys);
}

enum csl_err csl_index_seed(uint8_t out[64], const struct csl_epoch_keys *keys, uint32_t stream,
                            uint32_t counter) {
    uint8_t index[8];
    csl_store_u32(index, stream);
    csl_store_u32(index + 4, counter);
    enum csl_err err = csl_prf(out, keys->corr_key, "matrix", index, sizeof index);
    if (err == CSL_OK) {
        err = csl_prf(out + 32, keys->corr_key, "bits", index, sizeof index);
    }
    if (err != CSL_OK) {
        csl_wipe(out, 64);
    }
    return err;
}

enum csl_err csl_weight_mask(uint64_t *out, const struct csl_epoch_keys *keys, const uint8_t mask_id[32],
                             uint32_t layer, size_t n, unsigned bits) {
    uint8_t seed[CSL_SEED_BYTES] = {0};
    struct csl_prg prg = {0};
    enum csl_err err = bits < 1 || bits > 64 ? CSL_EUSAGE : CSL_OK;
    TRY_OUT(err);
    TRY_OUT(csl_prf(seed, keys->mask_key, "mask", mask_id, 32));
    TRY_OUT(csl_prg_init(&prg, seed));
    TRY_OUT(csl_prg_fill_u64(&prg, out, n, layer, bits));
out:
    csl_prg_clear(&prg);
    csl_wipe(seed, sizeof seed);
    if (err != CSL_OK && n != 0) {
        csl_wipe(out, n * sizeof *out);
    }
    return err;
}

enum csl_err csl_weight_mask_sum(uint64_t *out, const struct csl_epoch_keys *keys, unsigned n_parties,
                                 const uint8_t mask_id[32], uint32_t layer, size_t n, unsigned bits) {
    uint64_t *part = csl_secret_alloc(n, sizeof *part);
    enum csl_err err = part == NULL ? CSL_ENOMEM : CSL_OK;
    if (n != 0) {
        memset(out, 0, n * sizeof *out);
    }
    for (unsigned p = 0; p < n_parties && err == CSL_OK; p++) {
        err = csl_weight_mask(part, &keys[p], mask_id, layer, n, bits);
        if (err == CSL_OK) {
            csl_add_mod(out, out, part, n, bits);
        }
    }
    csl_secret_free(part);
    if (err != CSL_OK && n != 0) {
        csl_wipe(out, n * sizeof *out);
    }
    return err;
}

/* ---- used once ---- */

enum csl_err csl_stream_set_init(struct csl_stream_set *set) {
    memset(set, 0, sizeof *set);
    return pthread_mutex_init(&set->lock, NULL) == 0 ? CSL_OK : CSL_EOS;
}

void csl_stream_set_clear(struct csl_stream_set *set) {
    (void)pthread_mutex_destroy(&set->lock);
    memset(set->seen, 0xff, sizeof set->seen);
    set->next = (uint64_t)1 << 32;
}

static bool was_seen(const struct csl_stream_set *set, uint64_t stream) {
    uint64_t slot = stream % CSL_STREAM_WINDOW;
    return (set->seen[slot / 64] >> slot % 64 & 1) != 0;
}

/* The window slides up to `stream`: slots of streams that were skipped are free again. */
static void mark(struct csl_stream_set *set, uint64_t stream) {
    if (stream >= set->next) {
        uint64_t from = stream - set->next >= CSL_STREAM_WINDOW ? stream - CSL_STREAM_WINDOW + 1 : set->next;
        for (uint64_t s = from; s <= stream; s++) {
            uint64_t slot = s % CSL_STREAM_WINDOW;
            set->seen[slot / 64] &= ~((uint64_t)1 << slot % 64);
        }
        set->next = stream + 1;
    }
    uint64_t slot = stream % CSL_STREAM_WINDOW;
    set->seen[slot / 64] |= (uint64_t)1 << slot % 64;
}

enum csl_err csl_stream_allot(struct csl_stream_set *set, uint32_t *stream, struct csl_diag *diag) {
    *stream = 0;
    pthread_mutex_lock(&set->lock);
    uint64_t next = set->next;
    if (next <= UINT32_MAX) {
        mark(set, next);
        *stream = (uint32_t)next;
    }
    pthread_mutex_unlock(&set->lock);
    if (next > UINT32_MAX) {
        return csl_fail(
            diag, CSL_ESTALE,
            "all streams of this epoch are used up; restart a party's daemon: a new epoch begins");
    }
    return CSL_OK;
}

enum csl_err csl_stream_take(struct csl_stream_set *set, uint32_t stream, struct csl_diag *diag) {
    pthread_mutex_lock(&set->lock);
    uint64_t next = set->next;
    bool old = (uint64_t)stream + CSL_STREAM_WINDOW < next;
    bool used = stream < next && (old || was_seen(set, stream));
    if (!used) {
        mark(set, stream);
    }
    pthread_mutex_unlock(&set->lock);
    if (used) {
        return csl_fail(
            diag, CSL_ESTALE,
            "stream %u %s in this epoch (the highest seen here is %llu): the party that proposes it is "
            "behind its peers, perhaps restored from a backup; restart its daemon: it then joins a new epoch",
            stream, old ? "is long past" : "was used before", (unsigned long long)(next - 1));
    }
    return CSL_OK;
}

enum csl_err csl_counter_take(struct csl_counter_guard *g, uint32_t first, uint32_t n,
                              struct csl_diag *diag) {
    uint64_t end = (uint64_t)first + n;
    if (n == 0) {
        return csl_fail(diag, CSL_EDATA, "stream %u: no inference to take a counter for", g->stream);
    }
    if (first < g->next) {
        return csl_fail(
            diag, CSL_ESTALE,
            "stream %u: counter %u was used before (the next is %llu); end this session and start "
            "another",
            g->stream, first, (unsigned long long)g->next);
    }
    if (end > (uint64_t)UINT32_MAX + 1) {
        return csl_fail(diag, CSL_ESTALE, "stream %u has no %u counters left; start another session",
                        g->stream, n);
    }
    g->next = end;
    return CSL_OK;
}
