/* The normaliser's memory and values; src/data/normalizer.c learns the values. */
#include "lockstep/math.h"

#include <stdlib.h>

void ls_normalizer_destroy(ls_normalizer **normalizer) {
  if (!*normalizer) return;
  free((*normalizer)->offset);
  free((*normalizer)->factor);
  free((*normalizer)->offset32);
  free((*normalizer)->factor32);
  ls_normalizer_destroy(&(*normalizer)->targets);
  free(*normalizer);
  *normalizer = NULL;
}

ls_status ls_normalizer_create(size_t n_features, ls_normalizer **out) {
  *out = NULL;
  ls_normalizer *n = ls_calloc(1, sizeof *n);
  if (!n) return ls_fail_memory("the normaliser", sizeof *n);
  n->n_features = n_features;
  n->offset = ls_calloc(n_features, sizeof *n->offset);
  n->factor = ls_calloc(n_features, sizeof *n->factor);
  n->offset32 = ls_calloc(n_features, sizeof *n->offset32);
  n->factor32 = ls_calloc(n_features, sizeof *n->factor32);
  if (!n->offset || !n->factor || !n->offset32 || !n->factor32) {
    ls_normalizer_destroy(&n);
    return ls_fail_memory("the normaliser", n_features * sizeof(double) * 3);
  }
  for (size_t j = 0; j < n_features; j++) n->factor[j] = 1.0;
  ls_normalizer_set(n, n->offset, n->factor);
  *out = n;
  return LS_OK;
}

void ls_normalizer_set(ls_normalizer *n, const double *offset, const double *factor) {
  for (size_t j = 0; j < n->n_features; j++) {
    n->offset[j] = offset[j];
    n->factor[j] = factor[j];
    n->offset32[j] = (float)offset[j];
    n->factor32[j] = (float)factor[j];
  }
}

ls_status ls_normalizer_add_targets(ls_normalizer *normalizer, size_t n_outputs) {
  return ls_normalizer_create(n_outputs, &normalizer->targets);
}

void ls_normalizer_restore_targets(const ls_normalizer *normalizer, size_t rows, const float *from,
                                   double *y) {
  const ls_normalizer *const targets = normalizer->targets;
  const size_t n = targets->n_features;
  for (size_t i = 0; i < rows; i++)
    for (size_t k = 0; k < n; k++)
      y[i * n + k] = (double)from[i * n + k] / targets->factor[k] + targets->offset[k];
}
