/* One exporter for each layer type. A new type needs a line in the table at the end; the test `export`
 * fails without it. */
#include "onnx_graph.h"

#include <string.h>

/* The block of parameters or state of a name; NULL if the layer has none, such as b with `bias: false`. */
static const ls_param *find_block(const ls_layer *layer, const char *name) {
  for (size_t p = 0; p < layer->n_params; p++)
    if (strcmp(layer->params[p].name, name) == 0) return &layer->params[p];
  for (size_t s = 0; s < layer->n_states; s++)
    if (strcmp(layer->states[s].name, name) == 0) return &layer->states[s];
  return NULL;
}

/* Adds a vector as input, with a number for each row. */
static void input_vector(onnx_graph *g, const ls_layer *layer, const char *name, const ls_shape *shape) {
  export_onnx_input_floats(g, name, shape->n_dims, shape->dims, find_block(layer, name)->value);
}

static void input_bias(onnx_graph *g, const ls_layer *layer) {
  const ls_param *const b = find_block(layer, "b");
  if (b) export_onnx_input_floats(g, "b", 1, &b->rows, b->value);
}

static void add_own_activation(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  export_onnx_add_activation(g, layer->type->activation(layer), layer->type->alpha(layer), x);
}

/* -------------------------------------------------------------------- dense */

/* Flattens an input with the channels first as it is, and moves the columns of W instead. */
static ls_status add_dense(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  const ls_shape features = ls_shape_of(layer->n_in);
  const size_t dims[] = {layer->n_out, layer->n_in};
  const size_t channels = x->is_first ? x->shape.dims[x->shape.n_dims - 1] : 1;
  if (x->shape.n_dims != 1) export_onnx_set_dims(g, &features, x);
  export_onnx_begin(g, "Gemm", x);
  export_onnx_input_channels_first(g, "W", 2, dims, layer->n_in / channels, channels,
                                   find_block(layer, "W")->value);
  input_bias(g, layer);
  export_onnx_int(g, "transB", 1);
  export_onnx_end(g, x);
  x->shape = ls_shape_of(layer->n_out);
  x->is_first = x->is_flat = false;
  add_own_activation(g, layer, x);
  return LS_OK;
}

/* ------------------------------------------------------------------ windows */

/* The shape of the input of a window, with its channels. */
static ls_shape window_input(const ls_window *w, size_t n_dims, size_t channels) {
  ls_shape shape = {.n_dims = n_dims + 1};
  for (size_t i = 0; i < n_dims; i++) shape.dims[i] = w->in[LS_WINDOW_DIMS - n_dims + i];
  shape.dims[n_dims] = channels;
  return shape;
}

static void add_sizes(onnx_graph *g, const char *name, const size_t *sizes, size_t n_dims) {
  int64_t values[LS_WINDOW_DIMS] = {0};
  for (size_t i = 0; i < n_dims; i++) values[i] = (int64_t)sizes[LS_WINDOW_DIMS - n_dims + i];
  export_onnx_ints(g, name, n_dims, values);
}

/* The padding after the input that the last output reaches: runtimes reject pooling with more padding than
 * its window, which is possible where a stride leaves it out. */
static size_t used_padding(const ls_window *w, size_t i) {
  const size_t end = (w->out[i] - 1) * w->stride[i] + w->dilation[i] * (w->size[i] - 1) + 1;
  const size_t without = w->before[i] + w->in[i];
  return end > without ? end - without : 0;
}

static void add_window(onnx_graph *g, const ls_window *w, size_t n_dims) {
  int64_t pads[2 * LS_WINDOW_DIMS] = {0};
  for (size_t i = 0; i < n_dims; i++) {
    pads[i] = (int64_t)w->before[LS_WINDOW_DIMS - n_dims + i];
    pads[n_dims + i] = (int64_t)used_padding(w, LS_WINDOW_DIMS - n_dims + i);
  }
  add_sizes(g, "kernel_shape", w->size, n_dims);
  add_sizes(g, "strides", w->stride, n_dims);
  export_onnx_ints(g, "pads", 2 * n_dims, pads);
}

