/* A site that anchors what its ledger never was, by every kind of transaction that the contract takes: it is
 * named; and by what proves nothing: it is not. */
#include "tests/chain/anvil_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify.h"
#include "chain/anchored.h"
#include "chain/rlp.h"
#include "chain/signed_tx.h"

static const uint8_t roster_digest[32] = {7};

/* How a lie is sent. */
struct lie {
    unsigned type;
    bool any_chain, access_list;
    size_t padding;    /* behind the call's data */
    const uint8_t *to; /* NULL: the contract */
};

struct trial {
    struct csl_anchored a;
    struct csl_audit_report r;
};

static void verify(struct trial *t, struct site *s) {
    csl_bundle *b = NULL;
    struct csl_auditee who = {.name = NAME, .roles = 1, .party = 0, .sign_key = key};
    struct csl_anchored_site site = {.member = &who, .account = s->signer.address, .consortium = CONSORTIUM};
    memset(t, 0, sizeof *t);
    t->r.verdict = CSL_VERDICT_CONSISTENT;
    assert_int_equal(csl_bundle_export(&b, s->ledger, NAME, roster_digest, NULL, NULL, 0, &s->diag), CSL_OK);
    assert_int_equal(csl_anchored_verify(&t->a, &t->r, &s->opt.contract, 1, &site, b, &s->diag), CSL_OK);
    csl_bundle_free(b);
}

/* One finding, and what it says. */
static void expect(struct trial *t, enum csl_verdict v, const char *text) {
    if (t->r.n_findings != 1 || t->r.verdict != v || strstr(t->r.findings[0].text, text) == NULL) {
        for (size_t i = 0; i < t->r.n_findings; i++) {
            print_error("%d: %s\n", (int)t->r.findings[i].verdict, t->r.findings[i].text);
        }
    }
    assert_int_equal(t->r.n_findings, 1);
    assert_int_equal(t->r.verdict, v);
    assert_non_null(strstr(t->r.findings[0].text, text));
    csl_audit_report_clear(&t->r);
}

/* ---- Transactions of all types ---- */

static void put_call(struct csl_writer *w, uint64_t from, uint64_t to, size_t padding) {
    uint8_t call[CSL_CONTRACT_CALL_BYTES + 64] = {0}, origin[CSL_CONTRACT_ORIGIN_BYTES];
    struct csl_anchor_root previous = {.size = from}, next = {.size = to};
    memset(previous.root, from == 0 ? 0 : (int)from, sizeof previous.root);
    memset(next.root, (int)to, sizeof next.root); /* of no ledger */
    assert_int_equal(csl_contract_origin(origin, ORIGIN), CSL_OK);
    csl_contract_put_anchor(call, origin, &previous, &next);
    csl_rlp_put_bytes(w, call, CSL_CONTRACT_CALL_BYTES + padding);
}

static void put_access_list(struct csl_writer *w, bool filled) {
    uint8_t one[64];
    struct csl_writer inner = csl_writer_of(one, sizeof one);
    csl_rlp_put_bytes(&inner, contract_address, CSL_ADDRESS_BYTES);
    csl_rlp_put_list(&inner, 0);
    csl_rlp_put_list(w, filled ? inner.n + 1 : 0);
    if (filled) {
        csl_rlp_put_list(w, inner.n);
        csl_writer_bytes(w, one, inner.n);
    }
}

/* One authorization that is not valid: it is passed over. */
static void put_authorizations(struct csl_writer *w) {
    uint8_t one[64];
    struct csl_writer inner = csl_writer_of(one, sizeof one);
    csl_rlp_put_u64(&inner, CSL_ANVIL_CHAIN_ID);
    csl_rlp_put_bytes(&inner, contract_address, CSL_ADDRESS_BYTES);
    for (uint64_t i = 0; i < 4; i++) {
        csl_rlp_put_u64(&inner, i);
    }
    csl_rlp_put_list(w, inner.n + 1);
    csl_rlp_put_list(w, inner.n);
    csl_writer_bytes(w, one, inner.n);
}

