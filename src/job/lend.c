/* The data of one setup, used by the jobs of a sweep: they are read once for all groups of ranks. */
#include "internal.h"

static const ls_node *data_key(const ls_job *job, const char *name) {
  const ls_node *const section = ls_node_find(ls_config_root(job->config), "data");
  return section ? ls_node_find(section, name) : NULL;
}

/* Local. Whether a job needs the same samples as the lender's, which are in memory. */
static bool needs_same(const ls_setup *lender, const ls_job *job) {
  static const char *const keys[] = {"train",  "validation", "test",   "x",      "y",
                                     "layout", "shape",      "memory", "window", "cache"};
  const ls_dataset *const datasets[] = {lender->train.dataset, lender->validation.dataset,
                                        lender->test.dataset};
  const ls_job *const other = lender->job;
  char text[64];
  for (size_t i = 0; i < sizeof datasets / sizeof datasets[0]; i++)
    if (datasets[i] && datasets[i]->is_streamed) return false;
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    if (ls_node_differ(data_key(job, keys[i]), data_key(other, keys[i]), text, sizeof text)) return false;
  return ls_target_of((ls_loss)job->train.loss) == ls_target_of((ls_loss)other->train.loss) &&
         ls_model_spatial_dims(job->model) == ls_model_spatial_dims(other->model);
}

static void borrow(const ls_split *from, ls_split *to) {
  if (!from->dataset || from->is_shared) return;
  to->dataset = from->dataset;
  to->is_lent = true;
  to->view = ls_view_all(to->dataset);
}

ls_status job_borrow_data(ls_setup *setup, bool *is_lent) {
  const ls_setup *const lender = setup->job->lender;
  *is_lent = false;
  if (!lender || !needs_same(lender, setup->job)) return LS_OK;
  LS_TRY(job_infer_shapes(setup->job, lender->train.dataset));
  if (setup->job->model->n_out != lender->job->model->n_out) return LS_OK; /* y is checked against it */
  borrow(&lender->train, &setup->train);
  borrow(&lender->validation, &setup->validation);
  borrow(&lender->test, &setup->test);
  setup->facts = ls_facts_of(setup->train.dataset, "data.train");
  setup->window = ls_dataset_window(setup->train.dataset, &setup->job->data.window);
  *is_lent = true;
  return LS_OK;
}
