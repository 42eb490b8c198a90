/* The key itself, for its file. */
#ifndef CSL_CHAIN_ACCOUNT_INTERNAL_H
#define CSL_CHAIN_ACCOUNT_INTERNAL_H

#include "chain/account.h"

enum { CSL__POINT_BYTES = 65 };

const uint8_t *csl__account_key(const struct csl_account *account);
const uint8_t *csl__account_point(const struct csl_account *account);

#endif
