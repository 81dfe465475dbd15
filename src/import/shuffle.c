/* SHUFFLING ON DISK. Row i goes to position p(i) of a keyed permutation of all rows. The first pass divides
 * the positions into buckets of consecutive ones and moves each row to its bucket; the second pass reads
 * one bucket at a time into memory and puts its rows in order. All buckets are regions of one file without
 * a name, which the system removes when the program ends in any way. The order depends on the key and the
 * number of rows alone, not on the sizes of buckets. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

typedef uint32_t place; /* of a row in its bucket */

struct shuffle {
  const char *path; /* borrowed; for messages and the place of the file */
  int file;         /* -1: one bucket, which is in `rows` */
  ls_permutation order;
  uint64_t n, n_added, n_read;
  size_t sizes[N_ARRAYS];
  size_t record;        /* bytes: a place, and the row of each array */
  uint64_t bucket_rows; /* positions of a bucket */
  size_t n_buckets;
  size_t buffer_rows;  /* first pass: of a bucket in memory, at least 1 */
  bool is_direct;      /* buckets are so many that one buffer serves all */
  unsigned char *rows; /* owned: (n_buckets, buffer_rows) records; second pass: the records of a bucket */
  uint32_t *buffered;  /* owned: (n_buckets), rows in the buffers */
  uint64_t *stored;    /* owned: (n_buckets), rows in the file */
  /* The second pass. */
  size_t bucket;    /* the next one */
  uint32_t *orders; /* owned: (bucket_rows), the record with each place + 1; 0: none */
  uint64_t at;      /* the next place of the bucket in memory */
  bool is_reading;
};

/* ------------------------------------------------------------------------ the file */

static ls_status fail_system(const shuffle *s, const char *what) {
  return ls_fail(LS_ERR_OUTPUT, "%s: the temporary file of the shuffle, in the same folder, %s: %s",
                 s->path, what, strerror(errno));
}

/* The file is needed beside two buckets of the output; read buckets are removed from it. */
static ls_status check_space(const shuffle *s, uint64_t bytes) {
  struct statvfs about;
  const double gb = 1e9;
  if (fstatvfs(s->file, &about) != 0) return fail_system(s, "has no known disk");
  const uint64_t need = bytes + 2 * s->bucket_rows * s->record;
  const uint64_t have = (uint64_t)about.f_bavail * about.f_frsize;
  if (have >= need) return LS_OK;
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: shuffling needs %.3g GB of free space in the folder of the output, where %.3g GB are free; free "
      "some space, or choose another output",
      s->path, (double)need / gb, (double)have / gb);
}

