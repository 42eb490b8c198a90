/* Rounds over a link that fails, and sessions that stay poisoned. */
#include "mpc/pack.h"
#include "parties.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_RING = 5, N_BITS = 13 };

static const uint64_t ring_in[N_RING] = {1, 0xffffffffffff, 77, 0, 12345};

/* Two rounds: a ring item of 11 bits and bits; then 64-bit values. */
static enum csl_err two_rounds(struct party *p) {
    uint64_t x[N_RING], bits[2], m[2] = {0x1555, 0x0aaa};
    uint64_t zero[N_RING] = {0};
    for (size_t i = 0; i < N_RING; i++) {
        x[i] = ring_in[i] * (p->s.self + 1);
    }
    bits[0] = ~(uint64_t)0 << p->s.self; /* padding bits set: cut off */
    bits[1] = 1;
    struct csl_round *r = csl_round_begin(&p->s);
    size_t h = csl_round_open_diff(r, x, zero, N_RING, 11);
    size_t b = csl_round_open_bits(r, bits, m, 2, N_BITS);
    assert_null(csl_round_ring(r, h));
    TRY(csl_round_flush(r));
    uint64_t factor = p->s.n_parties * (p->s.n_parties + 1) / 2;
    for (size_t i = 0; i < N_RING; i++) {
        assert_int_equal(csl_round_ring(r, h)[i], ring_in[i] * factor & 0x7ff);
    }
    uint64_t want = 0, odd = p->s.n_parties % 2;
    for (unsigned i = 0; i < p->s.n_parties; i++) {
        want ^= ~(uint64_t)0 << i;
    }
    assert_int_equal(csl_round_bits(r, b)[0], (want ^ (odd * 0x1555)) & 0x1fff);
    assert_int_equal(csl_round_bits(r, b)[1], (odd ^ (odd * 0x0aaa)) & 0x1fff);
    assert_null(csl_round_bits(r, h));
    assert_null(csl_round_ring(r, b));
    assert_null(csl_round_ring(r, 2));
    r = csl_round_begin(&p->s);
    h = csl_round_open_ring(r, x, N_RING, 64);
    TRY(csl_round_flush(r));
    assert_int_equal(csl_round_ring(r, h)[1], ring_in[1] * factor);
    assert_int_equal(p->s.stats.rounds, 2);
    assert_int_equal(p->s.stats.bytes_per_peer, 7 + 2 * 2 + 8 * N_RING);
    return CSL_OK;
}

static void rounds_open_sums(void **state) {
    (void)state;
    for (unsigned n = 2; n <= 16; n++) {
        struct parties all;
        parties_init(&all, n);
        parties_run_ok(&all, two_rounds, NULL);
        parties_clear(&all);
    }
}

static void expect_failure(unsigned n, uint32_t round, enum csl_mem_fault fault, ptrdiff_t offset,
                           enum csl_err want) {
    struct parties all;
    parties_init(&all, n);
    csl_mem_net_fault(all.net, 1, round, fault, offset, 0x80);
    parties_run(&all, two_rounds, NULL);
    for (unsigned p = 0; p < n; p++) {
        struct csl_session *s = &all.party[p].s;
        if (p == 1) {
            continue; /* the one that misbehaved may see anything */
        }
        if (s->err != want && s->err != CSL_EPEER) { /* a peer may have left first because of it */
            fail_msg("party %u: %s (%s)", p, csl_err_name(s->err), s->diag.text);
        }
        char text[32];
        (void)snprintf(text, sizeof text, "round %u", round);
        assert_non_null(strstr(s->diag.text, "party "));
        assert_non_null(strstr(s->diag.text, text));
        assert_int_equal(all.party[p].err, s->err);
        /* poisoned for good: the first error, and nothing is sent */
        struct csl_diag first = s->diag;
        enum csl_err first_err = s->err;
        struct csl_session_stats stats = s->stats;
        assert_int_equal(two_rounds(&all.party[p]), first_err);
        assert_string_equal(s->diag.text, first.text);
        assert_memory_equal(&s->stats, &stats, sizeof stats);
    }
    if (n == 2) {
        assert_int_equal(all.party[0].s.err, want);
        assert_non_null(strstr(all.party[0].s.diag.text, "party 1"));
    }
    parties_clear(&all);
}

static void failures_name_party_and_round(void **state) {
    (void)state;
    for (unsigned n = 2; n <= 5; n++) {
        for (uint32_t round = 1; round <= 2; round++) {
            expect_failure(n, round, CSL_MEM_GONE, 0, CSL_EPEER);
            expect_failure(n, round, CSL_MEM_SHORTEN, 0, CSL_EPROTO);
            expect_failure(n, round, CSL_MEM_REPLAY, 0, CSL_EPROTO);
        }
        expect_failure(n, 1, CSL_MEM_CORRUPT, 6, CSL_EPROTO);  /* padding of the ring item: 55 bits */
        expect_failure(n, 1, CSL_MEM_CORRUPT, -1, CSL_EPROTO); /* padding of the last bit row */
        expect_failure(n, 1, CSL_MEM_CORRUPT, 8, CSL_EPROTO);  /* and of the first */
    }
}

