/* audit verify: whatever happens to the bytes of honest bundles, nobody is named. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/audit/shared.h"

/* ---- Nobody honest is ever named ---- */

static size_t mutate(uint8_t *p, size_t n) {
    size_t times = 1 + (size_t)rand() % 3;
    for (size_t k = 0; k < times; k++) {
        size_t at = (size_t)rand() % n;
        switch (rand() % 4) {
        case 0:
            p[at] ^= (uint8_t)(1u << rand() % 8);
            break;
        case 1:
            p[at] = (uint8_t)rand();
            break;
        case 2: { /* a piece of the bundle over another */
            size_t from = (size_t)rand() % n, len = (size_t)rand() % 100;
            len = len > n - at ? n - at : len;
            len = len > n - from ? n - from : len;
            memmove(p + at, p + from, len);
            break;
        }
        default:
            n = at > 0 && rand() % 8 == 0 ? at : n;
        }
    }
    return n;
}

/* One session of one batch: verifying is most of this test's time. */
static void small_scene(struct scene *s) {
    scene_open(s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s->w, &s->sessions[0]);
    s->batches[0] = (struct w_batch){.number = 1, .count = 2};
    w_batch(&s->w, &s->sessions[0], &s->batches[0]);
    w_session_end(&s->w, &s->sessions[0], CSL_OK);
    scene_export(s);
    scene_drop_empty(s);
}

/* One shared session of one batch, of two clients. */
static void small_shared_scene(struct sh_scene *x) {
    sh_open(x, 2, CSL_SIGN_BEFORE_OUTPUT);
    sh_enter(&x->s.w, &x->s.sessions[0], &x->batches[0]);
    sh_export(x, CSL_OK);
}

/* Nobody is named but `may` (NULL: nobody). */
static void check_accused(struct scene *s, const char *may) {
    struct csl_audit_report r = w_verify(&s->w, s->bundles, s->n);
    for (size_t i = 0; i < r.n_findings; i++) {
        const struct csl_finding *f = &r.findings[i];
        if (f->verdict == CSL_VERDICT_ATTRIBUTABLE && (may == NULL || strcmp(f->who, may) != 0)) {
            w_print(&r);
            fail_msg("%s is accused", f->who);
        }
    }
    csl_audit_report_clear(&r);
}

/* Bundles that are changed on their way. */
static void change_bundles(struct scene *s, int times) {
    size_t parsed = 0;
    for (int k = 0; k < times; k++) {
        size_t which = (size_t)rand() % s->n;
        csl_bundle *kept = s->bundles[which], *changed = NULL;
        size_t n = csl__audit__bundle__get_packed_size(kept);
        uint8_t *bytes = malloc(n);
        (void)csl__audit__bundle__pack(kept, bytes);
        n = mutate(bytes, n);
        if (csl_bundle_parse(&changed, bytes, n, "mutation", NULL) == CSL_OK) {
            s->bundles[which] = changed;
            check_accused(s, NULL);
            s->bundles[which] = kept;
            csl_bundle_free(changed);
            parsed++;
        }
        free(bytes);
    }
    assert_true(parsed > (size_t)times / 4);
}

static void test_changed_bundles(void **state) {
    (void)state;
    struct scene s;
    struct sh_scene x;
    small_scene(&s);
    change_bundles(&s, 700);
    scene_close(&s);
    small_shared_scene(&x);
    change_bundles(&x.s, 300);
    sh_close(&x);
}

/* Entry i of the site's log becomes other bytes, and everything is hashed again. The old bytes are returned.
 */
static uint8_t *rewrite(struct w_log *log, size_t i, uint8_t *bytes, size_t *n) {
    uint8_t *kept = log->leaves[i], hash[32];
    size_t n_kept = log->sizes[i];
    log->leaves[i] = bytes;
    log->sizes[i] = *n;
    *n = n_kept;
    csl_merkle_tree_clear(&log->tree);
    csl_merkle_tree_init(&log->tree);
    for (size_t k = 0; k < log->n; k++) {
        assert_int_equal(csl_merkle_leaf(hash, log->leaves[k], log->sizes[k]), CSL_OK);
        assert_int_equal(csl_merkle_append(&log->tree, hash), CSL_OK);
    }
    return kept;
}

/* A lie that still is a leaf: bytes of another entry of anybody, changed or not. NULL when it is none. */
static uint8_t *lie(const struct world *w, size_t *n) {
    const struct w_log *from = &w->logs[(size_t)rand() % (w->n_parties + 1)];
    size_t k = (size_t)rand() % from->n;
    uint8_t *bytes = malloc(from->sizes[k]);
    csl_leaf *leaf = NULL;
    memcpy(bytes, from->leaves[k], *n = from->sizes[k]);
    *n = rand() % 4 == 0 ? *n : mutate(bytes, *n);
    if (csl_leaf_decode(&leaf, bytes, *n, NULL) != CSL_OK) {
        free(bytes);
        return NULL;
    }
    csl_leaf_free(leaf);
    return bytes;
}

/* A site that writes what it likes into its own ledger, with all proofs and signatures of its own: it can
 * name itself by that, and nobody else. */
static void tell_lies(struct scene *s, int times) {
    size_t lies = 0;
    for (int k = 0; k < times; k++) {
        unsigned liar = (unsigned)rand() % (s->w.n_parties + 1);
        struct w_log *log = &s->w.logs[liar];
        size_t i = (size_t)rand() % log->n, n = 0;
        uint8_t *bytes = lie(&s->w, &n);
        if (bytes == NULL) {
            continue;
        }
        lies++;
        uint8_t *kept = rewrite(log, i, bytes, &n);
        csl_bundle *honest = s->bundles[liar];
        s->bundles[liar] = w_bundle(&s->w, liar, 0, NULL, NULL);
        check_accused(s, s->w.names[liar]);
        csl_bundle_free(s->bundles[liar]);
        s->bundles[liar] = honest;
        free(rewrite(log, i, kept, &n));
    }
    assert_true(lies > (size_t)times / 4);
}

static void test_lying_site(void **state) {
    (void)state;
    struct scene s;
    struct sh_scene x;
    small_scene(&s);
    tell_lies(&s, 700);
    scene_close(&s);
    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    sh_end(&x, CSL_OK);
    tell_lies(&x.s, 150);
    sh_close(&x);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changed_bundles),
        cmocka_unit_test(test_lying_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
