/* model: parsing, the layout of parameters, passes; losses and gradients compared with PyTorch. */
#include "fixtures.h"
#include "layer_fixtures.h"
#include "support.h"

#include "lockstep/model.h"

/* ------------------------------------------------------------------ parsing */

static void errors_name_their_place(void **state) {
  (void)state;
  static const struct {
    const char *text;
    ls_loss loss;
    const char *message;
  } rows[] = {
      {"x: 1\n", LS_MSE, "net.yaml:1: model: ~ list of layers"},
      {"x: 1\nmodel: 7\n", LS_MSE, "net.yaml:2: model: ~ list of layers"},
      {"x: 1\nmodel: []\n", LS_MSE, "net.yaml:2: model: ~ list of layers"},
      {"model:\n  - 7\n", LS_MSE, "net.yaml:2: model.0: ~ map"},
      {"model:\n  - {units: 3}\n", LS_MSE, "net.yaml:2: model.0.layer: ~ required"},
      {"model:\n  - {layer: densse, units: 3}\n", LS_MSE, "net.yaml:2: model.0.layer: ~ densse ~ dense?"},
      {"model:\n  - layer: dense\n    unit: 3\n", LS_MSE, "net.yaml:3: model.0.unit:"},
      {"model:\n  - layer: dense\n", LS_MSE, "net.yaml:2: model.0.units:"},
      {"model:\n  - layer: dense\n    units: 0\n", LS_MSE, "net.yaml:3: model.0.units: ~ 0"},
      {"model:\n  - layer: dense\n    units: 3\n    activation: rellu\n", LS_MSE, "relu?"},
      {"model:\n  - layer: dense\n    units: 3\n    init: he\n", LS_MSE, "net.yaml:4: model.0.init:"},
      {"model:\n  - {layer: relu}\n  - {layer: dropout, rate: 1}\n", LS_MSE,
       "net.yaml:3: model.1.rate: ~ 1"},
      {"model:\n  - {layer: relu}\n  - {layer: dense, units: 3, activation: softmax}\n", LS_MSE,
       "net.yaml:3: model.1: ~ softmax ~ categorical_cross_entropy ~ mse"},
      {"model:\n  - {layer: softmax}\n", LS_MSE, "net.yaml:2: model.0: ~ softmax"},
      {"model:\n  - {layer: dense, units: 3, activation: sigmoid}\n", LS_CATEGORICAL_CROSS_ENTROPY,
       "net.yaml:2: model.0: ~ categorical_cross_entropy ~ softmax ~ sigmoid"},
      {"model:\n  - {layer: dense, units: 3}\n", LS_BINARY_CROSS_ENTROPY,
       "net.yaml:2: model.0: ~ binary_cross_entropy ~ sigmoid ~ linear"},
      {"model:\n  - {layer: softmax}\n  - {layer: dropout}\n", LS_CATEGORICAL_CROSS_ENTROPY,
       "net.yaml:3: model.1: ~ categorical_cross_entropy ~ softmax"},
      {"model:\n  - {layer: residual, layers: [{layer: softmax}]}\n", LS_CATEGORICAL_CROSS_ENTROPY,
       "net.yaml:2: model.0: ~ categorical_cross_entropy ~ softmax ~ linear"},
      {"model:\n  - {layer: residual}\n", LS_MSE, "net.yaml:2: model.0.layers: ~ required"},
      {"model:\n  - {layer: residual, layers: []}\n", LS_MSE, "net.yaml:2: model.0.layers: ~ list"},
      {"model:\n  - {layer: residual, layers: 7}\n", LS_MSE, "net.yaml:2: model.0.layers: ~ list"},
      {"model:\n  - layer: residual\n    layers:\n      - {layer: relu}\n      - layer: residual\n"
       "        layers: [{layer: dense, unit: 3}]\n",
       LS_MSE, "net.yaml:6: model.0.layers.1.layers.0.unit: ~ unknown key ~ units?"},
      {"model:\n  - {layer: residual, layers: [{layer: dens}]}\n", LS_MSE,
       "net.yaml:2: model.0.layers.0.layer: ~ dens ~ dense?"},
      {"model:\n  - {layer: batch_norm, momentum: 1.5}\n", LS_MSE, "model.0.momentum: ~ 1.5"},
      {"model:\n  - {layer: batch_norm, eps: 0}\n", LS_MSE, "model.0.eps: ~ 0"},
      {"model:\n  - {layer: dense, units: 3, activation: leaky_relu, alpha: 2}\n", LS_MSE,
       "model.0.alpha: ~ 2"},
      {"model:\n  - {layer: dense, units: 3, activation: elu, alpha: -1}\n", LS_MSE, "model.0.alpha: ~ -1"},
      {"model:\n  - {layer: dense, units: 3, init: {type: he_normal, std: 0.5}}\n", LS_MSE,
       "model.0.init.std: ~ normal ~ uniform"},
      {"model:\n  - {layer: dense, units: 3, init: {std: 0.5}}\n", LS_MSE, "model.0.init.type: ~ required"},
      {"model:\n  - {layer: dense, units: 3, init: {type: norml, std: 0.5}}\n", LS_MSE, "normal?"},
      {"model:\n  - {layer: dense, units: 3, init: {type: normal, std: -1}}\n", LS_MSE,
       "model.0.init.std: ~ -1"},
      {"model:\n  - {layer: dense, units: 3, init: [normal]}\n", LS_MSE, "model.0.init: ~ list"},
      {"model:\n  - {layer: dense, units: 3, gain: -1}\n", LS_MSE, "model.0.gain: ~ -1"},
      {"model:\n  - {layer: dense, units: 3, l1: -1}\n", LS_MSE, "model.0.l1: ~ -1"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_config *config = config_of(rows[i].text);
    ls_model *model = NULL;
    assert_int_equal(ls_model_parse(config, rows[i].loss, &model), LS_OK);
    check_error(config, rows[i].message);
    ls_model_destroy(&model);
    assert_null(model);
    ls_config_destroy(&config);
  }
}

/* Parsing collects all errors of a list, not only the first. */
static void all_errors_are_collected(void **state) {
  (void)state;
  ls_config *config =
      config_of("model:\n  - {layer: dens}\n  - {layer: dense, units: -1}\n  - {layer: dropout, rat: 1}\n");
  ls_model *model = NULL;
  assert_int_equal(ls_model_parse(config, LS_MSE, &model), LS_OK);
  check_error(config, "model.0.layer:");
  check_error(config, "model.1.units:");
  check_error(config, "model.2.rat:");
  ls_model_destroy(&model);
  ls_config_destroy(&config);
}

/* Creates a model from a list of layers, built for samples of a shape and `rows` rows. */
static ls_model *model_of_shape(const char *layers, ls_loss loss, const ls_shape *shape, size_t rows) {
  char *const text = ls_format("model: %s", layers);
  ls_config *config = config_of(text);
  ls_model *model = NULL;
  assert_int_equal(ls_model_parse(config, loss, &model), LS_OK);
  check_valid(config);
  model->max_lanes = 8;
  if (ls_model_infer_shapes(model, shape) != LS_OK) fail_msg("%s", ls_message());
  assert_int_equal(ls_model_build(model, rows), LS_OK);
  ls_config_destroy(&config);
  free(text);
  return model;
}

/* For `n_in` features. */
static ls_model *model_of(const char *layers, ls_loss loss, size_t n_in, size_t rows) {
  return model_of_shape(layers, loss, &(ls_shape){1, {n_in}}, rows);
}

static void models_too_large_are_rejected(void **state) {
  (void)state;
  static const struct {
    size_t n_in, rows;
    ls_status status;
  } rows[] = {
      {SIZE_MAX / 2, 1, LS_ERR_CONFIG}, /* elements of W */
      {SIZE_MAX / 8, 1, LS_ERR_CONFIG}, /* bytes of W */
      {2, SIZE_MAX / 4, LS_ERR_CONFIG}, /* bytes of the activations */
      {2, SIZE_MAX, LS_ERR_CONFIG},     /* elements of the activations */
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_config *config = config_of("model: [{layer: dense, units: 3}, {layer: dropout}]");
    ls_model *model = NULL;
    assert_int_equal(ls_model_parse(config, LS_MSE, &model), LS_OK);
    assert_int_equal(ls_model_infer_shapes(model, &(ls_shape){1, {rows[i].n_in}}), LS_OK);
    assert_int_equal(ls_model_build(model, rows[i].rows), rows[i].status);
    assert_true(strlen(ls_message()) > 0);
    ls_model_destroy(&model);
    ls_config_destroy(&config);
  }
}

/* ------------------------------------------------------------------- layout */

#define NET                                                                                                \
  "[{layer: dense, units: 4, activation: tanh}, {layer: dropout, rate: 0.5}, {layer: sigmoid},"            \
  " {layer: dense, units: 3, bias: false}, {layer: dense, units: 2, activation: softmax}]"

/* The last layer comes first: the order in which backward finishes the gradients. */
static void segments_begin_with_the_last_layer(void **state) {
  (void)state;
  static const ls_segment want[] = {
      {"4-dense/W", LS_SEGMENT_WEIGHT, 0, 2, {1, {3}}, 0.0, 0.0, 6.0},
      {"4-dense/b", LS_SEGMENT_BIAS, 6, 2, {0}, 0.0, 0.0, 0.0},
      {"3-dense/W", LS_SEGMENT_WEIGHT, 8, 3, {1, {4}}, 0.0, 0.0, 12.0},
      {"0-dense/W", LS_SEGMENT_WEIGHT, 20, 4, {1, {5}}, 0.0, 0.0, 20.0},
      {"0-dense/b", LS_SEGMENT_BIAS, 40, 4, {0}, 0.0, 0.0, 0.0},
  };
  ls_model *model = model_of(NET, LS_CATEGORICAL_CROSS_ENTROPY, 5, 7);
  assert_int_equal(model->n_segments, COUNT(want));
  for (size_t i = 0; i < COUNT(want); i++) {
    const ls_segment *const segment = &model->segments[i];
    assert_string_equal(segment->path, want[i].path);
    assert_int_equal(segment->kind, want[i].kind);
    assert_int_equal(segment->offset, want[i].offset);
    assert_int_equal(segment->rows, want[i].rows);
    assert_true(same_shape(&segment->row, &want[i].row));
    check_close(segment->path, segment->multiply_adds, want[i].multiply_adds, 0.0);
  }
  assert_int_equal(model->n_params, 44);
  assert_int_equal(model->n_in, 5);
  assert_int_equal(model->n_out, 2);
  ls_model_destroy(&model);
}

#define DEEP                                                                                               \
  "[{layer: dense, units: 4, l1: 0.5}, {layer: residual, layers: [{layer: batch_norm}, {layer: relu},"     \
  " {layer: residual, layers: [{layer: dense, units: 4, l2: 0}]}, {layer: dense, units: 2, bias: "         \
  "false}]},"                                                                                              \
  " {layer: dropout}]"

/* The order is the same within a residual, whose skip is its last child. Weights have their own penalties,
 * or those of the model. */
static void segments_of_nested_layers(void **state) {
  (void)state;
  static const ls_segment want[] = {
      {"1-residual/skip/W", LS_SEGMENT_WEIGHT, 0, 2, {1, {4}}, 0.125, 0.25, 8.0},
      {"1-residual/3-dense/W", LS_SEGMENT_WEIGHT, 8, 2, {1, {4}}, 0.125, 0.25, 8.0},
      {"1-residual/2-residual/0-dense/W", LS_SEGMENT_WEIGHT, 16, 4, {1, {4}}, 0.125, 0.0, 16.0},
      {"1-residual/2-residual/0-dense/b", LS_SEGMENT_BIAS, 32, 4, {0}, 0.0, 0.0, 0.0},
      {"1-residual/0-batch_norm/gamma", LS_SEGMENT_SCALE, 36, 4, {0}, 0.0, 0.0, 0.0},
      {"1-residual/0-batch_norm/beta", LS_SEGMENT_BIAS, 40, 4, {0}, 0.0, 0.0, 0.0},
      {"0-dense/W", LS_SEGMENT_WEIGHT, 44, 4, {1, {5}}, 0.5, 0.25, 20.0},
      {"0-dense/b", LS_SEGMENT_BIAS, 64, 4, {0}, 0.0, 0.0, 0.0},
  };
  static const char *const states[] = {"1-residual/0-batch_norm/running_mean",
                                       "1-residual/0-batch_norm/running_var"};
  ls_config *config = config_of("model: " DEEP);
  ls_model *model = NULL;
  assert_int_equal(ls_model_parse(config, LS_MSE, &model), LS_OK);
  check_valid(config);
  model->l1 = 0.125;
  model->l2 = 0.25;
  assert_int_equal(ls_model_infer_shapes(model, &(ls_shape){1, {5}}), LS_OK);
  assert_int_equal(ls_model_build(model, 3), LS_OK);
  assert_int_equal(model->n_segments, COUNT(want));
  assert_int_equal(model->n_params, 68);
  for (size_t i = 0; i < COUNT(want); i++) {
    const ls_segment *const segment = &model->segments[i];
    assert_string_equal(segment->path, want[i].path);
    assert_int_equal(segment->kind, want[i].kind);
    assert_int_equal(segment->offset, want[i].offset);
    assert_int_equal(segment->rows, want[i].rows);
    assert_true(same_shape(&segment->row, &want[i].row));
    check_close(segment->path, segment->multiply_adds, want[i].multiply_adds, 0.0);
    check_close(segment->path, segment->l1, want[i].l1, 0.0);
    check_close(segment->path, segment->l2, want[i].l2, 0.0);
  }
  assert_int_equal(model->n_state, 8);
  assert_int_equal(model->n_state_segments, 2);
  for (size_t i = 0; i < 2; i++) {
    assert_string_equal(model->state_segments[i].path, states[i]);
    assert_int_equal(model->state_segments[i].offset, 4 * i);
    assert_int_equal(model->state_segments[i].rows, 4);
  }
  ls_model_destroy(&model);
  ls_config_destroy(&config);
}

/* Leaves are in the order of the config, with their blocks and, after a pass, their output. */
static void leaves_have_paths_blocks_and_outputs(void **state) {
  (void)state;
  static const struct {
    const char *path;
    size_t n_segments, n_out;
  } want[] = {{"0-dense", 2, 4},
              {"1-residual/0-batch_norm", 2, 4},
              {"1-residual/1-relu", 0, 4},
              {"1-residual/2-residual/0-dense", 2, 4},
              {"1-residual/3-dense", 1, 2},
              {"1-residual/skip", 1, 2},
              {"2-dropout", 0, 2}};
  static const size_t lanes[] = {0, 3};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  ls_model *model = model_of(DEEP, LS_MSE, 5, 3);
  ls_model_initialise(model, 4);
  const float x[3 * 5] = {0};
  const float *const y = ls_model_forward(model, &pass, x);
  size_t n_segments = 0;
  assert_int_equal(model->n_leaves, COUNT(want));
  for (size_t i = 0; i < COUNT(want); i++) {
    const ls_leaf *const leaf = &model->leaves[i];
    assert_string_equal(leaf->path, want[i].path);
    assert_int_equal(leaf->layer->n_params, want[i].n_segments);
    assert_int_equal(leaf->layer->n_out, want[i].n_out);
    assert_non_null(leaf->layer->output);
    n_segments += want[i].n_segments;
    for (size_t k = 0; k < want[i].n_segments; k++) {
      const char *const path = model->segments[leaf->segment + k].path;
      assert_int_equal(strncmp(path, leaf->path, strlen(leaf->path)), 0);
      assert_int_equal(path[strlen(leaf->path)], '/');
    }
  }
  assert_int_equal(n_segments, model->n_segments);
  assert_ptr_equal(model->leaves[6].layer->output, y);
  assert_ptr_equal(model->leaves[5].layer->output, model->layers[1]->output);
  ls_model_destroy(&model);
}

/* n nested residuals around a dense layer; the caller frees the text. */
static char *nested(size_t n) {
  const size_t size = 64 * (n + 2);
  char *const text = ls_calloc(size, 1);
  assert_non_null(text);
  ls_append(text, size, "model: [");
  for (size_t i = 0; i < n; i++) ls_append(text, size, "{layer: residual, layers: [");
  ls_append(text, size, "{layer: dense, units: 2}");
  for (size_t i = 0; i < n; i++) ls_append(text, size, "]}");
  ls_append(text, size, "]");
  return text;
}

/* A path that is too long is an error; the longest that fits works. */
static void layers_nested_too_deeply_are_rejected(void **state) {
  (void)state;
  for (size_t n = 9; n < 30; n++) {
    char *const text = nested(n);
    ls_config *config = config_of(text);
    ls_model *model = NULL;
    const bool fits = n * strlen("0-residual/") + strlen("0-dense/W") < sizeof model->segments->path;
    assert_int_equal(ls_model_parse(config, LS_MSE, &model), LS_OK);
    check_valid(config);
    assert_int_equal(ls_model_infer_shapes(model, &(ls_shape){1, {2}}), LS_OK);
    assert_int_equal(ls_model_build(model, 3), fits ? LS_OK : LS_ERR_CONFIG);
    if (!fits) assert_non_null(strstr(ls_message(), "0-residual/0-residual"));
    assert_int_equal(fits, n < 11);
    ls_model_destroy(&model);
    ls_config_destroy(&config);
    free(text);
  }
}

static void too_many_nested_layers_are_rejected(void **state) {
  (void)state;
  const size_t most = LS_LAYER_INDEX_MAX - LS_LAYERS_MAX;
  for (size_t n = most; n <= most + 1; n++) {
    const size_t size = 32 * (n + 4);
    char *const text = ls_calloc(size, 1);
    assert_non_null(text);
    ls_append(text, size, "model: [{layer: residual, layers: [{layer: relu}");
    char *end = text + strlen(text);
    for (size_t i = 1; i < n; i++, end += strlen(end))
      ls_append(end, size - (size_t)(end - text), ", {layer: relu}");
    ls_append(end, size - (size_t)(end - text), "]}]");
    ls_config *config = config_of(text);
    ls_model *model = NULL;
    assert_int_equal(ls_model_parse(config, LS_MSE, &model), LS_OK);
    if (n == most)
      check_valid(config);
    else
      check_error(config, "model.0.layers.1048: ~ 1048");
    ls_model_destroy(&model);
    ls_config_destroy(&config);
    free(text);
  }
}

/* The resolved config has the defaults that depend on the activation. */
static void defaults_follow_the_activation(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"{layer: dense, units: 2, activation: leaky_relu}", "alpha: 0.01"},
      {"{layer: dense, units: 2, activation: elu}", "alpha: 1\n"},
      {"{layer: elu}", "alpha: 1}"},
      {"{layer: leaky_relu}", "alpha: 0.01"},
      {"{layer: dense, units: 2, init: {type: uniform}}", "std: 0.01"},
      {"{layer: dense, units: 2}", "init: default"},
      {"{layer: dense, units: 2}", "gain: 1\n"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    char *const text = ls_format("model: [%s]", rows[i][0]);
    char *resolved = NULL;
    ls_config *config = config_of(text);
    ls_model *model = NULL;
    assert_int_equal(ls_model_parse(config, LS_MSE, &model), LS_OK);
    check_valid(config);
    assert_int_equal(ls_config_print(config, &resolved), LS_OK);
    if (!strstr(resolved, rows[i][1])) fail_msg("no '%s' in: %s", rows[i][1], resolved);
    ls_model_destroy(&model);
    ls_config_destroy(&config);
    free(resolved);
    free(text);
  }
}

