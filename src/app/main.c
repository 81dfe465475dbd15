/* lockstep: the command line, usage, the exit code. */
#include "lockstep/train.h"

#include "command.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const command *const commands[] = {&command_train,   &command_check,     &command_evaluate,
                                          &command_predict, &command_explain,   &command_import,
                                          &command_info,    &command_gradcheck, &command_lr_find,
                                          &command_plan,    &command_keys};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_usage(void) {
  printf("lockstep %s: trains neural networks by data-parallel backpropagation over MPI\n\n"
         "usage: lockstep COMMAND ...      alone, or under mpirun or srun\n\n",
         LS_VERSION);
  for (size_t i = 0; i < COMMANDS; i++) printf("  %-10s %s\n", commands[i]->name, commands[i]->help);
  printf(
      "\n  lockstep COMMAND --help      the options of a command\n"
      "  lockstep --version\n\n"
      "exit codes: 0 done, 2 usage or config, 3 data, 4 no usable model or checkpoint, 5 output can't be\n"
      "written, 6 numeric (NaN, divergence), 70 internal error, 75 stopped after saving: run it again\n");
}

static void print_command_usage(const command *c) {
  printf("usage: lockstep %s %s", c->name, c->operands);
  for (const option_spec *o = c->options; o->name; o++)
    printf(o->takes_value ? " [--%s %s]" : " [--%s]", o->name, o->value_name);
  printf("\n\n%s\n", c->help);
  if (c->details) printf("\n%s\n", c->details);
  if (c->options[0].name) printf("\n");
  for (const option_spec *o = c->options; o->name; o++) {
    char words[64];
    snprintf(words, sizeof words, "--%s %s", o->name, o->takes_value ? o->value_name : "");
    printf("  %c%c %-28s %s\n", o->letter ? '-' : ' ', o->letter ? o->letter : ' ', words, o->help);
  }
}

const char *argument_of(const command *c, const arguments *a, const char *name) {
  for (size_t i = 0; c->options[i].name; i++)
    if (strcmp(c->options[i].name, name) == 0) return a->values[i];
  LS_ASSERT(!"an option of the command's table");
  return NULL;
}

ls_status read_count(const char *name, const char *text, uint64_t fallback, uint64_t most, uint64_t *out) {
  char *end = NULL;
  *out = fallback;
  if (!text) return LS_OK;
  const unsigned long long value = strtoull(text, &end, 10);
  if (!isdigit((unsigned char)text[0]) || *end || value < 1 || value > most)
    return ls_fail(LS_ERR_CONFIG, "--%s %s: a whole number from 1 to %llu is expected", name, text,
                   (unsigned long long)most);
  *out = value;
  return LS_OK;
}

ls_status run_with_setup(ls_comm *comm, const arguments *a,
                         ls_status (*work)(ls_comm *comm, const arguments *a, ls_setup *setup)) {
  const ls_job_source source = {.path = a->positional[0], .overrides = a->sets, .n_overrides = a->n_sets};
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  ls_status status = ls_job_create(comm, &source, &job);
  if (status == LS_OK) status = ls_setup_create(comm, job, &setup);
  if (status == LS_OK) status = work(comm, a, setup);
  ls_setup_destroy(comm, &setup);
  ls_job_destroy(&job);
  return status;
}

/* The tables that getopt_long wants. Returns the number of options. */
static int make_tables(const command *c, struct option longs[OPTIONS_MAX + 2],
                       char letters[2 * OPTIONS_MAX + 4]) {
  int n = 0;
  snprintf(letters, 2 * OPTIONS_MAX + 4, ":h");
  for (; c->options[n].name; n++) {
    const option_spec *const o = &c->options[n];
    longs[n] = (struct option){o->name, o->takes_value ? required_argument : no_argument, NULL, 256 + n};
    if (o->letter) ls_append(letters, 2 * OPTIONS_MAX + 4, "%c%s", o->letter, o->takes_value ? ":" : "");
  }
  longs[n] = (struct option){"help", no_argument, NULL, 'h'};
  longs[n + 1] = (struct option){0};
  return n;
}

/* The index in the command's table of what getopt returned, or -1. */
static int option_index(const command *c, int code, int n) {
  if (code >= 256) return code - 256;
  for (int i = 0; i < n; i++)
    if (c->options[i].letter == code) return i;
  return -1;
}

static ls_status fail_usage(const command *c, const char *what, const char *word) {
  return ls_fail(LS_ERR_CONFIG, "%s %s; see lockstep %s --help", what, word, c->name);
}

