/* Measures the reading of an HDF5 dataset by ls_store_read_rows beside H5Dread and pread.
 *
 * Usage: bench_read FOLDER [warm|gzip|cold]. Writes two files of float32 samples of 2 KB in chunks of 1 MiB
 * to FOLDER, unless they are there: bench-read-raw.h5, 819 MB without filters, and bench-read-gzip.h5, 102
 * MB with shuffle and gzip level 4. All reading goes into one buffer of a block. Prints medians of rounds
 * in which all readers take turns:
 *   warm  blocks in permuted order, in the page cache, beside a sequential H5Dread
 *   gzip  the same, and by two processes, each of which reads every second block
 *   cold  blocks in permuted order, dropped from the page cache before each round, beside pread of the same
 *         blocks with the best read-ahead */
#include "lockstep/store.h"

#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define FEATURES    ((size_t)512)
#define ROW_BYTES   (FEATURES * sizeof(float))
#define CHUNK       ((size_t)512) /* rows: 1 MiB */
#define ROUNDS      5
#define AHEAD_BYTES ((size_t)16 << 20) /* as the readers of streamed data */
#define N_DEPTHS    6

typedef struct file {
  char path[512];
  size_t rows;
  size_t block; /* rows */
  bool is_gzip;
  size_t passes; /* how often it is read in a round */
} file;

typedef struct source {
  const file *f;
  int fd;
  hid_t h5, x;
  uint64_t address; /* of the first chunk; the others follow */
  ls_store *store;
} source;

static float *block_buffer;

static _Noreturn void die(const char *what) {
  fprintf(stderr, "bench_read: %s: %s\n", what, ls_message());
  exit(1);
}

static double wall(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* -------------------------------------------------------------------- the files */

/* Normally distributed values of 12 bits of mantissa, as sensors give them. */
static void make_rows(float *x, size_t n) {
  static uint64_t state = 1;
  for (size_t i = 0; i < n; i++) {
    float sum = 0.0F;
    for (int k = 0; k < 4; k++) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      sum += (float)(state >> 40) * 0x1p-24F - 0.5F;
    }
    x[i] = rintf(sum * 4096.0F) / 4096.0F;
  }
}