/* Layers hold views of the flat vectors; all memory is one aligned block. */
static void layers_hold_views(void **state) {
  (void)state;
  ls_model *model = model_of(NET, LS_CATEGORICAL_CROSS_ENTROPY, 5, 7);
  const ls_param *const last = model->layers[4]->params;
  const ls_param *const first = model->layers[0]->params;
  assert_ptr_equal(last[0].value, model->params);
  assert_ptr_equal(last[0].grad, model->grads);
  assert_ptr_equal(last[1].value, model->params + 6);
  assert_ptr_equal(model->layers[3]->params[0].grad, model->grads + 8);
  assert_ptr_equal(first[0].value, model->params + 20);
  assert_ptr_equal(first[1].grad, model->grads + 40);
  assert_int_equal((uintptr_t)model->params % LS_ALIGNMENT, 0);
  assert_int_equal((uintptr_t)model->grads % LS_ALIGNMENT, 0);
  assert_int_equal((uintptr_t)model->layers[0]->output % LS_ALIGNMENT, 0);
  assert_int_equal(model->arena.used, model->arena.capacity);
  ls_model_destroy(&model);
}

/* The memory between layers that process pieces of rows: one pair of buffers, also inside residuals. */
static void pieces_share_their_memory(void **state) {
  (void)state;
  static const ls_shape shape = {2, {4, 2}};
#define CONV     "{layer: conv1d, filters: 2, kernel_size: 3, padding: same}, {layer: batch_norm}"
#define RESIDUAL "{layer: residual, layers: [" CONV "]}"
  ls_model *model = model_of_shape("[" CONV ", " RESIDUAL ", " RESIDUAL
                                   ", {layer: residual, layers: [" RESIDUAL ", " CONV "]}]",
                                   LS_MSE, &shape, 1);
  assert_in_range(model->arena.used, 2 * LS_PIECE_FLOATS * sizeof(float),
                  3 * LS_PIECE_FLOATS * sizeof(float));
  ls_model_destroy(&model);
#undef RESIDUAL
#undef CONV
}

