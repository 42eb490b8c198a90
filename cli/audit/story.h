/* One entry of a ledger, told to people and as JSON. */
#ifndef CSL_CLI_AUDIT_STORY_H
#define CSL_CLI_AUDIT_STORY_H

#include <jansson.h>

#include "audit/leaf.h"

enum { CSL_STORY_MAX = 4096, CSL_STORY_SESSIONS = 1024 };

/* Sessions by their statements' digests, learned as they are opened. The oldest are forgotten. */
struct csl_story {
    struct csl_story_session {
        uint8_t digest[32], id[16], package[32];
    } sessions[CSL_STORY_SESSIONS];
    size_t n_sessions;
    uint8_t kept[16];
};
void csl_story_learn(struct csl_story *s, const csl_leaf *leaf);
/* The session id that an entry is of, or NULL. Valid until the next call with this story. */
const uint8_t *csl_story_session_of(struct csl_story *s, const csl_leaf *leaf);

/* What it is ("session opened"). */
const char *csl_story_kind(const csl_leaf *leaf);
/* What the entry says, in lines; each line is a fact. */
void csl_story_tell(char out[CSL_STORY_MAX], struct csl_story *s, const csl_leaf *leaf);
/* The same as {"kind", ...}; NULL without memory. */
json_t *csl_story_json(struct csl_story *s, const csl_leaf *leaf);

#endif
