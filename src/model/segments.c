/* The leaves, and the tables of segments: the places of parameters and state in their flat vectors. */
#include "internal.h"

/* Writes prefix/name, or name if the prefix is empty. LS_ERR_CONFIG if it does not fit. */
static ls_status join(char *path, size_t size, const char *prefix, const char *name) {
  const int length = snprintf(path, size, "%s%s%s", prefix, prefix[0] ? "/" : "", name);
  if (length >= 0 && (size_t)length < size) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "model: %.100s...: the layers are nested too deeply; a path has at most %zu characters; "
                 "use fewer levels",
                 prefix, size - 1);
}

/* A layer and its inner layers. */
static size_t count_layers(const ls_layer *layer) {
  size_t n = 1;
  for (size_t k = 0; k < layer->n_children; k++) n += count_layers(layer->children[k]);
  return n;
}

/* Adds the leaves of a layer, child `index` of `prefix`. The recursion is as deep as the config's nodes,
 * whose depth is limited. */
static ls_status add_leaves(ls_model *model, ls_layer *layer, size_t index, const char *prefix) {
  char name[64];
  char path[sizeof model->leaves->path];
  if (layer->role)
    snprintf(name, sizeof name, "%s", layer->role);
  else
    snprintf(name, sizeof name, "%zu-%s", index, layer->type->name);
  ls_status status = join(path, sizeof path, prefix, name);
  for (size_t k = 0; status == LS_OK && k < layer->n_children; k++)
    status = add_leaves(model, layer->children[k], k, path);
  if (status != LS_OK || layer->n_children > 0) return status;
  ls_leaf *const leaf = &model->leaves[model->n_leaves++];
  leaf->layer = layer;
  return join(leaf->path, sizeof leaf->path, prefix, name);
}

/* Creates the leaves and empty tables for their segments. */
static ls_status create_tables(ls_model *model) {
  size_t n = 0;
  size_t n_segments = 0;
  size_t n_states = 0;
  for (size_t i = 0; i < model->n_layers; i++) n += count_layers(model->layers[i]);
  model->leaves = ls_calloc(n, sizeof *model->leaves);
  if (!model->leaves) return ls_fail_memory("the list of layers", n * sizeof *model->leaves);
  for (size_t i = 0; i < model->n_layers; i++) {
    const ls_status status = add_leaves(model, model->layers[i], i, "");
    if (status != LS_OK) return status;
  }
  for (size_t i = 0; i < model->n_leaves; i++) {
    n_segments += model->leaves[i].layer->n_params;
    n_states += model->leaves[i].layer->n_states;
  }
  model->segments = ls_calloc(n_segments, sizeof *model->segments);
  model->state_segments = ls_calloc(n_states, sizeof *model->state_segments);
  if (model->segments && model->state_segments) return LS_OK;
  return ls_fail_memory("the table of parameters", (n_segments + n_states) * sizeof *model->segments);
}

/* Places a block at *offset and moves *offset behind it. */
static ls_status place(const ls_leaf *leaf, const ls_param *param, ls_segment *segment, size_t *offset) {
  *segment = (ls_segment){.kind = param->kind, .offset = *offset, .rows = param->rows, .row = param->row};
  LS_TRY(join(segment->path, sizeof segment->path, leaf->path, param->name));
  size_t count = 0;
  if (ls_shape_count(&param->row, &count) && ls_size_mul(param->rows, count, &count) &&
      ls_size_add(*offset, count, offset))
    return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "%s: %s has more parameters than this machine can address",
                 leaf->layer->where, leaf->path);
}

/* Sets the penalties of a weight: its own, or the model's. */
static void set_penalties(const ls_model *model, const ls_param *param, ls_segment *segment) {
  if (param->kind != LS_SEGMENT_WEIGHT) return;
  segment->l1 = param->has_l1 ? param->l1 : model->l1;
  segment->l2 = param->has_l2 ? param->l2 : model->l2;
}

/* Places the blocks of a leaf behind those before it. */
static ls_status place_leaf(ls_model *model, ls_leaf *leaf) {
  const ls_layer *const layer = leaf->layer;
  ls_status status = LS_OK;
  leaf->segment = model->n_segments;
  leaf->n_segments = layer->n_params;
  for (size_t p = 0; status == LS_OK && p < layer->n_params; p++) {
    ls_segment *const segment = &model->segments[model->n_segments++];
    status = place(leaf, &layer->params[p], segment, &model->n_params);
    set_penalties(model, &layer->params[p], segment);
  }
  for (size_t k = 0; status == LS_OK && k < layer->n_states; k++)
    status =
        place(leaf, &layer->states[k], &model->state_segments[model->n_state_segments++], &model->n_state);
  return status;
}

/* The last layer comes first: the order in which backward finishes the gradients. */
ls_status model_create_segments(ls_model *model) {
  ls_status status = create_tables(model);
  for (size_t i = model->n_leaves; status == LS_OK && i-- > 0;)
    status = place_leaf(model, &model->leaves[i]);
  return status;
}
