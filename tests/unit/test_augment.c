/* Training samples of the module data: moves of images, noise, cutout, mixup, targets, weights. */
#include "support.h"

#include "data/internal.h"
#include "memory_reader.h"

#define SEED 11

/* Bound of statistical tests, in standard errors. The seeds are fixed, so the results do not vary. */
#define SIGMAS 5.0

/* Chi-squared test of counts of equally likely outcomes, with cells - 1 degrees of freedom. */
static void check_uniform(const char *what, size_t cells, const size_t *counts) {
  double total = 0.0;
  double chi = 0.0;
  for (size_t i = 0; i < cells; i++) total += (double)counts[i];
  const double expected = total / (double)cells;
  for (size_t i = 0; i < cells; i++) chi += pow((double)counts[i] - expected, 2.0) / expected;
  const double freedom = (double)cells - 1.0;
  check_close(what, chi, freedom, SIGMAS * sqrt(2.0 * freedom));
}

/* ---------------------------------------------------------------------- moving */

#define ARRAY(...) ((ls_array){.dtype = LS_F64, __VA_ARGS__})

/* Fails unless the moved image x equals `want`. */
static void check_move(const char *what, data_placement place, ls_array array, size_t n, const double *x,
                       const double *want, double tolerance) {
  double out[64];
  for (size_t i = 0; i < n; i++) out[i] = NAN;
  data_augment_move(&place, &array, x, out);
  for (size_t i = 0; i < n; i++) check_close(what, out[i], want[i], tolerance);
}

