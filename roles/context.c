#include "roles/context.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cert.h"
#include "crypto/hash.h"

static enum csl_err pem_of(BIO **bio, X509 *first, STACK_OF(X509) * rest) {
    BIO *b = BIO_new(BIO_s_mem());
    bool ok = b != NULL && PEM_write_bio_X509(b, first) == 1;
    for (int i = 0; ok && rest != NULL && i < sk_X509_num(rest); i++) {
        ok = PEM_write_bio_X509(b, sk_X509_value(rest, i)) == 1;
    }
    if (!ok) {
        BIO_free(b);
        return CSL_ENOMEM;
    }
    *bio = b;
    return CSL_OK;
}

static enum csl_err make_tls(struct csl_tls_ctx **tls, const struct csl_context *ctx, struct csl_diag *diag) {
    BIO *chain = NULL, *ca = NULL;
    enum csl_err err = CSL_OK;
    TRY_OUT(pem_of(&chain, ctx->site.tls_cert, ctx->site.tls_chain));
    TRY_OUT(pem_of(&ca, ctx->roster.ca, NULL));
    char *chain_text = NULL, *ca_text = NULL;
    long chain_n = BIO_get_mem_data(chain, &chain_text), ca_n = BIO_get_mem_data(ca, &ca_text);
    struct csl_tls_config config = {.chain_pem = chain_text,
                                    .chain_n = (size_t)chain_n,
                                    .key = ctx->site.tls_key,
                                    .ca_pem = ca_text,
                                    .ca_n = (size_t)ca_n};
    err = csl_tls_ctx_new(tls, &config, diag);
out:
    BIO_free(chain);
    BIO_free(ca);
    return err;
}

static enum csl_err load(struct csl_context *ctx, const char *dir, const char *roster_path,
                         struct csl_diag *diag) {
    ctx->dir = strdup(dir);
    char own[4096];
    if (ctx->dir == NULL) {
        return CSL_ENOMEM;
    }
    TRY(csl_site_load(&ctx->site, dir, diag));
    (void)snprintf(own, sizeof own, "%s/roster.yaml", dir);
    const char *path = roster_path != NULL ? roster_path : own;
    enum csl_err err = csl_roster_load(&ctx->roster, path, diag);
    if (err == CSL_ENOINPUT && roster_path == NULL) {
        return csl_fail(diag, err,
                        "%s is missing: get the consortium's roster and run: consilium roster install "
                        "roster.yaml --site %s",
                        path, dir);
    }
    TRY(err);
    TRY(csl_roster_digest(ctx->roster_digest, &ctx->roster));
    err = csl_roster_verify_site(&ctx->roster, &ctx->self, &ctx->site, diag);
    if (err != CSL_OK) {
        return csl_fail_context(diag, err, "%s", path);
    }
    TRY(csl_cert_verify(ctx->site.tls_cert, ctx->site.tls_chain, ctx->roster.ca, -1, diag));
    return make_tls(&ctx->tls, ctx, diag);
}

enum csl_err csl_context_load(struct csl_context *ctx, const char *dir, const char *roster_path,
                              struct csl_diag *diag) {
    memset(ctx, 0, sizeof *ctx);
    enum csl_err err = load(ctx, dir, roster_path, diag);
    if (err != CSL_OK) {
        csl_context_free(ctx);
    }
    return err;
}

void csl_context_free(struct csl_context *ctx) {
    csl_tls_ctx_free(ctx->tls);
    csl_roster_free(&ctx->roster);
    csl_site_free(&ctx->site);
    free(ctx->dir);
    memset(ctx, 0, sizeof *ctx);
}

enum csl_err csl_context_reload(struct csl_context *ctx, bool *changed, struct csl_diag *diag) {
    *changed = false;
    bool site_changed;
    TRY(csl_site_reload_cert(&ctx->site, &site_changed, ctx->dir, diag));
    if (site_changed) {
        struct csl_tls_ctx *tls;
        TRY(csl_cert_verify(ctx->site.tls_cert, ctx->site.tls_chain, ctx->roster.ca, -1, diag));
        TRY(make_tls(&tls, ctx, diag));
        csl_tls_ctx_free(ctx->tls);
        ctx->tls = tls;
        *changed = true;
    }
    return CSL_OK;
}

static enum csl_err hash_program(uint8_t out[32], struct csl_diag *diag) {
    FILE *f = fopen("/proc/self/exe", "re");
    if (f == NULL) {
        return csl_fail(diag, CSL_EOS,
                        "/proc/self/exe: cannot be read; the program's digest is part of "
                        "every session's statement");
    }
    struct csl_sha256 h = {0};
    uint8_t bytes[16384];
    size_t n;
    enum csl_err err = csl_sha256_init(&h);
    while (err == CSL_OK && (n = fread(bytes, 1, sizeof bytes, f)) != 0) {
        err = csl_sha256_update(&h, bytes, n);
    }
    if (err == CSL_OK && ferror(f) != 0) {
        err = csl_fail(diag, CSL_EIO, "/proc/self/exe: cannot be read");
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    (void)fclose(f);
    return err;
}

enum csl_err csl_context_configure(struct csl_context *ctx, const char *settings, struct csl_diag *diag) {
    static const char label[] = "consilium/configuration"; /* its zero byte is part of it */
    struct csl_sha256 h = {0};
    enum csl_err err = csl_sha256_init(&h);
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, (const uint8_t *)label, sizeof label);
    }
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, (const uint8_t *)settings, strlen(settings));
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, ctx->configuration);
    }
    csl_sha256_clear(&h);
    return err == CSL_OK ? hash_program(ctx->software, diag) : err;
}

enum csl_err csl_context_require(const struct csl_context *ctx, enum csl_role role, struct csl_diag *diag) {
    if ((ctx->self->roles & (unsigned)role) != 0) {
        return CSL_OK;
    }
    char want[CSL_ROLES_TEXT], have[CSL_ROLES_TEXT];
    return csl_fail(diag, CSL_EPERM, "the roster gives %s the role %s, not %s", ctx->self->name,
                    csl_roles_text(have, ctx->self->roles), csl_roles_text(want, role));
}

static enum csl_err judge(void *arg, const char *name, const uint8_t spki[32], X509 *cert,
                          struct csl_diag *diag) {
    const struct csl_context *ctx = arg;
    const struct csl_member *member;
    (void)cert;
    return csl_roster_verify_peer(&ctx->roster, &member, name, spki, diag);
}

void csl_context_conn_options(const struct csl_context *ctx, struct csl_conn_options *opt) {
    csl_conn_options_init(opt);
    opt->connect_ms = ctx->roster.timeouts.connect_ms;
    opt->handshake_ms = ctx->roster.timeouts.handshake_ms;
    opt->verify = judge;
    opt->verify_arg = (void *)(uintptr_t)ctx;
}
