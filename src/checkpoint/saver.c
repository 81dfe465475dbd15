/* A thread that publishes snapshots while the caller continues. It does not call MPI, and uses only its own
 * copies and data that the caller does not change. */
#include "lockstep/checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct ls_saver {
  bool has_thread;
  pthread_t thread;
  pthread_mutex_t mutex; /* of the next five */
  pthread_cond_t changed;
  bool is_busy, is_ending;
  ls_status status; /* the first unreported failure */
  char message[LS_MESSAGE_MAX];
  double longest;
  /* Owned by the thread while it is busy, otherwise by the caller. */
  ls_save save;
  ls_snapshot snapshot; /* with pointers to the following */
  ls_model model;
  ls_optim optim;
  ls_progress progress;
  float *params, *state, *slots; /* one block, owned */
  double *sums;                  /* (n_sums), owned */
};

size_t ls_saver_bytes(const ls_model *model, const ls_optim *optim) {
  return (model->n_params * (1 + ls_optim_n_slots(optim)) + model->n_state) * sizeof(float);
}

/* ------------------------------------------------------------------- publishing */

static void log_file(const char *path, double start, const char *twin) {
  struct stat info;
  const double mb = stat(path, &info) == 0 ? (double)info.st_size * 1e-6 : 0.0;
  ls_log_note("%s: %.3g MB in %.3f s%s%s", path, mb, ls_clock() - start, twin ? ", hard link to " : "",
              twin ? twin : "");
}

/* Publishes a checkpoint, or only its model. */
static ls_status publish(const char *path, const ls_snapshot *snapshot, bool is_model) {
  const double start = ls_clock();
  LS_TRY(is_model ? ls_modelfile_write(path, &snapshot->content) : ls_checkpoint_write(path, snapshot));
  log_file(path, start, NULL);
  return LS_OK;
}

/* `twin`: a file with the same contents, or NULL. */
static ls_status publish_step(const ls_save *save, const ls_snapshot *snapshot, const char *twin) {
  const uint64_t step = snapshot->progress->step;
  const double start = ls_clock();
  char *const path = ls_checkpoint_path(save->folder, step);
  if (!path) return ls_fail_memory("a path", 0);
  ls_status status = LS_OK;
  if (twin && ls_store_link(twin, path))
    log_file(path, start, twin);
  else
    status = publish(path, snapshot, false);
  free(path);
  return status == LS_OK ? ls_checkpoint_prune(save->folder, step, save->keep, save->spared) : status;
}

/* Publishes the model with the averaged parameters, which are the last slot. */
static ls_status publish_average(const char *path, const ls_snapshot *snapshot) {
  ls_model model = *snapshot->content.model;
  ls_snapshot average = *snapshot;
  LS_ASSERT(snapshot->slots && snapshot->optim->average > 0.0);
  model.params = (float *)snapshot->slots + snapshot->optim->type->n_slots * model.n_params;
  average.content.model = &model;
  return publish(path, &average, true);
}

static ls_status publish_all(const ls_save *save, const ls_snapshot *snapshot) {
  if (save->average) LS_TRY(publish_average(save->average, snapshot));
  if (save->model) LS_TRY(publish(save->model, snapshot, true));
  if (save->best) LS_TRY(publish(save->best, snapshot, false));
  return save->folder ? publish_step(save, snapshot, save->best) : LS_OK;
}

/* Runs on the thread. */
static void publish_and_report(ls_saver *saver) {
  const double start = ls_clock();
  const ls_status status = publish_all(&saver->save, &saver->snapshot);
  pthread_mutex_lock(&saver->mutex);
  if (status != LS_OK && saver->status == LS_OK)
    snprintf(saver->message, sizeof saver->message, "%s", ls_message());
  if (saver->status == LS_OK) saver->status = status;
  const double seconds = ls_clock() - start;
  if (seconds > saver->longest) saver->longest = seconds;
  saver->is_busy = false;
  pthread_cond_broadcast(&saver->changed);
  pthread_mutex_unlock(&saver->mutex);
}

/* ------------------------------------------------------------------- the thread */

/* Waits for a save; false at the end. */
static bool wait_for_work(ls_saver *saver) {
  pthread_mutex_lock(&saver->mutex);
  while (!saver->is_busy && !saver->is_ending) pthread_cond_wait(&saver->changed, &saver->mutex);
  const bool is_busy = saver->is_busy;
  pthread_mutex_unlock(&saver->mutex);
  return is_busy;
}

static void *serve(void *context) {
  ls_saver *const saver = context;
  while (wait_for_work(saver)) publish_and_report(saver);
  return NULL;
}

static ls_status start_thread(ls_saver *saver) {
  const int error = ls_thread_start(&saver->thread, serve, saver);
  saver->has_thread = error == 0;
  return error == 0 ? LS_OK
                    : ls_fail(LS_ERR_INTERNAL, "cannot start the thread that writes checkpoints: %s",
                              strerror(error));
}