static const double nine[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
#define NINE ARRAY(.n_dims = 3, .dims = {1, 3, 3})

static void check_nine(const char *what, data_placement place, const double *want) {
  check_move(what, place, NINE, 9, nine, want, 0.0);
}

static void images_move_exactly(void **state) {
  (void)state;
  check_nine("nothing", (data_placement){0}, nine);
  check_nine("down", (data_placement){.down = 1}, (const double[]){0, 0, 0, 1, 2, 3, 4, 5, 6});
  check_nine("up and right", (data_placement){.down = -1, .right = 1},
             (const double[]){0, 4, 5, 0, 7, 8, 0, 0, 0});
  check_nine("away", (data_placement){.right = -3}, (const double[9]){0});
  check_nine("flipped", (data_placement){.flipped = true}, (const double[]){3, 2, 1, 6, 5, 4, 9, 8, 7});
  check_nine("flipped, then shifted", (data_placement){.flipped = true, .right = 1},
             (const double[]){0, 3, 2, 0, 6, 5, 0, 9, 8});
}

static void rotation_by_90_degrees_is_exact(void **state) {
  (void)state;
  const double counterclockwise[9] = {3, 6, 9, 2, 5, 8, 1, 4, 7};
  check_nine("90 degrees", (data_placement){.degrees = 90}, counterclockwise);
  check_nine("-270 degrees", (data_placement){.degrees = -270}, counterclockwise);
  check_nine("-90 degrees", (data_placement){.degrees = -90}, (const double[]){7, 4, 1, 8, 5, 2, 9, 6, 3});
  check_nine("180 degrees", (data_placement){.degrees = 180}, (const double[]){9, 8, 7, 6, 5, 4, 3, 2, 1});
  check_nine("-180 degrees", (data_placement){.degrees = -180},
             (const double[]){9, 8, 7, 6, 5, 4, 3, 2, 1});
  check_move("almost 0 degrees", (data_placement){.degrees = 1e-9}, NINE, 9, nine, nine, 1e-8);
  check_nine("90 degrees, then down", (data_placement){.degrees = 90, .down = 1},
             (const double[]){0, 0, 0, 3, 6, 9, 2, 5, 8});
  check_nine("flipped, then 90 degrees", (data_placement){.degrees = 90, .flipped = true},
             (const double[]){1, 4, 7, 2, 5, 8, 3, 6, 9});
  const double four[4] = {1, 2, 3, 4};
  check_move("even sides", (data_placement){.degrees = 90}, ARRAY(.n_dims = 3, .dims = {1, 2, 2}), 4, four,
             (const double[]){2, 4, 1, 3}, 0.0);
}

/* The channels of a pixel stay together; height and width are not confused. */
static void channels_move_together(void **state) {
  (void)state;
  const double x[12] = {1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6};
  const ls_array array = ARRAY(.n_dims = 4, .dims = {1, 2, 3, 2});
  check_move("flipped", (data_placement){.flipped = true}, array, 12, x,
             (const double[]){3, -3, 2, -2, 1, -1, 6, -6, 5, -5, 4, -4}, 0.0);
  check_move("shifted", (data_placement){.down = 1, .right = -1}, array, 12, x,
             (const double[]){0, 0, 0, 0, 0, 0, 2, -2, 3, -3, 0, 0}, 0.0);
  check_move("180 degrees", (data_placement){.degrees = 180}, array, 12, x,
             (const double[]){6, -6, 5, -5, 4, -4, 3, -3, 2, -2, 1, -1}, 0.0);
}

/* After a rotation by 45 degrees, a pixel beside the centre is 1 - 1/sqrt 2 pixels from its old position,
 * in either direction. */
static void values_between_pixels_are_interpolated(void **state) {
  (void)state;
  const double spot[9] = {0, 0, 0, 0, 1, 0, 0, 0, 0};
  const double near = 1.0 - sqrt(0.5);
  const double beside = near * near;
  const double corner = 0.0; /* sqrt 2 from the centre, outside the adjacent pixels */
  check_move("a spot", (data_placement){.degrees = 45}, NINE, 9, spot,
             (const double[]){corner, beside, corner, beside, 1, beside, corner, beside, corner}, 1e-15);
  /* The corner (-1, 1) of the rotated image comes from (0, sqrt 2), right of the centre. */
  double out[9];
  const ls_array array = NINE;
  data_augment_move(&(data_placement){.degrees = 45}, &array, nine, out);
  check_close("what is outside counts as 0", out[2], (2.0 - sqrt(2.0)) * 6.0, 1e-12);
}

/* ------------------------------------------------------------------------ draws */

#define MANY 25000

static void shifts_are_uniform(void **state) {
  (void)state;
  const ls_augment augment = {.shift = 2};
  size_t counts[25] = {0};
  for (uint64_t sample = 0; sample < MANY; sample++) {
    const data_placement place = data_augment_place(&augment, SEED, 3, sample);
    assert_true(llabs(place.down) <= 2 && llabs(place.right) <= 2);
    assert_true(!place.flipped && place.degrees == 0.0);
    counts[5 * (place.down + 2) + place.right + 2]++;
  }
  check_uniform("rows and columns", COUNT(counts), counts);
}

static void half_of_the_images_are_flipped(void **state) {
  (void)state;
  const ls_augment augment = {.flip_horizontal = true};
  size_t counts[4] = {0}; /* of two epochs: independent */
  for (uint64_t sample = 0; sample < MANY; sample++)
    counts[2 * data_augment_place(&augment, SEED, 0, sample).flipped +
           data_augment_place(&augment, SEED, 1, sample).flipped]++;
  check_uniform("flips", COUNT(counts), counts);
}

static void rotations_are_uniform(void **state) {
  (void)state;
  const ls_augment augment = {.rotate = 30.0};
  size_t counts[20] = {0};
  for (uint64_t sample = 0; sample < MANY; sample++) {
    const double degrees = data_augment_place(&augment, SEED, 0, sample).degrees;
    assert_true(degrees >= -30.0 && degrees < 30.0);
    counts[(size_t)((degrees + 30.0) / 3.0)]++;
  }
  check_uniform("degrees", COUNT(counts), counts);
}

/* A draw depends on seed, epoch and sample, and on nothing else. */
static void draws_are_keyed(void **state) {
  (void)state;
  const ls_augment augment = {.shift = 50, .flip_horizontal = true, .rotate = 180.0};
  const ls_dataset dataset = {.n_samples = 1000};
  const ls_view view = ls_view_all(&dataset);
  const uint64_t keys[][3] = {{1, 0, 5}, {2, 0, 5}, {1, 1, 5}, {1, 0, 6}};
  for (size_t i = 0; i < COUNT(keys); i++)
    for (size_t j = 0; j < COUNT(keys); j++) {
      const data_placement a = data_augment_place(&augment, keys[i][0], keys[i][1], keys[i][2]);
      const data_placement b = data_augment_place(&augment, keys[j][0], keys[j][1], keys[j][2]);
      const uint64_t m = data_mixup_partner(&view, keys[i][0], keys[i][1], keys[i][2]);
      const uint64_t n = data_mixup_partner(&view, keys[j][0], keys[j][1], keys[j][2]);
      assert_int_equal(i == j, a.degrees == b.degrees && a.down == b.down && a.right == b.right);
      assert_int_equal(i == j, m == n);
      assert_int_equal(i == j, data_mixup_share(0.5, keys[i][0], keys[i][1], keys[i][2]) ==
                                   data_mixup_share(0.5, keys[j][0], keys[j][1], keys[j][2]));
    }
}

/* Moments of Beta(alpha, alpha) about 1/2, which are also those of the larger of the two shares: the second
 * is 1 / (4 (2 alpha + 1)), the fourth 3 / (16 (2 alpha + 1) (2 alpha + 3)), and the eighth, over that of
 * the fourth, 35 / (16 (2 alpha + 5) (2 alpha + 7)) / ... gives the error of the fourth's estimate. */
static void check_beta(double alpha) {
  const double second = 1.0 / (4.0 * (2.0 * alpha + 1.0));
  const double fourth = 3.0 * second / (4.0 * (2.0 * alpha + 3.0));
  const double eighth = fourth * 35.0 / (16.0 * (2.0 * alpha + 5.0) * (2.0 * alpha + 7.0));
  double sums[2] = {0.0};
  for (uint64_t sample = 0; sample < MANY; sample++) {
    const double share = (double)data_mixup_share(alpha, SEED, 0, sample);
    assert_true(share >= 0.5 && share <= 1.0);
    sums[0] += pow(share - 0.5, 2.0) / MANY;
    sums[1] += pow(share - 0.5, 4.0) / MANY;
  }
  const double noise = SIGMAS / sqrt(MANY);
  check_close("second moment", sums[0], second, noise * sqrt(fourth - second * second) + 1e-9);
  check_close("fourth moment", sums[1], fourth, noise * sqrt(eighth - fourth * fourth) + 1e-9);
}

static void shares_have_a_beta_distribution(void **state) {
  (void)state;
  const double alphas[] = {1e-6, 0.05, 0.2, 0.9, 1.0, 1.1, 2.0, 8.0, 300.0, 1e6};
  for (size_t i = 0; i < COUNT(alphas); i++) check_beta(alphas[i]);
}

/* With alpha = 1, the share is uniform. */
static void shares_of_alpha_1_are_uniform(void **state) {
  (void)state;
  size_t counts[20] = {0};
  for (uint64_t sample = 0; sample < MANY; sample++)
    counts[(size_t)fmin(40.0 * ((double)data_mixup_share(1.0, SEED, 2, sample) - 0.5), 19.0)]++;
  check_uniform("shares", COUNT(counts), counts);
}

static void partners_are_uniform_in_the_view(void **state) {
  (void)state;
  const ls_dataset dataset = {.n_samples = 40};
  ls_view train;
  ls_view validation;
  ls_view_split(&dataset, 0.25, 3, &train, &validation);
  size_t counts[40] = {0};
  size_t used[30] = {0};
  for (uint64_t sample = 0; sample < MANY; sample++) counts[data_mixup_partner(&train, SEED, 0, sample)]++;
  for (uint64_t i = 0; i < validation.n; i++) assert_int_equal(counts[ls_view_sample(&validation, i)], 0);
  for (uint64_t i = 0; i < train.n; i++) used[i] = counts[ls_view_sample(&train, i)];
  check_uniform("partners", COUNT(used), used);
}

/* --------------------------------------------------------------- noise and cutout */

#define SIDE 5

/* A described dataset of images, without samples. */
static ls_dataset images_of(uint64_t n) {
  return (ls_dataset){.n_samples = n,
                      .n_features = (size_t)SIDE * SIDE,
                      .x_array = {.dtype = LS_F32, .n_dims = 3, .dims = {n, SIDE, SIDE}}};
}

static void noise_is_normal(void **state) {
  (void)state;
  const ls_dataset dataset = images_of(1000);
  const ls_augment augment = {.noise = 0.25};
  double sums[3] = {0.0};
  const double n = 1000.0 * SIDE * SIDE;
  for (uint64_t sample = 0; sample < 1000; sample++) {
    float x[SIDE * SIDE];
    float noise[SIDE * SIDE];
    for (size_t i = 0; i < COUNT(x); i++) x[i] = 3.0F;
    data_augment_cover(&augment, &dataset, SEED, 0, sample, noise, x);
    for (size_t i = 0; i < COUNT(x); i++) {
      const double z = ((double)x[i] - 3.0) / 0.25;
      sums[0] += z / n;
      sums[1] += z * z / n;
      sums[2] += z * z * z * z / n;
    }
  }
  check_close("mean", sums[0], 0.0, SIGMAS / sqrt(n));
  check_close("variance", sums[1], 1.0, SIGMAS * sqrt(2.0 / n));
  check_close("fourth moment", sums[2], 3.0, SIGMAS * sqrt(96.0 / n));
}

/* The centre of a run of 3 empty rows or columns, which the border may clip. */
static size_t centre_of(const bool *empty) {
  size_t first = 0;
  while (!empty[first]) first++;
  size_t end = first;
  while (end < SIDE && empty[end]) end++;
  for (size_t i = end; i < SIDE; i++) assert_false(empty[i]);
  assert_true(end - first == 3 || (end - first == 2 && (first == 0 || end == SIDE)));
  return first == 0 && end == 2 ? 0 : first + 1;
}

static void cutout_positions_are_uniform(void **state) {
  (void)state;
  const ls_dataset dataset = images_of(MANY);
  const ls_augment augment = {.cutout = 3};
  size_t counts[SIDE * SIDE] = {0};
  for (uint64_t sample = 0; sample < MANY; sample++) {
    float x[SIDE * SIDE];
    bool rows[SIDE] = {false};
    bool columns[SIDE] = {false};
    for (size_t i = 0; i < COUNT(x); i++) x[i] = 1.0F;
    data_augment_cover(&augment, &dataset, SEED, 1, sample, NULL, x);
    for (size_t i = 0; i < COUNT(x); i++)
      if (x[i] == 0.0F) rows[i / SIDE] = columns[i % SIDE] = true;
    for (size_t i = 0; i < COUNT(x); i++) /* a full rectangle; other pixels are unchanged */
      check_close("pixel", (double)x[i], rows[i / SIDE] && columns[i % SIDE] ? 0.0 : 1.0, 0.0);
    counts[SIDE * centre_of(rows) + centre_of(columns)]++;
  }
  check_uniform("centres", COUNT(counts), counts);
}

/* A square larger than the image removes all of it. A square of even side extends further before its
 * centre. */
static void cutout_of_other_sizes(void **state) {
  (void)state;
  const ls_dataset dataset = images_of(100);
  for (uint64_t sample = 0; sample < 100; sample++) {
    float all[SIDE * SIDE];
    float two[SIDE * SIDE];
    size_t left = 0;
    for (size_t i = 0; i < COUNT(all); i++) all[i] = two[i] = 1.0F;
    data_augment_cover(&(ls_augment){.cutout = 1000}, &dataset, SEED, 1, sample, NULL, all);
    data_augment_cover(&(ls_augment){.cutout = 2}, &dataset, SEED, 1, sample, NULL, two);
    for (size_t i = 0; i < COUNT(all); i++) {
      assert_true(all[i] == 0.0F);
      left += two[i] != 0.0F;
    }
    assert_in_range(left, SIDE * SIDE - 4, SIDE * SIDE - 1);
  }
}

/* Noise is added before cutout, so that removed pixels are 0. */
static void cutout_follows_noise(void **state) {
  (void)state;
  const ls_dataset dataset = images_of(1);
  float x[SIDE * SIDE] = {0};
  float noise[SIDE * SIDE];
  size_t zeros = 0;
  data_augment_cover(&(ls_augment){.noise = 1.0, .cutout = 3}, &dataset, SEED, 1, 0, noise, x);
  for (size_t i = 0; i < COUNT(x); i++) zeros += x[i] == 0.0F;
  assert_in_range(zeros, 4, 9);
}

static void tables_are_rejected_as_images(void **state) {
  (void)state;
  const struct {
    const char *name;
    ls_augment augment;
  } rows[] = {{"shift", {.shift = 1}},
              {"flip_horizontal", {.flip_horizontal = true}},
              {"rotate", {.rotate = 1.0}},
              {"cutout", {.cutout = 1}}};
  ls_dataset table = {.n_samples = 9, .x_array = {.dtype = LS_F32, .n_dims = 2, .dims = {9, 25}}};
  const ls_dataset images = images_of(9);
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_int_equal(ls_augment_check(&rows[i].augment, &images), LS_OK);
    assert_int_equal(ls_augment_check(&rows[i].augment, &table), LS_ERR_DATA);
    assert_non_null(strstr(ls_message(), rows[i].name));
    assert_non_null(strstr(ls_message(), "(9, 25) float32"));
  }
  assert_int_equal(ls_augment_check(&(ls_augment){.noise = 1.0, .mixup = 1.0}, &table), LS_OK);
  /* (L, C) of a 1-D convolution */
  ls_dataset signals = {
      .n_samples = 9, .n_spatial = 1, .x_array = {.dtype = LS_F32, .n_dims = 3, .dims = {9, 25, 4}}};
  assert_int_equal(ls_augment_check(&(ls_augment){.shift = 1}, &signals), LS_ERR_DATA);
  assert_non_null(strstr(ls_message(), "signals"));
  assert_int_equal(ls_augment_check(&(ls_augment){.noise = 1.0, .mixup = 1.0}, &signals), LS_OK);
  table.x_array.n_dims = 5;
  assert_int_equal(ls_augment_check(&(ls_augment){.shift = 1}, &table), LS_ERR_DATA);
}

