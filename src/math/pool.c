/* Pooling over windows of samples with channels last. */
#include "internal.h"

#include <math.h>
#include <string.h>

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

/* The inputs of a window that are inside, at the distances of a row and a plane from x. */
typedef struct taps {
  size_t n[LS_WINDOW_DIMS];
  size_t plane, row, channels; /* strides in floats; of all channels of a position */
} taps;

/* The maximum, the first of equal ones, or NaN. */
static inline float larger(float y, float in) {
  const float greater = in > y ? in : y;
  return in == in ? greater : in;
}

/* y = the maximum of y and the inputs, or NaN, for n channels. */
CLONES static void maximum(const taps *t, size_t n, const float *x, float *restrict y) {
  for (size_t d = 0; d < t->n[D]; d++)
    for (size_t h = 0; h < t->n[H]; h++)
      for (size_t w = 0; w < t->n[W]; w++)
        for (size_t j = 0; j < n; j++)
          y[j] = larger(y[j], x[d * t->plane + h * t->row + w * t->channels + j]);
}

/* sums += the inputs */
CLONES static void add(const taps *t, size_t n, const float *x, double *restrict sums) {
  for (size_t d = 0; d < t->n[D]; d++)
    for (size_t h = 0; h < t->n[H]; h++)
      for (size_t w = 0; w < t->n[W]; w++)
        for (size_t j = 0; j < n; j++)
          sums[j] += (double)x[d * t->plane + h * t->row + w * t->channels + j];
}

/* dx += rest where x is the maximum y and no earlier input was; clears rest there. */
CLONES static void route(const taps *t, size_t n, const float *x, const float *y, float *restrict rest,
                         float *restrict dx) {
  for (size_t d = 0; d < t->n[D]; d++)
    for (size_t h = 0; h < t->n[H]; h++)
      for (size_t w = 0; w < t->n[W]; w++)
        for (size_t j = 0; j < n; j++) {
          const size_t i = d * t->plane + h * t->row + w * t->channels + j;
          const bool is_maximum = x[i] == y[j] || x[i] != x[i];
          dx[i] += is_maximum ? rest[j] : 0.0F;
          rest[j] = is_maximum ? 0.0F : rest[j];
        }
}

/* dx += rest */
CLONES static void spread(const taps *t, size_t n, const float *rest, float *restrict dx) {
  for (size_t d = 0; d < t->n[D]; d++)
    for (size_t h = 0; h < t->n[H]; h++)
      for (size_t w = 0; w < t->n[W]; w++)
        for (size_t j = 0; j < n; j++) dx[d * t->plane + h * t->row + w * t->channels + j] += rest[j];
}

/* The elements of a window that an average counts. */
static size_t divisor_of(ls_pooling kind, const ls_window *w, const inside *at) {
  return ls_window_count(kind == LS_POOL_AVERAGE_ALL ? w->size : at->n);
}

static taps taps_of(const ls_window *w, size_t channels, const inside *at) {
  return (taps){.n = {at->n[D], at->n[H], at->n[W]},
                .plane = w->in[H] * w->in[W] * channels,
                .row = w->in[W] * channels,
                .channels = channels};
}

/* The offset of the first input inside a window. */
static size_t offset_of(const ls_window *w, size_t channels, const inside *at) {
  return ((at->first[D] * w->in[H] + at->first[H]) * w->in[W] + at->first[W]) * channels;
}

#define PIECE 256 /* channels that averages and backward process at once */

/* The averages of `channels` channels, in double: a window may be as large as the input. */
static void average(const taps *t, double divisor, size_t channels, const float *x, float *y) {
  double sums[PIECE];
  for (size_t first = 0; first < channels; first += PIECE) {
    const size_t n = ls_size_min(PIECE, channels - first);
    memset(sums, 0, n * sizeof *sums);
    add(t, n, x + first, sums);
    for (size_t c = 0; c < n; c++) y[first + c] = (float)(sums[c] / divisor);
  }
}

static void forward_one(ls_pooling kind, const ls_window *w, size_t channels, const inside *at,
                        const float *x, float *y) {
  const taps t = taps_of(w, channels, at);
  x += offset_of(w, channels, at);
  if (kind != LS_POOL_MAX) {
    average(&t, (double)divisor_of(kind, w, at), channels, x, y);
    return;
  }
  for (size_t c = 0; c < channels; c++) y[c] = -INFINITY;
  maximum(&t, channels, x, y);
}

