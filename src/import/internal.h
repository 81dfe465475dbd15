/* import: the interface of source formats, and what their parsers share. All functions are local. */
#ifndef LOCKSTEP_IMPORT_INTERNAL_H
#define LOCKSTEP_IMPORT_INTERNAL_H

#include "output.h"

#include <zlib.h>

/* ------------------------------------------------------------------- temporary files */

/* Opens a file without a name in the folder of `path`, for reading and writing; -1, with errno, if it
 * fails. */
int import_scratch_open(const char *path);

/* Write and read bytes at an offset; false, with errno, if it fails. */
bool import_write_at(int file, uint64_t at, const void *from, size_t bytes);
bool import_read_at(int file, uint64_t at, void *to, size_t bytes);

/* -------------------------------------------------------- progress and interruption */

/* Redraws the progress bar on a terminal, at most a few times a second: "importing: 5 of 20 rows, 1:05
 * left". The time is that since the last call with another text. */
void import_progress(const char *what, uint64_t done, uint64_t n, const char *unit);

/* From begin to end, a signal that ends the program first removes the files that were added. After hold, it
 * is ignored, so that several files get their names together. */
void import_cleanup_begin(void);
ls_status import_cleanup_add(const char *path);
void import_cleanup_hold(void);
void import_cleanup_end(void);

/* ---------------------------------------------------------------------- formats */

/* A source format. A new format is one file and one line in the list of import.c. */
typedef struct import_format {
  /* Sets *yes if the sources are in this format. LS_ERR_DATA if they cannot be read. NULL: accepts all. */
  ls_status (*recognize)(const char *const *sources, size_t n_sources, bool *yes);
  /* Writes the sources to `out`. LS_ERR_DATA; LS_ERR_CONFIG if options do not apply to the format. */
  ls_status (*convert)(const char *const *sources, size_t n_sources, const ls_import_options *options,
                       output *out);
  bool is_folder, has_names; /* the options of folders apply; those that name arrays apply */
} import_format;

extern const import_format import_folder_format, import_numpy_format, import_hdf5_format, import_idx_format,
    import_csv_format;

/* Chooses round(fraction * n) of the n samples of train for /test: sets out->n_test and out->order.
 * LS_ERR_DATA if these are none, unless the fraction is 0, or all. */
ls_status import_choose_test(const char *path, uint64_t n, double fraction, output *out);

/* Whether a row of train, the first of which is 0, goes to /test. */
bool import_is_test(const output *out, uint64_t row);

/* Splits the name of an array, such as `x`, `y_train`, `test_images` or `train_set_x`, into a split (train
 * without another) and an ARRAY_. False if it has another form. */
bool import_role_read(const char *name, size_t *which, size_t *array);

/* The words for splits in the names of files, folders, groups and arrays. Ends with NULL. */
extern const char *const import_split_words[];

/* The split that one of these words, in any case, stands for; N_SPLITS: none. name: of `bytes` bytes */
size_t import_split_of(const char *name, size_t bytes);

/* Rejects a Git LFS pointer. */
ls_status import_check_foreign(const char *path);

/* Splits the name of a source, FILE or FILE:GROUP of HDF5. The caller owns both parts; *group is NULL
 * without one. */
ls_status import_hdf5_split(const char *name, char **file, char **group);

/* LS_ERR_OUTPUT if the output exists and is another file than a dataset, such as a source with a similar
 * name. */
ls_status import_check_replaced(const char *path);

/* LS_ERR_CONFIG if an option for tables was given. format: of the sources, for the message ("IDX") */
ls_status import_reject_table_options(const ls_table_options *options, const char *format);

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

/* A file in the IDX format of MNIST: a magic number, big-endian sizes, big-endian elements. It is open from
 * import_idx_start to import_idx_stop. */
typedef struct idx_file {
  const char *path; /* borrowed */
  source in;
  ls_array array; /* set by the first import_idx_start */
  size_t row;     /* elements of a row; 0: not known yet */
} idx_file;

/* Opens a file, whose path is set, and reads its header. The caller stops it, after a failure too. */
ls_status import_idx_start(idx_file *file);
void import_idx_stop(idx_file *file);

/* Reads the next `rows` rows, of which the first is row `first` of the file, in native byte order.
 * LS_ERR_DATA if the file is truncated, or a number is not finite or exceeds float32. */
ls_status import_idx_read(idx_file *file, uint64_t first, size_t rows, void *out);

/* Call after the last row. LS_ERR_DATA if more bytes follow, or the checksum of a gzip stream is wrong. */
ls_status import_idx_end(idx_file *file);

/* Element i of an array in native byte order, exactly unless the type has 64-bit integers. */
double import_idx_element(const void *data, size_t i, ls_dtype dtype);

/* ------------------------------------------------------------------- text as rows */

/* A text file as rows of cells (RFC 4180), read as a stream. Lines that begin with `#` are comments;
 * LS_ERR_DATA if one between rows has the cells of a row. */
