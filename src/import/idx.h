/* idx: one file in the IDX format of MNIST: a magic word, big-endian sizes, big-endian elements. */
#ifndef LOCKSTEP_IMPORT_IDX_H
#define LOCKSTEP_IMPORT_IDX_H

#include "lockstep/store.h"

#include "source.h"

typedef struct idx_file {
  source in;
  ls_array array;
  size_t row; /* elements */
} idx_file;

/* Local. Opens a file and reads its header. The caller closes `in`, after a failure too. */
ls_status import_idx_open(idx_file *file, const char *path);

/* Local. Reads the next `rows` rows, the file's rows first .. first + rows - 1, in native byte order.
 * LS_ERR_DATA where the file is cut short, or a number is not finite or beyond float32. */
ls_status import_idx_read(idx_file *file, uint64_t first, size_t rows, void *out);

/* Local. After the last row: LS_ERR_DATA where more bytes follow, or a gzip stream's sum is wrong. */
ls_status import_idx_end(idx_file *file);

/* Local. Element i of a native array as a double, which holds all IDX types exactly. */
double import_idx_element(const void *data, size_t i, ls_dtype dtype);

#endif
