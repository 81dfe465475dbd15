/* Diagnostics of each layer after an epoch, on a fixed sample of the training data: the norms of its
 * gradient and parameters, and the units that have stopped learning.
 *
 * - gradient_norm: ||dL/dw|| of the mean loss, over all parameters, without penalties and class weights
 * - weight_norm: ||w||
 * - ratio: of these two
 * - saturated: fraction of sigmoid and tanh outputs with a derivative below 1 % of its maximum
 * - dead: fraction of ReLU units, which are channels if the outputs have positions, that are 0 for every
 *   sample at every position */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 256

/* The units of a layer: the channels or features of its last dim. */
static size_t n_units(const ls_layer *layer) {
  return layer->out.n_dims > 0 ? layer->out.dims[layer->out.n_dims - 1] : 1;
}

/* Measurements of a layer. */
typedef struct diagnosis {
  double gradient_norm, weight_norm; /* NaN: no parameters */
  double saturated, dead;            /* NaN: not possible with its activation */
} diagnosis;

struct train_diagnostics {
  ls_batch *batch;        /* owned: the samples to measure */
  size_t n_samples;       /* of all ranks */
  ls_partition partition; /* of them */
  diagnosis *table;       /* (n_leaves), owned */
  double *counts; /* (n_counts), owned: of each leaf, saturated outputs, then nonzero ones of each unit */
  size_t n_counts;
  /* Norms after the first epoch of this process, but at least usual ones. */
  double first_gradient, first_weight;
  bool has_warned_vanishing, has_warned_dead, has_warned_exploding;
};

void train_diagnostics_destroy(train_diagnostics **out) {
  if (!*out) return;
  ls_batch_destroy(&(*out)->batch);
  free((*out)->table);
  free((*out)->counts);
  free(*out);
  *out = NULL;
}

/* Gathers the first samples of the first epoch, of its first window if it has any. */
static ls_status gather(const ls_comm *comm, const ls_setup *setup, train_diagnostics *d) {
  const ls_split *const split = &setup->train;
  ls_order *order = NULL;
  LS_TRY(ls_batch_create(split->dataset, SAMPLES, &d->batch));
  LS_TRY(ls_order_create(&split->view, setup->job->train.seed, true, setup->window, &order));
  ls_order_begin(order, 0);
  d->n_samples = ls_size_min(SAMPLES, split->view.n);
  if (setup->window > 0) d->n_samples = ls_size_min(d->n_samples, ls_order_window_at(order, 0).n);
  ls_partition_rows(comm, setup->tree, d->n_samples, &d->partition);
  const size_t rows = d->partition.lanes[d->partition.n_lanes];
  ls_order_samples(order, d->partition.first, rows, d->batch->samples);
  ls_order_destroy(&order);
  return ls_batch_gather(d->batch, split->dataset, setup->normalizer, rows);
}

ls_status train_diagnostics_create(const ls_comm *comm, const ls_setup *setup, train_diagnostics **out) {
  const ls_model *const model = setup->job->model;
  train_diagnostics *const d = *out = ls_calloc(1, sizeof *d);
  if (!d) return ls_fail_memory("the diagnostics", sizeof *d);
  for (size_t i = 0; i < model->n_leaves; i++) d->n_counts += 1 + n_units(model->leaves[i].layer);
  d->table = ls_calloc(model->n_leaves, sizeof *d->table);
  d->counts = ls_calloc(d->n_counts, sizeof *d->counts);
  if (!d->table || !d->counts) return ls_fail_memory("the diagnostics", d->n_counts * sizeof *d->counts);
  return gather(comm, setup, d);
}

/* ------------------------------------------------------------------- measuring */

static ls_activation activation_of(const ls_layer *layer) {
  return layer->type->activation && !layer->is_linked ? layer->type->activation(layer) : LS_LINEAR;
}

static bool can_saturate(ls_activation f) {
  return f == LS_SIGMOID || f == LS_TANH;
}

