/* store: round trips, the seal, untrusted files, failing writes. */
#include "lockstep/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <hdf5.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../message.h"

#define PATH_BYTES 512

static char folder[PATH_BYTES];

/* ------------------------------------------------------------------ helpers */

static int make_folder(void **state) {
  (void)state;
  const char *const tmp = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/lockstep-store-XXXXXX", tmp ? tmp : "/tmp");
  return mkdtemp(folder) ? 0 : -1;
}

/* Removes the tests' files; -1 if they left a folder that is not empty. */
static int remove_folder(void **state) {
  (void)state;
  DIR *const entries = opendir(folder);
  if (!entries) return -1;
  for (const struct dirent *entry; (entry = readdir(entries));) {
    char path[PATH_BYTES + 256];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (entry->d_name[0] != '.') remove(path);
  }
  closedir(entries);
  return rmdir(folder);
}

/* The path of a file in the tests' folder, valid for four calls. */
static const char *in_folder(const char *name) {
  static char paths[4][PATH_BYTES + 64];
  static int next;
  next = (next + 1) % 4;
  snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
  return paths[next];
}

/* Names in the tests' folder that contain `part`. */
static int count_files(const char *part) {
  int count = 0;
  DIR *const entries = opendir(folder);
  assert_non_null(entries);
  for (const struct dirent *entry; (entry = readdir(entries));)
    count += strstr(entry->d_name, part) != NULL;
  closedir(entries);
  return count;
}

static void check_ok(ls_status status, const char *file, int line) {
  if (status != LS_OK) print_error("%s\n", ls_message());
  _assert_int_equal((uintmax_t)status, LS_OK, file, line);
}
#define assert_ok(call) check_ok(call, __FILE__, __LINE__)

/* Fails unless the status is the expected one and the message has the parts of a pattern, as message.h
 * describes it. */
static void check_fails(ls_status status, ls_status expected, const char *pattern, const char *file,
                        int line) {
  const bool has_parts = message_has(ls_message(), pattern);
  if (status != expected || !has_parts)
    print_error("expected \"%s\", got %d: \"%s\"\n", pattern, (int)status, ls_message());
  _assert_int_equal((uintmax_t)status, (uintmax_t)expected, file, line);
  _assert_true(has_parts, "message", file, line);
}
#define assert_fails(call, status, words) check_fails(call, status, words, __FILE__, __LINE__)

/* The contents of a file, which the caller frees. */
static unsigned char *read_file(const char *path, size_t *bytes) {
  FILE *const file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  *bytes = (size_t)ftell(file);
  rewind(file);
  unsigned char *const data = malloc(*bytes + 1);
  assert_non_null(data);
  assert_int_equal(fread(data, 1, *bytes, file), *bytes);
  fclose(file);
  return data;
}

static void write_file(const char *path, const void *data, size_t bytes) {
  FILE *const file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, bytes, file), bytes);
  assert_int_equal(fclose(file), 0);
}

static void put_byte(int descriptor, size_t at, unsigned char byte) {
  assert_int_equal(pwrite(descriptor, &byte, 1, (off_t)at), 1);
}

/* Writes a file with one vector `/x`: first, first + 1, ... */
static void write_vector(const char *path, bool sealed, size_t n, float first) {
  ls_store_writer *writer = NULL;
  float *const x = calloc(n, sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) x[i] = first + (float)i;
  const ls_array array = {.dtype = LS_F32, .n_dims = 1, .dims = {n}};
  assert_ok(ls_store_create(path, sealed, &writer));
  assert_ok(ls_store_write_array(writer, "/x", &array, x));
  assert_ok(ls_store_publish(&writer));
  assert_null(writer);
  free(x);
}

static float first_of_vector(const char *path) {
  ls_store *store = NULL;
  float x = -1;
  assert_ok(ls_store_open(path, &store));
  assert_ok(ls_store_read_rows(store, "/x", 0, 1, &x));
  ls_store_close(&store);
  return x;
}

/* -------------------------------------------------------------------- types */

static void types_have_names_and_sizes(void **state) {
  (void)state;
  assert_int_equal(ls_dtype_size(LS_U8), 1);
  assert_int_equal(ls_dtype_size(LS_I16), 2);
  assert_int_equal(ls_dtype_size(LS_F32), 4);
  assert_int_equal(ls_dtype_size(LS_U64), 8);
  assert_int_equal(ls_dtype_size(LS_TEXT), 0);
  assert_string_equal(ls_dtype_name(LS_F64), "float64");
  assert_string_equal(ls_dtype_name(LS_U8), "uint8");
}

static void arrays_describe_themselves(void **state) {
  (void)state;
  char text[64];
  const ls_array images = {.dtype = LS_U8, .n_dims = 3, .dims = {60000, 28, 28}};
  const ls_array labels = {.dtype = LS_I64, .n_dims = 1, .dims = {5}};
  const ls_array scalar = {.dtype = LS_F32};
  assert_string_equal(ls_array_describe(&images, text, sizeof text), "(60000, 28, 28) uint8");
  assert_string_equal(ls_array_describe(&labels, text, sizeof text), "(5,) int64");
  assert_string_equal(ls_array_describe(&scalar, text, sizeof text), "() float32");
  assert_string_equal(ls_array_describe(&images, text, 9), "(60000, ");
}

static void row_sizes_are_checked(void **state) {
  (void)state;
  size_t elements = 0;
  const ls_array images = {.n_dims = 3, .dims = {60000, 28, 28}};
  const ls_array huge = {.n_dims = 3, .dims = {1, UINT64_MAX / 2, 3}};
  const ls_array scalar = {0};
  assert_true(ls_array_row_size(&images, &elements));
  assert_int_equal(elements, 784);
  assert_true(ls_array_row_size(&scalar, &elements));
  assert_int_equal(elements, 1);
  assert_false(ls_array_row_size(&huge, &elements));
}

static void digests_differ_between_blocks(void **state) {
  (void)state;
  const ls_digest a = ls_digest_of("lockstep", 8);
  assert_true(ls_digest_equal(a, ls_digest_of("lockstep", 8)));
  assert_false(ls_digest_equal(a, ls_digest_of("lockstek", 8)));
  /* XXH3-128 of no bytes, as published with the algorithm. */
  const ls_digest nothing = ls_digest_of("", 0);
  assert_true(nothing.high == 0x99aa06d3014798d8 && nothing.low == 0x6001c324468d497f);
}

/* -------------------------------------------------------------- round trips */

