/* lockstep check: all but the training. */
#include "command.h"

#include <stdlib.h>

static size_t count_parameters(const ls_layer *layer) {
  size_t count = 0;
  for (size_t p = 0; p < layer->n_params; p++) count += ls_param_count(&layer->params[p]);
  return count;
}

#define INDENT 2 /* of the layers inside another */

/* A row a layer, with its own parameters; those inside it below, further in. */
static void print_layer(const ls_layer *layer, size_t index, int depth) {
  char name[64];
  const int indent = depth * INDENT;
  snprintf(name, sizeof name, "%*s%zu", indent, "", index);
  printf("%-5s ", name);
  snprintf(name, sizeof name, "%*s%s", indent, "", layer->type->name);
  printf("%-12s %10zu %10zu %12zu\n", name, layer->n_in, layer->n_out, count_parameters(layer));
  for (size_t k = 0; k < layer->n_children; k++) print_layer(layer->children[k], k, depth + 1);
}

static void print_layers(const ls_model *model) {
  printf("\n%-5s %-12s %10s %10s %12s\n", "layer", "kind", "inputs", "outputs", "parameters");
  for (size_t i = 0; i < model->n_layers; i++) print_layer(model->layers[i], i, 0);
  printf("%40s %12zu\n", "in all", model->n_params);
}

static void print_data(const char *name, const ls_split *part) {
  char shape[128];
  if (part->view.n == 0) return;
  printf("%-10s  %llu samples, x %s%s\n", name, (unsigned long long)part->view.n,
         ls_array_describe(&part->dataset->x_array, shape, sizeof shape),
         part->dataset->has_weights ? ", with weights" : "");
}

static void print_memory(const ls_comm *comm, const ls_setup *setup) {
  const double mb = 1e-6;
  const ls_job *const job = setup->job;
  const ls_split *const parts[] = {&setup->train, &setup->validation, &setup->test};
  double data = 0.0;
  for (size_t i = 0; i < 3; i++)
    if (parts[i]->dataset && !parts[i]->is_shared) data += (double)parts[i]->dataset->reader->bytes;
  const double slots = (double)(job->optim->type->n_slots * job->model->n_params * sizeof(float));
  printf("\nmemory      %.1f MB of data a node; of each of %d rank%s: %.1f MB model with activations, %.1f "
         "MB optimizer; of rank 0 %.1f MB more for the copy that checkpoints are made of\n",
         data * mb, ls_comm_size(comm), ls_comm_size(comm) == 1 ? "" : "s",
         (double)(ls_model_bytes(job->model) + setup->train.batch->arena.capacity) * mb,
         slots / (job->sync.mode == LS_SYNC_SHARDED ? ls_comm_size(comm) : 1) * mb,
         (double)ls_saver_bytes(job->model, job->optim) * mb);
  printf("threads     %d of BLAS in each rank\n", setup->threads);
}

static ls_status print_all(const ls_comm *comm, const ls_setup *setup) {
  char *config = NULL;
  const ls_status status = ls_config_print(setup->job->config, &config);
  if (status != LS_OK) return status;
  printf("%s\n", config);
  print_data("training", &setup->train);
  print_data("validation", &setup->validation);
  print_data("test", &setup->test);
  print_layers(setup->job->model);
  print_memory(comm, setup);
  printf("fine: nothing is wrong with this config and its data\n");
  free(config);
  return LS_OK;
}

static ls_status check(ls_comm *comm, const arguments *a, ls_setup *setup) {
  (void)a;
  return ls_comm_agree(comm, prints(comm) ? print_all(comm, setup) : LS_OK);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  return run_with_setup(comm, a, check);
}

const command command_check = {
    .name = "check",
    .operands = "CONFIG.yaml",
    .help = "does all but the training: config resolved, data read, layers, parameters, memory",
    .least = 1,
    .most = 1,
    .options = {OPTION_SET},
    .run = run};
