/* The audit's commands over a consortium of real processes (world.h): bundles, views, and what a judge says.
 */
#ifndef CSL_TESTS_ROLES_JUDGE_H
#define CSL_TESTS_ROLES_JUDGE_H

#include <jansson.h>

#include "world.h"

enum { SESSION_TEXT = 33, ROOM = 1200 };

/* A file beside the sites' folders. */
void judge_file(char out[ROOM], const struct world *w, const char *name);
/* A judge's key, and its folder. */
void judge_open(char dir[ROOM], const struct world *w, const char *name);
/* The last session of every party, once it is closed, and its id: N.bundle. */
void judge_export(struct world *w, char session[SESSION_TEXT]);
/* `audit verify` over these and the dealer's. */
void judge_verify_is(struct world *w, int want, unsigned batches, unsigned inferences);
/* consent may be NULL. */
/* The verdict over the parties' alone (-1: any but attributable), and who is accused (NULL: nobody). */
void judge_accuses(struct world *w, int want, const char *who, const char *word);
enum csl_err judge_open_view(struct world *w, const char *party, const char *session, const char *key,
                             const char *consent, const char *out, struct csl_diag *diag);
void judge_consent(struct world *w, const char *party, const char *session, const char *key, const char *out);
/* With the bundles of judge_export; doc is the report. */
enum csl_err judge_replay(struct world *w, const char *party, const char *view, const char *judge,
                          json_t **doc, int *code, struct csl_diag *diag);
enum csl_err judge_replay_fails(struct world *w, const char *party, const char *view, const char *judge,
                                struct csl_diag *diag);
/* who NULL: nobody is named; else in the session's first batch. */
void judge_verdict_is(struct world *w, const char *party, const char *view, const char *judge, int want,
                      const char *who, int round, const char *step);

#endif
