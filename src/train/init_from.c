/* --init-from: a new run that starts with the weights of another model, or of a safetensors file. */
#include "lockstep/export.h"

#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX  12 /* names in a list; of the rest only the number is printed */
#define REASON_MAX 200

/* A list for people. */
typedef struct name_list {
  size_t n;
  char text[4096];
} name_list;

struct train_initial_weights {
  const char *source; /* borrowed: the path of the other model */
  name_list read, random;
  name_list unused;  /* tensors of a safetensors file */
  char warning[300]; /* "": none */
};

/* Rank 0's work. */
typedef struct reader {
  ls_modelfile *saved;      /* owned; NULL: a safetensors file */
  ls_tensors *tensors;      /* owned; NULL: a model or checkpoint */
  ls_tensors_origin origin; /* of the tensors; owned */
  size_t n_inputs;          /* of the other model; 0: unknown */
  const ls_train_options *options;
  const ls_model *model;
  bool is_channels_first; /* the layout of this run's data */
  train_initial_weights *result;
  size_t n_layers;        /* so far, of those with weights */
  bool has_first_weights; /* those of the first layer were read */
  bool has_last_weights;
  ls_facts facts;  /* of the other model */
  size_t *columns; /* owned: its feature for each feature; NULL: the same */
} reader;

/* A layer's block of parameters or state. */
typedef struct block {
  const ls_segment *segment;
  char reason[REASON_MAX]; /* why it was not read; "": it was */
} block;

static void add_name(name_list *list, const char *path, const char *reason) {
  const bool has_reason = reason[0] != '\0';
  if (list->n++ < NAMES_MAX)
    ls_append(list->text, sizeof list->text, "%s%s%s%s%s", list->n > 1 ? ", " : "", path,
              has_reason ? " (" : "", reason, has_reason ? ")" : "");
}

/* ------------------------------------------------------------------------ weights */

static ls_status read_block(const reader *r, const ls_segment *segment, float *values, block *out) {
  *out = (block){.segment = segment};
  const bool *const layers = r->options->init_layers;
  if (layers && !layers[strtoull(segment->path, NULL, 10)]) {
    ls_append(out->reason, REASON_MAX, "not in --init-layers");
    return LS_OK;
  }
  float *const to = values + segment->offset;
  LS_TRY(r->tensors ? ls_tensors_read_block(r->tensors, segment, to, out->reason, REASON_MAX)
                    : ls_modelfile_read_block(r->saved, segment, to, out->reason, REASON_MAX));
  if (out->reason[0] == '\0' || !layers) return LS_OK;
  return ls_fail(LS_ERR_MODEL, "%s: --init-layers: cannot use %s%s: %s", r->result->source,
                 r->tensors ? "" : "/model/", segment->path, out->reason);
}

/* Lists the layer if all its n blocks were treated alike, else its blocks. */
static void list_layer(reader *r, const ls_leaf *leaf, const block *blocks, size_t n) {
  train_initial_weights *const result = r->result;
  size_t n_read = 0;
  for (size_t i = 0; i < n; i++) n_read += blocks[i].reason[0] == '\0';
  if (n_read == n) add_name(&result->read, leaf->path, "");
  if (n_read == 0) add_name(&result->random, leaf->path, blocks[0].reason);
  for (size_t i = 0; n_read > 0 && n_read < n && i < n; i++)
    add_name(blocks[i].reason[0] ? &result->random : &result->read, blocks[i].segment->path,
             blocks[i].reason);
  r->has_last_weights = blocks[0].reason[0] == '\0';
  if (r->n_layers++ == 0) r->has_first_weights = r->has_last_weights;
}

/* states: the segments of the layer's state */
static ls_status read_layer(reader *r, const ls_leaf *leaf, const ls_segment *states) {
  block blocks[LS_LAYER_PARAMS_MAX + LS_LAYER_STATES_MAX];
  const ls_model *const model = r->model;
  size_t n = 0;
  for (size_t i = 0; i < leaf->layer->n_params; i++)
    LS_TRY(read_block(r, &model->segments[leaf->segment + i], model->params, &blocks[n++]));
  for (size_t i = 0; i < leaf->layer->n_states; i++)
    LS_TRY(read_block(r, &states[i], model->state, &blocks[n++]));
  if (n > 0) list_layer(r, leaf, blocks, n);
  return LS_OK;
}