/* -------------------------------------------------------------------- the caller */

/* Allocates the copies. */
static ls_status create_copies(ls_saver *saver, const ls_model *model, const ls_optim *optim,
                               size_t n_sums) {
  const size_t bytes = ls_saver_bytes(model, optim);
  saver->params = ls_calloc(bytes, 1);
  saver->sums = ls_calloc(n_sums, sizeof *saver->sums);
  if (!saver->params || !saver->sums) return ls_fail_memory("the copy of the state for checkpoints", bytes);
  saver->state = saver->params + model->n_params;
  saver->slots = saver->state + model->n_state;
  return LS_OK;
}

ls_status ls_saver_create(const ls_model *model, const ls_optim *optim, size_t n_sums, ls_saver **out) {
  *out = NULL;
  ls_saver *saver = ls_calloc(1, sizeof *saver);
  if (!saver) return ls_fail_memory("the writer of checkpoints", sizeof *saver);
  pthread_mutex_init(&saver->mutex, NULL);
  pthread_cond_init(&saver->changed, NULL);
  ls_status status = create_copies(saver, model, optim, n_sums);
  if (status == LS_OK) status = start_thread(saver);
  if (status != LS_OK) ls_saver_destroy(&saver);
  *out = saver;
  return status;
}

/* The thread's heartbeats count as progress of the caller, which other ranks may wait for. */
static void wait_until_idle(ls_saver *saver) {
  uint64_t seen = ls_heartbeat_count();
  pthread_mutex_lock(&saver->mutex);
  while (saver->is_busy) {
    ls_thread_wait(&saver->changed, &saver->mutex, 1.0);
    if (ls_heartbeat_count() != seen) ls_heartbeat();
    seen = ls_heartbeat_count();
  }
  pthread_mutex_unlock(&saver->mutex);
}

void ls_saver_destroy(ls_saver **saver) {
  ls_saver *const s = *saver;
  *saver = NULL;
  if (!s) return;
  wait_until_idle(s);
  pthread_mutex_lock(&s->mutex);
  s->is_ending = true;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->mutex);
  if (s->has_thread) pthread_join(s->thread, NULL);
  if (s->status != LS_OK && strcmp(s->message, ls_message()) != 0) ls_log(LS_LOG_WARNING, "%s", s->message);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->mutex);
  free(s->params);
  free(s->sums);
  free(s);
}

float *ls_saver_slots(ls_saver *saver) {
  wait_until_idle(saver);
  return saver->slots;
}

/* Copies what changes in training; borrows the rest. */
static void copy(ls_saver *saver, const ls_snapshot *snapshot) {
  const ls_model *const model = snapshot->content.model;
  const size_t n_slots = snapshot->optim->n_slots;
  saver->snapshot = *snapshot;
  saver->model = *model;
  saver->optim = *snapshot->optim;
  saver->progress = *snapshot->progress;
  saver->snapshot.content.model = &saver->model;
  saver->snapshot.optim = &saver->optim;
  saver->snapshot.progress = &saver->progress;
  saver->snapshot.slots = saver->slots;
  saver->model.params = ls_copy(saver->params, model->params, model->n_params * sizeof *model->params);
  saver->model.state = ls_copy(saver->state, model->state, model->n_state * sizeof *model->state);
  saver->progress.sums =
      memcpy(saver->sums, snapshot->progress->sums, snapshot->progress->n_sums * sizeof *saver->sums);
  LS_ASSERT(snapshot->slots || n_slots == 0 || snapshot->optim->n == model->n_params);
  for (size_t k = 0; k < n_slots && snapshot->slots != saver->slots; k++) {
    const size_t at = k * model->n_params;
    ls_copy(saver->slots + at, snapshot->slots ? snapshot->slots + at : snapshot->optim->slots[k],
            model->n_params * sizeof *saver->slots);
  }
}

void ls_saver_submit(ls_saver *saver, const ls_snapshot *snapshot, const ls_save *save) {
  wait_until_idle(saver);
  copy(saver, snapshot);
  saver->save = *save;
  pthread_mutex_lock(&saver->mutex);
  saver->is_busy = true;
  pthread_cond_broadcast(&saver->changed);
  pthread_mutex_unlock(&saver->mutex);
}

bool ls_saver_has_failed(ls_saver *saver) {
  pthread_mutex_lock(&saver->mutex);
  const bool failed = saver->status != LS_OK;
  pthread_mutex_unlock(&saver->mutex);
  return failed;
}

double ls_saver_longest(ls_saver *saver) {
  pthread_mutex_lock(&saver->mutex);
  const double longest = saver->longest;
  pthread_mutex_unlock(&saver->mutex);
  return longest;
}

ls_status ls_saver_wait(ls_saver *saver) {
  wait_until_idle(saver);
  const ls_status status = saver->status;
  saver->status = LS_OK;
  return status == LS_OK ? LS_OK : ls_fail(status, "%s", saver->message);
}
