/* The learning rate of each step. With r0 the rate of the optimizer, and e and s the completed epochs and
 * steps, as the schedulers of these names in PyTorch:
 *
 *   constant      r = r0
 *   step          r = r0 gamma^floor(e / step_size)
 *   exponential   r = r0 gamma^e
 *   cosine        r = min_lr + (r0 - min_lr) (1 + cos(pi t)) / 2
 *   linear        r = r0 + (min_lr - r0) t
 *   plateau       r = max(r0 factor^reductions, min_lr)
 *
 * where t rises from 0 at the end of the warm-up to 1 at total_steps, and stays 1. During a warm-up of w
 * steps, r is multiplied by (s + 1) / w. The rate depends only on the position of the run, so that a
 * resumed run has the same rates. */
#include "lockstep/optim.h"

#include <math.h>

#define PI 3.14159265358979323846

/* The struct that the keys fill: the public fields, and the name of the type. */
typedef struct options {
  ls_schedule schedule;
  const char *type;
} options;

#define TYPE_KEY LS_TEXT_KEY("type", options, type, "schedule type", .flags = LS_KEY_REQUIRED)
#define GAMMA_KEY(value, help)                                                                             \
  LS_REAL_KEY("gamma", options, schedule.gamma, value, 0, 1, help, .flags = LS_KEY_ABOVE_MIN)
#define MIN_LR_KEY(help) LS_REAL_KEY("min_lr", options, schedule.min_lr, "0", 0, 1e6, help)
#define TOTAL_STEPS_KEY                                                                                    \
  LS_COUNT_KEY("total_steps", options, schedule.total_steps, "auto", 1, 1e12,                              \
               "step of the run at which the rate reaches min_lr; auto: the last step of train.epochs",    \
               .word = "auto")

/* The last rows of every table. */
#define WARMUP_KEYS                                                                                        \
  LS_COUNT_KEY("warmup_steps", options, schedule.warmup_steps, "0", 0, 1e12,                               \
               "steps over which the rate rises linearly"),                                                \
      LS_COUNT_KEY("warmup_epochs", options, schedule.warmup_epochs, "0", 0, 1e9,                          \
                   "the same in epochs, instead of warmup_steps"),                                         \
  {                                                                                                        \
    0                                                                                                      \
  }

static const ls_key constant_keys[] = {
    LS_TEXT_KEY("type", options, type, "schedule type", .fallback = "constant"),
    WARMUP_KEYS,
};

static const ls_key step_keys[] = {
    TYPE_KEY,
    LS_COUNT_KEY("step_size", options, schedule.step_size, NULL, 1, 1e9, "epochs between reductions",
                 .flags = LS_KEY_REQUIRED),
    GAMMA_KEY("0.1", "factor of each reduction"),
    WARMUP_KEYS,
};

static const ls_key exponential_keys[] = {
    TYPE_KEY,
    GAMMA_KEY("0.95", "factor of the rate per epoch"),
    WARMUP_KEYS,
};

static const ls_key decay_keys[] = {
    TYPE_KEY,
    MIN_LR_KEY("final rate"),
    TOTAL_STEPS_KEY,
    WARMUP_KEYS,
};

static const ls_key plateau_keys[] = {
    TYPE_KEY,
    LS_REAL_KEY("factor", options, schedule.factor, "0.1", 0, 1, "factor of each reduction",
                .flags = LS_KEY_ABOVE_MIN | LS_KEY_BELOW_MAX),
    LS_COUNT_KEY("patience", options, schedule.patience, "10", 0, 1e9,
                 "epochs without improvement of train.monitor before the rate is reduced"),
    MIN_LR_KEY("minimum rate"),
    WARMUP_KEYS,
};

static double constant_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now) {
  (void)schedule;
  (void)now;
  return base;
}

static double step_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now) {
  const uint64_t drops = now->epoch / schedule->step_size;
  return base * pow(schedule->gamma, (double)drops);
}

static double exponential_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now) {
  return base * pow(schedule->gamma, (double)now->epoch);
}

/* t: 0 at the end of the warm-up, 1 from total_steps on. */
static double progress(const ls_schedule *schedule, const ls_schedule_time *now) {
  if (now->step < schedule->warmup_steps) return 0.0;
  if (now->step >= schedule->total_steps) return 1.0;
  return (double)(now->step - schedule->warmup_steps) /
         (double)(schedule->total_steps - schedule->warmup_steps);
}

/* Exact at t = 0 and t = 1. */
static double interpolate(double base, double min_lr, double t) {
  return (1.0 - t) * base + t * min_lr;
}

static double cosine_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now) {
  return interpolate(base, schedule->min_lr, (1.0 - cos(PI * progress(schedule, now))) / 2.0);
}

