/* Permutation importance. Each rank works on its shard of the samples; the values of a feature are permuted
 * among all samples, which every rank can read. */
#include "internal.h"
#include "lockstep/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct measurer {
  ls_comm *comm;
  const ls_explain_options *options;
  uint64_t seed;
  size_t repeats;
  ls_batch *batch;
  ls_metric **metrics; /* (repeats) */
  double *sums;        /* (repeats, n_sums): of all metrics, for one reduction */
  float *column;       /* (n_samples): the values of the current feature */
} measurer;

#define UNCHANGED SIZE_MAX /* permute no feature */

/* ------------------------------------------------------------------ one feature */

/* Replaces the feature in the gathered rows by its permuted values. */
static void permute(const measurer *m, size_t feature, size_t repeat, size_t rows) {
  const size_t n = m->options->model->n_in;
  float *const x = m->batch->x;
  const ls_rng rng = ls_rng_make(m->seed, LS_RNG_EXPLAIN, (uint32_t)feature, repeat);
  const ls_permutation p = ls_permutation_make(rng, m->options->dataset->n_samples);
  for (size_t i = 0; i < rows; i++)
    x[i * n + feature] = m->column[ls_permutation_at(&p, m->batch->samples[i])];
}

/* Adds the gathered rows to a metric. */
static void add_rows(const measurer *m, size_t rows, ls_metric *metric) {
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes, .mode = LS_PREDICT};
  const ls_targets targets = ls_batch_targets(m->batch);
  const ls_objective loss = {.targets = &targets, .metric = metric};
  ls_forward_backward(m->options->model, &pass, m->batch->x, &loss);
}

/* Local. Measures this rank's samples with the first `repeats` permutations of a feature, or UNCHANGED. */
static ls_status measure_shard(const measurer *m, size_t feature, size_t repeats) {
  const ls_dataset *const d = m->options->dataset;
  const ls_shard mine = ls_shard_of(d->n_samples, ls_comm_rank(m->comm), ls_comm_size(m->comm));
  for (size_t r = 0; r < repeats; r++) ls_metric_reset(m->metrics[r]);
  for (size_t done = 0; done < mine.rows; done += m->batch->max_rows) {
    const size_t rows = ls_size_min(m->batch->max_rows, mine.rows - done);
    for (size_t i = 0; i < rows; i++) m->batch->samples[i] = mine.first + done + i;
    LS_TRY(ls_batch_gather(m->batch, d, m->options->normalizer, rows));
    for (size_t r = 0; r < repeats; r++) {
      if (feature != UNCHANGED) permute(m, feature, r, rows);
      add_rows(m, rows, m->metrics[r]);
    }
  }
  return LS_OK;
}

/* Collective. Measures the samples of all ranks. */
static ls_status measure(const measurer *m, size_t feature, size_t repeats) {
  const size_t n = m->metrics[0]->n_sums;
  LS_TRY(ls_comm_agree(m->comm, measure_shard(m, feature, repeats)));
  for (size_t r = 0; r < repeats; r++) memcpy(m->sums + r * n, m->metrics[r]->sums, n * sizeof *m->sums);
  ls_comm_sum_f64(m->comm, m->sums, repeats * n);
  for (size_t r = 0; r < repeats; r++) memcpy(m->metrics[r]->sums, m->sums + r * n, n * sizeof *m->sums);
  return LS_OK;
}

/* ----------------------------------------------------------------- all features */

/* Mean and standard deviation of `of(metric) - from` over the repeats. */
static void summarize(const measurer *m, double (*of)(const ls_metric *), double from, double *mean,
                      double *std) {
  const double n = (double)m->repeats;
  double sum = 0.0;
  double squares = 0.0;
  for (size_t r = 0; r < m->repeats; r++) sum += of(m->metrics[r]) - from;
  *mean = sum / n;
  for (size_t r = 0; r < m->repeats; r++) {
    const double d = of(m->metrics[r]) - from - *mean;
    squares += d * d;
  }
  *std = sqrt(squares / n);
}

static int compare(double a, double b) {
  return (a > b) - (a < b);
}

/* If the drop is undefined (NaN), the rise decides. */
static int more_important(const void *left, const void *right) {
  const ls_importance_row *const a = left;
  const ls_importance_row *const b = right;
  int order = compare(b->drop, a->drop);
  if (order == 0) order = compare(b->rise, a->rise);
  return order ? order : (a->feature > b->feature) - (a->feature < b->feature);
}

