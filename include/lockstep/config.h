/* config: the YAML document, the tables of keys by which each room reads its part of it, overrides from
 * the command line, and the document printed back with every default filled in.
 *
 * A document is read once, by tables: each room describes its keys (name, type, range, default, help)
 * and gets a plain struct. Mistakes are collected, not returned one by one, so that a user sees all of
 * them at once: read every part, then ask ls_config_status. All functions are local. */
#ifndef LOCKSTEP_CONFIG_H
#define LOCKSTEP_CONFIG_H

#include "lockstep/base.h"

/* A parsed document: its nodes, where each stands, and the mistakes found so far. */
typedef struct ls_config ls_config;

/* A node of the document; lives as long as the document. */
typedef struct ls_node ls_node;

typedef enum ls_node_kind { LS_NODE_SCALAR, LS_NODE_LIST, LS_NODE_MAP } ls_node_kind;

typedef enum ls_key_type {
  LS_KEY_BOOL,   /* bool: true or false */
  LS_KEY_COUNT,  /* uint64_t: a whole number within [min, max] */
  LS_KEY_REAL,   /* double: a finite number within [min, max] */
  LS_KEY_REALS2, /* double[2]: a list of two such numbers */
  LS_KEY_TIME, /* double: seconds, above 0, from "3h50m", "90m", "1d2h", "45s" or a plain number of them */
  LS_KEY_TEXT, /* const char *, borrowed from the document; NULL where absent and without default */
  LS_KEY_CHOICE, /* int: the index of the text in `choices` */
  LS_KEY_MAP,    /* a nested table, `keys`, whose fields start at `offset` of the same struct */
  LS_KEY_NODE    /* ls_node *: read by the room itself; NULL where absent */
} ls_key_type;

/* Bits of ls_key.flags. */
#define LS_KEY_REQUIRED  1U /* an error where absent */
#define LS_KEY_ABOVE_MIN 2U /* min itself is out of range */
#define LS_KEY_ELSEWHERE 8U /* a section that a room reads itself: known here, stored nowhere */
#define LS_KEY_BELOW_MAX 4U /* max itself is out of range, even where it is 0 */

