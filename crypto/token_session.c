/* From a URI to a session in which the user is logged in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "crypto/token_state_internal.h"

/* ---- Timeout and PIN ---- */

enum { TIMEOUT_MS_MIN = 50, TIMEOUT_MS_MAX = 600000 };

static enum csl_err take_timeout(unsigned *ms, struct csl_diag *diag) {
    const char *text = getenv("CONSILIUM_TOKEN_TIMEOUT_MS");
    char *end = NULL;
    *ms = CSL_TOKEN_TIMEOUT_MS;
    if (text == NULL) {
        return CSL_OK;
    }
    unsigned long n = strtoul(text, &end, 10);
    if (end == text || *end != 0 || n < TIMEOUT_MS_MIN || n > TIMEOUT_MS_MAX) {
        return csl_fail(diag, CSL_ECONFIG, "CONSILIUM_TOKEN_TIMEOUT_MS must be a number from %d to %d",
                        TIMEOUT_MS_MIN, TIMEOUT_MS_MAX);
    }
    *ms = (unsigned)n;
    return CSL_OK;
}

static enum csl_err read_pin(struct csl__token *t, const char *path, struct csl_diag *diag) {
    char *text = NULL;
    size_t n = 0;
    TRY(csl__read_private_file(&text, &n, path, CSL__TOKEN_PIN_MAX + 2, diag));
    while (n != 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }
    bool ok =
        n != 0 && n <= CSL__TOKEN_PIN_MAX && memchr(text, 0, n) == NULL && memchr(text, '\n', n) == NULL;
    if (ok) {
        memcpy(t->pin, text, n);
        t->has_pin = true;
    }
    csl_secret_free(text);
    return ok ? CSL_OK
              : csl_fail(diag, CSL_ECONFIG, "%s: must hold the token's PIN, on one line of at most %d bytes",
                         path, CSL__TOKEN_PIN_MAX);
}

/* name, in the folder of the key file unless it is absolute. */
static enum csl_err beside(char out[CSL__PATH_MAX], const char *key_path, const char *name,
                           struct csl_diag *diag) {
    const char *slash = strrchr(key_path, '/');
    int n_dir = slash == NULL || name[0] == '/' ? 0 : (int)(slash - key_path) + 1;
    int n = snprintf(out, CSL__PATH_MAX, "%.*s%s", n_dir, key_path, name);
    return n >= 0 && n < CSL__PATH_MAX
               ? CSL_OK
               : csl_fail(diag, CSL_EUSAGE, "%s: the path of the PIN's file is too long", key_path);
}

static enum csl_err take_pin(struct csl__token *t, const char *key_path, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    const char *source = t->uri.pin_source, *env = getenv("CONSILIUM_TOKEN_PIN");
    if (strncmp(source, "file:", 5) == 0) {
        source += strncmp(source, "file:///", 8) == 0 ? 7 : 5;
    }
    TRY(beside(path, key_path, source[0] != 0 ? source : "token.pin", diag));
    if (source[0] != 0 || access(path, F_OK) == 0) {
        return read_pin(t, path, diag);
    }
    size_t n = env == NULL ? 0 : strlen(env);
    if (n > CSL__TOKEN_PIN_MAX) {
        return csl_fail(diag, CSL_ECONFIG, "CONSILIUM_TOKEN_PIN is longer than %d bytes", CSL__TOKEN_PIN_MAX);
    }
    if (n != 0) {
        memcpy(t->pin, env, n);
        t->has_pin = true;
    }
    return CSL_OK;
}

enum csl_err csl__token_settings(struct csl__token *t, const char *path, struct csl_diag *diag) {
    TRY(take_timeout(&t->timeout_ms, diag));
    return take_pin(t, path, diag);
}

/* PINs that a token refused, for the life of the process: as digests with what names the token. */
enum { REFUSED_MAX = 64 };
static pthread_mutex_t refused_lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t refused[REFUSED_MAX][32];
static size_t n_refused;

void csl__pins_forked(void) {
    (void)pthread_mutex_init(&refused_lock, NULL);
}

