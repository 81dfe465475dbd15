/* export: safetensors files, valid and hostile, and maps of names. */
#include "lockstep/export.h"

#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static ls_config *config;
static ls_model *model;

/* A convolution and a dense layer after flatten: (2, 3) positions, 2 channels, after the kernel. */
static const char layers[] =
    "model: [{layer: conv2d, filters: 2, kernel_size: [1, 2]}, {layer: batch_norm}, "
    "{layer: dense, units: 1}]";

static int set_up(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/lockstep-export-XXXXXX");
  if (!mkdtemp(folder) || chdir(folder) != 0) return -1;
  config = config_of(layers);
  if (ls_model_parse(config, LS_MSE, &model) != LS_OK) return -1;
  if (ls_model_infer_shapes(model, &(ls_shape){3, {2, 4, 3}}) != LS_OK) return -1;
  return ls_model_build(model, 1) == LS_OK ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  static const char *const names[] = {"a.safetensors", "map.yaml", "pipe"};
  for (size_t i = 0; i < COUNT(names); i++) unlink(names[i]);
  ls_model_destroy(&model);
  ls_config_destroy(&config);
  return chdir("/") == 0 ? rmdir(folder) : -1;
}

static void write_bytes(const char *name, const void *bytes, size_t n) {
  FILE *const file = fopen(name, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, n, file), n);
  assert_int_equal(fclose(file), 0);
}

/* Replaces the first bytes by a text, without its end. */
static void put(void *bytes, const char *text) {
  char *const to = bytes;
  for (size_t i = 0; text[i]; i++) to[i] = text[i];
}

/* Writes a file whose prefix states `length` bytes of header. */
static void write_stated(uint64_t length, const char *header, const void *data, size_t n) {
  const size_t n_header = strlen(header);
  unsigned char *const bytes = ls_calloc(8 + n_header + n, 1);
  assert_non_null(bytes);
  for (size_t i = 0; i < 8; i++) bytes[i] = (unsigned char)(length >> (8 * i));
  put(bytes + 8, header);
  if (n) memcpy(bytes + 8 + n_header, data, n);
  write_bytes("a.safetensors", bytes, 8 + n_header + n);
  free(bytes);
}

static void write_tensors(const char *header, const void *data, size_t n) {
  write_stated(strlen(header), header, data, n);
}

/* Opens a.safetensors, which must be refused with these parts of a message. */
static void check_refused(const char *path, const char *map, ls_status status, const char *pattern) {
  ls_tensors *tensors = NULL;
  const ls_status found = ls_tensors_open(path, map, model, false, &tensors);
  assert_null(tensors);
  if (found != status || !message_has(ls_message(), pattern))
    fail_msg("status %d, no '%s' in: %s", (int)found, pattern, found == LS_OK ? "" : ls_message());
}

static const ls_segment *segment_of(const char *path) {
  for (size_t i = 0; i < model->n_segments; i++)
    if (strcmp(model->segments[i].path, path) == 0) return &model->segments[i];
  fail_msg("no segment %s", path);
  return NULL;
}

/* ------------------------------------------------------------------ headers */

#define TENSOR(shape, begin, end)                                                                          \
  "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}}"

