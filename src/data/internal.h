/* Declarations shared by the files of the module. */
#ifndef LOCKSTEP_DATA_INTERNAL_H
#define LOCKSTEP_DATA_INTERNAL_H

#include "lockstep/data.h"

#include <stdatomic.h>

#define DATA_FETCH_ROWS  ((size_t)32)      /* most rows of one fetch */
#define DATA_FETCH_BYTES ((size_t)1 << 20) /* of them, unless one has more */

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
  bool is_match;    /* of a pattern */
  ls_part part;     /* what the file is of a dataset in several files; rank 0 only */
  uint64_t first, rows;
  uint64_t chunk_rows;   /* of x */
  ls_file_state state;   /* of the file when it was opened first, see source.c; 0 bytes: not yet */
  ls_file_state y_state; /* that of y_file */
} data_part;

/* The files of a dataset, in the order of their samples. */
typedef struct data_files {
  size_t n;
  data_part *parts; /* owned */
} data_files;

/* Local. Appends the files of a request: names, lists of names, patterns. LS_ERR_DATA. */
ls_status data_files_list(const ls_dataset_request *request, data_files *files);

/* Local. Removes a file from the list. */
void data_files_remove(data_files *files, size_t part);

/* Local. Numbers the samples of all files; returns how many there are. */
uint64_t data_files_count(data_files *files);

/* Local. LS_ERR_DATA if two parts have the same x in the same file. */
ls_status data_files_check_unique(const data_files *files);

/* Local. LS_ERR_DATA if the files are parts of a larger dataset, and one is missing. */
ls_status data_files_check_parts(const data_files *files);

/* Collective. Sends the list to all ranks. */
ls_status data_files_broadcast(ls_comm *comm, data_files *files);

/* Local. The part that has a sample. */
size_t data_files_find(const data_files *files, uint64_t sample);
void data_files_free(data_files *files);

