/* Tokens inside the library: modules, sessions with deadlines, keys. See crypto/token.h.
 *
 * A module may block for as long as it likes, and cannot be interrupted. So it is only ever called from the
 * token's own threads (at most CSL__TOKEN_WORKERS, each with a session); who wants something done hands over
 * a call, and waits for it until a deadline. A call that is late is abandoned to its worker; until a worker
 * answers again, further calls fail at once. */
#ifndef CSL_CRYPTO_TOKEN_INTERNAL_H
#define CSL_CRYPTO_TOKEN_INTERNAL_H

#include <openssl/evp.h>
#include <stdatomic.h>

#include "crypto/cryptoki_internal.h"
#include "crypto/files_internal.h"
#include "crypto/token.h"

enum {
    CSL__TOKEN_WORKERS = 4,
    CSL__TOKEN_PIN_MAX = 255,
    CSL__TOKEN_OUT_MAX = 2048, /* bytes of a result: an RSA block of 16384 bits */
    /* How many times the token's timeout a call may take. */
    CSL__TOKEN_USE = 1,
    CSL__TOKEN_OPEN = 3,
    CSL__TOKEN_GENERATE = 24
};

/* ---- Modules (crypto/token_module.c) ---- */

struct csl__module {
    struct csl__module *next;
    char *path;
    void *handle;
    struct csl__ck_functions *f;
    unsigned refs;
    bool initialized, ours; /* ours: not initialised by somebody else in the process */
};

/* What a module said, as text; never NULL. */
const char *csl__ck_text(csl__ck_rv rv);

/* Loads path, or takes another reference. Called by workers only: loading runs the module's code. */
CSL_MUST_CHECK enum csl_err csl__module_open(struct csl__module **m, const char *path, struct csl_diag *diag);
/* Calls C_Initialize when it has to be (first use, after fork, after the module lost its state). */
CSL_MUST_CHECK enum csl_err csl__module_ready(struct csl__module *m, struct csl_diag *diag);
/* The module says that it is not initialised: the next csl__module_ready does it again. */
void csl__module_lost(struct csl__module *m);
/* Drops a reference; the last one finalises and unloads. m may be NULL. */
void csl__module_close(struct csl__module *m);
/* In the child of a fork: no module is initialised. */
void csl__module_forked(void);

/* ---- Tokens and calls (crypto/token.c, crypto/token_call.c) ---- */

struct csl__token;

/* A worker's session. */
struct csl__token_session {
    struct csl__token *token;
    struct csl__module *module;
    struct csl__ck_functions *f; /* the module's */
    csl__ck_ulong slot, handle;
    bool open, lost; /* lost: the session, or what was known of the token, is of no more use */
    bool gone;       /* the module does not see the token */
    unsigned reset;  /* the token's, when the module was opened */
};

/* Key material of a private key in the token. Counted. */
struct csl__token_key {
    struct csl__token *token;
    struct csl_token_uri uri;
    char path[CSL__PATH_MAX]; /* the key's file, for errors */
    EVP_PKEY *pub;            /* a key of OpenSSL's own */
    bool raw_rsa;             /* OAEP is decoded here, since the token cannot do it as we need it */
    bool extractable;
    csl__ck_ulong handle; /* of the object, while found_in is the token's epoch; with the token's lock */
    unsigned found_in;
    atomic_uint refs;
};

struct csl__token_call;
typedef csl__ck_rv csl__token_op(struct csl__token_session *s, struct csl__token_call *c);

/* Something to be done by a worker; secret memory, since results may be secret. Counted: a caller that does
 * not wait any longer leaves it to the worker. */
struct csl__token_call {
    csl__token_op *op;
    struct csl__token_key *key; /* counted */
    csl__ck_ulong mechanism;
    enum csl_token_kind kind; /* of a key to be drawn */
    bool flag;                /* result: there is such a key; it is extractable; the block was good */
    uint8_t label[128];       /* of OAEP */
    size_t n_label;
    uint8_t *in; /* owned */
    size_t n_in;
    uint8_t out[CSL__TOKEN_OUT_MAX];
    size_t n_out;
    EVP_PKEY *found;  /* owned: the public half */
    enum csl_err err; /* set by the op where rv is CKR_OK or says too little */
    struct csl_diag diag;
    struct csl__token_call *next;
    unsigned refs; /* these three with the token's lock */
    bool started, done;
};

