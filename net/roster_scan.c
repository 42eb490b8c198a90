/* A roster's text before libcyaml reads it: what its schema cannot refuse, and the lines of all fields. */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "net/roster_internal.h"

enum { MAX_DEPTH = 6, MAX_FIELDS = 32, MAX_FIELD_BYTES = 32 };

/* An open mapping or sequence. */
struct frame {
    bool is_map;
    bool at_value; /* of a mapping: the next node is a value */
    long index;    /* of a sequence: the current entry */
    size_t n_keys; /* keys[n_keys - 1] is the current one */
    char keys[MAX_FIELDS][MAX_FIELD_BYTES + 1];
};

struct walk {
    const struct csl__roster_text *t;
    struct frame frames[MAX_DEPTH];
    size_t depth;
    unsigned n_documents;
    const struct csl__roster_at *wanted; /* NULL while scanning */
    size_t line;                         /* of what is wanted, the closest so far */
};

static enum csl_err bad_line(const struct walk *w, size_t line, const char *sentence, const char *word) {
    return csl_fail(w->t->diag, CSL_ECONFIG, "%s:%zu: %s%.40s", w->t->what, line, sentence, word);
}

static const char *key_of(const struct walk *w, size_t depth) {
    const struct frame *f = &w->frames[depth];
    return depth < w->depth && f->is_map && f->n_keys > 0 ? f->keys[f->n_keys - 1] : "";
}

/* Called at each key and each sequence entry: keeps the line when it is on the way to what is wanted. */
static void note_line(struct walk *w, size_t line) {
    const struct csl__roster_at *a = w->wanted;
    if (a == NULL || strcmp(key_of(w, 0), a->section) != 0) {
        return;
    }
    bool is_list = a->index >= 0;
    const char *field = is_list ? key_of(w, 2) : key_of(w, 1);
    bool right_entry = is_list ? w->depth >= 2 && w->frames[1].index == a->index : true;
    bool section = w->depth == 1;
    bool entry = is_list && w->depth == 2 && right_entry;
    bool in_field =
        w->depth == (is_list ? 3U : 2U) && right_entry && a->field != NULL && strcmp(field, a->field) == 0;
    if (section || entry || in_field) {
        w->line = line;
    }
}

static enum csl_err take_key(struct walk *w, struct frame *f, const yaml_event_t *e, size_t line) {
    if (e->type != YAML_SCALAR_EVENT) {
        return bad_line(w, line, "a field name must be plain text", "");
    }
    const char *key = (const char *)e->data.scalar.value;
    if (e->data.scalar.length > MAX_FIELD_BYTES || strlen(key) != e->data.scalar.length ||
        f->n_keys == MAX_FIELDS) {
        return bad_line(w, line, "unknown field ", key);
    }
    for (size_t i = 0; i < f->n_keys; i++) {
        if (strcmp(f->keys[i], key) == 0) {
            return bad_line(w, line, "repeated field ", key);
        }
    }
    if (!csl__roster_known(w->depth == 1 ? "" : key_of(w, 0), key)) {
        return bad_line(w, line, "unknown field ", key);
    }
    memcpy(f->keys[f->n_keys++], key, e->data.scalar.length + 1);
    f->at_value = true;
    note_line(w, line);
    return CSL_OK;
}

static enum csl_err open_frame(struct walk *w, bool is_map, size_t line) {
    if (w->depth == MAX_DEPTH) {
        return bad_line(w, line, "nested too deeply", "");
    }
    struct frame *f = &w->frames[w->depth++];
    memset(f, 0, sizeof *f);
    f->is_map = is_map;
    f->index = -1;
    return CSL_OK;
}

static enum csl_err take_node(struct walk *w, const yaml_event_t *e, size_t line) {
    struct frame *f = w->depth == 0 ? NULL : &w->frames[w->depth - 1];
    if (f != NULL && f->is_map && !f->at_value) {
        return take_key(w, f, e, line);
    }
    if (f != NULL && f->is_map) {
        f->at_value = false;
    } else if (f != NULL) {
        f->index++;
        note_line(w, line);
    }
    return e->type == YAML_SCALAR_EVENT ? CSL_OK : open_frame(w, e->type == YAML_MAPPING_START_EVENT, line);
}

static enum csl_err check_plain(const struct walk *w, const void *anchor, const void *tag, size_t line) {
    if (anchor != NULL) {
        return bad_line(w, line, "anchors (&name) are not allowed", "");
    }
    return tag == NULL ? CSL_OK : bad_line(w, line, "tags (!name) are not allowed", "");
}

