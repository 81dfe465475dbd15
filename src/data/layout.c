/* The shape of a sample: data.shape, data.layout, and a missing channel dim. The model, the normaliser and
 * the augmentation see all samples channels last. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* A dim of data.shape; 0 if it is not a whole number above 0. */
static size_t parse_dim(const ls_node *node) {
  const char *const text = ls_node_text(node);
  const size_t digits = strspn(text, "0123456789");
  if (ls_node_is_quoted(node) || text[digits] != '\0' || digits > 9) return 0;
  return strtoull(text, NULL, 10);
}

void data_shape_configure(ls_config *config, const ls_node *node, ls_shape *shape) {
  const size_t n = ls_node_count(node);
  bool is_valid = ls_node_kind_of(node) == LS_NODE_LIST && n >= 1 && n <= LS_SHAPE_MAX;
  for (size_t i = 0; is_valid && i < n; i++) {
    shape->dims[i] = parse_dim(ls_node_item(node, i));
    is_valid = shape->dims[i] > 0;
  }
  shape->n_dims = is_valid ? n : 0;
  if (!is_valid)
    ls_config_error(config, node,
                    "not a shape; must be a list of 1 to %d whole numbers above 0, such as [28, 28, 1]",
                    LS_SHAPE_MAX);
}

/* Copies the dims above 1 to `out` and returns their number. */
static size_t copy_long_dims(const uint64_t *dims, size_t n, uint64_t out[LS_MAX_DIMS]) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++)
    if (dims[i] > 1) out[count++] = dims[i];
  return count;
}

/* Replaces the dims of a sample, which must be flat, or the same up to dims of 1. */
static ls_status reshape(const ls_shape *shape, const char *name, ls_array *x) {
  uint64_t stored[LS_MAX_DIMS];
  uint64_t wanted[LS_MAX_DIMS];
  char text[2][128];
  size_t count = 0;
  size_t row = 0;
  ls_array result = {.dtype = x->dtype, .n_dims = (unsigned)shape->n_dims + 1, .dims = {x->dims[0]}};
  for (size_t i = 0; i < shape->n_dims; i++) result.dims[i + 1] = shape->dims[i];
  const size_t n_stored = copy_long_dims(x->dims + 1, x->n_dims - 1, stored);
  const size_t n_wanted = copy_long_dims(result.dims + 1, shape->n_dims, wanted);
  const bool is_same = n_stored == n_wanted && memcmp(stored, wanted, n_stored * sizeof *stored) == 0;
  const bool fits = ls_array_row_size(x, &row) && ls_shape_count(shape, &count) && count == row;
  if (!fits || (n_stored > 1 && !is_same))
    return ls_fail(
        LS_ERR_DATA,
        "data.shape: %s: x (%s) is %s; must be flat rows of this many numbers, or have this shape",
        ls_shape_describe(shape, text[0], sizeof text[0]), name,
        ls_array_describe(x, text[1], sizeof text[1]));
  *x = result;
  return LS_OK;
}

/* Whether a dim is one of channels: grey or colour. */
static bool is_like_channels(uint64_t dim) {
  return dim == 1 || dim == 3;
}

/* Warns if x, with a channel dim, looks like the other layout. */
static void warn_if_other(const ls_dataset_request *request, const char *name, const ls_array *x) {
  const bool is_first = is_like_channels(x->dims[1]);
  const bool is_last = is_like_channels(x->dims[x->n_dims - 1]);
  const bool expects_first = request->layout == LS_CHANNELS_FIRST;
  char text[128];
  if (is_first == is_last || is_first == expects_first) return;
  if (!request->role || strcmp(request->role, "train") != 0) return;
  ls_log(LS_LOG_WARNING,
         "data.layout: %s: x (%s) is %s, which looks like channels %s; set data.layout: channels_%s if "
         "that is right",
         expects_first ? "channels_first" : "channels_last", name, ls_array_describe(x, text, sizeof text),
         is_first ? "first" : "last", is_first ? "first" : "last");
}

bool data_has_channels(const ls_dataset_request *request, size_t n_dims) {
  return request->n_spatial > 0 ? n_dims == request->n_spatial + 1 : n_dims >= 3;
}

ls_status data_layout_apply(const ls_dataset_request *request, const char *name, ls_dataset *d) {
  ls_array *const x = &d->x_array;
  const size_t n_spatial = request->n_spatial;
  *x = d->stored;
  d->n_spatial = n_spatial;
  if (request->shape.n_dims > 0) LS_TRY(reshape(&request->shape, name, x));
  if (n_spatial > 0 && x->n_dims == n_spatial + 1 && x->n_dims < LS_MAX_DIMS) {
    x->dims[x->n_dims++] = 1; /* the channel dim is missing */
    return LS_OK;
  }
  if (!data_has_channels(request, x->n_dims - 1)) return LS_OK;
  warn_if_other(request, name, x);
  if (request->layout != LS_CHANNELS_FIRST) return LS_OK;
  d->n_channels = x->dims[1];
  memmove(x->dims + 1, x->dims + 2, (x->n_dims - 2) * sizeof *x->dims);
  x->dims[x->n_dims - 1] = d->n_channels;
  return LS_OK;
}

#define MOVE(type)                                                                                         \
  for (size_t k = 0; k < channels; k++)                                                                    \
    for (size_t i = 0; i < n; i++) ((type *)to)[i * channels + k] = ((const type *)from)[k * n + i];       \
  break

/* to[i][k] = from[k][i], elements of `size` bytes */
static void move_channels(size_t channels, size_t n, size_t size, const void *from, void *to) {
  switch (size) {
  case 1: MOVE(uint8_t);
  case 2: MOVE(uint16_t);
  case 4: MOVE(uint32_t);
  case 8: MOVE(uint64_t);
  default: LS_ASSERT(!"an element has 1, 2, 4 or 8 bytes");
  }
}

void data_layout_convert(const ls_dataset *d, size_t rows, void *x, void *row) {
  const size_t size = ls_dtype_size(d->x_array.dtype);
  const size_t row_bytes = d->n_features * size;
  if (d->n_channels <= 1) return;
  for (size_t i = 0; i < rows; i++) {
    unsigned char *const at = (unsigned char *)x + i * row_bytes;
    memcpy(row, at, row_bytes);
    move_channels(d->n_channels, d->n_features / d->n_channels, size, row, at);
  }
}

/* Of a row of x; flat if it has no dims, or too many. */
static ls_shape row_shape(const ls_dataset *dataset, const ls_array *x) {
  if (x->n_dims < 2 || x->n_dims - 1 > LS_SHAPE_MAX) return ls_shape_of(dataset->n_features);
  ls_shape shape = {.n_dims = x->n_dims - 1};
  for (size_t i = 0; i < shape.n_dims; i++) shape.dims[i] = x->dims[i + 1];
  return shape;
}

ls_shape ls_dataset_shape(const ls_dataset *dataset) {
  return row_shape(dataset, &dataset->x_array);
}

ls_shape ls_dataset_stored_shape(const ls_dataset *dataset) {
  return row_shape(dataset, &dataset->stored);
}
