/* Element types and array shapes. */
#include "lockstep/store.h"

#include <inttypes.h>

static const struct {
  const char *name;
  size_t size;
} types[] = {
    [LS_U8] = {"uint8", 1},    [LS_U16] = {"uint16", 2}, [LS_U32] = {"uint32", 4},
    [LS_U64] = {"uint64", 8},  [LS_I8] = {"int8", 1},    [LS_I16] = {"int16", 2},
    [LS_I32] = {"int32", 4},   [LS_I64] = {"int64", 8},  [LS_F32] = {"float32", 4},
    [LS_F64] = {"float64", 8}, [LS_TEXT] = {"text", 0},
};

size_t ls_dtype_size(ls_dtype dtype) {
  return types[dtype].size;
}

const char *ls_dtype_name(ls_dtype dtype) {
  return types[dtype].name;
}

bool ls_array_row_size(const ls_array *array, size_t *elements) {
  size_t product = 1;
  for (unsigned i = 1; i < array->n_dims; i++)
    if (!ls_size_mul(product, array->dims[i], &product)) return false;
  *elements = product;
  return true;
}

const char *ls_array_describe(const ls_array *array, char *text, size_t size) {
  if (size == 0) return "";
  text[0] = '\0';
  ls_append(text, size, "(");
  for (unsigned i = 0; i < array->n_dims; i++)
    ls_append(text, size, "%s%" PRIu64, i > 0 ? ", " : "", array->dims[i]);
  ls_append(text, size, "%s %s", array->n_dims == 1 ? ",)" : ")", ls_dtype_name(array->dtype));
  return text;
}
