/* Checks of decoded fields, shared by the decoders of leaves, statements and bundles. The first that fails
 * stays: "leaf: field heads.signature has 3 bytes, not 64". */
#ifndef CSL_AUDIT_CHECK_INTERNAL_H
#define CSL_AUDIT_CHECK_INTERNAL_H

#include <protobuf-c/protobuf-c.h>

#include "crypto/err.h"

enum {
    CSL__DIGEST_BYTES = 32,
    CSL__SESSION_ID_BYTES = 16,
    CSL__PARTIES_MAX = 16,
    CSL__PARTS_MAX = 16,
    CSL__INPUTS_MAX = 32, /* of a batch: parts of one input, or requests of a shared session */
    CSL__GUEST_BYTES = 16,
    CSL__BATCH_MAX = 1 << 16, /* inferences in one batch */
    CSL__CHECK_ROWS_MAX = 64,
    CSL__PROFILE_MAX = 1, /* enum csl_profile of nn/plan.h */
    CSL__ROUNDS_MAX = 1 << 20,
    CSL__MODEL_NAME_MAX = 64,
    CSL__TEXT_MAX = 512
};

struct csl__check {
    const char *what; /* "leaf", for the message */
    struct csl_diag *diag;
    enum csl_err err;
};

void csl__check_fail(struct csl__check *c, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void csl__check_exact(struct csl__check *c, const char *field, const ProtobufCBinaryData *b, size_t n);
/* Empty or n bytes. */
void csl__check_optional(struct csl__check *c, const char *field, const ProtobufCBinaryData *b, size_t n);
/* 1..max bytes. */
void csl__check_bounded(struct csl__check *c, const char *field, const ProtobufCBinaryData *b, size_t max);
/* min..max digests of 32 bytes. */
void csl__check_digests(struct csl__check *c, const char *field, const ProtobufCBinaryData *b, size_t n,
                        size_t min, size_t max);
/* A member's name. */
void csl__check_name(struct csl__check *c, const char *field, const char *s);
/* At most max bytes, without control characters. */
void csl__check_text(struct csl__check *c, const char *field, const char *s, size_t max);
void csl__check_range(struct csl__check *c, const char *field, uint64_t v, uint64_t min, uint64_t max);

/* Whether the message holds no unknown field, in any depth. */
bool csl__known_fields(const ProtobufCMessage *m);

/* That packing the message gives the n bytes that it was unpacked from, with no unknown field in any depth:
 * then other bytes are another content. */
void csl__check_canonical(struct csl__check *c, const ProtobufCMessage *m, const uint8_t *p, size_t n);

#endif