/* ---------------------------------------------------------------------- batches */

#define ROWS  12
#define CELLS ((size_t)SIDE * SIDE)

/* Small images of bytes, with targets and weights. */
typedef struct fixture {
  uint8_t x[ROWS * SIDE * SIDE];
  int32_t classes[ROWS];
  float values[2 * ROWS];
  float w[ROWS];
  ls_dataset dataset;
  memory_reader reader;
  ls_view view;
  ls_normalizer *normalizer;
} fixture;

static void fixture_make(fixture *f, ls_target_kind target) {
  *f = (fixture){.dataset = images_of(ROWS)};
  for (size_t i = 0; i < COUNT(f->x); i++) f->x[i] = (uint8_t)(1 + (i * 31) % 251);
  for (size_t i = 0; i < ROWS; i++) {
    f->classes[i] = (int32_t)(i % 3);
    f->w[i] = 0.5F + 0.25F * (float)i;
  }
  fill_random(9, COUNT(f->values), f->values);
  f->dataset.x_array.dtype = LS_U8;
  f->dataset.target = target;
  f->dataset.n_outputs = target == LS_TARGET_CLASSES ? 3 : 2;
  f->dataset.has_weights = true;
  const void *const y = target == LS_TARGET_CLASSES ? (const void *)f->classes : f->values;
  memory_reader_attach(&f->reader, &f->dataset, f->x, y, f->w);
  f->view = ls_view_all(&f->dataset);
  assert_int_equal(ls_normalizer_create(CELLS, &f->normalizer), LS_OK);
  for (size_t j = 0; j < CELLS; j++) {
    f->normalizer->offset[j] = 0.5 * (double)j;
    f->normalizer->factor[j] = 1.0 / (100.0 + (double)j);
  }
  ls_normalizer_set(f->normalizer, f->normalizer->offset, f->normalizer->factor);
}

