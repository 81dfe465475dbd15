/* --init-from: weights of another model for data whose features or classes are in another order. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The first or the last layer with weights; NULL: none. */
static const ls_leaf *find_leaf(const ls_model *model, bool last) {
  const ls_leaf *found = NULL;
  for (size_t i = 0; i < model->n_leaves; i++)
    if (model->leaves[i].layer->n_params > 0 && (last || !found)) found = &model->leaves[i];
  return found;
}

/* Whether the columns of W are the features of the model, or its rows the outputs. */
static bool is_plain_dense(const ls_leaf *leaf) {
  return strcmp(leaf->layer->type->name, "dense") == 0 && !strchr(leaf->path, '/');
}

/* The number of columns of a block; 1 for a vector. */
static size_t columns_of(const ls_segment *segment) {
  return ls_segment_count(segment) / segment->rows;
}

/* Row i becomes row index[i] of before; of W and b. */
static void permute_rows(const ls_segment *segment, const size_t *index, const float *before, float *now) {
  const size_t n = columns_of(segment);
  for (size_t i = 0; i < segment->rows; i++) memcpy(now + i * n, before + index[i] * n, n * sizeof *now);
}

/* Column j becomes column index[j] of before. */
static void permute_columns(const ls_segment *segment, const size_t *index, const float *before,
                            float *now) {
  const size_t n = columns_of(segment);
  for (size_t i = 0; i < segment->rows; i++)
    for (size_t j = 0; j < n; j++) now[i * n + j] = before[i * n + index[j]];
}

typedef void permutation(const ls_segment *segment, const size_t *index, const float *before, float *now);

/* Permutes the blocks of a layer whose number of rows, or of columns, is n. */
static ls_status permute(ls_model *model, const ls_leaf *leaf, permutation *apply, size_t n,
                         const size_t *index) {
  for (size_t p = 0; p < leaf->layer->n_params; p++) {
    const ls_segment *const segment = &model->segments[leaf->segment + p];
    const size_t count = ls_segment_count(segment);
    if ((apply == permute_rows ? segment->rows : columns_of(segment)) != n) continue;
    float *const before = ls_calloc(count, sizeof *before);
    if (!before) return ls_fail_memory("the weights", count * sizeof *before);
    memcpy(before, model->params + segment->offset, count * sizeof *before);
    apply(segment, index, before, model->params + segment->offset);
    free(before);
  }
  return LS_OK;
}

static ls_status find_names(const ls_names *mine, const ls_names *other, const char *owner, size_t *index) {
  const ls_status status = ls_names_find(mine, other, index);
  if (status != LS_ERR_DATA) return status;
  return ls_fail(status, "data.train: cannot match its names with those of %s: %s; names must be unique",
                 owner, ls_message());
}

/* ------------------------------------------------------------------------ features */

static ls_status fail_order(const ls_facts *other, const ls_leaf *leaf, const char *what) {
  return ls_fail(LS_ERR_DATA,
                 "data.train: its %s are in another order than those of %s, whose weights cannot be "
                 "rearranged for it, as layer %s is not a dense layer of the list; use the order of that "
                 "model, or select other layers with --init-layers",
                 what, other->owner, leaf->path);
}

static ls_status check_features(const ls_facts *other, const ls_names *mine, const size_t *index) {
  char missing[700];
  size_t n = 0;
  for (size_t j = 0; j < mine->n; j++) n += index[j] == LS_NAME_ABSENT;
  if (n == 0) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "data.train: has features that %s does not have: %s; rename the columns, or leave out the "
                 "first layer with --init-layers",
                 other->owner, ls_names_describe(mine, index, missing, sizeof missing));
}

ls_status train_transfer_features(ls_model *model, const ls_facts *mine, const ls_facts *other,
                                  size_t **columns) {
  const ls_leaf *const leaf = find_leaf(model, false);
  const ls_names *const names = &mine->features;
  const size_t n = names->n;
  char text[2][128];
  *columns = NULL;
  if (is_plain_dense(leaf) && !ls_shapes_match(&mine->shape, &other->shape))
    return ls_fail(
        LS_ERR_DATA,
        "data.train: has samples of shape %s; must be of shape %s, as those of %s, for the weights "
        "of its first layer",
        ls_shape_describe(&mine->shape, text[0], sizeof text[0]),
        ls_shape_describe(&other->shape, text[1], sizeof text[1]), other->owner);
  if (n == 0 || n != other->features.n || ls_names_equal(names, &other->features)) return LS_OK;
  size_t *const index = *columns = ls_calloc(n, sizeof *index);
  if (!index) return ls_fail_memory("the order of the features", n * sizeof *index);
  LS_TRY(find_names(names, &other->features, other->owner, index));
  LS_TRY(check_features(other, names, index));
  return is_plain_dense(leaf) ? permute(model, leaf, permute_columns, n, index)
                              : fail_order(other, leaf, "features");
}

/* ------------------------------------------------------------------------- classes */

static void warn_of_new(const ls_facts *mine, const ls_facts *other, const size_t *index) {
  char text[700];
  ls_names_describe(&mine->classes, index, text, sizeof text);
  if (text[0])
    ls_log(LS_LOG_WARNING, "data.train: %s does not have the classes %s; they start with weights of others",
           other->owner, text);
}

/* One output stands for two classes: in the other order, it has the opposite sign. */
static ls_status negate(ls_model *model, const ls_leaf *leaf) {
  for (size_t p = 0; p < leaf->layer->n_params; p++) {
    const ls_segment *const segment = &model->segments[leaf->segment + p];
    float *const values = model->params + segment->offset;
    for (size_t i = 0; i < ls_segment_count(segment); i++) values[i] = -values[i];
  }
  return LS_OK;
}

static ls_status rearrange(ls_model *model, const ls_facts *other, size_t n, const size_t *index) {
  const ls_leaf *const leaf = find_leaf(model, true);
  bool is_same = true;
  for (size_t k = 0; k < n; k++) is_same = is_same && index[k] == k;
  if (is_same) return LS_OK;
  if (!is_plain_dense(leaf)) return fail_order(other, leaf, "classes");
  return model->n_out == 1 ? negate(model, leaf) : permute(model, leaf, permute_rows, n, index);
}

ls_status train_transfer_classes(ls_model *model, const ls_facts *mine, const ls_facts *other) {
  const size_t n = mine->classes.n;
  const bool fits = n == other->classes.n && (n == model->n_out || (n == 2 && model->n_out == 1));
  if (n == 0 || !fits || ls_names_equal(&mine->classes, &other->classes)) return LS_OK;
  size_t *const index = ls_calloc(n, sizeof *index);
  if (!index) return ls_fail_memory("the classes", n * sizeof *index);
  ls_status status = find_names(&mine->classes, &other->classes, other->owner, index);
  if (status == LS_OK) {
    warn_of_new(mine, other, index);
    for (size_t k = 0; k < n; k++) index[k] = index[k] == LS_NAME_ABSENT ? k : index[k];
    status = rearrange(model, other, n, index);
  }
  free(index);
  return status;
}
