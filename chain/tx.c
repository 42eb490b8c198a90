#include "chain/tx.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chain/rlp.h"

enum { TYPE_1559 = 2, WEI_BYTES = 16, RS_BYTES = 32 };

csl_wei csl_tx_cost(const struct csl_tx *tx) {
    csl_wei fee = (csl_wei)tx->gas_limit * tx->max_fee; /* 64 by 64 bits */
    return fee > CSL_WEI_MAX - tx->value ? CSL_WEI_MAX : fee + tx->value;
}

/* What no chain takes, or would mean something else than it says. */
static enum csl_err check(const struct csl_tx *tx, struct csl_diag *diag) {
    const char *why = NULL;
    if (tx->chain_id == 0 || tx->chain_id > CSL_CHAIN_ID_MAX) {
        why = "the chain id is 0 or too large";
    } else if (tx->nonce == UINT64_MAX) {
        why = "the account has used its last nonce";
    } else if (tx->n_data > CSL_TX_DATA_MAX) {
        why = "too much data";
    } else if (tx->max_priority > tx->max_fee) {
        why = "the tip is larger than the whole fee";
    } else if (tx->legacy && tx->max_priority != 0) {
        why = "a legacy transaction has no tip";
    } else if (tx->creates && tx->n_data == 0) {
        why = "a contract is created from no code";
    }
    return why == NULL ? CSL_OK : csl_fail(diag, CSL_EUSAGE, "transaction: %s", why);
}

static void put_fields(struct csl_writer *w, const struct csl_tx *tx) {
    uint8_t value[WEI_BYTES];
    for (size_t i = 0; i < WEI_BYTES; i++) {
        value[i] = (uint8_t)(tx->value >> (8 * (WEI_BYTES - 1 - i)));
    }
    if (!tx->legacy) {
        csl_rlp_put_u64(w, tx->chain_id);
    }
    csl_rlp_put_u64(w, tx->nonce);
    if (!tx->legacy) {
        csl_rlp_put_u64(w, tx->max_priority);
    }
    csl_rlp_put_u64(w, tx->max_fee);
    csl_rlp_put_u64(w, tx->gas_limit);
    csl_rlp_put_bytes(w, tx->to, tx->creates ? 0 : CSL_ADDRESS_BYTES);
    csl_rlp_put_number(w, value, sizeof value);
    csl_rlp_put_bytes(w, tx->data, tx->n_data);
    if (!tx->legacy) {
        csl_rlp_put_list(w, 0); /* no access list */
    }
}

/* What follows the fields: the signature; or, for signing, EIP-155's placeholders or nothing. */
static void put_end(struct csl_writer *w, const struct csl_tx *tx, const struct csl_tx_signature *sig) {
    if (sig != NULL) {
        uint64_t parity = (uint64_t)sig->parity;
        csl_rlp_put_u64(w, tx->legacy ? 2 * tx->chain_id + 35 + parity : parity);
        csl_rlp_put_number(w, sig->rs, RS_BYTES);
        csl_rlp_put_number(w, sig->rs + RS_BYTES, RS_BYTES);
    } else if (tx->legacy) {
        csl_rlp_put_u64(w, tx->chain_id);
        csl_rlp_put_u64(w, 0);
        csl_rlp_put_u64(w, 0);
    }
}