static void hostile_headers_are_refused(void **state) {
  (void)state;
  static const char zeros[64];
  static const struct {
    const char *header;
    size_t n; /* bytes of data */
    const char *message;
  } rows[] = {
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "JSON"},
      {"[1]", 0, "{"},
      {"{}x", 0, "JSON"},
      {"{\"\xff\":1}", 0, "JSON"},
      {"{\"a\\u0000b\":1}", 0, "JSON"},
      {"{\"a\":1}", 0, "tensor a ~ object"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "tensor a ~ data_offsets"},
      {"{\"a\":{\"shape\":[],\"data_offsets\":[0,0]}}", 0, "tensor a ~ dtype"},
      {"{\"a\":{\"dtype\":\"Q7\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "tensor a ~ dtype"},
      {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,0]}}", 0, "tensor a ~ shape"},
      {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "tensor a"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
       "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
       8, "duplicate"},
      {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
       "duplicate"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
       "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
       12, "tensor b ~ overlap"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
       "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]}}",
       20, "tensor b ~ gap"},
      {"{\"a\\u001b[2J\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
       "control character"},
      {"{\"a\\u007f\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "control character"},
      {TENSOR("[2]", 4, 12), 12, "tensor a ~ gap"},
      {TENSOR("[2]", 0, 8), 4, "tensor a ~ truncated"},
      {TENSOR("[2]", 0, 8), 12, "no tensor"},
      {TENSOR("[2]", 8, 0), 8, "tensor a ~ before"},
      {TENSOR("[3]", 0, 8), 8, "tensor a ~ 12 ~ 8"},
      {TENSOR("[4294967296,4294967296]", 0, 0), 0, "tensor a ~ too large"},
      {TENSOR("[9223372036854775807,2]", 0, 0), 0, "tensor a ~ too large"},
      {TENSOR("[2305843009213693952]", 0, 0), 0, "tensor a ~ too large"},
      {TENSOR("[18446744073709551618]", 0, 8), 8, "JSON"},
      {TENSOR("[-2,-1]", 0, 8), 8, "tensor a ~ shape"},
      {TENSOR("[2.0]", 0, 8), 8, "tensor a ~ shape"},
      {TENSOR("[\"2\"]", 0, 8), 8, "tensor a ~ shape"},
      {TENSOR("2", 0, 8), 8, "tensor a ~ shape"},
      {TENSOR("[2]", -8, 0), 8, "tensor a ~ data_offsets"},
      {TENSOR("[2]", 0, 8.5), 8, "tensor a ~ data_offsets"},
      {TENSOR("[2]", 0, 9223372036854775807), 8, "tensor a"},
      {TENSOR("[2]", 0, 18446744073709551615), 8, "JSON"},
      {"{\"__metadata__\":[]}", 0, "__metadata__"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    write_tensors(rows[i].header, zeros, rows[i].n);
    check_refused("a.safetensors", NULL, LS_ERR_MODEL, rows[i].message);
  }
}

static void hostile_lengths_are_refused(void **state) {
  (void)state;
  static const uint64_t lengths[] = {0,         1,          11,        1000,       100000000,
                                     100000001, UINT32_MAX, INT64_MAX, 1ULL << 63, UINT64_MAX};
  for (size_t i = 0; i < COUNT(lengths); i++) {
    write_stated(lengths[i], "{        }", NULL, 0);
    check_refused("a.safetensors", NULL, LS_ERR_MODEL, "header");
  }
  for (size_t n = 0; n < 8; n++) {
    write_bytes("a.safetensors", "\2\0\0\0\0\0\0\0", n);
    check_refused("a.safetensors", NULL, LS_ERR_MODEL, "truncated");
  }
}

/* Deep nesting, and a list that would need a hundred times its memory. */
static void large_headers_are_refused(void **state) {
  (void)state;
  const size_t n = 9000000;
  char *const text = ls_calloc(n + 1, 1);
  assert_non_null(text);
  memset(text, '[', 200000);
  put(text, "{\"a\":");
  write_tensors(text, NULL, 0);
  check_refused("a.safetensors", NULL, LS_ERR_MODEL, "JSON");
  memset(text, ',', n);
  put(text, "{\"a\":[");
  write_tensors(text, NULL, 0);
  check_refused("a.safetensors", NULL, LS_ERR_MODEL, "values");
  memset(text, ',', n);
  put(text, "{\"__metadata__\":{\"a\":\"\\\"");
  put(text + n - 3, "\"}}");
  write_tensors(text, NULL, 0); /* the commas are in a text */
  ls_tensors *tensors = NULL;
  assert_int_equal(ls_tensors_open("a.safetensors", NULL, model, false, &tensors), LS_OK);
  ls_tensors_close(&tensors);
  free(text);
}

static void other_files_are_refused(void **state) {
  (void)state;
  check_refused("none.safetensors", NULL, LS_ERR_MODEL, "none.safetensors");
  check_refused(".", NULL, LS_ERR_MODEL, "folder");
  assert_int_equal(mkfifo("pipe", 0600), 0);
  check_refused("pipe", NULL, LS_ERR_MODEL, "pipe");
}

