#include "crypto/rand.h"

#include <openssl/rand.h>

#include "crypto/secret.h"

/* OpenSSL takes an int; a chunk keeps far below it. */
enum { CHUNK = 1 << 24 };

static enum csl_err draw(int (*generator)(unsigned char *, int), uint8_t *out, size_t n) {
    for (size_t done = 0; done < n;) {
        size_t take = n - done < CHUNK ? n - done : CHUNK;
        if (generator(out + done, (int)take) != 1) {
            csl_wipe(out, n);
            return CSL_EOS;
        }
        done += take;
    }
    return CSL_OK;
}

enum csl_err csl_rand(uint8_t *out, size_t n) {
    return draw(RAND_bytes, out, n);
}

enum csl_err csl_rand_secret(uint8_t *out, size_t n) {
    TRY(draw(RAND_priv_bytes, out, n));
    CSL_SECRET(out, n);
    return CSL_OK;
}
