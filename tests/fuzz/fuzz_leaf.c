/* Leaves and statements as a hostile bundle or ledger holds them; the first byte chooses. What is let through
 * is the one encoding of what it says. */
#include <stdlib.h>
#include <string.h>

#include "audit/leaf.h"
#include "audit/statement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(enum csl_err err, const ProtobufCMessage *m, const uint8_t *p, size_t n,
                 const struct csl_diag *diag) {
    uint8_t *again = NULL;
    size_t n_again = 0;
    if ((err == CSL_OK) != (m != NULL) || (err != CSL_OK && (err != CSL_EDATA || diag->text[0] == '\0'))) {
        abort();
    }
    if (m == NULL) {
        return 0;
    }
    if (csl_statement_pack(&again, &n_again, m) != CSL_OK || n_again != n ||
        (n != 0 && memcmp(again, p, n) != 0)) {
        abort();
    }
    free(again);
    return 0;
}

static int leaf(const uint8_t *p, size_t n) {
    csl_leaf *l = NULL;
    struct csl_diag diag = {""};
    enum csl_err err = csl_leaf_decode(&l, p, n, &diag);
    if (l != NULL && strcmp(csl_leaf_kind_name((int)l->body_case), "unknown") == 0) {
        abort();
    }
    (void)check(err, l == NULL ? NULL : &l->base, p, n, &diag);
    csl_leaf_free(l);
    return 0;
}

#define STATEMENT(name, Type)                                                                                \
    {                                                                                                        \
        Csl__Audit__##Type##Statement *m = NULL;                                                             \
        enum csl_err err = csl_##name##_statement_decode(&m, p, n, &diag);                                   \
        (void)check(err, m == NULL ? NULL : &m->base, p, n, &diag);                                          \
        csl_statement_free(m);                                                                               \
        return 0;                                                                                            \
    }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct csl_diag diag = {""};
    if (size == 0) {
        return 0;
    }
    const uint8_t *p = data + 1;
    size_t n = size - 1;
    switch (data[0] % 8) {
    case 0:
        STATEMENT(session, Session)
    case 1:
        STATEMENT(dealt, Dealt)
    case 2:
        STATEMENT(input, Input)
    case 3:
        STATEMENT(head, Head)
    case 4:
        STATEMENT(output, Output)
    case 5:
        STATEMENT(reseal, Reseal)
    case 6:
        STATEMENT(consent, Consent)
    default:
        return leaf(p, n);
    }
}
