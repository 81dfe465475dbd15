/* The windows of an epoch, read from the files while the window before is used.
 *
 * Each rank reads some blocks of a window, of about the same number of samples, so that each block is read
 * by one rank. Its threads put each row into its place in the memory of the group (places.c), or keep it
 * for another group (staging.c). Rows for other groups are sent in N_STAGES stages while the window before
 * is used; all ranks reach a stage at the same position. */
#include "internal.h"

#include <stdlib.h>

#define N_STAGES 4 /* of a window, if there are several groups */

/* A window in memory, or being read. */
typedef struct load {
  bool is_valid;
  uint64_t epoch, w; /* number of the window in the epoch */
  ls_order_window window;
  data_half half;
} load;

/* The part of a window that this rank reads. */
typedef struct work {
  const load *load;
  const ls_order *order;
  uint64_t entry, row; /* the next row, and its entry in the order */
  uint64_t end;        /* the entry after its last one */
  uint64_t total;      /* samples */
} work;

struct data_stream {
  data_row_source source; /* first, so that a pointer to it is a pointer to the stream; of batches */
  data_stream_request request;
  int rank, size;
  uint64_t n_stages;
  ls_order *orders[2];      /* owned: of even and odd epochs */
  uint64_t order_epochs[2]; /* UINT64_MAX: none yet */
  data_places places;
  data_readers *readers;
  data_staging staging; /* unused with one group */
  load loads[2];        /* in the halves of the places */
  int current;          /* the load that is used */
  bool is_loading;      /* the other one is being read */
  uint64_t stage;       /* of it, which is the next to end */
  work work;
  atomic_uint_fast64_t blocks[2]; /* read by this rank in even and odd epochs */
  double waited[2];               /* seconds */
  uint64_t gathered;              /* position of the first row of the current batch */
};

/* -------------------------------------------------------------------- on the threads */

#define AHEAD_BYTES ((size_t)16 << 20) /* of blocks that the system reads meanwhile */

static data_piece next_piece(void *context) {
  data_stream *const s = context;
  work *const k = &s->work;
  const ls_order_entry entry = ls_order_entry_at(k->order, k->entry);
  const ls_block_range block = ls_blocks_range(s->places.dataset->blocks, entry.block);
  if (k->row == 0) atomic_fetch_add(&s->blocks[k->load->epoch % 2], 1);
  const uint64_t sample = block.first + k->row;
  data_piece piece = {.samples = {sample, data_piece_rest(s->places.dataset, sample)},
                      .place = entry.offset + k->row};
  if (k->row == 0) {
    const uint64_t later =
        k->entry + ls_size_max(AHEAD_BYTES / (block.n * ls_dataset_row_bytes(s->places.dataset)), 1);
    piece.ahead[0] = block;
    if (later < k->end)
      piece.ahead[1] = ls_blocks_range(s->places.dataset->blocks, ls_order_entry_at(k->order, later).block);
  }
  k->row += piece.samples.n;
  if (k->row < block.n) return piece;
  k->entry++;
  k->row = 0;
  return piece;
}

/* Puts a row where the row at a position is used, or its partner. */
static void place_row(data_stream *s, const data_rows *rows, uint64_t i, uint64_t position,
                      bool is_partner) {
  const data_half *const half = &s->work.load->half;
  int rank = 0;
  uint64_t place = 0;
  if (data_places_find(&s->places, half, position, &rank, &place))
    data_rows_copy(s->places.dataset, rows, i, is_partner ? &half->partners : &half->rows, place);
  else
    data_staging_add(&s->staging, rows, i, position, rank, is_partner);
}

#define AT_ONCE ((uint64_t)256) /* rows whose positions are computed together */

static void place(void *context, const data_piece *piece, const data_rows *rows) {
  data_stream *const s = context;
  const ls_order *const order = s->work.order;
  uint64_t positions[AT_ONCE];
  for (uint64_t i = 0; i < piece->samples.n; i++) {
    const uint64_t k = i % AT_ONCE;
    if (k == 0)
      ls_order_positions(order, s->work.load->w, piece->place + i,
                         ls_size_min(piece->samples.n - i, AT_ONCE), positions);
    place_row(s, rows, i, positions[k], false);
    if (s->places.copies_partners)
      place_row(s, rows, i, ls_order_partner_inverse(order, positions[k]), true);
  }
}

/* ----------------------------------------------------------------- creation and the end */

static uint64_t window_most(const data_stream_request *r) {
  const uint64_t n = r->view->n;
  return ls_size_min(n, ls_size_min(r->window, n) - 1 + ls_blocks_largest(r->view->dataset->blocks));
}

/* Local. */
static ls_status create_staging(data_stream *s) {
  const ls_dataset *const d = s->places.dataset;
  const uint64_t part = window_most(&s->request) / (uint64_t)s->size + ls_blocks_largest(d->blocks);
  const uint64_t rows = part / s->n_stages + data_piece_most(d) + 1;
  if (s->places.n_groups == 1) return LS_OK;
  return data_staging_create(&s->places, (s->places.copies_partners ? 2 : 1) * rows, &s->staging);
}

