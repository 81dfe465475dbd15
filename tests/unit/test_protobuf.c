/* Protocol Buffers: the bytes of each kind of field, as the encoding's specification gives them. */
#include "support.h"

static void check_bytes(ls_protobuf *message, const char *expected, size_t size) {
  assert_int_equal(ls_protobuf_status(message, "the test"), LS_OK);
  assert_int_equal(message->size, size);
  assert_memory_equal(message->bytes, expected, size);
  ls_protobuf_destroy(message);
  assert_null(message->bytes);
}
#define CHECK_BYTES(message, text) check_bytes(message, text, sizeof(text) - 1)

static void numbers(void **state) {
  (void)state;
  ls_protobuf message = {0};
  ls_protobuf_varint(&message, 1, 150);
  assert_int_equal(message.size, 3);
  ls_protobuf_clear(&message);
  ls_protobuf_varint(&message, 1, 150);
  CHECK_BYTES(&message, "\x08\x96\x01");
  ls_protobuf_varint(&message, 15, 0);
  ls_protobuf_varint(&message, 16, 127);
  ls_protobuf_varint(&message, 1, 128);
  CHECK_BYTES(&message, "\x78\x00\x80\x01\x7F\x08\x80\x01");
  ls_protobuf_varint(&message, 2, (uint64_t)INT64_C(-2));
  CHECK_BYTES(&message, "\x10\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01");
  ls_protobuf_varint(&message, (1U << 29) - 1, 1);
  CHECK_BYTES(&message, "\xF8\xFF\xFF\xFF\x0F\x01");
  ls_protobuf_float(&message, 2, 1.0F);
  ls_protobuf_double(&message, 3, -2.0);
  CHECK_BYTES(&message, "\x15\x00\x00\x80\x3F\x19\x00\x00\x00\x00\x00\x00\x00\xC0");
}

static void texts_and_bytes(void **state) {
  (void)state;
  ls_protobuf message = {0};
  ls_protobuf_text(&message, 2, "testing");
  ls_protobuf_bytes(&message, 3, "\x00\x01", 2);
  ls_protobuf_bytes(&message, 4, NULL, 0);
  CHECK_BYTES(&message, "\x12\x07testing\x1A\x02\x00\x01\x22\x00");
}

static void nested_messages(void **state) {
  (void)state;
  ls_protobuf message = {0};
  const size_t outer = ls_protobuf_begin(&message, 3);
  ls_protobuf_varint(&message, 1, 150);
  const size_t inner = ls_protobuf_begin(&message, 1);
  ls_protobuf_end(&message, inner);
  ls_protobuf_end(&message, outer);
  ls_protobuf_varint(&message, 2, 1);
  CHECK_BYTES(&message, "\x1A\x05\x08\x96\x01\x0A\x00\x10\x01");
}

/* The length of a nested message has two bytes from 128 on. */
static void long_nested_message(void **state) {
  (void)state;
  char text[300];
  ls_protobuf message = {0};
  memset(text, 'x', sizeof text);
  const size_t begin = ls_protobuf_begin(&message, 1);
  ls_protobuf_bytes(&message, 2, text, sizeof text);
  ls_protobuf_end(&message, begin);
  assert_int_equal(message.size, 1 + 2 + 1 + 2 + 300);
  assert_memory_equal(message.bytes, "\x0A\xAF\x02\x12\xAC\x02xx", 8);
  assert_int_equal(message.bytes[305], 'x');
  ls_protobuf_destroy(&message);
}

/* A size that overflows, and memory that no machine has, end the message; later calls do nothing. */
static void failures_are_kept(void **state) {
  (void)state;
  const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2};
  for (size_t i = 0; i < 2; i++) {
    ls_protobuf message = {0};
    ls_protobuf_varint(&message, 1, 1);
    const size_t begin = ls_protobuf_begin(&message, 2);
    ls_protobuf_bytes(&message, 2, "x", sizes[i]);
    ls_protobuf_text(&message, 2, "later");
    ls_protobuf_end(&message, begin);
    assert_int_equal(ls_protobuf_status(&message, "the test"), LS_ERR_INTERNAL);
    assert_true(message_has(ls_message(), "out of memory ~ the test"));
    ls_protobuf_destroy(&message);
    assert_int_equal(ls_protobuf_status(&message, "the test"), LS_OK);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers),           cmocka_unit_test(texts_and_bytes),
      cmocka_unit_test(nested_messages),   cmocka_unit_test(long_nested_message),
      cmocka_unit_test(failures_are_kept),
  };
  return cmocka_run_group_tests_name("protobuf", tests, NULL, NULL);
}
