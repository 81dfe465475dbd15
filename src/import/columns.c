/* The columns of a table: header, labels, weights and features. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

/* A list of columns of an option, which gives them a role. */
typedef struct selection {
  const char *option;
  column_role role; /* ROLE_NONE: they are in `listed` */
  size_t *items;    /* (n) */
  size_t n;
} selection;

static ls_status fail_absent(const columns *cols, const csv *c, const char *option, const char *text) {
  char list[IMPORT_LIST_SIZE] = "";
  if (cols->has_header) import_names_list(cols, NULL, cols->n, list, sizeof list);
  return ls_fail(LS_ERR_DATA, "%s: %s: column %.*s does not exist; must be %s%s%sa number from 1 to %zu%s",
                 c->in.path, option, ls_clip(text, 60), text, cols->has_header ? "one of: " : "", list,
                 cols->has_header ? "; or " : "", cols->n,
                 cols->has_header ? "" : ", because there is no header");
}

static ls_status add_column(columns *cols, const csv *c, selection *s, size_t i) {
  char name[IMPORT_LIST_SIZE];
  if (s->role == ROLE_NONE) {
    cols->listed[i] = true;
    return LS_OK;
  }
  if (cols->roles[i] != ROLE_NONE)
    return ls_fail(LS_ERR_CONFIG, "%s: %s: %s is chosen twice; a column has one role at most", c->in.path,
                   s->option, import_names_list(cols, &i, 1, name, sizeof name));
  cols->roles[i] = (unsigned char)s->role;
  if (s->items) s->items[s->n] = i;
  s->n++;
  return LS_OK;
}

/* Reads "7" or "7-12", from 1. */
static bool read_range(const char *text, size_t n, size_t *first, size_t *last) {
  char *end = NULL;
  if (text[0] < '0' || text[0] > '9') return false;
  *first = *last = (size_t)strtoull(text, &end, 10); /* ULLONG_MAX on overflow */
  if (*end == '-' && end[1] >= '0' && end[1] <= '9') *last = (size_t)strtoull(end + 1, &end, 10);
  return *end == '\0' && *first >= 1 && *last <= n && *first <= *last;
}

/* A name takes precedence over a number. *done is false if the item is neither. */
static ls_status add_item(columns *cols, const csv *c, selection *s, const char *item, bool *done) {
  size_t first = 0;
  size_t last = 0;
  const size_t named = cols->has_header ? import_names_find(cols, item, &first) : 0;
  *done = true;
  if (named == 1) return add_column(cols, c, s, first);
  if (named > 1)
    return ls_fail(LS_ERR_DATA, "%s: %s: %zu columns have the name %.*s; give the number of the column",
                   c->in.path, s->option, named, ls_clip(item, 60), item);
  *done = read_range(item, cols->n, &first, &last);
  for (size_t i = first; *done && i <= last; i++) LS_TRY(add_column(cols, c, s, i - 1));
  return LS_OK;
}

/* Gives columns a role. items: (cols->n); NULL: not needed */
static ls_status choose(columns *cols, const csv *c, selection *s, const char *text) {
  bool done = false;
  if (!text) return LS_OK;
  LS_TRY(add_item(cols, c, s, text, &done));
  if (done) return LS_OK;
  if (!strchr(text, ',')) return fail_absent(cols, c, s->option, text);
  for (const char *at = text; *at;) {
    char *const item = import_list_next(&at);
    if (!item) return ls_fail_memory("a list of columns", strlen(text));
    ls_status status = add_item(cols, c, s, item, &done);
    if (status == LS_OK && !done) status = fail_absent(cols, c, s->option, item);
    free(item);
    LS_TRY(status);
  }
  return LS_OK;
}

/* The features, unless options or the model name them: all columns without a role. */
static void choose_other_features(columns *cols) {
  if (cols->n_features > 0) return;
  for (size_t i = 0; i < cols->n; i++)
    if (cols->roles[i] == ROLE_NONE) cols->features[cols->n_features++] = i;
}

/* The label is, by default, the last column without a role; besides the features that a model names, the
 * only one. */
static ls_status choose_default_label(columns *cols, const csv *c, bool is_only) {
  size_t others[2];
  char list[IMPORT_LIST_SIZE];
  size_t n = 0;
  for (size_t i = cols->n; i-- > 0 && n < 2;)
    if (cols->roles[i] == ROLE_NONE && !cols->listed[i]) others[n++] = i;
  if (n > 1 && is_only)
    return ls_fail(LS_ERR_DATA, "%s: %s: more than one column may be the label; choose it with --label",
                   c->in.path, import_names_list(cols, others, n, list, sizeof list));
  if (n == 0) return LS_OK;
  cols->roles[others[0]] = ROLE_LABEL;
  cols->labels[cols->n_labels++] = others[0];
  return LS_OK;
}

