/* Sealed packages: what a party loads, and everything that it refuses; no daemon runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "audit/statement.h"
#include "crypto/envelope.h"
#include "crypto/hash.h"
#include "roles/message.h"
#include "site.h"

static struct world world;
static struct site owner, other, a, b, c;

static int start(void **state) {
    (void)state;
    static const struct csl_federation_extra extras[] = {{"other-owner", CSL_ROLE_OWNER, false}};
    struct csl_federation_options opt = world_options(3);
    opt.idle = true;
    opt.extras = extras;
    opt.n_extras = 1;
    world_open_unshared(&world, &opt);
    site_open(&owner, &world, "model-owner");
    site_open(&other, &world, "other-owner");
    site_open(&a, &world, "hospital-a");
    site_open(&b, &world, "hospital-b");
    site_open(&c, &world, "hospital-c");
    return 0;
}

static int stop(void **state) {
    (void)state;
    struct site *all[] = {&owner, &other, &a, &b, &c};
    for (size_t i = 0; i < 5; i++) {
        site_close(all[i]);
    }
    world_close(&world);
    return 0;
}

/* ---- What is good ---- */

static void sealed_and_taken_in(void **state) {
    (void)state;
    struct site *parties[] = {&a, &b, &c};
    struct csl_diag diag = {""};
    uint8_t digest[CSL_DIGEST_BYTES];
    size_t n, n_sealed = 0, before = site_model_leaves(&owner, CSL_MODEL_SEALED, digest, &n_sealed);
    struct csl_sealed *s = site_seal(&owner, &world);
    assert_int_equal(site_model_leaves(&owner, CSL_MODEL_SEALED, digest, &n_sealed), before + 1);
    assert_memory_equal(digest, s->manifest.digest, sizeof digest);
    assert_int_equal(n_sealed, 3);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *bytes = site_package(&n, s, i);
        before = site_model_leaves(parties[i], CSL_MODEL_ACCEPTED, digest, &n_sealed);
        must(site_accept(parties[i], bytes, n, &diag), &diag, "accept");
        assert_int_equal(site_model_leaves(parties[i], CSL_MODEL_ACCEPTED, digest, &n_sealed), before + 1);
        assert_memory_equal(digest, s->manifest.digest, sizeof digest);
        assert_int_equal(n_sealed, 1);
        struct csl_store store;
        struct csl_package *p;
        must(csl_store_init(&store, &parties[i]->ctx, &diag), &diag, "store");
        must(csl_store_find(&store, &p, MODEL, &diag), &diag, "find");
        assert_memory_equal(p->digest, s->manifest.digest, sizeof digest);
        assert_memory_equal(p->signature, s->signature, sizeof p->signature);
        csl_package_unref(p);
        FAILED(csl_store_find(&store, &p, "unknown", &diag), &diag, CSL_EUNAVAILABLE, "unknown",
               "was not shared");
        csl_store_clear(&store);
        free(bytes);
    }
    csl_sealed_free(s);
}

static void files_of_a_sealing(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    char dir[1100], path[2048];
    struct csl_sealed *s = site_seal(&owner, &world), *back, *second = site_seal(&owner, &world);
    (void)snprintf(dir, sizeof dir, "%s/packages", owner.dir);
    must(csl_sealed_write(s, dir, &diag), &diag, "write");
    must(csl_sealed_read(&back, &owner.ctx, MODEL, dir, &diag), &diag, "read");
    assert_memory_equal(back->manifest.digest, s->manifest.digest, CSL_DIGEST_BYTES);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(back->parts[i].n, s->parts[i].n);
        assert_memory_equal(back->parts[i].p, s->parts[i].p, s->parts[i].n);
        must(csl_sealed_path(path, sizeof path, dir, s, i, &diag), &diag, "path");
        uint8_t *bytes, *mixed;
        size_t n, n_mixed;
        bytes = site_package(&n, s, i);
        mixed = site_package(&n_mixed, second, i);
        const char *file = strrchr(path, '/') + 1;
        site_write(dir, file, mixed, n_mixed); /* one of another sealing */
        struct csl_sealed *none;
        FAILED2(csl_sealed_read(&none, &owner.ctx, MODEL, dir, &diag), &diag, CSL_EDATA, CSL_EAUTH,
                "another sealing|sealed part", "package");
        assert_null(none);
        site_write(dir, file, bytes, n);
        free(bytes);
        free(mixed);
    }
    csl_sealed_free(back);
    FAILED(csl_sealed_read(&back, &other.ctx, MODEL, dir, &diag), &diag, CSL_EPERM, "model-owner");
    assert_null(back);
    csl_sealed_free(s);
    csl_sealed_free(second);
}