/* In the order of the config; segments are in the opposite order. */
static ls_status read_layers(reader *r) {
  const ls_model *const model = r->model;
  const ls_segment *states = model->state_segments + model->n_state_segments;
  for (size_t i = 0; i < model->n_leaves; i++) {
    states -= model->leaves[i].layer->n_states;
    LS_TRY(read_layer(r, &model->leaves[i], states));
  }
  return LS_OK;
}

/* ------------------------------------------------------------------------- inputs */

#define MOST_SHIFT 0.5

/* A normalised input x' of this run is a x' + b for the other model, where a is the ratio of the factors.
 * Warns of the feature with the largest |a - 1| + |b|, the change of x' = 1 or -1. */
static void compare_inputs(reader *r, const ls_normalizer *mine, const ls_normalizer *other) {
  double most = MOST_SHIFT;
  train_initial_weights *const result = r->result;
  for (size_t j = 0; j < mine->n_features; j++) {
    const size_t column = r->columns ? r->columns[j] : j;
    const double a = other->factor[column] / mine->factor[j];
    const double b = (mine->offset[j] - other->offset[column]) * other->factor[column];
    if (!(fabs(a - 1.0) + fabs(b) > most)) continue;
    most = fabs(a - 1.0) + fabs(b);
    snprintf(
        result->warning, sizeof result->warning,
        "inputs are normalised differently than for that model; the largest difference is in feature %zu "
        "(from 0): values with mean 0 and deviation 1 in this run had mean %.3g and deviation %.3g there; "
        "the first layer must adapt",
        j, b, a);
  }
}

/* The other model's normaliser of n features, which the caller destroys. */
static ls_status read_normalizer(reader *r, size_t n, ls_normalizer **out) {
  *out = r->origin.normalizer;
  r->origin.normalizer = NULL;
  if (*out) return LS_OK;
  LS_TRY(ls_normalizer_create(n, out));
  return ls_modelfile_read_normalizer(r->saved, *out);
}

/* The weights of the first layer fit only inputs that are normalised alike. Raw values are compared if
 * normalisers agree. */
static ls_status check_inputs(reader *r, const ls_setup *setup) {
  const ls_normalizer *const mine = setup->normalizer;
  ls_normalizer *other = NULL;
  if (!r->has_first_weights || r->n_inputs != mine->n_features) return LS_OK;
  ls_status status = read_normalizer(r, mine->n_features, &other);
  if (status == LS_OK) compare_inputs(r, mine, other);
  if (status == LS_OK && r->result->warning[0] == '\0')
    status = ls_facts_compare(&r->facts, LS_NORMALIZE_NONE, other, &setup->train.view, "data.train");
  ls_normalizer_destroy(&other);
  return status;
}

/* ---------------------------------------------------------------------- the whole */

static const char *list_text(name_list *list) {
  if (list->n > NAMES_MAX) ls_append(list->text, sizeof list->text, " and %zu more", list->n - NAMES_MAX);
  return list->text;
}

/* Rearranges the weights for features and classes of this run, which may be in another order. */
static ls_status transfer(reader *r, const ls_facts *mine, ls_model *model) {
  if (r->has_first_weights && r->n_inputs == model->n_in)
    LS_TRY(train_transfer_features(model, mine, &r->facts, &r->columns));
  return r->has_last_weights ? train_transfer_classes(model, mine, &r->facts) : LS_OK;
}

/* Fails because no weights were read. */
static ls_status fail_unread(const reader *r, const char *output) {
  train_initial_weights *const result = r->result;
  char hint[4096 + 100] = "";
  if (r->tensors && ls_tensors_count(r->tensors) > 0 && !r->options->init_map)
    ls_append(hint, sizeof hint, "; the file has %s; name them in a map for --init-map",
              list_text(&result->unused));
  return ls_fail(LS_ERR_MODEL, "%s: none of its weights fit the model of %s: %s%s", result->source, output,
                 result->random.n > 0 ? list_text(&result->random) : "the latter has no weights", hint);
}