static void wrong_use_poisons(void **state) {
    (void)state;
    uint64_t x[4] = {0};
    for (int what = 0; what < 8; what++) {
        struct parties all;
        parties_init(&all, 2);
        struct csl_session *s = &all.party[0].s;
        struct csl_round *r = csl_round_begin(s);
        if (what == 1) {
            csl_round_open_ring(r, x, 4, 0);
        } else if (what == 2) {
            csl_round_open_ring(r, x, 4, 65);
        } else if (what == 3) {
            csl_round_open_ring(r, x, 0, 8);
        } else if (what == 4) {
            csl_round_open_bits(r, x, NULL, 1, 0);
        } else if (what == 5) {
            csl_round_open_ring(r, x, SIZE_MAX / 4, 8);
        } else if (what == 6) {
            csl_round_open_bits(r, x, NULL, SIZE_MAX / 2, 128);
        } else if (what == 7) {
            for (int i = 0; i <= CSL_ROUND_MAX_ITEMS; i++) {
                csl_round_open_ring(r, x, 1, 8);
            }
        }
        assert_int_equal(csl_round_flush(r), CSL_EINTERNAL); /* what == 0: empty */
        assert_int_equal(csl_session_error(s), CSL_EINTERNAL);
        assert_int_equal(csl_session_fail(s, CSL_EIO, "later"), CSL_EINTERNAL);
        assert_int_equal(s->stats.rounds, 0);
        parties_clear(&all);
    }
    struct csl_link bad = {.ops = NULL, .n_parties = 17, .self = 0};
    struct csl_session s;
    assert_int_equal(csl_session_init(&s, &bad), CSL_EINTERNAL);
    csl_session_clear(&s);
    csl_session_clear(&s);
    bad = (struct csl_link){.ops = NULL, .n_parties = 2, .self = 2};
    assert_int_equal(csl_session_init(&s, &bad), CSL_EINTERNAL);
    csl_session_clear(&s);
    struct csl_mem_net *net;
    assert_int_equal(csl_mem_net_new(&net, 1), CSL_EUSAGE);
    assert_int_equal(csl_mem_net_new(&net, 17), CSL_EUSAGE);
    csl_mem_net_free(NULL);
}

static void a_cleared_session_sends_nothing(void **state) {
    (void)state;
    struct parties all;
    uint64_t x = 1;
    uint8_t byte = 0, *in[CSL_MAX_PARTIES] = {&byte, &byte};
    parties_init(&all, 2);
    for (unsigned p = 0; p < 2; p++) {
        csl_session_clear(&all.party[p].s);
        assert_int_equal(csl_session_error(&all.party[p].s), CSL_OK);
    }
    struct csl_round *r = csl_round_begin(&all.party[0].s);
    csl_round_open_ring(r, &x, 1, 8);
    assert_int_equal(csl_round_flush(r), CSL_EINTERNAL);
    assert_int_equal(csl_session_exchange(&all.party[1].s, in, &byte, 1), CSL_EINTERNAL);
    parties_clear(&all);
}

/* csl_mem_run: every party once; an error of one ends the others, and is the one that is told. */
static enum csl_err opens_its_number(struct csl_session *s, void *arg) {
    uint64_t x = s->self + 1u, *sums = arg;
    if (sums == NULL && s->self == 1) {
        return csl_session_fail(s, CSL_EDATA, "no room");
    }
    struct csl_round *r = csl_round_begin(s);
    size_t h = csl_round_open_ring(r, &x, 1, 8);
    TRY(csl_round_flush(r));
    sums[s->self] = csl_round_ring(r, h)[0];
    return CSL_OK;
}

static void parties_run_in_threads(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    uint64_t sums[16] = {0};
    assert_int_equal(csl_mem_run(16, opens_its_number, sums, &diag), CSL_OK);
    for (unsigned p = 0; p < 16; p++) {
        assert_int_equal(sums[p], 16 * 17 / 2);
    }
    assert_int_equal(csl_mem_run(3, opens_its_number, NULL, &diag), CSL_EDATA);
    assert_string_equal(diag.text, "party 1: no room");
    assert_int_equal(csl_mem_run(1, opens_its_number, sums, NULL), CSL_EUSAGE);
}

/* Large rounds in several items: blocks, growth of the arenas. */
static enum csl_err large_round(struct party *p) {
    enum { N = 5000 };
    uint64_t *x = alloc_words(N);
    for (size_t i = 0; i < N; i++) {
        x[i] = i * i + p->s.self;
    }
    struct csl_round *r = csl_round_begin(&p->s);
    size_t h[64];
    for (unsigned bits = 1; bits <= 64; bits++) {
        h[bits - 1] = csl_round_open_sum(r, x, x, N - bits, bits);
    }
    TRY(csl_round_flush(r));
    for (unsigned bits = 1; bits <= 64; bits++) {
        const uint64_t *v = csl_round_ring(r, h[bits - 1]);
        for (size_t i = 0; i < N - bits; i++) {
            uint64_t want = 2 * p->s.n_parties * i * i + p->s.n_parties * (p->s.n_parties - 1);
            assert_int_equal(v[i], want & csl_ring_mask(bits));
        }
    }
    free(x);
    return CSL_OK;
}

static void large_rounds(void **state) {
    (void)state;
    struct parties all;
    parties_init(&all, 3);
    parties_run_ok(&all, large_round, NULL);
    parties_clear(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_open_sums),  cmocka_unit_test(failures_name_party_and_round),
        cmocka_unit_test(wrong_use_poisons), cmocka_unit_test(a_cleared_session_sends_nothing),
        cmocka_unit_test(large_rounds),      cmocka_unit_test(parties_run_in_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
