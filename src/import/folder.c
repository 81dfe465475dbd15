/* Lists the images or recordings of a folder, with their splits and classes. */
#include "media.h"

#include <ctype.h>
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const media_type *const types[] = {&import_png, &import_jpeg, &import_wav};

#define N_TYPES (sizeof types / sizeof *types)

#define PLACES "CLASS/FILE, or train/CLASS/FILE and test/CLASS/FILE"

const media_type *import_media_type_of(const char *name) {
  const size_t length = strlen(name);
  for (size_t i = 0; i < N_TYPES; i++)
    for (const char *const *ending = types[i]->endings; *ending; ending++) {
      const size_t size = strlen(*ending);
      if (length > size && strcasecmp(name + length - size, *ending) == 0) return types[i];
    }
  return NULL;
}

/* ------------------------------------------------------------------------ the walk */

static ls_status add_file(folder *f, const char *path, const media_type *type) {
  if (f->n == f->capacity) {
    const size_t wanted = f->capacity ? 2 * f->capacity : 256;
    folder_file *const grown = realloc(f->files, wanted * sizeof *grown);
    if (!grown) return ls_fail_memory("the list of files", wanted * sizeof *grown);
    f->files = grown;
    f->capacity = wanted;
  }
  char *const copy = ls_strdup(path);
  if (!copy) return ls_fail_memory("the path of a file", strlen(path) + 1);
  f->files[f->n++] = (folder_file){.path = copy, .root_bytes = f->root_bytes, .type = type};
  return LS_OK;
}

static ls_status visit_file(folder *f, const char *path, const char *name) {
  const media_type *const type = import_media_type_of(name);
  if (type) return add_file(f, path, type);
  if (f->n_others++ > 0) return LS_OK;
  f->other = ls_strdup(path);
  return f->other ? LS_OK : ls_fail_memory("the path of a file", strlen(path) + 1);
}

/* Hidden files, and what macOS adds to archives. */
static bool is_hidden(const FTSENT *entry) {
  return entry->fts_level > 0 && (entry->fts_name[0] == '.' || strcmp(entry->fts_name, "__MACOSX") == 0);
}

