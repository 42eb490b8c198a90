/* Frames: every edge of a length, every header bit, bytes in any pieces. */
#include "net/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    unsigned frames;
    struct csl_frame_header last;
    uint64_t sum;
};

static enum csl_err see(void *arg, const struct csl_frame_header *h, const uint8_t *payload) {
    struct seen *s = arg;
    s->frames++;
    s->last = *h;
    for (uint32_t i = 0; i < h->n; i++) {
        s->sum = s->sum * 31 + payload[i];
    }
    return CSL_OK;
}

static struct csl_frame_limits limits_with_data(uint32_t max) {
    struct csl_frame_limits l;
    csl_frame_limits_init(&l);
    l.max[CSL_FRAME_DATA] = max;
    return l;
}

static void header_round_trip(void **state) {
    (void)state;
    struct csl_frame_limits l = limits_with_data(CSL_FRAME_MAX_BYTES);
    const uint32_t sizes[] = {0, 1, 255, 256, 65535, 65536, 1u << 20, CSL_FRAME_MAX_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t b[CSL_FRAME_HEADER_BYTES];
        struct csl_frame_header h = {.n = sizes[i], .type = CSL_FRAME_DATA, .seq = 0xa1b2c3d4}, g;
        csl_frame_encode_header(b, &h);
        assert_int_equal(csl_frame_decode_header(&g, b, &l, NULL), CSL_OK);
        assert_true(g.n == h.n && g.type == h.type && g.seq == h.seq);
    }
    const uint8_t known[CSL_FRAME_HEADER_BYTES] = {0x04, 0x03, 0x02, 0x01, 4,    0,
                                                   0,    0,    0x08, 0x07, 0x06, 0x05};
    struct csl_frame_header g;
    assert_int_equal(csl_frame_decode_header(&g, known, &l, NULL), CSL_OK);
    assert_true(g.n == 0x01020304 && g.seq == 0x05060708);
}

static void limits_are_kept(void **state) {
    (void)state;
    struct csl_diag diag;
    struct csl_frame_limits l = limits_with_data(1000);
    const struct {
        uint8_t type;
        uint32_t n;
        bool ok;
        const char *says;
    } cases[] = {{CSL_FRAME_DATA, 1000, true, ""},
                 {CSL_FRAME_DATA, 1001, false, "at most 1000"},
                 {CSL_FRAME_DATA, UINT32_MAX, false, "4294967295 bytes"},
                 {CSL_FRAME_CONTROL, 1u << 20, true, ""},
                 {CSL_FRAME_CONTROL, (1u << 20) + 1, false, "CONTROL frame of 1048577"},
                 {CSL_FRAME_PING, 0, true, ""},
                 {CSL_FRAME_PING, 1, false, "PING"},
                 {0, 0, false, "unknown type 0"},
                 {CSL_FRAME_TYPES, 0, false, "unknown type"},
                 {255, 0, false, "unknown type 255"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t b[CSL_FRAME_HEADER_BYTES];
        struct csl_frame_header h = {.n = cases[i].n, .type = cases[i].type}, g = {0};
        csl_frame_encode_header(b, &h);
        enum csl_err err = csl_frame_decode_header(&g, b, &l, &diag);
        assert_int_equal(err, cases[i].ok ? CSL_OK : CSL_EPROTO);
        assert_true(cases[i].ok || strstr(diag.text, cases[i].says) != NULL);
    }
    csl_frame_limits_init(&l);
    uint8_t b[CSL_FRAME_HEADER_BYTES];
    struct csl_frame_header h = {.type = CSL_FRAME_DATA}, g;
    csl_frame_encode_header(b, &h);
    assert_int_equal(csl_frame_decode_header(&g, b, &l, &diag), CSL_EPROTO);
    assert_non_null(strstr(diag.text, "nobody asked for"));
}

static void reserved_bits(void **state) {
    (void)state;
    struct csl_frame_limits l = limits_with_data(1000);
    for (int bit = 0; bit < 24; bit++) {
        uint8_t b[CSL_FRAME_HEADER_BYTES];
        struct csl_diag diag;
        struct csl_frame_header h = {.n = 3, .type = CSL_FRAME_DATA}, g;
        csl_frame_encode_header(b, &h);
        b[5 + bit / 8] |= (uint8_t)(1 << bit % 8);
        assert_int_equal(csl_frame_decode_header(&g, b, &l, &diag), CSL_EPROTO);
        assert_non_null(strstr(diag.text, "reserved"));
    }
}

/* Frames of each size at and around the edges, in pieces of each size. */
static void in_pieces(void **state) {
    (void)state;
    const uint32_t sizes[] = {0, 1, 11, 12, 13, 4095, 4096, 4097, 16372, 16384, 70000};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    size_t total = 0;
    for (int i = 0; i < SIZES; i++) {
        total += CSL_FRAME_HEADER_BYTES + sizes[i];
    }
    uint8_t *all = test_malloc(total);
    size_t at = 0;
    uint64_t sum = 0;
    for (int i = 0; i < SIZES; i++) {
        struct csl_frame_header h = {.n = sizes[i], .type = CSL_FRAME_DATA, .seq = (uint32_t)i};
        csl_frame_encode_header(all + at, &h);
        at += CSL_FRAME_HEADER_BYTES;
        for (uint32_t k = 0; k < sizes[i]; k++) {
            all[at] = (uint8_t)(k * 7 + (uint32_t)i);
            sum = sum * 31 + all[at++];
        }
    }
    struct csl_frame_limits l = limits_with_data(70000);
    const size_t pieces[] = {1, 2, 3, 11, 12, 13, 100, 5000, 1000000};
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        struct csl_frame_decoder d;
        struct seen s = {0};
        csl_frame_decoder_init(&d, &l);
        for (size_t pos = 0; pos < total; pos += pieces[p]) {
            size_t n = total - pos < pieces[p] ? total - pos : pieces[p];
            assert_int_equal(csl_frame_feed(&d, all + pos, n, see, &s, NULL), CSL_OK);
        }
        assert_int_equal(s.frames, SIZES);
        assert_int_equal(s.last.seq, SIZES - 1);
        assert_true(s.sum == sum);
        assert_true(csl_frame_at_boundary(&d));
        csl_frame_decoder_clear(&d);
    }
    test_free(all);
}