/* Local. */
static ls_status create_parts(data_stream *s) {
  const data_stream_request *const r = &s->request;
  s->n_stages = s->places.n_groups > 1 ? N_STAGES : 1;
  for (size_t i = 0; i < 2; i++)
    LS_TRY(ls_order_create(r->view, r->seed, r->shuffle, r->window, &s->orders[i]));
  LS_TRY(create_staging(s));
  return data_readers_create(r->view->dataset, r->n_readers, &s->readers);
}

static void fetch(const data_row_source *source, size_t first, size_t n, ls_row *rows);

ls_status data_stream_create(ls_comm *comm, const data_stream_request *request, data_stream **out) {
  const data_places_request places = {.dataset = request->view->dataset,
                                      .n = request->view->n,
                                      .batch_rows = request->batch_rows,
                                      .n_lanes = request->n_lanes,
                                      .window_rows = window_most(request),
                                      .is_mixed = request->is_mixed,
                                      .shares = request->shares};
  data_stream *const s = *out = ls_calloc(1, sizeof *s);
  LS_TRY(ls_comm_agree(comm, s ? LS_OK : ls_fail_memory("the stream", sizeof *s)));
  LS_ASSERT(s);
  *s = (data_stream){.source = {.fetch = fetch},
                     .request = *request,
                     .rank = ls_comm_rank(comm),
                     .size = ls_comm_size(comm),
                     .order_epochs = {UINT64_MAX, UINT64_MAX}};
  LS_TRY(data_places_create(comm, &places, &s->places));
  return ls_comm_agree(comm, create_parts(s));
}

void data_stream_destroy(ls_comm *comm, data_stream **stream) {
  data_stream *const s = *stream;
  if (!s) return;
  data_readers_destroy(&s->readers); /* before the memory of any rank is freed, which is collective */
  data_places_destroy(comm, &s->places);
  data_staging_free(&s->staging);
  for (size_t i = 0; i < 2; i++) ls_order_destroy(&s->orders[i]);
  free(s);
  *stream = NULL;
}

/* --------------------------------------------------------------------------- reading */

static const ls_order *order_of(const data_stream *s, uint64_t epoch) {
  LS_ASSERT(s->order_epochs[epoch % 2] == epoch);
  return s->orders[epoch % 2];
}

/* No thread reads. */
static void select_epoch(data_stream *s, uint64_t epoch) {
  if (s->order_epochs[epoch % 2] == epoch) return;
  ls_order_begin(s->orders[epoch % 2], epoch);
  s->order_epochs[epoch % 2] = epoch;
}

