/* Finds the arrays of a dataset in a file: names of Lockstep first, then other usual names. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct search {
  const ls_store *store;
  const ls_dataset_request *request;
} search;

void data_names_free(data_names *names) {
  free(names->x);
  free(names->y);
  free(names->w);
  *names = (data_names){0};
}

bool data_has_file(const char *name) {
  const char *const colon = name ? strrchr(name, ':') : NULL;
  return colon && colon[1] == '/';
}

/* `group`/`name`, owned by the caller. An absolute name does not depend on the group. */
static ls_status join(const char *group, const char *name, char **path) {
  const bool is_complete = name[0] == '/';
  const char *const parent = is_complete || strcmp(group, "/") == 0 ? "" : group;
  *path = ls_format("%s%s%s", parent, is_complete ? "" : "/", name);
  return *path ? LS_OK : ls_fail_memory("a path", strlen(name));
}

/* The explicit name of an array, or NULL. */
static const char *explicit_name(const ls_dataset_request *request, const data_kind *kind) {
  if (kind == &data_inputs) return request->x;
  return kind == &data_targets ? request->y : NULL;
}

/* Its name in the training data, or NULL. */
static const char *name_in_training(const ls_dataset_request *request, const data_kind *kind) {
  if (kind == &data_inputs) return request->training_x;
  return kind == &data_targets ? request->training_y : NULL;
}

typedef struct matches {
  size_t count;
  char *path;       /* of the first; owned */
  char found[1024]; /* all paths, for messages */
} matches;

/* Adds the arrays in a group that have a usual name between `prefix` and `suffix`. */
static ls_status match(const ls_store *store, const char *group, const data_kind *kind, const char *prefix,
                       const char *suffix, matches *m) {
  for (size_t i = 0; kind->names[i]; i++) {
    char *const path =
        ls_format("%s/%s%s%s", strcmp(group, "/") == 0 ? "" : group, prefix, kind->names[i], suffix);
    if (!path) return ls_fail_memory("a path", strlen(group));
    const bool is_array = ls_store_kind_of(store, path) == LS_STORE_ARRAY;
    if (is_array) ls_append(m->found, sizeof m->found, "%s%s", m->count++ ? ", " : "", path);
    if (is_array && m->count == 1)
      m->path = path;
    else
      free(path);
  }
  return LS_OK;
}

/* Searches for plain names first, then for names with a prefix or suffix of the role. */
static ls_status match_all(const search *s, const char *group, const data_kind *kind, matches *m) {
  const char *const wanted = s->request->role;
  LS_TRY(match(s->store, group, kind, "", "", m));
  for (size_t r = 0; m->count == 0 && r < DATA_N_ROLES; r++) {
    const bool may_match = !wanted || strcmp(wanted, data_roles[r].name) == 0;
    for (size_t i = 0; may_match && data_roles[r].prefixes[i]; i++)
      LS_TRY(match(s->store, group, kind, data_roles[r].prefixes[i], "", m));
    for (size_t i = 0; may_match && data_roles[r].suffixes[i]; i++)
      LS_TRY(match(s->store, group, kind, "", data_roles[r].suffixes[i], m));
  }
  return LS_OK;
}

/* Stores the path of a single match in *path, leaves *path NULL without a match, and fails with a list of
 * several matches. */
static ls_status find_usual(const search *s, const char *group, const data_kind *kind, char **path) {
  matches m = {0};
  const ls_status status = match_all(s, group, kind, &m);
  if (status == LS_OK && m.count <= 1) {
    *path = m.path;
    return LS_OK;
  }
  free(m.path);
  if (status != LS_OK) return status;
  if (kind == &data_weights || kind == &data_other_weights)
    return ls_fail(LS_ERR_DATA, "%s:%s: several arrays may be the %s: %s; keep only one of them",
                   ls_store_path(s->store), group, kind->what, m.found);
  return ls_fail(LS_ERR_DATA, "%s:%s: several arrays may be the %s: %s; set data.%s to one of them",
                 ls_store_path(s->store), group, kind->what, m.found, kind->names[0]);
}

/* Whether a path is inside a group. */
static bool is_inside(const char *group, const char *path) {
  const size_t n = strlen(group);
  return strcmp(group, "/") == 0 || (strncmp(path, group, n) == 0 && path[n] == '/');
}

