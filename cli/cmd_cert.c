/* consilium cert: a site's keys, its request, the consortium's CA. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cert_token.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/package/recipient.h"

/* ---- keygen, request ---- */

struct site_opts {
    const char *site, *name, *token;
    struct csl_list hosts, token_keys;
};

/* Writes SITE/NAME.request and says what to do with it. */
static enum csl_err write_request(struct csl_cli *cli, const struct site_opts *o) {
    enum csl_err err = CSL_OK;
    struct csl_site site;
    char *text = NULL;
    char file[CSL_NAME_MAX + 16], path[CSL__PATH_MAX], hex[CSL_HEX32_TEXT];
    TRY(csl_site_load_keys(&site, o->site, &cli->diag));
    TRY_OUT(csl_enrolment_write(&text, &site, o->hosts.items, o->hosts.n, &cli->diag));
    (void)snprintf(file, sizeof file, "%s.request", site.name);
    TRY_OUT(csl__path(path, o->site, file, &cli->diag));
    TRY_OUT(csl__replace_file(path, 0644, text, strlen(text), &cli->diag));
    (void)printf(
        "request       %s (public keys only)\nTLS key       %s\n"
        "Next: send the request to the consortium's CA, with the address (host:port) of this site if "
        "others are to\n      dial it, and compare the TLS key's digits by another way, such as a call.\n"
        "      Then: consilium cert import --site %s --in %s.crt --ca ca.crt\n",
        path, csl_hex32(hex, site.tls_spki), o->site, site.name);
out:
    free(text);
    csl_site_free(&site);
    return err;
}

static int run_keygen(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct site_opts, site, "site", "DIR", true, "folder of the site; made if missing"),
        CSL_STRING(struct site_opts, name, "name", "NAME", true, "the site's name: a-z, 0-9, '-'"),
        CSL_LIST(struct site_opts, hosts, "host", "HOST", false, "DNS name or IP address of the site"),
        CSL_STRING(struct site_opts, token, "token", "URI", false,
                   "PKCS#11 token that all three keys are drawn in"),
        CSL_LIST(struct site_opts, token_keys, "token-key", "KIND=URI", false,
                 "one key (tls, wrap, sign) in a token; an object that is there is used when named"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "cert keygen",
        .synopsis = "--site DIR --name NAME [--host HOST]... [--token URI] [--token-key KIND=URI]...",
        .text =
            "Draws the site's three keys (TLS, wrapping, signing) into its folder, and writes the request "
            "that\n"
            "the consortium's CA needs. The private keys never leave the folder and are never overwritten.\n"
            "With a PKCS#11 URI (pkcs11:token=...?module-path=...) keys are drawn in a token; one that is "
            "there "
            "already is\n"
            "only used where --token-key names its object. See docs/token.md.",
        .opts = opts};
    struct site_opts o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = csl_cert_keygen(cli, o.site, o.name, o.token, &o.token_keys);
    return csl_cli_finish(cli, err != CSL_OK ? err : write_request(cli, &o));
}

static int run_request(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct site_opts, site, "site", "DIR", true, "folder of the site"),
        CSL_LIST(struct site_opts, hosts, "host", "HOST", false, "DNS name or IP address of the site"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "cert request",
        .synopsis = "--site DIR [--host HOST]...",
        .text =
            "Writes the request again, with the site's present keys: for other host names, or to renew a\n"
            "certificate. The keys stay the same, so the roster stays valid.",
        .opts = opts};
    struct site_opts o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, write_request(cli, &o));
}

/* ---- ca, sign ---- */

struct ca_opts {
    const char *out, *name, *ca, *in;
    uint64_t days;
};

