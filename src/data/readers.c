/* Threads that read samples ahead of their use. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct thread {
  data_readers *readers; /* borrowed */
  pthread_t id;
  bool is_running;
  data_loader loader;
  void *memory;   /* owned: of a piece */
  uint64_t start; /* samples of the task before its piece; UINT64_MAX: none */
} thread;

struct data_readers {
  const ls_dataset *dataset;
  uint64_t most_rows; /* of a piece */
  size_t n_threads;
  thread *threads;       /* owned */
  pthread_mutex_t mutex; /* of the following */
  pthread_cond_t changed;
  bool is_ending;
  data_task task;
  uint64_t limit, taken; /* samples of the task */
  ls_status status;      /* the first failure */
  char message[LS_MESSAGE_MAX];
};

/* ---------------------------------------------------------------------- the threads */

/* Waits for a piece; false at the end. */
static bool take_piece(data_readers *r, thread *t, data_piece *piece) {
  pthread_mutex_lock(&r->mutex);
  while (!r->is_ending && (r->status != LS_OK || r->taken >= r->limit))
    pthread_cond_wait(&r->changed, &r->mutex);
  const bool has_piece = !r->is_ending;
  if (has_piece) {
    *piece = r->task.next(r->task.context);
    LS_ASSERT(piece->samples.n > 0 && piece->samples.n <= r->most_rows);
    t->start = r->taken;
    r->taken += piece->samples.n;
  }
  pthread_mutex_unlock(&r->mutex);
  return has_piece;
}

static void end_piece(data_readers *r, thread *t, ls_status status) {
  pthread_mutex_lock(&r->mutex);
  if (status != LS_OK && r->status == LS_OK) {
    r->status = status;
    snprintf(r->message, sizeof r->message, "%s", ls_message());
  }
  t->start = UINT64_MAX;
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->mutex);
}

static void *serve(void *context) {
  thread *const t = context;
  data_readers *const r = t->readers;
  const data_rows rows = data_rows_at(r->dataset, r->most_rows, t->memory);
  data_piece piece;
  while (take_piece(r, t, &piece)) {
    data_loader_read_ahead(&t->loader, piece.ahead[0], true);
    data_loader_read_ahead(&t->loader, piece.ahead[1], false);
    const ls_status status = data_loader_read(&t->loader, piece.samples, &rows);
    if (status == LS_OK) r->task.place(r->task.context, &piece, &rows);
    ls_heartbeat();
    end_piece(r, t, status);
  }
  data_loader_close(&t->loader);
  return NULL;
}

/* -------------------------------------------------------------- creation and the end */

static ls_status start_thread(data_readers *r, size_t i) {
  const size_t bytes = data_rows_bytes(r->dataset, r->most_rows);
  thread *const t = &r->threads[i];
  *t = (thread){.readers = r,
                .loader = data_loader_create(r->dataset),
                .memory = ls_calloc(bytes, 1),
                .start = UINT64_MAX};
  if (!t->memory) return ls_fail_memory("a reader", bytes);
  const int error = ls_thread_start(&t->id, serve, t);
  t->is_running = error == 0;
  if (error == 0) return LS_OK;
  return ls_fail(LS_ERR_INTERNAL, "cannot start a thread that reads samples: %s", strerror(error));
}

ls_status data_readers_create(const ls_dataset *d, size_t n_threads, data_readers **out) {
  data_readers *const r = *out = ls_calloc(1, sizeof *r);
  if (!r) return ls_fail_memory("the readers", sizeof *r);
  *r = (data_readers){.dataset = d, .most_rows = data_piece_most(d)};
  pthread_mutex_init(&r->mutex, NULL);
  pthread_cond_init(&r->changed, NULL);
  r->threads = ls_calloc(n_threads, sizeof *r->threads);
  if (!r->threads) return ls_fail_memory("the readers", n_threads * sizeof *r->threads);
  r->n_threads = n_threads;
  for (size_t i = 0; i < n_threads; i++) LS_TRY(start_thread(r, i));
  return LS_OK;
}

void data_readers_destroy(data_readers **readers) {
  data_readers *const r = *readers;
  if (!r) return;
  pthread_mutex_lock(&r->mutex);
  r->is_ending = true;
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->mutex);
  for (size_t i = 0; i < r->n_threads; i++) {
    if (r->threads[i].is_running) pthread_join(r->threads[i].id, NULL);
    free(r->threads[i].memory);
  }
  pthread_cond_destroy(&r->changed);
  pthread_mutex_destroy(&r->mutex);
  free(r->threads);
  free(r);
  *readers = NULL;
}

size_t data_readers_bytes(const ls_dataset *d, size_t n_threads) {
  return n_threads * data_rows_bytes(d, data_piece_most(d));
}

/* ------------------------------------------------------------------------ the caller */

#define POLL 0.05 /* seconds */

/* The samples at the start of the task that are placed. The caller holds the mutex. */
static uint64_t count_placed(const data_readers *r) {
  uint64_t placed = r->taken;
  for (size_t i = 0; i < r->n_threads; i++) placed = ls_size_min(placed, r->threads[i].start);
  return placed;
}

void data_readers_start(data_readers *r, const data_task *task) {
  pthread_mutex_lock(&r->mutex);
  r->limit = 0;
  while (count_placed(r) < r->taken) ls_thread_wait(&r->changed, &r->mutex, POLL);
  r->task = *task;
  r->taken = 0;
  r->status = LS_OK;
  pthread_mutex_unlock(&r->mutex);
}

void data_readers_allow(data_readers *r, uint64_t samples) {
  pthread_mutex_lock(&r->mutex);
  r->limit = samples;
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->mutex);
}

ls_status data_readers_wait(data_readers *r, uint64_t samples) {
  pthread_mutex_lock(&r->mutex);
  uint64_t before = count_placed(r);
  while (r->status == LS_OK && count_placed(r) < samples) {
    ls_thread_wait(&r->changed, &r->mutex, POLL);
    const uint64_t placed = count_placed(r);
    if (placed != before) ls_heartbeat(); /* also relays the progress of this node to others */
    before = placed;
  }
  const ls_status status = r->status == LS_OK ? LS_OK : ls_fail(r->status, "%s", r->message);
  pthread_mutex_unlock(&r->mutex);
  return status;
}