/* ---- What the owner may not ---- */

static void owner_without_right_or_certificate(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_sealed *s;
    FAILED(csl_seal(&s, &other.ctx, MODEL, &world.net->plan, &world.net->weights, 30, &diag), &diag,
           CSL_EPERM, "other-owner", MODEL);
    FAILED(csl_seal(&s, &owner.ctx, MODEL, &world.net->plan, &world.net->weights, 0, &diag), &diag,
           CSL_EUSAGE, "days");
    struct site late;
    site_open(&late, &world, "model-owner");
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(late.ctx.site.tls_cert), -60));
    FAILED(csl_seal(&s, &late.ctx, MODEL, &world.net->plan, &world.net->weights, 30, &diag), &diag,
           CSL_ESTALE, "certificate", "model-owner", "renew");
    assert_null(s);
    site_close(&late);
}

/* ---- Packages that no party loads ---- */

/* The sealing with its manifest changed, and signed by whom the test says (NULL: not at all). */
static uint8_t *forged(size_t *n, struct csl_sealed *s, unsigned i, struct site *signer) {
    struct csl_diag diag = {""};
    free(s->bytes);
    assert_int_equal(csl_manifest_encode(&s->bytes, &s->n_bytes, &s->manifest), CSL_OK);
    if (signer != NULL) {
        must(csl_statement_sign_bytes(s->signature, CSL_STATEMENT_MANIFEST, s->bytes, s->n_bytes,
                                      signer->ctx.site.sign_key, &diag),
             &diag, "sign");
    }
    return site_package(n, s, i);
}

#define REFUSED_AT(site, bytes, n, err, ...)                                                                 \
    do {                                                                                                     \
        struct csl_diag why_ = {""};                                                                         \
        FAILED(site_open_package(&(site), bytes, n, &why_), &why_, err, __VA_ARGS__);                        \
        free(bytes);                                                                                         \
    } while (0)

static void of_somebody_else(void **state) {
    (void)state;
    struct csl_sealed *s = site_seal(&owner, &world), *second = site_seal(&owner, &world);
    struct csl_manifest m = s->manifest;
    size_t n;
    uint8_t *bytes = forged(&n, s, 0, &other);
    REFUSED_AT(a, bytes, n, CSL_EAUTH, MODEL, "signature", "model-owner");
    memset(s->signature, 0, sizeof s->signature);
    bytes = forged(&n, s, 0, NULL);
    REFUSED_AT(a, bytes, n, CSL_EAUTH, MODEL, "signature", "model-owner");
    (void)snprintf(s->manifest.owner, sizeof s->manifest.owner, "other-owner");
    bytes = forged(&n, s, 0, &other);
    REFUSED_AT(a, bytes, n, CSL_EPERM, "other-owner", MODEL);
    s->manifest = m;
    (void)snprintf(s->manifest.name, sizeof s->manifest.name, "unknown");
    bytes = forged(&n, s, 0, &owner);
    REFUSED_AT(a, bytes, n, CSL_EPERM, "model-owner", "unknown");
    s->manifest = m;
    bytes = forged(&n, s, 1, &owner);
    REFUSED_AT(a, bytes, n, CSL_EAUTH, MODEL, "party 1", "hospital-b", "hospital-a is party 0");
    bytes = site_package(&n, s, 0);
    REFUSED_AT(b, bytes, n, CSL_EAUTH, "party 0", "hospital-b is party 1");
    bytes = site_package(&n, s, 0);
    REFUSED_AT(owner, bytes, n, CSL_EPERM, "no party");
    /* The part of another sealing of the same model. */
    struct csl_sealed_part kept = s->parts[0];
    s->parts[0] = second->parts[0];
    bytes = site_package(&n, s, 0);
    REFUSED_AT(a, bytes, n, CSL_EAUTH, MODEL, "sealed part", "manifest");
    s->parts[0] = kept;
    csl_sealed_free(s);
    csl_sealed_free(second);
}