/* The n channels from `first` on, of one window. */
static void backward_piece(ls_pooling kind, const ls_window *w, size_t first, size_t n, size_t channels,
                           const inside *at, const float *x, const float *y, const float *dy, float *dx) {
  const taps t = taps_of(w, channels, at);
  const size_t offset = offset_of(w, channels, at) + first;
  float rest[PIECE];
  const float factor = kind == LS_POOL_MAX ? 1.0F : 1.0F / (float)divisor_of(kind, w, at);
  for (size_t c = 0; c < n; c++) rest[c] = factor * dy[first + c];
  if (kind == LS_POOL_MAX)
    route(&t, n, x + offset, y + first, rest, dx + offset);
  else
    spread(&t, n, rest, dx + offset);
}

/* Sets the window of output `o` of a sample. */
static void find(const ls_window *w, size_t o, inside *out) {
  clip(w, W, o % w->out[W], out);
  clip(w, H, o / w->out[W] % w->out[H], out);
  clip(w, D, o / w->out[W] / w->out[H], out);
}

/* ---------------------------------------------- maximum over squares of 2 x 2 */

/* Whether the windows are squares of 2 x 2 side by side, without padding. */
static bool is_squares(ls_pooling kind, const ls_window *w) {
  bool is_square = kind == LS_POOL_MAX && w->in[D] == 1 && w->out[D] == 1 && w->size[D] == 1;
  for (size_t i = H; i <= W; i++)
    is_square =
        is_square && w->size[i] == 2 && w->stride[i] == 2 && w->before[i] == 0 && 2 * w->out[i] <= w->in[i];
  return is_square;
}

/* A row of n windows with c channels, from two rows of inputs. */
CLONES static void maximum_of_squares(size_t n, size_t c, const float *upper, const float *lower,
                                      float *restrict y) {
  for (size_t o = 0; o < n; o++)
    for (size_t j = 0; j < c; j++) {
      const size_t i = 2 * o * c + j;
      const float top = larger(upper[i], upper[i + c]);
      const float bottom = larger(lower[i], lower[i + c]);
      y[o * c + j] = larger(top, bottom);
    }
}

/* The same as `route`, into two rows of dx, of which the odd columns are at `right`. */
CLONES static void route_squares(size_t n, size_t c, const float *upper, const float *lower, const float *y,
                                 const float *dy, float *restrict upper_dx, float *restrict upper_right,
                                 float *restrict lower_dx, float *restrict lower_right) {
  for (size_t o = 0; o < n; o++) {
    const size_t at = 2 * o * c;
    const float *const left[2] = {upper + at, lower + at};
    const float *const right[2] = {left[0] + c, left[1] + c};
    for (size_t j = 0; j < c; j++) {
      const float top = y[o * c + j];
      const float x0 = left[0][j], x1 = right[0][j], x2 = left[1][j], x3 = right[1][j];
      const float g0 = 0.0F + dy[o * c + j]; /* as added to 0 */
      const bool is0 = x0 == top || x0 != x0;
      const bool is1 = x1 == top || x1 != x1;
      const bool is2 = x2 == top || x2 != x2;
      const bool is3 = x3 == top || x3 != x3;
      const float g1 = is0 ? 0.0F : g0;
      const float g2 = is1 ? 0.0F : g1;
      const float g3 = is2 ? 0.0F : g2;
      upper_dx[at + j] = is0 ? g0 : 0.0F;
      upper_right[at + j] = is1 ? g1 : 0.0F;
      lower_dx[at + j] = is2 ? g2 : 0.0F;
      lower_right[at + j] = is3 ? g3 : 0.0F;
    }
  }
}

static void pool_squares(const ls_window *w, size_t n, size_t c, const float *x, float *y) {
  const size_t row = w->in[W] * c;
  for (size_t i = 0; i < n; i++, x += w->in[H] * row)
    for (size_t h = 0; h < w->out[H]; h++, y += w->out[W] * c)
      maximum_of_squares(w->out[W], c, x + 2 * h * row, x + (2 * h + 1) * row, y);
}

