/* import: the interface of source formats, and what their parsers share. All functions are local. */
#ifndef LOCKSTEP_IMPORT_INTERNAL_H
#define LOCKSTEP_IMPORT_INTERNAL_H

#include "lockstep/import.h"
#include "lockstep/store.h"

#include <zlib.h>

/* ------------------------------------------------------------------- the output */

enum { SPLIT_TRAIN, SPLIT_TEST, SPLIT_VALIDATION, N_SPLITS };

/* The groups of the splits: "/train", "/test", "/validation". */
extern const char *const import_split_names[N_SPLITS];

/* A split that is being written. Rows are collected in a block and appended together. */
typedef struct split {
  ls_store_writer *writer; /* borrowed; NULL: the split is absent */
  const char *x_path, *y_path;
  ls_array x;
  bool has_y;
  size_t x_size, y_size;   /* bytes of a row; y_size is 0 without y */
  size_t capacity, filled; /* rows of the block */
  uint64_t n_rows;         /* added so far */
  unsigned char *x_rows, *y_rows;
} split;

/* The dataset that is being written. */
typedef struct output {
  const char *path;        /* borrowed */
  ls_store_writer *writer; /* owned; NULL until import_output_create */
  split splits[N_SPLITS];
  uint64_t n_classes; /* 0: y has real numbers, or is absent */
} output;

/* Creates the file, once the sources have been checked. */
ls_status import_output_create(output *out);

/* Creates x and, unless `y` is NULL, y of a split; dims[0] is the number of samples. */
ls_status import_split_begin(output *out, size_t which, const ls_array *x, const ls_array *y);

/* Sets *x and *y to the buffers for the next rows. Returns the number of rows that fit, at least 1. */
size_t import_split_next(const split *s, void **x, void **y);

/* Adds `count` rows, which the caller stored in these buffers. */
ls_status import_split_add(split *s, size_t count);

/* Writes the remaining rows of the blocks. */
ls_status import_output_finish(output *out);

void import_output_destroy(output *out);

/* ---------------------------------------------------------------------- formats */

/* A source format. A new format is one file and one line in the list of import.c. */
typedef struct import_format {
  /* Sets *yes if the sources are in this format. LS_ERR_DATA if they cannot be read. NULL: accepts all. */
  ls_status (*recognize)(const char *const *sources, size_t n_sources, bool *yes);
  /* Writes the sources to `out`. LS_ERR_DATA; LS_ERR_CONFIG if options do not apply to the format. */
  ls_status (*convert)(const char *const *sources, size_t n_sources, const ls_import_options *options,
                       output *out);
  bool is_folder, is_numpy; /* their options apply */
} import_format;

extern const import_format import_folder_format, import_numpy_format, import_idx_format, import_csv_format;

/* Chooses round(fraction * n) of n samples for /test: those that *order maps below *n_test. LS_ERR_DATA if
 * these are none, unless the fraction is 0, or all. */
ls_status import_choose_test(const char *path, uint64_t n, const ls_import_options *options,
                             uint64_t *n_test, ls_permutation *order);

/* ------------------------------------------------------------- a file as a stream */

#define IMPORT_DEFLATE_RATIO 1100 /* above the largest ratio of deflate, 1032 : 1 */

/* A regular file, gzipped or not. */
typedef struct source {
  const char *path; /* borrowed */
  gzFile gz;
  uint64_t bytes; /* on disk */
} source;

/* Opens a file. import_source_close is allowed, but not needed, after a failure. */
ls_status import_source_open(source *in, const char *path);
void import_source_close(source *in);

/* Reads `bytes` bytes, or fewer (*got) at the end of the file. LS_ERR_DATA if a gzip stream is damaged or
 * truncated; at the end of the file, this includes its checksum. */
ls_status import_source_read(source *in, void *buffer, size_t bytes, size_t *got);

/* Returns to the first byte, also after a failed read. */
ls_status import_source_rewind(source *in);

/* An upper bound of the bytes in the file: its size, or the most that deflate can produce from it. */
uint64_t import_source_limit(source *in);

/* ------------------------------------------------------------------- IDX elements */

/* A file in the IDX format of MNIST: a magic number, big-endian sizes, big-endian elements. */
typedef struct idx_file {
  source in;
  ls_array array;
  size_t row; /* elements of a row */
} idx_file;

/* Opens a file and reads its header. The caller closes `in`, after a failure too. */
ls_status import_idx_open(idx_file *file, const char *path);

/* Reads the next `rows` rows, of which the first is row `first` of the file, in native byte order.
 * LS_ERR_DATA if the file is truncated, or a number is not finite or exceeds float32. */
