/* store: rows that are read and decoded without HDF5, compared with what was written; damaged chunks; files
 * that change; the cache. */
#include "lockstep/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <hdf5.h>
#include <libdeflate.h>
#include <lzf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "../message.h"

#define LZF  32000
#define ZSTD 32015

static char path[512];

static int make_path(void **state) {
  (void)state;
  const char *const tmp = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/lockstep-rows-%d.h5", tmp ? tmp : "/tmp", getpid());
  return 0;
}

static int remove_path(void **state) {
  (void)state;
  return unlink(path);
}

static void check_ok(ls_status status, const char *file, int line) {
  if (status != LS_OK) print_error("%s\n", ls_message());
  _assert_int_equal((uintmax_t)status, LS_OK, file, line);
}
#define assert_ok(call) check_ok(call, __FILE__, __LINE__)

/* ---------------------------------------------------------------------- the files */

#define ROWS     ((size_t)23)
#define ELEMENTS ((size_t)15) /* of a row, (5, 3) */
#define MOST     (ROWS * ELEMENTS * 8)

/* A way to store an array (ROWS, 5, 3). */
typedef struct way {
  const char *name;
  hsize_t chunk[3]; /* 0: contiguous */
  int filters[4];   /* ids, in the order of writing; 0 ends */
  hsize_t user_block;
} way;

static const ls_dtype dtypes[] = {LS_U8, LS_I16, LS_F32, LS_F64};

static hid_t native(ls_dtype dtype) {
  const hid_t types[] = {H5T_NATIVE_UINT8, H5T_NATIVE_INT16, H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE};
  for (int i = 0; i < 4; i++)
    if (dtypes[i] == dtype) return types[i];
  fail();
  return -1;
}

static void make_data(ls_dtype dtype, unsigned char *data) {
  uint32_t state = 12345;
  for (size_t i = 0; i < MOST; i++) {
    state = state * 1664525 + 1013904223;
    const size_t byte = i % ls_dtype_size(dtype);
    data[i] =
        (unsigned char)(byte + 1 == ls_dtype_size(dtype) && byte > 0 ? 0x3f : state >> 28); /* finite */
  }
}

static bool is_hdf5s(int filter) {
  return filter != LZF && filter != ZSTD;
}

/* Sets lzf or zstd in a creation list, as h5py does: optional, so that HDF5 needs no plug-in to create it.
 */
static hid_t creation_list(const way *w) {
  const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
  if (w->chunk[0]) assert_true(H5Pset_chunk(plist, 3, w->chunk) >= 0);
  for (int i = 0; i < 4 && w->filters[i]; i++) {
    const unsigned level = 4;
    const int id = w->filters[i];
    herr_t set = -1;
    if (id == H5Z_FILTER_SHUFFLE) set = H5Pset_shuffle(plist);
    if (id == H5Z_FILTER_DEFLATE) set = H5Pset_deflate(plist, level);
    if (id == H5Z_FILTER_FLETCHER32) set = H5Pset_fletcher32(plist);
    if (!is_hdf5s(id) && H5Zfilter_avail(id) > 0) H5Zunregister(id);
    if (!is_hdf5s(id)) set = H5Pset_filter(plist, id, H5Z_FLAG_OPTIONAL, 1, &level);
    assert_true(set >= 0);
  }
  return plist;
}

static hid_t create_file(hsize_t user_block) {
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_userblock(creation, user_block);
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, H5P_DEFAULT);
  H5Pclose(creation);
  assert_true(file >= 0);
  return file;
}

/* Packs a chunk by shuffle and lzf or zstd, which this process's HDF5 only reads. */
static size_t pack(int filter, size_t size, const unsigned char *in, size_t bytes, unsigned char *out) {
  unsigned char shuffled[MOST];
  for (size_t i = 0; i < bytes; i++) shuffled[i % size * (bytes / size) + i / size] = in[i];
  if (filter == LZF) return lzf_compress(shuffled, (unsigned)bytes, out, (unsigned)(2 * MOST));
  return ZSTD_compress(out, 2 * MOST, shuffled, bytes, 3);
}

