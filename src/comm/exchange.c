/* Outboxes in shared memory for the ranks of a node, and transfers between nodes. */
#include "internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct transfer {
  MPI_Request request;
  int *counts, *offsets;           /* (n_nodes) each: the piece of each node */
  int *recv_counts, *recv_offsets; /* all-to-all: the piece from each node */
} transfer;

struct ls_exchange_state {
  /* The ranks that hold the same part; MPI_COMM_NULL without a part. All-to-alls and allgathers may start
   * in different relative orders. */
  MPI_Comm sums, alltoalls, allgathers;
  MPI_Win window; /* MPI_WIN_NULL: no outboxes */
  transfer *transfers;
  size_t n_transfers;
  int *numbers; /* one block for the lists of all transfers */
};

/* Collective. Whether a node has several ranks, and all have enough shared memory for `bytes` bytes per
 * rank. *least: the ranks of the node that has the fewest. */
static bool can_share(ls_comm *comm, size_t bytes, int *least) {
  int extremes[3] = {comm->node_size, -comm->node_size, 0};
  size_t all = 0;
  if (comm->node_rank == 0) {
    const bool fits = ls_size_mul(bytes, (size_t)comm->node_size, &all) && comm_shared_memory_has(all);
    extremes[2] = !fits;
  }
  COMM_WAIT(MPI_Allreduce(MPI_IN_PLACE, extremes, 3, MPI_INT, MPI_MAX, comm->world));
  const bool is_useful = extremes[0] > 1;
  *least = -extremes[1];
  if (is_useful && extremes[2])
    ls_log(
        LS_LOG_WARNING,
        "/dev/shm is too small for gradients of %.1f MB per rank; MPI sums them within the node; enlarge "
        "/dev/shm to sum them faster",
        (double)bytes / 1e6);
  return is_useful && !extremes[2];
}

/* Bytes of an outbox: whole pages, so that each lies in the memory near its rank. */
static size_t stride_of(size_t n) {
  return (n * sizeof(float) / 4096 + 1) * 4096;
}

/* Collective over the node. */
static void create_outboxes(ls_comm *comm, ls_exchange *exchange) {
  const size_t stride = stride_of(exchange->n);
  char *const first =
      comm_window_allocate(comm, stride * (size_t)comm->node_size, &exchange->state->window);
  for (int i = 0; i < comm->node_size; i++)
    exchange->outboxes[i] = (float *)(void *)(first + (size_t)i * stride);
  memset(exchange->outboxes[comm->node_rank], 0, stride); /* first touch: in the memory near this rank */
}

/* Collective. Creates the groups of ranks that hold the same part. */
static void split(ls_comm *comm, ls_exchange *exchange) {
  struct ls_exchange_state *const state = exchange->state;
  const bool has_part = exchange->peer < exchange->n_parts;
  comm_set_waiting(true);
  const int order = exchange->n_peers > 1 ? comm->node_first : comm->rank; /* the same for all parts */
  MPI_Comm_split(comm->world, has_part ? exchange->peer : MPI_UNDEFINED, order, &state->sums);
  if (has_part) {
    MPI_Comm_dup(state->sums, &state->alltoalls);
    MPI_Comm_dup(state->sums, &state->allgathers);
    MPI_Comm_size(state->sums, &exchange->n_nodes);
    MPI_Comm_rank(state->sums, &exchange->node);
  }
  if (exchange->n_peers > 1) { /* the first peer has a part */
    MPI_Bcast(&exchange->n_nodes, 1, MPI_INT, 0, comm->node);
    MPI_Bcast(&exchange->node, 1, MPI_INT, 0, comm->node);
  }
  comm_set_waiting(false);
}

/* Local. */
static ls_status reserve_transfers(ls_exchange *exchange, size_t n_transfers) {
  struct ls_exchange_state *const state = exchange->state;
  const size_t n_nodes = (size_t)exchange->n_nodes;
  state->transfers = ls_calloc(n_transfers, sizeof *state->transfers);
  state->numbers = ls_calloc(n_transfers * 4, n_nodes * sizeof *state->numbers);
  if (!state->transfers || !state->numbers)
    return ls_fail_memory("transfers of gradients", n_transfers * 4 * n_nodes * sizeof *state->numbers);
  state->n_transfers = n_transfers;
  for (size_t k = 0; k < n_transfers; k++) {
    int *const numbers = state->numbers + k * 4 * n_nodes;
    state->transfers[k] = (transfer){.request = MPI_REQUEST_NULL,
                                     .counts = numbers,
                                     .offsets = numbers + n_nodes,
                                     .recv_counts = numbers + 2 * n_nodes,
                                     .recv_offsets = numbers + 3 * n_nodes};
  }
  return LS_OK;
}

static ls_status check_size(const ls_exchange *exchange) {
  const size_t line = LS_ALIGNMENT / sizeof(float); /* pieces are rounded up to it */
  const size_t part = exchange->n / (size_t)exchange->n_parts + line * (size_t)(exchange->n_nodes + 1);
  if (part < (size_t)INT_MAX) return LS_OK;
  return ls_fail(
      LS_ERR_CONFIG,
      "model: %zu parameters are too many for %d ranks per node; MPI sends at most %d elements at "
      "once; use more ranks per node or a smaller model",
      exchange->n, exchange->n_parts, INT_MAX);
}

