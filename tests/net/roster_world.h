/* A correct roster, its text, and ways to spoil that. */
#ifndef TESTS_NET_ROSTER_WORLD_H
#define TESTS_NET_ROSTER_WORLD_H

#include "net/roster.h"

/* Between roster_setup and roster_teardown. */
extern struct csl_roster roster_base; /* hospital-a, hospital-b, hospital-c, dealer, lab, clinic */
extern char *roster_text;
extern struct csl_diag roster_diag; /* of the last call */
int roster_setup(void **state);
int roster_teardown(void **state);

/* ---- Building ---- */

/* Room for n members, two models and two connections; a CA of its own. */
void roster_start(struct csl_roster *r, size_t n_members);
void roster_add(struct csl_roster *r, const char *name, unsigned roles, const char *host);
X509 *roster_ca(void);

/* ---- Editing text: the caller frees ---- */

/* text with the first `old` exchanged */
char *text_edited(const char *text, const char *old, const char *new);
/* The first line that starts with `start`, and what is indented deeper below it; *n is its length. */
const char *text_field(const char *text, const char *start, size_t *n);
char *text_without(const char *text, const char *start);
char *text_twice(const char *text, const char *start);

/* ---- Reading ---- */

/* It must be refused with `part` in the sentence. */
void roster_refuse_bytes(const void *text, size_t n, const char *part);
/* These take the text over. */
void roster_refuse(char *text, const char *part);
void roster_accept(struct csl_roster *r, char *text);

#endif
