/* layer: one conformance test for all types; dropout, batch norm, residual, initialisers and losses. */
#include "support.h"

#include <float.h>

/* ---------------------------------------------------------- a single layer */

#define N_IN 6
#define ROWS 8

#define MOST_PARAMS 16
#define MOST_LANES  3

/* A layer with its parameters, memory and batch. */
typedef struct rig {
  ls_config *config;
  ls_layer *layer;
  ls_arena arena;
  void *workspace;
  size_t workspace_size;
  float *piece_deltas;
  size_t n_params;
  ls_param *params[MOST_PARAMS]; /* its own and those of its inner layers */
  size_t n_states;
  ls_param *states[MOST_PARAMS];
  size_t n_values;       /* of all its parameters */
  float *values, *grads; /* (n_values) */
  size_t n_state;        /* of all its states */
  float *state;          /* (n_state) */
  float *x, *dx;         /* (ROWS, N_IN) */
  float *y, *dy;         /* (ROWS, n_out) */
} rig;

static void find_params(rig *r, ls_layer *layer) {
  for (size_t p = 0; p < layer->n_params; p++) r->params[r->n_params++] = &layer->params[p];
  for (size_t k = 0; k < layer->n_states; k++) r->states[r->n_states++] = &layer->states[k];
  for (size_t k = 0; k < layer->n_children; k++) find_params(r, layer->children[k]);
  assert_true(r->n_params < MOST_PARAMS && r->n_states < MOST_PARAMS);
}

/* Random running averages; the variance, the second of each pair, is positive. */
static void build_state(rig *r) {
  for (size_t k = 0; k < r->n_states; k++) r->n_state += ls_param_count(r->states[k]);
  r->state = new_floats(r->n_state);
  fill_random(9, r->n_state, r->state);
  size_t offset = 0;
  for (size_t k = 0; k < r->n_states; k++) {
    r->states[k]->value = r->state + offset;
    for (size_t i = 0; k % 2 == 1 && i < ls_param_count(r->states[k]); i++) r->states[k]->value[i] += 1.5F;
    offset += ls_param_count(r->states[k]);
  }
}

/* Takes the layer's memory and workspace; called twice, see ls_arena. */
static void take_memory(rig *r) {
  r->workspace_size = ls_layer_reserve(r->layer, &r->arena, ROWS, MOST_LANES);
  r->workspace = ls_arena_take(&r->arena, r->workspace_size, 1);
  r->piece_deltas = ls_arena_take(&r->arena, 2 * LS_PIECE_FLOATS, sizeof *r->piece_deltas);
  if (r->workspace) ls_layer_set_workspace(r->layer, r->workspace, r->piece_deltas);
}

/* Memory for the layer's parameters, the layer itself and a batch. */
static void rig_build(rig *r, const ls_shape *shape) {
  ls_layer *const layer = r->layer;
  if (ls_layer_infer_shapes(layer, shape) != LS_OK) fail_msg("%s", ls_message());
  find_params(r, layer);
  build_state(r);
  for (size_t p = 0; p < r->n_params; p++) r->n_values += ls_param_count(r->params[p]);
  r->values = new_floats(r->n_values);
  r->grads = new_floats(r->n_values);
  size_t offset = 0;
  for (size_t p = 0; p < r->n_params; offset += ls_param_count(r->params[p]), p++) {
    r->params[p]->value = r->values + offset;
    r->params[p]->grad = r->grads + offset;
  }
  r->x = new_floats(ROWS * N_IN);
  r->dx = new_floats(ROWS * N_IN);
  r->y = layer->output = new_floats(ROWS * layer->n_out);
  r->dy = new_floats(ROWS * layer->n_out);
  take_memory(r);
  assert_int_equal(ls_arena_commit(&r->arena, "the layer"), LS_OK);
  take_memory(r);
}

/* Random multiples of 2^-10, so that adding 2^-9 or 2^-10 is exact. */
static void fill_steps(uint64_t key, size_t n, float *x) {
  fill_random(key, n, x);
  for (size_t i = 0; i < n; i++) x[i] = roundf(x[i] * 0x1p10F) * 0x1p-10F;
}

/* Creates a layer from its map, with the index `index` and random parameters and inputs. A sample has the
 * shape `shape` of N_IN elements. */
static rig rig_of_shape(const char *map, uint32_t index, const ls_shape *shape) {
  rig r = {0};
  char *const text = ls_format("model: [%s]", map);
  r.config = config_of(text);
  free(text);
  ls_node *const list = ls_node_find(ls_config_root(r.config), "model");
  uint32_t next = LS_LAYERS_MAX;
  r.layer = ls_layer_create(r.config, ls_node_item(list, 0), index, &next);
  check_valid(r.config);
  assert_non_null(r.layer);
  rig_build(&r, shape);
  fill_steps(1, r.n_values, r.values);
  fill_steps(2, ROWS * N_IN, r.x);
  return r;
}

/* The shape of a signal with 3 positions and 2 channels. */
#define SIGNAL                                                                                             \
  {                                                                                                        \
    2, {                                                                                                   \
      N_IN / 2, 2                                                                                          \
    }                                                                                                      \
  }

/* With samples of that shape. */
static rig rig_of(const char *map, uint32_t index) {
  return rig_of_shape(map, index, &(ls_shape)SIGNAL);
}

static void rig_free(rig *r) {
  ls_layer_destroy(&r->layer);
  ls_config_destroy(&r->config);
  ls_arena_destroy(&r->arena);
  free(r->values);
  free(r->grads);
  free(r->state);
  free(r->x);
  free(r->dx);
  free(r->y);
  free(r->dy);
}

static const size_t one_lane[] = {0, ROWS};
static const size_t three_lanes[] = {0, 3, 3, ROWS}; /* one is empty */
static const uint64_t samples[ROWS] = {4, 0, 9, 77, 1000000007, 12, 5, 6};

static const ls_pass prediction = {.n_lanes = 1, .lanes = one_lane};
static const ls_pass training = {
    .n_lanes = 1, .lanes = one_lane, .mode = LS_TRAIN, .seed = 3, .step = 11, .samples = samples};

static const ls_pass probing = {.n_lanes = 1, .lanes = one_lane, .mode = LS_PROBE};

/* Fills the workspace with NaN: between two passes, other layers overwrite it. */
static void spoil_workspace(rig *r) {
  memset(r->workspace, 0xFF, r->workspace_size);
  memset(r->piece_deltas, 0xFF, 2 * LS_PIECE_FLOATS * sizeof *r->piece_deltas);
}

static void forward(rig *r, const ls_pass *pass) {
  spoil_workspace(r);
  ls_layer_forward(r->layer, pass, r->x);
}

/* dL/dy of the test's loss L = sum c y: the coefficients c. */
static void fill_coefficients(const rig *r, float *c) {
  fill_random(3, ROWS * r->layer->n_out, c);
}

/* Backward from L = sum c y after forward. It must overwrite the gradients. */
static void backward(rig *r, const ls_pass *pass, float *dx) {
  fill_coefficients(r, r->dy);
  for (size_t i = 0; i < r->n_values; i++) r->grads[i] = NAN;
  spoil_workspace(r);
  ls_layer_backward(r->layer, pass, r->x, r->dy, dx);
}

/* -------------------------------------------------------------- conformance */

