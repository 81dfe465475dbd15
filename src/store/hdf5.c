/* HDF5: settings, reasons of failures, types, and opening files and objects. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REASON_BYTES 512
#define NAME_BYTES   4096 /* objects with longer names are not found */

static _Thread_local bool started;
static _Thread_local char reason[REASON_BYTES];

/* Recursive: public functions call each other. */
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* Prepares HDF5 on this thread: no error output, no filter plug-ins. */
static void start(void) {
  if (started) return;
  H5dont_atexit(); /* its exit handler crashes after a failed close, e.g. over a quota */
  H5open();
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* the setting is per thread */
  H5PLset_loading_state(0);
  store_filters_register();
  started = true;
}

/* In a program of others: its settings of HDF5, while ours are in force. Under the mutex. */
static struct {
  bool is_active;
  size_t depth;   /* of locks */
  unsigned is_v2; /* the error handler is one of version 2 */
  H5E_auto1_t report_v1;
  H5E_auto2_t report;
  void *context;
  unsigned plugins;
} host;

void ls_store_keep_settings(void) {
  pthread_mutex_lock(&mutex);
  host.is_active = true;
  pthread_mutex_unlock(&mutex);
}

static void exchange_settings(void) {
  if (host.depth++ > 0) return;
  H5open();
  H5Eauto_is_v2(H5E_DEFAULT, &host.is_v2);
  if (host.is_v2)
    H5Eget_auto2(H5E_DEFAULT, &host.report, &host.context);
  else
    H5Eget_auto1(&host.report_v1, &host.context);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  H5PLget_loading_state(&host.plugins);
  H5PLset_loading_state(0);
}

static void restore_settings(void) {
  if (--host.depth > 0) return;
  H5PLset_loading_state(host.plugins);
  if (host.is_v2)
    H5Eset_auto2(H5E_DEFAULT, host.report, host.context);
  else
    H5Eset_auto1(host.report_v1, host.context);
}

int store_lock(void) {
  pthread_mutex_lock(&mutex);
  if (host.is_active)
    exchange_settings();
  else
    start();
  return 0;
}

const char *ls_store_library(char *text, size_t size) {
  unsigned version[3] = {0};
  H5get_libversion(&version[0], &version[1], &version[2]);
  snprintf(text, size, "HDF5 %u.%u.%u", version[0], version[1], version[2]);
  return text;
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *unused) {
  (void)unused;
  if (n == 0 && error->desc) snprintf(reason, sizeof reason, "%s", error->desc);
  return 0;
}

/* The next HDF5 call clears the errors, so they are kept before an id is closed. */
static void keep_reason(void) {
  if (H5Eget_num(H5E_DEFAULT) > 0) H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, NULL);
}

void store_unlock(const int *held) {
  (void)held;
  keep_reason();
  if (host.is_active) restore_settings();
  pthread_mutex_unlock(&mutex);
}

const char *store_reason(void) {
  HDF5_LOCKED;
  static const char prefix[] = "error message = '";
  keep_reason();
  char *const message = strstr(reason, prefix);
  if (!message) return reason[0] ? reason : "no reason given by HDF5";
  char *const end = strchr(message + sizeof prefix - 1, '\'');
  if (end) *end = '\0';
  return message + sizeof prefix - 1;
}

hid_t store_access(void) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (access < 0) return access;
  H5Pset_fapl_sec2(access);
  H5Pset_file_locking(access, false, true);
  return access;
}

hid_t store_type(ls_dtype dtype, bool in_file) {
  const hid_t types[][2] = {
      [LS_U8] = {H5T_NATIVE_UINT8, H5T_STD_U8LE},    [LS_U16] = {H5T_NATIVE_UINT16, H5T_STD_U16LE},
      [LS_U32] = {H5T_NATIVE_UINT32, H5T_STD_U32LE}, [LS_U64] = {H5T_NATIVE_UINT64, H5T_STD_U64LE},
      [LS_I8] = {H5T_NATIVE_INT8, H5T_STD_I8LE},     [LS_I16] = {H5T_NATIVE_INT16, H5T_STD_I16LE},
      [LS_I32] = {H5T_NATIVE_INT32, H5T_STD_I32LE},  [LS_I64] = {H5T_NATIVE_INT64, H5T_STD_I64LE},
      [LS_F32] = {H5T_NATIVE_FLOAT, H5T_IEEE_F32LE}, [LS_F64] = {H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE},
  };
  LS_ASSERT(dtype < LS_TEXT);
  return types[dtype][in_file];
}

