#include "crypto/identity.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/pem_internal.h"
#include "crypto/secret.h"
#include "crypto/token.h"

/* ---- Making keys ---- */

struct key_kind {
    const char *file;
    const char *what;
    bool (*is)(EVP_PKEY *key);
};

static const struct key_kind kinds[CSL_TOKEN_KINDS] = {
    [CSL_TOKEN_TLS] = {"tls.key", "a P-256 key", csl_key_is_tls},
    [CSL_TOKEN_WRAP] = {"wrap.key", "an RSA key of 3072 bits", csl_key_is_wrap},
    [CSL_TOKEN_SIGN] = {"sign.key", "an Ed25519 key", csl_key_is_sign},
};

static const char *const labels[CSL_TOKEN_KINDS] = {
    [CSL_TOKEN_TLS] = "tls", [CSL_TOKEN_WRAP] = "wrap", [CSL_TOKEN_SIGN] = "sign"};

static EVP_PKEY *generate(size_t kind) {
    return kind == 0   ? EVP_EC_gen("P-256")
           : kind == 1 ? EVP_RSA_gen(CSL_WRAP_BITS)
                       : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static enum csl_err create_key(const char *dir, size_t kind, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, dir, kinds[kind].file, diag));
    EVP_PKEY *key = generate(kind);
    if (key == NULL) {
        return csl_fail(diag, CSL_EINTERNAL, "%s: no key could be drawn (%s)", path, csl__openssl_reason());
    }
    enum csl_err err = csl__key_create(key, path, diag);
    EVP_PKEY_free(key);
    return err;
}

static bool names_object(const struct csl_token_uri *uri) {
    return uri->object[0] != 0 || uri->n_id != 0;
}

/* Where nobody named an object it gets this name. */
static struct csl_token_uri uri_of(const struct csl_token_uri *where, const char *name, size_t kind) {
    struct csl_token_uri uri = *where;
    if (!names_object(where)) {
        (void)snprintf(uri.object, sizeof uri.object, "%s-%s", name, labels[kind]);
    }
    return uri;
}

/* Who names no object wants new keys: one of that name is an older site's, and is not used by mistake. */
static enum csl_err check_unused(const char *dir, const char *name, size_t kind,
                                 const struct csl_token_uri *where, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    bool is_there;
    if (names_object(where)) {
        return CSL_OK;
    }
    struct csl_token_uri uri = uri_of(where, name, kind);
    TRY(csl__path(path, dir, kinds[kind].file, diag));
    TRY(csl_token_key_exists(&is_there, &uri, path, diag));
    return !is_there
               ? CSL_OK
               : csl_fail(diag, CSL_ECREATE,
                          "%s: the token has a key \"%s\" already, and new ones are drawn: name another "
                          "object with --token-key %s=URI, or this one to use it on purpose",
                          path, uri.object, labels[kind]);
}

/* A key that is, or is now drawn, in the token; line is what its file will hold. */
static enum csl_err token_key(char line[CSL_TOKEN_URI_MAX + 1], bool *drawn, const char *dir,
                              const char *name, size_t kind, const struct csl_token_uri *where,
                              struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    bool is_there;
    struct csl_token_uri uri = uri_of(where, name, kind);
    EVP_PKEY *key = NULL;
    TRY(csl__path(path, dir, kinds[kind].file, diag));
    TRY(csl_token_uri_print(line, &uri, diag));
    TRY(csl_token_key_exists(&is_there, &uri, path, diag));
    if (!is_there) {
        TRY(csl_token_key_generate((enum csl_token_kind)kind, &uri, path, diag));
    }
    *drawn = !is_there;
    TRY(csl_token_key_load(&key, &uri, path, diag));
    bool ok = kinds[kind].is(key);
    EVP_PKEY_free(key);
    return ok ? CSL_OK : csl_fail(diag, CSL_ECONFIG, "%s: the token's key is not %s", path, kinds[kind].what);
}

static enum csl_err check_free(const char *dir, const char *name, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, dir, name, diag));
    return access(path, F_OK) != 0
               ? CSL_OK
               : csl_fail(diag, CSL_ECREATE,
                          "%s: a site is in this folder already, and its keys are never overwritten; for "
                          "another request: consilium cert request",
                          path);
}

static enum csl_err write_key(const char *dir, size_t kind, const char *line, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, dir, kinds[kind].file, diag));
    return line[0] == 0 ? create_key(dir, kind, diag)
                        : csl__create_file(path, 0600, line, strlen(line), diag);
}

