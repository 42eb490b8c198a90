/* Little-endian loads and stores, and bounded cursors for binary formats.
 *
 * Any alignment, any host byte order. A cursor that would pass its end sets `bad` and stays bad: reads then
 * give zeros or NULL, writes do nothing. So a decoder reads all its fields and asks once, before it uses
 * them.
 */
#ifndef CSL_CRYPTO_BYTES_H
#define CSL_CRYPTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t csl_load_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t csl_load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t csl_load_u64(const uint8_t *p) {
    return csl_load_u32(p) | (uint64_t)csl_load_u32(p + 4) << 32;
}

static inline void csl_store_u16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void csl_store_u32(uint8_t *p, uint32_t v) {
    csl_store_u16(p, (uint16_t)v);
    csl_store_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void csl_store_u64(uint8_t *p, uint64_t v) {
    csl_store_u32(p, (uint32_t)v);
    csl_store_u32(p + 4, (uint32_t)(v >> 32));
}

/* Reads from borrowed memory. */
struct csl_reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static inline struct csl_reader csl_reader_of(const uint8_t *data, size_t n) {
    return (struct csl_reader){.at = data, .left = n, .bad = false};
}

/* The next n bytes, borrowed; NULL (and bad) when there are fewer. */
static inline const uint8_t *csl_reader_view(struct csl_reader *r, size_t n) {
    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    if (n != 0) {
        r->at += n;
        r->left -= n;
    }
    return p;
}

static inline uint8_t csl_reader_u8(struct csl_reader *r) {
    const uint8_t *p = csl_reader_view(r, 1);
    return p == NULL ? 0 : *p;
}

static inline uint16_t csl_reader_u16(struct csl_reader *r) {
    const uint8_t *p = csl_reader_view(r, 2);
    return p == NULL ? 0 : csl_load_u16(p);
}

static inline uint32_t csl_reader_u32(struct csl_reader *r) {
    const uint8_t *p = csl_reader_view(r, 4);
    return p == NULL ? 0 : csl_load_u32(p);
}

static inline uint64_t csl_reader_u64(struct csl_reader *r) {
    const uint8_t *p = csl_reader_view(r, 8);
    return p == NULL ? 0 : csl_load_u64(p);
}

/* Copies the next n bytes; zeros when there are fewer. */
static inline void csl_reader_bytes(struct csl_reader *r, uint8_t *out, size_t n) {
    const uint8_t *p = csl_reader_view(r, n);
    if (n != 0) {
        if (p == NULL) {
            memset(out, 0, n);
        } else {
            memcpy(out, p, n);
        }
    }
}

/* Everything was read, and nothing was missing. */
static inline bool csl_reader_done(const struct csl_reader *r) {
    return !r->bad && r->left == 0;
}

/* Writes into the caller's memory. */
struct csl_writer {
    uint8_t *out;
    size_t room; /* at out, in all */
    size_t n;    /* written */
    bool bad;
};

static inline struct csl_writer csl_writer_of(uint8_t *out, size_t room) {
    return (struct csl_writer){.out = out, .room = room, .n = 0, .bad = false};
}

/* Room for the next n bytes, for the caller to fill at once; NULL (and bad) when there is less. */
static inline uint8_t *csl_writer_reserve(struct csl_writer *w, size_t n) {
    if (w->bad || n > w->room - w->n) {
        w->bad = true;
        return NULL;
    }
    uint8_t *p = w->n == 0 ? w->out : w->out + w->n;
    w->n += n;
    return p;
}

static inline void csl_writer_bytes(struct csl_writer *w, const uint8_t *data, size_t n) {
    uint8_t *p = csl_writer_reserve(w, n);
    if (p != NULL && n != 0) {
        memcpy(p, data, n);
    }
}

static inline void csl_writer_u8(struct csl_writer *w, uint8_t v) {
    csl_writer_bytes(w, &v, 1);
}

static inline void csl_writer_u16(struct csl_writer *w, uint16_t v) {
    uint8_t b[2];
    csl_store_u16(b, v);
    csl_writer_bytes(w, b, sizeof b);
}

static inline void csl_writer_u32(struct csl_writer *w, uint32_t v) {
    uint8_t b[4];
    csl_store_u32(b, v);
    csl_writer_bytes(w, b, sizeof b);
}

static inline void csl_writer_u64(struct csl_writer *w, uint64_t v) {
    uint8_t b[8];
    csl_store_u64(b, v);
    csl_writer_bytes(w, b, sizeof b);
}

#endif
