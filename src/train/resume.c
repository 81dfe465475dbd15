/* Starting anew, or going on from a checkpoint. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Parts of the config that must be the same, as dotted paths of at most two names; the last one in
 * mid-epoch only. */
static const char *const fixed_keys[][2] = {{"seed", NULL},
                                            {"loss", NULL},
                                            {"model", NULL},
                                            {"optimizer", "type"},
                                            {"train", "batch_size"},
                                            {"train", "accumulate"},
                                            {"train", "reproducible"},
                                            {"train", "lanes"},
                                            {"data", "normalize"},
                                            {"data", "standardize_targets"},
                                            {"data", "shuffle"}};

static const ls_node *find(const ls_job *job, const char *const key[2]) {
  const ls_node *const node = ls_node_find(ls_config_root(job->config), key[0]);
  return node && key[1] ? ls_node_find(node, key[1]) : node;
}

static ls_status fail_differs(const char *path, const char *difference) {
  return ls_fail(LS_ERR_CONFIG,
                 "%s: can't go on with this config: %s as in the checkpoint; put it back, or start anew "
                 "with another output or --overwrite",
                 path, difference);
}

/* A validation split is part of what is learnt from; a validation file is not. */
static ls_status check_split(const ls_modelfile *saved, const ls_job *now, const ls_job *then) {
  if (now->data.validation_fraction == then->data.validation_fraction) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "%s: data.validation cuts off %g of the training data in the config but %g in this "
                 "checkpoint; put it "
                 "back, or start anew with another output or --overwrite",
                 ls_store_path(saved->store), now->data.validation_fraction,
                 then->data.validation_fraction);
}

/* `where`: where the checkpoint stands. In mid-epoch another order would repeat and miss samples. */
static ls_status check_config(const ls_modelfile *saved, const trainer *t, const ls_progress *where) {
  ls_job *then = NULL;
  const ls_job *const now = t->setup->job;
  char difference[300];
  const char *const path = ls_store_path(saved->store);
  ls_status status = ls_job_create_saved(saved->config, path, &then);
  if (status != LS_OK) return status;
  const size_t n_keys = sizeof fixed_keys / sizeof fixed_keys[0] - (where->epoch_samples == 0);
  for (size_t i = 0; status == LS_OK && i < n_keys; i++)
    if (ls_node_differ(find(now, fixed_keys[i]), find(then, fixed_keys[i]), difference, sizeof difference))
      status = fail_differs(path, difference);
  if (status == LS_OK) status = check_split(saved, now, then);
  ls_job_destroy(&then);
  return status;
}

/* Rank 0: whether a checkpoint goes on with this config and these data. */
static ls_status check_saved(const ls_modelfile *saved, const trainer *t) {
  const char *const path = ls_store_path(saved->store);
  ls_progress then = {0};
  if (!saved->is_checkpoint)
    return ls_fail(LS_ERR_MODEL, "%s: a model, not a checkpoint: it has no optimizer's state to go on from",
                   path);
  ls_status status = ls_checkpoint_read_progress(saved, &then);
  if (status == LS_OK) status = check_config(saved, t, &then);
  if (status == LS_OK && !ls_digest_equal(then.data, t->setup->train.dataset->fingerprint))
    return ls_fail(
        LS_ERR_DATA,
        "%s: was trained on other data (fingerprint %016llx%016llx) than %s now holds (%016llx%016llx)",
        path, (unsigned long long)then.data.high, (unsigned long long)then.data.low,
        t->setup->job->data.train, (unsigned long long)t->setup->train.dataset->fingerprint.high,
        (unsigned long long)t->setup->train.dataset->fingerprint.low);
  return status;
}

/* Whether a file lies in a folder, whatever their paths look like. */
static bool is_inside(const char *file, const char *folder) {
  char *const real_file = realpath(file, NULL);
  char *const real_folder = realpath(folder, NULL);
  const char *const slash = real_file ? strrchr(real_file, '/') : NULL;
  const bool inside = slash && real_folder && strlen(real_folder) == (size_t)(slash - real_file) &&
                      strncmp(real_file, real_folder, strlen(real_folder)) == 0;
  free(real_file);
  free(real_folder);
  return inside;
}