/* The layers of the conformance tests: at least one for each type. */
static const struct {
  const char *kind, *map;
  bool sees_batch; /* the result of a row depends on the other rows */
  ls_shape shape;  /* of a sample */
} variants[] = {
    {"dense", "{layer: dense, units: 5, activation: linear}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: sigmoid}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: tanh}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: relu}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: leaky_relu, alpha: 0.2}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: softmax}", false, SIGNAL},
    {"dense", "{layer: dense, units: 1, activation: tanh}", false, SIGNAL},
    {"dense", "{layer: dense, units: 7, bias: false}", false, SIGNAL},
    {"dropout", "{layer: dropout, rate: 0.3}", false, SIGNAL},
    {"dropout", "{layer: dropout, rate: 0}", false, SIGNAL},
    {"linear", "{layer: linear}", false, SIGNAL},
    {"sigmoid", "{layer: sigmoid}", false, SIGNAL},
    {"tanh", "{layer: tanh}", false, SIGNAL},
    {"relu", "{layer: relu}", false, SIGNAL},
    {"leaky_relu", "{layer: leaky_relu, alpha: 0.3}", false, SIGNAL},
    {"softmax", "{layer: softmax}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: elu}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: elu, alpha: 2}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: gelu}", false, SIGNAL},
    {"dense", "{layer: dense, units: 7, activation: gelu, bias: false}", false, SIGNAL},
    {"dense", "{layer: dense, units: 5, activation: softplus}", false, SIGNAL},
    {"elu", "{layer: elu, alpha: 0.7}", false, SIGNAL},
    {"gelu", "{layer: gelu}", false, SIGNAL},
    {"softplus", "{layer: softplus}", false, SIGNAL},
    {"batch_norm", "{layer: batch_norm}", true, SIGNAL},
    {"batch_norm", "{layer: batch_norm, momentum: 0.5, eps: 0.5}", true, SIGNAL},
    {"residual", "{layer: residual, layers: [{layer: dense, units: 6, activation: tanh}]}", false, SIGNAL},
    {"residual", "{layer: residual, layers: [{layer: dense, units: 4, activation: gelu}]}", false, SIGNAL},
    {"residual", "{layer: residual, layers: [{layer: sigmoid}]}", false, SIGNAL},
    {"residual",
     "{layer: residual, layers: [{layer: dense, units: 7, activation: elu}, {layer: dropout, rate: 0.3},"
     " {layer: softmax}, {layer: dense, units: 6}]}",
     false, SIGNAL},
    {"residual",
     "{layer: residual, layers: [{layer: dense, units: 5, bias: false}, {layer: batch_norm}, {layer: tanh},"
     " {layer: dropout, rate: 0.2}, {layer: residual, layers: [{layer: dense, units: 5, activation: "
     "softplus}, {layer: residual, layers: [{layer: dense, units: 3}]}]}, {layer: dense, units: 4}]}",
     true, SIGNAL},
    {"conv1d", "{layer: conv1d, filters: 5, kernel_size: 2, activation: tanh}", false, SIGNAL},
    {"conv1d",
     "{layer: conv1d, filters: 4, kernel_size: 2, stride: 2, padding: same, groups: 2, activation: gelu}",
     false, SIGNAL},
    {"conv1d", "{layer: conv1d, filters: 2, kernel_size: 3, padding: 1, groups: 2, bias: false}", false,
     SIGNAL},
    {"conv1d", "{layer: conv1d, filters: 3, kernel_size: 2, dilation: 2, activation: softmax}", false,
     SIGNAL},
    {"conv1d", "{layer: conv1d, filters: 17, kernel_size: [4], activation: sigmoid}", false, {1, {N_IN}}},
    {"conv2d",
     "{layer: conv2d, filters: 3, kernel_size: [2, 2], padding: [[1, 0], 1], dilation: [2, 1], activation: "
     "softplus}",
     false, SIGNAL},
    {"conv2d", "{layer: conv2d, filters: 3, kernel_size: 1, stride: 2, activation: tanh}", false, SIGNAL},
    {"conv2d", "{layer: conv2d, filters: 6, kernel_size: 1, groups: 3}", false, {3, {2, 1, 3}}},
    {"conv3d",
     "{layer: conv3d, filters: 2, kernel_size: [2, 2, 1], padding: [1, 0, 0], activation: elu}",
     false,
     {3, {3, 2, 1}}},
    {"conv3d",
     "{layer: conv3d, filters: 3, kernel_size: 2, padding: same, stride: [2, 1, 1]}",
     false,
     {4, {3, 1, 1, 2}}},
    {"max_pool", "{layer: max_pool, size: 2, stride: 1}", false, SIGNAL},
    {"max_pool", "{layer: max_pool, size: [2, 2], padding: same}", false, SIGNAL},
    {"avg_pool", "{layer: avg_pool, size: 2, padding: same}", false, SIGNAL},
    {"avg_pool", "{layer: avg_pool, size: [3, 1], stride: 1, padding: [1, 0], count_padding: true}", false,
     SIGNAL},
    {"global_max_pool", "{layer: global_max_pool}", false, SIGNAL},
    {"global_avg_pool", "{layer: global_avg_pool}", false, SIGNAL},
    {"global_avg_pool", "{layer: global_avg_pool}", false, {1, {N_IN}}},
    {"flatten", "{layer: flatten}", false, SIGNAL},
    {"layer_norm", "{layer: layer_norm}", false, {1, {N_IN}}},
    {"layer_norm", "{layer: layer_norm, eps: 0.5}", false, SIGNAL},
    {"dropout", "{layer: dropout, rate: 0.3, spatial: true}", false, SIGNAL},
    {"batch_norm", "{layer: batch_norm}", true, {1, {N_IN}}},
    {"residual",
     "{layer: residual, activation: relu, layers: [{layer: conv1d, filters: 4, kernel_size: 3, stride: 2, "
     "padding: same}]}",
     false, SIGNAL},
    {"residual",
     "{layer: residual, activation: gelu, layers: [{layer: conv1d, filters: 2, kernel_size: 3, padding: "
     "same}]}",
     false, SIGNAL},
    {"residual",
     "{layer: residual, activation: softmax, layers: [{layer: conv1d, filters: 4, kernel_size: 1}], skip: "
     "[{layer: conv1d, filters: 4, kernel_size: 1, activation: tanh}, {layer: sigmoid}, {layer: dropout}]}",
     false, SIGNAL},
    {"residual",
     "{layer: residual, layers: [{layer: conv1d, filters: 4, kernel_size: 1}, {layer: batch_norm}], skip: "
     "[{layer: conv1d, filters: 4, kernel_size: 1, bias: false}, {layer: batch_norm}], activation: relu}",
     true, SIGNAL},
    {"residual",
     "{layer: residual, layers: [{layer: conv1d, filters: 4, kernel_size: 2, padding: same}, {layer: "
     "batch_norm}, {layer: relu}, {layer: conv1d, filters: 2, kernel_size: 1}, {layer: batch_norm}], "
     "activation: relu}",
     true, SIGNAL},
    {"residual",
     "{layer: residual, layers: [{layer: dense, units: 4}, {layer: batch_norm}], activation: gelu}", true,
     SIGNAL},
    {"residual", "{layer: residual, layers: [{layer: batch_norm}, {layer: relu}], activation: tanh}", true,
     SIGNAL},
    {"residual",
     "{layer: residual, layers: [{layer: batch_norm}, {layer: relu}, {layer: conv1d, filters: 2, "
     "kernel_size: "
     "2, padding: same}]}",
     true, SIGNAL},
};

static rig variant_rig(size_t v) {
  return rig_of_shape(variants[v].map, 2, &variants[v].shape);
}

static void every_type_and_activation_is_tested(void **state) {
  (void)state;
  for (size_t t = 0; ls_layer_types[t]; t++) {
    size_t found = 0;
    for (size_t v = 0; v < COUNT(variants); v++)
      found += strcmp(variants[v].kind, ls_layer_types[t]->name) == 0;
    if (found == 0) fail_msg("the type %s needs a line in `variants`", ls_layer_types[t]->name);
  }
  for (size_t f = 0; ls_activation_names[f]; f++) {
    char *const key = ls_format("layer: dense, units: 5, activation: %s", ls_activation_names[f]);
    size_t found = 0;
    for (size_t v = 0; v < COUNT(variants); v++) found += strstr(variants[v].map, key) != NULL;
    free(key);
    if (found == 0) fail_msg("dense with %s needs a line in `variants`", ls_activation_names[f]);
  }
}

static void tables_are_complete(void **state) {
  (void)state;
  for (size_t t = 0; ls_layer_types[t]; t++) {
    const ls_layer_type *const type = ls_layer_types[t];
    assert_true(type->name && type->help && type->keys && type->shape && type->forward && type->backward);
    assert_string_equal(type->keys[0].name, "layer");
    for (const ls_key *key = type->keys; key->name; key++) {
      assert_non_null(key->help);
      assert_true(key->offset < type->options_size);
    }
  }
}

