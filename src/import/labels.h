/* labels: the distinct labels of a data set, and what they make of it: classes or real numbers. */
#ifndef LOCKSTEP_IMPORT_LABELS_H
#define LOCKSTEP_IMPORT_LABELS_H

#include "cell.h"

typedef enum label_kind {
  LABEL_NONE,         /* no labels were added */
  LABEL_CLASS_NAME,   /* words: a label's class is its place in byte-wise order */
  LABEL_CLASS_NUMBER, /* whole numbers from 0 to 2^31 - 1: the label is the class */
  LABEL_REAL          /* numbers of any kind: regression */
} label_kind;

typedef struct label {
  char *text;
  double value;  /* where it is a number */
  uint64_t line; /* where it stood first */
  cell_kind kind;
} label;

typedef struct label_set {
  const char *path; /* of the file, for messages; borrowed */
  label *entries;
  uint32_t *slots; /* a hash table: place in `entries` + 1, or 0 */
  size_t count;
  bool overflow; /* there are more distinct numbers than are kept: they are no classes */
  label_kind kind;
  size_t classes; /* distinct classes; 0 for LABEL_NONE and LABEL_REAL */
} label_set;

/* Local. An empty set. import_labels_destroy is needed after a failure too. */
ls_status import_labels_create(label_set *set, const char *path);

/* Local. Adds the label of one sample, found on `line`. LS_ERR_DATA where it is empty or missing, or the
 * distinct labels are too many for classes. */
ls_status import_labels_add(label_set *set, const char *text, uint64_t line);

/* Local. Ends adding: sets `kind` and `classes`, and sorts the entries of class names. LS_ERR_DATA where
 * words and real numbers are mixed, or a class name is not UTF-8. */
ls_status import_labels_finish(label_set *set);

/* Local. The place of a label in `entries`, which is its class number for LABEL_CLASS_NAME; false where it
 * was not added. */
bool import_labels_find(const label_set *set, const char *text, size_t *place);

void import_labels_destroy(label_set *set);

#endif
