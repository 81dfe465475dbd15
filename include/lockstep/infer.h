/* infer: predictions from a model file in other programs (simulations, services), without MPI, OpenMP or
 * BLAS.
 *
 * Link with `pkg-config --cflags --libs lockstep-infer`. A program opens a model once, creates one
 * workspace for each thread, and calls ls_infer_run:
 *
 *   ls_infer *model = NULL;
 *   ls_infer_workspace *workspace = NULL;
 *   char message[256];
 *   if (ls_infer_open("model.h5", &model, message, sizeof message)) ...
 *   if (ls_infer_workspace_create(model, 32, &workspace)) ...
 *   if (ls_infer_run(model, workspace, rows, x, y)) ...
 *
 * Threads. A model is constant and may be used by any number of threads at once. A workspace belongs to one
 * call at a time. A call runs on the thread of its caller alone, allocates nothing, and changes nothing but
 * its workspace and y. All functions may be called before MPI_Init and within parallel regions of OpenMP.
 * Opening uses HDF5, one thread at a time, and leaves HDF5's settings as they were; if other threads of the
 * program use HDF5 meanwhile, it must be a thread-safe build, and cannot load filter plug-ins, since HDF5
 * has this setting for the whole program.
 *
 * Results. y has what `lockstep predict` writes: for the convolutions the same bits; dense layers add in
 * another order than BLAS, so results are equal to rounding. The result of a row depends on this row alone:
 * it has the same bits in any call, in any workspace, on any thread. Traps and rounding modes of the
 * caller's floating-point environment have no effect and are restored.
 *
 * Functions that return int return 0 or an error code. No function prints, and none ends the program. */
#ifndef LOCKSTEP_INFER_H
#define LOCKSTEP_INFER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ls_infer_code {
  LS_INFER_OK = 0,
  LS_INFER_ARGUMENT = 2, /* an argument is NULL, or the workspace belongs to another model */
  LS_INFER_DATA = 3,     /* an element of x is not finite, or beyond the range of float32 */
  LS_INFER_MODEL = 4,    /* the model is missing, damaged, not a model of Lockstep, or of a newer version */
  LS_INFER_MEMORY = 70   /* out of memory */
};

/* Describes an error code in general. Constant text. */
const char *ls_infer_describe(int code);

/* ------------------------------------------------------------------ models */

typedef struct ls_infer ls_infer; /* a model: parameters, normaliser, names */

/* Opens a model file or a checkpoint after verifying its digest. On failure *out is NULL. Writes the reason
 * of a failure, or "", to `message` of `size` bytes, truncated if necessary; message may be NULL if size is
 * 0. The file may be changed or removed afterwards. The caller closes the model. */
int ls_infer_open(const char *path, ls_infer **out, char *message, size_t size);

/* The same from the `n` bytes of such a file in memory, which are not needed afterwards. Copies them to a
 * file in /dev/shm, $TMPDIR or /tmp while it opens the model. */
int ls_infer_open_memory(const void *bytes, size_t n, ls_infer **out, char *message, size_t size);

/* Closes a model and sets the pointer to NULL; accepts a pointer to NULL. All workspaces must be destroyed
 * before. */
void ls_infer_close(ls_infer **model);

/* The numbers of values per sample of x and of y; 0 if the model is NULL. */
size_t ls_infer_inputs(const ls_infer *model);
size_t ls_infer_outputs(const ls_infer *model);

/* Writes the shape of a sample of x, as the training data had it (`data.layout`), to `dims`; returns the
 * number of dims, at most LS_INFER_DIMS. The last dim is contiguous. */
#define LS_INFER_DIMS 4
size_t ls_infer_shape(const ls_infer *model, size_t dims[LS_INFER_DIMS]);

/* What the outputs are. */
typedef enum ls_infer_task {
  LS_INFER_CLASSES, /* a probability for each class; the sum is 1 */
  LS_INFER_LABELS,  /* a probability for each label; one output: that of the second of two classes */
  LS_INFER_VALUES   /* values in the units of the targets */
} ls_infer_task;

ls_infer_task ls_infer_task_of(const ls_infer *model);

/* The number of names of the classes and of the inputs that the training data had; 0: none. */
size_t ls_infer_class_count(const ls_infer *model);
size_t ls_infer_feature_count(const ls_infer *model);

/* Name k, in UTF-8, valid until the model is closed; NULL if there is none. */
const char *ls_infer_class_name(const ls_infer *model, size_t k);
const char *ls_infer_feature_name(const ls_infer *model, size_t k);

/* ------------------------------------------------------------- predictions */

typedef struct ls_infer_workspace ls_infer_workspace; /* the memory of calls, one at a time */

/* Creates a workspace for calls of about `max_rows` rows. A call may have any number of rows: more are
 * computed in pieces of max_rows, and never more than LS_INFER_PIECE at once. Borrows the model. On failure
 * *out is NULL. */
#define LS_INFER_PIECE 128
int ls_infer_workspace_create(const ls_infer *model, size_t max_rows, ls_infer_workspace **out);

/* Destroys a workspace and sets the pointer to NULL; accepts a pointer to NULL. */
void ls_infer_workspace_destroy(ls_infer_workspace **workspace);

/* Predicts `rows` samples; with 0 rows, x and y may be NULL. After an error, y is undefined and
 * ls_infer_message has the reason. x and y must not overlap.
 *   x: (rows, ls_infer_inputs), in the units of the training data, before the normaliser
 *   y: (rows, ls_infer_outputs) */
int ls_infer_run(const ls_infer *model, ls_infer_workspace *workspace, size_t rows, const float *x,
                 float *y);
int ls_infer_run_f64(const ls_infer *model, ls_infer_workspace *workspace, size_t rows, const double *x,
                     double *y);

/* The distances, in elements, between rows and between columns of an array: {columns, 1} for a contiguous
 * array in row-major order, {1, rows} in column-major order. */
typedef struct ls_infer_strides {
  size_t row, column;
} ls_infer_strides;

/* The same for arrays of any strides. */
int ls_infer_run_strided(const ls_infer *model, ls_infer_workspace *workspace, size_t rows, const float *x,
                         ls_infer_strides x_strides, float *y, ls_infer_strides y_strides);
int ls_infer_run_strided_f64(const ls_infer *model, ls_infer_workspace *workspace, size_t rows,
                             const double *x, ls_infer_strides x_strides, double *y,
                             ls_infer_strides y_strides);

/* The reason why the latest call with this workspace failed; "" if it succeeded. Valid until the next call.
 */
const char *ls_infer_message(const ls_infer_workspace *workspace);

#ifdef __cplusplus
}
#endif

#endif
