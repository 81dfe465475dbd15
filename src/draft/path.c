/* Paths relative to the config, and texts as YAML. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The absolute path of the folder of a file, owned by the caller. LS_ERR_OUTPUT if it does not exist. */
static ls_status find_folder(const char *file, char **out) {
  const char *const slash = strrchr(file, '/');
  char *const folder =
      slash ? ls_format("%.*s", slash == file ? 1 : (int)(slash - file), file) : ls_strdup(".");
  *out = folder ? realpath(folder, NULL) : NULL;
  const ls_status status =
      *out ? LS_OK : ls_fail(LS_ERR_OUTPUT, "%s: cannot find its folder: %s", file, strerror(errno));
  free(folder);
  return status;
}

/* `to` relative to the folder `from`, both absolute and without links: "../" for each part of `from` beyond
 * what they share. Ends with a slash unless it is empty. */
static char *relative(const char *from, const char *to) {
  char up[1024] = "";
  size_t same = 0;
  size_t i = 0;
  for (; from[i] && from[i] == to[i]; i++)
    if (from[i] == '/') same = i + 1;
  if (!from[i] && (to[i] == '/' || !to[i])) same = i + (to[i] == '/');
  if (from[i] == '/' && !to[i]) same = i + 1;
  if (same < strlen(from)) ls_append(up, sizeof up, "../");
  for (const char *p = from + ls_size_min(same, strlen(from)); *p; p++)
    if (*p == '/') ls_append(up, sizeof up, "../");
  const char *const rest = to + ls_size_min(same, strlen(to));
  return ls_format("%s%s%s", up, rest, *rest ? "/" : "");
}

/* A file relative to the folder of the config. */
static ls_status relate(const char *config, const char *file, const char *group, char **out) {
  const char *const slash = strrchr(file, '/');
  char *from = NULL;
  char *to = NULL;
  ls_status status = find_folder(strcmp(config, "-") == 0 ? "." : config, &from);
  if (status == LS_OK) status = find_folder(file, &to);
  char *const folder = status == LS_OK ? relative(from, to) : NULL;
  if (folder)
    *out = ls_format("%s%s%s%s", folder, slash ? slash + 1 : file, group ? ":" : "", group ? group : "");
  if (status == LS_OK && !*out) status = ls_fail_memory("a path", strlen(file));
  free(folder);
  free(from);
  free(to);
  return status;
}

ls_status draft_relative(const char *config, const char *name, char **out) {
  char *file = NULL;
  char *group = NULL;
  *out = NULL;
  ls_status status = ls_spec_split(name, &file, &group);
  if (status == LS_OK) status = relate(config, file, group, out);
  free(file);
  free(group);
  return status;
}

bool draft_has_file(const char *y) {
  return y && strstr(y, ":/");
}

void draft_print_text(FILE *out, const char *text) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-:";
  const size_t n = strlen(text);
  const bool is_plain = n > 0 && strspn(text, plain) == n && text[0] != '-' && text[0] != ':' &&
                        text[n - 1] != ':' && strspn(text, "0123456789.-:") < n;
  if (is_plain) {
    fputs(text, out);
    return;
  }
  fputc('"', out);
  for (const char *p = text; *p; p++) {
    if (*p == '"' || *p == '\\')
      fprintf(out, "\\%c", *p);
    else if ((unsigned char)*p < ' ')
      fprintf(out, "\\x%02x", (unsigned)*p);
    else
      fputc(*p, out);
  }
  fputc('"', out);
}
