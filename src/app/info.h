/* What the files of the command info share. */
#ifndef LOCKSTEP_APP_INFO_H
#define LOCKSTEP_APP_INFO_H

#include "internal.h"

/* An array of a file. */
typedef struct info_array {
  const char *path;
  const ls_array *array; /* NULL: it cannot be read */
  const char *why;       /* the reason */
  size_t n_zeros, n; /* of a weight matrix: elements that are exactly 0, an effect of l1; n: 0 for others */
} info_array;

/* Sums over the arrays of a walk. */
typedef struct info_tally {
  bool json;     /* else text */
  bool is_model; /* unreadable arrays are errors, and zeros are counted */
  double n_elements;
  size_t n_names, n_unreadable;
} info_tally;

/* Local. Prints every array below a group. LS_ERR_DATA if the file is damaged. */
ls_status app_info_print_arrays(const ls_store *store, const char *group, info_tally *tally);

/* Local. Prints "title a, b, ... and 3 more". */
void app_info_print_list(const char *title, char **texts, size_t n);

/* Local. Print a model or checkpoint, or a run directory. */
ls_status app_info_print_saved(const char *path, bool json);
ls_status app_info_print_run(const char *path, bool json);

#endif