/* Writes the chunks of whole rows one by one; every second one without the last filter if lzf or zstd
 * fails.
 */
static void write_packed(hid_t d, const way *w, ls_dtype dtype, const unsigned char *data) {
  const size_t row = ELEMENTS * ls_dtype_size(dtype);
  for (hsize_t first = 0; first < ROWS; first += w->chunk[0]) {
    unsigned char chunk[MOST] = {0};
    unsigned char packed[2 * MOST];
    const hsize_t at[3] = {first, 0, 0};
    const size_t bytes = w->chunk[0] * row;
    memcpy(chunk, data + first * row, ls_size_min(w->chunk[0], ROWS - first) * row);
    const size_t n = pack(w->filters[1], ls_dtype_size(dtype), chunk, bytes, packed);
    if (n > 0 && first % 2 == 0)
      assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, 0, at, n, packed) >= 0);
    else
      assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, 3, at, bytes, chunk) >= 0); /* neither filter applied */
  }
}

static void write_array(const way *w, ls_dtype dtype, const unsigned char *data) {
  const hsize_t dims[3] = {ROWS, 5, 3};
  const hid_t file = create_file(w->user_block);
  const hid_t plist = creation_list(w);
  const hsize_t limits[3] = {H5S_UNLIMITED, H5S_UNLIMITED, H5S_UNLIMITED};
  const hid_t space = H5Screate_simple(3, dims, w->chunk[0] ? limits : NULL);
  const hid_t d = H5Dcreate2(file, "d", native(dtype), space, H5P_DEFAULT, plist, H5P_DEFAULT);
  if (d < 0) fail_msg("%s cannot be created", w->name);
  if (w->filters[1] && !is_hdf5s(w->filters[1]))
    write_packed(d, w, dtype, data);
  else
    assert_true(H5Dwrite(d, native(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
  H5Dclose(d);
  H5Sclose(space);
  H5Pclose(plist);
  H5Fclose(file);
}

/* ------------------------------------------------------------------------- reading */

/* Every range of rows, in an order that keeps and drops bands. */
static void check_ranges(size_t row, const unsigned char *data) {
  ls_store *store = NULL;
  unsigned char back[MOST];
  assert_ok(ls_store_open(path, &store));
  for (size_t first = 0; first < ROWS; first++)
    for (size_t count = 1; count <= ROWS - first; count += 2) {
      memset(back, 0xee, sizeof back);
      ls_store_read_ahead(store, "/d", first, count);
      assert_ok(ls_store_read_rows(store, "/d", first, count, back));
      assert_memory_equal(back, data + first * row, count * row);
      if (count * row < MOST) assert_int_equal(back[count * row], 0xee);
    }
  ls_store_close(&store);
}

#define SHUFFLE  H5Z_FILTER_SHUFFLE
#define DEFLATE  H5Z_FILTER_DEFLATE
#define FLETCHER H5Z_FILTER_FLETCHER32

static void all_ways_are_read(void **state) {
  (void)state;
  static const way ways[] = {
      {"contiguous", {0}, {0}, 0},
      {"contiguous, user block", {0}, {0}, 512},
      {"plain", {4, 5, 3}, {0}, 0},
      {"plain, user block", {4, 5, 3}, {0}, 1024},
      {"part of rows", {4, 2, 3}, {0}, 0},
      {"part of rows, gzip", {7, 2, 2}, {SHUFFLE, DEFLATE}, 0},
      {"wider than rows", {4, 8, 4}, {SHUFFLE, DEFLATE}, 0},
      {"longer than the array", {40, 5, 3}, {SHUFFLE, DEFLATE}, 0},
      {"shuffle", {4, 5, 3}, {SHUFFLE}, 0},
      {"gzip", {4, 5, 3}, {DEFLATE}, 0},
      {"gzip of a checksum", {4, 5, 3}, {FLETCHER, DEFLATE}, 0},
      {"checksum of gzip", {4, 5, 3}, {SHUFFLE, DEFLATE, FLETCHER}, 0},
      {"checksum, user block", {4, 5, 3}, {FLETCHER}, 512},
      {"gzip, then shuffle", {4, 5, 3}, {DEFLATE, SHUFFLE}, 0},
      {"lzf", {4, 5, 3}, {SHUFFLE, LZF}, 0},
      {"zstd", {3, 5, 3}, {SHUFFLE, ZSTD}, 0},
  };
  unsigned char data[MOST];
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
    for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++) {
      make_data(dtypes[k], data);
      write_array(&ways[i], dtypes[k], data);
      check_ranges(ELEMENTS * ls_dtype_size(dtypes[k]), data);
    }
}

/* Long chunks: loops of the vectorised kernels and the words that they leave. HDF5 checks the checksum that
 * it wrote; here ours must agree with it. */
static void long_chunks_are_read(void **state) {
  (void)state;
  static const size_t lengths[] = {255, 256, 1000, 5000};
  for (size_t i = 0; i < 4; i++)
    for (size_t k = 0; k < 4; k++) {
      const ls_dtype dtype = dtypes[k];
      const hsize_t n = lengths[i] + 1;
      const size_t bytes = n * ls_dtype_size(dtype);
      unsigned char *const data = malloc(bytes);
      unsigned char *const back = malloc(bytes);
      assert_true(data && back);
      for (size_t b = 0; b < bytes; b++)
        data[b] = (unsigned char)(b % 8 == 7 || i == 2 ? 0x3f : b * 37 >> 3);
      if (i == 3) memset(data, 0xff, bytes / 2);
      const hid_t file = create_file(0);
      const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
      H5Pset_chunk(plist, 1, &n);
      H5Pset_shuffle(plist);
      H5Pset_fletcher32(plist);
      const hid_t space = H5Screate_simple(1, &n, NULL);
      const hid_t d = H5Dcreate2(file, "d", native(dtype), space, H5P_DEFAULT, plist, H5P_DEFAULT);
      assert_true(H5Dwrite(d, native(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
      H5Dclose(d);
      H5Sclose(space);
      H5Pclose(plist);
      H5Fclose(file);
      ls_store *store = NULL;
      assert_ok(ls_store_open(path, &store));
      assert_ok(ls_store_read_rows(store, "/d", 0, n, back));
      assert_memory_equal(back, data, bytes);
      ls_store_close(&store);
      free(data);
      free(back);
    }
}

/* Chunks that were never written have the value that the creator has set. */
static void unwritten_chunks_have_the_fill_value(void **state) {
  (void)state;
  const hsize_t dims[2] = {10, 2};
  const hsize_t chunk[2] = {2, 2};
  const hsize_t start[2] = {4, 0};
  const int16_t value = 7;
  const int16_t written[4] = {1, 2, 3, 4};
  const hid_t file = create_file(0);
  const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(plist, 2, chunk);
  H5Pset_deflate(plist, 1);
  H5Pset_fill_value(plist, H5T_NATIVE_INT16, &value);
  const hid_t space = H5Screate_simple(2, dims, NULL);
  const hid_t memory = H5Screate_simple(2, chunk, NULL);
  const hid_t d = H5Dcreate2(file, "d", H5T_NATIVE_INT16, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, chunk, NULL);
  assert_true(H5Dwrite(d, H5T_NATIVE_INT16, memory, space, H5P_DEFAULT, written) >= 0);
  H5Dclose(d);
  H5Sclose(memory);
  H5Sclose(space);
  H5Pclose(plist);
  H5Fclose(file);
  ls_store *store = NULL;
  int16_t back[20];
  assert_ok(ls_store_open(path, &store));
  assert_ok(ls_store_read_rows(store, "/d", 0, 10, back));
  for (int i = 0; i < 20; i++) assert_int_equal(back[i], i >= 8 && i < 12 ? written[i - 8] : 7);
  ls_store_close(&store);
}

/* ---------------------------------------------------------------------- wrong chunks */

#define CHUNK_BYTES ((size_t)4096)

/* Writes a vector of two chunks: a good one, and one with these stored bytes. */
static void write_second_chunk(const int *filters, unsigned mask, const void *stored, size_t bytes) {
  const way w = {.filters = {filters[0], filters[1], filters[2]}};
  const hsize_t n = 2 * CHUNK_BYTES;
  const hsize_t chunk = CHUNK_BYTES;
  const hsize_t at = CHUNK_BYTES;
  unsigned char good[CHUNK_BYTES] = {0};
  const hid_t file = create_file(0);
  const hid_t plist = creation_list(&w);
  H5Pset_chunk(plist, 1, &chunk);
  const hid_t space = H5Screate_simple(1, &n, NULL);
  const hid_t d = H5Dcreate2(file, "d", H5T_NATIVE_UINT8, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  const hsize_t zero = 0;
  assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, 0xff, &zero, CHUNK_BYTES, good) >= 0); /* no filter applied */
  assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, mask, &at, bytes, stored) >= 0);
  H5Dclose(d);
  H5Sclose(space);
  H5Pclose(plist);
  H5Fclose(file);
}

/* The first chunk is read, the second is an error, in whole and in part. */
static void expect_damaged(const char *words) {
  ls_store *store = NULL;
  unsigned char back[2 * CHUNK_BYTES + 16];
  assert_ok(ls_store_open(path, &store));
  assert_ok(ls_store_read_rows(store, "/d", 0, CHUNK_BYTES, back));
  for (size_t count = 1; count <= CHUNK_BYTES; count += CHUNK_BYTES - 1) {
    memset(back, 0xee, sizeof back);
    assert_int_equal(ls_store_read_rows(store, "/d", CHUNK_BYTES, count, back), LS_ERR_DATA);
    if (!message_has(ls_message(), words)) fail_msg("expected \"%s\", got \"%s\"", words, ls_message());
    for (size_t i = count; i < sizeof back; i++) assert_int_equal(back[i], 0xee);
  }
  ls_store_close(&store);
}

/* zlib stream of n zeros. */
static size_t deflated(size_t n, unsigned char *out, size_t most) {
  void *const zeros = calloc(n, 1);
  struct libdeflate_compressor *const c = libdeflate_alloc_compressor(6);
  const size_t bytes = libdeflate_zlib_compress(c, zeros, n, out, most);
  libdeflate_free_compressor(c);
  free(zeros);
  assert_true(bytes > 0);
  return bytes;
}

static void wrong_deflate_chunks_are_rejected(void **state) {
  (void)state;
  static const int deflate[3] = {DEFLATE};
  static const int shuffled[3] = {SHUFFLE, DEFLATE};
  static const int checked[3] = {FLETCHER, DEFLATE};
  static unsigned char stored[200000];
  size_t n = deflated(CHUNK_BYTES - 1, stored, sizeof stored); /* ends early */
  write_second_chunk(deflate, 0, stored, n);
  expect_damaged("rows 4096 to ~ size of its shape");
  write_second_chunk(shuffled, 0, stored, n);
  expect_damaged("size of its shape");
  n = deflated(CHUNK_BYTES + 1, stored, sizeof stored);
  write_second_chunk(deflate, 0, stored, n);
  expect_damaged("size of its shape");
  n = deflated((size_t)50 << 20, stored, sizeof stored); /* a bomb */
  write_second_chunk(deflate, 0, stored, n);
  expect_damaged("size of its shape");
  n = deflated(CHUNK_BYTES, stored, sizeof stored);
  write_second_chunk(deflate, 0, stored, n - 5); /* cut off */
  expect_damaged("inflate");
  write_second_chunk(deflate, 1, stored, n); /* the mask says that it is not packed */
  expect_damaged("size of its shape");
  write_second_chunk(checked, 0, stored, n); /* without the checksum that was packed */
  expect_damaged("size of its shape");
  n = deflated(CHUNK_BYTES + 4, stored, sizeof stored); /* the checksum of zeros is 0 */
  write_second_chunk(checked, 0, stored, n);
  ls_store *store = NULL;
  unsigned char back[CHUNK_BYTES];
  assert_ok(ls_store_open(path, &store));
  assert_ok(ls_store_read_rows(store, "/d", CHUNK_BYTES, CHUNK_BYTES, back));
  ls_store_close(&store);
  memset(stored, 0, sizeof stored);
  write_second_chunk(deflate, 0, stored, CHUNK_BYTES);
  expect_damaged("inflate");
  write_second_chunk(deflate, 0, stored, sizeof stored);
  expect_damaged("too many bytes");
}

static void wrong_chunks_of_other_filters_are_rejected(void **state) {
  (void)state;
  static const int lzf[3] = {LZF};
  static const int zstd[3] = {ZSTD};
  static const int fletcher[3] = {FLETCHER};
  static const int shuffle[3] = {SHUFFLE};
  static unsigned char stored[8 * CHUNK_BYTES];
  unsigned char zeros[2 * CHUNK_BYTES] = {0};
  for (size_t bytes = CHUNK_BYTES - 1; bytes <= CHUNK_BYTES + 1; bytes += 2) {
    unsigned n = lzf_compress(zeros, (unsigned)bytes, stored, sizeof stored);
    write_second_chunk(lzf, 0, stored, n);
    expect_damaged(bytes < CHUNK_BYTES ? "size of its shape" : "lzf");
    write_second_chunk(zstd, 0, stored, ZSTD_compress(stored, sizeof stored, zeros, bytes, 1));
    expect_damaged(bytes < CHUNK_BYTES ? "size of its shape" : "zstd");
    write_second_chunk(shuffle, 0, zeros, bytes);
    expect_damaged("size of its shape");
  }
  memset(stored, 0x55, sizeof stored);
  write_second_chunk(zstd, 0, stored, CHUNK_BYTES);
  expect_damaged("zstd");
  write_second_chunk(fletcher, 0, stored, CHUNK_BYTES + 4);
  expect_damaged("checksum");
  write_second_chunk(fletcher, 0, stored, 3);
  expect_damaged("size of its shape");
  write_second_chunk(fletcher, 1, stored, CHUNK_BYTES + 4);
  expect_damaged("size of its shape");
}

/* ---------------------------------------------------------------- files that change */

static void changed_files_are_rejected(void **state) {
  (void)state;
  static const way ways[] = {{"contiguous", {0}, {0}, 0}, {"gzip", {4, 5, 3}, {SHUFFLE, DEFLATE}, 0}};
  unsigned char data[MOST];
  unsigned char back[MOST];
  make_data(LS_F32, data);
  for (int i = 0; i < 4; i++) {
    struct stat about;
    ls_store *store = NULL;
    write_array(&ways[i % 2], LS_F32, data);
    assert_int_equal(stat(path, &about), 0);
    assert_ok(ls_store_open(path, &store));
    const ls_file_state first = ls_store_state(store);
    assert_int_equal(first.bytes, about.st_size);
    assert_ok(ls_store_read_rows(store, "/d", 0, 2, back));
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = about.st_mtim.tv_sec + 1}};
    assert_int_equal(i < 2 ? truncate(path, about.st_size / 2) : utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(ls_store_read_rows(store, "/d", 0, ROWS, back), LS_ERR_DATA);
    if (!message_has(ls_message(), "has changed")) fail_msg("%s", ls_message());
    ls_store_close(&store);
    if (i < 2) continue;
    assert_ok(ls_store_open(path, &store));
    assert_int_equal(ls_store_check_state(store, first), LS_ERR_DATA);
    assert_ok(ls_store_check_state(store, ls_store_state(store)));
    ls_store_close(&store);
  }
}

/* --------------------------------------------------------------------------- cache */

#define CACHED_ROWS ((size_t)64)
#define CACHED_ROW  ((size_t)512) /* bytes */

static char cache_folder[544];

/* Writes /d, (64, 512) uint8 in 4 chunks of 8 KiB; contiguous if `filter` is 0, or in chunks. */
static void write_cached(int filter, unsigned char *data) {
  const hsize_t dims[2] = {CACHED_ROWS, CACHED_ROW};
  const hsize_t chunk[2] = {16, CACHED_ROW};
  for (size_t i = 0; i < CACHED_ROWS * CACHED_ROW; i++) data[i] = (unsigned char)(i * i >> 7);
  const hid_t file = create_file(0);
  const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
  if (filter) H5Pset_chunk(plist, 2, chunk);
  if (filter == FLETCHER) H5Pset_fletcher32(plist);
  const hid_t space = H5Screate_simple(2, dims, NULL);
  const hid_t d = H5Dcreate2(file, "d", H5T_NATIVE_UINT8, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  assert_true(H5Dwrite(d, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
  H5Dclose(d);
  H5Sclose(space);
  H5Pclose(plist);
  H5Fclose(file);
}

/* Reads all rows by 16 through a cache, and compares them. */
static void check_cached(ls_cache *cache, const unsigned char *data) {
  unsigned char back[16 * CACHED_ROW];
  ls_store *store = NULL;
  assert_ok(ls_store_open(path, &store));
  ls_store_use_cache(store, cache);
  for (size_t first = 0; first < CACHED_ROWS; first += 16) {
    ls_store_read_ahead(store, "/d", first, 16);
    assert_ok(ls_store_read_rows(store, "/d", first, 16, back));
    assert_memory_equal(back, data + first * CACHED_ROW, sizeof back);
  }
  ls_store_close(&store);
}

/* Calls `change` with the descriptor of each part of the cache. Returns their number. */
static int each_part(void (*change)(int descriptor)) {
  int n = 0;
  char name[1024];
  for (int i = 0; i < 256; i++) {
    snprintf(name, sizeof name, "%s/%02x", cache_folder, i);
    DIR *const dir = opendir(name);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
      if (e->d_name[0] == '.') continue;
      const int descriptor = openat(dirfd(dir), e->d_name, O_RDWR);
      assert_true(descriptor >= 0);
      if (change) change(descriptor);
      close(descriptor);
      n++;
    }
    if (dir) closedir(dir);
  }
  return n;
}

static void flip(int descriptor) {
  struct stat about;
  unsigned char byte;
  fstat(descriptor, &about);
  assert_int_equal(pread(descriptor, &byte, 1, about.st_size / 2), 1);
  byte ^= 0x10;
  assert_int_equal(pwrite(descriptor, &byte, 1, about.st_size / 2), 1);
}

static void cut(int descriptor) {
  assert_int_equal(ftruncate(descriptor, 50), 0);
}

/* Overwrites the content of the file without a trace. */
static void overwrite_file(void) {
  struct stat about;
  unsigned char nonsense[CACHED_ROWS * CACHED_ROW];
  const int descriptor = open(path, O_RDWR);
  assert_true(descriptor >= 0);
  if (fstat(descriptor, &about) != 0) fail();
  memset(nonsense, 0x55, sizeof nonsense);
  assert_int_equal(pwrite(descriptor, nonsense, sizeof nonsense, about.st_size - (off_t)sizeof nonsense),
                   sizeof nonsense);
  const struct timespec times[2] = {about.st_atim, about.st_mtim};
  assert_int_equal(futimens(descriptor, times), 0);
  close(descriptor);
}

static void remove_cache(void) {
  char command[640];
  snprintf(command, sizeof command, "rm -rf '%s'", cache_folder);
  assert_int_equal(system(command), 0);
}

static void a_cache_keeps_parts(void **state) {
  (void)state;
  unsigned char data[CACHED_ROWS * CACHED_ROW];
  snprintf(cache_folder, sizeof cache_folder, "%s-cache", path);
  for (int filter = 0; filter <= FLETCHER; filter++) { /* contiguous, chunks (twice), with checksums */
    ls_cache *cache = NULL;
    write_cached(filter, data);
    remove_cache();
    assert_ok(ls_cache_create(cache_folder, 1 << 20, &cache));
    check_cached(cache, data);
    assert_int_equal(ls_cache_count(cache).n_added, 4);
    check_cached(cache, data);
    assert_int_equal(ls_cache_count(cache).n_found, 4);
    ls_cache_destroy(&cache);
    if (filter == 0) overwrite_file();
    assert_ok(ls_cache_create(cache_folder, 1 << 20, &cache)); /* of another process, as it were */
    check_cached(cache, data);
    assert_int_equal(ls_cache_count(cache).n_found, 4);
    assert_int_equal(ls_cache_count(cache).n_added, 0);
    ls_cache_destroy(&cache);
  }
  remove_cache();
}

static void a_damaged_cache_is_replaced(void **state) {
  (void)state;
  unsigned char data[CACHED_ROWS * CACHED_ROW];
  ls_cache *cache = NULL;
  write_cached(FLETCHER, data);
  assert_ok(ls_cache_create(cache_folder, 1 << 20, &cache));
  check_cached(cache, data);
  for (int i = 1; i <= 2; i++) {
    assert_int_equal(each_part(i == 1 ? flip : cut), 4);
    check_cached(cache, data);
    assert_int_equal(ls_cache_count(cache).n_damaged, 4 * i);
    assert_int_equal(ls_cache_count(cache).n_added, 4 + 4 * i);
  }
  ls_cache_destroy(&cache);
  remove_cache();
}

/* The limit holds for all users of the folder; it counts what they have left. */
static void a_full_cache_is_no_error(void **state) {
  (void)state;
  unsigned char data[CACHED_ROWS * CACHED_ROW];
  ls_cache *first = NULL;
  ls_cache *second = NULL;
  write_cached(1, data);
  assert_ok(ls_cache_create(cache_folder, 20000, &first));
  assert_ok(ls_cache_create(cache_folder, 30000, &second));
  check_cached(first, data);
  assert_true(ls_cache_count(first).is_full);
  assert_int_equal(ls_cache_count(first).n_added, 2);
  check_cached(second, data);
  assert_int_equal(ls_cache_count(second).n_found, 2);
  assert_int_equal(ls_cache_count(second).n_added, 1);
  ls_cache_destroy(&first);
  ls_cache_destroy(&second);
  assert_int_equal(each_part(NULL), 3);
  assert_ok(ls_cache_create(cache_folder, 30000, &first));
  check_cached(first, data);
  assert_int_equal(ls_cache_count(first).n_added, 0);
  ls_cache_destroy(&first);
  assert_int_equal(ls_cache_create(path, 30000, &first), LS_ERR_OUTPUT); /* a file */
  assert_null(first);
  remove_cache();
}

int main(void) {
  H5open();
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_ways_are_read),
      cmocka_unit_test(long_chunks_are_read),
      cmocka_unit_test(unwritten_chunks_have_the_fill_value),
      cmocka_unit_test(wrong_deflate_chunks_are_rejected),
      cmocka_unit_test(wrong_chunks_of_other_filters_are_rejected),
      cmocka_unit_test(changed_files_are_rejected),
      cmocka_unit_test(a_cache_keeps_parts),
      cmocka_unit_test(a_damaged_cache_is_replaced),
      cmocka_unit_test(a_full_cache_is_no_error),
  };
  return cmocka_run_group_tests(tests, make_path, remove_path);
}
