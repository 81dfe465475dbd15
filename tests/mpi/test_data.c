/* The module data at several ranks: datasets from files, normaliser, split, distribution of samples. */
#include "support.h"

#include "lockstep/data.h"
#include "lockstep/job.h"

/* Recorded results. They must not change, or runs could not be resumed from older checkpoints. */
#define FINGERPRINT_LOW  UINT64_C(0x372f297669797ea7)
#define FINGERPRINT_HIGH UINT64_C(0x14d72b7d69750991)
#define SELECTION_LOW    UINT64_C(0x171630b895e51d37)
#define SPLIT_LOW        UINT64_C(0x471f36225d2805a)
#define ORDER_LOW        UINT64_C(0x53b17cc640e32016)
#define MOVED_LOW        UINT64_C(0x52cf631d5423c1d4)
#define PARTNERS_LOW     UINT64_C(0xd52850f16db88d8)

/* ------------------------------------------------------------------- fixtures */

/* An array of a file. */
typedef struct piece {
  const char *path;
  ls_array array;
  const void *data;
} piece;

#define ARRAY1(type, n)    ((ls_array){.dtype = (type), .n_dims = 1, .dims = {(n)}})
#define ARRAY2(type, n, k) ((ls_array){.dtype = (type), .n_dims = 2, .dims = {(n), (k)}})

/* Local. Rank 0 writes a file in the folder of the test. */
static void write_file(const char *name, const piece *pieces, size_t n) {
  ls_store_writer *writer = NULL;
  if (rank != 0) return;
  ls_status status = ls_store_create(in_folder(name), false, &writer);
  for (size_t i = 0; status == LS_OK && i < n; i++)
    status = ls_store_write_array(writer, pieces[i].path, &pieces[i].array, pieces[i].data);
  if (status == LS_OK)
    status = ls_store_publish(&writer);
  else
    ls_store_discard(&writer);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
}

/* Collective. Opens and reads a valid dataset. */
static ls_dataset *open_file(const char *name, ls_dataset_request request, size_t n_outputs) {
  ls_dataset *dataset = NULL;
  request.spec = in_folder(name);
  ls_status status = ls_dataset_open(comm, &request, &dataset);
  if (status == LS_OK) status = ls_dataset_read(comm, dataset, n_outputs);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  settle();
  return dataset;
}

/* Collective. Expects an error whose message on all ranks contains `parts`, a list that ends with NULL. */
static void check_rejected(const char *name, ls_dataset_request request, size_t n_outputs,
                           const char *const *parts) {
  ls_dataset *dataset = NULL;
  char spec[512];
  snprintf(spec, sizeof spec, "%s", in_folder(name));
  request.spec = spec;
  ls_status status = ls_dataset_open(comm, &request, &dataset);
  EXPECT((status == LS_OK) == (dataset != NULL));
  if (status == LS_OK) status = ls_dataset_read(comm, dataset, n_outputs);
  if (status != LS_ERR_DATA)
    complain(__FILE__, __LINE__, "%s, '%s': status %d, not %d", name, parts[0], (int)status, LS_ERR_DATA);
  for (; *parts; parts++) EXPECT_PART(ls_message(), *parts);
  EXPECT(same_text(ls_message()));
  ls_dataset_close(comm, &dataset);
  settle();
}

/* Local. x of a sample that is stored in float32. */
static const float *x_of(const ls_dataset *d, uint64_t sample) {
  ls_row row;
  ls_dataset_fetch(d, 1, &sample, &row);
  return row.x;
}

/* Local. The order of an epoch. The caller destroys it. */
static ls_order *new_order(const ls_view *view, uint64_t seed, uint64_t epoch, bool shuffle) {
  ls_order *order = NULL;
  EXPECT(ls_order_create(view, seed, shuffle, 0, &order) == LS_OK);
  LS_ASSERT(order);
  ls_order_begin(order, epoch);
  return order;
}

/* Local. The sample at a position. */
static uint64_t order_at(const ls_order *order, uint64_t position) {
  uint64_t sample = 0;
  ls_order_samples(order, position, 1, &sample);
  return sample;
}

#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Local. Gathers n samples in this order into x. normalizer: NULL for one that changes nothing. The caller
 * destroys the batch. */
static ls_batch *gather(const ls_dataset *d, const ls_normalizer *normalizer, size_t n,
                        const uint64_t *samples, float *x) {
  ls_batch *batch = NULL;
  ls_normalizer *plain = NULL;
  if (ls_batch_create(d, n, &batch) != LS_OK || ls_normalizer_create(d->n_features, &plain) != LS_OK)
    complain(__FILE__, __LINE__, "%s", ls_message());
  if (batch && plain) {
    memcpy(batch->samples, samples, n * sizeof *samples);
    ls_batch_gather(batch, d, normalizer ? normalizer : plain, n);
    memcpy(x, batch->x, n * d->n_features * sizeof *x);
    EXPECT(batch->rows == n);
  }
  ls_normalizer_destroy(&plain);
  return batch;
}

/* ----------------------------------------------------------------------- types */

#define ROWS     7
#define FEATURES 3

/* Numbers that each type represents exactly; signed types include negative numbers. */
static double number(ls_dtype dtype, size_t i) {
  const bool is_signed = dtype >= LS_I8;
  return (double)((i * 37) % 100) - (is_signed ? 50.0 : 0.0);
}

static void put(ls_dtype dtype, void *array, size_t i, double v) {
  switch (dtype) {
  case LS_U8: ((uint8_t *)array)[i] = (uint8_t)v; break;
  case LS_U16: ((uint16_t *)array)[i] = (uint16_t)v; break;
  case LS_U32: ((uint32_t *)array)[i] = (uint32_t)v; break;
  case LS_U64: ((uint64_t *)array)[i] = (uint64_t)v; break;
  case LS_I8: ((int8_t *)array)[i] = (int8_t)v; break;
  case LS_I16: ((int16_t *)array)[i] = (int16_t)v; break;
  case LS_I32: ((int32_t *)array)[i] = (int32_t)v; break;
  case LS_I64: ((int64_t *)array)[i] = (int64_t)v; break;
  case LS_F32: ((float *)array)[i] = (float)v; break;
  case LS_F64: ((double *)array)[i] = v; break;
  case LS_TEXT: break;
  }
}

/* A normalised number, in the arithmetic of its stored type. */
static float normalized(ls_dtype dtype, double v, double offset, double factor) {
  if (dtype == LS_U8 || dtype == LS_F32) return ((float)v - (float)offset) * (float)factor;
  return (float)((v - offset) * factor);
}