/* Stores the path of an array in *path if it exists in the group. */
static ls_status find_name(const search *s, const char *group, const char *name, char **path) {
  LS_TRY(join(group, name, path));
  if (ls_store_kind_of(s->store, *path) == LS_STORE_ARRAY) return LS_OK;
  free(*path);
  *path = NULL;
  return LS_OK;
}

/* Searches for the name that the array has in the training data, or its counterpart for the role of the
 * request: test_x for train_x. An absolute name outside the group stands for the same name in the group:
 * /train/pixels for /test/pixels. */
static ls_status find_training_name(const search *s, const char *group, const char *name, char **path) {
  char *other = NULL;
  if (data_has_file(name)) name = strrchr(name, ':') + 1;
  if (name[0] == '/' && !is_inside(group, name)) name = data_last_name(name);
  for (size_t i = 0; !*path; i++) {
    LS_TRY(data_counterpart(s->request->role, name, i, &other));
    if (!other) break;
    const ls_status status = find_name(s, group, other, path);
    free(other);
    LS_TRY(status);
  }
  return *path ? LS_OK : find_name(s, group, name, path);
}

/* Searches a group for the array with the explicit name or, without one, with the name in the training data
 * or a usual name. Leaves *path NULL if there is none. */
static ls_status look_up(const search *s, const char *group, const data_kind *kind, char **path) {
  const char *const name = explicit_name(s->request, kind);
  const char *const training = name_in_training(s->request, kind);
  if (name && name[0] == '/' && !is_inside(group, name)) return LS_OK;
  if (name) return find_name(s, group, name, path);
  if (training) LS_TRY(find_training_name(s, group, training, path));
  return *path ? LS_OK : find_usual(s, group, kind, path);
}

/* Whether the group called `name` in the root has an x; "": the root itself. */
static ls_status has_inputs(const search *s, const char *name, bool *has) {
  char *group = NULL;
  char *path = NULL;
  ls_status status = join("/", name, &group);
  if (status == LS_OK && ls_store_kind_of(s->store, group) == LS_STORE_GROUP)
    status = look_up(s, group, &data_inputs, &path);
  *has = path != NULL;
  free(path);
  free(group);
  return status;
}

/* Whether x has the name of the training data, in a group below the root, which other groups may have too.
 */
static bool is_from_training(const ls_dataset_request *request) {
  const char *const name = request->x ? NULL : request->training_x;
  return name && name[0] == '/' && data_last_name(name) > name + 1;
}

#define GROUP_PER_SAMPLE ((size_t)10) /* groups in a file, from which on each may be a sample */

static ls_status fail_groups(const char *file, const char *found, size_t n, const char *chosen) {
  if (n < GROUP_PER_SAMPLE)
    return ls_fail(LS_ERR_DATA, "%s: several groups have data: %s; append one to the name, as in %s:/%s",
                   file, found, file, chosen);
  return ls_fail(LS_ERR_DATA,
                 "%s: %zu groups have data: %s; append one to the name, as in %s:/%s. If each group is a "
                 "sample, write one array of all samples instead, for example in Python with h5py: "
                 "g['x'] = numpy.stack([f[k]['x'][:] for k in f])",
                 file, n, found, file, chosen);
}

/* Chooses the group if the spec names none: the only group that has an x, unless the root has one. */
static ls_status choose_group(const search *s, char **group) {
  const char *const file = ls_store_path(s->store);
  const char *chosen = "";
  char **names = NULL;
  size_t count = 0;
  char found[512] = "";
  size_t n_found = 0;
  bool has_root = false;
  ls_status status = has_inputs(s, "", &has_root);
  const bool searches = !has_root || is_from_training(s->request);
  if (status == LS_OK && searches) status = ls_store_list(s->store, "/", &names, &count);
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    bool has = false;
    status = has_inputs(s, names[i], &has);
    if (!has) continue;
    if (n_found == 0) chosen = names[i];
    if (n_found < GROUP_PER_SAMPLE) ls_append(found, sizeof found, "%s/%s", n_found ? ", " : "", names[i]);
    n_found++;
  }
  if (status == LS_OK && n_found > 1) status = fail_groups(file, found, n_found, chosen);
  if (status == LS_OK) status = join("/", has_root ? "" : chosen, group);
  free(names);
  return status;
}

/* Rejects an absolute name outside the group of the spec: it would select other data than the spec. */
static ls_status check_inside(const ls_store *store, const char *group, const char *key, const char *name) {
  if (!name || name[0] != '/' || is_inside(group, name)) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: %s: %s is outside this group; must be inside it, or relative to it; a split can have "
      "names of its own: {file: FILE, x: NAME, y: NAME}",
      ls_store_path(store), group, key, name);
}

