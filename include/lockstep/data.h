/* data: HDF5 datasets, the validation split, the order of an epoch, batches.
 *
 * A reader makes the samples of a dataset available in their stored types. They are converted and
 * normalised when a batch is gathered. */
#ifndef LOCKSTEP_DATA_H
#define LOCKSTEP_DATA_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/config.h"
#include "lockstep/math.h"
#include "lockstep/store.h"

/* ------------------------------------------------------------------ config */

typedef enum ls_normalize { LS_NORMALIZE_NONE, LS_NORMALIZE_SCALE, LS_NORMALIZE_STANDARDIZE } ls_normalize;

/* Random changes of training samples, different in each epoch; 0 or false: none. All but noise and mixup
 * need images: x of shape (N, H, W) or (N, H, W, C). Shifts, flips and rotations move raw values, and fill
 * with 0. */
typedef struct ls_augment {
  uint64_t shift; /* at most this many whole pixels, vertically and horizontally */
  bool flip_horizontal;
  double rotate;   /* at most this many degrees in either direction */
  double noise;    /* standard deviation of the noise added to normalised inputs */
  uint64_t cutout; /* side in pixels of a square that is set to 0 after normalisation */
  double mixup;    /* alpha of the Beta distribution (Zhang et al. 2018) */
} ls_augment;

/* The order of the dims of a sample in a file: (H, W, C) or (C, H, W), and likewise for other numbers of
 * dims. */
typedef enum ls_layout { LS_CHANNELS_LAST, LS_CHANNELS_FIRST } ls_layout;

/* The data of a split. All pointers are borrowed from the config. */
typedef struct ls_data_split {
  const ls_node *list; /* of names FILE[:GROUP], absolute; NULL: one name */
  const char *x, *y;   /* explicit names of the arrays, or NULL; y: also FILE:/PATH */
} ls_data_split;

/* Where the samples are kept: in the memory of the nodes, or in the files, of which a part is in memory. */
typedef enum ls_data_memory { LS_MEMORY_AUTO, LS_MEMORY_RESIDENT, LS_MEMORY_STREAM } ls_data_memory;

/* The size of the windows in which samples are shuffled, in samples or in bytes. */
typedef struct ls_window_size {
  bool is_given;
  uint64_t samples; /* 0: given in bytes or, without bytes, no windows: a full shuffle */
  uint64_t bytes;
} ls_window_size;

/* The section `data:`. Strings are borrowed from the config. */
typedef struct ls_data_config {
  ls_node *train_node, *validation_node, *test_node;
  /* FILE[:GROUP] or a pattern, absolute; the first of a list; validation and test may be NULL. */
  const char *train, *validation, *test;
  ls_data_split train_split, validation_split, test_split;
  double validation_fraction; /* 0 if validation names a file or is absent */
  const char *x, *y;          /* explicit names for all splits, or NULL */
  int layout;                 /* ls_layout of the files */
  ls_node *shape_node;        /* data.shape, or NULL */
  ls_shape shape;             /* the same: of a sample in the files; no dims: as stored */
  int memory;                 /* ls_data_memory */
  uint64_t readers;           /* threads of each rank that read streamed samples */
  ls_node *window_node;
  ls_window_size window; /* of the config, or of the run that is resumed */
  const char *cache;     /* folder, absolute, or NULL */
  ls_node *cache_size_node;
  uint64_t cache_bytes;
  int normalize;       /* ls_normalize */
  bool is_per_channel; /* normalisation has one offset and factor per channel, rather than per feature */
  bool standardize_targets;
  bool shuffle;
  ls_augment augment;
} ls_data_config;

/* The keys of the section, for `lockstep keys`. */
extern const ls_key ls_data_keys[];

/* Local. Reads the section `data:`; errors are collected in the config. Makes relative paths absolute, also
 * in the document: they are relative to the folder of the config file `config_path`. */
void ls_data_configure(ls_config *config, const char *config_path, ls_data_config *out);

/* ------------------------------------------------------------------- blocks */

/* Consecutive samples, or positions. */
typedef struct ls_block_range {
  uint64_t first, n;
} ls_block_range;

/* The samples of a file, divided into blocks of equal size, of which the last may be smaller. */
typedef struct ls_block_file {
  uint64_t first, rows;    /* samples */
  uint64_t rows_per_block; /* whole chunks of x */
  uint64_t first_block;
} ls_block_file;

