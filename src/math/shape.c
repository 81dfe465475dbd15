/* Shapes of samples and of rows of parameters. */
#include "lockstep/math.h"

#include <string.h>

bool ls_shape_count(const ls_shape *shape, size_t *count) {
  *count = 1;
  bool fits = true;
  for (size_t i = 0; fits && i < shape->n_dims; i++) fits = ls_size_mul(*count, shape->dims[i], count);
  return fits;
}

bool ls_shape_equal(const ls_shape *a, const ls_shape *b) {
  return a->n_dims == b->n_dims && memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims) == 0;
}

const char *ls_shape_describe(const ls_shape *shape, char *text, size_t size) {
  snprintf(text, size, "(");
  for (size_t i = 0; i < shape->n_dims; i++) ls_append(text, size, "%s%zu", i ? ", " : "", shape->dims[i]);
  ls_append(text, size, ")");
  return text;
}

const char *ls_shape_brief(const ls_shape *shape, char *text, size_t size) {
  if (shape->n_dims > 1) return ls_shape_describe(shape, text, size);
  size_t count;
  ls_shape_count(shape, &count);
  snprintf(text, size, "%zu", count);
  return text;
}
