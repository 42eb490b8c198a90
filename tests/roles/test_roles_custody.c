/* Packages and models that change hands: handed on to a successor, kept by an authority. No daemon runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include "audit/statement.h"
#include "crypto/envelope.h"
#include "roles/message.h"
#include "roles/package/archive.h"
#include "roles/package/recipient.h"
#include "site.h"

/* hospital-b leaves; visitor takes its place, and later radiology visitor's. */
static struct world world;
static struct site owner, a, b, visitor, radiology;

static int start(void **state) {
    (void)state;
    static const struct csl_federation_extra extras[] = {{"visitor", CSL_ROLE_CLIENT, false},
                                                         {"radiology", CSL_ROLE_CLIENT, false}};
    struct csl_federation_options opt = world_options(3);
    opt.idle = true;
    opt.extras = extras;
    opt.n_extras = 2;
    world_open_unshared(&world, &opt);
    site_open(&owner, &world, "model-owner");
    site_open(&a, &world, "hospital-a");
    site_open(&b, &world, "hospital-b");
    site_open_as(&visitor, &world, "visitor", 1);
    site_open_as(&radiology, &world, "radiology", 1);
    return 0;
}

static int stop(void **state) {
    (void)state;
    struct site *all[] = {&owner, &a, &b, &visitor, &radiology};
    for (size_t i = 0; i < 5; i++) {
        site_close(all[i]);
    }
    world_close(&world);
    return 0;
}

/* ---- Handing on ---- */

static struct csl_successor successor(const struct site *s) {
    struct csl_successor to = {.wrap_key = s->ctx.site.wrap_key};
    memcpy(to.name, s->ctx.self->name, sizeof to.name);
    memcpy(to.sign_spki, s->ctx.site.sign_spki, sizeof to.sign_spki);
    return to;
}

static uint8_t *hand_on(size_t *n, struct site *from, const struct csl_successor *to) {
    struct csl_diag diag = {""};
    uint8_t *bytes, digest[CSL_DIGEST_BYTES];
    size_t k = 0, before = site_model_leaves(from, CSL_MODEL_RESEALED, digest, &k);
    must(csl_reseal(&bytes, n, &from->ctx, MODEL, to, &diag), &diag, "reseal");
    assert_int_equal(site_model_leaves(from, CSL_MODEL_RESEALED, digest, &k), before + 1);
    return bytes;
}

/* A new model at hospital-b, and its package handed on to visitor. */
static uint8_t *first_hand(size_t *n) {
    struct csl_diag diag = {""};
    struct csl_successor to = successor(&visitor);
    struct csl_sealed *s = site_seal(&owner, &world);
    uint8_t *bytes = site_package(n, s, 1);
    must(site_accept(&b, bytes, *n, &diag), &diag, "accept");
    free(bytes);
    csl_sealed_free(s);
    return hand_on(n, &b, &to);
}

static void through_two_hands(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_successor to = successor(&radiology);
    size_t n, n2;
    uint8_t *bytes = first_hand(&n), *again;
    FAILED(site_open_package(&b, bytes, n, &diag), &diag, CSL_EAUTH, MODEL, "hands of visitor", "hospital-b");
    FAILED(site_open_package(&radiology, bytes, n, &diag), &diag, CSL_EAUTH, MODEL, "hands of visitor");
    FAILED(site_open_package(&a, bytes, n, &diag), &diag, CSL_EAUTH, "party 1", "hospital-a is party 0");
    must(site_accept(&visitor, bytes, n, &diag), &diag, "install");
    again = hand_on(&n2, &visitor, &to);
    FAILED(site_open_package(&visitor, again, n2, &diag), &diag, CSL_EAUTH, "hands of radiology");
    must(site_accept(&radiology, again, n2, &diag), &diag, "install");
    struct csl_store store;
    struct csl_package *p, *old;
    Csl__Pb__ModelPackage *file, *was;
    must(csl_store_init(&store, &radiology.ctx, &diag), &diag, "store");
    must(csl_store_find(&store, &p, MODEL, &diag), &diag, "find");
    csl_package_unref(p);
    csl_store_clear(&store);
    /* What arrives is what left. */
    must(csl_store_read(&file, &p, &radiology.ctx, MODEL, &diag), &diag, "read");
    must(csl_store_read(&was, &old, &b.ctx, MODEL, &diag), &diag, "read");
    assert_int_equal(file->n_reseals, 2);
    assert_int_equal(p->n_part, old->n_part);
    assert_memory_equal(p->part, old->part, p->n_part);
    assert_memory_equal(p->digest, old->digest, sizeof p->digest);
    csl_package_unref(p);
    csl_package_unref(old);
    csl_package_file_free(file);
    csl_package_file_free(was);
    free(again);
    free(bytes);
}

