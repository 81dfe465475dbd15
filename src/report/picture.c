/* Images as PNG files in base64, for data URIs. */
#include "internal.h"
#include "lockstep/explain.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>

#define SIDE_MOST 112 /* pixels; larger images are reduced */

bool report_has_pictures(const ls_dataset *dataset, bool has_names) {
  ls_picture shape;
  const bool is_table = has_names && dataset->x_array.n_dims == 2;
  return dataset->n_spatial != 1 && !is_table && ls_picture_of(&dataset->x_array, &shape);
}

/* --------------------------------------------------------------------------- base64 */

static char *encode(const unsigned char *bytes, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *const text = ls_calloc((n + 2) / 3 * 4 + 1, 1);
  char *at = text;
  for (size_t i = 0; text && i < n; i += 3) {
    const size_t left = n - i;
    const uint32_t word = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                          (left > 2 ? (uint32_t)bytes[i + 2] : 0);
    *at++ = digits[word >> 18];
    *at++ = digits[word >> 12 & 63];
    *at++ = left > 1 ? digits[word >> 6 & 63] : '=';
    *at++ = left > 2 ? digits[word & 63] : '=';
  }
  return text;
}

/* ---------------------------------------------------------------------------- pixels */

/* The values that are black and white: the range of the training data or, if that is unknown, of the image.
 */
static void range_of(const ls_dataset *dataset, const ls_values *training, const float *x, double *low,
                     double *high) {
  *low = training->low;
  *high = training->high;
  if (training->type && *high > *low) return;
  *low = *high = (double)x[0];
  for (size_t i = 0; i < dataset->n_features; i++) {
    *low = fmin(*low, (double)x[i]);
    *high = fmax(*high, (double)x[i]);
  }
}

/* The mean of the pixels that pixel (row, column) of an image reduced by `scale` stands for. */
static double mean_of(const ls_picture *p, const float *x, size_t scale, size_t row, size_t column,
                      size_t channel) {
  double sum = 0.0;
  size_t n = 0;
  for (size_t i = row * scale; i < ls_size_min((row + 1) * scale, p->height); i++)
    for (size_t j = column * scale; j < ls_size_min((column + 1) * scale, p->width); j++, n++)
      sum += (double)x[(i * p->width + j) * p->channels + channel];
  return sum / (double)n;
}

static ls_status write_png(const unsigned char *pixels, size_t height, size_t width, size_t channels,
                           char **out) {
  png_image image = {.version = PNG_IMAGE_VERSION,
                     .format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY,
                     .width = (png_uint_32)width,
                     .height = (png_uint_32)height};
  png_alloc_size_t bytes = 0;
  if (!png_image_write_to_memory(&image, NULL, &bytes, 0, pixels, 0, NULL))
    return ls_fail(LS_ERR_INTERNAL, "a picture: %s", image.message);
  unsigned char *const file = ls_calloc(bytes, 1);
  if (!file) return ls_fail_memory("a picture", bytes);
  ls_status status = LS_OK;
  if (!png_image_write_to_memory(&image, file, &bytes, 0, pixels, 0, NULL))
    status = ls_fail(LS_ERR_INTERNAL, "a picture: %s", image.message);
  if (status == LS_OK) *out = encode(file, bytes);
  free(file);
  return status == LS_OK && !*out ? ls_fail_memory("a picture", bytes) : status;
}

ls_status report_picture(const ls_dataset *dataset, const ls_values *training, const float *x, char **out) {
  ls_picture p = {0};
  double low = 0.0;
  double high = 0.0;
  LS_ASSERT(ls_picture_of(&dataset->x_array, &p));
  const size_t scale = (ls_size_max(p.height, p.width) + SIDE_MOST - 1) / SIDE_MOST;
  const size_t height = (p.height + scale - 1) / scale;
  const size_t width = (p.width + scale - 1) / scale;
  unsigned char *const pixels = ls_calloc(height * width, p.channels);
  if (!pixels) return ls_fail_memory("a picture", height * width * p.channels);
  range_of(dataset, training, x, &low, &high);
  for (size_t i = 0; i < height; i++)
    for (size_t j = 0; j < width; j++)
      for (size_t c = 0; c < p.channels; c++) {
        const double share = high > low ? (mean_of(&p, x, scale, i, j, c) - low) / (high - low) : 0.0;
        pixels[(i * width + j) * p.channels + c] =
            (unsigned char)lround(255.0 * fmin(fmax(share, 0.0), 1.0));
      }
  const ls_status status = write_png(pixels, height, width, p.channels, out);
  free(pixels);
  return status;
}
