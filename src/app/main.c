/* lockstep: help, command line, exit code. */
#include "lockstep/train.h"

#include "internal.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------- help */

static void print_usage(void) {
  printf("lockstep %s: %s\n\n"
         "usage: lockstep COMMAND ...      alone, or under mpirun or srun\n\n",
         LS_VERSION, app_purpose);
  for (size_t i = 0; app_commands[i]; i++)
    printf("  %-10s %s\n", app_commands[i]->name, app_commands[i]->help);
  printf("\n  lockstep COMMAND --help      operands and options of a command\n"
         "  lockstep --version\n\n"
         "exit codes: %s\n",
         app_exit_codes);
}

static void print_command_usage(const command *c) {
  printf("usage: lockstep %s %s", c->name, c->operands);
  for (const option_spec *o = c->options; o->name; o++)
    printf(o->value_name ? " [--%s %s]" : " [--%s]", o->name, o->value_name);
  printf("\n\n%s\n", c->help);
  if (c->details) printf("\n%s\n", c->details);
  if (c->options[0].name) printf("\n");
  for (const option_spec *o = c->options; o->name; o++) {
    char words[64];
    snprintf(words, sizeof words, "--%s %s", o->name, o->value_name ? o->value_name : "");
    printf("  %c%c %-31s %s\n", o->letter ? '-' : ' ', o->letter ? o->letter : ' ', words, o->help);
  }
}

/* ---------------------------------------------------------------------- parsing */

/* Fills the tables for getopt_long. */
static void make_tables(const command *c, struct option longs[OPTIONS_MAX + 2],
                        char letters[2 * OPTIONS_MAX + 4]) {
  int n = 0;
  snprintf(letters, 2 * OPTIONS_MAX + 4, ":h");
  for (; c->options[n].name; n++) {
    const option_spec *const o = &c->options[n];
    longs[n] = (struct option){o->name, o->value_name ? required_argument : no_argument, NULL, 256 + n};
    if (o->letter) ls_append(letters, 2 * OPTIONS_MAX + 4, "%c%s", o->letter, o->value_name ? ":" : "");
  }
  longs[n] = (struct option){"help", no_argument, NULL, 'h'};
  longs[n + 1] = (struct option){0};
}

/* The index in the command's table of a valid code from getopt_long. */
static int option_index(const command *c, int code) {
  int i = 0;
  if (code >= 256) return code - 256;
  while (c->options[i].letter != code) i++;
  return i;
}

static ls_status fail_usage(const command *c, const char *what, const char *word) {
  return ls_fail(LS_ERR_CONFIG, "%s: %s; see lockstep %s --help", word, what, c->name);
}

static ls_status store_option(int index, arguments *a) {
  if (strcmp(a->command->options[index].name, "set") != 0) {
    a->values[index] = optarg ? optarg : "";
    return LS_OK;
  }
  if (a->n_sets == SET_MAX) return fail_usage(a->command, "given too many times", "--set");
  a->sets[a->n_sets++] = optarg;
  return LS_OK;
}

/* Describes an invalid option: code '?' or ':' of getopt_long. optopt is 0 for an unknown long option, and
 * above 255 for a flag that was given a value. */
static ls_status fail_option(const command *c, int code, const char *word) {
  const char letter[] = {'-', (char)optopt, '\0'};
  if (code == ':') return fail_usage(c, "the value is missing", word);
  if (optopt >= 256) return fail_usage(c, "this option does not accept a value", word);
  return fail_usage(c, "unknown option", optopt > 0 ? letter : word);
}

static size_t count_words(const char *text) {
  size_t n = text[0] != '\0';
  for (; *text; text++) n += *text == ' ';
  return n;
}

/* Parses the arguments after the command's name. *help: --help was given. */
static ls_status parse(const command *c, int argc, char **argv, arguments *a, bool *help) {
  struct option longs[OPTIONS_MAX + 2];
  char letters[2 * OPTIONS_MAX + 4];
  const size_t least = count_words(c->operands);
  const size_t most = strstr(c->operands, "...") ? SIZE_MAX : least;
  make_tables(c, longs, letters);
  a->command = c;
  opterr = 0;
  optind = 1;
  for (int code = getopt_long(argc, argv, letters, longs, NULL); code != -1;
       code = getopt_long(argc, argv, letters, longs, NULL)) {
    if (code == 'h') *help = true;
    if (code == 'h') return LS_OK;
    if (code == ':' || code == '?') return fail_option(c, code, argv[optind - 1]);
    LS_TRY(store_option(option_index(c, code), a));
  }
  a->positional = (const char *const *)(argv + optind); /* getopt_long has moved them to the end */
  a->n_positional = (size_t)(argc - optind);
  if (a->n_positional > most) return fail_usage(c, "one argument too many", a->positional[most]);
  return a->n_positional < least ? fail_usage(c, "missing", c->operands) : LS_OK;
}

