/* How an array is stored, if its rows can be read without HDF5: stored elements that are those in memory,
 * contiguous or in chunks of known filters. */
#include "internal.h"

#include <stdlib.h>

/* HDF5 visits chunks one by one to find the place of one, at about 10 ns each, so all n places take up to
 * 10 ns n^2. They are asked for if that is a tenth of the time of reading n chunks at 1 GB/s, or a few
 * milliseconds. Otherwise HDF5 reads the stored bytes of chunks. */
#define SEARCH_BYTES  100 /* of a chunk, for each chunk of the array */
#define CHUNKS_ALWAYS ((size_t)512)
#define CHUNKS_MOST   ((size_t)16384)

#define ADDRESS_MOST ((uint64_t)1 << 62)

/* A larger band of chunks is left to HDF5, which decodes parts of it again and again. */
#define BAND_LIMIT ((size_t)512 << 20)

/* ------------------------------------------------------------------------ finding */

/* Whether the stored elements have the bytes of those in memory. */
static bool is_same_type(hid_t id, ls_dtype dtype) {
  const hid_t stored = H5Dget_type(id);
  const H5T_class_t class = H5Tget_class(stored);
  const hid_t base = class == H5T_ENUM ? H5Tget_super(stored) : -1;
  const hid_t type = base >= 0 ? base : stored;
  bool ok = type >= 0 && H5Tget_size(type) == ls_dtype_size(dtype);
  if (ok && ls_dtype_size(dtype) == 1)
    ok = H5Tget_precision(type) == 8; /* in any byte order */
  else if (ok)
    ok = H5Tequal(type, store_type(dtype, false)) > 0;
  store_close_id(base);
  store_close_id(stored);
  return ok;
}

/* Whether addresses are offsets in the file: versions of HDF5 differ with a user block. */
static bool has_offsets(hid_t file) {
  hsize_t base = 1;
  const hid_t plist = H5Fget_create_plist(file);
  const bool ok = plist >= 0 && H5Pget_userblock(plist, &base) >= 0 && base == 0;
  store_close_id(plist);
  return ok;
}

/* The filters of a dataset, all of which store_check accepts. False if HDF5 must report what is wrong. */
static bool find_filters(hid_t plist, layout *l) {
  l->n_filters = H5Pget_nfilters(plist);
  if (l->n_filters < 0 || l->n_filters > FILTERS_MOST) return false;
  for (int i = 0; i < l->n_filters; i++) {
    unsigned flags, config, values[8] = {0};
    size_t n = 8;
    const H5Z_filter_t id = H5Pget_filter2(plist, (unsigned)i, &flags, &n, values, 0, NULL, &config);
    l->filters[i] = (chunk_filter){.id = id, .element = values[0]};
    if (id < 0 || (id == H5Z_FILTER_SHUFFLE && values[0] == 0)) return false;
    if (id != H5Z_FILTER_SHUFFLE || values[0] > 1) l->effective |= 1U << i;
  }
  return true;
}

/* The chunks and their filters; false if they must be left to HDF5. */
static bool find_chunks(hid_t plist, const ls_array *array, layout *l) {
  hsize_t dims[H5S_MAX_RANK];
  unsigned options = 0;
  H5D_fill_value_t fill;
  if (H5Pget_chunk(plist, H5S_MAX_RANK, dims) != (int)array->n_dims ||
      H5Pget_chunk_opts(plist, &options) < 0 || options != 0 || H5Pfill_value_defined(plist, &fill) < 0 ||
      !find_filters(plist, l))
    return false;
  const size_t n_bands = array->dims[0] / dims[0] + (array->dims[0] % dims[0] != 0);
  size_t n_chunks = 0;
  size_t band = l->row_bytes;
  l->has_fill = fill == H5D_FILL_VALUE_USER_DEFINED;
  if (l->has_fill && H5Pget_fill_value(plist, store_type(array->dtype, false), l->fill) < 0) return false;
  l->chunk_bytes = ls_dtype_size(array->dtype);
  l->n_across = 1;
  l->spans_rows = true;
  for (unsigned i = 0; i < array->n_dims; i++) {
    l->chunk[i] = dims[i];
    if (!ls_size_mul(l->chunk_bytes, dims[i], &l->chunk_bytes)) return false;
    if (i > 0) l->n_across *= array->dims[i] / dims[i] + (array->dims[i] % dims[i] != 0);
    if (i > 0 && dims[i] != array->dims[i]) l->spans_rows = false;
  }
  if (!ls_size_mul(band, dims[0], &band) || band > BAND_LIMIT || l->chunk_bytes > BAND_LIMIT) return false;
  const size_t most = ls_size_min(ls_size_max(l->chunk_bytes / SEARCH_BYTES, CHUNKS_ALWAYS), CHUNKS_MOST);
  if (l->descriptor >= 0 && ls_size_mul(n_bands, l->n_across, &n_chunks) && n_chunks <= most)
    l->places = ls_calloc(n_chunks, sizeof *l->places);
  return true;
}

