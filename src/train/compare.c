/* Comparison of a checkpoint with the config and the data of a run that is to resume it. */
#include "internal.h"

#include <string.h>

/* Parts of the config that must be the same, as dotted paths of at most two names; the last one only in
 * mid-epoch, where a different order would repeat and omit samples. */
static const char *const fixed_keys[][2] = {{"seed", NULL},
                                            {"loss", NULL},
                                            {"model", NULL},
                                            {"optimizer", "type"},
                                            {"train", "batch_size"},
                                            {"train", "accumulate"},
                                            {"train", "reproducible"},
                                            {"train", "lanes"},
                                            {"data", "layout"},
                                            {"data", "shape"},
                                            {"data", "normalize"},
                                            {"data", "standardize_targets"},
                                            {"data", "shuffle"}};

/* Parts of the config that determine the parameters after training, besides fixed_keys and its length. */
static const char *const trained_keys[][2] = {
    {"optimizer", NULL},  {"schedule", NULL},          {"penalty", NULL},
    {"data", "augment"},  {"train", "clip_grad_norm"}, {"train", "clip_grad_value"},
    {"train", "ema"},     {"train", "class_weight"},   {"train", "early_stopping"},
    {"train", "monitor"}, {"comm", "gradient_type"}};

static const ls_node *find(const ls_job *job, const char *const key[2]) {
  const ls_node *const node = ls_node_find(ls_config_root(job->config), key[0]);
  return node && key[1] ? ls_node_find(node, key[1]) : node;
}

/* Whether a key differs. text: the difference */
static bool key_differs(const ls_job *now, const ls_job *then, const char *const key[2], char *text,
                        size_t size) {
  if (strcmp(key[0], "loss") == 0 && ls_job_same_loss(now, then)) return false;
  return ls_node_differ(find(now, key), find(then, key), text, size);
}

static ls_status fail_differs(const char *path, const char *difference) {
  return ls_fail(
      LS_ERR_CONFIG,
      "%s: cannot resume with this config: %s as in the checkpoint; restore the value, or start a "
      "new run with a different output or --overwrite",
      path, difference);
}

/* `position`: the progress of the checkpoint. */
static ls_status check_config(const trainer *t, const ls_modelfile *saved, const ls_progress *position) {
  ls_job *then = NULL;
  const ls_job *const now = t->setup->job;
  char difference[300];
  const char *const path = ls_store_path(saved->store);
  ls_status status = LS_OK;
  LS_TRY(ls_job_create_saved(saved->config, path, &then));
  const size_t n_keys = sizeof fixed_keys / sizeof fixed_keys[0] - (position->epoch_samples == 0);
  for (size_t i = 0; status == LS_OK && i < n_keys; i++)
    if (key_differs(now, then, fixed_keys[i], difference, sizeof difference))
      status = fail_differs(path, difference);
  /* A validation split determines the training data; a validation file does not. */
  if (status == LS_OK && now->data.validation_fraction != then->data.validation_fraction) {
    snprintf(difference, sizeof difference,
             "data.validation splits off the fraction %g of the training data, not %g",
             now->data.validation_fraction, then->data.validation_fraction);
    status = fail_differs(path, difference);
  }
  ls_job_destroy(&then);
  return status;
}

/* The names of one side, if both have names and they differ. */
static bool names_differ(const ls_names *now, const ls_names *then) {
  return now->n > 0 && then->n > 0 && !ls_names_equal(now, then);
}

/* Fails if the data have other names or another shape, which the fingerprint does not show. */
static ls_status check_facts(const trainer *t, const ls_modelfile *saved) {
  const ls_facts *const now = &t->setup->facts;
  const ls_facts then = ls_facts_of_model(saved);
  const bool has_features = names_differ(&now->features, &then.features);
  const bool has_classes = !has_features && names_differ(&now->classes, &then.classes);
  char text[2][700];
  if (has_features || has_classes)
    return ls_fail(
        LS_ERR_DATA,
        "%s: belongs to data with the %s %s; those of data.train are %s; restore names and order, or "
        "start a new run with a different output or --overwrite",
        then.owner, has_features ? "features" : "classes",
        ls_names_describe(has_features ? &then.features : &then.classes, NULL, text[0], 700),
        ls_names_describe(has_features ? &now->features : &now->classes, NULL, text[1], 700));
  if (ls_shapes_match(&now->shape, &then.shape)) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: belongs to data with samples of shape %s; those of data.train are of shape %s",
                 then.owner, ls_shape_describe(&then.shape, text[0], sizeof text[0]),
                 ls_shape_describe(&now->shape, text[1], sizeof text[1]));
}