static void only_a_linked_last_layer_is_linked(void **state) {
  (void)state;
  ls_model *linked = model_of(NET, LS_CATEGORICAL_CROSS_ENTROPY, 5, 7);
  for (size_t i = 0; i < 5; i++) assert_int_equal(linked->layers[i]->is_linked, i == 4);
  ls_model_destroy(&linked);
  ls_model *free_end = model_of("[{layer: dense, units: 2, activation: sigmoid}]", LS_MSE, 5, 7);
  assert_false(free_end->layers[0]->is_linked);
  ls_model_destroy(&free_end);
}

/* Initial weights depend only on the seed and the position of the layer. */
static void initial_weights_are_keyed_on_the_seed(void **state) {
  (void)state;
  ls_model *one = model_of(NET, LS_CATEGORICAL_CROSS_ENTROPY, 5, 7);
  ls_model *two = model_of(NET, LS_CATEGORICAL_CROSS_ENTROPY, 5, 1);
  ls_model *less = model_of("[{layer: dense, units: 4, activation: tanh}]", LS_MSE, 5, 1);
  ls_model_initialise(one, 9);
  for (size_t i = 0; i < two->n_params; i++) two->params[i] = NAN; /* every element is set */
  ls_model_initialise(two, 9);
  ls_model_initialise(less, 9);
  check_same("again", one->n_params, two->params, one->params);
  check_same("first layer", 20, less->params, one->layers[0]->params[0].value);
  ls_model_initialise(two, 10);
  assert_memory_not_equal(one->params, two->params, 20 * sizeof *one->params);
  ls_model_destroy(&one);
  ls_model_destroy(&two);
  ls_model_destroy(&less);
}

