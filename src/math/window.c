/* Windows over one to three dims, and the sweeps by which a convolution or its transpose visits them. */
#include "internal.h"

bool ls_window_set_out(ls_window *w) {
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
    size_t reach = 0; /* from the first to the last tap */
    size_t padded = 0;
    w->out[i] = 0;
    if (!ls_size_mul(w->dilation[i], w->size[i] - 1, &reach) ||
        !ls_size_add(w->in[i], w->before[i], &padded) || !ls_size_add(padded, w->after[i], &padded) ||
        padded <= reach)
      return false;
    w->out[i] = (padded - reach - 1) / w->stride[i] + 1;
  }
  return true;
}

bool ls_window_is_inside(const ls_window *w) {
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++)
    if (w->before[i] > w->dilation[i] * (w->size[i] - 1) ||
        (w->out[i] - 1) * w->stride[i] >= w->before[i] + w->in[i])
      return false;
  return true;
}

void math_sweep_forward(const ls_window *w, size_t dim, math_sweep *out) {
  *out = (math_sweep){.n = w->out[dim],
                      .step = 1,
                      .source_first = -(ptrdiff_t)w->before[dim],
                      .source_step = w->stride[dim],
                      .n_taps = w->size[dim],
                      .tap_distance = w->dilation[dim],
                      .next_tap = 1};
}

/* Input i receives tap k of output o = (i + before - k dilation) / stride, if that is an integer: for the
 * inputs i = phase + q stride, every taps_between-th tap. The taps are in descending order, so that the
 * outputs are ascending. */
void math_sweep_backward(const ls_window *w, size_t dim, size_t phase, math_sweep *out) {
  const ptrdiff_t stride = (ptrdiff_t)w->stride[dim];
  const ptrdiff_t dilation = (ptrdiff_t)w->dilation[dim];
  const ptrdiff_t origin = (ptrdiff_t)(phase + w->before[dim]);
  *out = (math_sweep){.n = (w->in[dim] + w->stride[dim] - 1 - phase) / w->stride[dim],
                      .first = phase,
                      .step = w->stride[dim]};
  for (size_t tap = w->size[dim]; tap-- > 0;) {
    const ptrdiff_t numerator = origin - (ptrdiff_t)tap * dilation;
    if (numerator % stride != 0) continue;
    const ptrdiff_t source = numerator / stride;
    if (out->n_taps == 0) {
      out->first_tap = tap;
      out->source_first = source;
      out->source_step = 1;
    } else if (out->n_taps == 1) {
      out->next_tap = (ptrdiff_t)tap - (ptrdiff_t)out->first_tap;
      out->tap_distance = (size_t)(source - out->source_first);
    }
    out->n_taps++;
  }
}