static int run_ca(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct ca_opts, out, "out", "DIR", true, "folder of the CA; made if missing"),
        CSL_STRING(struct ca_opts, name, "name", "NAME", false, "name in the CA certificate"),
        CSL_UINT(struct ca_opts, days, "days", "N", 1, CSL_CERT_DAYS_MAX, "days it is valid (3650)"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "cert ca",
        .synopsis = "--out DIR [--name NAME] [--days N]",
        .text =
            "Makes the consortium's certificate authority. Whoever runs it decides who gets a certificate;\n"
            "it sees no data. Keep ca.key off line.",
        .opts = opts};
    struct ca_opts o = {.name = "Consilium CA", .days = CSL_CA_DAYS_DEFAULT};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = csl_ca_create(o.out, o.name, (unsigned)o.days, &cli->diag);
    if (err == CSL_OK) {
        (void)printf(
            "CA            %s/ca.crt (give it to every site)\n"
            "private key   %s/ca.key (keep it)\n"
            "Next: for each site's request: consilium cert sign --ca %s --in NAME.request --out NAME.crt\n",
            o.out, o.out, o.out);
    }
    return csl_cli_finish(cli, err);
}

static enum csl_err load_request(struct csl_enrolment *e, const char *path, struct csl_diag *diag) {
    char *text = NULL;
    size_t n = 0;
    TRY(csl__read_file(&text, &n, path, CSL_ENROLMENT_MAX, diag));
    enum csl_err err = csl_enrolment_parse(e, text, n, diag);
    csl_secret_free(text);
    return err == CSL_OK ? err : csl_fail_context(diag, err, "%s", path);
}

static enum csl_err sign(struct csl_cli *cli, const struct ca_opts *o) {
    enum csl_err err = CSL_OK;
    struct csl_enrolment e;
    char *pem = NULL;
    char hex[CSL_HEX32_TEXT];
    TRY(load_request(&e, o->in, &cli->diag));
    TRY_OUT(csl_ca_sign(&pem, o->ca, &e, (unsigned)o->days, &cli->diag));
    TRY_OUT(csl__replace_file(o->out, 0644, pem, strlen(pem), &cli->diag));
    (void)printf("site          %s\n", e.name);
    for (size_t i = 0; i < e.n_hosts; i++) {
        (void)printf("host          %s\n", e.hosts[i]);
    }
    (void)printf("TLS key       %s\ncertificate   %s\n"
                 "Next: compare the TLS key's digits with %s by another way, then send it %s and %s/ca.crt.\n"
                 "      When all sites have certificates: consilium roster build\n",
                 csl_hex32(hex, e.tls_spki), o->out, e.name, o->out, o->ca);
out:
    free(pem);
    csl_enrolment_free(&e);
    return err;
}

static int run_sign(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct ca_opts, ca, "ca", "DIR", true, "folder of the CA"),
        CSL_STRING(struct ca_opts, in, "in", "REQUEST", true, "the site's request"),
        CSL_STRING(struct ca_opts, out, "out", "CERT", true, "where the certificate goes"),
        CSL_UINT(struct ca_opts, days, "days", "N", 1, CSL_CERT_DAYS_MAX, "days it is valid (365)"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {.name = "cert sign",
                                         .synopsis = "--ca DIR --in REQUEST --out CERT [--days N]",
                                         .text = "Checks a site's request and issues its certificate. Only "
                                                 "the names that are shown are taken over.",
                                         .opts = opts};
    struct ca_opts o = {.days = CSL_CERT_DAYS_DEFAULT};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, sign(cli, &o));
}

/* ---- import, show ---- */

struct import_opts {
    const char *site, *in, *ca;
};

static enum csl_err import(struct csl_cli *cli, const struct import_opts *o) {
    struct csl_site site;
    TRY(csl_site_import_cert(o->site, o->in, o->ca, &cli->diag));
    TRY(csl_site_load(&site, o->site, &cli->diag));
    (void)printf("site          %s\n", site.name);
    csl_cert_print_expiry(site.tls_cert);
    csl_site_free(&site);
    (void)printf(
        "Next: the first time, get roster.yaml from the consortium, then:\n"
        "      consilium roster install roster.yaml --site %s\n"
        "      A renewed certificate is taken over by a running daemon within seconds; the roster stays.\n",
        o->site);
    return CSL_OK;
}

