/* dropout: in training, each input is set to 0 with probability `rate`, and the others are multiplied by
 * 1 / (1 - rate), so that prediction needs no scaling (Srivastava et al. 2014, "inverted"). The mask is
 * keyed on (seed, layer, step, sample, element): it is the same on any number of ranks. With `spatial`, a
 * channel is dropped at all positions of a sample at once (Tompson et al. 2015); the elements are channels.
 */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
  double rate;
  bool spatial;
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_REAL_KEY("rate", options, rate, "0.5", 0, 1, "fraction of the inputs that is dropped in training",
                .flags = LS_KEY_BELOW_MAX),
    LS_BOOL_KEY("spatial", options, spatial, "false", "whether whole channels are dropped"),
    {0},
};

/* The elements of a row that are dropped independently. */
static size_t width_of(const ls_layer *layer) {
  return ((const options *)layer->options)->spatial ? layer_channels(&layer->in) : layer->n_in;
}

/* Keeps the mask, (rows, width); requests the random words of one row, (width). */
static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  layer->kept = ls_arena_take(arena, rows, width_of(layer));
  ls_layer_request(layer, arena, width_of(layer), sizeof(uint32_t));
}

/* As a float; a rate just below 1 must not become 1. */
static float rate_of(const ls_layer *layer) {
  const float rate = (float)((const options *)layer->options)->rate;
  return rate < 1.0F ? rate : 0x1.fffffep-1F;
}

static bool is_active(const ls_layer *layer, const ls_pass *pass) {
  return pass->mode == LS_TRAIN && rate_of(layer) > 0.0F;
}

static uint8_t *mask_of(const ls_layer *layer, const ls_rows *rows) {
  return (uint8_t *)layer->kept + rows->first * width_of(layer);
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const size_t n = layer->n_in;
  const size_t width = width_of(layer);
  if (!is_active(layer, pass)) {
    memcpy(rows->y, rows->x, rows->n * n * sizeof *rows->y);
    return;
  }
  uint32_t *const words = layer->workspace;
  const ls_rng rng = ls_rng_make(pass->seed, LS_RNG_DROPOUT, layer->index, pass->step);
  for (size_t i = 0; i < rows->n; i++) {
    uint8_t *const mask = mask_of(layer, rows) + i * width;
    ls_rng_words(&rng, pass->samples[rows->first + i], width, words);
    for (size_t j = i * n; j < (i + 1) * n; j += width)
      ls_math_dropout(width, rate_of(layer), words, rows->x + j, mask, rows->y + j);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const size_t n = layer->n_in;
  const size_t width = width_of(layer);
  if (!rows->dx) return;
  if (!is_active(layer, pass)) {
    memcpy(rows->dx, rows->dy, rows->n * n * sizeof *rows->dx);
    return;
  }
  for (size_t i = 0; i < rows->n; i++)
    for (size_t j = i * n; j < (i + 1) * n; j += width)
      ls_math_dropout_backward(width, rate_of(layer), mask_of(layer, rows) + i * width, rows->dy + j,
                               rows->dx + j);
}

const ls_layer_type layer_dropout = {.name = "dropout",
                                     .help = "drops a fraction of its inputs in training",
                                     .keys = keys,
                                     .options_size = sizeof(options),
                                     .shape = layer_keep_shape,
                                     .reserve = reserve,
                                     .in_pieces = true,
                                     .forward = forward,
                                     .backward = backward};