/* sig is NULL for the bytes whose hash is signed. */
static enum csl_err encode(uint8_t **out, size_t *n_out, const struct csl_tx *tx,
                           const struct csl_tx_signature *sig, struct csl_diag *diag) {
    TRY(check(tx, diag));
    uint8_t *items = malloc(CSL_TX_RAW_MAX);
    uint8_t *whole = malloc(CSL_TX_RAW_MAX + 8);
    if (items == NULL || whole == NULL) {
        free(items);
        free(whole);
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    struct csl_writer fields = csl_writer_of(items, CSL_TX_RAW_MAX - 8);
    put_fields(&fields, tx);
    put_end(&fields, tx, sig);
    struct csl_writer w = csl_writer_of(whole, CSL_TX_RAW_MAX);
    if (!tx->legacy) {
        csl_writer_u8(&w, TYPE_1559);
    }
    csl_rlp_put_list(&w, fields.n);
    csl_writer_bytes(&w, items, fields.n);
    free(items);
    if (fields.bad || w.bad) {
        free(whole);
        return csl_fail(diag, CSL_EINTERNAL, "a transaction is longer than it can be");
    }
    *out = whole;
    *n_out = w.n;
    return CSL_OK;
}

enum csl_err csl_tx_signing_hash(uint8_t hash[CSL_HASH_BYTES], const struct csl_tx *tx,
                                 struct csl_diag *diag) {
    uint8_t *bytes = NULL;
    size_t n = 0;
    TRY(encode(&bytes, &n, tx, NULL, diag));
    csl_keccak256(hash, bytes, n);
    free(bytes);
    return CSL_OK;
}

enum csl_err csl_tx_encode(uint8_t **raw, size_t *n_raw, const struct csl_tx *tx,
                           const struct csl_tx_signature *sig, struct csl_diag *diag) {
    if (sig->parity != 0 && sig->parity != 1) {
        return csl_fail(diag, CSL_EUSAGE, "a signature's parity is 0 or 1");
    }
    return encode(raw, n_raw, tx, sig, diag);
}

static bool take_fields(struct csl_tx *tx, struct csl_reader *r) {
    const uint8_t *to = NULL;
    size_t n_to = 0;
    uint8_t value[WEI_BYTES];
    bool ok = (tx->legacy || csl_rlp_next_u64(r, &tx->chain_id)) && csl_rlp_next_u64(r, &tx->nonce) &&
              (tx->legacy || csl_rlp_next_u64(r, &tx->max_priority)) && csl_rlp_next_u64(r, &tx->max_fee) &&
              csl_rlp_next_u64(r, &tx->gas_limit) && csl_rlp_next_bytes(r, &to, &n_to) &&
              csl_rlp_next_number(r, value, sizeof value) && csl_rlp_next_bytes(r, &tx->data, &tx->n_data);
    if (!ok || (n_to != 0 && n_to != CSL_ADDRESS_BYTES)) {
        return false;
    }
    tx->creates = n_to == 0;
    if (!tx->creates) {
        memcpy(tx->to, to, n_to);
    }
    for (size_t i = 0; i < sizeof value; i++) {
        tx->value = tx->value << 8 | value[i];
    }
    struct csl_reader access_list = csl_reader_of(NULL, 0);
    return tx->legacy || (csl_rlp_next_list(r, &access_list) && csl_reader_done(&access_list));
}

static bool take_signature(struct csl_tx *tx, struct csl_tx_signature *sig, struct csl_reader *r) {
    uint64_t v = 0;
    if (!csl_rlp_next_u64(r, &v) || !csl_rlp_next_number(r, sig->rs, RS_BYTES) ||
        !csl_rlp_next_number(r, sig->rs + RS_BYTES, RS_BYTES) || !csl_reader_done(r)) {
        return false;
    }
    if (tx->legacy) {
        if (v < 37) { /* 27 and 28, or nothing: signed for every chain */
            return false;
        }
        tx->chain_id = (v - 35) / 2;
        v = (v - 35) % 2;
    }
    sig->parity = (int)(v & 1);
    return v <= 1;
}

enum csl_err csl_tx_decode(struct csl_tx *tx, struct csl_tx_signature *sig, const uint8_t *raw, size_t n_raw,
                           struct csl_diag *diag) {
    struct csl_tx got = {0};
    struct csl_tx_signature got_sig = {0};
    struct csl_reader r = csl_reader_of(raw, n_raw), list = csl_reader_of(NULL, 0);
    if (n_raw == 0 || n_raw > CSL_TX_RAW_MAX) {
        return csl_fail(diag, CSL_EDATA, "a raw transaction of %zu bytes", n_raw);
    }
    if (raw[0] == TYPE_1559) {
        (void)csl_reader_u8(&r);
    } else if (raw[0] < 0xc0) {
        return csl_fail(diag, CSL_EDATA,
                        "a raw transaction of type 0x%02x, where 0x02 (EIP-1559) or a legacy "
                        "one is expected",
                        raw[0]);
    } else {
        got.legacy = true;
    }
    if (!csl_rlp_next_list(&r, &list) || !csl_reader_done(&r) || !take_fields(&got, &list) ||
        !take_signature(&got, &got_sig, &list) || check(&got, NULL) != CSL_OK) {
        return csl_fail(diag, CSL_EDATA, "not the raw bytes of a signed transaction (%zu bytes, %s)", n_raw,
                        got.legacy ? "legacy" : "EIP-1559");
    }
    *tx = got;
    *sig = got_sig;
    return CSL_OK;
}

void csl_tx_hash(uint8_t hash[CSL_HASH_BYTES], const uint8_t *raw, size_t n_raw) {
    csl_keccak256(hash, raw, n_raw);
}

static enum csl_err differ(const char *field, uint64_t got, uint64_t want, struct csl_diag *diag) {
    return csl_fail(diag, CSL_EPROTO, "the signed transaction has %s %" PRIu64 " instead of %" PRIu64, field,
                    got, want);
}

enum csl_err csl_tx_compare(const struct csl_tx *got, const struct csl_tx *want, struct csl_diag *diag) {
    const struct {
        const char *field;
        uint64_t got, want;
    } numbers[] = {{"chain id", got->chain_id, want->chain_id},
                   {"nonce", got->nonce, want->nonce},
                   {"gas limit", got->gas_limit, want->gas_limit},
                   {"a fee per gas of", got->max_fee, want->max_fee},
                   {"a tip per gas of", got->max_priority, want->max_priority}};
    if (got->legacy != want->legacy) {
        return csl_fail(diag, CSL_EPROTO, "the signed transaction is %s, not %s as asked for",
                        got->legacy ? "a legacy one" : "of EIP-1559",
                        want->legacy ? "a legacy one" : "of EIP-1559");
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].got != numbers[i].want) {
            return differ(numbers[i].field, numbers[i].got, numbers[i].want, diag);
        }
    }
    const char *other = NULL;
    if (got->creates != want->creates || memcmp(got->to, want->to, CSL_ADDRESS_BYTES) != 0) {
        other = "recipient";
    } else if (got->value != want->value) {
        other = "value";
    } else if (got->n_data != want->n_data ||
               (want->n_data != 0 && memcmp(got->data, want->data, want->n_data) != 0)) {
        other = "data";
    }
    return other == NULL
               ? CSL_OK
               : csl_fail(diag, CSL_EPROTO, "the signed transaction has another %s than asked for", other);
}
