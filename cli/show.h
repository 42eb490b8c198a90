/* What cert and roster show of keys and certificates. */
#ifndef CSL_CLI_SHOW_H
#define CSL_CLI_SHOW_H

#include <jansson.h>

#include "crypto/cert.h"

enum { CSL_HEX32_TEXT = 65, CSL_TIME_TEXT = 24 };

/* 64 hex digits; returns buf. */
char *csl_hex32(char buf[CSL_HEX32_TEXT], const uint8_t bytes[32]);

/* "2027-01-31T12:00:00Z"; returns buf. */
char *csl_time_text(char buf[CSL_TIME_TEXT], int64_t unix_seconds);

/* Whole days from now on, rounded down; negative when past. */
int64_t csl_days_left(int64_t unix_seconds);

/* {"name", "not_before", "not_after", "days_left", "tls_spki_sha256"}; NULL without memory. */
json_t *csl_cert_json(X509 *cert);

/* "certificate   valid until ... (42 days)", with what to do when that is soon or past. */
void csl_cert_print_expiry(X509 *cert);

#endif
