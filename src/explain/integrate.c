/* Integrated gradients. The path from the baseline to a sample is divided into panels; the four-point
 * Gauss-Legendre rule integrates each panel. The points are the rows of ordinary passes. */
#include "internal.h"
#include "lockstep/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const ls_baseline_names[] = {"zero", "mean", NULL};

ls_baseline ls_baseline_for(const ls_array *x) {
  return x->n_dims >= 3 ? LS_BASELINE_ZERO : LS_BASELINE_MEAN;
}

/* ----------------------------------------------------------------- the integral */

#define PANEL_POINTS 4

/* On [0, 1]; the weights add up to 1. */
static const double nodes[PANEL_POINTS] = {0.069431844202973712, 0.330009478207571868, 0.669990521792428132,
                                           0.930568155797026288};
static const double weights[PANEL_POINTS] = {0.173927422568726929, 0.326072577431273071,
                                             0.326072577431273071, 0.173927422568726929};

/* Computes the points first .. first + rows - 1 of the path into e->path. */
static void set_points(ls_explainer *e, size_t n_panels, size_t first, size_t rows) {
  const size_t n = e->options.model->n_in;
  for (size_t i = 0; i < rows; i++) {
    const size_t k = first + i;
    const size_t panel = k / PANEL_POINTS;
    const double a = ((double)panel + nodes[k % PANEL_POINTS]) / (double)n_panels;
    for (size_t j = 0; j < n; j++) e->path[i * n + j] = e->x0[j] + (float)a * (e->x[j] - e->x0[j]);
  }
}

/* Consecutive points of the path as the rows of a pass. */
typedef struct point_range {
  const ls_explain_options *options;
  size_t output, n_panels;
  size_t first; /* point */
} point_range;

/* Sets dz to the weighted gradient of the explained output, row by row. */
static void set_gradient(void *context, size_t rows, const float *z, float *dz) {
  const point_range *const p = context;
  const size_t n_out = p->options->model->n_out;
  for (size_t i = 0; i < rows; i++)
    explain_seed(p->options, p->output, weights[(p->first + i) % PANEL_POINTS] / (double)p->n_panels,
                 z + i * n_out, dz + i * n_out);
}

/* Adds the weighted gradients of some points to the sums. */
static void add_points(ls_explainer *e, size_t output, size_t n_panels, size_t first, size_t rows) {
  ls_model *const model = e->options.model;
  point_range p = {.options = &e->options, .output = output, .n_panels = n_panels, .first = first};
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes, .mode = LS_PREDICT};
  const ls_objective value = {
      .needs_gradient = true, .dx = e->dx, .set_gradient = set_gradient, .context = &p};
  set_points(e, n_panels, first, rows);
  ls_forward_backward(model, &pass, e->path, &value);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < model->n_in; j++) e->sums[j] += (double)e->dx[i * model->n_in + j];
}

/* Computes the integral with n_panels panels, and its gap, into row i of the result. */
static void integrate(ls_explainer *e, size_t n_panels, size_t i) {
  ls_attribution *const r = &e->result;
  const size_t n = e->options.model->n_in;
  const size_t points = n_panels * PANEL_POINTS;
  const size_t most = e->options.model->max_rows;
  memset(e->sums, 0, n * sizeof *e->sums);
  for (size_t done = 0; done < points; done += most)
    add_points(e, r->outputs[i], n_panels, done, ls_size_min(most, points - done));
  double total = 0.0;
  for (size_t j = 0; j < n; j++) {
    const double attribution = ((double)e->x[j] - (double)e->x0[j]) * e->sums[j];
    r->attributions[i * n + j] = (float)attribution;
    total += attribution;
  }
  r->points[i] = points;
  r->gaps[i] = total - (r->values[i] - r->baseline_values[i]);
}

/* The gap that is always allowed: 1e-4 for probabilities, the precision of float32 for numbers. */
static double least_gap(const ls_explainer *e, const ls_attribution *a, size_t i) {
  const ls_normalizer *const targets = e->options.normalizer->targets;
  if (ls_loss_link(e->options.model->loss) != LS_LINEAR) return 1e-4;
  if (targets) return 1e-5 / targets->factor[a->outputs[i]];
  return 1e-6 * fmax(fabs(a->values[i]), fabs(a->baseline_values[i]));
}

