/* Imports a folder of images or recordings in two passes: the first reads the headers, the second writes.
 */
#include "media.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMED_MOST 20 /* skipped files that are named */

typedef struct work {
  folder files;
  const ls_import_options *options; /* borrowed */
  output *out;                      /* borrowed */
  media first;                      /* the first file's shape; its path is first_path */
  const char *first_path;           /* borrowed; NULL: none was read */
  media to;                         /* the shape of all samples */
  double height, width;             /* sums over the files */
  size_t n_read, longest;       /* files; frames of the longest recording, or height of the highest image */
  bool has_sizes, has_channels; /* that differ; has_channels: of recordings */
  media_buffer buffer;
  size_t n_skipped;
} work;

static bool is_audio(const work *w) {
  return w->files.files[0].type->is_audio;
}

/* ----------------------------------------------------------------------- one file */

static ls_status open_file(const char *path, FILE **out) {
  struct stat info;
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return ls_fail(LS_ERR_DATA, "%s: %s", path, strerror(errno));
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return ls_fail(LS_ERR_DATA, "%s: not a regular file", path);
  }
  *out = fdopen(fd, "rb");
  if (*out) return LS_OK;
  close(fd);
  return ls_fail_memory("reading a file", BUFSIZ);
}

/* Reads a file. *ok becomes false if it is damaged and --skip-broken is given. */
static ls_status read_file(work *w, const folder_file *file, media *m, media_buffer *buffer, bool *ok) {
  FILE *stream = NULL;
  *ok = false;
  LS_TRY(open_file(file->path, &stream));
  const ls_status status = file->type->read(stream, file->path, m, buffer);
  fclose(stream);
  *ok = status == LS_OK;
  if (status != LS_ERR_DATA) return status;
  if (!w->options->folder.skip_broken)
    return ls_fail(status, "%s; repair or remove the file, or skip such files with --skip-broken",
                   ls_message());
  if (w->n_skipped++ < NAMED_MOST) ls_log(LS_LOG_WARNING, "%s: skipped", ls_message());
  return LS_OK;
}

/* ------------------------------------------------------------------ the first pass */

static const char *describe(const media *m, char text[100]) {
  if (m->rate)
    snprintf(text, 100, "%zu frames, %zu channels, %" PRIu64 " Hz", m->height, m->channels, m->rate);
  else
    snprintf(text, 100, "%zu x %zu pixels", m->height, m->width);
  return text;
}

static ls_status fail_different(const work *w, const folder_file *file, const media *m,
                                const char *remedy) {
  char a[100];
  char b[100];
  return ls_fail(LS_ERR_DATA, "%s has %s, but %s has %s (height x width for images); must be equal; %s",
                 w->first_path, describe(&w->first, a), file->path, describe(m, b), remedy);
}

static ls_status check_shape(const work *w, const folder_file *file, const media *m) {
  const ls_folder_options *const o = &w->options->folder;
  const media *const first = &w->first;
  const bool fits = o->fits;
  if (m->rate != first->rate) return fail_different(w, file, m, "convert the files to one rate");
  if (m->rate && m->channels != first->channels && o->channels != 1 && !fits)
    return fail_different(w, file, m, "choose --channels 1");
  if (m->rate && m->height != first->height && o->length == 0 && !fits)
    return fail_different(w, file, m, "choose a length in frames with --length");
  if (!m->rate && o->height == 0 && !fits && (m->height != first->height || m->width != first->width))
    return fail_different(w, file, m, "choose a size with --size HEIGHTxWIDTH");
  return LS_OK;
}

/* Colour in any file makes all RGB, and 16 bits in any file make all 16 bits. */
static ls_status add_shape(work *w, const folder_file *file, const media *m) {
  if (!w->first_path) {
    w->first_path = file->path;
    w->first = w->to = *m;
    w->to.channels = 1;
  }
  LS_TRY(check_shape(w, file, m));
  w->height += (double)m->height;
  w->width += (double)m->width;
  w->n_read++;
  w->longest = ls_size_max(w->longest, m->height);
  w->has_sizes = w->has_sizes || m->height != w->first.height || m->width != w->first.width;
  w->has_channels = w->has_channels || (m->rate && m->channels != w->first.channels);
  if (m->channels > (m->rate ? 1 : 2))
    w->to.channels = ls_size_max(w->to.channels, m->rate ? m->channels : 3);
  if (m->dtype == LS_U16) w->to.dtype = LS_U16;
  return LS_OK;
}

