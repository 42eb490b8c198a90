/* Who is let in, to what, and what is said to everybody else. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "audit/statement.h"
#include "crypto/cert.h"
#include "crypto/envelope.h"
#include "roles/package/package.h"

static struct world world;
static struct csl_timeouts timeouts;
static const struct csl_federation_extra extras[] = {{"visitor", CSL_ROLE_CLIENT, false},
                                                     {"other-owner", CSL_ROLE_OWNER, false}};

static int start(void **state) {
    (void)state;
    timeouts = quick_timeouts();
    struct csl_federation_options opt = world_options(3);
    opt.timeouts = &timeouts;
    opt.extras = extras;
    opt.n_extras = 2;
    world_open(&world, &opt);
    return 0;
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static int still_serves(void **state) {
    (void)state;
    world_session(&world);
    world_lives(&world, NULL);
    return 0;
}

/* ---- Certificates ---- */

static EVP_PKEY *private_key(const char *site, const char *file) {
    char path[1024];
    world_path(path, &world, site, file);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    (void)fclose(f);
    assert_non_null(key);
    return key;
}

static char *pem_of(X509 *cert, size_t *n) {
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(PEM_write_bio_X509(b, cert), 1);
    *n = (size_t)BIO_get_mem_data(b, &text);
    char *copy = malloc(*n);
    memcpy(copy, text, *n);
    BIO_free(b);
    return copy;
}

/* The context speaks with this certificate (signed by `signer` here) and key from now on. */
static void wear(struct csl_context *ctx, X509 *cert, EVP_PKEY *key, EVP_PKEY *signer) {
    struct csl_diag diag = {""};
    assert_int_not_equal(X509_sign(cert, signer, EVP_sha256()), 0);
    size_t n_chain, n_ca;
    char *chain = pem_of(cert, &n_chain), *ca = pem_of(ctx->roster.ca, &n_ca);
    struct csl_tls_config config = {
        .chain_pem = chain, .chain_n = n_chain, .key = key, .ca_pem = ca, .ca_n = n_ca};
    csl_tls_ctx_free(ctx->tls);
    must(csl_tls_ctx_new(&ctx->tls, &config, &diag), &diag, "tls");
    free(chain);
    free(ca);
}

static enum csl_err client_dial(struct csl_context *ctx, unsigned i, struct csl_diag *diag) {
    struct fake f;
    fake_open(&f, &world, ctx);
    enum csl_err err = fake_dial_fails(&f, i, CSL__PB__PURPOSE__PURPOSE_CLIENT, diag);
    fake_close(&f);
    return err;
}

/* Of this site's certificate, but for what the caller changes. */
enum change { ANOTHER_CA, EXPIRED, ANOTHER_KEY, ANOTHER_NAME };
static enum csl_err dial_with(enum change change, struct csl_diag *diag) {
    struct csl_context ctx;
    world_context(&ctx, &world, "clinic");
    EVP_PKEY *ca_key = private_key("ca", "ca.key"), *key = private_key("clinic", "tls.key");
    EVP_PKEY *other = EVP_EC_gen("P-256");
    X509 *cert = X509_dup(ctx.site.tls_cert);
    if (change == EXPIRED) {
        X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
        X509_gmtime_adj(X509_getm_notAfter(cert), -3600);
    } else if (change == ANOTHER_KEY) { /* the CA was tricked: the right name with a key of somebody else */
        assert_int_equal(X509_set_pubkey(cert, other), 1);
    } else if (change == ANOTHER_NAME) { /* a certificate of hospital-b for a key of ours */
        struct csl_context b;
        world_context(&b, &world, "hospital-b");
        X509_free(cert);
        cert = X509_dup(b.site.tls_cert);
        assert_int_equal(X509_set_pubkey(cert, key), 1);
        csl_context_free(&b);
    }
    wear(&ctx, cert, change == ANOTHER_KEY ? other : key, change == ANOTHER_CA ? other : ca_key);
    enum csl_err err = client_dial(&ctx, 0, diag);
    csl_context_free(&ctx);
    X509_free(cert);
    EVP_PKEY_free(other);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return err;
}

static void certificates(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    FAILED(dial_with(ANOTHER_CA, &diag), &diag, CSL_EAUTH, "hospital-a", "certificate|CA");
    FAILED(dial_with(EXPIRED, &diag), &diag, CSL_EAUTH, "hospital-a", "expired");
    FAILED(dial_with(ANOTHER_KEY, &diag), &diag, CSL_EPERM, "hospital-a", "not accepted");
    FAILED(dial_with(ANOTHER_NAME, &diag), &diag, CSL_EPERM, "hospital-a", "not accepted");
}

