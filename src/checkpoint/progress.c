/* The counters of /progress, and the section `checkpoint:`. */
#include "internal.h"

#define FIELD(name) offsetof(ls_progress, name)

const counter checkpoint_counters[] = {{"epoch", FIELD(epoch), false},
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
                                       {"validation_low", FIELD(validation.low), true},
                                       {"validation_high", FIELD(validation.high), true},
                                       {0}};

/* Wall-clock values are those named *_seconds. */
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

const ls_key ls_checkpoint_keys[] = {{.name = "every_steps",
                                      .type = LS_KEY_COUNT,
                                      .offset = offsetof(ls_checkpoint_config, every_steps),
                                      .fallback = "0",
                                      .min = 0,
                                      .max = 1e12,
                                      .help = "save after so many steps; 0: not by steps"},
                                     {.name = "every_epochs",
                                      .type = LS_KEY_COUNT,
                                      .offset = offsetof(ls_checkpoint_config, every_epochs),
                                      .fallback = "1",
                                      .min = 0,
                                      .max = 1e9,
                                      .help = "save after so many epochs; 0: not by epochs"},
                                     {.name = "keep",
                                      .type = LS_KEY_COUNT,
                                      .offset = offsetof(ls_checkpoint_config, keep),
                                      .fallback = "2",
                                      .min = 1,
                                      .max = 1e6,
                                      .help = "how many of the newest checkpoints stay, beside best.h5"},
                                     {0}};

void ls_checkpoint_configure(ls_config *config, ls_checkpoint_config *out) {
  *out = (ls_checkpoint_config){0};
  ls_node *const section = ls_config_section(config, ls_config_root(config), "checkpoint");
  if (section) ls_config_read(config, section, ls_checkpoint_keys, out);
}