static double loss_of(rig *r, const ls_pass *pass, const float *c) {
  forward(r, pass);
  double loss = 0.0;
  for (size_t i = 0; i < ROWS * r->layer->n_out; i++) loss += (double)c[i] * (double)r->y[i];
  return loss;
}

/* (L(v + h d) - L(v - h d)) / 2h, where v +- h d is exact: see fill_steps. */
static double slope(rig *r, const ls_pass *pass, const float *c, size_t n, float *v, const float *d,
                    float h) {
  for (size_t i = 0; i < n; i++) v[i] += h * d[i];
  const double above = loss_of(r, pass, c);
  for (size_t i = 0; i < n; i++) v[i] -= 2.0F * h * d[i];
  const double below = loss_of(r, pass, c);
  for (size_t i = 0; i < n; i++) v[i] += h * d[i];
  return (above - below) / (2.0 * (double)h);
}

#define DIRECTIONS 6  /* smooth directions to test */
#define TRIES      60 /* random directions to try */

/* Fills d with -1, 0 and 1. along: half of the elements have the sign of g, the others are 0; otherwise all
 * have random signs. */
static void fill_direction(uint64_t key, bool along, size_t n, const float *g, float *d) {
  fill_random(key, n, d);
  for (size_t i = 0; i < n; i++) {
    const float sign = d[i] < 0.0F ? -1.0F : 1.0F;
    d[i] = along ? (sign > 0.0F) * (float)((g[i] > 0.0F) - (g[i] < 0.0F)) : sign;
  }
}

/* Compares the gradient g (n) of the values v with differences. Skips directions that cross a kink, where
 * differences at h and h / 2 disagree. */
static void check_gradient(const char *what, rig *r, const ls_pass *pass, size_t n, float *v,
                           const float *g, bool along) {
  float *const c = new_floats(ROWS * r->layer->n_out);
  float *const d = new_floats(n);
  fill_coefficients(r, c);
  double norm = 0.0;
  for (size_t i = 0; i < n; i++) norm += (double)g[i] * (double)g[i];
  norm = fmax(sqrt(norm), 1e-3);
  size_t found = 0;
  for (uint64_t t = 0; t < TRIES && found < DIRECTIONS; t++) {
    fill_direction(100 + t, along, n, g, d);
    const double coarse = slope(r, pass, c, n, v, d, 0x1p-9F);
    const double fine = slope(r, pass, c, n, v, d, 0x1p-10F);
    if (!(fabs(coarse - fine) <= 3e-4 * norm)) continue;
    found++;
    double analytic = 0.0;
    for (size_t i = 0; i < n; i++) analytic += (double)g[i] * (double)d[i];
    const double size =
        along ? fmax(fabs(fine), 0.1 * norm) : norm; /* rounding errors are about 1e-5 norm */
    check_close(what, analytic, fine, 1e-3 * fmax(size, 1e-3));
  }
  if (found < DIRECTIONS) fail_msg("%s: only %zu smooth directions", what, found);
  free(c);
  free(d);
}

/* Checks every block of parameters and the input. */
static void check_gradients(size_t v, const ls_pass *pass) {
  const char *const map = variants[v].map;
  rig r = variant_rig(v);
  forward(&r, pass);
  backward(&r, pass, r.dx);
  for (int along = 0; along < 2; along++) {
    for (size_t p = 0; p < r.n_params; p++) {
      const ls_param *const param = r.params[p];
      char *const what = ls_format("%s: block %zu, %s", map, p, param->name);
      check_gradient(what, &r, pass, ls_param_count(param), param->value, param->grad, along);
      free(what);
    }
    check_gradient(map, &r, pass, ROWS * N_IN, r.x, r.dx, along);
  }
  rig_free(&r);
}

static void gradients_match_differences(void **state) {
  (void)state;
  for (size_t v = 0; v < COUNT(variants); v++) {
    check_gradients(v, &training);
    check_gradients(v, &probing);
    check_gradients(v, &prediction);
  }
}

/* Without dx, the gradients of the parameters are the same. */
static void dx_may_be_absent(void **state) {
  (void)state;
  for (size_t v = 0; v < COUNT(variants); v++) {
    rig r = variant_rig(v);
    forward(&r, &training);
    backward(&r, &training, r.dx);
    float *const before = new_floats(r.n_values);
    memcpy(before, r.grads, r.n_values * sizeof *before);
    backward(&r, &training, NULL);
    check_same(variants[v].map, r.n_values, r.grads, before);
    free(before);
    rig_free(&r);
  }
}

/* With pass->adds, the gradients of a batch are added to those of the earlier batches: with one lane (even
 * v) and with several. */
static void gradients_accumulate(void **state) {
  (void)state;
  for (size_t v = 0; v < 2 * COUNT(variants); v++) {
    const char *const what = variants[v / 2].map;
    ls_pass first = training;
    first.n_lanes = v % 2 ? 3 : 1;
    first.lanes = v % 2 ? three_lanes : one_lane;
    ls_pass second = first;
    second.adds = true;
    rig r = variant_rig(v / 2);
    forward(&r, &first);
    backward(&r, &first, r.dx);
    float *const once = new_floats(r.n_values);
    float *const want = new_floats(r.n_values);
    float *const dx = new_floats(ROWS * N_IN);
    memcpy(dx, r.dx, ROWS * N_IN * sizeof *dx);
    memcpy(once, r.grads, r.n_values * sizeof *once);
    for (size_t times = 2; times < 4; times++) {
      for (size_t i = 0; i < r.n_values; i++) want[i] = (float)times * once[i];
      fill_coefficients(&r, r.dy);
      spoil_workspace(&r);
      ls_layer_backward(r.layer, &second, r.x, r.dy, times == 2 ? r.dx : NULL);
      check_same(what, ROWS * N_IN, r.dx, dx);
      check_norm(what, r.n_values, r.grads, want, 1e-6, 0.0);
    }
    free(once);
    free(want);
    free(dx);
    rig_free(&r);
  }
}

/* A rank without rows has gradients of 0, and adds nothing. */
static void no_rows_have_no_gradient(void **state) {
  (void)state;
  static const size_t empty[] = {0, 0, 0, 0};
  for (size_t v = 0; v < COUNT(variants); v++)
    for (size_t n_lanes = 1; n_lanes <= MOST_LANES; n_lanes++) {
      ls_pass pass = training;
      pass.n_lanes = n_lanes;
      pass.lanes = empty;
      rig r = variant_rig(v);
      forward(&r, &pass);
      backward(&r, &pass, r.dx);
      for (size_t i = 0; i < r.n_values; i++) check_close("gradient", (double)r.grads[i], 0.0, 0.0);
      pass.adds = true;
      for (size_t i = 0; i < r.n_values; i++) r.grads[i] = 7.0F;
      spoil_workspace(&r);
      ls_layer_backward(r.layer, &pass, r.x, r.dy, r.dx);
      for (size_t i = 0; i < r.n_values; i++) check_close("sum", (double)r.grads[i], 7.0, 0.0);
      rig_free(&r);
    }
}

/* Only training updates the running averages. */
static void only_training_updates_state(void **state) {
  (void)state;
  size_t n_states = 0;
  for (size_t v = 0; v < COUNT(variants); v++) {
    rig r = variant_rig(v);
    float *const before = new_floats(r.n_state);
    memcpy(before, r.state, r.n_state * sizeof *before);
    forward(&r, &probing);
    backward(&r, &probing, r.dx);
    forward(&r, &prediction);
    backward(&r, &prediction, r.dx);
    check_same(variants[v].map, r.n_state, r.state, before);
    forward(&r, &training);
    for (size_t i = 0; i < r.n_state; i++) assert_true(r.state[i] != before[i]);
    n_states += r.n_states;
    free(before);
    rig_free(&r);
  }
  assert_true(n_states > 0);
}

