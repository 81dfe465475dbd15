/* The files of the output: one for all splits or, with a largest size, any number for each split. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MOST  99999U            /* names have five digits, so that their order is that of the rows */
#define CHUNK       ((size_t)1 << 20) /* bytes of a chunk, as of store */
#define EXTRA_BYTES ((size_t)256 << 10) /* of a file, besides the chunks */

/* ----------------------------------------------------------------------- file names */

/* The length of a path without its ending. */
static size_t stem_length(const char *path) {
  const char *const slash = strrchr(path, '/');
  const char *const dot = strrchr(slash ? slash + 1 : path, '.');
  return dot && dot != path && dot[-1] != '/' ? (size_t)(dot - path) : strlen(path);
}

/* `OUT-*.h5` matches the files of train only. */
static const char *const middles[N_SPLITS] = {"", ".test", ".validation"};

char *import_part_name(const char *path, size_t which, unsigned i) {
  const size_t stem = stem_length(path);
  return ls_format("%.*s%s-%05u%s", (int)stem, path, middles[which], i, path + stem);
}

/* Whether a name in the folder of the output is that of a part. */
static bool is_part(const char *name, const char *base) {
  const size_t stem = stem_length(base);
  if (strncmp(name, base, stem) != 0) return false;
  for (size_t i = 0; i < N_SPLITS; i++) {
    const size_t middle = strlen(middles[i]);
    const char *at = name + stem;
    if (strncmp(at, middles[i], middle) != 0 || at[middle] != '-') continue;
    at += middle + 1;
    if (strspn(at, "0123456789") == 5 && strcmp(at + 5, base + stem) == 0) return true;
  }
  return false;
}

/* The next name in a folder; NULL at its end, with errno 0, or after a failure. */
static const char *next_name(DIR *dir) {
  errno = 0;
  const struct dirent *const entry = readdir(dir);
  return entry ? entry->d_name : NULL;
}

ls_status import_parts_check_unused(const char *path) {
  const char *const slash = strrchr(path, '/');
  const char *const base = slash ? slash + 1 : path;
  char *const folder = slash ? ls_format("%.*s", (int)(slash - path) + 1, path) : ls_strdup(".");
  if (!folder) return ls_fail_memory("a path", strlen(path));
  DIR *const dir = opendir(folder);
  const char *name = dir ? next_name(dir) : NULL;
  while (name && !is_part(name, base)) name = next_name(dir);
  ls_status status = LS_OK;
  if (!name && errno != 0)
    status = ls_fail(LS_ERR_OUTPUT, "%s: its folder cannot be read: %s", path, strerror(errno));
  if (name)
    status = ls_fail(LS_ERR_OUTPUT,
                     "%.*s%s: exists; files of an earlier import are not replaced; remove all of them, or "
                     "choose another output",
                     (int)(base - path), path, name);
  free(folder);
  if (dir) closedir(dir);
  return status;
}

/* ------------------------------------------------------------------------- writing */

