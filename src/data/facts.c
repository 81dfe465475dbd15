/* The facts of data, and the comparison of their values with those of a model's training data. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_MOST  1024
#define RUNS          64
#define ELEMENTS_MOST ((size_t)1 << 24) /* looked at, which takes some milliseconds */

/* Evenly distributed samples of a view, one after the other: all of them or, of many, few runs of
 * consecutive ones, as a file may have to decode a chunk for each run. */
typedef struct selection {
  const ls_view *view;
  size_t n;                     /* samples */
  size_t run;                   /* of them in a run, at most DATA_FETCH_ROWS */
  double *row;                  /* (n_features), owned */
  ls_row rows[DATA_FETCH_ROWS]; /* of the current run */
} selection;

static selection select_samples(const ls_view *view) {
  const size_t n_features = view->dataset->n_features;
  const size_t most = ls_size_max(ls_size_min(SAMPLES_MOST, ELEMENTS_MOST / n_features), 1);
  const size_t n = ls_size_min(view->n, most);
  const size_t run = view->n > n ? ls_size_max(n / RUNS, 1) : 1;
  return (selection){
      .view = view, .n = n - n % run, .run = run, .row = ls_calloc(n_features, sizeof(double))};
}

/* Fetches the run of selected sample i. */
static ls_status fetch_run(selection *s, size_t i) {
  const uint64_t first = i / s->run * (s->view->n / (s->n / s->run));
  uint64_t samples[DATA_FETCH_ROWS] = {0};
  for (size_t k = 0; k < s->run; k++) samples[k] = ls_view_sample(s->view, first + k);
  return ls_dataset_fetch(s->view->dataset, s->run, samples, s->rows);
}

/* Reads x of selected sample i into s->row; i counts from 0. */
static ls_status read_sample(selection *s, size_t i) {
  const ls_dataset *const d = s->view->dataset;
  if (i % s->run == 0) LS_TRY(fetch_run(s, i));
  data_elements(s->rows[i % s->run].x, d->x_array.dtype, 0, d->n_features, s->row);
  ls_heartbeat();
  return LS_OK;
}

/* The range and magnitude of the samples. */
static ls_status measure(selection *s, ls_values *out) {
  const ls_dataset *const d = s->view->dataset;
  ls_values x = {.type = ls_dtype_name(d->x_array.dtype), .low = INFINITY, .high = -INFINITY};
  double sum = 0.0;
  for (size_t i = 0; i < s->n; i++) {
    LS_TRY(read_sample(s, i));
    for (size_t j = 0; j < d->n_features; j++) {
      x.low = fmin(x.low, s->row[j]);
      x.high = fmax(x.high, s->row[j]);
      sum += fabs(s->row[j]);
    }
  }
  x.magnitude = sum / ((double)s->n * (double)d->n_features);
  *out = x;
  return LS_OK;
}

ls_facts ls_facts_of(const ls_dataset *d, const char *owner) {
  return (ls_facts){.owner = owner,
                    .shape = ls_dataset_shape(d),
                    .features = {(const char *const *)d->feature_names, d->n_feature_names},
                    .classes = {(const char *const *)d->classes, d->n_classes}};
}

ls_status ls_facts_measure(const ls_view *view, ls_facts *facts) {
  selection s = select_samples(view);
  if (!s.row) return ls_fail_memory("a sample", view->dataset->n_features * sizeof *s.row);
  const ls_status status = s.n > 0 ? measure(&s, &facts->x) : LS_OK;
  free(s.row);
  return status;
}

/* ---------------------------------------------------------------------- comparison */

static bool is_real(const char *type) {
  return strncmp(type, "float", 5) == 0;
}

#define SHRINKAGE    10.0 /* of range and magnitude, from which values are far */
#define FEWEST       30   /* values for a comparison of spreads */
#define OUTSIDE      0.05 /* share of the values beyond the range */
#define BEYOND_RANGE 0.25 /* of the range: values this far beyond it are outside */