/* A package that was handed on, parsed, for the test to change; packed again and opened. */
static enum csl_err open_changed(struct site *at, Csl__Pb__ModelPackage *f, struct csl_diag *diag) {
    uint8_t *bytes;
    size_t n;
    assert_int_equal(csl_package_file_pack(&bytes, &n, f), CSL_OK);
    enum csl_err err = site_open_package(at, bytes, n, diag);
    free(bytes);
    return err;
}

static void sign_again(Csl__Pb__Reseal *r, struct site *signer, EVP_PKEY *key) {
    struct csl_diag diag = {""};
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    assert_true(n > 0 && (size_t)n == r->signer_key.len);
    memcpy(r->signer_key.data, der, (size_t)n);
    OPENSSL_free(der);
    must(csl_statement_sign_bytes(r->signature.data, CSL_STATEMENT_RESEAL, r->statement.data,
                                  r->statement.len, signer->ctx.site.sign_key, &diag),
         &diag, "sign");
}

static void broken_chains(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_successor to = successor(&radiology);
    size_t n, n2;
    uint8_t *one = first_hand(&n), *two;
    Csl__Pb__ModelPackage *f, *g;
    must(site_accept(&visitor, one, n, &diag), &diag, "install");
    two = hand_on(&n2, &visitor, &to);
    must(csl_package_file_parse(&f, two, n2, &diag), &diag, "parse");
    must(csl_package_file_parse(&g, one, n, &diag), &diag, "parse");

    f->n_reseals = 1; /* the last statement is left out, then the first, then they are swapped */
    FAILED(open_changed(&radiology, f, &diag), &diag, CSL_EAUTH, "sealed part", "last statement");
    f->n_reseals = 0;
    FAILED(open_changed(&radiology, f, &diag), &diag, CSL_EAUTH, "sealed part", "manifest");
    f->n_reseals = 2;
    Csl__Pb__Reseal *first = f->reseals[0], *second = f->reseals[1];
    f->reseals[0] = second;
    f->reseals[1] = first;
    FAILED(open_changed(&radiology, f, &diag), &diag, CSL_EAUTH, "statement 1", "visitor", "hospital-b");
    f->reseals[0] = first;
    f->reseals[1] = second;

    second->statement.data[3] ^= 1;
    FAILED(open_changed(&radiology, f, &diag), &diag, CSL_EAUTH, "statement 2", "not signed by visitor");
    second->statement.data[3] ^= 1;
    /* The thief signs in visitor's name, with its own key, or with visitor's key in the field. */
    sign_again(second, &radiology, radiology.ctx.site.sign_key);
    FAILED(open_changed(&radiology, f, &diag), &diag, CSL_EAUTH, "statement 2", "visitor", "named for it");
    sign_again(second, &radiology, visitor.ctx.site.sign_key);
    FAILED(open_changed(&radiology, f, &diag), &diag, CSL_EAUTH, "statement 2", "not signed by visitor");
    sign_again(second, &visitor, visitor.ctx.site.sign_key);
    assert_int_equal(open_changed(&radiology, f, &diag), CSL_OK);

    /* A good chain about another sealed part, and one of another sealing. */
    ProtobufCBinaryData kept = f->sealed;
    f->sealed = g->sealed;
    FAILED(open_changed(&radiology, f, &diag), &diag, CSL_EAUTH, "sealed part", "last statement");
    f->sealed = kept;
    free(one);
    one = first_hand(&n);
    Csl__Pb__ModelPackage *other;
    must(csl_package_file_parse(&other, one, n, &diag), &diag, "parse");
    Csl__Pb__Reseal *own = other->reseals[0];
    other->reseals[0] = first;
    FAILED(open_changed(&visitor, other, &diag), &diag, CSL_EAUTH, "statement 1", "another package");
    other->reseals[0] = own;
    assert_int_equal(open_changed(&visitor, other, &diag), CSL_OK);
    csl_package_file_free(other);
    csl_package_file_free(g);
    csl_package_file_free(f);
    free(one);
    free(two);
}

