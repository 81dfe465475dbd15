/* Convolutions and pooling of math against their definitions, in double, over many shapes. */
#include "support.h"

#include <float.h>

#define SHAPES  400
#define SAMPLES 3

typedef struct arrays {
  size_t n_x, n_y, n_w; /* elements: x and y of one sample */
  float *x, *w, *b, *y, *dy, *dx, *dw;
  double *want;
  ls_arena arena;     /* of the plan */
  ls_conv_plan *plan; /* NULL: pooling */
  size_t bytes;       /* of the workspace */
  void *workspace;
} arrays;

/* A number from 0 to n - 1, keyed on the shape. */
static size_t draw(uint64_t *key, size_t n) {
  uint32_t word;
  const ls_rng rng = ls_rng_make((*key)++, LS_RNG_CHECK, 7, 0);
  ls_rng_words(&rng, 0, 1, &word);
  return word % n;
}

/* A random window of 1 to 3 dims that fits; no window lies entirely in the padding. */
static ls_window random_window(uint64_t *key, bool dilates) {
  ls_window w;
  const size_t n_dims = 1 + draw(key, 3);
  do
    for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
      const bool used = i + n_dims >= LS_WINDOW_DIMS;
      w.in[i] = used ? 1 + draw(key, n_dims == 3 ? 6 : 13) : 1;
      w.size[i] = used ? 1 + draw(key, n_dims == 3 ? 3 : 5) : 1;
      w.stride[i] = used ? 1 + draw(key, 3) : 1;
      w.dilation[i] = used && dilates ? 1 + draw(key, 3) : 1;
      w.before[i] = used ? draw(key, 3) : 0;
      w.after[i] = used ? draw(key, 3) : 0;
    }
  while (!ls_window_set_out(&w) || !ls_window_is_inside(&w));
  return w;
}

static ls_conv random_conv(uint64_t *key) {
  static const size_t groups[] = {1, 1, 1, 2, 3};
  ls_conv c = {.window = random_window(key, true), .groups = groups[draw(key, COUNT(groups))]};
  c.channels = c.groups * (1 + draw(key, draw(key, 3) ? 5 : 20));
  c.filters = c.groups * (1 + draw(key, draw(key, 2) ? 7 : 50));
  if (draw(key, 6) == 0) c.groups = c.filters = c.channels;
  return c;
}

static arrays arrays_of(const ls_window *w, size_t channels, size_t filters, size_t n_w) {
  arrays a = {
      .n_x = ls_window_count(w->in) * channels, .n_y = ls_window_count(w->out) * filters, .n_w = n_w};
  const size_t most = SAMPLES * ls_size_max(a.n_x, a.n_y) + n_w;
  a.x = new_floats(SAMPLES * a.n_x);
  a.dx = new_floats(SAMPLES * a.n_x);
  a.y = new_floats(SAMPLES * a.n_y);
  a.dy = new_floats(SAMPLES * a.n_y);
  a.w = new_floats(n_w);
  a.dw = new_floats(n_w);
  a.b = new_floats(filters);
  a.want = ls_calloc(most, sizeof *a.want);
  assert_non_null(a.want);
  fill_random(1, SAMPLES * a.n_x, a.x);
  fill_random(2, SAMPLES * a.n_y, a.dy);
  fill_random(3, n_w, a.w);
  fill_random(4, filters, a.b);
  return a;
}

static void arrays_free(arrays *a) {
  float *const all[] = {a->x, a->dx, a->y, a->dy, a->w, a->dw, a->b};
  for (size_t i = 0; i < COUNT(all); i++) free(all[i]);
  free(a->want);
  free(a->workspace);
  ls_arena_destroy(&a->arena);
}

