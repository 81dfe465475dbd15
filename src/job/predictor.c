/* A saved model that is ready for prediction. */
#include "internal.h"

#include <stdlib.h>

void ls_predictor_destroy(ls_predictor **predictor) {
  ls_predictor *const p = *predictor;
  if (!p) return;
  ls_modelfile_close(&p->saved);
  ls_normalizer_destroy(&p->normalizer);
  ls_job_destroy(&p->job);
  free(p);
  *predictor = NULL;
}

ls_facts ls_facts_of_model(const ls_modelfile *saved) {
  return (ls_facts){.owner = ls_store_path(saved->store),
                    .shape = saved->input,
                    .features = {(const char *const *)saved->features, saved->n_features},
                    .classes = {(const char *const *)saved->classes, saved->n_classes},
                    .x = saved->x};
}

/* Local. Builds the model of a saved config; its weights are still to be read. */
static ls_status build_model(ls_predictor *p, const char *path, const char *text, const ls_shape *input) {
  LS_TRY(ls_job_create_saved(text, path, &p->job));
  LS_TRY(ls_model_infer_shapes(p->job->model, input));
  LS_TRY(ls_model_build(p->job->model, LS_EVALUATE_ROWS));
  LS_TRY(ls_normalizer_create(p->job->model->n_in, &p->normalizer));
  if (!p->job->data.standardize_targets) return LS_OK;
  return ls_normalizer_add_targets(p->normalizer, p->job->model->n_out);
}

ls_status ls_predictor_create(ls_comm *comm, const char *path, ls_predictor **out) {
  const bool is_root = ls_comm_rank(comm) == 0;
  char *text = NULL;
  ls_shape input = {0};
  ls_predictor *const p = *out = ls_calloc(1, sizeof *p);
  ls_status status = p ? LS_OK : ls_fail_memory("the model", sizeof *p);
  if (status == LS_OK && is_root) status = ls_modelfile_open(path, &p->saved);
  if (status == LS_OK && is_root) text = ls_strdup(p->saved->config);
  if (status == LS_OK && is_root) input = p->saved->input;
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_comm_broadcast_text(comm, &text);
  if (status == LS_OK) {
    ls_comm_broadcast(comm, &input, sizeof input);
    status =
        ls_comm_agree(comm, text ? build_model(p, path, text, &input) : ls_fail_memory("the config", 0));
    LS_ASSERT(status != LS_OK || p->job);
  }
  if (status == LS_OK)
    status = ls_checkpoint_restore(comm, p->saved, p->job->model, p->normalizer, NULL, NULL);
  free(text);
  if (status != LS_OK) ls_predictor_destroy(out);
  return status;
}