typedef struct csv {
  source in;      /* in.gz is NULL for a text in memory */
  char delimiter; /* ',', ';', '\t', '|', CSV_BLANKS, or what the line `sep=` names */
  bool is_named;  /* by the line `sep=` */
  bool is_header; /* a text in memory, without comments */
  ls_status status;
  unsigned char *block; /* bytes read ahead: `filled`, of which `at` are consumed */
  size_t filled, at;
  uint64_t line; /* of the next byte, from 1 */
  char *text;    /* the cells of the row, each terminated by NUL */
  size_t used, capacity;
  size_t *starts; /* offset of each cell in `text` */
  size_t n_cells, cells_capacity;
  uint64_t row_line; /* the line on which the row begins */
  uint64_t n_rows;   /* read since the start of the file */
  size_t n_comments;
  size_t width;  /* cells of a row, which a comment between rows must not have; 0: any number */
  char *comment; /* the last one before the first row, without `#`; owned; NULL: none */
} csv;

#define CSV_BLANKS '\0' /* runs of spaces and tabs separate cells */

/* Opens a file. import_csv_close is needed after a failure too. */
ls_status import_csv_open(csv *c, const char *path);
void import_csv_close(csv *c);

/* Determines the delimiter, and returns to the first row. */
ls_status import_csv_find_delimiter(csv *c);

/* Reads the only row of a text in memory, such as a comment. *c has a path, a line and the delimiter. */
ls_status import_csv_next_in(csv *c, const char *text, bool *got);

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
  CELL_MISSING,  /* NA, nan, ? ... */
  CELL_INFINITE, /* inf, in any form */
  CELL_TEXT
} cell_kind;

/* The kind of a cell; *value becomes the number (infinite if it exceeds double), or 0. */
cell_kind import_cell_read(const char *text, double *value);

/* Whether a number fits float32, in which training computes. */
bool import_cell_fits_float(double value);

/* LS_ERR_DATA if a number of `rows` rows, of which the first is row `first` of `path`, is not finite or
 * exceeds float32.  data: (rows, row) */
ls_status import_check_finite(const char *path, ls_dtype dtype, size_t row, uint64_t first, size_t rows,
                              const void *data);

/* ------------------------------------------------------------------------- labels */

/* LABELS. Words are class names. Whole numbers are classes if they are 0, 1, ... K - 1, or if at most 20,
 * or a fifth of the rows, differ. All other numbers are the values of a regression. */
typedef enum label_kind {
  LABEL_NONE,  /* no labels were added */
  LABEL_CLASS, /* the class is the position of the label among the words by bytes, or numbers by value */
  LABEL_WHOLE, /* whole numbers that are not classes */
  LABEL_REAL   /* other numbers */
} label_kind;

typedef struct label_entry {
  const char *path; /* of the file with the first occurrence; borrowed */
  char *text;
  double value;  /* of a number */
  uint64_t line; /* of the first occurrence */
  uint64_t rows;
  size_t class; /* for LABEL_CLASS */
  cell_kind kind;
} label_entry;

/* The distinct labels of a dataset. */
typedef struct label_set {
  const char *path; /* of the file that is being read, for messages; borrowed */
  int targets;      /* ls_table_targets */
  bool is_table;    /* places in messages are lines; otherwise rows from 0 */
  label_entry *entries;
  uint32_t *slots; /* a hash table: index in `entries` + 1, or 0 */
  size_t count;
  uint64_t rows;
  bool overflow; /* more distinct numbers than the set stores; they are not classes */
  label_kind kind;
  size_t classes; /* 0 except for LABEL_CLASS */
  char **names;   /* (classes), owned */
} label_set;

/* Creates an empty set. import_labels_destroy is needed after a failure too. */
ls_status import_labels_create(label_set *set, const char *path, int targets);
void import_labels_destroy(label_set *set);

/* Adds the label of one sample, on `line`. LS_ERR_DATA if it is empty or missing, or if there are too many
 * distinct labels for classes. */
ls_status import_labels_add(label_set *set, const char *text, uint64_t line);

/* Sets `kind`, and sorts and names the classes. LS_ERR_DATA if some labels are words and others numbers
 * that are not classes, or if a class name is not UTF-8. */
ls_status import_labels_finish(label_set *set);

/* LS_ERR_DATA if a class is not among the n known ones; 0: all are allowed. */
ls_status import_labels_check(const label_set *set, const char *const *known, size_t n);

/* Finds the entry of a label. False if it is absent. */
bool import_labels_find(const label_set *set, const char *text, const label_entry **entry);

/* A file with labels that are stored as numbers of `dtype`, which fit float32. */
typedef struct label_source {
  /* Reads rows in native byte order. Reading starts at row 0 and continues without gaps. */
  ls_status (*read)(void *file, uint64_t first, size_t rows, void *out);
  void *file; /* borrowed */
  ls_dtype dtype;
} label_source;

/* Reads n labels and adds them if they are whole numbers. Sets *is_whole to false, and ends, at a number
 * that is not; does nothing if it is false already. */
ls_status import_labels_add_all(label_set *set, const label_source *labels, uint64_t n, bool *is_whole);

/* Whether labels must be replaced by their classes: they are classes, but not stored as 0, 1, ... K - 1. */
bool import_labels_differ(const label_set *set, ls_dtype dtype);

/* Reads n labels from row `first` on, and stores their classes. classes: (n). LS_ERR_DATA if a label is not
 * in the set. */
ls_status import_labels_map_all(const label_set *set, const label_source *labels, uint64_t first, size_t n,
                                int64_t *classes);

#endif
