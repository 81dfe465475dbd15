/* store: HDF5 files, read with suspicion and written whole or not at all; digests.
 *
 * Reading never trusts a file: layouts, filters, sizes and types are checked before anything is read, and
 * nothing outside the file is ever opened. Writing goes to a temporary file beside the target, is read
 * back and compared, synced, and only then takes the target's name. All functions are local. */
#ifndef LOCKSTEP_STORE_H
#define LOCKSTEP_STORE_H

#include "lockstep/base.h"

/* Element types, as stored. LS_TEXT: strings, which only the text functions read. */
typedef enum ls_dtype {
  LS_U8,
  LS_U16,
  LS_U32,
  LS_U64,
  LS_I8,
  LS_I16,
  LS_I32,
  LS_I64,
  LS_F32,
  LS_F64,
  LS_TEXT
} ls_dtype;

#define LS_MAX_DIMS 8

/* What an array is: type and shape; dims[0] counts rows (samples). A scalar has n_dims 0. */
typedef struct ls_array {
  ls_dtype dtype;
  unsigned n_dims;
  uint64_t dims[LS_MAX_DIMS];
} ls_array;

/* Local. Bytes of an element; 0 for LS_TEXT. */
size_t ls_dtype_size(ls_dtype dtype);

/* Local. "uint8", "float32" ... as h5py and NumPy call them. */
const char *ls_dtype_name(ls_dtype dtype);

/* Local. Elements of a row (the product of dims[1..]), checked; false on overflow. 1 for n_dims <= 1. */
bool ls_array_row_size(const ls_array *array, size_t *elements);

/* Local. "(60000, 28, 28) uint8", for messages, into `text` of `size` bytes; returns `text`. */
const char *ls_array_describe(const ls_array *array, char *text, size_t size);

/* Local. The HDF5 library's version, "HDF5 1.10.8", into `text` of `size` bytes; returns `text`. */
const char *ls_store_library(char *text, size_t size);

/* Local. Whether several threads may call this room at a time, each on files of its own: HDF5 can be built
 * without that. */
bool ls_store_is_thread_safe(void);

/* ------------------------------------------------------------------ digests */

typedef struct ls_digest {
  uint64_t low, high;
} ls_digest;

/* Local. The XXH3-128 digest of a block. */
ls_digest ls_digest_of(const void *data, size_t bytes);
bool ls_digest_equal(ls_digest a, ls_digest b);

/* ------------------------------------------------------------------ reading */

typedef struct ls_store ls_store; /* a file open for reading */

/* Local. Opens any HDF5 file, sealed or not (a seal is not verified). LS_ERR_DATA with the reason where it
 * is missing, is a folder or a pipe, can't be read or is not HDF5. Files are not locked. */
ls_status ls_store_open(const char *path, ls_store **out);

/* Local. Opens a sealed file (a model or checkpoint) after its seal has been verified: magic word, length,
 * zero padding, and the digest of all that follows the 512-byte user block. LS_ERR_MODEL with the reason
 * (missing, too short, no seal, truncated, damaged); LS_ERR_DATA where it can't be opened or read, and so
 * may be whole. */
ls_status ls_store_open_sealed(const char *path, ls_store **out);

/* Local. Whether the file begins with the seal's magic word. False too where it can't be read. */
bool ls_store_is_sealed(const char *path);

void ls_store_close(ls_store **store);

/* Local. The path given to open. Borrowed from the store. */
const char *ls_store_path(const ls_store *store);

typedef enum ls_store_kind { LS_STORE_NONE, LS_STORE_GROUP, LS_STORE_ARRAY, LS_STORE_OTHER } ls_store_kind;

/* Local. What stands at `path` ("/train/x"). Only hard links are followed: a soft or external link
 * anywhere on the way is LS_STORE_OTHER. */
ls_store_kind ls_store_kind_of(const ls_store *store, const char *path);

/* Local. The names in a group in order of name, at most 10,000 of them (more is an error), to be freed as
 * one block with free(). */
ls_status ls_store_list(const ls_store *store, const char *group, char ***names, size_t *count);

/* Local. Checks an array before reading and describes it. LS_ERR_DATA, naming file, path and reason: not
 * an array; external or virtual storage; a filter other than shuffle, deflate and fletcher32, each once; a
 * type that no ls_dtype holds (odd sizes, half precision and HDF5's enumerations, h5py's bool, are read as
 * the next larger one; big-endian as native); more than LS_MAX_DIMS dimensions; sizes that overflow; dims
 * that ask for far more bytes than the file stores (nothing stored, or an expansion beyond 1100 : 1, the
 * most deflate can give); chunks that hold less than their shape. */
ls_status ls_store_describe(const ls_store *store, const char *path, ls_array *out);

/* Local. Reads rows first .. first + count - 1, in the stored type and native byte order, into `buffer` of
 * count * row_size elements. Scalars are one row. LS_ERR_DATA where HDF5 can't read them (a damaged
 * chunk) or they are out of range. */
ls_status ls_store_read_rows(const ls_store *store, const char *path, uint64_t first, size_t count,
                             void *buffer);

