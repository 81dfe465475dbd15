/* The description of a subcommand, and helpers that subcommands share. */
#ifndef LOCKSTEP_APP_INTERNAL_H
#define LOCKSTEP_APP_INTERNAL_H

#include "lockstep/comm.h"
#include "lockstep/data.h"
#include "lockstep/import.h"
#include "lockstep/job.h"
#include "lockstep/metric.h"

#define OPTIONS_MAX 24
#define SET_MAX     256

/* An option `--name VALUE` (or `-c VALUE`), or a flag `--name`. */
typedef struct option_spec {
  const char *name;
  char letter;            /* 0: none */
  const char *value_name; /* "DIR"; NULL: a flag */
  const char *help;       /* a noun phrase */
} option_spec;

typedef struct command command;

/* A parsed command line. Borrows texts from argv. */
typedef struct arguments {
  const command *command;
  const char *const *positional; /* (n_positional) */
  size_t n_positional;
  const char *values[OPTIONS_MAX]; /* in the order of the command's table; NULL: not given; flags: "" */
  const char *sets[SET_MAX];       /* the values of --set */
  size_t n_sets;
} arguments;

struct command {
  const char *name;
  const char *operands;             /* "MODEL.h5 DATA.h5"; all are required; "SOURCE...": one or more */
  const char *help;                 /* one line */
  const char *details;              /* more lines for --help; or NULL */
  option_spec options[OPTIONS_MAX]; /* ended by a NULL name */
  /* One of these; both are collective. `work` receives the config's data and its built model. */
  ls_status (*run)(ls_comm *comm, const arguments *a);
  ls_status (*work)(ls_comm *comm, const arguments *a, ls_setup *setup);
};

extern const command app_train, app_check, app_evaluate, app_predict, app_explain, app_export, app_import,
    app_info, app_init, app_gradcheck, app_lr_find, app_plan, app_report, app_sweep, app_keys;

extern const command *const app_commands[]; /* all, ended by NULL */
extern const char app_purpose[], app_exit_codes[];

/* A section of the config keys: a table, perhaps of one of several types, such as an optimizer. */
typedef struct app_section {
  const char *prefix; /* of the keys: "optimizer"; "": none */
  const char *title;  /* "optimizer: type sgd: w -= lr g" */
  const char *type;   /* "sgd", the value of the first key; NULL: the section has no types */
  const ls_key *keys;
} app_section;

/* Local. Calls `visit` for each section of the config. */
void app_visit_sections(void (*visit)(void *context, const app_section *section), void *context);

/* The option --set, which may be repeated. */
#define OPTION_SET                                                                                         \
  { "set", 0, "KEY=VALUE", "override of a config key; may be repeated" }

/* The options that describe a table (CSV). */
#define OPTIONS_TABLE(label_help)                                                                          \
  {"header", 0, "yes|no|auto", "CSV: whether the first row has the names of the columns (default: auto)"}, \
      {"label", 0, "COLUMNS", label_help}, {"weight", 0, "COLUMN", "CSV: column of sample weights"},       \
      {"drop", 0, "COLUMNS", "CSV: columns to ignore, such as an index"}, {                                \
    "columns", 0, "COLUMNS", "CSV: features, in this order (default: all other columns)"                   \
  }

/* Those for an import. */
#define OPTIONS_IMPORT_TABLE                                                                               \
  {"categories", 0, "COLUMNS", "CSV: features whose numbers are categories, as words always are"}, {       \
    "missing", 0, "mean|NUMBER|drop", "CSV: value of missing cells; drop leaves out their rows"            \
  }

/* Those for data of a model. */
#define OPTIONS_MODEL_TABLE                                                                                \
  {"missing", 0, "mean|NUMBER", "CSV: value of missing cells; mean: of the training data"}, {              \
    "unknown", 0, "error|zero", "CSV: words that the model does not know; zero: features of 0"             \
  }

/* ---------------------------------------------------------------------- options */

/* Local. The value of an option of the command's table; NULL if it was not given. */
const char *app_option(const arguments *a, const char *name);

/* Local. The same for an option that the command may lack. */
const char *app_option_if_any(const arguments *a, const char *name);

/* Local. Read a number, or a whole number, from `low` to `high` into *value, which stays unchanged if the
 * option was not given. LS_ERR_CONFIG. */
ls_status app_read_number(const arguments *a, const char *name, double low, double high, double *value);
ls_status app_read_count(const arguments *a, const char *name, uint64_t low, uint64_t high,
                         uint64_t *value);

/* A unit of an option's number. */
typedef struct app_unit {
  const char *name;
  double factor;
} app_unit;

/* Local. Reads a number above 0 with its unit, of a table that a NULL name ends; 0 without the option.
 * example: for the message ("2us"). LS_ERR_CONFIG. */
ls_status app_read_quantity(const arguments *a, const char *name, const app_unit *units,
                            const char *example, double *out);

/* Local. Calls `visit` for each index in the option's list, such as `0,5,10-19`. Each must be below n.
 * `item` is the noun for messages ("sample"). LS_ERR_CONFIG. */
