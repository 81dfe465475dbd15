/* Which files of a folder are its data. */
#include "media.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

#define LISTED 300 /* bytes of names in a message */

/* The files of a pattern by the words of splits in their names. */
typedef struct parts {
  char *first[N_SPLITS]; /* owned */
  size_t n[N_SPLITS];
  size_t n_others; /* without such a word */
  char others[LISTED];
} parts;

static const char *base_of(const char *path) {
  const char *const slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Finds the next word, of letters only, that is one of a split. Returns its split; N_SPLITS: none follows.
 * *at: where to search; becomes the start of the word. *n: its bytes */
static size_t next_word(const char **at, size_t *n) {
  for (; **at; *at += *n > 0 ? *n : 1) {
    for (*n = 0; isalpha((unsigned char)(*at)[*n]); ++*n) continue;
    const size_t which = *n > 0 ? import_split_of(*at, *n) : N_SPLITS;
    if (which < N_SPLITS) return which;
  }
  return N_SPLITS;
}

static ls_status sort_file(void *context, const char *file) {
  parts *const p = context;
  size_t n = 0;
  const char *at = base_of(file);
  const size_t which = next_word(&at, &n);
  if (which < N_SPLITS) {
    p->n[which]++;
    return keep_first(&p->first[which], file);
  }
  ls_append(p->others, sizeof p->others, "%s%s", p->n_others ? ", " : "", base_of(file));
  p->n_others++;
  return LS_OK;
}

/* Some names have a word for training data, and others none, so that these may be of another split. */
static ls_status fail_others(const char *path, const parts *p) {
  return ls_fail(LS_ERR_DATA,
                 "%s: %s is training data by its name, but the names of other files have no word for a "
                 "split: %s; move them elsewhere, or name the files to train on instead of the folder",
                 path, p->first[SPLIT_TRAIN], p->others);
}

static ls_status check_parts(const char *path, const parts *p) {
  static const char *const names[N_SPLITS] = {"training", "test", "validation"};
  const char *const part = p->first[SPLIT_TEST] ? p->first[SPLIT_TEST] : p->first[SPLIT_VALIDATION];
  for (size_t i = 0; i < N_SPLITS; i++)
    if (p->n[i] > 1)
      return ls_fail(LS_ERR_DATA,
                     "%s: has %s, but more than one file of %s data, such as %s; name the file to train on "
                     "instead of the folder",
                     path, part, names[i], p->first[i]);
  if (p->n[SPLIT_TRAIN] == 1) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s: has %s, but no file of training data with `train` in its name; name the file to train "
      "on instead of the folder",
      path, part);
}

/* Replaces the pattern by the training data, if other files are those of other splits. */
static ls_status choose_parts(const char *path, ls_import_choice *out) {
  parts p = {0};
  ls_status status = ls_spec_expand(out->source, sort_file, &p);
  const bool has_parts = p.first[SPLIT_TEST] || p.first[SPLIT_VALIDATION];
  if (status == LS_OK && has_parts) status = check_parts(path, &p);
  if (status == LS_OK && !has_parts && p.n[SPLIT_TRAIN] > 0 && p.n_others > 0)
    status = fail_others(path, &p);
  if (status == LS_OK && has_parts && p.n_others > 0)
    ls_log(LS_LOG_WARNING, "%s: files without a word for a split in their names are not used: %s", path,
           p.others);
  if (status == LS_OK && has_parts) {
    free(out->source);
    *out = (ls_import_choice){p.first[SPLIT_TRAIN], p.first[SPLIT_TEST], p.first[SPLIT_VALIDATION]};
    return LS_OK;
  }
  for (size_t i = 0; i < N_SPLITS; i++) free(p.first[i]);
  return status;
}

/* Sets *part to the name of an existing file with the word in place of the `n` bytes at `at`, in lower
 * case, capitalised or in upper case; NULL: none. */
static ls_status find_part(const char *path, const char *at, size_t n, const char *word, char **part) {
  for (int style = 0; style < 3 && !*part; style++) {
    char *const name = ls_format("%.*s%s%s", (int)(at - path), path, word, at + n);
    if (!name) return ls_fail_memory("a path", strlen(path));
    for (size_t i = 0; word[i] && (style == 2 || (style == 1 && i == 0)); i++)
      name[(size_t)(at - path) + i] = (char)toupper((unsigned char)word[i]);
    if (access(name, F_OK) == 0)
      *part = name;
    else
      free(name);
  }
  return LS_OK;
}

/* Finds files that are named like the training data, with another word in place of the last `train`. */
static ls_status find_parts(ls_import_choice *out) {
  const char *last = NULL;
  size_t n_last = 0;
  size_t n = 0;
  const char *at = base_of(out->source);
  for (size_t which = next_word(&at, &n); which < N_SPLITS; at += n, which = next_word(&at, &n)) {
    if (which != SPLIT_TRAIN) continue;
    last = at;
    n_last = n;
  }
  for (size_t i = 0; last && import_split_words[i]; i++) {
    const char *const word = import_split_words[i];
    const size_t which = import_split_of(word, strlen(word));
    char **const part = which == SPLIT_TEST ? &out->test : &out->validation;
    if (which != SPLIT_TRAIN && !*part) LS_TRY(find_part(out->source, last, n_last, word, part));
  }
  return LS_OK;
}

/* ------------------------------------------------------------------------ the choice */

static ls_status choose(const contents *c, ls_import_choice *out) {
  const kind *chosen = NULL;
  size_t n = c->media != NULL;
  for (size_t i = 0; i < N_KINDS; i++) {
    if (!c->first[i]) continue;
    chosen = &kinds[i];
    n++;
  }
  if (n > 1) return fail_mixed(c);
  out->source = chosen ? pattern_of(c->path, chosen) : ls_strdup(c->path);
  if (!out->source) return ls_fail_memory("a path", strlen(c->path));
  return chosen && !chosen->names_splits ? choose_parts(c->path, out) : LS_OK;
}

ls_status ls_import_choose(const char *path, ls_import_choice *out) {
  struct stat info;
  contents c = {0};
  *out = (ls_import_choice){0};
  if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
    out->source = ls_strdup(path);
    return out->source ? find_parts(out) : ls_fail_memory("a path", strlen(path));
  }
  ls_status status = list(path, &c);
  if (status == LS_OK) status = choose(&c, out);
  free_contents(&c);
  return status;
}

void ls_import_choice_free(ls_import_choice *choice) {
  free(choice->source);
  free(choice->test);
  free(choice->validation);
  *choice = (ls_import_choice){0};
}
