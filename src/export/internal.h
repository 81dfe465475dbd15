/* What the files of export share. */
#ifndef LOCKSTEP_SRC_EXPORT_INTERNAL_H
#define LOCKSTEP_SRC_EXPORT_INTERNAL_H

#include "lockstep/export.h"

/* -------------------------------------------------------------------- layout.c */

#define EXPORT_NAME_MAX   160
#define EXPORT_HEADER_MAX ((size_t)100000000) /* bytes of the JSON header of safetensors, by its format */

/* A block of parameters or state, and the tensor that PyTorch has in its place. Element (r, p, c) here,
 * of (rows, positions, channels), is element (r, c, p) there. */
typedef struct export_block {
  const ls_segment *segment;             /* borrowed from the model */
  bool is_state;                         /* of ls_model.state, not of ls_model.params */
  char name[EXPORT_NAME_MAX];            /* there: "0-conv2d.weight" */
  size_t n_dims, dims[LS_SHAPE_MAX + 1]; /* there */
  size_t rows, positions, channels;
} export_block;

/* The blocks of a model in the order of the config, which the caller frees. is_channels_first: the layout
 * of its data. LS_ERR_MODEL if PyTorch's layout cannot express the model. */
ls_status export_layout_create(const ls_model *model, bool is_channels_first, export_block **out,
                               size_t *n);

/* Whether the elements have another order there. */
static inline bool export_block_is_transposed(const export_block *block) {
  return block->positions > 1 && block->channels > 1;
}

/* The place here of element i there. */
static inline size_t export_block_place(const export_block *block, size_t i) {
  const size_t row = block->positions * block->channels;
  const size_t c = i % row / block->positions;
  const size_t p = i % block->positions;
  return i - i % row + p * block->channels + c;
}

#endif
