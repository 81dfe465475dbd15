/* What the files of store share. */
#ifndef LOCKSTEP_STORE_INTERNAL_H
#define LOCKSTEP_STORE_INTERNAL_H

#include "lockstep/store.h"

#include <hdf5.h>
#include <xxhash.h>

typedef struct open_array open_array;

#define BLOCK_BYTES ((size_t)1 << 20) /* of a chunk, and of a piece that is read or digested */

/* A little-endian unsigned integer of `bytes` bytes. */
static inline uint64_t get_little(const unsigned char *from, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint64_t)from[i] << (8 * i);
  return value;
}

/* ------------------------------------------------------------ HDF5 (hdf5.c) */

/* One lock of the process for all calls of HDF5, which is not thread-safe in every build. A thread may hold
 * it more than once. HDF5_LOCKED holds it to the end of the block; it keeps the reason of a failure. */
#define HDF5_LOCKED __attribute__((cleanup(store_unlock), unused)) const int hdf5_held = store_lock()
int store_lock(void);
void store_unlock(const int *held);

/* The innermost reason of HDF5's last failure on this thread, or the system's message if a system call
 * failed. Only store_close_id may be called between the failure and this function. Valid until the next
 * failure. */
const char *store_reason(void);

/* File access without locks: they fail on many cluster file systems; Lockstep never changes files in place,
 * and HDF5 marks a file that is open for writing. */
hid_t store_access(void);

/* The HDF5 type of a dtype in a file (little-endian), or in memory. Not for LS_TEXT. Must not be closed. */
hid_t store_type(ls_dtype dtype, bool in_file);

/* The type in memory of the elements of a dataset. Must not be closed. */
hid_t store_memory_type(hid_t id, ls_dtype dtype);

/* The smallest dtype that holds all values of a numeric, enumerated (h5py's bool) or string type. */
bool store_dtype_of(hid_t type, ls_dtype *out);

/* Reads rows of an open dataset with at least one dimension into `to`, or writes them from `from` if `to`
 * is NULL. False if HDF5 fails. */
bool store_transfer_rows(hid_t id, const ls_array *array, uint64_t first, size_t count, void *to,
                         const void *from);

/* Opens the object at `path`, following hard links only. *out is -1 unless it is a group or array. */
ls_store_kind store_object_open(hid_t file, const char *path, hid_t *out);

/* Closes an id of any kind; accepts -1. Keeps the reason of the last failure. */
void store_close_id(hid_t id);

/* ------------------------------------------------------- filters (filters.c) */

/* Ids that The HDF Group has registered. */
#define FILTER_LZF  32000
#define FILTER_ZSTD 32015

/* Adds lzf and zstd to HDF5, for reading. */
void store_filters_register(void);

/* Sets the bytes of a chunk of the dataset that this thread is about to read. */
void store_filters_expect(size_t bytes);

/* ---------------------------------------------- how arrays are stored (layout.c) */

typedef struct byte_buffer {
  unsigned char *data; /* owned */
  size_t capacity;
} byte_buffer;

#define FILTERS_MOST 8

typedef struct chunk_filter {
  H5Z_filter_t id;
  size_t element; /* shuffle: bytes of an element */
} chunk_filter;

/* Where the file has a chunk. */
typedef struct chunk_place {
  uint64_t address;
  uint32_t bytes; /* as stored; 0: never written */
  uint32_t mask;  /* bit i: filter i was not applied */
  bool is_known;
} chunk_place;

typedef struct layout {
  enum { READ_BY_HDF5, READ_CONTIGUOUS, READ_CHUNKS } how;
  int descriptor;   /* borrowed from HDF5; -1: addresses are not offsets in the file */
  uint64_t address; /* of contiguous rows */
  size_t row_bytes;
  /* of READ_CHUNKS: */
  hsize_t chunk[LS_MAX_DIMS]; /* shape of a chunk */
  size_t chunk_bytes;         /* of a decoded chunk */
  size_t n_across;            /* chunks of a band: those that hold the same rows */
  bool spans_rows;            /* a chunk holds whole rows */
  bool has_fill;
  unsigned char fill[8]; /* an element of chunks that were never written */
  int n_filters;
  chunk_filter filters[FILTERS_MOST];
  unsigned effective;  /* bit i: filter i changes data; shuffle does not if elements have one byte */
  chunk_place *places; /* owned: (bands, n_across); NULL: HDF5 finds and reads chunks */
  bool has_band;
  uint64_t band_index;
  byte_buffer band; /* the decoded band: (chunk[0], row_bytes) */
} layout;

/* Finds how the rows of an array can be read. HDF5 is locked. */
void store_layout_find(const ls_store *store, hid_t id, const ls_array *array, layout *l);
void store_layout_free(layout *l);

/* The first element of a chunk. at: (n_dims) */
void store_chunk_offset(const ls_array *array, const layout *l, uint64_t band, size_t across, hsize_t *at);

/* ------------------------------------------------------------- cache (cache.c) */

/* What identifies a part of an array in its file; without padding. */
typedef struct store_part {
  ls_digest array; /* of the names of file and array */
  ls_file_state state;
  uint64_t place; /* offset in the file, or the number of a chunk with PART_CHUNK */
  uint64_t bytes;
} store_part;

