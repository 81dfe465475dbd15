/* Workspaces and calls. */
#include "internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ls_infer_workspace {
  const ls_infer *owner; /* borrowed */
  infer_net net;         /* with the activations; its weights are those of the owner */
  size_t max_rows;       /* of a piece */
  float *x;              /* (max_rows, n_in), owned: normalised, channels last */
  double *row;           /* (n_in), owned: a sample, channels last; as float or double */
  double *restored;      /* (n_out), owned: a row of y in the units of the targets */
  char message[256];
};

void ls_infer_workspace_destroy(ls_infer_workspace **workspace) {
  ls_infer_workspace *const w = workspace ? *workspace : NULL;
  if (!w) return;
  infer_net_destroy(&w->net);
  free(w->x);
  free(w->row);
  free(w->restored);
  free(w);
  *workspace = NULL;
}

static ls_status create(const ls_infer *m, size_t max_rows, ls_infer_workspace *w) {
  ls_infer parsed = *m; /* parsing sets the same values again */
  w->owner = m;
  w->max_rows = ls_size_max(ls_size_min(max_rows, LS_INFER_PIECE), 1);
  LS_TRY(infer_net_create(&parsed, &w->net));
  w->net.model->twin = m->net.model;
  LS_TRY(ls_model_build(w->net.model, w->max_rows));
  w->x = ls_calloc(w->max_rows, m->n_in * sizeof *w->x);
  w->row = ls_calloc(m->n_in, sizeof *w->row);
  w->restored = ls_calloc(m->n_out, sizeof *w->restored);
  if (!w->x || !w->row || !w->restored)
    return ls_fail_memory("a workspace", w->max_rows * m->n_in * sizeof *w->x);
  infer_net_predict(&w->net, 0, false, w->x);
  return LS_OK;
}

int ls_infer_workspace_create(const ls_infer *model, size_t max_rows, ls_infer_workspace **out) {
  if (out) *out = NULL;
  if (!model || !out) return LS_INFER_ARGUMENT;
  infer_setting before;
  infer_enter(&before);
  ls_infer_workspace *w = ls_calloc(1, sizeof *w);
  const ls_status status = w ? create(model, max_rows, w) : LS_ERR_INTERNAL;
  if (status != LS_OK) ls_infer_workspace_destroy(&w);
  infer_leave(&before);
  *out = w;
  return status == LS_OK ? LS_INFER_OK : LS_INFER_MEMORY; /* the model was read before */
}

const char *ls_infer_message(const ls_infer_workspace *workspace) {
  return workspace ? workspace->message : ls_infer_describe(LS_INFER_ARGUMENT);
}

/* ------------------------------------------------------------------- calls */

/* The arrays of a call, of float or double. */
typedef struct arrays {
  bool is_double;
  const void *x;
  ls_infer_strides x_strides;
  void *y;
  ls_infer_strides y_strides;
} arrays;

/* Copies a sample, channels last. `type` is that of x. */
#define COPY_SAMPLE(type)                                                                                  \
  for (size_t c = 0; c < channels; c++)                                                                    \
    for (size_t i = 0; i < positions; i++)                                                                 \
      ((type *)to)[i * channels + c] = ((const type *)from)[(c * positions + i) * step];

static void copy_sample(const ls_infer *m, const arrays *a, const void *from, void *to) {
  const size_t channels = m->channels;
  const size_t positions = m->n_in / channels;
  const size_t step = a->x_strides.column;
  if (a->is_double) {
    COPY_SAMPLE(double)
  } else {
    COPY_SAMPLE(float)
  }
}

/* Whether all n elements are finite and within the range of float32. The compiler vectorises the loops. */
static bool all_fit(bool is_double, const void *x, size_t n) {
  int bad = 0;
  if (is_double)
    for (size_t i = 0; i < n; i++) bad |= !(fabs(((const double *)x)[i]) <= (double)FLT_MAX);
  else
    for (size_t i = 0; i < n; i++) bad |= !(fabsf(((const float *)x)[i]) <= FLT_MAX);
  return bad == 0;
}

static double element(const arrays *a, size_t row, size_t column) {
  const size_t at = row * a->x_strides.row + column * a->x_strides.column;
  return a->is_double ? ((const double *)a->x)[at] : (double)((const float *)a->x)[at];
}

static int fail_sample(ls_infer_workspace *w, const arrays *a, size_t row) {
  size_t j = 0;
  while (j + 1 < w->owner->n_in && fabs(element(a, row, j)) <= (double)FLT_MAX) j++;
  snprintf(w->message, sizeof w->message,
           "row %zu, feature %zu is %g; must be finite and within the range of float32", row, j,
           element(a, row, j));
  return LS_INFER_DATA;
}

