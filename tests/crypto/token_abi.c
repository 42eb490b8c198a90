/* Compiles only when crypto/cryptoki_internal.h says what p11-kit's header says. */
#include <stddef.h>

#include "crypto/cryptoki_internal.h"

#include <p11-kit/pkcs11.h>

#define FUNCTION(ours, theirs)                                                                               \
    _Static_assert(offsetof(struct csl__ck_functions, ours) == offsetof(CK_FUNCTION_LIST, theirs), #ours)
FUNCTION(initialize, C_Initialize);
FUNCTION(finalize, C_Finalize);
FUNCTION(get_slot_list, C_GetSlotList);
FUNCTION(get_token_info, C_GetTokenInfo);
FUNCTION(open_session, C_OpenSession);
FUNCTION(close_session, C_CloseSession);
FUNCTION(login, C_Login);
FUNCTION(get_attributes, C_GetAttributeValue);
FUNCTION(find_init, C_FindObjectsInit);
FUNCTION(find, C_FindObjects);
FUNCTION(find_final, C_FindObjectsFinal);
FUNCTION(decrypt_init, C_DecryptInit);
FUNCTION(decrypt, C_Decrypt);
FUNCTION(sign_init, C_SignInit);
FUNCTION(sign, C_Sign);
FUNCTION(generate_key_pair, C_GenerateKeyPair);

#define SIZE(ours, theirs) _Static_assert(sizeof(struct ours) == sizeof(theirs), #ours)
SIZE(csl__ck_functions, CK_FUNCTION_LIST);
SIZE(csl__ck_token_info, CK_TOKEN_INFO);
SIZE(csl__ck_attribute, CK_ATTRIBUTE);
SIZE(csl__ck_mechanism, CK_MECHANISM);
SIZE(csl__ck_oaep, CK_RSA_PKCS_OAEP_PARAMS);
SIZE(csl__ck_initialize_args, CK_C_INITIALIZE_ARGS);
_Static_assert(offsetof(struct csl__ck_token_info, flags) == offsetof(CK_TOKEN_INFO, flags), "flags");
_Static_assert(offsetof(struct csl__ck_initialize_args, flags) == offsetof(CK_C_INITIALIZE_ARGS, flags),
               "flags");

#define SAME(name) _Static_assert((unsigned long)CSL__##name == (unsigned long)name, #name)
SAME(CKF_OS_LOCKING_OK);
SAME(CKF_RW_SESSION);
SAME(CKF_SERIAL_SESSION);
SAME(CKF_LOGIN_REQUIRED);
SAME(CKF_PROTECTED_AUTHENTICATION_PATH);
SAME(CKF_USER_PIN_FINAL_TRY);
SAME(CKF_USER_PIN_LOCKED);
SAME(CKU_USER);
SAME(CKO_CERTIFICATE);
SAME(CKO_PUBLIC_KEY);
SAME(CKO_PRIVATE_KEY);
SAME(CKK_RSA);
SAME(CKK_EC);
SAME(CKK_EC_EDWARDS);
SAME(CKA_CLASS);
SAME(CKA_TOKEN);
SAME(CKA_PRIVATE);
SAME(CKA_LABEL);
SAME(CKA_VALUE);
SAME(CKA_KEY_TYPE);
SAME(CKA_ID);
SAME(CKA_SENSITIVE);
SAME(CKA_ENCRYPT);
SAME(CKA_DECRYPT);
SAME(CKA_UNWRAP);
SAME(CKA_SIGN);
SAME(CKA_VERIFY);
SAME(CKA_DERIVE);
SAME(CKA_MODULUS);
SAME(CKA_MODULUS_BITS);
SAME(CKA_PUBLIC_EXPONENT);
SAME(CKA_EXTRACTABLE);
SAME(CKA_EC_PARAMS);
SAME(CKA_EC_POINT);
SAME(CKM_RSA_PKCS_KEY_PAIR_GEN);
SAME(CKM_RSA_X_509);
SAME(CKM_RSA_PKCS_OAEP);
SAME(CKM_SHA256);
SAME(CKM_EC_KEY_PAIR_GEN);
SAME(CKM_ECDSA);
SAME(CKM_EC_EDWARDS_KEY_PAIR_GEN);
SAME(CKM_EDDSA);
SAME(CKG_MGF1_SHA256);
SAME(CKZ_DATA_SPECIFIED);

#define RV(name, value, text) _Static_assert((unsigned long)CKR_##name == (value), #name);
CSL__CKR_LIST(RV)
