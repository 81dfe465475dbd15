/* residual (He et al. 2016): y = f(S(x) + F(x)), where F is the list of inner layers. The skip S is, with
 * `skip: auto`, the identity if F keeps the shape; otherwise, as the last child `skip`, a 1x1 convolution
 * without bias whose strides are ceil(in / out), or a matrix if F has features; or it is the list `skip`.
 *
 *   backward  dz = dy f'(z)    dx = the dx of S + the dx of F, both from dz
 *
 * x: (batch, n_in), y: (batch, n_out) */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
  ls_node *layers, *skip_node;
  int activation; /* ls_activation */
  double alpha;
  ls_node *skip_list; /* the layers of the skip; NULL: auto */
  ls_layer *skip;     /* borrowed from the children; NULL: identity */
  float *z;           /* (rows, n_out), kept if f' needs it */
  float *dz;          /* (rows, n_out), kept for a skip that is a list, which overwrites its copy */
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_NODE_KEY("layers", options, layers,
                "list of the inner layers, which may be residual too; the input is added to their output",
                .flags = LS_KEY_REQUIRED),
    LS_NODE_KEY(
        "skip", options, skip_node,
        "what is applied to the input before it is added: a list of layers, or auto: nothing if the "
        "shapes agree, else a 1x1 convolution skip/W with the strides that fit, or a matrix",
        .fallback = "auto"),
    LS_CHOICE_KEY("activation", options, activation, "linear", ls_activation_names,
                  "function applied to the sum"),
    {0},
};

static void check(ls_layer *layer, ls_config *config, ls_node *node) {
  static const char *const names[] = {"auto", NULL};
  options *const o = layer->options;
  (void)node;
  o->alpha = o->activation == LS_ELU ? 1.0 : 0.01;
  if (!o->skip_node) return;
  if (ls_node_kind_of(o->skip_node) == LS_NODE_LIST)
    o->skip_list = o->skip_node;
  else
    ls_config_choose(config, o->skip_node, "skip", names);
}

static ls_node *list(const ls_layer *layer) {
  return ((const options *)layer->options)->layers;
}

static ls_node *skip_list(const ls_layer *layer) {
  return ((const options *)layer->options)->skip_list;
}

static ls_layer *skip_of(const ls_layer *layer) {
  return ((const options *)layer->options)->skip;
}

static ls_activation activation(const ls_layer *layer) {
  return (ls_activation)((const options *)layer->options)->activation;
}

static double alpha_of(const ls_layer *layer) {
  return ((const options *)layer->options)->alpha;
}

/* The inner layers: all children but the skip. */
static size_t n_inner(const ls_layer *layer) {
  return layer->n_children - (skip_of(layer) != NULL);
}

static ls_layer *last_of(const ls_layer *layer) {
  return layer->children[n_inner(layer) - 1];
}

/* Whether the last inner layer adds the skip to its result. */
static bool fuses_sum(const ls_layer *layer) {
  return last_of(layer)->type->fuses;
}

/* ------------------------------------------------------------------ shapes */

/* from: the shape that the list `skip` gives; NULL: skip is auto */
static ls_status fail_skip(const ls_layer *layer, const ls_shape *from) {
  char in[128];
  char out[128];
  char skip[128] = "a 1x1 convolution gives no such shape";
  if (from) ls_shape_describe(from, skip, sizeof skip);
  return ls_fail(LS_ERR_CONFIG,
                 "%s: residual: the skip does not fit: the layers give %s from the input %s, but %s%s; use "
                 "other strides or padding inside, or %s",
                 layer->where, ls_shape_describe(&layer->out, out, sizeof out),
                 ls_shape_describe(&layer->in, in, sizeof in), from ? "the skip gives " : "", skip,
                 from ? "in the skip" : "set skip to a list of layers");
}

