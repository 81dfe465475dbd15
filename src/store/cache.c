/* A cache of parts of files in a folder of this machine, for files of a slow or shared file system.
 *
 * Each part is a file `XX/Y...`, named by the digest of its key: the file that it is from, with its state,
 * the array, and the place and length of the part. It begins with a head that repeats the key and has the
 * digest of the content. A new part gets a temporary name and is then renamed, so that readers never see it
 * incomplete; the digest finds what a crash or the disk has damaged.
 *
 * All processes that use the folder share the number of stored bytes, in a file that they map. A process
 * that is alone counts the files; each holds a shared lock of that file. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC     UINT64_C(0x314548434143534c) /* "LSCACHE1" */
#define MARK      ".tmp-"                      /* of ls_store_temporary */
#define N_FOLDERS 256

typedef struct head {
  uint64_t magic;
  store_part part;
  ls_digest digest; /* of the content */
} head;

struct ls_cache {
  char *folder; /* owned */
  uint64_t limit;
  int descriptor;           /* of the file with the number of bytes; holds its lock */
  _Atomic uint64_t *stored; /* mapped: bytes of all parts */
  atomic_bool is_full;
  atomic_uint_fast64_t n_found, n_added, n_damaged, n_failed;
};

/* ---------------------------------------------------------------- opening, counting */

/* Adds the sizes of the parts in a folder; removes incomplete ones, as no other process writes. */
static uint64_t count_folder(const char *folder) {
  uint64_t bytes = 0;
  DIR *const dir = opendir(folder);
  for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
    struct stat about;
    if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &about, AT_SYMLINK_NOFOLLOW))
      continue;
    if (!S_ISREG(about.st_mode)) continue;
    if (strstr(entry->d_name, MARK))
      (void)unlinkat(dirfd(dir), entry->d_name, 0);
    else
      bytes += (uint64_t)about.st_size;
  }
  if (dir) closedir(dir);
  return bytes;
}

/* Counts all parts. False if memory is short. */
static bool count_parts(const ls_cache *c) {
  uint64_t bytes = 0;
  for (int i = 0; i < N_FOLDERS; i++) {
    char *const folder = ls_format("%s/%02x", c->folder, i);
    if (!folder) return false;
    bytes += count_folder(folder);
    free(folder);
    ls_heartbeat();
  }
  atomic_store(c->stored, bytes);
  return true;
}

/* Opens and maps the file with the number of bytes. */
static ls_status open_count(ls_cache *c) {
  char *const path = ls_format("%s/bytes", c->folder);
  if (!path) return ls_fail_memory(c->folder, 0);
  c->descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  const bool is_alone = c->descriptor >= 0 && flock(c->descriptor, LOCK_EX | LOCK_NB) == 0;
  void *mapped = MAP_FAILED;
  if (c->descriptor >= 0 && ftruncate(c->descriptor, sizeof *c->stored) == 0)
    mapped = mmap(NULL, sizeof *c->stored, PROT_READ | PROT_WRITE, MAP_SHARED, c->descriptor, 0);
  ls_status status = mapped == MAP_FAILED ? store_system_fail(path) : LS_OK;
  free(path);
  if (status != LS_OK) return status;
  c->stored = mapped;
  if (is_alone && !count_parts(c)) return ls_fail_memory(c->folder, 0);
  (void)flock(c->descriptor, LOCK_SH); /* waits while another process counts */
  return LS_OK;
}

ls_status ls_cache_create(const char *folder, uint64_t bytes, ls_cache **out) {
  ls_cache *c = ls_calloc(1, sizeof *c);
  *out = NULL;
  if (!c) return ls_fail_memory(folder, sizeof *c);
  c->limit = bytes;
  c->descriptor = -1;
  c->folder = ls_strdup(folder);
  ls_status status = c->folder ? LS_OK : ls_fail_memory(folder, strlen(folder));
  if (status == LS_OK && mkdir(folder, 0777) && errno != EEXIST) status = store_system_fail(folder);
  if (status == LS_OK) status = open_count(c);
  if (status != LS_OK) ls_cache_destroy(&c);
  *out = c;
  return status;
}

void ls_cache_destroy(ls_cache **cache) {
  ls_cache *const c = *cache;
  *cache = NULL;
  if (!c) return;
  if (c->stored) munmap(c->stored, sizeof *c->stored);
  if (c->descriptor >= 0) close(c->descriptor);
  free(c->folder);
  free(c);
}

