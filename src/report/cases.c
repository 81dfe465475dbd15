/* The worst errors: what is true, what the model predicts, and a picture or the strongest features. */
#include "internal.h"
#include "lockstep/explain.h"

#include <math.h>
#include <stdlib.h>

#define LISTED 6  /* labels or numbers in a text */
#define POINTS 64 /* of an integral, initially */

/* ----------------------------------------------------------------------------- texts */

/* Rank 0. Lists the labels whose value is above 0.5. */
static char *label_text(const report_evaluation *e, const float *values) {
  char text[1024] = "";
  size_t n = 0;
  for (size_t k = 0; k < e->metric->n_outputs; k++) {
    if (!(values[k] > 0.5F)) continue;
    if (n < LISTED) ls_append(text, sizeof text, "%s%s", n ? ", " : "", e->names[k]);
    n++;
  }
  if (n > LISTED) ls_append(text, sizeof text, " and %zu more", n - LISTED);
  return ls_format("%.*s", ls_clip(text, sizeof text - 1), n ? text : "none");
}

static char *number_text(const report_evaluation *e, const double *values) {
  char text[512] = "";
  char number[REPORT_NUMBER];
  for (size_t k = 0; k < ls_size_min(e->metric->n_outputs, LISTED); k++)
    ls_append(text, sizeof text, "%s%s", k ? ", " : "", report_number(values[k], number));
  return ls_format("%s%s", text, e->metric->n_outputs > LISTED ? ", ..." : "");
}

static size_t largest(size_t n, const float *a) {
  size_t best = 0;
  for (size_t k = 1; k < n; k++)
    if (a[k] > a[best]) best = k;
  return best;
}

static void describe_class(const report_evaluation *e, size_t class, const float *a, report_case *c) {
  const size_t n = e->metric->n_outputs;
  const size_t predicted = n == 1 ? a[0] > 0.5F : largest(n, a);
  const double p = n == 1 ? (predicted ? (double)a[0] : 1.0 - (double)a[0]) : (double)a[predicted];
  c->is_wrong = predicted != class;
  c->truth = ls_strdup(e->names[class]);
  c->predicted = ls_format("%s (%.3g %%)", e->names[predicted], 100.0 * p);
}

/* The targets and predictions of a row as texts.  a: (n_out), the predictions of the model */
static void describe(const ls_predictor *predictor, const ls_dataset *dataset, const ls_row *row,
                     const float *a, const report_evaluation *e, double *numbers, float *labels,
                     report_case *c) {
  const size_t n = e->metric->n_outputs;
  if (e->metric->task == LS_TASK_CLASSES) {
    describe_class(e, (size_t)*row->class_number, a, c);
    return;
  }
  for (size_t k = 0; k < n; k++) numbers[k] = ls_row_value(dataset, row, k);
  if (e->metric->task == LS_TASK_REGRESSION) {
    c->truth = number_text(e, numbers);
    for (size_t k = 0; k < n; k++) numbers[k] = (double)a[k];
    if (predictor->normalizer->targets) ls_normalizer_restore_targets(predictor->normalizer, 1, a, numbers);
    c->predicted = number_text(e, numbers);
    c->is_wrong = true;
    return;
  }
  for (size_t k = 0; k < n; k++) {
    labels[k] = (float)numbers[k];
    c->is_wrong |= (labels[k] > 0.5F) != (a[k] > 0.5F);
  }
  if (n == 1) {
    describe_class(e, labels[0] > 0.5F, a, c);
    return;
  }
  c->truth = label_text(e, labels);
  c->predicted = label_text(e, a);
}

/* ----------------------------------------------------------------------------- cases */

typedef struct describer {
  const ls_predictor *predictor;
  const ls_dataset *dataset;
  bool has_pictures;
  ls_batch *batch; /* of one row */
  ls_normalizer *identity;
  double *numbers; /* (n_out) */
  float *labels;   /* (n_out) */
} describer;

static ls_status prepare(describer *d) {
  const size_t n = d->predictor->job->model->n_out;
  d->numbers = ls_calloc(n, sizeof *d->numbers);
  d->labels = ls_calloc(n, sizeof *d->labels);
  if (!d->numbers || !d->labels) return ls_fail_memory("the worst errors", n * sizeof *d->numbers);
  LS_TRY(ls_normalizer_create(d->dataset->n_features, &d->identity));
  return ls_batch_create(d->dataset, 1, &d->batch);
}

/* Describes case i, without its features. */
static ls_status make_case(describer *d, report_evaluation *e, size_t i) {
  ls_model *const model = d->predictor->job->model;
  report_case *const c = &e->cases[i];
  const size_t lanes[] = {0, 1};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  ls_row row;
  d->batch->samples[0] = c->sample;
  LS_TRY(ls_batch_gather(d->batch, d->dataset, d->predictor->normalizer, 1));
  ls_model_forward(model, &pass, d->batch->x);
  const float *const a = ls_model_predict(model, 1);
  LS_TRY(ls_dataset_fetch(d->dataset, 1, &c->sample, &row));
  describe(d->predictor, d->dataset, &row, a, e, d->numbers, d->labels, c);
  if (!c->truth || !c->predicted) return ls_fail_memory("the worst errors", 0);
  LS_TRY(ls_batch_gather(d->batch, d->dataset, d->identity, 1));
  if (d->has_pictures) return report_picture(d->dataset, &d->predictor->saved->x, d->batch->x, &c->picture);
  for (size_t k = 0; k < c->n_features; k++)
    c->features[k].value = (double)d->batch->x[(size_t)c->features[k].value]; /* until now its position */
  return LS_OK;
}