/* Gathers samples of the fixture with a recipe. The caller destroys the batch. */
static ls_batch *gather(fixture *f, const ls_recipe *recipe, size_t n, const uint64_t *samples, float *x) {
  ls_batch *batch = NULL;
  assert_int_equal(ls_batch_create_training(&f->dataset, recipe, n, &batch), LS_OK);
  memcpy(batch->samples, samples, n * sizeof *samples);
  for (size_t i = 0; batch->partner_samples && i < n; i++)
    batch->partner_samples[i] = data_mixup_partner(&f->view, SEED, 4, samples[i]);
  ls_batch_gather_training(batch, &f->dataset, f->normalizer, SEED, 4, n);
  memcpy(x, batch->x, n * CELLS * sizeof *x);
  assert_int_equal(batch->rows, n);
  return batch;
}

static const uint64_t five[5] = {3, 11, 0, 7, 4};

/* Without augmentation, training samples have the bits of evaluation samples. */
static void training_without_a_recipe_changes_nothing(void **state) {
  (void)state;
  fixture f;
  float x[5 * SIDE * SIDE];
  ls_batch *plain = NULL;
  fixture_make(&f, LS_TARGET_CLASSES);
  ls_batch *batch = gather(&f, &(ls_recipe){0}, 5, five, x);
  assert_int_equal(ls_batch_create(&f.dataset, 5, &plain), LS_OK);
  memcpy(plain->samples, five, sizeof five);
  ls_batch_gather(plain, &f.dataset, f.normalizer, 5);
  check_same("x", COUNT(x), x, plain->x);
  check_same("weights", 5, batch->weights, plain->weights);
  assert_memory_equal(batch->classes, plain->classes, 5 * sizeof *batch->classes);
  const ls_targets targets = ls_batch_targets(batch);
  assert_true(targets.classes == batch->classes && !targets.values && targets.weights == batch->weights);
  assert_true(!targets.partners && !targets.shares);
  ls_batch_destroy(&batch);
  ls_batch_destroy(&plain);
  ls_normalizer_destroy(&f.normalizer);
}

