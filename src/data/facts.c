/* The facts of data, and the comparison of their values with those of a model's training data. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_MOST  1024
#define ELEMENTS_MOST ((size_t)1 << 24) /* looked at, which takes some milliseconds */

/* Evenly distributed samples of a view, one after the other. */
typedef struct selection {
  const ls_view *view;
  size_t n;    /* samples */
  double *row; /* (n_features), owned */
} selection;

static selection select_samples(const ls_view *view) {
  const size_t n_features = view->dataset->n_features;
  const size_t most = ls_size_max(ls_size_min(SAMPLES_MOST, ELEMENTS_MOST / n_features), 1);
  return (selection){
      .view = view, .n = ls_size_min(view->n, most), .row = ls_calloc(n_features, sizeof(double))};
}

/* Reads x of selected sample i into s->row. */
static void read_sample(const selection *s, size_t i) {
  const ls_dataset *const d = s->view->dataset;
  const uint64_t step = s->view->n / s->n;
  const ls_row row = ls_view_row(s->view, i * step);
  data_elements(row.x, d->x_array.dtype, 0, d->n_features, s->row);
  ls_heartbeat();
}

/* The range and magnitude of the samples. */
static ls_values measure(const selection *s) {
  const ls_dataset *const d = s->view->dataset;
  ls_values x = {.type = ls_dtype_name(d->x_array.dtype), .low = INFINITY, .high = -INFINITY};
  double sum = 0.0;
  for (size_t i = 0; i < s->n; i++) {
    read_sample(s, i);
    for (size_t j = 0; j < d->n_features; j++) {
      x.low = fmin(x.low, s->row[j]);
      x.high = fmax(x.high, s->row[j]);
      sum += fabs(s->row[j]);
    }
  }
  x.magnitude = sum / ((double)s->n * (double)d->n_features);
  return x;
}

ls_facts ls_facts_of(const ls_view *view, const char *owner) {
  const ls_dataset *const d = view->dataset;
  selection s = select_samples(view);
  const ls_facts facts = {.owner = owner,
                          .shape = ls_dataset_shape(d),
                          .features = {(const char *const *)d->feature_names, d->n_feature_names},
                          .classes = {(const char *const *)d->classes, d->n_classes},
                          .x = s.row && s.n > 0 ? measure(&s) : (ls_values){0}};
  free(s.row);
  return facts;
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
static double share_outside(const selection *s, const ls_values *x) {
  const double margin = BEYOND_RANGE * (x->high - x->low);
  size_t n_outside = 0;
  size_t n = 0;
  for (size_t i = 0; i < s->n; i++) {
    read_sample(s, i);
    for (size_t j = 0; j < s->view->dataset->n_features; j++) {
      n += s->row[j] != 0.0;
      n_outside += s->row[j] != 0.0 && !(s->row[j] >= x->low - margin && s->row[j] <= x->high + margin);
    }
  }
  return n > 0 ? (double)n_outside / (double)n : 0.0;
}

/* Whether all values together are on another scale than in training. */
static bool is_far(const selection *s, const ls_values *then, const ls_values *now) {
  const size_t n = s->n * s->view->dataset->n_features;
  const bool is_smaller = SHRINKAGE * (now->high - now->low) < then->high - then->low &&
                          SHRINKAGE * now->magnitude < then->magnitude;
  return (n >= FEWEST && is_smaller) || share_outside(s, then) > OUTSIDE;
}

/* Sums over the samples of a feature z, in deviations from the centre of the training data. */
typedef struct spread {
  double sum, squares;
  size_t n_beyond; /* |z| > FAR */
} spread;

#define FAR        4.0
#define NARROW     0.05 /* spread, of that in training */
#define OFF_CENTRE 1.0

/* Whether the values of a feature are on another scale: most are far from the training data, or they vary
 * much less, around another value. A constant feature does not count: data may be for one of its values. */
static bool is_feature_far(const spread *f, size_t n) {
  const double mean = f->sum / (double)n;
  const double variance = f->squares / (double)n - mean * mean;
  if (2 * f->n_beyond > n) return true;
  return n >= FEWEST && fabs(mean) > OFF_CENTRE && variance > 1e-12 * mean * mean &&
         sqrt(variance) < NARROW;
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
static void add_samples(const selection *s, const ls_normalizer *normalizer, bool is_scaled,
                        spread *features) {
  for (size_t i = 0; i < s->n; i++) {
    read_sample(s, i);
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
}

/* Warns of the first feature that is on another scale than in training. */
static ls_status compare_features(const ls_facts *model, const ls_normalizer *normalizer, bool is_scaled,
                                  const selection *s, const char *owner) {
  const size_t n = normalizer->n_features;
  size_t far = 0;
  spread *const features = ls_calloc(n, sizeof *features);
  if (!features) return ls_fail_memory("the spread of the features", n * sizeof *features);
  add_samples(s, normalizer, is_scaled, features);
  while (far < n && !is_feature_far(&features[far], s->n)) far++;
  if (far < n) {
    double centre = 0.0;
    double deviation = 0.0;
    char name[100] = "";
    centre_of(normalizer, is_scaled, far, &centre, &deviation);
    if (far < model->features.n) snprintf(name, sizeof name, " (%.90s)", model->features.list[far]);
    ls_log(
        LS_LOG_WARNING,
        "%s: feature %zu%s has a mean of %.4g, far from that of the training data of %s, %.4g; results are "
        "right only if its unit is that of training, before normalisation",
        owner, far, name, centre + deviation * features[far].sum / (double)s->n, model->owner, centre);
  }
  free(features);
  return LS_OK;
}

/* Whether the normaliser was learned from the values: otherwise all offsets are 0. */
static bool is_learned(const ls_normalizer *normalizer) {
  for (size_t j = 0; j < normalizer->n_features; j++)
    if (normalizer->offset[j] != 0.0) return true;
  return false;
}

static ls_status compare(const ls_facts *model, ls_normalize kind, const ls_normalizer *normalizer,
                         const selection *s, const char *owner) {
  const ls_values *const then = &model->x;
  const ls_values now = measure(s);
  if (then->type && is_far(s, then, &now)) {
    ls_log(
        LS_LOG_WARNING,
        "%s: x is %s from %g to %g, far from the training data of %s, %s from %g to %g; results are right "
        "only if x is on the scale of the training data, before normalisation: convert x to it",
        owner, now.type, now.low, now.high, model->owner, then->type, then->low, then->high);
    return LS_OK;
  }
  if (then->type && is_real(then->type) != is_real(now.type))
    ls_log(
        LS_LOG_WARNING,
        "%s: x is %s, but the training data of %s are %s, from %g to %g; results are right only if x is on "
        "their scale, before normalisation",
        owner, now.type, model->owner, then->type, then->low, then->high);
  if (s->n < 10 || kind == LS_NORMALIZE_NONE || !is_learned(normalizer)) return LS_OK;
  return compare_features(model, normalizer, kind == LS_NORMALIZE_SCALE, s, owner);
}

ls_status ls_facts_compare(const ls_facts *model, ls_normalize kind, const ls_normalizer *normalizer,
                           const ls_view *view, const char *owner) {
  selection s = select_samples(view);
  if (!s.row) return ls_fail_memory("a sample", view->dataset->n_features * sizeof *s.row);
  const ls_status status = s.n > 0 ? compare(model, kind, normalizer, &s, owner) : LS_OK;
  free(s.row);
  return status;
}
