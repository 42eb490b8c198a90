/* The tiny rings, exhaustively (l = 4 and 5; 7 and 8 where shares are shifted; N = 2): for every z in range
 * and every mask the result is right, and the view of each party has exactly the same distribution over the
 * other's masks, whatever z. Of an arg-max, z is the difference of the operands, and with it goes the
 * difference of the payloads.
 *
 * Each element of one ReLU or arg-max is one combination of everything that the protocol draws. Viewer v
 * holds its own masks, its share of z and its dealt shares; the latter are a fixed function of the former, so
 * that the other party's dealt shares are the values minus those. The other's own masks are enumerated. A
 * view is what v holds and what the other party sends it. Both forms; the wan one has no beta and no round e.
 */
#include "mpc/bits_internal.h"
#include "mpc/pack.h"
#include "parties.h"

#include <stdlib.h>
#include <string.h>

struct world {
    struct csl_demand demand;
    unsigned l;              /* of the ring of z */
    unsigned r_bits, m_bits; /* widths of r and of the masks m */
    unsigned b_bits;         /* of beta: 1 or, in the wan form, 0 */
    unsigned p_bits;         /* of the payload */
    unsigned viewer;
    bool broken;      /* negative control: the other's r is even */
    bool broken_m;    /* negative control: the other's lowest mask bit is stuck */
    bool broken_p;    /* negative control: the other's P is even */
    size_t n_own;     /* combinations of the viewer's r, m, beta, P */
    size_t n_other;   /* of the other's */
    uint64_t z_share; /* the viewer's */
    uint64_t p_share; /* of the payloads' difference */
    int64_t z_lo;
    size_t n_z; /* of z and payload difference */
    size_t n;   /* elements */
    uint64_t *z[2], *y[2];
    uint64_t *b[2], *ap[2], *bp[2], *yp[2]; /* of an arg-max: z is a */
    uint64_t *seen; /* what the other party sent, in the places of their masks: c | u | e | v */
};

static unsigned p_shift(const struct world *w) {
    return w->r_bits + w->m_bits + w->b_bits;
}

/* r | m | beta | P of one party at element i, r in the lowest bits */
static uint64_t own_masks(const struct world *w, unsigned party, size_t i) {
    if (party == w->viewer) {
        return i / w->n_other % w->n_own;
    }
    uint64_t own = i % w->n_other;
    own &= w->broken ? ~(uint64_t)1 : ~(uint64_t)0;
    own &= w->broken_p ? ~((uint64_t)1 << p_shift(w)) : ~(uint64_t)0;
    return own & (w->broken_m ? ~((uint64_t)1 << w->r_bits) : ~(uint64_t)0);
}

static int64_t z_of(const struct world *w, size_t i) {
    return w->z_lo + (int64_t)(i / (w->n_other * w->n_own) >> w->p_bits);
}

static uint64_t payload_of(const struct world *w, size_t i) {
    return i / (w->n_other * w->n_own) & (((uint64_t)1 << w->p_bits) - 1);
}

static void set_own(const struct world *w, unsigned party, struct csl__corr_demand *cd) {
    size_t words = csl__bits_words(w->n);
    for (size_t i = 0; i < w->n; i++) {
        uint64_t own = own_masks(w, party, i);
        cd->data[CSL_RELU_R][i] = own & csl_ring_mask(w->r_bits);
        for (unsigned p = 0; p < w->m_bits; p++) {
            cd->data[CSL_RELU_M][p * words + i / 64] |= (own >> (w->r_bits + p) & 1) << i % 64;
        }
        if (w->b_bits != 0) {
            cd->data[CSL_RELU_BETA][i / 64] |= (own >> (w->r_bits + w->m_bits) & 1) << i % 64;
        }
        if (w->p_bits != 0) {
            unsigned field = w->b_bits != 0 ? (unsigned)CSL_MAX_P : (unsigned)CSL_WAN_P;
            cd->data[field][i] = own >> p_shift(w) & csl_ring_mask(w->p_bits);
        }
    }
}

/* Which element of the demand is element x of a field with several for each (F5), and which of those. */
static size_t element_of(const struct world *w, const struct csl_field *field, size_t x, unsigned *which) {
    size_t several = field->count / w->n, block = x / (64 * several), rest = x % (64 * several);
    size_t len = w->n - 64 * block < 64 ? w->n - 64 * block : 64;
    *which = (unsigned)(rest / len);
    return 64 * block + rest % len;
}

