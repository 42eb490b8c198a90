#include "net/frame.h"

#include "crypto/secret.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CHUNK = 4096 }; /* own buffers grow from this size by doubling */

static const struct {
    const char *name;
    uint32_t limit;
} types[CSL_FRAME_TYPES] = {
#define ROW(name, number, text, limit) [number] = {text, limit},
    CSL_FRAME_LIST(ROW)
#undef ROW
};

const char *csl_frame_type_name(unsigned type) {
    return type < CSL_FRAME_TYPES && types[type].name != NULL ? types[type].name : "?";
}

void csl_frame_limits_init(struct csl_frame_limits *limits) {
    for (unsigned t = 0; t < CSL_FRAME_TYPES; t++) {
        limits->max[t] = types[t].name != NULL ? types[t].limit : CSL_FRAME_FORBIDDEN;
    }
}

static void put32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void csl_frame_encode_header(uint8_t out[CSL_FRAME_HEADER_BYTES], const struct csl_frame_header *h) {
    put32(out, h->n);
    out[4] = h->type;
    out[5] = out[6] = out[7] = 0;
    put32(out + 8, h->seq);
}

enum csl_err csl_frame_decode_header(struct csl_frame_header *h, const uint8_t in[CSL_FRAME_HEADER_BYTES],
                                     const struct csl_frame_limits *limits, struct csl_diag *diag) {
    uint32_t n = get32(in);
    unsigned type = in[4];
    if (type >= CSL_FRAME_TYPES || types[type].name == NULL) {
        return csl_fail(diag, CSL_EPROTO, "a frame of unknown type %u; do both sides run the same version?",
                        type);
    }
    if (in[5] != 0 || in[6] != 0 || in[7] != 0) {
        return csl_fail(diag, CSL_EPROTO,
                        "a %s frame with reserved header bits set; do both sides run the same version?",
                        types[type].name);
    }
    if (limits->max[type] == CSL_FRAME_FORBIDDEN) {
        return csl_fail(diag, CSL_EPROTO, "a %s frame that nobody asked for", types[type].name);
    }
    if (n > limits->max[type] || n > CSL_FRAME_MAX_BYTES) {
        return csl_fail(diag, CSL_EPROTO, "a %s frame of %lu bytes; at most %lu are allowed here",
                        types[type].name, (unsigned long)n, (unsigned long)limits->max[type]);
    }
    *h = (struct csl_frame_header){.n = n, .type = (uint8_t)type, .seq = get32(in + 8)};
    return CSL_OK;
}

void csl_frame_decoder_init(struct csl_frame_decoder *d, const struct csl_frame_limits *limits) {
    memset(d, 0, sizeof *d);
    d->limits = *limits;
}

void csl_frame_decoder_clear(struct csl_frame_decoder *d) {
    csl_wipe(d->own, d->own_cap);
    free(d->own);
    memset(d, 0, sizeof *d);
}

/* Our buffer holds at least `need` bytes; its first `keep` bytes stay. */
static bool reserve(struct csl_frame_decoder *d, size_t need, size_t keep) {
    if (need <= d->own_cap) {
        return true;
    }
    size_t cap = d->own_cap < FIRST_CHUNK ? FIRST_CHUNK : d->own_cap;
    while (cap < need) {
        cap *= 2; /* need <= 2^30 */
    }
    uint8_t *p = malloc(cap);
    if (p == NULL) {
        return false;
    }
    if (d->own != NULL) {
        memcpy(p, d->own, keep);
        csl_wipe(d->own, d->own_cap);
        free(d->own);
    }
    d->own = p;
    d->own_cap = cap;
    return true;
}

enum csl_err csl_frame_space(struct csl_frame_decoder *d, uint8_t **dst, size_t *n, struct csl_diag *diag) {
    if (d->failed || (d->in_body && d->have == d->h.n)) {
        return csl_fail(diag, CSL_EPROTO, "bytes after the end of a frame");
    }
    if (!d->in_body) {
        *dst = d->head + d->have;
        *n = CSL_FRAME_HEADER_BYTES - d->have;
        return CSL_OK;
    }
    size_t left = d->h.n - d->have;
    if (d->dst != NULL) {
        *dst = d->dst + d->have;
        *n = left;
        return CSL_OK;
    }
    if (!reserve(d, d->have + 1, d->have)) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a %s frame of %lu bytes",
                        csl_frame_type_name(d->h.type), (unsigned long)d->h.n);
    }
    *dst = d->own + d->have;
    *n = left < d->own_cap - d->have ? left : d->own_cap - d->have;
    return CSL_OK;
}