/* The token that uri names; opened by its first call. path: of a key file, for its folder and for errors.
 * Uses of the same token share its sessions. */
CSL_MUST_CHECK enum csl_err csl__token_open(struct csl__token **t, const struct csl_token_uri *uri,
                                            const char *path, struct csl_diag *diag);
/* by_worker: on a worker of this token, which cannot wait for itself. */
void csl__token_close(struct csl__token *t, bool by_worker);

/* What people call the token that a URI names. */
const char *csl__token_name(const struct csl_token_uri *uri);

/* Login and slot, in crypto/token_session.c. */
CSL_MUST_CHECK enum csl_err csl__session_ready(struct csl__token_session *s, struct csl_diag *diag);
void csl__session_drop(struct csl__token_session *s);
/* What an rv means; remembers a lost session. */
enum csl_err csl__session_fail(struct csl__token_session *s, csl__ck_rv rv, const char *what,
                               struct csl_diag *diag);

/* A call about a key, with room for n_in bytes; NULL without memory. */
struct csl__token_call *csl__token_call_new(struct csl__token_key *key, csl__token_op *op, size_t n_in);
void csl__token_call_free(struct csl__token_call *c);

/* Runs c on a worker, for at most times the token's timeout. A lost session is opened again, once. Errors
 * name the key's file and the token. */
CSL_MUST_CHECK enum csl_err csl__token_run(struct csl__token_call *c, unsigned times, struct csl_diag *diag);

/* The key's object where it is known still; else the op finds it, and says so. */
bool csl__token_handle(csl__ck_ulong *handle, struct csl__token_key *k);
void csl__token_handle_found(struct csl__token_key *k, csl__ck_ulong handle);

/* ---- Keys (crypto/token_key.c, crypto/token_find.c) ---- */

/* The token's key behind an EVP_PKEY; NULL when its private half is not in a token. Borrowed. */
struct csl__token_key *csl__token_key_of(const EVP_PKEY *key);
void csl__token_key_ref(struct csl__token_key *k);
void csl__token_key_unref(struct csl__token_key *k, bool by_worker);

/* The key's object, found where that must be. */
csl__ck_rv csl__token_key_handle(csl__ck_ulong *handle, struct csl__token_session *s,
                                 struct csl__token_call *c);
csl__token_op csl__token_op_find, csl__token_op_exists, csl__token_op_generate;

/* sig = signature over p[0..n): Ed25519 (64 bytes) or, of a P-256 key and a digest of 32 bytes, r | s. */
CSL_MUST_CHECK enum csl_err csl__token_sign(uint8_t sig[64], struct csl__token_key *k, const uint8_t *p,
                                            size_t n, struct csl_diag *diag);

/* RSA-OAEP with SHA-256. An error only when the token failed. *ok is 1 when the block is good, else 0
 * (without a branch on it): then out[0..*n) is the plaintext. out has room for CSL__TOKEN_OUT_MAX bytes. */
CSL_MUST_CHECK enum csl_err csl__token_unwrap(uint8_t *out, size_t *n, int *ok, struct csl__token_key *k,
                                              const uint8_t *wrapped, size_t n_wrapped, const char *label,
                                              struct csl_diag *diag);

/* The DER of an ECDSA signature r | s; its length, or <= 0. *der is freed with OPENSSL_free. */
int csl__token_ecdsa_der(unsigned char **der, const uint8_t pair[64]);

/* An EVP_PKEY whose ECDSA is the token's (crypto/token_provider.c); NULL when OpenSSL refuses. */
EVP_PKEY *csl__token_provider_key(struct csl__token_key *k);

#endif