static void pool_squares_backward(const ls_window *w, size_t n, size_t c, const float *x, const float *y,
                                  const float *dy, float *dx) {
  const size_t row = w->in[W] * c;
  const size_t n_in = w->in[H] * row;
  const bool is_covered = w->in[H] == 2 * w->out[H] && w->in[W] == 2 * w->out[W];
  for (size_t i = 0; i < n; i++, x += n_in, dx += n_in) {
    if (!is_covered) memset(dx, 0, n_in * sizeof *dx);
    for (size_t h = 0; h < w->out[H]; h++, y += w->out[W] * c, dy += w->out[W] * c) {
      const float *const upper = x + 2 * h * row;
      float *const upper_dx = dx + 2 * h * row;
      route_squares(w->out[W], c, upper, upper + row, y, dy, upper_dx, upper_dx + c, upper_dx + row,
                    upper_dx + row + c);
    }
  }
}

/* ------------------------------------------------------------- any windows */

/* Samples that threads divide among them. Unused arrays are NULL. */
typedef struct pool_job {
  ls_pooling kind;
  const ls_window *w;
  size_t channels;
  const float *x, *pooled, *dy; /* pooled: the result of forward */
  float *y, *dx;
} pool_job;

static size_t n_in_of(const pool_job *job) {
  return ls_window_count(job->w->in) * job->channels;
}

static void forward_part(void *context, size_t first, size_t n) {
  const pool_job *const job = context;
  const size_t c = job->channels;
  const size_t n_in = n_in_of(job);
  const size_t n_out = ls_window_count(job->w->out);
  const float *x = job->x + first * n_in;
  float *y = job->y + first * n_out * c;
  inside at;
  if (is_squares(job->kind, job->w)) {
    pool_squares(job->w, n, c, x, y);
    return;
  }
  for (size_t i = 0; i < n; i++, x += n_in)
    for (size_t o = 0; o < n_out; o++, y += c) {
      find(job->w, o, &at);
      forward_one(job->kind, job->w, c, &at, x, y);
    }
}

static void backward_part(void *context, size_t first, size_t n) {
  const pool_job *const job = context;
  const size_t c = job->channels;
  const size_t n_in = n_in_of(job);
  const size_t n_out = ls_window_count(job->w->out);
  const float *x = job->x + first * n_in;
  const float *y = job->pooled + first * n_out * c;
  const float *dy = job->dy + first * n_out * c;
  float *dx = job->dx + first * n_in;
  inside at;
  if (is_squares(job->kind, job->w)) {
    pool_squares_backward(job->w, n, c, x, y, dy, dx);
    return;
  }
  for (size_t i = 0; i < n; i++, x += n_in, dx += n_in) {
    for (size_t j = 0; j < n_in; j++) dx[j] = 0.0F;
    for (size_t o = 0; o < n_out; o++, y += c, dy += c) {
      find(job->w, o, &at);
      for (size_t k = 0; k < c; k += PIECE)
        backward_piece(job->kind, job->w, k, ls_size_min(PIECE, c - k), c, &at, x, y, dy, dx);
    }
  }
}

/* As many parts as threads, so that each has the samples that it had in the layer before. */
static void divide(pool_job *job, size_t n, void (*run)(void *context, size_t first, size_t count)) {
  const size_t threads = ls_parallel_threads();
  const size_t least = LS_PARALLEL_ITEMS / 2 / ls_size_max(n_in_of(job), 1);
  ls_parallel_range(n, ls_size_max((n + threads - 1) / threads, ls_size_max(least, 1)), run, job);
}

void ls_pool_forward(ls_pooling kind, const ls_window *w, size_t n, size_t channels, const float *x,
                     float *y) {
  divide(&(pool_job){.kind = kind, .w = w, .channels = channels, .x = x, .y = y}, n, forward_part);
}

void ls_pool_backward(ls_pooling kind, const ls_window *w, size_t n, size_t channels, const float *x,
                      const float *y, const float *dy, float *dx) {
  divide(&(pool_job){.kind = kind, .w = w, .channels = channels, .x = x, .pooled = y, .dy = dy, .dx = dx},
         n, backward_part);
}