enum csl_err csl_frame_advance(struct csl_frame_decoder *d, size_t n, enum csl_frame_event *event,
                               struct csl_diag *diag) {
    *event = CSL_FRAME_MORE;
    d->have += n;
    if (!d->in_body) {
        if (d->have < CSL_FRAME_HEADER_BYTES) {
            return CSL_OK;
        }
        enum csl_err err = csl_frame_decode_header(&d->h, d->head, &d->limits, diag);
        if (err != CSL_OK) {
            d->failed = true;
            return err;
        }
        d->in_body = true;
        d->have = 0;
        *event = CSL_FRAME_HEADER;
    } else if (d->have == d->h.n) {
        *event = CSL_FRAME_READY;
    }
    return CSL_OK;
}

const struct csl_frame_header *csl_frame_current(const struct csl_frame_decoder *d) {
    return &d->h;
}

void csl_frame_direct(struct csl_frame_decoder *d, uint8_t *dst) {
    d->dst = dst;
}

enum csl_err csl_frame_undirect(struct csl_frame_decoder *d) {
    if (d->dst == NULL) {
        return CSL_OK;
    }
    const uint8_t *from = d->dst;
    d->dst = NULL;
    if (!d->in_body || d->have == 0) {
        return CSL_OK;
    }
    if (!reserve(d, d->have, 0)) {
        d->failed = true;
        return CSL_ENOMEM;
    }
    memcpy(d->own, from, d->have);
    return CSL_OK;
}

const uint8_t *csl_frame_payload(const struct csl_frame_decoder *d) {
    if (d->dst != NULL) {
        return d->dst;
    }
    return d->own != NULL ? d->own : d->head;
}

uint8_t *csl_frame_take(struct csl_frame_decoder *d) {
    uint8_t *p = d->own;
    d->own = NULL;
    d->own_cap = 0;
    return p;
}

void csl_frame_next(struct csl_frame_decoder *d) {
    d->in_body = false;
    d->have = 0;
    d->dst = NULL;
}

bool csl_frame_at_boundary(const struct csl_frame_decoder *d) {
    return !d->in_body && d->have == 0;
}

enum csl_err csl_frame_feed(struct csl_frame_decoder *d, const uint8_t *in, size_t n,
                            enum csl_err (*on_frame)(void *arg, const struct csl_frame_header *h,
                                                     const uint8_t *payload),
                            void *arg, struct csl_diag *diag) {
    size_t pos = 0;
    while (pos < n) {
        uint8_t *dst;
        size_t room;
        TRY(csl_frame_space(d, &dst, &room, diag));
        size_t take = room < n - pos ? room : n - pos;
        memcpy(dst, in + pos, take);
        pos += take;
        enum csl_frame_event event;
        TRY(csl_frame_advance(d, take, &event, diag));
        if (event == CSL_FRAME_HEADER && d->h.n == 0) {
            TRY(csl_frame_advance(d, 0, &event, diag));
        }
        if (event == CSL_FRAME_READY) {
            TRY(on_frame(arg, csl_frame_current(d), csl_frame_payload(d)));
            csl_frame_next(d);
        }
    }
    return CSL_OK;
}

size_t csl_abort_encode(uint8_t out[CSL_ABORT_MAX], enum csl_err err, const char *reason) {
    size_t n = strlen(reason);
    if (n > CSL_ABORT_MAX - 4) {
        n = CSL_ABORT_MAX - 4;
    }
    put32(out, (uint32_t)err);
    memcpy(out + 4, reason, n);
    return n + 4;
}

enum csl_err csl_abort_decode(struct csl_diag *reason, const uint8_t *payload, size_t n) {
    uint32_t code = n >= 4 ? get32(payload) : (uint32_t)CSL_EPEER;
    size_t len = 0;
    for (size_t i = 4; i < n && len < sizeof reason->text - 1; i++) {
        uint8_t c = payload[i];
        reason->text[len++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    reason->text[len] = '\0';
    if (len == 0) {
        (void)csl_fail(reason, CSL_EPEER, "no reason given");
    }
    return code != CSL_OK && code < CSL_ERR_COUNT ? (enum csl_err)code : CSL_EPEER;
}
