/* train.tensorboard: the row of an epoch, and histograms of the weights, as events for TensorBoard. */
#include "internal.h"

#include <math.h>
#include <string.h>

#define BUCKETS 30 /* of a histogram, as many as TensorBoard displays */

/* Fields of Summary and Summary.Value (tensorflow/core/framework/summary.proto), and of HistogramProto
 * (histogram.proto). */
enum { VALUE = 1, TAG = 1, SIMPLE_VALUE = 2, HISTOGRAM = 5 };
enum { MIN = 1, MAX = 2, COUNT = 3, SUM = 4, SUM_SQUARES = 5, LIMITS = 6, COUNTS = 7 };

/* train_loss becomes loss/train and val_loss loss/val: TensorBoard groups tags by what precedes the slash.
 */
static void make_tag(const char *column, char *tag, size_t size) {
  static const char *const parts[] = {"train", "val"};
  snprintf(tag, size, "%s", column);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    const size_t n = strlen(parts[i]);
    if (strncmp(column, parts[i], n) == 0 && column[n] == '_')
      snprintf(tag, size, "%s/%s", column + n + 1, parts[i]);
  }
}

static void add_scalar(ls_protobuf *summary, const char *tag, double value) {
  const size_t begin = ls_protobuf_begin(summary, VALUE);
  ls_protobuf_text(summary, TAG, tag);
  ls_protobuf_float(summary, SIMPLE_VALUE, (float)value);
  ls_protobuf_end(summary, begin);
}

/* All columns with a value but the step, which is the abscissa. */
static void add_row(ls_protobuf *summary, const ls_job *job, const train_row *row) {
  char tag[64];
  for (int i = 0; i < row->n; i++) {
    if (i == LS_COLUMN_STEP || isnan(row->values[i])) continue;
    make_tag(ls_column_name(job, i), tag, sizeof tag);
    add_scalar(summary, tag, row->values[i]);
  }
}

typedef struct histogram {
  double min, max, sum, sum_squares;
  double counts[BUCKETS]; /* of values in equal parts of [min, max] */
} histogram;

static histogram count_values(const float *w, size_t n) {
  histogram h = {.min = INFINITY, .max = -INFINITY};
  for (size_t i = 0; i < n; i++) {
    h.min = fmin(h.min, w[i]);
    h.max = fmax(h.max, w[i]);
    h.sum += w[i];
    h.sum_squares += (double)w[i] * w[i];
    ls_heartbeat_every(i);
  }
  const double scale = h.max > h.min ? BUCKETS / (h.max - h.min) : 0.0;
  for (size_t i = 0; i < n; i++) {
    const size_t bucket = (size_t)((w[i] - h.min) * scale);
    h.counts[ls_size_min(bucket, BUCKETS - 1)] += 1.0;
    ls_heartbeat_every(i);
  }
  return h;
}

/* w: (n), finite, as train_check_state verifies */
static void add_histogram(ls_protobuf *summary, const char *tag, const float *w, size_t n) {
  const histogram h = count_values(w, n);
  const size_t value = ls_protobuf_begin(summary, VALUE);
  ls_protobuf_text(summary, TAG, tag);
  const size_t begin = ls_protobuf_begin(summary, HISTOGRAM);
  ls_protobuf_double(summary, MIN, h.min);
  ls_protobuf_double(summary, MAX, h.max);
  ls_protobuf_double(summary, COUNT, (double)n);
  ls_protobuf_double(summary, SUM, h.sum);
  ls_protobuf_double(summary, SUM_SQUARES, h.sum_squares);
  for (int i = 0; i < BUCKETS; i++)
    ls_protobuf_double(summary, LIMITS,
                       i + 1 < BUCKETS ? h.min + (i + 1) * (h.max - h.min) / BUCKETS : h.max);
  for (int i = 0; i < BUCKETS; i++) ls_protobuf_double(summary, COUNTS, h.counts[i]);
  ls_protobuf_end(summary, begin);
  ls_protobuf_end(summary, value);
}

static void add_weights(ls_protobuf *summary, const ls_model *model) {
  for (size_t i = 0; i < model->n_segments; i++) {
    const ls_segment *const s = &model->segments[i];
    char tag[sizeof s->path + 16];
    snprintf(tag, sizeof tag, "weights/%s", s->path);
    add_histogram(summary, tag, model->params + s->offset, ls_segment_count(s));
  }
}

ls_status train_write_events(const trainer *t, const train_row *row) {
  const ls_job *const job = t->setup->job;
  ls_protobuf summary = {0};
  if (!job->train.tensorboard.is_on) return LS_OK;
  add_row(&summary, job, row);
  if (job->train.tensorboard.histograms) add_weights(&summary, job->model);
  const ls_status status = ls_rundir_append_event(&t->dir, t->progress.step, &summary);
  ls_protobuf_destroy(&summary);
  return status;
}

ls_status train_reset_events(const trainer *t) {
  if (!t->setup->job->train.tensorboard.is_on && !ls_rundir_exists(t->dir.events)) return LS_OK;
  return ls_rundir_reset_events(&t->dir, t->progress.step);
}
