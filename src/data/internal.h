/* Declarations shared by the files of the module. */
#ifndef LOCKSTEP_DATA_INTERNAL_H
#define LOCKSTEP_DATA_INTERNAL_H

#include "lockstep/data.h"

#define DATA_FETCH_ROWS ((size_t)32) /* most rows of one fetch */

/* ------------------------------------------------------------------------- files */

/* Paths of arrays inside a file; NULL if absent. */
typedef struct data_names {
  char *x, *y, *w;
} data_names;

/* How the file differs from the order of the model. All owned; NULL: not at all. */
typedef struct data_mapping {
  size_t *columns; /* (n_features): the column of the file for each feature; on all ranks */
  /* Rank 0. */
  size_t n_known; /* classes of the file that the model has */
  char *known;    /* the classes of the model, for messages */
  /* Rank 0, and all ranks after data_targets_share. */
  double *values; /* (n_classes): what replaces each class number of the file: a class number of the model,
                     or the number that is the name of the class; NAN: the model does not have the class */
  size_t n_classes; /* of the file */
  size_t n_labels;  /* class numbers that y may have */
  bool has_names;   /* these are the names of the file, rather than the outputs of the model */
} data_mapping;

/* A file of a dataset and its samples. Texts are owned. */
typedef struct data_part {
  char *file;
  char *group;      /* of its name, or NULL; rank 0 only */
  char *y_file;     /* of y; NULL: `file` */
  data_names names; /* names.y: inside y_file, if there is one */
  uint64_t first, rows;
  uint64_t chunk_rows; /* of x; rank 0 only */
} data_part;

/* The files of a dataset, in the order of their samples. */
typedef struct data_files {
  size_t n;
  data_part *parts; /* owned */
} data_files;

/* Local. Appends the files of a request: names, lists of names, patterns. LS_ERR_DATA. */
ls_status data_files_list(const ls_dataset_request *request, data_files *files);

/* Local. LS_ERR_DATA if two parts have the same x in the same file. */
ls_status data_files_check_unique(const data_files *files);

/* Collective. Sends the list to all ranks. */
ls_status data_files_broadcast(ls_comm *comm, data_files *files);

/* Local. The part that has a sample. */
size_t data_files_find(const data_files *files, uint64_t sample);
void data_files_free(data_files *files);

/* A dataset that is being read: its files, and the one that is open. */
typedef struct ls_dataset_source {
  data_files files;
  size_t open;       /* index of the open file, if store is not NULL */
  ls_store *store;   /* owned; NULL: none is open */
  ls_store *y_store; /* owned; of its y_file, or NULL */
  data_names names;  /* of the open file, borrowed */
  bool is_training;  /* the role is "train" */
  bool has_classes;  /* the model that the data are matched with has class names */
  data_mapping map;
} data_source;

/* Local, rank 0. Opens a file and finds its arrays. */
ls_status data_source_find(data_source *source, const ls_dataset_request *request, size_t part);

/* Local. Opens a file whose arrays are known, and closes another one. stored: type and shape of x, for a
 * comparison. */
ls_status data_source_open(data_source *source, size_t part, const ls_array *stored);

/* Local. The open file that has the y of the open part, borrowed. */
ls_status data_source_y(data_source *source, const ls_store **store);

/* Local. The name of that file. */
const char *data_source_y_file(const data_source *source);

/* Local. Does not free the mapping. */
void data_source_destroy(data_source **source);

/* Local. Finds the arrays of a request in a file. group: of its spec, or NULL. y is not searched for if it
 * is in another file. */
ls_status data_find_arrays(const ls_store *store, const ls_dataset_request *request, const char *group,
                           bool has_y_file, data_names *names);
void data_names_free(data_names *names);

/* A role of data, and what it adds to a usual name. */
typedef struct data_role {
  const char *name;
  const char *prefixes[7], *suffixes[7]; /* ended by NULL */
} data_role;

#define DATA_N_ROLES 3
extern const data_role data_roles[DATA_N_ROLES]; /* the first is "train" */

/* Local. Candidate i for the name that an array called `name` in the training data has in the role `wanted`
 * (or NULL): test_x for train_x. *out is owned by the caller; NULL: there are no more. */
