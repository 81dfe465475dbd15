/* export: models in formats of other programs, and weights of other programs for a model. All functions are
 * local. */
#ifndef LOCKSTEP_EXPORT_H
#define LOCKSTEP_EXPORT_H

#include "lockstep/base.h"
#include "lockstep/math.h"
#include "lockstep/model.h"
#include "lockstep/modelfile.h"

/* A trained model. All borrowed. */
typedef struct ls_export_source {
  const ls_modelfile *saved; /* its file: the config, the names of classes and features */
  const ls_model *model;     /* with the weights */
  const ls_normalizer *normalizer;
  bool is_channels_first; /* the layout of the data: data.layout */
} ls_export_source;

/* Publishes the model as ONNX (opset 13, IR version 7): src/export/README.md describes the graph.
 * LS_ERR_OUTPUT, also if the file would exceed 2 GiB, the limit of Protocol Buffers; LS_ERR_INTERNAL. */
ls_status ls_export_onnx(const ls_export_source *source, const char *path);

/* Publishes parameters and state as a safetensors file in PyTorch's layout: src/export/README.md has the
 * format. LS_ERR_MODEL if PyTorch's layout cannot express the model, LS_ERR_OUTPUT. */
ls_status ls_export_safetensors(const ls_export_source *source, const char *path);

/* Weights for a model in a safetensors file, which is open for reading. */
typedef struct ls_tensors ls_tensors;

/* Opens a file and checks its header. `map`: the path of a YAML file with a line `path of a block: name of
 * a tensor` for each block to read; NULL: blocks have the names of ls_export_safetensors. The model is
 * borrowed; is_channels_first: the layout of its data. LS_ERR_MODEL if the file is missing or damaged;
 * LS_ERR_CONFIG with all errors of the map. */
ls_status ls_tensors_open(const char *path, const char *map, const ls_model *model, bool is_channels_first,
                          ls_tensors **out);
void ls_tensors_close(ls_tensors **tensors);

/* Reads a block of the model's parameters or state in its layout into `values`, as float32, if the file has
 * it in that shape and order. `why`, of `size` bytes, is then ""; otherwise it gives the reason.
 * LS_ERR_MODEL if the values cannot be read, have a type other than BF16, F16, F32 and F64, or are not
 * finite as float32. */
ls_status ls_tensors_read_block(ls_tensors *tensors, const ls_segment *segment, float *values, char *why,
                                size_t size);

/* The number of tensors; the name of tensor `index` if no block was read from it, else NULL. */
size_t ls_tensors_count(const ls_tensors *tensors);
const char *ls_tensors_unused(const ls_tensors *tensors, size_t index);

/* The data for which a model was trained, by the metadata of ls_export_safetensors. */
typedef struct ls_tensors_origin {
  ls_shape input; /* of a sample; no dims: a file of another program, in which all of this is unknown */
  size_t n_inputs;
  char **classes, **features; /* names, owned; NULL: none */
  size_t n_classes, n_features;
  ls_normalizer *normalizer; /* owned; NULL if n_inputs is not that of the model */
} ls_tensors_origin;

/* Reads the metadata. The caller frees them, after a failure too. LS_ERR_MODEL if they are damaged. */
ls_status ls_tensors_read_origin(const ls_tensors *tensors, ls_tensors_origin *out);
void ls_tensors_origin_free(ls_tensors_origin *origin);

#endif
