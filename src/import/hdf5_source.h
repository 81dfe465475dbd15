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

/* What all files must agree in. */
typedef struct hdf5_facts {
  bool has[N_ARRAYS];
  ls_array arrays[N_ARRAYS];  /* dims[0]: of this file; y may be LS_TEXT */
  char **classes, **features; /* owned, each in one block; NULL: none */
  size_t n_classes, n_features;
  uint64_t rate; /* attribute sample_rate; 0: none */
} hdf5_facts;

/* Checks and describes a split of a file. LS_ERR_DATA. import_hdf5_facts_destroy is needed after a failure
 * too. */
ls_status import_hdf5_describe(const ls_store *store, const hdf5_source *s, size_t which, hdf5_facts *f);
void import_hdf5_facts_destroy(hdf5_facts *f);

/* Compares a split with that of the first file, called `file`. LS_ERR_DATA if they differ. */
ls_status import_hdf5_compare(const hdf5_facts *first, const char *file, const hdf5_source *s, size_t which,
                              const hdf5_facts *f);

/* Adds the n texts of y to the set, whose path is that of the file. LS_ERR_DATA if one is not usable as a
 * class. */
ls_status import_hdf5_labels_add(const ls_store *store, const char *path, uint64_t n, label_set *set);

/* Reads the classes of n texts from row `first` on. classes: (n). LS_ERR_DATA. */
ls_status import_hdf5_labels_read(const ls_store *store, const char *path, uint64_t first, size_t n,
                                  const label_set *set, int64_t *classes);

#endif
