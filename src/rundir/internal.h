/* Functions shared by the files of rundir. */
#ifndef LOCKSTEP_RUNDIR_INTERNAL_H
#define LOCKSTEP_RUNDIR_INTERNAL_H

#include "lockstep/rundir.h"

/* ------------------------------------------------------------------------ folders */

/* Local. LS_ERR_OUTPUT with the path and the text of errno. */
ls_status rundir_fail_path(const char *path);

/* Local. Makes a folder and those above it; syncs each new folder into the one above it. */
ls_status rundir_make_folder(const char *path);

/* Local. The length in bytes of the part of a path that exists. */
size_t rundir_existing_part(const char *path);

/* Local. Removes a folder and those above it as long as they are empty, down to `kept` bytes of the path.
 */
void rundir_remove_empty(const char *path, size_t kept);

/* Local. LS_ERR_OUTPUT if a folder cannot be made at a path, or not be written. */
ls_status rundir_check_folder(const char *path);

/* ----------------------------------------------------------------------- the lock */

/* Local. LS_ERR_OUTPUT if another run uses, or may use, the directory. */
ls_status rundir_check_free(const ls_rundir *dir);

/* Local. Locks an existing directory until rundir_unlock, unless this run has locked it already. Takes over
 * the lock of a dead run. LS_ERR_OUTPUT if another run uses, or may use, the directory, or the lock cannot
 * be made. */
ls_status rundir_take_lock(ls_rundir *dir);

/* Local. Removes the lock, if this run owns it. */
void rundir_unlock(ls_rundir *dir);

#endif
