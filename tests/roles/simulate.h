/* Running the program as a user does, and reading what it says. */
#ifndef CSL_TESTS_ROLES_SIMULATE_H
#define CSL_TESTS_ROLES_SIMULATE_H

#include <stddef.h>

#include <jansson.h>

enum { SKIPPED = 77, PATH_ROOM = 256 };

/* The JSON document that a command line prints; NULL, and a line on stdout, when it fails. */
json_t *run_json(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A number of a document by its key; NaN when it is not there, with which every comparison is false. */
double number(const json_t *doc, const char *key);

/* New files, which the caller removes: n inputs of the given size as .npy (n x 1 x size), n labels as IDX.
 * End the program when they cannot be written. */
void write_npy(char path[PATH_ROOM], const float *x, unsigned n, unsigned size);
void write_labels(char path[PATH_ROOM], const unsigned char *label, unsigned n);

#endif