/* A row of a table of keys. A table ends with a row whose name is NULL. */
typedef struct ls_key {
  const char *name;
  ls_key_type type;
  unsigned flags;             /* LS_KEY_REQUIRED, ... */
  size_t offset;              /* of the field in the room's struct */
  const char *fallback;       /* the default as YAML text; NULL: none (0, NULL or false is left there) */
  double min, max;            /* LS_KEY_COUNT, LS_KEY_REAL(S2); max 0 beside min >= 0: no upper limit;
                                 both 0 without LS_KEY_ABOVE_MIN or LS_KEY_BELOW_MAX: any number */
  const char *const *choices; /* LS_KEY_CHOICE: names, ended by NULL */
  const char *word;           /* LS_KEY_COUNT: a word taken instead of a number, which then is 0 */
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

/* Reads the file at `path` whole into *text (to be freed by the caller), at most 1 MiB and without NUL
 * bytes. LS_ERR_CONFIG where it can't be read. */
ls_status ls_config_load(const char *path, char **text);

/* Parses YAML `text` (copied). `name` (copied) is the file's name for messages. The root must be a map.
 * LS_ERR_CONFIG with file, line and reason for: bad syntax or encoding, nothing in the file, a key given
 * twice in one map, a key that is empty or no text, a tag, more than one document, more than 100,000 nodes
 * after aliases or 1,000 anchors, nesting deeper than 64. On failure *out is NULL. */
ls_status ls_config_create(const char *text, const char *name, ls_config **out);
void ls_config_destroy(ls_config **config);

/* Applies `KEY=VALUE`: KEY is a dotted path (`optimizer.lr`, `model.0.units`), VALUE is YAML. Maps on the
 * way that are absent are made; a list index must exist. Messages name such nodes by the option
 * `--set KEY=VALUE` instead of a line. LS_ERR_CONFIG where it has no `=`, VALUE can't be parsed, or the
 * path goes through something that is no map or list. */
ls_status ls_config_override(ls_config *config, const char *assignment);

ls_node *ls_config_root(ls_config *config);
ls_node_kind ls_node_kind_of(const ls_node *node);
const char *ls_node_text(const ls_node *node); /* a scalar's text; "" for others */
bool ls_node_is_null(const ls_node *node);     /* nothing, null or ~: as good as absent */
bool ls_node_is_quoted(const ls_node *node);   /* was it written in quotes? */
size_t ls_node_count(const ls_node *node);     /* items of a list, entries of a map; 0 for scalars */
ls_node *ls_node_item(const ls_node *list, size_t index);   /* index < count */
ls_node *ls_node_find(const ls_node *map, const char *key); /* NULL where absent or not a map */

/* Whether two nodes (either may be NULL) say other things: texts and lists are compared as they stand, maps
 * in any order. The first difference goes to `text`, as in "model.0.units is 9, not 8". */
bool ls_node_differ(const ls_node *a, const ls_node *b, char *text, size_t size);

/* All differences, as far as there is room for them: "optimizer.lr is 0.02, was 0.01; ..."; "" for none. */
void ls_node_changes(const ls_node *now, const ls_node *then, char *text, size_t size);

/* Fills `out` from `map` by the table. A default that is used is added to the document, so that printing
 * shows it. Unknown keys (with the nearest valid name), wrong types and values out of range are collected
 * as mistakes; the field then keeps its default, or 0, NULL or false. A null value (`key:` with nothing)
 * counts as absent. A nested table whose map is absent is read as from an empty map. A `map` that is NULL
 * gives the defaults, one that is no map is a mistake. */
void ls_config_read(ls_config *config, ls_node *map, const ls_key *keys, void *out);

/* Fills the field of one row of a table, whatever other keys the map has: for a key whose default or range
 * depends on others, after its own table was read. The map must be one. */
void ls_config_read_key(ls_config *config, ls_node *map, const ls_key *key, void *out);

/* The map `section` of `parent`, made empty where absent. A mistake, and an empty map outside the
 * document, where it is there but no map. Never NULL but for lack of memory, which is a mistake too. */
ls_node *ls_config_section(ls_config *config, ls_node *parent, const char *section);

/* Finds the text of the scalar `node` in `names` (ended by NULL): its index, or -1 after collecting the
 * mistake "'bb' is not a known <key>; did you mean b? (known: a, b, c)" at `node`. `key` says what the
 * names are names of, e.g. "layer". */
int ls_config_choose(ls_config *config, const ls_node *node, const char *key, const char *const *names);

/* The name of `names` (n) that a mistyped `text` most likely means, case aside; NULL: none is near enough.
 */
const char *ls_config_nearest(const char *text, const char *const *names, size_t n);

/* Replaces a scalar's text in the document (copied), e.g. by a path made absolute; what was borrowed before
 * stays valid. LS_ERR_CONFIG where it is not UTF-8. */
ls_status ls_config_replace(ls_config *config, ls_node *scalar, const char *text);

/* Collects a mistake found at `node` (NULL: the document as a whole): "file:line: <path>: <message>", where
 * <path> is the node's dotted path (model.0.units), so that the message need not name the key; left out for
 * the root. A default has the line of the map it was added to. */
void ls_config_error(ls_config *config, const ls_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* LS_OK, or LS_ERR_CONFIG with the mistakes, one a line, in the order of their lines (those from --set
 * last), each once; at most 50, then "... and N more". */
ls_status ls_config_status(const ls_config *config);

/* The document as YAML text, keys in order, to be freed by the caller. Parsing it gives the same values. */
ls_status ls_config_print(const ls_config *config, char **text);

/* Prints a table for people: a row a key, `prefix.name  type and range  default  help`, in columns; what
 * does not fit 110 bytes goes on below. */
void ls_config_describe(FILE *out, const char *prefix, const ls_key *keys);

#endif
