/* A new run that starts with the weights of another model: --init-from. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 12 /* that are told; of the others only their number */
#define WHY_MAX   200

/* A list for people. */
typedef struct names {
  size_t n;
  char text[4096];
} names;

struct inheritance {
  const char *source; /* borrowed: the other model's path */
  names taken, anew;
  char warning[300]; /* "": none */
};

/* Rank 0's work. */
typedef struct heir {
  const ls_modelfile *saved;
  const ls_train_options *options;
  const ls_model *model;
  inheritance *told;
  size_t n_layers;   /* looked at, of those with weights */
  bool takes_inputs; /* the first of them is taken */
} heir;

/* A layer's block of parameters or state; `why` it is not taken. */
typedef struct block {
  const ls_segment *segment;
  char why[WHY_MAX];
} block;

static void add_name(names *list, const char *path, const char *why) {
  const bool explains = why[0] != '\0';
  if (list->n++ < NAMES_MAX)
    ls_append(list->text, sizeof list->text, "%s%s%s%s%s", list->n > 1 ? ", " : "", path,
              explains ? " (" : "", why, explains ? ")" : "");
}

/* ------------------------------------------------------------------------ weights */

static bool is_asked(const heir *h, const ls_segment *segment) {
  const bool *const layers = h->options->init_layers;
  return !layers || layers[strtoull(segment->path, NULL, 10)];
}

static ls_status take_block(const heir *h, const ls_segment *segment, float *values, block *out) {
  *out = (block){.segment = segment};
  if (!is_asked(h, segment)) {
    ls_append(out->why, WHY_MAX, "not in --init-layers");
    return LS_OK;
  }
  const ls_status status =
      ls_modelfile_read_block(h->saved, segment, values + segment->offset, out->why, sizeof out->why);
  if (status != LS_OK || out->why[0] == '\0' || !h->options->init_layers) return status;
  return ls_fail(LS_ERR_MODEL, "%s: --init-layers: can't take /model/%s: %s", h->told->source,
                 segment->path, out->why);
}

/* A layer is told as a whole where all its blocks fare alike. */
static void tell(heir *h, const ls_leaf *leaf, const block *blocks, size_t n) {
  inheritance *const told = h->told;
  size_t n_taken = 0;
  for (size_t i = 0; i < n; i++) n_taken += blocks[i].why[0] == '\0';
  if (n_taken == n) add_name(&told->taken, leaf->path, "");
  if (n_taken == 0) add_name(&told->anew, leaf->path, blocks[0].why);
  for (size_t i = 0; n_taken > 0 && n_taken < n && i < n; i++)
    add_name(blocks[i].why[0] ? &told->anew : &told->taken, blocks[i].segment->path, blocks[i].why);
  if (h->n_layers++ == 0) h->takes_inputs = blocks[0].why[0] == '\0';
}

/* states: the segments of the layer's state */
static ls_status take_layer(heir *h, const ls_leaf *leaf, const ls_segment *states) {
  block blocks[LS_LAYER_PARAMS_MAX + LS_LAYER_STATES_MAX];
  const ls_model *const model = h->model;
  size_t n = 0;
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < leaf->n_segments; i++)
    status = take_block(h, &model->segments[leaf->segment + i], model->params, &blocks[n++]);
  for (size_t i = 0; status == LS_OK && i < leaf->layer->n_states; i++)
    status = take_block(h, &states[i], model->state, &blocks[n++]);
  if (status == LS_OK && n > 0) tell(h, leaf, blocks, n);
  return status;
}

/* In the order of the config, which is the opposite of the segments'. */
static ls_status take_layers(heir *h) {
  const ls_model *const model = h->model;
  const ls_segment *states = model->state_segments + model->n_state_segments;
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < model->n_leaves; i++) {
    states -= model->leaves[i].layer->n_states;
    status = take_layer(h, &model->leaves[i], states);
  }
  return status;
}

/* ------------------------------------------------------------------------- inputs */

