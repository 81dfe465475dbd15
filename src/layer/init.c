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

static bool has_std(int kind) {
  return kind == LS_INIT_NORMAL || kind == LS_INIT_UNIFORM;
}

static void read_map(ls_config *config, ls_node *map, ls_init *out) {
  ls_config_read(config, map, keys, out);
  const ls_node *const type = ls_node_find(map, "type");
  const ls_node *const std = ls_node_find(map, "std");
  const bool is_known = type && strcmp(ls_node_text(type), ls_init_names[out->kind]) == 0;
  if (has_std(out->kind))
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
  out->std = has_std(kind) ? strtod(STD_DEFAULT, NULL) : 0.0;
}

static ls_init_kind resolve(int kind, ls_activation f) {
  if (kind != LS_INIT_DEFAULT) return (ls_init_kind)kind;
  return f == LS_RELU || f == LS_LEAKY_RELU || f == LS_ELU || f == LS_GELU ? LS_HE_NORMAL
                                                                           : LS_XAVIER_UNIFORM;
}

static double variance_of(ls_init_kind kind, double std, double n_in, double n_out) {
  switch (kind) {
  case LS_XAVIER_UNIFORM:
  case LS_XAVIER_NORMAL: return 2.0 / (n_in + n_out);
  case LS_HE_UNIFORM:
  case LS_HE_NORMAL: return 2.0 / n_in;
  case LS_LECUN_NORMAL: return 1.0 / n_in;
  case LS_INIT_NORMAL:
  case LS_INIT_UNIFORM: return std * std;
  case LS_INIT_DEFAULT:
  case LS_INIT_ZEROS: break;
  }
  return 0.0;
}

void ls_init_weights(const ls_init *init, ls_activation f, uint64_t seed, uint32_t instance, size_t n_out,
                     size_t n_in, float *w) {
  const ls_init_kind kind = resolve(init->kind, f);
  const bool is_uniform = kind == LS_XAVIER_UNIFORM || kind == LS_HE_UNIFORM || kind == LS_INIT_UNIFORM;
  const double std = init->gain * sqrt(variance_of(kind, init->std, (double)n_in, (double)n_out));
  const float bound =
      (float)(std * sqrt(3.0)); /* of the uniform distribution with this standard deviation */
  const ls_rng rng = ls_rng_make(seed, LS_RNG_INIT, instance, 0);
  for (size_t i = 0; i < n_out; i++) {
    float *const row = w + i * n_in;
    if (is_uniform)
      ls_rng_uniform(&rng, i, n_in, row);
    else
      ls_rng_normal(&rng, i, n_in, row);
    for (size_t j = 0; j < n_in; j++)
      row[j] = is_uniform ? bound * (2.0F * row[j] - 1.0F) : (float)std * row[j];
  }
}
