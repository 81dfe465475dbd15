/* The YAML events of a text, and errors with their place in it. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The byte order mark that some editors write. libyaml would count it as a column. */
#define UTF8_MARK "\xEF\xBB\xBF"

ls_status config_fail(const config_reader *reader, size_t line, const ls_node *node, const char *format,
                      ...) {
  const config_place place = {.node = node, .line = reader->is_file ? line : 0, .origin = reader->origin};
  va_list arguments;
  va_start(arguments, format);
  char *const text = config_message(reader->config, &place, format, arguments);
  va_end(arguments);
  const ls_status status = text ? ls_fail(LS_ERR_CONFIG, "%s", text) : ls_fail_memory("a message", 0);
  free(text);
  return status;
}

ls_status config_fail_space(const config_reader *reader, size_t line) {
  if (reader->config->out_of_memory) return ls_fail_memory("the config", sizeof(ls_node));
  return config_fail(reader, line, NULL, "too many values; must be at most %d", CONFIG_MAX_NODES);
}

/* Whether the line of the text is indented with a tab, for which libyaml has no clear message. */
static bool is_tab_indented(const char *text, size_t line) {
  for (; line > 1 && text; line--) {
    text = strchr(text, '\n');
    if (text) text++;
  }
  return text && text[strspn(text, " ")] == '\t';
}

static ls_status fail_encoding(const config_reader *reader) {
  size_t line = 1;
  for (size_t i = 0; i < reader->yaml.problem_offset && reader->text[i]; i++)
    line += reader->text[i] == '\n';
  return config_fail(reader, line, NULL, "not UTF-8 text: %s", reader->yaml.problem);
}

/* Reports the problem in the words of libyaml. */
static ls_status fail_syntax(const config_reader *reader) {
  const yaml_parser_t *const yaml = &reader->yaml;
  if (yaml->error == YAML_MEMORY_ERROR) return ls_fail_memory("parsing the config", strlen(reader->text));
  if (yaml->error == YAML_READER_ERROR) return fail_encoding(reader);
  const size_t line = yaml->problem_mark.line + 1;
  const bool has_tab = is_tab_indented(reader->text, line);
  return config_fail(reader, line, NULL, "not valid YAML at column %zu: %s%s%s%s",
                     yaml->problem_mark.column + 1, yaml->problem ? yaml->problem : "syntax error",
                     yaml->context ? " " : "", yaml->context ? yaml->context : "",
                     has_tab ? "; indent with spaces, not tabs" : "");
}

ls_status config_reader_open(config_reader *reader) {
  yaml_parser_t *const yaml = &reader->yaml;
  if (!yaml_parser_initialize(yaml)) return ls_fail_memory("the YAML parser", sizeof *yaml);
  yaml_parser_set_encoding(yaml, YAML_UTF8_ENCODING);
  if (strncmp(reader->text, UTF8_MARK, strlen(UTF8_MARK)) == 0) reader->text += strlen(UTF8_MARK);
  yaml_parser_set_input_string(yaml, (const unsigned char *)reader->text, strlen(reader->text));
  return LS_OK;
}

void config_reader_close(config_reader *reader) {
  yaml_parser_delete(&reader->yaml);
}

ls_status config_reader_next(config_reader *reader, yaml_event_t *event) {
  return yaml_parser_parse(&reader->yaml, event) ? LS_OK : fail_syntax(reader);
}
