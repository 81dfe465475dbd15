/* Folding the sums of lanes, in an order that does not depend on the ranks that hold them. */
#include "lockstep/math.h"

void ls_lane_fold(double *levels, size_t n, size_t lane, size_t n_lanes) {
  size_t top = ls_lane_level(lane);
  for (size_t merges = ls_lane_merges(lane, n_lanes); merges > 0; merges--, top--) {
    const double *const upper = levels + top * n;
    double *const lower = levels + (top - 1) * n;
    for (size_t i = 0; i < n; i++) lower[i] += upper[i];
  }
}
