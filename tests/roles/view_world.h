/* A site that keeps views, for the tests of these. */
#ifndef CSL_TESTS_ROLES_VIEW_WORLD_H
#define CSL_TESTS_ROLES_VIEW_WORLD_H

#include "replay_world.h"

/* A party's site folder, and a session whose records are written into it. */
struct view_site {
    struct rw w;
    struct rw_session *s;
    struct csl_context *ctx;
    struct csl_package package;
    char dir[64];
    EVP_PKEY *wrap, *judge;
};
void view_site_open(struct view_site *t, uint32_t views_mib);
void view_site_close(struct view_site *t);

/* A file of the folder. */
void view_path(char out[256], const struct view_site *t, const char *name);
void view_write_file(const char *path, const char *bytes, size_t n);
/* How many of the folder's files end so ("view"); removes them where that is said. */
size_t view_each(const struct view_site *t, const char *end, bool remove_it);

/* A view of the session, under an id and a mask of which every byte is that. */
struct csl_view_writer *view_begin(const struct view_site *t, uint8_t id, uint8_t mask);
void view_add(struct csl_view_writer *v, const struct csl_record *r);
enum csl_err view_open_id(struct csl_view_reader **v, const struct view_site *t, uint8_t id,
                          struct csl_diag *diag);
/* Reads all; *n batches; complete. An error is returned. */
enum csl_err view_read_all(struct csl_view_reader *v, const struct view_site *t, size_t *n, bool *complete,
                           struct csl_diag *diag);

#endif
