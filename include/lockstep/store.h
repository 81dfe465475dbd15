/* store: safe reading and atomic writing of HDF5 files; digests.
 *
 * Reading checks layouts, filters, sizes and types before it reads any data. It opens other files only for
 * virtual datasets, and only in the same folder.
 * Writing creates a temporary file in the target's folder, reads it back and compares it, syncs it, and
 * only then renames it to the target. All functions are local. Any thread may call them, also with a store
 * that other threads use; a writer belongs to one thread at a time. */
#ifndef LOCKSTEP_STORE_H
#define LOCKSTEP_STORE_H

#include "lockstep/base.h"

/* Stored element types. LS_TEXT: strings, for the text functions only. */
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

/* Type and shape of an array; dims[0] is the number of rows (samples). A scalar has n_dims 0. */
typedef struct ls_array {
  ls_dtype dtype;
  unsigned n_dims;
  uint64_t dims[LS_MAX_DIMS];
} ls_array;

/* The values of an array in training, which data for the model should resemble. */
typedef struct ls_values {
  const char *type; /* stored type, as of ls_dtype_name; borrowed; NULL: unknown, as are the numbers */
  double low, high; /* range */
  double magnitude; /* mean of the absolute values */
} ls_values;

/* Local. Bytes of an element; 0 for LS_TEXT. */
size_t ls_dtype_size(ls_dtype dtype);

/* Local. The name in h5py and NumPy: "uint8", "float32", ... */
const char *ls_dtype_name(ls_dtype dtype);

/* Local. Elements of a row: the product of dims[1..], 1 if n_dims <= 1; false on overflow. */
bool ls_array_row_size(const ls_array *array, size_t *elements);

/* Local. "(60000, 28, 28) uint8", for messages, into `text` of `size` bytes; returns `text`. */
const char *ls_array_describe(const ls_array *array, char *text, size_t size);

/* Local. The HDF5 library's version, "HDF5 1.10.8", into `text` of `size` bytes; returns `text`. */
const char *ls_store_library(char *text, size_t size);

/* ------------------------------------------------------------------ digests */

typedef struct ls_digest {
  uint64_t low, high;
} ls_digest;

/* Local. The XXH3-128 digest of a block. */
ls_digest ls_digest_of(const void *data, size_t bytes);
bool ls_digest_equal(ls_digest a, ls_digest b);

/* Local. Whether a digest was computed: one of 0 stands for an unknown one. */
bool ls_digest_is_known(ls_digest digest);

/* ------------------------------------------------------------------ reading */

typedef struct ls_store ls_store; /* a file that is open for reading */

/* Local. For a library in a program of others: from now on, each call leaves HDF5's settings (error output,
 * plug-ins, exit handler) as it found them. Must precede all other calls. */
void ls_store_keep_settings(void);

/* Local. Opens any HDF5 file, without verifying a seal. LS_ERR_DATA if it is missing, not a regular file,
 * unreadable or not HDF5. Files are not locked. */
ls_status ls_store_open(const char *path, ls_store **out);

/* Local. Opens a sealed file (a model or checkpoint) after verifying its seal: magic word, length, zero
 * padding, and the digest of everything after the 512-byte user block. LS_ERR_MODEL if it is missing, has
 * no seal, or is truncated or damaged. LS_ERR_DATA if it may be intact: it cannot be opened or
 * read, or a newer version wrote its seal. */
ls_status ls_store_open_sealed(const char *path, ls_store **out);

/* Local. Whether the file begins with the magic word of a seal; false if it cannot be read. */
bool ls_store_is_sealed(const char *path);

void ls_store_close(ls_store **store);

/* A cache of parts of files, in a folder of this machine, which any number of processes may share. Parts
 * are verified by their digests. No failure of the cache is an error: the part is then read from its file.
 */
typedef struct ls_cache ls_cache;

typedef struct ls_cache_counts {
  uint64_t n_found, n_added, n_damaged, n_failed; /* parts; n_failed: could not be written */
  bool is_full;                                   /* this process adds no more parts */
} ls_cache_counts;

/* Local. Opens the cache of at most `bytes` bytes in a folder, which is created if it is absent.
 * LS_ERR_OUTPUT if the folder cannot be created or written. */
ls_status ls_cache_create(const char *folder, uint64_t bytes, ls_cache **out);
void ls_cache_destroy(ls_cache **cache);

/* Local, on any thread. What this process has done. */
ls_cache_counts ls_cache_count(const ls_cache *cache);

