/* Control messages: bounded decoding, and encoding into a frame's payload.
 *
 * A decoded message is checked here once: every bytes field that has a fixed length has it, every count
 * and text is bounded. Code behind this header never re-checks lengths.
 */
#ifndef CSL_ROLES_MESSAGE_H
#define CSL_ROLES_MESSAGE_H

#include "control.pb-c.h"
#include "mpc/epoch.h"
#include "net/roster.h"

enum {
    CSL_PROTOCOL_VERSION = 1,
    CSL_SESSION_ID_BYTES = 16,
};

typedef Csl__Pb__Control csl_control;

/* Decodes and checks one control message. *out is freed with csl_message_free.
 * CSL_EPROTO names the message and the field. */
enum csl_err csl_message_decode(csl_control **out, const uint8_t *p, size_t n, struct csl_diag *diag);
void csl_message_free(csl_control *m); /* NULL is allowed; seeds and salts are wiped */

/* Packs into a malloc'ed buffer of *n bytes (the caller frees), or CSL_ENOMEM. */
enum csl_err csl_message_encode(uint8_t **out, size_t *n, const csl_control *m);

/* The name of a message kind, for errors. */
const char *csl_message_kind_name(int kind);

enum csl_err csl_hello_decode(Csl__Pb__Hello **out, const uint8_t *p, size_t n, struct csl_diag *diag);
enum csl_err csl_hello_ack_decode(Csl__Pb__HelloAck **out, const uint8_t *p, size_t n, struct csl_diag *diag);

/* A borrowed protobuf bytes field over caller's memory. */
static inline ProtobufCBinaryData csl_bytes(const void *p, size_t n) {
    ProtobufCBinaryData b = {.len = n, .data = (uint8_t *)(uintptr_t)p};
    return b;
}

/* Declares a control message `m` of one kind with its body `body` zeroed. */
#define CSL_CONTROL(m, body, Type, TYPE, FIELD, field)                                                       \
    Csl__Pb__##Type body = CSL__PB__##TYPE##__INIT;                                                          \
    csl_control m = CSL__PB__CONTROL__INIT;                                                                  \
    m.kind_case = CSL__PB__CONTROL__KIND_##FIELD;                                                            \
    m.field = &body

/* Between lanes, and between their pools: a mesh link reads it. */
static inline bool csl_purpose_is_mesh(Csl__Pb__Purpose p) {
    return p == CSL__PB__PURPOSE__PURPOSE_PEER || p == CSL__PB__PURPOSE__PURPOSE_OFFLINE;
}

/* HELLO names the session that the connection is for. */
static inline bool csl_purpose_names_session(Csl__Pb__Purpose p) {
    return csl_purpose_is_mesh(p) || p == CSL__PB__PURPOSE__PURPOSE_CORRECTIONS ||
           p == CSL__PB__PURPOSE__PURPOSE_INPUT;
}

#endif