/* Rejects a sparse matrix in the place of inputs: the group itself, or a group with a usual or explicit
 * name in it. */
static ls_status check_dense(const search *s, const char *group) {
  const char *const name = explicit_name(s->request, &data_inputs);
  LS_TRY(data_check_dense(s->store, group));
  for (size_t i = 0; name ? i == 0 : data_inputs.names[i] != NULL; i++) {
    char *path = NULL;
    ls_status status = join(group, name ? name : data_inputs.names[i], &path);
    if (status == LS_OK && ls_store_kind_of(s->store, path) == LS_STORE_GROUP)
      status = data_check_dense(s->store, path);
    free(path);
    LS_TRY(status);
  }
  return LS_OK;
}

/* Finds an array that the dataset needs. An absent array with an explicit name fails when it is read. */
static ls_status find_required(const search *s, const char *group, const data_kind *kind, char **path) {
  const char *const name = explicit_name(s->request, kind);
  if (name) return join(group, name, path);
  LS_TRY(look_up(s, group, kind, path));
  return *path ? LS_OK : data_fail_absent(s->store, group, kind->what, kind->names);
}

/* Finds the sample weights beside x. */
static ls_status find_weights(const search *s, const char *x, char **path) {
  const size_t length = (size_t)(data_last_name(x) - x) - 1;
  char *const group = ls_format("%.*s", (int)ls_size_max(length, 1), x);
  if (!group) return ls_fail_memory("a path", length);
  ls_status status = find_usual(s, group, &data_weights, path);
  if (status == LS_OK && !*path) status = find_usual(s, group, &data_other_weights, path);
  free(group);
  return status;
}

/* Rejects a y that belongs to the x of the training data, beside which it is, if x was named and is in
 * another group. */
static ls_status check_pair(const search *s, const data_names *names) {
  const ls_dataset_request *const r = s->request;
  const char *const x = r->training_x;
  LS_ASSERT(names->x && names->y);
  const bool is_of_training = r->x && r->training_y && strcmp(names->y, r->training_y) == 0;
  if (!is_of_training || data_same_group(names->x, names->y) || (x && !data_same_group(x, names->y)))
    return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s: x is %s, but %s is the y of the training data, in another group; name the y of this x "
      "with --y",
      ls_store_path(s->store), names->x, names->y);
}

/* Finds y in the group or, for a saved model and an x that an option names, beside x first. */
static ls_status find_targets(const search *s, const char *group, data_names *names) {
  const ls_dataset_request *const r = s->request;
  if (r->x && !r->y && (r->training_x || r->training_y)) {
    const size_t length = (size_t)(data_last_name(names->x) - names->x) - 1;
    char *const beside = ls_format("%.*s", (int)ls_size_max(length, 1), names->x);
    if (!beside) return ls_fail_memory("a path", length);
    const ls_status status = look_up(s, beside, &data_targets, &names->y);
    free(beside);
    LS_TRY(status);
  }
  if (names->y) return LS_OK;
  LS_TRY(find_required(s, group, &data_targets, &names->y));
  return check_pair(s, names);
}

static ls_status find_in_group(const search *s, const char *group, bool has_y_file, data_names *names) {
  if (ls_store_kind_of(s->store, group) != LS_STORE_GROUP)
    return ls_fail(LS_ERR_DATA, "%s: group %s does not exist", ls_store_path(s->store), group);
  LS_TRY(check_dense(s, group));
  LS_TRY(find_required(s, group, &data_inputs, &names->x));
  if (s->request->target == LS_TARGET_NONE) return LS_OK;
  if (!has_y_file) LS_TRY(find_targets(s, group, names));
  return find_weights(s, names->x, &names->w);
}

ls_status data_find_arrays(const ls_store *store, const ls_dataset_request *request, const char *group,
                           bool has_y_file, data_names *names) {
  const search s = {store, request};
  char *chosen = NULL;
  *names = (data_names){0};
  if (group) {
    LS_TRY(check_inside(store, group, "data.x", request->x));
    if (request->target != LS_TARGET_NONE) LS_TRY(check_inside(store, group, "data.y", request->y));
  }
  ls_status status = group ? LS_OK : choose_group(&s, &chosen);
  if (status == LS_OK) status = find_in_group(&s, group ? group : chosen, has_y_file, names);
  free(chosen);
  if (status != LS_OK) data_names_free(names);
  return status;
}
