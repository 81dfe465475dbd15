/* What the unit tests share: cmocka, closeness, numbers to compute with, configs from texts. */
#ifndef LOCKSTEP_TEST_SUPPORT_H
#define LOCKSTEP_TEST_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lockstep/config.h"
#include "lockstep/layer.h"

#include "../message.h"

/* Elements of an array. */
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Fails unless |got - want| <= tolerance; NaN is close to nothing. */
static inline void check_close(const char *what, double got, double want, double tolerance) {
  if (!(fabs(got - want) <= tolerance))
    fail_msg("%s: got %.9g, want %.9g, tolerance %.3g", what, got, want, tolerance);
}

/* Fails unless the arrays have the same bits. */
static inline void check_same(const char *what, size_t n, const float *got, const float *want) {
  for (size_t i = 0; i < n; i++)
    if (memcmp(got + i, want + i, sizeof *got) != 0)
      fail_msg("%s: element %zu: got %.9g, want %.9g", what, i, (double)got[i], (double)want[i]);
}

/* Fails unless ||got - want|| <= tolerance ||want||, where ||want|| counts as at least `least`. */
static inline void check_norm(const char *what, size_t n, const float *got, const float *want,
                              double tolerance, double least) {
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < n; i++) {
    const double d = (double)got[i] - (double)want[i];
    difference += d * d;
    norm += (double)want[i] * (double)want[i];
  }
  check_close(what, sqrt(difference), 0.0, tolerance * fmax(sqrt(norm), least));
}

/* Options that every loss accepts: the defaults of those that have a key. */
static const ls_loss_options loss_options __attribute__((unused)) = {.delta = 1.0, .gamma = 2.0};

static inline bool same_shape(const ls_shape *a, const ls_shape *b) {
  return a->n_dims == b->n_dims && memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims) == 0;
}

/* n zeroed elements, to be freed by the caller. */
static inline float *new_floats(size_t n) {
  float *const x = ls_calloc(n, sizeof *x);
  assert_non_null(x);
  return x;
}

/* The document of a text, to be destroyed by the caller. */
static inline ls_config *config_of(const char *text) {
  ls_config *config = NULL;
  if (ls_config_create(text, "net.yaml", &config) != LS_OK) fail_msg("%s\n%s", text, ls_message());
  return config;
}

/* Fails unless what was read from the document had no errors. */
static inline void check_valid(const ls_config *config) {
  if (ls_config_status(config) != LS_OK) fail_msg("%s", ls_message());
}

/* Fails unless the document has an error whose message has the parts of a pattern, as message.h describes
 * it. */
static inline void check_error(const ls_config *config, const char *pattern) {
  assert_int_equal(ls_config_status(config), LS_ERR_CONFIG);
  if (!message_has(ls_message(), pattern)) fail_msg("no '%s' in: %s", pattern, ls_message());
}

/* x[i], i < n: uniform in [-1, 1), another set for each `key`. */
static inline void fill_random(uint64_t key, size_t n, float *x) {
  const ls_rng rng = ls_rng_make(key, LS_RNG_CHECK, 0, 0);
  ls_rng_uniform(&rng, 0, n, x);
  for (size_t i = 0; i < n; i++) x[i] = 2.0F * x[i] - 1.0F;
}

#endif