static bool digest_pin(uint8_t digest[32], const struct csl__token *t) {
    const struct csl_token_uri *u = &t->uri;
    char slot[24] = "";
    if (u->has_slot) {
        (void)snprintf(slot, sizeof slot, "%lu", u->slot);
    }
    const char *const parts[] = {u->module_path, u->token, u->serial, u->manufacturer,
                                 u->model,       slot,     t->pin};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; ok && i < sizeof parts / sizeof parts[0]; i++) {
        ok = EVP_DigestUpdate(ctx, parts[i], strlen(parts[i]) + 1) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool was_refused(const struct csl__token *t) {
    uint8_t digest[32];
    bool found = !digest_pin(digest, t);
    (void)pthread_mutex_lock(&refused_lock);
    for (size_t i = 0; i < REFUSED_MAX && i < n_refused; i++) {
        found = found || memcmp(refused[i], digest, sizeof digest) == 0;
    }
    (void)pthread_mutex_unlock(&refused_lock);
    return found;
}

static void remember_refusal(const struct csl__token *t) {
    uint8_t digest[32];
    if (digest_pin(digest, t)) {
        (void)pthread_mutex_lock(&refused_lock);
        memcpy(refused[n_refused++ % REFUSED_MAX], digest, sizeof digest);
        (void)pthread_mutex_unlock(&refused_lock);
    }
}

/* ---- What went wrong ---- */

static bool is_lost(csl__ck_rv rv) {
    return rv == CSL__CKR_SESSION_HANDLE_INVALID || rv == CSL__CKR_SESSION_CLOSED ||
           rv == CSL__CKR_DEVICE_REMOVED || rv == CSL__CKR_DEVICE_ERROR || rv == CSL__CKR_TOKEN_NOT_PRESENT ||
           rv == CSL__CKR_TOKEN_NOT_RECOGNIZED || rv == CSL__CKR_USER_NOT_LOGGED_IN ||
           rv == CSL__CKR_KEY_HANDLE_INVALID || rv == CSL__CKR_OBJECT_HANDLE_INVALID ||
           rv == CSL__CKR_SLOT_ID_INVALID || rv == CSL__CKR_OPERATION_ACTIVE ||
           rv == CSL__CKR_CRYPTOKI_NOT_INITIALIZED;
}

static enum csl_err kind_of(csl__ck_rv rv) {
    switch (rv) {
    case CSL__CKR_HOST_MEMORY:
        return CSL_ENOMEM;
    case CSL__CKR_PIN_INCORRECT:
    case CSL__CKR_PIN_INVALID:
    case CSL__CKR_PIN_LEN_RANGE:
    case CSL__CKR_PIN_EXPIRED:
    case CSL__CKR_PIN_LOCKED:
        return CSL_EAUTH;
    case CSL__CKR_KEY_FUNCTION_NOT_PERMITTED:
    case CSL__CKR_KEY_TYPE_INCONSISTENT:
    case CSL__CKR_MECHANISM_INVALID:
    case CSL__CKR_MECHANISM_PARAM_INVALID:
    case CSL__CKR_TOKEN_WRITE_PROTECTED:
    case CSL__CKR_USER_PIN_NOT_INITIALIZED:
    case CSL__CKR_TEMPLATE_INCONSISTENT:
    case CSL__CKR_ATTRIBUTE_TYPE_INVALID:
    case CSL__CKR_ATTRIBUTE_VALUE_INVALID:
        return CSL_ECONFIG;
    default:
        return CSL_EUNAVAILABLE;
    }
}

enum csl_err csl__session_fail(struct csl__token_session *s, csl__ck_rv rv, const char *what,
                               struct csl_diag *diag) {
    s->lost = s->lost || is_lost(rv);
    if (rv == CSL__CKR_CRYPTOKI_NOT_INITIALIZED && s->module != NULL) {
        csl__module_lost(s->module);
    }
    return csl_fail(diag, kind_of(rv), "%s: %s, 0x%lx", what, csl__ck_text(rv), rv);
}

void csl__session_drop(struct csl__token_session *s) {
    struct csl__token *t = s->token;
    if (s->open) {
        (void)s->f->close_session(s->handle);
        s->open = false;
    }
    (void)pthread_mutex_lock(&t->lock);
    t->epoch++;
    (void)pthread_mutex_unlock(&t->lock);
}

/* ---- The slot ---- */

/* A field of C_GetTokenInfo is padded with blanks. */
static bool is_field(const csl__ck_byte *field, size_t n, const char *want) {
    while (n != 0 && (field[n - 1] == ' ' || field[n - 1] == 0)) {
        n--;
    }
    return want[0] == 0 || (strlen(want) == n && memcmp(field, want, n) == 0);
}

static bool matches(const struct csl_token_uri *uri, csl__ck_ulong slot, const struct csl__ck_token_info *i) {
    return (!uri->has_slot || uri->slot == slot) && is_field(i->label, sizeof i->label, uri->token) &&
           is_field(i->serial, sizeof i->serial, uri->serial) &&
           is_field(i->model, sizeof i->model, uri->model) &&
           is_field(i->manufacturer, sizeof i->manufacturer, uri->manufacturer);
}

static enum csl_err find_slot(struct csl__token_session *s, struct csl__ck_token_info *info,
                              struct csl_diag *diag) {
    enum { SLOTS_MAX = 256 };
    csl__ck_ulong slots[SLOTS_MAX], n = SLOTS_MAX;
    struct csl__ck_token_info i;
    size_t found = 0;
    csl__ck_rv rv = s->f->get_slot_list(1, slots, &n);
    if (rv != CSL__CKR_OK) {
        return csl__session_fail(s, rv, "the slots cannot be listed", diag);
    }
    for (csl__ck_ulong k = 0; k < n; k++) {
        memset(&i, 0, sizeof i);
        if (s->f->get_token_info(slots[k], &i) == CSL__CKR_OK && matches(&s->token->uri, slots[k], &i)) {
            s->slot = slots[k];
            *info = i;
            found++;
        }
    }
    s->gone = found == 0;
    if (found != 1) {
        return csl_fail(diag, found == 0 ? CSL_EUNAVAILABLE : CSL_ECONFIG,
                        found == 0 ? "no such token among the %lu that %s has; is it connected?"
                                   : "more than one of the %lu tokens of %s is meant; add serial= to the URI",
                        n, s->token->uri.module_path);
    }
    return CSL_OK;
}

/* ---- Login ---- */

/* With the login lock. */
static enum csl_err login(struct csl__token_session *s, const struct csl__ck_token_info *info,
                          struct csl_diag *diag) {
    struct csl__token *t = s->token;
    bool pad = (info->flags & CSL__CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
    if (was_refused(t)) {
        return csl_fail(diag, CSL_EAUTH, "this PIN was refused before, and is not tried again; correct it");
    }
    if ((info->flags & CSL__CKF_USER_PIN_LOCKED) != 0) {
        return csl_fail(diag, CSL_EAUTH, "the PIN is locked; the token's security officer can unlock it");
    }
    if ((info->flags & CSL__CKF_USER_PIN_FINAL_TRY) != 0) {
        return csl_fail(
            diag, CSL_EAUTH,
            "one more wrong PIN would lock it, so none is tried; log in by hand with the right one "
            "(pkcs11-tool --login), and correct the site's");
    }
    if (!t->has_pin && !pad) {
        return csl_fail(
            diag, CSL_ECONFIG,
            "needs a PIN: put it into token.pin (0600) beside the key's file, or name a file with "
            "pin-source, or set CONSILIUM_TOKEN_PIN");
    }
    csl__ck_rv rv = s->f->login(s->handle, CSL__CKU_USER, t->has_pin ? (csl__ck_byte *)t->pin : NULL,
                                t->has_pin ? strlen(t->pin) : 0);
    if (rv == CSL__CKR_OK || rv == CSL__CKR_USER_ALREADY_LOGGED_IN) {
        return CSL_OK;
    }
    if (kind_of(rv) == CSL_EAUTH) {
        remember_refusal(t);
    }
    return csl__session_fail(s, rv, "no login", diag);
}

static enum csl_err open_session(struct csl__token_session *s, struct csl_diag *diag) {
    struct csl__token *t = s->token;
    struct csl__ck_token_info info;
    enum csl_err err = CSL_OK;
    TRY(find_slot(s, &info, diag));
    csl__ck_rv rv = s->f->open_session(s->slot, CSL__CKF_SERIAL_SESSION, NULL, NULL, &s->handle);
    if (rv != CSL__CKR_OK) {
        return csl__session_fail(s, rv, "no session", diag);
    }
    if ((info.flags & CSL__CKF_LOGIN_REQUIRED) != 0) {
        (void)pthread_mutex_lock(&t->login);
        err = login(s, &info, diag);
        (void)pthread_mutex_unlock(&t->login);
    }
    s->open = err == CSL_OK;
    if (!s->open) {
        (void)s->f->close_session(s->handle);
    }
    return err;
}

enum csl_err csl__session_ready(struct csl__token_session *s, struct csl_diag *diag) {
    if (s->open) {
        return CSL_OK;
    }
    if (s->module == NULL) {
        TRY(csl__module_open(&s->module, s->token->uri.module_path, diag));
        s->f = s->module->f;
    }
    TRY(csl__module_ready(s->module, diag));
    return open_session(s, diag);
}