/* Leaves out a first column without a name that counts the rows, such as the index of pandas. */
static void drop_index(columns *cols) {
  cols->drops_index = cols->drops_index && cols->roles[0] == ROLE_NONE && !cols->listed[0];
  if (cols->drops_index) cols->roles[0] = ROLE_DROP;
}

/* Sets the columns of --categories, which must be features. */
static ls_status mark_listed(columns *cols, const csv *c, const ls_table_options *o) {
  char name[IMPORT_LIST_SIZE];
  size_t n = 0;
  for (size_t i = 0; i < cols->n; i++) n += cols->listed[i];
  for (size_t k = 0; k < cols->n_features && n > 0; k++) {
    const size_t i = cols->features[k];
    cols->encodings[k].is_listed = cols->listed[i];
    cols->listed[i] = false;
  }
  for (size_t i = 0; i < cols->n && n > 0; i++)
    if (cols->listed[i])
      return ls_fail(LS_ERR_CONFIG,
                     "%s: --categories %s: %s is not a feature; only features have categories", c->in.path,
                     o->categories, import_names_list(cols, &i, 1, name, sizeof name));
  return LS_OK;
}

static ls_status choose_roles(columns *cols, const csv *c, const ls_table_options *o) {
  selection weight = {"--weight", ROLE_WEIGHT, NULL, 0};
  selection drop = {"--drop", ROLE_DROP, NULL, 0};
  selection label = {"--label", ROLE_LABEL, cols->labels, 0};
  selection features = {"--columns", ROLE_FEATURE, cols->features, 0};
  selection categories = {"--categories", ROLE_NONE, NULL, 0};
  if (o->drop && o->columns)
    return ls_fail(LS_ERR_CONFIG, "--drop and --columns exclude each other; give one of them");
  LS_TRY(choose(cols, c, &drop, o->drop));
  LS_TRY(choose(cols, c, &weight, o->weight));
  LS_TRY(choose(cols, c, &label, o->label));
  LS_TRY(choose(cols, c, &features, o->columns));
  LS_TRY(choose(cols, c, &categories, o->categories));
  drop_index(cols);
  cols->n_labels = o->is_unlabelled ? 0 : label.n;
  cols->n_features = features.n;
  if (weight.n > 1)
    return ls_fail(LS_ERR_CONFIG, "--weight %s: several columns; must be a single one", o->weight);
  for (size_t i = 0; i < cols->n && !o->is_unlabelled; i++)
    if (cols->roles[i] == ROLE_WEIGHT) cols->weight = i;
  if (o->n_names > 0 && !o->columns) LS_TRY(import_features_find(cols, c, o, !cols->has_header));
  const bool is_only = cols->n_features > 0 && !o->columns;
  if (!o->label && !o->is_unlabelled) LS_TRY(choose_default_label(cols, c, is_only));
  choose_other_features(cols);
  return mark_listed(cols, c, o);
}

/* Gives a column without a name one, such as "column 3". */
static ls_status name_column(columns *cols, size_t i) {
  free(cols->names[i]);
  cols->names[i] = ls_format("column %zu", i + 1);
  return cols->names[i] ? LS_OK : ls_fail_memory("a column name", sizeof "column" + 20);
}

/* Checks the names, which become an attribute. */
static ls_status check_names(columns *cols, const csv *c) {
  const bool lacks_first = cols->names[0][0] == '\0' || strcmp(cols->names[0], "Unnamed: 0") == 0;
  cols->drops_index = cols->has_header && cols->counts_below && lacks_first && cols->n > 1;
  for (size_t i = 0; i < cols->n; i++) {
    if (cols->has_header && !ls_is_utf8(cols->names[i], strlen(cols->names[i])))
      return ls_fail(LS_ERR_DATA, "%s, header, column %zu: the name is not UTF-8; save the file as UTF-8",
                     c->in.path, i + 1);
    if (!cols->has_header || cols->names[i][0] == '\0') LS_TRY(name_column(cols, i));
  }
  return import_names_sort(cols);
}

/* A table without a header that was imported without options has the label as its last column. If its first
 * column counts the rows, the columns are ambiguous. */
