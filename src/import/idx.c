/* A file in the IDX format of MNIST: its header, checked against the size of the file, and its elements. */
#include "internal.h"

#include <inttypes.h>

/* The type of the elements, from the third byte of the magic number; LS_TEXT if that is invalid. */
static ls_dtype type_of(unsigned char code) {
  static const ls_dtype types[] = {LS_U8, LS_I8, LS_TEXT, LS_I16, LS_I32, LS_F32, LS_F64};
  return code >= 0x08 && code <= 0x0E ? types[code - 0x08] : LS_TEXT;
}

static ls_status check_magic(const char *path, const unsigned char magic[4], size_t got, ls_array *array) {
  if (got < 4)
    return ls_fail(LS_ERR_DATA, "%s: not an IDX file; has %zu bytes, must have at least 4", path, got);
  array->dtype = type_of(magic[2]);
  if (magic[0] != 0 || magic[1] != 0 || array->dtype == LS_TEXT)
    return ls_fail(
        LS_ERR_DATA,
        "%s: not an IDX file; begins with %02x %02x %02x %02x, must begin with 00 00, a type (08, 09, "
        "0b, 0c, 0d, 0e) and the number of dimensions%s",
        path, magic[0], magic[1], magic[2], magic[3],
        magic[0] != 0 ? "; CSV and IDX files must be imported separately" : "");
  array->n_dims = magic[3];
  if (array->n_dims >= 1 && array->n_dims <= LS_MAX_DIMS) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: %u dimensions; must be from 1 to %d", path, array->n_dims, LS_MAX_DIMS);
}

/* Compares the header with the size of the file, so that a wrong header cannot cause a large allocation. */
static ls_status check_sizes(idx_file *file) {
  char text[128];
  const char *const path = file->path;
  size_t bytes = 0;
  ls_array_describe(&file->array, text, sizeof text);
  for (unsigned i = 0; i < file->array.n_dims; i++)
    if (file->array.dims[i] == 0)
      return ls_fail(LS_ERR_DATA, "%s: no samples; the header states %s", path, text);
  const bool fits = ls_array_row_size(&file->array, &file->row) &&
                    ls_size_mul(file->row, ls_dtype_size(file->array.dtype), &bytes) &&
                    ls_size_mul(bytes, file->array.dims[0], &bytes) &&
                    bytes <= import_source_limit(&file->in);
  if (fits) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: the header states %s, which does not fit in the file of %" PRIu64
                 " bytes; the file is damaged or truncated, fetch it again",
                 path, text, file->in.bytes);
}

static ls_status read_header(idx_file *file) {
  unsigned char bytes[4 * LS_MAX_DIMS];
  size_t got = 0;
  const char *const path = file->path;
  LS_TRY(import_source_open(&file->in, path));
  LS_TRY(import_source_read(&file->in, bytes, 4, &got));
  LS_TRY(check_magic(path, bytes, got, &file->array));
  const size_t rest = (size_t)4 * file->array.n_dims;
  LS_TRY(import_source_read(&file->in, bytes, rest, &got));
  if (got < rest) return ls_fail(LS_ERR_DATA, "%s: the header is truncated", path);
  for (unsigned i = 0; i < file->array.n_dims; i++) {
    const unsigned char *const b = bytes + (size_t)4 * i;
    file->array.dims[i] = (uint64_t)b[0] << 24 | (uint64_t)b[1] << 16 | (uint64_t)b[2] << 8 | b[3];
  }
  return check_sizes(file);
}

ls_status import_idx_start(idx_file *file) {
  const idx_file before = *file;
  import_idx_stop(file);
  LS_TRY(read_header(file));
  bool same = before.row == 0 || (before.row == file->row && before.array.dtype == file->array.dtype &&
                                  before.array.n_dims == file->array.n_dims);
  for (unsigned i = 0; before.row > 0 && same && i < before.array.n_dims; i++)
    same = before.array.dims[i] == file->array.dims[i];
  return same ? LS_OK : ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", file->path);
}

void import_idx_stop(idx_file *file) {
  import_source_close(&file->in);
}

/* Big-endian to native order, in place. */
static void swap_elements(void *data, size_t count, size_t size) {
  unsigned char *bytes = data;
  if (size == 1 || __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) return;
  for (size_t i = 0; i < count; i++, bytes += size) {
    for (size_t k = 0; k < size / 2; k++) {
      const unsigned char byte = bytes[k];
      bytes[k] = bytes[size - 1 - k];
      bytes[size - 1 - k] = byte;
    }
  }
}

double import_idx_element(const void *data, size_t i, ls_dtype dtype) {
  switch (dtype) {
  case LS_U8: return ((const uint8_t *)data)[i];
  case LS_I8: return ((const int8_t *)data)[i];
  case LS_I16: return ((const int16_t *)data)[i];
  case LS_I32: return ((const int32_t *)data)[i];
  case LS_U16: return ((const uint16_t *)data)[i];
  case LS_U32: return ((const uint32_t *)data)[i];
  case LS_U64: return (double)((const uint64_t *)data)[i];
  case LS_I64: return (double)((const int64_t *)data)[i];
  case LS_F32: return (double)((const float *)data)[i];
  default: return ((const double *)data)[i];
  }
}

static ls_status check_finite(const idx_file *file, const void *data, uint64_t first, size_t rows) {
  if (file->array.dtype != LS_F32 && file->array.dtype != LS_F64) return LS_OK;
  for (size_t i = 0; i < rows * file->row; i++) {
    const double value = import_idx_element(data, i, file->array.dtype);
    if (import_cell_fits_float(value)) continue;
    return ls_fail(LS_ERR_DATA,
                   "%s, sample %" PRIu64 ", element %zu (both from 1): %g: must be finite and fit float32",
                   file->path, first + i / file->row + 1, i % file->row + 1, value);
  }
  return LS_OK;
}

ls_status import_idx_read(idx_file *file, uint64_t first, size_t rows, void *out) {
  const size_t size = ls_dtype_size(file->array.dtype);
  size_t got = 0;
  LS_TRY(import_source_read(&file->in, out, rows * file->row * size, &got));
  if (got < rows * file->row * size)
    return ls_fail(LS_ERR_DATA,
                   "%s: truncated; has %" PRIu64 " samples, but the header states %" PRIu64
                   " samples; fetch it again",
                   file->path, first + got / (file->row * size), file->array.dims[0]);
  swap_elements(out, rows * file->row, size);
  return check_finite(file, out, first, rows);
}

ls_status import_idx_end(idx_file *file) {
  unsigned char byte = 0;
  size_t got = 0;
  LS_TRY(import_source_read(&file->in, &byte, 1, &got));
  if (got == 0) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: more bytes follow the %" PRIu64
                 " samples that the header states; the file is damaged",
                 file->path, file->array.dims[0]);
}
