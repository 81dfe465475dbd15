/* Checked sizes, aligned blocks, texts, paths and the arena. */
#include "lockstep/base.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HUGE_PAGE ((size_t)2 << 20) /* bytes, on x86-64 and usually on arm64 */

bool ls_size_mul(size_t a, size_t b, size_t *out) {
  size_t product;
  if (__builtin_mul_overflow(a, b, &product)) return false;
  *out = product;
  return true;
}

bool ls_size_add(size_t a, size_t b, size_t *out) {
  size_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return false;
  *out = sum;
  return true;
}

/* Rounds up to the alignment, at least to one unit, so that no two pieces share an address. */
static bool round_up(size_t bytes, size_t alignment, size_t *out) {
  size_t padded;
  if (!ls_size_add(ls_size_max(bytes, 1), alignment - 1, &padded)) return false;
  *out = padded & ~(alignment - 1);
  return true;
}

/* Bytes of a large block to be on huge pages: whole pages, of which the last may be used by a quarter. */
static size_t huge_bytes(size_t bytes) {
  return (bytes + HUGE_PAGE - HUGE_PAGE / 4) / HUGE_PAGE * HUGE_PAGE;
}

/* Requests huge pages for large blocks, so that fewer address translations miss. The system may refuse. */
void *ls_calloc(size_t count, size_t size) {
  size_t bytes;
  size_t padded;
  if (!ls_size_mul(count, size, &bytes) || !round_up(bytes, LS_ALIGNMENT, &bytes)) return NULL;
  const size_t alignment = bytes < HUGE_PAGE ? LS_ALIGNMENT : HUGE_PAGE;
  if (!round_up(bytes, alignment, &padded)) return NULL;
  void *const block = aligned_alloc(alignment, padded);
  if (block && bytes >= HUGE_PAGE) (void)madvise(block, huge_bytes(bytes), MADV_HUGEPAGE);
  for (size_t at = 0; block && at < bytes; at += LS_HEARTBEAT_BYTES) {
    memset((unsigned char *)block + at, 0, ls_size_min(LS_HEARTBEAT_BYTES, bytes - at));
    if (at > 0) ls_heartbeat();
  }
  return block;
}

void *ls_copy(void *to, const void *from, size_t bytes) {
  for (size_t at = 0; at < bytes; at += LS_HEARTBEAT_BYTES) {
    memcpy((unsigned char *)to + at, (const unsigned char *)from + at,
           ls_size_min(LS_HEARTBEAT_BYTES, bytes - at));
    if (at > 0) ls_heartbeat();
  }
  return to;
}

char *ls_strdup(const char *text) {
  return ls_format("%s", text);
}

char *ls_format(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0) return NULL;
  char *const text = malloc((size_t)length + 1);
  if (!text) return NULL;
  va_start(arguments, format);
  vsnprintf(text, (size_t)length + 1, format, arguments);
  va_end(arguments);
  return text;
}

bool ls_same_file(const char *a, const char *b) {
  struct stat x;
  struct stat y;
  return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool ls_is_utf8(const char *text, size_t bytes) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000}; /* smaller code points are overlong forms */
  const unsigned char *const at = (const unsigned char *)text;
  for (size_t i = 0; i < bytes; i++) {
    const unsigned char lead = at[i];
    const unsigned n = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3; /* bytes that follow */
    uint32_t code = n ? lead & (0x3FU >> n) : lead;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || n >= bytes - i) return false;
    for (unsigned k = 0; k < n; k++) {
      if ((at[++i] & 0xC0) != 0x80) return false;
      code = code << 6 | (at[i] & 0x3FU);
    }
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    if (code < least[n] || code > 0x10FFFF || is_surrogate) return false;
  }
  return true;
}

int ls_clip(const char *text, size_t bytes) {
  size_t n = strnlen(text, bytes);
  if (text[n] == '\0' || ((unsigned char)text[n] & 0xC0) != 0x80) return (int)n;
  const size_t least = n > 3 ? n - 3 : 0; /* a character has at most 3 bytes after its first */
  size_t start = n;
  while (start > least && ((unsigned char)text[start] & 0xC0) == 0x80) start--;
  return (int)(((unsigned char)text[start] & 0xC0) == 0xC0 ? start : n); /* n: not UTF-8 */
}

void ls_append(char *text, size_t size, const char *format, ...) {
  const size_t used = strnlen(text, size);
  va_list arguments;
  va_start(arguments, format);
  if (used < size) vsnprintf(text + used, size - used, format, arguments);
  va_end(arguments);
}

void *ls_arena_take(ls_arena *arena, size_t count, size_t size) {
  size_t bytes;
  size_t end;
  if (!ls_size_mul(count, size, &bytes) || !round_up(bytes, LS_ALIGNMENT, &bytes) ||
      !ls_size_add(arena->used, bytes, &end)) {
    LS_ASSERT(!arena->base);
    arena->overflow = true;
    return NULL;
  }
  unsigned char *const piece = arena->base ? arena->base + arena->used : NULL;
  LS_ASSERT(!arena->base || end <= arena->capacity);
  arena->used = end;
  return piece;
}

ls_status ls_arena_commit(ls_arena *arena, const char *what) {
  LS_ASSERT(!arena->base);
  if (arena->overflow) return ls_fail(LS_ERR_INTERNAL, "out of memory: the size of %s overflows", what);
  arena->base = ls_calloc(arena->used, 1);
  if (!arena->base) return ls_fail_memory(what, arena->used);
  arena->capacity = arena->used;
  arena->used = 0;
  return LS_OK;
}

void ls_arena_destroy(ls_arena *arena) {
  free(arena->base);
  *arena = (ls_arena){0};
}
