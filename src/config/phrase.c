/* Texts of messages: excerpts of values, and descriptions of the values that a key accepts. */
#include "internal.h"

#include <math.h>
#include <string.h>

#define EXCERPT_MAX 60 /* bytes */

void config_phrase_add(config_phrase *phrase, const char *format, ...) {
  const size_t used = strlen(phrase->text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(phrase->text + used, sizeof phrase->text - used, format, arguments);
  va_end(arguments);
}

config_phrase config_excerpt(const char *text) {
  config_phrase phrase = {""};
  size_t length = strnlen(text, EXCERPT_MAX);
  /* Do not split a UTF-8 character. */
  while (length > 0 && ((unsigned char)text[length] & 0xC0U) == 0x80U) length--;
  for (size_t i = 0; i < length; i++) {
    const unsigned char c = (unsigned char)text[i];
    phrase.text[i] = c < 0x20 || c == 0x7F ? '?' : text[i];
  }
  if (text[length] != '\0') config_phrase_add(&phrase, "...");
  return phrase;
}

/* Whether the key has a lower limit; a real number with min = max = 0 may have none, see ls_key. */
static bool has_min(const ls_key *key) {
  if (key->type == LS_KEY_COUNT) return true;
  const bool any = key->min == 0 && key->max == 0 && !(key->flags & (LS_KEY_ABOVE_MIN | LS_KEY_BELOW_MAX));
  return !any && !isinf(key->min);
}

static bool has_max(const ls_key *key) {
  if (isinf(key->max)) return false;
  return key->max != 0 || key->min < 0 || (key->flags & LS_KEY_BELOW_MAX) != 0;
}

bool config_within(const ls_key *key, double value) {
  const bool above = (key->flags & LS_KEY_ABOVE_MIN) != 0;
  const bool below = (key->flags & LS_KEY_BELOW_MAX) != 0;
  if (has_min(key) && (above ? value <= key->min : value < key->min)) return false;
  return !has_max(key) || (below ? value < key->max : value <= key->max);
}

/* Adds both limits (" from 0 to 1", " above 0 and below 1") or one (" above 0", " of at least 1"). */
static void add_range(config_phrase *phrase, const ls_key *key) {
  const bool above = (key->flags & LS_KEY_ABOVE_MIN) != 0;
  const bool below = (key->flags & LS_KEY_BELOW_MAX) != 0;
  if (has_min(key) && has_max(key)) {
    const char *const link = above ? (below ? "and below" : "and at most") : (below ? "to below" : "to");
    config_phrase_add(phrase, " %s %.15g %s %.15g", above ? "above" : "from", key->min, link, key->max);
  } else if (has_min(key)) {
    config_phrase_add(phrase, " %s %.15g", above ? "above" : "of at least", key->min);
  } else if (has_max(key)) {
    config_phrase_add(phrase, " %s %.15g", below ? "below" : "of at most", key->max);
  }
}

static void add_choices(config_phrase *phrase, const char *const *choices) {
  for (size_t i = 0; choices[i]; i++) config_phrase_add(phrase, "%s%s", i ? ", " : " ", choices[i]);
}

config_phrase config_expected(const ls_key *key) {
  static const char *const nouns[] = {
      [LS_KEY_BOOL] = "true or false",
      [LS_KEY_COUNT] = "an integer",
      [LS_KEY_REAL] = "a number",
      [LS_KEY_REALS2] = "a list of two numbers",
      [LS_KEY_TEXT] = "a string",
      [LS_KEY_CHOICE] = "one of",
      [LS_KEY_TIME] = "a positive time such as 3h50m, 90m or 45s",
      [LS_KEY_MAP] = "a map of keys",
      [LS_KEY_NODE] = "a value, list or map",
  };
  config_phrase phrase = {""};
  config_phrase_add(&phrase, "%s", nouns[key->type]);
  if (key->type == LS_KEY_COUNT || key->type == LS_KEY_REAL || key->type == LS_KEY_REALS2)
    add_range(&phrase, key);
  if (key->type == LS_KEY_CHOICE) add_choices(&phrase, key->choices);
  if (key->type == LS_KEY_COUNT && key->word) config_phrase_add(&phrase, ", or %s", key->word);
  return phrase;
}
