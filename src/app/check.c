/* lockstep check: parses the config, opens the data and builds the model, without training. */
#include "internal.h"

#include "lockstep/checkpoint.h"

#include <math.h>
#include <stdlib.h>

#define INDENT 2 /* of inner layers */

/* The MB of the outputs of a layer in a pass of `rows` rows; 0 if it writes into those of another layer. */
static double output_mb(const ls_layer *layer, size_t rows) {
  const bool is_shared = layer->is_fused || !layer->output;
  return is_shared ? 0.0 : 1e-6 * (double)rows * (double)layer->n_out * (double)sizeof(float);
}

/* Prints one row for a layer, with its own parameters, and the rows of its inner layers. */
static void print_layer(const ls_layer *layer, size_t index, int depth, size_t rows) {
  char name[64];
  char in[128];
  char out[128];
  char details[256] = "";
  const int indent = depth * INDENT;
  const double work = layer->type->multiply_adds ? layer->type->multiply_adds(layer) : 0.0;
  snprintf(name, sizeof name, "%zu", index);
  if (layer->type->describe) layer->type->describe(layer, details, sizeof details);
  printf("%*s%-*s ", indent, "", 6 - indent, layer->role ? layer->role : name);
  printf("%*s%-*s %14s %14s %12zu %14.0f %8.1f%s%s\n", indent, "", 15 - indent, layer->type->name,
         ls_shape_brief(&layer->in, in, sizeof in), ls_shape_brief(&layer->out, out, sizeof out),
         ls_layer_n_params(layer), work, output_mb(layer, rows), details[0] ? "  " : "", details);
  for (size_t k = 0; k < layer->n_children; k++) print_layer(layer->children[k], k, depth + 1, rows);
}

/* The multiply-adds of all layers, per sample. */
static double count_work(const ls_model *model) {
  double work = 0.0;
  for (size_t i = 0; i < model->n_leaves; i++) {
    const ls_layer *const layer = model->leaves[i].layer;
    if (layer->type->multiply_adds) work += layer->type->multiply_adds(layer);
  }
  return work;
}

static void print_layers(const ls_model *model) {
  printf("\n%-6s %-15s %14s %14s %12s %14s %8s\n", "layer", "kind", "inputs", "outputs", "parameters",
         "multiply-adds", "MB");
  for (size_t i = 0; i < model->n_layers; i++) print_layer(model->layers[i], i, 0, model->max_rows);
  printf("%52s %12zu %14.0f\n", "total", model->n_params, count_work(model));
  printf("multiply-adds: per sample; MB: outputs of %zu samples, 0.0 in memory of another layer\n",
         model->max_rows);
}

static void print_data(const char *name, const ls_split *split) {
  char shape[128];
  if (split->view.n == 0) return;
  printf("%-10s  %llu samples, x %s%s\n", name, (unsigned long long)split->view.n,
         ls_array_describe(&split->dataset->x_array, shape, sizeof shape),
         split->dataset->has_weights ? ", with weights" : "");
}

/* The number of windows of the first epoch. */
static ls_status count_windows(const ls_setup *setup, uint64_t *n) {
  ls_order *order = NULL;
  LS_TRY(ls_order_create(&setup->train.view, setup->job->train.seed, true, setup->window, &order));
  ls_order_begin(order, 0);
  *n = ls_order_n_windows(order);
  ls_order_destroy(&order);
  return LS_OK;
}

/* Where the samples are, and how they are shuffled. */
static ls_status print_order(const ls_setup *setup) {
  const ls_blocks *const blocks = setup->train.dataset->blocks;
  const uint64_t window = setup->window;
  uint64_t n_windows = 1;
  if (window > 0) LS_TRY(count_windows(setup, &n_windows));
  printf("%-10s  %s\n", "memory",
         setup->train.dataset->is_streamed ? "stream: samples are read from the files as they are used"
                                           : "resident: in the memory of each node");
  printf("%-10s  %llu of up to %llu samples in the training files\n", "blocks",
         (unsigned long long)blocks->n, (unsigned long long)ls_blocks_largest(blocks));
  if (!setup->job->data.shuffle)
    printf("%-10s  the order of the files in each epoch\n", "order");
  else if (window == 0 || window >= setup->train.view.n)
    printf("%-10s  all samples are shuffled in each epoch\n", "order");
  else
    printf(
        "%-10s  windows of at least %llu samples, %llu per epoch; blocks, and the samples of a window, are "
        "shuffled\n",
        "order", (unsigned long long)window, (unsigned long long)n_windows);
  return LS_OK;
}

/* The number of ranks that divide the optimizer's state. */
static int n_owners(const ls_comm *comm, const ls_setup *setup) {
  const ls_sync_config *const sync = &setup->job->sync;
  if (setup->tree) return 1;
  if (sync->mode == LS_SYNC_SHARDED) return ls_comm_size(comm);
  return sync->shared_memory ? ls_comm_node_size(comm) : 1;
}

