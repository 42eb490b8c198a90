/* A PKCS#11 module for tests (fake_token.c): one token with three keys, which misbehaves as it is told. */
#ifndef CSL_TESTS_CRYPTO_FAKE_TOKEN_H
#define CSL_TESTS_CRYPTO_FAKE_TOKEN_H

#include <stdatomic.h>
#include <stdbool.h>

#define FAKE_LABEL "fake"
#define FAKE_PIN "98765432"

/* All of it may be changed and read at any time. */
struct fake_token {
    atomic_ulong flags;    /* of the token, beside CKF_LOGIN_REQUIRED */
    atomic_bool absent;    /* no slot has a token */
    atomic_bool oaep;      /* the token can do OAEP with SHA-256 and a label */
    atomic_bool bare_rsa;  /* and RSA without padding */
    atomic_bool foreign;   /* public halves are of other keys */
    atomic_bool no_public; /* there are no public keys */
    atomic_bool hang;      /* operations with a key do not return while this is set */
    atomic_ulong fail;     /* what they return, fail_times times */
    atomic_int fail_times;
    atomic_int n_login, n_initialize, n_finalize, n_used; /* what was called */
};

/* The module's symbol "fake_token". */
typedef struct fake_token *fake_token_control(void);

#endif
