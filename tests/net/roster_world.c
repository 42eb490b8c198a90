#include "roster_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"

struct csl_roster roster_base;
char *roster_text;
struct csl_diag roster_diag;

/* ---- Building ---- */

/* An RSA public key of the right form; nobody needs its private half here, and drawing one is slow. */
static EVP_PKEY *wrap_key(void) {
    unsigned char n_bytes[CSL_WRAP_BITS / 8];
    assert_int_equal(RAND_bytes(n_bytes, sizeof n_bytes), 1);
    n_bytes[0] |= 0x80;
    n_bytes[sizeof n_bytes - 1] |= 1;
    BIGNUM *n = BN_bin2bn(n_bytes, sizeof n_bytes, NULL), *e = BN_new();
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(BN_set_word(e, RSA_F4), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

void roster_add(struct csl_roster *r, const char *name, unsigned roles, const char *host) {
    struct csl_member *m = &r->members[r->n_members++];
    (void)snprintf(m->name, sizeof m->name, "%s", name);
    (void)snprintf(m->host, sizeof m->host, "%s", host);
    m->roles = roles;
    m->port = 7400;
    assert_int_equal(RAND_bytes(m->tls_spki, sizeof m->tls_spki), 1);
    m->wrap_key = wrap_key();
    m->sign_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

X509 *roster_ca(void) {
    char dir[] = "/tmp/csl-roster-XXXXXX", path[64];
    char *pem = NULL;
    size_t n = 0;
    X509 *ca = NULL;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(csl_ca_create(dir, "Test CA", 10, &roster_diag), CSL_OK);
    (void)snprintf(path, sizeof path, "%s/ca.crt", dir);
    assert_int_equal(csl__read_file(&pem, &n, path, 10000, &roster_diag), CSL_OK);
    assert_int_equal(csl_cert_parse(&ca, pem, n, path, &roster_diag), CSL_OK);
    csl_secret_free(pem);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/ca.key", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    return ca;
}

void roster_start(struct csl_roster *r, size_t n_members) {
    memset(r, 0, sizeof *r);
    csl_roster_defaults(r);
    (void)snprintf(r->consortium, sizeof r->consortium, "heart \"net\" \\ 7");
    r->members = calloc(n_members, sizeof *r->members);
    r->models = calloc(2, sizeof *r->models);
    r->connections = calloc(2, sizeof *r->connections);
    r->ca = roster_ca();
}

int roster_setup(void **state) {
    (void)state;
    roster_start(&roster_base, 6);
    roster_add(&roster_base, "hospital-a", CSL_ROLE_PARTY | CSL_ROLE_CLIENT, "a.example.org");
    roster_add(&roster_base, "hospital-b", CSL_ROLE_PARTY, "10.0.0.2");
    roster_add(&roster_base, "hospital-c", CSL_ROLE_PARTY, "fe80::3");
    roster_add(&roster_base, "dealer", CSL_ROLE_DEALER, "dealer.example.org");
    roster_add(&roster_base, "lab", CSL_ROLE_OWNER, "");
    roster_add(&roster_base, "clinic", CSL_ROLE_CLIENT, "");
    roster_base.n_models = 1;
    (void)snprintf(roster_base.models[0].name, sizeof roster_base.models[0].name, "digits_v1.0");
    roster_base.models[0].owner = 4;
    roster_base.models[0].clients = calloc(2, sizeof(size_t));
    roster_base.models[0].clients[0] = 5;
    roster_base.models[0].clients[1] = 0;
    roster_base.models[0].n_clients = 2;
    roster_base.n_connections = 1;
    roster_base.connections[0] = (struct csl_connection){.from = 0, .to = 1};
    if (csl_roster_write(&roster_text, &roster_base, &roster_diag) != CSL_OK) {
        print_error("%s\n", roster_diag.text);
        return -1;
    }
    return 0;
}

int roster_teardown(void **state) {
    (void)state;
    csl_roster_free(&roster_base);
    free(roster_text);
    return 0;
}

/* ---- Editing text ---- */

char *text_edited(const char *text, const char *old, const char *new) {
    const char *at = strstr(text, old);
    if (at == NULL) {
        fail_msg("not in the text: %s", old);
    }
    char *out = malloc(strlen(text) + strlen(new) + 1);
    assert_non_null(out);
    (void)sprintf(out, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    return out;
}

static size_t indent_of(const char *line) {
    return strspn(line, " ");
}

const char *text_field(const char *text, const char *start, size_t *n) {
    char pattern[64];
    (void)snprintf(pattern, sizeof pattern, "\n%s", start);
    const char *at = strstr(text, pattern);
    if (at == NULL) {
        fail_msg("no field %s", start);
    }
    const char *end = ++at;
    do {
        end = strchr(end, '\n') + 1;
    } while (*end != 0 && indent_of(end) > indent_of(at));
    *n = (size_t)(end - at);
    return at;
}

char *text_without(const char *text, const char *start) {
    size_t n = 0;
    const char *at = text_field(text, start, &n);
    char *out = malloc(strlen(text) + 1);
    assert_non_null(out);
    (void)sprintf(out, "%.*s%s", (int)(at - text), text, at + n);
    return out;
}

char *text_twice(const char *text, const char *start) {
    size_t n = 0;
    const char *at = text_field(text, start, &n);
    char *out = malloc(strlen(text) + n + 1);
    assert_non_null(out);
    (void)sprintf(out, "%.*s%.*s%s", (int)(at - text), text, (int)n, at, at);
    return out;
}

void roster_refuse_bytes(const void *text, size_t n, const char *part) {
    struct csl_roster r;
    roster_diag.text[0] = 0;
    enum csl_err err = csl_roster_parse(&r, text, n, "test.yaml", &roster_diag);
    if (err != CSL_ECONFIG || strstr(roster_diag.text, part) == NULL ||
        strncmp(roster_diag.text, "test.yaml", 9) != 0) {
        fail_msg("expected \"%s\", got %s: %s", part, csl_err_name(err), roster_diag.text);
    }
    assert_null(r.members);
    assert_null(r.ca);
}

void roster_refuse(char *text, const char *part) {
    roster_refuse_bytes(text, strlen(text), part);
    free(text);
}

void roster_accept(struct csl_roster *r, char *text) {
    if (csl_roster_parse(r, text, strlen(text), "test.yaml", &roster_diag) != CSL_OK) {
        fail_msg("%s", roster_diag.text);
    }
    free(text);
}
