/* The part of PKCS#11 ("Cryptoki", OASIS, version 2.40) that crypto/token*.c use: types, constants, and the
 * function list in its order. Pointers that we never call stand as CSL__CK_UNUSED, so that the others are in
 * their places (tests/crypto/token_abi.c compares them with another header where there is one). */
#ifndef CSL_CRYPTO_CRYPTOKI_INTERNAL_H
#define CSL_CRYPTO_CRYPTOKI_INTERNAL_H

typedef unsigned char csl__ck_byte;
typedef unsigned long csl__ck_ulong;
typedef unsigned long csl__ck_rv;

/* Return values. */
#define CSL__CKR_LIST(X)                                                                                     \
    X(OK, 0x000UL, "ok")                                                                                     \
    X(HOST_MEMORY, 0x002UL, "out of memory")                                                                 \
    X(SLOT_ID_INVALID, 0x003UL, "no such slot")                                                              \
    X(GENERAL_ERROR, 0x005UL, "general error")                                                               \
    X(FUNCTION_FAILED, 0x006UL, "function failed")                                                           \
    X(ARGUMENTS_BAD, 0x007UL, "bad arguments")                                                               \
    X(ATTRIBUTE_SENSITIVE, 0x011UL, "attribute is sensitive")                                                \
    X(ATTRIBUTE_TYPE_INVALID, 0x012UL, "no such attribute")                                                  \
    X(ATTRIBUTE_VALUE_INVALID, 0x013UL, "bad attribute value")                                               \
    X(DEVICE_ERROR, 0x030UL, "device error")                                                                 \
    X(DEVICE_MEMORY, 0x031UL, "the token is full")                                                           \
    X(DEVICE_REMOVED, 0x032UL, "the token was removed")                                                      \
    X(FUNCTION_CANCELED, 0x050UL, "cancelled")                                                               \
    X(FUNCTION_NOT_SUPPORTED, 0x054UL, "not supported")                                                      \
    X(KEY_HANDLE_INVALID, 0x060UL, "the key is gone")                                                        \
    X(KEY_TYPE_INCONSISTENT, 0x063UL, "key of another type")                                                 \
    X(KEY_FUNCTION_NOT_PERMITTED, 0x068UL, "the key's attributes do not allow it")                           \
    X(MECHANISM_INVALID, 0x070UL, "mechanism not supported")                                                 \
    X(MECHANISM_PARAM_INVALID, 0x071UL, "mechanism parameter not supported")                                 \
    X(OBJECT_HANDLE_INVALID, 0x082UL, "the object is gone")                                                  \
    X(OPERATION_ACTIVE, 0x090UL, "operation active")                                                         \
    X(PIN_INCORRECT, 0x0A0UL, "wrong PIN")                                                                   \
    X(PIN_INVALID, 0x0A1UL, "invalid PIN")                                                                   \
    X(PIN_LEN_RANGE, 0x0A2UL, "PIN too short or too long")                                                   \
    X(PIN_EXPIRED, 0x0A3UL, "the PIN has expired")                                                           \
    X(PIN_LOCKED, 0x0A4UL, "the PIN is locked")                                                              \
    X(SESSION_CLOSED, 0x0B0UL, "session closed")                                                             \
    X(SESSION_COUNT, 0x0B1UL, "the token has no session left")                                               \
    X(SESSION_HANDLE_INVALID, 0x0B3UL, "session lost")                                                       \
    X(TEMPLATE_INCONSISTENT, 0x0D1UL, "template refused")                                                    \
    X(TOKEN_NOT_PRESENT, 0x0E0UL, "no token in the slot")                                                    \
    X(TOKEN_NOT_RECOGNIZED, 0x0E1UL, "token not recognised")                                                 \
    X(TOKEN_WRITE_PROTECTED, 0x0E2UL, "the token is write-protected")                                        \
    X(USER_ALREADY_LOGGED_IN, 0x100UL, "logged in already")                                                  \
    X(USER_NOT_LOGGED_IN, 0x101UL, "not logged in")                                                          \
    X(USER_PIN_NOT_INITIALIZED, 0x102UL, "the token has no user PIN yet")                                    \
    X(CRYPTOKI_NOT_INITIALIZED, 0x190UL, "module not initialised")                                           \
    X(CRYPTOKI_ALREADY_INITIALIZED, 0x191UL, "module initialised already")

