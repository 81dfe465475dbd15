/* The windows of convolutions and pooling: from the config and the shape of the input to sizes in numbers.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MOST 65536

/* Reads an integer from `least` to SIZE_MOST; collects an error. */
static size_t read_size(ls_config *config, const ls_node *node, size_t least) {
  const char *const text = ls_node_text(node);
  char *end = NULL;
  const unsigned long long value = strtoull(text, &end, 10);
  const bool is_number = text[0] >= '0' && text[0] <= '9' && *end == '\0' && !ls_node_is_quoted(node);
  if (is_number && value >= least && value <= SIZE_MOST) return (size_t)value;
  ls_config_error(config, node, "%s from %zu to %d",
                  is_number ? "out of range; must be an integer" : "not an integer; must be one", least,
                  SIZE_MOST);
  return least;
}

/* Checks the number of items of a list; n_dims 0: unknown. Returns the number that can be stored. */
static size_t check_count(ls_config *config, const ls_node *list, size_t n_dims) {
  const size_t n = ls_node_count(list);
  if (n_dims > 0 && n != n_dims)
    ls_config_error(config, list, "has %zu items; must be one number, or a list of %zu: one for each dim",
                    n, n_dims);
  else if (n == 0 || n > LS_WINDOW_DIMS)
    ls_config_error(config, list,
                    "has %zu items; must be one number, or a list of 1 to %d: one for each dim", n,
                    LS_WINDOW_DIMS);
  return ls_size_min(n, LS_WINDOW_DIMS);
}

static void read_sizes(ls_config *config, const ls_node *node, size_t n_dims, layer_sizes *out) {
  if (!node || ls_node_is_null(node)) return;
  if (ls_node_kind_of(node) != LS_NODE_LIST) {
    *out = (layer_sizes){.n = 1, .values = {read_size(config, node, 1)}};
    return;
  }
  out->n = check_count(config, node, n_dims);
  for (size_t i = 0; i < out->n; i++) out->values[i] = read_size(config, ls_node_item(node, i), 1);
}

/* Reads the padding of dim i: a number, or [before, after]. */
static void read_pads(ls_config *config, const ls_node *node, size_t i, layer_window *window) {
  const bool is_pair = ls_node_kind_of(node) == LS_NODE_LIST;
  if (is_pair && ls_node_count(node) != 2) {
    ls_config_error(config, node, "has %zu items; must be a number or a list of two: [before, after]",
                    ls_node_count(node));
    return;
  }
  window->before.values[i] = read_size(config, is_pair ? ls_node_item(node, 0) : node, 0);
  window->after.values[i] =
      is_pair ? read_size(config, ls_node_item(node, 1), 0) : window->before.values[i];
}

static void read_padding(ls_config *config, const ls_node *node, size_t n_dims, layer_window *window) {
  const char *const text = node ? ls_node_text(node) : "valid";
  const bool is_list = node && ls_node_kind_of(node) == LS_NODE_LIST;
  window->before.n = window->after.n = is_list ? check_count(config, node, n_dims) : 1;
  for (size_t i = 0; is_list && i < window->before.n; i++)
    read_pads(config, ls_node_item(node, i), i, window);
  if (is_list || !node || ls_node_is_null(node)) return;
  window->is_same = strcmp(text, "same") == 0;
  if (text[0] >= '0' && text[0] <= '9')
    read_pads(config, node, 0, window);
  else if (!window->is_same && strcmp(text, "valid") != 0)
    ls_config_error(config, node,
                    "unknown padding; must be valid, same, a number, or a list of one number or [before, "
                    "after] for each dim");
}

void layer_window_read(layer_window *window, ls_config *config, size_t n_dims) {
  read_sizes(config, window->size_node, n_dims, &window->size);
  read_sizes(config, window->stride_node, n_dims, &window->stride);
  read_sizes(config, window->dilation_node, n_dims, &window->dilation);
  read_padding(config, window->padding_node, n_dims, window);
}

/* ------------------------------------------------------------------ shapes */

ls_status layer_window_input(const ls_layer *layer, size_t n_dims, ls_shape *out) {
  static const char *const names[] = {"", "L", "H, W", "D, H, W"};
  char text[128];
  *out = layer->in;
  if (out->n_dims == n_dims) out->dims[out->n_dims++] = 1;
  if (out->n_dims == n_dims + 1) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "%s: %s: the input has the shape %s; must be (%s, C) or (%s)%s",
                 layer->where, layer->type->name, ls_shape_describe(&layer->in, text, sizeof text),
                 names[n_dims], names[n_dims],
                 layer->in.n_dims == 1 ? "; if the rows of the data hold images, set data.shape" : "");
}

