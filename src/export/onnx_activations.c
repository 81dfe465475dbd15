/* Activations as nodes. */
#include "onnx_graph.h"

#include <math.h>

/* x = op(x, value) */
static void apply_scalar(onnx_graph *g, const char *op, double value, onnx_value *x) {
  export_onnx_begin(g, op, x);
  export_onnx_input_scalar(g, value);
  export_onnx_end(g, x);
}

static void add_softmax(onnx_graph *g, onnx_value *x) {
  export_onnx_settle(g, x);
  export_onnx_begin(g, "Softmax", x);
  export_onnx_int(g, "axis", export_onnx_channel_axis(x));
  export_onnx_end(g, x);
}

/* x / 2 (1 + erf(x / sqrt(2))): opset 13 has no Gelu. */
static void add_gelu(onnx_graph *g, onnx_value *x) {
  onnx_value factor = *x;
  apply_scalar(g, "Mul", M_SQRT1_2, &factor);
  export_onnx_apply(g, "Erf", &factor);
  apply_scalar(g, "Add", 1.0, &factor);
  export_onnx_begin(g, "Mul", x);
  export_onnx_input(g, &factor);
  export_onnx_end(g, x);
  apply_scalar(g, "Mul", 0.5, x);
}

/* Leaky relu and elu. */
static void add_with_alpha(onnx_graph *g, const char *op, double alpha, onnx_value *x) {
  export_onnx_begin(g, op, x);
  export_onnx_float(g, "alpha", alpha);
  export_onnx_end(g, x);
}

void export_onnx_add_activation(onnx_graph *g, ls_activation f, double alpha, onnx_value *x) {
  switch (f) {
  case LS_LINEAR: break;
  case LS_SIGMOID: export_onnx_apply(g, "Sigmoid", x); break;
  case LS_TANH: export_onnx_apply(g, "Tanh", x); break;
  case LS_RELU: export_onnx_apply(g, "Relu", x); break;
  case LS_LEAKY_RELU: add_with_alpha(g, "LeakyRelu", alpha, x); break;
  case LS_ELU: add_with_alpha(g, "Elu", alpha, x); break;
  case LS_GELU: add_gelu(g, x); break;
  case LS_SOFTPLUS: export_onnx_apply(g, "Softplus", x); break;
  case LS_SOFTMAX: add_softmax(g, x); break;
  }
}
