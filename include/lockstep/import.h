/* import: converts files of other formats (IDX, CSV, NumPy, folders of images or recordings) to HDF5
 * datasets.
 *
 * A dataset has a group per split (/train, /test, /validation) with x and y. The attribute `classes` of y
 * lists class names if labels were text, `features` of x the column names if the file had a header. All
 * functions are local. */
#ifndef LOCKSTEP_IMPORT_H
#define LOCKSTEP_IMPORT_H

#include "lockstep/base.h"

/* How to read a folder. 0: as in the files, which must agree. */
typedef struct ls_folder_options {
  size_t height, width; /* of images, after resampling */
  size_t channels;      /* images: 1 grey or 3 RGB; recordings: 1 for their mean */
  size_t length;        /* frames of recordings, which are cut or padded with zeros at their end */
  bool skip_broken;     /* skip damaged files, with a warning */
} ls_folder_options;

/* The names of NumPy arrays. NULL: those with names such as x, y, x_train and y_test. Texts are borrowed.
 */
typedef struct ls_numpy_options {
  const char *x, *y;
} ls_numpy_options;

typedef struct ls_import_options {
  const char *output; /* the HDF5 file to write */
  const char
      *label; /* CSV: the label column by name, or by number from 1. NULL: the last; "": none, no y */
  double test_fraction;       /* CSV: fraction of the rows, in [0, 1), that goes to /test */
  uint64_t seed;              /* of the permutation that chooses these rows */
  const char *const *columns; /* CSV with a header: names of the features, in the order of x; other columns
                                 are ignored. NULL: all columns but the label */
  size_t n_columns;
  ls_folder_options folder; /* for folders only */
  ls_numpy_options numpy;   /* for NumPy arrays only */
} ls_import_options;

/* Facts about the dataset that was written. */
typedef struct ls_import_summary {
  uint64_t train_samples, test_samples, validation_samples; /* 0: the group is absent */
  uint64_t features;
  uint64_t classes; /* 0: y has real numbers, or is absent */
} ls_import_summary;

/* Local. Imports one CSV file, IDX files, gzipped or not, NumPy arrays (one .npz file, or
 * .npy files), or a folder. IDX images and labels are paired by
 * header and name: `t10k*` and `test*` belong to /test, all others to /train. LS_ERR_DATA: the message
 * names the file, the line on which the row begins, the column, and the text of the cell. LS_ERR_CONFIG: an
 * option that does not apply to the sources (test fraction or label for IDX), or an output that is also a
 * source. LS_ERR_OUTPUT. A failure leaves the output as it was. */
ls_status ls_import(const char *const *sources, size_t n_sources, const ls_import_options *options,
                    ls_import_summary *summary);

#endif
