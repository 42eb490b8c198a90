#include "chain/signed_tx.h"

#include <stdlib.h>
#include <string.h>

#include "chain/rlp.h"

enum { WORD = 32, TYPED_MAX = 0x7f, HASH_VERSION = 1 };

const char *const csl__signed_tx_forms[CSL_SIGNED_TX_TYPES] = {"npgtvd", "cnpgtvdA", "cnmxgtvdA",
                                                               "cnmxgtvdAbH", "cnmxgtvdAZ"};

/* ---- Lists ---- */

static bool take_fixed(struct csl_reader *r, size_t n, const uint8_t **p) {
    size_t got = 0;
    return csl_rlp_next_bytes(r, p, &got) && got == n;
}

/* EIP-2930: [[address, [key, ...]], ...]. */
static bool is_access_list(struct csl_reader *r) {
    struct csl_reader list = csl_reader_of(NULL, 0), pair = list, keys = list;
    const uint8_t *p = NULL;
    if (!csl_rlp_next_list(r, &list)) {
        return false;
    }
    while (list.left > 0) {
        if (!csl_rlp_next_list(&list, &pair) || !take_fixed(&pair, CSL_ADDRESS_BYTES, &p) ||
            !csl_rlp_next_list(&pair, &keys) || !csl_reader_done(&pair)) {
            return false;
        }
        while (keys.left > 0) {
            if (!take_fixed(&keys, WORD, &p)) {
                return false;
            }
        }
    }
    return true;
}

/* EIP-4844: at least one, each of version 1. */
static bool are_blob_hashes(struct csl_reader *r) {
    struct csl_reader list = csl_reader_of(NULL, 0);
    const uint8_t *p = NULL;
    if (!csl_rlp_next_list(r, &list) || list.left == 0) {
        return false;
    }
    while (list.left > 0) {
        if (!take_fixed(&list, WORD, &p) || p[0] != HASH_VERSION) {
            return false;
        }
    }
    return true;
}

/* EIP-7702: at least one [chain id, address, nonce, parity, r, s]; one that is not valid does not count, and
 * leaves the transaction as it is. */
static bool are_authorizations(struct csl_reader *r) {
    struct csl_reader list = csl_reader_of(NULL, 0), one = list;
    const uint8_t *p = NULL;
    uint8_t number[WORD];
    uint64_t nonce = 0, parity = 0;
    if (!csl_rlp_next_list(r, &list) || list.left == 0) {
        return false;
    }
    while (list.left > 0) {
        if (!csl_rlp_next_list(&list, &one) || !csl_rlp_next_number(&one, number, WORD) ||
            !take_fixed(&one, CSL_ADDRESS_BYTES, &p) || !csl_rlp_next_u64(&one, &nonce) ||
            !csl_rlp_next_u64(&one, &parity) || parity > UINT8_MAX ||
            !csl_rlp_next_number(&one, number, WORD) || !csl_rlp_next_number(&one, number, WORD) ||
            !csl_reader_done(&one)) {
            return false;
        }
    }
    return true;
}

/* ---- Fields ---- */

struct fees {
    uint8_t tip[WORD], fee[WORD], other[WORD];
};

static bool take_recipient(struct csl_signed_tx *e, struct csl_reader *r) {
    const uint8_t *to = NULL;
    size_t n = 0;
    if (!csl_rlp_next_bytes(r, &to, &n) || (n != 0 && n != CSL_ADDRESS_BYTES)) {
        return false;
    }
    e->creates = n == 0;
    if (!e->creates) {
        memcpy(e->to, to, n);
    }
    return !e->creates || e->type < 3; /* blobs and authorizations create nothing */
}

static bool take_value(struct csl_signed_tx *e, struct csl_reader *r) {
    static const uint8_t zero[WORD];
    uint8_t value[WORD];
    bool good = csl_rlp_next_number(r, value, WORD);
    e->pays = good && memcmp(value, zero, WORD) != 0;
    return good;
}

