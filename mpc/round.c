#include "mpc/round.h"

#include "crypto/secret.h"
#include "mpc/bits_internal.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "mpc/round_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- arenas ---- */

uint64_t *csl__arena_take(struct csl__arena *a, size_t n) {
    size_t need;
    if (__builtin_add_overflow(a->used, n, &need)) {
        return NULL;
    }
    if (need > a->n_words) {
        size_t grown = a->n_words <= SIZE_MAX / 32 ? a->n_words * 2 : need;
        grown = grown > need ? grown : need;
        uint64_t *words = csl_secret_alloc(grown, sizeof *words);
        if (words == NULL) {
            return NULL;
        }
        if (a->used != 0) {
            memcpy(words, a->words, a->used * sizeof *words);
        }
        csl_secret_free(a->words);
        a->words = words;
        a->n_words = grown;
    }
    uint64_t *p = a->words + a->used;
    a->used = need;
    return p;
}

void csl__arena_reset(struct csl__arena *a) {
    csl_wipe(a->words, a->used * sizeof *a->words);
    a->used = 0;
}

void csl__arena_free(struct csl__arena *a) {
    csl_secret_free(a->words);
    *a = (struct csl__arena){0};
}

/* ---- queueing ---- */

struct csl_round *csl_round_begin(struct csl_session *s) {
    struct csl_round *r = &s->round;
    if (r->flushed) { /* all of it is opened: the next round overwrites it, the session's end wipes it */
        r->values.used = 0;
    } else {
        csl__arena_reset(&r->values);
    }
    free(r->wire_before);
    r->wire_before = r->wire;
    r->wire = NULL;
    r->n_items = 0;
    r->n_wire = 0;
    r->err = CSL_OK;
    r->flushed = false;
    return r;
}

void csl__round_free(struct csl_round *r) {
    csl__arena_free(&r->values);
    free(r->wire_before);
    free(r->wire);
    r->wire_before = r->wire = NULL;
    r->n_items = 0;
    r->flushed = false;
}

static void refuse(struct csl_round *r, enum csl_err e) {
    if (r->err == CSL_OK) {
        r->err = e;
    }
}

static void add_item(struct csl_round *r, struct csl__item item, size_t n_bytes) {
    item.wire = r->n_wire;
    r->items[r->n_items++] = item;
    r->n_wire += n_bytes;
}

static bool has_room(struct csl_round *r, const struct csl__item *item, size_t n_bytes) {
    if (r->flushed || r->n_items == CSL_ROUND_MAX_ITEMS || item->n == 0 ||
        __builtin_add_overflow(r->n_wire, n_bytes, &(size_t){0})) {
        refuse(r, CSL_EINTERNAL);
        return false;
    }
    return true;
}

/* Adds an item of n_words values and n_bytes on the wire. NULL, with the reason kept, when it cannot be. */
static uint64_t *queue(struct csl_round *r, struct csl__item item, size_t n_words, size_t n_bytes) {
    if (!has_room(r, &item, n_bytes)) {
        return NULL;
    }
    uint64_t *values = csl__arena_take(&r->values, n_words);
    if (values == NULL) {
        refuse(r, CSL_ENOMEM);
        return NULL;
    }
    item.value = (size_t)(values - r->values.words);
    add_item(r, item, n_bytes);
    return values;
}

static uint64_t *queue_ring(struct csl_round *r, size_t n, unsigned bits) {
    size_t n_bytes;
    if (csl_pack_size(&n_bytes, n, bits) != CSL_OK) {
        refuse(r, CSL_EINTERNAL);
        return NULL;
    }
    return queue(r, (struct csl__item){.n = n, .n_bits = bits, .is_bits = false}, n, n_bytes);
}

size_t csl_round_open_ring(struct csl_round *r, const uint64_t *x, size_t n, unsigned bits) {
    size_t handle = r->n_items;
    uint64_t *v = queue_ring(r, n, bits);
    if (v != NULL) {
        csl_reduce_mod(v, x, n, bits);
    }
    return handle;
}

size_t csl_round_open_diff(struct csl_round *r, const uint64_t *x, const uint64_t *a, size_t n,
                           unsigned bits) {
    size_t handle = r->n_items;
    uint64_t *v = queue_ring(r, n, bits);
    if (v != NULL) {
        csl_sub_mod(v, x, a, n, bits);
    }
    return handle;
}

size_t csl_round_open_sum(struct csl_round *r, const uint64_t *x, const uint64_t *a, size_t n,
                          unsigned bits) {
    size_t handle = r->n_items;
    uint64_t *v = queue_ring(r, n, bits);
    if (v != NULL) {
        csl_add_mod(v, x, a, n, bits);
    }
    return handle;
}

