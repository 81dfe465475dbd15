/* The normaliser of the inputs, the units of the targets, and names as text. */
#include "onnx_graph.h"

#include <jansson.h>
#include <stdlib.h>

/* ------------------------------------------------------------- normaliser */

/* Whether each number is that of the same channel at the first position. */
static bool is_periodic(size_t n, size_t period, const double *values) {
  size_t i = period;
  while (i < n && values[i] == values[i - period]) i++;
  return i >= n;
}

static bool is_constant(size_t n, const double *values, double value) {
  return values[0] == value && is_periodic(n, 1, values);
}

/* Writes n numbers in the layout of the graph, as double or float. */
static void store(const onnx_value *x, size_t n, const double *values, bool is_double, void *out) {
  const size_t channels = x->is_first ? x->shape.dims[x->shape.n_dims - 1] : 1;
  LS_ASSERT(channels > 0);
  for (size_t i = 0; i < n; i++) {
    const size_t to = n > channels ? i % channels * (n / channels) + i / channels : i;
    if (is_double)
      ((double *)out)[to] = values[i];
    else
      ((float *)out)[to] = (float)values[i];
  }
}

/* x = op(x, values): one number for all elements, for each channel, or for each element of a sample. */
static void apply_values(onnx_graph *g, const char *op, const char *name, const double *values,
                         bool is_double, onnx_value *x) {
  const size_t n = export_onnx_count(&x->shape);
  ls_shape shape = export_onnx_channel_shape(x);
  if (!is_periodic(n, export_onnx_count(&shape), values)) shape = export_onnx_dims_of(x);
  if (is_periodic(n, 1, values)) shape = (ls_shape){0};
  const size_t count = export_onnx_count(&shape);
  const size_t size = is_double ? sizeof(double) : sizeof(float);
  onnx_tensor tensor = {.name = name,
                        .type = is_double ? ONNX_DOUBLE : ONNX_FLOAT,
                        .n_dims = shape.n_dims,
                        .bytes = count * size};
  for (size_t i = 0; i < shape.n_dims; i++) tensor.dims[i] = shape.dims[i];
  void *const stored = ls_calloc(count, size);
  if (!stored) {
    g->failed = true;
    return;
  }
  store(x, count, values, is_double, stored);
  tensor.values = stored;
  export_onnx_begin(g, op, x);
  export_onnx_input_tensor(g, &tensor);
  export_onnx_end(g, x);
  free(stored);
}

void export_onnx_normalize(onnx_graph *g, const ls_normalizer *normalizer, bool casts, bool is_wide,
                           onnx_value *x) {
  const size_t n = normalizer->n_features;
  const bool shifts = !is_constant(n, normalizer->offset, 0.0);
  const bool scales = !is_constant(n, normalizer->factor, 1.0);
  const bool is_double = is_wide && (shifts || scales);
  if (casts) export_onnx_cast(g, is_double ? ONNX_DOUBLE : ONNX_FLOAT, x);
  if (shifts) apply_values(g, "Sub", "offset", normalizer->offset, is_double, x);
  if (scales) apply_values(g, "Mul", "factor", normalizer->factor, is_double, x);
  if (is_double) export_onnx_cast(g, ONNX_FLOAT, x);
}

void export_onnx_restore_targets(onnx_graph *g, const ls_normalizer *targets, onnx_value *x) {
  export_onnx_cast(g, ONNX_DOUBLE, x);
  apply_values(g, "Div", "factor", targets->factor, true, x);
  apply_values(g, "Add", "offset", targets->offset, true, x);
}

/* -------------------------------------------------------------------- names */

char *export_onnx_json_list(char *const *names, size_t n) {
  json_t *const list = json_array();
  int failed = list == NULL;
  for (size_t i = 0; i < n; i++) failed |= json_array_append_new(list, json_string(names[i]));
  char *const text = failed ? NULL : json_dumps(list, JSON_COMPACT);
  json_decref(list);
  return text;
}
