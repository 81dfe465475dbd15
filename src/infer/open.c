/* Opens models and returns their properties. */
#include "internal.h"

#include "lockstep/modelfile.h"
#include "lockstep/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ls_infer_close(ls_infer **model) {
  ls_infer *const m = model ? *model : NULL;
  if (!m) return;
  free(m->config);
  free(m->path);
  infer_net_destroy(&m->net);
  ls_normalizer_destroy(&m->normalizer);
  free(m->classes);
  free(m->features);
  free(m);
  *model = NULL;
}

/* ----------------------------------------------------------------- reading */

/* Moves texts from a file, which is then closed. */
static ls_status move_texts(ls_modelfile *file, const char *name, ls_infer *m) {
  m->path = ls_strdup(name);
  m->config = file->config;
  m->classes = file->classes;
  m->features = file->features;
  m->n_classes = file->n_classes;
  m->n_features = file->n_features;
  file->config = NULL;
  file->classes = file->features = NULL;
  return m->path ? LS_OK : ls_fail_memory("a path", strlen(name));
}

static ls_status read_normalizer(const ls_modelfile *file, ls_infer *m) {
  LS_TRY(ls_normalizer_create(m->n_in, &m->normalizer));
  if (ls_store_kind_of(file->store, "/normalizer/y_offset") == LS_STORE_ARRAY)
    LS_TRY(ls_normalizer_add_targets(m->normalizer, m->n_out));
  return ls_modelfile_read_normalizer(file, m->normalizer);
}

/* Reads parameters, state and normaliser, and prepares the layers. */
static ls_status read_values(const ls_modelfile *file, ls_infer *m) {
  const float x = 0.0F; /* of no rows */
  ls_model *const model = m->net.model;
  LS_TRY(ls_model_build(model, 1));
  m->n_in = model->n_in;
  m->n_out = model->n_out;
  LS_TRY(ls_modelfile_read_model(file, model, model->params, model->state));
  LS_TRY(ls_model_pack(model));
  infer_net_predict(&m->net, 0, false, &x);
  return read_normalizer(file, m);
}

static ls_status read_model(const char *path, const char *name, ls_infer *m) {
  ls_modelfile *file = NULL;
  LS_TRY(ls_modelfile_open(path, &file));
  m->input = file->input;
  m->stored = file->stored;
  ls_status status = move_texts(file, name, m);
  if (status == LS_OK) status = infer_net_create(m, &m->net);
  if (status == LS_OK) status = read_values(file, m);
  ls_modelfile_close(&file);
  return status;
}

/* --------------------------------------------------------------- functions */

int infer_code_of(ls_status status) {
  switch (status) {
  case LS_OK: return LS_INFER_OK;
  case LS_ERR_INTERNAL: return LS_INFER_MEMORY;
  default: return LS_INFER_MODEL;
  }
}

const char *ls_infer_describe(int code) {
  switch (code) {
  case LS_INFER_OK: return "no error";
  case LS_INFER_ARGUMENT: return "an argument is NULL, or the workspace belongs to another model";
  case LS_INFER_DATA: return "an input is not finite, or beyond the range of float32";
  case LS_INFER_MODEL: return "the model is missing, damaged, or not a model of Lockstep";
  case LS_INFER_MEMORY: return "out of memory";
  default: return "unknown error code";
  }
}

/* Copies a text to an array of `size` bytes, without the end of a character that does not fit. `path` in it
 * becomes `name`. */
static void copy_message(const char *text, const char *path, const char *name, char *message, size_t size) {
  if (!message || size == 0) return;
  const char *const at = strcmp(path, name) != 0 ? strstr(text, path) : NULL;
  char *const whole = at ? ls_format("%.*s%s%s", (int)(at - text), text, name, at + strlen(path)) : NULL;
  const char *const from = whole ? whole : text;
  snprintf(message, size, "%.*s", ls_clip(from, size - 1), from);
  free(whole);
}

/* Opens a file. `name` is its path in messages. */
static int open_file(const char *path, const char *name, ls_infer **out, char *message, size_t size) {
  infer_setting before;
  infer_enter(&before);
  ls_infer *m = ls_calloc(1, sizeof *m);
  ls_store_keep_settings();
  const ls_status status = m ? read_model(path, name, m) : ls_fail_memory("a model", sizeof *m);
  if (status != LS_OK) ls_infer_close(&m);
  copy_message(status == LS_OK ? "" : ls_message(), path, name, message, size);
  infer_leave(&before);
  *out = m;
  return infer_code_of(status);
}