static arrays arrays_of_conv(const ls_conv *c) {
  const size_t n_w = c->filters * ls_window_count(c->window.size) * (c->channels / c->groups);
  arrays a = arrays_of(&c->window, c->channels, c->filters, n_w);
  for (int pass = 0; pass < 2; pass++) {
    a.bytes = ls_conv_reserve(c, &a.arena, &a.plan);
    if (pass == 0) assert_int_equal(ls_arena_commit(&a.arena, "the plan"), LS_OK);
  }
  a.workspace = ls_calloc(a.bytes, 1);
  assert_true(a.plan && a.workspace);
  return a;
}

/* The workspace has no contents between calls. */
static void spoil(const arrays *a) {
  memset(a->workspace, 0xFF, a->bytes);
}

static void run_forward(const arrays *a, size_t n, const float *x, const float *b, bool adds,
                        ls_activation f, float *y) {
  ls_conv_start_forward(a->plan, a->w, b);
  spoil(a);
  ls_conv_forward(a->plan, n, x, adds, f, 0.0F, y, a->workspace);
}

static void run_data(const arrays *a, size_t n, const float *dy, float *dx) {
  ls_conv_start_data(a->plan, a->w);
  spoil(a);
  ls_conv_backward_data(a->plan, n, dy, dx, a->workspace);
}

/* In two pieces. */
static void run_weights(const arrays *a, float beta) {
  ls_conv_start_weights(a->plan);
  spoil(a);
  ls_conv_backward_weights(a->plan, 1, a->x, a->dy, a->workspace);
  spoil(a);
  ls_conv_backward_weights(a->plan, SAMPLES - 1, a->x + a->n_x, a->dy + a->n_y, a->workspace);
  ls_conv_finish_weights(a->plan, beta, a->dw);
}

/* Calls `visit` for each pair of an output position and a tap that sees an input position of a sample. */
typedef void (*visit)(void *context, size_t input, size_t output, size_t tap);

static void each_pair(const ls_window *w, visit call, void *context) {
  const size_t n_out = ls_window_count(w->out);
  const size_t n_taps = ls_window_count(w->size);
  for (size_t o = 0; o < n_out; o++)
    for (size_t t = 0; t < n_taps; t++) {
      const size_t os[] = {o / w->out[2] / w->out[1], o / w->out[2] % w->out[1], o % w->out[2]};
      const size_t ts[] = {t / w->size[2] / w->size[1], t / w->size[2] % w->size[1], t % w->size[2]};
      size_t input = 0;
      bool inside = true;
      for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
        const size_t at = os[i] * w->stride[i] + ts[i] * w->dilation[i];
        inside = inside && at >= w->before[i] && at - w->before[i] < w->in[i];
        input = input * w->in[i] + (at - w->before[i]);
      }
      if (inside) call(context, input, o, t);
    }
}

typedef struct products {
  const ls_conv *conv;
  arrays *a;
  size_t sample;
  int kind; /* 0: y, 1: dx, 2: dw */
} products;

static void add_products(void *context, size_t input, size_t output, size_t tap) {
  const products *const p = context;
  const ls_conv *const c = p->conv;
  const size_t per_group = c->channels / c->groups;
  const size_t taps = ls_window_count(c->window.size);
  for (size_t f = 0; f < c->filters; f++)
    for (size_t k = 0; k < per_group; k++) {
      const size_t channel = f / (c->filters / c->groups) * per_group + k;
      const size_t x = p->sample * p->a->n_x + input * c->channels + channel;
      const size_t y = p->sample * p->a->n_y + output * c->filters + f;
      const size_t w = (f * taps + tap) * per_group + k;
      if (p->kind == 0) p->a->want[y] += (double)p->a->x[x] * (double)p->a->w[w];
      if (p->kind == 1) p->a->want[x] += (double)p->a->dy[y] * (double)p->a->w[w];
      if (p->kind == 2) p->a->want[w] += (double)p->a->dy[y] * (double)p->a->x[x];
    }
}

static void set_want(const ls_conv *conv, arrays *a, int kind, size_t n) {
  memset(a->want, 0, n * sizeof *a->want);
  for (size_t i = 0; i < SAMPLES; i++)
    each_pair(&conv->window, add_products, &(products){.conv = conv, .a = a, .sample = i, .kind = kind});
}

