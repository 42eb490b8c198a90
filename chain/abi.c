#include "chain/abi.h"

#include <string.h>

void csl_abi_topic(uint8_t out[CSL_HASH_BYTES], const char *signature) {
    csl_keccak256(out, (const uint8_t *)signature, strlen(signature));
}

void csl_abi_selector(uint8_t out[CSL_ABI_SELECTOR], const char *signature) {
    uint8_t hash[CSL_HASH_BYTES];
    csl_abi_topic(hash, signature);
    memcpy(out, hash, CSL_ABI_SELECTOR);
}

void csl_abi_put_selector(struct csl_writer *w, const char *signature) {
    uint8_t selector[CSL_ABI_SELECTOR];
    csl_abi_selector(selector, signature);
    csl_writer_bytes(w, selector, sizeof selector);
}

/* Right-aligned, as numbers and addresses are. */
static void put_right(struct csl_writer *w, const uint8_t *p, size_t n) {
    uint8_t word[CSL_ABI_WORD] = {0};
    memcpy(word + CSL_ABI_WORD - n, p, n);
    csl_writer_bytes(w, word, sizeof word);
}

void csl_abi_put_u64(struct csl_writer *w, uint64_t v) {
    uint8_t b[8];
    for (size_t i = 0; i < sizeof b; i++) {
        b[i] = (uint8_t)(v >> (56 - 8 * i));
    }
    put_right(w, b, sizeof b);
}

void csl_abi_put_bool(struct csl_writer *w, bool v) {
    csl_abi_put_u64(w, v ? 1 : 0);
}

void csl_abi_put_address(struct csl_writer *w, const uint8_t address[CSL_ADDRESS_BYTES]) {
    put_right(w, address, CSL_ADDRESS_BYTES);
}

void csl_abi_put_bytes32(struct csl_writer *w, const uint8_t word[CSL_ABI_WORD]) {
    csl_writer_bytes(w, word, CSL_ABI_WORD);
}

/* The last n bytes of the next word; those in front must be zero. NULL (and bad) otherwise. */
static const uint8_t *take_right(struct csl_reader *r, size_t n) {
    const uint8_t *word = csl_reader_view(r, CSL_ABI_WORD);
    for (size_t i = 0; word != NULL && i < CSL_ABI_WORD - n; i++) {
        if (word[i] != 0) {
            r->bad = true;
            return NULL;
        }
    }
    return word == NULL ? NULL : word + CSL_ABI_WORD - n;
}

uint64_t csl_abi_take_u64(struct csl_reader *r) {
    const uint8_t *p = take_right(r, 8);
    uint64_t v = 0;
    for (size_t i = 0; p != NULL && i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

bool csl_abi_take_bool(struct csl_reader *r) {
    uint64_t v = csl_abi_take_u64(r);
    if (v > 1) {
        r->bad = true;
        return false;
    }
    return v == 1;
}

void csl_abi_take_address(struct csl_reader *r, uint8_t address[CSL_ADDRESS_BYTES]) {
    const uint8_t *p = take_right(r, CSL_ADDRESS_BYTES);
    if (p == NULL) {
        memset(address, 0, CSL_ADDRESS_BYTES);
    } else {
        memcpy(address, p, CSL_ADDRESS_BYTES);
    }
}

void csl_abi_take_bytes32(struct csl_reader *r, uint8_t word[CSL_ABI_WORD]) {
    csl_reader_bytes(r, word, CSL_ABI_WORD);
}

/* The number in the word at byte `at`, when it is at most max. */
static bool word_at(size_t *v, const uint8_t *data, size_t n, size_t at, size_t max) {
    if (at > n || n - at < CSL_ABI_WORD) {
        return false;
    }
    struct csl_reader r = csl_reader_of(data + at, CSL_ABI_WORD);
    uint64_t got = csl_abi_take_u64(&r);
    *v = (size_t)got;
    return !r.bad && got <= max;
}

bool csl_abi_dynamic(const uint8_t **p, size_t *n_p, const uint8_t *data, size_t n, size_t slot) {
    size_t offset = 0, length = 0;
    if (slot >= n / CSL_ABI_WORD || !word_at(&offset, data, n, slot * CSL_ABI_WORD, n) ||
        offset % CSL_ABI_WORD != 0 || !word_at(&length, data, n, offset, n)) {
        return false;
    }
    size_t start = offset + CSL_ABI_WORD;
    size_t padded = (length + CSL_ABI_WORD - 1) / CSL_ABI_WORD * CSL_ABI_WORD;
    if (padded > n - start) {
        return false;
    }
    for (size_t i = length; i < padded; i++) {
        if (data[start + i] != 0) {
            return false;
        }
    }
    *p = data + start;
    *n_p = length;
    return true;
}