/* Writes 7 x 3 elements of every type, reads them back and compares. */
static void check_all_types(bool sealed) {
  unsigned char data[21 * 8];
  unsigned char back[21 * 8];
  char name[32];
  ls_store_writer *writer = NULL;
  ls_store *store = NULL;
  const char *const path = in_folder("types.h5");
  for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 37 % 97); /* no NaN */

  assert_ok(ls_store_create(path, sealed, &writer));
  for (int type = 0; type < LS_TEXT; type++) {
    const ls_array array = {.dtype = (ls_dtype)type, .n_dims = 2, .dims = {7, 3}};
    snprintf(name, sizeof name, "/all/t%d", type);
    assert_ok(ls_store_write_array(writer, name, &array, data));
  }
  assert_ok(ls_store_publish(&writer));

  assert_ok(sealed ? ls_store_open_sealed(path, &store) : ls_store_open(path, &store));
  for (int type = 0; type < LS_TEXT; type++) {
    ls_array found;
    const size_t size = ls_dtype_size((ls_dtype)type);
    snprintf(name, sizeof name, "/all/t%d", type);
    assert_ok(ls_store_describe(store, name, &found));
    assert_int_equal(found.dtype, type);
    assert_int_equal(found.n_dims, 2);
    assert_int_equal(found.dims[0], 7);
    assert_int_equal(found.dims[1], 3);
    memset(back, 0xff, sizeof back);
    assert_ok(ls_store_read_rows(store, name, 0, 7, back));
    assert_memory_equal(back, data, 21 * size);
    assert_ok(ls_store_read_rows(store, name, 5, 2, back));
    assert_memory_equal(back, data + 15 * size, 6 * size);
  }
  ls_store_close(&store);
  assert_null(store);
}

static void plain_files_keep_all_types(void **state) {
  (void)state;
  check_all_types(false);
}

static void sealed_files_keep_all_types(void **state) {
  (void)state;
  check_all_types(true);
}

/* Appends 30,000 rows of 40 int32 in uneven steps, so that several steps fill a chunk. */
static void check_appending(bool sealed, uint64_t declared) {
  enum { ROWS = 30000, COLUMNS = 40 };
  const char *const path = in_folder("appended.h5");
  const ls_array array = {.dtype = LS_I32, .n_dims = 2, .dims = {declared, COLUMNS}};
  const ls_array weights = {.dtype = LS_F64, .n_dims = 1, .dims = {declared}};
  ls_store_writer *writer = NULL;
  ls_store *store = NULL;
  int32_t *const x = calloc((size_t)ROWS * COLUMNS, sizeof *x);
  int32_t *const back = calloc((size_t)ROWS * COLUMNS, sizeof *back);
  assert_true(x && back);
  for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = i * 7 - 1000;

  assert_ok(ls_store_create(path, sealed, &writer));
  assert_ok(ls_store_begin_array(writer, "/a/b/x", &array));
  assert_ok(ls_store_begin_array(writer, "/a/w", &weights));
  size_t step = 1;
  for (size_t row = 0; row < ROWS; row += step) {
    step = ls_size_min(1 + row * 5 % 9001, ROWS - row);
    const double weight = (double)row;
    assert_ok(ls_store_append(writer, "/a/b/x", step, x + row * COLUMNS));
    assert_ok(ls_store_append(writer, "/a/w", 1, &weight));
  }
  assert_ok(ls_store_append(writer, "/a/b/x", 0, NULL));
  assert_ok(ls_store_publish(&writer));

  ls_array found;
  assert_ok(ls_store_open(path, &store));
  assert_ok(ls_store_describe(store, "/a/b/x", &found));
  assert_int_equal(found.dims[0], ROWS);
  for (size_t row = 0; row < ROWS; row += 1000)
    assert_ok(ls_store_read_rows(store, "/a/b/x", row, 1000, back + row * COLUMNS));
  assert_memory_equal(back, x, (size_t)ROWS * COLUMNS * sizeof *x);
  ls_store_close(&store);
  free(x);
  free(back);
}

static void rows_are_appended(void **state) {
  (void)state;
  check_appending(false, 0);
  check_appending(false, 30000);
  check_appending(false, 50000);
  check_appending(true, 0);
  check_appending(true, 50000);
}

static void more_rows_than_declared_are_rejected(void **state) {
  (void)state;
  ls_store_writer *writer = NULL;
  const float rows[3] = {1, 2, 3};
  const ls_array array = {.dtype = LS_F32, .n_dims = 1, .dims = {2}};
  assert_ok(ls_store_create(in_folder("more.h5"), false, &writer));
  assert_ok(ls_store_begin_array(writer, "/x", &array));
  assert_fails(ls_store_append(writer, "/x", 3, rows), LS_ERR_OUTPUT, "more.h5 ~ /x ~ 2");
  assert_fails(ls_store_publish(&writer), LS_ERR_OUTPUT, "more.h5");
  assert_null(writer);
  assert_int_equal(count_files("more.h5"), 0);
}

static void empty_arrays_and_scalars_are_kept(void **state) {
  (void)state;
  const char *const path = in_folder("empty.h5");
  const ls_array no_rows = {.dtype = LS_F32, .n_dims = 2, .dims = {0, 5}};
  const ls_array no_columns = {.dtype = LS_F32, .n_dims = 2, .dims = {5, 0}};
  const ls_array scalar = {.dtype = LS_F64};
  const double value = 2.5;
  double back = 0;
  for (int sealed = 0; sealed < 2; sealed++) {
    ls_store_writer *writer = NULL;
    ls_store *store = NULL;
    ls_array found;
    assert_ok(ls_store_create(path, sealed, &writer));
    assert_ok(ls_store_write_array(writer, "/rows", &no_rows, NULL));
    assert_ok(ls_store_write_array(writer, "/columns", &no_columns, NULL));
    assert_ok(ls_store_write_array(writer, "/scalar", &scalar, &value));
    assert_ok(ls_store_publish(&writer));
    assert_ok(ls_store_open(path, &store));
    assert_ok(ls_store_describe(store, "/rows", &found));
    assert_true(found.n_dims == 2 && found.dims[0] == 0 && found.dims[1] == 5);
    assert_ok(ls_store_describe(store, "/columns", &found));
    assert_true(found.n_dims == 2 && found.dims[0] == 5 && found.dims[1] == 0);
    assert_ok(ls_store_read_rows(store, "/columns", 0, 5, NULL));
    assert_ok(ls_store_describe(store, "/scalar", &found));
    assert_int_equal(found.n_dims, 0);
    assert_ok(ls_store_read_rows(store, "/scalar", 0, 1, &back));
    assert_true(back == value);
    ls_store_close(&store);
  }
}

static void rows_out_of_range_are_rejected(void **state) {
  (void)state;
  const char *const path = in_folder("range.h5");
  ls_store *store = NULL;
  float x[4];
  write_vector(path, false, 3, 1);
  assert_ok(ls_store_open(path, &store));
  assert_fails(ls_store_read_rows(store, "/x", 0, 4, x), LS_ERR_DATA, "range.h5 ~ /x ~ 4 ~ 3");
  assert_fails(ls_store_read_rows(store, "/x", UINT64_MAX, 2, x), LS_ERR_DATA,
               "range.h5 ~ /x ~ 18446744073709551615 ~ 3");
  assert_ok(ls_store_read_rows(store, "/x", 3, 0, x));
  assert_fails(ls_store_read_rows(store, "/y", 0, 1, x), LS_ERR_DATA, "range.h5:/y");
  assert_fails(ls_store_read_rows(store, "/", 0, 1, x), LS_ERR_DATA, "range.h5 ~ group");
  ls_store_close(&store);
}

/* ---------------------------------------------------------------- attributes */

