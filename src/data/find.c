/* Finds the arrays of a dataset in a file: names of Lockstep first, then other usual names. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const x_names[] = {"x", "X", "data", "images", "features", "inputs", NULL};
static const char *const y_names[] = {"y", "Y", "label", "labels", "target", "targets", NULL};
static const char *const w_names[] = {"w", NULL};

typedef struct role {
  const char *name;
  const char *suffixes[4];
} role;

static const role roles[] = {{"train", {"_train", NULL}},
                             {"validation", {"_val", "_valid", "_validation", NULL}},
                             {"test", {"_test", NULL}}};

void data_names_free(data_names *names) {
  free(names->x);
  free(names->y);
  free(names->w);
  *names = (data_names){0};
}

ls_status ls_spec_split(const char *spec, char **file, char **group) {
  const char *const colon = strrchr(spec, ':');
  const bool has_group = colon && colon[1] == '/';
  *file = has_group ? ls_format("%.*s", (int)(colon - spec), spec) : ls_strdup(spec);
  *group = has_group ? ls_strdup(colon + 1) : NULL;
  if (!*file || (has_group && !*group)) return ls_fail_memory("a path", strlen(spec));
  return LS_OK;
}

/* `group`/`name` followed by `suffix`; an absolute name stands for itself. */
static char *join(const char *group, const char *name, const char *suffix) {
  if (name[0] == '/') return ls_format("%s%s", name, suffix);
  const char *const between = strcmp(group, "/") == 0 ? "" : group;
  return ls_format("%s/%s%s", between, name, suffix);
}

/* Searches a group for arrays called one of `names` with `suffix`. Adds their number to *count, stores the
 * path of the first in *path (owned by the caller), and appends all paths to `found`, for messages. */
static ls_status match(const ls_store *store, const char *group, const char *const *names,
                       const char *suffix, size_t *count, char **path, char *found, size_t size) {
  for (size_t i = 0; names[i]; i++) {
    char *candidate = join(group, names[i], suffix);
    if (!candidate) return ls_fail_memory("a path", strlen(names[i]));
    if (ls_store_kind_of(store, candidate) == LS_STORE_ARRAY) {
      ls_append(found, size, "%s%s", found[0] ? ", " : "", candidate);
      if ((*count)++ == 0) {
        *path = candidate;
        candidate = NULL;
      }
    }
    free(candidate);
  }
  return LS_OK;
}

/* Searches for plain names first, then for names with a suffix of the role. Stores the path of a single
 * match in *path, leaves *path NULL without a match, and fails with a list of several matches. */
static ls_status find_one(const ls_store *store, const ls_dataset_request *request, const char *group,
                          const char *const *names, const char *what, char **path) {
  char found[1024] = "";
  size_t count = 0;
  ls_status status = match(store, group, names, "", &count, path, found, sizeof found);
  for (size_t r = 0; count == 0 && r < sizeof roles / sizeof roles[0]; r++) {
    if (request->role && strcmp(request->role, roles[r].name) != 0) continue;
    for (size_t s = 0; status == LS_OK && roles[r].suffixes[s]; s++)
      status = match(store, group, names, roles[r].suffixes[s], &count, path, found, sizeof found);
  }
  if (status == LS_OK && count <= 1) return LS_OK;
  free(*path);
  *path = NULL;
  if (status != LS_OK) return status;
  return ls_fail(LS_ERR_DATA, "%s:%s: several arrays may be the %s: %s; set data.%s to one of them",
                 ls_store_path(store), group, what, found, names[0]);
}

/* Lists the names in a group, for a message. */
static void list_names(const ls_store *store, const char *group, char *text, size_t size) {
  char **names = NULL;
  size_t count = 0;
  text[0] = '\0';
  if (ls_store_list(store, group, &names, &count) != LS_OK) return;
  for (size_t i = 0; i < count; i++) {
    char *const path = join(group, names[i], "");
    const bool is_other = path && ls_store_kind_of(store, path) == LS_STORE_OTHER;
    ls_append(text, size, "%s%s%s", i ? ", " : "", names[i],
              is_other ? " (a link, or another object; links are not followed)" : "");
    free(path);
  }
  free(names);
}

/* Rejects an absolute name outside the group of the spec: it would select other data than the spec. */
static ls_status check_inside(const ls_store *store, const char *group, const char *name) {
  const size_t n = strlen(group);
  const bool is_root = strcmp(group, "/") == 0;
  if (!name || name[0] != '/' || is_root || (strncmp(name, group, n) == 0 && name[n] == '/')) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s:%s: data.x or data.y is %s, outside this group; must be inside it, or relative to it",
                 ls_store_path(store), group, name);
}

/* Searches a group for the array with the explicit name or, without one, with a usual name. Leaves *path
 * NULL if there is none. */
