#include "mpc/pack.h"

#include "crypto/cpu.h"
#include "mpc/pack_internal.h"

#include <assert.h>

enum csl_err csl_pack_size(size_t *n_bytes, size_t n, unsigned bits) {
    *n_bytes = 0;
    if (bits < 1 || bits > 64 || n > SIZE_MAX / sizeof(uint64_t)) {
        return CSL_EDATA;
    }
    *n_bytes = n / 8 * bits + (n % 8 * bits + 7) / 8; /* at most 8*n */
    return CSL_OK;
}

static bool always(void) {
    return true;
}

#if defined(__x86_64__)
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2");
}

static bool has_vbmi(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi");
}

const struct csl__pack_path csl__pack_paths[CSL__PACK_PATHS] = {
    [CSL__PACK_PORTABLE] = {"portable", always, csl__pack_portable, csl__unpack_portable},
    [CSL__PACK_AVX2] = {"avx2", has_avx2, csl__pack_portable, csl__unpack_avx2},
    [CSL__PACK_VBMI] = {"vbmi", has_vbmi, csl__pack_vbmi, csl__unpack_vbmi},
};
#else
static bool never(void) {
    return false;
}

const struct csl__pack_path csl__pack_paths[CSL__PACK_PATHS] = {
    [CSL__PACK_PORTABLE] = {"portable", always, csl__pack_portable, csl__unpack_portable},
    [CSL__PACK_AVX2] = {"avx2", never, csl__pack_portable, csl__unpack_portable},
    [CSL__PACK_VBMI] = {"vbmi", never, csl__pack_portable, csl__unpack_portable},
};
#endif

const struct csl__pack_path *csl__pack_path_get(void) {
    enum csl_cpu level = csl_cpu_level();
    unsigned path = level >= CSL_CPU_AVX2 ? CSL__PACK_AVX2 : CSL__PACK_PORTABLE;
    if (level == CSL_CPU_AVX512 && csl__pack_paths[CSL__PACK_VBMI].available()) {
        path = CSL__PACK_VBMI;
    }
    return &csl__pack_paths[path];
}

void csl_pack_bits(uint8_t *out, const uint64_t *in, size_t n, unsigned bits) {
    assert(bits >= 1 && bits <= 64);
    if (n > 0) {
        csl__pack_path_get()->pack(out, in, n, bits);
    }
}

void csl_unpack_bits(uint64_t *out, const uint8_t *in, size_t n, unsigned bits) {
    assert(bits >= 1 && bits <= 64);
    if (n > 0) {
        csl__pack_path_get()->unpack(out, in, n, bits);
    }
}

enum csl_err csl_pack_check(const uint8_t *in, size_t n, unsigned bits, struct csl_diag *diag) {
    unsigned used = (unsigned)(n % 8 * bits % 8); /* bits of the last byte that belong to values; 0: all */
    size_t n_bytes;
    TRY(csl_pack_size(&n_bytes, n, bits));
    if (used != 0 && in[n_bytes - 1] >> used != 0) {
        return csl_fail(diag, CSL_EPROTO, "padding bits are set after %zu values of %u bits", n, bits);
    }
    return CSL_OK;
}

enum csl_err csl_unpack_bits_strict(uint64_t *out, const uint8_t *in, size_t n_bytes, size_t n, unsigned bits,
                                    struct csl_diag *diag) {
    size_t want;
    if (csl_pack_size(&want, n, bits) != CSL_OK) {
        return csl_fail(diag, CSL_EPROTO, "a vector of %zu values of %u bits cannot be", n, bits);
    }
    if (n_bytes != want) {
        return csl_fail(diag, CSL_EPROTO, "a vector of %zu values of %u bits has %zu bytes, %zu came", n,
                        bits, want, n_bytes);
    }
    TRY(csl_pack_check(in, n, bits, diag));
    csl_unpack_bits(out, in, n, bits);
    return CSL_OK;
}