/* The blocks of a dataset: consecutive samples, which are read together. A block consists of whole chunks
 * of x and ends with its file. It has about 1/4096 of the bytes of x, but at least 1 MiB and at most 8 MiB;
 * a larger chunk is a block by itself. The blocks are a function of the files alone. */
typedef struct ls_blocks {
  uint64_t n, n_samples;
  size_t n_files;
  ls_block_file *files; /* (n_files), owned */
} ls_blocks;

/* Local. rows, chunk_rows: (n_files), samples of each file, at least 1, and samples per chunk of its x.
 * row_bytes: of a row of x in the files. The caller destroys the blocks. LS_ERR_INTERNAL. */
ls_status ls_blocks_create(size_t n_files, const uint64_t *rows, const uint64_t *chunk_rows,
                           size_t row_bytes, ls_blocks **out);
void ls_blocks_destroy(ls_blocks **blocks);

/* Local. The block that has a sample, and the samples of a block. */
uint64_t ls_blocks_find(const ls_blocks *blocks, uint64_t sample);
ls_block_range ls_blocks_range(const ls_blocks *blocks, uint64_t block);

/* Local. The digest of all blocks, on which the order of an epoch with windows depends. */
ls_digest ls_blocks_digest(const ls_blocks *blocks);

/* Local. The number of samples of the largest block. */
uint64_t ls_blocks_largest(const ls_blocks *blocks);

/* ----------------------------------------------------------------- datasets */

/* Local. *has: whether a file is one of those that a name FILE[:GROUP] or a pattern stands for. LS_ERR_DATA
 * if no file matches the pattern. */
ls_status ls_spec_has_file(const char *spec, const char *path, bool *has);

/* A list of names. Borrowed. n is 0 if there are none. */
typedef struct ls_names {
  const char *const *list;
  size_t n;
} ls_names;

/* What a model assumes about its data, or what data are like. Borrowed. Names exist on rank 0 only. */
typedef struct ls_facts {
  const char *owner;          /* the model file, or the key of the data, for messages */
  ls_shape shape;             /* of a sample, channels last; no dims: unknown */
  ls_names features, classes; /* none: unknown */
  ls_values x;                /* type NULL: unknown */
} ls_facts;

typedef enum ls_target_kind {
  LS_TARGET_NONE,    /* y is not read */
  LS_TARGET_CLASSES, /* class numbers below n_outputs; one-hot rows are converted to them */
  LS_TARGET_LABELS,  /* numbers in [0, 1] */
  LS_TARGET_VALUES   /* numbers */
} ls_target_kind;

typedef struct ls_dataset_request {
  const char *spec;    /* FILE[:GROUP], or a pattern; unless there is a list */
  const ls_node *list; /* of such names, whose samples follow each other; or NULL */
  const char *role;    /* "train", "validation" or "test": selects names such as X_train; NULL: any */
  const char *x, *y;   /* explicit names, or NULL; y: also FILE:/PATH */
  const char *training_x, *training_y; /* names in the training data, searched before the usual ones */
  ls_target_kind target;               /* what y contains */
  const ls_facts *model;               /* rank 0: to be matched; NULL: none. Other ranks ignore it */
  ls_layout layout;                    /* of x in the file */
  ls_shape shape;                      /* of a sample in the file; no dims: as stored */
  ls_cache *cache;                     /* of the files; borrowed until the dataset is closed; or NULL */
  struct ls_data_errors *errors; /* rank 0: files that cannot be read are left out and added to these, which
                                    are borrowed likewise; NULL: such a file is an error */
  size_t n_spatial; /* spatial dims of the first convolution or pooling layer; 0: the model has none */
} ls_dataset_request;

/* A sample in its stored types. The pointers are borrowed from the reader. */
typedef struct ls_row {
  const void *x;               /* (n_features) of the dataset's x_array.dtype, channels last */
  const int32_t *class_number; /* LS_TARGET_CLASSES; otherwise NULL */
  const void *values;          /* (n_outputs) of the dataset's value_type: LS_TARGET_LABELS or
                                  LS_TARGET_VALUES; otherwise NULL */
  float weight;                /* 1 if the dataset has no weights */
} ls_row;

