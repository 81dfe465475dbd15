/* The filters lzf and zstd, which HDF5 itself does not have, for reading.
 *
 * HDF5 does not tell a filter how large a chunk is, and reads beyond the end of a smaller one. The reader
 * therefore sets the size of the chunks of its dataset, and a chunk of any other size is an error. */
#include "internal.h"

#include <lzf.h>
#include <stdlib.h>
#include <zstd.h>

static _Thread_local size_t chunk_bytes; /* of the dataset that this thread reads; 0: unknown */

void store_filters_expect(size_t bytes) {
  chunk_bytes = bytes;
}

/* Replaces the stored bytes of a chunk by its content. HDF5 takes the buffer. Returns its size; 0: failure.
 */
static size_t replace(size_t unpacked, void *content, size_t *capacity, void **buffer) {
  if (unpacked != chunk_bytes) {
    free(content);
    return 0;
  }
  free(*buffer);
  *buffer = content;
  *capacity = chunk_bytes;
  return chunk_bytes;
}

static size_t unpack_lzf(unsigned flags, size_t n_values, const unsigned *values, size_t bytes,
                         size_t *capacity, void **buffer) {
  (void)n_values;
  (void)values;
  if (!(flags & H5Z_FLAG_REVERSE) || chunk_bytes == 0 || bytes > UINT32_MAX || chunk_bytes > UINT32_MAX)
    return 0;
  void *const content = malloc(chunk_bytes);
  if (!content) return 0;
  const unsigned n = lzf_decompress(*buffer, (unsigned)bytes, content, (unsigned)chunk_bytes);
  return replace(n, content, capacity, buffer);
}

static size_t unpack_zstd(unsigned flags, size_t n_values, const unsigned *values, size_t bytes,
                          size_t *capacity, void **buffer) {
  (void)n_values;
  (void)values;
  if (!(flags & H5Z_FLAG_REVERSE) || chunk_bytes == 0) return 0;
  void *const content = malloc(chunk_bytes);
  if (!content) return 0;
  return replace(ZSTD_decompress(content, chunk_bytes, *buffer, bytes), content, capacity, buffer);
}

void store_filters_register(void) {
  const H5Z_class2_t filters[] = {
      {H5Z_CLASS_T_VERS, FILTER_LZF, 0, 1, "lzf", NULL, NULL, unpack_lzf},
      {H5Z_CLASS_T_VERS, FILTER_ZSTD, 0, 1, "zstd", NULL, NULL, unpack_zstd},
  };
  for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
    if (H5Zfilter_avail(filters[i].id) <= 0) H5Zregister(&filters[i]);
}
