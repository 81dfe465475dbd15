/* JPEG images, by libjpeg-turbo or another libjpeg. */
#include "media.h"

#include <setjmp.h>

#include <jpeglib.h> /* needs stdio.h */

#include <jerror.h>

#define SCANS_MOST                                                                                         \
  500 /* of a progressive image: a small file may have thousands, each as slow as the image */
#define MEMORY_MOST (1L << 30) /* bytes that the library may use */

typedef struct reader {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
} reader;

/* Ends the call of the library. */
static _Noreturn void stop(reader *r) {
  r->errors.format_message((j_common_ptr)&r->jpeg, r->text);
  longjmp(r->jump, 1);
}

static _Noreturn void on_error(j_common_ptr jpeg) {
  stop(jpeg->client_data);
}

/* A negative level is a warning: the data are damaged or truncated, and the library invents pixels. Only
 * bytes between markers, and another version of the header, do no harm. */
static void on_message(j_common_ptr jpeg, int level) {
  const int code = jpeg->err->msg_code;
  if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_JFIF_MAJOR) stop(jpeg->client_data);
}

static void on_progress(j_common_ptr jpeg) {
  reader *const r = jpeg->client_data;
  ls_heartbeat();
  if (r->jpeg.input_scan_number <= SCANS_MOST) return;
  snprintf(r->text, sizeof r->text, "more than %d scans", SCANS_MOST);
  longjmp(r->jump, 1);
}

static ls_status read_header(reader *r, FILE *file, const char *path, media *m) {
  jpeg_stdio_src(&r->jpeg, file);
  jpeg_read_header(&r->jpeg, TRUE);
  const bool is_grey = r->jpeg.jpeg_color_space == JCS_GRAYSCALE;
  if (!is_grey && r->jpeg.jpeg_color_space != JCS_YCbCr && r->jpeg.jpeg_color_space != JCS_RGB)
    return ls_fail(LS_ERR_DATA, "%s: a JPEG image of %d components; must be grey or RGB; convert it", path,
                   r->jpeg.num_components);
  r->jpeg.out_color_space = is_grey ? JCS_GRAYSCALE : JCS_RGB;
  *m = (media){.height = r->jpeg.image_height,
               .width = r->jpeg.image_width,
               .channels = is_grey ? 1 : 3,
               .dtype = LS_U8};
  return LS_OK;
}

static void read_rows(reader *r, const media *m, unsigned char *rows) {
  jpeg_start_decompress(&r->jpeg);
  while (r->jpeg.output_scanline < r->jpeg.output_height) {
    JSAMPROW row = rows + r->jpeg.output_scanline * m->width * m->channels;
    ls_heartbeat();
    jpeg_read_scanlines(&r->jpeg, &row, 1);
  }
  jpeg_finish_decompress(&r->jpeg);
}

static ls_status read_with(reader *r, FILE *file, const char *path, media *m, media_buffer *buffer) {
  if (setjmp(r->jump) != 0) return ls_fail(LS_ERR_DATA, "%s: damaged JPEG: %s", path, r->text);
  jpeg_create_decompress(&r->jpeg);
  r->jpeg.progress = &r->progress;
  r->jpeg.mem->max_memory_to_use = MEMORY_MOST;
  LS_TRY(read_header(r, file, path, m));
  LS_TRY(import_media_reserve(path, m, buffer));
  if (buffer) read_rows(r, m, buffer->values);
  return LS_OK;
}

static ls_status read_jpeg(FILE *file, const char *path, media *m, media_buffer *buffer) {
  reader r = {.progress = {.progress_monitor = on_progress}};
  r.jpeg.err = jpeg_std_error(&r.errors);
  r.jpeg.client_data = &r;
  r.errors.error_exit = on_error;
  r.errors.emit_message = on_message;
  const ls_status status = read_with(&r, file, path, m, buffer);
  jpeg_destroy_decompress(&r.jpeg);
  return status;
}

const media_type import_jpeg = {.name = "JPEG", .endings = {".jpg", ".jpeg"}, .read = read_jpeg};
