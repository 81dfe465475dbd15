/* Collects the rows of the splits in blocks, and shuffles them if requested. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK    ((size_t)1 << 20) /* bytes of x */
#define ROW_MOST ((size_t)256 << 20)

const char *const import_split_names[N_SPLITS] = {"/train", "/test", "/validation"};
const char *const import_array_names[N_ARRAYS] = {"x", "y", "w"};

/* Shares of the memory, of which the sum is 1: splits may be shuffled at the same time. */
static const double shares[N_SPLITS] = {
    [SPLIT_TRAIN] = 4.0 / 6, [SPLIT_TEST] = 1.0 / 6, [SPLIT_VALIDATION] = 1.0 / 6};

static ls_status row_bytes(const ls_array *array, const char *name, size_t *bytes) {
  char text[128];
  if (ls_array_row_size(array, bytes) && ls_size_mul(*bytes, ls_dtype_size(array->dtype), bytes) &&
      *bytes <= ROW_MOST)
    return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: %s: a sample is too large; must be at most %zu MiB", name,
                 ls_array_describe(array, text, sizeof text), ROW_MOST >> 20);
}

static ls_status allocate(split *s) {
  size_t bytes = 0;
  bool ok = true;
  s->capacity = ls_size_max(1, BLOCK / ls_size_max(1, s->sizes[ARRAY_X]));
  for (size_t k = 0; k < N_ARRAYS; k++) {
    s->rows[k] = s->has[k] ? ls_calloc(s->capacity, s->sizes[k]) : NULL;
    ok = ok && (s->rows[k] || !s->has[k]);
    bytes += s->capacity * s->sizes[k];
  }
  return ok ? LS_OK : ls_fail_memory("a block of samples", bytes);
}

ls_status import_split_begin(output *out, size_t which, const ls_array *const arrays[N_ARRAYS]) {
  split *const s = &out->splits[which];
  const uint64_t n = arrays[ARRAY_X]->dims[0];
  *s = (split){.out = out, .which = which};
  for (size_t k = 0; k < N_ARRAYS; k++) {
    if (!arrays[k]) continue;
    s->has[k] = true;
    s->arrays[k] = *arrays[k];
    LS_TRY(row_bytes(arrays[k], import_array_names[k], &s->sizes[k]));
  }
  LS_TRY(allocate(s));
  out->n_rows += n;
  if (!out->shuffles || n == 0) return LS_OK;
  if (n >> 40) return ls_fail(LS_ERR_DATA, "%s: too many samples; must be fewer than 2^40", out->path);
  return import_shuffle_create(out->path, n, s->sizes,
                               ls_rng_make(out->seed, LS_RNG_IMPORT, 1 + (uint32_t)which, 0),
                               (size_t)(shares[which] * (double)out->memory_bytes), &s->shuffle);
}

/* ---------------------------------------------------------------------- attributes */

static attribute *new_attribute(split *s, size_t array, const char *name) {
  LS_ASSERT(s->n_attributes < ATTRIBUTES_MOST && s->n_files == 0);
  attribute *const a = &s->attributes[s->n_attributes++];
  *a = (attribute){.array = array, .name = name};
  return a;
}

ls_status import_split_set_texts(split *s, size_t array, const char *name, const char *const *texts,
                                 size_t n) {
  attribute *const a = new_attribute(s, array, name);
  a->texts = ls_calloc(n, sizeof *a->texts);
  if (!a->texts) return ls_fail_memory("a list of names", n * sizeof *a->texts);
  for (; a->n < n; a->n++) {
    a->texts[a->n] = ls_strdup(texts[a->n]);
    if (!a->texts[a->n]) return ls_fail_memory("a name", strlen(texts[a->n]) + 1);
  }
  return LS_OK;
}

void import_split_set_number(split *s, size_t array, const char *name, uint64_t number) {
  new_attribute(s, array, name)->number = number;
}

/* ---------------------------------------------------------------------------- rows */

size_t import_split_next(const split *s, void *rows[N_ARRAYS]) {
  for (size_t k = 0; k < N_ARRAYS; k++) rows[k] = s->has[k] ? s->rows[k] + s->filled * s->sizes[k] : NULL;
  return s->capacity - s->filled;
}

static ls_status end_block(split *s) {
  const size_t rows = s->filled;
  s->filled = 0;
  if (rows == 0) return LS_OK;
  import_progress("importing", s->out->n_added, s->out->n_rows, "rows");
  return s->shuffle ? import_shuffle_add(s->shuffle, rows, s->rows) : import_files_append(s, rows);
}

ls_status import_split_add(split *s, size_t count) {
  LS_ASSERT(count <= s->capacity - s->filled);
  s->filled += count;
  s->n_rows += count;
  s->out->n_added += count;
  return s->filled == s->capacity ? end_block(s) : LS_OK;
}

/* Adds rows from, from + 1, ... of a block. */
static ls_status add_rows(split *s, size_t from, size_t count, unsigned char *const rows[N_ARRAYS]) {
  for (size_t n = 0; count > 0; from += n, count -= n) {
    void *to[N_ARRAYS];
    n = ls_size_min(count, import_split_next(s, to));
    for (size_t k = 0; k < N_ARRAYS; k++)
      if (to[k]) memcpy(to[k], rows[k] + from * s->sizes[k], n * s->sizes[k]);
    LS_TRY(import_split_add(s, n));
  }
  return LS_OK;
}

ls_status import_output_add(output *out, size_t which, uint64_t first, size_t count,
                            unsigned char *const rows[N_ARRAYS]) {
  if (which != SPLIT_TRAIN || out->n_test == 0) return add_rows(&out->splits[which], 0, count, rows);
  for (size_t i = 0; i < count; i++) {
    const bool is_test = import_is_test(out, first + i);
    LS_TRY(add_rows(&out->splits[is_test ? SPLIT_TEST : SPLIT_TRAIN], i, 1, rows));
  }
  return LS_OK;
}

/* Writes the shuffled rows, by way of the block, which is empty. */
static ls_status write_shuffled(split *s) {
  size_t got = 0;
  do {
    LS_TRY(import_shuffle_read(s->shuffle, s->capacity, s->rows, &got));
    if (got > 0) LS_TRY(import_files_append(s, got));
  } while (got > 0);
  import_shuffle_destroy(&s->shuffle);
  return LS_OK;
}

ls_status import_output_finish(output *out) {
  for (size_t i = 0; i < N_SPLITS; i++) {
    split *const s = &out->splits[i];
    if (!s->out) continue;
    LS_TRY(end_block(s));
    if (s->shuffle) LS_TRY(write_shuffled(s));
  }
  return LS_OK;
}

static void destroy_split(split *s) {
  for (size_t k = 0; k < N_ARRAYS; k++) free(s->rows[k]);
  for (size_t i = 0; i < s->n_attributes; i++) {
    for (size_t k = 0; s->attributes[i].texts && k < s->attributes[i].n; k++)
      free(s->attributes[i].texts[k]);
    free(s->attributes[i].texts);
  }
  import_shuffle_destroy(&s->shuffle);
}

void import_output_destroy(output *out) {
  import_files_destroy(out);
  for (size_t i = 0; i < N_SPLITS; i++) destroy_split(&out->splits[i]);
  *out = (output){0};
}
