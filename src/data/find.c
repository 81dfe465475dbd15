/* Finds the arrays of a dataset in a file: names of Lockstep first, then other usual names. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* What an array contains, and its usual names. */
typedef struct array_kind {
  const char *what;
  const char *names[8];
} array_kind;

static const array_kind inputs = {"inputs", {"x", "X", "data", "images", "features", "inputs", NULL}};
static const array_kind targets = {"targets", {"y", "Y", "label", "labels", "target", "targets", NULL}};
static const array_kind weights = {"weights", {"w", NULL}};

typedef struct role {
  const char *name;
  const char *suffixes[4];
} role;

static const role roles[] = {{"train", {"_train", NULL}},
                             {"validation", {"_val", "_valid", "_validation", NULL}},
                             {"test", {"_test", NULL}}};

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

ls_status ls_spec_split(const char *spec, char **file, char **group) {
  const char *const colon = strrchr(spec, ':');
  const bool has_group = colon && colon[1] == '/';
  *file = has_group ? ls_format("%.*s", (int)(colon - spec), spec) : ls_strdup(spec);
  *group = has_group ? ls_strdup(colon + 1) : NULL;
  if (!*file || (has_group && !*group)) return ls_fail_memory("a path", strlen(spec));
  return LS_OK;
}

/* `group`/`name` followed by `suffix`, owned by the caller. An absolute name does not depend on the group.
 */
static ls_status join(const char *group, const char *name, const char *suffix, char **path) {
  const bool is_complete = name[0] == '/';
  const char *const parent = is_complete || strcmp(group, "/") == 0 ? "" : group;
  *path = ls_format("%s%s%s%s", parent, is_complete ? "" : "/", name, suffix);
  return *path ? LS_OK : ls_fail_memory("a path", strlen(name));
}

/* The explicit name of an array, or NULL. */
static const char *explicit_name(const ls_dataset_request *request, const array_kind *kind) {
  if (kind == &inputs) return request->x;
  return kind == &targets ? request->y : NULL;
}

typedef struct matches {
  size_t count;
  const char *name, *suffix; /* of the last */
  char found[1024];          /* all paths, for messages */
} matches;

/* Adds the arrays in a group that have a usual name and `suffix`. */
static ls_status match(const ls_store *store, const char *group, const array_kind *kind, const char *suffix,
                       matches *m) {
  for (size_t i = 0; kind->names[i]; i++) {
    char *path = NULL;
    LS_TRY(join(group, kind->names[i], suffix, &path));
    if (ls_store_kind_of(store, path) == LS_STORE_ARRAY) {
      ls_append(m->found, sizeof m->found, "%s%s", m->count++ ? ", " : "", path);
      m->name = kind->names[i];
      m->suffix = suffix;
    }
    free(path);
  }
  return LS_OK;
}

/* Searches for plain names first, then for names with a suffix of the role. Stores the path of a single
 * match in *path, leaves *path NULL without a match, and fails with a list of several matches. */
static ls_status find_usual(const search *s, const char *group, const array_kind *kind, char **path) {
  const char *const wanted = s->request->role;
  matches m = {0};
  LS_TRY(match(s->store, group, kind, "", &m));
  for (size_t r = 0; m.count == 0 && r < sizeof roles / sizeof roles[0]; r++) {
    const bool may_match = !wanted || strcmp(wanted, roles[r].name) == 0;
    for (size_t i = 0; may_match && roles[r].suffixes[i]; i++)
      LS_TRY(match(s->store, group, kind, roles[r].suffixes[i], &m));
  }
  if (m.count <= 1) return m.count ? join(group, m.name, m.suffix, path) : LS_OK;
  if (kind == &weights)
    return ls_fail(LS_ERR_DATA, "%s:%s: several arrays may be the %s: %s; keep only one of them",
                   ls_store_path(s->store), group, kind->what, m.found);
  return ls_fail(LS_ERR_DATA, "%s:%s: several arrays may be the %s: %s; set data.%s to one of them",
                 ls_store_path(s->store), group, kind->what, m.found, kind->names[0]);
}

/* Searches a group for the array with the explicit name or, without one, with a usual name. Leaves *path
 * NULL if there is none. */
static ls_status look_up(const search *s, const char *group, const array_kind *kind, char **path) {
  const char *const name = explicit_name(s->request, kind);
  if (name) {
    LS_TRY(join(group, name, "", path));
    if (ls_store_kind_of(s->store, *path) == LS_STORE_ARRAY) return LS_OK;
    free(*path);
    *path = NULL;
  }
  return name && !s->request->may_differ ? LS_OK : find_usual(s, group, kind, path);
}

