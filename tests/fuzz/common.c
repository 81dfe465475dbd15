/* Functions that all fuzz targets use. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

ls_comm *fuzz_comm;
uint64_t fuzz_n_read;

static _Noreturn void finding(const char *what) {
  fprintf(stderr, "finding: %s: %s\n", what, ls_message());
  abort();
}

/* HDF5 never frees some of what it has read from a damaged file. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
  return "leak:libhdf5\n";
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  ls_bug_handler_set(abort);
  ls_log_enable(false);
  return 0;
}

/* Functions of the sanitizers; NULL in a build without sanitizers. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

/* The leak check ignores the memory that MPI allocates when it starts and never frees. */
void fuzz_start_comm(void) {
  int argc = 0;
  char **argv = NULL;
  if (fuzz_comm) return;
  if (__lsan_disable) __lsan_disable();
  if (ls_comm_create(&argc, &argv, &fuzz_comm) != LS_OK) abort();
  if (__lsan_enable) __lsan_enable();
  ls_bug_handler_set(abort);
}

void fuzz_write(const char *name, const void *data, size_t size) {
  FILE *const file = fopen(name, "wb");
  if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
}

void fuzz_verdict(ls_status status, ls_status refusal) {
  if (status != LS_OK && status != refusal) finding("an unexpected status");
  if (status != LS_OK && strlen(ls_message()) < 8) finding("an error without a message");
  fuzz_n_read += status == LS_OK;
}