size_t csl_round_open_bits(struct csl_round *r, const uint64_t *x, const uint64_t *m, size_t n_rows,
                           size_t n_bits) {
    size_t handle = r->n_items;
    size_t row_words = csl__bits_words(n_bits);
    size_t n_words;
    if (n_bits == 0 || __builtin_mul_overflow(n_rows, row_words, &n_words) || n_words > SIZE_MAX / 8) {
        refuse(r, CSL_EINTERNAL);
        return handle;
    }
    struct csl__item item = {.n = n_rows, .n_bits = n_bits, .is_bits = true};
    uint64_t *v = queue(r, item, n_words, n_rows * csl__bits_bytes(n_bits));
    if (v == NULL) {
        return handle;
    }
    for (size_t i = 0; i < n_words; i++) {
        v[i] = m == NULL ? x[i] : x[i] ^ m[i];
    }
    for (size_t i = row_words - 1; i < n_words; i += row_words) {
        v[i] &= csl__bits_tail(n_bits);
    }
    return handle;
}

size_t csl__round_make_ring(struct csl_round *r, size_t n, unsigned bits, csl__make_fn *make, void *arg) {
    size_t handle = r->n_items, n_bytes;
    struct csl__item item = {.n = n, .n_bits = bits, .is_bits = false, .make = make, .make_arg = arg};
    if (csl_pack_size(&n_bytes, n, bits) != CSL_OK) {
        refuse(r, CSL_EINTERNAL);
    } else if (has_room(r, &item, n_bytes)) {
        add_item(r, item, n_bytes);
    }
    return handle;
}

size_t csl__round_make_bits(struct csl_round *r, size_t n_rows, size_t n_bits, csl__make_fn *make,
                            void *arg) {
    size_t handle = r->n_items, n_bytes;
    struct csl__item item = {.n = n_rows, .n_bits = n_bits, .is_bits = true, .make = make, .make_arg = arg};
    if (n_bits == 0 || __builtin_mul_overflow(n_rows, csl__bits_bytes(n_bits), &n_bytes)) {
        refuse(r, CSL_EINTERNAL);
    } else if (has_room(r, &item, n_bytes)) {
        add_item(r, item, n_bytes);
    }
    return handle;
}

/* ---- flushing ---- */

enum { BLOCK = 512 }; /* elements; a whole number of bytes at any width */

static void pack_item(uint8_t *wire, const struct csl__item *item, const struct csl_round *r) {
    if (item->make != NULL) {
        item->make(item->make_arg, wire);
        return;
    }
    const uint64_t *values = r->values.words + item->value;
    if (!item->is_bits) {
        csl_pack_bits(wire, values, item->n, (unsigned)item->n_bits);
        return;
    }
    for (size_t row = 0; row < item->n; row++) {
        csl__bits_store(wire + row * csl__bits_bytes(item->n_bits),
                        values + row * csl__bits_words(item->n_bits), item->n_bits);
    }
}

static enum csl_err add_ring(uint64_t *values, const uint8_t *in, const struct csl__item *item,
                             struct csl_diag *diag) {
    uint64_t part[BLOCK];
    unsigned bits = (unsigned)item->n_bits;
    for (size_t at = 0; at < item->n; at += BLOCK) {
        size_t n = item->n - at < BLOCK ? item->n - at : BLOCK;
        size_t n_bytes;
        TRY(csl_pack_size(&n_bytes, n, bits));
        TRY(csl_unpack_bits_strict(part, in + at / 8 * bits, n_bytes, n, bits, diag));
        csl_add_mod(values + at, values + at, part, n, bits);
    }
    return CSL_OK;
}

static enum csl_err add_bits(uint64_t *values, const uint8_t *in, const struct csl__item *item,
                             struct csl_diag *diag) {
    size_t row_words = csl__bits_words(item->n_bits);
    size_t row_bytes = csl__bits_bytes(item->n_bits);
    uint64_t padding = 0;
    for (size_t row = 0; row < item->n; row++) {
        uint64_t *v = values + row * row_words;
        for (size_t i = 0; i < row_words; i++) {
            v[i] ^= csl__bits_load(in + row * row_bytes, i, item->n_bits);
        }
        padding |=
            csl__bits_load(in + row * row_bytes, row_words - 1, item->n_bits) & ~csl__bits_tail(item->n_bits);
    }
    if (padding != 0) {
        return csl_fail(diag, CSL_EPROTO, "padding bits are set");
    }
    return CSL_OK;
}

static enum csl_err add_item_of(struct csl_round *r, const struct csl__item *item, const uint8_t *in,
                                struct csl_diag *diag) {
    if (item->make != NULL) {
        return csl__opened_check(item, in, diag);
    }
    uint64_t *v = r->values.words + item->value;
    return item->is_bits ? add_bits(v, in, item, diag) : add_ring(v, in, item, diag);
}

static enum csl_err combine(struct csl_round *r, uint8_t *const in[CSL_MAX_PARTIES]) {
    struct csl_session *s = r->session;
    for (unsigned p = 0; p < s->n_parties; p++) {
        for (size_t i = 0; i < r->n_items && p != s->self; i++) {
            const struct csl__item *item = &r->items[i];
            struct csl_diag diag = {""};
            enum csl_err err = add_item_of(r, item, in[p] + item->wire, &diag);
            if (err != CSL_OK) {
                return csl_session_fail(s, err, "party %u, round %u: %s", p, s->stats.rounds + 1, diag.text);
            }
        }
    }
    return CSL_OK;
}

