/* The command that resumes a run, for messages. */
#include "internal.h"

#include <errno.h>
#include <string.h>

void app_add_word(char *text, size_t size, const char *word) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  const bool is_plain = word[0] != '\0' && word[strspn(word, plain)] == '\0';
  ls_append(text, size, is_plain ? " " : " '");
  for (const char *c = word; *c; c++) ls_append(text, size, *c == '\'' ? "'\\''" : "%c", *c);
  if (!is_plain) ls_append(text, size, "'");
}

/* Appends an option; a flag has the value "". */
static void add_option(char *text, size_t size, const option_spec *option, const char *value) {
  ls_append(text, size, " --%s", option->name);
  if (option->value_name) app_add_word(text, size, value);
}

const char *app_command_again(const arguments *a, char *text, size_t size) {
  text[0] = '\0';
  app_add_word(text, size, program_invocation_name);
  ls_append(text, size, " %s", a->command->name);
  app_add_word(text, size, a->positional[0]);
  for (size_t i = 0; a->command->options[i].name; i++) {
    const option_spec *const option = &a->command->options[i];
    const bool is_start = strcmp(option->name, "resume") == 0 || strcmp(option->name, "overwrite") == 0;
    if (a->values[i] && !is_start) add_option(text, size, option, a->values[i]);
    for (size_t k = 0; strcmp(option->name, "set") == 0 && k < a->n_sets; k++)
      add_option(text, size, option, a->sets[k]);
  }
  return strlen(text) + 1 < size ? text + 1 : NULL;
}
