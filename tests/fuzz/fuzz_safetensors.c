/* Reads a safetensors file for a small model, by the names of our export and, if its first byte is even, by
 * a map. Values must be finite. */
#include "fuzz.h"
#include "lockstep/export.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char text[] = "model: [{layer: conv2d, filters: 2, kernel_size: [1, 2]}, {layer: batch_norm}, "
                           "{layer: dense, units: 2}]";
static const char map[] = "0-conv2d/W: 0-conv2d.weight\n2-dense/W: 2-dense.weight\n2-dense/b: b\n";

static ls_model *create_model(void) {
  ls_config *config = NULL;
  ls_model *model = NULL;
  if (ls_config_create(text, "net.yaml", &config) != LS_OK) abort();
  if (ls_model_parse(config, LS_MSE, &model) != LS_OK) abort();
  if (ls_model_infer_shapes(model, &(ls_shape){3, {2, 3, 2}}) != LS_OK) abort();
  if (ls_model_build(model, 1) != LS_OK) abort();
  ls_config_destroy(&config);
  return model;
}

static ls_status read_all(ls_tensors *tensors, const ls_model *model) {
  char why[200];
  float values[64];
  for (size_t i = 0; i < model->n_segments; i++) {
    const ls_segment *const segment = &model->segments[i];
    LS_TRY(ls_tensors_read_block(tensors, segment, values, why, sizeof why));
    for (size_t k = 0; !why[0] && k < ls_segment_count(segment); k++)
      if (!isfinite(values[k])) abort();
  }
  return LS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static ls_model *model;
  if (!model) model = create_model();
  fuzz_write("map.yaml", map, sizeof map - 1);
  fuzz_write("input.safetensors", data, size);
  const bool has_map = size > 0 && data[0] % 16 == 8;
  ls_tensors *tensors = NULL;
  ls_status status =
      ls_tensors_open("input.safetensors", has_map ? "map.yaml" : NULL, model, false, &tensors);
  if (status == LS_OK) status = read_all(tensors, model);
  fuzz_verdict(status, has_map && status == LS_ERR_CONFIG ? LS_ERR_CONFIG : LS_ERR_MODEL);
  ls_tensors_close(&tensors);
  return 0;
}
