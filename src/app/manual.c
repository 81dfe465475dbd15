/* manual: prints a manual page, or the tables of the bash completion, from the tables of commands and keys.
 * The build runs it; it does not start MPI.
 *
 *   manual lockstep COMMAND...    lockstep.1; fails unless the list names every command
 *   manual COMMAND                the page of a command
 *   manual config                 lockstep-config.5: all config keys
 *   manual completion             shell variables for completion.sh */
#include "internal.h"

#include <ctype.h>
#include <string.h>

/* ------------------------------------------------------------------------- roff */

/* Prints a text with the escapes that roff needs. An empty line begins a paragraph. */
static void print_roff(const char *text) {
  static const char special[] = "\\-'^~`";
  static const char *const escapes[] = {"\\e", "\\-", "\\(aq", "\\(ha", "\\(ti", "\\(ga"};
  bool is_start = true; /* of a line */
  for (const char *c = text; *c; c++) {
    const char *const found = strchr(special, *c);
    if (is_start && *c == '.') printf("\\&");
    if (is_start && *c == '\n')
      printf(".PP");
    else if (found)
      fputs(escapes[found - special], stdout);
    if (!found) putchar(*c);
    is_start = *c == '\n';
  }
}

static void print_bold(const char *text) {
  printf("\\fB");
  print_roff(text);
  printf("\\fR");
}

static void print_italic(const char *text) {
  printf("\\fI");
  print_roff(text);
  printf("\\fR");
}

static void print_title(const char *name, const char *suffix, int section, const char *purpose) {
  char title[64];
  snprintf(title, sizeof title, "%s%s%s", name, suffix[0] ? "-" : "", suffix);
  printf(".TH \"");
  for (const char *c = title; *c; c++) putchar(toupper((unsigned char)*c));
  printf("\" %d \"\" \"Lockstep %s\" \"Lockstep manual\"\n.SH NAME\n", section, LS_VERSION);
  print_roff(title);
  printf(" \\- ");
  print_roff(purpose);
  printf("\n");
}

/* ------------------------------------------------------------------------ pages */

static void print_option(const option_spec *o) {
  char words[64];
  printf(".TP\n");
  if (o->letter) {
    snprintf(words, sizeof words, "-%c", o->letter);
    print_bold(words);
    printf(", ");
  }
  snprintf(words, sizeof words, "--%s", o->name);
  print_bold(words);
  if (o->value_name) {
    putchar(' ');
    print_italic(o->value_name);
  }
  printf("\n");
  print_roff(o->help);
  printf("\n");
}

static void print_command(const command *c) {
  print_title("lockstep", c->name, 1, c->help);
  printf(".SH SYNOPSIS\n");
  print_bold("lockstep ");
  print_bold(c->name);
  if (c->operands[0]) putchar(' ');
  print_italic(c->operands);
  printf(c->options[0].name ? " [options]\n" : "\n");
  printf(".SH DESCRIPTION\n");
  print_roff(c->details ? c->details : c->help);
  printf("\n.SH OPTIONS\n");
  for (const option_spec *o = c->options; o->name; o++) print_option(o);
  print_option(&(option_spec){.name = "help", .letter = 'h', .help = "operands and options"});
  printf(".SH SEE ALSO\n.BR lockstep (1),\n.BR lockstep\\-config (5)\n");
}

static void print_program(void) {
  print_title("lockstep", "", 1, app_purpose);
  printf(".SH SYNOPSIS\n");
  print_bold("lockstep");
  printf(" \\fICOMMAND\\fR ...\n.br\n");
  print_bold("mpirun -n");
  printf(" \\fIN\\fR ");
  print_bold("lockstep");
  printf(" \\fICOMMAND\\fR ...\n.SH COMMANDS\n");
  for (size_t i = 0; app_commands[i]; i++) {
    printf(".TP\n");
    print_bold(app_commands[i]->name);
    putchar(' ');
    print_italic(app_commands[i]->operands);
    printf("\n");
    print_roff(app_commands[i]->help);
    printf("\n");
  }
  printf(".PP\nAll commands run alone, or under\n.BR mpirun (1)\nor\n.BR srun (1).\n.SH EXIT STATUS\n");
  print_roff(app_exit_codes);
  printf("\n.SH SEE ALSO\n");
  for (size_t i = 0; app_commands[i]; i++) {
    printf(".BR lockstep\\-");
    print_roff(app_commands[i]->name);
    printf(" (1),\n");
  }
  printf(".BR lockstep\\-config (5)\n");
}

