/* The outbox as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/outbox_internal.h"

enum { VERSION = 1 };

static const char *const states[] = {
    [CSL_OUTBOX_QUEUED] = "queued", [CSL_OUTBOX_SIGNED] = "signed", [CSL_OUTBOX_MINED] = "mined"};

/* ---- Writing ---- */

static void put_bytes(json_t *o, const char *key, const uint8_t *p, size_t n) {
    char text[2 * CSL_OUTBOX_RAW_MAX + 3];
    csl_hex0x_text(text, p, n);
    (void)json_object_set_new(o, key, json_string(text));
}

/* As decimal text: JSON's integers are signed. */
static void put_u64(json_t *o, const char *key, uint64_t v) {
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    (void)json_object_set_new(o, key, json_string(text));
}

static void put_root(json_t *o, const char *size, const char *root, const struct csl_anchor_root *r) {
    put_u64(o, size, r->size);
    put_bytes(o, root, r->root, sizeof r->root);
}

static void put_mined(json_t *o, const struct csl_outbox_mined *m) {
    put_bytes(o, "tx", m->tx, sizeof m->tx);
    put_u64(o, "block", m->block);
    put_bytes(o, "block_hash", m->block_hash, sizeof m->block_hash);
    put_u64(o, "time", m->time_s);
    put_u64(o, "gas_used", m->gas_used);
    put_u64(o, "gas_price", m->gas_price);
}

static json_t *variant_json(const struct csl_outbox_variant *v) {
    json_t *o = json_object();
    put_bytes(o, "hash", v->hash, sizeof v->hash);
    put_bytes(o, "raw", v->raw, v->n_raw);
    put_u64(o, "max_fee", v->max_fee);
    put_u64(o, "max_priority", v->max_priority);
    (void)json_object_set_new(o, "legacy", json_boolean(v->legacy));
    return o;
}

static json_t *place_json(const struct csl_outbox_entry *e) {
    json_t *o = json_object();
    put_u64(o, "index", e->index);
    put_root(o, "previous_size", "previous_root", &e->previous);
    put_root(o, "size", "root", &e->is);
    return o;
}

static json_t *entry_json(const struct csl_outbox_entry *e) {
    json_t *o = place_json(e), *variants = json_array();
    for (size_t i = 0; i < e->n_variants; i++) {
        (void)json_array_append_new(variants, variant_json(&e->variants[i]));
    }
    (void)json_object_set_new(o, "state", json_string(states[e->state]));
    put_u64(o, "nonce", e->nonce);
    put_u64(o, "gas_limit", e->gas_limit);
    put_u64(o, "signed", (uint64_t)e->signed_s);
    (void)json_object_set_new(o, "variants", variants);
    put_mined(o, &e->mined);
    return o;
}

char *csl__outbox_text(const struct csl_outbox *o) {
    json_t *doc = json_object(), *entries = json_array();
    (void)json_object_set_new(doc, "version", json_integer(VERSION));
    put_u64(doc, "n_final", o->n_final);
    put_root(doc, "final_size", "final_root", &o->final);
    put_u64(doc, "final_block", o->final_block);
    put_bytes(doc, "final_block_hash", o->final_hash, sizeof o->final_hash);
    put_u64(doc, "reverts", o->reverts);
    put_u64(doc, "behind", (uint64_t)o->behind_s);
    put_u64(doc, "taken", (uint64_t)o->taken_s);
    (void)json_object_set_new(doc, "base_fee", json_boolean(o->base_fee));
    for (size_t i = 0; i < o->n; i++) {
        (void)json_array_append_new(entries, entry_json(&o->entries[i]));
    }
    (void)json_object_set_new(doc, "entries", entries);
    char *text = json_dumps(doc, JSON_INDENT(1));
    json_decref(doc);
    return text;
}

