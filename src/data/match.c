/* Comparison of a dataset with the facts of a model, on rank 0, before samples are read: names, shape.
 *
 * Columns of x and classes of y are matched by name if both sides have names. The reader then provides them
 * in the order of the model. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 700

/* ------------------------------------------------------------------------ features */

static ls_status fail_features(const ls_facts *model, const ls_dataset *d, const ls_names *mine,
                               const size_t *column) {
  const data_source *const s = d->source;
  char missing[LIST_MAX];
  char present[LIST_MAX];
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: lacks features of %s: %s; the attribute `features` lists %s; rename the columns, or "
      "remove the attribute if they are in the order of the model",
      ls_store_path(s->store), s->names.x, model->owner,
      ls_names_describe(&model->features, column, missing, sizeof missing),
      ls_names_describe(mine, NULL, present, sizeof present));
}

/* Names the columns of the file that the model does not use. found: (columns of the file) */
static void warn_of_extra(const ls_facts *model, const ls_dataset *d, const ls_names *mine,
                          const size_t *found) {
  const data_source *const s = d->source;
  char extra[LIST_MAX];
  ls_log(LS_LOG_WARNING, "%s:%s: columns that %s does not have are ignored: %s", ls_store_path(s->store),
         s->names.x, model->owner, ls_names_describe(mine, found, extra, sizeof extra));
}

/* Makes the reader provide the columns of the model in its order. column: (features of the model), owned by
 * the mapping from here on */
static void select_columns(ls_dataset *d, size_t n, size_t *column) {
  d->source->map.columns = column;
  d->n_features = n;
  d->x_array.n_dims = 2;
  d->x_array.dims[1] = n;
  free(d->feature_names);
  d->feature_names = NULL;
  d->n_feature_names = 0;
}

/* Finds the columns of the model by name. */
static ls_status match_features(const ls_facts *model, ls_dataset *d) {
  const data_source *const s = d->source;
  const ls_names mine = {(const char *const *)d->feature_names, d->n_feature_names};
  const ls_names *const wanted = &model->features;
  const size_t n = wanted->n;
  if (n == 0 || mine.n == 0 || ls_names_equal(&mine, wanted)) return LS_OK;
  size_t *const column = ls_calloc(n + mine.n, sizeof *column);
  if (!column) return ls_fail_memory("the order of the features", (n + mine.n) * sizeof *column);
  size_t *const found = column + n;
  size_t n_missing = 0;
  ls_status status = ls_names_find(wanted, &mine, column);
  if (status == LS_OK) status = ls_names_find(&mine, wanted, found);
  if (status == LS_ERR_DATA)
    status = ls_fail(status, "%s:%s: cannot match its features with those of %s: %s; names must be unique",
                     ls_store_path(s->store), s->names.x, model->owner, ls_message());
  for (size_t j = 0; status == LS_OK && j < n; j++) n_missing += column[j] == LS_NAME_ABSENT;
  if (n_missing > 0) status = fail_features(model, d, &mine, column);
  if (status != LS_OK) {
    free(column);
    return status;
  }
  if (mine.n > n) warn_of_extra(model, d, &mine, found);
  select_columns(d, n, column);
  return LS_OK;
}

/* --------------------------------------------------------------------------- shape */

/* The dims above 1. */
static ls_shape without_ones(const ls_shape *shape) {
  ls_shape out = {0};
  for (size_t i = 0; i < shape->n_dims; i++)
    if (shape->dims[i] != 1) out.dims[out.n_dims++] = shape->dims[i];
  return out;
}

bool ls_shapes_match(const ls_shape *a, const ls_shape *b) {
  const ls_shape x = without_ones(a);
  const ls_shape y = without_ones(b);
  size_t n_x = 0;
  size_t n_y = 0;
  if (!ls_shape_count(a, &n_x) || !ls_shape_count(b, &n_y) || n_x != n_y) return false;
  return x.n_dims <= 1 || y.n_dims <= 1 ||
         (x.n_dims == y.n_dims && memcmp(x.dims, y.dims, x.n_dims * sizeof *x.dims) == 0);
}

static ls_status match_shape(const ls_facts *model, const ls_dataset *d) {
  const data_source *const s = d->source;
  const ls_shape shape = ls_dataset_shape(d);
  size_t n = 0;
  char text[3][128];
  if (model->shape.n_dims == 0 || ls_shapes_match(&model->shape, &shape)) return LS_OK;
  ls_shape_describe(&model->shape, text[0], sizeof text[0]);
  ls_array_describe(&d->stored, text[1], sizeof text[1]);
  if (!ls_shape_count(&model->shape, &n) || n != d->n_features)
    return ls_fail(
        LS_ERR_DATA,
        "%s:%s: x is %s, with %zu features per sample; must have %zu, as the input of the model: "
        "samples of shape %s%s",
        ls_store_path(s->store), s->names.x, text[1], d->n_features, n, text[0],
        d->stored.n_dims == 2 && d->stored.dims[0] == n
            ? "; it looks transposed: the samples must be the first dim"
            : "");
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: x is %s, with samples of shape %s%s; must be of shape %s, as those of %s; reorder the "
      "dims in the file%s",
      ls_store_path(s->store), s->names.x, text[1], ls_shape_describe(&shape, text[2], sizeof text[2]),
      d->n_channels ? " after data.layout: channels_first" : "", text[0], model->owner,
      shape.n_dims > 2 && !d->n_channels
          ? ", or train with data.layout: channels_first if channels are first"
          : "");
}

