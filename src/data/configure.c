/* The section `data:`. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const ls_key augment_keys[] = {
    LS_COUNT_KEY("shift", ls_augment, shift, "0", 0, 1e6,
                 "maximum shift of an image in each direction, in pixels"),
    LS_BOOL_KEY("flip_horizontal", ls_augment, flip_horizontal, "false",
                "horizontal flips of half of the images"),
    LS_REAL_KEY("rotate", ls_augment, rotate, "0", 0, 180.0,
                "maximum rotation of an image in each direction, in degrees"),
    LS_REAL_KEY("noise", ls_augment, noise, "0", 0, 1e6,
                "standard deviation of the Gaussian noise added to normalised inputs"),
    LS_COUNT_KEY("cutout", ls_augment, cutout, "0", 0, 1e6,
                 "side in pixels of the random square of an image that is set to 0"),
    LS_REAL_KEY(
        "mixup", ls_augment, mixup, "0", 0, 1e6,
        "alpha of Beta(alpha, alpha), from which the mixing weights of pairs of samples are drawn; 0: "
        "no mixup"),
    {0},
};

static const char *const layout_names[] = {"channels_last", "channels_first", NULL};

static const char *const normalize_names[] = {"none", "scale", "standardize", NULL};

const ls_key ls_data_keys[] = {
    LS_TEXT_KEY("train", ls_data_config, train, "training data: FILE[:GROUP], relative to the config file",
                .flags = LS_KEY_REQUIRED),
    LS_TEXT_KEY(
        "validation", ls_data_config, validation,
        "validation data, evaluated after every epoch: a fraction of train (0.1 or 10%), or FILE[:GROUP]"),
    LS_TEXT_KEY("test", ls_data_config, test,
                "test data, evaluated once at the end with model.h5: FILE[:GROUP]"),
    LS_TEXT_KEY("x", ls_data_config, x, "name of the array of inputs; default: one of the usual names"),
    LS_TEXT_KEY("y", ls_data_config, y, "name of the array of targets; default: one of the usual names"),
    LS_CHOICE_KEY("layout", ls_data_config, layout, "channels_last", layout_names,
                  "order of the dims of a sample in the files: (H, W, C) or (C, H, W)"),
    LS_NODE_KEY("shape", ls_data_config, shape_node,
                "shape of a sample in the files, if they hold flat rows: [28, 28, 1]; in the order that "
                "data.layout names"),
    LS_CHOICE_KEY("normalize", ls_data_config, normalize, "none", normalize_names,
                  "normalisation of the inputs, learnt on the training part and stored in the model"),
    LS_BOOL_KEY(
        "standardize_targets", ls_data_config, standardize_targets, "false",
        "with loss mse, standardisation of y to mean 0 and standard deviation 1; results are in the "
        "units of y"),
    LS_BOOL_KEY("shuffle", ls_data_config, shuffle, "true", "new order of the samples in each epoch"),
    LS_MAP_KEY("augment", augment_keys, "random changes of the training samples",
               .offset = offsetof(ls_data_config, augment)),
    {0},
};

/* The absolute form of `path`, which is relative to the folder of the config file. The caller frees it;
 * NULL if memory is short or there is no working directory. */
static char *resolve(const char *config_path, const char *path) {
  if (path[0] == '/') return ls_strdup(path);
  const char *const slash = strrchr(config_path, '/');
  const int length = slash ? (int)(slash - config_path) + 1 : 0;
  if (config_path[0] == '/') return ls_format("%.*s%s", length, config_path, path);
  char *const here = getcwd(NULL, 0);
  char *const absolute = here ? ls_format("%s/%.*s%s", here, length, config_path, path) : NULL;
  free(here);
  return absolute;
}

/* Makes the path under `key` absolute in the document and returns it, borrowed; NULL if absent. */
static const char *absolute(ls_config *config, ls_node *section, const char *key, const char *config_path) {
  ls_node *const node = ls_node_find(section, key);
  if (!node || ls_node_text(node)[0] == '\0') return NULL;
  char *const path = resolve(config_path, ls_node_text(node));
  if (!path)
    ls_config_error(config, node, "cannot make the path absolute: %s", strerror(errno));
  else if (ls_config_replace(config, node, path) != LS_OK)
    ls_config_error(config, node, "%s", ls_message());
  free(path);
  return ls_node_text(node);
}

/* Parses a number, or a percentage such as 20%; false if the text is neither. */
static bool parse_fraction(const char *text, double *fraction) {
  char number[32];
  const size_t length = strlen(text);
  if (length < 2 || text[length - 1] != '%') return ls_config_parse_real(text, fraction);
  snprintf(number, sizeof number, "%.*s", (int)ls_size_min(length - 1, sizeof number), text);
  const size_t digits = strcspn(number, " ");
  if (number[digits + strspn(number + digits, " ")] == '\0') number[digits] = '\0';
  if (!ls_config_parse_real(number, fraction)) return false;
  *fraction /= 100.0;
  return true;
}

/* Reads a fraction, or a name of data. Replaces a percentage in the document by the fraction. */
static void read_validation(ls_config *config, ls_node *section, const char *config_path,
                            ls_data_config *out) {
  ls_node *const node = ls_node_find(section, "validation");
  double fraction = 0.0;
  char text[32];
  if (!out->validation) return;
  if (!parse_fraction(out->validation, &fraction)) {
    out->validation = absolute(config, section, "validation", config_path);
    return;
  }
  snprintf(text, sizeof text, "%.15g", fraction);
  if (!(fraction >= 0.0 && fraction < 1.0))
    ls_config_error(
        config, node,
        "out of range; must be a fraction from 0 to below 1, such as 0.2 or 20%%, or FILE[:GROUP]");
  else if (strchr(out->validation, '%') && ls_config_replace(config, node, text) != LS_OK)
    ls_config_error(config, node, "%s", ls_message());
  out->validation = NULL;
  out->validation_fraction = fraction;
}

void ls_data_configure(ls_config *config, const char *config_path, ls_data_config *out) {
  *out = (ls_data_config){0};
  ls_node *const section = ls_config_section(config, ls_config_root(config), "data");
  if (!section) return;
  ls_config_read(config, section, ls_data_keys, out);
  if (out->train) out->train = absolute(config, section, "train", config_path);
  if (out->test) out->test = absolute(config, section, "test", config_path);
  if (out->shape_node) data_shape_configure(config, out->shape_node, &out->shape);
  read_validation(config, section, config_path, out);
}
