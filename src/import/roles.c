/* What the name of an array says about it: the split, and whether it is x, y or w. */
#include "internal.h"

#include <string.h>
#include <strings.h>

static const char *const splits[] = {"train", "test", "val", "valid", "validation", NULL};

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
  if (take_word(rest, splits, &word)) {
    *which = ls_size_min(word, SPLIT_VALIDATION);
    (void)take_word(rest, (const char *const[]){"set", NULL}, &word);
  }
  for (*array = 0; *array < N_ARRAYS; (*array)++)
    if (take_word(rest, arrays[*array], &word)) return rest[0] == '\0';
  return false;
}

/* Words for splits, as names of folders and groups. */
static const struct {
  const char *name;
  size_t split;
} folders[] = {{"train", SPLIT_TRAIN},          {"training", SPLIT_TRAIN}, {"test", SPLIT_TEST},
               {"testing", SPLIT_TEST},         {"val", SPLIT_VALIDATION}, {"valid", SPLIT_VALIDATION},
               {"validation", SPLIT_VALIDATION}};

size_t import_split_of(const char *name, size_t bytes) {
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
    if (strlen(folders[i].name) == bytes && strncasecmp(folders[i].name, name, bytes) == 0)
      return folders[i].split;
  return N_SPLITS;
}