static ls_status look_up(const ls_store *store, const ls_dataset_request *request, const char *group,
                         const char *const *names, const char *explicit_name, const char *what,
                         char **path) {
  if (!explicit_name) return find_one(store, request, group, names, what, path);
  *path = join(group, explicit_name, "");
  if (!*path) return ls_fail_memory("a path", strlen(explicit_name));
  if (ls_store_kind_of(store, *path) == LS_STORE_ARRAY) return LS_OK;
  free(*path);
  *path = NULL;
  return request->may_differ ? find_one(store, request, group, names, what, path) : LS_OK;
}

/* The same, but keeps an explicit name that is absent, so that reading it reports the error. */
static ls_status look_up_or_keep(const ls_store *store, const ls_dataset_request *request,
                                 const char *group, const char *const *names, const char *explicit_name,
                                 const char *what, char **path) {
  const ls_status status = look_up(store, request, group, names, explicit_name, what, path);
  if (status != LS_OK || *path || !explicit_name || request->may_differ) return status;
  *path = join(group, explicit_name, "");
  return *path ? LS_OK : ls_fail_memory("a path", strlen(explicit_name));
}

/* Chooses the group if the spec names none: the root if it has an x, otherwise the only group that has one.
 */
static ls_status choose_group(const ls_store *store, const ls_dataset_request *request, char **group) {
  char *path = NULL;
  char **names = NULL;
  size_t count = 0;
  char found[1024] = "";
  size_t n_found = 0;
  ls_status status = look_up(store, request, "/", x_names, request->x, "inputs", &path);
  if (status == LS_OK && path) *group = ls_strdup("/");
  if (status == LS_OK && !path) status = ls_store_list(store, "/", &names, &count);
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    char *const inner = ls_format("/%s", names[i]);
    char *inner_path = NULL;
    if (!inner) status = ls_fail_memory("a path", strlen(names[i]));
    if (inner && ls_store_kind_of(store, inner) == LS_STORE_GROUP)
      status = look_up(store, request, inner, x_names, request->x, "inputs", &inner_path);
    if (inner_path) {
      ls_append(found, sizeof found, "%s%s", found[0] ? ", " : "", inner);
      if (n_found++ == 0) *group = ls_strdup(inner);
    }
    free(inner_path);
    free(inner);
  }
  if (status == LS_OK && n_found > 1)
    status = ls_fail(LS_ERR_DATA, "%s: several groups have data: %s; append one to the name, as in %s:%s",
                     ls_store_path(store), found, ls_store_path(store), *group);
  if (status == LS_OK && !path && n_found == 0) *group = ls_strdup("/");
  free(path);
  free(names);
  return status;
}

static ls_status fail_absent(const ls_store *store, const char *group, const char *const *names,
                             const char *what) {
  char text[1024];
  char known[256] = "";
  list_names(store, group, text, sizeof text);
  for (size_t i = 0; names[i]; i++) {
    ls_append(known, sizeof known, "%s%s", i ? ", " : "", names[i]);
  }
  return ls_fail(LS_ERR_DATA, "%s:%s: no array of %s; must be called %s, or named by data.%s; found: %s",
                 ls_store_path(store), group, what, known, names[0], text[0] ? text : "nothing");
}

/* Finds an array that the dataset needs. */
static ls_status find_required(const ls_store *store, const ls_dataset_request *request, const char *group,
                               const char *const *names, const char *explicit_name, const char *what,
                               char **path) {
  const ls_status status = look_up_or_keep(store, request, group, names, explicit_name, what, path);
  return status == LS_OK && !*path ? fail_absent(store, group, names, what) : status;
}

/* Finds the arrays in a group. */
static ls_status find_in_group(const ls_store *store, const ls_dataset_request *request, const char *group,
                               data_names *names) {
  if (ls_store_kind_of(store, group) != LS_STORE_GROUP)
    return ls_fail(LS_ERR_DATA, "%s: group %s does not exist", ls_store_path(store), group);
  ls_status status = find_required(store, request, group, x_names, request->x, "inputs", &names->x);
  if (status != LS_OK || request->target == LS_TARGET_NONE) return status;
  status = find_required(store, request, group, y_names, request->y, "targets", &names->y);
  return status == LS_OK ? find_one(store, request, group, w_names, "weights", &names->w) : status;
}

ls_status data_find_arrays(const ls_store *store, const ls_dataset_request *request, const char *group,
                           data_names *names) {
  const bool has_targets = request->target != LS_TARGET_NONE;
  char *chosen = group ? ls_strdup(group) : NULL;
  ls_status status = LS_OK;
  *names = (data_names){0};
  if (!group) status = choose_group(store, request, &chosen);
  if (group && !request->may_differ) status = check_inside(store, group, request->x);
  if (status == LS_OK && group && !request->may_differ && has_targets)
    status = check_inside(store, group, request->y);
  if (status == LS_OK)
    status = chosen ? find_in_group(store, request, chosen, names) : ls_fail_memory("a path", 0);
  free(chosen);
  if (status != LS_OK) data_names_free(names);
  return status;
}
