/* Inside the room: the document's nodes, its memory and its mistakes, and what the files share. */
#ifndef LOCKSTEP_SRC_CONFIG_DOCUMENT_H
#define LOCKSTEP_SRC_CONFIG_DOCUMENT_H

#include "lockstep/config.h"

#define CONFIG_MAX_BYTES   ((size_t)1 << 20) /* of a file */
#define CONFIG_MAX_NODES   100000            /* of a document, copies made by aliases included */
#define CONFIG_MAX_DEPTH   64
#define CONFIG_MAX_ANCHORS 1000 /* looked up one by one, so that many would be slow */

struct ls_node {
  ls_node_kind kind;
  bool quoted;        /* a scalar not written plain: never a number, true, false or null */
  bool made;          /* by this room for a section that is absent; not printed while empty */
  bool detached;      /* stands in for a section that is no map: not in the document */
  const char *text;   /* of a scalar; "" for others */
  const char *key;    /* of an entry of a map; NULL elsewhere */
  size_t index;       /* in its parent */
  size_t line;        /* from 1, of the key where there is one; 0: not from the file */
  const char *origin; /* the option that brought it; NULL: the file, or a default */
  ls_node *parent;    /* NULL at the root */
  ls_node **children;
  size_t count, capacity;
};

/* Memory of a document is only ever added to, so that texts and nodes that were replaced stay valid. */
typedef struct config_block {
  struct config_block *next;
  max_align_t data[];
} config_block;

typedef struct config_mistake {
  size_t line;      /* 0: the document as a whole; SIZE_MAX: from an option */
  size_t sequence;  /* the order of discovery */
  const char *text; /* with its place */
} config_mistake;

struct ls_config {
  const char *name; /* of the file */
  ls_node *root;
  config_block *blocks;
  size_t n_nodes;
  config_mistake *mistakes; /* owned by the blocks, as all here */
  size_t n_mistakes, mistakes_capacity;
  bool out_of_memory; /* something could not be recorded: the verdict fails */
};

/* A short text by value. Longer ones are cut. */
typedef struct config_phrase {
  char text[1024];
} config_phrase;

/* ------------------------------------------------------------------ node.c */

/* Zeroed memory that lives as long as the document; NULL, and out_of_memory, where there is none. */
void *config_take(ls_config *config, size_t bytes);
const char *config_copy_text(ls_config *config, const char *text, size_t length);

/* A new node, not yet in a parent. NULL for lack of memory or where the document has too many nodes. */
ls_node *config_node_make(ls_config *config, ls_node_kind kind);

/* Adds `child` at the end of `parent`; `key` (kept) is NULL in a list. */
bool config_node_append(ls_config *config, ls_node *parent, const char *key, ls_node *child);

/* Puts `child` where the entry `key` of the map is, or at its end where there is none (copies key). */
bool config_node_put(ls_config *config, ls_node *map, const char *key, ls_node *child);

/* Puts `child` at the place of `old`, with its key. */
void config_node_replace(ls_node *old, ls_node *child);

/* ----------------------------------------------------------------- parse.c */

/* Parses the YAML `text` of one value that will stand `depth` levels below the root; nothing gives a
 * null. `origin` (kept) is named in messages; NULL: a default. */
ls_status config_parse_value(ls_config *config, const char *text, const char *origin, size_t depth,
                             ls_node **out);

/* ---------------------------------------------------------------- scalar.c */

typedef enum config_outcome { CONFIG_FITS, CONFIG_NO_NUMBER, CONFIG_OVERFLOW } config_outcome;

bool config_is_null(const ls_node *node); /* a plain scalar: nothing, ~ or null */
bool config_is_null_text(const char *text);
bool config_parse_bool(const char *text, bool *out);
config_outcome config_parse_count(const char *text, uint64_t *out);
config_outcome config_parse_real(const char *text, double *out);

/* Whole numbers of days, hours, minutes and seconds, in this order, each at most once: "1d2h", "90m"; or a
 * plain number of seconds. Above 0, and less than a thousand years. */
bool config_parse_time(const char *text, double *seconds);

/* ---------------------------------------------------------------- expect.c */

/* Is the number inside the key's range? */
bool config_within(const ls_key *key, double value);

/* What the key takes, in words: "a whole number from 1 to 8", "one of a, b". */
config_phrase config_expected(const ls_key *key);

/* The text, cut to a length that fits a message, without control characters. */
config_phrase config_excerpt(const char *text);

/* Adds to a phrase. */
void config_phrase_add(config_phrase *phrase, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ----------------------------------------------------------------- names.c */

/* Collects the mistake that no key of the table has the node's name. */
void config_error_unknown(ls_config *config, const ls_node *node, const ls_key *keys);

/* ----------------------------------------------------------------- value.c */

const char *config_kind_name(const ls_node *node); /* "a list", ... */

/* Sets the field to 0, NULL or false. */
void config_clear_field(const ls_key *key, void *field);

/* Stores the value; false, the field as it was and a mistake collected, where the key does not take it. */
bool config_take_value(ls_config *config, const ls_key *key, ls_node *node, void *field);

/* -------------------------------------------------------------- mistakes.c */

/* Writes the dotted path of a node, e.g. model.0.units; nothing for the root. */
void config_write_path(FILE *out, const ls_node *node);

/* Collects the mistake that a key of `map` is absent. */
void config_error_absent(ls_config *config, const ls_node *map, const char *key);

#endif
