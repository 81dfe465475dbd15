/* From a dataset to the file of a config. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Recordings that `import` has written are series. */
static ls_status is_recording(const ls_dataset *d, bool *yes) {
  ls_store *store = NULL;
  LS_TRY(ls_store_open(ls_dataset_x_file(d), &store));
  *yes = ls_store_has_attribute(store, ls_dataset_x_path(d), "sample_rate");
  ls_store_close(&store);
  return LS_OK;
}

/* Rank 0. */
static ls_status measure(const ls_dataset *d, const ls_draft_request *request, draft_facts *f) {
  ls_draft_request r = *request;
  bool is_sound = false;
  LS_TRY(draft_measure_targets(d, request, &f->y));
  LS_TRY(draft_measure_inputs(d, &f->x));
  LS_TRY(is_recording(d, &is_sound));
  if (r.kind == LS_DRAFT_AUTO && f->x.shape.n_dims <= 2 && is_sound) r.kind = LS_DRAFT_SERIES;
  return draft_find_layout(&r, &f->x, &f->layout);
}

/* Makes the names relative to the config. */
static ls_status relate(const char *config, draft_splits *s) {
  char **const names[] = {&s->train, &s->validation, &s->test};
  for (size_t i = 0; i < 3; i++) {
    char *name = NULL;
    if (!*names[i]) continue;
    LS_TRY(draft_relative(config, *names[i], &name));
    free(*names[i]);
    *names[i] = name;
  }
  return LS_OK;
}

static ls_status write_file(const ls_draft_request *request, const draft_splits *s, const draft_facts *f,
                            const draft_plan *p) {
  ls_text_file file = {0};
  if (strcmp(request->config, "-") == 0) {
    draft_print(stdout, request, s, f, p);
    return LS_OK;
  }
  ls_status status = ls_text_begin(&file, request->config);
  if (status == LS_OK) draft_print(file.stream, request, s, f, p);
  return ls_text_end(&file, status);
}

/* Rank 0. */
static ls_status write_draft(const ls_dataset *d, const ls_draft_request *request, draft_splits *s) {
  ls_draft_request r = *request;
  draft_facts facts = {0};
  draft_plan plan;
  char *y = NULL;
  LS_TRY(measure(d, request, &facts));
  facts.x.has_missing = request->n_missing > 0;
  draft_choose(&facts, s->validation != NULL, &plan);
  LS_TRY(relate(request->config, s));
  if (draft_has_file(r.y)) LS_TRY(draft_relative(r.config, r.y, &y));
  if (y) r.y = y;
  const ls_status status = write_file(&r, s, &facts, &plan);
  free(y);
  return status;
}

ls_status ls_draft_write(ls_comm *comm, const ls_draft_request *request) {
  draft_splits splits = {0};
  ls_dataset *train = NULL;
  ls_status status = draft_open(comm, request, &splits, &train);
  if (status == LS_OK)
    status = ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? write_draft(train, request, &splits) : LS_OK);
  ls_dataset_close(comm, &train);
  draft_splits_free(&splits);
  return status;
}
