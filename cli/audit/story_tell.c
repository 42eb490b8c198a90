/* A ledger's entry in words, from its facts (story.c). */
#include "cli/audit/story.h"

#include <stdio.h>
#include <string.h>

enum { SHORT = 6 }; /* bytes of a hash that people are shown */

/* A value as people are shown it: hashes cut to a few digits. */
static void tell_value(char *out, size_t room, const json_t *v) {
    const char *text = json_string_value(v);
    if (json_is_integer(v)) {
        (void)snprintf(out, room, "%lld", (long long)json_integer_value(v));
    } else if (json_is_boolean(v)) {
        (void)snprintf(out, room, "%s", json_is_true(v) ? "yes" : "no");
    } else if (text != NULL && (strlen(text) == 64 || strlen(text) == 32) &&
               strspn(text, "0123456789abcdef") == strlen(text)) {
        (void)snprintf(out, room, "%.*s", 2 * SHORT, text);
    } else {
        (void)snprintf(out, room, "%s", text == NULL ? "" : text);
    }
}

static void add(char out[CSL_STORY_MAX], const char *text) {
    size_t n = strlen(out);
    (void)snprintf(out + n, CSL_STORY_MAX - n, "%s", text);
}

/* In lists each line begins with who it is about. */
static const char *const heads_line[] = {"name", "party", "owner", NULL};

static bool begins_line(const char *key) {
    for (size_t i = 0; heads_line[i] != NULL; i++) {
        if (strcmp(key, heads_line[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void tell_object(char out[CSL_STORY_MAX], const json_t *o, bool in_list) {
    const char *key;
    json_t *v;
    const char *between = "";
    json_object_foreach((json_t *)(uintptr_t)o, key, v) {
        char value[CSL_STORY_MAX / 4], word[CSL_STORY_MAX / 4 + 64];
        if (json_is_array(v) || strcmp(key, "kind") == 0 || strcmp(key, "session") == 0) {
            continue;
        }
        tell_value(value, sizeof value, v);
        if (value[0] == '\0') {
            continue;
        }
        if (in_list && begins_line(key)) {
            (void)snprintf(word, sizeof word, "%-16s", value);
        } else {
            (void)snprintf(word, sizeof word, "%s%s %s", between, key, value);
            between = "; ";
        }
        add(out, word);
    }
}

static void tell_array(char out[CSL_STORY_MAX], const char *key, const json_t *all) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)all, i, v) {
        char value[128] = "";
        add(out, json_is_object(v) || i == 0 ? "\n" : "; ");
        if (json_is_object(v)) {
            tell_object(out, v, true);
        } else {
            tell_value(value, sizeof value, v);
            add(out, key);
            add(out, " ");
            add(out, value);
        }
    }
}

void csl_story_tell(char out[CSL_STORY_MAX], struct csl_story *s, const csl_leaf *leaf) {
    const char *key;
    json_t *v, *o = csl_story_json(s, leaf);
    out[0] = '\0';
    tell_object(out, o, false);
    json_object_foreach(o, key, v) {
        if (json_is_array(v)) {
            tell_array(out, key, v);
        }
    }
    json_decref(o);
}
