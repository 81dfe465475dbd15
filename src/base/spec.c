/* The names of data: FILE[:GROUP], and patterns of files. */
#include "lockstep/base.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

ls_status ls_spec_split(const char *spec, char **file, char **group) {
  const char *const colon = strrchr(spec, ':');
  const bool has_group = colon && colon[1] == '/';
  *file = has_group ? ls_format("%.*s", (int)(colon - spec), spec) : ls_strdup(spec);
  *group = has_group ? ls_strdup(colon + 1) : NULL;
  if (!*file || (has_group && !*group)) return ls_fail_memory("a path", strlen(spec));
  return LS_OK;
}

static int compare_texts(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The pattern for glob, in which only * and ? are special; owned by the caller. */
static char *escape(const char *pattern) {
  char *const escaped = ls_calloc(2 * strlen(pattern) + 1, 1);
  for (char *to = escaped; escaped && *pattern; *to++ = *pattern++)
    if (strchr("[\\", *pattern)) *to++ = '\\';
  return escaped;
}

/* Visits the files that match a pattern, in byte order. */
static ls_status visit_matches(const char *pattern, ls_spec_visit *visit, void *context) {
  glob_t found = {0};
  char *const escaped = escape(pattern);
  if (!escaped) return ls_fail_memory("a pattern", strlen(pattern));
  const int failed = glob(escaped, GLOB_NOSORT | GLOB_ERR, NULL, &found);
  ls_status status = LS_OK;
  free(escaped);
  if (failed == GLOB_NOSPACE)
    status = ls_fail_memory("the files of a pattern", found.gl_pathc);
  else if (failed == GLOB_NOMATCH)
    status = ls_fail(LS_ERR_DATA,
                     "%s: no file matches this pattern; * stands for any characters, ? for one", pattern);
  else if (failed)
    status = ls_fail(LS_ERR_DATA, "%s: a folder of this pattern cannot be read", pattern);
  else
    qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, compare_texts);
  for (size_t i = 0; status == LS_OK && i < found.gl_pathc; i++) status = visit(context, found.gl_pathv[i]);
  globfree(&found);
  return status;
}

ls_status ls_spec_expand(const char *file, ls_spec_visit *visit, void *context) {
  struct stat about;
  const bool is_pattern = strpbrk(file, "*?") && stat(file, &about) != 0;
  return is_pattern ? visit_matches(file, visit, context) : visit(context, file);
}
