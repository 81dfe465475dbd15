/* The watchdog: a thread of each rank that ends a run without progress.
 *
 * MPI does not report that a rank is stopped or a link is down; the other ranks would wait forever.
 * Therefore each process counts its heartbeats, and its watchdog publishes the count on the node's board in
 * shared memory. While any visible rank has heartbeats, or messages arrive from another node (wait.c), the
 * run is fine. If there is no progress for the timeout, one watchdog reports the probable cause and calls
 * _exit, which no other thread and no lock can block; the launcher then ends the other ranks. The watchdog
 * cannot call MPI_Abort, because the first thread may be inside MPI.
 *
 * Time is counted in turns of the thread, at most two ticks each, so a suspended job does not count as
 * idle. */
#include "internal.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MAX          0.1 /* seconds */
#define TICKS_PER_TIMEOUT 40.0
#define STOPPED_PART      0.5 /* of the timeout: without a turn for so long, a process counts as stopped */
#define FIRST_NODE_DELAY  2.2 /* seconds after a node with the cause: mpirun needs 2 to end the others */
#define OTHER_NODE_DELAY  3.6 /* seconds; later than rank 0's node, which may be the disconnected one */
#define REPORT_MAX        2.0 /* seconds that the report may take */
#define EXIT_DELAY        0.5 /* seconds until a rank exits that nobody has ended */

static struct {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t change;
  bool is_running, is_ending;
  double timeout;
  comm_board *board; /* with `n` slots, of which `own` is this rank's; NULL: not attached */
  int n, own;
  struct {
    uint64_t turns;        /* of a slot, when it was last read */
    double silence;        /* seconds since it changed */
  } * seen;                /* (n), owned */
  const char *other_cause; /* the probable cause if there is no board */
  bool is_first_node;      /* has rank 0 */
} watchdog = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static atomic_bool is_reported;
static atomic_bool is_waiting; /* the first thread waits for other ranks */

void comm_set_waiting(bool waiting) {
  atomic_store_explicit(&is_waiting, waiting, memory_order_relaxed);
  if (!waiting) ls_heartbeat();
}

/* ------------------------------------------------------------------------- the board */

static void publish_state(void) {
  if (!watchdog.board) return;
  comm_slot *const mine = &watchdog.board->slots[watchdog.own];
  atomic_store(&mine->heartbeats, ls_heartbeat_count());
  atomic_store(&mine->is_waiting, atomic_load(&is_waiting));
  atomic_fetch_add(&mine->turns, 1);
}

static uint64_t sum_heartbeats(const comm_board *board) {
  uint64_t sum = 0;
  for (int i = 0; i < watchdog.n; i++) sum += atomic_load(&board->slots[i].heartbeats);
  return sum;
}

uint64_t comm_node_heartbeats(const ls_comm *comm) {
  return comm->board ? sum_heartbeats(comm->board) : 0;
}

void comm_message_received(const ls_comm *comm) {
  if (comm->board) atomic_fetch_add(&comm->board->messages, 1);
}

/* A count that changes with any visible progress. */
static uint64_t count_progress(void) {
  const comm_board *const board = watchdog.board;
  return board ? sum_heartbeats(board) + atomic_load(&board->messages) : ls_heartbeat_count();
}

/* Updates the silence of each rank's watchdog, `seconds` after the last call. The lock is held. */
static void update_silence(double seconds) {
  for (int i = 0; i < watchdog.n; i++) {
    const uint64_t turns = atomic_load(&watchdog.board->slots[i].turns);
    watchdog.seen[i].silence = turns == watchdog.seen[i].turns ? watchdog.seen[i].silence + seconds : 0.0;
    watchdog.seen[i].turns = turns;
  }
}

/* ------------------------------------------------------------------------- diagnosis */

static bool is_stopped(int i) {
  return watchdog.seen[i].silence > STOPPED_PART * watchdog.timeout;
}

/* Whether a rank of this node is the cause. */
static bool has_cause(void) {
  for (int i = 0; i < watchdog.n; i++)
    if (is_stopped(i) || !atomic_load(&watchdog.board->slots[i].is_waiting)) return true;
  return false;
}

/* Seconds beyond the timeout before this node reports: a node with the cause first, then that of rank 0. */
static double report_delay(void) {
  if (!watchdog.board || has_cause()) return 0.0;
  return watchdog.is_first_node ? FIRST_NODE_DELAY : OTHER_NODE_DELAY;
}

static void append_rank(char *text, size_t size, const comm_slot *slot) {
  ls_append(text, size, "%srank %d (process %ld)", text[0] ? ", " : "", slot->rank, slot->pid);
}

