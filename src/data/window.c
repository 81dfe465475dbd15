/* The size of the windows in which samples are shuffled. */
#include "internal.h"

void data_window_configure(ls_config *config, const ls_node *node, ls_window_size *out) {
  const char *const text = ls_node_text(node);
  out->is_given = true;
  if (ls_config_parse_count(text, &out->samples) && out->samples > 0) return;
  if (ls_config_parse_size(text, &out->bytes)) return;
  ls_config_error(
      config, node,
      "not a window; must be a number of samples, at least 1, or a size such as 500MB, 2GB or 1GiB");
}

size_t ls_dataset_row_bytes(const ls_dataset *d) {
  const size_t x = d->n_features * ls_dtype_size(d->x_array.dtype);
  const size_t y = d->target == LS_TARGET_NONE ? 0 : data_y_bytes(d);
  return x + y + (d->has_weights ? sizeof(float) : 0);
}

uint64_t ls_dataset_window(const ls_dataset *dataset, const ls_window_size *size) {
  if (size->bytes == 0) return size->samples;
  return ls_size_max(size->bytes / ls_dataset_row_bytes(dataset), 1);
}
