/* The keys of the top level of the config and of `train:`. */
#include "internal.h"

const ls_key ls_top_keys[] = {
    LS_COUNT_KEY("seed", ls_train_config, seed, "1", 0, 1e15, "random seed"),
    LS_TEXT_KEY("output", ls_train_config, output, "run directory, relative to the working directory"),
    LS_SECTION_KEY("loss", /* see ls_loss_configure */
                   "loss function to minimize: categorical_cross_entropy, binary_cross_entropy, mse, mae, "
                   "huber or focal, or a map, see loss.*"),
    LS_NODE_KEY(
        "metrics", ls_train_config, metrics,
        "additional columns of metrics.csv: a list of top_K (any K), precision, recall, f1, roc_auc "
        "(class means), mse, mae"),
    LS_SECTION_KEY("data", "datasets, see data.*"),
    LS_SECTION_KEY("model", "list of layers, see model.N.*"),
    LS_SECTION_KEY("optimizer", "optimizer, see optimizer.*"),
    LS_SECTION_KEY("schedule", "learning rate schedule, see schedule.*"),
    LS_SECTION_KEY("penalty", "penalties on the weights, see penalty.*"),
    LS_SECTION_KEY("train", "training loop, see train.*"),
    LS_SECTION_KEY("checkpoint", "checkpoints, see checkpoint.*"),
    LS_SECTION_KEY("comm", "communication between ranks, see comm.*"),
    {0},
};

static const ls_key early_stopping_keys[] = {
    LS_COUNT_KEY("patience", ls_train_config, patience, "0", 0, 1e9,
                 "epochs without improvement of train.monitor before training ends; 0: no early stopping"),
    LS_REAL_KEY("min_delta", ls_train_config, min_delta, "0", 0, 1e9,
                "change that an improvement must exceed"),
    {0},
};

static const char *const on_nan_names[] = {[LS_ON_NAN_STOP] = "stop", [LS_ON_NAN_SKIP] = "skip", NULL};

const ls_key ls_train_keys[] = {
    LS_COUNT_KEY("epochs", ls_train_config, epochs, "10", 1, 1e9, "passes over the training data"),
    LS_COUNT_KEY("batch_size", ls_train_config, batch_size, "32", 1, 1e9,
                 "samples per batch over all ranks; full: all samples", .word = "full"),
    LS_COUNT_KEY("accumulate", ls_train_config, accumulate, "1", 1, 1e6,
                 "batches whose gradients are summed for one step"),
    LS_COUNT_KEY("max_steps", ls_train_config, max_steps, NULL, 0, 1e12,
                 "total number of steps after which training ends; 0: only write the initial model"),
    LS_TIME_KEY(
        "max_time", ls_train_config, max_time, NULL,
        "time limit, counted from the start of the process, in seconds or as in 3h50m; the run saves a "
        "checkpoint before it and exits with code 75"),
    LS_TEXT_KEY(
        "monitor", ls_train_config, monitor,
        "column of metrics.csv that selects the best epoch; default val_loss, or train_loss without "
        "validation"),
    LS_MAP_KEY("early_stopping", early_stopping_keys, "early stopping"),
    LS_REAL_KEY("clip_grad_norm", ls_train_config, clip_grad_norm, "0", 0, 1e30,
                "maximum norm of the gradient; 0: no limit"),
    LS_REAL_KEY("clip_grad_value", ls_train_config, clip_grad_value, "0", 0, 1e30,
                "maximum magnitude of each gradient element, applied after clip_grad_norm; 0: no limit"),
    LS_REAL_KEY("ema", ls_train_config, ema, "0", 0, 1,
                "decay per step of an exponential moving average of the weights, such as 0.999, which is "
                "evaluated and saved beside them in model-ema.h5; 0: no average",
                .flags = LS_KEY_BELOW_MAX),
    LS_CHOICE_KEY("on_nan", ls_train_config, on_nan, "stop", on_nan_names,
                  "reaction to a loss or gradient that is not finite: stop the run, or skip the step"),
    LS_COUNT_KEY("max_skipped", ls_train_config, max_skipped, "10", 0, 1e12,
                 "maximum number of steps that on_nan: skip may skip in total"),
    LS_BOOL_KEY("reproducible", ls_train_config, reproducible, "false",
                "same bits for any number of ranks, given the same program and type of processor"),
    LS_COUNT_KEY("lanes", ls_train_config, lanes, "8", 1, LS_LANES_MAX,
                 "parts of a batch in reproducible mode, a power of two; the maximum number of ranks that "
                 "have work"),
    LS_BOOL_KEY(
        "diagnostics", ls_train_config, diagnostics, "true",
        "gradients and dead units of each layer after each epoch, in diagnostics.csv and as warnings"),
    LS_SECTION_KEY(
        "tensorboard", /* see job_read_tensorboard */
        "event file for TensorBoard in the run directory, with the columns of metrics.csv: true, "
        "false (default), or {histograms: true} for histograms of the weights too"),
    LS_NODE_KEY("class_weight", ls_train_config, class_weight,
                "per-class sample weights: balanced, or a list of numbers"),
    LS_COUNT_KEY("log_every", ls_train_config, log_every, "0", 0, 1e12,
                 "steps between log lines; 0: one line per epoch"),
    {0},
};

static const ls_key keys_of_tensorboard[] = {
    LS_BOOL_KEY("histograms", ls_tensorboard_config, histograms, "false",
                "histograms of the weights after each epoch"),
    {0},
};

/* A boolean in place of the map. */
static const ls_key tensorboard_key =
    LS_BOOL_KEY("tensorboard", ls_tensorboard_config, is_on, "false", NULL);

void job_read_tensorboard(ls_config *config, ls_node *section, ls_tensorboard_config *out) {
  ls_node *const node = ls_node_find(section, "tensorboard");
  const bool is_map = node && ls_node_kind_of(node) == LS_NODE_MAP;
  if (is_map)
    ls_config_read(config, node, keys_of_tensorboard, out);
  else
    ls_config_read_key(config, section, &tensorboard_key, out);
  out->is_on = out->is_on || is_map;
}