/* Integers of odd sizes become the next larger type. */
static bool integer_dtype(hid_t type, ls_dtype *out) {
  static const ls_dtype unsigneds[] = {LS_U8, LS_U16, LS_U32, LS_U64};
  static const ls_dtype signeds[] = {LS_I8, LS_I16, LS_I32, LS_I64};
  const size_t size = H5Tget_size(type);
  if (size == 0 || size > 8) return false;
  const int log = size > 4 ? 3 : size > 2 ? 2 : size > 1 ? 1 : 0;
  *out = H5Tget_sign(type) == H5T_SGN_NONE ? unsigneds[log] : signeds[log];
  return true;
}

/* Half precision and similar formats become the next larger type that holds their exponent and mantissa. */
static bool float_dtype(hid_t type, ls_dtype *out) {
  size_t sign, exponent_at, exponent, mantissa_at, mantissa;
  if (H5Tget_fields(type, &sign, &exponent_at, &exponent, &mantissa_at, &mantissa) < 0) return false;
  if (exponent > 11 || mantissa > 52 || H5Tget_size(type) > 8) return false;
  *out = exponent <= 8 && mantissa <= 23 ? LS_F32 : LS_F64;
  return true;
}

static bool enum_dtype(hid_t type, ls_dtype *out) {
  const hid_t base = H5Tget_super(type);
  const bool ok = base >= 0 && H5Tget_class(base) == H5T_INTEGER && integer_dtype(base, out);
  store_close_id(base);
  return ok;
}

bool store_dtype_of(hid_t type, ls_dtype *out) {
  switch (H5Tget_class(type)) {
  case H5T_INTEGER: return integer_dtype(type, out);
  case H5T_FLOAT: return float_dtype(type, out);
  case H5T_ENUM: return enum_dtype(type, out);
  case H5T_BITFIELD: *out = LS_U8; return H5Tget_size(type) == 1; /* bool of PyTables */
  case H5T_STRING: *out = LS_TEXT; return true;
  default: return false;
  }
}

hid_t store_memory_type(hid_t id, ls_dtype dtype) {
  const hid_t stored = H5Dget_type(id);
  const bool is_bits = stored >= 0 && H5Tget_class(stored) == H5T_BITFIELD;
  store_close_id(stored);
  return is_bits ? H5T_NATIVE_B8 : store_type(dtype, false);
}

bool store_transfer_rows(hid_t id, const ls_array *array, uint64_t first, size_t count, void *to,
                         const void *from) {
  const hid_t type = store_memory_type(id, array->dtype);
  hsize_t start[LS_MAX_DIMS] = {first};
  hsize_t counts[LS_MAX_DIMS] = {count};
  for (unsigned i = 1; i < array->n_dims; i++) counts[i] = array->dims[i];
  const hid_t memory = H5Screate_simple((int)array->n_dims, counts, NULL);
  const hid_t space = H5Dget_space(id);
  const bool ok = memory >= 0 && space >= 0 &&
                  H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, counts, NULL) >= 0 &&
                  (to ? H5Dread(id, type, memory, space, H5P_DEFAULT, to)
                      : H5Dwrite(id, type, memory, space, H5P_DEFAULT, from)) >= 0;
  store_close_id(space);
  store_close_id(memory);
  return ok;
}

void store_close_id(hid_t id) {
  keep_reason();
  if (id >= 0) H5Idec_ref(id);
}

