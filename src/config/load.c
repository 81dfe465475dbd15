/* Reading a config file. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads the whole file, but at most one byte more than the limit. */
static ls_status read_all(FILE *file, const char *path, char *text, size_t *length) {
  *length = fread(text, 1, CONFIG_MAX_BYTES + 1, file);
  if (ferror(file)) return ls_fail(LS_ERR_CONFIG, "%s: cannot read the file: %s", path, strerror(errno));
  if (*length > CONFIG_MAX_BYTES) {
    return ls_fail(LS_ERR_CONFIG, "%s: file too large; must be at most 1 MiB", path);
  }
  return LS_OK;
}

ls_status ls_config_load(const char *path, char **text) {
  *text = NULL;
  char *buffer = NULL;
  size_t length = 0;
  FILE *const file = fopen(path, "rb");
  if (!file) return ls_fail(LS_ERR_CONFIG, "%s: cannot open the file: %s", path, strerror(errno));

  ls_status status = LS_OK;
  buffer = malloc(CONFIG_MAX_BYTES + 2);
  if (!buffer) {
    status = ls_fail_memory("the config", CONFIG_MAX_BYTES);
    goto out;
  }
  status = read_all(file, path, buffer, &length);
  if (status != LS_OK) goto out;
  if (memchr(buffer, '\0', length)) {
    status = ls_fail(LS_ERR_CONFIG, "%s: contains NUL bytes; must be YAML text in UTF-8", path);
    goto out;
  }
  buffer[length] = '\0';
  *text = buffer;
  buffer = NULL;
out:
  free(buffer);
  fclose(file);
  return status;
}
