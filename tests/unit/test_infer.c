/* infer: predictions of liblockstep-infer, in a program that links the library of the trainer too, compared
 * with the forward pass of the trainer. */
#include "allocations.h"
#include "support.h"

#include "lockstep/infer.h"
#include "lockstep/modelfile.h"

#include <fenv.h>
#include <hdf5.h>
#include <locale.h>
#include <pthread.h>
#include <unistd.h>

/* ------------------------------------------------------------------ nets */

/* A net whose model file the tests write. */
typedef struct net {
  const char *name, *config;
  ls_shape input;
  ls_shape stored;  /* of a sample of x; no dims: a file that does not have it */
  size_t channels;  /* that come first in x; 1: x has the order of `input` */
  double tolerance; /* relative, of the outputs; 0: the same bits */
  bool has_targets; /* standardised */
  ls_infer_task task;
} net;

#define EVERY_LAYER                                                                                        \
  "[{layer: conv2d, filters: 5, kernel_size: 3, padding: same, activation: gelu},"                         \
  "{layer: conv2d, filters: 16, kernel_size: 3, padding: 1, bias: false}, {layer: batch_norm}, {layer: "   \
  "relu},"                                                                                                 \
  "{layer: max_pool, size: 2}, {layer: dropout, spatial: true}, {layer: layer_norm},"                      \
  "{layer: residual, activation: gelu, layers: [{layer: conv2d, filters: 6, kernel_size: 3,"               \
  "stride: 2, padding: 1, activation: elu}]}, {layer: avg_pool, size: 2, padding: same},"                  \
  "{layer: residual, activation: relu, layers: [{layer: conv2d, filters: 6, kernel_size: 3,"               \
  "padding: same}, {layer: batch_norm}]}, {layer: flatten}, {layer: dense, units: 61, activation: tanh},"  \
  "{layer: softplus}, {layer: residual, layers: [{layer: dense, units: 16, activation: gelu},"             \
  "{layer: batch_norm}]}, {layer: leaky_relu}, {layer: dense, units: 10, activation: softmax}]"

static const net nets[] = {
    {.name = "dense",
     .config = "model: [{layer: dense, units: 131, activation: relu}, {layer: dense, units: 3, activation: "
               "softmax}]\nloss: categorical_cross_entropy\n",
     .input = {1, {300}},
     .channels = 1,
     .tolerance = 2e-5,
     .task = LS_INFER_CLASSES},
    {.name = "every layer",
     .config = "model: " EVERY_LAYER "\nloss: categorical_cross_entropy\ndata: {layout: channels_first}\n",
     .input = {3, {12, 10, 3}},
     .channels = 3,
     .tolerance = 2e-5,
     .task = LS_INFER_CLASSES},
    {.name = "convolutions",
     .config = "model: [{layer: conv2d, filters: 32, kernel_size: 3, padding: same, activation: relu},"
               "{layer: conv2d, filters: 33, kernel_size: 3, activation: gelu}, {layer: batch_norm},"
               "{layer: conv2d, filters: 7, kernel_size: 1}, {layer: global_avg_pool}, {layer: sigmoid}]\n"
               "loss: binary_cross_entropy\n",
     .input = {3, {9, 8, 16}},
     .channels = 1,
     .task = LS_INFER_LABELS},
    {.name = "regression",
     .config = "model: [{layer: dense, units: 40, activation: tanh}, {layer: dense, units: 2}]\nloss: mse\n"
               "data: {standardize_targets: true}\n",
     .input = {1, {5}},
     .channels = 1,
     .tolerance = 2e-5,
     .has_targets = true,
     .task = LS_INFER_VALUES},
};

#define ROWS 203

/* The net as the trainer has it, its model file, and its predictions for ROWS samples. */
typedef struct fixture {
  const net *net;
  char path[64];
  ls_model *model;
  ls_normalizer *normalizer;
  ls_config *config;
  size_t n_in, n_out;
  float *x;     /* (ROWS, n_in), in the order of the data */
  double *want; /* (ROWS, n_out) */
} fixture;

static fixture fixtures[COUNT(nets)];
static char folder[] = "/tmp/lockstep-infer-XXXXXX";