/* The offset of contiguous data in the file; false if it is unknown. */
static bool find_contiguous(hid_t id, layout *l) {
  const haddr_t at = H5Dget_offset(id);
  l->address = at;
  return l->descriptor >= 0 && at <= ADDRESS_MOST;
}

void store_layout_find(const ls_store *store, hid_t id, const ls_array *array, layout *l) {
  size_t row_size;
  *l = (layout){.descriptor = -1};
  if (array->dtype == LS_TEXT || array->n_dims == 0 || !ls_array_row_size(array, &row_size) ||
      row_size == 0 || array->dims[0] == 0 || !is_same_type(id, array->dtype))
    return;
  const hid_t plist = H5Dget_create_plist(id);
  const H5D_layout_t kind = plist < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(plist);
  l->row_bytes = row_size * ls_dtype_size(array->dtype);
  if (has_offsets(store->file)) l->descriptor = store->descriptor;
  if (kind == H5D_CONTIGUOUS && find_contiguous(id, l)) l->how = READ_CONTIGUOUS;
  if (kind == H5D_CHUNKED && find_chunks(plist, array, l)) l->how = READ_CHUNKS;
  store_close_id(plist);
}

void store_layout_free(layout *l) {
  free(l->places);
  store_buffer_free(&l->band);
  *l = (layout){.descriptor = -1};
}

/* ------------------------------------------------------------------ places of chunks */

void store_chunk_offset(const ls_array *array, const layout *l, uint64_t band, size_t across, hsize_t *at) {
  at[0] = band * l->chunk[0];
  for (unsigned i = array->n_dims - 1; i > 0; i--) {
    const size_t n = array->dims[i] / l->chunk[i] + (array->dims[i] % l->chunk[i] != 0);
    at[i] = across % n * l->chunk[i];
    across /= n;
  }
}

/* Asks HDF5 for the place of a chunk, or only for its stored bytes if it would search for long. Returns
 * NULL, or why that fails. */
static const char *find_place(hid_t id, const layout *l, const hsize_t *at, chunk_place *out) {
  unsigned mask = 0;
  haddr_t address = 0;
  hsize_t bytes = 0;
  HDF5_LOCKED;
  if ((l->places ? H5Dget_chunk_info_by_coord(id, at, &mask, &address, &bytes)
                 : H5Dget_chunk_storage_size(id, at, &bytes)) < 0)
    return store_reason();
  if (bytes > UINT32_MAX || (bytes > 0 && address > ADDRESS_MOST))
    return "a chunk is damaged: its address or size is out of range";
  *out = (chunk_place){.address = address, .bytes = (uint32_t)bytes, .mask = mask, .is_known = true};
  return NULL;
}

const char *store_chunk_find(const open_array *a, uint64_t band, size_t across, chunk_place *out) {
  layout *const l = a->layout;
  hsize_t at[LS_MAX_DIMS];
  chunk_place *const place = l->places ? &l->places[band * l->n_across + across] : out;
  if (!l->places) out->is_known = false;
  store_chunk_offset(&a->array, l, band, across, at);
  const char *const why = place->is_known ? NULL : find_place(a->id, l, at, place);
  *out = *place;
  return why;
}
