/* Sealed packages through a store, by the commands that people use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef CSL_WITH_CAS
#include "../cas/fake_node.h"
#else
#include "../cas/content.h"
#endif
#include "cas/store.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "site.h"

static struct world world;
static char store[1100], package[1300], out[1100], roster[1200];
static struct csl_sealed *sealed;

static int start(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    struct csl_diag diag;
    struct site owner;
    char dir[1100];
    world_open_unshared(&world, &opt);
    const char *base = csl_federation_dir(world.fed);
    (void)snprintf(dir, sizeof dir, "%s/packages", base);
    (void)snprintf(store, sizeof store, "%s/store", base);
    (void)snprintf(out, sizeof out, "%s/pulled", base);
    (void)snprintf(roster, sizeof roster, "%s/model-owner/roster.yaml", base);
    site_open(&owner, &world, "model-owner");
    sealed = site_seal(&owner, &world);
    must(csl_sealed_write(sealed, dir, &diag), &diag, "write");
    site_close(&owner);
    (void)snprintf(package, sizeof package, "%s/" MODEL ".%s.package", dir,
                   csl_federation_party_name(world.fed, 2));
    return 0;
}

static int stop(void **state) {
    (void)state;
    csl_sealed_free(sealed);
    world_close(&world);
    return 0;
}

/* A command of the owner's site. */
static enum csl_err run(json_t **doc, const char *const *args, struct csl_diag *diag) {
    return csl_federation_run_as(world.fed, doc, "model-owner", args, diag);
}
#define RUN(doc, diag, ...) run(doc, (const char *const[]){"model", __VA_ARGS__, "--json", NULL}, diag)
#define FAILS(diag, ...) run(NULL, (const char *const[]){"model", __VA_ARGS__, NULL}, diag)

static const char *text(const json_t *doc, const char *key) {
    const char *s = json_string_value(json_object_get(doc, key));
    if (s == NULL) {
        fail_msg("no field %s", key);
    }
    return s;
}

static void is_digest(const json_t *doc, const char *key, const uint8_t want[32]) {
    char hex[65];
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", want[i]);
    }
    assert_string_equal(text(doc, key), hex);
}

static void same_file(const char *a, const char *b) {
    char *p, *q;
    size_t n, m;
    assert_int_equal(csl__read_file(&p, &n, a, 1 << 26, NULL), CSL_OK);
    assert_int_equal(csl__read_file(&q, &m, b, 1 << 26, NULL), CSL_OK);
    assert_int_equal(n, m);
    assert_memory_equal(p, q, n);
    csl_secret_free(p);
    csl_secret_free(q);
}

static json_t *push(const char *to, const char *profile) {
    json_t *doc;
    struct csl_diag diag = {""};
    must(RUN(&doc, &diag, "push", package, "--store", to, "--profile", profile), &diag, "push");
    is_digest(doc, "package_sha256", sealed->manifest.digest);
    is_digest(doc, "sealed_sha256", sealed->manifest.sealed[2]);
    assert_string_equal(text(doc, "party"), csl_federation_party_name(world.fed, 2));
    assert_string_equal(text(doc, "owner"), "model-owner");
    assert_string_equal(text(doc, "profile"), profile);
    assert_true(json_is_true(json_object_get(doc, "verified")));
    return doc;
}

static void pull_ok(const char *from, const json_t *pushed) {
    json_t *doc;
    struct csl_diag diag = {""};
    const char *digests[] = {"sha256", "sealed_sha256"};
    for (size_t i = 0; i < 2; i++) {
        must(RUN(&doc, &diag, "pull", text(pushed, "cid"), "--store", from, "--out", out, "--sha256",
                 text(pushed, digests[i])),
             &diag, "pull");
        const char *same[] = {"cid", "sha256", "package_sha256", "sealed_sha256", "model", "party", "owner"};
        for (size_t k = 0; k < sizeof same / sizeof *same; k++) {
            assert_string_equal(text(doc, same[k]), text(pushed, same[k]));
        }
        assert_string_equal(text(doc, "file"), out);
        assert_true(json_is_true(json_object_get(doc, "verified")));
        json_decref(doc);
        same_file(out, package);
        assert_int_equal(unlink(out), 0);
    }
}

/* What was pulled is what a party takes in. */
static void installed(void **state) {
    (void)state;
    json_t *doc = push(store, "256k"), *other = push(store, "1m"), *done;
    struct csl_diag diag = {""};
    struct csl_cid cid;
    assert_int_equal(csl_cid_parse(&cid, text(doc, "cid"), NULL), CSL_OK);
    pull_ok(store, doc);
    pull_ok(store, other);
    must(RUN(&done, &diag, "pull", text(doc, "cid"), "--store", store, "--out", out), &diag, "pull");
    json_decref(done);
    const char *const args[] = {"model", "install", out, "--json", NULL};
    must(csl_federation_run_as(world.fed, &done, csl_federation_party_name(world.fed, 2), args, &diag), &diag,
         "install");
    assert_string_equal(text(done, "package_sha256"), text(doc, "package_sha256"));
    assert_string_equal(text(done, "sealed_sha256"), text(doc, "sealed_sha256"));
    json_decref(done);
    /* The same file again has the same name. */
    done = push(store, "256k");
    assert_string_equal(text(done, "cid"), text(doc, "cid"));
    json_decref(done);
    json_decref(other);
    json_decref(doc);
    assert_int_equal(unlink(out), 0);
}

