/* Sealed packages and running daemons, by the commands that people use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "site.h"

#define EXTERNAL "tests/corpus/onnx/external_op17.onnx"

static struct world world;
static char packages[1100];

static int start(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    world_open_unshared(&world, &opt);
    (void)snprintf(packages, sizeof packages, "%s/packages", csl_federation_dir(world.fed));
    return 0;
}

static int stop(void **state) {
    (void)state;
    return 0;
}

/* A command of a site; the caller releases the document. */
static json_t *run_as(const char *site, const char *const *args) {
    struct csl_diag diag = {""};
    json_t *doc;
    must(csl_federation_run_as(world.fed, &doc, site, args, &diag), &diag, args[1]);
    assert_non_null(doc);
    return doc;
}
#define RUN_AS(site, ...) run_as(site, (const char *const[]){__VA_ARGS__, "--json", NULL})

static const char *text(const json_t *doc, const char *key) {
    const char *s = json_string_value(json_object_get(doc, key));
    assert_non_null(s);
    return s;
}

static void seal_into(const char *dir, char digest[65]) {
    struct csl_diag diag = {""};
    struct site owner;
    site_open(&owner, &world, "model-owner");
    struct csl_sealed *s = site_seal(&owner, &world);
    must(csl_sealed_write(s, dir, &diag), &diag, "write");
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(digest + 2 * i, 3, "%02x", s->manifest.digest[i]);
    }
    csl_sealed_free(s);
    site_close(&owner);
}

static bool too_late(const struct timespec *since) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - since->tv_sec > 60;
}

/* Files come to daemons that run, and that nobody tells. */
static void installed_by_hand(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    char digest[65], path[1300];
    FAILED2(world_try(&world, &diag), &diag, CSL_EUNAVAILABLE, CSL_EUNAVAILABLE, MODEL, "was not shared");
    seal_into(packages, digest);
    for (unsigned i = 0; i < 3; i++) {
        const char *name = csl_federation_party_name(world.fed, i);
        (void)snprintf(path, sizeof path, "%s/" MODEL ".%s.package", packages, name);
        json_t *doc = RUN_AS(name, "model", "install", path);
        assert_string_equal(text(doc, "package_sha256"), digest);
        assert_string_equal(text(doc, "owner"), "model-owner");
        json_decref(doc);
        const char *other[] = {"model", "install", path, NULL};
        FAILED(csl_federation_run_as(world.fed, NULL, csl_federation_party_name(world.fed, (i + 1) % 3),
                                     other, &diag),
               &diag, CSL_EAUTH, "package of party", name);
    }
    struct timespec since;
    (void)clock_gettime(CLOCK_MONOTONIC, &since);
    while (world_try(&world, &diag) != CSL_OK) { /* until each has looked into its folder */
        assert_false(too_late(&since));
    }
    world_session(&world);
}

/* Each party cosigned the owner's ledger as it was when the model was sealed. */
static void expect_cosigned(void) {
    struct site owner;
    struct csl_diag diag = {""};
    struct csl_note *note = malloc(sizeof *note);
    assert_non_null(note);
    site_open(&owner, &world, "model-owner");
    must(csl_ledger_newest(owner.book.ledger, note, &diag), &diag, "newest");
    for (unsigned i = 0; i < 3; i++) {
        const struct csl_member *m = csl_roster_party(&owner.ctx.roster, i);
        must(csl_note_verify_cosignature(note, m->name, m->sign_key, &diag), &diag, m->name);
    }
    site_close(&owner);
    free(note);
}

static void delivered_as_sealed(void **state) {
    (void)state;
    char digest[65];
    seal_into(packages, digest);
    json_t *doc = RUN_AS("model-owner", "model", "share", "--name", MODEL, "--sealed", packages);
    assert_string_equal(text(doc, "package_sha256"), digest);
    assert_int_equal(json_array_size(json_object_get(doc, "packages")), 3);
    json_decref(doc);
    world_session(&world);
    expect_cosigned();
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
    char command[4096];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    assert_int_equal(system(command), 0);
}

/* The owner puts an old copy of its ledger back: the parties remember. */
static void owner_rolled_back(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    const char *dir = csl_federation_dir(world.fed);
    uint8_t digest[CSL_DIGEST_BYTES];
    shell("cp -a '%s/model-owner/state/ledger' '%s/ledger-old'", dir, dir);
    world_share(&world);
    world_share(&world);
    shell("mv '%s/model-owner/state/ledger' '%s/ledger-new'", dir, dir);
    shell("cp -a '%s/ledger-old' '%s/model-owner/state/ledger'", dir, dir);
    FAILED(csl_owner_share(digest, &world.owner, MODEL, &world.net->plan, &world.net->weights, &diag), &diag,
           CSL_EAUTH, "hospital-a|hospital-b|hospital-c", "rolled back");
    shell("rm -r '%s/model-owner/state/ledger'", dir);
    shell("mv '%s/ledger-new' '%s/model-owner/state/ledger'", dir, dir);
    world_share(&world);
    world_session(&world);
}

