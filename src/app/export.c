/* lockstep export: writes a model in a format of other programs. */
#include "lockstep/export.h"

#include "internal.h"

#include <string.h>

typedef struct format {
  const char *ending;
  const char *name;
  ls_status (*write)(const ls_export_source *source, const char *path);
} format;

static const format formats[] = {{".onnx", "ONNX", ls_export_onnx},
                                 {".safetensors", "safetensors", ls_export_safetensors}};

/* Rank 0. */
static ls_status write_file(const ls_predictor *predictor, const char *output) {
  const ls_job *const job = predictor->job;
  const ls_export_source source = {.saved = predictor->saved,
                                   .model = job->model,
                                   .normalizer = predictor->normalizer,
                                   .is_channels_first = job->data.layout == LS_CHANNELS_FIRST};
  const format *f = formats;
  while (!app_ends_with(output, (const char *const[]){f->ending, NULL})) f++;
  ls_store_remove_abandoned(output);
  LS_TRY(f->write(&source, output));
  ls_log(LS_LOG_INFO, "%s: %s, %zu parameters", output, f->name, source.model->n_params);
  return LS_OK;
}

static ls_status read_output(const arguments *a, const char **output) {
  LS_TRY(app_read_output(a, (const char *const[]){".onnx", ".safetensors", NULL}, output));
  if (!ls_same_file(*output, a->positional[0])) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "-o %s: is the model; choose another name", *output);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const char *output = NULL;
  ls_predictor *predictor = NULL;
  ls_status status = ls_comm_agree(comm, app_is_root(comm) ? read_output(a, &output) : LS_OK);
  if (status == LS_OK) status = ls_predictor_create(comm, a->positional[0], &predictor);
  if (status == LS_OK)
    status = ls_comm_agree(comm, app_is_root(comm) ? write_file(predictor, output) : LS_OK);
  ls_predictor_destroy(&predictor);
  return status;
}

const command app_export = {
    .name = "export",
    .operands = "MODEL.h5",
    .help = "write a model for ONNX Runtime or PyTorch",
    .details =
        "OUT.onnx is the whole model for ONNX Runtime and other programs. Its input x has the type and "
        "the\n"
        "shape of the data, in their own units; the outputs are those of predict: probability and class, "
        "or\n"
        "y for a regression. It contains the names of classes and features.\n"
        "OUT.safetensors has all weights and running averages in PyTorch's layout, under names such as\n"
        "0-conv2d.weight. Its metadata has the config, the normalisation of the inputs, and the names of\n"
        "classes and features. train --init-from OUT.safetensors reads it again.",
    .options = {{"output", 'o', "OUT.onnx|OUT.safetensors", "file to write"}},
    .run = run};
