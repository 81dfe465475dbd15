/* The check of all samples of a dataset: continues after an error.
 *
 * The blocks are divided into ranges, which depend on the data alone, and the ranks read consecutive
 * ranges. The errors are listed in the order of the ranges, so the list is the same for any number of
 * ranks. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define RANGES ((uint64_t)256)

typedef enum array { INPUTS, TARGETS, WEIGHTS, ARRAYS } array;

typedef struct checker {
  data_loader loader;
  void *memory;   /* owned: of a piece */
  data_rows rows; /* in it */
  bool is_root;
  ls_data_errors *errors;   /* of this rank */
  ls_digest latest[ARRAYS]; /* of the latest message of each array in this range */
} checker;

/* -------------------------------------------------------------------- one range */

static ls_status read_array(checker *c, array which, ls_block_range samples) {
  const ls_dataset *const d = c->loader.dataset;
  data_source *const s = &c->loader.source;
  ls_heartbeat();
  if (which == INPUTS) return data_read_inputs(d, s, samples.first, samples.n, c->rows.x);
  if (which == TARGETS && c->rows.y) return data_read_targets(d, s, samples.first, samples.n, c->rows.y);
  if (which == WEIGHTS && c->rows.w) return data_read_weights(d, s, samples.first, samples.n, c->rows.w);
  return LS_OK;
}

/* The result of reading samples. */
typedef struct outcome {
  ls_status status;
  ls_digest message;
  bool is_stored; /* what is stored cannot be read, so the message names no row with a wrong value */
} outcome;

static outcome try_array(checker *c, array which, ls_block_range samples) {
  outcome o = {.status = read_array(c, which, samples)};
  if (o.status == LS_OK) return o;
  o.message = ls_digest_of(ls_message(), strlen(ls_message()));
  o.is_stored = strstr(ls_message(), LS_UNREADABLE) != NULL;
  return o;
}

/* Adds the message of samples that cannot be read, unless it repeats the latest one of the array in this
 * range of blocks: a file that has changed counts once in each range. */
static void add_error(checker *c, array which, ls_block_range samples) {
  const outcome o = try_array(c, which, samples);
  if (o.status != LS_ERR_DATA || ls_digest_equal(o.message, c->latest[which])) return;
  c->latest[which] = o.message;
  ls_data_errors_add(c->errors, ls_message());
}

/* Half of the samples: whole chunks, if there are several. */
static uint64_t half_of(const checker *c, ls_block_range samples) {
  const data_files *const files = &c->loader.source.files;
  const uint64_t chunk = files->parts[data_files_find(files, samples.first)].chunk_rows;
  LS_ASSERT(chunk > 0);
  return samples.n > chunk ? (samples.n / chunk + 1) / 2 * chunk : samples.n / 2;
}

/* Finds the errors in samples that cannot be read as a whole, until each message is about one row. If the
 * stored bytes of both halves cannot be read, or both give the same message, it is about all of them. */
static ls_status find_errors(checker *c, array which, ls_block_range samples) {
  const ls_block_range left = {samples.first, half_of(c, samples)};
  const ls_block_range right = {samples.first + left.n, samples.n - left.n};
  outcome l = {0};
  outcome r = {0};
  if (samples.n > 1) {
    l = try_array(c, which, left);
    r = try_array(c, which, right);
  }
  if (l.status != LS_OK && l.status != LS_ERR_DATA) return l.status;
  if (r.status != LS_OK && r.status != LS_ERR_DATA) return r.status;
  const bool fail = l.status != LS_OK && r.status != LS_OK;
  const bool is_whole = (l.is_stored && r.is_stored) || ls_digest_equal(l.message, r.message);
  if (samples.n == 1 || (fail && is_whole))
    add_error(c, which, samples);
  else {
    if (l.status != LS_OK) LS_TRY(find_errors(c, which, left));
    if (r.status != LS_OK) LS_TRY(find_errors(c, which, right));
  }
  return LS_OK;
}

static ls_status check_block(checker *c, ls_block_range block) {
  const ls_dataset *const d = c->loader.dataset;
  for (uint64_t first = block.first; first < block.first + block.n;) {
    const ls_block_range piece = {first, data_piece_rest(d, first)};
    for (array a = INPUTS; a < ARRAYS; a++) {
      const ls_status status = read_array(c, a, piece);
      if (status == LS_ERR_DATA)
        LS_TRY(find_errors(c, a, piece));
      else
        LS_TRY(status);
    }
    first += piece.n;
  }
  return LS_OK;
}