static void report_progress(uint64_t done, uint64_t all) {
  char text[100] = "";
  if (done < all && !ls_log_bar_is_due()) return;
  if (done < all)
    snprintf(text, sizeof text, "features permuted: %llu of %llu", (unsigned long long)done,
             (unsigned long long)all);
  ls_log_bar(text);
}

/* Collective. Measures all features and sorts them. */
static ls_status measure_all(measurer *m, ls_importance *out) {
  LS_TRY(measure(m, UNCHANGED, 1));
  out->loss = ls_metric_loss(m->metrics[0]);
  out->quality = ls_metric_quality(m->metrics[0]);
  for (size_t j = 0; j < out->n; j++) {
    ls_importance_row *const row = &out->rows[j];
    LS_TRY(ls_comm_agree(m->comm,
                         ls_dataset_column(m->options->dataset, m->options->normalizer, j, m->column)));
    LS_TRY(measure(m, j, m->repeats));
    row->feature = j;
    summarize(m, ls_metric_quality, out->quality, &row->drop, &row->drop_std);
    summarize(m, ls_metric_loss, out->loss, &row->rise, &row->rise_std);
    row->drop = 0.0 - row->drop; /* never -0 */
    report_progress(j + 1, out->n);
  }
  qsort(out->rows, out->n, sizeof *out->rows, more_important);
  return LS_OK;
}

/* ----------------------------------------------------------------------- memory */

static ls_status prepare(measurer *m) {
  const ls_model *const model = m->options->model;
  const ls_dataset *const d = m->options->dataset;
  LS_TRY(ls_batch_create(d, model->max_rows, &m->batch));
  m->column = ls_calloc(d->n_samples, sizeof *m->column);
  m->metrics = ls_calloc(m->repeats, sizeof(ls_metric *));
  if (!m->column || !m->metrics) return ls_fail_memory("a feature", d->n_samples * sizeof *m->column);
  for (size_t r = 0; r < m->repeats; r++) {
    LS_TRY(ls_metric_create(ls_task_of(model->loss), model->n_out, false, &m->metrics[r]));
    LS_TRY(ls_evaluate_set_scale(m->options->normalizer, d, 0, m->metrics[r]));
  }
  const size_t n_sums = m->repeats * m->metrics[0]->n_sums;
  m->sums = ls_calloc(n_sums, sizeof *m->sums);
  return m->sums ? LS_OK : ls_fail_memory("the sums of metrics", n_sums * sizeof *m->sums);
}

static void clean_up(measurer *m) {
  for (size_t r = 0; m->metrics && r < m->repeats; r++) ls_metric_destroy(&m->metrics[r]);
  free(m->metrics);
  free(m->sums);
  free(m->column);
  ls_batch_destroy(&m->batch);
}

static ls_status result_create(const measurer *m, ls_importance **out) {
  const size_t n = m->options->model->n_in;
  if (n > LS_IMPORTANCE_FEATURES_MOST)
    return ls_fail(LS_ERR_DATA, "x: %zu features are too many; --importance supports at most %d", n,
                   LS_IMPORTANCE_FEATURES_MOST);
  *out = ls_calloc(1, sizeof **out);
  if (*out) (*out)->rows = ls_calloc(n, sizeof *(*out)->rows);
  if (!*out || !(*out)->rows) return ls_fail_memory("the importance of features", n * sizeof *(*out)->rows);
  (*out)->n = n;
  (*out)->repeats = m->repeats;
  (*out)->samples = m->options->dataset->n_samples;
  return LS_OK;
}

ls_status ls_importance_create(ls_comm *comm, const ls_explain_options *options, uint64_t seed,
                               size_t repeats, ls_importance **out) {
  measurer m = {.comm = comm, .options = options, .seed = seed, .repeats = repeats};
  LS_ASSERT(repeats >= 1);
  *out = NULL;
  ls_status status = result_create(&m, out);
  if (status == LS_OK) status = prepare(&m);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = measure_all(&m, *out);
  if (status != LS_OK) ls_importance_destroy(out);
  clean_up(&m);
  return status;
}

void ls_importance_destroy(ls_importance **importance) {
  if (!*importance) return;
  free((*importance)->rows);
  free(*importance);
  *importance = NULL;
}
