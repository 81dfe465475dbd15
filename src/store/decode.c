/* Decodes chunks without HDF5: undoes their filters. Never writes beyond the size that a chunk must have.
 */
#include "internal.h"

#include <libdeflate.h>
#include <lzf.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define FLETCHER_BYTES 4

static const char no_memory[] = "there is not enough memory to decode a chunk";
static const char wrong_size[] = "a chunk is damaged: it does not have the size of its shape";

const char *store_buffer_reserve(byte_buffer *b, size_t bytes) {
  if (b->capacity >= bytes) return NULL;
  free(b->data);
  *b = (byte_buffer){.data = malloc(bytes)};
  if (!b->data) return no_memory;
  b->capacity = bytes;
  return NULL;
}

void store_buffer_free(byte_buffer *b) {
  free(b->data);
  *b = (byte_buffer){0};
}

void store_decoder_free(decoder *d) {
  store_buffer_free(&d->stored);
  store_buffer_free(&d->scratch[0]);
  store_buffer_free(&d->scratch[1]);
  store_buffer_free(&d->chunk);
  if (d->inflater) libdeflate_free_decompressor(d->inflater);
  ZSTD_freeDCtx(d->zstd);
  *d = (decoder){0};
}

/* ------------------------------------------------------------------ single filters
 *
 * Each returns NULL, or why the chunk cannot be decoded. *bytes: of `in`, then of `out`, which has room for
 * `most` bytes. */

static const char *inflate_chunk(decoder *d, const unsigned char *in, size_t *bytes, unsigned char *out,
                                 size_t most) {
  size_t used;
  if (!d->inflater) d->inflater = libdeflate_alloc_decompressor();
  if (!d->inflater) return no_memory;
  const enum libdeflate_result result =
      libdeflate_zlib_decompress_ex(d->inflater, in, *bytes, out, most, &used, bytes);
  if (result == LIBDEFLATE_INSUFFICIENT_SPACE) return wrong_size;
  return result == LIBDEFLATE_SUCCESS ? NULL : "a chunk is damaged: inflate fails";
}

static const char *unpack_lzf(const unsigned char *in, size_t *bytes, unsigned char *out, size_t most) {
  if (*bytes > UINT32_MAX || most > UINT32_MAX) return wrong_size;
  *bytes = lzf_decompress(in, (unsigned)*bytes, out, (unsigned)most);
  return *bytes > 0 ? NULL : "a chunk is damaged: lzf fails";
}

static const char *unpack_zstd(decoder *d, const unsigned char *in, size_t *bytes, unsigned char *out,
                               size_t most) {
  if (!d->zstd) d->zstd = ZSTD_createDCtx();
  if (!d->zstd) return no_memory;
  *bytes = ZSTD_decompressDCtx(d->zstd, out, most, in, *bytes);
  return ZSTD_isError(*bytes) ? "a chunk is damaged: zstd fails" : NULL;
}

/* The checksum follows the content, in little-endian order. Versions of HDF5 before 1.6.3 exchanged the
 * bytes of both halves. */
static const char *check_fletcher(const unsigned char *in, size_t *bytes) {
  if (*bytes < FLETCHER_BYTES) return wrong_size;
  *bytes -= FLETCHER_BYTES;
  const uint32_t stored = (uint32_t)get_little(in + *bytes, FLETCHER_BYTES);
  const uint32_t sum = store_fletcher32(in, *bytes);
  const uint32_t exchanged = (sum & 0x00ff00ff) << 8 | (sum & 0xff00ff00) >> 8;
  return stored == sum || stored == exchanged ? NULL
                                              : "a chunk is damaged: its checksum (fletcher32) differs";
}

static const char *undo(decoder *d, const chunk_filter *f, const unsigned char *in, size_t *bytes,
                        unsigned char *out, size_t most) {
  switch (f->id) {
  case H5Z_FILTER_DEFLATE: return inflate_chunk(d, in, bytes, out, most);
  case FILTER_LZF: return unpack_lzf(in, bytes, out, most);
  case FILTER_ZSTD: return unpack_zstd(d, in, bytes, out, most);
  default: /* shuffle */
    if (*bytes > most) return wrong_size;
    store_unshuffle(f->element, in, *bytes, out);
    return NULL;
  }
}

/* ----------------------------------------------------------------------- all filters */

unsigned store_filters_active(const layout *l, unsigned mask) {
  return ~mask & l->effective;
}

const char *store_decode(decoder *d, const layout *l, unsigned mask, size_t bytes, unsigned char *out) {
  const unsigned active = store_filters_active(l, mask);
  const unsigned char *in = d->stored.data;
  const size_t most = ls_size_max(l->chunk_bytes + FLETCHER_BYTES, bytes);
  for (int i = l->n_filters - 1, k = 0; i >= 0; i--) {
    const char *why = NULL;
    const bool is_last = (active & ((1U << i) - 1)) == 0;
    if (!(active & (1U << i))) continue;
    if (l->filters[i].id == H5Z_FILTER_FLETCHER32) {
      why = check_fletcher(in, &bytes);
    } else {
      byte_buffer *const scratch = &d->scratch[k];
      k = 1 - k;
      if (!is_last) why = store_buffer_reserve(scratch, most);
      unsigned char *const to = is_last ? out : scratch->data;
      if (!why) why = undo(d, &l->filters[i], in, &bytes, to, is_last ? l->chunk_bytes : scratch->capacity);
      in = to;
    }
    if (why) return why;
  }
  if (bytes != l->chunk_bytes) return wrong_size;
  if (in != out) memcpy(out, in, bytes);
  return NULL;
}
