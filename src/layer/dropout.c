/* dropout: in training, each input is set to 0 with probability `rate`, and the others are multiplied by
 * 1 / (1 - rate), so that prediction needs no scaling (Srivastava et al. 2014, "inverted"). The mask is
 * keyed on (seed, layer, step, sample, element): it is the same on any number of ranks. */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
  double rate;
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_REAL_KEY("rate", options, rate, "0.5", 0, 1, "fraction of the inputs that is dropped in training",
                .flags = LS_KEY_BELOW_MAX),
    {0},
};

/* Keeps the mask, (rows, n_in); requests the random words of one row, (n_in). */
static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  layer->kept = ls_arena_take(arena, rows, layer->n_in);
  ls_layer_request(layer, arena, layer->n_in, sizeof(uint32_t));
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
  return (uint8_t *)layer->kept + rows->first * layer->n_in;
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const size_t n = layer->n_in;
  if (!is_active(layer, pass)) {
    memcpy(rows->y, rows->x, rows->n * n * sizeof *rows->y);
    return;
  }
  uint32_t *const words = layer->workspace;
  uint8_t *const mask = mask_of(layer, rows);
  const ls_rng rng = ls_rng_make(pass->seed, LS_RNG_DROPOUT, layer->index, pass->step);
  for (size_t i = 0; i < rows->n; i++) {
    ls_rng_words(&rng, pass->samples[rows->first + i], n, words);
    ls_math_dropout(n, rate_of(layer), words, rows->x + i * n, mask + i * n, rows->y + i * n);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const size_t n = rows->n * layer->n_in;
  if (!rows->dx) return;
  if (is_active(layer, pass))
    ls_math_dropout_backward(n, rate_of(layer), mask_of(layer, rows), rows->dy, rows->dx);
  else
    memcpy(rows->dx, rows->dy, n * sizeof *rows->dx);
}

const ls_layer_type layer_dropout = {.name = "dropout",
                                     .help = "drops a fraction of its inputs in training",
                                     .keys = keys,
                                     .options_size = sizeof(options),
                                     .shape = layer_keep_shape,
                                     .reserve = reserve,
                                     .forward = forward,
                                     .backward = backward};
