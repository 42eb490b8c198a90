/* Keys in a PKCS#11 token, for cert and doctor. */
#ifndef CSL_CLI_CERT_TOKEN_H
#define CSL_CLI_CERT_TOKEN_H

#include <jansson.h>

#include "cli/commands.h"
#include "crypto/identity.h"

/* A site's keys: in files but for what token (a URI, or NULL: all three) and keys ("KIND=URI", for one) say.
 * Says what was drawn and what was there. */
CSL_MUST_CHECK enum csl_err csl_cert_keygen(struct csl_cli *cli, const char *dir, const char *name,
                                            const char *token, const struct csl_list *keys);

/* Where the private keys are: lines for people, or {"tls": ..., "wrap": ..., "sign": ...}. */
void csl_cert_print_keys(const struct csl_site *site);
json_t *csl_cert_keys_json(const struct csl_site *site);

#endif
