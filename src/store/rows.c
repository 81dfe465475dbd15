/* Reads rows without HDF5's lock: contiguous rows and chunks are read from the file's descriptor, and
 * chunks are decoded here.
 *
 * A band is the chunks that hold the same rows; it is decoded as a whole. If only a part of a band is
 * wanted, the band is kept, so that consecutive reads decode each chunk once. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* More stored bytes than this are damage: filters add little to what they cannot compress. */
static size_t stored_limit(const layout *l) {
  return 2 * l->chunk_bytes + ((size_t)1 << 16);
}

/* Reads from the file. Returns NULL, or why that fails. */
static const char *read_file(int descriptor, uint64_t offset, void *to, size_t bytes) {
  const ssize_t n = offset <= INT64_MAX ? ls_store_pread(descriptor, offset, to, bytes) : 0;
  if (n < 0) return strerror(errno);
  return (size_t)n == bytes ? NULL : "the file ends before its data: it is truncated or damaged";
}

/* ---------------------------------------------------------------- parts of the file */

#define CACHED_LEAST 4096 /* bytes: smaller parts are not worth a file */

static store_part part_of(const decoder *d, const open_array *a, uint64_t place, size_t bytes) {
  return (store_part){.array = a->name, .state = d->state, .place = place, .bytes = bytes};
}

/* Reads a part of the file, from the cache if it has it. NULL, or why that fails. */
static const char *read_part(const decoder *d, const open_array *a, uint64_t offset, void *to,
                             size_t bytes) {
  const store_part part = part_of(d, a, offset, bytes);
  const bool is_cached = d->cache && bytes >= CACHED_LEAST;
  if (is_cached && store_cache_find(d->cache, &part, to)) return NULL;
  const char *const why = read_file(a->layout->descriptor, offset, to, bytes);
  if (is_cached && !why) store_cache_add(d->cache, &part, to);
  return why;
}

/* Lets HDF5 read the stored bytes of a chunk, and the filters that were not applied, unless the cache has
 * it. */
static const char *read_by_hdf5(const decoder *d, const open_array *a, uint64_t index, const hsize_t *at,
                                chunk_place *p, void *to) {
  const store_part part = part_of(d, a, index | PART_CHUNK, p->bytes);
  const bool is_cached = d->cache && p->bytes >= CACHED_LEAST;
  if (is_cached && store_cache_find(d->cache, &part, to)) return NULL;
  HDF5_LOCKED;
  if (H5Dread_chunk(a->id, H5P_DEFAULT, at, &p->mask, to) < 0) return store_reason();
  if (is_cached && p->mask == 0) store_cache_add(d->cache, &part, to);
  return NULL;
}

/* ------------------------------------------------------------------------- chunks */

/* Reads the stored bytes of a chunk. */
static const char *load(const decoder *d, const open_array *a, uint64_t band, size_t across, chunk_place *p,
                        void *to) {
  const layout *const l = a->layout;
  hsize_t at[LS_MAX_DIMS];
  if (l->places) return read_part(d, a, p->address, to, p->bytes);
  store_chunk_offset(&a->array, l, band, across, at);
  return read_by_hdf5(d, a, band * l->n_across + across, at, p, to);
}

/* The value of a chunk that was never written, if the creator has set one. */
static const char *fill(const open_array *a, unsigned char *out) {
  const size_t size = ls_dtype_size(a->array.dtype);
  if (!a->layout->has_fill) return "a chunk was never written";
  for (size_t i = 0; i < a->layout->chunk_bytes; i += size) memcpy(out + i, a->layout->fill, size);
  return NULL;
}

/* Reads and decodes a chunk. out: chunk_bytes */
static const char *read_chunk(decoder *d, const open_array *a, uint64_t band, size_t across,
                              unsigned char *out) {
  const layout *const l = a->layout;
  chunk_place p;
  const char *why = store_chunk_find(a, band, across, &p);
  if (why) return why;
  if (p.bytes == 0) return fill(a, out);
  if (p.bytes > stored_limit(l)) return "a chunk is damaged: it stores too many bytes";
  if (l->n_filters == 0 && p.bytes == l->chunk_bytes) return load(d, a, band, across, &p, out);
  why = store_buffer_reserve(&d->stored, p.bytes);
  if (!why) why = load(d, a, band, across, &p, d->stored.data);
  return why ? why : store_decode(d, l, p.mask, p.bytes, out);
}

/* Copies the part of a chunk that lies within the rows of the array. band: (chunk rows, dims[1], ...) */
static void scatter(const open_array *a, const hsize_t *at, const unsigned char *content,
                    unsigned char *band) {
  const layout *const l = a->layout;
  const unsigned last = a->array.n_dims - 1;
  size_t n[LS_MAX_DIMS] = {l->chunk[0]};
  size_t i[LS_MAX_DIMS] = {0};
  const size_t size = ls_dtype_size(a->array.dtype);
  for (unsigned k = 1; k <= last; k++) n[k] = ls_size_min(l->chunk[k], a->array.dims[k] - at[k]);
  while (i[0] < n[0]) {
    size_t from = i[0];
    size_t to = i[0];
    for (unsigned k = 1; k <= last; k++) {
      from = from * l->chunk[k] + i[k];
      to = to * a->array.dims[k] + at[k] + i[k];
    }
    memcpy(band + to * size, content + from * size, n[last] * size);
    unsigned k = last;
    for (i[k] = n[k]; k > 0 && i[k] == n[k]; i[k]++) i[k--] = 0;
  }
}

