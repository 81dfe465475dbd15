/* The setup of a job: data open, normaliser learnt, model built. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Collective. Checks that the weights of a split have a positive sum. class_weights: NULL if all are 1 */
static ls_status check_weights(ls_comm *comm, const ls_split *split, const double *class_weights,
                               const char *key) {
  const bool has_weights = split->dataset && (split->dataset->has_weights || class_weights);
  bool found = false;
  double sum = 0.0;
  if (!has_weights) return LS_OK;
  LS_TRY(ls_view_finds_weight(comm, &split->view, class_weights, &found));
  if (found) return LS_OK;
  LS_TRY(ls_view_weight(comm, &split->view, class_weights, &sum));
  if (sum > 0.0) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: the sample weights%s sum to 0; at least one must be positive", key,
                 class_weights ? " times the class weights" : "");
}

/* Local. Creates a batch for each split. */
static ls_status create_batches(ls_setup *setup, size_t rows) {
  ls_split *const train = &setup->train;
  const ls_recipe recipe = {.augment = setup->job->data.augment, .class_weights = setup->class_weights};
  ls_split *const others[] = {&setup->validation, &setup->test};
  LS_TRY(ls_augment_check(&recipe.augment, train->dataset));
  LS_TRY(ls_batch_create_training(train->dataset, &recipe, rows, &train->batch));
  for (size_t i = 0; i < 2; i++)
    if (others[i]->dataset)
      LS_TRY(ls_batch_create(others[i]->dataset, LS_EVALUATE_ROWS, &others[i]->batch));
  return LS_OK;
}

/* Collective. */
static ls_status create_feed(ls_comm *comm, ls_setup *setup) {
  const ls_train_config *const train = &setup->job->train;
  const ls_feed_request request = {.view = &setup->train.view,
                                   .normalizer = setup->normalizer,
                                   .batch = setup->train.batch,
                                   .seed = train->seed,
                                   .shuffle = setup->job->data.shuffle,
                                   .window = setup->window,
                                   .n_lanes = train->reproducible ? train->lanes : 0,
                                   .batch_rows = setup->batch_size,
                                   .epochs = train->epochs,
                                   .n_readers = setup->job->data.readers,
                                   .shares_memory = setup->job->sync.shared_memory};
  return ls_feed_create(comm, &request, &setup->feed);
}

/* A step has `accumulate` batches, the last one of an epoch perhaps fewer. */
static uint64_t count_steps(uint64_t n, uint64_t batch_size, uint64_t accumulate) {
  const uint64_t n_batches = (n + batch_size - 1) / batch_size;
  return (n_batches + accumulate - 1) / accumulate;
}

/* Batch norm over positions averages even over one sample. */
static ls_status check_batch_norm(const ls_model *model, size_t batch_size) {
  for (size_t i = 0; i < model->n_leaves && batch_size == 1; i++) {
    const ls_layer *const layer = model->leaves[i].layer;
    if (strcmp(layer->type->name, "batch_norm") == 0 && layer->n_in == layer->params[0].rows)
      return ls_fail(LS_ERR_CONFIG,
                     "train.batch_size: 1: batch_norm cannot average over one sample; must be at least 2");
  }
  return LS_OK;
}

