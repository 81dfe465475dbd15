/* Sums in a fixed order: the tree over lanes is split where its subtrees belong to single ranks.
 *
 * Long arrays need two exchanges with the traffic of an allreduce: each rank receives one piece of all
 * partial sums, adds them in tree order, and sends the sum to all. Fixed-point integers would also add
 * exactly in any order, but are twice as long and need a scale that is not known beforehand. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define PARTS   ((size_t)1 << 20) /* elements that an exchange receives */
#define BLOCK64 ((size_t)1 << 12) /* elements of double that an exchange adds, at most */

/* Elements of a block: the same number for each rank. */
static size_t block_of(size_t size) {
  return ls_size_max(PARTS / size, 1) * size;
}

static size_t block64_of(size_t size) {
  return ls_size_min(ls_size_max(PARTS / size, 1), BLOCK64);
}

/* The number of ranks below the left child of a tree node; the larger half. */
static int left_part(int ranks) {
  return (ranks + 1) / 2;
}

void ls_comm_tree_lanes(size_t n_lanes, int rank, int size, size_t *first, size_t *count) {
  size_t lane = 0;
  size_t lanes = n_lanes;
  int begin = 0;
  int ranks = size;
  while (ranks > 1 && lanes > 1) {
    const int left = left_part(ranks);
    const bool is_left = rank - begin < left;
    lanes /= 2;
    lane += is_left ? 0 : lanes;
    begin += is_left ? 0 : left;
    ranks = is_left ? left : ranks - left;
  }
  *first = lane;
  *count = rank == begin ? lanes : 0; /* the first of several ranks holds a single lane */
}

/* Folds the parts of the ranks below a tree node, (ranks, n), into the first part. */
static void fold_f32(float *parts, size_t n, size_t lanes, int ranks) {
  if (ranks == 1 || lanes == 1) return;
  const int left = left_part(ranks);
  float *const right = parts + (size_t)left * n;
  fold_f32(parts, n, lanes / 2, left);
  fold_f32(right, n, lanes / 2, ranks - left);
  for (size_t i = 0; i < n; i++) parts[i] += right[i];
}

static void fold_f64(double *parts, size_t n, size_t lanes, int ranks) {
  if (ranks == 1 || lanes == 1) return;
  const int left = left_part(ranks);
  double *const right = parts + (size_t)left * n;
  fold_f64(parts, n, lanes / 2, left);
  fold_f64(right, n, lanes / 2, ranks - left);
  for (size_t i = 0; i < n; i++) parts[i] += right[i];
}

ls_status ls_comm_tree_create(const ls_comm *comm, size_t n_lanes, ls_comm_tree **out) {
  LS_ASSERT(n_lanes > 0 && (n_lanes & (n_lanes - 1)) == 0);
  const size_t size = (size_t)comm->size;
  ls_comm_tree *tree = ls_calloc(1, sizeof *tree);
  *out = NULL;
  if (tree) {
    tree->parts = ls_calloc(block_of(size), sizeof *tree->parts);
    tree->padded = ls_calloc(block_of(size), sizeof *tree->padded);
    tree->parts64 = ls_calloc(size, block64_of(size) * sizeof *tree->parts64);
  }
  if (!tree || !tree->parts || !tree->padded || !tree->parts64) {
    ls_comm_tree_destroy(&tree);
    return ls_fail_memory("reproducible sums",
                          2 * block_of(size) * sizeof(float) + size * block64_of(size) * sizeof(double));
  }
  tree->n_lanes = n_lanes;
  ls_comm_tree_lanes(n_lanes, comm->rank, comm->size, &tree->first, &tree->count);
  *out = tree;
  return LS_OK;
}

void ls_comm_tree_destroy(ls_comm_tree **tree) {
  if (!*tree) return;
  free((*tree)->parts);
  free((*tree)->padded);
  free((*tree)->parts64);
  free(*tree);
  *tree = NULL;
}

/* Collective. Adds x, of `piece` elements for each rank. */
static void sum_pieces(ls_comm *comm, ls_comm_tree *tree, float *x, size_t piece) {
  comm_set_waiting(true);
  MPI_Alltoall(x, (int)piece, MPI_FLOAT, tree->parts, (int)piece, MPI_FLOAT, comm->world);
  fold_f32(tree->parts, piece, tree->n_lanes, comm->size);
  MPI_Allgather(tree->parts, (int)piece, MPI_FLOAT, x, (int)piece, MPI_FLOAT, comm->world);
  comm_set_waiting(false);
}

/* Collective. One block. If the ranks cannot have pieces of the same length, zeros are appended. */
static void sum_block(ls_comm *comm, ls_comm_tree *tree, float *x, size_t n) {
  const size_t size = (size_t)comm->size;
  const size_t piece = (n + size - 1) / size;
  if (piece * size == n) {
    sum_pieces(comm, tree, x, piece);
    return;
  }
  memcpy(tree->padded, x, n * sizeof *x);
  memset(tree->padded + n, 0, (piece * size - n) * sizeof *x);
  sum_pieces(comm, tree, tree->padded, piece);
  memcpy(x, tree->padded, n * sizeof *x);
}

void ls_comm_tree_sum_f32(ls_comm *comm, ls_comm_tree *tree, float *x, size_t n) {
  if (comm->size == 1) return;
  if (!tree) comm_combine(comm->world, (unsigned char *)x, n, sizeof *x, MPI_FLOAT, MPI_SUM);
  if (!tree) return;
  const size_t most = block_of((size_t)comm->size);
  for (size_t done = 0; done < n; done += most)
    sum_block(comm, tree, x + done, ls_size_min(most, n - done));
}

void ls_comm_tree_sum_f64(ls_comm *comm, ls_comm_tree *tree, double *x, size_t n) {
  if (comm->size == 1) return;
  if (!tree) comm_combine(comm->world, (unsigned char *)x, n, sizeof *x, MPI_DOUBLE, MPI_SUM);
  if (!tree) return;
  const size_t most = block64_of((size_t)comm->size);
  for (size_t done = 0; done < n; done += most) {
    const size_t length = ls_size_min(most, n - done);
    COMM_WAIT(MPI_Allgather(x + done, (int)length, MPI_DOUBLE, tree->parts64, (int)length, MPI_DOUBLE,
                            comm->world));
    fold_f64(tree->parts64, length, tree->n_lanes, comm->size);
    memcpy(x + done, tree->parts64, length * sizeof *x);
  }
}