ls_status data_counterpart(const char *wanted, const char *name, size_t i, char **out);

/* Local. Whether the group of an array is named after a role: /test/x. */
bool data_is_split(const char *path);

/* Local. Whether two names of arrays have the same group. */
bool data_same_group(const char *a, const char *b);

/* Local. Reports that a group has no array with one of the names (ended by NULL), and lists what it has.
 * what: "inputs" */
ls_status data_fail_absent(const ls_store *store, const char *group, const char *what,
                           const char *const *names);

/* Local. LS_ERR_DATA if a group is a sparse matrix. */
ls_status data_check_dense(const ls_store *store, const char *group);

/* Local. Whether an explicit name (or NULL) is FILE:/PATH. */
bool data_has_file(const char *name);

/* Local, rank 0. Describes x in all files: sets samples, features, shapes and feature names. */
ls_status data_describe_inputs(data_source *source, const ls_dataset_request *request, ls_dataset *dataset);

/* Collective. Creates the blocks of the dataset on all ranks, from the files that rank 0 has described. */
ls_status data_blocks_create(ls_comm *comm, ls_dataset *dataset);

/* Local, rank 0. Describes y and w in all files: sets outputs, has_weights and class names. */
ls_status data_describe_targets(data_source *source, size_t n_outputs, ls_dataset *dataset);

/* ------------------------------------------------------------------------ names */

/* Local, on rank 0. Reads a list of names that is an attribute of an array, in one block that the caller
 * frees. Leaves *names NULL if it is absent, or another program's, with a warning. */
ls_status data_read_list(const ls_store *store, const char *path, const char *attribute, char ***names,
                         size_t *n);

/* Local, on rank 0. Checks the names of columns and classes that were read. Ignores features of another
 * number, with a warning. LS_ERR_DATA if y has class names but must be numbers. */
ls_status data_check_names(ls_dataset *dataset);

/* Local, on rank 0. Matches names and shape with those of a model; sets the mapping. */
ls_status data_match(const ls_facts *model, ls_dataset *dataset);

/* Local, on rank 0. The shape for data.shape: that of the request or, for flat rows, that of the model, in
 * the order of the file. */
ls_shape data_match_flat(const ls_dataset_request *request, const ls_dataset *dataset);

/* Collective. Sends the mapping of columns to all ranks. */
ls_status data_mapping_share(ls_comm *comm, ls_dataset *dataset);

/* Collective. Sends what reading y needs to all ranks, after data_describe_targets. */
ls_status data_targets_share(ls_comm *comm, ls_dataset *dataset);
void data_mapping_free(data_mapping *map);

/* Local. Copies the columns of the mapping from rows as in the file.
 * from: (rows, columns of the file), to: (rows, n_features), of the stored type */
void data_select_columns(const ls_dataset *dataset, size_t rows, const void *from, void *to);

/* Local. Replaces a class number, or a label, of a row of the open file by that of the model. */
ls_status data_translate(const ls_dataset *dataset, const data_source *source, size_t row, double *value);

/* ---------------------------------------------------------------------- reading */

/* Local. Elements first .. first + n - 1 of an array of a stored type, as double; and a single one. */
void data_elements(const void *array, ls_dtype dtype, size_t first, size_t n, double *out);
double data_element(const void *array, ls_dtype dtype, size_t i);

/* Local. Bytes of a row of y in memory. */
size_t data_y_bytes(const ls_dataset *dataset);

/* Local. Whether float32 holds a number, at least rounded; false for NaN. */
bool data_fits_float(double v);

/* Bytes of one read, small enough to be in the cache when they are checked. */
#define DATA_READ_BYTES ((size_t)4 << 20)

/* Local. Read and check samples first .. first + rows - 1 of x (channels last; real numbers must be finite
 * and fit float32), y, and w. The source may be another one than the dataset's.
 * x: (rows, n_features) of the stored type; y: (rows) int32 for classes, otherwise (rows, n_outputs) of
 * d->value_type; w: (rows) */
ls_status data_read_inputs(const ls_dataset *dataset, data_source *source, uint64_t first, uint64_t rows,
                           void *x);