/* Local. Reads the rows of a store that was just opened through the cache, which is borrowed; not those
 * that HDF5 converts to another type. NULL: none. */
void ls_store_use_cache(ls_store *store, ls_cache *cache);

/* Local. The path that was opened. Borrowed. */
const char *ls_store_path(const ls_store *store);

/* What changes if a file is written or replaced. */
typedef struct ls_file_state {
  uint64_t bytes, inode;
  int64_t seconds, nanoseconds; /* of the last modification */
} ls_file_state;

/* Local. The state of the file when it was opened. */
ls_file_state ls_store_state(const ls_store *store);

/* Local. Whether a file has this state now. */
bool ls_store_has_state(const char *path, ls_file_state state);

/* Local. Compares the state with that of the file when it was opened first. LS_ERR_DATA if they
 * differ. (ls_store_read_rows itself compares the states before and after it reads.) */
ls_status ls_store_check_state(const ls_store *store, ls_file_state first);

typedef enum ls_store_kind { LS_STORE_NONE, LS_STORE_GROUP, LS_STORE_ARRAY, LS_STORE_OTHER } ls_store_kind;

/* Local. The kind of the object at `path` ("/train/x"). Follows hard links only: a path through a soft or
 * external link is LS_STORE_OTHER. */
ls_store_kind ls_store_kind_of(const ls_store *store, const char *path);

/* Local. Why an object is LS_STORE_OTHER, as a phrase, into `text` of `size` bytes; returns `text`. */
const char *ls_store_explain(const ls_store *store, const char *path, char *text, size_t size);

/* Local. The names in a group, sorted, in one block that the caller frees with free(). LS_ERR_DATA if there
 * are more than 10,000. */
ls_status ls_store_list(const ls_store *store, const char *group, char ***names, size_t *count);

/* Local. Checks an array before reading, and returns its type and shape. Odd sizes, half precision,
 * enumerations (h5py's bool) and bit fields of 8 bits (bool of PyTables) become the next larger type;
 * big-endian becomes native. LS_ERR_DATA if the path is not an array, or the array has: external storage; a
 * virtual layout, unless its sources are files in the same folder that give whole rows; a filter other than
 * shuffle, deflate, fletcher32, lzf and zstd, or one twice; another type; more than LS_MAX_DIMS dimensions;
 * a size that overflows; far fewer stored bytes than its shape needs (none, or fewer than the filters can
 * reach); chunks that were never written, without a fill value that the creator set; chunks smaller than
 * their shape. */
ls_status ls_store_describe(const ls_store *store, const char *path, ls_array *out);

/* Local. The names of an enumeration with the values 0, 1, ..., K - 1, in this order, in one block that the
 * caller frees. *names is NULL if the array has another type, or is h5py's bool (FALSE, TRUE), both with a
 * *count of 0, or if the values are others. */
ls_status ls_store_read_enum(const ls_store *store, const char *path, char ***names, size_t *count);

/* A part of the message if stored bytes cannot be read or decoded. */
#define LS_UNREADABLE "cannot be read"

/* Local. Reads rows first .. first + count - 1 in the stored type and native byte order into `buffer`, of
 * count * row_size elements. A scalar is one row. LS_ERR_DATA if the rows are out of range or unreadable
 * (a damaged chunk), or the file has changed since it was opened. Threads that read one store wait for each
 * other; a thread with a store of its own decodes chunks while others do. */
ls_status ls_store_read_rows(const ls_store *store, const char *path, uint64_t first, size_t count,
                             void *buffer);

/* Local. Calls `visit` with each text of rows first .. first + count - 1 of an array of text of fixed or
 * variable length, which has one text per row; a text ends with its first NUL. LS_ERR_DATA as above, or if
 * the array has another type or shape, or a text more than 1 MiB; otherwise the status of `visit`, which
 * ends the visits unless it is LS_OK and must not use the store. */
ls_status ls_store_visit_texts(const ls_store *store, const char *path, uint64_t first, size_t count,
                               ls_status (*visit)(void *context, const char *text), void *context);

/* Local. Announces that rows will be read soon, so that the system reads them from the disk meanwhile. A
 * hint: ignores failures, and does nothing where HDF5 reads the rows. */
void ls_store_read_ahead(const ls_store *store, const char *path, uint64_t first, size_t count);

/* Local. Rows per chunk of an array that ls_store_describe accepts; 1 if it is not chunked. Reading whole
 * chunks inflates each only once. */
size_t ls_store_chunk_rows(const ls_store *store, const char *path);

