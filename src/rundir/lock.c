/* The file `lock` of a run directory, which allows one run at a time.
 *
 * It names its owner and has a kernel lock, which ends with the process. So on one machine the kernel knows
 * whether the owner is alive. Not every shared file system supports locks, nor does every one know the
 * owners on other machines. Then the owner is known to be dead only if Slurm has restarted the same job, or
 * if it ran under this kernel and its process does not exist. Otherwise only the owner, or the user,
 * removes the file. A run whose lock was removed or taken over must not change files any more. */
#include "internal.h"
#include "lockstep/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_NANOSECONDS 200000000 /* for another run that takes over the same lock at the same time */

enum { LOCK_TEXT_MAX = 1024, LOCK_TRIES = 20, LOCK_FLAGS = O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC };

typedef struct owner {
  char host[256], since[64];
  char boot[64];  /* identifies one start of one kernel, or "unknown" */
  char space[64]; /* the namespace of the process number; "": a lock that does not have it */
  long pid;
  unsigned long job, start; /* Slurm's job number and number of restarts; 0: none */
} owner;

static unsigned long read_variable(const char *variable) {
  const char *const text = getenv(variable);
  return text ? strtoul(text, NULL, 10) : 0;
}

static owner this_owner(void) {
  owner o = {.host = "unknown",
             .since = "unknown",
             .boot = "unknown",
             .space = "unknown",
             .pid = (long)getpid(),
             .job = read_variable("SLURM_JOB_ID"),
             .start = read_variable("SLURM_RESTART_COUNT")};
  const time_t now = time(NULL);
  struct tm local;
  gethostname(o.host, sizeof o.host - 1);
  if (localtime_r(&now, &local)) strftime(o.since, sizeof o.since, "%Y-%m-%d %H:%M:%S %z", &local);
  if (readlink("/proc/self/ns/pid", o.space, sizeof o.space - 1) < 0) strcpy(o.space, "unknown");
  FILE *const file = fopen("/proc/sys/kernel/random/boot_id", "r");
  if (!file) return o;
  if (fscanf(file, "%63s", o.boot) != 1) strcpy(o.boot, "unknown");
  fclose(file);
  return o;
}

static bool is_same_boot(const owner *me, const owner *other) {
  return strcmp(me->boot, "unknown") != 0 && strcmp(me->boot, other->boot) == 0;
}

static bool is_restarted_job(const owner *me, const owner *other) {
  return me->job != 0 && me->job == other->job && me->start > other->start;
}

/* Whether an owner whose lock the kernel grants to this process is dead: it ran under this kernel, or on
 * this machine before a reboot, or in this job before a restart. */
static bool is_dead(const owner *other) {
  const owner me = this_owner();
  return is_same_boot(&me, other) || is_restarted_job(&me, other) || strcmp(me.host, other->host) == 0;
}

/* Whether a process of this namespace exists and can run: a killed process whose parent does not wait for
 * it cannot. */
static bool process_exists(long pid) {
  char path[64];
  char state = '\0';
  if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) return false;
  snprintf(path, sizeof path, "/proc/%ld/stat", pid);
  FILE *const file = fopen(path, "r");
  if (!file) return true;
  const bool is_read = fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
  fclose(file);
  return !is_read || (state != 'Z' && state != 'X');
}

/* Whether an owner is dead as far as this is known without kernel locks. */
static bool is_surely_dead(const owner *other) {
  const owner me = this_owner();
  const bool is_same_space = other->space[0] == '\0' || strcmp(me.space, other->space) == 0;
  if (is_restarted_job(&me, other)) return true;
  return is_same_boot(&me, other) && is_same_space && other->pid > 0 && !process_exists(other->pid);
}

static bool write_owner(ls_rundir *dir, int descriptor) {
  const owner o = this_owner();
  char *const text = ls_format("host: %s\npid: %ld\nsince: %s\nboot: %s\njob: %lu %lu\nnamespace: %s\n",
                               o.host, o.pid, o.since, o.boot, o.job, o.start, o.space);
  const ssize_t n = text ? (ssize_t)strlen(text) : 0;
  free(dir->lock_text);
  dir->lock_text = text;
  return n > 0 && pwrite(descriptor, text, (size_t)n, 0) == n && ftruncate(descriptor, n) == 0 &&
         fsync(descriptor) == 0;
}

static bool read_owner(int descriptor, owner *o) {
  char text[LOCK_TEXT_MAX] = "";
  o->space[0] = '\0';
  if (pread(descriptor, text, sizeof text - 1, 0) <= 0) return false;
  return sscanf(text, "host: %255s pid: %ld since: %63[^\n] boot: %63s job: %lu %lu namespace: %63s",
                o->host, &o->pid, o->since, o->boot, &o->job, &o->start, o->space) >= 6;
}

