/* Finds the arrays of a dataset in an HDF5 file: in the groups of the splits, in the root, or in the only
 * other group that has an x. */
#include "hdf5_source.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct search {
  const ls_store *store; /* borrowed */
  hdf5_source *source;   /* borrowed */
} search;

void import_hdf5_source_destroy(hdf5_source *s) {
  for (size_t i = 0; i < N_SPLITS; i++)
    for (size_t k = 0; k < N_ARRAYS; k++) free(s->paths[i][k]);
  free(s->file);
  free(s->group);
  free(s->ignored);
  *s = (hdf5_source){0};
}

static char *join(const char *group, const char *name) {
  return ls_format("%s/%s", strcmp(group, "/") == 0 ? "" : group, name);
}

/* Sets the path of an array; takes it. */
static ls_status set_path(const search *s, size_t which, size_t array, char *path) {
  char **const place = &s->source->paths[which][array];
  if (!*place) {
    *place = path;
    return LS_OK;
  }
  const ls_status status =
      ls_fail(LS_ERR_DATA, "%s: %s and %s: both may be %s of %s; choose one with --x or --y",
              ls_store_path(s->store), *place, path, import_array_names[array], import_split_names[which]);
  free(path);
  return status;
}

/* Adds an array of a group to its place, by its name; which: the split that the group stands for. */
static ls_status add_array(const search *s, const char *group, const char *name, size_t which) {
  size_t named = 0;
  size_t array = 0;
  char *const path = join(group, name);
  if (!path) return ls_fail_memory("a path", strlen(name));
  if (import_role_read(name, &named, &array))
    return set_path(s, named == SPLIT_TRAIN ? which : named, array, path);
  if (s->source->ignored)
    free(path);
  else
    s->source->ignored = path;
  return LS_OK;
}

/* Adds the arrays that are in a group itself. */
static ls_status search_group(const search *s, const char *group, size_t which) {
  char **names = NULL;
  size_t n = 0;
  LS_TRY(ls_store_list(s->store, group, &names, &n));
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < n; i++) {
    char *const path = join(group, names[i]);
    if (!path) status = ls_fail_memory("a path", strlen(names[i]));
    if (path && ls_store_kind_of(s->store, path) == LS_STORE_ARRAY)
      status = add_array(s, group, names[i], which);
    free(path);
  }
  free(names);
  return status;
}

static bool has_inputs(const hdf5_source *s) {
  bool has = false;
  for (size_t i = 0; i < N_SPLITS; i++) has = has || s->paths[i][ARRAY_X];
  return has;
}

/* Whether a group has an x. */
static ls_status group_has_inputs(const search *s, const char *group, bool *has) {
  hdf5_source found = {0};
  const ls_status status = search_group(&(search){s->store, &found}, group, SPLIT_TRAIN);
  *has = has_inputs(&found);
  import_hdf5_source_destroy(&found);
  return status;
}

/* Searches the groups in the root: those of the splits or, if `others`, the only other one that has an x.
 */
static ls_status search_groups(const search *s, bool others) {
  char **names = NULL;
  size_t n = 0;
  const char *chosen = NULL;
  LS_TRY(ls_store_list(s->store, "/", &names, &n));
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < n; i++) {
    const size_t which = import_split_of(names[i], strlen(names[i]));
    char group[1024];
    bool has = false;
    if (snprintf(group, sizeof group, "/%s", names[i]) >= (int)sizeof group) continue;
    if ((which == N_SPLITS) != others || ls_store_kind_of(s->store, group) != LS_STORE_GROUP) continue;
    if (!others) status = search_group(s, group, which);
    if (others) status = group_has_inputs(s, group, &has);
    if (has && chosen)
      status = ls_fail(LS_ERR_DATA,
                       "%s: the groups /%s and %s both have an x; append one to the name, as in %s:%s",
                       ls_store_path(s->store), chosen, group, ls_store_path(s->store), group);
    if (has) chosen = names[i];
  }
  if (status == LS_OK && chosen) {
    char *const group = join("/", chosen);
    status = group ? search_group(s, group, SPLIT_TRAIN) : ls_fail_memory("a path", strlen(chosen));
    free(group);
  }
  free(names);
  return status;
}

