/* Fees, signing and sending. */
#include <stdlib.h>
#include <string.h>

#include "chain/anchor_internal.h"
#include "net/http/http.h"

enum { PLACE = 280, GWEI = 1000000000 };

/* ---- What to offer ---- */

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Chains of which everybody knows that their blocks have a base fee: mainnet, its test chains (Sepolia,
 * Holesky, Hoodi), OP, Gnosis, Polygon, Base, Avalanche. */
static bool has_base_fee(uint64_t chain_id) {
    static const uint64_t known[] = {1, 11155111, 17000, 560048, 10, 100, 137, 8453, 43114};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i] == chain_id) {
            return true;
        }
    }
    return false;
}

/* A legacy price is paid in full, whatever others pay: a node must not talk us into one. */
static enum csl_err hides_base_fee(const struct csl_rpc *rpc, struct csl_diag *diag) {
    char place[PLACE];
    csl_http_place(place, sizeof place, rpc->url);
    return csl_fail(diag, CSL_EPROTO,
                    "%s shows no base fee, and this chain's blocks have one: nothing is signed; name another "
                    "node (--url)",
                    place);
}

/* Twice the base fee leaves room for six full blocks; what is not needed is not paid. */
enum csl_err csl__anchor_fees(struct csl_tx *tx, struct csl_rpc *rpc, const struct csl_anchor_limits *limits,
                              struct csl_diag *diag) {
    struct csl_fees f;
    TRY(csl_rpc_fees(rpc, &f, diag));
    if (f.legacy && has_base_fee(tx->chain_id)) {
        return hides_base_fee(rpc, diag);
    }
    tx->legacy = f.legacy;
    tx->max_priority = f.legacy ? 0 : least(f.priority, limits->max_priority);
    uint64_t floor = f.legacy ? f.gas_price : f.base_fee;
    if (floor > limits->max_fee || limits->max_fee - floor < tx->max_priority) {
        return csl_fail(
            diag, CSL_EBUSY,
            "the chain asks for %llu.%03llu gwei a gas, more than --max-fee-gwei %llu: anchored when it "
            "is less",
            (unsigned long long)(floor / GWEI), (unsigned long long)(floor / (GWEI / 1000) % 1000),
            (unsigned long long)(limits->max_fee / GWEI));
    }
    uint64_t room = limits->max_fee - tx->max_priority;
    tx->max_fee = f.legacy ? floor : tx->max_priority + (floor > room / 2 ? room : 2 * floor);
    return CSL_OK;
}

/* The same, where earlier blocks of the chain were seen. */
static enum csl_err fees_now(struct csl_tx *tx, const struct csl_anchor *a, struct csl_diag *diag) {
    TRY(csl__anchor_fees(tx, a->opt.contract.rpc, &a->opt.limits, diag));
    return tx->legacy && a->box->base_fee ? hides_base_fee(a->opt.contract.rpc, diag) : CSL_OK;
}

enum csl_err csl__anchor_funds(struct csl_rpc *rpc, const uint8_t account[CSL_ADDRESS_BYTES],
                               const struct csl_tx *tx, struct csl_diag *diag) {
    char who[CSL_ADDRESS_ROOM], has[CSL_WEI_ROOM], needs[CSL_WEI_ROOM];
    csl_wei balance = 0;
    TRY(csl_rpc_balance(rpc, &balance, account, CSL_LATEST, diag));
    if (balance >= csl_tx_cost(tx)) {
        return CSL_OK;
    }
    csl_address_text(who, account);
    csl_wei_text(has, balance);
    csl_wei_text(needs, csl_tx_cost(tx));
    return csl_fail(diag, CSL_EUNAVAILABLE,
                    "insufficient funds: account %s has %s coins, and this may cost %s: send it some", who,
                    has, needs);
}

/* An eighth more, as nodes demand of a replacement (10 %; some 12.5 %), and at least what is asked now. */
static bool raised(uint64_t *out, uint64_t old, uint64_t now, uint64_t limit) {
    uint64_t step = old / 8 + 1;
    uint64_t v = old > UINT64_MAX - step ? UINT64_MAX : old + step;
    *out = v > now ? v : now;
    return *out <= limit;
}

/* ---- Signing ---- */

