/* reference: the worked example and the formulas of backpropagation.md, computed here in double by the
 * letter, against Lockstep's own forward, backward and step. */
#include "support.h"

#include "lockstep/model.h"
#include "lockstep/optim.h"

/* A net of one hidden layer, sigmoid throughout, with its optimizer. */
typedef struct trainer {
  ls_config *config;
  ls_model *model;
  ls_optim *optim;
} trainer;

static trainer trainer_of(size_t n_in, size_t n_hidden, size_t n_out, ls_loss loss, const char *optimizer,
                          size_t rows) {
  trainer t = {0};
  char *const text = ls_format("model:\n- {layer: dense, units: %zu, activation: sigmoid}\n"
                               "- {layer: dense, units: %zu, activation: sigmoid}\noptimizer: %s\n",
                               n_hidden, n_out, optimizer);
  t.config = config_of(text);
  free(text);
  assert_int_equal(ls_model_parse(t.config, loss, &t.model), LS_OK);
  assert_int_equal(ls_optim_parse(t.config, &t.optim), LS_OK);
  check_valid(t.config);
  assert_int_equal(ls_model_infer_shapes(t.model, &(ls_shape){1, {n_in}}), LS_OK);
  assert_int_equal(ls_model_build(t.model, rows), LS_OK);
  assert_int_equal(ls_optim_build(t.optim, t.model->n_params), LS_OK);
  return t;
}

static void trainer_free(trainer *t) {
  ls_optim_destroy(&t->optim);
  ls_model_destroy(&t->model);
  ls_config_destroy(&t->config);
}

/* Forward and backward over all rows; the gradients are sums. */
static void sweep(trainer *t, size_t rows, const float *x, const float *y) {
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes, .mode = LS_TRAIN};
  const ls_targets targets = {.values = y};
  const float *const z = ls_model_forward(t->model, &pass, x);
  ls_loss_apply(t->model->loss, &loss_options, rows, t->model->n_out, z, &targets,
                ls_model_output_gradient(t->model));
  ls_model_backward(t->model, &pass, NULL);
}

static ls_param *param_of(const trainer *t, size_t layer, size_t param) {
  return &t->model->layers[layer]->params[param];
}

/* -------------------------------------------------------- the worked example */

/* One input, one hidden unit, one output; the biases that the reference leaves unsaid make its hidden
 * output 0.5 and its output 0.6. */
static trainer example_of(const char *optimizer) {
  trainer t = trainer_of(1, 1, 1, LS_MSE, optimizer, 1);
  param_of(&t, 0, 0)->value[0] = 0.6F;
  param_of(&t, 0, 1)->value[0] = -0.6F;
  param_of(&t, 1, 0)->value[0] = 0.4F;
  param_of(&t, 1, 1)->value[0] = (float)(log(1.5) - 0.2);
  return t;
}

static const float example_x = 1.0F;
static const float example_t = 0.9F;

static void the_first_step_is_that_of_the_example(void **state) {
  (void)state;
  trainer t = example_of("{type: sgd, lr: 0.1}");
  sweep(&t, 1, &example_x, &example_t);
  check_close("O_hidden", (double)t.model->layers[0]->output[0], 0.5, 1e-7);
  check_close("O_out", (double)t.model->layers[1]->output[0], 0.6, 1e-7);
  check_close("Err_out", -(double)param_of(&t, 1, 1)->grad[0], 0.072, 1e-7); /* a bias's input is 1 */
  check_close("Err_hidden", -(double)param_of(&t, 0, 1)->grad[0], 0.0072, 1e-8);
  ls_optim_step(t.optim, t.optim->lr, 1.0F, t.model->grads, t.model->params);
  check_close("w_out", (double)param_of(&t, 1, 0)->value[0], 0.4036, 1e-7);
  check_close("w_hidden", (double)param_of(&t, 0, 0)->value[0], 0.60072, 1e-7);
  trainer_free(&t);
}

