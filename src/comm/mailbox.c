/* Short messages between ranks that are in different parts of the program.
 *
 * MPI delivers a message only inside its calls, so the receiver must look for messages now and then. A
 * message that was sent is kept until MPI does not need it any more. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAP_US 200

typedef struct mail {
  struct mail *next;
  MPI_Request request;
  unsigned char content[];
} mail;

struct ls_mailbox {
  MPI_Comm group;
  size_t bytes; /* of a message */
  int size;
  uint64_t *n_sent; /* (size): messages to each rank so far */
  uint64_t *totals; /* (size) */
  uint64_t n_received;
  mail *sent; /* those that MPI may still read */
};

ls_status ls_mailbox_create(ls_comm *comm, size_t bytes, ls_mailbox **out) {
  const size_t size = (size_t)comm->size;
  ls_mailbox *box = ls_calloc(1, sizeof *box);
  *out = NULL;
  if (box) *box = (ls_mailbox){.group = MPI_COMM_NULL, .bytes = bytes, .size = comm->size};
  if (box) box->n_sent = ls_calloc(size, sizeof *box->n_sent);
  if (box) box->totals = ls_calloc(size, sizeof *box->totals);
  const bool is_complete = box && box->n_sent && box->totals;
  const ls_status status =
      ls_comm_agree(comm, is_complete ? LS_OK : ls_fail_memory("a mailbox", 2 * size * sizeof(uint64_t)));
  if (status != LS_OK) {
    ls_mailbox_destroy(comm, &box);
    return status;
  }
  LS_ASSERT(box);
  COMM_WAIT(MPI_Comm_dup(comm->world, &box->group));
  *out = box;
  return LS_OK;
}

/* Frees the messages that MPI does not need any more. */
static void free_sent(ls_mailbox *box) {
  for (mail **place = &box->sent; *place;) {
    mail *const m = *place;
    int is_done = 0;
    MPI_Test(&m->request, &is_done, MPI_STATUS_IGNORE);
    if (is_done) {
      *place = m->next;
      free(m);
    } else {
      place = &m->next;
    }
  }
}

/* NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker): free_sent waits for the request */

void ls_mailbox_send(ls_mailbox *box, int to, const void *message) {
  mail *const m = comm_calloc(1, sizeof *m + box->bytes);
  memcpy(m->content, message, box->bytes);
  free_sent(box);
  MPI_Isend(m->content, (int)box->bytes, MPI_BYTE, to, 0, box->group, &m->request);
  m->next = box->sent;
  box->sent = m;
  box->n_sent[to]++;
}

/* NOLINTEND(clang-analyzer-optin.mpi.MPI-Checker) */

bool ls_mailbox_receive(ls_mailbox *box, void *message) {
  int has_message = 0;
  MPI_Status from;
  MPI_Iprobe(MPI_ANY_SOURCE, 0, box->group, &has_message, &from);
  if (!has_message) return false;
  MPI_Recv(message, (int)box->bytes, MPI_BYTE, from.MPI_SOURCE, 0, box->group, MPI_STATUS_IGNORE);
  box->n_received++;
  return true;
}

/* NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker): the loop waits for the request */

/* Collective. Waits for all ranks. */
static void wait_for_ranks(const ls_mailbox *box, void (*receive)(void *context), void *context) {
  MPI_Request request;
  int is_done = 0;
  MPI_Ibarrier(box->group, &request);
  comm_set_waiting(true);
  for (;;) {
    MPI_Test(&request, &is_done, MPI_STATUS_IGNORE);
    if (is_done) break;
    receive(context);
    comm_relay_messages();
    usleep(NAP_US);
  }
  comm_set_waiting(false);
}

/* NOLINTEND(clang-analyzer-optin.mpi.MPI-Checker) */

void ls_mailbox_wait(ls_comm *comm, ls_mailbox *box, void (*receive)(void *context), void *context) {
  const size_t size = (size_t)box->size;
  wait_for_ranks(box, receive, context);
  memcpy(box->totals, box->n_sent, size * sizeof *box->totals);
  ls_comm_sum_u64(comm, box->totals, size);
  comm_set_waiting(true);
  while (box->n_received < box->totals[comm->rank]) receive(context);
  comm_set_waiting(false);
  free_sent(box);
}

void ls_mailbox_destroy(ls_comm *comm, ls_mailbox **out) {
  ls_mailbox *const box = *out;
  (void)comm;
  if (!box) return;
  free_sent(box);
  if (box->group != MPI_COMM_NULL) COMM_WAIT(MPI_Comm_free(&box->group));
  free(box->n_sent);
  free(box->totals);
  free(box);
  *out = NULL;
}
