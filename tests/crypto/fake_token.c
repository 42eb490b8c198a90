#include "fake_token.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "crypto/cryptoki_internal.h"

enum { SLOT = 7, N_KEYS = 3, SESSIONS_MAX = 64, TLS = 0, WRAP = 1, SIGN = 2 };

static struct fake_token control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static EVP_PKEY *keys[N_KEYS], *others[N_KEYS];
static const char *const labels[N_KEYS] = {"tls", "wrap", "sign"};
static atomic_bool initialized, logged_in;

/* Objects: 1..3 private keys, 11..13 their public halves. */
struct session {
    bool open;
    csl__ck_ulong found[2 * N_KEYS], n_found, key, mechanism;
    unsigned char label[128];
    csl__ck_ulong n_label;
};
static struct session sessions[SESSIONS_MAX];

/* Keys are drawn here and not in C_Initialize, which has a deadline. */
struct fake_token *fake_token(void);
struct fake_token *fake_token(void) {
    for (int i = 0; i < N_KEYS && keys[i] == NULL; i++) {
        EVP_PKEY **pair[2] = {&keys[i], &others[i]};
        for (int k = 0; k < 2; k++) {
            *pair[k] = i == TLS    ? EVP_EC_gen("P-256")
                       : i == WRAP ? EVP_RSA_gen(3072)
                                   : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        }
    }
    return &control;
}

static csl__ck_rv initialize(struct csl__ck_initialize_args *args) {
    if (args == NULL || (args->flags & CSL__CKF_OS_LOCKING_OK) == 0) {
        return CSL__CKR_ARGUMENTS_BAD;
    }
    control.n_initialize++;
    return atomic_exchange(&initialized, true) ? CSL__CKR_CRYPTOKI_ALREADY_INITIALIZED : CSL__CKR_OK;
}

static csl__ck_rv finalize(void *reserved) {
    (void)reserved;
    control.n_finalize++;
    initialized = logged_in = false;
    memset(sessions, 0, sizeof sessions);
    return CSL__CKR_OK;
}

static csl__ck_rv get_slot_list(csl__ck_byte with_token, csl__ck_ulong *slots, csl__ck_ulong *n) {
    (void)with_token;
    *n = control.absent ? 0 : 1;
    slots[0] = SLOT;
    return initialized ? CSL__CKR_OK : CSL__CKR_CRYPTOKI_NOT_INITIALIZED;
}

static csl__ck_rv get_token_info(csl__ck_ulong slot, struct csl__ck_token_info *info) {
    memset(info, ' ', sizeof *info);
    memcpy(info->label, FAKE_LABEL, strlen(FAKE_LABEL));
    info->flags = CSL__CKF_LOGIN_REQUIRED | control.flags;
    return slot == SLOT ? CSL__CKR_OK : CSL__CKR_SLOT_ID_INVALID;
}

static csl__ck_rv open_session(csl__ck_ulong slot, csl__ck_ulong flags, void *application, void *notify,
                               csl__ck_ulong *session) {
    (void)slot, (void)flags, (void)application, (void)notify;
    csl__ck_rv rv = CSL__CKR_SESSION_COUNT;
    (void)pthread_mutex_lock(&lock);
    for (csl__ck_ulong i = 0; i < SESSIONS_MAX && rv != CSL__CKR_OK; i++) {
        if (!sessions[i].open) {
            sessions[i] = (struct session){.open = true};
            *session = i + 1;
            rv = CSL__CKR_OK;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    return rv;
}

static struct session *at(csl__ck_ulong handle) {
    struct session *s = handle == 0 || handle > SESSIONS_MAX ? NULL : &sessions[handle - 1];
    return s != NULL && s->open ? s : NULL;
}

static csl__ck_rv close_session(csl__ck_ulong handle) {
    struct session *s = at(handle);
    (void)pthread_mutex_lock(&lock);
    if (s != NULL) {
        s->open = false;
    }
    (void)pthread_mutex_unlock(&lock);
    return s != NULL ? CSL__CKR_OK : CSL__CKR_SESSION_HANDLE_INVALID;
}

static csl__ck_rv login(csl__ck_ulong session, csl__ck_ulong user, csl__ck_byte *pin, csl__ck_ulong n) {
    (void)session;
    bool good = user == CSL__CKU_USER && n == strlen(FAKE_PIN) && memcmp(pin, FAKE_PIN, n) == 0;
    if (logged_in) {
        return CSL__CKR_USER_ALREADY_LOGGED_IN;
    }
    control.n_login++;
    logged_in = good;
    return good ? CSL__CKR_OK : CSL__CKR_PIN_INCORRECT;
}

/* ---- Objects ---- */

static csl__ck_rv give(struct csl__ck_attribute *a, const void *p, csl__ck_ulong n) {
    if (n > a->n) {
        return CSL__CKR_GENERAL_ERROR;
    }
    memcpy(a->value, p, n);
    a->n = n;
    return CSL__CKR_OK;
}

static csl__ck_rv give_number(struct csl__ck_attribute *a, csl__ck_ulong x) {
    return give(a, &x, sizeof x);
}

static csl__ck_rv give_bn(struct csl__ck_attribute *a, EVP_PKEY *key, const char *param) {
    unsigned char bytes[512];
    BIGNUM *x = NULL;
    if (EVP_PKEY_get_bn_param(key, param, &x) != 1) {
        return CSL__CKR_GENERAL_ERROR;
    }
    int n = BN_bn2bin(x, bytes);
    BN_free(x);
    return give(a, bytes, (csl__ck_ulong)n);
}

static csl__ck_rv give_point(struct csl__ck_attribute *a, EVP_PKEY *key) {
    unsigned char der[128] = {0x04};
    size_t n = 0;
    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, der + 2, sizeof der - 2, &n) != 1) {
        return CSL__CKR_GENERAL_ERROR;
    }
    der[1] = (unsigned char)n;
    return give(a, der, n + 2);
}

