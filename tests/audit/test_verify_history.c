/* audit verify: ledgers that are changed, reordered, rolled back and forked, and those who want to frame. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/audit/scene.h"

/* ---- What does not fit ---- */

static void test_reordered(void **state) {
    (void)state;
    struct scene s;
    scene_honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    csl_bundle *b = s.bundles[0];
    for (size_t i = 0; i + 1 < b->n_leaves; i++) {
        Csl__Audit__BundleLeaf *x = b->leaves[i], *y = b->leaves[i + 1];
        b->leaves[i] = y;
        b->leaves[i + 1] = x;
        scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
        ProtobufCBinaryData d = x->leaf; /* with the numbers in order again */
        b->leaves[i] = x;
        b->leaves[i + 1] = y;
        x->leaf = y->leaf;
        y->leaf = d;
        scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
        y->leaf = x->leaf;
        x->leaf = d;
    }
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    scene_close(&s);
}

/* One bit of anything in an entry. */
static void test_tampered(void **state) {
    (void)state;
    struct scene s;
    scene_honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    for (size_t b = 0; b < s.n; b++) {
        for (size_t i = 0; i < s.bundles[b]->n_leaves; i++) {
            ProtobufCBinaryData *d = &s.bundles[b]->leaves[i]->leaf;
            size_t at = (size_t)rand() % d->len;
            d->data[at] ^= 1;
            scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
            d->data[at] ^= 1;
        }
    }
    scene_close(&s);
}

static void replace_note(Csl__Audit__BundleCheckpoint *c, char *note) {
    free(c->note);
    c->note = note;
}

static void test_rolled_back(void **state) {
    (void)state;
    struct scene s;
    scene_honest(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    csl_bundle_free(s.bundles[1]);
    s.bundles[1] = w_bundle(&s.w, 1, s.w.logs[1].n - 3, NULL, NULL); /* what others cosigned is longer */
    scene_expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
    scene_close(&s);
}

/* A site that signs a second history: shown to another member, within one bundle, in two bundles. */
static void test_forked(void **state) {
    (void)state;
    uint8_t root[32];
    struct scene s;
    scene_honest(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    memset(root, 0x33, sizeof root);
    Csl__Audit__BundleSeen *seen = s.bundles[2]->seen[1];
    char *kept = seen->note;
    seen->note = w_note(&s.w, 1, s.w.logs[1].n, root);
    scene_expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    free(seen->note);
    seen->note = w_note(&s.w, 1, 5, root); /* a size that no checkpoint has: the entries tell */
    scene_expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    free(seen->note);
    seen->note = kept;
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    replace_note(s.bundles[1]->checkpoints[0], w_note(&s.w, 1, s.w.logs[1].n / 2, root));
    scene_expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    scene_close(&s);
}

/* The same with a note that the site did not sign: nobody can frame it. */
static void test_framed_fork(void **state) {
    (void)state;
    uint8_t root[32];
    struct scene s;
    scene_honest(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    memset(root, 0x33, sizeof root);
    EVP_PKEY *key = s.w.members[1].sign_key;
    s.w.members[1].sign_key = s.w.members[2].sign_key; /* hospital-c signs in its place */
    free(s.bundles[2]->seen[1]->note);
    s.bundles[2]->seen[1]->note = w_note(&s.w, 1, s.w.logs[1].n, root);
    s.w.members[1].sign_key = key;
    scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
    scene_close(&s);
}

static void test_two_bundles_of_one_site(void **state) {
    (void)state;
    struct scene s, other;
    scene_honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    s.bundles[s.n++] = w_bundle(&s.w, 0, 0, NULL, NULL);
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    /* Another life of the same site: other entries, other length, the same key. */
    scene_open(&other, 2, CSL_SIGN_BEFORE_OUTPUT);
    EVP_PKEY *key = other.w.members[0].sign_key;
    other.w.members[0].sign_key = s.w.members[0].sign_key;
    w_session_enter(&other.w, &other.sessions[0]);
    csl_bundle_free(s.bundles[--s.n]);
    s.bundles[s.n++] = w_bundle(&other.w, 0, 0, NULL, NULL);
    other.w.members[0].sign_key = key;
    scene_expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-a");
    scene_close(&s);
    scene_close(&other);
}

static void test_proofs(void **state) {
    (void)state;
    struct scene s;
    scene_honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    s.bundles[0]->leaves[3]->proof[1].data[4] ^= 8;
    scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
    s.bundles[0]->leaves[3]->proof[1].data[4] ^= 8;
    s.bundles[0]->checkpoints[0]->proof[0].data[4] ^= 8;
    scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
    s.bundles[0]->checkpoints[0]->proof[0].data[4] ^= 8;
    s.bundles[0]->roster_digest.data[0] ^= 1;
    scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
    s.bundles[0]->roster_digest.data[0] ^= 1;
    char *site = s.bundles[0]->site; /* another's ledger under our name */
    s.bundles[0]->site = s.bundles[1]->site;
    scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
    s.bundles[0]->site = site;
    Csl__Audit__BundleCheckpoint *last = s.bundles[0]->checkpoints[1];
    char *note = strdup(last->note), *dash = strstr(note, "hospital-b ");
    dash[20] = dash[20] == 'A' ? 'B' : 'A'; /* within a cosignature */
    char *kept = last->note;
    last->note = note;
    scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
    last->note = kept;
    free(note);
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    scene_close(&s);
}

/* ---- Witnesses ---- */

static void test_witness(void **state) {
    (void)state;
    uint8_t root[32];
    memset(root, 0x44, sizeof root);
    for (int forked = 0; forked < 2; forked++) {
        struct scene s;
        scene_open(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
        scene_play(&s);
        char *seen = w_note(&s.w, 1, 2, root), *shown = NULL;
        root[0] ^= forked != 0 ? 1 : 0;
        shown = w_note(&s.w, 1, forked != 0 ? 2 : 40, root);
        CSL_LEAF(leaf, body, WitnessLeaf, WITNESS_LEAF, WITNESS, witness);
        body.who = s.w.names[1];
        body.note_seen = seen;
        body.note_shown = shown;
        body.reason = (char *)(uintptr_t) "other roots of one size";
        w_append(&s.w, 0, &leaf);
        s.bundles[s.n++] = w_bundle(&s.w, 0, 0, NULL, NULL);
        scene_expect(&s, forked != 0 ? CSL_VERDICT_ATTRIBUTABLE : CSL_VERDICT_MISMATCH,
                     forked != 0 ? "hospital-b" : NULL);
        free(seen);
        free(shown);
        scene_close(&s);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reordered),   cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_rolled_back), cmocka_unit_test(test_forked),
        cmocka_unit_test(test_framed_fork), cmocka_unit_test(test_two_bundles_of_one_site),
        cmocka_unit_test(test_proofs),      cmocka_unit_test(test_witness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
