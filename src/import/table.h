/* import: a table (CSV): its columns, their encoding as features of x, and the state of an import. All
 * functions are local. */
#ifndef LOCKSTEP_IMPORT_TABLE_H
#define LOCKSTEP_IMPORT_TABLE_H

#include "internal.h"

/* The values of a column. */
typedef struct value_range {
  uint64_t n;
  double low, high, first, mean;
  double error;     /* the largest difference between a value and its float32 */
  bool counts_rows; /* first, first + 1, ...: each value counts the rows */
} value_range;

/* Adds a value; the first one initialises the range, which is 0 before. */
void import_range_add(value_range *range, double value);

/* Whether float32 would lose more of the values than training does. */
bool import_range_needs_double(const value_range *range);

/* --------------------------------------------------------------------- categories */

/* A word of a column. */
typedef struct category {
  char *word;     /* owned; empty: missing cells */
  size_t feature; /* of x, which is 1 in rows with this word */
} category;

/* What a column becomes in x: one feature of numbers or, if it has words, one for each. */
typedef struct encoding {
  size_t feature;    /* of x, for numbers */
  category *words;   /* (n_words), sorted by bytes, owned */
  size_t n_words;    /* 0: numbers */
  bool is_listed;    /* an option says that all cells are words */
  bool has_missing;  /* a cell was missing */
  uint64_t n_cells;  /* with words, as long as these are collected */
  uint64_t line;     /* of the first number or word; 0: none yet */
  const char *path;  /* of the file with it; borrowed */
  value_range range; /* of numbers of the training data */
  double mean;       /* of n_mean numbers of the training data, which replaces missing cells */
  uint64_t n_mean;
} encoding;

/* Adds a word, if it is new, with the feature. LS_ERR_INTERNAL if memory is short. */
ls_status import_category_add(encoding *e, const char *word, size_t feature);

/* The category of a word; NULL: none. */
const category *import_category_find(const encoding *e, const char *word);

#define CATEGORY_TEXT_SIZE 32

/* The word of a cell: its text; for a whole number its shortest form, which `text` may receive; for a
 * missing cell the empty word. */
const char *import_category_word(const char *cell, char text[CATEGORY_TEXT_SIZE]);

void import_encoding_destroy(encoding *e);

/* ------------------------------------------------------------------------ columns */

typedef enum column_role { ROLE_NONE, ROLE_LABEL, ROLE_WEIGHT, ROLE_DROP, ROLE_FEATURE } column_role;

typedef struct columns {
  size_t n;
  bool has_header;      /* the columns have names */
  bool is_comment;      /* which are in a comment before the first row */
  bool has_trailing;    /* rows may end with a delimiter */
  bool may_have_index;  /* the first column counts the first rows */
  bool counts_below;    /* as does that below a header */
  bool drops_index;     /* the first column is one without a name, and is left out */
  uint64_t first_line;  /* of the first row */
  char **names;         /* (n): the header; without one, the cells of the first row, later "column 1" ... */
  size_t *by_name;      /* (n): the columns in the order of their names */
  unsigned char *roles; /* (n): column_role, of columns that an option names */
  bool *listed;         /* (n): --categories lists the column; until the encodings are set */
  size_t *features;     /* (n_features): columns in the order of x */
  encoding *encodings;  /* (n_features): of these columns */
  size_t n_features;
  size_t n_x;     /* features of x; 0: not known before the first pass ends */
  char **x_names; /* (n_x), owned; NULL: none */
  size_t *labels; /* (n_labels) */
  size_t n_labels;
  size_t weight; /* n: none */
} columns;

/* Determines header, labels and features from the first rows. `c` must be before the first row; the caller
 * rewinds it afterwards. import_columns_destroy is needed after a failure too. */
ls_status import_columns_find(columns *cols, csv *c, const ls_table_options *options);
void import_columns_destroy(columns *cols);

/* The next item of a list with commas, which the caller frees; NULL at its end or if memory is short. */
char *import_list_next(const char **list);

/* Decides whether the first row, which is in cols->names, is a header, from the rows that follow in `c`.
 * Replaces the names by those in a comment, and removes an empty last column. */
ls_status import_header_find(columns *cols, csv *c, const ls_table_options *options);

/* Completes the encodings after the first pass: adds the empty word to those with missing cells, and sets
 * features, n_x and x_names. LS_ERR_DATA if two features would have the same name. */