static ls_status open_file(shuffle *s) {
  const uint64_t bytes = s->n * s->record;
  s->file = import_scratch_open(s->path);
  if (s->file < 0) return fail_system(s, "cannot be created");
  LS_TRY(check_space(s, bytes));
  if (fallocate(s->file, 0, 0, (off_t)bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return LS_OK;
  return fail_system(s, "cannot be created");
}

/* Writes the buffer of a bucket to the file. */
static ls_status flush_bucket(shuffle *s, size_t bucket) {
  const unsigned char *const from = s->rows + (s->is_direct ? 0 : bucket) * s->buffer_rows * s->record;
  const uint64_t to = (bucket * s->bucket_rows + s->stored[bucket]) * s->record;
  if (!import_write_at(s->file, to, from, s->buffered[bucket] * s->record))
    return fail_system(s, "cannot be written");
  s->stored[bucket] += s->buffered[bucket];
  s->buffered[bucket] = 0;
  return LS_OK;
}

/* Reads the records of a bucket, and frees their space on the disk. */
static ls_status load_bucket(shuffle *s, size_t bucket) {
  const uint64_t start = bucket * s->bucket_rows * s->record;
  const size_t bytes = s->stored[bucket] * s->record;
  if (!import_read_at(s->file, start, s->rows, bytes)) return fail_system(s, "cannot be read");
  if (bytes > 0)
    (void)fallocate(s->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)bytes);
  return LS_OK;
}

/* -------------------------------------------------------------------------- creation */

/* Divides the positions into buckets, each of which fits in `bytes` with its order, as do the buffers of
 * all. */
static void divide(shuffle *s, size_t bytes) {
  const size_t per_row = s->record + sizeof *s->orders;
  s->bucket_rows = ls_size_min(ls_size_max(1, bytes / per_row), ls_size_min(s->n, UINT32_MAX - 1));
  s->n_buckets = (size_t)((s->n - 1) / s->bucket_rows + 1);
  s->buffer_rows = ls_size_min(bytes / s->n_buckets / s->record, s->bucket_rows);
  if (s->n_buckets == 1) s->buffer_rows = s->n;
  s->is_direct = s->buffer_rows == 0;
  if (s->is_direct) s->buffer_rows = 1;
}

static ls_status allocate(shuffle *s) {
  const size_t rows = (s->is_direct ? 1 : s->n_buckets) * s->buffer_rows;
  s->rows = ls_calloc(rows, s->record);
  s->buffered = ls_calloc(s->n_buckets, sizeof *s->buffered);
  s->stored = ls_calloc(s->n_buckets, sizeof *s->stored);
  if (s->rows && s->buffered && s->stored) return LS_OK;
  return ls_fail_memory("shuffling", rows * s->record);
}

ls_status import_shuffle_create(const char *path, uint64_t n, const size_t sizes[N_ARRAYS], ls_rng rng,
                                size_t bytes, shuffle **out) {
  shuffle *s = ls_calloc(1, sizeof *s);
  if (!s) return ls_fail_memory("shuffling", sizeof *s);
  LS_ASSERT(n > 0 && n >> 40 == 0);
  *s = (shuffle){
      .path = path, .file = -1, .n = n, .record = sizeof(place), .order = ls_permutation_make(rng, n)};
  for (size_t k = 0; k < N_ARRAYS; k++) {
    s->sizes[k] = sizes[k];
    s->record += sizes[k];
  }
  divide(s, bytes);
  size_t total = 0;
  ls_status status = ls_size_mul(n, s->record, &total) && total < SIZE_MAX / 4
                         ? allocate(s)
                         : ls_fail(LS_ERR_DATA, "%s: the dataset is too large for this machine", path);
  if (status == LS_OK && s->n_buckets > 1) status = open_file(s);
  if (status != LS_OK) import_shuffle_destroy(&s);
  *out = s;
  return status;
}

void import_shuffle_destroy(shuffle **s) {
  if (!*s) return;
  if ((*s)->file >= 0) close((*s)->file);
  free((*s)->rows);
  free((*s)->buffered);
  free((*s)->stored);
  free((*s)->orders);
  free(*s);
  *s = NULL;
}

/* -------------------------------------------------------------------- the first pass */

static ls_status add_row(shuffle *s, size_t i, unsigned char *const rows[N_ARRAYS]) {
  const uint64_t position = ls_permutation_at(&s->order, s->n_added++);
  const size_t bucket = (size_t)(position / s->bucket_rows);
  const place in_bucket = (place)(position % s->bucket_rows);
  if (s->buffered[bucket] == s->buffer_rows) LS_TRY(flush_bucket(s, bucket));
  const size_t at = (s->is_direct ? 0 : bucket) * s->buffer_rows + s->buffered[bucket]++;
  unsigned char *to = s->rows + at * s->record;
  memcpy(to, &in_bucket, sizeof in_bucket);
  to += sizeof in_bucket;
  for (size_t k = 0; k < N_ARRAYS; to += s->sizes[k++])
    if (s->sizes[k] > 0) memcpy(to, rows[k] + i * s->sizes[k], s->sizes[k]);
  return s->is_direct ? flush_bucket(s, bucket) : LS_OK;
}

ls_status import_shuffle_add(shuffle *s, size_t count, unsigned char *const rows[N_ARRAYS]) {
  LS_ASSERT(!s->is_reading && count <= s->n - s->n_added);
  for (size_t i = 0; i < count; i++) LS_TRY(add_row(s, i, rows));
  return LS_OK;
}

/* ------------------------------------------------------------------- the second pass */

/* Replaces the buffers by the memory for one bucket. A single bucket is complete in its buffer. */
static ls_status begin_reading(shuffle *s) {
  s->is_reading = true;
  for (size_t i = 0; s->n_buckets > 1 && i < s->n_buckets; i++) LS_TRY(flush_bucket(s, i));
  if (s->n_buckets > 1) {
    free(s->rows);
    s->rows = malloc(s->bucket_rows * s->record);
  }
  s->orders = ls_calloc(s->bucket_rows, sizeof *s->orders);
  s->at = s->bucket_rows;
  if (s->rows && s->orders) return LS_OK;
  return ls_fail_memory("shuffling", s->bucket_rows * s->record);
}

/* Loads the next bucket and finds the record of each place. */
static ls_status next_bucket(shuffle *s) {
  const bool is_single = s->n_buckets == 1;
  const size_t bucket = s->bucket++;
  const uint64_t rows = is_single ? s->buffered[bucket] : s->stored[bucket];
  if (!is_single) LS_TRY(load_bucket(s, bucket));
  memset(s->orders, 0, s->bucket_rows * sizeof *s->orders);
  for (uint64_t i = 0; i < rows; i++) {
    place p = 0;
    memcpy(&p, s->rows + i * s->record, sizeof p);
    if (p >= s->bucket_rows || s->orders[p] != 0)
      return ls_fail(LS_ERR_OUTPUT,
                     "%s: the temporary file of the shuffle, in the same folder, was damaged; try again",
                     s->path);
    s->orders[p] = (uint32_t)(i + 1);
  }
  s->at = 0;
  return LS_OK;
}

ls_status import_shuffle_read(shuffle *s, size_t most, unsigned char *const rows[N_ARRAYS], size_t *got) {
  *got = 0;
  if (!s->is_reading) LS_TRY(begin_reading(s));
  while (*got < most) {
    if (s->at == s->bucket_rows && s->bucket == s->n_buckets) break;
    if (s->at == s->bucket_rows) LS_TRY(next_bucket(s));
    const uint32_t order = s->orders[s->at++];
    if (order == 0) continue;
    const unsigned char *from = s->rows + (order - 1) * s->record + sizeof(place);
    for (size_t k = 0; k < N_ARRAYS; from += s->sizes[k++])
      if (s->sizes[k] > 0) memcpy(rows[k] + *got * s->sizes[k], from, s->sizes[k]);
    (*got)++;
  }
  s->n_read += *got;
  import_progress("shuffling", s->n_read, s->n_added, "rows");
  LS_ASSERT(*got == most || s->n_read == s->n_added);
  return LS_OK;
}