static void attributes_round_trip(void **state) {
  (void)state;
  const char *const path = in_folder("attributes.h5");
  const char *const names[] = {"cat", "h\xc3\xa9risson", "", "a longer name than the others"};
  char *const config = malloc(200001);
  assert_non_null(config);
  memset(config, 'c', 200000);
  config[200000] = '\0';
  for (int sealed = 0; sealed < 2; sealed++) {
    ls_store_writer *writer = NULL;
    assert_ok(ls_store_create(path, sealed, &writer));
    assert_ok(ls_store_write_group(writer, "/progress/inner"));
    assert_ok(ls_store_write_u64(writer, "/", "version", UINT64_MAX));
    assert_ok(ls_store_write_double(writer, "/progress", "loss", -0.1));
    assert_ok(ls_store_write_text(writer, "/", "config", config));
    assert_ok(ls_store_write_text(writer, "/progress/inner", "nothing", ""));
    assert_ok(ls_store_write_texts(writer, "/", "classes", names, 4));
    assert_ok(ls_store_write_texts(writer, "/", "none", NULL, 0));
    assert_ok(ls_store_publish(&writer));

    ls_store *store = NULL;
    uint64_t version = 0;
    double loss = 0;
    char *text = NULL;
    char **texts = NULL;
    size_t count = 0;
    assert_ok(ls_store_open(path, &store));
    assert_ok(ls_store_read_u64(store, "/", "version", &version));
    assert_true(version == UINT64_MAX);
    assert_ok(ls_store_read_double(store, "/progress", "loss", &loss));
    assert_true(loss == -0.1);
    assert_ok(ls_store_read_text(store, "/", "config", &text));
    assert_string_equal(text, config);
    free(text);
    assert_ok(ls_store_read_text(store, "/progress/inner", "nothing", &text));
    assert_string_equal(text, "");
    free(text);
    assert_ok(ls_store_read_texts(store, "/", "classes", &texts, &count));
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++) assert_string_equal(texts[i], names[i]);
    free(texts);
    assert_ok(ls_store_read_texts(store, "/", "none", &texts, &count));
    assert_int_equal(count, 0);
    free(texts);
    ls_store_close(&store);
  }
  free(config);
}

static void attributes_of_another_type_are_rejected(void **state) {
  (void)state;
  const char *const path = in_folder("wrong.h5");
  ls_store_writer *writer = NULL;
  ls_store *store = NULL;
  uint64_t whole;
  double real;
  char *text;
  char **texts;
  size_t count;
  assert_ok(ls_store_create(path, false, &writer));
  assert_ok(ls_store_write_u64(writer, "/", "whole", 3));
  assert_ok(ls_store_write_double(writer, "/", "real", 3));
  assert_ok(ls_store_write_text(writer, "/", "text", "3"));
  assert_ok(ls_store_write_text(writer, "/", "latin", "caf\xe9"));
  assert_ok(ls_store_publish(&writer));
  assert_ok(ls_store_open(path, &store));
  assert_true(ls_store_has_attribute(store, "/", "whole"));
  assert_false(ls_store_has_attribute(store, "/", "absent"));
  assert_false(ls_store_has_attribute(store, "/absent", "whole"));
  assert_fails(ls_store_read_u64(store, "/", "real", &whole), LS_ERR_DATA, "wrong.h5 ~ real ~ integer");
  assert_fails(ls_store_read_double(store, "/", "whole", &real), LS_ERR_DATA, "wrong.h5 ~ whole ~ number");
  assert_fails(ls_store_read_double(store, "/", "text", &real), LS_ERR_DATA, "wrong.h5 ~ text ~ number");
  assert_fails(ls_store_read_text(store, "/", "whole", &text), LS_ERR_DATA, "wrong.h5 ~ whole ~ text");
  assert_fails(ls_store_read_text(store, "/", "latin", &text), LS_ERR_DATA, "wrong.h5 ~ latin ~ UTF-8");
  assert_fails(ls_store_read_texts(store, "/", "text", &texts, &count), LS_ERR_DATA, "wrong.h5 ~ text");
  assert_fails(ls_store_read_u64(store, "/", "absent", &whole), LS_ERR_DATA, "wrong.h5 ~ absent");
  assert_fails(ls_store_read_u64(store, "/absent", "whole", &whole), LS_ERR_DATA, "wrong.h5 ~ /absent");
  ls_store_close(&store);
}

/* Creates an attribute of the root like another program. */
static void foreign_attribute(hid_t file, const char *name, hid_t type, const void *value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t id = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Awrite(id, type, value) >= 0);
  H5Aclose(id);
  H5Sclose(space);
}

static void foreign_attributes_are_read(void **state) {
  (void)state;
  const char *const path = in_folder("foreign-attributes.h5");
  const int minus = -1;
  const short plus = 7;
  const float half = 0.5F;
  ls_store *store = NULL;
  uint64_t whole = 0;
  double real = 0;
  char *text = NULL;
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t fixed = H5Tcopy(H5T_C_S1);
  H5Tset_size(fixed, 6);
  H5Tset_strpad(fixed, H5T_STR_SPACEPAD);
  foreign_attribute(file, "minus", H5T_NATIVE_INT, &minus);
  foreign_attribute(file, "plus", H5T_NATIVE_SHORT, &plus);
  foreign_attribute(file, "half", H5T_NATIVE_FLOAT, &half);
  foreign_attribute(file, "fixed", fixed, "abc   ");
  H5Tclose(fixed);
  H5Fclose(file);

  assert_ok(ls_store_open(path, &store));
  assert_fails(ls_store_read_u64(store, "/", "minus", &whole), LS_ERR_DATA,
               "foreign-attributes.h5 ~ minus ~ negative");
  assert_ok(ls_store_read_u64(store, "/", "plus", &whole));
  assert_int_equal(whole, 7);
  assert_ok(ls_store_read_double(store, "/", "half", &real));
  assert_true(real == 0.5);
  assert_ok(ls_store_read_text(store, "/", "fixed", &text));
  assert_string_equal(text, "abc");
  free(text);
  ls_store_close(&store);
}

/* ------------------------------------------------------------------ the seal */

/* A small sealed file with arrays and attributes. */
static void write_sealed(const char *path) {
  ls_store_writer *writer = NULL;
  const float w[6] = {1, -2, 3, -4, 5, -6};
  const ls_array array = {.dtype = LS_F32, .n_dims = 2, .dims = {2, 3}};
  const char *const classes[] = {"a", "b"};
  assert_ok(ls_store_create(path, true, &writer));
  assert_ok(ls_store_write_array(writer, "/model/0-dense/W", &array, w));
  assert_ok(ls_store_write_texts(writer, "/", "classes", classes, 2));
  assert_ok(ls_store_write_text(writer, "/", "config", "loss: mse\n"));
  assert_ok(ls_store_publish(&writer));
}

static void equal_content_gives_equal_bytes(void **state) {
  (void)state;
  size_t n_first, n_second;
  write_sealed(in_folder("first.h5"));
  sleep(1); /* a stored time would differ now */
  write_sealed(in_folder("second.h5"));
  unsigned char *const first = read_file(in_folder("first.h5"), &n_first);
  unsigned char *const second = read_file(in_folder("second.h5"), &n_second);
  assert_int_equal(n_first, n_second);
  assert_memory_equal(first, second, n_first);
  free(first);
  free(second);
}

