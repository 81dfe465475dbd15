/* What samples are by their shape: rows of a table, series, images or volumes, and where their channels
 * are.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define CHANNELS_MOST ((size_t)16) /* beyond these, a dim is a place or a time */
#define COLOURS_MOST  ((size_t)4)
#define PLACES_LEAST  ((size_t)4) /* fewer in a dim are not convolved */
#define TIMES_LEAST   ((size_t)8)

static const char *const kind_names[] = {"auto", "table", "series", "images", "volumes"};

/* The shape with the channels last; `channels` is the index of their dim, or n_dims if there is none. */
static ls_shape move_channels(const ls_shape *stored, size_t channels) {
  ls_shape shape = {0};
  for (size_t i = 0; i < stored->n_dims; i++)
    if (i != channels) shape.dims[shape.n_dims++] = stored->dims[i];
  shape.dims[shape.n_dims++] = channels < stored->n_dims ? stored->dims[channels] : 1;
  return shape;
}

static draft_layout with_channels(ls_draft_kind kind, const ls_shape *stored, size_t channels) {
  return (draft_layout){.kind = kind,
                        .shape = move_channels(stored, channels),
                        .is_first = channels == 0 && stored->n_dims > 1};
}

static draft_layout table_of(const draft_inputs *x) {
  return (draft_layout){.kind = LS_DRAFT_TABLE, .shape = ls_shape_of(x->n_features)};
}

/* The index of the dim that is more like channels: the last one or the first. */
static size_t find_channels(const ls_shape *s, size_t most) {
  const size_t first = s->dims[0];
  const size_t last = s->dims[s->n_dims - 1];
  if (last <= most && last <= first) return s->n_dims - 1;
  return first <= most && first < last ? 0 : s->n_dims;
}

/* Flat rows. */
static draft_layout read_rows(const draft_inputs *x) {
  draft_layout rows = table_of(x);
  if (x->side == 0 && !x->is_sequence) return rows;
  rows.is_named = true;
  rows.kind = x->side ? LS_DRAFT_IMAGES : LS_DRAFT_SERIES;
  rows.shape = x->side ? (ls_shape){3, {x->side, x->side, 1}} : (ls_shape){2, {x->n_features, 1}};
  return rows;
}

static draft_layout read_matrix(const ls_shape *s) {
  const size_t channels = find_channels(s, CHANNELS_MOST);
  const size_t n = channels < 2 ? s->dims[channels] : 0;
  const size_t length = channels < 2 ? s->dims[1 - channels] : 0;
  if (channels < 2 && length >= 3 * n) return with_channels(LS_DRAFT_SERIES, s, channels);
  return with_channels(LS_DRAFT_IMAGES, s, s->n_dims);
}

static draft_layout read_block(const ls_shape *s) {
  size_t channels = find_channels(s, COLOURS_MOST);
  if (channels == s->n_dims) channels = find_channels(s, CHANNELS_MOST);
  if (channels == s->n_dims) return with_channels(LS_DRAFT_VOLUMES, s, channels);
  return with_channels(LS_DRAFT_IMAGES, s, channels);
}

/* Whether all dims but the channels are long enough for convolutions. */
static bool is_large(const draft_layout *l) {
  const size_t least = l->kind == LS_DRAFT_SERIES ? TIMES_LEAST : PLACES_LEAST;
  for (size_t i = 0; i + 1 < l->shape.n_dims; i++)
    if (l->shape.dims[i] < least) return false;
  return true;
}

static draft_layout guess(const draft_inputs *x) {
  const ls_shape *const s = &x->shape;
  draft_layout l = table_of(x);
  if (s->n_dims == 1) l = read_rows(x);
  if (s->n_dims == 2) l = read_matrix(s);
  if (s->n_dims == 3) l = read_block(s);
  if (s->n_dims == 4) l = with_channels(LS_DRAFT_VOLUMES, s, s->dims[3] <= s->dims[0] ? 3 : 0);
  return l.kind == LS_DRAFT_TABLE || is_large(&l) ? l : table_of(x);
}

static ls_status fail_kind(const ls_draft_request *request, const draft_inputs *x) {
  char text[128];
  return ls_fail(LS_ERR_CONFIG,
                 "--kind %s: does not fit samples of shape %s; series are (L) or (L, C), images (H, W) or "
                 "(H, W, C), also as flat rows of a square, volumes (D, H, W) or (D, H, W, C)",
                 kind_names[request->kind], ls_shape_describe(&x->shape, text, sizeof text));
}

/* Square images in flat rows. */
static ls_status force_square(const ls_draft_request *request, const draft_inputs *x, draft_layout *out) {
  const size_t side = (size_t)lround(sqrt((double)x->n_features));
  if (side * side != x->n_features) return fail_kind(request, x);
  *out = (draft_layout){.kind = LS_DRAFT_IMAGES, .shape = {3, {side, side, 1}}, .is_named = true};
  return LS_OK;
}

/* The kind that the request names. */
static ls_status force(const ls_draft_request *request, const draft_inputs *x, draft_layout *out) {
  const ls_draft_kind kind = (ls_draft_kind)request->kind;
  const ls_shape *const s = &x->shape;
  const size_t n_spatial = kind == LS_DRAFT_SERIES ? 1 : kind == LS_DRAFT_IMAGES ? 2 : 3;
  *out = table_of(x);
  if (kind == LS_DRAFT_TABLE) return LS_OK;
  if (s->n_dims == 1 && kind == LS_DRAFT_IMAGES) return force_square(request, x, out);
  if (s->n_dims < n_spatial || s->n_dims > n_spatial + 1) return fail_kind(request, x);
  const size_t last = s->n_dims - 1;
  const size_t nearer = s->dims[last] <= s->dims[0] ? last : 0;
  *out = with_channels(kind, s, s->n_dims == n_spatial ? s->n_dims : nearer);
  out->is_named = s->n_dims == 1;
  return is_large(out) ? LS_OK : fail_kind(request, x);
}

ls_status draft_find_layout(const ls_draft_request *request, const draft_inputs *x, draft_layout *out) {
  if (request->kind != LS_DRAFT_AUTO) return force(request, x, out);
  *out = guess(x);
  return LS_OK;
}
