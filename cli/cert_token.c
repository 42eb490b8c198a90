#include "cli/cert_token.h"

#include <stdio.h>
#include <string.h>

static const char *const kinds[CSL_TOKEN_KINDS] = {
    [CSL_TOKEN_TLS] = "tls", [CSL_TOKEN_WRAP] = "wrap", [CSL_TOKEN_SIGN] = "sign"};

struct places {
    struct csl_token_uri all, each[CSL_TOKEN_KINDS];
    const struct csl_token_uri *where[CSL_TOKEN_KINDS];
};

/* "KIND=URI" */
static enum csl_err take_key(struct places *p, const char *text, struct csl_diag *diag) {
    const char *equals = strchr(text, '=');
    size_t n = equals == NULL ? 0 : (size_t)(equals - text), kind = 0;
    while (kind < CSL_TOKEN_KINDS && (strlen(kinds[kind]) != n || memcmp(kinds[kind], text, n) != 0)) {
        kind++;
    }
    if (kind == CSL_TOKEN_KINDS) {
        return csl_fail(diag, CSL_EUSAGE,
                        "--token-key is tls=URI, wrap=URI or sign=URI, with a PKCS#11 URI (pkcs11:...)");
    }
    enum csl_err err = csl_token_uri_parse(&p->each[kind], equals + 1, strlen(equals + 1), diag);
    p->where[kind] = &p->each[kind];
    return err == CSL_OK ? err : csl_fail_context(diag, CSL_EUSAGE, "--token-key %s", kinds[kind]);
}

static enum csl_err take_all(struct places *p, const char *token, struct csl_diag *diag) {
    if (csl_token_uri_parse(&p->all, token, strlen(token), diag) != CSL_OK) {
        return csl_fail_context(diag, CSL_EUSAGE, "--token");
    }
    if (p->all.object[0] != 0 || p->all.n_id != 0) {
        return csl_fail(
            diag, CSL_EUSAGE,
            "--token is for all three keys, so that its URI names no object; use --token-key for one");
    }
    for (size_t kind = 0; kind < CSL_TOKEN_KINDS; kind++) {
        p->where[kind] = &p->all;
    }
    return CSL_OK;
}

enum csl_err csl_cert_keygen(struct csl_cli *cli, const char *dir, const char *name, const char *token,
                             const struct csl_list *keys) {
    struct places p = {.where = {NULL}};
    bool drawn[CSL_TOKEN_KINDS];
    if (token != NULL) {
        TRY(take_all(&p, token, &cli->diag));
    }
    for (size_t i = 0; i < keys->n; i++) {
        TRY(take_key(&p, keys->items[i], &cli->diag));
    }
    TRY(csl_site_keygen_in(dir, name, p.where, drawn, &cli->diag));
    for (size_t kind = 0; kind < CSL_TOKEN_KINDS; kind++) {
        if (p.where[kind] != NULL) {
            (void)printf("%s.key%*s%s\n", kinds[kind], (int)(10 - strlen(kinds[kind])), "",
                         drawn[kind] ? "drawn in the token" : "was in the token already, and is used");
        }
    }
    return CSL_OK;
}

static const char *place(char out[CSL_TOKEN_WHERE_MAX], const struct csl_site *site, size_t kind) {
    EVP_PKEY *const keys[CSL_TOKEN_KINDS] = {site->tls_key, site->wrap_key, site->sign_key};
    return csl_token_where(out, keys[kind]);
}

void csl_cert_print_keys(const struct csl_site *site) {
    char text[CSL_TOKEN_WHERE_MAX];
    for (size_t kind = 0; kind < CSL_TOKEN_KINDS; kind++) {
        (void)printf("%s.key%*s%s\n", kinds[kind], (int)(10 - strlen(kinds[kind])), "",
                     place(text, site, kind));
    }
}

json_t *csl_cert_keys_json(const struct csl_site *site) {
    char text[CSL_TOKEN_WHERE_MAX];
    json_t *o = json_object();
    for (size_t kind = 0; o != NULL && kind < CSL_TOKEN_KINDS; kind++) {
        (void)json_object_set_new(o, kinds[kind], json_string(place(text, site, kind)));
    }
    return o;
}
