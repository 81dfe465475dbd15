/* config: the YAML document, the tables of keys by which each module reads its section, overrides from the
 * command line, and printing the document with every default filled in.
 *
 * Each module describes its keys in a table (name, type, range, default, help) and receives a plain struct.
 * Errors are collected, so that a user sees all of them at once: read every section, then call
 * ls_config_status. All functions are local. */
#ifndef LOCKSTEP_CONFIG_H
#define LOCKSTEP_CONFIG_H

#include "lockstep/base.h"

/* A parsed document: its nodes, their locations, and the errors collected so far. */
typedef struct ls_config ls_config;

/* A node of the document; lives as long as the document. */
typedef struct ls_node ls_node;

typedef enum ls_node_kind { LS_NODE_SCALAR, LS_NODE_LIST, LS_NODE_MAP } ls_node_kind;

typedef enum ls_key_type {
  LS_KEY_BOOL,   /* bool: true or false */
  LS_KEY_COUNT,  /* uint64_t: an integer within [min, max] */
  LS_KEY_REAL,   /* double: a finite number within [min, max] */
  LS_KEY_REALS2, /* double[2]: a list of two such numbers */
  LS_KEY_TIME,   /* double: seconds, above 0: "3h50m", "90m", "1d2h", "45s" or a plain number of seconds */
  LS_KEY_TEXT,   /* const char *, borrowed from the document; NULL if absent and without default */
  LS_KEY_CHOICE, /* int: the index of the text in `choices` */
  LS_KEY_MAP,    /* a nested table, `keys`, whose fields start at `offset` of the same struct */
  LS_KEY_NODE    /* ls_node *, read by the module itself; NULL if absent */
} ls_key_type;

/* Bits of ls_key.flags. */
#define LS_KEY_REQUIRED  1U /* absence is an error */
#define LS_KEY_ABOVE_MIN 2U /* min itself is out of range */
#define LS_KEY_BELOW_MAX 4U /* max itself is out of range, even if it is 0 */
#define LS_KEY_ELSEWHERE 8U /* known, but read by other code and stored nowhere */

/* A row of a table of keys. A table ends with a row whose name is NULL. */
typedef struct ls_key {
  const char *name;
  ls_key_type type;
  unsigned flags;             /* LS_KEY_REQUIRED, ... */
  size_t offset;              /* of the field in the struct */
  const char *fallback;       /* the default as YAML text; NULL: the field becomes 0, NULL or false */
  double min, max;            /* LS_KEY_COUNT, LS_KEY_REAL(S2); max = 0 with min >= 0: no upper limit; both
                                 0 without LS_KEY_ABOVE_MIN or LS_KEY_BELOW_MAX: any number */
  const char *const *choices; /* LS_KEY_CHOICE: names, ended by NULL */
  const char *word;           /* LS_KEY_COUNT: a word that stands for 0, for example "auto" */
  const struct ls_key *keys;  /* LS_KEY_MAP: the nested table */
  const char *help;           /* a noun phrase */
} ls_key;

/* Rows of a table that fills a `record`. `value` is the default as YAML text, or NULL; `low` and `high` are
 * ls_key.min and ls_key.max. The variable arguments are the help text, then initializers of other members:
 * "number of outputs", .flags = LS_KEY_REQUIRED. */
#define LS_BOOL_KEY(key, record, field, value, ...)                                                        \
  LS_KEY_ROW(key, LS_KEY_BOOL, record, field, .fallback = value, .help = __VA_ARGS__)
#define LS_COUNT_KEY(key, record, field, value, low, high, ...)                                            \
  LS_KEY_ROW(key, LS_KEY_COUNT, record, field, LS_KEY_RANGE(value, low, high), .help = __VA_ARGS__)
#define LS_REAL_KEY(key, record, field, value, low, high, ...)                                             \
  LS_KEY_ROW(key, LS_KEY_REAL, record, field, LS_KEY_RANGE(value, low, high), .help = __VA_ARGS__)
#define LS_REALS2_KEY(key, record, field, value, low, high, ...)                                           \
  LS_KEY_ROW(key, LS_KEY_REALS2, record, field, LS_KEY_RANGE(value, low, high), .help = __VA_ARGS__)