static void check_type(ls_dtype dtype) {
  const double offset[FEATURES] = {0.1, -3.7, 20.0};
  const double factor[FEATURES] = {1.0 / 3.0, 0.7, 1.0};
  const uint64_t samples[] = {6, 0, 3, 3, 5};
  double raw[ROWS * FEATURES];
  uint8_t y[ROWS] = {0, 1, 2, 2, 1, 0, 1};
  float x[COUNT(samples) * FEATURES];
  for (size_t i = 0; i < COUNT(raw); i++) put(dtype, raw, i, number(dtype, i));
  const piece pieces[] = {{"/x", ARRAY2(dtype, ROWS, FEATURES), raw}, {"/y", ARRAY1(LS_U8, ROWS), y}};
  write_file("types.h5", pieces, 2);
  ls_dataset *d = open_file("types.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES}, 3);
  EXPECT(d->n_samples == ROWS && d->n_features == FEATURES && d->n_outputs == 3 && !d->has_weights);
  EXPECT(d->x_array.dtype == dtype && d->x_array.n_dims == 2 && d->target == LS_TARGET_CLASSES);
  ls_normalizer *normalizer = NULL;
  EXPECT(ls_normalizer_create(FEATURES, &normalizer) == LS_OK);
  ls_normalizer_set(normalizer, offset, factor);
  ls_batch *batch = gather(d, normalizer, COUNT(samples), samples, x);
  for (size_t i = 0; i < COUNT(samples); i++) {
    EXPECT(batch->classes[i] == y[samples[i]]);
    for (size_t j = 0; j < FEATURES; j++)
      EXPECT(x[i * FEATURES + j] ==
             normalized(dtype, number(dtype, samples[i] * FEATURES + j), offset[j], factor[j]));
  }
  for (size_t j = 0; j < FEATURES; j++) { /* a single column has the same bits */
    float column[ROWS];
    ls_dataset_column(d, normalizer, j, column);
    for (size_t i = 0; i < COUNT(samples); i++) EXPECT(column[samples[i]] == x[i * FEATURES + j]);
  }
  ls_batch_destroy(&batch);
  ls_normalizer_destroy(&normalizer);
  ls_dataset_close(comm, &d);
  settle();
}

static void test_types(void **state) {
  (void)state;
  for (int dtype = LS_U8; dtype < LS_TEXT; dtype++) check_type((ls_dtype)dtype);
}

/* An image of shape (H, W) is a row of H * W features. */
static void test_images(void **state) {
  (void)state;
  uint8_t pixels[5 * 4 * 4];
  const uint8_t y[5] = {0};
  float x[2 * 16];
  for (size_t i = 0; i < COUNT(pixels); i++) pixels[i] = (uint8_t)(255 - i);
  const piece pieces[] = {{"/x", {.dtype = LS_U8, .n_dims = 3, .dims = {5, 4, 4}}, pixels},
                          {"/y", ARRAY1(LS_U8, 5), y}};
  write_file("images.h5", pieces, 2);
  ls_dataset *d = open_file("images.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES}, 2);
  EXPECT(d->n_samples == 5 && d->n_features == 16 && d->x_array.n_dims == 3);
  ls_batch *batch = gather(d, NULL, 2, (const uint64_t[]){0, 4}, x);
  for (size_t i = 0; i < 16; i++) EXPECT(x[i] == (float)pixels[i] && x[16 + i] == (float)pixels[64 + i]);
  ls_batch_destroy(&batch);
  ls_dataset_close(comm, &d);
  settle();
}

/* --------------------------------------------------------------------- targets */

static const float four_x[4] = {0.0F, 1.0F, 2.0F, 3.0F};
static const uint64_t all_four[4] = {0, 1, 2, 3};

/* Collective. The classes 2, 0, 1, 2 in the given form of y. */
static void check_classes(ls_array array, const void *y) {
  const int32_t expected[4] = {2, 0, 1, 2};
  float x[4];
  const piece pieces[] = {{"/x", ARRAY2(LS_F32, 4, 1), four_x}, {"/y", array, y}};
  write_file("classes.h5", pieces, 2);
  ls_dataset *d = open_file("classes.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES}, 3);
  ls_batch *batch = gather(d, NULL, 4, all_four, x);
  EXPECT(memcmp(batch->classes, expected, sizeof expected) == 0);
  EXPECT(!batch->values && !batch->weights);
  ls_batch_destroy(&batch);
  ls_dataset_close(comm, &d);
  settle();
}

static void test_classes(void **state) {
  (void)state;
  const uint8_t u8[4] = {2, 0, 1, 2};
  const int64_t i64[4] = {2, 0, 1, 2};
  const double f64[4] = {2.0, 0.0, 1.0, 2.0};
  const uint8_t hot_u8[12] = {0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
  float hot_f32[12];
  for (size_t i = 0; i < 12; i++) hot_f32[i] = hot_u8[i];
  check_classes(ARRAY1(LS_U8, 4), u8);
  check_classes(ARRAY1(LS_I64, 4), i64);
  check_classes(ARRAY1(LS_F64, 4), f64);
  check_classes(ARRAY2(LS_U8, 4, 1), u8);
  check_classes(ARRAY2(LS_F64, 4, 1), f64);
  check_classes(ARRAY2(LS_U8, 4, 3), hot_u8);
  check_classes(ARRAY2(LS_F32, 4, 3), hot_f32);
}

/* Collective. Numbers of shape (N), (N, 1) or (N, K), for regression or labels. */
static void check_values(ls_target_kind target, ls_array array, const float *y, size_t cols) {
  float x[4];
  const piece pieces[] = {{"/x", ARRAY2(LS_F32, 4, 1), four_x}, {"/y", array, y}};
  write_file("values.h5", pieces, 2);
  for (size_t asked = 0; asked <= cols; asked += cols) { /* 0: as in the file */
    ls_dataset *d = open_file("values.h5", (ls_dataset_request){.target = target}, asked);
    EXPECT(d->n_outputs == cols);
    ls_batch *batch = gather(d, NULL, 4, all_four, x);
    EXPECT(!batch->classes);
    EXPECT(memcmp(batch->values, y, 4 * cols * sizeof *y) == 0);
    ls_batch_destroy(&batch);
    ls_dataset_close(comm, &d);
    settle();
  }
}

static void test_values(void **state) {
  (void)state;
  const float y[8] = {1.5F, -2.0F, 0.0F, 1e30F, 0.25F, 7.0F, -1e-30F, 3.0F};
  const float labels[8] = {0.0F, 1.0F, 1.0F, 0.0F, 0.5F, 0.0F, 0.0F, 1.0F};
  check_values(LS_TARGET_VALUES, ARRAY1(LS_F32, 4), y, 1);
  check_values(LS_TARGET_VALUES, ARRAY2(LS_F32, 4, 1), y, 1);
  check_values(LS_TARGET_VALUES, ARRAY2(LS_F32, 4, 2), y, 2);
  check_values(LS_TARGET_LABELS, ARRAY1(LS_F32, 4), labels, 1);
  check_values(LS_TARGET_LABELS, ARRAY2(LS_F32, 4, 2), labels, 2);
}

static void test_weights(void **state) {
  (void)state;
  const uint8_t y[4] = {0, 1, 0, 1};
  const double w[4] = {0.5, 0.0, 2.0, 1.0};
  const float bad[4] = {1.0F, 1.0F, -0.5F, 1.0F};
  const float zero[4] = {0.0F};
  float x[4];
  const ls_dataset_request request = {.target = LS_TARGET_CLASSES};
  piece pieces[] = {
      {"/x", ARRAY2(LS_F32, 4, 1), four_x}, {"/y", ARRAY1(LS_U8, 4), y}, {"/w", ARRAY1(LS_F64, 4), w}};
  write_file("weights.h5", pieces, 3);
  ls_dataset *d = open_file("weights.h5", request, 2);
  EXPECT(d->has_weights);
  ls_batch *batch = gather(d, NULL, 4, all_four, x);
  for (size_t i = 0; i < 4; i++) EXPECT(batch->weights && batch->weights[i] == (float)w[i]);
  ls_batch_destroy(&batch);
  ls_dataset_close(comm, &d);
  settle();
  pieces[2] = (piece){"/w", ARRAY1(LS_F32, 4), bad};
  write_file("weights.h5", pieces, 3);
  check_rejected("weights.h5", request, 2, PARTS("weights.h5:/w", "row 2", "-0.5"));
  pieces[2].data = zero;
  write_file("weights.h5", pieces, 3);
  check_rejected("weights.h5", request, 2, PARTS("weights.h5:/w", "0"));
  pieces[2].array = ARRAY1(LS_F32, 3);
  write_file("weights.h5", pieces, 3);
  check_rejected("weights.h5", request, 2, PARTS("weights.h5:/w", "(3,) float32"));
}

/* ----------------------------------------------------------------- many samples */

#define LARGE      40000 /* rows, so that several ranks read a part each */
#define LARGE_COLS 32

/* All ranks have the same blocks, of whole chunks and at least 1 MiB. */
static void check_blocks_of(const ls_dataset *d) {
  const uint64_t rows = d->blocks->files[0].rows_per_block;
  EXPECT(d->blocks->n_files == 1 && d->blocks->n_samples == LARGE);
  EXPECT(d->blocks->n == (LARGE + rows - 1) / rows && d->blocks->n > 1);
  EXPECT(rows * LARGE_COLS * sizeof(float) >= 1 << 20 && rows * LARGE_COLS * sizeof(float) <= 8 << 20);
  EXPECT(same_bytes(d->blocks->files, sizeof *d->blocks->files));
}

/* All rows are present, on whichever rank they were read; an invalid number is reported with its position.
 */
static void test_many_samples(void **state) {
  (void)state;
  const size_t bad[] = {0, (size_t)LARGE / 2 * LARGE_COLS + 5, (size_t)LARGE * LARGE_COLS - 1};
  const ls_dataset_request request = {.target = LS_TARGET_NONE};
  float *const x = ls_calloc((size_t)LARGE * LARGE_COLS, sizeof *x);
  LS_ASSERT(x);
  for (size_t i = 0; i < (size_t)LARGE * LARGE_COLS; i++) x[i] = (float)(i * 7 % 1000003);
  const piece pieces[] = {{"/x", ARRAY2(LS_F32, LARGE, LARGE_COLS), x}};
  write_file("many.h5", pieces, 1);
  ls_dataset *d = open_file("many.h5", request, 0);
  for (size_t i = 0; d && i < LARGE; i++)
    EXPECT(memcmp(x_of(d, i), x + i * LARGE_COLS, LARGE_COLS * sizeof *x) == 0);
  check_blocks_of(d);
  ls_dataset_close(comm, &d);
  for (size_t k = 0; k < COUNT(bad); k++) {
    char place[64];
    const float good = x[bad[k]];
    snprintf(place, sizeof place, "row %zu, feature %zu is inf", bad[k] / LARGE_COLS, bad[k] % LARGE_COLS);
    x[bad[k]] = INFINITY;
    write_file("many.h5", pieces, 1);
    check_rejected("many.h5", request, 0, PARTS("many.h5:/x", place));
    x[bad[k]] = good;
  }
  free(x);
  settle();
}

/* For prediction, a file with x alone is sufficient. */
static void test_no_targets(void **state) {
  (void)state;
  float x[4];
  const piece pieces[] = {{"/x", ARRAY2(LS_F32, 4, 1), four_x}};
  write_file("alone.h5", pieces, 1);
  ls_dataset *d = open_file("alone.h5", (ls_dataset_request){.target = LS_TARGET_NONE}, 0);
  ls_batch *batch = gather(d, NULL, 4, all_four, x);
  EXPECT(memcmp(x, four_x, sizeof x) == 0 && !batch->classes && !batch->values && !batch->weights);
  ls_batch_destroy(&batch);
  ls_dataset_close(comm, &d);
  settle();
}

/* ----------------------------------------------------------------------- names */

/* Collective. Expects an x with this first number. */
static void check_found(const char *name, ls_dataset_request request, float first) {
  request.target = LS_TARGET_CLASSES;
  ls_dataset *d = open_file(name, request, 2);
  EXPECT_CLOSE((double)x_of(d, 0)[0], (double)first, 0.0);
  ls_dataset_close(comm, &d);
  settle();
}

static void test_names(void **state) {
  (void)state;
  const uint8_t y[2] = {0, 1};
  const float x[4][2] = {{10.0F}, {20.0F}, {30.0F}, {40.0F}};
  const ls_array ax = ARRAY2(LS_F32, 2, 1);
  const ls_array ay = ARRAY1(LS_U8, 2);
  const piece suffixes[] = {{"/X_train", ax, x[0]}, {"/y_train", ay, y},  {"/X_test", ax, x[1]},
                            {"/y_test", ay, y},     {"/X_val", ax, x[2]}, {"/y_val", ay, y}};
  write_file("suffixes.h5", suffixes, 6);
  check_found("suffixes.h5", (ls_dataset_request){.role = "train"}, 10.0F);
  check_found("suffixes.h5", (ls_dataset_request){.role = "test"}, 20.0F);
  check_found("suffixes.h5", (ls_dataset_request){.role = "validation"}, 30.0F);
  check_found("suffixes.h5", (ls_dataset_request){.role = "train", .x = "X_test", .y = "y_test"}, 20.0F);

  const piece groups[] = {{"/test/x", ax, x[1]}, {"/test/y", ay, y}, {"/other/z", ay, y}};
  write_file("groups.h5", groups, 3);
  check_found("groups.h5", (ls_dataset_request){.role = "train"}, 20.0F); /* the only group with an x */
  check_found("groups.h5:/test", (ls_dataset_request){0}, 20.0F);
  check_rejected("groups.h5:/test", (ls_dataset_request){.x = "/other/z"}, 2,
                 PARTS("groups.h5:/test", "data.x", "/other/z"));
  check_rejected("groups.h5:/test", (ls_dataset_request){.target = LS_TARGET_CLASSES, .y = "/other/z"}, 2,
                 PARTS("groups.h5:/test", "data.y", "/other/z"));
  check_rejected("groups.h5:/test", (ls_dataset_request){.x = "z"}, 2, PARTS("groups.h5", "/test/z"));

  const piece people[] = {{"/images", ax, x[3]}, {"/labels", ay, y}};
  write_file("people.h5", people, 2);
  check_found("people.h5", (ls_dataset_request){.role = "train"}, 40.0F);

  const piece odd[] = {{"/a/pixels", ax, x[2]}, {"/b/digit", ay, y}};
  write_file("odd.h5", odd, 2);
  check_found("odd.h5", (ls_dataset_request){.x = "/a/pixels", .y = "/b/digit"}, 30.0F);
}

/* Several candidates are an error that lists them. */
static void test_ambiguity(void **state) {
  (void)state;
  const uint8_t y[2] = {0, 1};
  const ls_array ax = ARRAY2(LS_F32, 2, 1);
  const ls_array ay = ARRAY1(LS_U8, 2);
  const ls_dataset_request request = {.role = "train", .target = LS_TARGET_CLASSES};
  const piece inputs[] = {{"/x", ax, four_x}, {"/images", ax, four_x}, {"/y", ay, y}};
  write_file("two-x.h5", inputs, 3);
  check_rejected("two-x.h5", request, 2, PARTS("two-x.h5:/", "/x", "/images", "data.x"));
  const piece targets[] = {{"/x", ax, four_x}, {"/label", ay, y}, {"/target", ay, y}};
  write_file("two-y.h5", targets, 3);
  check_rejected("two-y.h5", request, 2, PARTS("two-y.h5:/", "/label", "/target", "data.y"));
  const piece groups[] = {{"/a/x", ax, four_x}, {"/a/y", ay, y}, {"/b/x", ax, four_x}, {"/b/y", ay, y}};
  write_file("two-groups.h5", groups, 4);
  check_rejected("two-groups.h5", request, 2, PARTS("two-groups.h5", "/a", "/b", "two-groups.h5:/a"));
  check_rejected("two-groups.h5:/c", request, 2, PARTS("two-groups.h5", "/c"));
  const piece nothing[] = {{"/z", ay, y}};
  write_file("nothing.h5", nothing, 1);
  check_rejected("nothing.h5", request, 2, PARTS("nothing.h5:/", "z"));
}

/* ---------------------------------------------------------------------- errors */

static void test_invalid_files(void **state) {
  (void)state;
  const ls_dataset_request request = {.target = LS_TARGET_CLASSES};
  check_rejected("absent.h5", request, 2, PARTS("absent.h5"));
  FILE *const file = rank == 0 ? fopen(in_folder("text.h5"), "w") : NULL;
  if (file) {
    fputs("x,y\n1,2\n", file);
    fclose(file);
  }
  check_rejected("text.h5", request, 2, PARTS("text.h5"));
  check_rejected("", request, 2, PARTS("lockstep-mpi-")); /* a folder */
}

/* Collective. Expects an error for these targets. */
static void check_bad_targets(ls_target_kind target, ls_array array, const void *y,
                              const char *const *parts) {
  const piece pieces[] = {{"/x", ARRAY2(LS_F32, 4, 1), four_x}, {"/y", array, y}};
  write_file("targets.h5", pieces, 2);
  check_rejected("targets.h5", (ls_dataset_request){.target = target}, 3, parts);
}

static void test_bad_targets(void **state) {
  (void)state;
  const uint8_t out_of_range[4] = {0, 1, 2, 3};
  const double fraction[4] = {0.0, 0.5, 1.0, 2.0};
  const double negative[4] = {0.0, -1.0, 1.0, 2.0};
  const double nan_class[4] = {0.0, 1.0, (double)NAN, 2.0};
  const uint8_t two_hot[12] = {1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0};
  const uint8_t none_hot[12] = {1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0};
  check_bad_targets(LS_TARGET_CLASSES, ARRAY1(LS_U8, 4), out_of_range,
                    PARTS("targets.h5:/y", "row 3", "label 3"));
  check_bad_targets(LS_TARGET_CLASSES, ARRAY1(LS_F64, 4), fraction, PARTS("targets.h5:/y", "row 1", "0.5"));
  check_bad_targets(LS_TARGET_CLASSES, ARRAY1(LS_F64, 4), negative, PARTS("targets.h5:/y", "row 1", "-1"));
  check_bad_targets(LS_TARGET_CLASSES, ARRAY1(LS_F64, 4), nan_class,
                    PARTS("targets.h5:/y", "row 2", "nan"));
  check_bad_targets(LS_TARGET_CLASSES, ARRAY2(LS_U8, 4, 3), two_hot,
                    PARTS("targets.h5:/y", "row 1", "one-hot"));
  check_bad_targets(LS_TARGET_CLASSES, ARRAY2(LS_U8, 4, 3), none_hot,
                    PARTS("targets.h5:/y", "row 3", "one-hot"));
  check_bad_targets(LS_TARGET_CLASSES, ARRAY2(LS_U8, 4, 2), two_hot,
                    PARTS("targets.h5:/y", "(4, 2) uint8"));
  check_bad_targets(LS_TARGET_CLASSES, ARRAY2(LS_U8, 4, 0), two_hot, PARTS("targets.h5:/y"));
  check_bad_targets(LS_TARGET_CLASSES, ARRAY1(LS_U8, 3), out_of_range, PARTS("targets.h5", "4", "3"));
}

static void test_bad_numbers(void **state) {
  (void)state;
  const double values[12] = {0, 1, 2, 3, 4, 5, 6, 7, 1e39, 9, 10, 11};
  const double nan_value[12] = {0, 1, 2, 3, (double)NAN};
  const double label[12] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1.5};
  check_bad_targets(LS_TARGET_VALUES, ARRAY2(LS_F64, 4, 3), values,
                    PARTS("/y", "row 2, column 2", "1e+39"));
  check_bad_targets(LS_TARGET_VALUES, ARRAY2(LS_F64, 4, 3), nan_value,
                    PARTS("/y", "row 1, column 1", "nan"));
  check_bad_targets(LS_TARGET_VALUES, ARRAY2(LS_F64, 4, 2), values, PARTS("/y", "(4, 2) float64", "3"));
  check_bad_targets(LS_TARGET_VALUES, ARRAY2(LS_F64, 4, 0), values, PARTS("/y"));
  check_bad_targets(LS_TARGET_LABELS, ARRAY2(LS_F64, 4, 3), label, PARTS("/y", "row 3, column 2", "1.5"));
}

/* Collective. Expects an error for these inputs. */
static void check_bad_inputs(ls_array array, const void *x, size_t n_features, const char *const *parts) {
  const uint8_t y[4] = {0};
  const piece pieces[] = {{"/x", array, x}, {"/y", ARRAY1(LS_U8, 4), y}};
  const ls_facts model = {.owner = "the model", .shape = {.n_dims = n_features > 0, .dims = {n_features}}};
  write_file("inputs.h5", pieces, 2);
  check_rejected("inputs.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES, .model = &model}, 2, parts);
}

static void test_bad_inputs(void **state) {
  (void)state;
  const float with_nan[8] = {0, 1, 2, 3, 4, NAN};
  const float with_infinity[8] = {0, 1, 2, 3, 4, 5, -INFINITY};
  const double beyond_float[8] = {0, 1, 2, -1e300};
  const float fine[8] = {0};
  check_bad_inputs(ARRAY2(LS_F32, 4, 2), with_nan, 0, PARTS("inputs.h5:/x", "row 2, feature 1", "nan"));
  check_bad_inputs(ARRAY2(LS_F32, 4, 2), with_infinity, 0,
                   PARTS("inputs.h5:/x", "row 3, feature 0", "-inf"));
  check_bad_inputs(ARRAY2(LS_F64, 4, 2), beyond_float, 0,
                   PARTS("inputs.h5:/x", "row 1, feature 1", "-1e+300"));
  check_bad_inputs(ARRAY2(LS_F32, 4, 2), fine, 3, PARTS("inputs.h5:/x", "(4, 2) float32", "3"));
  check_bad_inputs(ARRAY2(LS_F32, 4, 0), fine, 0, PARTS("inputs.h5:/x", "(4, 0) float32"));
  check_bad_inputs(ARRAY2(LS_F32, 0, 2), fine, 0, PARTS("inputs.h5:/x", "no samples"));
  check_bad_inputs((ls_array){.dtype = LS_F32}, fine, 0, PARTS("inputs.h5:/x"));
}

/* ---------------------------------------------------------------- changed files */

/* Collective. Opens files whose samples stay there. */
static ls_dataset *open_streamed(const char *spec, ls_dataset_request request) {
  ls_dataset *dataset = NULL;
  request.spec = spec;
  ls_status status = ls_dataset_open(comm, &request, &dataset);
  if (status == LS_OK) ls_datasets_place(comm, LS_MEMORY_STREAM, 2, &dataset, 1);
  if (status == LS_OK) status = ls_dataset_read(comm, dataset, 2);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  settle();
  return dataset;
}

/* Local. Expects that a sample cannot be read because the file `name` has changed. */
static void expect_changed(const ls_dataset *d, uint64_t sample, const char *name) {
  ls_row row;
  EXPECT(ls_dataset_fetch(d, 1, &sample, &row) == LS_ERR_DATA);
  EXPECT_PART(ls_message(), name);
  EXPECT_PART(ls_message(), "has changed");
}

/* A file that is replaced by an equal one, between two openings, is an error on all ranks, also on those
 * that open it for the first time. */
static void test_replaced_files(void **state) {
  (void)state;
  const float x[4] = {1.0F, 2.0F, 3.0F, 4.0F};
  const uint8_t y[4] = {0, 1, 0, 1};
  const piece pieces[] = {{"/x", ARRAY2(LS_F32, 4, 1), x}, {"/y", ARRAY1(LS_U8, 4), y}};
  char spec[512];
  char y_name[512];
  ls_row row;
  write_file("replaced-0.h5", pieces, 2);
  write_file("replaced-1.h5", pieces, 2);
  snprintf(spec, sizeof spec, "%s", in_folder("replaced-?.h5"));
  snprintf(y_name, sizeof y_name, "%s:/y", in_folder("replaced-1.h5"));
  ls_dataset *parts = open_streamed(spec, (ls_dataset_request){.target = LS_TARGET_CLASSES});
  EXPECT(ls_dataset_fetch(parts, 1, &(uint64_t){0}, &row) == LS_OK);
  snprintf(spec, sizeof spec, "%s", in_folder("replaced-0.h5"));
  ls_dataset *two =
      open_streamed(spec, (ls_dataset_request){.target = LS_TARGET_CLASSES, .x = "/x", .y = y_name});
  const ls_view view = ls_view_all(two);
  EXPECT(ls_dataset_fetch(two, 1, &(uint64_t){0}, &row) == LS_OK);
  settle();
  write_file("replaced-1.h5", pieces, 2);
  settle();
  expect_changed(parts, 4, "replaced-1.h5");
  EXPECT(ls_dataset_fetch(parts, 1, &(uint64_t){3}, &row) == LS_OK);
  EXPECT(ls_dataset_expect(two, &(ls_expected){.view = &view, .run = 4, .n = 4}) == LS_OK);
  expect_changed(two, 0, "replaced-1.h5"); /* by the thread that reads ahead */
  ls_dataset_close(comm, &two);
  ls_dataset_close(comm, &parts);
  settle();
}

/* ----------------------------------------------------------------- fingerprint */

/* Both fingerprints of a dataset. */
typedef struct fingerprints {
  ls_digest all, selection;
} fingerprints;

static bool same_fingerprints(fingerprints a, fingerprints b) {
  const bool same = ls_digest_equal(a.all, b.all);
  EXPECT(same == ls_digest_equal(a.selection, b.selection)); /* all of a few samples are selected */
  return same;
}

/* Collective. The fingerprints of a dataset of four samples. */
static fingerprints fingerprint(const float *x, const uint8_t *y, const float *w) {
  const piece pieces[] = {
      {"/x", ARRAY2(LS_F32, 4, 1), x}, {"/y", ARRAY1(LS_U8, 4), y}, {"/w", ARRAY1(LS_F32, 4), w}};
  write_file("fingerprint.h5", pieces, w ? 3 : 2);
  ls_dataset *d = open_file("fingerprint.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES}, 3);
  const fingerprints found = {d->fingerprint, d->selection};
  EXPECT(ls_dataset_same(d, d) && ls_digest_is_known(d->fingerprint) && ls_digest_is_known(d->selection));
  ls_dataset_close(comm, &d);
  EXPECT(ls_comm_all_equal(comm, found.all.low, found.all.high));
  EXPECT(ls_comm_all_equal(comm, found.selection.low, found.selection.high));
  settle();
  return found;
}

/* The fingerprint is the same on all ranks and for any number of ranks, and different for different data.
 * It is stored in checkpoints, so it must equal the recorded one. */
static void test_fingerprint(void **state) {
  (void)state;
  const float x[4] = {0.0F, 1.0F, 2.0F, 3.5F};
  const uint8_t y[4] = {2, 0, 1, 1};
  const float w[4] = {1.0F, 1.0F, 1.0F, 1.0F};
  const fingerprints a = fingerprint(four_x, (const uint8_t[]){2, 0, 1, 2}, NULL);
  EXPECT(a.all.low == FINGERPRINT_LOW && a.all.high == FINGERPRINT_HIGH);
  EXPECT(a.selection.low == SELECTION_LOW);
  EXPECT(same_fingerprints(a, fingerprint(four_x, (const uint8_t[]){2, 0, 1, 2}, NULL)));
  EXPECT(!same_fingerprints(a, fingerprint(x, (const uint8_t[]){2, 0, 1, 2}, NULL)));
  EXPECT(!same_fingerprints(a, fingerprint(four_x, y, NULL)));
  EXPECT(!same_fingerprints(a, fingerprint(four_x, (const uint8_t[]){2, 0, 1, 2}, w)));
  settle();
}

/* ------------------------------------------------------------------ normaliser */

#define MANY 211
#define WIDE 11

/* Difficult columns: a large offset, a constant, almost a constant, zeros of both signs, ... */
static double difficult(size_t i, size_t j) {
  const ls_rng rng = ls_rng_make(3, LS_RNG_CHECK, 0, 0);
  float noise[WIDE];
  ls_rng_normal(&rng, i, WIDE, noise);
  switch (j) {
  case 0: return 1e6 + (double)noise[j];
  case 1: return 0.1;
  case 2: return i == 17 ? 1.0 : 0.0;
  case 3: return i % 2 ? 0.0 : -0.0;
  case 4: return 1e-20 * (double)noise[j];
  case 5: return fabs((double)noise[j]) - 0.0;
  case 6: return i == 0 ? -0.0 : fabs((double)noise[j]);
  default: return (double)(float)((double)noise[j] * (double)j);
  }
}

/* Offsets and factors as a single rank computes them, sample by sample. */
static void learn_alone(ls_normalize kind, const ls_view *view, size_t n_features, double *offset,
                        double *factor) {
  bool in_view[MANY] = {false};
  for (uint64_t i = 0; i < view->n; i++) in_view[ls_view_sample(view, i)] = true;
  for (size_t j = 0; j < n_features; j++) {
    double sum = 0.0;
    double squares = 0.0;
    double least = (double)INFINITY;
    double most = -(double)INFINITY;
    for (size_t i = 0; i < MANY; i++) {
      const double v = (double)x_of(view->dataset, i)[j];
      if (!in_view[i]) continue;
      sum += v;
      least = v < least ? v : least;
      most = v > most ? v : most;
    }
    const double mean = sum / (double)view->n;
    for (size_t i = 0; i < MANY; i++) {
      const double v = (double)x_of(view->dataset, i)[j];
      if (in_view[i]) squares += (v - mean) * (v - mean);
    }
    const double std = sqrt(squares / (double)view->n);
    const bool is_standardized = kind == LS_NORMALIZE_STANDARDIZE;
    const double spread = most > least && is_standardized ? std : most - least;
    offset[j] = is_standardized && most > least ? mean : least + 0.0; /* turns -0 into 0 */
    factor[j] = spread > 0.0 ? 1.0 / spread : 1.0;
  }
}

/* Collective. A dataset of MANY samples with the first n_features columns. */
static ls_dataset *open_difficult(size_t n_features) {
  static float x[MANY * WIDE];
  static uint8_t y[MANY];
  for (size_t i = 0; i < MANY; i++)
    for (size_t j = 0; j < n_features; j++) x[i * n_features + j] = (float)difficult(i, j);
  const piece pieces[] = {{"/x", ARRAY2(LS_F32, MANY, n_features), x}, {"/y", ARRAY1(LS_U8, MANY), y}};
  write_file("difficult.h5", pieces, 2);
  return open_file("difficult.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES}, 2);
}

static void check_normalizer(ls_normalize kind, const ls_view *view) {
  const size_t n = view->dataset->n_features;
  double offset[WIDE];
  double factor[WIDE];
  ls_normalizer *normalizer = NULL;
  EXPECT(ls_normalizer_create(n, &normalizer) == LS_OK);
  EXPECT(ls_normalizer_learn(comm, kind, false, view, normalizer) == LS_OK);
  learn_alone(kind, view, n, offset, factor);
  for (size_t j = 0; j < n; j++) {
    EXPECT_CLOSE(normalizer->offset[j], offset[j], 1e-15 * fabs(offset[j]) + 1e-15 / factor[j]);
    EXPECT_CLOSE(normalizer->factor[j], factor[j], 1e-9 * factor[j]);
  }
  for (size_t j = 0; j < n; j++) {
    EXPECT(normalizer->offset32[j] == (float)normalizer->offset[j]);
    EXPECT(normalizer->factor32[j] == (float)normalizer->factor[j]);
  }
  EXPECT(same_bytes(normalizer->offset, n * sizeof *offset));
  EXPECT(same_bytes(normalizer->factor, n * sizeof *factor));
  ls_normalizer_destroy(&normalizer);
  settle();
}

/* The result has the bits of a single rank, for all samples and for the training part, also with fewer
 * features than ranks. */
static void test_normalizer(void **state) {
  (void)state;
  const size_t widths[] = {1, 2, WIDE};
  for (size_t k = 0; k < COUNT(widths); k++) {
    ls_dataset *d = open_difficult(widths[k]);
    const ls_view all = ls_view_all(d);
    ls_view train;
    ls_view validation;
    ls_view_split(d, 0.2, 5, &train, &validation);
    check_normalizer(LS_NORMALIZE_STANDARDIZE, &all);
    check_normalizer(LS_NORMALIZE_STANDARDIZE, &train);
    check_normalizer(LS_NORMALIZE_SCALE, &all);
    check_normalizer(LS_NORMALIZE_SCALE, &train);
    ls_dataset_close(comm, &d);
  }
}

/* With one offset and factor per channel, those of a channel are those of all its values. */
static void test_channels(void **state) {
  (void)state;
  static float x[MANY * 6 * 2];
  static uint8_t y[MANY];
  double sums[2] = {0};
  double squares[2] = {0};
  for (size_t i = 0; i < COUNT(x); i++) {
    x[i] = (float)(i % 2 ? 5.0 + (double)(i % 7) : -0.25 * (double)(i % 11));
    sums[i % 2] += (double)x[i];
    squares[i % 2] += (double)(x[i] * x[i]);
  }
  const piece pieces[] = {{"/x", {LS_F32, 4, {MANY, 2, 3, 2}}, x}, {"/y", ARRAY1(LS_U8, MANY), y}};
  write_file("channels.h5", pieces, 2);
  ls_dataset *d = open_file("channels.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES}, 2);
  const ls_view all = ls_view_all(d);
  ls_normalizer *learned = NULL;
  EXPECT(ls_normalizer_create(12, &learned) == LS_OK);
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_STANDARDIZE, true, &all, learned) == LS_OK);
  for (size_t j = 0; j < 12; j++) {
    const double mean = sums[j % 2] / (6.0 * MANY);
    EXPECT_CLOSE(learned->offset[j], mean, 1e-9);
    EXPECT_CLOSE(1.0 / learned->factor[j], sqrt(squares[j % 2] / (6.0 * MANY) - mean * mean), 1e-9);
  }
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_SCALE, true, &all, learned) == LS_OK);
  for (size_t j = 0; j < 12; j++) {
    EXPECT_CLOSE(learned->offset[j], j % 2 ? 5.0 : -2.5, 0.0);
    EXPECT_CLOSE(learned->factor[j], j % 2 ? 1.0 / 6.0 : 1.0 / 2.5, 0.0);
  }
  ls_normalizer_destroy(&learned);
  ls_dataset_close(comm, &d);
  settle();
}

#define LONG 1000000

/* Constant columns have the factor 1 and become 0 for any number of samples. Integers with a large offset
 * have exact means. */
static void check_long(size_t n) {
  static double x[2 * LONG];
  static int64_t y[2 * LONG];
  double offset[2];
  for (size_t i = 0; i < n; i++) {
    x[2 * i] = 1.0 / 3.0;
    x[2 * i + 1] = 1.6e9 + 0.1 * (double)(i % 10);
    y[2 * i] = 1600000000000000001;
    y[2 * i + 1] = 1600000000000000000 + 1024000 * (int64_t)(i % 2);
  }
  const piece pieces[] = {{"/x", ARRAY2(LS_F64, n, 2), x}, {"/y", ARRAY2(LS_I64, n, 2), y}};
  write_file("long.h5", pieces, 2);
  ls_dataset *d = open_file("long.h5", (ls_dataset_request){.target = LS_TARGET_VALUES}, 0);
  const ls_view all = ls_view_all(d);
  ls_normalizer *learned = NULL;
  EXPECT(ls_normalizer_create(2, &learned) == LS_OK && ls_normalizer_add_targets(learned, 2) == LS_OK);
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_STANDARDIZE, false, &all, learned) == LS_OK);
  EXPECT(learned->offset[0] == 1.0 / 3.0 && learned->factor[0] == 1.0);
  EXPECT_CLOSE(learned->offset[1], 1.6e9 + 0.45, 1e-6);
  EXPECT_CLOSE(1.0 / learned->factor[1], sqrt(0.0825), 1e-6);
  EXPECT(learned->targets->offset[0] == (double)1600000000000000001 && learned->targets->factor[0] == 1.0);
  EXPECT_CLOSE(learned->targets->offset[1], 1600000000000512000.0, 256.0);
  EXPECT_CLOSE(1.0 / learned->targets->factor[1], 512000.0, 1e-6);
  memcpy(offset, learned->offset, sizeof offset);
  EXPECT(same_bytes(offset, sizeof offset));
  ls_normalizer_destroy(&learned);
  ls_dataset_close(comm, &d);
  settle();
}

static void test_long_columns(void **state) {
  (void)state;
  check_long(100000);
  check_long(LONG);
}

/* `none` changes nothing; `scale` divides bytes by 255, whatever their maximum. */
static void test_fixed_normalizers(void **state) {
  (void)state;
  const uint8_t bytes[4] = {0, 10, 20, 51};
  const uint8_t y[4] = {0};
  const piece pieces[] = {{"/x", ARRAY2(LS_U8, 4, 1), bytes}, {"/y", ARRAY1(LS_U8, 4), y}};
  write_file("bytes.h5", pieces, 2);
  ls_dataset *d = open_file("bytes.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES}, 2);
  const ls_view all = ls_view_all(d);
  ls_normalizer *normalizer = NULL;
  EXPECT(ls_normalizer_create(1, &normalizer) == LS_OK);
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_NONE, false, &all, normalizer) == LS_OK);
  EXPECT(normalizer->offset[0] == 0.0 && normalizer->factor[0] == 1.0);
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_SCALE, false, &all, normalizer) == LS_OK);
  EXPECT(normalizer->offset[0] == 0.0 && normalizer->factor[0] == 1.0 / 255.0);
  ls_normalizer_destroy(&normalizer);
  ls_dataset_close(comm, &d);
  settle();
}

