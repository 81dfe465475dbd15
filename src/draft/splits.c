/* Finds validation and test data beside the training data. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void draft_splits_free(draft_splits *s) {
  free(s->train);
  free(s->validation);
  free(s->test);
  *s = (draft_splits){0};
}

/* The names of a role. */
typedef struct role {
  const char *name;     /* of ls_dataset_request */
  const char *words[5]; /* in names of groups and files; ended by NULL */
} role;

static const role validation = {"validation", {"validation", "valid", "val", "dev", NULL}};
static const role test = {"test", {"test", NULL}};

/* *has: whether a file has a group. LS_ERR_DATA if it cannot be opened. */
static ls_status has_group(const char *file, const char *group, bool *has) {
  ls_store *store = NULL;
  *has = false;
  LS_TRY(ls_store_open(file, &store));
  *has = ls_store_kind_of(store, group) == LS_STORE_GROUP;
  ls_store_close(&store);
  return LS_OK;
}

/* *has: whether a file exists. */
static ls_status has_file(const char *file, bool *has) {
  *has = access(file, F_OK) == 0;
  if (*has || errno == ENOENT || errno == ENOTDIR) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: %s", file, strerror(errno));
}

/* The training data: the group `train` of the file, if the name has no group. */
static ls_status name_train(const ls_draft_request *request, char **out) {
  char *file = NULL;
  char *group = NULL;
  bool adds = false;
  ls_status status = ls_spec_split(request->data, &file, &group);
  if (status == LS_OK && !group && !strpbrk(file, "*?")) status = has_group(file, "/train", &adds);
  if (status == LS_OK) {
    *out = adds ? ls_format("%s:/train", file) : ls_strdup(request->data);
    if (!*out) status = ls_fail_memory("a path", strlen(request->data));
  }
  free(file);
  free(group);
  return status;
}

/* `name` with `word` in place of its last "train"; NULL without one, or if memory is short. */
static char *replace_train(const char *name, const char *word) {
  const char *at = NULL;
  for (const char *p = strstr(name, "train"); p; p = strstr(p + 1, "train")) at = p;
  return at ? ls_format("%.*s%s%s", (int)(at - name), name, word, at + 5) : NULL;
}

/* Sets *out to the group of the file that has the word in place of `train`, if it exists. */
static ls_status find_group(const char *file, const char *group, const char *word, char **out) {
  char *const other = group ? replace_train(group, word) : NULL;
  bool has = false;
  ls_status status = other ? has_group(file, other, &has) : LS_OK;
  if (has && !(*out = ls_format("%s:%s", file, other))) status = ls_fail_memory("a path", strlen(file));
  free(other);
  return status;
}

/* Sets *out to the file, with the same group, that has the word in place of `train`, if it exists. */
static ls_status find_file(const char *file, const char *group, const char *word, char **out) {
  const char *const slash = strrchr(file, '/');
  const char *const base = slash ? slash + 1 : file;
  char *const name = replace_train(base, word);
  char *const path = name ? ls_format("%.*s%s", (int)(base - file), file, name) : NULL;
  bool has = false;
  ls_status status = path ? has_file(path, &has) : LS_OK;
  if (has && !(*out = ls_format("%s%s%s", path, group ? ":" : "", group ? group : "")))
    status = ls_fail_memory("a path", strlen(path));
  free(name);
  free(path);
  return status;
}

/* Rank 0. Sets *out to the data of a role: a group or a file; NULL: there is none. */
static ls_status find_role(const char *train, const role *r, char **out) {
  char *file = NULL;
  char *group = NULL;
  ls_status status = ls_spec_split(train, &file, &group);
  for (size_t i = 0; status == LS_OK && !*out && r->words[i]; i++) {
    status = find_group(file, group, r->words[i], out);
    if (status == LS_OK && !*out) status = find_file(file, group, r->words[i], out);
  }
  free(file);
  free(group);
  return status;
}

/* Collective. Whether the file of the training data has other arrays for a role, such as X_test. */
static bool has_arrays(ls_comm *comm, const char *spec, const role *r, const ls_dataset *train) {
  const ls_dataset_request request = {.spec = spec, .role = r->name, .target = LS_TARGET_CLASSES};
  ls_dataset *other = NULL;
  uint64_t has = 0;
  if (ls_dataset_open(comm, &request, &other) == LS_OK && ls_comm_rank(comm) == 0)
    has = strcmp(ls_dataset_x_path(other), ls_dataset_x_path(train)) != 0;
  ls_comm_broadcast(comm, &has, sizeof has);
  ls_dataset_close(comm, &other);
  return has;
}

#define NO_CHANNELS (LS_MAX_DIMS + 1) /* spatial dims, of which no sample has so many: as stored */

/* Collective. */
static ls_status open_train(ls_comm *comm, const ls_draft_request *request, const char *spec,
                            ls_dataset **out) {
  const ls_dataset_request train = {.spec = spec,
                                    .role = "train",
                                    .x = request->x,
                                    .y = request->y,
                                    .target = LS_TARGET_CLASSES,
                                    .n_spatial = NO_CHANNELS};
  return ls_dataset_open(comm, &train, out);
}

/* Collective. Arrays of the role in the file, or names that rank 0 finds. */
static ls_status add_role(ls_comm *comm, const ls_draft_request *request, const role *r,
                          const ls_dataset *train, const char *spec, char **out) {
  const bool is_root = ls_comm_rank(comm) == 0;
  ls_status status = is_root ? find_role(spec, r, out) : LS_OK;
  LS_TRY(ls_comm_agree(comm, status));
  uint64_t found = *out != NULL;
  ls_comm_broadcast(comm, &found, sizeof found);
  if (found || request->x || !has_arrays(comm, request->data, r, train)) return LS_OK;
  if (is_root && !(*out = ls_strdup(request->data))) status = ls_fail_memory("a path", strlen(spec));
  return ls_comm_agree(comm, status);
}

ls_status draft_open(ls_comm *comm, const ls_draft_request *request, draft_splits *s, ls_dataset **train) {
  *s = (draft_splits){0};
  *train = NULL;
  LS_TRY(ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? name_train(request, &s->train) : LS_OK));
  const char *const spec = s->train ? s->train : request->data; /* other ranks do not use it */
  LS_TRY(open_train(comm, request, spec, train));
  LS_TRY(add_role(comm, request, &validation, *train, spec, &s->validation));
  return add_role(comm, request, &test, *train, spec, &s->test);
}
