/* Reads an array in NumPy's format, from a file or from a member of an archive. */
#include "npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <zip.h>

#define HEADER_MOST 65535 /* bytes */

/* ------------------------------------------------------------------------- bytes */

/* Reads `bytes` bytes, or fewer at the end. */
static ls_status read_bytes(npy *a, void *buffer, size_t bytes, size_t *got) {
  if (!a->member) return import_source_read(&a->in, buffer, bytes, got);
  *got = 0;
  while (*got < bytes) {
    const zip_int64_t n =
        zip_fread(a->member, (char *)buffer + *got, ls_size_min(bytes - *got, LS_HEARTBEAT_BYTES));
    ls_heartbeat();
    if (n < 0)
      return ls_fail(LS_ERR_DATA, "%s: the archive is damaged (%s)", a->path, zip_file_strerror(a->member));
    if (n == 0) break;
    *got += (size_t)n;
  }
  return LS_OK;
}

static ls_status read_all(npy *a, void *buffer, size_t bytes) {
  size_t got = 0;
  LS_TRY(read_bytes(a, buffer, bytes, &got));
  return got == bytes ? LS_OK : ls_fail(LS_ERR_DATA, "%s: truncated", a->path);
}

/* ------------------------------------------------------------------------ header */

/* Compares the shape with the size of the file, so that a wrong header cannot cause a large allocation. */
static ls_status check_size(npy *a) {
  char text[128];
  size_t bytes = 0;
  const ls_array *const array = &a->header.array;
  const bool fits = ls_array_row_size(array, &a->row) && ls_size_mul(a->row, a->header.size, &bytes) &&
                    ls_size_mul(bytes, array->dims[0], &bytes) && bytes <= a->limit &&
                    array->dims[0] >> 40 == 0;
  if (fits) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: the header states %s, which does not fit in its %" PRIu64
                 " bytes; damaged or truncated",
                 a->path, ls_array_describe(array, text, sizeof text), a->limit);
}

ls_status import_npy_open(npy *a) {
  unsigned char head[12] = {0};
  char text[HEADER_MOST + 1];
  size_t got = 0;
  LS_TRY(read_bytes(a, head, 10, &got));
  if (got < 10 || memcmp(head, "\x93NUMPY", 6) != 0)
    return ls_fail(LS_ERR_DATA, "%s: not an array in NumPy's format; must begin with \\x93NUMPY", a->path);
  if (head[6] < 1 || head[6] > 3)
    return ls_fail(LS_ERR_DATA, "%s: version %u of NumPy's format; must be from 1 to 3", a->path, head[6]);
  if (head[6] > 1) LS_TRY(read_all(a, head + 10, 2));
  const size_t length = (size_t)head[11] << 24 | (size_t)head[10] << 16 | (size_t)head[9] << 8 | head[8];
  if (length > HEADER_MOST)
    return ls_fail(LS_ERR_DATA, "%s: a header of %zu bytes; must be at most %d", a->path, length,
                   HEADER_MOST);
  LS_TRY(read_all(a, text, length));
  text[length] = '\0';
  LS_TRY(import_npy_parse(a->path, text, &a->header));
  return check_size(a);
}

/* ---------------------------------------------------------------------- elements */

static void swap_elements(void *data, size_t count, size_t size) {
  unsigned char *bytes = data;
  for (size_t i = 0; i < count; i++, bytes += size)
    for (size_t k = 0; k < size / 2; k++) {
      const unsigned char byte = bytes[k];
      bytes[k] = bytes[size - 1 - k];
      bytes[size - 1 - k] = byte;
    }
}

static float from_half(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  double value = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
  if (exponent == 31) value = mantissa ? (double)NAN : HUGE_VAL;
  return (float)(half >> 15 ? -value : value);
}

/* Reads `count` elements and converts them to the type and byte order of the output. */
static ls_status read_elements(npy *a, size_t count, void *out) {
  const npy_header *const h = &a->header;
  uint16_t *const halves = (uint16_t *)out + count; /* the second half of float32 */
  void *const stored = h->is_half ? halves : out;
  LS_TRY(read_all(a, stored, count * h->size));
  if (h->is_swapped) swap_elements(stored, count, h->size);
  for (size_t i = 0; h->is_half && i < count; i++) {
    uint16_t half = 0;
    memcpy(&half, halves + i, sizeof half);
    const float value = from_half(half);
    memcpy((float *)out + i, &value, sizeof value);
  }
  return LS_OK;
}

