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

static const char *const memory_names[] = {"auto", "resident", "stream", NULL};

static const char *const normalize_names[] = {"none", "scale", "standardize", NULL};

const ls_key ls_data_keys[] = {
    LS_NODE_KEY(
        "train", ls_data_config, train_node,
        "training data, relative to the config file: FILE[:GROUP], a pattern such as part-*.h5, a list "
        "of these, or {file, x, y} with the names of the arrays",
        .flags = LS_KEY_REQUIRED),
    LS_NODE_KEY("validation", ls_data_config, validation_node,
                "validation data, evaluated after every epoch: a fraction of train (0.1 or 10%), or files "
                "as in train"),
    LS_NODE_KEY("test", ls_data_config, test_node,
                "test data, evaluated once at the end with model.h5: files as in train"),
    LS_TEXT_KEY("x", ls_data_config, x, "name of the array of inputs; default: one of the usual names"),
    LS_TEXT_KEY(
        "y", ls_data_config, y,
        "name of the array of targets, for data.train also in another file: FILE:/PATH; default: one "
        "of the usual names"),
    LS_CHOICE_KEY("layout", ls_data_config, layout, "channels_last", layout_names,
                  "order of the dims of a sample in the files: (H, W, C) or (C, H, W)"),
    LS_NODE_KEY("shape", ls_data_config, shape_node,
                "shape of a sample in the files, if they hold flat rows: [28, 28, 1]; in the order that "
                "data.layout names"),
    LS_CHOICE_KEY(
        "memory", ls_data_config, memory, "auto", memory_names,
        "place of the samples: in the memory of each node (resident), or in the files, read while "
        "training (stream)"),
    LS_COUNT_KEY("readers", ls_data_config, readers, "1", 1, 64,
                 "threads of each rank that read streamed samples"),
    LS_NODE_KEY(
        "window", ls_data_config, window_node,
        "shuffling in windows of permuted blocks: samples of a window (10000), or its size in memory "
        "(2GB); default: a full shuffle"),
    LS_TEXT_KEY(
        "cache", ls_data_config, cache,
        "folder on a disk of each node, relative to the config file, in which parts of the data files are "
        "kept for later epochs and runs; runs may share it"),
    LS_NODE_KEY("cache_size", ls_data_config, cache_size_node,
                "size of data.cache on each node, such as 200GB; required with it"),
    LS_SECTION_KEY("normalize", /* see read_normalize */
                   "normalisation of the inputs, learnt on the training part and stored in the model: none "
                   "(default), scale or standardize, per feature; or {type: standardize, per: channel}"),
    LS_BOOL_KEY("standardize_targets", ls_data_config, standardize_targets, "false",
                "with loss mse, mae or huber, standardisation of y to mean 0 and standard deviation 1; "
                "results are in the "
                "units of y"),
    LS_BOOL_KEY("shuffle", ls_data_config, shuffle, "true", "new order of the samples in each epoch"),
    LS_MAP_KEY("augment", augment_keys, "random changes of the training samples",
               .offset = offsetof(ls_data_config, augment)),
    {0},
};

/* The value of data.normalize as a map. */
typedef struct normalize_keys {
  int type; /* ls_normalize */
  int per;  /* 1: channel */
} normalize_keys;

static const char *const per_names[] = {"feature", "channel", NULL};

static const ls_key keys_of_normalize[] = {
    LS_CHOICE_KEY("type", normalize_keys, type, NULL, normalize_names, "normalisation",
                  .flags = LS_KEY_REQUIRED),
    LS_CHOICE_KEY("per", normalize_keys, per, "feature", per_names,
                  "the values that share an offset and a factor"),
    {0},
};

/* A name in place of the map. */
static const ls_key normalize_key =
    LS_CHOICE_KEY("normalize", normalize_keys, type, "none", normalize_names, NULL);

/* Reads data.normalize: a name, or {type, per}. */
static void read_normalize(ls_config *config, ls_node *section, ls_data_config *out) {
  ls_node *const node = ls_node_find(section, "normalize");
  normalize_keys keys = {0};
  if (node && ls_node_kind_of(node) == LS_NODE_MAP)
    ls_config_read(config, node, keys_of_normalize, &keys);
  else
    ls_config_read_key(config, section, &normalize_key, &keys);
  out->normalize = keys.type;
  out->is_per_channel = keys.per == 1;
}

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

#define NAME_RULE "must be FILE[:GROUP], a list of such names, or {file, x, y}; * and ? match many files"

/* Makes a path absolute in the document and returns it, borrowed; NULL after an error. */
static const char *absolute(ls_config *config, ls_node *node, const char *config_path) {
  if (ls_node_text(node)[0] == '\0') {
    ls_config_error(config, node, "%s; " NAME_RULE,
                    ls_node_kind_of(node) == LS_NODE_SCALAR ? "empty" : "not a file name");
    return NULL;
  }
  char *const path = resolve(config_path, ls_node_text(node));
  if (!path)
    ls_config_error(config, node, "cannot make the path absolute: %s", strerror(errno));
  else if (ls_config_replace(config, node, path) != LS_OK)
    ls_config_error(config, node, "%s", ls_message());
  free(path);
  return ls_node_text(node);
}

/* Reads a name or a list of names; returns the first. */
static const char *read_names(ls_config *config, ls_node *node, const char *config_path,
                              ls_data_split *split) {
  const char *first = NULL;
  const size_t n = ls_node_count(node);
  if (ls_node_kind_of(node) != LS_NODE_LIST || n == 0) return absolute(config, node, config_path);
  for (size_t i = 0; i < n; i++) {
    const char *const name = absolute(config, ls_node_item(node, i), config_path);
    if (i == 0) first = name;
  }
  split->list = node;
  return first;
}