static void check_all(const char *what, size_t n, const float *got, const double *want, double tolerance) {
  for (size_t i = 0; i < n; i++) check_close(what, (double)got[i], want[i], tolerance);
}

static void check_conv(const ls_conv *c) {
  const size_t taps = ls_window_count(c->window.size);
  const size_t terms = taps * (c->channels / c->groups);
  arrays a = arrays_of_conv(c);
  const size_t n_y = SAMPLES * a.n_y;
  const size_t positions = SAMPLES * ls_window_count(c->window.out);
  run_forward(&a, SAMPLES, a.x, NULL, false, LS_LINEAR, a.y);
  set_want(c, &a, 0, n_y);
  check_all("y", n_y, a.y, a.want, 1e-6 * (double)terms);
  for (size_t i = 0; i < n_y; i++)
    a.want[i] = fmax(a.want[i] + (double)a.y[i] + (double)a.b[i % c->filters], 0.0);
  run_forward(&a, SAMPLES, a.x, a.b, true, LS_RELU, a.y);
  check_all("added y", n_y, a.y, a.want, 3e-6 * (double)terms);
  memset(a.dx, 0xFF, SAMPLES * a.n_x * sizeof *a.dx);
  run_data(&a, SAMPLES, a.dy, a.dx);
  set_want(c, &a, 1, SAMPLES * a.n_x);
  check_all("dx", SAMPLES * a.n_x, a.dx, a.want, 1e-6 * (double)(taps * c->filters));
  memset(a.dw, 0xFF, a.n_w * sizeof *a.dw);
  for (int adds = 0; adds < 2; adds++) {
    run_weights(&a, (float)adds);
    set_want(c, &a, 2, a.n_w);
    for (size_t i = 0; i < a.n_w; i++) a.want[i] *= 1 + adds;
    check_all("dw", a.n_w, a.dw, a.want, 1e-6 * (double)positions);
  }
  arrays_free(&a);
}

static void convolutions_match_their_definition(void **state) {
  (void)state;
  uint64_t key = 1;
  for (size_t s = 0; s < SHAPES; s++) {
    const ls_conv c = random_conv(&key);
    check_conv(&c);
  }
}

/* Images that are divided into several boxes, along each dim, or into several blocks of tiles; groups that
 * are divided into bands; more positions than the gradient of the weights sums in float. */
static void large_images_match_their_definition(void **state) {
  (void)state;
  static const ls_conv convs[] = {
      {{.in = {1, 1, 3000}, .size = {1, 1, 9}, .stride = {1, 1, 2}, .before = {0, 0, 4}},
       3,
       5,
       1,
       false,
       0,
       NULL},
      {{.in = {1, 70, 65}, .size = {1, 3, 3}, .stride = {1, 1, 1}, .before = {0, 1, 1}},
       4,
       3,
       1,
       false,
       0,
       NULL},
      {{.in = {1, 9, 40}, .size = {1, 3, 3}, .stride = {1, 2, 1}, .before = {0, 1, 0}},
       700,
       2,
       1,
       false,
       0,
       NULL},
      {{.in = {14, 14, 14}, .size = {3, 3, 3}, .stride = {1, 1, 1}, .before = {1, 1, 1}},
       8,
       4,
       2,
       false,
       0,
       NULL},
      {{.in = {1, 60, 60}, .size = {1, 3, 3}, .stride = {1, 1, 1}, .before = {0, 1, 1}},
       6,
       6,
       6,
       false,
       0,
       NULL},
      {{.in = {1, 6, 5}, .size = {1, 3, 3}, .stride = {1, 2, 1}, .before = {0, 1, 1}},
       256,
       256,
       64,
       false,
       0,
       NULL},
      {{.in = {1, 55, 63}, .size = {1, 3, 3}, .stride = {1, 1, 1}, .before = {0, 1, 1}},
       16,
       17,
       1,
       false,
       0,
       NULL},
      {{.in = {1, 4, 3}, .size = {1, 2, 3}, .stride = {1, 1, 1}, .before = {0, 1, 1}},
       134,
       335,
       67,
       false,
       0,
       NULL},
      {{.in = {1, 5, 5}, .size = {1, 1, 3}, .stride = {1, 1, 1}, .before = {0, 0, 1}},
       300,
       25,
       25,
       false,
       0,
       NULL},
  };
  for (size_t i = 0; i < COUNT(convs); i++) {
    ls_conv c = convs[i];
    for (size_t k = 0; k < LS_WINDOW_DIMS; k++) {
      c.window.dilation[k] = 1;
      c.window.after[k] = c.window.before[k];
    }
    assert_true(ls_window_set_out(&c.window));
    check_conv(&c);
  }
}

