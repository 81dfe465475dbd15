/* lockstep info: the arrays of a file, and lists of names. */
#include "info.h"

#include <stdlib.h>
#include <string.h>

/* Counts the zeros of a weight matrix. */
static ls_status count_zeros(const ls_store *store, const ls_array *array, info_array *found) {
  size_t n = 0;
  if (array->dtype != LS_F32 || array->n_dims != 2 || !ls_size_mul(array->dims[0], array->dims[1], &n))
    return LS_OK;
  float *w = ls_calloc(n, sizeof *w);
  if (!w) return ls_fail_memory(found->path, n * sizeof *w);
  const ls_status status = ls_store_read_rows(store, found->path, 0, array->dims[0], w);
  for (size_t i = 0; status == LS_OK && i < n; i++) found->n_zeros += w[i] == 0.0F;
  found->n = n;
  free(w);
  return status;
}

static void print_text(const info_array *found) {
  char shape[128];
  printf("  %-28s %s", found->path,
         found->array ? ls_array_describe(found->array, shape, sizeof shape) : found->why);
  if (found->n_zeros > 0) printf(", %zu of %zu are 0", found->n_zeros, found->n);
  printf("\n");
}

static void print_json(const info_array *found) {
  app_json_open(NULL, '{');
  app_json_text("path", found->path);
  if (found->array) {
    app_json_array("shape", found->array);
    app_json_text("type", ls_dtype_name(found->array->dtype));
  } else {
    app_json_text("error", found->why);
  }
  if (found->n > 0) APP_JSON_COUNTS({"zeros", (double)found->n_zeros});
  app_json_close('}');
}

/* Limits of the search for arrays: groups that contain each other have infinitely many paths. */
#define DEPTH_MAX 16
#define NAMES_MAX 10000

static ls_status print_array(const ls_store *store, const char *path, info_tally *tally) {
  ls_array array;
  size_t row = 1;
  info_array found = {.path = path, .array = &array};
  const ls_status described = ls_store_describe(store, path, &array);
  if (described == LS_ERR_DATA && !tally->is_model) {
    const char *const message = ls_message(); /* "FILE:PATH: what is wrong" */
    const size_t place = strlen(ls_store_path(store)) + strlen(path) + 3;
    found.array = NULL;
    found.why = strlen(message) > place ? message + place : message;
    tally->n_unreadable++;
  } else {
    LS_TRY(described);
    if (ls_array_row_size(&array, &row))
      tally->n_elements += (double)row * (array.n_dims ? (double)array.dims[0] : 1.0);
    if (tally->is_model) LS_TRY(count_zeros(store, &array, &found));
  }
  (tally->json ? print_json : print_text)(&found);
  return LS_OK;
}

static ls_status print_group_arrays(const ls_store *store, const char *group, unsigned depth,
                                    info_tally *tally) {
  char **names = NULL;
  char why[256];
  size_t count = 0;
  ls_status status = ls_store_list(store, group, &names, &count);
  tally->n_names += count;
  if (status == LS_OK && tally->n_names > NAMES_MAX)
    status = ls_fail(LS_ERR_DATA, "%s:%s: contains more than %d paths; its groups may contain each other",
                     ls_store_path(store), group, NAMES_MAX);
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    char *path = ls_format("%s/%s", strcmp(group, "/") == 0 ? "" : group, names[i]);
    if (!path) status = ls_fail_memory("a path", strlen(names[i]));
    const ls_store_kind kind = path ? ls_store_kind_of(store, path) : LS_STORE_NONE;
    if (kind == LS_STORE_GROUP && depth < DEPTH_MAX)
      status = print_group_arrays(store, path, depth + 1, tally);
    if (kind == LS_STORE_ARRAY) status = print_array(store, path, tally);
    if (kind == LS_STORE_OTHER)
      (tally->json ? print_json : print_text)(
          &(info_array){.path = path, .why = ls_store_explain(store, path, why, sizeof why)});
    free(path);
  }
  free(names);
  return status;
}

ls_status app_info_print_arrays(const ls_store *store, const char *group, info_tally *tally) {
  return print_group_arrays(store, group, 0, tally);
}

void app_info_print_list(const char *title, char **texts, size_t n) {
  if (n == 0) return;
  printf("%s", title);
  for (size_t i = 0; i < n && i < 20; i++) printf("%s%s", i ? ", " : "", texts[i]);
  printf(n > 20 ? " and %zu more\n" : "\n", n - 20);
}
