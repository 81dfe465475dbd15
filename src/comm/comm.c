/* Starting and ending MPI, and what a rank knows about itself. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether no launcher started this process, so that it is the only rank. */
static bool is_alone(void) {
  return !getenv("OMPI_COMM_WORLD_SIZE") && !getenv("PMIX_RANK") && !getenv("PMI_RANK");
}

/* Whether all ranks are on one node, as far as it can be known before MPI starts. */
static bool is_one_node(void) {
  const char *const all = getenv("OMPI_COMM_WORLD_SIZE");
  const char *const here = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  return all && here ? strcmp(all, here) == 0 : is_alone();
}

/* More than Open MPI 5 uses for the messages of a rank. */
#define SHARED_MEMORY_OF_RANK ((size_t)32 << 20)

/* Whether messages within a node need no TCP, but only shared memory, of which there is enough. Only for
 * Open MPI from version 5 on: version 4 names its transports differently, and loads others if TCP alone is
 * excluded. */
static bool can_leave_out_tcp(void) {
  char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  const char *const ranks = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  const long n = ranks ? strtol(ranks, NULL, 10) : 1;
  int length = 0;
  MPI_Get_library_version(library, &length); /* allowed before MPI_Init */
  const bool is_open_mpi = strncmp(library, "Open MPI v", 10) == 0;
  return is_open_mpi && strtol(library + 10, NULL, 10) >= 5 && n > 0 && n <= 4096 &&
         comm_shared_memory_has((size_t)n * SHARED_MEMORY_OF_RANK);
}

/* On one node, Open MPI needs no network: its messages go through shared memory (ob1). Trying the drivers
 * of all kinds of networks takes 0.2 s, more than the rest of the start-up, and Open MPI 5 prints a line
 * for each rank if the host has no address that the ranks can reach. For a rank alone, Open MPI 4 also
 * starts a daemon, which takes 0.2 s and can crash the rank when it ends; isolated, it does not. It also
 * needs no folder for its session: in up to 5 % of starts, another rank that ended just then had removed
 * the folder above it. Open MPI 5 leaves a file in /dev/shm for each rank alone
 * that could send messages through shared memory. Values that the user has set are kept. */
static void leave_out_networks(void) {
  if (is_alone()) (void)setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
  if (is_alone()) (void)setenv("OMPI_MCA_orte_create_session_dirs", "0", 0);
  if (!is_one_node()) return;
  (void)setenv("OMPI_MCA_pml", "ob1", 0);
  if (can_leave_out_tcp()) (void)setenv("OMPI_MCA_btl", is_alone() ? "self" : "self,sm", 0);
}

/* Fatal messages begin with rank and host. `path`: the log that also receives them, or NULL. */
static void set_fatal_log(const char *path) {
  char host[MPI_MAX_PROCESSOR_NAME] = "";
  char name[MPI_MAX_PROCESSOR_NAME + 32];
  int length = 0;
  int rank = 0;
  MPI_Get_processor_name(host, &length);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  snprintf(name, sizeof name, "rank %d on %s", rank, host);
  ls_log_fatal_set(name, path);
}

void comm_find_node(ls_comm *comm) {
  MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &comm->node);
  MPI_Comm_rank(comm->node, &comm->node_rank);
  MPI_Comm_size(comm->node, &comm->node_size);
  comm->node_first = comm->rank;
  MPI_Bcast(&comm->node_first, 1, MPI_INT, 0, comm->node);
  comm->leaders = MPI_COMM_NULL;
  if (comm->node_size < comm->size)
    MPI_Comm_split(comm->world, comm->node_rank == 0 ? 0 : MPI_UNDEFINED, comm->rank, &comm->leaders);
}

/* Collective. A single rank waits for nobody, so it needs no watchdog. */
static void start_watching(ls_comm *comm) {
  if (comm->size == 1) {
    comm_watchdog_stop();
    return;
  }
  comm->timeout = COMM_TIMEOUT;
  comm_board_create(comm);
  comm_relay_start(comm);
}

ls_status ls_comm_create(int *argc, char ***argv, ls_comm **out) {
  int provided = MPI_THREAD_SINGLE;
  *out = NULL;
  comm_launcher_read();
  leave_out_networks();
  const bool is_watched = comm_watchdog_start() == LS_OK;
  /* The threads of BLAS, the watchdog and the saver do not call MPI. */
  MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
  set_fatal_log(NULL);
  if (!is_watched) comm_fail(ls_message());
  ls_bug_handler_set(comm_abort);
  ls_comm *const comm = comm_calloc(1, sizeof *comm);
  MPI_Comm_dup(MPI_COMM_WORLD, &comm->world);
  MPI_Comm_rank(comm->world, &comm->rank);
  MPI_Comm_size(comm->world, &comm->size);
  comm_find_node(comm);
  comm->node_all = comm->node_size;
  comm_choose_threads(comm);
  start_watching(comm);
  int length = 0;
  MPI_Get_library_version(comm->library, &length);
  comm->library[strcspn(comm->library, ",\n")] = '\0';
  *out = comm;
  return LS_OK;
}

void comm_free(ls_comm *comm) {
  if (comm->leaders != MPI_COMM_NULL) MPI_Comm_free(&comm->leaders);
  MPI_Comm_free(&comm->node);
  MPI_Comm_free(&comm->world);
  free(comm);
}

void ls_comm_destroy(ls_comm **comm) {
  if (!*comm) return;
  comm_relay_start(NULL);
  comm_board_destroy(*comm);
  comm_free(*comm);
  *comm = NULL;
  ls_bug_handler_set(NULL);
  comm_libraries_keep();
  MPI_Finalize();
  comm_watchdog_stop();
}

void ls_comm_set_log(const ls_comm *comm, const char *path) {
  (void)comm;
  set_fatal_log(path);
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

int ls_comm_node_rank(const ls_comm *comm) {
  return comm->node_rank;
}

const char *ls_comm_library(const ls_comm *comm) {
  return comm->library;
}