/* A sample has the same outputs and dx alone and in a batch. */
static void check_alone(const ls_conv *c) {
  arrays a = arrays_of_conv(c);
  float *const y = new_floats(a.n_y);
  float *const dx = new_floats(a.n_x);
  run_forward(&a, SAMPLES, a.x, a.b, false, LS_TANH, a.y);
  run_data(&a, SAMPLES, a.dy, a.dx);
  for (size_t i = 0; i < SAMPLES; i++) {
    run_forward(&a, 1, a.x + i * a.n_x, a.b, false, LS_TANH, y);
    run_data(&a, 1, a.dy + i * a.n_y, dx);
    check_same("y", a.n_y, y, a.y + i * a.n_y);
    check_same("dx", a.n_x, dx, a.dx + i * a.n_x);
  }
  free(y);
  free(dx);
  arrays_free(&a);
}

static void samples_do_not_depend_on_the_batch(void **state) {
  (void)state;
  uint64_t key = 100000;
  for (size_t s = 0; s < SHAPES; s++) {
    const ls_conv c = random_conv(&key);
    check_alone(&c);
  }
}

/* -------------------------------------------------------------------- Winograd */

/* A 3x3 kernel over images of any size, with enough channels for Winograd's algorithm. */
static ls_conv random_image_conv(uint64_t *key) {
  ls_conv c = {.channels = 16 + draw(key, 20), .filters = 16 + draw(key, 50), .groups = 1};
  ls_window *const w = &c.window;
  if (draw(key, 2)) c.channels = c.filters = 32;
  do
    for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
      w->in[i] = i ? 1 + draw(key, 12) : 1;
      w->size[i] = i ? 3 : 1;
      w->stride[i] = w->dilation[i] = 1;
      w->before[i] = i ? draw(key, 3) : 0;
      w->after[i] = i ? draw(key, 3) : 0;
    }
  while (!ls_window_set_out(w) || !ls_window_is_inside(w));
  return c;
}

static void images_match_their_definition(void **state) {
  (void)state;
  uint64_t key = 300000;
  for (size_t s = 0; s < SHAPES / 10; s++) {
    const ls_conv c = random_image_conv(&key);
    check_conv(&c);
    check_alone(&c);
  }
}

/* The relative error ||got - want|| / ||want||. */
static double error_of(size_t n, const float *got, const double *want) {
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < n; i++) {
    difference += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return sqrt(difference / norm);
}

/* Accurate to a few units of the last place, although the transforms cancel. */
static void images_are_accurate(void **state) {
  (void)state;
  static const struct {
    size_t height, width, channels, filters;
  } rows[] = {{14, 14, 32, 64}, {11, 6, 16, 16}, {9, 7, 64, 64}, {8, 8, 128, 96}, {5, 6, 100, 40}};
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_conv c = {.window = {.in = {1, rows[i].height, rows[i].width},
                            .size = {1, 3, 3},
                            .stride = {1, 1, 1},
                            .dilation = {1, 1, 1},
                            .before = {0, 1, 1},
                            .after = {0, 1, 1}},
                 .channels = rows[i].channels,
                 .filters = rows[i].filters,
                 .groups = 1};
    assert_true(ls_window_set_out(&c.window));
    arrays a = arrays_of_conv(&c);
    run_forward(&a, SAMPLES, a.x, NULL, false, LS_LINEAR, a.y);
    run_data(&a, SAMPLES, a.dy, a.dx);
    run_weights(&a, 0.0F);
    set_want(&c, &a, 0, SAMPLES * a.n_y);
    check_close("error of y", error_of(SAMPLES * a.n_y, a.y, a.want), 0.0, 4e-7);
    set_want(&c, &a, 1, SAMPLES * a.n_x);
    check_close("error of dx", error_of(SAMPLES * a.n_x, a.dx, a.want), 0.0, 4e-7);
    set_want(&c, &a, 2, a.n_w);
    check_close("error of dw", error_of(a.n_w, a.dw, a.want), 0.0, 4e-7);
    assert_true(a.bytes <= (size_t)1 << 20);
    arrays_free(&a);
  }
}

