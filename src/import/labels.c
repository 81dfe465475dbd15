/* The distinct labels of a dataset: a hash set, and the choice between classes and real numbers. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MOST ((size_t)1 << 16)
#define SLOTS       (2 * LABELS_MOST)
#define TEXT_MOST   1000 /* bytes */
#define CLASS_MOST  2147483647.0

ls_status import_labels_create(label_set *set, const char *path) {
  *set = (label_set){.path = path};
  set->entries = ls_calloc(LABELS_MOST, sizeof *set->entries);
  set->slots = ls_calloc(SLOTS, sizeof *set->slots);
  if (set->entries && set->slots) return LS_OK;
  return ls_fail_memory("the table of labels", LABELS_MOST * sizeof *set->entries);
}

/* The slot of a text, or the free slot for it (FNV-1a, linear probing). */
static size_t slot_of(const label_set *set, const char *text) {
  uint64_t hash = 14695981039346656037U;
  for (const char *at = text; *at; at++) hash = (hash ^ (unsigned char)*at) * 1099511628211U;
  size_t slot = (size_t)(hash ^ hash >> 32) % SLOTS;
  while (set->slots[slot] && strcmp(set->entries[set->slots[slot] - 1].text, text) != 0) {
    slot = (slot + 1) % SLOTS;
  }
  return slot;
}

bool import_labels_find(const label_set *set, const char *text, size_t *index) {
  const uint32_t found = set->slots[slot_of(set, text)];
  if (found) *index = found - 1;
  return found != 0;
}

static ls_status fail_label(const label_set *set, const char *text, uint64_t line, const char *why) {
  return ls_fail(LS_ERR_DATA, "%s, line %llu: label%s%.60s: %s", set->path, (unsigned long long)line,
                 text[0] ? " " : "", text, why);
}

static ls_status check_label(const label_set *set, const char *text, cell_kind kind, uint64_t line) {
  if (kind == CELL_EMPTY) return fail_label(set, text, line, "empty; fill it in or remove the row");
  if (kind == CELL_MISSING)
    return fail_label(set, text, line,
                      "not a usable value; remove the row or, if it is a class, rename it");
  if (strlen(text) > TEXT_MOST)
    return fail_label(set, text, line, "too long for a class name; must be at most 1000 bytes");
  return LS_OK;
}

/* Checks a label of a full set. So many distinct labels must be real numbers. */
static ls_status add_beyond(label_set *set, const char *text, cell_kind kind, uint64_t line) {
  static const char why[] = "not a number; a column of more than 65536 distinct labels must be numeric; "
                            "choose the label column with --label";
  for (size_t i = 0; i < set->count && !set->overflow; i++)
    if (set->entries[i].kind != CELL_NUMBER)
      return fail_label(set, set->entries[i].text, set->entries[i].line, why);
  set->overflow = true;
  return kind == CELL_NUMBER ? LS_OK : fail_label(set, text, line, why);
}

ls_status import_labels_add(label_set *set, const char *text, uint64_t line) {
  const size_t slot = slot_of(set, text);
  if (set->slots[slot]) return LS_OK;
  double value = 0;
  const cell_kind kind = import_cell_read(text, &value);
  LS_TRY(check_label(set, text, kind, line));
  if (set->count == LABELS_MOST) return add_beyond(set, text, kind, line);

  char *const copy = ls_strdup(text);
  if (!copy) return ls_fail_memory("a label", strlen(text) + 1);
  set->entries[set->count++] = (label_entry){.text = copy, .value = value, .line = line, .kind = kind};
  set->slots[slot] = (uint32_t)set->count;
  return LS_OK;
}

static bool is_class_number(const label_entry *entry) {
  return entry->kind == CELL_NUMBER && entry->value >= 0 && entry->value <= CLASS_MOST &&
         floor(entry->value) == entry->value;
}

static int compare_text(const void *a, const void *b) {
  return strcmp(((const label_entry *)a)->text, ((const label_entry *)b)->text);
}

static int compare_double(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorts the class names by bytes and rebuilds the hash table. */
static ls_status finish_names(label_set *set) {
  for (size_t i = 0; i < set->count; i++)
    if (!ls_is_utf8(set->entries[i].text, strlen(set->entries[i].text)))
      return ls_fail(LS_ERR_DATA, "%s, line %llu: the label is not UTF-8; save the file as UTF-8",
                     set->path, (unsigned long long)set->entries[i].line);
  qsort(set->entries, set->count, sizeof *set->entries, compare_text);
  memset(set->slots, 0, SLOTS * sizeof *set->slots);
  for (size_t i = 0; i < set->count; i++)
    set->slots[slot_of(set, set->entries[i].text)] = (uint32_t)(i + 1);
  set->kind = LABEL_CLASS_NAME;
  set->classes = set->count;
  return LS_OK;
}

/* Counts distinct values, because a class may be written in several ways ("1", "1.0", "01"). */
static ls_status finish_numbers(label_set *set) {
  double *const values = ls_calloc(set->count, sizeof *values);
  if (!values) return ls_fail_memory("the classes", set->count * sizeof *values);
  for (size_t i = 0; i < set->count; i++) values[i] = set->entries[i].value;
  qsort(values, set->count, sizeof *values, compare_double);
  for (size_t i = 0; i < set->count; i++) set->classes += i == 0 || values[i] != values[i - 1];
  free(values);
  set->kind = LABEL_CLASS_NUMBER;
  return LS_OK;
}

ls_status import_labels_finish(label_set *set) {
  const label_entry *word = NULL; /* the first word */
  const label_entry *real = NULL; /* the first number that is not a class */
  for (size_t i = set->count; i-- > 0;) {
    const label_entry *const entry = &set->entries[i];
    if (entry->kind != CELL_NUMBER)
      word = entry;
    else if (!is_class_number(entry))
      real = entry;
  }
  if (set->count == 0) return LS_OK;
  if (word && real)
    return ls_fail(
        LS_ERR_DATA,
        "%s: some labels are words (%.60s, line %llu), others real numbers (%.60s, line %llu); all must be "
        "class names, or all numbers",
        set->path, word->text, (unsigned long long)word->line, real->text, (unsigned long long)real->line);
  if (word) return finish_names(set);
  if (!real && !set->overflow) return finish_numbers(set);
  set->kind = LABEL_REAL;
  return LS_OK;
}

void import_labels_destroy(label_set *set) {
  for (size_t i = 0; i < set->count; i++) free(set->entries[i].text);
  free(set->entries);
  free(set->slots);
  *set = (label_set){0};
}