/* Creates the convolution from layer->in to layer->out. LS_ERR_CONFIG if no strides fit. */
static ls_status create_convolution(const ls_layer *layer, ls_layer **out) {
  const size_t n_dims = layer->out.n_dims - 1;
  ls_shape in = layer->in;
  size_t stride[LS_WINDOW_DIMS];
  if (in.n_dims == n_dims) in.dims[in.n_dims++] = 1;
  if (in.n_dims != layer->out.n_dims) return fail_skip(layer, NULL);
  for (size_t i = 0; i < n_dims; i++) {
    stride[i] = (in.dims[i] + layer->out.dims[i] - 1) / layer->out.dims[i];
    if ((in.dims[i] - 1) / stride[i] + 1 != layer->out.dims[i]) return fail_skip(layer, NULL);
  }
  *out = layer_create_conv_projection(layer, n_dims, layer->out.dims[n_dims], stride);
  return LS_OK;
}

/* Adds the projection to the children. It has the residual's index, so its random numbers are its own. */
static ls_status add_projection(ls_layer *layer, size_t n_out) {
  ls_layer *skip = NULL;
  if (layer->out.n_dims == 1)
    skip = layer_create_projection(layer, n_out);
  else
    LS_TRY(create_convolution(layer, &skip));
  if (!skip) return ls_fail_memory("the skip of a residual layer", sizeof *skip);
  skip->role = "skip";
  skip->adds_output = !fuses_sum(layer);
  layer->children[layer->n_children++] = skip;
  ((options *)layer->options)->skip = skip;
  return ls_layer_infer_shapes(skip, &layer->in);
}

/* Features have no positions: only the number of elements must agree. */
static bool keeps_shape(const ls_layer *layer, size_t n_out) {
  return ls_shape_equal(&layer->in, &layer->out) ||
         (n_out == layer->n_in && (layer->in.n_dims == 1 || layer->out.n_dims == 1));
}

static ls_status shape(ls_layer *layer) {
  options *const o = layer->options;
  LS_ASSERT(!o->skip);
  if (o->skip_list) o->skip = layer->children[layer->n_children - 1];
  LS_TRY(layer_chain_shape(layer, n_inner(layer)));
  const size_t n_out = last_of(layer)->n_out;
  if (!o->skip_list) return keeps_shape(layer, n_out) ? LS_OK : add_projection(layer, n_out);
  LS_TRY(ls_layer_infer_shapes(o->skip, &layer->in));
  const bool fits = ls_shape_equal(&o->skip->out, &layer->out) ||
                    (o->skip->n_out == n_out && (o->skip->out.n_dims == 1 || layer->out.n_dims == 1));
  return fits ? LS_OK : fail_skip(layer, &o->skip->out);
}

/* ---------------------------------------------------------------- passes */

static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  options *const o = layer->options;
  const bool needs_z = !layer->predicts && ls_math_activation_needs_z(activation(layer));
  layer_chain_reserve(layer, arena, rows, n_inner(layer), !fuses_sum(layer));
  o->z = needs_z ? ls_layer_take_rows(arena, rows, layer->n_out) : NULL;
  o->dz = o->skip_list ? ls_layer_take_rows(arena, rows, layer->n_out) : NULL;
  if (o->skip_list) o->skip->output = ls_layer_take_rows(arena, rows, layer->n_out);
}

/* y = S(x) + F(x), and relu of it if that is the activation, by the last inner layer. */
static void forward_fused(const ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  ls_layer *const skip = skip_of(layer);
  ls_layer *const last = last_of(layer);
  if (skip && !((const options *)layer->options)->skip_list) skip->output = rows->y;
  if (skip) ls_layer_forward(skip, pass, rows->x);
  last->addend = skip ? skip->output : rows->x;
  last->addend_then_relu = layer_activation(layer) == LS_RELU;
  layer_chain_set_output(layer, n_inner(layer), rows->y);
  layer_chain_forward(layer, pass, n_inner(layer), rows->x);
}

/* y = S(x) + the output of the inner layers */
static void add_skip(const ls_layer *layer, const ls_pass *pass, const ls_rows *rows, const float *output) {
  ls_layer *const skip = skip_of(layer);
  const size_t n = rows->n * layer->n_out;
  if (skip && skip->adds_output) {
    memcpy(rows->y, output, n * sizeof *rows->y);
    skip->output = rows->y;
  }
  if (skip) ls_layer_forward(skip, pass, rows->x);
  if (!skip || !skip->adds_output) ls_math_add(n, output, skip ? skip->output : rows->x, rows->y);
}