/* The workspace of the layers of usual nets is small beside their activations. */
static void workspaces_are_small(void **state) {
  (void)state;
  static const size_t sizes[] = {4, 7, 14, 32, 112, 224};
  static const size_t channels[] = {1, 3, 16, 64, 256, 512, 1024};
  for (size_t i = 0; i < COUNT(sizes) * COUNT(channels) * COUNT(channels) * 4; i++) {
    const size_t kernel = 1 + 2 * (i % 4);
    const size_t size = sizes[i / 4 % COUNT(sizes)];
    const size_t rest = i / 4 / COUNT(sizes);
    ls_conv c = {.window = {.in = {1, size, size},
                            .size = {1, kernel, kernel},
                            .stride = {1, 1, 1},
                            .dilation = {1, 1, 1},
                            .before = {0, kernel / 2, kernel / 2},
                            .after = {0, kernel / 2, kernel / 2}},
                 .channels = channels[rest % COUNT(channels)],
                 .filters = channels[rest / COUNT(channels)],
                 .groups = 1};
    ls_arena arena = {0};
    ls_conv_plan *plan = NULL;
    assert_true(ls_window_set_out(&c.window));
    assert_in_range(ls_conv_reserve(&c, &arena, &plan), 0, 1 << 20);
  }
}

/* --------------------------------------------------------------------- pooling */

typedef struct pooled {
  const arrays *a;
  size_t channels, sample;
  double *y;     /* of the sample: sum or maximum */
  double *count; /* (outputs) */
  size_t *first; /* (outputs, channels): input of the first maximum */
} pooled;

static void pool_pair(void *context, size_t input, size_t output, size_t tap) {
  const pooled *const p = context;
  (void)tap;
  p->count[output] += 1.0;
  for (size_t c = 0; c < p->channels; c++) {
    const size_t o = output * p->channels + c;
    const double x = (double)p->a->x[p->sample * p->a->n_x + input * p->channels + c];
    if (p->first && (p->count[output] == 1.0 || x > p->y[o])) p->first[o] = input;
    p->y[o] = p->first ? (p->count[output] == 1.0 ? x : fmax(x, p->y[o])) : p->y[o] + x;
  }
}

/* dx of a sample by average: each input of a window gets its share. */
typedef struct shared {
  const double *dy; /* (outputs, channels), divided */
  size_t channels;
  double *dx;
} shared;

static void share_pair(void *context, size_t input, size_t output, size_t tap) {
  const shared *const s = context;
  (void)tap;
  for (size_t c = 0; c < s->channels; c++)
    s->dx[input * s->channels + c] += s->dy[output * s->channels + c];
}

