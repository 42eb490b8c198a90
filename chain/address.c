#include "chain/address.h"

#include <stdio.h>
#include <string.h>

#include "chain/rlp.h"

static const char digits[] = "0123456789abcdef";

void csl_hex0x_text(char *out, const uint8_t *p, size_t n) {
    *out++ = '0';
    *out++ = 'x';
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = 0;
}

static int digit_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool csl_hex0x_parse(uint8_t *out, size_t n, const char *text) {
    if (strncmp(text, "0x", 2) != 0 || strnlen(text + 2, 2 * n + 1) != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < 2 * n; i++) {
        if (digit_of(text[2 + i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(digit_of(text[2 + 2 * i]) << 4 | digit_of(text[3 + 2 * i]));
    }
    return true;
}

void csl_address_text(char out[CSL_ADDRESS_ROOM], const uint8_t address[CSL_ADDRESS_BYTES]) {
    uint8_t hash[CSL_KECCAK256_BYTES];
    csl_hex0x_text(out, address, CSL_ADDRESS_BYTES);
    csl_keccak256(hash, (const uint8_t *)out + 2, (size_t)2 * CSL_ADDRESS_BYTES);
    for (size_t i = 0; i < (size_t)2 * CSL_ADDRESS_BYTES; i++) {
        unsigned nibble = i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 15U;
        if (nibble >= 8 && out[2 + i] >= 'a') {
            out[2 + i] = (char)(out[2 + i] - 'a' + 'A');
        }
    }
}

enum csl_err csl_address_parse(uint8_t address[CSL_ADDRESS_BYTES], const char *text, struct csl_diag *diag) {
    uint8_t got[CSL_ADDRESS_BYTES];
    char again[CSL_ADDRESS_ROOM];
    if (!csl_hex0x_parse(got, sizeof got, text)) {
        return csl_fail(diag, CSL_EDATA, "not an address: it is 0x and 40 hexadecimal digits");
    }
    csl_address_text(again, got);
    if (strcmp(text, again) != 0) {
        bool one_case = strpbrk(text + 2, "abcdef") == NULL || strpbrk(text + 2, "ABCDEF") == NULL;
        return csl_fail(diag, CSL_EDATA,
                        one_case
                            ? "%s has no checksum (EIP-55: upper and lower case letters); copy the address "
                              "from where it is shown with it"
                            : "%s has a wrong checksum (EIP-55); copy the address again",
                        text);
    }
    memcpy(address, got, sizeof got);
    return CSL_OK;
}

void csl_address_of_contract(uint8_t address[CSL_ADDRESS_BYTES], const uint8_t sender[CSL_ADDRESS_BYTES],
                             uint64_t nonce) {
    uint8_t items[64], list[64], hash[CSL_KECCAK256_BYTES];
    struct csl_writer w = csl_writer_of(items, sizeof items);
    csl_rlp_put_bytes(&w, sender, CSL_ADDRESS_BYTES);
    csl_rlp_put_u64(&w, nonce);
    struct csl_writer whole = csl_writer_of(list, sizeof list);
    csl_rlp_put_list(&whole, w.n);
    csl_writer_bytes(&whole, items, w.n);
    csl_keccak256(hash, list, whole.n);
    memcpy(address, hash + sizeof hash - CSL_ADDRESS_BYTES, CSL_ADDRESS_BYTES);
}

void csl_wei_text(char out[CSL_WEI_ROOM], csl_wei wei) {
    enum { DECIMALS = 18 };
    char reversed[48];
    size_t n = 0, at = 0;
    for (; wei != 0 || n <= DECIMALS; wei /= 10) {
        reversed[n++] = (char)('0' + (int)(wei % 10));
    }
    size_t last = 0; /* the lowest digit that is written */
    while (last < DECIMALS && reversed[last] == '0') {
        last++;
    }
    for (size_t i = n; i-- > last;) {
        out[at++] = reversed[i];
        if (i == DECIMALS && last < DECIMALS) {
            out[at++] = '.';
        }
    }
    out[at] = 0;
}
