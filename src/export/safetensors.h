/* A safetensors file that is open for reading. */
#ifndef LOCKSTEP_SRC_EXPORT_SAFETENSORS_H
#define LOCKSTEP_SRC_EXPORT_SAFETENSORS_H

#include "internal.h"

#include <jansson.h>

typedef struct export_tensor {
  const char *name;    /* borrowed from the header */
  const char *dtype;   /* "F32"; borrowed */
  const json_t *shape; /* list of integers from 0; borrowed */
  uint64_t begin, end; /* bytes of its values behind the header */
} export_tensor;

typedef struct export_file {
  char *path; /* owned */
  int descriptor;
  json_t *header;      /* owned */
  uint64_t data_start; /* of the values in the file */
  size_t n;
  export_tensor *tensors; /* (n), owned; in the order of their values */
} export_file;

struct ls_tensors {
  export_file file;
  const ls_model *model; /* borrowed */
  bool has_map;
  json_t *orders;       /* owned: `map` of the metadata of our own files; NULL: none */
  export_block *blocks; /* (n_blocks), owned */
  size_t n_blocks;
  const export_tensor **sources; /* (n_blocks), owned: the tensor of a block; NULL: none */
  bool *is_used;                 /* (file.n), owned: a block was read from it */
};

/* Opens a file and checks that its header describes all bytes behind it exactly once. The caller closes it,
 * after a failure too. LS_ERR_MODEL. */
ls_status export_file_open(const char *path, export_file *out);
void export_file_close(export_file *file);

/* The tensor of a name; NULL: none. */
const export_tensor *export_file_find(const export_file *file, const char *name);

/* Whether values of this type can be read as float32. */
bool export_tensor_is_float(const export_tensor *t);

/* Whether the shape is that of the block there. */
bool export_tensor_fits(const export_tensor *t, const export_block *block);

/* Writes "(64, 3, 7, 7) F32" into `text` of `size` bytes and returns it. */
const char *export_tensor_describe(const export_tensor *t, char *text, size_t size);

/* Reads the values of a tensor that fits the block in the order of the model. LS_ERR_MODEL if reading fails
 * or a value is not finite as float32, or is a negative variance. */
ls_status export_tensor_read(const export_file *file, const export_tensor *t, const export_block *block,
                             float *values);

/* Reads tensors->orders. LS_ERR_MODEL if it is not valid JSON. */
ls_status export_origin_open(ls_tensors *tensors);

/* Whether the tensor, which fits the block, has its elements in the order that the block has there. Files
 * of other programs have the order of PyTorch. */
bool export_origin_has_order(const ls_tensors *tensors, const export_tensor *t, const export_block *block);

#endif