ls_status import_idx_read(idx_file *file, uint64_t first, size_t rows, void *out);

/* Call after the last row. LS_ERR_DATA if more bytes follow, or the checksum of a gzip stream is wrong. */
ls_status import_idx_end(idx_file *file);

/* Element i of an array in native byte order. A double represents the elements of all IDX types exactly. */
double import_idx_element(const void *data, size_t i, ls_dtype dtype);

/* ------------------------------------------------------------------- text as rows */

/* A text file as rows of cells (RFC 4180), read as a stream. */
typedef struct csv {
  source in;
  char delimiter; /* ',', ';', '\t', '|', or CSV_BLANKS */
  ls_status status;
  unsigned char *block; /* bytes read ahead: `filled`, of which `at` are consumed */
  size_t filled, at;
  uint64_t line; /* of the next byte, from 1 */
  char *text;    /* the cells of the row, each terminated by NUL */
  size_t used, capacity;
  size_t *starts; /* offset of each cell in `text` */
  size_t n_cells, cells_capacity;
  uint64_t row_line; /* the line on which the row begins */
} csv;

#define CSV_BLANKS '\0' /* runs of spaces and tabs separate cells */

/* Opens a file and determines its delimiter. import_csv_close is needed after a failure too. */
ls_status import_csv_open(csv *c, const char *path);
void import_csv_close(csv *c);

/* Reads the next row that is not blank. *got is false at the end of the file. */
ls_status import_csv_next(csv *c, bool *got);

/* A cell of the row, i < n_cells; borrowed, valid until the next import_csv_next. */
const char *import_csv_cell(const csv *c, size_t i);

/* Returns to the first row. */
ls_status import_csv_rewind(csv *c);

/* ------------------------------------------------------------------------- cells */

typedef enum cell_kind {
  CELL_EMPTY,
  CELL_NUMBER,
  CELL_MISSING, /* NA, nan, ?, inf ... */
  CELL_TEXT
} cell_kind;

/* The kind of a cell; *value becomes the number (infinite if it exceeds double), or 0. */
cell_kind import_cell_read(const char *text, double *value);

/* Whether a number fits float32, in which training computes. */
bool import_cell_fits_float(double value);

/* ------------------------------------------------------------------------ columns */

typedef struct columns {
  size_t n;
  size_t label;     /* n: none */
  bool has_header;  /* the first row contains the names */
  char **names;     /* (n): the cells of the first row */
  size_t *features; /* (n_features): the feature columns, in the order of x */
  size_t n_features;
} columns;

/* Determines header, label and features from the first two rows. `c` must be before the first row; the
 * caller rewinds it afterwards. import_columns_destroy is needed after a failure too. */
ls_status import_columns_find(columns *cols, csv *c, const ls_import_options *options);
void import_columns_destroy(columns *cols);

/* ------------------------------------------------------------------------- labels */

typedef enum label_kind {
  LABEL_NONE,         /* no labels were added */
  LABEL_CLASS_NAME,   /* words: the class is the index in `entries`, which are in byte order */
  LABEL_CLASS_NUMBER, /* integers from 0 to 2^31 - 1: the label is the class */
  LABEL_REAL          /* other numbers: regression */
} label_kind;

typedef struct label_entry {
  char *text;
  double value;  /* of a number */
  uint64_t line; /* of the first occurrence */
  cell_kind kind;
} label_entry;

/* The distinct labels of a dataset. */
typedef struct label_set {
  const char *path; /* of the file, for messages; borrowed */
  label_entry *entries;
  uint32_t *slots; /* a hash table: index in `entries` + 1, or 0 */
  size_t count;
  bool overflow; /* more distinct numbers than the set stores; they are not classes */
  label_kind kind;
  size_t classes; /* distinct classes; 0 for LABEL_NONE and LABEL_REAL */
} label_set;

/* Creates an empty set. import_labels_destroy is needed after a failure too. */
ls_status import_labels_create(label_set *set, const char *path);
void import_labels_destroy(label_set *set);

/* Adds the label of one sample, on `line`. LS_ERR_DATA if it is empty or missing, or if there are too many
 * distinct labels for classes. */
ls_status import_labels_add(label_set *set, const char *text, uint64_t line);

/* Sets `kind` and `classes`, and sorts class names. LS_ERR_DATA if some labels are words and others real
 * numbers, or if a class name is not UTF-8. */
ls_status import_labels_finish(label_set *set);

/* Finds the index of a label in `entries`. False if it is absent. */
bool import_labels_find(const label_set *set, const char *text, size_t *index);

#endif