static void check_pool(ls_pooling kind, const ls_window *w, size_t channels) {
  arrays a = arrays_of(w, channels, channels, 1);
  const size_t n_out = ls_window_count(w->out);
  double *const y = ls_calloc(a.n_y, sizeof *y);
  double *const dx = ls_calloc(a.n_x, sizeof *dx);
  double *const count = ls_calloc(n_out, sizeof *count);
  size_t *const first = ls_calloc(a.n_y, sizeof *first);
  for (size_t i = 0; i < SAMPLES * a.n_x; i++) a.x[i] = roundf(3.0F * a.x[i]) - 4.0F; /* negative, ties */
  ls_pool_forward(kind, w, SAMPLES, channels, a.x, a.y);
  ls_pool_backward(kind, w, SAMPLES, channels, a.x, a.y, a.dy, a.dx);
  for (size_t s = 0; s < SAMPLES; s++) {
    memset(y, 0, a.n_y * sizeof *y);
    memset(dx, 0, a.n_x * sizeof *dx);
    memset(count, 0, n_out * sizeof *count);
    each_pair(w, pool_pair,
              &(pooled){.a = &a,
                        .channels = channels,
                        .sample = s,
                        .y = y,
                        .count = count,
                        .first = kind == LS_POOL_MAX ? first : NULL});
    for (size_t o = 0; o < a.n_y; o++) {
      const double by = kind == LS_POOL_MAX           ? 1.0
                        : kind == LS_POOL_AVERAGE_ALL ? (double)ls_window_count(w->size)
                                                      : count[o / channels];
      check_close("y", (double)a.y[s * a.n_y + o], y[o] / by, 1e-6);
      y[o] = (double)a.dy[s * a.n_y + o] / by;
      if (kind == LS_POOL_MAX) dx[first[o] * channels + o % channels] += y[o];
    }
    if (kind != LS_POOL_MAX) each_pair(w, share_pair, &(shared){.dy = y, .channels = channels, .dx = dx});
    check_all("dx", a.n_x, a.dx + s * a.n_x, dx, 1e-5);
  }
  free(y);
  free(dx);
  free(count);
  free(first);
  arrays_free(&a);
}

static void pooling_matches_its_definition(void **state) {
  (void)state;
  uint64_t key = 200000;
  for (size_t s = 0; s < SHAPES; s++) {
    const ls_window w = random_window(&key, false);
    for (ls_pooling kind = LS_POOL_MAX; kind <= LS_POOL_AVERAGE_ALL; kind++)
      check_pool(kind, &w, 1 + draw(&key, draw(&key, 9) ? 20 : 300));
  }
}

/* Windows side by side, in images that they cover or not. */
static void squares_match_their_definition(void **state) {
  (void)state;
  static const size_t sizes[][3] = {{8, 8, 32}, {7, 5, 20}, {2, 2, 1}, {6, 9, 67}, {3, 2, 16}};
  for (size_t i = 0; i < COUNT(sizes); i++) {
    ls_window w = {
        .in = {1, sizes[i][0], sizes[i][1]}, .size = {1, 2, 2}, .stride = {1, 2, 2}, .dilation = {1, 1, 1}};
    assert_true(ls_window_set_out(&w));
    check_pool(LS_POOL_MAX, &w, sizes[i][2]);
  }
}

/* As in PyTorch, a NaN is the maximum, and gets the gradient. */
static void maximum_propagates_nan(void **state) {
  (void)state;
  ls_window w = {.in = {1, 1, 4}, .size = {1, 1, 2}, .stride = {1, 1, 2}, .dilation = {1, 1, 1}};
  ls_window square = {.in = {1, 2, 4}, .size = {1, 2, 2}, .stride = {1, 2, 2}, .dilation = {1, 1, 1}};
  const float x[] = {1.0F, NAN, -INFINITY, -INFINITY, NAN, 2.0F, -INFINITY, -INFINITY};
  const float dy[] = {2.0F, 3.0F};
  float y[2];
  float dx[8];
  assert_true(ls_window_set_out(&w) && ls_window_set_out(&square));
  ls_pool_forward(LS_POOL_MAX, &w, 1, 1, x, y);
  ls_pool_backward(LS_POOL_MAX, &w, 1, 1, x, y, dy, dx);
  assert_true(isnan(y[0]) && y[1] == -INFINITY);
  check_same("dx", 4, dx, (const float[]){0.0F, 2.0F, 3.0F, 0.0F});
  ls_pool_forward(LS_POOL_MAX, &square, 1, 1, x, y);
  ls_pool_backward(LS_POOL_MAX, &square, 1, 1, x, y, dy, dx);
  assert_true(isnan(y[0]) && y[1] == -INFINITY);
  check_same("dx", 8, dx, (const float[]){0.0F, 2.0F, 3.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F});
}

