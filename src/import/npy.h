/* import: arrays in NumPy's format. All functions are local. */
#ifndef LOCKSTEP_IMPORT_NPY_H
#define LOCKSTEP_IMPORT_NPY_H

#include "internal.h"

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

/* An array: an .npy file, or a member of an .npz file. */
typedef struct npy {
  char *path;        /* for messages: FILE or FILE:MEMBER; owned */
  char *name;        /* of the array; owned */
  source in;         /* of an .npy file */
  void *member;      /* of an .npz file: a zip_file_t, owned */
  void *archive;     /* of the member: a zip_t, borrowed */
  uint64_t index;    /* of the member in the archive */
  uint64_t limit;    /* bytes, at most */
  npy_header header; /* set by import_npy_open */
  size_t row;        /* elements of a row */
  char *whole;       /* all elements, if is_fortran; owned */
  size_t *places;    /* (row): the places of a row's elements, in rows of N elements; owned */
} npy;

/* Reads the header of an array, whose path, limit, and in or member are set. LS_ERR_DATA. */
ls_status import_npy_open(npy *a);

/* Reads the next `rows` rows, of which the first is row `first`, in C order and native byte order.
 * LS_ERR_DATA if they are truncated, or a number is not finite or exceeds float32. */
ls_status import_npy_read(npy *a, uint64_t first, size_t rows, void *out);

/* Call after the last row. LS_ERR_DATA if more bytes follow, or a checksum is wrong. */
ls_status import_npy_end(npy *a);

/* Returns to the first row. */
ls_status import_npy_rewind(npy *a);

void import_npy_close(npy *a);

/* The arrays of the sources. */
typedef struct npy_list {
  npy *arrays;
  size_t n, capacity;
  void *archive; /* a zip_t; NULL: .npy files */
} npy_list;

/* Opens .npy files, or an .npz file alone. import_npy_list_destroy is needed after a failure too.
 * LS_ERR_DATA; LS_ERR_CONFIG for other combinations. */
ls_status import_npy_list(const char *const *sources, size_t n, npy_list *list);
void import_npy_list_destroy(npy_list *list);

/* Whether a name has this ending, in any case. */
bool import_npy_ends_with(const char *text, const char *ending);

#endif
