/* Starting and ending MPI, what a rank knows of itself, and agreement. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_t first_thread; /* the only one that calls MPI */

static void abort_all_ranks(void) {
  if (!pthread_equal(pthread_self(), first_thread)) _exit(LS_ERR_INTERNAL); /* which ends the others too */
  MPI_Abort(MPI_COMM_WORLD, LS_ERR_INTERNAL);
}

/* Whether all ranks are on one node, as far as it can be known before MPI starts: by what mpirun says, or
 * because nothing has started this process as a rank. */
static bool is_one_node(void) {
  const char *const all = getenv("OMPI_COMM_WORLD_SIZE");
  const char *const here = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (all && here) return strcmp(all, here) == 0;
  return !getenv("PMIX_RANK") && !getenv("PMI_RANK");
}

/* Open MPI tries the drivers of every kind of network, which takes 0.2 s: more than all else at start-up.
 * Within a node its messages go by shared memory (ob1). What the user has set stays. */
static void leave_out_networks(void) {
  if (is_one_node()) (void)setenv("OMPI_MCA_pml", "ob1", 0);
}

/* What ends this process is said with its rank and host before it. */
static void set_last_words(const char *path) {
  char host[MPI_MAX_PROCESSOR_NAME] = "";
  char who[MPI_MAX_PROCESSOR_NAME + 32];
  int length = 0;
  int rank = 0;
  MPI_Get_processor_name(host, &length);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  snprintf(who, sizeof who, "rank %d on %s", rank, host);
  ls_log_fatal_set(who, path);
}

_Noreturn static void give_up(const char *why) {
  ls_log_fatal("%s", why);
  abort_all_ranks();
  exit(LS_ERR_INTERNAL);
}

void *comm_calloc(size_t count, size_t size) {
  void *const memory = ls_calloc(count, size);
  if (!memory) give_up("out of memory at start-up");
  return memory;
}

/* Collective. The node of this rank, and its first rank's way to those of others. */
static void find_node(ls_comm *comm) {
  MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &comm->node);
  MPI_Comm_rank(comm->node, &comm->node_rank);
  MPI_Comm_size(comm->node, &comm->node_size);
  int leader = comm->rank;
  MPI_Bcast(&leader, 1, MPI_INT, 0, comm->node);
  comm->is_first_node = leader == 0;
  comm->leaders = MPI_COMM_NULL;
  if (comm->node_size < comm->size)
    MPI_Comm_split(comm->world, comm->node_rank == 0 ? 0 : MPI_UNDEFINED, comm->rank, &comm->leaders);
}

/* Collective. A rank by itself waits for nobody. */
static void keep_watch(ls_comm *comm) {
  if (comm->size == 1) {
    comm_watchdog_stop();
    return;
  }
  comm_watchdog_join(comm);
  comm_notify_peers(comm);
}

ls_status ls_comm_create(int *argc, char ***argv, ls_comm **out) {
  int provided = MPI_THREAD_SINGLE;
  *out = NULL;
  leave_out_networks();
  const bool is_watched = comm_watchdog_start() == LS_OK;
  first_thread = pthread_self();
  /* The threads of BLAS, the watchdog and the saver make no calls of MPI. */
  MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
  set_last_words(NULL);
  if (!is_watched) give_up(ls_message());
  ls_bug_handler_set(abort_all_ranks);
  ls_comm *const comm = comm_calloc(1, sizeof *comm);
  MPI_Comm_dup(MPI_COMM_WORLD, &comm->world);
  MPI_Comm_rank(comm->world, &comm->rank);
  MPI_Comm_size(comm->world, &comm->size);
  find_node(comm);
  comm_choose_threads(comm);
  keep_watch(comm);
  int length = 0;
  MPI_Get_library_version(comm->library, &length);
  comm->library[strcspn(comm->library, ",\n")] = '\0';
  *out = comm;
  return LS_OK;
}

void ls_comm_destroy(ls_comm **comm) {
  if (!*comm) return;
  comm_notify_peers(NULL);
  comm_watchdog_leave(*comm);
  if ((*comm)->leaders != MPI_COMM_NULL) MPI_Comm_free(&(*comm)->leaders);
  MPI_Comm_free(&(*comm)->node);
  MPI_Comm_free(&(*comm)->world);
  free(*comm);
  *comm = NULL;
  ls_bug_handler_set(NULL);
  MPI_Finalize();
  comm_watchdog_stop();
}

void ls_comm_set_log(const ls_comm *comm, const char *path) {
  (void)comm;
  set_last_words(path);
}

int ls_comm_rank(const ls_comm *comm) {
  return comm->rank;
}

int ls_comm_size(const ls_comm *comm) {
  return comm->size;
}

int ls_comm_node_size(const ls_comm *comm) {
  return comm->node_size;
}

const char *ls_comm_library(const ls_comm *comm) {
  return comm->library;
}

/* The failing rank's message, with rank and host before it, becomes everyone's. */
static void spread_message(ls_comm *comm, ls_status status, int owner) {
  char text[LS_MESSAGE_MAX] = "";
  if (comm->rank == owner) {
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    int length = 0;
    MPI_Get_processor_name(host, &length);
    if (owner == 0)
      snprintf(text, sizeof text, "%s", ls_message());
    else
      snprintf(text, sizeof text, "rank %d on %s: %.*s", owner, host, LS_MESSAGE_MAX - 512, ls_message());
  }
  comm_waits(true);
  MPI_Bcast(text, (int)sizeof text, MPI_CHAR, owner, comm->world);
  comm_waits(false);
  (void)ls_fail(status, "%s", text);
}

ls_status ls_comm_agree(ls_comm *comm, ls_status mine) {
  struct {
    int status, rank;
  } local = {.status = (int)mine, .rank = comm->rank}, worst = {0, 0};
  MPI_Request request;
  MPI_Iallreduce(&local, &worst, 1, MPI_2INT, MPI_MAXLOC, comm->world, &request);
  comm_await(comm, &request);
  /* NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker): comm_await has waited for it */
  const ls_status status = (ls_status)worst.status;
  if (status != LS_OK) spread_message(comm, status, worst.rank);
  return status;
}