static void put_fields(struct csl_writer *w, const struct lie *l, uint64_t from, uint64_t to,
                       uint64_t nonce) {
    for (const char *kind = csl__signed_tx_forms[l->type]; *kind != '\0'; kind++) {
        switch (*kind) {
        case 't':
            csl_rlp_put_bytes(w, l->to != NULL ? l->to : contract_address, CSL_ADDRESS_BYTES);
            break;
        case 'd':
            put_call(w, from, to, l->padding);
            break;
        case 'A':
            put_access_list(w, l->access_list);
            break;
        case 'Z':
            put_authorizations(w);
            break;
        default:
            csl_rlp_put_u64(w, *kind == 'c'   ? CSL_ANVIL_CHAIN_ID
                               : *kind == 'n' ? nonce
                               : *kind == 'v' ? 0
                               : *kind == 'g' ? 300000
                                              : 20000000000);
        }
    }
}

/* Its bytes with this end behind the fields; the type in front. */
static size_t wrap(uint8_t out[2048], unsigned type, const struct csl_writer *fields,
                   const struct csl_writer *end) {
    struct csl_writer w = csl_writer_of(out, 2048);
    if (type != 0) {
        csl_writer_u8(&w, (uint8_t)type);
    }
    csl_rlp_put_list(&w, fields->n + end->n);
    csl_writer_bytes(&w, fields->out, fields->n);
    csl_writer_bytes(&w, end->out, end->n);
    assert_false(w.bad || fields->bad || end->bad);
    return w.n;
}

/* The account says that its ledger had another root at `to` entries. */
static void anchor_a_lie(const struct site *by, const struct lie *l, uint64_t from, uint64_t to) {
    uint8_t items[1024], last[96], raw[2048], hash[CSL_HASH_BYTES], sig[CSL_ACCOUNT_SIGNATURE_BYTES];
    struct csl_writer fields = csl_writer_of(items, sizeof items), end = csl_writer_of(last, sizeof last);
    char params[2 * sizeof raw + 16], hex[2 * sizeof raw + 3];
    int parity = 0;
    bool bound = l->type == 0 && !l->any_chain;
    put_fields(&fields, l, from, to, nonce_of(by->signer.address));
    if (bound) {
        csl_rlp_put_u64(&end, CSL_ANVIL_CHAIN_ID);
        csl_rlp_put_u64(&end, 0);
        csl_rlp_put_u64(&end, 0);
    }
    csl_keccak256(hash, raw, wrap(raw, l->type, &fields, &end));
    assert_int_equal(csl_account_sign(sig, &parity, by->account, hash), CSL_OK);
    end = csl_writer_of(last, sizeof last);
    uint64_t v = (uint64_t)parity + (bound ? 2 * CSL_ANVIL_CHAIN_ID + 35 : l->any_chain ? 27 : 0);
    csl_rlp_put_u64(&end, v);
    csl_rlp_put_number(&end, sig, 32);
    csl_rlp_put_number(&end, sig + 32, 32);
    csl_hex0x_text(hex, raw, wrap(raw, l->type, &fields, &end));
    (void)snprintf(params, sizeof params, "[\"%s\"]", hex);
    automine(false);
    node_do("eth_sendRawTransaction", params);
    mine(1);
}

static const struct lie plain = {.type = 2};

static void every_lie_names_its_site(void **state) {
    (void)state;
    static const struct lie lies[] = {{.type = 2},
                                      {.type = 2, .padding = 1},
                                      {.type = 2, .padding = 64},
                                      {.type = 2, .access_list = true},
                                      {.type = 1},
                                      {.type = 1, .access_list = true, .padding = 3},
                                      {.type = 0},
                                      {.type = 0, .padding = 32},
                                      {.type = 0, .any_chain = true},
                                      {.type = 4},
                                      {.type = 4, .access_list = true, .padding = 5}};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct site s;
        struct trial t;
        site_open(&s, 3);
        anchor_a_lie(&s, &lies[i], 0, 2);
        assert_int_equal(anchors_of(&s, NULL), 1); /* the contract took it */
        verify(&t, &s);
        assert_int_equal(t.a.n_compared, 1);
        expect(&t, CSL_VERDICT_ATTRIBUTABLE, "contradicts its anchor 0");
        assert_int_equal(step(&s, true), CSL_EAUTH); /* and who has the ledger is told, too */
        site_close(&s);
    }
}