/* Normalises a sample of the call to row i of the piece. */
static int load_sample(ls_infer_workspace *w, const arrays *a, size_t row, size_t i) {
  const ls_infer *const m = w->owner;
  const ls_normalizer *const normalizer = m->normalizer;
  const size_t size = a->is_double ? sizeof(double) : sizeof(float);
  const void *x = (const unsigned char *)a->x + row * a->x_strides.row * size;
  float *const to = w->x + i * m->n_in;
  if (m->channels > 1 || a->x_strides.column != 1) {
    copy_sample(m, a, x, w->row);
    x = w->row;
  }
  if (!all_fit(a->is_double, x, m->n_in)) return fail_sample(w, a, row);
  if (a->is_double)
    ls_math_normalize_f64(m->n_in, x, normalizer->offset, normalizer->factor, to);
  else
    ls_math_normalize_f32(m->n_in, x, normalizer->offset32, normalizer->factor32, to);
  return LS_INFER_OK;
}

static void store(const arrays *a, size_t row, size_t column, double value) {
  const size_t at = row * a->y_strides.row + column * a->y_strides.column;
  if (a->is_double)
    ((double *)a->y)[at] = value;
  else
    ((float *)a->y)[at] = (float)value;
}

/* Stores a row of predictions, (n_out), as row `row` of y, in the units of the targets. */
static void store_row(ls_infer_workspace *w, const arrays *a, size_t row, const float *prediction) {
  const ls_infer *const m = w->owner;
  const bool is_restored = m->normalizer->targets != NULL;
  if (is_restored) ls_normalizer_restore_targets(m->normalizer, 1, prediction, w->restored);
  for (size_t k = 0; k < m->n_out; k++)
    store(a, row, k, is_restored ? w->restored[k] : (double)prediction[k]);
}

/* Predicts the samples first .. first + rows - 1 of the call. */
static int run_piece(ls_infer_workspace *w, const arrays *a, size_t first, size_t rows) {
  int code = LS_INFER_OK;
  for (size_t i = 0; code == LS_INFER_OK && i < rows; i++) code = load_sample(w, a, first + i, i);
  if (code != LS_INFER_OK) return code;
  const float *const predictions = infer_net_predict(&w->net, rows, true, w->x);
  for (size_t i = 0; i < rows; i++) store_row(w, a, first + i, predictions + i * w->owner->n_out);
  return LS_INFER_OK;
}

static int check(const ls_infer *m, ls_infer_workspace *w, size_t rows, const arrays *a) {
  const char *const text = !m                  ? "model is NULL"
                           : w->owner != m     ? "the workspace belongs to another model"
                           : rows > 0 && !a->x ? "x is NULL"
                           : rows > 0 && !a->y ? "y is NULL"
                                               : "";
  snprintf(w->message, sizeof w->message, "%s", text);
  return text[0] ? LS_INFER_ARGUMENT : LS_INFER_OK;
}

/* Kernels compute with values that they then discard, which traps of the caller's environment would report.
 */
static int run(const ls_infer *m, ls_infer_workspace *w, size_t rows, const arrays *a) {
  if (!w) return LS_INFER_ARGUMENT;
  int code = check(m, w, rows, a);
  if (code != LS_INFER_OK) return code;
  infer_arithmetic before;
  infer_arithmetic_enter(&before);
  for (size_t first = 0; code == LS_INFER_OK && first < rows; first += w->max_rows)
    code = run_piece(w, a, first, ls_size_min(w->max_rows, rows - first));
  infer_arithmetic_leave(&before);
  return code;
}

int ls_infer_run_strided(const ls_infer *model, ls_infer_workspace *workspace, size_t rows, const float *x,
                         ls_infer_strides x_strides, float *y, ls_infer_strides y_strides) {
  return run(model, workspace, rows,
             &(arrays){.x = x, .x_strides = x_strides, .y = y, .y_strides = y_strides});
}

int ls_infer_run_strided_f64(const ls_infer *model, ls_infer_workspace *workspace, size_t rows,
                             const double *x, ls_infer_strides x_strides, double *y,
                             ls_infer_strides y_strides) {
  return run(model, workspace, rows,
             &(arrays){.is_double = true, .x = x, .x_strides = x_strides, .y = y, .y_strides = y_strides});
}

int ls_infer_run(const ls_infer *model, ls_infer_workspace *workspace, size_t rows, const float *x,
                 float *y) {
  return ls_infer_run_strided(model, workspace, rows, x, (ls_infer_strides){ls_infer_inputs(model), 1}, y,
                              (ls_infer_strides){ls_infer_outputs(model), 1});
}

int ls_infer_run_f64(const ls_infer *model, ls_infer_workspace *workspace, size_t rows, const double *x,
                     double *y) {
  return ls_infer_run_strided_f64(model, workspace, rows, x, (ls_infer_strides){ls_infer_inputs(model), 1},
                                  y, (ls_infer_strides){ls_infer_outputs(model), 1});
}