/* f'(z) below 1 % of its maximum: a (1 - a) < 0.01 / 4, 1 - a^2 < 0.01. */
static bool is_saturated(ls_activation f, float a) {
  return f == LS_SIGMOID ? a * (1.0F - a) < 0.0025F : 1.0F - a * a < 0.01F;
}

/* Counts the units of one leaf over this rank's rows. */
static void count_units(const ls_layer *layer, size_t rows, double *counts) {
  const ls_activation f = activation_of(layer);
  const size_t n = n_units(layer);
  const float *a = layer->output;
  for (size_t i = 0; i < rows * (layer->n_out / n); i++, a += n) {
    for (size_t j = 0; j < n; j++) {
      if (can_saturate(f)) counts[0] += is_saturated(f, a[j]);
      counts[1 + j] += a[j] != 0.0F;
    }
  }
}

static void set_units(diagnosis *row, const ls_layer *layer, double samples, const double *counts) {
  const ls_activation f = activation_of(layer);
  const size_t n = n_units(layer);
  size_t n_dead = 0;
  for (size_t j = 0; j < n; j++) n_dead += counts[1 + j] == 0.0;
  row->saturated = can_saturate(f) ? counts[0] / (samples * (double)layer->n_out) : NAN;
  row->dead = f == LS_RELU ? (double)n_dead / (double)n : NAN;
}

/* Norms over a leaf's parameters; `scale` converts the summed gradient to the mean. */
static void set_norms(diagnosis *row, const ls_layer *layer, double scale) {
  double gradient = 0.0;
  double weight = 0.0;
  for (size_t p = 0; p < layer->n_params; p++) {
    const ls_param *const param = &layer->params[p];
    const size_t n = ls_param_count(param);
    gradient += ls_math_sum_squares(n, param->grad);
    weight += ls_math_sum_squares(n, param->value);
  }
  row->gradient_norm = layer->n_params ? scale * sqrt(gradient) : NAN;
  row->weight_norm = layer->n_params ? sqrt(weight) : NAN;
}

/* Collective. Fills the table from forward and backward over the samples. Leaves the gradient of all ranks
 * in the model. */
static void measure(trainer *t, train_diagnostics *d) {
  ls_setup *const setup = t->setup;
  ls_model *const model = setup->job->model;
  const size_t samples = d->n_samples;
  train_probe(t, d->batch, &d->partition);
  double *counts = d->counts;
  memset(counts, 0, d->n_counts * sizeof *counts);
  for (size_t i = 0; i < model->n_leaves; counts += 1 + n_units(model->leaves[i].layer), i++)
    count_units(model->leaves[i].layer, d->batch->rows, counts);
  ls_step step = {.weight = ls_metric_weight(t->batches.metric), .sums = t->batches.metric->sums};
  ls_sync_reduce(t->comm, t->sync, &step, model->n_params, model->grads);
  ls_comm_sum_f64(t->comm, d->counts, d->n_counts); /* integers: exact in any order */
  counts = d->counts;
  for (size_t i = 0; i < model->n_leaves; counts += 1 + n_units(model->leaves[i].layer), i++) {
    set_norms(&d->table[i], model->leaves[i].layer, step.weight > 0.0 ? 1.0 / step.weight : 0.0);
    set_units(&d->table[i], model->leaves[i].layer, (double)samples, counts);
  }
}

/* --------------------------------------------------------------------- warnings */

#define VANISHED        1e-4 /* relative to the last layer's gradient */
#define MOSTLY_DEAD     0.5  /* of a layer's units */
#define GRADIENT_GROWTH 100.0
#define WEIGHT_GROWTH   100.0

/* The first or the last leaf with parameters; n_leaves: none. */
static size_t trained_leaf(const ls_model *model, bool last) {
  size_t found = model->n_leaves;
  for (size_t i = 0; i < model->n_leaves; i++)
    if (model->leaves[i].layer->n_params > 0 && (last || found == model->n_leaves)) found = i;
  return found;
}

