/* What the files of data share: what is to be read, and elements of any stored type. */
#ifndef LOCKSTEP_DATA_INTERNAL_H
#define LOCKSTEP_DATA_INTERNAL_H

#include "lockstep/data.h"

/* Names of arrays inside a file, found by src/data/find.c. All owned; NULL where there is none. */
typedef struct ls_names {
  char *x, *y, *w;
} ls_names;

/* Local. Finds the arrays that a request means. `file` and `group` are the parts of its spec; group is NULL
 * where the spec names none. */
ls_status ls_find_arrays(const ls_store *store, const ls_dataset_request *request, const char *group,
                         ls_names *names);
void ls_names_free(ls_names *names);

/* Local. Elements first .. first + n - 1 of an array of a stored type, as double; and one alone. */
void ls_elements(const void *array, ls_dtype dtype, size_t first, size_t n, double *out);
double ls_element(const void *array, ls_dtype dtype, size_t i);

/* Local. Reads y and w of a data set (already described and allocated) from the file. Rank 0's work. */
ls_status ls_read_targets(const ls_store *store, const ls_names *names, ls_dataset *dataset);

/* Local. Reads x in blocks; checks that real numbers are finite and fit float32. Rank 0's work. */
ls_status ls_read_inputs(const ls_store *store, const char *path, ls_dataset *dataset);

#endif