bool ls_attribution_is_complete(const ls_explainer *e, const ls_attribution *a, size_t i) {
  const double change = fabs(a->values[i] - a->baseline_values[i]);
  return fabs(a->gaps[i]) <= fmax(1e-3 * change, least_gap(e, a, i));
}

/* --------------------------------------------------------------------- a sample */

/* The outputs of the model for the current sample and the baseline.  Returns z: (2, n_out) */
static const float *find_ends(ls_explainer *e) {
  ls_model *const model = e->options.model;
  const size_t lanes[] = {0, 2};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes, .mode = LS_PREDICT};
  memcpy(e->path, e->x, model->n_in * sizeof *e->path);
  memcpy(e->path + model->n_in, e->x0, model->n_in * sizeof *e->path);
  return ls_model_forward(model, &pass, e->path);
}

/* Computes explanation i. */
static ls_status explain_one(ls_explainer *e, uint64_t sample, size_t i) {
  const ls_explain_options *const o = &e->options;
  ls_attribution *const r = &e->result;
  e->batch->samples[0] = sample;
  LS_TRY(ls_batch_gather(e->batch, o->dataset, o->normalizer, 1));
  const float *const z = find_ends(e);
  const size_t own = e->per_sample > 1 ? i % e->per_sample : explain_predicted(o->model, z);
  r->outputs[i] = o->has_output ? o->output : own;
  r->values[i] = explain_value(o, r->outputs[i], z);
  r->baseline_values[i] = explain_value(o, r->outputs[i], z + o->model->n_out);
  size_t n_panels = (o->points + PANEL_POINTS - 1) / PANEL_POINTS;
  integrate(e, n_panels, i);
  while (!ls_attribution_is_complete(e, r, i) && 2 * n_panels * PANEL_POINTS <= o->most)
    integrate(e, n_panels *= 2, i);
  return LS_OK;
}

/* Collective. Sums the results over the ranks. Each is nonzero on one rank only. */
static void sum_results(ls_comm *comm, ls_attribution *r, size_t n_features) {
  ls_comm_sum_u64(comm, r->outputs, r->n);
  ls_comm_sum_u64(comm, r->points, r->n);
  ls_comm_sum_f64(comm, r->values, r->n);
  ls_comm_sum_f64(comm, r->baseline_values, r->n);
  ls_comm_sum_f64(comm, r->gaps, r->n);
  ls_comm_sum_f32(comm, r->attributions, r->n * n_features);
}

ls_status ls_explainer_explain(ls_comm *comm, ls_explainer *e, const uint64_t *samples, size_t n,
                               const ls_attribution **out) {
  ls_attribution *const r = &e->result;
  const size_t n_features = e->options.model->n_in;
  LS_ASSERT(n <= e->max_samples);
  memset(e->results.base, 0, e->results.used);
  r->n = n * e->per_sample;
  for (size_t i = 0; i < r->n; i++) r->samples[i] = samples[i / e->per_sample];
  const ls_shard mine = ls_shard_of(r->n, ls_comm_rank(comm), ls_comm_size(comm));
  ls_status status = LS_OK;
  for (size_t i = mine.first; status == LS_OK && i < mine.first + mine.rows; i++)
    status = explain_one(e, r->samples[i], i);
  LS_TRY(ls_comm_agree(comm, status));
  sum_results(comm, r, n_features);
  *out = r;
  return LS_OK;
}

/* ---------------------------------------------------------------- the explainer */

#define CALL_ROWS 16 /* explanations per call and rank */

static void take_arrays(ls_explainer *e) {
  const size_t n = e->options.model->n_in;
  e->x0 = ls_arena_take(&e->arena, n, sizeof *e->x0);
  e->path = ls_arena_take(&e->arena, e->options.model->max_rows, n * sizeof *e->path);
  e->dx = ls_arena_take(&e->arena, e->options.model->max_rows, n * sizeof *e->dx);
  e->sums = ls_arena_take(&e->arena, n, sizeof *e->sums);
}

