/* Pictures: an image and its heat map side by side. Each pixel is enlarged to a square. */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In pixels. */
#define SIDE_LEAST 200 /* the longer side of the enlarged image */
#define FRAME      1   /* around each half */
#define MARGIN     8   /* around both halves and between them */
#define BACKGROUND 255 /* white */
#define FLAT_LEAST 8   /* the side of the smallest image without a stored shape */

static const uint8_t frame_colour[3] = {160, 160, 160};

/* ---------------------------------------------------------------------- shapes */

bool ls_picture_of(const ls_array *x, ls_picture *out) {
  if (x->n_dims == 2) {
    const size_t side = (size_t)lround(sqrt((double)x->dims[1]));
    *out = (ls_picture){.height = side, .width = side, .channels = 1};
    return side >= FLAT_LEAST && (uint64_t)side * side == x->dims[1];
  }
  if (x->n_dims != 3 && x->n_dims != 4) return false;
  *out =
      (ls_picture){.height = x->dims[1], .width = x->dims[2], .channels = x->n_dims == 4 ? x->dims[3] : 1};
  return out->channels == 1 || out->channels == 3;
}

/* -------------------------------------------------------------------- colours */

static uint8_t byte_of(double share) {
  return (uint8_t)lround(255.0 * fmin(fmax(share, 0.0), 1.0));
}

/* Scales the image to bytes.  out: (height * width, 3) */
static void paint_image(const ls_picture *p, const float *image, uint8_t *out) {
  const size_t pixels = p->height * p->width;
  float least = image[0];
  float most = image[0];
  for (size_t i = 0; i < pixels * p->channels; i++) {
    least = fminf(least, image[i]);
    most = fmaxf(most, image[i]);
  }
  const double spread = most > least ? (double)most - (double)least : 1.0;
  for (size_t i = 0; i < pixels; i++)
    for (size_t c = 0; c < 3; c++) {
      const float value = image[i * p->channels + (p->channels == 3 ? c : 0)];
      out[3 * i + c] = byte_of(((double)value - (double)least) / spread);
    }
}

static double contribution(const ls_picture *p, const float *attribution, size_t pixel) {
  double sum = 0.0;
  for (size_t c = 0; c < p->channels; c++) sum += (double)attribution[pixel * p->channels + c];
  return sum;
}

/* Positive contributions are red, negative ones blue, 0 is white.  out: (height * width, 3) */
static void paint_heat(const ls_picture *p, const float *attribution, uint8_t *out) {
  const size_t pixels = p->height * p->width;
  double most = 0.0;
  for (size_t i = 0; i < pixels; i++) most = fmax(most, fabs(contribution(p, attribution, i)));
  for (size_t i = 0; i < pixels; i++) {
    const double share = most > 0.0 ? contribution(p, attribution, i) / most : 0.0;
    const uint8_t faded = byte_of(1.0 - fabs(share));
    out[3 * i] = share > 0.0 ? 255 : faded;
    out[3 * i + 1] = faded;
    out[3 * i + 2] = share < 0.0 ? 255 : faded;
  }
}

/* --------------------------------------------------------------------- the canvas */

typedef struct canvas {
  size_t scale, height, width;
  uint8_t *pixels; /* (height, width, 3), owned */
} canvas;

/* Draws one half and its frame, beginning at column `left`.  colours: (height * width, 3) */
static void paint_half(const canvas *c, const ls_picture *p, const uint8_t *colours, size_t left) {
  const size_t height = p->height * c->scale;
  const size_t width = p->width * c->scale;
  for (size_t i = 0; i < height + 2 * FRAME; i++)
    for (size_t j = 0; j < width + 2 * FRAME; j++) {
      const bool is_inside = i >= FRAME && i < height + FRAME && j >= FRAME && j < width + FRAME;
      const size_t pixel = is_inside ? (i - FRAME) / c->scale * p->width + (j - FRAME) / c->scale : 0;
      memcpy(c->pixels + 3 * ((MARGIN + i) * c->width + left + j),
             is_inside ? colours + 3 * pixel : frame_colour, 3);
    }
}

static ls_status canvas_create(const ls_picture *p, canvas *c) {
  const size_t side = ls_size_max(p->height, p->width);
  c->scale = ls_size_max((SIDE_LEAST + side - 1) / side, 1);
  c->height = p->height * c->scale + 2 * (MARGIN + FRAME);
  c->width = 2 * (p->width * c->scale + 2 * FRAME) + 3 * MARGIN;
  size_t n = 0;
  const bool fits = ls_size_mul(c->height, c->width, &n) && n <= UINT32_MAX / 3;
  c->pixels = fits ? ls_calloc(n, 3) : NULL;
  if (!c->pixels) return ls_fail_memory("a picture", n);
  memset(c->pixels, BACKGROUND, 3 * n);
  return LS_OK;
}