/* ------------------------------------------------------------------- values */

/* The dense layer reads (2, 3) positions of 2 channels. */
#define N_DENSE 12

static const char map_of_dense[] = "2-dense/W: w\n";

/* Reads the dense layer's W from a tensor of N_DENSE values of this type. */
static ls_status read_dense(const char *dtype, size_t size, const void *data, float *values) {
  char why[200];
  ls_tensors *tensors = NULL;
  char *const header = ls_format("{\"w\":{\"dtype\":\"%s\",\"shape\":[1,%d],\"data_offsets\":[0,%zu]}}",
                                 dtype, N_DENSE, N_DENSE * size);
  write_tensors(header, data, N_DENSE * size);
  write_bytes("map.yaml", map_of_dense, sizeof map_of_dense - 1);
  ls_status status = ls_tensors_open("a.safetensors", "map.yaml", model, false, &tensors);
  if (status == LS_OK)
    status = ls_tensors_read_block(tensors, segment_of("2-dense/W"), values, why, sizeof why);
  if (status == LS_OK) assert_string_equal(why, "");
  if (status == LS_OK) assert_null(ls_tensors_unused(tensors, 0));
  ls_tensors_close(&tensors);
  free(header);
  return status;
}

/* Column c P + p of the file is column p C + c here. */
static void check_dense(const float *values, const float *wanted) {
  for (size_t p = 0; p < 6; p++)
    for (size_t c = 0; c < 2; c++) check_same("W", 1, &values[2 * p + c], &wanted[6 * c + p]);
}

static void types_are_converted(void **state) {
  (void)state;
  static const float wanted[N_DENSE] = {
      0.0F,   1.0F,          -2.0F,         0.5F,      65504.0F, 6.103515625e-5F,
      -0.25F, 5.9604645e-8F, 6.0975552e-5F, 3.140625F, 1024.0F,  -0.0F};
  static const uint16_t half[N_DENSE] = {0x0000, 0x3c00, 0xc000, 0x3800, 0x7bff, 0x0400,
                                         0xb400, 0x0001, 0x03ff, 0x4248, 0x6400, 0x8000};
  static const uint16_t brain[N_DENSE] = {0x0000, 0x3f80, 0xc000, 0x3f00, 0x7f7f, 0x3880,
                                          0xbe80, 0x0001, 0x3880, 0x4049, 0x4480, 0x8000};
  float brain_wanted[N_DENSE];
  double large[N_DENSE];
  float values[N_DENSE];
  for (size_t i = 0; i < N_DENSE; i++) {
    const uint32_t bits = (uint32_t)brain[i] << 16;
    memcpy(&brain_wanted[i], &bits, sizeof bits);
    large[i] = (double)wanted[i];
  }
  assert_int_equal(read_dense("F32", 4, wanted, values), LS_OK);
  check_dense(values, wanted);
  assert_int_equal(read_dense("F64", 8, large, values), LS_OK);
  check_dense(values, wanted);
  assert_int_equal(read_dense("F16", 2, half, values), LS_OK);
  check_dense(values, wanted);
  assert_int_equal(read_dense("BF16", 2, brain, values), LS_OK);
  check_dense(values, brain_wanted);
}

static void values_that_are_not_finite_are_refused(void **state) {
  (void)state;
  float values[N_DENSE];
  double large[N_DENSE] = {0};
  float single[N_DENSE] = {0};
  uint16_t half[N_DENSE] = {0};
  large[5] = 1e39;
  assert_int_equal(read_dense("F64", 8, large, values), LS_ERR_MODEL);
  assert_true(message_has(ls_message(), "tensor w ~ element 5 ~ infinite ~ 3.4e38"));
  large[5] = 3.4028235677973366e38; /* rounds to infinity */
  assert_int_equal(read_dense("F64", 8, large, values), LS_ERR_MODEL);
  large[5] = 3.4028235e38;
  assert_int_equal(read_dense("F64", 8, large, values), LS_OK);
  single[11] = NAN;
  assert_int_equal(read_dense("F32", 4, single, values), LS_ERR_MODEL);
  assert_true(message_has(ls_message(), "tensor w ~ element 11 ~ NaN"));
  half[3] = 0x7c00;
  assert_int_equal(read_dense("F16", 2, half, values), LS_ERR_MODEL);
  half[3] = 0x7f80;
  assert_int_equal(read_dense("BF16", 2, half, values), LS_ERR_MODEL);
}