/* The viewer's dealt shares, and the other's as value minus those. */
static void set_dealt(const struct world *w, struct csl__corr_demand *mine, struct csl__corr_demand *other) {
    uint64_t *values[CSL_MAX_FIELDS] = {0};
    size_t words = csl__bits_words(w->n);
    for (unsigned f = 0; f < mine->n_fields; f++) {
        const struct csl_field *field = &mine->fields[f];
        values[f] = field->row_words == 0 ? NULL : alloc_words(field->row_words);
        for (size_t i = 0; !field->dealt && i < field->row_words; i++) {
            values[f][i] = field->form == CSL_FIELD_RING
                               ? (mine->data[f][i] + other->data[f][i]) & csl_ring_mask(field->bits)
                               : mine->data[f][i] ^ other->data[f][i];
        }
    }
    csl__demand_values(values, &w->demand);
    for (unsigned f = 0; f < mine->n_fields; f++) {
        const struct csl_field *field = &mine->fields[f];
        for (size_t i = 0; field->dealt && field->form == CSL_FIELD_PLANES && i < w->n; i++) {
            for (unsigned p = 0; p < field->planes; p++) {
                uint64_t bit = test_dealt_share(own_masks(w, w->viewer, i), f, p) & 1;
                mine->data[f][p * words + i / 64] |= bit << i % 64;
            }
        }
        for (size_t i = 0; field->dealt && i < field->row_words; i++) {
            if (field->form == CSL_FIELD_PLANES) {
                other->data[f][i] = values[f][i] ^ mine->data[f][i];
                continue;
            }
            uint64_t mask = csl_ring_mask(field->bits);
            unsigned which;
            size_t at = element_of(w, field, i, &which);
            mine->data[f][i] = test_dealt_share(own_masks(w, w->viewer, at), f, which) & mask;
            other->data[f][i] = field->form == CSL_FIELD_RING ? (values[f][i] - mine->data[f][i]) & mask
                                                              : values[f][i] ^ mine->data[f][i];
        }
        free(values[f]);
    }
}

static void tap(void *arg, unsigned party, uint32_t round, const uint8_t *out, size_t n_bytes) {
    struct world *w = arg;
    if (party == w->viewer) {
        return;
    }
    if (round == 1) {
        csl_unpack_bits(w->seen, out, w->n, w->r_bits);
        for (size_t i = 0; w->p_bits != 0 && i < w->n; i++) {
            /* both vectors are whole bytes here; v follows c */
            size_t at = w->n * w->r_bits + i * w->p_bits;
            uint64_t v = (uint64_t)(out[at / 8] >> at % 8) & csl_ring_mask(w->p_bits);
            w->seen[i] |= v << p_shift(w);
        }
        return;
    }
    bool is_e = w->b_bits != 0 && round == (w->m_bits == 0 ? 2 : 3);
    size_t planes = is_e ? 1 : w->m_bits, shift = w->r_bits + (is_e ? w->m_bits : 0);
    assert_int_equal(n_bytes, planes * csl__bits_bytes(w->n));
    for (size_t p = 0; p < planes; p++) {
        const uint8_t *plane = out + p * csl__bits_bytes(w->n);
        for (size_t i = 0; i < w->n; i++) {
            w->seen[i] |= (uint64_t)(plane[i / 8] >> i % 8 & 1) << (shift + p);
        }
    }
}

static enum csl_err run(struct party *p) {
    struct world *w = p->arg;
    unsigned me = p->s.self;
    switch (w->demand.kind) {
    case CSL_DEMAND_MAX:
        return csl_max(&p->s, w->y[me], w->z[me], w->b[me], p->corr, 0);
    case CSL_DEMAND_ARGMAX:
        return csl_argmax_step(&p->s, w->y[me], w->yp[me], w->z[me], w->ap[me], w->b[me], w->bp[me], p->corr,
                               0);
    default:
        return csl_relu(&p->s, w->y[me], w->z[me], p->corr, 0);
    }
}