/* The array that an option names, and the weights beside x. */
static ls_status choose(const search *s, const char *option, const char *name, size_t array) {
  const char *const group = s->source->group ? s->source->group : "/";
  if (!name) return LS_OK;
  char *const path = name[0] == '/' ? ls_strdup(name) : join(group, name);
  if (!path) return ls_fail_memory("a path", strlen(name));
  if (ls_store_kind_of(s->store, path) == LS_STORE_ARRAY) return set_path(s, SPLIT_TRAIN, array, path);
  const ls_status status =
      ls_fail(LS_ERR_DATA, "%s %s: %s has no array %s; `lockstep info %s` lists its arrays", option, name,
              ls_store_path(s->store), path, ls_store_path(s->store));
  free(path);
  return status;
}

/* Adds the arrays of a group that is named after an array and has one for each split: /features/train. */
static ls_status search_array_group(const search *s, const char *group, size_t array) {
  char **names = NULL;
  size_t n = 0;
  LS_TRY(ls_store_list(s->store, group, &names, &n));
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < n; i++) {
    const size_t which = import_split_of(names[i], strlen(names[i]));
    char *path = which < N_SPLITS ? join(group, names[i]) : NULL;
    if (which < N_SPLITS && !path) status = ls_fail_memory("a path", strlen(names[i]));
    if (path && ls_store_kind_of(s->store, path) == LS_STORE_ARRAY)
      status = set_path(s, which, array, path);
    else
      free(path);
  }
  free(names);
  return status;
}

/* Searches the groups in the root that are named after arrays. */
static ls_status search_array_groups(const search *s) {
  char **names = NULL;
  size_t n = 0;
  LS_TRY(ls_store_list(s->store, "/", &names, &n));
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < n; i++) {
    size_t which = 0;
    size_t array = 0;
    if (!import_role_read(names[i], &which, &array)) continue;
    char *const group = join("/", names[i]);
    if (!group) status = ls_fail_memory("a path", strlen(names[i]));
    if (group && ls_store_kind_of(s->store, group) == LS_STORE_GROUP)
      status = search_array_group(s, group, array);
    free(group);
  }
  free(names);
  return status;
}

static ls_status find(const search *s, const ls_numpy_options *options) {
  const char *const group = s->source->group;
  LS_TRY(choose(s, "--x", options->x, ARRAY_X));
  LS_TRY(choose(s, "--y", options->y, ARRAY_Y));
  if (options->x || options->y) return LS_OK;
  if (group && ls_store_kind_of(s->store, group) != LS_STORE_GROUP)
    return ls_fail(LS_ERR_DATA, "%s: group %s does not exist", ls_store_path(s->store), group);
  if (group) {
    const char *const name = strrchr(group, '/') + 1;
    const size_t which = import_split_of(name, strlen(name));
    return search_group(s, group, which == N_SPLITS ? SPLIT_TRAIN : which);
  }
  LS_TRY(search_group(s, "/", SPLIT_TRAIN));
  LS_TRY(search_groups(s, false));
  LS_TRY(search_array_groups(s));
  return has_inputs(s->source) ? LS_OK : search_groups(s, true);
}

ls_status import_hdf5_find(const ls_store *store, const ls_numpy_options *options, hdf5_source *s) {
  LS_TRY(find(&(search){store, s}, options));
  if (has_inputs(s)) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: no array is x; name arrays with --x and --y; `lockstep info %s` lists them",
                 ls_store_path(store), ls_store_path(store));
}

/* A file whose own name ends like a group is not split. */
ls_status import_hdf5_split(const char *name, char **file, char **group) {
  *group = NULL;
  if (access(name, F_OK) != 0) return ls_spec_split(name, file, group);
  *file = ls_strdup(name);
  return *file ? LS_OK : ls_fail_memory("a path", strlen(name));
}
