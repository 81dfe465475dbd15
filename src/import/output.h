/* import: the dataset that is being written, and its parts. All functions are local. */
#ifndef LOCKSTEP_IMPORT_OUTPUT_H
#define LOCKSTEP_IMPORT_OUTPUT_H

#include "lockstep/import.h"
#include "lockstep/store.h"

/* ------------------------------------------------------------------- the output */

enum { SPLIT_TRAIN, SPLIT_TEST, SPLIT_VALIDATION, N_SPLITS };

/* The groups of the splits: "/train", "/test", "/validation". */
extern const char *const import_split_names[N_SPLITS];

/* The arrays of a split. */
enum { ARRAY_X, ARRAY_Y, ARRAY_W, N_ARRAYS };
extern const char *const import_array_names[N_ARRAYS];

typedef struct shuffle shuffle;
typedef struct output output;

/* An attribute of an array: a list of texts, or a number. */
typedef struct attribute {
  size_t array;
  const char *name; /* borrowed */
  char **texts;     /* (n), owned, as are its texts; NULL: a number */
  size_t n;
  uint64_t number;
} attribute;

#define ATTRIBUTES_MOST 4

/* A split that is being written. Rows are collected in a block, and added together. */
typedef struct split {
  output *out; /* borrowed; NULL: the split is absent */
  size_t which;
  bool has[N_ARRAYS];
  ls_array arrays[N_ARRAYS];
  size_t sizes[N_ARRAYS];        /* bytes of a row */
  size_t capacity, filled;       /* rows of the block */
  uint64_t n_rows;               /* added so far */
  unsigned char *rows[N_ARRAYS]; /* owned: (capacity, sizes) */
  attribute attributes[ATTRIBUTES_MOST];
  size_t n_attributes;
  shuffle *shuffle;             /* owned; NULL: rows keep the order of the sources */
  ls_store_writer *writer;      /* borrowed: the file that is being written; NULL: none */
  uint64_t n_before, n_in_file; /* rows of the files before, and of this one */
  unsigned n_files;
} split;

/* The dataset that is being written, to one file or to several. */
struct output {
  const char *path; /* borrowed; of several files, what their names derive from */
  bool shuffles;
  uint64_t memory_bytes;     /* of the shuffle */
  uint64_t seed;             /* of the test samples and of the shuffle */
  uint64_t max_bytes;        /* of a file; 0: one file */
  ls_store_writer **writers; /* (n_writers), owned: the files; complete but for those of `splits` */
  size_t n_writers;
  split splits[N_SPLITS];
  uint64_t n_classes;       /* 0: y has real numbers, or is absent */
  uint64_t n_missing;       /* cells of a table that were replaced */
  uint64_t n_rows, n_added; /* of all splits, for the progress bar */
  uint64_t n_test;          /* rows of train that go to /test: those that `order` maps below it */
  ls_permutation order;
};

/* Creates the file, or checks that the names of several are unused. For when the sources have been checked.
 */
ls_status import_output_create(output *out);

/* Begins a split, with the arrays that are not NULL; x must be one. dims[0] is the number of samples. */
ls_status import_split_begin(output *out, size_t which, const ls_array *const arrays[N_ARRAYS]);

/* Sets an attribute of an array of a split that has begun; copies the texts, but not the name. */
ls_status import_split_set_texts(split *s, size_t array, const char *name, const char *const *texts,
                                 size_t n);
void import_split_set_number(split *s, size_t array, const char *name, uint64_t number);

/* Sets the buffers for the next rows, NULL for an absent array. Returns the number of rows that fit, at
 * least 1. */
size_t import_split_next(const split *s, void *rows[N_ARRAYS]);

/* Adds `count` rows, which the caller stored in these buffers. */
ls_status import_split_add(split *s, size_t count);

/* Adds rows first, first + 1, ... of a split of the source; those of train may go to /test. */
ls_status import_output_add(output *out, size_t which, uint64_t first, size_t count,
                            unsigned char *const rows[N_ARRAYS]);

/* Writes the remaining rows. */
ls_status import_output_finish(output *out);

/* Gives the files their final names. */
ls_status import_output_publish(output *out);

void import_output_destroy(output *out);

/* Appends `rows` rows of the block to the file of the split, and begins the next file if it is full. */
ls_status import_files_append(split *s, size_t rows);

/* Removes the files that do not have their final names. */
void import_files_destroy(output *out);

/* The name of file i (from 1) of a split; owned by the caller, NULL if memory is short. */
char *import_part_name(const char *path, size_t which, unsigned i);

/* LS_ERR_OUTPUT if a file has one of these names. */
ls_status import_parts_check_unused(const char *path);

/* ---------------------------------------------------------------- shuffling on disk */

/* Creates a shuffle of n rows, with `sizes` bytes in each array, in at most `bytes` of memory and, if that
 * is too little, a file without a name beside `path` (borrowed). LS_ERR_OUTPUT if the disk has too little
 * space. */
ls_status import_shuffle_create(const char *path, uint64_t n, const size_t sizes[N_ARRAYS], ls_rng rng,
                                size_t bytes, shuffle **out);
void import_shuffle_destroy(shuffle **s);

/* Adds the next rows, at most n in total. */
ls_status import_shuffle_add(shuffle *s, size_t count, unsigned char *const rows[N_ARRAYS]);

/* Reads the next rows of the new order, up to `most`; none at the end. No rows may be added afterwards. */
ls_status import_shuffle_read(shuffle *s, size_t most, unsigned char *const rows[N_ARRAYS], size_t *got);

#endif