static void build_model(fixture *f) {
  ls_loss loss;
  ls_loss_options options;
  f->config = config_of(f->net->config);
  ls_loss_configure(f->config, &loss, &options);
  assert_int_equal(ls_model_parse(f->config, loss, &f->model), LS_OK);
  check_valid(f->config);
  assert_int_equal(ls_model_infer_shapes(f->model, &f->net->input), LS_OK);
  assert_int_equal(ls_model_build(f->model, ROWS), LS_OK);
  ls_model_initialise(f->model, 7);
  for (size_t i = 0; i < f->model->n_state; i++) f->model->state[i] += 0.01F * (float)(i % 10);
  f->n_in = f->model->n_in;
  f->n_out = f->model->n_out;
}

static void build_normalizer(fixture *f) {
  double *const values = ls_calloc(2 * (f->n_in + f->n_out), sizeof *values);
  for (size_t i = 0; i < 2 * (f->n_in + f->n_out); i++) values[i] = 0.5 + 0.1 * (double)(i % 7);
  assert_int_equal(ls_normalizer_create(f->n_in, &f->normalizer), LS_OK);
  ls_normalizer_set(f->normalizer, values, values + f->n_in);
  if (f->net->has_targets) {
    assert_int_equal(ls_normalizer_add_targets(f->normalizer, f->n_out), LS_OK);
    ls_normalizer_set(f->normalizer->targets, values, values + f->n_out);
  }
  free(values);
}

static void write_model(fixture *f, size_t number) {
  static const char *const classes[] = {"a", "b", "c"};
  const ls_modelfile_content content = {.config = f->net->config,
                                        .classes = number == 0 ? classes : NULL,
                                        .n_classes = number == 0 ? 3 : 0,
                                        .stored = f->net->stored,
                                        .model = f->model,
                                        .normalizer = f->normalizer};
  snprintf(f->path, sizeof f->path, "%s/%zu.h5", folder, number);
  assert_int_equal(ls_modelfile_write(f->path, &content), LS_OK);
}

/* The forward pass of the trainer, for samples with channels last. */
static void predict(fixture *f) {
  const size_t lanes[] = {0, ROWS};
  const size_t positions = f->n_in / f->net->channels;
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  float *const rows = new_floats(ROWS * f->n_in);
  for (size_t i = 0; i < ROWS; i++) {
    float *const sample = new_floats(f->n_in);
    for (size_t c = 0; c < f->net->channels; c++)
      for (size_t k = 0; k < positions; k++)
        sample[k * f->net->channels + c] = f->x[i * f->n_in + c * positions + k];
    ls_math_normalize_f32(f->n_in, sample, f->normalizer->offset32, f->normalizer->factor32,
                          rows + i * f->n_in);
    free(sample);
  }
  ls_model_forward(f->model, &pass, rows);
  const float *const y = ls_model_predict(f->model, ROWS);
  if (f->net->has_targets)
    ls_normalizer_restore_targets(f->normalizer, ROWS, y, f->want);
  else
    for (size_t i = 0; i < ROWS * f->n_out; i++) f->want[i] = (double)y[i];
  free(rows);
}

static int create_fixtures(void **state) {
  (void)state;
  assert_non_null(mkdtemp(folder));
  for (size_t k = 0; k < COUNT(nets); k++) {
    fixture *const f = &fixtures[k];
    f->net = &nets[k];
    build_model(f);
    build_normalizer(f);
    write_model(f, k);
    f->x = new_floats(ROWS * f->n_in);
    f->want = ls_calloc(ROWS * f->n_out, sizeof *f->want);
    fill_random(k, ROWS * f->n_in, f->x);
    predict(f);
  }
  return 0;
}

static int remove_fixtures(void **state) {
  (void)state;
  for (size_t k = 0; k < COUNT(nets); k++) {
    fixture *const f = &fixtures[k];
    unlink(f->path);
    ls_model_destroy(&f->model);
    ls_normalizer_destroy(&f->normalizer);
    ls_config_destroy(&f->config);
    free(f->x);
    free(f->want);
  }
  return rmdir(folder);
}