static void list_unused(const reader *r) {
  for (size_t i = 0; i < ls_tensors_count(r->tensors); i++) {
    const char *const name = ls_tensors_unused(r->tensors, i);
    if (name) add_name(&r->result->unused, name, "");
  }
}

/* Opens a safetensors file, with what our own export says about the model. */
static ls_status open_tensors(reader *r) {
  const ls_train_options *const o = r->options;
  ls_tensors_origin *const origin = &r->origin;
  LS_TRY(ls_tensors_open(o->init_from, o->init_map, r->model, r->is_channels_first, &r->tensors));
  LS_TRY(ls_tensors_read_origin(r->tensors, origin));
  r->n_inputs = origin->n_inputs;
  r->facts = (ls_facts){.owner = o->init_from,
                        .shape = origin->input,
                        .features = {(const char *const *)origin->features, origin->n_features},
                        .classes = {(const char *const *)origin->classes, origin->n_classes}};
  return LS_OK;
}

static ls_status open_source(reader *r) {
  const ls_train_options *const o = r->options;
  if (ls_train_is_safetensors(o->init_from)) return open_tensors(r);
  LS_TRY(ls_modelfile_open(o->init_from, &r->saved));
  r->n_inputs = r->saved->n_inputs;
  r->facts = ls_facts_of_model(r->saved);
  return LS_OK;
}

/* Rank 0's work. */
static ls_status read_weights(trainer *t, const ls_train_options *options) {
  train_initial_weights *const result = t->initial = ls_calloc(1, sizeof *result);
  if (!result) return ls_fail_memory("the list of weights", sizeof *result);
  result->source = options->init_from;
  const ls_job *const job = t->setup->job;
  reader r = {.options = options,
              .model = job->model,
              .is_channels_first = job->data.layout == LS_CHANNELS_FIRST,
              .result = result};
  ls_status status = open_source(&r);
  if (status == LS_OK) status = read_layers(&r);
  if (status == LS_OK && r.tensors) list_unused(&r);
  if (status == LS_OK && result->read.n == 0) status = fail_unread(&r, t->setup->job->train.output);
  if (status == LS_OK) status = transfer(&r, &t->setup->facts, t->setup->job->model);
  if (status == LS_OK) status = check_inputs(&r, t->setup);
  ls_tensors_origin_free(&r.origin);
  free(r.columns);
  ls_modelfile_close(&r.saved);
  ls_tensors_close(&r.tensors);
  return status;
}

bool ls_train_is_safetensors(const char *path) {
  static const char ending[] = ".safetensors";
  const size_t n = strlen(path);
  return n >= strlen(ending) && strcmp(path + n - strlen(ending), ending) == 0;
}

ls_status train_init_from(trainer *t, const ls_train_options *options) {
  const ls_model *const model = t->setup->job->model;
  LS_TRY(ls_comm_agree(t->comm, t->is_root ? read_weights(t, options) : LS_OK));
  ls_comm_broadcast(t->comm, model->params, model->n_params * sizeof *model->params);
  ls_comm_broadcast(t->comm, model->state, model->n_state * sizeof *model->state);
  return LS_OK;
}

void train_report_initial(const trainer *t) {
  train_initial_weights *const initial = t->initial;
  if (!initial) return;
  if (initial->random.n == 0)
    ls_log(LS_LOG_INFO, "weights: all from %s", initial->source);
  else
    ls_log(LS_LOG_INFO, "weights: from %s: %s; random: %s", initial->source, list_text(&initial->read),
           list_text(&initial->random));
  if (initial->unused.n > 0)
    ls_log(LS_LOG_INFO, "weights: not used of %s: %s", initial->source, list_text(&initial->unused));
  if (initial->warning[0]) ls_log(LS_LOG_WARNING, "%s", initial->warning);
}