/* The number for dim i of n_dims. */
static size_t size_of(const layer_sizes *sizes, size_t i) {
  return sizes->n == 0 ? 1 : sizes->values[sizes->n == 1 ? 0 : i];
}

/* TensorFlow's padding: ceil(in / stride) outputs, the odd pad after. */
static void pad_same(ls_window *w, size_t i) {
  const size_t out = (w->in[i] + w->stride[i] - 1) / w->stride[i];
  const size_t needed = (out - 1) * w->stride[i] + w->dilation[i] * (w->size[i] - 1) + 1;
  const size_t pads = needed > w->in[i] ? needed - w->in[i] : 0;
  w->before[i] = pads / 2;
  w->after[i] = pads - pads / 2;
}

static ls_status fail_window(const ls_layer *layer, const ls_window *w, size_t n_dims, const ls_shape *in,
                             const char *what, const char *remedy) {
  char shape[128];
  char details[256] = "";
  char window[128];
  ls_shape size = {.n_dims = n_dims};
  for (size_t i = 0; i < n_dims; i++) size.dims[i] = w->size[LS_WINDOW_DIMS - n_dims + i];
  layer_window_describe(w, n_dims, details, sizeof details);
  return ls_fail(LS_ERR_CONFIG, "%s: %s: %s: window %s%s, input %s; %s", layer->where, layer->type->name,
                 what, ls_shape_describe(&size, window, sizeof window), details,
                 ls_shape_describe(in, shape, sizeof shape), remedy);
}

static ls_status check_lists(const ls_layer *layer, const layer_window *window, size_t n_dims) {
  const layer_sizes *const lists[] = {&window->size, &window->stride, &window->dilation, &window->before};
  for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++)
    if (lists[k]->n > 1 && lists[k]->n != n_dims)
      return ls_fail(
          LS_ERR_CONFIG,
          "%s: %s: a list has %zu items, but the input has %zu dims besides the channels; must be "
          "one number, or one for each dim",
          layer->where, layer->type->name, lists[k]->n, n_dims);
  return LS_OK;
}

ls_status layer_window_fit(const ls_layer *layer, const layer_window *window, const ls_shape *in,
                           ls_window *out) {
  const size_t n_dims = in->n_dims - 1;
  const layer_sizes *const stride = window->stride.n ? &window->stride : &window->size;
  LS_TRY(check_lists(layer, window, n_dims));
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
    out->in[i] = out->size[i] = out->stride[i] = out->dilation[i] = 1;
    out->before[i] = out->after[i] = 0;
    if (i + n_dims < LS_WINDOW_DIMS) continue;
    const size_t k = i + n_dims - LS_WINDOW_DIMS;
    out->in[i] = in->dims[k];
    out->size[i] = size_of(&window->size, k);
    out->stride[i] = size_of(stride, k);
    out->dilation[i] = size_of(&window->dilation, k);
    out->before[i] = window->is_same ? 0 : size_of(&window->before, k);
    out->after[i] = window->is_same ? 0 : size_of(&window->after, k);
    if (window->is_same) pad_same(out, i);
  }
  if (!ls_window_set_out(out))
    return fail_window(layer, out, n_dims, in, "the window is larger than the padded input",
                       "use a smaller window or more padding");
  if (!ls_window_is_inside(out))
    return fail_window(layer, out, n_dims, in, "a window would lie entirely in the padding",
                       "use less padding");
  return LS_OK;
}

void layer_window_output(ls_layer *layer, const ls_window *window, size_t n_dims, size_t channels) {
  layer->out.n_dims = n_dims + 1;
  for (size_t i = 0; i < n_dims; i++) layer->out.dims[i] = window->out[LS_WINDOW_DIMS - n_dims + i];
  layer->out.dims[n_dims] = channels;
}

static void append_sizes(const char *name, const size_t *sizes, size_t n_dims, char *text, size_t size) {
  ls_append(text, size, ", %s ", name);
  for (size_t i = LS_WINDOW_DIMS - n_dims; i < LS_WINDOW_DIMS; i++)
    ls_append(text, size, "%s%zu", i + n_dims > LS_WINDOW_DIMS ? "x" : "", sizes[i]);
}

void layer_window_describe(const ls_window *window, size_t n_dims, char *text, size_t size) {
  append_sizes("stride", window->stride, n_dims, text, size);
  if (ls_window_count(window->dilation) > 1) append_sizes("dilation", window->dilation, n_dims, text, size);
  ls_append(text, size, ", pads");
  for (size_t i = LS_WINDOW_DIMS - n_dims; i < LS_WINDOW_DIMS; i++)
    ls_append(text, size, " %zu+%zu", window->before[i], window->after[i]);
}
