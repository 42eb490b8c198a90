/* A hostile bundle: it is parsed within bounds, and verify comes to a verdict that accuses nobody, since
 * nobody's key is known to the fuzzer. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "audit/bundle.h"
#include "audit/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMBERS = 5 };

static const struct csl_audit_world *world(void) {
    static struct csl_auditee members[MEMBERS] = {{.name = "hospital-a", .roles = 1, .party = 0},
                                                  {.name = "hospital-b", .roles = 1, .party = 1},
                                                  {.name = "dealer", .roles = 2, .party = -1},
                                                  {.name = "lab", .roles = 4, .party = -1},
                                                  {.name = "clinic", .roles = 8, .party = -1}};
    static uint8_t digest[32];
    static struct csl_audit_world w;
    if (w.members == NULL) {
        for (int i = 0; i < 32; i++) {
            digest[i] = 0x77;
        }
        for (int i = 0; i < MEMBERS; i++) {
            members[i].sign_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        }
        w = (struct csl_audit_world){.members = members,
                                     .n_members = MEMBERS,
                                     .n_parties = 2,
                                     .consortium = "heart network",
                                     .roster_digest = digest};
    }
    return &w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    csl_bundle *b = NULL;
    struct csl_diag diag = {""};
    enum csl_err err = csl_bundle_parse(&b, data, size, "input", &diag);
    if ((err == CSL_OK) != (b != NULL) || (err != CSL_OK && diag.text[0] == '\0')) {
        abort();
    }
    if (b == NULL) {
        return 0;
    }
    struct csl_audit_report r;
    const void *all[] = {b, b};
    if (csl_audit_verify(&r, world(), all, 2, &diag) != CSL_OK || r.verdict == CSL_VERDICT_ATTRIBUTABLE ||
        r.verdict == CSL_VERDICT_CONSISTENT) {
        abort(); /* without one good signature it is a mismatch, or there is nothing in it */
    }
    csl_audit_report_clear(&r);
    csl_bundle_free(b);
    return 0;
}