static void ignore_last_column(columns *cols, const csv *c, const ls_table_options *o) {
  const bool is_plain = !cols->has_header && !o->label && !o->drop && !o->columns && !o->weight;
  const bool has_label = o->n_required > 0 && cols->n_features == o->n_required + 1;
  if (!o->is_unlabelled || !is_plain || !has_label || cols->may_have_index) return;
  cols->n_features--;
  ls_log(LS_LOG_WARNING,
         "%s: %zu columns for %zu features: the last column is ignored as the label; name others with "
         "--label, --drop or --columns",
         c->in.path, cols->n, o->n_required);
}

/* Whether the model has features of words. */
static bool has_words(const ls_table_options *o) {
  bool has = false;
  for (size_t i = 0; i < o->n_names && !has; i++) has = strchr(o->names[i], '=') != NULL;
  return has;
}

static ls_status check_features(columns *cols, const csv *c, const ls_table_options *o) {
  if (!o->is_unlabelled && cols->n_labels == 0)
    return ls_fail(LS_ERR_DATA, "%s: no label; all %zu columns have another role; choose it with --label",
                   c->in.path, cols->n);
  if (cols->n_features == 0)
    return ls_fail(LS_ERR_DATA,
                   "%s: no features; the only column is the label (delimiters are comma, semicolon, tab, "
                   "bar and blanks)",
                   c->in.path);
  const size_t n = cols->n_x > 0 ? cols->n_x : cols->n_features;
  if (has_words(o) && cols->n_x == 0)
    return ls_fail(LS_ERR_DATA,
                   "%s:%llu: the model has categories (COLUMN=WORD), which are found by the names of the "
                   "columns; the table must have a header, or add --header yes; do not use --columns",
                   c->in.path, (unsigned long long)cols->first_line);
  if (o->n_required == 0 || n == o->n_required) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s:%llu: %zu feature columns; must be %zu, the features of the model; choose them with "
                 "--columns or --drop",
                 c->in.path, (unsigned long long)cols->first_line, n, o->n_required);
}

/* (n) of each list */
static ls_status allocate(columns *cols) {
  const size_t n = cols->n;
  cols->names = ls_calloc(n, sizeof *cols->names);
  cols->by_name = ls_calloc(n, sizeof *cols->by_name);
  cols->roles = ls_calloc(n, sizeof *cols->roles);
  cols->listed = ls_calloc(n, sizeof *cols->listed);
  cols->labels = ls_calloc(n, sizeof *cols->labels);
  if (cols->names && cols->by_name && cols->roles && cols->listed && cols->labels) return LS_OK;
  return ls_fail_memory("the columns", n * (3 * sizeof *cols->labels + 2));
}

ls_status import_columns_find(columns *cols, csv *c, const ls_table_options *options) {
  bool got = false;
  *cols = (columns){0};
  LS_TRY(import_csv_next(c, &got));
  if (!got)
    return ls_fail(LS_ERR_DATA, "%s: no samples; the file %s", c->in.path,
                   c->n_comments > 0 ? "has only comments (lines that begin with #)" : "is empty");
  cols->n = c->n_cells;
  cols->first_line = c->row_line;
  LS_TRY(allocate(cols));
  LS_TRY(import_names_keep(cols, c));
  LS_TRY(import_header_find(cols, c, options));
  LS_TRY(check_names(cols, c));
  cols->weight = cols->n;
  const size_t most = ls_size_max(cols->n, options->n_names); /* features */
  cols->features = ls_calloc(most, sizeof *cols->features);
  cols->encodings = ls_calloc(most, sizeof *cols->encodings);
  if (!cols->features || !cols->encodings)
    return ls_fail_memory("the list of features",
                          most * (sizeof *cols->features + sizeof *cols->encodings));
  LS_TRY(choose_roles(cols, c, options));
  ignore_last_column(cols, c, options);
  return check_features(cols, c, options);
}

void import_columns_destroy(columns *cols) {
  for (size_t i = 0; cols->names && i < cols->n; i++) free(cols->names[i]);
  for (size_t k = 0; cols->encodings && k < cols->n_features; k++)
    import_encoding_destroy(&cols->encodings[k]);
  for (size_t i = 0; cols->x_names && i < cols->n_x; i++) free(cols->x_names[i]);
  free(cols->encodings);
  free(cols->x_names);
  free(cols->names);
  free(cols->listed);
  free(cols->by_name);
  free(cols->roles);
  free(cols->labels);
  free(cols->features);
  *cols = (columns){0};
}