/* The slot of a member's list: keccak256(origin | keccak256(member | 0)); its entries have two slots each,
 * from the hash of that on. */
static void set_root(const struct site *s, unsigned index, uint8_t value) {
    uint8_t words[64] = {0}, slot[32], root[32];
    char params[512], where[CSL_HASH_ROOM], what[CSL_HASH_ROOM], to[CSL_ADDRESS_ROOM];
    memcpy(words + 12, s->signer.address, CSL_ADDRESS_BYTES);
    csl_keccak256(words + 32, words, 64);
    assert_int_equal(csl_contract_origin(words, ORIGIN), CSL_OK);
    csl_keccak256(slot, words, 64);
    csl_keccak256(slot, slot, 32);
    for (unsigned carry = 2 * index, i = 32; i-- > 0 && carry != 0;) {
        carry += slot[i];
        slot[i] = (uint8_t)carry;
        carry >>= 8;
    }
    memset(root, value, sizeof root);
    csl_hex0x_text(where, slot, sizeof slot);
    csl_hex0x_text(what, root, sizeof root);
    csl_address_text(to, contract_address);
    (void)snprintf(params, sizeof params, "[\"%s\",\"%s\",\"%s\"]", to, where, what);
    node_do("anvil_setStorageAt", params);
}

/* Contradicting anchors that cannot be proven hide none that can. */
static void one_proof_is_enough(void **state) {
    (void)state;
    struct site s;
    struct trial t;
    site_open(&s, 6);
    for (uint64_t i = 0; i < 4; i++) {
        anchor_a_lie(&s, &plain, i, i + 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        set_root(&s, i, 0xee); /* the node has another root than was signed */
    }
    verify(&t, &s);
    expect(&t, CSL_VERDICT_ATTRIBUTABLE, "contradicts its anchor 3");
    assert_int_equal(t.a.n_compared, 4);
    set_root(&s, 3, 0xee);
    verify(&t, &s);
    expect(&t, CSL_VERDICT_MISMATCH, "anchor 0 in block");
    site_close(&s);
}

/* With more of them than are tried, the newest are: nodes forget the old ones. */
static void the_newest_are_tried(void **state) {
    (void)state;
    enum { MANY = 70 };
    struct site s;
    struct trial t;
    site_open(&s, MANY + 2);
    for (uint64_t i = 0; i < MANY; i++) {
        anchor_a_lie(&s, &plain, i, i + 1);
    }
    for (unsigned i = 0; i < MANY - 2; i++) {
        set_root(&s, i, 0xee);
    }
    verify(&t, &s);
    expect(&t, CSL_VERDICT_ATTRIBUTABLE, "contradicts its anchor 69");
    site_close(&s);
}

/* The account's own event, made by a transaction that is none of its calls (EIP-7702: the account has code).
 */
static void code_of_the_account(void **state) {
    (void)state;
    struct site s, other;
    struct trial t;
    char params[512], who[CSL_ADDRESS_ROOM], contract[CSL_ADDRESS_ROOM];
    site_open(&s, 3);
    site_open(&other, 1);
    csl_address_text(who, s.signer.address);
    csl_hex0x_text(contract, contract_address, CSL_ADDRESS_BYTES);
    /* Passes its input on: calldatacopy(0, 0, size); call(gas, contract, 0, 0, size, 0, 0). */
    (void)snprintf(params, sizeof params, "[\"%s\",\"0x365f5f375f5f365f5f73%s5af100\"]", who, contract + 2);
    node_do("anvil_setCode", params);
    const struct lie to_it = {.type = 2, .to = s.signer.address};
    anchor_a_lie(&other, &to_it, 0, 2);
    assert_int_equal(anchors_of(&s, NULL), 1);
    verify(&t, &s);
    expect(&t, CSL_VERDICT_MISMATCH, "EIP-7702");
    site_close(&other);
    site_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lie_names_its_site),
        cmocka_unit_test(one_proof_is_enough),
        cmocka_unit_test(the_newest_are_tried),
        cmocka_unit_test(code_of_the_account),
    };
    need_anvil();
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
