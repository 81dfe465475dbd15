/* The results of a model on data: the metric of `lockstep evaluate`, the distribution of scores for the
 * curves, predicted numbers, and the worst errors. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOP_K       5    /* of top-K accuracy, if there are more classes */
#define SCORE_LIMIT 20.0 /* log-odds beyond which scores are not distinguished */

void report_evaluation_destroy(report_evaluation **evaluation) {
  report_evaluation *const e = *evaluation;
  if (!e) return;
  for (size_t i = 0; i < e->n_names; i++) free(e->names[i]);
  for (size_t i = 0; i < REPORT_WORST; i++) {
    report_case *const c = &e->cases[i];
    for (size_t k = 0; k < REPORT_FEATURES; k++) free(c->features[k].name);
    free(c->truth);
    free(c->predicted);
    free(c->picture);
  }
  free(e->data);
  ls_metric_destroy(&e->metric);
  free(e->names);
  free(e->scores);
  free(e->truth);
  free(e->predicted);
  free(e);
  *evaluation = NULL;
}

static double probability_of(double log_odds) {
  return 1.0 / (1.0 + exp(-log_odds));
}

/* ln(1 + e^x) without overflow. */
static double softplus(double x) {
  return x > 30.0 ? x : log1p(exp(x));
}

/* ------------------------------------------------------------------- classes and labels */

/* The part of the interval of scores that has a log-odds. */
static size_t slot_of(float score) {
  const double share = ((double)score + SCORE_LIMIT) / (2.0 * SCORE_LIMIT);
  return (size_t)(fmin(fmax(share, 0.0), 1.0 - 1e-9) * REPORT_SCORES);
}

/* Whether row i belongs to the class or label k. */
static bool belongs(const ls_ranking *r, size_t k, size_t i) {
  return r->classes ? r->classes[i] == (int32_t)k : r->labels[k * r->max_rows + i];
}

/* Chooses the outputs whose ROC curve is shown: those with the lowest area. */
static void choose_curves(report_evaluation *e) {
  const size_t n = e->metric->n_outputs;
  for (size_t k = 0; k < n; k++) {
    const double auc = e->metric->ranking->auc[k];
    size_t at = e->n_curves;
    if (isnan(auc)) continue;
    while (n > REPORT_CURVES && at > 0 && e->metric->ranking->auc[e->curves[at - 1]] > auc) at--;
    if (at == REPORT_CURVES) continue;
    if (e->n_curves < REPORT_CURVES) e->n_curves++;
    memmove(e->curves + at + 1, e->curves + at, (e->n_curves - 1 - at) * sizeof *e->curves);
    e->curves[at] = k;
  }
}

static void count_scores(report_evaluation *e) {
  const ls_ranking *const r = e->metric->ranking;
  for (size_t c = 0; c < e->n_curves; c++)
    for (size_t i = 0; i < r->rows; i++) {
      const size_t k = e->curves[c];
      const size_t slot = slot_of(r->scores[k * r->max_rows + i]);
      e->scores[(2 * c + belongs(r, k, i)) * REPORT_SCORES + slot] += (double)r->weights[i];
    }
}

static void add_to_bin(report_evaluation *e, double probability, bool is_right, double weight) {
  const size_t bin = ls_size_min((size_t)(probability * REPORT_BINS), REPORT_BINS - 1);
  if (isnan(probability)) return;
  e->bins[0][bin] += weight;
  e->bins[1][bin] += weight * probability;
  e->bins[2][bin] += is_right ? weight : 0.0;
}

/* The error of row i: -ln of the probability of its class; for labels the sum of their cross-entropies. */
static double add_row(report_evaluation *e, size_t i) {
  const ls_ranking *const r = e->metric->ranking;
  const double weight = (double)r->weights[i];
  size_t best = 0;
  double error = 0.0;
  for (size_t k = 0; k < e->metric->n_outputs; k++) {
    const double score = (double)r->scores[k * r->max_rows + i];
    const bool is_member = belongs(r, k, i);
    if (score > (double)r->scores[best * r->max_rows + i]) best = k;
    if (r->labels || is_member) error += softplus(is_member ? -score : score);
    if (r->labels) add_to_bin(e, probability_of(score), is_member, weight);
  }
  if (r->classes)
    add_to_bin(e, probability_of((double)r->scores[best * r->max_rows + i]), belongs(r, best, i), weight);
  return error;
}

