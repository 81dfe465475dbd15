/* Reads an array in NumPy's format, from a file or from a member of an archive. */
#include "npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MOST 65535 /* bytes */

static ls_status read_all(npy *a, void *buffer, size_t bytes) {
  size_t got = 0;
  LS_TRY(import_npy_bytes(a, buffer, bytes, &got));
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

static ls_status read_header(npy *a) {
  unsigned char head[12] = {0};
  char text[HEADER_MOST + 1];
  size_t got = 0;
  LS_TRY(import_npy_bytes(a, head, 10, &got));
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

/* Reads rows and converts their elements to the type and byte order of the output. */
static ls_status read_elements(npy *a, uint64_t first, size_t rows, void *out) {
  const npy_header *const h = &a->header;
  const size_t count = rows * a->row;
  uint16_t *const halves = (uint16_t *)out + count; /* the second half of float32 */
  void *const stored = h->is_half ? halves : out;
  LS_TRY(a->band ? import_band_read(a, first, rows, stored) : read_all(a, stored, count * h->size));
  if (h->is_swapped) swap_elements(stored, count, h->size);
  for (size_t i = 0; h->is_half && i < count; i++) {
    uint16_t half = 0;
    memcpy(&half, halves + i, sizeof half);
    const float value = from_half(half);
    memcpy((float *)out + i, &value, sizeof value);
  }
  return LS_OK;
}

ls_status import_npy_read(npy *a, uint64_t first, size_t rows, void *out) {
  if (a->header.is_fortran && !a->band) LS_TRY(import_band_create(a));
  LS_TRY(read_elements(a, first, rows, out));
  return import_check_finite(a->path, a->header.array.dtype, a->row, first, rows, out);
}

/* ----------------------------------------------------------------- opening and closing */

static ls_status open_array(npy *a) {
  const ls_array before = a->header.array;
  LS_TRY(import_npy_open_bytes(a));
  LS_TRY(read_header(a));
  const ls_array *const array = &a->header.array;
  bool same = !a->is_known || (before.dtype == array->dtype && before.n_dims == array->n_dims);
  for (unsigned i = 0; a->is_known && same && i < before.n_dims; i++)
    same = before.dims[i] == array->dims[i];
  a->is_known = true;
  if (!same) return ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", a->path);
  return LS_OK;
}

ls_status import_npy_start(npy *a) {
  import_npy_stop(a);
  const ls_status status = open_array(a);
  if (status != LS_OK) import_npy_stop(a);
  return status;
}

void import_npy_stop(npy *a) {
  import_band_destroy(&a->band);
  import_npy_close_bytes(a);
}

ls_status import_npy_end(npy *a) {
  char byte = 0;
  size_t got = 0;
  if (!a->band) LS_TRY(import_npy_bytes(a, &byte, 1, &got)); /* a band has read all bytes */
  if (got == 0) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: more bytes follow the array that the header states; damaged", a->path);
}

void import_npy_destroy(npy *a) {
  import_npy_stop(a);
  free(a->path);
  free(a->name);
  free(a->file);
  *a = (npy){0};
}
