/* Writing safetensors: the length of the header, 8 bytes; the header, JSON padded with spaces to a multiple
 * of 8; the values of all tensors, one after the other. All numbers are little-endian. */
#include "internal.h"
#include "lockstep/store.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 17 /* of a double, so that it is read as the same number */

typedef struct writer {
  const ls_export_source *source;
  const char *path;
  export_block *blocks; /* owned */
  size_t n_blocks;
} writer;

/* ------------------------------------------------------------------ metadata */

/* Takes `value`, a JSON value or NULL after a failure, and adds it to the metadata as text: all values of
 * the metadata must be strings. */
static int put_text(json_t *metadata, const char *key, json_t *value) {
  char *const text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS)) : NULL;
  const int failed = text ? json_object_set_new(metadata, key, json_string(text)) : -1;
  free(text);
  json_decref(value);
  return failed;
}

/* The value; NULL if it could not be completed. */
static json_t *finish(json_t *value, int failed) {
  if (!failed) return value;
  json_decref(value);
  return NULL;
}

static json_t *list_sizes(size_t n, const size_t *sizes) {
  json_t *const list = json_array();
  int failed = list == NULL;
  for (size_t i = 0; i < n; i++) failed |= json_array_append_new(list, json_integer((json_int_t)sizes[i]));
  return finish(list, failed);
}

static json_t *list_texts(size_t n, char *const *texts) {
  json_t *const list = json_array();
  int failed = list == NULL;
  for (size_t i = 0; i < n; i++) failed |= json_array_append_new(list, json_string(texts[i]));
  return finish(list, failed);
}

/* A list of n numbers; a single number if all are equal. */
static json_t *list_numbers(size_t n, const double *numbers) {
  size_t equal = 1;
  while (equal < n && numbers[equal] == numbers[0]) equal++;
  if (equal == n) return json_real(numbers[0]);
  json_t *const list = json_array();
  int failed = list == NULL;
  for (size_t i = 0; i < n; i++) failed |= json_array_append_new(list, json_real(numbers[i]));
  return finish(list, failed);
}

static json_t *describe_normalizer(const ls_normalizer *normalizer) {
  const size_t n = normalizer->n_features;
  json_t *const object = json_object();
  int failed = object == NULL;
  failed |= json_object_set_new(object, "offset", list_numbers(n, normalizer->offset));
  failed |= json_object_set_new(object, "factor", list_numbers(n, normalizer->factor));
  return finish(object, failed);
}

/* The name of a block there, and how its elements are rearranged: values.reshape(view).transpose(axes). */
static json_t *describe_block(const export_block *block) {
  const size_t view[] = {block->rows, block->positions, block->channels};
  const size_t axes[] = {0, 2, 1};
  json_t *const object = json_object();
  int failed = object == NULL;
  failed |= json_object_set_new(object, "name", json_string(block->name));
  if (export_block_is_transposed(block)) {
    failed |= json_object_set_new(object, "view", list_sizes(3, view));
    failed |= json_object_set_new(object, "transpose", list_sizes(3, axes));
  }
  return finish(object, failed);
}

static json_t *describe_map(const writer *w) {
  json_t *const object = json_object();
  int failed = object == NULL;
  for (size_t i = 0; i < w->n_blocks; i++)
    failed |= json_object_set_new(object, w->blocks[i].segment->path, describe_block(&w->blocks[i]));
  return finish(object, failed);
}

#define LAYOUT                                                                                             \
  "PyTorch: convolutions (out, in / groups, kernel), dense layers (out, in). Columns of a dense layer "    \
  "after flatten, and norms between them, are in the order of PyTorch's flatten of samples with channels " \
  "first. `map` has each path of Lockstep with its name here, and the shape and the axes by which the "    \
  "values were transposed; `normalizer` has the order of `input_shape`, with channels last."

static json_t *describe_model(const writer *w) {
  const ls_modelfile *const saved = w->source->saved;
  const ls_normalizer *const normalizer = w->source->normalizer;
  json_t *const metadata = json_object();
  int failed = metadata == NULL;
  failed |= json_object_set_new(metadata, "format", json_string("pt"));
  failed |= json_object_set_new(metadata, "lockstep_version", json_string(LS_VERSION));
  failed |= json_object_set_new(metadata, "layout", json_string(LAYOUT));
  failed |= put_text(metadata, "map", describe_map(w));
  failed |= put_text(metadata, "input_shape", list_sizes(saved->input.n_dims, saved->input.dims));
  failed |= put_text(metadata, "normalizer", describe_normalizer(normalizer));
  if (normalizer->targets)
    failed |= put_text(metadata, "target_normalizer", describe_normalizer(normalizer->targets));
  if (saved->classes) failed |= put_text(metadata, "classes", list_texts(saved->n_classes, saved->classes));
  if (saved->features)
    failed |= put_text(metadata, "features", list_texts(saved->n_features, saved->features));
  failed |= json_object_set_new(metadata, "config", json_string(saved->config));
  return finish(metadata, failed);
}