/* Targets are standardised over the same samples as the inputs, for each kind of normalisation of the
 * inputs. */
static void test_target_normalizer(void **state) {
  (void)state;
  static float x[MANY];
  static float y[MANY * WIDE];
  for (size_t i = 0; i < COUNT(y); i++) y[i] = (float)difficult(i / WIDE, i % WIDE);
  const piece as_targets[] = {{"/x", ARRAY2(LS_F32, MANY, 1), x}, {"/y", ARRAY2(LS_F32, MANY, WIDE), y}};
  write_file("targets.h5", as_targets, 2);
  ls_dataset *d = open_file("targets.h5", (ls_dataset_request){.target = LS_TARGET_VALUES}, 0);
  ls_dataset *same = open_difficult(WIDE); /* has the same numbers as x */
  ls_view train[2];
  ls_view validation;
  ls_view_split(d, 0.2, 5, &train[0], &validation);
  ls_view_split(same, 0.2, 5, &train[1], &validation);
  ls_normalizer *normalizer = NULL;
  ls_normalizer *expected = NULL;
  EXPECT(ls_normalizer_create(1, &normalizer) == LS_OK && ls_normalizer_create(WIDE, &expected) == LS_OK);
  EXPECT(ls_normalizer_add_targets(normalizer, WIDE) == LS_OK);
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_NONE, false, &train[0], normalizer) == LS_OK);
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_STANDARDIZE, false, &train[1], expected) == LS_OK);
  EXPECT(normalizer->offset[0] == 0.0 && normalizer->factor[0] == 1.0);
  EXPECT(memcmp(normalizer->targets->offset, expected->offset, WIDE * sizeof(double)) == 0);
  EXPECT(memcmp(normalizer->targets->factor, expected->factor, WIDE * sizeof(double)) == 0);
  ls_normalizer_destroy(&normalizer);
  ls_normalizer_destroy(&expected);
  ls_dataset_close(comm, &same);
  ls_dataset_close(comm, &d);
  settle();
}