/* ------------------------------------------------------------------- passes */

static void no_rows_give_no_gradient(void **state) {
  (void)state;
  static const size_t empty[] = {0, 0, 0};
  ls_model *model = model_of(NET, LS_CATEGORICAL_CROSS_ENTROPY, 5, 7);
  for (size_t n_lanes = 1; n_lanes < 3; n_lanes++) {
    const ls_pass pass = {.n_lanes = n_lanes, .lanes = empty, .mode = LS_TRAIN};
    for (size_t i = 0; i < model->n_params; i++) model->grads[i] = NAN;
    assert_non_null(ls_model_forward(model, &pass, model->layers[0]->output));
    ls_model_backward(model, &pass, NULL);
    for (size_t i = 0; i < model->n_params; i++) check_close("grad", (double)model->grads[i], 0.0, 0.0);
    assert_non_null(ls_model_predict(model, 0));
  }
  ls_model_destroy(&model);
}

/* Without dx_input, backward does not write the gradient of the input. */
static void input_gradient_is_optional(void **state) {
  (void)state;
  static const size_t lanes[] = {0, 3};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  ls_model *model = model_of("[{layer: dense, units: 2}]", LS_MSE, 50, 3);
  const float x[3 * 50] = {0};
  for (size_t i = 0; i < 6; i++) model->deltas[1][i] = 7.0F;
  ls_model_forward(model, &pass, x);
  for (size_t i = 0; i < 6; i++) ls_model_output_gradient(model)[i] = 1.0F;
  ls_model_backward(model, &pass, NULL);
  for (size_t i = 0; i < 6; i++) check_close("delta", (double)model->deltas[1][i], 7.0, 0.0);
  ls_model_destroy(&model);
}

