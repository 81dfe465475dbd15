/* The list of what is wrong with data. */
#include "lockstep/data.h"

#include <stdio.h>
#include <string.h>

void ls_data_errors_add(ls_data_errors *errors, const char *text) {
  errors->n++;
  if (errors->n_listed == LS_DATA_ERRORS_MAX) return;
  if (errors->n_listed > 0 && strcmp(errors->texts[errors->n_listed - 1], text) == 0) return;
  snprintf(errors->texts[errors->n_listed++], sizeof errors->texts[0], "%s", text);
}