/* Rank 0: the checkpoint to go on from, NULL for a new run. */
static ls_status choose(trainer *t, const ls_train_options *options, ls_modelfile **out) {
  const char *const resume = options->resume;
  *out = NULL;
  ls_status status = ls_rundir_lock_existing(&t->files);
  if (status != LS_OK || options->overwrite) return status;
  if (strcmp(resume, "never") == 0) {
    if (!ls_rundir_has_run(&t->files)) return LS_OK;
    return ls_fail(LS_ERR_OUTPUT,
                   "%s: there is a run already; --resume auto goes on with it, --overwrite removes it",
                   t->files.folder);
  }
  const bool is_auto = strcmp(resume, "auto") == 0;
  /* A log that can't be written is told when the run goes on; a finished one only says so. */
  if (ls_rundir_has_run(&t->files)) (void)ls_rundir_open_log(&t->files);
  status = is_auto ? ls_checkpoint_find(t->files.checkpoints, out) : ls_modelfile_open(resume, out);
  if (status == LS_OK && *out) status = check_saved(*out, t);
  if (status == LS_OK && !is_auto && ls_rundir_has_checkpoints(&t->files) &&
      !is_inside(resume, t->files.checkpoints))
    status = ls_fail(LS_ERR_OUTPUT,
                     "%s: there is another run already, which %s is not of; give another output, or "
                     "--overwrite it first",
                     t->files.folder, resume);
  return status;
}

/* Rank 0: the same for a run that may start with another model's weights, whose file it must not replace.
 */
static ls_status choose_start(trainer *t, const ls_train_options *options, ls_modelfile **out) {
  const char *const source = options->init_from;
  const ls_status status = choose(t, options, out);
  if (status != LS_OK || *out || !source) return status;
  if (!ls_same_file(source, t->files.model) && !is_inside(source, t->files.checkpoints)) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "--init-from %s: a new run in %s replaces that file; give another output, or a copy of it",
                 source, t->files.folder);
}

/* Collective. From the seed, and maybe another model. */
static ls_status start_anew(trainer *t, const ls_train_options *options) {
  ls_setup *const setup = t->setup;
  bool inherits = options->init_from != NULL;
  ls_comm_broadcast(t->comm, &inherits, sizeof inherits);
  train_initialise(t);
  t->progress.seed = setup->job->train.seed;
  t->progress.data = setup->train.dataset->fingerprint;
  return inherits ? train_inherit(t, options) : LS_OK;
}

/* Rank 0: the way in which gradients were summed at this number of ranks; where none is known, any if there
 * is nothing left to do, else LS_SYNC_AUTO. */
static ls_sync_mode mode_of(const trainer *t, const ls_modelfile *saved) {
  int mode = 0;
  ls_progress p = {0};
  if (saved && ls_checkpoint_read_progress(saved, &p) != LS_OK)
    return LS_SYNC_ALLREDUCE; /* the restore tells it */
  const ls_train_config *const train = &t->setup->job->train;
  const bool ends = p.epoch >= train->epochs || (train->has_max_steps && p.step >= train->max_steps);
  const bool is_known = saved && saved->comm_mode && saved->n_ranks == (uint64_t)ls_comm_size(t->comm);
  while (is_known && ls_sync_mode_names[mode] && strcmp(ls_sync_mode_names[mode], saved->comm_mode) != 0)
    mode++;
  if (is_known && ls_sync_mode_names[mode]) return (ls_sync_mode)mode;
  return ends ? LS_SYNC_ALLREDUCE : LS_SYNC_AUTO;
}

