/* Reads the global heap, which holds texts of variable length, without HDF5: HDF5 (1.10 and others) does
 * not check its sizes and indices and crashes on a damaged file.
 *
 * An element refers to a text by its length (u32), the address of a collection, and an index in it (u32). A
 * collection is "GCOL", version 1 (u8), three bytes, its size; then objects: index (u16), references (u16),
 * four bytes, size, then the content, padded to 8 bytes. Index 0 is free space; its size includes its
 * header. Integers are little-endian; the superblock gives the widths of addresses and sizes. (HDF5 File
 * Format Specification 3.0, III.E "Global Heap".) */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_COLLECTION ((uint64_t)2 << 20) /* bytes: HDF5 creates no larger one than a text needs */
#define MAX_WORK       ((uint64_t)1 << 28) /* bytes read plus objects visited for one attribute */

static const char damaged[] = "is damaged: its texts cannot be found";

const char *store_heap_open(const ls_store *store, heap *out) {
  void *handle = NULL;
  hsize_t base = 0;
  size_t address_bytes = 0;
  size_t size_bytes = 0;
  const hid_t plist = H5Fget_create_plist(store->file);
  const bool ok = H5Pget_userblock(plist, &base) >= 0 &&
                  H5Pget_sizes(plist, &address_bytes, &size_bytes) >= 0 &&
                  H5Fget_vfd_handle(store->file, H5P_DEFAULT, &handle) >= 0;
  store_close_id(plist);
  if (!ok) return store_reason();
  if (address_bytes > 8 || size_bytes > 8) return damaged;
  *out = (heap){.descriptor = *(const int *)handle,
                .base = base,
                .file_bytes = store->bytes,
                .address_bytes = (int)address_bytes,
                .size_bytes = (int)size_bytes,
                .reference_bytes = 4 + address_bytes + 4,
                .work_left = MAX_WORK};
  return NULL;
}

void store_heap_close(heap *h) {
  free(h->block);
  h->block = NULL;
}

/* A conversion that keeps the stored reference unchanged. */
static herr_t keep_reference(hid_t from, hid_t to, H5T_cdata_t *data, size_t n, size_t stride,
                             size_t stride2, void *buffer, void *background, hid_t plist) {
  (void)n, (void)stride, (void)stride2, (void)buffer, (void)background, (void)plist;
  if (data->command != H5T_CONV_INIT) return 0;
  return H5Tis_variable_str(from) > 0 && H5Tget_size(from) == H5Tget_size(to) ? 0 : -1;
}

const char *store_heap_references(hid_t id, hid_t type, const hid_t spaces[2], const heap *h,
                                  unsigned char *to) {
  const hid_t opaque = H5Tcreate(H5T_OPAQUE, h->reference_bytes);
  bool ok = H5Tregister(H5T_PERS_SOFT, "reference", type, opaque, keep_reference) >= 0;
  if (ok)
    ok = (spaces ? H5Dread(id, opaque, spaces[0], spaces[1], H5P_DEFAULT, to) : H5Aread(id, opaque, to)) >=
         0;
  const char *const why = ok ? NULL : store_reason();
  H5Tunregister(H5T_PERS_SOFT, "reference", -1, -1, keep_reference);
  store_close_id(opaque);
  return why;
}

static bool read_exactly(const heap *h, uint64_t address, void *to, size_t bytes) {
  return ls_store_pread(h->descriptor, h->base + address, to, bytes) == (ssize_t)bytes;
}

/* Counts work against the limit, so that no damaged file causes an endless search. */
static bool spend(heap *h, uint64_t work) {
  const bool enough = work <= h->work_left;
  h->work_left = enough ? h->work_left - work : 0;
  return enough;
}

static uint64_t round_up(uint64_t bytes) {
  return (bytes + 7) & ~(uint64_t)7;
}

/* Loads the collection at `address` unless it is already loaded. */
static bool load_collection(heap *h, uint64_t address) {
  unsigned char head[16];
  if (h->block && h->address == address) return true;
  store_heap_close(h);
  if (address > h->file_bytes || !read_exactly(h, address, head, 8 + (size_t)h->size_bytes)) return false;
  const uint64_t bytes = get_little(head + 8, h->size_bytes);
  if (memcmp(head, "GCOL\1", 5) != 0 || bytes < 16 || bytes > MAX_COLLECTION || !spend(h, bytes))
    return false;
  h->block = malloc(bytes);
  if (!h->block || !read_exactly(h, address, h->block, bytes)) {
    store_heap_close(h);
    return false;
  }
  h->address = address;
  h->bytes = bytes;
  h->next = round_up(8 + (uint64_t)h->size_bytes);
  return true;
}

/* The content and size of an object of the loaded collection, from offset `start`; NULL if there is none.
 */
static const unsigned char *find_from(heap *h, uint64_t start, uint64_t index, uint64_t *size) {
  const uint64_t head = round_up(8 + (uint64_t)h->size_bytes);
  for (uint64_t at = start; h->bytes - at >= head && spend(h, 1);) {
    const uint64_t found = get_little(h->block + at, 2);
    *size = get_little(h->block + at + 8, h->size_bytes);
    const uint64_t available = h->bytes - at - head;
    if (found != 0 && *size > available) return NULL;
    const uint64_t step = found == 0 ? *size : head + round_up(*size);
    const bool fits = step >= head && step <= available + head;
    if (found != 0 && found == index) {
      h->next = fits ? at + step : head;
      return h->block + at + head;
    }
    if (!fits) return NULL;
    at += step;
  }
  return NULL;
}

/* The texts of a list usually follow each other, so the search begins behind the last text. */
static const unsigned char *find_object(heap *h, uint64_t index, uint64_t *size) {
  const uint64_t head = round_up(8 + (uint64_t)h->size_bytes);
  const unsigned char *const content = find_from(h, h->next, index, size);
  return content || h->next == head ? content : find_from(h, head, index, size);
}

const char *store_heap_text(heap *h, const unsigned char *reference, const char **text, size_t *bytes) {
  const uint64_t length = get_little(reference, 4);
  const uint64_t address = get_little(reference + 4, h->address_bytes);
  const uint64_t index = get_little(reference + 4 + h->address_bytes, 4);
  uint64_t size = 0;
  *text = "";
  *bytes = 0;
  if (length == 0 || address == 0) return NULL;
  if (!load_collection(h, address)) return damaged;
  const unsigned char *const content = find_object(h, index, &size);
  if (!content || length > size) return damaged;
  *text = (const char *)content;
  *bytes = length;
  return NULL;
}
