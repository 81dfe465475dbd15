/* What the files of data share: what is to be read, and elements of any stored type. */
#ifndef LOCKSTEP_DATA_INTERNAL_H
#define LOCKSTEP_DATA_INTERNAL_H

#include "lockstep/data.h"

/* Names of arrays inside a file, found by src/data/find.c. All owned; NULL where there is none. */
typedef struct ls_names {
  char *x, *y, *w;
} ls_names;

/* Local. Finds the arrays that a request means. `file` and `group` are the parts of its spec; group is NULL
 * where the spec names none. */
ls_status ls_find_arrays(const ls_store *store, const ls_dataset_request *request, const char *group,
                         ls_names *names);
void ls_names_free(ls_names *names);

/* Local. Elements first .. first + n - 1 of an array of a stored type, as double; and one alone. */
void ls_elements(const void *array, ls_dtype dtype, size_t first, size_t n, double *out);
double ls_element(const void *array, ls_dtype dtype, size_t i);

/* Local. Reads y and w of a data set (already described and allocated) from the file. Rank 0's work. */
ls_status ls_read_targets(const ls_store *store, const ls_names *names, ls_dataset *dataset);

/* Local. Reads rows first .. first + rows - 1 of x in blocks; checks that real numbers are finite and fit
 * float32. */
ls_status ls_read_inputs(const ls_store *store, const char *path, ls_dataset *dataset, uint64_t first,
                         uint64_t rows);

/* ---------------------------------------------------------------- training samples */

/* Where an image goes: mirrored, turned about its centre against the clock, shifted. */
typedef struct ls_placement {
  bool flipped;
  double degrees;
  int64_t down, right; /* pixels */
} ls_placement;

/* Local. Whether the option changes where pixels are. */
bool ls_augment_moves(const ls_augment *augment);

/* Local. What is drawn for a sample in an epoch. */
ls_placement ls_augment_place(const ls_augment *augment, uint64_t seed, uint64_t epoch, uint64_t sample);

/* Local. out = the image x placed, 0 where it comes from outside; between pixels the bilinear mean of four.
 * Without a turn, or one by a quarter of a square image, values are moved exactly.  x, out: (H, W,
 * channels), which `array` tells (it is (N, H, W) or (N, H, W, C)) */
void ls_augment_move(const ls_placement *placement, const ls_array *array, const double *x, double *out);

/* Local. Noise and cutout of a normalised sample. room: (n_features), for noise */
void ls_augment_cover(const ls_augment *augment, const ls_dataset *dataset, uint64_t seed, uint64_t epoch,
                      uint64_t sample, float *room, float *x);

/* The other sample that one is mixed with, and how much stays of the first: at least a half. */
typedef struct ls_mixture {
  uint64_t partner; /* in the data set */
  float share;
} ls_mixture;

/* Local. What is drawn for a sample in an epoch. */
ls_mixture ls_mixup_draw(double alpha, const ls_view *view, uint64_t seed, uint64_t epoch, uint64_t sample);

/* Local. The class of a sample: its class number, or for labels whether the only one holds. */
size_t ls_class_of(const ls_dataset *dataset, uint64_t sample);

#endif