/* Normalised features have mean 0 and standard deviation 1 over all samples. */
static void test_standardized(void **state) {
  (void)state;
  ls_dataset *d = open_difficult(WIDE);
  const ls_view all = ls_view_all(d);
  static float x[MANY * WIDE];
  uint64_t samples[MANY];
  for (size_t i = 0; i < MANY; i++) samples[i] = i;
  ls_normalizer *normalizer = NULL;
  EXPECT(ls_normalizer_create(WIDE, &normalizer) == LS_OK);
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_STANDARDIZE, false, &all, normalizer) == LS_OK);
  ls_batch *batch = gather(d, normalizer, MANY, samples, x);
  for (size_t j = 0; j < WIDE; j++) {
    double sum = 0.0;
    double squares = 0.0;
    for (size_t i = 0; i < MANY; i++) sum += (double)x[i * WIDE + j];
    for (size_t i = 0; i < MANY; i++) squares += pow((double)x[i * WIDE + j] - sum / MANY, 2.0);
    EXPECT_CLOSE(sum / MANY, 0.0,
                 j == 0 ? 0.05 : 1e-6); /* in float32, 1e6 + noise keeps few digits of the noise */
    EXPECT_CLOSE(sqrt(squares / MANY), j == 1 || j == 3 ? 0.0 : 1.0, 1e-4);
  }
  ls_batch_destroy(&batch);
  ls_normalizer_destroy(&normalizer);
  ls_dataset_close(comm, &d);
  settle();
}