/* Samples of a view that will be fetched in this order: `run` samples from `first` on, then as many from
 * first + stride on, and so on; n samples in all. */
typedef struct ls_expected {
  const struct ls_view *view; /* borrowed until other samples are expected */
  uint64_t first, run, stride, n;
} ls_expected;

/* Access to the samples of a dataset, wherever they are kept. */
typedef struct ls_reader ls_reader;
struct ls_reader {
  /* Local. Fetches n samples by number. The rows stay valid until the next fetch. LS_ERR_DATA if the
   * samples are not in memory and cannot be read. rows: (n) */
  ls_status (*fetch)(ls_reader *reader, size_t n, const uint64_t *samples, ls_row *rows);
  /* Local. See ls_dataset_expect. NULL: the samples are in memory. */
  ls_status (*expect)(ls_reader *reader, const ls_expected *expected);
  /* Collective. Frees the reader. */
  void (*destroy)(ls_comm *comm, ls_reader *reader);
  size_t bytes;    /* memory of the samples */
  bool is_private; /* each rank has this memory, rather than each node */
};

typedef struct ls_dataset {
  uint64_t n_samples;
  size_t n_features; /* elements of a row of x */
  size_t n_outputs;
  ls_array stored;  /* type and shape of x in the file */
  ls_array x_array; /* the same after data.shape, and channels last: what the reader provides */
  size_t n_spatial; /* as requested */
  size_t
      n_channels; /* dims[1] of x in the file, if they precede the other dims; 0: x is stored as provided */
  ls_target_kind target;
  ls_dtype value_type; /* of y in memory unless it has classes: LS_F64 for values that float32 may round,
                          otherwise LS_F32 */
  bool has_weights;
  bool is_matched;                   /* rank 0: with a model */
  ls_digest fingerprint;             /* of x, y, w and their shapes; the same on all ranks; 0: unknown */
  ls_digest selection;               /* the same of a fixed selection of the samples; always known */
  size_t n_classes, n_feature_names; /* number of names below; 0 on ranks other than 0 */
  char **classes, **feature_names;   /* rank 0 only; owned, one block each; NULL if the file has none */
  ls_blocks *blocks;                 /* owned; the same on all ranks */
  bool is_streamed;                  /* the samples stay in the files; see ls_datasets_place */
  ls_reader *reader;                 /* owned; NULL before ls_dataset_read */
  struct ls_dataset_source *source;  /* the files; owned; NULL if the samples are in memory */
} ls_dataset;

/* Collective. Opens the files of a dataset and describes x: samples, shape, type, names. With the facts of
 * a model, matches columns and classes by their names, if both sides have names, so that the dataset has
 * those of the model in its order; ignores additional columns, with a warning. Flat rows get the model's
 * shape. Fails with LS_ERR_DATA on all ranks if a file is missing, unreadable or ambiguous (the message
 * lists the arrays that were found), if x has an unsuitable shape or type, or no samples, or if it does not
 * fit the model. */
ls_status ls_dataset_open(ls_comm *comm, const ls_dataset_request *request, ls_dataset **out);

/* Local. Bytes of the samples in memory, at most: y may have float32 only, and w may be absent. n_outputs:
 * columns of y, unless it has classes */
size_t ls_dataset_resident_bytes(const ls_dataset *d, size_t n_outputs);

/* Collective. Chooses where the samples of n open datasets are kept; all together. `auto`: in memory if
 * they fit 70 % of the memory, and of the shared memory, of each node. n_outputs: columns of y, unless it
 * has classes */
void ls_datasets_place(ls_comm *comm, ls_data_memory memory, size_t n_outputs, ls_dataset *const *datasets,
                       size_t n);

/* Collective. Reads all samples, unless the dataset is streamed. n_outputs: columns of y, or the number of
 * classes; 0: as in the file. Fails with LS_ERR_DATA on all ranks if y or w does not fit x or n_outputs, a
 * label is out of range, or a number is NaN, infinite or beyond float32 (the message names the row, from
 * 0). After a failure the dataset can only be closed. */
ls_status ls_dataset_read(ls_comm *comm, ls_dataset *dataset, size_t n_outputs);

#define LS_DATA_ERRORS_MAX 20 /* listed */