/* A dataset that is being read: its files, and the one that is open. */
typedef struct ls_dataset_source {
  data_files files;
  size_t open;            /* index of the open file, if store is not NULL */
  ls_store *store;        /* owned; NULL: none is open */
  ls_store *y_store;      /* owned; of its y_file, or NULL */
  ls_cache *cache;        /* borrowed, or NULL */
  data_names names;       /* of the open file, borrowed */
  bool is_training;       /* the role is "train" */
  bool is_brief;          /* messages about a label do not report the range of all labels */
  bool has_classes;       /* the model that the data are matched with has class names */
  ls_data_errors *errors; /* rank 0: see ls_dataset_request */
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

/* Local. Closes the open file. */
void data_source_close(data_source *source);

/* Local. Does not free the mapping. */
void data_source_destroy(data_source **source);

/* Local. Finds the arrays of a request in a file. group: of its spec, or NULL. y is not searched for if it
 * is in another file. */
ls_status data_find_arrays(const ls_store *store, const ls_dataset_request *request, const char *group,
                           bool has_y_file, data_names *names);
void data_names_free(data_names *names);

/* What an array contains, and its usual names, ended by NULL. */
typedef struct data_kind {
  const char *what;
  const char *names[8];
} data_kind;

extern const data_kind data_inputs, data_targets, data_weights, data_other_weights;

/* A role of data, and what it adds to a usual name. */
typedef struct data_role {
  const char *name;
  const char *prefixes[7], *suffixes[11]; /* ended by NULL */
} data_role;

#define DATA_N_ROLES 3
extern const data_role data_roles[DATA_N_ROLES]; /* the first is "train" */

/* Local. Candidate i for the name that an array called `name` in the training data has in the role `wanted`
 * (or NULL): test_x for train_x. *out is owned by the caller; NULL: there are no more. */
ls_status data_counterpart(const char *wanted, const char *name, size_t i, char **out);

/* Local. The name of an array in its group: `x` of /train/x; `features/train`, whose last part is a role.
 */
const char *data_last_name(const char *path);

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

/* Local. Reports "FILE:PATH: NAME is SHAPE TYPE", followed by the formatted text. LS_ERR_DATA. */
__attribute__((format(printf, 5, 6))) ls_status data_reject_array(const ls_store *store, const char *path,
                                                                  char name, const ls_array *array,
                                                                  const char *format, ...);

/* Local. Rejects an array of a file that differs from that of the first file. LS_ERR_DATA. */
ls_status data_reject_part(const ls_store *store, const char *path, char name, const ls_array *array,
                           const data_part *first, const char *first_path, const ls_array *other);

/* Local. Whether the rows of two arrays have the same type and shape. */
bool data_same_rows(const ls_array *a, const ls_array *b);

/* Local. Continues with the next file after the result of file *i. In a check of all data, a file with an
 * error is removed from the list unless it is the last one, and the others must agree with the first that
 * remains. */
ls_status data_next_part(data_source *source, ls_status status, size_t *i);

/* Local, rank 0. Describes x in all files: sets samples, features, shapes and feature names. */
ls_status data_describe_inputs(data_source *source, const ls_dataset_request *request, ls_dataset *dataset);

/* Collective. Describes y and w, on all ranks. LS_ERR_DATA. */
ls_status data_targets_open(ls_comm *comm, ls_dataset *dataset, size_t n_outputs);

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

/* ---------------------------------------------------------------------- rows of samples */

/* Arrays of samples in memory; y and w are NULL if the dataset does not have them. */
typedef struct data_rows {
  unsigned char *x; /* (n, n_features) of the stored type */
  unsigned char *y; /* (n) int32 for classes, otherwise (n, n_outputs) of the value type */
  float *w;         /* (n) */
} data_rows;

/* Local. Bytes of the arrays of n samples, and the arrays in an aligned block of so many bytes. */
size_t data_rows_bytes(const ls_dataset *dataset, uint64_t n);
data_rows data_rows_at(const ls_dataset *dataset, uint64_t n, void *memory);

/* Local. Copies sample i of one block to place j of another. */
void data_rows_copy(const ls_dataset *dataset, const data_rows *from, uint64_t i, const data_rows *to,
                    uint64_t j);

/* Local. The arrays from sample i on. */
data_rows data_rows_from(const ls_dataset *dataset, const data_rows *rows, uint64_t i);

/* Local. Sample i, which borrows the arrays. */
ls_row data_rows_get(const ls_dataset *dataset, const data_rows *rows, uint64_t i);

/* Reads samples of a dataset, with files of its own: one for each thread. */
typedef struct data_loader {
  const ls_dataset *dataset; /* borrowed */
  data_source source;        /* its list of files and its mapping are borrowed */
} data_loader;

data_loader data_loader_create(const ls_dataset *dataset);
void data_loader_close(data_loader *loader);

/* Local. Lets the system read samples of x ahead, those in the file of the first one. opens: opens this
 * file; otherwise only if it is open. Ignores failures. */
void data_loader_read_ahead(data_loader *loader, ls_block_range samples, bool opens);

/* Local. Reads and checks consecutive samples. LS_ERR_DATA, with file and row. */
ls_status data_loader_read(data_loader *loader, ls_block_range samples, const data_rows *rows);

#define DATA_PIECE_BYTES ((size_t)1 << 20)

/* Local. Blocks are read in pieces: whole chunks, of at most DATA_PIECE_BYTES unless one has more. Returns
 * the number of samples from this one to the end of its piece. */
uint64_t data_piece_rest(const ls_dataset *dataset, uint64_t sample);

/* Local. The most samples of a piece. */
uint64_t data_piece_most(const ls_dataset *dataset);

/* ------------------------------------------------------------------- shares of ranks */

/* The rows of a rank in a batch. */
typedef struct data_share {
  size_t first, rows;
  size_t before; /* rows of lower ranks of its group */
} data_share;

/* Which rank uses which position of an epoch. */
typedef struct data_shares {
  uint64_t n; /* positions */
  size_t batch_rows;
  int size;
  const int *groups;  /* (size), borrowed: the group of each rank */
  data_share *tables; /* (2, size), owned: of a full batch, and of the last */
  size_t *totals;     /* (2, size), owned: rows of each group in them */
} data_shares;

/* Local. n_lanes: see ls_feed_request. The caller frees the shares, after a failure too. */
ls_status data_shares_create(uint64_t n, size_t batch_rows, size_t n_lanes, int size, const int *groups,
                             data_shares *shares);
void data_shares_free(data_shares *shares);

/* Local. The rank that uses a position. */
int data_shares_rank(const data_shares *shares, uint64_t position);

/* Local. The number of positions before this one that the group of its rank uses. */
uint64_t data_shares_index(const data_shares *shares, int rank, uint64_t position);

/* Local. The number of positions before `position` <= n that a group uses. */
uint64_t data_shares_count(const data_shares *shares, int group, uint64_t position);

/* Local. At least as many as a group uses of any `rows` consecutive positions. */
uint64_t data_shares_most(const data_shares *shares, int group, uint64_t rows);

/* ----------------------------------------------------------------------------- places */

typedef struct data_places_request {
  const ls_dataset *dataset;
  uint64_t n; /* positions of an epoch */
  size_t batch_rows, n_lanes;
  uint64_t window_rows; /* at most */
  bool is_mixed, shares;
} data_places_request;

/* The memory of a group of ranks for the rows that they use of two windows. */
typedef struct data_places {
  const ls_dataset *dataset; /* borrowed */
  int rank, size, n_groups;
  int *groups; /* (size), owned */
  data_shares shares;
  uint64_t window_rows;
  bool copies_partners; /* the partners in mixup may be on another group, and are kept beside the rows */
  ls_shared memory;
} data_places;

/* The rows of a window in it. */
typedef struct data_half {
  uint64_t before; /* rows of the epoch before the window that the group uses */
  data_rows rows, partners;
} data_half;

/* Collective. The caller destroys the places, after a failure too. */
ls_status data_places_create(ls_comm *comm, const data_places_request *request, data_places *places);
void data_places_destroy(ls_comm *comm, data_places *places);

/* Local. Half 0 or 1, for a window that begins at a position. */
data_half data_places_half(const data_places *places, int half, uint64_t first);

/* Local. *rank: the rank that uses a position of the window. If it is in the group of this one, returns
 * true and sets the place of its row. */
bool data_places_find(const data_places *places, const data_half *half, uint64_t position, int *rank,
                      uint64_t *place);

/* --------------------------------------------------------------------------- readers */

/* Consecutive samples that are read together. */
typedef struct data_piece {
  ls_block_range samples;
  uint64_t place;          /* of the first of them, as the task counts */
  ls_block_range ahead[2]; /* samples to read ahead: with this piece, and after them; n: 0 for none */
} data_piece;

/* What is read, piece by piece. */
typedef struct data_task {
  void *context;
  data_piece (*next)(void *context); /* called by one thread at a time */
  /* Called by several threads, each with another piece. */
  void (*place)(void *context, const data_piece *piece, const data_rows *rows);
} data_task;

/* Threads that read a task. They do not call MPI. */
typedef struct data_readers data_readers;

/* Local. The caller destroys the readers, after a failure too. LS_ERR_INTERNAL. */
ls_status data_readers_create(const ls_dataset *dataset, size_t n_threads, data_readers **out);
void data_readers_destroy(data_readers **readers);

/* Local. Bytes of their buffers. */
size_t data_readers_bytes(const ls_dataset *dataset, size_t n_threads);

/* Local. Ends the current task, and prepares another one. */
void data_readers_start(data_readers *readers, const data_task *task);

/* Local. Lets the threads read the pieces of the task that begin before `samples`, counted in all. */
void data_readers_allow(data_readers *readers, uint64_t samples);

/* Local. Waits until the first `samples` samples, which are allowed, are placed. Returns the first failure.
 */
ls_status data_readers_wait(data_readers *readers, uint64_t samples);

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

/* Collective. Sets the reader of a streamed dataset. */
ls_status data_direct_create(ls_comm *comm, ls_dataset *dataset);

/* ------------------------------------------------------------------------- a pass */

/* A pass over the samples of a view, shared by all ranks. */
typedef struct data_scan {
  const ls_view *view;
  const char *name; /* of the pass, for the progress bar */
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

/* Rows in memory. */
typedef struct data_row_source data_row_source;
struct data_row_source {
  /* Sets the rows first .. first + n - 1 of a batch and, with mixup, their partners after them. */
  void (*fetch)(const data_row_source *source, size_t first, size_t n, ls_row *rows);
};

/* Local. As ls_batch_gather_training, for rows first .. first + n - 1 of a batch that has those before.
 * batch->samples must be set. */
void data_batch_gather_from(const data_row_source *source, ls_batch *batch, const ls_dataset *dataset,
                            const ls_normalizer *normalizer, uint64_t seed, uint64_t epoch, size_t first,
                            size_t n);

/* ---------------------------------------------------------------------------- stream */

/* Rows for other groups of ranks. */
typedef struct data_staging {
  const data_places *places; /* borrowed */
  size_t row_bytes;
  uint64_t capacity;      /* rows */
  atomic_uint_fast64_t n; /* rows so far */
  unsigned char *rows;    /* (capacity, row_bytes), owned */
  /* During delivery: */
  data_half half;
  uint64_t *sorted, *starts; /* (capacity), (size + 1), owned: rows by rank, and the first of each rank */
  int packing;               /* the rank to which rows are sent */
  uint64_t packed;           /* the next of them in `sorted` */
  size_t piece_bytes;
  void *buffers[2]; /* (piece_bytes) each, owned */
} data_staging;

/* Local. The caller frees the staging, after a failure too. */
ls_status data_staging_create(const data_places *places, uint64_t capacity, data_staging *staging);
void data_staging_free(data_staging *staging);

/* Local, on any thread. Adds row i of a block. */
void data_staging_add(data_staging *staging, const data_rows *rows, uint64_t i, uint64_t position, int to,
                      bool is_partner);

/* Collective. Sends all rows, which belong to the window in a half, to their places. */
void data_staging_deliver(ls_comm *comm, data_staging *staging, const data_half *half);

typedef struct data_stream_request {
  const ls_view *view; /* borrowed */
  uint64_t seed;
  bool shuffle;
  uint64_t window; /* samples, positive */
  size_t batch_rows, n_lanes;
  uint64_t epochs; /* no window of a later one is read ahead */
  bool is_mixed;
  bool shares; /* the ranks of a node share memory */
  size_t n_readers;
} data_stream_request;

/* Two windows of an epoch: one that is used, and one that is being read. */
typedef struct data_stream data_stream;

/* Collective. The caller destroys the stream, after a failure too. */
ls_status data_stream_create(ls_comm *comm, const data_stream_request *request, data_stream **out);
void data_stream_destroy(ls_comm *comm, data_stream **stream);

/* Collective. Makes the window of a position the current one: no rank uses the one before any more.
 * LS_ERR_DATA on all ranks if a sample cannot be read. */
ls_status data_stream_enter(ls_comm *comm, data_stream *stream, uint64_t epoch, uint64_t position);

/* Collective. The positions of the window before this one are used. */
ls_status data_stream_advance(ls_comm *comm, data_stream *stream, uint64_t position);

/* Local. The current window, the order of its epoch, whether this group has the row at a position, and the
 * rows of a batch whose row 0 is at a position. */
ls_order_window data_stream_window(const data_stream *stream);
const ls_order *data_stream_order(const data_stream *stream);
bool data_stream_has(const data_stream *stream, uint64_t position);
const data_row_source *data_stream_rows(data_stream *stream, uint64_t position);

/* Collective. See ls_feed_reading. */
void data_stream_reading(ls_comm *comm, const data_stream *stream, uint64_t epoch, ls_reading *out);

/* Local. Bytes of the memory of the group; *is_private: which is this rank alone. */
size_t data_stream_bytes(const data_stream *stream, bool *is_private);

/* Local. This rank's rows of a batch of `rows` rows; see ls_feed_request. */
ls_shard data_feed_shard(size_t n_lanes, size_t rows, int rank, int size);

/* Local. The class of a sample: its class number or, for a single label, whether it exceeds 0.5. */
size_t data_class_of(const ls_dataset *dataset, const ls_row *row);

#endif
