/* The layers. Tables: a linear map plus a network of two hidden layers. Series, images and volumes: a
 * convolution, then residual blocks, each with half the positions of the one before. */
#include "internal.h"

#include <math.h>

/* ------------------------------------------------------------------------ text */

static void add(draft_network *net, const char *text) {
  ls_append(net->text, sizeof net->text, "%s", text);
}

static void add_dropout(draft_network *net, const char *indent, double rate) {
  if (rate > 0.0) ls_append(net->text, sizeof net->text, "%s- {layer: dropout, rate: %g}\n", indent, rate);
}

static const char *output_activation(const draft_facts *f) {
  static const char *const names[] = {"softmax", "sigmoid", NULL};
  return names[f->y.task];
}

/* The rest of the last layer: its activation. */
static const char *output_end(const draft_facts *f, char text[32]) {
  const char *const name = output_activation(f);
  snprintf(text, 32, "%s%s", name ? ", activation: " : "", name ? name : "");
  return text;
}

/* ------------------------------------------------------------------------ tables */

/* What limits long tails: its outputs are at most 1. Large weights tell small values apart. */
static void add_limits(draft_network *net, size_t units) {
  ls_append(
      net->text, sizeof net->text,
      "  - {layer: dense, units: %zu, activation: tanh, gain: 16} # limits the long tails of features\n",
      units);
}

static void build_table(const draft_facts *f, draft_plan *p) {
  draft_network *const net = &p->network;
  const double units = (double)p->units;
  const char *const activation = p->units < 512 ? "gelu" : "relu";
  double inputs = (double)f->x.n_features;
  char end[32];
  if (p->n_limits) add_limits(net, p->n_limits);
  if (p->n_limits) inputs = (double)p->n_limits;
  add(net, "  - layer: residual # the sum of a network and of a linear map, its skip\n    layers:\n");
  for (size_t i = 0; i < p->n_hidden; i++) {
    ls_append(net->text, sizeof net->text, "      - {layer: dense, units: %zu, activation: %s}\n", p->units,
              activation);
    add_dropout(net, "      ", p->dropout);
  }
  ls_append(net->text, sizeof net->text,
            "      - {layer: dense, units: %zu}\n    skip:\n      - {layer: dense, units: %zu}\n",
            f->y.n_outputs, f->y.n_outputs);
  if (output_activation(f)) ls_append(net->text, sizeof net->text, "    %s\n", output_end(f, end) + 2);
  net->work = inputs * (double)f->x.n_features * (p->n_limits > 0) +
              units * (inputs + (double)(p->n_hidden - 1) * units + (double)f->y.n_outputs);
  snprintf(
      net->reason, sizeof net->reason,
      "%zu hidden layer%s of %zu units, for %llu samples, and a linear map, which few samples need most",
      p->n_hidden, p->n_hidden == 1 ? "" : "s", p->units, (unsigned long long)p->n_train);
}

/* ------------------------------------------------------------------ convolutions */

/* What the next layer gets. */
typedef struct position {
  size_t n_spatial;
  size_t dims[3];
  size_t channels;
} position;

static double positions_of(const position *at) {
  double n = 1.0;
  for (size_t i = 0; i < at->n_spatial; i++) n *= (double)at->dims[i];
  return n;
}

static size_t least_of(const position *at) {
  size_t least = at->dims[0];
  for (size_t i = 1; i < at->n_spatial; i++) least = ls_size_min(least, at->dims[i]);
  return least;
}

/* A convolution with batch norm; moves to its output. */
static void add_convolution(draft_network *net, position *at, size_t filters, size_t kernel, size_t stride,
                            const char *indent) {
  char strides[32] = "";
  if (stride > 1) snprintf(strides, sizeof strides, ", stride: %zu", stride);
  for (size_t i = 0; i < at->n_spatial; i++) at->dims[i] = (at->dims[i] + stride - 1) / stride;
  net->work += positions_of(at) * pow((double)kernel, (double)at->n_spatial) * (double)at->channels *
               (double)filters;
  at->channels = filters;
  ls_append(net->text, sizeof net->text,
            "%s- {layer: conv%zud, filters: %zu, kernel_size: %zu%s, padding: same, bias: false}\n"
            "%s- {layer: batch_norm}\n",
            indent, at->n_spatial, filters, kernel, strides, indent);
}

static void add_block(draft_network *net, position *at, size_t filters, size_t kernel, size_t stride) {
  static const char indent[] = "      ";
  add(net, "  - layer: residual\n    layers:\n");
  add_convolution(net, at, filters, kernel, stride, indent);
  ls_append(net->text, sizeof net->text, "%s- {layer: relu}\n", indent);
  add_convolution(net, at, filters, kernel, 1, indent);
  add(net, "    activation: relu\n");
}

/* The limits of a kind. */
typedef struct scale {
  size_t stem_most;  /* positions of a dim after the first convolution */
  size_t last_least; /* positions of a dim after the last block */
  size_t stem_kernel, kernel;
} scale;

static const scale scales[] = {[LS_DRAFT_SERIES] = {512, 8, 9, 7},
                               [LS_DRAFT_IMAGES] = {64, 4, 3, 3},
                               [LS_DRAFT_VOLUMES] = {32, 4, 3, 3}};

#define SAMPLES_FEW  5000 /* for which half the filters suffice */
#define FILTERS_MOST ((size_t)128)
#define BLOCKS_MOST  5

static void build_convolutions(const draft_facts *f, draft_plan *p) {
  draft_network *const net = &p->network;
  const ls_shape *const shape = &f->layout.shape;
  const scale *const s = &scales[f->layout.kind];
  position at = {.n_spatial = shape->n_dims - 1, .channels = shape->dims[shape->n_dims - 1]};
  size_t stride = 1;
  const size_t first = p->n_train < SAMPLES_FEW ? 16 : 32;
  size_t n_blocks = 0;
  char end[32];
  for (size_t i = 0; i < at.n_spatial; i++) at.dims[i] = shape->dims[i];
  while (least_of(&at) / stride > s->stem_most) stride *= 2;
  add_convolution(net, &at, first, ls_size_max(s->stem_kernel, 2 * stride + 1), stride, "  ");
  add(net, "  - {layer: relu}\n");
  for (size_t filters = 2 * first; n_blocks < BLOCKS_MOST && least_of(&at) >= 2 * s->last_least - 1;
       filters *= 2, n_blocks++)
    add_block(net, &at, ls_size_min(filters, FILTERS_MOST), s->kernel, 2);
  if (n_blocks == 0) add_block(net, &at, 2 * first, s->kernel, 1);
  add(net, "  - {layer: global_avg_pool}\n");
  add_dropout(net, "  ", p->dropout);
  ls_append(net->text, sizeof net->text, "  - {layer: dense, units: %zu%s}\n", f->y.n_outputs,
            output_end(f, end));
  snprintf(net->reason, sizeof net->reason,
           "%zu residual block%s, each of which halves the positions, until %zu are left in a dim",
           ls_size_max(n_blocks, 1), n_blocks > 1 ? "s" : "", least_of(&at));
}

void draft_build_network(const draft_facts *f, draft_plan *p) {
  if (f->layout.kind == LS_DRAFT_TABLE)
    build_table(f, p);
  else
    build_convolutions(f, p);
}
