/* Nodes that never come to an end: all questions have one deadline, and no list is read as a whole. */
#include "tests/chain/liar_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify.h"
#include "chain/anchored.h"

static void questions_end(void **state) {
    (void)state;
    struct site s;
    volatile sig_atomic_t stopped = 1;
    site_open(&s, 1);
    s.rpc.until_ms = csl_rpc_now_ms() - 1;
    assert_int_equal(step(&s, true), CSL_ETIMEOUT);
    assert_non_null(strstr(s.diag.text, "is over"));
    s.rpc.until_ms = csl_rpc_now_ms() + 60000;
    s.rpc.stopped = &stopped;
    assert_int_equal(step(&s, true), CSL_ETIMEOUT);
    assert_non_null(strstr(s.diag.text, "stopped"));
    stopped = 0;
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* More anchors than anybody can read: pages of entries without an end. */
static json_t *endless(struct liar *l, const char *method, const json_t *params) {
    const char *data = json_string_value(json_object_get(json_array_get(params, 0), "data"));
    if (strcmp(method, "eth_call") != 0 || data == NULL) {
        return NULL;
    }
    enum { HEAD = 2 + 8 + 128, WORD = 64, PAGE_TEXT = 2 + WORD * (2 + 4 * 512) + 1 };
    char *text = malloc(PAGE_TEXT);
    must(text != NULL);
    if (strlen(data) == HEAD) {
        (void)snprintf(text, PAGE_TEXT, "0x%064llx%064x%064llx%064x%064x", (unsigned long long)l->value, 0x22,
                       (unsigned long long)l->value, 1, 1795288900);
    } else {
        char word[17] = "";
        memcpy(word, data + HEAD + WORD - 16, 16);
        unsigned long long from = strtoull(word, NULL, 16);
        memcpy(word, data + HEAD + 2 * WORD - 16, 16);
        unsigned long long n = strtoull(word, NULL, 16);
        char *at = text + sprintf(text, "0x%064x%064llx", 32, n);
        must(n <= 512);
        for (unsigned long long i = 0; i < n; i++) {
            at += sprintf(at, "%064x%064llx%064x%064x", 0x22, from + i + 1, 1, 1795288900);
        }
        l->asked++;
    }
    json_t *result = json_string(text);
    free(text);
    return result;
}

static void pages_without_end(void **state) {
    (void)state;
    struct site s;
    struct liar l;
    struct csl_anchored a;
    struct csl_audit_report r = {.verdict = CSL_VERDICT_CONSISTENT};
    struct csl_auditee who = {.name = NAME, .roles = 1, .party = 0, .sign_key = key};
    csl_bundle *b = NULL;
    static const uint8_t roster_digest[32] = {7};
    site_open(&s, 1);
    struct csl_anchored_site site = {.member = &who, .account = s.signer.address, .consortium = CONSORTIUM};
    assert_int_equal(csl_bundle_export(&b, s.ledger, NAME, roster_digest, NULL, NULL, 0, &s.diag), CSL_OK);
    liar_start(&l, &s, endless, UINT64_C(1) << 32);
    s.rpc.until_ms = csl_rpc_now_ms() + 300;
    assert_int_equal(csl_anchored_verify(&a, &r, &s.opt.contract, 1, &site, b, &s.diag), CSL_OK);
    assert_false(a.asked);
    assert_int_equal(a.n_anchors, UINT64_C(1) << 32);
    bool incomplete = false;
    for (size_t i = 0; i < r.n_findings; i++) {
        incomplete = incomplete || (r.findings[i].verdict == CSL_VERDICT_INCOMPLETE &&
                                    strstr(r.findings[i].text, "looked at") != NULL);
    }
    assert_true(incomplete);
    csl_audit_report_clear(&r);
    csl_bundle_free(b);

    /* Past the first million, page by page. */
    s.rpc.until_ms = 0;
    l.asked = 0;
    struct csl_anchor_entry *e = NULL;
    uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES] = {0};
    const uint64_t from = UINT64_C(5) << 20;
    assert_int_equal(csl_contract_entries(&s.opt.contract, &e, from, from + 1000, s.signer.address, origin,
                                          CSL_LATEST, &s.diag),
                     CSL_OK);
    assert_int_equal(e[999].index, from + 999);
    assert_int_equal(e[999].is.size, from + 1000);
    assert_int_equal(l.asked, 2);
    free(e);
    /* And of so many that a site does not know it takes only the newest. */
    l.asked = 0;
    assert_int_equal(step(&s, true), CSL_EPROTO); /* of no ledger of ours */
    assert_in_range(l.asked, 0, 2);
    liar_stop(&l, &s);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(questions_end), cmocka_unit_test(pages_without_end)};
    need_anvil();
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