/* Every bit before and behind the sealed part. */
static void flipped_bits(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    size_t n;
    uint8_t *bytes = first_hand(&n);
    Csl__Pb__ModelPackage *f;
    must(csl_package_file_parse(&f, bytes, n, &diag), &diag, "parse");
    const uint8_t *sealed = memmem(bytes, n, f->sealed.data, f->sealed.len);
    assert_non_null(sealed);
    size_t begin = (size_t)(sealed - bytes), end = begin + f->sealed.len;
    csl_package_file_free(f);
    for (size_t bit = 0; bit < 8 * n; bit += bit / 8 >= begin && bit / 8 < end ? 97 : 1) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        diag.text[0] = '\0';
        if (site_open_package(&visitor, bytes, n, &diag) == CSL_OK || diag.text[0] == '\0') {
            fail_msg("bit %zu of byte %zu is flipped, and nobody says so", bit % 8, bit / 8);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    must(site_open_package(&visitor, bytes, n, &diag), &diag, "open");
    free(bytes);
}

static void who_may_hand_on(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_successor to = successor(&visitor), next = successor(&radiology);
    size_t n;
    uint8_t *bytes = first_hand(&n), *none;
    free(bytes);
    memset(to.sign_spki, 0, sizeof to.sign_spki); /* a wrapping key alone */
    bytes = hand_on(&n, &b, &to);
    must(site_accept(&visitor, bytes, n, &diag), &diag, "install");
    free(bytes);
    bytes = hand_on(&n, &visitor, &next);
    FAILED(site_open_package(&radiology, bytes, n, &diag), &diag, CSL_EAUTH, "statement 2", "named for it");
    free(bytes);
    to.name[0] = '\0';
    FAILED(csl_reseal(&none, &n, &b.ctx, MODEL, &to, &diag), &diag, CSL_EUSAGE, "name");
    FAILED(csl_reseal(&none, &n, &b.ctx, "unknown", &next, &diag), &diag, CSL_ENOINPUT, "unknown");
    FAILED(csl_reseal(&none, &n, &b.ctx, "../secret", &next, &diag), &diag, CSL_EUSAGE, "not the name");
    /* A party hands on only what it would load itself. */
    bytes = first_hand(&n);
    char models[1100];
    (void)snprintf(models, sizeof models, "%s/state/models", b.dir);
    site_write(models, MODEL ".model", bytes, n);
    FAILED(csl_reseal(&none, &n, &b.ctx, MODEL, &next, &diag), &diag, CSL_EAUTH, "hands of visitor");
    assert_null(none);
    free(bytes);
}

/* ---- Archives ---- */

static void scratch(char path[1200], const char *name) {
    (void)snprintf(path, 1200, "%s/%s", csl_federation_dir(world.fed), name);
}

static void add_text(struct csl_archive *a_, const char *dir, const char *name, const char *text) {
    struct csl_diag diag = {""};
    site_write(dir, name, text, strlen(text));
    must(csl_archive_add(a_, dir, name, &diag), &diag, name);
}

static void make_archive(struct csl_archive *a_) {
    char dir[1200], sub[1300];
    scratch(dir, "net");
    (void)snprintf(sub, sizeof sub, "%s/weights", dir);
    (void)mkdir(dir, 0700);
    (void)mkdir(sub, 0700);
    memset(a_, 0, sizeof *a_);
    (void)snprintf(a_->name, sizeof a_->name, "%s", MODEL);
    (void)snprintf(a_->options, sizeof a_->options, "{\"normalize\":\"unit\"}");
    add_text(a_, dir, "net.onnx", "the network");
    add_text(a_, dir, "weights/one.bin", "its weights");
}

static void archived_and_restored(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    char dir[1200], out[1200], path[1400], text[64] = "";
    struct csl_archive made, back;
    EVP_PKEY *key, *pub;
    uint8_t *bytes, digest[CSL_DIGEST_BYTES];
    size_t n, k;
    scratch(dir, "authority");
    scratch(out, "restored");
    must(csl_recipient_keygen(dir, "authority", &diag), &diag, "keygen");
    FAILED(csl_recipient_keygen(dir, NULL, &diag), &diag, CSL_ECREATE, "wrap.key");
    must(csl_recipient_key(&key, dir, &diag), &diag, "key");
    (void)snprintf(path, sizeof path, "%s/recipient.pem", dir);
    must(csl_recipient_public(&pub, NULL, NULL, path, &diag), &diag, "public");
    make_archive(&made);
    must(csl_archive_seal(&bytes, &n, &made, pub, &owner.ctx, &diag), &diag, "seal");
    assert_int_equal(site_model_leaves(&owner, CSL_MODEL_ARCHIVED, digest, &k), 1);
    assert_memory_equal(digest, made.digest, sizeof digest);
    must(csl_archive_open(&back, bytes, n, key, &owner.ctx.roster, &diag), &diag, "open");
    assert_string_equal(back.owner, "model-owner");
    assert_string_equal(back.options, made.options);
    must(csl_archive_extract(path, sizeof path, &back, out, &diag), &diag, "extract");
    assert_non_null(strstr(path, "restored/net.onnx"));
    (void)snprintf(path, sizeof path, "%s/weights/one.bin", out);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    (void)fclose(f);
    assert_string_equal(text, "its weights");
    FAILED(csl_archive_extract(NULL, 0, &back, out, &diag), &diag, CSL_ECREATE, "net.onnx");
    csl_archive_remove(&back, out);
    assert_int_not_equal(access(out, F_OK), 0);
    csl_archive_clear(&back);
    /* Every 13th bit. */
    for (size_t bit = 0; bit < 8 * n; bit += 13) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(csl_archive_open(&back, bytes, n, key, &owner.ctx.roster, &diag), CSL_OK);
        assert_int_equal(back.n_files, 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    FAILED(csl_archive_open(&back, bytes, n, a.ctx.site.wrap_key, NULL, &diag), &diag, CSL_EAUTH,
           "does not open");
    free(bytes);
    csl_archive_clear(&made);
    EVP_PKEY_free(key);
    EVP_PKEY_free(pub);
}

/* Who sealed it cannot be taken away, nor put in its place. */
static void signer_of_an_archive(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    EVP_PKEY *key = a.ctx.site.wrap_key;
    struct csl_archive made, back;
    uint8_t *bytes, packed[65536], signature[CSL_SIGNATURE_BYTES];
    size_t n;
    make_archive(&made);
    must(csl_archive_seal(&bytes, &n, &made, key, &owner.ctx, &diag), &diag, "seal");
    Csl__Pb__SealedArchive *f = csl__pb__sealed_archive__unpack(NULL, n, bytes);
    assert_non_null(f);
    assert_true(csl__pb__sealed_archive__get_packed_size(f) < sizeof packed);
    Csl__Pb__SealedArchive stripped = CSL__PB__SEALED_ARCHIVE__INIT;
    stripped.version = f->version;
    stripped.sealed = f->sealed;
    n = csl__pb__sealed_archive__pack(&stripped, packed);
    FAILED(csl_archive_open(&back, packed, n, key, NULL, &diag), &diag, CSL_EAUTH, "took the signature away");
    FAILED(csl_archive_open(&back, packed, n, key, &owner.ctx.roster, &diag), &diag, CSL_EAUTH, "nobody");
    must(
        csl_sign(signature, b.ctx.site.sign_key, "consilium/archive", made.digest, sizeof made.digest, &diag),
        &diag, "sign");
    stripped.signer = (char *)(uintptr_t) "hospital-b";
    stripped.signature = csl_bytes(signature, sizeof signature);
    n = csl__pb__sealed_archive__pack(&stripped, packed);
    FAILED(csl_archive_open(&back, packed, n, key, &owner.ctx.roster, &diag), &diag, CSL_EAUTH, "model-owner",
           "hospital-b");
    stripped.signer = (char *)(uintptr_t) "nobody-known";
    n = csl__pb__sealed_archive__pack(&stripped, packed);
    FAILED(csl_archive_open(&back, packed, n, key, &owner.ctx.roster, &diag), &diag, CSL_EPERM,
           "nobody-known");
    stripped.signer = f->signer;
    n = csl__pb__sealed_archive__pack(&stripped, packed);
    FAILED(csl_archive_open(&back, packed, n, key, &owner.ctx.roster, &diag), &diag, CSL_EAUTH,
           "not that of");
    csl__pb__sealed_archive__free_unpacked(f, NULL);
    free(bytes);
    must(csl_archive_seal(&bytes, &n, &made, key, NULL, &diag), &diag, "unsigned");
    must(csl_archive_open(&back, bytes, n, key, NULL, &diag), &diag, "open");
    assert_string_equal(back.owner, "");
    csl_archive_clear(&back);
    FAILED(csl_archive_open(&back, bytes, n, key, &owner.ctx.roster, &diag), &diag, CSL_EAUTH,
           "nobody signed");
    free(bytes);
    csl_archive_clear(&made);
}

/* An archive that somebody made to write elsewhere. */
static void names_that_lead_elsewhere(void **state) {
    (void)state;
    static const char *const names[] = {"../net.onnx", "/etc/net.onnx", "a/../../b", "",
                                        "a//b",        "a\\b",          "..",        "dir/"};
    struct csl_diag diag = {""};
    struct csl_archive made, back;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint8_t *bytes;
        size_t n;
        make_archive(&made);
        FAILED(csl_archive_add(&made, "/tmp", names[i], &diag), &diag, CSL_EDATA, "below the model's folder");
        free(made.files[1].name);
        made.files[1].name = strdup(names[i]);
        must(csl_archive_seal(&bytes, &n, &made, a.ctx.site.wrap_key, NULL, &diag), &diag, "seal");
        FAILED(csl_archive_open(&back, bytes, n, a.ctx.site.wrap_key, NULL, &diag), &diag, CSL_EDATA,
               "below the model's folder");
        assert_int_equal(back.n_files, 0);
        free(bytes);
        csl_archive_clear(&made);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(through_two_hands),
        cmocka_unit_test(broken_chains),
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(who_may_hand_on),
        cmocka_unit_test(archived_and_restored),
        cmocka_unit_test(signer_of_an_archive),
        cmocka_unit_test(names_that_lead_elsewhere),
    };
    return cmocka_run_group_tests_name("roles_custody", tests, start, stop);
}
