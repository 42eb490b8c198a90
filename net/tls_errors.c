/* What OpenSSL reports, as sentences that say what to do. */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NOT_TLS "the peer does not speak TLS; check the address and port"
#define TLS_1_3_ONLY "the peer does not offer TLS 1.3, and nothing older is accepted; update its software"

static const struct {
    int reason;
    enum csl_err err;
    const char *text;
} reasons[] = {
    {SSL_R_HTTP_REQUEST, CSL_EPROTO, "an HTTP request came in; this port speaks TLS for consilium only"},
    {SSL_R_HTTPS_PROXY_REQUEST, CSL_EPROTO,
     "a proxy request came in; this port speaks TLS for consilium only"},
    {SSL_R_WRONG_VERSION_NUMBER, CSL_EPROTO, NOT_TLS},
    {SSL_R_UNSUPPORTED_PROTOCOL, CSL_EPROTO, TLS_1_3_ONLY},
    {SSL_R_VERSION_TOO_LOW, CSL_EPROTO, TLS_1_3_ONLY},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, CSL_EPROTO, TLS_1_3_ONLY},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, CSL_EAUTH,
     "the peer sent no certificate; it needs one that the consortium's CA issued"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, CSL_EPEER, "the connection was cut off (no TLS goodbye)"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, CSL_EPROTO,
     "a TLS record does not authenticate: damaged, replayed or injected on the way"},
    {SSL_R_NO_SHARED_CIPHER, CSL_EPROTO, "the peer offers no cipher suite that is accepted here"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, CSL_EAUTH,
     "the peer refused our certificate: it does not know the CA that issued it; both need the same ca.crt"},
    {SSL_R_TLSV1_ALERT_DECRYPT_ERROR, CSL_EAUTH,
     "the peer refused our certificate: its signature does not verify there; both need the same ca.crt"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, CSL_EAUTH,
     "the peer refused our certificate as expired; renew it, or check the peer's clock"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, CSL_EAUTH,
     "the peer refused our certificate (perhaps not yet valid by its clock: compare the clocks)"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, CSL_EAUTH, "the peer refused our certificate"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, CSL_EAUTH, "the peer refused our certificate's purpose"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, CSL_EAUTH, "the peer refused our certificate as revoked"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED, CSL_EAUTH, "the peer refused us"},
    {SSL_R_TLSV1_ALERT_INTERNAL_ERROR, CSL_EPEER,
     "the peer ended TLS over a fault of its own (such as a token that holds its key); its log says more"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, CSL_EAUTH, "the peer demands a certificate and we sent none"},
};

enum csl_err csl__tls_error(struct csl_tls *tls, struct csl_diag *diag) {
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0;
    enum csl_err err = CSL_EPROTO;
    if (tls->refusal.text[0] != '\0' && !tls->done) {
        ERR_clear_error();
        return csl_fail(diag, CSL_EAUTH, "%s", tls->refusal.text);
    }
    enum csl_err token = csl_token_failure(diag);
    if (token != CSL_OK) { /* ours, not the peer's doing */
        ERR_clear_error();
        return token;
    }
    const char *text = NULL;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reason == reasons[i].reason) {
            text = reasons[i].text;
            err = reasons[i].err;
        }
    }
    if (text != NULL) {
        (void)csl_fail(diag, err, "%s", text);
    } else if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE) {
        err = csl_fail(diag, CSL_ENOMEM, "out of memory in TLS");
    } else {
        const char *why = e != 0 ? ERR_reason_error_string(e) : NULL;
        (void)csl_fail(diag, err, "%s (%s)",
                       reason >= SSL_AD_REASON_OFFSET ? "the peer ended TLS with an alert"
                                                      : "the peer sent what TLS 1.3 does not allow",
                       why != NULL ? why : "no reason given");
    }
    ERR_clear_error();
    return err;
}

static bool starts_with(const uint8_t *in, size_t n, const char *word) {
    return n >= strlen(word) && memcmp(in, word, strlen(word)) == 0;
}

enum csl_err csl__tls_sniff(const uint8_t *in, size_t n, bool is_server, struct csl_diag *diag) {
    enum { ALERT = 21, HANDSHAKE = 22 };
    if (in[0] == HANDSHAKE || in[0] == ALERT) {
        return CSL_OK;
    }
    static const char *const methods[] = {"GET ", "POST", "HEAD", "PUT ", "OPTI", "CONN", "PRI "};
    bool http = starts_with(in, n, "HTTP/");
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        http = http || (is_server && starts_with(in, n, methods[i]));
    }
    if (http) {
        return csl_fail(diag, CSL_EPROTO, "the peer speaks HTTP, not TLS; check the address and port");
    }
    if (starts_with(in, n, "SSH-")) {
        return csl_fail(diag, CSL_EPROTO, "the peer speaks SSH, not TLS; check the address and port");
    }
    return csl_fail(diag, CSL_EPROTO, NOT_TLS " (its first byte is 0x%02x)", in[0]);
}

static void print_time(char out[32], int64_t t) {
    time_t tt = (time_t)t;
    struct tm tm;
    if (gmtime_r(&tt, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
        (void)snprintf(out, 32, "?");
    }
}

/* The site name if there is one, else the subject. Both are what the peer claims. */
static void claimed_name(char *out, size_t n, X509 *cert) {
    char name[CSL_NAME_MAX + 1];
    if (cert != NULL && csl_cert_site_name(name, cert, NULL) == CSL_OK) {
        (void)snprintf(out, n, "%s", name);
    } else if (cert == NULL || X509_NAME_oneline(X509_get_subject_name(cert), out, (int)n) == NULL) {
        (void)snprintf(out, n, "the peer");
    }
}

int csl__tls_verify(int ok, X509_STORE_CTX *store) {
    if (ok) {
        return ok;
    }
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct csl_tls *tls = ssl != NULL ? SSL_get_app_data(ssl) : NULL;
    if (tls == NULL || tls->refusal.text[0] != '\0') {
        return 0;
    }
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    int code = X509_STORE_CTX_get_error(store);
    char who[160], now[32], limit[32];
    claimed_name(who, sizeof who, cert);
    print_time(now, (int64_t)time(NULL));
    struct csl_diag *d = &tls->refusal;
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        print_time(limit, csl_cert_not_after(cert));
        (void)csl_fail(d, CSL_EAUTH, "the certificate of %s expired at %s; our clock says %s; renew it", who,
                       limit, now);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        print_time(limit, csl_cert_not_before(cert));
        (void)csl_fail(d, CSL_EAUTH,
                       "the certificate of %s is not valid before %s and our clock says %s; check the clocks",
                       who, limit, now);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        claimed_name(who, sizeof who, X509_STORE_CTX_get0_cert(store)); /* the site's, not its CA's */
        (void)csl_fail(d, CSL_EAUTH,
                       "the certificate of %s was not issued by our CA (%s); both sites need the same ca.crt",
                       who, tls->ctx->ca_name);
        break;
    default:
        (void)csl_fail(d, CSL_EAUTH, "the certificate of %s is refused: %s", who,
                       X509_verify_cert_error_string(code));
    }
    return 0;
}