/* Collective. */
static double weight_of(const ls_view *view, const double *class_weights) {
  double sum = 0.0;
  EXPECT(ls_view_weight(comm, view, class_weights, &sum) == LS_OK);
  return sum;
}

/* ------------------------------------------------------------------- class weights */

/* Collective. `want`: compute_class_weight("balanced") of scikit-learn 1.9 for these labels. */
static void check_balanced(ls_target_kind target, size_t n, const uint8_t *y, size_t n_classes,
                           const double *expected) {
  static float x[32];
  double weights[5];
  const piece pieces[] = {{"/x", ARRAY2(LS_F32, n, 1), x}, {"/y", ARRAY1(LS_U8, n), y}};
  write_file("balance.h5", pieces, 2);
  ls_dataset *d = open_file("balance.h5", (ls_dataset_request){.target = target},
                            target == LS_TARGET_CLASSES ? n_classes : 1);
  const ls_view all = ls_view_all(d);
  EXPECT(ls_class_weights_balance(comm, &all, n_classes, weights) == LS_OK);
  for (size_t k = 0; k < n_classes; k++) EXPECT_CLOSE(weights[k], expected[k], 1e-15);
  EXPECT_CLOSE(weight_of(&all, NULL), (double)n, 0.0);
  EXPECT_CLOSE(weight_of(&all, weights), (double)n, 1e-12); /* the total weight is unchanged */
  ls_dataset_close(comm, &d);
  settle();
}