#define PART_CHUNK ((uint64_t)1 << 63)

/* Reads a part from the cache; false if it is not there, or damaged. Whether it is there. Adds a part,
 * unless the cache is full. Any thread may call these functions. */
bool store_cache_find(ls_cache *cache, const store_part *part, void *to);
bool store_cache_has(const ls_cache *cache, const store_part *part);
void store_cache_add(ls_cache *cache, const store_part *part, const void *content);

/* ----------------------------------------------- decoding (decode.c, shuffle.c) */

/* Memory of a thread that decodes; all owned but the cache. */
typedef struct decoder {
  ls_cache *cache; /* borrowed, or NULL */
  ls_file_state state;
  byte_buffer stored; /* a chunk as in the file */
  byte_buffer chunk;  /* a chunk that does not span rows */
  byte_buffer scratch[2];
  struct libdeflate_decompressor *inflater;
  struct ZSTD_DCtx_s *zstd;
} decoder;

void store_decoder_free(decoder *d);

/* At least `bytes` bytes; the content is lost. NULL, or why that fails. */
const char *store_buffer_reserve(byte_buffer *b, size_t bytes);
void store_buffer_free(byte_buffer *b);

/* The filters, as bits, that were applied to a chunk. */
unsigned store_filters_active(const layout *l, unsigned mask);

/* Decodes the `bytes` bytes of d->stored. out: l->chunk_bytes. NULL, or why that fails. */
const char *store_decode(decoder *d, const layout *l, unsigned mask, size_t bytes, unsigned char *out);

/* Inverse of the filter shuffle. element: bytes, not 0; in and out: `bytes` bytes each. */
void store_unshuffle(size_t element, const unsigned char *in, size_t bytes, unsigned char *out);

/* The checksum of HDF5's filter fletcher32. */
uint32_t store_fletcher32(const unsigned char *data, size_t bytes);

/* ---------------------------------------------------------- reading (read.c) */

#define OPEN_ARRAYS 4 /* kept open, so that consecutive reads share a chunk */

/* Rows of a virtual dataset that are rows of another array. Texts are owned. */
typedef struct virtual_source {
  char *file, *path;
  uint64_t first, rows; /* in the virtual dataset */
  uint64_t source_first;
  bool is_whole;       /* all of the source, whose shape is known when it is opened */
  bool is_row;         /* the whole source is one row, without the dim of rows */
  ls_file_state state; /* of its file when it was opened first; 0 bytes: not yet */
} virtual_source;

typedef struct virtual_map {
  size_t n;
  virtual_source *sources; /* owned; sorted by `first`; cover all rows */
  ls_store *store;         /* owned: the file that was read last, or NULL */
  size_t open;             /* its index */
  ls_cache *cache;         /* borrowed, or NULL */
} virtual_map;

struct open_array {
  char *path;       /* owned; NULL: unused */
  virtual_map *map; /* owned; NULL: not a virtual dataset */
  hid_t id;
  size_t chunk_bytes; /* as stored, before filters; 0: not chunked */
  layout *layout;     /* owned; NULL: a virtual dataset */
  ls_digest name;     /* of the names of file and array */
  ls_array array;
};

/* The place of a chunk. NULL, or why that fails (layout.c). */
const char *store_chunk_find(const open_array *a, uint64_t band, size_t across, chunk_place *out);

/* Reads rows of an array that need not be left to HDF5. NULL, or why that fails (rows.c). */
const char *store_read_stored(decoder *d, const open_array *a, uint64_t first, size_t count, void *out);

/* Lets the system read rows, at least one, into its cache. Ignores failures (rows.c). */
void store_announce(const decoder *d, const open_array *a, uint64_t first, size_t count);

/* What changes when a store is read. */
typedef struct array_cache {
  pthread_mutex_t mutex; /* of all fields; acquired before HDF5's lock */
  open_array places[OPEN_ARRAYS];
  size_t next; /* the place to reuse next */
  decoder decoder;
} array_cache;

struct ls_store {
  char *path; /* owned */
  uint64_t bytes;
  hid_t file;
  int descriptor;      /* of the file, borrowed from HDF5 */
  ls_file_state state; /* when it was opened */
  bool is_source;      /* of a virtual dataset in another file */
  array_cache *cache;  /* owned; separate, so that functions that read take a const store */
};

/* Closes an array of the cache (open.c). */
void store_place_free(open_array *place);

/* Fails if the file has changed since the store was opened. LS_ERR_DATA (open.c). */
ls_status store_check_unchanged(const ls_store *store);

/* Reports why HDF5 cannot open a file: what the file is, and what to do. reason: of HDF5. LS_ERR_DATA
 * (identify.c). */
ls_status store_open_fail(const char *path, int descriptor, const char *reason);

/* Checks an open dataset before its data are read, and returns the bytes of a chunk (0: not chunked), and
 * the sources of a virtual dataset, which the caller owns (check.c). */
ls_status store_check(const ls_store *store, const char *path, hid_t id, ls_array *out, size_t *chunk_bytes,
                      virtual_map **map);