/* Bytes: of data per node, of model and optimizer per rank, of the copy for checkpoints on rank 0. */
typedef struct memory_use {
  double data, model, optimizer, copy;
} memory_use;

static memory_use measure_memory(const ls_comm *comm, const ls_setup *setup) {
  const ls_job *const job = setup->job;
  size_t batches = setup->train.batch->arena.capacity;
  if (setup->validation.batch) batches += setup->validation.batch->arena.capacity;
  if (setup->test.batch) batches += setup->test.batch->arena.capacity;
  const double others = ls_comm_node_size(comm) - 1; /* ranks of the node */
  const double slots = (double)(ls_optim_n_slots(job->optim) * job->model->n_params * sizeof(float));
  return (memory_use){.data = (double)ls_setup_data_bytes(setup, false) +
                              others * (double)ls_setup_data_bytes(setup, true),
                      .model = (double)(job->model->arena.capacity + batches),
                      .optimizer = slots / n_owners(comm, setup),
                      .copy = (double)ls_saver_bytes(job->model, job->optim)};
}

static void print_memory(const ls_comm *comm, const ls_setup *setup) {
  const double mb = 1e-6;
  const memory_use m = measure_memory(comm, setup);
  printf(
      "\nmemory      per node: %.1f MB data; per rank (%d rank%s): %.1f MB model and activations, %.1f MB "
      "optimizer; rank 0: %.1f MB more for the copy that checkpoints are written from\n",
      m.data * mb, ls_comm_size(comm), ls_comm_size(comm) == 1 ? "" : "s", m.model * mb, m.optimizer * mb,
      m.copy * mb);
  printf("threads     %d BLAS thread%s per rank\n", setup->threads, setup->threads == 1 ? "" : "s");
}

static ls_status print_config(const ls_setup *setup) {
  char *config = NULL;
  LS_TRY(ls_config_print(setup->job->config, &config));
  printf("%s\n", config);
  free(config);
  return LS_OK;
}

/* ------------------------------------------------------------------------- JSON */

static void print_json_split(const char *name, const ls_split *split) {
  if (split->view.n == 0) return;
  const ls_array *const x = &split->dataset->x_array;
  app_json_open(name, '{');
  APP_JSON_COUNTS({"samples", (double)split->view.n});
  app_json_array("shape", x);
  app_json_text("type", ls_dtype_name(x->dtype));
  app_json_bool("weights", split->dataset->has_weights);
  app_json_close('}');
}

static ls_status print_json_data(const ls_setup *setup) {
  const ls_dataset *const data = setup->train.dataset;
  uint64_t n_windows = 1;
  if (setup->window > 0) LS_TRY(count_windows(setup, &n_windows));
  app_json_open("data", '{');
  print_json_split("training", &setup->train);
  print_json_split("validation", &setup->validation);
  print_json_split("test", &setup->test);
  app_json_text("memory", data->is_streamed ? "stream" : "resident");
  app_json_bool("shuffle", setup->job->data.shuffle);
  APP_JSON_COUNTS({"blocks", (double)data->blocks->n},
                  {"window", setup->window > 0 ? (double)setup->window : NAN},
                  {"windows", (double)n_windows});
  app_json_texts("classes", data->classes, data->n_classes);
  app_json_close('}');
  return LS_OK;
}

static void print_json_layer(const ls_layer *layer, size_t rows) {
  char details[256] = "";
  if (layer->type->describe) layer->type->describe(layer, details, sizeof details);
  app_json_open(NULL, '{');
  app_json_text("kind", layer->type->name);
  if (layer->role) app_json_text("role", layer->role);
  app_json_dims("inputs", &layer->in);
  app_json_dims("outputs", &layer->out);
  APP_JSON_COUNTS({"parameters", (double)ls_layer_n_params(layer)},
                  {"multiply_adds", layer->type->multiply_adds ? layer->type->multiply_adds(layer) : 0.0},
                  {"output_bytes", 1e6 * output_mb(layer, rows)});
  if (details[0]) app_json_text("details", details);
  if (layer->n_children > 0) app_json_open("layers", '[');
  for (size_t k = 0; k < layer->n_children; k++) print_json_layer(layer->children[k], rows);
  if (layer->n_children > 0) app_json_close(']');
  app_json_close('}');
}

static void print_json_totals(const ls_comm *comm, const ls_setup *setup) {
  const ls_model *const model = setup->job->model;
  const memory_use m = measure_memory(comm, setup);
  app_json_open("totals", '{');
  APP_JSON_COUNTS({"parameters", (double)model->n_params}, {"multiply_adds", count_work(model)},
                  {"rows", (double)model->max_rows}, {"ranks", ls_comm_size(comm)},
                  {"threads", setup->threads}, {"data_bytes_per_node", m.data},
                  {"model_bytes_per_rank", m.model}, {"optimizer_bytes_per_rank", m.optimizer},
                  {"checkpoint_bytes", m.copy});
  app_json_close('}');
}

