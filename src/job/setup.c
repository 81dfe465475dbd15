/* A job made ready: data in memory, normaliser learnt, model and optimizer built. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Opens the dataset of a split. n_features: that a sample must have; 0: any number. */
static ls_status open_part(ls_comm *comm, const ls_job *job, const char *spec, const char *role,
                           size_t n_features, ls_split *part) {
  const ls_dataset_request request = {.spec = spec,
                                      .role = role,
                                      .x = job->data.x,
                                      .y = job->data.y,
                                      .target = ls_target_of((ls_loss)job->train.loss),
                                      .n_features = n_features};
  return ls_dataset_open(comm, &request, &part->dataset);
}

static ls_status read_part(ls_comm *comm, const ls_job *job, ls_split *part) {
  const ls_status status = ls_dataset_read(comm, part->dataset, job->model->n_out);
  if (status == LS_OK) part->view = ls_view_all(part->dataset);
  return status;
}

/* Local. Infers the model's shapes from the inputs, and checks the options that depend on its outputs. */
static ls_status infer_shapes(ls_job *job, const ls_dataset *dataset) {
  const ls_shape input = ls_dataset_shape(dataset);
  const ls_status status = ls_model_infer_shapes(job->model, &input);
  if (status != LS_OK) return status;
  job_check_measures(job, job->model->n_out);
  job_check_class_count(job, job->model->n_out);
  return ls_config_status(job->config);
}

static ls_status fail_split(const ls_job *job, uint64_t n) {
  return ls_fail(LS_ERR_DATA, "%s: a validation fraction of %g leaves none of %llu samples on one side",
                 job->data.train, job->data.validation_fraction, (unsigned long long)n);
}

/* The same fingerprint is the same samples: what is measured on them says nothing of new ones. */
static void warn_if_same(const ls_setup *setup, const ls_split *part, const char *key) {
  const ls_dataset *const train = setup->train.dataset;
  if (part->dataset && !part->is_shared && ls_digest_equal(part->dataset->fingerprint, train->fingerprint))
    ls_log(LS_LOG_WARNING, "data.%s holds the very samples of data.train", key);
}

/* Collective. All data sets of the job. */
static ls_status open_data(ls_comm *comm, ls_setup *setup) {
  ls_job *const job = setup->job;
  const ls_data_config *const data = &job->data;
  ls_split *const train = &setup->train;
  ls_status status = open_part(comm, job, data->train, "train", 0, train);
  if (status == LS_OK) status = ls_comm_agree(comm, infer_shapes(job, train->dataset));
  if (status == LS_OK) status = read_part(comm, job, train);
  if (status != LS_OK) return status;
  const size_t n_features = train->dataset->n_features;
  if (data->validation) {
    status = open_part(comm, job, data->validation, "validation", n_features, &setup->validation);
    if (status == LS_OK) status = read_part(comm, job, &setup->validation);
  } else if (data->validation_fraction > 0.0) {
    setup->validation.dataset = train->dataset;
    setup->validation.is_shared = true;
    ls_view_split(train->dataset, data->validation_fraction, job->train.seed, &train->view,
                  &setup->validation.view);
    if (train->view.n == 0 || setup->validation.view.n == 0)
      status = fail_split(job, train->dataset->n_samples);
  }
  if (status == LS_OK && data->test)
    status = open_part(comm, job, data->test, "test", n_features, &setup->test);
  if (status == LS_OK && data->test) status = read_part(comm, job, &setup->test);
  if (status == LS_OK) warn_if_same(setup, &setup->validation, "validation");
  if (status == LS_OK) warn_if_same(setup, &setup->test, "test");
  return status;
}

static ls_status fail_weightless(const char *key, const char *factor) {
  return ls_fail(LS_ERR_DATA, "%s: the weights of its samples%s sum to 0, so they say nothing", key,
                 factor);
}

/* Collective. What samples weigh in training; a part must weigh something. */
static ls_status weigh(ls_comm *comm, ls_setup *setup) {
  const ls_split *const train = &setup->train;
  const ls_split *const validation = &setup->validation;
  const ls_status status = job_class_weights(comm, setup->job, &train->view, &setup->class_weights);
  if (status != LS_OK) return status;
  if ((train->dataset->has_weights || setup->class_weights) &&
      !(ls_view_weight(comm, &train->view, setup->class_weights) > 0.0))
    return fail_weightless("data.train", setup->class_weights ? " times those of their classes" : "");
  if (validation->dataset && validation->dataset->has_weights &&
      !(ls_view_weight(comm, &validation->view, NULL) > 0.0))
    return fail_weightless("data.validation", "");
  return LS_OK;
}

/* Local. A batch for each part; that of training by the recipe of its samples. */
static ls_status create_batches(ls_setup *setup, size_t rows) {
  ls_split *const train = &setup->train;
  const ls_recipe recipe = {
      .augment = setup->job->data.augment, .view = &train->view, .class_weights = setup->class_weights};
  ls_split *const others[] = {&setup->validation, &setup->test};
  ls_status status = ls_augment_check(&recipe.augment, train->dataset);
  if (status == LS_OK) status = ls_batch_create_training(train->dataset, &recipe, rows, &train->batch);
  if (status == LS_OK)
    status = ls_order_create(&train->view, setup->job->train.seed, setup->job->data.shuffle, &setup->order);
  for (size_t i = 0; status == LS_OK && i < 2; i++)
    if (others[i]->dataset)
      status = ls_batch_create(others[i]->dataset, LS_EVALUATE_ROWS, &others[i]->batch);
  return status;
}

/* A step takes `accumulate` batches, the last one of an epoch what is left. */
static uint64_t steps_of(uint64_t n, uint64_t batch_size, uint64_t accumulate) {
  const uint64_t n_batches = (n + batch_size - 1) / batch_size;
  return (n_batches + accumulate - 1) / accumulate;
}

