/* lockstep info: prints the contents of a dataset, model or checkpoint, on rank 0. */
#include "internal.h"

#include "lockstep/checkpoint.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------- arrays */

/* Prints the number of elements of a weight matrix that are exactly 0, an effect of l1, unless it is 0. */
static ls_status print_zeros(const ls_store *store, const char *path, const ls_array *array) {
  size_t n = 0;
  if (array->dtype != LS_F32 || array->n_dims != 2 || !ls_size_mul(array->dims[0], array->dims[1], &n))
    return LS_OK;
  float *w = ls_calloc(n, sizeof *w);
  if (!w) return ls_fail_memory(path, n * sizeof *w);
  const ls_status status = ls_store_read_rows(store, path, 0, array->dims[0], w);
  size_t n_zeros = 0;
  for (size_t i = 0; status == LS_OK && i < n; i++) n_zeros += w[i] == 0.0F;
  if (n_zeros > 0) printf(", %zu of %zu are 0", n_zeros, n);
  free(w);
  return status;
}

/* Limits of the search for arrays: groups that contain each other have infinitely many paths. */
#define DEPTH_MAX 16
#define NAMES_MAX 10000

typedef struct tally {
  uint64_t n_elements;
  size_t n_names, n_unreadable;
} tally;

static ls_status print_array(const ls_store *store, const char *path, bool is_model, tally *found) {
  ls_array array;
  char shape[128];
  size_t row = 1;
  const ls_status described = ls_store_describe(store, path, &array);
  if (described == LS_ERR_DATA && !is_model) {
    const char *const message = ls_message(); /* "FILE:PATH: what is wrong" */
    const size_t place = strlen(ls_store_path(store)) + strlen(path) + 3;
    printf("  %-28s %s\n", path, strlen(message) > place ? message + place : message);
    found->n_unreadable++;
    return LS_OK;
  }
  LS_TRY(described);
  if (ls_array_row_size(&array, &row)) found->n_elements += row * (array.n_dims ? array.dims[0] : 1);
  printf("  %-28s %s", path, ls_array_describe(&array, shape, sizeof shape));
  const ls_status status = is_model ? print_zeros(store, path, &array) : LS_OK;
  printf("\n");
  return status;
}

/* Prints every array below a group with its shape and, for a model, the number of zero weights. */
static ls_status print_arrays(const ls_store *store, const char *group, unsigned depth, bool is_model,
                              tally *found) {
  char **names = NULL;
  char why[256];
  size_t count = 0;
  ls_status status = ls_store_list(store, group, &names, &count);
  found->n_names += count;
  if (status == LS_OK && found->n_names > NAMES_MAX)
    status = ls_fail(LS_ERR_DATA, "%s:%s: contains more than %d paths; its groups may contain each other",
                     ls_store_path(store), group, NAMES_MAX);
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    char *path = ls_format("%s/%s", strcmp(group, "/") == 0 ? "" : group, names[i]);
    if (!path) status = ls_fail_memory("a path", strlen(names[i]));
    const ls_store_kind kind = path ? ls_store_kind_of(store, path) : LS_STORE_NONE;
    if (kind == LS_STORE_GROUP && depth < DEPTH_MAX)
      status = print_arrays(store, path, depth + 1, is_model, found);
    if (kind == LS_STORE_ARRAY) status = print_array(store, path, is_model, found);
    if (kind == LS_STORE_OTHER)
      printf("  %-28s %s\n", path, ls_store_explain(store, path, why, sizeof why));
    free(path);
  }
  free(names);
  return status;
}

/* ----------------------------------------------------------- models, checkpoints */

static void print_list(const char *title, char **texts, size_t n) {
  if (n == 0) return;
  printf("%s", title);
  for (size_t i = 0; i < n && i < 20; i++) printf("%s%s", i ? ", " : "", texts[i]);
  printf(n > 20 ? " and %zu more\n" : "\n", n - 20);
}

static ls_status print_progress(const ls_modelfile *saved) {
  ls_progress p = {0};
  LS_TRY(ls_checkpoint_read_progress(saved, &p));
  printf(
      "progress     %llu epochs finished and %llu samples of the next; step %llu; %llu samples in total; "
      "%.1f s\n",
      (unsigned long long)p.epoch, (unsigned long long)p.epoch_samples, (unsigned long long)p.step,
      (unsigned long long)p.samples, p.total_seconds + p.epoch_seconds);
  if (p.skipped_steps)
    printf("skipped      %llu steps with a loss or gradient that was not finite\n",
           (unsigned long long)p.skipped_steps);
  if (p.best_epoch)
    printf("best         epoch %llu: %.6g\n", (unsigned long long)p.best_epoch, p.best_value);
  return LS_OK;
}