static int run_import(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct import_opts, site, "site", "DIR", true, "folder of the site"),
        CSL_STRING(struct import_opts, in, "in", "CERT", true, "the certificate that the CA sent"),
        CSL_STRING(struct import_opts, ca, "ca", "FILE", true, "the CA's certificate"), CSL_OPTS_END};
    static const struct csl_spec spec = {.name = "cert import",
                                         .synopsis = "--site DIR --in CERT --ca FILE",
                                         .text = "Checks that the certificate is of this site's key and name "
                                                 "and comes from the CA, and puts both\n"
                                                 "into the site's folder.",
                                         .opts = opts};
    struct import_opts o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, import(cli, &o));
}

static enum csl_err show_site(struct csl_cli *cli, const char *dir) {
    struct csl_site s;
    char tls[CSL_HEX32_TEXT], wrap[CSL_HEX32_TEXT], sign_hex[CSL_HEX32_TEXT];
    struct csl_diag why = {""};
    /* A site without a certificate yet can be shown as well; any other fault is an error. */
    enum csl_err err = csl_site_load(&s, dir, &cli->diag);
    if (err == CSL_ENOINPUT) {
        why = cli->diag;
        err = csl_site_load_keys(&s, dir, &cli->diag);
    }
    TRY(err);
    (void)csl_hex32(tls, s.tls_spki), (void)csl_hex32(wrap, s.wrap_spki),
        (void)csl_hex32(sign_hex, s.sign_spki);
    if (cli->json) {
        json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", s.name, "tls_spki_sha256", tls,
                                "wrap_spki_sha256", wrap, "sign_spki_sha256", sign_hex, "private_keys",
                                csl_cert_keys_json(&s), "certificate",
                                s.tls_cert == NULL ? json_null() : csl_cert_json(s.tls_cert));
        err = csl_cli_print_json(cli, doc);
    } else {
        (void)printf("site          %s\nTLS key       %s\nwrapping key  %s\nsigning key   %s\n", s.name, tls,
                     wrap, sign_hex);
        csl_cert_print_keys(&s);
        if (s.tls_cert != NULL) {
            csl_cert_print_expiry(s.tls_cert);
        } else {
            (void)printf("certificate   none: %s\n", why.text);
        }
    }
    csl_site_free(&s);
    return err;
}

static enum csl_err show_request(struct csl_cli *cli, const char *path) {
    struct csl_enrolment e;
    char tls[CSL_HEX32_TEXT], wrap[CSL_HEX32_TEXT], sign_hex[CSL_HEX32_TEXT];
    enum csl_err err = CSL_OK;
    TRY(load_request(&e, path, &cli->diag));
    (void)csl_hex32(tls, e.tls_spki), (void)csl_hex32(wrap, e.wrap_spki),
        (void)csl_hex32(sign_hex, e.sign_spki);
    json_t *hosts = json_array();
    for (size_t i = 0; i < e.n_hosts; i++) {
        (void)json_array_append_new(hosts, json_string(e.hosts[i]));
    }
    if (cli->json) {
        err = csl_cli_print_json(cli, json_pack("{s:s, s:s, s:s, s:s, s:O}", "name", e.name,
                                                "tls_spki_sha256", tls, "wrap_spki_sha256", wrap,
                                                "sign_spki_sha256", sign_hex, "hosts", hosts));
    } else {
        (void)printf("request of    %s (its signature and its keys verify)\n", e.name);
        for (size_t i = 0; i < e.n_hosts; i++) {
            (void)printf("host          %s\n", e.hosts[i]);
        }
        (void)printf("TLS key       %s\nwrapping key  %s\nsigning key   %s\n", tls, wrap, sign_hex);
    }
    json_decref(hosts);
    csl_enrolment_free(&e);
    return err;
}

