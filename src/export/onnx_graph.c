/* Nodes and constants of the graph, as messages of onnx.proto. The numbers are those of its fields. */
#include "onnx_graph.h"

#include <stdlib.h>
#include <string.h>

enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F = 2, ATTRIBUTE_I = 3, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_INTS = 7 }; /* AttributeProto.AttributeType */
enum { TENSOR_DIMS = 1, TENSOR_DATA_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW_DATA = 9 };

/* -------------------------------------------------------------------- nodes */

void export_onnx_begin(onnx_graph *g, const char *op, const onnx_value *x) {
  snprintf(g->name, sizeof g->name, "%s/%s_%zu", g->path, op, g->n_nodes++);
  ls_protobuf_text(&g->node, NODE_OP_TYPE, op);
  export_onnx_input(g, x);
}

void export_onnx_input(onnx_graph *g, const onnx_value *value) {
  ls_protobuf_text(&g->node, NODE_INPUT, value->name);
}

void export_onnx_end_as(onnx_graph *g, const char *name, onnx_value *out) {
  ls_protobuf_text(&g->node, NODE_OUTPUT, name);
  ls_protobuf_text(&g->node, NODE_NAME, g->name);
  ls_protobuf_bytes(&g->model, GRAPH_NODE, g->node.bytes, g->node.size);
  ls_protobuf_clear(&g->node);
  snprintf(out->name, sizeof out->name, "%s", name);
}

void export_onnx_end(onnx_graph *g, onnx_value *out) {
  export_onnx_end_as(g, g->name, out);
}

void export_onnx_apply(onnx_graph *g, const char *op, onnx_value *x) {
  export_onnx_begin(g, op, x);
  export_onnx_end(g, x);
}

void export_onnx_cast(onnx_graph *g, onnx_type type, onnx_value *x) {
  export_onnx_begin(g, "Cast", x);
  export_onnx_int(g, "to", type);
  export_onnx_end(g, x);
}

/* --------------------------------------------------------------- attributes */

static size_t begin_attribute(onnx_graph *g, const char *name, uint64_t type) {
  const size_t begin = ls_protobuf_begin(&g->node, NODE_ATTRIBUTE);
  ls_protobuf_text(&g->node, ATTRIBUTE_NAME, name);
  ls_protobuf_varint(&g->node, ATTRIBUTE_TYPE, type);
  return begin;
}

void export_onnx_int(onnx_graph *g, const char *name, int64_t value) {
  const size_t begin = begin_attribute(g, name, TYPE_INT);
  ls_protobuf_varint(&g->node, ATTRIBUTE_I, (uint64_t)value);
  ls_protobuf_end(&g->node, begin);
}

void export_onnx_float(onnx_graph *g, const char *name, double value) {
  const size_t begin = begin_attribute(g, name, TYPE_FLOAT);
  ls_protobuf_float(&g->node, ATTRIBUTE_F, (float)value);
  ls_protobuf_end(&g->node, begin);
}

void export_onnx_ints(onnx_graph *g, const char *name, size_t n, const int64_t *values) {
  const size_t begin = begin_attribute(g, name, TYPE_INTS);
  for (size_t i = 0; i < n; i++) ls_protobuf_varint(&g->node, ATTRIBUTE_INTS, (uint64_t)values[i]);
  ls_protobuf_end(&g->node, begin);
}

/* ---------------------------------------------------------------- constants */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "raw_data of ONNX has the lowest byte first: swap the bytes of the constants here"
#endif

/* Adds the constant to the graph, and its name to the inputs of the node. */
static void add_constant(onnx_graph *g, const char *name, const onnx_tensor *t) {
  const size_t begin = ls_protobuf_begin(&g->model, GRAPH_INITIALIZER);
  for (size_t i = 0; i < t->n_dims; i++) ls_protobuf_varint(&g->model, TENSOR_DIMS, t->dims[i]);
  ls_protobuf_varint(&g->model, TENSOR_DATA_TYPE, t->type);
  ls_protobuf_text(&g->model, TENSOR_NAME, name);
  ls_protobuf_bytes(&g->model, TENSOR_RAW_DATA, t->values, t->bytes);
  ls_protobuf_end(&g->model, begin);
  ls_protobuf_text(&g->node, NODE_INPUT, name);
}

void export_onnx_input_tensor(onnx_graph *g, const onnx_tensor *tensor) {
  char name[ONNX_NAME_SIZE];
  snprintf(name, sizeof name, "%s/%s", g->path, tensor->name);
  add_constant(g, name, tensor);
}

void export_onnx_input_floats(onnx_graph *g, const char *name, size_t n_dims, const size_t *dims,
                              const float *values) {
  onnx_tensor tensor = {.name = name, .type = ONNX_FLOAT, .n_dims = n_dims, .values = values};
  LS_ASSERT(n_dims <= ONNX_DIMS_MAX);
  tensor.bytes = sizeof *values;
  for (size_t i = 0; i < n_dims; i++) {
    tensor.dims[i] = dims[i];
    tensor.bytes *= dims[i];
  }
  export_onnx_input_tensor(g, &tensor);
}

void export_onnx_input_scalar(onnx_graph *g, double value) {
  char name[ONNX_NAME_SIZE];
  const float single = (float)value;
  snprintf(name, sizeof name, "%.*s_value", ONNX_NAME_SIZE - 8, g->name);
  add_constant(g, name, &(onnx_tensor){.type = ONNX_FLOAT, .values = &single, .bytes = sizeof single});
}

void export_onnx_input_indices(onnx_graph *g, size_t n, const int64_t *values) {
  char name[ONNX_NAME_SIZE];
  snprintf(name, sizeof name, "%.*s_indices", ONNX_NAME_SIZE - 10, g->name);
  add_constant(
      g, name,
      &(onnx_tensor){
          .type = ONNX_INT64, .n_dims = 1, .dims = {n}, .values = values, .bytes = n * sizeof *values});
}

void export_onnx_input_channels_first(onnx_graph *g, const char *name, size_t n_dims, const size_t *dims,
                                      size_t positions, size_t channels, const float *values) {
  const size_t rows = dims[0];
  const size_t n = positions * channels;
  const bool moves = positions > 1 && channels > 1;
  float *const moved = moves ? ls_calloc(rows * n, sizeof *moved) : NULL;
  if (moves && !moved) g->failed = true;
  for (size_t r = 0; moved && r < rows; r++) {
    for (size_t i = 0; i < n; i++)
      moved[r * n + i % channels * positions + i / channels] = values[r * n + i];
    ls_heartbeat_rows(r, n);
  }
  if (!moves || moved) export_onnx_input_floats(g, name, n_dims, dims, moved ? moved : values);
  free(moved);
}
