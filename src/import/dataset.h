/* dataset: writes our data set layout: /train and /test, each with x and y. */
#ifndef LOCKSTEP_IMPORT_DATASET_H
#define LOCKSTEP_IMPORT_DATASET_H

#include "lockstep/store.h"

enum { SPLIT_TRAIN, SPLIT_TEST, N_SPLITS };

/* "train" or "test". */
extern const char *const import_split_names[N_SPLITS];

/* A split being written: rows are gathered in a block and appended together. */
typedef struct split {
  ls_store_writer *writer; /* borrowed */
  const char *name;
  ls_array x, y;
  bool labelled;         /* y is written */
  size_t x_size, y_size; /* bytes of a row */
  size_t room, filled;   /* rows of the block */
  unsigned char *x_rows, *y_rows;
} split;

/* Local. Declares /<name>/x and, where `y` is not NULL, /<name>/y; dims[0] are their samples.
 * import_split_destroy is needed after a failure too. */
ls_status import_split_create(split *s, ls_store_writer *writer, const char *name, const ls_array *x,
                              const ls_array *y);

/* Local. Where the next rows go: room for import_split_room rows of x and of y. */
size_t import_split_room(const split *s);
void *import_split_x(const split *s);
void *import_split_y(const split *s);

/* Local. Takes the `count` rows that were put there. */
ls_status import_split_take(split *s, size_t count);

/* Local. Writes what is left. */
ls_status import_split_finish(split *s);

/* Local. The attribute `classes` on y or `features` on x. */
ls_status import_split_write_classes(const split *s, const char *const *names, size_t count);
ls_status import_split_write_features(const split *s, const char *const *names, size_t count);

void import_split_destroy(split *s);

#endif