/* What is wrong with data. */
typedef struct ls_data_errors {
  uint64_t n; /* rows of an array with an error, and chunks or files that cannot be read */
  uint64_t n_listed;
  char texts[LS_DATA_ERRORS_MAX][1024]; /* messages of the first ones; none repeats the one before it */
} ls_data_errors;

/* Local. */
void ls_data_errors_add(ls_data_errors *errors, const char *text);

/* Collective. Reads all samples of a dataset instead of ls_dataset_read, keeps none of them, and appends
 * the errors in the order of the files, the same on all ranks. If the request had errors, a file whose y or
 * w does not fit is added to these and left out. The dataset then accepts no other call than
 * ls_dataset_close. Shows a progress bar on a terminal, with the name of the data. LS_ERR_DATA if y does
 * not fit the outputs, LS_ERR_INTERNAL. */
ls_status ls_dataset_check(ls_comm *comm, ls_dataset *dataset, size_t n_outputs, const char *name,
                           ls_data_errors *errors);

/* Collective. The rate at which all ranks together read a streamed dataset, in bytes of samples in memory
 * per second: in blocks, with one thread per rank, for about `seconds` seconds. LS_ERR_DATA. */
ls_status ls_dataset_measure_rate(ls_comm *comm, const ls_dataset *dataset, double seconds, double *rate);

/* Collective. Copies the names of classes and features from rank 0 to the ranks with `wanted`.
 * LS_ERR_INTERNAL. */
ls_status ls_dataset_share_names(ls_comm *comm, ls_dataset *dataset, bool wanted);

/* Local. Bytes of a sample in memory: x, y and the weight. */
size_t ls_dataset_row_bytes(const ls_dataset *dataset);

/* Local. The shape of a sample for the model, channels last: the dims of x_array without the first, (1) if
 * it has no others, and flat if there are more than LS_SHAPE_MAX. */
ls_shape ls_dataset_shape(const ls_dataset *dataset);

/* Local. The same for a sample as it is in the files. */
ls_shape ls_dataset_stored_shape(const ls_dataset *dataset);

/* Local. The number of samples of a window; 0: none. */
uint64_t ls_dataset_window(const ls_dataset *dataset, const ls_window_size *size);

/* Local. Whether two datasets that were read have the same samples. If one is not in memory, a selection of
 * the samples decides. */
bool ls_dataset_same(const ls_dataset *a, const ls_dataset *b);

/* ----------------------------------------------------------------- inspection */

/* Receives rows of an array from number `first` on, converted. values: (rows, columns). Another status than
 * LS_OK ends the visit. */
typedef ls_status ls_rows_visit(void *context, uint64_t first, size_t rows, size_t columns,
                                const double *values);

/* The following functions are for rank 0 and a dataset that is open, with another target than
 * LS_TARGET_NONE, and not read. They are local. */

/* The path of x in its first file, and that file. Borrowed. */
const char *ls_dataset_x_path(const ls_dataset *dataset);
const char *ls_dataset_x_file(const ls_dataset *dataset);

/* Type and shape of y of all files. LS_ERR_DATA if it is absent or unsuitable. */
ls_status ls_dataset_describe_y(const ls_dataset *dataset, ls_array *y);

/* Visits all rows of y as they are in the files. LS_ERR_DATA if they cannot be read, or are not numbers,
 * one row for each sample. */
ls_status ls_dataset_visit_y(const ls_dataset *dataset, ls_rows_visit *visit, void *context);

/* Visits at most `most` rows of x, but at least one: all of them, or runs of consecutive rows at equal
 * distances. LS_ERR_DATA if they cannot be read, or have a number that is not finite. */
ls_status ls_dataset_visit_x(const ls_dataset *dataset, size_t most, ls_rows_visit *visit, void *context);

/* Collective. */
void ls_dataset_close(ls_comm *comm, ls_dataset **dataset);

/* Local. Fetches n samples by number. The rows stay valid until the next fetch. LS_ERR_DATA if the samples
 * are not in memory and cannot be read. rows: (n) */
ls_status ls_dataset_fetch(const ls_dataset *dataset, size_t n, const uint64_t *samples, ls_row *rows);

/* Local. Announces samples that will be fetched, so that those that are not in memory are read ahead; with
 * n = 0, none. Other samples may be fetched too. LS_ERR_INTERNAL if there is no memory for them. */