#define LS_TIME_KEY(key, record, field, value, ...)                                                        \
  LS_KEY_ROW(key, LS_KEY_TIME, record, field, .fallback = value, .help = __VA_ARGS__)
#define LS_TEXT_KEY(key, record, field, ...)                                                               \
  LS_KEY_ROW(key, LS_KEY_TEXT, record, field, .help = __VA_ARGS__)
#define LS_CHOICE_KEY(key, record, field, value, names, ...)                                               \
  LS_KEY_ROW(key, LS_KEY_CHOICE, record, field, .fallback = value, .choices = names, .help = __VA_ARGS__)
#define LS_NODE_KEY(key, record, field, ...)                                                               \
  LS_KEY_ROW(key, LS_KEY_NODE, record, field, .help = __VA_ARGS__)
#define LS_MAP_KEY(key, table, ...)                                                                        \
  { .name = key, .type = LS_KEY_MAP, .keys = table, .help = __VA_ARGS__ }
#define LS_SECTION_KEY(key, ...)                                                                           \
  { .name = key, .type = LS_KEY_NODE, .flags = LS_KEY_ELSEWHERE, .help = __VA_ARGS__ }

#define LS_KEY_ROW(key, kind, record, field, ...)                                                          \
  { .name = key, .type = kind, .offset = offsetof(record, field), __VA_ARGS__ }
#define LS_KEY_RANGE(value, low, high) .fallback = value, .min = low, .max = high

/* Reads the whole file at `path`, at most 1 MiB and without NUL bytes, into *text, to be freed by the
 * caller. LS_ERR_CONFIG if that fails. */
ls_status ls_config_load(const char *path, char **text);

/* Parses YAML `text` (copied). `name` (copied) is the file name for messages. The root must be a map.
 * LS_ERR_CONFIG with file, line and reason for: invalid syntax or encoding, an empty file, a duplicate key
 * in one map, a key that is empty or not a string, a tag, several documents, more than 100,000 nodes after
 * expansion of aliases, more than 1,000 anchors, more than 64 levels. On failure *out is NULL. */
ls_status ls_config_create(const char *text, const char *name, ls_config **out);
void ls_config_destroy(ls_config **config);

/* Applies `KEY=VALUE`: KEY is a dotted path (`optimizer.lr`, `model.0.units`), VALUE is YAML. Creates
 * absent maps on the path; a list index must exist. Messages have `--set KEY=VALUE` instead of a line.
 * LS_ERR_CONFIG if there is no `=`, VALUE is not valid YAML, or the path leads through a scalar. */
ls_status ls_config_override(ls_config *config, const char *assignment);

ls_node *ls_config_root(ls_config *config);
ls_node_kind ls_node_kind_of(const ls_node *node);
const char *ls_node_text(const ls_node *node); /* of a scalar; "" for others */
bool ls_node_is_null(const ls_node *node);     /* empty, null or ~; equivalent to an absent node */
bool ls_node_is_quoted(const ls_node *node);
size_t ls_node_count(const ls_node *node);                  /* items or entries; 0 for scalars */
ls_node *ls_node_item(const ls_node *node, size_t index);   /* of a list or a map; index < count */
const char *ls_node_key(const ls_node *node);               /* of an entry of a map; NULL for others */
ls_node *ls_node_find(const ls_node *map, const char *key); /* NULL if absent or not a map */

/* Whether two nodes (either may be NULL, which equals null) have different values. Compares lists in order,
 * maps in any order. Writes the first difference to `text`: "model.0.units is 9, not 8". */
bool ls_node_differ(const ls_node *a, const ls_node *b, char *text, size_t size);

/* Writes all differences that fit: "optimizer.lr is 0.02, was 0.01; ..."; "" if there are none. */
void ls_node_changes(const ls_node *now, const ls_node *then, char *text, size_t size);