/* Raw pixels are moved before they are normalised, so that pixels from outside are a raw 0. */
static void images_are_moved_before_normalisation(void **state) {
  (void)state;
  fixture f;
  float x[5 * SIDE * SIDE];
  const ls_recipe recipe = {.augment = {.shift = 2, .flip_horizontal = true}};
  fixture_make(&f, LS_TARGET_CLASSES);
  ls_batch *batch = gather(&f, &recipe, 5, five, x);
  for (size_t i = 0; i < 5; i++) {
    double raw[SIDE * SIDE];
    double moved[SIDE * SIDE];
    const data_placement place = data_augment_place(&recipe.augment, SEED, 4, five[i]);
    for (size_t j = 0; j < CELLS; j++) raw[j] = f.x[five[i] * CELLS + j];
    data_augment_move(&place, &f.dataset.x_array, raw, moved);
    for (size_t j = 0; j < CELLS; j++)
      check_close("x", (double)x[i * CELLS + j],
                  (moved[j] - f.normalizer->offset[j]) * f.normalizer->factor[j], 1e-6);
  }
  ls_batch_destroy(&batch);
  ls_normalizer_destroy(&f.normalizer);
}

/* With all augmentations, a mixed sample is a mixture of the two samples that the recipe makes without
 * mixup. */