/* Removes broken files from the list. */
static ls_status read_headers(work *w) {
  folder *const f = &w->files;
  ls_status status = LS_OK;
  size_t kept = 0;
  for (size_t i = 0; i < f->n; i++) {
    media m = {0};
    bool ok = false;
    import_progress("reading headers", i, f->n, "files");
    if (status == LS_OK) status = read_file(w, &f->files[i], &m, NULL, &ok);
    if (status == LS_OK && ok) status = add_shape(w, &f->files[i], &m);
    if (status == LS_OK && !ok)
      free(f->files[i].path);
    else
      f->files[kept++] = f->files[i];
  }
  f->n = kept;
  if (status == LS_OK && kept == 0)
    status = ls_fail(LS_ERR_DATA, "%s: all %zu files are broken", f->path, w->n_skipped);
  return status;
}

/* ------------------------------------------------------------------- the output */

/* The mean size of images, with sides of at most LS_FIT_SIDE pixels. */
static void fit_images(work *w) {
  const double height = w->height / (double)w->n_read;
  const double width = w->width / (double)w->n_read;
  const double factor = fmin(LS_FIT_SIDE / fmax(height, width), 1.0);
  if (!w->has_sizes && factor == 1.0) return;
  w->to.height = ls_size_max((size_t)lround(factor * height), 1);
  w->to.width = ls_size_max((size_t)lround(factor * width), 1);
  ls_log(LS_LOG_INFO,
         "%s: images of %.0f x %.0f pixels (mean) are resampled to %zu x %zu; import chooses "
         "another size with --size",
         w->files.path, height, width, w->to.height, w->to.width);
}

static void fit_recordings(work *w) {
  if (w->has_channels) w->to.channels = 1;
  if (!w->has_sizes) return;
  const double mean = w->height / (double)w->n_read;
  w->to.height = ls_size_max((size_t)fmin((double)w->longest, LS_FIT_LENGTH * mean), 1);
  ls_log(LS_LOG_INFO,
         "%s: recordings of %.0f frames (mean) get %zu frames, by cutting or by appending "
         "zeros; import chooses another length with --length",
         w->files.path, mean, w->to.height);
}

static ls_status choose_shape(work *w) {
  const ls_folder_options *const o = &w->options->folder;
  if (o->fits && !is_audio(w)) fit_images(w);
  if (o->fits && is_audio(w)) fit_recordings(w);
  if (o->channels) w->to.channels = o->channels;
  if (o->height) w->to.height = o->height, w->to.width = o->width;
  if (o->length) w->to.height = o->length;
  if (!is_audio(w) || w->to.channels == 1 || w->to.channels == w->first.channels) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--channels %zu: %s has %zu channels; must be 1 or %zu", w->to.channels,
                 w->first_path, w->first.channels, w->first.channels);
}

/* Moves a random part of the files to /test. */
static ls_status choose_test(folder *f, const ls_import_options *options, output *out) {
  if (options->test_fraction == 0.0) return LS_OK;
  if (f->has[SPLIT_TEST])
    return ls_fail(LS_ERR_CONFIG, "--test-fraction %g: %s already has a folder of test samples",
                   options->test_fraction, f->path);
  LS_TRY(import_choose_test(f->path, f->n, options->test_fraction, out));
  for (size_t i = 0; i < f->n; i++)
    if (f->files[i].split == SPLIT_TRAIN && import_is_test(out, i)) f->files[i].split = SPLIT_TEST;
  return LS_OK;
}

/* Grey images are (N, H, W), mono recordings (N, L); other samples have their channels last. */
static ls_array array_of(const media *m, uint64_t n) {
  ls_array x = {m->dtype, 2, {n, m->height}};
  if (!m->rate) x.dims[x.n_dims++] = m->width;
  if (m->channels > 1) x.dims[x.n_dims++] = m->channels;
  return x;
}

static ls_status begin_splits(work *w) {
  const folder *const f = &w->files;
  for (size_t which = 0; which < N_SPLITS; which++) {
    uint64_t n = 0;
    for (size_t i = 0; i < f->n; i++) n += f->files[i].split == which;
    if (n == 0) continue;
    const ls_array x = array_of(&w->to, n);
    const ls_array y = {LS_I64, 1, {n}};
    split *const s = &w->out->splits[which];
    LS_TRY(
        import_split_begin(w->out, which, (const ls_array *const[N_ARRAYS]){&x, f->n_classes ? &y : NULL}));
    if (w->to.rate) import_split_set_number(s, ARRAY_X, "sample_rate", w->to.rate);
    if (f->n_classes)
      LS_TRY(import_split_set_texts(s, ARRAY_Y, "classes", (const char *const *)f->classes, f->n_classes));
  }
  w->out->n_classes = f->n_classes;
  return LS_OK;
}