ls_status ls_dataset_expect(const ls_dataset *dataset, const ls_expected *expected);

/* ---------------------------------------------------------------------- views */

/* Local. Numeric target k of a row. */
static inline double ls_row_value(const ls_dataset *dataset, const ls_row *row, size_t k) {
  return dataset->value_type == LS_F64 ? ((const double *)row->values)[k]
                                       : (double)((const float *)row->values)[k];
}

/* Some of the blocks of a dataset, in ascending order, and the samples before each of them and in all. */
typedef struct ls_block_list {
  uint64_t n;
  uint64_t *blocks; /* (n) */
  uint64_t *first;  /* (n + 1) */
} ls_block_list;

/* A subset of a dataset: sample i of the view is sample ls_view_sample(view, i) of the dataset. */
typedef struct ls_view {
  const ls_dataset *dataset; /* borrowed */
  uint64_t n;
  bool is_split;  /* the view is part of a permutation of the dataset, from `first` */
  uint64_t first; /* position in the permutation */
  ls_permutation split;
  ls_block_list *list; /* of a view by blocks, whose samples are in the order of the files; otherwise NULL.
                          Owned by the view that ls_view_split_blocks has set; copies borrow it */
} ls_view;

/* Local. The whole dataset. */
ls_view ls_view_all(const ls_dataset *dataset);

/* Local. Assigns round(fraction * n) samples to validation, by a permutation keyed on (seed, split). */
void ls_view_split(const ls_dataset *dataset, double fraction, uint64_t seed, ls_view *train,
                   ls_view *validation);

/* Local. The same by whole blocks: validation gets blocks, selected by a permutation keyed on (seed,
 * split), until it has round(fraction * n) samples, but never all of them. The caller releases both views,
 * after a failure too. LS_ERR_INTERNAL. */
ls_status ls_view_split_blocks(const ls_dataset *dataset, double fraction, uint64_t seed, ls_view *train,
                               ls_view *validation);

/* Local. Frees what the view owns, and clears it. */
void ls_view_release(ls_view *view);

/* Local. The blocks of a view of whole blocks, which is not the result of ls_view_split: their number,
 * block k in ascending order, and the number in the view of its first sample. */
uint64_t ls_view_n_blocks(const ls_view *view);
uint64_t ls_view_block(const ls_view *view, uint64_t k);
uint64_t ls_view_block_first(const ls_view *view, uint64_t k);

/* Local. The number in the dataset of sample i of the view. */
uint64_t ls_view_sample(const ls_view *view, uint64_t i);

/* Local. Whether a sample of the dataset is in the view. */
bool ls_view_has(const ls_view *view, uint64_t sample);

/* Local. Fetches sample i of the view, like ls_dataset_fetch. */
ls_status ls_view_fetch(const ls_view *view, uint64_t i, ls_row *row);

/* ---------------------------------------------------------------------- facts */

/* Local, on rank 0. The facts of an open dataset, without its values. `owner` is borrowed; names are
 * borrowed from the dataset. */
ls_facts ls_facts_of(const ls_dataset *dataset, const char *owner);

/* Local, on rank 0. Adds the values of x: those of at most 1,024 samples of a view, at equal distances.
 * LS_ERR_INTERNAL if memory is short, LS_ERR_DATA if samples cannot be read. */
ls_status ls_facts_measure(const ls_view *view, ls_facts *facts);

/* Local, on rank 0. Warns if the type of x differs from that of a model's training data (integers or real
 * numbers), or if its values are far from them. kind, normalizer: of the model. owner: the name of the
 * data. LS_ERR_INTERNAL if memory is short, LS_ERR_DATA if samples cannot be read. */
ls_status ls_facts_compare(const ls_facts *model, ls_normalize kind, const ls_normalizer *normalizer,
                           const ls_view *view, const char *owner);

/* Local. Whether two shapes of samples agree: equal without dims of 1, or one of them flat with as many
 * elements. */
bool ls_shapes_match(const ls_shape *a, const ls_shape *b);

/* Local. Whether two lists are equal. */
bool ls_names_equal(const ls_names *a, const ls_names *b);

#define LS_NAME_ABSENT SIZE_MAX