enum csl_err csl_site_keygen_in(const char *dir, const char *name,
                                const struct csl_token_uri *const where[CSL_TOKEN_KINDS],
                                bool drawn[CSL_TOKEN_KINDS], struct csl_diag *diag) {
    char path[CSL__PATH_MAX], text[CSL_NAME_MAX + 2];
    char lines[CSL_TOKEN_KINDS][CSL_TOKEN_URI_MAX + 1] = {""};
    if (!csl_name_valid(name)) {
        return csl_fail(diag, CSL_EUSAGE,
                        "\"%.40s\" is no site name: use 1 to %d of a-z, 0-9 and '-' (not first or last)",
                        name, CSL_NAME_MAX);
    }
    TRY(csl__make_dir(dir, diag));
    TRY(csl__path(path, dir, "state", diag));
    TRY(csl__make_dir(path, diag));
    TRY(check_free(dir, "name", diag));
    /* Tokens first: a wrong PIN leaves nothing behind. */
    for (size_t kind = 0; kind < CSL_TOKEN_KINDS; kind++) {
        drawn[kind] = true;
        if (where[kind] != NULL) {
            TRY(check_free(dir, kinds[kind].file, diag));
            TRY(check_unused(dir, name, kind, where[kind], diag));
        }
    }
    for (size_t kind = 0; kind < CSL_TOKEN_KINDS; kind++) {
        if (where[kind] != NULL) {
            TRY(token_key(lines[kind], &drawn[kind], dir, name, kind, where[kind], diag));
        }
    }
    /* The name comes before the keys: a second keygen stops there, before it adds to another's. */
    (void)snprintf(text, sizeof text, "%s\n", name);
    TRY(csl__path(path, dir, "name", diag));
    TRY(csl__create_file(path, 0644, text, strlen(text), diag));
    for (size_t kind = 0; kind < CSL_TOKEN_KINDS; kind++) {
        TRY(write_key(dir, kind, lines[kind], diag));
    }
    return CSL_OK;
}

enum csl_err csl_site_keygen(const char *dir, const char *name, struct csl_diag *diag) {
    static const struct csl_token_uri *const files[CSL_TOKEN_KINDS];
    bool drawn[CSL_TOKEN_KINDS];
    return csl_site_keygen_in(dir, name, files, drawn, diag);
}

/* ---- Loading ---- */

static enum csl_err load_name(char name[CSL_NAME_MAX + 1], const char *dir, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    char *text = NULL;
    size_t n = 0;
    TRY(csl__path(path, dir, "name", diag));
    enum csl_err err = csl__read_file(&text, &n, path, CSL_NAME_MAX + 2, diag);
    if (err != CSL_OK) {
        return err != CSL_ENOINPUT
                   ? err
                   : csl_fail(
                         diag, err,
                         "%s: is there no site in this folder? Make its keys with: consilium cert keygen",
                         path);
    }
    text[strcspn(text, "\r\n")] = 0;
    bool ok = csl_name_valid(text);
    if (ok) {
        memcpy(name, text, strlen(text) + 1);
    }
    csl_secret_free(text);
    return ok ? CSL_OK : csl_fail(diag, CSL_ECONFIG, "%s: holds no valid site name", path);
}

static enum csl_err load_key(EVP_PKEY **key, uint8_t spki[CSL_SPKI_BYTES], const char *dir, size_t kind,
                             struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, dir, kinds[kind].file, diag));
    TRY(csl__key_load(key, path, diag));
    if (!kinds[kind].is(*key)) {
        ERR_clear_error();
        return csl_fail(diag, CSL_ECONFIG, "%s: not %s", path, kinds[kind].what);
    }
    return csl_key_spki(spki, *key);
}

enum csl_err csl_site_load_keys(struct csl_site *site, const char *dir, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    memset(site, 0, sizeof *site);
    TRY_OUT(load_name(site->name, dir, diag));
    TRY_OUT(load_key(&site->tls_key, site->tls_spki, dir, 0, diag));
    TRY_OUT(load_key(&site->wrap_key, site->wrap_spki, dir, 1, diag));
    TRY_OUT(load_key(&site->sign_key, site->sign_spki, dir, 2, diag));
    return CSL_OK;
out:
    csl_site_free(site);
    return err;
}

/* A certificate with what it needs to be checked. */
struct bundle {
    X509 *cert;
    STACK_OF(X509) * chain;
    X509 *ca;
};

static void bundle_free(struct bundle *b) {
    X509_free(b->cert);
    sk_X509_pop_free(b->chain, X509_free);
    X509_free(b->ca);
    memset(b, 0, sizeof *b);
}

static enum csl_err check_bundle(const struct bundle *b, const struct csl_site *site, int64_t at_time,
                                 struct csl_diag *diag) {
    char name[CSL_NAME_MAX + 1];
    if (X509_check_private_key(b->cert, site->tls_key) != 1) {
        ERR_clear_error();
        if (csl_cert_site_name(name, b->cert, NULL) == CSL_OK && strcmp(name, site->name) != 0) {
            return csl_fail(diag, CSL_ECONFIG, "not the certificate of this site's tls.key, but one of %s",
                            name);
        }
        return csl_fail(diag, CSL_ECONFIG,
                        "not the certificate of this site's tls.key; request a new one with: "
                        "consilium cert request");
    }
    TRY(csl_cert_site_name(name, b->cert, diag));
    if (strcmp(name, site->name) != 0) {
        return csl_fail(diag, CSL_ECONFIG, "the certificate of %s, but this site is %s", name, site->name);
    }
    return csl_cert_verify(b->cert, b->chain, b->ca, at_time, diag);
}