static struct csl_tx tx_of(const struct csl_anchor *a, const struct csl_outbox_entry *e,
                           uint8_t call[CSL_CONTRACT_CALL_BYTES]) {
    csl_contract_put_anchor(call, a->origin, &e->previous, &e->is);
    struct csl_tx tx = {.chain_id = a->opt.contract.chain_id,
                        .nonce = e->nonce,
                        .data = call,
                        .n_data = CSL_CONTRACT_CALL_BYTES,
                        .gas_limit = e->gas_limit};
    memcpy(tx.to, a->opt.contract.address, sizeof tx.to);
    return tx;
}

/* Signs tx as the entry's next variant, and keeps it. */
static enum csl_err sign_variant(struct csl_anchor *a, struct csl_outbox_entry *e, const struct csl_tx *tx,
                                 struct csl_diag *diag) {
    uint8_t *raw = NULL;
    struct csl_outbox_variant *v = &e->variants[e->n_variants];
    memset(v, 0, sizeof *v);
    TRY(csl_signer_sign(&raw, &v->n_raw, v->hash, a->opt.signer, tx, diag));
    bool fits = v->n_raw <= sizeof v->raw;
    if (fits) {
        memcpy(v->raw, raw, v->n_raw);
    }
    free(raw);
    if (!fits) {
        return csl_fail(diag, CSL_EPROTO, "the signed transaction is longer than an anchor's can be");
    }
    v->max_fee = tx->max_fee;
    v->max_priority = tx->max_priority;
    v->legacy = tx->legacy;
    e->n_variants++;
    e->state = CSL_OUTBOX_SIGNED;
    e->signed_s = csl__anchor_now(a);
    TRY(csl_outbox_save(a->box, diag));
    csl__anchor_at(a, CSL_POINT_SIGNED);
    return CSL_OK;
}

/* ---- Gas ---- */

/* What is enough by Ethereum's prices, whatever a node says: EIP-2028 and EIP-7623 for the data, and the
 * code, which takes 70,000 at a ledger's first anchor. What is not used is not paid. */
static uint64_t gas_floor(const uint8_t call[CSL_CONTRACT_CALL_BYTES]) {
    enum { TRANSACTION = 21000, CODE = 80000, BYTE = 16, ZERO = 4, TOKEN = 10 };
    uint64_t data = 0, tokens = 0;
    for (size_t i = 0; i < CSL_CONTRACT_CALL_BYTES; i++) {
        data += call[i] == 0 ? ZERO : BYTE;
        tokens += call[i] == 0 ? 1 : 4;
    }
    return TRANSACTION + (data + CODE > TOKEN * tokens ? data + CODE : TOKEN * tokens);
}

/* Says why the contract would refuse, before anything is paid. */
static enum csl_err estimate(struct csl_anchor *a, struct csl_outbox_entry *e, const uint8_t *call,
                             struct csl_diag *diag) {
    struct csl_rpc *rpc = a->opt.contract.rpc;
    struct csl_call c = {
        .from = a->account, .to = a->opt.contract.address, .data = call, .n_data = CSL_CONTRACT_CALL_BYTES};
    uint64_t gas = 0;
    enum csl_err err = csl_rpc_estimate_gas(rpc, &gas, &c, diag);
    if (err == CSL_EPEER && rpc->refused == CSL_REFUSED_REVERT &&
        rpc->revert_known == CSL_CONTRACT_NOT_CURRENT) {
        err = csl_fail_context(diag, CSL_ESTALE, "the chain's newest anchor changed meanwhile; try again");
    }
    TRY(err);
    if (gas > a->opt.limits.gas_limit) {
        return csl_fail(
            diag, CSL_EPROTO,
            "the node says that an anchor takes %llu gas, and --gas-limit is %llu: nothing is sent",
            (unsigned long long)gas, (unsigned long long)a->opt.limits.gas_limit);
    }
    uint64_t room = gas + gas / 4, needs = gas_floor(call); /* another block may cost a little more */
    e->gas_limit = least(room > needs ? room : needs, a->opt.limits.gas_limit);
    return CSL_OK;
}

/* ---- Sending ---- */

static enum csl_err raise_fees(struct csl_anchor *a, struct csl_outbox_entry *e, struct csl_diag *diag);

