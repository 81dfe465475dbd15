/* Which arrays of a file are meant: our own layout first, then the names that people use. */
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

/* `group`/`name`, or `name` itself where it is absolute. */
static char *join(const char *group, const char *name, const char *suffix) {
  if (name[0] == '/') return ls_format("%s%s", name, suffix);
  const char *const between = strcmp(group, "/") == 0 ? "" : group;
  return ls_format("%s/%s%s", between, name, suffix);
}

/* The arrays of a group that bear one of `names` with `suffix`: their number is added to *count, the first
 * is *path (owned), and all are appended to `found`, for messages. */
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

/* Plain names first, then those with a suffix of the role. One match is *path, none leaves it NULL, more
 * are an error that lists them. */
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
  return ls_fail(LS_ERR_DATA, "%s:%s: more than one array could be the %s: %s; name it with data.%s",
                 ls_store_path(store), group, what, found, names[0]);
}

/* The names in a group, for a message. */
static void list_names(const ls_store *store, const char *group, char *text, size_t size) {
  char **names = NULL;
  size_t count = 0;
  text[0] = '\0';
  if (ls_store_list(store, group, &names, &count) != LS_OK) return;
  for (size_t i = 0; i < count; i++) {
    char *const path = join(group, names[i], "");
    const bool is_other = path && ls_store_kind_of(store, path) == LS_STORE_OTHER;
    ls_append(text, size, "%s%s%s", i ? ", " : "", names[i],
              is_other ? " (a link, which is not followed, or no array)" : "");
    free(path);
  }
  free(names);
}

/* An absolute name that lies outside the group of the spec would read other data than was asked for. */
static ls_status check_inside(const ls_store *store, const char *group, const char *name) {
  const size_t n = strlen(group);
  const bool is_root = strcmp(group, "/") == 0;
  if (!name || name[0] != '/' || is_root || (strncmp(name, group, n) == 0 && name[n] == '/')) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: data.x or data.y names %s, which is outside this group; name it relative to the group",
      ls_store_path(store), group, name);
}

/* The array in a group that bears the explicit name, or without one the one that fits; *path stays NULL
 * where there is none. */
static ls_status look(const ls_store *store, const ls_dataset_request *request, const char *group,
                      const char *const *names, const char *explicit_name, const char *what, char **path) {
  if (!explicit_name) return find_one(store, request, group, names, what, path);
  *path = join(group, explicit_name, "");
  if (!*path) return ls_fail_memory("a path", strlen(explicit_name));
  if (ls_store_kind_of(store, *path) == LS_STORE_ARRAY) return LS_OK;
  free(*path);
  *path = NULL;
  return request->may_differ ? find_one(store, request, group, names, what, path) : LS_OK;
}

/* Likewise; an explicit name that is not there is kept, so that reading it says what is wrong. */
static ls_status find_or_take(const ls_store *store, const ls_dataset_request *request, const char *group,
                              const char *const *names, const char *explicit_name, const char *what,
                              char **path) {
  const ls_status status = look(store, request, group, names, explicit_name, what, path);
  if (status != LS_OK || *path || !explicit_name || request->may_differ) return status;
  *path = join(group, explicit_name, "");
  return *path ? LS_OK : ls_fail_memory("a path", strlen(explicit_name));
}

/* Without a group in the spec: the root where it has an x, else its only group that has one. */
static ls_status choose_group(const ls_store *store, const ls_dataset_request *request, char **group) {
  char *path = NULL;
  char **names = NULL;
  size_t count = 0;
  char found[1024] = "";
  size_t n_found = 0;
  ls_status status = look(store, request, "/", x_names, request->x, "inputs", &path);
  if (status == LS_OK && path) *group = ls_strdup("/");
  if (status == LS_OK && !path) status = ls_store_list(store, "/", &names, &count);
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    char *const inner = ls_format("/%s", names[i]);
    char *inner_path = NULL;
    if (!inner) status = ls_fail_memory("a path", strlen(names[i]));
    if (inner && ls_store_kind_of(store, inner) == LS_STORE_GROUP)
      status = look(store, request, inner, x_names, request->x, "inputs", &inner_path);
    if (inner_path) {
      ls_append(found, sizeof found, "%s%s", found[0] ? ", " : "", inner);
      if (n_found++ == 0) *group = ls_strdup(inner);
    }
    free(inner_path);
    free(inner);
  }
  if (status == LS_OK && n_found > 1)
    status = ls_fail(LS_ERR_DATA, "%s: more than one group has data: %s; name one, as in %s:%s",
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
  return ls_fail(LS_ERR_DATA, "%s:%s: no array of %s (one of %s); it has: %s", ls_store_path(store), group,
                 what, known, text[0] ? text : "nothing");
}

ls_status data_find_arrays(const ls_store *store, const ls_dataset_request *request, const char *group,
                           data_names *names) {
  char *chosen = group ? ls_strdup(group) : NULL;
  ls_status status = LS_OK;
  *names = (data_names){0};
  if (!group) status = choose_group(store, request, &chosen);
  if (group && !request->may_differ) status = check_inside(store, group, request->x);
  if (group && !request->may_differ && status == LS_OK && request->target != LS_TARGET_NONE)
    status = check_inside(store, group, request->y);
  if (status == LS_OK && !chosen) status = ls_fail_memory("a path", 0);
  if (status == LS_OK && ls_store_kind_of(store, chosen) != LS_STORE_GROUP)
    status = ls_fail(LS_ERR_DATA, "%s: there is no group %s", ls_store_path(store), chosen);
  if (status == LS_OK)
    status = find_or_take(store, request, chosen, x_names, request->x, "inputs", &names->x);
  if (status == LS_OK && !names->x) status = fail_absent(store, chosen, x_names, "inputs");
  if (status == LS_OK && request->target != LS_TARGET_NONE)
    status = find_or_take(store, request, chosen, y_names, request->y, "targets", &names->y);
  if (status == LS_OK && request->target != LS_TARGET_NONE && !names->y)
    status = fail_absent(store, chosen, y_names, "targets");
  if (status == LS_OK && request->target != LS_TARGET_NONE)
    status = find_one(store, request, chosen, w_names, "weights", &names->w);
  free(chosen);
  if (status != LS_OK) data_names_free(names);
  return status;
}
