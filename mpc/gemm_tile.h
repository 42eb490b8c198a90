/* The loops around a register tile, shared by the vector paths.
 *
 * K is cut into blocks of at most CSL__K_BLOCK, W into panels of `cols` columns, a multiple of 8. A panel
 * that serves several row tiles, or is narrower than `cols`, is copied into contiguous memory on the stack
 * first: then it stays in L1 whatever the stride of W, and a tile always has its full width. (Goto, van de
 * Geijn: Anatomy of High-Performance Matrix Multiplication, 2008.)
 */
#ifndef CSL_MPC_GEMM_TILE_H
#define CSL_MPC_GEMM_TILE_H

#include "crypto/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CSL__K_BLOCK = 200, CSL__COLS_MAX = 16, CSL__ROWS_MAX = 12, CSL__COPY_FROM_ROWS = 6 };

/* y[rows][cols] += d[rows][k] . w[k][cols], rows 1..CSL__ROWS_MAX, k >= 1, with row strides in elements. */
typedef void csl__tile_fn(uint64_t *y, size_t ldy, const uint64_t *d, size_t ldd, const uint64_t *w,
                          size_t ldw, size_t k, size_t rows);

/* Named arguments of one matrix product, and one scratch panel. */
struct csl__product {
    uint64_t *y;
    const uint64_t *d, *w;
    size_t m, k, n;
    csl__tile_fn *tile;
    size_t rows, cols; /* of a full tile */
    uint64_t *panel;   /* CSL__K_BLOCK x CSL__COLS_MAX */
    uint64_t *edge;    /* CSL__ROWS_MAX x CSL__COLS_MAX */
};

static inline void csl__copy_panel(uint64_t *restrict panel, size_t cols, const uint64_t *restrict w,
                                   size_t ldw, size_t k, size_t width) {
    if (width == cols) {
        for (size_t p = 0; p < k; p++) {
            for (size_t c = 0; c < cols; c += 8) {
                memcpy(panel + p * cols + c, w + p * ldw + c, 8 * sizeof *w);
            }
        }
        return;
    }
    memset(panel, 0, k * cols * sizeof *panel);
    for (size_t p = 0; p < k; p++) {
        for (size_t c = 0; c < width; c++) {
            panel[p * cols + c] = w[p * ldw + c];
        }
    }
}

static inline bool csl__copies_panels(const struct csl__product *g) {
    return g->m >= CSL__COPY_FROM_ROWS || g->n % g->cols != 0;
}

/* Rows i.. of columns j..j+width-1, K block p..p+kc-1, for a panel narrower than a tile. */
static inline void csl__edge_tile(const struct csl__product *g, size_t i, size_t j, size_t p, size_t kc,
                                  size_t rows, size_t width) {
    memset(g->edge, 0, rows * g->cols * sizeof *g->edge);
    g->tile(g->edge, g->cols, g->d + i * g->k + p, g->k, g->panel, g->cols, kc, rows);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < width; c++) {
            g->y[(i + r) * g->n + j + c] += g->edge[r * g->cols + c];
        }
    }
}

static inline void csl__panel_product(const struct csl__product *g, size_t j, size_t p, size_t kc) {
    size_t width = g->n - j < g->cols ? g->n - j : g->cols;
    const uint64_t *w = g->w + p * g->n + j;
    size_t ldw = g->n;
    if (g->m >= CSL__COPY_FROM_ROWS || width < g->cols) {
        csl__copy_panel(g->panel, g->cols, w, ldw, kc, width);
        w = g->panel;
        ldw = g->cols;
    }
    for (size_t i = 0; i < g->m; i += g->rows) {
        size_t rows = g->m - i < g->rows ? g->m - i : g->rows;
        if (width < g->cols) {
            csl__edge_tile(g, i, j, p, kc, rows, width);
        } else {
            g->tile(g->y + i * g->n + j, g->n, g->d + i * g->k + p, g->k, w, ldw, kc, rows);
        }
    }
}

/* Y += D.W by tiles of rows x cols. */
static inline void csl__tiled_product(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k,
                                      size_t n, csl__tile_fn *tile, size_t rows, size_t cols) {
    _Alignas(64) uint64_t panel[CSL__K_BLOCK * CSL__COLS_MAX];
    _Alignas(64) uint64_t edge[CSL__ROWS_MAX * CSL__COLS_MAX];
    struct csl__product g = {.y = y,
                             .d = d,
                             .w = w,
                             .m = m,
                             .k = k,
                             .n = n,
                             .tile = tile,
                             .rows = rows,
                             .cols = cols,
                             .panel = panel,
                             .edge = edge};
    if (m == 0 || k == 0 || n == 0) {
        return;
    }
    size_t blocks = (k - 1) / CSL__K_BLOCK + 1;
    size_t step = (k - 1) / blocks + 1; /* blocks of nearly equal depth */
    for (size_t p = 0; p < k; p += step) {
        for (size_t j = 0; j < n; j += cols) {
            csl__panel_product(&g, j, p, k - p < step ? k - p : step);
        }
    }
    if (csl__copies_panels(&g)) {
        csl_wipe(panel, step * cols * sizeof *panel);
        csl_wipe(edge, rows * cols * sizeof *edge);
    }
}

#endif