static enum csl_err show_cert(struct csl_cli *cli, const char *path, const char *text, size_t n) {
    X509 *cert = NULL;
    char name[CSL_NAME_MAX + 1], hex[CSL_HEX32_TEXT];
    uint8_t spki[CSL_SPKI_BYTES];
    enum csl_err err = CSL_OK;
    TRY(csl_cert_parse(&cert, text, n, path, &cli->diag));
    if (cli->json) {
        err = csl_cli_print_json(cli, csl_cert_json(cert));
        X509_free(cert);
        return err;
    }
    bool is_site = csl_cert_site_name(name, cert, NULL) == CSL_OK;
    err = csl_cert_spki(spki, cert);
    if (err == CSL_OK) {
        (void)printf("certificate of %s\nTLS key       %s\n", is_site ? name : "no site (a CA?)",
                     csl_hex32(hex, spki));
        csl_cert_print_expiry(cert);
    }
    X509_free(cert);
    return err;
}

static enum csl_err show_file(struct csl_cli *cli, const char *path) {
    char *text = NULL;
    size_t n = 0;
    TRY(csl__read_file(&text, &n, path, CSL_ENROLMENT_MAX, &cli->diag));
    bool is_request = strstr(text, "CERTIFICATE REQUEST-----") != NULL;
    enum csl_err err = is_request ? show_request(cli, path) : show_cert(cli, path, text, n);
    csl_secret_free(text);
    return err;
}

static int run_show(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct import_opts, site, "site", "DIR", false, "folder of a site"), CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "cert show",
        .synopsis = "--site DIR | FILE [--json]",
        .text = "Shows names, key fingerprints and expiry of a site, of a certificate or of a request.",
        .opts = opts,
        .has_json = true,
        .pos_max = 1,
        .pos_meta = "FILE"};
    struct import_opts o = {0};
    struct csl_list files;
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    if ((o.site != NULL) == (files.n == 1)) {
        return csl_cli_usage(cli, "either --site DIR or a FILE");
    }
    return csl_cli_finish(cli, o.site != NULL ? show_site(cli, o.site) : show_file(cli, files.items[0]));
}

/* ---- recipient ---- */

struct recipient_opts {
    const char *out, *name;
};

static int run_recipient(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct recipient_opts, out, "out", "DIR", true, "folder of the pair; made if missing"),
        CSL_STRING(struct recipient_opts, name, "name", "NAME", false, "whose it is: a-z, 0-9, '-'"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "cert recipient",
        .synopsis = "--out DIR [--name NAME] [--json]",
        .text = "Makes a key pair for somebody who belongs to no consortium and is to open what is sealed to "
                "him: an\n"
                "authority that keeps an archive (model archive --to), a judge (audit open --judge). No "
                "member's key\n"
                "serves for that. Give recipient.pem away, keep wrap.key.",
        .opts = opts,
        .has_json = true};
    struct recipient_opts o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = csl_recipient_keygen(o.out, o.name, &cli->diag);
    if (err == CSL_OK && cli->json) {
        err =
            csl_cli_print_json(cli, json_pack("{s:s, s:s}", "folder", o.out, "public_key", "recipient.pem"));
    } else if (err == CSL_OK) {
        (void)printf("public key    %s/recipient.pem (give it to those who seal to you)\n"
                     "private key   %s/wrap.key (keep it)\n",
                     o.out, o.out);
    }
    return csl_cli_finish(cli, err);
}

int cmd_cert(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_command table[] = {
        {"keygen", "site: draw the keys, write the request", run_keygen},
        {"request", "site: write the request again (renewal, other hosts)", run_request},
        {"import", "site: take over the certificate that the CA sent", run_import},
        {"show", "names, fingerprints, expiry", run_show},
        {"ca", "consortium: make the certificate authority", run_ca},
        {"sign", "consortium: issue a site's certificate", run_sign},
        {"recipient", "authority, judge: a key pair to be sealed to", run_recipient},
        {NULL, NULL, NULL}};
    return csl_cli_dispatch(cli, "cert", table, argc, argv);
}