/* The calls of `ready` in a backward pass. */
typedef struct ready_log {
  const ls_model *model;
  float *kept;             /* (n_params): the gradients that were final at the time of the call */
  size_t length;           /* of the final prefix */
  size_t n_calls, n_steps; /* calls, and those that lengthened the prefix */
} ready_log;

static void log_ready(void *context, const float *end) {
  ready_log *const log = context;
  const size_t length = end ? (size_t)(end - log->model->grads) : log->length;
  assert_in_range(length, log->length, log->model->n_params);
  memcpy(log->kept + log->length, log->model->grads + log->length,
         (length - log->length) * sizeof *log->kept);
  log->n_calls++;
  log->n_steps += length > log->length;
  log->length = length;
}

/* Backward over `rows` rows reports each gradient once it is final: a growing prefix of the vector. */
static ready_log check_ready(const char *layers, size_t n_in, size_t rows, bool adds) {
  const size_t lanes[] = {0, rows};
  ls_model *model = model_of(layers, LS_MSE, n_in, rows);
  ready_log log = {.model = model, .kept = new_floats(model->n_params)};
  const ls_pass pass = {
      .n_lanes = 1, .lanes = lanes, .mode = LS_PROBE, .adds = adds, .ready = log_ready, .context = &log};
  float *const x = new_floats(rows * n_in);
  fill_random(4, rows * n_in, x);
  ls_model_initialise(model, 9);
  for (size_t i = 0; i < model->n_params; i++) model->grads[i] = adds ? 1.0F : NAN;
  ls_model_forward(model, &pass, x);
  fill_random(5, rows * model->n_out, ls_model_output_gradient(model));
  ls_model_backward(model, &pass, NULL);
  assert_int_equal(log.length, model->n_params);
  check_same(layers, model->n_params, log.kept, model->grads);
  free(log.kept);
  free(x);
  ls_model_destroy(&model);
  return log;
}

