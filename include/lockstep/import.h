/* import: converts files of other formats (IDX, CSV, NumPy, folders of images or recordings) to HDF5
 * datasets, and shuffles datasets. Sources may be of any size; memory is bounded.
 *
 * A dataset has a group per split (/train, /test, /validation) with x and y. The attribute `classes` of y
 * lists class names if labels were text, `features` of x the column names if the file had a header. All
 * functions are local. */
#ifndef LOCKSTEP_IMPORT_H
#define LOCKSTEP_IMPORT_H

#include "lockstep/base.h"

#define LS_FIT_SIDE   64
#define LS_FIT_LENGTH 1.5

/* How to read a folder. 0: as in the files, which must agree. */
typedef struct ls_folder_options {
  size_t height, width; /* of images, after resampling */
  size_t channels;      /* images: 1 grey or 3 RGB; recordings: 1 for their mean */
  size_t length;        /* frames of recordings, which are cut or padded with zeros at their end */
  bool skip_broken;     /* skip damaged files, with a warning */
  bool needs_classes;   /* LS_ERR_DATA unless the files are in the folders of at least two classes */
  bool fits; /* choose what is 0 above and differs between the files: the mean size of images, with sides of
                at most LS_FIT_SIDE pixels; for recordings, the longest one up to LS_FIT_LENGTH times the
                mean length, and one channel. A line reports it */
} ls_folder_options;

/* The names of NumPy arrays, or of arrays in HDF5 files. NULL: those with names such as x, y, x_train and
 * y_test. Texts are borrowed. */
typedef struct ls_numpy_options {
  const char *x, *y;
} ls_numpy_options;

/* Whether the first row of a table has the names of the columns. AUTO: decided by the first rows; a row
 * that may be either is LS_ERR_DATA. */
typedef enum ls_table_header { LS_HEADER_AUTO, LS_HEADER_YES, LS_HEADER_NO } ls_table_header;

/* What the labels of a table are. AUTO: classes if they are words, or whole numbers of which there are few
 * (see LABELS in import); otherwise numbers. */
typedef enum ls_table_targets { LS_TARGETS_AUTO, LS_TARGETS_CLASSES, LS_TARGETS_NUMBERS } ls_table_targets;

/* What becomes of missing cells of features: empty ones, NA, N/A, NULL, nan and ?. In a column of
 * categories they are one more category, the empty word, with MEAN and NUMBER. A missing label or weight is
 * an error without DROP. */
typedef enum ls_table_missing {
  LS_MISSING_REJECT,
  LS_MISSING_MEAN,   /* the mean of the column's numbers in the training data */
  LS_MISSING_NUMBER, /* `missing_number` */
  LS_MISSING_DROP    /* rows with missing cells are left out; not for predictions */
} ls_table_missing;

/* CATEGORIES. A feature column of words becomes a feature of 0 and 1 for each of its words, in the place of
 * the column and sorted by bytes. Its name is COLUMN=WORD (`column 3=WORD` without a header). Whole numbers
 * of a column in `categories` are words in their shortest form: 1.0 is the word 1. A column with words and
 * numbers, one with another word in each row, and one with too many words are LS_ERR_DATA.
 *
 * For predictions, the features that the model names define the words: the feature NAME is the column of
 * that name or else, for NAME = COLUMN=WORD, the word of that column. */
#define LS_WORDS_MOST         256   /* of a column */
#define LS_WORD_FEATURES_MOST 16384 /* of a table */

/* How to read a table. A list of columns has names, numbers from 1, and ranges such as 2-10, separated by
 * commas; a text that is a column's name is that column. Texts are borrowed. */