static ls_infer *open_model(const char *path) {
  ls_infer *model = NULL;
  char message[512] = "old";
  if (ls_infer_open(path, &model, message, sizeof message) != LS_INFER_OK)
    fail_msg("%s: %s", path, message);
  assert_string_equal(message, "");
  assert_non_null(model);
  return model;
}

static ls_infer_workspace *new_workspace(const ls_infer *model, size_t rows) {
  ls_infer_workspace *workspace = NULL;
  assert_int_equal(ls_infer_workspace_create(model, rows, &workspace), LS_INFER_OK);
  assert_non_null(workspace);
  return workspace;
}

/* ------------------------------------------------------------- predictions */

static void check_predictions(const fixture *f, const float *y) {
  double largest = 0.0;
  for (size_t i = 0; i < ROWS * f->n_out; i++) largest = fmax(largest, fabs(f->want[i]));
  for (size_t i = 0; i < ROWS * f->n_out; i++)
    check_close(f->net->name, (double)y[i], (double)(float)f->want[i], f->net->tolerance * largest);
}

static void predictions_equal_the_trainer(void **state) {
  (void)state;
  for (size_t k = 0; k < COUNT(nets); k++) {
    const fixture *const f = &fixtures[k];
    ls_infer *model = open_model(f->path);
    ls_infer_workspace *workspace = new_workspace(model, ROWS);
    float *const y = new_floats(ROWS * f->n_out);
    assert_int_equal(ls_infer_inputs(model), f->n_in);
    assert_int_equal(ls_infer_outputs(model), f->n_out);
    assert_int_equal(ls_infer_task_of(model), f->net->task);
    assert_int_equal(ls_infer_run(model, workspace, ROWS, f->x, y), LS_INFER_OK);
    check_predictions(f, y);
    free(y);
    ls_infer_workspace_destroy(&workspace);
    ls_infer_close(&model);
    assert_null(workspace);
    assert_null(model);
  }
}

/* In calls and pieces of any size, in a file or in memory; a call allocates nothing. */
static void rows_have_the_same_bits_in_any_call(void **state) {
  (void)state;
  static const size_t calls[] = {1, 7, 200}, pieces[] = {1, 5, 1000};
  for (size_t k = 0; k < COUNT(nets); k++) {
    const fixture *const f = &fixtures[k];
    const size_t at_start = n_allocations;
    ls_infer *model = open_model(f->path);
    assert_true(n_allocations > at_start); /* those of the library are counted */
    float *const all = new_floats(ROWS * f->n_out);
    float *const y = new_floats(ROWS * f->n_out);
    ls_infer_workspace *workspace = new_workspace(model, ROWS);
    assert_int_equal(ls_infer_run(model, workspace, ROWS, f->x, all), LS_INFER_OK);
    ls_infer_workspace_destroy(&workspace);
    for (size_t c = 0; c < COUNT(calls); c++) {
      workspace = new_workspace(model, pieces[c]);
      const size_t before = n_allocations;
      for (size_t i = 0; i < ROWS; i += calls[c])
        assert_int_equal(ls_infer_run(model, workspace, ls_size_min(calls[c], ROWS - i), f->x + i * f->n_in,
                                      y + i * f->n_out),
                         LS_INFER_OK);
      assert_int_equal(n_allocations, before);
      check_same(f->net->name, ROWS * f->n_out, y, all);
      ls_infer_workspace_destroy(&workspace);
    }
    free(all);
    free(y);
    ls_infer_close(&model);
  }
}

