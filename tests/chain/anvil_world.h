/* A real chain, a ledger, and an account with funds, for the tests of anchoring. Skips (77) with the reason
 * where anvil cannot be had. */
#ifndef CSL_TESTS_ANVIL_WORLD_H
#define CSL_TESTS_ANVIL_WORLD_H

#include "tests/crypto/crypto_test.h"

#include <jansson.h>
#include <openssl/evp.h>

#include "chain/account.h"
#include "chain/anchor.h"
#include "cli/anvil.h"

#define NAME "hospital-a"
#define CONSORTIUM "heart-network"
#define ORIGIN "consilium/" CONSORTIUM "/" NAME

extern struct csl_anvil *anvil;
extern EVP_PKEY *key; /* of the site */
extern uint8_t contract_address[CSL_ADDRESS_BYTES];
extern char base[64]; /* a folder */

/* Ends the process with 77 and the reason when there is no anvil. */
void need_anvil(void);
int world_setup(void **state); /* group: anvil runs, the contract is there */
int world_teardown(void **state);
/* A new anvil with these options, and the contract on it; the old one is the caller's. */
void world_restart(const char *const *args);

/* The node's own methods; params as JSON text. The caller frees the result. */
json_t *node_ask(const char *method, const char *params);
void node_do(const char *method, const char *params);
void automine(bool on);
void mine(unsigned n);
/* Of a loop that waits for a block: on a busy machine a node that mines by itself lets a transaction lie now
 * and then. tries counts from 1. */
void mine_forgotten(unsigned tries);
void fund(const uint8_t address[CSL_ADDRESS_BYTES], const char *wei_hex);
uint64_t nonce_of(const uint8_t address[CSL_ADDRESS_BYTES]);

/* One site with a ledger, an account of its own with funds, and its anchoring. */
struct site {
    char ledger_dir[96], state[96];
    struct csl_ledger *ledger;
    struct csl_account *account;
    struct csl_signer signer;
    struct csl_rpc rpc;
    struct csl_anchor_options opt;
    struct csl_anchor *anchor;
    uint64_t n_leaves;
    int64_t now_s;
    char said[2048]; /* what the steps told, since the test cleared it */
    struct csl_diag diag;
};
/* Fresh, with n leaves and a signed checkpoint of them, nothing anchored; confirmations 1. */
void site_open(struct site *s, unsigned n_leaves);
void site_close(struct site *s);
void add_leaves(struct site *s, unsigned n); /* and signs a checkpoint */
void anchor_close(struct site *s);
void anchor_open(struct site *s); /* as after a restart */

enum csl_err step(struct site *s, bool take);
/* Steps until everything is in blocks, which the node makes by itself. */
void step_mined(struct site *s);
/* Steps until everything is final; fails the test when that takes more than some steps. */
void settle(struct site *s);
/* What the contract holds of the site: how many anchors, and the newest's entries. */
uint64_t anchors_of(struct site *s, uint64_t *entries);
void progress(struct site *s, struct csl_anchor_progress *p);

/* The contract has so many anchors of the site, the last of all its entries; each took one transaction. */
void expect_anchored(struct site *s, uint64_t anchors);

#endif
