/* The counters of /progress, and the section `checkpoint:`. */
#include "internal.h"

#define FIELD(name) offsetof(ls_progress, name)

const counter checkpoint_counters[] = {
    {"epoch", FIELD(epoch), false},
    {"epoch_samples", FIELD(epoch_samples), false},
    {"step", FIELD(step), false},
    {"samples", FIELD(samples), false},
    {"skipped_steps", FIELD(skipped_steps), false},
    {"best_epoch", FIELD(best_epoch), false},
    {"n_stale", FIELD(n_stale), true},
    {"has_stale_value", FIELD(has_stale_value), true},
    {"plateau_has_best", FIELD(plateau.has_best), true},
    {"plateau_n_bad", FIELD(plateau.n_bad), true},
    {"plateau_n_reductions", FIELD(plateau.n_reductions), true},
    {"seed", FIELD(seed), false},
    {"data_low", FIELD(data.low), false},
    {"data_high", FIELD(data.high), false},
    {"data_selection_low", FIELD(data_selection.low), true},
    {"data_selection_high", FIELD(data_selection.high), true},
    {"validation_low", FIELD(validation.low), true},
    {"validation_high", FIELD(validation.high), true},
    {"validation_selection_low", FIELD(validation_selection.low), true},
    {"validation_selection_high", FIELD(validation_selection.high), true},
    {"blocks_low", FIELD(blocks.low), true},
    {"blocks_high", FIELD(blocks.high), true},
    {0}};

/* Names of wall-clock values end with _seconds. */
const counter checkpoint_reals[] = {
    {"best_value", FIELD(best_value), false},       {"stale_value", FIELD(stale_value), true},
    {"plateau_best", FIELD(plateau.best), true},    {"total_seconds", FIELD(total_seconds), false},
    {"epoch_seconds", FIELD(epoch_seconds), false}, {0}};

uint64_t *checkpoint_counter(ls_progress *progress, const counter *c) {
  return (uint64_t *)(void *)((char *)progress + c->offset);
}

double *checkpoint_real(ls_progress *progress, const counter *c) {
  return (double *)(void *)((char *)progress + c->offset);
}

const ls_key ls_checkpoint_keys[] = {
    LS_COUNT_KEY("every_steps", ls_checkpoint_config, every_steps, "0", 0, 1e12,
                 "steps between checkpoints; 0: none by steps"),
    LS_COUNT_KEY("every_epochs", ls_checkpoint_config, every_epochs, "1", 0, 1e9,
                 "epochs between checkpoints; 0: none by epochs"),
    LS_COUNT_KEY("keep", ls_checkpoint_config, keep, "2", 1, 1e6,
                 "number of newest checkpoints to keep, in addition to best.h5"),
    {0},
};

void ls_checkpoint_configure(ls_config *config, ls_checkpoint_config *out) {
  *out = (ls_checkpoint_config){0};
  ls_node *const section = ls_config_section(config, ls_config_root(config), "checkpoint");
  if (section) ls_config_read(config, section, ls_checkpoint_keys, out);
}