/* Dividing the batch into lanes changes only the order of sums. */
static void lanes_change_only_rounding(void **state) {
  (void)state;
  ls_pass pass = training;
  pass.n_lanes = 3;
  pass.lanes = three_lanes;
  for (size_t v = 0; v < COUNT(variants); v++) {
    const char *const what = variants[v].map;
    rig one = variant_rig(v);
    rig three = variant_rig(v);
    forward(&one, &training);
    backward(&one, &training, one.dx);
    forward(&three, &pass);
    backward(&three, &pass, three.dx);
    check_norm(what, ROWS * one.layer->n_out, three.y, one.y, 1e-6, 0.0);
    check_norm(what, ROWS * N_IN, three.dx, one.dx, 1e-6, 0.0);
    check_norm(what, one.n_values, three.grads, one.grads, 1e-6, 0.0);
    rig_free(&one);
    rig_free(&three);
  }
}

/* A lane has the same bits as a batch of the same rows alone. */
static void lanes_are_independent(void **state) {
  (void)state;
  const size_t first = three_lanes[2];
  const size_t alone_lanes[] = {0, ROWS - first};
  ls_pass pass = training;
  pass.n_lanes = 3;
  pass.lanes = three_lanes;
  ls_pass alone_pass = training;
  alone_pass.lanes = alone_lanes;
  alone_pass.samples = samples + first;
  for (size_t v = 0; v < COUNT(variants); v++) {
    if (variants[v].sees_batch) continue;
    rig r = variant_rig(v);
    rig alone = variant_rig(v);
    const size_t n_out = r.layer->n_out;
    memcpy(alone.x, r.x + first * N_IN, alone_lanes[1] * N_IN * sizeof *r.x);
    forward(&r, &pass);
    forward(&alone, &alone_pass);
    check_same(variants[v].map, alone_lanes[1] * n_out, alone.y, r.y + first * n_out);
    backward(&r, &pass, r.dx);
    fill_coefficients(&r, r.dy);
    memcpy(alone.dy, r.dy + first * n_out, alone_lanes[1] * n_out * sizeof *r.dy);
    ls_layer_backward(alone.layer, &alone_pass, alone.x, alone.dy, alone.dx);
    check_same(variants[v].map, alone_lanes[1] * N_IN, alone.dx, r.dx + first * N_IN);
    rig_free(&r);
    rig_free(&alone);
  }
}

/* If the loss applies the last activation, the layer omits it in both directions. */
static void linked_layers_skip_their_activation(void **state) {
  (void)state;
  for (size_t v = 0; v < COUNT(variants); v++) {
    rig whole = variant_rig(v);
    rig linked = variant_rig(v);
    const ls_layer_type *const type = whole.layer->type;
    const ls_activation f = type->activation ? type->activation(whole.layer) : LS_LINEAR;
    const size_t n_out = whole.layer->n_out;
    const size_t cols = whole.layer->out.dims[whole.layer->out.n_dims - 1]; /* of a softmax */
    const size_t positions = ROWS * n_out / cols;
    if (f == LS_SIGMOID || f == LS_SOFTMAX) {
      linked.layer->is_linked = true;
      forward(&whole, &training);
      forward(&linked, &training);
      fill_coefficients(&linked, linked.dy);
      ls_math_activate_backward(f, 0.0F, positions, cols, whole.y, linked.dy); /* as a loss does */
      ls_layer_backward(linked.layer, &training, linked.x, linked.dy, linked.dx);
      backward(&whole, &training, whole.dx);
      check_same(variants[v].map, whole.n_values, linked.grads, whole.grads);
      check_same(variants[v].map, ROWS * N_IN, linked.dx, whole.dx);
      ls_math_activate(f, 0.0F, positions, cols, NULL, linked.y);
      check_same(variants[v].map, ROWS * n_out, linked.y, whole.y);
    }
    rig_free(&whole);
    rig_free(&linked);
  }
}

/* Compares a dense layer with manual results: z = (1, 2) W^T + b, relu. */
static void dense_matches_manual_results(void **state) {
  (void)state;
  static const size_t lanes[] = {0, 1};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  rig r = rig_of("{layer: dense, units: 2, activation: relu}", 0);
  memcpy(r.layer->params[0].value, (float[2][N_IN]){{1, 2, 0, 0, 0, 0}, {3, -4, 0, 0, 0, 0}},
         12 * sizeof(float));
  memcpy(r.layer->params[1].value, (float[]){0.5F, 0.25F}, 2 * sizeof(float));
  memcpy(r.x, (float[N_IN]){1, 2}, N_IN * sizeof(float));
  forward(&r, &pass);
  check_same("y", 2, r.y, (float[]){5.5F, 0.0F});
  memcpy(r.dy, (float[]){2, 3}, 2 * sizeof(float));
  ls_layer_backward(r.layer, &pass, r.x, r.dy, r.dx);
  check_same("dW", 2, r.layer->params[0].grad, (float[]){2, 4});
  check_norm("dW of the dead unit", N_IN, r.layer->params[0].grad + N_IN, (float[N_IN]){0}, 0.0, 0.0);
  check_norm("db", 2, r.layer->params[1].grad, (float[]){2, 0}, 0.0, 0.0);
  check_same("dx", 2, r.dx, (float[]){2, 4});
  assert_int_equal(r.layer->params[0].kind, LS_SEGMENT_WEIGHT);
  assert_int_equal(r.layer->params[1].kind, LS_SEGMENT_BIAS);
  rig_free(&r);
}

/* ------------------------------------------------------------------ dropout */

#define DROPOUT "{layer: dropout, rate: 0.5}"

/* Applies layer `index` to a sample of ones in row `row` of a batch. */
static void drop(uint32_t index, const ls_pass *like, uint64_t sample, size_t row, float *y) {
  uint64_t batch[ROWS];
  for (size_t i = 0; i < ROWS; i++) batch[i] = 1000 + i;
  batch[row] = sample;
  ls_pass pass = *like;
  pass.samples = batch;
  rig r = rig_of(DROPOUT, index);
  for (size_t i = 0; i < ROWS * N_IN; i++) r.x[i] = 1.0F;
  forward(&r, &pass);
  memcpy(y, r.y + row * N_IN, N_IN * sizeof *y);
  rig_free(&r);
}

static void dropout_is_keyed_on_the_sample(void **state) {
  (void)state;
  float want[N_IN];
  float got[N_IN];
  for (uint64_t sample = 0; sample < 20; sample++) {
    drop(2, &training, sample, 0, want);
    for (size_t j = 0; j < N_IN; j++) assert_true(want[j] == 0.0F || want[j] == 2.0F);
    drop(2, &training, sample, 5, got);
    check_same("in another row", N_IN, got, want);
  }
}

/* Another step, seed or layer drops other elements; 20 samples agree by chance with probability 2^-120. */
static void dropout_is_keyed_on_step_seed_and_layer(void **state) {
  (void)state;
  ls_pass later = training;
  ls_pass reseeded = training;
  later.step++;
  reseeded.seed++;
  const struct {
    uint32_t index;
    const ls_pass *pass;
    uint64_t sample;
  } rows[] = {{3, &training, 0}, {2, &later, 0}, {2, &reseeded, 0}, {2, &training, 100}};
  for (size_t i = 0; i < COUNT(rows); i++) {
    size_t differences = 0;
    for (uint64_t sample = 0; sample < 20; sample++) {
      float a[N_IN];
      float b[N_IN];
      drop(2, &training, sample, 0, a);
      drop(rows[i].index, rows[i].pass, rows[i].sample + sample, 0, b);
      for (size_t j = 0; j < N_IN; j++) differences += a[j] != b[j];
    }
    assert_in_range(differences, 36, 84); /* half of 120, within four standard errors */
  }
}

/* Prediction returns the inputs unchanged and needs no sample numbers. */
static void dropout_is_off_in_prediction(void **state) {
  (void)state;
  rig r = rig_of(DROPOUT, 2);
  forward(&r, &prediction);
  check_same("y", ROWS * N_IN, r.y, r.x);
  rig_free(&r);
}

/* A rate that rounds to 1 as a float must not cause a division by 0. */
static void dropout_accepts_a_rate_near_1(void **state) {
  (void)state;
  rig r = rig_of("{layer: dropout, rate: 0.999999999}", 2);
  forward(&r, &training);
  for (size_t i = 0; i < ROWS * N_IN; i++) check_close("y", (double)r.y[i], 0.0, 0.0);
  rig_free(&r);
}