static void check_mixup(ls_target_kind target, const double *class_weights) {
  fixture f;
  float x[5 * SIDE * SIDE];
  float other[SIDE * SIDE];
  float self[SIDE * SIDE];
  ls_recipe recipe = {
      .augment = {.shift = 1, .flip_horizontal = true, .rotate = 20.0, .noise = 0.1, .cutout = 2},
      .class_weights = class_weights};
  const ls_recipe apart = recipe;
  fixture_make(&f, target);
  recipe.augment.mixup = 0.7;
  ls_batch *batch = gather(&f, &recipe, 5, five, x);
  const ls_targets targets = ls_batch_targets(batch);
  for (size_t i = 0; i < 5; i++) {
    const uint64_t partner = data_mixup_partner(&f.view, SEED, 4, five[i]);
    const float drawn = data_mixup_share(0.7, SEED, 4, five[i]);
    ls_batch *a = gather(&f, &apart, 1, &five[i], self);
    ls_batch *b = gather(&f, &apart, 1, &partner, other);
    const double own = (double)a->weights[0];
    const double others = (double)b->weights[0];
    const bool counts = own > 0.0 && others > 0.0; /* a sample of weight 0 is not mixed */
    const double share = counts ? (double)drawn : 1.0;
    const double weight = counts ? share * own + (1.0 - share) * others : own;
    const double of_targets =
        counts ? share * own / weight : 1.0; /* each loss counts with its own weight */
    for (size_t j = 0; j < CELLS; j++)
      check_close("x", (double)x[i * CELLS + j], share * (double)self[j] + (1.0 - share) * (double)other[j],
                  1e-6);
    check_close("weight", (double)targets.weights[i], weight, 1e-6);
    for (size_t k = 0; target == LS_TARGET_VALUES && k < 2; k++)
      check_close("y", (double)targets.values[2 * i + k],
                  of_targets * (double)f.values[2 * five[i] + k] +
                      (1.0 - of_targets) * (double)f.values[2 * partner + k],
                  1e-6);
    if (target == LS_TARGET_CLASSES) {
      assert_int_equal(targets.classes[i], f.classes[five[i]]);
      assert_int_equal(targets.partners[i], f.classes[partner]);
      check_close("share", (double)targets.shares[i], of_targets, 1e-6);
    }
    ls_batch_destroy(&a);
    ls_batch_destroy(&b);
  }
  assert_int_equal(target == LS_TARGET_CLASSES, targets.partners != NULL);
  ls_batch_destroy(&batch);
  ls_normalizer_destroy(&f.normalizer);
}

