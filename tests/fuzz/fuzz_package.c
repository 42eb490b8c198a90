/* What a model's owner sends and a party stores: manifest, plan, package file, and a sealed part; the first
 * byte chooses. What is let through must be written and read back the same. */
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/statement.h"
#include "crypto/bytes.h"
#include "crypto/envelope.h"
#include "crypto/hash.h"
#include "roles/message.h"
#include "roles/package/package.h"
#include "roles/plan_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Party 0 of 3, which holds a seed, and the owner of the one model. */
static struct csl_member members[4] = {{.name = "a", .party = 0, .roles = CSL_ROLE_PARTY},
                                       {.name = "b", .party = 1, .roles = CSL_ROLE_PARTY},
                                       {.name = "c", .party = 2, .roles = CSL_ROLE_PARTY},
                                       {.name = "lab", .party = -1, .roles = CSL_ROLE_OWNER}};
static struct csl_model_rule models[1] = {{.name = "m", .owner = 3}};
static struct csl_context ctx = {.roster = {.members = members,
                                            .n_members = 4,
                                            .models = models,
                                            .n_models = 1,
                                            .n_parties = 3,
                                            .parties = {0, 1, 2}},
                                 .self = &members[0]};

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

static void free_keys(void) {
    EVP_PKEY_free(ctx.site.wrap_key);
    EVP_PKEY_free(members[3].sign_key);
}

static void make_keys(void) {
    if (ctx.site.wrap_key == NULL) {
        ctx.site.wrap_key = EVP_RSA_gen(CSL_WRAP_BITS);
        members[3].sign_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        check(ctx.site.wrap_key != NULL && members[3].sign_key != NULL && atexit(free_keys) == 0);
        check(csl_key_spki(members[0].wrap_spki, ctx.site.wrap_key) == CSL_OK);
    }
}

static void manifest(const uint8_t *data, size_t size) {
    static struct csl_manifest m, again, back;
    struct csl_diag diag = {""};
    if (csl_manifest_decode(&m, data, size, &diag) != CSL_OK) {
        check(diag.text[0] != '\0' && m.n_parties == 0 && m.name[0] == '\0');
        return;
    }
    uint8_t *bytes;
    size_t n;
    again = m;
    check(m.n_parties >= 2 && m.n_parties <= CSL_MAX_PARTIES && csl_name_valid(m.owner) &&
          m.name[0] != '\0' && strchr(m.name, '/') == NULL && m.sealed_ms < m.expires_ms);
    check(csl_plan_check(&m.plan, &diag) == CSL_OK);
    check(csl_manifest_encode(&bytes, &n, &again) == CSL_OK);
    check(csl_manifest_decode(&back, bytes, n, &diag) == CSL_OK && back.n_parties == m.n_parties &&
          strcmp(back.name, m.name) == 0 && back.expires_ms == m.expires_ms &&
          memcmp(back.commitments, m.commitments, sizeof m.commitments) == 0 &&
          memcmp(back.sealed, m.sealed, sizeof m.sealed) == 0 &&
          memcmp(back.parties, m.parties, sizeof m.parties) == 0 &&
          memcmp(back.party_keys, m.party_keys, sizeof m.party_keys) == 0);
    free(bytes);
}

static void plan(const uint8_t *data, size_t size) {
    static struct csl_plan p, again;
    struct csl_diag diag = {""};
    memset(&p, 0, sizeof p);
    if (csl_plan_decode(&p, data, size, &diag) != CSL_OK) {
        check(diag.text[0] != '\0' && p.n_steps == 0);
        return;
    }
    uint8_t *bytes = NULL;
    size_t n = 0;
    check(csl_plan_check(&p, &diag) == CSL_OK && csl_plan_encode(&bytes, &n, &p) == CSL_OK);
    check(csl_plan_decode(&again, bytes, n, &diag) == CSL_OK && memcmp(&p, &again, sizeof p) == 0);
    free(bytes);
}

/* Nobody but the owner can make one that opens: a file that is parsed is refused, with a sentence. */
static void file(const uint8_t *data, size_t size) {
    Csl__Pb__ModelPackage *f;
    struct csl_package *p;
    struct csl_diag diag = {""};
    if (csl_package_file_parse(&f, data, size, &diag) != CSL_OK) {
        check(diag.text[0] != '\0' && f == NULL);
        return;
    }
    uint8_t *bytes;
    size_t n;
    check(csl_package_file_pack(&bytes, &n, f) == CSL_OK && n == size && memcmp(bytes, data, n) == 0);
    free(bytes);
    check(csl_package_open(&p, &ctx, f, &diag) != CSL_OK && p == NULL && diag.text[0] != '\0');
    csl_package_file_free(f);
}

/* u16 length of the plan, plan, part: sealed and signed as an owner does, whatever it holds. */
static void part(const uint8_t *data, size_t size) {
    static struct csl_manifest m;
    if (size < 2 || csl_load_u16(data) > size - 2) {
        return;
    }
    size_t n_plan = csl_load_u16(data), n = size - 2 - n_plan, n_env = 0, n_bytes = 0;
    const uint8_t *content = data + 2 + n_plan;
    uint8_t *bytes = NULL, aad[CSL_DIGEST_BYTES], signature[CSL_SIGNATURE_BYTES];
    memset(&m, 0, sizeof m);
    if (csl_plan_decode(&m.plan, data + 2, n_plan, NULL) != CSL_OK) {
        return;
    }
    m.n_parties = 3;
    m.expires_ms = UINT64_MAX;
    (void)snprintf(m.name, sizeof m.name, "m");
    (void)snprintf(m.owner, sizeof m.owner, "lab");
    for (unsigned i = 0; i < 3; i++) {
        memcpy(m.parties[i], members[i].name, sizeof m.parties[i]);
    }
    check(csl_envelope_size(&n_env, n, ctx.site.wrap_key, NULL) == CSL_OK);
    uint8_t *env = malloc(n_env);
    check(env != NULL && csl_part_aad(aad, m.nonce, 0) == CSL_OK &&
          csl_envelope_seal(env, &n_env, ctx.site.wrap_key, CSL_PART_LABEL, aad, sizeof aad, content, n,
                            NULL) == CSL_OK &&
          csl_sha256_once(m.sealed[0], env, n_env) == CSL_OK &&
          csl_part_commit(m.commitments[0], m.nonce, 0, content, n) == CSL_OK &&
          csl_manifest_encode(&bytes, &n_bytes, &m) == CSL_OK &&
          csl_statement_sign_bytes(signature, CSL_STATEMENT_MANIFEST, bytes, n_bytes, members[3].sign_key,
                                   NULL) == CSL_OK);
    Csl__Pb__ModelPackage f = CSL__PB__MODEL_PACKAGE__INIT;
    f.manifest = csl_bytes(bytes, n_bytes);
    f.signature = csl_bytes(signature, sizeof signature);
    f.sealed = csl_bytes(env, n_env);
    struct csl_package *p;
    struct csl_diag diag = {""};
    bool opens = csl_package_open(&p, &ctx, &f, &diag) == CSL_OK;
    check(opens == (n == CSL_SALT_BYTES + CSL_SEED_BYTES) && opens == (p != NULL));
    csl_package_unref(p);
    free(bytes);
    free(env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const decoders[])(const uint8_t *, size_t) = {manifest, plan, file, part};
    make_keys();
    if (size != 0) {
        decoders[data[0] % 4](data + 1, size - 1);
    }
    return 0;
}
