/* lockstep sweep: hyper-parameter search. */
#include "lockstep/sweep.h"

#include "internal.h"

#include <limits.h>

static ls_status run(ls_comm *comm, const arguments *a) {
  char again[LS_MESSAGE_MAX - 512 - PATH_MAX];
  const ls_sweep_options options = {.path = a->positional[0],
                                    .output = app_option(a, "output"),
                                    .part = app_option(a, "part"),
                                    .overwrite = app_option(a, "overwrite") != NULL,
                                    .command = app_command_again(a, again, sizeof again)};
  return ls_sweep_run(comm, &options);
}

const command app_sweep = {
    .name = "sweep",
    .operands = "SWEEP.yaml",
    .help = "search for the best values of config keys: many trials on groups of ranks",
    .details =
        "base: fashion.yaml             # config of all trials, relative to the sweep file\n"
        "output: sweeps/fashion         # table, trials and the best config with its model\n"
        "parameters:                    # keys that vary: values, or a range\n"
        "  optimizer.lr: {log_uniform: [1e-5, 1e-1]}    # or uniform, integer, log_integer\n"
        "  model.0.units: [64, 128, 256]\n"
        "search: halving                # grid | random | sobol | halving\n"
        "trials: 81                     # not with grid\n"
        "halving: {factor: 3, first: 1} # rung r: the best 1/3^r of the trials, to epoch 3^r\n"
        "ranks_per_trial: 2             # the ranks form groups, which train trials at the same time\n"
        "monitor: val_accuracy          # default: train.monitor of the base\n"
        "seed: 1\n\n"
        "trials.csv has a row for each trial and rung. The same command, run again, continues the sweep, "
        "on\n"
        "any number of ranks; signals and train.max_time stop it with code 75 after saving. A trial that\n"
        "diverges or fails is a result. With --part, the jobs of an array share a sweep: each trains the\n"
        "trials whose numbers are I modulo N; afterwards, the command without --part writes the best "
        "trial.\n"
        "`lockstep keys --sweep` lists all keys.",
    .options = {{"output", 'o', "DIR", "directory of the sweep; overrides output:"},
                {"part", 0, "I/N", "part I, from 0, of the trials, which N jobs divide; not with halving"},
                {"overwrite", 0, NULL, "removal of the sweep in the directory"}},
    .run = run};
