/* Addresses, hashes and amounts of an Ethereum chain, and how people write them. All of it is public. */
#ifndef CSL_CHAIN_ADDRESS_H
#define CSL_CHAIN_ADDRESS_H

#include "chain/keccak.h"
#include "crypto/err.h"

enum {
    CSL_ADDRESS_BYTES = 20,
    CSL_ADDRESS_ROOM = 2 + 2 * CSL_ADDRESS_BYTES + 1, /* "0x..." and the 0 */
    CSL_HASH_BYTES = 32,
    CSL_HASH_ROOM = 2 + 2 * CSL_HASH_BYTES + 1,
    CSL_WEI_ROOM = 64
};

/* The address with its checksum in the letters' case (EIP-55). */
void csl_address_text(char out[CSL_ADDRESS_ROOM], const uint8_t address[CSL_ADDRESS_BYTES]);

/* Exactly what csl_address_text writes. CSL_EDATA otherwise: too long or short, a wrong checksum, or none
 * (all letters of one case, as programs write them). Name what held the text by csl_fail_context. */
CSL_MUST_CHECK enum csl_err csl_address_parse(uint8_t address[CSL_ADDRESS_BYTES], const char *text,
                                              struct csl_diag *diag);

/* The address of the contract that this sender's transaction of this nonce creates (Yellow Paper, section 7).
 */
void csl_address_of_contract(uint8_t address[CSL_ADDRESS_BYTES], const uint8_t sender[CSL_ADDRESS_BYTES],
                             uint64_t nonce);

/* Whether everybody has the key: the accounts of the test mnemonics of anvil and hardhat, ganache and
 * truffle, and the keys 1 to 10. Whatever such an account owns on a public chain is gone. */
bool csl_address_is_well_known(const uint8_t address[CSL_ADDRESS_BYTES]);

/* "0x" and lower-case digits; out has room for 2 n + 3 bytes. */
void csl_hex0x_text(char *out, const uint8_t *p, size_t n);
/* Exactly n bytes as "0x" and 2 n digits of either case. */
bool csl_hex0x_parse(uint8_t *out, size_t n, const char *text);

/* An amount of 10^-18 of the chain's coin. Amounts from outside that are larger than fits (no chain has that
 * much, but development chains may say so) are read as CSL_WEI_MAX. */
__extension__ typedef unsigned __int128 csl_wei;
#define CSL_WEI_MAX (~(csl_wei)0)

/* In coins for people: "0.001234", exact, without zeros behind. */
void csl_wei_text(char out[CSL_WEI_ROOM], csl_wei wei);

#endif
