/* Names of a file's columns and classes, and the mapping from the file to the order of a model. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

/* --------------------------------------------------------------------------- names */

ls_status data_read_list(const ls_store *store, const char *path, const char *attribute, char ***names,
                         size_t *n) {
  *names = NULL;
  *n = 0;
  if (!ls_store_has_attribute(store, path, attribute)) return LS_OK;
  if (ls_store_is_text_list(store, path, attribute))
    return ls_store_read_texts(store, path, attribute, names, n);
  ls_log(LS_LOG_WARNING, "%s:%s: the attribute `%s` is not a list of texts; it is ignored",
         ls_store_path(store), path, attribute);
  return LS_OK;
}

static ls_status check_features(ls_dataset *d) {
  const data_source *const s = d->source;
  const bool fits = d->n_feature_names == d->n_features;
  if (d->feature_names && !fits)
    ls_log(LS_LOG_WARNING,
           "%s:%s: the attribute `features` lists %zu names for %zu features; it is ignored",
           ls_store_path(s->store), s->names.x, d->n_feature_names, d->n_features);
  if (fits && d->n_channels <= 1) return LS_OK;
  free(d->feature_names); /* or they are in the order of the file, and samples in another */
  d->feature_names = NULL;
  d->n_feature_names = 0;
  return LS_OK;
}

/* The number that a text is. */
static bool parse_number(const char *text, double *value) {
  char *end = NULL;
  *value = strtod(text, &end);
  return end != text && *end == '\0' && isfinite(*value);
}

static void forget_classes(ls_dataset *d) {
  free(d->classes);
  d->classes = NULL;
  d->n_classes = 0;
}

/* Class names that are all numbers replace the class numbers of a regression. */
static ls_status use_numbers(ls_dataset *d) {
  data_source *const s = d->source;
  data_mapping *const map = &s->map;
  const ls_names names = {(const char *const *)d->classes, d->n_classes};
  char text[400];
  map->values = ls_calloc(d->n_classes, sizeof *map->values);
  if (!map->values) return ls_fail_memory("the classes", d->n_classes * sizeof *map->values);
  map->n_classes = map->n_known = d->n_classes;
  for (size_t k = 0; k < d->n_classes; k++)
    if (!parse_number(d->classes[k], &map->values[k]))
      return ls_fail(
          LS_ERR_DATA,
          "%s:%s: y has class names: %s; the loss mse would learn the class numbers as "
          "quantities; set loss: categorical_cross_entropy with activation: softmax, or, if y are "
          "quantities, remove the attribute `classes`",
          data_source_y_file(s), s->names.y, ls_names_describe(&names, NULL, text, sizeof text));
  forget_classes(d);
  return LS_OK;
}

static ls_status check_classes(ls_dataset *d) {
  data_source *const s = d->source;
  const ls_store *store = NULL;
  ls_array y;
  size_t columns = 0;
  if (d->n_classes == 0) forget_classes(d);
  if (!d->classes || d->target != LS_TARGET_VALUES) return LS_OK;
  LS_TRY(data_source_y(s, &store));
  LS_TRY(ls_store_describe(store, s->names.y, &y));
  return ls_array_row_size(&y, &columns) && columns == 1 ? use_numbers(d) : LS_OK;
}

ls_status data_check_names(ls_dataset *d) {
  LS_TRY(check_features(d));
  return check_classes(d);
}

/* ------------------------------------------------------------------------- columns */

void data_mapping_free(data_mapping *map) {
  free(map->columns);
  free(map->values);
  free(map->known);
  *map = (data_mapping){0};
}

ls_status data_mapping_share(ls_comm *comm, ls_dataset *d) {
  data_mapping *const map = &d->source->map;
  const size_t bytes = d->n_features * sizeof *map->columns;
  bool has_columns = map->columns != NULL;
  ls_comm_broadcast(comm, &has_columns, sizeof has_columns);
  if (!has_columns) return LS_OK;
  if (!map->columns) map->columns = ls_calloc(d->n_features, sizeof *map->columns);
  LS_TRY(ls_comm_agree(comm, map->columns ? LS_OK : ls_fail_memory("the order of the features", bytes)));
  ls_comm_broadcast(comm, map->columns, bytes);
  return LS_OK;
}

