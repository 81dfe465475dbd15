/* flatten: y = x, as features without positions. Dense layers flatten their inputs themselves. */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
} options;

static const ls_key keys[] = {LAYER_KEY, {0}};

static ls_status shape(ls_layer *layer) {
  layer->out = ls_shape_of(layer->n_in);
  return LS_OK;
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  memcpy(rows->y, rows->x, rows->n * layer->n_in * sizeof *rows->y);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  if (rows->dx) memcpy(rows->dx, rows->dy, rows->n * layer->n_in * sizeof *rows->dx);
}

const ls_layer_type layer_flatten = {.name = "flatten",
                                     .help = "one dim of features; implied before dense",
                                     .keys = keys,
                                     .options_size = sizeof(options),
                                     .shape = shape,
                                     .in_pieces = true,
                                     .forward = forward,
                                     .backward = backward};
