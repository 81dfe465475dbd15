/* The job of a config. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void ls_job_destroy(ls_job **job) {
  if (!*job) return;
  ls_model_destroy(&(*job)->model);
  ls_optim_destroy(&(*job)->optim);
  ls_config_destroy(&(*job)->config);
  free(*job);
  *job = NULL;
}

/* Stores --output in the document as `output='DIR'`, quoted for YAML, so that the resolved config shows it.
 */
static ls_status override_output(ls_config *config, const char *output) {
  const size_t size = 2 * strlen(output) + sizeof "output=''";
  char *const text = ls_calloc(size, 1);
  if (!text) return ls_fail_memory("a path", size);
  ls_append(text, size, "output='");
  for (const char *c = output; *c; c++) ls_append(text, size, "%s%c", *c == '\'' ? "'" : "", *c);
  ls_append(text, size, "'");
  const ls_status status = ls_config_override(config, text);
  free(text);
  return status;
}

/* Each module reads its section. Collects errors. */
static ls_status read_parts(ls_job *job, const char *path) {
  ls_config *const config = job->config;
  ls_node *const root = ls_config_root(config);
  ls_config_read(config, root, ls_top_keys, &job->train);
  ls_node *const section = ls_config_section(config, root, "train");
  if (section) ls_config_read(config, section, ls_train_keys, &job->train);
  if (section) job_read_tensorboard(config, section, &job->train.tensorboard);
  const ls_node *const max_steps = section ? ls_node_find(section, "max_steps") : NULL;
  job->train.has_max_steps = max_steps && !ls_node_is_null(max_steps);
  ls_loss_options loss_options;
  ls_loss_configure(config, &job->train.loss, &loss_options);
  LS_TRY(ls_model_parse(config, job->train.loss, &job->model));
  job->model->loss_options = loss_options;
  job->train.loss = job->model->loss;
  job->task = ls_task_of(job->train.loss);
  ls_data_configure(config, path, &job->data);
  ls_checkpoint_configure(config, &job->checkpoint);
  ls_sync_configure(config, &job->sync);
  ls_penalty_configure(config, &job->penalty);
  ls_schedule_configure(config, &job->schedule);
  job_read_measures(job);
  if (section) LS_TRY(job_check_train(job, section));
  job->model->l1 = job->penalty.l1;
  job->model->l2 = job->penalty.l2;
  LS_TRY(ls_optim_parse(config, &job->optim));
  if (job->optim) job->optim->average = job->train.ema;
  job_check_optimizer(job);
  job_check_class_weight(job);
  return ls_config_status(config);
}

ls_status ls_job_create_text(const ls_job_source *source, ls_job **out) {
  ls_job *const job = *out = ls_calloc(1, sizeof *job);
  if (!job) return ls_fail_memory("the job", sizeof *job);
  LS_TRY(ls_config_create(source->text, source->path, &job->config));
  for (size_t i = 0; i < source->n_overrides; i++)
    LS_TRY(ls_config_override(job->config, source->overrides[i]));
  if (source->output) LS_TRY(override_output(job->config, source->output));
  return read_parts(job, source->path);
}

ls_status ls_job_create_saved(const char *text, const char *path, ls_job **out) {
  const ls_job_source source = {.path = path, .text = text};
  const ls_status status = ls_job_create_text(&source, out);
  if (status == LS_OK) return LS_OK;
  ls_job_destroy(out);
  if (status != LS_ERR_CONFIG) return status;
  return ls_fail(LS_ERR_MODEL, "%s: invalid config: %s", path, ls_message());
}

ls_status ls_job_create(ls_comm *comm, const ls_job_source *source, ls_job **out) {
  ls_job_source whole = *source;
  char *text = NULL;
  *out = NULL;
  const bool reads = !source->text && ls_comm_rank(comm) == 0;
  ls_status status = ls_comm_agree(comm, reads ? ls_config_load(source->path, &text) : LS_OK);
  if (status == LS_OK && !source->text) status = ls_comm_broadcast_text(comm, &text);
  if (text) whole.text = text;
  if (status == LS_OK) status = ls_comm_agree(comm, ls_job_create_text(&whole, out));
  free(text);
  if (status != LS_OK) ls_job_destroy(out);
  return status;
}
