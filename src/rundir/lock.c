/* The file `lock` of a run directory: one run at a time writes there.
 *
 * It names its owner and is locked by the kernel through its open description, which ends with the process
 * however that dies. So on one machine the kernel tells whether the owner lives. Between machines it may
 * not, as not every shared file system carries locks: there the owner is known to be dead where Slurm has
 * started the same job again; else only the owner removes the file, or a person. */
#include "internal.h"
#include "lockstep/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TEXT_MAX = 1024, LOCK_TRIES = 20, LOCK_FLAGS = O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC };

typedef struct owner {
  char host[256], since[64];
  char boot[64]; /* names one start of one kernel; "unknown": it has no name */
  long pid;
  unsigned long job, start; /* Slurm's: the job, and how often it was started again; 0: none */
} owner;

static unsigned long number_of(const char *variable) {
  const char *const text = getenv(variable);
  return text ? strtoul(text, NULL, 10) : 0;
}

static owner this_owner(void) {
  owner o = {.host = "unknown",
             .since = "unknown",
             .boot = "unknown",
             .pid = (long)getpid(),
             .job = number_of("SLURM_JOB_ID"),
             .start = number_of("SLURM_RESTART_COUNT")};
  const time_t now = time(NULL);
  struct tm local;
  gethostname(o.host, sizeof o.host - 1);
  if (localtime_r(&now, &local)) strftime(o.since, sizeof o.since, "%Y-%m-%d %H:%M:%S %z", &local);
  FILE *const file = fopen("/proc/sys/kernel/random/boot_id", "r");
  if (!file) return o;
  if (fscanf(file, "%63s", o.boot) != 1) strcpy(o.boot, "unknown");
  fclose(file);
  return o;
}

/* Whether an owner whose lock the kernel would give us is dead: it ran under this kernel, or on this
 * machine before that was started anew, or in this job before that was. */
static bool is_dead(const owner *other) {
  const owner me = this_owner();
  const bool same_boot = strcmp(me.boot, "unknown") != 0 && strcmp(me.boot, other->boot) == 0;
  const bool same_job = me.job != 0 && me.job == other->job && me.start > other->start;
  return same_boot || same_job || strcmp(me.host, other->host) == 0;
}

static bool write_owner(ls_rundir *dir, int descriptor) {
  const owner o = this_owner();
  char *const text = ls_format("host: %s\npid: %ld\nsince: %s\nboot: %s\njob: %lu %lu\n", o.host, o.pid,
                               o.since, o.boot, o.job, o.start);
  const ssize_t n = text ? (ssize_t)strlen(text) : 0;
  free(dir->lock_text);
  dir->lock_text = text;
  return n > 0 && pwrite(descriptor, text, (size_t)n, 0) == n && ftruncate(descriptor, n) == 0 &&
         fsync(descriptor) == 0;
}

static bool read_owner(int descriptor, owner *o) {
  char text[LOCK_TEXT_MAX] = "";
  if (pread(descriptor, text, sizeof text - 1, 0) <= 0) return false;
  return sscanf(text, "host: %255s pid: %ld since: %63[^\n] boot: %63s job: %lu %lu", o->host, &o->pid,
                o->since, o->boot, &o->job, &o->start) == 6;
}

static ls_status fail_busy(const ls_rundir *dir, const owner *o) {
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: another run is at work in this directory: process %ld on %s, since %s. Wait for its end "
      "or stop it, or give another output",
      dir->folder, o->pid, o->host, o->since);
}

static ls_status fail_unsure(const ls_rundir *dir, const owner *o) {
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: there may be a run at work in this directory: process %ld on %s, since %s, which can't be "
      "told from here. If it has ended, remove %s and run the same command again",
      dir->folder, o->pid, o->host, o->since, dir->lock);
}

static ls_status fail_unknown(const ls_rundir *dir) {
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: does not say whose it is. If no run is at work in this directory, remove it and run the "
      "same command again",
      dir->lock);
}

/* Whether the kernel lets us have the lock (F_OFD_SETLK, which takes it) or would (F_OFD_GETLK). False
 * where another has it (errno is EAGAIN), or there are no locks on this file system. */
static bool kernel_lock(int descriptor, int command) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(descriptor, command, &whole) != 0) {
    if (errno == EACCES) errno = EAGAIN; /* POSIX allows both */
    return false;
  }
  if (command == F_OFD_GETLK && whole.l_type != F_UNLCK) {
    errno = EAGAIN;
    return false;
  }
  return true;
}

/* LS_OK where the owner of a lock is dead for sure; o: who it was. */
static ls_status judge(const ls_rundir *dir, int descriptor, int command, owner *o) {
  if (!read_owner(descriptor, o)) return fail_unknown(dir);
  if (kernel_lock(descriptor, command)) return is_dead(o) ? LS_OK : fail_unsure(dir, o);
  if (errno != EAGAIN) return fail_unsure(dir, o);
  (void)read_owner(descriptor, o); /* who has just taken it over from whom we read of */
  return fail_busy(dir, o);
}

