#include "crypto/secret.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What is freed has been wiped: large blocks are kept, and given out again as they are. A batch takes and
 * gives back megabytes; fresh pages for them cost more than its arithmetic. */
enum {
    ALIGN = 64,
    KEEP_FROM = 64 * 1024, /* smaller ones are malloc's alone */
    KEEP_BYTES = 256 * 1024 * 1024,
    KEEP_BLOCKS = 128,
    HUGE_PAGE = 2 * 1024 * 1024,
    HUGE_FROM = 2 * HUGE_PAGE
};

/* Stands in the ALIGN bytes before the caller's pointer. */
struct block {
    size_t bytes;    /* with this; what free wipes */
    size_t capacity; /* of the memory behind `bytes`, too: zero from the beginning */
};
_Static_assert(sizeof(struct block) <= ALIGN, "it stands before the caller's pointer");

/* The blocks that are kept, oldest first. */
static struct {
    pthread_mutex_t lock;
    size_t n, bytes;
    struct block *blocks[KEEP_BLOCKS];
    size_t capacity[KEEP_BLOCKS]; /* the blocks themselves are zero */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

/* Checkers of memory see every allocation's own end. */
#if defined(CSL_MEMCHECK) || defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
static const bool keeps = false;
#else
static const bool keeps = true;
#endif

/* As OPENSSL_cleanse(), which goes by 8 bytes. */
void csl_wipe(void *p, size_t n) {
    if (n != 0) {
        explicit_bzero(p, n);
    }
}

/* Eight sizes between powers of two, so that blocks fit again. */
static size_t capacity_of(size_t bytes) {
    if (bytes < KEEP_FROM || !keeps) {
        return bytes;
    }
    size_t step = (size_t)1 << (8 * sizeof bytes - 1 - (unsigned)__builtin_clzl(bytes) - 3);
    return bytes > SIZE_MAX - step ? bytes : (bytes + step - 1) / step * step;
}

static void remove_kept(size_t i) {
    kept.n--;
    kept.bytes -= kept.capacity[i];
    memmove(kept.blocks + i, kept.blocks + i + 1, (kept.n - i) * sizeof *kept.blocks);
    memmove(kept.capacity + i, kept.capacity + i + 1, (kept.n - i) * sizeof *kept.capacity);
}

/* The newest of this capacity, whose pages may still be in a cache; or NULL. */
static struct block *take(size_t capacity) {
    struct block *b = NULL;
    if (capacity < KEEP_FROM || !keeps) {
        return NULL;
    }
    (void)pthread_mutex_lock(&kept.lock);
    for (size_t i = kept.n; i-- > 0 && b == NULL;) {
        if (kept.capacity[i] == capacity) {
            b = kept.blocks[i];
            remove_kept(i);
        }
    }
    (void)pthread_mutex_unlock(&kept.lock);
    return b;
}

/* The oldest go for it. */
static void keep(struct block *b, size_t capacity) {
    (void)pthread_mutex_lock(&kept.lock);
    while (kept.n == KEEP_BLOCKS || kept.bytes + capacity > KEEP_BYTES) {
        free(kept.blocks[0]);
        remove_kept(0);
    }
    kept.blocks[kept.n] = b;
    kept.capacity[kept.n++] = capacity;
    kept.bytes += capacity;
    (void)pthread_mutex_unlock(&kept.lock);
}

/* Zeroed. What is walked through by many streams at once needs more pages than a core knows by heart: large
 * blocks ask for huge ones, and do without where there are none. */
static struct block *fresh(size_t capacity) {
    bool large = capacity >= HUGE_FROM && keeps;
    struct block *b = aligned_alloc(large ? HUGE_PAGE : ALIGN, capacity);
#if defined(MADV_HUGEPAGE)
    if (b != NULL && large) {
        (void)madvise(b, capacity, MADV_HUGEPAGE);
    }
#endif
    if (b != NULL) {
        memset(b, 0, capacity);
    }
    return b;
}

void *csl_secret_alloc(size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2 - 2 * (size_t)ALIGN) {
        return NULL;
    }
    bytes = (bytes + 2 * (size_t)ALIGN - 1) / ALIGN * ALIGN;
    size_t capacity = capacity_of(bytes);
    struct block *b = take(capacity);
    if (b == NULL) {
        b = fresh(capacity);
        if (b == NULL) {
            return NULL;
        }
    }
    *b = (struct block){bytes, capacity};
    return (unsigned char *)b + ALIGN;
}

static struct block *block_of(void *p) {
    return (struct block *)(void *)((unsigned char *)p - ALIGN);
}

/* What is zero already. */
static void let_go(struct block *b, size_t capacity) {
    if (capacity >= KEEP_FROM && capacity <= KEEP_BYTES && keeps) {
        keep(b, capacity);
    } else {
        free(b);
    }
}

void csl_secret_free(void *p) {
    if (p != NULL) {
        struct block *b = block_of(p);
        size_t capacity = b->capacity;
        csl_wipe(b, b->bytes);
        let_go(b, capacity);
    }
}

void csl_secret_free_wiped(void *p) {
    if (p == NULL) {
        return;
    }
    struct block *b = block_of(p);
    size_t capacity = b->capacity, bytes = b->bytes;
    csl_wipe(b, sizeof *b);
    const unsigned char *memory = (const unsigned char *)b;
    for (size_t i = 0; i < bytes && !keeps; i++) {
        if (memory[i] != 0) {
            abort();
        }
    }
    let_go(b, capacity);
}
