#include "chain/rlp.h"

/* First bytes of Yellow Paper, appendix B: strings from 0x80, lists from 0xc0; up to 55 bytes of content have
 * their length in the first byte, more have it in the bytes that follow. */
enum { STRING = 0x80, LIST = 0xc0, SHORT_MAX = 55, LENGTH_MAX = 8 };

static size_t bytes_of(uint64_t v) {
    size_t n = 0;
    for (; v != 0; v >>= 8) {
        n++;
    }
    return n;
}

static void put_big_endian(struct csl_writer *w, uint64_t v) {
    for (size_t i = bytes_of(v); i-- > 0;) {
        csl_writer_u8(w, (uint8_t)(v >> (8 * i)));
    }
}

static void put_header(struct csl_writer *w, uint8_t base, size_t n) {
    if (n <= SHORT_MAX) {
        csl_writer_u8(w, (uint8_t)(base + n));
    } else {
        csl_writer_u8(w, (uint8_t)(base + SHORT_MAX + bytes_of(n)));
        put_big_endian(w, n);
    }
}

size_t csl_rlp_header_size(size_t n) {
    return n <= SHORT_MAX ? 1 : 1 + bytes_of(n);
}

void csl_rlp_put_bytes(struct csl_writer *w, const uint8_t *p, size_t n) {
    if (n != 1 || p[0] >= STRING) {
        put_header(w, STRING, n);
    }
    csl_writer_bytes(w, p, n);
}

void csl_rlp_put_u64(struct csl_writer *w, uint64_t v) {
    uint8_t b[8];
    for (size_t i = 0; i < sizeof b; i++) {
        b[i] = (uint8_t)(v >> (56 - 8 * i));
    }
    csl_rlp_put_number(w, b, sizeof b);
}

void csl_rlp_put_number(struct csl_writer *w, const uint8_t *big_endian, size_t n) {
    while (n > 0 && *big_endian == 0) {
        big_endian++;
        n--;
    }
    csl_rlp_put_bytes(w, big_endian, n);
}

void csl_rlp_put_list(struct csl_writer *w, size_t n) {
    put_header(w, LIST, n);
}

/* The length behind a first byte that announces n_length bytes of it: more than 55, and no zero in front. */
static size_t take_length(struct csl_reader *r, size_t n_length) {
    const uint8_t *p = csl_reader_view(r, n_length);
    uint64_t n = 0;
    for (size_t i = 0; p != NULL && i < n_length; i++) {
        n = n << 8 | p[i];
    }
    if (p == NULL || p[0] == 0 || n <= SHORT_MAX || n > r->left) {
        r->bad = true;
        return 0;
    }
    return (size_t)n;
}

bool csl_rlp_next(struct csl_reader *r, struct csl_rlp_item *item) {
    const uint8_t *first = csl_reader_view(r, 1);
    if (first == NULL) {
        return false;
    }
    if (*first < STRING) {
        *item = (struct csl_rlp_item){.is_list = false, .p = first, .n = 1};
        return true;
    }
    bool is_list = *first >= LIST;
    size_t n = *first - (is_list ? LIST : STRING);
    if (n > SHORT_MAX) {
        n = take_length(r, n - SHORT_MAX);
    }
    const uint8_t *p = csl_reader_view(r, n);
    if (p == NULL || (!is_list && n == 1 && p[0] < STRING)) {
        r->bad = true;
        return false;
    }
    *item = (struct csl_rlp_item){.is_list = is_list, .p = p, .n = n};
    return true;
}

bool csl_rlp_next_bytes(struct csl_reader *r, const uint8_t **p, size_t *n) {
    struct csl_rlp_item item;
    if (!csl_rlp_next(r, &item) || item.is_list) {
        r->bad = true;
        return false;
    }
    *p = item.p;
    *n = item.n;
    return true;
}

bool csl_rlp_next_number(struct csl_reader *r, uint8_t *out, size_t n) {
    const uint8_t *p = NULL;
    size_t n_p = 0;
    if (!csl_rlp_next_bytes(r, &p, &n_p) || n_p > n || (n_p > 0 && p[0] == 0)) {
        r->bad = true;
        return false;
    }
    memset(out, 0, n - n_p);
    memcpy(out + (n - n_p), p, n_p);
    return true;
}

bool csl_rlp_next_u64(struct csl_reader *r, uint64_t *v) {
    uint8_t b[8];
    if (!csl_rlp_next_number(r, b, sizeof b)) {
        return false;
    }
    *v = 0;
    for (size_t i = 0; i < sizeof b; i++) {
        *v = *v << 8 | b[i];
    }
    return true;
}

bool csl_rlp_next_list(struct csl_reader *r, struct csl_reader *content) {
    struct csl_rlp_item item;
    if (!csl_rlp_next(r, &item) || !item.is_list) {
        r->bad = true;
        return false;
    }
    *content = csl_reader_of(item.p, item.n);
    return true;
}

bool csl_rlp_valid(const uint8_t *data, size_t n, size_t max_depth) {
    struct csl_reader open[CSL_RLP_DEPTH_MAX + 1]; /* the lists that are being read, outermost first */
    struct csl_rlp_item item;
    size_t depth = 0;
    struct csl_reader whole = csl_reader_of(data, n);
    if (max_depth > CSL_RLP_DEPTH_MAX || !csl_rlp_next(&whole, &item) || !csl_reader_done(&whole)) {
        return false;
    }
    for (;;) {
        if (item.is_list) {
            if (depth == max_depth) {
                return false;
            }
            open[depth++] = csl_reader_of(item.p, item.n);
        }
        while (depth > 0 && open[depth - 1].left == 0) {
            depth--;
        }
        if (depth == 0) {
            return true;
        }
        if (!csl_rlp_next(&open[depth - 1], &item)) {
            return false;
        }
    }
}