/* Collective. Reads the scores that the metric has kept of this rank's shard. */
static ls_status use_scores(ls_comm *comm, const ls_view *view, report_evaluation *e, report_worst *worst) {
  const ls_ranking *const r = e->metric->ranking;
  ls_partition shard;
  ls_partition_rows(comm, NULL, view->n, &shard);
  choose_curves(e);
  e->scores = ls_calloc(e->n_curves * 2, REPORT_SCORES * sizeof *e->scores);
  LS_TRY(ls_comm_agree(comm, e->scores ? LS_OK : ls_fail_memory("the scores", REPORT_SCORES)));
  count_scores(e);
  for (size_t i = 0; i < r->rows; i++) {
    const double error = add_row(e, i);
    if (r->weights[i] > 0.0F && !isnan(error))
      report_worst_add(worst, error, ls_view_sample(view, shard.first + i));
    ls_heartbeat_every(i);
  }
  ls_comm_sum_f64(comm, e->scores, e->n_curves * 2 * REPORT_SCORES);
  ls_comm_sum_f64(comm, e->bins[0], 3 * (size_t)REPORT_BINS);
  return LS_OK;
}

/* ------------------------------------------------------------------------- numbers */

typedef struct prediction {
  const ls_predictor *predictor;
  const ls_view *view;
  ls_batch *batch;
  double *a, *y;  /* (LS_EVALUATE_ROWS, n_out): predicted and true numbers, in the unit of y */
  double *scales; /* (n_out): standard deviations of the targets */
} prediction;

/* Predicts rows of a view. */
static ls_status predict_rows(prediction *p, uint64_t first, size_t rows) {
  ls_model *const model = p->predictor->job->model;
  const ls_normalizer *const normalizer = p->predictor->normalizer;
  const size_t n = model->n_out;
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  for (size_t i = 0; i < rows; i++) p->batch->samples[i] = ls_view_sample(p->view, first + i);
  LS_TRY(ls_batch_gather(p->batch, p->view->dataset, normalizer, rows));
  const float *const a = ls_model_forward(model, &pass, p->batch->x);
  for (size_t i = 0; i < rows * n; i++) p->a[i] = (double)a[i];
  if (normalizer->targets) ls_normalizer_restore_targets(normalizer, rows, a, p->a);
  for (size_t i = 0; i < rows; i++) {
    ls_row row;
    LS_TRY(ls_dataset_fetch(p->view->dataset, 1, &p->batch->samples[i], &row));
    for (size_t k = 0; k < n; k++) p->y[i * n + k] = ls_row_value(p->view->dataset, &row, k);
  }
  return LS_OK;
}

/* The error of a row: its residuals, relative to the standard deviations of the targets. */
static void use_rows(const prediction *p, uint64_t first, size_t rows, report_evaluation *e,
                     report_worst *worst) {
  const size_t n = e->metric->n_outputs;
  const uint64_t stride = (p->view->n + REPORT_POINTS - 1) / REPORT_POINTS;
  for (size_t i = 0; i < rows; i++) {
    double sum = 0.0;
    for (size_t k = 0; k < n; k++) sum += pow((p->a[i * n + k] - p->y[i * n + k]) / p->scales[k], 2.0);
    report_worst_add(worst, isnan(sum) ? INFINITY : sqrt(sum / (double)n), p->batch->samples[i]);
    if ((first + i) % stride != 0) continue;
    const size_t point = (first + i) / stride;
    for (size_t k = 0; k < e->n_outputs; k++) {
      e->truth[k * e->n_points + point] = p->y[i * n + k];
      e->predicted[k * e->n_points + point] = p->a[i * n + k];
    }
  }
}

/* Local. Allocates the buffers. */
static ls_status prepare(prediction *p, report_evaluation *e) {
  const size_t n = e->metric->n_outputs;
  const uint64_t stride = (p->view->n + REPORT_POINTS - 1) / REPORT_POINTS;
  e->n_points = p->view->n ? (p->view->n - 1) / stride + 1 : 0;
  e->n_outputs = ls_size_min(n, REPORT_OUTPUTS);
  e->truth = ls_calloc(e->n_points * e->n_outputs, sizeof *e->truth);
  e->predicted = ls_calloc(e->n_points * e->n_outputs, sizeof *e->predicted);
  p->a = ls_calloc(LS_EVALUATE_ROWS * n, sizeof *p->a);
  p->y = ls_calloc(LS_EVALUATE_ROWS * n, sizeof *p->y);
  p->scales = ls_calloc(n, sizeof *p->scales);
  if (!e->truth || !e->predicted || !p->a || !p->y || !p->scales)
    return ls_fail_memory("the predictions", 2 * LS_EVALUATE_ROWS * n * sizeof *p->a);
  for (size_t k = 0; k < n; k++) {
    double mean = 0.0;
    double std = 0.0;
    ls_metric_targets(e->metric, k, &mean, &std);
    p->scales[k] = std > 0.0 ? std * e->metric->units[k] : 1.0;
  }
  return ls_batch_create(p->view->dataset, LS_EVALUATE_ROWS, &p->batch);
}