/* --------------------------------------------------------------- batch norm */

#define MOMENTUM 0.25
#define EPS      0.125

/* A rig whose columns are scaled and shifted so that a sum of squares without a pivot would lose digits. */
static rig norm_rig(void) {
  rig r = rig_of_shape("{layer: batch_norm, momentum: 0.25, eps: 0.125}", 2, &(ls_shape){1, {N_IN}});
  for (size_t i = 0; i < ROWS * N_IN; i++)
    r.x[i] = r.x[i] * (float)(1 + i % N_IN) + 1000.0F * (float)(i % 2);
  return r;
}

static double column_mean(const rig *r, size_t j) {
  double mean = 0.0;
  for (size_t i = 0; i < ROWS; i++) mean += (double)r->x[i * N_IN + j] / ROWS;
  return mean;
}

static double column_variance(const rig *r, size_t j) {
  const double mean = column_mean(r, j);
  double sum = 0.0;
  for (size_t i = 0; i < ROWS; i++) sum += pow((double)r->x[i * N_IN + j] - mean, 2.0);
  return sum / ROWS;
}

/* Compares with two passes in double: the outputs use the biased variance of their column, the running
 * averages the unbiased one. */
static void batch_norm_follows_its_definition(void **state) {
  (void)state;
  rig r = norm_rig();
  float before[2 * N_IN];
  memcpy(before, r.state, sizeof before);
  forward(&r, &training);
  for (size_t j = 0; j < N_IN; j++) {
    const double mean = column_mean(&r, j);
    const double var = column_variance(&r, j);
    for (size_t i = 0; i < ROWS; i++) {
      const double xhat = ((double)r.x[i * N_IN + j] - mean) / sqrt(var + EPS);
      check_close("y", (double)r.y[i * N_IN + j],
                  (double)r.params[0]->value[j] * xhat + (double)r.params[1]->value[j], 3e-7);
    }
    check_close("mean", (double)r.state[j], (1.0 - MOMENTUM) * (double)before[j] + MOMENTUM * mean, 1e-4);
    const double unbiased = var * ROWS / (ROWS - 1);
    check_close("var", (double)r.state[N_IN + j],
                (1.0 - MOMENTUM) * (double)before[N_IN + j] + MOMENTUM * unbiased, 2e-6 * (1.0 + unbiased));
  }
  rig_free(&r);
}

/* Prediction: y = gamma (x - running_mean) / sqrt(running_var + eps) + beta for each row. */
static void batch_norm_predicts_from_running_averages(void **state) {
  (void)state;
  rig r = norm_rig();
  forward(&r, &prediction);
  for (size_t i = 0; i < ROWS * N_IN; i++) {
    const size_t j = i % N_IN;
    const double xhat = ((double)r.x[i] - (double)r.state[j]) / sqrt((double)r.state[N_IN + j] + EPS);
    const double want = (double)r.params[0]->value[j] * xhat + (double)r.params[1]->value[j];
    check_close("y", (double)r.y[i], want, 3e-7 * fmax(1.0, fabs(want)));
  }
  rig_free(&r);
}

/* One row has the variance 0: y = beta, dx = 0, and the running averages stay unchanged. */
static void batch_norm_of_one_row(void **state) {
  (void)state;
  static const size_t lanes[] = {0, 1};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes, .mode = LS_TRAIN, .samples = samples};
  rig r = norm_rig();
  float before[2 * N_IN];
  memcpy(before, r.state, sizeof before);
  forward(&r, &pass);
  backward(&r, &pass, r.dx);
  for (size_t j = 0; j < N_IN; j++) {
    check_close("y", (double)r.y[j], (double)r.params[1]->value[j], 1e-7);
    check_close("dx", (double)r.dx[j], 0.0, 1e-6);
    check_close("mean", (double)r.state[j], (double)before[j], 0.0);
    check_close("var", (double)r.state[N_IN + j], (double)before[N_IN + j], 0.0);
  }
  rig_free(&r);
}

/* A constant column gives xhat = 0 without NaN, even if rounding makes its variance negative. */
static void batch_norm_of_a_constant(void **state) {
  (void)state;
  rig r = rig_of_shape("{layer: batch_norm, eps: 1.0e-12}", 2, &(ls_shape){1, {N_IN}});
  for (size_t i = 0; i < ROWS * N_IN; i++) r.x[i] = 12345.678F;
  forward(&r, &training);
  backward(&r, &training, r.dx);
  for (size_t i = 0; i < ROWS * N_IN; i++) {
    check_close("y", (double)r.y[i], (double)r.params[1]->value[i % N_IN], 1e-4);
    assert_true(isfinite(r.dx[i]));
  }
  rig_free(&r);
}

/* A value that is not finite affects the outputs of its column, but no other column and no running average.
 */
static void batch_norm_propagates_nan_but_does_not_store_it(void **state) {
  (void)state;
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  for (size_t b = 0; b < COUNT(bad); b++) {
    rig r = norm_rig();
    const float before[2] = {r.state[1], r.state[N_IN + 1]};
    r.x[2 * N_IN + 1] = bad[b];
    forward(&r, &training);
    for (size_t i = 0; i < ROWS * N_IN; i++) assert_true(isfinite(r.y[i]) == (i % N_IN != 1));
    check_same("mean", 1, &r.state[1], &before[0]);
    check_same("var", 1, &r.state[N_IN + 1], &before[1]);
    for (size_t j = 0; j < 2 * N_IN; j++) assert_true(isfinite(r.state[j]));
    rig_free(&r);
  }
}

/* Stands for the sum over three ranks that hold the same rows. */
typedef struct ranks {
  size_t n_calls, n;
} ranks;

static void sum_of_three(void *context, double *x, size_t n) {
  ranks *const c = context;
  c->n_calls++;
  c->n = n;
  for (size_t i = 0; i < n; i++) x[i] *= 3.0;
}

/* Three times the same rows have the same mean and variance. Batch norm calls `sum` once forward and once
 * backward, and not at all in prediction. */
static void batch_norm_requests_sums_once(void **state) {
  (void)state;
  rig alone = norm_rig();
  rig third = norm_rig();
  ranks c = {0};
  ls_pass pass = training;
  pass.sum = sum_of_three;
  pass.context = &c;
  forward(&alone, &training);
  forward(&third, &pass);
  assert_int_equal(c.n_calls, 1);
  assert_int_equal(c.n, 2 * N_IN + 1);
  check_norm("y", ROWS * N_IN, third.y, alone.y, 1e-7, 0.0);
  backward(&alone, &training, alone.dx);
  backward(&third, &pass, third.dx);
  assert_int_equal(c.n_calls, 2);
  check_norm("dx", ROWS * N_IN, third.dx, alone.dx, 1e-6, 0.0);
  check_same("gradients are local sums", alone.n_values, third.grads, alone.grads);
  backward(&third, &pass, NULL);
  pass.mode = LS_PREDICT;
  forward(&third, &pass);
  backward(&third, &pass, third.dx);
  assert_int_equal(c.n_calls, 2);
  rig_free(&alone);
  rig_free(&third);
}

/* Passes the rows to `gather` before the pass, at most two at a time.  dy: NULL in forward */
static void gather_pieces(rig *r, const ls_pass *pass, float *dy) {
  r->layer->input = r->x;
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    ls_rows rows = {.first = pass->lanes[lane]};
    do { /* once for an empty lane */
      rows.n = ls_size_min(2, pass->lanes[lane + 1] - rows.first);
      rows.x = r->x + rows.first * N_IN;
      rows.dy = dy ? dy + rows.first * N_IN : NULL;
      r->layer->type->gather(r->layer, pass, lane, &rows);
      spoil_workspace(r);
      rows.first += rows.n;
    } while (rows.first < pass->lanes[lane + 1]);
  }
  r->layer->is_gathered = true;
}

/* Sums that are gathered while other layers run are those of all rows, in training, backward and
 * prediction, for several lanes, one of them empty. */
