/* What a node says that the contract holds. */
#include "chain/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/contract_internal.h"
#include "net/http/http.h"

enum { PAGE = 512, CALL_MAX = 4 + 4 * CSL_ABI_WORD, PLACE = 280 };

static enum csl_err odd(const struct csl_contract *c, const char *what, struct csl_diag *diag) {
    char place[PLACE], address[CSL_ADDRESS_ROOM];
    csl_http_place(place, sizeof place, c->rpc->url);
    csl_address_text(address, c->address);
    return csl_fail(diag, CSL_EPROTO, "%s: what it says of the contract %s cannot be: %s", place, address,
                    what);
}

/* ---- Is it the one? ---- */

enum csl_err csl_contract_check(const struct csl_contract *c, struct csl_diag *diag) {
    char place[PLACE], address[CSL_ADDRESS_ROOM];
    uint64_t id = 0;
    uint8_t *code = NULL;
    size_t n = 0;
    csl_http_place(place, sizeof place, c->rpc->url);
    csl_address_text(address, c->address);
    c->rpc->errors = csl_contract_errors;
    c->rpc->n_errors = CSL_CONTRACT_ERRORS;
    TRY(csl_rpc_chain_id(c->rpc, &id, diag));
    if (id != c->chain_id) {
        return csl_fail(
            diag, CSL_ECONFIG,
            "%s is a node of chain %llu, and the roster's chain is %llu: give the URL of another node", place,
            (unsigned long long)id, (unsigned long long)c->chain_id);
    }
    TRY(csl_rpc_code(c->rpc, &code, &n, c->address, CSL_LATEST, diag));
    const uint8_t *want = csl_contract_creation + CSL_CONTRACT_CREATION_BYTES - CSL_CONTRACT_RUNTIME_BYTES;
    bool same = n == CSL_CONTRACT_RUNTIME_BYTES && memcmp(code, want, n) == 0;
    free(code);
    if (!same) {
        return csl_fail(
            diag, CSL_ECONFIG,
            "%s: %s on chain %llu %s: the roster's chain.contract is wrong, or the node is behind", place,
            address, (unsigned long long)id, n == 0 ? "has no code" : "has other code than ConsiliumAnchor");
    }
    return CSL_OK;
}

/* ---- Reading ---- */

/* signature(member, origin, u64...) at that block. */
static enum csl_err ask(const struct csl_contract *c, uint8_t **out, size_t *n, const char *signature,
                        const uint8_t *member, const uint8_t *origin, const uint64_t *more, size_t n_more,
                        const struct csl_block_at *at, struct csl_diag *diag) {
    uint8_t data[CALL_MAX];
    struct csl_writer w = csl_writer_of(data, sizeof data);
    csl_abi_put_selector(&w, signature);
    csl_abi_put_address(&w, member);
    csl_abi_put_bytes32(&w, origin);
    for (size_t i = 0; i < n_more; i++) {
        csl_abi_put_u64(&w, more[i]);
    }
    struct csl_call call = {.to = c->address, .data = data, .n_data = w.n};
    return csl_rpc_call(c->rpc, out, n, &call, at, diag);
}

enum csl_err csl_contract_head(const struct csl_contract *c, uint64_t *count, struct csl_anchor_entry *newest,
                               const uint8_t member[CSL_ADDRESS_BYTES],
                               const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES], const struct csl_block_at *at,
                               struct csl_diag *diag) {
    uint8_t *out = NULL;
    size_t n = 0;
    *count = 0;
    memset(newest, 0, sizeof *newest);
    TRY(ask(c, &out, &n, "head(address,bytes32)", member, origin, NULL, 0, at, diag));
    bool good = csl__contract_take_head(count, newest, out, n);
    free(out);
    return good ? CSL_OK : odd(c, "its head", diag);
}

/* One page: offset, length, then four words an entry. */
static enum csl_err read_page(const struct csl_contract *c, struct csl_anchor_entry *out, uint64_t from,
                              size_t n, const uint8_t *member, const uint8_t *origin,
                              const struct csl_block_at *at, struct csl_diag *diag) {
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    TRY(ask(c, &bytes, &n_bytes, "entries(address,bytes32,uint64,uint64)", member, origin,
            (const uint64_t[2]){from, n}, 2, at, diag));
    uint64_t given = 0;
    bool good = csl__contract_take_page(out, &given, from, n, bytes, n_bytes);
    free(bytes);
    if (!good) {
        return odd(c, "its entries", diag);
    }
    return given == n
               ? CSL_OK
               : csl_fail(diag, CSL_ESTALE,
                          "the chain has fewer anchors than a moment ago: its blocks were reorganised, "
                          "or the node's answers are of different times; try again");
}