/* A header that announces a gigabyte must not make the reader allocate one. */
static void memory_follows_the_bytes(void **state) {
    (void)state;
    struct csl_frame_limits l = limits_with_data(CSL_FRAME_MAX_BYTES);
    struct csl_frame_decoder d;
    uint8_t b[CSL_FRAME_HEADER_BYTES];
    uint8_t body[1000] = {0};
    struct seen s = {0};
    struct csl_frame_header h = {.n = CSL_FRAME_MAX_BYTES, .type = CSL_FRAME_DATA};
    csl_frame_encode_header(b, &h);
    csl_frame_decoder_init(&d, &l);
    assert_int_equal(csl_frame_feed(&d, b, sizeof b, see, &s, NULL), CSL_OK);
    assert_int_equal(csl_frame_feed(&d, body, sizeof body, see, &s, NULL), CSL_OK);
    assert_true(d.own_cap <= 4096);
    assert_false(csl_frame_at_boundary(&d));
    csl_frame_decoder_clear(&d);
}

/* A caller's buffer for the payload, taken away at each point. */
static void direct_and_back(void **state) {
    (void)state;
    enum { N = 50 };
    struct csl_frame_limits l = limits_with_data(N);
    for (size_t away = 0; away <= N + 1; away++) { /* N + 1: never */
        struct csl_frame_decoder d;
        struct csl_frame_header h = {.n = N, .type = CSL_FRAME_DATA};
        uint8_t mine[N] = {0}, *dst;
        size_t room;
        enum csl_frame_event event;
        csl_frame_decoder_init(&d, &l);
        assert_int_equal(csl_frame_space(&d, &dst, &room, NULL), CSL_OK);
        assert_int_equal(room, CSL_FRAME_HEADER_BYTES);
        csl_frame_encode_header(dst, &h);
        assert_int_equal(csl_frame_advance(&d, room, &event, NULL), CSL_OK);
        assert_int_equal(event, CSL_FRAME_HEADER);
        csl_frame_direct(&d, mine);
        for (size_t i = 0; i < N; i++) {
            if (i == away) {
                assert_int_equal(csl_frame_undirect(&d), CSL_OK);
                memset(mine, 0xee, sizeof mine);
            }
            assert_int_equal(csl_frame_space(&d, &dst, &room, NULL), CSL_OK);
            *dst = (uint8_t)(i + 1);
            assert_int_equal(csl_frame_advance(&d, 1, &event, NULL), CSL_OK);
        }
        assert_int_equal(event, CSL_FRAME_READY);
        const uint8_t *payload = csl_frame_payload(&d);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(payload[i], i + 1);
        }
        assert_true((payload == mine) == (away >= N));
        assert_int_equal(csl_frame_space(&d, &dst, &room, NULL), CSL_EPROTO); /* READY waits */
        csl_frame_next(&d);
        assert_true(csl_frame_at_boundary(&d));
        csl_frame_decoder_clear(&d);
    }
}