static void evaluate(struct world *w, struct parties *all) {
    parties_init(all, 2);
    for (unsigned p = 0; p < 2; p++) {
        assert_int_equal(csl_corr_new(&all->party[p].corr, &w->demand, 1, 2, p, 1, NULL), CSL_OK);
        struct csl__corr_demand *cd = all->party[p].corr->demands;
        set_own(w, p, cd);
        cd->filled[0] = UINT32_MAX;
        w->z[p] = alloc_words(w->n);
        w->y[p] = alloc_words(w->n);
        w->b[p] = alloc_words(w->n);
        w->ap[p] = alloc_words(w->n);
        w->bp[p] = alloc_words(w->n);
        w->yp[p] = alloc_words(w->n);
    }
    unsigned other = 1 - w->viewer;
    set_dealt(w, all->party[w->viewer].corr->demands, all->party[other].corr->demands);
    for (size_t i = 0; i < w->n; i++) {
        w->z[w->viewer][i] = w->z_share;
        w->z[other][i] = ((uint64_t)z_of(w, i) - w->z_share) & csl_ring_mask(w->l);
        w->ap[w->viewer][i] = w->p_share;
        w->ap[other][i] = payload_of(w, i) - w->p_share;
        for (unsigned p = 0; p < 2 && w->demand.kind != CSL_DEMAND_RELU; p++) { /* b, bp: anything */
            w->b[p][i] = test_dealt_share(i, 20, p) & csl_ring_mask(w->l);
            w->bp[p][i] = test_dealt_share(i, 21, p);
            w->z[p][i] += w->b[p][i];
            w->ap[p][i] += w->bp[p][i];
        }
    }
    w->seen = alloc_words(w->n);
    csl_mem_net_tap(all->net, tap, w);
    parties_run_ok(all, run, w);
}

/* (z mod 2^l as it was opened, the low bits of single shares lost) times 2^shift, in T1's terms: z + epsilon.
 */
static int64_t shifted(const struct world *w, size_t i) {
    uint64_t low = ((uint64_t)1 << (w->demand.trunc.f - csl_demand_low_bits(&w->demand))) - 1;
    uint64_t lost = ((w->z[0][i] + low) & low) + (w->z[1][i] & low); /* party 0 adds the centre, 2 low / 2 */
    return z_of(w, i) + (int64_t)low - (int64_t)lost;
}

static void check_results(const struct world *w) {
    unsigned f = w->demand.trunc.f, o = w->demand.trunc.out_bits, low = csl_demand_low_bits(&w->demand);
    for (size_t i = 0; i < w->n; i++) {
        uint64_t r = own_masks(w, 0, i) + own_masks(w, 1, i);
        int64_t z = z_of(w, i);
        if (w->demand.kind != CSL_DEMAND_RELU) {
            uint64_t keep = z + (int64_t)(r & csl_ring_mask(f)) >= 0;
            uint64_t taken = w->b[0][i] + w->b[1][i] + keep * (uint64_t)z;
            uint64_t payload = w->bp[0][i] + w->bp[1][i] + keep * payload_of(w, i);
            assert_int_equal((w->y[0][i] + w->y[1][i] - taken) & csl_ring_mask(o), 0);
            assert_int_equal((w->yp[0][i] + w->yp[1][i] - (w->p_bits == 0 ? 0 : payload)) &
                                 (((uint64_t)1 << w->p_bits) - 1),
                             0);
            continue;
        }
        int64_t want = (shifted(w, i) + (int64_t)((r & csl_ring_mask(low)) << (f - low))) >> f;
        assert_int_equal((w->y[0][i] + w->y[1][i]) & csl_ring_mask(o), (uint64_t)(want < 0 ? 0 : want));
    }
}

/* Whether, for every value of what the viewer holds, the histogram of messages is the same for every z. */
static bool views_are_equal(const struct world *w) {
    size_t n_messages = (size_t)1 << (p_shift(w) + w->p_bits), per_z = w->n_other * w->n_own;
    uint32_t *first = calloc(w->n_own * n_messages, sizeof *first);
    uint32_t *now = calloc(w->n_own * n_messages, sizeof *now);
    assert_non_null(first);
    assert_non_null(now);
    bool equal = true;
    for (size_t z = 0; z < w->n_z && equal; z++) {
        uint32_t *count = z == 0 ? first : now;
        memset(now, 0, w->n_own * n_messages * sizeof *now);
        for (size_t i = z * per_z; i < (z + 1) * per_z; i++) {
            assert_true(w->seen[i] < n_messages);
            count[own_masks(w, w->viewer, i) * n_messages + w->seen[i]]++;
        }
        equal = z == 0 || memcmp(first, now, w->n_own * n_messages * sizeof *now) == 0;
    }
    free(first);
    free(now);
    return equal;
}