/* Rank 0. Class names, if there are any, determine the class numbers that y may have. */
static void count_labels(ls_dataset *d) {
  data_mapping *const map = &d->source->map;
  map->has_names = map->values || (d->classes && d->n_classes < d->n_outputs);
  map->n_labels = map->has_names ? d->n_classes : d->n_outputs;
}

ls_status data_targets_share(ls_comm *comm, ls_dataset *d) {
  data_mapping *const map = &d->source->map;
  if (ls_comm_rank(comm) == 0) count_labels(d);
  bool has_values = map->values != NULL;
  ls_comm_broadcast(comm, &map->has_names, sizeof map->has_names);
  ls_comm_broadcast(comm, &map->n_labels, sizeof map->n_labels);
  ls_comm_broadcast(comm, &map->n_classes, sizeof map->n_classes);
  ls_comm_broadcast(comm, &has_values, sizeof has_values);
  if (!has_values) return LS_OK;
  const size_t bytes = map->n_classes * sizeof *map->values;
  if (!map->values) map->values = ls_calloc(map->n_classes, sizeof *map->values);
  LS_TRY(ls_comm_agree(comm, map->values ? LS_OK : ls_fail_memory("the classes", bytes)));
  ls_comm_broadcast(comm, map->values, bytes);
  return LS_OK;
}

#define SELECT(type)                                                                                       \
  for (size_t i = 0; i < rows; i++)                                                                        \
    for (size_t j = 0; j < n; j++)                                                                         \
      ((type *)to)[i * n + j] = ((const type *)from)[i * n_columns + columns[j]];                          \
  break

void data_select_columns(const ls_dataset *d, size_t rows, const void *from, void *to) {
  const size_t *const columns = d->source->map.columns;
  const size_t n = d->n_features;
  size_t n_columns = 0;
  ls_array_row_size(&d->stored, &n_columns);
  switch (ls_dtype_size(d->stored.dtype)) {
  case 1: SELECT(uint8_t);
  case 2: SELECT(uint16_t);
  case 4: SELECT(uint32_t);
  case 8: SELECT(uint64_t);
  default: LS_ASSERT(!"an element has 1, 2, 4 or 8 bytes");
  }
}

/* ------------------------------------------------------------------------- classes */

/* Only rank 0 knows the names. */
static ls_status fail_class(const ls_dataset *d, const data_source *s, size_t row, size_t k) {
  if (!d->classes)
    return ls_fail(LS_ERR_DATA,
                   "%s:%s: row %zu has the class %zu, which the model does not have; remove such rows, or "
                   "train on data that have this class",
                   data_source_y_file(s), s->names.y, row, k);
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: row %zu has the class %s, which the model does not have; must be one of: %s; remove "
      "such rows, or train on data that have this class",
      data_source_y_file(s), s->names.y, row, d->classes[k], s->map.known);
}

ls_status data_translate(const ls_dataset *d, const data_source *s, size_t row, double *value) {
  const data_mapping *const map = &s->map;
  const double v = *value;
  if (!map->values) return LS_OK;
  if (!(v >= 0.0 && v <= (double)map->n_classes - 1.0) || (v != floor(v) && map->n_classes != 2))
    return ls_fail(LS_ERR_DATA, "%s:%s: row %zu: label %g is not one of the %zu class names, from 0 to %zu",
                   data_source_y_file(s), s->names.y, row, v, map->n_classes, map->n_classes - 1);
  const size_t k = (size_t)v;
  const double share = v - floor(v); /* of class 1: a label may be between the two classes */
  *value = share > 0.0 ? (1.0 - share) * map->values[0] + share * map->values[1] : map->values[k];
  return isnan(*value) ? fail_class(d, s, row, k) : LS_OK;
}
