/* The blocks of a dataset: consecutive samples of a file, in whole chunks. */
#include "internal.h"

#include <stdlib.h>

#define BLOCKS_USUAL ((size_t)4096) /* blocks of a dataset whose size the limits do not determine */
#define BYTES_LEAST  ((size_t)1 << 20)
#define BYTES_MOST   ((size_t)8 << 20)

/* The product, or SIZE_MAX. */
static size_t saturated_product(size_t a, size_t b) {
  size_t product = 0;
  return ls_size_mul(a, b, &product) ? product : SIZE_MAX;
}

/* Chunks of a block: the fewest that have `target` bytes or, if these are too many, one less. */
static uint64_t chunks_per_block(size_t chunk_bytes, size_t target) {
  if (chunk_bytes >= target) return 1;
  const size_t chunks = (target + chunk_bytes - 1) / chunk_bytes;
  return chunks * chunk_bytes > BYTES_MOST ? chunks - 1 : chunks;
}

ls_status ls_blocks_create(size_t n_files, const uint64_t *rows, const uint64_t *chunk_rows,
                           size_t row_bytes, ls_blocks **out) {
  LS_ASSERT(row_bytes > 0);
  ls_blocks *const b = *out = ls_calloc(1, sizeof *b);
  if (b) b->files = ls_calloc(n_files, sizeof *b->files);
  if (!b || !b->files) {
    ls_blocks_destroy(out);
    return ls_fail_memory("the blocks of a dataset", n_files * sizeof *b->files);
  }
  b->n_files = n_files;
  for (size_t i = 0; i < n_files; i++) b->n_samples += rows[i];
  const size_t share = saturated_product(b->n_samples, row_bytes) / BLOCKS_USUAL;
  const size_t target = ls_size_min(ls_size_max(share, BYTES_LEAST), BYTES_MOST);
  uint64_t sample = 0;
  for (size_t i = 0; i < n_files; i++) {
    LS_ASSERT(rows[i] > 0);
    const uint64_t chunk = ls_size_min(ls_size_max(chunk_rows[i], 1), rows[i]);
    const uint64_t each = chunk * chunks_per_block(saturated_product(chunk, row_bytes), target);
    b->files[i] =
        (ls_block_file){.first = sample, .rows = rows[i], .rows_per_block = each, .first_block = b->n};
    b->n += (rows[i] + each - 1) / each;
    sample += rows[i];
  }
  return LS_OK;
}

void ls_blocks_destroy(ls_blocks **blocks) {
  if (*blocks) free((*blocks)->files);
  free(*blocks);
  *blocks = NULL;
}

/* The file of a sample, or of a block. */
static const ls_block_file *file_of(const ls_blocks *b, uint64_t number, bool is_block) {
  size_t low = 0;
  for (size_t high = b->n_files; high - low > 1;) {
    const size_t middle = low + (high - low) / 2;
    const ls_block_file *const f = &b->files[middle];
    *((is_block ? f->first_block : f->first) <= number ? &low : &high) = middle;
  }
  return &b->files[low];
}

uint64_t ls_blocks_find(const ls_blocks *b, uint64_t sample) {
  LS_ASSERT(sample < b->n_samples);
  const ls_block_file *const f = file_of(b, sample, false);
  return f->first_block + (sample - f->first) / f->rows_per_block;
}

ls_block_range ls_blocks_range(const ls_blocks *b, uint64_t block) {
  LS_ASSERT(block < b->n);
  const ls_block_file *const f = file_of(b, block, true);
  const uint64_t before = (block - f->first_block) * f->rows_per_block;
  return (ls_block_range){.first = f->first + before,
                          .n = ls_size_min(f->rows_per_block, f->rows - before)};
}

ls_digest ls_blocks_digest(const ls_blocks *b) {
  return ls_digest_of(b->files, b->n_files * sizeof *b->files);
}

uint64_t ls_blocks_largest(const ls_blocks *b) {
  uint64_t most = 0;
  for (size_t i = 0; i < b->n_files; i++)
    most = ls_size_max(most, ls_size_min(b->files[i].rows_per_block, b->files[i].rows));
  return most;
}

/* Collective. Sends the rows of each file, and the rows of its chunks, from rank 0.  rows, chunk_rows:
 * (n_files) */
static void share_rows(ls_comm *comm, const ls_dataset *d, size_t n_files, uint64_t *rows,
                       uint64_t *chunk_rows) {
  const data_files *const files = &d->source->files;
  for (size_t i = 0; ls_comm_rank(comm) == 0 && i < n_files; i++) {
    rows[i] = files->parts[i].rows;
    chunk_rows[i] = files->parts[i].chunk_rows;
  }
  ls_comm_broadcast(comm, rows, n_files * sizeof *rows);
  ls_comm_broadcast(comm, chunk_rows, n_files * sizeof *chunk_rows);
}

ls_status data_blocks_create(ls_comm *comm, ls_dataset *d) {
  size_t n_files = d->source->files.n;
  size_t n_elements = 0;
  ls_comm_broadcast(comm, &n_files, sizeof n_files);
  uint64_t *const rows = ls_calloc(n_files, sizeof *rows);
  uint64_t *const chunk_rows = ls_calloc(n_files, sizeof *chunk_rows);
  const bool has_memory = rows && chunk_rows;
  ls_status status =
      ls_comm_agree(comm, has_memory ? LS_OK : ls_fail_memory("the list of files", n_files * sizeof *rows));
  if (status == LS_OK) {
    LS_ASSERT(rows && chunk_rows && ls_array_row_size(&d->stored, &n_elements));
    share_rows(comm, d, n_files, rows, chunk_rows);
    const size_t row_bytes = saturated_product(n_elements, ls_dtype_size(d->stored.dtype));
    status = ls_comm_agree(comm, ls_blocks_create(n_files, rows, chunk_rows, row_bytes, &d->blocks));
  }
  free(rows);
  free(chunk_rows);
  return status;
}
