/* Shared by archive.c (the sealed form) and archive_files.c (files on disk). */
#ifndef CSL_ROLES_ARCHIVE_INTERNAL_H
#define CSL_ROLES_ARCHIVE_INTERNAL_H

#include "roles/package/archive.h"

/* A relative path of plain components. */
bool csl__archive_name_valid(const char *name);

#endif
