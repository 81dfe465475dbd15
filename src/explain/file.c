/* Writes explanations to an HDF5 file. */
#include "internal.h"

/* The arrays of numbers of explanations. Counts come first; they are int64, which all readers support. */
static const char *const number_paths[] = {"/sample", "/class",           "/points",
                                           "/output", "/baseline_output", "/gap"};

#define N_COUNTS  3
#define N_NUMBERS (sizeof number_paths / sizeof *number_paths)

/* An array of n rows with the shape of x. */
static ls_array shaped_like(const ls_array *x, ls_dtype dtype, uint64_t n) {
  ls_array array = *x;
  array.dtype = dtype;
  array.n_dims = array.n_dims > 0 ? array.n_dims : 1;
  array.dims[0] = n;
  return array;
}

static ls_status begin_arrays(ls_store_writer *writer, const ls_array *x, uint64_t n) {
  const ls_array attributions = shaped_like(x, LS_F32, n);
  const ls_array inputs = shaped_like(x, x->dtype, n);
  LS_TRY(ls_store_begin_array(writer, "/attribution", &attributions));
  LS_TRY(ls_store_begin_array(writer, "/x", &inputs));
  for (size_t k = 0; k < N_NUMBERS; k++) {
    const ls_array numbers = {.dtype = k < N_COUNTS ? LS_I64 : LS_F64, .n_dims = 1, .dims = {n}};
    LS_TRY(ls_store_begin_array(writer, number_paths[k], &numbers));
  }
  return LS_OK;
}

static ls_status write_attributes(const ls_explainer *e, const ls_explain_names *names,
                                  ls_store_writer *writer) {
  static const char *const owners[] = {"/attribution", "/x"};
  LS_TRY(ls_store_write_text(writer, "/", "method", "integrated gradients"));
  LS_TRY(ls_store_write_text(writer, "/", "baseline", ls_baseline_names[e->options.baseline]));
  for (size_t i = 0; names->features && i < 2; i++)
    LS_TRY(ls_store_write_texts(writer, owners[i], "features", names->features, names->n_features));
  if (!names->classes) return LS_OK;
  return ls_store_write_texts(writer, "/class", "classes", names->classes, names->n_classes);
}

ls_status ls_explain_create_file(const ls_explainer *e, const ls_explain_names *names, size_t n_samples,
                                 const char *path, ls_store_writer **out) {
  LS_TRY(ls_store_create(path, false, out));
  LS_TRY(begin_arrays(*out, &e->options.dataset->x_array, (uint64_t)n_samples * e->per_sample));
  return write_attributes(e, names, *out);
}

ls_status ls_explain_append(const ls_explainer *e, const ls_attribution *a, ls_store_writer *writer) {
  const void *const numbers[N_NUMBERS] = {a->samples, a->outputs,         a->points,
                                          a->values,  a->baseline_values, a->gaps};
  for (size_t i = 0; i < a->n; i++) {
    ls_row row;
    LS_TRY(ls_dataset_fetch(e->options.dataset, 1, &a->samples[i], &row));
    LS_TRY(ls_store_append(writer, "/x", 1, row.x));
  }
  LS_TRY(ls_store_append(writer, "/attribution", a->n, a->attributions));
  for (size_t k = 0; k < N_NUMBERS; k++) LS_TRY(ls_store_append(writer, number_paths[k], a->n, numbers[k]));
  return LS_OK;
}
