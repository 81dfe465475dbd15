/* The feed: the training samples in the order of the epochs, from memory or from the stream. */
#include "internal.h"

#include <stdlib.h>

struct ls_feed {
  ls_feed_request request;
  int rank, size;
  ls_order *order; /* owned; of samples in memory */
  bool has_epoch;  /* the order is that of `epoch` */
  uint64_t epoch;
  data_stream *stream; /* owned; NULL: the samples are in memory */
};

/* ----------------------------------------------------------------- creation and the end */

/* Local. */
static ls_status create(ls_comm *comm, const ls_feed_request *request, ls_feed **out) {
  ls_feed *const feed = *out = ls_calloc(1, sizeof *feed);
  if (!feed) return ls_fail_memory("the feed", sizeof *feed);
  *feed = (ls_feed){.request = *request, .rank = ls_comm_rank(comm), .size = ls_comm_size(comm)};
  return ls_order_create(request->view, request->seed, request->shuffle, request->window, &feed->order);
}

static ls_status create_stream(ls_comm *comm, const ls_feed_request *r, data_stream **out) {
  const data_stream_request request = {.view = r->view,
                                       .seed = r->seed,
                                       .shuffle = r->shuffle,
                                       .window = r->window,
                                       .batch_rows = r->batch_rows,
                                       .n_lanes = r->n_lanes,
                                       .epochs = r->epochs,
                                       .is_mixed = r->batch->recipe.augment.mixup > 0.0,
                                       .shares = r->shares_memory,
                                       .n_readers = r->n_readers};
  return data_stream_create(comm, &request, out);
}

ls_status ls_feed_create(ls_comm *comm, const ls_feed_request *request, ls_feed **out) {
  LS_TRY(ls_comm_agree(comm, create(comm, request, out)));
  if (!request->view->dataset->is_streamed) return LS_OK;
  LS_ASSERT(request->window > 0);
  return create_stream(comm, request, &(*out)->stream);
}

void ls_feed_destroy(ls_comm *comm, ls_feed **feed) {
  if (!*feed) return;
  data_stream_destroy(comm, &(*feed)->stream);
  ls_order_destroy(&(*feed)->order);
  free(*feed);
  *feed = NULL;
}

size_t ls_feed_bytes(const ls_feed *feed, bool *is_private) {
  *is_private = false;
  return feed && feed->stream ? data_stream_bytes(feed->stream, is_private) : 0;
}

bool ls_feed_reading(ls_comm *comm, const ls_feed *feed, uint64_t epoch, ls_reading *out) {
  if (feed->stream) data_stream_reading(comm, feed->stream, epoch, out);
  return feed->stream != NULL;
}

/* ---------------------------------------------------------------------- from memory */

static void select_epoch(ls_feed *feed, uint64_t epoch) {
  if (!feed->has_epoch || feed->epoch != epoch) ls_order_begin(feed->order, epoch);
  feed->has_epoch = true;
  feed->epoch = epoch;
}

/* Gathers the samples whose numbers are in the batch. */
static ls_status gather_selected(const ls_feed *feed, size_t rows) {
  const ls_feed_request *const r = &feed->request;
  return ls_batch_gather_training(r->batch, r->view->dataset, r->normalizer, r->seed, feed->epoch, rows);
}

static ls_status gather_resident(ls_feed *feed, uint64_t epoch, uint64_t position, const ls_shard *mine) {
  select_epoch(feed, epoch);
  ls_batch_select(feed->request.batch, 0, feed->order, position + mine->first, mine->rows);
  return gather_selected(feed, mine->rows);
}

/* Samples of the epoch of the latest batch. */
static ls_status gather_alone_resident(ls_feed *feed, uint64_t position, size_t rows) {
  const ls_feed_request *const r = &feed->request;
  for (size_t done = 0; done < rows;) {
    const uint64_t at = (position + done) % r->view->n;
    const size_t n = ls_size_min(rows - done, r->view->n - at);
    ls_batch_select(r->batch, done, feed->order, at, n);
    done += n;
  }
  return gather_selected(feed, rows);
}

/* ------------------------------------------------------------------ from the stream */

/* Gathers n rows from row `row` of the batch on; the first is at a position of the current window. */
static void gather_window(const ls_feed *feed, uint64_t epoch, uint64_t position, size_t row, size_t n) {
  const ls_feed_request *const r = &feed->request;
  ls_batch_select(r->batch, row, data_stream_order(feed->stream), position, n);
  data_batch_gather_from(data_stream_rows(feed->stream, position - row), r->batch, r->view->dataset,
                         r->normalizer, r->seed, epoch, row, n);
}

/* Collective. Gathers the batch window by window. */
static ls_status gather_stream(ls_comm *comm, ls_feed *feed, uint64_t epoch, uint64_t position, size_t rows,
                               const ls_shard *mine) {
  for (size_t done = 0; done < rows;) {
    LS_TRY(data_stream_enter(comm, feed->stream, epoch, position + done));
    const ls_order_window w = data_stream_window(feed->stream);
    const size_t end = ls_size_min(rows, w.first + w.n - position);
    const size_t first = ls_size_max(done, mine->first);
    const size_t last = ls_size_min(end, mine->first + mine->rows);
    if (first < last) gather_window(feed, epoch, position + first, first - mine->first, last - first);
    LS_TRY(data_stream_advance(comm, feed->stream, position + end));
    done = end;
  }
  feed->request.batch->rows = mine->rows;
  return LS_OK;
}

/* Reads the first samples of a window from the files. */
static ls_status gather_from_files(const ls_feed *feed, const ls_order_window *w, size_t rows) {
  const ls_feed_request *const r = &feed->request;
  for (size_t done = 0; done < rows; done += ls_size_min(rows - done, w->n))
    ls_batch_select(r->batch, done, data_stream_order(feed->stream), w->first,
                    ls_size_min(rows - done, w->n));
  return ls_batch_gather_training(r->batch, r->view->dataset, r->normalizer, r->seed, 0, rows);
}

static ls_status gather_alone_stream(const ls_feed *feed, uint64_t position, size_t rows) {
  const ls_order_window w = data_stream_window(feed->stream);
  uint64_t at = w.first + position % w.n;
  for (size_t row = 0; row < rows; row++) {
    uint64_t skipped = 0;
    for (; skipped < w.n && !data_stream_has(feed->stream, at); skipped++)
      at = at + 1 < w.first + w.n ? at + 1 : w.first;
    if (skipped == w.n) return gather_from_files(feed, &w, rows); /* batches are smaller than the ranks */
    gather_window(feed, 0, at, row, 1);
    at = at + 1 < w.first + w.n ? at + 1 : w.first;
  }
  return LS_OK;
}

/* ---------------------------------------------------------------------------- batches */

ls_status ls_feed_gather(ls_comm *comm, ls_feed *feed, uint64_t epoch, uint64_t position, size_t rows) {
  const ls_shard mine = data_feed_shard(feed->request.n_lanes, rows, feed->rank, feed->size);
  if (feed->stream) return gather_stream(comm, feed, epoch, position, rows, &mine);
  return gather_resident(feed, epoch, position, &mine);
}

ls_status ls_feed_gather_alone(ls_feed *feed, uint64_t position, size_t rows) {
  if (feed->stream) return gather_alone_stream(feed, position, rows);
  return gather_alone_resident(feed, position, rows);
}