/* The average of 2^20 equal values is their value, as it would not be with a sum in float. */
static void averages_of_large_windows_are_exact(void **state) {
  (void)state;
  enum { N = 1 << 20 };
  ls_window w = {.in = {1, 1, N}, .size = {1, 1, N}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
  float *const x = new_floats(N);
  float y = 0.0F;
  for (size_t i = 0; i < N; i++) x[i] = 0.1F;
  assert_true(ls_window_set_out(&w));
  ls_pool_forward(LS_POOL_AVERAGE, &w, 1, 1, x, &y);
  check_same("y", 1, &y, x);
  free(x);
}

/* ---------------------------------------------------------------------- windows */

static void windows_have_the_right_sizes(void **state) {
  (void)state;
  static const struct {
    size_t in, size, stride, dilation, before, after, out; /* out 0: does not fit */
    bool is_inside;
  } rows[] = {
      {5, 3, 1, 1, 0, 0, 3, true},         {5, 3, 2, 1, 0, 0, 2, true},
      {5, 3, 2, 1, 1, 1, 3, true},         {6, 3, 2, 1, 0, 1, 3, true},
      {5, 2, 1, 4, 0, 0, 1, true},         {5, 2, 1, 5, 0, 0, 0, false},
      {2, 3, 1, 1, 0, 0, 0, false},        {2, 3, 1, 1, 1, 0, 1, true},
      {4, 1, 1, 1, 1, 0, 5, false},        {4, 2, 1, 1, 1, 1, 5, true},
      {4, 2, 1, 1, 0, 2, 5, false},        {1, 1, 7, 1, 0, 0, 1, true},
      {5, SIZE_MAX, 1, 3, 0, 0, 0, false}, {SIZE_MAX, 1, 1, 1, 1, 0, 0, false},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_window w = {.in = {1, 1, rows[i].in},
                   .size = {1, 1, rows[i].size},
                   .stride = {1, 1, rows[i].stride},
                   .dilation = {1, 1, rows[i].dilation},
                   .before = {0, 0, rows[i].before},
                   .after = {0, 0, rows[i].after}};
    assert_int_equal(ls_window_set_out(&w), rows[i].out > 0);
    if (rows[i].out == 0) continue;
    assert_int_equal(w.out[2], rows[i].out);
    assert_int_equal(ls_window_is_inside(&w), rows[i].is_inside);
  }
}

/* The gradient of a weight is the sum over 4e6 positions of 1 times -0.1; a running float32 sum is wrong by
 * several percent. */
static void gradients_of_many_positions_are_exact(void **state) {
  (void)state;
  enum { SIDE = 10, N = 40000, CHANNELS = 2 };
  for (size_t groups = 1; groups <= CHANNELS; groups++) { /* 2: depthwise */
    ls_conv c = {
        .window = {.in = {1, SIDE, SIDE}, .size = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
        .channels = CHANNELS,
        .filters = CHANNELS,
        .groups = groups};
    assert_true(ls_window_set_out(&c.window));
    const size_t count = (size_t)N * SIDE * SIDE * CHANNELS;
    float *const x = new_floats(count);
    float *const dz = new_floats(count);
    float dw[CHANNELS * CHANNELS] = {0.0F};
    arrays a = arrays_of_conv(&c);
    for (size_t i = 0; i < count; i++) x[i] = 1.0F;
    for (size_t i = 0; i < count; i++) dz[i] = -0.1F;
    ls_conv_start_weights(a.plan);
    for (size_t i = 0; i < N; i += N / 100) { /* in pieces */
      const size_t offset = i * SIDE * SIDE * CHANNELS;
      ls_conv_backward_weights(a.plan, N / 100, x + offset, dz + offset, a.workspace);
    }
    ls_conv_finish_weights(a.plan, 0.0F, dw);
    for (size_t i = 0; i < CHANNELS * CHANNELS / groups; i++)
      check_close("gradient", (double)dw[i] / (N * SIDE * SIDE * (double)-0.1F), 1.0, 1e-5);
    free(x);
    free(dz);
    arrays_free(&a);
  }
}

/* Three threads, each with a sample: the same bits of outputs and gradients of x, and the same gradients of
 * w to rounding. */
static void threads_make_no_difference(void **state) {
  (void)state;
  static const struct {
    size_t in[LS_WINDOW_DIMS], size[LS_WINDOW_DIMS], stride, channels, filters, groups;
  } rows[] = {
      {{1, 40, 40}, {1, 3, 3}, 2, 20, 32, 1},  {{1, 32, 32}, {1, 3, 3}, 1, 16, 24, 1}, /* Winograd */
      {{1, 64, 64}, {1, 3, 3}, 1, 64, 64, 64}, {{1, 64, 64}, {1, 3, 3}, 1, 16, 16, 8},
      {{1, 64, 64}, {1, 3, 3}, 1, 64, 2, 1},   {{1, 1, 10000}, {1, 1, 9}, 1, 1, 16, 1},
      {{12, 14, 16}, {3, 3, 3}, 1, 8, 16, 2}};
  assert_int_equal(ls_math_threads_set(3), LS_OK);
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_conv c = {.channels = rows[i].channels, .filters = rows[i].filters, .groups = rows[i].groups};
    for (size_t d = 0; d < LS_WINDOW_DIMS; d++) {
      c.window.in[d] = rows[i].in[d];
      c.window.size[d] = rows[i].size[d];
      c.window.stride[d] = rows[i].size[d] > 1 ? rows[i].stride : 1;
      c.window.dilation[d] = 1;
    }
    assert_true(ls_window_set_out(&c.window));
    arrays one = arrays_of_conv(&c);
    c.threads = 3;
    arrays three = arrays_of_conv(&c);
    const arrays *const both[] = {&one, &three};
    for (size_t k = 0; k < 2; k++) {
      run_forward(both[k], SAMPLES, both[k]->x, both[k]->b, false, LS_RELU, both[k]->y);
      run_data(both[k], SAMPLES, both[k]->dy, both[k]->dx);
      run_weights(both[k], 0.0F);
    }
    assert_memory_equal(one.y, three.y, SAMPLES * one.n_y * sizeof(float));
    assert_memory_equal(one.dx, three.dx, SAMPLES * one.n_x * sizeof(float));
    double most = 0.0;
    for (size_t k = 0; k < one.n_w; k++) most = fmax(most, fabs((double)one.dw[k]));
    for (size_t k = 0; k < one.n_w; k++)
      assert_true(fabs((double)one.dw[k] - (double)three.dw[k]) <= 1e-5 * most);
    arrays_free(&one);
    arrays_free(&three);
  }
  assert_int_equal(ls_math_threads_set(1), LS_OK);
}

int main(void) {
#if defined(LS_NO_CLONES) && defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 77; /* skipped */
#endif
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gradients_of_many_positions_are_exact),
      cmocka_unit_test(convolutions_match_their_definition),
      cmocka_unit_test(threads_make_no_difference),
      cmocka_unit_test(large_images_match_their_definition),
      cmocka_unit_test(samples_do_not_depend_on_the_batch),
      cmocka_unit_test(images_match_their_definition),
      cmocka_unit_test(images_are_accurate),
      cmocka_unit_test(workspaces_are_small),
      cmocka_unit_test(pooling_matches_its_definition),
      cmocka_unit_test(squares_match_their_definition),
      cmocka_unit_test(maximum_propagates_nan),
      cmocka_unit_test(averages_of_large_windows_are_exact),
      cmocka_unit_test(windows_have_the_right_sizes),
  };
  return cmocka_run_group_tests_name("conv", tests, NULL, NULL);
}
