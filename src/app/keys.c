/* lockstep keys: every config key, from the rooms' tables. */
#include "command.h"

static void print_section(const char *prefix, const char *title, const ls_key *keys) {
  printf("\n# %s\n", title);
  ls_config_describe(stdout, prefix, keys);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  (void)a;
  char title[128];
  if (!prints(comm)) return LS_OK;
  printf("# top level\n");
  ls_config_describe(stdout, "", ls_top_keys);
  print_section("data", "data", ls_data_keys);
  for (size_t i = 0; ls_layer_types[i]; i++) {
    snprintf(title, sizeof title, "model: layer %s: %s", ls_layer_types[i]->name, ls_layer_types[i]->help);
    print_section("model.N", title, ls_layer_types[i]->keys);
  }
  for (size_t i = 0; ls_optim_types[i]; i++) {
    snprintf(title, sizeof title, "optimizer: type %s: %s", ls_optim_types[i]->name,
             ls_optim_types[i]->help);
    print_section("optimizer", title, ls_optim_types[i]->keys);
  }
  for (size_t i = 0; ls_schedule_types[i]; i++) {
    snprintf(title, sizeof title, "schedule: type %s: %s", ls_schedule_types[i]->name,
             ls_schedule_types[i]->help);
    print_section("schedule", title, ls_schedule_types[i]->keys);
  }
  print_section("penalty", "penalty", ls_penalty_keys);
  print_section("train", "train", ls_train_keys);
  print_section("checkpoint", "checkpoint", ls_checkpoint_keys);
  print_section("comm", "comm", ls_sync_keys);
  return LS_OK;
}

const command command_keys = {.name = "keys",
                              .operands = "",
                              .help = "lists every config key with type, range, default and help",
                              .run = run};