static csl__ck_rv get_attribute(csl__ck_ulong object, struct csl__ck_attribute *a) {
    static const unsigned char p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    bool is_public = object > 10;
    csl__ck_ulong i = (is_public ? object - 10 : object) - 1;
    unsigned char id = (unsigned char)(i + 1);
    if (i >= N_KEYS) {
        return CSL__CKR_OBJECT_HANDLE_INVALID;
    }
    EVP_PKEY *key = control.foreign ? others[i] : keys[i];
    switch (a->type) {
    case CSL__CKA_ID:
        return give(a, &id, 1);
    case CSL__CKA_LABEL:
        return give(a, labels[i], strlen(labels[i]));
    case CSL__CKA_KEY_TYPE:
        return give_number(a, i == TLS ? CSL__CKK_EC : i == WRAP ? CSL__CKK_RSA : CSL__CKK_EC_EDWARDS);
    case CSL__CKA_MODULUS:
        return is_public ? give_bn(a, key, OSSL_PKEY_PARAM_RSA_N) : CSL__CKR_ATTRIBUTE_TYPE_INVALID;
    case CSL__CKA_PUBLIC_EXPONENT:
        return is_public ? give_bn(a, key, OSSL_PKEY_PARAM_RSA_E) : CSL__CKR_ATTRIBUTE_TYPE_INVALID;
    case CSL__CKA_EC_PARAMS:
        return give(a, p256, sizeof p256);
    case CSL__CKA_EC_POINT:
        return is_public ? give_point(a, key) : CSL__CKR_ATTRIBUTE_TYPE_INVALID;
    default:
        return CSL__CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static csl__ck_rv get_attributes(csl__ck_ulong session, csl__ck_ulong object, struct csl__ck_attribute *a,
                                 csl__ck_ulong n) {
    return at(session) == NULL ? CSL__CKR_SESSION_HANDLE_INVALID
           : n != 1            ? CSL__CKR_ARGUMENTS_BAD
                               : get_attribute(object, a);
}

static bool fits(csl__ck_ulong object, const struct csl__ck_attribute *a) {
    unsigned char bytes[128];
    if (a->type == CSL__CKA_CLASS) {
        csl__ck_ulong class;
        memcpy(&class, a->value, sizeof class);
        return class == (object > 10 ? CSL__CKO_PUBLIC_KEY : CSL__CKO_PRIVATE_KEY) &&
               (object < 10 || !control.no_public);
    }
    struct csl__ck_attribute own = {a->type, bytes, sizeof bytes};
    return get_attribute(object, &own) == CSL__CKR_OK && own.n == a->n && memcmp(bytes, a->value, a->n) == 0;
}

static csl__ck_rv find_init(csl__ck_ulong session, struct csl__ck_attribute *a, csl__ck_ulong n) {
    struct session *s = at(session);
    if (s == NULL) {
        return CSL__CKR_SESSION_HANDLE_INVALID;
    }
    s->n_found = 0;
    for (csl__ck_ulong k = 0; k < 2 * N_KEYS; k++) {
        csl__ck_ulong object = k < N_KEYS ? k + 1 : k - N_KEYS + 11, i = 0;
        while (i < n && fits(object, &a[i])) {
            i++;
        }
        if (i == n && logged_in) {
            s->found[s->n_found++] = object;
        }
    }
    return CSL__CKR_OK;
}

static csl__ck_rv find(csl__ck_ulong session, csl__ck_ulong *objects, csl__ck_ulong max, csl__ck_ulong *n) {
    struct session *s = at(session);
    *n = s->n_found < max ? s->n_found : max;
    memcpy(objects, s->found, *n * sizeof *objects);
    return CSL__CKR_OK;
}

static csl__ck_rv find_final(csl__ck_ulong session) {
    return at(session) == NULL ? CSL__CKR_SESSION_HANDLE_INVALID : CSL__CKR_OK;
}

/* ---- Keys in use ---- */

static csl__ck_rv trouble(csl__ck_ulong session) {
    control.n_used++;
    while (control.hang) {
        (void)sched_yield();
    }
    if (control.absent) {
        return CSL__CKR_DEVICE_REMOVED;
    }
    if (control.fail_times > 0) {
        control.fail_times--;
        if (control.fail == CSL__CKR_CRYPTOKI_NOT_INITIALIZED) {
            initialized = logged_in = false;
        }
        return control.fail;
    }
    return !initialized          ? CSL__CKR_CRYPTOKI_NOT_INITIALIZED
           : at(session) == NULL ? CSL__CKR_SESSION_HANDLE_INVALID
           : !logged_in          ? CSL__CKR_USER_NOT_LOGGED_IN
                                 : CSL__CKR_OK;
}

static csl__ck_rv begin(csl__ck_ulong session, struct csl__ck_mechanism *m, csl__ck_ulong key) {
    csl__ck_rv rv = trouble(session);
    struct session *s = at(session);
    if (rv != CSL__CKR_OK) {
        return rv;
    }
    if ((m->mechanism == CSL__CKM_RSA_PKCS_OAEP && !control.oaep) ||
        (m->mechanism == CSL__CKM_RSA_X_509 && !control.bare_rsa)) {
        return CSL__CKR_MECHANISM_INVALID;
    }
    s->mechanism = m->mechanism;
    s->key = key - 1;
    if (m->mechanism == CSL__CKM_RSA_PKCS_OAEP) {
        const struct csl__ck_oaep *p = m->parameter;
        if (p->hash != CSL__CKM_SHA256 || p->mgf != CSL__CKG_MGF1_SHA256 || p->n_label > sizeof s->label) {
            return CSL__CKR_MECHANISM_PARAM_INVALID;
        }
        memcpy(s->label, p->label, p->n_label);
        s->n_label = p->n_label;
    }
    return key >= 1 && key <= N_KEYS ? CSL__CKR_OK : CSL__CKR_KEY_HANDLE_INVALID;
}

static bool oaep_padding(EVP_PKEY_CTX *ctx, const struct session *s) {
    void *label = OPENSSL_memdup(s->label, s->n_label);
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, label, (int)s->n_label) == 1;
}

static csl__ck_rv decrypt(csl__ck_ulong session, csl__ck_byte *in, csl__ck_ulong n_in, csl__ck_byte *out,
                          csl__ck_ulong *n_out) {
    struct session *s = at(session);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, keys[s->key], NULL);
    size_t n = *n_out;
    bool ok =
        ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 &&
        (s->mechanism == CSL__CKM_RSA_PKCS_OAEP ? oaep_padding(ctx, s)
                                                : EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1) &&
        EVP_PKEY_decrypt(ctx, out, &n, in, n_in) == 1;
    EVP_PKEY_CTX_free(ctx);
    *n_out = n;
    return ok ? CSL__CKR_OK : CSL__CKR_GENERAL_ERROR; /* a token may say no more than that of bad padding */
}