/* The share of the values other than 0 that are outside the range of the training data. */
static ls_status share_outside(selection *s, const ls_values *x, double *share) {
  const double margin = BEYOND_RANGE * (x->high - x->low);
  size_t n_outside = 0;
  size_t n = 0;
  for (size_t i = 0; i < s->n; i++) {
    LS_TRY(read_sample(s, i));
    for (size_t j = 0; j < s->view->dataset->n_features; j++) {
      n += s->row[j] != 0.0;
      n_outside += s->row[j] != 0.0 && !(s->row[j] >= x->low - margin && s->row[j] <= x->high + margin);
    }
  }
  *share = n > 0 ? (double)n_outside / (double)n : 0.0;
  return LS_OK;
}

/* Whether all values together are on another scale than in training. */
static ls_status find_far(selection *s, const ls_values *then, const ls_values *now, bool *far) {
  const size_t n = s->n * s->view->dataset->n_features;
  const bool is_smaller = SHRINKAGE * (now->high - now->low) < then->high - then->low &&
                          SHRINKAGE * now->magnitude < then->magnitude;
  double outside = 0.0;
  LS_TRY(share_outside(s, then, &outside));
  *far = (n >= FEWEST && is_smaller) || outside > OUTSIDE;
  return LS_OK;
}

/* Whether all values are whole numbers within the range of the training data: integers that are stored as
 * real numbers, such as those of a table. */
static bool are_integers_in_range(selection *s, const ls_values *x) {
  for (size_t i = 0; i < s->n; i++) {
    read_sample(s, i);
    for (size_t j = 0; j < s->view->dataset->n_features; j++)
      if (floor(s->row[j]) != s->row[j] || s->row[j] < x->low || s->row[j] > x->high) return false;
  }
  return true;
}

/* Whether one of both has real numbers and the other integers. */
static bool differs_in_type(selection *s, const ls_values *then, const ls_values *now) {
  return then->type && is_real(then->type) != is_real(now->type) &&
         !(is_real(now->type) && are_integers_in_range(s, then));
}

/* Sums over the samples of a feature z, in deviations from the centre of the training data. */
typedef struct spread {
  double sum, squares;
  size_t n_beyond; /* |z| > FAR */
} spread;

#define FAR        4.0
#define OFF_CENTRE 1.0
#define NARROW     0.1 /* deviation, of that in training */

/* Whether a feature is in another unit: most of its values are far from the training data or, of data that
 * were standardised, mean and deviation are smaller by about the same factor. A constant feature does not
 * count: data may be of one kind. `centre`, `deviation`: of the training data */
static bool is_feature_far(const spread *f, size_t n, bool is_scaled, double centre, double deviation) {
  const double mean = f->sum / (double)n;
  const double variance = f->squares / (double)n - mean * mean;
  if (!(variance > 1e-12 * mean * mean)) return false;
  if (2 * f->n_beyond > n) return true;
  const double narrowing = sqrt(variance);
  const double shrinkage = 1.0 + mean * deviation / centre; /* of the mean */
  return !is_scaled && n >= FEWEST && fabs(mean) > OFF_CENTRE && narrowing < NARROW &&
         shrinkage > 0.5 * narrowing && shrinkage < 2.0 * narrowing;
}

/* The centre and deviation of a feature of the training data, from their normaliser: `scale` maps to [0,
 * 1], which is wider. */
static void centre_of(const ls_normalizer *normalizer, bool is_scaled, size_t j, double *centre,
                      double *deviation) {
  const double unit = 1.0 / normalizer->factor[j];
  *centre = normalizer->offset[j] + (is_scaled ? 0.5 * unit : 0.0);
  *deviation = is_scaled ? 0.25 * unit : unit;
}

/* Adds up the samples of all features.  features: (n_features) */
static ls_status add_samples(selection *s, const ls_normalizer *normalizer, bool is_scaled,
                             spread *features) {
  for (size_t i = 0; i < s->n; i++) {
    LS_TRY(read_sample(s, i));
    for (size_t j = 0; j < normalizer->n_features; j++) {
      double centre = 0.0;
      double deviation = 1.0;
      centre_of(normalizer, is_scaled, j, &centre, &deviation);
      const double z = (s->row[j] - centre) / deviation;
      features[j].sum += z;
      features[j].squares += z * z;
      features[j].n_beyond += fabs(z) > FAR;
    }
  }
  return LS_OK;
}

