/* Categories: the words of a column, each of which becomes a feature of 0 and 1. */
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_MOST 9007199254740992.0 /* 2^53 */

/* The position of a word among the sorted ones, or where it belongs. */
static size_t place_of(const encoding *e, const char *word, bool *found) {
  size_t low = 0;
  size_t high = e->n_words;
  *found = false;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const int order = strcmp(e->words[middle].word, word);
    if (order == 0) *found = true;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

ls_status import_category_add(encoding *e, const char *word, size_t feature) {
  bool found = false;
  const size_t place = place_of(e, word, &found);
  if (found) return LS_OK;
  if ((e->n_words & (e->n_words - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
    const size_t wanted = ls_size_max(1, 2 * e->n_words);
    category *const grown = realloc(e->words, wanted * sizeof *grown);
    if (!grown) return ls_fail_memory("the words of a column", wanted * sizeof *grown);
    e->words = grown;
  }
  char *const copy = ls_strdup(word);
  if (!copy) return ls_fail_memory("a word", strlen(word) + 1);
  memmove(e->words + place + 1, e->words + place, (e->n_words - place) * sizeof *e->words);
  e->words[place] = (category){.word = copy, .feature = feature};
  e->n_words++;
  return LS_OK;
}

const category *import_category_find(const encoding *e, const char *word) {
  bool found = false;
  const size_t place = place_of(e, word, &found);
  return found ? &e->words[place] : NULL;
}

const char *import_category_word(const char *cell, char text[CATEGORY_TEXT_SIZE]) {
  double value = 0;
  const cell_kind kind = import_cell_read(cell, &value);
  if (kind == CELL_EMPTY || kind == CELL_MISSING) return "";
  if (kind != CELL_NUMBER || floor(value) != value || fabs(value) >= WHOLE_MOST) return cell;
  snprintf(text, CATEGORY_TEXT_SIZE, "%.0f", value + 0.0); /* + 0.0: not "-0" */
  return text;
}

void import_encoding_destroy(encoding *e) {
  for (size_t i = 0; i < e->n_words; i++) free(e->words[i].word);
  free(e->words);
  *e = (encoding){0};
}
