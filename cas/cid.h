/* Content identifiers: the name of a block is the SHA-256 of its bytes.
 *
 * A CIDv1 as text is "b" and base32 (RFC 4648, lower case, no padding) of
 *     01 | codec (55 raw bytes, 70 dag-pb node) | 12 20 | digest (32)
 * and a CIDv0, which older tools print, is base58btc of 12 20 | digest: always a dag-pb node. Other codecs,
 * hashes and bases are refused. Nothing here is secret. Source: github.com/multiformats/cid.
 *
 * Errors: CSL_EDATA, whose sentence says what is wrong with the text or bytes.
 */
#ifndef CSL_CAS_CID_H
#define CSL_CAS_CID_H

#include "crypto/err.h"
#include "crypto/hash.h"

enum {
    CSL_CID_RAW = 0x55,
    CSL_CID_DAG_PB = 0x70,
    CSL_CID_BYTES = 36,        /* of a CIDv1 */
    CSL_CID_V0_BYTES = 34,     /* of a CIDv0 */
    CSL_CID_TEXT = 1 + 58 + 1, /* of a CIDv1, with the final 0 */
};

struct csl_cid {
    uint8_t codec; /* CSL_CID_RAW or CSL_CID_DAG_PB */
    uint8_t digest[CSL_SHA256_BYTES];
};

/* The identifier of these bytes. */
CSL_MUST_CHECK enum csl_err csl_cid_of(struct csl_cid *out, uint8_t codec, const uint8_t *block, size_t n);

/* Version and base do not matter: the same codec and digest are the same block. */
bool csl_cid_equal(const struct csl_cid *a, const struct csl_cid *b);

/* A CIDv1 as bytes and as text; returns out. */
void csl_cid_bytes(uint8_t out[CSL_CID_BYTES], const struct csl_cid *cid);
char *csl_cid_text(char out[CSL_CID_TEXT], const struct csl_cid *cid);

/* Back, strictly: the one encoding of a CIDv1 in base32 or of a CIDv0 in base58btc. */
CSL_MUST_CHECK enum csl_err csl_cid_parse(struct csl_cid *out, const char *text, struct csl_diag *diag);
/* CIDv1 or CIDv0 as they stand in a link. */
CSL_MUST_CHECK enum csl_err csl_cid_decode(struct csl_cid *out, const uint8_t *bytes, size_t n,
                                           struct csl_diag *diag);

#endif