/* -------------------------------------------------------------------- header */

static size_t bytes_of(const export_block *block) {
  return ls_segment_count(block->segment) * sizeof(float);
}

static json_t *describe_tensor(const export_block *block, size_t begin) {
  const size_t offsets[] = {begin, begin + bytes_of(block)};
  json_t *const object = json_object();
  int failed = object == NULL;
  failed |= json_object_set_new(object, "dtype", json_string("F32"));
  failed |= json_object_set_new(object, "shape", list_sizes(block->n_dims, block->dims));
  failed |= json_object_set_new(object, "data_offsets", list_sizes(2, offsets));
  return finish(object, failed);
}

/* The header, owned by the caller; NULL if memory is short or a text is not UTF-8. */
static char *make_header(const writer *w) {
  size_t begin = 0;
  json_t *const header = json_object();
  int failed = header == NULL;
  failed |= json_object_set_new(header, "__metadata__", describe_model(w));
  for (size_t i = 0; i < w->n_blocks; i++) {
    failed |= json_object_set_new(header, w->blocks[i].name, describe_tensor(&w->blocks[i], begin));
    begin += bytes_of(&w->blocks[i]);
  }
  char *const text = failed ? NULL : json_dumps(header, JSON_COMPACT);
  json_decref(header);
  return text;
}

static ls_status fail_header(const writer *w) {
  return ls_fail(LS_ERR_INTERNAL,
                 "%s: cannot create the header: out of memory, or a name of the model is not UTF-8",
                 w->path);
}

/* Writes the length and the header, padded so that the values begin at a multiple of 8 bytes. */
static ls_status write_header(const writer *w, FILE *out) {
  char *const text = make_header(w);
  if (!text) return fail_header(w);
  const size_t length = strlen(text);
  const size_t padded = (length + 7) / 8 * 8;
  unsigned char prefix[8];
  for (size_t i = 0; i < sizeof prefix; i++) prefix[i] = (unsigned char)((uint64_t)padded >> (8 * i));
  const bool fits = padded <= EXPORT_HEADER_MAX;
  if (fits) {
    fwrite(prefix, 1, sizeof prefix, out);
    fprintf(out, "%-*s", (int)padded, text);
  }
  free(text);
  if (fits) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT, "%s: the header needs %zu bytes; the format allows %zu; %s", w->path,
                 padded, EXPORT_HEADER_MAX, "the model has too many features to list their normalisation");
}

/* -------------------------------------------------------------------- values */

#define PIECE ((size_t)1 << 16) /* elements converted at a time */

static void write_values(const export_block *block, const float *values, FILE *out) {
  static unsigned char bytes[PIECE * sizeof(float)];
  const size_t n = ls_segment_count(block->segment);
  for (size_t first = 0; first < n; first += PIECE) {
    const size_t count = ls_size_min(PIECE, n - first);
    for (size_t i = 0; i < count; i++) {
      uint32_t word;
      memcpy(&word, &values[export_block_place(block, first + i)], sizeof word);
      for (size_t k = 0; k < sizeof word; k++)
        bytes[i * sizeof word + k] = (unsigned char)(word >> (8 * k));
    }
    fwrite(bytes, sizeof(float), count, out);
    ls_heartbeat();
  }
}

static ls_status write_file(const writer *w, FILE *out) {
  const ls_model *const model = w->source->model;
  LS_TRY(write_header(w, out));
  for (size_t i = 0; i < w->n_blocks; i++) {
    const export_block *const block = &w->blocks[i];
    write_values(block, (block->is_state ? model->state : model->params) + block->segment->offset, out);
    if (ferror(out)) return ls_fail(LS_ERR_OUTPUT, "%s: cannot be written: %s", w->path, strerror(errno));
  }
  return LS_OK;
}

ls_status ls_export_safetensors(const ls_export_source *source, const char *path) {
  writer w = {.source = source, .path = path};
  ls_text_file file = {0};
  LS_TRY(export_layout_create(source->model, source->is_channels_first, &w.blocks, &w.n_blocks));
  ls_status status = ls_text_begin(&file, path);
  if (status == LS_OK) status = write_file(&w, file.stream);
  status = ls_text_end(&file, status);
  free(w.blocks);
  return status;
}