static bool take_field(struct csl_signed_tx *e, struct fees *f, char kind, struct csl_reader *r) {
    switch (kind) {
    case 'c':
        return csl_rlp_next_u64(r, &e->chain_id) && e->chain_id != 0;
    case 'n':
        return csl_rlp_next_u64(r, &e->nonce) && e->nonce != UINT64_MAX; /* EIP-2681 */
    case 'g':
        return csl_rlp_next_u64(r, &e->gas_limit);
    case 't':
        return take_recipient(e, r);
    case 'v':
        return take_value(e, r);
    case 'd':
        return csl_rlp_next_bytes(r, &e->data, &e->n_data);
    case 'm':
        return csl_rlp_next_number(r, f->tip, WORD);
    case 'x':
        return csl_rlp_next_number(r, f->fee, WORD) && memcmp(f->tip, f->fee, WORD) <= 0;
    case 'A':
        return is_access_list(r);
    case 'H':
        return are_blob_hashes(r);
    case 'Z':
        return are_authorizations(r);
    default: /* p and b: any fee */
        return csl_rlp_next_number(r, f->other, WORD);
    }
}

static bool take_signature(struct csl_signed_tx *e, struct csl_reader *r) {
    uint64_t v = 0;
    if (!csl_rlp_next_u64(r, &v) || !csl_rlp_next_number(r, e->sig.rs, WORD) ||
        !csl_rlp_next_number(r, e->sig.rs + WORD, WORD) || !csl_reader_done(r)) {
        return false;
    }
    if (e->type == 0 && (v == 27 || v == 28)) {
        e->any_chain = true;
        v -= 27;
    } else if (e->type == 0) {
        e->chain_id = v < 37 ? 0 : (v - 35) / 2;
        v = v < 37 ? 2 : (v - 35) % 2;
    }
    e->sig.parity = (int)(v & 1);
    return v <= 1;
}

/* ---- What was signed ---- */

/* The type, and the list of the fields alone; behind them EIP-155's where it is of one chain. */
static enum csl_err hash_signed(struct csl_signed_tx *e, const uint8_t *fields, size_t n) {
    enum { MORE = 32 };
    uint8_t more[MORE];
    struct csl_writer end = csl_writer_of(more, sizeof more);
    if (e->type == 0 && !e->any_chain) {
        csl_rlp_put_u64(&end, e->chain_id);
        csl_rlp_put_u64(&end, 0);
        csl_rlp_put_u64(&end, 0);
    }
    uint8_t *bytes = malloc(n + 2 * MORE);
    if (bytes == NULL) {
        return CSL_ENOMEM;
    }
    struct csl_writer w = csl_writer_of(bytes, n + 2 * MORE);
    if (e->type != 0) {
        csl_writer_u8(&w, (uint8_t)e->type);
    }
    csl_rlp_put_list(&w, n + end.n);
    csl_writer_bytes(&w, fields, n);
    csl_writer_bytes(&w, more, end.n);
    csl_keccak256(e->signing_hash, bytes, w.n);
    free(bytes);
    return w.bad || end.bad ? CSL_EINTERNAL : CSL_OK;
}

enum csl_err csl_signed_tx_decode(struct csl_signed_tx *e, const uint8_t *raw, size_t n_raw,
                                  struct csl_diag *diag) {
    struct csl_signed_tx got = {.type = 0};
    struct fees fees = {.tip = {0}};
    struct csl_reader r = csl_reader_of(raw, n_raw), list = csl_reader_of(NULL, 0);
    if (n_raw == 0 || n_raw > CSL_SIGNED_TX_MAX) {
        return csl_fail(diag, CSL_EDATA, "a signed transaction of %zu bytes", n_raw);
    }
    if (raw[0] <= TYPED_MAX) {
        got.type = csl_reader_u8(&r);
        if (got.type == 0 || got.type >= CSL_SIGNED_TX_TYPES) {
            return csl_fail(diag, CSL_EDATA, "a transaction of the unknown type 0x%02x", got.type);
        }
    }
    bool good = csl_rlp_next_list(&r, &list) && csl_reader_done(&r);
    const uint8_t *fields = list.at;
    for (const char *kind = csl__signed_tx_forms[got.type]; good && *kind != '\0'; kind++) {
        good = take_field(&got, &fees, *kind, &list);
    }
    size_t n_fields = good ? (size_t)(list.at - fields) : 0;
    if (!good || !take_signature(&got, &list)) {
        return csl_fail(diag, CSL_EDATA, "not the bytes of a signed transaction of type %u (%zu bytes)",
                        got.type, n_raw);
    }
    enum csl_err err = hash_signed(&got, fields, n_fields);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "the signed bytes cannot be hashed (%s)", csl_err_text(err));
    }
    *e = got;
    return CSL_OK;
}