/* Describes the probable cause as seen from this node. The lock is held. */
static void describe_cause(const comm_board *board, char *text, size_t size) {
  char stopped[400] = "";
  char busy[400] = "";
  for (int i = 0; i < watchdog.n; i++) {
    const comm_slot *const slot = &board->slots[i];
    if (is_stopped(i))
      append_rank(stopped, sizeof stopped, slot);
    else if (!atomic_load(&slot->is_waiting))
      append_rank(busy, sizeof busy, slot);
  }
  if (stopped[0])
    snprintf(text, size, "%s on this host does not run: the process is stopped or dead", stopped);
  else if (busy[0])
    snprintf(text, size,
             "%s on this host works without progress: a file system may not respond, or a step may take "
             "longer than comm.timeout",
             busy);
  else if (board->other_hosts[0])
    snprintf(text, size,
             "no message from %s: a host or link is down or too slow for comm.timeout, or a rank there is "
             "stopped",
             board->other_hosts);
  else
    snprintf(text, size, "all ranks wait for each other");
}

/* ----------------------------------------------------------------------- ending a run */

/* Runs on a separate thread, because the log may be on a file system that does not respond. */
static void *report(void *cause) {
  ls_log_fatal("no progress for %g s (comm.timeout): %s. All ranks end; saved files are intact: run the "
               "command again, without --overwrite and --resume, to resume",
               watchdog.timeout, (const char *)cause);
  atomic_store(&is_reported, true);
  return NULL;
}

static void wait_for_report(void) {
  for (double waited = 0.0; waited < REPORT_MAX && !atomic_load(&is_reported); waited += TICK_MAX)
    usleep((useconds_t)(1e6 * TICK_MAX));
}

static void exit_at_once(int number) {
  (void)number;
  _exit(LS_ERR_INTERNAL);
}

/* One rank per node reports; the others end with it, or exit a little later. */
static void end_run(void) {
  char cause[1024];
  comm_board *const board = watchdog.board;
  if (board && atomic_exchange(&board->has_reporter, true)) {
    usleep((useconds_t)(1e6 * EXIT_DELAY));
    _exit(LS_ERR_INTERNAL);
  }
  if (board)
    describe_cause(board, cause, sizeof cause);
  else
    snprintf(cause, sizeof cause, "%s", watchdog.other_cause);
  pthread_t reporter;
  if (ls_thread_start(&reporter, report, cause) == 0) {
    wait_for_report();
  } else {
    signal(SIGALRM, exit_at_once);
    alarm((unsigned)REPORT_MAX);
    report(cause);
  }
  _exit(LS_ERR_INTERNAL);
}

/* ------------------------------------------------------------------------- the thread */

static void *watch(void *unused) {
  uint64_t last_count = 0;
  double idle = 0.0;
  double last_time = ls_clock();
  pthread_mutex_lock(&watchdog.lock);
  while (!watchdog.is_ending) {
    const double tick = fmin(TICK_MAX, watchdog.timeout / TICKS_PER_TIMEOUT);
    ls_thread_wait(&watchdog.change, &watchdog.lock, tick);
    publish_state();
    const uint64_t count = count_progress();
    const double now = ls_clock();
    const double passed = fmin(now - last_time, 2.0 * tick);
    update_silence(passed);
    idle = count == last_count ? idle + passed : 0.0;
    last_count = count;
    last_time = now;
    if (idle > watchdog.timeout && idle > watchdog.timeout + report_delay()) end_run();
  }
  pthread_mutex_unlock(&watchdog.lock);
  return unused;
}

ls_status comm_watchdog_start(void) {
  watchdog.timeout = COMM_TIMEOUT;
  watchdog.is_ending = false;
  watchdog.other_cause = "MPI does not start: a rank or its host did not start";
  const int error = ls_thread_start(&watchdog.thread, watch, NULL);
  watchdog.is_running = error == 0;
  return error == 0 ? LS_OK
                    : ls_fail(LS_ERR_INTERNAL, "cannot start the watchdog thread: %s", strerror(error));
}

void comm_watchdog_stop(void) {
  if (!watchdog.is_running) return;
  pthread_mutex_lock(&watchdog.lock);
  watchdog.is_ending = true;
  pthread_cond_signal(&watchdog.change);
  pthread_mutex_unlock(&watchdog.lock);
  pthread_join(watchdog.thread, NULL);
  free(watchdog.seen);
  watchdog.seen = NULL;
  watchdog.is_running = false;
}

void ls_comm_set_timeout(ls_comm *comm, double seconds) {
  comm->timeout = seconds;
  pthread_mutex_lock(&watchdog.lock);
  watchdog.timeout = seconds;
  if (watchdog.is_running) pthread_cond_signal(&watchdog.change);
  pthread_mutex_unlock(&watchdog.lock);
}

void comm_watchdog_attach(const ls_comm *comm, comm_board *board) {
  /* The thread uses this only while the board is attached. */
  if (board) watchdog.seen = comm_calloc((size_t)comm->node_size, sizeof *watchdog.seen);
  pthread_mutex_lock(&watchdog.lock);
  watchdog.board = board;
  watchdog.n = board ? comm->node_size : 0;
  watchdog.own = comm->node_rank;
  watchdog.is_first_node = comm->node_first == 0;
  watchdog.other_cause = "MPI does not end: a rank is stopped, or a host or link is down";
  pthread_mutex_unlock(&watchdog.lock);
}