/* Collective. Creates model, normaliser and batches, for the sizes of the data. */
static ls_status build(ls_comm *comm, ls_setup *setup) {
  ls_job *const job = setup->job;
  const ls_dataset *const data = setup->train.dataset;
  const uint64_t n = setup->train.view.n;
  setup->batch_size = job->train.batch_size ? ls_size_min(job->train.batch_size, n) : n;
  setup->steps_per_epoch = count_steps(n, setup->batch_size, job->train.accumulate);
  ls_status status = ls_schedule_set_length(&job->schedule, setup->steps_per_epoch, job->train.epochs);
  if (status == LS_OK && job->train.reproducible)
    status = ls_comm_tree_create(comm, job->train.lanes, &setup->tree);
  const uint64_t lanes = job->train.reproducible ? job->train.lanes : 0;
  job->model->max_lanes = ls_size_max(lanes, 1);
  const size_t most_rows = ls_partition_most_rows(setup->batch_size, lanes, ls_comm_size(comm));
  const size_t rows = ls_size_max(most_rows, LS_EVALUATE_ROWS);
  if (status == LS_OK) status = ls_model_measure(job->model, rows);
  LS_TRY(ls_comm_agree(comm, status));
  LS_TRY(ls_setup_check_memory(comm, setup, 0));
  status = ls_model_build(job->model, rows);
  if (status == LS_OK) status = check_batch_norm(job->model, setup->batch_size);
  if (status == LS_OK) status = ls_normalizer_create(data->n_features, &setup->normalizer);
  if (status == LS_OK && job->data.standardize_targets)
    status = ls_normalizer_add_targets(setup->normalizer, job->model->n_out);
  if (status == LS_OK) status = create_batches(setup, rows);
  LS_TRY(ls_comm_agree(comm, status));
  LS_TRY(create_feed(comm, setup));
  return job_set_normalizer(comm, setup);
}

/* Local, on rank 0. Warns if validation or test data are unlike the training data. */
static ls_status compare_data(const ls_setup *setup) {
  const ls_split *const splits[] = {&setup->validation, &setup->test};
  static const char *const owners[] = {"data.validation", "data.test"};
  const ls_normalize kind = (ls_normalize)setup->job->data.normalize;
  for (size_t i = 0; i < 2; i++)
    if (splits[i]->dataset && !splits[i]->is_shared)
      LS_TRY(ls_facts_compare(&setup->facts, kind, setup->normalizer, &splits[i]->view, owners[i]));
  return LS_OK;
}

#define DISTANCE_MOST 0.1 /* of the classes of a window from those of all samples */

/* Local, on rank 0. Warns if windows have other classes than the training data. */
static ls_status check_windows(const ls_setup *setup) {
  const ls_view *const view = &setup->train.view;
  const ls_dataset *const d = view->dataset;
  const bool has_label = d->target == LS_TARGET_LABELS && d->n_outputs == 1;
  ls_order *order = NULL;
  double distance = 0.0;
  if (setup->window == 0 || !setup->job->data.shuffle) return LS_OK;
  if (d->target != LS_TARGET_CLASSES && !has_label) return LS_OK;
  LS_TRY(ls_order_create(view, setup->job->train.seed, true, setup->window, &order));
  ls_order_begin(order, 0);
  const ls_status status = ls_homogeneity_measure(order, view, has_label ? 2 : d->n_outputs, &distance);
  ls_order_destroy(&order);
  if (status == LS_OK && distance > DISTANCE_MOST)
    ls_log(LS_LOG_WARNING,
           "data.window: the classes of a window of %llu samples differ from those of all training samples "
           "by about "
           "%.0f %%, because the files are sorted by class or nearly so, which makes training worse; "
           "shuffle the "
           "files with `lockstep import FILE... -o OUT.h5 --shuffle`, or choose a larger window",
           (unsigned long long)setup->window, 100.0 * distance);
  return status;
}

