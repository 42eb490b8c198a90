/* Two parties multiply two private numbers, and show each other nothing but the product.
 *
 *     cc multiply.c $(pkg-config --cflags --libs consilium) -o multiply && ./multiply 6 7
 *
 * Party 0 holds x, party 1 holds w; each is a thread, and a link in memory stands for the network. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/dealer.h"
#include "mpc/linear.h"
#include "mpc/link_mem.h"

struct party {
    uint64_t x, w, mask; /* shares of x and w (the number at its owner, 0 at the other), and of w's mask B */
    struct csl_corr *corr;
    uint64_t product;
};

/* The dealer sees no number. It makes one correlation, good for one multiplication mod 2^64. */
static enum csl_err deal(struct party p[2]) {
    struct csl_demand demand = csl_demand_linear(1, 1, 64);
    uint8_t seeds[2][CSL_INDEX_SEED_BYTES], correction[sizeof(uint64_t)];
    TRY(csl_rand_secret(seeds[0], sizeof seeds));
    TRY(csl_rand_secret((uint8_t *)&p[0].mask, sizeof p[0].mask));
    TRY(csl_rand_secret((uint8_t *)&p[1].mask, sizeof p[1].mask));
    uint64_t b = p[0].mask + p[1].mask;
    const uint64_t *masks[] = {&b};
    TRY(csl_dealer_corrections(correction, sizeof correction, &demand, 1, 2, seeds[0], masks, 1, NULL));
    for (unsigned i = 0; i < 2; i++) { /* the last party needs the correction, the other its seed alone */
        TRY(csl_corr_new(&p[i].corr, &demand, 1, 2, i, 1, NULL));
        TRY(csl_corr_expand(p[i].corr, 0, seeds[i], i ? correction : NULL, i ? sizeof correction : 0, NULL));
    }
    csl_wipe(seeds, sizeof seeds);
    return CSL_OK;
}

static enum csl_err multiply(struct csl_session *session, void *parties) {
    struct party *me = (struct party *)parties + session->self;
    uint64_t e, y;
    TRY(csl_linear_open_weights(session, &e, &me->w, &me->mask, 1, 64)); /* E = w - B, public */
    TRY(csl_corr_bind_weights(me->corr, 0, &e, NULL));
    struct csl_linear layer = {.w = &me->w, .conv = csl_conv_dense(1, 1), .bits = 64};
    TRY(csl_linear_forward(session, &y, &layer, &me->x, me->corr, 0)); /* y: a share of x w */
    struct csl_round *round = csl_round_begin(session);
    size_t h = csl_round_open_ring(round, &y, 1, 64);
    TRY(csl_round_flush(round));
    me->product = csl_round_ring(round, h)[0];
    return CSL_OK;
}

int main(int argc, char **argv) {
    int64_t x = argc == 3 ? strtoll(argv[1], NULL, 10) : 6, w = argc == 3 ? strtoll(argv[2], NULL, 10) : 7;
    struct party p[2] = {{.x = (uint64_t)x}, {.w = (uint64_t)w}};
    struct csl_diag why = {"the dealer failed"};
    if (deal(p) != CSL_OK || csl_mem_run(2, multiply, p, &why) != CSL_OK) {
        fprintf(stderr, "%s\n", why.text);
        return EXIT_FAILURE;
    }
    printf("%" PRId64 " x %" PRId64 " = %" PRId64 "\n", x, w, (int64_t)p[0].product);
    csl_corr_free(p[0].corr);
    csl_corr_free(p[1].corr);
    return EXIT_SUCCESS;
}
