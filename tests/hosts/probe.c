/* Measures the network between ranks. Rank 0 prints one line: the number of ranks on the node of each rank,
 * and the time in milliseconds of the sum of one number and of the sum of 2.5 MB. */
#include "lockstep/comm.h"

#include <stdio.h>
#include <stdlib.h>

#define SUMS    20
#define RANKS   64
#define N_LARGE 625000 /* floats */
#define MS      1e3

/* Collective. Each sum needs a message of every rank before the next sum can begin, so the network limits
 * the rate. */
static double time_small(ls_comm *comm) {
  double x = 1.0;
  ls_comm_barrier(comm);
  const double start = ls_clock();
  for (int i = 0; i <= SUMS; i++)
    ls_comm_sum_f64(comm, &x, 1); /* the messages of the first may have arrived before */
  return (ls_clock() - start) / SUMS * MS;
}

static double time_large(ls_comm *comm, float *x) {
  ls_comm_barrier(comm);
  const double start = ls_clock();
  ls_comm_sum_f32(comm, x, N_LARGE);
  ls_comm_barrier(comm);
  return (ls_clock() - start) * MS;
}

int main(int argc, char **argv) {
  ls_comm *comm = NULL;
  ls_status status = ls_comm_create(&argc, &argv, &comm);
  if (status != LS_OK) return (int)status;
  float *const x = calloc(N_LARGE, sizeof *x);
  LS_ASSERT(x && ls_comm_size(comm) <= RANKS);
  const float mine = (float)ls_comm_node_size(comm);
  float sizes[RANKS];
  ls_comm_gather_f32(comm, &mine, 1, 0, sizes);
  const double small = time_small(comm);
  const double large = time_large(comm, x);
  if (ls_comm_rank(comm) == 0) {
    for (int r = 0; r < ls_comm_size(comm); r++) printf("%.0f ", (double)sizes[r]);
    printf("%.3f %.3f\n", small, large);
  }
  free(x);
  ls_comm_destroy(&comm);
  return 0;
}