/* Local. index: (wanted->n), the position of each name among `known`, or LS_NAME_ABSENT. LS_ERR_DATA if a
 * list has a name twice, LS_ERR_INTERNAL if memory is short. */
ls_status ls_names_find(const ls_names *wanted, const ls_names *known, size_t *index);

/* Local. Lists names for a message, at most 8, in `text`, which it returns: those whose index is
 * LS_NAME_ABSENT, or all if index is NULL. */
const char *ls_names_describe(const ls_names *names, const size_t *index, char *text, size_t size);

/* ---------------------------------------------------------------------- order */

/* The order in which an epoch visits the samples of a view, keyed on (seed, epoch).
 *
 * With a window, the blocks of the view are permuted. Consecutive blocks form windows: each collects whole
 * blocks until it has `window` samples, the last one what is left. The samples of a window are permuted
 * inside it. A window that covers the view gives the same order as no window: a permutation of all samples.
 * Without shuffling, the order is that of the files. All functions are local. */
typedef struct ls_order ls_order;

/* Borrows the view, which must be of whole blocks if there is a window. window: samples; 0: none. The
 * caller destroys the order, and calls ls_order_begin before it uses it. LS_ERR_INTERNAL. */
ls_status ls_order_create(const ls_view *view, uint64_t seed, bool shuffle, uint64_t window,
                          ls_order **out);
void ls_order_destroy(ls_order **order);

/* Selects the epoch. Allocates nothing. */
void ls_order_begin(ls_order *order, uint64_t epoch);

/* The numbers in the dataset of the samples at positions first .. first + n - 1 of the epoch.  samples: (n)
 */
void ls_order_samples(const ls_order *order, uint64_t first, size_t n, uint64_t *samples);

/* The partners in mixup of the samples at these positions: samples of the view or, with a window, of the
 * same window.  samples: (n), as from ls_order_samples; partners: (n), numbers in the dataset */
void ls_order_partners(const ls_order *order, uint64_t first, size_t n, const uint64_t *samples,
                       uint64_t *partners);

/* A window: its positions in the epoch, and the entries of the permuted list of blocks that it consists of.
 */
typedef struct ls_order_window {
  uint64_t first, n;
  uint64_t first_entry, n_entries;
} ls_order_window;

/* A block in that list. */
typedef struct ls_order_entry {
  uint64_t block;
  uint64_t offset; /* samples of the window in the entries before it */
} ls_order_entry;

/* The following functions are for orders with a window. The number of windows, window w, the window that
 * has a position, and entry k. */
uint64_t ls_order_n_windows(const ls_order *order);
ls_order_window ls_order_window_at(const ls_order *order, uint64_t w);
uint64_t ls_order_find_window(const ls_order *order, uint64_t position);
ls_order_entry ls_order_entry_at(const ls_order *order, uint64_t k);

/* The positions in the epoch of n samples from sample `first` of window w on, counted over its entries.
 * positions: (n) */
void ls_order_positions(const ls_order *order, uint64_t w, uint64_t first, size_t n, uint64_t *positions);

/* The position of the partner in mixup of the sample at a position, and the inverse: the position whose
 * partner is the sample at this one. */
uint64_t ls_order_partner(const ls_order *order, uint64_t position);
uint64_t ls_order_partner_inverse(const ls_order *order, uint64_t position);

/* The classes of blocks, from which the classes of windows are estimated. */
typedef struct ls_homogeneity {
  size_t n_classes;
  uint64_t n_blocks;
  double *shares;      /* (n_classes), owned: sums over the blocks of the shares of the classes */
  double squares;      /* sum of their squares */
  double inverse_rows; /* sum of 1 / samples */
} ls_homogeneity;

/* Local. The caller destroys it, after a failure too. LS_ERR_INTERNAL. */
ls_status ls_homogeneity_create(size_t n_classes, ls_homogeneity *out);
void ls_homogeneity_destroy(ls_homogeneity *homogeneity);

/* Local. Adds a block.  counts: (n_classes), samples of each class; a block without samples does not count
 */
void ls_homogeneity_add(ls_homogeneity *homogeneity, const uint64_t *counts);

/* Local. An estimate of the mean total variation distance between the classes of a window and those of all
 * samples: 0 if they are the same, near 1 if a window has few of many classes. 0 with fewer than two
 * blocks. window_blocks, all_blocks: the number of blocks of a window and of the view */