/* Whether the group called `name` in the root has an x; "": the root itself. */
static ls_status has_inputs(const search *s, const char *name, bool *has) {
  char *group = NULL;
  char *path = NULL;
  ls_status status = join("/", name, "", &group);
  if (status == LS_OK && ls_store_kind_of(s->store, group) == LS_STORE_GROUP)
    status = look_up(s, group, &inputs, &path);
  *has = path != NULL;
  free(path);
  free(group);
  return status;
}

/* Chooses the group if the spec names none: the only group that has an x, unless the root has one. */
static ls_status choose_group(const search *s, char **group) {
  const char *const file = ls_store_path(s->store);
  const char *chosen = "";
  char **names = NULL;
  size_t count = 0;
  char found[1024] = "";
  size_t n_found = 0;
  bool has = false;
  ls_status status = has_inputs(s, "", &has);
  if (status == LS_OK && !has) status = ls_store_list(s->store, "/", &names, &count);
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    status = has_inputs(s, names[i], &has);
    if (!has) continue;
    if (n_found == 0) chosen = names[i];
    ls_append(found, sizeof found, "%s/%s", n_found++ ? ", " : "", names[i]);
  }
  if (status == LS_OK && n_found > 1)
    status = ls_fail(LS_ERR_DATA, "%s: several groups have data: %s; append one to the name, as in %s:/%s",
                     file, found, file, chosen);
  if (status == LS_OK) status = join("/", chosen, "", group);
  free(names);
  return status;
}

/* Rejects an absolute name outside the group of the spec: it would select other data than the spec. */
static ls_status check_inside(const ls_store *store, const char *group, const char *key, const char *name) {
  const size_t n = strlen(group);
  const bool is_root = strcmp(group, "/") == 0;
  if (!name || name[0] != '/' || is_root || (strncmp(name, group, n) == 0 && name[n] == '/')) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s:%s: %s: %s is outside this group; must be inside it, or relative to it",
                 ls_store_path(store), group, key, name);
}

/* Lists the names in a group, for a message. */
static void list_names(const ls_store *store, const char *group, char *text, size_t size) {
  char **names = NULL;
  size_t count = 0;
  text[0] = '\0';
  if (ls_store_list(store, group, &names, &count) != LS_OK) return;
  for (size_t i = 0; i < count; i++) {
    char *path = NULL;
    const bool is_other =
        join(group, names[i], "", &path) == LS_OK && ls_store_kind_of(store, path) == LS_STORE_OTHER;
    ls_append(text, size, "%s%s%s", i ? ", " : "", names[i],
              is_other ? " (a link, or another object; links are not followed)" : "");
    free(path);
  }
  free(names);
}

static ls_status fail_absent(const ls_store *store, const char *group, const array_kind *kind) {
  char text[1024];
  char known[256] = "";
  list_names(store, group, text, sizeof text);
  for (size_t i = 0; kind->names[i]; i++)
    ls_append(known, sizeof known, "%s%s", i ? ", " : "", kind->names[i]);
  return ls_fail(LS_ERR_DATA, "%s:%s: no array of %s; must be called %s, or named by data.%s; found: %s",
                 ls_store_path(store), group, kind->what, known, kind->names[0],
                 text[0] ? text : "nothing");
}

/* Finds an array that the dataset needs. An absent array with an explicit name fails when it is read. */
static ls_status find_required(const search *s, const char *group, const array_kind *kind, char **path) {
  const char *const name = explicit_name(s->request, kind);
  if (name && !s->request->may_differ) return join(group, name, "", path);
  LS_TRY(look_up(s, group, kind, path));
  return *path ? LS_OK : fail_absent(s->store, group, kind);
}

static ls_status find_in_group(const search *s, const char *group, data_names *names) {
  if (ls_store_kind_of(s->store, group) != LS_STORE_GROUP)
    return ls_fail(LS_ERR_DATA, "%s: group %s does not exist", ls_store_path(s->store), group);
  LS_TRY(find_required(s, group, &inputs, &names->x));
  if (s->request->target == LS_TARGET_NONE) return LS_OK;
  LS_TRY(find_required(s, group, &targets, &names->y));
  return find_usual(s, group, &weights, &names->w);
}

ls_status data_find_arrays(const ls_store *store, const ls_dataset_request *request, const char *group,
                           data_names *names) {
  const search s = {store, request};
  char *chosen = NULL;
  *names = (data_names){0};
  if (group && !request->may_differ) {
    LS_TRY(check_inside(store, group, "data.x", request->x));
    if (request->target != LS_TARGET_NONE) LS_TRY(check_inside(store, group, "data.y", request->y));
  }
  ls_status status = group ? LS_OK : choose_group(&s, &chosen);
  if (status == LS_OK) status = find_in_group(&s, group ? group : chosen, names);
  free(chosen);
  if (status != LS_OK) data_names_free(names);
  return status;
}