static ls_status new_file(output *out, const char *path) {
  if ((out->n_writers & (out->n_writers - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
    const size_t wanted = ls_size_max(1, 2 * out->n_writers);
    ls_store_writer **const grown = realloc(out->writers, wanted * sizeof *grown);
    if (!grown) return ls_fail_memory("the list of files", wanted * sizeof *grown);
    out->writers = grown;
  }
  char *const temporary = ls_store_temporary(path);
  ls_status status = temporary ? import_cleanup_add(temporary) : ls_fail_memory("a path", strlen(path));
  free(temporary);
  ls_store_writer *writer = NULL;
  if (status == LS_OK) status = ls_store_create(path, false, &writer);
  if (writer) out->writers[out->n_writers++] = writer;
  return status;
}

ls_status import_output_create(output *out) {
  return out->max_bytes ? import_parts_check_unused(out->path) : new_file(out, out->path);
}

static const char *path_of(const split *s, size_t array, char path[32]) {
  snprintf(path, 32, "%s/%s", import_split_names[s->which], import_array_names[array]);
  return path;
}

/* Tells the parts of one dataset from those of another. Equal datasets of the same name have equal keys. */
static uint64_t key_of_set(const split *s) {
  const output *const out = s->out;
  const char *const slash = strrchr(out->path, '/');
  const char *const name = slash ? slash + 1 : out->path;
  const uint64_t numbers[] = {ls_digest_of(name, strlen(name)).low,
                              s->which,
                              out->seed,
                              out->shuffles,
                              out->n_test,
                              out->max_bytes};
  return ls_digest_of(numbers, sizeof numbers).low >> 1; /* a number with a sign holds it */
}

/* Creates the arrays of the split in a file, with their attributes. The number of rows in one of several
 * files is not known yet. */
static ls_status begin_arrays(split *s) {
  char path[32];
  for (size_t k = 0; k < N_ARRAYS; k++) {
    ls_array array = s->arrays[k];
    if (s->out->max_bytes) array.dims[0] = 0;
    if (s->has[k]) LS_TRY(ls_store_begin_array(s->writer, path_of(s, k, path), &array));
  }
  for (size_t i = 0; i < s->n_attributes; i++) {
    const attribute *const a = &s->attributes[i];
    path_of(s, a->array, path);
    if (a->texts)
      LS_TRY(ls_store_write_texts(s->writer, path, a->name, (const char *const *)a->texts, a->n));
    else
      LS_TRY(ls_store_write_u64(s->writer, path, a->name, a->number));
  }
  if (!s->out->max_bytes) return LS_OK;
  const ls_part part = {.number = s->n_files,
                        .first = s->n_before,
                        .total = s->arrays[ARRAY_X].dims[0],
                        .set = key_of_set(s)};
  return ls_store_write_part(s->writer, path_of(s, ARRAY_X, path), &part);
}

static ls_status begin_file(split *s) {
  output *const out = s->out;
  s->n_files++;
  s->n_before += s->n_in_file;
  s->n_in_file = 0;
  if (out->max_bytes) {
    if (s->n_files > FILES_MOST)
      return ls_fail(LS_ERR_CONFIG, "%s: more than %u files; choose a larger --max-file-size", out->path,
                     FILES_MOST);
    char *const path = import_part_name(out->path, s->which, s->n_files);
    const ls_status status = path ? new_file(out, path) : ls_fail_memory("a path", strlen(out->path));
    free(path);
    LS_TRY(status);
  }
  s->writer = out->writers[out->n_writers - 1];
  return begin_arrays(s);
}

/* The bytes that the file would have at most, with `rows` more rows: besides those that are written, a
 * chunk of each array may be in memory. */
static uint64_t bytes_with(const split *s, size_t rows) {
  uint64_t bytes = ls_store_written_bytes(s->writer) + EXTRA_BYTES;
  for (size_t k = 0; k < N_ARRAYS; k++) {
    const uint64_t chunk = ls_size_max(CHUNK, s->sizes[k]);
    bytes += ls_size_min(chunk, s->n_in_file * s->sizes[k]) + rows * s->sizes[k];
  }
  return bytes;
}

static ls_status check_row(const split *s) {
  const uint64_t row = s->sizes[ARRAY_X] + s->sizes[ARRAY_Y] + s->sizes[ARRAY_W];
  if (ls_size_max(row, CHUNK) + EXTRA_BYTES + CHUNK <= s->out->max_bytes) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "--max-file-size %llu: too small for samples of %llu bytes; must be at least %llu",
                 (unsigned long long)s->out->max_bytes, (unsigned long long)row,
                 (unsigned long long)(ls_size_max(row, CHUNK) + EXTRA_BYTES + CHUNK));
}

ls_status import_files_append(split *s, size_t rows) {
  char path[32];
  const bool has_limit = s->out->max_bytes > 0;
  if (has_limit && s->n_files == 0) LS_TRY(check_row(s));
  if (has_limit && s->writer && bytes_with(s, rows) > s->out->max_bytes) {
    LS_TRY(ls_store_complete(s->writer));
    s->writer = NULL;
  }
  if (!s->writer) LS_TRY(begin_file(s));
  for (size_t k = 0; k < N_ARRAYS; k++)
    if (s->has[k]) LS_TRY(ls_store_append(s->writer, path_of(s, k, path), rows, s->rows[k]));
  s->n_in_file += rows;
  return LS_OK;
}

/* -------------------------------------------------------------------------- the end */

/* The files are complete before the first of them gets its name, which then takes little time. */
ls_status import_output_publish(output *out) {
  for (size_t i = 0; i < out->n_writers; i++) {
    import_progress("verifying", i, out->n_writers, "files");
    LS_TRY(ls_store_complete(out->writers[i]));
  }
  import_cleanup_hold();
  if (out->max_bytes) return ls_store_publish_all(out->writers, out->n_writers);
  return ls_store_publish(&out->writers[0]);
}

void import_files_destroy(output *out) {
  for (size_t i = 0; i < out->n_writers; i++) ls_store_discard(&out->writers[i]);
  free(out->writers);
}
