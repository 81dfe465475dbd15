/* Reading safetensors. Nothing in the header is trusted. */
#include "lockstep/store.h"
#include "safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Values in the JSON text of a header, which take up to 100 times the memory of their text. */
#define MAX_VALUES 4000000

static ls_status fail(const export_file *file, const char *what) {
  return ls_fail(LS_ERR_MODEL, "%s: is not a valid safetensors file: %s", file->path, what);
}

/* -------------------------------------------------------------------- tensors */

/* The types of the format and the bits of an element. */
static const struct {
  const char *name;
  uint64_t bits;
} types[] = {{"F64", 64},    {"F32", 32}, {"F16", 16},    {"BF16", 16},   {"I64", 64},    {"I32", 32},
             {"I16", 16},    {"I8", 8},   {"U64", 64},    {"U32", 32},    {"U16", 16},    {"U8", 8},
             {"BOOL", 8},    {"C64", 64}, {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6},
             {"F6_E3M2", 6}, {"F4", 4},   {NULL, 0}};

static uint64_t bits_of(const char *dtype) {
  size_t i = 0;
  while (types[i].name && strcmp(types[i].name, dtype) != 0) i++;
  return types[i].bits;
}

bool export_tensor_is_float(const export_tensor *t) {
  static const char *const names[] = {"F32", "F16", "BF16", "F64"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], t->dtype) == 0) return true;
  return false;
}

static ls_status fail_tensor(const export_file *file, const char *name, const char *what) {
  return ls_fail(LS_ERR_MODEL, "%s: is not a valid safetensors file: tensor %.*s: %s", file->path,
                 ls_clip(name, 200), name, what);
}

/* Whether a JSON value is an integer from 0. */
static bool read_size(const json_t *value, uint64_t *out) {
  if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
  *out = (uint64_t)json_integer_value(value);
  return true;
}

/* The bits of the values; false on overflow. All numbers of the shape are from 0. */
static bool count_bits(const json_t *shape, uint64_t bits, uint64_t *out) {
  size_t count = bits;
  bool is_empty = false;
  for (size_t i = 0; i < json_array_size(shape); i++)
    is_empty |= json_integer_value(json_array_get(shape, i)) == 0;
  for (size_t i = 0; !is_empty && i < json_array_size(shape); i++)
    if (!ls_size_mul(count, (size_t)json_integer_value(json_array_get(shape, i)), &count)) return false;
  *out = is_empty ? 0 : count;
  return true;
}

static ls_status check_shape(const export_file *file, const export_tensor *t) {
  char text[128];
  uint64_t size = 0;
  uint64_t bits = 0;
  if (!json_is_array(t->shape)) return fail_tensor(file, t->name, "shape: must be a list of integers");
  for (size_t i = 0; i < json_array_size(t->shape); i++)
    if (!read_size(json_array_get(t->shape, i), &size))
      return fail_tensor(file, t->name, "shape: must be a list of integers from 0");
  if (!count_bits(t->shape, bits_of(t->dtype), &bits))
    return fail_tensor(file, t->name, "shape: the number of elements is too large");
  if (bits % 8 == 0 && bits / 8 == t->end - t->begin) return LS_OK;
  return ls_fail(LS_ERR_MODEL,
                 "%s: is not a valid safetensors file: tensor %.*s: %s has %" PRIu64
                 " bytes, but data_offsets give it %" PRIu64,
                 file->path, ls_clip(t->name, 200), t->name, export_tensor_describe(t, text, sizeof text),
                 bits / 8, t->end - t->begin);
}

static ls_status read_tensor(const export_file *file, const char *name, const json_t *value,
                             export_tensor *t) {
  const json_t *const offsets = json_object_get(value, "data_offsets");
  const char *const dtype = json_string_value(json_object_get(value, "dtype"));
  *t = (export_tensor){.name = name, .dtype = dtype, .shape = json_object_get(value, "shape")};
  if (!json_is_object(value))
    return fail_tensor(file, name, "must be an object with dtype, shape and data_offsets");
  if (!dtype || bits_of(dtype) == 0)
    return fail_tensor(file, name, "dtype: is missing or unknown; must be a type such as F32 or BF16");
  if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &t->begin) ||
      !read_size(json_array_get(offsets, 1), &t->end))
    return fail_tensor(file, name, "data_offsets: must be a list of two integers from 0");
  if (t->begin > t->end) return fail_tensor(file, name, "data_offsets: the end is before the start");
  return check_shape(file, t);
}

static int by_place(const void *a, const void *b) {
  const export_tensor *const s = a;
  const export_tensor *const t = b;
  if (s->begin != t->begin) return s->begin < t->begin ? -1 : 1;
  return (s->end > t->end) - (s->end < t->end);
}