static csl__ck_rv sign_digest(EVP_PKEY *key, const csl__ck_byte *in, csl__ck_ulong n_in, csl__ck_byte *out) {
    unsigned char der[80];
    const unsigned char *p = der;
    size_t n = sizeof der;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_sign(ctx, der, &n, in, n_in) == 1;
    ECDSA_SIG *sig = ok ? d2i_ECDSA_SIG(NULL, &p, (long)n) : NULL;
    ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32 &&
         BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    EVP_PKEY_CTX_free(ctx);
    return ok ? CSL__CKR_OK : CSL__CKR_GENERAL_ERROR;
}

static csl__ck_rv sign(csl__ck_ulong session, csl__ck_byte *in, csl__ck_ulong n_in, csl__ck_byte *out,
                       csl__ck_ulong *n_out) {
    struct session *s = at(session);
    size_t n = 64;
    *n_out = n;
    if (s->mechanism == CSL__CKM_ECDSA) {
        return sign_digest(keys[s->key], in, n_in, out);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, keys[s->key]) == 1 &&
              EVP_DigestSign(ctx, out, &n, in, n_in) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? CSL__CKR_OK : CSL__CKR_GENERAL_ERROR;
}

static csl__ck_rv generate_key_pair(csl__ck_ulong session, struct csl__ck_mechanism *m,
                                    struct csl__ck_attribute *pub, csl__ck_ulong n_pub,
                                    struct csl__ck_attribute *priv, csl__ck_ulong n_priv,
                                    csl__ck_ulong *pub_key, csl__ck_ulong *priv_key) {
    (void)session, (void)m, (void)pub, (void)n_pub, (void)priv, (void)n_priv, (void)pub_key, (void)priv_key;
    return CSL__CKR_DEVICE_MEMORY;
}

csl__ck_get_function_list C_GetFunctionList;
csl__ck_rv C_GetFunctionList(struct csl__ck_functions **list) {
    static struct csl__ck_functions functions = {
        .version = {2, 40},
        .initialize = initialize,
        .finalize = finalize,
        .get_slot_list = get_slot_list,
        .get_token_info = get_token_info,
        .open_session = open_session,
        .close_session = close_session,
        .login = login,
        .get_attributes = get_attributes,
        .find_init = find_init,
        .find = find,
        .find_final = find_final,
        .decrypt_init = begin,
        .decrypt = decrypt,
        .sign_init = begin,
        .sign = sign,
        .generate_key_pair = generate_key_pair,
    };
    *list = &functions;
    return CSL__CKR_OK;
}