/* The first entry of a window whose offset is at least a fraction k / size of the samples. */
static uint64_t find_entry(const data_stream *s, const ls_order *order, const ls_order_window *w,
                           uint64_t k) {
  uint64_t low = w->first_entry;
  for (uint64_t high = low + w->n_entries; low < high;) {
    const uint64_t middle = low + (high - low) / 2;
    if (ls_order_entry_at(order, middle).offset * (uint64_t)s->size >= k * w->n)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

/* This rank's part of a window. The ranks take turns, as a window may have fewer blocks than ranks. */
static work make_work(const data_stream *s, const load *l) {
  const ls_order *const order = order_of(s, l->epoch);
  const ls_order_window *const w = &l->window;
  const uint64_t size = (uint64_t)s->size;
  const uint64_t turn = ((uint64_t)s->rank + l->w) % size;
  const uint64_t first = find_entry(s, order, w, turn);
  const uint64_t end = find_entry(s, order, w, turn + 1);
  const uint64_t last = w->first_entry + w->n_entries;
  const uint64_t begin_row = first < last ? ls_order_entry_at(order, first).offset : w->n;
  const uint64_t end_row = end < last ? ls_order_entry_at(order, end).offset : w->n;
  return (work){.load = l, .order = order, .entry = first, .end = end, .total = end_row - begin_row};
}

static uint64_t stage_limit(const data_stream *s) {
  return s->work.total * (s->stage + 1) / s->n_stages;
}

/* Local. Starts to read a window into the half that is not used. */
static void start_load(data_stream *s, uint64_t epoch, uint64_t w) {
  const data_task task = {.context = s, .next = next_piece, .place = place};
  const int half = 1 - s->current;
  load *const l = &s->loads[half];
  data_readers_start(s->readers, &task);
  select_epoch(s, epoch);
  *l = (load){.epoch = epoch, .w = w, .window = ls_order_window_at(order_of(s, epoch), w)};
  l->half = data_places_half(&s->places, half, l->window.first);
  s->work = make_work(s, l);
  if (w == 0) { /* a new epoch, or one that starts again */
    s->waited[epoch % 2] = 0.0;
    atomic_store(&s->blocks[epoch % 2], 0);
  }
  s->is_loading = true;
  s->stage = 0;
  data_readers_allow(s->readers, stage_limit(s));
}

/* Local. Starts to read the window after the current one, unless it is the last of the run. */
static void start_next(data_stream *s) {
  const load *const l = &s->loads[s->current];
  if (l->w + 1 < ls_order_n_windows(order_of(s, l->epoch)))
    start_load(s, l->epoch, l->w + 1);
  else if (l->epoch + 1 < s->request.epochs)
    start_load(s, l->epoch + 1, 0);
}

/* Collective. Waits for the rows of a stage, and sends those of other groups. */
static ls_status end_stage(ls_comm *comm, data_stream *s) {
  const double start = ls_clock();
  LS_TRY(ls_comm_agree(comm, data_readers_wait(s->readers, stage_limit(s))));
  s->waited[s->work.load->epoch % 2] += ls_clock() - start;
  if (s->places.n_groups > 1) data_staging_deliver(comm, &s->staging, &s->work.load->half);
  s->stage++;
  if (s->stage < s->n_stages) data_readers_allow(s->readers, stage_limit(s));
  return LS_OK;
}

/* Collective. Makes the window that is being read the current one. */
static ls_status end_load(ls_comm *comm, data_stream *s) {
  while (s->stage < s->n_stages) LS_TRY(end_stage(comm, s));
  ls_comm_shared_fence(comm);
  s->is_loading = false;
  s->current = 1 - s->current;
  s->loads[s->current].is_valid = true;
  return LS_OK;
}

static bool has(const load *l, uint64_t epoch, uint64_t position) {
  return l->epoch == epoch && position >= l->window.first && position - l->window.first < l->window.n;
}

/* Collective. Reads the window of a position that does not follow the current window. */
static ls_status jump(ls_comm *comm, data_stream *s, uint64_t epoch, uint64_t position) {
  const data_task none = {.context = s, .next = next_piece, .place = place};
  data_readers_start(s->readers, &none);
  s->is_loading = false;
  atomic_store(&s->staging.n, 0);
  ls_comm_barrier(comm); /* no rank writes into the memory of a group any more */
  select_epoch(s, epoch);
  start_load(s, epoch, ls_order_find_window(order_of(s, epoch), position));
  return end_load(comm, s);
}

ls_status data_stream_enter(ls_comm *comm, data_stream *s, uint64_t epoch, uint64_t position) {
  const load *const current = &s->loads[s->current];
  if (current->is_valid && has(current, epoch, position)) return LS_OK;
  const bool is_next = s->is_loading && has(&s->loads[1 - s->current], epoch, position);
  LS_TRY(is_next ? end_load(comm, s) : jump(comm, s, epoch, position));
  start_next(s);
  return LS_OK;
}

ls_status data_stream_advance(ls_comm *comm, data_stream *s, uint64_t position) {
  const ls_order_window *const w = &s->loads[s->current].window;
  while (s->is_loading && s->stage + 1 < s->n_stages &&
         (position - w->first) * s->n_stages >= (s->stage + 1) * w->n)
    LS_TRY(end_stage(comm, s));
  return LS_OK;
}

/* ------------------------------------------------------------------------------ using */

ls_order_window data_stream_window(const data_stream *s) {
  return s->loads[s->current].window;
}

const ls_order *data_stream_order(const data_stream *s) {
  return order_of(s, s->loads[s->current].epoch);
}

bool data_stream_has(const data_stream *s, uint64_t position) {
  int rank = 0;
  uint64_t place = 0;
  return data_places_find(&s->places, &s->loads[s->current].half, position, &rank, &place);
}

/* The row at a position of the current window, of this group. */
static ls_row row_at(const data_stream *s, const data_rows *rows, uint64_t position) {
  int rank = 0;
  uint64_t place = 0;
  LS_ASSERT(data_places_find(&s->places, &s->loads[s->current].half, position, &rank, &place));
  return data_rows_get(s->places.dataset, rows, place);
}

static void fetch(const data_row_source *source, size_t first, size_t n, ls_row *rows) {
  const data_stream *const s = (const data_stream *)(const void *)source;
  const data_half *const half = &s->loads[s->current].half;
  const ls_order *const order = data_stream_order(s);
  const bool copies = s->places.copies_partners;
  for (size_t i = 0; i < n; i++) {
    const uint64_t position = s->gathered + first + i;
    rows[i] = row_at(s, &half->rows, position);
    if (s->request.is_mixed)
      rows[n + i] = row_at(s, copies ? &half->partners : &half->rows,
                           copies ? position : ls_order_partner(order, position));
  }
}

const data_row_source *data_stream_rows(data_stream *s, uint64_t position) {
  s->gathered = position;
  return &s->source;
}

size_t data_stream_bytes(const data_stream *s, bool *is_private) {
  *is_private = s->places.memory.is_private;
  return s->places.memory.bytes;
}

void data_stream_reading(ls_comm *comm, const data_stream *s, uint64_t epoch, ls_reading *out) {
  double waited = s->waited[epoch % 2] / s->size;
  *out = (ls_reading){.blocks = atomic_load(&s->blocks[epoch % 2])};
  ls_comm_sum_u64(comm, &out->blocks, 1);
  ls_comm_sum_f64(comm, &waited, 1);
  out->waited = waited;
}
