/* export to ONNX: each layer type has an exporter; the limit of the size. */
#include "export/onnx_graph.h"
#include "support.h"

static void every_layer_type_is_exported(void **state) {
  (void)state;
  for (size_t t = 0; ls_layer_types[t]; t++)
    if (!export_onnx_has_layer(ls_layer_types[t]->name))
      fail_msg("%s needs a line in the table of src/export/onnx_layers.c", ls_layer_types[t]->name);
  assert_false(export_onnx_has_layer("square"));
}

/* Windows and activations of all types that have them: the exporters use them. */
static void geometry_is_available(void **state) {
  (void)state;
  for (size_t t = 0; ls_layer_types[t]; t++) {
    const ls_layer_type *const type = ls_layer_types[t];
    assert_int_equal(type->activation != NULL, type->alpha != NULL);
    if (strstr(type->name, "conv") || strstr(type->name, "pool")) assert_non_null(type->window);
  }
}

/* 2^31 - 1 bytes, the limit of Protocol Buffers. */
static void large_files_are_rejected(void **state) {
  (void)state;
  assert_int_equal(export_onnx_constant_bytes(1000, 20, 3), 4 * (1000 + 20 + 6));
  assert_int_equal(export_onnx_check_size("m.onnx", INT32_MAX), LS_OK);
  assert_int_equal(export_onnx_check_size("m.onnx", (uint64_t)INT32_MAX + 1), LS_ERR_OUTPUT);
  assert_int_equal(export_onnx_check_size("m.onnx", export_onnx_constant_bytes(700000000, 0, 10)),
                   LS_ERR_OUTPUT);
  assert_true(message_has(ls_message(), "m.onnx ~ 2.8 GB ~ 2.1 GB"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_layer_type_is_exported),
      cmocka_unit_test(geometry_is_available),
      cmocka_unit_test(large_files_are_rejected),
  };
  return cmocka_run_group_tests_name("onnx", tests, NULL, NULL);
}
