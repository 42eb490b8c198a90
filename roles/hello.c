/* HELLO and its answer, and the clocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "roles/talk.h"

uint64_t csl_clock_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t csl_monotonic_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

enum csl_err csl_hello_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                              Csl__Pb__Purpose purpose, const uint8_t *session_id) {
    Csl__Pb__Hello h = CSL__PB__HELLO__INIT;
    h.protocol = CSL_PROTOCOL_VERSION;
    h.purpose = purpose;
    h.roster_digest = csl_bytes(ctx->roster_digest, sizeof ctx->roster_digest);
    h.clock_ms = csl_clock_ms();
    h.software = (char *)(uintptr_t)CSL_VERSION;
    if (session_id != NULL) {
        h.session_id = csl_bytes(session_id, CSL_SESSION_ID_BYTES);
    }
    uint8_t *p = malloc(csl__pb__hello__get_packed_size(&h) + 1);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    *n = csl__pb__hello__pack(&h, p);
    *out = p;
    return CSL_OK;
}

enum csl_err csl_hello_ack_encode(uint8_t **out, size_t *n, const struct csl_context *ctx, enum csl_err err,
                                  const char *reason) {
    Csl__Pb__HelloAck h = CSL__PB__HELLO_ACK__INIT;
    h.protocol = CSL_PROTOCOL_VERSION;
    h.roster_digest = csl_bytes(ctx->roster_digest, sizeof ctx->roster_digest);
    h.clock_ms = csl_clock_ms();
    h.software = (char *)(uintptr_t)CSL_VERSION;
    h.error = err;
    h.reason = (char *)(uintptr_t)(reason != NULL ? reason : "");
    uint8_t *p = malloc(csl__pb__hello_ack__get_packed_size(&h) + 1);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    *n = csl__pb__hello_ack__pack(&h, p);
    *out = p;
    return CSL_OK;
}

enum csl_err csl_hello_ack_check(const struct csl_context *ctx, const Csl__Pb__HelloAck *ack,
                                 const char *peer, struct csl_diag *diag) {
    if (ack->protocol != CSL_PROTOCOL_VERSION) {
        return csl_fail(
            diag, CSL_EPROTO,
            "%s speaks protocol version %u (its program is %s), we speak %d; install the same version", peer,
            ack->protocol, ack->software, CSL_PROTOCOL_VERSION);
    }
    if (memcmp(ack->roster_digest.data, ctx->roster_digest, sizeof ctx->roster_digest) != 0) {
        return csl_fail(diag, CSL_ECONFIG,
                        "%s has another roster than we have; compare `consilium roster digest` at both sites",
                        peer);
    }
    if (ack->error != CSL_OK) {
        return csl_fail(diag, (enum csl_err)ack->error, "%s refuses: %s", peer, ack->reason);
    }
    return CSL_OK;
}