/* Collective. Sets the number of threads, and warns if there are too few cores for them. */
static ls_status set_threads(ls_comm *comm, ls_setup *setup) {
  const uint64_t requested = setup->job->train.reproducible ? 1 : setup->job->sync.threads;
  const int missing = requested ? 0 : ls_comm_cores_missing(comm);
  ls_oversubscription shared = {0};
  setup->threads = requested ? (int)requested : ls_comm_threads(comm);
  LS_TRY(ls_comm_agree(comm, ls_math_threads_set(setup->threads)));
  if (ls_comm_oversubscribed(comm, setup->threads, &shared))
    ls_log(LS_LOG_WARNING,
           "%d threads of %d rank%s on %s share %d core%s, and slow each other down; bind ranks to more "
           "cores (mpirun --bind-to none, or --map-by slot:PE=N), or use fewer ranks or comm.threads",
           shared.threads, shared.ranks, shared.ranks == 1 ? "" : "s", shared.host, shared.cores,
           shared.cores == 1 ? "" : "s");
  else if (missing > 0)
    ls_log(LS_LOG_WARNING,
           "SLURM_CPUS_PER_TASK is %d, but rank 0 has only %d of these cores; start with srun, or bind "
           "ranks to more cores (mpirun --bind-to none, or --map-by slot:PE=%d)",
           setup->threads + missing, setup->threads, setup->threads + missing);
  return LS_OK;
}

/* Collective. A setup with its data open. The caller destroys it, after a failure too. */
static ls_status open_setup(ls_comm *comm, ls_job *job, const ls_modelfile *resumed, ls_setup **out) {
  *out = ls_calloc(1, sizeof **out);
  LS_TRY(ls_comm_agree(comm, *out ? LS_OK : ls_fail_memory("the setup", sizeof **out)));
  LS_ASSERT(*out);
  (*out)->job = job;
  (*out)->resumed = resumed;
  ls_comm_set_timeout(comm, job->sync.timeout);
  LS_TRY(set_threads(comm, *out));
  job_open_cache(comm, *out);
  return job_open_data(comm, *out);
}

/* Collective. */
static ls_status share_names(ls_comm *comm, const ls_setup *setup, bool wanted) {
  const ls_split *const splits[] = {&setup->train, &setup->validation, &setup->test};
  for (size_t i = 0; i < 3; i++)
    if (splits[i]->dataset && !splits[i]->is_shared)
      LS_TRY(ls_dataset_share_names(comm, splits[i]->dataset, wanted));
  return LS_OK;
}

ls_status ls_setup_create_lender(ls_comm *comm, ls_job *job, bool has_names, ls_setup **out) {
  ls_status status = open_setup(comm, job, NULL, out);
  if (status == LS_OK) status = share_names(comm, *out, has_names);
  if (status != LS_OK) ls_setup_destroy(comm, out);
  return status;
}

ls_status ls_setup_create(ls_comm *comm, ls_job *job, const ls_modelfile *resumed, ls_setup **out) {
  ls_status status = open_setup(comm, job, resumed, out);
  if (status == LS_OK) status = job_set_class_weights(comm, *out);
  if (status == LS_OK) status = check_weights(comm, &(*out)->train, (*out)->class_weights, "data.train");
  if (status == LS_OK) status = check_weights(comm, &(*out)->validation, NULL, "data.validation");
  if (status == LS_OK) status = build(comm, *out);
  if (status == LS_OK) status = ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? compare_data(*out) : LS_OK);
  if (status == LS_OK) status = ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? check_windows(*out) : LS_OK);
  if (status == LS_OK) (*out)->resumed = NULL;
  if (status != LS_OK) ls_setup_destroy(comm, out);
  return status;
}

void ls_setup_destroy(ls_comm *comm, ls_setup **setup) {
  if (!*setup) return;
  ls_split *const splits[] = {&(*setup)->train, &(*setup)->validation, &(*setup)->test};
  ls_feed_destroy(comm, &(*setup)->feed);
  for (size_t i = 0; i < 3; i++) {
    ls_batch_destroy(&splits[i]->batch);
    ls_view_release(&splits[i]->view);
    if (!splits[i]->is_shared && !splits[i]->is_lent) ls_dataset_close(comm, &splits[i]->dataset);
  }
  ls_cache_destroy(&(*setup)->cache);
  ls_normalizer_destroy(&(*setup)->normalizer);
  ls_comm_tree_destroy(&(*setup)->tree);
  free((*setup)->class_weights);
  free(*setup);
  *setup = NULL;
}
