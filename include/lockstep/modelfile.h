/* modelfile: reads and writes the model format, which checkpoints extend. No MPI: all functions are local,
 * and different threads may use different files if HDF5 is thread-safe. */
#ifndef LOCKSTEP_MODELFILE_H
#define LOCKSTEP_MODELFILE_H

#include "lockstep/base.h"
#include "lockstep/math.h"
#include "lockstep/model.h"
#include "lockstep/store.h"

/* The contents of a model file. All borrowed. */
typedef struct ls_modelfile_content {
  const char *config;   /* the resolved config as YAML */
  const char *platform; /* BLAS library and its kernels, Lockstep's kernels, MPI, layout of ranks: results
                           on others differ by rounding */
  const char *const *classes; /* names, or NULL */
  size_t n_classes;
  const char *const *features; /* names, or NULL */
  size_t n_features;
  ls_values x;     /* of the training data */
  ls_shape stored; /* of a sample in the files of the training data, which may have another layout */
  uint64_t window; /* samples of a window of the order; 0: none */
  const ls_model *model;
  const ls_normalizer *normalizer;
} ls_modelfile_content;

/* Publishes a model file at `path`. LS_ERR_OUTPUT. */
ls_status ls_modelfile_write(const char *path, const ls_modelfile_content *content);

/* Adds the contents to a file that the caller creates and publishes. LS_ERR_OUTPUT. */
ls_status ls_modelfile_put(ls_store_writer *writer, const ls_modelfile_content *content);

/* Adds one array per segment below `group`: a view of the flat vector `values`. LS_ERR_OUTPUT. */
ls_status ls_modelfile_put_segments(ls_store_writer *writer, const char *group, size_t n_segments,
                                    const ls_segment *segments, const float *values);

/* A verified model or checkpoint, open for reading. */
typedef struct ls_modelfile {
  ls_store *store;
  uint64_t version; /* of the format */
  char *config;
  char *platform;  /* NULL if the file predates it */
  char *comm_mode; /* checkpoints only: how gradients were summed on n_ranks ranks; NULL if the file
                      predates it or the sums do not depend on it. Then n_ranks is 0 */
  uint64_t n_ranks;
  ls_shape input;             /* of a sample; flat in version 1 */
  ls_shape stored;            /* of a sample in the training data; no dims in older files */
  size_t n_inputs;            /* its number of elements */
  uint64_t window;            /* samples of a window of the order; 0: none, as in files that predate it */
  bool is_newest;             /* set by ls_checkpoint_find: it skipped no later checkpoint */
  bool is_checkpoint;         /* has the optimizer's state and the progress */
  char **classes, **features; /* NULL if absent */
  size_t n_classes, n_features;
  ls_values x;  /* of the training data; unknown in older files */
  char *x_type; /* owned: x.type */
} ls_modelfile;

/* Opens a model or checkpoint. LS_ERR_MODEL if it is missing, damaged or neither. The caller closes it. */
ls_status ls_modelfile_open(const char *path, ls_modelfile **out);

/* Opens a file that need not exist: *out is NULL if it is missing, damaged or neither model nor checkpoint.
 * ls_message() then gives the reason. LS_ERR_MODEL if it exists but may be intact: reading fails
 * (permissions, disk error), or a newer version wrote it. */
ls_status ls_modelfile_try_open(const char *path, ls_modelfile **out);

/* Returns *known (or NULL), and sets it to NULL, if it is the file at `path`, unchanged since it was
 * opened, so that its digest need not be verified again. Otherwise returns NULL. */
ls_modelfile *ls_modelfile_take(ls_modelfile **known, const char *path);

void ls_modelfile_close(ls_modelfile **file);

/* Reads the parameters, (n_params), and the state, (n_state), of `model`, which gives the shapes.
 * LS_ERR_MODEL if shapes differ. */
ls_status ls_modelfile_read_model(const ls_modelfile *file, const ls_model *model, float *params,
                                  float *state);

/* Reads the normaliser of the inputs, and of the targets if `normalizer` has one. LS_ERR_MODEL if shapes
 * differ. */
ls_status ls_modelfile_read_normalizer(const ls_modelfile *file, ls_normalizer *normalizer);

/* Reads one block of a model's parameters or state into `values` if the file has one of the
 * same path and shape. `why`, of `size` bytes, is then ""; otherwise it gives the reason. LS_ERR_MODEL if
 * reading fails. */
ls_status ls_modelfile_read_block(const ls_modelfile *file, const ls_segment *segment, float *values,
                                  char *why, size_t size);

/* Reads the array of each segment below `group` into the flat vector `values`. LS_ERR_MODEL if shapes
 * differ. */
ls_status ls_modelfile_read_segments(const ls_modelfile *file, const char *group, size_t n_segments,
                                     const ls_segment *segments, float *values);

/* Reads a float64 vector of n elements. LS_ERR_MODEL if shapes differ. */
ls_status ls_modelfile_read_vector(const ls_modelfile *file, const char *path, size_t n, double *values);

/* Turns LS_ERR_DATA, which `store` returns for bad data, into LS_ERR_MODEL; keeps the message. */
ls_status ls_modelfile_status(ls_status status);

/* Publishes the model of a file, without optimizer and progress, at `path`; `model` gives the shapes, and
 * `group` is where the parameters are: "/model", or a slot of the optimizer. LS_ERR_MODEL if shapes differ,
 * LS_ERR_OUTPUT. */
ls_status ls_modelfile_copy_model(const ls_modelfile *from, const ls_model *model, const char *group,
                                  const ls_normalizer *normalizer, const char *path);

/* *same: whether two files hold the same parameters and state of `model`. LS_ERR_MODEL if one is
 * unreadable. */
ls_status ls_modelfile_same_model(const ls_modelfile *a, const ls_modelfile *b, const ls_model *model,
                                  bool *same);

#endif
