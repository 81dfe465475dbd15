/* What y is: classes, labels or numbers. */
#include "internal.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#define CLASSES_MOST ((size_t)1 << 20) /* units of a layer */

/* The values of y. */
typedef struct tally {
  const ls_dataset *dataset;
  size_t columns;
  double low, high;
  double mean, squares; /* of one column: the mean, and the sum of the squared distances from it */
  uint64_t n;           /* values added */
  bool is_whole, is_binary, is_one_hot;
  size_t n_counts;
  uint64_t *counts; /* (n_counts), owned: of whole numbers in one column, or of ones in each of several */
} tally;

static ls_status fail_value(const tally *t, uint64_t row, size_t column, double v) {
  return ls_fail(LS_ERR_DATA,
                 "%s: y: row %llu, column %zu is %g; must be finite and within the range of "
                 "float32; remove or repair such rows",
                 ls_dataset_x_file(t->dataset), (unsigned long long)row, column, v);
}

/* The mean and the squares of n values from those of n - 1 (B. P. Welford, 1962). */
static void add_moments(tally *t, double v) {
  const double before = v - t->mean;
  t->mean += before / (double)++t->n;
  t->squares += before * (v - t->mean);
}

static double tail_of(const tally *t) {
  const double deviation = sqrt(t->squares / (double)t->n);
  return deviation > 0.0 ? fmax(t->high - t->mean, t->mean - t->low) / deviation : 0.0;
}

static void add_value(tally *t, size_t column, double v) {
  add_moments(t, v);
  t->low = fmin(t->low, v);
  t->high = fmax(t->high, v);
  t->is_whole = t->is_whole && v == floor(v);
  t->is_binary = t->is_binary && (v == 0.0 || v == 1.0);
  if (t->columns > 1)
    t->counts[column] += v == 1.0;
  else if (v >= 0.0 && v < (double)t->n_counts && v == floor(v))
    t->counts[(size_t)v]++;
}

static ls_status add_rows(void *context, uint64_t first, size_t rows, size_t columns,
                          const double *values) {
  tally *const t = context;
  for (size_t i = 0; i < rows; i++) {
    double sum = 0.0;
    for (size_t k = 0; k < columns; k++) {
      const double v = values[i * columns + k];
      if (!(fabs(v) <= 3.4e38)) return fail_value(t, first + i, k, v);
      add_value(t, k, v);
      sum += v;
    }
    t->is_one_hot = t->is_one_hot && sum == 1.0;
  }
  return LS_OK;
}

/* Sizes of classes. */
static void count_classes(const tally *t, draft_targets *out) {
  out->least = UINT64_MAX;
  for (size_t k = 0; k < t->n_counts; k++) {
    const uint64_t count = t->counts[k];
    if (count == 0) continue;
    out->n_distinct++;
    out->least = ls_size_min(out->least, count);
    out->most = ls_size_max(out->most, count);
  }
}

#define FEW_CLASSES 20 /* which need no number of samples each; as `import` reads tables */
#define PER_CLASS   5  /* samples of each of more classes */

/* Whether one column of numbers has classes. */
static bool are_classes(const tally *t, const draft_targets *y, ls_dtype dtype) {
  const double n = t->high + 1.0;
  const bool is_real = dtype == LS_F32 || dtype == LS_F64;
  const double n_distinct = (double)y->n_distinct;
  if (!t->is_whole || t->low < 0.0 || t->high >= (double)CLASSES_MOST) return false;
  const double n_least = is_real || n_distinct > FEW_CLASSES ? n : 0.5 * n; /* numbers that must occur */
  return n_distinct >= n_least && (n <= FEW_CLASSES || n * PER_CLASS <= (double)t->dataset->n_samples);
}

static ls_status fail_classes(const tally *t) {
  const char *const remedy =
      t->is_whole && t->low == -1.0 && t->high == 1.0
          ? "replace the labels -1 and 1 by 0 and 1, or choose --targets numbers"
          : "replace the labels by class numbers from 0, or choose --targets numbers";
  return ls_fail(LS_ERR_DATA, "%s: y has %s numbers from %g to %g, which are not class numbers; %s",
                 ls_dataset_x_file(t->dataset), t->is_whole ? "whole" : "real", t->low, t->high, remedy);
}

/* The only class. */
static size_t single_class(const tally *t) {
  size_t k = 0;
  while (t->counts[k] == 0) k++;
  return k;
}

static ls_status fail_single(const tally *t, const draft_targets *y) {
  const char *const file = ls_dataset_x_file(t->dataset);
  const char *const remedy = "so there is nothing to learn; choose another y, or add samples";
  if (y->task != DRAFT_CLASSES)
    return ls_fail(LS_ERR_DATA, "%s: y: all targets are equal (%g), %s", file, t->low, remedy);
  const size_t k = single_class(t);
  if (k < t->dataset->n_classes)
    return ls_fail(LS_ERR_DATA, "%s: y: all samples have the class %.*s, %s", file,
                   ls_clip(t->dataset->classes[k], 60), t->dataset->classes[k], remedy);
  return ls_fail(LS_ERR_DATA, "%s: y: all samples have one class (%zu), %s", file, k, remedy);
}

/* Names of classes that are quantities must be numbers. */
static ls_status check_quantities(const ls_dataset *d) {
  for (size_t k = 0; k < d->n_classes; k++) {
    char *end = NULL;
    strtod(d->classes[k], &end);
    if (end == d->classes[k] || *end)
      return ls_fail(LS_ERR_CONFIG, "--targets numbers: y of %s has the class %s, which is not a number",
                     ls_dataset_x_file(d), d->classes[k]);
  }
  return LS_OK;
}