/* Doubles, and arrays in column-major order. */
static void arrays_may_be_doubles_and_strided(void **state) {
  (void)state;
  for (size_t k = 0; k < COUNT(nets); k++) {
    const fixture *const f = &fixtures[k];
    ls_infer *model = open_model(f->path);
    ls_infer_workspace *workspace = new_workspace(model, 16);
    float *const want = new_floats(ROWS * f->n_out);
    float *const columns = new_floats(ROWS * f->n_in);
    float *const y = new_floats(ROWS * f->n_out);
    double *const x64 = ls_calloc(ROWS * f->n_in, sizeof *x64);
    double *const y64 = ls_calloc(ROWS * f->n_out, sizeof *y64);
    for (size_t i = 0; i < ROWS; i++)
      for (size_t j = 0; j < f->n_in; j++) columns[j * ROWS + i] = f->x[i * f->n_in + j];
    for (size_t i = 0; i < ROWS * f->n_in; i++) x64[i] = (double)columns[i];
    assert_int_equal(ls_infer_run(model, workspace, ROWS, f->x, want), LS_INFER_OK);
    assert_int_equal(ls_infer_run_strided(model, workspace, ROWS, columns, (ls_infer_strides){1, ROWS}, y,
                                          (ls_infer_strides){1, ROWS}),
                     LS_INFER_OK);
    assert_int_equal(ls_infer_run_strided_f64(model, workspace, ROWS, x64, (ls_infer_strides){1, ROWS}, y64,
                                              (ls_infer_strides){f->n_out, 1}),
                     LS_INFER_OK);
    for (size_t i = 0; i < ROWS; i++)
      for (size_t j = 0; j < f->n_out; j++) {
        const float expected = want[i * f->n_out + j];
        check_close(f->net->name, (double)y[j * ROWS + i], (double)expected, 0.0);
        check_close(f->net->name, y64[i * f->n_out + j], (double)expected,
                    1e-4 * fabs((double)expected) + 1e-5);
      }
    for (size_t i = 0; i < ROWS * f->n_in; i++) x64[i] = (double)f->x[i];
    assert_int_equal(ls_infer_run_f64(model, workspace, ROWS, x64, y64), LS_INFER_OK);
    for (size_t i = 0; i < ROWS * f->n_out; i++)
      check_close(f->net->name, y64[i], f->want[i], 1e-4 * fabs(f->want[i]) + 1e-5);
    free(want);
    free(columns);
    free(y);
    free(x64);
    free(y64);
    ls_infer_workspace_destroy(&workspace);
    ls_infer_close(&model);
  }
}

static void shapes_and_names_are_those_of_the_data(void **state) {
  (void)state;
  size_t dims[LS_INFER_DIMS] = {0};
  ls_infer *model = open_model(fixtures[0].path);
  assert_int_equal(ls_infer_shape(model, dims), 1);
  assert_int_equal(dims[0], 300);
  assert_int_equal(ls_infer_class_count(model), 3);
  assert_string_equal(ls_infer_class_name(model, 2), "c");
  assert_null(ls_infer_class_name(model, 3));
  assert_int_equal(ls_infer_feature_count(model), 0);
  assert_null(ls_infer_feature_name(model, 0));
  ls_infer_close(&model);
  model = open_model(fixtures[1].path); /* channels first */
  assert_int_equal(ls_infer_shape(model, dims), 3);
  assert_int_equal(dims[0], 3);
  assert_int_equal(dims[1], 12);
  assert_int_equal(dims[2], 10);
  ls_infer_close(&model);
}

/* The model of grey images whose training data had samples of the shape `stored`. */
static void check_grey_shape(const ls_shape *stored, const ls_shape *want) {
  size_t dims[LS_INFER_DIMS] = {0};
  const net grey = {.config =
                        "model: [{layer: conv2d, filters: 2, kernel_size: 3}, {layer: dense, units: 1}]\n"
                        "loss: mse\ndata: {layout: channels_first}\n",
                    .input = {3, {4, 5, 1}},
                    .stored = *stored};
  fixture f = {.net = &grey};
  build_model(&f);
  build_normalizer(&f);
  write_model(&f, COUNT(nets));
  ls_infer *model = open_model(f.path);
  assert_int_equal(ls_infer_shape(model, dims), want->n_dims);
  assert_memory_equal(dims, want->dims, want->n_dims * sizeof *dims);
  ls_infer_close(&model);
  unlink(f.path);
  ls_model_destroy(&f.model);
  ls_normalizer_destroy(&f.normalizer);
  ls_config_destroy(&f.config);
}

