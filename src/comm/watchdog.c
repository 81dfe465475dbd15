/* The watchdog: a thread of each rank that ends a run which has stopped moving.
 *
 * MPI tells nothing of a rank that is stopped, or of a link that is cut: the others wait for ever. So each
 * process counts its beats, and its thread shows them to the other ranks of the node on a board in shared
 * memory. While any rank that is seen beats, or word comes from another node (wait.c), all is well: the
 * others wait for a reason. When nothing has moved for the limit, one thread says which rank is to blame,
 * and leaves by _exit, which no other thread and no lock can hold up; whoever started the ranks then ends
 * the others. MPI_Abort is not for this thread: MPI may be at work on the first one.
 *
 * Time is counted in turns of the thread's own, each at most two ticks long, so that a job that was
 * suspended as a whole has not been idle. */
#include "internal.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT         600.0 /* seconds, until ls_comm_set_timeout */
#define TICK_MAX      0.1
#define TICKS_A_LIMIT 40.0
#define PART_STOPPED  0.5 /* of the limit: a process whose thread has had no turn for so long is stopped */
#define FIRST_NODE    2.2 /* seconds after a node that is to blame: mpirun takes 2 to end the others */
#define OTHER_NODE    3.6 /* and others, where that of rank 0 may be the one that is cut off */
#define LAST_WORDS    2.0 /* seconds that they may take */
#define AFTERWARDS    0.5 /* by which a rank goes by itself where nobody ends it */

typedef struct slot { /* of a rank; a line of cache */
  _Alignas(LS_ALIGNMENT) atomic_uint_fast64_t beats;
  atomic_uint_fast64_t turns; /* of its watchdog, as long as its process runs */
  atomic_bool waits;          /* for other ranks */
  int rank;
  long pid;
} slot;

struct comm_board {
  _Alignas(LS_ALIGNMENT) atomic_uint_fast64_t heard; /* words from other nodes */
  atomic_bool told;                                  /* one of the ranks says why it ends */
  char others[512];                                  /* names of the other nodes */
  slot slots[];
};

static struct {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t change;
  bool is_running, ends;
  double limit;
  struct comm_board *board; /* of `n` slots, of which `own` is this rank's; NULL: alone so far */
  int n, own;
  uint64_t *turns;        /* (n) of each slot, when last seen */
  double *silent;         /* (n) seconds since they moved */
  const char *when_alone; /* what hangs where there is no board */
  bool is_first_node;     /* that of rank 0 */
} watchdog = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static atomic_bool spoken;
static atomic_bool waiting; /* this process's first thread waits for others */

void comm_waits(bool for_others) {
  atomic_store_explicit(&waiting, for_others, memory_order_relaxed);
  if (!for_others) ls_heartbeat();
}

/* ------------------------------------------------------------------------- the board */

static void post(void) {
  if (!watchdog.board) return;
  slot *const mine = &watchdog.board->slots[watchdog.own];
  atomic_store(&mine->beats, ls_heartbeat_count());
  atomic_store(&mine->waits, atomic_load(&waiting));
  atomic_fetch_add(&mine->turns, 1);
}

static uint64_t sum_heartbeats(const struct comm_board *board) {
  uint64_t sum = 0;
  for (int i = 0; i < watchdog.n; i++) sum += atomic_load(&board->slots[i].beats);
  return sum;
}

uint64_t comm_node_heartbeats(const ls_comm *comm) {
  return comm->board ? sum_heartbeats(comm->board) : 0;
}

void comm_message_received(const ls_comm *comm) {
  if (comm->board) atomic_fetch_add(&comm->board->heard, 1);
}

static uint64_t all_signs(void) {
  const struct comm_board *const board = watchdog.board;
  return board ? sum_heartbeats(board) + atomic_load(&board->heard) : ls_heartbeat_count();
}

/* ------------------------------------------------------------------------ its verdict */

