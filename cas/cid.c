#include "cas/cid.h"

#include <string.h>

enum { TEXT_V1 = CSL_CID_TEXT - 1, TEXT_V0 = 46, SHA2_256 = 0x12 };
static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

enum csl_err csl_cid_of(struct csl_cid *out, uint8_t codec, const uint8_t *block, size_t n) {
    out->codec = codec;
    return csl_sha256_once(out->digest, block, n);
}

bool csl_cid_equal(const struct csl_cid *a, const struct csl_cid *b) {
    return a->codec == b->codec && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

/* ---- Bytes ---- */

void csl_cid_bytes(uint8_t out[CSL_CID_BYTES], const struct csl_cid *cid) {
    const uint8_t head[] = {1, cid->codec, SHA2_256, CSL_SHA256_BYTES};
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, cid->digest, CSL_SHA256_BYTES);
}

enum csl_err csl_cid_decode(struct csl_cid *out, const uint8_t *bytes, size_t n, struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    uint8_t codec = CSL_CID_DAG_PB;
    if (n == CSL_CID_BYTES && bytes[0] == 1) {
        codec = bytes[1];
        bytes += 2;
    } else if (n != CSL_CID_V0_BYTES) {
        return csl_fail(diag, CSL_EDATA, "a content identifier of %zu bytes that is neither CIDv0 nor CIDv1",
                        n);
    }
    if (bytes[0] != SHA2_256 || bytes[1] != CSL_SHA256_BYTES) {
        return csl_fail(diag, CSL_EDATA,
                        "a content identifier whose hash (code 0x%02x) is not SHA-256; import the file anew",
                        bytes[0]);
    }
    if (codec != CSL_CID_RAW && codec != CSL_CID_DAG_PB) {
        return csl_fail(diag, CSL_EDATA,
                        "a content identifier of codec 0x%02x; a file is raw (0x55) or dag-pb (0x70)", codec);
    }
    out->codec = codec;
    memcpy(out->digest, bytes + 2, CSL_SHA256_BYTES);
    return CSL_OK;
}

/* ---- Text ---- */

char *csl_cid_text(char out[CSL_CID_TEXT], const struct csl_cid *cid) {
    uint8_t bytes[CSL_CID_BYTES];
    uint32_t bits = 0;
    unsigned n_bits = 0;
    char *p = out;
    csl_cid_bytes(bytes, cid);
    *p++ = 'b';
    for (size_t i = 0; i < sizeof bytes; i++) {
        bits = (bits << 8 | bytes[i]) & 0xfff; /* at most 4 + 8 are waiting */
        for (n_bits += 8; n_bits >= 5; n_bits -= 5) {
            *p++ = base32[bits >> (n_bits - 5) & 31];
        }
    }
    *p++ = base32[bits << (5 - n_bits) & 31];
    *p = '\0';
    return out;
}

static enum csl_err bad(struct csl_diag *diag, const char *text, const char *why) {
    return csl_fail(diag, CSL_EDATA, "\"%.64s\" is not a content identifier: %s", text, why);
}

/* n bytes from text, most significant bit first; what is left over must be zero bits. */
static bool from_base32(uint8_t *out, size_t n, const char *text) {
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t got = 0;
    for (; *text != '\0'; text++) {
        const char *digit = strchr(base32, *text);
        if (digit == NULL) {
            return false;
        }
        bits = (bits << 5 | (uint32_t)(digit - base32)) & 0xfff;
        n_bits += 5;
        if (n_bits >= 8) {
            n_bits -= 8;
            if (got == n) {
                return false;
            }
            out[got++] = (uint8_t)(bits >> n_bits);
        }
    }
    return got == n && (bits & ((1u << n_bits) - 1)) == 0;
}

/* As one number in base 256. */
static bool from_base58(uint8_t *out, size_t n, const char *text) {
    memset(out, 0, n);
    for (; *text != '\0'; text++) {
        const char *digit = strchr(base58, *text);
        if (digit == NULL) {
            return false;
        }
        uint32_t carry = (uint32_t)(digit - base58);
        for (size_t i = n; i-- > 0;) {
            carry += 58u * out[i];
            out[i] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry != 0) {
            return false;
        }
    }
    return true;
}

enum csl_err csl_cid_parse(struct csl_cid *out, const char *text, struct csl_diag *diag) {
    uint8_t bytes[CSL_CID_BYTES];
    memset(out, 0, sizeof *out);
    size_t n = strlen(text);
    if (n == TEXT_V0 && strncmp(text, "Qm", 2) == 0) {
        if (!from_base58(bytes, CSL_CID_V0_BYTES, text)) {
            return bad(diag, text, "a character that base58btc does not have");
        }
        return csl_cid_decode(out, bytes, CSL_CID_V0_BYTES, diag);
    }
    if (text[0] != 'b') {
        return bad(diag, text, "it begins with b (CIDv1, base32 in lower case) or Qm (CIDv0)");
    }
    if (n != TEXT_V1) {
        return bad(diag, text, "a CIDv1 with SHA-256 has 59 characters");
    }
    if (!from_base32(bytes, sizeof bytes, text + 1)) {
        return bad(diag, text, "base32 has the characters a-z and 2-7 and ends in zero bits");
    }
    if (bytes[0] != 1) {
        return bad(diag, text, "its version is not 1");
    }
    enum csl_err err = csl_cid_decode(out, bytes, sizeof bytes, diag);
    return err == CSL_OK ? CSL_OK : csl_fail_context(diag, err, "\"%.64s\"", text);
}
