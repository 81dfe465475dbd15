/* The output of `predict`: HDF5, CSV or NumPy. All functions are for rank 0 alone. */
#ifndef LOCKSTEP_SRC_APP_PREDICTIONS_H
#define LOCKSTEP_SRC_APP_PREDICTIONS_H

#include "internal.h"

typedef enum prediction_format { PREDICTIONS_H5, PREDICTIONS_CSV, PREDICTIONS_NPY } prediction_format;

typedef struct predictions {
  const char *path;              /* borrowed; "-" is standard output, for CSV only */
  int format;                    /* prediction_format */
  const ls_predictor *predictor; /* borrowed */
  uint64_t n_samples;
  size_t n_out;
  bool is_regression;
  bool is_binary;     /* one sigmoid output, for two classes */
  bool is_multilabel; /* several sigmoid outputs, each a label of its own */
  bool is_restored;   /* targets were standardised; values are float64 in the units of y */
  /* Of the formats: */
  ls_store_writer *writer;
  ls_text_file file;
  FILE *stream; /* of `file`, or standard output */
} predictions;

/* Local. Reads -o and --format, on any rank. LS_ERR_CONFIG. */
ls_status app_predictions_read(const arguments *a, predictions *out);

/* Local. Makes standard output the stream of the predictions; information is logged to standard error from
 * now on. */
void app_predictions_claim_stdout(predictions *p);

/* Local. Begins the output, after n_samples and predictor are set. LS_ERR_OUTPUT. */
ls_status app_predictions_begin(predictions *p);

/* Local. Appends rows.  values: (rows, n_out); restored: the same in the units of y if is_restored */
ls_status app_predictions_append(predictions *p, size_t rows, const float *values, const double *restored);

/* Local. Publishes the output if `status` is LS_OK, otherwise discards it, except what was already written
 * to standard output. Returns `status` if that is a failure. LS_ERR_OUTPUT. */
ls_status app_predictions_end(predictions *p, ls_status status);

#endif
