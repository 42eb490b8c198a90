/* Bundles: out of real ledgers, through files, into verify; and what is none is refused before it costs
 * memory. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/audit/scene.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/csl-bundle-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static struct csl_ledger *ledger_of(struct scene *s, unsigned site) {
    char dir[128], origin[CSL_ORIGIN_MAX + 1];
    struct csl_ledger *l = NULL;
    static int number;
    (void)snprintf(dir, sizeof dir, "%s/%d", folder, number++);
    csl_audit_origin(origin, s->w.audit.consortium, s->w.names[site]);
    struct csl_ledger_options opt = {
        .dir = dir, .origin = origin, .name = s->w.names[site], .sign_key = s->w.members[site].sign_key};
    assert_int_equal(csl_ledger_open(&l, &opt, NULL), CSL_OK);
    return l;
}

static void append(struct csl_ledger *l, const struct w_log *log, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        uint64_t index = 0;
        assert_int_equal(csl_ledger_append(l, &index, log->leaves[i], log->sizes[i], false, NULL), CSL_OK);
        assert_int_equal(index, i);
    }
}

/* A checkpoint of now that the first n_by others have cosigned. */
static void checkpoint(struct scene *s, struct csl_ledger *l, unsigned site, unsigned n_by) {
    struct csl_note note;
    assert_int_equal(csl_ledger_checkpoint(l, &note, NULL), CSL_OK);
    for (unsigned i = 0; i <= n_by; i++) {
        if (i != site) {
            struct csl_note copy = note;
            EVP_PKEY *key = s->w.members[i].sign_key;
            assert_int_equal(csl_note_cosign(&copy, s->w.names[i], key, 1700000000, NULL), CSL_OK);
            assert_int_equal(csl_ledger_cosigned(l, &copy, s->w.names[i], key, NULL), CSL_OK);
        }
    }
}

static csl_bundle *export_of(struct scene *s, struct csl_ledger *l, unsigned site, const uint8_t *id) {
    csl_bundle *b = NULL;
    const char *members[W_SITES_MAX];
    size_t n = 0;
    for (unsigned i = 0; i < s->w.n_members; i++) {
        if (i != site) {
            members[n++] = s->w.names[i];
        }
    }
    struct csl_diag diag = {""};
    enum csl_err err = csl_bundle_export(&b, l, s->w.names[site], s->w.roster_digest, id, members, n, &diag);
    if (err != CSL_OK) {
        fail_msg("%s: %s", csl_err_name(err), diag.text);
    }
    return b;
}

