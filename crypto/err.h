/* Error codes, readable details, and the two error-handling shapes of this project.
 *
 * Every fallible function returns enum csl_err. Where there is more to say (file, peer,
 * field, node, and what to do about it) it also fills a struct csl_diag, which is the
 * last argument and may be NULL. After an error, outputs are unchanged or zero.
 */
#ifndef CSL_CRYPTO_ERR_H
#define CSL_CRYPTO_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSL_MUST_CHECK __attribute__((warn_unused_result))

/* X(name, process exit code (sysexits), short text) */
#define CSL_ERR_LIST(X)                                                                                      \
    X(CSL_OK, 0, "ok")                                                                                       \
    X(CSL_EUSAGE, 64, "wrong usage")                                                                         \
    X(CSL_EDATA, 65, "input data is malformed or cannot be used")                                            \
    X(CSL_ENOINPUT, 66, "an input file does not exist or cannot be read")                                    \
    X(CSL_ENOHOST, 68, "a host name is unknown")                                                             \
    X(CSL_EUNAVAILABLE, 69, "a service, peer or dependency is not available")                                \
    X(CSL_EINTERNAL, 70, "internal error")                                                                   \
    X(CSL_EOS, 71, "the operating system refused")                                                           \
    X(CSL_ENOMEM, 71, "out of memory")                                                                       \
    X(CSL_ECREATE, 73, "an output file cannot be created")                                                   \
    X(CSL_EIO, 74, "input/output error")                                                                     \
    X(CSL_ETIMEOUT, 75, "a deadline passed; try again")                                                      \
    X(CSL_ESTALE, 75, "out of step with the peers; resynchronise and try again")                             \
    X(CSL_EBUSY, 75, "no capacity now; try again")                                                           \
    X(CSL_EPROTO, 76, "a peer sent what the protocol does not allow")                                        \
    X(CSL_EPEER, 76, "a peer failed or went away")                                                           \
    X(CSL_EAUTH, 77, "authentication or signature check failed")                                             \
    X(CSL_EPERM, 77, "the roster does not permit this")                                                      \
    X(CSL_ECONFIG, 78, "configuration or roster is wrong")

enum csl_err {
#define CSL_ERR_ENUM(name, exit_code, text) name,
    CSL_ERR_LIST(CSL_ERR_ENUM)
#undef CSL_ERR_ENUM
        CSL_ERR_COUNT
};

/* The enumerator's name ("CSL_EDATA") and its short text; never NULL. */
const char *csl_err_name(enum csl_err e);
const char *csl_err_text(enum csl_err e);

/* The documented process exit code of an error. */
int csl_err_exit_code(enum csl_err e);

/* One readable sentence about the first error, for people. Never holds a secret. */
struct csl_diag {
    char text[512];
};

/* Writes the sentence (truncated to fit) and returns e, so that a caller can
 * `return csl_fail(diag, CSL_EDATA, "%s: ...", path);`. diag may be NULL. */
enum csl_err csl_fail(struct csl_diag *diag, enum csl_err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the sentence that is already there. Returns e. */
enum csl_err csl_fail_context(struct csl_diag *diag, enum csl_err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns from the calling function with the error, where nothing is owned. */
#define TRY(expr)                                                                                            \
    do {                                                                                                     \
        enum csl_err try_err_ = (expr);                                                                      \
        if (try_err_ != CSL_OK) {                                                                            \
            return try_err_;                                                                                 \
        }                                                                                                    \
    } while (0)

/* Goes to the function's `out:` label with `err` set, where something is owned. */
#define TRY_OUT(expr)                                                                                        \
    do {                                                                                                     \
        err = (expr);                                                                                        \
        if (err != CSL_OK) {                                                                                 \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

#endif
