/* The paths behind mpc/pack.h; sizes and widths are checked, n is at least 1. Tests and the bench call them
 * directly. */
#ifndef CSL_MPC_PACK_INTERNAL_H
#define CSL_MPC_PACK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct csl__pack_path {
    const char *name;
    bool (*available)(void); /* in this build and on this CPU, whatever CONSILIUM_CPU says */
    void (*pack)(uint8_t *out, const uint64_t *in, size_t n, unsigned bits);
    void (*unpack)(uint64_t *out, const uint8_t *in, size_t n, unsigned bits);
};

enum { CSL__PACK_PORTABLE, CSL__PACK_AVX2, CSL__PACK_VBMI, CSL__PACK_PATHS };
extern const struct csl__pack_path csl__pack_paths[CSL__PACK_PATHS];

/* What csl_cpu_level() permits. */
const struct csl__pack_path *csl__pack_path_get(void);

void csl__pack_portable(uint8_t *out, const uint64_t *in, size_t n, unsigned bits);
void csl__unpack_portable(uint64_t *out, const uint8_t *in, size_t n, unsigned bits);
#if defined(__x86_64__)
void csl__unpack_avx2(uint64_t *out, const uint8_t *in, size_t n, unsigned bits); /* needs AVX2 */
void csl__pack_vbmi(uint8_t *out, const uint64_t *in, size_t n, unsigned bits);   /* AVX-512 VBMI */
void csl__unpack_vbmi(uint64_t *out, const uint8_t *in, size_t n, unsigned bits);
#endif

#endif