/* Local. Allocates private memory, before anything is shared. */
static ls_status create(const ls_comm *comm, size_t n, ls_exchange **out) {
  ls_exchange *const exchange = ls_calloc(1, sizeof *exchange);
  struct ls_exchange_state *const state = ls_calloc(1, sizeof *state);
  float **const outboxes = ls_calloc((size_t)comm->node_size, sizeof *outboxes);
  if (!exchange || !state || !outboxes) {
    free(exchange);
    free(state);
    free((void *)outboxes);
    return ls_fail_memory("the outboxes of a node", (size_t)comm->node_size * sizeof *outboxes);
  }
  *state = (struct ls_exchange_state){.sums = MPI_COMM_NULL,
                                      .alltoalls = MPI_COMM_NULL,
                                      .allgathers = MPI_COMM_NULL,
                                      .window = MPI_WIN_NULL};
  *exchange = (ls_exchange){.n = n, .outboxes = outboxes, .state = state};
  *out = exchange;
  return LS_OK;
}

/* Collective. */
static void find_peers(ls_comm *comm, ls_exchange *exchange, bool shares) {
  int least = 1;
  const bool shared = shares && can_share(comm, stride_of(exchange->n), &least);
  exchange->n_peers = shared ? comm->node_size : 1;
  exchange->peer = shared ? comm->node_rank : 0;
  exchange->n_parts = shared ? least : 1;
  if (exchange->n_peers > 1) create_outboxes(comm, exchange);
}

ls_status ls_exchange_create(ls_comm *comm, size_t n, size_t n_transfers, bool shares, ls_exchange **out) {
  *out = NULL;
  ls_exchange *exchange = NULL;
  ls_status status = ls_comm_agree(comm, create(comm, n, &exchange));
  if (status == LS_OK) {
    find_peers(comm, exchange, shares);
    split(comm, exchange);
    status = check_size(exchange);
    if (status == LS_OK) status = reserve_transfers(exchange, n_transfers);
    status = ls_comm_agree(comm, status);
  }
  *out = exchange;
  if (status != LS_OK) ls_exchange_destroy(comm, out);
  return status;
}

void ls_exchange_destroy(ls_comm *comm, ls_exchange **exchange) {
  (void)comm;
  if (!*exchange) return;
  struct ls_exchange_state *const state = (*exchange)->state;
  if (state->window != MPI_WIN_NULL) comm_window_free(&state->window);
  comm_set_waiting(true);
  if (state->sums != MPI_COMM_NULL) {
    MPI_Comm_free(&state->sums);
    MPI_Comm_free(&state->alltoalls);
    MPI_Comm_free(&state->allgathers);
  }
  comm_set_waiting(false);
  free(state->transfers);
  free(state->numbers);
  free(state);
  free((*exchange)->outboxes);
  free(*exchange);
  *exchange = NULL;
}

void ls_exchange_fence(ls_comm *comm, ls_exchange *exchange) {
  if (exchange->n_peers == 1) return;
  comm_set_waiting(true); /* in a step, a barrier that blocks is faster than comm_window_fence */
  MPI_Win_sync(exchange->state->window);
  MPI_Barrier(comm->node);
  MPI_Win_sync(exchange->state->window);
  comm_set_waiting(false);
}

void ls_exchange_sum_f32(ls_comm *comm, ls_exchange *exchange, float *x, size_t n) {
  (void)comm;
  if (exchange->state->sums == MPI_COMM_NULL || exchange->n_nodes == 1) return;
  comm_combine(exchange->state->sums, (unsigned char *)x, n, sizeof *x, MPI_FLOAT, MPI_SUM);
}

static MPI_Datatype type_of(size_t size) {
  LS_ASSERT(size == 2 || size == 4);
  return size == 2 ? MPI_UINT16_T : MPI_FLOAT;
}

/* Transfer k, with the pieces of n elements. */
static transfer *start(const ls_exchange *exchange, size_t k, size_t n) {
  LS_ASSERT(k < exchange->state->n_transfers && n < INT_MAX);
  transfer *const t = &exchange->state->transfers[k];
  LS_ASSERT(t->request == MPI_REQUEST_NULL);
  for (int i = 0; i < exchange->n_nodes; i++) {
    size_t first = 0;
    size_t count = 0;
    ls_exchange_piece(n, exchange->n_nodes, i, &first, &count);
    t->offsets[i] = (int)first;
    t->counts[i] = (int)count;
  }
  return t;
}

void ls_exchange_alltoall(ls_comm *comm, ls_exchange *exchange, size_t k, size_t size, const void *x,
                          size_t n, void *pieces) {
  (void)comm;
  if (exchange->state->alltoalls == MPI_COMM_NULL) return;
  transfer *const t = start(exchange, k, n);
  const int own = t->counts[exchange->node];
  for (int i = 0; i < exchange->n_nodes; i++) {
    t->recv_counts[i] = own;
    t->recv_offsets[i] = i * own;
  }
  MPI_Ialltoallv(x, t->counts, t->offsets, type_of(size), pieces, t->recv_counts, t->recv_offsets,
                 type_of(size), exchange->state->alltoalls, &t->request);
}

void ls_exchange_allgather(ls_comm *comm, ls_exchange *exchange, size_t k, size_t size, void *x, size_t n) {
  (void)comm;
  if (exchange->state->allgathers == MPI_COMM_NULL) return;
  transfer *const t = start(exchange, k, n);
  MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x, t->counts, t->offsets, type_of(size),
                  exchange->state->allgathers, &t->request);
}

bool ls_exchange_test(ls_exchange *exchange, size_t k) {
  int ended = 0;
  MPI_Test(&exchange->state->transfers[k].request, &ended, MPI_STATUS_IGNORE);
  return ended != 0;
}

void ls_exchange_wait(ls_exchange *exchange, size_t k) {
  comm_set_waiting(true);
  while (!ls_exchange_test(exchange, k)) comm_relay_messages();
  comm_set_waiting(false);
}
