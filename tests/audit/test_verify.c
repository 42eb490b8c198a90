/* audit verify: honest worlds are consistent; whatever is changed, removed, moved, rolled back or forked gets
 * the verdict that it should; and nobody is named who did not sign two things that exclude each other. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/audit/world.h"

/* ---- Worlds ---- */

enum { BUNDLES_MAX = W_SITES_MAX };

struct scene {
    struct world w;
    struct w_session sessions[2];
    struct w_batch batches[4]; /* two of each session */
    csl_bundle *bundles[2 * BUNDLES_MAX];
    size_t n;
};

static void open_scene(struct scene *s, unsigned n_parties, enum csl_audit_sign sign) {
    *s = (struct scene){.n = 0};
    w_open(&s->w, n_parties);
    for (size_t i = 0; i < 2; i++) {
        w_session_fill(&s->w, &s->sessions[i], (uint8_t)(i + 1), sign);
    }
    w_model(&s->w, s->sessions[0].m.package_digest.data, "digits");
    s->w.next_counter = 1;
}

/* Two sessions of two batches, the second batch with an input in parts. */
static void play(struct scene *s) {
    for (size_t i = 0; i < 2; i++) {
        w_session_enter(&s->w, &s->sessions[i]);
        for (uint32_t k = 0; k < 2; k++) {
            struct w_batch *b = &s->batches[2 * i + k];
            b->number = k + 1;
            b->count = 3 + k;
            b->parts = k == 1 ? 2 : 0;
            w_batch(&s->w, &s->sessions[i], b);
        }
        w_session_end(&s->w, &s->sessions[i], CSL_OK);
    }
}

/* Every site's whole ledger, each having seen half of the others' and all of them. */
static void export(struct scene *s) {
    for (unsigned i = 0; i < s->w.n_members; i++) {
        s->bundles[s->n++] = w_bundle(&s->w, i, 0, NULL, NULL);
        for (unsigned k = 0; k <= s->w.n_parties; k++) {
            if (k != i) {
                w_saw(&s->w, s->bundles[i], k, i % 2 == 0 ? s->w.logs[k].n : s->w.logs[k].n / 2);
            }
        }
    }
}