static ls_status with_setup(ls_comm *comm, const arguments *a) {
  const ls_job_source source = app_job_source(a);
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  ls_status status = ls_job_create(comm, &source, &job);
  if (status == LS_OK) status = ls_setup_create(comm, job, NULL, &setup);
  if (status == LS_OK) status = a->command->work(comm, a, setup);
  ls_setup_destroy(comm, &setup);
  ls_job_destroy(&job);
  return status;
}

/* Local. Rejects one rank where several were started: each would do the whole work. In a batch job of
 * several tasks, only training is rejected, as the script may run other commands once. */
static ls_status check_launcher(const ls_comm *comm, bool trains) {
  const char *const tasks = trains && ls_comm_size(comm) == 1 ? getenv("SLURM_NTASKS") : NULL;
  const char *const started = ls_comm_unknown_launcher(comm);
  const bool has_tasks = !started && tasks && strtol(tasks, NULL, 10) > 1;
  if ((!started && !has_tasks) || getenv("LOCKSTEP_SINGLE")) return LS_OK;
  return ls_fail(
      LS_ERR_CONFIG,
      "%s%s: MPI (%s) has only one rank, so each task would do the whole work; start with the "
      "mpirun of this MPI library, or with srun --mpi=pmix, or set LOCKSTEP_SINGLE=1 if one rank "
      "is intended",
      has_tasks ? "SLURM_NTASKS: " : "", has_tasks ? tasks : started, ls_comm_library(comm));
}

/* Commands that stop and save after signals. */
static bool is_training(const char *name) {
  return strcmp(name, app_train.name) == 0 || strcmp(name, app_sweep.name) == 0;
}

static ls_status run_command(ls_comm *comm, const command *c, int argc, char **argv) {
  arguments a = {0};
  bool help = false;
  LS_TRY(ls_comm_agree(comm, parse(c, argc, argv, &a, &help)));
  if (help) {
    if (app_is_root(comm)) print_command_usage(c);
    return LS_OK;
  }
  LS_TRY(ls_comm_agree(comm, check_launcher(comm, is_training(c->name))));
  return (c->run ? c->run : with_setup)(comm, &a);
}

static ls_status run(ls_comm *comm, int argc, char **argv) {
  const char *const name = argc > 1 ? argv[1] : "";
  for (size_t i = 0; app_commands[i]; i++)
    if (strcmp(name, app_commands[i]->name) == 0)
      return run_command(comm, app_commands[i], argc - 1, argv + 1);
  if (strcmp(name, "--version") == 0) {
    if (app_is_root(comm)) printf("lockstep %s\n", LS_VERSION);
    return LS_OK;
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
    if (app_is_root(comm)) print_usage();
    return LS_OK;
  }
  if (name[0] == '\0') return ls_fail(LS_ERR_CONFIG, "a command is missing; see lockstep --help");
  return ls_fail(LS_ERR_CONFIG, "%s: unknown command; see lockstep --help", name);
}

/* ------------------------------------------------------------------ the program */

/* Collective. mpirun kills the ranks within seconds after TERM, which is too short for MPI_Finalize: all
 * ranks exit at once. */
static void leave_if_terminated(ls_comm *comm) {
  uint64_t terminated = ls_stop_signal() == SIGTERM;
  ls_comm_sum_u64(comm, &terminated, 1);
  if (terminated == 0 || ls_comm_size(comm) == 1) return;
  fflush(NULL);
  ls_comm_barrier(comm);
  _exit(LS_STOPPED);
}

/* Local. LS_ERR_OUTPUT if a part of the output could not be written. */
static ls_status end_output(void) {
  errno = 0; /* of an earlier write it is unknown */
  const bool failed = fflush(stdout) != 0 || ferror(stdout);
  return failed ? ls_fail(LS_ERR_OUTPUT, "standard output: %s", errno ? strerror(errno) : "a write failed")
                : LS_OK;
}

/* The signals that were ignored when the program started. They are read before the constructors of the
 * shared libraries run, because one of those that come with Open MPI 5 (libpsm2) replaces the handler of
 * SIGHUP. */
static sigset_t ignored_at_start;

static void read_ignored_signals(void) {
  sigemptyset(&ignored_at_start);
  for (int number = 1; number < SIGRTMIN; number++) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
      sigaddset(&ignored_at_start, number);
  }
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_constructors)(void) = read_ignored_signals;

int main(int argc, char **argv) {
  ls_comm *comm = NULL;
  if (argc > 1 && is_training(argv[1]))
    ls_stop_install(&ignored_at_start); /* other commands keep the default signal handlers */
  ls_status status = ls_comm_create(&argc, &argv, &comm);
  if (status != LS_OK) return (int)status;
  ls_log_enable(app_is_root(comm));
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
