/* Chooses the parser: IDX or CSV. */
#include "lockstep/import.h"

#include "pairs.h"
#include "source.h"
#include "table.h"

#include <string.h>

/* An IDX file begins with two zero bytes, which no text does; one whose beginning is damaged may still be
 * known by its name ("train-images-idx3-ubyte"). */
static ls_status looks_like_idx(const char *path, bool *idx) {
  unsigned char magic[2] = {0};
  size_t got = 0;
  source in;
  const char *const slash = strrchr(path, '/');
  const char *const name = slash ? slash + 1 : path;
  ls_status status = import_source_open(&in, path);
  if (status == LS_OK) status = import_source_read(&in, magic, sizeof magic, &got);
  import_source_close(&in);
  const bool zeros = got == sizeof magic && magic[0] == 0 && magic[1] == 0;
  *idx = zeros || strstr(name, "-idx") || strstr(name, ".idx") || strstr(name, "-ubyte");
  return status;
}

/* The output takes the place of an older file of its name, which must not be a source. */
static ls_status check_output(const char *from, const char *output) {
  if (!ls_same_file(from, output)) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "%s is both source and output: give the output a name of its own", from);
}

static ls_status check_options(size_t n_sources, const ls_import_options *options) {
  if (n_sources == 0) return ls_fail(LS_ERR_CONFIG, "nothing to import: name IDX files or one CSV file");
  const double fraction = options->test_fraction;
  if (fraction >= 0 && fraction < 1) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "the test fraction is %g: it must be at least 0 and below 1", fraction);
}

ls_status ls_import(const char *const *sources, size_t n_sources, const ls_import_options *options,
                    ls_import_summary *summary) {
  bool idx = n_sources > 1;
  *summary = (ls_import_summary){0};
  ls_status status = check_options(n_sources, options);
  for (size_t i = 0; status == LS_OK && i < n_sources; i++)
    status = check_output(sources[i], options->output);
  if (status == LS_OK && !idx) status = looks_like_idx(sources[0], &idx);
  if (status != LS_OK) return status;
  if (idx) return import_pairs(sources, n_sources, options, summary);
  return import_table(sources[0], options, summary);
}