static ls_status visit(folder *f, FTS *tree, FTSENT *entry) {
  ls_heartbeat();
  if (is_hidden(entry)) {
    if (entry->fts_info == FTS_D) fts_set(tree, entry, FTS_SKIP);
    return LS_OK;
  }
  switch (entry->fts_info) {
  case FTS_F: return visit_file(f, entry->fts_path, entry->fts_name);
  case FTS_D:
  case FTS_DP:
  case FTS_DEFAULT: return LS_OK;
  case FTS_DC: return ls_fail(LS_ERR_DATA, "%s: a link to a folder that contains it", entry->fts_path);
  case FTS_SLNONE: return ls_fail(LS_ERR_DATA, "%s: a link to a missing file", entry->fts_path);
  default: return ls_fail(LS_ERR_DATA, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
  }
}

/* Adds the files of a folder, until there are `most`. */
static ls_status walk(folder *f, const char *path, size_t most) {
  char *const root = ls_strdup(path);
  if (!root) return ls_fail_memory("the path of a folder", strlen(path) + 1);
  f->root_bytes = strlen(path);
  ls_status status = LS_OK;
  FTS *const tree = fts_open((char *const[]){root, NULL}, FTS_LOGICAL | FTS_NOCHDIR, NULL);
  if (!tree) status = ls_fail(LS_ERR_DATA, "%s: %s", path, strerror(errno));
  while (status == LS_OK && f->n < most) {
    errno = 0;
    FTSENT *const entry = fts_read(tree);
    if (!entry && errno != 0) status = ls_fail(LS_ERR_DATA, "%s: %s", path, strerror(errno));
    if (!entry) break;
    status = visit(f, tree, entry);
  }
  if (tree) fts_close(tree);
  free(root);
  return status;
}

ls_status import_folder_find(const char *path, char **first) {
  folder f = {.path = path};
  const ls_status status = walk(&f, path, 1);
  *first = f.n > 0 ? f.files[0].path : NULL;
  if (f.n > 0) f.files[0].path = NULL;
  import_folder_destroy(&f);
  return status == LS_ERR_DATA ? LS_OK : status;
}

/* --------------------------------------------------------------- splits and classes */

/* The path below the folder. */
static const char *below(const folder_file *file) {
  const char *rest = file->path + file->root_bytes;
  return rest + strspn(rest, "/");
}

/* Enters a folder that all files share, unless it is that of a class or a split: `images` of
 * images/train/CLASS/FILE. Returns whether there was one. */
static bool enter(folder *f) {
  const char *const first = below(&f->files[0]);
  const size_t bytes = strcspn(first, "/");
  if (first[bytes] == '\0' || import_split_of(first, bytes) < N_SPLITS) return false;
  for (size_t i = 0; i < f->n; i++) {
    const char *const rest = below(&f->files[i]);
    if (strncmp(rest, first, bytes + 1) != 0 || !strchr(rest + bytes + 1, '/')) return false;
  }
  for (size_t i = f->n; i-- > 0;) /* `first` is in the first file */
    f->files[i].root_bytes = (size_t)(below(&f->files[i]) - f->files[i].path) + bytes + 1;
  return true;
}

/* The split of the first folder; N_SPLITS: another name, or no folder. */
static size_t split_of(const folder_file *file) {
  const char *const first = below(file);
  const size_t bytes = strcspn(first, "/");
  return first[bytes] == '/' ? import_split_of(first, bytes) : N_SPLITS;
}

/* Whether a file is SPLIT/CLASS/FILE. */
static bool is_placed(const folder_file *file) {
  const char *const slash = strchr(below(file), '/');
  return split_of(file) < N_SPLITS && strchr(slash + 1, '/');
}

/* *splits: whether all files are SPLIT/CLASS/FILE. Folders named `train` that contain images are classes,
 * unless others contain classes, or all are named like splits. */
static ls_status find_splits(const folder *f, bool *splits) {
  const folder_file *placed = NULL;
  const folder_file *other = NULL;
  bool found[N_SPLITS + 1] = {false};
  for (size_t i = 0; i < f->n; i++) {
    const folder_file *const file = &f->files[i];
    found[split_of(file)] = true;
    if (is_placed(file))
      placed = file;
    else
      other = file;
  }
  const size_t n_found = (size_t)found[SPLIT_TRAIN] + found[SPLIT_TEST] + found[SPLIT_VALIDATION];
  *splits = !other;
  if (!other || (!placed && (found[N_SPLITS] || n_found < 2))) return LS_OK;
  if (!placed)
    return ls_fail(LS_ERR_DATA, "%s: not in the folder of a class; must be %s", other->path, PLACES);
  return ls_fail(LS_ERR_DATA, "%s is SPLIT/CLASS/FILE, but %s is not; must be %s", placed->path,
                 other->path, PLACES);
}

static ls_status set_label(folder_file *file, const char *rest) {
  file->label_bytes = strcspn(rest, "/");
  file->label = rest[file->label_bytes] == '/' ? rest : NULL;
  if (!file->label || ls_is_utf8(file->label, file->label_bytes)) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: the name of the class folder is not UTF-8; rename it", file->path);
}

/* Files without a class are allowed only if none has one, for data to predict. */
static ls_status check_places(const folder *f) {
  const folder_file *with = NULL;
  const folder_file *without = NULL;
  for (size_t i = 0; i < f->n; i++) {
    const folder_file *const file = &f->files[i];
    if (file->label)
      with = file;
    else
      without = file;
    if (file->type->is_audio != f->files[0].type->is_audio)
      return ls_fail(LS_ERR_DATA, "%s and %s: an image and a recording; must be of one kind",
                     f->files[0].path, file->path);
  }
  if (!with || !without) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s is in a class folder, but %s is not; must be %s, or all files without classes",
                 with->path, without->path, PLACES);
}

static ls_status set_places(folder *f) {
  bool splits = false;
  while (enter(f)) {
  }
  LS_TRY(find_splits(f, &splits));
  for (size_t i = 0; i < f->n; i++) {
    folder_file *const file = &f->files[i];
    const char *rest = below(file);
    const size_t bytes = strcspn(rest, "/");
    const size_t which = splits ? import_split_of(rest, bytes) : SPLIT_TRAIN;
    LS_ASSERT(which < N_SPLITS);
    file->split = which;
    f->has[which] = true;
    if (splits) rest += bytes + 1;
    LS_TRY(set_label(file, rest));
  }
  return check_places(f);
}

/* ----------------------------------------------------------------------- sorting */

