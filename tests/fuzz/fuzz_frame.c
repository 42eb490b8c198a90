/* The frame decoder on arbitrary bytes. The first byte is the piece size, the second chooses whether payloads
 * go to a buffer of ours, and whether that is taken away again; the rest is the stream. Whatever the pieces,
 * the same frames must come out, within the limits. */
#include <stdlib.h>
#include <string.h>

#include "net/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DATA_MAX = 300, CONTROL_MAX = 20000 };

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct seen {
    uint64_t hash;
    unsigned frames;
};

static enum csl_err see(void *arg, const struct csl_frame_header *h, const uint8_t *payload) {
    struct seen *s = arg;
    REQUIRE(h->n <= (h->type == CSL_FRAME_DATA ? DATA_MAX : CONTROL_MAX));
    s->frames++;
    s->hash = (s->hash * 31 + h->type) * 31 + h->seq;
    for (uint32_t i = 0; i < h->n; i++) {
        s->hash = s->hash * 31 + payload[i];
    }
    if (h->type == CSL_FRAME_ABORT) {
        struct csl_diag reason;
        REQUIRE(csl_abort_decode(&reason, payload, h->n) != CSL_OK && reason.text[0] != '\0');
    }
    return CSL_OK;
}

static struct csl_frame_limits limits(void) {
    struct csl_frame_limits l;
    csl_frame_limits_init(&l);
    l.max[CSL_FRAME_CONTROL] = CONTROL_MAX;
    l.max[CSL_FRAME_DATA] = DATA_MAX;
    return l;
}

/* The pull interface, as connections use it. */
static enum csl_err pull(struct csl_frame_decoder *d, const uint8_t *in, size_t n, size_t piece, uint8_t mode,
                         struct seen *s) {
    uint8_t direct[CONTROL_MAX];
    size_t pos = 0;
    while (pos < n) {
        uint8_t *dst;
        size_t room;
        enum csl_frame_event event;
        TRY(csl_frame_space(d, &dst, &room, NULL));
        REQUIRE(room != 0);
        size_t take = piece < room ? piece : room;
        take = take < n - pos ? take : n - pos;
        memcpy(dst, in + pos, take);
        pos += take;
        TRY(csl_frame_advance(d, take, &event, NULL));
        if (event == CSL_FRAME_HEADER && (mode & 1) != 0) {
            csl_frame_direct(d, direct);
        }
        if (event == CSL_FRAME_HEADER && csl_frame_current(d)->n == 0) {
            TRY(csl_frame_advance(d, 0, &event, NULL));
        }
        if ((mode & 2) != 0) {
            TRY(csl_frame_undirect(d));
        }
        if (event == CSL_FRAME_READY) {
            (void)see(s, csl_frame_current(d), csl_frame_payload(d));
            if ((mode & 4) != 0 && (mode & 3) != 1) {
                free(csl_frame_take(d));
            }
            csl_frame_next(d);
        }
    }
    return CSL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    struct csl_frame_limits l = limits();
    struct csl_frame_decoder a, b;
    struct seen one = {0, 0}, two = {0, 0};
    csl_frame_decoder_init(&a, &l);
    csl_frame_decoder_init(&b, &l);
    enum csl_err err_a = csl_frame_feed(&a, data + 2, size - 2, see, &one, NULL);
    enum csl_err err_b = pull(&b, data + 2, size - 2, data[0] + (size_t)1, data[1], &two);
    REQUIRE(err_a == err_b && one.frames == two.frames && one.hash == two.hash);
    REQUIRE(a.own_cap <= 2 * size + 8192);
    csl_frame_decoder_clear(&a);
    csl_frame_decoder_clear(&b);
    return 0;
}