double ls_homogeneity_distance(const ls_homogeneity *homogeneity, double window_blocks, double all_blocks);

/* Local. That of an order with windows, from the first window of its epoch, or from a few more blocks. The
 * targets of the view are classes, or a single label. LS_ERR_INTERNAL, or LS_ERR_DATA of a fetch. */
ls_status ls_homogeneity_measure(const ls_order *order, const ls_view *view, size_t n_classes,
                                 double *distance);

/* Local. The shard of `rank` of rows [0, rows): contiguous; sizes differ by at most one; may be empty. */
typedef struct ls_shard {
  size_t first, rows;
} ls_shard;
ls_shard ls_shard_of(size_t rows, int rank, int size);

/* Local. The largest number of rows in any rank's shard of a batch of `rows`. */
size_t ls_shard_most(size_t rows, int size);

/* ----------------------------------------------------------------- normaliser */

/* Collective. Learns offsets and factors from the samples of a view, in one pass that the ranks share; the
 * result does not depend on the number of ranks. is_per_channel: one offset and factor for all elements of
 * a channel, the last dim of a sample of at least two. Targets, if the normaliser has any, are always
 * standardised. LS_ERR_DATA if samples cannot be read. */
ls_status ls_normalizer_learn(ls_comm *comm, ls_normalize kind, bool is_per_channel, const ls_view *view,
                              ls_normalizer *normalizer);

/* --------------------------------------------------------------------- weights */

/* Collective. Class weights that give all classes the same total weight: n / (n_classes * count), or 0 for
 * a class without samples. For classes, or for a single label, whose two classes are y <= 0.5 and y > 0.5.
 * LS_ERR_DATA if samples cannot be read. weights: (n_classes) */
ls_status ls_class_weights_balance(ls_comm *comm, const ls_view *view, size_t n_classes, double *weights);

/* Collective. Whether one of a few samples of a view has a positive weight, so that the sum of all need not
 * be computed to know that it is positive. class_weights and errors: as below. */
ls_status ls_view_finds_weight(ls_comm *comm, const ls_view *view, const double *class_weights,
                               bool *found);

/* Collective. The sum of the weights of the samples of a view, to rounding. class_weights: a factor for
 * each class, or NULL. LS_ERR_DATA if samples cannot be read. */
ls_status ls_view_weight(ls_comm *comm, const ls_view *view, const double *class_weights, double *sum);

/* --------------------------------------------------------------------- batches */

/* How training samples differ from stored samples. All pointers are borrowed. */
typedef struct ls_recipe {
  ls_augment augment;
  const double *class_weights; /* (n_classes): factors of the sample weights; or NULL */
} ls_recipe;

/* Local. Fails with LS_ERR_DATA if an augmentation needs images and x has another shape, or if the images
 * are too small for it. */
ls_status ls_augment_check(const ls_augment *augment, const ls_dataset *dataset);

/* The inputs, targets and weights of a batch. */
typedef struct ls_batch {
  ls_recipe recipe; /* zero: stored samples, without changes */
  size_t max_rows, rows;
  uint64_t *samples;         /* (max_rows): sample numbers in the dataset */
  uint64_t *partner_samples; /* (max_rows): those of the partners in mixup; or NULL */
  float *x;                  /* (max_rows, n_features): normalised inputs */
  int32_t *classes;          /* (max_rows), or NULL */
  float *values;             /* (max_rows, n_outputs), or NULL */
  float *weights;            /* (max_rows), or NULL */
  int32_t *partners;         /* (max_rows): second classes of mixed rows; or NULL */
  float *shares;             /* (max_rows): shares of the first classes of mixed rows; or NULL */
  bool is_mixed;             /* partners and shares belong to the current rows */
  double *row;               /* (n_features): workspace for a row in double */
  double *moved;             /* (n_features): workspace for a moved image; or NULL */
  float *noise;              /* (n_features): workspace for noise; or NULL */
  float *other;              /* (n_features): workspace for a mixup partner; or NULL */
  ls_arena arena;
} ls_batch;

/* Local. Allocates a batch of at most max_rows rows of a dataset. The caller destroys it. */
ls_status ls_batch_create(const ls_dataset *dataset, size_t max_rows, ls_batch **out);