enum {
#define CSL__CKR_ENUM(name, value, text) CSL__CKR_##name = (int)(value),
    CSL__CKR_LIST(CSL__CKR_ENUM)
#undef CSL__CKR_ENUM
};

enum {
    CSL__CKF_OS_LOCKING_OK = 0x2, /* C_Initialize */
    CSL__CKF_RW_SESSION = 0x2,    /* C_OpenSession */
    CSL__CKF_SERIAL_SESSION = 0x4,
    CSL__CKF_LOGIN_REQUIRED = 0x4, /* token */
    CSL__CKF_PROTECTED_AUTHENTICATION_PATH = 0x100,
    CSL__CKF_USER_PIN_FINAL_TRY = 0x20000,
    CSL__CKF_USER_PIN_LOCKED = 0x40000,
    CSL__CKU_USER = 1,

    CSL__CKO_CERTIFICATE = 1,
    CSL__CKO_PUBLIC_KEY = 2,
    CSL__CKO_PRIVATE_KEY = 3,
    CSL__CKK_RSA = 0x00,
    CSL__CKK_EC = 0x03,
    CSL__CKK_EC_EDWARDS = 0x40, /* 3.0 */

    CSL__CKA_CLASS = 0x000,
    CSL__CKA_TOKEN = 0x001,
    CSL__CKA_PRIVATE = 0x002,
    CSL__CKA_LABEL = 0x003,
    CSL__CKA_VALUE = 0x011,
    CSL__CKA_KEY_TYPE = 0x100,
    CSL__CKA_ID = 0x102,
    CSL__CKA_SENSITIVE = 0x103,
    CSL__CKA_ENCRYPT = 0x104,
    CSL__CKA_DECRYPT = 0x105,
    CSL__CKA_UNWRAP = 0x107,
    CSL__CKA_SIGN = 0x108,
    CSL__CKA_VERIFY = 0x10A,
    CSL__CKA_DERIVE = 0x10C,
    CSL__CKA_MODULUS = 0x120,
    CSL__CKA_MODULUS_BITS = 0x121,
    CSL__CKA_PUBLIC_EXPONENT = 0x122,
    CSL__CKA_EXTRACTABLE = 0x162,
    CSL__CKA_EC_PARAMS = 0x180,
    CSL__CKA_EC_POINT = 0x181,

    CSL__CKM_RSA_PKCS_KEY_PAIR_GEN = 0x0000,
    CSL__CKM_RSA_X_509 = 0x0003,
    CSL__CKM_RSA_PKCS_OAEP = 0x0009,
    CSL__CKM_SHA256 = 0x0250,
    CSL__CKM_EC_KEY_PAIR_GEN = 0x1040,
    CSL__CKM_ECDSA = 0x1041,
    CSL__CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055, /* 3.0 */
    CSL__CKM_EDDSA = 0x1057,                   /* 3.0 */
    CSL__CKG_MGF1_SHA256 = 2,
    CSL__CKZ_DATA_SPECIFIED = 1
};

struct csl__ck_version {
    csl__ck_byte major, minor;
};

struct csl__ck_token_info {
    csl__ck_byte label[32], manufacturer[32], model[16], serial[16]; /* padded with blanks */
    csl__ck_ulong flags;
    csl__ck_ulong counts[10];
    struct csl__ck_version hardware, firmware;
    csl__ck_byte utc_time[16];
};

struct csl__ck_attribute {
    csl__ck_ulong type;
    void *value;
    csl__ck_ulong n; /* bytes */
};

struct csl__ck_mechanism {
    csl__ck_ulong mechanism;
    void *parameter;
    csl__ck_ulong n;
};

struct csl__ck_oaep {
    csl__ck_ulong hash, mgf, source;
    void *label;
    csl__ck_ulong n_label;
};

