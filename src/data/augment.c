/* Augmentation of single training samples: moves of images, noise, cutout. Random numbers are keyed on
 * (seed, epoch, sample). */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Instances of LS_RNG_AUGMENT. They must not change, or resumed runs would differ. */
enum { SHIFT, FLIP, ROTATE, NOISE, CUTOUT };

typedef struct image {
  int64_t height, width;
  size_t channels;
} image;

static image image_of(const ls_array *array) {
  return (image){.height = (int64_t)array->dims[1],
                 .width = (int64_t)array->dims[2],
                 .channels = array->n_dims == 4 ? array->dims[3] : 1};
}

/* A shift or a square of the size of an image removes all of it. */
static ls_status check_size(const char *option, uint64_t size, const ls_dataset *dataset) {
  const image im = image_of(&dataset->x_array);
  const uint64_t side = (uint64_t)(im.height < im.width ? im.height : im.width);
  if (size < side || size == 0) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "data.augment.%s: %llu: removes images of %llu by %llu pixels; must be less than their smaller side",
      option, (unsigned long long)size, (unsigned long long)im.height, (unsigned long long)im.width);
}

ls_status ls_augment_check(const ls_augment *augment, const ls_dataset *dataset) {
  char shape[128];
  const char *const option = augment->shift > 0         ? "shift"
                             : augment->flip_horizontal ? "flip_horizontal"
                             : augment->rotate > 0.0    ? "rotate"
                             : augment->cutout > 0      ? "cutout"
                                                        : NULL;
  const bool is_image = dataset->n_spatial == 0 || dataset->n_spatial == 2;
  if (is_image && (dataset->x_array.n_dims == 3 || dataset->x_array.n_dims == 4)) {
    LS_TRY(check_size("shift", augment->shift, dataset));
    return check_size("cutout", augment->cutout, dataset);
  }
  if (!option) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "data.augment.%s: x is %s%s; must be images, of shape (N, H, W) or (N, H, W, C)", option,
                 ls_array_describe(&dataset->x_array, shape, sizeof shape),
                 dataset->n_spatial == 1 ? ", and the layers read it as signals" : "");
}

bool data_augment_moves(const ls_augment *augment) {
  return augment->shift > 0 || augment->flip_horizontal || augment->rotate > 0.0;
}

/* Four random words for one kind of change of a sample. */
static void draw(uint64_t seed, uint32_t kind, uint64_t epoch, uint64_t sample, uint32_t words[4]) {
  const ls_rng rng = ls_rng_make(seed, LS_RNG_AUGMENT, kind, epoch);
  ls_rng_block(&rng, sample, 0, words);
}

/* Uniform in 0 .. n - 1, n < 2^32. */
static int64_t below(uint32_t word, uint64_t n) {
  return (int64_t)((word * n) >> 32);
}

data_placement data_augment_place(const ls_augment *augment, uint64_t seed, uint64_t epoch,
                                  uint64_t sample) {
  data_placement place = {0};
  uint32_t words[4];
  if (augment->shift > 0) {
    draw(seed, SHIFT, epoch, sample, words);
    place.down = below(words[0], 2 * augment->shift + 1) - (int64_t)augment->shift;
    place.right = below(words[1], 2 * augment->shift + 1) - (int64_t)augment->shift;
  }
  if (augment->flip_horizontal) {
    draw(seed, FLIP, epoch, sample, words);
    place.flipped = words[0] >> 31;
  }
  if (augment->rotate > 0.0) {
    draw(seed, ROTATE, epoch, sample, words);
    place.degrees = augment->rotate * (2.0 * (double)words[0] * 0x1p-32 - 1.0);
  }
  return place;
}

/* ------------------------------------------------------------------------- moving */

static void move_exactly(const data_placement *place, const image *im, const double *x, double *out) {
  const size_t n = im->channels;
  for (int64_t r = 0; r < im->height; r++)
    for (int64_t c = 0; c < im->width; c++, out += n) {
      const int64_t from_r = r - place->down;
      const int64_t to_left = c - place->right;
      const int64_t from_c = place->flipped ? im->width - 1 - to_left : to_left;
      const bool inside = from_r >= 0 && from_r < im->height && from_c >= 0 && from_c < im->width;
      const double *const from = inside ? x + (size_t)(from_r * im->width + from_c) * n : NULL;
      for (size_t k = 0; k < n; k++) out[k] = inside ? from[k] : 0.0;
    }
}

