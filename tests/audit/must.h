/* For what cannot fail in the worlds that tests build: ends the program with the place and the error. */
#ifndef CSL_TESTS_AUDIT_MUST_H
#define CSL_TESTS_AUDIT_MUST_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(x)                                                                                              \
    do {                                                                                                     \
        enum csl_err must_ = (x);                                                                            \
        if (must_ != CSL_OK) {                                                                               \
            (void)fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, csl_err_name(must_));           \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
