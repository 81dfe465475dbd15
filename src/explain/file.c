/* Writes explanations to an HDF5 file. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define ARRAYS 8

/* An array of n rows with the shape of x. */
static ls_array shaped_like(const ls_array *x, ls_dtype dtype, uint64_t n) {
  ls_array array = *x;
  array.dtype = dtype;
  array.n_dims = array.n_dims > 0 ? array.n_dims : 1;
  array.dims[0] = n;
  return array;
}

static ls_status begin_arrays(ls_store_writer *writer, const ls_array *x, uint64_t n) {
  const ls_array numbers = {.dtype = LS_F64, .n_dims = 1, .dims = {n}};
  const ls_array counts = {.dtype = LS_I64, .n_dims = 1, .dims = {n}};
  const struct {
    const char *path;
    ls_array array;
  } arrays[ARRAYS] = {{"/attribution", shaped_like(x, LS_F32, n)},
                      {"/x", shaped_like(x, x->dtype, n)},
                      {"/sample", counts},
                      {"/class", counts},
                      {"/points", counts},
                      {"/output", numbers},
                      {"/baseline_output", numbers},
                      {"/gap", numbers}};
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < ARRAYS; i++)
    status = ls_store_begin_array(writer, arrays[i].path, &arrays[i].array);
  return status;
}

static ls_status write_attributes(const ls_explainer *e, const ls_explain_names *names,
                                  ls_store_writer *writer) {
  ls_status status = ls_store_write_text(writer, "/", "method", "integrated gradients");
  if (status == LS_OK)
    status = ls_store_write_text(writer, "/", "baseline", ls_baseline_names[e->options.baseline]);
  if (status == LS_OK && names->features)
    status = ls_store_write_texts(writer, "/attribution", "features", names->features, names->n_features);
  if (status == LS_OK && names->features)
    status = ls_store_write_texts(writer, "/x", "features", names->features, names->n_features);
  if (status == LS_OK && names->classes)
    status = ls_store_write_texts(writer, "/class", "classes", names->classes, names->n_classes);
  return status;
}

ls_status ls_explain_create_file(const ls_explainer *e, const ls_explain_names *names, size_t n_samples,
                                 const char *path, ls_store_writer **out) {
  ls_status status = ls_store_create(path, false, out);
  if (status == LS_OK)
    status = begin_arrays(*out, &e->options.dataset->x_array, (uint64_t)n_samples * e->per_sample);
  return status == LS_OK ? write_attributes(e, names, *out) : status;
}

/* Appends the samples' x in the stored type. */
static ls_status append_inputs(const ls_dataset *dataset, const ls_attribution *a,
                               ls_store_writer *writer) {
  const size_t bytes = dataset->n_features * ls_dtype_size(dataset->x_array.dtype);
  unsigned char *const rows = ls_calloc(a->n, bytes);
  if (!rows) return ls_fail_memory("samples", a->n * bytes);
  for (size_t i = 0; i < a->n; i++) {
    ls_row row;
    ls_dataset_fetch(dataset, 1, &a->samples[i], &row);
    memcpy(rows + i * bytes, row.x, bytes);
  }
  const ls_status status = ls_store_append(writer, "/x", a->n, rows);
  free(rows);
  return status;
}

/* Counts are written as int64, which every reader supports. */
ls_status ls_explain_append(const ls_explainer *e, const ls_attribution *a, ls_store_writer *writer) {
  const struct {
    const char *path;
    const void *rows;
  } arrays[] = {{"/attribution", a->attributions},
                {"/sample", a->samples},
                {"/class", a->outputs},
                {"/points", a->points},
                {"/output", a->values},
                {"/baseline_output", a->baseline_values},
                {"/gap", a->gaps}};
  ls_status status = append_inputs(e->options.dataset, a, writer);
  for (size_t i = 0; status == LS_OK && i < sizeof arrays / sizeof arrays[0]; i++)
    status = ls_store_append(writer, arrays[i].path, a->n, arrays[i].rows);
  return status;
}
