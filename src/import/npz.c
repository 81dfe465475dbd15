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

/* Adds an array, whose header is read; takes what it owns.  name: of a file */
static ls_status add_array(npy_list *list, npy *a, const char *name) {
  const char *const slash = strrchr(name, '/');
  const char *const base = slash ? slash + 1 : name;
  const char *const dot = strchr(base, '.');
  a->name = ls_format("%.*s", (int)(dot ? dot - base : (ptrdiff_t)strlen(base)), base);
  if (list->n == list->capacity) {
    const size_t wanted = list->capacity ? 2 * list->capacity : 16;
    npy *const grown = realloc(list->arrays, wanted * sizeof *grown);
    if (grown) {
      list->arrays = grown;
      list->capacity = wanted;
    }
  }
  if (!a->path || !a->file || !a->name || list->n == list->capacity) {
    import_npy_destroy(a);
    return ls_fail_memory("the list of arrays", (list->n + 1) * sizeof *a);
  }
  list->arrays[list->n++] = *a;
  npy *const added = &list->arrays[list->n - 1];
  const ls_status status = import_npy_start(added);
  import_npy_stop(added);
  return status;
}

static ls_status add_file(npy_list *list, const char *path, const char *scratch) {
  npy a = {.path = ls_strdup(path), .file = ls_strdup(path), .scratch = scratch};
  return add_array(list, &a, path);
}

/* ------------------------------------------------------------------------ archives */

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

static ls_status add_member(npy_list *list, zip_t *archive, const char *path, const char *scratch,
                            zip_uint64_t i) {
  zip_stat_t info;
  if (zip_stat_index(archive, i, 0, &info) != 0 || !(info.valid & ZIP_STAT_NAME))
    return ls_fail(LS_ERR_DATA, "%s: the archive is damaged (%s)", path, zip_strerror(archive));
  if (!import_npy_ends_with(info.name, ".npy")) return LS_OK;
  LS_TRY(check_member(path, &info));
  npy a = {.path = ls_format("%s:%s", path, info.name),
           .file = ls_strdup(path),
           .scratch = scratch,
           .is_member = true,
           .index = i,
           .limit = info.size};
  return add_array(list, &a, info.name);
}

static ls_status add_archive(npy_list *list, const char *path, const char *scratch) {
  source file;
  int code = 0;
  LS_TRY(import_source_open(&file, path)); /* reports what is not a regular file */
  import_source_close(&file);
  zip_t *const archive = zip_open(path, ZIP_RDONLY, &code);
  if (!archive) return import_npz_fail(path, code);
  const zip_int64_t n = zip_get_num_entries(archive, 0);
  ls_status status = LS_OK;
  for (zip_int64_t i = 0; status == LS_OK && i < n; i++)
    status = add_member(list, archive, path, scratch, (zip_uint64_t)i);
  zip_discard(archive);
  return status;
}

ls_status import_npy_list(const char *const *sources, size_t n, const char *scratch, npy_list *list) {
  *list = (npy_list){0};
  for (size_t i = 0; i < n; i++) {
    import_progress("reading headers", i, n, "files");
    LS_TRY((import_npy_ends_with(sources[i], ".npz") ? add_archive : add_file)(list, sources[i], scratch));
  }
  return list->n ? LS_OK : ls_fail(LS_ERR_DATA, "%s: contains no arrays", sources[0]);
}

void import_npy_list_destroy(npy_list *list) {
  for (size_t i = 0; i < list->n; i++) import_npy_destroy(&list->arrays[i]);
  free(list->arrays);
  *list = (npy_list){0};
}
