/* RLP and raw transactions: what is taken has one encoding, so that writing it again gives the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "chain/rlp.h"
#include "chain/signed_tx.h"
#include "chain/tx.h"

/* Writes the items of r again; lists by their items. Not deeper than csl_rlp_valid has looked. */
static void write_again(struct csl_writer *w, struct csl_reader r) {
    struct csl_rlp_item item;
    while (r.left > 0) {
        if (!csl_rlp_next(&r, &item)) {
            abort();
        }
        if (item.is_list) {
            csl_rlp_put_list(w, item.n);
            write_again(w, csl_reader_of(item.p, item.n));
        } else {
            csl_rlp_put_bytes(w, item.p, item.n);
        }
    }
}

static void check_items(const uint8_t *data, size_t size) {
    if (!csl_rlp_valid(data, size, CSL_RLP_DEPTH_MAX)) {
        return;
    }
    uint8_t *again = malloc(size);
    struct csl_writer w = csl_writer_of(again, size);
    write_again(&w, csl_reader_of(data, size));
    if (w.bad || w.n != size || memcmp(again, data, size) != 0) {
        abort();
    }
    free(again);
}

static void check_transaction(const uint8_t *data, size_t size) {
    struct csl_tx tx;
    struct csl_tx_signature sig;
    uint8_t *again = NULL;
    size_t n = 0;
    if (csl_tx_decode(&tx, &sig, data, size, NULL) != CSL_OK) {
        return;
    }
    if (csl_tx_encode(&again, &n, &tx, &sig, NULL) != CSL_OK || n != size || memcmp(again, data, size) != 0) {
        abort();
    }
    free(again);
}

/* Whatever is taken for a transaction that we send is evidence, too, and says the same. */
static void check_evidence(const uint8_t *data, size_t size) {
    struct csl_signed_tx e;
    struct csl_tx tx;
    struct csl_tx_signature sig;
    uint8_t hash[CSL_HASH_BYTES];
    bool ours = csl_tx_decode(&tx, &sig, data, size, NULL) == CSL_OK;
    if (csl_signed_tx_decode(&e, data, size, NULL) != CSL_OK) {
        if (ours) {
            abort();
        }
        return;
    }
    if ((e.n_data != 0 && (e.data < data || e.n_data > size)) || e.any_chain != (e.chain_id == 0)) {
        abort();
    }
    if (ours &&
        (csl_tx_signing_hash(hash, &tx, NULL) != CSL_OK || memcmp(hash, e.signing_hash, sizeof hash) != 0 ||
         memcmp(&sig, &e.sig, sizeof sig) != 0 || e.chain_id != tx.chain_id || e.nonce != tx.nonce ||
         e.creates != tx.creates || memcmp(e.to, tx.to, sizeof e.to) != 0 || e.pays != (tx.value != 0) ||
         e.data != tx.data || e.n_data != tx.n_data)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_items(data, size);
    check_transaction(data, size);
    check_evidence(data, size);
    return 0;
}