static ls_status write_canvas(const canvas *c, const char *path) {
  png_image image = {.version = PNG_IMAGE_VERSION,
                     .format = PNG_FORMAT_RGB,
                     .width = (png_uint_32)c->width,
                     .height = (png_uint_32)c->height};
  ls_text_file file;
  ls_status status = ls_text_begin(&file, path);
  if (status == LS_OK && !png_image_write_to_stdio(&image, file.stream, 0, c->pixels, 0, NULL))
    status = ls_fail(LS_ERR_OUTPUT, "%s: %s", path, image.message);
  return ls_text_end(&file, status);
}

ls_status ls_picture_write(const char *path, const ls_picture *p, const float *image,
                           const float *attribution) {
  const size_t pixels = p->height * p->width;
  canvas c = {0};
  uint8_t *const colours = ls_calloc(pixels, 3);
  ls_status status = colours ? canvas_create(p, &c) : ls_fail_memory("a picture", 3 * pixels);
  if (status == LS_OK) {
    paint_image(p, image, colours);
    paint_half(&c, p, colours, MARGIN);
    paint_heat(p, attribution, colours);
    paint_half(&c, p, colours, c.width - MARGIN - (p->width * c.scale + 2 * FRAME));
    status = write_canvas(&c, path);
  }
  free(colours);
  free(c.pixels);
  return status;
}

/* ---------------------------------------------------------------- a folder of pictures */

struct ls_pictures {
  char *folder; /* owned */
  ls_picture shape;
  ls_normalizer *identity; /* owned */
};

static ls_status create_folder(const char *folder) {
  struct stat facts;
  const char *reason = NULL;
  const bool exists = mkdir(folder, 0777) == 0 || errno == EEXIST;
  if (exists && stat(folder, &facts) == 0 && !S_ISDIR(facts.st_mode))
    reason = "not a folder; choose another folder for pictures";
  else if (!exists || access(folder, W_OK | X_OK) != 0)
    reason = strerror(errno);
  return reason ? ls_fail(LS_ERR_OUTPUT, "%s: %s", folder, reason) : LS_OK;
}

ls_status ls_pictures_create(const char *folder, const ls_dataset *dataset, ls_pictures **out) {
  char text[128];
  ls_picture shape = {0};
  if (dataset->n_spatial == 1 || !ls_picture_of(&dataset->x_array, &shape))
    return ls_fail(
        LS_ERR_DATA,
        "x: %s: %s; the shape must be (N, H, W), (N, H, W, 1 or 3), or (N, H * H) with H of at least 8",
        ls_array_describe(&dataset->x_array, text, sizeof text),
        dataset->n_spatial == 1 ? "signals, not images" : "not images");
  ls_pictures *const p = ls_calloc(1, sizeof *p);
  *out = p;
  if (p) *p = (ls_pictures){.shape = shape, .folder = ls_strdup(folder)};
  if (!p || !p->folder) return ls_fail_memory("pictures", sizeof *p);
  LS_TRY(ls_normalizer_create(dataset->n_features, &p->identity));
  return create_folder(folder);
}

ls_status ls_pictures_draw(ls_pictures *p, const ls_explainer *e, size_t i, const char *name) {
  const ls_dataset *const dataset = e->options.dataset;
  const uint64_t sample = e->result.samples[i];
  char safe[41];
  snprintf(safe, sizeof safe, "%s", name);
  for (char *at = safe; *at; at++) /* file systems may reject other characters */
    if (!isalnum((unsigned char)*at) && !strchr("-_.", *at)) *at = '_';
  char *path = ls_format("%s/sample-%05llu-class-%s.png", p->folder, (unsigned long long)sample, safe);
  if (!path) return ls_fail_memory("a path", 0);
  e->batch->samples[0] = sample;
  ls_status status = ls_batch_gather(e->batch, dataset, p->identity, 1);
  if (status == LS_OK)
    status =
        ls_picture_write(path, &p->shape, e->batch->x, e->result.attributions + i * dataset->n_features);
  free(path);
  return status;
}

void ls_pictures_destroy(ls_pictures **pictures) {
  if (!*pictures) return;
  ls_normalizer_destroy(&(*pictures)->identity);
  free((*pictures)->folder);
  free(*pictures);
  *pictures = NULL;
}