static ls_status fail_unsure(const ls_rundir *dir, const owner *o) {
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: a run may be using this directory: process %ld on %s, since %s, whose state is unknown "
      "here; if it has ended, remove %s and run the same command again",
      dir->folder, o->pid, o->host, o->since, dir->lock);
}

/* Whether the kernel grants the lock (F_OFD_SETLK) or would grant it (F_OFD_GETLK). False if another
 * process has it (errno is EAGAIN), or if the file system has no locks. */
static bool kernel_lock(int descriptor, int command) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  const bool is_done = fcntl(descriptor, command, &whole) == 0;
  const bool is_busy = is_done && command == F_OFD_GETLK && whole.l_type != F_UNLCK;
  if (is_busy || (!is_done && errno == EACCES)) errno = EAGAIN; /* POSIX allows both */
  return is_done && !is_busy;
}

/* Whether an error of fcntl means that the file system has no locks. */
static bool is_unsupported(int error) {
  return error == ENOSYS || error == ENOLCK || error == EOPNOTSUPP || error == EINVAL;
}

/* LS_OK if the owner of a lock is certainly dead. o: the owner. *has_locks: the kernel has decided. */
static ls_status check_owner(const ls_rundir *dir, int descriptor, int command, owner *o, bool *has_locks) {
  if (!read_owner(descriptor, o))
    return ls_fail(
        LS_ERR_OUTPUT,
        "%s: does not name its owner; if no run is using this directory, remove it and run the same "
        "command again",
        dir->lock);
  *has_locks = kernel_lock(descriptor, command);
  if (*has_locks) return is_dead(o) ? LS_OK : fail_unsure(dir, o);
  if (errno != EAGAIN) return is_unsupported(errno) && is_surely_dead(o) ? LS_OK : fail_unsure(dir, o);
  (void)read_owner(descriptor, o); /* another run may have taken over the lock */
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: another run is using this directory: process %ld on %s, since %s; wait until it ends, "
      "stop it, or choose another output",
      dir->folder, o->pid, o->host, o->since);
}

