/* Temporary files without a name: the system removes them when the program ends in any way. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int import_scratch_open(const char *path) {
  char *const named = ls_format("%s.scratch", path);
  char *const temporary = named ? ls_store_temporary(named) : NULL;
  free(named);
  errno = ENOMEM;
  if (!temporary) return -1;
  unlink(temporary); /* left by a killed process */
  int file = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  int error = errno;
  if (file >= 0 && unlink(temporary) != 0) {
    error = errno;
    close(file);
    unlink(temporary);
    file = -1;
  }
  free(temporary);
  errno = error;
  return file;
}

bool import_write_at(int file, uint64_t at, const void *from, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const size_t most = ls_size_min(bytes - done, LS_HEARTBEAT_BYTES);
    const ssize_t n = pwrite(file, (const char *)from + done, most, (off_t)(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += (size_t)n;
    ls_heartbeat();
  }
  return true;
}

bool import_read_at(int file, uint64_t at, void *to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const size_t most = ls_size_min(bytes - done, LS_HEARTBEAT_BYTES);
    const ssize_t n = pread(file, (char *)to + done, most, (off_t)(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO; /* the file is shorter than it was */
    if (n <= 0) return false;
    done += (size_t)n;
    ls_heartbeat();
  }
  return true;
}