/* Replaces *here by its child `name`, or by -1 if that is not a group or array of this file. */
static ls_store_kind step(hid_t *here, const char *name) {
  const hid_t parent = *here;
  ls_store_kind kind = LS_STORE_NONE;
  H5L_info_t link;
  *here = -1;
  const bool is_group = H5Iget_type(parent) == H5I_GROUP && strcmp(name, ".") != 0;
  const htri_t exists = is_group ? H5Lexists(parent, name, H5P_DEFAULT) : 0;
  if (exists != 0) {
    kind = LS_STORE_OTHER;
    if (exists > 0 && H5Lget_info(parent, name, &link, H5P_DEFAULT) >= 0 && link.type == H5L_TYPE_HARD)
      *here = H5Oopen(parent, name, H5P_DEFAULT);
    const H5I_type_t type = *here < 0 ? H5I_BADID : H5Iget_type(*here);
    if (type == H5I_GROUP) kind = LS_STORE_GROUP;
    if (type == H5I_DATASET) kind = LS_STORE_ARRAY;
  }
  store_close_id(parent);
  if (kind == LS_STORE_OTHER) {
    store_close_id(*here);
    *here = -1;
  }
  return kind;
}

ls_store_kind store_object_open(hid_t file, const char *path, hid_t *out) {
  hid_t here = H5Gopen2(file, "/", H5P_DEFAULT);
  ls_store_kind kind = here < 0 ? LS_STORE_OTHER : LS_STORE_GROUP;
  for (const char *at = path + strspn(path, "/"); *at && here >= 0; at += strspn(at, "/")) {
    char name[NAME_BYTES];
    const size_t bytes = strcspn(at, "/");
    snprintf(name, sizeof name, "%.*s", (int)ls_size_min(bytes, sizeof name), at);
    kind = step(&here, bytes < sizeof name ? name : ".");
    at += bytes;
  }
  *out = here;
  return kind;
}

const char *ls_store_explain(const ls_store *store, const char *path, char *text, size_t size) {
  const char *const slash = strrchr(path, '/');
  char folder[NAME_BYTES];
  char library[64];
  hid_t parent = -1;
  H5L_info_t link = {.type = H5L_TYPE_HARD};
  HDF5_LOCKED;
  snprintf(text, size, "cannot be found");
  if (!slash || (size_t)(slash - path) + 1 >= sizeof folder) return text;
  snprintf(folder, sizeof folder, "%.*s", (int)ls_size_max((size_t)(slash - path), 1), path);
  if (store_object_open(store->file, folder, &parent) == LS_STORE_GROUP &&
      H5Lget_info(parent, slash + 1, &link, H5P_DEFAULT) >= 0) {
    const hid_t object = link.type == H5L_TYPE_HARD ? H5Oopen(parent, slash + 1, H5P_DEFAULT) : -1;
    if (link.type != H5L_TYPE_HARD)
      snprintf(text, size, "a link to another place; links are not followed");
    else if (object >= 0)
      snprintf(text, size, "a named type");
    else
      snprintf(text, size,
               "cannot be opened: %s; it is damaged, or needs a newer version than %s: write it "
               "with libver='v110' in h5py",
               store_reason(), ls_store_library(library, sizeof library));
    store_close_id(object);
  }
  store_close_id(parent);
  return text;
}

/* Non-blocking, so that the program does not hang on a pipe. */
ls_status ls_store_open_file(const char *path, ls_status status, int *out) {
  struct stat about;
  const int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0 || fstat(descriptor, &about) != 0) {
    const int error = errno;
    if (descriptor >= 0) close(descriptor);
    return ls_fail(error == ENOENT ? status : LS_ERR_DATA, "%s: cannot be opened: %s", path,
                   strerror(error));
  }
  if (S_ISREG(about.st_mode)) {
    *out = descriptor;
    return LS_OK;
  }
  close(descriptor);
  return ls_fail(status, "%s: is %s; must be a file", path,
                 S_ISDIR(about.st_mode) ? "a folder" : "a device or pipe");
}