/* A certificate of the CA for a site that the roster does not know. */
static void not_in_the_roster(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context ctx;
    struct csl_site site;
    struct csl_enrolment e;
    char *request, *pem, ca_dir[1024];
    X509 *cert;
    must(csl_site_load_keys(&site, CSL_TEST_KEYS "/hospital-p", &diag), &diag, "keys");
    must(csl_enrolment_write(&request, &site, NULL, 0, &diag), &diag, "request");
    must(csl_enrolment_parse(&e, request, strlen(request), &diag), &diag, "parse");
    (void)snprintf(ca_dir, sizeof ca_dir, "%s/ca", csl_federation_dir(world.fed));
    must(csl_ca_sign(&pem, ca_dir, &e, 1, &diag), &diag, "sign");
    must(csl_cert_parse(&cert, pem, strlen(pem), "stranger", &diag), &diag, "cert");
    world_context(&ctx, &world, "clinic");
    EVP_PKEY *ca_key = private_key("ca", "ca.key");
    wear(&ctx, cert, site.tls_key, ca_key);
    FAILED(client_dial(&ctx, 0, &diag), &diag, CSL_EPERM, "hospital-a", "not accepted");
    FAILED(client_dial(&ctx, 2, &diag), &diag, CSL_EPERM, "hospital-c", "not accepted");
    EVP_PKEY_free(ca_key);
    csl_context_free(&ctx);
    X509_free(cert);
    csl_enrolment_free(&e);
    csl_site_free(&site);
    free(request);
    free(pem);
}

/* Our roster says hospital-a, and hospital-b answers. */
static void another_party_answers(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context ctx;
    world_context(&ctx, &world, "clinic");
    ctx.roster.members[0].port = ctx.roster.members[1].port;
    FAILED2(client_dial(&ctx, 0, &diag), &diag, CSL_EPERM, CSL_EAUTH, "hospital-a", "hospital-b");
    csl_context_free(&ctx);
}

/* ---- What the roster allows ---- */

static void client_of_no_model(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context ctx;
    struct csl_client *c;
    world_context(&ctx, &world, "visitor");
    FAILED(world_client_open(&c, &ctx, MODEL, 1, &diag), &diag, CSL_EPERM, "hospital-a", "visitor", MODEL);
    FAILED(world_client_open(&c, &ctx, "other", 1, &diag), &diag, CSL_EPERM, "hospital-a", "other");
    FAILED(world_client_open(&c, &world.owner, MODEL, 1, &diag), &diag, CSL_EPERM, "model-owner", "client");
    csl_context_free(&ctx);
}

static void purposes(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context a;
    struct fake f;
    fake_open(&f, &world, &world.clinic);
    FAILED(fake_dial_fails(&f, 0, CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL, &diag), &diag, CSL_EPERM, "clinic");
    FAILED(fake_dial_fails(&f, 1, CSL__PB__PURPOSE__PURPOSE_PEER, &diag), &diag, CSL_EPERM, "clinic");
    FAILED(fake_dial_fails(&f, 2, CSL__PB__PURPOSE__PURPOSE_CORRECTIONS, &diag), &diag, CSL_EPERM, "clinic");
    fake_close(&f);
    fake_open(&f, &world, &world.clinic);
    FAILED(fake_dial_fails(&f, 0, CSL__PB__PURPOSE__PURPOSE_CONTROL, &diag), &diag, CSL_EPERM, "hospital-a",
           "control connections");
    FAILED(fake_dial_fails(&f, 1, (Csl__Pb__Purpose)99, &diag), &diag, CSL_EPERM, "hospital-b");
    fake_close(&f);
    /* The later party dials the earlier, not the other way round. */
    world_context(&a, &world, "hospital-a");
    fake_open(&f, &world, &a);
    FAILED(fake_dial_fails(&f, 2, CSL__PB__PURPOSE__PURPOSE_PEER, &diag), &diag, CSL_EPERM, "hospital-a");
    fake_close(&f);
    csl_context_free(&a);
}

/* A manifest that is good in form. */
static uint8_t *manifest(size_t *n, const char *owner, const char *name) {
    struct csl_manifest m = {.n_parties = world.n, .expires_ms = UINT64_MAX};
    uint8_t *bytes;
    m.plan = world.net->plan;
    for (unsigned i = 0; i < world.n; i++) {
        (void)snprintf(m.parties[i], sizeof m.parties[i], "%s", csl_federation_party_name(world.fed, i));
    }
    (void)snprintf(m.owner, sizeof m.owner, "%s", owner);
    (void)snprintf(m.name, sizeof m.name, "%s", name);
    assert_int_equal(csl_manifest_encode(&bytes, n, &m), CSL_OK);
    return bytes;
}

