/* The histories that one site signed, wherever they are shown. Two signed checkpoints of one size with two
 * roots, or a signed checkpoint that differs from the root over entries that another signed checkpoint
 * proves, are a proof of a fork: a tree that only grows has one root at each size. Two sizes that nothing
 * connects are incomplete. */
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"

void csl__sight(struct csl__verify *v, const struct csl_auditee *of, const struct csl_auditee *by,
                const struct csl__site *newest_of, const struct csl_checkpoint *c) {
    struct csl__sighting *s = csl__calloc(v, 1, sizeof *s);
    if (s != NULL) {
        *s = (struct csl__sighting){
            .of = of, .by = by, .newest_of = newest_of, .size = c->size, .next = v->sightings};
        memcpy(s->root, c->root, sizeof s->root);
        v->sightings = s;
    }
}

static void forked(struct csl__verify *v, const struct csl_auditee *who, uint64_t size, const char *how) {
    csl__find(v, CSL_VERDICT_ATTRIBUTABLE, who->name, NULL, 0,
              "%s signed two histories of its ledger that exclude each other (%s %llu)", who->name, how,
              (unsigned long long)size);
}

/* ---- All checkpoints of one size ---- */

struct signed_root {
    const struct csl_auditee *of;
    uint64_t size;
    uint8_t root[CSL_MERKLE_BYTES];
};

static int by_size(const void *a, const void *b) {
    const struct signed_root *x = a, *y = b;
    if (x->of != y->of) {
        return x->of < y->of ? -1 : 1;
    }
    return x->size == y->size ? 0 : x->size < y->size ? -1 : 1;
}

static void compare_sizes(struct csl__verify *v) {
    size_t n = 0;
    for (const struct csl__sighting *s = v->sightings; s != NULL; s = s->next) {
        n++;
    }
    for (size_t i = 0; i < v->n_sites; i++) {
        n += v->sites[i].n_chain;
    }
    struct signed_root *all = csl__calloc(v, n, sizeof *all);
    if (all == NULL) {
        return;
    }
    n = 0;
    for (const struct csl__sighting *s = v->sightings; s != NULL; s = s->next) {
        all[n] = (struct signed_root){.of = s->of, .size = s->size};
        memcpy(all[n++].root, s->root, CSL_MERKLE_BYTES);
    }
    for (size_t i = 0; i < v->n_sites; i++) {
        for (size_t k = 0; k < v->sites[i].n_chain; k++) {
            all[n] = (struct signed_root){.of = v->sites[i].member, .size = v->sites[i].chain[k].size};
            memcpy(all[n++].root, v->sites[i].chain[k].root, CSL_MERKLE_BYTES);
        }
    }
    qsort(all, n, sizeof *all, by_size);
    for (size_t i = 1; i < n; i++) {
        if (by_size(&all[i - 1], &all[i]) == 0 &&
            memcmp(all[i - 1].root, all[i].root, CSL_MERKLE_BYTES) != 0) {
            forked(v, all[i].of, all[i].size, "two checkpoints of entries");
        }
    }
    free(all);
}

/* ---- Entries against checkpoints ---- */

/* The root over the first `size` entries of a bundle; false when they are not all in it. */
static bool root_of(struct csl__verify *v, uint8_t root[CSL_MERKLE_BYTES], const struct csl__site *site,
                    uint64_t size) {
    return size != 0 && size <= site->tree.n &&
           !csl__failed(v, csl_merkle_tree_root(root, &site->tree, size));
}

static void compare_roots(struct csl__verify *v, const struct csl__site *site) {
    uint8_t root[CSL_MERKLE_BYTES];
    for (size_t i = 0; v->err == CSL_OK && i < v->n_sites; i++) {
        for (size_t k = 0; v->sites[i].member == site->member && k < v->sites[i].n_chain; k++) {
            const struct csl_checkpoint *c = &v->sites[i].chain[k];
            if (root_of(v, root, site, c->size) && memcmp(root, c->root, sizeof root) != 0) {
                forked(v, site->member, c->size, "a checkpoint against entries");
            }
        }
    }
}