static void batch_norm_gathers_pieces(void **state) {
  (void)state;
  rig whole = norm_rig();
  rig parts = norm_rig();
  ls_pass pass = training;
  pass.n_lanes = COUNT(three_lanes) - 1;
  pass.lanes = three_lanes;
  for (int k = 0; k < 2; k++, pass.mode = LS_PREDICT) {
    forward(&whole, &pass);
    gather_pieces(&parts, &pass, NULL);
    forward(&parts, &pass);
    check_norm("y", ROWS * N_IN, parts.y, whole.y, 1e-7, 0.0);
    check_norm("running averages", whole.n_state, parts.state, whole.state, 1e-7, 0.0);
    backward(&whole, &pass, whole.dx);
    fill_coefficients(&parts, parts.dy);
    gather_pieces(&parts, &pass, parts.dy);
    memcpy(whole.values, parts.grads, whole.n_values * sizeof *parts.grads);
    ls_layer_backward(parts.layer, &pass, parts.x, parts.dy, parts.dx);
    check_norm("dx", ROWS * N_IN, parts.dx, whole.dx, 1e-6, 0.0);
    check_norm("gradients", whole.n_values, parts.grads, whole.grads, 1e-6, 0.0);
    check_same("gradients are complete before", whole.n_values, whole.values, parts.grads);
    memcpy(whole.values, parts.values, whole.n_values * sizeof *parts.values);
    assert_false(parts.layer->is_gathered);
  }
  rig_free(&whole);
  rig_free(&parts);
}

/* ----------------------------------------------------------------- residual */

/* y = x + tanh(x W^T + b) and y = S x + ..., computed from single layers. */
static void residual_is_the_sum_of_its_parts(void **state) {
  (void)state;
  static const struct {
    const char *residual, *inside;
    bool has_skip;
  } rows[] = {{"{layer: residual, layers: [{layer: dense, units: 6, activation: tanh}]}",
               "{layer: dense, units: 6, activation: tanh}", false},
              {"{layer: residual, layers: [{layer: dense, units: 4, activation: tanh}]}",
               "{layer: dense, units: 4, activation: tanh}", true}};
  for (size_t k = 0; k < COUNT(rows); k++) {
    rig r = rig_of(rows[k].residual, 2);
    rig inside = rig_of(rows[k].inside, 2);
    const size_t n_out = r.layer->n_out;
    assert_int_equal(r.layer->n_children, 1 + rows[k].has_skip);
    memcpy(inside.values, r.values, inside.n_values * sizeof *r.values);
    forward(&r, &training);
    forward(&inside, &training);
    if (rows[k].has_skip)
      ls_math_product_nt(ROWS, n_out, N_IN, r.x, r.layer->children[1]->params[0].value, 1.0F, inside.y);
    else
      ls_math_add_scaled(ROWS * N_IN, 1.0F, r.x, inside.y);
    check_norm("y", ROWS * n_out, r.y, inside.y, 1e-7, 0.0);
    rig_free(&r);
    rig_free(&inside);
  }
}

/* Elementwise layers keep the dims of a sample, dense flattens them; a skip fits the number of elements. */
static void layers_infer_shapes(void **state) {
  (void)state;
  static const ls_shape image = {3, {2, 3, 1}};
  static const struct {
    const char *map;
    ls_shape out;
  } rows[] = {{"{layer: gelu}", {3, {2, 3, 1}}},
              {"{layer: dropout}", {3, {2, 3, 1}}},
              {"{layer: batch_norm}", {3, {2, 3, 1}}},
              {"{layer: conv2d, filters: 3, kernel_size: 2, padding: same}", {3, {2, 3, 3}}},
              {"{layer: max_pool, size: 2, stride: 1}", {3, {1, 2, 1}}},
              {"{layer: global_avg_pool}", {1, {1}}},
              {"{layer: flatten}", {1, {6}}},
              {"{layer: dense, units: 4}", {1, {4}}},
              {"{layer: residual, layers: [{layer: relu}]}", {3, {2, 3, 1}}},
              {"{layer: residual, layers: [{layer: dense, units: 6}]}", {1, {6}}},
              {"{layer: residual, layers: [{layer: dense, units: 4}]}", {1, {4}}}};
  for (size_t k = 0; k < COUNT(rows); k++) {
    char *const text = ls_format("model: [%s]", rows[k].map);
    ls_config *config = config_of(text);
    uint32_t next = LS_LAYERS_MAX;
    ls_node *const list = ls_node_find(ls_config_root(config), "model");
    ls_layer *layer = ls_layer_create(config, ls_node_item(list, 0), 0, &next);
    assert_int_equal(ls_layer_infer_shapes(layer, &image), LS_OK);
    assert_true(same_shape(&layer->in, &image) && same_shape(&layer->out, &rows[k].out));
    assert_int_equal(layer->n_in, 6);
    assert_int_equal(layer->n_children, (strstr(rows[k].map, "residual") != NULL) + (k == 10));
    ls_layer_destroy(&layer);
    layer = ls_layer_create(config, ls_node_item(list, 0), 0, &next);
    assert_int_equal(ls_layer_infer_shapes(layer, &(ls_shape){2, {SIZE_MAX / 2, 3}}), LS_ERR_CONFIG);
    assert_non_null(strstr(ls_message(), "net.yaml:1: model.0"));
    assert_non_null(strstr(ls_message(), ", 3)"));
    ls_layer_destroy(&layer);
    ls_config_destroy(&config);
    free(text);
  }
}

/* Nested layers have the indices 1000, 1001, ... in the order of the config. */
static void nested_layers_have_their_own_indices(void **state) {
  (void)state;
  rig r = rig_of("{layer: residual, layers: [{layer: dense, units: 6}, {layer: residual, layers: [{layer: "
                 "dense, units: 6}, {layer: dropout}]}, {layer: dense, units: 6}]}",
                 7);
  const ls_layer *const inner = r.layer->children[1];
  assert_int_equal(r.layer->index, 7);
  assert_int_equal(r.layer->children[0]->index, LS_LAYERS_MAX);
  assert_int_equal(inner->index, LS_LAYERS_MAX + 1);
  assert_int_equal(inner->children[0]->index, LS_LAYERS_MAX + 2);
  assert_int_equal(inner->children[1]->index, LS_LAYERS_MAX + 3);
  assert_int_equal(r.layer->children[2]->index, LS_LAYERS_MAX + 4);
  rig_free(&r);
}

/* ------------------------------------------------------------- initialisers */

#define INIT_IN  300
#define INIT_OUT 200

static double variance_of(size_t n, const float *w) {
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) sum += (double)w[i] * (double)w[i];
  return sum / (double)n;
}

/* The variances agree within five standard errors. Only a uniform distribution has no value beyond sqrt(3)
 * standard deviations. */
static void initialisers_have_the_right_variance(void **state) {
  (void)state;
  static const struct {
    double variance;
    ls_init_kind init;
    bool is_uniform;
    double gain, std;
  } rows[] = {
      {2.0 / (INIT_IN + INIT_OUT), LS_XAVIER_UNIFORM, true, 1.0, 0.0},
      {2.0 / (INIT_IN + INIT_OUT), LS_XAVIER_NORMAL, false, 1.0, 0.0},
      {2.0 / INIT_IN, LS_HE_UNIFORM, true, 1.0, 0.0},
      {2.0 / INIT_IN, LS_HE_NORMAL, false, 1.0, 0.0},
      {1.0 / INIT_IN, LS_LECUN_NORMAL, false, 1.0, 0.0},
      {9.0 * 2.0 / INIT_IN, LS_HE_NORMAL, false, 3.0, 0.0},
      {0.25 * 2.0 / (INIT_IN + INIT_OUT), LS_XAVIER_UNIFORM, true, 0.5, 0.0},
      {0.04, LS_INIT_NORMAL, false, 1.0, 0.2},
      {0.09, LS_INIT_UNIFORM, true, 1.0, 0.3},
      {0.36, LS_INIT_UNIFORM, true, 2.0, 0.3},
  };
  const size_t n = (size_t)INIT_IN * INIT_OUT;
  float *const w = new_floats(n);
  for (size_t i = 0; i < COUNT(rows); i++) {
    const double variance = rows[i].variance;
    const ls_init init = {.kind = (int)rows[i].init, .gain = rows[i].gain, .std = rows[i].std};
    ls_init_weights(&init, LS_LINEAR, 1, 0, INIT_OUT, INIT_IN, w);
    double mean = 0.0;
    double most = 0.0;
    for (size_t j = 0; j < n; j++) {
      mean += (double)w[j] / (double)n;
      most = fmax(most, fabs((double)w[j]));
    }
    check_close("mean", mean, 0.0, 5.0 * sqrt(variance / (double)n));
    check_close("variance", variance_of(n, w), variance,
                5.0 * variance * sqrt((rows[i].is_uniform ? 0.8 : 2.0) / (double)n));
    if (rows[i].is_uniform)
      check_close("bound", most, sqrt(3.0 * variance), 1e-3 * sqrt(variance));
    else
      check_close("largest", most, 4.4 * sqrt(variance), 0.6 * sqrt(variance)); /* of 60,000 */
  }
  free(w);
}

