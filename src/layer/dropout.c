/* dropout: in training, each input is set to 0 with probability `rate` and the others are scaled by
 * 1 / (1 - rate), so that prediction needs no scaling (Srivastava et al. 2014, "inverted"). What is
 * dropped is keyed on (seed, layer, step, sample, element): the same on any number of ranks. */
#include "kinds.h"

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

typedef struct scratch {
  uint32_t *words; /* (n_in) of the row at hand */
  uint8_t *mask;   /* (rows, n_in) */
} scratch;

static void shape(ls_layer *layer) {
  layer->n_out = layer->n_in;
}

static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  scratch *const s = ls_arena_take(arena, 1, sizeof *s);
  uint32_t *const words = ls_arena_take(arena, layer->n_in, sizeof *words);
  uint8_t *const mask = ls_arena_take(arena, rows, layer->n_in);
  if (s) *s = (scratch){.words = words, .mask = mask};
  layer->scratch = s;
}

/* As a float, in which a rate just below 1 must not become 1. */
static float rate_of(const ls_layer *layer) {
  const float rate = (float)((const options *)layer->options)->rate;
  return rate < 1.0F ? rate : 0x1.fffffep-1F;
}

static bool is_on(const ls_layer *layer, const ls_pass *pass) {
  return pass->mode == LS_TRAIN && rate_of(layer) > 0.0F;
}

static void forward(ls_layer *layer, const ls_pass *pass, const float *x, float *y) {
  const size_t n = layer->n_in;
  const size_t rows = ls_pass_rows(pass);
  if (!is_on(layer, pass)) {
    memcpy(y, x, rows * n * sizeof *y);
    return;
  }
  const scratch *const s = layer->scratch;
  const ls_rng rng = ls_rng_make(pass->seed, LS_RNG_DROPOUT, layer->index, pass->step);
  for (size_t i = 0; i < rows; i++) {
    ls_rng_words(&rng, pass->samples[i], n, s->words);
    ls_math_dropout(n, rate_of(layer), s->words, x + i * n, s->mask + i * n, y + i * n);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const float *x, const float *y, float *dy,
                     float *dx) {
  (void)x;
  (void)y;
  if (!dx) return;
  const scratch *const s = layer->scratch;
  const size_t n = ls_pass_rows(pass) * layer->n_in;
  if (is_on(layer, pass))
    ls_math_dropout_backward(n, rate_of(layer), s->mask, dy, dx);
  else
    memcpy(dx, dy, n * sizeof *dx);
}

const ls_layer_type ls_layer_dropout = {.name = "dropout",
                                        .help = "drops a fraction of its inputs in training",
                                        .keys = keys,
                                        .options_size = sizeof(options),
                                        .shape = shape,
                                        .reserve = reserve,
                                        .forward = forward,
                                        .backward = backward};
