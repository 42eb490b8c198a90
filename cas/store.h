/* A content-addressed store: files are put, named by their CID, and fetched by it.
 *
 * One interface, chosen by the place that is given:
 *     DIR                    blocks in a folder: DIR/blocks/XY/CID, where XY are the two characters before
 * the CID's last; each written through to the disk before the next that names it http[s]://HOST[:PORT]  a
 * Kubo node's HTTP RPC: /api/v0/add and /api/v0/cat http[s]://HOST/ipfs    a gateway: GET /ipfs/CID; can only
 * be read The last two need a build with libcurl (CSL_HAVE_CAS); without it they are CSL_EUNAVAILABLE.
 *
 * No store is trusted. What is put gets the CID that we compute, and another answer is an error; what is
 * fetched has been found to be what the CID names before its file has a name. Blocks prove it themselves. A
 * node gives bytes alone: they are imported again, in both profiles, and one must give the CID. A file that
 * was imported in another way is proven by a SHA-256 that the caller has from elsewhere, or not at all.
 *
 * Errors, beside those of net/http/http.h and cas/unixfs.h: CSL_ENOINPUT no such block or file; CSL_EPROTO a
 * node's answer is none, or it made another CID; CSL_EAUTH what came is not what the CID names; CSL_EDATA it
 * is larger than allowed. Each sentence names the store. Nothing secret is put: the caller sees to that.
 */
#ifndef CSL_CAS_STORE_H
#define CSL_CAS_STORE_H

#include "cas/unixfs.h"

struct csl_cas_options {
    const char *ca_file; /* PEM roots for https; NULL: the system's */
    uint32_t total_ms;   /* a whole transfer; 0: 10 min */
    uint32_t idle_ms;    /* the longest time without a byte; 0: 2 min */
    bool unpinned;       /* a node may forget what is put */
};

struct csl_cas;
/* place and options' strings are copied. A folder is made when something is put there. */
CSL_MUST_CHECK enum csl_err csl_cas_open(struct csl_cas **out, const char *place,
                                         const struct csl_cas_options *options, struct csl_diag *diag);
void csl_cas_close(struct csl_cas *c); /* NULL is allowed */
/* For messages: the folder, or the URL without credentials. */
const char *csl_cas_place(const struct csl_cas *c);

struct csl_cas_file {
    struct csl_cid cid;
    uint8_t sha256[CSL_SHA256_BYTES];
    uint64_t n_bytes;
    bool cid_proven; /* else only sha256 is, because the caller gave it */
};

/* Puts the file at path, which must have this SHA-256 (NULL: any); *out describes it. The file is read once
 * and never held in memory. CSL_EDATA: it changed while it was read. */
CSL_MUST_CHECK enum csl_err csl_cas_put(struct csl_cas *c, struct csl_cas_file *out, const char *path,
                                        const struct csl_unixfs_profile *profile,
                                        const uint8_t sha256[CSL_SHA256_BYTES], struct csl_diag *diag);

/* The same with n bytes in memory, for who has looked at them: nothing else can be put in their place. name
 * is for messages. */
CSL_MUST_CHECK enum csl_err csl_cas_put_bytes(struct csl_cas *c, struct csl_cas_file *out,
                                              const uint8_t *bytes, size_t n, const char *name,
                                              const struct csl_unixfs_profile *profile,
                                              struct csl_diag *diag);

/* Says whether a file that was fetched, still under a passing name, is to be kept. */
typedef enum csl_err csl_cas_check(void *arg, const char *path, const struct csl_cas_file *file,
                                   struct csl_diag *diag);

/* Fetches cid into the file `path`, at most max_bytes; it is there, whole and on the disk, only when all is
 * well, and takes the place of an older one. sha256 (NULL: none) is a digest that the file may be proven by
 * where the CID cannot be computed. check may be NULL. */
CSL_MUST_CHECK enum csl_err csl_cas_get(struct csl_cas *c, struct csl_cas_file *out, const char *path,
                                        const struct csl_cid *cid, uint64_t max_bytes,
                                        const uint8_t sha256[CSL_SHA256_BYTES], csl_cas_check *check,
                                        void *check_arg, struct csl_diag *diag);

#endif