/* W, (filters, kernel..., C / groups), becomes (filters, C / groups, kernel...). */
static ls_status add_conv(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  const ls_window *const w = layer->type->window(layer);
  const ls_param *const W = find_block(layer, "W");
  const size_t n_dims = W->row.n_dims - 1;
  const size_t channels = layer->n_in / ls_window_count(w->in);
  const size_t group_channels = W->row.dims[n_dims];
  const ls_shape in = window_input(w, n_dims, channels);
  size_t dims[ONNX_DIMS_MAX] = {W->rows, group_channels};
  for (size_t i = 0; i < n_dims; i++) dims[i + 2] = W->row.dims[i];
  export_onnx_reshape(g, &in, x);
  export_onnx_to_first(g, x);
  export_onnx_begin(g, "Conv", x);
  export_onnx_input_channels_first(g, "W", n_dims + 2, dims, ls_window_count(w->size), group_channels,
                                   W->value);
  input_bias(g, layer);
  add_window(g, w, n_dims);
  add_sizes(g, "dilations", w->dilation, n_dims);
  export_onnx_int(g, "group", (int64_t)(channels / group_channels));
  export_onnx_end(g, x);
  x->shape = layer->out;
  add_own_activation(g, layer, x);
  return LS_OK;
}

static void begin_pool(onnx_graph *g, const char *op, const ls_layer *layer, onnx_value *x) {
  const ls_window *const w = layer->type->window(layer);
  const size_t n_dims = layer->out.n_dims - 1;
  const ls_shape in = window_input(w, n_dims, layer->out.dims[n_dims]);
  export_onnx_reshape(g, &in, x);
  export_onnx_to_first(g, x);
  export_onnx_begin(g, op, x);
  add_window(g, w, n_dims);
}

static ls_status add_max_pool(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  begin_pool(g, "MaxPool", layer, x);
  export_onnx_end(g, x);
  x->shape = layer->out;
  return LS_OK;
}

static ls_status add_avg_pool(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  begin_pool(g, "AveragePool", layer, x);
  export_onnx_int(g, "count_include_pad", ls_layer_number(layer, "count_padding") != 0.0);
  export_onnx_end(g, x);
  x->shape = layer->out;
  return LS_OK;
}

/* Reduces all dims but those of the batch and the channels, in any layout. */
static void add_global_pool(onnx_graph *g, const char *op, const ls_layer *layer, onnx_value *x) {
  const ls_window *const w = layer->type->window(layer);
  const size_t n_dims = layer->in.n_dims > 1 ? layer->in.n_dims - 1 : 1;
  const ls_shape in = window_input(w, n_dims, layer->n_out);
  int64_t axes[LS_WINDOW_DIMS] = {0};
  export_onnx_reshape(g, &in, x);
  for (size_t i = 0; i < n_dims; i++) axes[i] = (int64_t)i + (x->is_first ? 2 : 1);
  export_onnx_begin(g, op, x);
  export_onnx_ints(g, "axes", n_dims, axes);
  export_onnx_int(g, "keepdims", 0);
  export_onnx_end(g, x);
  x->shape = layer->out;
  x->is_first = false;
}

static ls_status add_global_max_pool(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  add_global_pool(g, "ReduceMax", layer, x);
  return LS_OK;
}

static ls_status add_global_avg_pool(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  add_global_pool(g, "ReduceMean", layer, x);
  return LS_OK;
}

/* -------------------------------------------------------------------- norms */

static ls_status add_batch_norm(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  static const char *const blocks[] = {"gamma", "beta", "running_mean", "running_var"};
  const ls_shape shape = ls_shape_of(layer->params[0].rows);
  export_onnx_settle(g, x);
  if (x->shape.n_dims > 1) export_onnx_to_first(g, x);
  export_onnx_begin(g, "BatchNormalization", x);
  for (size_t i = 0; i < 4; i++) input_vector(g, layer, blocks[i], &shape);
  export_onnx_float(g, "epsilon", ls_layer_number(layer, "eps"));
  export_onnx_end(g, x);
  return LS_OK;
}

/* The mean over the channels, (N, ..., 1, ...). */
static onnx_value channel_mean(onnx_graph *g, const onnx_value *x) {
  const int64_t axis = export_onnx_channel_axis(x);
  onnx_value mean = *x;
  export_onnx_begin(g, "ReduceMean", x);
  export_onnx_ints(g, "axes", 1, &axis);
  export_onnx_int(g, "keepdims", 1);
  export_onnx_end(g, &mean);
  return mean;
}

/* Opset 13 has no LayerNormalization: y = gamma d / sqrt(mean(d^2) + eps) + beta, d = x - mean(x). */
static ls_status add_layer_norm(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  export_onnx_settle(g, x);
  const ls_shape shape = export_onnx_channel_shape(x);
  const onnx_value mean = channel_mean(g, x);
  export_onnx_begin(g, "Sub", x);
  export_onnx_input(g, &mean);
  export_onnx_end(g, x);
  onnx_value square = *x;
  export_onnx_begin(g, "Mul", x);
  export_onnx_input(g, x);
  export_onnx_end(g, &square);
  onnx_value deviation = channel_mean(g, &square);
  export_onnx_begin(g, "Add", &deviation);
  export_onnx_input_scalar(g, ls_layer_number(layer, "eps"));
  export_onnx_end(g, &deviation);
  export_onnx_apply(g, "Sqrt", &deviation);
  export_onnx_begin(g, "Div", x);
  export_onnx_input(g, &deviation);
  export_onnx_end(g, x);
  export_onnx_begin(g, "Mul", x);
  input_vector(g, layer, "gamma", &shape);
  export_onnx_end(g, x);
  export_onnx_begin(g, "Add", x);
  input_vector(g, layer, "beta", &shape);
  export_onnx_end(g, x);
  return LS_OK;
}

