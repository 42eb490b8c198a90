/* The name of a site's ledger. */
#include <stdio.h>
#include <string.h>

#include "audit/verify.h"

static bool plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

void csl_audit_origin(char out[CSL_ORIGIN_MAX + 1], const char *consortium, const char *site) {
    char name[CSL_NOTE_NAME_MAX + 1];
    size_t n = strnlen(consortium, sizeof name - 1);
    for (size_t i = 0; i < n; i++) {
        name[i] = plain(consortium[i]) ? consortium[i] : '-';
    }
    name[n] = '\0';
    (void)snprintf(out, CSL_ORIGIN_MAX + 1, "consilium/%s/%.*s", name, CSL_NOTE_NAME_MAX - 16, site);
}
