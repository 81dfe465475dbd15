/* Declarations shared by the files of the module. */
#ifndef LOCKSTEP_DRAFT_INTERNAL_H
#define LOCKSTEP_DRAFT_INTERNAL_H

#include "lockstep/data.h"
#include "lockstep/draft.h"

#define DRAFT_TEXT_SIZE ((size_t)512)

/* ------------------------------------------------------------------------- facts */

/* What a sample of the rows of x shows. */
typedef struct draft_inputs {
  uint64_t n;
  size_t n_features;
  ls_shape shape; /* as stored */
  ls_dtype dtype;
  double low, high;
  bool has_missing;   /* cells of a table that import has replaced by means */
  size_t n_constant;  /* features */
  size_t n_sparse;    /* features of which most values are the smallest one */
  double scale_ratio; /* of the largest and the smallest spread of a feature */
  double tail;        /* the largest distance of a value from the mean of its feature, in its spread; of
                         features without a value that most samples have */
  size_t side;        /* of the square pictures of flat rows; 0: they are not */
  bool is_sequence;   /* neighbours of flat rows resemble each other */
} draft_inputs;

typedef enum draft_task { DRAFT_CLASSES, DRAFT_LABELS, DRAFT_NUMBERS } draft_task;

typedef struct draft_targets {
  draft_task task;
  size_t n_outputs;
  size_t columns;
  uint64_t least, most; /* samples of the smallest class that has any, and of the largest */
  size_t n_empty;       /* classes without samples */
  size_t n_distinct;    /* whole numbers; 0: not all are whole */
  bool has_names;
  char names[256]; /* of the first classes, for a comment; empty: unknown */
  double low, high;
  double tail; /* the largest distance of one column of numbers from their mean, in standard deviations */
} draft_targets;

/* The order of dims, and the shape of a sample that the layers see. */
typedef struct draft_layout {
  ls_draft_kind kind;
  ls_shape shape; /* channels last, with the channels; of tables: flat */
  bool is_first;  /* the files have the channels first */
  bool is_named;  /* the config must name the shape, as the files have flat rows */
} draft_layout;

typedef struct draft_facts {
  draft_inputs x;
  draft_targets y;
  draft_layout layout;
} draft_facts;

/* Local, rank 0. Reads a sample of the rows of x. LS_ERR_DATA, LS_ERR_INTERNAL. */
ls_status draft_measure_inputs(const ls_dataset *dataset, draft_inputs *out);

/* Local, rank 0. Reads y and decides the task. LS_ERR_DATA, LS_ERR_CONFIG, LS_ERR_INTERNAL. */
ls_status draft_measure_targets(const ls_dataset *dataset, const ls_draft_request *request,
                                draft_targets *out);

/* Local. Decides what the samples are. LS_ERR_CONFIG if the request names a kind that does not fit. */
ls_status draft_find_layout(const ls_draft_request *request, const draft_inputs *x, draft_layout *out);

/* ------------------------------------------------------------------------ splits */

/* Names of data, owned; NULL: there are none. */
typedef struct draft_splits {
  char *train, *validation, *test;
} draft_splits;

/* Collective. Chooses the group of the training data, opens them (the caller closes the dataset), and
 * searches for validation and test data beside them, of which those that do not fit are left out with a
 * warning. Ranks other than 0 ignore the names of the request. The caller frees the splits, after a failure
 * too. LS_ERR_DATA. */
ls_status draft_open(ls_comm *comm, const ls_draft_request *request, draft_splits *splits,
                     ls_dataset **train);
void draft_splits_free(draft_splits *splits);

/* ----------------------------------------------------------------------- choices */

/* The layers as YAML. */
typedef struct draft_network {
  char text[8192];
  char reason[DRAFT_TEXT_SIZE];
  double work; /* multiplications of a sample in a forward pass */
} draft_network;

typedef struct draft_plan {
  uint64_t n_train;  /* samples, without those of validation */
  double validation; /* fraction of the training data; 0: none */
  uint64_t epochs, batch_size, patience;
  double lr, weight_decay, dropout, noise;
  size_t shift;           /* of images, in pixels */
  size_t n_hidden, units; /* of tables: hidden layers and their units */
  size_t n_limits;        /* units that limit long tails; 0: none */
  bool is_balanced;
  bool is_scaled; /* features are scaled to [0, 1], not standardised */
  draft_network network;
} draft_plan;

/* Local. has_validation: there are validation data */
void draft_choose(const draft_facts *facts, bool has_validation, draft_plan *out);

/* Local. Sets network; reads the other members of the plan. */
void draft_build_network(const draft_facts *facts, draft_plan *plan);

/* ------------------------------------------------------------------------ writing */

/* Local. Prints the config. */
void draft_print(FILE *out, const ls_draft_request *request, const draft_splits *splits,
                 const draft_facts *facts, const draft_plan *plan);

/* Local. A name of data relative to the folder of the config, owned by the caller. LS_ERR_OUTPUT if a
 * folder does not exist, LS_ERR_INTERNAL. */
ls_status draft_relative(const char *config, const char *name, char **out);

/* Local. Whether the name of y (or NULL) is FILE:/PATH. */
bool draft_has_file(const char *y);

/* Local. Prints a text as a YAML scalar, in quotes if it needs them. */
void draft_print_text(FILE *out, const char *text);

#endif