static int compare_bytes(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
  const int order = memcmp(a, b, ls_size_min(a_bytes, b_bytes));
  return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_labels(const void *a, const void *b) {
  const folder_file *const x = a;
  const folder_file *const y = b;
  return compare_bytes(x->label, x->label_bytes, y->label, y->label_bytes);
}

static int compare_files(const void *a, const void *b) {
  const folder_file *const x = a;
  const folder_file *const y = b;
  if (x->split != y->split) return (x->split > y->split) - (x->split < y->split);
  if (x->class != y->class) return (x->class > y->class) - (x->class < y->class);
  return strcmp(x->path, y->path);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Numbers without signs and leading zeros: a longer one is larger. */
static int compare_numbers(const void *a, const void *b) {
  const size_t x = strlen(*(const char *const *)a);
  const size_t y = strlen(*(const char *const *)b);
  return x != y ? (x > y) - (x < y) : compare_names(a, b);
}

static bool is_number(const char *text) {
  return text[0] && text[strspn(text, "0123456789")] == '\0' && (text[0] != '0' || text[1] == '\0');
}

/* Collects the names of the classes, from files that are sorted by class name. */
static ls_status collect_classes(folder *f) {
  bool numbers = true;
  f->classes = ls_calloc(f->n, sizeof *f->classes);
  if (!f->classes) return ls_fail_memory("the names of classes", f->n * sizeof *f->classes);
  for (size_t i = 0; i < f->n; i++) {
    const folder_file *const file = &f->files[i];
    if (i > 0 && compare_labels(&f->files[i - 1], file) == 0) continue;
    char *const name = ls_format("%.*s", (int)file->label_bytes, file->label);
    if (!name) return ls_fail_memory("the name of a class", file->label_bytes + 1);
    f->classes[f->n_classes++] = name;
    numbers = numbers && is_number(name);
  }
  qsort(f->classes, f->n_classes, sizeof *f->classes, numbers ? compare_numbers : compare_names);
  return LS_OK;
}

static size_t class_of(const folder *f, const folder_file *file) {
  for (size_t i = 0; i < f->n_classes; i++)
    if (compare_bytes(file->label, file->label_bytes, f->classes[i], strlen(f->classes[i])) == 0) return i;
  LS_ASSERT(!"the class of a file is in the list");
  return 0;
}

/* Every class needs files to learn from. */
static ls_status check_classes(const folder *f) {
  bool *const found = ls_calloc(f->n_classes, sizeof *found);
  const folder_file *lonely = NULL; /* a file whose class has none in train */
  if (!found) return ls_fail_memory("the classes", f->n_classes);
  for (size_t i = 0; i < f->n; i++)
    if (f->files[i].split == SPLIT_TRAIN) found[f->files[i].class] = true;
  for (size_t i = 0; i < f->n; i++)
    if (!found[f->files[i].class]) lonely = &f->files[i];
  free(found);
  if (!lonely || !f->has[SPLIT_TRAIN]) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: class %s has no file in %s/train; add some, or remove the folder",
                 lonely->path, f->classes[lonely->class], f->path);
}

static ls_status set_classes(folder *f) {
  if (f->files[0].label) {
    qsort(f->files, f->n, sizeof *f->files, compare_labels);
    LS_TRY(collect_classes(f));
    for (size_t i = 0; i < f->n; i++) {
      const bool is_next = i > 0 && compare_labels(&f->files[i - 1], &f->files[i]) == 0;
      f->files[i].class = is_next ? f->files[i - 1].class : class_of(f, &f->files[i]);
    }
    LS_TRY(check_classes(f));
  }
  qsort(f->files, f->n, sizeof *f->files, compare_files);
  return LS_OK;
}

/* Classifiers need at least two classes. */
static ls_status check_several(const folder *f) {
  if (f->n_classes > 1) return LS_OK;
  if (f->n_classes == 1)
    return ls_fail(LS_ERR_DATA, "%s: has files of only one class, %s; must have at least two: %s", f->path,
                   f->classes[0], PLACES);
  return ls_fail(LS_ERR_DATA, "%s: its files, such as %s, have no classes; must be %s", f->path,
                 f->files[0].path, PLACES);
}

ls_status import_folder_list(const char *const *paths, size_t n, bool needs_classes, folder *f) {
  const char *const path = paths[0];
  *f = (folder){.path = path};
  for (size_t i = 0; i < n; i++) LS_TRY(walk(f, paths[i], SIZE_MAX));
  const char *const remedy = f->other && ls_import_is_text(f->other)
                                 ? "; name the files to import tables, FOLDER/*.csv, or run lockstep init"
                                 : "";
  if (f->n == 0)
    return ls_fail(LS_ERR_DATA, "%s: no PNG, JPEG or WAV files; the folder must contain %s%s%s%s", path,
                   PLACES, f->other ? "; found only such files as " : "", f->other ? f->other : "", remedy);
  LS_TRY(set_places(f));
  LS_TRY(set_classes(f));
  return needs_classes ? check_several(f) : LS_OK;
}

void import_folder_destroy(folder *f) {
  for (size_t i = 0; i < f->n; i++) free(f->files[i].path);
  for (size_t i = 0; i < f->n_classes; i++) free(f->classes[i]);
  free(f->files);
  free(f->classes);
  free(f->other);
  *f = (folder){0};
}