static void close_scene(struct scene *s) {
    for (size_t i = 0; i < s->n; i++) {
        csl_bundle_free(s->bundles[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        w_batch_clear(&s->batches[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        w_session_clear(&s->sessions[i]);
    }
    w_close(&s->w);
}

/* The client keeps no ledger: its bundle has no checkpoint of anything. */
static void drop_empty(struct scene *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->bundles[i]->n_leaves == 0) {
            csl_bundle_free(s->bundles[i]);
        } else {
            s->bundles[n++] = s->bundles[i];
        }
    }
    s->n = n;
}

/* The verdict is as told, and who is named (NULL: nobody) is the only one. */
static void expect(struct scene *s, enum csl_verdict verdict, const char *who) {
    struct csl_audit_report r = w_verify(&s->w, s->bundles, s->n);
    bool named = false, other = false;
    for (size_t i = 0; i < r.n_findings; i++) {
        if (r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE) {
            bool is = who != NULL && strcmp(r.findings[i].who, who) == 0;
            named |= is;
            other |= !is;
        }
    }
    if (r.verdict != verdict || other || named != (who != NULL)) {
        w_print(&r);
        fail_msg("verdict %d, not %d", (int)r.verdict, (int)verdict);
    }
    assert_true((r.verdict == CSL_VERDICT_CONSISTENT) == (r.n_findings == 0));
    csl_audit_report_clear(&r);
}

static void honest(struct scene *s, unsigned n, enum csl_audit_sign sign) {
    open_scene(s, n, sign);
    play(s);
    export(s);
    drop_empty(s);
}

/* ---- Honest ---- */

static void test_honest(void **state) {
    (void)state;
    static const unsigned parties[] = {2, 3, 16};
    for (size_t i = 0; i < 3; i++) {
        struct scene s;
        honest(&s, parties[i], CSL_SIGN_BEFORE_OUTPUT);
        struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
        w_print(&r);
        assert_int_equal(r.verdict, CSL_VERDICT_CONSISTENT);
        assert_int_equal(r.bundles, parties[i] + 2);
        assert_int_equal(r.sessions, 2);
        assert_int_equal(r.batches, 4);
        assert_int_equal(r.inferences, 14);
        assert_int_equal(r.cosigned, parties[i]);
        assert_int_equal(r.leaves, parties[i] * (1 + 2 * 2 + 4 * 3) + 4 + 2 + 1);
        csl_audit_report_clear(&r);
        close_scene(&s);
    }
}

static void test_sign_modes(void **state) {
    (void)state;
    for (int sign = CSL_SIGN_OFF; sign <= CSL_SIGN_BEFORE_OUTPUT; sign++) {
        struct scene s;
        honest(&s, 3, (enum csl_audit_sign)sign);
        expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        close_scene(&s);
    }
}

static const uint8_t *wanted_id, *wanted_digest;
static bool of_session(const csl_leaf *l) {
    const ProtobufCBinaryData *d = NULL;
    switch (l->body_case) {
    case CSL__AUDIT__LEAF__BODY_MODEL:
        return true;
    case CSL__AUDIT__LEAF__BODY_SESSION: {
        uint8_t digest[32];
        assert_int_equal(csl_sha256_once(digest, l->session->statement.data, l->session->statement.len),
                         CSL_OK);
        return memcmp(digest, wanted_digest, 32) == 0;
    }
    case CSL__AUDIT__LEAF__BODY_INPUT:
        d = &l->input->session;
        break;
    case CSL__AUDIT__LEAF__BODY_HEADS:
        d = &l->heads->session;
        break;
    case CSL__AUDIT__LEAF__BODY_OUTPUT:
        d = &l->output->session;
        break;
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        return memcmp(l->close->session_id.data, wanted_id, 16) == 0;
    case CSL__AUDIT__LEAF__BODY_DEALT: {
        Csl__Audit__DealtStatement *m = NULL;
        assert_int_equal(csl_dealt_statement_decode(&m, l->dealt->dealt->statement.data,
                                                    l->dealt->dealt->statement.len, NULL),
                         CSL_OK);
        bool yes = memcmp(m->session_id.data, wanted_id, 16) == 0;
        csl_statement_free(m);
        return yes;
    }
    default:
        return false;
    }
    return memcmp(d->data, wanted_digest, 32) == 0;
}

static void export_session(struct scene *s, size_t which) {
    wanted_id = s->sessions[which].m.session_id.data;
    wanted_digest = s->sessions[which].digest;
    for (unsigned i = 0; i <= s->w.n_parties; i++) {
        s->bundles[s->n++] = w_bundle(&s->w, i, 0, wanted_id, of_session);
    }
}

static void test_one_session(void **state) {
    (void)state;
    for (size_t which = 0; which < 2; which++) {
        struct scene s;
        open_scene(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
        play(&s);
        export_session(&s, which);
        expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        s.n--; /* without the dealer's */
        expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        csl_bundle_free(s.bundles[s.n]);
        close_scene(&s);
    }
}

/* A longer history that somebody saw says nothing about a session that is closed in a shorter one. */
static void test_longer_history(void **state) {
    (void)state;
    struct scene s;
    open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    play(&s);
    export_session(&s, 0);
    size_t n = s.w.logs[1].n;
    w_session_enter(&s.w, &s.sessions[0]);
    w_saw(&s.w, s.bundles[0], 1, n + 1);
    expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    close_scene(&s);
    honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT); /* to the whole ledger it does */
    w_session_enter(&s.w, &s.sessions[0]);
    w_saw(&s.w, s.bundles[0], 1, s.w.logs[1].n);
    expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
    close_scene(&s);
}

static void test_aborted(void **state) {
    (void)state;
    struct scene s;
    open_scene(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    /* The second batch ends at the first party only; the others saw it fail. */
    s.batches[1] = (struct w_batch){.number = 2, .count = 2, .stop_after = 1};
    w_batch(&s.w, &s.sessions[0], &s.batches[1]);
    w_close_leaf(&s.w, 0, &s.sessions[0], CSL_EPEER, 2, 4);
    w_close_leaf(&s.w, 1, &s.sessions[0], CSL_EPEER, 1, 2);
    w_close_leaf(&s.w, 2, &s.sessions[0], CSL_EPEER, 1, 2);
    w_close_leaf(&s.w, 3, &s.sessions[0], CSL_EPEER, 2, 0);
    /* and one that failed before there was a statement */
    CSL_LEAF(leaf, body, CloseLeaf, CLOSE_LEAF, CLOSE, close);
    body.session_id = s.sessions[1].m.session_id;
    body.error = CSL_ETIMEOUT;
    w_append(&s.w, 0, &leaf);
    export(&s);
    drop_empty(&s);
    expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    close_scene(&s);
}

/* ---- What is missing ---- */

static void test_crash(void **state) {
    (void)state;
    struct scene s;
    open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    w_close_leaf(&s.w, 0, &s.sessions[0], CSL_EPEER, 1, 2);
    w_close_leaf(&s.w, 2, &s.sessions[0], CSL_EPEER, 1, 2); /* not at party 1, which crashed */
    export(&s);
    drop_empty(&s);
    expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
    close_scene(&s);
}

static void test_signs_nothing(void **state) {
    (void)state;
    for (unsigned silent = 0; silent < 3; silent++) {
        struct scene s;
        open_scene(&s, 3, CSL_SIGN_AFTER_OUTPUT);
        w_session_enter(&s.w, &s.sessions[0]);
        s.batches[0] = (struct w_batch){.number = 1, .count = 2, .leave_out_head = silent + 1};
        w_batch(&s.w, &s.sessions[0], &s.batches[0]);
        w_session_end(&s.w, &s.sessions[0], CSL_OK);
        export(&s);
        drop_empty(&s);
        expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
        close_scene(&s);
    }
}

static void test_no_bundle(void **state) {
    (void)state;
    struct scene s;
    open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
    close_scene(&s);
}

/* Removing any one entry of any ledger. */
static void test_removed(void **state) {
    (void)state;
    struct scene s;
    honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    for (size_t b = 0; b < s.n; b++) {
        csl_bundle *bundle = s.bundles[b];
        for (size_t i = 0; i < bundle->n_leaves; i++) {
            Csl__Audit__BundleLeaf *kept = bundle->leaves[i];
            size_t after = bundle->n_leaves - i - 1;
            memmove(&bundle->leaves[i], &bundle->leaves[i + 1], after * sizeof kept);
            bundle->n_leaves--;
            expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
            memmove(&bundle->leaves[i + 1], &bundle->leaves[i], after * sizeof kept);
            bundle->leaves[i] = kept;
            bundle->n_leaves++;
        }
    }
    expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    close_scene(&s);
}

/* The same where only one session is exported, so that no number shows the hole. */
static void test_removed_of_session(void **state) {
    (void)state;
    struct scene s;
    open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    play(&s);
    export_session(&s, 0);
    for (size_t b = 0; b < s.n; b++) {
        csl_bundle *bundle = s.bundles[b];
        for (size_t i = 0; i < bundle->n_leaves; i++) {
            Csl__Audit__BundleLeaf *kept = bundle->leaves[i];
            size_t after = bundle->n_leaves - i - 1;
            memmove(&bundle->leaves[i], &bundle->leaves[i + 1], after * sizeof kept);
            bundle->n_leaves--;
            expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
            memmove(&bundle->leaves[i + 1], &bundle->leaves[i], after * sizeof kept);
            bundle->leaves[i] = kept;
            bundle->n_leaves++;
        }
    }
    close_scene(&s);
}

/* ---- What does not fit ---- */

static void test_reordered(void **state) {
    (void)state;
    struct scene s;
    honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    csl_bundle *b = s.bundles[0];
    for (size_t i = 0; i + 1 < b->n_leaves; i++) {
        Csl__Audit__BundleLeaf *x = b->leaves[i], *y = b->leaves[i + 1];
        b->leaves[i] = y;
        b->leaves[i + 1] = x;
        expect(&s, CSL_VERDICT_MISMATCH, NULL);
        ProtobufCBinaryData d = x->leaf; /* with the numbers in order again */
        b->leaves[i] = x;
        b->leaves[i + 1] = y;
        x->leaf = y->leaf;
        y->leaf = d;
        expect(&s, CSL_VERDICT_MISMATCH, NULL);
        y->leaf = x->leaf;
        x->leaf = d;
    }
    expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    close_scene(&s);
}

/* One bit of anything in an entry. */
static void test_tampered(void **state) {
    (void)state;
    struct scene s;
    honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    for (size_t b = 0; b < s.n; b++) {
        for (size_t i = 0; i < s.bundles[b]->n_leaves; i++) {
            ProtobufCBinaryData *d = &s.bundles[b]->leaves[i]->leaf;
            size_t at = (size_t)rand() % d->len;
            d->data[at] ^= 1;
            expect(&s, CSL_VERDICT_MISMATCH, NULL);
            d->data[at] ^= 1;
        }
    }
    close_scene(&s);
}

static void replace_note(Csl__Audit__BundleCheckpoint *c, char *note) {
    free(c->note);
    c->note = note;
}

static void test_rolled_back(void **state) {
    (void)state;
    struct scene s;
    honest(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    csl_bundle_free(s.bundles[1]);
    s.bundles[1] = w_bundle(&s.w, 1, s.w.logs[1].n - 3, NULL, NULL); /* what others cosigned is longer */
    expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
    close_scene(&s);
}

/* A site that signs a second history: shown to another member, within one bundle, in two bundles. */
static void test_forked(void **state) {
    (void)state;
    uint8_t root[32];
    struct scene s;
    honest(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    memset(root, 0x33, sizeof root);
    Csl__Audit__BundleSeen *seen = s.bundles[2]->seen[1];
    char *kept = seen->note;
    seen->note = w_note(&s.w, 1, s.w.logs[1].n, root);
    expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    free(seen->note);
    seen->note = w_note(&s.w, 1, 5, root); /* a size that no checkpoint has: the entries tell */
    expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    free(seen->note);
    seen->note = kept;
    expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    replace_note(s.bundles[1]->checkpoints[0], w_note(&s.w, 1, s.w.logs[1].n / 2, root));
    expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    close_scene(&s);
}

/* The same with a note that the site did not sign: nobody can frame it. */
static void test_framed_fork(void **state) {
    (void)state;
    uint8_t root[32];
    struct scene s;
    honest(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    memset(root, 0x33, sizeof root);
    EVP_PKEY *key = s.w.members[1].sign_key;
    s.w.members[1].sign_key = s.w.members[2].sign_key; /* hospital-c signs in its place */
    free(s.bundles[2]->seen[1]->note);
    s.bundles[2]->seen[1]->note = w_note(&s.w, 1, s.w.logs[1].n, root);
    s.w.members[1].sign_key = key;
    expect(&s, CSL_VERDICT_MISMATCH, NULL);
    close_scene(&s);
}

static void test_two_bundles_of_one_site(void **state) {
    (void)state;
    struct scene s, other;
    honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    s.bundles[s.n++] = w_bundle(&s.w, 0, 0, NULL, NULL);
    expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    /* Another life of the same site: other entries, other length, the same key. */
    open_scene(&other, 2, CSL_SIGN_BEFORE_OUTPUT);
    EVP_PKEY *key = other.w.members[0].sign_key;
    other.w.members[0].sign_key = s.w.members[0].sign_key;
    w_session_enter(&other.w, &other.sessions[0]);
    csl_bundle_free(s.bundles[--s.n]);
    s.bundles[s.n++] = w_bundle(&other.w, 0, 0, NULL, NULL);
    other.w.members[0].sign_key = key;
    expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-a");
    close_scene(&s);
    close_scene(&other);
}

static void test_proofs(void **state) {
    (void)state;
    struct scene s;
    honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    s.bundles[0]->leaves[3]->proof[1].data[4] ^= 8;
    expect(&s, CSL_VERDICT_MISMATCH, NULL);
    s.bundles[0]->leaves[3]->proof[1].data[4] ^= 8;
    s.bundles[0]->checkpoints[0]->proof[0].data[4] ^= 8;
    expect(&s, CSL_VERDICT_MISMATCH, NULL);
    s.bundles[0]->checkpoints[0]->proof[0].data[4] ^= 8;
    s.bundles[0]->roster_digest.data[0] ^= 1;
    expect(&s, CSL_VERDICT_MISMATCH, NULL);
    s.bundles[0]->roster_digest.data[0] ^= 1;
    char *site = s.bundles[0]->site; /* another's ledger under our name */
    s.bundles[0]->site = s.bundles[1]->site;
    expect(&s, CSL_VERDICT_MISMATCH, NULL);
    s.bundles[0]->site = site;
    Csl__Audit__BundleCheckpoint *last = s.bundles[0]->checkpoints[1];
    char *note = strdup(last->note), *dash = strstr(note, "hospital-b ");
    dash[20] = dash[20] == 'A' ? 'B' : 'A'; /* within a cosignature */
    char *kept = last->note;
    last->note = note;
    expect(&s, CSL_VERDICT_MISMATCH, NULL);
    last->note = kept;
    free(note);
    expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    close_scene(&s);
}

/* ---- Who contradicts himself ---- */

typedef void change_fn(struct scene *s, unsigned site);

/* Plays one batch; then `change` makes other statements for the same place, and party `site` enters those. */
static void second_story(struct scene *s, change_fn *change, unsigned site) {
    open_scene(s, 3, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s->w, &s->sessions[0]);
    s->batches[0] = (struct w_batch){.number = 1, .count = 2};
    w_batch(&s->w, &s->sessions[0], &s->batches[0]);
    change(s, site);
    w_session_end(&s->w, &s->sessions[0], CSL_OK);
    export(s);
    drop_empty(s);
}

static void enter_head(struct scene *s, unsigned at, unsigned signer, const Csl__Audit__HeadStatement *m,
                       const struct csl_signed *dealt) {
    struct csl_signed signed_ = {0};
    assert_int_equal(
        csl_statement_sign(&signed_, CSL_STATEMENT_HEAD, &m->base, s->w.members[signer].sign_key, NULL),
        CSL_OK);
    Csl__Audit__Signed one = CSL__AUDIT__SIGNED__INIT, two = CSL__AUDIT__SIGNED__INIT, *pointer = &one;
    one.statement = (ProtobufCBinaryData){.data = signed_.statement, .len = signed_.n};
    one.signature = (ProtobufCBinaryData){.data = signed_.signature, .len = CSL_SIGNATURE_BYTES};
    one.signer = s->w.names[signer];
    CSL_LEAF(leaf, body, HeadsLeaf, HEADS_LEAF, HEADS, heads);
    body.session = (ProtobufCBinaryData){.data = s->sessions[0].digest, .len = 32};
    body.batch = 1;
    body.heads = &pointer;
    body.n_heads = 1;
    if (dealt != NULL) {
        two.statement = (ProtobufCBinaryData){.data = dealt->statement, .len = dealt->n};
        two.signature =
            (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)dealt->signature, .len = CSL_SIGNATURE_BYTES};
        two.signer = s->w.names[w_dealer(&s->w)];
        body.dealt = &two;
    }
    w_append(&s->w, at, &leaf);
    csl_signed_clear(&signed_);
}

static Csl__Audit__HeadStatement *head_of(struct scene *s, unsigned party) {
    Csl__Audit__HeadStatement *m = NULL;
    assert_int_equal(csl_head_statement_decode(&m, s->batches[0].heads[party].statement,
                                               s->batches[0].heads[party].n, NULL),
                     CSL_OK);
    return m;
}

static void other_head(struct scene *s, unsigned site) {
    Csl__Audit__HeadStatement *m = head_of(s, 1);
    m->head.data[0] ^= 1;
    enter_head(s, site, 1, m, NULL);
    csl_statement_free(m);
}

static void test_two_heads(void **state) {
    (void)state;
    for (unsigned site = 0; site < 3; site++) {
        struct scene s;
        second_story(&s, other_head, site);
        expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
        close_scene(&s);
    }
}

/* A head of another session or batch, and one that bears another party's number, prove nothing. */
static void swapped_session(struct scene *s, unsigned site) {
    Csl__Audit__HeadStatement *m = head_of(s, 1);
    m->session.data[0] ^= 1;
    m->dealt_digest.data[0] ^= 1; /* with the same dealing it would have used that one twice */
    enter_head(s, site, 1, m, NULL);
    csl_statement_free(m);
}

static void swapped_batch(struct scene *s, unsigned site) {
    Csl__Audit__HeadStatement *m = head_of(s, 1);
    m->batch = 7;
    m->dealt_digest.data[0] ^= 1;
    enter_head(s, site, 1, m, NULL);
    csl_statement_free(m);
}

/* hospital-c signs what hospital-b should have. */
static void framed_head(struct scene *s, unsigned site) {
    Csl__Audit__HeadStatement *m = head_of(s, 1);
    m->head.data[0] ^= 1;
    EVP_PKEY *key = s->w.members[1].sign_key;
    s->w.members[1].sign_key = s->w.members[2].sign_key;
    enter_head(s, site, 1, m, NULL);
    s->w.members[1].sign_key = key;
    csl_statement_free(m);
}

static void test_heads_that_prove_nothing(void **state) {
    (void)state;
    change_fn *changes[] = {swapped_session, swapped_batch, framed_head};
    for (size_t i = 0; i < 3; i++) {
        struct scene s;
        second_story(&s, changes[i], 0);
        expect(&s, CSL_VERDICT_MISMATCH, NULL);
        close_scene(&s);
    }
}

/* Whole batches a second time, by those who sign them. */
static void test_owner_signs_two_inputs(void **state) {
    (void)state;
    struct scene s;
    open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2, .stop_after = 1};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    s.batches[1] = (struct w_batch){.number = 1, .count = 2, .leave_out_head = 1};
    assert_int_equal(csl_signed_copy(&s.batches[1].dealt, s.batches[0].dealt.statement, s.batches[0].dealt.n,
                                     s.batches[0].dealt.signature),
                     CSL_OK);
    s.batches[1].parts = 1; /* part 1 beside part 0: another place, no contradiction */
    w_batch(&s.w, &s.sessions[0], &s.batches[1]);
    export(&s);
    drop_empty(&s);
    struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
    for (size_t i = 0; i < r.n_findings; i++) { /* the parties' heads differ, the client's inputs do not */
        assert_string_not_equal(r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE ? r.findings[i].who : "",
                                "clinic");
    }
    assert_int_equal(r.verdict, CSL_VERDICT_ATTRIBUTABLE);
    csl_audit_report_clear(&r);
    close_scene(&s);
}

static void other_input(struct scene *s, unsigned site) {
    Csl__Audit__InputStatement *m = NULL;
    struct csl_signed signed_;
    assert_int_equal(
        csl_input_statement_decode(&m, s->batches[0].inputs[0].statement, s->batches[0].inputs[0].n, NULL),
        CSL_OK);
    m->roots[2].data[0] ^= 1;
    assert_int_equal(csl_statement_sign(&signed_, CSL_STATEMENT_INPUT, &m->base,
                                        s->w.members[w_client(&s->w)].sign_key, NULL),
                     CSL_OK);
    Csl__Audit__Signed one = CSL__AUDIT__SIGNED__INIT, *pointer = &one;
    one.statement = (ProtobufCBinaryData){.data = signed_.statement, .len = signed_.n};
    one.signature = (ProtobufCBinaryData){.data = signed_.signature, .len = CSL_SIGNATURE_BYTES};
    one.signer = s->w.names[w_client(&s->w)];
    CSL_LEAF(leaf, body, InputLeaf, INPUT_LEAF, INPUT, input);
    body.session = (ProtobufCBinaryData){.data = s->sessions[0].digest, .len = 32};
    body.batch = 1;
    body.inputs = &pointer;
    body.n_inputs = 1;
    w_append(&s->w, site, &leaf);
    csl_signed_clear(&signed_);
    csl_statement_free(m);
}

static void test_two_inputs(void **state) {
    (void)state;
    struct scene s;
    second_story(&s, other_input, 2);
    expect(&s, CSL_VERDICT_ATTRIBUTABLE, "clinic");
    close_scene(&s);
}

/* ---- Session statements ---- */

static void two_statements(struct scene *s, bool same_nonces) {
    open_scene(s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s->w, &s->sessions[0]);
    w_session_end(&s->w, &s->sessions[0], CSL_OK);
    memset(s->sessions[1].m.session_id.data, 1, 16); /* the client's choice */
    if (same_nonces) {
        memcpy(s->sessions[1].m.nonces_digest.data, s->sessions[0].m.nonces_digest.data, 32);
        s->sessions[1].m.plan_digest.data[0] ^= 1;
    }
    EVP_PKEY *key = s->w.members[0].sign_key, *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (same_nonces) {
        s->w.members[0].sign_key = other; /* hospital-a has no part in it */
    }
    w_session_enter(&s->w, &s->sessions[1]);
    s->w.members[0].sign_key = key;
    EVP_PKEY_free(other);
    w_session_end(&s->w, &s->sessions[1], CSL_OK);
    export(s);
    drop_empty(s);
}

static void test_two_session_statements(void **state) {
    (void)state;
    struct scene s;
    two_statements(&s, true);
    expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    close_scene(&s);
    two_statements(&s, false); /* an id that the client used twice is no proof against the parties */
    expect(&s, CSL_VERDICT_MISMATCH, NULL);
    close_scene(&s);
}

/* Every field of the statement that has to fit something else. */
static void test_session_fields(void **state) {
    (void)state;
    for (int field = 0; field < 6; field++) {
        struct scene s;
        open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
        struct w_session *x = &s.sessions[0];
        uint8_t digest[32] = {9};
        if (field == 0) {
            x->m.roster_digest.data = digest;
        } else if (field == 1) {
            x->m.package_digest.data[0] ^= 1; /* nobody accepted that package */
        } else if (field == 2) {
            x->m.model = (char *)(uintptr_t) "other";
        } else if (field == 3) {
            x->parties[0] = s.w.names[1];
            x->parties[1] = s.w.names[0];
        } else if (field == 4) {
            x->m.client = s.w.names[0]; /* the inputs are the clinic's */
        }
        w_session_enter(&s.w, x);
        if (field == 5) {
            x->m.check_rows = 5; /* other than what is dealt */
        }
        s.batches[0] = (struct w_batch){.number = 1, .count = 2};
        w_batch(&s.w, x, &s.batches[0]);
        w_session_end(&s.w, x, CSL_OK);
        export(&s);
        drop_empty(&s);
        expect(&s, field == 1 ? CSL_VERDICT_INCOMPLETE : CSL_VERDICT_MISMATCH, NULL);
        close_scene(&s);
    }
}

/* ---- Correlations ---- */

/* The second batch is dealt the indices of the first, under the other session or the same one. */
static void test_index_twice(void **state) {
    (void)state;
    for (int other = 0; other < 2; other++) {
        struct scene s;
        open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
        w_session_enter(&s.w, &s.sessions[0]);
        w_session_enter(&s.w, &s.sessions[1]);
        s.batches[0] = (struct w_batch){.number = 1, .count = 2, .first = 10};
        s.batches[1] = (struct w_batch){.number = 2, .count = 2, .first = 13};
        w_batch(&s.w, &s.sessions[0], &s.batches[0]);
        w_batch(&s.w, &s.sessions[other], &s.batches[1]);
        export(&s);
        drop_empty(&s);
        struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
        bool named[3] = {false};
        for (size_t i = 0; i < r.n_findings; i++) {
            for (int k = 0; r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE && k < 3; k++) {
                named[k] |= strcmp(r.findings[i].who, s.w.names[k]) == 0;
            }
        }
        assert_true(named[0] && named[1] && named[2]); /* both parties, and the dealer */
        csl_audit_report_clear(&r);
        close_scene(&s);
    }
}

/* The dealer's statement is used for two batches: it dealt once, the parties used it twice. */
static void test_dealing_used_twice(void **state) {
    (void)state;
    struct scene s;
    open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2};
    s.batches[1] = (struct w_batch){.number = 2, .count = 2};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    assert_int_equal(csl_signed_copy(&s.batches[1].dealt, s.batches[0].dealt.statement, s.batches[0].dealt.n,
                                     s.batches[0].dealt.signature),
                     CSL_OK);
    w_batch(&s.w, &s.sessions[0], &s.batches[1]);
    w_session_end(&s.w, &s.sessions[0], CSL_OK);
    export(&s);
    drop_empty(&s);
    struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
    assert_int_equal(r.verdict, CSL_VERDICT_ATTRIBUTABLE);
    for (size_t i = 0; i < r.n_findings; i++) {
        assert_string_not_equal(r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE ? r.findings[i].who : "",
                                "dealer");
    }
    csl_audit_report_clear(&r);
    close_scene(&s);
}

/* Neighbours, and the same counters in another epoch or stream, are no reuse. */
static void test_index_neighbours(void **state) {
    (void)state;
    for (int which = 0; which < 3; which++) {
        struct scene s;
        open_scene(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
        if (which == 0) {
            s.sessions[1].m.epoch_id.data[31] ^= 1;
        } else if (which == 1) {
            s.sessions[1].m.stream++;
        }
        for (int i = 0; i < 2; i++) {
            w_session_enter(&s.w, &s.sessions[i]);
            s.batches[i] = (struct w_batch){.number = 1, .count = 2, .first = which == 2 && i == 1 ? 14 : 10};
            w_batch(&s.w, &s.sessions[i], &s.batches[i]);
            w_session_end(&s.w, &s.sessions[i], CSL_OK);
        }
        export(&s);
        drop_empty(&s);
        expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        close_scene(&s);
    }
}

/* ---- Witnesses ---- */

static void test_witness(void **state) {
    (void)state;
    uint8_t root[32];
    memset(root, 0x44, sizeof root);
    for (int forked = 0; forked < 2; forked++) {
        struct scene s;
        open_scene(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
        play(&s);
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
        expect(&s, forked != 0 ? CSL_VERDICT_ATTRIBUTABLE : CSL_VERDICT_MISMATCH,
               forked != 0 ? "hospital-b" : NULL);
        free(seen);
        free(shown);
        close_scene(&s);
    }
}

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

static void test_mutations(void **state) {
    (void)state;
    struct scene s;
    size_t parsed = 0;
    honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    for (int k = 0; k < 2000; k++) {
        size_t which = (size_t)rand() % s.n;
        csl_bundle *kept = s.bundles[which], *changed = NULL;
        size_t n = csl__audit__bundle__get_packed_size(kept);
        uint8_t *bytes = malloc(n);
        (void)csl__audit__bundle__pack(kept, bytes);
        n = mutate(bytes, n);
        if (csl_bundle_parse(&changed, bytes, n, "mutation", NULL) == CSL_OK) {
            s.bundles[which] = changed;
            struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
            assert_int_not_equal(r.verdict, CSL_VERDICT_ATTRIBUTABLE);
            csl_audit_report_clear(&r);
            s.bundles[which] = kept;
            csl_bundle_free(changed);
            parsed++;
        }
        free(bytes);
    }
    assert_true(parsed > 600);
    close_scene(&s);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_sign_modes),
        cmocka_unit_test(test_one_session),
        cmocka_unit_test(test_longer_history),
        cmocka_unit_test(test_aborted),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_signs_nothing),
        cmocka_unit_test(test_no_bundle),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_removed_of_session),
        cmocka_unit_test(test_reordered),
        cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_rolled_back),
        cmocka_unit_test(test_forked),
        cmocka_unit_test(test_framed_fork),
        cmocka_unit_test(test_two_bundles_of_one_site),
        cmocka_unit_test(test_proofs),
        cmocka_unit_test(test_two_heads),
        cmocka_unit_test(test_heads_that_prove_nothing),
        cmocka_unit_test(test_owner_signs_two_inputs),
        cmocka_unit_test(test_two_inputs),
        cmocka_unit_test(test_two_session_statements),
        cmocka_unit_test(test_session_fields),
        cmocka_unit_test(test_index_twice),
        cmocka_unit_test(test_dealing_used_twice),
        cmocka_unit_test(test_index_neighbours),
        cmocka_unit_test(test_witness),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
