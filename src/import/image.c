/* Images to a common size, number of channels and type. */
#include "media.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MOST ((size_t)1 << 27) /* values of a file: 512 MiB of float32, 33 megapixels of RGBA */

size_t import_media_count(const media *m) {
  return m->height * m->width * m->channels;
}

ls_status import_media_reserve(const char *path, const media *m, media_buffer *buffer) {
  size_t count = 0;
  if (m->height == 0 || m->width == 0) return ls_fail(LS_ERR_DATA, "%s: is empty", path);
  if (!ls_size_mul(m->height, m->width, &count) || !ls_size_mul(count, m->channels, &count) ||
      count > COUNT_MOST)
    return ls_fail(LS_ERR_DATA, "%s: %zu x %zu values of %zu channels; must be at most %zu together", path,
                   m->height, m->width, m->channels, COUNT_MOST);
  const size_t bytes = count * ls_dtype_size(m->dtype);
  if (!buffer || bytes <= buffer->bytes) return LS_OK;
  free(buffer->values);
  *buffer = (media_buffer){.values = malloc(bytes)};
  if (!buffer->values) return ls_fail_memory("an image or recording", bytes);
  buffer->bytes = bytes;
  return LS_OK;
}

/* --------------------------------------------------------------------- resampling */

/* The weights of old pixels in each new pixel, along one axis. */
typedef struct axis {
  size_t n_old, n_new;
  size_t taps;    /* weights per new pixel, at most */
  size_t *first;  /* (n_new): the first old pixel */
  float *weights; /* (n_new, taps), 0 beyond the last old pixel */
} axis;

static void axis_destroy(axis *a) {
  free(a->first);
  free(a->weights);
  *a = (axis){0};
}

/* A triangle around the centre of the new pixel, as wide as two new pixels, or two old ones if these are
 * larger. */
static void weigh(const axis *a, size_t i) {
  const double scale = (double)a->n_old / (double)a->n_new;
  const double reach = fmax(scale, 1.0);
  const double centre = ((double)i + 0.5) * scale;
  const double low = floor(centre - reach + 0.5);
  const size_t first = low > 0.0 ? (size_t)low : 0;
  const size_t end = ls_size_min((size_t)floor(centre + reach + 0.5), a->n_old);
  float *const weights = a->weights + i * a->taps;
  double sum = 0.0;
  a->first[i] = first;
  for (size_t k = first; k < end; k++) sum += fmax(0.0, 1.0 - fabs((double)k + 0.5 - centre) / reach);
  for (size_t k = first; k < end; k++)
    weights[k - first] = (float)(fmax(0.0, 1.0 - fabs((double)k + 0.5 - centre) / reach) / sum);
}

static ls_status axis_create(axis *a, size_t n_old, size_t n_new) {
  const double scale = (double)n_old / (double)n_new;
  *a = (axis){.n_old = n_old, .n_new = n_new, .taps = 2 * (size_t)ceil(fmax(scale, 1.0)) + 1};
  a->first = ls_calloc(n_new, sizeof *a->first);
  a->weights = ls_calloc(n_new * a->taps, sizeof *a->weights);
  if (!a->first || !a->weights)
    return ls_fail_memory("resampling an image", n_new * a->taps * sizeof(float));
  for (size_t i = 0; i < n_new; i++) weigh(a, i);
  return LS_OK;
}

typedef struct resampler {
  const media *from, *to; /* borrowed */
  axis down, across;
  float *old_row; /* (from->width, to->channels) */
  float *new_row; /* (to->width, to->channels) */
  float *sums;    /* (to->height, to->width, to->channels) */
} resampler;

static void destroy(resampler *r) {
  axis_destroy(&r->down);
  axis_destroy(&r->across);
  free(r->old_row);
  free(r->new_row);
  free(r->sums);
}

static ls_status create(resampler *r) {
  const size_t row = r->to->width * r->to->channels;
  LS_TRY(axis_create(&r->down, r->from->height, r->to->height));
  LS_TRY(axis_create(&r->across, r->from->width, r->to->width));
  r->old_row = ls_calloc(r->from->width * r->to->channels, sizeof *r->old_row);
  r->new_row = ls_calloc(row, sizeof *r->new_row);
  r->sums = ls_calloc(r->to->height * row, sizeof *r->sums);
  if (r->old_row && r->new_row && r->sums) return LS_OK;
  return ls_fail_memory("resampling an image", r->to->height * row * sizeof *r->sums);
}