static void unsigned_package(void **state) {
    (void)state;
    struct csl_sealed *s = site_seal(&owner, &world);
    Csl__Pb__ModelPackage f = CSL__PB__MODEL_PACKAGE__INIT;
    f.manifest = csl_bytes(s->bytes, s->n_bytes);
    f.sealed = csl_bytes(s->parts[0].p, s->parts[0].n);
    uint8_t *bytes;
    size_t n;
    assert_int_equal(csl_package_file_pack(&bytes, &n, &f), CSL_OK);
    REFUSED_AT(a, bytes, n, CSL_EAUTH, MODEL, "not signed", "model-owner");
    csl_sealed_free(s);
}

static void expired(void **state) {
    (void)state;
    struct csl_sealed *s = site_seal(&owner, &world);
    size_t n;
    s->manifest.sealed_ms = 1;
    s->manifest.expires_ms = 1700000000000;
    uint8_t *bytes = forged(&n, s, 0, &owner);
    REFUSED_AT(a, bytes, n, CSL_ESTALE, "the seal of model " MODEL " by model-owner expired on 2023-11-14",
               "seal it anew");
    csl_sealed_free(s);
}

/* Signed by its owner, and not what it says. */
static void seal_again(struct csl_sealed *s, unsigned i, const uint8_t *part, size_t n, EVP_PKEY *key) {
    struct csl_diag diag = {""};
    uint8_t aad[CSL_DIGEST_BYTES];
    free(s->parts[i].p);
    must(csl_envelope_size(&s->parts[i].n, n, key, &diag), &diag, "size");
    s->parts[i].p = malloc(s->parts[i].n);
    assert_non_null(s->parts[i].p);
    assert_int_equal(csl_part_aad(aad, s->manifest.nonce, i), CSL_OK);
    must(csl_envelope_seal(s->parts[i].p, &s->parts[i].n, key, CSL_PART_LABEL, aad, sizeof aad, part, n,
                           &diag),
         &diag, "seal");
    assert_int_equal(csl_sha256_once(s->manifest.sealed[i], s->parts[i].p, s->parts[i].n), CSL_OK);
}

static void dishonest_owner(void **state) {
    (void)state;
    struct csl_sealed *s = site_seal(&owner, &world);
    uint8_t part[CSL_SALT_BYTES + CSL_SEED_BYTES] = {5}, *bytes;
    size_t n;
    seal_again(s, 0, part, sizeof part, a.ctx.site.wrap_key);
    bytes = forged(&n, s, 0, &owner);
    REFUSED_AT(a, bytes, n, CSL_EAUTH, MODEL, "commits");
    seal_again(s, 0, part, sizeof part - 1, a.ctx.site.wrap_key);
    bytes = forged(&n, s, 0, &owner);
    REFUSED_AT(a, bytes, n, CSL_EDATA, MODEL, "63 bytes");
    seal_again(s, 0, part, sizeof part, b.ctx.site.wrap_key);
    bytes = forged(&n, s, 0, &owner);
    REFUSED_AT(a, bytes, n, CSL_EAUTH, MODEL, "does not open", "hospital-a");
    csl_sealed_free(s);
}

/* Every bit of what is not the sealed part, and every 97th of that. */
static void flipped_bits(void **state) {
    (void)state;
    struct csl_sealed *s = site_seal(&owner, &world);
    struct site *sites[] = {&a, &c};
    for (unsigned k = 0; k < 2; k++) {
        struct csl_diag diag = {""};
        unsigned party = k == 0 ? 0 : 2;
        size_t n;
        uint8_t *bytes = site_package(&n, s, party);
        size_t sealed_at = n - s->parts[party].n;
        must(site_open_package(sites[k], bytes, n, &diag), &diag, "open");
        for (size_t bit = 0; bit < 8 * n; bit += bit < 8 * sealed_at ? 1 : 97) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            diag.text[0] = '\0';
            if (site_open_package(sites[k], bytes, n, &diag) == CSL_OK || diag.text[0] == '\0') {
                fail_msg("bit %zu of byte %zu is flipped, and nobody says so", bit % 8, bit / 8);
            }
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t cut = 0; cut < n; cut += cut < sealed_at ? 1 : 31) {
            assert_int_not_equal(site_open_package(sites[k], bytes, cut, &diag), CSL_OK);
        }
        free(bytes);
    }
    csl_sealed_free(s);
}

/* ---- The ledger ---- */

static enum csl_err store_find(struct site *s, struct csl_diag *diag) {
    struct csl_store store;
    struct csl_package *p = NULL;
    must(csl_store_init(&store, &s->ctx, diag), diag, "store");
    enum csl_err err = csl_store_find(&store, &p, MODEL, diag);
    csl_package_unref(p);
    csl_store_clear(&store);
    return err;
}