static void negative_variances_are_refused(void **state) {
  (void)state;
  static const float values[2] = {-0.0F, -1.5F};
  float read[2];
  char why[200];
  ls_tensors *tensors = NULL;
  const ls_segment *segment = model->state_segments;
  while (!strstr(segment->path, "/running_var")) segment++;
  write_tensors("{\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", values, sizeof values);
  write_bytes("map.yaml", "1-batch_norm/running_var: v\n", 28);
  assert_int_equal(ls_tensors_open("a.safetensors", "map.yaml", model, false, &tensors), LS_OK);
  assert_int_equal(ls_tensors_read_block(tensors, segment, read, why, sizeof why), LS_ERR_MODEL);
  assert_true(message_has(ls_message(), "tensor v ~ element 1 ~ -1.5 ~ variance"));
  ls_tensors_close(&tensors);
}

static void other_types_are_refused_by_name(void **state) {
  (void)state;
  static const char zeros[8 * N_DENSE];
  float values[N_DENSE];
  assert_int_equal(read_dense("I64", 8, zeros, values), LS_ERR_CONFIG);
  assert_true(message_has(ls_message(), "map.yaml:1 ~ 2-dense/W ~ w ~ I64 ~ BF16"));
  assert_int_equal(read_dense("F8_E4M3", 1, zeros, values), LS_ERR_CONFIG);
}

/* --------------------------------------------------------------------- maps */

#define ENTRY(name, shape, begin, end)                                                                     \
  "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void all_errors_of_a_map_are_reported(void **state) {
  (void)state;
  static const char zeros[64];
  static const char map[] = "0-conv2d/V: w\n2-dense/W: v\n2-dense/b: vv\n0-conv2d/b: b\n"
                            "1-batch_norm/gamma: b\n1-batch_norm/beta: [b]\n";
  write_tensors("{" ENTRY("w", "[1,12]", 0, 48) "," ENTRY("b", "[2]", 48, 56) "}", zeros, 56);
  write_bytes("map.yaml", map, sizeof map - 1);
  check_refused("a.safetensors", "map.yaml", LS_ERR_CONFIG, "map.yaml:1: 0-conv2d/V ~ 0-conv2d/W?");
  check_refused("a.safetensors", "map.yaml", LS_ERR_CONFIG, "map.yaml:2: 2-dense/W: v: ~ did you mean w?");
  check_refused("a.safetensors", "map.yaml", LS_ERR_CONFIG, "map.yaml:3: 2-dense/b: vv");
  check_refused("a.safetensors", "map.yaml", LS_ERR_CONFIG, "map.yaml:5: 1-batch_norm/gamma ~ 0-conv2d/b");
  check_refused("a.safetensors", "map.yaml", LS_ERR_CONFIG, "map.yaml:6: 1-batch_norm/beta");
  write_bytes("map.yaml", "2-dense/W: b\n", 13);
  check_refused("a.safetensors", "map.yaml", LS_ERR_CONFIG, "map.yaml:1 ~ (2) F32 ~ (1, 12)");
  write_bytes("map.yaml", "- b\n", 4);
  check_refused("a.safetensors", "map.yaml", LS_ERR_CONFIG, "map.yaml:1");
  write_bytes("map.yaml", "2-dense/W: w\n2-dense/W: w\n", 26);
  check_refused("a.safetensors", "map.yaml", LS_ERR_CONFIG, "map.yaml:2");
  check_refused("a.safetensors", "none.yaml", LS_ERR_CONFIG, "none.yaml");
}

/* ----------------------------------------------------------------- metadata */

#define META(more) "{\"__metadata__\":{\"lockstep_version\":\"1\"" more "}}"
#define SHAPE      ",\"input_shape\":\"[2,4,3]\""

