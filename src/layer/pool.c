/* Pooling over the windows of each channel; the global layers have one window, as large as the input.
 *
 *   max_pool   forward   y[o] = max of the inputs inside the window
 *              backward  the first of equal maxima gets dy[o]
 *   avg_pool   forward   y[o] = sum of the inputs inside the window / n, where n is their number or, with
 *                        count_padding, the number of elements of the window
 *              backward  each of these inputs gets dy[o] / n
 *
 * x: (batch, in..., C), y: (batch, out..., C), of a global one (batch, C) */
#include "internal.h"

typedef struct options {
  const char *layer;
  layer_window window;
  bool count_padding;
  ls_window sizes; /* set by `shape` */
} options;

#define WINDOW_KEYS                                                                                        \
  LS_NODE_KEY("size", options, window.size_node, "size of the window: a number, or one for each dim",      \
              .flags = LS_KEY_REQUIRED),                                                                   \
      LS_NODE_KEY("stride", options, window.stride_node,                                                   \
                  "distance between windows: a number, or one for each dim; default: size"),               \
      LS_NODE_KEY("padding", options, window.padding_node,                                                 \
                  "positions around the input, which are ignored: " LAYER_PADDING_HELP,                    \
                  .fallback = "valid")

static const ls_key max_keys[] = {LAYER_KEY, WINDOW_KEYS, {0}};

static const ls_key avg_keys[] = {
    LAYER_KEY,
    WINDOW_KEYS,
    LS_BOOL_KEY("count_padding", options, count_padding, "false",
                "whether the divisor counts the padding, as zeros"),
    {0},
};

static const ls_key global_keys[] = {LAYER_KEY, {0}};

static void check(ls_layer *layer, ls_config *config, ls_node *node) {
  (void)node;
  layer_window_read(&((options *)layer->options)->window, config, 0);
}

/* The number of items of the lists in the config; 0: it has no list. */
static size_t listed_dims(const ls_layer *layer) {
  const layer_window *const w = &((const options *)layer->options)->window;
  const size_t listed = ls_size_max(ls_size_max(w->size.n, w->stride.n), w->before.n);
  return listed > 1 ? listed : 0;
}

/* The dims of the input without the channels: as many as a list of the config has, else those of the input,
 * whose last one holds the channels unless it is the only one. */
static size_t n_dims_of(const ls_layer *layer) {
  const size_t listed = listed_dims(layer);
  if (listed > 0) return listed;
  return layer->in.n_dims > 1 ? layer->in.n_dims - 1 : 1;
}

static ls_status shape(ls_layer *layer) {
  options *const o = layer->options;
  const size_t n_dims = n_dims_of(layer);
  ls_shape in;
  LS_TRY(layer_window_input(layer, n_dims, &in));
  LS_TRY(layer_window_fit(layer, &o->window, &in, &o->sizes));
  layer_window_output(layer, &o->sizes, n_dims, in.dims[n_dims]);
  return LS_OK;
}

/* One window as large as the input. */
static ls_status global_shape(ls_layer *layer) {
  options *const o = layer->options;
  const size_t n_dims = n_dims_of(layer);
  ls_shape in;
  LS_TRY(layer_window_input(layer, n_dims, &in));
  o->window.size.n = n_dims;
  for (size_t i = 0; i < n_dims; i++) o->window.size.values[i] = in.dims[i];
  o->window.before.n = o->window.after.n = 1;
  LS_TRY(layer_window_fit(layer, &o->window, &in, &o->sizes));
  layer->out = ls_shape_of(in.dims[n_dims]);
  return LS_OK;
}

static const ls_window *window_of(const ls_layer *layer) {
  return &((const options *)layer->options)->sizes;
}

static ls_pooling kind_of(const ls_layer *layer) {
  if (layer->type == &layer_max_pool || layer->type == &layer_global_max_pool) return LS_POOL_MAX;
  return ((const options *)layer->options)->count_padding ? LS_POOL_AVERAGE_ALL : LS_POOL_AVERAGE;
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const options *const o = layer->options;
  ls_pool_forward(kind_of(layer), &o->sizes, rows->n, layer_channels(&layer->out), rows->x, rows->y);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const options *const o = layer->options;
  if (rows->dx)
    ls_pool_backward(kind_of(layer), &o->sizes, rows->n, layer_channels(&layer->out), rows->x, rows->y,
                     rows->dy, rows->dx);
}

static void describe(const ls_layer *layer, char *text, size_t size) {
  const options *const o = layer->options;
  const size_t n_dims = n_dims_of(layer);
  ls_append(text, size, "size ");
  for (size_t i = LS_WINDOW_DIMS - n_dims; i < LS_WINDOW_DIMS; i++)
    ls_append(text, size, "%s%zu", i + n_dims > LS_WINDOW_DIMS ? "x" : "", o->sizes.size[i]);
  layer_window_describe(&o->sizes, n_dims, text, size);
}

#define POOL_LAYER(kind, table, text, ...)                                                                 \
  const ls_layer_type layer_##kind = {.name = #kind,                                                       \
                                      .help = text,                                                        \
                                      .keys = table,                                                       \
                                      .options_size = sizeof(options),                                     \
                                      .in_pieces = true,                                                   \
                                      .forward = forward,                                                  \
                                      .backward = backward,                                                \
                                      .window = window_of,                                                 \
                                      __VA_ARGS__}

POOL_LAYER(max_pool, max_keys, "maximum of each window, for each channel", .check = check, .shape = shape,
           .spatial_dims = listed_dims, .describe = describe);
POOL_LAYER(avg_pool, avg_keys, "average of each window, for each channel", .check = check, .shape = shape,
           .spatial_dims = listed_dims, .describe = describe);
POOL_LAYER(global_max_pool, global_keys, "maximum over all positions, for each channel",
           .shape = global_shape);
POOL_LAYER(global_avg_pool, global_keys, "average over all positions, for each channel",
           .shape = global_shape);
