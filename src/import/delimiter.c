/* The delimiter of a table, found by trial. */
#include "internal.h"

#define TRIAL_ROWS 16

/* Counts columns with the current delimiter: *first, those of the first row; *common, the same number if
 * all of the first rows have it, else 0. Only a shortage of memory is an error. */
static ls_status try_delimiter(csv *c, size_t *first, size_t *common) {
  *first = *common = 0;
  ls_status status = import_csv_rewind(c);
  bool got = true;
  for (size_t row = 0; got && status == LS_OK && row < TRIAL_ROWS; row++) {
    status = import_csv_next(c, &got);
    if (!got) break;
    if (row == 0) *first = *common = c->n_cells;
    if (c->n_cells != *first) *common = 0;
  }
  if (status != LS_OK) *common = 0;
  return status == LS_ERR_INTERNAL ? status : LS_OK;
}

/* Chooses a delimiter that gives all of the first rows the same number of columns: the one with the most
 * columns; blanks only if no other delimiter does. If comma and semicolon give as many, commas are those of
 * decimals, "0,5;1". Without such a delimiter, chooses the one with the most
 * columns in the first row, so that the error about uneven rows is specific. */
ls_status import_csv_find_delimiter(csv *c) {
  static const char candidates[] = {',', ';', '\t', '|', CSV_BLANKS};
  size_t best_first = 1;
  size_t best_common = 1;
  char chosen = CSV_BLANKS;
  LS_TRY(import_csv_rewind(c));
  if (c->is_named) return LS_OK;
  for (size_t i = 0; i < sizeof candidates; i++) {
    size_t first = 0;
    size_t common = 0;
    c->delimiter = candidates[i];
    if (c->delimiter == CSV_BLANKS && best_common > 1) break;
    LS_TRY(try_delimiter(c, &first, &common));
    const bool widest_first = best_common == 1 && first > best_first && c->delimiter != CSV_BLANKS;
    const bool is_decimal = c->delimiter == ';' && chosen == ',' && common > 1 && common == best_common;
    if (common <= best_common && !widest_first && !is_decimal) continue;
    chosen = candidates[i];
    best_first = first;
    best_common = ls_size_max(common, 1);
  }
  c->delimiter = chosen;
  return import_csv_rewind(c);
}