static void shapes_are_those_of_the_training_data(void **state) {
  (void)state;
  check_grey_shape(&(ls_shape){0}, &(ls_shape){3, {1, 4, 5}});
  check_grey_shape(&(ls_shape){3, {1, 4, 5}}, &(ls_shape){3, {1, 4, 5}});
  check_grey_shape(&(ls_shape){2, {4, 5}}, &(ls_shape){2, {4, 5}});
  check_grey_shape(&(ls_shape){1, {20}}, &(ls_shape){1, {20}});
}

/* ------------------------------------------------------------------- threads */

#define THREADS 16

typedef struct caller {
  pthread_t thread;
  const fixture *f;
  ls_infer *shared;
  int code;
  float *y;
} caller;

/* Predicts all samples with a workspace of its own, while others do the same and open models. */
static void *call_many(void *context) {
  caller *const c = context;
  ls_infer *own = NULL;
  ls_infer_workspace *workspace = NULL;
  c->code = ls_infer_open(c->f->path, &own, NULL, 0);
  ls_infer_close(&own);
  if (c->code == LS_INFER_OK) c->code = ls_infer_workspace_create(c->shared, 9, &workspace);
  for (int i = 0; c->code == LS_INFER_OK && i < 3; i++)
    c->code = ls_infer_run(c->shared, workspace, ROWS, c->f->x, c->y);
  ls_infer_workspace_destroy(&workspace);
  return NULL;
}

static void threads_share_a_model(void **state) {
  (void)state;
  caller callers[THREADS] = {0};
  for (size_t k = 0; k < COUNT(nets); k++) {
    const fixture *const f = &fixtures[k];
    ls_infer *model = open_model(f->path);
    for (size_t t = 0; t < THREADS; t++) {
      callers[t] = (caller){.f = f, .shared = model, .y = new_floats(ROWS * f->n_out)};
      assert_int_equal(pthread_create(&callers[t].thread, NULL, call_many, &callers[t]), 0);
    }
    for (size_t t = 0; t < THREADS; t++) assert_int_equal(pthread_join(callers[t].thread, NULL), 0);
    for (size_t t = 0; t < THREADS; t++) {
      assert_int_equal(callers[t].code, LS_INFER_OK);
      check_same(f->net->name, ROWS * f->n_out, callers[t].y, callers[0].y);
    }
    check_predictions(f, callers[0].y);
    for (size_t t = 0; t < THREADS; t++) free(callers[t].y);
    ls_infer_close(&model);
  }
}

/* ------------------------------------------------------------- other programs */

/* Traps, rounding, the locale and the settings of HDF5 of the program. */
static void settings_of_the_program_are_kept(void **state) {
  (void)state;
  const fixture *const f = &fixtures[1];
  float *const want = new_floats(ROWS * f->n_out);
  float *const y = new_floats(ROWS * f->n_out);
  ls_infer *model = open_model(f->path);
  ls_infer_workspace *workspace = new_workspace(model, ROWS);
  assert_int_equal(ls_infer_run(model, workspace, ROWS, f->x, want), LS_INFER_OK);
  ls_infer_workspace_destroy(&workspace);
  ls_infer_close(&model);

  H5E_auto2_t report = NULL;
  void *context = NULL;
  unsigned plugins = 0;
  H5Eset_auto2(H5E_DEFAULT, (H5E_auto2_t)(void (*)(void))H5Eprint2, stderr);
  H5PLset_loading_state(H5PL_ALL_PLUGIN);
  setlocale(LC_ALL, "de_DE.UTF-8"); /* where it exists: numbers have a comma */
  fesetround(FE_UPWARD);
  feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW);
  model = open_model(f->path);
  workspace = new_workspace(model, ROWS);
  assert_int_equal(ls_infer_run(model, workspace, ROWS, f->x, y), LS_INFER_OK);
  assert_int_equal(fegetround(), FE_UPWARD);
  assert_int_equal(fedisableexcept(FE_ALL_EXCEPT), FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW);
  fesetround(FE_TONEAREST);
  setlocale(LC_ALL, "C");
  H5Eget_auto2(H5E_DEFAULT, &report, &context);
  H5PLget_loading_state(&plugins);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  assert_true(report == (H5E_auto2_t)(void (*)(void))H5Eprint2);
  assert_ptr_equal(context, stderr);
  assert_int_equal(plugins, H5PL_ALL_PLUGIN);
  check_same("after changes of the environment", ROWS * f->n_out, y, want);
  ls_infer_workspace_destroy(&workspace);
  ls_infer_close(&model);
  free(want);
  free(y);
}

