/* lockstep train: trains a model or resumes its training. */
#include "lockstep/train.h"

#include "internal.h"
#include "lockstep/rundir.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Rank 0. Checks the output before the data are read. A first run in the config's own folder would
 * overwrite a config named config.yaml. */
static ls_status check_output(const char *config, const char *output) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/config.yaml", output);
  const bool is_config = ls_same_file(config, path);
  snprintf(path, sizeof path, "%s/checkpoints", output);
  if (!is_config || access(path, F_OK) == 0) return ls_rundir_check(output);
  return ls_fail(LS_ERR_CONFIG,
                 "%s: the run would overwrite this file by its config.yaml; choose an output other than %s",
                 config, output);
}

/* Local. Rejects options that contradict each other. */
static ls_status check_options(const arguments *a) {
  const char *const resume = app_option(a, "resume");
  const char *const init_from = app_option(a, "init-from");
  const char *const init_map = app_option(a, "init-map");
  const char *const init_layers = app_option(a, "init-layers");
  const bool resumes = resume && strcmp(resume, "never") != 0;
  if (resume && strcmp(resume, "auto") == 0 && app_option(a, "overwrite"))
    return ls_fail(LS_ERR_CONFIG,
                   "--overwrite: starts a new run, but --resume auto continues one; give only one of them");
  if (init_layers && !init_from)
    return ls_fail(LS_ERR_CONFIG, "--init-layers %s: the model is missing; add --init-from MODEL.h5",
                   init_layers);
  if (init_map && !(init_from && ls_train_is_safetensors(init_from)))
    return ls_fail(LS_ERR_CONFIG,
                   "--init-map %s: names tensors of a safetensors file; add --init-from FILE.safetensors",
                   init_map);
  if (resumes && strcmp(resume, "auto") != 0 && init_from)
    return ls_fail(LS_ERR_CONFIG,
                   "--init-from: starts a new run, but --resume %s continues one; give only one of them",
                   resume);
  return LS_OK;
}

static void set_flag(void *context, uint64_t layer) {
  ((bool *)context)[layer] = true;
}

/* Collective. Checks the options that need the job. */
static ls_status check_job(ls_comm *comm, const arguments *a, const ls_job *job, bool *layers) {
  const char *const path = a->positional[0];
  const char *const output = job->train.output;
  ls_status status = LS_OK;
  if (app_option(a, "init-layers"))
    status = app_read_list(a, "init-layers", "layer", job->model->n_layers, set_flag, layers);
  if (status == LS_OK && !output)
    status = ls_fail(LS_ERR_CONFIG, "%s: output: missing; add `output: DIR`, or give --output DIR", path);
  if (status == LS_OK && app_is_root(comm)) status = check_output(path, output);
  return ls_comm_agree(comm, status);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const char *const resume = app_option(a, "resume");
  char again[LS_MESSAGE_MAX - 512 - PATH_MAX];
  bool layers[LS_LAYERS_MAX] = {false};
  ls_modelfile *resumed = NULL;
  const ls_train_options options = {.resume = resume ? resume : "auto",
                                    .overwrite = app_option(a, "overwrite") != NULL,
                                    .command = app_command_again(a, again, sizeof again),
                                    .init_from = app_option(a, "init-from"),
                                    .init_map = app_option(a, "init-map"),
                                    .init_layers = app_option(a, "init-layers") ? layers : NULL,
                                    .found = &resumed};
  ls_job_source source = app_job_source(a);
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  source.output = app_option(a, "output");
  ls_status status = ls_comm_agree(comm, check_options(a));
  if (status == LS_OK) status = ls_job_create(comm, &source, &job);
  if (status == LS_OK) status = check_job(comm, a, job, layers);
  if (status == LS_OK) status = ls_train_find_resumed(comm, job, &options, &resumed);
  if (status == LS_OK) status = ls_setup_create(comm, job, resumed, &setup);
  if (status == LS_OK) status = ls_train(comm, setup, &options);
  ls_modelfile_close(&resumed);
  ls_setup_destroy(comm, &setup);
  ls_job_destroy(&job);
  return status;
}

const command app_train = {
    .name = "train",
    .operands = "CONFIG.yaml",
    .help = "train the model of a config, or resume its training",
    .details =
        "The run directory receives config.yaml, metrics.csv, diagnostics.csv, train.log, model.h5 and\n"
        "checkpoints/. The same command, run again, resumes from the newest checkpoint, on any number of\n"
        "ranks. A job that Slurm has requeued does so with --overwrite and --resume FILE too.\n\n"
        "--init-from starts a new run with the weights of another model, for fine-tuning: all weights of\n"
        "the same path and shape or, with --init-layers, all weights of the listed layers. The new run\n"
        "normalises inputs by its own data; a warning reports features whose range differs much from that\n"
        "of the other model. Features and classes in another order are found by name. A run that resumes\n"
        "ignores --init-from.\n\n"
        "FILE.safetensors has weights of PyTorch. --init-map MAP.yaml has a line for each block to read,\n"
        "such as 0-conv2d/W: features.0.weight; info MODEL.h5 prints the paths of the blocks. Values are\n"
        "transposed as the layers need. Without a map, tensors must have the names that export writes.",
    .options = {OPTION_SET,
                {"output", 'o', "DIR", "run directory; overrides output:"},
                {"resume", 0, "auto|never|FILE",
                 "newest checkpoint, if any (auto, the default); none (never); or FILE"},
                {"init-from", 0, "FILE",
                 "model, checkpoint or safetensors file with the weights of a new run"},
                {"init-map", 0, "MAP.yaml", "YAML file that assigns tensors to block paths"},
                {"init-layers", 0, "LIST",
                 "layers to initialise from it, which must fit: numbers from 0 and ranges, as in 0,2-3"},
                {"overwrite", 0, NULL,
                 "removal of the run in the directory, or of its checkpoints later than --resume FILE"}},
    .run = run};