static enum csl_err load_bundle(struct bundle *b, const struct csl_site *site, const char *cert_file,
                                const char *ca_file, int64_t at_time, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    char *cert_pem = NULL, *ca_pem = NULL;
    size_t n_cert = 0, n_ca = 0;
    memset(b, 0, sizeof *b);
    TRY_OUT(csl__read_file(&cert_pem, &n_cert, cert_file, CSL__PEM_FILE_MAX, diag));
    TRY_OUT(csl__read_file(&ca_pem, &n_ca, ca_file, CSL__PEM_FILE_MAX, diag));
    TRY_OUT(csl__certs_parse(&b->cert, &b->chain, cert_pem, n_cert, cert_file, diag));
    TRY_OUT(csl_cert_parse(&b->ca, ca_pem, n_ca, ca_file, diag));
    err = check_bundle(b, site, at_time, diag);
    if (err != CSL_OK) {
        err = csl_fail_context(diag, err, "%s", cert_file);
    }
out:
    csl_secret_free(cert_pem);
    csl_secret_free(ca_pem);
    if (err != CSL_OK) {
        bundle_free(b);
    }
    return err;
}

static enum csl_err load_site_bundle(struct bundle *b, const struct csl_site *site, const char *dir,
                                     struct csl_diag *diag) {
    char cert_file[CSL__PATH_MAX], ca_file[CSL__PATH_MAX];
    TRY(csl__path(cert_file, dir, "tls.crt", diag));
    TRY(csl__path(ca_file, dir, "ca.crt", diag));
    enum csl_err err = load_bundle(b, site, cert_file, ca_file, -1, diag);
    return err != CSL_ENOINPUT
               ? err
               : csl_fail(diag, err,
                          "%s or ca.crt is missing: import what the CA sent with: consilium cert import",
                          cert_file);
}

enum csl_err csl_site_load(struct csl_site *site, const char *dir, struct csl_diag *diag) {
    struct bundle b;
    TRY(csl_site_load_keys(site, dir, diag));
    enum csl_err err = load_site_bundle(&b, site, dir, diag);
    if (err != CSL_OK) {
        csl_site_free(site);
        return err;
    }
    site->tls_cert = b.cert;
    site->tls_chain = b.chain;
    site->ca = b.ca;
    return CSL_OK;
}

static bool same_certs(const struct bundle *b, const struct csl_site *site) {
    int n = b->chain == NULL ? 0 : sk_X509_num(b->chain);
    int n_old = site->tls_chain == NULL ? 0 : sk_X509_num(site->tls_chain);
    if (site->tls_cert == NULL || site->ca == NULL || n != n_old || X509_cmp(b->cert, site->tls_cert) != 0 ||
        X509_cmp(b->ca, site->ca) != 0) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (X509_cmp(sk_X509_value(b->chain, i), sk_X509_value(site->tls_chain, i)) != 0) {
            return false;
        }
    }
    return true;
}

enum csl_err csl_site_reload_cert(struct csl_site *site, bool *changed, const char *dir,
                                  struct csl_diag *diag) {
    struct bundle b;
    *changed = false;
    TRY(load_site_bundle(&b, site, dir, diag));
    if (!same_certs(&b, site)) {
        struct bundle old = {site->tls_cert, site->tls_chain, site->ca};
        site->tls_cert = b.cert;
        site->tls_chain = b.chain;
        site->ca = b.ca;
        b = old;
        *changed = true;
    }
    bundle_free(&b);
    return CSL_OK;
}

void csl_site_free(struct csl_site *site) {
    EVP_PKEY_free(site->tls_key);
    EVP_PKEY_free(site->wrap_key);
    EVP_PKEY_free(site->sign_key);
    X509_free(site->tls_cert);
    sk_X509_pop_free(site->tls_chain, X509_free);
    X509_free(site->ca);
    memset(site, 0, sizeof *site);
}

/* ---- Importing ---- */

static enum csl_err copy_checked(const char *dir, const char *name, const struct bundle *b, bool is_ca,
                                 struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    char *pem = NULL;
    TRY(csl__path(path, dir, name, diag));
    TRY(csl__certs_pem(&pem, is_ca ? b->ca : b->cert, is_ca ? NULL : b->chain));
    enum csl_err err = csl__replace_file(path, 0644, pem, strlen(pem), diag);
    free(pem);
    return err;
}

enum csl_err csl_site_import_cert(const char *dir, const char *cert_file, const char *ca_file,
                                  struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    struct csl_site site;
    struct bundle b = {0};
    TRY(csl_site_load_keys(&site, dir, diag));
    TRY_OUT(load_bundle(&b, &site, cert_file, ca_file, 0, diag));
    /* What was checked is what is written, not the files, which may have changed since. */
    TRY_OUT(copy_checked(dir, "ca.crt", &b, true, diag));
    TRY_OUT(copy_checked(dir, "tls.crt", &b, false, diag));
out:
    bundle_free(&b);
    csl_site_free(&site);
    return err;
}
