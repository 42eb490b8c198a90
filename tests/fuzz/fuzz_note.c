/* Notes from strangers: whatever parses renders to the same text, verifies for no key of ours, and can be
 * cosigned and parsed again. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "audit/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static EVP_PKEY *key;
    static struct csl_note note, again;
    struct csl_diag diag = {""};
    if (key == NULL) {
        static const uint8_t seed[32] = {9};
        key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed, sizeof seed);
        REQUIRE(key != NULL);
    }
    enum csl_err err = csl_note_parse(&note, (const char *)data, size, &diag);
    if (err != CSL_OK) {
        REQUIRE(err == CSL_EDATA && diag.text[0] != '\0' && note.n_signatures == 0);
        return 0;
    }
    REQUIRE(strlen(note.text) == size && memcmp(note.text, data, size) == 0);
    REQUIRE(note.n_signatures >= 1 && note.n_signatures <= CSL_NOTE_SIGNATURES_MAX);
    REQUIRE(note.n_body < size && note.text[note.n_body] == '\n');
    REQUIRE(csl_note_verify(&note, note.signatures[0].name, key, NULL) == CSL_EAUTH);
    REQUIRE(csl_note_verify_cosignature(&note, note.signatures[0].name, key, NULL) == CSL_EAUTH);
    if (note.n_signatures < CSL_NOTE_SIGNATURES_MAX) {
        size_t n_body = note.n_body;
        REQUIRE(csl_note_cosign(&note, "us", key, 12345, NULL) == CSL_OK && note.n_body == n_body);
        REQUIRE(csl_note_parse(&again, note.text, strlen(note.text), NULL) == CSL_OK);
        REQUIRE(csl_note_verify_cosignature(&again, "us", key, NULL) == CSL_OK);
        REQUIRE(memcmp(again.text, data, n_body) == 0);
        csl_note_only(&again, NULL, "us");
        REQUIRE(again.n_signatures == 1);
    }
    return 0;
}