static bool is_file_of(int descriptor, const char *path) {
  struct stat a;
  struct stat b;
  return fstat(descriptor, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

ls_status rundir_check_free(const ls_rundir *dir) {
  owner o;
  const int descriptor = open(dir->lock, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return LS_OK; /* there is none, or what is wrong is told where it is taken */
  const ls_status status = judge(dir, descriptor, F_OFD_GETLK, &o);
  close(descriptor);
  return status;
}

/* The file gets its name only once it tells whose it is, so that a run that dies meanwhile leaves none that
 * can't be judged. Where there are no hard links two runs may do so at once: one of them then finds that
 * its lock is another's (ls_rundir_check_lock). */
static bool give_name(const char *temporary, const char *lock) {
  if (link(temporary, lock) == 0) return true;
  return errno != EEXIST && rename(temporary, lock) == 0;
}

/* A new file, ours at once. *is_gone: another run was quicker, or tidied up while we were at it. */
static ls_status make_lock(ls_rundir *dir, int *descriptor, bool *is_gone) {
  char *const temporary = ls_store_temporary(dir->lock);
  if (!temporary) return ls_fail_memory("a path", strlen(dir->lock));
  unlink(temporary); /* left from a process that died */
  *descriptor = open(temporary, LOCK_FLAGS | O_CREAT | O_EXCL, 0666);
  bool is_made = false;
  if (*descriptor >= 0) {
    (void)kernel_lock(*descriptor, F_OFD_SETLK); /* without locks the file alone has to do */
    const bool is_written = write_owner(dir, *descriptor);
    const bool is_named = is_written && give_name(temporary, dir->lock);
    const bool is_taken = !is_named && (errno == EEXIST || errno == ENOENT);
    is_made = is_named && is_file_of(*descriptor, dir->lock); /* not that of the same number elsewhere */
    *is_gone = is_written && !is_made && (is_named || is_taken) && rundir_exists(dir->folder);
  }
  if (!is_made) (void)rundir_fail_path(dir->lock);
  unlink(temporary);
  free(temporary);
  return is_made ? LS_OK : LS_ERR_OUTPUT;
}

/* A file that is there. *is_gone: its owner has removed it meanwhile. */
static ls_status take_over(ls_rundir *dir, int descriptor, bool *is_gone) {
  owner o;
  const ls_status status = judge(dir, descriptor, F_OFD_SETLK, &o);
  *is_gone = !is_file_of(descriptor, dir->lock);
  if (status != LS_OK || *is_gone) return status;
  if (!write_owner(dir, descriptor)) return rundir_fail_path(dir->lock);
  free(dir->previous_owner);
  dir->previous_owner = ls_format("process %ld on %s, since %s", o.pid, o.host, o.since);
  return dir->previous_owner ? LS_OK : ls_fail_memory("the lock's owner", sizeof o);
}

static ls_status try_to_take(ls_rundir *dir, int *descriptor, bool *is_gone) {
  *is_gone = false;
  *descriptor = open(dir->lock, LOCK_FLAGS);
  if (*descriptor >= 0) return take_over(dir, *descriptor, is_gone);
  return errno == ENOENT ? make_lock(dir, descriptor, is_gone) : rundir_fail_path(dir->lock);
}

ls_status rundir_take_lock(ls_rundir *dir) {
  ls_status status = LS_OK;
  bool is_gone = true;
  for (int i = 0; is_gone && i < LOCK_TRIES && !dir->is_locked; i++) {
    int descriptor = -1;
    status = try_to_take(dir, &descriptor, &is_gone);
    dir->is_locked = status == LS_OK && !is_gone;
    if (dir->is_locked) dir->lock_descriptor = descriptor;
    if (!dir->is_locked && descriptor >= 0) close(descriptor);
  }
  if (status == LS_OK && !dir->is_locked)
    status = ls_fail(LS_ERR_OUTPUT, "%s: other runs come and go in this directory", dir->folder);
  return status;
}

/* Whether the file that is there now is the one that this run locked, with its name in it. */
static bool is_ours(const ls_rundir *dir) {
  char text[LOCK_TEXT_MAX] = "";
  return is_file_of(dir->lock_descriptor, dir->lock) &&
         pread(dir->lock_descriptor, text, sizeof text - 1, 0) > 0 && strcmp(text, dir->lock_text) == 0;
}

ls_status ls_rundir_check_lock(const ls_rundir *dir) {
  if (!dir->is_locked || is_ours(dir) || !rundir_exists(dir->lock)) return LS_OK;
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: is another run's now, as this one's was removed or taken over while it was at work; this "
      "one ends here, with nothing more written",
      dir->lock);
}

void rundir_unlock(ls_rundir *dir) {
  if (!dir->is_locked) return;
  if (is_ours(dir)) unlink(dir->lock);
  close(dir->lock_descriptor);
  dir->is_locked = false;
}
