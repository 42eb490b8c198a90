#include "net/tls_internal.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum { IN_BYTES = 64 * 1024, OUT_KEEP_BYTES = 256 * 1024 };

bool csl__tls_bytes_append(struct csl__tls_bytes *b, const void *in, size_t n) {
    size_t used = b->tail - b->head;
    if (n > SIZE_MAX / 4 - used) {
        return false;
    }
    if (n > b->cap - b->tail && used + n <= b->cap / 2) {
        memmove(b->p, b->p + b->head, used);
        b->head = 0;
        b->tail = used;
    } else if (n > b->cap - b->tail) {
        size_t cap = b->cap < 4096 ? 4096 : 2 * b->cap;
        while (cap < used + n) {
            cap *= 2;
        }
        uint8_t *p = malloc(cap);
        if (p == NULL) {
            return false;
        }
        if (used != 0) {
            memcpy(p, b->p + b->head, used);
        }
        free(b->p);
        *b = (struct csl__tls_bytes){.p = p, .tail = used, .cap = cap};
    }
    memcpy(b->p + b->tail, in, n);
    b->tail += n;
    return true;
}

static int bio_read(BIO *bio, char *out, size_t n, size_t *got) {
    struct csl_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t have = tls->in.tail - tls->in.head;
    if (have == 0) {
        *got = 0;
        if (!tls->eof) {
            BIO_set_retry_read(bio);
        }
        return 0;
    }
    *got = n < have ? n : have;
    memcpy(out, tls->in.p + tls->in.head, *got);
    tls->in.head += *got;
    return 1;
}

static int bio_write(BIO *bio, const char *in, size_t n, size_t *put) {
    struct csl_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *put = 0;
    if (!csl__tls_bytes_append(&tls->out, in, n)) {
        ERR_raise(ERR_LIB_BIO, ERR_R_MALLOC_FAILURE);
        return 0;
    }
    *put = n;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long larg, void *parg) {
    (void)larg, (void)parg;
    const struct csl_tls *tls = BIO_get_data(bio);
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return tls->eof && tls->in.head == tls->in.tail;
    default:
        return 0;
    }
}

BIO_METHOD *csl__tls_bio_method(void) {
    /* The number matters to BIO_find_type only, so none is drawn from OpenSSL's small supply. */
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 127, "consilium bytes");
    if (m != NULL && (BIO_meth_set_read_ex(m, bio_read) != 1 || BIO_meth_set_write_ex(m, bio_write) != 1 ||
                      BIO_meth_set_ctrl(m, bio_ctrl) != 1)) {
        BIO_meth_free(m);
        m = NULL;
    }
    return m;
}

enum csl_err csl_tls_new(struct csl_tls **out, struct csl_tls_ctx *ctx, bool is_server,
                         struct csl_diag *diag) {
    *out = NULL;
    struct csl_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a TLS connection");
    }
    tls->ctx = csl_tls_ctx_ref(ctx);
    tls->in.p = malloc(IN_BYTES);
    tls->in.cap = IN_BYTES;
    tls->ssl = SSL_new(ctx->ssl);
    BIO *bio = BIO_new(ctx->bio);
    if (tls->in.p == NULL || tls->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        csl_tls_free(tls);
        ERR_clear_error();
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a TLS connection");
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio); /* takes the one reference when both are the same */
    SSL_set_app_data(tls->ssl, tls);
    if (is_server) {
        SSL_set_accept_state(tls->ssl);
    } else {
        SSL_set_connect_state(tls->ssl);
    }
    *out = tls;
    return CSL_OK;
}

void csl_tls_free(struct csl_tls *tls) {
    if (tls == NULL) {
        return;
    }
    X509_free(tls->cert);
    SSL_free(tls->ssl);
    csl_tls_ctx_free(tls->ctx);
    free(tls->in.p);
    free(tls->out.p);
    free(tls);
}

uint8_t *csl_tls_in_space(struct csl_tls *tls, size_t *n) {
    struct csl__tls_bytes *in = &tls->in;
    if (in->head == in->tail) {
        in->head = in->tail = 0;
    } else if (in->cap - in->tail < IN_BYTES / 2 && in->head != 0) {
        memmove(in->p, in->p + in->head, in->tail - in->head);
        in->tail -= in->head;
        in->head = 0;
    }
    *n = in->cap - in->tail;
    return in->p + in->tail;
}

void csl_tls_in_commit(struct csl_tls *tls, size_t n) {
    tls->in.tail += n;
}

void csl_tls_feed(struct csl_tls *tls, const uint8_t *in, size_t n, size_t *taken) {
    size_t room;
    uint8_t *p = csl_tls_in_space(tls, &room);
    *taken = n < room ? n : room;
    if (*taken != 0) {
        memcpy(p, in, *taken);
        csl_tls_in_commit(tls, *taken);
    }
}