static void take_results(ls_explainer *e) {
  const size_t most = e->max_samples * e->per_sample;
  ls_attribution *const r = &e->result;
  r->samples = ls_arena_take(&e->results, most, sizeof *r->samples);
  r->outputs = ls_arena_take(&e->results, most, sizeof *r->outputs);
  r->points = ls_arena_take(&e->results, most, sizeof *r->points);
  r->values = ls_arena_take(&e->results, most, sizeof *r->values);
  r->baseline_values = ls_arena_take(&e->results, most, sizeof *r->baseline_values);
  r->gaps = ls_arena_take(&e->results, most, sizeof *r->gaps);
  r->attributions = ls_arena_take(&e->results, most, e->options.model->n_in * sizeof *r->attributions);
}

/* Normalises a stored 0 by the arithmetic of ls_batch_gather, which gives the same bits. */
static void set_zero(ls_explainer *e) {
  const ls_normalizer *const n = e->options.normalizer;
  const ls_dtype dtype = e->options.dataset->x_array.dtype;
  const bool is_single = dtype == LS_U8 || dtype == LS_F32;
  for (size_t j = 0; j < n->n_features; j++)
    e->x0[j] =
        is_single ? (0.0F - n->offset32[j]) * n->factor32[j] : (float)((0.0 - n->offset[j]) * n->factor[j]);
}

/* Collective. Sets the baseline to the mean of the normalised samples. */
static ls_status set_mean(ls_comm *comm, ls_explainer *e) {
  const ls_explain_options *const o = &e->options;
  const size_t n = o->model->n_in;
  const ls_shard mine = ls_shard_of(o->dataset->n_samples, ls_comm_rank(comm), ls_comm_size(comm));
  memset(e->sums, 0, n * sizeof *e->sums);
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < mine.rows; i++) {
    e->batch->samples[0] = mine.first + i;
    status = ls_batch_gather(e->batch, o->dataset, o->normalizer, 1);
    for (size_t j = 0; status == LS_OK && j < n; j++) e->sums[j] += (double)e->x[j];
    ls_heartbeat_rows(i, n);
  }
  LS_TRY(ls_comm_agree(comm, status));
  ls_comm_sum_f64(comm, e->sums, n);
  for (size_t j = 0; j < n; j++) e->x0[j] = (float)(e->sums[j] / (double)o->dataset->n_samples);
  return LS_OK;
}

/* Local. Allocates the memory. */
static ls_status prepare(ls_explainer *e) {
  LS_TRY(ls_batch_create(e->options.dataset, 1, &e->batch));
  e->x = e->batch->x;
  take_arrays(e);
  take_results(e);
  LS_TRY(ls_arena_commit(&e->arena, "explanations"));
  LS_TRY(ls_arena_commit(&e->results, "explanations"));
  take_arrays(e);
  take_results(e);
  return LS_OK;
}

ls_status ls_explainer_create(ls_comm *comm, const ls_explain_options *options, ls_explainer **out) {
  *out = NULL;
  LS_ASSERT(options->model->max_rows >= 2);
  LS_ASSERT(options->points >= 1 && options->points <= options->most);
  LS_ASSERT(options->most <= LS_EXPLAIN_POINTS_MOST);
  LS_ASSERT(!options->has_output || options->output < ls_explain_n_outputs(options->model));
  ls_explainer *e = ls_calloc(1, sizeof *e);
  if (e) {
    const bool explains_all = !options->has_output && ls_loss_link(options->model->loss) == LS_LINEAR;
    e->options = *options;
    e->per_sample = explains_all ? options->model->n_out : 1;
    e->max_samples = ls_size_max(CALL_ROWS * (size_t)ls_comm_size(comm) / e->per_sample, 1);
  }
  ls_status status = ls_comm_agree(comm, e ? prepare(e) : ls_fail_memory("explanations", sizeof *e));
  if (status == LS_OK && options->baseline == LS_BASELINE_ZERO)
    set_zero(e);
  else if (status == LS_OK)
    status = set_mean(comm, e);
  if (status == LS_OK)
    *out = e;
  else
    ls_explainer_destroy(&e);
  return status;
}

void ls_explainer_destroy(ls_explainer **explainer) {
  if (!*explainer) return;
  ls_batch_destroy(&(*explainer)->batch);
  ls_arena_destroy(&(*explainer)->arena);
  ls_arena_destroy(&(*explainer)->results);
  free(*explainer);
  *explainer = NULL;
}