/* A feature in another unit. */
typedef struct finding {
  size_t n;            /* such features */
  size_t first;        /* of them */
  double mean, centre; /* of the first: in these data, and in training */
} finding;

static void warn_of_feature(const ls_facts *model, const char *owner, const finding *f) {
  char name[100] = "";
  const char *const text = f->first < model->features.n ? model->features.list[f->first] : NULL;
  if (text) snprintf(name, sizeof name, " (%.*s)", ls_clip(text, 90), text);
  ls_log(
      LS_LOG_WARNING,
      "%s: feature %zu%s has a mean of %.4g, far from that of the training data of %s, about %.4g; results "
      "are right only if its unit is that of training, before normalisation",
      owner, f->first, name, f->mean, model->owner, f->centre);
}

/* Finds features in another unit than in training. */
static ls_status compare_features(const ls_normalizer *normalizer, bool is_scaled, selection *s,
                                  finding *found) {
  const size_t n = normalizer->n_features;
  spread *const features = ls_calloc(n, sizeof *features);
  if (!features) return ls_fail_memory("the spread of the features", n * sizeof *features);
  const ls_status status = add_samples(s, normalizer, is_scaled, features);
  for (size_t j = 0; status == LS_OK && j < n; j++) {
    double centre = 0.0;
    double deviation = 1.0;
    centre_of(normalizer, is_scaled, j, &centre, &deviation);
    if (!is_feature_far(&features[j], s->n, is_scaled, centre, deviation) || found->n++ > 0) continue;
    found->first = j;
    found->mean = centre + deviation * features[j].sum / (double)s->n;
    found->centre = centre;
  }
  free(features);
  return status;
}

/* Whether the normaliser was learned from the values: otherwise all offsets are 0. */
static bool is_learned(const ls_normalizer *normalizer) {
  for (size_t j = 0; j < normalizer->n_features; j++)
    if (normalizer->offset[j] != 0.0) return true;
  return false;
}

#define FEWEST_SAMPLES 10 /* for a comparison of features */

/* Names a feature if few are in another unit, and otherwise compares the range of all. */
static ls_status compare(const ls_facts *model, ls_normalize kind, const ls_normalizer *normalizer,
                         selection *s, const char *owner) {
  const ls_values *const then = &model->x;
  ls_values now = {0};
  bool far = false;
  finding found = {0};
  LS_TRY(measure(s, &now));
  if (then->type) LS_TRY(find_far(s, then, &now, &far));
  if (s->n >= FEWEST_SAMPLES && kind != LS_NORMALIZE_NONE && is_learned(normalizer))
    LS_TRY(compare_features(normalizer, kind == LS_NORMALIZE_SCALE, s, &found));
  if (found.n > 0 && (!far || 2 * found.n <= normalizer->n_features))
    warn_of_feature(model, owner, &found);
  else if (far)
    ls_log(
        LS_LOG_WARNING,
        "%s: x is %s from %g to %g, far from the training data of %s, %s from %g to %g; results are right "
        "only if x is on the scale of the training data, before normalisation: convert x to it",
        owner, now.type, now.low, now.high, model->owner, then->type, then->low, then->high);
  else if (differs_in_type(s, then, &now))
    ls_log(
        LS_LOG_WARNING,
        "%s: x is %s, but the training data of %s are %s, from %g to %g; results are right only if x is on "
        "their scale, before normalisation",
        owner, now.type, model->owner, then->type, then->low, then->high);
  return LS_OK;
}

ls_status ls_facts_compare(const ls_facts *model, ls_normalize kind, const ls_normalizer *normalizer,
                           const ls_view *view, const char *owner) {
  selection s = select_samples(view);
  if (!s.row) return ls_fail_memory("a sample", view->dataset->n_features * sizeof *s.row);
  const ls_status status = s.n > 0 ? compare(model, kind, normalizer, &s, owner) : LS_OK;
  free(s.row);
  return status;
}
