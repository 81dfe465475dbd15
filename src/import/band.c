/* ARRAYS IN FORTRAN ORDER: the elements of a column are together, and those of a row far apart. Bands of
 * many consecutive rows are read column by column into memory. The elements must be in a file that is not
 * compressed: that of the array, or a temporary copy. */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAND ((size_t)48 << 20) /* bytes of a band */
#define COPY ((size_t)1 << 20)

struct band {
  int file;             /* owned */
  uint64_t at;          /* the offset of the first element */
  uint64_t first;       /* row of the band */
  size_t rows, most;    /* of the band; 0: none is loaded */
  unsigned char *bytes; /* owned: (row, most) elements */
  size_t *columns;      /* owned: (row): the columns in which the elements of a row in C order are */
};

/* Copies the elements of a compressed array to a temporary file. */
static ls_status copy_elements(npy *a, int file, size_t bytes) {
  size_t got = 0;
  char *const block = malloc(COPY);
  ls_status status = block ? LS_OK : ls_fail_memory("an array in Fortran order", COPY);
  for (uint64_t at = 0; status == LS_OK && at < bytes; at += got) {
    const size_t n = ls_size_min(COPY, bytes - at);
    status = import_npy_bytes(a, block, n, &got);
    if (status == LS_OK && got < n) status = ls_fail(LS_ERR_DATA, "%s: truncated", a->path);
    if (status == LS_OK && !import_write_at(file, at, block, got))
      status = ls_fail(
          LS_ERR_OUTPUT,
          "%s: an array in Fortran order needs a temporary file in the folder of the output, which cannot "
          "be written: %s",
          a->path, strerror(errno));
  }
  free(block);
  return status;
}

/* Opens the file of the elements: that of the array, whose size must be that of the header, or a copy. */
static ls_status open_elements(npy *a, band *b, size_t bytes) {
  char byte = 0;
  size_t got = 0;
  if (!a->is_member && gzdirect(a->in.gz)) {
    b->at = (uint64_t)gztell(a->in.gz);
    b->file = open(a->file, O_RDONLY | O_CLOEXEC);
    if (b->file < 0) return ls_fail(LS_ERR_DATA, "%s: %s", a->path, strerror(errno));
    if (b->at + bytes > a->in.bytes) return ls_fail(LS_ERR_DATA, "%s: truncated", a->path);
    if (b->at + bytes == a->in.bytes) return LS_OK;
  } else {
    b->file = import_scratch_open(a->scratch);
    if (b->file < 0)
      return ls_fail(LS_ERR_OUTPUT,
                     "%s: an array in Fortran order needs a temporary file in the folder of the output: %s",
                     a->path, strerror(errno));
    LS_TRY(copy_elements(a, b->file, bytes));
    LS_TRY(import_npy_bytes(a, &byte, 1, &got));
    if (got == 0) return LS_OK;
  }
  return ls_fail(LS_ERR_DATA, "%s: more bytes follow the array that the header states; damaged", a->path);
}

static void set_columns(const npy *a, size_t *to) {
  const ls_array *const array = &a->header.array;
  for (size_t i = 0; i < a->row; i++) {
    size_t rest = i;
    size_t stride = a->row;
    for (unsigned k = array->n_dims; k-- > 1; rest /= array->dims[k]) {
      stride /= array->dims[k];
      to[i] += rest % array->dims[k] * stride;
    }
  }
}

ls_status import_band_create(npy *a) {
  const uint64_t n = a->header.array.dims[0];
  const size_t row_bytes = a->row * a->header.size;
  band *const b = ls_calloc(1, sizeof *b);
  if (!b) return ls_fail_memory("an array in Fortran order", sizeof *b);
  b->file = -1;
  b->most = ls_size_min(n, ls_size_max(1, BAND / row_bytes));
  b->bytes = ls_calloc(b->most, row_bytes);
  b->columns = ls_calloc(a->row, sizeof *b->columns);
  a->band = b;
  if (!b->bytes || !b->columns) return ls_fail_memory("an array in Fortran order", b->most * row_bytes);
  set_columns(a, b->columns);
  return open_elements(a, b, n * row_bytes);
}

void import_band_destroy(band **b) {
  if (!*b) return;
  if ((*b)->file >= 0) close((*b)->file);
  free((*b)->bytes);
  free((*b)->columns);
  free(*b);
  *b = NULL;
}

/* Reads the rows from `first` on, each column in one piece. */
static ls_status load(npy *a, uint64_t first) {
  band *const b = a->band;
  const uint64_t n = a->header.array.dims[0];
  const size_t size = a->header.size;
  b->first = first;
  b->rows = ls_size_min(b->most, n - first);
  for (size_t k = 0; k < a->row; k++)
    if (!import_read_at(b->file, b->at + (k * n + first) * size, b->bytes + k * b->most * size,
                        b->rows * size))
      return ls_fail(LS_ERR_DATA, "%s: cannot read: %s", a->path, strerror(errno));
  return LS_OK;
}

ls_status import_band_read(npy *a, uint64_t first, size_t rows, void *out) {
  band *const b = a->band;
  const size_t size = a->header.size;
  unsigned char *to = out;
  for (size_t row = 0; row < rows; row++, first++) {
    if (first < b->first || first >= b->first + b->rows) LS_TRY(load(a, first));
    const unsigned char *const from = b->bytes + (first - b->first) * size;
    for (size_t i = 0; i < a->row; i++, to += size) memcpy(to, from + b->columns[i] * b->most * size, size);
  }
  return LS_OK;
}
