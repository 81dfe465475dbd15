/* Prints the config with the reasons for the choices. */
#include "internal.h"

#include <string.h>

typedef unsigned long long count; /* for %llu */

/* --------------------------------------------------------------------------- data */

static void describe_shape(const draft_facts *f, char text[DRAFT_TEXT_SIZE]) {
  static const char *const kinds[] = {NULL, "a table", "series", "images", "volumes"};
  char shape[128];
  if (f->layout.kind == LS_DRAFT_TABLE)
    snprintf(text, DRAFT_TEXT_SIZE, "%zu features", f->x.n_features);
  else
    snprintf(text, DRAFT_TEXT_SIZE, "%s of shape %s", kinds[f->layout.kind],
             ls_shape_describe(&f->layout.shape, shape, sizeof shape));
}

static void describe_targets(const draft_targets *y, char text[DRAFT_TEXT_SIZE]) {
  if (y->task == DRAFT_CLASSES)
    snprintf(text, DRAFT_TEXT_SIZE, "%zu classes%s%s%s with %llu to %llu samples each%s", y->n_outputs,
             *y->names ? " (" : "", y->names, *y->names ? ")" : "", (count)y->least, (count)y->most,
             y->n_empty ? ", some without any" : "");
  else if (y->task == DRAFT_LABELS)
    snprintf(text, DRAFT_TEXT_SIZE, "%zu labels, each 0 or 1", y->n_outputs);
  else
    snprintf(text, DRAFT_TEXT_SIZE, "%zu number%s from %g to %g", y->n_outputs,
             y->n_outputs == 1 ? "" : "s per sample", y->low, y->high);
}

static void print_head(FILE *out, const ls_draft_request *r, const draft_facts *f) {
  char shape[DRAFT_TEXT_SIZE];
  char targets[DRAFT_TEXT_SIZE];
  describe_shape(f, shape);
  describe_targets(&f->y, targets);
  fprintf(out, "# Written by `lockstep init` for %llu training samples: x has %s, y has %s.\n",
          (count)f->x.n, shape, targets);
  if (r->source) {
    fputs("# Imported from ", out);
    draft_print_text(out, r->source);
    fputs(".\n", out);
    if (r->n_missing > 0)
      fprintf(out,
              "# Missing cells: %llu; --missing %s has replaced those of numbers, for which predict needs "
              "the option too.\n",
              (count)r->n_missing, r->missing);
  }
  fputs("# Every line may be changed; `lockstep keys` explains all keys.\nseed: 1\noutput: ", out);
  draft_print_text(out, r->run);
  fputs(" # the run directory, relative to the working directory\n", out);
}

static void print_name(FILE *out, const char *key, const char *name, const char *comment) {
  if (!name) return;
  fprintf(out, "  %s: ", key);
  draft_print_text(out, name);
  fprintf(out, "%s\n", comment);
}

static void print_validation(FILE *out, const draft_splits *s, const draft_facts *f, const draft_plan *p) {
  if (s->validation)
    print_name(out, "validation", s->validation, " # evaluated after each epoch; selects the best epoch");
  else if (p->validation > 0.0)
    fprintf(out, "  validation: %g # a part that is not trained on selects the best epoch\n",
            p->validation);
  else
    fprintf(out,
            "  # validation: 0.2 # would show how the model performs on new data; without it, all %llu "
            "samples train the model\n",
            (count)f->x.n);
}

static void print_layout(FILE *out, const draft_layout *l) {
  if (l->is_named) {
    fputs("  shape: [", out);
    for (size_t i = 0; i < l->shape.n_dims; i++) fprintf(out, "%s%zu", i ? ", " : "", l->shape.dims[i]);
    fprintf(out, "] # flat rows are %s: columns that are close resemble each other\n",
            l->kind == LS_DRAFT_SERIES ? "series" : "images");
  }
  if (l->is_first) fputs("  layout: channels_first # the first dim is the shorter one\n", out);
}

static void print_normalize(FILE *out, const draft_facts *f, const draft_plan *p) {
  if (f->layout.kind != LS_DRAFT_TABLE)
    fprintf(out,
            "  normalize: {type: standardize, per: channel} # values are from %g to %g; all positions of a "
            "channel have one unit\n",
            f->x.low, f->x.high);
  else if (p->is_scaled)
    fprintf(out,
            "  normalize: scale # values are from %g to %g, most of them equal, as in counts and "
            "categories; each feature is scaled to its range\n",
            f->x.low, f->x.high);
  else
    fprintf(out,
            "  normalize: standardize # values are from %g to %g; each feature gets mean 0 and "
            "deviation 1\n",
            f->x.low, f->x.high);
  if (f->y.task == DRAFT_NUMBERS)
    fputs("  standardize_targets: true # results are in the units of y\n", out);
}

