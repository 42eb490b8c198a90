/* Shared among the tls_*.c files only. */
#ifndef CSL_NET_TLS_INTERNAL_H
#define CSL_NET_TLS_INTERNAL_H

#include "net/tls.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

struct csl_tls_ctx {
    SSL_CTX *ssl;
    BIO_METHOD *bio; /* our byte buffers as OpenSSL sees them */
    int64_t not_after;
    char ca_name[128]; /* for messages */
    _Atomic unsigned refs;
};

struct csl__tls_bytes {
    uint8_t *p;
    size_t head, tail, cap; /* [head, tail) is in use */
};

struct csl_tls {
    struct csl_tls_ctx *ctx;
    SSL *ssl;
    struct csl__tls_bytes in, out;
    bool eof;                /* no more ciphertext will come */
    bool sniffed;            /* the first byte was looked at */
    bool done;               /* handshake complete */
    bool peer_closed;        /* close_notify came */
    bool shut;               /* close_notify sent */
    struct csl_diag refusal; /* why the peer's chain does not verify; "" when it does */
    X509 *cert;
    char name[CSL_NAME_MAX + 1];
    uint8_t spki[CSL_SPKI_BYTES];
};

/* The BIO method over struct csl_tls; NULL without memory. */
BIO_METHOD *csl__tls_bio_method(void);
/* Appends; false without memory. */
bool csl__tls_bytes_append(struct csl__tls_bytes *b, const void *in, size_t n);

/* OpenSSL's verify callback: keeps a sentence about the first thing wrong with the peer's chain. */
int csl__tls_verify(int ok, X509_STORE_CTX *store);
/* The sentence and code for what OpenSSL has just reported. */
enum csl_err csl__tls_error(struct csl_tls *tls, struct csl_diag *diag);
/* A sentence when the first bytes of the stream cannot be TLS; CSL_OK otherwise. */
enum csl_err csl__tls_sniff(const uint8_t *in, size_t n, bool is_server, struct csl_diag *diag);

#endif
