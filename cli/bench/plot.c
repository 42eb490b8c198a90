#include "cli/bench/plot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 900, HEIGHT = 380, PANEL = 360, TOP = 50, BOTTOM = 310, LINES_MAX = 8, POINTS_MAX = 8 };

/* Latencies of one line; 0: not measured. Points stand at equal distances. */
struct line {
    char label[32];
    double ms[POINTS_MAX], bound[POINTS_MAX];
};

struct panel {
    const char *title;
    unsigned n_points, n_lines;
    char points[POINTS_MAX][32];
    struct line lines[LINES_MAX];
};

static const char *const colours[LINES_MAX] = {"#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad",
                                               "#b8860b", "#444444", "#00808b", "#a0522d"};

/* ---- From rows to panels ---- */

static unsigned find_or_add(char list[][32], unsigned *n, unsigned max, const char *text) {
    unsigned i = 0;
    while (i < *n && strcmp(list[i], text) != 0) {
        i++;
    }
    if (i == *n && *n < max) {
        (void)snprintf(list[(*n)++], 32, "%s", text);
    }
    return i;
}

static void put(struct panel *p, const char *point, const char *label, double ms, double bound) {
    unsigned at = find_or_add(p->points, &p->n_points, POINTS_MAX, point), i = 0;
    while (i < p->n_lines && strcmp(p->lines[i].label, label) != 0) {
        i++;
    }
    if (at == POINTS_MAX || i == LINES_MAX) {
        return;
    }
    if (i == p->n_lines) {
        (void)snprintf(p->lines[p->n_lines++].label, sizeof p->lines[i].label, "%s", label);
    }
    if (p->lines[i].ms[at] == 0) { /* the first measurement of several */
        p->lines[i].ms[at] = ms;
        p->lines[i].bound[at] = bound;
    }
}

static const char *rtt_of(const char *net) {
    return strcmp(net, "lan") == 0 ? "0.5 ms" : strcmp(net, "wan") == 0 ? "40 ms" : "loopback";
}

static void take_row(struct panel panels[2], json_t *row, const char *model) {
    const json_t *w = json_object_get(row, "workload");
    const char *net = json_string_value(json_object_get(w, "net")),
               *wait = json_string_value(json_object_get(w, "wait")),
               *name = json_string_value(json_object_get(w, "model"));
    if (net == NULL || wait == NULL || name == NULL || strcmp(name, model) != 0 ||
        strcmp(wait, "spin") != 0 || json_integer_value(json_object_get(w, "batch")) != 1) {
        return;
    }
    char parties[32], label[32];
    double ms = json_number_value(json_object_get(row, "median_ms")),
           bound = json_number_value(json_object_get(row, "bound_ms"));
    (void)snprintf(parties, sizeof parties, "%d", (int)json_integer_value(json_object_get(w, "parties")));
    (void)snprintf(label, sizeof label, "%.8s parties", parties);
    put(&panels[0], parties, net, ms, bound);
    put(&panels[1], rtt_of(net), label, ms, bound);
}

/* ---- Drawing ---- */

struct scale {
    double low, high; /* powers of ten */
};

static struct scale scale_of(const struct panel panels[2]) {
    struct scale s = {INFINITY, -INFINITY};
    for (int p = 0; p < 2; p++) {
        for (unsigned i = 0; i < panels[p].n_lines; i++) {
            for (unsigned k = 0; k < panels[p].n_points; k++) {
                double ms = panels[p].lines[i].ms[k], bound = panels[p].lines[i].bound[k];
                if (ms > 0 && bound > 0) {
                    s.low = fmin(s.low, floor(log10(fmin(ms, bound))));
                    s.high = fmax(s.high, ceil(log10(fmax(ms, bound))));
                }
            }
        }
    }
    return s.low < s.high ? s : (struct scale){-2, 3};
}

static double y_of(struct scale s, double ms) {
    return BOTTOM - (log10(ms) - s.low) / (s.high - s.low) * (BOTTOM - TOP);
}

