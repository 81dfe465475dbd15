/* Where backward puts the gradients of lanes. */
#include "lockstep/layer.h"

/* The sum of all lanes is the gradient itself, unless that is added to. All blocks of a layer are folded at
 * the same time. */
static float *level_of(const ls_layer *layer, const ls_pass *pass, size_t param, size_t level) {
  if (level == 0 && !pass->adds) return layer->params[param].grad;
  size_t offset = 0;
  for (size_t p = 0; p < param; p++) offset += ls_param_count(&layer->params[p]);
  LS_ASSERT(layer->room && offset + ls_param_count(&layer->params[param]) <= layer->room_size);
  return layer->room + level * layer->room_size + offset;
}

float *ls_lane_gradient(const ls_layer *layer, const ls_pass *pass, size_t param, size_t lane,
                        float *beta) {
  const bool is_only = pass->n_lanes == 1;
  *beta = is_only && pass->adds ? 1.0F : 0.0F;
  return is_only ? layer->params[param].grad : level_of(layer, pass, param, ls_lane_level(lane));
}

void ls_lane_end(const ls_layer *layer, const ls_pass *pass, size_t param, size_t lane) {
  if (pass->n_lanes == 1) return;
  const size_t n = ls_param_count(&layer->params[param]);
  size_t top = ls_lane_level(lane);
  for (size_t merges = ls_lane_merges(lane, pass->n_lanes); merges > 0; merges--, top--)
    ls_math_add_scaled(n, 1.0F, level_of(layer, pass, param, top), level_of(layer, pass, param, top - 1));
  if (pass->adds && lane + 1 == pass->n_lanes)
    ls_math_add_scaled(n, 1.0F, level_of(layer, pass, param, 0), layer->params[param].grad);
}
