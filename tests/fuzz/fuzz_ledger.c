/* A log file of anything, and other processes' bytes behind it: the ledger opens it or refuses it with a
 * sentence; what it opened is consistent, goes on, and opens again.
 *
 * First byte: which file the rest is: 0 the log, 1 the log behind a good beginning, 2 the checkpoint,
 * 3 history, 4 what is seen of a member. */
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static EVP_PKEY *key;
static char base[] = "/tmp/csl_fuzz_ledger_XXXXXX";
static const char *const files[5] = {"log", "log", "checkpoint", "history", "seen/hospital-b"};
static uint8_t begun[64]; /* a log of one entry */
static size_t n_begun;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void clean_up(void) {
    (void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    EVP_PKEY_free(key);
}

static enum csl_err open_it(struct csl_ledger **l, struct csl_diag *diag) {
    char dir[100];
    (void)snprintf(dir, sizeof dir, "%s/ledger", base);
    struct csl_ledger_options opt = {
        .dir = dir, .origin = "consilium/fuzz/hospital-a", .name = "hospital-a", .sign_key = key};
    return csl_ledger_open(l, &opt, diag);
}

static void put(const char *file, const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b) {
    char path[200];
    (void)snprintf(path, sizeof path, "%s/ledger/%s", base, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && write(fd, a, n_a) == (ssize_t)n_a && write(fd, b, n_b) == (ssize_t)n_b);
    close(fd);
}

static void begin(void) {
    static const uint8_t seed[32] = {9};
    struct csl_ledger *l;
    uint64_t index;
    char path[200];
    if (key == NULL) {
        key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed, sizeof seed);
        REQUIRE(key != NULL && mkdtemp(base) != NULL && atexit(clean_up) == 0);
    } else {
        (void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        REQUIRE(mkdir(base, 0700) == 0);
    }
    REQUIRE(open_it(&l, NULL) == CSL_OK);
    if (n_begun == 0) {
        REQUIRE(csl_ledger_append(l, &index, (const uint8_t *)"leaf", 4, true, NULL) == CSL_OK);
        (void)snprintf(path, sizeof path, "%s/ledger/log", base);
        int fd = open(path, O_RDONLY);
        REQUIRE(fd >= 0);
        n_begun = (size_t)read(fd, begun, sizeof begun);
        close(fd);
        csl_ledger_close(l);
        begin();
        return;
    }
    csl_ledger_close(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || data[0] > 4) {
        return 0;
    }
    struct csl_ledger *l = NULL;
    struct csl_diag diag = {""};
    begin();
    put(files[data[0]], begun, data[0] == 1 ? n_begun : 0, data + 1, size - 1);
    enum csl_err err = open_it(&l, &diag);
    if (err != CSL_OK) {
        REQUIRE(l == NULL && diag.text[0] != '\0' && (err == CSL_EAUTH || err == CSL_EIO));
        return 0;
    }
    uint64_t n = csl_ledger_size(l), index;
    uint8_t *leaf, hash[CSL_MERKLE_BYTES], root[CSL_MERKLE_BYTES],
        proof[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    size_t n_leaf, n_proof;
    REQUIRE(n <= size && (data[0] != 1 || n >= 1));
    REQUIRE(csl_ledger_root(l, root, n) == CSL_OK);
    for (uint64_t i = 0; i < n; i++) {
        REQUIRE(csl_ledger_leaf(l, &leaf, &n_leaf, i, NULL) == CSL_OK);
        REQUIRE(csl_merkle_leaf(hash, leaf, n_leaf) == CSL_OK);
        REQUIRE(csl_ledger_inclusion(l, proof, &n_proof, i, n) == CSL_OK);
        REQUIRE(csl_merkle_verify_inclusion(root, n, hash, i, (const uint8_t(*)[CSL_MERKLE_BYTES])proof,
                                            n_proof) == CSL_OK);
        free(leaf);
    }
    REQUIRE(csl_ledger_append(l, &index, (const uint8_t *)"more", 4, true, NULL) == CSL_OK && index == n);
    csl_ledger_close(l);
    REQUIRE(open_it(&l, NULL) == CSL_OK && csl_ledger_size(l) == n + 1 && csl_ledger_torn(l) == 0);
    csl_ledger_close(l);
    return 0;
}
