/* The samples with the largest errors. */
#include "internal.h"

#include <stdlib.h>

void report_worst_add(report_worst *worst, double error, uint64_t sample) {
  size_t at = worst->n;
  while (at > 0 && (worst->errors[at - 1] < error ||
                    (worst->errors[at - 1] == error && worst->samples[at - 1] > sample)))
    at--;
  if (at == REPORT_WORST) return;
  if (worst->n < REPORT_WORST) worst->n++;
  for (size_t i = worst->n - 1; i > at; i--) {
    worst->errors[i] = worst->errors[i - 1];
    worst->samples[i] = worst->samples[i - 1];
  }
  worst->errors[at] = error;
  worst->samples[at] = sample;
}

ls_status report_worst_merge(ls_comm *comm, report_worst *worst) {
  const size_t size = (size_t)ls_comm_size(comm);
  const size_t first = (size_t)ls_comm_rank(comm) * REPORT_WORST;
  const size_t n = size * REPORT_WORST;
  double *const errors = ls_calloc(n, sizeof *errors);
  uint64_t *const numbers = ls_calloc(n, sizeof *numbers); /* of samples, from 1; 0: none */
  ls_status status = errors && numbers ? LS_OK : ls_fail_memory("the worst errors", n * sizeof *errors);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) {
    for (size_t i = 0; i < worst->n; i++) {
      errors[first + i] = worst->errors[i];
      numbers[first + i] = worst->samples[i] + 1;
    }
    ls_comm_sum_f64(comm, errors, n); /* all terms but one are 0 */
    ls_comm_sum_u64(comm, numbers, n);
    worst->n = 0;
    for (size_t i = 0; i < n; i++)
      if (numbers[i] > 0) report_worst_add(worst, errors[i], numbers[i] - 1);
  }
  free(errors);
  free(numbers);
  return status;
}