static void gradients_are_reported_when_final(void **state) {
  (void)state;
  for (int adds = 0; adds < 2; adds++) {
    check_ready("[{layer: dense, units: 4}, {layer: gelu}, {layer: dense, units: 3, bias: false}]", 5, 7,
                adds);
    check_ready(DEEP, 5, 7, adds);
    check_ready(DEEP, 5, 0, adds);
  }
}

/* A large dW is computed in pieces of 64 units, each of which is reported: 130 units have three. */
static void large_products_report_in_between(void **state) {
  (void)state;
  const ready_log log = check_ready("[{layer: dense, units: 130, bias: false}]", 32768, 64, false);
  assert_int_equal(log.n_steps, 3);
  assert_int_equal(log.n_calls, 4); /* and one at the end of the layer */
}

/* Writes the summed gradients of `rows` samples from `first` on to grads; returns the sum of their losses.
 */
static double shard(ls_model *model, size_t first, size_t rows, float *grads) {
  static const uint64_t samples[] = {3, 1, 4, 15, 9, 2, 6};
  static const int32_t classes[] = {0, 1, 1, 0, 1, 0, 0};
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {
      .n_lanes = 1, .lanes = lanes, .mode = LS_TRAIN, .seed = 1, .step = 5, .samples = samples + first};
  const ls_targets targets = {.classes = classes + first};
  float x[7 * 5];
  fill_random(4, COUNT(x), x);
  const float *const z = ls_model_forward(model, &pass, x + first * 5);
  const double loss =
      ls_loss_apply(model->loss, &loss_options, rows, 2, z, &targets, ls_model_output_gradient(model));
  ls_model_backward(model, &pass, NULL);
  memcpy(grads, model->grads, model->n_params * sizeof *grads);
  return loss;
}

/* If L = sum c x and the model is the identity, dL/d(input) = c. */
static void input_gradient_is_computed_on_request(void **state) {
  (void)state;
  static const size_t lanes[] = {0, 3};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  float dx[6] = {0};
  ls_model *model = model_of("[{layer: residual, layers: [{layer: dense, units: 2}]}]", LS_MSE, 2, 3);
  ls_model_forward(model, &pass, (const float[6]){0}); /* W = 0 */
  for (size_t i = 0; i < 6; i++) ls_model_output_gradient(model)[i] = (float)i;
  ls_model_backward(model, &pass, dx);
  check_same("dx", 6, dx, (const float[]){0, 1, 2, 3, 4, 5});
  ls_model_destroy(&model);
}

/* Losses and gradients of shards add up to those of the batch, with dropout too. */
static void shards_add_up(void **state) {
  (void)state;
  static const size_t cuts[][4] = {{0, 7, 7, 7}, {0, 1, 2, 7}, {0, 3, 3, 7}, {0, 4, 6, 7}};
  ls_model *model = model_of(NET, LS_CATEGORICAL_CROSS_ENTROPY, 5, 7);
  float *const whole = new_floats(model->n_params);
  float *const part = new_floats(model->n_params);
  float *const sum = new_floats(model->n_params);
  ls_model_initialise(model, 9);
  const double loss = shard(model, 0, 7, whole);
  for (size_t c = 0; c < COUNT(cuts); c++) {
    double parts = 0.0;
    memset(sum, 0, model->n_params * sizeof *sum);
    for (size_t k = 0; k < 3; k++) {
      parts += shard(model, cuts[c][k], cuts[c][k + 1] - cuts[c][k], part);
      ls_math_add_scaled(model->n_params, 1.0F, part, sum);
    }
    check_close("loss", parts, loss, 1e-6 * loss);
    check_norm("gradient", model->n_params, sum, whole, 1e-6, 0.0);
  }
  ls_model_destroy(&model);
  free(whole);
  free(part);
  free(sum);
}

/* Predictions include the link, which outputs lack; here z = x. */
static void predictions_apply_the_link(void **state) {
  (void)state;
  static const struct {
    const char *layers;
    ls_loss loss;
    double want[2];
  } rows[] = {
      {"[{layer: softmax}]", LS_CATEGORICAL_CROSS_ENTROPY, {0.2689414213699951, 0.7310585786300049}},
      {"[{layer: sigmoid}]", LS_BINARY_CROSS_ENTROPY, {0.7310585786300049, 0.8807970779778823}},
      {"[{layer: sigmoid}]", LS_MSE, {0.7310585786300049, 0.8807970779778823}},
      {"[{layer: linear}]", LS_MSE, {1.0, 2.0}},
  };
  static const size_t lanes[] = {0, 2};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_model *model = model_of(rows[i].layers, rows[i].loss, 2, 3);
    const float *const z = ls_model_forward(model, &pass, (const float[]){1, 2, 2, 1});
    if (ls_loss_link(rows[i].loss) != LS_LINEAR) check_same("z", 4, z, (const float[]){1, 2, 2, 1});
    const float *const a = ls_model_predict(model, 2);
    for (size_t k = 0; k < 2; k++) {
      check_close(rows[i].layers, (double)a[k], rows[i].want[k], 1e-7);
      check_close(rows[i].layers, (double)a[3 - k], rows[i].want[k], 1e-7); /* the other row is reversed */
    }
    ls_model_destroy(&model);
  }
}

/* ------------------------------------------------------------------ PyTorch */

