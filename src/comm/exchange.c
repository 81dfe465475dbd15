/* Memory that the ranks of a node share, and transfers between nodes. */
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
  comm_window window; /* if is_shared: the regions of the ranks */
  comm_common common; /* the entry in comm->commons, if is_shared */
  transfer *transfers;
  size_t n_transfers;
  int *numbers; /* one block for the lists of all transfers */
};

static void warn_too_small(size_t bytes) {
  ls_log(
      LS_LOG_WARNING,
      "/dev/shm is too small for the gradients and parameters of a node, %.1f MB; MPI sums the gradients "
      "within the node; enlarge /dev/shm to train faster",
      (double)bytes / 1e6);
}

/* Vectors of n floats that a rank of a node allocates, in one region of the window. */
typedef struct region {
  size_t bytes;  /* of a vector: whole pages */
  size_t offset; /* in the window */
  size_t used;   /* bytes of the vectors */
  size_t space;  /* from this region to the next: large ones begin with a huge page */
} region;

/* The terms of a rank; the region of the first begins with the common vector. */
static region region_of(size_t n, size_t rank) {
  region r = {.bytes = (n * sizeof(float) / 4096 + 1) * 4096};
  const region first = rank > 0 ? region_of(n, 0) : r;
  r.used = (rank == 0 ? 2 : 1) * r.bytes;
  r.space =
      r.used < COMM_HUGE_PAGE ? r.used : (r.used + COMM_HUGE_PAGE - 1) / COMM_HUGE_PAGE * COMM_HUGE_PAGE;
  if (rank > 0) r.offset = first.space + (rank - 1) * r.space;
  return r;
}

/* Bytes to allocate: all of the last huge page if most of it is used. */
static size_t allocated(const region *r) {
  return r->space - r->used <= COMM_HUGE_PAGE / 2 ? r->space : r->used;
}

/* Bytes that the ranks of a node allocate. */
static size_t node_bytes(const ls_comm *comm, size_t n) {
  size_t bytes = 0;
  for (size_t r = 0; r < (size_t)comm->node_size; r++) {
    const region own = region_of(n, r);
    bytes += allocated(&own);
  }
  return bytes;
}

/* Collective. Whether a node has several ranks, and all nodes have enough shared memory. *least: the ranks
 * of the node that has the fewest. */
static bool can_share(ls_comm *comm, size_t n, int *least) {
  int extremes[3] = {comm->node_size, -comm->node_size, 0};
  if (comm->node_rank == 0) extremes[2] = !comm_shared_memory_has(node_bytes(comm, n));
  COMM_WAIT(MPI_Allreduce(MPI_IN_PLACE, extremes, 3, MPI_INT, MPI_MAX, comm->world));
  const bool is_useful = extremes[0] > 1;
  *least = -extremes[1];
  if (is_useful && extremes[2]) warn_too_small(node_bytes(comm, n));
  return is_useful && !extremes[2];
}

/* Collective. Whether all nodes have created and allocated their windows. */
static bool share(ls_comm *comm, ls_exchange *exchange) {
  struct ls_exchange_state *const state = exchange->state;
  const size_t n = exchange->n;
  const region own = region_of(n, (size_t)comm->node_rank);
  const region last = region_of(n, (size_t)comm->node_size - 1);
  int is_shared = comm_window_create(comm, last.offset + last.space, &state->window) &&
                  comm_window_reserve(&state->window, own.offset, allocated(&own));
  COMM_WAIT(MPI_Allreduce(MPI_IN_PLACE, &is_shared, 1, MPI_INT, MPI_MIN, comm->world));
  if (!is_shared) {
    warn_too_small(node_bytes(comm, n));
    comm_window_destroy(&state->window);
    return false;
  }
  unsigned char *const data = state->window.data;
  exchange->common = (float *)(void *)data;
  for (int i = 0; i < comm->node_size; i++) {
    const region r = region_of(n, (size_t)i);
    exchange->terms[i] = (float *)(void *)(data + r.offset + (i == 0 ? r.bytes : 0));
  }
  state->common = (comm_common){.data = data, .bytes = n * sizeof(float), .next = comm->commons};
  comm->commons = &state->common;
  return true;
}

/* Local. Private memory, for a rank without peers. */
static ls_status allocate(ls_exchange *exchange) {
  exchange->common = ls_calloc(exchange->n, sizeof *exchange->common);
  exchange->terms[0] = ls_calloc(exchange->n, sizeof *exchange->terms[0]);
  if (exchange->common && exchange->terms[0]) return LS_OK;
  return ls_fail_memory("parameters and gradients", 2 * exchange->n * sizeof *exchange->common);
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
  float **const terms = ls_calloc((size_t)comm->node_size, sizeof *terms);
  if (!exchange || !state || !terms) {
    free(exchange);
    free(state);
    free((void *)terms);
    return ls_fail_memory("the list of a node's gradients", (size_t)comm->node_size * sizeof *terms);
  }
  *state = (struct ls_exchange_state){
      .sums = MPI_COMM_NULL, .alltoalls = MPI_COMM_NULL, .allgathers = MPI_COMM_NULL, .window = {.fd = -1}};
  *exchange = (ls_exchange){.n = n, .terms = terms, .state = state};
  *out = exchange;
  return LS_OK;
}

/* Collective. Finds the peers and allocates the vectors. LS_ERR_INTERNAL. */
static ls_status find_peers(ls_comm *comm, ls_exchange *exchange, bool shares) {
  int least = 1;
  const bool shared = shares && can_share(comm, exchange->n, &least) && share(comm, exchange);
  exchange->is_shared = shared;
  exchange->n_peers = shared ? comm->node_size : 1;
  exchange->peer = shared ? comm->node_rank : 0;
  exchange->n_parts = shared ? least : 1;
  return ls_comm_agree(comm, shared ? LS_OK : allocate(exchange));
}

ls_status ls_exchange_create(ls_comm *comm, size_t n, size_t n_transfers, bool shares, ls_exchange **out) {
  *out = NULL;
  ls_exchange *exchange = NULL;
  ls_status status = ls_comm_agree(comm, create(comm, n, &exchange));
  if (status == LS_OK) status = find_peers(comm, exchange, shares);
  if (status == LS_OK) {
    split(comm, exchange);
    status = check_size(exchange);
    if (status == LS_OK) status = reserve_transfers(exchange, n_transfers);
    status = ls_comm_agree(comm, status);
  }
  *out = exchange;
  if (status != LS_OK) ls_exchange_destroy(comm, out);
  return status;
}

/* Local. Frees the vectors. */
static void free_vectors(ls_comm *comm, ls_exchange *exchange) {
  if (!exchange->is_shared) {
    free(exchange->common);
    free(exchange->terms[0]);
    return;
  }
  comm_common **at = &comm->commons;
  while (*at != &exchange->state->common) at = &(*at)->next;
  *at = exchange->state->common.next;
  comm_window_destroy(&exchange->state->window);
}

void ls_exchange_destroy(ls_comm *comm, ls_exchange **exchange) {
  if (!*exchange) return;
  struct ls_exchange_state *const state = (*exchange)->state;
  free_vectors(comm, *exchange);
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
  free((*exchange)->terms);
  free(*exchange);
  *exchange = NULL;
}

void ls_exchange_fence(ls_comm *comm, ls_exchange *exchange) {
  if (exchange->n_peers == 1) return;
  comm_set_waiting(true); /* in a step, a barrier that blocks is faster than comm_window_fence */
  atomic_thread_fence(memory_order_seq_cst);
  MPI_Barrier(comm->node);
  atomic_thread_fence(memory_order_seq_cst);
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