/* Local. The same for ls_batch_gather_training. Copies the recipe. */
ls_status ls_batch_create_training(const ls_dataset *dataset, const ls_recipe *recipe, size_t max_rows,
                                   ls_batch **out);
void ls_batch_destroy(ls_batch **batch);

/* Local. Sets the samples, and their partners in mixup, of rows row .. row + n - 1 to those at positions
 * first .. first + n - 1 of an epoch. */
void ls_batch_select(ls_batch *batch, size_t row, const ls_order *order, uint64_t first, size_t n);

/* Local. Fills the batch with the normalised inputs, the targets and the weights of the samples
 * batch->samples[0 .. rows). LS_ERR_DATA if these cannot be read. */
ls_status ls_batch_gather(ls_batch *batch, const ls_dataset *dataset, const ls_normalizer *normalizer,
                          size_t rows);

/* Local. The same, augmented and weighted by the recipe of the batch. Random numbers are keyed on (seed,
 * epoch, sample), so that a sample does not depend on its position in the epoch or on the rank. */
ls_status ls_batch_gather_training(ls_batch *batch, const ls_dataset *dataset,
                                   const ls_normalizer *normalizer, uint64_t seed, uint64_t epoch,
                                   size_t rows);

/* Local. The targets of the batch, borrowed. */
ls_targets ls_batch_targets(const ls_batch *batch);

/* Local. A feature of all samples, normalised as in ls_batch_gather. LS_ERR_DATA if these cannot be read.
 * out: (n_samples) */
ls_status ls_dataset_column(const ls_dataset *dataset, const ls_normalizer *normalizer, size_t feature,
                            float *out);

/* ----------------------------------------------------------------------- feed */

/* The training samples of a run, in the order of its epochs: fills a batch with this rank's rows. */
typedef struct ls_feed ls_feed;

typedef struct ls_feed_request {
  const ls_view *view;             /* borrowed, like the next two */
  const ls_normalizer *normalizer; /* may be learned later */
  ls_batch *batch;                 /* made by ls_batch_create_training */
  uint64_t seed;
  bool shuffle;
  uint64_t window; /* samples, see ls_order_create */
  size_t n_lanes;  /* each rank gets the rows of its lanes (ls_comm_tree_lanes); 0: its shard */
  /* For a streamed dataset, which needs a window: */
  size_t batch_rows;  /* of all batches but the last of an epoch */
  uint64_t epochs;    /* of the run: nothing is read for a later one before it begins */
  size_t n_readers;   /* threads of this rank */
  bool shares_memory; /* the ranks of a node share memory */
} ls_feed_request;

/* Collective. Copies the request. The caller destroys the feed. */
ls_status ls_feed_create(ls_comm *comm, const ls_feed_request *request, ls_feed **out);

/* Local. Bytes of samples in the memory of this node, or of this rank if *is_private; 0 if the dataset is
 * in memory, or without a feed. */
size_t ls_feed_bytes(const ls_feed *feed, bool *is_private);

/* Collective. Accepts NULL. */
void ls_feed_destroy(ls_comm *comm, ls_feed **feed);

/* Collective. Fills the feed's batch with this rank's rows of the batch of all ranks that begins at a
 * position of an epoch. LS_ERR_DATA on all ranks if a sample cannot be read. */
ls_status ls_feed_gather(ls_comm *comm, ls_feed *feed, uint64_t epoch, uint64_t position, size_t rows);

/* The reading of an epoch of a streamed dataset. */
typedef struct ls_reading {
  uint64_t blocks; /* read by all ranks: each of the epoch once, unless a run resumes inside it */
  double waited;   /* seconds in which ranks have waited for them, on average */
} ls_reading;

/* Collective. Sets *out for an epoch whose last batch was gathered. False if the samples are in memory. */
bool ls_feed_reading(ls_comm *comm, const ls_feed *feed, uint64_t epoch, ls_reading *out);

/* Local, after ls_feed_gather. Fills the batch with `rows` samples from a position on, all for this rank;
 * after the last sample, the first follows. Of a streamed dataset only samples of the current window that
 * are in the memory of this node are used or, if there are none, others of the window are read from the
 * files. LS_ERR_DATA if they cannot be read. */
ls_status ls_feed_gather_alone(ls_feed *feed, uint64_t position, size_t rows);

#endif