ls_status import_columns_number(columns *cols, const csv *c);

/* Chooses the columns and encodings of the features that a model names. With `only_if_all`, does nothing
 * unless the table has all of them. LS_ERR_DATA if the table lacks one. */
ls_status import_features_find(columns *cols, const csv *c, const ls_table_options *options,
                               bool only_if_all);

/* Copies a row to the names. */
ls_status import_names_keep(columns *cols, const csv *row);

/* Sorts `by_name`, which import_names_find needs. */
ls_status import_names_sort(columns *cols);

/* The number of columns with a name, and the index of one of them. */
size_t import_names_find(const columns *cols, const char *name, size_t *index);

/* The number of columns that a feature of a model may be, and the index of one of them. *word: of the
 * feature COLUMN=WORD, part of `feature`; NULL: a column of numbers. */
size_t import_names_find_feature(const columns *cols, const char *feature, size_t *index,
                                 const char **word);

#define IMPORT_LIST_SIZE ((size_t)2048)

/* Write a list of columns, "a, b and 5 more", or all choices to `text` and return it.
 * list: (n); NULL: the first n */
const char *import_names_list(const columns *cols, const size_t *list, size_t n, char *text, size_t size);
const char *import_names_describe(const columns *cols, const csv *c, char *text, size_t size);

/* -------------------------------------------------------------------- the import */

/* Cells without a value. */
typedef struct missing_cells {
  uint64_t n, n_rows;
  char *first; /* "FILE, line 3, column 2 (age): NA"; owned; NULL: none */
} missing_cells;

typedef struct table {
  const char **sources; /* (n_sources), owned; the texts are borrowed */
  size_t n_sources;
  size_t n_train;                  /* sources of the training data, which are the first */
  size_t parts[N_SPLITS];          /* the splits of the others */
  csv file;                        /* the one that is open, or was last */
  size_t open;                     /* its index; SIZE_MAX: none */
  columns cols;                    /* of the first file; all have the same */
  const ls_table_options *options; /* borrowed */
  value_range *ranges;             /* (n_labels) */
  label_set set;                   /* the labels; empty if they are known to be numbers */
  missing_cells missing;           /* of features */
  uint64_t n_unknown;              /* words that the model does not know */
  size_t n_word_features;          /* of all columns */
  ls_dtype x_dtype, y_dtype;
  uint64_t n_rows;
  uint64_t n_split[N_SPLITS]; /* rows of the sources of a split */
  uint64_t n_left_out;        /* rows of this pass */
  output *out;                /* borrowed */
} table;

/* The split of the open file. */
size_t import_table_split(const table *t);

#define IMPORT_PLACE_SIZE ((size_t)1024)

/* Writes "FILE, line L, column C (name): text" to `place` and returns it. */
const char *import_table_place(const table *t, size_t column, char place[IMPORT_PLACE_SIZE]);

/* LS_ERR_DATA: the place and the reason. */
ls_status import_table_fail_cell(const table *t, size_t column, const char *reason);

/* Reads the number in a cell. LS_ERR_DATA. */
ls_status import_table_read_number(const table *t, size_t column, double *value);
ls_status import_table_read_weight(const table *t, double *value);

/* Whether the row has a missing cell and is left out for that. */
bool import_table_leaves_out(const table *t);

/* Whether a cell is missing. */
bool import_table_is_missing(const table *t, size_t column);

/* Whether missing cells become means of the table, and whether each of these has a number: LS_ERR_DATA. */
bool import_table_has_means(const table *t);
ls_status import_table_check_means(const table *t);

/* What replaces missing cells of feature column k. */
double import_table_replacement(const table *t, size_t k);

/* Whether the labels may be classes. Several targets are numbers. */
bool import_table_may_have_classes(const table *t);

/* The words of the model: LS_ERR_DATA if the cell of feature column k has another word, unless the options
 * accept that; then *found is NULL. */
ls_status import_table_find_word(const table *t, size_t k, const category **found);

/* Adds the row to what the first pass collects. */
ls_status import_table_collect(table *t);

/* Completes the first pass: classes, encodings and types. LS_ERR_DATA. */
ls_status import_table_finish(table *t);

/* Reports how the table is read: "t.csv: header in line 1; 2 features: a, b; label: c, 2 classes: x, y". */
void import_table_report(const table *t);

#endif