/* Collective. Predicts this rank's shard. */
static ls_status use_numbers(ls_comm *comm, const ls_predictor *predictor, const ls_view *view,
                             report_evaluation *e, report_worst *worst) {
  prediction p = {.predictor = predictor, .view = view};
  ls_partition shard;
  ls_partition_rows(comm, NULL, view->n, &shard);
  ls_status status = prepare(&p, e);
  const size_t n = shard.lanes[shard.n_lanes];
  for (size_t done = 0; status == LS_OK && done < n; done += LS_EVALUATE_ROWS) {
    const size_t rows = ls_size_min(LS_EVALUATE_ROWS, n - done);
    status = predict_rows(&p, shard.first + done, rows);
    if (status == LS_OK) use_rows(&p, shard.first + done, rows, e, worst);
    ls_heartbeat();
  }
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) {
    ls_comm_sum_f64(comm, e->truth, e->n_points * e->n_outputs); /* each is nonzero on one rank only */
    ls_comm_sum_f64(comm, e->predicted, e->n_points * e->n_outputs);
  }
  ls_batch_destroy(&p.batch);
  free(p.a);
  free(p.y);
  free(p.scales);
  return status;
}

/* ----------------------------------------------------------------------- all together */

/* Local. The metric of `lockstep evaluate`. */
static ls_status create_metric(const ls_comm *comm, const ls_predictor *predictor, const ls_view *view,
                               ls_metric **out) {
  const ls_task task = predictor->job->task;
  LS_TRY(ls_metric_create(task, predictor->job->model->n_out, true, out));
  if (task == LS_TASK_CLASSES && predictor->job->model->n_out > TOP_K) ls_metric_add_top(*out, TOP_K);
  return task == LS_TASK_REGRESSION ? LS_OK : ls_evaluate_keep_scores(comm, NULL, view->n, *out);
}

/* Rank 0. Copies the names of classes or labels; numbers where there are none. */
static ls_status copy_names(const ls_predictor *predictor, report_evaluation *e) {
  const ls_modelfile *const saved = predictor->saved;
  const size_t n = ls_metric_n_classes(e->metric);
  e->names = ls_calloc(n, sizeof *e->names);
  if (!e->names) return ls_fail_memory("the names", n * sizeof *e->names);
  e->n_names = n;
  for (size_t i = 0; i < n; i++) {
    e->names[i] = i < saved->n_classes ? ls_strdup(saved->classes[i]) : ls_format("%zu", i);
    if (!e->names[i]) return ls_fail_memory("the names", n * sizeof *e->names);
  }
  return LS_OK;
}

static ls_status create(const ls_comm *comm, const ls_predictor *predictor, const ls_view *view,
                        const char *data, ls_batch **batch, report_evaluation **out) {
  report_evaluation *const e = *out = ls_calloc(1, sizeof *e);
  if (!e) return ls_fail_memory("the results", sizeof *e);
  e->data = ls_strdup(data);
  if (!e->data) return ls_fail_memory("the results", strlen(data));
  LS_TRY(create_metric(comm, predictor, view, &e->metric));
  LS_TRY(ls_batch_create(view->dataset, LS_EVALUATE_ROWS, batch));
  return ls_comm_rank(comm) == 0 ? copy_names(predictor, e) : LS_OK;
}

ls_status report_evaluate(ls_comm *comm, const ls_predictor *predictor, const ls_view *view,
                          const char *data, report_evaluation **out) {
  report_worst worst = {0};
  ls_batch *batch = NULL;
  ls_status status = ls_comm_agree(comm, create(comm, predictor, view, data, &batch, out));
  report_evaluation *const e = *out;
  if (status == LS_OK)
    status = ls_evaluate(comm, NULL, predictor->job->model, predictor->normalizer, view, batch, e->metric);
  if (status == LS_OK)
    status = e->metric->ranking ? use_scores(comm, view, e, &worst)
                                : use_numbers(comm, predictor, view, e, &worst);
  if (status == LS_OK) status = report_worst_merge(comm, &worst);
  if (status == LS_OK) status = report_cases_create(comm, predictor, view, &worst, e);
  ls_batch_destroy(&batch);
  if (status != LS_OK) report_evaluation_destroy(out);
  return status;
}