/* Checks the first chunk of a dataset that HDF5 reads, which does not check sizes. bytes: of a chunk
 * (check.c). */
ls_status store_check_first_chunk(const ls_store *store, const char *path, hid_t id, size_t bytes);

/* Counts the sources of a virtual dataset, and checks that HDF5 finds its shape without them. Reads the
 * sources, which must be files in the same folder that give whole rows. LS_ERR_DATA (virtual.c). */
ls_status store_virtual_check(const ls_store *store, const char *path, hid_t plist, size_t *n);
ls_status store_virtual_map(const ls_store *store, const char *path, hid_t plist, size_t n,
                            const ls_array *array, virtual_map **out);
void store_virtual_free(virtual_map **map); /* its store must be closed */

/* Whether the first chunk unpacks to the `wanted` bytes of its shape: LS_OK, LS_ERR_DATA without a message,
 * or LS_ERR_INTERNAL (chunk.c). */
ls_status store_chunk_check(const ls_store *store, hid_t id, hid_t plist, size_t wanted);

/* ------------------------------------------------- attributes (attributes.c) */

/* An open attribute; ids that could not be opened are -1. */
typedef struct attribute {
  hid_t id, type, space;
  hssize_t count; /* of elements */
} attribute;

/* Opens an attribute with its type and count. The caller must close it after a failure too. LS_ERR_DATA. */
ls_status store_attribute_open(const ls_store *store, const char *path, const char *name, attribute *out);
void store_attribute_close(attribute *a);
ls_status store_attribute_fail(const ls_store *store, const char *path, const char *name, const char *why);

/* --------------------------------------- texts of variable length (heap.c) */

typedef struct heap {
  int descriptor; /* of the file, borrowed from HDF5 */
  uint64_t base;  /* of addresses */
  uint64_t file_bytes;
  int address_bytes, size_bytes; /* widths of addresses and sizes */
  size_t reference_bytes;        /* of a reference to a text */
  uint64_t work_left;
  unsigned char *block;    /* owned: the last loaded collection, or NULL */
  uint64_t address, bytes; /* of it */
  uint64_t next;           /* offset at which the next search begins */
} heap;

/* Open the heap; read references of `type` into `to`, those of an attribute or, in the spaces of memory and
 * file, of a dataset; find the text of one, valid until the next call. NULL, or the reason of a failure. */
const char *store_heap_open(const ls_store *store, heap *out);
const char *store_heap_references(hid_t id, hid_t type, const hid_t spaces[2], const heap *h,
                                  unsigned char *to);
const char *store_heap_text(heap *h, const unsigned char *reference, const char **text, size_t *bytes);
void store_heap_close(heap *h);

/* Reports why the system cannot write a file, by errno: LS_ERR_OUTPUT (temporary.c). */
ls_status store_system_fail(const char *path);

/* Local. The folder of a file, with a slash at its end unless it is "."; owned by the caller. */
char *store_folder_of(const char *path);

/* ------------------------------------------------------------- seal (seal.c) */

/* Reads the seal of an open file and verifies it. LS_ERR_MODEL. */
ls_status store_seal_verify(int descriptor, const char *path);

/* Writes the seal into the user block of a finished file. LS_ERR_OUTPUT. */
ls_status store_seal_write(int descriptor, const char *path);

#define SEAL_BYTES 512

/* The digest and number of a file's bytes from `offset` to its end. False, with errno, if reading fails
 * (digest.c). */
bool store_digest_file(int descriptor, uint64_t offset, ls_digest *digest, uint64_t *bytes);
ls_digest store_digest_end(const XXH3_state_t *state);

/* --------------------------------------------------------- writing (write.c) */

/* An array of a file that is being written. */
typedef struct record {
  struct record *next;
  char *path;           /* owned */
  ls_array array;       /* dims[0]: the limit of its rows, 0: none */
  hid_t id;             /* -1 once it is complete */
  uint64_t rows;        /* appended so far */
  uint64_t rows_stored; /* passed to HDF5 so far */
  size_t row_bytes;
  size_t chunk_rows;
  unsigned char *pending; /* owned: rows of an incomplete chunk; NULL before the first */
  XXH3_state_t *state;    /* owned: the digest of the appended rows */
} record;

struct ls_store_writer {
  char *path;      /* owned */
  char *temporary; /* owned */
  hid_t file;
  bool sealed;
  bool failed;     /* an earlier call failed: the file cannot be published */
  bool complete;   /* closed, read back and synced; without its records */
  record *records; /* owned; newest first */
};

/* Marks the writer as failed. The message is "<path>:<where>: <what>: <HDF5's reason>". */
ls_status store_write_fail(ls_store_writer *writer, const char *where, const char *what);

/* Creates the groups of `path`, without its last name unless `whole`. */
ls_status store_make_groups(ls_store_writer *writer, const char *path, bool whole);

/* Passes the pending rows of a record to HDF5, sets the array's final extent and closes it. */
ls_status store_record_finish(ls_store_writer *writer, record *r);
void store_records_free(ls_store_writer *writer); /* all of them */

#endif