/* Signed by the site that sends it. */
static void send_manifest(struct fake *f, const uint8_t *bytes, size_t n) {
    struct csl_diag diag = {""};
    uint8_t signature[CSL_SIGNATURE_BYTES];
    must(csl_statement_sign_bytes(signature, CSL_STATEMENT_MANIFEST, bytes, n, f->ctx->site.sign_key, &diag),
         &diag, "sign");
    CSL_CONTROL(m, body, ShareModel, SHARE_MODEL, SHARE_MODEL, share_model);
    body.manifest = csl_bytes(bytes, n);
    body.signature = csl_bytes(signature, sizeof signature);
    must(csl_talk_send(&f->talks[0], &m, &diag), &diag, "send");
}

static enum csl_err share_as(const struct csl_context *ctx, const char *owner, const char *name,
                             struct csl_diag *diag) {
    struct fake f;
    fake_open(&f, &world, ctx);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL);
    size_t n;
    uint8_t *bytes = manifest(&n, owner, name);
    send_manifest(&f, bytes, n);
    enum csl_err err = fake_end(&f, 0, diag);
    free(bytes);
    fake_close(&f);
    return err;
}

static void owner_of_another_model(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context ctx;
    uint8_t digest[CSL_DIGEST_BYTES];
    world_context(&ctx, &world, "other-owner");
    FAILED(csl_owner_share(digest, &ctx, MODEL, &world.net->plan, &world.net->weights, &diag), &diag,
           CSL_EPERM, "other-owner", MODEL);
    FAILED(share_as(&ctx, "other-owner", MODEL, &diag), &diag, CSL_EPERM, "hospital-a", "other-owner", MODEL);
    FAILED(share_as(&ctx, "model-owner", MODEL, &diag), &diag, CSL_EPERM, "hospital-a", "other-owner");
    FAILED(share_as(&world.owner, "model-owner", "unknown", &diag), &diag, CSL_EPERM, "hospital-a",
           "unknown");
    csl_context_free(&ctx);
}

/* A sealed part that is not the one that the manifest names. */
static void part_of_another_sharing(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct fake f;
    uint8_t part[CSL_SALT_BYTES + CSL_SEED_BYTES] = {7};
    size_t n, n_env;
    const struct csl_member *party = csl_roster_party(&world.owner.roster, 0);
    fake_open(&f, &world, &world.owner);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL);
    uint8_t *bytes = manifest(&n, "model-owner", MODEL);
    send_manifest(&f, bytes, n);
    must(csl_envelope_size(&n_env, sizeof part, party->wrap_key, &diag), &diag, "size");
    uint8_t *env = calloc(n_env, 1);
    assert_non_null(env);
    must(csl_envelope_seal(env, &n_env, party->wrap_key, CSL_PART_LABEL, part, 1, part, sizeof part, &diag),
         &diag, "seal");
    fake_send(&f, 0, CSL_FRAME_DATA, 0, env, n_env);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EAUTH, "hospital-a", MODEL, "sealed part");
    free(env);
    free(bytes);
    fake_close(&f);
}

/* ---- Rosters and versions ---- */

static void client_with_an_old_roster(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context ctx;
    world_context(&ctx, &world, "clinic");
    ctx.roster_digest[0] ^= 1;
    FAILED(client_dial(&ctx, 0, &diag), &diag, CSL_ECONFIG, "hospital-a", "another roster", "roster digest");
    csl_context_free(&ctx);
}

/* Changes one word of a site's roster; the caller puts it back. */
static void edit_roster(const char *site, const char *from, const char *to) {
    char path[1024], text[65536];
    world_path(path, &world, site, "roster.yaml");
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    char *at = strstr(text, from);
    assert_non_null(at);
    f = fopen(path, "we");
    assert_non_null(f);
    (void)fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    (void)fclose(f);
}

static void party_with_an_old_roster(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct fake f;
    world_kill(&world, "hospital-c");
    edit_roster("hospital-c", "max_batch: 16", "max_batch: 15");
    world_spawn(&world, "hospital-c");
    fake_open(&f, &world, &world.clinic);
    FAILED(fake_dial_fails(&f, 2, CSL__PB__PURPOSE__PURPOSE_CLIENT, &diag), &diag, CSL_ECONFIG, "hospital-c",
           "another roster");
    fake_close(&f);
    /* hospital-a may know before the client does that there is no epoch. */
    FAILED2(world_try(&world, &diag), &diag, CSL_ECONFIG, CSL_EUNAVAILABLE, "hospital-c");
    world_kill(&world, "hospital-c");
    edit_roster("hospital-c", "max_batch: 15", "max_batch: 16");
    world_spawn(&world, "hospital-c");
}

