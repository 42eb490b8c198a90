/* TLS 1.3 sans I/O: ciphertext bytes in, ciphertext bytes out, plaintext between. Never touches a socket.
 *
 * TLS 1.3 only, certificates on both sides, one CA, no tickets, no 0-RTT, no compression. A peer is
 * known by the one URI name `consilium:site:<name>` in its certificate and by the SHA-256 of its public
 * key; whether that is the right one is for the caller (who has the roster) to say.
 *
 * In TLS 1.3 a client has finished its handshake before the server has looked at its certificate. A
 * client that was refused learns it from the first csl_tls_read, as a sentence that says so.
 */
#ifndef CSL_NET_TLS_H
#define CSL_NET_TLS_H

#include "crypto/cert.h"

/* Certificate, key and CA of this site. Immutable and counted: a renewed certificate is a new ctx, used
 * by later connections, while running ones keep theirs. May be shared among threads. */
struct csl_tls_ctx;

struct csl_tls_config {
    /* The certificate chain: objects (references are taken), or when cert is NULL PEM bytes, own
     * certificate first, or when those are NULL too the path of a PEM file. */
    X509 *cert;
    STACK_OF(X509) * chain; /* intermediate certificates for cert, or NULL */
    const void *chain_pem;
    size_t chain_n;
    const char *chain_path;
    /* The private key: an object (a reference is taken), or when NULL the path of a PEM file without
     * a passphrase. */
    EVP_PKEY *key;
    const char *key_path;
    /* The CA that peers must chain to: an object, or when NULL PEM bytes (one or more certificates). */
    X509 *ca;
    const void *ca_pem;
    size_t ca_n;
};

/* CSL_ENOINPUT: a file cannot be read; CSL_ECONFIG: not PEM, or the key is not the certificate's. */
CSL_MUST_CHECK enum csl_err csl_tls_ctx_new(struct csl_tls_ctx **out, const struct csl_tls_config *config,
                                            struct csl_diag *diag);
struct csl_tls_ctx *csl_tls_ctx_ref(struct csl_tls_ctx *ctx);
/* Drops one reference. ctx may be NULL. */
void csl_tls_ctx_free(struct csl_tls_ctx *ctx);

/* The end of our own certificate's validity, seconds since 1970. */
int64_t csl_tls_ctx_not_after(const struct csl_tls_ctx *ctx);

/* One connection. Used by one thread at a time; may move between threads. */
struct csl_tls;

CSL_MUST_CHECK enum csl_err csl_tls_new(struct csl_tls **out, struct csl_tls_ctx *ctx, bool is_server,
                                        struct csl_diag *diag);
void csl_tls_free(struct csl_tls *tls);

/* Ciphertext in. Either copy it in (feed takes what fits, *taken <= n), or write it straight to the
 * space and commit. The buffer is bounded: space is 0 while handshake/read have not used what is there. */
void csl_tls_feed(struct csl_tls *tls, const uint8_t *in, size_t n, size_t *taken);
uint8_t *csl_tls_in_space(struct csl_tls *tls, size_t *n);
void csl_tls_in_commit(struct csl_tls *tls, size_t n);
/* Says that no more ciphertext will come (the socket's end of file). */
void csl_tls_in_eof(struct csl_tls *tls);

/* Ciphertext out: what must be sent, and that n of its bytes were. */
const uint8_t *csl_tls_out(struct csl_tls *tls, size_t *n);
void csl_tls_out_consume(struct csl_tls *tls, size_t n);

/* Goes on with the handshake as far as the bytes reach. *done when it is complete: the chain is
 * verified against the CA and the peer's name is known. CSL_OK and !*done: needs more bytes.
 * CSL_EAUTH: wrong CA, expired, not yet valid, no certificate, no site name, or the peer refused ours;
 * CSL_EPROTO: another TLS version, or no TLS at all; CSL_EPEER: the stream ended.
 * After an error there may be an alert in csl_tls_out that should still be sent. */
CSL_MUST_CHECK enum csl_err csl_tls_handshake(struct csl_tls *tls, bool *done, struct csl_diag *diag);

/* Whether a read could bring anything: ciphertext, plaintext or the end of the stream is in memory. */
bool csl_tls_has_input(const struct csl_tls *tls);

/* Plaintext in: at most cap bytes to out; *n = 0 when more ciphertext is needed or the peer closed
 * (csl_tls_peer_closed). CSL_EPEER: the stream ended without the TLS goodbye (cut off), or the peer
 * refused our certificate (CSL_EAUTH); CSL_EPROTO: a record that does not authenticate. */
CSL_MUST_CHECK enum csl_err csl_tls_read(struct csl_tls *tls, uint8_t *out, size_t cap, size_t *n,
                                         struct csl_diag *diag);

/* Plaintext out: encrypts all n bytes into csl_tls_out. The caller bounds it. */
CSL_MUST_CHECK enum csl_err csl_tls_write(struct csl_tls *tls, const uint8_t *in, size_t n,
                                          struct csl_diag *diag);

/* Queues the TLS goodbye (close_notify), once; and whether the peer has sent its own. */
void csl_tls_shutdown(struct csl_tls *tls);
bool csl_tls_peer_closed(const struct csl_tls *tls);

/* After the handshake. The strings and the certificate belong to tls. */
const char *csl_tls_peer_name(const struct csl_tls *tls);
X509 *csl_tls_peer_cert(const struct csl_tls *tls);
int64_t csl_tls_peer_not_after(const struct csl_tls *tls);
const char *csl_tls_cipher(const struct csl_tls *tls);
/* SHA-256 of the DER SubjectPublicKeyInfo of the peer's certificate. */
void csl_tls_peer_spki_sha256(const struct csl_tls *tls, uint8_t out[CSL_SPKI_BYTES]);

#endif
