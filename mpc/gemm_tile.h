/* The loops around a register tile, shared by the vector paths.
 *
 * W's rows are cut into blocks of at most CSL__K_BLOCK, its columns into panels of `cols`, a multiple of 8. A
 * panel that serves several row tiles, or is narrower than `cols`, is copied into contiguous memory on the
 * stack first: then it stays in L1 whatever the stride of W, and a tile always has its full width. (Goto, van
 * de Geijn: Anatomy of High-Performance Matrix Multiplication, 2008.)
 */
#ifndef CSL_MPC_GEMM_TILE_H
#define CSL_MPC_GEMM_TILE_H

#include "crypto/secret.h"
#include "mpc/gemm_internal.h"

#include <string.h>

enum { CSL__K_BLOCK = 200, CSL__COLS_MAX = 16, CSL__ROWS_MAX = 12, CSL__COPY_FROM_ROWS = 6 };

/* The rows of W that are summed at a time, and D's part of them: `runs` pieces of `run` words, at d_step. */
struct csl__block {
    size_t runs, run, d_step;
    size_t d_right; /* from one row of D to the next */
};

/* y[rows][cols] += d . w, rows 1..CSL__ROWS_MAX; row strides in elements. */
typedef void csl__tile_fn(uint64_t *y, size_t ldy, const uint64_t *d, const struct csl__block *b,
                          const uint64_t *w, size_t ldw, size_t rows);

struct csl__tiling {
    const struct csl__windows *p;
    csl__tile_fn *tile;
    size_t rows, cols; /* of a tile */
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

static inline bool csl__copies(const struct csl__tiling *t, size_t width) {
    return width < t->cols ||
           (t->p->ldw != t->cols && t->p->pictures * t->p->high * t->p->wide >= CSL__COPY_FROM_ROWS);
}

/* For a panel narrower than a tile. */
static inline void csl__edge_tile(const struct csl__tiling *t, uint64_t *y, const uint64_t *d,
                                  const struct csl__block *b, size_t rows, size_t width) {
    memset(t->edge, 0, rows * t->cols * sizeof *t->edge);
    t->tile(t->edge, t->cols, d, b, t->panel, t->cols, rows);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < width; c++) {
            y[r * t->p->ldy + c] += t->edge[r * t->cols + c];
        }
    }
}

/* Windows of one picture's row, from y and d on; w is a whole panel. */
static inline void csl__line_product(const struct csl__tiling *t, uint64_t *y, const uint64_t *d,
                                     const struct csl__block *b, const uint64_t *w, size_t ldw,
                                     size_t width) {
    const struct csl__windows *p = t->p;
    size_t tiles = (p->wide - 1) / t->rows + 1, step = (p->wide - 1) / tiles + 1; /* of nearly equal height */
    for (size_t at = 0; at < p->wide; at += step, y += step * p->ldy, d += step * p->d_right) {
        size_t rows = p->wide - at < step ? p->wide - at : step;
        if (width < t->cols) {
            csl__edge_tile(t, y, d, b, rows, width);
        } else {
            t->tile(y, p->ldy, d, b, w, ldw, rows);
        }
    }
}

/* Columns j.. of all rows, for the rows of W from w on, of which d is the first one's place. */
static inline void csl__panel_product(const struct csl__tiling *t, size_t j, const uint64_t *d,
                                      const struct csl__block *b, const uint64_t *w) {
    const struct csl__windows *p = t->p;
    size_t width = p->n - j < t->cols ? p->n - j : t->cols, ldw = p->ldw;
    uint64_t *y = p->y + j;
    w += j;
    if (csl__copies(t, width)) {
        csl__copy_panel(t->panel, t->cols, w, ldw, b->runs * b->run, width);
        w = t->panel;
        ldw = t->cols;
    }
    for (size_t q = 0; q < p->pictures; q++) {
        for (size_t i = 0; i < p->high; i++, y += p->wide * p->ldy) {
            csl__line_product(t, y, d + q * p->d_next + i * p->d_down, b, w, ldw, width);
        }
    }
}

/* All columns of one block. */
static inline void csl__block_product(const struct csl__tiling *t, size_t run, size_t at,
                                      const struct csl__block *b) {
    const struct csl__windows *p = t->p;
    for (size_t j = 0; j < p->n; j += t->cols) {
        csl__panel_product(t, j, p->d + run * p->d_step + at, b, p->w + (run * p->run + at) * p->ldw);
    }
}

/* Y += D.W by tiles of rows x cols. */
static inline void csl__tiled_product(const struct csl__windows *p, csl__tile_fn *tile, size_t rows,
                                      size_t cols) {
    _Alignas(64) uint64_t panel[CSL__K_BLOCK * CSL__COLS_MAX];
    _Alignas(64) uint64_t edge[CSL__ROWS_MAX * CSL__COLS_MAX];
    const struct csl__tiling t = {p, tile, rows, cols, panel, edge};
    size_t pieces = (p->run - 1) / CSL__K_BLOCK + 1, piece = (p->run - 1) / pieces + 1;
    size_t together = pieces > 1 ? 1 : CSL__K_BLOCK / p->run;
    for (size_t s = 0; s < p->runs; s += together) {
        for (size_t at = 0; at < p->run; at += piece) {
            struct csl__block b = {.runs = p->runs - s < together ? p->runs - s : together,
                                   .run = p->run - at < piece ? p->run - at : piece,
                                   .d_step = p->d_step,
                                   .d_right = p->d_right};
            csl__block_product(&t, s, at, &b);
        }
    }
    if (csl__copies(&t, p->n % cols == 0 ? cols : p->n % cols)) {
        size_t deep = pieces > 1 ? piece : (p->runs < together ? p->runs : together) * p->run;
        csl_wipe(panel, deep * cols * sizeof *panel);
        csl_wipe(edge, sizeof edge);
    }
}

#endif
