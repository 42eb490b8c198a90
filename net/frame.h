/* Frames (docs/protocol.md N1): how messages are cut out of a byte stream. Sans I/O: bytes in, frames out.
 *
 * A frame is a 12-byte header and a payload. All integers are little-endian.
 *
 *   offset 0  u32  n         payload bytes that follow the header
 *   offset 4  u8   type      enum csl_frame_type
 *   offset 5  u8   flags     must be 0
 *   offset 6  u16  reserved  must be 0
 *   offset 8  u32  seq       DATA: the round; PING, PONG: a counter; else the sender's choice
 *
 * The reader chooses for each type how large a payload may be; whatever is larger, of an unknown or
 * forbidden type, or has a reserved bit set is CSL_EPROTO. Memory for a payload grows as its bytes
 * arrive, so that a header alone cannot make the reader allocate what it announces.
 */
#ifndef CSL_NET_FRAME_H
#define CSL_NET_FRAME_H

#include "crypto/err.h"

/* X(NAME, number on the wire, name for people, default payload limit in bytes) */
#define CSL_FRAME_LIST(X)                                                                                    \
    X(HELLO, 1, "HELLO", 1u << 20)                                                                           \
    X(HELLO_ACK, 2, "HELLO_ACK", 1u << 20)                                                                   \
    X(CONTROL, 3, "CONTROL", 1u << 20)                                                                       \
    X(DATA, 4, "DATA", CSL_FRAME_FORBIDDEN)                                                                  \
    X(PING, 5, "PING", 0)                                                                                    \
    X(PONG, 6, "PONG", 0)                                                                                    \
    X(ABORT, 7, "ABORT", CSL_ABORT_MAX)                                                                      \
    X(BYE, 8, "BYE", 0)

enum csl_frame_type {
#define CSL_FRAME_ENUM(name, number, text, limit) CSL_FRAME_##name = number,
    CSL_FRAME_LIST(CSL_FRAME_ENUM)
#undef CSL_FRAME_ENUM
        CSL_FRAME_TYPES /* one past the last */
};

enum { CSL_FRAME_HEADER_BYTES = 12 };
#define CSL_FRAME_FORBIDDEN UINT32_MAX /* as a limit: a frame of this type is an error */
#define CSL_FRAME_MAX_BYTES (1u << 30) /* no limit is above this */

/* The type's name ("DATA"), or "?" for an unknown number. */
const char *csl_frame_type_name(unsigned type);

struct csl_frame_header {
    uint32_t n; /* payload bytes */
    uint8_t type;
    uint32_t seq;
};

/* max[type] is the largest payload of a type, or CSL_FRAME_FORBIDDEN. */
struct csl_frame_limits {
    uint32_t max[CSL_FRAME_TYPES];
};

/* The limits of CSL_FRAME_LIST: control frames 1 MiB, DATA forbidden until agreed. */
void csl_frame_limits_init(struct csl_frame_limits *limits);

/* Writes the 12 header bytes. */
void csl_frame_encode_header(uint8_t out[CSL_FRAME_HEADER_BYTES], const struct csl_frame_header *h);

/* Parses and checks 12 header bytes. CSL_EPROTO names the field that is wrong. */
enum csl_err csl_frame_decode_header(struct csl_frame_header *h, const uint8_t in[CSL_FRAME_HEADER_BYTES],
                                     const struct csl_frame_limits *limits, struct csl_diag *diag);

/* The incremental decoder. Public so that it can be embedded; touch it through the functions only. */
struct csl_frame_decoder {
    struct csl_frame_limits limits;
    uint8_t head[CSL_FRAME_HEADER_BYTES];
    struct csl_frame_header h;
    size_t have;    /* bytes in of the part that is being read */
    bool in_body;   /* the header is complete */
    bool failed;    /* an error was returned: nothing more is accepted */
    uint8_t *dst;   /* the caller's buffer for this payload, or NULL */
    uint8_t *own;   /* our buffer, kept from frame to frame */
    size_t own_cap; /* its size */
};

enum csl_frame_event {
    CSL_FRAME_MORE,   /* more bytes are needed */
    CSL_FRAME_HEADER, /* the header is in: csl_frame_direct() may be called now */
    CSL_FRAME_READY   /* the frame is complete: csl_frame_payload(), then csl_frame_next() */
};

void csl_frame_decoder_init(struct csl_frame_decoder *d, const struct csl_frame_limits *limits);

/* Wipes and frees what it owns. */
void csl_frame_decoder_clear(struct csl_frame_decoder *d);

/* Where the next bytes go and how many at most (at least 1). Whoever has the bytes (TLS) writes them
 * there and calls csl_frame_advance with their number; so a payload is never copied here.
 * CSL_ENOMEM when memory is short; CSL_EPROTO after an earlier error or when a READY frame waits. */
enum csl_err csl_frame_space(struct csl_frame_decoder *d, uint8_t **dst, size_t *n, struct csl_diag *diag);

/* n bytes were written at the place that csl_frame_space gave. A frame without payload gives
 * CSL_FRAME_HEADER as every other; the next advance, of 0 bytes, gives CSL_FRAME_READY. */
enum csl_err csl_frame_advance(struct csl_frame_decoder *d, size_t n, enum csl_frame_event *event,
                               struct csl_diag *diag);

/* The header of the frame in work; valid from CSL_FRAME_HEADER until csl_frame_next. */
const struct csl_frame_header *csl_frame_current(const struct csl_frame_decoder *d);

/* After CSL_FRAME_HEADER: the payload shall go to dst (current()->n bytes, the caller's, which must live
 * until CSL_FRAME_READY or csl_frame_undirect). */
void csl_frame_direct(struct csl_frame_decoder *d, uint8_t *dst);

/* Takes the buffer of csl_frame_direct out of use, at any time: what has come in is copied to our own
 * buffer, and the rest will follow there. */
enum csl_err csl_frame_undirect(struct csl_frame_decoder *d);

/* The payload of a READY frame (the caller's buffer or ours; never NULL). */
const uint8_t *csl_frame_payload(const struct csl_frame_decoder *d);

/* Moves a READY payload that lies in our buffer to the caller, who frees it with free(). */
uint8_t *csl_frame_take(struct csl_frame_decoder *d);

/* Ends a READY frame: the decoder waits for the next header. */
void csl_frame_next(struct csl_frame_decoder *d);

/* Whether the stream may end here (no frame has begun). */
bool csl_frame_at_boundary(const struct csl_frame_decoder *d);

/* Copies bytes in, calls on_frame for every complete frame. The simple form, for tests and fuzzers. */
enum csl_err csl_frame_feed(struct csl_frame_decoder *d, const uint8_t *in, size_t n,
                            enum csl_err (*on_frame)(void *arg, const struct csl_frame_header *h,
                                                     const uint8_t *payload),
                            void *arg, struct csl_diag *diag);

/* The payload of ABORT: u32 code (enum csl_err), then the reason, UTF-8. Encode truncates to fit and returns
 * the length; decode makes the text printable. */
enum { CSL_ABORT_MAX = 1024 };
size_t csl_abort_encode(uint8_t out[CSL_ABORT_MAX], enum csl_err err, const char *reason);
enum csl_err csl_abort_decode(struct csl_diag *reason, const uint8_t *payload, size_t n);

#endif
