/* lockstep keys: prints every key of a config or of a sweep file, from the tables of the modules. */
#include "internal.h"
#include "lockstep/sweep.h"

typedef struct walk {
  void (*visit)(void *context, const app_section *section);
  void *context;
} walk;

static void visit_section(const walk *w, const char *prefix, const char *title, const ls_key *keys) {
  w->visit(w->context, &(app_section){.prefix = prefix, .title = title, .keys = keys});
}

/* One of several types, such as an optimizer. */
static void visit_type(const walk *w, const char *prefix, const char *kind, const char *name,
                       const char *help, const ls_key *keys) {
  char title[128];
  snprintf(title, sizeof title, "%s %s: %s", kind, name, help);
  w->visit(w->context, &(app_section){.prefix = prefix, .title = title, .type = name, .keys = keys});
}

void app_visit_sections(void (*visit)(void *context, const app_section *section), void *context) {
  const walk w = {.visit = visit, .context = context};
  visit_section(&w, "", "top level", ls_top_keys);
  visit_section(&w, "loss", "loss", ls_loss_keys);
  visit_section(&w, "data", "data", ls_data_keys);
  for (const ls_layer_type *const *t = ls_layer_types; *t; t++)
    visit_type(&w, "model.N", "model: layer", (*t)->name, (*t)->help, (*t)->keys);
  for (const ls_optim_type *const *t = ls_optim_types; *t; t++)
    visit_type(&w, "optimizer", "optimizer: type", (*t)->name, (*t)->help, (*t)->keys);
  for (const ls_schedule_type *t = ls_schedule_types; t->name; t++)
    visit_type(&w, "schedule", "schedule: type", t->name, t->help, t->keys);
  visit_section(&w, "penalty", "penalty", ls_penalty_keys);
  visit_section(&w, "train", "train", ls_train_keys);
  visit_section(&w, "checkpoint", "checkpoint", ls_checkpoint_keys);
  visit_section(&w, "comm", "comm", ls_sync_keys);
}

static void print_section(void *context, const app_section *section) {
  (void)context;
  if (section->prefix[0] != '\0') printf("\n");
  printf("# %s\n", section->title);
  ls_config_describe(stdout, section->prefix, section->keys);
}

static void visit_sweep(const walk *w) {
  visit_section(w, "", "sweep file", ls_sweep_keys);
  visit_section(w, "parameters.KEY", "parameters: a range of values of the key KEY", ls_sweep_range_keys);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const walk w = {.visit = print_section};
  if (app_is_root(comm) && app_option(a, "sweep"))
    visit_sweep(&w);
  else if (app_is_root(comm))
    app_visit_sections(print_section, NULL);
  return LS_OK;
}

const command app_keys = {.name = "keys",
                          .operands = "",
                          .help = "list every config key with type, range, default and meaning",
                          .options = {{"sweep", 0, NULL, "the keys of a file for lockstep sweep instead"}},
                          .run = run};