static void metadata_are_read(void **state) {
  (void)state;
  static const char valid[] = META(SHAPE ",\"normalizer\":\"{\\\"offset\\\":0.5,\\\"factor\\\":2}\""
                                         ",\"classes\":\"[\\\"a\\\",\\\"\\u00e9\\\"]\"");
  ls_tensors *tensors = NULL;
  ls_tensors_origin origin = {0};
  write_tensors(valid, NULL, 0);
  assert_int_equal(ls_tensors_open("a.safetensors", NULL, model, false, &tensors), LS_OK);
  assert_int_equal(ls_tensors_read_origin(tensors, &origin), LS_OK);
  assert_int_equal(origin.n_inputs, 24);
  assert_int_equal(origin.n_classes, 2);
  assert_string_equal(origin.classes[1], "\xc3\xa9");
  assert_null(origin.features);
  check_close("offset", origin.normalizer->offset[23], 0.5, 0.0);
  check_close("factor", origin.normalizer->factor[23], 2.0, 0.0);
  ls_tensors_origin_free(&origin);
  ls_tensors_close(&tensors);
}

static void damaged_metadata_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *header, *message;
  } rows[] = {
      {META(""), "input_shape"},
      {META(",\"input_shape\":\"[2,4\""), "input_shape"},
      {META(",\"input_shape\":\"[]\""), "input_shape"},
      {META(",\"input_shape\":\"[2,-4]\""), "input_shape"},
      {META(",\"input_shape\":\"[1,1,1,1,1]\""), "input_shape"},
      {META(",\"input_shape\":\"[4294967296,4294967296]\""), "input_shape"},
      {META(SHAPE ",\"classes\":\"[1]\""), "classes"},
      {META(SHAPE ",\"features\":\"[\\\"a\\\",2]\""), "features"},
      {META(SHAPE), "normalizer"},
      {META(SHAPE ",\"normalizer\":\"{\\\"offset\\\":[1],\\\"factor\\\":1}\""), "normalizer"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_tensors *tensors = NULL;
    ls_tensors_origin origin = {0};
    write_tensors(rows[i].header, NULL, 0);
    if (ls_tensors_open("a.safetensors", NULL, model, false, &tensors) != LS_OK)
      fail_msg("%s", ls_message());
    assert_int_equal(ls_tensors_read_origin(tensors, &origin), LS_ERR_MODEL);
    if (!message_has(ls_message(), rows[i].message)) fail_msg("%s", ls_message());
    ls_tensors_origin_free(&origin);
    ls_tensors_close(&tensors);
  }
}

/* ------------------------------------------------------------------ refusals */

/* A residual that adds a flattened sample to the rows of a dense layer. */
static void orders_that_differ_are_refused(void **state) {
  (void)state;
  ls_tensors *tensors = NULL;
  ls_model *other = NULL;
  ls_config *text =
      config_of("model: [{layer: conv2d, filters: 2, kernel_size: 1}, {layer: flatten}, {layer: "
                "residual, layers: [{layer: dense, units: 8}]}]");
  write_tensors("{}", NULL, 0);
  assert_int_equal(ls_model_parse(text, LS_MSE, &other), LS_OK);
  assert_int_equal(ls_model_infer_shapes(other, &(ls_shape){3, {2, 2, 3}}), LS_OK);
  assert_int_equal(ls_model_build(other, 1), LS_OK);
  assert_int_equal(ls_tensors_open("a.safetensors", NULL, other, false, &tensors), LS_ERR_MODEL);
  assert_true(message_has(ls_message(), "model.2 ~ residual ~ flattened"));
  ls_model_destroy(&other);
  ls_config_destroy(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hostile_headers_are_refused),
      cmocka_unit_test(hostile_lengths_are_refused),
      cmocka_unit_test(large_headers_are_refused),
      cmocka_unit_test(other_files_are_refused),
      cmocka_unit_test(types_are_converted),
      cmocka_unit_test(values_that_are_not_finite_are_refused),
      cmocka_unit_test(negative_variances_are_refused),
      cmocka_unit_test(other_types_are_refused_by_name),
      cmocka_unit_test(all_errors_of_a_map_are_reported),
      cmocka_unit_test(metadata_are_read),
      cmocka_unit_test(damaged_metadata_are_refused),
      cmocka_unit_test(orders_that_differ_are_refused),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
