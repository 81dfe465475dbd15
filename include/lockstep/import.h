/* import: parsers of foreign files, IDX and CSV, written to our HDF5 data sets.
 *
 * A data set has a group per split (/train, /test) with x and y; the attribute `classes` on y lists class
 * names where labels were text, `features` on x the column names where the file had a header. All
 * functions are local. */
#ifndef LOCKSTEP_IMPORT_H
#define LOCKSTEP_IMPORT_H

#include "lockstep/base.h"

typedef struct ls_import_options {
  const char *output; /* the HDF5 file to write */
  const char *label;  /* CSV: the label column by name, or by number from 1; NULL: the last column; "": no
                         column is a label, and no y is written */
  double
      test_fraction; /* in [0, 1): CSV: this part of the rows goes to /test, drawn by a keyed permutation */
  uint64_t seed;     /* of that permutation */
  const char *const *columns; /* CSV with a header: the features, by name and in this order; other columns
                                 are passed over. NULL: all but the label */
  size_t n_columns;
} ls_import_options;

/* What was written, for the user. */
typedef struct ls_import_summary {
  uint64_t train_samples, test_samples; /* 0: the group is absent */
  uint64_t features;
  uint64_t classes; /* 0: y holds real numbers, or there is none */
} ls_import_summary;

/* Local. Imports `sources`: all IDX files (gzipped or not, in any order; images and labels are paired by
 * header and name: `train*` goes to /train, `t10k*` or `test*` to /test, any other name to /train), or one
 * CSV file. LS_ERR_DATA names the file, the line on which the row begins, the column, and the offending
 * text; LS_ERR_CONFIG: options that do not fit the sources (a test fraction or label for IDX files, an
 * output that is also a source); LS_ERR_OUTPUT where `output` can't be written. Nothing is left behind on
 * failure. */
ls_status ls_import(const char *const *sources, size_t n_sources, const ls_import_options *options,
                    ls_import_summary *summary);

#endif
