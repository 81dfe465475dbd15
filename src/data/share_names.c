/* The names of classes and features on ranks other than rank 0, for groups of ranks that share a dataset.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The bytes of n names with their final NULs. */
static uint64_t count_bytes(char *const *names, size_t n) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += strlen(names[i]) + 1;
  return bytes;
}

/* One block for n names: their addresses, then `bytes` bytes of text. */
static char **make_block(size_t n, uint64_t bytes) {
  return ls_calloc(1, n * sizeof(char *) + bytes);
}

static void find_names(char **block, size_t n) {
  char *text = (char *)(block + n);
  for (size_t i = 0; i < n; i++, text += strlen(text) + 1) block[i] = text;
}

/* Collective. */
static ls_status share(ls_comm *comm, bool wanted, char ***names, size_t *n) {
  const bool is_root = ls_comm_rank(comm) == 0;
  uint64_t sizes[] = {*n, is_root ? count_bytes(*names, *n) : 0};
  ls_comm_broadcast(comm, sizes, sizeof sizes);
  if (sizes[0] == 0) return LS_OK;
  char **const block = make_block(sizes[0], sizes[1]);
  const ls_status status = ls_comm_agree(comm, block ? LS_OK : ls_fail_memory("names", sizes[1]));
  if (status == LS_OK) {
    char *text = (char *)(block + sizes[0]);
    for (size_t i = 0; is_root && i < *n; i++) text = stpcpy(text, (*names)[i]) + 1;
    ls_comm_broadcast(comm, block + sizes[0], sizes[1]);
  }
  if (status != LS_OK || is_root || !wanted) {
    free(block);
    return status;
  }
  find_names(block, sizes[0]);
  *names = block;
  *n = sizes[0];
  return LS_OK;
}

ls_status ls_dataset_share_names(ls_comm *comm, ls_dataset *d, bool wanted) {
  LS_TRY(share(comm, wanted, &d->classes, &d->n_classes));
  return share(comm, wanted, &d->feature_names, &d->n_feature_names);
}
