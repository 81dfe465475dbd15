/* The header of an array in NumPy's format: {'descr': '<f4', 'fortran_order': False, 'shape': (60000,
 * 784)}. */
#include "npy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct parser {
  const char *path; /* borrowed */
  const char *at;   /* the next character */
  char descr[16];   /* "": not found */
  bool has_order, has_shape;
  npy_header *header;
} parser;

static ls_status fail(const parser *p) {
  return ls_fail(LS_ERR_DATA, "%s: the NumPy header is damaged at: %.40s", p->path, p->at);
}

/* Skips blanks and, if it is next, a character. Returns whether it was. */
static bool skip(parser *p, char c) {
  p->at += strspn(p->at, " \t\r\n");
  if (*p->at != c) return false;
  p->at++;
  return true;
}

static bool skip_word(parser *p, const char *word) {
  const size_t n = strlen(word);
  p->at += strspn(p->at, " \t\r\n");
  if (strncmp(p->at, word, n) != 0) return false;
  p->at += n;
  return true;
}

/* Reads a text in quotes, without escapes. */
static bool read_text(parser *p, char *out, size_t size) {
  const char quote = skip(p, '\'') ? '\'' : skip(p, '"') ? '"' : '\0';
  const size_t n = quote ? strcspn(p->at, "'\"\\") : 0;
  if (!quote || p->at[n] != quote || n >= size) return false;
  memcpy(out, p->at, n);
  out[n] = '\0';
  p->at += n + 1;
  return true;
}

/* Reads (2, 3), (2,) or (). */
static ls_status read_shape(parser *p) {
  ls_array *const array = &p->header->array;
  if (!skip(p, '(')) return fail(p);
  while (!skip(p, ')')) {
    char *end = NULL;
    p->at += strspn(p->at, " ");
    if (*p->at < '0' || *p->at > '9') return fail(p);
    errno = 0;
    const unsigned long long dim = strtoull(p->at, &end, 10);
    if (errno != 0) return fail(p);
    if (array->n_dims == LS_MAX_DIMS)
      return ls_fail(LS_ERR_DATA, "%s: more than %d dimensions", p->path, LS_MAX_DIMS);
    array->dims[array->n_dims++] = dim;
    p->at = end;
    if (*p->at == 'L') p->at++; /* of Python 2 */
    if (!skip(p, ',') && *p->at != ')') return fail(p);
  }
  return LS_OK;
}

static ls_status read_entry(parser *p) {
  char key[16];
  if (!read_text(p, key, sizeof key) || !skip(p, ':')) return fail(p);
  if (strcmp(key, "descr") == 0 && p->descr[0] == '\0') {
    if (skip(p, '['))
      return ls_fail(LS_ERR_DATA, "%s: an array of records; must be numbers; save each field as an array",
                     p->path);
    return read_text(p, p->descr, sizeof p->descr) && p->descr[0] ? LS_OK : fail(p);
  }
  if (strcmp(key, "fortran_order") == 0 && !p->has_order) {
    p->has_order = true;
    p->header->is_fortran = skip_word(p, "True");
    return p->header->is_fortran || skip_word(p, "False") ? LS_OK : fail(p);
  }
  if (strcmp(key, "shape") != 0 || p->has_shape) return fail(p);
  p->has_shape = true;
  return read_shape(p);
}

/* Finds the type of a text such as "<f4": byte order, kind, bytes of an element. */
static ls_status set_type(const parser *p) {
  static const struct {
    const char *name;
    ls_dtype dtype;
  } types[] = {{"b1", LS_U8},  {"u1", LS_U8},  {"u2", LS_U16}, {"u4", LS_U32},
               {"u8", LS_U64}, {"i1", LS_I8},  {"i2", LS_I16}, {"i4", LS_I32},
               {"i8", LS_I64}, {"f2", LS_F32}, {"f4", LS_F32}, {"f8", LS_F64}};
  const char *const d = p->descr;
  const bool is_ordered = strchr("<>=|", d[0]) != NULL;
  for (size_t i = 0; is_ordered && i < sizeof types / sizeof *types; i++) {
    if (strcmp(d + 1, types[i].name) != 0) continue;
    p->header->array.dtype = types[i].dtype;
    p->header->is_half = strcmp(d + 1, "f2") == 0;
    p->header->size = (size_t)(d[2] - '0');
    p->header->is_swapped = d[0] == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '>' : '<');
    return LS_OK;
  }
  if (d[1] == 'O')
    return ls_fail(LS_ERR_DATA,
                   "%s: an array of Python objects, which are never read, because reading them can run "
                   "programs; must be numbers",
                   p->path);
  return ls_fail(LS_ERR_DATA,
                 "%s: the type %s is not supported; must be bool, integers, or floats of 16 to 64 bits",
                 p->path, d);
}

ls_status import_npy_parse(const char *path, const char *text, npy_header *h) {
  parser p = {.path = path, .at = text, .header = h};
  *h = (npy_header){0};
  if (!skip(&p, '{')) return fail(&p);
  while (!skip(&p, '}')) {
    LS_TRY(read_entry(&p));
    if (!skip(&p, ',') && *p.at != '}') return fail(&p);
  }
  p.at += strspn(p.at, " \n");
  if (*p.at != '\0' || p.descr[0] == '\0' || !p.has_order || !p.has_shape) return fail(&p);
  LS_TRY(set_type(&p));
  if (h->array.n_dims == 0)
    return ls_fail(LS_ERR_DATA, "%s: a single number; must be an array of samples", path);
  h->is_fortran = h->is_fortran && h->array.n_dims > 1;
  for (unsigned i = 0; i < h->array.n_dims; i++)
    if (h->array.dims[i] == 0) return ls_fail(LS_ERR_DATA, "%s: an array without elements", path);
  return LS_OK;
}