/* Local. Attributes of the object at `path` ("/" for the root). LS_ERR_DATA if one is absent or has another
 * type. Integers are read as u64, floating-point numbers as double. A text is UTF-8 of fixed or variable
 * length, at most 1 MiB. A list of texts is one-dimensional, with at most 1,048,576 texts and 64 MiB; the
 * caller frees it as one block. */
bool ls_store_has_attribute(const ls_store *store, const char *path, const char *name);

/* Local. Whether an attribute that exists is a list of texts; true if that is unknown, since reading it
 * reports the error. */
bool ls_store_is_text_list(const ls_store *store, const char *path, const char *name);
ls_status ls_store_read_u64(const ls_store *store, const char *path, const char *name, uint64_t *out);

/* Local. Reads an attribute of 1 to `max` u64 numbers, and their count. max: at most LS_MAX_DIMS. */
ls_status ls_store_read_u64s(const ls_store *store, const char *path, const char *name, size_t max,
                             uint64_t *out, size_t *count);
ls_status ls_store_read_double(const ls_store *store, const char *path, const char *name, double *out);
ls_status ls_store_read_text(const ls_store *store, const char *path, const char *name, char **out);
ls_status ls_store_read_texts(const ls_store *store, const char *path, const char *name, char ***out,
                              size_t *count);

/* A file of a dataset that was written to several files. */
typedef struct ls_part {
  uint64_t number;      /* from 1; 0: the array is not a part */
  uint64_t first, rows; /* in all parts */
  uint64_t total;       /* rows of all parts */
  uint64_t set;         /* key of the dataset */
  const char *file;     /* borrowed; for messages */
  bool is_match;        /* of a pattern, rather than named */
} ls_part;

/* Local. Reads the attribute of an array that ls_store_write_part has written; not the last two members.
 * LS_ERR_DATA if it is damaged. */
ls_status ls_store_read_part(const ls_store *store, const char *path, ls_part *out);

/* Local. Sorts the n parts that are read together, and looks for gaps. LS_ERR_DATA, naming the missing
 * file, if parts of a set match a pattern and the set has a gap. If all files of the set are named, a gap
 * is a warning: such a selection is deliberate. */
ls_status ls_parts_check(ls_part *parts, size_t n);

/* ------------------------------------------------------------------ writing */

typedef struct ls_store_writer ls_store_writer; /* a file that is being written */

/* Local. Creates ls_store_temporary(path), which ls_store_publish renames to `path`. Replaces regular files
 * only. `sealed`: HDF5 V110 bounds, a 512-byte user block with the seal (see ls_store_open_sealed), and
 * chunked arrays with fletcher32. Otherwise arrays have chunks of about 1 MiB along samples, with shuffle +
 * deflate. Equal contents give equal bytes. LS_ERR_OUTPUT here and in all functions below; after a failure
 * the caller may only call ls_store_discard. */
ls_status ls_store_create(const char *path, bool sealed, ls_store_writer **out);

/* Local. Creates a group and its parents. */
ls_status ls_store_write_group(ls_store_writer *writer, const char *path);

/* Local. Creates an array, to which the caller appends at most dims[0] rows (0: no limit), and its parents.
 */
ls_status ls_store_begin_array(ls_store_writer *writer, const char *path, const ls_array *array);

/* Local. Appends `count` rows of the array's type. */
ls_status ls_store_append(ls_store_writer *writer, const char *path, size_t count, const void *rows);

/* Local. Writes a whole array. */
ls_status ls_store_write_array(ls_store_writer *writer, const char *path, const ls_array *array,
                               const void *data);

/* Local. Write attributes of the object at `path`, which must exist. */
ls_status ls_store_write_u64(ls_store_writer *writer, const char *path, const char *name, uint64_t value);
ls_status ls_store_write_u64s(ls_store_writer *writer, const char *path, const char *name,
                              const uint64_t *values, size_t count);
ls_status ls_store_write_double(ls_store_writer *writer, const char *path, const char *name, double value);
ls_status ls_store_write_part(ls_store_writer *writer, const char *path, const ls_part *part);
ls_status ls_store_write_text(ls_store_writer *writer, const char *path, const char *name,
                              const char *text);
ls_status ls_store_write_texts(ls_store_writer *writer, const char *path, const char *name,
                               const char *const *texts, size_t count);

/* Local. Completes the file: closes it, reads all arrays back and compares their digests, writes the seal,
 * syncs, renames it to its final name (replacing an older file) and syncs the folder. A failure removes the
 * temporary file and leaves the older file unchanged. Destroys the writer in both cases. */