/* One column. */
static ls_status decide_single(const tally *t, const ls_draft_request *request, ls_dtype dtype,
                               draft_targets *y) {
  const bool is_sign = t->is_whole && t->low == -1.0 && t->high == 1.0 && t->counts[0] == 0;
  count_classes(t, y);
  y->has_names = t->dataset->n_classes > 0;
  const bool is_class = y->has_names || are_classes(t, y, dtype);
  y->task = is_class ? DRAFT_CLASSES : DRAFT_NUMBERS;
  if (request->targets == LS_DRAFT_NUMBERS) y->task = DRAFT_NUMBERS;
  if (request->targets == LS_DRAFT_CLASSES) y->task = DRAFT_CLASSES;
  if (y->task == DRAFT_NUMBERS) LS_TRY(check_quantities(t->dataset));
  if (!t->is_whole) y->n_distinct = 0;
  const bool fits = t->is_whole && t->low >= 0.0 && t->high < (double)CLASSES_MOST;
  if (y->task == DRAFT_CLASSES && !fits) return fail_classes(t);
  if (request->targets == LS_DRAFT_ANY && is_sign) return fail_classes(t);
  y->n_outputs = y->task == DRAFT_NUMBERS ? 1 : (size_t)t->high + 1;
  if (y->task == DRAFT_CLASSES && y->has_names)
    y->n_outputs = ls_size_max(y->n_outputs, t->dataset->n_classes);
  y->n_empty = y->task == DRAFT_CLASSES ? y->n_outputs - y->n_distinct : 0;
  return LS_OK;
}

/* Several columns. */
static ls_status decide_several(const tally *t, const ls_draft_request *request, draft_targets *y) {
  y->n_outputs = t->columns;
  y->task = t->is_binary ? DRAFT_LABELS : DRAFT_NUMBERS;
  if (t->is_binary && t->is_one_hot) {
    y->task = DRAFT_CLASSES;
    count_classes(t, y);
    y->n_empty = y->n_outputs - y->n_distinct;
    if (y->n_distinct == 1) return fail_single(t, y);
  }
  if (request->targets == LS_DRAFT_NUMBERS) y->task = DRAFT_NUMBERS;
  if (request->targets == LS_DRAFT_CLASSES && !t->is_binary) return fail_classes(t);
  return LS_OK;
}

/* Whether y has a shape that samples have: (N), (N, K), or either with dims of 1. */
static ls_status check_shape(const ls_dataset *d, const ls_array *y, size_t *columns) {
  char text[128];
  size_t wide = 0;
  *columns = 1;
  for (unsigned i = 1; i < y->n_dims; i++) {
    wide += y->dims[i] > 1;
    if (y->dims[i] != 1) *columns = y->dims[i];
  }
  if (y->n_dims >= 1 && wide <= 1 && *columns > 0 && y->dtype != LS_TEXT) return LS_OK;
  if (y->dtype == LS_TEXT)
    return ls_fail(LS_ERR_DATA,
                   "%s: y is %s; must be numbers; make them class numbers: lockstep import %s -o OUT.h5",
                   ls_dataset_x_file(d), ls_array_describe(y, text, sizeof text), ls_dataset_x_file(d));
  return ls_fail(LS_ERR_DATA, "%s: y is %s; must be numbers of shape (N) or (N, K)", ls_dataset_x_file(d),
                 ls_array_describe(y, text, sizeof text));
}

#define NAMES_MOST ((size_t)6)

/* "cat, dog and 3 more", on one line. */
static void list_names(const ls_dataset *d, draft_targets *y) {
  for (size_t k = 0; k < ls_size_min(d->n_classes, NAMES_MOST); k++)
    ls_append(y->names, sizeof y->names, "%s%.*s", k ? ", " : "", ls_clip(d->classes[k], 30),
              d->classes[k]);
  if (d->n_classes > NAMES_MOST)
    ls_append(y->names, sizeof y->names, " and %zu more", d->n_classes - NAMES_MOST);
  for (char *c = y->names; *c; c++)
    if (iscntrl((unsigned char)*c)) *c = ' ';
}

ls_status draft_measure_targets(const ls_dataset *d, const ls_draft_request *request, draft_targets *out) {
  ls_array y;
  tally t = {.dataset = d,
             .low = INFINITY,
             .high = -INFINITY,
             .is_whole = true,
             .is_binary = true,
             .is_one_hot = true};
  *out = (draft_targets){0};
  LS_TRY(ls_dataset_describe_y(d, &y));
  LS_TRY(check_shape(d, &y, &t.columns));
  out->columns = t.columns;
  t.n_counts = t.columns == 1 ? CLASSES_MOST : t.columns;
  t.counts = ls_calloc(t.n_counts, sizeof *t.counts);
  if (!t.counts) return ls_fail_memory("the counts of classes", t.n_counts * sizeof *t.counts);
  ls_status status = ls_dataset_visit_y(d, add_rows, &t);
  if (status == LS_OK && t.columns == 1) status = decide_single(&t, request, y.dtype, out);
  if (status == LS_OK && t.columns > 1) status = decide_several(&t, request, out);
  if (status == LS_OK && t.low == t.high) status = fail_single(&t, out);
  if (out->task == DRAFT_CLASSES) list_names(d, out);
  if (out->task == DRAFT_NUMBERS && t.columns == 1) out->tail = tail_of(&t);
  out->low = t.low;
  out->high = t.high;
  free(t.counts);
  return status;
}