static int fail_argument(const char *text, char *message, size_t size) {
  copy_message(text, "", "", message, size);
  return LS_INFER_ARGUMENT;
}

int ls_infer_open(const char *path, ls_infer **out, char *message, size_t size) {
  if (!out) return fail_argument("out is NULL; must point to a model", message, size);
  *out = NULL;
  if (!path) return fail_argument("path is NULL; must name a model file", message, size);
  return open_file(path, path, out, message, size);
}

static bool write_all(int descriptor, const unsigned char *bytes, size_t n) {
  while (n > 0) {
    const ssize_t written = write(descriptor, bytes, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    n -= (size_t)written;
  }
  return true;
}

/* The name in messages of a model that has no file. */
#define IN_MEMORY "model in memory"

/* Writes the bytes to a new file in a folder, whose path is stored in `path`. False, with errno and no
 * file, if that fails. */
static bool write_temporary(const char *folder, const void *bytes, size_t n, char *path, size_t size) {
  const int length = snprintf(path, size, "%s/lockstep-model-XXXXXX", folder);
  if (length < 0 || (size_t)length >= size) return false;
  const int file = mkostemp(path, O_CLOEXEC);
  if (file < 0) return false;
  const bool is_written = write_all(file, bytes, n);
  const int error = errno;
  close(file);
  if (!is_written) unlink(path);
  errno = error;
  return is_written;
}

/* HDF5 reads a file that exists while the model is opened. Its own images of files are corrupt with the
 * bounds of the model format, and it does not open files without a name (memfd_create). */
int ls_infer_open_memory(const void *bytes, size_t n, ls_infer **out, char *message, size_t size) {
  if (!out) return fail_argument("out is NULL; must point to a model", message, size);
  *out = NULL;
  if (!bytes) return fail_argument("bytes is NULL; must point to a model file", message, size);
  const char *const folders[] = {"/dev/shm", getenv("TMPDIR"), "/tmp"};
  char path[PATH_MAX];
  char text[256];
  bool is_written = false;
  for (size_t i = 0; !is_written && i < sizeof folders / sizeof *folders; i++)
    is_written = folders[i] && write_temporary(folders[i], bytes, n, path, sizeof path);
  if (!is_written) {
    snprintf(text, sizeof text,
             IN_MEMORY
             ": cannot be copied to a file in /dev/shm or /tmp: %s; set TMPDIR to a folder with space",
             strerror(errno));
    copy_message(text, "", "", message, size);
    return LS_INFER_MEMORY;
  }
  const int code = open_file(path, IN_MEMORY, out, message, size);
  unlink(path);
  return code;
}

/* ------------------------------------------------------------- information */

size_t ls_infer_inputs(const ls_infer *model) {
  return model ? model->n_in : 0;
}

size_t ls_infer_outputs(const ls_infer *model) {
  return model ? model->n_out : 0;
}

size_t ls_infer_shape(const ls_infer *model, size_t dims[LS_INFER_DIMS]) {
  if (!model || !dims) return 0;
  const bool is_known = model->stored.n_dims > 0;
  const ls_shape *const shape = is_known ? &model->stored : &model->input;
  const size_t first = !is_known && model->has_channels_first;
  if (first) dims[0] = model->channels;
  for (size_t i = 0; i + first < shape->n_dims; i++) dims[i + first] = shape->dims[i];
  return shape->n_dims;
}

ls_infer_task ls_infer_task_of(const ls_infer *model) {
  const ls_activation link = model ? ls_loss_link(model->loss) : LS_LINEAR;
  if (link == LS_SOFTMAX) return LS_INFER_CLASSES;
  return link == LS_SIGMOID ? LS_INFER_LABELS : LS_INFER_VALUES;
}

size_t ls_infer_class_count(const ls_infer *model) {
  return model ? model->n_classes : 0;
}

size_t ls_infer_feature_count(const ls_infer *model) {
  return model ? model->n_features : 0;
}

const char *ls_infer_class_name(const ls_infer *model, size_t k) {
  return model && k < model->n_classes ? model->classes[k] : NULL;
}

const char *ls_infer_feature_name(const ls_infer *model, size_t k) {
  return model && k < model->n_features ? model->features[k] : NULL;
}
