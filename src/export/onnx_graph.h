/* The graph of an ONNX file under construction, and the values that flow through it. Shared by onnx*.c. All
 * functions are local. A failure (memory is short) is kept in the graph; later calls do nothing. */
#ifndef LOCKSTEP_EXPORT_ONNX_GRAPH_H
#define LOCKSTEP_EXPORT_ONNX_GRAPH_H

#include "lockstep/base.h"
#include "lockstep/layer.h"
#include "lockstep/math.h"

/* TensorProto.DataType of ONNX. */
typedef enum onnx_type {
  ONNX_FLOAT = 1,
  ONNX_UINT8 = 2,
  ONNX_INT8 = 3,
  ONNX_UINT16 = 4,
  ONNX_INT16 = 5,
  ONNX_INT32 = 6,
  ONNX_INT64 = 7,
  ONNX_DOUBLE = 11,
  ONNX_UINT32 = 12,
  ONNX_UINT64 = 13
} onnx_type;

#define ONNX_DIMS_MAX  (LS_SHAPE_MAX + 1)
#define ONNX_PATH_SIZE 160 /* a path of a leaf and what is added to it */
#define ONNX_NAME_SIZE 224

typedef struct onnx_graph {
  ls_protobuf model;         /* a ModelProto whose graph is open */
  ls_protobuf node;          /* the NodeProto under construction */
  char name[ONNX_NAME_SIZE]; /* of this node and its output */
  char path[ONNX_PATH_SIZE]; /* of the current layer, the prefix of names */
  size_t n_nodes;
  bool failed; /* memory for a copy of a constant is short */
} onnx_graph;

/* The output of a node: a batch of samples. */
typedef struct onnx_value {
  char name[ONNX_NAME_SIZE];
  ls_shape shape; /* of a sample, channels last, as in the model */
  bool is_first;  /* the graph has the channels first, (N, C, ...); only for two or more dims */
  bool is_flat;   /* the model has one dim of features, but the graph still has `shape` */
} onnx_value;

/* A constant. */
typedef struct onnx_tensor {
  const char *name;
  onnx_type type;
  size_t n_dims;
  size_t dims[ONNX_DIMS_MAX];
  const void *values; /* borrowed */
  size_t bytes;
} onnx_tensor;

/* -------------------------------------------------------------------- nodes */

/* Begin a node with an operator of ONNX and its first input. The calls up to export_onnx_end add further
 * inputs and the attributes. */
void export_onnx_begin(onnx_graph *g, const char *op, const onnx_value *x);

/* Further inputs:
 *   input    another value
 *   tensor   a constant, named after the layer and `tensor->name`
 *   floats   the same, of float32
 *   scalar   a float32, named after the node
 *   indices  int64 numbers, named after the node */
void export_onnx_input(onnx_graph *g, const onnx_value *value);
void export_onnx_input_tensor(onnx_graph *g, const onnx_tensor *tensor);
void export_onnx_input_floats(onnx_graph *g, const char *name, size_t n_dims, const size_t *dims,
                              const float *values);
void export_onnx_input_scalar(onnx_graph *g, double value);
void export_onnx_input_indices(onnx_graph *g, size_t n, const int64_t *values);

/* The same as export_onnx_input_floats for dims[0] rows of (positions, channels), stored as (channels,
 * positions).
 */
void export_onnx_input_channels_first(onnx_graph *g, const char *name, size_t n_dims, const size_t *dims,
                                      size_t positions, size_t channels, const float *values);

/* Attributes. */
void export_onnx_int(onnx_graph *g, const char *name, int64_t value);
void export_onnx_float(onnx_graph *g, const char *name, double value);
void export_onnx_ints(onnx_graph *g, const char *name, size_t n, const int64_t *values);

/* Ends the node. `out` becomes its output; its shape and layout stay. */
void export_onnx_end(onnx_graph *g, onnx_value *out);

/* The same with a name for the output. */
void export_onnx_end_as(onnx_graph *g, const char *name, onnx_value *out);

/* A node with one input and nothing else: x = op(x). */
void export_onnx_apply(onnx_graph *g, const char *op, onnx_value *x);

/* x = Cast(x) */
void export_onnx_cast(onnx_graph *g, onnx_type type, onnx_value *x);

/* ------------------------------------------------------------------- layout */

/* Give a value the shape (channels last) or the layout that a node needs, by a Transpose or Reshape if the
 * graph does not have it already.
 *   reshape   the shape, of equal size, in any layout
 *   settle    the shape of the model: only changes a value with is_flat
 *   to_first  channels first; two or more dims
 *   to_last   channels last */
void export_onnx_reshape(onnx_graph *g, const ls_shape *shape, onnx_value *x);
void export_onnx_settle(onnx_graph *g, onnx_value *x);
void export_onnx_to_first(onnx_graph *g, onnx_value *x);
void export_onnx_to_last(onnx_graph *g, onnx_value *x);

/* Reshapes to the dims of a batch as they are in the graph: (N, dims...). Does not change the shape. */
void export_onnx_set_dims(onnx_graph *g, const ls_shape *dims, onnx_value *x);

/* The dims of a sample in the graph, and the dim of the batch that holds the channels. */
ls_shape export_onnx_dims_of(const onnx_value *x);
int64_t export_onnx_channel_axis(const onnx_value *x);

/* The shape of a constant with a number for each channel, which is combined with `x`: (C) or (C, 1, ...).
 */
ls_shape export_onnx_channel_shape(const onnx_value *x);

/* The number of elements of a shape, which the model has checked. */
static inline size_t export_onnx_count(const ls_shape *shape) {
  size_t n = 1;
  for (size_t i = 0; i < shape->n_dims; i++) n *= shape->dims[i];
  return n;
}

/* ------------------------------------------------------------------- layers */

/* Adds a layer and its inner layers. g->path is the path of the layer. LS_ERR_INTERNAL if its type has no
 * exporter. */
ls_status export_onnx_add_layer(onnx_graph *g, const ls_layer *layer, onnx_value *x);

/* Adds an activation over the last dim. */
void export_onnx_add_activation(onnx_graph *g, ls_activation f, double alpha, onnx_value *x);

/* Whether a layer type is exported. */
bool export_onnx_has_layer(const char *type);

/* ------------------------------------------------------------------- values */

/* x' = (x - offset) factor, as float32. casts: x is not float32; is_wide: and needs double. */
void export_onnx_normalize(onnx_graph *g, const ls_normalizer *normalizer, bool casts, bool is_wide,
                           onnx_value *x);

/* y = y' / factor + offset, in double. */
void export_onnx_restore_targets(onnx_graph *g, const ls_normalizer *targets, onnx_value *x);

/* A JSON array of texts, to be freed by the caller; NULL if memory is short. */
char *export_onnx_json_list(char *const *names, size_t n);

/* -------------------------------------------------------------------- files */

/* LS_ERR_OUTPUT if a file of `bytes` bytes is larger than the limit of Protocol Buffers. */
ls_status export_onnx_check_size(const char *path, uint64_t bytes);

/* The bytes of the constants of a model: parameters, state, and two numbers for each input. */
uint64_t export_onnx_constant_bytes(uint64_t n_params, uint64_t n_state, uint64_t n_inputs);

#endif