/* All elements of an array in Fortran order, and where those of a row are. */
static ls_status read_whole(npy *a) {
  const ls_array *const array = &a->header.array;
  const size_t count = a->row * array->dims[0];
  const size_t size = ls_dtype_size(array->dtype);
  if (count > ls_memory_bytes() / 2 / size)
    return ls_fail(LS_ERR_DATA,
                   "%s: in Fortran order, which takes more than half of this machine's memory to import; "
                   "save it in C order (numpy.ascontiguousarray)",
                   a->path);
  a->whole = malloc(count * size);
  a->places = ls_calloc(a->row, sizeof *a->places);
  if (!a->whole || !a->places) return ls_fail_memory("an array in Fortran order", count * size);
  for (size_t i = 0; i < a->row; i++) {
    size_t rest = i;
    size_t stride = a->row;
    for (unsigned k = array->n_dims; k-- > 1; rest /= array->dims[k]) {
      stride /= array->dims[k];
      a->places[i] += rest % array->dims[k] * stride;
    }
  }
  return read_elements(a, count, a->whole);
}

static ls_status gather_rows(npy *a, uint64_t first, size_t rows, char *out) {
  const size_t n = a->header.array.dims[0];
  const size_t size = ls_dtype_size(a->header.array.dtype);
  if (!a->whole) LS_TRY(read_whole(a));
  LS_ASSERT(a->whole && a->places);
  for (size_t i = 0; i < a->row; i++)
    for (size_t row = 0; row < rows; row++)
      memcpy(out + (row * a->row + i) * size, a->whole + (a->places[i] * n + first + row) * size, size);
  return LS_OK;
}

static ls_status check_finite(const npy *a, uint64_t first, size_t rows, const void *out) {
  const ls_dtype dtype = a->header.array.dtype;
  if (dtype != LS_F32 && dtype != LS_F64) return LS_OK;
  for (size_t i = 0; i < rows * a->row; i++) {
    const double value = dtype == LS_F64 ? ((const double *)out)[i] : (double)((const float *)out)[i];
    if (import_cell_fits_float(value)) continue;
    return ls_fail(LS_ERR_DATA, "%s: row %" PRIu64 ", element %zu: %g: must be finite and fit float32",
                   a->path, first + i / a->row, i % a->row, value);
  }
  return LS_OK;
}

ls_status import_npy_read(npy *a, uint64_t first, size_t rows, void *out) {
  if (a->header.is_fortran)
    LS_TRY(gather_rows(a, first, rows, out));
  else
    LS_TRY(read_elements(a, rows * a->row, out));
  return check_finite(a, first, rows, out);
}

ls_status import_npy_rewind(npy *a) {
  const ls_array before = a->header.array;
  if (a->whole) return LS_OK; /* read from memory */
  if (a->member) {
    zip_fclose(a->member);
    a->member = zip_fopen_index(a->archive, a->index, 0);
    if (!a->member)
      return ls_fail(LS_ERR_DATA, "%s: cannot read a second time (%s)", a->path, zip_strerror(a->archive));
  } else {
    LS_TRY(import_source_rewind(&a->in));
  }
  LS_TRY(import_npy_open(a));
  const ls_array *const array = &a->header.array;
  bool same = before.dtype == array->dtype && before.n_dims == array->n_dims;
  for (unsigned i = 0; same && i < before.n_dims; i++) same = before.dims[i] == array->dims[i];
  if (same) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", a->path);
}

ls_status import_npy_end(npy *a) {
  char byte = 0;
  size_t got = 0;
  LS_TRY(read_bytes(a, &byte, 1, &got));
  if (got == 0) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: more bytes follow the array that the header states; damaged", a->path);
}

void import_npy_close(npy *a) {
  import_source_close(&a->in);
  if (a->member) zip_fclose(a->member);
  free(a->path);
  free(a->name);
  free(a->whole);
  free(a->places);
  *a = (npy){0};
}