/* out += weight * pixel (r, c) of x; a pixel outside is 0. */
static void add_pixel(const image *im, const double *x, int64_t r, int64_t c, double weight, double *out) {
  if (weight == 0.0 || r < 0 || r >= im->height || c < 0 || c >= im->width) return;
  const double *const from = x + (size_t)(r * im->width + c) * im->channels;
  for (size_t k = 0; k < im->channels; k++) out[k] += weight * from[k];
}

/* Bilinear interpolation at (r, c). */
static void interpolate(const image *im, const double *x, double r, double c, double *out) {
  const int64_t i = (int64_t)floor(r);
  const int64_t j = (int64_t)floor(c);
  const double down = r - (double)i;
  const double right = c - (double)j;
  for (size_t k = 0; k < im->channels; k++) out[k] = 0.0;
  add_pixel(im, x, i, j, (1.0 - down) * (1.0 - right), out);
  add_pixel(im, x, i, j + 1, (1.0 - down) * right, out);
  add_pixel(im, x, i + 1, j, down * (1.0 - right), out);
  add_pixel(im, x, i + 1, j + 1, down * right, out);
}

/* Cosine and sine of an angle in degrees; exact for multiples of 90 degrees. */
static void turn_of(double degrees, double *cosine, double *sine) {
  const double pi = 3.141592653589793;
  const double quarters = nearbyint(degrees / 90.0);
  const double rest = (degrees - 90.0 * quarters) * (pi / 180.0);
  const double c = cos(rest);
  const double s = sin(rest);
  const int turns = ((int)quarters % 4 + 4) % 4;
  *cosine = turns == 0 ? c : turns == 1 ? -s : turns == 2 ? -c : s;
  *sine = turns == 0 ? s : turns == 1 ? c : turns == 2 ? -s : -c;
}

/* Computes the origin of each pixel: undoes the shift, then the rotation, then the flip. Row numbers
 * increase downwards, so a counterclockwise rotation about the centre maps (r, c) to (r cos - c sin, r sin
 * + c cos). */
static void move_between(const data_placement *place, const image *im, const double *x, double *out) {
  const double middle_r = 0.5 * (double)(im->height - 1);
  const double middle_c = 0.5 * (double)(im->width - 1);
  double cosine = 1.0;
  double sine = 0.0;
  turn_of(place->degrees, &cosine, &sine);
  for (int64_t i = 0; i < im->height; i++)
    for (int64_t j = 0; j < im->width; j++, out += im->channels) {
      const double r = (double)(i - place->down) - middle_r;
      const double c = (double)(j - place->right) - middle_c;
      const double from_r = middle_r + r * cosine + c * sine;
      const double from_c = middle_c + c * cosine - r * sine;
      interpolate(im, x, from_r, place->flipped ? 2.0 * middle_c - from_c : from_c, out);
    }
}

void data_augment_move(const data_placement *placement, const ls_array *array, const double *x,
                       double *out) {
  const image im = image_of(array);
  if (placement->degrees == 0.0)
    move_exactly(placement, &im, x, out);
  else
    move_between(placement, &im, x, out);
}

/* ------------------------------------------------------------------ noise and cutout */

/* The centre of the square is uniform over the pixels; the border clips the square. */
static void cut_out(uint64_t size, uint64_t seed, uint64_t epoch, uint64_t sample, const image *im,
                    float *x) {
  uint32_t words[4];
  draw(seed, CUTOUT, epoch, sample, words);
  const int64_t side = (int64_t)size;
  const int64_t top = below(words[0], (uint64_t)im->height) - side / 2;
  const int64_t left = below(words[1], (uint64_t)im->width) - side / 2;
  const int64_t first = left > 0 ? left : 0;
  const int64_t end = left + side < im->width ? left + side : im->width;
  for (int64_t r = top > 0 ? top : 0; r < top + side && r < im->height; r++)
    memset(x + (size_t)(r * im->width + first) * im->channels, 0,
           (size_t)(end - first) * im->channels * sizeof *x);
}

void data_augment_cover(const ls_augment *augment, const ls_dataset *dataset, uint64_t seed, uint64_t epoch,
                        uint64_t sample, float *noise, float *x) {
  if (augment->noise > 0.0) {
    const ls_rng rng = ls_rng_make(seed, LS_RNG_AUGMENT, NOISE, epoch);
    ls_rng_normal(&rng, sample, dataset->n_features, noise);
    ls_math_add_scaled(dataset->n_features, (float)augment->noise, noise, x);
  }
  if (augment->cutout == 0) return;
  const image im = image_of(&dataset->x_array);
  cut_out(augment->cutout, seed, epoch, sample, &im, x);
}
