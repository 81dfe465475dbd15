/* lockstep keys: prints every config key, from the tables of the modules. */
#include "internal.h"

static void print_section(const char *prefix, const char *title, const ls_key *keys) {
  printf("\n# %s\n", title);
  ls_config_describe(stdout, prefix, keys);
}

/* Prints a section for one of several types, such as an optimizer. */
static void print_type(const char *prefix, const char *kind, const char *name, const char *help,
                       const ls_key *keys) {
  char title[128];
  snprintf(title, sizeof title, "%s %s: %s", kind, name, help);
  print_section(prefix, title, keys);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  (void)a;
  if (!app_is_root(comm)) return LS_OK;
  printf("# top level\n");
  ls_config_describe(stdout, "", ls_top_keys);
  print_section("loss", "loss", ls_loss_keys);
  print_section("data", "data", ls_data_keys);
  for (const ls_layer_type *const *t = ls_layer_types; *t; t++)
    print_type("model.N", "model: layer", (*t)->name, (*t)->help, (*t)->keys);
  for (const ls_optim_type *const *t = ls_optim_types; *t; t++)
    print_type("optimizer", "optimizer: type", (*t)->name, (*t)->help, (*t)->keys);
  for (const ls_schedule_type *t = ls_schedule_types; t->name; t++)
    print_type("schedule", "schedule: type", t->name, t->help, t->keys);
  print_section("penalty", "penalty", ls_penalty_keys);
  print_section("train", "train", ls_train_keys);
  print_section("checkpoint", "checkpoint", ls_checkpoint_keys);
  print_section("comm", "comm", ls_sync_keys);
  return LS_OK;
}

const command app_keys = {.name = "keys",
                          .operands = "",
                          .help = "list every config key with type, range, default and meaning",
                          .run = run};
