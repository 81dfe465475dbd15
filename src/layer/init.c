/* Initial weights, keyed on (seed, block, row, element): the same for any number of ranks. */
#include "lockstep/layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const ls_init_names[] = {
    "default",      "xavier_uniform", "xavier_normal", "he_uniform", "he_normal",
    "lecun_normal", "normal",         "uniform",       "zeros",      NULL};

#define STD_DEFAULT "0.01"

static const ls_key keys[] = {
    LS_CHOICE_KEY("type", ls_init, kind, NULL, ls_init_names, "distribution", .flags = LS_KEY_REQUIRED),
    LS_SECTION_KEY("std", "standard deviation of normal and uniform"), /* see std_key */
    {0},
};

/* For the types that have std. */
static const ls_key std_key = LS_REAL_KEY("std", ls_init, std, STD_DEFAULT, 0, 1e6, NULL);

/* The distributions; their variance is scale / (in n_in + out n_out), or std^2 with has_std. */
static const struct {
  double scale, in, out;
  bool is_uniform, has_std;
} kinds[] = {
    [LS_XAVIER_UNIFORM] = {2, 1, 1, .is_uniform = true},
    [LS_XAVIER_NORMAL] = {2, 1, 1},
    [LS_HE_UNIFORM] = {2, 1, 0, .is_uniform = true},
    [LS_HE_NORMAL] = {2, 1, 0},
    [LS_LECUN_NORMAL] = {1, 1, 0},
    [LS_INIT_NORMAL] = {.has_std = true},
    [LS_INIT_UNIFORM] = {.has_std = true, .is_uniform = true},
    [LS_INIT_ZEROS] = {0, 1, 0},
};

static void read_map(ls_config *config, ls_node *map, ls_init *out) {
  ls_config_read(config, map, keys, out);
  const ls_node *const type = ls_node_find(map, "type");
  const ls_node *const std = ls_node_find(map, "std");
  const bool is_known = type && strcmp(ls_node_text(type), ls_init_names[out->kind]) == 0;
  if (kinds[out->kind].has_std)
    ls_config_read_key(config, map, &std_key, out);
  else if (is_known && std && !ls_node_is_null(std))
    ls_config_error(config, std, "only the types normal and uniform have std; scale the others with gain");
}

void ls_init_read(ls_config *config, ls_node *node, ls_init *out) {
  if (ls_node_kind_of(node) == LS_NODE_MAP) {
    read_map(config, node, out);
    return;
  }
  const int kind = ls_config_choose(config, node, "init", ls_init_names);
  out->kind = kind < 0 ? LS_INIT_DEFAULT : kind;
  out->std = kinds[out->kind].has_std ? strtod(STD_DEFAULT, NULL) : 0.0;
}

static ls_init_kind resolve(int kind, ls_activation f) {
  if (kind != LS_INIT_DEFAULT) return (ls_init_kind)kind;
  return f == LS_RELU || f == LS_LEAKY_RELU || f == LS_ELU || f == LS_GELU ? LS_HE_NORMAL
                                                                           : LS_XAVIER_UNIFORM;
}

void ls_init_filters(const ls_init *init, ls_activation f, uint64_t seed, uint32_t instance, size_t n_out,
                     size_t n_in, size_t fan_out, float *w) {
  const ls_init_kind kind = resolve(init->kind, f);
  const bool is_uniform = kinds[kind].is_uniform;
  const double fan = kinds[kind].in * (double)n_in + kinds[kind].out * (double)fan_out;
  const double variance = kinds[kind].has_std ? init->std * init->std : kinds[kind].scale / fan;
  const double std = init->gain * sqrt(variance);
  const float bound = (float)(std * sqrt(3.0)); /* of a uniform distribution */
  const ls_rng rng = ls_rng_make(seed, LS_RNG_INIT, instance, 0);
  for (size_t i = 0; i < n_out; i++) {
    float *const row = w + i * n_in;
    ls_heartbeat_rows(i, n_in);
    if (is_uniform)
      ls_rng_uniform(&rng, i, n_in, row);
    else
      ls_rng_normal(&rng, i, n_in, row);
    for (size_t j = 0; j < n_in; j++)
      row[j] = is_uniform ? bound * (2.0F * row[j] - 1.0F) : (float)std * row[j];
  }
}

void ls_init_weights(const ls_init *init, ls_activation f, uint64_t seed, uint32_t instance, size_t n_out,
                     size_t n_in, float *w) {
  ls_init_filters(init, f, seed, instance, n_out, n_in, n_out, w);
}
