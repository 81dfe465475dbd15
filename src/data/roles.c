/* The roles of data in the names of arrays: X_train, test_set_x. */
#include "internal.h"

#include <string.h>

const data_role data_roles[DATA_N_ROLES] = {
    {"train",
     {"train_set_", "train_", "training_", "trn_", NULL},
     {"_train_set", "_train", "_training", "_trn", NULL}},
    {"validation",
     {"valid_set_", "val_set_", "validation_", "valid_", "val_", "dev_", NULL},
     {"_valid_set", "_val_set", "_validation", "_valid", "_val", "_dev", NULL}},
    {"test", {"test_set_", "test_", NULL}, {"_test_set", "_test", NULL}}};

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
  const char *const slash = strrchr(name, '/');
  const char *const last = slash ? slash + 1 : name;
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
  const char *const slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) : 0;
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
