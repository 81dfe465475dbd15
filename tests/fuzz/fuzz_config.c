/* Reads a config with all modules. An accepted config must stay the same when it is printed and read again.
 */
#include "fuzz.h"
#include "lockstep/job.h"

#include <stdlib.h>
#include <string.h>

/* Returns the config of a file as a job prints it; NULL if it is rejected. */
static char *read_and_print(const char *name) {
  const ls_job_source source = {.path = name};
  ls_job *job = NULL;
  char *text = NULL;
  const ls_status status = ls_job_create(fuzz_comm, &source, &job);
  fuzz_verdict(status, LS_ERR_CONFIG);
  if (status != LS_OK) return NULL;
  if (ls_config_print(job->config, &text) != LS_OK) abort();
  ls_job_destroy(&job);
  return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_start_comm();
  fuzz_write("config.yaml", data, size);
  char *const text = read_and_print("config.yaml");
  if (!text) return 0;
  fuzz_write("printed.yaml", text, strlen(text));
  char *const again = read_and_print("printed.yaml");
  if (!again || strcmp(text, again) != 0) {
    fprintf(stderr, "finding: printed\n%s\nread and printed again\n%s\n", text,
            again ? again : ls_message());
    abort();
  }
  free(again);
  free(text);
  return 0;
}