static ls_status print_json(const ls_comm *comm, const ls_setup *setup) {
  const ls_model *const model = setup->job->model;
  app_json_open(NULL, '{');
  app_json_node("config", ls_config_root(setup->job->config));
  LS_TRY(print_json_data(setup));
  app_json_open("layers", '[');
  for (size_t i = 0; i < model->n_layers; i++) print_json_layer(model->layers[i], model->max_rows);
  app_json_close(']');
  print_json_totals(comm, setup);
  app_json_close('}');
  printf("\n");
  return LS_OK;
}

/* ------------------------------------------------------------------ the command */

static ls_status print_all(const ls_comm *comm, const ls_setup *setup) {
  LS_TRY(print_config(setup));
  print_data("training", &setup->train);
  print_data("validation", &setup->validation);
  print_data("test", &setup->test);
  LS_TRY(print_order(setup));
  print_layers(setup->job->model);
  print_memory(comm, setup);
  printf("OK: config and data are valid\n");
  return LS_OK;
}

/* Collective. Builds everything from the config, and prints it. */
static ls_status check_job(ls_comm *comm, ls_job *job, bool json) {
  ls_setup *setup = NULL;
  ls_status status = ls_setup_create(comm, job, NULL, &setup);
  if (status == LS_OK)
    status = ls_comm_agree(comm, app_is_root(comm) ? (json ? print_json : print_all)(comm, setup) : LS_OK);
  ls_setup_destroy(comm, &setup);
  return status;
}

/* -------------------------------------------------------------------------- --all */

static void print_json_errors(const ls_data_check *c, double seconds) {
  app_json_open(NULL, '{');
  APP_JSON_COUNTS({"samples", (double)c->samples}, {"bytes", (double)c->bytes},
                  {"n_errors", (double)c->errors.n});
  app_json_open("errors", '[');
  for (uint64_t i = 0; i < c->errors.n_listed; i++) app_json_text(NULL, c->errors.texts[i]);
  app_json_close(']');
  APP_JSON_NUMBERS({"seconds", seconds});
  app_json_close('}');
  printf("\n");
}

/* Local. Reports the result of reading all data. */
static ls_status report(const ls_data_check *c, double seconds, bool is_root, bool json) {
  const ls_data_errors *const e = &c->errors;
  if (json && is_root) print_json_errors(c, seconds);
  for (uint64_t i = 0; i < e->n_listed && is_root; i++) ls_log(LS_LOG_ERROR, "%s", e->texts[i]);
  if (e->n > 0)
    return ls_fail(LS_ERR_DATA, "%llu error%s in %llu samples%s", (unsigned long long)e->n,
                   e->n == 1 ? "" : "s", (unsigned long long)c->samples,
                   e->n > e->n_listed ? "; only the first ones are listed" : "");
  if (is_root && !json)
    printf("OK: %llu samples, %.1f MB, have no errors; read in %.1f s\n", (unsigned long long)c->samples,
           (double)c->bytes / 1e6, seconds);
  return LS_OK;
}

/* Collective. Reads all data, without building the model. */
static ls_status check_data(ls_comm *comm, ls_job *job, bool json) {
  const double start = ls_clock();
  ls_data_check *const c = ls_calloc(1, sizeof *c);
  ls_status status = ls_comm_agree(comm, c ? LS_OK : ls_fail_memory("the errors", sizeof *c));
  if (status == LS_OK) {
    LS_ASSERT(c);
    status = ls_job_check_data(comm, job, c);
    if (status == LS_OK) status = report(c, ls_clock() - start, app_is_root(comm), json);
  }
  free(c);
  return status;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const ls_job_source source = app_job_source(a);
  ls_job *job = NULL;
  const bool json = app_option(a, "json") != NULL;
  if (json) ls_log_spare_stdout();
  ls_status status = ls_job_create(comm, &source, &job);
  if (status == LS_OK) status = (app_option(a, "all") ? check_data : check_job)(comm, job, json);
  ls_job_destroy(&job);
  return status;
}

const command app_check = {
    .name = "check",
    .operands = "CONFIG.yaml",
    .help = "validate a config and its data; print the resolved config, layers, parameters and memory",
    .details =
        "With --all, the samples of training, validation and test are read once, in parallel, from files "
        "of any\n"
        "size. Each row with a value that is not finite, beyond float32 or, of y, out of range is an\n"
        "error, and so is a chunk or a file that cannot be read, or that does not match the others. The "
        "first\n"
        "20 errors are listed, and all are counted.",
    .options = {OPTION_SET,
                {"all", 0, NULL, "check of each value of the data, instead of the printout"},
                OPTION_JSON},
    .run = run};
