/* Messages in the wire format of Protocol Buffers: a field is a tag, its number times 8 plus the type of
 * its value, and the value (protobuf.dev/programming-guides/encoding). */
#include "lockstep/base.h"

#include <stdlib.h>
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5 }; /* types of values */

#define VARINT_MAX   10  /* bytes of the longest varint */
#define SMALLEST     256 /* bytes of the first buffer */
#define FIELD_NUMBER ((uint32_t)1 << 29)

/* Makes space for `bytes` more bytes; false after a failure. */
static bool reserve(ls_protobuf *message, size_t bytes) {
  size_t wanted = 0;
  if (message->failed || !ls_size_add(message->size, bytes, &wanted)) message->failed = true;
  if (message->failed) return false;
  if (wanted <= message->capacity) return true;
  const size_t doubled = message->capacity <= SIZE_MAX / 2 ? 2 * message->capacity : wanted;
  const size_t capacity = ls_size_max(ls_size_max(doubled, wanted), SMALLEST);
  unsigned char *const grown = realloc(message->bytes, capacity);
  if (!grown) message->failed = true;
  if (!grown) return false;
  message->bytes = grown;
  message->capacity = capacity;
  return true;
}

static void append(ls_protobuf *message, const void *bytes, size_t size) {
  if (size == 0 || !reserve(message, size)) return;
  ls_copy(message->bytes + message->size, bytes, size);
  message->size += size;
}

/* Encodes 7 bits in each byte, the lowest first; returns the number of bytes. */
static size_t encode(uint64_t value, unsigned char out[VARINT_MAX]) {
  size_t n = 0;
  for (; value >= 0x80; value >>= 7) out[n++] = (unsigned char)(value | 0x80);
  out[n++] = (unsigned char)value;
  return n;
}

static void append_varint(ls_protobuf *message, uint64_t value) {
  unsigned char bytes[VARINT_MAX];
  append(message, bytes, encode(value, bytes));
}

static void append_tag(ls_protobuf *message, uint32_t field, uint32_t type) {
  LS_ASSERT(field > 0 && field < FIELD_NUMBER);
  append_varint(message, field << 3 | type);
}

/* The lowest byte first. */
static void append_fixed(ls_protobuf *message, uint64_t value, size_t size) {
  unsigned char bytes[8];
  for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(value >> 8 * i);
  append(message, bytes, size);
}

void ls_protobuf_varint(ls_protobuf *message, uint32_t field, uint64_t value) {
  append_tag(message, field, VARINT);
  append_varint(message, value);
}

void ls_protobuf_float(ls_protobuf *message, uint32_t field, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  append_tag(message, field, FIXED32);
  append_fixed(message, bits, sizeof bits);
}

void ls_protobuf_double(ls_protobuf *message, uint32_t field, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  append_tag(message, field, FIXED64);
  append_fixed(message, bits, sizeof bits);
}

void ls_protobuf_bytes(ls_protobuf *message, uint32_t field, const void *bytes, size_t size) {
  append_tag(message, field, DELIMITED);
  append_varint(message, size);
  append(message, bytes, size);
}

void ls_protobuf_text(ls_protobuf *message, uint32_t field, const char *text) {
  ls_protobuf_bytes(message, field, text, strlen(text));
}

size_t ls_protobuf_begin(ls_protobuf *message, uint32_t field) {
  append_tag(message, field, DELIMITED);
  return message->size;
}

void ls_protobuf_end(ls_protobuf *message, size_t begin) {
  unsigned char bytes[VARINT_MAX];
  if (message->failed) return;
  LS_ASSERT(begin <= message->size);
  const size_t size = message->size - begin;
  const size_t n = encode(size, bytes);
  if (!reserve(message, n)) return;
  memmove(message->bytes + begin + n, message->bytes + begin, size);
  memcpy(message->bytes + begin, bytes, n);
  message->size += n;
}

ls_status ls_protobuf_status(const ls_protobuf *message, const char *what) {
  return message->failed ? ls_fail_memory(what, message->capacity) : LS_OK;
}

void ls_protobuf_destroy(ls_protobuf *message) {
  free(message->bytes);
  *message = (ls_protobuf){0};
}