/* Reads all chunks of a band. out: (chunk rows, row_bytes) */
static const char *read_band(decoder *d, const open_array *a, uint64_t band, unsigned char *out) {
  const layout *const l = a->layout;
  hsize_t at[LS_MAX_DIMS];
  if (l->spans_rows) return read_chunk(d, a, band, 0, out);
  const char *why = store_buffer_reserve(&d->chunk, l->chunk_bytes);
  for (size_t across = 0; !why && across < l->n_across; across++) {
    why = read_chunk(d, a, band, across, d->chunk.data);
    store_chunk_offset(&a->array, l, band, across, at);
    if (!why) scatter(a, at, d->chunk.data, out);
  }
  return why;
}

/* The band in the buffer of the array. */
static const char *keep_band(decoder *d, const open_array *a, uint64_t band) {
  layout *const l = a->layout;
  if (l->has_band && l->band_index == band) return NULL;
  l->has_band = false;
  const char *why = store_buffer_reserve(&l->band, l->chunk[0] * l->row_bytes);
  if (!why) why = read_band(d, a, band, l->band.data);
  l->has_band = !why;
  l->band_index = band;
  return why;
}

/* Whether the rows of a band are in the file as they are in memory. */
static bool is_plain(const open_array *a, uint64_t band, uint64_t *address) {
  const layout *const l = a->layout;
  chunk_place p;
  if (!l->places || !l->spans_rows || store_chunk_find(a, band, 0, &p)) return false;
  *address = p.address;
  return p.bytes == l->chunk_bytes && store_filters_active(l, p.mask) == 0;
}

/* Reads rows from .. from + n - 1 of a band. */
static const char *read_of_band(decoder *d, const open_array *a, uint64_t band, size_t from, size_t n,
                                unsigned char *out) {
  const layout *const l = a->layout;
  uint64_t address;
  if (is_plain(a, band, &address))
    return read_part(d, a, address + from * l->row_bytes, out, n * l->row_bytes);
  const bool is_kept = l->has_band && l->band_index == band;
  if (n == l->chunk[0] && !is_kept) return read_band(d, a, band, out);
  const char *const why = keep_band(d, a, band);
  if (!why) memcpy(out, l->band.data + from * l->row_bytes, n * l->row_bytes);
  return why;
}

static const char *read_bands(decoder *d, const open_array *a, uint64_t first, size_t count,
                              unsigned char *out) {
  const layout *const l = a->layout;
  const char *why = NULL;
  while (!why && count > 0) {
    const size_t from = (size_t)(first % l->chunk[0]);
    const size_t n = ls_size_min(count, l->chunk[0] - from);
    why = read_of_band(d, a, first / l->chunk[0], from, n, out);
    first += n;
    count -= n;
    out += n * l->row_bytes;
    ls_heartbeat();
  }
  return why;
}

/* --------------------------------------------------------------------------- rows */

static const char *read_contiguous(const decoder *d, const open_array *a, uint64_t first, size_t count,
                                   unsigned char *out) {
  const layout *const l = a->layout;
  const char *why = NULL;
  const size_t bytes = count * l->row_bytes;
  for (size_t done = 0; !why && done < bytes; done += LS_HEARTBEAT_BYTES) {
    why = read_part(d, a, l->address + first * l->row_bytes + done, out + done,
                    ls_size_min(LS_HEARTBEAT_BYTES, bytes - done));
    ls_heartbeat();
  }
  return why;
}

/* ---------------------------------------------------------------------- read-ahead */

typedef struct byte_range {
  uint64_t from, to;
} byte_range;

static void announce(const layout *l, byte_range range) {
  if (range.to > range.from && range.to <= INT64_MAX)
    (void)posix_fadvise(l->descriptor, (off_t)range.from, (off_t)(range.to - range.from),
                        POSIX_FADV_WILLNEED);
}

static bool is_in_cache(const decoder *d, const open_array *a, uint64_t offset, size_t bytes) {
  const store_part part = part_of(d, a, offset, bytes);
  return d->cache && store_cache_has(d->cache, &part);
}

/* Announces the chunks of bands first .. last; those that follow each other in the file together. */
static void announce_bands(const decoder *d, const open_array *a, uint64_t first, uint64_t last) {
  const layout *const l = a->layout;
  byte_range range = {0, 0};
  for (uint64_t band = first; band <= last; band++)
    for (size_t across = 0; across < l->n_across; across++) {
      chunk_place p;
      if (store_chunk_find(a, band, across, &p) || p.bytes == 0 || p.bytes > stored_limit(l) ||
          is_in_cache(d, a, p.address, p.bytes))
        continue;
      if (p.address != range.to) {
        announce(l, range);
        range.from = p.address;
      }
      range.to = p.address + p.bytes;
    }
  announce(l, range);
}

void store_announce(const decoder *d, const open_array *a, uint64_t first, size_t count) {
  const layout *const l = a->layout;
  const uint64_t from = l->address + first * l->row_bytes;
  if (l->how == READ_CONTIGUOUS && !is_in_cache(d, a, from, count * l->row_bytes))
    announce(l, (byte_range){from, from + count * l->row_bytes});
  if (l->how == READ_CHUNKS && l->places)
    announce_bands(d, a, first / l->chunk[0], (first + count - 1) / l->chunk[0]);
}

const char *store_read_stored(decoder *d, const open_array *a, uint64_t first, size_t count, void *out) {
  return a->layout->how == READ_CONTIGUOUS ? read_contiguous(d, a, first, count, out)
                                           : read_bands(d, a, first, count, out);
}