/* The owner lost what the parties answered: its cosignatures and the notes of them. */
static void answers_lost(void **state) {
    (void)state;
    const char *dir = csl_federation_dir(world.fed);
    struct csl_sealed *s;
    struct site owner;
    world_share(&world);
    site_open(&owner, &world, "model-owner"); /* a newer checkpoint, without them */
    s = site_seal(&owner, &world);
    csl_sealed_free(s);
    site_close(&owner);
    shell("rm -r '%s/model-owner/state/cosigned'", dir);
    shell("rm -f '%s/model-owner/state/ledger/history'", dir);
    world_share(&world); /* the parties say what they have cosigned */
    world_share(&world);
    expect_cosigned();
}

/* What a program without a site prints as JSON. */
static json_t *program(const char *format, ...) __attribute__((format(printf, 1, 2)));
static json_t *program(const char *format, ...) {
    char command[4096] = CSL_PROGRAM " ";
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(command + strlen(command), sizeof command - strlen(command), format, ap);
    va_end(ap);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    json_error_t e;
    json_t *doc = json_loadf(f, 0, &e);
    assert_non_null(doc);
    assert_int_equal(pclose(f), 0);
    return doc;
}

/* Eight features, four inputs. */
static void write_inputs(const char *path) {
    static const char header[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 8), }";
    uint8_t bytes[128 + 32] = "\x93NUMPY\x01\x00\x76";
    memset(bytes + 10, ' ', 118);
    memcpy(bytes + 10, header, sizeof header - 1);
    bytes[127] = '\n';
    for (size_t i = 0; i < 32; i++) {
        bytes[128 + i] = (uint8_t)(i * 41);
    }
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, sizeof bytes, f), sizeof bytes);
    assert_int_equal(fclose(f), 0);
}

/* An authority gets the whole model, with its external file, and classifies as its owner does. */
static void kept_by_an_authority(void **state) {
    (void)state;
    const char *dir = csl_federation_dir(world.fed);
    char file[1300], to[1300], x[1300];
    (void)snprintf(file, sizeof file, "%s/kept.archive", dir);
    (void)snprintf(to, sizeof to, "%s/authority/recipient.pem", dir);
    (void)snprintf(x, sizeof x, "%s/x.npy", dir);
    write_inputs(x);
    shell(CSL_PROGRAM " cert recipient --out '%s/authority' --name authority >/dev/null", dir);
    json_t *doc = RUN_AS("model-owner", "model", "archive", EXTERNAL, "--to", to, "--normalize", "unit",
                         "--name", "kept", "--out", file);
    assert_int_equal(json_integer_value(json_object_get(doc, "files")), 2);
    assert_string_equal(text(doc, "owner"), "model-owner");
    json_decref(doc);
    doc = program("model restore '%s' --key '%s/authority' --out '%s/back' --roster '%s/clinic/roster.yaml' "
                  "--json",
                  file, dir, dir, dir);
    assert_true(json_is_true(json_object_get(doc, "verified")));
    json_decref(doc);
    shell("cmp -s " EXTERNAL ".data '%s/back/external_op17.onnx.data'", dir);
    json_t *sealed =
        program("model run '%s' --key '%s/authority' --images '%s' --npy features --json", file, dir, x);
    json_t *plain = program("model run " EXTERNAL " --normalize unit --images '%s' --npy features --json", x);
    assert_int_equal(json_array_size(json_object_get(plain, "classes")), 4);
    assert_true(json_equal(sealed, plain));
    json_decref(sealed);
    json_decref(plain);
    uint8_t digest[CSL_DIGEST_BYTES];
    size_t n;
    struct site owner;
    site_open(&owner, &world, "model-owner");
    assert_int_equal(site_model_leaves(&owner, CSL_MODEL_ARCHIVED, digest, &n), 1);
    site_close(&owner);
}

/* The last test: a failure of the group's teardown would not count. */
static void all_end_in_order(void **state) {
    (void)state;
    world_lives(&world, NULL);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(installed_by_hand),    cmocka_unit_test(delivered_as_sealed),
        cmocka_unit_test(owner_rolled_back),    cmocka_unit_test(answers_lost),
        cmocka_unit_test(kept_by_an_authority), cmocka_unit_test(all_end_in_order),
    };
    return cmocka_run_group_tests_name("roles_install", tests, start, stop);
}