static void print_key(void *context, const ls_key_texts *texts) {
  (void)context;
  printf(".TP\n");
  print_bold(texts->name);
  printf("\n");
  print_roff(texts->help);
  printf(".\n.br\n");
  print_roff(texts->values);
  if (texts->key->flags & LS_KEY_REQUIRED)
    printf("; required");
  else if (texts->key->fallback) {
    printf("; default ");
    print_roff(texts->fallback);
  }
  printf("\n");
}

static void print_section(void *context, const app_section *section) {
  printf(".SS \"");
  print_roff(section->title);
  printf("\"\n");
  ls_config_visit(section->prefix, section->keys, print_key, context);
}

static void print_config(void) {
  print_title("lockstep", "config", 5, "keys of the config");
  printf(".SH DESCRIPTION\n");
  print_roff(
      "A config is a YAML file. The commands train, check, gradcheck, lr-find and plan read it. --set\n"
      "KEY=VALUE overrides a key; N in model.N is the number of a layer, from 0.");
  printf("\n.SH KEYS\n");
  app_visit_sections(print_section, NULL);
  printf(".SH SEE ALSO\n.BR lockstep (1),\n.BR lockstep\\-train (1),\n.BR lockstep\\-keys (1)\n");
}

/* ------------------------------------------------------------------- completion */

/* Lines `KEY`, and `KEY VALUE` for each value that is a word. The value of a map may be that of its `type`.
 */
static void print_key_words(void *context, const ls_key_texts *texts) {
  (void)context;
  const ls_key *const key = texts->key;
  const size_t length = strlen(texts->name) - strlen(key->name);
  const bool is_type = length > 0 && strcmp(key->name, "type") == 0;
  printf("%s\n", texts->name);
  if (key->type == LS_KEY_BOOL) printf("%s true\n%s false\n", texts->name, texts->name);
  if (key->word) printf("%s %s\n", texts->name, key->word);
  for (size_t i = 0; key->type == LS_KEY_CHOICE && key->choices[i]; i++) {
    printf("%s %s\n", texts->name, key->choices[i]);
    if (is_type) printf("%.*s %s\n", (int)length - 1, texts->name, key->choices[i]);
  }
}

static void print_section_words(void *context, const app_section *section) {
  if (section->type) printf("%s.%s %s\n", section->prefix, section->keys[0].name, section->type);
  ls_config_visit(section->prefix, section->keys, print_key_words, context);
}

/* Lines `COMMAND --OPTION -LETTER VALUE`; `-` for a part that the option does not have. */
static void print_option_words(const command *c) {
  for (const option_spec *o = c->options; o->name; o++) {
    const char letter[] = {'-', o->letter, '\0'};
    printf("%s --%s %s %s\n", c->name, o->name, letter, o->value_name ? o->value_name : "-");
  }
  printf("%s --help -h -\n", c->name);
}

static void print_completion(void) {
  printf("# Bash completion of lockstep %s.\n_lockstep_commands='", LS_VERSION);
  for (size_t i = 0; app_commands[i]; i++) printf("%s%s", i ? " " : "", app_commands[i]->name);
  printf("'\n_lockstep_options='");
  for (size_t i = 0; app_commands[i]; i++) print_option_words(app_commands[i]);
  printf("'\n_lockstep_keys='");
  app_visit_sections(print_section_words, NULL);
  printf("'\n");
}

/* ------------------------------------------------------------------ the program */

/* The number of commands that are not in a list of n names, with a message for each. */
static size_t count_missing(char **names, int n) {
  size_t n_missing = 0;
  for (size_t i = 0; app_commands[i]; i++) {
    int k = 0;
    while (k < n && strcmp(names[k], app_commands[i]->name) != 0) k++;
    if (k < n) continue;
    fprintf(stderr, "%s: has no manual page; add it to command_names in src/meson.build\n",
            app_commands[i]->name);
    n_missing++;
  }
  return n_missing;
}

static bool print_page(const char *name) {
  for (size_t i = 0; app_commands[i]; i++) {
    if (strcmp(name, app_commands[i]->name) != 0) continue;
    print_command(app_commands[i]);
    return true;
  }
  if (strcmp(name, "config") != 0 && strcmp(name, "completion") != 0) return false;
  (strcmp(name, "config") == 0 ? print_config : print_completion)();
  return true;
}

int main(int argc, char **argv) {
  const char *const name = argc > 1 ? argv[1] : "";
  if (strcmp(name, "lockstep") == 0) {
    if (count_missing(argv + 2, argc - 2) > 0) return LS_ERR_CONFIG;
    print_program();
  } else if (!print_page(name)) {
    fprintf(stderr, "manual: %s: not a command; remove it from command_names in src/meson.build\n", name);
    return LS_ERR_CONFIG;
  }
  return fflush(stdout) == 0 && !ferror(stdout) ? LS_OK : LS_ERR_OUTPUT;
}
