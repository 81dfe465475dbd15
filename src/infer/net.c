/* From the config of a model file to a net. */
#include "internal.h"

typedef struct options {
  int layout; /* 1: channels first */
} options;

static const char *const layouts[] = {"channels_last", "channels_first", NULL};

static const ls_key layout_key =
    LS_CHOICE_KEY("layout", options, layout, "channels_last", layouts, "place of the channels");

#ifdef __x86_64__

#define MXCSR_DEFAULT 0x1F80U

/* Takes some nanoseconds, the functions of fenv.h some hundred. */
void infer_arithmetic_enter(infer_arithmetic *before) {
  *before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(MXCSR_DEFAULT);
}

void infer_arithmetic_leave(const infer_arithmetic *before) {
  __builtin_ia32_ldmxcsr(*before);
}

#else

void infer_arithmetic_enter(infer_arithmetic *before) {
  fegetenv(before);
  fesetenv(FE_DFL_ENV);
}

void infer_arithmetic_leave(const infer_arithmetic *before) {
  fesetenv(before);
}

#endif

void infer_enter(infer_setting *before) {
  infer_arithmetic_enter(&before->arithmetic);
  before->c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (before->c) before->locale = uselocale(before->c);
}

void infer_leave(const infer_setting *before) {
  if (before->c) uselocale(before->locale);
  if (before->c) freelocale(before->c);
  infer_arithmetic_leave(&before->arithmetic);
}

/* Whether samples with the shape of the model have dims of positions and one of channels. */
static bool has_channels(const ls_model *model, const ls_shape *input) {
  const size_t n_spatial = ls_model_spatial_dims(model);
  return n_spatial > 0 ? input->n_dims == n_spatial + 1 : input->n_dims >= 3;
}

static ls_status parse(ls_infer *m, infer_net *net) {
  options o = {0};
  ls_loss_options unused;
  LS_TRY(ls_config_create(m->config, m->path, &net->config));
  ls_node *const data = ls_config_section(net->config, ls_config_root(net->config), "data");
  if (data) ls_config_read_key(net->config, data, &layout_key, &o);
  ls_loss_configure(net->config, &m->loss, &unused);
  LS_TRY(ls_model_parse(net->config, m->loss, &net->model));
  LS_TRY(ls_config_status(net->config));
  m->loss = net->model->loss;
  net->model->predicts = true;
  m->has_channels_first = o.layout && has_channels(net->model, &m->input);
  m->channels = m->has_channels_first ? m->input.dims[m->input.n_dims - 1] : 1;
  return ls_model_infer_shapes(net->model, &m->input);
}

ls_status infer_net_create(ls_infer *m, infer_net *net) {
  const ls_status status = parse(m, net);
  if (status != LS_ERR_CONFIG) return status;
  return ls_fail(LS_ERR_MODEL, "%s: invalid config: %s", m->path, ls_message());
}

const float *infer_net_predict(const infer_net *net, size_t rows, bool is_ready, const float *x) {
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes, .is_packed = true, .is_ready = is_ready};
  ls_model_forward(net->model, &pass, x);
  return ls_model_predict(net->model, rows);
}

void infer_net_destroy(infer_net *net) {
  ls_model_destroy(&net->model);
  ls_config_destroy(&net->config);
}