static void warn_vanishing(const ls_model *model, train_diagnostics *d) {
  const size_t first = trained_leaf(model, false);
  const size_t last = trained_leaf(model, true);
  if (d->has_warned_vanishing || first >= last) return;
  const double ratio = d->table[first].gradient_norm / d->table[last].gradient_norm;
  if (!(ratio <= VANISHED)) return;
  d->has_warned_vanishing = true;
  ls_log(LS_LOG_WARNING,
         "the gradient vanishes: that of %s is %.1e times that of %s, so the first layers do not learn; "
         "use relu with he_normal, batch_norm before the activations, or residual blocks (diagnostics.csv "
         "lists all layers)",
         model->leaves[first].path, ratio, model->leaves[last].path);
}

static void warn_dead(const ls_model *model, train_diagnostics *d) {
  for (size_t i = 0; i < model->n_leaves && !d->has_warned_dead; i++) {
    if (!(d->table[i].dead > MOSTLY_DEAD)) continue;
    d->has_warned_dead = true;
    ls_log(LS_LOG_WARNING,
           "%s is mostly dead: %.0f %% of its ReLU units are 0 for every sample and no longer learn; use "
           "leaky_relu or elu, a lower learning rate, or he_normal initial weights",
           model->leaves[i].path, 100.0 * d->table[i].dead);
  }
}

static void warn_exploding(const ls_model *model, train_diagnostics *d, uint64_t epoch) {
  double gradient = 0.0;
  double weight = 0.0;
  for (size_t i = 0; i < model->n_leaves; i++) {
    if (model->leaves[i].layer->n_params == 0) continue;
    gradient = hypot(gradient, d->table[i].gradient_norm);
    weight = hypot(weight, d->table[i].weight_norm);
  }
  if (d->first_weight == 0.0) { /* weights that start at 0 may grow to the usual initial norm */
    d->first_gradient = fmax(gradient, 1.0);
    d->first_weight = fmax(weight, sqrt((double)model->n_params));
  }
  const bool grew =
      gradient > GRADIENT_GROWTH * d->first_gradient || weight > WEIGHT_GROWTH * d->first_weight;
  if (d->has_warned_exploding || !grew) return;
  d->has_warned_exploding = true;
  ls_log(
      LS_LOG_WARNING,
      "epoch %llu: norms grow without bound: the gradient's from %.3g to %.3g, the parameters' from %.3g "
      "to %.3g; use a lower learning rate (lockstep lr-find), train.clip_grad_norm, or "
      "optimizer.weight_decay",
      (unsigned long long)epoch, d->first_gradient, gradient, d->first_weight, weight);
}

/* ------------------------------------------------------------------------ files */

/* Rank 0: the epoch's rows. */
static ls_status write_rows(const trainer *t, const train_diagnostics *d) {
  const ls_model *const model = t->setup->job->model;
  FILE *file = NULL;
  const ls_status status = ls_rundir_begin_rows(&t->dir, t->dir.diagnostics, &file);
  for (size_t i = 0; status == LS_OK && i < model->n_leaves; i++) {
    const diagnosis *const row = &d->table[i];
    fprintf(file, "%llu,%s", (unsigned long long)t->progress.epoch, model->leaves[i].path);
    const double values[] = {row->gradient_norm, row->weight_norm, row->gradient_norm / row->weight_norm,
                             row->saturated, row->dead};
    for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
      putc(',', file);
      if (!isnan(values[k])) fprintf(file, "%.6g", values[k]);
    }
    putc('\n', file);
  }
  return status == LS_OK ? ls_rundir_end_rows(t->dir.diagnostics, file) : status;
}

ls_status train_diagnose(trainer *t) {
  train_diagnostics *const d = t->diagnostics;
  const ls_model *const model = t->setup->job->model;
  if (!d) return LS_OK;
  measure(t, d);
  warn_vanishing(model, d);
  warn_dead(model, d);
  warn_exploding(model, d, t->progress.epoch);
  return ls_comm_agree(t->comm, t->is_root ? write_rows(t, d) : LS_OK);
}
