/* Opens the arrays of .npy files, or of an .npz archive. */
#include "npy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <zip.h>

bool import_npy_ends_with(const char *text, const char *ending) {
  const size_t n = strlen(text);
  const size_t size = strlen(ending);
  return n >= size && strcasecmp(text + n - size, ending) == 0;
}

/* Adds an array that is open for reading; takes `path` and closes what it cannot add.  name: of a file */
static ls_status add_array(npy_list *list, npy *a, const char *name) {
  const char *const slash = strrchr(name, '/');
  const char *const base = slash ? slash + 1 : name;
  const char *const dot = strchr(base, '.');
  a->name = a->path ? ls_format("%.*s", (int)(dot ? dot - base : (ptrdiff_t)strlen(base)), base) : NULL;
  if (list->n == list->capacity && a->name) {
    const size_t wanted = list->capacity ? 2 * list->capacity : 16;
    npy *const grown = realloc(list->arrays, wanted * sizeof *grown);
    if (grown) {
      list->arrays = grown;
      list->capacity = wanted;
    }
  }
  if (!a->name || list->n == list->capacity) {
    import_npy_close(a);
    return ls_fail_memory("the list of arrays", (list->n + 1) * sizeof *a);
  }
  list->arrays[list->n++] = *a;
  return import_npy_open(&list->arrays[list->n - 1]);
}

static ls_status add_file(npy_list *list, const char *path) {
  npy a = {0};
  LS_TRY(import_source_open(&a.in, path));
  a.limit = import_source_limit(&a.in);
  a.path = ls_strdup(path);
  return add_array(list, &a, path);
}

/* Checks what a member states about itself, before reading it. */
static ls_status check_member(const char *path, const zip_stat_t *info) {
  const bool is_complete = (info->valid & ZIP_STAT_SIZE) && (info->valid & ZIP_STAT_COMP_SIZE) &&
                           (info->valid & ZIP_STAT_COMP_METHOD);
  if (!is_complete || info->encryption_method != ZIP_EM_NONE ||
      (info->comp_method != ZIP_CM_STORE && info->comp_method != ZIP_CM_DEFLATE))
    return ls_fail(LS_ERR_DATA, "%s:%s: encrypted, or with another compression than deflate", path,
                   info->name);
  if (info->size / IMPORT_DEFLATE_RATIO <= info->comp_size) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s:%s: the archive states %" PRIu64 " bytes, which cannot be in %" PRIu64 " bytes", path,
                 info->name, (uint64_t)info->size, (uint64_t)info->comp_size);
}

static ls_status add_member(npy_list *list, const char *path, zip_uint64_t i) {
  zip_stat_t info;
  npy a = {0};
  if (zip_stat_index(list->archive, i, 0, &info) != 0 || !(info.valid & ZIP_STAT_NAME))
    return ls_fail(LS_ERR_DATA, "%s: the archive is damaged (%s)", path, zip_strerror(list->archive));
  if (!import_npy_ends_with(info.name, ".npy")) return LS_OK;
  LS_TRY(check_member(path, &info));
  a.limit = info.size;
  a.archive = list->archive;
  a.index = i;
  a.member = zip_fopen_index(list->archive, i, 0);
  if (!a.member)
    return ls_fail(LS_ERR_DATA, "%s:%s: the archive is damaged (%s)", path, info.name,
                   zip_strerror(list->archive));
  a.path = ls_format("%s:%s", path, info.name);
  return add_array(list, &a, info.name);
}

static ls_status add_archive(npy_list *list, const char *path) {
  source file;
  int code = 0;
  LS_TRY(import_source_open(&file, path)); /* reports what is not a regular file */
  import_source_close(&file);
  list->archive = zip_open(path, ZIP_RDONLY, &code);
  if (!list->archive) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const ls_status status =
        ls_fail(LS_ERR_DATA, "%s: not a readable .npz archive: %s", path, zip_error_strerror(&error));
    zip_error_fini(&error);
    return status;
  }
  const zip_int64_t n = zip_get_num_entries(list->archive, 0);
  for (zip_int64_t i = 0; i < n; i++) LS_TRY(add_member(list, path, (zip_uint64_t)i));
  return LS_OK;
}

ls_status import_npy_list(const char *const *sources, size_t n, npy_list *list) {
  *list = (npy_list){0};
  const bool is_archive = import_npy_ends_with(sources[0], ".npz");
  for (size_t i = 0; i < n; i++)
    if (import_npy_ends_with(sources[i], ".npz") && n > 1)
      return ls_fail(LS_ERR_CONFIG, "%s: an .npz file must be imported alone", sources[i]);
  for (size_t i = 0; i < n && !is_archive; i++) LS_TRY(add_file(list, sources[i]));
  if (is_archive) LS_TRY(add_archive(list, sources[0]));
  return list->n ? LS_OK : ls_fail(LS_ERR_DATA, "%s: contains no arrays", sources[0]);
}

void import_npy_list_destroy(npy_list *list) {
  for (size_t i = 0; i < list->n; i++) import_npy_close(&list->arrays[i]);
  free(list->arrays);
  if (list->archive) zip_discard(list->archive);
  *list = (npy_list){0};
}