/* -------------------------------------------------------------------- old pixels */

static float most_of(const media *m) {
  return m->dtype == LS_U16 ? 65535.0F : 255.0F;
}

/* The colour of a pixel as grey or RGB.  in: from->channels values, out: to->channels values */
static void convert_pixel(const resampler *r, float *in, float *out) {
  const float white = most_of(r->from);
  const size_t colours = r->from->channels <= 2 ? 1 : 3;
  const float alpha = r->from->channels > colours ? in[colours] / white : 1.0F;
  for (size_t c = 0; c < colours; c++) in[c] = alpha * in[c] + (1.0F - alpha) * white;
  for (size_t c = 0; c < r->to->channels; c++) out[c] = in[colours == 1 ? 0 : c];
  if (colours == 3 && r->to->channels == 1) out[0] = 0.299F * in[0] + 0.587F * in[1] + 0.114F * in[2];
}

static void convert_row(const resampler *r, const void *values, size_t y) {
  const size_t channels = r->from->channels;
  const size_t row = y * r->from->width * channels;
  for (size_t x = 0; x < r->from->width; x++) {
    float in[4] = {0};
    for (size_t c = 0; c < channels; c++) {
      const size_t i = row + x * channels + c;
      in[c] = r->from->dtype == LS_U16 ? (float)((const uint16_t *)values)[i]
                                       : (float)((const uint8_t *)values)[i];
    }
    convert_pixel(r, in, r->old_row + x * r->to->channels);
  }
}

/* --------------------------------------------------------------------- new pixels */

static void resample_row(const resampler *r) {
  const size_t channels = r->to->channels;
  memset(r->new_row, 0, r->to->width * channels * sizeof *r->new_row);
  for (size_t x = 0; x < r->to->width; x++) {
    const float *const weights = r->across.weights + x * r->across.taps;
    const size_t first = r->across.first[x];
    const size_t taps = ls_size_min(r->across.taps, r->from->width - first);
    for (size_t k = 0; k < taps; k++)
      for (size_t c = 0; c < channels; c++)
        r->new_row[x * channels + c] += weights[k] * r->old_row[(first + k) * channels + c];
  }
}

/* Adds the resampled row y of the old image to the rows of the new image that it is part of. */
static void add_row(const resampler *r, size_t y) {
  const size_t row = r->to->width * r->to->channels;
  for (size_t i = 0; i < r->to->height; i++) {
    const size_t first = r->down.first[i];
    const float weight =
        y >= first && y - first < r->down.taps ? r->down.weights[i * r->down.taps + y - first] : 0.0F;
    if (weight == 0.0F) continue;
    for (size_t k = 0; k < row; k++) r->sums[i * row + k] += weight * r->new_row[k];
  }
}

static void round_sums(const resampler *r, void *out) {
  const float factor = most_of(r->to) / most_of(r->from);
  const size_t n = import_media_count(r->to);
  for (size_t i = 0; i < n; i++) {
    const float value = fminf(fmaxf(r->sums[i] * factor, 0.0F), most_of(r->to)) + 0.5F;
    if (r->to->dtype == LS_U16)
      ((uint16_t *)out)[i] = (uint16_t)value;
    else
      ((uint8_t *)out)[i] = (uint8_t)value;
  }
}

static bool is_same(const media *a, const media *b) {
  return a->height == b->height && a->width == b->width && a->channels == b->channels &&
         a->dtype == b->dtype;
}

ls_status import_image_convert(const media *from, const void *values, const media *to, void *out) {
  resampler r = {.from = from, .to = to};
  if (is_same(from, to)) {
    memcpy(out, values, import_media_count(to) * ls_dtype_size(to->dtype));
    return LS_OK;
  }
  ls_status status = create(&r);
  for (size_t y = 0; status == LS_OK && y < from->height; y++) {
    ls_heartbeat();
    convert_row(&r, values, y);
    resample_row(&r);
    add_row(&r, y);
  }
  if (status == LS_OK) round_sums(&r, out);
  destroy(&r);
  return status;
}