/* Collective. From a checkpoint (rank 0 holds it) or anew. */
static ls_status set_state(trainer *t, const ls_train_options *options, const ls_modelfile *saved) {
  ls_setup *const setup = t->setup;
  ls_job *const job = setup->job;
  bool goes_on = saved != NULL;
  ls_comm_broadcast(t->comm, &goes_on, sizeof goes_on);
  ls_status status = train_choose_mode(t, mode_of(t, saved));
  if (status != LS_OK) return status;
  t->goes_on = goes_on;
  if (!goes_on) return start_anew(t, options);
  status = ls_checkpoint_restore(t->comm, saved, job->model, setup->normalizer, job->optim, &t->progress);
  if (status == LS_OK) t->saved_step = t->progress.step;
  return status;
}

/* A file that is not what is looked for is an answer; that memory was short is none. */
static ls_status unless_short(ls_status status) {
  return status == LS_ERR_INTERNAL ? status : LS_OK;
}

/* Rank 0: whether model.h5 is there, and has the weights of another file where that is not NULL. */
static ls_status has_model(const trainer *t, const ls_modelfile *other, bool *found) {
  ls_modelfile *model = NULL;
  const ls_status status = ls_modelfile_try_open(t->files.model, &model);
  ls_status compared = LS_OK;
  *found = model != NULL;
  if (*found && other) compared = ls_modelfile_same_model(model, other, t->setup->job->model, found);
  ls_modelfile_close(&model);
  return status == LS_OK ? unless_short(compared) : status;
}

/* The fingerprint of what is validated on; 0 where nothing is. */
static ls_digest validation_of(const trainer *t) {
  const ls_dataset *const dataset = t->setup->validation.dataset;
  return dataset ? dataset->fingerprint : (ls_digest){0};
}

/* *same: whether the best was measured by the same column of the same data. */
static ls_status same_measure(const ls_modelfile *saved, const trainer *t, bool *same) {
  static const char *const keys[][2] = {{"train", "monitor"}, {"data", "validation"}};
  const ls_digest before = t->progress.validation;
  const bool is_known = before.low != 0 || before.high != 0; /* else the path has to do */
  const size_t n_keys = is_known ? 1 : 2;
  ls_job *then = NULL;
  char difference[300];
  const ls_status status = ls_job_create_saved(saved->config, ls_store_path(saved->store), &then);
  *same = status == LS_OK && (!is_known || ls_digest_equal(before, validation_of(t)));
  for (size_t i = 0; *same && i < n_keys; i++)
    *same =
        !ls_node_differ(find(t->setup->job, keys[i]), find(then, keys[i]), difference, sizeof difference);
  ls_job_destroy(&then);
  return unless_short(status);
}

/* Rank 0: whether the best model that the progress tells of is the one in this folder's best.h5, and
 * whether model.h5 lacks its weights. Without validation model.h5 has others, and is there only once the
 * run has ended. */
static ls_status has_best(trainer *t, bool *found) {
  ls_modelfile *best = NULL;
  ls_progress progress = {0};
  ls_status status = ls_modelfile_try_open(t->files.best, &best);
  *found = best && best->is_checkpoint && ls_checkpoint_read_progress(best, &progress) == LS_OK &&
           progress.best_epoch == t->progress.best_epoch && progress.best_value == t->progress.best_value;
  bool has_it = true;
  if (*found && t->setup->validation.view.n > 0) status = has_model(t, best, &has_it);
  t->lacks_model = !has_it;
  ls_modelfile_close(&best);
  return status;
}

ls_status train_remake_model(const trainer *t) {
  ls_modelfile *best = NULL;
  if (!t->lacks_model) return LS_OK;
  ls_status status = ls_modelfile_open(t->files.best, &best);
  if (status == LS_OK)
    status = ls_modelfile_copy_model(best, t->setup->job->model, t->setup->normalizer, t->files.model);
  if (status == LS_OK)
    ls_log(LS_LOG_INFO, "%s: made again from %s, the best so far", t->files.model, t->files.best);
  ls_modelfile_close(&best);
  return status;
}