ls_status app_read_list(const arguments *a, const char *name, const char *item, uint64_t n,
                        void (*visit)(void *context, uint64_t index), void *context);

/* Local. Stores the value of --output, which must be given and end with one of `endings` (ended by NULL;
 * NULL: any name). LS_ERR_CONFIG. */
ls_status app_read_output(const arguments *a, const char *const *endings, const char **output);

/* Local. Reads the options of OPTIONS_TABLE and OPTIONS_IMPORT_TABLE. LS_ERR_CONFIG. */
ls_status app_read_table(const arguments *a, ls_table_options *table);

/* Local. Stores the position of an option's value in `choices` (ended by NULL) in *value, which stays
 * unchanged if the option was not given. LS_ERR_CONFIG. */
ls_status app_read_choice(const arguments *a, const char *name, const char *const *choices, int *value);

/* Local. Whether a text ends with one of `endings` (ended by NULL). */
bool app_ends_with(const char *text, const char *const *endings);

/* -------------------------------------------------------------- configs and models */

/* Local. Whether this rank prints. */
static inline bool app_is_root(const ls_comm *comm) {
  return ls_comm_rank(comm) == 0;
}

/* Local. The config file and overrides of a command whose first operand is a config. */
ls_job_source app_job_source(const arguments *a);

/* Local. Appends a blank and a word of a command line, with the quotes that a shell needs. */
void app_add_word(char *text, size_t size, const char *word);

/* Local. The given command without the options that choose a start, which resumes a run (again.c). NULL if
 * it is too long for `text`. */
const char *app_command_again(const arguments *a, char *text, size_t size);

/* Local; rank 0. LS_ERR_CONFIG if `output` is the model or the data, the operands of the command. */
ls_status app_check_output(const arguments *a, const char *output);

/* Options that name arrays of the data. */
#define OPTION_X                                                                                           \
  { "x", 0, "NAME", "name of the array of inputs" }
#define OPTION_MEMORY                                                                                      \
  {                                                                                                        \
    "memory", 0, "auto|resident|stream",                                                                   \
        "place of the samples: in memory, or read from the file as they are used"                          \
  }
#define OPTION_Y                                                                                           \
  { "y", 0, "NAME", "name of the array of targets, also in another file: FILE:/PATH" }

extern const char *const app_memory_names[]; /* the values of --memory, in the order of ls_data_memory */

/* The data of a command, the second operand. */
typedef struct app_data {
  ls_dataset *dataset;
  char *temporary; /* owned, rank 0: a table was imported to this file, which still exists; or NULL */
} app_data;

/* Collective. Opens data for a saved model: HDF5, or a table (CSV; `-` is standard input) after its
 * conversion to a temporary file beside `output` or, if that is NULL, in the working directory. Arrays have
 * the names of --x and --y, if the command has these options; otherwise those of the training data, or
 * usual names. app_close_data is needed after a failure too. */
ls_status app_open_data(ls_comm *comm, const arguments *a, const ls_predictor *predictor,
                        const char *output, bool with_targets, app_data *out);
void app_close_data(ls_comm *comm, app_data *data);

/* Local; rank 0. The name of a class: from the model file, or its number, written to `text`. */
const char *app_class_name(const ls_predictor *predictor, size_t index, char *text, size_t size);

#define APP_CELL_SIZE 128

/* Local. A name as a table cell of |width| characters, at most 24: cut, or padded after it (before it if
 * width is negative). Writes UTF-8 to `text` and returns it. */
const char *app_cell(const char *name, int width, char text[APP_CELL_SIZE]);

/* ------------------------------------------------------------------------- JSON */

typedef struct app_number {
  const char *name;
  double value;
} app_number;

/* The option --json. */
#define OPTION_JSON                                                                                        \
  { "json", 0, NULL, "output as one JSON object" }

/* Local. Write to stdout; each call adds the comma before it, if one is needed. `name` is NULL in a list.
 * Numbers have 9 digits, counts (whole numbers, or sums of weights) 15; NaN and infinity become null, as
 * does the text NULL. Texts are escaped; bytes that are not UTF-8 become U+FFFD. */
void app_json_open(const char *name, char bracket);
void app_json_close(char bracket);
void app_json_print(int digits, size_t n, const app_number *numbers);
void app_json_text(const char *name, const char *text);
void app_json_bool(const char *name, bool value);
void app_json_texts(const char *name, char *const *texts, size_t n);
void app_json_dims(const char *name, const ls_shape *shape);
void app_json_array(const char *name, const ls_array *array); /* its dims */

/* Local. Writes a node of a config: plain scalars become numbers, booleans, null or texts. */
void app_json_node(const char *name, const ls_node *node);

/* APP_JSON_NUMBERS({"mse", mse}, {"mae", mae}) */
#define APP_JSON_NUMBERS(...) APP_JSON_PRINT(9, __VA_ARGS__)
#define APP_JSON_COUNTS(...)  APP_JSON_PRINT(15, __VA_ARGS__)
#define APP_JSON_PRINT(digits, ...)                                                                        \
  app_json_print(digits, sizeof((const app_number[]){__VA_ARGS__}) / sizeof(app_number),                   \
                 (const app_number[]){__VA_ARGS__})

#endif
