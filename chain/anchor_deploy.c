/* Putting the contract on the chain. The signed bytes are on the disk before they are sent, so that whatever
 * breaks off, the next run sends the same transaction or finds its receipt: nobody pays twice, and no address
 * is lost. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "chain/anchor_internal.h"
#include "crypto/secret.h"
#include "net/http/http.h"

enum { POLL_MS = 250, DEPLOY_GAS_MAX = 3000000, KEPT_MAX = 2 * CSL_TX_RAW_MAX + 4 };

/* One deployment: its transaction, and where it is kept. */
struct deploy {
    struct csl_rpc *rpc;
    uint64_t chain_id;
    const struct csl_signer *signer;
    const char *kept;
    int lock;
    uint8_t *raw;
    size_t n_raw;
    uint8_t hash[CSL_HASH_BYTES];
    char text[CSL_HASH_ROOM]; /* of the hash */
    struct csl_diag *diag;
};

static void nap(void) {
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static int64_t clock_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Before each error from the signature on. */
static enum csl_err may_be_sent(const struct deploy *d, enum csl_err err) {
    return csl_fail_context(
        d->diag, err, "transaction %s may have been sent and is kept in %s: run this again, it goes on there",
        d->text, d->kept);
}

/* ---- What is kept ---- */

static enum csl_err take_lock(struct deploy *d) {
    char path[CSL__PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s.lock", d->kept) >= sizeof path) {
        return csl_fail(d->diag, CSL_EUSAGE, "%s: the path is too long", d->kept);
    }
    d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock < 0) {
        return csl_fail(d->diag, CSL_ECREATE, "%s: %s", path, strerror(errno));
    }
    return flock(d->lock, LOCK_EX | LOCK_NB) == 0
               ? CSL_OK
               : csl_fail(d->diag, CSL_EBUSY, "%s: another --deploy of this account runs; one is enough",
                          path);
}

static enum csl_err keep(struct deploy *d) {
    char *text = malloc(2 * d->n_raw + 4);
    if (text == NULL) {
        return csl_fail(d->diag, CSL_ENOMEM, "out of memory");
    }
    csl_hex0x_text(text, d->raw, d->n_raw);
    memcpy(text + 2 * d->n_raw + 2, "\n", 2);
    enum csl_err err = csl__replace_file(d->kept, 0600, text, strlen(text), d->diag);
    free(text);
    return err;
}

/* That it is this contract's creation by this account on this chain. */
static bool is_ours(const struct deploy *d) {
    struct csl_tx tx;
    struct csl_tx_signature sig;
    uint8_t sender[CSL_ADDRESS_BYTES];
    return csl_tx_decode(&tx, &sig, d->raw, d->n_raw, NULL) == CSL_OK && tx.creates &&
           tx.chain_id == d->chain_id && tx.n_data == CSL_CONTRACT_CREATION_BYTES &&
           memcmp(tx.data, csl_contract_creation, tx.n_data) == 0 &&
           csl_tx_sender(sender, d->raw, d->n_raw, NULL) == CSL_OK &&
           memcmp(sender, d->signer->address, sizeof sender) == 0;
}

static enum csl_err take_kept(struct deploy *d, const char *text, size_t n) {
    char account[CSL_ADDRESS_ROOM];
    csl_address_text(account, d->signer->address);
    size_t n_hex = n > 0 && text[n - 1] == '\n' ? n - 1 : 0; /* "0x", digits, end of line */
    bool whole = n_hex > 2 && n_hex % 2 == 0 && strlen(text) == n;
    char *hex = whole ? strndup(text, n_hex) : NULL;
    d->n_raw = whole ? (n_hex - 2) / 2 : 0;
    d->raw = whole ? malloc(d->n_raw) : NULL;
    bool good = hex != NULL && d->raw != NULL && csl_hex0x_parse(d->raw, d->n_raw, hex) && is_ours(d);
    free(hex);
    return good ? CSL_OK
                : csl_fail(
                      d->diag, CSL_EDATA,
                      "%s is damaged, or no creation of this contract by %s on chain %llu: look what became "
                      "of it, move it away and deploy again",
                      d->kept, account, (unsigned long long)d->chain_id);
}

static enum csl_err load_kept(struct deploy *d) {
    char *text = NULL;
    size_t n = 0;
    enum csl_err err = csl__read_file(&text, &n, d->kept, KEPT_MAX, d->diag);
    if (err == CSL_ENOINPUT && access(d->kept, F_OK) != 0) {
        return CSL_OK;
    }
    TRY(err);
    err = take_kept(d, text, n);
    csl_secret_free(text);
    return err;
}

/* ---- Signing, sending ---- */

/* The kept one, or a new one that is kept from now on. */
static enum csl_err sign(struct deploy *d, const struct csl_anchor_limits *limits) {
    struct csl_tx tx = {.chain_id = d->chain_id,
                        .creates = true,
                        .data = csl_contract_creation,
                        .n_data = CSL_CONTRACT_CREATION_BYTES};
    struct csl_call call = {.from = d->signer->address, .data = tx.data, .n_data = tx.n_data};
    TRY(csl_rpc_estimate_gas(d->rpc, &tx.gas_limit, &call, d->diag));
    if (tx.gas_limit > DEPLOY_GAS_MAX) {
        return csl_fail(d->diag, CSL_EPROTO,
                        "the node says that the contract takes %llu gas: nothing is sent",
                        (unsigned long long)tx.gas_limit);
    }
    tx.gas_limit += tx.gas_limit / 8;
    TRY(csl_rpc_nonce(d->rpc, &tx.nonce, d->signer->address, CSL_PENDING, d->diag));
    TRY(csl__anchor_fees(&tx, d->rpc, limits, d->diag));
    TRY(csl__anchor_funds(d->rpc, d->signer->address, &tx, d->diag));
    TRY(csl_signer_sign(&d->raw, &d->n_raw, d->hash, d->signer, &tx, d->diag));
    return keep(d);
}