/* Checks that the tensors, sorted, fill `bytes` bytes without gaps and overlaps. */
static ls_status check_places(const export_file *file, uint64_t bytes) {
  uint64_t end = 0;
  for (size_t i = 0; i < file->n; i++) {
    const export_tensor *const t = &file->tensors[i];
    if (t->end > bytes)
      return ls_fail(LS_ERR_MODEL,
                     "%s: tensor %.*s ends at byte %" PRIu64
                     " of the values, but the file has only %" PRIu64 "; it is truncated or damaged",
                     file->path, ls_clip(t->name, 200), t->name, t->end, bytes);
    if (t->begin != end)
      return fail_tensor(file, t->name,
                         t->begin < end ? "data_offsets: overlap those of another tensor"
                                        : "data_offsets: leave a gap before it");
    end = t->end;
  }
  return end == bytes ? LS_OK : fail(file, "bytes that belong to no tensor follow the last one");
}

static ls_status check_metadata(const export_file *file, const json_t *metadata) {
  const char *key;
  const json_t *value;
  if (!json_is_object(metadata)) return fail(file, "__metadata__: must be an object of strings");
  json_object_foreach((json_t *)metadata, key, value) {
    if (!json_is_string(value)) return fail(file, "__metadata__: must be an object of strings");
  }
  return LS_OK;
}

static bool has_control_character(const char *text) {
  while (*text && (unsigned char)*text >= 0x20 && *text != 0x7f) text++;
  return *text != '\0';
}

static ls_status read_tensors(export_file *file, uint64_t bytes) {
  const char *name;
  const json_t *value;
  const size_t count = json_object_size(file->header);
  file->tensors = ls_calloc(count, sizeof *file->tensors);
  if (!file->tensors) return ls_fail_memory("a list of tensors", count * sizeof *file->tensors);
  json_object_foreach(file->header, name, value) {
    if (has_control_character(name)) return fail(file, "the name of a tensor has a control character");
    if (strcmp(name, "__metadata__") == 0)
      LS_TRY(check_metadata(file, value));
    else
      LS_TRY(read_tensor(file, name, value, &file->tensors[file->n++]));
  }
  qsort(file->tensors, file->n, sizeof *file->tensors, by_place);
  return check_places(file, bytes);
}

/* --------------------------------------------------------------------- header */

static ls_status fail_reading(const export_file *file, ssize_t n) {
  return n < 0 ? ls_fail(LS_ERR_MODEL, "%s: cannot be read: %s", file->path, strerror(errno))
               : ls_fail(LS_ERR_MODEL, "%s: is truncated; copy the file again", file->path);
}

/* Limits the memory of the parsed header, before it is parsed. */
static bool has_too_many_values(const char *text, size_t length) {
  size_t n = 0;
  bool is_string = false;
  for (size_t i = 0; i < length; i++) {
    const char c = text[i];
    if (c == '"') is_string = !is_string;
    if (is_string && c == '\\') i++; /* the next character does not end the string */
    n += !is_string && (c == ',' || c == '[' || c == '{');
  }
  return n > MAX_VALUES;
}

static ls_status parse_header(export_file *file, const char *text, size_t length) {
  json_error_t error;
  if (text[0] != '{') return fail(file, "the header does not begin with {");
  if (has_too_many_values(text, length)) return fail(file, "the header has more than 4,000,000 values");
  file->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
  if (!file->header)
    return ls_fail(LS_ERR_MODEL,
                   "%s: is not a valid safetensors file: the header is not valid JSON: byte %d: %s",
                   file->path, error.position, error.text);
  return LS_OK;
}

/* Reads the header of a file of `bytes` bytes. */
static ls_status read_header(export_file *file, uint64_t bytes) {
  unsigned char prefix[8];
  uint64_t length = 0;
  const ssize_t n = ls_store_pread(file->descriptor, 0, prefix, sizeof prefix);
  if (n < (ssize_t)sizeof prefix) return fail_reading(file, n);
  for (size_t i = 0; i < sizeof prefix; i++) length |= (uint64_t)prefix[i] << (8 * i);
  if (length < 2 || length > EXPORT_HEADER_MAX || length > bytes - sizeof prefix)
    return ls_fail(LS_ERR_MODEL,
                   "%s: is not a valid safetensors file: its header would have %" PRIu64
                   " bytes; must be from 2 to 100,000,000 and at most the %" PRIu64 " bytes of the file",
                   file->path, length, bytes);
  char *const text = malloc(length);
  if (!text) return ls_fail_memory("a header", length);
  const ssize_t got = ls_store_pread(file->descriptor, sizeof prefix, text, length);
  const ls_status status =
      got < (ssize_t)length ? fail_reading(file, got) : parse_header(file, text, length);
  free(text);
  file->data_start = sizeof prefix + length;
  return status;
}

