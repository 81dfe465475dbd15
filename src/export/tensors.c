/* Weights for a model from a safetensors file, by the names of our export or by a map. */
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------ map */

/* Names, to look for the nearest one. */
typedef struct name_list {
  const char **names; /* owned */
  size_t n;
} name_list;

typedef struct map_reader {
  ls_tensors *tensors;
  ls_config *config;
  name_list paths, names; /* of blocks; of tensors */
  const ls_node **nodes;  /* (file.n), owned: the entry that names a tensor */
} map_reader;

static void report_unknown(const map_reader *r, const ls_node *node, const char *what, const char *text,
                           const name_list *known) {
  const char *const nearest = ls_config_nearest(text, known->names, known->n);
  if (nearest)
    ls_config_error(r->config, node, "%s; did you mean %s?", what, nearest);
  else if (known->n > 0)
    ls_config_error(r->config, node, "%s; it has %zu, such as %.100s", what, known->n, known->names[0]);
  else
    ls_config_error(r->config, node, "%s; it has none", what);
}

static void write_dims(const export_block *block, char *text, size_t size) {
  text[0] = '\0';
  for (size_t i = 0; i < block->n_dims; i++) ls_append(text, size, "%s%zu", i ? ", " : "(", block->dims[i]);
  ls_append(text, size, ")");
}

/* Collects the errors of a pair. */
static void check_pair(map_reader *r, const ls_node *node, const export_block *block,
                       const export_tensor *t) {
  char text[2][128];
  const size_t index = (size_t)(t - r->tensors->file.tensors);
  write_dims(block, text[1], sizeof text[1]);
  export_tensor_describe(t, text[0], sizeof text[0]);
  if (!export_tensor_is_float(t))
    ls_config_error(r->config, node, "the tensor is %s; the type must be F32, F16, BF16 or F64", text[0]);
  if (!export_tensor_fits(t, block))
    ls_config_error(r->config, node, "the tensor is %s; must be %s in PyTorch's layout to fit the model",
                    text[0], text[1]);
  if (r->nodes[index])
    ls_config_error(r->config, node, "the tensor is already assigned to %s; a tensor can have one path",
                    ls_node_key(r->nodes[index]));
  r->nodes[index] = node;
}

static void read_entry(map_reader *r, const ls_node *node) {
  ls_tensors *const tensors = r->tensors;
  const char *const path = ls_node_key(node);
  const char *const name = ls_node_text(node);
  size_t b = 0;
  while (b < tensors->n_blocks && strcmp(tensors->blocks[b].segment->path, path) != 0) b++;
  const export_tensor *const t = export_file_find(&tensors->file, name);
  if (b == tensors->n_blocks)
    report_unknown(r, node, "the model has no block of this path", path, &r->paths);
  if (ls_node_kind_of(node) != LS_NODE_SCALAR || ls_node_is_null(node))
    ls_config_error(r->config, node, "must be the name of a tensor");
  else if (!t)
    report_unknown(r, node, "the file has no tensor of this name", name, &r->names);
  if (b == tensors->n_blocks || !t) return;
  check_pair(r, node, &tensors->blocks[b], t);
  tensors->sources[b] = t;
}

static ls_status prepare(map_reader *r) {
  const ls_tensors *const tensors = r->tensors;
  const size_t n = tensors->file.n + 1;
  r->paths.names = ls_calloc(tensors->n_blocks, sizeof *r->paths.names);
  r->names.names = ls_calloc(n, sizeof *r->names.names);
  r->nodes = ls_calloc(n, sizeof *r->nodes);
  if (!r->paths.names || !r->names.names || !r->nodes)
    return ls_fail_memory("a map of tensors", n * sizeof *r->nodes);
  for (size_t i = 0; i < tensors->n_blocks; i++)
    r->paths.names[r->paths.n++] = tensors->blocks[i].segment->path;
  for (size_t i = 0; i < tensors->file.n; i++) r->names.names[r->names.n++] = tensors->file.tensors[i].name;
  return LS_OK;
}