static void clear_world(struct world *w, struct parties *all) {
    for (unsigned p = 0; p < 2; p++) {
        free(w->z[p]);
        free(w->y[p]);
        free(w->b[p]);
        free(w->ap[p]);
        free(w->bp[p]);
        free(w->yp[p]);
    }
    free(w->seen);
    parties_clear(all);
}

/* What is made uneven on purpose. */
enum broken { NOTHING, BROKEN_R, BROKEN_M, BROKEN_P };

/* One world for each share of z (and of the payloads' difference) that the viewer may hold (a sample of them,
 * step apart). */
static void explore(struct csl_demand demand, unsigned viewer, unsigned own_step, unsigned z_share_step,
                    enum broken broken) {
    unsigned k = demand.trunc.k, f = demand.trunc.f, l = k + f;
    bool wan = demand.form == CSL_FORM_WAN;
    int64_t margin = f > csl_demand_low_bits(&demand) ? (int64_t)1 << (f - 1) : 0;
    struct world w = {.demand = demand,
                      .l = l,
                      .r_bits = k + csl_demand_low_bits(&demand),
                      .m_bits = 2 * (demand.trunc.n_digits - 1u) + wan,
                      .b_bits = !wan,
                      .p_bits = demand.kind == CSL_DEMAND_ARGMAX ? demand.bits : 0,
                      .viewer = viewer,
                      .broken = broken == BROKEN_R,
                      .broken_m = broken == BROKEN_M,
                      .broken_p = broken == BROKEN_P,
                      .z_lo = margin - ((int64_t)1 << (l - 1))};
    /* -2^(l-1) + margin .. 2^(l-1) - 2^f - margin */
    w.n_z = (((size_t)1 << l) - ((size_t)1 << f) - 2 * (size_t)margin + 1) << w.p_bits;
    w.n_other = (size_t)1 << (p_shift(&w) + w.p_bits);
    w.n_own = w.n_other / own_step;
    w.n = w.n_z * w.n_own * w.n_other;
    w.demand.count = (uint32_t)w.n;
    bool equal = true;
    for (uint64_t share = 0; share < (uint64_t)1 << (l + w.p_bits); share += z_share_step) {
        struct parties all;
        w.z_share = share & csl_ring_mask(l);
        w.p_share = share >> l;
        evaluate(&w, &all);
        check_results(&w);
        equal = equal && views_are_equal(&w);
        clear_world(&w, &all);
    }
    assert_true(equal == (broken == NOTHING));
}

static struct csl_demand tiny(unsigned k, unsigned f, unsigned n_digits) {
    struct csl_demand d = csl_demand_relu(1, k, f, k + f);
    d.trunc.n_digits = (uint8_t)n_digits;
    for (unsigned j = 0; j < n_digits && n_digits > 1; j++) {
        d.trunc.digit_bits[j] = (uint8_t)((k - 1) / n_digits + (j < (k - 1) % n_digits));
    }
    return d;
}

static void one_digit(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(tiny(3, 1, 1), viewer, 1, 1, NOTHING);
        explore(tiny(2, 2, 1), viewer, 1, 1, NOTHING);
        explore(tiny(2, 1, 1), viewer, 1, 1, NOTHING);
    }
}

/* Every mask of both parties: r, m and beta, and every share of z. */
static void two_digits(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(tiny(3, 1, 2), viewer, 1, 2, NOTHING);
    }
}

/* l = 5, three digits of one bit: products of masks of all sizes. The viewer's r is enumerated (its m and
 * beta are zero), the other's masks are all there. */
static void three_digits(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(tiny(4, 1, 3), viewer, 32, 11, NOTHING);
    }
}

/* f = 5: shares lose a bit each before the opening. Every mask, every z, a sample of its shares with both low
 * bits. */
static void shifted_shares(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(tiny(2, 5, 1), viewer, 1, 41, NOTHING);
        explore(tiny(3, 5, 1), viewer, 64, 101, NOTHING);
        explore(tiny(2, 6, 1), viewer, 16, 85, NOTHING);
        explore(tiny(2, 5, 1), viewer, 8, 41, BROKEN_R);
    }
}

