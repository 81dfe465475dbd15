/* conv1d, conv2d, conv3d: a = f(x * W + b), a cross-correlation of each sample with channels last.
 *
 *   forward   z[o][f] = b[f] + sum_k,c x[o stride - before + k dilation][c] W[f][k][c], a = f(z)
 *   backward  dz = da f'(z)    dW[f][k][c] = sum over samples and o of dz[o][f] x[o stride - before + k
 *             dilation][c]    db[f] = sum of dz[o][f]    dx: the transpose of forward, applied to dz
 *
 * x: (batch, in..., C), W: (filters, kernel..., C / groups), b: (filters), z, a: (batch, out..., filters)
 * A filter sees the channels of its group alone. */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
  uint64_t filters, groups;
  layer_window window;
  layer_weights weights;
  ls_conv conv;       /* set by `shape` */
  ls_conv_plan *plan; /* from the arena */
  double *db;         /* (filters), from the arena: the gradient of b, summed over pieces */
  float *db_piece;    /* (filters), from the arena */
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_COUNT_KEY("filters", options, filters, NULL, 1, 1048576, "number of output channels",
                 .flags = LS_KEY_REQUIRED),
    LS_NODE_KEY("kernel_size", options, window.size_node,
                "size of the kernel: a number, or one for each dim", .flags = LS_KEY_REQUIRED),
    LS_NODE_KEY("stride", options, window.stride_node,
                "distance between kernel positions: a number, or one for each dim", .fallback = "1"),
    LS_NODE_KEY("padding", options, window.padding_node, "zeros around the input: " LAYER_PADDING_HELP,
                .fallback = "valid"),
    LS_NODE_KEY("dilation", options, window.dilation_node,
                "distance between kernel elements: a number, or one for each dim", .fallback = "1"),
    LS_COUNT_KEY(
        "groups", options, groups, "1", 1, 1048576,
        "number of groups into which channels and filters are divided; a filter sees the channels of "
        "its group"),
    LAYER_WEIGHTS_KEYS(options, weights),
    {0},
};

static size_t n_dims_of(const ls_layer *layer) {
  return layer->type == &layer_conv1d ? 1 : layer->type == &layer_conv2d ? 2 : 3;
}

static void check(ls_layer *layer, ls_config *config, ls_node *node) {
  options *const o = layer->options;
  layer_window_read(&o->window, config, n_dims_of(layer));
  layer_weights_check(&o->weights, config, node);
  if (o->groups > 0 && o->filters % o->groups != 0)
    ls_config_error(config, ls_node_find(node, "groups"), "does not divide filters, %llu",
                    (unsigned long long)o->filters);
}

static ls_status shape(ls_layer *layer) {
  options *const o = layer->options;
  const size_t n_dims = n_dims_of(layer);
  ls_shape in;
  char text[128];
  LS_TRY(layer_window_input(layer, n_dims, &in));
  LS_TRY(layer_window_fit(layer, &o->window, &in, &o->conv.window));
  o->conv.channels = in.dims[n_dims];
  o->conv.filters = o->filters;
  o->conv.groups = o->groups;
  if (o->conv.channels % o->groups != 0)
    return ls_fail(LS_ERR_CONFIG,
                   "%s: %s: groups %llu does not divide the %zu channels of the input, of shape %s",
                   layer->where, layer->type->name, (unsigned long long)o->groups, o->conv.channels,
                   ls_shape_describe(&in, text, sizeof text));
  layer_window_output(layer, &o->conv.window, n_dims, o->filters);
  ls_shape row = {.n_dims = n_dims + 1};
  for (size_t i = 0; i < n_dims; i++) row.dims[i] = o->conv.window.size[LS_WINDOW_DIMS - n_dims + i];
  row.dims[n_dims] = o->conv.channels / o->groups;
  layer_weights_shape(&o->weights, o->filters, &row, layer);
  return LS_OK;
}

static void initialise(const ls_layer *layer, uint64_t seed) {
  const options *const o = layer->options;
  const size_t fan_out = ls_window_count(o->conv.window.size) * (o->filters / o->groups);
  layer_weights_initialise(&o->weights, layer, fan_out, seed);
}

static ls_activation activation(const ls_layer *layer) {
  return (ls_activation)((const options *)layer->options)->weights.activation;
}

static double alpha_of(const ls_layer *layer) {
  return ((const options *)layer->options)->weights.alpha;
}

static const ls_window *window_of(const ls_layer *layer) {
  return &((const options *)layer->options)->conv.window;
}

static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  options *const o = layer->options;
  layer_weights_reserve(layer, arena, rows);
  o->conv.predicts = layer->predicts;
  o->conv.threads = ls_size_min(layer->threads, rows);
  o->conv.twin = layer->twin ? ((const options *)layer->twin->options)->plan : NULL;
  o->db = ls_arena_take(arena, o->filters, sizeof *o->db);
  o->db_piece = ls_arena_take(arena, o->filters, sizeof *o->db_piece);
  ls_layer_request(layer, arena, ls_conv_reserve(&o->conv, arena, &o->plan), 1);
}

enum { W, B };

static size_t positions_of(const ls_conv *conv) {
  return ls_window_count(conv->window.out);
}