static void not_in_the_ledger(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    char models[1100];
    struct csl_sealed *first = site_seal(&owner, &world), *second = site_seal(&owner, &world);
    size_t n1, n2;
    uint8_t *one = site_package(&n1, first, 1), *two = site_package(&n2, second, 1);
    (void)snprintf(models, sizeof models, "%s/state/models", b.dir);
    must(site_accept(&b, one, n1, &diag), &diag, "accept");
    must(store_find(&b, &diag), &diag, "first");
    /* Good in itself, but never accepted here. */
    site_write(models, MODEL ".model", two, n2);
    FAILED(store_find(&b, &diag), &diag, CSL_EAUTH, MODEL, "ledger");
    /* Accepted, and then an older one is put back. */
    must(site_accept(&b, two, n2, &diag), &diag, "accept");
    must(store_find(&b, &diag), &diag, "second");
    site_write(models, MODEL ".model", one, n1);
    FAILED(store_find(&b, &diag), &diag, CSL_EAUTH, MODEL, "newest entry");
    /* Damaged, and no package at all. */
    two[n2 - 1] ^= 1;
    site_write(models, MODEL ".model", two, n2);
    FAILED(store_find(&b, &diag), &diag, CSL_EAUTH, "sealed part");
    site_write(models, MODEL ".model", "CSLM", 4);
    FAILED(store_find(&b, &diag), &diag, CSL_EDATA, "model package");
    /* The file of one model under the name of another. */
    site_write(models, "other.model", one, n1);
    two[n2 - 1] ^= 1;
    site_write(models, MODEL ".model", two, n2);
    must(store_find(&b, &diag), &diag, "again");
    free(one);
    free(two);
    csl_sealed_free(first);
    csl_sealed_free(second);
}

/* The entry comes first: where it cannot be written, nothing is put in place. */
static void ledger_that_fails(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_sealed *s = site_seal(&owner, &world);
    struct rlimit was, tight;
    char path[1200];
    struct stat before, after;
    size_t n;
    uint8_t *bytes = site_package(&n, s, 0);
    must(store_find(&a, &diag), &diag, "first");
    (void)snprintf(path, sizeof path, "%s/state/ledger/log", a.dir);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    tight = (struct rlimit){.rlim_cur = (rlim_t)before.st_size, .rlim_max = was.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    struct site full;
    site_open(&full, &world, "hospital-a");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    enum csl_err err = site_accept(&full, bytes, n, &diag);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    FAILED(err, &diag, CSL_EIO, "log");
    site_close(&full);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    must(store_find(&a, &diag), &diag, "the package of before");
    free(bytes);
    csl_sealed_free(s);
}

/* ---- A running store ---- */

static void found_while_running(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_store store;
    struct csl_package *p;
    struct site command; /* another process, as far as ledger and files go */
    struct csl_sealed *s = site_seal(&owner, &world);
    size_t n;
    uint8_t *bytes = site_package(&n, s, 2);
    must(csl_store_init(&store, &c.ctx, &diag), &diag, "store");
    site_open(&command, &world, "hospital-c");
    must(site_accept(&command, bytes, n, &diag), &diag, "accept");
    site_close(&command);
    assert_true(csl_store_changed(&store));
    csl_store_refresh(&store);
    must(csl_store_find(&store, &p, MODEL, &diag), &diag, "find");
    assert_memory_equal(p->digest, s->manifest.digest, CSL_DIGEST_BYTES);
    p->expires_ms = csl_wall_ms(); /* its last day ends while the daemon runs */
    csl_package_unref(p);
    FAILED(csl_store_find(&store, &p, MODEL, &diag), &diag, CSL_ESTALE, "expired", "model-owner");
    assert_null(p);
    csl_store_clear(&store);
    free(bytes);
    csl_sealed_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_and_taken_in),
        cmocka_unit_test(files_of_a_sealing),
        cmocka_unit_test(owner_without_right_or_certificate),
        cmocka_unit_test(of_somebody_else),
        cmocka_unit_test(unsigned_package),
        cmocka_unit_test(expired),
        cmocka_unit_test(dishonest_owner),
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(not_in_the_ledger),
        cmocka_unit_test(ledger_that_fails),
        cmocka_unit_test(found_while_running),
    };
    return cmocka_run_group_tests_name("roles_seal", tests, start, stop);
}
