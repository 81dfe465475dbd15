/* import: arrays in NumPy's format. All functions are local. */
#ifndef LOCKSTEP_IMPORT_NPY_H
#define LOCKSTEP_IMPORT_NPY_H

#include "internal.h"

typedef struct band band;

/* What the header of an array states. */
typedef struct npy_header {
  ls_array array;  /* float16 becomes LS_F32, bool LS_U8 */
  size_t size;     /* bytes of a stored element */
  bool is_swapped; /* stored elements have the other byte order */
  bool is_half;    /* float16 */
  bool is_fortran; /* the first index changes fastest */
} npy_header;

/* Parses the text of a header, a Python dictionary. `path` is for messages. LS_ERR_DATA if it is malformed,
 * or the type or shape is not supported. */
ls_status import_npy_parse(const char *path, const char *text, npy_header *h);

/* An array: an .npy file, or a member of an .npz file. It is open from import_npy_start to import_npy_stop.
 */
typedef struct npy {
  char *path;          /* for messages: FILE or FILE:MEMBER; owned */
  char *name;          /* of the array; owned */
  char *file;          /* owned */
  const char *scratch; /* a path beside which temporary files may be; borrowed */
  bool is_member;      /* of an archive, with this index */
  uint64_t index;
  uint64_t limit;    /* bytes, at most */
  npy_header header; /* set by the first import_npy_start */
  bool is_known;     /* it is set */
  size_t row;        /* elements of a row */
  source in;         /* of an .npy file */
  void *archive;     /* of a member: a zip_t, owned, and a zip_file_t, owned */
  void *member;
  band *band; /* of an array in Fortran order; owned */
} npy;

/* Opens an array, whose path, file, limit and index are set, or returns to its first row. LS_ERR_DATA. */
ls_status import_npy_start(npy *a);
void import_npy_stop(npy *a);

/* Reads the next `rows` rows, of which the first is row `first`, in C order and native byte order.
 * LS_ERR_DATA if they are truncated, or a number is not finite or exceeds float32. */
ls_status import_npy_read(npy *a, uint64_t first, size_t rows, void *out);

/* Call after the last row. LS_ERR_DATA if more bytes follow, or a checksum is wrong. */
ls_status import_npy_end(npy *a);

void import_npy_destroy(npy *a);

/* Open the bytes of an array, including the header, and set its limit; read `bytes` of them, or fewer at
 * the end; close them. */
ls_status import_npy_open_bytes(npy *a);
void import_npy_close_bytes(npy *a);
ls_status import_npy_bytes(npy *a, void *buffer, size_t bytes, size_t *got);

/* Prepares an array in Fortran order, whose header was just read, for import_band_read, which stores
 * elements of the next rows as they are in the file, in C order. Memory is bounded; compressed elements go
 * to a temporary file. LS_ERR_DATA, LS_ERR_OUTPUT. */
ls_status import_band_create(npy *a);
ls_status import_band_read(npy *a, uint64_t first, size_t rows, void *out);
void import_band_destroy(band **b);

/* The arrays of the sources. */
typedef struct npy_list {
  npy *arrays;
  size_t n, capacity;
} npy_list;

/* Lists the arrays of .npy and .npz files, in the order of the sources, and reads their headers.
 * import_npy_list_destroy is needed after a failure too. scratch: see npy; borrowed. LS_ERR_DATA. */
ls_status import_npy_list(const char *const *sources, size_t n, const char *scratch, npy_list *list);
void import_npy_list_destroy(npy_list *list);

/* Reports that an archive cannot be opened, by the error code of libzip. LS_ERR_DATA. */
ls_status import_npz_fail(const char *path, int code);

/* Whether a name has this ending, in any case. */
bool import_npy_ends_with(const char *text, const char *ending);

#endif