/* The comparison of the data of a checkpoint with those of now. */
typedef enum comparison { UNKNOWN, SAME, DIFFERENT } comparison;

/* all, selection: the fingerprints in the checkpoint; dataset: NULL if there are no such data now. */
static comparison compare_data(ls_digest all, ls_digest selection, const ls_dataset *dataset) {
  const ls_digest now[] = {dataset ? dataset->fingerprint : (ls_digest){0},
                           dataset ? dataset->selection : (ls_digest){0}};
  if (ls_digest_is_known(all) && (ls_digest_is_known(now[0]) || !dataset))
    return ls_digest_equal(all, now[0]) ? SAME : DIFFERENT;
  if (ls_digest_is_known(selection)) return ls_digest_equal(selection, now[1]) ? SAME : DIFFERENT;
  return UNKNOWN;
}

/* A full shuffle or a number of samples. */
static const char *describe_window(uint64_t window, char *text, size_t size) {
  snprintf(text, size, "%llu samples", (unsigned long long)window);
  return window > 0 ? text : "absent (a full shuffle)";
}

static ls_status check_window(const trainer *t, const ls_modelfile *saved) {
  char now[64];
  char then[64];
  char difference[200];
  if (saved->window == t->setup->window) return LS_OK;
  snprintf(difference, sizeof difference, "data.window is %s, not %s",
           describe_window(t->setup->window, now, sizeof now),
           describe_window(saved->window, then, sizeof then));
  return fail_differs(ls_store_path(saved->store), difference);
}

/* The same samples in other files or chunks have other blocks, and so another order. */
static ls_status check_blocks(const trainer *t, const char *path, const ls_progress *then) {
  const ls_blocks *const blocks = t->setup->train.dataset->blocks;
  if (t->setup->window == 0 || ls_digest_equal(then->blocks, ls_blocks_digest(blocks))) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s: belongs to data in other blocks than those of %s, which would change the order: the samples "
      "are in files of other lengths, or in chunks of other sizes; restore the files",
      path, t->setup->job->data.train);
}

/* then: of the checkpoint at `path` */
static ls_status check_fingerprint(const ls_setup *setup, const char *path, const ls_progress *then) {
  const ls_digest now = setup->train.dataset->fingerprint;
  const comparison found = compare_data(then->data, then->data_selection, setup->train.dataset);
  if (found == SAME) return LS_OK;
  if (found == UNKNOWN)
    return ls_fail(LS_ERR_DATA,
                   "%s: has only the fingerprint of all data, which are not in memory now; resume with "
                   "data.memory: resident",
                   path);
  return ls_fail(
      LS_ERR_DATA,
      "%s: belongs to other data (fingerprint %016llx%016llx) than %s holds now (%016llx%016llx)", path,
      (unsigned long long)then->data.high, (unsigned long long)then->data.low, setup->job->data.train,
      (unsigned long long)now.high, (unsigned long long)now.low);
}

ls_status ls_train_check_data(const ls_setup *setup, const ls_modelfile *saved) {
  const char *const path = ls_store_path(saved->store);
  ls_progress then = {0};
  LS_TRY(ls_checkpoint_read_progress(saved, &then));
  LS_TRY(check_fingerprint(setup, path, &then));
  if (compare_data(then.validation, then.validation_selection, setup->validation.dataset) != DIFFERENT)
    return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: belongs to validation data other than those of the config now", path);
}

ls_status train_check_compatible(const trainer *t, const ls_modelfile *saved) {
  const char *const path = ls_store_path(saved->store);
  ls_progress then = {0};
  if (!saved->is_checkpoint)
    return ls_fail(LS_ERR_MODEL,
                   "%s: is a model, not a checkpoint: without an optimizer's state it cannot be resumed",
                   path);
  LS_TRY(ls_checkpoint_read_progress(saved, &then));
  LS_TRY(check_config(t, saved, &then));
  LS_TRY(check_window(t, saved));
  LS_TRY(check_facts(t, saved));
  LS_TRY(check_blocks(t, path, &then));
  return check_fingerprint(t->setup, path, &then);
}