static ls_status store_option(const command *c, int index, arguments *a) {
  if (strcmp(c->options[index].name, "set") != 0) {
    a->values[index] = optarg ? optarg : "";
    return LS_OK;
  }
  if (a->n_sets == SET_MAX) return fail_usage(c, "too many", "--set");
  a->sets[a->n_sets++] = optarg;
  return LS_OK;
}

/* Sorts out the words behind the command's name. *help: --help was among them. */
static ls_status parse(const command *c, int argc, char **argv, arguments *a, bool *help) {
  struct option longs[OPTIONS_MAX + 2];
  char letters[2 * OPTIONS_MAX + 4];
  const int n = make_tables(c, longs, letters);
  opterr = 0;
  optind = 1;
  for (int code = getopt_long(argc, argv, letters, longs, NULL); code != -1;
       code = getopt_long(argc, argv, letters, longs, NULL)) {
    if (code == 'h') *help = true;
    if (code == 'h') return LS_OK;
    if (code == ':') return fail_usage(c, "a value is missing after", argv[optind - 1]);
    const char letter[] = {'-', (char)optopt, '\0'}; /* 0 or beyond a char where the option was a word */
    const int index = code == '?' ? -1 : option_index(c, code, n);
    if (index < 0)
      return fail_usage(c, "unknown option", optopt > 0 && optopt < 256 ? letter : argv[optind - 1]);
    const ls_status status = store_option(c, index, a);
    if (status != LS_OK) return status;
  }
  for (; optind < argc; optind++) {
    if (a->n_positional == ls_size_min(c->most, POSITIONAL_MAX))
      return fail_usage(c, "one too many:", argv[optind]);
    a->positional[a->n_positional++] = argv[optind];
  }
  return a->n_positional < c->least ? fail_usage(c, "missing:", c->operands) : LS_OK;
}

static ls_status run_command(ls_comm *comm, const command *c, int argc, char **argv) {
  arguments a = {0};
  bool help = false;
  const ls_status status = ls_comm_agree(comm, parse(c, argc, argv, &a, &help));
  if (status != LS_OK) return status;
  if (!help) return c->run(comm, &a);
  if (prints(comm)) print_command_usage(c);
  return LS_OK;
}

static ls_status run(ls_comm *comm, int argc, char **argv) {
  const char *const name = argc > 1 ? argv[1] : "";
  for (size_t i = 0; i < COMMANDS; i++)
    if (strcmp(name, commands[i]->name) == 0) return run_command(comm, commands[i], argc - 1, argv + 1);
  if (strcmp(name, "--version") == 0) {
    if (prints(comm)) printf("lockstep %s\n", LS_VERSION);
    return LS_OK;
  }
  const bool wants_help =
      strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
  if (wants_help && prints(comm)) print_usage();
  if (wants_help) return LS_OK;
  if (name[0] == '\0') return ls_fail(LS_ERR_CONFIG, "a command is missing; see lockstep --help");
  return ls_fail(LS_ERR_CONFIG, "unknown command %s; see lockstep --help", name);
}

/* After TERM mpirun kills within seconds, and MPI's orderly end would take longer: leave at once, all
 * alike. */
static void leave_if_terminated(ls_comm *comm) {
  uint64_t terminated = ls_stop_signal() == SIGTERM;
  ls_comm_sum_u64(comm, &terminated, 1);
  if (terminated == 0 || ls_comm_size(comm) == 1) return;
  fflush(NULL);
  ls_comm_barrier(comm);
  _exit(LS_STOPPED);
}

/* What was printed must have gone out. */
static ls_status end_output(void) {
  const bool failed = fflush(stdout) != 0 || ferror(stdout);
  return failed ? ls_fail(LS_ERR_OUTPUT, "standard output: %s", strerror(errno)) : LS_OK;
}

int main(int argc, char **argv) {
  ls_comm *comm = NULL;
  if (argc > 1 && strcmp(argv[1], command_train.name) == 0)
    ls_stop_install(); /* others end as processes do */
  ls_status status = ls_comm_create(&argc, &argv, &comm);
  if (status != LS_OK) return (int)status;
  ls_log_enable(prints(comm));
  status = run(comm, argc, argv);
  if (status == LS_OK) status = ls_comm_agree(comm, end_output());
  if (status == LS_STOPPED)
    ls_log(LS_LOG_WARNING, "%s", ls_message());
  else if (status != LS_OK)
    ls_log(LS_LOG_ERROR, "%s", ls_message());
  if (status == LS_STOPPED) leave_if_terminated(comm);
  ls_comm_destroy(&comm);
  return (int)status;
}
