/* Starting anew, or going on from a checkpoint. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Parts of the config that must be the same, as dotted paths of at most two names. */
static const char *const fixed_keys[][2] = {{"seed", NULL},          {"loss", NULL},
                                            {"model", NULL},         {"optimizer", "type"},
                                            {"train", "batch_size"}, {"data", "normalize"}};

static const ls_node *find(ls_config *config, const char *const key[2]) {
  const ls_node *const node = ls_node_find(ls_config_root(config), key[0]);
  return node && key[1] ? ls_node_find(node, key[1]) : node;
}

static ls_status fail_differs(const char *path, const char *difference) {
  return ls_fail(LS_ERR_CONFIG,
                 "%s: can't go on with this config: %s as in the checkpoint; put it back, or start anew "
                 "with another output or --overwrite",
                 path, difference);
}

/* A validation split is part of what is learnt from; a validation file is not. */
static ls_status check_split(const ls_saved *saved, const trainer *t, ls_config *then) {
  const char *const key[2] = {"data", "validation"};
  const ls_node *const node = find(then, key);
  char *end = NULL;
  const double fraction = node ? strtod(ls_node_text(node), &end) : 0.0;
  const bool was_split = node && end != ls_node_text(node) && *end == '\0';
  const double now = t->setup->job->data.validation_fraction;
  if ((was_split ? fraction : 0.0) == now) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "%s: data.validation cuts off %g of the training data in the config but %g in this "
                 "checkpoint; put it "
                 "back, or start anew with another output or --overwrite",
                 ls_store_path(saved->store), now, was_split ? fraction : 0.0);
}

static ls_status check_config(const ls_saved *saved, const trainer *t) {
  ls_config *then = NULL;
  char difference[300];
  const char *const path = ls_store_path(saved->store);
  ls_status status = ls_config_create(saved->config, path, &then);
  if (status != LS_OK) return ls_fail(LS_ERR_MODEL, "%s: its config can't be read: %s", path, ls_message());
  for (size_t i = 0; status == LS_OK && i < sizeof fixed_keys / sizeof fixed_keys[0]; i++) {
    const ls_node *const a = find(t->setup->job->config, fixed_keys[i]);
    const ls_node *const b = find(then, fixed_keys[i]);
    if (ls_node_differ(a, b, difference, sizeof difference)) status = fail_differs(path, difference);
  }
  if (status == LS_OK) status = check_split(saved, t, then);
  ls_config_destroy(&then);
  return status;
}

/* Rank 0: whether a checkpoint goes on with this config and these data. */
static ls_status check_saved(const ls_saved *saved, const trainer *t) {
  const char *const path = ls_store_path(saved->store);
  ls_progress then = {0};
  if (!saved->is_checkpoint)
    return ls_fail(LS_ERR_MODEL, "%s: a model, not a checkpoint: it has no optimizer's state to go on from",
                   path);
  ls_status status = check_config(saved, t);
  if (status == LS_OK) status = ls_saved_read_progress(saved, &then);
  if (status == LS_OK && !ls_digest_equal(then.data, t->setup->train.dataset->fingerprint))
    return ls_fail(LS_ERR_DATA, "%s: was trained on other data than %s now holds", path,
                   t->setup->job->data.train);
  return status;
}

/* Rank 0: the checkpoint to go on from, NULL for a new run. */
static ls_status choose(const trainer *t, const ls_train_options *options, ls_saved **out) {
  const char *const resume = options->resume;
  *out = NULL;
  if (options->overwrite) return LS_OK;
  if (strcmp(resume, "never") == 0) {
    if (!run_files_exist(&t->files)) return LS_OK;
    return ls_fail(LS_ERR_OUTPUT,
                   "%s: there is a run already; --resume auto goes on with it, --overwrite removes it",
                   t->files.folder);
  }
  ls_status status = strcmp(resume, "auto") == 0 ? ls_checkpoint_find(t->files.checkpoints, out)
                                                 : ls_saved_open(resume, out);
  if (status == LS_OK && *out) status = check_saved(*out, t);
  return status;
}

/* Collective. From a checkpoint (rank 0 holds it) or from the seed. */
static ls_status set_state(trainer *t, const ls_saved *saved) {
  ls_setup *const setup = t->setup;
  ls_job *const job = setup->job;
  bool goes_on = saved != NULL;
  ls_comm_broadcast(t->comm, &goes_on, sizeof goes_on);
  if (!goes_on) {
    ls_model_initialise(job->model, job->train.seed);
    t->progress.seed = job->train.seed;
    t->progress.data = setup->train.dataset->fingerprint;
    return LS_OK;
  }
  const ls_status status =
      ls_saved_restore(t->comm, saved, job->model, setup->normalizer, job->optim, &t->progress);
  if (status == LS_OK) t->saved_step = t->progress.step;
  return status;
}

ls_status start_or_resume(trainer *t, const ls_train_options *options) {
  ls_saved *saved = NULL;
  ls_status status = ls_comm_agree(t->comm, t->is_root ? choose(t, options, &saved) : LS_OK);
  if (status == LS_OK) status = set_state(t, saved);
  if (status == LS_OK && saved) {
    ls_log(LS_LOG_INFO, "going on from %s: epoch %llu, step %llu", ls_store_path(saved->store),
           (unsigned long long)(t->progress.epoch + 1), (unsigned long long)t->progress.step);
    /* A checkpoint of another run is not one of this folder: its state is saved here anew. */
    if (strcmp(options->resume, "auto") != 0) t->saved_step = UINT64_MAX;
  }
  ls_comm_broadcast(t->comm, &t->saved_step, sizeof t->saved_step);
  ls_saved_close(&saved);
  return status;
}
