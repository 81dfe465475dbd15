/* The distinct labels of a dataset: a hash set, and the choice between classes and numbers. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MOST ((size_t)1 << 16)
#define SLOTS       (2 * LABELS_MOST)
#define TEXT_MOST   1000               /* bytes */
#define SHOWN       60                 /* bytes of a label in a message */
#define WHOLE_MOST  9007199254740992.0 /* 2^53: whole numbers below are exact */

ls_status import_labels_create(label_set *set, const char *path, int targets) {
  *set = (label_set){.path = path, .targets = targets};
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

bool import_labels_find(const label_set *set, const char *text, const label_entry **entry) {
  const uint32_t found = set->slots[slot_of(set, text)];
  if (found) *entry = &set->entries[found - 1];
  return found != 0;
}

/* path: of the file that has the label */
static ls_status fail_label(const label_set *set, const char *path, const char *text, uint64_t line,
                            const char *why) {
  return ls_fail(LS_ERR_DATA, "%s, %s %llu: label%s%.*s: %s", path, set->is_table ? "line" : "row",
                 (unsigned long long)line, text[0] ? " " : "", ls_clip(text, SHOWN), text, why);
}

static ls_status check_label(const label_set *set, const char *text, cell_kind kind, uint64_t line) {
  if (kind == CELL_EMPTY || kind == CELL_MISSING || kind == CELL_INFINITE) {
    const char *const remedy = set->is_table ? "leave out the row with --missing drop" : "remove the row";
    char why[160] = "";
    if (kind == CELL_EMPTY)
      snprintf(why, sizeof why, "empty; fill it in, or %s", remedy);
    else
      snprintf(why, sizeof why, "not a usable value; %s or, if it is a class, rename it", remedy);
    return fail_label(set, set->path, text, line, why);
  }
  if (strlen(text) > TEXT_MOST)
    return fail_label(set, set->path, text, line, "too long for a class name; must be at most 1000 bytes");
  return LS_OK;
}

/* Checks a label of a full set. So many distinct labels must be numbers. */
static ls_status add_beyond(label_set *set, const char *text, cell_kind kind, uint64_t line) {
  static const char why[] = "not a number; a column of more than 65536 distinct labels must be numeric; "
                            "choose the label column with --label";
  for (size_t i = 0; i < set->count && !set->overflow; i++)
    if (set->entries[i].kind != CELL_NUMBER)
      return fail_label(set, set->entries[i].path, set->entries[i].text, set->entries[i].line, why);
  set->overflow = true;
  return kind == CELL_NUMBER ? LS_OK : fail_label(set, set->path, text, line, why);
}

ls_status import_labels_add(label_set *set, const char *text, uint64_t line) {
  const size_t slot = slot_of(set, text);
  set->rows++;
  if (set->slots[slot]) {
    set->entries[set->slots[slot] - 1].rows++;
    return LS_OK;
  }
  double value = 0;
  const cell_kind kind = import_cell_read(text, &value);
  LS_TRY(check_label(set, text, kind, line));
  if (set->count == LABELS_MOST) return add_beyond(set, text, kind, line);

  char *const copy = ls_strdup(text);
  if (!copy) return ls_fail_memory("a label", strlen(text) + 1);
  set->entries[set->count++] =
      (label_entry){.path = set->path, .text = copy, .value = value, .line = line, .rows = 1, .kind = kind};
  set->slots[slot] = (uint32_t)set->count;
  return LS_OK;
}

/* ------------------------------------------------------------------- the choice */

static bool is_whole(double value) {
  return floor(value) == value && fabs(value) < WHOLE_MOST;
}

static int compare_text(const void *a, const void *b) {
  return strcmp(((const label_entry *)a)->text, ((const label_entry *)b)->text);
}

static int compare_value(const void *a, const void *b) {
  const double x = ((const label_entry *)a)->value;
  const double y = ((const label_entry *)b)->value;
  return x != y ? (x > y) - (x < y) : compare_text(a, b);
}

/* Rebuilds the hash table of sorted entries and numbers the classes. A number may be written in several
 * ways ("1", "1.0", "01"), which are one class. */
static void number_classes(label_set *set, bool by_value) {
  memset(set->slots, 0, SLOTS * sizeof *set->slots);
  set->classes = 0;
  for (size_t i = 0; i < set->count; i++) {
    const bool is_same = by_value && i > 0 && set->entries[i].value == set->entries[i - 1].value;
    set->classes += !is_same;
    set->entries[i].class = set->classes - 1;
    set->slots[slot_of(set, set->entries[i].text)] = (uint32_t)(i + 1);
  }
}

static ls_status name_classes(label_set *set, bool by_value) {
  set->names = ls_calloc(set->classes, sizeof *set->names);
  if (!set->names) return ls_fail_memory("the classes", set->classes * sizeof *set->names);
  for (size_t i = 0; i < set->count; i++) {
    const label_entry *const entry = &set->entries[i];
    char **const name = &set->names[entry->class];
    if (!ls_is_utf8(entry->text, strlen(entry->text)))
      return ls_fail(LS_ERR_DATA, "%s, %s %llu: the label is not UTF-8; save the file as UTF-8",
                     entry->path, set->is_table ? "line" : "row", (unsigned long long)entry->line);
    if (*name) continue;
    *name = by_value ? ls_format("%.0f", entry->value + 0.0) : ls_strdup(entry->text); /* + 0.0: not "-0" */
    if (!*name) return ls_fail_memory("a class name", strlen(entry->text) + 1);
  }
  set->kind = LABEL_CLASS;
  return LS_OK;
}

/* Sorts classes by number, or else by bytes. */
static ls_status finish_classes(label_set *set, bool by_value) {
  qsort(set->entries, set->count, sizeof *set->entries, by_value ? compare_value : compare_text);
  number_classes(set, by_value);
  return name_classes(set, by_value);
}

/* What the set contains. */
typedef struct census {
  const label_entry *word; /* the first word, or NULL */
  const label_entry *real; /* the first number that is not whole, or NULL */
  uint64_t numeric_rows, distinct_numbers;
} census;

static census count_labels(label_set *set) {
  census c = {0};
  for (size_t i = set->count; i-- > 0;) {
    const label_entry *const entry = &set->entries[i];
    const bool is_number = entry->kind == CELL_NUMBER;
    if (!is_number) c.word = entry;
    if (is_number && !is_whole(entry->value)) c.real = entry;
    c.distinct_numbers += is_number;
    c.numeric_rows += is_number ? entry->rows : 0;
  }
  return c;
}

/* The most distinct whole numbers that are classes unless they are 0, 1, ... K - 1. */
static uint64_t few_of(uint64_t rows) {
  return rows / 5 > 20 ? rows / 5 : 20;
}

/* Rejects words among numbers that are not classes: most of them differ. */
static ls_status check_words(const label_set *set, const census *c) {
  const bool mostly_numeric = 2 * c->numeric_rows > set->rows;
  const bool mostly_distinct =
      2 * c->distinct_numbers > c->numeric_rows || c->distinct_numbers > few_of(c->numeric_rows);
  const bool is_same_file = c->real && c->real->path == c->word->path;
  if (c->real)
    return ls_fail(
        LS_ERR_DATA,
        "%s: some labels are words (%.*s, line %llu), others real numbers (%.*s, line %llu%s%s); all "
        "must be class names, or all numbers",
        c->word->path, ls_clip(c->word->text, SHOWN), c->word->text, (unsigned long long)c->word->line,
        ls_clip(c->real->text, SHOWN), c->real->text, (unsigned long long)c->real->line,
        is_same_file ? "" : " of ", is_same_file ? "" : c->real->path);
  if (!mostly_numeric || !mostly_distinct || c->distinct_numbers < 3) return LS_OK;
  return fail_label(set, c->word->path, c->word->text, c->word->line,
                    "a word among labels that are numbers; remove the row, or import words and numbers as "
                    "class names with --targets classes");
}

/* Whether whole numbers are classes: 0, 1, ... K - 1, or few compared with the rows. */
static bool are_few(const label_set *set) {
  const label_entry *const last = &set->entries[set->count - 1];
  return set->classes <= few_of(set->rows) ||
         (set->entries[0].value == 0 && last->value == (double)(set->classes - 1));
}

static ls_status finish_whole_numbers(label_set *set) {
  qsort(set->entries, set->count, sizeof *set->entries, compare_value);
  number_classes(set, true);
  if (set->targets == LS_TARGETS_CLASSES || are_few(set)) return name_classes(set, true);
  set->classes = 0;
  set->kind = LABEL_WHOLE;
  return LS_OK;
}

ls_status import_labels_finish(label_set *set) {
  const census c = count_labels(set);
  if (set->count == 0) return LS_OK;
  if (set->overflow && set->targets == LS_TARGETS_CLASSES)
    return ls_fail(LS_ERR_DATA, "%s: more than 65536 distinct labels; --targets classes allows 65536",
                   set->path);
  if (set->targets == LS_TARGETS_CLASSES && (c.word || c.real)) return finish_classes(set, false);
  if (c.word) {
    LS_TRY(check_words(set, &c));
    return finish_classes(set, false);
  }
  if (!c.real && !set->overflow) return finish_whole_numbers(set);
  set->kind = LABEL_REAL;
  return LS_OK;
}

/* "no, yes and 5 more" */
static const char *list_classes(const char *const *names, size_t n, char *text, size_t size) {
  size_t i = 0;
  text[0] = '\0';
  for (; i < n && strlen(text) < size / 2; i++)
    ls_append(text, size, "%s%.*s", i ? ", " : "", ls_clip(names[i], SHOWN), names[i]);
  if (i < n) ls_append(text, size, " and %zu more", n - i);
  return text;
}

ls_status import_labels_check(const label_set *set, const char *const *known, size_t n) {
  char list[512];
  char why[640];
  for (size_t i = 0; i < set->count && set->kind == LABEL_CLASS && n > 0; i++) {
    const label_entry *const entry = &set->entries[i];
    bool found = false;
    for (size_t k = 0; k < n && !found; k++) found = strcmp(known[k], set->names[entry->class]) == 0;
    if (found) continue;
    snprintf(why, sizeof why,
             "not a class of the model; must be one of: %s; --label names the label column",
             list_classes(known, n, list, sizeof list));
    return fail_label(set, entry->path, entry->text, entry->line, why);
  }
  return LS_OK;
}

void import_labels_destroy(label_set *set) {
  for (size_t i = 0; set->entries && i < set->count; i++) free(set->entries[i].text);
  for (size_t i = 0; set->names && i < set->classes; i++) free(set->names[i]);
  free((void *)set->names);
  free(set->entries);
  free(set->slots);
  *set = (label_set){0};
}
