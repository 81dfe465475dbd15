/* What the files of this room share and no other room sees. */
#ifndef LOCKSTEP_STORE_INTERNAL_H
#define LOCKSTEP_STORE_INTERNAL_H

#include "lockstep/store.h"

#include <hdf5.h>
#include <xxhash.h>

#define BLOCK_BYTES ((size_t)1 << 20) /* of a chunk, and of a step of reading or digesting */

/* ------------------------------------------------------------ HDF5 (hdf5.c) */

/* Prepares HDF5 on this thread: no error printing, no filters from plugins. Cheap to repeat. */
void store_start(void);

/* The innermost reason of HDF5's last failure on this thread; between the two no HDF5 function but
 * store_close_id may be called. Where the system refused something, its words alone. Valid until the next
 * failure. */
const char *store_reason(void);

/* File access that never locks: locks fail on many cluster file systems, our own files are never changed
 * in place, and HDF5 itself marks a file that is open for writing. */
hid_t store_access(void);

/* The HDF5 type of a dtype in memory, and in a file (little-endian). Not for LS_TEXT. Not to be closed. */
hid_t store_native_type(ls_dtype dtype);
hid_t store_file_type(ls_dtype dtype);

/* The smallest dtype that holds all values of a numeric, enumerated (h5py's bool) or string type. */
bool store_dtype_of(hid_t type, ls_dtype *out);

/* Opens the object at `path` along hard links alone. *out is valid for groups and arrays, else -1. */
ls_store_kind store_object_open(hid_t file, const char *path, hid_t *out);

/* H5Sclose and its like, for an id that may be -1. Keeps the reason of the failure before it. */
void store_close_id(hid_t id);

/* ---------------------------------------------------------- reading (read.c) */

#define OPEN_ARRAYS 4 /* kept open between reads, so that neighbouring reads share a chunk */

typedef struct open_array {
  char *path; /* owned; NULL: the place is free */
  hid_t id;
  ls_array array;
} open_array;

typedef struct array_cache {
  open_array places[OPEN_ARRAYS];
  size_t next; /* the place that is reused next */
} array_cache;

struct ls_store {
  char *path; /* owned */
  uint64_t bytes;
  hid_t file;
  array_cache *cache; /* owned; apart, so that reading leaves the store constant */
};

/* Opens `path` for reading as a descriptor, only if it is a regular file: fails with `status` where it is
 * not, or is missing, else with LS_ERR_DATA. */
ls_status store_descriptor_open(const char *path, ls_status status, int *out);

/* Checks an opened data set before anything of it is read (check.c). */
ls_status store_check(const ls_store *store, const char *path, hid_t id, ls_array *out);

/* LS_OK where a chunk on trial unpacks to the `wanted` bytes of its shape; LS_ERR_DATA, without a message,
 * where it does not (chunk.c). */
ls_status store_chunk_check(const ls_store *store, hid_t id, hid_t plist, size_t wanted);

/* ------------------------------------------------- attributes (attributes.c) */

/* An open attribute; ids are -1 where they could not be opened. */
typedef struct attribute {
  hid_t id, type, space;
  hssize_t count; /* of elements */
} attribute;

/* Opens an attribute and asks its type and count. It is to be closed on failure too. */
ls_status store_attribute_open(const ls_store *store, const char *path, const char *name, attribute *out);
void store_attribute_close(attribute *a);
ls_status store_attribute_refuse(const ls_store *store, const char *path, const char *name,
                                 const char *why);

/* --------------------------------------- texts of variable length (heap.c) */

typedef struct heap {
  int descriptor; /* of the file, borrowed from HDF5 */
  uint64_t base;  /* where addresses count from */
  uint64_t file_bytes;
  int address_bytes, size_bytes; /* their widths */
  size_t reference_bytes;        /* of an element that refers to a text */
  uint64_t work_left;
  unsigned char *block;    /* owned: the collection loaded last; NULL: none */
  uint64_t address, bytes; /* of it */
} heap;

/* All three return a reason, or NULL where it went well. The second reads an attribute's references into
 * `to`; the third finds the text of one, valid until the next. */
const char *store_heap_open(const ls_store *store, heap *out);
const char *store_heap_references(const attribute *a, const heap *h, unsigned char *to);
const char *store_heap_text(heap *h, const unsigned char *reference, const char **text, size_t *bytes);
void store_heap_close(heap *h);

/* ------------------------------------------------------------- seal (seal.c) */

/* Reads the seal of an open file and verifies it. LS_ERR_MODEL. */
ls_status store_seal_verify(int descriptor, const char *path);

/* Writes the seal into the user block of a finished file. LS_ERR_OUTPUT. */
ls_status store_seal_write(int descriptor, const char *path);

#define SEAL_BYTES 512

/* Digest of a file's bytes from `offset` to its end, and their number. False, with errno, where a read
 * fails (digest.c). */
bool store_digest_file(int descriptor, uint64_t offset, ls_digest *digest, uint64_t *bytes);
ls_digest store_digest_end(const XXH3_state_t *state);

/* --------------------------------------------------------- writing (write.c) */

/* An array of a file being written. */
typedef struct record {
  struct record *next;
  char *path;           /* owned */
  ls_array array;       /* dims[0]: the most it can hold, 0: no limit */
  hid_t id;             /* -1 once it is complete */
  uint64_t rows;        /* appended so far */
  uint64_t rows_stored; /* of them, handed to HDF5 */
  size_t row_bytes;
  size_t chunk_rows;
  unsigned char *pending; /* owned: rows that do not fill a chunk yet; NULL: none ever */
  XXH3_state_t *state;    /* owned: the digest of what was appended */
} record;

struct ls_store_writer {
  char *path;      /* owned */
  char *temporary; /* owned */
  hid_t file;
  bool sealed;
  bool failed;     /* an earlier call failed: the file is not to be published */
  record *records; /* owned; the newest first */
};

/* Marks the writer as failed and records "<path>: <what>: <HDF5's reason>". */
ls_status store_write_fail(ls_store_writer *writer, const char *where, const char *what);

/* Makes the groups of `path`, without its last name unless `whole`. */
ls_status store_make_groups(ls_store_writer *writer, const char *path, bool whole);

/* Hands the rows of a record that wait for a full chunk to HDF5, trims its extent and closes it. */
ls_status store_record_finish(ls_store_writer *writer, record *r);

#endif