void csl_tls_in_eof(struct csl_tls *tls) {
    tls->eof = true;
}

const uint8_t *csl_tls_out(struct csl_tls *tls, size_t *n) {
    *n = tls->out.tail - tls->out.head;
    return *n != 0 ? tls->out.p + tls->out.head : NULL;
}

void csl_tls_out_consume(struct csl_tls *tls, size_t n) {
    struct csl__tls_bytes *out = &tls->out;
    out->head += n;
    if (out->head == out->tail) {
        out->head = out->tail = 0;
        if (out->cap > OUT_KEEP_BYTES) {
            free(out->p);
            out->p = NULL;
            out->cap = 0;
        }
    }
}

/* The chain is verified: now who is it. */
static enum csl_err identify(struct csl_tls *tls, struct csl_diag *diag) {
    tls->cert = SSL_get1_peer_certificate(tls->ssl);
    if (tls->cert == NULL || SSL_get_verify_result(tls->ssl) != X509_V_OK) {
        return csl_fail(diag, CSL_EAUTH, "the peer sent no certificate that verifies");
    }
    if (csl_cert_site_name(tls->name, tls->cert, diag) != CSL_OK ||
        csl_cert_spki(tls->spki, tls->cert) != CSL_OK) {
        return csl_fail_context(diag, CSL_EAUTH, "the peer's certificate");
    }
    return CSL_OK;
}

enum csl_err csl_tls_handshake(struct csl_tls *tls, bool *done, struct csl_diag *diag) {
    *done = tls->done;
    if (tls->done) {
        return CSL_OK;
    }
    if (!tls->sniffed && tls->in.head != tls->in.tail) {
        tls->sniffed = true;
        TRY(csl__tls_sniff(tls->in.p + tls->in.head, tls->in.tail - tls->in.head, SSL_is_server(tls->ssl),
                           diag));
    }
    if (!tls->sniffed && tls->eof) {
        return csl_fail(diag, CSL_EPEER, "the peer closed the connection before the TLS handshake");
    }
    ERR_clear_error();
    int ret = SSL_do_handshake(tls->ssl);
    if (ret == 1) {
        TRY(identify(tls, diag));
        *done = tls->done = true;
        return CSL_OK;
    }
    int why = SSL_get_error(tls->ssl, ret);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        return CSL_OK;
    }
    return csl__tls_error(tls, diag);
}

/* SSL_get_error reads the thread's error queue. Looking whether it is empty costs a tenth of emptying it. */
static void forget_errors(void) {
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

bool csl_tls_has_input(const struct csl_tls *tls) {
    return tls->in.head != tls->in.tail || tls->eof || SSL_has_pending(tls->ssl) == 1;
}

enum csl_err csl_tls_read(struct csl_tls *tls, uint8_t *out, size_t cap, size_t *n, struct csl_diag *diag) {
    *n = 0;
    if (tls->peer_closed || cap == 0) {
        return CSL_OK;
    }
    forget_errors();
    int ret = SSL_read_ex(tls->ssl, out, cap, n);
    if (ret == 1) {
        return CSL_OK;
    }
    *n = 0;
    switch (SSL_get_error(tls->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return CSL_OK;
    case SSL_ERROR_ZERO_RETURN:
        tls->peer_closed = true;
        return CSL_OK;
    default:
        return csl__tls_error(tls, diag);
    }
}

enum csl_err csl_tls_write(struct csl_tls *tls, const uint8_t *in, size_t n, struct csl_diag *diag) {
    size_t put = 0;
    if (n == 0) {
        return CSL_OK;
    }
    forget_errors();
    if (SSL_write_ex(tls->ssl, in, n, &put) != 1 || put != n) {
        return csl__tls_error(tls, diag);
    }
    return CSL_OK;
}

void csl_tls_shutdown(struct csl_tls *tls) {
    if (tls->done && !tls->shut) {
        tls->shut = true;
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
}

bool csl_tls_peer_closed(const struct csl_tls *tls) {
    return tls->peer_closed;
}

const char *csl_tls_peer_name(const struct csl_tls *tls) {
    return tls->name;
}

X509 *csl_tls_peer_cert(const struct csl_tls *tls) {
    return tls->cert;
}

int64_t csl_tls_peer_not_after(const struct csl_tls *tls) {
    return tls->cert != NULL ? csl_cert_not_after(tls->cert) : 0;
}

const char *csl_tls_cipher(const struct csl_tls *tls) {
    return SSL_get_cipher_name(tls->ssl);
}

void csl_tls_peer_spki_sha256(const struct csl_tls *tls, uint8_t out[CSL_SPKI_BYTES]) {
    memcpy(out, tls->spki, CSL_SPKI_BYTES);
}