static void zeros_are_zeros(void **state) {
  (void)state;
  const ls_init zeros = {.kind = LS_INIT_ZEROS, .gain = 5.0};
  float w[12] = {1, 2, 3};
  ls_init_weights(&zeros, LS_RELU, 1, 0, 3, 4, w);
  for (size_t i = 0; i < 12; i++) check_close("w", (double)w[i], 0.0, 0.0);
}

static void the_default_follows_the_activation(void **state) {
  (void)state;
  for (ls_activation f = LS_LINEAR; f <= LS_SOFTMAX; f++) {
    const bool is_relu = f == LS_RELU || f == LS_LEAKY_RELU || f == LS_ELU || f == LS_GELU;
    const ls_init init = {.kind = LS_INIT_DEFAULT, .gain = 1.0};
    const ls_init want = {.kind = is_relu ? LS_HE_NORMAL : LS_XAVIER_UNIFORM, .gain = 1.0};
    float a[15];
    float b[15];
    ls_init_weights(&init, f, 1, 0, 3, 5, a);
    ls_init_weights(&want, LS_LINEAR, 1, 0, 3, 5, b);
    check_same(ls_activation_names[f], 15, a, b);
  }
}

/* A row depends on its number, but not on the number of rows; other seeds and blocks give other values. */
static void weights_are_keyed_on_the_row(void **state) {
  (void)state;
  const ls_init he = {.kind = LS_HE_NORMAL, .gain = 1.0};
  float few[3 * 5];
  float many[9 * 5];
  ls_init_weights(&he, LS_RELU, 1, 4, 3, 5, few);
  ls_init_weights(&he, LS_RELU, 1, 4, 9, 5, many);
  check_same("rows", 15, few, many);
  for (size_t i = 0; i < 9; i++)
    for (size_t j = 0; j < i; j++) assert_memory_not_equal(many + 5 * i, many + 5 * j, 5 * sizeof *many);
  ls_init_weights(&he, LS_RELU, 2, 4, 3, 5, few);
  assert_memory_not_equal(few, many, sizeof few);
  ls_init_weights(&he, LS_RELU, 1, 5, 3, 5, few);
  assert_memory_not_equal(few, many, sizeof few);
}

static void biases_start_as_configured(void **state) {
  (void)state;
  rig zeros = rig_of("{layer: dense, units: 1000, activation: tanh}", 1);
  zeros.layer->type->initialise(zeros.layer, 1);
  check_close("zeros", variance_of(1000, zeros.layer->params[1].value), 0.0, 0.0);
  rig_free(&zeros);
  rig normal = rig_of("{layer: dense, units: 1000, bias_init: normal, init: zeros}", 1);
  normal.layer->type->initialise(normal.layer, 1);
  check_close("normal", variance_of(1000, normal.layer->params[1].value), 1e-4, 5e-4 * sqrt(2e-3));
  check_close("W", variance_of((size_t)1000 * N_IN, normal.layer->params[0].value), 0.0, 0.0);
  rig_free(&normal);
}

/* `init` is a name, or a map with a standard deviation, which the weights have. */
static void init_reads_names_and_maps(void **state) {
  (void)state;
  static const struct {
    const char *keys;
    ls_init want;
  } rows[] = {
      {"init: he_uniform", {LS_HE_UNIFORM, 1.0, 0.0}},
      {"init: he_uniform, gain: 0.5", {LS_HE_UNIFORM, 0.5, 0.0}},
      {"init: normal", {LS_INIT_NORMAL, 1.0, 0.01}},
      {"init: uniform, gain: 3", {LS_INIT_UNIFORM, 3.0, 0.01}},
      {"init: {type: normal}", {LS_INIT_NORMAL, 1.0, 0.01}},
      {"init: {type: normal, std: 0.5}", {LS_INIT_NORMAL, 1.0, 0.5}},
      {"init: {type: uniform, std: 2}", {LS_INIT_UNIFORM, 1.0, 2.0}},
      {"init: {type: lecun_normal}, gain: 2", {LS_LECUN_NORMAL, 2.0, 0.0}},
      {"activation: elu", {LS_HE_NORMAL, 1.0, 0.0}},
      {"activation: softplus", {LS_XAVIER_UNIFORM, 1.0, 0.0}},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    char *const map = ls_format("{layer: dense, units: 20, %s}", rows[i].keys);
    rig r = rig_of(map, 3);
    float want[20 * N_IN];
    ls_init_weights(&rows[i].want, LS_LINEAR, 5, 6, 20, N_IN, want);
    r.layer->type->initialise(r.layer, 5);
    check_same(map, COUNT(want), r.params[0]->value, want);
    rig_free(&r);
    free(map);
  }
}

/* A bias differs from the first row of W and from the biases of other layers. */
static void blocks_have_independent_numbers(void **state) {
  (void)state;
  static const char map[] = "{layer: dense, units: 6, bias_init: normal, init: lecun_normal}";
  rig first = rig_of(map, 0);
  rig second = rig_of(map, 1);
  first.layer->type->initialise(first.layer, 1);
  second.layer->type->initialise(second.layer, 1);
  const ls_param *const one = first.layer->params;
  const ls_param *const two = second.layer->params;
  const float to_row = 100.0F / sqrtf((float)N_IN); /* from a deviation of 0.01 to that of W */
  for (size_t i = 0; i < 6; i++) {
    assert_true(one[1].value[i] != two[1].value[i]);
    assert_true(one[0].value[i] != two[0].value[i]);
    assert_true(fabsf(one[1].value[i] * to_row - one[0].value[i]) > 1e-4F);
    assert_true(fabsf(one[1].value[i] * to_row - two[0].value[i]) > 1e-4F);
  }
  rig_free(&first);
  rig_free(&second);
}