struct greeting { /* a HELLO of our own making, and the answer */
    struct csl_conn *conn;
    const struct csl_context *ctx;
    uint32_t protocol, error;
    char reason[256];
    bool ended;
};

static void greet(struct csl_conn *conn, void *arg) {
    struct greeting *g = arg;
    uint8_t *out;
    size_t n;
    assert_int_equal(csl_hello_encode(&out, &n, g->ctx, CSL__PB__PURPOSE__PURPOSE_CLIENT, NULL), CSL_OK);
    Csl__Pb__Hello *h = csl__pb__hello__unpack(NULL, n, out);
    h->protocol = g->protocol;
    n = csl__pb__hello__pack(h, out);
    csl__pb__hello__free_unpacked(h, NULL);
    assert_int_equal(csl_conn_send(conn, CSL_FRAME_HELLO, 0, out, n), CSL_OK);
    free(out);
}

static void answered(struct csl_conn *conn, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg) {
    struct greeting *g = arg;
    Csl__Pb__HelloAck *ack;
    (void)conn;
    if (h->type == CSL_FRAME_HELLO_ACK && csl_hello_ack_decode(&ack, payload, h->n, NULL) == CSL_OK) {
        g->error = ack->error;
        (void)snprintf(g->reason, sizeof g->reason, "%s", ack->reason);
        csl__pb__hello_ack__free_unpacked(ack, NULL);
    }
}

static void greeting_over(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    (void)conn;
    (void)err;
    (void)why;
    ((struct greeting *)arg)->ended = true;
}

static bool has_ended(void *arg) {
    return ((struct greeting *)arg)->ended;
}

static void versions(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct fake f;
    struct csl_conn_options opt;
    const struct csl_member *a = csl_roster_party(&world.clinic.roster, 0);
    static const struct csl_conn_callbacks cb = {
        .on_open = greet, .on_frame = answered, .on_close = greeting_over};
    /* We are newer. */
    struct greeting g = {.ctx = &world.clinic, .protocol = 2};
    fake_open(&f, &world, &world.clinic);
    csl_context_conn_options(&world.clinic, &opt);
    must(csl_conn_dial(&g.conn, &f.worker.loop.uv, a->host, a->port, world.clinic.tls, &opt, &cb, &g, &diag),
         &diag, "dial");
    must(csl_loop_run_until(&f.worker.loop, has_ended, &g, FAKE_WAIT_MS), &diag, "answer");
    assert_int_equal(g.error, CSL_EPROTO);
    assert_non_null(strstr(g.reason, "protocol version 2"));
    /* They are. */
    world_kill(&world, "hospital-b");
    world_spawn_hostile(&world, "hospital-b", (const char *const[]){"--version", "2", NULL});
    FAILED(fake_dial_fails(&f, 1, CSL__PB__PURPOSE__PURPOSE_CLIENT, &diag), &diag, CSL_EPROTO, "hospital-b",
           "protocol version 2");
    fake_close(&f);
    FAILED2(world_try(&world, &diag), &diag, CSL_EPROTO, CSL_EUNAVAILABLE, "hospital-b");
    world_kill(&world, "hospital-b");
    world_spawn(&world, "hospital-b");
}

/* ---- A second process with the same identity ---- */

static void duplicate_identity(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context b;
    struct fake f;
    world_context(&b, &world, "hospital-b");
    fake_open(&f, &world, &b);
    FAILED(fake_dial_fails(&f, 0, CSL__PB__PURPOSE__PURPOSE_CONTROL, &diag), &diag, CSL_EBUSY, "hospital-a",
           "second process");
    fake_close(&f);
    csl_context_free(&b);
}

/* The last test: a failure of the group's teardown would not count. */
static void all_end_in_order(void **state) {
    (void)state;
    world_lives(&world, NULL);
    world_close(&world);
}

int main(void) {
#define THEN_SERVES(test) cmocka_unit_test_teardown(test, still_serves)
    const struct CMUnitTest tests[] = {
        THEN_SERVES(certificates),
        THEN_SERVES(not_in_the_roster),
        THEN_SERVES(another_party_answers),
        THEN_SERVES(client_of_no_model),
        THEN_SERVES(purposes),
        THEN_SERVES(owner_of_another_model),
        THEN_SERVES(part_of_another_sharing),
        THEN_SERVES(client_with_an_old_roster),
        THEN_SERVES(party_with_an_old_roster),
        THEN_SERVES(versions),
        THEN_SERVES(duplicate_identity),
        cmocka_unit_test(all_end_in_order),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
