/* A source file as a stream of bytes, gzipped or not. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GZIP_BUFFER (256U << 10)
#define READ_MOST   (1U << 30) /* gzread returns an int */

/* Only a regular file can be read twice, never blocks, and has a size that bounds the sizes in headers. */
static ls_status check_regular(const char *path, int fd, uint64_t *bytes) {
  struct stat info;
  if (fstat(fd, &info) != 0) return ls_fail(LS_ERR_DATA, "%s: %s", path, strerror(errno));
  if (S_ISDIR(info.st_mode)) return ls_fail(LS_ERR_DATA, "%s: a folder; must be a file", path);
  if (!S_ISREG(info.st_mode))
    return ls_fail(LS_ERR_DATA, "%s: not a regular file; must be one, because it is read twice", path);
  *bytes = (uint64_t)info.st_size;
  return LS_OK;
}

ls_status import_source_open(source *in, const char *path) {
  *in = (source){.path = path};
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return ls_fail(LS_ERR_DATA, "%s: %s", path, strerror(errno));
  ls_status status = check_regular(path, fd, &in->bytes);
  if (status == LS_OK) in->gz = gzdopen(fd, "rb");
  if (status == LS_OK && !in->gz) status = ls_fail_memory("reading a file", GZIP_BUFFER);
  if (in->gz)
    gzbuffer(in->gz, GZIP_BUFFER);
  else
    close(fd);
  return status;
}

/* The status after a short read: LS_OK at the end of the file. */
static ls_status check_end(const source *in) {
  int code = Z_OK;
  const char *text = gzerror(in->gz, &code);
  if (code == Z_OK || code == Z_STREAM_END) return LS_OK;
  if (code == Z_ERRNO) return ls_fail(LS_ERR_DATA, "%s: cannot read: %s", in->path, strerror(errno));
  if (code == Z_MEM_ERROR) return ls_fail_memory("decompression", GZIP_BUFFER);
  if (code == Z_BUF_ERROR)
    return ls_fail(LS_ERR_DATA, "%s: the gzip stream is truncated; fetch the file again", in->path);
  const char *const colon = strstr(text, ": "); /* zlib's text begins with the file descriptor */
  return ls_fail(LS_ERR_DATA, "%s: the gzip stream is damaged (%s); fetch the file again", in->path,
                 colon ? colon + 2 : text);
}

ls_status import_source_read(source *in, void *buffer, size_t bytes, size_t *got) {
  *got = 0;
  while (*got < bytes) {
    const unsigned want = (unsigned)ls_size_min(bytes - *got, READ_MOST);
    errno = 0;
    ls_heartbeat();
    const int count = gzread(in->gz, (unsigned char *)buffer + *got, want);
    if (count > 0) *got += (size_t)count;
    if (count < (int)want) return check_end(in);
  }
  return LS_OK;
}

ls_status import_source_rewind(source *in) {
  gzclearerr(in->gz);
  if (gzrewind(in->gz) == 0) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: cannot read a second time: %s", in->path, strerror(errno));
}

uint64_t import_source_limit(source *in) {
  size_t limit = SIZE_MAX;
  if (gzdirect(in->gz)) return in->bytes;
  (void)ls_size_mul(in->bytes, IMPORT_DEFLATE_RATIO, &limit);
  return limit;
}

void import_source_close(source *in) {
  if (in->gz) gzclose_r(in->gz);
  *in = (source){0};
}
