/* Openings as a party that is told judges them, and the owner's consent; no daemon runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles/judge/opening.h"
#include "roles/message.h"
#include "site.h"

static struct world world;
static struct site owner, other, a, b;
static uint8_t package[CSL_DIGEST_BYTES];

/* Every test has a package of its own. */
static int start(void **state) {
    (void)state;
    static const struct csl_federation_extra extras[] = {{"other-owner", CSL_ROLE_OWNER, false}};
    struct csl_federation_options opt = world_options(3);
    struct csl_diag diag = {""};
    size_t n;
    opt.idle = true;
    opt.extras = extras;
    opt.n_extras = 1;
    world_open_unshared(&world, &opt);
    site_open(&owner, &world, "model-owner");
    site_open(&other, &world, "other-owner");
    site_open(&a, &world, "hospital-a");
    site_open(&b, &world, "hospital-b");
    struct csl_sealed *s = site_seal(&owner, &world);
    memcpy(package, s->manifest.digest, sizeof package);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *bytes = site_package(&n, s, i);
        must(site_accept(i == 0 ? &a : &b, bytes, n, &diag), &diag, "accept");
        free(bytes);
    }
    csl_sealed_free(s);
    return 0;
}

static int stop(void **state) {
    (void)state;
    site_close(&owner);
    site_close(&other);
    site_close(&a);
    site_close(&b);
    world_close(&world);
    return 0;
}

static struct csl_opening opening_of(const char *party, uint8_t session) {
    struct csl_opening o = {.party = ""};
    memcpy(o.package_digest, package, sizeof package);
    memset(o.session_id, session, sizeof o.session_id);
    memset(o.judge, 0x33, sizeof o.judge);
    (void)snprintf(o.party, sizeof o.party, "%s", party);
    return o;
}

static enum csl_err tell(struct site *s, const struct csl_opening *o, struct csl_openings *known,
                         struct csl_diag *diag) {
    return csl_opening_accept(known, &s->book, o, diag);
}

static size_t opening_leaves(struct site *s) {
    size_t found = 0;
    for (uint64_t i = 0; i < csl_ledger_size(s->book.ledger); i++) {
        struct csl_diag diag = {""};
        uint8_t *bytes;
        size_t n;
        csl_leaf *leaf;
        must(csl_ledger_leaf(s->book.ledger, &bytes, &n, i, &diag), &diag, "leaf");
        must(csl_leaf_decode(&leaf, bytes, n, &diag), &diag, "decode");
        found += leaf->body_case == CSL__AUDIT__LEAF__BODY_OPENING;
        csl_leaf_free(leaf);
        free(bytes);
    }
    return found;
}

static void the_limit_is_kept(void **state) {
    (void)state;
    struct csl_openings known;
    struct csl_diag diag = {""};
    struct csl_opening o = opening_of("hospital-b", 1);
    must(tell(&a, &o, &known, &diag), &diag, "the first");
    assert_true(known.n == 1 && csl_openings_has(&known, "hospital-b"));
    assert_string_equal(known.owner, "model-owner");
    o = opening_of("hospital-b", 2); /* the same share once more, of another session */
    must(tell(&a, &o, &known, &diag), &diag, "again");
    assert_int_equal(known.n, 1);
    assert_int_equal(opening_leaves(&a), 2);
    o = opening_of("hospital-c", 1);
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EPERM, "hospital-b, hospital-c", "anew");
    assert_int_equal(opening_leaves(&a), 2); /* a refusal counts nobody */
    must(tell(&b, &o, &known, &diag), &diag, "at one that knows of none");
    o = opening_of("clinic", 1);
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EPERM, "no party clinic");
    o = opening_of("hospital-c", 1);
    o.package_digest[0] ^= 1;
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EPERM, "no entry of this package");
    o = opening_of("hospital-b", 1);
    memcpy(o.judge, csl_roster_party(&a.ctx.roster, 2)->wrap_spki, sizeof o.judge);
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EPERM, "key of hospital-c");
}

/* A successor holds the share that its predecessor has opened. */
static void who_has_left_still_counts(void **state) {
    (void)state;
    struct csl_openings known;
    struct csl_diag diag = {""};
    struct csl_opening o = opening_of("hospital-b", 1);
    must(tell(&a, &o, &known, &diag), &diag, "the first");
    struct csl_member *m = &a.ctx.roster.members[a.ctx.roster.parties[1]];
    (void)strcpy(m->name, "hospital-x");
    o = opening_of("hospital-c", 1);
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EPERM, "hospital-b, hospital-c");
    (void)strcpy(m->name, "hospital-b");
}

static void only_the_owner_consents(void **state) {
    (void)state;
    struct csl_openings known;
    struct csl_diag diag = {""};
    struct csl_opening o = opening_of("hospital-b", 1);
    must(tell(&a, &o, &known, &diag), &diag, "the first");
    o = opening_of("hospital-c", 5);
    FAILED(csl_consent_give(&o.consent, &other.book, &o, &diag), &diag, CSL_EPERM, "has not sealed");
    FAILED(csl_consent_give(&o.consent, &a.book, &o, &diag), &diag, CSL_EPERM, "hospital-a");
    must(csl_consent_give(&o.consent, &owner.book, &o, &diag), &diag, "consent");
    struct csl_signed good = o.consent;
    o.session_id[0] ^= 1;
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EAUTH, "another opening");
    o.session_id[0] ^= 1;
    o.judge[0] ^= 1;
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EAUTH, "another opening");
    o.judge[0] ^= 1;
    (void)strcpy(o.party, "hospital-b");
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EAUTH, "another opening");
    (void)strcpy(o.party, "hospital-c");
    good.signature[3] ^= 1;
    o.consent = good;
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EAUTH, "not signed by model-owner");
    good.signature[3] ^= 1;
    struct csl_signed forged = good; /* by the other owner */
    must(csl_statement_sign_bytes(forged.signature, CSL_STATEMENT_CONSENT, forged.statement, forged.n,
                                  other.ctx.site.sign_key, &diag),
         &diag, "sign");
    o.consent = forged;
    FAILED(tell(&a, &o, &known, &diag), &diag, CSL_EAUTH, "not signed by model-owner");
    o.consent = good;
    must(tell(&a, &o, &known, &diag), &diag, "with consent");
    assert_int_equal(known.n, 2);
    csl_opening_clear(&o);
}

/* ---- Two at the same time ---- */

struct teller {
    struct csl_opening o;
    struct csl_openings known;
    struct csl_diag diag;
    enum csl_err err;
    pthread_t thread;
};
static void *tell_in_thread(void *arg) {
    struct teller *t = arg;
    t->err = csl_opening_accept(&t->known, &a.book, &t->o, &t->diag);
    return NULL;
}

static void one_of_two_at_once(void **state) {
    (void)state;
    struct teller t[2] = {{.err = CSL_OK}, {.err = CSL_OK}};
    for (int i = 0; i < 2; i++) {
        t[i].o = opening_of(i == 0 ? "hospital-b" : "hospital-c", 1);
        assert_int_equal(pthread_create(&t[i].thread, NULL, tell_in_thread, &t[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(t[i].thread, NULL), 0);
    }
    assert_int_equal((t[0].err == CSL_OK) + (t[1].err == CSL_OK), 1);
    assert_int_equal(opening_leaves(&a), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_limit_is_kept, start, stop),
        cmocka_unit_test_setup_teardown(who_has_left_still_counts, start, stop),
        cmocka_unit_test_setup_teardown(only_the_owner_consents, start, stop),
        cmocka_unit_test_setup_teardown(one_of_two_at_once, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