/* ------------------------------------------------------------------------- classes */

static ls_status fail_classes(const ls_facts *model, const ls_dataset *d, const char *what) {
  const data_source *const s = d->source;
  const ls_names mine = {(const char *const *)d->classes, d->n_classes};
  char known[LIST_MAX];
  char found[LIST_MAX];
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: the attribute `classes` %s: %s; %s has the classes %s; correct the names, or remove "
      "the attribute if the numbers are those of the model",
      data_source_y_file(s), s->names.y, what, ls_names_describe(&mine, NULL, found, sizeof found),
      model->owner, ls_names_describe(&model->classes, NULL, known, sizeof known));
}

/* index: (classes of the file), those of the model */
static ls_status translate_classes(const ls_facts *model, ls_dataset *d, const size_t *index) {
  data_mapping *const map = &d->source->map;
  char known[LIST_MAX];
  size_t n_known = 0;
  for (size_t k = 0; k < d->n_classes; k++) n_known += index[k] != LS_NAME_ABSENT;
  if (n_known == 0) return fail_classes(model, d, "lists no class of the model");
  map->known = ls_strdup(ls_names_describe(&model->classes, NULL, known, sizeof known));
  map->values = ls_calloc(d->n_classes, sizeof *map->values);
  if (!map->known || !map->values) return ls_fail_memory("the classes", d->n_classes * sizeof *map->values);
  map->n_classes = d->n_classes;
  map->n_known = n_known;
  for (size_t k = 0; k < d->n_classes; k++)
    map->values[k] = index[k] == LS_NAME_ABSENT ? NAN : (double)index[k];
  return LS_OK;
}

/* Two class names that are the same number would merge two classes. */
static ls_status check_unique(const ls_dataset *d) {
  const data_source *const s = d->source;
  const ls_names mine = {(const char *const *)d->classes, d->n_classes};
  size_t *const index = ls_calloc(mine.n, sizeof *index);
  if (!index) return ls_fail_memory("the classes", mine.n * sizeof *index);
  const ls_status status = ls_names_find(&mine, &mine, index);
  free(index);
  return status != LS_ERR_DATA ? status
                               : ls_fail(status, "%s:%s: the attribute `classes`: %s; names must be unique",
                                         data_source_y_file(s), s->names.y, ls_message());
}

/* A model without class names has class numbers. Class names that are whole numbers are these numbers;
 * words are in the order of the numbers. The caller checks the range (see data_describe_targets). */
static ls_status number_classes(ls_dataset *d) {
  data_mapping *const map = &d->source->map;
  bool is_same = true;
  for (size_t k = 0; k < d->n_classes; k++) {
    const char *const name = d->classes[k];
    if (!name[0] || name[strspn(name, "0123456789")] || strlen(name) > 9) return LS_OK;
    is_same = is_same && strtoul(name, NULL, 10) == k;
  }
  if (is_same) return LS_OK;
  LS_TRY(check_unique(d));
  map->values = ls_calloc(d->n_classes, sizeof *map->values);
  if (!map->values) return ls_fail_memory("the classes", d->n_classes * sizeof *map->values);
  map->n_classes = map->n_known = d->n_classes;
  for (size_t k = 0; k < d->n_classes; k++) map->values[k] = (double)strtoul(d->classes[k], NULL, 10);
  return LS_OK;
}

/* Finds the model's numbers of the classes of the file, by name. A class that the model does not have is an
 * error only if a sample has it. */
static ls_status match_classes(const ls_facts *model, ls_dataset *d) {
  const ls_names mine = {(const char *const *)d->classes, d->n_classes};
  if (mine.n > 0 && model->classes.n == 0) return number_classes(d);
  if (mine.n == 0 || ls_names_equal(&mine, &model->classes)) return LS_OK;
  size_t *const index = ls_calloc(mine.n, sizeof *index);
  if (!index) return ls_fail_memory("the classes", mine.n * sizeof *index);
  ls_status status = ls_names_find(&mine, &model->classes, index);
  status = status == LS_ERR_DATA ? fail_classes(model, d, "lists a name more than once")
           : status == LS_OK     ? translate_classes(model, d, index)
                                 : status;
  free(index);
  return status;
}

ls_shape data_match_flat(const ls_dataset_request *request, const ls_dataset *d) {
  const ls_shape *const wanted = request->model ? &request->model->shape : NULL;
  size_t n = 0;
  if (request->shape.n_dims > 0 || !wanted || wanted->n_dims < 2 || d->stored.n_dims != 2 ||
      !ls_shape_count(wanted, &n) || n != d->n_features)
    return request->shape;
  ls_shape shape = *wanted;
  if (request->layout == LS_CHANNELS_FIRST && data_has_channels(request, shape.n_dims)) {
    memmove(shape.dims + 1, shape.dims, (shape.n_dims - 1) * sizeof *shape.dims);
    shape.dims[0] = wanted->dims[wanted->n_dims - 1];
  }
  return shape;
}

ls_status data_match(const ls_facts *model, ls_dataset *d) {
  LS_TRY(match_features(model, d));
  LS_TRY(match_shape(model, d));
  d->is_matched = true;
  return match_classes(model, d);
}