/* Local. How many rows of an array that was described lie in the same chunks, so that reading them together
 * inflates each chunk once; 1 where it is not chunked. */
size_t ls_store_chunk_rows(const ls_store *store, const char *path);

/* Local. Attributes of the object at `path` ("/" for the root). A read of one that is absent or of
 * another type fails with LS_ERR_DATA. Whole numbers are read as u64, real ones as double; a text is
 * fixed- or variable-length UTF-8 of at most 1 MiB; a list of texts is 1-D, at most 100,000 and 64 MiB in
 * all, freed as one block. */
bool ls_store_has_attribute(const ls_store *store, const char *path, const char *name);
ls_status ls_store_read_u64(const ls_store *store, const char *path, const char *name, uint64_t *out);
ls_status ls_store_read_double(const ls_store *store, const char *path, const char *name, double *out);
ls_status ls_store_read_text(const ls_store *store, const char *path, const char *name, char **out);
ls_status ls_store_read_texts(const ls_store *store, const char *path, const char *name, char ***out,
                              size_t *count);

/* ------------------------------------------------------------------ writing */

typedef struct ls_store_writer ls_store_writer; /* a file being written */

/* Local. Begins a file that will be called `path`, as `<path>.tmp-<pid>` beside it. Only a file is ever
 * replaced: a folder or device of that name is an error. `sealed`: HDF5 V110 bounds behind the 512-byte
 * user block with the seal (see ls_store_open_sealed); arrays are chunked with fletcher32. Otherwise a
 * plain file: arrays are chunked along samples in about 1 MiB, shuffle + deflate. Equal content gives equal
 * bytes. LS_ERR_OUTPUT, naming the path and the reason, for this and all functions below; after a failure
 * only ls_store_discard may follow. */
ls_status ls_store_create(const char *path, bool sealed, ls_store_writer **out);

/* Local. Makes a group and those above it. */
ls_status ls_store_write_group(ls_store_writer *writer, const char *path);

/* Local. Declares an array of which rows are appended later (dims[0] is then the most it can hold, 0: no
 * limit) and makes the groups above it. */
ls_status ls_store_begin_array(ls_store_writer *writer, const char *path, const ls_array *array);

/* Local. Appends `count` rows in the array's type. */
ls_status ls_store_append(ls_store_writer *writer, const char *path, size_t count, const void *rows);

/* Local. Writes an array whole (begin + append). Scalars have n_dims 0. */
ls_status ls_store_write_array(ls_store_writer *writer, const char *path, const ls_array *array,
                               const void *data);

/* Local. Attributes of the object at `path`, which must exist. */
ls_status ls_store_write_u64(ls_store_writer *writer, const char *path, const char *name, uint64_t value);
ls_status ls_store_write_double(ls_store_writer *writer, const char *path, const char *name, double value);
ls_status ls_store_write_text(ls_store_writer *writer, const char *path, const char *name,
                              const char *text);
ls_status ls_store_write_texts(ls_store_writer *writer, const char *path, const char *name,
                               const char *const *texts, size_t count);

/* Local. Ends the file: closes it, reads every array back and compares its digest with what was written,
 * writes the seal, syncs, renames it to its name (replacing an older file of that name) and syncs the
 * folder. On failure the temporary file is removed and the older file is as it was. The writer is freed and
 * set to NULL in both cases. */
ls_status ls_store_publish(ls_store_writer **writer);

/* Local. Gives a published file a second name, which replaces an older file of that name whole or not at
 * all, and syncs the folder. False where that can't be, as on file systems without hard links: the content
 * must then be written again. */
bool ls_store_link(const char *from, const char *to);

/* Local. The name that a file is written under before it gets its own, `<path>.tmp-<pid>`: a new text, NULL
 * where memory is short. */
char *ls_store_temporary(const char *path);

/* Local. Removes what writers that were killed left in a folder: the temporary files of names with one of n
 * endings. One that can't be removed stays. */
void ls_store_remove_temporaries(const char *folder, const char *const endings[], size_t n);

/* Local. Syncs the folder that holds a new file or folder, so that the name outlives a power cut. Some file
 * systems can't, which is no failure. LS_ERR_OUTPUT. */
ls_status ls_store_sync_name(const char *path);

/* Local. Gives up: removes the temporary file, frees the writer, sets it to NULL. */
void ls_store_discard(ls_store_writer **writer);

/* --------------------------------------------------------------------- text */

/* A small text file, written whole or not at all: ls_text_begin, writing to the stream, ls_text_end. */
typedef struct ls_text_file {
  const char *path; /* borrowed */
  char *temporary;  /* owned */
  FILE *stream;
} ls_text_file;

/* Local. Begins a file that will be called `path`. LS_ERR_OUTPUT. */
ls_status ls_text_begin(ls_text_file *file, const char *path);

/* Local. Publishes the file if `status` is LS_OK, else removes it. To be called after a failure of
 * ls_text_begin too; returns `status` or the failure of its own. */
ls_status ls_text_end(ls_text_file *file, ls_status status);

#endif
