/* Private to the module: the structs of a document, and the functions that its files share. */
#ifndef LOCKSTEP_SRC_CONFIG_INTERNAL_H
#define LOCKSTEP_SRC_CONFIG_INTERNAL_H

#include "lockstep/config.h"

#include <stdarg.h>
#include <yaml.h>

#define CONFIG_MAX_BYTES   ((size_t)1 << 20) /* of a file */
#define CONFIG_MAX_NODES   100000            /* of a document, including the copies made by aliases */
#define CONFIG_MAX_DEPTH   64
#define CONFIG_MAX_ANCHORS 1000 /* the lookup is linear */

struct ls_node {
  ls_node_kind kind;
  bool quoted;        /* a scalar in quotes or block style: never a number, a boolean or null */
  bool implicit;      /* created by ls_config_section; not printed while empty */
  bool detached;      /* replaces a section that is not a map; not part of the document */
  const char *text;   /* of a scalar; "" for other kinds */
  const char *key;    /* of an entry of a map; NULL elsewhere */
  size_t index;       /* in the parent */
  size_t line;        /* from 1, of the key if there is one; 0: not from the file */
  const char *origin; /* the option that set the node; NULL: the file, or a default */
  ls_node *parent;    /* NULL at the root */
  ls_node **children; /* owned by the blocks; config_grow */
  size_t count;
};

/* Memory of a document. It is freed only with the document, so that replaced texts and nodes stay valid. */
typedef struct config_block {
  struct config_block *next;
  max_align_t data[];
} config_block;

typedef struct config_error {
  size_t line;      /* sort key; 0: the whole document; SIZE_MAX: an option */
  size_t sequence;  /* order of discovery */
  const char *text; /* begins with the location */
} config_error;

struct ls_config {
  const char *name; /* of the file */
  ls_node *root;
  config_block *blocks;
  size_t n_nodes;
  config_error *errors; /* owned by the blocks, as everything here; config_grow */
  size_t n_errors;
  bool out_of_memory; /* an error or a value could not be recorded: ls_config_status fails */
};

/* A text of limited length, passed by value. Longer texts are truncated. */
typedef struct config_phrase {
  char text[1024];
} config_phrase;

/* ---------------------------------------------------------------- phrase.c */

/* Appends to the phrase. */
void config_phrase_add(config_phrase *phrase, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The text, truncated to a length that fits a message, with control characters replaced. */
config_phrase config_excerpt(const char *text);

/* Describes the values that the key accepts: "an integer from 1 to 8", "one of a, b". */
config_phrase config_expected(const ls_key *key);

/* Whether the number is inside the range of the key. */
bool config_within(const ls_key *key, double value);

/* ---------------------------------------------------------------- scalar.c */

typedef enum config_outcome {
  CONFIG_FITS,
  CONFIG_NO_NUMBER,
  CONFIG_OVERFLOW,
  CONFIG_UNDERFLOW
} config_outcome;

bool config_is_null_text(const char *text);
bool config_parse_bool(const char *text, bool *out);
config_outcome config_parse_count(const char *text, uint64_t *out);
config_outcome config_parse_real(const char *text, double *out);

/* Parses a number of seconds, or integers of days, hours, minutes and seconds, in this order and each at
 * most once: "1d2h", "90m". The result must be above 0 and less than a thousand years. */
bool config_parse_time(const char *text, double *seconds);

/* ------------------------------------------------------------------ node.c */

/* Allocates zeroed memory that lives as long as the document. On failure returns NULL and sets
 * out_of_memory. */
void *config_allocate(ls_config *config, size_t bytes);
const char *config_copy_text(ls_config *config, const char *text, size_t length);

/* Returns `items` (count, elements of `size` bytes) with space for one more: itself, or a copy if `count`,
 * the capacity so far, is a power of two. NULL if memory is exhausted. */
void *config_grow(ls_config *config, void *items, size_t count, size_t size);

/* Creates a node without a parent. NULL if memory is exhausted or the document has CONFIG_MAX_NODES. */
ls_node *config_node_make(ls_config *config, ls_node_kind kind);

/* Appends `child` to `parent`. Borrows `key`, which is NULL in a list. */
bool config_node_append(ls_config *config, ls_node *parent, const char *key, ls_node *child);

/* Sets the entry `key` (copied) of the map to `child`. */
bool config_node_put(ls_config *config, ls_node *map, const char *key, ls_node *child);

/* Replaces `old` in its parent by `child`. */
void config_node_replace(ls_node *old, ls_node *child);

/* The entry `key` of the map; NULL if it is absent or null. */
ls_node *config_find_present(const ls_node *map, const char *key);

const char *config_kind_name(const ls_node *node); /* "a list", ... */

/* Writes the dotted path of a node, for example model.0.units; nothing for the root. */
void config_write_path(FILE *out, const ls_node *node);

/* ---------------------------------------------------------------- errors.c */

/* The place and subject of an error. */
typedef struct config_place {
  const ls_node *node; /* whose path precedes the message; NULL: none */
  const char *key;     /* an absent entry of `node`, appended to the path; NULL: none */
  size_t line;         /* in the file; 0: none */
  const char *origin;  /* the option, instead of file and line; NULL: none */
  bool with_value;     /* whether the text of a scalar node follows the path */
} config_place;

/* Returns "file:line: path: value: message", to be freed by the caller; NULL if memory is exhausted. */
char *config_message(const ls_config *config, const config_place *place, const char *format,
                     va_list arguments);

/* Collects an error like ls_config_error, but for `key` (NULL: none), which is absent from the map `node`,
 * and without the value of the node. */
void config_report(ls_config *config, const ls_node *node, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Collects the error that the node is of the wrong kind. `expected` is a noun: "a list". */
void config_report_kind(ls_config *config, const ls_node *node, const char *expected);

/* ----------------------------------------------------------------- names.c */

/* Collects the error that the table has no key of the node's name. */
void config_report_unknown(ls_config *config, const ls_node *node, const ls_key *keys);

/* ---------------------------------------------------------------- reader.c */

/* The YAML events of one text. */
typedef struct config_reader {
  ls_config *config;
  yaml_parser_t yaml;
  const char *text;
  const char *origin; /* the option that the text comes from; NULL: the file, or a default */
  bool is_file;       /* lines of the text are lines of the file */
} config_reader;

/* Starts reading. config_reader_close must follow success. */
ls_status config_reader_open(config_reader *reader);
void config_reader_close(config_reader *reader);

/* Reads the next event, to be deleted by the caller. */
ls_status config_reader_next(config_reader *reader, yaml_event_t *event);

/* Fails with "file:line: path: message", or the option instead of file and line. `node` may be NULL. */
ls_status config_fail(const config_reader *reader, size_t line, const ls_node *node, const char *format,
                      ...) __attribute__((format(printf, 4, 5)));

/* Fails because memory is exhausted or the document has CONFIG_MAX_NODES. */
ls_status config_fail_space(const config_reader *reader, size_t line);

/* ----------------------------------------------------------------- parse.c */

/* Parses the YAML `text` of one value that will stand `depth` levels below the root. An empty text gives
 * null. Messages name `origin` (borrowed); NULL: a default. */
ls_status config_parse_value(ls_config *config, const char *text, const char *origin, size_t depth,
                             ls_node **out);

/* ----------------------------------------------------------------- value.c */

/* Stores the value `node` in the field. If it is NULL (absent) or not accepted, sets the field to 0, NULL
 * or false and returns false; collects an error in the latter case. */
bool config_store_value(ls_config *config, const ls_key *key, ls_node *node, void *field);

#endif
