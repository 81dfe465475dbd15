/* A config file read whole, before anything of it is believed. */
#include "document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads until the end or one byte beyond the limit. */
static ls_status read_all(FILE *file, const char *path, char *text, size_t *length) {
  *length = fread(text, 1, CONFIG_MAX_BYTES + 1, file);
  if (ferror(file)) return ls_fail(LS_ERR_CONFIG, "%s: can't be read: %s", path, strerror(errno));
  if (*length > CONFIG_MAX_BYTES) {
    return ls_fail(LS_ERR_CONFIG, "%s: larger than 1 MiB, which is too much for a config", path);
  }
  return LS_OK;
}

ls_status ls_config_load(const char *path, char **text) {
  *text = NULL;
  char *buffer = NULL;
  size_t length = 0;
  FILE *const file = fopen(path, "rb");
  if (!file) return ls_fail(LS_ERR_CONFIG, "%s: can't be opened: %s", path, strerror(errno));

  ls_status status = LS_OK;
  buffer = malloc(CONFIG_MAX_BYTES + 2);
  if (!buffer) {
    status = ls_fail_memory("the config", CONFIG_MAX_BYTES);
    goto out;
  }
  status = read_all(file, path, buffer, &length);
  if (status) goto out;
  if (memchr(buffer, '\0', length)) {
    status = ls_fail(LS_ERR_CONFIG, "%s: holds NUL bytes; a config is YAML text in UTF-8", path);
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
