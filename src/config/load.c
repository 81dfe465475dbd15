/* Reading a config file. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads the file, but at most one byte more than the limit. */
static ls_status read_all(FILE *file, const char *path, char *text) {
  const size_t length = fread(text, 1, CONFIG_MAX_BYTES + 1, file);
  text[length] = '\0';
  if (ferror(file)) return ls_fail(LS_ERR_CONFIG, "%s: cannot read the file: %s", path, strerror(errno));
  if (length > CONFIG_MAX_BYTES)
    return ls_fail(LS_ERR_CONFIG, "%s: file too large; must be at most 1 MiB", path);
  if (strlen(text) < length)
    return ls_fail(LS_ERR_CONFIG, "%s: contains NUL bytes; must be YAML text in UTF-8", path);
  return LS_OK;
}

ls_status ls_config_load(const char *path, char **text) {
  *text = NULL;
  FILE *const file = fopen(path, "rb");
  if (!file) return ls_fail(LS_ERR_CONFIG, "%s: cannot open the file: %s", path, strerror(errno));
  char *const buffer = malloc(CONFIG_MAX_BYTES + 2);
  const ls_status status =
      buffer ? read_all(file, path, buffer) : ls_fail_memory("the config", CONFIG_MAX_BYTES);
  fclose(file);
  if (status == LS_OK)
    *text = buffer;
  else
    free(buffer);
  return status;
}