typedef struct ls_table_options {
  int header;             /* ls_table_header */
  int targets;            /* ls_table_targets */
  const char *label;      /* the label columns; NULL: the last column that no other option names */
  const char *weight;     /* the column of sample weights; NULL: none */
  const char *drop;       /* columns to ignore; NULL: none */
  const char *columns;    /* the features, in the order of x; NULL: all other columns */
  const char *categories; /* features whose numbers are words too; NULL: none */
  int missing;            /* ls_table_missing */
  double missing_number;  /* fits float32 */
  bool fills;             /* missing cells become the mean, unless `missing` says otherwise */
  /* For data of a model: */
  bool is_unlabelled;       /* labels, if any, are ignored; without `label`, no column is one */
  bool accepts_unknown;     /* all features of a column are 0 for a word that the model does not know */
  size_t n_required;        /* features of the model; 0: no model, any number of features */
  const double *means;      /* (n_required): for LS_MISSING_MEAN */
  const char *const *names; /* (n_names): features that a header must name, in the order of x. Other columns
                               are ignored. NULL: none */
  size_t n_names;
  const char *const *classes; /* (n_classes): those that labels may be. NULL: any */
  size_t n_classes;
  bool is_wide; /* x is float64 even if float32 represents the columns well */
} ls_table_options;

#define LS_IMPORT_MEMORY ((uint64_t)144 << 20) /* bytes */

typedef struct ls_import_options {
  const char *output;            /* the HDF5 file to write, or what the names of several derive from */
  ls_table_options table;        /* for CSV only, except for `targets` */
  double test_fraction;          /* of the rows, in [0, 1), that goes to /test; not for IDX */
  bool shuffles;                 /* store the rows of each split in random order */
  uint64_t seed;                 /* of the test rows and of this order */
  uint64_t memory_bytes;         /* of the shuffle; 0: LS_IMPORT_MEMORY */
  const char *test, *validation; /* for CSV only: more files with the same columns, whose rows go to /test
                                    and /validation; a file with other columns is left out, with a warning.
                                    NULL: none */
  uint64_t max_file_bytes;       /* of each of several files, OUT-00001.h5 ...; 0: one file */
  ls_folder_options folder;      /* for folders only */
  ls_numpy_options numpy;        /* for NumPy arrays and HDF5 files only */
} ls_import_options;

/* Facts about the dataset that was written. */
typedef struct ls_import_summary {
  uint64_t train_samples, test_samples, validation_samples; /* 0: the group is absent */
  uint64_t features;
  uint64_t classes;   /* 0: y has real numbers, or is absent */
  uint64_t n_files;   /* of several; 0: one file */
  uint64_t n_missing; /* cells of a table that were replaced */
} ls_import_summary;

/* Local. Imports files of one format, or folders: CSV or IDX files, gzipped or not, NumPy arrays (.npz and
 * .npy files), HDF5 files (FILE or FILE:GROUP), or folders. Names may be patterns with * and ?. The rows of
 * several files follow each other. IDX images and labels are paired by header, name and order: `t10k*` and
 * `test*` belong to /test, all others to /train. With a largest file size, the files of train are
 * OUT-00001.h5 and so on, those of the other splits OUT.test-00001.h5 and OUT.validation-00001.h5; they get
 * their names when all are complete.
 *
 * LS_ERR_DATA: the message names the file, the line on which the row begins, the column, and the text of
 * the cell. LS_ERR_CONFIG: an option that does not apply to the sources (test fraction or label for IDX),
 * or an output that is also a source. LS_ERR_OUTPUT. A failure leaves the output as it was, as does a
 * signal that ends the program. */
ls_status ls_import(const char *const *sources, size_t n_sources, const ls_import_options *options,
                    ls_import_summary *summary);

/* What a path stands for. Owned; NULL: none. */
typedef struct ls_import_choice {
  char *source;            /* a file, a folder of images or recordings, or a pattern for files */
  char *test, *validation; /* files of these splits, if the source is the file of the training data */
} ls_import_choice;

/* Local. Chooses the data of a path: the path itself, or the files of another format than images and
 * recordings in a folder. If the names of files have the words `train` and `test`, or a word for
 * validation, they are splits: in a folder, and beside a file with `train` in its name.
 * ls_import_choice_free is allowed after a failure too. LS_ERR_DATA if a folder has data of several kinds,
 * no file of training data, or several of one split; LS_ERR_INTERNAL. */
ls_status ls_import_choose(const char *path, ls_import_choice *out);
void ls_import_choice_free(ls_import_choice *choice);

/* Local. Whether a file, gzipped or not, begins as HDF5 files do. LS_ERR_DATA if it cannot be read. */
ls_status ls_import_is_hdf5(const char *path, bool *yes);

/* Local. Whether a file is text, gzipped or not, and so may be a table. False if it cannot be read. */
bool ls_import_is_text(const char *path);

#endif
