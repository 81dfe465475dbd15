/* PNG images, by libpng. */
#include "media.h"

#include <png.h>
#include <setjmp.h>

typedef struct reader {
  png_structp png;
  png_infop info;
  int passes; /* more than 1 if interlaced */
  char text[200];
} reader;

/* Ends the call of libpng. */
static void on_error(png_structp png, png_const_charp text) {
  reader *const r = png_get_error_ptr(png);
  snprintf(r->text, sizeof r->text, "%s", text);
  png_longjmp(png, 1);
}

/* Warnings concern metadata, which are not used. */
static void on_warning(png_structp png, png_const_charp text) {
  (void)png, (void)text;
}

/* Reads the header, and requests grey or RGB, with alpha if there is any, of 8 or 16 bits in native order.
 */
static void read_header(reader *r, FILE *file, media *m) {
  png_init_io(r->png, file);
  png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(r->png, r->info);
  png_set_expand(r->png);
  if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) png_set_swap(r->png);
  r->passes = png_set_interlace_handling(r->png);
  png_read_update_info(r->png, r->info);
  *m = (media){.height = png_get_image_height(r->png, r->info),
               .width = png_get_image_width(r->png, r->info),
               .channels = png_get_channels(r->png, r->info),
               .dtype = png_get_bit_depth(r->png, r->info) == 16 ? LS_U16 : LS_U8};
}

/* An interlaced image takes several passes over its rows; each pass sets some of the pixels. */
static void read_rows(const reader *r, const media *m, unsigned char *rows) {
  const size_t row = m->width * m->channels * ls_dtype_size(m->dtype);
  for (int pass = 0; pass < r->passes; pass++)
    for (size_t y = 0; y < m->height; y++) {
      ls_heartbeat();
      png_read_row(r->png, rows + y * row, NULL);
    }
  png_read_end(r->png, NULL);
}

static ls_status read_with(reader *r, FILE *file, const char *path, media *m, media_buffer *buffer) {
  if (setjmp(png_jmpbuf(r->png)) != 0) return ls_fail(LS_ERR_DATA, "%s: damaged PNG: %s", path, r->text);
  read_header(r, file, m);
  LS_TRY(import_media_reserve(path, m, buffer));
  if (buffer) read_rows(r, m, buffer->values);
  return LS_OK;
}

static ls_status read_png(FILE *file, const char *path, media *m, media_buffer *buffer) {
  reader r = {0};
  ls_status status = LS_OK;
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
  r.info = r.png ? png_create_info_struct(r.png) : NULL;
  if (r.info)
    status = read_with(&r, file, path, m, buffer);
  else
    status = ls_fail_memory("reading a PNG image", sizeof r);
  if (r.png) png_destroy_read_struct(&r.png, r.info ? &r.info : NULL, NULL);
  return status;
}

const media_type import_png = {.name = "PNG", .endings = {".png"}, .read = read_png};