/* Fills `out` from `map` by the table. Adds each default that is used to the document, so that printing
 * shows it. Collects an error for an unknown key, a wrong type or a value out of range; the field then has
 * its default, or 0, NULL or false. A null value counts as absent. Reads a nested table whose map is absent
 * as an empty map. A NULL `map` gives the defaults; a node that is not a map is an error. */
void ls_config_read(ls_config *config, ls_node *map, const ls_key *keys, void *out);

/* Fills the field of one row, and ignores other keys of the map: for a key whose default or range depends
 * on other keys. `map` must be a map. */
void ls_config_read_key(ls_config *config, ls_node *map, const ls_key *key, void *out);

/* Returns the map `section` of `parent`, created if absent. If it is not a map, collects an error and
 * returns an empty map outside the document. NULL only if memory is exhausted, which is collected too. */
ls_node *ls_config_section(ls_config *config, ls_node *parent, const char *section);

/* Returns the index of the text of the scalar `node` in `names` (ended by NULL). If it is not there,
 * collects "bb: unknown layer; must be one of a, b; did you mean b?" and returns -1. `key`: "layer". */
int ls_config_choose(ls_config *config, const ls_node *node, const char *key, const char *const *names);

/* Returns the index of the type that the entry `key` of the map names. name_of(index) is the name of a
 * type, NULL after the last. Collects an error and returns -1 if the entry is absent or unknown. */
int ls_config_choose_type(ls_config *config, const ls_node *map, const char *key,
                          const char *(*name_of)(size_t index));

/* Parses a decimal number; false if the text is none. *out becomes NaN if it does not fit double, or is not
 * 0 but below the normal range of float32. */
bool ls_config_parse_real(const char *text, double *out);

/* Parses a number of bytes with a unit, "2GB" or "512 MiB": B, KB, MB, GB, TB (powers of 1000; also kB) or
 * KiB, MiB, GiB, TiB (powers of 1024). False if the text is none, or not from 1 to 2^62. */
bool ls_config_parse_size(const char *text, uint64_t *bytes);

/* Parses an integer from 0; false if the text is none, or does not fit. */
bool ls_config_parse_count(const char *text, uint64_t *out);

/* The name of `names` (n) nearest to the misspelt `text`, ignoring case; NULL: none is near enough. */
const char *ls_config_nearest(const char *text, const char *const *names, size_t n);

/* Replaces the text of a scalar in the document (copied), for example by an absolute path. Borrowed texts
 * stay valid. LS_ERR_CONFIG if it is not UTF-8. */
ls_status ls_config_replace(ls_config *config, ls_node *scalar, const char *text);

/* Collects the error "file:line: <path>: <value>: <message>" at `node` (NULL: the whole document). <path>
 * is the dotted path of the node (model.0.units), omitted for the root; <value> is the text of a scalar.
 * The message must contain neither. A default has the line of the map that it was added to. */
void ls_config_error(ls_config *config, const ls_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The place of `node`, "file:line: <path>", to be freed by the caller; NULL if memory is exhausted. */
char *ls_config_place(const ls_config *config, const ls_node *node);

/* LS_ERR_CONFIG with the collected errors, one per line and each once, sorted by line (those of --set
 * last); at most 50, then "... and N more". LS_OK if there are none. */
ls_status ls_config_status(const ls_config *config);

/* Prints the document as YAML text that parses to the same values, to be freed by the caller. */
ls_status ls_config_print(const ls_config *config, char **text);

/* The texts that describe a key, valid during the visit. */
typedef struct ls_key_texts {
  const ls_key *key;
  const char *name;     /* with the prefix: "train.epochs" */
  const char *values;   /* type and range: "integer from 1 to 1e+09" */
  const char *fallback; /* the default, "required", or "-" if there is none */
  const char *help;     /* a noun phrase */
} ls_key_texts;
typedef void ls_key_visit(void *context, const ls_key_texts *texts);

/* Calls `visit` for each key of a table and of the tables nested in it. */
void ls_config_visit(const char *prefix, const ls_key *keys, ls_key_visit *visit, void *context);

/* Prints a table of keys in columns, `prefix.name  type and range  default  help`, wrapped at 110 bytes. */
void ls_config_describe(FILE *out, const char *prefix, const ls_key *keys);

#endif