/* The newest variant. A used nonce is looked into by the next step. */
static enum csl_err send(struct csl_anchor *a, struct csl_outbox_entry *e, struct csl_diag *diag) {
    struct csl_rpc *rpc = a->opt.contract.rpc;
    const struct csl_outbox_variant *v = &e->variants[e->n_variants - 1];
    enum csl_err err = csl_rpc_send(rpc, v->raw, v->n_raw, diag);
    if (err == CSL_EPEER && (rpc->refused == CSL_REFUSED_KNOWN || rpc->refused == CSL_REFUSED_NONCE_LOW)) {
        err = CSL_OK;
    }
    if (err == CSL_OK) {
        csl__anchor_at(a, CSL_POINT_SENT);
    }
    return err;
}

/* For a replacement. Behind others of ours that wait it cannot be estimated; and a node that estimates on top
 * of its pool finds the very anchor there that is to be replaced, where the contract was read in this step.
 */
static enum csl_err estimate_again(struct csl_anchor *a, struct csl_outbox_entry *e, const uint8_t *call,
                                   struct csl_diag *diag) {
    struct csl_rpc *rpc = a->opt.contract.rpc;
    if (e == &a->box->entries[csl__anchor_waiting(a)]) {
        enum csl_err err = estimate(a, e, call, diag);
        bool in_pool = err == CSL_ESTALE && rpc->refused == CSL_REFUSED_REVERT;
        TRY(in_pool ? CSL_OK : err);
    }
    uint64_t needs = least(gas_floor(call), a->opt.limits.gas_limit);
    e->gas_limit = e->gas_limit > needs ? e->gas_limit : needs;
    return CSL_OK;
}

/* The same nonce and call for more; at the limits it waits on. */
static enum csl_err raise_fees(struct csl_anchor *a, struct csl_outbox_entry *e, struct csl_diag *diag) {
    const struct csl_outbox_variant *old = &e->variants[e->n_variants - 1];
    const struct csl_anchor_limits *limits = &a->opt.limits;
    uint8_t call[CSL_CONTRACT_CALL_BYTES];
    struct csl_tx tx = tx_of(a, e, call), now = tx;
    TRY(fees_now(&now, a, diag));
    tx.legacy = old->legacy;
    if (e->n_variants == CSL_OUTBOX_VARIANTS) {
        return csl_fail(diag, CSL_EBUSY,
                        "the anchor of %llu entries waits with nonce %llu, and was signed %d times, each for "
                        "more: no more is offered, and the last is kept with the node until a block has it",
                        (unsigned long long)e->is.size, (unsigned long long)e->nonce, CSL_OUTBOX_VARIANTS);
    }
    bool may = raised(&tx.max_fee, old->max_fee, now.max_fee, limits->max_fee);
    may = may && (tx.legacy || raised(&tx.max_priority, old->max_priority, now.max_priority,
                                      least(limits->max_priority, tx.max_fee)));
    if (!may) {
        return csl_fail(diag, CSL_EBUSY,
                        "the anchor of %llu entries waits with nonce %llu, and its fees are at the limits "
                        "(--max-fee-gwei %llu, --max-tip-gwei %llu)",
                        (unsigned long long)e->is.size, (unsigned long long)e->nonce,
                        (unsigned long long)(limits->max_fee / GWEI),
                        (unsigned long long)(limits->max_priority / GWEI));
    }
    TRY(estimate_again(a, e, call, diag));
    tx.gas_limit = e->gas_limit;
    TRY(csl__anchor_funds(a->opt.contract.rpc, a->account, &tx, diag));
    csl__anchor_say(a, "the anchor of %llu entries waits: sent again with more fees",
                    (unsigned long long)e->is.size);
    TRY(sign_variant(a, e, &tx, diag));
    return send(a, e, diag);
}

/* Whether the node has it in its pool or a block. */
static enum csl_err is_known(bool *known, const struct csl_anchor *a, const struct csl_outbox_entry *e,
                             struct csl_diag *diag) {
    struct csl_rpc_tx tx;
    *known = false;
    for (size_t k = e->n_variants; !*known && k > 0; k--) {
        TRY(csl_rpc_transaction(a->opt.contract.rpc, &tx, known, e->variants[k - 1].hash, diag));
    }
    return CSL_OK;
}

