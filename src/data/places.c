/* Where a group of ranks keeps the rows of a window: the positions of the epoch that its ranks use, in
 * their order, in one of two halves of the group's memory. */
#include "internal.h"

#include <stdlib.h>

/* The rows of a window, at most; the partners in mixup are kept too if they may belong to other groups. */
static uint64_t most_rows(const data_places *p) {
  return data_shares_most(&p->shares, p->groups[p->rank], p->window_rows);
}

static size_t half_bytes(const data_places *p) {
  return (p->copies_partners ? 2 : 1) * data_rows_bytes(p->dataset, most_rows(p));
}

/* Collective. Groups that share memory if that has room for so many bytes. */
static ls_status make_groups(ls_comm *comm, const data_places_request *request, size_t bytes,
                             data_places *p) {
  LS_TRY(ls_comm_groups(comm, request->shares, bytes, p->groups, &p->n_groups));
  data_shares_free(&p->shares);
  LS_TRY(ls_comm_agree(comm, data_shares_create(request->n, request->batch_rows, request->n_lanes, p->size,
                                                p->groups, &p->shares)));
  p->copies_partners = request->is_mixed && p->n_groups > 1;
  return LS_OK;
}

/* Local. */
static void warn_of_groups(const data_places *p, int n_nodes) {
  if (p->n_groups > n_nodes)
    ls_log(LS_LOG_WARNING,
           "/dev/shm is too small for two windows of %.1f MB: the ranks of a node send each other samples "
           "instead; enlarge /dev/shm, or reduce data.window",
           (double)half_bytes(p) / 1e6);
}

ls_status data_places_create(ls_comm *comm, const data_places_request *request, data_places *p) {
  *p = (data_places){.dataset = request->dataset,
                     .rank = ls_comm_rank(comm),
                     .size = ls_comm_size(comm),
                     .window_rows = request->window_rows};
  p->groups = ls_calloc((size_t)p->size, sizeof *p->groups);
  LS_TRY(ls_comm_agree(comm, p->groups ? LS_OK : ls_fail_memory("groups of ranks", (size_t)p->size)));
  LS_TRY(make_groups(comm, request, 0, p));
  const int n_nodes = p->n_groups;
  LS_TRY(make_groups(comm, request, 2 * half_bytes(p), p));
  if (request->shares) warn_of_groups(p, n_nodes);
  return ls_comm_shared_create_group(comm, 2 * half_bytes(p), p->groups, &p->memory);
}

void data_places_destroy(ls_comm *comm, data_places *p) {
  ls_comm_shared_destroy(comm, &p->memory);
  data_shares_free(&p->shares);
  free(p->groups);
  *p = (data_places){0};
}

data_half data_places_half(const data_places *p, int half, uint64_t first) {
  const uint64_t rows = most_rows(p);
  unsigned char *const memory = (unsigned char *)p->memory.data + (size_t)half * half_bytes(p);
  data_half h = {.before = data_shares_count(&p->shares, p->groups[p->rank], first),
                 .rows = data_rows_at(p->dataset, rows, memory)};
  if (p->copies_partners)
    h.partners = data_rows_at(p->dataset, rows, memory + data_rows_bytes(p->dataset, rows));
  return h;
}

bool data_places_find(const data_places *p, const data_half *half, uint64_t position, int *rank,
                      uint64_t *place) {
  *rank = data_shares_rank(&p->shares, position);
  if (p->groups[*rank] != p->groups[p->rank]) return false;
  *place = data_shares_index(&p->shares, *rank, position) - half->before;
  return true;
}
