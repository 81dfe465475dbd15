/* lockstep train. */
#include "command.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Without its process manager MPI starts N single ranks in silence, each training the whole model. */
static ls_status check_launcher(const ls_comm *comm) {
  const char *const tasks = getenv("SLURM_NTASKS");
  if (ls_comm_size(comm) > 1 || !tasks || strtol(tasks, NULL, 10) <= 1 || getenv("LOCKSTEP_SINGLE"))
    return LS_OK;
  return ls_fail(
      LS_ERR_CONFIG,
      "SLURM_NTASKS is %s but MPI knows of one rank: start it with mpirun or srun --mpi=pmix, or set "
      "LOCKSTEP_SINGLE=1 if one rank is meant",
      tasks);
}

/* Rank 0: a first run into the config's own folder would replace the config by the resolved one. */
static ls_status check_output(const char *config, const char *output) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/config.yaml", output);
  const bool is_config = ls_same_file(config, path);
  snprintf(path, sizeof path, "%s/checkpoints", output);
  if (!is_config || access(path, F_OK) == 0) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "%s: the run's config.yaml would replace this file; give another output than %s", config,
                 output);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const command *const c = &command_train;
  const char *const resume = argument_of(c, a, "resume");
  const ls_job_source source = {.path = a->positional[0],
                                .overrides = a->sets,
                                .n_overrides = a->n_sets,
                                .output = argument_of(c, a, "output")};
  const ls_train_options options = {.resume = resume ? resume : "auto",
                                    .overwrite = argument_of(c, a, "overwrite") != NULL};
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  ls_status status = ls_comm_agree(comm, check_launcher(comm));
  if (status == LS_OK && options.overwrite && resume && strcmp(resume, "never") != 0)
    status = ls_fail(LS_ERR_CONFIG, "--overwrite starts anew and --resume %s does not: give one of them",
                     resume);
  if (status == LS_OK) status = ls_job_create(comm, &source, &job);
  if (status == LS_OK && !job->train.output)
    status = ls_fail(LS_ERR_CONFIG, "%s: no output directory: add `output: DIR`, or give --output DIR",
                     source.path);
  if (status == LS_OK)
    status = ls_comm_agree(comm, prints(comm) ? check_output(source.path, job->train.output) : LS_OK);
  if (status == LS_OK) status = ls_setup_create(comm, job, &setup);
  if (status == LS_OK) status = ls_train(comm, setup, &options);
  ls_setup_destroy(comm, &setup);
  ls_job_destroy(&job);
  return status;
}

const command command_train = {
    .name = "train",
    .operands = "CONFIG.yaml",
    .help = "trains the model that a config describes",
    .details = "The run directory gets config.yaml, metrics.csv, diagnostics.csv, train.log, model.h5 and "
               "checkpoints/. "
               "Running the same\n"
               "command again goes on from the newest checkpoint, on any number of ranks.",
    .least = 1,
    .most = 1,
    .options = {OPTION_SET,
                {.name = "output",
                 .letter = 'o',
                 .takes_value = true,
                 .value_name = "DIR",
                 .help = "the run directory; wins over output:"},
                {.name = "resume",
                 .takes_value = true,
                 .value_name = "auto|never|FILE",
                 .help = "go on from the newest checkpoint (auto, the default), refuse to, or from FILE"},
                {.name = "overwrite", .help = "remove the run in that directory first"}},
    .run = run};