static void print_data(FILE *out, const ls_draft_request *r, const draft_splits *s, const draft_facts *f,
                       const draft_plan *p) {
  fputs("data: # paths are relative to this file\n", out);
  print_name(out, "train", s->train, "");
  print_validation(out, s, f, p);
  print_name(out, "test", s->test, " # evaluated once, at the end");
  print_name(out, "x", r->x, "");
  print_name(out, "y", r->y, "");
  print_layout(out, &f->layout);
  print_normalize(out, f, p);
  if (p->noise > 0.0)
    fprintf(out, "  augment: {noise: %g} # with few samples, a model should not depend on details\n",
            p->noise);
  if (p->shift)
    fprintf(
        out,
        "  augment: {shift: %zu} # small shifts rarely change what an image shows; add flip_horizontal: "
        "true if mirror images are equivalent\n",
        p->shift);
}

/* --------------------------------------------------------------------------- loss */

#define TARGETS_LONG 8.0 /* standard deviations */

/* Whether the square of the largest errors would be most of the loss. */
static bool has_long_tail(const draft_targets *y) {
  return y->tail >= TARGETS_LONG;
}

static void describe_numbers(const draft_targets *y, char text[DRAFT_TEXT_SIZE]) {
  if (y->columns == 1 && y->n_distinct > 0)
    snprintf(text, DRAFT_TEXT_SIZE,
             "y has %zu different whole numbers, read as quantities; with "
             "--targets classes, as classes",
             y->n_distinct);
  else
    snprintf(text, DRAFT_TEXT_SIZE, "y has numbers");
  if (has_long_tail(y))
    ls_append(text, DRAFT_TEXT_SIZE,
              ", some of them %.0f standard deviations from their mean, which would dominate mse", y->tail);
}

static void describe_classes(const draft_targets *y, char text[DRAFT_TEXT_SIZE]) {
  char what[64] = "each row of y has a single 1";
  if (y->columns == 1 && y->has_names) snprintf(what, sizeof what, "y has named classes");
  if (y->columns == 1 && !y->has_names)
    snprintf(what, sizeof what, "y has whole numbers from %g to %g", y->low, y->high);
  snprintf(text, DRAFT_TEXT_SIZE, "%s%s", what,
           y->columns == 1 ? "; if they are quantities, run init with --targets numbers" : "");
}

static void print_loss(FILE *out, const draft_targets *y) {
  const char *const names[] = {"categorical_cross_entropy", "binary_cross_entropy",
                               has_long_tail(y) ? "huber" : "mse"};
  char reason[DRAFT_TEXT_SIZE] = "y has columns of 0 and 1, any number of which may be 1";
  if (y->task == DRAFT_CLASSES) describe_classes(y, reason);
  if (y->task == DRAFT_NUMBERS) describe_numbers(y, reason);
  fprintf(out, "loss: %s # %s\n", names[y->task], reason);
}

/* ----------------------------------------------------------------------- training */

static void print_train(FILE *out, const draft_facts *f, const draft_plan *p) {
  const uint64_t steps = (p->n_train + p->batch_size - 1) / p->batch_size * p->epochs;
  fprintf(out, "train:\n  epochs: %llu # %llu steps\n", (count)p->epochs, (count)steps);
  fprintf(out, "  batch_size: %llu # for %llu samples; over all ranks\n", (count)p->batch_size,
          (count)p->n_train);
  if (p->is_balanced)
    fprintf(out,
            "  class_weight: balanced # the largest class has %.0f times the samples of the smallest\n",
            (double)f->y.most / (double)f->y.least);
  if (p->is_balanced && p->patience)
    fputs("  monitor: val_roc_auc # accuracy would hardly depend on the small classes\n", out);
  if (p->patience && !p->is_balanced && f->y.task == DRAFT_CLASSES)
    fputs("  monitor: val_accuracy # often rises after val_loss has begun to rise\n", out);
  if (p->patience)
    fprintf(out, "  early_stopping: {patience: %llu} # epochs without improvement\n", (count)p->patience);
}

#define WARMUP 50 /* steps */

/* A run of 3 epochs has at least the steps of the warm-up. */
static void print_schedule(FILE *out, const draft_plan *p) {
  const uint64_t per_epoch = (p->n_train + p->batch_size - 1) / p->batch_size;
  fprintf(out, "schedule: {type: cosine, warmup_steps: %llu} # the rate falls to 0 at the last epoch\n",
          (count)(3 * per_epoch < WARMUP ? 3 * per_epoch : WARMUP));
}

void draft_print(FILE *out, const ls_draft_request *r, const draft_splits *s, const draft_facts *f,
                 const draft_plan *p) {
  print_head(out, r, f);
  print_data(out, r, s, f, p);
  fprintf(out, "# %s\nmodel:\n%s", p->network.reason, p->network.text);
  print_loss(out, &f->y);
  if (p->is_balanced && (p->patience || s->test))
    fputs("metrics: [roc_auc] # the ranking of samples, which class sizes do not affect\n", out);
  fprintf(out, "optimizer: {type: adamw, lr: %g, weight_decay: %g} # more weight decay for fewer samples\n",
          p->lr, p->weight_decay);
  print_schedule(out, p);
  print_train(out, f, p);
  if (p->epochs >= 50)
    fprintf(out, "checkpoint: {every_epochs: %llu} # a checkpoint takes longer than a short epoch\n",
            (count)(p->epochs / 10));
}
