/* The subject alternative names of requests and certificates. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/pem_internal.h"

static enum csl_err add_name(GENERAL_NAMES *names, int type, int asn1_type, const void *data, size_t n) {
    GENERAL_NAME *gn = GENERAL_NAME_new();
    ASN1_STRING *s = ASN1_STRING_type_new(asn1_type);
    if (gn == NULL || s == NULL || ASN1_STRING_set(s, data, (int)n) != 1) {
        ASN1_STRING_free(s);
        GENERAL_NAME_free(gn);
        return CSL_ENOMEM;
    }
    GENERAL_NAME_set0_value(gn, type, s);
    if (sk_GENERAL_NAME_push(names, gn) <= 0) {
        GENERAL_NAME_free(gn);
        return CSL_ENOMEM;
    }
    return CSL_OK;
}

static enum csl_err add_uri(GENERAL_NAMES *names, const char *prefix, const char *rest) {
    char uri[128];
    int n = snprintf(uri, sizeof uri, "%s%s", prefix, rest);
    if (n < 0 || (size_t)n >= sizeof uri) {
        return CSL_EINTERNAL;
    }
    return add_name(names, GEN_URI, V_ASN1_IA5STRING, uri, (size_t)n);
}

static enum csl_err add_fingerprint(GENERAL_NAMES *names, const char *prefix,
                                    const uint8_t spki[CSL_SPKI_BYTES]) {
    char hex[2 * CSL_SPKI_BYTES + 1];
    for (size_t i = 0; i < CSL_SPKI_BYTES; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", spki[i]);
    }
    return add_uri(names, prefix, hex);
}

static bool dns_valid(const char *host) {
    size_t n = strnlen(host, CSL_HOST_MAX + 1);
    return n >= 1 && n <= CSL_HOST_MAX && host[0] != '.' && host[0] != '-' &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == n;
}

static enum csl_err add_host(GENERAL_NAMES *names, const char *host, struct csl_diag *diag) {
    unsigned char ip[16];
    if (inet_pton(AF_INET, host, ip) == 1) {
        return add_name(names, GEN_IPADD, V_ASN1_OCTET_STRING, ip, 4);
    }
    if (inet_pton(AF_INET6, host, ip) == 1) {
        return add_name(names, GEN_IPADD, V_ASN1_OCTET_STRING, ip, 16);
    }
    if (!dns_valid(host)) {
        return csl_fail(diag, CSL_EUSAGE, "host \"%.60s\" is neither a DNS name nor an IP address", host);
    }
    return add_name(names, GEN_DNS, V_ASN1_IA5STRING, host, strlen(host));
}

enum csl_err csl__names_make(GENERAL_NAMES **names, const char *site, const uint8_t wrap[CSL_SPKI_BYTES],
                             const uint8_t sign[CSL_SPKI_BYTES], const char *const *hosts, size_t n_hosts,
                             struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    if (all == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    if (n_hosts > CSL_SITE_HOSTS_MAX) {
        err = csl_fail(diag, CSL_EUSAGE, "more than %d host names", CSL_SITE_HOSTS_MAX);
        goto out;
    }
    TRY_OUT(add_uri(all, CSL__URI_SITE, site));
    TRY_OUT(add_fingerprint(all, CSL__URI_WRAP, wrap));
    TRY_OUT(add_fingerprint(all, CSL__URI_SIGN, sign));
    for (size_t i = 0; i < n_hosts; i++) {
        TRY_OUT(add_host(all, hosts[i], diag));
    }
    *names = all;
    all = NULL;
out:
    GENERAL_NAMES_free(all);
    return err;
}

/* Takes one name of a request into e. seen: which of the three URIs were there (bits). */
static enum csl_err take_uri(struct csl_enrolment *e, uint8_t wrap[CSL_SPKI_BYTES],
                             uint8_t sign[CSL_SPKI_BYTES], unsigned *seen, const char *uri,
                             struct csl_diag *diag) {
    static const struct {
        const char *prefix;
        unsigned bit;
    } kinds[] = {{CSL__URI_SITE, 1}, {CSL__URI_WRAP, 2}, {CSL__URI_SIGN, 4}};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(kinds[i].prefix);
        if (strncmp(uri, kinds[i].prefix, n) != 0) {
            continue;
        }
        bool once = (*seen & kinds[i].bit) == 0;
        bool ok = kinds[i].bit == 1 ? csl_name_valid(uri + n)
                                    : csl__hex_decode(kinds[i].bit == 2 ? wrap : sign, CSL_SPKI_BYTES,
                                                      uri + n, strlen(uri + n));
        if (!once || !ok) {
            return csl_fail(diag, CSL_EDATA, "name \"%.100s\" of the request is %s", uri,
                            once ? "malformed" : "there twice");
        }
        *seen |= kinds[i].bit;
        if (kinds[i].bit == 1) {
            memcpy(e->name, uri + n, strlen(uri + n) + 1);
        }
        return CSL_OK;
    }
    return csl_fail(diag, CSL_EDATA, "unknown name \"%.100s\" in the request", uri);
}

static enum csl_err take_host(struct csl_enrolment *e, const GENERAL_NAME *gn, struct csl_diag *diag) {
    if (e->n_hosts == CSL_SITE_HOSTS_MAX) {
        return csl_fail(diag, CSL_EDATA, "the request has more than %d host names", CSL_SITE_HOSTS_MAX);
    }
    char *host = e->hosts[e->n_hosts];
    bool ok = false;
    if (gn->type == GEN_DNS) {
        ok = csl__ia5_text(host, CSL_HOST_MAX, gn->d.dNSName) && dns_valid(host);
    } else if (gn->type == GEN_IPADD) {
        int n = ASN1_STRING_length(gn->d.iPAddress);
        const unsigned char *ip = ASN1_STRING_get0_data(gn->d.iPAddress);
        ok =
            (n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, ip, host, CSL_HOST_MAX + 1) != NULL;
    }
    if (!ok) {
        return csl_fail(diag, CSL_EDATA, "the request has a name that is no URI, DNS name or IP address");
    }
    e->n_hosts++;
    return CSL_OK;
}

enum csl_err csl__names_take(struct csl_enrolment *e, uint8_t wrap[CSL_SPKI_BYTES],
                             uint8_t sign[CSL_SPKI_BYTES], const GENERAL_NAMES *names,
                             struct csl_diag *diag) {
    unsigned seen = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *gn = sk_GENERAL_NAME_value(names, i);
        if (gn->type != GEN_URI) {
            TRY(take_host(e, gn, diag));
            continue;
        }
        char uri[160];
        if (!csl__ia5_text(uri, sizeof uri - 1, gn->d.uniformResourceIdentifier)) {
            return csl_fail(diag, CSL_EDATA, "the request has a URI that cannot be read");
        }
        TRY(take_uri(e, wrap, sign, &seen, uri, diag));
    }
    if (seen != 7) {
        return csl_fail(diag, CSL_EDATA, "the request lacks the name %s...",
                        (seen & 1) == 0   ? CSL__URI_SITE
                        : (seen & 2) == 0 ? CSL__URI_WRAP
                                          : CSL__URI_SIGN);
    }
    return CSL_OK;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool csl__hex_decode(uint8_t *out, size_t n_out, const char *hex, size_t n_hex) {
    if (n_hex != 2 * n_out) {
        return false;
    }
    for (size_t i = 0; i < n_out; i++) {
        int hi = hex_digit(hex[2 * i]), lo = hex_digit(hex[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            return false;
        }
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}