/* HDF5 refuses to return a handler of its version 1 as one of version 2. */
static void old_error_handlers_are_kept(void **state) {
  (void)state;
  unsigned is_v2 = 1;
  H5E_auto1_t report = NULL;
  void *context = NULL;
  char message[256];
  ls_infer *model = NULL;
  H5Eset_auto1((H5E_auto1_t)(void (*)(void))H5Eprint1, stderr);
  assert_int_equal(ls_infer_open("absent.h5", &model, message, sizeof message), LS_INFER_MODEL);
  H5Eauto_is_v2(H5E_DEFAULT, &is_v2);
  assert_int_equal(is_v2, 0);
  H5Eget_auto1(&report, &context);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  assert_true(report == (H5E_auto1_t)(void (*)(void))H5Eprint1);
  assert_ptr_equal(context, stderr);
}

/* -------------------------------------------------------------------- errors */

/* The bytes of a file, to be freed by the caller. */
static unsigned char *read_bytes(const char *path, size_t *n) {
  FILE *const file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  *n = (size_t)ftell(file);
  rewind(file);
  unsigned char *const bytes = malloc(*n);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, *n, file), *n);
  fclose(file);
  return bytes;
}

static void models_may_be_in_memory(void **state) {
  (void)state;
  const fixture *const f = &fixtures[3];
  size_t n = 0;
  unsigned char *const bytes = read_bytes(f->path, &n);
  float *const y = new_floats(ROWS * f->n_out);
  ls_infer *model = NULL;
  char message[256];
  assert_int_equal(ls_infer_open_memory(bytes, n, &model, message, sizeof message), LS_INFER_OK);
  ls_infer_workspace *workspace = new_workspace(model, 10);
  assert_int_equal(ls_infer_run(model, workspace, ROWS, f->x, y), LS_INFER_OK);
  check_predictions(f, y);
  ls_infer_workspace_destroy(&workspace);
  ls_infer_close(&model);
  for (size_t i = 0; i < n; i += n / 50) {
    bytes[i] ^= 1;
    assert_int_equal(ls_infer_open_memory(bytes, n, &model, message, sizeof message), LS_INFER_MODEL);
    assert_null(model);
    if (!message_has(message, "model in memory: ~ seal")) fail_msg("byte %zu: %s", i, message);
    bytes[i] ^= 1;
  }
  assert_int_equal(ls_infer_open_memory(bytes, n - 1, &model, message, sizeof message), LS_INFER_MODEL);
  assert_int_equal(ls_infer_open_memory(bytes, 0, &model, message, sizeof message), LS_INFER_MODEL);
  assert_int_equal(ls_infer_open_memory(NULL, n, &model, message, sizeof message), LS_INFER_ARGUMENT);
  assert_int_equal(ls_infer_open_memory(bytes, n, NULL, message, sizeof message), LS_INFER_ARGUMENT);
  free(bytes);
  free(y);
}

static void bad_files_are_rejected(void **state) {
  (void)state;
  ls_infer *model = (ls_infer *)(void *)folder;
  char message[256];
  char brief[8];
  assert_int_equal(ls_infer_open("/nowhere/model.h5", &model, message, sizeof message), LS_INFER_MODEL);
  assert_null(model);
  assert_true(message_has(message, "/nowhere/model.h5:"));
  assert_int_equal(ls_infer_open(folder, &model, message, sizeof message), LS_INFER_MODEL);
  assert_true(message_has(message, "~ folder"));
  assert_int_equal(ls_infer_open("/dev/null", &model, message, sizeof message), LS_INFER_MODEL);
  assert_int_equal(ls_infer_open("/nowhere/model.h5", &model, brief, sizeof brief), LS_INFER_MODEL);
  assert_string_equal(brief, "/nowher");
  assert_int_equal(ls_infer_open("/nowhere/model.h5", &model, NULL, 0), LS_INFER_MODEL);
  assert_int_equal(ls_infer_open(NULL, &model, message, sizeof message), LS_INFER_ARGUMENT);
  assert_true(message_has(message, "path ~ NULL"));
  assert_int_equal(ls_infer_open(fixtures[0].path, NULL, message, sizeof message), LS_INFER_ARGUMENT);
  for (int code = -1; code < 100; code++) assert_true(strlen(ls_infer_describe(code)) > 0);
}