/* All sites, through files. */
static void test_export(void **state) {
    (void)state;
    for (int which = -1; which < 2; which++) {
        struct scene s;
        scene_open(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
        scene_play(&s);
        const uint8_t *id = which < 0 ? NULL : s.sessions[which].m.session_id.data;
        for (unsigned i = 0; i <= s.w.n_parties; i++) {
            struct csl_ledger *l = ledger_of(&s, i);
            size_t half = s.w.logs[i].n / 2;
            char path[128];
            append(l, &s.w.logs[i], 0, half);
            checkpoint(&s, l, i, 3);
            append(l, &s.w.logs[i], half, s.w.logs[i].n);
            checkpoint(&s, l, i, 3);
            csl_bundle *b = export_of(&s, l, i, id), *back = NULL;
            assert_int_equal(b->n_checkpoints, 2);
            assert_true(which >= 0 ? b->n_leaves < s.w.logs[i].n : b->n_leaves == s.w.logs[i].n);
            (void)snprintf(path, sizeof path, "%s/bundle", folder);
            assert_int_equal(csl_bundle_write(b, path, NULL), CSL_OK);
            assert_int_equal(csl_bundle_read(&back, path, NULL), CSL_OK);
            assert_int_equal(csl__audit__bundle__get_packed_size(b),
                             csl__audit__bundle__get_packed_size(back));
            csl_bundle_free(b);
            s.bundles[s.n++] = back;
            csl_ledger_close(l);
        }
        scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        scene_close(&s);
    }
}

/* Of two checkpoints that cover a session the one that more have cosigned; without any, one is made. */
static void test_which_checkpoint(void **state) {
    (void)state;
    struct scene s;
    struct csl_note note;
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    scene_play(&s);
    const uint8_t *id = s.sessions[0].m.session_id.data;
    size_t first = 1 + 1 + 6 + 1; /* model, opened, two batches, closed */
    struct csl_ledger *l = ledger_of(&s, 0);
    append(l, &s.w.logs[0], 0, first);
    csl_bundle *b = export_of(&s, l, 0, id);
    assert_int_equal(b->n_checkpoints, 1);
    assert_int_equal(b->n_leaves, first);
    csl_bundle_free(b);
    checkpoint(&s, l, 0, 2);
    append(l, &s.w.logs[0], first, s.w.logs[0].n);
    assert_int_equal(csl_ledger_checkpoint(l, &note, NULL), CSL_OK); /* nobody cosigned this one */
    b = export_of(&s, l, 0, id);
    assert_int_equal(csl_note_parse(&note, b->checkpoints[b->n_checkpoints - 1]->note,
                                    strlen(b->checkpoints[b->n_checkpoints - 1]->note), NULL),
                     CSL_OK);
    assert_int_equal(note.checkpoint.size, first);
    s.bundles[s.n++] = b;
    b = export_of(&s, l, 0, s.sessions[1].m.session_id.data); /* needs the newest */
    assert_int_equal(b->n_checkpoints, 2);
    s.bundles[s.n++] = b;
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    b = export_of(&s, l, 0, NULL);
    assert_int_equal(b->n_leaves, s.w.logs[0].n);
    csl_bundle_free(b);
    csl_ledger_close(l);
    scene_close(&s);
}

/* ---- For a roster of earlier times ---- */

static csl_bundle *export_under(struct scene *s, struct csl_ledger *l, unsigned site, const uint8_t *id,
                                bool earlier) {
    csl_bundle *b = NULL;
    struct csl_note_signer members[W_SITES_MAX];
    struct csl_bundle_roster of = {.digest = s->w.roster_digest, .members = members, .earlier = earlier};
    struct csl_diag diag = {""};
    for (unsigned i = 0; i < s->w.n_members; i++) {
        if (i != site) {
            members[of.n++] = (struct csl_note_signer){s->w.names[i], s->w.members[i].sign_key};
        }
    }
    enum csl_err err = csl_bundle_export_under(&b, l, s->w.names[site], &of, id, &diag);
    if (err != CSL_OK) {
        fail_msg("%s: %s", csl_err_name(err), diag.text);
    }
    return b;
}

static struct csl_note last_note(const csl_bundle *b) {
    struct csl_note note;
    const char *text = b->checkpoints[b->n_checkpoints - 1]->note;
    assert_int_equal(csl_note_parse(&note, text, strlen(text), NULL), CSL_OK);
    return note;
}

static void cosign(struct csl_ledger *l, const char *name, EVP_PKEY *key) {
    struct csl_note note;
    assert_int_equal(csl_ledger_checkpoint(l, &note, NULL), CSL_OK);
    assert_int_equal(csl_note_cosign(&note, name, key, 1700000000, NULL), CSL_OK);
    assert_int_equal(csl_ledger_cosigned(l, &note, name, key, NULL), CSL_OK);
}

/* The site cosigns a checkpoint of `name`, which signs with this key. */
static void witness(struct scene *s, struct csl_ledger *l, const char *name, EVP_PKEY *key) {
    struct csl_note note;
    struct csl_checkpoint c = {.size = 3, .root = {1}};
    uint64_t have;
    bool forked;
    csl_audit_origin(c.origin, s->w.audit.consortium, name);
    assert_int_equal(csl_note_sign(&note, &c, name, key, NULL), CSL_OK);
    assert_int_equal(csl_ledger_witness(l, &note, name, key, c.origin, 0, NULL, 0, &have, &forked, NULL),
                     CSL_OK);
}

/* After a session one member gets another key, another leaves, and somebody new comes; the ledger goes on. */
static void test_earlier_roster(void **state) {
    (void)state;
    struct scene s;
    EVP_PKEY *new = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    scene_open(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    scene_play(&s);
    size_t first = 1 + 1 + 6 + 1; /* model, opened, two batches, closed */
    struct csl_ledger *l = ledger_of(&s, 0);
    append(l, &s.w.logs[0], 0, first);
    checkpoint(&s, l, 0, 3);
    for (size_t i = first; i < s.w.logs[0].n; i++) { /* more than are kept for a session of now */
        append(l, &s.w.logs[0], i, i + 1);
        cosign(l, s.w.names[1], new);
        cosign(l, s.w.names[3], s.w.members[3].sign_key);
        cosign(l, "newcomer-1", new);
        cosign(l, "newcomer-2", new);
    }
    witness(&s, l, s.w.names[1], new);
    witness(&s, l, s.w.names[2], s.w.members[2].sign_key);

    const uint8_t *id = s.sessions[0].m.session_id.data;
    csl_bundle *b = export_under(&s, l, 0, id, true);
    struct csl_note note = last_note(b);
    assert_int_equal(note.checkpoint.size, first);
    assert_int_equal(csl_note_cosignatures(&note), 3);
    assert_int_equal(b->n_seen, 1);
    assert_string_equal(b->seen[0]->who, s.w.names[2]);
    s.bundles[s.n++] = b;
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);

    b = export_under(&s, l, 0, NULL, true); /* all of it: others' keys vouch for nothing there */
    note = last_note(b);
    assert_int_equal(note.checkpoint.size, s.w.logs[0].n);
    assert_int_equal(csl_note_cosignatures(&note), 1);
    s.bundles[s.n++] = b;
    b = export_under(&s, l, 0, id, false); /* for the roster of now, the newest that most have cosigned */
    assert_int_equal(last_note(b).checkpoint.size, s.w.logs[0].n);
    s.bundles[s.n++] = b;
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    s.bundles[s.n++] = export_of(&s, l, 0, id); /* what it is good for */
    scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
    EVP_PKEY_free(new);
    csl_ledger_close(l);
    scene_close(&s);
}

static void test_no_such_session(void **state) {
    (void)state;
    struct scene s;
    uint8_t id[16] = {0xee};
    csl_bundle *b = NULL;
    struct csl_diag diag = {""};
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    struct csl_ledger *l = ledger_of(&s, 0);
    append(l, &s.w.logs[0], 0, 1);
    assert_int_equal(csl_bundle_export(&b, l, "hospital-a", s.w.roster_digest, id, NULL, 0, &diag),
                     CSL_ENOINPUT);
    assert_null(b);
    assert_non_null(strstr(diag.text, "no such session"));
    csl_ledger_close(l);
    scene_close(&s);
}

/* ---- Files ---- */

static enum csl_err parse(const uint8_t *p, size_t n) {
    csl_bundle *b = NULL;
    struct csl_diag diag = {""};
    enum csl_err err = csl_bundle_parse(&b, p, n, "file", &diag);
    assert_true((b != NULL) == (err == CSL_OK));
    assert_true(err == CSL_OK || strstr(diag.text, "file") != NULL);
    csl_bundle_free(b);
    return err;
}

static void test_files(void **state) {
    (void)state;
    struct scene s;
    csl_bundle *none = NULL;
    char path[128];
    scene_honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    size_t n = csl__audit__bundle__get_packed_size(s.bundles[0]);
    uint8_t *p = malloc(n + 16);
    (void)csl__audit__bundle__pack(s.bundles[0], p);
    assert_int_equal(parse(p, n), CSL_OK);
    assert_int_equal(parse(p, 0), CSL_EDATA);
    for (size_t i = 1; i < n; i += i < 200 ? 1 : 97) { /* a prefix may be a bundle; it never is more */
        (void)parse(p, i);
    }
    memcpy(p + n, (uint8_t[]){0x78, 0}, 2); /* a field that nobody knows */
    assert_int_equal(parse(p, n + 2), CSL_EDATA);
    memcpy(p + n, (uint8_t[]){0x08, 2}, 2); /* another version */
    assert_int_equal(parse(p, n + 2), CSL_EDATA);
    free(p);
    (void)snprintf(path, sizeof path, "%s/none", folder);
    assert_int_equal(csl_bundle_read(&none, path, NULL), CSL_ENOINPUT);
    scene_close(&s);
}

/* Two bytes of input for an entry of a hundred: refused before it is unpacked. */
static void test_amplification(void **state) {
    (void)state;
    size_t n = 4u << 20;
    uint8_t *p = malloc(n);
    for (int tag = 5; tag <= 7; tag++) {
        for (size_t i = 0; i < n; i += 2) {
            p[i] = (uint8_t)(tag << 3 | 2);
            p[i + 1] = 0;
        }
        assert_int_equal(parse(p, n), CSL_EDATA);
    }
    /* proof nodes without content, in one entry that is long enough */
    uint8_t head[] = {6 << 3 | 2, 0x80 | (((n - 5) & 0x7f)), 0x80 | (((n - 5) >> 7) & 0x7f),
                      0x80 | (((n - 5) >> 14) & 0x7f), (uint8_t)((n - 5) >> 21)};
    memcpy(p, head, sizeof head);
    for (size_t i = sizeof head; i + 1 < n; i += 2) {
        p[i] = 3 << 3 | 2;
        p[i + 1] = 0;
    }
    assert_int_equal(parse(p, n), CSL_EDATA);
    free(p);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_export),         cmocka_unit_test(test_which_checkpoint),
        cmocka_unit_test(test_earlier_roster), cmocka_unit_test(test_no_such_session),
        cmocka_unit_test(test_files),          cmocka_unit_test(test_amplification),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