static void test_balanced_classes(void **state) {
  (void)state;
  const uint8_t y[23] = {2, 0, 3, 2, 2, 0, 3, 3, 2, 1, 2, 0, 2, 3, 0, 3, 2, 2, 3, 0, 2, 3, 2};
  const uint8_t labels[17] = {0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  check_balanced(LS_TARGET_CLASSES, 23, y, 4, (const double[]){1.15, 5.75, 0.575, 0.8214285714285714});
  check_balanced(LS_TARGET_LABELS, 17, labels, 2, (const double[]){0.6538461538461539, 2.125});
}

/* Only samples of the view are counted; a class without samples has weight 0. Sample weights and class
 * weights are multiplied. */
static void test_weights_of_a_view(void **state) {
  (void)state;
  const float x[8] = {0};
  const uint8_t y[8] = {0, 1, 2, 0, 1, 2, 0, 0};
  const float w[8] = {1.0F, 2.0F, 0.0F, 0.5F, 0.0F, 0.0F, 3.0F, 1.0F};
  const piece pieces[] = {
      {"/x", ARRAY2(LS_F32, 8, 1), x}, {"/y", ARRAY1(LS_U8, 8), y}, {"/w", ARRAY1(LS_F32, 8), w}};
  double weights[3];
  write_file("view.h5", pieces, 3);
  ls_dataset *d = open_file("view.h5", (ls_dataset_request){.target = LS_TARGET_CLASSES}, 3);
  ls_view rest;
  ls_view two;
  ls_view_split(d, 0.25, 1, &rest, &two);
  double counts[3] = {0};
  for (uint64_t i = 0; i < 2; i++) counts[y[ls_view_sample(&two, i)]] += 1.0;
  EXPECT(ls_class_weights_balance(comm, &two, 3, weights) == LS_OK);
  for (size_t k = 0; k < 3; k++)
    EXPECT_CLOSE(weights[k], counts[k] > 0.0 ? 2.0 / (3.0 * counts[k]) : 0.0, 1e-15);
  const ls_view all = ls_view_all(d);
  EXPECT_CLOSE(weight_of(&all, NULL), 7.5, 0.0);
  EXPECT_CLOSE(weight_of(&all, (const double[]){2.0, 0.25, 100.0}), 11.5, 0.0);
  EXPECT_CLOSE(weight_of(&all, (const double[]){0.0, 0.0, 1.0}), 0.0, 0.0);
  ls_dataset_close(comm, &d);
  settle();
}

/* ------------------------------------------------------------------- training batches */

#define SIDE   6
#define IMAGES 40
#define BATCH  23

/* Collective. A dataset of images with weights. */
static ls_dataset *open_images(ls_target_kind target) {
  static uint8_t x[IMAGES * SIDE * SIDE];
  static uint8_t classes[IMAGES];
  static float values[2 * IMAGES];
  static float w[IMAGES];
  for (size_t i = 0; i < COUNT(x); i++) x[i] = (uint8_t)(1 + (i * 31) % 251);
  for (size_t i = 0; i < IMAGES; i++) {
    classes[i] = (uint8_t)(i % 3);
    w[i] = 0.5F + 0.25F * (float)i;
    values[2 * i] = 100.0F + (float)((i * 7) % 40);
    values[2 * i + 1] = 0.01F * (float)((i * 3) % 40);
  }
  const bool has_classes = target == LS_TARGET_CLASSES;
  const piece pieces[] = {{"/x", {.dtype = LS_U8, .n_dims = 3, .dims = {IMAGES, SIDE, SIDE}}, x},
                          has_classes ? (piece){"/y", ARRAY1(LS_U8, IMAGES), classes}
                                      : (piece){"/y", ARRAY2(LS_F32, IMAGES, 2), values},
                          {"/w", ARRAY1(LS_F32, IMAGES), w}};
  write_file("training.h5", pieces, 3);
  return open_file("training.h5", (ls_dataset_request){.target = target}, has_classes ? 3 : 2);
}

/* The contents of a batch. */
typedef struct content {
  float x[BATCH][SIDE * SIDE];
  float values[BATCH][2];
  float classes[BATCH], partners[BATCH], shares[BATCH], weights[BATCH];
} content;

/* Local. Gathers a shard of the first batch of an epoch into its rows of *out; the other rows are 0. */
static void gather_training(ls_batch *batch, const ls_view *view, const ls_normalizer *normalizer,
                            ls_shard shard, content *out) {
  ls_order *order = new_order(view, 9, 4, true);
  memset(out, 0, sizeof *out);
  ls_batch_select(batch, 0, order, shard.first, shard.rows);
  ls_order_destroy(&order);
  ls_batch_gather_training(batch, view->dataset, normalizer, 9, 4, shard.rows);
  memcpy(out->x[shard.first], batch->x, shard.rows * sizeof out->x[0]);
  const ls_targets targets = ls_batch_targets(batch);
  for (size_t i = 0; i < shard.rows; i++) {
    const size_t row = shard.first + i;
    out->weights[row] = targets.weights[i];
    for (size_t k = 0; targets.values && k < 2; k++) out->values[row][k] = targets.values[2 * i + k];
    if (!targets.partners) continue;
    out->classes[row] = (float)targets.classes[i];
    out->partners[row] = (float)targets.partners[i];
    out->shares[row] = targets.shares[i];
  }
}

/* Collective. The shards of all ranks together equal the batch that a single rank gathers, bit for bit. */
static void check_training(ls_target_kind target, const ls_augment *augment, content *alone) {
  static content together;
  ls_dataset *d = open_images(target);
  ls_view train;
  ls_view validation;
  ls_batch *batch = NULL;
  ls_normalizer *normalizer = NULL;
  const double class_weights[3] = {0.5, 1.25, 3.0};
  ls_view_split(d, 0.2, 9, &train, &validation);
  const ls_recipe recipe = {.augment = *augment,
                            .class_weights = target == LS_TARGET_CLASSES ? class_weights : NULL};
  EXPECT(ls_batch_create_training(d, &recipe, BATCH, &batch) == LS_OK);
  EXPECT(ls_normalizer_create(d->n_features, &normalizer) == LS_OK);
  if (target == LS_TARGET_VALUES) EXPECT(ls_normalizer_add_targets(normalizer, 2) == LS_OK);
  settle();
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_NONE, false, &train, normalizer) == LS_OK);
  gather_training(batch, &train, normalizer, ls_shard_of(BATCH, rank, size), &together);
  gather_training(batch, &train, normalizer, (ls_shard){.rows = BATCH}, alone);
  ls_comm_sum_f32(comm, (float *)&together, sizeof together / sizeof(float));
  for (size_t i = 0; i < sizeof together / sizeof(float); i++)
    EXPECT(((const float *)&together)[i] == ((const float *)alone)[i]);
  EXPECT(same_bytes(alone, sizeof *alone));
  ls_batch_destroy(&batch);
  ls_normalizer_destroy(&normalizer);
  ls_dataset_close(comm, &d);
  settle();
}