static double x_of(const struct panel *p, double left, unsigned point) {
    double step = PANEL / (double)(p->n_points + 1);
    return left + step * (point + 1);
}

static void draw_axes(FILE *f, const struct panel *p, struct scale s, double left) {
    (void)fprintf(f, "<text x='%.0f' y='30' font-size='14'>%s</text>\n", left, p->title);
    for (double e = s.low; e <= s.high; e++) {
        double y = y_of(s, pow(10, e));
        (void)fprintf(f,
                      "<line x1='%.0f' x2='%.0f' y1='%.1f' y2='%.1f' stroke='#ddd'/>"
                      "<text x='%.0f' y='%.1f' text-anchor='end'>%g ms</text>\n",
                      left, left + PANEL, y, y, left - 6, y + 4, pow(10, e));
    }
    for (unsigned k = 0; k < p->n_points; k++) {
        (void)fprintf(f, "<text x='%.1f' y='%d' text-anchor='middle'>%s</text>\n", x_of(p, left, k),
                      BOTTOM + 18, p->points[k]);
    }
}

static void draw_path(FILE *f, const struct panel *p, const double *ms, struct scale s, double left,
                      const char *colour, const char *dash) {
    (void)fprintf(f, "<path fill='none' stroke='%s' stroke-width='2'%s d='", colour, dash);
    char command = 'M';
    for (unsigned k = 0; k < p->n_points; k++) {
        if (ms[k] > 0) {
            (void)fprintf(f, "%c%.1f %.1f ", command, x_of(p, left, k), y_of(s, ms[k]));
            command = 'L';
        }
    }
    (void)fprintf(f, "'/>\n");
}

static void draw_panel(FILE *f, const struct panel *p, struct scale s, double left) {
    draw_axes(f, p, s, left);
    for (unsigned i = 0; i < p->n_lines; i++) {
        const struct line *l = &p->lines[i];
        draw_path(f, p, l->ms, s, left, colours[i], "");
        draw_path(f, p, l->bound, s, left, colours[i], " stroke-dasharray='3 4' opacity='0.6'");
        for (unsigned k = 0; k < p->n_points; k++) {
            if (l->ms[k] > 0) {
                (void)fprintf(
                    f,
                    "<circle cx='%.1f' cy='%.1f' r='3' fill='%s'><title>%s, %s: %.3f ms</title></circle>\n",
                    x_of(p, left, k), y_of(s, l->ms[k]), colours[i], l->label, p->points[k], l->ms[k]);
            }
        }
        (void)fprintf(f, "<text x='%.0f' y='%d' fill='%s'>%s</text>\n", left + 90.0 * i, BOTTOM + 44,
                      colours[i], l->label);
    }
}

/* Names of models are file names: what XML would read as markup is left out. */
static void write_text(FILE *f, const char *text) {
    for (; *text != '\0'; text++) {
        (void)fputc(strchr("<>&\"'", *text) != NULL || (unsigned char)*text < ' ' ? '_' : *text, f);
    }
}

enum csl_err csl_bench_plot(const char *path, json_t *rows, const char *model, struct csl_diag *diag) {
    struct panel panels[2] = {{.title = "one input, by parties"}, {.title = "one input, by round-trip time"}};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        take_row(panels, row, model);
    }
    FILE *f = fopen(path, "we");
    if (f == NULL) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", path, strerror(errno));
    }
    struct scale s = scale_of(panels);
    (void)fprintf(
        f,
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d' "
        "font-family='sans-serif' font-size='11'>\n<rect width='100%%' height='100%%' fill='white'/>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_panel(f, &panels[0], s, 70);
    draw_panel(f, &panels[1], s, 70 + PANEL + 90);
    (void)fprintf(f, "<text x='70' y='%d' fill='#666'>", HEIGHT - 6);
    write_text(f, model);
    (void)fprintf(f, ": online, median; dashed: this machine's bound</text>\n</svg>\n");
    bool bad = ferror(f) != 0;
    bad = fclose(f) != 0 || bad;
    return bad ? csl_fail(diag, CSL_EIO, "%s: cannot be written", path) : CSL_OK;
}
