/* Which files of a folder are its data. */
#include "media.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Kinds of data in a folder, by the patterns of their files. */
typedef struct kind {
  const char *name, *pattern;
  bool names_splits; /* the importer finds the splits in the names of the files */
} kind;

static const kind kinds[] = {{"IDX files", "*ubyte", true},   {"gzipped IDX files", "*ubyte.gz", true},
                             {"NumPy arrays", "*.npy", true}, {"NumPy archives", "*.npz", true},
                             {"tables", "*.csv", false},      {"gzipped tables", "*.csv.gz", false},
                             {"tables", "*.tsv", false},      {"HDF5 files", "*.h5", false},
                             {"HDF5 files", "*.hdf5", false}};

#define N_KINDS (sizeof kinds / sizeof *kinds)

/* The data of a folder. */
typedef struct contents {
  const char *path;     /* borrowed */
  char *first[N_KINDS]; /* the first file of a kind, owned; NULL: none */
  char *media;          /* the first image or recording, owned; NULL: none */
} contents;

static void free_contents(contents *c) {
  for (size_t i = 0; i < N_KINDS; i++) free(c->first[i]);
  free(c->media);
}

/* Stores the first file that a name stands for. */
static ls_status keep_first(void *context, const char *file) {
  char **const first = context;
  if (!*first) *first = ls_strdup(file);
  return *first ? LS_OK : ls_fail_memory("a path", strlen(file));
}

static char *pattern_of(const char *path, const kind *k) {
  const size_t n = strlen(path);
  return ls_format("%s%s%s", path, n > 0 && path[n - 1] == '/' ? "" : "/", k->pattern);
}

static ls_status list(const char *path, contents *c) {
  *c = (contents){.path = path};
  for (size_t i = 0; i < N_KINDS; i++) {
    char *const pattern = pattern_of(path, &kinds[i]);
    if (!pattern) return ls_fail_memory("a pattern", strlen(path));
    const ls_status status = ls_spec_expand(pattern, keep_first, &c->first[i]);
    free(pattern);
    if (status != LS_OK && status != LS_ERR_DATA) return status; /* LS_ERR_DATA: no such files */
  }
  return import_folder_find(path, &c->media);
}

/* Data of more than one kind cannot be one dataset. */
static ls_status fail_mixed(const contents *c) {
  char text[1024] = "";
  for (size_t i = 0; i < N_KINDS; i++)
    if (c->first[i])
      ls_append(text, sizeof text, "%s%s (%s)", *text ? " and " : "", kinds[i].name, c->first[i]);
  if (c->media)
    ls_append(text, sizeof text, " and %s (%s)",
              import_media_type_of(c->media)->is_audio ? "recordings" : "images", c->media);
  return ls_fail(
      LS_ERR_DATA, "%s: has %s; must have data of one kind; name a file, or move the others elsewhere%s",
      c->path, text, c->media ? "; classes of images and recordings are folders: CLASS/FILE" : "");
}

/* ------------------------------------------------------------------ files of splits */

/* The files of a pattern by the words of splits in their names. */
typedef struct parts {
  char *first[N_SPLITS]; /* owned */
  size_t n[N_SPLITS];
} parts;

/* Whether a name has a word, between other characters than letters. */
static bool has_word(const char *name, const char *word) {
  const size_t n = strlen(word);
  for (const char *p = strstr(name, word); p; p = strstr(p + 1, word))
    if ((p == name || !isalpha((unsigned char)p[-1])) && !isalpha((unsigned char)p[n])) return true;
  return false;
}

static ls_status sort_file(void *context, const char *file) {
  static const struct {
    const char *word;
    size_t split;
  } words[] = {{"train", SPLIT_TRAIN},   {"training", SPLIT_TRAIN},        {"test", SPLIT_TEST},
               {"testing", SPLIT_TEST},  {"validation", SPLIT_VALIDATION}, {"valid", SPLIT_VALIDATION},
               {"val", SPLIT_VALIDATION}};
  parts *const p = context;
  const char *const slash = strrchr(file, '/');
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (!has_word(slash ? slash + 1 : file, words[i].word)) continue;
    p->n[words[i].split]++;
    return keep_first(&p->first[words[i].split], file);
  }
  return LS_OK;
}

/* Replaces the pattern by the training data, if other files are those of other splits. */
static ls_status choose_train(const char *path, char **out) {
  parts p = {0};
  ls_status status = ls_spec_expand(*out, sort_file, &p);
  const char *const part = p.first[SPLIT_TEST] ? p.first[SPLIT_TEST] : p.first[SPLIT_VALIDATION];
  if (status == LS_OK && part && p.n[SPLIT_TRAIN] != 1)
    status = ls_fail(LS_ERR_DATA,
                     "%s: has %s, but %s file of training data with `train` in its name; name the file to "
                     "train on instead of the folder",
                     path, part, p.n[SPLIT_TRAIN] ? "more than one" : "no");
  if (status == LS_OK && part) {
    free(*out);
    *out = p.first[SPLIT_TRAIN];
    p.first[SPLIT_TRAIN] = NULL;
  }
  for (size_t i = 0; i < N_SPLITS; i++) free(p.first[i]);
  return status;
}

/* ------------------------------------------------------------------------ the choice */

static ls_status choose(const contents *c, char **out) {
  const kind *chosen = NULL;
  size_t n = c->media != NULL;
  for (size_t i = 0; i < N_KINDS; i++) {
    if (!c->first[i]) continue;
    chosen = &kinds[i];
    n++;
  }
  if (n > 1) return fail_mixed(c);
  *out = chosen ? pattern_of(c->path, chosen) : ls_strdup(c->path);
  if (!*out) return ls_fail_memory("a path", strlen(c->path));
  return chosen && !chosen->names_splits ? choose_train(c->path, out) : LS_OK;
}

ls_status ls_import_choose(const char *path, char **out) {
  struct stat info;
  contents c = {0};
  *out = NULL;
  if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
    *out = ls_strdup(path);
    return *out ? LS_OK : ls_fail_memory("a path", strlen(path));
  }
  ls_status status = list(path, &c);
  if (status == LS_OK) status = choose(&c, out);
  free_contents(&c);
  return status;
}
