/* The transforms of Winograd's convolutions for each processor. */
#include "conv_vector.h"

#define WIDTH       4
#define TARGET      /* the processor that the flags name */
#define LANES(name) name##_portable
#include "winograd_lanes.h"

#ifdef CONV_X86

#define WIDTH       8
#define TARGET      AVX2
#define LANES(name) name##_avx2
#include "winograd_lanes.h"

#define WIDTH       16
#define TARGET      AVX512
#define LANES(name) name##_avx512
#include "winograd_lanes.h"

#endif

void math_winograd_transform(size_t n, size_t channels, const math_winograd_rows *d, size_t stride,
                             float *out) {
  switch (conv_level_of_processor()) {
#ifdef CONV_X86
  case CONV_AVX512: transform_avx512(n, channels, d, stride, out); break;
  case CONV_AVX2: transform_avx2(n, channels, d, stride, out); break;
#endif
  default: transform_portable(n, channels, d, stride, out);
  }
}

void math_winograd_spread(size_t n, size_t channels, size_t lanes, const math_winograd_rows *dy,
                          size_t stride, float *out) {
  switch (conv_level_of_processor()) {
#ifdef CONV_X86
  case CONV_AVX512: spread_tiles_avx512(n, channels, lanes, dy, stride, out); break;
  case CONV_AVX2: spread_tiles_avx2(n, channels, lanes, dy, stride, out); break;
#endif
  default: spread_tiles_portable(n, channels, lanes, dy, stride, out);
  }
}

void math_winograd_put(const math_winograd_outputs *o) {
  switch (conv_level_of_processor()) {
#ifdef CONV_X86
  case CONV_AVX512: put_tiles_avx512(o); break;
  case CONV_AVX2: put_tiles_avx2(o); break;
#endif
  default: put_tiles_portable(o);
  }
}
