/* Batch size, epochs, learning rate and regularisation, from the number of samples and the kind of data. */
#include "internal.h"

#include <math.h>

#define VALIDATION_LEAST 1000 /* samples, from which on a part of them is held out */
#define VALIDATION_SHARE 0.1
#define VALIDATION_MOST  20000 /* samples */

/* The largest power of two up to `value`, within limits. */
static uint64_t power_of_two(double value, uint64_t low, uint64_t high) {
  uint64_t n = low;
  while (2 * n <= high && (double)(2 * n) <= value) n *= 2;
  return n;
}

static void choose_validation(const draft_facts *f, bool has_validation, draft_plan *p) {
  const uint64_t n = f->x.n;
  if (!has_validation && n >= VALIDATION_LEAST)
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

static void choose_table(const draft_facts *f, draft_plan *p) {
  const double n = (double)p->n_train;
  p->batch_size = ls_size_min(power_of_two(n / 16.0, 16, 512), p->n_train);
  p->epochs = epochs_of(p, 2000.0, 10, 500);
  p->lr = 0.002;
  p->weight_decay = n < 1000.0 ? 0.3 : n < 10000.0 ? 0.1 : 0.01;
  p->dropout = n < 20000.0 ? 0.2 : 0.1;
  (void)f;
}

#define WORK_MOST 4.5e13 /* multiplications of a training: some minutes on a few cores */

/* Epochs that the work allows, at least `low`. */
static uint64_t limit_work(const draft_plan *p, uint64_t low) {
  const double per_epoch = 3.0 * p->network.work * (double)p->n_train;
  const double most = floor(WORK_MOST / fmax(per_epoch, 1.0));
  return (uint64_t)fmax(fmin((double)p->epochs, most), (double)low);
}

#define SHIFT_SIDE 16 /* pixels of a side per pixel of shift */

static size_t choose_shift(const draft_layout *l) {
  if (l->kind != LS_DRAFT_IMAGES || l->is_first) return 0;
  return ls_size_min(l->shape.dims[0], l->shape.dims[1]) / SHIFT_SIDE;
}

static void choose_convolutions(const draft_facts *f, draft_plan *p) {
  const double n = (double)p->n_train;
  p->batch_size = ls_size_min(power_of_two(n / 16.0, 16, 128), p->n_train);
  p->epochs = epochs_of(p, n < 2000.0 ? 1200.0 : 3000.0, 12, 100);
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
  if (!is_table) p->epochs = limit_work(p, 3);
  if (has_validation || p->validation > 0.0) p->patience = ls_size_max(p->epochs / 3, 5);
}
