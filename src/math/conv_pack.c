/* Packed weights of convolutions: blocks of MATH_LANE outputs, zeros where there are fewer. */
#include "internal.h"

#include <string.h>

void math_conv_pack_filters(size_t filters, size_t terms, const float *w, float *out) {
  for (size_t block = 0; block < filters; block += MATH_LANE)
    for (size_t k = 0; k < terms; k++, out += MATH_LANE)
      for (size_t j = 0; j < MATH_LANE; j++)
        out[j] = block + j < filters ? w[(block + j) * terms + k] : 0.0F;
}

/* Channel j of a band as an output: its weight of filter f and tap t is at [(f taps + t) channels]. */
static const float *weights_of_channel(const ls_conv *conv, size_t j, const float *w) {
  const size_t channels = conv->channels / conv->groups;
  const size_t filters = conv->filters / conv->groups;
  return w + j / channels * filters * math_conv_taps(conv) * channels + j % channels;
}

/* out[j] = lanes[j][offset], or 0 from lane n on. */
static void pack_lanes(size_t n, const float *const *lanes, size_t offset, float *out) {
  for (size_t j = 0; j < n; j++) out[j] = lanes[j][offset];
  for (size_t j = n; j < MATH_LANE; j++) out[j] = 0.0F;
}

void math_conv_pack_channels(const ls_conv *conv, const math_walk *walk, const float *w, float *out) {
  const size_t channels = conv->channels / conv->groups;
  const size_t filters = conv->filters / conv->groups;
  const size_t taps = math_conv_taps(conv);
  const float *lanes[MATH_LANE] = {NULL};
  for (size_t block = 0; block < walk->band_dests; block += MATH_LANE) {
    const size_t n = ls_size_min(MATH_LANE, walk->band_dests - block);
    const bool is_contiguous = n == MATH_LANE && block % channels + n <= channels;
    for (size_t j = 0; j < n; j++) lanes[j] = weights_of_channel(conv, block + j, w);
    for (size_t t = 0; t < walk->n_taps; t++) {
      const size_t tap = math_walk_tap(walk, conv->window.size, t);
      for (size_t f = 0; f < filters; f++, out += MATH_LANE)
        if (is_contiguous)
          memcpy(out, lanes[0] + (f * taps + tap) * channels, MATH_LANE * sizeof *out);
        else
          pack_lanes(n, lanes, (f * taps + tap) * channels, out);
    }
  }
}

void math_conv_unpack_filters(size_t filters, size_t terms, const float *packed, float beta, float *w) {
  for (size_t f = 0; f < filters; f++) {
    const float *const lane = packed + f / MATH_LANE * terms * MATH_LANE + f % MATH_LANE;
    for (size_t k = 0; k < terms; k++, w++) *w = (beta == 0.0F ? 0.0F : beta * *w) + lane[k * MATH_LANE];
  }
}
