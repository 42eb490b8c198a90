#include "audit/transcript.h"

#include "crypto/bytes.h"

static const char LABEL[] = "consilium/transcript"; /* hashed with its final 0 */

enum csl_err csl_transcript_start(struct csl_transcript *t, const uint8_t session[32], unsigned party,
                                  const uint8_t *nonces, unsigned n_parties) {
    uint8_t number[4];
    struct csl_sha256 h = {0};
    enum csl_err err;
    csl_store_u32(number, party);
    TRY_OUT(csl_sha256_init(&h));
    TRY_OUT(csl_sha256_update(&h, (const uint8_t *)LABEL, sizeof LABEL));
    TRY_OUT(csl_sha256_update(&h, session, 32));
    TRY_OUT(csl_sha256_update(&h, number, sizeof number));
    TRY_OUT(csl_sha256_update(&h, nonces, (size_t)n_parties * 32));
    TRY_OUT(csl_sha256_final(&h, t->head));
out:
    csl_sha256_clear(&h);
    return err;
}

enum csl_err csl_transcript_add(struct csl_transcript *t, uint32_t batch, uint32_t round,
                                const uint8_t *payload, size_t n) {
    uint8_t place[16];
    struct csl_sha256 h = {0};
    enum csl_err err;
    csl_store_u32(place, batch);
    csl_store_u32(place + 4, round);
    csl_store_u64(place + 8, n);
    TRY_OUT(csl_sha256_init(&h));
    TRY_OUT(csl_sha256_update(&h, t->head, sizeof t->head));
    TRY_OUT(csl_sha256_update(&h, place, sizeof place));
    TRY_OUT(csl_sha256_update(&h, payload, n));
    TRY_OUT(csl_sha256_final(&h, t->head));
out:
    csl_sha256_clear(&h);
    return err;
}
