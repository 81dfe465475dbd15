/* Pooling over windows of samples with channels last. */
#include "internal.h"

#include <math.h>

enum { D, H, W };

/* The taps [low, high) of a window that are inside the input, and the first of their inputs, in each dim.
 */
typedef struct inside {
  size_t first[LS_WINDOW_DIMS], n[LS_WINDOW_DIMS];
} inside;

/* For output `o` of a dim; the dilation is 1. */
static void clip(const ls_window *w, size_t dim, size_t o, inside *out) {
  const size_t start = o * w->stride[dim]; /* in the padded input */
  const size_t low = ls_size_max(start, w->before[dim]);
  const size_t high = ls_size_min(start + w->size[dim], w->before[dim] + w->in[dim]);
  out->first[dim] = low - w->before[dim];
  out->n[dim] = high - low;
}

/* y = x where x is greater or NaN. */
CLONES static void maximum(size_t n, const float *x, float *restrict y) {
  for (size_t j = 0; j < n; j++) y[j] = x[j] <= y[j] || y[j] != y[j] ? y[j] : x[j];
}

CLONES static void add(size_t n, const float *x, float *restrict y) {
  for (size_t j = 0; j < n; j++) y[j] += x[j];
}

CLONES static void scale(size_t n, float c, float *restrict y) {
  for (size_t j = 0; j < n; j++) y[j] *= c;
}

/* dx += dy where x is the maximum y and no earlier input was; clears dy there. */
CLONES static void route(size_t n, const float *x, const float *y, float *restrict dy, float *restrict dx) {
  for (size_t j = 0; j < n; j++) {
    const bool is_maximum = x[j] == y[j] || x[j] != x[j];
    dx[j] += is_maximum ? dy[j] : 0.0F;
    dy[j] = is_maximum ? 0.0F : dy[j];
  }
}

/* The factor of the sum of a window. */
static float share(ls_pooling kind, const ls_window *w, const inside *at) {
  return 1.0F / (float)(kind == LS_POOL_AVERAGE_ALL ? ls_window_count(w->size) : ls_window_count(at->n));
}

/* The number of the input at tap (d, h, w) inside a window. */
static size_t input_of(const ls_window *win, const inside *at, size_t d, size_t h, size_t w) {
  return ((at->first[D] + d) * win->in[H] + at->first[H] + h) * win->in[W] + at->first[W] + w;
}

static void forward_one(ls_pooling kind, const ls_window *win, size_t channels, const inside *at,
                        const float *x, float *y) {
  const bool is_max = kind == LS_POOL_MAX;
  for (size_t c = 0; c < channels; c++) y[c] = is_max ? -INFINITY : 0.0F;
  for (size_t d = 0; d < at->n[D]; d++)
    for (size_t h = 0; h < at->n[H]; h++)
      for (size_t w = 0; w < at->n[W]; w++)
        (is_max ? maximum : add)(channels, x + input_of(win, at, d, h, w) * channels, y);
  if (!is_max) scale(channels, share(kind, win, at), y);
}

#define PIECE 256 /* channels that backward processes at once */

/* The n channels from `first` on, of one window. */
static void backward_piece(ls_pooling kind, const ls_window *win, size_t first, size_t n, size_t channels,
                           const inside *at, const float *x, const float *y, const float *dy, float *dx) {
  float rest[PIECE];
  const float factor = kind == LS_POOL_MAX ? 1.0F : share(kind, win, at);
  for (size_t c = 0; c < n; c++) rest[c] = factor * dy[first + c];
  for (size_t d = 0; d < at->n[D]; d++)
    for (size_t h = 0; h < at->n[H]; h++)
      for (size_t w = 0; w < at->n[W]; w++) {
        const size_t i = input_of(win, at, d, h, w) * channels + first;
        if (kind == LS_POOL_MAX)
          route(n, x + i, y + first, rest, dx + i);
        else
          add(n, rest, dx + i);
      }
}

/* Sets the window of output `o` of a sample. */
static void find(const ls_window *w, size_t o, inside *out) {
  clip(w, W, o % w->out[W], out);
  clip(w, H, o / w->out[W] % w->out[H], out);
  clip(w, D, o / w->out[W] / w->out[H], out);
}

void ls_pool_forward(ls_pooling kind, const ls_window *w, size_t n, size_t channels, const float *x,
                     float *y) {
  const size_t n_in = ls_window_count(w->in) * channels;
  const size_t n_out = ls_window_count(w->out);
  inside at;
  for (size_t i = 0; i < n; i++, x += n_in)
    for (size_t o = 0; o < n_out; o++, y += channels) {
      find(w, o, &at);
      forward_one(kind, w, channels, &at, x, y);
    }
}

void ls_pool_backward(ls_pooling kind, const ls_window *w, size_t n, size_t channels, const float *x,
                      const float *y, const float *dy, float *dx) {
  const size_t n_in = ls_window_count(w->in) * channels;
  const size_t n_out = ls_window_count(w->out);
  inside at;
  for (size_t i = 0; i < n; i++, x += n_in, dx += n_in) {
    for (size_t j = 0; j < n_in; j++) dx[j] = 0.0F;
    for (size_t o = 0; o < n_out; o++, y += channels, dy += channels) {
      find(w, o, &at);
      for (size_t first = 0; first < channels; first += PIECE)
        backward_piece(kind, w, first, ls_size_min(PIECE, channels - first), channels, &at, x, y, dy, dx);
    }
  }
}