static void mixed_samples_are_mixtures_of_two(void **state) {
  (void)state;
  check_mixup(LS_TARGET_CLASSES, NULL);
  check_mixup(LS_TARGET_CLASSES, (const double[]){0.5, 3.0, 0.0});
  check_mixup(LS_TARGET_VALUES, NULL);
}

/* A sample is the same at another position of another batch. */
static void samples_do_not_depend_on_their_batch(void **state) {
  (void)state;
  fixture f;
  float x[5 * SIDE * SIDE];
  float y[2 * SIDE * SIDE];
  const uint64_t two[2] = {4, 0};
  const ls_recipe recipe = {
      .augment = {
          .shift = 1, .flip_horizontal = true, .rotate = 20.0, .noise = 0.1, .cutout = 2, .mixup = 0.4}};
  fixture_make(&f, LS_TARGET_CLASSES);
  ls_batch *a = gather(&f, &recipe, 5, five, x);
  ls_batch *b = gather(&f, &recipe, 2, two, y);
  check_same("sample 4", CELLS, x + 4 * CELLS, y);
  check_same("sample 0", CELLS, x + 2 * CELLS, y + CELLS);
  check_same("share", 1, a->shares + 4, b->shares);
  check_same("weight", 1, a->weights + 2, b->weights + 1);
  assert_int_equal(a->partners[4], b->partners[0]);
  ls_batch_destroy(&a);
  ls_batch_destroy(&b);
  ls_normalizer_destroy(&f.normalizer);
}