static ls_status fail_finished(const char *path, const char *difference) {
  return ls_fail(
      LS_ERR_CONFIG,
      "%s: the run is finished, but not with this config: %s; restore the value; or train longer "
      "with the new value by a larger train.epochs or train.max_steps; or start a new run with a "
      "different output or --overwrite",
      path, difference);
}

ls_status train_check_finished(const trainer *t, const ls_modelfile *saved, bool has_same_best) {
  const ls_job *const now = t->setup->job;
  ls_job *then = NULL;
  char difference[300];
  const char *const path = ls_store_path(saved->store);
  ls_status status = LS_OK;
  LS_TRY(ls_job_create_saved(saved->config, path, &then));
  for (size_t i = 0; status == LS_OK && i < sizeof trained_keys / sizeof trained_keys[0]; i++)
    if (ls_node_differ(find(now, trained_keys[i]), find(then, trained_keys[i]), difference,
                       sizeof difference))
      status = fail_finished(path, difference);
  ls_job_destroy(&then);
  if (status != LS_OK || has_same_best) return status;
  return fail_finished(path,
                       "data.validation has other samples, and the best epoch was chosen by the old ones");
}

ls_status train_compare_monitor(const trainer *t, const ls_modelfile *saved, bool *same) {
  static const char *const keys[][2] = {{"train", "monitor"}, {"data", "validation"}};
  const comparison data =
      compare_data(t->progress.validation, t->progress.validation_selection, t->setup->validation.dataset);
  const size_t n_keys = data == UNKNOWN ? 2 : 1; /* else the paths are compared */
  ls_job *then = NULL;
  char difference[300];
  const ls_status status = ls_job_create_saved(saved->config, ls_store_path(saved->store), &then);
  *same = status == LS_OK && data != DIFFERENT;
  for (size_t i = 0; *same && i < n_keys; i++)
    *same =
        !ls_node_differ(find(t->setup->job, keys[i]), find(then, keys[i]), difference, sizeof difference);
  ls_job_destroy(&then);
  return status;
}

/* Warns if the rest of the run has other learning rates only because the run has become longer or shorter.
 */
static void warn_of_length(const trainer *t, const ls_job *then) {
  const ls_job *const now = t->setup->job;
  ls_schedule before = then->schedule;
  const ls_schedule_time next = {.step = t->progress.step, .epoch = t->progress.epoch};
  if (before.type != now->schedule.type || train_is_finished(t)) return;
  if (ls_schedule_set_length(&before, t->setup->steps_per_epoch, then->train.epochs) != LS_OK) return;
  const double was = ls_schedule_lr(&before, now->optim->lr, &next);
  const double is = ls_schedule_lr(&now->schedule, now->optim->lr, &next);
  if (before.total_steps == now->schedule.total_steps || was == is) return;
  ls_log(LS_LOG_WARNING,
         "schedule: its length changes from %llu to %llu steps during the run, so that the next learning "
         "rate is %g, not %g; set schedule.total_steps: %llu to keep the rates of the earlier config",
         (unsigned long long)before.total_steps, (unsigned long long)now->schedule.total_steps, is, was,
         (unsigned long long)before.total_steps);
}

/* Earlier versions stored only the libraries, without the layout of the ranks. */
static bool is_same_platform(const char *then, const char *now) {
  const size_t n = strlen(then);
  return strncmp(then, now, n) == 0 && (now[n] == '\0' || !strstr(then, " rank"));
}

void train_log_changes(const trainer *t, const ls_modelfile *saved) {
  ls_job *then = NULL;
  char changes[LS_MESSAGE_MAX];
  if (ls_job_create_saved(saved->config, ls_store_path(saved->store), &then) == LS_OK) {
    ls_node_changes(ls_config_root(t->setup->job->config), ls_config_root(then->config), changes,
                    sizeof changes);
    if (changes[0]) ls_log(LS_LOG_INFO, "changed since: %s", changes);
    warn_of_length(t, then);
  }
  ls_job_destroy(&then);
  if (saved->platform && !is_same_platform(saved->platform, t->platform))
    ls_log(LS_LOG_INFO, "different platform, which rounds differently: was %s, is %s", saved->platform,
           t->platform);
}