static enum csl_err exchange_in(struct csl_round *r, uint8_t *wire, size_t slot) {
    struct csl_session *s = r->session;
    uint8_t *in[CSL_MAX_PARTIES] = {0};
    for (unsigned p = 0; p < s->n_parties; p++) {
        in[p] = wire + p * slot;
    }
    uint8_t *out = in[s->self];
    for (size_t i = 0; i < r->n_items; i++) {
        pack_item(out + r->items[i].wire, &r->items[i], r);
    }
    free(r->wire_before);
    r->wire_before = NULL;
    CSL_PUBLIC(out, r->n_wire);
    struct csl_diag diag = {""};
    enum csl_err err = s->link->ops->exchange(s->link, in, s->stats.rounds + 1, out, r->n_wire, &diag);
    if (err != CSL_OK) {
        return csl_session_fail(s, err, "%s", diag.text);
    }
    memcpy(r->in, in, sizeof in);
    return combine(r, in);
}

static bool is_by_blocks(const struct csl_round *r) {
    bool made = false;
    for (size_t i = 0; i < r->n_items; i++) {
        made |= r->items[i].make != NULL;
    }
    return made;
}

/* Messages are public among the parties once they are sent, and are not wiped then. */
static enum csl_err exchange(struct csl_round *r) {
    struct csl_session *s = r->session;
    struct csl_link *link = s->link;
    size_t slot, n_bytes; /* of one message, and of all */
    if (__builtin_add_overflow(r->n_wire, (size_t)63, &slot) ||
        __builtin_mul_overflow(slot &= ~(size_t)63, (size_t)s->n_parties, &n_bytes)) {
        return csl_session_fail(s, CSL_EINTERNAL, "round %u is too large", s->stats.rounds + 1);
    }
    uint8_t *wire = malloc(n_bytes);
    if (wire == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "no memory for round %u", s->stats.rounds + 1);
    }
    link->block = wire;
    enum csl_err err = exchange_in(r, wire, slot);
    bool ours = link->block != NULL;
    link->block = NULL;
    if (err != CSL_OK && ours) {
        csl_wipe(wire, n_bytes);
    }
    if (err == CSL_OK && ours && is_by_blocks(r)) {
        r->wire = wire;
    } else if (ours) {
        free(wire);
    }
    return err;
}

enum csl_err csl_round_flush(struct csl_round *r) {
    struct csl_session *s = r->session;
    TRY(csl_session_error(s));
    if (r->err != CSL_OK) {
        return csl_session_fail(s, r->err, "round %u: an opening could not be queued (%s)",
                                s->stats.rounds + 1, csl_err_text(r->err));
    }
    if (r->flushed || r->n_items == 0 || s->link == NULL) {
        return csl_session_fail(s, CSL_EINTERNAL, "round %u: flushed twice, empty, or of a cleared session",
                                s->stats.rounds + 1);
    }
    enum csl_err err = exchange(r);
    if (err != CSL_OK) {
        (void)csl_round_begin(s); /* wipes */
        return err;
    }
    CSL_PUBLIC(r->values.words, r->values.used * sizeof *r->values.words);
    s->stats.rounds++;
    s->stats.bytes_per_peer += r->n_wire;
    r->flushed = true;
    return CSL_OK;
}

static const uint64_t *opened(const struct csl_round *r, size_t h, bool is_bits) {
    if (!r->flushed || h >= r->n_items || r->items[h].is_bits != is_bits || r->items[h].make != NULL) {
        return NULL;
    }
    return r->values.words + r->items[h].value;
}

const uint64_t *csl_round_ring(const struct csl_round *r, size_t h) {
    return opened(r, h, false);
}

const uint64_t *csl_round_bits(const struct csl_round *r, size_t h) {
    return opened(r, h, true);
}

struct csl__opening csl__round_opening(const struct csl_round *r, size_t h) {
    struct csl__opening o = {
        .n_parties = r->session->n_parties, .n = r->items[h].n, .n_bits = r->items[h].n_bits};
    for (unsigned p = 0; p < o.n_parties; p++) {
        o.in[p] = r->in[p] + r->items[h].wire;
    }
    return o;
}

bool csl_round_locate(const struct csl_round *r, struct csl_round_place *out, size_t bit) {
    for (size_t h = r->n_items; h-- > 0 && bit / 8 < r->n_wire;) {
        const struct csl__item *item = &r->items[h];
        if (bit / 8 < item->wire) {
            continue;
        }
        size_t at = bit - 8 * item->wire;
        size_t wide = item->is_bits ? 8 * csl__bits_bytes(item->n_bits) : item->n_bits;
        bool padding = at / wide >= item->n; /* of a ring item: after its last element */
        *out = (struct csl_round_place){.handle = h,
                                        .is_bits = item->is_bits,
                                        .n = item->n,
                                        .n_bits = item->n_bits,
                                        .element = padding ? item->n - 1 : at / wide,
                                        .bit = padding ? item->n_bits : at % wide};
        return true;
    }
    return false;
}
