/* The reader of a dataset that stays in its files: reads the samples that are fetched. Samples that are
 * expected are read ahead by a thread. */
#include "internal.h"

#include <stdlib.h>

#define AHEAD_BYTES ((size_t)16 << 20) /* read ahead, unless two pieces have more */

typedef struct direct {
  ls_reader reader; /* first, so that a pointer to it is a pointer to the direct reader */
  const ls_dataset *dataset;
  data_loader loader;
  uint64_t most; /* samples of the latest fetches */
  void *memory;  /* owned: of so many samples */
  /* Samples that are expected. */
  data_readers *readers; /* owned; NULL: no samples are expected */
  ls_expected expected;
  uint64_t taken, used; /* of the expected samples: given to the thread, fetched */
  uint64_t capacity;    /* samples in `ahead` */
  void *ahead;          /* owned: expected sample i is in place i % capacity */
} direct;

/* ------------------------------------------------------------------- expected samples */

/* The number in the dataset of expected sample i. */
static uint64_t expected_sample(const ls_expected *e, uint64_t i) {
  return ls_view_sample(e->view, e->first + i / e->run * e->stride + i % e->run);
}

static data_piece next_piece(void *context) {
  direct *const r = context;
  const ls_expected *const e = &r->expected;
  const uint64_t sample = expected_sample(e, r->taken);
  const uint64_t rest = ls_size_min(e->run - r->taken % e->run, e->n - r->taken);
  const data_piece piece = {.samples = {sample, ls_size_min(data_piece_rest(r->dataset, sample), rest)},
                            .place = r->taken};
  r->taken += piece.samples.n;
  return piece;
}

static void place(void *context, const data_piece *piece, const data_rows *rows) {
  direct *const r = context;
  const data_rows ahead = data_rows_at(r->dataset, r->capacity, r->ahead);
  for (uint64_t i = 0; i < piece->samples.n; i++)
    data_rows_copy(r->dataset, rows, i, &ahead, (piece->place + i) % r->capacity);
}

/* Lets the thread fill the places that are free. The last piece may begin just below the limit. */
static void allow(direct *r) {
  const uint64_t limit = r->used + r->capacity - data_piece_most(r->dataset);
  data_readers_allow(r->readers, ls_size_min(limit, r->expected.n));
}

/* Frees the thread and the samples that were read ahead. */
static void stop(direct *r) {
  data_readers_destroy(&r->readers);
  free(r->ahead);
  r->ahead = NULL;
  r->expected = (ls_expected){0};
  r->taken = r->used = 0;
}

static ls_status start(direct *r, uint64_t n) {
  const ls_dataset *const d = r->dataset;
  const uint64_t usual = ls_size_min(AHEAD_BYTES / ls_dataset_row_bytes(d), n);
  r->capacity = ls_size_max(usual, 2 * data_piece_most(d));
  r->ahead = ls_calloc(data_rows_bytes(d, r->capacity), 1);
  if (!r->ahead) return ls_fail_memory("samples that are read ahead", data_rows_bytes(d, r->capacity));
  return data_readers_create(d, 1, &r->readers);
}

static ls_status expect(ls_reader *reader, const ls_expected *expected) {
  direct *const r = (direct *)(void *)reader;
  const data_task task = {.context = r, .next = next_piece, .place = place};
  stop(r);
  if (expected->n == 0) return LS_OK;
  LS_TRY(start(r, expected->n));
  data_readers_start(r->readers, &task);
  r->expected = *expected;
  allow(r);
  return LS_OK;
}

/* The number of the samples that are the next ones expected. */
static uint64_t count_expected(const direct *r, size_t n, const uint64_t *samples) {
  uint64_t i = 0;
  while (i < n && r->used + i < r->expected.n && i < r->capacity / 2 &&
         samples[i] == expected_sample(&r->expected, r->used + i))
    i++;
  return i;
}

/* ---------------------------------------------------------------------------- fetching */

static ls_status reserve(direct *r, size_t n) {
  if (n <= r->most) return LS_OK;
  free(r->memory);
  r->most = 0;
  r->memory = ls_calloc(data_rows_bytes(r->dataset, n), 1);
  if (!r->memory) return ls_fail_memory("samples", data_rows_bytes(r->dataset, n));
  r->most = n;
  return LS_OK;
}

/* Reads samples from the file into places from i on. */
static ls_status read_run(direct *r, const data_rows *to, size_t i, ls_block_range samples) {
  const ls_dataset *const d = r->dataset;
  const data_rows rows = data_rows_from(d, to, i);
  return data_loader_read(&r->loader, samples, &rows);
}

/* Copies expected samples into places from i on. */
static ls_status copy_ahead(direct *r, const data_rows *to, size_t i, uint64_t n) {
  const data_rows ahead = data_rows_at(r->dataset, r->capacity, r->ahead);
  LS_TRY(data_readers_wait(r->readers, r->used + n));
  for (uint64_t k = 0; k < n; k++)
    data_rows_copy(r->dataset, &ahead, (r->used + k) % r->capacity, to, i + k);
  r->used += n;
  allow(r);
  return LS_OK;
}

/* The number of samples that follow each other in the dataset. */
static size_t count_run(size_t n, const uint64_t *samples) {
  size_t i = 1;
  while (i < n && samples[i] == samples[0] + i) i++;
  return i;
}

static ls_status fetch(ls_reader *reader, size_t n, const uint64_t *samples, ls_row *rows) {
  direct *const r = (direct *)(void *)reader;
  LS_TRY(reserve(r, n));
  const data_rows all = data_rows_at(r->dataset, r->most, r->memory);
  for (size_t i = 0; i < n;) {
    const uint64_t n_ahead = count_expected(r, n - i, samples + i);
    const size_t n_run = count_run(n - i, samples + i);
    LS_TRY(n_ahead > 0 ? copy_ahead(r, &all, i, n_ahead)
                       : read_run(r, &all, i, (ls_block_range){samples[i], n_run}));
    i += n_ahead > 0 ? n_ahead : n_run;
  }
  for (size_t i = 0; i < n; i++) rows[i] = data_rows_get(r->dataset, &all, i);
  return LS_OK;
}

static void destroy(ls_comm *comm, ls_reader *reader) {
  (void)comm;
  direct *const r = (direct *)(void *)reader;
  stop(r);
  data_loader_close(&r->loader);
  free(r->memory);
  free(r);
}

ls_status data_direct_create(ls_comm *comm, ls_dataset *d) {
  LS_TRY(data_files_broadcast(comm, &d->source->files));
  direct *const r = ls_calloc(1, sizeof *r);
  const ls_status status = ls_comm_agree(comm, r ? LS_OK : ls_fail_memory("a dataset", sizeof *r));
  if (status != LS_OK) {
    free(r);
    return status;
  }
  LS_ASSERT(r);
  *r = (direct){.reader = {.fetch = fetch, .expect = expect, .destroy = destroy, .is_private = true},
                .dataset = d,
                .loader = data_loader_create(d)};
  r->reader.bytes = AHEAD_BYTES + data_readers_bytes(d, 1);
  d->reader = &r->reader;
  return LS_OK;
}