/* A training batch is the same for any number of ranks, and its random numbers equal the recorded ones. */
static void test_training_batches(void **state) {
  (void)state;
  static content batch;
  const ls_augment all = {
      .shift = 1, .flip_horizontal = true, .rotate = 15.0, .noise = 0.1, .cutout = 2, .mixup = 0.4};
  check_training(LS_TARGET_CLASSES, &all, &batch);
  EXPECT(ls_digest_of(batch.partners, sizeof batch.partners).low == PARTNERS_LOW);
  check_training(LS_TARGET_VALUES, &all, &batch);
  check_training(LS_TARGET_CLASSES, &(ls_augment){.shift = 2, .flip_horizontal = true, .cutout = 1},
                 &batch);
  EXPECT(ls_digest_of(batch.x, sizeof batch.x).low == MOVED_LOW);
  settle();
}

/* ------------------------------------------------------------- split and shards */

/* A dataset of which only the number of samples is used. */
static ls_dataset counted(uint64_t n) {
  return (ls_dataset){.n_samples = n};
}

/* The two parts have the right sizes, are disjoint and contain all samples. */
static void check_split(uint64_t n, double fraction, uint64_t expected) {
  const ls_dataset d = counted(n);
  ls_view parts[2];
  ls_view_split(&d, fraction, 9, &parts[0], &parts[1]);
  EXPECT(parts[1].n == expected && parts[0].n == n - expected);
  uint8_t *const seen = ls_calloc(n, 1);
  for (size_t k = 0; seen && k < 2; k++)
    for (uint64_t i = 0; i < parts[k].n; i++) seen[ls_view_sample(&parts[k], i)]++;
  uint64_t wrong = 0;
  for (uint64_t i = 0; seen && i < n; i++) wrong += seen[i] != 1;
  EXPECT(wrong == 0);
  free(seen);
}

static void test_split(void **state) {
  (void)state;
  check_split(1437, 0.1, 144);
  check_split(5, 0.5, 3); /* rounds halves away from zero */
  check_split(10, 0.0, 0);
  check_split(10, 0.04, 0);
  check_split(3, 0.99, 3);
  check_split(1, 0.3, 0);
  check_split(60000, 1.0 / 3.0, 20000);
  settle();
}

/* The split depends on the seed alone, not on the number of ranks, and equals the recorded one. */
static void test_split_is_recorded(void **state) {
  (void)state;
  const ls_dataset d = counted(1000);
  ls_view train;
  ls_view validation;
  uint64_t held_out[2][100];
  for (uint64_t seed = 0; seed < 2; seed++) {
    ls_view_split(&d, 0.1, seed + 1, &train, &validation);
    for (uint64_t i = 0; i < 100; i++) held_out[seed][i] = ls_view_sample(&validation, i);
  }
  const ls_digest digest = ls_digest_of(held_out[0], sizeof held_out[0]);
  EXPECT(ls_comm_all_equal(comm, digest.low, digest.high));
  EXPECT(digest.low == SPLIT_LOW);
  EXPECT(memcmp(held_out[0], held_out[1], sizeof held_out[0]) != 0);
  settle();
}

/* Shards are contiguous and complete; their sizes differ by at most one row. */
static void test_shards(void **state) {
  (void)state;
  for (int ranks = 1; ranks <= 9; ranks++) {
    for (size_t rows = 0; rows < 60; rows++) {
      size_t next = 0;
      size_t most = 0;
      size_t least = SIZE_MAX;
      for (int r = 0; r < ranks; r++) {
        const ls_shard shard = ls_shard_of(rows, r, ranks);
        EXPECT(shard.first == next);
        next += shard.rows;
        most = ls_size_max(most, shard.rows);
        least = ls_size_min(least, shard.rows);
      }
      EXPECT(next == rows && most - least <= 1 && most == ls_shard_most(rows, ranks));
    }
  }
  settle();
}

