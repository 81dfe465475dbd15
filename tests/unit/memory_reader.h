/* A reader of samples that a test holds in its own memory. */
#ifndef LOCKSTEP_TESTS_UNIT_MEMORY_READER_H
#define LOCKSTEP_TESTS_UNIT_MEMORY_READER_H

#include "lockstep/data.h"

typedef struct memory_reader {
  ls_reader reader;  /* first, so that a pointer to it is a pointer to the memory reader */
  const void *x;     /* all arrays are borrowed */
  const void *y, *w; /* w: NULL if all weights are 1 */
  size_t row_bytes;  /* of x */
  size_t n_outputs;
  bool has_classes;
} memory_reader;

static inline ls_status memory_reader_fetch(ls_reader *reader, size_t n, const uint64_t *samples,
                                            ls_row *rows) {
  const memory_reader *const m = (const memory_reader *)(const void *)reader;
  for (size_t i = 0; i < n; i++) {
    const uint64_t s = samples[i];
    rows[i] = (ls_row){.x = (const unsigned char *)m->x + s * m->row_bytes,
                       .class_number = m->has_classes ? (const int32_t *)m->y + s : NULL,
                       .values = m->has_classes ? NULL : (const float *)m->y + s * m->n_outputs,
                       .weight = m->w ? ((const float *)m->w)[s] : 1.0F};
  }
  return LS_OK;
}

/* Makes a described dataset read these arrays. Borrows them and `m`; the dataset is not to be closed. */
static inline void memory_reader_attach(memory_reader *m, ls_dataset *dataset, const void *x, const void *y,
                                        const float *w) {
  *m = (memory_reader){.reader = {.fetch = memory_reader_fetch},
                       .x = x,
                       .y = y,
                       .w = dataset->has_weights ? w : NULL,
                       .row_bytes = dataset->n_features * ls_dtype_size(dataset->x_array.dtype),
                       .n_outputs = dataset->n_outputs,
                       .has_classes = dataset->target == LS_TARGET_CLASSES};
  dataset->reader = &m->reader;
}

#endif