/* The outputs of later epochs, with trained biases (the reference's own table is an illustration only). */
static void later_epochs_give_known_outputs(void **state) {
  (void)state;
  static const struct {
    int epoch;
    double output;
  } rows[] = {{1, 0.6}, {2, 0.6022}, {5, 0.6086}, {20, 0.6379}, {50, 0.6843}};
  trainer t = example_of("{type: sgd, lr: 0.1}");
  int epoch = 0;
  for (size_t i = 0; i < COUNT(rows); i++)
    for (; epoch < rows[i].epoch; epoch++) {
      sweep(&t, 1, &example_x, &example_t);
      if (epoch + 1 == rows[i].epoch)
        check_close("output", (double)t.model->layers[1]->output[0], rows[i].output, 5e-5);
      ls_optim_step(t.optim, t.optim->lr, 1.0F, t.model->grads, t.model->params);
    }
  trainer_free(&t);
}

/* Delta w(t) = l Err O + mu Delta w(t - 1): at a constant rate, the same as with the rate outside. */
static void momentum_is_that_of_the_reference(void **state) {
  (void)state;
  const double rate = 0.1;
  const double mu = 0.9;
  trainer t = example_of("{type: momentum, lr: 0.1, momentum: 0.9}");
  double w[4] = {0.6, -0.6, 0.4, log(1.5) - 0.2};
  double delta[4] = {0};
  for (int epoch = 0; epoch < 50; epoch++) {
    const double hidden = 1.0 / (1.0 + exp(-(w[0] + w[1])));
    const double out = 1.0 / (1.0 + exp(-(w[2] * hidden + w[3])));
    const double err_out = out * (1.0 - out) * (0.9 - out);
    const double err_hidden = hidden * (1.0 - hidden) * w[2] * err_out;
    const double pushes[4] = {err_hidden, err_hidden, err_out * hidden, err_out};
    for (size_t i = 0; i < 4; i++) {
      delta[i] = rate * pushes[i] + mu * delta[i];
      w[i] += delta[i];
    }
    sweep(&t, 1, &example_x, &example_t);
    ls_optim_step(t.optim, t.optim->lr, 1.0F, t.model->grads, t.model->params);
  }
  for (size_t i = 0; i < 4; i++) check_close("w", (double)param_of(&t, i / 2, i % 2)->value[0], w[i], 1e-5);
  trainer_free(&t);
}

/* ------------------------------------------------------- a net of some units */

#define IN     4
#define HIDDEN 5
#define OUT    3
#define ROWS   6

/* What the reference's formulas say of one sample, by its names: outputs O, errors Err. */
typedef struct formulas {
  double o_hidden[HIDDEN], o_out[OUT];
  double err_hidden[HIDDEN], err_out[OUT];
} formulas;

/* O_j = 1 / (1 + e^-I_j), I_j = sum_i w_ij O_i + theta_j. */
static double unit(size_t n, const float *w, const double *inputs, float theta) {
  double sum = (double)theta;
  for (size_t i = 0; i < n; i++) sum += (double)w[i] * inputs[i];
  return 1.0 / (1.0 + exp(-sum));
}

/* Err_j = O_j (1 - O_j) (T_j - O_j) for outputs, or T_j - O_j where `is_entropy` (what the reference's
 * SimpleNN computes, the gradient of binary cross-entropy), O_j (1 - O_j) sum_k w_jk Err_k for hidden
 * units. */
static formulas formulas_of(const trainer *t, const float *x, const float *target, bool is_entropy) {
  formulas f;
  double inputs[IN];
  for (size_t i = 0; i < IN; i++) inputs[i] = (double)x[i];
  const float *const w = param_of(t, 1, 0)->value;
  for (size_t j = 0; j < HIDDEN; j++)
    f.o_hidden[j] = unit(IN, param_of(t, 0, 0)->value + j * IN, inputs, param_of(t, 0, 1)->value[j]);
  for (size_t k = 0; k < OUT; k++) {
    const double o = unit(HIDDEN, w + k * HIDDEN, f.o_hidden, param_of(t, 1, 1)->value[k]);
    f.o_out[k] = o;
    f.err_out[k] = (is_entropy ? 1.0 : o * (1.0 - o)) * ((double)target[k] - o);
  }
  for (size_t j = 0; j < HIDDEN; j++) {
    double blame = 0.0;
    for (size_t k = 0; k < OUT; k++) blame += (double)w[k * HIDDEN + j] * f.err_out[k];
    f.err_hidden[j] = f.o_hidden[j] * (1.0 - f.o_hidden[j]) * blame;
  }
  return f;
}