/* An epoch as the training loop distributes it. */
typedef struct epoch_case {
  uint64_t n;
  double fraction; /* of the validation split */
  uint64_t batch_size, accumulate;
} epoch_case;

/* Encodes the use of a sample as one number: step, batch, and lane (0 without lanes). */
static uint64_t use_of(uint64_t step, uint64_t batch, size_t lane) {
  return (step * 10000 + batch) * LS_LANES_MAX + lane + 1;
}

/* Local. Counts this rank's samples of a batch and records their use. tree: the lanes, or NULL. */
static void work_batch(const ls_order *order, const ls_comm_tree *tree, uint64_t position, size_t rows,
                       uint64_t use, uint64_t *count, uint64_t *uses) {
  ls_partition part;
  ls_partition_rows(comm, tree, rows, &part);
  for (size_t l = 0; l < part.n_lanes; l++) {
    for (size_t i = part.lanes[l]; i < part.lanes[l + 1]; i++) {
      const uint64_t sample = order_at(order, position + part.first + i);
      count[sample]++;
      uses[sample] += use + (tree ? tree->first + l : 0);
    }
  }
}

/* Local. Records the samples of this rank in an epoch: steps of several batches, fewer in the last step. */
static void work_epoch(const epoch_case *c, const ls_view *view, uint64_t epoch, const ls_comm_tree *tree,
                       uint64_t *count, uint64_t *uses) {
  ls_order *order = new_order(view, 9, epoch, true);
  uint64_t position = 0;
  for (uint64_t step = 0; position < view->n; step++) {
    for (uint64_t k = 0; k < c->accumulate && position < view->n; k++) {
      const size_t rows = ls_size_min(c->batch_size, view->n - position);
      work_batch(order, tree, position, rows, use_of(step, k, 0), count, uses);
      position += rows;
    }
  }
  ls_order_destroy(&order);
}

/* Local. The expected records of all ranks together, for any number of ranks. */
static void expect_epoch(const epoch_case *c, const ls_view *view, size_t n_lanes, uint64_t *uses) {
  ls_order *order = new_order(view, 9, 0, true);
  const uint64_t per_step = c->batch_size * c->accumulate;
  for (uint64_t i = 0; i < view->n; i++) {
    const uint64_t batch = i % per_step / c->batch_size;
    const uint64_t first = i - i % per_step % c->batch_size;
    const size_t rows = ls_size_min(c->batch_size, view->n - first);
    size_t lane = 0;
    while (lane + 1 < n_lanes && i - first >= ls_shard_of(rows, (int)lane + 1, (int)n_lanes).first) lane++;
    uses[order_at(order, i)] = use_of(i / per_step, batch, lane);
  }
  ls_order_destroy(&order);
}

/* Collective. In an epoch, the ranks together use each sample of the view exactly once, and no other
 * sample. The step, batch and lane of a sample do not depend on the number of ranks, and differ between
 * epochs. */
static void check_epoch(const epoch_case *c, ls_comm_tree *tree) {
  const uint64_t n = c->n;
  const ls_dataset d = counted(n);
  ls_view train;
  ls_view validation;
  ls_view_split(&d, c->fraction, 9, &train, &validation);
  uint64_t *const count = ls_calloc(n, sizeof *count);
  uint64_t *const uses = ls_calloc(3 * n, sizeof *uses);
  EXPECT(count && uses);
  settle();
  for (uint64_t epoch = 0; epoch < 2; epoch++) {
    memset(count, 0, n * sizeof *count);
    work_epoch(c, &train, epoch, tree, count, uses + epoch * n);
    ls_comm_sum_u64(comm, count, n);
    ls_comm_sum_u64(comm, uses + epoch * n, n);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < validation.n; i++) wrong += count[ls_view_sample(&validation, i)] != 0;
    for (uint64_t i = 0; i < train.n; i++) wrong += count[ls_view_sample(&train, i)] != 1;
    EXPECT(wrong == 0);
  }
  expect_epoch(c, &train, tree ? tree->n_lanes : 1, uses + 2 * n);
  EXPECT(memcmp(uses, uses + 2 * n, n * sizeof *uses) == 0);
  EXPECT(train.n < 8 || c->batch_size >= train.n || memcmp(uses, uses + n, n * sizeof *uses) != 0);
  free(count);
  free(uses);
  settle();
}

static const epoch_case epoch_cases[] = {
    {1437, 0.1, 32, 1},  /* last batch of 13 */
    {1437, 0.1, 20, 3},  /* last step of fewer batches */
    {1000, 0.0, 999, 1}, /* last batch of one sample */
    {101, 0.0, 2, 1},    /* batches smaller than the number of ranks or lanes */
    {101, 0.2, 2, 7},    /* several of them per step */
    {101, 0.2, 16, 100}, /* all batches in one step */
    {50, 0.5, 1, 1},     /* batches of one sample */
    {64, 0.0, 64, 1},    /* full batch */
    {3, 0.0, 3, 1},      /* fewer samples than ranks */
    {1, 0.0, 1, 1},      {257, 0.25, 16, 1},
};

static void test_every_sample_once(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(epoch_cases); i++) check_epoch(&epoch_cases[i], NULL);
}

/* In reproducible runs, ranks hold whole lanes; some ranks may hold none. */
static void test_every_sample_once_in_lanes(void **state) {
  (void)state;
  for (size_t n_lanes = 1; n_lanes <= LS_LANES_MAX; n_lanes *= n_lanes < 16 ? 2 : 8) {
    ls_comm_tree *tree = NULL;
    EXPECT(ls_comm_tree_create(comm, n_lanes, &tree) == LS_OK);
    settle();
    for (size_t i = 0; i < COUNT(epoch_cases); i++) check_epoch(&epoch_cases[i], tree);
    ls_comm_tree_destroy(&tree);
  }
}

/* An order is the same on all ranks and equals the recorded one; without shuffling it is that of the file.
 */
static void test_orders(void **state) {
  (void)state;
  uint64_t positions[3][500];
  const ls_dataset d = counted(500);
  const ls_view all = ls_view_all(&d);
  ls_order *order = new_order(&all, 1, 0, true);
  ls_order *plain = new_order(&all, 1, 0, false);
  ls_order *other_seed = new_order(&all, 2, 0, true);
  ls_order_samples(order, 0, 500, positions[0]);
  ls_order_begin(order, 1);
  ls_order_samples(order, 0, 500, positions[1]);
  ls_order_samples(other_seed, 0, 500, positions[2]);
  for (uint64_t i = 0; i < 500; i++) EXPECT(order_at(plain, i) == i);
  EXPECT(memcmp(positions[0], positions[1], sizeof positions[0]) != 0);
  EXPECT(memcmp(positions[0], positions[2], sizeof positions[0]) != 0);
  const ls_digest digest = ls_digest_of(positions[1], sizeof positions[1]);
  EXPECT(ls_comm_all_equal(comm, digest.low, digest.high));
  EXPECT(digest.low == ORDER_LOW);
  ls_order_destroy(&order);
  ls_order_destroy(&plain);
  ls_order_destroy(&other_seed);
  settle();
}

int main(int argc, char **argv) {
  begin(&argc, &argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_types),
      cmocka_unit_test(test_images),
      cmocka_unit_test(test_classes),
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_weights),
      cmocka_unit_test(test_many_samples),
      cmocka_unit_test(test_no_targets),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_ambiguity),
      cmocka_unit_test(test_invalid_files),
      cmocka_unit_test(test_bad_targets),
      cmocka_unit_test(test_bad_numbers),
      cmocka_unit_test(test_bad_inputs),
      cmocka_unit_test(test_replaced_files),
      cmocka_unit_test(test_fingerprint),
      cmocka_unit_test(test_normalizer),
      cmocka_unit_test(test_channels),
      cmocka_unit_test(test_long_columns),
      cmocka_unit_test(test_fixed_normalizers),
      cmocka_unit_test(test_target_normalizer),
      cmocka_unit_test(test_standardized),
      cmocka_unit_test(test_balanced_classes),
      cmocka_unit_test(test_weights_of_a_view),
      cmocka_unit_test(test_training_batches),
      cmocka_unit_test(test_split),
      cmocka_unit_test(test_split_is_recorded),
      cmocka_unit_test(test_shards),
      cmocka_unit_test(test_every_sample_once),
      cmocka_unit_test(test_every_sample_once_in_lanes),
      cmocka_unit_test(test_orders),
  };
  return finish(cmocka_run_group_tests(tests, make_folder, remove_folder));
}