ls_cache_counts ls_cache_count(const ls_cache *c) {
  return (ls_cache_counts){.n_found = atomic_load(&c->n_found),
                           .n_added = atomic_load(&c->n_added),
                           .n_damaged = atomic_load(&c->n_damaged),
                           .n_failed = atomic_load(&c->n_failed),
                           .is_full = atomic_load(&c->is_full)};
}

/* --------------------------------------------------------------------------- parts */

/* The name of the file of a part; NULL if memory is short. The caller frees it. */
static char *part_path(const ls_cache *c, const store_part *part) {
  const ls_digest d = ls_digest_of(part, sizeof *part);
  return ls_format("%s/%02x/%014" PRIx64 "%016" PRIx64, c->folder, (unsigned)(d.high >> 56),
                   d.high & (UINT64_MAX >> 8), d.low);
}

/* Reads the content of an open part; false if it is damaged. */
static bool read_content(int descriptor, const store_part *part, void *to) {
  head found;
  return ls_store_pread(descriptor, 0, &found, sizeof found) == sizeof found && found.magic == MAGIC &&
         memcmp(&found.part, part, sizeof *part) == 0 &&
         ls_store_pread(descriptor, sizeof found, to, part->bytes) == (ssize_t)part->bytes &&
         ls_digest_equal(found.digest, ls_digest_of(to, part->bytes));
}

/* Removes a damaged part. */
static void discard_part(ls_cache *c, const char *path, int descriptor) {
  struct stat about;
  atomic_fetch_add(&c->n_damaged, 1);
  if (fstat(descriptor, &about) == 0 && unlink(path) == 0)
    atomic_fetch_sub(c->stored, (uint64_t)about.st_size);
}

bool store_cache_has(const ls_cache *c, const store_part *part) {
  char *const path = part_path(c, part);
  const bool has = path && access(path, F_OK) == 0;
  free(path);
  return has;
}

bool store_cache_find(ls_cache *c, const store_part *part, void *to) {
  char *const path = part_path(c, part);
  const int descriptor = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  const bool found = descriptor >= 0 && read_content(descriptor, part, to);
  if (descriptor >= 0 && !found) discard_part(c, path, descriptor);
  if (descriptor >= 0) close(descriptor);
  free(path);
  if (found) atomic_fetch_add(&c->n_found, 1);
  return found;
}

static bool write_all(int descriptor, const void *data, size_t bytes) {
  for (const char *at = data; bytes > 0;) {
    const ssize_t n = write(descriptor, at, bytes);
    if (n <= 0) return false;
    at += n;
    bytes -= (size_t)n;
  }
  return true;
}

/* Creates a file in a folder that may be absent; -1 with errno. */
static int create_file(const char *path) {
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  int descriptor = open(path, flags, 0666);
  if (descriptor >= 0 || errno != ENOENT) return descriptor;
  char *const folder = ls_format("%.*s", (int)(strrchr(path, '/') - path), path);
  if (folder && (mkdir(folder, 0777) == 0 || errno == EEXIST)) descriptor = open(path, flags, 0666);
  free(folder);
  return descriptor;
}

/* Writes a part under a temporary name and renames it. */
static bool write_part(const char *path, const char *temporary, const store_part *part,
                       const void *content) {
  const head h = {.magic = MAGIC, .part = *part, .digest = ls_digest_of(content, part->bytes)};
  const int descriptor = create_file(temporary);
  if (descriptor < 0) return false;
  bool ok = write_all(descriptor, &h, sizeof h) && write_all(descriptor, content, part->bytes);
  ok = close(descriptor) == 0 && ok;
  ok = ok && rename(temporary, path) == 0;
  if (!ok) unlink(temporary);
  return ok;
}

void store_cache_add(ls_cache *c, const store_part *part, const void *content) {
  const uint64_t bytes = sizeof(head) + part->bytes;
  if (atomic_load(&c->is_full)) return;
  if (atomic_fetch_add(c->stored, bytes) + bytes > c->limit) {
    atomic_fetch_sub(c->stored, bytes);
    atomic_store(&c->is_full, true);
    return;
  }
  char *const path = part_path(c, part);
  char *const temporary = path ? ls_store_temporary(path) : NULL;
  if (temporary && write_part(path, temporary, part, content)) {
    atomic_fetch_add(&c->n_added, 1);
  } else { /* as on a full disk */
    atomic_fetch_sub(c->stored, bytes);
    atomic_fetch_add(&c->n_failed, 1);
    atomic_store(&c->is_full, true);
  }
  free(temporary);
  free(path);
}
