/* Names of outputs and features. */
#include "internal.h"

#include "lockstep/config.h"

#include <stdlib.h>
#include <string.h>

#define LISTED 20 /* outputs in a message */

const char *ls_explain_output_name(const ls_explain_names *names, const ls_model *model, size_t k,
                                   char *text, size_t size) {
  const bool is_number = ls_loss_link(model->loss) == LS_LINEAR;
  if (!is_number && names->classes && k < names->n_classes) return names->classes[k];
  if (is_number && model->n_out == 1)
    snprintf(text, size, "y");
  else
    snprintf(text, size, "%s%zu", is_number ? "y" : "", k);
  return text;
}

const char *ls_explain_feature_name(const ls_explain_names *names, const ls_dataset *dataset, size_t j,
                                    char *text, size_t size) {
  if (j < names->n_features) return names->features[j];
  const ls_array *const x = &dataset->x_array;
  size_t inner = dataset->n_features;
  snprintf(text, size, "x");
  for (unsigned d = 1; d < x->n_dims; d++) {
    inner /= x->dims[d];
    ls_append(text, size, "%s%zu", d > 1 ? "," : "[", j / inner % x->dims[d]);
  }
  if (x->n_dims > 1) ls_append(text, size, "]");
  return text;
}

static ls_status fail_output(const ls_explain_names *names, const ls_model *model, const char *name) {
  char known[400] = "";
  char text[32];
  const size_t n = ls_explain_n_outputs(model);
  const char *const nearest =
      names->classes ? ls_config_nearest(name, names->classes, names->n_classes) : NULL;
  for (size_t k = 0; k < n && k < LISTED; k++)
    ls_append(known, sizeof known, "%s%s", k ? ", " : "",
              ls_explain_output_name(names, model, k, text, sizeof text));
  return ls_fail(LS_ERR_CONFIG, "%s: unknown output; must be one of: %s%s; or a number from 0 to %zu%s%s%s",
                 name, known, n > LISTED ? ", ..." : "", n - 1, nearest ? "; did you mean " : "",
                 nearest ? nearest : "", nearest ? "?" : "");
}

ls_status ls_explain_find_output(const ls_explain_names *names, const ls_model *model, const char *name,
                                 uint64_t *output) {
  const size_t n = ls_explain_n_outputs(model);
  char text[32];
  char *end = NULL;
  for (size_t k = 0; k < n; k++) {
    *output = k;
    if (strcmp(name, ls_explain_output_name(names, model, k, text, sizeof text)) == 0) return LS_OK;
  }
  *output = strtoull(name, &end, 10);
  const bool is_number = name[0] >= '0' && name[0] <= '9' && *end == '\0';
  return is_number && *output < n ? LS_OK : fail_output(names, model, name);
}