static const ls_segment *find_segment(const ls_model *model, const char *path) {
  for (size_t i = 0; i < model->n_segments; i++)
    if (strcmp(model->segments[i].path, path) == 0) return &model->segments[i];
  fail_msg("no segment %s", path);
  return NULL;
}

static ls_model *model_of_fixture(const fixture_net *net) {
  ls_model *const model = model_of(net->layers, net->loss, net->n_in, FIXTURE_ROWS);
  size_t n = 0;
  for (size_t b = 0; b < net->n_blocks; b++) {
    const fixture_block *const block = &net->blocks[b];
    const ls_segment *const segment = find_segment(model, block->path);
    assert_int_equal(ls_segment_count(segment), block->n);
    memcpy(model->params + segment->offset, block->values, block->n * sizeof *block->values);
    n += block->n;
  }
  assert_int_equal(n, model->n_params);
  return model;
}

/* Compares mean loss and mean gradients of one pass over the rows of the fixture. */
static void check_fixture(const fixture_net *net, bool weighted, size_t n_lanes, const size_t *lanes) {
  ls_model *model = model_of_fixture(net);
  const ls_pass pass = {.n_lanes = n_lanes, .lanes = lanes};
  const ls_targets targets = {
      .classes = net->classes, .values = net->values, .weights = weighted ? fixture_weights : NULL};
  double total = 0.0;
  for (size_t i = 0; i < FIXTURE_ROWS; i++) total += weighted ? (double)fixture_weights[i] : 1.0;
  const float *const z = ls_model_forward(model, &pass, net->x);
  const double sum = ls_loss_apply(net->loss, &loss_options, FIXTURE_ROWS, net->n_out, z, &targets,
                                   ls_model_output_gradient(model));
  ls_model_backward(model, &pass, NULL);

  check_close(net->name, sum / total, net->mean_loss[weighted], 1e-6 * net->mean_loss[weighted]);
  for (size_t i = 0; i < model->n_params; i++) model->grads[i] = (float)((double)model->grads[i] / total);
  for (size_t b = 0; b < net->n_blocks; b++) {
    const fixture_block *const block = &net->blocks[b];
    char *const what = ls_format("%s: %s", net->name, block->path);
    check_norm(what, block->n, model->grads + find_segment(model, block->path)->offset,
               block->grads[weighted], 1e-5, 0.0);
    free(what);
  }
  ls_model_destroy(&model);
}

static void gradients_match_pytorch(void **state) {
  (void)state;
  static const size_t one[] = {0, FIXTURE_ROWS};
  static const size_t four[] = {0, 1, 4, 4, FIXTURE_ROWS};
  for (size_t i = 0; i < COUNT(fixture_nets); i++)
    for (int weighted = 0; weighted < 2; weighted++) {
      check_fixture(&fixture_nets[i], weighted, 1, one);
      check_fixture(&fixture_nets[i], weighted, 4, four);
    }
}

/* Finds a block of the fixture and its length. */
static float *block_of(ls_model *model, const layer_block *block) {
  const size_t n = block->moved ? model->n_state_segments : model->n_segments;
  const ls_segment *const segments = block->moved ? model->state_segments : model->segments;
  for (size_t i = 0; i < n; i++)
    if (strcmp(segments[i].path, block->path) == 0) {
      assert_int_equal(ls_segment_count(&segments[i]), block->n);
      return (block->moved ? model->state : model->params) + segments[i].offset;
    }
  fail_msg("no block %s", block->path);
  return NULL;
}

/* One pass in training (k = 0) or prediction (k = 1) with L = sum c y. */
static void check_pass(const layer_fixture *net, ls_model *model, int k, size_t n_lanes,
                       const size_t *lanes) {
  const ls_pass pass = {.n_lanes = n_lanes, .lanes = lanes, .mode = k == 0 ? LS_TRAIN : LS_PREDICT};
  const size_t n = net->rows * net->n_out;
  float *const dx = new_floats(net->rows * net->n_in);
  const float *const y = ls_model_forward(model, &pass, net->x);
  check_norm(net->name, n, y, net->y[k], 2e-6, 0.0);
  memcpy(ls_model_output_gradient(model), net->c, n * sizeof *y);
  ls_model_backward(model, &pass, dx);
  check_norm(net->name, net->rows * net->n_in, dx, net->dx[k], 1e-5, 0.0);
  for (size_t b = 0; b < net->n_blocks; b++) {
    const layer_block *const block = &net->blocks[b];
    float *const values = block_of(model, block);
    if (block->moved)
      check_norm(block->path, block->n, values, block->moved, 2e-6, 0.0);
    else
      check_norm(block->path, block->n, model->grads + (values - model->params), block->grads[k], 1e-5,
                 0.1);
  }
  free(dx);
}

/* Creates the model with the parameters and the state of the fixture. */
static ls_model *model_of_layers(const layer_fixture *net) {
  ls_model *const model = model_of_shape(net->layers, LS_MSE, &net->shape, net->rows);
  size_t n = 0;
  assert_int_equal(model->n_in, net->n_in);
  assert_int_equal(model->n_out, net->n_out);
  for (size_t b = 0; b < net->n_blocks; b++) {
    const layer_block *const block = &net->blocks[b];
    memcpy(block_of(model, block), block->values, block->n * sizeof *block->values);
    n += block->n;
  }
  assert_int_equal(n, model->n_params + model->n_state);
  return model;
}

