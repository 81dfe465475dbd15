/* The usual names of arrays, and the roles of data in them: X_train, test_set_x, features/train. */
#include "internal.h"

#include <string.h>

const data_kind data_inputs = {"inputs", {"x", "X", "data", "images", "features", "inputs", NULL}};
const data_kind data_targets = {"targets", {"y", "Y", "label", "labels", "target", "targets", NULL}};
const data_kind data_weights = {"weights", {"w", NULL}};
const data_kind data_other_weights = {"weights",
                                      {"sample_weight", "sample_weights", "weights", "weight", NULL}};

const data_role data_roles[DATA_N_ROLES] = {
    {"train",
     {"train_set_", "train_", "training_", "trn_", NULL},
     {"_train_set", "_train", "_training", "_trn", "/train", "/training", NULL}},
    {"validation",
     {"valid_set_", "val_set_", "validation_", "valid_", "val_", "dev_", NULL},
     {"_valid_set", "_val_set", "_validation", "_valid", "_val", "_dev", "/validation", "/valid", "/val",
      "/dev", NULL}},
    {"test", {"test_set_", "test_", NULL}, {"_test_set", "_test", "/test", NULL}}};

/* Whether the last part of a path of n bytes is a usual name. */
static bool has_usual_name(const char *path, size_t n) {
  static const data_kind *const kinds[] = {&data_inputs, &data_targets, &data_weights, &data_other_weights};
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
    for (size_t i = 0; kinds[k]->names[i]; i++) {
      const size_t length = strlen(kinds[k]->names[i]);
      const bool ends = n >= length && strncmp(path + n - length, kinds[k]->names[i], length) == 0;
      if (ends && (n == length || path[n - length - 1] == '/')) return true;
    }
  return false;
}

/* The bytes of a suffix of a role, such as "/train", with which a path ends after a usual name; 0: none. */
static size_t split_bytes(const char *path) {
  const size_t length = strlen(path);
  for (size_t r = 0; r < DATA_N_ROLES; r++)
    for (size_t i = 0; data_roles[r].suffixes[i]; i++) {
      const char *const suffix = data_roles[r].suffixes[i];
      const size_t n = strlen(suffix);
      if (suffix[0] == '/' && length > n && strcmp(path + length - n, suffix) == 0 &&
          has_usual_name(path, length - n))
        return n;
    }
  return 0;
}

const char *data_last_name(const char *path) {
  const char *last = path;
  const size_t n = strlen(path) - split_bytes(path);
  for (size_t i = 0; i < n; i++)
    if (path[i] == '/') last = path + i + 1;
  return last;
}

/* The part of a name, of *n bytes, without the prefix or suffix of the training data; NULL: it has none. */
static const char *stem_of(const char *name, size_t *n) {
  const data_role *const train = &data_roles[0];
  const size_t length = strlen(name);
  for (size_t i = 0; train->prefixes[i]; i++) {
    const size_t affix = strlen(train->prefixes[i]);
    *n = length - ls_size_min(affix, length);
    if (*n > 0 && strncmp(name, train->prefixes[i], affix) == 0) return name + affix;
  }
  for (size_t i = 0; train->suffixes[i]; i++) {
    *n = length - ls_size_min(strlen(train->suffixes[i]), length);
    if (*n > 0 && strcmp(name + *n, train->suffixes[i]) == 0) return name;
  }
  return NULL;
}

ls_status data_counterpart(const char *wanted, const char *name, size_t i, char **out) {
  const char *const last = data_last_name(name);
  size_t n = 0;
  const char *const stem = stem_of(last, &n);
  *out = NULL;
  for (size_t r = 1; stem && wanted && r < DATA_N_ROLES; r++) {
    const data_role *const role = &data_roles[r];
    size_t n_prefixes = 0;
    size_t n_suffixes = 0;
    while (role->prefixes[n_prefixes]) n_prefixes++;
    while (role->suffixes[n_suffixes]) n_suffixes++;
    if (strcmp(role->name, wanted) != 0 || i >= n_prefixes + n_suffixes) continue;
    *out = ls_format("%.*s%s%.*s%s", (int)(last - name), name, i < n_prefixes ? role->prefixes[i] : "",
                     (int)n, stem, i < n_prefixes ? "" : role->suffixes[i - n_prefixes]);
    return *out ? LS_OK : ls_fail_memory("a name", strlen(name));
  }
  return LS_OK;
}

/* The bytes of the group in the path of an array. */
static size_t group_length(const char *path) {
  const char *const last = data_last_name(path);
  return last > path ? (size_t)(last - path) - 1 : 0;
}

bool data_same_group(const char *a, const char *b) {
  const size_t n = group_length(a);
  return n == group_length(b) && strncmp(a, b, n) == 0;
}

bool data_is_split(const char *path) {
  const size_t n = group_length(path);
  for (size_t r = 0; r < DATA_N_ROLES; r++) {
    const size_t length = strlen(data_roles[r].name);
    if (n > length && path[n - length - 1] == '/' &&
        strncmp(path + n - length, data_roles[r].name, length) == 0)
      return true;
  }
  return false;
}