static void a_taken_payload_is_the_callers(void **state) {
    (void)state;
    struct csl_frame_limits l = limits_with_data(100);
    struct csl_frame_decoder d;
    struct seen s = {0};
    uint8_t frame[CSL_FRAME_HEADER_BYTES + 4] = {0};
    struct csl_frame_header h = {.n = 4, .type = CSL_FRAME_DATA};
    csl_frame_encode_header(frame, &h);
    memcpy(frame + CSL_FRAME_HEADER_BYTES, "abcd", 4);
    csl_frame_decoder_init(&d, &l);
    uint8_t *dst;
    size_t room;
    enum csl_frame_event event;
    for (size_t i = 0; i < sizeof frame; i++) {
        assert_int_equal(csl_frame_space(&d, &dst, &room, NULL), CSL_OK);
        *dst = frame[i];
        assert_int_equal(csl_frame_advance(&d, 1, &event, NULL), CSL_OK);
    }
    assert_int_equal(event, CSL_FRAME_READY);
    uint8_t *mine = csl_frame_take(&d);
    csl_frame_next(&d);
    assert_int_equal(csl_frame_feed(&d, frame, sizeof frame, see, &s, NULL), CSL_OK);
    assert_memory_equal(mine, "abcd", 4);
    free(mine);
    csl_frame_decoder_clear(&d);
}

static void after_an_error_nothing(void **state) {
    (void)state;
    struct csl_frame_limits l = limits_with_data(100);
    struct csl_frame_decoder d;
    struct seen s = {0};
    uint8_t bad[CSL_FRAME_HEADER_BYTES] = {0}, good[CSL_FRAME_HEADER_BYTES];
    struct csl_frame_header h = {.type = CSL_FRAME_PING};
    csl_frame_encode_header(good, &h);
    csl_frame_decoder_init(&d, &l);
    assert_int_equal(csl_frame_feed(&d, bad, sizeof bad, see, &s, NULL), CSL_EPROTO);
    assert_int_equal(csl_frame_feed(&d, good, sizeof good, see, &s, NULL), CSL_EPROTO);
    assert_int_equal(s.frames, 0);
    csl_frame_decoder_clear(&d);
}

/* Every bit of a stream of frames flipped in turn: an error or frames within the limits, nothing else. */
static void mutated(void **state) {
    (void)state;
    uint8_t stream[3 * (CSL_FRAME_HEADER_BYTES + 5)];
    size_t at = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct csl_frame_header h = {.n = 5, .type = CSL_FRAME_DATA, .seq = i};
        csl_frame_encode_header(stream + at, &h);
        memcpy(stream + at + CSL_FRAME_HEADER_BYTES, "hello", 5);
        at += CSL_FRAME_HEADER_BYTES + 5;
    }
    struct csl_frame_limits l = limits_with_data(64);
    unsigned errors = 0;
    for (size_t bit = 0; bit < 8 * at; bit++) {
        struct csl_frame_decoder d;
        struct seen s = {0};
        stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
        csl_frame_decoder_init(&d, &l);
        enum csl_err err = csl_frame_feed(&d, stream, at, see, &s, NULL);
        assert_true(err == CSL_OK || err == CSL_EPROTO);
        errors += err != CSL_OK;
        csl_frame_decoder_clear(&d);
        stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(errors > 100);
}

static void abort_payloads(void **state) {
    (void)state;
    uint8_t b[CSL_ABORT_MAX];
    struct csl_diag d;
    size_t n = csl_abort_encode(b, CSL_ETIMEOUT, "hospital-b is late");
    assert_int_equal(csl_abort_decode(&d, b, n), CSL_ETIMEOUT);
    assert_string_equal(d.text, "hospital-b is late");
    char *longer = test_malloc(5000);
    memset(longer, 'x', 4999);
    longer[4999] = '\0';
    n = csl_abort_encode(b, CSL_EPEER, longer);
    assert_int_equal(n, CSL_ABORT_MAX);
    assert_int_equal(csl_abort_decode(&d, b, n), CSL_EPEER);
    assert_int_equal(strlen(d.text), sizeof d.text - 1);
    test_free(longer);
    assert_int_equal(csl_abort_decode(&d, (const uint8_t *)"", 0), CSL_EPEER);
    assert_string_equal(d.text, "no reason given");
    const uint8_t odd[] = {0xff, 0xff, 0xff, 0xff, 27, '[', 'A', '\n'};
    assert_int_equal(csl_abort_decode(&d, odd, sizeof odd), CSL_EPEER);
    assert_string_equal(d.text, "?[A?");
    const uint8_t ok_code[] = {0, 0, 0, 0, 'x'};
    assert_int_equal(csl_abort_decode(&d, ok_code, sizeof ok_code), CSL_EPEER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_round_trip),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(reserved_bits),
        cmocka_unit_test(in_pieces),
        cmocka_unit_test(memory_follows_the_bytes),
        cmocka_unit_test(direct_and_back),
        cmocka_unit_test(a_taken_payload_is_the_callers),
        cmocka_unit_test(after_an_error_nothing),
        cmocka_unit_test(mutated),
        cmocka_unit_test(abort_payloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