/* ------------------------------------------------------ layers without nodes */

/* The next layer that is not a function of single elements settles the value. */
static ls_status add_flatten(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  (void)g;
  (void)layer;
  x->is_flat = true;
  return LS_OK;
}

static ls_status add_dropout(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  (void)g;
  (void)layer;
  (void)x;
  return LS_OK;
}

static ls_status add_activation(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  add_own_activation(g, layer, x);
  return LS_OK;
}

/* ------------------------------------------------------------- inner layers */

/* Adds child k, whose path is below that of the layer, as in the model file. */
static ls_status add_child(onnx_graph *g, const ls_layer *layer, size_t k, onnx_value *x) {
  const ls_layer *const child = layer->children[k];
  const size_t length = strlen(g->path);
  if (child->role)
    ls_append(g->path, sizeof g->path, "/%s", child->role);
  else
    ls_append(g->path, sizeof g->path, "/%zu-%s", k, child->type->name);
  const ls_status status = export_onnx_add_layer(g, child, x);
  g->path[length] = '\0';
  return status;
}

/* The layers of a skip, in turn. */
static ls_status add_chain(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  for (size_t k = 0; k < layer->n_children; k++) LS_TRY(add_child(g, layer, k, x));
  return LS_OK;
}

/* y = f(S(x) + F(x)), where S is the last child if that has the role `skip`, otherwise the identity. */
static ls_status add_residual(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  const size_t last = layer->n_children - 1;
  const bool has_skip = layer->children[last]->role != NULL;
  onnx_value skip = *x;
  for (size_t k = 0; k < last + !has_skip; k++) LS_TRY(add_child(g, layer, k, x));
  if (has_skip) LS_TRY(add_child(g, layer, last, &skip));
  export_onnx_reshape(g, &layer->out, x);
  export_onnx_reshape(g, &layer->out, &skip);
  if (x->is_first || skip.is_first) {
    export_onnx_to_first(g, x);
    export_onnx_to_first(g, &skip);
  }
  export_onnx_begin(g, "Add", x);
  export_onnx_input(g, &skip);
  export_onnx_end(g, x);
  add_own_activation(g, layer, x);
  return LS_OK;
}

/* ---------------------------------------------------------------- the table */

typedef struct exporter {
  const char *type;
  ls_status (*add)(onnx_graph *g, const ls_layer *layer, onnx_value *x);
} exporter;

static const exporter exporters[] = {
    {"dense", add_dense},
    {"conv1d", add_conv},
    {"conv2d", add_conv},
    {"conv3d", add_conv},
    {"max_pool", add_max_pool},
    {"avg_pool", add_avg_pool},
    {"global_max_pool", add_global_max_pool},
    {"global_avg_pool", add_global_avg_pool},
    {"flatten", add_flatten},
    {"batch_norm", add_batch_norm},
    {"layer_norm", add_layer_norm},
    {"dropout", add_dropout},
    {"residual", add_residual},
    {"layers", add_chain},
    {"linear", add_activation},
    {"sigmoid", add_activation},
    {"tanh", add_activation},
    {"relu", add_activation},
    {"leaky_relu", add_activation},
    {"elu", add_activation},
    {"gelu", add_activation},
    {"softplus", add_activation},
    {"softmax", add_activation},
};

static const exporter *find_exporter(const char *type) {
  for (size_t i = 0; i < sizeof exporters / sizeof *exporters; i++)
    if (strcmp(exporters[i].type, type) == 0) return &exporters[i];
  return NULL;
}

bool export_onnx_has_layer(const char *type) {
  return find_exporter(type) != NULL;
}

ls_status export_onnx_add_layer(onnx_graph *g, const ls_layer *layer, onnx_value *x) {
  const exporter *const found = find_exporter(layer->type->name);
  if (!found)
    return ls_fail(LS_ERR_INTERNAL, "%s: layers of this type cannot be exported to ONNX",
                   layer->type->name);
  LS_TRY(found->add(g, layer, x));
  ls_heartbeat();
  return LS_OK;
}
