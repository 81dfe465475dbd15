/* Shapes of samples and of rows of parameters. */
#include "lockstep/math.h"

bool ls_shape_count(const ls_shape *shape, size_t *count) {
  *count = 1;
  bool fits = true;
  for (size_t i = 0; fits && i < shape->n_dims; i++) fits = ls_size_mul(*count, shape->dims[i], count);
  return fits;
}

const char *ls_shape_describe(const ls_shape *shape, char *text, size_t size) {
  snprintf(text, size, "(");
  for (size_t i = 0; i < shape->n_dims; i++) ls_append(text, size, "%s%zu", i ? ", " : "", shape->dims[i]);
  ls_append(text, size, ")");
  return text;
}