static enum csl_err take_event(struct walk *w, const yaml_event_t *e) {
    size_t line = e->start_mark.line + 1;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return w->n_documents++ == 0 ? CSL_OK : bad_line(w, line, "a second document starts here", "");
    case YAML_ALIAS_EVENT:
        return bad_line(w, line, "aliases (*name) are not allowed", "");
    case YAML_SCALAR_EVENT:
        TRY(check_plain(w, e->data.scalar.anchor, e->data.scalar.tag, line));
        if (memchr(e->data.scalar.value, 0, e->data.scalar.length) != NULL) {
            return bad_line(w, line, "text with a NUL byte", "");
        }
        return take_node(w, e, line);
    case YAML_SEQUENCE_START_EVENT:
        TRY(check_plain(w, e->data.sequence_start.anchor, e->data.sequence_start.tag, line));
        return take_node(w, e, line);
    case YAML_MAPPING_START_EVENT:
        TRY(check_plain(w, e->data.mapping_start.anchor, e->data.mapping_start.tag, line));
        return take_node(w, e, line);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        w->depth--;
        return CSL_OK;
    default:
        return CSL_OK;
    }
}

static enum csl_err parser_error(const struct walk *w, const yaml_parser_t *p) {
    if (p->error == YAML_MEMORY_ERROR) {
        return csl_fail(w->t->diag, CSL_ENOMEM, "%s: out of memory", w->t->what);
    }
    const char *problem = p->problem == NULL ? "unknown problem" : p->problem;
    if (p->error == YAML_READER_ERROR) {
        return csl_fail(w->t->diag, CSL_ECONFIG, "%s: not UTF-8 text: %s at byte %zu", w->t->what, problem,
                        p->problem_offset);
    }
    return csl_fail(w->t->diag, CSL_ECONFIG, "%s:%zu: not YAML: %s", w->t->what, p->problem_mark.line + 1,
                    problem);
}

static enum csl_err walk_events(struct walk *w) {
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        return csl_fail(w->t->diag, CSL_ENOMEM, "%s: out of memory", w->t->what);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, w->t->text, w->t->n);
    enum csl_err err = CSL_OK;
    bool more = true;
    while (err == CSL_OK && more) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            err = parser_error(w, &parser);
            break;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        err = take_event(w, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return err;
}

/* Whether a line starts at byte i: YAML also breaks lines at NEL, LS and PS; a byte order mark is skipped. */
static bool starts_line(const unsigned char *text, size_t i) {
    static const char *const before[] = {"\n",           "\r",           "\xc2\x85",
                                         "\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf"};
    for (size_t k = 0; k < sizeof before / sizeof *before; k++) {
        size_t n = strlen(before[k]);
        if (i >= n && memcmp(text + i - n, before[k], n) == 0) {
            return true;
        }
    }
    return i == 0;
}

/* YAML directives serve nothing here, and libyaml takes quadratic time over many of them. */
static enum csl_err refuse_directives(const struct walk *w) {
    size_t line = 1;
    for (size_t i = 0; i < w->t->n; i++) {
        if (w->t->text[i] == '%' && starts_line(w->t->text, i)) {
            return bad_line(w, line, "directives (%...) are not allowed", "");
        }
        line += w->t->text[i] == '\n';
    }
    return CSL_OK;
}

enum csl_err csl__roster_scan(const struct csl__roster_text *t) {
    struct walk w = {.t = t};
    TRY(refuse_directives(&w));
    TRY(walk_events(&w));
    return w.n_documents == 1 ? CSL_OK : csl_fail(t->diag, CSL_ECONFIG, "%s: empty", t->what);
}

size_t csl__roster_line(const struct csl__roster_text *t, struct csl__roster_at at) {
    struct csl__roster_text quiet = *t;
    quiet.diag = NULL;
    struct walk w = {.t = &quiet, .wanted = &at, .line = 1};
    return walk_events(&w) == CSL_OK ? w.line : 1;
}

enum csl_err csl__roster_bad(const struct csl__roster_text *t, struct csl__roster_at at, const char *fmt,
                             ...) {
    char sentence[300], index[24] = "";
    va_list ap;
    if (t->diag == NULL) {
        return CSL_ECONFIG;
    }
    va_start(ap, fmt);
    (void)vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    if (at.index >= 0) {
        (void)snprintf(index, sizeof index, "[%ld]", at.index);
    }
    return csl_fail(t->diag, CSL_ECONFIG, "%s:%zu: %s%s%s%s: %s", t->what, csl__roster_line(t, at),
                    at.section, index, at.field == NULL ? "" : ".", at.field == NULL ? "" : at.field,
                    sentence);
}