ls_status export_file_open(const char *path, export_file *out) {
  struct stat about;
  *out = (export_file){.path = ls_strdup(path), .descriptor = -1};
  if (!out->path) return ls_fail_memory("a path", strlen(path));
  LS_TRY(ls_modelfile_status(ls_store_open_file(path, LS_ERR_MODEL, &out->descriptor)));
  if (fstat(out->descriptor, &about) != 0) return fail_reading(out, -1);
  LS_TRY(read_header(out, (uint64_t)about.st_size));
  return read_tensors(out, (uint64_t)about.st_size - out->data_start);
}

void export_file_close(export_file *file) {
  if (file->descriptor >= 0) close(file->descriptor);
  json_decref(file->header);
  free(file->tensors);
  free(file->path);
  *file = (export_file){.descriptor = -1};
}

const export_tensor *export_file_find(const export_file *file, const char *name) {
  for (size_t i = 0; i < file->n; i++)
    if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
  return NULL;
}

bool export_tensor_fits(const export_tensor *t, const export_block *block) {
  bool same = json_array_size(t->shape) == block->n_dims;
  for (size_t i = 0; same && i < block->n_dims; i++)
    same = (uint64_t)json_integer_value(json_array_get(t->shape, i)) == block->dims[i];
  return same;
}

const char *export_tensor_describe(const export_tensor *t, char *text, size_t size) {
  text[0] = '\0';
  ls_append(text, size, "(");
  for (size_t i = 0; i < json_array_size(t->shape); i++)
    ls_append(text, size, "%s%" JSON_INTEGER_FORMAT, i ? ", " : "",
              json_integer_value(json_array_get(t->shape, i)));
  ls_append(text, size, ") %s", t->dtype);
  return text;
}

/* --------------------------------------------------------------------- values */

#define PIECE ((size_t)1 << 16) /* elements read at a time */

static uint64_t get_little(const unsigned char *from, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; i++) value |= (uint64_t)from[i] << (8 * i);
  return value;
}

static float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
static float float_of_half(uint32_t half) {
  const uint32_t sign = (half & 0x8000U) << 16;
  const uint32_t exponent = half >> 10 & 0x1fU;
  const uint32_t fraction = half & 0x3ffU;
  if (exponent == 0x1fU) return float_of_bits(sign | 0x7f800000U | fraction << 13);
  if (exponent > 0) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
  const float small = (float)fraction * 0x1p-24F;
  return sign ? -small : small;
}

static float float_of_double(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return (float)value;
}

static float decode(const unsigned char *from, const char *dtype, size_t bytes) {
  const uint64_t stored = get_little(from, bytes);
  if (bytes == 8) return float_of_double(stored);
  if (bytes == 4) return float_of_bits((uint32_t)stored);
  return dtype[0] == 'B' ? float_of_bits((uint32_t)stored << 16) : float_of_half((uint32_t)stored);
}

static ls_status fail_value(const export_file *file, const export_tensor *t, size_t i, float value) {
  const bool is_large = isinf(value) && strcmp(t->dtype, "F64") == 0;
  return ls_fail(LS_ERR_MODEL, "%s: tensor %.*s: element %zu is %s; weights must be finite%s", file->path,
                 ls_clip(t->name, 200), t->name, i, isnan(value) ? "NaN" : "infinite",
                 is_large ? " in float32, whose largest value is 3.4e38" : "");
}

static ls_status check_value(const export_file *file, const export_tensor *t, const export_block *block,
                             size_t i, float value) {
  static const char ending[] = "/running_var";
  const char *const own = strrchr(block->segment->path, '/');
  if (!isfinite(value)) return fail_value(file, t, i, value);
  if (value >= 0.0F || !own || strcmp(own, ending) != 0) return LS_OK;
  return ls_fail(LS_ERR_MODEL, "%s: tensor %.*s: element %zu is %g; a variance must be at least 0",
                 file->path, ls_clip(t->name, 200), t->name, i, (double)value);
}

ls_status export_tensor_read(const export_file *file, const export_tensor *t, const export_block *block,
                             float *values) {
  const size_t size = bits_of(t->dtype) / 8;
  const size_t n = ls_segment_count(block->segment);
  unsigned char *const bytes = malloc(PIECE * size);
  if (!bytes) return ls_fail_memory("a tensor", PIECE * size);
  ls_status status = LS_OK;
  for (size_t first = 0; status == LS_OK && first < n; first += PIECE) {
    const size_t count = ls_size_min(PIECE, n - first);
    const uint64_t offset = file->data_start + t->begin + first * size;
    const ssize_t got = ls_store_pread(file->descriptor, offset, bytes, count * size);
    if (got < (ssize_t)(count * size)) status = fail_reading(file, got);
    for (size_t i = 0; status == LS_OK && i < count; i++) {
      const float value = decode(bytes + i * size, t->dtype, size);
      status = check_value(file, t, block, first + i, value);
      values[export_block_place(block, first + i)] = value;
    }
    ls_heartbeat();
  }
  free(bytes);
  return status;
}