/* Rank 0: what of the config is not as it was. What may not change has been refused by now. */
static void tell_changes(const trainer *t, const ls_modelfile *saved) {
  ls_job *then = NULL;
  char changes[LS_MESSAGE_MAX];
  if (ls_job_create_saved(saved->config, ls_store_path(saved->store), &then) == LS_OK) {
    ls_node_changes(ls_config_root(t->setup->job->config), ls_config_root(then->config), changes,
                    sizeof changes);
    if (changes[0]) ls_log(LS_LOG_INFO, "changed since: %s", changes);
  }
  ls_job_destroy(&then);
  if (saved->platform && strcmp(saved->platform, t->platform) != 0)
    ls_log(LS_LOG_INFO, "on another platform than before, which rounds otherwise: it was %s, and is %s",
           saved->platform, t->platform);
}

/* Rank 0: whether a run that its checkpoint says is done has its model.h5: the final state, or what was the
 * best by the same measure; where best.h5 is lost, nothing better is to be had than what is there. */
static ls_status is_done(const trainer *t, const ls_modelfile *saved, bool is_same, bool *done) {
  const bool has_best = t->setup->validation.view.n > 0 && t->progress.best_epoch > 0;
  *done = false;
  if (!train_is_finished(t) || t->lacks_model || (has_best && !is_same)) return LS_OK;
  return has_model(t, has_best ? NULL : saved, done);
}

/* Rank 0: what goes on, and from where. */
static ls_status settle(trainer *t, const ls_train_options *options, const ls_modelfile *saved,
                        bool *is_complete) {
  const bool is_auto = strcmp(options->resume, "auto") == 0;
  bool is_same = false;
  bool found = false;
  ls_status status = same_measure(saved, t, &is_same);
  if (status == LS_OK && is_same) status = has_best(t, &found);
  if (status == LS_OK && !is_same) train_reset_monitor(t);
  if (status == LS_OK && is_auto) status = is_done(t, saved, is_same, is_complete);
  if (status != LS_OK) return status;
  if (options->init_from)
    ls_log(LS_LOG_INFO, "--init-from %s was not used again: %s has a checkpoint", options->init_from,
           t->files.folder);
  if (*is_complete) return LS_OK;
  const bool forgets = t->progress.best_epoch > 0 && !found;
  if (forgets) {
    ls_log(LS_LOG_WARNING,
           "%s has no best model that goes with this checkpoint and train.monitor: the best is taken from "
           "here on",
           t->files.folder);
    t->progress.best_epoch = 0;
  }
  ls_log(LS_LOG_INFO, "going on from %s: epoch %llu, step %llu", ls_store_path(saved->store),
         (unsigned long long)(t->progress.epoch + 1), (unsigned long long)t->progress.step);
  tell_changes(t, saved);
  /* What is not this folder's newest checkpoint as it stands is saved here anew. */
  if (!is_auto || forgets || !saved->is_newest) t->saved_step = UINT64_MAX;
  return LS_OK;
}

/* Collective. What `settle` may have changed on rank 0. */
static void share_watched(trainer *t) {
  ls_progress *const p = &t->progress;
  ls_comm_broadcast(t->comm, &p->best_epoch, sizeof p->best_epoch);
  ls_comm_broadcast(t->comm, &p->n_stale, sizeof p->n_stale);
  ls_comm_broadcast(t->comm, &p->has_stale_value, sizeof p->has_stale_value);
  ls_comm_broadcast(t->comm, &p->plateau, sizeof p->plateau);
}

ls_status train_start_or_resume(trainer *t, const ls_train_options *options, bool *is_complete) {
  ls_modelfile *saved = NULL;
  ls_status status = ls_comm_agree(t->comm, t->is_root ? choose_start(t, options, &saved) : LS_OK);
  if (status == LS_OK) status = set_state(t, options, saved);
  if (status == LS_OK)
    status = ls_comm_agree(t->comm, saved ? settle(t, options, saved, is_complete) : LS_OK);
  share_watched(t);
  t->progress.validation = validation_of(t);
  ls_comm_broadcast(t->comm, &t->saved_step, sizeof t->saved_step);
  ls_comm_broadcast(t->comm, is_complete, sizeof *is_complete);
  ls_modelfile_close(&saved);
  return status;
}
