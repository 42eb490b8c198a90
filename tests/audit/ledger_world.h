/* Folders for the tests of ledgers: fresh for each test, and files in them saved, changed and put back. */
#ifndef CSL_TESTS_LEDGER_WORLD_H
#define CSL_TESTS_LEDGER_WORLD_H

#include "tests/crypto/crypto_test.h"

#include <openssl/evp.h>

#include "audit/ledger.h"

#define NAME "hospital-a"
#define ORIGIN "consilium/heart-network/hospital-a"

enum { LEAF_ROOM = 64, WITNESSES = 3 };

extern EVP_PKEY *key, *witness_keys[WITNESSES]; /* of NAME, and of the others */
extern const char *const witness_names[WITNESSES];

struct file {
    uint8_t *data;
    size_t n;
};

int world_setup(void **state); /* group */
int world_teardown(void **state);
int world_fresh(void **state); /* test: no ledger is there */

void path_of(char out[300], const char *ledger, const char *file); /* file NULL: the folder */
void save_file(struct file *f, const char *ledger, const char *file);
void put_file(const char *ledger, const char *file, const uint8_t *data, size_t n);
void remove_file(const char *ledger, const char *file);

/* log, checkpoint and history of a ledger; history may be missing. */
struct snapshot {
    struct file log, checkpoint, history;
};
void snapshot_take(struct snapshot *s, const char *ledger);
void snapshot_restore(const struct snapshot *s, const char *ledger);
void snapshot_free(struct snapshot *s);

enum csl_err try_open(struct csl_ledger **l, const char *ledger, struct csl_diag *diag);
struct csl_ledger *open_ledger(const char *ledger);
/* Opens as the member `name`, with its key. */
struct csl_ledger *open_witness(unsigned i);

size_t leaf_text(char out[LEAF_ROOM], uint64_t i); /* bytes of the leaf that tests number i */
void add_leaf(struct csl_ledger *l, uint64_t i, bool durable);
void add_leaves(struct csl_ledger *l, uint64_t from, uint64_t to);
void check_leaf(struct csl_ledger *l, uint64_t index, uint64_t i);
/* Offset of entry i in a log's bytes. */
size_t entry_at(const struct file *log, uint64_t i);
/* A checkpoint of l, cosigned by witness i and taken in by l. Proofs as the witness needs them. */
void cosign_newest(struct csl_ledger *l, struct csl_ledger *witness, unsigned i);

#endif