static void write_file(const file *f) {
  const hsize_t dims[2] = {f->rows, FEATURES};
  const hsize_t chunk[2] = {CHUNK, FEATURES};
  const hid_t h5 = H5Fcreate(f->path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(2, dims, NULL);
  const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(plist, 2, chunk);
  if (f->is_gzip) H5Pset_shuffle(plist);
  if (f->is_gzip) H5Pset_deflate(plist, 4);
  const hid_t x = H5Dcreate2(h5, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  for (hsize_t row = 0; row < f->rows; row += CHUNK) {
    const hsize_t start[2] = {row, 0};
    const hsize_t count[2] = {f->rows - row < CHUNK ? f->rows - row : CHUNK, FEATURES};
    const hid_t memory = H5Screate_simple(2, count, NULL);
    make_rows(block_buffer, count[0] * FEATURES);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    if (H5Dwrite(x, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, block_buffer) < 0) die(f->path);
    H5Sclose(memory);
  }
  H5Pclose(plist);
  H5Sclose(space);
  H5Dclose(x);
  if (H5Fclose(h5) < 0) die(f->path);
  const int fd = open(f->path, O_RDONLY);
  if (fd < 0 || fsync(fd)) die(f->path);
  close(fd);
}

static void open_source(source *s, const file *f) {
  const hsize_t at[2] = {0, 0};
  unsigned mask;
  haddr_t address = 0;
  hsize_t bytes;
  *s = (source){.f = f, .fd = open(f->path, O_RDONLY)};
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_file_locking(access, false, true); /* as the store: HDF5 shares the file between both */
  s->h5 = H5Fopen(f->path, H5F_ACC_RDONLY, access);
  H5Pclose(access);
  s->x = H5Dopen2(s->h5, "x", H5P_DEFAULT);
  if (s->fd < 0 || s->x < 0 || H5Dget_chunk_info_by_coord(s->x, at, &mask, &address, &bytes) < 0)
    die(f->path);
  if (ls_store_open(f->path, &s->store) != LS_OK) die(f->path);
  s->address = address;
}

static void close_source(source *s) {
  ls_store_close(&s->store);
  H5Dclose(s->x);
  H5Fclose(s->h5);
  close(s->fd);
}

/* ---------------------------------------------------------------------- readers */

static size_t n_blocks(const file *f) {
  return (f->rows + f->block - 1) / f->block;
}

/* The k-th block of the permuted order. */
static size_t permuted(const file *f, size_t k) {
  return k * 5 % n_blocks(f) * 7 % n_blocks(f); /* for numbers of blocks that 5 and 7 do not divide */
}

static size_t rows_of(const file *f, size_t block) {
  const size_t first = block * f->block;
  return f->rows - first < f->block ? f->rows - first : f->block;
}

typedef void read_all(const source *s, size_t ahead);

static void by_hdf5(const source *s, size_t ahead) {
  (void)ahead;
  for (size_t i = 0; i < s->f->passes * n_blocks(s->f); i++) {
    const size_t b = i % n_blocks(s->f);
    const hsize_t start[2] = {b * s->f->block, 0};
    const hsize_t count[2] = {rows_of(s->f, b), FEATURES};
    const hid_t memory = H5Screate_simple(2, count, NULL);
    const hid_t space = H5Dget_space(s->x);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    if (H5Dread(s->x, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, block_buffer) < 0) die("H5Dread");
    H5Sclose(space);
    H5Sclose(memory);
  }
}

static void by_pread(const source *s, size_t ahead) {
  const size_t n = n_blocks(s->f);
  for (size_t k = 0; k < n; k++) {
    for (size_t i = k ? k + ahead : 0; ahead && i <= k + ahead && i < n; i++)
      posix_fadvise(s->fd, (off_t)(s->address + permuted(s->f, i) * s->f->block * ROW_BYTES),
                    (off_t)(s->f->block * ROW_BYTES), POSIX_FADV_WILLNEED);
    const size_t b = permuted(s->f, k);
    const size_t bytes = rows_of(s->f, b) * ROW_BYTES;
    if (pread(s->fd, block_buffer, bytes, (off_t)(s->address + b * s->f->block * ROW_BYTES)) !=
        (ssize_t)bytes)
      die("pread");
  }
}

/* Every `stride`-th block of the permuted order, from the one numbered `from`. */
static void read_blocks(const source *s, size_t ahead, size_t from, size_t stride) {
  const size_t n = n_blocks(s->f);
  for (size_t k = from; k < n; k += stride) {
    for (size_t i = k == from ? k : k + ahead * stride; ahead && i <= k + ahead * stride && i < n;
         i += stride) {
      const size_t b = permuted(s->f, i);
      ls_store_read_ahead(s->store, "/x", b * s->f->block, rows_of(s->f, b));
    }
    const size_t b = permuted(s->f, k);
    if (ls_store_read_rows(s->store, "/x", b * s->f->block, rows_of(s->f, b), block_buffer) != LS_OK)
      die("ls_store_read_rows");
  }
}

static void by_lockstep(const source *s, size_t ahead) {
  for (size_t i = 0; i < s->f->passes; i++) read_blocks(s, ahead, 0, 1);
}

static void by_two_processes(const source *s, size_t ahead) {
  const pid_t child = fork();
  for (size_t i = 0; i < s->f->passes; i++) read_blocks(s, ahead, child == 0, 2);
  if (child == 0) _exit(0);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) die("the second process");
}

/* ----------------------------------------------------------------------- timing */

/* Reads the whole file; MB/s. is_cold: drops it from the page cache first. */
static double speed(read_all *read, const file *f, size_t ahead, bool is_cold) {
  source s;
  open_source(&s, f);
  if (is_cold) posix_fadvise(s.fd, 0, 0, POSIX_FADV_DONTNEED);
  const double start = wall();
  read(&s, ahead);
  const double seconds = wall() - start;
  close_source(&s);
  return 1e-6 * (double)(f->passes * f->rows * ROW_BYTES) / seconds;
}

static void compare(const file *f) {
  double ours[ROUNDS];
  double theirs[ROUNDS];
  double both[ROUNDS];
  speed(by_lockstep, f, 0, false);
  for (int i = 0; i < ROUNDS; i++) {
    theirs[i] = speed(by_hdf5, f, 0, false);
    ours[i] = speed(by_lockstep, f, 0, false);
    if (f->is_gzip) both[i] = speed(by_two_processes, f, 0, false);
  }
  const double a = median(ROUNDS, ours);
  const double b = median(ROUNDS, theirs);
  printf("%s, blocks of %3zu MiB: lockstep %5.0f MB/s, H5Dread %5.0f, ratio %.2f\n",
         f->is_gzip ? "gzip" : "warm", f->block * ROW_BYTES >> 20, a, b, a / b);
  if (f->is_gzip)
    printf("gzip, two processes: %5.0f MB/s, ratio to one %.2f\n", median(ROUNDS, both),
           median(ROUNDS, both) / a);
}

static void compare_cold(const file *f) {
  double ours[ROUNDS];
  static const size_t depths[N_DEPTHS] = {0, 1, 2, 4, 8, 16};
  double theirs[N_DEPTHS][ROUNDS];
  for (int i = 0; i < ROUNDS; i++) {
    ours[i] = speed(by_lockstep, f, ls_size_max(AHEAD_BYTES / (f->block * ROW_BYTES), 1), true);
    for (size_t k = 0; k < N_DEPTHS; k++) theirs[k][i] = speed(by_pread, f, depths[k], true);
  }
  double best = 0.0;
  size_t best_ahead = 0;
  for (size_t k = 0; k < N_DEPTHS; k++) {
    const double m = median(ROUNDS, theirs[k]);
    if (m > best) best_ahead = depths[k];
    if (m > best) best = m;
  }
  const double a = median(ROUNDS, ours);
  const double none = median(ROUNDS, theirs[0]);
  printf("cold, blocks of %3zu MiB: lockstep %5.0f MB/s, pread %5.0f (%zu blocks ahead; none ahead %5.0f), "
         "ratio %.2f\n",
         f->block * ROW_BYTES >> 20, a, best, best_ahead, none, a / best);
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: bench_read FOLDER [warm|gzip|cold]\n");
    return 2;
  }
  const char *const part = argc == 3 ? argv[2] : "";
  file raw = {.rows = 400000, .block = 8 * CHUNK, .passes = 1};
  /* An odd number of blocks, which hardly matters to two processes; several passes, as they take time to
   * start. */
  file gzip = {.rows = 50000, .block = 3 * CHUNK, .is_gzip = true, .passes = 4};
  snprintf(raw.path, sizeof raw.path, "%s/bench-read-raw.h5", argv[1]);
  snprintf(gzip.path, sizeof gzip.path, "%s/bench-read-gzip.h5", argv[1]);
  setvbuf(stdout, NULL, _IOLBF, 0);
  block_buffer = ls_calloc(16 * CHUNK, ROW_BYTES);
  if (!block_buffer) die("memory");
  if (access(raw.path, F_OK)) write_file(&raw);
  if (access(gzip.path, F_OK)) write_file(&gzip);
  if (!*part || strcmp(part, "warm") == 0) compare(&raw);
  if (!*part || strcmp(part, "gzip") == 0) compare(&gzip);
  for (size_t mib = 1; (!*part || strcmp(part, "cold") == 0) && mib <= 16; mib *= 2) {
    raw.block = mib * CHUNK;
    if (mib != 2) compare_cold(&raw);
  }
  free(block_buffer);
  return 0;
}
