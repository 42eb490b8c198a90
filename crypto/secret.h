/* Secrets in memory: wiping, and marks for the memcheck build.
 *
 * CSL_SECRET(p, n) stands where a share, key or seed is born; CSL_PUBLIC(p, n) only where the
 * protocol opens a value, and where something is sealed or sent to its one recipient. In the
 * `ct` build (CSL_MEMCHECK) they are valgrind client requests, so that memcheck reports every branch
 * or index on a secret and every share that leaves without being opened. Elsewhere they cost nothing.
 */
#ifndef CSL_CRYPTO_SECRET_H
#define CSL_CRYPTO_SECRET_H

#include <stddef.h>

#ifdef CSL_MEMCHECK
#include <valgrind/memcheck.h>
#define CSL_SECRET(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED((p), (n)))
#define CSL_PUBLIC(p, n) ((void)VALGRIND_MAKE_MEM_DEFINED((p), (n)))
#define CSL_ASSERT_PUBLIC(p, n) ((void)VALGRIND_CHECK_MEM_IS_DEFINED((p), (n)))
#else
#define CSL_SECRET(p, n) ((void)(p), (void)(n))
#define CSL_PUBLIC(p, n) ((void)(p), (void)(n))
#define CSL_ASSERT_PUBLIC(p, n) ((void)(p), (void)(n))
#endif

/* Overwrites n bytes with zeros; the compiler cannot remove it. p may be NULL when n is 0. */
void csl_wipe(void *p, size_t n);

/* Zeroed memory, 64-byte aligned, for secrets; NULL when there is none or n * size overflows. */
void *csl_secret_alloc(size_t n, size_t size);

/* Wipes the whole allocation, then frees it; what is large is kept for the next one, up to 256 MiB a process.
 * p may be NULL. */
void csl_secret_free(void *p);

/* The same, of memory that the caller has wiped already, all that was written to, while it was in the cache.
 * Builds with a checker of memory look and abort when it was not. */
void csl_secret_free_wiped(void *p);

#endif
