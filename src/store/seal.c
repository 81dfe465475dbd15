/* The seal: a 512-byte user block before the HDF5 part, which reveals damage of any byte before HDF5 parses
 * the file.
 *
 *   0  magic word "LOCKSTEP"            16  bytes that follow the block, u64
 *   8  version of the seal, u32          24  their XXH3-128 digest, in canonical (big-endian) form
 *  12  zero                              40  zero, up to 512
 *
 * Integers are little-endian. The rest of the file determines every byte of the block. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = {'L', 'O', 'C', 'K', 'S', 'T', 'E', 'P'};

#define SEAL_VERSION   1
#define VERSION_OFFSET 8
#define LENGTH_OFFSET  16
#define DIGEST_OFFSET  24

static void put_little(unsigned char *to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) to[i] = (unsigned char)(value >> (8 * i));
}

/* Makes the block that belongs to the rest of a file. Fails with `failure` if that cannot be read. */
static ls_status make_seal(int descriptor, const char *path, ls_status failure,
                           unsigned char seal[SEAL_BYTES]) {
  ls_digest digest;
  uint64_t length;
  if (!store_digest_file(descriptor, SEAL_BYTES, &digest, &length))
    return errno == ENOMEM ? ls_fail_memory(path, BLOCK_BYTES)
                           : ls_fail(failure, "%s: cannot be read: %s", path, strerror(errno));
  memset(seal, 0, SEAL_BYTES);
  memcpy(seal, magic, sizeof magic);
  put_little(seal + VERSION_OFFSET, SEAL_VERSION, 4);
  put_little(seal + LENGTH_OFFSET, length, 8);
  const XXH128_hash_t hash = {.low64 = digest.low, .high64 = digest.high};
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  memcpy(seal + DIGEST_OFFSET, canonical.digest, sizeof canonical.digest);
  return LS_OK;
}

bool ls_store_is_sealed(const char *path) {
  unsigned char seal[SEAL_BYTES];
  int descriptor = -1;
  if (ls_store_open_file(path, LS_ERR_MODEL, &descriptor)) return false;
  const ssize_t n = ls_store_pread(descriptor, 0, seal, SEAL_BYTES);
  close(descriptor);
  return n >= (ssize_t)sizeof magic && memcmp(seal, magic, sizeof magic) == 0;
}

/* Checks the block itself and, in a seal of this version, the file's length. */
static ls_status check_block(const char *path, const unsigned char seal[SEAL_BYTES], uint64_t file_bytes) {
  if (memcmp(seal, magic, sizeof magic) != 0)
    return ls_fail(LS_ERR_MODEL, "%s: is not a model or checkpoint of Lockstep: it has no seal", path);
  if (get_little(seal + VERSION_OFFSET, 4) != SEAL_VERSION) return LS_OK;
  const uint64_t length = get_little(seal + LENGTH_OFFSET, 8);
  if (length != file_bytes - SEAL_BYTES)
    return ls_fail(
        LS_ERR_MODEL,
        "%s: is %s: %llu bytes follow its seal, but the seal states %llu; use another checkpoint", path,
        length > file_bytes - SEAL_BYTES ? "truncated" : "damaged",
        (unsigned long long)(file_bytes - SEAL_BYTES), (unsigned long long)length);
  return LS_OK;
}

ls_status store_seal_verify(int descriptor, const char *path) {
  unsigned char seal[SEAL_BYTES];
  const ssize_t n = ls_store_pread(descriptor, 0, seal, SEAL_BYTES);
  struct stat about;
  if (n < 0 || fstat(descriptor, &about))
    return ls_fail(LS_ERR_DATA, "%s: cannot be read: %s", path, strerror(errno));
  if (n < SEAL_BYTES)
    return ls_fail(LS_ERR_MODEL, "%s: is not a model or checkpoint of Lockstep: it has only %zd bytes",
                   path, n);
  LS_TRY(check_block(path, seal, (uint64_t)about.st_size));

  unsigned char expected[SEAL_BYTES];
  LS_TRY(make_seal(descriptor, path, LS_ERR_DATA, expected));
  if (memcmp(seal, expected, SEAL_BYTES) == 0) return LS_OK;
  const uint64_t version = get_little(seal + VERSION_OFFSET, 4);
  const size_t rest = SEAL_BYTES - LENGTH_OFFSET;
  const bool has_same_rest = memcmp(seal + LENGTH_OFFSET, expected + LENGTH_OFFSET, rest) == 0;
  if (version == SEAL_VERSION || has_same_rest)
    return ls_fail(LS_ERR_MODEL,
                   "%s: is damaged: its contents do not match its seal; use another checkpoint", path);
  return ls_fail(LS_ERR_DATA,
                 "%s: seal version %llu is not supported; must be %d; use a newer Lockstep, or another "
                 "checkpoint",
                 path, (unsigned long long)version, SEAL_VERSION);
}

ls_status store_seal_write(int descriptor, const char *path) {
  unsigned char seal[SEAL_BYTES];
  LS_TRY(make_seal(descriptor, path, LS_ERR_OUTPUT, seal));
  const ssize_t n = pwrite(descriptor, seal, SEAL_BYTES, 0);
  if (n != SEAL_BYTES)
    return ls_fail(LS_ERR_OUTPUT, "%s: cannot be written: %s", path,
                   n < 0 ? strerror(errno) : "short write");
  return LS_OK;
}
