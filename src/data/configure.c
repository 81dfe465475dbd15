/* The section `data:`. */
#include "lockstep/data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const ls_key augment_keys[] = {
    {.name = "shift",
     .type = LS_KEY_COUNT,
     .offset = offsetof(ls_augment, shift),
     .fallback = "0",
     .max = 1e6,
     .help = "of images, up to so many pixels each way"},
    {.name = "flip_horizontal",
     .type = LS_KEY_BOOL,
     .offset = offsetof(ls_augment, flip_horizontal),
     .fallback = "false",
     .help = "mirrors half of the images"},
    {.name = "rotate",
     .type = LS_KEY_REAL,
     .offset = offsetof(ls_augment, rotate),
     .fallback = "0",
     .max = 180.0,
     .help = "of images, up to so many degrees either way"},
    {.name = "noise",
     .type = LS_KEY_REAL,
     .offset = offsetof(ls_augment, noise),
     .fallback = "0",
     .max = 1e6,
     .help = "standard deviation of normal noise on the normalised inputs"},
    {.name = "cutout",
     .type = LS_KEY_COUNT,
     .offset = offsetof(ls_augment, cutout),
     .fallback = "0",
     .max = 1e6,
     .help = "side of a square of each image that becomes 0"},
    {.name = "mixup",
     .type = LS_KEY_REAL,
     .offset = offsetof(ls_augment, mixup),
     .fallback = "0",
     .max = 1e6,
     .help = "mixes pairs of samples by shares from Beta(alpha, alpha); this is alpha"},
    {0}};

static const char *const normalize_names[] = {"none", "scale", "standardize", NULL};

const ls_key ls_data_keys[] = {
    {.name = "train",
     .type = LS_KEY_TEXT,
     .offset = offsetof(ls_data_config, train),
     .flags = LS_KEY_REQUIRED,
     .help = "FILE[:GROUP] to learn from; relative to the config file"},
    {.name = "validation",
     .type = LS_KEY_TEXT,
     .offset = offsetof(ls_data_config, validation),
     .help = "a fraction of train (0.1), or FILE[:GROUP]; evaluated after every epoch"},
    {.name = "test",
     .type = LS_KEY_TEXT,
     .offset = offsetof(ls_data_config, test),
     .help = "FILE[:GROUP], evaluated once at the end with model.h5"},
    {.name = "x",
     .type = LS_KEY_TEXT,
     .offset = offsetof(ls_data_config, x),
     .help = "the array of inputs, where its name is unusual"},
    {.name = "y",
     .type = LS_KEY_TEXT,
     .offset = offsetof(ls_data_config, y),
     .help = "the array of targets, where its name is unusual"},
    {.name = "normalize",
     .type = LS_KEY_CHOICE,
     .offset = offsetof(ls_data_config, normalize),
     .fallback = "none",
     .choices = normalize_names,
     .help = "of the inputs, learnt on the training part and kept in the model"},
    {.name = "standardize_targets",
     .type = LS_KEY_BOOL,
     .offset = offsetof(ls_data_config, standardize_targets),
     .fallback = "false",
     .help = "of mse: learns y with mean 0 and deviation 1; results stay in y's units"},
    {.name = "shuffle",
     .type = LS_KEY_BOOL,
     .offset = offsetof(ls_data_config, shuffle),
     .fallback = "true",
     .help = "a new order of the samples each epoch"},
    {.name = "augment",
     .type = LS_KEY_MAP,
     .offset = offsetof(ls_data_config, augment),
     .keys = augment_keys,
     .help = "changes of training samples, drawn anew each epoch"},
    {0}};

/* `path` made absolute from the folder of the config file; NULL where memory is short. */
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

/* Makes the path under `key` absolute in the document and returns it there; NULL where absent. */
static const char *absolute(ls_config *config, ls_node *section, const char *key, const char *config_path) {
  ls_node *const node = ls_node_find(section, key);
  if (!node || ls_node_text(node)[0] == '\0') return NULL;
  char *const path = resolve(config_path, ls_node_text(node));
  if (!path)
    ls_config_error(config, node, "can't be made an absolute path: %s", strerror(errno));
  else if (ls_config_replace(config, node, path) != LS_OK)
    ls_config_error(config, node, "%s", ls_message());
  free(path);
  return ls_node_text(node);
}

/* Whether the text is a number; then *out is it. */
static bool parse_fraction(const char *text, double *out) {
  char *end = NULL;
  *out = strtod(text, &end);
  return end != text && *end == '\0';
}

static void read_validation(ls_config *config, ls_node *section, const char *config_path,
                            ls_data_config *out) {
  double fraction = 0.0;
  if (!out->validation) return;
  if (!parse_fraction(out->validation, &fraction)) {
    out->validation = absolute(config, section, "validation", config_path);
    return;
  }
  if (!(fraction >= 0.0 && fraction < 1.0))
    ls_config_error(config, ls_node_find(section, "validation"),
                    "%s is out of range: a fraction from 0 up to but not 1, or FILE[:GROUP]",
                    out->validation);
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
  read_validation(config, section, config_path, out);
}
