/* An ONNX file: the input with its type and normalisation, the layers, the outputs that `predict` writes,
 * and the names. The numbers are those of the fields of onnx.proto. */
#include "lockstep/export.h"

#include "onnx_graph.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IR_VERSION 7
#define OPSET      13

enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER_NAME = 2, MODEL_PRODUCER_VERSION = 3 };
enum { MODEL_GRAPH = 7, MODEL_OPSET_IMPORT = 8, MODEL_METADATA_PROPS = 14 };
enum { OPSET_VERSION = 2 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum { GRAPH_NAME = 2, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { INFO_NAME = 1, INFO_TYPE = 2 };
enum { TYPE_TENSOR = 1, TENSOR_ELEM_TYPE = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2 };

/* ------------------------------------------------------- inputs and outputs */

/* Declares an input or output of the graph, with the dims (N, dims...). */
static void add_info(onnx_graph *g, uint32_t field, const char *name, onnx_type type,
                     const ls_shape *dims) {
  ls_protobuf *const m = &g->model;
  const size_t info = ls_protobuf_begin(m, field);
  ls_protobuf_text(m, INFO_NAME, name);
  const size_t any = ls_protobuf_begin(m, INFO_TYPE);
  const size_t tensor = ls_protobuf_begin(m, TYPE_TENSOR);
  ls_protobuf_varint(m, TENSOR_ELEM_TYPE, type);
  const size_t shape = ls_protobuf_begin(m, TENSOR_SHAPE);
  const size_t batch = ls_protobuf_begin(m, SHAPE_DIM);
  ls_protobuf_text(m, DIM_PARAM, "N");
  ls_protobuf_end(m, batch);
  for (size_t i = 0; i < dims->n_dims; i++) {
    const size_t dim = ls_protobuf_begin(m, SHAPE_DIM);
    ls_protobuf_varint(m, DIM_VALUE, dims->dims[i]);
    ls_protobuf_end(m, dim);
  }
  ls_protobuf_end(m, shape);
  ls_protobuf_end(m, tensor);
  ls_protobuf_end(m, any);
  ls_protobuf_end(m, info);
}

/* Whether float32 loses digits of a feature that normalisation needs: its distance from 0 is large,
 * compared with its spread. */
static bool needs_double(const ls_normalizer *normalizer) {
  for (size_t j = 0; j < normalizer->n_features; j++)
    if (fabs(normalizer->offset[j] * normalizer->factor[j]) > 1000.0) return true;
  return false;
}

/* The type of the graph's input: integers as they are stored, float64 if it is needed, otherwise float32.
 */
static onnx_type input_type(const char *stored, const ls_normalizer *normalizer) {
  static const struct {
    const char *name;
    onnx_type type;
  } types[] = {{"uint8", ONNX_UINT8},   {"int8", ONNX_INT8},     {"uint16", ONNX_UINT16},
               {"int16", ONNX_INT16},   {"uint32", ONNX_UINT32}, {"int32", ONNX_INT32},
               {"uint64", ONNX_UINT64}, {"int64", ONNX_INT64}};
  for (size_t i = 0; stored && i < sizeof types / sizeof *types; i++)
    if (strcmp(stored, types[i].name) == 0) return types[i].type;
  const bool is_double = stored && strcmp(stored, "float64") == 0 && needs_double(normalizer);
  return is_double ? ONNX_DOUBLE : ONNX_FLOAT;
}

/* Whether float32 does not represent all numbers of a type. */
static bool is_wide(onnx_type type) {
  return type == ONNX_UINT32 || type == ONNX_INT32 || type == ONNX_UINT64 || type == ONNX_INT64 ||
         type == ONNX_DOUBLE;
}

/* The input has the layout of the data, in which the normaliser is applied. */
static void add_input(onnx_graph *g, const ls_export_source *s, onnx_value *x) {
  const ls_shape *const in = &s->model->in;
  const size_t n_spatial = ls_model_spatial_dims(s->model);
  const bool has_channels = n_spatial > 0 ? in->n_dims == n_spatial + 1 : in->n_dims >= 3;
  const onnx_type type = input_type(s->saved->x.type, s->normalizer);
  *x = (onnx_value){.name = "x", .shape = *in, .is_first = s->is_channels_first && has_channels};
  const ls_shape dims = export_onnx_dims_of(x);
  const ls_shape stored = s->saved->stored.n_dims > 0 ? s->saved->stored : dims;
  add_info(g, GRAPH_INPUT, x->name, type, &stored);
  snprintf(g->path, sizeof g->path, "input");
  if (!ls_shape_equal(&stored, &dims)) export_onnx_set_dims(g, &dims, x);
  export_onnx_normalize(g, s->normalizer, type != ONNX_FLOAT, is_wide(type), x);
}

/* ------------------------------------------------------------------ outputs */

/* The numbers of a regression, in the units of y. */
static void add_values(onnx_graph *g, const ls_export_source *s, onnx_value *x) {
  const ls_shape shape = ls_shape_of(s->model->n_out);
  if (s->normalizer->targets) export_onnx_restore_targets(g, s->normalizer->targets, x);
  export_onnx_begin(g, "Identity", x);
  export_onnx_end_as(g, "y", x);
  add_info(g, GRAPH_OUTPUT, "y", s->normalizer->targets ? ONNX_DOUBLE : ONNX_FLOAT, &shape);
}

/* The class of the largest probability, the first of equal ones. */
static void add_largest(onnx_graph *g, onnx_value *x) {
  export_onnx_begin(g, "ArgMax", x);
  export_onnx_int(g, "axis", 1);
  export_onnx_int(g, "keepdims", 0);
  export_onnx_end_as(g, "class", x);
}

/* Of labels: 1 where the probability is above 0.5. */
static void add_labels(onnx_graph *g, bool is_binary, onnx_value *x) {
  const int64_t axis = 1;
  export_onnx_begin(g, "Greater", x);
  export_onnx_input_scalar(g, 0.5);
  export_onnx_end(g, x);
  if (is_binary) {
    export_onnx_begin(g, "Squeeze", x);
    export_onnx_input_indices(g, 1, &axis);
    export_onnx_end(g, x);
  }
  export_onnx_begin(g, "Cast", x);
  export_onnx_int(g, "to", ONNX_INT64);
  export_onnx_end_as(g, "class", x);
}

static void add_classes(onnx_graph *g, const ls_export_source *s, onnx_value *x) {
  const ls_shape shape = ls_shape_of(s->model->n_out);
  const bool has_labels = ls_loss_link(s->model->loss) == LS_SIGMOID;
  const bool is_multilabel = has_labels && s->model->n_out > 1;
  export_onnx_begin(g, "Identity", x);
  export_onnx_end_as(g, "probability", x);
  add_info(g, GRAPH_OUTPUT, "probability", ONNX_FLOAT, &shape);
  if (has_labels)
    add_labels(g, !is_multilabel, x);
  else
    add_largest(g, x);
  add_info(g, GRAPH_OUTPUT, "class", ONNX_INT64, is_multilabel ? &shape : &(ls_shape){0});
}

/* -------------------------------------------------------------------- names */

/* Adds a list of names as a JSON array. */
static void add_names(ls_protobuf *m, const char *key, char *const *names, size_t n) {
  if (!names) return;
  const size_t entry = ls_protobuf_begin(m, MODEL_METADATA_PROPS);
  ls_protobuf_text(m, ENTRY_KEY, key);
  char *const text = export_onnx_json_list(names, n);
  if (!text) m->failed = true;
  if (text) ls_protobuf_text(m, ENTRY_VALUE, text);
  free(text);
  ls_protobuf_end(m, entry);
}

/* --------------------------------------------------------------------- file */

static void add_header(ls_protobuf *m) {
  ls_protobuf_varint(m, MODEL_IR_VERSION, IR_VERSION);
  ls_protobuf_text(m, MODEL_PRODUCER_NAME, "lockstep");
  ls_protobuf_text(m, MODEL_PRODUCER_VERSION, LS_VERSION);
  const size_t opset = ls_protobuf_begin(m, MODEL_OPSET_IMPORT);
  ls_protobuf_varint(m, OPSET_VERSION, OPSET);
  ls_protobuf_end(m, opset);
}

static ls_status add_layers(onnx_graph *g, const ls_model *model, onnx_value *x) {
  for (size_t i = 0; i < model->n_layers; i++) {
    snprintf(g->path, sizeof g->path, "%zu-%s", i, model->layers[i]->type->name);
    LS_TRY(export_onnx_add_layer(g, model->layers[i], x));
  }
  return LS_OK;
}

static ls_status add_graph(onnx_graph *g, const ls_export_source *s) {
  const ls_shape features = ls_shape_of(s->model->n_out);
  onnx_value x;
  add_header(&g->model);
  const size_t begin = ls_protobuf_begin(&g->model, MODEL_GRAPH);
  ls_protobuf_text(&g->model, GRAPH_NAME, "lockstep");
  add_input(g, s, &x);
  LS_TRY(add_layers(g, s->model, &x));
  snprintf(g->path, sizeof g->path, "output");
  export_onnx_reshape(g, &features, &x);
  (ls_loss_link(s->model->loss) == LS_LINEAR ? add_values : add_classes)(g, s, &x);
  ls_protobuf_end(&g->model, begin);
  add_names(&g->model, "classes", s->saved->classes, s->saved->n_classes);
  add_names(&g->model, "features", s->saved->features, s->saved->n_features);
  if (g->failed || g->node.failed) g->model.failed = true;
  return ls_protobuf_status(&g->model, "the graph");
}

static ls_status publish(const char *path, const ls_protobuf *m) {
  ls_text_file file = {0};
  ls_status status = ls_text_begin(&file, path);
  for (size_t at = 0; status == LS_OK && at < m->size; at += LS_HEARTBEAT_BYTES) {
    const size_t bytes = ls_size_min(LS_HEARTBEAT_BYTES, m->size - at);
    if (fwrite(m->bytes + at, 1, bytes, file.stream) != bytes)
      status = ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
    ls_heartbeat();
  }
  return ls_text_end(&file, status);
}

uint64_t export_onnx_constant_bytes(uint64_t n_params, uint64_t n_state, uint64_t n_inputs) {
  return (n_params + n_state + 2 * n_inputs) * sizeof(float);
}

ls_status export_onnx_check_size(const char *path, uint64_t bytes) {
  if (bytes <= INT32_MAX) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT,
                 "%s: the file would have %.1f GB; an ONNX file is at most 2.1 GB, the limit of Protocol "
                 "Buffers; export a smaller model",
                 path, (double)bytes / 1e9);
}

ls_status ls_export_onnx(const ls_export_source *source, const char *path) {
  const ls_model *const model = source->model;
  onnx_graph g = {.n_nodes = 0};
  LS_TRY(export_onnx_check_size(path,
                                export_onnx_constant_bytes(model->n_params, model->n_state, model->n_in)));
  ls_status status = add_graph(&g, source);
  if (status == LS_OK) status = export_onnx_check_size(path, g.model.size);
  if (status == LS_OK) status = publish(path, &g.model);
  ls_protobuf_destroy(&g.model);
  ls_protobuf_destroy(&g.node);
  return status;
}
