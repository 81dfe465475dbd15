/* The contents of a dataset that is open but not read, for an inspection of data whose purpose is not known
 * yet. */
#include "internal.h"

#include <stdlib.h>

const char *ls_dataset_x_path(const ls_dataset *d) {
  LS_ASSERT(d->source);
  return d->source->files.parts[0].names.x;
}

const char *ls_dataset_x_file(const ls_dataset *d) {
  LS_ASSERT(d->source);
  return d->source->files.parts[0].file;
}

/* The y of a file. */
static ls_status open_y(const ls_dataset *d, size_t part, const ls_store **store, ls_array *y) {
  LS_ASSERT(d->source);
  LS_TRY(data_source_open(d->source, part, &d->stored));
  LS_TRY(data_source_y(d->source, store));
  return ls_store_describe(*store, d->source->names.y, y);
}

ls_status ls_dataset_describe_y(const ls_dataset *d, ls_array *y) {
  const ls_store *store = NULL;
  LS_TRY(open_y(d, 0, &store, y));
  y->dims[0] = y->n_dims > 0 ? d->n_samples : 0;
  return LS_OK;
}

/* Visits `rows` rows of y in an open file from row `first` on, which are the rows of the dataset from `at`
 * on. */
static ls_status visit_rows(const ls_dataset *d, const ls_store *store, const ls_array *y, uint64_t at,
                            ls_rows_visit *visit, void *context) {
  const uint64_t n = y->dims[0];
  size_t cols = 0;
  size_t row_bytes = 0;
  if (!ls_array_row_size(y, &cols) || !ls_size_mul(cols, sizeof(double), &row_bytes))
    return ls_fail(LS_ERR_DATA, "%s:%s: a row is larger than the address space of this machine",
                   ls_store_path(store), d->source->names.y);
  const size_t at_once = ls_size_max(ls_size_min(DATA_READ_BYTES / ls_size_max(row_bytes, 1), n), 1);
  double *const values = ls_calloc(2 * at_once, ls_size_max(row_bytes, 1)); /* and the rows as stored */
  ls_status status = values ? LS_OK : ls_fail_memory("the targets", 2 * at_once * row_bytes);
  for (uint64_t done = 0; status == LS_OK && done < n; done += at_once) {
    const size_t count = ls_size_min(at_once, n - done);
    void *const stored = values + at_once * cols;
    ls_heartbeat();
    status = ls_store_read_rows(store, d->source->names.y, done, count, stored);
    if (status != LS_OK) break;
    data_elements(stored, y->dtype, 0, count * cols, values);
    status = visit(context, at + done, count, cols, values);
  }
  free(values);
  return status;
}

/* For arrays whose last dims are equal, and not the first ones. */
static const char *order_hint(const ls_dataset *d, const ls_array *y) {
  const uint64_t n = y->n_dims > 0 ? y->dims[y->n_dims - 1] : 0;
  const bool is_last = n > 1 && n == d->x_array.dims[d->x_array.n_dims - 1];
  return is_last ? "; if the samples are last, as in files of MATLAB, write the arrays with their dims in "
                   "reverse order"
                 : "";
}

ls_status ls_dataset_visit_y(const ls_dataset *d, ls_rows_visit *visit, void *context) {
  const data_files *const files = &d->source->files;
  for (size_t i = 0; i < files->n; i++) {
    const ls_store *store = NULL;
    ls_array y;
    LS_TRY(open_y(d, i, &store, &y));
    if (y.n_dims < 1 || y.dims[0] != files->parts[i].rows || y.dtype == LS_TEXT)
      return data_reject_array(
          store, d->source->names.y, 'y', &y,
          "; must be numbers of shape (N) or (N, K), with the %llu samples of x (%s)%s",
          (unsigned long long)files->parts[i].rows, d->source->names.x, order_hint(d, &y));
    LS_TRY(visit_rows(d, store, &y, files->parts[i].first, visit, context));
  }
  return LS_OK;
}

#define INSPECT_RUNS 64

ls_status ls_dataset_visit_x(const ls_dataset *d, size_t most, ls_rows_visit *visit, void *context) {
  const size_t n = ls_size_min(d->n_samples, ls_size_max(most, 1));
  const size_t runs = n < d->n_samples ? ls_size_min(INSPECT_RUNS, n) : 1;
  const size_t rows = n / runs;
  const size_t elements = rows * d->n_features;
  double *const values = ls_calloc(2 * elements, sizeof *values); /* and the rows as stored */
  ls_status status = values ? LS_OK : ls_fail_memory("samples", 2 * elements * sizeof *values);
  for (size_t r = 0; status == LS_OK && r < runs; r++) {
    const uint64_t first = r * (d->n_samples / runs);
    void *const stored = values + elements;
    ls_heartbeat();
    status = data_read_inputs(d, d->source, first, rows, stored);
    if (status != LS_OK) break;
    data_elements(stored, d->x_array.dtype, 0, elements, values);
    status = visit(context, first, rows, d->n_features, values);
  }
  free(values);
  return status;
}