/* Whether the descriptor is of the file that has this path now. */
static bool is_file_of(int descriptor, const char *path) {
  struct stat a;
  struct stat b;
  return fstat(descriptor, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

ls_status rundir_check_free(const ls_rundir *dir) {
  owner o = {0};
  bool has_locks = false;
  const int descriptor = open(dir->lock, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return LS_OK; /* no lock, or an error that taking it reports */
  const ls_status status = check_owner(dir, descriptor, F_OFD_GETLK, &o, &has_locks);
  close(descriptor);
  return status;
}

ls_lock_state ls_rundir_lock_state(const ls_rundir *dir, char *text, size_t size) {
  owner o = {0};
  text[0] = '\0';
  const int descriptor = open(dir->lock, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return errno == ENOENT || errno == ENOTDIR ? LS_LOCK_FREE : LS_LOCK_UNKNOWN;
  const bool is_known = read_owner(descriptor, &o);
  const bool is_granted = kernel_lock(descriptor, F_OFD_GETLK);
  const int error = errno;
  close(descriptor);
  if (is_known) snprintf(text, size, "process %ld on %s, since %s", o.pid, o.host, o.since);
  if (!is_granted && error == EAGAIN) return LS_LOCK_HELD;
  const bool has_ended =
      is_known && (is_granted ? is_dead(&o) : is_unsupported(error) && is_surely_dead(&o));
  return has_ended ? LS_LOCK_FREE : LS_LOCK_UNKNOWN;
}

/* The file gets its name only when it has its content, so that a run that dies meanwhile leaves no lock
 * without an owner. Without hard links, two runs may do so at once: one of them then finds that its lock
 * belongs to the other (ls_rundir_check_lock). */
static bool give_name(const char *temporary, const char *lock) {
  if (link(temporary, lock) == 0) return true;
  return errno != EEXIST && rename(temporary, lock) == 0;
}

/* Makes the lock. *is_gone: another run was faster, or removed the file meanwhile. */
static ls_status make_lock(ls_rundir *dir, int *descriptor, bool *is_gone) {
  char *const temporary = ls_store_temporary(dir->lock);
  if (!temporary) return ls_fail_memory("a path", strlen(dir->lock));
  unlink(temporary); /* of a process that died */
  *descriptor = open(temporary, LOCK_FLAGS | O_CREAT | O_EXCL, 0666);
  bool is_made = false;
  if (*descriptor >= 0) {
    (void)kernel_lock(*descriptor, F_OFD_SETLK); /* without locks, the file alone must do */
    const bool is_written = write_owner(dir, *descriptor);
    const bool is_named = is_written && give_name(temporary, dir->lock);
    const bool is_taken = !is_named && (errno == EEXIST || errno == ENOENT);
    /* Without hard links, another run may have renamed its file to this name meanwhile. */
    is_made = is_named && is_file_of(*descriptor, dir->lock);
    *is_gone = is_written && !is_made && (is_named || is_taken) && ls_rundir_exists(dir->folder);
  }
  if (!is_made) (void)rundir_fail_path(dir->lock);
  unlink(temporary);
  free(temporary);
  return is_made ? LS_OK : LS_ERR_OUTPUT;
}

/* Whether the lock names this run as its owner. Opens the file, as a network file system may keep an old
 * content for an open descriptor. If the file cannot be read for a reason other than its absence, the open
 * descriptor must do. */
static bool is_ours(const ls_rundir *dir, int descriptor) {
  char text[LOCK_TEXT_MAX] = "";
  struct stat info;
  const int opened = open(dir->lock, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  const bool is_absent = opened < 0 && (errno == ENOENT || errno == ENOTDIR);
  ssize_t n = opened >= 0 ? pread(opened, text, sizeof text - 1, 0) : -1;
  if (opened >= 0) close(opened);
  if (n < 0 && !is_absent && fstat(descriptor, &info) == 0 && info.st_nlink > 0)
    n = pread(descriptor, text, sizeof text - 1, 0);
  return n > 0 && strcmp(text, dir->lock_text) == 0;
}

/* Takes an existing lock over. *is_gone: its owner has removed it meanwhile, or another run was faster. */
static ls_status take_over(ls_rundir *dir, int descriptor, bool *is_gone) {
  const struct timespec pause = {.tv_nsec = SETTLE_NANOSECONDS};
  owner o = {0};
  bool has_locks = false;
  const ls_status status = check_owner(dir, descriptor, F_OFD_SETLK, &o, &has_locks);
  *is_gone = !is_file_of(descriptor, dir->lock);
  if (status != LS_OK || *is_gone) return status;
  if (!write_owner(dir, descriptor)) return rundir_fail_path(dir->lock);
  if (!has_locks) nanosleep(&pause, NULL);
  *is_gone = !is_ours(dir, descriptor);
  if (*is_gone) return LS_OK;
  free(dir->previous_owner);
  dir->previous_owner = ls_format("process %ld on %s, since %s", o.pid, o.host, o.since);
  return dir->previous_owner ? LS_OK : ls_fail_memory("the owner of the lock", sizeof o);
}

static ls_status try_to_take(ls_rundir *dir, int *descriptor, bool *is_gone) {
  *is_gone = false;
  *descriptor = open(dir->lock, LOCK_FLAGS);
  if (*descriptor >= 0) return take_over(dir, *descriptor, is_gone);
  return errno == ENOENT ? make_lock(dir, descriptor, is_gone) : rundir_fail_path(dir->lock);
}

ls_status ls_rundir_check_lock(const ls_rundir *dir) {
  if (!dir->is_locked || is_ours(dir, dir->lock_descriptor)) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT,
                 "%s: this run has lost the lock, which was removed or taken over by another run; this run "
                 "ends and changes no more files",
                 dir->lock);
}

static ls_status check_guard(const void *dir) {
  return ls_rundir_check_lock(dir);
}

/* From now on, files change only while this run has the lock. */
static void begin_guard(ls_rundir *dir, int descriptor) {
  dir->lock_descriptor = descriptor;
  ls_store_set_guard(check_guard, dir);
}

ls_status rundir_take_lock(ls_rundir *dir) {
  ls_status status = LS_OK;
  bool is_gone = true;
  for (int i = 0; is_gone && i < LOCK_TRIES && !dir->is_locked; i++) {
    int descriptor = -1;
    status = try_to_take(dir, &descriptor, &is_gone);
    dir->is_locked = status == LS_OK && !is_gone;
    if (dir->is_locked) begin_guard(dir, descriptor);
    if (!dir->is_locked && descriptor >= 0) close(descriptor);
  }
  if (status == LS_OK && !dir->is_locked)
    status = ls_fail(LS_ERR_OUTPUT,
                     "%s: cannot lock the directory after %d attempts; another run is using it; choose "
                     "another output",
                     dir->folder, (int)LOCK_TRIES);
  return status;
}

void rundir_unlock(ls_rundir *dir) {
  if (!dir->is_locked) return;
  ls_store_set_guard(NULL, NULL);
  if (is_ours(dir, dir->lock_descriptor)) unlink(dir->lock);
  close(dir->lock_descriptor);
  dir->is_locked = false;
}
