/* Functions of all tests on several ranks: cmocka, collective verdicts, a folder for files.
 *
 * If one rank ended a test between two collectives, the others would wait for it without end. Therefore a
 * test records failures (EXPECT), and all ranks fail together when they call settle. */
#ifndef LOCKSTEP_TEST_MPI_SUPPORT_H
#define LOCKSTEP_TEST_MPI_SUPPORT_H

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lockstep/comm.h"
#include "lockstep/store.h"

#include "../message.h"

/* Elements of an array. */
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static ls_comm *comm;
static int rank, size;

/* ----------------------------------------------------------------- verdicts */

static char complaint[1024]; /* this rank's first since the last verdict */

/* Local. Notes a failure of this rank; the first one counts. */
static inline void complain(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline void complain(const char *file, int line, const char *format, ...) {
  char text[900];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (complaint[0] == '\0') snprintf(complaint, sizeof complaint, "%s:%d: %s", file, line, text);
}

/* Local. Notes a failure unless the condition holds, unless |got - want| <= tolerance (NaN is never close),
 * unless a line of a text contains the parts of a pattern of message.h. */
#define EXPECT(condition) ((condition) ? (void)0 : complain(__FILE__, __LINE__, "%s", #condition))
#define EXPECT_CLOSE(got, want, tolerance)                                                                 \
  expect_close(__FILE__, __LINE__, #got, (got), (want), (tolerance))
#define EXPECT_PART(text, part) expect_part(__FILE__, __LINE__, (text), (part))

static inline void expect_close(const char *file, int line, const char *what, double got, double want,
                                double tolerance) {
  if (!(fabs(got - want) <= tolerance))
    complain(file, line, "%s is %.17g, not %.17g to within %.3g", what, got, want, tolerance);
}

static inline void expect_part(const char *file, int line, const char *text, const char *part) {
  if (!message_has(text, part)) complain(file, line, "no '%s' in: %.600s", part, text);
}

/* Collective. Fails the test, on all ranks, if any rank has recorded a failure. */
static inline void settle(void) {
  const bool is_failed = complaint[0] != '\0';
  const ls_status status =
      ls_comm_agree(comm, is_failed ? ls_fail(LS_ERR_INTERNAL, "%s", complaint) : LS_OK);
  complaint[0] = '\0';
  if (status != LS_OK) fail_msg("%s", ls_message());
}

/* Collective. Whether all ranks hold the same bytes. */
static inline bool same_bytes(const void *data, size_t bytes) {
  const ls_digest digest = ls_digest_of(data, bytes);
  return ls_comm_all_equal(comm, digest.low, digest.high);
}

static inline bool same_text(const char *text) {
  return same_bytes(text, strlen(text) + 1);
}

/* --------------------------------------------------------------------- files */

static char folder[256]; /* the same on all ranks */

/* Local. The path of a file in the tests' folder, valid until four calls later. */
static inline const char *in_folder(const char *name) {
  static char paths[4][sizeof folder + 264];
  static int next;
  next = (next + 1) % 4;
  snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
  return paths[next];
}

/* Local. Whether a file of that name is in the folder. */
static inline bool is_there(const char *name) {
  return access(in_folder(name), F_OK) == 0;
}

/* Local. Removes all files of the folder. */
static inline void empty_folder(void) {
  DIR *const entries = opendir(folder);
  if (!entries) return;
  for (const struct dirent *entry; (entry = readdir(entries));)
    if (entry->d_name[0] != '.') remove(in_folder(entry->d_name));
  closedir(entries);
}

/* Collective. A group's setup: rank 0 makes the folder. */
static inline int make_folder(void **state) {
  (void)state;
  const char *const tmp = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/lockstep-mpi-XXXXXX", tmp ? tmp : "/tmp");
  const bool is_made = rank != 0 || mkdtemp(folder);
  ls_comm_broadcast(comm, folder, sizeof folder);
  return ls_comm_agree(comm, is_made ? LS_OK : ls_fail(LS_ERR_OUTPUT, "no folder")) == LS_OK ? 0 : -1;
}

/* Collective. A group's teardown. */
static inline int remove_folder(void **state) {
  (void)state;
  if (rank == 0) empty_folder();
  const bool is_gone = rank != 0 || rmdir(folder) == 0;
  return ls_comm_agree(comm, is_gone ? LS_OK : ls_fail(LS_ERR_OUTPUT, "the folder stays")) == LS_OK ? 0
                                                                                                    : -1;
}

/* ---------------------------------------------------------------------- main */

/* Collective. Starts MPI. Only rank 0 prints the results of the tests. */
static inline void begin(int *argc, char ***argv) {
  if (ls_comm_create(argc, argv, &comm) != LS_OK) exit(LS_ERR_INTERNAL);
  rank = ls_comm_rank(comm);
  size = ls_comm_size(comm);
  if (rank != 0 && !freopen("/dev/null", "w", stdout)) exit(LS_ERR_INTERNAL);
  ls_log_enable(rank == 0);
}

/* Collective. Ends MPI; returns the exit code. */
static inline int finish(int n_failed) {
  ls_comm_destroy(&comm);
  return n_failed == 0 ? 0 : 1;
}

#endif