/* The messages name the layer and both shapes. */
static void layers_reject_shapes_that_do_not_fit(void **state) {
  (void)state;
  static const struct {
    const char *map;
    ls_shape in;
    const char *parts[3];
  } rows[] = {
      {"{layer: conv2d, filters: 2, kernel_size: 5}", {3, {4, 6, 3}}, {"(5, 5)", "(4, 6, 3)", "larger"}},
      {"{layer: conv1d, filters: 2, kernel_size: 3, dilation: 2}",
       {2, {4, 1}},
       {"(3)", "(4, 1)", "larger"}},
      {"{layer: conv3d, filters: 2, kernel_size: 2}", {4, {1, 3, 3, 2}}, {"(2, 2, 2)", "(1, 3, 3, 2)", ""}},
      {"{layer: max_pool, size: 3}", {3, {2, 9, 4}}, {"(3, 3)", "(2, 9, 4)", "larger"}},
      {"{layer: conv2d, filters: 2, kernel_size: 3}", {1, {784}}, {"(784)", "(H, W, C)", "data.shape"}},
      {"{layer: conv2d, filters: 2, kernel_size: 3}", {4, {9, 9, 9, 1}}, {"(9, 9, 9, 1)", "(H, W, C)", ""}},
      {"{layer: conv1d, filters: 2, kernel_size: 3}", {3, {9, 9, 1}}, {"(9, 9, 1)", "(L, C)", ""}},
      {"{layer: max_pool, size: 2, padding: 2}", {3, {8, 8, 1}}, {"padding", "(8, 8, 1)", "pads 2+2 2+2"}},
      {"{layer: avg_pool, size: 2, padding: [[0, 2], 0]}", {3, {8, 8, 1}}, {"padding", "(8, 8, 1)", "0+2"}},
      {"{layer: avg_pool, size: [2, 2]}", {4, {8, 8, 8, 1}}, {"(8, 8, 8, 1)", "(H, W, C)", ""}},
      {"{layer: conv2d, filters: 4, kernel_size: 1, groups: 2}",
       {3, {8, 8, 3}},
       {"groups", "2", "(8, 8, 3)"}},
      {"{layer: residual, layers: [{layer: conv2d, filters: 2, kernel_size: 2}]}",
       {3, {5, 5, 2}},
       {"skip", "(5, 5, 2)", "(4, 4, 2)"}},
      {"{layer: residual, layers: [{layer: relu}], skip: [{layer: max_pool, size: 2}]}",
       {3, {4, 4, 2}},
       {"skip", "(2, 2, 2)", "(4, 4, 2)"}},
  };
  for (size_t k = 0; k < COUNT(rows); k++) {
    char *const text = ls_format("model: [%s]", rows[k].map);
    ls_config *config = config_of(text);
    uint32_t next = LS_LAYERS_MAX;
    ls_layer *layer =
        ls_layer_create(config, ls_node_item(ls_node_find(ls_config_root(config), "model"), 0), 0, &next);
    check_valid(config);
    assert_int_equal(ls_layer_infer_shapes(layer, &rows[k].in), LS_ERR_CONFIG);
    assert_non_null(strstr(ls_message(), "net.yaml:1: model.0"));
    for (size_t i = 0; i < 3; i++)
      if (!strstr(ls_message(), rows[k].parts[i]))
        fail_msg("no '%s' in: %s", rows[k].parts[i], ls_message());
    ls_layer_destroy(&layer);
    ls_config_destroy(&config);
    free(text);
  }
}

static void windows_reject_wrong_keys(void **state) {
  (void)state;
  static const struct {
    const char *keys, *key;
  } rows[] = {
      {"kernel_size: 0", "kernel_size"},
      {"kernel_size: [3, 3, 3]", "kernel_size"},
      {"kernel_size: [3, x]", "kernel_size.1"},
      {"kernel_size: {a: 1}", "kernel_size"},
      {"kernel_size: 3, stride: 0", "stride"},
      {"kernel_size: 3, stride: 1.5", "stride"},
      {"kernel_size: 3, stride: -1", "stride"},
      {"kernel_size: 3, stride: []", "stride"},
      {"kernel_size: 3, dilation: 0", "dilation"},
      {"kernel_size: 3, padding: full", "padding"},
      {"kernel_size: 3, padding: -1", "padding"},
      {"kernel_size: 3, padding: [1]", "padding"},
      {"kernel_size: 3, padding: [[1, 2, 3], 1]", "padding.0"},
      {"kernel_size: 3, padding: [[1], 1]", "padding.0"},
      {"kernel_size: 3, padding: [1, [0, [1]]]", "padding.1.1"},
      {"kernel_size: 3, groups: 3", "groups"},
      {"kernel_size: 99999999999999999999", "kernel_size"},
  };
  for (size_t k = 0; k < COUNT(rows); k++) {
    char *const text = ls_format("model: [{layer: conv2d, filters: 4, %s}]", rows[k].keys);
    char *const want = ls_format("net.yaml:1: model.0.%s: ", rows[k].key);
    ls_config *config = config_of(text);
    uint32_t next = LS_LAYERS_MAX;
    ls_layer *layer =
        ls_layer_create(config, ls_node_item(ls_node_find(ls_config_root(config), "model"), 0), 0, &next);
    assert_int_equal(ls_config_status(config), LS_ERR_CONFIG);
    if (!strstr(ls_message(), want)) fail_msg("no '%s' in: %s", want, ls_message());
    ls_layer_destroy(&layer);
    ls_config_destroy(&config);
    free(text);
    free(want);
  }
}

/* With `spatial`, a channel of a sample is dropped at all positions or at none. */
static void spatial_dropout_drops_channels(void **state) {
  (void)state;
  rig r = rig_of("{layer: dropout, rate: 0.5, spatial: true}", 2);
  size_t n_dropped = 0;
  forward(&r, &training);
  for (size_t i = 0; i < ROWS; i++)
    for (size_t c = 0; c < 2; c++) {
      const bool is_dropped = r.y[i * N_IN + c] == 0.0F;
      n_dropped += is_dropped;
      for (size_t j = c; j < N_IN; j += 2)
        check_close("y", (double)r.y[i * N_IN + j], is_dropped ? 0.0 : 2.0 * (double)r.x[i * N_IN + j],
                    0.0);
    }
  assert_in_range(n_dropped, 2, 14); /* of 16 */
  rig_free(&r);
}

/* The fans of a convolution are kernel size * channels / groups, in and out. */
static void convolutions_have_their_fans(void **state) {
  (void)state;
  rig r = rig_of_shape(
      "{layer: conv2d, filters: 90, kernel_size: [3, 2], padding: same, groups: 2, activation: "
      "sigmoid}",
      2, &(ls_shape){3, {1, 1, 6}});
  const size_t n = ls_param_count(r.params[0]);
  const double variance = 2.0 / (6.0 * 3.0 + 6.0 * 45.0); /* xavier_uniform */
  r.layer->type->initialise(r.layer, 1);
  assert_int_equal(n, 90 * 6 * 3);
  check_close("variance", variance_of(n, r.params[0]->value), variance,
              5.0 * variance * sqrt(0.8 / (double)n));
  rig_free(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type_and_activation_is_tested),
      cmocka_unit_test(tables_are_complete),
      cmocka_unit_test(gradients_match_differences),
      cmocka_unit_test(dx_may_be_absent),
      cmocka_unit_test(gradients_accumulate),
      cmocka_unit_test(no_rows_have_no_gradient),
      cmocka_unit_test(only_training_updates_state),
      cmocka_unit_test(lanes_change_only_rounding),
      cmocka_unit_test(lanes_are_independent),
      cmocka_unit_test(linked_layers_skip_their_activation),
      cmocka_unit_test(dense_matches_manual_results),
      cmocka_unit_test(dropout_is_keyed_on_the_sample),
      cmocka_unit_test(dropout_is_keyed_on_step_seed_and_layer),
      cmocka_unit_test(dropout_is_off_in_prediction),
      cmocka_unit_test(dropout_accepts_a_rate_near_1),
      cmocka_unit_test(batch_norm_follows_its_definition),
      cmocka_unit_test(batch_norm_predicts_from_running_averages),
      cmocka_unit_test(batch_norm_of_one_row),
      cmocka_unit_test(batch_norm_of_a_constant),
      cmocka_unit_test(batch_norm_propagates_nan_but_does_not_store_it),
      cmocka_unit_test(batch_norm_requests_sums_once),
      cmocka_unit_test(batch_norm_gathers_pieces),
      cmocka_unit_test(residual_is_the_sum_of_its_parts),
      cmocka_unit_test(layers_infer_shapes),
      cmocka_unit_test(layers_reject_shapes_that_do_not_fit),
      cmocka_unit_test(windows_reject_wrong_keys),
      cmocka_unit_test(spatial_dropout_drops_channels),
      cmocka_unit_test(convolutions_have_their_fans),
      cmocka_unit_test(nested_layers_have_their_own_indices),
      cmocka_unit_test(initialisers_have_the_right_variance),
      cmocka_unit_test(zeros_are_zeros),
      cmocka_unit_test(the_default_follows_the_activation),
      cmocka_unit_test(weights_are_keyed_on_the_row),
      cmocka_unit_test(biases_start_as_configured),
      cmocka_unit_test(init_reads_names_and_maps),
      cmocka_unit_test(blocks_have_independent_numbers),
  };
  return cmocka_run_group_tests_name("layer", tests, NULL, NULL);
}