/* Each page rises, also from the page before. */
static enum csl_err hand_over(const struct csl_contract *c, const struct csl_anchor_entry *page, size_t n,
                              const struct csl_anchor_entry *before, csl_anchor_sink *sink, void *arg,
                              bool *enough, struct csl_diag *diag) {
    const struct csl_anchor_entry seam[2] = {*before, page[0]};
    if (!csl__contract_rises(page, n) || (before->is.size != 0 && !csl__contract_rises(seam, 2))) {
        return odd(c, "entries whose sizes or blocks do not rise", diag);
    }
    for (size_t i = 0; i < n && !*enough; i++) {
        TRY(sink(arg, &page[i], enough, diag));
    }
    return CSL_OK;
}

enum csl_err csl_contract_each(const struct csl_contract *c, uint64_t from, uint64_t to,
                               const uint8_t member[CSL_ADDRESS_BYTES],
                               const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES], const struct csl_block_at *at,
                               csl_anchor_sink *sink, void *arg, struct csl_diag *diag) {
    struct csl_anchor_entry before = {.index = 0}, *page = calloc(PAGE, sizeof *page);
    if (page == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    enum csl_err err = CSL_OK;
    bool enough = false;
    while (err == CSL_OK && from < to && !enough) {
        size_t n = to - from < PAGE ? (size_t)(to - from) : PAGE;
        err = read_page(c, page, from, n, member, origin, at, diag);
        if (err == CSL_OK) {
            err = hand_over(c, page, n, &before, sink, arg, &enough, diag);
        }
        before = page[n - 1];
        from += n;
    }
    free(page);
    return err;
}

static enum csl_err keep(void *arg, const struct csl_anchor_entry *e, bool *enough, struct csl_diag *diag) {
    struct csl_anchor_entry **at = arg;
    (void)enough;
    (void)diag;
    *(*at)++ = *e;
    return CSL_OK;
}

enum csl_err csl_contract_entries(const struct csl_contract *c, struct csl_anchor_entry **out, uint64_t from,
                                  uint64_t to, const uint8_t member[CSL_ADDRESS_BYTES],
                                  const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES],
                                  const struct csl_block_at *at, struct csl_diag *diag) {
    *out = NULL;
    if (from > to || to - from > CSL_CONTRACT_ENTRIES_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "no such range of anchors");
    }
    struct csl_anchor_entry *all = calloc(to - from + 1, sizeof *all), *next = all;
    if (all == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    enum csl_err err = csl_contract_each(c, from, to, member, origin, at, keep, &next, diag);
    if (err != CSL_OK) {
        free(all);
        return err;
    }
    *out = all;
    return CSL_OK;
}

/* ---- Events ---- */

struct finding {
    const struct csl_anchor_entry *entry;
    struct csl_anchor_event event;
    bool found;
};

static enum csl_err take_event(void *arg, const struct csl_log *log, struct csl_diag *diag) {
    struct finding *f = arg;
    struct csl_anchor_root now;
    if (!csl__contract_take_event(&f->event.previous, &now, log->data, log->n_data) ||
        !csl_anchor_root_same(&now, &f->entry->is) || f->found) {
        return csl_fail(diag, CSL_EPROTO, "the event of anchor %llu is not of what the contract holds",
                        (unsigned long long)f->entry->index);
    }
    memcpy(f->event.tx, log->tx_hash, CSL_HASH_BYTES);
    memcpy(f->event.block_hash, log->block_hash, CSL_HASH_BYTES);
    f->found = true;
    return CSL_OK;
}

enum csl_err csl_contract_event(const struct csl_contract *c, struct csl_anchor_event *out, bool *found,
                                const struct csl_anchor_entry *entry, const uint8_t member[CSL_ADDRESS_BYTES],
                                const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES], struct csl_diag *diag) {
    uint8_t topic[CSL_HASH_BYTES], who[CSL_ABI_WORD], index[CSL_ABI_WORD];
    struct csl_writer w = csl_writer_of(who, sizeof who);
    csl_abi_put_address(&w, member);
    w = csl_writer_of(index, sizeof index);
    csl_abi_put_u64(&w, entry->index);
    csl_abi_topic(topic, "Anchored(address,bytes32,uint64,uint64,bytes32,uint64,bytes32)");
    struct csl_log_filter filter = {.address = c->address,
                                    .topics = {topic, who, origin, index},
                                    .from_block = entry->block,
                                    .to_block = entry->block};
    struct finding f = {.entry = entry};
    *found = false;
    memset(out, 0, sizeof *out);
    TRY(csl_rpc_logs(c->rpc, &filter, take_event, &f, diag));
    *found = f.found;
    if (f.found) {
        *out = f.event;
    }
    return CSL_OK;
}