static ls_status print_saved(const char *path) {
  ls_modelfile *saved = NULL;
  tally model = {0};
  tally state = {0};
  char *version = NULL;
  char shape[128];
  ls_status status = ls_modelfile_open(path, &saved);
  if (status == LS_OK) status = ls_store_read_text(saved->store, "/", "lockstep_version", &version);
  if (status == LS_OK) {
    printf("%s: a Lockstep %s, format %llu, written by Lockstep %s; the digest is valid\n", path,
           saved->is_checkpoint ? "checkpoint" : "model", (unsigned long long)saved->version, version);
    printf("inputs       %zu features of shape %s", saved->n_inputs,
           ls_shape_describe(&saved->input, shape, sizeof shape));
    if (saved->x.type) printf("; in training %s from %g to %g", saved->x.type, saved->x.low, saved->x.high);
    printf("\n");
    if (saved->window > 0)
      printf("window       %llu samples, in which training shuffled\n", (unsigned long long)saved->window);
    print_list("classes      ", saved->classes, saved->n_classes);
    print_list("features     ", saved->features, saved->n_features);
    if (saved->is_checkpoint) status = print_progress(saved);
  }
  if (status == LS_OK) {
    printf("parameters\n");
    status = print_arrays(saved->store, "/model", 0, true, &model);
    printf("  %llu in total\n", (unsigned long long)model.n_elements);
  }
  if (status == LS_OK && saved->is_checkpoint) {
    printf("optimizer\n");
    status = print_arrays(saved->store, "/optimizer", 0, false, &state);
  }
  if (status == LS_OK) printf("config\n%s", saved->config);
  free(version);
  ls_modelfile_close(&saved);
  return status;
}

/* --------------------------------------------------------------------- datasets */

/* Prints a list of names, which is an attribute of an array, if it exists. */
static ls_status print_names(const ls_store *store, const char *path, const char *attribute) {
  char **texts = NULL;
  size_t count = 0;
  if (!ls_store_has_attribute(store, path, attribute)) return LS_OK;
  const ls_status status = ls_store_read_texts(store, path, attribute, &texts, &count);
  if (status == LS_ERR_DATA) { /* another program's attribute of this name */
    printf("  %s has an attribute `%s` that is not a list of names\n", path, attribute);
    return LS_OK;
  }
  if (status == LS_OK) {
    printf("  %s has %zu %s: ", path, count, attribute);
    print_list("", texts, count);
  }
  free(texts);
  return status;
}

/* Prints the dataset in a group, if there is one in Lockstep's own layout. */
static ls_status print_group(const ls_store *store, const char *group) {
  char x[300];
  char y[300];
  const char *const prefix = strcmp(group, "/") == 0 ? "" : group;
  snprintf(x, sizeof x, "%s/x", prefix);
  snprintf(y, sizeof y, "%s/y", prefix);
  ls_array array;
  if (ls_store_kind_of(store, x) != LS_STORE_ARRAY) return LS_OK;
  size_t row = 0;
  const ls_status described = ls_store_describe(store, x, &array);
  if (described != LS_OK)
    return described == LS_ERR_DATA ? LS_OK : described; /* listed below, with the reason */
  if (ls_array_row_size(&array, &row))
    printf("%s: %llu samples of %zu features\n", group,
           (unsigned long long)(array.n_dims ? array.dims[0] : 1), row);
  LS_TRY(print_names(store, x, "features"));
  return ls_store_kind_of(store, y) == LS_STORE_ARRAY ? print_names(store, y, "classes") : LS_OK;
}

static ls_status print_dataset(const char *path) {
  ls_store *store = NULL;
  char **names = NULL;
  size_t count = 0;
  tally found = {0};
  ls_status status = ls_store_open(path, &store);
  if (status == LS_OK && ls_store_has_attribute(store, "/", "lockstep_version"))
    status = ls_fail(LS_ERR_MODEL,
                     "%s: is damaged: it has the contents of a model or checkpoint, but its seal cannot be "
                     "read; use another checkpoint",
                     path);
  if (status == LS_OK) printf("%s: an HDF5 file\n", path);
  if (status == LS_OK) status = print_group(store, "/");
  if (status == LS_OK) status = ls_store_list(store, "/", &names, &count);
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    char *group = ls_format("/%s", names[i]);
    if (!group) status = ls_fail_memory("a path", strlen(names[i]));
    if (group && ls_store_kind_of(store, group) == LS_STORE_GROUP) status = print_group(store, group);
    free(group);
  }
  if (status == LS_OK) printf("arrays\n");
  if (status == LS_OK) status = print_arrays(store, "/", 0, false, &found);
  if (status == LS_OK && found.n_elements == 0 && found.n_unreadable == 0)
    status = ls_fail(LS_ERR_DATA, "%s: contains no arrays", path);
  free(names);
  ls_store_close(&store);
  return status;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const char *const path = a->positional[0];
  ls_status status = LS_OK;
  if (app_is_root(comm)) status = ls_store_is_sealed(path) ? print_saved(path) : print_dataset(path);
  return ls_comm_agree(comm, status);
}

const command app_info = {.name = "info",
                          .operands = "FILE.h5",
                          .help = "print the contents of a dataset, model or checkpoint",
                          .run = run};