/* Clears the gradients, for the first rows of a lane. */
static void clear_gradients(const options *o) {
  ls_conv_start_weights(o->plan);
  memset(o->db, 0, o->filters * sizeof *o->db);
}

static void start(ls_layer *layer, bool is_backward, bool needs_dx) {
  const options *const o = layer->options;
  const float *const w = layer->params[W].value;
  if (!is_backward && !layer->twin)
    ls_conv_start_forward(o->plan, w, o->weights.bias ? layer->params[B].value : NULL);
  if (is_backward) clear_gradients(o);
  if (is_backward && needs_dx) ls_conv_start_data(o->plan, w);
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const options *const o = layer->options;
  const ls_activation f = layer_activation(layer);
  const float alpha = (float)o->weights.alpha;
  ls_conv_forward(o->plan, rows->n, rows->x, layer->adds_output, layer->kept ? LS_LINEAR : f, alpha,
                  rows->y, layer->workspace);
  if (!layer->kept) return;
  memcpy(layer_weights_kept(layer, rows), rows->y, rows->n * layer->n_out * sizeof *rows->y);
  ls_math_activate(f, alpha, rows->n * positions_of(&o->conv), o->filters, NULL, rows->y);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const options *const o = layer->options;
  const float *const known = layer->kept ? layer_weights_kept(layer, rows) : rows->y;
  const size_t n = rows->n * positions_of(&o->conv);
  float *const dz = rows->dy;
  ls_math_activate_backward(layer_activation(layer), (float)o->weights.alpha, n, o->filters, known, dz);
  ls_conv_backward_weights(o->plan, rows->n, rows->x, dz, layer->workspace);
  if (o->weights.bias) {
    ls_math_sum_rows(n, o->filters, dz, 0.0F, o->db_piece);
    for (size_t f = 0; f < o->filters; f++) o->db[f] += (double)o->db_piece[f];
  }
  if (pass->ready) pass->ready(pass->context, NULL);
  if (rows->dx) ls_conv_backward_data(o->plan, rows->n, dz, rows->dx, layer->workspace);
}

static void finish(ls_layer *layer, const ls_rows *rows) {
  const options *const o = layer->options;
  ls_conv_finish_weights(o->plan, rows->beta, rows->grads[W]);
  if (o->weights.bias) layer_put_sums(rows, B, o->filters, o->db);
  clear_gradients(o);
}

static double multiply_adds(const ls_layer *layer) {
  const options *const o = layer->options;
  return (double)ls_param_count(&layer->params[W]) * (double)positions_of(&o->conv);
}

static void describe(const ls_layer *layer, char *text, size_t size) {
  const options *const o = layer->options;
  const size_t n_dims = n_dims_of(layer);
  ls_append(text, size, "kernel ");
  for (size_t i = LS_WINDOW_DIMS - n_dims; i < LS_WINDOW_DIMS; i++)
    ls_append(text, size, "%s%zu", i + n_dims > LS_WINDOW_DIMS ? "x" : "", o->conv.window.size[i]);
  layer_window_describe(&o->conv.window, n_dims, text, size);
  if (o->groups > 1) ls_append(text, size, ", groups %llu", (unsigned long long)o->groups);
}

#define CONV_LAYER(kind, text)                                                                             \
  const ls_layer_type layer_##kind = {.name = #kind,                                                       \
                                      .help = text,                                                        \
                                      .keys = keys,                                                        \
                                      .options_size = sizeof(options),                                     \
                                      .check = check,                                                      \
                                      .shape = shape,                                                      \
                                      .initialise = initialise,                                            \
                                      .reserve = reserve,                                                  \
                                      .in_pieces = true,                                                   \
                                      .start = start,                                                      \
                                      .forward = forward,                                                  \
                                      .backward = backward,                                                \
                                      .finish = finish,                                                    \
                                      .activation = activation,                                            \
                                      .alpha = alpha_of,                                                   \
                                      .window = window_of,                                                 \
                                      .multiply_adds = multiply_adds,                                      \
                                      .spatial_dims = n_dims_of,                                           \
                                      .describe = describe}

CONV_LAYER(conv1d, "a = f(x * W + b), convolution of signals (L, C)");
CONV_LAYER(conv2d, "a = f(x * W + b), convolution of images (H, W, C)");
CONV_LAYER(conv3d, "a = f(x * W + b), convolution of volumes (D, H, W, C)");

ls_layer *layer_create_conv_projection(const ls_layer *parent, size_t n_dims, size_t filters,
                                       const size_t *stride) {
  const ls_layer_type *const types[] = {NULL, &layer_conv1d, &layer_conv2d, &layer_conv3d};
  ls_layer *const layer = layer_create(types[n_dims], parent->index, ls_strdup(parent->where));
  if (!layer) return NULL;
  options *const o = layer->options;
  *o = (options){.filters = filters, .groups = 1, .weights.init = {.gain = 1.0}};
  o->window = (layer_window){.size = {.n = 1, .values = {1}},
                             .stride = {.n = n_dims},
                             .dilation = {.n = 1, .values = {1}},
                             .before = {.n = 1},
                             .after = {.n = 1}};
  memcpy(o->window.stride.values, stride, n_dims * sizeof *stride);
  return layer;
}