static bool layer_has_kind(const ls_layer *layer, const char *kind) {
  bool found = strcmp(layer->type->name, kind) == 0;
  for (size_t k = 0; k < layer->n_children; k++) found = found || layer_has_kind(layer->children[k], kind);
  return found;
}

static bool has_kind(const ls_model *model, const char *kind) {
  bool found = false;
  for (size_t i = 0; i < model->n_layers; i++) found = found || layer_has_kind(model->layers[i], kind);
  return found;
}

/* Collective. Model, optimizer, normaliser and batches, from the sizes of the data. */
static ls_status build(ls_comm *comm, ls_setup *setup) {
  ls_job *const job = setup->job;
  const ls_dataset *const data = setup->train.dataset;
  const uint64_t n = setup->train.view.n;
  setup->batch_size = job->train.batch_size ? ls_size_min(job->train.batch_size, n) : n;
  setup->steps_per_epoch = steps_of(n, setup->batch_size, job->train.accumulate);
  ls_status status = ls_schedule_set_length(&job->schedule, setup->steps_per_epoch, job->train.epochs);
  if (status == LS_OK && setup->batch_size == 1 && has_kind(job->model, "batch_norm"))
    status = ls_fail(LS_ERR_CONFIG,
                     "train.batch_size: 1 leaves batch_norm nothing to take a mean of; use at least 2");
  if (status == LS_OK && job->train.reproducible)
    status = ls_comm_tree_create(comm, job->train.lanes, &setup->tree);
  job->model->max_lanes = job->train.reproducible ? job->train.lanes : 1;
  const uint64_t lanes = job->train.reproducible ? job->train.lanes : 0;
  const size_t most_rows = ls_partition_most_rows(setup->batch_size, lanes, ls_comm_size(comm));
  const size_t rows = ls_size_max(most_rows, LS_EVALUATE_ROWS);
  if (status == LS_OK) status = ls_model_build(job->model, rows);
  if (status == LS_OK) status = ls_normalizer_create(data->n_features, &setup->normalizer);
  if (status == LS_OK && job->data.standardize_targets)
    status = ls_normalizer_add_targets(setup->normalizer, job->model->n_out);
  if (status == LS_OK) status = create_batches(setup, rows);
  status = ls_comm_agree(comm, status);
  if (status != LS_OK) return status;
  return ls_normalizer_learn(comm, (ls_normalize)job->data.normalize, &setup->train.view,
                             setup->normalizer);
}

/* Collective. What runs on too few cores works, but slowly. */
static void set_threads(ls_comm *comm, ls_setup *setup) {
  const uint64_t wish = setup->job->train.reproducible ? 1 : setup->job->sync.threads;
  const int missing = wish ? 0 : ls_comm_cores_missing(comm);
  ls_oversubscription crowd = {0};
  setup->threads = wish ? (int)wish : ls_comm_threads(comm);
  ls_math_threads_set(setup->threads);
  if (ls_comm_oversubscribed(comm, setup->threads, &crowd))
    ls_log(LS_LOG_WARNING,
           "%d threads of %d rank%s on %s share %d core%s, and slow each other down: bind ranks to more "
           "cores (mpirun --bind-to none, or --map-by slot:PE=N), or take fewer ranks or comm.threads",
           crowd.threads, crowd.ranks, crowd.ranks == 1 ? "" : "s", crowd.host, crowd.cores,
           crowd.cores == 1 ? "" : "s");
  else if (missing > 0)
    ls_log(LS_LOG_WARNING,
           "SLURM_CPUS_PER_TASK is %d, but rank 0 has only %d of these cores: start with srun, or bind "
           "ranks to more cores (mpirun --bind-to none, or --map-by slot:PE=%d)",
           setup->threads + missing, setup->threads, setup->threads + missing);
}

ls_status ls_setup_create(ls_comm *comm, ls_job *job, ls_setup **out) {
  *out = NULL;
  ls_setup *setup = ls_calloc(1, sizeof *setup);
  ls_status status = ls_comm_agree(comm, setup ? LS_OK : ls_fail_memory("the setup", sizeof *setup));
  if (status != LS_OK) {
    free(setup);
    return status;
  }
  setup->job = job;
  ls_comm_set_timeout(comm, job->sync.timeout);
  set_threads(comm, setup);
  status = open_data(comm, setup);
  if (status == LS_OK) status = weigh(comm, setup);
  if (status == LS_OK) status = build(comm, setup);
  if (status == LS_OK)
    *out = setup;
  else
    ls_setup_destroy(comm, &setup);
  return status;
}

size_t ls_setup_data_bytes(const ls_setup *setup, bool only_private) {
  const ls_split *const splits[] = {&setup->train, &setup->validation, &setup->test};
  size_t bytes = 0;
  for (size_t i = 0; i < 3; i++) {
    const ls_dataset *const d = splits[i]->dataset;
    if (d && !splits[i]->is_shared && (!only_private || d->reader->is_private)) bytes += d->reader->bytes;
  }
  return bytes;
}

void ls_setup_destroy(ls_comm *comm, ls_setup **setup) {
  if (!*setup) return;
  ls_split *const parts[] = {&(*setup)->train, &(*setup)->validation, &(*setup)->test};
  for (size_t i = 0; i < 3; i++) {
    ls_batch_destroy(&parts[i]->batch);
    if (!parts[i]->is_shared) ls_dataset_close(comm, &parts[i]->dataset);
  }
  ls_order_destroy(&(*setup)->order);
  ls_normalizer_destroy(&(*setup)->normalizer);
  ls_comm_tree_destroy(&(*setup)->tree);
  free((*setup)->class_weights);
  free(*setup);
  *setup = NULL;
}