/* The activation over the last dim. */
static size_t positions_of(const ls_layer *layer, const ls_rows *rows) {
  return rows->n * (layer->n_out / layer_channels(&layer->out));
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const options *const o = layer->options;
  const size_t bytes = rows->n * layer->n_out * sizeof *rows->y;
  if (fuses_sum(layer))
    forward_fused(layer, pass, rows);
  else
    add_skip(layer, pass, rows, layer_chain_forward(layer, pass, n_inner(layer), rows->x));
  if (fuses_sum(layer) && layer_activation(layer) == LS_RELU) return;
  if (o->z) memcpy(o->z, rows->y, bytes);
  ls_math_activate(layer_activation(layer), (float)o->alpha, positions_of(layer, rows),
                   layer_channels(&layer->out), NULL, rows->y);
}

/* rows->dx = the dx of S, if that is not the identity. Leaves dz unchanged. */
static void backward_skip(const ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const options *const o = layer->options;
  ls_pass whole = *pass;
  float *dz = rows->dy;
  whole.ready = NULL; /* the skip's products stay in one piece; the next layer reports its gradient */
  if (o->dz) {
    memcpy(o->dz, dz, rows->n * layer->n_out * sizeof *dz);
    dz = o->dz;
  }
  ls_layer_backward(o->skip, &whole, rows->x, dz, rows->dx);
}

/* dz = dy f'(z) of some rows. The last inner layer gathers its sums of dz, if it has `reduce`. */
static void differentiate(const ls_layer *layer, const ls_pass *pass, size_t lane, const ls_rows *rows) {
  const options *const o = layer->options;
  ls_layer *const last = last_of(layer);
  const float *const known = (o->z ? o->z : layer->output) + rows->first * layer->n_out;
  ls_math_activate_backward(layer_activation(layer), (float)o->alpha, positions_of(layer, rows),
                            layer_channels(&layer->out), known, rows->dy);
  if (!last->type->reduce) return;
  const float *const x = last->input + rows->first * last->n_in;
  layer_gather(last, pass, lane, &(ls_rows){.first = rows->first, .n = rows->n, .x = x, .dy = rows->dy});
}

/* The same of all rows, in pieces that stay in the cache. */
static void differentiate_all(const ls_layer *layer, const ls_pass *pass, float *dy) {
  const size_t step = layer->threads * ls_size_max(LS_PIECE_FLOATS / 2 / ls_size_max(layer->n_out, 1), 1);
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t end = pass->lanes[lane + 1];
    ls_rows rows = {.first = pass->lanes[lane]};
    do { /* once for an empty lane */
      rows.n = ls_size_min(step, end - rows.first);
      rows.dy = dy + rows.first * layer->n_out;
      differentiate(layer, pass, lane, &rows);
      rows.first += rows.n;
    } while (rows.first < end);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const options *const o = layer->options;
  differentiate_all(layer, pass, rows->dy);
  const bool keeps_dz = !o->skip && fuses_sum(layer);
  const size_t n = rows->n * layer->n_in;
  if (o->skip)
    backward_skip(layer, pass, rows);
  else if (rows->dx && !keeps_dz)
    memcpy(rows->dx, rows->dy, n * sizeof *rows->dx);
  const float *const dx =
      layer_chain_backward(layer, pass, n_inner(layer), rows->x, rows->dy, rows->dx != NULL);
  if (rows->dx) ls_math_add(n, keeps_dz ? rows->dy : rows->dx, dx, rows->dx);
}

const ls_layer_type layer_residual = {.name = "residual",
                                      .help = "y = f(x + F(x)), F the layers inside",
                                      .keys = keys,
                                      .options_size = sizeof(options),
                                      .spans_lanes = true,
                                      .check = check,
                                      .list = list,
                                      .skip = skip_list,
                                      .shape = shape,
                                      .reserve = reserve,
                                      .forward = forward,
                                      .backward = backward,
                                      .activation = activation,
                                      .alpha = alpha_of};
