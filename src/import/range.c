/* The range of a column's values, and whether float32 represents them well enough. */
#include "table.h"

#include <inttypes.h>
#include <math.h>

/* Training subtracts the mean and divides by the spread. float32 is used if its rounding changes no value
 * by more than this fraction of the column's range. The steps of float32 are 128 at 1.6e9, so Unix times
 * (in seconds) need float64 unless they span more than two years. */
#define ERROR_MOST 1e-6

void import_range_add(value_range *range, double value) {
  if (range->n == 0)
    *range = (value_range){.low = value, .high = value, .first = value, .counts_rows = true};
  range->low = fmin(range->low, value);
  range->high = fmax(range->high, value);
  range->error = fmax(range->error, fabs(value - (double)(float)value));
  range->counts_rows = range->counts_rows && value == range->first + (double)range->n;
  range->n++;
  range->mean += (value - range->mean) / (double)range->n;
}

bool import_range_needs_double(const value_range *range) {
  return range->error > ERROR_MOST * (range->high - range->low) && range->high > range->low;
}

ls_status import_check_finite(const char *path, ls_dtype dtype, size_t row, uint64_t first, size_t rows,
                              const void *data) {
  if (dtype != LS_F32 && dtype != LS_F64) return LS_OK;
  for (size_t i = 0; i < rows * row; i++) {
    const double value = import_idx_element(data, i, dtype);
    if (import_cell_fits_float(value)) continue;
    return ls_fail(LS_ERR_DATA, "%s: row %" PRIu64 ", element %zu: %g: must be finite and fit float32",
                   path, first + i / row, i % row, value);
  }
  return LS_OK;
}