/* Makes the file of a name FILE:/PATH absolute in the document. */
static const char *read_y(ls_config *config, ls_node *map, const char *y, const char *config_path) {
  return data_has_file(y) ? absolute(config, ls_node_find(map, "y"), config_path) : y;
}

/* The keys of a split with names of its own. */
typedef struct split_keys {
  ls_node *file;
  const char *x, *y;
} split_keys;

static const ls_key keys_of_split[] = {
    LS_NODE_KEY("file", split_keys, file, "FILE[:GROUP], a pattern, or a list", .flags = LS_KEY_REQUIRED),
    LS_TEXT_KEY("x", split_keys, x, "name of the array of inputs"),
    LS_TEXT_KEY("y", split_keys, y, "name of the array of targets, also FILE:/PATH"),
    {0},
};

/* Reads the value of data.train, data.validation or data.test: sets *name and the split. */
static void read_split(ls_config *config, ls_node *node, const char *config_path, const ls_data_config *all,
                       const char **name, ls_data_split *split) {
  split_keys keys = {0};
  *split = (ls_data_split){.x = all->x, .y = all->y};
  if (!node) return;
  if (ls_node_kind_of(node) != LS_NODE_MAP) {
    *name = read_names(config, node, config_path, split);
    return;
  }
  ls_config_read(config, node, keys_of_split, &keys);
  if (keys.file) *name = read_names(config, keys.file, config_path, split);
  if (keys.x) split->x = keys.x;
  if (keys.y) split->y = read_y(config, node, keys.y, config_path);
}

/* Targets in another file belong to one split: data.y with a file to the training data. */
static void check_y_file(ls_config *config, const ls_node *node, const ls_data_config *all,
                         const ls_data_split *split) {
  if (node && data_has_file(all->y) && split->y == all->y)
    ls_config_error(config, node,
                    "data.y names the targets of data.train, in another file; name those of this split: "
                    "{file: FILE, y: FILE:/PATH}");
}

/* Whether `other`, inherited from the section, is beside another array than `name`, which the split names.
 */
static bool is_foreign(const char *name, const char *of_section, const char *other) {
  return name != of_section && other && other[0] == '/' && !data_has_file(name) &&
         !data_same_group(name, other) && (!of_section || data_same_group(of_section, other));
}

/* A split that names x or y alone must not get the y or x that is beside the other array of the section. */
static void check_pair(ls_config *config, const ls_node *node, const ls_data_config *all,
                       const ls_data_split *split) {
  const bool has_foreign_y = split->y == all->y && is_foreign(split->x, all->x, all->y);
  const bool has_foreign_x = split->x == all->x && is_foreign(split->y, all->y, all->x);
  if (has_foreign_y || has_foreign_x)
    ls_config_error(config, node,
                    "names %c in another group than data.%c: %s, which does not belong to it; name both "
                    "arrays: {file: FILE, x: NAME, y: NAME}",
                    has_foreign_y ? 'x' : 'y', has_foreign_y ? 'y' : 'x', has_foreign_y ? all->y : all->x);
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

/* Whether data.validation is a fraction, then stored in *fraction. Replaces a percentage in the document by
 * the fraction. */
static bool read_fraction(ls_config *config, ls_node *node, double *fraction) {
  char text[32];
  const bool is_percentage = strchr(ls_node_text(node), '%') != NULL;
  if (!parse_fraction(ls_node_text(node), fraction)) return false;
  snprintf(text, sizeof text, "%.15g", *fraction);
  if (!(*fraction >= 0.0 && *fraction < 1.0))
    ls_config_error(
        config, node,
        "out of range; must be a fraction from 0 to below 1, such as 0.2 or 20%%, or FILE[:GROUP]");
  else if (is_percentage && ls_config_replace(config, node, text) != LS_OK)
    ls_config_error(config, node, "%s", ls_message());
  return true;
}

/* data.cache needs a size: it must not fill the disk of a node. */
static void read_cache(ls_config *config, const ls_node *section, const char *config_path,
                       ls_data_config *out) {
  ls_node *const folder = ls_node_find(section, "cache");
  const ls_node *const size = out->cache_size_node;
  if (size && !ls_config_parse_size(ls_node_text(size), &out->cache_bytes))
    ls_config_error(config, size, "not a size; must be a number with a unit, such as 200GB or 64GiB");
  if (!out->cache) return;
  if (out->cache[0] == '\0')
    ls_config_error(config, folder, "empty; must be a folder");
  else
    out->cache = absolute(config, folder, config_path);
  if (!size) ls_config_error(config, folder, "needs data.cache_size, such as cache_size: 200GB");
}

void ls_data_configure(ls_config *config, const char *config_path, ls_data_config *out) {
  *out = (ls_data_config){0};
  ls_node *const section = ls_config_section(config, ls_config_root(config), "data");
  if (!section) return;
  ls_config_read(config, section, ls_data_keys, out);
  if (out->window_node) data_window_configure(config, out->window_node, &out->window);
  read_cache(config, section, config_path, out);
  read_normalize(config, section, out);
  if (out->shape_node) data_shape_configure(config, out->shape_node, &out->shape);
  if (out->y) out->y = read_y(config, section, out->y, config_path);
  read_split(config, out->train_node, config_path, out, &out->train, &out->train_split);
  read_split(config, out->test_node, config_path, out, &out->test, &out->test_split);
  check_y_file(config, out->test_node, out, &out->test_split);
  check_pair(config, out->test_node, out, &out->test_split);
  if (out->validation_node && read_fraction(config, out->validation_node, &out->validation_fraction))
    return;
  read_split(config, out->validation_node, config_path, out, &out->validation, &out->validation_split);
  check_y_file(config, out->validation_node, out, &out->validation_split);
  check_pair(config, out->validation_node, out, &out->validation_split);
}
