/* What a roster's file holds, as libcyaml reads it: words whose values nobody has looked at yet. */
#ifndef CSL_NET_ROSTER_RAW_INTERNAL_H
#define CSL_NET_ROSTER_RAW_INTERNAL_H

#include "net/roster_internal.h"

struct csl__raw_member {
    char *name, *role, *address, *tls_spki, *wrap_key, *sign_key, *account;
    char **roles;
    uint32_t roles_count;
};
struct csl__raw_model {
    char *name, *owner, *reveal;
    char **clients;
    uint32_t clients_count;
};
struct csl__raw_connection {
    char *from, *to;
};
struct csl__raw_numbers { /* as words: libcyaml reads 4.5 and '' as numbers */
    char *value[CSL__N_TIMEOUTS];
};
struct csl__raw_audit {
    char *sign;
    struct csl__raw_numbers numbers;
};
struct csl__raw_chain {
    char *id, *contract;
    struct csl__raw_numbers numbers;
};
struct csl__raw_roster {
    char *version, *consortium, *ca;
    struct csl__raw_member *members;
    uint32_t members_count;
    struct csl__raw_model *models;
    uint32_t models_count;
    struct csl__raw_connection *connections;
    uint32_t connections_count;
    struct csl__raw_numbers *timeouts, *limits;
    struct csl__raw_audit *audit;
    struct csl__raw_chain *chain;
};

/* Of scanned text (csl__roster_scan). What does not fit the schema is CSL_ECONFIG. */
CSL_MUST_CHECK enum csl_err csl__roster_raw_load(struct csl__raw_roster **raw,
                                                 const struct csl__roster_text *t);
void csl__roster_raw_free(struct csl__raw_roster *raw);

#endif