static void check_layer_fixture(const layer_fixture *net, size_t n_lanes, const size_t *lanes) {
  ls_model *model = model_of_layers(net);
  for (int k = 0; k < 2; k++) check_pass(net, model, k, n_lanes, lanes);
  ls_model_destroy(&model);
}

static void layers_match_pytorch(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(layer_fixtures); i++) {
    const size_t rows = layer_fixtures[i].rows;
    const size_t one[] = {0, rows};
    const size_t four[] = {0, 1, rows / 2 + 1, rows / 2 + 1, rows};
    check_layer_fixture(&layer_fixtures[i], 1, one);
    check_layer_fixture(&layer_fixtures[i], 4, four);
  }
}

/* One step of gradient descent on the mean loss. */
static void descend(const layer_fixture *path, ls_model *model, size_t n_lanes, const size_t *lanes) {
  const ls_pass pass = {.n_lanes = n_lanes, .lanes = lanes, .mode = LS_TRAIN};
  const ls_targets targets = {.values = path->c};
  const float *const y = ls_model_forward(model, &pass, path->x);
  ls_loss_apply(LS_MSE, &loss_options, path->rows, path->n_out, y, &targets,
                ls_model_output_gradient(model));
  ls_model_backward(model, &pass, NULL);
  ls_math_add_scaled(model->n_params, -LAYER_PATH_RATE / (float)path->rows, model->grads, model->params);
}

/* After some steps, parameters and running averages agree to 1e-5. */
static void training_matches_pytorch(void **state) {
  (void)state;
  static const size_t one[] = {0, 7};
  static const size_t four[] = {0, 1, 4, 4, 7};
  for (size_t i = 0; i < 2 * COUNT(layer_paths); i++) {
    const layer_fixture *const path = &layer_paths[i / 2];
    assert_int_equal(path->rows, 7);
    ls_model *model = model_of_layers(path);
    for (int step = 0; step < LAYER_PATH_STEPS; step++)
      descend(path, model, i % 2 ? 4 : 1, i % 2 ? four : one);
    for (size_t b = 0; b < path->n_blocks; b++)
      check_norm(path->blocks[b].path, path->blocks[b].n, block_of(model, &path->blocks[b]),
                 path->blocks[b].grads[0], 1e-5, 0.0);
    ls_model_destroy(&model);
  }
}

/* A fixture exists for every loss and every activation. */
static void fixtures_cover_losses_and_activations(void **state) {
  (void)state;
  for (size_t f = 0; ls_activation_names[f]; f++) {
    bool found = false;
    for (size_t i = 0; i < COUNT(fixture_nets); i++)
      found = found || strstr(fixture_nets[i].layers, ls_activation_names[f]);
    for (size_t i = 0; i < COUNT(layer_fixtures); i++)
      found = found || strstr(layer_fixtures[i].layers, ls_activation_names[f]);
    if (!found) fail_msg("no fixture with %s", ls_activation_names[f]);
  }
}

/* The loss of mixup is PyTorch's cross-entropy with soft targets. */
static void mixed_classes_match_pytorch(void **state) {
  (void)state;
  float dz[FIXTURE_ROWS * MIXED_COLS];
  const ls_targets targets = {.classes = mixed_classes,
                              .weights = fixture_weights,
                              .partners = mixed_partners,
                              .shares = mixed_shares};
  const ls_loss loss = LS_CATEGORICAL_CROSS_ENTROPY;
  const double got = ls_loss_apply(loss, &loss_options, FIXTURE_ROWS, MIXED_COLS, mixed_z, &targets, dz);
  check_close("loss", got, mixed_loss, 1e-12 * mixed_loss);
  check_close("without dz",
              ls_loss_apply(loss, &loss_options, FIXTURE_ROWS, MIXED_COLS, mixed_z, &targets, NULL), got,
              0.0);
  for (size_t i = 0; i < COUNT(dz); i++) check_close("dz", (double)dz[i], (double)mixed_dz[i], 3e-7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_name_their_place),
      cmocka_unit_test(all_errors_are_collected),
      cmocka_unit_test(models_too_large_are_rejected),
      cmocka_unit_test(segments_begin_with_the_last_layer),
      cmocka_unit_test(segments_of_nested_layers),
      cmocka_unit_test(leaves_have_paths_blocks_and_outputs),
      cmocka_unit_test(layers_nested_too_deeply_are_rejected),
      cmocka_unit_test(too_many_nested_layers_are_rejected),
      cmocka_unit_test(defaults_follow_the_activation),
      cmocka_unit_test(layers_hold_views),
      cmocka_unit_test(pieces_share_their_memory),
      cmocka_unit_test(only_a_linked_last_layer_is_linked),
      cmocka_unit_test(initial_weights_are_keyed_on_the_seed),
      cmocka_unit_test(no_rows_give_no_gradient),
      cmocka_unit_test(input_gradient_is_optional),
      cmocka_unit_test(input_gradient_is_computed_on_request),
      cmocka_unit_test(gradients_are_reported_when_final),
      cmocka_unit_test(large_products_report_in_between),
      cmocka_unit_test(shards_add_up),
      cmocka_unit_test(predictions_apply_the_link),
      cmocka_unit_test(gradients_match_pytorch),
      cmocka_unit_test(layers_match_pytorch),
      cmocka_unit_test(training_matches_pytorch),
      cmocka_unit_test(fixtures_cover_losses_and_activations),
      cmocka_unit_test(mixed_classes_match_pytorch),
  };
  return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
