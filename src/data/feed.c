/* The feed: the training samples in the order of the epochs. */
#include "internal.h"

#include <stdlib.h>

struct ls_feed {
  ls_feed_request request;
  int rank, size;
  ls_order *order; /* owned */
  bool has_epoch;  /* the order is that of `epoch` */
  uint64_t epoch;
};

ls_shard data_feed_shard(size_t n_lanes, size_t rows, int rank, int size) {
  size_t lane = 0;
  size_t n = 0;
  if (n_lanes == 0) return ls_shard_of(rows, rank, size);
  ls_comm_tree_lanes(n_lanes, rank, size, &lane, &n);
  const size_t first = ls_shard_of(rows, (int)lane, (int)n_lanes).first;
  if (n == 0) return (ls_shard){.first = first};
  const ls_shard last = ls_shard_of(rows, (int)(lane + n - 1), (int)n_lanes);
  return (ls_shard){.first = first, .rows = last.first + last.rows - first};
}

ls_status ls_feed_create(ls_comm *comm, const ls_feed_request *request, ls_feed **out) {
  ls_feed *const feed = *out = ls_calloc(1, sizeof *feed);
  ls_status status = feed ? LS_OK : ls_fail_memory("the feed", sizeof *feed);
  if (feed) {
    *feed = (ls_feed){.request = *request, .rank = ls_comm_rank(comm), .size = ls_comm_size(comm)};
    status = ls_order_create(request->view, request->seed, request->shuffle, request->window, &feed->order);
  }
  return ls_comm_agree(comm, status);
}

void ls_feed_destroy(ls_comm *comm, ls_feed **feed) {
  (void)comm;
  if (!*feed) return;
  ls_order_destroy(&(*feed)->order);
  free(*feed);
  *feed = NULL;
}

static void select_epoch(ls_feed *feed, uint64_t epoch) {
  if (!feed->has_epoch || feed->epoch != epoch) ls_order_begin(feed->order, epoch);
  feed->has_epoch = true;
  feed->epoch = epoch;
}

/* Gathers the samples whose numbers are in the batch. */
static ls_status gather(const ls_feed *feed, uint64_t epoch, size_t rows) {
  const ls_feed_request *const r = &feed->request;
  return ls_batch_gather_training(r->batch, r->view->dataset, r->normalizer, r->seed, epoch, rows);
}

ls_status ls_feed_gather(ls_comm *comm, ls_feed *feed, uint64_t epoch, uint64_t position, size_t rows) {
  (void)comm;
  const ls_feed_request *const r = &feed->request;
  const ls_shard mine = data_feed_shard(r->n_lanes, rows, feed->rank, feed->size);
  select_epoch(feed, epoch);
  ls_batch_select(r->batch, 0, feed->order, position + mine.first, mine.rows);
  return gather(feed, epoch, mine.rows);
}

ls_status ls_feed_gather_alone(ls_feed *feed, uint64_t position, size_t rows) {
  const ls_feed_request *const r = &feed->request;
  select_epoch(feed, 0);
  for (size_t done = 0; done < rows;) {
    const uint64_t at = (position + done) % r->view->n;
    const size_t n = ls_size_min(rows - done, r->view->n - at);
    ls_batch_select(r->batch, done, feed->order, at, n);
    done += n;
  }
  return gather(feed, 0, rows);
}
