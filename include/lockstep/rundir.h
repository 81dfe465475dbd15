/* rundir: the directory of a run (`output:`): its folders, its lock, its log, the rows of its CSV files.
 *
 * Only rank 0 uses it: no function is collective. */
#ifndef LOCKSTEP_RUNDIR_H
#define LOCKSTEP_RUNDIR_H

#include "lockstep/base.h"

/* Paths and open files of a run directory. All are owned. */
typedef struct ls_rundir {
  char *folder, *checkpoints, *config, *metrics, *diagnostics, *events, *model, *average, *best, *log,
      *lock;
  bool was_absent; /* the folder did not exist when a run to resume was looked for */
  bool is_new;     /* no earlier run left files here */
  size_t kept;     /* bytes of the folder's path that existed before this run */
  FILE *log_file;
  bool is_locked;
  int lock_descriptor;  /* valid while is_locked */
  char *lock_text;      /* content of the lock file */
  char *previous_owner; /* description of the dead run that held the lock before; NULL: none */
} ls_rundir;

/* Local. Builds the paths, without access to the file system. */
ls_status ls_rundir_create(ls_rundir *dir, const char *folder);

/* Local. Closes the log, releases the lock, and removes the folders that this run made, if they are empty.
 */
void ls_rundir_destroy(ls_rundir *dir);

/* ------------------------------------------------------------------------ the run */

/* Local. Checks a run directory before the data are read, without changing it. LS_ERR_OUTPUT if it cannot
 * be made or written, or if another run is using it. */
ls_status ls_rundir_check(const char *folder);

/* Local. Whether the folder holds a file of a run, or may hold one because the system cannot tell. */
bool ls_rundir_has_run(const ls_rundir *dir);

/* Local. Whether a path exists. */
bool ls_rundir_exists(const char *path);

/* Local. Locks the directory if it exists. LS_ERR_OUTPUT if another run is using it. Other failures to make
 * the lock are ignored: a finished run may be in a read-only directory, and ls_rundir_lock reports them. */
ls_status ls_rundir_lock_existing(ls_rundir *dir);

/* Who has locked a directory. */
typedef enum ls_lock_state {
  LS_LOCK_FREE,   /* nobody: there is no lock, or its owner is dead */
  LS_LOCK_HELD,   /* a run on this or another machine */
  LS_LOCK_UNKNOWN /* perhaps a run, whose state is unknown here */
} ls_lock_state;

/* Local. The state of the lock, and a description of its owner in `text` ("process 7 on host, since ...");
 * "": the lock does not name one. Changes nothing. */
ls_lock_state ls_rundir_lock_state(const ls_rundir *dir, char *text, size_t size);

/* Local. Makes the directory and locks it, unless it is locked already. LS_ERR_OUTPUT. */
ls_status ls_rundir_lock(ls_rundir *dir);

/* Local. LS_ERR_OUTPUT if this run has lost the lock, because it was removed or belongs to another run:
 * nothing may be written any more. While the directory is locked, the module store calls this function
 * before it gives a file its name or removes one. */
ls_status ls_rundir_check_lock(const ls_rundir *dir);

/* Local. Makes the folders, opens the log and writes config.yaml. */
ls_status ls_rundir_open(ls_rundir *dir, const char *config);

/* Local. Opens the log for the lines of ls_log, unless it is open. */
ls_status ls_rundir_open_log(ls_rundir *dir);

/* Local. Removes the files of a run, except the lock and config.yaml, which may be the config that this run
 * was started with; ls_rundir_open replaces it. */
ls_status ls_rundir_remove_run(const ls_rundir *dir);

/* Local. Removes temporary files that killed writers left, if this run owns the lock. */
void ls_rundir_remove_temporaries(const ls_rundir *dir);

/* Local. After a failure before the first step: removes all that a new run has made, if it still owns the
 * lock. Returns `status` and keeps its message. */
ls_status ls_rundir_abandon(const ls_rundir *dir, ls_status status);

/* ----------------------------------------------------------------------- CSV rows */

/* Local. Rewrites a CSV file with n column names, of which the first is "epoch", and the rows of the first
 * `epochs` epochs. Moves the values of columns that had another position; new columns are empty. */
#define LS_RUNDIR_COLUMNS_MAX 64 /* the maximum of n */
ls_status ls_rundir_reset_rows(const char *path, const char *const *names, size_t n, uint64_t epochs);

/* Local. The number of epochs, from the first on, of which metrics.csv has complete rows; 0 if it does not
 * exist. LS_ERR_OUTPUT. */
ls_status ls_rundir_count_rows(const char *path, uint64_t *rows);

/* Local. Opens a CSV file of the directory to append rows. LS_ERR_OUTPUT, also if the lock is lost. */
ls_status ls_rundir_begin_rows(const ls_rundir *dir, const char *path, FILE **out);

/* Local. Syncs the rows and closes the file. LS_ERR_OUTPUT if any write failed. */
ls_status ls_rundir_end_rows(const char *path, FILE *file);

/* ----------------------------------------------------------- events of TensorBoard */

/* Local. Removes the records after a step from the event file, and a last one that a kill has truncated.
 * Renames a file with a damaged record before others to events.damaged-N, with a warning. Creates the file
 * if it is absent. LS_ERR_OUTPUT, also if the lock is lost. */
ls_status ls_rundir_reset_events(const ls_rundir *dir, uint64_t step);

/* Local. Appends the record of a step, later than those before, and syncs the file. summary: a Summary of
 * TensorFlow. LS_ERR_OUTPUT, also if the lock is lost; LS_ERR_INTERNAL if memory is short. */
ls_status ls_rundir_append_event(const ls_rundir *dir, uint64_t step, const ls_protobuf *summary);

/* ------------------------------------------------------------------------- space */

/* Local. Bytes that can still be written to the file system of a path, which may not exist yet; UINT64_MAX
 * if unknown. */
uint64_t ls_rundir_free_bytes(const char *path);

/* Local. Bytes that removing a file, or the files of a folder, would free. */
uint64_t ls_rundir_bytes_of(const char *path);

#endif