/* Nonces before ours are missing, and nobody sent them for long: ours would wait for ever. */
static enum csl_err check_gap(struct csl_anchor *a, size_t i, bool *cut, struct csl_diag *diag) {
    uint64_t next = 0;
    TRY(csl_rpc_nonce(a->opt.contract.rpc, &next, a->account, CSL_PENDING, diag));
    *cut = next < a->box->entries[i].nonce;
    if (*cut) {
        csl__anchor_say(a, "nonces before %llu are missing: the anchor of %llu entries is made anew",
                        (unsigned long long)a->box->entries[i].nonce,
                        (unsigned long long)a->box->entries[i].is.size);
        csl_outbox_cut(a->box, i);
        return csl_outbox_save(a->box, diag);
    }
    return CSL_OK;
}

/* Also when the clock was put back: else it might wait for long. */
static bool is_late(const struct csl_anchor *a, const struct csl_outbox_entry *e) {
    int64_t now = csl__anchor_now(a);
    return now < e->signed_s || now - e->signed_s >= (int64_t)a->opt.limits.resend_s;
}

enum csl_err csl__anchor_send_again(struct csl_anchor *a, struct csl_diag *diag) {
    size_t first = csl__anchor_waiting(a);
    for (size_t i = first; i < a->box->n && a->box->entries[i].state == CSL_OUTBOX_SIGNED; i++) {
        struct csl_outbox_entry *e = &a->box->entries[i];
        bool late = i == first && is_late(a, e);
        bool known = false, cut = false;
        TRY(is_known(&known, a, e, diag));
        if (late) {
            TRY(check_gap(a, i, &cut, diag));
        }
        if (cut) {
            return CSL_OK;
        }
        if (late) {
            enum csl_err err = raise_fees(a, e, diag);
            if (!known && (err == CSL_EBUSY || err == CSL_EUNAVAILABLE)) {
                err = send(a, e, diag); /* no more to offer: the bytes that we have */
            }
            TRY(err);
        } else if (!known) {
            enum csl_err err = send(a, e, diag);
            bool low = err == CSL_EPEER && a->opt.contract.rpc->refused == CSL_REFUSED_UNDERPRICED;
            TRY(low ? raise_fees(a, e, diag) : err);
        }
    }
    return CSL_OK;
}

/* ---- A new one ---- */

/* Behind those of our own that the node may have forgotten. */
static enum csl_err choose_nonce(struct csl_anchor *a, struct csl_outbox_entry *e, struct csl_diag *diag) {
    TRY(csl_rpc_nonce(a->opt.contract.rpc, &e->nonce, a->account, CSL_PENDING, diag));
    for (const struct csl_outbox_entry *o = a->box->entries; o < e; o++) {
        if (o->n_variants != 0 && o->nonce >= e->nonce) {
            e->nonce = o->nonce + 1; /* below 2^64: a transaction's is below 2^64 - 1 */
        }
    }
    if (e->nonce == UINT64_MAX) {
        return csl_fail(diag, CSL_EPROTO, "the nodes' count of the account's transactions cannot be");
    }
    return CSL_OK;
}

enum csl_err csl__anchor_send_new(struct csl_anchor *a, struct csl_diag *diag) {
    struct csl_outbox_entry *e = &a->box->entries[a->box->n - 1];
    uint8_t call[CSL_CONTRACT_CALL_BYTES];
    if (a->box->reverts >= a->opt.limits.reverts && !a->opt.after_reverts) {
        return csl_fail(
            diag, CSL_EPERM,
            "%u anchors in a row were mined and reverted, each for its fees: look at the transactions, "
            "then start with --after-reverts",
            a->box->reverts);
    }
    struct csl_tx tx = tx_of(a, e, call);
    TRY(estimate(a, e, call, diag));
    TRY(choose_nonce(a, e, diag));
    tx = tx_of(a, e, call);
    TRY(fees_now(&tx, a, diag));
    TRY(csl__anchor_funds(a->opt.contract.rpc, a->account, &tx, diag));
    TRY(sign_variant(a, e, &tx, diag));
    return send(a, e, diag);
}