/* -------------------------------------------------------------------- all ranges */

static void report_progress(const checker *c, const char *name, uint64_t done, uint64_t all) {
  char text[160] = "";
  if (!c->is_root || (done < all && !ls_log_bar_is_due())) return;
  if (done < all)
    snprintf(text, sizeof text, "checking %s: %3.0f %%, errors: %llu", name,
             100.0 * (double)done / (double)all, (unsigned long long)c->errors->n);
  ls_log_bar(text);
}

/* Local. Checks this rank's ranges. */
static ls_status check_ranges(checker *c, const char *name, uint64_t rank, uint64_t size) {
  const ls_blocks *const blocks = c->loader.dataset->blocks;
  const uint64_t n_ranges = ls_size_min(RANGES, blocks->n);
  const uint64_t end = (rank + 1) * n_ranges / size;
  const uint64_t start = rank * n_ranges / size;
  for (uint64_t r = start; r < end; r++) {
    memset(c->latest, 0, sizeof c->latest);
    for (uint64_t b = r * blocks->n / n_ranges; b < (r + 1) * blocks->n / n_ranges; b++)
      LS_TRY(check_block(c, ls_blocks_range(blocks, b)));
    report_progress(c, name, r + 1 - start, end - start);
  }
  return LS_OK;
}

/* Appends this rank's errors to those of lower ranks. */
static void append(void *context, void *data) {
  const ls_data_errors *const mine = context;
  ls_data_errors *const all = data;
  const uint64_t before = all->n;
  for (uint64_t i = 0; i < mine->n_listed; i++) ls_data_errors_add(all, mine->texts[i]);
  all->n = before + mine->n;
}

/* Collective. Appends the errors of all ranks, on all ranks. */
static void collect(ls_comm *comm, ls_data_errors *mine, ls_data_errors *all) {
  _Static_assert(sizeof *all % sizeof(uint64_t) == 0, "summed as words");
  ls_comm_in_turn(comm, all, sizeof *all, append, mine);
  if (ls_comm_rank(comm) + 1 < ls_comm_size(comm)) memset(all, 0, sizeof *all);
  ls_comm_sum_u64(comm, (uint64_t *)(void *)all, sizeof *all / sizeof(uint64_t));
}

static ls_status create_checker(const ls_dataset *d, checker *c) {
  const uint64_t most = data_piece_most(d);
  c->errors = ls_calloc(1, sizeof *c->errors);
  c->memory = ls_calloc(data_rows_bytes(d, most), 1);
  if (!c->errors || !c->memory) return ls_fail_memory("samples", data_rows_bytes(d, most));
  c->loader = data_loader_create(d);
  c->loader.source.is_brief = true;
  c->rows = data_rows_at(d, most, c->memory);
  return LS_OK;
}

/* Collective. Opens y and w. Files that are left out have no blocks. */
static ls_status open_targets(ls_comm *comm, ls_dataset *d, size_t n_outputs) {
  LS_TRY(data_targets_open(comm, d, n_outputs));
  if (ls_comm_rank(comm) == 0) d->n_samples = data_files_count(&d->source->files);
  ls_comm_broadcast(comm, &d->n_samples, sizeof d->n_samples);
  ls_blocks_destroy(&d->blocks);
  return data_blocks_create(comm, d);
}

ls_status ls_dataset_check(ls_comm *comm, ls_dataset *d, size_t n_outputs, const char *name,
                           ls_data_errors *errors) {
  checker c = {.is_root = ls_comm_rank(comm) == 0};
  LS_TRY(open_targets(comm, d, n_outputs));
  ls_status status = data_files_broadcast(comm, &d->source->files);
  if (status == LS_OK) status = ls_comm_agree(comm, create_checker(d, &c));
  if (status == LS_OK) {
    LS_ASSERT(c.loader.dataset && c.errors);
    status = check_ranges(&c, name, (uint64_t)ls_comm_rank(comm), (uint64_t)ls_comm_size(comm));
    data_loader_close(&c.loader);
    status = ls_comm_agree(comm, status);
  }
  if (status == LS_OK) collect(comm, c.errors, errors);
  free(c.errors);
  free(c.memory);
  return status;
}
