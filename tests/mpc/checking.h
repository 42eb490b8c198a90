/* Parties that check a dealer: its correlations, faults put into them by the test, and a party's whole check.
 */
#ifndef CSL_TESTS_MPC_CHECKING_H
#define CSL_TESTS_MPC_CHECKING_H

#include "mpc/check.h"
#include "parties.h"

enum { T = 6, DEMANDS = 7, MAX_ROWS = 3 };

struct world {
    unsigned n;    /* parties */
    size_t n_rows; /* e */
    uint8_t coin[CSL_COIN_BYTES];
    bool toss; /* else the coin above */
    bool name_parties;
    struct csl_demand demands[DEMANDS];
    size_t n_demands;
    uint64_t *masks[DEMANDS];
    struct csl_epoch_keys keys[CSL_MAX_PARTIES];
    uint8_t mask_id[32];
    size_t chunk;
    uint8_t *corrections;                               /* T chunks, as the dealer sends them */
    uint32_t rows[CSL_MAX_PARTIES][CSL_CHECK_MAX_ROWS]; /* that each party saw chosen */
    struct csl_diag diag[CSL_MAX_PARTIES];
};

/* Deals T rows of all kinds of demands and expands them at every party. The caller clears. */
void world_init(struct world *w, struct parties *all, unsigned n, size_t n_rows);
void world_clear(struct world *w, struct parties *all);
/* Corrections anew, by w->masks as they are. */
void deal(struct world *w);
/* What each party makes of its keys and of w->corrections, which may have been changed. */
void expand(const struct world *w, struct parties *all);
/* Another session over the same correlations, which are made anew. */
void again(struct world *w, struct parties *all);
extern const char *const names[CSL_MAX_PARTIES];
/* A party's whole check (arg: the world). */
enum csl_err check(struct party *p);

#endif