/* A node that has it, or whose chain has it, takes it for known, or its nonce for used. */
static enum csl_err send(struct deploy *d) {
    enum csl_err err = csl_rpc_send(d->rpc, d->raw, d->n_raw, d->diag);
    if (err != CSL_EPEER || d->rpc->refused == CSL_REFUSED_NOT) {
        return err;
    }
    return d->rpc->refused == CSL_REFUSED_KNOWN ? CSL_OK : err;
}

static enum csl_err nonce_taken(const struct deploy *d) {
    return csl_fail(
        d->diag, CSL_ESTALE,
        "the account used the nonce of transaction %s for another one, and this node shows no receipt of "
        "it: when no other node does, move %s away and deploy again",
        d->text, d->kept);
}

/* Makes the node know it, unless it is in a block. */
static enum csl_err make_known(struct deploy *d, bool *mined, struct csl_receipt *r) {
    TRY(csl_rpc_receipt(d->rpc, r, mined, d->hash, d->diag));
    if (*mined) {
        return CSL_OK;
    }
    enum csl_err err = send(d);
    if (err != CSL_EPEER || d->rpc->refused != CSL_REFUSED_NONCE_LOW) {
        return err;
    }
    TRY(csl_rpc_receipt(d->rpc, r, mined, d->hash,
                        d->diag)); /* its block came meanwhile, or it is another's */
    return *mined ? CSL_OK : nonce_taken(d);
}

/* Until its block comes. A node that is in trouble meanwhile is asked again. */
static enum csl_err await(struct deploy *d, struct csl_receipt *r, uint32_t wait_ms) {
    int64_t until = clock_ms() + wait_ms;
    for (bool found = false;;) {
        enum csl_err err = csl_rpc_receipt(d->rpc, r, &found, d->hash, d->diag);
        if (err == CSL_OK && found) {
            return CSL_OK;
        }
        if (err != CSL_OK && !csl_anchor_again(err)) {
            return err;
        }
        if (clock_ms() >= until) {
            return err != CSL_OK ? err : csl_fail(d->diag, CSL_ETIMEOUT, "it is not in a block yet");
        }
        nap();
    }
}

/* ---- The contract ---- */

static enum csl_err look_at(struct deploy *d, uint8_t contract[CSL_ADDRESS_BYTES],
                            const struct csl_receipt *r) {
    if (!r->succeeded || !r->created) {
        (void)unlink(d->kept); /* nothing will become of it any more */
        return csl_fail(d->diag, CSL_EPEER,
                        "transaction %s was mined and has made no contract; the next run begins anew",
                        d->text);
    }
    struct csl_contract c = {.rpc = d->rpc, .chain_id = d->chain_id};
    memcpy(c.address, r->contract, CSL_ADDRESS_BYTES);
    enum csl_err err = csl_contract_check(&c, d->diag);
    if (err != CSL_OK) {
        return csl_fail_context(
            d->diag, err, "transaction %s has made the contract, and it cannot be checked now", d->text);
    }
    memcpy(contract, r->contract, CSL_ADDRESS_BYTES);
    return CSL_OK;
}

static enum csl_err check_chain(const struct deploy *d) {
    uint64_t id = 0;
    char place[280];
    csl_http_place(place, sizeof place, d->rpc->url);
    TRY(csl_rpc_chain_id(d->rpc, &id, d->diag));
    return id == d->chain_id
               ? CSL_OK
               : csl_fail(d->diag, CSL_ECONFIG, "%s is a node of chain %llu, not of --chain-id %llu", place,
                          (unsigned long long)id, (unsigned long long)d->chain_id);
}

static enum csl_err run(struct deploy *d, struct csl_receipt *r, const struct csl_anchor_limits *limits,
                        uint32_t wait_ms) {
    bool mined = false;
    enum csl_err err = CSL_OK;
    TRY(check_chain(d));
    TRY(take_lock(d));
    TRY(load_kept(d));
    bool anew = d->raw == NULL;
    if (anew) {
        TRY(sign(d, limits));
    }
    csl_tx_hash(d->hash, d->raw, d->n_raw);
    csl_hex0x_text(d->text, d->hash, sizeof d->hash);
    err = anew ? send(d) : make_known(d, &mined, r);
    if (err == CSL_OK && !mined) {
        err = await(d, r, wait_ms);
    }
    return err == CSL_OK ? CSL_OK : may_be_sent(d, err);
}

enum csl_err csl_anchor_deploy(uint8_t contract[CSL_ADDRESS_BYTES], uint8_t tx_hash[CSL_HASH_BYTES],
                               uint64_t *gas_used, struct csl_rpc *rpc, uint64_t chain_id,
                               const struct csl_signer *signer, const struct csl_anchor_limits *limits,
                               uint32_t wait_ms, const char *kept, struct csl_diag *diag) {
    struct csl_diag none = {""};
    struct csl_receipt r = {.succeeded = false};
    struct deploy d = {.rpc = rpc,
                       .chain_id = chain_id,
                       .signer = signer,
                       .kept = kept,
                       .lock = -1,
                       .diag = diag != NULL ? diag : &none};
    enum csl_err err = run(&d, &r, limits, wait_ms);
    if (err == CSL_OK) {
        err = look_at(&d, contract, &r);
    }
    if (err == CSL_OK) {
        memcpy(tx_hash, d.hash, CSL_HASH_BYTES);
        *gas_used = r.gas_used;
    }
    if (d.lock >= 0) {
        (void)close(d.lock);
    }
    free(d.raw);
    return err;
}