static void bad_calls_are_rejected(void **state) {
  (void)state;
  const fixture *const f = &fixtures[0];
  ls_infer *model = open_model(f->path);
  ls_infer *other = open_model(f->path);
  ls_infer_workspace *workspace = NULL;
  float y[3];
  float *const x = new_floats(2 * f->n_in);
  double *const x64 = ls_calloc(f->n_in, sizeof *x64);
  double y64[3];
  assert_int_equal(ls_infer_workspace_create(NULL, 1, &workspace), LS_INFER_ARGUMENT);
  assert_int_equal(ls_infer_workspace_create(model, 1, NULL), LS_INFER_ARGUMENT);
  assert_int_equal(ls_infer_run(model, NULL, 1, x, y), LS_INFER_ARGUMENT);
  workspace = new_workspace(model, 0);
  assert_int_equal(ls_infer_run(NULL, workspace, 1, x, y), LS_INFER_ARGUMENT);
  assert_int_equal(ls_infer_run(other, workspace, 1, x, y), LS_INFER_ARGUMENT);
  assert_true(message_has(ls_infer_message(workspace), "another model"));
  assert_int_equal(ls_infer_run(model, workspace, 1, NULL, y), LS_INFER_ARGUMENT);
  assert_int_equal(ls_infer_run(model, workspace, 1, x, NULL), LS_INFER_ARGUMENT);
  assert_int_equal(ls_infer_run(model, workspace, 0, NULL, NULL), LS_INFER_OK);
  assert_string_equal(ls_infer_message(workspace), "");
  x[f->n_in + 6] = NAN;
  assert_int_equal(ls_infer_run(model, workspace, 2, x, y), LS_INFER_DATA);
  assert_true(message_has(ls_infer_message(workspace), "row 1 ~ feature 6 ~ nan"));
  assert_int_equal(ls_infer_run(model, workspace, 1, x, y), LS_INFER_OK);
  x[0] = INFINITY;
  assert_int_equal(ls_infer_run(model, workspace, 1, x, y), LS_INFER_DATA);
  x64[299] = 1e39; /* beyond float32 */
  assert_int_equal(ls_infer_run_f64(model, workspace, 1, x64, y64), LS_INFER_DATA);
  assert_true(message_has(ls_infer_message(workspace), "row 0 ~ feature 299 ~ 1e+39"));
  assert_non_null(ls_infer_message(NULL));
  assert_int_equal(ls_infer_inputs(NULL) + ls_infer_outputs(NULL) + ls_infer_class_count(NULL), 0);
  ls_infer_workspace_destroy(&workspace);
  ls_infer_workspace_destroy(&workspace);
  ls_infer_workspace_destroy(NULL);
  ls_infer_close(&model);
  ls_infer_close(&other);
  ls_infer_close(&other);
  ls_infer_close(NULL);
  free(x);
  free(x64);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(predictions_equal_the_trainer),
      cmocka_unit_test(rows_have_the_same_bits_in_any_call),
      cmocka_unit_test(arrays_may_be_doubles_and_strided),
      cmocka_unit_test(shapes_and_names_are_those_of_the_data),
      cmocka_unit_test(shapes_are_those_of_the_training_data),
      cmocka_unit_test(threads_share_a_model),
      cmocka_unit_test(settings_of_the_program_are_kept),
      cmocka_unit_test(old_error_handlers_are_kept),
      cmocka_unit_test(models_may_be_in_memory),
      cmocka_unit_test(bad_files_are_rejected),
      cmocka_unit_test(bad_calls_are_rejected),
  };
  return cmocka_run_group_tests(tests, create_fixtures, remove_fixtures);
}
