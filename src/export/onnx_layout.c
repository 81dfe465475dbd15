/* Shapes and layouts of values: the model has the channels last, convolutions of ONNX have them first. */
#include "onnx_graph.h"

static size_t channels_of(const ls_shape *shape) {
  return shape->n_dims > 0 ? shape->dims[shape->n_dims - 1] : 1;
}

ls_shape export_onnx_dims_of(const onnx_value *x) {
  ls_shape dims = x->shape;
  if (!x->is_first) return dims;
  dims.dims[0] = channels_of(&x->shape);
  for (size_t i = 1; i < dims.n_dims; i++) dims.dims[i] = x->shape.dims[i - 1];
  return dims;
}

int64_t export_onnx_channel_axis(const onnx_value *x) {
  return x->is_first ? 1 : (int64_t)x->shape.n_dims;
}

ls_shape export_onnx_channel_shape(const onnx_value *x) {
  ls_shape shape = ls_shape_of(channels_of(&x->shape));
  while (x->is_first && shape.n_dims < x->shape.n_dims) shape.dims[shape.n_dims++] = 1;
  return shape;
}

/* A size of 0 keeps the dim of the input, N. */
void export_onnx_set_dims(onnx_graph *g, const ls_shape *dims, onnx_value *x) {
  int64_t sizes[LS_SHAPE_MAX + 1] = {0};
  for (size_t i = 0; i < dims->n_dims; i++) sizes[i + 1] = (int64_t)dims->dims[i];
  export_onnx_begin(g, "Reshape", x);
  export_onnx_input_indices(g, dims->n_dims + 1, sizes);
  export_onnx_end(g, x);
}

/* Moves the channels. With one channel or one position, the order of the elements stays. */
static void move_channels(onnx_graph *g, bool to_first, onnx_value *x) {
  const size_t n = x->shape.n_dims;
  const size_t channels = channels_of(&x->shape);
  int64_t order[LS_SHAPE_MAX + 1] = {0};
  x->is_first = to_first;
  if (channels == 1 || channels == export_onnx_count(&x->shape)) {
    const ls_shape dims = export_onnx_dims_of(x);
    export_onnx_set_dims(g, &dims, x);
    return;
  }
  for (size_t i = 1; i <= n; i++) order[i] = (int64_t)(to_first ? (i + n - 2) % n : i % n) + 1;
  export_onnx_begin(g, "Transpose", x);
  export_onnx_ints(g, "perm", n + 1, order);
  export_onnx_end(g, x);
}

void export_onnx_to_first(onnx_graph *g, onnx_value *x) {
  export_onnx_settle(g, x);
  if (!x->is_first) move_channels(g, true, x);
}

void export_onnx_to_last(onnx_graph *g, onnx_value *x) {
  if (x->is_first) move_channels(g, false, x);
}

void export_onnx_reshape(onnx_graph *g, const ls_shape *shape, onnx_value *x) {
  const bool is_same = ls_shape_equal(&x->shape, shape);
  x->is_flat = false;
  if (is_same) return;
  export_onnx_to_last(g, x);
  export_onnx_set_dims(g, shape, x);
  x->shape = *shape;
}

void export_onnx_settle(onnx_graph *g, onnx_value *x) {
  const ls_shape features = ls_shape_of(export_onnx_count(&x->shape));
  if (x->is_flat) export_onnx_reshape(g, &features, x);
}