/* What is to be added to each weight at rate 1, Err_j O_i, summed over the samples. */
typedef struct pushes {
  double w_hidden[HIDDEN * IN], b_hidden[HIDDEN];
  double w_out[OUT * HIDDEN], b_out[OUT];
} pushes;

static void add_pushes(const formulas *f, const float *x, pushes *p) {
  for (size_t j = 0; j < HIDDEN; j++) {
    p->b_hidden[j] += f->err_hidden[j];
    for (size_t i = 0; i < IN; i++) p->w_hidden[j * IN + i] += f->err_hidden[j] * (double)x[i];
  }
  for (size_t k = 0; k < OUT; k++) {
    p->b_out[k] += f->err_out[k];
    for (size_t j = 0; j < HIDDEN; j++) p->w_out[k * HIDDEN + j] += f->err_out[k] * f->o_hidden[j];
  }
}

static void check_pushes(const char *what, size_t n, const float *gradient, const double *push) {
  for (size_t i = 0; i < n; i++) check_close(what, -(double)gradient[i], push[i], 2e-6);
}

/* The gradient of a random net is minus what the formulas add, for a loss; batches sum over samples. */
static void check_formulas(ls_loss loss) {
  trainer t = trainer_of(IN, HIDDEN, OUT, loss, "{type: sgd}", ROWS);
  float x[ROWS * IN];
  float targets[ROWS * OUT];
  fill_random(1, t.model->n_params, t.model->params);
  fill_random(2, (size_t)ROWS * IN, x);
  fill_random(3, (size_t)ROWS * OUT, targets);
  for (size_t i = 0; i < COUNT(targets); i++) targets[i] = targets[i] > 0.0F ? 1.0F : 0.0F;
  sweep(&t, ROWS, x, targets);

  pushes p = {0};
  for (size_t row = 0; row < ROWS; row++) {
    const formulas f = formulas_of(&t, x + row * IN, targets + row * OUT, loss == LS_BINARY_CROSS_ENTROPY);
    for (size_t j = 0; j < HIDDEN; j++)
      check_close("O_hidden", (double)t.model->layers[0]->output[row * HIDDEN + j], f.o_hidden[j], 1e-6);
    add_pushes(&f, x + row * IN, &p);
  }
  check_pushes("W hidden", COUNT(p.w_hidden), param_of(&t, 0, 0)->grad, p.w_hidden);
  check_pushes("b hidden", COUNT(p.b_hidden), param_of(&t, 0, 1)->grad, p.b_hidden);
  check_pushes("W out", COUNT(p.w_out), param_of(&t, 1, 0)->grad, p.w_out);
  check_pushes("b out", COUNT(p.b_out), param_of(&t, 1, 1)->grad, p.b_out);
  trainer_free(&t);
}

static void gradients_are_those_of_the_err_formulas(void **state) {
  (void)state;
  check_formulas(LS_MSE);
}

/* The reference's SimpleNN takes dz2 = a2 - y for the gradient of MSE; it is that of binary cross-entropy.
 */
static void gradients_are_those_of_simple_nn(void **state) {
  (void)state;
  check_formulas(LS_BINARY_CROSS_ENTROPY);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_step_is_that_of_the_example),
      cmocka_unit_test(later_epochs_give_known_outputs),
      cmocka_unit_test(momentum_is_that_of_the_reference),
      cmocka_unit_test(gradients_are_those_of_the_err_formulas),
      cmocka_unit_test(gradients_are_those_of_simple_nn),
  };
  return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