static void refused_to_push(void **state) {
    (void)state;
    struct csl_diag diag;
    char path[1300], *bytes;
    size_t n;
    FAILED(FAILS(&diag, "push", roster, "--store", store), &diag, CSL_EDATA, "not a model package");
    FAILED(FAILS(&diag, "push", "/no/such", "--store", store), &diag, CSL_ENOINPUT, "/no/such");
    FAILED(FAILS(&diag, "push", package, "--store", store, "--profile", "2m"), &diag, CSL_EUSAGE,
           "256k or 1m");
    /* A part that is not sealed; one that is another's; a manifest that was changed. */
    (void)snprintf(path, sizeof path, "%s/changed", csl_federation_dir(world.fed));
    Csl__Pb__ModelPackage *file;
    for (unsigned i = 0; i < 3; i++) {
        must(csl_package_file_read(&file, package, &diag), &diag, "read");
        if (i == 0) {
            memset(file->sealed.data, 'x', file->sealed.len);
        } else if (i == 1) {
            file->sealed.data[file->sealed.len - 1] ^= 1;
        } else {
            file->signature.data[3] ^= 1;
        }
        must(csl_package_file_pack((uint8_t **)&bytes, &n, file), NULL, "pack");
        site_write(csl_federation_dir(world.fed), "changed", bytes, n);
        free(bytes);
        csl_package_file_free(file);
        if (i == 0) {
            FAILED(FAILS(&diag, "push", path, "--store", store), &diag, CSL_EDATA, "is not sealed");
        } else if (i == 1) {
            FAILED(FAILS(&diag, "push", path, "--store", store), &diag, CSL_EAUTH, "not the one");
        } else {
            FAILED(FAILS(&diag, "push", path, "--store", store), &diag, CSL_EAUTH,
                   "signature is not of its owner");
        }
    }
}

static void refused_to_pull(void **state) {
    (void)state;
    struct csl_diag diag;
    struct csl_cas *c;
    struct csl_cas_file file;
    char cid[CSL_CID_TEXT];
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    json_t *doc = push(store, "256k");
    FAILED(FAILS(&diag, "pull", "nonsense", "--store", store, "--out", out), &diag, CSL_EUSAGE,
           "not a content identifier");
    FAILED(FAILS(&diag, "pull", text(doc, "cid"), "--store", store, "--out", out, "--sha256", "12"), &diag,
           CSL_EUSAGE, "64 hex digits");
    FAILED(FAILS(&diag, "pull", text(doc, "cid"), "--store", store, "--out", out, "--sha256", zeros), &diag,
           CSL_EAUTH, "neither the file's");
    /* What is in a store, and is no package. */
    must(csl_cas_open(&c, store, NULL, &diag), &diag, "store");
    must(csl_cas_put(c, &file, roster, &csl_unixfs_256k, NULL, &diag), &diag, "put");
    csl_cas_close(c);
    FAILED(FAILS(&diag, "pull", csl_cid_text(cid, &file.cid), "--store", store, "--out", out), &diag,
           CSL_EDATA, "is not kept", "not a model package");
    assert_int_not_equal(access(out, F_OK), 0);
    json_decref(doc);
}

#ifdef CSL_WITH_CAS
static void by_http(void **state) {
    (void)state;
    struct fake_node f;
    struct csl_diag diag;
    char url[256];
    fake_node_start(&f);
    (void)snprintf(url, sizeof url, "%s", fake_node_url(&f, ""));
    json_t *doc = push(url, "1m");
    assert_string_equal(text(doc, "store"), url);
    pull_ok(url, doc);
    f.how = FAKE_OTHER;
    FAILED(FAILS(&diag, "pull", text(doc, "cid"), "--store", url, "--out", out), &diag, CSL_EAUTH, url,
           "are not what");
    FAILED(FAILS(&diag, "push", package, "--store", url), &diag, CSL_EPROTO, url, "but what was sent is");
    f.how = FAKE_REDIRECT;
    FAILED(FAILS(&diag, "pull", text(doc, "cid"), "--store", url, "--out", out), &diag, CSL_EPROTO,
           "elsewhere.example");
    f.how = FAKE_NEVER;
    FAILED(FAILS(&diag, "pull", text(doc, "cid"), "--store", url, "--out", out, "--timeout", "1"), &diag,
           CSL_ETIMEOUT, url);
    f.how = FAKE_ENDLESS;
    FAILED(FAILS(&diag, "pull", text(doc, "cid"), "--store", url, "--out", out, "--max-mib", "1"), &diag,
           CSL_EPROTO, "more than the 1048576 bytes");
    assert_int_not_equal(access(out, F_OK), 0);
    fake_node_stop(&f);
    FAILED(FAILS(&diag, "push", package, "--store", url), &diag, CSL_EUNAVAILABLE, url, "cannot be reached");
    json_decref(doc);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(installed),
        cmocka_unit_test(refused_to_push),
        cmocka_unit_test(refused_to_pull),
#ifdef CSL_WITH_CAS
        cmocka_unit_test(by_http),
#endif
    };
    return cmocka_run_group_tests(tests, start, stop);
}
