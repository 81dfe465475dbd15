/* What a subcommand is, and what they share. One file a subcommand. */
#ifndef LOCKSTEP_APP_COMMAND_H
#define LOCKSTEP_APP_COMMAND_H

#include "lockstep/comm.h"
#include "lockstep/data.h"
#include "lockstep/job.h"
#include "lockstep/metric.h"

#define OPTIONS_MAX    12
#define SET_MAX        256
#define POSITIONAL_MAX 256

/* An option `--name VALUE` (or `-c VALUE`), or a switch. */
typedef struct option_spec {
  const char *name;
  char letter; /* 0: none */
  bool takes_value;
  const char *value_name; /* "DIR" */
  const char *help;
} option_spec;

/* The words of a command line, sorted out. Borrowed from argv. */
typedef struct arguments {
  const char *positional[POSITIONAL_MAX];
  size_t n_positional;
  const char *values[OPTIONS_MAX]; /* of the options of the command's table; switches: "" or NULL */
  const char *sets[SET_MAX];       /* of every --set */
  size_t n_sets;
} arguments;

typedef struct command {
  const char *name;
  const char *operands;                                /* "CONFIG.yaml" */
  const char *help;                                    /* one line */
  const char *details;                                 /* more lines for --help; or NULL */
  size_t least, most;                                  /* positional arguments */
  option_spec options[OPTIONS_MAX];                    /* ended by a NULL name */
  ls_status (*run)(ls_comm *comm, const arguments *a); /* collective */
} command;

extern const command command_train, command_check, command_evaluate, command_predict, command_import,
    command_info, command_gradcheck, command_lr_find, command_explain, command_plan, command_keys;

/* The option `--set`, which several commands take; any number of times. */
#define OPTION_SET                                                                                         \
  { .name = "set", .takes_value = true, .value_name = "KEY=VALUE", .help = "overrides a key of the config" }

/* Local. The value of an option by its name; NULL where it was not given. */
const char *argument_of(const command *c, const arguments *a, const char *name);

/* Local. Whether this rank prints. */
static inline bool prints(const ls_comm *comm) {
  return ls_comm_rank(comm) == 0;
}

/* Collective. Does `work` with the config of the first operand, its data in memory and its model built. */
ls_status run_with_setup(ls_comm *comm, const arguments *a,
                         ls_status (*work)(ls_comm *comm, const arguments *a, ls_setup *setup));

/* Collective. Opens the data that a saved model is to be applied to. */
ls_status open_data_for(ls_comm *comm, const ls_predictor *loaded, const char *spec, bool with_targets,
                        ls_dataset **out);

/* Local. The name of a class: from the model's list, else its number, into `text`. Rank 0's. */
const char *class_name(const ls_modelfile *saved, size_t index, char *text, size_t size);

/* Local. "name": value with what is to follow; null where the value is not defined. A text in quotes. */
void print_json_number(const char *name, double value, const char *end);
void print_json_text(const char *text);

bool ends_with(const char *text, const char *end);

/* Local. The whole number, from 1 to `most`, that `text` gives for the option --name; `fallback` where text
 * is NULL. LS_ERR_CONFIG for anything else. */
ls_status read_count(const char *name, const char *text, uint64_t fallback, uint64_t most, uint64_t *out);

/* Local. The number or range that begins a list such as `0,5,10-19`; *text then stands at the comma behind
 * it or at the end. False where there is none. */
bool read_range(const char **text, uint64_t *first, uint64_t *last);

/* Local; rank 0's. The output must not replace what it is made from. */
ls_status check_inputs(const char *output, const char *model, const char *data);

#endif