#define FAR 0.5

/* What is x' here is r x' + s for the other model, r the ratio of the factors. `theirs`: its normaliser. A
 * feature is far off where an x' of -1 or 1 is, by |r - 1| + |s|. */
static void compare_inputs(heir *h, const ls_normalizer *mine, const ls_normalizer *theirs) {
  double most = FAR;
  inheritance *const told = h->told;
  for (size_t j = 0; j < mine->n_features; j++) {
    const double r = theirs->factor[j] / mine->factor[j];
    const double s = (mine->offset[j] - theirs->offset[j]) * theirs->factor[j];
    if (!(fabs(r - 1.0) + fabs(s) > most)) continue;
    most = fabs(r - 1.0) + fabs(s);
    snprintf(told->warning, sizeof told->warning,
             "inputs are normalised otherwise than for that model: most of all feature %zu (from 0), where "
             "what is now 0 +- 1 was %.3g +- %.3g; its first layer has to learn that anew",
             j, s, r);
  }
}

/* Inputs mean the same to a first layer that was taken only if they are normalised alike. */
static ls_status check_inputs(heir *h, const ls_normalizer *mine) {
  ls_normalizer *theirs = NULL;
  if (!h->takes_inputs || h->saved->n_inputs != mine->n_features) return LS_OK;
  ls_status status = ls_normalizer_create(mine->n_features, &theirs);
  if (status == LS_OK) status = ls_modelfile_read_normalizer(h->saved, theirs);
  if (status == LS_OK) compare_inputs(h, mine, theirs);
  ls_normalizer_destroy(&theirs);
  return status;
}

/* ---------------------------------------------------------------------- the whole */

static const char *text_of(names *list) {
  if (list->n > NAMES_MAX) ls_append(list->text, sizeof list->text, " and %zu more", list->n - NAMES_MAX);
  return list->text;
}

static ls_status fail_nothing(const trainer *t, inheritance *told) {
  return ls_fail(LS_ERR_MODEL, "%s: none of its weights goes into the model of %s: %s", told->source,
                 t->setup->job->train.output,
                 told->anew.n > 0 ? text_of(&told->anew) : "that one has no weights");
}

/* Rank 0's work. */
static ls_status inherit(trainer *t, const ls_train_options *options) {
  ls_modelfile *saved = NULL;
  t->inherited = ls_calloc(1, sizeof *t->inherited);
  if (!t->inherited) return ls_fail_memory("what is taken", sizeof *t->inherited);
  t->inherited->source = options->init_from;
  ls_status status = ls_modelfile_open(options->init_from, &saved);
  heir h = {.saved = saved, .options = options, .model = t->setup->job->model, .told = t->inherited};
  if (status == LS_OK) status = take_layers(&h);
  if (status == LS_OK && t->inherited->taken.n == 0) status = fail_nothing(t, t->inherited);
  if (status == LS_OK) status = check_inputs(&h, t->setup->normalizer);
  ls_modelfile_close(&saved);
  return status;
}

ls_status train_inherit(trainer *t, const ls_train_options *options) {
  const ls_model *const model = t->setup->job->model;
  const ls_status status = ls_comm_agree(t->comm, t->is_root ? inherit(t, options) : LS_OK);
  if (status != LS_OK) return status;
  ls_comm_broadcast(t->comm, model->params, model->n_params * sizeof *model->params);
  ls_comm_broadcast(t->comm, model->state, model->n_state * sizeof *model->state);
  return LS_OK;
}

void train_report_inherited(const trainer *t) {
  inheritance *const told = t->inherited;
  if (!told) return;
  if (told->anew.n == 0)
    ls_log(LS_LOG_INFO, "weights: all from %s", told->source);
  else
    ls_log(LS_LOG_INFO, "weights: from %s %s; from the seed %s", told->source, text_of(&told->taken),
           text_of(&told->anew));
  if (told->warning[0]) ls_log(LS_LOG_WARNING, "%s", told->warning);
}
