/* Models and workspaces. */
#ifndef LOCKSTEP_INFER_INTERNAL_H
#define LOCKSTEP_INFER_INTERNAL_H

#include "lockstep/config.h"
#include "lockstep/infer.h"
#include "lockstep/math.h"
#include "lockstep/model.h"

#include <fenv.h>
#include <locale.h>

/* A net of a config, with its document, which the layers refer to. */
typedef struct infer_net {
  ls_config *config;
  ls_model *model;
} infer_net;

struct ls_infer {
  char *config;            /* owned: the resolved config as YAML */
  char *path;              /* owned, for messages */
  ls_shape input;          /* of a sample, channels last */
  ls_shape stored;         /* of a sample of x, as the training data had it; no dims in older files */
  bool has_channels_first; /* in a sample of x; they are last in `input` */
  size_t channels;         /* that come first in a sample of x; 1: x has the order of `input` */
  ls_loss loss;
  infer_net
      net; /* with the parameters, and the weights that its layers have prepared; makes no other pass */
  size_t n_in, n_out;
  ls_normalizer *normalizer;
  char **classes, **features; /* owned, one block each; NULL if absent */
  size_t n_classes, n_features;
};

/* Parses the config of a model, sets m->loss, m->has_channels_first and m->channels, and creates the net
 * with the shapes of its layers. LS_ERR_MODEL, LS_ERR_INTERNAL. The caller destroys the net, after a
 * failure too. */
ls_status infer_net_create(ls_infer *m, infer_net *net);
void infer_net_destroy(infer_net *net);

/* Predicts rows of x, (rows, n_in), normalised; returns (rows, n_out), valid until the next call. The first
 * call, which is not ready and has no rows, prepares the layers. */
const float *infer_net_predict(const infer_net *net, size_t rows, bool is_ready, const float *x);

/* Traps, rounding and the treatment of small numbers, which the program may have changed on this thread.
 * Uses the defaults until infer_arithmetic_leave. */
#ifdef __x86_64__
typedef unsigned infer_arithmetic; /* MXCSR, which controls all arithmetic but that of the x87 unit */
#else
typedef fenv_t infer_arithmetic;
#endif

void infer_arithmetic_enter(infer_arithmetic *before);
void infer_arithmetic_leave(const infer_arithmetic *before);

/* The same with the locale, since numbers in configs have a decimal point. */
typedef struct infer_setting {
  infer_arithmetic arithmetic;
  locale_t c, locale;
} infer_setting;

void infer_enter(infer_setting *before);
void infer_leave(const infer_setting *before);

/* The error code of a status. */
int infer_code_of(ls_status status);

#endif