static double linear_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now) {
  return interpolate(base, schedule->min_lr, progress(schedule, now));
}

/* A min_lr above the base does not raise the rate. */
static double plateau_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now) {
  return fmax(base * pow(schedule->factor, (double)now->n_reductions), fmin(schedule->min_lr, base));
}

const ls_schedule_type ls_schedule_types[] = {
    {"constant", "the rate of the optimizer", constant_keys, constant_lr},
    {"step", "reduction every step_size epochs", step_keys, step_lr},
    {"exponential", "reduction by the same factor every epoch", exponential_keys, exponential_lr},
    {"cosine", "half a cosine from the rate to min_lr, per step", decay_keys, cosine_lr},
    {"linear", "a straight line from the rate to min_lr, per step", decay_keys, linear_lr},
    {"plateau", "reduction when train.monitor stops improving", plateau_keys, plateau_lr},
    {0},
};

static const char *type_name(size_t index) {
  return ls_schedule_types[index].name;
}

/* The type that `schedule.type` names, by default constant; NULL after collecting an error. */
static const ls_schedule_type *find_type(ls_config *config, const ls_node *section) {
  const ls_node *const type = ls_node_find(section, "type");
  if (!type || ls_node_is_null(type)) return ls_schedule_types;
  const int index = ls_config_choose_type(config, section, "type", type_name);
  return index < 0 ? NULL : &ls_schedule_types[index];
}

static void check_lengths(ls_config *config, const ls_node *section, const ls_schedule *s) {
  if (s->warmup_steps > 0 && s->warmup_epochs > 0)
    ls_config_error(config, ls_node_find(section, "warmup_epochs"),
                    "conflicts with warmup_steps; remove one of the two");
  if (s->total_steps > 0 && s->total_steps <= s->warmup_steps)
    ls_config_error(config, ls_node_find(section, "total_steps"),
                    "too short for a warm-up of %llu steps; increase it or reduce warmup_steps",
                    (unsigned long long)s->warmup_steps);
}

void ls_schedule_configure(ls_config *config, ls_schedule *out) {
  options o = {.schedule = {.type = ls_schedule_types}};
  ls_node *const section = ls_config_section(config, ls_config_root(config), "schedule");
  const ls_schedule_type *const type = find_type(config, section);
  if (type) {
    ls_config_read(config, section, type->keys, &o);
    check_lengths(config, section, &o.schedule);
    o.schedule.type = type;
  }
  *out = o.schedule;
}

/* UINT64_MAX on overflow. */
static uint64_t steps_of(uint64_t epochs, uint64_t steps_per_epoch) {
  size_t steps;
  return ls_size_mul(epochs, steps_per_epoch, &steps) ? steps : UINT64_MAX;
}

ls_status ls_schedule_set_length(ls_schedule *schedule, uint64_t steps_per_epoch, uint64_t epochs) {
  const uint64_t all = steps_of(epochs, steps_per_epoch);
  if (schedule->warmup_epochs > 0)
    schedule->warmup_steps = steps_of(schedule->warmup_epochs, steps_per_epoch);
  if (schedule->total_steps == 0) schedule->total_steps = all;
  const uint64_t end = all < schedule->total_steps ? all : schedule->total_steps;
  if (schedule->warmup_steps <= end) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "schedule: warm-up of %llu steps; must be at most %llu, the %s; reduce the warm-up or %s",
                 (unsigned long long)schedule->warmup_steps, (unsigned long long)end,
                 end < all ? "value of total_steps" : "steps of the run",
                 end < all ? "increase total_steps" : "train longer");
}

double ls_schedule_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now) {
  const double lr = schedule->type->lr(schedule, base, now);
  if (now->step >= schedule->warmup_steps) return lr;
  return lr * ((double)(now->step + 1) / (double)schedule->warmup_steps);
}

/* NaN is never better. */
static bool is_better(double value, bool larger_is_better, const ls_plateau *p) {
  const double threshold = 1e-4;
  if (larger_is_better) return value > (p->has_best ? p->best : -INFINITY) * (1.0 + threshold);
  return value < (p->has_best ? p->best : INFINITY) * (1.0 - threshold);
}

void ls_plateau_update(const ls_schedule *schedule, double value, bool larger_is_better,
                       ls_plateau *state) {
  if (schedule->type->lr != plateau_lr) return;
  if (is_better(value, larger_is_better, state)) {
    state->best = value;
    state->has_best = 1;
    state->n_bad = 0;
  } else if (++state->n_bad > schedule->patience) {
    state->n_reductions++;
    state->n_bad = 0;
  }
}