ls_status ls_store_publish(ls_store_writer **writer);

/* Local. The part of ls_store_publish before the new name: the complete file keeps its temporary name, and
 * the writer little memory and no open file. */
ls_status ls_store_complete(ls_store_writer *writer);

/* Local. Completes n files, and only then gives them their final names, which must be unused. A failure
 * leaves none of them. Destroys the writers in both cases. Signals that end the program must not arrive. */
ls_status ls_store_publish_all(ls_store_writer **writers, size_t n);

/* Local. Bytes of the file so far, without at most one chunk of each array; 0 if HDF5 does not know them.
 */
uint64_t ls_store_written_bytes(const ls_store_writer *writer);

/* Local. Publishes the file if `status`, the outcome of the caller's writes, is LS_OK; otherwise discards
 * it and returns `status`. */
ls_status ls_store_end(ls_store_writer **writer, ls_status status);

/* Local. Gives a published file a second name, replacing an older file of that name atomically, and syncs
 * the folder. False if that fails, as on file systems without hard links; the caller then writes a second
 * file. */
bool ls_store_link(const char *from, const char *to);

/* Local. Sets a check (NULL: none) that must succeed before this module gives a file its final name, adds a
 * second name to it, or removes it; otherwise the call fails with the status and the message of the check.
 * Must be called while no other thread uses this module. Borrows the context. */
typedef ls_status ls_store_check(const void *context);
void ls_store_set_guard(ls_store_check *check, const void *context);

/* Local. Calls the check of ls_store_set_guard. */
ls_status ls_store_may_change(void);

/* Local. Removes a file, which may be absent. LS_ERR_OUTPUT. */
ls_status ls_store_remove(const char *path);

/* Local. The temporary name `<path>.tmp-<pid>-<random>`, which no other process has, and which is the same
 * in all calls. The caller frees it; NULL if memory is short. */
char *ls_store_temporary(const char *path);

/* Local. Removes temporary files that killed writers left in a folder, for final names with one of n
 * endings. Ignores failures. */
void ls_store_remove_temporaries(const char *folder, const char *const endings[], size_t n);

/* Local. Removes the temporary files of `path` that killed processes of this machine left. Ignores
 * failures.
 */
void ls_store_remove_abandoned(const char *path);

/* Local. Syncs the folder of a new file or folder, so that its name survives a power failure. Succeeds if
 * the file system does not support this. LS_ERR_OUTPUT. */
ls_status ls_store_sync_name(const char *path);

/* Local. Syncs an open file, with heartbeats. path: of the file, or its final one. False, with errno, if it
 * failed. */
bool ls_store_sync_file(int descriptor, const char *path);

/* Local. Postpones the syncs of the files in a folder and of its own name, for at most `seconds`: they are
 * then as safe as the files of any program, so that a power failure may leave files of which only a digest
 * shows the damage. Borrows `folder`, until ls_store_sync_postponed. No other thread may use the folder
 * during this call. */
void ls_store_postpone_syncs(const char *folder, double seconds);

/* Local. Ends the postponement, and syncs all files in the folder, if it exists. Other threads may use the
 * folder. LS_ERR_OUTPUT. */
ls_status ls_store_sync_postponed(void);

/* Local. Removes the temporary file and destroys the writer. */
void ls_store_discard(ls_store_writer **writer);

/* -------------------------------------------------------------------- files */

/* Local. Opens a regular file for reading; the caller closes the descriptor. Fails with `status` if it is
 * missing or not a regular file, otherwise with LS_ERR_DATA. */
ls_status ls_store_open_file(const char *path, ls_status status, int *out);

/* Local. Reads up to `bytes` bytes from `offset`; fewer only at the end of the file. -1, with errno, if it
 * fails. */
ssize_t ls_store_pread(int descriptor, uint64_t offset, void *to, size_t bytes);

/* --------------------------------------------------------------------- text */

/* A small text file that is written atomically: ls_text_begin, output to `stream`, ls_text_end. */
typedef struct ls_text_file {
  const char *path; /* borrowed */
  char *temporary;  /* owned */
  FILE *stream;
} ls_text_file;

/* Local. Creates the temporary file of `path`. LS_ERR_OUTPUT. */
ls_status ls_text_begin(ls_text_file *file, const char *path);

/* Local. Publishes the file if `status` is LS_OK, otherwise removes it. Must also follow a failed
 * ls_text_begin. Returns `status` if that is a failure. LS_ERR_OUTPUT. */
ls_status ls_text_end(ls_text_file *file, ls_status status);

#endif
