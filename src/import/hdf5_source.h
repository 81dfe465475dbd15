/* import: HDF5 files as sources. All functions are local. */
#ifndef LOCKSTEP_IMPORT_HDF5_SOURCE_H
#define LOCKSTEP_IMPORT_HDF5_SOURCE_H

#include "internal.h"

/* A file and the arrays in it that become those of the splits. Texts are owned. */
typedef struct hdf5_source {
  char *file, *group;              /* of its name FILE[:GROUP]; group: NULL without one */
  char *paths[N_SPLITS][N_ARRAYS]; /* NULL: absent */
  char *ignored;                   /* an array that is not imported, or NULL */
  uint64_t rows[N_SPLITS];
  ls_part parts[N_SPLITS]; /* what the file is of a dataset in several files */
} hdf5_source;

/* Finds the arrays of a file by their names, or those that options name. LS_ERR_DATA if no array is x, or
 * several may have one role. */
ls_status import_hdf5_find(const ls_store *store, const ls_numpy_options *options, hdf5_source *s);

void import_hdf5_source_destroy(hdf5_source *s);

#endif