static void a_flip_in_any_byte_breaks_the_seal(void **state) {
  (void)state;
  const char *const path = in_folder("flip.h5");
  ls_store *store = NULL;
  size_t n;
  write_sealed(path);
  assert_true(ls_store_is_sealed(path));
  assert_ok(ls_store_open_sealed(path, &store));
  ls_store_close(&store);
  unsigned char *const bytes = read_file(path, &n);
  const int descriptor = open(path, O_RDWR);
  assert_true(descriptor >= 0);
  for (size_t i = 0; i < n; i++) {
    put_byte(descriptor, i, bytes[i] ^ (unsigned char)(1U << (i % 8)));
    if (ls_store_open_sealed(path, &store) != LS_ERR_MODEL) fail_msg("byte %zu of %zu", i, n);
    assert_null(store);
    put_byte(descriptor, i, bytes[i]);
  }
  close(descriptor);
  assert_ok(ls_store_open_sealed(path, &store));
  ls_store_close(&store);
  free(bytes);
}

static void truncated_and_lengthened_files_are_rejected(void **state) {
  (void)state;
  const char *const path = in_folder("cut.h5");
  ls_store *store = NULL;
  size_t n;
  write_sealed(path);
  unsigned char *const bytes = read_file(path, &n);
  const size_t lengths[] = {0, 1, 7, 8, 511, 512, 513, n / 2, n - 1, n + 1};
  bytes[n] = 0;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    write_file(path, bytes, lengths[i]);
    assert_int_equal(ls_store_open_sealed(path, &store), LS_ERR_MODEL);
    assert_null(store);
  }
  write_file(path, bytes, n - 1);
  assert_fails(ls_store_open_sealed(path, &store), LS_ERR_MODEL, "truncated");
  write_file(path, bytes, 7);
  assert_false(ls_store_is_sealed(path));
  free(bytes);
}

static void only_sealed_files_open_as_sealed(void **state) {
  (void)state;
  const char *const path = in_folder("unsealed.h5");
  ls_store *store = NULL;
  write_vector(path, false, 100, 0);
  assert_false(ls_store_is_sealed(path));
  assert_fails(ls_store_open_sealed(path, &store), LS_ERR_MODEL, path);
  assert_fails(ls_store_open_sealed(in_folder("absent.h5"), &store), LS_ERR_MODEL, "No such file");
  assert_false(ls_store_is_sealed(in_folder("absent.h5")));
}

/* ------------------------------------------------------- untrusted files */

/* Creates a file with a dataset `/d`; writes `fill` unless it is NULL. */
static void foreign_array(const char *path, hid_t creation, hid_t type, hsize_t n, const void *fill) {
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(1, &n, NULL);
  const hid_t id = H5Dcreate2(file, "d", type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  assert_true(id >= 0);
  if (fill) assert_true(H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, fill) >= 0);
  H5Dclose(id);
  H5Sclose(space);
  H5Fclose(file);
}

/* Fails unless `/d` of a file is rejected with a message that names both and has the parts of a pattern. */
static void expect_rejected(const char *path, const char *parts) {
  ls_store *store = NULL;
  ls_array array;
  char row[64];
  char pattern[PATH_BYTES + 128];
  snprintf(pattern, sizeof pattern, "%s:/d ~ %s", path, parts);
  assert_ok(ls_store_open(path, &store));
  assert_fails(ls_store_describe(store, "/d", &array), LS_ERR_DATA, pattern);
  assert_fails(ls_store_read_rows(store, "/d", 0, 1, row), LS_ERR_DATA, pattern);
  ls_store_close(&store);
}

static void other_files_are_rejected(void **state) {
  (void)state;
  ls_store *store = NULL;
  write_file(in_folder("text.h5"), "hello", 5);
  assert_fails(ls_store_open(in_folder("text.h5"), &store), LS_ERR_DATA, "text.h5");
  assert_fails(ls_store_open(folder, &store), LS_ERR_DATA, folder);
  assert_fails(ls_store_open(in_folder("absent.h5"), &store), LS_ERR_DATA, "No such file");
  assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
  assert_fails(ls_store_open(in_folder("pipe"), &store), LS_ERR_DATA, "pipe");
  assert_null(store);
}

