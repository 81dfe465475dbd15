/* The forward and the backward pass. */
#include "lockstep/model.h"

#include <stdlib.h>

void ls_model_initialise(ls_model *model, uint64_t seed) {
  for (size_t i = 0; i < model->n_leaves; i++) {
    const ls_layer *const layer = model->leaves[i].layer;
    if (layer->type->initialise) layer->type->initialise(layer, seed);
  }
}

float *ls_model_output_gradient(ls_model *model) {
  return model->deltas[0];
}

const float *ls_model_forward(ls_model *model, const ls_pass *pass, const float *x) {
  LS_ASSERT(ls_pass_rows(pass) <= model->max_rows);
  model->input = x;
  for (size_t i = 0, n = 0; i < model->n_layers; i += n) {
    n = ls_layers_forward_group(model->layers + i, model->n_layers - i);
    ls_layers_forward(model->layers + i, n, pass, x);
    x = model->layers[i + n - 1]->output;
    if (!model->predicts) ls_heartbeat(); /* otherwise the program is not ours: no watchdog reads them */
  }
  return x;
}

/* The end of the gradients of a layer, or of its first inner layer with parameters, whose gradients have
 * the highest addresses; NULL if it has none. */
static const float *end_of(const ls_layer *layer) {
  if (layer->n_params > 0) return layer->params[0].grad + ls_layer_n_params(layer);
  const float *end = NULL;
  for (size_t k = 0; !end && k < layer->n_children; k++) end = end_of(layer->children[k]);
  return end;
}

/* The end of the gradients of layers `first` to `last`: of the first one with parameters. */
static const float *end_of_group(const ls_model *model, size_t first, size_t last) {
  const float *end = NULL;
  for (size_t i = first; !end && i <= last; i++) end = end_of(model->layers[i]);
  return end;
}

void ls_model_backward(ls_model *model, const ls_pass *pass, float *dx_input) {
  LS_ASSERT(pass->n_lanes <= ls_size_max(model->max_lanes, 1));
  float *dy = model->deltas[0];
  float *dx = model->deltas[1];
  for (size_t i = model->n_layers; i-- > 0;) {
    const size_t last = i;
    if (model->layers[i]->is_fused) continue;
    i = ls_layers_backward_group(model->layers, last);
    const float *const x = i > 0 ? model->layers[i - 1]->output : model->input;
    float *const out = i > 0 ? dx : dx_input;
    ls_layers_backward(model->layers + i, last - i + 1, pass, x, dy, out);
    ls_heartbeat();
    if (pass->ready) pass->ready(pass->context, end_of_group(model, i, last));
    float *const next = dx;
    dx = dy;
    dy = next;
  }
}

const float *ls_model_predict(ls_model *model, size_t rows) {
  float *const output = model->layers[model->n_layers - 1]->output;
  ls_math_activate(ls_loss_link(model->loss), 0.0F, rows, model->n_out, NULL, output);
  return output;
}

ls_status ls_model_pack(ls_model *model) {
  size_t most = 0;
  for (size_t i = 0; i < model->n_segments; i++)
    most = ls_size_max(most, ls_segment_count(&model->segments[i]));
  float *const copy = ls_calloc(most, sizeof *copy);
  if (!copy) return ls_fail_memory("the packed weights", most * sizeof *copy);
  for (size_t i = 0; i < model->n_leaves; i++) {
    const ls_layer *const layer = model->leaves[i].layer;
    if (!layer->type->reads_packed) continue;
    float *const w = model->params + model->segments[model->leaves[i].segment].offset;
    ls_copy(copy, w, layer->n_out * layer->n_in * sizeof *w);
    ls_math_pack_weights(layer->n_out, layer->n_in, copy, w);
  }
  free(copy);
  return LS_OK;
}
