/* The section `loss:` of the config: a name, or a map with the type and its options. */
#include "lockstep/layer.h"

const char *const ls_loss_names[] = {
    "categorical_cross_entropy", "binary_cross_entropy", "mse", "mae", "huber", "focal", NULL};

const char *ls_loss_name(ls_loss loss) {
  return ls_loss_names[loss == LS_FOCAL_LABELS ? LS_FOCAL : loss];
}

typedef struct loss_keys {
  int type; /* ls_loss */
  ls_loss_options options;
} loss_keys;

#define TYPE_KEY                                                                                           \
  LS_CHOICE_KEY("type", loss_keys, type, NULL, ls_loss_names, "loss function", .flags = LS_KEY_REQUIRED)
#define SMOOTHING_KEY                                                                                      \
  LS_REAL_KEY("label_smoothing", loss_keys, options.label_smoothing, "0", 0, 1,                            \
              "cross-entropies: share of each label that is divided equally among all classes",            \
              .flags = LS_KEY_BELOW_MAX)
#define DELTA_KEY                                                                                          \
  LS_REAL_KEY("delta", loss_keys, options.delta, "1", 1e-30, 1e30,                                         \
              "huber: error above which the loss is linear")
#define GAMMA_KEY                                                                                          \
  LS_REAL_KEY("gamma", loss_keys, options.gamma, "2", 0, 100,                                              \
              "focal: exponent of 1 - p, the factor of the cross-entropy; 0: the cross-entropy")
#define ALPHA_KEY                                                                                          \
  LS_REAL_KEY("alpha", loss_keys, options.alpha, "0", 0, 1,                                                \
              "focal with sigmoid: weight of label 1, with 1 - alpha for label 0; 0: no weights",          \
              .flags = LS_KEY_BELOW_MAX)

const ls_key ls_loss_keys[] = {TYPE_KEY, SMOOTHING_KEY, DELTA_KEY, GAMMA_KEY, ALPHA_KEY, {0}};

static const ls_key cross_entropy_keys[] = {TYPE_KEY, SMOOTHING_KEY, {0}};
static const ls_key huber_keys[] = {TYPE_KEY, DELTA_KEY, {0}};
static const ls_key focal_keys[] = {TYPE_KEY, GAMMA_KEY, ALPHA_KEY, {0}};
static const ls_key plain_keys[] = {TYPE_KEY, {0}};

/* The keys that each loss accepts. */
static const ls_key *const keys_of[LS_LOSSES] = {[LS_CATEGORICAL_CROSS_ENTROPY] = cross_entropy_keys,
                                                 [LS_BINARY_CROSS_ENTROPY] = cross_entropy_keys,
                                                 [LS_MSE] = plain_keys,
                                                 [LS_MAE] = plain_keys,
                                                 [LS_HUBER] = huber_keys,
                                                 [LS_FOCAL] = focal_keys};

static const char *name_of(size_t index) {
  return ls_loss_names[index];
}

static const ls_key name_key =
    LS_CHOICE_KEY("loss", loss_keys, type, NULL, ls_loss_names, NULL, .flags = LS_KEY_REQUIRED);

void ls_loss_configure(ls_config *config, ls_loss *loss, ls_loss_options *options) {
  ls_node *const root = ls_config_root(config);
  ls_node *const node = ls_node_find(root, "loss");
  loss_keys keys = {0};
  if (node && ls_node_kind_of(node) == LS_NODE_MAP) {
    const int type = ls_config_choose_type(config, node, "type", name_of);
    if (type >= 0) ls_config_read(config, node, keys_of[type], &keys);
  } else {
    ls_config_read_key(config, root, &name_key, &keys);
    loss_keys defaults = {0};
    ls_config_read(config, NULL, keys_of[keys.type], &defaults);
    keys.options = defaults.options;
  }
  *loss = (ls_loss)keys.type;
  *options = keys.options;
}
