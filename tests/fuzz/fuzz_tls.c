/* The TLS server and client handshakes on arbitrary bytes. The first byte chooses the end (bit 0), the piece
 * size, and (bit 1) whether a real client's hello goes first, changed by the input: (position u16, xor u8)...
 * No such input can complete a handshake. */
#include <stdlib.h>
#include <string.h>

#include "../net/test_certs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static struct csl_tls_ctx *fuzz_ctx(void) {
    static struct csl_tls_ctx *ctx;
    if (ctx == NULL) {
        struct test_ca ca = test_ca_new("Fuzz CA");
        ctx = test_site(&ca, "fuzz");
        test_ca_free(&ca);
    }
    return ctx;
}

static void feed(struct csl_tls *tls, const uint8_t *in, size_t n, size_t piece) {
    struct csl_diag diag;
    enum csl_err err = CSL_OK;
    bool done = false;
    for (size_t pos = 0; pos < n && err == CSL_OK;) {
        size_t want = n - pos < piece ? n - pos : piece, taken, waiting;
        csl_tls_feed(tls, in + pos, want, &taken);
        pos += taken;
        diag.text[0] = '\0';
        err = csl_tls_handshake(tls, &done, &diag);
        REQUIRE(!done);
        REQUIRE(err == CSL_OK || diag.text[0] != '\0');
        (void)csl_tls_out(tls, &waiting);
        csl_tls_out_consume(tls, waiting);
        if (taken == 0) {
            break;
        }
    }
    csl_tls_in_eof(tls);
    if (err == CSL_OK) {
        err = csl_tls_handshake(tls, &done, &diag);
        REQUIRE(err != CSL_OK && !done);
    }
}

/* A real ClientHello with the input's changes, then the server's answer's absence. */
static void changed_hello(struct csl_tls *server, const uint8_t *data, size_t size, size_t piece) {
    struct csl_tls *client;
    uint8_t hello[1024];
    bool done;
    size_t n;
    REQUIRE(csl_tls_new(&client, fuzz_ctx(), false, NULL) == CSL_OK);
    REQUIRE(csl_tls_handshake(client, &done, NULL) == CSL_OK);
    const uint8_t *out = csl_tls_out(client, &n);
    REQUIRE(n <= sizeof hello);
    memcpy(hello, out, n);
    for (; size >= 3; data += 3, size -= 3) {
        hello[(data[0] | (size_t)data[1] << 8) % n] ^= data[2];
    }
    csl_tls_free(client);
    feed(server, hello, n, piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct csl_tls *tls;
    if (size < 1) {
        return 0;
    }
    size_t piece = (size_t)(data[0] >> 2) * 16 + 1;
    bool is_server = (data[0] & 3) != 1;
    REQUIRE(csl_tls_new(&tls, fuzz_ctx(), is_server, NULL) == CSL_OK);
    if ((data[0] & 2) != 0) {
        changed_hello(tls, data + 1, size - 1, piece);
    } else {
        bool done;
        REQUIRE(csl_tls_handshake(tls, &done, NULL) == CSL_OK && !done);
        feed(tls, data + 1, size - 1, piece);
    }
    csl_tls_free(tls);
    return 0;
}