struct csl__ck_initialize_args {
    void *create_mutex, *destroy_mutex, *lock_mutex, *unlock_mutex;
    csl__ck_ulong flags;
    void *reserved;
};

typedef csl__ck_rv csl__ck_begin(csl__ck_ulong session, struct csl__ck_mechanism *m, csl__ck_ulong key);
typedef csl__ck_rv csl__ck_finish(csl__ck_ulong session, csl__ck_byte *in, csl__ck_ulong n_in,
                                  csl__ck_byte *out, csl__ck_ulong *n_out);

#define CSL__CK_UNUSED(name, n) void (*name[n])(void)

/* Functions 1 to 68, in the order of the standard. */
struct csl__ck_functions {
    struct csl__ck_version version;
    csl__ck_rv (*initialize)(struct csl__ck_initialize_args *args);
    csl__ck_rv (*finalize)(void *reserved);
    CSL__CK_UNUSED(get_info, 1);
    CSL__CK_UNUSED(get_function_list, 1);
    csl__ck_rv (*get_slot_list)(csl__ck_byte with_token, csl__ck_ulong *slots, csl__ck_ulong *n);
    CSL__CK_UNUSED(get_slot_info, 1);
    csl__ck_rv (*get_token_info)(csl__ck_ulong slot, struct csl__ck_token_info *info);
    CSL__CK_UNUSED(mechanisms, 2);
    CSL__CK_UNUSED(init_token, 3); /* C_InitToken, C_InitPIN, C_SetPIN */
    csl__ck_rv (*open_session)(csl__ck_ulong slot, csl__ck_ulong flags, void *application, void *notify,
                               csl__ck_ulong *session);
    csl__ck_rv (*close_session)(csl__ck_ulong session);
    CSL__CK_UNUSED(sessions, 4); /* C_CloseAllSessions ... C_SetOperationState */
    csl__ck_rv (*login)(csl__ck_ulong session, csl__ck_ulong user, csl__ck_byte *pin, csl__ck_ulong n_pin);
    CSL__CK_UNUSED(logout, 1);
    CSL__CK_UNUSED(objects, 4); /* C_CreateObject ... C_GetObjectSize */
    csl__ck_rv (*get_attributes)(csl__ck_ulong session, csl__ck_ulong object, struct csl__ck_attribute *a,
                                 csl__ck_ulong n);
    CSL__CK_UNUSED(set_attributes, 1);
    csl__ck_rv (*find_init)(csl__ck_ulong session, struct csl__ck_attribute *a, csl__ck_ulong n);
    csl__ck_rv (*find)(csl__ck_ulong session, csl__ck_ulong *objects, csl__ck_ulong max, csl__ck_ulong *n);
    csl__ck_rv (*find_final)(csl__ck_ulong session);
    CSL__CK_UNUSED(encrypt, 4);
    csl__ck_begin *decrypt_init;
    csl__ck_finish *decrypt;
    CSL__CK_UNUSED(decrypt_parts, 2);
    CSL__CK_UNUSED(digest, 5);
    csl__ck_begin *sign_init;
    csl__ck_finish *sign;
    CSL__CK_UNUSED(sign_parts, 4); /* C_SignUpdate ... C_SignRecover */
    CSL__CK_UNUSED(verify, 6);     /* C_VerifyInit ... C_VerifyRecover */
    CSL__CK_UNUSED(dual, 4);       /* C_DigestEncryptUpdate ... C_DecryptVerifyUpdate */
    CSL__CK_UNUSED(generate_key, 1);
    csl__ck_rv (*generate_key_pair)(csl__ck_ulong session, struct csl__ck_mechanism *m,
                                    struct csl__ck_attribute *pub, csl__ck_ulong n_pub,
                                    struct csl__ck_attribute *priv, csl__ck_ulong n_priv,
                                    csl__ck_ulong *pub_key, csl__ck_ulong *priv_key);
    CSL__CK_UNUSED(others, 8); /* C_WrapKey ... C_WaitForSlotEvent */
};

/* The one symbol of a module. */
typedef csl__ck_rv csl__ck_get_function_list(struct csl__ck_functions **list);

#endif