/* Local, on rank 0. */
static ls_status make_cases(const ls_predictor *predictor, const ls_dataset *dataset, bool has_pictures,
                            report_evaluation *e) {
  describer d = {.predictor = predictor, .dataset = dataset, .has_pictures = has_pictures};
  ls_status status = prepare(&d);
  for (size_t i = 0; status == LS_OK && i < e->n_cases; i++) status = make_case(&d, e, i);
  ls_batch_destroy(&d.batch);
  ls_normalizer_destroy(&d.identity);
  free(d.numbers);
  free(d.labels);
  return status;
}

/* -------------------------------------------------------------------------- features */

/* The position of the largest attribution that is smaller than `below` (a tie: at a later position). */
static size_t next_strongest(size_t n, const float *attribution, size_t n_chosen, const size_t *chosen) {
  size_t best = n;
  for (size_t j = 0; j < n; j++) {
    bool is_taken = false;
    for (size_t t = 0; t < n_chosen; t++) is_taken |= chosen[t] == j;
    if (!is_taken && (best == n || fabsf(attribution[j]) > fabsf(attribution[best]))) best = j;
  }
  return best;
}

/* Rank 0. Sets the strongest features of a case.  attribution: (n_features) */
static ls_status set_features(const ls_predictor *predictor, const ls_dataset *dataset,
                              const float *attribution, report_case *c) {
  const ls_modelfile *const saved = predictor->saved;
  const ls_explain_names names = {
      .features = (const char *const *)(saved->features ? saved->features : dataset->feature_names),
      .n_features = saved->features ? saved->n_features : dataset->n_feature_names};
  size_t chosen[REPORT_FEATURES] = {0};
  char text[64];
  for (size_t k = 0; k < ls_size_min(REPORT_FEATURES, dataset->n_features); k++) {
    chosen[k] = next_strongest(dataset->n_features, attribution, k, chosen);
    report_feature *const f = &c->features[k];
    f->name = ls_strdup(ls_explain_feature_name(&names, dataset, chosen[k], text, sizeof text));
    if (!f->name) return ls_fail_memory("the names of features", sizeof text);
    f->value = (double)chosen[k];
    f->attribution = (double)attribution[chosen[k]];
    c->n_features++;
  }
  return LS_OK;
}

/* Collective. Explains the samples of all cases by integrated gradients: the predicted class, or the first
 * output of a regression. */
static ls_status explain(ls_comm *comm, const ls_predictor *predictor, const ls_dataset *dataset,
                         const report_worst *worst, report_evaluation *e) {
  const size_t n = dataset->n_features;
  const ls_explain_options options = {.model = predictor->job->model,
                                      .normalizer = predictor->normalizer,
                                      .dataset = dataset,
                                      .baseline = ls_baseline_for(&dataset->x_array),
                                      .has_output = e->metric->task == LS_TASK_REGRESSION,
                                      .points = POINTS,
                                      .most = REPORT_INTEGRAL_POINTS};
  ls_explainer *explainer = NULL;
  ls_status status = ls_explainer_create(comm, &options, &explainer);
  for (size_t done = 0; status == LS_OK && done < worst->n;) {
    const ls_attribution *a = NULL;
    const size_t count = ls_size_min(explainer->max_samples, worst->n - done);
    status = ls_explainer_explain(comm, explainer, worst->samples + done, count, &a);
    for (size_t i = 0; status == LS_OK && ls_comm_rank(comm) == 0 && i < count; i++)
      status = set_features(predictor, dataset, a->attributions + i * n, &e->cases[done + i]);
    for (size_t i = 0; status == LS_OK && i < count; i++)
      e->n_approximate += !ls_attribution_is_complete(explainer, a, i);
    status = ls_comm_agree(comm, status);
    done += count;
  }
  ls_explainer_destroy(&explainer);
  return status;
}

/* Collective. Rank 0 decides, as others know neither the layers that read x nor names. */
static bool decide_pictures(ls_comm *comm, const ls_predictor *predictor, const ls_dataset *dataset) {
  uint64_t yes = 0;
  if (ls_comm_rank(comm) == 0)
    yes = report_has_pictures(dataset, predictor->saved->features || dataset->n_feature_names > 0);
  ls_comm_broadcast(comm, &yes, sizeof yes);
  return yes;
}

ls_status report_cases_create(ls_comm *comm, const ls_predictor *predictor, const ls_view *view,
                              const report_worst *worst, report_evaluation *e) {
  const ls_dataset *const dataset = view->dataset;
  const bool is_small = dataset->n_features <= REPORT_FEATURES_MOST;
  const bool has_pictures = decide_pictures(comm, predictor, dataset);
  e->n_cases = worst->n;
  for (size_t i = 0; i < worst->n; i++) {
    e->cases[i].sample = worst->samples[i];
    e->cases[i].error = worst->errors[i];
  }
  e->is_too_wide = !has_pictures && !is_small;
  if (!has_pictures && is_small) LS_TRY(explain(comm, predictor, dataset, worst, e));
  return ls_comm_agree(comm,
                       ls_comm_rank(comm) == 0 ? make_cases(predictor, dataset, has_pictures, e) : LS_OK);
}
