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

#define NO_CHANNELS (LS_MAX_DIMS + 1) /* spatial dims, of which no sample has so many: as stored */

/* Where the data of a role may be, beside FILE:GROUP: another group of the file; another file, with the
 * same group or without one. */
typedef enum place { OTHER_GROUP, OTHER_FILE_WITH_GROUP, OTHER_FILE, N_PLACES } place;

/* Sets *out to the group of the file that has the word in place of `train`, if it exists. */
static ls_status find_group(const char *file, const char *group, const char *word, char **out) {
  char *const other = group ? replace_train(group, word) : NULL;
  bool has = false;
  ls_status status = other ? has_group(file, other, &has) : LS_OK;
  if (has && !(*out = ls_format("%s:%s", file, other))) status = ls_fail_memory("a path", strlen(file));
  free(other);
  return status;
}

/* Sets *out to the file that has the word in place of `train`, if it exists and has the group (NULL: any).
 */
static ls_status find_file(const char *file, const char *group, const char *word, char **out) {
  const char *const slash = strrchr(file, '/');
  const char *const base = slash ? slash + 1 : file;
  char *const name = replace_train(base, word);
  char *const path = name ? ls_format("%.*s%s", (int)(base - file), file, name) : NULL;
  bool has = false;
  ls_status status = path ? has_file(path, &has) : LS_OK;
  if (has && group) status = has_group(path, group, &has);
  if (status == LS_ERR_DATA && group) status = LS_OK; /* reported without the group */
  if (has && !(*out = ls_format("%s%s%s", path, group ? ":" : "", group ? group : "")))
    status = ls_fail_memory("a path", strlen(path));
  free(name);
  free(path);
  return status;
}

/* Rank 0. Sets *out to the data at a place; NULL: there are none. */
static ls_status find_place(const char *train, const char *word, place at, char **out) {
  char *file = NULL;
  char *group = NULL;
  ls_status status = ls_spec_split(train, &file, &group);
  if (status == LS_OK && at == OTHER_GROUP) status = find_group(file, group, word, out);
  if (status == LS_OK && at == OTHER_FILE) status = find_file(file, NULL, word, out);
  if (status == LS_OK && at == OTHER_FILE_WITH_GROUP && group) status = find_file(file, group, word, out);
  free(file);
  free(group);
  return status;
}

/* r: NULL: the training data */
static ls_dataset_request request_of(const ls_draft_request *request, const char *spec, const role *r) {
  return (ls_dataset_request){.spec = spec,
                              .role = r ? r->name : "train",
                              .x = request->x,
                              .y = request->y,
                              .target = LS_TARGET_CLASSES,
                              .n_spatial = NO_CHANNELS};
}

/* The numbers of y for each sample. */
static ls_status count_columns(const ls_dataset *d, uint64_t *columns) {
  ls_array y;
  *columns = 1;
  LS_TRY(ls_dataset_describe_y(d, &y));
  for (unsigned i = 1; i < y.n_dims; i++) *columns *= y.dims[i];
  return LS_OK;
}

/* Rank 0. Whether the samples of other data have the shapes of the training data. */
static ls_status compare(const ls_dataset *train, const ls_dataset *other, const char *name) {
  const ls_shape shapes[] = {ls_dataset_shape(train), ls_dataset_shape(other)};
  uint64_t columns[2] = {0};
  LS_TRY(count_columns(train, &columns[0]));
  LS_TRY(count_columns(other, &columns[1]));
  if (ls_shapes_match(&shapes[0], &shapes[1]) && columns[0] == columns[1]) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: its samples have other shapes than the training data", name);
}

/* Collective. *fits: whether data can be read as the training data can. */
static ls_status try_data(ls_comm *comm, const ls_dataset_request *request, const ls_dataset *train,
                          bool *fits) {
  ls_dataset *other = NULL;
  ls_status status = ls_dataset_open(comm, request, &other);
  if (status == LS_OK)
    status = ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? compare(train, other, request->spec) : LS_OK);
  ls_dataset_close(comm, &other);
  *fits = status == LS_OK;
  if (status != LS_ERR_DATA) return status;
  ls_log(LS_LOG_WARNING, "not used as %s data: %s", request->role, ls_message());
  return LS_OK;
}

/* Collective. Sets *out on rank 0, and *found, if there are data at a place that fit. spec: of the training
 * data */
static ls_status try_place(ls_comm *comm, const ls_dataset_request *request, const ls_dataset *train,
                           const char *spec, const char *word, place at, char **out, bool *found) {
  const bool is_root = ls_comm_rank(comm) == 0;
  char *name = NULL;
  ls_status status = ls_comm_agree(comm, is_root ? find_place(spec, word, at, &name) : LS_OK);
  uint64_t exists = name != NULL;
  ls_comm_broadcast(comm, &exists, sizeof exists);
  ls_dataset_request other = *request;
  other.spec = name;
  if (status == LS_OK && exists) status = try_data(comm, &other, train, found);
  if (*found) *out = name;
  if (!*found) free(name);
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

/* Collective. The data of a role: at the first place that has some, or arrays of the same file. */
static ls_status add_role(ls_comm *comm, const ls_draft_request *request, const role *r,
                          const ls_dataset *train, const char *spec, char **out) {
  const ls_dataset_request wanted = request_of(request, NULL, r);
  bool found = false;
  for (size_t i = 0; r->words[i]; i++)
    for (int at = 0; at < N_PLACES && !found; at++)
      LS_TRY(try_place(comm, &wanted, train, spec, r->words[i], (place)at, out, &found));
  uint64_t is_decided = found || request->x; /* names of arrays are for all roles */
  ls_comm_broadcast(comm, &is_decided, sizeof is_decided);
  if (is_decided || !has_arrays(comm, request->data, r, train)) return LS_OK;
  ls_status status = LS_OK;
  if (ls_comm_rank(comm) == 0 && !(*out = ls_strdup(request->data)))
    status = ls_fail_memory("a path", strlen(spec));
  return ls_comm_agree(comm, status);
}

ls_status draft_open(ls_comm *comm, const ls_draft_request *request, draft_splits *s, ls_dataset **train) {
  *s = (draft_splits){0};
  *train = NULL;
  LS_TRY(ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? name_train(request, &s->train) : LS_OK));
  const char *const spec = s->train ? s->train : request->data; /* other ranks do not use it */
  const ls_dataset_request wanted = request_of(request, spec, NULL);
  LS_TRY(ls_dataset_open(comm, &wanted, train));
  uint64_t has_own_y = draft_has_file(request->y); /* which is that of the training data alone */
  ls_comm_broadcast(comm, &has_own_y, sizeof has_own_y);
  if (has_own_y) return LS_OK;
  LS_TRY(add_role(comm, request, &validation, *train, spec, &s->validation));
  return add_role(comm, request, &test, *train, spec, &s->test);
}
