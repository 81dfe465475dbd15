/* Loads a model or checkpoint, with its progress and its optimizer state. Most inputs get a valid seal
 * first; otherwise the digest check would reject all of them. */
#include "fuzz.h"
#include "lockstep/job.h"

#include <stdlib.h>
#include <string.h>

#define SEAL_BYTES 512

static void put(uint8_t *to, uint64_t value, bool is_big) {
  for (int i = 0; i < 8; i++) to[is_big ? 7 - i : i] = (uint8_t)(value >> (8 * i));
}

/* Writes the same seal as the module store. */
static void seal(uint8_t *file, size_t size) {
  static const uint8_t head[12] = {'L', 'O', 'C', 'K', 'S', 'T', 'E', 'P', 1};
  const ls_digest digest = ls_digest_of(file + SEAL_BYTES, size - SEAL_BYTES);
  memset(file, 0, SEAL_BYTES);
  memcpy(file, head, sizeof head);
  put(file + 16, size - SEAL_BYTES, false);
  put(file + 24, digest.high, true);
  put(file + 32, digest.low, true);
}

/* Reads the rest of a checkpoint, like a resumed run. */
static ls_status read_rest(const ls_predictor *loaded) {
  double sums[8];
  ls_progress progress = {.n_sums = 3, .sums = sums};
  ls_job *const job = loaded->job;
  ls_status status = ls_optim_build(job->optim, job->model->n_params);
  if (status == LS_OK)
    status = ls_checkpoint_restore(fuzz_comm, loaded->saved, job->model, loaded->normalizer, job->optim,
                                   &progress);
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ls_predictor *loaded = NULL;
  uint8_t *const file = malloc(size + 1);
  if (!file) abort();
  fuzz_start_comm();
  if (size) memcpy(file, data, size);
  if (size >= SEAL_BYTES && size % 16 != 1) seal(file, size);
  fuzz_write("input.h5", file, size);
  free(file);
  ls_status status = ls_predictor_create(fuzz_comm, "input.h5", &loaded);
  if (status == LS_OK && loaded->saved->is_checkpoint) status = read_rest(loaded);
  fuzz_verdict(status, LS_ERR_MODEL);
  ls_predictor_destroy(&loaded);
  return 0;
}
