/* lockstep train. */
#include "lockstep/train.h"

#include "command.h"
#include "lockstep/rundir.h"

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

/* Rank 0: whether the output can be written, which is told before the data are read. A first run into the
 * config's own folder would replace the config by the resolved one. */
static ls_status check_output(const char *config, const char *output) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/config.yaml", output);
  const bool is_config = ls_same_file(config, path);
  snprintf(path, sizeof path, "%s/checkpoints", output);
  if (!is_config || access(path, F_OK) == 0) return ls_rundir_check(output);
  return ls_fail(LS_ERR_CONFIG,
                 "%s: the run's config.yaml would replace this file; give another output than %s", config,
                 output);
}

/* Local. Options that say different things; `resume` and `init_layers` as they were given, or NULL. */
static ls_status check_options(const ls_train_options *options, const char *resume,
                               const char *init_layers) {
  const bool goes_on = resume && strcmp(resume, "never") != 0;
  const bool is_file = goes_on && strcmp(resume, "auto") != 0;
  if (options->overwrite && goes_on)
    return ls_fail(LS_ERR_CONFIG, "--overwrite starts anew and --resume %s does not: give one of them",
                   resume);
  if (init_layers && !options->init_from)
    return ls_fail(LS_ERR_CONFIG, "--init-layers %s: of which model? Add --init-from MODEL.h5",
                   init_layers);
  if (options->init_from && is_file)
    return ls_fail(LS_ERR_CONFIG,
                   "--init-from starts a new run and --resume %s goes on with one: give one of them",
                   resume);
  return LS_OK;
}

/* Local. The list of layers of which there are n, as flags. */
static ls_status read_layers(const char *list, size_t n, bool *layers) {
  const char *text = list;
  do {
    uint64_t first = 0;
    uint64_t last = 0;
    if (!read_range(&text, &first, &last))
      return ls_fail(LS_ERR_CONFIG,
                     "--init-layers %s: numbers from 0 and ranges are expected, such as 0,2-3", list);
    if (last >= n)
      return ls_fail(LS_ERR_CONFIG, "--init-layers %s: there is no layer %llu: the model has %zu, from 0",
                     list, (unsigned long long)last, n);
    for (uint64_t i = first; i <= last; i++) layers[i] = true;
  } while (*text++ == ',');
  return LS_OK;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const command *const c = &command_train;
  const char *const resume = argument_of(c, a, "resume");
  const ls_job_source source = {.path = a->positional[0],
                                .overrides = a->sets,
                                .n_overrides = a->n_sets,
                                .output = argument_of(c, a, "output")};
  const char *const init_layers = argument_of(c, a, "init-layers");
  bool layers[LS_LAYERS_MAX] = {false};
  const ls_train_options options = {.resume = resume ? resume : "auto",
                                    .overwrite = argument_of(c, a, "overwrite") != NULL,
                                    .init_from = argument_of(c, a, "init-from"),
                                    .init_layers = init_layers ? layers : NULL};
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  ls_status status = ls_comm_agree(comm, check_launcher(comm));
  if (status == LS_OK) status = ls_comm_agree(comm, check_options(&options, resume, init_layers));
  if (status == LS_OK) status = ls_job_create(comm, &source, &job);
  if (status == LS_OK)
    status =
        ls_comm_agree(comm, init_layers ? read_layers(init_layers, job->model->n_layers, layers) : LS_OK);
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
               "command again goes on from the newest checkpoint, on any number of ranks.\n\n"
               "--init-from starts a new run with the weights of another model, for fine-tuning: those of "
               "the same path\n"
               "and shape, or with --init-layers all of the layers it names. All else is the run's own, so "
               "inputs are\n"
               "normalised as its own data want it; a warning says where that is far from what the other "
               "model knows.\n"
               "A run that goes on from a checkpoint does not use it again.",
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
                {.name = "init-from",
                 .takes_value = true,
                 .value_name = "MODEL.h5",
                 .help = "start a new run with the weights of a model or checkpoint"},
                {.name = "init-layers",
                 .takes_value = true,
                 .value_name = "LIST",
                 .help = "of it only these layers, which must fit: numbers from 0 and ranges, as in 0,2-3"},
                {.name = "overwrite", .help = "remove the run in that directory first"}},
    .run = run};
