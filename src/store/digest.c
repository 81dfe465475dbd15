/* Reading bytes of a file, and XXH3-128 digests of blocks and files. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

ls_digest ls_digest_of(const void *data, size_t bytes) {
  XXH3_state_t *const state = bytes > LS_HEARTBEAT_BYTES ? XXH3_createState() : NULL;
  if (!state) {
    const XXH128_hash_t hash = XXH3_128bits(data, bytes);
    return (ls_digest){.low = hash.low64, .high = hash.high64};
  }
  XXH3_128bits_reset(state);
  for (size_t at = 0; at < bytes; at += LS_HEARTBEAT_BYTES) {
    XXH3_128bits_update(state, (const unsigned char *)data + at,
                        ls_size_min(LS_HEARTBEAT_BYTES, bytes - at));
    ls_heartbeat();
  }
  const ls_digest digest = store_digest_end(state);
  XXH3_freeState(state);
  return digest;
}

bool ls_digest_equal(ls_digest a, ls_digest b) {
  return a.low == b.low && a.high == b.high;
}

bool ls_digest_is_known(ls_digest digest) {
  return digest.low != 0 || digest.high != 0;
}

ls_digest store_digest_end(const XXH3_state_t *state) {
  const XXH128_hash_t hash = XXH3_128bits_digest(state);
  return (ls_digest){.low = hash.low64, .high = hash.high64};
}

ssize_t ls_store_pread(int descriptor, uint64_t offset, void *to, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n = pread(descriptor, (unsigned char *)to + done, bytes - done, (off_t)(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += (size_t)n;
  }
  return (ssize_t)done;
}

/* Adds a file's bytes from `offset` to its end to `state`. */
static bool digest_rest(int descriptor, uint64_t offset, XXH3_state_t *state, void *block,
                        uint64_t *bytes) {
  *bytes = 0;
  for (;;) {
    const ssize_t n = ls_store_pread(descriptor, offset + *bytes, block, BLOCK_BYTES);
    if (n <= 0) return n == 0;
    XXH3_128bits_update(state, block, (size_t)n);
    *bytes += (uint64_t)n;
    ls_heartbeat();
  }
}

bool store_digest_file(int descriptor, uint64_t offset, ls_digest *digest, uint64_t *bytes) {
  XXH3_state_t *const state = XXH3_createState();
  void *const block = malloc(BLOCK_BYTES);
  bool ok = false;
  errno = ENOMEM;
  if (!state || !block) goto out;
  XXH3_128bits_reset(state);
  ok = digest_rest(descriptor, offset, state, block, bytes);
  if (ok) *digest = store_digest_end(state);

out:
  free(block);
  XXH3_freeState(state);
  return ok;
}