static void class_weights_are_factors(void **state) {
  (void)state;
  fixture f;
  float x[5 * SIDE * SIDE];
  const double of_classes[3] = {0.25, 2.0, 7.0};
  const ls_recipe recipe = {.class_weights = of_classes};
  fixture_make(&f, LS_TARGET_CLASSES);
  ls_batch *batch = gather(&f, &recipe, 5, five, x);
  for (size_t i = 0; i < 5; i++)
    check_close("weight", (double)batch->weights[i], (double)f.w[five[i]] * of_classes[five[i] % 3], 1e-6);
  ls_batch_gather(batch, &f.dataset, f.normalizer, 5); /* class weights apply to training only */
  for (size_t i = 0; i < 5; i++)
    check_close("weight", (double)batch->weights[i], (double)f.w[five[i]], 0.0);
  ls_batch_destroy(&batch);
  f.dataset.has_weights = false;
  f.reader.w = NULL;
  batch = gather(&f, &recipe, 5, five, x);
  for (size_t i = 0; i < 5; i++)
    check_close("weight", (double)batch->weights[i], of_classes[five[i] % 3], 1e-6);
  ls_batch_gather(batch, &f.dataset, f.normalizer, 5);
  for (size_t i = 0; i < 5; i++) check_close("weight", (double)batch->weights[i], 1.0, 0.0);
  ls_batch_destroy(&batch);
  ls_normalizer_destroy(&f.normalizer);
}

/* Standardised targets are restored in their original units. */
static void targets_are_standardised_and_restored(void **state) {
  (void)state;
  fixture f;
  float x[5 * SIDE * SIDE];
  fixture_make(&f, LS_TARGET_VALUES);
  for (size_t i = 0; i < ROWS; i++) f.values[2 * i] += 1e6F;
  assert_int_equal(ls_normalizer_add_targets(f.normalizer, 2), LS_OK);
  ls_normalizer_set(f.normalizer->targets, (const double[]){1e6 + 0.03, -0.1}, (const double[]){4.0, 0.5});
  ls_batch *batch = gather(&f, &(ls_recipe){0}, 5, five, x);
  for (size_t i = 0; i < 5; i++) {
    const double y[2] = {(double)f.values[2 * five[i]], (double)f.values[2 * five[i] + 1]};
    check_close("first", (double)batch->values[2 * i], (y[0] - 1e6 - 0.03) * 4.0, 1e-6);
    check_close("second", (double)batch->values[2 * i + 1], (y[1] + 0.1) * 0.5, 1e-7);
  }
  double restored[10];
  ls_normalizer_restore_targets(f.normalizer, 5, batch->values, restored);
  for (size_t i = 0; i < 5; i++) {
    check_close("first", restored[2 * i], (double)f.values[2 * five[i]], 1e-6);
    check_close("second", restored[2 * i + 1], (double)f.values[2 * five[i] + 1], 1e-6);
  }
  ls_batch_destroy(&batch);
  ls_normalizer_destroy(&f.normalizer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(images_move_exactly),
      cmocka_unit_test(rotation_by_90_degrees_is_exact),
      cmocka_unit_test(channels_move_together),
      cmocka_unit_test(values_between_pixels_are_interpolated),
      cmocka_unit_test(shifts_are_uniform),
      cmocka_unit_test(half_of_the_images_are_flipped),
      cmocka_unit_test(rotations_are_uniform),
      cmocka_unit_test(draws_are_keyed),
      cmocka_unit_test(shares_have_a_beta_distribution),
      cmocka_unit_test(shares_of_alpha_1_are_uniform),
      cmocka_unit_test(partners_are_uniform_in_the_view),
      cmocka_unit_test(noise_is_normal),
      cmocka_unit_test(cutout_positions_are_uniform),
      cmocka_unit_test(cutout_of_other_sizes),
      cmocka_unit_test(cutout_follows_noise),
      cmocka_unit_test(tables_are_rejected_as_images),
      cmocka_unit_test(training_without_a_recipe_changes_nothing),
      cmocka_unit_test(images_are_moved_before_normalisation),
      cmocka_unit_test(mixed_samples_are_mixtures_of_two),
      cmocka_unit_test(samples_do_not_depend_on_their_batch),
      cmocka_unit_test(class_weights_are_factors),
      cmocka_unit_test(targets_are_standardised_and_restored),
  };
  return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