static struct csl_demand wan(struct csl_demand d) {
    d.form = CSL_FORM_WAN;
    d.trunc.digit_bits[0] = d.trunc.n_digits == 1 ? d.trunc.k - 1 : d.trunc.digit_bits[0];
    return d;
}

/* The wan form of all of these. */
static void two_rounds(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(wan(tiny(3, 1, 1)), viewer, 1, 1, NOTHING);
        explore(wan(tiny(2, 2, 1)), viewer, 1, 1, NOTHING);
        explore(wan(tiny(3, 1, 2)), viewer, 1, 2, NOTHING);
        explore(wan(tiny(4, 1, 3)), viewer, 32, 11, NOTHING); /* ten monomials */
        explore(wan(tiny(2, 5, 1)), viewer, 1, 41, NOTHING);
        explore(wan(tiny(3, 1, 1)), viewer, 1, 5, BROKEN_R);
        explore(wan(tiny(3, 1, 1)), viewer, 1, 5, BROKEN_M);
        explore(wan(tiny(3, 1, 2)), viewer, 16, 7, BROKEN_M);
    }
}

/* The same test must fail when a mask is not uniform. */
static void a_broken_mask_is_seen(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(tiny(3, 1, 1), viewer, 1, 5, BROKEN_R);
        explore(tiny(2, 2, 1), viewer, 1, 5, BROKEN_R);
        explore(tiny(3, 1, 2), viewer, 16, 7, BROKEN_M);
    }
}

static struct csl_demand tiny_max(unsigned k, unsigned f, unsigned n_digits, unsigned payload_bits) {
    struct csl_demand d = tiny(k, f, n_digits);
    d.kind = payload_bits == 0 ? CSL_DEMAND_MAX : CSL_DEMAND_ARGMAX;
    d.bits = (uint8_t)payload_bits;
    return d;
}

/* Every mask of both parties, every difference, every share of it: M1, and M2 with the payload's opening. */
static void maximum_and_payload(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(tiny_max(3, 1, 1, 0), viewer, 1, 1, NOTHING);
        explore(tiny_max(2, 2, 1, 0), viewer, 1, 3, NOTHING);
        explore(tiny_max(2, 1, 1, 1), viewer, 1, 1, NOTHING);
        explore(tiny_max(3, 1, 1, 1), viewer, 1, 3, NOTHING);
        explore(tiny_max(3, 1, 1, 2), viewer, 1, 27, NOTHING);
        explore(tiny_max(3, 1, 2, 1), viewer, 16, 13, NOTHING); /* the viewer's r alone */
    }
}

static void maximum_in_two_rounds(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(wan(tiny_max(3, 1, 1, 0)), viewer, 1, 1, NOTHING);
        explore(wan(tiny_max(2, 2, 1, 0)), viewer, 1, 3, NOTHING);
        explore(wan(tiny_max(2, 1, 1, 1)), viewer, 1, 1, NOTHING);
        explore(wan(tiny_max(3, 1, 1, 2)), viewer, 1, 27, NOTHING);
        explore(wan(tiny_max(3, 1, 2, 1)), viewer, 16, 13, NOTHING);
        explore(wan(tiny_max(3, 1, 1, 1)), viewer, 1, 7, BROKEN_P);
        explore(wan(tiny_max(3, 1, 1, 0)), viewer, 1, 7, BROKEN_R);
    }
}

static void a_broken_payload_mask_is_seen(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(tiny_max(3, 1, 1, 1), viewer, 1, 7, BROKEN_P);
        explore(tiny_max(3, 1, 1, 1), viewer, 1, 7, BROKEN_R);
        explore(tiny_max(3, 1, 1, 0), viewer, 1, 7, BROKEN_R);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shifted_shares),
        cmocka_unit_test(two_rounds),
        cmocka_unit_test(maximum_in_two_rounds),
        cmocka_unit_test(one_digit),
        cmocka_unit_test(two_digits),
        cmocka_unit_test(three_digits),
        cmocka_unit_test(a_broken_mask_is_seen),
        cmocka_unit_test(maximum_and_payload),
        cmocka_unit_test(a_broken_payload_mask_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