/* Two bundles of one site, each with its own newest checkpoint, and an entry that differs. */
static void compare_entries(struct csl__verify *v, const struct csl__site *a, const struct csl__site *b) {
    size_t i = 0, k = 0;
    while (i < a->b->n_leaves && k < b->b->n_leaves) {
        uint64_t x = a->b->leaves[i]->index, y = b->b->leaves[k]->index;
        bool both = x == y && a->leaves[i] != NULL && b->leaves[k] != NULL;
        if (both && memcmp(a->hashes[i], b->hashes[k], CSL_MERKLE_BYTES) != 0) {
            forked(v, a->member, x, "two entries with the number");
            return;
        }
        i += x <= y ? 1 : 0;
        k += y <= x ? 1 : 0;
    }
}

/* ---- What connects a checkpoint that others show with the bundles of its site ---- */

/* Sizes in a chain rise, or that is a finding already. */
static bool in_chain(const struct csl__site *site, uint64_t size) {
    size_t from = 0, to = site->n_chain;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (site->chain[mid].size == size) {
            return true;
        }
        if (site->chain[mid].size < size) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return false;
}

static bool connects(struct csl__verify *v, const struct csl__sighting *s, const struct csl__site *site) {
    uint8_t root[CSL_MERKLE_BYTES];
    if (in_chain(site, s->size)) {
        return true; /* compare_sizes compares them */
    }
    if (!root_of(v, root, site, s->size)) {
        return false;
    }
    if (s->newest_of == NULL && memcmp(root, s->root, sizeof root) != 0) { /* else said in compare_roots */
        forked(v, s->of, s->size, "a checkpoint against entries");
    }
    return true;
}

/* Whether a longer history of this site may matter: not to a bundle of one session that is closed in it. */
static bool may_matter(const struct csl__site *site) {
    uint8_t key[32] = {0};
    if (site->b->session_id.len == 0) {
        return true;
    }
    memcpy(key, site->b->session_id.data, CSL__SESSION_ID_BYTES);
    const struct csl__shown *shown = csl__map_get(&site->by_id, key);
    return shown == NULL || shown->close == NULL;
}

static void connect(struct csl__verify *v, const struct csl__sighting *s) {
    bool shown = false, connected = false, matters = false;
    uint64_t longest = 0;
    for (size_t i = 0; v->err == CSL_OK && i < v->n_sites; i++) {
        const struct csl__site *site = &v->sites[i];
        if (site->member != s->of || site->n_chain == 0) {
            continue;
        }
        shown = true;
        matters |= may_matter(site);
        uint64_t newest = site->chain[site->n_chain - 1].size;
        longest = newest > longest ? newest : longest;
        connected |= site != s->newest_of && connects(v, s, site);
    }
    if (!shown || connected || s->size == 0 || (s->newest_of != NULL && s->size >= longest)) {
        return;
    }
    if (s->size > longest && matters) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, s->of->name, NULL, 0,
                  "%s has seen %llu entries of %s's ledger, whose bundle shows %llu: export it anew",
                  s->by->name, (unsigned long long)s->size, s->of->name, (unsigned long long)longest);
    } else if (s->size <= longest) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, s->of->name, NULL, 0,
                  "nothing in the bundle of %s connects its ledger with the checkpoint of %llu entries that "
                  "%s shows",
                  s->of->name, (unsigned long long)s->size, s->by->name);
    }
}

void csl__check_histories(struct csl__verify *v) {
    compare_sizes(v);
    for (size_t i = 0; v->err == CSL_OK && i < v->n_sites; i++) {
        if (v->sites[i].member == NULL) {
            continue;
        }
        compare_roots(v, &v->sites[i]);
        for (size_t k = i + 1; v->err == CSL_OK && k < v->n_sites; k++) {
            if (v->sites[k].member == v->sites[i].member && v->sites[i].n_chain != 0 &&
                v->sites[k].n_chain != 0) {
                compare_entries(v, &v->sites[i], &v->sites[k]);
            }
        }
    }
    for (const struct csl__sighting *s = v->sightings; v->err == CSL_OK && s != NULL; s = s->next) {
        connect(v, s);
    }
}
