/* Unpacks one chunk to check its size: HDF5 does not compare the unpacked size with the chunk's shape, and
 * reads beyond its end if the shape is damaged. */
#include "internal.h"

#include <stdlib.h>
#include <zlib.h>

#define FLETCHER_BYTES 4
#define MAX_CHUNK      UINT32_MAX /* bytes, a limit of HDF5 */

/* The number of bytes that a deflate stream unpacks to, up to slightly more than `enough`; SIZE_MAX if
 * memory is short. */
static size_t inflated_bytes(unsigned char *stream, size_t bytes, size_t enough) {
  static const size_t scratch_bytes = (size_t)1 << 16;
  unsigned char *const scratch = malloc(scratch_bytes);
  z_stream z = {.next_in = stream, .avail_in = (uInt)bytes};
  size_t total = 0;
  int state = Z_OK;
  if (!scratch || inflateInit(&z) != Z_OK) {
    free(scratch);
    return SIZE_MAX;
  }
  while (state == Z_OK && total < enough) {
    z.next_out = scratch;
    z.avail_out = (uInt)scratch_bytes;
    state = inflate(&z, Z_NO_FLUSH);
    total += scratch_bytes - z.avail_out;
  }
  inflateEnd(&z);
  free(scratch);
  return total;
}

/* Whether a stored chunk unpacks to at least `wanted` bytes. Undoes filters in reverse order; those in
 * `mask` were not applied. Accepts the unusual order deflate, then shuffle without a check. */
static ls_status check_unpacked(hid_t plist, unsigned mask, unsigned char *stored, size_t bytes,
                                size_t wanted) {
  bool shuffled = false;
  bool inflated = false;
  for (int i = H5Pget_nfilters(plist) - 1; i >= 0; i--) {
    unsigned flags, config;
    size_t n_values = 0;
    if (mask & (1U << i)) continue;
    const H5Z_filter_t filter =
        H5Pget_filter2(plist, (unsigned)i, &flags, &n_values, NULL, 0, NULL, &config);
    if (filter == H5Z_FILTER_SHUFFLE) {
      shuffled = true;
    } else if (filter == H5Z_FILTER_FLETCHER32) {
      if (bytes < FLETCHER_BYTES) return LS_ERR_DATA;
      bytes -= FLETCHER_BYTES;
    } else if (filter == H5Z_FILTER_DEFLATE && !shuffled && !inflated) {
      inflated = true;
      bytes = inflated_bytes(stored, bytes, wanted + FLETCHER_BYTES);
      if (bytes == SIZE_MAX) return LS_ERR_INTERNAL;
    } else {
      return LS_OK;
    }
  }
  return bytes >= wanted ? LS_OK : LS_ERR_DATA;
}

/* Reads the first chunk as stored, and checks its unpacked size. LS_ERR_DATA, or LS_ERR_INTERNAL without a
 * message if memory is short. */
static ls_status check_first_chunk(const ls_store *store, hid_t id, hid_t space, hid_t plist,
                                   size_t wanted) {
  hsize_t offset[H5S_MAX_RANK];
  hsize_t bytes = 0;
  haddr_t address;
  unsigned mask = 0;
  uint32_t read_mask = 0;
  if (H5Dget_chunk_info(id, space, 0, offset, &mask, &address, &bytes) < 0) return LS_ERR_DATA;
  if (bytes > store->bytes || bytes > MAX_CHUNK) return LS_ERR_DATA;
  unsigned char *const stored = malloc(bytes + 1);
  if (!stored) return LS_ERR_INTERNAL;
  ls_status status = LS_ERR_DATA;
  if (H5Dread_chunk(id, H5P_DEFAULT, offset, &read_mask, stored) >= 0)
    status = check_unpacked(plist, read_mask, stored, bytes, wanted);
  free(stored);
  return status;
}

ls_status store_chunk_check(const ls_store *store, hid_t id, hid_t plist, size_t wanted) {
  unsigned options = 0;
  if (wanted > MAX_CHUNK || H5Pget_chunk_opts(plist, &options) < 0) return LS_ERR_DATA;
  if (options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) return LS_OK; /* HDF5 does not report which */
  const hid_t space = H5Dget_space(id);
  const ls_status status = check_first_chunk(store, id, space, plist, wanted);
  store_close_id(space);
  return status == LS_ERR_INTERNAL ? ls_fail_memory(store->path, wanted) : status;
}