ls_status data_read_targets(const ls_dataset *dataset, data_source *source, uint64_t first, uint64_t rows,
                            void *y);
ls_status data_read_weights(const ls_dataset *dataset, data_source *source, uint64_t first, uint64_t rows,
                            float *w);

/* Local. Reads data.window from its node; collects errors. */
void data_window_configure(ls_config *config, const ls_node *node, ls_window_size *out);

/* Local. Reads data.shape from its node; collects errors. */
void data_shape_configure(ls_config *config, const ls_node *node, ls_shape *shape);

/* Local. Whether a sample of n_dims dims has one of channels. */
bool data_has_channels(const ls_dataset_request *request, size_t n_dims);

/* Local. Sets d->x_array from d->stored, data.shape and data.layout, and adds a missing channel dim for
 * n_spatial. `name`: of x, for messages. Warns if the training data look like the other layout. */
ls_status data_layout_apply(const ls_dataset_request *request, const char *name, ls_dataset *d);

/* Local. Moves the channels of rows that were just read behind the other dims, if they are first in the
 * file.  x: (rows, n_features), row: (n_features), workspace; both of the stored type */
void data_layout_convert(const ls_dataset *d, size_t rows, void *x, void *row);

/* Collective. Reads the whole dataset into node-shared memory; sets its reader and fingerprint. */
ls_status data_resident_create(ls_comm *comm, ls_dataset *dataset);

/* Collective. Sets the digest of a selection of the samples, which the reader fetches. */
ls_status data_selection_digest(ls_comm *comm, ls_dataset *dataset);

/* ------------------------------------------------------------------------- a pass */

/* A pass over the samples of a view, shared by all ranks. */
typedef struct data_scan {
  const ls_view *view;
  size_t n_sums;

  /* Adds a sample's share to the sums of its range of samples.  sums: (n_sums) */
  void (*visit)(void *context, const ls_row *row, double *sums);
  void *context;
} data_scan;

/* Collective. Visits each sample of the view on one rank. sums: (n_sums), become the sums over all samples,
 * with the same bits for any number of ranks. LS_ERR_DATA if samples cannot be read, LS_ERR_INTERNAL. */
ls_status data_scan_run(ls_comm *comm, const data_scan *scan, double *sums);

/* ---------------------------------------------------------------- training samples */

/* A move of an image: flip, then counterclockwise rotation about the centre, then shift. */
typedef struct data_placement {
  bool flipped;
  double degrees;
  int64_t down, right; /* pixels */
} data_placement;

/* Local. Whether pixels move at all. */
bool data_augment_moves(const ls_augment *augment);

/* Local. Draws the move of a sample in an epoch. */
data_placement data_augment_place(const ls_augment *augment, uint64_t seed, uint64_t epoch,
                                  uint64_t sample);

/* Local. Moves the image x. Pixels from outside are 0; values between pixels are interpolated bilinearly.
 * Without rotation, or with a rotation of a square image by a multiple of 90 degrees, values are copied
 * exactly. array: shape (N, H, W) or (N, H, W, C);  x, out: (H, W, C) */
void data_augment_move(const data_placement *placement, const ls_array *array, const double *x,
                       double *out);

/* Local. Applies noise and cutout to a normalised sample.  noise: (n_features), workspace; x: (n_features)
 */
void data_augment_cover(const ls_augment *augment, const ls_dataset *dataset, uint64_t seed, uint64_t epoch,
                        uint64_t sample, float *noise, float *x);

/* Local. Draws the partner of a sample in an epoch, from the whole view: its number in the dataset. */
uint64_t data_mixup_partner(const ls_view *view, uint64_t seed, uint64_t epoch, uint64_t sample);

/* Local. Draws the share of a sample in its mixture with its partner, at least 1/2. */
float data_mixup_share(double alpha, uint64_t seed, uint64_t epoch, uint64_t sample);

/* Local. This rank's rows of a batch of `rows` rows; see ls_feed_request. */
ls_shard data_feed_shard(size_t n_lanes, size_t rows, int rank, int size);

/* Local. The class of a sample: its class number or, for a single label, whether it exceeds 0.5. */
size_t data_class_of(const ls_dataset *dataset, const ls_row *row);

#endif
