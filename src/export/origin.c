/* The metadata of our own safetensors files, each as JSON text: the shape of a sample, names, the
 * normaliser and the order of the elements. */
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ls_status fail(const ls_tensors *tensors, const char *key, const char *what) {
  return ls_fail(LS_ERR_MODEL, "%s: __metadata__: %s: %s; export the model again", tensors->file.path, key,
                 what);
}

static const char *text_of(const ls_tensors *tensors, const char *key) {
  return json_string_value(json_object_get(json_object_get(tensors->file.header, "__metadata__"), key));
}

/* Parses the value of a key; *out is NULL if it is absent. The caller owns it. */
static ls_status parse(const ls_tensors *tensors, const char *key, json_t **out) {
  const char *const text = text_of(tensors, key);
  json_error_t error;
  *out = text ? json_loads(text, JSON_REJECT_DUPLICATES, &error) : NULL;
  return *out || !text ? LS_OK : fail(tensors, key, error.text);
}

ls_status export_origin_open(ls_tensors *tensors) {
  return text_of(tensors, "lockstep_version") ? parse(tensors, "map", &tensors->orders) : LS_OK;
}

/* Whether `view` of a tensor is that of the block; NULL: the elements have the same order here and there.
 */
static bool is_view_of(const json_t *view, const export_block *block) {
  const size_t dims[] = {block->rows, block->positions, block->channels};
  bool is_same = export_block_is_transposed(block) == (view != NULL);
  for (size_t i = 0; is_same && view && i < sizeof dims / sizeof *dims; i++)
    is_same = json_integer_value(json_array_get(view, i)) == (json_int_t)dims[i];
  return is_same;
}

bool export_origin_has_order(const ls_tensors *tensors, const export_tensor *t, const export_block *block) {
  const char *path;
  const json_t *entry;
  json_object_foreach(tensors->orders, path, entry) {
    const char *const name = json_string_value(json_object_get(entry, "name"));
    if (name && strcmp(name, t->name) == 0) return is_view_of(json_object_get(entry, "view"), block);
  }
  return true;
}

static ls_status read_shape(const ls_tensors *tensors, ls_shape *out) {
  json_t *list = NULL;
  size_t count = 0;
  LS_TRY(parse(tensors, "input_shape", &list));
  const size_t n = json_array_size(list);
  bool is_valid = json_is_array(list) && n > 0 && n <= LS_SHAPE_MAX;
  for (size_t i = 0; is_valid && i < n; i++) {
    const json_int_t dim = json_integer_value(json_array_get(list, i));
    is_valid = dim > 0;
    out->dims[out->n_dims++] = is_valid ? (size_t)dim : 0;
  }
  json_decref(list);
  return is_valid && ls_shape_count(out, &count) ? LS_OK : fail(tensors, "input_shape", "is not a shape");
}

/* Reads a list of texts into one block, which the caller frees; NULL if it is absent. */
static ls_status read_texts(const ls_tensors *tensors, const char *key, char ***out, size_t *n) {
  json_t *list = NULL;
  size_t bytes = 0;
  bool is_valid = true;
  LS_TRY(parse(tensors, key, &list));
  *n = json_array_size(list);
  for (size_t i = 0; i < *n; i++) {
    const char *const text = json_string_value(json_array_get(list, i));
    is_valid = is_valid && text;
    bytes += sizeof *out + (text ? strlen(text) + 1 : 0);
  }
  ls_status status = is_valid ? LS_OK : fail(tensors, key, "is not a list of texts");
  *out = status == LS_OK && *n > 0 ? ls_calloc(bytes, 1) : NULL;
  if (status == LS_OK && *n > 0 && !*out) status = ls_fail_memory("a list of names", bytes);
  char *next = *out ? (char *)(*out + *n) : NULL;
  for (size_t i = 0; *out && i < *n; i++) {
    (*out)[i] = next;
    next = stpcpy(next, json_string_value(json_array_get(list, i))) + 1;
  }
  json_decref(list);
  return status;
}

/* Reads n numbers, or one that stands for all of them. */
static bool read_numbers(const json_t *value, size_t n, double *out) {
  const bool is_list = json_is_array(value);
  if (is_list && json_array_size(value) != n) return false;
  for (size_t i = 0; i < n; i++) {
    const json_t *const number = is_list ? json_array_get(value, i) : value;
    if (!json_is_number(number)) return false;
    out[i] = json_number_value(number);
  }
  return true;
}

static ls_status read_normalizer(const ls_tensors *tensors, size_t n, ls_normalizer **out) {
  json_t *object = NULL;
  LS_TRY(parse(tensors, "normalizer", &object));
  double *const values = ls_calloc(2 * n, sizeof *values);
  ls_status status = values ? LS_OK : ls_fail_memory("the normaliser", 2 * n * sizeof *values);
  if (status == LS_OK && !(read_numbers(json_object_get(object, "offset"), n, values) &&
                           read_numbers(json_object_get(object, "factor"), n, values + n)))
    status =
        fail(tensors, "normalizer", "does not have numbers `offset` and `factor` that fit input_shape");
  if (status == LS_OK) status = ls_normalizer_create(n, out);
  if (status == LS_OK) ls_normalizer_set(*out, values, values + n);
  free(values);
  json_decref(object);
  return status;
}

ls_status ls_tensors_read_origin(const ls_tensors *tensors, ls_tensors_origin *out) {
  *out = (ls_tensors_origin){0};
  if (!text_of(tensors, "lockstep_version")) return LS_OK;
  LS_TRY(read_shape(tensors, &out->input));
  (void)ls_shape_count(&out->input, &out->n_inputs);
  LS_TRY(read_texts(tensors, "classes", &out->classes, &out->n_classes));
  LS_TRY(read_texts(tensors, "features", &out->features, &out->n_features));
  return out->n_inputs == tensors->model->n_in ? read_normalizer(tensors, out->n_inputs, &out->normalizer)
                                               : LS_OK;
}

void ls_tensors_origin_free(ls_tensors_origin *origin) {
  free(origin->classes);
  free(origin->features);
  ls_normalizer_destroy(&origin->normalizer);
  *origin = (ls_tensors_origin){0};
}
