/* Batch size, epochs, learning rate and regularisation, from the number of samples and the kind of data. */
#include "internal.h"

#include <math.h>

#define VALIDATION_LEAST                                                                                   \
  5000 /* samples, from which on a part of them is held out; fewer are worth more for                      \
          training than for the choice of an epoch, as measured */
#define VALIDATION_LEAST_CONVOLUTIONS 1000
#define VALIDATION_SHARE              0.1
#define VALIDATION_MOST               20000 /* samples */

/* The largest power of two up to `value`, within limits. */
static uint64_t power_of_two(double value, uint64_t low, uint64_t high) {
  uint64_t n = low;
  while (2 * n <= high && (double)(2 * n) <= value) n *= 2;
  return n;
}

/* Whether validation data would have enough samples of the smallest class to rank epochs. */
static bool has_enough(const draft_targets *y) {
  return y->task != DRAFT_CLASSES || y->most < 10 * y->least || VALIDATION_SHARE * (double)y->least >= 20.0;
}

static void choose_validation(const draft_facts *f, bool has_validation, draft_plan *p) {
  const uint64_t n = f->x.n;
  const uint64_t least =
      f->layout.kind == LS_DRAFT_TABLE ? VALIDATION_LEAST : VALIDATION_LEAST_CONVOLUTIONS;
  if (!has_validation && n >= least && has_enough(&f->y))
    p->validation = fmin(VALIDATION_SHARE, (double)VALIDATION_MOST / (double)n);
  if (p->validation > 0.01) p->validation = round(100.0 * p->validation) / 100.0;
  p->n_train = n - (uint64_t)llround(p->validation * (double)n);
}

/* The epochs that have about `steps` steps, within limits. */
static uint64_t epochs_of(const draft_plan *p, double steps, uint64_t low, uint64_t high) {
  const double per_epoch = ceil((double)p->n_train / (double)p->batch_size);
  const double epochs = ceil(steps / per_epoch);
  return (uint64_t)fmin(fmax(epochs, (double)low), (double)high);
}

/* What suits tables up to a number of samples, as measured by tests/bench/init.py. */
typedef struct recipe {
  uint64_t n_most;
  size_t n_hidden, units;
  double steps, lr, weight_decay, dropout, noise;
} recipe;

static const recipe recipes[] = {{100, 1, 128, 500.0, 0.002, 0.3, 0.2, 0.4},
                                 {3000, 2, 128, 2500.0, 0.008, 0.3, 0.2, 0.2},
                                 {20000, 2, 256, 5000.0, 0.005, 0.1, 0.2, 0.1},
                                 {UINT64_MAX, 2, 512, 10000.0, 0.003, 0.02, 0.1, 0.0}};

#define FEW_FEATURES 3   /* whose noise does not cancel out */
#define DENSE_ROWS   25U /* samples per feature, from which on 100 samples or fewer show more than a line */

#define TAIL_LONG 15.0 /* standard deviations */

/* Features with long tails are limited first, unless y depends on their size. Noise would hide the other
 * values, which are close together. */
static void limit_tails(const draft_facts *f, draft_plan *p) {
  if (f->x.tail < TAIL_LONG) return;
  p->noise = 0.0;
  if (f->y.task != DRAFT_NUMBERS) p->n_limits = ls_size_min(ls_size_max(4 * f->x.n_features, 64), 256);
}

/* Counts and indicators of categories: in standard deviations, their few values would be very large, and
 * noise would hide that the others are equal. */
static void scale_sparse(const draft_facts *f, draft_plan *p) {
  if (2 * f->x.n_sparse <= f->x.n_features || f->x.tail >= TAIL_LONG) return;
  p->noise = 0.0;
  p->is_scaled = !f->x.has_missing; /* predictions replace missing cells by means, which `scale` lacks */
}

static void choose_table(const draft_facts *f, draft_plan *p) {
  const recipe *r = recipes;
  while (p->n_train > r->n_most || (r == recipes && p->n_train >= DENSE_ROWS * f->x.n_features)) r++;
  const uint64_t batch_most = p->n_train < 200000 ? 512 : 1024;
  p->batch_size = ls_size_min(power_of_two((double)p->n_train / 16.0, 16, batch_most), p->n_train);
  p->epochs = epochs_of(p, r->steps, 5, 1000);
  p->n_hidden = r->n_hidden;
  p->units = r->units;
  p->lr = f->y.task == DRAFT_LABELS ? 0.6 * r->lr : r->lr; /* the loss sums over the labels */
  p->weight_decay = f->y.task == DRAFT_LABELS ? fmin(4.0 * r->weight_decay, 1.0) : r->weight_decay;
  p->dropout = r->dropout;
  p->noise = f->x.n_features > FEW_FEATURES ? r->noise : 0.0;
  limit_tails(f, p);
  scale_sparse(f, p);
}

#define WORK_MOST 4.5e13 /* multiplications of a training: some minutes on a few cores */

/* Epochs that the work allows, at least `low`. */
static uint64_t limit_work(const draft_plan *p, uint64_t low) {
  const double per_epoch = 3.0 * p->network.work * (double)p->n_train;
  const double most = floor(WORK_MOST / fmax(per_epoch, 1.0));
  return (uint64_t)fmax(fmin((double)p->epochs, most), (double)low);
}

#define SHIFT_SIDE 12 /* pixels of a side per pixel of shift */

static size_t choose_shift(const draft_layout *l) {
  if (l->kind != LS_DRAFT_IMAGES) return 0;
  return ls_size_min(l->shape.dims[0], l->shape.dims[1]) / SHIFT_SIDE;
}

#define SAMPLES_SEEN 100000.0 /* over all epochs, counting repetitions */

static void choose_convolutions(const draft_facts *f, draft_plan *p) {
  const double n = (double)p->n_train;
  p->batch_size = ls_size_min(power_of_two(n / 16.0, 16, 128), p->n_train);
  p->epochs = (uint64_t)fmin(fmax(ceil(SAMPLES_SEEN / n), 12.0), 200.0);
  p->lr = 0.003;
  p->weight_decay = 0.05;
  p->dropout = 0.2;
  p->shift = choose_shift(&f->layout);
}

void draft_choose(const draft_facts *f, bool has_validation, draft_plan *p) {
  const bool is_table = f->layout.kind == LS_DRAFT_TABLE;
  *p = (draft_plan){0};
  choose_validation(f, has_validation, p);
  p->is_balanced = f->y.task == DRAFT_CLASSES && f->y.most >= 10 * f->y.least;
  if (is_table)
    choose_table(f, p);
  else
    choose_convolutions(f, p);
  draft_build_network(f, p);
  p->epochs = limit_work(p, 3);
  if (has_validation || p->validation > 0.0) p->patience = ls_size_max(p->epochs / 3, 5);
}
