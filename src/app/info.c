/* lockstep info: prints the contents of a dataset, model or checkpoint, or the state of a run, on rank 0.
 */
#include "info.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --------------------------------------------------------------------- datasets */

/* Prints a list of names, which is an attribute of an array, if it exists. */
static ls_status print_names(const ls_store *store, const char *path, const char *attribute, bool json) {
  char **texts = NULL;
  size_t count = 0;
  if (!ls_store_has_attribute(store, path, attribute)) return LS_OK;
  const ls_status status = ls_store_read_texts(store, path, attribute, &texts, &count);
  if (status == LS_ERR_DATA) { /* another program's attribute of this name */
    if (!json) printf("  %s has an attribute `%s` that is not a list of names\n", path, attribute);
    return LS_OK;
  }
  if (status == LS_OK && json) app_json_texts(attribute, texts, count);
  if (status == LS_OK && !json) {
    printf("  %s has %zu %s: ", path, count, attribute);
    app_info_print_list("", texts, count);
  }
  free(texts);
  return status;
}

static ls_status print_samples(const ls_store *store, const char *group, const char *x, const char *y,
                               bool json) {
  ls_array array;
  size_t row = 0;
  const ls_status described = ls_store_describe(store, x, &array);
  if (described != LS_OK)
    return described == LS_ERR_DATA ? LS_OK : described; /* listed below, with the reason */
  const double samples = array.n_dims ? (double)array.dims[0] : 1.0;
  if (json) app_json_open(NULL, '{');
  if (json) app_json_text("group", group);
  if (ls_array_row_size(&array, &row)) {
    if (json) APP_JSON_COUNTS({"samples", samples}, {"n_features", (double)row});
    if (!json) printf("%s: %.0f samples of %zu features\n", group, samples, row);
  }
  ls_status status = print_names(store, x, "features", json);
  if (status == LS_OK && ls_store_kind_of(store, y) == LS_STORE_ARRAY)
    status = print_names(store, y, "classes", json);
  if (json) app_json_close('}');
  return status;
}

/* Prints the dataset in a group, if there is one in Lockstep's own layout. */
static ls_status print_group(const ls_store *store, const char *group, bool json) {
  char x[300];
  char y[300];
  const char *const prefix = strcmp(group, "/") == 0 ? "" : group;
  snprintf(x, sizeof x, "%s/x", prefix);
  snprintf(y, sizeof y, "%s/y", prefix);
  if (ls_store_kind_of(store, x) != LS_STORE_ARRAY) return LS_OK;
  return print_samples(store, group, x, y, json);
}

static ls_status print_groups(const ls_store *store, bool json) {
  char **names = NULL;
  size_t count = 0;
  ls_status status = print_group(store, "/", json);
  if (status == LS_OK) status = ls_store_list(store, "/", &names, &count);
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    char *group = ls_format("/%s", names[i]);
    if (!group) status = ls_fail_memory("a path", strlen(names[i]));
    if (group && ls_store_kind_of(store, group) == LS_STORE_GROUP) status = print_group(store, group, json);
    free(group);
  }
  free(names);
  return status;
}

static ls_status print_contents(const ls_store *store, const char *path, bool json) {
  info_tally found = {.json = json};
  if (json) {
    app_json_open(NULL, '{');
    app_json_text("path", path);
    app_json_text("type", "dataset");
    app_json_open("groups", '[');
  } else {
    printf("%s: an HDF5 file\n", path);
  }
  LS_TRY(print_groups(store, json));
  if (json) app_json_close(']');
  if (json) app_json_open("arrays", '[');
  if (!json) printf("arrays\n");
  LS_TRY(app_info_print_arrays(store, "/", &found));
  if (json) app_json_close(']');
  if (json) app_json_close('}');
  if (json) printf("\n");
  if (found.n_elements > 0.0 || found.n_unreadable > 0) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: contains no arrays", path);
}

static ls_status print_dataset(const char *path, bool json) {
  ls_store *store = NULL;
  ls_status status = ls_store_open(path, &store);
  if (status == LS_OK && ls_store_has_attribute(store, "/", "lockstep_version"))
    status = ls_fail(LS_ERR_MODEL,
                     "%s: is damaged: it has the contents of a model or checkpoint, but its seal cannot be "
                     "read; use another checkpoint",
                     path);
  if (status == LS_OK) status = print_contents(store, path, json);
  ls_store_close(&store);
  return status;
}

/* ------------------------------------------------------------------ the command */

static ls_status print_path(const char *path, bool json) {
  struct stat info;
  if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return app_info_print_run(path, json);
  return ls_store_is_sealed(path) ? app_info_print_saved(path, json) : print_dataset(path, json);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const bool json = app_option(a, "json") != NULL;
  if (json) ls_log_spare_stdout();
  return ls_comm_agree(comm, app_is_root(comm) ? print_path(a->positional[0], json) : LS_OK);
}

const command app_info = {
    .name = "info",
    .operands = "FILE.h5|RUN",
    .help = "print the contents of a dataset, model or checkpoint, or the state of a run",
    .details =
        "RUN is a run directory (`output` in the config). Its state is printed in five lines: running,\n"
        "stopped or finished; epoch and step; the best epoch; the speed, and when the run will end; the\n"
        "command that resumes it.",
    .options = {OPTION_JSON},
    .run = run};