char *csl__outbox_final_text(const struct csl_outbox_entry *e) {
    json_t *o = place_json(e);
    put_mined(o, &e->mined);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

/* ---- Reading; any of these sets *bad to the field ---- */

static const char *take_text(const json_t *o, const char *key, const char **bad) {
    const char *text = json_string_value(json_object_get(o, key));
    if (text == NULL) {
        *bad = key;
    }
    return text == NULL ? "" : text;
}

static uint64_t take_u64(const json_t *o, const char *key, const char **bad) {
    const char *text = take_text(o, key, bad);
    size_t n = strlen(text);
    unsigned long long v = strtoull(text, NULL, 10);
    char again[24];
    (void)snprintf(again, sizeof again, "%llu", v);
    if (n == 0 || strspn(text, "0123456789") != n || strcmp(again, text) != 0) {
        *bad = key;
    }
    return v;
}

static void take_bytes(const json_t *o, const char *key, uint8_t *out, size_t n, const char **bad) {
    if (!csl_hex0x_parse(out, n, take_text(o, key, bad))) {
        memset(out, 0, n);
        *bad = key;
    }
}

static void take_root(const json_t *o, const char *size, const char *root, struct csl_anchor_root *r,
                      const char **bad) {
    r->size = take_u64(o, size, bad);
    take_bytes(o, root, r->root, sizeof r->root, bad);
}

static void take_mined(const json_t *o, struct csl_outbox_mined *m, const char **bad) {
    take_bytes(o, "tx", m->tx, sizeof m->tx, bad);
    m->block = take_u64(o, "block", bad);
    take_bytes(o, "block_hash", m->block_hash, sizeof m->block_hash, bad);
    m->time_s = take_u64(o, "time", bad);
    m->gas_used = take_u64(o, "gas_used", bad);
    m->gas_price = take_u64(o, "gas_price", bad);
}

static void take_variant(const json_t *o, struct csl_outbox_variant *v, const char **bad) {
    const char *raw = take_text(o, "raw", bad);
    size_t digits = strlen(raw);
    v->n_raw = digits < 4 || digits % 2 != 0 || digits > 2 * CSL_OUTBOX_RAW_MAX + 2 ? 0 : (digits - 2) / 2;
    if (v->n_raw == 0) {
        *bad = "raw";
        return;
    }
    take_bytes(o, "raw", v->raw, v->n_raw, bad);
    take_bytes(o, "hash", v->hash, sizeof v->hash, bad);
    v->max_fee = take_u64(o, "max_fee", bad);
    v->max_priority = take_u64(o, "max_priority", bad);
    v->legacy = json_is_true(json_object_get(o, "legacy"));
    uint8_t hash[CSL_HASH_BYTES];
    csl_keccak256(hash, v->raw, v->n_raw); /* what was kept is what was signed */
    if (memcmp(hash, v->hash, sizeof hash) != 0) {
        *bad = "hash";
    }
}

static void take_place(const json_t *o, uint64_t *index, struct csl_anchor_root *previous,
                       struct csl_anchor_root *is, const char **bad) {
    *index = take_u64(o, "index", bad);
    take_root(o, "previous_size", "previous_root", previous, bad);
    take_root(o, "size", "root", is, bad);
    if (is->size <= previous->size) {
        *bad = "size";
    }
}

static void take_entry(const json_t *o, struct csl_outbox_entry *e, const char **bad) {
    take_place(o, &e->index, &e->previous, &e->is, bad);
    const char *state = take_text(o, "state", bad);
    size_t s = 0;
    while (s < 3 && strcmp(states[s], state) != 0) {
        s++;
    }
    if (s == 3) {
        *bad = "state";
        return;
    }
    e->state = (enum csl_outbox_state)s;
    e->nonce = take_u64(o, "nonce", bad);
    e->gas_limit = take_u64(o, "gas_limit", bad);
    e->signed_s = (int64_t)take_u64(o, "signed", bad);
    take_mined(o, &e->mined, bad);
    const json_t *variants = json_object_get(o, "variants");
    size_t n = json_array_size(variants);
    if (!json_is_array(variants) || n > CSL_OUTBOX_VARIANTS || (e->state == CSL_OUTBOX_SIGNED && n == 0) ||
        (e->state == CSL_OUTBOX_QUEUED && n != 0)) {
        *bad = "variants";
        return;
    }
    for (; e->n_variants < n; e->n_variants++) {
        take_variant(json_array_get(variants, e->n_variants), &e->variants[e->n_variants], bad);
    }
}

/* Each continues the one before. */
static bool is_chain(const struct csl_outbox *o) {
    const struct csl_anchor_root *before = &o->final;
    for (size_t i = 0; i < o->n; i++) {
        if (o->entries[i].index != o->n_final + i || !csl_anchor_root_same(&o->entries[i].previous, before)) {
            return false;
        }
        before = &o->entries[i].is;
    }
    return (o->n_final == 0) == (o->final.size == 0);
}

/* Files of before have none. */
static int64_t take_time(const json_t *doc, const char *key, const char **bad) {
    uint64_t v = json_object_get(doc, key) == NULL ? 0 : take_u64(doc, key, bad);
    return v <= INT64_MAX ? (int64_t)v : 0;
}

static void take_all(const json_t *doc, struct csl_outbox *o, const char **bad) {
    if (json_integer_value(json_object_get(doc, "version")) != VERSION) {
        *bad = "version";
    }
    o->n_final = take_u64(doc, "n_final", bad);
    take_root(doc, "final_size", "final_root", &o->final, bad);
    o->final_block = take_u64(doc, "final_block", bad);
    take_bytes(doc, "final_block_hash", o->final_hash, sizeof o->final_hash, bad);
    uint64_t reverts = take_u64(doc, "reverts", bad);
    o->reverts = reverts < 1000 ? (unsigned)reverts : 1000;
    o->behind_s = take_time(doc, "behind", bad);
    o->taken_s = take_time(doc, "taken", bad);
    o->base_fee = json_is_true(json_object_get(doc, "base_fee"));
    const json_t *entries = json_object_get(doc, "entries");
    if (!json_is_array(entries) || json_array_size(entries) > CSL_OUTBOX_MAX) {
        *bad = "entries";
        return;
    }
    for (; *bad == NULL && o->n < json_array_size(entries); o->n++) {
        take_entry(json_array_get(entries, o->n), &o->entries[o->n], bad);
    }
    if (*bad == NULL && !is_chain(o)) {
        *bad = "entries (they do not continue each other)";
    }
}

enum csl_err csl_outbox_parse(struct csl_outbox *o, const char *text, size_t n, struct csl_diag *diag) {
    json_error_t why;
    const char *bad = NULL;
    json_t *doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (doc != NULL) {
        take_all(doc, o, &bad);
    }
    bool good = doc != NULL && bad == NULL;
    json_decref(doc);
    if (good) {
        return CSL_OK;
    }
    o->n = 0;
    return csl_fail(
        diag, CSL_EDATA,
        "%s/outbox.json is damaged (%s): move the folder away and start again; what is on the chain "
        "is found there",
        o->dir, bad != NULL ? bad : "it is no JSON");
}

bool csl__outbox_final_parse(struct csl_outbox_anchor *out, const char *text, size_t n) {
    const char *bad = NULL;
    json_t *doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    if (doc == NULL) {
        return false;
    }
    take_place(doc, &out->index, &out->previous, &out->is, &bad);
    take_mined(doc, &out->mined, &bad);
    out->final = true;
    json_decref(doc);
    return bad == NULL;
}
