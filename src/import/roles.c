/* What the name of an array says about it: the split, and whether it is x, y or w. */
#include "internal.h"

#include <string.h>
#include <strings.h>

const char *const import_split_words[] = {"train", "training",   "test", "testing", "val",
                                          "valid", "validation", "dev",  "eval",    NULL};

static const size_t splits[] = {SPLIT_TRAIN,      SPLIT_TRAIN,      SPLIT_TEST,
                                SPLIT_TEST,       SPLIT_VALIDATION, SPLIT_VALIDATION,
                                SPLIT_VALIDATION, SPLIT_VALIDATION, SPLIT_VALIDATION};

static const char *const arrays[N_ARRAYS][6] = {
    [ARRAY_X] = {"x", "data", "images", "features", "inputs"},
    [ARRAY_Y] = {"y", "label", "labels", "target", "targets"},
    [ARRAY_W] = {"w", "sample_weight", "sample_weights", "weight", "weights"}};

/* Finds one of a list of words, as a whole or beside an underscore. Returns what remains of the name. */
static bool take_word(char *name, const char *const *words, size_t *which) {
  const size_t length = strlen(name);
  for (size_t i = 0; words[i]; i++) {
    const size_t n = strlen(words[i]);
    if (n > length) continue;
    const bool is_first = strncasecmp(name, words[i], n) == 0 && (name[n] == '_' || name[n] == '\0');
    const char *const last = name + length - n;
    const bool is_last = strcasecmp(last, words[i]) == 0 && (last == name || last[-1] == '_');
    if (!is_first && !is_last) continue;
    if (is_last)
      name[length == n ? 0 : length - n - 1] = '\0';
    else
      memmove(name, name + n + 1, length - n);
    *which = i;
    return true;
  }
  return false;
}

bool import_role_read(const char *name, size_t *which, size_t *array) {
  char rest[64];
  size_t word = 0;
  if (strlen(name) >= sizeof rest) return false;
  snprintf(rest, sizeof rest, "%s", name);
  *which = SPLIT_TRAIN;
  if (take_word(rest, import_split_words, &word)) {
    *which = splits[word];
    (void)take_word(rest, (const char *const[]){"set", NULL}, &word);
  }
  for (*array = 0; *array < N_ARRAYS; (*array)++)
    if (take_word(rest, arrays[*array], &word)) return rest[0] == '\0';
  return false;
}

size_t import_split_of(const char *name, size_t bytes) {
  for (size_t i = 0; import_split_words[i]; i++)
    if (strlen(import_split_words[i]) == bytes && strncasecmp(import_split_words[i], name, bytes) == 0)
      return splits[i];
  return N_SPLITS;
}