/* ----------------------------------------------------------------- the second pass */

static ls_status write_file(work *w, const folder_file *file) {
  split *const s = &w->out->splits[file->split];
  media m = {0};
  void *to[N_ARRAYS];
  bool ok = false;
  LS_TRY(read_file(w, file, &m, &w->buffer, &ok));
  if (!ok) return LS_OK;
  LS_TRY(check_shape(w, file, &m)); /* the file may have changed */
  import_split_next(s, to);
  if (m.rate)
    import_audio_convert(&m, w->buffer.values, &w->to, to[ARRAY_X]);
  else
    LS_TRY(import_image_convert(&m, w->buffer.values, &w->to, to[ARRAY_X]));
  if (to[ARRAY_Y]) *(int64_t *)to[ARRAY_Y] = (int64_t)file->class;
  return import_split_add(s, 1);
}

static ls_status write_files(work *w) {
  const folder *const f = &w->files;
  for (size_t i = 0; i < f->n; i++) {
    import_progress("importing", i, f->n, "files");
    LS_TRY(write_file(w, &f->files[i]));
  }
  for (size_t i = 0; i < N_SPLITS; i++)
    if (w->out->splits[i].out && w->out->splits[i].n_rows == 0)
      return ls_fail(LS_ERR_DATA, "%s: all files of %s are broken", f->path, import_split_names[i]);
  return LS_OK;
}

/* ------------------------------------------------------------------------ the format */

static ls_status check_options(const work *w) {
  const ls_folder_options *const o = &w->options->folder;
  LS_TRY(import_reject_table_options(&w->options->table, "a folder, whose classes are its folders"));
  if (is_audio(w) && o->height)
    return ls_fail(LS_ERR_CONFIG, "--size: only allowed for images; %s contains recordings", w->files.path);
  if (!is_audio(w) && o->length)
    return ls_fail(LS_ERR_CONFIG, "--length: only allowed for recordings; %s contains images",
                   w->files.path);
  if (!is_audio(w) && o->channels != 0 && o->channels != 1 && o->channels != 3)
    return ls_fail(LS_ERR_CONFIG, "--channels %zu: must be 1 (grey) or 3 (RGB) for images", o->channels);
  return LS_OK;
}

static void report(const work *w) {
  const folder *const f = &w->files;
  if (f->n_classes > 1 && !w->out->shuffles)
    ls_log(
        LS_LOG_WARNING,
        "%s: the rows are sorted by class; training shuffles all of them unless it reads a part at a time "
        "(data.window); --shuffle stores them in random order",
        w->out->path);
  if (f->n_others)
    ls_log(LS_LOG_WARNING, "%s: ignored %zu files that are not PNG, JPEG or WAV, such as %s", f->path,
           f->n_others, f->other);
  if (w->n_skipped) ls_log(LS_LOG_WARNING, "%s: skipped %zu broken files", f->path, w->n_skipped);
}

static ls_status recognize(const char *const *sources, size_t n_sources, bool *yes) {
  struct stat info;
  size_t n_folders = 0;
  for (size_t i = 0; i < n_sources; i++) {
    const bool is_folder = stat(sources[i], &info) == 0 && S_ISDIR(info.st_mode);
    n_folders += is_folder;
    if (!is_folder && import_media_type_of(sources[i]))
      return ls_fail(LS_ERR_CONFIG, "%s: an image or a recording; import the folder that contains it",
                     sources[i]);
  }
  *yes = n_folders > 0;
  if (n_folders == 0 || n_folders == n_sources) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "%s: one of %zu sources, some of them folders; must be folders, or files",
                 sources[0], n_sources);
}

static ls_status convert(const char *const *sources, size_t n_sources, const ls_import_options *options,
                         output *out) {
  work w = {.options = options, .out = out};
  ls_status status = import_folder_list(sources, n_sources, options->folder.needs_classes, &w.files);
  if (status == LS_OK) status = check_options(&w);
  if (status == LS_OK) status = read_headers(&w);
  if (status == LS_OK) status = choose_shape(&w);
  if (status == LS_OK) status = choose_test(&w.files, options, out);
  if (status == LS_OK) status = import_output_create(out);
  if (status == LS_OK) status = begin_splits(&w);
  if (status == LS_OK) status = write_files(&w);
  if (status == LS_OK) report(&w);
  import_folder_destroy(&w.files);
  free(w.buffer.values);
  return status;
}

const import_format import_folder_format = {.recognize = recognize, .convert = convert, .is_folder = true};
