/* The counters of /progress, and the section `checkpoint:`. */
#include "layout.h"

const counter checkpoint_counters[] = {{"epoch", offsetof(ls_progress, epoch)},
                                       {"epoch_samples", offsetof(ls_progress, epoch_samples)},
                                       {"step", offsetof(ls_progress, step)},
                                       {"samples", offsetof(ls_progress, samples)},
                                       {"skipped_steps", offsetof(ls_progress, skipped_steps)},
                                       {"best_epoch", offsetof(ls_progress, best_epoch)},
                                       {"seed", offsetof(ls_progress, seed)},
                                       {"data_low", offsetof(ls_progress, data.low)},
                                       {"data_high", offsetof(ls_progress, data.high)},
                                       {NULL, 0}};

/* Wall-clock values are those named *_seconds. */
const counter checkpoint_reals[] = {{"best_value", offsetof(ls_progress, best_value)},
                                    {"total_seconds", offsetof(ls_progress, total_seconds)},
                                    {"epoch_seconds", offsetof(ls_progress, epoch_seconds)},
                                    {NULL, 0}};

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