static ls_status read_map(ls_tensors *tensors, const char *path) {
  map_reader r = {.tensors = tensors};
  char *text = NULL;
  ls_status status = ls_config_load(path, &text);
  if (status == LS_OK) status = ls_config_create(text, path, &r.config);
  if (status == LS_OK) status = prepare(&r);
  const ls_node *const root = status == LS_OK ? ls_config_root(r.config) : NULL;
  for (size_t i = 0; root && i < ls_node_count(root); i++) read_entry(&r, ls_node_item(root, i));
  if (status == LS_OK) status = ls_config_status(r.config);
  free(r.paths.names);
  free(r.names.names);
  free(r.nodes);
  ls_config_destroy(&r.config);
  free(text);
  return status;
}

/* -------------------------------------------------------------------- opening */

static ls_status allocate(ls_tensors *tensors) {
  tensors->sources = ls_calloc(tensors->n_blocks, sizeof *tensors->sources);
  tensors->is_used = ls_calloc(tensors->file.n, sizeof *tensors->is_used);
  if (tensors->sources && tensors->is_used) return LS_OK;
  return ls_fail_memory("a list of tensors", tensors->n_blocks * sizeof *tensors->sources);
}

ls_status ls_tensors_open(const char *path, const char *map, const ls_model *model, bool is_channels_first,
                          ls_tensors **out) {
  ls_tensors *const tensors = *out = ls_calloc(1, sizeof *tensors);
  if (!tensors) return ls_fail_memory("a list of tensors", sizeof *tensors);
  tensors->model = model;
  tensors->has_map = map != NULL;
  ls_status status = export_file_open(path, &tensors->file);
  if (status == LS_OK)
    status = export_layout_create(model, is_channels_first, &tensors->blocks, &tensors->n_blocks);
  if (status == LS_OK) status = export_origin_open(tensors);
  if (status == LS_OK) status = allocate(tensors);
  if (status == LS_OK && map) status = read_map(tensors, map);
  for (size_t i = 0; status == LS_OK && !map && i < tensors->n_blocks; i++)
    tensors->sources[i] = export_file_find(&tensors->file, tensors->blocks[i].name);
  if (status != LS_OK) ls_tensors_close(out);
  return status;
}

void ls_tensors_close(ls_tensors **tensors) {
  ls_tensors *const t = *tensors;
  if (!t) return;
  export_file_close(&t->file);
  free(t->blocks);
  free(t->sources);
  free(t->is_used);
  json_decref(t->orders);
  free(t);
  *tensors = NULL;
}

/* -------------------------------------------------------------------- reading */

static ls_status fail_type(const ls_tensors *tensors, const export_tensor *t) {
  return ls_fail(LS_ERR_MODEL, "%s: tensor %.*s: cannot use the type %s; must be F32, F16, BF16 or F64",
                 tensors->file.path, ls_clip(t->name, 200), t->name, t->dtype);
}

ls_status ls_tensors_read_block(ls_tensors *tensors, const ls_segment *segment, float *values, char *why,
                                size_t size) {
  size_t b = 0;
  while (tensors->blocks[b].segment != segment) b++;
  const export_block *const block = &tensors->blocks[b];
  const export_tensor *const t = tensors->sources[b];
  char text[2][128];
  why[0] = '\0';
  if (!t) {
    ls_append(why, size, "%s", tensors->has_map ? "not in the map" : "absent there");
    return LS_OK;
  }
  if (!export_tensor_fits(t, block)) {
    write_dims(block, text[1], sizeof text[1]);
    ls_append(why, size, "%.*s is %s there, %s here", ls_clip(t->name, 60), t->name,
              export_tensor_describe(t, text[0], sizeof text[0]), text[1]);
    return LS_OK;
  }
  if (!export_origin_has_order(tensors, t, block)) {
    ls_append(why, size, "%.*s has another order of channels there, by data.layout or other layers",
              ls_clip(t->name, 60), t->name);
    return LS_OK;
  }
  if (!export_tensor_is_float(t)) return fail_type(tensors, t);
  tensors->is_used[t - tensors->file.tensors] = true;
  return export_tensor_read(&tensors->file, t, block, values);
}

size_t ls_tensors_count(const ls_tensors *tensors) {
  return tensors->file.n;
}

const char *ls_tensors_unused(const ls_tensors *tensors, size_t index) {
  return tensors->is_used[index] ? NULL : tensors->file.tensors[index].name;
}