static void links_are_not_followed(void **state) {
  (void)state;
  const char *const path = in_folder("links.h5");
  const char *const target = in_folder("target.h5");
  ls_store *store = NULL;
  ls_array array;
  write_vector(target, false, 100, 0);
  write_vector(path, false, 100, 0);
  const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  H5Gclose(H5Gcreate2(file, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Lcreate_soft("/x", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_soft("/", file, "root", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_external(target, "/x", file, "external", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_external(target, "/", file, "all", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_hard(file, "x", file, "g/hard", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);

  assert_ok(ls_store_open(path, &store));
  assert_string_equal(ls_store_path(store), path);
  assert_int_equal(ls_store_kind_of(store, "/"), LS_STORE_GROUP);
  assert_int_equal(ls_store_kind_of(store, "/g"), LS_STORE_GROUP);
  assert_int_equal(ls_store_kind_of(store, "/g/hard"), LS_STORE_ARRAY);
  assert_int_equal(ls_store_kind_of(store, "//g//hard/"), LS_STORE_ARRAY);
  assert_int_equal(ls_store_kind_of(store, "/x/below"), LS_STORE_NONE);
  assert_int_equal(ls_store_kind_of(store, "/nothing"), LS_STORE_NONE);
  assert_int_equal(ls_store_kind_of(store, "/./x"), LS_STORE_NONE);
  const char *const others[] = {"/soft", "/external", "/all", "/all/x", "/root", "/root/x"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    assert_int_equal(ls_store_kind_of(store, others[i]), LS_STORE_OTHER);
    assert_fails(ls_store_describe(store, others[i], &array), LS_ERR_DATA, "link");
    assert_false(ls_store_has_attribute(store, others[i], "a"));
  }
  assert_ok(ls_store_describe(store, "/g/hard", &array));
  ls_store_close(&store);
}

static void loops_of_groups_end(void **state) {
  (void)state;
  const char *const path = in_folder("loop.h5");
  ls_store *store = NULL;
  char **names = NULL;
  size_t count = 0;
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Gclose(H5Gcreate2(file, "b", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Gclose(H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Lcreate_hard(file, "/", file, "a/up", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_hard(file, "a", file, "a/self", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  assert_ok(ls_store_open(path, &store));
  assert_ok(ls_store_list(store, "/", &names, &count));
  assert_int_equal(count, 2);
  assert_string_equal(names[0], "a");
  assert_string_equal(names[1], "b");
  free(names);
  assert_ok(ls_store_list(store, "/a/self/up/a/self", &names, &count));
  assert_int_equal(count, 2);
  assert_string_equal(names[0], "self");
  free(names);
  assert_ok(ls_store_list(store, "/b", &names, &count));
  assert_int_equal(count, 0);
  free(names);
  assert_fails(ls_store_list(store, "/c", &names, &count), LS_ERR_DATA, "/c ~ group");
  ls_store_close(&store);
}

static void overlong_groups_are_rejected(void **state) {
  (void)state;
  const char *const path = in_folder("many.h5");
  ls_store *store = NULL;
  char **names = NULL;
  size_t count = 0;
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  for (int i = 0; i <= 10000; i++) {
    char name[32];
    snprintf(name, sizeof name, "soft%d", i);
    H5Lcreate_soft("/x", file, name, H5P_DEFAULT, H5P_DEFAULT);
    if (i == 9999) H5Fflush(file, H5F_SCOPE_LOCAL);
  }
  H5Fclose(file);
  assert_ok(ls_store_open(path, &store));
  assert_fails(ls_store_list(store, "/", &names, &count), LS_ERR_DATA, "10000");
  assert_null(names);
  ls_store_close(&store);
}

static void external_storage_is_rejected(void **state) {
  (void)state;
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(creation, "/etc/passwd", 0, H5F_UNLIMITED);
  foreign_array(in_folder("external.h5"), creation, H5T_NATIVE_UINT8, 10, NULL);
  H5Pclose(creation);
  expect_rejected(in_folder("external.h5"), "external storage");
}

static void virtual_datasets_are_rejected(void **state) {
  (void)state;
  const hsize_t n = 10;
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  const hid_t space = H5Screate_simple(1, &n, NULL);
  write_vector(in_folder("source.h5"), false, n, 0);
  H5Pset_virtual(creation, space, in_folder("source.h5"), "/x", space);
  foreign_array(in_folder("virtual.h5"), creation, H5T_NATIVE_FLOAT, n, NULL);
  H5Sclose(space);
  H5Pclose(creation);
  expect_rejected(in_folder("virtual.h5"), "virtual");
}

/* A filter that is registered in this test only and does not change the data. */
static size_t no_filter(unsigned flags, size_t n, const unsigned values[], size_t bytes, size_t *size,
                        void **block) {
  (void)flags, (void)n, (void)values, (void)size, (void)block;
  return bytes;
}

static void unknown_filters_are_rejected(void **state) {
  (void)state;
  const H5Z_class2_t class = {H5Z_CLASS_T_VERS, 300, 1, 1, "no_filter", NULL, NULL, no_filter};
  const hsize_t chunk = 10;
  const float x[10] = {0};
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  assert_true(H5Zregister(&class) >= 0);
  H5Pset_chunk(creation, 1, &chunk);
  H5Pset_filter(creation, 300, H5Z_FLAG_MANDATORY, 0, NULL);
  foreign_array(in_folder("filter.h5"), creation, H5T_NATIVE_FLOAT, 10, x);
  H5Pclose(creation);
  expect_rejected(in_folder("filter.h5"), "filter ~ 300 ~ no_filter");
  H5Zunregister(300);
  expect_rejected(in_folder("filter.h5"), "filter ~ 300");
}

static void repeated_filters_are_rejected(void **state) {
  (void)state;
  const hsize_t chunk = 10;
  const float x[10] = {0};
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 1, &chunk);
  H5Pset_deflate(creation, 9);
  H5Pset_deflate(creation, 9);
  foreign_array(in_folder("twice.h5"), creation, H5T_NATIVE_FLOAT, 10, x);
  H5Pclose(creation);
  expect_rejected(in_folder("twice.h5"), "filter");
}

static void arrays_never_written_are_rejected(void **state) {
  (void)state;
  const hsize_t chunk = 10;
  foreign_array(in_folder("never.h5"), H5P_DEFAULT, H5T_NATIVE_FLOAT, (hsize_t)1 << 60, NULL);
  expect_rejected(in_folder("never.h5"), "");
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 1, &chunk);
  foreign_array(in_folder("never.h5"), creation, H5T_NATIVE_FLOAT, 100, NULL);
  H5Pclose(creation);
  expect_rejected(in_folder("never.h5"), "");
}

/* Only one of very many chunks is written: the shape needs far more data than are stored. */
static void mostly_empty_arrays_are_rejected(void **state) {
  (void)state;
  const char *const path = in_folder("sparse.h5");
  const hsize_t chunk = 100;
  const hsize_t zero = 0;
  const hsize_t one = 1;
  const float x = 1;
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 1, &chunk);
  foreign_array(path, creation, H5T_NATIVE_FLOAT, 1000000000, NULL);
  H5Pclose(creation);
  const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  const hid_t id = H5Dopen2(file, "d", H5P_DEFAULT);
  const hid_t space = H5Dget_space(id);
  const hid_t memory = H5Screate_simple(1, &one, NULL);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, &zero, NULL, &one, NULL);
  assert_true(H5Dwrite(id, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, &x) >= 0);
  H5Sclose(memory);
  H5Sclose(space);
  H5Dclose(id);
  H5Fclose(file);
  expect_rejected(path, "400");
}

/* Zeros are what deflate shrinks most: they are data and no bomb. */
static void zeros_are_read(void **state) {
  (void)state;
  enum { N = 4000000 };
  const char *const path = in_folder("zeros.h5");
  const hsize_t chunk = N;
  ls_store *store = NULL;
  uint32_t *const x = calloc(N, sizeof *x);
  assert_non_null(x);
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 1, &chunk);
  H5Pset_deflate(creation, 9);
  foreign_array(path, creation, H5T_NATIVE_UINT32, N, x);
  H5Pclose(creation);
  memset(x, 1, N * sizeof *x);
  assert_ok(ls_store_open(path, &store));
  assert_ok(ls_store_read_rows(store, "/d", 0, N, x));
  assert_int_equal(x[0] | x[N - 1], 0);
  ls_store_close(&store);
  free(x);
}

static void damaged_chunks_are_reported(void **state) {
  (void)state;
  enum { N = 1000 };
  const char *const path = in_folder("damaged.h5");
  const hsize_t chunk = N;
  ls_store *store = NULL;
  float x[N];
  size_t n;
  for (int i = 0; i < N; i++) x[i] = 12345.678F + (float)i;
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 1, &chunk);
  H5Pset_fletcher32(creation);
  foreign_array(path, creation, H5T_NATIVE_FLOAT, N, x);
  H5Pclose(creation);
  unsigned char *const bytes = read_file(path, &n);
  const void *const stored = x;
  size_t at = 0;
  while (at + 64 < n && memcmp(bytes + at, stored, 64) != 0) at++;
  bytes[at] ^= 1;
  write_file(path, bytes, n);
  free(bytes);
  assert_ok(ls_store_open(path, &store));
  assert_fails(ls_store_read_rows(store, "/d", 0, N, x), LS_ERR_DATA, "/d");
  ls_store_close(&store);
}

/* Sets the byte `distance` after the first place in a file where `pattern` stands. */
static void damage(const char *path, const void *pattern, size_t bytes, size_t distance,
                   unsigned char value) {
  size_t n;
  size_t at = 0;
  unsigned char *const content = read_file(path, &n);
  while (at + bytes < n && memcmp(content + at, pattern, bytes) != 0) at++;
  assert_true(at + distance < n);
  content[at + distance] = value;
  write_file(path, content, n);
  free(content);
}

/* The shape of the chunks in the file's head is made larger than what their content unpacks to. */
static void chunks_of_a_false_shape_are_rejected(void **state) {
  (void)state;
  const char *const path = in_folder("chunks.h5");
  const unsigned char x[30] = {1};
  const unsigned char shape[] = {30, 0, 0, 0, 1, 0, 0, 0}; /* of a chunk, and the size of an element */
  const hsize_t chunk = 30;
  for (int packed = 0; packed < 2; packed++) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 1, &chunk);
    if (packed) H5Pset_deflate(creation, 9);
    foreign_array(path, creation, H5T_NATIVE_UINT8, 30, x);
    H5Pclose(creation);
    damage(path, shape, sizeof shape, 1, 1);
    ls_store *store = NULL;
    unsigned char back[30];
    assert_ok(ls_store_open(path, &store));
    assert_fails(ls_store_read_rows(store, "/d", 0, 1, back), LS_ERR_DATA,
                 "chunks.h5:/d"); /* HDF5 1.14 finds no chunk */
    ls_store_close(&store);
  }
}

/* Sizes and indices of texts of variable length are damaged in turn. */
static void damaged_texts_are_reported(void **state) {
  (void)state;
  const char *const path = in_folder("texts.h5");
  const char *const text = "abc";
  const struct {
    size_t distance;
    const char *words;
  } places[] = {{8, "texts.h5"},           /* the size of the collection */
                {16, "texts.h5"},          /* the index of the text */
                {26, "texts.h5"},          /* the size of the text */
                {33, "texts.h5 ~ UTF-8"}}; /* the text */
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    ls_store *store = NULL;
    char *back = NULL;
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    foreign_attribute(file, "text", type, &text);
    H5Tclose(type);
    H5Fclose(file);
    assert_ok(ls_store_open(path, &store));
    assert_ok(ls_store_read_text(store, "/", "text", &back));
    assert_string_equal(back, text);
    free(back);
    ls_store_close(&store);
    damage(path, "GCOL", 4, places[i].distance, 0xff);
    assert_ok(ls_store_open(path, &store));
    assert_fails(ls_store_read_text(store, "/", "text", &back), LS_ERR_DATA, places[i].words);
    assert_null(back);
    ls_store_close(&store);
  }
}

/* Writes one element of a type to `/d` and checks the type read; LS_TEXT + 1: it must be rejected. */
static void check_foreign_type(hid_t type, const void *value, ls_dtype expected, const void *native) {
  const char *const path = in_folder("type.h5");
  ls_store *store = NULL;
  ls_array array;
  unsigned char back[8] = {0};
  foreign_array(path, H5P_DEFAULT, type, 1, value);
  assert_ok(ls_store_open(path, &store));
  if (expected > LS_TEXT) {
    assert_fails(ls_store_describe(store, "/d", &array), LS_ERR_DATA, "type.h5:/d");
  } else {
    assert_ok(ls_store_describe(store, "/d", &array));
    assert_int_equal(array.dtype, expected);
  }
  if (native) {
    assert_ok(ls_store_read_rows(store, "/d", 0, 1, back));
    assert_memory_equal(back, native, ls_dtype_size(expected));
  }
  if (expected == LS_TEXT)
    assert_fails(ls_store_read_rows(store, "/d", 0, 1, back), LS_ERR_DATA, "type.h5:/d ~ text");
  ls_store_close(&store);
}

static void foreign_types_are_converted(void **state) {
  (void)state;
  const ls_dtype rejected = (ls_dtype)(LS_TEXT + 1);
  const unsigned char big[2] = {1, 2};
  const int16_t big_native = 258;
  check_foreign_type(H5T_STD_I16BE, big, LS_I16, &big_native);

  const unsigned char three[3] = {1, 0, 1};
  const uint32_t three_native = 65537;
  hid_t type = H5Tcopy(H5T_STD_U32LE);
  H5Tset_precision(type, 24);
  H5Tset_size(type, 3);
  check_foreign_type(type, three, LS_U32, &three_native);
  H5Tclose(type);

  const unsigned char half[2] = {0, 0x3e}; /* 1.5 in half precision */
  const float half_native = 1.5F;
  type = H5Tcopy(H5T_IEEE_F32LE);
  H5Tset_fields(type, 15, 10, 5, 0, 10);
  H5Tset_ebias(type, 15);
  H5Tset_precision(type, 16);
  H5Tset_size(type, 2);
  check_foreign_type(type, half, LS_F32, &half_native);
  H5Tclose(type);

  const int8_t truth = 1;
  const int8_t lie = 0;
  type = H5Tenum_create(H5T_STD_I8LE);
  H5Tenum_insert(type, "FALSE", &lie);
  H5Tenum_insert(type, "TRUE", &truth);
  check_foreign_type(type, &truth, LS_I8, &truth);
  H5Tclose(type);

  check_foreign_type(H5T_C_S1, "a", LS_TEXT, NULL);
  const long double wide = 1;
  if (sizeof wide > 8) check_foreign_type(H5T_NATIVE_LDOUBLE, &wide, rejected, NULL);
  type = H5Tcreate(H5T_COMPOUND, 4);
  H5Tinsert(type, "r", 0, H5T_NATIVE_FLOAT);
  check_foreign_type(type, &half_native, rejected, NULL);
  H5Tclose(type);
}

static void odd_shapes_are_rejected(void **state) {
  (void)state;
  const char *const path = in_folder("shape.h5");
  const hsize_t ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  for (int i = 0; i < 2; i++) {
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t space = i == 0 ? H5Screate_simple(9, ones, NULL) : H5Screate(H5S_NULL);
    H5Dclose(H5Dcreate2(file, "d", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    H5Fclose(file);
    expect_rejected(path, i == 0 ? "9 dimensions" : "");
  }
}

/* Chunks that split columns: each read of rows needs a whole band of chunks. */
static void bands_of_chunks_are_read(void **state) {
  (void)state;
  enum { ROWS = 50000, COLUMNS = 30 };
  const char *const path = in_folder("bands.h5");
  const hsize_t dims[2] = {ROWS, COLUMNS};
  const hsize_t chunk[2] = {ROWS, 7};
  ls_store *store = NULL;
  float *const x = calloc((size_t)ROWS * COLUMNS, sizeof *x);
  float *const back = calloc((size_t)ROWS * COLUMNS, sizeof *back);
  assert_true(x && back);
  for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = (float)(i % 1013);
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  const hid_t space = H5Screate_simple(2, dims, NULL);
  H5Pset_chunk(creation, 2, chunk);
  H5Pset_deflate(creation, 1);
  const hid_t id = H5Dcreate2(file, "d", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  assert_true(H5Dwrite(id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
  H5Dclose(id);
  H5Sclose(space);
  H5Pclose(creation);
  H5Fclose(file);
  assert_ok(ls_store_open(path, &store));
  for (size_t row = 0; row < ROWS; row += 500) /* inflating every chunk for each read would take seconds */
    assert_ok(ls_store_read_rows(store, "/d", row, 500, back + row * COLUMNS));
  assert_memory_equal(back, x, (size_t)ROWS * COLUMNS * sizeof *x);
  ls_store_close(&store);
  free(x);
  free(back);
}

/* Alternating reads of more arrays than are kept open. */
static void arrays_are_read_in_turn(void **state) {
  (void)state;
  const char *const path = in_folder("turn.h5");
  const ls_array array = {.dtype = LS_I32, .n_dims = 1, .dims = {2}};
  ls_store_writer *writer = NULL;
  ls_store *store = NULL;
  char name[32];
  assert_ok(ls_store_create(path, false, &writer));
  for (int i = 0; i < 9; i++) {
    const int32_t values[2] = {i, -i};
    snprintf(name, sizeof name, "/g/%d", i);
    assert_ok(ls_store_write_array(writer, name, &array, values));
  }
  assert_ok(ls_store_publish(&writer));
  assert_ok(ls_store_open(path, &store));
  for (int i = 0; i < 50; i++) {
    int32_t value = 0;
    snprintf(name, sizeof name, "/g/%d", i * 5 % 9);
    assert_ok(ls_store_read_rows(store, name, 1, 1, &value));
    assert_int_equal(value, -(i * 5 % 9));
  }
  ls_store_close(&store);
}

/* ------------------------------------------------------------ failing writes */

#define N_READERS 4
#define N_ROUNDS  20

typedef struct reader {
  const ls_store *store; /* shared, or NULL: opens its own */
  const char *path;
  pthread_t thread;
  bool ok;
} reader;

/* Reads /x, 1000 floats from 0, in parts, N_ROUNDS times. */
static void *read_vector(void *context) {
  reader *const r = context;
  float x[300];
  r->ok = true;
  for (int round = 0; r->ok && round < N_ROUNDS; round++) {
    ls_store *own = NULL;
    r->ok = r->store || ls_store_open(r->path, &own) == LS_OK;
    for (size_t first = 0; r->ok && first < 1000; first += 300) {
      const size_t n = ls_size_min(300, 1000 - first);
      r->ok = ls_store_read_rows(r->store ? r->store : own, "/x", first, n, x) == LS_OK;
      for (size_t i = 0; r->ok && i < n; i++) r->ok = x[i] == (float)(first + i);
    }
    ls_store_close(&own);
  }
  return NULL;
}

/* Threads read one store and others of the same file while this thread writes files and fails to open one.
 */
static void threads_read_while_another_writes(void **state) {
  (void)state;
  ls_store *store = NULL;
  ls_store *missing = NULL;
  reader readers[N_READERS];
  char path[PATH_BYTES + 64];
  snprintf(path, sizeof path, "%s", in_folder("threads.h5"));
  write_vector(path, false, 1000, 0);
  assert_ok(ls_store_open(path, &store));
  for (int i = 0; i < N_READERS; i++) {
    readers[i] = (reader){.store = i % 2 ? store : NULL, .path = path};
    assert_int_equal(ls_thread_start(&readers[i].thread, read_vector, &readers[i]), 0);
  }
  for (int i = 0; i < N_ROUNDS; i++) {
    write_vector(in_folder("threads-other.h5"), i % 2, 1000, 5);
    assert_fails(ls_store_open("/nonexistent/x.h5", &missing), LS_ERR_DATA, "nonexistent");
  }
  for (int i = 0; i < N_READERS; i++) {
    assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
    assert_true(readers[i].ok);
  }
  ls_store_close(&store);
}

static void impossible_targets_are_reported(void **state) {
  (void)state;
  ls_store_writer *writer = NULL;
  assert_fails(ls_store_create(in_folder("absent/x.h5"), false, &writer), LS_ERR_OUTPUT, "absent/x.h5");
  assert_fails(ls_store_create(in_folder("absent/x.h5"), true, &writer), LS_ERR_OUTPUT, "No such file");
  assert_fails(ls_store_create("/proc/x.h5", true, &writer), LS_ERR_OUTPUT, "/proc/x.h5");
  assert_fails(ls_store_create(folder, false, &writer), LS_ERR_OUTPUT, folder);
  assert_fails(ls_store_create("/dev/null", false, &writer), LS_ERR_OUTPUT, "/dev/null");
  assert_null(writer);
  assert_int_equal(mkdir(in_folder("closed"), 0500), 0);
  if (geteuid() != 0)
    assert_fails(ls_store_create(in_folder("closed/x.h5"), false, &writer), LS_ERR_OUTPUT,
                 "Permission denied");
  assert_int_equal(rmdir(in_folder("closed")), 0);
}

static void publishing_replaces_the_file(void **state) {
  (void)state;
  const char *const path = in_folder("replace.h5");
  const ls_array array = {.dtype = LS_F32, .n_dims = 1, .dims = {1}};
  const float newer = 2;
  ls_store_writer *writer = NULL;
  ls_store *store = NULL;
  float x = 0;
  write_vector(path, false, 10, 1);
  assert_ok(ls_store_open(path, &store));
  assert_ok(ls_store_create(path, true, &writer));
  assert_ok(ls_store_write_array(writer, "/x", &array, &newer));
  assert_true(first_of_vector(path) == 1);
  assert_int_equal(count_files("replace.h5.tmp-"), 1);
  assert_ok(ls_store_publish(&writer));
  assert_true(first_of_vector(path) == 2);
  assert_int_equal(count_files("replace.h5"), 1);
  assert_ok(ls_store_read_rows(store, "/x", 9, 1, &x)); /* the older one, still open */
  assert_true(x == 10);
  ls_store_close(&store);
}

/* Creates three files with the temporary names of part-0.h5, ... */
static void write_parts(ls_store_writer *writers[3]) {
  const ls_array array = {.dtype = LS_F32, .n_dims = 1, .dims = {1}};
  for (size_t i = 0; i < 3; i++) {
    const float value = (float)i;
    char name[16];
    snprintf(name, sizeof name, "part-%zu.h5", i);
    assert_ok(ls_store_create(in_folder(name), false, &writers[i]));
    assert_ok(ls_store_write_array(writers[i], "/x", &array, &value));
  }
}

static void several_files_are_published_together(void **state) {
  (void)state;
  ls_store_writer *writers[3];
  write_parts(writers);
  assert_ok(ls_store_complete(writers[1]));
  assert_int_equal(count_files("part-"), 3); /* with their temporary names */
  assert_int_equal(mkdir(in_folder("part-2.h5"), 0700), 0);
  assert_int_equal(ls_store_publish_all(writers, 3), LS_ERR_OUTPUT);
  assert_non_null(strstr(ls_message(), "part-2.h5"));
  assert_int_equal(count_files("part-"), 1); /* the folder: no file remains */
  assert_int_equal(rmdir(in_folder("part-2.h5")), 0);
  write_parts(writers);
  assert_ok(ls_store_publish_all(writers, 3));
  assert_int_equal(count_files("part-"), 3);
  for (size_t i = 0; i < 3; i++) assert_null(writers[i]);
  assert_true(first_of_vector(in_folder("part-2.h5")) == 2);
}

static void discarding_leaves_the_older_file(void **state) {
  (void)state;
  const char *const path = in_folder("discard.h5");
  const ls_array array = {.dtype = LS_F32, .n_dims = 1};
  const float newer = 2;
  ls_store_writer *writer = NULL;
  write_vector(path, false, 10, 1);
  assert_ok(ls_store_create(path, false, &writer));
  assert_ok(ls_store_begin_array(writer, "/x", &array));
  assert_ok(ls_store_append(writer, "/x", 1, &newer));
  ls_store_discard(&writer);
  assert_null(writer);
  ls_store_discard(&writer);
  assert_true(first_of_vector(path) == 1);
  assert_int_equal(count_files("discard.h5"), 1);
}

static void duplicate_names_are_rejected(void **state) {
  (void)state;
  const ls_array array = {.dtype = LS_F32, .n_dims = 1, .dims = {1}};
  const float x = 0;
  ls_store_writer *writer = NULL;
  assert_ok(ls_store_create(in_folder("double.h5"), false, &writer));
  assert_ok(ls_store_write_array(writer, "/x", &array, &x));
  assert_fails(ls_store_write_array(writer, "/x", &array, &x), LS_ERR_OUTPUT, "double.h5 ~ /x");
  ls_store_discard(&writer);
  assert_ok(ls_store_create(in_folder("double.h5"), false, &writer));
  assert_ok(ls_store_write_array(writer, "/x", &array, &x));
  assert_int_equal(ls_store_write_group(writer, "/x/below"), LS_ERR_OUTPUT);
  ls_store_discard(&writer);
  assert_ok(ls_store_create(in_folder("double.h5"), false, &writer));
  assert_fails(ls_store_write_u64(writer, "/y", "a", 1), LS_ERR_OUTPUT, "double.h5 ~ /y ~ a");
  ls_store_discard(&writer);
  assert_int_equal(count_files("double.h5"), 0);
}

/* A temporary file that changes unexpectedly, as on a bad disk, is not published. */
static void damage_before_publishing_is_found(void **state) {
  (void)state;
  const char *const path = in_folder("behind.h5");
  char *const temporary = ls_store_temporary(path);
  const ls_array array = {.dtype = LS_F32, .n_dims = 1};
  ls_store_writer *writer = NULL;
  write_vector(path, false, 10, 1);
  assert_non_null(temporary);
  assert_ok(ls_store_create(path, true, &writer));
  assert_ok(ls_store_begin_array(writer, "/x", &array));
  assert_int_equal(unlink(temporary), 0); /* the writer continues with a nameless file */
  write_file(temporary, "not what was written", 20);
  assert_fails(ls_store_publish(&writer), LS_ERR_OUTPUT, "behind.h5");
  assert_true(first_of_vector(path) == 1);
  assert_int_equal(count_files("behind.h5"), 1);
  free(temporary);
}

/* Tries to write 4 MiB of noise, which deflate cannot compress. Returns the status, or LS_OK if the message
 * does not name the file. */
static ls_status write_noise(const char *path, bool sealed) {
  enum { N = 1 << 20 };
  const ls_array array = {.dtype = LS_U32, .n_dims = 1, .dims = {N}};
  const ls_rng rng = ls_rng_make(1, LS_RNG_CHECK, 0, 0);
  ls_store_writer *writer = NULL;
  uint32_t *const x = calloc(N, sizeof *x);
  if (!x) return LS_ERR_INTERNAL;
  ls_rng_words(&rng, 0, N, x);
  ls_status status = ls_store_create(path, sealed, &writer);
  if (status == LS_OK) status = ls_store_write_array(writer, "/x", &array, x);
  if (status == LS_OK) status = ls_store_publish(&writer);
  ls_store_discard(&writer);
  free(x);
  return strstr(ls_message(), path) && strstr(ls_message(), "File too large") ? status : LS_OK;
}

/* A limit on the size of files simulates a full disk or a quota, in a child process that must exit
 * normally. If not even the first block can be written, HDF5 leaks memory; then the child skips leak
 * checkers. */
static void write_beyond_limit(bool sealed, rlim_t limit) {
  const char *const path = in_folder("full.h5");
  int outcome = 0;
  write_vector(path, false, 10, 1);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const struct rlimit tight = {.rlim_cur = limit, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    const int code = setrlimit(RLIMIT_FSIZE, &tight) ? 1 : (int)write_noise(path, sealed);
    if (limit < 4096) _exit(code);
    exit(code);
  }
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &outcome, 0), child);
  assert_true(WIFEXITED(outcome));
  assert_int_equal(WEXITSTATUS(outcome), LS_ERR_OUTPUT);
  assert_true(first_of_vector(path) == 1);
  assert_int_equal(count_files("full.h5"), 1);
}

static void a_full_disk_is_reported(void **state) {
  (void)state;
  for (int sealed = 0; sealed < 2; sealed++) {
    write_beyond_limit(sealed, 0);
    write_beyond_limit(sealed, 400);
    write_beyond_limit(sealed, 1000);
    write_beyond_limit(sealed, 1 << 20);
    write_beyond_limit(sealed, (4 << 20) - 4096);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(types_have_names_and_sizes),
      cmocka_unit_test(arrays_describe_themselves),
      cmocka_unit_test(row_sizes_are_checked),
      cmocka_unit_test(digests_differ_between_blocks),
      cmocka_unit_test(plain_files_keep_all_types),
      cmocka_unit_test(sealed_files_keep_all_types),
      cmocka_unit_test(rows_are_appended),
      cmocka_unit_test(more_rows_than_declared_are_rejected),
      cmocka_unit_test(empty_arrays_and_scalars_are_kept),
      cmocka_unit_test(rows_out_of_range_are_rejected),
      cmocka_unit_test(attributes_round_trip),
      cmocka_unit_test(attributes_of_another_type_are_rejected),
      cmocka_unit_test(foreign_attributes_are_read),
      cmocka_unit_test(equal_content_gives_equal_bytes),
      cmocka_unit_test(a_flip_in_any_byte_breaks_the_seal),
      cmocka_unit_test(truncated_and_lengthened_files_are_rejected),
      cmocka_unit_test(only_sealed_files_open_as_sealed),
      cmocka_unit_test(other_files_are_rejected),
      cmocka_unit_test(links_are_not_followed),
      cmocka_unit_test(loops_of_groups_end),
      cmocka_unit_test(overlong_groups_are_rejected),
      cmocka_unit_test(external_storage_is_rejected),
      cmocka_unit_test(virtual_datasets_are_rejected),
      cmocka_unit_test(unknown_filters_are_rejected),
      cmocka_unit_test(repeated_filters_are_rejected),
      cmocka_unit_test(arrays_never_written_are_rejected),
      cmocka_unit_test(mostly_empty_arrays_are_rejected),
      cmocka_unit_test(zeros_are_read),
      cmocka_unit_test(damaged_chunks_are_reported),
      cmocka_unit_test(chunks_of_a_false_shape_are_rejected),
      cmocka_unit_test(damaged_texts_are_reported),
      cmocka_unit_test(foreign_types_are_converted),
      cmocka_unit_test(odd_shapes_are_rejected),
      cmocka_unit_test(bands_of_chunks_are_read),
      cmocka_unit_test(arrays_are_read_in_turn),
      cmocka_unit_test(threads_read_while_another_writes),
      cmocka_unit_test(impossible_targets_are_reported),
      cmocka_unit_test(publishing_replaces_the_file),
      cmocka_unit_test(several_files_are_published_together),
      cmocka_unit_test(discarding_leaves_the_older_file),
      cmocka_unit_test(duplicate_names_are_rejected),
      cmocka_unit_test(damage_before_publishing_is_found),
      cmocka_unit_test(a_full_disk_is_reported),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