static void pause_for(double seconds) {
  const struct timespec time = {.tv_sec = (time_t)seconds,
                                .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
  nanosleep(&time, NULL);
}

static void add_rank(char *text, size_t size, const slot *s) {
  ls_append(text, size, "%srank %d (process %ld)", text[0] ? ", " : "", s->rank, s->pid);
}

/* How long each rank's thread has had no turn, after `seconds` more. The lock is held. */
static void look_around(double seconds) {
  for (int i = 0; i < watchdog.n; i++) {
    const uint64_t turns = atomic_load(&watchdog.board->slots[i].turns);
    watchdog.silent[i] = turns == watchdog.turns[i] ? watchdog.silent[i] + seconds : 0.0;
    watchdog.turns[i] = turns;
  }
}

static bool is_stopped(int i) {
  return watchdog.silent[i] > PART_STOPPED * watchdog.limit;
}

/* Whether a rank of this node is to blame. */
static bool is_fault_here(void) {
  bool is_here = false;
  for (int i = 0; i < watchdog.n; i++)
    is_here = is_here || is_stopped(i) || !atomic_load(&watchdog.board->slots[i].waits);
  return is_here;
}

/* How much longer than the limit this node lets others speak: first goes one whose rank is to blame, then
 * that of rank 0. */
static double patience(void) {
  if (!watchdog.board || is_fault_here()) return 0.0;
  return watchdog.is_first_node ? FIRST_NODE : OTHER_NODE;
}

/* Names who is to blame, as far as it can be seen from this node. The lock is held. */
static void find_fault(const struct comm_board *board, char *text, size_t size) {
  char stopped[400] = "";
  char busy[400] = "";
  for (int i = 0; i < watchdog.n; i++) {
    const slot *const s = &board->slots[i];
    if (is_stopped(i))
      add_rank(stopped, sizeof stopped, s);
    else if (!atomic_load(&s->waits))
      add_rank(busy, sizeof busy, s);
  }
  if (stopped[0])
    snprintf(text, size, "%s on this host does not run: it was stopped, or is dead", stopped);
  else if (busy[0])
    snprintf(text, size,
             "%s on this host is at work without an end in sight (a file system that does not answer?)",
             busy);
  else if (board->others[0])
    snprintf(text, size,
             "no word from %s: a host or a link is down or too slow for this limit, or a rank there is "
             "stopped",
             board->others);
  else
    snprintf(text, size, "all ranks wait for each other");
}

/* On a thread of its own, as the log may be on what does not answer. */
static void *speak(void *fault) {
  ls_log_fatal("nothing has moved for %g s (comm.timeout): %s. All ranks end; what was saved is intact: "
               "run the same command again",
               watchdog.limit, (const char *)fault);
  atomic_store(&spoken, true);
  return NULL;
}

static void wait_for_words(void) {
  for (double waited = 0.0; waited < LAST_WORDS && !atomic_load(&spoken); waited += TICK_MAX)
    pause_for(TICK_MAX);
}

/* Only one of a node's ranks speaks; the others are ended with it, or go a little later. */
static void leave(void) {
  char fault[1024];
  struct comm_board *const board = watchdog.board;
  if (board && atomic_exchange(&board->told, true)) {
    pause_for(AFTERWARDS);
    _exit(LS_ERR_INTERNAL);
  }
  if (board)
    find_fault(board, fault, sizeof fault);
  else
    snprintf(fault, sizeof fault, "%s", watchdog.when_alone);
  pthread_t speaker;
  if (ls_thread_start(&speaker, speak, fault) == 0) {
    wait_for_words();
  } else {
    signal(SIGALRM, SIG_DFL); /* with another code than ours, but at once */
    alarm((unsigned)LAST_WORDS);
    speak(fault);
  }
  _exit(LS_ERR_INTERNAL);
}

/* ------------------------------------------------------------------------- the thread */

static void *watch(void *unused) {
  uint64_t seen = 0;
  double idle = 0.0;
  double before = ls_clock();
  pthread_mutex_lock(&watchdog.lock);
  while (!watchdog.ends) {
    const double tick = fmin(TICK_MAX, watchdog.limit / TICKS_A_LIMIT);
    ls_thread_wait(&watchdog.change, &watchdog.lock, tick);
    post();
    const uint64_t signs = all_signs();
    const double now = ls_clock();
    const double passed = fmin(now - before, 2.0 * tick);
    look_around(passed);
    idle = signs == seen ? idle + passed : 0.0;
    seen = signs;
    before = now;
    if (idle > watchdog.limit && idle > watchdog.limit + patience()) leave();
  }
  pthread_mutex_unlock(&watchdog.lock);
  return unused;
}

ls_status comm_watchdog_start(void) {
  watchdog.limit = LIMIT;
  watchdog.ends = false;
  watchdog.when_alone = "MPI does not start: a rank or its host did not come up";
  watchdog.is_running = ls_thread_start(&watchdog.thread, watch, NULL) == 0;
  return watchdog.is_running
             ? LS_OK
             : ls_fail(LS_ERR_INTERNAL, "no thread is to be had at start-up, for the watchdog");
}

void comm_watchdog_stop(void) {
  if (!watchdog.is_running) return;
  pthread_mutex_lock(&watchdog.lock);
  watchdog.ends = true;
  pthread_cond_signal(&watchdog.change);
  pthread_mutex_unlock(&watchdog.lock);
  pthread_join(watchdog.thread, NULL);
  free(watchdog.turns);
  free(watchdog.silent);
  watchdog.turns = NULL;
  watchdog.silent = NULL;
  watchdog.is_running = false;
}

void ls_comm_set_timeout(ls_comm *comm, double seconds) {
  comm->timeout = seconds;
  pthread_mutex_lock(&watchdog.lock);
  watchdog.limit = seconds;
  if (watchdog.is_running) pthread_cond_signal(&watchdog.change);
  pthread_mutex_unlock(&watchdog.lock);
}

/* ------------------------------------------------------------------------- joining in */

static void attach(struct comm_board *board, const ls_comm *comm) {
  pthread_mutex_lock(&watchdog.lock);
  watchdog.board = board;
  watchdog.n = board ? comm->node_size : 0;
  watchdog.own = comm->node_rank;
  watchdog.is_first_node = comm->is_first_node;
  watchdog.when_alone = "MPI does not end: a rank is stopped, or a host or a link is down";
  pthread_mutex_unlock(&watchdog.lock);
}

/* Collective over the first ranks of the nodes. */
static void name_other_nodes(const ls_comm *comm, char *text, size_t size) {
  enum { NODES_MAX = 16, NAME = 64 };
  char names[NODES_MAX * NAME];
  char mine[NAME] = "";
  int n_nodes = 0;
  int own = 0;
  MPI_Comm_size(comm->leaders, &n_nodes);
  MPI_Comm_rank(comm->leaders, &own);
  if (n_nodes > NODES_MAX) snprintf(text, size, "the other hosts");
  if (n_nodes > NODES_MAX) return;
  gethostname(mine, sizeof mine - 1);
  MPI_Allgather(mine, NAME, MPI_CHAR, names, NAME, MPI_CHAR, comm->leaders);
  text[0] = '\0';
  for (int i = 0; i < n_nodes; i++)
    if (i != own) ls_append(text, size, "%s%s", text[0] ? ", " : "", names + (ptrdiff_t)i * NAME);
}

void comm_watchdog_join(ls_comm *comm) {
  comm->timeout = LIMIT;
  watchdog.turns = comm_calloc((size_t)comm->node_size, sizeof *watchdog.turns);
  watchdog.silent = comm_calloc((size_t)comm->node_size, sizeof *watchdog.silent);
  const size_t bytes = sizeof *comm->board + (size_t)comm->node_size * sizeof(slot) + LS_ALIGNMENT;
  char *const base = comm_window_allocate(comm, bytes, &comm->board_window);
  comm->board = (void *)(base + (LS_ALIGNMENT - (uintptr_t)base % LS_ALIGNMENT) % LS_ALIGNMENT);
  if (comm->node_rank == 0) {
    memset(comm->board, 0, sizeof *comm->board);
    if (comm->leaders != MPI_COMM_NULL)
      name_other_nodes(comm, comm->board->others, sizeof comm->board->others);
  }
  slot *const mine = &comm->board->slots[comm->node_rank];
  memset(mine, 0, sizeof *mine);
  mine->rank = comm->rank;
  mine->pid = (long)getpid();
  comm_window_fence(comm->node, comm->board_window);
  attach(comm->board, comm);
}

void comm_watchdog_leave(ls_comm *comm) {
  if (!comm->board) return;
  attach(NULL, comm);
  comm->board = NULL;
  comm_window_free(&comm->board_window);
}
